//! How often an address has failed to log in, with 2.3's rules.
//!
//! The value is set by whoever asks (`auth` raises it by one for each failure and caps it); here
//! it is kept, with the checksums of the credentials that were tried: the same wrong ones again,
//! as a misconfigured phone sends them, do not raise it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::recent::Recent;
use crate::limits::{PENALTIES_MAX, PENALTY_EXPIRE_S, PENALTY_MAX};

/// What is known of one address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Penalty {
    pub(crate) value: u32,
    /// When it was last raised, in seconds since 1970.
    pub(crate) last_penalty_s: u64,
    /// When it was last set at all.
    pub(crate) last_update_s: u64,
    checksums: Recent,
    /// Its place in the order of changes.
    order: u64,
}

/// All addresses with a penalty.
#[derive(Debug, Default)]
pub(crate) struct Penalties {
    by_ip: HashMap<IpAddr, Penalty>,
    /// Addresses from the least to the most recently changed.
    by_change: BTreeMap<u64, IpAddr>,
    changes: u64,
}

impl Penalties {
    /// Sets the value for `ip`. A `checksum` of 0 stands for none.
    pub(crate) fn set(&mut self, ip: IpAddr, value: u32, checksum: u32, now_s: u64) {
        let value = value.min(PENALTY_MAX);
        self.expire(now_s);
        let penalty = self.by_ip.entry(ip).or_default();
        let known = checksum != 0 && penalty.checksums.knows(checksum);
        if known {
            penalty.value = value.saturating_sub(1);
        } else {
            penalty.value = value;
            penalty.last_penalty_s = now_s;
        }
        penalty.last_update_s = now_s;
        let before = penalty.order;
        self.changes += 1;
        penalty.order = self.changes;
        self.by_change.remove(&before);
        self.by_change.insert(self.changes, ip);
        if self.by_ip.len() > PENALTIES_MAX {
            self.forget_oldest();
        }
    }

    /// The penalty of `ip`: its value, and when it was last raised.
    pub(crate) fn of(&mut self, ip: IpAddr, now_s: u64) -> (u32, u64) {
        self.expire(now_s);
        self.by_ip.get(&ip).map_or((0, 0), |penalty| (penalty.value, penalty.last_penalty_s))
    }

    /// All of them, the least recently changed first.
    pub(crate) fn all(&mut self, now_s: u64) -> impl Iterator<Item = (IpAddr, &Penalty)> {
        self.expire(now_s);
        self.by_change.values().filter_map(|ip| self.by_ip.get(ip).map(|penalty| (*ip, penalty)))
    }

    fn expire(&mut self, now_s: u64) {
        while let Some(ip) = self.by_change.values().next() {
            let fresh = self
                .by_ip
                .get(ip)
                .is_some_and(|penalty| penalty.last_update_s.saturating_add(PENALTY_EXPIRE_S) > now_s);
            if fresh {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, ip)) = self.by_change.pop_first() {
            self.by_ip.remove(&ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u32) -> IpAddr {
        IpAddr::from(last.to_be_bytes())
    }

    #[test]
    fn the_same_credentials_count_once() {
        let mut all = Penalties::default();
        all.set(ip(1), 1, 77, 100);
        assert_eq!(all.of(ip(1), 100), (1, 100));
        // auth asks for one more, but the credentials are known.
        all.set(ip(1), 2, 77, 110);
        assert_eq!(all.of(ip(1), 110), (1, 100));
        all.set(ip(1), 2, 78, 120);
        assert_eq!(all.of(ip(1), 120), (2, 120));
        // A good login clears it.
        all.set(ip(1), 0, 0, 130);
        assert_eq!(all.of(ip(1), 130), (0, 130));
    }

    #[test]
    fn only_the_last_checksums_are_known() {
        let mut all = Penalties::default();
        for checksum in 1..=11 {
            all.set(ip(1), 1, checksum, 100);
        }
        all.set(ip(1), 4, 2, 110);
        assert_eq!(all.of(ip(1), 110), (3, 100));
        all.set(ip(1), 4, 1, 120);
        assert_eq!(all.of(ip(1), 120), (4, 120));
    }

    #[test]
    fn they_expire_and_their_number_is_limited() {
        let mut all = Penalties::default();
        all.set(ip(1), 1, 1, 1000);
        all.set(ip(2), 1, 1, 1001);
        assert_eq!(all.all(1000 + PENALTY_EXPIRE_S).map(|(ip, _)| ip).collect::<Vec<_>>(), [ip(2)]);
        for number in 0..(PENALTIES_MAX as u32 + 10) {
            all.set(ip(number), 1, 1, 2000);
        }
        assert!(all.by_ip.len() == PENALTIES_MAX && all.by_change.len() == PENALTIES_MAX);
        assert_eq!(all.of(ip(3), 2000), (0, 0));
    }

    #[test]
    fn a_clock_that_jumps_is_survived() {
        let mut all = Penalties::default();
        all.set(ip(1), 1, 1, 5000);
        assert_eq!(all.of(ip(1), 10), (1, 5000));
        all.set(ip(1), 2, 2, 10);
        assert_eq!(all.of(ip(1), 10), (2, 10));
        assert_eq!(all.of(ip(1), u64::MAX), (0, 0));
    }
}
