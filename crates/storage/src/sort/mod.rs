//! SORT (RFC 5256 §3, RFC 5957) over messages that a search found: gathers what the keys need of each,
//! once, then puts them in order as Dovecot 2.3 does.
//!
//! Text is compared folded as in searches, which is i;unicode-casemap (RFC 5051).

mod ranks;
mod value;

use std::time::{Duration, Instant};

use base::Uid;

use crate::api::Mailbox;
use crate::error::{Error, Result};
use crate::facts::{Facts, NumberFact, Wanted};

use ranks::Ranking;
use value::Values;
pub(crate) use value::{field, sent, unix_secs};

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// INTERNALDATE.
    Arrival,
    /// The local part of the first `Cc` address.
    Cc,
    /// The moment in `Date`; INTERNALDATE, where there is none.
    Date,
    /// The local part of the first `From` address.
    From,
    /// RFC822.SIZE.
    Size,
    /// The base subject.
    Subject,
    /// The local part of the first `To` address.
    To,
    /// The display name of the first `From` address, or else the address.
    DisplayFrom,
    /// The display name of the first `To` address, or else the address.
    DisplayTo,
}

/// A key and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// What to sort by.
    pub key: SortKey,
    /// Whether the largest comes first.
    pub reverse: bool,
}

/// A sort that goes on piece by piece.
pub struct Sort {
    uids: Vec<Uid>,
    criteria: Vec<Criterion>,
    wanted: Wanted,
    names: Vec<&'static str>,
    values: Values,
    done: usize,
    at_hand: AtHand,
    first: First,
    /// Messages that may still be looked at.
    slow_left: u32,
    has_given_up: bool,
}

/// Numbers that the mailbox gave for the messages that are next.
#[derive(Default)]
struct AtHand {
    /// Which messages they are.
    start: usize,
    numbers: Vec<Option<i64>>,
}

/// How the first criterion is compared.
enum First {
    /// Nobody has looked yet whether the mailbox keeps numbers for it.
    Unknown,
    /// By its value.
    Value,
    /// By numbers in the order of the texts.
    Ranks(Box<Ranking>),
}

impl Sort {
    /// Prepares to sort `uids`; messages that are equal in everything keep their order.
    pub fn new(uids: Vec<Uid>, criteria: &[Criterion]) -> Self {
        let values = Values::with_capacity(uids.len(), criteria.len());
        let (wanted, names) = needs(criteria);
        let (criteria, first) = (criteria.to_vec(), First::Unknown);
        let slow_left = u32::MAX;
        let at_hand = AtHand::default();
        Self {
            uids,
            criteria,
            wanted,
            names,
            values,
            done: 0,
            at_hand,
            first,
            slow_left,
            has_given_up: false,
        }
    }

    /// The same with `mail_sort_max_read_count`: of so many messages more is asked than is at hand; 0 for
    /// all. As in 2.3 the others come first where text or sizes count, and last where dates do.
    pub fn with_slow_max(self, slow_max: u32) -> Self {
        Self { slow_left: if slow_max == 0 { u32::MAX } else { slow_max }, ..self }
    }

    /// Whether some messages were not looked at for that reason.
    pub fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    /// Goes on for about so long; `true` when all is known. A message that has gone meanwhile sorts as
    /// if it were empty, since the client still counts it.
    pub fn advance(&mut self, mailbox: &mut dyn Mailbox, time: Duration) -> Result<bool> {
        let start = Instant::now();
        if matches!(self.first, First::Unknown) {
            self.choose(mailbox);
        }
        if let First::Ranks(ranking) = &mut self.first {
            if !ranking.advance(mailbox, time, &mut self.slow_left)? {
                return Ok(false);
            }
            self.has_given_up |= ranking.has_given_up();
        }
        if self.done == 0 && !self.only_numbers() && self.slow_left == u32::MAX {
            mailbox.will_fetch(&self.uids);
        }
        while let Some(&uid) = self.uids.get(self.done) {
            match self.number_at_hand(mailbox) {
                Some(number) => self.values.push_number(number),
                None => self.look_at(mailbox, uid)?,
            }
            self.done += 1;
            if self.done.is_multiple_of(TIME_EVERY) && !self.only_numbers() && start.elapsed() >= time {
                return Ok(self.done == self.uids.len());
            }
        }
        Ok(true)
    }

    /// Whether nothing of the messages has to be looked up any more.
    fn only_numbers(&self) -> bool {
        matches!(self.first, First::Ranks(_)) && self.criteria.len() == 1
    }

    /// Finds out how the first criterion is compared.
    fn choose(&mut self, mailbox: &mut dyn Mailbox) {
        let reads_all = self.slow_left == u32::MAX;
        let first = self.criteria.first();
        let ranking = first.and_then(|criterion| Ranking::new(criterion.key, reads_all, mailbox));
        self.first = match ranking {
            Some(ranking) => {
                (self.wanted, self.names) = needs(self.criteria.get(1..).unwrap_or_default());
                First::Ranks(Box::new(ranking))
            }
            None => First::Value,
        };
    }

    /// What the next message is sorted by, if that is one number, and at hand.
    fn number_at_hand(&mut self, mailbox: &mut dyn Mailbox) -> Option<i64> {
        let ([Criterion { key, .. }], First::Value) = (self.criteria.as_slice(), &self.first) else {
            return None;
        };
        let fact = key.number()?;
        if self.done >= self.at_hand.start + self.at_hand.numbers.len() || self.done < self.at_hand.start {
            let end = self.uids.len().min(self.done + NUMBERS_TOGETHER);
            let next = self.uids.get(self.done..end).unwrap_or_default();
            self.at_hand = AtHand { start: self.done, numbers: mailbox.numbers_at_hand(fact, next) };
        }
        let number = self.at_hand.numbers.get(self.done - self.at_hand.start).copied().flatten()?;
        // Who does not say when it was sent is sorted by when it arrived.
        (*key != SortKey::Date || number != 0).then_some(number)
    }

    /// Gathers what the criteria say of a message.
    fn look_at(&mut self, mailbox: &mut dyn Mailbox, uid: Uid) -> Result<()> {
        let mut criteria = self.criteria.as_slice();
        if let First::Ranks(ranking) = &self.first {
            self.values.push_number(i64::from(ranking.of(uid)));
            criteria = criteria.get(1..).unwrap_or_default();
        }
        if criteria.is_empty() {
            return Ok(());
        }
        let at_hand = if self.slow_left == 0 { Wanted::AT_HAND } else { Wanted::NONE };
        let facts = mailbox.fetch_fields(uid, self.wanted | at_hand, &self.names);
        let facts = match facts.and_then(|facts| self.with_arrival(mailbox, uid, facts, at_hand)) {
            Ok(facts) => facts,
            Err(Error::Expunged(_)) => Facts::default(),
            Err(Error::TooSlow(_)) => {
                self.has_given_up = true;
                criteria.iter().for_each(|criterion| self.values.push_unknown(criterion.key));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if self.slow_left != u32::MAX {
            self.slow_left -= u32::from(facts.was_slow);
        }
        criteria.iter().for_each(|criterion| self.values.push(criterion.key, &facts));
        Ok(())
    }

    /// `Date` falls back to the date of arrival, which is looked up only then.
    fn with_arrival(
        &self,
        mailbox: &mut dyn Mailbox,
        uid: Uid,
        mut facts: Facts,
        at_hand: Wanted,
    ) -> Result<Facts> {
        if self.wanted.has(Wanted::SENT_DATE) && facts.sent_date.is_none_or(|date| date.unix_secs == 0) {
            facts.internal_date = match mailbox.fetch_facts(uid, Wanted::INTERNAL_DATE | at_hand) {
                Ok(dates) => {
                    facts.was_slow |= dates.was_slow;
                    dates.internal_date
                }
                Err(Error::Expunged(_)) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(facts)
    }

    /// How many of how many looks at messages are done.
    pub fn progress(&self) -> (usize, usize) {
        match &self.first {
            First::Ranks(ranking) => {
                let (done, all) = ranking.progress();
                (done + self.done, all + self.uids.len())
            }
            _ => (self.done, self.uids.len()),
        }
    }

    /// The messages in order. To be called once [`advance`](Self::advance) said that it is done.
    pub fn finish(self) -> Vec<Uid> {
        let order = self.values.order(&self.criteria);
        order.into_iter().filter_map(|index| self.uids.get(index as usize).copied()).collect()
    }
}

/// What has to be known of messages to sort them.
fn needs(criteria: &[Criterion]) -> (Wanted, Vec<&'static str>) {
    let mut wanted = Wanted::NONE;
    let mut names: Vec<&'static str> = Vec::new();
    for criterion in criteria {
        match criterion.key {
            SortKey::Arrival => wanted |= Wanted::INTERNAL_DATE,
            SortKey::Size => wanted |= Wanted::SIZE_VIRTUAL,
            SortKey::Date => wanted |= Wanted::SENT_DATE,
            key => names.extend(key.field().filter(|name| !names.contains(name))),
        }
    }
    (wanted, names)
}

impl SortKey {
    /// The number that the key is.
    fn number(self) -> Option<NumberFact> {
        match self {
            Self::Arrival => Some(NumberFact::Arrival),
            Self::Date => Some(NumberFact::Sent),
            Self::Size => Some(NumberFact::Size),
            _ => None,
        }
    }

    /// The header field that the key comes from.
    fn field(self) -> Option<&'static str> {
        Some(match self {
            Self::Arrival | Self::Date | Self::Size => return None,
            Self::Cc => "Cc",
            Self::From | Self::DisplayFrom => "From",
            Self::Subject => "Subject",
            Self::To | Self::DisplayTo => "To",
        })
    }
}

/// Numbers are asked for so many messages at a time.
const NUMBERS_TOGETHER: usize = 1024;
/// Looking at the clock takes as long as looking at a message does.
const TIME_EVERY: usize = 16;
