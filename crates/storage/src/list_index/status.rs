//! Answers STATUS from the list, if it can be shown that the mailbox has not changed since.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Guid, ModSeq, Uid, UidValidity};
use index::list_index::{
    Extension, HMODSEQ, INDEX_SYNC, IndexStamp, LIST, ListRecord, MSGS, Messages, VSIZE, VirtualSize, flags,
};

use crate::api::{Status, StatusItems};
use crate::fs::{Fs, Near, Stamp};

use super::{ListIndex, State, lock, log_of};

/// What shows that a mailbox is as the list says.
pub(crate) struct Proof<'a> {
    /// The directory of its index.
    pub index_dir: &'a Path,
    /// What the driver keeps of the mail store, and whether that is still so.
    pub store: Option<(Extension, IsSame<'a>)>,
}

/// Whether the mail store still is as a record says.
pub(crate) type IsSame<'a> = &'a dyn Fn(&[u8], &Look<'_>) -> bool;

/// How files are looked at where many are.
pub(crate) struct Look<'a> {
    fs: &'a Fs,
    near: Option<Arc<Near>>,
}

impl Look<'_> {
    /// See [`Fs::stamp`].
    pub(crate) fn stamp(&self, path: &Path) -> std::io::Result<Option<Stamp>> {
        self.fs.stamp_near(self.near.as_deref(), path)
    }
}

/// What the list has of a mailbox.
struct Found {
    list: ListRecord,
    messages: Option<Messages>,
    highest_modseq: u64,
    size: Option<VirtualSize>,
    log: IndexStamp,
    store: Vec<u8>,
    near: Option<Arc<Near>>,
}

impl ListIndex {
    /// The counts of a mailbox that has not changed since they were noted; `None` if it has, or if not
    /// all that is asked for is known.
    pub(crate) fn status(&self, name: &str, items: StatusItems, proof: &Proof<'_>) -> Option<Status> {
        if self.is_left_out(name) || items.has(StatusItems::DELETED) {
            return None;
        }
        let found = self.found(name, proof)?;
        let status = found.status(items)?;
        self.is_current(&found, proof).then_some(status)
    }

    fn found(&self, name: &str, proof: &Proof<'_>) -> Option<Found> {
        let mut state = lock(&self.state);
        // Commands that a client sends together are answered from one look at the list.
        let since = state.refreshed.map(|at| at.elapsed());
        if state.failed || since.is_none_or(|since| since >= TOGETHER) {
            self.refresh(&mut state)?;
            let stays = since.is_some_and(|since| since < NEAR_KEPT);
            state.near = state.near.take().filter(|near| stays && near.is_current(&self.fs));
        } else if state.near.is_none() {
            state.near = Near::open(&self.root).ok().map(Arc::new);
        }
        if state.tree.refresh {
            self.compare(&mut state)?;
        }
        let uid = self.find(&state.tree, name)?;
        let node = state.tree.node(uid)?;
        if node.flags & (flags::NONEXISTENT | flags::NOSELECT) != 0 {
            return None;
        }
        let uid = Uid::new(uid)?;
        let record = |extension: &Extension| state.record(uid, extension);
        Some(Found {
            list: ListRecord::decode(record(&LIST)?)?,
            messages: record(&MSGS).and_then(Messages::decode),
            highest_modseq: record(&HMODSEQ)
                .and_then(|bytes| bytes.first_chunk())
                .map_or(0, |bytes| u64::from_ne_bytes(*bytes)),
            size: record(&VSIZE).and_then(VirtualSize::decode),
            log: record(&INDEX_SYNC).and_then(IndexStamp::decode)?,
            store: proof
                .store
                .as_ref()
                .and_then(|(extension, _)| record(extension))
                .unwrap_or_default()
                .to_vec(),
            near: state.near.clone(),
        })
    }

    /// 2.3's `index_storage_list_index_has_changed` and what the driver adds to it.
    fn is_current(&self, found: &Found, proof: &Proof<'_>) -> bool {
        if found.log.size == 0 || found.log.mtime == 0 {
            return false;
        }
        if self.very_dirty {
            return true;
        }
        let look = Look { fs: &self.fs, near: found.near.clone() };
        let Ok(Some(stamp)) = look.stamp(&log_of(proof.index_dir)) else { return false };
        let is_same = |(_, is_same): &(_, IsSame<'_>)| is_same(&found.store, &look);
        stamp_of(&stamp) == found.log && proof.store.as_ref().is_none_or(is_same)
    }
}

impl State {
    /// What an extension has for a record.
    pub(super) fn record(&self, uid: Uid, extension: &Extension) -> Option<&[u8]> {
        let view = self.index.as_ref()?.view();
        let column = view.columns().named(extension.name)?;
        view.ext(uid, column.id)
    }
}

impl Found {
    fn status(&self, items: StatusItems) -> Option<Status> {
        let messages = self.messages.filter(|messages| messages.next_uid != 0)?;
        let highest_modseq = ModSeq(self.highest_modseq);
        if items.has(StatusItems::HIGHEST_MODSEQ) && highest_modseq.0 == 0 {
            return None;
        }
        if items.has(StatusItems::GUID) && self.list.guid == Guid::default() {
            return None;
        }
        let size = if items.has(StatusItems::SIZE) { Some(self.size(&messages)?) } else { None };
        Some(Status {
            messages: messages.messages,
            recent: messages.recent,
            unseen: messages.unseen,
            deleted: 0,
            uid_next: Uid::new(messages.next_uid)?,
            uid_validity: UidValidity::new(self.list.uid_validity)?,
            highest_modseq,
            size,
            guid: items.has(StatusItems::GUID).then_some(self.list.guid),
        })
    }

    fn size(&self, messages: &Messages) -> Option<u64> {
        if messages.messages == 0 {
            return Some(0);
        }
        let size = self.size?;
        let all =
            size.highest_uid.checked_add(1) == Some(messages.next_uid) && size.messages == messages.messages;
        all.then_some(size.size)
    }
}

/// How the list remembers a log.
pub(crate) fn stamp_of(stamp: &crate::fs::Stamp) -> IndexStamp {
    IndexStamp { size: stamp.size as u32, mtime: stamp.mtime_ns.div_euclid(1_000_000_000) as u32 }
}

/// A STATUS that comes later than this after the one before does not find the root open any more.
const NEAR_KEPT: Duration = Duration::from_secs(1);

/// Less than the way to a client and back: nobody can have heard of a later change.
pub(super) const TOGETHER: Duration = Duration::from_micros(100);
