//! Reads messages on several threads, each once, and decides what their bodies decide.
//!
//! The thread of the session opens messages and hands them over; when enough of them wait, it reads
//! one itself. Threads live for one step of a search only, and all searches of a process share a
//! number of them, so that no session can take the machine for itself.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};

use base::Uid;
use message::search::{self, Needle};

use crate::api::MessageReader;
use crate::limits::{SEARCH_FAILED_MAX, SEARCH_OPEN_MAX, SEARCH_STACK_BYTES, SEARCH_WAITING_PER_THREAD};
use crate::threads::Permit;

use super::plan::Residue;

/// A text to look for in messages, and where.
pub(super) type Text = (Needle, search::Scope);

/// A message that must be read.
pub(super) struct Task {
    pub(super) uid: Uid,
    pub(super) reader: Box<dyn MessageReader>,
    /// What of the query is open.
    pub(super) residue: Residue,
}

/// The messages that wait, and what became of the others.
pub(super) struct Pool<'a> {
    texts: &'a [Text],
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Task>,
    is_closed: bool,
    found: Vec<Uid>,
    /// What could not be read, and why.
    failed: Vec<(Uid, io::Error)>,
}

/// What was found, in order, and what could not be read.
pub(super) type Outcome = (Vec<Uid>, Vec<(Uid, io::Error)>);

impl<'a> Pool<'a> {
    pub(super) fn new(texts: &'a [Text]) -> Self {
        Self { texts, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds a message. Starts a thread in `scope` if that helps, or reads one message here if there is
    /// no room.
    pub(super) fn add<'scope>(
        &'scope self,
        task: Task,
        threads: &mut Vec<Permit>,
        scope: &'scope Scope<'scope, '_>,
    ) {
        let mut state = self.lock();
        state.waiting.push_back(task);
        let waiting = state.waiting.len();
        let first = if waiting > SEARCH_OPEN_MAX { state.waiting.pop_front() } else { None };
        drop(state);
        self.changed.notify_one();
        if waiting > SEARCH_WAITING_PER_THREAD * (threads.len() + 1)
            && let Some(permit) = Permit::take()
            && let builder = Builder::new().name("search".to_owned()).stack_size(SEARCH_STACK_BYTES)
            && builder.spawn_scoped(scope, || self.work()).is_ok()
        {
            threads.push(permit);
        }
        if let Some(task) = first {
            self.read(task);
        }
    }

    /// No more will come: helps with what waits.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
        self.work();
    }

    /// What came of it. To be called when no thread works any more.
    pub(super) fn into_outcome(self) -> Outcome {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.found, state.failed)
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            self.read(task);
        }
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.waiting.pop_front() {
                return Some(task);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn read(&self, task: Task) {
        let uid = task.uid;
        match matches(task, self.texts) {
            Ok(true) => self.lock().found.push(uid),
            Ok(false) => {}
            Err(error) => {
                let mut state = self.lock();
                state.failed.push((uid, error));
                if state.failed.len() > SEARCH_FAILED_MAX {
                    // So many do not go at once.
                    state.waiting.clear();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a message until what is open of the query is decided.
fn matches(task: Task, texts: &[Text]) -> io::Result<bool> {
    let Task { mut reader, residue, .. } = task;
    let mut wanted = Vec::new();
    residue.texts(&mut wanted);
    wanted.sort_unstable();
    wanted.dedup();
    let needles: Vec<_> = wanted.iter().filter_map(|&index| texts.get(index)).collect();
    let needles: Vec<_> = needles.into_iter().map(|(needle, scope)| (needle, *scope)).collect();
    let value = |found: &[bool], index: usize| {
        let at = wanted.binary_search(&index).ok();
        at.and_then(|at| found.get(at)).copied().unwrap_or(false)
    };
    let is_enough = |found: &[bool]| {
        residue.decided(&|index| if value(found, index) { Some(true) } else { None }).is_some()
    };
    let found = search::all_in_message(&mut reader, &needles, is_enough)?;
    Ok(residue.decided(&|index| Some(value(&found, index))).unwrap_or(false))
}
