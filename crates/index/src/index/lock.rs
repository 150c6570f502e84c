//! The log's lock: who has it may write to the log and replace both files.

use std::io;
use std::ops::Deref;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use sys::lock::{LockKind, try_lock, unlock};

use super::Index;
use crate::dotlock::{Dotlock, DotlockSettings};
use crate::error::{Error, Result};
use crate::limits::{LOCK_STALE, LOCK_WARN, REOPEN_MAX};
use crate::log::file::{LogFile, Stop};
use crate::settings::LockMethod;

/// An index whose log is locked: nobody else changes it. Dropping this unlocks.
pub struct Locked<'a> {
    pub(super) index: &'a mut Index,
    /// Where in the log the first request is that came after [`pending`](Self::pending) could tell.
    pub(super) late: Option<u64>,
    /// The lock is [held](Index::hold) beyond this.
    is_held: bool,
}

/// A lock that is held.
pub(super) struct Held {
    /// With `lock_method = dotlock`.
    dotlock: Option<Dotlock>,
    since: Instant,
}

impl Index {
    /// Locks the log, which is created if it is missing, and reads what others wrote.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody else keeps it too long, and those of the system.
    pub fn lock(&mut self) -> Result<Locked<'_>> {
        self.acquire()?;
        Ok(Locked { index: self, late: None, is_held: false })
    }

    /// [`lock`](Self::lock) that does not wait: `None` if somebody else has it, or has had it replaced.
    ///
    /// # Errors
    /// Those of the system.
    pub fn try_lock(&mut self) -> Result<Option<Locked<'_>>> {
        if self.settings.lock_method == LockMethod::Dotlock {
            return Ok(None);
        }
        match self.acquire_within(Duration::ZERO) {
            Ok(()) => Ok(Some(Locked { index: self, late: None, is_held: false })),
            Err(Error::Busy(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks the log until [`let_go`](Self::let_go), for changes of several steps between which somebody
    /// else owns the borrow; [`held`](Self::held) is the index for each of them.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn hold(&mut self) -> Result<()> {
        self.acquire()
    }

    /// The index, locked by [`hold`](Self::hold); dropping this does not unlock. `None` if nothing is
    /// held.
    pub fn held(&mut self) -> Option<Locked<'_>> {
        let is_locked = self.held.is_some() || self.is_in_memory();
        is_locked.then_some(Locked { index: self, late: None, is_held: true })
    }

    /// Ends what [`hold`](Self::hold) began.
    pub fn let_go(&mut self) {
        self.release();
    }

    fn acquire(&mut self) -> Result<()> {
        self.acquire_within(self.settings.log_lock_timeout())
    }

    fn acquire_within(&mut self, timeout: Duration) -> Result<()> {
        for _ in 0..REOPEN_MAX {
            if self.is_in_memory() {
                if self.log.is_none() {
                    self.make_memory_log();
                }
                return Ok(());
            }
            let Some(log) = self.log.as_ref() else {
                self.make_log()?;
                continue;
            };
            if !log.is_writable() {
                let path = log.path.clone();
                self.move_to_memory("open", &path, io::ErrorKind::PermissionDenied.into())?;
                continue;
            }
            self.held = Some(self.lock_log(log, timeout)?);
            let path = log.path.clone();
            let stamp = self.fs.stamp(&path).map_err(|error| Error::io("stat", &path, error))?;
            match stamp {
                Some(stamp) if log.is_same_file(&stamp) => return self.catch_up(Some(stamp.size)),
                Some(_) => {
                    self.release();
                    if let Some(log) = self.log.take() {
                        self.read_rest(log)?;
                    }
                    self.follow()?;
                    // Whatever is damaged there is replaced by the next attempt.
                    if self.log.as_ref().is_some_and(|log| log.corrupted && !self.is_current(log)) {
                        self.log = None;
                    }
                }
                None => {
                    // The mailbox was deleted. Writing on is of no use, but must not recreate it.
                    self.deleted = true;
                    return self.catch_up(None);
                }
            }
        }
        Err(Error::Busy(format!("Log of index {} is replaced all the time", self.path.display())))
    }

    fn is_current(&self, log: &LogFile) -> bool {
        self.fs.stamp(&log.path).ok().flatten().is_some_and(|stamp| log.is_same_file(&stamp))
    }

    /// Reads what others wrote before the lock was ours. What is not complete now never will be. With the
    /// size that the log has, if that is known.
    fn catch_up(&mut self, size: Option<u64>) -> Result<()> {
        let Some(mut log) = self.log.take() else { return Ok(()) };
        if !log.corrupted && size.is_none_or(|size| log.may_have_more(size)) {
            let from = log.sync_offset;
            let bytes = match log.read(&self.fs, from) {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.log = Some(log);
                    self.release();
                    return Err(error);
                }
            };
            if bytes.is_empty() && log.size_seen() < from {
                let what = format!("file size shrank ({} < {from})", log.size_seen());
                self.tell_corrupted_log(&mut log, &what);
            } else if let Stop::Incomplete = self.absorb(&mut log, &bytes, from, false, false) {
                self.cut_garbage(&mut log);
            }
        }
        // Whatever is written to a log that bears the mark is lost for those who open it later.
        let corrupted = log.corrupted || log.was_marked(&self.fs);
        self.log = Some(log);
        if corrupted {
            self.replace_log()?;
        }
        self.keep_rescued()
    }

    /// A writer died in the middle of a transaction, which nobody was told of.
    fn cut_garbage(&mut self, log: &mut LogFile) {
        self.logger.error(format_args!(
            "Corrupted transaction log file {} seq {}: Unexpected garbage at EOF (sync_offset={})",
            log.path.display(),
            log.header.file_seq,
            log.sync_offset
        ));
        // Or it was whole once, and is damaged.
        self.map.header.flags |= crate::header::FLAG_FSCKD;
        if let Err(error) = log.truncate(&self.fs) {
            self.logger.error(format_args!("ftruncate({}) failed: {error}", log.path.display()));
        }
    }

    pub(super) fn lock_log(&self, log: &LogFile, timeout: Duration) -> Result<Held> {
        let began = Instant::now();
        let dotlock = match self.settings.lock_method {
            LockMethod::Dotlock => {
                let settings = self.dotlock_settings();
                let path = &log.path;
                Some(
                    Dotlock::lock(&self.fs, path, &self.place.permissions, &settings, &self.logger).map_err(
                        |error| match error {
                            Error::Busy(_) => Error::Busy(format!(
                                "Timeout ({}s) while waiting for dotlock for transaction log file {}",
                                timeout.as_secs(),
                                path.display()
                            )),
                            other => other,
                        },
                    )?,
                )
            }
            method => {
                self.wait_for(log, method, timeout)?;
                None
            }
        };
        let took = began.elapsed();
        if took > LOCK_WARN {
            self.logger.warning(format_args!(
                "Locking transaction log file {} took {} seconds (syncing)",
                log.path.display(),
                took.as_secs()
            ));
        }
        Ok(Held { dotlock, since: Instant::now() })
    }

    fn wait_for(&self, log: &LogFile, method: LockMethod, timeout: Duration) -> Result<()> {
        let Some(file) = log.file() else { return Ok(()) };
        let began = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let locked = match method {
                LockMethod::Flock => match flock(file, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => Ok(true),
                    Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(false),
                    Err(error) => Err(error.into()),
                },
                _ => try_lock(file, LockKind::Exclusive),
            };
            if locked.map_err(|error| Error::io("mail_index_wait_lock_fd", &log.path, error))? {
                return Ok(());
            }
            if began.elapsed() >= timeout {
                let holder = sys::lock::holder(file, LockKind::Exclusive);
                let holder = holder.map_or(String::new(), |pid| format!(" (WRITE lock held by pid {pid})"));
                return Err(Error::Busy(format!(
                    "Timeout ({}s) while waiting for lock for transaction log file {}{holder}",
                    timeout.as_secs(),
                    log.path.display()
                )));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Gives the lock back.
    pub(super) fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        let Some(log) = &self.log else { return };
        if held.since.elapsed() > LOCK_WARN {
            self.logger.warning(format_args!(
                "Transaction log file {} was locked for {} seconds (Mailbox was synchronized)",
                log.path.display(),
                held.since.elapsed().as_secs()
            ));
        }
        if let (None, Some(file)) = (&held.dotlock, log.file()) {
            // Closing the file would do it as well.
            let _ = match self.settings.lock_method {
                LockMethod::Flock => flock(file, FlockOperation::Unlock).map_err(io::Error::from),
                _ => unlock(file),
            };
        }
    }

    pub(super) fn dotlock_settings(&self) -> DotlockSettings {
        DotlockSettings {
            timeout: self.settings.log_lock_timeout(),
            stale: LOCK_STALE,
            use_excl: self.settings.dotlock_use_excl,
            hostname: self.settings.hostname.clone(),
        }
    }
}

impl Deref for Locked<'_> {
    type Target = Index;

    fn deref(&self) -> &Index {
        self.index
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if !self.is_held {
            self.index.release();
        }
    }
}

// The lock is held for as long as a write takes: look again soon at first.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(10);
