//! One service: what was planned, its open listeners, and how its processes fare.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::listen::Open;
use crate::plan::ServicePlan;
use crate::throttle::Throttle;

/// How long connections may wait when all processes are full, before they are dropped.
pub(crate) const CROWD_PATIENCE: Duration = Duration::from_secs(10);
/// The same for login processes, which make room themselves.
pub(crate) const LOGIN_CROWD_PATIENCE: Duration = Duration::from_millis(500);
/// 2.3's `SERVICE_DROP_WARN_INTERVAL_SECS`.
const DROP_WARNING_INTERVAL_S: u64 = 1;

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) plan: ServicePlan,
    pub(crate) listeners: Vec<Open>,
    /// The settings that its processes get.
    pub(crate) settings: OwnedFd,
    pub(crate) throttle: Throttle,
    /// Processes started since the server started.
    pub(crate) process_total: u64,
    /// `doveadm service stop`: until the next reload.
    pub(crate) is_stopped: bool,
    pub(crate) last_drop_warning_s: u64,
    /// A connection waits at a listener and no process was there to take it.
    pub(crate) is_wanted: bool,
    /// Until when connections may wait for a process that has room.
    pub(crate) crowded_until: Option<Instant>,
    /// The wait is over: what is still there is dropped.
    pub(crate) is_dropping: bool,
    /// Processes, and those that take clients; counted anew in each round.
    pub(crate) process_count: u32,
    pub(crate) process_avail: u32,
}

impl Service {
    pub(crate) fn new(plan: ServicePlan, listeners: Vec<Open>, settings: OwnedFd) -> Self {
        Self {
            plan,
            listeners,
            settings,
            throttle: Throttle::new(),
            process_total: 0,
            is_stopped: false,
            last_drop_warning_s: 0,
            is_wanted: false,
            crowded_until: None,
            is_dropping: false,
            process_count: 0,
            process_avail: 0,
        }
    }

    /// Whether the master has to watch its listeners: nobody else does.
    pub(crate) fn is_watched(&self) -> bool {
        !self.is_stopped && self.process_avail == 0 && !self.throttle.is_on() && self.crowded_until.is_none()
    }

    /// Whether another process may be started at all.
    pub(crate) fn may_grow(&self) -> bool {
        !self.is_stopped && !self.throttle.is_on() && self.process_count < self.plan.process_limit
    }

    /// Whether another process is to be started now.
    pub(crate) fn shall_grow(&self) -> bool {
        let has_too_few = self.process_avail < self.plan.process_min_avail;
        self.may_grow() && (has_too_few || (self.is_wanted && self.process_avail == 0))
    }

    /// Which limit turns clients away, in 2.3's words.
    pub(crate) fn limit_text(&self) -> String {
        match self.plan.process_limit {
            1 => format!("client_limit ({}) reached", self.plan.client_limit),
            limit => format!("process_limit ({limit}) reached"),
        }
    }

    /// Whether dropped connections are worth a line again.
    pub(crate) fn warns_of_drop(&mut self, unix_s: u64) -> bool {
        let warns = self.last_drop_warning_s + DROP_WARNING_INTERVAL_S < unix_s;
        if warns {
            self.last_drop_warning_s = unix_s;
        }
        warns
    }
}
