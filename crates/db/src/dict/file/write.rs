//! Changes of a file: under the lock that the URI names, all of it is written anew and takes the old
//! one's place.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use index::dotlock::{Dotlock, DotlockSettings};
use index::fs::Permissions;
use sys::lock::LockKind;

use super::{FileDict, Lock};
use crate::dict::{Change, Committed, DictError};
use crate::limits::{DICT_FILE_BYTES_MAX, DICT_LOCK_PAUSE, DICT_LOCK_STALE, DICT_LOCK_TIMEOUT};

impl FileDict {
    pub(super) fn change(&mut self, changes: &[Change]) -> Result<Committed, DictError> {
        match self.options.lock {
            Lock::Dotlock => self.change_under_dotlock(changes),
            Lock::Fcntl | Lock::Flock => self.change_under_lock(changes),
        }
    }

    fn change_under_dotlock(&mut self, changes: &[Change]) -> Result<Committed, DictError> {
        let path = PathBuf::from(&self.options.path);
        let failed = |error: index::Error| DictError::Failed(format!("dict-file: {}", base::chain(&error)));
        let dotlock = self.in_directory(&path, |dict| dict.dotlock(&path)).map_err(failed)?;
        let (text, committed) = self.changed(changes)?;
        let written = dotlock.write(text.as_bytes());
        written.map_err(|error| super::failed("write", &format!("{}.lock", path.display()), &error))?;
        let replaced = dotlock.replace(&path, true);
        replaced.map_err(failed)?;
        Ok(committed)
    }

    fn dotlock(&self, path: &Path) -> Result<Dotlock, index::Error> {
        let settings = DotlockSettings {
            timeout: DICT_LOCK_TIMEOUT,
            stale: DICT_LOCK_STALE,
            use_excl: false,
            hostname: sys::accounts::host_name(),
        };
        Dotlock::open(&self.fs, path, &permissions(path), &settings, &self.log)
    }

    /// Tries again when the file's directory is there.
    fn in_directory<T>(
        &self,
        path: &Path,
        act: impl Fn(&Self) -> Result<T, index::Error>,
    ) -> Result<T, index::Error> {
        match act(self) {
            Err(index::Error::Io { ref source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let dir = path.parent().unwrap_or(Path::new("."));
                let made = self.fs.mkdir_all(dir, &directory_permissions(dir));
                made.map_err(|error| index::Error::io("mkdir_parents", dir, error))?;
                act(self)
            }
            done => done,
        }
    }

    fn change_under_lock(&mut self, changes: &[Change]) -> Result<Committed, DictError> {
        let path = PathBuf::from(&self.options.path);
        let failed = |error: index::Error| DictError::Failed(base::chain(&error).to_string());
        // Closed, and so unlocked, when the new file has taken its place.
        let _locked = self.in_directory(&path, |dict| dict.locked(&path)).map_err(failed)?;
        let (text, committed) = self.changed(changes)?;
        let new = PathBuf::from(format!("{}.tmp", path.display()));
        let written = self.fs.create(&new, &permissions(&path)).and_then(|file| {
            self.fs.write(&file, &new, text.as_bytes())?;
            self.fs.sync(&file, &new)
        });
        written.map_err(|error| super::failed("dict-file: creat", &new.display().to_string(), &error))?;
        let renamed = self.fs.rename(&new, &path);
        renamed.map_err(|error| super::failed("rename", &self.options.path, &error))?;
        Ok(committed)
    }

    /// The file under its lock, which is the one that has the name.
    fn locked(&self, path: &Path) -> Result<File, index::Error> {
        let failed = |error| index::Error::io("file_wait_lock", path, error);
        let deadline = Instant::now() + DICT_LOCK_TIMEOUT;
        loop {
            let file = match self.fs.open_write(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match self.fs.create_new(path, &permissions(path)) {
                        // Somebody else was faster.
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                        made => made.map_err(|error| index::Error::io("creat", path, error))?,
                    }
                }
                opened => opened.map_err(|error| index::Error::io("open", path, error))?,
            };
            while !self.try_lock(&file).map_err(failed)? {
                if Instant::now() >= deadline {
                    return Err(failed(io::ErrorKind::TimedOut.into()));
                }
                thread::sleep(DICT_LOCK_PAUSE);
            }
            let (named, own) =
                (self.fs.stamp(path).map_err(failed)?, self.fs.stamp_of(&file).map_err(failed)?);
            if named.is_some_and(|named| (named.dev, named.ino) == (own.dev, own.ino)) {
                return Ok(file);
            }
        }
    }

    fn try_lock(&self, file: &File) -> io::Result<bool> {
        if self.options.lock == Lock::Fcntl {
            return sys::lock::try_lock(file, LockKind::Exclusive);
        }
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The text of the file with its changes.
    fn changed(&mut self, changes: &[Change]) -> Result<(String, Committed), DictError> {
        // What has the same time and size may still be another one.
        self.version = None;
        let mut entries = self.entries()?.clone();
        let committed = apply(&mut entries, changes)?;
        let lines = entries
            .iter()
            .map(|(key, value)| format!("{}\n{}\n", base::tab::escape(key), base::tab::escape(value)));
        let text: String = lines.collect();
        self.version = None;
        match u64::try_from(text.len()).is_ok_and(|size| size <= DICT_FILE_BYTES_MAX) {
            true => Ok((text, committed)),
            false => Err(super::failed("write", &self.options.path, &io::ErrorKind::FileTooLarge.into())),
        }
    }
}

fn apply(entries: &mut BTreeMap<String, String>, changes: &[Change]) -> Result<Committed, DictError> {
    let mut committed = Committed::Done;
    for change in changes {
        match change {
            Change::Set { key, value } => {
                entries.insert(key.clone(), value.clone());
            }
            Change::Unset { key } => {
                entries.remove(key);
            }
            Change::Increase { key, diff } => match entries.get_mut(key) {
                None => committed = Committed::NotFound,
                Some(value) => {
                    let sum = value.parse::<i64>().ok().and_then(|number| number.checked_add(*diff));
                    let sum =
                        sum.ok_or_else(|| DictError::Failed(format!("{key} can't be increased: {value}")))?;
                    *value = sum.to_string();
                }
            },
        }
    }
    Ok(committed)
}

/// Those of the file that is replaced, or what its directory lets its files have.
fn permissions(path: &Path) -> Permissions {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (meta, mask) = match std::fs::metadata(path) {
        Ok(meta) => (Some(meta), 0o777),
        Err(_) => (std::fs::metadata(dir).ok(), 0o666),
    };
    let Some(meta) = meta else { return Permissions::default() };
    // With equal rights for group and others the group makes no difference.
    let group_matters = (meta.mode() >> 3) & 7 != meta.mode() & 7;
    let gid = group_matters.then_some(meta.gid());
    Permissions { file_mode: meta.mode() & mask, gid, ..Permissions::default() }
}

/// Private, unless the directory above says by its setgid bit that it is to be like it.
fn directory_permissions(dir: &Path) -> Permissions {
    let above = dir.ancestors().find_map(|dir| std::fs::metadata(dir).ok());
    match above {
        Some(meta) if meta.mode() & 0o2000 != 0 => {
            Permissions { dir_mode: meta.mode() & 0o2777, ..Permissions::default() }
        }
        _ => Permissions::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use base::Logger;

    use super::super::Options;
    use super::*;
    use crate::dict::{Backend, Transaction};

    fn set(key: &str, value: &str) -> Change {
        Change::Set { key: key.into(), value: value.into() }
    }

    fn increase(key: &str, diff: i64) -> Change {
        Change::Increase { key: key.into(), diff }
    }

    fn commit(dict: &mut FileDict, changes: &[Change]) -> Result<Committed, String> {
        let transaction = Transaction { changes: changes.to_vec(), ..Transaction::default() };
        dict.commit(&transaction).map_err(|error| error.to_string())
    }

    #[test]
    fn changes_are_made_under_each_lock() {
        for lock in ["", ":lock=fcntl", ":lock=flock"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("sub/dict");
            let open = || {
                let options = Options::parse(&format!("{}{lock}", path.display())).unwrap();
                FileDict::new(options, Logger::new(""))
            };
            let (mut dict, mut other) = (open(), open());
            let unset = Change::Unset { key: "shared/none".into() };
            assert_eq!(
                commit(&mut dict, &[set("shared/a\tb", "1\n2"), set("shared/n", "5"), unset]),
                Ok(Committed::Done),
                "{lock}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "shared/a\u{1}tb\n1\u{1}n2\nshared/n\n5\n");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert_eq!(commit(&mut other, &[increase("shared/n", -7)]), Ok(Committed::Done));
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "it keeps its mode");
            assert_eq!(dict.lookup("", "shared/n"), Ok(Some(vec!["-2".into()])));
            // What can be done is done, as in 2.3.
            assert_eq!(
                commit(&mut dict, &[increase("shared/x", 1), increase("shared/n", 2)]),
                Ok(Committed::NotFound)
            );
            assert_eq!(other.lookup("", "shared/n"), Ok(Some(vec!["0".into()])));
            assert_eq!(
                commit(&mut dict, &[set("shared/n", "1"), increase("shared/a\tb", 1)]),
                Err("shared/a\tb can't be increased: 1\n2".into())
            );
            assert_eq!(dict.lookup("", "shared/n"), Ok(Some(vec!["0".into()])), "nothing of it is done");
            let files = std::fs::read_dir(dir.path().join("sub")).unwrap().count();
            assert_eq!(files, 1, "no lock is left behind");
        }
    }

    #[test]
    fn nobody_loses_a_change() {
        let dir = tempfile::tempdir().unwrap();
        for lock in ["", ":lock=fcntl", ":lock=flock"] {
            let path = dir.path().join(format!("dict{}", lock.len()));
            std::fs::write(&path, "shared/n\n0\n").unwrap();
            let uri = format!("{}{lock}", path.display());
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let mut dict = FileDict::new(Options::parse(&uri).unwrap(), Logger::new(""));
                        for _ in 0..25 {
                            commit(&mut dict, &[increase("shared/n", 1)]).unwrap();
                        }
                    });
                }
            });
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "shared/n\n100\n", "{lock}");
        }
    }
}
