//! Reading ahead: who goes through many messages says which will be next, and where the cache does not
//! know them several are read at once, each by one of a few threads.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread::Builder;
use std::time::Instant;

use base::Uid;

use crate::error::Result;
use crate::facts::{Facts, Wanted};
use crate::limits::{AHEAD_FACTS_MAX, AHEAD_MESSAGES_MAX, AHEAD_STACK_BYTES, AHEAD_TIME};
use crate::threads::Permit;
use crate::view::View;

use super::facts::Looked;
use super::{Driver, Shared};

/// What a session is going to ask, and what of it is known already.
#[derive(Default)]
pub(super) struct Ahead {
    expected: VecDeque<Uid>,
    /// What is asked of each of them: what the first time was read. All else is asked by the way.
    asked: Option<(Wanted, Vec<String>)>,
    /// What was read ahead; `None` of messages that could not be read.
    ready: VecDeque<(Uid, Option<Facts>)>,
}

impl Ahead {
    /// `uids` will be asked for in this order.
    pub(super) fn will_fetch(&mut self, uids: &[Uid]) {
        self.expected = uids.iter().copied().collect();
        self.asked = None;
        self.ready.clear();
    }

    /// Forgets what was read: the mailbox may have changed.
    pub(super) fn clear(&mut self) {
        self.ready.clear();
    }

    /// Whether that is nothing to read ahead. What only is to be given if it is at hand is not read at all.
    fn is_by_the_way(&self, wanted: Wanted, names: &[&str]) -> bool {
        let is_other = |asked: &(Wanted, Vec<String>)| asked.0 != wanted || asked.1 != names;
        self.expected.is_empty() || wanted.has(Wanted::AT_HAND) || self.asked.as_ref().is_some_and(is_other)
    }

    /// What became of a message when it was read ahead; the outer `None` if it was not.
    fn take(&mut self, uid: Uid) -> Option<Option<Facts>> {
        let at = self.ready.iter().position(|(known, _)| *known == uid)?;
        self.ready.drain(..=at).next_back().map(|(_, facts)| facts)
    }

    /// At most `count` of what comes behind `uid`; nothing if that was not expected.
    fn next_after(&mut self, uid: Uid, count: usize) -> impl Iterator<Item = Uid> + '_ {
        match self.expected.iter().position(|expected| *expected == uid) {
            Some(at) => drop(self.expected.drain(..=at)),
            None => self.expected.clear(),
        }
        self.expected.iter().copied().take(count)
    }
}

impl<D: Driver> Shared<D> {
    /// What is `wanted` of a message, as [`fetch`](Self::fetch) gives it, with a look at those that are
    /// next.
    pub(super) fn fetch_ahead(
        &self,
        ahead: &mut Ahead,
        view: &View,
        uid: Uid,
        wanted: Wanted,
        names: &[&str],
    ) -> Result<Facts> {
        if ahead.is_by_the_way(wanted, names) {
            return self.fetch(view, uid, wanted, names);
        }
        match ahead.take(uid) {
            Some(Some(facts)) => return Ok(facts),
            // Now it shows why, and those behind it have been read.
            Some(None) => return self.fetch(view, uid, wanted, names),
            None => {}
        }
        let mut looked = self.look(view, uid, wanted, names);
        if looked.is_enough() {
            return self.keep(looked);
        }
        let count = if looked.needs_message(wanted, names) { AHEAD_MESSAGES_MAX } else { AHEAD_FACTS_MAX };
        let next = ahead.next_after(uid, count).map(|uid| self.look(view, uid, wanted, names));
        let mut next: Vec<Looked> = next.collect();
        let result = self.read_together(view, &mut looked, &mut next, wanted, names);
        ahead.asked = Some((wanted, names.iter().map(|name| (*name).to_owned()).collect()));
        ahead.ready.clear();
        for read in next.into_iter().filter(|next| !next.is_open()) {
            let uid = read.uid;
            let facts = if read.has_failed() { None } else { Some(self.keep(read)?) };
            ahead.ready.push_back((uid, facts));
        }
        result?;
        self.keep(looked)
    }

    /// Reads the first here and the others on other threads as well, as far as time allows. What goes
    /// wrong with those shows when they are asked for.
    fn read_together(
        &self,
        view: &View,
        first: &mut Looked,
        next: &mut [Looked],
        wanted: Wanted,
        names: &[&str],
    ) -> Result<()> {
        let start = Instant::now();
        let permits: Vec<Permit> = match next.is_empty() {
            true => Vec::new(),
            false => std::iter::from_fn(Permit::take).collect(),
        };
        if permits.is_empty() {
            return self.read(view, first, wanted, names);
        }
        let queue = Mutex::new(next.iter_mut());
        let work = || {
            while start.elapsed() < AHEAD_TIME {
                let next = queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
                let Some(looked) = next else { return };
                if self.read(view, looked, wanted, names).is_err() {
                    // Whoever asks for the message finds out again.
                    looked.fail();
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in &permits {
                let builder = Builder::new().name("ahead".to_owned()).stack_size(AHEAD_STACK_BYTES);
                // Without a thread it takes longer.
                let _ = builder.spawn_scoped(scope, work);
            }
            let result = self.read(view, first, wanted, names);
            work();
            result
        })
    }
}
