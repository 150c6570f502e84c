//! Why a command was refused, in Dovecot's words. All of these are the client's fault.

use std::borrow::Cow;
use std::fmt;

use super::reader::Tag;

/// A command line that could not be read. The reader skips the rest of the line by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Whom to answer; without one the answer is untagged.
    pub tag: Option<Tag>,
    /// What was being read.
    pub place: Place,
    /// What is wrong with it.
    pub text: &'static str,
}

/// Which part of a command line an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The tag.
    Tag,
    /// The command's name.
    Name,
    /// The arguments of the command with this name, or the whole command if it is not known.
    Command(Box<str>),
    /// Nothing that follows can be understood: `* BYE` with [`SyntaxError::text`] and disconnect.
    Stream,
}

impl SyntaxError {
    /// Whether the connection has to end.
    pub fn is_fatal(&self) -> bool {
        self.place == Place::Stream
    }
}

/// Prints what follows `BAD ` in the answer, without the closing full stop.
impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tag => write!(f, "Error in IMAP tag: {}", self.text),
            Place::Name => write!(f, "Error in IMAP command: {}", self.text),
            Place::Command(name) => write!(f, "Error in IMAP command {name}: {}", self.text),
            Place::Stream => f.write_str(self.text),
        }
    }
}

impl std::error::Error for SyntaxError {}

/// A well-formed command whose arguments mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// `BAD Error in IMAP command NAME: text`.
    #[error("{0}")]
    Bad(Cow<'static, str>),
    /// `NO text`, where the request can be understood but not granted; a response code may come
    /// before the text.
    #[error("{text}")]
    No {
        /// The code in brackets.
        code: Option<&'static str>,
        /// The text after it.
        text: Cow<'static, str>,
    },
}

impl ArgsError {
    /// A `BAD` with a fixed text.
    pub const fn bad(text: &'static str) -> Self {
        Self::Bad(Cow::Borrowed(text))
    }

    /// A `NO` with a fixed text.
    pub const fn no(text: &'static str) -> Self {
        Self::No { code: None, text: Cow::Borrowed(text) }
    }
}

/// What most commands say about arguments of the wrong kind or number.
pub(crate) const INVALID_ARGUMENTS: ArgsError = ArgsError::bad("Invalid arguments");
/// What commands that take strings only say if there are too few.
pub(crate) const MISSING_ARGUMENTS: ArgsError = ArgsError::bad("Missing arguments");
