//! What this process knows of other servers: whether they answer, so that a dead one is not waited for
//! by everybody, and how many of its clients have lost them, so that these do not all come back at once.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Clients of a server that is gone leave in steps of this; 2.3's `PROXY_DISCONNECT_INTERVAL_MSECS`.
const DISCONNECT_STEP: Duration = Duration::from_millis(100);

/// All servers. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records(Arc<Mutex<HashMap<SocketAddr, Arc<Record>>>>);

/// A server. As many as passdbs name, and those are the administrator's.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    last_success: Option<Instant>,
    last_failure: Option<Instant>,
    connecting: u32,
    connected: u32,
    /// Clients that lost it, since the first of them did.
    lost: u32,
    lost_since: Option<Instant>,
    delayed: u32,
}

impl Records {
    /// That of one server.
    pub(crate) fn of(&self, ip: IpAddr, port: u16) -> Arc<Record> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(SocketAddr::new(ip, port)).or_default().clone()
    }
}

/// An attempt to connect.
#[derive(Debug)]
pub(crate) struct Attempt {
    record: Arc<Record>,
    /// When the login began to look for a server.
    began: Instant,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection(Arc<Record>);

/// A client that has lost its server and is to leave later.
#[derive(Debug)]
pub(crate) struct Delayed(Arc<Record>);

impl Record {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to connect, for a login that looks for a server since `began`. `None` if the server has
    /// been down for longer than `down_after` (zero: no matter) and somebody else is trying already.
    pub(crate) fn attempt(self: &Arc<Self>, began: Instant, down_after: Duration) -> Option<Attempt> {
        let mut counts = self.counts();
        let now = Instant::now();
        // The first one is not to fail at once.
        let second_ago = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let success = *counts.last_success.get_or_insert(second_ago);
        let is_down = !down_after.is_zero()
            && counts.last_failure.is_some_and(|failure| failure > success + down_after);
        if is_down && counts.connecting > 0 {
            return None;
        }
        counts.connecting += 1;
        drop(counts);
        Some(Attempt { record: self.clone(), began })
    }
}

impl Attempt {
    /// It is there.
    pub(crate) fn succeeded(self) -> Connection {
        let mut counts = self.record.counts();
        counts.last_success = Some(Instant::now());
        counts.connected += 1;
        counts.lost = 0;
        drop(counts);
        Connection(self.record.clone())
    }

    /// It is not. A success since the login began makes this one an accident.
    pub(crate) fn failed(self) {
        let mut counts = self.record.counts();
        if counts.last_success.is_none_or(|success| success <= self.began) {
            counts.last_failure = Some(Instant::now());
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.record.counts().connecting -= 1;
    }
}

impl Connection {
    /// The server has gone. How long the client is to be kept so that the clients of a server leave
    /// within `max_delay`, the first second's worth of them at once. `jitter` is below
    /// [`DISCONNECT_STEP`] and differs between processes.
    pub(crate) fn lost(self, max_delay: Duration, jitter: Duration) -> Option<(Duration, Delayed)> {
        let record = self.0.clone();
        let mut counts = record.counts();
        let now = Instant::now();
        if counts.lost == 0 {
            counts.lost_since = Some(now + jitter.min(DISCONNECT_STEP));
        }
        counts.lost += 1;
        let seconds = u32::try_from(max_delay.as_secs()).unwrap_or(u32::MAX);
        if seconds == 0 {
            return None;
        }
        // This one is still counted among those that are connected.
        let all = counts.connected.saturating_sub(1).saturating_add(counts.lost);
        let per_second = all.div_ceil(seconds);
        if counts.lost <= per_second && counts.delayed == 0 {
            return None;
        }
        let steps = u64::from(seconds) * u64::from(counts.lost) * 10 / u64::from(all.max(1));
        let due = counts.lost_since? + DISCONNECT_STEP * u32::try_from(steps).unwrap_or(u32::MAX);
        let delay = due.checked_duration_since(now).filter(|delay| !delay.is_zero())?;
        counts.delayed += 1;
        drop(counts);
        Some((delay, Delayed(record)))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.counts().connected -= 1;
    }
}

impl Drop for Delayed {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        counts.delayed -= 1;
        if counts.delayed == 0 {
            counts.lost = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_down_is_tried_by_one_at_a_time() {
        let records = Records::default();
        let record = records.of([10, 0, 0, 1].into(), 143);
        let soon = Duration::from_millis(1);
        let began = Instant::now();
        record.attempt(began, soon).unwrap().failed();
        let first = record.attempt(began, soon).unwrap();
        assert!(record.attempt(began, soon).is_none(), "somebody tries already");
        assert!(record.attempt(began, Duration::ZERO).is_some(), "proxy_host_immediate_failure_after=0");
        assert!(record.attempt(began, Duration::from_secs(30)).is_some(), "not for long enough");
        assert!(records.of([10, 0, 0, 2].into(), 143).attempt(began, soon).is_some(), "another server");
        drop(first.succeeded());
        let _one = record.attempt(began, soon).unwrap();
        assert!(record.attempt(began, soon).is_some(), "it is back");
    }

    #[test]
    fn clients_of_a_lost_server_leave_one_after_the_other() {
        let record = Records::default().of([10, 0, 0, 1].into(), 143);
        let connect = || record.attempt(Instant::now(), Duration::ZERO).unwrap().succeeded();
        let lose = |seconds| -> Vec<Duration> {
            let connections: Vec<Connection> = (0..20).map(|_| connect()).collect();
            let lost =
                connections.into_iter().map(|it| it.lost(Duration::from_secs(seconds), Duration::ZERO));
            let lost: Vec<_> = lost.collect();
            lost.iter().map(|it| it.as_ref().map_or(Duration::ZERO, |(delay, _)| *delay)).collect()
        };
        assert!(lose(0).iter().all(Duration::is_zero));
        let delays = lose(10);
        // Two in a second.
        assert_eq!(delays.iter().filter(|delay| delay.is_zero()).count(), 2, "{delays:?}");
        assert!(delays.is_sorted() && delays.last().unwrap() <= &Duration::from_secs(10), "{delays:?}");
        assert!(delays.last().unwrap() > &Duration::from_secs(8), "{delays:?}");
    }
}
