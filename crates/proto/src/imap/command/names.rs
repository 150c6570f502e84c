//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.3–§6.3.7): mailbox names only.

use super::super::arg::Arg;
use super::super::error::{ArgsError, MISSING_ARGUMENTS};
use super::super::mailbox::MailboxName;

pub(super) fn one(args: &[Arg]) -> Result<MailboxName, ArgsError> {
    MailboxName::parse(args.first(), MISSING_ARGUMENTS)
}

pub(super) fn two(args: &[Arg]) -> Result<(MailboxName, MailboxName), ArgsError> {
    let [from, to, ..] = args else { return Err(MISSING_ARGUMENTS) };
    Ok((MailboxName::parse(Some(from), MISSING_ARGUMENTS)?, MailboxName::parse(Some(to), MISSING_ARGUMENTS)?))
}
