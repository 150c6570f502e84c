//! A login process hands a logged-in client to a mail process (`login/imap`, `login/pop3`).
//!
//! The login process connects, sends one [`Request`] with the client's descriptor beside its first
//! byte, and reads one [`Reply`].

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A client that has proved who it is. Descriptor: its socket, or where TLS is on one end of a
/// socket pair whose other end the login process proxies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The auth process that vouched (`SPID`), and the request's id at it.
    pub auth_pid: u32,
    /// Id of the authentication request, unique for the login process.
    pub auth_id: u32,
    /// The login process's connection id at the auth process (`CUID`'s owner): its pid.
    pub client_pid: u32,
    /// The cookie of the auth process's handshake, 32 hexadecimal digits.
    pub cookie: String,
    /// Tag of the IMAP command that logged in; empty for POP3.
    pub tag: String,
    /// IMAP: the client asked for CAPABILITY by command before it logged in, so it is taken not to
    /// read response codes: the reply is `* CAPABILITY …` and a plain `OK Logged in` instead of
    /// `OK [CAPABILITY …] Logged in`.
    pub untagged_capability: bool,
    /// The session id that stands in log lines.
    pub session_id: String,
    /// What the client had sent already beyond its login command.
    pub input: Vec<u8>,
    /// The client's address, after the PROXY header or a trusted proxy's word.
    pub remote_ip: Option<IpAddr>,
    /// Its port.
    pub remote_port: u16,
    /// The address it connected to.
    pub local_ip: Option<IpAddr>,
    /// And the port.
    pub local_port: u16,
    /// Name asked for by SNI, for `local_name` filters.
    pub local_name: String,
    /// Whether the client's connection has TLS.
    pub tls: bool,
    /// Whether it counts as secured: TLS, or from this very host.
    pub secured: bool,
    /// The line the client is to get before all others, when the login process has not sent it:
    /// `true` when the mail process answers the tagged OK itself.
    pub send_ok: bool,
    /// Who it is. A login process leaves it empty and would not be believed: only mail processes
    /// that still have root's rights pass on what auth has told them.
    pub known: Option<Known>,
}

/// A user as auth has told a mail process, which then had to leave the client to another one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Known {
    /// The user's name.
    pub username: String,
    /// The userdb's fields.
    pub fields: Vec<(String, String)>,
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// The client is served by the process `pid` (`mpid` in the log).
    Ok {
        /// Process id.
        pid: u32,
    },
    /// It is not. The login process tells the client and closes.
    Failed {
        /// What the client may read.
        client_text: String,
        /// Which kind of failure, for the response code.
        kind: FailureKind,
        /// Process id of who says so, for the log.
        pid: u32,
    },
}

/// Kinds of failed hand-over, which the login process maps to `[UNAVAILABLE]`, `[LIMIT]` and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// Something is broken here: "Internal login failure".
    Internal,
    /// The auth process no longer knows the request.
    Expired,
    /// `mail_max_userip_connections` reached.
    Limit,
    /// The user's settings are broken or the user may not use this service.
    Denied,
    /// A post-login script did not go on. What the client gets to read is the script's business.
    Script,
}
