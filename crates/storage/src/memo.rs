//! What threading made of messages' headers, kept while somebody has the mailbox open, and for a few mailboxes a
//! while longer: for the same UID it is always the same, and clients ask again and again. Webmail opens a
//! session for each time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use base::{Uid, UidValidity};

use crate::limits::{MEMO_BYTES_MAX, MEMO_FOREST_MAX, MEMOS_CLOSED_BYTES_MAX, MEMOS_CLOSED_TIME};
use crate::thread::{Algorithm, Forest, ThreadFacts};

/// See the module. One for each open mailbox.
#[derive(Default)]
pub struct Memo {
    inner: Mutex<Option<Kept>>,
}

/// What is kept for one UIDVALIDITY.
pub(crate) struct Kept {
    uid_validity: UidValidity,
    threads: HashMap<Uid, Arc<ThreadFacts>>,
    bytes: usize,
    /// What came of the last threading: of these messages, by this algorithm.
    last: Option<(Algorithm, Vec<Uid>, Arc<Forest>)>,
}

impl Memo {
    /// What is kept, for as long as it is held; empty if the mailbox became another one.
    pub(crate) fn kept(&self, uid_validity: UidValidity) -> MemoGuard<'_> {
        let mut inner = self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if inner.as_ref().is_none_or(|kept| kept.uid_validity != uid_validity) {
            *inner = Some(Kept { uid_validity, threads: HashMap::new(), bytes: 0, last: None });
        }
        MemoGuard { inner }
    }

    /// How much it is, roughly.
    fn bytes(&self) -> usize {
        let inner = self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let forest = |kept: &Kept| kept.last.as_ref().map_or(0, |(_, uids, _)| uids.len() * FOREST_BYTES);
        inner.as_ref().map_or(0, |kept| kept.bytes + forest(kept))
    }
}

/// Which mailbox: device, inode and path.
pub(crate) type Place = (u64, u64, PathBuf);

/// Memos of mailboxes that nobody has open, those that were closed last at the end.
#[derive(Default)]
pub(crate) struct Closed {
    memos: Mutex<Vec<Put>>,
}

struct Put {
    place: Place,
    memo: Arc<Memo>,
    bytes: usize,
    since: Instant,
}

impl Closed {
    /// Those of this process.
    pub(crate) fn of_process() -> &'static Self {
        static CLOSED: Closed = Closed { memos: Mutex::new(Vec::new()) };
        &CLOSED
    }

    /// Somebody opens a mailbox.
    pub(crate) fn take(&self, place: &Place) -> Arc<Memo> {
        let mut memos = self.memos.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        memos.retain(|put| put.since.elapsed() < MEMOS_CLOSED_TIME);
        let known = memos.iter().position(|put| put.place == *place);
        known.map_or_else(Arc::default, |at| memos.remove(at).memo)
    }

    /// Nobody has a mailbox open any more.
    pub(crate) fn put(&self, place: Place, memo: Arc<Memo>) {
        let bytes = memo.bytes();
        let mut memos = self.memos.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        memos.retain(|put| put.since.elapsed() < MEMOS_CLOSED_TIME && put.place != place);
        if bytes == 0 || bytes > MEMOS_CLOSED_BYTES_MAX {
            return;
        }
        let others = |memos: &[Put]| memos.iter().map(|put| put.bytes).sum::<usize>();
        while others(&memos) + bytes > MEMOS_CLOSED_BYTES_MAX {
            memos.remove(0);
        }
        memos.push(Put { place, memo, bytes, since: Instant::now() });
    }
}

/// A lock on what is kept.
pub(crate) struct MemoGuard<'a> {
    // Invariant: it is `Some`.
    inner: MutexGuard<'a, Option<Kept>>,
}

impl MemoGuard<'_> {
    /// What threading knows of a message.
    pub(crate) fn thread(&self, uid: Uid) -> Option<Arc<ThreadFacts>> {
        self.inner.as_ref()?.threads.get(&uid).cloned()
    }

    /// Keeps it, if there is room.
    pub(crate) fn keep_thread(&mut self, uid: Uid, facts: Arc<ThreadFacts>) {
        let Some(kept) = self.inner.as_mut().filter(|kept| kept.bytes < MEMO_BYTES_MAX) else { return };
        kept.bytes += facts.weight() + ENTRY_BYTES;
        kept.threads.insert(uid, facts);
    }

    /// The threads of just these messages, if they were asked for last.
    pub(crate) fn forest(&self, algorithm: Algorithm, uids: &[Uid]) -> Option<Arc<Forest>> {
        let (known, of, forest) = self.inner.as_ref()?.last.as_ref()?;
        (*known == algorithm && of == uids).then(|| forest.clone())
    }

    /// Keeps the threads of messages until others are asked for.
    pub(crate) fn keep_forest(&mut self, algorithm: Algorithm, uids: Vec<Uid>, forest: Arc<Forest>) {
        if let Some(kept) = self.inner.as_mut().filter(|_| uids.len() <= MEMO_FOREST_MAX) {
            kept.last = Some((algorithm, uids, forest));
        }
    }
}

/// What an entry takes besides its text, roughly.
const ENTRY_BYTES: usize = 64;
/// What a message takes in the threads.
const FOREST_BYTES: usize = 4 + size_of::<crate::thread::Node>();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;

    fn facts(subject: usize) -> Arc<ThreadFacts> {
        let fields = format!("Subject: {}\r\n", "x".repeat(subject)).into_bytes();
        Arc::new(ThreadFacts::of(&Facts { fields: Some(fields.into()), ..Facts::default() }, 0))
    }

    #[test]
    fn another_mailbox_under_the_same_name_begins_anew() {
        let memo = Memo::default();
        let (one, two) = (UidValidity::ONE, UidValidity::new(2).unwrap());
        memo.kept(one).keep_thread(Uid::ONE, facts(5));
        assert!(memo.kept(one).thread(Uid::ONE).is_some());
        assert!(memo.kept(two).thread(Uid::ONE).is_none());
        assert!(memo.kept(one).thread(Uid::ONE).is_none());
    }

    #[test]
    fn a_mailbox_that_is_opened_again_finds_what_it_knew() {
        let closed = Closed::default();
        let place = |inode| (1, inode, PathBuf::from("/mail"));
        let memo = |size: usize| {
            let memo = Arc::new(Memo::default());
            memo.kept(UidValidity::ONE).keep_thread(Uid::ONE, facts(size));
            memo
        };
        let knows = |inode| closed.take(&place(inode)).kept(UidValidity::ONE).thread(Uid::ONE).is_some();
        closed.put(place(1), memo(5));
        closed.put(place(2), Arc::default());
        assert!(!knows(2) && !knows(3) && knows(1));
        // It is somebody's now.
        assert!(!knows(1));
        // Those that were closed last stay.
        (1..=5).for_each(|inode| closed.put(place(inode), memo(MEMOS_CLOSED_BYTES_MAX / 3)));
        assert!(!knows(1) && !knows(3) && knows(4) && knows(5));
        closed.put(place(1), memo(MEMOS_CLOSED_BYTES_MAX + 1));
        assert!(!knows(1));
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let memo = Memo::default();
        let large = facts(MEMO_BYTES_MAX / 2);
        for uid in (1..=4).filter_map(Uid::new) {
            memo.kept(UidValidity::ONE).keep_thread(uid, large.clone());
        }
        let kept = memo.kept(UidValidity::ONE);
        let known = (1..=4).filter_map(Uid::new).filter(|uid| kept.thread(*uid).is_some());
        assert_eq!(known.count(), 2);
    }
}
