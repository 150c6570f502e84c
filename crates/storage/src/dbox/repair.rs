//! Mending a damaged file where it lies: the mended one takes its place, and what it was stays beside
//! it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::Logger;

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions};

use super::file::DboxFile;
use super::mend::{Mend, mend};
use super::names::{self, BROKEN_SUFFIX};
use super::write::unix_secs;

/// What is needed to write beside a damaged file.
pub(crate) struct Repair<'a> {
    pub fs: &'a Fs,
    pub permissions: &'a Permissions,
    pub hostname: &'a str,
    pub logger: &'a Logger,
    /// Whether what is written is forced to disk.
    pub syncs: bool,
}

impl Repair<'_> {
    /// Mends the file at `path`. `false` if nothing could be saved: then it is gone.
    pub(crate) fn mend(&self, path: &Path) -> Result<bool> {
        let damaged = self.fs.open(path).map_err(|error| Error::io("open", path, error))?;
        let temporary = path.with_file_name(names::temporary(self.hostname));
        let made = self.write(&damaged, &temporary);
        let has_messages = match made {
            Ok(has_messages) => has_messages,
            Err(error) => {
                let _ = self.fs.unlink(&temporary);
                return Err(Error::io("write", temporary, error));
            }
        };
        self.keep_copy(path);
        let done = match has_messages {
            true => self.fs.rename(&temporary, path),
            false => self.fs.unlink(&temporary).and_then(|()| self.fs.unlink(path)),
        };
        done.map_err(|error| Error::io("rename", temporary, error))?;
        Ok(has_messages)
    }

    fn write(&self, damaged: &File, temporary: &Path) -> io::Result<bool> {
        let mut good = None;
        if let Ok(file) = DboxFile::open(damaged) {
            let sound =
                file.messages().map_while(|one| one.ok()).take_while(|(_, meta)| meta.guid().is_some());
            let end = sound.last().map_or(file.header().bytes, |(_, metadata)| metadata.end);
            good = Some((*file.header(), end));
        }
        let new = self.fs.create_new(temporary, self.permissions)?;
        let mut out = Out { repair: self, file: &new, path: temporary.to_owned(), buffer: Vec::new() };
        let now = u64::try_from(unix_secs(std::time::SystemTime::now())).unwrap_or(0);
        let mut new_guid = || names::new_guid().to_string();
        let count = mend(Mend { source: damaged, good, now, new_guid: &mut new_guid }, &mut out)?;
        out.flush()?;
        if self.syncs {
            self.fs.sync(&new, temporary)?;
        }
        Ok(count > 0 || good.is_some_and(|(header, end)| end > header.bytes))
    }

    /// Somebody may want to look at it.
    fn keep_copy(&self, path: &Path) {
        let mut name = path.as_os_str().to_owned();
        name.push(BROKEN_SUFFIX);
        let copy = PathBuf::from(name);
        match self.fs.link(path, &copy) {
            Ok(()) => {
                self.logger.warning(format_args!("dbox: Copy of the broken file saved to {}", copy.display()))
            }
            // An older copy shows the older damage.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => self.logger.error(format_args!(
                "link({}, {}) failed: {}",
                path.display(),
                copy.display(),
                base::reason(&error)
            )),
        }
    }
}

/// Writes in large pieces through the seam.
struct Out<'a> {
    repair: &'a Repair<'a>,
    file: &'a File,
    path: PathBuf,
    buffer: Vec<u8>,
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= crate::limits::READ_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.repair.fs.write(self.file, &self.path, &buffer)
    }
}
