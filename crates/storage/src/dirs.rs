//! What directories of mailboxes hold, remembered while their times stay as they are: listing many mailboxes
//! again costs one stat(2) for each.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FileType;

use crate::fs::{Fs, Stamp, join};
use crate::limits::KNOWN_DIRS_MAX;

/// See the module. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirs {
    known: Arc<Mutex<Known>>,
}

type Known = HashMap<PathBuf, (Stamp, Arc<Entries>)>;

/// What may be directories in a directory, but for those whose names begin with a dot: each with whether it is
/// sure to be one.
#[derive(Debug, Default)]
pub(crate) struct Entries(Vec<(Vec<u8>, bool)>);

impl Dirs {
    /// The directories in a directory; none where there is none.
    pub(crate) fn entries(&self, fs: &Fs, dir: &Path) -> io::Result<Arc<Entries>> {
        let Some(stamp) = fs.stamp(dir)? else { return Ok(Arc::default()) };
        let known =
            |dir: &Path| self.lock().get(dir).filter(|(old, _)| *old == stamp).map(|(_, all)| all.clone());
        if let Some(entries) = known(dir) {
            return Ok(entries);
        }
        let mut found = Entries::default();
        let read = fs.read_dir(dir, |name, kind| {
            let may_be_dir = matches!(kind, FileType::Directory | FileType::Symlink | FileType::Unknown);
            if may_be_dir && !name.starts_with(b".") {
                found.0.push((name.to_vec(), kind == FileType::Directory));
            }
        });
        match read {
            Err(error) if crate::fs::is_missing(&error) => return Ok(Arc::default()),
            read => read?,
        }
        let found = Arc::new(found);
        if is_settled(&stamp) {
            let mut all = self.lock();
            if all.len() >= KNOWN_DIRS_MAX {
                all.clear();
            }
            all.insert(dir.to_owned(), (stamp, found.clone()));
        }
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.0.iter().map(|(name, sure)| (name.as_slice(), *sure))
    }

    /// Whether there is a directory of this name in `dir`, whose entries these are.
    pub(crate) fn has(&self, dir: &Path, name: &[u8]) -> bool {
        self.iter().any(|(known, sure)| known == name && (sure || join(dir, name).is_dir()))
    }
}

/// Whether a later change would show: times are as fine as the kernel's clock.
fn is_settled(stamp: &Stamp) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(now.saturating_sub(SETTLES).as_nanos()).is_ok_and(|then| stamp.mtime_ns < then)
}

/// More than any kernel's clock takes for a step, and than clocks of servers differ.
const SETTLES: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_seen() {
        let place = tempfile::tempdir().unwrap();
        let (dirs, fs) = (Dirs::default(), Fs::default());
        let names = || {
            let entries = dirs.entries(&fs, place.path()).unwrap();
            let mut names: Vec<String> =
                entries.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
            names.sort();
            names.join(" ")
        };
        let old = |secs| {
            let time = SystemTime::now() - Duration::from_secs(secs);
            std::fs::File::open(place.path()).unwrap().set_modified(time).unwrap();
        };
        std::fs::create_dir(place.path().join("a")).unwrap();
        std::fs::write(place.path().join("file"), "").unwrap();
        // Too new to be remembered.
        assert_eq!(names(), "a");
        assert!(dirs.lock().is_empty());
        old(100);
        assert_eq!(names(), "a");
        assert_eq!(dirs.lock().len(), 1);
        std::fs::create_dir(place.path().join("b")).unwrap();
        assert_eq!(names(), "a b");
        // With the time of before nobody looks.
        old(100);
        assert_eq!(names(), "a b");
        std::fs::remove_dir_all(place.path().join("a")).unwrap();
        assert_eq!(names(), "b");
        assert!(dirs.entries(&fs, &place.path().join("a")).unwrap().iter().next().is_none());
    }
}
