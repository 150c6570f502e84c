//! An mbox whose name ends in that of a compression format (`archive.gz`). As in 2.3 with the zlib plugin
//! it is read only. Its plain bytes are in a file without a name as long as it is open.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::{MemfdFlags, Mode, OFlags};

use crate::compress::{Format, copy_plain};
use crate::error::{Error, Result};
use crate::fs::{Fs, Stamp};
use crate::indexed::FileReader;
use crate::limits::MBOX_PLAIN_BYTES_MAX;

/// The plain bytes of a compressed mbox.
pub(super) struct Compressed {
    format: Format,
    /// What was decompressed last, and which file that was.
    plain: Mutex<Option<(Stamp, Arc<File>)>>,
}

impl Compressed {
    /// For the mailbox of that name, if it says that it is compressed.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Format::of_file_name(name).map(|format| Self { format, plain: Mutex::default() })
    }

    /// The plain bytes of `file`, which is at `path`.
    pub(super) fn plain(&self, fs: &Fs, path: &Path, file: &File) -> Result<Arc<File>> {
        let stamp = fs.stamp_of(file).map_err(|error| Error::io("fstat", path, error))?;
        let mut known = self.plain.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, plain)) = known.as_ref().filter(|(old, _)| *old == stamp) {
            return Ok(plain.clone());
        }
        let plain = self.decompress(fs, path, stamp.size);
        let plain = Arc::new(plain.map_err(|error| Error::io("read", path, error))?);
        *known = Some((stamp, plain.clone()));
        Ok(plain)
    }

    fn decompress(&self, fs: &Fs, path: &Path, size: u64) -> io::Result<File> {
        let mut plain = nameless()?;
        if size == 0 {
            return Ok(plain);
        }
        let raw = Box::new(FileReader::new(fs.open(path)?, size));
        copy_plain(raw, self.format, path, MBOX_PLAIN_BYTES_MAX, &mut plain)?;
        Ok(plain)
    }
}

/// A file that is gone when it is closed.
fn nameless() -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let on_disk = rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR);
    // Not all file systems know such files.
    let opened = on_disk.or_else(|_| rustix::fs::memfd_create("mbox", MemfdFlags::CLOEXEC))?;
    Ok(File::from(opened))
}
