//! Files that remember what was read from them, so that the very same configuration can be read
//! again with nothing changed but the files that are values of settings.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use settings::Files;

/// How a file looked when it was read: changes of content change one of these.
type Look = (u64, u64, i64, i64);

/// What was read, and how it looked; `None` when it could not be read.
type Memory = BTreeMap<PathBuf, (Vec<u8>, Option<Look>)>;

/// Reads through `inner`, each file and pattern once.
#[derive(Debug)]
pub(crate) struct Remembered<F> {
    inner: F,
    read: RefCell<Memory>,
    globs: RefCell<BTreeMap<String, Vec<PathBuf>>>,
}

impl<F: Files + Clone> Remembered<F> {
    pub(crate) fn new(inner: F) -> Self {
        Self { inner, read: RefCell::default(), globs: RefCell::default() }
    }

    /// If a file that was read as a setting's value looks different now: the same files without
    /// the memory of those. What `main` includes it finds by patterns, all else are values.
    pub(crate) fn with_changed_values(&self, main: &Path) -> Option<Self> {
        let globs = self.globs.borrow();
        let included: BTreeSet<&Path> = globs.values().flatten().map(PathBuf::as_path).collect();
        let read = self.read.borrow();
        let changed: BTreeSet<&PathBuf> = read
            .iter()
            .filter(|(path, _)| *path != main && !included.contains(path.as_path()))
            .filter(|(path, (_, then))| look(path) != *then)
            .map(|(path, _)| path)
            .collect();
        if changed.is_empty() {
            return None;
        }
        let kept = read.iter().filter(|(path, _)| !changed.contains(path));
        let kept = kept.map(|(path, memory)| (path.clone(), memory.clone())).collect();
        Some(Self { inner: self.inner.clone(), read: RefCell::new(kept), globs: RefCell::new(globs.clone()) })
    }
}

impl<F: Files> Files for Remembered<F> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let Some((bytes, _)) = self.read.borrow().get(path) {
            return Ok(bytes.clone());
        }
        // Looked at first: should it change while it is read, the next look sees that.
        let look = look(path);
        let bytes = self.inner.read(path)?;
        self.read.borrow_mut().insert(path.to_owned(), (bytes.clone(), look));
        Ok(bytes)
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        if let Some(found) = self.globs.borrow().get(pattern) {
            return Ok(found.clone());
        }
        let found = self.inner.glob(pattern)?;
        self.globs.borrow_mut().insert(pattern.to_owned(), found.clone());
        Ok(found)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.inner.env(name)
    }

    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.inner.resolve(host)
    }

    fn user_exists(&self, name: &str) -> Option<bool> {
        self.inner.user_exists(name)
    }
}

fn look(path: &Path) -> Option<Look> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}
