//! What directories of mailboxes hold, remembered while their times stay as they are: listing many mailboxes
//! again costs one stat(2) for each, and nothing is made anew if all of them are as before. Sessions of one
//! process share what is known of a location.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FileType;

use crate::api::Listed;
use crate::error::{Error, Result};
use crate::fs::{Fs, Near, Stamp, join};
use crate::limits::KNOWN_DIRS_MAX;
use crate::location::Location;

/// See the module. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirs {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    dirs: HashMap<Arc<Path>, (Stamp, Arc<Entries>)>,
    listing: Option<Arc<Listing>>,
}

/// A directory, and how it was.
type Seen = (Arc<Path>, Stamp);

/// What a walk found, and the directories that it came to.
#[derive(Debug)]
struct Listing {
    dirs: Vec<Seen>,
    listed: Vec<Listed>,
}

/// What may be directories in a directory, but for those whose names begin with two dots, which are on their way
/// out: each with whether it is sure to be one.
#[derive(Debug, Default)]
pub(crate) struct Entries(Vec<(Vec<u8>, bool)>);

/// A walk through directories that notes what it depends on.
pub(crate) struct Walk<'a> {
    dirs: &'a Dirs,
    fs: &'a Fs,
    seen: Vec<Seen>,
    /// It depends on more than the directories that were seen, or on one whose next change may not show.
    is_unsure: bool,
}

impl Dirs {
    /// What this process knows of a location. `mode` is what else a listing depends on.
    pub(crate) fn of(location: &Location, mode: (bool, bool)) -> Self {
        static REGISTRY: OnceLock<Mutex<HashMap<String, Weak<Mutex<Known>>>>> = OnceLock::new();
        let mut registry =
            REGISTRY.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{location:?} {mode:?}");
        if let Some(known) = registry.get(&key).and_then(Weak::upgrade) {
            return Self { known };
        }
        registry.retain(|_, old| old.strong_count() > 0);
        let dirs = Self::default();
        registry.insert(key, Arc::downgrade(&dirs.known));
        dirs
    }

    /// What `walk` finds below `root`, or what it found the last time, if nothing has changed since.
    pub(crate) fn listing(
        &self,
        fs: &Fs,
        root: &Path,
        walk: impl FnOnce(&mut Walk<'_>) -> Result<Vec<Listed>>,
    ) -> Result<Vec<Listed>> {
        let old = self.lock().listing.clone();
        if let Some(old) = old.filter(|old| old.is_current(fs, root)) {
            return Ok(old.listed.clone());
        }
        let mut on_way = Walk { dirs: self, fs, seen: Vec::new(), is_unsure: false };
        let listed = walk(&mut on_way)?;
        let Walk { seen, is_unsure, .. } = on_way;
        let is_kept = !is_unsure && !seen.is_empty() && seen.len() <= KNOWN_DIRS_MAX;
        self.lock().listing = is_kept.then(|| Arc::new(Listing { dirs: seen, listed: listed.clone() }));
        Ok(listed)
    }

    /// The directories in a directory, none where there is none; with what shows that nothing has changed, if
    /// something does.
    fn entries(&self, fs: &Fs, dir: &Path) -> io::Result<(Arc<Entries>, Option<Seen>)> {
        let Some(stamp) = fs.stamp(dir)? else { return Ok(Default::default()) };
        if let Some((dir, (_, all))) =
            self.lock().dirs.get_key_value(dir).filter(|(_, (old, _))| *old == stamp)
        {
            return Ok((all.clone(), Some((dir.clone(), stamp))));
        }
        let mut found = Entries::default();
        let read = fs.read_dir(dir, |name, kind| {
            let may_be_dir = matches!(kind, FileType::Directory | FileType::Symlink | FileType::Unknown);
            if may_be_dir && !name.starts_with(b"..") {
                found.0.push((name.to_vec(), kind == FileType::Directory));
            }
        });
        match read {
            Err(error) if crate::fs::is_missing(&error) => return Ok(Default::default()),
            read => read?,
        }
        let found = Arc::new(found);
        if !is_settled(&stamp) {
            return Ok((found, None));
        }
        let dir: Arc<Path> = Arc::from(dir);
        let mut all = self.lock();
        if all.dirs.len() >= KNOWN_DIRS_MAX {
            all.dirs.clear();
        }
        all.dirs.insert(dir.clone(), (stamp, found.clone()));
        Ok((found, Some((dir, stamp))))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listing {
    fn is_current(&self, fs: &Fs, root: &Path) -> bool {
        let near = Near::open(root).ok();
        let is_same =
            |(dir, old): &Seen| fs.stamp_near(near.as_ref(), dir).is_ok_and(|now| now.as_ref() == Some(old));
        self.dirs.iter().all(is_same)
    }
}

impl Walk<'_> {
    /// The directories in a directory; none where there is none.
    ///
    /// # Errors
    /// Those of `opendir`.
    pub(crate) fn entries(&mut self, dir: &Path) -> Result<Arc<Entries>> {
        let (entries, seen) =
            self.dirs.entries(self.fs, dir).map_err(|error| Error::io("opendir", dir, error))?;
        self.is_unsure |= seen.is_none() || entries.iter().any(|(_, sure)| !sure);
        self.seen.extend(seen);
        Ok(entries)
    }

    /// Says that the walk depends on the names in a directory.
    pub(crate) fn depends_on(&mut self, dir: &Path) {
        match self.fs.stamp(dir) {
            Ok(Some(stamp)) if is_settled(&stamp) => self.seen.push((Arc::from(dir), stamp)),
            _ => self.is_unsure = true,
        }
    }

    /// Says that the walk depends on more.
    pub(crate) fn depends_on_more(&mut self) {
        self.is_unsure = true;
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
            let (entries, _) = dirs.entries(&fs, place.path()).unwrap();
            let mut names: Vec<String> =
                entries.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
            names.sort();
            names.join(" ")
        };
        std::fs::create_dir(place.path().join("a")).unwrap();
        std::fs::write(place.path().join("file"), "").unwrap();
        // Too new to be remembered.
        assert_eq!(names(), "a");
        assert!(dirs.lock().dirs.is_empty());
        make_old(place.path());
        assert_eq!(names(), "a");
        assert_eq!(dirs.lock().dirs.len(), 1);
        std::fs::create_dir(place.path().join("b")).unwrap();
        assert_eq!(names(), "a b");
        // With the time of before nobody looks.
        make_old(place.path());
        assert_eq!(names(), "a b");
        std::fs::remove_dir_all(place.path().join("a")).unwrap();
        assert_eq!(names(), "b");
        assert!(dirs.entries(&fs, &place.path().join("a")).unwrap().0.iter().next().is_none());
    }

    #[test]
    fn a_listing_is_made_anew_when_a_directory_changes() {
        let place = tempfile::tempdir().unwrap();
        let (dirs, fs) = (Dirs::default(), Fs::default());
        let (top, below) = (place.path().join("a"), place.path().join("a/b"));
        std::fs::create_dir_all(&below).unwrap();
        let mut walks = 0;
        let mut walk = |is_unsure: bool| {
            let listed = dirs.listing(&fs, place.path(), |walk| {
                walks += 1;
                walk.entries(&top).unwrap();
                walk.entries(&below).unwrap();
                if is_unsure {
                    walk.depends_on_more();
                }
                Ok(Vec::new())
            });
            assert!(listed.unwrap().is_empty());
            walks
        };
        // Too new, then unsure, then known.
        assert_eq!(walk(false), 1);
        [&top, &below].into_iter().for_each(|dir| make_old(dir));
        assert_eq!((walk(true), walk(true)), (2, 3));
        assert_eq!((walk(false), walk(false), walk(true)), (4, 4, 4));
        std::fs::create_dir(below.join("c")).unwrap();
        assert_eq!((walk(false), walk(false)), (5, 6));
        make_old(&below);
        assert_eq!((walk(false), walk(false)), (7, 7));
        std::fs::remove_dir_all(&top).unwrap();
        assert_eq!((walk(false), walk(false)), (8, 9));
    }

    fn make_old(dir: &Path) {
        let time = SystemTime::now() - Duration::from_secs(100);
        std::fs::File::open(dir).unwrap().set_modified(time).unwrap();
    }
}
