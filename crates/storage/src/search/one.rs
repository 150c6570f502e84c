//! A message that a search looks at, with what is known of it so far: each fact is asked for once.

use std::sync::Arc;
use std::time::SystemTime;

use base::ModSeq;
use message::{Options, Parts};

use crate::api::Mailbox;
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::sort::unix_secs;
use crate::view::Record;

use super::date::local_day;
use super::plan::Needs;
use super::query::{DateKind, Day, Query};

/// The message at hand.
pub(super) struct Message<'a> {
    pub(super) mailbox: &'a mut dyn Mailbox,
    pub(super) record: &'a Record,
    pub(super) now: SystemTime,
    pub(super) needs: &'a Needs,
    /// What was asked for, and the answers.
    pub(super) known: Vec<(Wanted, Facts)>,
    /// The header fields that the query names.
    pub(super) fields: Option<Facts>,
    /// What it is made of.
    pub(super) parts: Option<Parts>,
}

impl Message<'_> {
    /// Answers a condition that needs neither header fields nor body, or only the sent date.
    pub(super) fn matches(&mut self, query: &Query) -> Result<bool> {
        let record = self.record;
        Ok(match query {
            Query::All => true,
            Query::Uids(uids) => uids.contains(record.uid),
            Query::Flags(flags) => record.flags.has(*flags),
            Query::Recent => self.needs.recent.contains(record.uid),
            Query::Larger(size) => self.size()?.is_some_and(|own| own > *size),
            Query::Smaller(size) => self.size()?.is_some_and(|own| own < *size),
            Query::Before(kind, day) => self.day(*kind)?.is_some_and(|own| own < *day),
            Query::On(kind, day) => self.day(*kind)?.is_some_and(|own| own == *day),
            Query::BeforeTime(kind, secs) => self.secs(*kind)?.is_some_and(|own| own < *secs),
            Query::SinceTime(kind, secs) => self.secs(*kind)?.is_some_and(|own| own >= *secs),
            Query::Since(kind, day) => self.day(*kind)?.is_some_and(|own| own >= *day),
            // Both hold for a message of exactly that age, as in 2.3.
            Query::Older(secs) => self.age_secs()?.is_some_and(|age| age >= i64::from(*secs)),
            Query::Younger(secs) => self.age_secs()?.is_some_and(|age| age <= i64::from(*secs)),
            Query::SaveDateSupported => self.facts(Wanted::SAVE_DATE)?.save_date.is_some(),
            // The least there is is what a message has of which nothing is known.
            Query::ModSeq(modseq) => record.modseq.max(ModSeq(1)) >= *modseq,
            Query::Part(wanted) => wanted.matches(self.parts()?),
            Query::Guid(guid) => self.facts(Wanted::GUID)?.guid.as_deref() == Some(guid.as_str()),
            // The others have plans of their own.
            _ => false,
        })
    }

    /// The header fields that the query names, as they stand in the message.
    pub(super) fn fields(&mut self) -> Result<Arc<[u8]>> {
        Ok(self.header_facts()?.fields.clone().unwrap_or_default())
    }

    /// Everything from the header comes in one go.
    fn header_facts(&mut self) -> Result<&Facts> {
        if self.fields.is_none() {
            let wanted = if self.needs.sent_date { Wanted::SENT_DATE } else { Wanted::NONE };
            let names: Vec<&str> = self.needs.fields.iter().map(String::as_str).collect();
            self.fields = Some(self.mailbox.fetch_fields(self.record.uid, wanted, &names)?);
        }
        self.fields.as_ref().ok_or(Error::Expunged(self.record.uid))
    }

    fn facts(&mut self, wanted: Wanted) -> Result<&Facts> {
        let at = match self.known.iter().position(|(have, _)| have.has(wanted)) {
            Some(at) => at,
            None => {
                let facts = self.mailbox.fetch_facts(self.record.uid, wanted)?;
                self.known.push((wanted, facts));
                self.known.len() - 1
            }
        };
        self.known.get(at).map(|(_, facts)| facts).ok_or(Error::Expunged(self.record.uid))
    }

    fn parts(&mut self) -> Result<&Parts> {
        let uid = self.record.uid;
        if self.parts.is_none() {
            let reader = self.mailbox.open_message(uid)?;
            let parts = message::parse_reader(reader, Options::default(), ());
            self.parts = Some(parts.map_err(|error| Error::io("read", format!("UID {uid}"), error))?);
        }
        self.parts.as_ref().ok_or(Error::Expunged(uid))
    }

    fn size(&mut self) -> Result<Option<u64>> {
        Ok(self.facts(Wanted::SIZE_VIRTUAL)?.size_virtual)
    }

    fn day(&mut self, kind: DateKind) -> Result<Option<Day>> {
        let time = match kind {
            DateKind::Received => self.facts(Wanted::INTERNAL_DATE)?.internal_date,
            DateKind::Saved => self.facts(Wanted::SAVE_DATE)?.save_date,
            // As in 2.3, a message without a date that can be read is older than all others.
            DateKind::Sent => {
                let sent = self.header_facts()?.sent_date.unwrap_or_default();
                return Ok(i32::try_from(sent.local_secs().div_euclid(86_400)).ok().map(Day));
            }
        };
        Ok(time.and_then(local_day))
    }

    /// A date in seconds since 1970.
    fn secs(&mut self, kind: DateKind) -> Result<Option<i64>> {
        Ok(match kind {
            DateKind::Received => self.facts(Wanted::INTERNAL_DATE)?.internal_date.map(unix_secs),
            DateKind::Saved => self.facts(Wanted::SAVE_DATE)?.save_date.map(unix_secs),
            DateKind::Sent => Some(self.header_facts()?.sent_date.unwrap_or_default().unix_secs),
        })
    }

    fn age_secs(&mut self) -> Result<Option<i64>> {
        let date = self.facts(Wanted::INTERNAL_DATE)?.internal_date;
        Ok(date.map(|date| unix_secs(self.now).saturating_sub(unix_secs(date))))
    }
}
