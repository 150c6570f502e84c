//! Ctrl-C ends the measuring in good order, so that servers stop and their directories go.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Takes SIGINT and SIGTERM over, for this thread and all that it starts.
pub(crate) fn watch() {
    let signals = signals();
    // Without it the signal kills the program, as everywhere else.
    if signals.thread_block().is_err() {
        return;
    }
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            eprintln!("ending after this round");
            INTERRUPTED.store(true, Ordering::Relaxed);
        }
    });
}

/// Does `work` as if nobody watched: what it starts does not inherit that the signals are blocked.
pub(crate) fn unwatched(work: impl FnOnce()) {
    let was_blocked = SigSet::thread_get_mask().is_ok_and(|mask| mask.contains(Signal::SIGINT));
    let _ = signals().thread_unblock();
    work();
    if was_blocked {
        let _ = signals().thread_block();
    }
}

fn signals() -> SigSet {
    SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM])
}

/// Whether to begin nothing more.
pub(crate) fn came() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
