//! New logs: the first of an index, the next after rotation, and one in place of a damaged one.

use std::io;
use std::path::Path;

use super::Index;
use crate::dotlock::Dotlock;
use crate::error::{Error, Result};
use crate::header::COMPAT_LITTLE_ENDIAN;
use crate::limits::{FIRST_LOG_STALE, NEW_LOG_STALE};
use crate::log::file::{LogFile, Opened};
use crate::log::header::{LOG_HEADER_SIZE, LOG_MAJOR_VERSION, LOG_MINOR_VERSION, LogHeader};
use crate::map::Map;
use crate::map::now;
use crate::settings::{FsyncMode, LockMethod};

impl Index {
    /// The header of the next log. With `reset` the index is empty at its beginning.
    pub(super) fn new_log_header(&mut self, reset: bool) -> LogHeader {
        if self.map.header.index_id == 0 {
            self.map.header.index_id = now();
        }
        let header = &self.map.header;
        let old = self.log.as_ref();
        let old_seq = old.map_or(0, |log| log.header.file_seq);
        let old_modseq = old.map_or(0, |log| log.modseq);
        LogHeader {
            major_version: LOG_MAJOR_VERSION,
            minor_version: LOG_MINOR_VERSION,
            hdr_size: LOG_HEADER_SIZE as u16,
            index_id: header.index_id,
            file_seq: header.log_file_seq.max(old_seq).saturating_add(1),
            prev_file_seq: if reset { 0 } else { header.log_file_seq },
            prev_file_offset: if reset { 0 } else { header.log_file_head_offset },
            create_stamp: now(),
            initial_modseq: self.map.highest_modseq(old_modseq).max(old_modseq).max(1),
            compat_flags: COMPAT_LITTLE_ENDIAN,
        }
    }

    /// Makes the log that is missing, unless somebody else does at the same time.
    pub(super) fn make_log(&mut self) -> Result<()> {
        let reset = self.map.header.index_id == 0;
        match self.create_log(reset, false) {
            Ok(Some(log)) => {
                self.use_new_log(log, reset);
                Ok(())
            }
            Ok(None) => self.reload(),
            Err(error) => self.cannot_write(error),
        }
    }

    /// The log is locked and damaged: puts another in its place, which goes on where reading ended.
    pub(super) fn replace_log(&mut self) -> Result<()> {
        if let Some(log) = &mut self.log {
            log.mark_corrupted(&self.fs);
        }
        let created = self.create_log(false, true);
        match created {
            Ok(Some(log)) => {
                self.unlock_old();
                self.use_new_log(log, false);
                // What the damaged log had that was read is now nowhere else.
                self.write_index("log was damaged")
            }
            Ok(None) => Err(self.locking_is_broken()),
            Err(error) => self.cannot_write(error),
        }
    }

    pub(super) fn locking_is_broken(&self) -> Error {
        Error::Busy(format!(
            "Transaction log {} was recreated while we had it locked - locking is broken (lock_method={})",
            self.beside(".log").display(),
            self.settings.lock_method.name()
        ))
    }

    /// Goes on with a log that was just made.
    pub(super) fn use_new_log(&mut self, mut log: Box<LogFile>, reset: bool) {
        let start = log.sync_offset;
        if reset {
            let index_id = self.map.header.index_id;
            let keep = self.map.header.flags & crate::header::FLAG_FSCKD;
            self.map = Map::new(index_id);
            self.map.header.flags = keep;
            let edit = self.map.view.edit();
            self.map.publish(edit, log.modseq);
        }
        self.map.header.log_file_seq = log.header.file_seq;
        self.map.header.log_file_head_offset = start as u32;
        self.map.header.log_file_tail_offset = start as u32;
        log.set_tail(start);
        self.log = Some(log);
        self.changes += 1;
    }

    /// Where nothing can be written, everything goes on in memory.
    pub(super) fn cannot_write(&mut self, error: Error) -> Result<()> {
        match error {
            Error::Io { op, path, source } if is_no_room(&source) => self.move_to_memory(op, &path, source),
            other => Err(other),
        }
    }

    /// Makes a log and puts it in place; `None` if somebody else did so first. With `held`, the log that
    /// is in place is ours and locked, and so will be the new one.
    pub(super) fn create_log(&mut self, reset: bool, held: bool) -> Result<Option<Box<LogFile>>> {
        let path = self.beside(".log");
        let new_path = self.beside(".log.newlock");
        if let Some(dir) = self.place.dir.clone() {
            let made = self.fs.mkdir_all(&dir, &self.place.permissions);
            made.map_err(|error| Error::io("mkdir", dir, error))?;
        }
        let mut settings = self.dotlock_settings();
        // A file of this name that a killed process left says nothing of it, and would hold up everybody
        // for long. Making a log takes a moment, and nobody does it who does not hold the old one's lock.
        settings.stale = if held { NEW_LOG_STALE } else { FIRST_LOG_STALE };
        let permissions = self.place.permissions;
        let new = Dotlock::open_as(&self.fs, &new_path, &path, &permissions, &settings, &self.logger)?;
        if self.somebody_was_faster(&path, held)? {
            return Ok(None);
        }
        let header = self.new_log_header(reset);
        let write = |error| Error::io("write_full", &new_path, error);
        new.write(&header.encode()).map_err(write)?;
        let file = new
            .file()
            .ok_or(io::ErrorKind::NotFound)
            .and_then(|file| file.try_clone().map_err(|error| error.kind()));
        let file = file.map_err(|kind| write(kind.into()))?;
        let Opened::Log(log) = LogFile::from_file(&self.fs, &path, file, true)? else {
            return Err(write(io::ErrorKind::InvalidData.into()));
        };
        if held && self.settings.lock_method != LockMethod::Dotlock {
            // Nobody else can have it: it has no name yet. The lock belongs to the open file.
            let _ = self.lock_log(&log, self.settings.log_lock_timeout())?;
        }
        if held && self.log.as_ref().is_some_and(|log| !log.corrupted) {
            self.keep_as_older(&path);
        }
        // A log that takes the place of another has to be one after a crash: nobody would look into the
        // older one, where acknowledged changes are.
        let sync = match self.settings.fsync {
            FsyncMode::Always => true,
            FsyncMode::Optimized => held,
            FsyncMode::Never => false,
        };
        new.replace(&path, sync)?;
        Ok(Some(log))
    }

    /// Whether another process has put a log in place that can be used.
    fn somebody_was_faster(&mut self, path: &Path, held: bool) -> Result<bool> {
        let stamp = self.fs.stamp(path).map_err(|error| Error::io("stat", path, error))?;
        let Some(stamp) = stamp else { return Ok(false) };
        if self.log.as_ref().is_some_and(|log| log.is_same_file(&stamp)) {
            return Ok(!held);
        }
        Ok(matches!(LogFile::open(&self.fs, path)?, Opened::Log(_)))
    }

    /// Gives the log a second name. A rename would leave a moment without a log.
    fn keep_as_older(&self, path: &Path) {
        let older = self.beside(".log.2");
        let _ = self.fs.unlink(&older);
        match self.fs.link(path, &older) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
                let (path, older) = (path.display(), older.display());
                self.logger.error(format_args!("link({path}, {older}) failed: {error}"));
            }
            _ => {}
        }
    }
}

/// Whether an error says that there is no room, or no right, to write.
pub(super) fn is_no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}
