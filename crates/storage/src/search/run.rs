//! Answers a query: conditions on flags and sizes first, then dates, then headers, then bodies, and
//! each message is opened at most once.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base::{Uid, UidSet};
use message::search::{Needle, Scope, in_field, in_message};

use crate::api::Mailbox;
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::view::{Record, View};

use super::query::{DateKind, Day, Query};

/// The UIDs of the messages in `view` that fit, in order. Messages that have gone meanwhile do not.
pub fn run(mailbox: &mut dyn Mailbox, view: &View, query: &Query) -> Result<Vec<Uid>> {
    let mut search = Search::new(view, query, mailbox.recent().clone());
    while !search.advance(mailbox, view, Duration::MAX)? {}
    Ok(search.found)
}

/// A search that goes on piece by piece, so that a long one does not keep others waiting.
pub struct Search {
    query: Plan,
    candidates: std::vec::IntoIter<Uid>,
    recent: UidSet,
    now: SystemTime,
    found: Vec<Uid>,
    total: usize,
}

impl Search {
    /// Prepares a search of the messages in `view`; `recent` are those of the session.
    pub fn new(view: &View, query: &Query, recent: UidSet) -> Self {
        let query = Plan::of(query);
        let candidates: Vec<Uid> = match query.uids() {
            Some(uids) => view.records_in(uids).map(|(_, record)| record.uid).collect(),
            None => view.records().map(|record| record.uid).collect(),
        };
        let total = candidates.len();
        let now = SystemTime::now();
        Self { query, candidates: candidates.into_iter(), recent, now, found: Vec::new(), total }
    }

    /// Goes on for about so long; `true` when done.
    pub fn advance(&mut self, mailbox: &mut dyn Mailbox, view: &View, time: Duration) -> Result<bool> {
        let start = Instant::now();
        for uid in self.candidates.by_ref() {
            let Some(record) = view.record(uid) else { continue };
            let mut message = Message {
                mailbox,
                view,
                record,
                recent: &self.recent,
                now: self.now,
                facts: None,
                header: None,
            };
            match self.query.matches(&mut message) {
                Ok(true) => self.found.push(uid),
                Ok(false) | Err(Error::Expunged(_)) => {}
                Err(error) => return Err(error),
            }
            if start.elapsed() >= time {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What was found so far, in order.
    pub fn found(&self) -> &[Uid] {
        &self.found
    }

    /// How many of how many messages have been looked at.
    pub fn progress(&self) -> (usize, usize) {
        (self.total - self.candidates.len(), self.total)
    }
}

/// The query with its texts prepared and its cheap conditions in front.
enum Plan {
    Simple(Query),
    Not(Box<Plan>),
    And(Vec<Plan>),
    Or(Vec<Plan>),
    Header(String, Needle),
    Body(Needle),
    Text(Needle),
}

impl Plan {
    fn of(query: &Query) -> Self {
        let sorted = |queries: &[Query]| {
            let mut plans: Vec<Self> = queries.iter().map(Self::of).collect();
            plans.sort_by_key(Self::cost);
            plans
        };
        match query {
            Query::Not(inner) => Self::Not(Box::new(Self::of(inner))),
            Query::And(all) => Self::And(sorted(all)),
            Query::Or(any) => Self::Or(sorted(any)),
            Query::Header { name, text } => Self::Header(name.clone(), Needle::new(text)),
            Query::Body(text) => Self::Body(Needle::new(text)),
            Query::Text(text) => Self::Text(Needle::new(text)),
            simple => Self::Simple(simple.clone()),
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Self::Simple(Query::Larger(_) | Query::Smaller(_) | Query::Guid(_)) => 1,
            Self::Simple(Query::Before(kind, _) | Query::On(kind, _) | Query::Since(kind, _)) => match kind {
                DateKind::Sent => 4,
                _ => 2,
            },
            Self::Simple(Query::Older(_) | Query::Younger(_)) => 2,
            Self::Simple(Query::BeforeTime(kind, _) | Query::SinceTime(kind, _)) => match kind {
                DateKind::Sent => 4,
                _ => 2,
            },
            Self::Simple(_) => 0,
            Self::Not(inner) => inner.cost(),
            Self::And(all) | Self::Or(all) => all.iter().map(Self::cost).max().unwrap_or(0),
            Self::Header(..) => 4,
            Self::Body(_) | Self::Text(_) => 8,
        }
    }

    /// A set that holds everything that can match, where the query tells one at once.
    fn uids(&self) -> Option<&UidSet> {
        match self {
            Self::Simple(Query::Uids(uids)) => Some(uids),
            Self::And(all) => all.iter().find_map(Self::uids),
            _ => None,
        }
    }

    fn matches(&self, message: &mut Message<'_>) -> Result<bool> {
        Ok(match self {
            Self::Simple(query) => message.matches(query)?,
            Self::Not(inner) => !inner.matches(message)?,
            Self::And(all) => {
                for plan in all {
                    if !plan.matches(message)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Or(any) => {
                for plan in any {
                    if plan.matches(message)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Header(name, needle) => in_field(&message.header()?, name.as_bytes(), needle),
            Self::Body(needle) => message.contains(needle, Scope::Body)?,
            Self::Text(needle) => message.contains(needle, Scope::Text)?,
        })
    }
}

/// A message being looked at, with what is known of it so far.
struct Message<'a> {
    mailbox: &'a mut dyn Mailbox,
    view: &'a View,
    record: &'a Record,
    recent: &'a UidSet,
    now: SystemTime,
    facts: Option<(Wanted, Facts)>,
    header: Option<Arc<[u8]>>,
}

impl Message<'_> {
    fn matches(&mut self, query: &Query) -> Result<bool> {
        let record = self.record;
        Ok(match query {
            Query::All => true,
            Query::Uids(uids) => uids.contains(record.uid),
            Query::Flags(flags) => record.flags.has(*flags),
            Query::Keyword(name) => {
                self.view.keyword_index(name).is_some_and(|index| record.keywords.contains(index))
            }
            Query::Recent => self.recent.contains(record.uid),
            Query::Larger(size) => {
                self.facts(Wanted::SIZE_VIRTUAL)?.size_virtual.is_some_and(|own| own > *size)
            }
            Query::Smaller(size) => {
                self.facts(Wanted::SIZE_VIRTUAL)?.size_virtual.is_some_and(|own| own < *size)
            }
            Query::Before(kind, day) => self.day(*kind)?.is_some_and(|own| own < *day),
            Query::On(kind, day) => self.day(*kind)?.is_some_and(|own| own == *day),
            Query::Since(kind, day) => self.day(*kind)?.is_some_and(|own| own >= *day),
            Query::BeforeTime(kind, secs) => self.secs(*kind)?.is_some_and(|own| own < *secs),
            Query::SinceTime(kind, secs) => self.secs(*kind)?.is_some_and(|own| own >= *secs),
            Query::Older(secs) => self.age()?.is_some_and(|age| age >= u64::from(*secs)),
            Query::Younger(secs) => self.age()?.is_some_and(|age| age < u64::from(*secs)),
            Query::ModSeq(modseq) => record.modseq >= *modseq,
            Query::Guid(guid) => self.facts(Wanted::GUID)?.guid.as_deref() == Some(guid.as_str()),
            // The others have plans of their own.
            _ => false,
        })
    }

    fn facts(&mut self, wanted: Wanted) -> Result<&Facts> {
        if self.facts.as_ref().is_none_or(|(have, _)| !have.has(wanted)) {
            let facts = self.mailbox.fetch_facts(self.record.uid, wanted)?;
            self.facts = Some((wanted, facts));
        }
        self.facts.as_ref().map(|(_, facts)| facts).ok_or(Error::Expunged(self.record.uid))
    }

    fn header(&mut self) -> Result<Arc<[u8]>> {
        if let Some(header) = &self.header {
            return Ok(header.clone());
        }
        let header = self.facts(Wanted::HEADER)?.header.clone().unwrap_or_default();
        self.header = Some(header.clone());
        Ok(header)
    }

    fn contains(&mut self, needle: &Needle, scope: Scope) -> Result<bool> {
        let reader = self.mailbox.open_message(self.record.uid)?;
        in_message(reader, needle, scope).map_err(|error| self.failed(error))
    }

    fn day(&mut self, kind: DateKind) -> Result<Option<Day>> {
        let time = match kind {
            DateKind::Received => self.facts(Wanted::INTERNAL_DATE)?.internal_date,
            DateKind::Saved => self.facts(Wanted::SAVE_DATE)?.save_date,
            DateKind::Sent => {
                let header = self.header()?;
                let sent = message::header::first(&header, b"Date");
                let day = sent.and_then(|field| super::date::sent_day(&field.value_oneline()));
                // As in 2.3, a message without a date that can be read is older than all others.
                return Ok(Some(day.unwrap_or(Day(0))));
            }
        };
        Ok(time.and_then(super::date::local_day))
    }

    /// A date in seconds since 1970.
    fn secs(&mut self, kind: DateKind) -> Result<Option<i64>> {
        let time = match kind {
            DateKind::Received => self.facts(Wanted::INTERNAL_DATE)?.internal_date,
            DateKind::Saved => self.facts(Wanted::SAVE_DATE)?.save_date,
            DateKind::Sent => {
                let header = self.header()?;
                let sent = message::header::first(&header, b"Date");
                let sent = sent.and_then(|field| message::date::parse(&field.value_oneline()));
                // As in 2.3, a message without a date that can be read is older than all others.
                return Ok(Some(sent.map_or(0, |sent| sent.unix_secs)));
            }
        };
        Ok(time.map(|time| match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |secs| -secs),
        }))
    }

    fn age(&mut self) -> Result<Option<u64>> {
        let date = self.facts(Wanted::INTERNAL_DATE)?.internal_date;
        Ok(date.map(|date| self.now.duration_since(date).map_or(0, |age| age.as_secs())))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io("read", format!("UID {}", self.record.uid), error)
    }
}
