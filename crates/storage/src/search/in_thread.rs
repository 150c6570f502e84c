//! INTHREAD: messages whose thread has a message that fits. Threads are those of the whole mailbox, as
//! in 2.3.

use std::sync::Arc;
use std::time::Instant;

use base::{Uid, UidSet};

use crate::api::Mailbox;
use crate::error::Result;
use crate::thread::{Algorithm, Forest, Thread};
use crate::view::View;

use super::query::Query;
use super::run::Search;

/// An INTHREAD on its way to a set of messages.
pub(super) struct InThread {
    algorithm: Algorithm,
    state: State,
}

enum State {
    Searching(Box<Search>),
    Threading { found: UidSet, thread: Thread },
    Done(UidSet),
}

/// The mailbox's threads, each kind made once for a query.
#[derive(Default)]
pub(super) struct Threads(Vec<(Algorithm, Arc<Forest>)>);

impl InThread {
    pub(super) fn new(algorithm: Algorithm, inner: &Query, view: &View, recent: UidSet) -> Self {
        let search = Search::new(view, inner, recent);
        Self { algorithm, state: State::Searching(Box::new(search)) }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    pub(super) fn contains(&self, uid: Uid) -> bool {
        matches!(&self.state, State::Done(uids) if uids.contains(uid))
    }

    /// Goes on until the deadline; `None` is none.
    pub(super) fn advance(
        &mut self,
        mailbox: &mut dyn Mailbox,
        view: &View,
        deadline: Option<Instant>,
        threads: &mut Threads,
    ) -> Result<()> {
        match &mut self.state {
            State::Done(_) => {}
            State::Searching(search) => {
                if search.advance_to(mailbox, view, deadline, threads)? {
                    let found: UidSet = search.found().iter().copied().collect();
                    self.state = match threads.get(self.algorithm) {
                        Some(forest) => State::Done(forest.threads_with(&found)),
                        None => {
                            let all = view.records().map(|record| record.uid).collect();
                            State::Threading { found, thread: Thread::new(all, self.algorithm) }
                        }
                    };
                }
            }
            State::Threading { found, thread } => {
                if thread.advance(mailbox, super::run::time_left(deadline))? {
                    let found = std::mem::take(found);
                    let done = std::mem::replace(thread, Thread::new(Vec::new(), self.algorithm));
                    let forest = done.finish();
                    self.state = State::Done(forest.threads_with(&found));
                    threads.0.push((self.algorithm, forest));
                }
            }
        }
        Ok(())
    }
}

impl Threads {
    fn get(&self, algorithm: Algorithm) -> Option<Arc<Forest>> {
        self.0.iter().find(|(known, _)| *known == algorithm).map(|(_, forest)| forest.clone())
    }
}
