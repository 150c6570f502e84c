//! Replaces a file by a changed one.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base::Logger;
use index::dotlock::{Dotlock, DotlockSettings};
use index::fs::{Fs, Permissions};
use zeroize::Zeroizing;

use crate::limits::{LOCK_STALE, LOCK_TIMEOUT};

/// Why a file was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// The system refused a call, or somebody else kept the lock.
    #[error(transparent)]
    File(#[from] index::Error),
    /// There is more than anybody would write.
    #[error("{path} is larger than {bytes_max} bytes", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// What is in the file does not allow the change.
    #[error("{path}: {why}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
}

impl RewriteError {
    fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        index::Error::io(op, path, source).into()
    }
}

/// The file's bytes; `None` if it is not there.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Option<Zeroizing<Vec<u8>>>, RewriteError> {
    let failed = |error| RewriteError::io("open", path, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| RewriteError::io("read", path, error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(RewriteError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(Some(bytes))
}

/// Replaces the file with what `change` makes of it, which is given nothing if there is no file and
/// may say that nothing is to change. Gives whether anything did. The new file has owner and mode of
/// the old one, or else the owner of its directory and mode 0600.
pub(crate) fn rewrite(
    fs: &Fs,
    path: &Path,
    bytes_max: u64,
    log: &Logger,
    change: impl FnOnce(Option<&[u8]>) -> Result<Option<Zeroizing<Vec<u8>>>, String>,
) -> Result<bool, RewriteError> {
    // A link stays one: what it leads to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let settings = DotlockSettings {
        timeout: LOCK_TIMEOUT,
        stale: LOCK_STALE,
        use_excl: true,
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    let owner = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => directory(fs, path)?,
        Err(error) => return Err(RewriteError::io("stat", path, error)),
    };
    let file_mode = if owner.is_file() { owner.mode() & 0o777 } else { 0o600 };
    // Nobody but us reads the new file before it is whole and has its owner.
    let private = Permissions { file_mode: 0o600, ..Permissions::default() };
    let lock = Dotlock::open(fs, path, &private, &settings, log)?;
    let old = read(path, bytes_max)?;
    let changed = change(old.as_deref().map(Vec::as_slice))
        .map_err(|why| RewriteError::Refused { path: path.to_owned(), why })?;
    let Some(new) = changed else { return Ok(false) };
    lock.write(&new).map_err(|error| RewriteError::io("write", path, error))?;
    let file = lock.file().ok_or_else(|| RewriteError::io("open", path, io::ErrorKind::NotFound.into()))?;
    adopt(file, path, &owner, file_mode)?;
    lock.replace(path, true)?;
    if let Some(parent) = path.parent() {
        fs.sync_dir(parent).map_err(|error| RewriteError::io("fsync", parent, error))?;
    }
    Ok(true)
}

fn adopt(file: &File, path: &Path, owner: &Metadata, mode: u32) -> Result<(), RewriteError> {
    use rustix::fs::{Gid, Mode, Uid};
    let now = file.metadata().map_err(|error| RewriteError::io("fstat", path, error))?;
    if (now.uid(), now.gid()) != (owner.uid(), owner.gid()) {
        let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        let changed = rustix::fs::fchown(file, Some(uid), Some(gid));
        changed.map_err(|error| RewriteError::io("fchown", path, error.into()))?;
    }
    let changed = rustix::fs::fchmod(file, Mode::from_raw_mode(mode));
    changed.map_err(|error| RewriteError::io("fchmod", path, error.into()))
}

/// Makes the file's directory where it is missing, for the same owner as the one above it.
fn directory(fs: &Fs, path: &Path) -> Result<Metadata, RewriteError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    match fs::metadata(parent) {
        Ok(found) => return Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(RewriteError::io("stat", parent, error)),
    }
    let above = directory(fs, parent)?;
    fs.mkdir(parent, &Permissions::default()).map_err(|error| RewriteError::io("mkdir", parent, error))?;
    let made = File::open(parent).map_err(|error| RewriteError::io("open", parent, error))?;
    adopt(&made, parent, &above, 0o700)?;
    fs::metadata(parent).map_err(|error| RewriteError::io("stat", parent, error))
}
