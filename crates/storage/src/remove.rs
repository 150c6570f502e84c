//! Removing directories with what is in them, for drivers that delete mailboxes.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::error::{Error, Result};
use crate::fs::{Fs, is_missing, join};

/// Removes the files in a directory, as far as that is possible. Directories stay.
pub(crate) fn files(fs: &Fs, dir: &Path) {
    let mut files = Vec::new();
    let _ = fs.read_dir(dir, |name, kind| {
        if kind != FileType::Directory {
            files.push(join(dir, name));
        }
    });
    files.iter().for_each(|path| drop(fs.unlink(path)));
}

/// Removes a directory and all below it. What is not there, or goes meanwhile, is fine.
pub(crate) fn tree(fs: &Fs, dir: &Path) -> Result<()> {
    let mut below = Vec::new();
    let read = fs.read_dir(dir, |name, kind| below.push((join(dir, name), kind == FileType::Directory)));
    match read {
        Err(error) if is_missing(&error) => return Ok(()),
        result => result.map_err(|error| Error::io("opendir", dir, error))?,
    }
    for (path, is_dir) in below {
        if is_dir {
            tree(fs, &path)?;
        } else if let Err(error) = fs.unlink(&path)
            && !is_missing(&error)
        {
            return Err(Error::io("unlink", path, error));
        }
    }
    match fs.rmdir(dir) {
        Err(error) if !is_missing(&error) => Err(Error::io("rmdir", dir, error)),
        _ => Ok(()),
    }
}

/// Removes a directory and those above it, as far as they are empty and below `root`. What cannot be
/// removed stays: nothing depends on it.
pub(crate) fn until_root(fs: &Fs, dir: &Path, root: &Path) {
    for dir in dir.ancestors().take_while(|dir| *dir != root && dir.starts_with(root)) {
        match fs.rmdir(dir) {
            Ok(()) => {}
            Err(error) if is_missing(&error) => {}
            Err(_) => return,
        }
    }
}

/// Removes the directories that stand for a mailbox's name, each with its root, as far as they are empty;
/// with `above` also those above them.
pub(crate) fn nodes(fs: &Fs, nodes: impl IntoIterator<Item = (PathBuf, PathBuf)>, above: bool) {
    for (node, root) in nodes {
        match above {
            true => until_root(fs, &node, &root),
            false => drop(fs.rmdir(&node)),
        }
    }
}

/// Removes a directory that stands for a name without mail. `may_be_missing` says that the name may have
/// another one instead.
pub(crate) fn node(fs: &Fs, node: &Path, may_be_missing: bool) -> Result<()> {
    match fs.rmdir(node) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Err(Error::Unsupported("Mailbox has children, delete them first".to_owned()))
        }
        Err(error) if is_missing(&error) && may_be_missing => Ok(()),
        result => result.map_err(|error| Error::io("rmdir", node, error)),
    }
}
