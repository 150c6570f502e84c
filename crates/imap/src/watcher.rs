//! Passes on what the kernel tells of changed mailboxes to the sessions that idle: one task for the whole
//! process, started by the first of them.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use storage::notify::Hub;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Starts the task, unless it runs. Without inotify, changes by other processes are found when an idle
/// session's mailbox is looked at anyway.
pub(crate) fn start() {
    if !RUNNING.swap(true, Ordering::SeqCst) {
        tokio::spawn(run(Guard));
    }
}

static RUNNING: AtomicBool = AtomicBool::new(false);

/// Lets another task be started when this one is gone.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        RUNNING.store(false, Ordering::SeqCst);
    }
}

async fn run(_guard: Guard) {
    let hub = Hub::global();
    let Some(Ok(fd)) = hub.fd().map(watch) else {
        // For good: there is no use in trying again with each session.
        return std::future::pending().await;
    };
    while let Ok(mut ready) = fd.readable().await {
        // All is read below; what comes meanwhile makes it readable anew.
        ready.clear_ready();
        hub.dispatch();
    }
}

#[expect(deprecated, reason = "the hub's descriptor lives as long as the process, which is what it needs")]
fn watch(fd: BorrowedFd<'static>) -> io::Result<AsyncFd<BorrowedFd<'static>>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
