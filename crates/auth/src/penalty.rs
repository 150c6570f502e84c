//! Addresses that keep failing to log in have to wait before they are even listened to. anvil
//! remembers them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::limits::{
    PENALTY_DELAY_INIT_S, PENALTY_DELAY_MAX_S, PENALTY_FREE, PENALTY_FREE_ADDRESSES_MAX, PENALTY_MAX,
};
use crate::request::Request;
use crate::request::fields::now_s;

/// The line to anvil, if there is one.
pub(crate) struct Penalties {
    anvil: Option<service::Anvil>,
    /// Makes checksums that are of no use to anybody else.
    hasher: RandomState,
    /// Addresses without penalties: most logins need not ask anvil.
    free: RefCell<HashMap<IpAddr, Instant>>,
}

impl Penalties {
    pub(crate) fn new(anvil: Option<service::Anvil>) -> Self {
        Self { anvil, hasher: RandomState::new(), free: RefCell::default() }
    }

    /// The present penalty of the request's address, and how long it has to wait for it.
    pub(crate) async fn lookup(&self, request: &Request) -> (u32, Duration) {
        let (Some(anvil), Some(ip)) = (&self.anvil, ident(request)) else { return (0, Duration::ZERO) };
        if self.is_free(ip) {
            return (0, Duration::ZERO);
        }
        let penalty = anvil.penalty(ip).await;
        let value = present(penalty.value, now_s().saturating_sub(penalty.last_update_s));
        if value == 0 {
            self.remember_free(ip);
        }
        (value, if value == 0 { Duration::ZERO } else { Duration::from_secs(seconds(value)) })
    }

    /// Remembers that a login failed.
    pub(crate) fn raise(&self, request: &Request) {
        let (Some(anvil), Some(ip)) = (&self.anvil, ident(request)) else { return };
        let checksum = match &request.password {
            // The same wrong password again and again is a client, not an attacker.
            Some(password) => self.hasher.hash_one((password.expose(), request.user())) as u32,
            None => 0,
        };
        self.free.borrow_mut().remove(&ip);
        anvil.set_penalty(ip, (request.last_penalty + 1).min(PENALTY_MAX), checksum);
    }

    /// Whether anvil has said a moment ago that there is no penalty, and nothing has failed since.
    fn is_free(&self, ip: IpAddr) -> bool {
        self.free.borrow().get(&ip).is_some_and(|since| since.elapsed() < PENALTY_FREE)
    }

    fn remember_free(&self, ip: IpAddr) {
        let mut free = self.free.borrow_mut();
        if free.len() >= PENALTY_FREE_ADDRESSES_MAX {
            free.clear();
        }
        free.insert(ip, Instant::now());
    }

    /// Forgets what was, after a login succeeded.
    pub(crate) fn clear(&self, request: &Request) {
        if let (Some(anvil), Some(ip), 1..) = (&self.anvil, ident(request), request.last_penalty) {
            anvil.set_penalty(ip, 0, 0);
        }
    }
}

/// A whole /48 of IPv6 counts as one, since anybody has that many addresses.
fn ident(request: &Request) -> Option<IpAddr> {
    if request.facts.no_penalty {
        return None;
    }
    Some(match request.facts.remote_ip? {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_none() => {
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80))
        }
        ip => ip,
    })
}

fn seconds(penalty: u32) -> u64 {
    PENALTY_DELAY_INIT_S.checked_shl(penalty).unwrap_or(u64::MAX).min(PENALTY_DELAY_MAX_S)
}

/// What is left of a penalty after some seconds.
fn present(mut value: u32, age_s: u64) -> u32 {
    value = value.min(PENALTY_MAX);
    let mut step = PENALTY_MAX;
    while value > 0 && age_s >= seconds(step) {
        step = step.saturating_sub(1);
        value -= 1;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_double_and_fade() {
        assert_eq!([1, 2, 3, 4].map(seconds), [4, 8, 15, 15]);
        for (value, age, left) in [(0, 0, 0), (1, 0, 1), (1, 15, 0), (4, 14, 4), (4, 15, 0), (99, 0, 4)] {
            assert_eq!(present(value, age), left, "{value} after {age} s");
        }
    }
}
