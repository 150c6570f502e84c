//! Lock files that are there only while somebody holds them: of the list of mailboxes while one is made,
//! deleted or renamed, and of a mailbox while its size is added up. Dovecot 2.3 takes the same ones. They
//! are beside the indexes or, with `VOLATILEDIR=`, together in a directory that need not outlive the
//! machine, with hashes in their names.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use base::Logger;
use index::LockMethod;
use index::dotlock::{Dotlock, DotlockSettings};
use rustix::fs::FlockOperation;
use sha1::{Digest, Sha1};
use sys::lock::LockKind;

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, is_missing};
use crate::location::Location;
use crate::settings::MailSettings;

/// A lock, held until it is dropped.
pub(crate) struct LockFile {
    fs: Fs,
    path: PathBuf,
    held: Held,
}

enum Held {
    File { _file: File },
    // Removes its file by itself.
    Dotlock { _lock: Dotlock },
}

/// Where a lock file is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockPlace {
    path: PathBuf,
    is_volatile: bool,
}

impl LockPlace {
    /// That of the list of mailboxes, whose other files are in `dir`.
    pub(crate) fn of_list(location: &Location, dir: &Path) -> Self {
        match &location.volatile {
            // One for each namespace.
            Some(volatile) => Self::volatile(volatile, format!("mailboxes.lock{}", hash(&location.prefix))),
            None => Self { path: dir.join("mailboxes.lock"), is_volatile: false },
        }
    }

    /// That of a mailbox's size. `name` is the mailbox's on disk.
    pub(crate) fn of_size(location: &Location, index_dir: &Path, name: &str) -> Self {
        match &location.volatile {
            Some(volatile) => Self::volatile(volatile, format!("{SIZE_LOCK}.{}", hash(name))),
            None => Self { path: index_dir.join(SIZE_LOCK), is_volatile: false },
        }
    }

    fn volatile(dir: &Path, name: String) -> Self {
        Self { path: dir.join(name), is_volatile: true }
    }
}

impl LockFile {
    /// Waits for the lock on a list of mailboxes.
    ///
    /// # Errors
    /// The lock cannot be had, in 2.3's words.
    pub(crate) fn list(
        place: &LockPlace,
        permissions: &Permissions,
        fs: &Fs,
        settings: &MailSettings,
        logger: &Logger,
    ) -> Result<Self> {
        let path = place.path.display();
        match Self::take(place, permissions, LIST_WAIT, fs, settings, logger) {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(Error::InUse(format!("Couldn't create mailbox list lock {path}: timeout"))),
            Err(error) => Err(error),
        }
    }

    /// Waits for the lock on a mailbox's size; `None` if others keep it, or it cannot be had.
    pub(crate) fn size(
        place: &LockPlace,
        permissions: &Permissions,
        fs: &Fs,
        settings: &MailSettings,
        logger: &Logger,
    ) -> Option<Self> {
        match Self::take(place, permissions, SIZE_WAIT, fs, settings, logger) {
            Ok(lock) => lock,
            // Who may not write there adds up for himself alone.
            Err(Error::Denied(_)) => None,
            Err(error) => {
                logger.error(base::chain(&error));
                None
            }
        }
    }

    fn take(
        place: &LockPlace,
        permissions: &Permissions,
        wait: Duration,
        fs: &Fs,
        settings: &MailSettings,
        logger: &Logger,
    ) -> Result<Option<Self>> {
        let limit = settings.mail_max_lock_timeout;
        let deadline = Instant::now() + if limit.is_zero() { wait } else { wait.min(limit) };
        let mut pause = PAUSE_MIN;
        Self::make_dir(place, permissions, fs)?;
        loop {
            if let Some(lock) = Self::attempt(place, permissions, fs, settings, logger)? {
                return Ok(Some(lock));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn make_dir(place: &LockPlace, permissions: &Permissions, fs: &Fs) -> Result<()> {
        let Some(dir) = place.path.parent().filter(|dir| !dir.is_dir()) else { return Ok(()) };
        let private = Permissions { dir_mode: 0o700, ..Permissions::default() };
        let permissions = if place.is_volatile { &private } else { permissions };
        fs.mkdir_all(dir, permissions).map_err(|error| Error::io("mkdir", dir, error))
    }

    /// Takes the lock if nobody has it.
    fn attempt(
        place: &LockPlace,
        permissions: &Permissions,
        fs: &Fs,
        settings: &MailSettings,
        logger: &Logger,
    ) -> Result<Option<Self>> {
        let path = &place.path;
        let method = settings.mail_index.lock_method;
        if method == LockMethod::Dotlock {
            let dotlock = DotlockSettings {
                timeout: Duration::ZERO,
                stale: DOTLOCK_STALE,
                use_excl: settings.dotlock_use_excl,
                hostname: settings.hostname.clone(),
            };
            let taken = Dotlock::attempt(fs, path, permissions, &dotlock, logger)?;
            let held = taken.map(|lock| Held::Dotlock { _lock: lock });
            return Ok(held.map(|held| Self { fs: fs.clone(), path: path.clone(), held }));
        }
        let failed = |error| Error::io("file_create_locked", path, error);
        let file = match fs.create_new(path, permissions) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs.open_write(path),
            made => made,
        };
        let file = match file {
            // Whoever held it has just removed it.
            Err(error) if is_missing(&error) => return Ok(None),
            file => file.map_err(failed)?,
        };
        let is_locked = match method {
            LockMethod::Flock => match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(true),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(false),
                Err(error) => Err(error.into()),
            },
            _ => sys::lock::try_lock(&file, LockKind::Exclusive),
        };
        if !is_locked.map_err(failed)? {
            return Ok(None);
        }
        // The one who had it has removed it, and another may have made it anew.
        let (now, ours) = (fs.stamp(path).map_err(failed)?, fs.stamp_of(&file).map_err(failed)?);
        if now.is_none_or(|now| (now.dev, now.ino) != (ours.dev, ours.ino)) {
            return Ok(None);
        }
        Ok(Some(Self { fs: fs.clone(), path: path.clone(), held: Held::File { _file: file } }))
    }
}

impl Drop for LockFile {
    /// The file goes before the lock on it does, so that nobody waits for one that is gone.
    fn drop(&mut self) {
        if let Held::File { .. } = &self.held {
            let _ = self.fs.unlink(&self.path);
        }
    }
}

/// A lock on what is done for a whole user, held until it is dropped.
pub struct UserLock {
    _lock: LockFile,
}

impl UserLock {
    /// Takes the lock file `name` in `dir`, which is the user's home or `VOLATILEDIR=`; `None` if somebody has
    /// it.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn attempt(dir: &Path, name: &str, settings: &MailSettings, logger: &Logger) -> Result<Option<Self>> {
        let place = LockPlace::volatile(dir, name.to_owned());
        let (fs, permissions) = (Fs::default().on_nfs(settings.nfs()), Permissions::default());
        LockFile::make_dir(&place, &permissions, &fs)?;
        let lock = LockFile::attempt(&place, &permissions, &fs, settings, logger)?;
        Ok(lock.map(|lock| Self { _lock: lock }))
    }
}

/// SHA1 in hexadecimal digits, as in the names of such files.
fn hash(text: &str) -> String {
    Sha1::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// 2.3's VSIZE_LOCK_SUFFIX.
const SIZE_LOCK: &str = "dovecot-vsize.lock";
/// 2.3's MAILBOX_LIST_LOCK_SECS.
const LIST_WAIT: Duration = Duration::from_secs(60);
/// 2.3's VSIZE_UPDATE_MAX_LOCK_SECS.
const SIZE_WAIT: Duration = Duration::from_secs(10);
/// 2.3 takes a dotlock of this age for one that was left behind.
const DOTLOCK_STALE: Duration = Duration::from_secs(5 * 60);
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(place: &LockPlace, method: LockMethod) -> Option<LockFile> {
        let mut settings = MailSettings { hostname: "host".to_owned(), ..MailSettings::default() };
        settings.mail_index.lock_method = method;
        let permissions = Permissions::default();
        let (fs, logger) = (Fs::default(), Logger::new("test: "));
        LockFile::take(place, &permissions, Duration::ZERO, &fs, &settings, &logger).unwrap()
    }

    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("maildir:{0}/mail:VOLATILEDIR={0}/run/x", dir.path().display());
        let location = Location::parse(&text, None).unwrap();
        let place = LockPlace::of_list(&location, dir.path());
        // The hash of the empty prefix.
        let name = "mailboxes.lockda39a3ee5e6b4b0d3255bfef95601890afd80709";
        let path = dir.path().join("run/x").join(name);
        for method in [LockMethod::Fcntl, LockMethod::Flock, LockMethod::Dotlock] {
            let held = attempt(&place, method).expect("nobody has it");
            assert!(path.exists(), "{method:?}");
            assert!(attempt(&place, method).is_none());
            drop(held);
            assert!(!path.exists());
            drop(attempt(&place, method).expect("nobody has it any more"));
        }
        let mode = std::os::unix::fs::MetadataExt::mode(&path.parent().unwrap().metadata().unwrap());
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn names() {
        let location = Location::parse("maildir:/m", None).unwrap();
        assert_eq!(LockPlace::of_list(&location, Path::new("/i")).path, Path::new("/i/mailboxes.lock"));
        let place = LockPlace::of_size(&location, Path::new("/i/.a"), "a");
        assert_eq!(place.path, Path::new("/i/.a/dovecot-vsize.lock"));
        let location = Location::parse("maildir:/m:VOLATILEDIR=/v", None).unwrap();
        let place = LockPlace::of_size(&location, Path::new("/i/.a"), "a");
        let expected = "/v/dovecot-vsize.lock.86f7e437faa5a7fce15d1ddcb9eaeaea377667b8";
        assert_eq!(place.path, Path::new(expected));
    }
}
