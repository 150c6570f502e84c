//! A login process asks the auth process for a connection to another server (`login/auth-connect`).
//!
//! Login processes cannot connect to anything themselves. The auth process has said where a client is
//! to be proxied to, and connects there and nowhere else, for that login only.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Asks for a connection to where the auth process said that a client is to be proxied to. Answered
/// with [`Connected`]; closing the socket before gives the request up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// The login process, by its id.
    pub client_pid: u32,
    /// The cookie of the auth process's handshake, 32 hexadecimal digits.
    pub cookie: String,
    /// The authentication request that ended with `proxy`.
    pub auth_id: u32,
    /// The address to connect from, if not any.
    pub source_ip: Option<IpAddr>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u32,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connected {
    /// Descriptor: the connected socket.
    Ok,
    /// The other server cannot be reached.
    Failed {
        /// The system's words.
        reason: String,
        /// The address that was connected from, if it came so far.
        local: Option<SocketAddr>,
    },
    /// The auth process does not know the request: it is not the one that was asked, or the login was
    /// not one to proxy.
    Expired,
}

/// The port of a protocol that passdbs need not name; `tls` if TLS comes first (`ssl=yes`). 0 for a
/// protocol that is not proxied.
pub fn default_port(service: &str, tls: bool) -> u16 {
    match (service, tls) {
        ("imap", false) => 143,
        ("imap", true) => 993,
        ("pop3", false) => 110,
        ("pop3", true) => 995,
        ("submission", false) => 587,
        ("submission", true) => 465,
        ("sieve", _) => 4190,
        _ => 0,
    }
}
