//! Lock files beside the file they protect (`dovecot-uidlist.lock`), made, waited for and overridden
//! as Dovecot 2.3 does, so that both exclude each other.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
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
    /// `None`: it is released, or nobody can say whose it is.
    stamp: Option<Stamp>,
    spare: Option<(Box<Spare>, Arc<Spares>)>,
}

/// Keeps the file of a lock that is taken again and again, under a name of its own, so that only the lock's
/// name comes and goes: new files cost more than names.
pub struct Spares {
    dir: PathBuf,
    /// The lock was taken before.
    is_used: AtomicBool,
    kept: Mutex<Option<Box<Spare>>>,
}

/// A file that can become a lock by a second name. Dropped, it is removed.
struct Spare {
    fs: Fs,
    path: PathBuf,
    stamp: Stamp,
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
        Self::lock_often(fs, target, permissions, settings, logger, None)
    }

    /// The same for a lock that is taken often.
    pub fn lock_often(
        fs: &Fs,
        target: &Path,
        permissions: &Permissions,
        settings: &DotlockSettings,
        logger: &Logger,
        spares: Option<&Arc<Spares>>,
    ) -> Result<Self> {
        let mut waiter = Waiter::new(fs, target, settings, logger);
        let pid = format!("{}:{}", std::process::id(), settings.hostname);
        // With an old NFS the file must have the lock's name alone to tell that it is ours.
        let spares = spares.filter(|_| settings.use_excl);
        loop {
            let claimed = match spares.filter(|spares| spares.is_used.load(Ordering::Relaxed)) {
                Some(spares) => waiter.try_spare(spares, permissions, &pid),
                None => waiter.try_claim(permissions, &pid),
            };
            match claimed {
                Ok(claim) => {
                    spares.inspect(|spares| spares.is_used.store(true, Ordering::Relaxed));
                    return Ok(waiter.hold(claim, spares));
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
                    return Ok(waiter.hold(Claim { file: Some(file), stamp, spare: None }, None));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => waiter.wait()?,
                Err(error) => return Err(Error::io("file_dotlock_open", target, error)),
            }
        }
    }

    /// Takes `path` itself as the lock file, without waiting: `None` if it is somebody else's. As in 2.3, a
    /// process of this host that lives keeps its lock however old that is.
    pub fn attempt(
        fs: &Fs,
        path: &Path,
        permissions: &Permissions,
        settings: &DotlockSettings,
        logger: &Logger,
    ) -> Result<Option<Self>> {
        let mut waiter = Waiter::new(fs, path, settings, logger);
        waiter.path = path.to_owned();
        let pid = format!("{}:{}", std::process::id(), settings.hostname);
        for _ in 0..ATTEMPTS {
            match waiter.try_claim(permissions, &pid) {
                Ok(claim) => return Ok(Some(waiter.hold(claim, None))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let left_behind = match waiter.owner() {
                        Owner::Dead(looked_at) => Some(looked_at),
                        Owner::Alive => None,
                        Owner::Unknown => waiter.stale()?,
                    };
                    let Some(looked_at) = left_behind else { return Ok(None) };
                    waiter.remove(looked_at)?;
                }
                Err(error) => return Err(Error::io("file_dotlock_create", path, error)),
            }
        }
        Ok(None)
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
                self.stamp = None;
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

/// The process that made a lock file.
#[derive(PartialEq, Eq)]
enum Owner {
    Alive,
    /// With the file that says so.
    Dead(Stamp),
    /// It is on another host, or has not said who it is.
    Unknown,
}

impl Drop for Dotlock {
    fn drop(&mut self) {
        if self.is_held() {
            let _ = self.fs.unlink(&self.path);
        }
        // Only then: what is there without being held is taken for a dead process's.
        if let Some(stamp) = self.stamp {
            held().retain(|held| *held != identity(stamp));
        }
        if let Some((spare, spares)) = self.spare.take() {
            spares.keep(spare);
        }
    }
}

impl Spares {
    /// For locks on the file system of `dir`, which is where the file is between them.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, is_used: AtomicBool::new(false), kept: Mutex::new(None) }
    }

    fn keep(&self, spare: Box<Spare>) {
        *self.kept() = Some(spare);
    }

    fn kept(&self) -> MutexGuard<'_, Option<Box<Spare>>> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        let _ = self.fs.unlink(&self.path);
    }
}

/// A lock that was got.
struct Claim {
    file: Option<File>,
    stamp: Option<Stamp>,
    spare: Option<Box<Spare>>,
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
    fn try_claim(&self, permissions: &Permissions, owner: &str) -> io::Result<Claim> {
        // Whoever waits looks often, and need not make a file each time.
        if self.fs.stamp(&self.path)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let name = self.temporary();
        let file = self.create_claim(&name, permissions, owner)?;
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
        claimed.map(|()| Claim { file: Some(file), stamp, spare: None })
    }

    /// The same with a file that was the lock before, or is to be it again.
    fn try_spare(&self, spares: &Spares, permissions: &Permissions, owner: &str) -> io::Result<Claim> {
        if self.fs.stamp(&self.path)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let kept = spares.kept().take();
        let spare = match kept {
            // Its age is the lock's.
            Some(spare) if self.fs.set_mtime(&spare.path, SystemTime::now()).is_ok() => spare,
            _ => {
                let path = spares.dir.join(self.temporary_name());
                let Ok(file) = self.create_claim(&path, permissions, owner) else {
                    return self.try_claim(permissions, owner);
                };
                let stamp = self.fs.stamp_of(&file)?;
                Box::new(Spare { fs: self.fs.clone(), path, stamp })
            }
        };
        // Known as held before anybody can see it.
        held().push(identity(spare.stamp));
        match self.fs.link(&spare.path, &self.path) {
            Ok(()) => Ok(Claim { file: None, stamp: Some(spare.stamp), spare: Some(spare) }),
            Err(error) => {
                held().retain(|held| *held != identity(spare.stamp));
                if error.kind() == io::ErrorKind::AlreadyExists {
                    spares.keep(spare);
                    return Err(error);
                }
                self.try_claim(permissions, owner)
            }
        }
    }

    fn create_claim(&self, path: &Path, permissions: &Permissions, owner: &str) -> io::Result<File> {
        let file = self.fs.create_new(path, permissions)?;
        // The content is advice for others: without it only the stale time counts.
        let _ = self.fs.write(&file, path, owner.as_bytes());
        Ok(file)
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
        self.target.parent().unwrap_or(Path::new(".")).join(self.temporary_name())
    }

    fn temporary_name(&self) -> String {
        format!(".temp.{}.{}.{}", self.settings.hostname, std::process::id(), unique())
    }

    fn hold(self, claim: Claim, spares: Option<&Arc<Spares>>) -> Dotlock {
        let Claim { file, stamp, spare } = claim;
        Dotlock { fs: self.fs.clone(), path: self.path, file, stamp, spare: spare.zip(spares.cloned()) }
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
    fn left_behind(&mut self) -> Result<Option<Stamp>> {
        self.fs.renew_lock_name(&self.path);
        match self.owner() {
            Owner::Dead(looked_at) => Ok(Some(looked_at)),
            Owner::Alive | Owner::Unknown => self.stale(),
        }
    }

    /// Removes a lock file that nobody needs any more, unless it is another one by now.
    fn remove(&self, looked_at: Stamp) -> Result<()> {
        // No session of this process makes a file its lock meanwhile, which may be the same file again.
        let held = held();
        let now = self.fs.stamp(&self.path).ok().flatten();
        if now != Some(looked_at) || held.contains(&identity(looked_at)) {
            return Ok(());
        }
        let removed = self.fs.unlink(&self.path);
        drop(held);
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
        if is_dead { Owner::Dead(stamp) } else { Owner::Alive }
    }

    /// The lock file if neither it nor what it protects has changed for so long that it is stale.
    fn stale(&mut self) -> Result<Option<Stamp>> {
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
        Ok(is_stale.then_some(lock))
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
    use std::sync::atomic::AtomicU64;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Lock files of dead processes that are removed before it is somebody else's turn.
const ATTEMPTS: usize = 3;
// Locks are held for milliseconds: look again soon at first, rarely later.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);
