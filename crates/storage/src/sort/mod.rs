//! SORT (RFC 5256 §3, RFC 5957) over messages that a search found: gathers what the keys need of each,
//! once, then puts them in order as Dovecot 2.3 does.
//!
//! Text is compared folded as in searches, which is i;unicode-casemap (RFC 5051).

mod value;

use std::time::{Duration, Instant};

use base::Uid;

use crate::api::Mailbox;
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::memo::MemoGuard;

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
}

impl Sort {
    /// Prepares to sort `uids`; messages that are equal in everything keep their order.
    pub fn new(uids: Vec<Uid>, criteria: &[Criterion]) -> Self {
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
        let values = Values::with_capacity(uids.len(), criteria.len());
        Self { uids, criteria: criteria.to_vec(), wanted, names, values, done: 0 }
    }

    /// Goes on for about so long; `true` when all is known. A message that has gone meanwhile sorts as
    /// if it were empty, since the client still counts it.
    pub fn advance(&mut self, mailbox: &mut dyn Mailbox, time: Duration) -> Result<bool> {
        let start = Instant::now();
        let (memo, uid_validity) = (mailbox.memo(), mailbox.view().uid_validity());
        let mut kept = memo.as_ref().map(|memo| memo.kept(uid_validity));
        while let Some(&uid) = self.uids.get(self.done) {
            if kept.as_ref().is_some_and(|kept| self.recall(kept, uid)) {
                self.done += 1;
                continue;
            }
            let facts = match mailbox.fetch_fields(uid, self.wanted, &self.names) {
                Ok(facts) => self.with_arrival(mailbox, uid, facts)?,
                Err(Error::Expunged(_)) => Facts::default(),
                Err(error) => return Err(error),
            };
            for criterion in &self.criteria {
                let text = self.values.push(criterion.key, &facts);
                if let (Some(kept), Some(text)) = (&mut kept, text) {
                    kept.keep_text(criterion.key, uid, text);
                }
            }
            self.done += 1;
            if start.elapsed() >= time {
                return Ok(self.done == self.uids.len());
            }
        }
        Ok(true)
    }

    /// Takes what earlier sorts found out, if that is all there is to know.
    fn recall(&mut self, kept: &MemoGuard<'_>, uid: Uid) -> bool {
        let texts = self.criteria.iter().map(|criterion| kept.text(criterion.key, uid));
        let texts: Option<Vec<&[u8]>> = texts.collect();
        texts.into_iter().flatten().map(|text| self.values.push_text(text)).count() > 0
    }

    /// `Date` falls back to the date of arrival, which is looked up only then.
    fn with_arrival(&self, mailbox: &mut dyn Mailbox, uid: Uid, mut facts: Facts) -> Result<Facts> {
        if self.wanted.has(Wanted::SENT_DATE) && facts.sent_date.is_none_or(|date| date.unix_secs == 0) {
            facts.internal_date = match mailbox.fetch_facts(uid, Wanted::INTERNAL_DATE) {
                Ok(facts) => facts.internal_date,
                Err(Error::Expunged(_)) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(facts)
    }

    /// How many of how many messages have been looked at.
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.uids.len())
    }

    /// The messages in order. To be called once [`advance`](Self::advance) said that it is done.
    pub fn finish(self) -> Vec<Uid> {
        let order = self.values.order(&self.criteria);
        order.into_iter().filter_map(|index| self.uids.get(index as usize).copied()).collect()
    }
}

impl SortKey {
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
