//! A client before login, without its socket: bytes and answers of the auth process go in, bytes,
//! log lines and [`Action`]s come out. What IMAP and POP3 have in common is here, what they do not
//! behind [`Dialect`]. Texts and their order are 2.3's.
//!
//! No sockets, no clock: times are seconds since 1970, given by the caller.

mod auth;
mod common;
mod imap;
mod pop3;
mod reply;

use std::sync::Arc;

use base::Level;
use zeroize::Zeroizing;

use crate::backend::{About, Destination, Failure, FailureKind, UNAVAILABLE};
use crate::config::Config;
use crate::facts::{Peer, Tls};
use crate::input::Input;
use crate::limits::{AUTH_LINE_BYTES_MAX, OUTPUT_BYTES};
use crate::log_line;
use auth::Success;
pub(crate) use auth::{Answer, AuthRequest, Mechanism, Mechanisms};
use common::Common;
pub(crate) use common::Names;
pub(crate) use reply::{AuthReply, Fields};

/// Which protocol a login process speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `imap-login`.
    Imap,
    /// `pop3-login`.
    Pop3,
}

impl Protocol {
    /// The name in settings, in the auth protocol and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }
}

/// What the caller has to do next. Pending output is to be written before all of them.
#[derive(Debug)]
pub(crate) enum Action {
    /// Read more of the client and push it.
    Read,
    /// Only write: there is more input to look at, but enough output for now.
    Flush,
    /// Shake hands, then call [`Session::tls_started`].
    StartTls,
    /// Ask the auth process, then call [`Session::auth_replied`].
    Authenticate(Box<AuthRequest>),
    /// Send the client's response to the auth process, then call [`Session::auth_replied`].
    Respond(Zeroizing<String>),
    /// Forget the request at the auth process; the client was told already.
    Cancel,
    /// Hand the client over, then call [`Session::handed_over`] or [`Session::refused`].
    HandOver,
    /// Log the client in to another server, then call [`Session::proxying`] or
    /// [`Session::proxy_failed`].
    Proxy(Box<Destination>),
    /// Call [`Session::disconnect`] with this reason and close.
    Disconnect(&'static str),
    /// Close; all is said.
    Close,
}

/// How a protocol says things. The rest of the session does not know which one it is.
trait Dialect: Send {
    /// The first line.
    fn greet(&mut self, common: &mut Common);
    /// Looks at the input and executes at most one command.
    fn next(&mut self, common: &mut Common, input: &mut Input, now: u64) -> Step;
    /// Tells how a login attempt ended.
    fn answer(&mut self, common: &mut Common, answer: &Answer<'_>);
    /// Something the client should know meanwhile; `bad` if it is its fault.
    fn status(&self, common: &mut Common, bad: bool, text: &str);
    /// The line before the connection is closed; `internal` if that is our fault.
    fn goodbye(&self, common: &mut Common, text: &str);
    /// TLS begins: what was parsed half is forgotten.
    fn reset(&mut self);
    /// What the mail process needs: the tag and whether CAPABILITY was asked for.
    fn tag(&self) -> (&str, bool);
}

/// What came of looking at the input.
enum Step {
    /// More of it is needed.
    More,
    /// A command is done, there may be another.
    Again,
    /// Something is to be done outside.
    Act(Action),
}

/// What the session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For the auth process, to greet.
    Ready,
    /// For commands.
    Commands,
    /// For the auth process.
    Reply,
    /// For a line of a SASL exchange.
    Response,
    /// For the mail process.
    Finishing,
    /// For another server.
    Proxying,
    /// For nothing.
    Over,
}

/// One client before login.
pub(crate) struct Session {
    common: Common,
    dialect: Box<dyn Dialect>,
    input: Input,
    stage: Stage,
}

impl Session {
    /// A client that connected at `now` with the session id `id`.
    pub(crate) fn new(protocol: Protocol, config: Arc<Config>, peer: Peer, id: String, now: u64) -> Self {
        let dialect: Box<dyn Dialect> = match protocol {
            Protocol::Imap => Box::new(imap::Imap::new()),
            Protocol::Pop3 => Box::new(pop3::Pop3::default()),
        };
        let common = Common::new(protocol, config, peer, id, now);
        Self { common, dialect, input: Input::default(), stage: Stage::Ready }
    }

    /// The auth process is there and offers these mechanisms: greets the client, once.
    pub(crate) fn auth_ready(&mut self, mechanisms: Arc<Mechanisms>) {
        self.common.mechanisms = mechanisms;
        if self.stage == Stage::Ready {
            self.stage = Stage::Commands;
            self.common.auth_is_ready = true;
            self.dialect.greet(&mut self.common);
        }
    }

    /// The same where a TLS handshake comes first: the client counts as greeted, which the log line
    /// of a failed handshake shows, and is greeted by the next [`Session::auth_ready`].
    pub(crate) fn auth_ready_before_tls(&mut self) {
        self.common.auth_is_ready = true;
    }

    /// More of the client.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// Goes on as far as the input allows.
    pub(crate) fn advance(&mut self, now: u64) -> Action {
        loop {
            let step = match self.stage {
                Stage::Commands => self.dialect.next(&mut self.common, &mut self.input, now),
                Stage::Response => self.response_line(),
                Stage::Over => return Action::Close,
                Stage::Ready | Stage::Reply | Stage::Finishing | Stage::Proxying => Step::More,
            };
            match step {
                Step::More => return Action::Read,
                Step::Again if self.common.output.len() > OUTPUT_BYTES => return Action::Flush,
                Step::Again => {}
                Step::Act(action) => {
                    if matches!(action, Action::Authenticate(_) | Action::Respond(_)) {
                        self.stage = Stage::Reply;
                    }
                    return action;
                }
            }
        }
    }

    fn response_line(&mut self) -> Step {
        let Some(line) = self.input.line() else {
            return match self.input.rest().len() > AUTH_LINE_BYTES_MAX {
                true => Step::Act(Action::Disconnect("Authentication response too large")),
                false => Step::More,
            };
        };
        if line.len() > AUTH_LINE_BYTES_MAX {
            return Step::Act(Action::Disconnect("Authentication response too large"));
        }
        self.stage = Stage::Commands;
        if line.as_slice() == b"*" {
            self.common.was_aborted = true;
            self.common.in_authentication = false;
            self.dialect.answer(&mut self.common, &Answer::aborted());
            return Step::Act(Action::Cancel);
        }
        match auth::checked_base64(&line) {
            Some(response) => {
                self.common.awaits_response = false;
                Step::Act(Action::Respond(response))
            }
            None => {
                auth::failed(&mut self.common, &mut *self.dialect, "Invalid base64 in response", None);
                Step::Act(Action::Cancel)
            }
        }
    }

    /// The auth process's answer. Returns what is to be done at once: [`Action::HandOver`],
    /// [`Action::Proxy`], or [`Action::Read`] to go on with [`Session::advance`].
    pub(crate) fn auth_replied(&mut self, reply: AuthReply, now: u64) -> Action {
        self.common.awaits_response = false;
        match reply {
            AuthReply::Continue(challenge) => {
                self.common.say(&["+ ", &challenge, "\r\n"]);
                self.common.awaits_response = true;
                self.stage = Stage::Response;
                Action::Read
            }
            AuthReply::Ok { fields } => {
                self.stage = Stage::Commands;
                match auth::succeeded(&mut self.common, &mut *self.dialect, fields, now) {
                    Success::HandOver => {
                        self.stage = Stage::Finishing;
                        Action::HandOver
                    }
                    Success::Proxy(destination) => {
                        self.stage = Stage::Proxying;
                        Action::Proxy(destination)
                    }
                    Success::Refused => Action::Read,
                }
            }
            AuthReply::Fail { fields } => {
                self.stage = Stage::Commands;
                auth::refused(&mut self.common, &mut *self.dialect, fields, now);
                Action::Read
            }
            AuthReply::Lost => {
                self.stage = Stage::Commands;
                self.common.lost_auth = true;
                auth::refused(&mut self.common, &mut *self.dialect, Fields::lost(), now);
                Action::Read
            }
        }
    }

    /// The mail process `pid` has the client: the log line `Login`.
    pub(crate) fn handed_over(&mut self, pid: u32) {
        self.common.mail_pid = Some(pid);
        self.common.log(Level::Info, "Login");
        self.stage = Stage::Over;
    }

    /// The client is not taken, for a reason it may read: by the mail process `pid`, or because it has
    /// too many connections.
    pub(crate) fn refused(&mut self, text: &str, pid: Option<u32>) {
        let answer = if pid.is_none() { Answer::limit(text) } else { Answer::temporary(text) };
        self.common.mail_pid = pid;
        self.dialect.answer(&mut self.common, &answer);
        self.end(text.to_owned());
    }

    /// A post-login script of the mail process `pid` did not go on; it has told the client whatever it
    /// wanted to, or says it by these words.
    pub(crate) fn denied_by_script(&mut self, last_words: &[u8], pid: u32) {
        self.common.mail_pid = Some(pid);
        self.say(last_words);
        self.end("Post-login script denied access".to_owned());
    }

    /// The client could not be handed over, not even if there was a mail process; why is in the log
    /// already. `pid` and `id` are of the request to auth.
    pub(crate) fn hand_over_failed(&mut self, pid: u32, id: u32, mail_pid: Option<u32>) {
        self.common.mail_pid = mail_pid;
        let text = "Internal error occurred. Refer to server log for more information.";
        self.dialect.answer(&mut self.common, &Answer::temporary(text));
        self.end(format!("Internal login failure (pid={pid} id={id})"));
    }

    /// What another server is told about the client.
    pub(crate) fn about(&self) -> About {
        let (tag, ignores_codes) = self.dialect.tag();
        let Common { peer, session_id, client_id, proxy_ttl, .. } = &self.common;
        About {
            session_id: session_id.clone(),
            remote_ip: peer.ends.remote_ip(),
            remote_port: peer.ends.remote_port(),
            local_ip: peer.ends.local_ip(),
            local_port: peer.ends.local_port(),
            ttl: *proxy_ttl,
            client_id: client_id.clone(),
            tag: tag.to_owned(),
            ignores_codes,
        }
    }

    /// What another server says to the client.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.common.output.extend_from_slice(bytes);
    }

    /// The client could not be logged in to the other server, and why: it may try again. `prefix` is that
    /// of the server's log lines, `details` says how it was tried.
    pub(crate) fn proxy_failed(&mut self, failure: &Failure, prefix: &str, details: &str) {
        let Failure { kind, reason, reply } = failure;
        if !kind.is_about_login() {
            self.common.log(Level::Error, &format!("{prefix}{}{reason}", kind.prefix()));
        } else if self.common.config.auth_verbose {
            self.common.log(Level::Info, &format!("{prefix}Login failed{details}: {reason}"));
        }
        self.common.refused_elsewhere |= kind.is_about_login();
        let answer = match kind {
            FailureKind::RemoteConfig => Answer::misconfigured(UNAVAILABLE),
            _ => Answer::temporary(UNAVAILABLE),
        };
        match reply {
            Some(reply) => self.common.say(&[reply]),
            None => self.dialect.answer(&mut self.common, &answer),
        }
        self.stage = Stage::Commands;
    }

    /// The client is logged in to the other server: the log line. Gives what the client sent early.
    pub(crate) fn proxying(&mut self, text: &str) -> Vec<u8> {
        self.common.log(Level::Info, text);
        self.stage = Stage::Over;
        self.input.take_all()
    }

    /// What log lines show of the client from now on.
    pub(crate) fn log_elements(&self) -> String {
        log_line::elements(&self.common.config.log, &self.common.facts())
    }

    /// When the client connected, in seconds since 1970.
    pub(crate) fn created_s(&self) -> u64 {
        self.common.created_s
    }

    /// The client is logged out or gone: the log line `Disconnected`, with the reason and how far
    /// it had come.
    pub(crate) fn disconnect(&mut self, reason: &str, now: u64) {
        let mut reason = reason.to_owned();
        let extra = self.common.how_far(now);
        if !extra.is_empty() {
            reason.push(' ');
            reason.push_str(&extra);
        }
        self.end(reason);
    }

    /// The same when we are to blame or in a hurry: the client is told first.
    pub(crate) fn send_away(&mut self, text: &str, reason: &str, now: u64) {
        self.dialect.goodbye(&mut self.common, text);
        self.disconnect(reason, now);
    }

    /// The login timeout is over.
    pub(crate) fn timed_out(&mut self, now: u64) {
        match self.stage {
            Stage::Finishing => {
                let waited = now.saturating_sub(self.common.authenticated_s);
                let reason = format!("Timeout while finishing login (waited {waited} secs)");
                self.common.log(Level::Error, &reason);
                self.send_away("Timeout while finishing login.", &reason, now);
            }
            Stage::Proxying => {
                let reason = "Logging in timed out";
                self.common.log(Level::Error, reason);
                self.send_away("Timeout while finishing login.", reason, now);
            }
            Stage::Reply | Stage::Response => {
                let text = "Disconnected for inactivity during authentication.";
                self.send_away(text, "Inactivity during authentication", now);
            }
            _ => self.send_away("Disconnected for inactivity.", "Inactivity", now),
        }
    }

    fn end(&mut self, reason: String) {
        if self.stage != Stage::Over {
            self.stage = Stage::Over;
            self.common.log(Level::Info, &format!("Disconnected: {reason}"));
        }
    }

    /// Says that we still wait: for the auth process, or for the mail process.
    pub(crate) fn note_waiting(&mut self) {
        if !self.common.auth_is_ready {
            let text = "Auth process not responding, delayed sending initial response (greeting)";
            self.common.log(Level::Warning, text);
        }
        let text = match self.stage {
            Stage::Finishing => "Waiting for authentication master process to respond..",
            _ => "Waiting for authentication process to respond..",
        };
        self.dialect.status(&mut self.common, false, text);
    }

    /// The handshake begins, implicit or after STARTTLS: bytes that came in the clear until now are
    /// for the handshake, which is what keeps commands from being smuggled in before it.
    pub(crate) fn tls_starting(&mut self) -> Vec<u8> {
        self.common.peer.tls = Tls::Handshaking(None);
        self.common.peer.secured = true;
        self.dialect.reset();
        self.input.take_all()
    }

    /// The handshake failed.
    pub(crate) fn tls_failed(&mut self, error: &str) {
        self.common.peer.tls = Tls::Handshaking(Some(error.to_owned()));
    }

    /// The handshake is through. `details` is `%k` of the log line.
    pub(crate) fn tls_started(&mut self, details: String, cert: net::tls::ClientCert) {
        self.common.peer.tls = Tls::On(details);
        self.common.peer.cert = cert;
    }

    /// What the handshake gives to bind an authentication to.
    pub(crate) fn set_bindings(&mut self, bindings: net::tls::Bindings) {
        self.common.peer.bindings = bindings;
    }

    /// Other settings hold, since the client asked for a server by name.
    pub(crate) fn set_config(&mut self, config: Arc<Config>, local_name: &str) {
        self.common.config = config;
        self.common.peer.local_name = Some(local_name.to_owned());
    }

    /// A line for the log, with the client's particulars.
    pub(crate) fn log(&mut self, level: Level, text: &str) {
        self.common.log(level, text);
    }

    /// Lines for the log since the last call.
    pub(crate) fn take_lines(&mut self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.common.lines)
    }

    /// Bytes for the client since the last call.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.common.output)
    }

    /// Whether bytes for the client wait.
    pub(crate) fn has_output(&self) -> bool {
        !self.common.output.is_empty()
    }

    /// What the mail process is told.
    pub(crate) fn hand_over(&mut self) -> HandOver {
        let (tag, untagged_capability) = self.dialect.tag();
        HandOver {
            tag: tag.to_owned(),
            untagged_capability,
            session_id: self.common.session_id.clone(),
            input: self.input.take_all(),
            postlogin_socket: self.common.postlogin_socket.clone(),
        }
    }

    /// What is known of the client.
    pub(crate) fn peer(&self) -> &Peer {
        &self.common.peer
    }

    /// The settings that hold for it.
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.common.config
    }

    /// Whether a challenge is with the client.
    pub(crate) fn awaits_response(&self) -> bool {
        self.stage == Stage::Response
    }

    /// Whether bytes of the client wait.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// The auth process that was asked.
    pub(crate) fn mechanisms(&self) -> &Mechanisms {
        &self.common.mechanisms
    }

    /// Whether the session has been greeted.
    pub(crate) fn is_greeted(&self) -> bool {
        self.stage != Stage::Ready
    }
}

/// The part of a hand-over that the session knows.
#[derive(Debug)]
pub(crate) struct HandOver {
    pub(crate) tag: String,
    pub(crate) untagged_capability: bool,
    pub(crate) session_id: String,
    pub(crate) input: Vec<u8>,
    pub(crate) postlogin_socket: Option<String>,
}

#[cfg(test)]
mod tests;
