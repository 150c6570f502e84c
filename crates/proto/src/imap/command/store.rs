//! STORE (RFC 3501 §6.4.6).

use super::super::arg::Arg;
use super::super::error::{ArgsError, INVALID_ARGUMENTS};
use super::super::flag::FlagList;
use super::super::sequence::SequenceSet;
use super::message_set;

/// What to do with the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// A change of flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The messages.
    pub messages: SequenceSet,
    /// How.
    pub mode: StoreMode,
    /// Whether the new flags need not be reported (`.SILENT`).
    pub is_silent: bool,
    /// Which.
    pub flags: FlagList,
}

impl Store {
    pub(super) fn parse(args: &[Arg]) -> Result<Self, ArgsError> {
        let [messages, item, flags @ ..] = args else { return Err(INVALID_ARGUMENTS) };
        let messages = message_set(messages)?;
        if item.list().is_some() {
            return Err(ArgsError::bad("Unknown STORE modifier"));
        }
        let item = item.text().ok_or(INVALID_ARGUMENTS)?.to_ascii_uppercase();
        let (mode, item) = match item.as_bytes().first() {
            Some(b'+') => (StoreMode::Add, item.get(1..)),
            Some(b'-') => (StoreMode::Remove, item.get(1..)),
            _ => (StoreMode::Replace, Some(item.as_str())),
        };
        let is_silent = match item {
            Some("FLAGS") => false,
            Some("FLAGS.SILENT") => true,
            _ => return Err(INVALID_ARGUMENTS),
        };
        let flags = match flags {
            [Arg::List(flags)] => FlagList::parse(flags)?,
            flags => FlagList::parse(flags)?,
        };
        Ok(Self { messages, mode, is_silent, flags })
    }
}
