//! Asking for many files below one directory.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::{Fs, Stamp, is_missing};

/// A directory that is kept open, so that the system need not walk to it for every file below it that is
/// asked for.
#[derive(Debug)]
pub struct Near {
    path: PathBuf,
    dir: OwnedFd,
    stamp: Stamp,
}

impl Near {
    /// # Errors
    /// Those of `open`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        let stamp = Stamp::of_stat(&rustix::fs::fstat(&dir)?);
        Ok(Self { path: path.to_owned(), dir, stamp })
    }

    /// Whether it still is the directory of its name.
    pub fn is_current(&self, fs: &Fs) -> bool {
        let now = fs.stamp(&self.path);
        now.is_ok_and(|now| now.is_some_and(|now| (now.dev, now.ino) == (self.stamp.dev, self.stamp.ino)))
    }

    fn within<'a>(&self, path: &'a Path) -> Option<&'a [u8]> {
        let rest = path.as_os_str().as_bytes().strip_prefix(self.path.as_os_str().as_bytes())?;
        rest.strip_prefix(b"/").filter(|rest| !rest.is_empty() && !rest.starts_with(b"/"))
    }
}

impl Fs {
    /// As [`stamp`](Self::stamp), by a shorter way where `path` is below `near`.
    pub fn stamp_near(&self, near: Option<&Near>, path: &Path) -> io::Result<Option<Stamp>> {
        let Some((near, within)) = near.and_then(|near| Some((near, near.within(path)?))) else {
            return self.stamp(path);
        };
        match rustix::fs::statat(&near.dir, within, AtFlags::empty()) {
            Ok(stat) => Ok(Some(Stamp::of_stat(&stat))),
            Err(error) if is_missing(&error.into()) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_and_what_is_not() {
        let place = tempfile::tempdir().unwrap();
        let (dir, beside) = (place.path().join("a"), place.path().join("ab"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("file"), "x").unwrap();
        std::fs::write(&beside, "xy").unwrap();
        let (fs, near) = (Fs::default(), Near::open(&dir).unwrap());
        let size = |path: &Path| fs.stamp_near(Some(&near), path).unwrap().map(|stamp| stamp.size);
        assert_eq!(size(&dir.join("file")), Some(1));
        assert_eq!(size(&beside), Some(2));
        assert_eq!(size(&dir.join("none")), None);
        assert_eq!(size(&dir.join("file/below")), None);
        assert_eq!(fs.stamp_near(Some(&near), &dir).unwrap(), fs.stamp(&dir).unwrap());

        assert!(near.is_current(&fs));
        std::fs::rename(&dir, place.path().join("moved")).unwrap();
        assert!(!near.is_current(&fs));
        std::fs::create_dir(&dir).unwrap();
        assert!(!near.is_current(&fs));
    }
}
