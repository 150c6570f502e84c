//! Makes a changed copy of a snapshot, sharing every chunk that stays as it was.

use std::sync::Arc;

use base::{ModSeq, Uid, UidSet, UidValidity};

use super::{CHUNK, Record, View};

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

    /// Takes messages out.
    pub fn remove(&mut self, uids: &UidSet) {
        if uids.is_empty() {
            return;
        }
        for chunk in &mut self.view.chunks {
            if overlaps(chunk, uids) && chunk.iter().any(|record| uids.contains(record.uid)) {
                Arc::make_mut(chunk).retain(|record| !uids.contains(record.uid));
            }
        }
        self.view.chunks.retain(|chunk| !chunk.is_empty());
        self.merge_small();
    }

    /// Calls `change` for every message in `uids`; chunks without one are not copied.
    pub fn update(&mut self, uids: &UidSet, mut change: impl FnMut(&mut Record)) {
        for chunk in &mut self.view.chunks {
            if overlaps(chunk, uids) && chunk.iter().any(|record| uids.contains(record.uid)) {
                Arc::make_mut(chunk)
                    .iter_mut()
                    .filter(|record| uids.contains(record.uid))
                    .for_each(&mut change);
            }
        }
    }

    /// Adds a message at the end. A UID that does not ascend is refused with `false`.
    pub fn append(&mut self, record: Record) -> bool {
        if self.view.last_uid().is_some_and(|last| record.uid <= last) {
            return false;
        }
        match self.view.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => Arc::make_mut(chunk).push(record),
            _ => self.view.chunks.push(Arc::new(vec![record])),
        }
        true
    }

    /// Puts in other messages altogether; they must ascend.
    pub(super) fn replace_chunks(&mut self, chunks: Vec<Arc<Vec<Record>>>) {
        self.view.chunks = chunks;
    }

    /// The new snapshot.
    pub fn finish(mut self) -> View {
        let mut total = 0u32;
        self.view.ends.clear();
        for chunk in &mut self.view.chunks {
            if let Some(owned) = Arc::get_mut(chunk) {
                owned.shrink_to_fit();
            }
            total += chunk.len() as u32;
            self.view.ends.push(total);
        }
        self.view.chunks.shrink_to_fit();
        self.view.ends.shrink_to_fit();
        self.view
    }

    /// Joins neighbours that have become small, so that many expunges leave no crumbs.
    fn merge_small(&mut self) {
        let mut merged: Vec<Arc<Vec<Record>>> = Vec::with_capacity(self.view.chunks.len());
        for chunk in self.view.chunks.drain(..) {
            match merged.last_mut() {
                Some(last) if last.len() + chunk.len() <= CHUNK / 2 => {
                    Arc::make_mut(last).extend(chunk.iter().cloned());
                }
                _ => merged.push(chunk),
            }
        }
        self.view.chunks = merged;
    }
}

/// Whether a chunk may hold a message of `uids`, told from the ends of both.
fn overlaps(chunk: &[Record], uids: &UidSet) -> bool {
    match (chunk.first(), chunk.last(), uids.first(), uids.last()) {
        (Some(first), Some(last), Some(from), Some(to)) => from <= last.uid && first.uid <= to,
        _ => false,
    }
}
