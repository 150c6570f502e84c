//! Threads that help a session for a moment: all sessions of a process share a number of them, so that none
//! can take the machine for itself.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::THREADS_MAX;

/// The right to one thread; given back when dropped.
pub(crate) struct Permit(());

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Permit {
    /// `None` if all are taken.
    pub(crate) fn take() -> Option<Self> {
        static LIMIT: OnceLock<usize> = OnceLock::new();
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        // The session's own thread works, too.
        let limit = *LIMIT.get_or_init(|| cores().saturating_sub(1).min(THREADS_MAX));
        let more = |taken: usize| (taken < limit).then_some(taken + 1);
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}
