//! Numbers for the texts that messages are sorted by, in the order of those texts, which the index keeps
//! for each message (Dovecot's extensions `sort-s` and the like): once they are there, sorting compares
//! numbers. The whole range of 32 bits is used; a new text gets a number in the middle between its
//! neighbours', and where there is none left, those around it are numbered anew.
//!
//! Messages get their numbers in the order of their UIDs: behind the first message without one nobody has
//! one. 0 is none.

mod assign;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{Duration, Instant};

use base::Uid;

use crate::api::{Mailbox, SortRanks};
use crate::error::{Error, Result};
use crate::facts::Wanted;

use super::SortKey;
use super::value::{field, put_text};
use assign::{Slot, assign};

/// Finds the numbers of all messages, piece by piece.
pub(super) struct Ranking {
    key: SortKey,
    /// Whether all messages will be read, so that it may be done ahead.
    reads_all: bool,
    ranks: SortRanks,
    /// Messages without a number, and how many of them have been read.
    missing: Vec<Uid>,
    read: usize,
    /// What was read of them.
    texts: Vec<(Box<[u8]>, Uid)>,
    /// The first message that could not be read.
    unreadable: Option<Uid>,
    /// How many of `texts`, in order by then, have found their place.
    placed: usize,
    /// The messages with numbers, by number.
    known: BTreeMap<u32, Vec<Uid>>,
    /// The numbers in order, and how many of them are before the next text.
    order: Vec<u32>,
    from: usize,
    /// Texts of numbers, as far as they were needed.
    known_texts: BTreeMap<u32, Box<[u8]>>,
    slots: Vec<Slot>,
    has_given_up: bool,
}

/// What came of looking at a text between those that have numbers.
enum Place {
    Same(u32),
    /// Behind this number, or before all.
    After(u32),
    /// The numbers are not in the order of their texts.
    Broken(String),
}

impl Ranking {
    /// `None` if the mailbox keeps no numbers for the key. With `reads_all` no limit ends the reading.
    pub(super) fn new(key: SortKey, reads_all: bool, mailbox: &mut dyn Mailbox) -> Option<Self> {
        let ranks = mailbox.sort_ranks(extension(key)?)?;
        let mut ranking = Self {
            key,
            reads_all,
            ranks,
            missing: Vec::new(),
            read: 0,
            texts: Vec::new(),
            unreadable: None,
            placed: 0,
            known: BTreeMap::new(),
            order: Vec::new(),
            from: 0,
            known_texts: BTreeMap::new(),
            slots: Vec::new(),
            has_given_up: false,
        };
        ranking.look(mailbox);
        Some(ranking)
    }

    /// The number of a message; 0 if it has none.
    pub(super) fn of(&self, uid: Uid) -> u32 {
        let found = self.ranks.list.binary_search_by_key(&uid, |(uid, _)| *uid);
        found.ok().and_then(|at| self.ranks.list.get(at)).map_or(0, |(_, rank)| *rank)
    }

    /// Sorts out who has a number.
    fn look(&mut self, mailbox: &mut dyn Mailbox) {
        let first = self.ranks.list.iter().position(|(_, rank)| *rank == 0);
        let Some(first) = first else { return };
        let (numbered, rest) = self.ranks.list.split_at(first);
        let zero = rest.first().map(|(uid, _)| *uid);
        if let (Some((uid, _)), Some(zero)) = (rest.iter().find(|(_, rank)| *rank != 0), zero) {
            let reason = format!("sort_id=0 found in the middle (uid={uid} has sort_id, uid={zero} doesn't)");
            return self.reset(mailbox, &reason);
        }
        for (uid, rank) in numbered {
            self.known.entry(*rank).or_default().push(*uid);
        }
        self.order = self.known.keys().copied().collect();
        // Messages that have come since this session last looked wait until it sees them.
        let view = mailbox.view();
        let seen = rest.iter().map(|(uid, _)| *uid).take_while(|uid| Some(*uid) <= view.last_uid());
        self.missing = seen.collect();
        self.expect_missing(mailbox);
    }

    fn reset(&mut self, mailbox: &mut dyn Mailbox, reason: &str) {
        mailbox.sort_ranks_broken(extension(self.key).unwrap_or_default(), reason);
        self.ranks.list.iter_mut().for_each(|(_, rank)| *rank = 0);
        (self.read, self.placed, self.from, self.unreadable) = (0, 0, 0, None);
        self.known.clear();
        self.order.clear();
        self.known_texts.clear();
        self.texts.clear();
        self.slots.clear();
        let last = mailbox.view().last_uid();
        self.missing =
            self.ranks.list.iter().map(|(uid, _)| *uid).take_while(|uid| Some(*uid) <= last).collect();
        self.expect_missing(mailbox);
    }

    fn expect_missing(&self, mailbox: &mut dyn Mailbox) {
        if self.reads_all {
            mailbox.will_fetch(&self.missing);
        }
    }

    /// Whether some messages were not looked at, so that they have no number.
    pub(super) fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    /// Goes on for about so long; `true` when all messages have their numbers. Of `slow_left` messages more
    /// is asked than is at hand.
    pub(super) fn advance(
        &mut self,
        mailbox: &mut dyn Mailbox,
        time: Duration,
        slow_left: &mut u32,
    ) -> Result<bool> {
        let start = Instant::now();
        while let Some(&uid) = self.missing.get(self.read) {
            let at_hand = if *slow_left == 0 { Wanted::AT_HAND } else { Wanted::NONE };
            let text = match self.text(mailbox, uid, at_hand) {
                Err(Error::TooSlow(_)) => {
                    self.has_given_up = true;
                    None
                }
                text => text?,
            };
            match text {
                Some((text, was_slow)) => {
                    self.texts.push((text, uid));
                    if *slow_left != u32::MAX {
                        *slow_left -= u32::from(was_slow);
                    }
                }
                None => self.unreadable = Some(self.unreadable.map_or(uid, |old| old.min(uid))),
            }
            self.read += 1;
            if self.read == self.missing.len() {
                self.texts.sort_unstable();
            }
            if start.elapsed() >= time {
                return Ok(false);
            }
        }
        while self.placed < self.texts.len() {
            self.place_next(mailbox)?;
            if start.elapsed() >= time && self.placed < self.texts.len() {
                return Ok(false);
            }
        }
        if self.read < self.missing.len() {
            // All has to be read again.
            return Ok(false);
        }
        self.number(mailbox);
        Ok(true)
    }

    /// How many of how many messages have been read.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.read, self.missing.len())
    }

    /// A message's text, and whether it had to be read; `None` if it has gone.
    fn text(
        &self,
        mailbox: &mut dyn Mailbox,
        uid: Uid,
        at_hand: Wanted,
    ) -> Result<Option<(Box<[u8]>, bool)>> {
        let names: Vec<&str> = self.key.field().into_iter().collect();
        let facts = match mailbox.fetch_fields(uid, at_hand, &names) {
            Ok(facts) => facts,
            Err(Error::Expunged(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        if let Some(raw) = names.first().and_then(|name| field(&facts, name)) {
            put_text(self.key, &raw, &mut text);
        }
        Ok(Some((text.into(), facts.was_slow)))
    }

    /// Finds the place of the next text, for all messages that have it.
    fn place_next(&mut self, mailbox: &mut dyn Mailbox) -> Result<()> {
        let Some((text, _)) = self.texts.get(self.placed) else { return Ok(()) };
        let text = text.clone();
        let same = self.texts.iter().skip(self.placed).take_while(|(other, _)| *other == text);
        let uids: Vec<Uid> = same.map(|(_, uid)| *uid).collect();
        let count = uids.len();
        match self.find(mailbox, &text)? {
            Place::Same(rank) => self.slots.push(Slot { rank, after: rank, uids }),
            Place::After(after) => self.slots.push(Slot { rank: 0, after, uids }),
            Place::Broken(reason) => {
                self.reset(mailbox, &reason);
                return Ok(());
            }
        }
        self.placed += count;
        Ok(())
    }

    /// Looks for a text among those with numbers, of which few have to be read for that.
    fn find(&mut self, mailbox: &mut dyn Mailbox, text: &[u8]) -> Result<Place> {
        // All before belong to lesser texts.
        let (mut low, mut high) = (self.from, self.order.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(&rank) = self.order.get(middle) else { break };
            if !self.read_known(mailbox, rank)? {
                // All that had it are gone.
                self.order.remove(middle);
                self.known.remove(&rank);
                high -= 1;
                continue;
            }
            if let Some(reason) = self.disorder(rank) {
                return Ok(Place::Broken(reason));
            }
            match self.known_texts.get(&rank).map(|known| text.cmp(known)) {
                Some(Ordering::Equal) => {
                    self.from = middle + 1;
                    return Ok(Place::Same(rank));
                }
                Some(Ordering::Less) => high = middle,
                _ => low = middle + 1,
            }
        }
        self.from = low;
        let before = low.checked_sub(1).and_then(|at| self.order.get(at));
        Ok(Place::After(before.copied().unwrap_or(0)))
    }

    /// Reads the text of a number, from any message that has it. `false` if there is none any more.
    fn read_known(&mut self, mailbox: &mut dyn Mailbox, rank: u32) -> Result<bool> {
        if self.known_texts.contains_key(&rank) {
            return Ok(true);
        }
        for uid in self.known.get(&rank).cloned().unwrap_or_default() {
            // These are few.
            if let Some((text, _)) = self.text(mailbox, uid, Wanted::NONE)? {
                self.known_texts.insert(rank, text);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is wrong between a number and those next to it that have been read.
    fn disorder(&self, rank: u32) -> Option<String> {
        let text = self.known_texts.get(&rank)?;
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let (before, after) =
            (self.known_texts.range(..rank), self.known_texts.range((Excluded(rank), Unbounded)));
        let pair = match (before.last(), { after }.next()) {
            (Some((_, before)), _) if before >= text => (before, text),
            (_, Some((_, after))) if after <= text => (text, after),
            _ => return None,
        };
        Some(format!("Invalid sort_id order ('{}' > '{}')", shown(pair.0), shown(pair.1)))
    }

    /// Gives numbers to what has found its place, and has the index keep them.
    fn number(&mut self, mailbox: &mut dyn Mailbox) {
        let slots = std::mem::take(&mut self.slots);
        if slots.is_empty() {
            return;
        }
        let known = std::mem::take(&mut self.known);
        let mut changed = assign(known, slots);
        changed.sort_unstable();
        for &(uid, rank) in &changed {
            let found = self.ranks.list.binary_search_by_key(&uid, |(uid, _)| *uid);
            if let Some(entry) = found.ok().and_then(|at| self.ranks.list.get_mut(at)) {
                entry.1 = rank;
            }
        }
        if let Some(first) = self.unreadable {
            changed.retain(|(uid, _)| *uid < first);
        }
        let reset_id = self.ranks.reset_id;
        mailbox
            .keep_sort_ranks(extension(self.key).unwrap_or_default(), &SortRanks { reset_id, list: changed });
    }
}

/// The extension of the index that keeps a key's numbers.
fn extension(key: SortKey) -> Option<&'static str> {
    Some(match key {
        SortKey::Arrival | SortKey::Date | SortKey::Size => return None,
        SortKey::Cc => "sort-c",
        SortKey::From => "sort-f",
        SortKey::Subject => "sort-s",
        SortKey::To => "sort-t",
        SortKey::DisplayFrom => "sort-df",
        SortKey::DisplayTo => "sort-dt",
    })
}
