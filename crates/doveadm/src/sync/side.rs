//! What synchronization sees of a user's mail on either side: here or at the other end of a pipe.

use std::collections::VecDeque;
use std::io::Read;

use base::Guid;
use serde::{Deserialize, Serialize};
use storage::{Flags, Result};

/// A name's levels, without the namespace's prefix: the two sides may have other prefixes and
/// separators.
pub(crate) type Levels = Vec<String>;

/// Which mailboxes of a user take part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    /// Those of the namespace with INBOX, without its prefix.
    #[default]
    Inbox,
    /// Those of all namespaces without a location of their own: what the original takes if nothing is said.
    Ours,
    /// Those of all namespaces that are visible: `-N`.
    Visible,
    /// Those of the namespaces with these prefixes: `-n`. Of one alone names have no prefix.
    Prefixes(Vec<String>),
}

/// The mailboxes of one side.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tree {
    /// The namespace's.
    pub(crate) prefix: String,
    /// The namespace's.
    pub(crate) separator: char,
    /// Whether there is anything on disk.
    pub(crate) exists: bool,
    /// What can be opened, parents first.
    pub(crate) mailboxes: Vec<Node>,
    /// Names that hold mailboxes and cannot be opened (`\\Noselect`), as far as they are there on disk.
    pub(crate) nodes: Vec<Levels>,
    /// What is subscribed to.
    pub(crate) subscriptions: Vec<Levels>,
    /// What was done to mailboxes: number of the action, GUID, and seconds since 1970.
    pub(crate) log: Vec<(u8, Guid, u32)>,
}

/// A mailbox of a [`Tree`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) levels: Levels,
    pub(crate) guid: Guid,
    /// `\Drafts` and the like, from the configuration.
    pub(crate) special_use: Vec<String>,
}

/// Which messages go over where they are missing: `-t`, `-e`, `-I`, `-O`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// Received at this time or later, in seconds since 1970.
    pub(crate) since: Option<i64>,
    /// Received before this time.
    pub(crate) until: Option<i64>,
    /// Not larger, in bytes.
    pub(crate) size_max: Option<u64>,
    /// With this flag or keyword, or with `true` without it.
    pub(crate) flag: Option<(bool, String)>,
}

impl Filter {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a message goes over; what is not known is no reason against it.
    pub(crate) fn fits(&self, message: &Message, received: Option<i64>, size: Option<u64>) -> bool {
        let system = |wanted: &str| Flags::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(wanted));
        let has = |wanted: &str| match system(wanted) {
            Some((flag, _)) => message.flags & flag.0 != 0,
            None => message.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(wanted)),
        };
        self.since.is_none_or(|since| received.is_none_or(|time| time >= since))
            && self.until.is_none_or(|until| received.is_none_or(|time| time < until))
            && self.size_max.is_none_or(|max| size.is_none_or(|size| size <= max))
            && self.flag.as_ref().is_none_or(|(without, flag)| has(flag) != *without)
    }
}

/// A mailbox that is open.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) guid: Guid,
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    /// From this UID on no client has seen the messages yet: they are `\Recent`.
    pub(crate) first_recent: u32,
    pub(crate) highest_modseq: u64,
    /// By UID.
    pub(crate) messages: Vec<Message>,
    /// What the index still knows of messages that are gone: UIDs, and their GUIDs or zeros.
    pub(crate) expunged: Vec<(u32, Guid)>,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) uid: u32,
    /// Zeros where the format has none.
    pub(crate) guid: Guid,
    /// The GUID as the format has it, where it is longer.
    pub(crate) long_guid: Option<String>,
    pub(crate) flags: u8,
    /// In the order of the alphabet.
    pub(crate) keywords: Vec<String>,
    /// When flags last changed, as far as the index knows; 0 if it does not.
    pub(crate) modseq: u64,
    /// What the index still knows of changes.
    pub(crate) changed: Changed,
    /// Seconds since 1970, if a filter asks for it.
    pub(crate) received: Option<i64>,
    /// With CRLF, if a filter asks for it.
    pub(crate) size: Option<u64>,
    /// The filter leaves it out.
    pub(crate) skip: bool,
}

/// Which flags and keywords of a message somebody changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    pub(crate) flags: u8,
    pub(crate) keywords: Vec<String>,
}

/// Flags that messages get in place of theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flagged {
    pub(crate) uids: Vec<u32>,
    pub(crate) flags: u8,
    pub(crate) keywords: Vec<String>,
}

/// A mailbox's identity. Numbers go up only, but UIDVALIDITY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) guid: Guid,
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) first_recent: u32,
    pub(crate) highest_modseq: u64,
}

/// An attribute of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Attribute {
    /// `/shared`, or else `/private`.
    pub(crate) shared: bool,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What goes with a message's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// The UID it is to get; the message's own where it is read.
    pub(crate) uid: u32,
    pub(crate) flags: u8,
    pub(crate) keywords: Vec<String>,
    /// Seconds since 1970.
    pub(crate) received: Option<i64>,
    pub(crate) guid: Option<String>,
    pub(crate) pop3_uidl: Option<String>,
    pub(crate) pop3_order: Option<u32>,
    pub(crate) size: u64,
}

/// One side. Messages are those of the mailbox that was opened last.
pub(crate) trait Side {
    /// Looks at everything anew.
    fn tree(&mut self) -> Result<Tree>;

    /// Makes a mailbox, or with `node` a name that only holds others.
    fn create(&mut self, levels: &Levels, node: bool) -> Result<()>;
    fn delete(&mut self, levels: &Levels) -> Result<()>;
    fn rename(&mut self, from: &Levels, to: &Levels) -> Result<()>;
    fn subscribe(&mut self, levels: &Levels, subscribed: bool) -> Result<()>;

    fn open(&mut self, levels: &Levels, filter: &Filter) -> Result<Opened>;
    fn expunge(&mut self, uids: &[u32]) -> Result<()>;
    fn flag(&mut self, changes: &[Flagged]) -> Result<()>;
    fn identify(&mut self, identity: &Identity) -> Result<()>;

    /// The attributes of a mailbox; `None` where there is no dictionary for them.
    fn attributes(&mut self, levels: &Levels) -> Result<Option<Vec<Attribute>>>;
    /// Sets an attribute, or takes it away.
    fn set_attribute(&mut self, levels: &Levels, attribute: &Attribute, set: bool) -> Result<()>;

    /// Announces all messages that will be asked for, in the order of UIDs.
    fn want(&mut self, _uids: &[u32]) -> Result<()> {
        Ok(())
    }
    /// A message and its bytes; `None` if it has gone meanwhile.
    fn message(&mut self, uid: u32) -> Result<Option<(Meta, Box<dyn Read + '_>)>>;
    /// Begins to save a message. What is saved can be seen after [`commit`](Self::commit).
    fn save(&mut self, meta: &Meta, body: &mut dyn Read) -> Result<()>;
    /// Saves a copy of a message of this mailbox, under another UID.
    fn copy(&mut self, uid: u32, to: u32) -> Result<()>;
    /// Ends saving, and gives the UIDs, in their order.
    fn commit(&mut self) -> Result<Vec<u32>>;

    /// Frees the space of what has been expunged.
    fn purge(&mut self) -> Result<()>;

    /// The mailbox that is due next, in the order of the side that changes come from; `None` after the last.
    fn turn(&mut self, due: &mut VecDeque<Levels>) -> Result<Option<Levels>> {
        Ok(due.pop_front())
    }

    /// The other side has the same as the mailbox whose turn it is.
    fn synced(&mut self) {}

    /// All has been done.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
