//! Logging a client in to another server (`proxy=y`), without the socket: lines of that server go in,
//! bytes for it and for the client come out. Commands, their order and texts are 2.3's.
//!
//! [`Destination`] is what the passdb says, [`Backend`] the conversation in one protocol,
//! [`record::Records`] what is known of the servers.

mod destination;
mod imap;
mod pop3;
pub(crate) mod record;
mod sasl_client;

use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

pub(crate) use destination::{Destination, Security};

use crate::session::Protocol;

/// What the client gets to read of all failures that are not about its password.
pub(crate) const UNAVAILABLE: &str = "Account is temporarily unavailable.";

/// How many servers a login may pass through; 2.3's `LOGIN_PROXY_TTL`.
pub(crate) const TTL: u32 = 5;

/// What is known of the client, for the other server.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The session id, which the other server is to use as well.
    pub(crate) session_id: String,
    pub(crate) remote_ip: Option<IpAddr>,
    pub(crate) remote_port: u16,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) local_port: u16,
    /// How many servers it may pass through from here.
    pub(crate) ttl: u32,
    /// What it said by ID, as a list without its parentheses.
    pub(crate) client_id: String,
    /// The tag of its IMAP command.
    pub(crate) tag: String,
    /// It asked for CAPABILITY by command, so that it is taken not to read response codes.
    pub(crate) ignores_codes: bool,
}

/// What a failed attempt is about, which decides what the log says and the client reads, and whether to
/// try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Our own fault.
    Internal,
    /// The server is not there, or went away.
    Connect,
    /// The server refuses to be talked to.
    Remote,
    /// The server is set up so that it can't work.
    RemoteConfig,
    /// It speaks another language.
    Protocol,
    /// It refuses the login.
    Auth,
    /// For now only.
    AuthTemporary,
}

impl FailureKind {
    /// The first words of the log line.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Internal => "Aborting due to internal error: ",
            Self::Remote | Self::RemoteConfig => "Aborting due to remote server: ",
            Self::Protocol => "Remote server sent invalid input: ",
            Self::Connect | Self::Auth | Self::AuthTemporary => "",
        }
    }

    /// Whether another attempt may do better.
    pub(crate) fn is_worth_another_try(self) -> bool {
        matches!(self, Self::Connect | Self::Remote | Self::Protocol | Self::AuthTemporary)
    }

    /// Whether the server had a look at the password.
    pub(crate) fn is_about_login(self) -> bool {
        matches!(self, Self::Auth | Self::AuthTemporary)
    }
}

/// Why a client could not be logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// For the log.
    pub(crate) reason: String,
    /// The whole line for the client where the server had something to say.
    pub(crate) reply: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), reply: None }
    }
}

/// What is to be sent.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// To the other server; passwords among it.
    pub(crate) server: Zeroizing<Vec<u8>>,
    /// To the client.
    pub(crate) client: Vec<u8>,
    /// Errors that do not end the attempt, for the log.
    pub(crate) errors: Vec<String>,
}

impl Output {
    fn server(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.server.extend_from_slice(part.as_bytes()));
    }

    fn client(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.client.extend_from_slice(part.as_bytes()));
    }
}

/// What comes next. Output is to be sent first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another line of the server.
    Line,
    /// A handshake, then [`Backend::tls_started`].
    StartTls,
    /// The client is logged in and was told so.
    LoggedIn,
    /// It is not.
    Failed(Failure),
}

/// A conversation with the other server, from its greeting to the end of the login.
pub(crate) trait Backend: Send {
    /// A line of the server, without its end.
    fn line(&mut self, line: &str, output: &mut Output) -> Next;
    /// The handshake that it asked for is through.
    fn tls_started(&mut self, output: &mut Output) -> Next;
    /// How far it has come, for log lines.
    fn state(&self) -> String;
}

/// Begins a conversation.
pub(crate) fn begin(protocol: Protocol, destination: Arc<Destination>, about: About) -> Box<dyn Backend> {
    match protocol {
        Protocol::Imap => Box::new(imap::Imap::new(destination, about)),
        Protocol::Pop3 => Box::new(pop3::Pop3::new(destination, about)),
    }
}

/// A line of a server, as it may stand in the log.
fn shown(line: &str) -> std::borrow::Cow<'_, str> {
    crate::log_line::sanitized(line, crate::limits::BACKEND_LINE_SHOWN_BYTES)
}

fn ip_text(ip: Option<IpAddr>) -> String {
    ip.map_or_else(String::new, |ip| ip.to_string())
}

#[cfg(test)]
mod tests;
