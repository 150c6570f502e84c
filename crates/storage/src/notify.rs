//! Tells sessions that a mailbox changed. One inotify instance serves a whole process: the process
//! polls [`Hub::fd`] and calls [`Hub::dispatch`] when it is readable. Changes made inside the process
//! wake subscribers directly.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use rustix::fs::inotify;

/// Called, from any thread and with no lock held, when the mailbox may have changed. It must only
/// set something in motion (wake a task) and return.
pub type Callback = Arc<dyn Fn() + Send + Sync>;

/// The process's one inotify instance. See [`Hub::global`].
pub struct Hub {
    fd: Option<OwnedFd>,
    watches: Mutex<HashMap<i32, Weak<Channel>>>,
}

impl Hub {
    /// The process's hub, made at first use. Where inotify is not available, external changes are
    /// found on the next sync only and [`fd`](Self::fd) is `None`.
    pub fn global() -> &'static Self {
        static HUB: OnceLock<Hub> = OnceLock::new();
        HUB.get_or_init(|| {
            let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
            Self { fd: inotify::init(flags).ok(), watches: Mutex::default() }
        })
    }

    /// The descriptor to poll for reading.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(|fd| fd.as_fd())
    }

    /// Reads what has happened and calls the subscribers. Never blocks.
    pub fn dispatch(&self) {
        let Some(fd) = &self.fd else { return };
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = inotify::Reader::new(fd, &mut buffer);
        let mut woken: Vec<Arc<Channel>> = Vec::new();
        while let Ok(event) = reader.next() {
            if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                woken.extend(lock(&self.watches).values().filter_map(Weak::upgrade));
            } else if let Some(channel) = lock(&self.watches).get(&event.wd()).and_then(Weak::upgrade)
                && !woken.iter().any(|known| Arc::ptr_eq(known, &channel))
            {
                woken.push(channel);
            }
        }
        woken.iter().for_each(|channel| channel.wake());
    }

    fn watch(&self, channel: &Arc<Channel>) -> Vec<i32> {
        let Some(fd) = &self.fd else { return Vec::new() };
        let events = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::MOVE;
        // The lock is held throughout, so that an event finds its channel.
        let mut watches = lock(&self.watches);
        // Without a watch (the user's limit may be reached) changes are found on the next sync.
        let add = |path: &PathBuf| inotify::add_watch(fd, path, events).ok();
        let ids: Vec<i32> = channel.paths.iter().filter_map(add).collect();
        ids.iter().for_each(|&id| drop(watches.insert(id, Arc::downgrade(channel))));
        ids
    }

    fn unwatch(&self, ids: &[i32]) {
        let mut watches = lock(&self.watches);
        for id in ids {
            watches.remove(id);
            if let Some(fd) = &self.fd {
                // The kernel has removed it already if the directory is gone.
                let _ = inotify::remove_watch(fd, *id);
            }
        }
    }
}

/// The subscribers of one mailbox. Directories are watched while there is a subscriber.
pub(crate) struct Channel {
    paths: Vec<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    subscribers: Vec<(u64, Callback)>,
    watches: Vec<i32>,
}

impl Channel {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Arc<Self> {
        Arc::new(Self { paths, inner: Mutex::default() })
    }

    pub(crate) fn subscribe(self: &Arc<Self>, callback: Callback) -> Subscription {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut inner = lock(&self.inner);
        if inner.subscribers.is_empty() {
            inner.watches = Hub::global().watch(self);
        }
        inner.subscribers.push((id, callback));
        Subscription { channel: self.clone(), id }
    }

    /// Wakes all.
    pub(crate) fn wake(&self) {
        let all: Vec<Callback> = lock(&self.inner).subscribers.iter().map(|(_, call)| call.clone()).collect();
        all.iter().for_each(|call| call());
    }
}

/// Keeps a subscription alive; dropping it ends it.
pub struct Subscription {
    channel: Arc<Channel>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inner = lock(&self.channel.inner);
        inner.subscribers.retain(|(id, _)| *id != self.id);
        if inner.subscribers.is_empty() {
            let watches = std::mem::take(&mut inner.watches);
            Hub::global().unwatch(&watches);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn wakes_on_files_and_stops() {
        let dir = tempfile::tempdir().unwrap();
        let channel = Channel::new(vec![dir.path().to_path_buf()]);
        let count = Arc::new(AtomicUsize::new(0));
        let seen = count.clone();
        let subscription = channel.subscribe(Arc::new(move || {
            seen.fetch_add(1, Ordering::SeqCst);
        }));
        std::fs::write(dir.path().join("a"), "x").unwrap();
        Hub::global().dispatch();
        // Other tests may dispatch at the same time, so the call may come from there.
        let started = std::time::Instant::now();
        while count.load(Ordering::SeqCst) == 0 && started.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        assert_ne!(count.load(Ordering::SeqCst), 0);
        drop(subscription);
        let before = count.load(Ordering::SeqCst);
        std::fs::write(dir.path().join("b"), "x").unwrap();
        Hub::global().dispatch();
        assert_eq!(count.load(Ordering::SeqCst), before);
    }
}
