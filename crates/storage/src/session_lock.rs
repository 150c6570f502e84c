//! `dovecot-pop3-session.lock`: keeps a second POP3 session of a user out (`pop3_lock_session`), as
//! Dovecot 2.3 does it, so that its sessions and ours exclude each other.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base::Logger;

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions};
use index::dotlock::{Dotlock, DotlockSettings};

/// The lock, held until it is dropped.
pub struct SessionLock {
    fs: Fs,
    path: PathBuf,
    lock: Dotlock,
}

impl SessionLock {
    /// Takes the lock in `dir`, which is created if need be; `None` if another session has it.
    pub(crate) fn attempt(
        fs: &Fs,
        dir: &Path,
        use_excl: bool,
        hostname: &str,
        logger: &Logger,
    ) -> Result<Option<Self>> {
        let permissions = Permissions::of_dir(dir);
        fs.mkdir_all(dir, &permissions).map_err(|error| Error::io("mkdir", dir, error))?;
        let path = dir.join(FILE_NAME);
        let settings = DotlockSettings {
            timeout: Duration::ZERO,
            stale: STALE,
            use_excl,
            hostname: hostname.to_owned(),
        };
        let lock = Dotlock::attempt(fs, &path, &permissions, &settings, logger)?;
        Ok(lock.map(|lock| Self { fs: fs.clone(), path, lock }))
    }

    /// Shows hosts that cannot see this process that it lives. To be called more often than every
    /// five minutes.
    ///
    /// # Errors
    /// The lock was overridden, or its time cannot be set.
    pub fn refresh(&self) -> Result<()> {
        if !self.lock.is_held() {
            return Err(Error::InUse("Session lock was overridden".to_owned()));
        }
        let touched = self.fs.set_mtime(&self.path, SystemTime::now());
        touched.map_err(|error| Error::io("utime", self.path.clone(), error))
    }
}

const FILE_NAME: &str = "dovecot-pop3-session.lock";
// 2.3's POP3_SESSION_DOTLOCK_STALE_TIMEOUT_SECS.
const STALE: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("new");
        let attempt = || {
            let logger = Logger::new("test: ");
            SessionLock::attempt(&Fs::default(), &root, true, "host", &logger).expect("no error")
        };
        let first = attempt().expect("nobody has it");
        let file = root.join(FILE_NAME);
        let text = std::fs::read_to_string(&file).expect("the lock file");
        assert_eq!(text, format!("{}:host", std::process::id()));
        assert!(attempt().is_none());
        first.refresh().expect("still ours");
        drop(first);
        assert!(!file.exists());
        let second = attempt().expect("free again");
        std::fs::remove_file(&file).expect("removed by somebody");
        assert!(second.refresh().is_err());
    }

    #[test]
    fn dead_and_living_owners() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(FILE_NAME);
        let old = SystemTime::now() - Duration::from_secs(3600);
        let check = |content: &str, is_old: bool, is_free: bool| {
            std::fs::write(&file, content).expect("written");
            if is_old {
                let file = std::fs::File::options().write(true).open(&file).expect("opened");
                file.set_modified(old).expect("made old");
            }
            let logger = Logger::new("test: ");
            let lock = SessionLock::attempt(&Fs::default(), dir.path(), true, "host", &logger);
            assert_eq!(lock.expect("no error").is_some(), is_free, "{content:?} {is_old}");
        };
        check("1:host", true, false);
        check("1:elsewhere", false, false);
        check("1:elsewhere", true, true);
        check("", false, false);
        check("999999999:host", false, true);
        // A process that had our number.
        check(&format!("{}:host", std::process::id()), false, true);
    }
}
