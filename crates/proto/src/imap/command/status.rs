//! STATUS (RFC 3501 §6.3.10, SIZE by RFC 8438), and the items that LIST may ask for as well.

use super::super::arg::Arg;
use super::super::error::{ArgsError, INVALID_ARGUMENTS};
use super::super::mailbox::MailboxName;

/// Which facts of a mailbox are wanted; the answer lists them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each is the item of its name")]
pub struct StatusItems {
    pub messages: bool,
    pub recent: bool,
    pub uidnext: bool,
    pub uidvalidity: bool,
    pub unseen: bool,
    pub size: bool,
}

impl StatusItems {
    pub(super) fn parse(items: &[Arg]) -> Result<Self, ArgsError> {
        if items.is_empty() {
            return Err(ArgsError::bad("Empty status list"));
        }
        let mut wanted = Self::default();
        for item in items {
            let item =
                item.atom().ok_or(ArgsError::bad("Status list contains non-atoms"))?.to_ascii_uppercase();
            match item.as_str() {
                "MESSAGES" => wanted.messages = true,
                "RECENT" => wanted.recent = true,
                "UIDNEXT" => wanted.uidnext = true,
                "UIDVALIDITY" => wanted.uidvalidity = true,
                "UNSEEN" => wanted.unseen = true,
                "SIZE" => wanted.size = true,
                _ => return Err(ArgsError::Bad(format!("Invalid status item {item}").into())),
            }
        }
        Ok(wanted)
    }
}

pub(super) fn parse(args: &[Arg]) -> Result<(MailboxName, StatusItems), ArgsError> {
    let [mailbox, items, ..] = args else { return Err(super::MISSING_ARGUMENTS) };
    let items = items.list().ok_or(INVALID_ARGUMENTS)?;
    Ok((MailboxName::parse(Some(mailbox), INVALID_ARGUMENTS)?, StatusItems::parse(items)?))
}
