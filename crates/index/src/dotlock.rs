//! Lock files beside the file they protect (`dovecot-uidlist.lock`), made, waited for and overridden
//! as Dovecot 2.3 does, so that both exclude each other.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base::Logger;

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, Stamp};

/// How a lock is taken.
#[derive(Clone, Debug)]
pub struct DotlockSettings {
    /// How long to wait for somebody else.
    pub timeout: Duration,
    /// After so long without a change of lock or protected file the lock is overridden.
    pub stale: Duration,
    /// `dotlock_use_excl`.
    pub use_excl: bool,
    /// The host's name as it stands in lock files.
    pub hostname: String,
}

/// A lock that is held. Dropping it releases it.
pub struct Dotlock {
    fs: Fs,
    path: PathBuf,
    file: Option<File>,
    stamp: Option<Stamp>,
}

impl Dotlock {
    /// Locks `target`, waiting if need be.
    pub fn lock(
        fs: &Fs,
        target: &Path,
        permissions: &Permissions,
        settings: &DotlockSettings,
        logger: &Logger,
    ) -> Result<Self> {
        let mut waiter = Waiter::new(fs, target, settings, logger);
        let pid = format!("{}:{}", std::process::id(), settings.hostname);
        loop {
            match waiter.try_claim(permissions, &pid) {
                Ok((file, stamp)) => {
                    return Ok(Self { fs: fs.clone(), path: waiter.path, file: Some(file), stamp });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => waiter.wait()?,
                Err(error) => return Err(Error::io("file_dotlock_create", target, error)),
            }
        }
    }

    /// Locks `target` with an empty lock file, which is to become the new `target` by
    /// [`replace`](Self::replace).
    pub fn open(
        fs: &Fs,
        target: &Path,
        permissions: &Permissions,
        settings: &DotlockSettings,
        logger: &Logger,
    ) -> Result<Self> {
        let mut path = target.as_os_str().to_owned();
        path.push(".lock");
        Self::open_as(fs, Path::new(&path), target, permissions, settings, logger)
    }

    /// The same with a name of its own for the lock file.
    pub fn open_as(
        fs: &Fs,
        path: &Path,
        target: &Path,
        permissions: &Permissions,
        settings: &DotlockSettings,
        logger: &Logger,
    ) -> Result<Self> {
        let mut waiter = Waiter::new(fs, target, settings, logger);
        waiter.path = path.to_owned();
        loop {
            match waiter.try_create(permissions) {
                Ok(file) => {
                    let stamp = fs.stamp_of(&file).ok();
                    return Ok(Self { fs: fs.clone(), path: waiter.path, file: Some(file), stamp });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => waiter.wait()?,
                Err(error) => return Err(Error::io("file_dotlock_open", target, error)),
            }
        }
    }

    /// Takes `path` itself as the lock file, without waiting. As in 2.3, a process of this host that
    /// lives keeps its lock however old that is.
    pub fn attempt(
        fs: &Fs,
        path: &Path,
        permissions: &Permissions,
        settings: &DotlockSettings,
        logger: &Logger,
    ) -> Result<Attempt> {
        let mut waiter = Waiter::new(fs, path, settings, logger);
        waiter.path = path.to_owned();
        let pid = format!("{}:{}", std::process::id(), settings.hostname);
        for _ in 0..ATTEMPTS {
            match waiter.try_claim(permissions, &pid) {
                Ok((file, stamp)) => {
                    let lock = Self { fs: fs.clone(), path: waiter.path, file: Some(file), stamp };
                    return Ok(Attempt::Taken(lock));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let left_behind = match waiter.owner() {
                        Owner::Dead(looked_at) => Some(looked_at),
                        Owner::Alive => None,
                        Owner::Unknown => waiter.stale()?,
                    };
                    let Some(looked_at) = left_behind else { return Ok(Attempt::Busy) };
                    waiter.remove(looked_at)?;
                }
                Err(error) => return Err(Error::io("file_dotlock_create", path, error)),
            }
        }
        Ok(Attempt::Busy)
    }

    /// Writes to the lock file.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        self.fs.write(file, &self.path, bytes)
    }

    /// The lock file, to be set times on.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Makes the lock file the protected file and so releases the lock.
    pub fn replace(mut self, target: &Path, sync: bool) -> Result<()> {
        let done = (|| {
            let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
            if sync {
                self.fs.sync(file, &self.path)?;
            }
            self.fs.rename(&self.path, target)
        })();
        match done {
            Ok(()) => {
                self.file = None;
                Ok(())
            }
            Err(error) => Err(Error::io("file_dotlock_replace", target, error)),
        }
    }

    /// Whether the lock file is still ours: somebody may have overridden it while we were slow.
    pub fn is_held(&self) -> bool {
        let now = self.fs.stamp(&self.path).ok().flatten();
        match (now, self.stamp) {
            (Some(now), Some(mine)) => now.ino == mine.ino && now.dev == mine.dev,
            _ => false,
        }
    }
}

/// What came of [`Dotlock::attempt`].
pub enum Attempt {
    /// The lock is ours.
    Taken(Dotlock),
    /// It is somebody else's.
    Busy,
}

/// The process that made a lock file.
#[derive(PartialEq, Eq)]
enum Owner {
    Alive,
    /// With the device and inode of the file that says so.
    Dead((u64, u64)),
    /// It is on another host, or has not said who it is.
    Unknown,
}

impl Drop for Dotlock {
    fn drop(&mut self) {
        if let Some(stamp) = self.stamp {
            held().retain(|held| *held != identity(stamp));
        }
        if self.file.is_some() && self.is_held() {
            let _ = self.fs.unlink(&self.path);
        }
    }
}

struct Waiter<'a> {
    fs: &'a Fs,
    target: &'a Path,
    path: PathBuf,
    settings: &'a DotlockSettings,
    logger: &'a Logger,
    deadline: Instant,
    pause: Duration,
    // Since when neither the lock nor the protected file changed, as far as we have seen.
    seen: Option<(Stamp, Option<Stamp>)>,
    unchanged_since: SystemTime,
}

impl<'a> Waiter<'a> {
    fn new(fs: &'a Fs, target: &'a Path, settings: &'a DotlockSettings, logger: &'a Logger) -> Self {
        let mut name = target.as_os_str().to_owned();
        name.push(".lock");
        Self {
            fs,
            target,
            path: PathBuf::from(name),
            settings,
            logger,
            deadline: Instant::now() + settings.timeout,
            pause: PAUSE_MIN,
            seen: None,
            unchanged_since: SystemTime::now(),
        }
    }

    /// Makes the lock file with its owner in it, at once: one that a killed process leaves without
    /// would hold up everybody until it is stale.
    fn try_claim(&self, permissions: &Permissions, owner: &str) -> io::Result<(File, Option<Stamp>)> {
        // Whoever waits looks often, and need not make a file each time.
        if self.fs.stamp(&self.path)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let name = self.temporary();
        let file = self.fs.create_new(&name, permissions)?;
        // The content is advice for others: without it only the stale time counts.
        let _ = self.fs.write(&file, &name, owner.as_bytes());
        // Known as held before anybody can see it.
        let stamp = self.fs.stamp_of(&file).ok();
        held().extend(stamp.map(identity));
        let claimed = match self.settings.use_excl {
            true => self.fs.rename_new(&name, &self.path),
            // link(2) is atomic where O_EXCL and its like are not (old NFS).
            false => self.fs.link(&name, &self.path),
        };
        if claimed.is_err() || !self.settings.use_excl {
            let _ = self.fs.unlink(&name);
        }
        if claimed.is_err() {
            held().retain(|held| Some(*held) != stamp.map(identity));
        }
        claimed.map(|()| (file, stamp))
    }

    fn try_create(&self, permissions: &Permissions) -> io::Result<File> {
        if self.settings.use_excl {
            return self.fs.create_new(&self.path, permissions);
        }
        let name = self.temporary();
        let file = self.fs.create_new(&name, permissions)?;
        let linked = self.fs.link(&name, &self.path);
        let _ = self.fs.unlink(&name);
        linked.map(|()| file)
    }

    /// A name of 2.3's form for a file that is to become the lock.
    fn temporary(&self) -> PathBuf {
        let mut name = self.target.parent().unwrap_or(Path::new(".")).to_path_buf();
        name.push(format!(".temp.{}.{}.{}", self.settings.hostname, std::process::id(), unique()));
        name
    }

    /// Somebody else has the lock: waits a moment, or removes it if nobody has it any more.
    fn wait(&mut self) -> Result<()> {
        if let Some(looked_at) = self.left_behind()? {
            return self.remove(looked_at);
        }
        if Instant::now() >= self.deadline {
            return Err(Error::Busy("Timeout while waiting for lock".to_owned()));
        }
        thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    /// The lock file if nobody has it any more.
    fn left_behind(&mut self) -> Result<Option<(u64, u64)>> {
        self.fs.renew_lock_name(&self.path);
        match self.owner() {
            Owner::Dead(looked_at) => Ok(Some(looked_at)),
            Owner::Alive | Owner::Unknown => self.stale(),
        }
    }

    /// Removes a lock file that nobody needs any more, unless it is another one by now.
    fn remove(&self, looked_at: (u64, u64)) -> Result<()> {
        let now = self.fs.stamp(&self.path).ok().flatten();
        if now.map(identity) != Some(looked_at) {
            return Ok(());
        }
        let removed = self.fs.unlink(&self.path);
        self.logger.debug(format_args!("Overrode stale lock file {}", self.path.display()));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("unlink", self.path.clone(), error))
            }
            _ => Ok(()),
        }
    }

    /// What has become of the process that made the lock file, if it was one of this host.
    fn owner(&self) -> Owner {
        let mut text = String::new();
        let Ok(file) = self.fs.open(&self.path) else { return Owner::Unknown };
        let Ok(stamp) = self.fs.stamp_of(&file) else { return Owner::Unknown };
        let read = file.take(512).read_to_string(&mut text);
        let Some((pid, host)) = read.ok().and_then(|_| text.trim_end().split_once(':')) else {
            return Owner::Unknown;
        };
        let pid = pid.parse().ok().filter(|_| host == self.settings.hostname);
        let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { return Owner::Unknown };
        let is_dead = match pid == rustix::process::getpid() {
            // Either another session of this process has it, or a process that had our pid died.
            true => !held().contains(&identity(stamp)),
            false => rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH),
        };
        if is_dead { Owner::Dead(identity(stamp)) } else { Owner::Alive }
    }

    /// The lock file if neither it nor what it protects has changed for so long that it is stale.
    fn stale(&mut self) -> Result<Option<(u64, u64)>> {
        let stat = |path: &Path| self.fs.stamp(path).map_err(|error| Error::io("stat", path, error));
        let Some(lock) = stat(&self.path)? else { return Ok(None) };
        let seen = (lock, stat(self.target)?);
        let now = SystemTime::now();
        if self.seen != Some(seen) {
            let mtime = Duration::from_nanos(u64::try_from(lock.mtime_ns).unwrap_or(0));
            let first = self.seen.is_none();
            self.seen = Some(seen);
            self.unchanged_since = if first { SystemTime::UNIX_EPOCH + mtime } else { now };
        }
        let is_stale = now.duration_since(self.unchanged_since).is_ok_and(|age| age > self.settings.stale);
        Ok(is_stale.then(|| identity(lock)))
    }
}

/// Device and inode of every lock file that this process holds.
fn held() -> MutexGuard<'static, Vec<(u64, u64)>> {
    static HELD: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());
    HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn identity(stamp: Stamp) -> (u64, u64) {
    (stamp.dev, stamp.ino)
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Lock files of dead processes that are removed before it is somebody else's turn.
const ATTEMPTS: usize = 3;
// Locks are held for milliseconds: look again soon at first, rarely later.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);
