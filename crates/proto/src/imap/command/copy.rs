//! COPY (RFC 3501 §6.4.7) and MOVE (RFC 6851).

use super::super::arg::Arg;
use super::super::error::{ArgsError, MISSING_ARGUMENTS};
use super::super::mailbox::MailboxName;
use super::super::sequence::SequenceSet;

/// Which messages go where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The messages.
    pub messages: SequenceSet,
    /// The target.
    pub mailbox: MailboxName,
}

impl Copy {
    pub(super) fn parse(args: &[Arg]) -> Result<Self, ArgsError> {
        let [messages, mailbox, ..] = args else { return Err(MISSING_ARGUMENTS) };
        let messages = messages.astring().ok_or(MISSING_ARGUMENTS)?;
        let messages = std::str::from_utf8(messages).ok().and_then(SequenceSet::parse);
        let messages = messages.ok_or(ArgsError::bad("Invalid messageset"))?;
        Ok(Self { messages, mailbox: MailboxName::parse(Some(mailbox), MISSING_ARGUMENTS)? })
    }
}
