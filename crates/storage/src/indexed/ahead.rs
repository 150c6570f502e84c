//! Reading ahead: who goes through many messages says which will be next, and where the cache does not
//! know them several are read at once, each by one of a few threads.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread::Builder;
use std::time::Instant;

use base::Uid;

use crate::error::Result;
use crate::facts::{Facts, Wanted};
use crate::limits::{AHEAD_MESSAGES_MAX, AHEAD_STACK_BYTES, AHEAD_TIME};
use crate::threads::Permit;
use crate::view::View;

use super::facts::Looked;
use super::{Driver, Shared};

/// What a session is going to ask, and what of it is known already.
#[derive(Default)]
pub(super) struct Ahead {
    expected: VecDeque<Uid>,
    wanted: Wanted,
    names: Vec<String>,
    ready: VecDeque<(Uid, Facts)>,
}

impl Ahead {
    /// `uids` will be asked for in this order.
    pub(super) fn expect(&mut self, uids: &[Uid]) {
        self.expected = uids.iter().copied().collect();
        self.ready.clear();
    }

    /// Forgets what was read: the mailbox may have changed.
    pub(super) fn clear(&mut self) {
        self.ready.clear();
    }

    /// What was read ahead of a message.
    fn take(&mut self, uid: Uid) -> Option<Facts> {
        let at = self.ready.iter().position(|(known, _)| *known == uid)?;
        self.ready.drain(..=at).next_back().map(|(_, facts)| facts)
    }

    /// What comes behind `uid`; nothing if that was not expected.
    fn next_after(&mut self, uid: Uid) -> impl Iterator<Item = Uid> + '_ {
        match self.expected.iter().position(|expected| *expected == uid) {
            Some(at) => drop(self.expected.drain(..=at)),
            None => self.expected.clear(),
        }
        self.expected.iter().copied().take(AHEAD_MESSAGES_MAX)
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
        if !ahead.ready.is_empty() {
            if ahead.wanted != wanted || ahead.names != names {
                // Something else by the way.
                return self.fetch(view, uid, wanted, names);
            }
            if let Some(facts) = ahead.take(uid) {
                return Ok(facts);
            }
        }
        let mut looked = self.look(view, uid, wanted, names);
        if looked.is_enough() || ahead.expected.is_empty() {
            self.read(view, &mut looked, wanted, names)?;
            return self.keep(looked);
        }
        let next = ahead.next_after(uid).map(|uid| self.look(view, uid, wanted, names));
        let mut next: Vec<Looked> = next.collect();
        let result = self.read_together(view, &mut looked, &mut next, wanted, names);
        (ahead.wanted, ahead.names) = (wanted, names.iter().map(|name| (*name).to_owned()).collect());
        for read in next.into_iter().filter(Looked::is_read) {
            ahead.ready.push_back((read.uid, self.keep(read)?));
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
                // Whoever asks for the message finds out again.
                let _ = self.read(view, looked, wanted, names);
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
