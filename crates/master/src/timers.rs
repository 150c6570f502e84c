//! What is to happen when. Timers are not taken back: who wakes up looks whether there is still
//! something to do.

use std::collections::BTreeSet;
use std::time::Instant;

/// Something to look after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A service's throttling may be over; its position and the generation.
    Throttle(usize, u32),
    /// Connections that nobody takes have waited long enough, likewise.
    Pending(usize, u32),
    /// A process may have been idle for too long.
    Idle(u32),
    /// A process should have said that it is ready.
    Ready(u32),
    /// systemd wants to know that we live.
    Watchdog,
    /// Children that were told to end should have ended.
    Stop,
}

#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Takes one out that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Timer> {
        match self.0.first() {
            Some(&(at, _)) if at <= now => self.0.pop_first().map(|(_, timer)| timer),
            _ => None,
        }
    }
}
