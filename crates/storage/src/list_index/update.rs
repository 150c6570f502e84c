//! Puts into the list what is new in a mailbox.

use base::{Guid, Uid};
use index::Transaction;
use index::list_index::{
    Extension, HMODSEQ, INDEX_SYNC, IndexStamp, LIST, ListRecord, MSGS, Messages, VSIZE, VirtualSize,
};

use crate::error::Result;

use super::{ListIndex, State, lock, spec};

/// How a mailbox is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub messages: Messages,
    pub uid_validity: u32,
    /// Its GUID, where that has been read already.
    pub guid: Option<Guid>,
    pub highest_modseq: u64,
    /// The mailbox's own sum, if it keeps one.
    pub size: Option<VirtualSize>,
    /// Its log as it was when all this was read; `None` if it has gone on since.
    pub log: Option<IndexStamp>,
    /// What the driver wants to be kept of the mail store.
    pub store: Option<(Extension, Vec<u8>)>,
}

/// Gives the state of a mailbox.
pub(crate) trait Source {
    /// How it is; after a look at its log if `refresh`.
    fn known(&mut self, refresh: bool) -> Result<Known>;

    /// Its GUID, which may cost reading the uidlist.
    fn guid(&mut self) -> Result<Guid>;
}

impl ListIndex {
    /// Brings what the list has of a mailbox up to date; `renamed` says that its identity has changed.
    /// Failures are logged: they cost time only.
    pub(crate) fn update(&self, name: &str, source: &mut dyn Source, renamed: bool) {
        let mut state = lock(&self.state);
        if let Err(error) = self.try_update(&mut state, name, source, renamed) {
            self.logger.error(format_args!(
                "Mailbox {name}: Can't update {}: {}",
                self.file_name,
                base::chain(&error)
            ));
        }
    }

    fn try_update(
        &self,
        state: &mut State,
        name: &str,
        source: &mut dyn Source,
        renamed: bool,
    ) -> Result<()> {
        if self.refresh(state).is_none() || !self.may_write() {
            return Ok(());
        }
        let Some(uid) = self.find_or_compare(state, name) else { return Ok(()) };
        let known = source.known(false)?;
        let Some(old) = state.record(uid, &LIST).and_then(ListRecord::decode) else { return Ok(()) };
        let shown = if self.is_sole { self.shown(&state.tree, uid.get()) } else { None };
        let name = shown.as_deref().unwrap_or(name);
        let is_other = known.guid.is_some_and(|guid| guid != old.guid);
        let is_stale = old.guid == Guid::default() || is_other || old.uid_validity != known.uid_validity;
        // Where the mailbox's place is named by its GUID, that is what it is.
        let (unknown, renamed) = (is_stale && !self.is_sole, renamed && !self.is_sole);
        let guid = if unknown || renamed { Some(source.guid()?) } else { None };
        let known = if guid.is_some() { source.known(false)? } else { known };
        if self.changes(state, name, uid, &known, guid).is_empty() {
            return Ok(());
        }
        let Some(mut index) = state.index.take() else { return Ok(()) };
        let done = self.write(state, &mut index, name, uid, source, guid);
        state.index = Some(index);
        done
    }

    /// Looks once more while nobody else can write, so that what is written is the newest.
    fn write(
        &self,
        state: &mut State,
        index: &mut index::Index,
        name: &str,
        uid: Uid,
        source: &mut dyn Source,
        guid: Option<Guid>,
    ) -> Result<()> {
        let mut locked = index.lock()?;
        if locked.is_in_memory() || locked.is_deleted() {
            return Ok(());
        }
        let unchanged = state.at == Some(locked.log_position());
        let is_same = |node: &super::tree::Node| {
            let list = record_of(&locked, uid, &LIST).and_then(ListRecord::decode);
            list.is_some_and(|list| (list.name, list.parent_uid) == (node.name_id, node.parent))
        };
        if !unchanged && !state.tree.node(uid.get()).is_some_and(is_same) {
            // Somebody else has changed the tree meanwhile: the next time.
            return Ok(());
        }
        let known = source.known(true)?;
        let transaction = self.changes_in(&locked, name, uid, &known, guid);
        locked.synced_with(&transaction)?;
        if unchanged {
            // Only counts have changed, which are no part of the tree.
            state.at = Some(locked.log_position());
        }
        Ok(())
    }

    fn find_or_compare(&self, state: &mut State, name: &str) -> Option<Uid> {
        if self.is_sole {
            return self.find_guid(&state.tree, name);
        }
        if !state.tree.refresh {
            if let Some(uid) = self.find(&state.tree, name) {
                return Uid::new(uid);
            }
            if state.unlisted.contains(name) {
                return None;
            }
        }
        self.compare(state)?;
        let found = self.find(&state.tree, name).and_then(Uid::new);
        if found.is_none() {
            state.unlisted.insert(name.to_owned());
        }
        found
    }

    fn changes(&self, state: &State, name: &str, uid: Uid, known: &Known, guid: Option<Guid>) -> Transaction {
        match &state.index {
            Some(index) => self.changes_in(index, name, uid, known, guid),
            None => Transaction::new(),
        }
    }

    fn changes_in(
        &self,
        index: &index::Index,
        name: &str,
        uid: Uid,
        known: &Known,
        guid: Option<Guid>,
    ) -> Transaction {
        let mut transaction = Transaction::new();
        let mut put = |extension: &Extension, bytes: &[u8]| {
            let old = record_of(index, uid, extension);
            let same = old.is_some_and(|old| old.get(..bytes.len()) == Some(bytes));
            if !same {
                transaction.ext(&spec(extension), 0);
                transaction.ext_record(extension.name, uid, bytes);
            }
        };
        let Some(old) = record_of(index, uid, &LIST).and_then(ListRecord::decode) else {
            return Transaction::new();
        };
        let list = ListRecord { guid: guid.unwrap_or(old.guid), uid_validity: known.uid_validity, ..old };
        put(&LIST, &list.encode());
        if self.is_left_out(name) {
            return transaction;
        }
        put(&MSGS, &known.messages.encode());
        put(&HMODSEQ, &known.highest_modseq.to_ne_bytes());
        if known.size.is_some() || record_of(index, uid, &VSIZE).is_some() {
            put(&VSIZE, &known.size.unwrap_or_default().encode());
        }
        if let Some(log) = known.log {
            put(&INDEX_SYNC, &log.encode());
        }
        if let Some((extension, bytes)) = &known.store {
            put(extension, bytes);
        }
        transaction
    }
}

/// What an extension has for a record.
pub(super) fn record_of<'a>(index: &'a index::Index, uid: Uid, extension: &Extension) -> Option<&'a [u8]> {
    let column = index.view().columns().named(extension.name)?;
    index.view().ext(uid, column.id)
}
