//! Makes a changed copy of a snapshot, sharing every chunk that stays as it was.

use std::sync::Arc;

use base::{ModSeq, Uid, UidSet, UidValidity};

use super::{CHUNK, Chunk, Columns, ExtId, Record, View};

/// A snapshot being changed. Drivers use it; [`finish`](Self::finish) gives the new snapshot.
#[derive(Debug)]
pub struct Edit {
    view: View,
}

impl Edit {
    pub(super) fn new(view: &View) -> Self {
        Self { view: view.clone() }
    }

    /// The state so far; sequence numbers in it are not valid before [`finish`](Self::finish).
    pub fn peek(&self) -> &View {
        &self.view
    }

    /// Sets UIDVALIDITY.
    pub fn set_uid_validity(&mut self, value: UidValidity) {
        self.view.uid_validity = value;
    }

    /// Sets UIDNEXT.
    pub fn set_uid_next(&mut self, value: Uid) {
        self.view.uid_next = value;
    }

    /// Sets HIGHESTMODSEQ.
    pub fn set_highest_modseq(&mut self, value: ModSeq) {
        self.view.highest_modseq = value;
    }

    /// Sets the keyword names. Indexes in use must keep their meaning.
    pub fn set_keywords(&mut self, names: Arc<[Arc<str>]>) {
        self.view.keywords = names;
    }

    /// Sets which extensions there are. What messages have in those that stay is kept.
    pub(crate) fn set_columns(&mut self, columns: Columns) {
        let old = std::mem::replace(&mut self.view.columns, Arc::new(columns));
        let new = &self.view.columns;
        if old.iter().map(|c| (c.id, c.offset, c.size)).eq(new.iter().map(|c| (c.id, c.offset, c.size))) {
            return;
        }
        for chunk in &mut self.view.chunks {
            let mut ext = vec![0; chunk.records.len() * new.stride()];
            for at in 0..chunk.records.len() {
                let from = chunk.ext.get(at * old.stride()..).unwrap_or_default();
                new.convert(&old, from, ext.get_mut(at * new.stride()..).unwrap_or_default());
            }
            Chunk::edit(chunk).ext = ext;
        }
    }

    /// Takes messages out.
    pub fn remove(&mut self, uids: &UidSet) {
        let stride = self.view.columns.stride();
        let mut removed = false;
        for chunk in affected(&mut self.view.chunks, uids) {
            let chunk = Chunk::edit(chunk);
            let keep: Vec<bool> = chunk.records.iter().map(|record| !uids.contains(record.uid)).collect();
            let mut bits = keep.iter();
            chunk.records.retain(|_| bits.next().copied().unwrap_or(true));
            if stride > 0 {
                let kept = chunk.ext.chunks_exact(stride).zip(&keep).filter(|&(_, &keep)| keep);
                chunk.ext = kept.flat_map(|(bytes, _)| bytes.iter().copied()).collect();
            }
            removed = true;
        }
        if removed {
            self.view.chunks.retain(|chunk| !chunk.records.is_empty());
            self.merge_small();
        }
    }

    /// Calls `change` for every message in `uids`; chunks without one are not copied.
    pub fn update(&mut self, uids: &UidSet, mut change: impl FnMut(&mut Record)) {
        for chunk in affected(&mut self.view.chunks, uids) {
            let records = &mut Chunk::edit(chunk).records;
            records.iter_mut().filter(|record| uids.contains(record.uid)).for_each(&mut change);
        }
    }

    /// Calls `change` for every message.
    pub(crate) fn update_all(&mut self, mut change: impl FnMut(&mut Record)) {
        for chunk in &mut self.view.chunks {
            Chunk::edit(chunk).records.iter_mut().for_each(&mut change);
        }
    }

    /// Calls `change` for one message and says whether it is there.
    pub(crate) fn update_one(&mut self, uid: Uid, change: impl FnOnce(&mut Record)) -> bool {
        let at = self.view.chunk_index(uid);
        let Some(chunk) = self.view.chunks.get_mut(at) else { return false };
        let Ok(inner) = chunk.records.binary_search_by_key(&uid, |record| record.uid) else { return false };
        Chunk::edit(chunk).records.get_mut(inner).map(change).is_some()
    }

    /// What an extension holds for one message, to be changed. `None` without the message or the
    /// extension.
    pub(crate) fn ext_mut(&mut self, uid: Uid, id: ExtId) -> Option<&mut [u8]> {
        let columns = self.view.columns.clone();
        let column = columns.get(id)?;
        let at = self.view.chunk_index(uid);
        let chunk = self.view.chunks.get_mut(at)?;
        let inner = chunk.records.binary_search_by_key(&uid, |record| record.uid).ok()?;
        column.of_mut(&mut Chunk::edit(chunk).ext, inner, columns.stride())
    }

    /// Zeroes what an extension holds for all messages.
    pub(crate) fn clear_ext(&mut self, id: ExtId) {
        let columns = self.view.columns.clone();
        let Some(column) = columns.get(id) else { return };
        for chunk in &mut self.view.chunks {
            let chunk = Chunk::edit(chunk);
            for at in 0..chunk.records.len() {
                if let Some(bytes) = column.of_mut(&mut chunk.ext, at, columns.stride()) {
                    bytes.fill(0);
                }
            }
        }
    }

    /// Adds a message at the end. A UID that does not ascend is refused with `false`.
    pub fn append(&mut self, record: Record) -> bool {
        self.append_with(record, &[])
    }

    /// Adds a message with what extensions hold for it; missing bytes are zero.
    pub(crate) fn append_with(&mut self, record: Record, ext: &[u8]) -> bool {
        if self.view.last_uid().is_some_and(|last| record.uid <= last) {
            return false;
        }
        let stride = self.view.columns.stride();
        if self.view.chunks.last().is_none_or(|chunk| chunk.records.len() >= CHUNK) {
            self.view.chunks.push(Arc::default());
        }
        if let Some(chunk) = self.view.chunks.last_mut() {
            let chunk = Chunk::edit(chunk);
            chunk.records.push(record);
            chunk.ext.extend_from_slice(ext.get(..stride).unwrap_or(ext));
            chunk.ext.resize(chunk.records.len() * stride, 0);
        }
        true
    }

    /// Puts in other messages altogether; they must ascend.
    pub(crate) fn replace_chunks(&mut self, chunks: Vec<Arc<Chunk>>) {
        self.view.chunks = chunks;
    }

    /// The new snapshot.
    pub fn finish(mut self) -> View {
        let mut total = 0u32;
        self.view.ends.clear();
        for chunk in &mut self.view.chunks {
            if let Some(owned) = Arc::get_mut(chunk) {
                owned.records.shrink_to_fit();
                owned.ext.shrink_to_fit();
            }
            total += chunk.records.len() as u32;
            self.view.ends.push(total);
        }
        self.view.chunks.shrink_to_fit();
        self.view.ends.shrink_to_fit();
        self.view
    }

    /// Joins neighbours that have become small, so that many expunges leave no crumbs.
    fn merge_small(&mut self) {
        let mut merged: Vec<Arc<Chunk>> = Vec::with_capacity(self.view.chunks.len());
        for chunk in self.view.chunks.drain(..) {
            match merged.last_mut() {
                Some(last) if last.records.len() + chunk.records.len() <= CHUNK / 2 => {
                    let last = Chunk::edit(last);
                    last.records.extend(chunk.records.iter().cloned());
                    last.ext.extend_from_slice(&chunk.ext);
                }
                _ => merged.push(chunk),
            }
        }
        self.view.chunks = merged;
    }
}

/// The chunks that have a message of `uids`, without a look at those outside its ends.
fn affected<'a>(chunks: &'a mut [Arc<Chunk>], uids: &UidSet) -> impl Iterator<Item = &'a mut Arc<Chunk>> {
    let (from, to) = match (uids.first(), uids.last()) {
        (Some(first), Some(last)) => (
            chunks.partition_point(|chunk| chunk.records.last().is_some_and(|record| record.uid < first)),
            chunks.partition_point(|chunk| chunk.records.first().is_some_and(|record| record.uid <= last)),
        ),
        _ => (0, 0),
    };
    let range = chunks.get_mut(from..to.max(from)).unwrap_or_default();
    range.iter_mut().filter(|chunk| chunk.records.iter().any(|record| uids.contains(record.uid)))
}
