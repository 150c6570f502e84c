//! THREAD (RFC 5256 §3, and 2.3's REFS) over messages that a search found: gathers what the algorithm
//! needs of each message, once, then links them.
//!
//! Nothing here recurses: one chain of a million messages needs no stack, and takes about as long as a
//! million messages of their own.

mod forest;
mod gather;
mod links;
mod ordered_subject;
mod refs;
mod roots;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Uid, UidValidity};

use crate::api::Mailbox;
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::memo::Memo;
use crate::sort::sent;

pub(crate) use gather::ThreadFacts;

pub use forest::{Forest, Node};

/// How messages are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Messages with the same base subject.
    OrderedSubject,
    /// By `References` and `In-Reply-To`, then by base subject.
    References,
    /// By `References` and `In-Reply-To` only; the thread with the newest message comes last
    /// (draft-ietf-morg-inthread).
    Refs,
}

/// A threading that goes on piece by piece.
pub struct Thread {
    algorithm: Algorithm,
    uids: Vec<Uid>,
    facts: gather::Gathered,
    /// Where the threads are kept for the next time, and under which UIDVALIDITY.
    memo: Option<(Arc<Memo>, UidValidity)>,
    known: Option<Arc<Forest>>,
}

impl Thread {
    /// Prepares to thread `uids`, which ascend.
    pub fn new(uids: Vec<Uid>, algorithm: Algorithm) -> Self {
        Self { algorithm, facts: gather::Gathered::new(uids.len()), uids, memo: None, known: None }
    }

    /// Goes on for about so long; `true` when all is known. A message that has gone meanwhile is a
    /// thread of its own.
    pub fn advance(&mut self, mailbox: &mut dyn Mailbox, time: Duration) -> Result<bool> {
        let start = Instant::now();
        let names: &[&str] = match self.algorithm {
            Algorithm::OrderedSubject => &["Subject"],
            Algorithm::Refs => &["Message-ID", "References", "In-Reply-To"],
            Algorithm::References => &["Message-ID", "References", "In-Reply-To", "Subject"],
        };
        if self.facts.len() == 0 {
            let uid_validity = mailbox.view().uid_validity();
            self.memo = mailbox.memo().map(|memo| (memo, uid_validity));
            mailbox.will_fetch(&self.uids);
        }
        let memo = self.memo.clone();
        let mut kept = memo.as_ref().map(|(memo, uid_validity)| memo.kept(*uid_validity));
        if self.facts.len() == 0 {
            self.known = kept.as_ref().and_then(|kept| kept.forest(self.algorithm, &self.uids));
        }
        if self.known.is_some() {
            return Ok(true);
        }
        while let Some(&uid) = self.uids.get(self.facts.len()) {
            if let Some(facts) = kept.as_ref().and_then(|kept| kept.thread(uid)) {
                self.facts.push(&facts);
                continue;
            }
            let facts = match mailbox.fetch_fields(uid, Wanted::SENT_DATE, names) {
                Ok(facts) => with_arrival(mailbox, uid, facts)?,
                Err(Error::Expunged(_)) => Facts::default(),
                Err(error) => return Err(error),
            };
            let facts = Arc::new(ThreadFacts::of(&facts, sent(&facts)));
            self.facts.push(&facts);
            // The other algorithms do not look at everything.
            if let Some(kept) = kept.as_mut().filter(|_| self.algorithm == Algorithm::References) {
                kept.keep_thread(uid, facts);
            }
            if start.elapsed() >= time {
                return Ok(self.facts.len() == self.uids.len());
            }
        }
        Ok(true)
    }

    /// How many of how many messages have been looked at.
    pub fn progress(&self) -> (usize, usize) {
        (self.facts.len(), self.uids.len())
    }

    /// The threads. To be called once [`advance`](Self::advance) said that it is done.
    pub fn finish(self) -> Arc<Forest> {
        if let Some(forest) = self.known {
            return forest;
        }
        let forest = Arc::new(match self.algorithm {
            Algorithm::OrderedSubject => ordered_subject::threads(&self.facts, &self.uids),
            Algorithm::References => refs::by_subject(&self.facts, &self.uids),
            Algorithm::Refs => refs::by_newest(&self.facts, &self.uids),
        });
        if let Some((memo, uid_validity)) = self.memo {
            memo.kept(uid_validity).keep_forest(self.algorithm, self.uids, forest.clone());
        }
        forest
    }
}

fn with_arrival(mailbox: &mut dyn Mailbox, uid: Uid, mut facts: Facts) -> Result<Facts> {
    if facts.sent_date.is_none_or(|date| date.unix_secs == 0) {
        facts.internal_date = match mailbox.fetch_facts(uid, Wanted::INTERNAL_DATE) {
            Ok(facts) => facts.internal_date,
            Err(Error::Expunged(_)) => None,
            Err(error) => return Err(error),
        };
    }
    Ok(facts)
}

#[cfg(test)]
mod tests;
