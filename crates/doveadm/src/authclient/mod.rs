//! The auth protocols from the asking side, for any server that speaks version 1: the client
//! protocol (`auth-client`, `auth-login`) and the master protocol (`auth-userdb`, `auth-master`).

mod client;
mod info;
mod lines;
mod master;

pub(crate) use client::{Answer, AuthClient, Verdict};
pub(crate) use info::Info;
pub(crate) use master::{AuthMaster, Found};

/// Why the auth process did not answer. `Display` is what follows `auth-master: ` in 2.3's errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("connect({0}) failed: {1}")]
    Connect(String, String),
    #[error("{0} failed: {1}")]
    Socket(&'static str, String),
    #[error("Disconnected unexpectedly")]
    Disconnected,
    #[error("Request timed out")]
    TimedOut,
    #[error("BUG: Received more than {0} bytes")]
    TooLong(u64),
    #[error("Auth server sent {0}")]
    Handshake(String),
    #[error("BUG: Unexpected input: {0}")]
    Unexpected(String),
}
