//! Who is banned, as anvil has told this process. Looking is cheap, since each login does.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipc::anvil::{Ban, BanSubject};

/// The bans in force.
#[derive(Debug, Default)]
pub struct Bans(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: HashMap<BanSubject, Ban>,
    /// How many of each prefix length there are; of lengths there are few.
    lengths: BTreeMap<u8, usize>,
    /// With so many it is time to look for those that are over, of which nobody tells.
    purge_at: usize,
}

impl Bans {
    /// The ban of a network that `ip` is in, if there is one at `now_s`, in seconds since 1970.
    pub fn of_ip(&self, ip: IpAddr, now_s: u64) -> Option<Ban> {
        let inner = self.inner();
        let subjects = inner.lengths.keys().map(|bits| BanSubject::net(ip, *bits));
        let found = subjects.filter_map(|subject| inner.all.get(&subject));
        found.into_iter().find(|ban| ban.until_s > now_s).cloned()
    }

    /// The ban of a user.
    pub fn of_user(&self, name: &str, now_s: u64) -> Option<Ban> {
        let inner = self.inner();
        if inner.all.is_empty() {
            return None;
        }
        let ban = inner.all.get(&BanSubject::User(name.to_owned()));
        ban.filter(|ban| ban.until_s > now_s).cloned()
    }

    pub(crate) fn add(&self, ban: Ban) {
        let mut inner = self.inner();
        if inner.all.len() >= inner.purge_at {
            let over = inner.all.values().filter(|known| known.until_s <= ban.since_s);
            let over: Vec<BanSubject> = over.map(|known| known.subject.clone()).collect();
            over.iter().for_each(|subject| inner.remove(subject));
            inner.purge_at = (inner.all.len() * 2).max(PURGE_MIN);
        }
        inner.remove(&ban.subject);
        if let BanSubject::Net(_, bits) = ban.subject {
            *inner.lengths.entry(bits).or_default() += 1;
        }
        inner.all.insert(ban.subject.clone(), ban);
    }

    pub(crate) fn remove(&self, subject: &BanSubject) {
        self.inner().remove(subject);
    }

    pub(crate) fn all(&self) -> Vec<Ban> {
        self.inner().all.values().cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, subject: &BanSubject) {
        if self.all.remove(subject).is_some()
            && let BanSubject::Net(_, bits) = subject
            && let Some(count) = self.lengths.get_mut(bits)
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(bits);
            }
        }
    }
}

/// So few bans are not worth a look.
const PURGE_MIN: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(subject: BanSubject) -> Ban {
        Ban { subject, since_s: 100, until_s: 200, reason: String::new() }
    }

    #[test]
    fn users_and_networks_are_banned_for_a_while() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let bans = Bans::default();
        bans.add(ban(BanSubject::User("u".into())));
        bans.add(ban(BanSubject::net(ip("10.1.2.3"), 24)));
        bans.add(ban(BanSubject::net(ip("2001:db8::1"), 64)));
        assert!(bans.of_user("u", 199).is_some() && bans.of_user("u", 200).is_none());
        assert!(bans.of_user("v", 100).is_none());
        for (text, banned) in [
            ("10.1.2.99", true),
            ("::ffff:10.1.2.9", true),
            ("10.1.3.3", false),
            ("2001:db8::ffff", true),
            ("2001:db8:0:1::1", false),
        ] {
            assert_eq!(bans.of_ip(ip(text), 150).is_some(), banned, "{text}");
        }
        bans.remove(&BanSubject::net(ip("10.1.2.0"), 24));
        assert!(bans.of_ip(ip("10.1.2.99"), 150).is_none());
        assert_eq!(bans.all().len(), 2);
        for number in 0..5000 {
            let subject = BanSubject::User(number.to_string());
            bans.add(Ban { subject, since_s: number, until_s: number + 10, reason: String::new() });
        }
        let count = bans.all().len();
        assert!(count <= 2 * PURGE_MIN, "those that are over are forgotten: {count}");
    }
}
