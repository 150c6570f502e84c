//! Tagged answers, and the one place where an error becomes what the client reads.

use std::borrow::Cow;

use storage::{Error, ErrorKind};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `OK`, `NO` or `BAD`.
    pub condition: &'static str,
    /// The response code, without brackets.
    pub code: Option<Cow<'static, str>>,
    /// The text, without its full stop.
    pub text: Cow<'static, str>,
    /// What the client is told of changes before the answer.
    pub sync: Sync,
}

/// Which changes of the selected mailbox are announced before an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// None: nothing is even looked for.
    None,
    /// All but EXPUNGE, which would change the meaning of sequence numbers that the client may
    /// have sent already (RFC 3501 §7.4.1).
    KeepExpunged {
        /// With UIDs in FETCH responses.
        uid: bool,
    },
    /// All.
    All {
        /// With UIDs in FETCH responses.
        uid: bool,
        /// How hard to look.
        mode: storage::SyncMode,
        /// Whether new mail is announced even under the `delay-newmail` workaround.
        newmail: bool,
    },
}

impl Sync {
    /// The usual one after a command that may announce everything.
    pub const ALL: Self = Self::All { uid: false, mode: storage::SyncMode::Quick, newmail: false };
    /// The same with UIDs.
    pub const ALL_UID: Self = Self::All { uid: true, mode: storage::SyncMode::Quick, newmail: false };

    /// After FETCH, SEARCH, STORE, COPY and their UID variants.
    pub const fn after_messages(uid: bool) -> Self {
        if uid { Self::ALL_UID } else { Self::KeepExpunged { uid: false } }
    }
}

impl Answer {
    /// `OK` with a text.
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self { condition: "OK", code: None, text: text.into(), sync: Sync::None }
    }

    /// `NO` with a text.
    pub fn no(text: impl Into<Cow<'static, str>>) -> Self {
        Self { condition: "NO", code: None, text: text.into(), sync: Sync::None }
    }

    /// `BAD` with a text.
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self { condition: "BAD", code: None, text: text.into(), sync: Sync::None }
    }

    /// The same with a response code.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The same with changes announced first.
    #[must_use]
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = sync;
        self
    }

    /// What the client is told of a failure.
    pub fn of_error(error: &Error) -> Self {
        let code = match error.kind() {
            ErrorKind::NotFound => "NONEXISTENT",
            ErrorKind::Exists => "ALREADYEXISTS",
            ErrorKind::Permission => "NOPERM",
            ErrorKind::Quota => "OVERQUOTA",
            ErrorKind::NotPossible | ErrorKind::Params => "CANNOT",
            ErrorKind::InUse => "INUSE",
            ErrorKind::Expunged => "EXPUNGEISSUED",
            ErrorKind::Temporary => "SERVERBUG",
        };
        let text = error.client_text();
        Self::no(text.strip_suffix('.').map(str::to_owned).unwrap_or(text)).code(code)
    }

    /// The same for opening a mailbox, where 2.3 has no code for one that is not there.
    pub fn of_open_error(error: &Error) -> Self {
        let answer = Self::of_error(error);
        match error {
            Error::NotFound(_) | Error::NotSelectable(_) => Self { code: None, ..answer },
            _ => answer,
        }
    }

    /// The same for a destination, which the client might create (RFC 3501 §7.1).
    pub fn of_destination_error(error: &Error) -> Self {
        let answer = Self::of_error(error);
        match error {
            // CREATE makes a mailbox of a name that only holds others.
            Error::NotFound(_) | Error::NotSelectable(_) => answer.code("TRYCREATE"),
            _ => answer,
        }
    }
}
