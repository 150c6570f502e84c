//! SELECT and EXAMINE (RFC 3501 §6.3.1, parameters by RFC 4466 §2.1, of which none is known yet).

use super::super::arg::Arg;
use super::super::error::{ArgsError, INVALID_ARGUMENTS};
use super::super::mailbox::MailboxName;

pub(super) fn parse(args: &[Arg]) -> Result<MailboxName, ArgsError> {
    let name = MailboxName::parse(args.first(), INVALID_ARGUMENTS)?;
    if args.get(1).and_then(Arg::list).is_some_and(|parameters| !parameters.is_empty()) {
        return Err(ArgsError::bad("Unknown FETCH modifier"));
    }
    Ok(name)
}
