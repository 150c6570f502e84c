//! When a service whose processes keep failing may start another one.

use std::time::{Duration, Instant};

/// 2.3's `SERVICE_STARTUP_FAILURE_THROTTLE_MIN_MSECS`.
const FIRST: Duration = Duration::from_secs(2);
/// 2.3's `SERVICE_STARTUP_FAILURE_THROTTLE_MAX_MSECS`.
const MOST: Duration = Duration::from_secs(60);
/// 2.3's `SERVICE_MAX_EXIT_FAILURES_IN_SEC`.
const FAILURES_IN_SECOND_MAX: u32 = 10;

/// The memory of a service's failures.
#[derive(Debug, Clone)]
pub(crate) struct Throttle {
    next: Duration,
    until: Option<Instant>,
    has_succeeded: bool,
    /// Unix second of the last failure.
    pub(crate) failure_last_s: u64,
    pub(crate) failures_in_second: u32,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { next: FIRST, until: None, has_succeeded: false, failure_last_s: 0, failures_in_second: 0 }
    }

    /// A process ended well: forget the failures.
    pub(crate) fn succeeded(&mut self) {
        self.has_succeeded = true;
        self.failures_in_second = 0;
        self.next = FIRST;
    }

    /// A process failed; whether the service is to be throttled. `was_ready` tells whether the
    /// process had come so far as to serve.
    pub(crate) fn failed(&mut self, was_ready: bool, unix_s: u64) -> bool {
        if !was_ready {
            return true;
        }
        // After one success this ends, so that nobody can block a service by crashing his own
        // sessions.
        if self.has_succeeded {
            return false;
        }
        if self.failure_last_s != unix_s {
            self.failure_last_s = unix_s;
            self.failures_in_second = 0;
        }
        self.failures_in_second += 1;
        self.failures_in_second > FAILURES_IN_SECOND_MAX
    }

    /// Begins to throttle, and says how long, unless it does already.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Duration> {
        if self.until.is_some() {
            return None;
        }
        let length = self.next;
        self.until = Some(now + length);
        self.next = (self.next * 2).min(MOST);
        Some(length)
    }

    /// Ends when its time has come; whether it just did.
    pub(crate) fn end(&mut self, now: Instant) -> bool {
        let is_over = self.until.is_some_and(|until| until <= now);
        if is_over {
            self.until = None;
        }
        is_over
    }

    pub(crate) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// Seconds left, as `doveadm service status` shows them.
    pub(crate) fn left_s(&self, now: Instant) -> u32 {
        let left = self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_start_anew_after_success() {
        let mut throttle = Throttle::new();
        let mut now = Instant::now();
        let mut seen = Vec::new();
        for _ in 0..7 {
            assert!(throttle.failed(false, 1));
            let length = throttle.begin(now).unwrap();
            assert_eq!(throttle.begin(now), None);
            assert!(!throttle.end(now) && throttle.is_on());
            now += length;
            assert!(throttle.end(now) && !throttle.is_on());
            seen.push(length.as_secs());
        }
        assert_eq!(seen, [2, 4, 8, 16, 32, 60, 60]);
        throttle.succeeded();
        assert_eq!(throttle.begin(now), Some(FIRST));
    }

    #[test]
    fn crashes_throttle_only_when_they_come_thick_and_nothing_ever_worked() {
        let mut throttle = Throttle::new();
        let crashes =
            |throttle: &mut Throttle, second| (0..11).filter(|_| throttle.failed(true, second)).count();
        assert_eq!(crashes(&mut throttle, 1), 1);
        assert!(!throttle.failed(true, 2));
        throttle.succeeded();
        assert_eq!(crashes(&mut throttle, 3), 0);
    }
}
