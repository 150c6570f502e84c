//! A user's INBOX in a directory of the system, such as `/var/mail`, in which only a group may make files.
//! A process has that group aside (`mail_privileged_group`) and takes it, in one thread, for nothing but a
//! lock file and an INBOX that is not there yet.
//!
//! The directory is opened without the group first, and all that is done with it is done there: whoever can
//! change the path meanwhile does not lead us elsewhere.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use base::Logger;
use index::dotlock::{Dotlock, DotlockSettings};
use rustix::fs::{Mode, OFlags};

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions};

/// An INBOX and its directory, kept open.
pub(super) struct Privileged {
    dir: OwnedFd,
    name: OsString,
    group: u32,
}

/// A dotlock, with what it takes to give it back.
pub(super) struct PrivilegedDotlock {
    lock: Option<Dotlock>,
    place: Option<Privileged>,
}

impl Privileged {
    /// The INBOX at `path`; `None` where this process has no such group.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let Some(group) = sys::privilege::saved_group() else { return Ok(None) };
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(dir, flags, Mode::empty());
        let opened = opened.map_err(|error| Error::io("open", dir, error.into()))?;
        Ok(Some(Self { dir: opened, name: name.to_owned(), group }))
    }

    /// Locks it. Only who may read a mailbox may lock it.
    pub(super) fn lock(
        self,
        fs: &Fs,
        path: &Path,
        permissions: &Permissions,
        settings: &DotlockSettings,
        logger: &Logger,
    ) -> Result<PrivilegedDotlock> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let readable = rustix::fs::openat(self.dir.as_fd(), &self.name, flags, Mode::empty());
        readable.map_err(|error| Error::io("access", path, error.into()))?;
        let target = self.path();
        let locked = self.with_group(|| Dotlock::lock(fs, &target, permissions, settings, logger));
        match locked.map_err(|error| Error::io("setfsgid", path, error))? {
            Ok(lock) => Ok(PrivilegedDotlock { lock: Some(lock), place: Some(self) }),
            // The path is told by which others know it.
            Err(index::Error::Io { op, source, .. }) => Err(Error::io(op, path, source)),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes it, empty.
    pub(super) fn create(&self, fs: &Fs, permissions: &Permissions) -> io::Result<File> {
        let path = self.path();
        self.with_group(|| fs.create_new(&path, permissions))?
    }

    /// Leads through the open directory.
    fn path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.dir.as_raw_fd().to_string()).join(&self.name)
    }

    fn with_group<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        sys::privilege::with_saved_group(self.group, work)
    }
}

impl PrivilegedDotlock {
    /// One that was taken without the group.
    pub(super) fn plain(lock: Dotlock) -> Self {
        Self { lock: Some(lock), place: None }
    }
}

impl Drop for PrivilegedDotlock {
    fn drop(&mut self) {
        let lock = self.lock.take();
        if let Some(place) = &self.place {
            // Without the group the lock stays, until it is old enough to be overridden.
            let _ = place.with_group(|| drop(lock));
        }
    }
}

/// Why an INBOX cannot be locked, and what the administrator can do about it, in 2.3's words.
pub(super) fn refused(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let what = format!("file_dotlock_create({}) failed: Permission denied", path.display());
    let dir = path.parent().unwrap_or(Path::new("."));
    match std::fs::metadata(dir) {
        Ok(meta) if meta.mode() & 0o002 == 0 && meta.mode() & 0o020 != 0 => {
            let name = sys::accounts::group_name(meta.gid()).ok().flatten();
            let name = name.unwrap_or_else(|| meta.gid().to_string());
            format!("{what} (set mail_privileged_group={name})")
        }
        _ => format!("{what} (nonstandard permissions in {})", dir.display()),
    }
}
