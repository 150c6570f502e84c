//! Server-side SASL mechanisms (RFC 4422) as state machines without input or output.
//!
//! The caller feeds what the client sent and does what the returned [`Step`] asks: send a
//! challenge, verify a password, look up credentials, or end. What a passdb says goes back in by
//! [`Mechanism::answer`]. To add a mechanism, copy `plain.rs`, and add a line to [`MECHANISMS`].

mod login;
mod plain;

use crate::Secret;

/// What a mechanism wants next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this to the client and give its reply to [`Mechanism::respond`].
    Challenge(Vec<u8>),
    /// Ask the passdbs whether this is the user's password, then call [`Mechanism::answer`] with
    /// [`Answer::Verified`].
    Verify {
        /// Who the client says it is.
        identity: Identity,
        /// What it gave as the password.
        password: Secret,
    },
    /// Ask the passdbs for the password in one of these schemes, then call
    /// [`Mechanism::answer`] with [`Answer::Credentials`].
    Lookup {
        /// Who the client says it is.
        identity: Identity,
        /// The scheme that is needed, as in `{SCHEME}`.
        scheme: &'static str,
    },
    /// The client is who it says. The last data go to it together with the success.
    Success(Vec<u8>),
    /// The client failed; the log line is in [`Refusal`].
    Fail(Refusal),
}

/// The names a client gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The authentication identity: whose password it is.
    pub user: String,
    /// The authorization identity, if it is another one: who a master user wants to be.
    pub login_user: Option<String>,
}

/// What the passdbs said.
#[derive(Debug)]
pub enum Answer<'a> {
    /// Whether the password was right.
    Verified(bool),
    /// The stored credentials, decoded; `None` if there are none in the scheme asked for.
    Credentials(Option<&'a [u8]>),
}

/// Why a mechanism ended without success, apart from a wrong password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The message does not follow the mechanism's grammar.
    #[error("invalid input")]
    InvalidInput,
    /// The message is longer than [`crate::limits::SASL_MESSAGE_BYTES_MAX`], or the name in it
    /// than [`crate::limits::USERNAME_BYTES_MAX`].
    #[error("invalid input: too long")]
    TooLong,
    /// The passdbs said no.
    #[error("authentication failed")]
    NotVerified,
    /// Data or an answer came that nobody had asked for.
    #[error("unexpected data")]
    Unexpected,
}

/// One attempt of one client.
pub trait Mechanism: Send {
    /// Starts. `initial` is the initial response: `None` if the client sent none, empty if it
    /// sent an empty one (`=`).
    fn start(&mut self, initial: Option<&[u8]>) -> Step;

    /// Takes the reply to a challenge.
    fn respond(&mut self, data: &[u8]) -> Step;

    /// Takes what the passdbs said to a [`Step::Verify`] or [`Step::Lookup`].
    fn answer(&mut self, answer: Answer<'_>) -> Step;
}

/// What the handshake tells about a mechanism, each a word in its `MECH` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// Not to be offered to clients of other servers' kinds.
    Private,
    /// Nobody is identified.
    Anonymous,
    /// The password crosses the wire.
    Plaintext,
    /// What crosses the wire can be guessed offline.
    Dictionary,
    /// An active attacker can win.
    Active,
    /// Old sessions stay safe when a key leaks.
    ForwardSecrecy,
    /// The server proves itself too.
    MutualAuth,
}

impl Property {
    /// The word in the handshake.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Anonymous => "anonymous",
            Self::Plaintext => "plaintext",
            Self::Dictionary => "dictionary",
            Self::Active => "active",
            Self::ForwardSecrecy => "forward-secrecy",
            Self::MutualAuth => "mutual-auth",
        }
    }
}

/// A mechanism that the server can offer.
pub struct MechanismInfo {
    /// Its SASL name, in upper case.
    pub name: &'static str,
    /// What the handshake says about it, in the handshake's order.
    pub properties: &'static [Property],
    /// Begins an attempt.
    pub begin: fn() -> Box<dyn Mechanism>,
}

impl MechanismInfo {
    /// Whether the password itself crosses the wire.
    pub fn is_plaintext(&self) -> bool {
        self.properties.contains(&Property::Plaintext)
    }
}

impl std::fmt::Debug for MechanismInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Every mechanism there is.
pub static MECHANISMS: &[MechanismInfo] = &[plain::INFO, login::INFO];

/// The mechanism of this name in any case.
pub fn find(name: &str) -> Option<&'static MechanismInfo> {
    MECHANISMS.iter().find(|mechanism| mechanism.name.eq_ignore_ascii_case(name))
}

/// A user name out of a message: UTF-8, not too long.
fn name(data: &[u8]) -> Result<String, Refusal> {
    if data.len() > crate::limits::USERNAME_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    if data.contains(&0) {
        return Err(Refusal::InvalidInput);
    }
    String::from_utf8(data.to_vec()).map_err(|_| Refusal::InvalidInput)
}

/// How a mechanism that asked for [`Step::Verify`] and has nothing more to say ends.
fn verdict(awaited: bool, answer: &Answer<'_>) -> Step {
    match answer {
        Answer::Verified(true) if awaited => Step::Success(Vec::new()),
        Answer::Verified(false) if awaited => Step::Fail(Refusal::NotVerified),
        _ => Step::Fail(Refusal::Unexpected),
    }
}
