//! One child, as the master sees it.

use std::time::{Duration, Instant};

use crate::plan::Kind;
use crate::wire::Wire;

/// A process that does not say that it is ready within this time is killed (2.3's
/// `SERVICE_FIRST_STATUS_TIMEOUT_SECS`).
pub(crate) const READY_PATIENCE: Duration = Duration::from_secs(30);

/// How far a child has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not said that it is ready.
    Starting,
    /// It takes clients from the service's listeners.
    Serving,
    /// It serves the sessions of one identity, which come from its spare siblings.
    Identity,
}

/// A child.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The service's place; `None` for a child of a former configuration.
    pub(crate) service: Option<usize>,
    pub(crate) wire: Wire,
    pub(crate) state: State,
    pub(crate) was_ready: bool,
    pub(crate) client_limit: u32,
    pub(crate) vsz_limit_bytes: u64,
    pub(crate) talks_to_anvil: bool,
    pub(crate) available: u32,
    pub(crate) total: u32,
    pub(crate) idle_since: Option<Instant>,
    pub(crate) idle_start_s: u64,
    pub(crate) last_status_s: u64,
    pub(crate) last_kill_s: u64,
    /// A timer that will look at the idle time is set.
    pub(crate) is_idle_watched: bool,
}

impl Child {
    /// Whether it takes, or will take, clients from the listeners.
    pub(crate) fn is_available(&self) -> bool {
        self.state != State::Identity && self.available > 0
    }

    /// Notes what the child says of itself.
    pub(crate) fn heard_status(&mut self, available: u32, total: u32, now: Instant, unix_s: u64) {
        self.available = available;
        self.total = total;
        self.last_status_s = unix_s;
        let is_idle = available >= self.client_limit;
        match (is_idle, self.idle_since) {
            (true, None) => {
                self.idle_since = Some(now);
                self.idle_start_s = unix_s;
            }
            (false, Some(_)) => {
                self.idle_since = None;
                self.idle_start_s = 0;
            }
            _ => {}
        }
    }
}
