//! IMAP4rev1 (RFC 3501) as bytes and values, with no input or output: the login process and the
//! session feed a [`CommandReader`] with what the client sent and get commands, which
//! [`Command::parse`] or [`login::parse`] give a meaning; [`response`] writes the answers.
//!
//! Nothing here knows mailboxes, messages or the clock.

pub mod arg;
pub mod command;
pub mod date;
pub mod error;
pub mod flag;
pub mod kind;
mod lexer;
pub mod limits;
pub mod line;
pub mod login;
pub mod mailbox;
pub mod reader;
pub mod response;
pub mod sequence;
mod skip;

pub use arg::Arg;
pub use command::Command;
pub use error::{ArgsError, Place, SyntaxError};
pub use kind::{CommandKind, Phase};
pub use line::LineReader;
pub use mailbox::MailboxName;
pub use reader::{CommandReader, Event, MessageHead, RawCommand, Tag};
pub use sequence::SequenceSet;
