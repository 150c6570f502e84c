//! Who failed to log in too often, and may not try for a while. The limits come with each failure:
//! they are settings of whoever tells of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use ipc::anvil::{Ban, BanSubject, Failure};

use super::recent::Recent;
use crate::limits::{BAN_FAILURES_MAX, BANS_MAX, FAILED_SUBJECTS_MAX, ONCE_NAMES_MAX};

/// Failures and bans, and codes that were used.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    failed: HashMap<BanSubject, Failed>,
    /// Who has failed, from the least to the most recently.
    by_change: BTreeMap<u64, BanSubject>,
    changes: u64,
    bans: BTreeMap<BanSubject, Ban>,
    /// The same by when they end.
    ends: BTreeSet<(u64, BanSubject)>,
    /// The highest code that was used, by whose it is.
    used: HashMap<String, u64>,
}

#[derive(Debug, Default)]
struct Failed {
    /// When, in seconds since 1970, the earliest first.
    times: VecDeque<u64>,
    checksums: Recent,
    /// Its place in the order of changes.
    order: u64,
}

impl Bans {
    /// Counts a failure; gives the ban that follows from it.
    pub(crate) fn fail(&mut self, failure: &Failure, now_s: u64) -> Option<Ban> {
        self.expire(now_s);
        if self.bans.contains_key(&failure.subject) {
            return None;
        }
        let failures_max = usize::try_from(failure.failures_max).unwrap_or(usize::MAX);
        let failures_max = failures_max.clamp(1, BAN_FAILURES_MAX);
        let failed = self.touch(&failure.subject);
        if failure.checksum != 0 && failed.checksums.knows(failure.checksum) {
            return None;
        }
        failed.times.push_back(now_s);
        while failed.times.front().is_some_and(|time| time.saturating_add(failure.interval_s) <= now_s) {
            failed.times.pop_front();
        }
        let count = failed.times.len();
        if count < failures_max {
            return None;
        }
        let seconds = failed.times.front().map_or(0, |first| now_s.saturating_sub(*first));
        self.forget(&failure.subject);
        let ban = Ban {
            subject: failure.subject.clone(),
            since_s: now_s,
            until_s: now_s.saturating_add(failure.ban_s),
            reason: format!("{count} failed logins in {seconds} secs"),
        };
        self.add(ban.clone(), now_s);
        Some(ban)
    }

    /// Puts a ban in force, in the place of the one that there may be.
    pub(crate) fn add(&mut self, ban: Ban, now_s: u64) {
        self.expire(now_s);
        self.take(&ban.subject);
        if self.bans.len() >= BANS_MAX
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.bans.remove(&first);
        }
        self.ends.insert((ban.until_s, ban.subject.clone()));
        self.bans.insert(ban.subject.clone(), ban);
    }

    fn take(&mut self, subject: &BanSubject) -> Option<Ban> {
        let ban = self.bans.remove(subject)?;
        self.ends.remove(&(ban.until_s, ban.subject.clone()));
        Some(ban)
    }

    /// Lifts a ban; gives the one that there was. Failures before it are forgotten.
    pub(crate) fn lift(&mut self, subject: &BanSubject, now_s: u64) -> Option<Ban> {
        self.expire(now_s);
        self.forget(subject);
        self.take(subject)
    }

    /// All bans, users first.
    pub(crate) fn all(&mut self, now_s: u64) -> impl Iterator<Item = &Ban> {
        self.expire(now_s);
        self.bans.values()
    }

    /// Notes that a code was used; says whether neither it nor a later one was before.
    pub(crate) fn once(&mut self, name: String, counter: u64) -> bool {
        let last = self.used.get(&name).copied();
        let is_new = match last {
            Some(last) => counter > last,
            None => self.used.len() < ONCE_NAMES_MAX,
        };
        if is_new {
            self.used.insert(name, counter);
        }
        is_new
    }

    /// The failures of a subject, which now are the most recent ones.
    fn touch(&mut self, subject: &BanSubject) -> &mut Failed {
        if self.failed.len() >= FAILED_SUBJECTS_MAX
            && !self.failed.contains_key(subject)
            && let Some((_, oldest)) = self.by_change.pop_first()
        {
            self.failed.remove(&oldest);
        }
        self.changes += 1;
        let failed = self.failed.entry(subject.clone()).or_default();
        self.by_change.remove(&failed.order);
        failed.order = self.changes;
        self.by_change.insert(self.changes, subject.clone());
        failed
    }

    fn forget(&mut self, subject: &BanSubject) {
        if let Some(failed) = self.failed.remove(subject) {
            self.by_change.remove(&failed.order);
        }
    }

    fn expire(&mut self, now_s: u64) {
        while self.ends.first().is_some_and(|(until_s, _)| *until_s <= now_s) {
            if let Some((_, subject)) = self.ends.pop_first() {
                self.bans.remove(&subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(user: &str, checksum: u32) -> Failure {
        let subject = BanSubject::User(user.to_owned());
        Failure { subject, checksum, failures_max: 3, interval_s: 60, ban_s: 600 }
    }

    #[test]
    fn too_many_failures_in_too_short_a_time() {
        let mut bans = Bans::default();
        for (time, expect) in [(100, false), (130, false), (160, false), (170, true), (180, false)] {
            let ban = bans.fail(&failure("u", 0), time);
            assert_eq!(ban.is_some(), expect, "the first is too old at {time}");
        }
        assert_eq!(bans.all(769).next().unwrap().reason, "3 failed logins in 40 secs");
        assert_eq!(bans.all(770).count(), 0);
        assert!(bans.failed.is_empty() && bans.by_change.is_empty());
    }

    #[test]
    fn the_same_credentials_count_once() {
        let mut bans = Bans::default();
        for checksum in [7, 7, 7, 7, 8, 7, 8] {
            assert_eq!(bans.fail(&failure("u", checksum), 100), None);
        }
        assert!(bans.fail(&failure("u", 9), 100).is_some());
    }

    #[test]
    fn a_lifted_ban_begins_anew() {
        let mut bans = Bans::default();
        let subject = failure("u", 0).subject;
        for _ in 0..3 {
            bans.fail(&failure("u", 0), 100);
        }
        assert!(bans.lift(&subject, 101).is_some() && bans.lift(&subject, 101).is_none());
        assert_eq!(bans.fail(&failure("u", 0), 101), None);
    }

    #[test]
    fn their_number_is_limited() {
        let mut bans = Bans::default();
        for number in 0..FAILED_SUBJECTS_MAX + 10 {
            bans.fail(&failure(&number.to_string(), 0), 100);
        }
        assert!(bans.failed.len() == FAILED_SUBJECTS_MAX && bans.by_change.len() == FAILED_SUBJECTS_MAX);
        for number in 0..BANS_MAX + 10 {
            let subject = BanSubject::User(number.to_string());
            bans.add(Ban { subject, since_s: 1, until_s: 1000, reason: String::new() }, 100);
        }
        assert_eq!(bans.all(100).count(), BANS_MAX);
    }

    #[test]
    fn a_code_is_used_once() {
        let mut bans = Bans::default();
        for (name, counter, is_new) in [("a", 5, true), ("a", 5, false), ("a", 4, false), ("b", 4, true)] {
            assert_eq!(bans.once(name.into(), counter), is_new, "{name} {counter}");
        }
        assert!(bans.once("a".into(), 6));
    }
}
