//! Commands with their arguments, after login. One file per command or group of like commands.

mod append;
mod copy;
mod enable;
mod fetch;
mod id;
mod list;
mod names;
mod part_key;
mod search;
mod search_return;
mod select;
mod sort;
mod status;
mod store;
mod thread;

pub use append::AppendMessage;
pub use copy::Copy;
pub use fetch::{BodySection, Fetch, FetchItem, Partial, SectionText, StringKind};
pub use id::IdParams;
pub use list::{List, ListReturn, ListSelect};
pub use part_key::{PartField, PartKey, PartName, PartNumber};
pub use search::{CharsetError, Charsets, DateField, Search, SearchKey, Utf8Only};
pub use search_return::SearchReturn;
pub use sort::{Sort, SortCriterion, SortKey};
pub use status::StatusItems;
pub use store::{Store, StoreMode};
pub use thread::{Thread, ThreadAlgorithm};

use super::arg::Arg;
use super::error::{ArgsError, MISSING_ARGUMENTS};
use super::kind::CommandKind;
use super::mailbox::MailboxName;
use super::reader::RawCommand;
use super::sequence::SequenceSet;

/// A command whose arguments make sense. Commands that exist with and without UID carry `uid`:
/// their sets, and what they answer, are then UIDs (RFC 3501 §6.4.8).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the command of its name, with the RFC's arguments")]
pub enum Command {
    Capability,
    Noop,
    Logout,
    Id(IdParams),
    Enable(Vec<String>),
    Select(MailboxName),
    Examine(MailboxName),
    Create(MailboxName),
    Delete(MailboxName),
    Rename { from: MailboxName, to: MailboxName },
    Subscribe(MailboxName),
    Unsubscribe(MailboxName),
    List(List),
    Lsub { reference: String, pattern: String },
    Namespace,
    Status { mailbox: MailboxName, items: StatusItems },
    Idle,
    Check,
    Close,
    Unselect,
    Expunge,
    UidExpunge(SequenceSet),
    Search { uid: bool, search: Search },
    Sort { uid: bool, sort: Sort },
    Thread { uid: bool, thread: Thread },
    Fetch { uid: bool, fetch: Fetch },
    Store { uid: bool, store: Store },
    Copy { uid: bool, copy: Copy },
    Move { uid: bool, copy: Copy },
}

impl Command {
    /// Gives a command its meaning. `charsets` turns the strings of SEARCH into UTF-8. An APPEND
    /// that gets here has no message, and commands of the time before login are unknown.
    pub fn parse(raw: &RawCommand, charsets: &dyn Charsets) -> Result<Self, ArgsError> {
        use CommandKind as K;
        let args = raw.args.as_slice();
        Ok(match raw.kind {
            K::Capability => Self::Capability,
            K::Noop => Self::Noop,
            K::Logout => Self::Logout,
            K::Namespace => Self::Namespace,
            K::Idle => Self::Idle,
            K::Check => Self::Check,
            K::Close => Self::Close,
            K::Unselect => Self::Unselect,
            K::Expunge => Self::Expunge,
            K::Id => Self::Id(IdParams::parse(args)),
            K::Enable => Self::Enable(enable::parse(args)?),
            K::Select => Self::Select(select::parse(args)?),
            K::Examine => Self::Examine(select::parse(args)?),
            K::Create => Self::Create(names::one(args)?),
            K::Delete => Self::Delete(names::one(args)?),
            K::Rename => names::two(args).map(|(from, to)| Self::Rename { from, to })?,
            K::Subscribe => Self::Subscribe(names::one(args)?),
            K::Unsubscribe => Self::Unsubscribe(names::one(args)?),
            K::List => Self::List(List::parse(args)?),
            K::Lsub => {
                list::parse_lsub(args).map(|(reference, pattern)| Self::Lsub { reference, pattern })?
            }
            K::Status => status::parse(args).map(|(mailbox, items)| Self::Status { mailbox, items })?,
            K::UidExpunge => Self::UidExpunge(uid_set(args)?),
            K::Search | K::UidSearch => {
                Self::Search { uid: raw.kind == K::UidSearch, search: Search::parse(args, charsets)? }
            }
            K::Sort | K::UidSort => {
                Self::Sort { uid: raw.kind == K::UidSort, sort: Sort::parse(args, charsets)? }
            }
            K::Thread | K::UidThread => {
                Self::Thread { uid: raw.kind == K::UidThread, thread: Thread::parse(args, charsets)? }
            }
            K::Fetch | K::UidFetch => {
                Self::Fetch { uid: raw.kind == K::UidFetch, fetch: Fetch::parse(args)? }
            }
            K::Store | K::UidStore => {
                Self::Store { uid: raw.kind == K::UidStore, store: Store::parse(args)? }
            }
            K::Copy | K::UidCopy => Self::Copy { uid: raw.kind == K::UidCopy, copy: Copy::parse(args)? },
            K::Move | K::UidMove => Self::Move { uid: raw.kind == K::UidMove, copy: Copy::parse(args)? },
            K::Append => return Err(append::without_message(args)),
            K::Starttls | K::Authenticate | K::Login => return Err(ArgsError::bad("Unknown command")),
        })
    }
}

/// UID EXPUNGE's only argument (RFC 4315 §2.1).
fn uid_set(args: &[Arg]) -> Result<SequenceSet, ArgsError> {
    let set = args.first().and_then(Arg::astring).ok_or(MISSING_ARGUMENTS)?;
    let set = std::str::from_utf8(set).ok().and_then(SequenceSet::parse_or_saved);
    set.ok_or(ArgsError::bad("Invalid uidset"))
}

/// The first argument of FETCH, STORE, COPY and MOVE.
fn message_set(arg: &Arg) -> Result<SequenceSet, ArgsError> {
    let set = arg.atom().ok_or(super::error::INVALID_ARGUMENTS)?;
    SequenceSet::parse_or_saved(set).ok_or(ArgsError::bad("Invalid messageset"))
}

#[cfg(test)]
mod tests;
