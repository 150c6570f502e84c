//! Answers a query: conditions on flags and sizes first, then dates, then headers, then bodies, and
//! each message is opened at most once, by one of a few threads.

use std::time::{Duration, Instant, SystemTime};

use base::{Uid, UidSet};

use crate::api::Mailbox;
use crate::error::{Error, Result};
use crate::limits::SEARCH_FAILED_MAX;
use crate::view::{Record, View};

use super::in_thread::Threads;
use super::one::Message;
use super::plan::{Needs, Plan, Residue};
use super::pool::{Pool, Task};
use super::query::Query;

/// The UIDs of the messages in `view` that fit, in order. Messages that have gone meanwhile do not.
pub fn run(mailbox: &mut dyn Mailbox, view: &View, query: &Query) -> Result<Vec<Uid>> {
    let mut search = Search::new(view, query, mailbox.recent().clone());
    while !search.advance(mailbox, view, Duration::MAX)? {}
    Ok(search.found)
}

/// A search that goes on piece by piece, so that a long one does not keep others waiting.
pub struct Search {
    query: Plan,
    needs: Needs,
    candidates: std::vec::IntoIter<Uid>,
    now: SystemTime,
    found: Vec<Uid>,
    total: usize,
    threads: Threads,
    expunged: bool,
}

impl Search {
    /// Prepares a search of the messages in `view`; `recent` are those of the session.
    pub fn new(view: &View, query: &Query, recent: UidSet) -> Self {
        let mut needs = Needs { recent, ..Needs::default() };
        let query = Plan::of(query, view, &mut needs);
        let (has, lacks) = query.flags();
        let may_fit = |record: &&Record| record.flags.has(has) && !record.flags.intersects(lacks);
        let candidates: Vec<Uid> = match query.uids() {
            Some(uids) => {
                view.records_in(uids).map(|(_, record)| record).filter(may_fit).map(|one| one.uid).collect()
            }
            None => view.records_flagged(has, lacks).map(|record| record.uid).collect(),
        };
        let total = candidates.len();
        let now = SystemTime::now();
        let (candidates, found) =
            if query.is_all() { (Vec::new(), candidates) } else { (candidates, Vec::new()) };
        Self {
            query,
            needs,
            candidates: candidates.into_iter(),
            now,
            found,
            total,
            threads: Threads::default(),
            expunged: false,
        }
    }

    /// Goes on for about so long; `true` when done.
    pub fn advance(&mut self, mailbox: &mut dyn Mailbox, view: &View, time: Duration) -> Result<bool> {
        let mut threads = std::mem::take(&mut self.threads);
        let result = self.advance_to(mailbox, view, Instant::now().checked_add(time), &mut threads);
        self.threads = threads;
        result
    }

    /// The same until a moment; `None` is none.
    pub(super) fn advance_to(
        &mut self,
        mailbox: &mut dyn Mailbox,
        view: &View,
        deadline: Option<Instant>,
        threads: &mut Threads,
    ) -> Result<bool> {
        while let Some(open) = self.query.open_thread() {
            open.advance(mailbox, view, deadline, threads)?;
            if is_over(deadline) {
                return Ok(false);
            }
        }
        let pool = Pool::new(&self.needs.texts);
        let before = self.found.len();
        let mut looker = Looker {
            query: &self.query,
            needs: &self.needs,
            now: self.now,
            found: &mut self.found,
            expunged: &mut self.expunged,
        };
        let candidates = &mut self.candidates;
        let mut permits = Vec::new();
        let result = std::thread::scope(|scope| {
            let result = looker.look(mailbox, view, candidates, deadline, &mut |task| {
                pool.add(task, &mut permits, scope);
            });
            pool.close();
            result
        });
        let is_done = result?;
        let (found, failed) = pool.into_outcome();
        let is_whole = failed.len() <= SEARCH_FAILED_MAX;
        for (uid, error) in failed {
            // Attachments of a message that another session expunges go while it is being read.
            match mailbox.open_message(uid) {
                Err(Error::Expunged(_)) if is_whole => self.expunged = true,
                _ => return Err(Error::io("read", format!("UID {uid}"), error)),
            }
        }
        self.found.extend(found);
        self.found.get_mut(before..).unwrap_or_default().sort_unstable();
        Ok(is_done)
    }

    /// What was found so far, in order.
    pub fn found(&self) -> &[Uid] {
        &self.found
    }

    /// Whether a message had gone before it could be looked at: what was found may lack it.
    pub fn has_lost_messages(&self) -> bool {
        self.expunged
    }

    /// How many of how many messages have been looked at.
    pub fn progress(&self) -> (usize, usize) {
        (self.total - self.candidates.len(), self.total)
    }
}

pub(super) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

pub(super) fn time_left(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Goes through the messages on the session's own thread.
struct Looker<'a> {
    query: &'a Plan,
    needs: &'a Needs,
    now: SystemTime,
    found: &'a mut Vec<Uid>,
    expunged: &'a mut bool,
}

impl Looker<'_> {
    /// Messages whose bodies decide go to `hand_over`. `true` when all have been looked at.
    fn look(
        &mut self,
        mailbox: &mut dyn Mailbox,
        view: &View,
        candidates: &mut std::vec::IntoIter<Uid>,
        deadline: Option<Instant>,
        hand_over: &mut dyn FnMut(Task),
    ) -> Result<bool> {
        for uid in candidates.by_ref() {
            match self.decide(mailbox, view, uid) {
                Ok(Some(task)) => hand_over(task),
                Ok(None) => {}
                Err(Error::Expunged(_)) => *self.expunged = true,
                Err(error) => return Err(error),
            }
            if is_over(deadline) {
                return Ok(candidates.as_slice().is_empty());
            }
        }
        Ok(true)
    }

    fn decide(&mut self, mailbox: &mut dyn Mailbox, view: &View, uid: Uid) -> Result<Option<Task>> {
        let Some(record) = view.record(uid) else { return Ok(None) };
        let mut message = Message {
            mailbox,
            record,
            now: self.now,
            needs: self.needs,
            known: Vec::new(),
            fields: None,
            parts: None,
        };
        match self.query.decide(&mut message)? {
            Residue::Known(true) => self.found.push(uid),
            Residue::Known(false) => {}
            residue => {
                let reader = message.mailbox.open_message(uid)?;
                return Ok(Some(Task { uid, reader, residue }));
            }
        }
        Ok(None)
    }
}
