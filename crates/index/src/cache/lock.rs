//! The file's lock, which excludes Dovecot's processes as well, and what may only be written under it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use sys::lock::{LockKind, try_lock, unlock};

use super::layout::ALIGN;
use super::{Cache, IndexFacts, Trouble};
use crate::dotlock::{Dotlock, DotlockSettings};
use crate::error::{Error, Result};
use crate::settings::{FsyncMode, LockMethod};

/// How often a file is opened that keeps being replaced while its lock is waited for.
const REOPENS_MAX: u32 = 10;
/// The longest pause between two looks at a lock.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// After so long without a change a lock file beside the cache is overridden, as in 2.3.
const DOTLOCK_STALE: Duration = Duration::from_secs(300);

/// What came of locking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Locking {
    /// It is locked, and its header has been read since.
    Locked,
    /// There is no file, or no longer.
    Missing,
    /// The file belongs to another state of the index than the caller's.
    Stale,
    /// Somebody else kept the lock for too long.
    Busy,
}

impl Cache {
    /// Locks the newest file.
    pub(super) fn lock(&mut self, index: &IndexFacts) -> Result<Locking> {
        if self.place.readonly {
            return Ok(Locking::Missing);
        }
        for _ in 0..REOPENS_MAX {
            if !self.open(index)? {
                return Ok(Locking::Missing);
            }
            if !self.wait_for_lock()? {
                return Ok(Locking::Busy);
            }
            // Closing gives the lock back.
            match self.is_replaced() {
                Ok(false) => {}
                Ok(true) => {
                    self.close();
                    continue;
                }
                Err(error) => {
                    self.close();
                    return Err(error);
                }
            }
            let fresh = self.read_header(index);
            return match self.settle(fresh)? {
                Some(true) if self.file_seq() == Some(index.reset_id.unwrap_or(0)) => Ok(Locking::Locked),
                Some(true) => {
                    self.unlock();
                    Ok(Locking::Stale)
                }
                Some(false) => {
                    self.unlink();
                    Ok(Locking::Missing)
                }
                None => Ok(Locking::Missing),
            };
        }
        Ok(Locking::Busy)
    }

    /// Writes what is pending and unlocks. Errors are those of writing; the lock is gone either way.
    pub(super) fn flush_and_unlock(
        &mut self,
        header_changed: bool,
        index: &IndexFacts,
    ) -> Result<(), Trouble> {
        let done = self.flush(header_changed, index);
        self.unlock();
        done
    }

    fn flush(&mut self, header_changed: bool, index: &IndexFacts) -> Result<(), Trouble> {
        if self.registry.write_pending {
            self.update_field_list(index)?;
        }
        if header_changed && let Some(open) = &self.open {
            self.write_at(&open.file, &open.header.encode(), 0)?;
            self.judge_counts(index);
        }
        self.sync()
    }

    /// Forces the file to disk, where `mail_fsync` wants even caches there.
    pub(super) fn sync(&self) -> Result<(), Trouble> {
        let Some(open) = self.open.as_ref().filter(|_| self.settings.fsync == FsyncMode::Always) else {
            return Ok(());
        };
        let done = self.fs.sync(&open.file, &self.place.path);
        done.map_err(|error| Trouble::System("fdatasync", error))
    }

    /// Gives the lock back, if the file is still there.
    pub(super) fn unlock(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.dotlock.take().is_none() {
            // A lock that cannot be given back goes when the file is closed.
            let _ = match self.settings.lock_method {
                LockMethod::Flock => flock(&open.file, FlockOperation::Unlock).map_err(io::Error::from),
                _ => unlock(&open.file),
            };
        }
    }

    /// Where `length` bytes may be appended. The file is locked.
    pub(super) fn append_offset(&self, length: usize) -> Result<u32, Trouble> {
        let Some(open) = &self.open else { return Ok(0) };
        let meta = open.file.metadata().map_err(|error| Trouble::System("fstat", error))?;
        // A writer that died may have left an odd end behind.
        let at = meta.len().next_multiple_of(ALIGN as u64);
        if at.saturating_add(length as u64) > self.settings.file_size_max {
            return Err("Cache file too large".into());
        }
        u32::try_from(at).map_err(|_| "Cache file too large".into())
    }

    /// Remembers that the file should be purged.
    pub(super) fn purge_later(&mut self, reason: String) {
        if let Some(open) = &self.open {
            self.due = Some(super::Due { file_seq: open.header.file_seq, reason });
        }
    }

    /// Remembers that the file should be purged if its header says that much of it is waste.
    pub(super) fn judge_counts(&mut self, index: &IndexFacts) {
        let Some(open) = &self.open else { return };
        let header = open.header;
        if header.minor_version == 0 {
            return self.purge_later("Minor version too old".into());
        }
        let settings = &self.settings;
        let messages = u64::from(index.messages);
        let records = match u64::from(header.record_count) {
            _ if messages == 0 => 1,
            // What Dovecot 2.1 had in this place was no count.
            count if count == 0 || count > messages * 2 => messages,
            count => count,
        };
        let (continued, deleted) =
            (u64::from(header.continued_record_count), u64::from(header.deleted_record_count));
        let mut reason = None;
        if continued * 100 / records >= u64::from(settings.purge_continued_percentage) {
            reason = Some(format!("Too many continued records ({continued}/{records})"));
        }
        if deleted * 100 / (records + deleted) >= u64::from(settings.purge_delete_percentage) {
            reason = Some(format!("Too many deleted records ({deleted}/{records})"));
        }
        let Some(reason) = reason else { return };
        if open.file.metadata().is_ok_and(|meta| meta.len() >= settings.purge_min_size) {
            self.purge_later(reason);
        }
    }

    /// Locks the open file, or says that somebody else kept it. Who did not get it last time does not
    /// wait again: a cache is not worth it.
    fn wait_for_lock(&mut self) -> Result<bool> {
        let Some(open) = &self.open else { return Ok(false) };
        let method = self.settings.lock_method;
        let timeout = if self.last_lock_failed { Duration::ZERO } else { self.settings.lock_timeout };
        if method == LockMethod::Dotlock {
            return self.take_dotlock(timeout);
        }
        let (began, mut pause) = (Instant::now(), Duration::from_micros(200));
        let locked = loop {
            let (call, locked) = match method {
                LockMethod::Flock => ("flock", try_flock(&open.file)),
                _ => ("fcntl", try_lock(&open.file, LockKind::Exclusive)),
            };
            if locked.map_err(|error| Error::io(call, &self.place.path, error))? {
                break true;
            }
            if began.elapsed() >= timeout {
                break false;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        };
        self.last_lock_failed = !locked;
        Ok(locked)
    }

    /// Makes the lock file beside the cache.
    fn take_dotlock(&mut self, timeout: Duration) -> Result<bool> {
        let settings = DotlockSettings {
            timeout,
            stale: DOTLOCK_STALE,
            use_excl: self.settings.dotlock_use_excl,
            hostname: self.settings.hostname.clone(),
        };
        let (path, permissions) = (&self.place.path, &self.place.permissions);
        let taken = match Dotlock::lock(&self.fs, path, permissions, &settings, &self.logger) {
            Ok(dotlock) => Some(dotlock),
            Err(Error::Busy(_)) => None,
            Err(error) => return Err(error),
        };
        self.last_lock_failed = taken.is_none();
        let locked = taken.is_some();
        if let Some(open) = &mut self.open {
            open.dotlock = taken;
        }
        Ok(locked)
    }
}

fn try_flock(file: &std::fs::File) -> io::Result<bool> {
    use rustix::io::Errno;
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
