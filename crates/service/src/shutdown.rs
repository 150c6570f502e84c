//! The news that a process is to end.

use tokio::sync::watch;

/// How far a process is on its way out. It only ever goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Business as usual.
    Running,
    /// No new clients; those that are here may stay as long as they like (reload, the master is
    /// gone, or a stop with `shutdown_clients = no`).
    Retiring,
    /// Say goodbye to all clients and end (`shutdown_clients = yes`, SIGTERM).
    Stopping,
}

/// Tells when the process is to end. Cloning is cheap; each clone waits on its own.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Phase>);

impl Shutdown {
    pub(crate) fn channel() -> (watch::Sender<Phase>, Self) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (sender, Self(receiver))
    }

    /// How far it is now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until the process takes no new clients (or stops).
    pub async fn retiring(&self) {
        self.reached(Phase::Retiring).await;
    }

    /// Waits until clients are to be sent away. A session selects on this beside its input.
    pub async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    async fn reached(&self, phase: Phase) {
        // The sender lives as long as the process; should it be gone, the process ends anyway.
        let _ = self.0.clone().wait_for(|&now| now >= phase).await;
    }
}
