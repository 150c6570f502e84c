//! Tells sessions that a mailbox changed. One inotify instance serves a whole process: the process
//! polls [`Hub::fd`] and calls [`Hub::dispatch`] when it is readable. Changes made inside the process
//! wake subscribers directly.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Called, from any thread and with no lock held, when the mailbox may have changed. It must only
/// set something in motion (wake a task) and return.
pub type Callback = Arc<dyn Fn() + Send + Sync>;

/// The process's one inotify instance. See [`Hub::global`].
pub struct Hub {}

/// Keeps a subscription alive; dropping it ends it.
pub struct Subscription {}

impl Hub {
    /// The process's hub, made at first use. Where inotify is not available, external changes are
    /// found on the next sync only and [`fd`](Self::fd) is `None`.
    pub fn global() -> &'static Self {
        static HUB: Hub = Hub {};
        &HUB
    }

    /// The descriptor to poll for reading.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Reads what has happened and calls the subscribers. Never blocks.
    pub fn dispatch(&self) {}
}
