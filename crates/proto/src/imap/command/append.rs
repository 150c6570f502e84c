//! APPEND (RFC 3501 §6.3.11): what stands before a message.

use super::super::arg::Arg;
use super::super::date::DateTime;
use super::super::error::{ArgsError, INVALID_ARGUMENTS, MISSING_ARGUMENTS};
use super::super::flag::FlagList;
use super::super::mailbox::MailboxName;
use super::super::reader::MessageHead;

/// Where and how a message is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendMessage {
    /// The mailbox; `None` for a further message of the same command (RFC 3502).
    pub mailbox: Option<MailboxName>,
    /// Its flags.
    pub flags: FlagList,
    /// Its internal date, if not now.
    pub date: Option<DateTime>,
}

impl AppendMessage {
    /// Gives the arguments before a message their meaning.
    pub fn parse(head: &MessageHead) -> Result<Self, ArgsError> {
        let (mailbox, rest) = match head.args.split_first() {
            Some((mailbox, rest)) if head.is_first => {
                (Some(MailboxName::parse(Some(mailbox), INVALID_ARGUMENTS)?), rest)
            }
            None if head.is_first => return Err(MISSING_ARGUMENTS),
            _ => (None, head.args.as_slice()),
        };
        let (flags, date) = options(rest)?;
        if head.size_bytes == 0 {
            return Err(ArgsError::no("Can't save a zero byte message"));
        }
        Ok(Self { mailbox, flags, date })
    }
}

fn options(args: &[Arg]) -> Result<(FlagList, Option<DateTime>), ArgsError> {
    let (flags, rest) = match args.split_first() {
        Some((Arg::List(flags), rest)) => (FlagList::parse(flags)?, rest),
        _ => (FlagList::default(), args),
    };
    let date = match rest {
        [] => None,
        [Arg::String(date)] => {
            let date = std::str::from_utf8(date).ok().and_then(DateTime::parse);
            Some(date.ok_or(ArgsError::bad("Invalid internal date"))?)
        }
        _ => return Err(INVALID_ARGUMENTS),
    };
    Ok((flags, date))
}

/// What is wrong with an APPEND whose line ended before a message.
pub(super) fn without_message(args: &[Arg]) -> ArgsError {
    match args {
        [] => MISSING_ARGUMENTS,
        [_, rest @ ..] => match options(rest) {
            Ok(_) => ArgsError::bad("Missing message size"),
            Err(error) => error,
        },
    }
}
