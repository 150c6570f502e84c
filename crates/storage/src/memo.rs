//! What sorting and threading made of messages' headers, kept while somebody has the mailbox open: for
//! the same UID it is always the same, and clients ask again and again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base::{Uid, UidValidity};

use crate::limits::MEMO_BYTES_MAX;
use crate::sort::SortKey;
use crate::thread::ThreadFacts;

/// See the module. One for each open mailbox.
#[derive(Default)]
pub struct Memo {
    inner: Mutex<Option<Kept>>,
}

/// What is kept for one UIDVALIDITY.
pub(crate) struct Kept {
    uid_validity: UidValidity,
    texts: HashMap<(SortKey, Uid), Box<[u8]>>,
    threads: HashMap<Uid, Arc<ThreadFacts>>,
    bytes: usize,
}

impl Memo {
    /// What is kept, for as long as it is held; empty if the mailbox became another one.
    pub(crate) fn kept(&self, uid_validity: UidValidity) -> MemoGuard<'_> {
        let mut inner = self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if inner.as_ref().is_none_or(|kept| kept.uid_validity != uid_validity) {
            let (texts, threads) = (HashMap::new(), HashMap::new());
            *inner = Some(Kept { uid_validity, texts, threads, bytes: 0 });
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
    /// A message's text to sort by.
    pub(crate) fn text(&self, key: SortKey, uid: Uid) -> Option<&[u8]> {
        self.inner.as_ref()?.texts.get(&(key, uid)).map(|text| &**text)
    }

    /// Keeps it, if there is room.
    pub(crate) fn keep_text(&mut self, key: SortKey, uid: Uid, text: &[u8]) {
        let Some(kept) = self.inner.as_mut().filter(|kept| kept.bytes < MEMO_BYTES_MAX) else { return };
        kept.bytes += text.len() + ENTRY_BYTES;
        kept.texts.insert((key, uid), text.into());
    }

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
}

/// What an entry takes besides its text, roughly.
const ENTRY_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_mailbox_under_the_same_name_begins_anew() {
        let memo = Memo::default();
        let (one, two) = (UidValidity::ONE, UidValidity::new(2).unwrap());
        memo.kept(one).keep_text(SortKey::Subject, Uid::ONE, b"hello");
        assert_eq!(memo.kept(one).text(SortKey::Subject, Uid::ONE), Some(&b"hello"[..]));
        assert_eq!(memo.kept(one).text(SortKey::To, Uid::ONE), None);
        assert_eq!(memo.kept(two).text(SortKey::Subject, Uid::ONE), None);
        assert_eq!(memo.kept(one).text(SortKey::Subject, Uid::ONE), None);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let memo = Memo::default();
        let text = vec![b'x'; MEMO_BYTES_MAX / 2];
        for uid in (1..=4).filter_map(Uid::new) {
            memo.kept(UidValidity::ONE).keep_text(SortKey::Subject, uid, &text);
        }
        let kept = memo.kept(UidValidity::ONE);
        let known = (1..=4).filter_map(Uid::new).filter(|uid| kept.text(SortKey::Subject, *uid).is_some());
        assert_eq!(known.count(), 2);
    }
}
