//! RFC 1939's maildrop: INBOX as it was when the session began, its messages numbered from one, and
//! what the client wants done to them when it quits. Nothing is changed before that.

mod open;

use base::{Uid, UidSet, UidValidity};
use storage::{FlagChange, FlagMode, Flags, Mailbox, MessageReader, Result};

use crate::settings::DeleteType;

pub use open::{OpenError, Opening};

/// The messages of a session.
pub struct Maildrop {
    mailbox: Box<dyn Mailbox>,
    uid_validity: UidValidity,
    messages: Vec<Message>,
    total_bytes: u64,
    deleted_count: u32,
    deleted_bytes: u64,
    to_be_seen: u32,
    last_seen: u32,
    lowest_retrieved: Option<Index>,
    highest_lost: Option<Index>,
    is_updated: bool,
    /// What UIDL showed, where it is kept.
    pub(crate) uidls: Option<Vec<Option<Box<str>>>>,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its UID.
    pub uid: Uid,
    /// Its bytes when every line ends with CRLF.
    pub size: u64,
    /// DELE was given.
    pub is_deleted: bool,
    /// It has `\Seen`.
    is_seen: bool,
    /// It is to get `\Seen`.
    becomes_seen: bool,
}

/// A message's place in the listing, from zero: its number is one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Index(u32);

impl Index {
    /// The number that the client sees.
    pub fn number(self) -> u32 {
        self.0 + 1
    }

    /// The place of the message with a number, `None` for zero.
    pub fn of_number(number: u32) -> Option<Self> {
        number.checked_sub(1).map(Self)
    }

    fn get(self) -> usize {
        self.0 as usize
    }
}

impl Maildrop {
    /// How many messages there were at the beginning.
    pub fn len(&self) -> u32 {
        u32::try_from(self.messages.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The message at a place.
    pub fn message(&self, index: Index) -> Option<&Message> {
        self.messages.get(index.get())
    }

    /// The first message from `next` on that is not deleted. Moves `next` behind it.
    pub fn next_left(&self, next: &mut u32) -> Option<(Index, &Message)> {
        loop {
            let index = Index(*next);
            let message = self.message(index)?;
            *next += 1;
            if !message.is_deleted {
                return Some((index, message));
            }
        }
    }

    /// UIDVALIDITY of INBOX.
    pub fn uid_validity(&self) -> UidValidity {
        self.uid_validity
    }

    /// How many messages there are without the deleted ones, and their bytes.
    pub fn left(&self) -> (u32, u64) {
        (self.len() - self.deleted_count, self.total_bytes - self.deleted_bytes)
    }

    /// The bytes of all messages, also the deleted ones.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// How many messages are deleted, and their bytes.
    pub fn deleted(&self) -> (u32, u64) {
        (self.deleted_count, self.deleted_bytes)
    }

    /// The highest number that the client has read, in this session or before: LAST.
    pub fn last_seen(&self) -> u32 {
        self.last_seen
    }

    /// The first message that was retrieved.
    pub fn lowest_retrieved(&self) -> Option<Index> {
        self.lowest_retrieved
    }

    /// The mailbox below.
    pub fn mailbox(&mut self) -> &mut dyn Mailbox {
        &mut *self.mailbox
    }

    /// DELE.
    pub fn delete(&mut self, index: Index) {
        let Some(message) = self.messages.get_mut(index.get()).filter(|message| !message.is_deleted) else {
            return;
        };
        message.is_deleted = true;
        self.deleted_count += 1;
        self.deleted_bytes += message.size;
    }

    /// RETR: the message's bytes. With `sees`, it gets `\Seen` in the end.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn retrieve(&mut self, index: Index, sees: bool) -> Result<Option<Box<dyn MessageReader>>> {
        if self.lowest_retrieved.is_none_or(|lowest| index < lowest) {
            self.lowest_retrieved = Some(index);
        }
        self.last_seen = self.last_seen.max(index.number());
        let reader = self.open(index)?;
        if let Some(message) = self.messages.get_mut(index.get())
            && reader.is_some()
            && sees
            && !message.is_seen
            && !message.becomes_seen
        {
            message.becomes_seen = true;
            self.to_be_seen += 1;
        }
        Ok(reader)
    }

    /// A message's bytes; `None` if it has gone.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn open(&mut self, index: Index) -> Result<Option<Box<dyn MessageReader>>> {
        let Some(uid) = self.message(index).map(|message| message.uid) else { return Ok(None) };
        match self.mailbox.open_message(uid) {
            Ok(reader) => Ok(Some(reader)),
            Err(storage::Error::Expunged(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The client asked for a message that has gone: whether it should have known, since it asked
    /// for this or a later one before.
    pub fn is_lost_again(&mut self, index: Index) -> bool {
        let again = self.highest_lost.is_some_and(|highest| index <= highest);
        self.highest_lost = self.highest_lost.max(Some(index));
        again
    }

    /// RSET.
    pub fn reset(&mut self) {
        for message in &mut self.messages {
            message.is_deleted = false;
            message.becomes_seen = false;
        }
        (self.deleted_count, self.deleted_bytes) = (0, 0);
        self.to_be_seen = 0;
        self.last_seen = 0;
    }

    /// RSET where LAST is offered: all messages are unread again (RFC 1460 §5).
    ///
    /// # Errors
    /// Those of the storage.
    pub fn remove_seen(&mut self) -> Result<()> {
        let uids = self.uids(|_| true);
        let change = FlagChange { mode: FlagMode::Remove, flags: Flags::SEEN, keywords: Vec::new() };
        self.mailbox.store_flags(&uids, &change)?;
        self.messages.iter_mut().for_each(|message| message.is_seen = false);
        Ok(())
    }

    /// QUIT: deletes what is to be deleted and marks what was read.
    ///
    /// # Errors
    /// Those of the storage. Messages may have been deleted nevertheless.
    pub fn update(&mut self, delete_type: DeleteType, deleted_flag: Option<&str>) -> Result<()> {
        self.delete_marked(delete_type, deleted_flag)?;
        // Those that are deleted need no flags any more.
        self.mark(|message| message.becomes_seen && !message.is_deleted)?;
        self.is_updated = true;
        Ok(())
    }

    /// Whether QUIT has done its work.
    pub fn is_updated(&self) -> bool {
        self.is_updated
    }

    /// Marks what was read, which holds also for clients that do not quit.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn mark_seen(&mut self) -> Result<()> {
        self.mark(|message| message.becomes_seen)
    }

    fn mark(&mut self, wanted: impl Fn(&Message) -> bool) -> Result<()> {
        if std::mem::take(&mut self.to_be_seen) == 0 || self.mailbox.is_readonly() {
            return Ok(());
        }
        let change = FlagChange { mode: FlagMode::Add, flags: Flags::SEEN, keywords: Vec::new() };
        self.mailbox.store_flags(&self.uids(wanted), &change).map(drop)
    }

    fn delete_marked(&mut self, delete_type: DeleteType, deleted_flag: Option<&str>) -> Result<()> {
        if self.deleted_count == 0 || self.mailbox.is_readonly() {
            return Ok(());
        }
        let uids = self.uids(|message| message.is_deleted);
        match (delete_type, deleted_flag) {
            (DeleteType::Flag, Some(flag)) => {
                let keywords = vec![flag.to_owned()];
                let change = FlagChange { mode: FlagMode::Add, flags: Flags::NONE, keywords };
                self.mailbox.store_flags(&uids, &change)?;
            }
            (DeleteType::Expunge, _) | (DeleteType::Flag, None) => {
                self.mailbox.expunge(&uids)?;
            }
        }
        Ok(())
    }

    /// Messages in the order of the mailbox, which may differ from that of the listing.
    fn uids(&self, wanted: impl Fn(&Message) -> bool) -> UidSet {
        let mut uids: Vec<Uid> =
            self.messages.iter().filter(|message| wanted(message)).map(|message| message.uid).collect();
        uids.sort_unstable();
        uids.into_iter().collect()
    }
}
