//! Stopping: with `shutdown_clients = yes` everybody ends, `log` last; with `no` the master goes and
//! sessions live on.

use std::time::{Duration, Instant};

use ipc::control::ToChild;
use sys::signal::{Received, Signal};

use crate::plan::Kind;
use crate::rundir;
use crate::server::Server;
use crate::timers::Timer;

/// How long children have to say goodbye before they are killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long `log` has to write what is left.
const LOG_PATIENCE: Duration = Duration::from_secs(3);

/// Where the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Children end.
    Stopping,
    /// The master goes without waiting for them.
    Leaving,
}

impl Server {
    /// A signal asks for the end.
    pub(crate) fn begin_stop(&mut self, received: Received) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.log.warning(received.killed_text());
        self.notify.say("STOPPING=1");
        // The last process that closes a listener turns away who waits there.
        self.services.iter_mut().for_each(|service| service.listeners.clear());
        if let Some(loader) = self.loader.take() {
            let _ = sys::signal::kill(loader.pid, Some(Signal::SIGKILL));
        }
        if !self.plan.shutdown_clients {
            self.phase = Phase::Leaving;
            return;
        }
        self.phase = Phase::Stopping;
        for child in self.children.values_mut() {
            match child.kind {
                // It writes what the others say to the end.
                Kind::Log => {}
                // It counts sessions as long as there are any.
                Kind::Anvil => child.wire.send(&ToChild::Retire, None),
                _ => child.wire.send(&ToChild::Stop, None),
            }
        }
        self.timers.set(Instant::now() + PATIENCE, Timer::Stop);
    }

    /// Whether the loop ends.
    pub(crate) fn is_over(&self) -> bool {
        match self.phase {
            Phase::Running => false,
            Phase::Stopping => self.children.values().all(|child| child.kind == Kind::Log),
            Phase::Leaving => true,
        }
    }

    /// Those who have not ended in time are killed.
    pub(crate) fn kill_the_rest(&mut self) {
        let late: Vec<(u32, String)> = self
            .children
            .values()
            .filter(|child| child.kind != Kind::Log)
            .map(|child| (child.pid, child.name.clone()))
            .collect();
        for (pid, name) in late {
            let seconds = PATIENCE.as_secs();
            self.log.warning(format_args!(
                "service({name}): child {pid} didn't stop in {seconds} seconds, killing it"
            ));
            let _ = sys::signal::kill(pid, Some(Signal::SIGKILL));
        }
    }

    /// The last things the master does.
    pub(crate) fn finish(mut self) {
        self.log.flush();
        let is_waiting = self.phase == Phase::Stopping;
        rundir::remove_pid(&self.plan.base_dir);
        let Self { children, pipes, log, .. } = self;
        // `log` ends when nobody can say anything any more.
        drop((pipes, log));
        let mut logs: Vec<_> = children.into_values().filter(|child| child.kind == Kind::Log).collect();
        for child in &mut logs {
            child.wire.send(&ToChild::Retire, None);
        }
        if is_waiting {
            let deadline = Instant::now() + LOG_PATIENCE;
            for child in &logs {
                wait_for_end(child.pid, deadline);
            }
        }
    }
}

fn wait_for_end(pid: u32, deadline: Instant) {
    while Instant::now() < deadline && sys::signal::kill(pid, None).is_ok() {
        if sys::spawn::reap().is_some_and(|(ended, _)| ended == pid) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
