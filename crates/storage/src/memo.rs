//! What threading made of messages' headers, and the numbers that messages are sorted by, kept while somebody
//! has the mailbox open, and for a few mailboxes a while longer: for the same UID it is always the same, and
//! clients ask again and again. Webmail opens a session for each time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use base::{Uid, UidValidity};

use crate::facts::NumberFact;
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
    numbers: Vec<Numbers>,
}

/// One number of many messages.
struct Numbers {
    fact: NumberFact,
    /// Of which cache file they are: another one may know better.
    reset_id: u32,
    /// Of these messages, which ascend.
    uids: Vec<Uid>,
    values: Vec<i64>,
}

impl Numbers {
    fn get(&self, uid: Uid, guess: &mut usize) -> Option<i64> {
        if self.uids.get(*guess) != Some(&uid) {
            *guess = self.uids.binary_search(&uid).ok()?;
        }
        let value = self.values.get(*guess).copied();
        *guess += 1;
        value
    }
}

impl Memo {
    /// What is kept, for as long as it is held; empty if the mailbox became another one.
    pub(crate) fn kept(&self, uid_validity: UidValidity) -> MemoGuard<'_> {
        let mut inner = self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if inner.as_ref().is_none_or(|kept| kept.uid_validity != uid_validity) {
            let (threads, numbers) = (HashMap::new(), Vec::new());
            *inner = Some(Kept { uid_validity, threads, bytes: 0, last: None, numbers });
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

    /// A number of each of these messages, as far as it is kept, from this cache file.
    pub(crate) fn numbers(&self, fact: NumberFact, reset_id: u32, uids: &[Uid]) -> Vec<Option<i64>> {
        let all = self.inner.as_ref().map_or(&[][..], |kept| &kept.numbers);
        let known = all.iter().find(|known| known.fact == fact && known.reset_id == reset_id);
        let Some(known) = known else { return vec![None; uids.len()] };
        let mut guess = 0;
        uids.iter().map(|uid| known.get(*uid, &mut guess)).collect()
    }

    /// Keeps a number of a message, if there is room and it comes behind those that are kept.
    pub(crate) fn keep_number(&mut self, fact: NumberFact, reset_id: u32, uid: Uid, value: i64) {
        let Some(kept) = self.inner.as_mut().filter(|kept| kept.bytes < MEMO_BYTES_MAX) else { return };
        let at = kept.numbers.iter().position(|known| known.fact == fact);
        let at = at.unwrap_or_else(|| {
            kept.numbers.push(Numbers { fact, reset_id, uids: Vec::new(), values: Vec::new() });
            kept.numbers.len() - 1
        });
        let Some(known) = kept.numbers.get_mut(at) else { return };
        if known.reset_id != reset_id {
            kept.bytes -= known.uids.len() * NUMBER_BYTES;
            *known = Numbers { fact, reset_id, uids: Vec::new(), values: Vec::new() };
        }
        if known.uids.last().is_none_or(|last| *last < uid) {
            known.uids.push(uid);
            known.values.push(value);
            kept.bytes += NUMBER_BYTES;
        }
    }

    /// Forgets numbers: they may have been wrong.
    pub(crate) fn forget_numbers(&mut self) {
        if let Some(kept) = self.inner.as_mut() {
            let count: usize = kept.numbers.drain(..).map(|known| known.uids.len()).sum();
            kept.bytes -= count * NUMBER_BYTES;
        }
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
/// What a message takes among the numbers.
const NUMBER_BYTES: usize = size_of::<Uid>() + size_of::<i64>();
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
    fn numbers_are_those_of_one_cache() {
        let memo = Memo::default();
        let list: Vec<Uid> = (1..=100).step_by(3).filter_map(Uid::new).collect();
        let mut kept = memo.kept(UidValidity::ONE);
        for &uid in &list {
            kept.keep_number(NumberFact::Size, 7, uid, i64::from(uid.get()) * 10);
        }
        // What does not come behind is asked again.
        kept.keep_number(NumberFact::Size, 7, Uid::new(2).unwrap(), 5);
        let asked: Vec<Uid> = [100, 4, 5, 7, 1].into_iter().filter_map(Uid::new).collect();
        assert_eq!(
            kept.numbers(NumberFact::Size, 7, &asked),
            [Some(1000), Some(40), None, Some(70), Some(10)]
        );
        assert_eq!(kept.numbers(NumberFact::Size, 7, &list).iter().flatten().count(), list.len());
        assert_eq!(kept.numbers(NumberFact::Sent, 7, &asked), [None; 5]);
        assert_eq!(kept.numbers(NumberFact::Size, 8, &asked), [None; 5]);
        kept.keep_number(NumberFact::Size, 8, Uid::new(4).unwrap(), 1);
        assert_eq!(kept.numbers(NumberFact::Size, 8, &asked), [None, Some(1), None, None, None]);
        assert_eq!(kept.numbers(NumberFact::Size, 7, &asked), [None; 5]);
        kept.forget_numbers();
        assert_eq!(kept.numbers(NumberFact::Size, 8, &asked), [None; 5]);
        drop(kept);
        assert_eq!(memo.bytes(), 0);
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
