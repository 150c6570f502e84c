//! Server-side SASL mechanisms (RFC 4422) as state machines without input or output.
//!
//! The caller feeds what the client sent and does what the returned [`Step`] asks: send a
//! challenge, verify a password, look up credentials, or end. What a passdb says goes back in by
//! [`Mechanism::answer`]. To add a mechanism, copy `plain.rs`, and add a line to [`MECHANISMS`].

mod anonymous;
mod apop;
mod cram_md5;
mod digest_md5;
mod external;
pub mod gssapi;
mod login;
mod oauth2;
mod otp;
mod plain;
mod scram;
#[cfg(test)]
mod tests;
pub mod token;

use std::borrow::Cow;

use crate::Secret;
use crate::scheme::Random;

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
    /// Let the client in as `auth_anonymous_username`, then call [`Mechanism::answer`] with
    /// [`Answer::Verified`].
    Anonymous {
        /// What it says about itself, for the log.
        trace: String,
    },
    /// Take this as the name of who the client is, for the log, then call [`Mechanism::answer`] with
    /// [`Answer::Named`]. Nobody is asked yet.
    Name {
        /// Who a ticket says it is.
        user: String,
    },
    /// Ask the passdbs what they know about the user, which need not be there, then call
    /// [`Mechanism::answer`] with [`Answer::User`]. A user that is disabled fails.
    Authorize {
        /// Who the client wants to be.
        user: String,
    },
    /// Let the passdb that gave the password keep this one from now on, then call
    /// [`Mechanism::answer`] with [`Answer::Verified`].
    Store {
        /// Its scheme, as in `{SCHEME}`.
        scheme: &'static str,
        /// What stands behind the scheme.
        value: Secret,
    },
    /// Compare with the token that this holder was given, then call [`Mechanism::answer`] with
    /// [`Answer::Verified`].
    Token {
        /// Who it says it is.
        holder: token::Holder,
        /// What it has.
        token: Secret,
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
    /// The realm of a DIGEST-MD5 secret where it is not what follows the `@` in `user`.
    pub realm: Option<String>,
}

/// What the passdbs said.
#[derive(Debug)]
pub enum Answer<'a> {
    /// Whether the password was right.
    Verified(bool),
    /// They cannot say at the moment.
    Unavailable,
    /// The token was refused; a client may get a better one where this document says
    /// (`openid-configuration` of RFC 7628 §3.2.2).
    TokenRefused {
        /// The document's address.
        configuration: &'a str,
    },
    /// The stored credentials, decoded; `None` if there are none in the scheme asked for.
    Credentials(Option<&'a [u8]>),
    /// The name of a [`Step::Name`] is one that a user may have.
    Named,
    /// The user of a [`Step::Authorize`], as the databases call it.
    User {
        /// Its name.
        name: &'a str,
        /// The passdb field `k5principals`: who else may log in under this name.
        principals: Option<&'a str>,
    },
}

/// Why a mechanism ended without success, apart from a wrong password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// The response was made with another password.
    #[error("Password mismatch")]
    Mismatch,
    /// What the message lacks, in 2.3's words.
    #[error("{0}")]
    Message(Cow<'static, str>),
    /// What the passdb has stored is of no use; an error of the administrator's.
    #[error("{0}")]
    Credentials(Cow<'static, str>),
    /// What a library has to say, a line each.
    #[error("{}", .0.join(", "))]
    Said(Vec<String>),
    /// The same, where it is not the client's fault.
    #[error("{}", .0.join(", "))]
    Unable(Vec<String>),
    /// Data or an answer came that nobody had asked for.
    #[error("unexpected data")]
    Unexpected,
}

impl Refusal {
    fn of(text: &'static str) -> Self {
        Self::Message(text.into())
    }
}

/// What mechanisms need to know besides what the client says.
pub struct Context<'a> {
    /// Where nonces come from.
    pub random: Random<'a>,
    /// This host's name, part of challenges.
    pub host: &'a str,
    /// Seconds since 1970.
    pub now_s: u64,
    /// `auth_realms`, which DIGEST-MD5 offers.
    pub realms: &'a [String],
    /// Who may have made APOP's challenge.
    pub issuer: Issuer,
    /// What ties the authentication to the client's TLS session.
    pub bindings: Bindings,
    /// Whether a certificate told who the client is.
    pub user_is_known: bool,
    /// What accepts tickets, for mechanisms that need it ([`Need::Acceptor`]).
    pub acceptor: Option<Box<dyn gssapi::Acceptor>>,
}

/// The auth process and the connection that a login process made its APOP challenge for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issuer {
    /// The auth process.
    pub pid: u32,
    /// The login process's connection to it (`CUID`).
    pub connection_id: u32,
    /// When the auth process was started, in seconds since 1970.
    pub started_s: u64,
}

/// Channel bindings (RFC 5056) of the client's TLS session, as far as the login process has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings {
    /// `tls-exporter` (RFC 9266).
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` (RFC 5929 §4).
    pub end_point: Option<Vec<u8>>,
}

impl Bindings {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.exporter.is_none() && self.end_point.is_none()
    }
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
    /// The exchange is tied to the TLS session, which only login processes know of. The word is
    /// that of Dovecot 2.4.
    ChannelBinding,
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
            Self::ChannelBinding => "channel-binding",
        }
    }
}

/// A mechanism that the server can offer.
pub struct MechanismInfo {
    /// Its SASL name, in upper case.
    pub name: &'static str,
    /// What the handshake says about it, in the handshake's order.
    pub properties: &'static [Property],
    /// What it asks of the passdbs.
    pub need: Need,
    /// Begins an attempt.
    pub begin: fn(&mut Context<'_>) -> Box<dyn Mechanism>,
}

/// What a mechanism asks of the passdbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It works without any.
    Nothing,
    /// They verify a password.
    Verify,
    /// They give the stored password.
    Lookup,
    /// They give the stored password, and store another one.
    Store,
    /// It works without any, but not without a [`gssapi::Acceptor`], which blocks: each of its steps is
    /// for a thread of its own.
    Acceptor,
}

impl MechanismInfo {
    /// Whether the password itself crosses the wire.
    pub fn is_plaintext(&self) -> bool {
        self.properties.contains(&Property::Plaintext)
    }

    /// Whether it needs what only login processes know of the client's TLS session.
    pub fn is_bound(&self) -> bool {
        self.properties.contains(&Property::ChannelBinding)
    }
}

impl std::fmt::Debug for MechanismInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Every mechanism there is.
pub static MECHANISMS: &[MechanismInfo] = &[
    plain::INFO,
    login::INFO,
    apop::INFO,
    cram_md5::INFO,
    digest_md5::INFO,
    external::INFO,
    gssapi::GSSAPI,
    gssapi::GSS_SPNEGO,
    scram::SHA1,
    scram::SHA1_PLUS,
    scram::SHA256,
    scram::SHA256_PLUS,
    otp::INFO,
    anonymous::INFO,
    oauth2::OAUTHBEARER,
    oauth2::XOAUTH2,
];

/// The mechanism for our own processes, on sockets of its own.
pub static DOVECOT_TOKEN: &MechanismInfo = &token::INFO;

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

/// A message as text, if it is of a bearable length and without NULs.
fn text(data: &[u8]) -> Result<&str, Refusal> {
    if data.len() > crate::limits::SASL_MESSAGE_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    if data.contains(&0) {
        return Err(Refusal::InvalidInput);
    }
    std::str::from_utf8(data).map_err(|_| Refusal::InvalidInput)
}

/// A name in a message of the RFC 5801 family, where `,` and `=` are written `=2C` and `=3D`.
fn unescape_name(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        name.push(match after.get(..2)? {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        rest = after.get(2..)?;
    }
    name.push_str(rest);
    Some(name)
}

/// How a mechanism that asked for [`Step::Verify`] and has nothing more to say ends.
fn verdict(awaited: bool, answer: &Answer<'_>) -> Step {
    match answer {
        Answer::Verified(true) if awaited => Step::Success(Vec::new()),
        Answer::Verified(false) | Answer::Unavailable | Answer::TokenRefused { .. } if awaited => {
            Step::Fail(Refusal::NotVerified)
        }
        _ => Step::Fail(Refusal::Unexpected),
    }
}
