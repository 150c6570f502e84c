//! Waiting for the disk in several places at once: what is forced to disk together is written together,
//! where one after the other each would wait for a turn of the disk of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use crate::limits::{SYNC_IDLE, SYNC_STACK_BYTES, SYNC_THREADS_MAX};

/// A file or directory on its way to disk.
pub(super) struct Underway(Receiver<io::Result<()>>);

struct Job {
    file: Arc<File>,
    done: SyncSender<io::Result<()>>,
}

/// The threads of this process that wait for disks. They end when nothing is to be done for a while.
#[derive(Default)]
struct Waiters {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
}

static WAITERS: Mutex<Waiters> = Mutex::new(Waiters { jobs: VecDeque::new(), idle: 0, threads: 0 });
static CHANGED: Condvar = Condvar::new();

/// Begins to force a file or directory with all that belongs to it to disk on another thread. `None` where
/// there is none.
pub(super) fn begin(file: &Arc<File>) -> Option<Underway> {
    let mut waiters = lock();
    if waiters.idle <= waiters.jobs.len() {
        if waiters.threads >= SYNC_THREADS_MAX {
            return None;
        }
        let builder = Builder::new().name("sync".to_owned()).stack_size(SYNC_STACK_BYTES);
        builder.spawn(work).ok()?;
        waiters.threads += 1;
    }
    let (done, underway) = sync_channel(1);
    waiters.jobs.push_back(Job { file: file.clone(), done });
    drop(waiters);
    CHANGED.notify_one();
    Some(Underway(underway))
}

impl Underway {
    /// Waits until it is there.
    pub(super) fn wait(self) -> io::Result<()> {
        // A thread that is gone has not told: then nobody knows.
        self.0.recv().unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
    }
}

fn work() {
    let mut waiters = lock();
    loop {
        if let Some(Job { file, done }) = waiters.jobs.pop_front() {
            drop(waiters);
            // Whoever has given up waiting does not need to know.
            let _ = done.send(file.sync_all());
            drop(file);
            waiters = lock();
            continue;
        }
        waiters.idle += 1;
        let (woken, timeout) = wait(waiters, SYNC_IDLE);
        waiters = woken;
        waiters.idle -= 1;
        if timeout && waiters.jobs.is_empty() {
            waiters.threads -= 1;
            return;
        }
    }
}

fn wait(waiters: MutexGuard<'static, Waiters>, time: Duration) -> (MutexGuard<'static, Waiters>, bool) {
    let (waiters, result) = CHANGED.wait_timeout(waiters, time).unwrap_or_else(PoisonError::into_inner);
    (waiters, result.timed_out())
}

fn lock() -> MutexGuard<'static, Waiters> {
    WAITERS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Arc::new(File::open(dir.path()).unwrap());
        for _ in 0..3 {
            let begun: Vec<_> = (0..SYNC_THREADS_MAX + 5).filter_map(|_| begin(&dir)).collect();
            assert!(!begun.is_empty());
            begun.into_iter().for_each(|underway| underway.wait().unwrap());
        }
        assert!(lock().threads <= SYNC_THREADS_MAX);
    }
}
