//! Locks on an mbox, by all the methods that mail programs use, in the order that the administrator
//! chose, so that nobody else changes the file meanwhile.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use base::Logger;
use index::dotlock::{Dotlock, DotlockSettings};
use rustix::fs::FlockOperation;
use sys::lock::LockKind;

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, is_missing};

use super::privileged::{Privileged, PrivilegedDotlock, refused};

/// One way to lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `dotlock`: a file beside the mbox.
    Dotlock,
    /// `dotlock_try`: the same, but without the right or the room for it, go on.
    DotlockTry,
    /// `fcntl`
    Fcntl,
    /// `flock`
    Flock,
    /// `lockf`, which on Linux is fcntl and always exclusive.
    Lockf,
}

impl Method {
    /// By the setting's word, in any case.
    pub fn of(word: &str) -> Option<Self> {
        const ALL: [(&str, Method); 5] = [
            ("dotlock", Method::Dotlock),
            ("dotlock_try", Method::DotlockTry),
            ("fcntl", Method::Fcntl),
            ("flock", Method::Flock),
            ("lockf", Method::Lockf),
        ];
        ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|&(_, method)| method)
    }
}

/// `mbox_read_locks` and `mbox_write_locks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockLists {
    read: Vec<Method>,
    write: Vec<Method>,
}

impl Default for LockLists {
    /// 2.3's.
    fn default() -> Self {
        Self { read: vec![Method::Fcntl], write: vec![Method::Dotlock, Method::Fcntl] }
    }
}

impl LockLists {
    /// Reads both settings.
    ///
    /// # Errors
    /// What is wrong with them, in 2.3's words.
    pub fn parse(read: &str, write: &str) -> std::result::Result<Self, String> {
        let lists = Self { read: list("mbox_read_locks", read)?, write: list("mbox_write_locks", write)? };
        let mut wanted = lists.read.iter().peekable();
        for method in &lists.write {
            wanted.next_if_eq(&method);
        }
        match wanted.next() {
            None => Ok(lists),
            Some(_) => Err("mbox read/write lock list settings are invalid. Lock ordering must be the same \
                            with both, and write locks must contain all read locks (and possibly more)"
                .to_owned()),
        }
    }

    fn of(&self, kind: LockKind) -> &[Method] {
        match kind {
            LockKind::Shared => &self.read,
            LockKind::Exclusive => &self.write,
        }
    }
}

fn list(setting: &str, value: &str) -> std::result::Result<Vec<Method>, String> {
    let mut methods = Vec::new();
    for word in value.split_whitespace() {
        let method = Method::of(word).ok_or_else(|| format!("{setting}: Invalid value {word}"))?;
        if methods.contains(&method) {
            return Err(format!("{setting}: Duplicated value {word}"));
        }
        methods.push(method);
    }
    Ok(methods)
}

/// How to lock.
#[derive(Clone, Debug)]
pub struct MboxLockSettings {
    /// Which methods, in which order.
    pub lists: LockLists,
    /// How long to wait in all: `mbox_lock_timeout`, or less with `mail_max_lock_timeout`.
    pub timeout: Duration,
    /// `mbox_dotlock_change_timeout`
    pub dotlock_stale: Duration,
    /// `dotlock_use_excl`
    pub dotlock_use_excl: bool,
    /// For lock files.
    pub hostname: String,
    /// The mailbox is an INBOX in a directory of the system: where its dotlock must not be made, it is made
    /// with `mail_privileged_group`.
    pub is_privileged: bool,
}

/// An mbox that is open and locked. Dropping it gives up the locks.
pub struct LockedMbox {
    file: Arc<File>,
    /// What to read in its place.
    plain: Option<Arc<File>>,
    path: PathBuf,
    kind: LockKind,
    is_writable: bool,
    // Given back last: it was taken first.
    _dotlock: Option<PrivilegedDotlock>,
}

impl LockedMbox {
    /// Opens the mbox at `path` and locks it. The file is the one of that name at the moment when all
    /// locks are had.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, [`Error::InUse`] if others keep it locked, and those of
    /// opening.
    pub fn open(
        fs: &Fs,
        path: &Path,
        kind: LockKind,
        settings: &MboxLockSettings,
        logger: &Logger,
    ) -> Result<Self> {
        let deadline = Instant::now() + settings.timeout;
        loop {
            let (file, is_writable) = open(fs, path, kind)?;
            let mut dotlock = None;
            for method in settings.lists.of(kind) {
                match method {
                    Method::Dotlock | Method::DotlockTry => {
                        dotlock = take_dotlock(fs, path, *method, deadline, settings, logger)?;
                    }
                    Method::Fcntl => wait(path, deadline, || sys::lock::try_lock(&file, kind))?,
                    Method::Lockf => {
                        // Exclusive, but that needs a file which can be written.
                        let kind = if is_writable { LockKind::Exclusive } else { kind };
                        wait(path, deadline, || sys::lock::try_lock(&file, kind))?;
                    }
                    Method::Flock => wait(path, deadline, || try_flock(&file, kind))?,
                }
            }
            if is_same(fs, path, &file)? {
                let file = Arc::new(file);
                return Ok(Self {
                    file,
                    plain: None,
                    path: path.to_owned(),
                    kind,
                    is_writable,
                    _dotlock: dotlock,
                });
            }
        }
    }

    /// The file. Its locks hold only as long as `self`.
    pub fn file(&self) -> &Arc<File> {
        self.plain.as_ref().unwrap_or(&self.file)
    }

    /// The same mbox, with `plain` to be read in place of its file. It cannot be written then.
    pub(super) fn reading(self, plain: Arc<File>) -> Self {
        let mut this = self;
        (this.plain, this.is_writable) = (Some(plain), false);
        this
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file can be written, and the lock allows it.
    pub fn may_write(&self) -> bool {
        self.is_writable && self.kind == LockKind::Exclusive
    }
}

impl Drop for LockedMbox {
    /// The file may stay open elsewhere, so closing is not enough.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&*self.file, FlockOperation::Unlock);
        let _ = sys::lock::unlock(&*self.file);
    }
}

/// For writing, if that is possible: exclusive locks need it.
fn open(fs: &Fs, path: &Path, kind: LockKind) -> Result<(File, bool)> {
    let writable = match fs.open_write(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && kind == LockKind::Shared => None,
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && kind == LockKind::Shared => None,
        result => Some(result),
    };
    let is_writable = writable.is_some();
    match writable.unwrap_or_else(|| fs.open(path)) {
        Ok(file) => Ok((file, is_writable)),
        Err(error) if is_missing(&error) => Err(Error::NotFound(path.display().to_string())),
        Err(error) => Err(Error::io("open", path, error)),
    }
}

fn take_dotlock(
    fs: &Fs,
    path: &Path,
    method: Method,
    deadline: Instant,
    settings: &MboxLockSettings,
    logger: &Logger,
) -> Result<Option<PrivilegedDotlock>> {
    let dotlock = DotlockSettings {
        timeout: deadline.saturating_duration_since(Instant::now()),
        stale: settings.dotlock_stale,
        use_excl: settings.dotlock_use_excl,
        hostname: settings.hostname.clone(),
    };
    // Others must be able to see that there is one, and nothing more.
    let permissions = Permissions { file_mode: 0o644, ..Permissions::default() };
    match Dotlock::lock(fs, path, &permissions, &dotlock, logger) {
        Ok(lock) => Ok(Some(PrivilegedDotlock::plain(lock))),
        Err(index::Error::Io { source, .. })
            if settings.is_privileged && source.kind() == io::ErrorKind::PermissionDenied =>
        {
            let taken = match Privileged::open(path)? {
                Some(place) => place.lock(fs, path, &permissions, &dotlock, logger).map(Some),
                None => Err(Error::Denied(refused(path))),
            };
            match taken {
                Err(Error::Denied(_)) if method == Method::DotlockTry => Ok(None),
                Err(error) => {
                    // What cannot be locked is read all the same, so that nobody else tells.
                    logger.error(base::chain(&error));
                    Err(error)
                }
                taken => taken,
            }
        }
        Err(index::Error::Io { source, .. }) if method == Method::DotlockTry && may_go_on(&source) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn may_go_on(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn try_flock(file: &File, kind: LockKind) -> io::Result<bool> {
    let operation = match kind {
        LockKind::Shared => FlockOperation::NonBlockingLockShared,
        LockKind::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Tries until it works or the time is over.
fn wait(path: &Path, deadline: Instant, mut attempt: impl FnMut() -> io::Result<bool>) -> Result<()> {
    let mut pause = PAUSE_MIN;
    loop {
        if attempt().map_err(|error| Error::io("fcntl", path, error))? {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::InUse("Timeout while waiting for lock".to_owned()));
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn is_same(fs: &Fs, path: &Path, file: &File) -> Result<bool> {
    fs.renew_mail_name(path);
    let failed = |error| Error::io("stat", path, error);
    let (now, ours) = (fs.stamp(path).map_err(failed)?, fs.stamp_of(file).map_err(failed)?);
    let now = now.ok_or_else(|| Error::NotFound(path.display().to_string()))?;
    Ok((now.dev, now.ino) == (ours.dev, ours.ino))
}

// Mail programs hold locks for milliseconds to seconds.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check = |read: &str, write: &str, expected: &str| {
            let error = LockLists::parse(read, write).err().unwrap_or_default();
            assert!(error.starts_with(expected) && error.is_empty() == expected.is_empty(), "{error}");
        };
        check("fcntl", "dotlock fcntl", "");
        check("", "", "");
        check("flock FCNTL", "dotlock_try flock fcntl", "");
        check("fcntl flock", "flock fcntl", "mbox read/write lock list settings are invalid");
        check("flock", "fcntl", "mbox read/write lock list settings are invalid");
        check("x", "fcntl", "mbox_read_locks: Invalid value x");
        check("", "fcntl fcntl", "mbox_write_locks: Duplicated value fcntl");
    }

    fn settings(methods: &str) -> MboxLockSettings {
        MboxLockSettings {
            lists: LockLists::parse("", methods).unwrap(),
            timeout: Duration::from_millis(50),
            dotlock_stale: Duration::from_secs(60),
            dotlock_use_excl: true,
            hostname: "host".to_owned(),
            is_privileged: false,
        }
    }

    #[test]
    fn each_method_excludes_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mbox");
        std::fs::write(&path, "").unwrap();
        let logger = Logger::new("test: ");
        let open = |methods: &str| {
            LockedMbox::open(&Fs::default(), &path, LockKind::Exclusive, &settings(methods), &logger)
        };
        for methods in ["dotlock", "dotlock_try", "fcntl", "flock", "lockf", "dotlock flock fcntl"] {
            let held = open(methods).unwrap();
            assert!(held.may_write());
            assert!(matches!(open(methods), Err(Error::InUse(_))), "{methods}");
            drop(held);
            drop(open(methods).unwrap());
        }
        let _held = open("flock").unwrap();
        drop(open("fcntl").unwrap());
        assert!(!dir.path().join("mbox.lock").exists());
    }

    #[test]
    fn a_file_that_is_replaced_while_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mbox");
        std::fs::write(&path, "old").unwrap();
        let logger = Logger::new("test: ");
        let settings = MboxLockSettings { timeout: Duration::from_secs(60), ..settings("fcntl") };
        let open = || LockedMbox::open(&Fs::default(), &path, LockKind::Exclusive, &settings, &logger);
        let held = open().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(open);
            std::fs::write(dir.path().join("new"), "new one").unwrap();
            std::fs::rename(dir.path().join("new"), &path).unwrap();
            drop(held);
            let size = waiting.join().unwrap().unwrap().file().metadata().unwrap().len();
            assert_eq!(size, 7);
        });
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(open(), Err(Error::NotFound(_))));
    }
}
