//! What threading made of messages' headers, kept while somebody has the mailbox open: for
//! the same UID it is always the same, and clients ask again and again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base::{Uid, UidValidity};

use crate::limits::{MEMO_BYTES_MAX, MEMO_FOREST_MAX};
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
