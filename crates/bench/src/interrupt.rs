//! Ctrl-C ends the measuring in good order, so that servers stop and their directories go.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Takes SIGINT and SIGTERM over, for this thread and all that it starts.
pub(crate) fn watch() {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
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

/// Whether to begin nothing more.
pub(crate) fn came() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
