//! When the index file is written anew and the log begins anew, and how.

use std::io;

use super::{Index, Locked, OnDisk};
use crate::error::{Error, Result};
use crate::header::{HEADER_SIZE, Header};
use crate::log::file::LogFile;
use crate::log::header::{LOG_MAJOR_VERSION, LOG_MINOR_VERSION};
use crate::map::now;
use crate::settings::FsyncMode;

impl Locked<'_> {
    /// Writes the index file anew.
    pub fn rewrite(&mut self) -> Result<()> {
        self.index.write_index("requested")
    }

    /// Begins a new log and writes the index file anew. Only where nothing is pending, or it is lost.
    pub fn rotate(&mut self) -> Result<()> {
        self.index.rotate_log(false)?;
        self.index.write_index("log was rotated")
    }
}

impl Index {
    /// Why the log should begin anew.
    pub(super) fn wants_rotation(&self) -> Option<String> {
        let log = self.log.as_ref()?;
        if log.is_in_memory() {
            return None;
        }
        let (major, minor) = log.header.version();
        if (major, minor) < (LOG_MAJOR_VERSION, LOG_MINOR_VERSION) {
            return Some(format!(".log file format version {major}.{minor} is too old"));
        }
        let (size, settings) = (log.sync_offset, &self.settings);
        if size > settings.log_rotate_max_size {
            return Some(format!(".log file size {size} > max_size {}", settings.log_rotate_max_size));
        }
        let age = u64::from(now().saturating_sub(log.header.create_stamp));
        if size >= settings.log_rotate_min_size && age > settings.log_rotate_min_age.as_secs() {
            let (stamp, min) = (log.header.create_stamp, settings.log_rotate_min_age.as_secs());
            return Some(format!(".log create_stamp {stamp} is older than {min} secs"));
        }
        None
    }

    /// Whether readers have to go through more of the log than `mail_index_rewrite_max_log_bytes`, or the
    /// log should begin anew, although nothing is pending: whoever has the time locks and says
    /// [`synced`](Locked::synced).
    pub fn is_overdue(&self) -> bool {
        let is_usable = |log: &LogFile| log.is_writable() && !log.has_requests && !log.corrupted;
        if self.is_in_memory() || !self.log.as_deref().is_some_and(is_usable) {
            return false;
        }
        let header = &self.map.header;
        let unread = match self.on_disk.log_seq == header.log_file_seq {
            true => header.log_file_head_offset.saturating_sub(self.on_disk.tail),
            false => 0,
        };
        u64::from(unread) > self.settings.rewrite_max_log_bytes || self.wants_rotation().is_some()
    }

    /// Why the index file should be written anew.
    pub(super) fn wants_rewrite(&mut self) -> Option<String> {
        let header = &self.map.header;
        if self.is_in_memory() {
            return None;
        }
        if self.on_disk.log_seq != 0 && self.on_disk.log_seq != header.log_file_seq {
            return Some("points to old .log file".to_owned());
        }
        // What was not asked of anybody leaves the tail behind.
        let end = match self.has_pending() {
            true => header.log_file_tail_offset,
            false => header.log_file_head_offset,
        };
        let read = u64::from(end.saturating_sub(self.on_disk.tail));
        let (min, max) = (self.settings.rewrite_min_log_bytes, self.settings.rewrite_max_log_bytes);
        if read > max {
            return Some(format!(".log read {read} > rewrite_max_log_bytes {max}"));
        }
        if self.read_much && read > min {
            return Some(format!(".log read {read} > rewrite_min_log_bytes {min}"));
        }
        self.needs_rewrite.as_ref().map(|reason| format!("Need to recreate index: {reason}"))
    }

    /// Begins a new log under the lock of the old one, which becomes the older one.
    pub(super) fn rotate_log(&mut self, reset: bool) -> Result<()> {
        if self.is_in_memory() {
            let header = self.new_log_header(reset);
            let path = self.path.clone();
            let log = Box::new(crate::log::file::LogFile::in_memory(&path, header));
            self.use_new_log(log, reset);
            return Ok(());
        }
        match self.create_log(reset, true) {
            Ok(Some(log)) => {
                self.logger.debug(format_args!(
                    "Rotated transaction log {} (seq={}, reset={})",
                    log.path.display(),
                    log.header.file_seq,
                    if reset { "yes" } else { "no" }
                ));
                self.unlock_old();
                self.use_new_log(log, reset);
                self.map.header.log2_rotate_time = now();
                Ok(())
            }
            Ok(None) => Err(self.locking_is_broken()),
            Err(error) => self.cannot_write(error),
        }
    }

    /// Lets others go on who wait for the log that was replaced; the lock of the new one stays.
    pub(super) fn unlock_old(&mut self) {
        if self.settings.lock_method != crate::settings::LockMethod::Dotlock {
            self.log = None;
        }
    }

    /// Writes the index file anew, under the lock.
    pub(super) fn write_index(&mut self, reason: &str) -> Result<()> {
        if self.is_in_memory() {
            return Ok(());
        }
        let mut map = self.map.clone();
        // What is asked for stays in the log; nothing of it may be lost with the tail.
        if self.log.as_ref().is_none_or(|log| !log.has_requests) {
            map.header.log_file_tail_offset = map.header.log_file_head_offset;
        }
        match self.put_index(&map.encode()) {
            Ok(id) => {
                self.on_disk = OnDisk {
                    id,
                    log_seq: map.header.log_file_seq,
                    tail: map.header.log_file_tail_offset,
                    repaired: false,
                };
                self.needs_rewrite = None;
                self.read_much = false;
                let (path, seq) = (self.path.display(), map.header.log_file_seq);
                self.logger.debug(format_args!("Recreated {path} (file_seq={seq}) because: {reason}"));
                Ok(())
            }
            Err((op, error)) => {
                let path = self.beside(".tmp");
                let _ = self.fs.unlink(&path);
                self.cannot_write(Error::io(op, path, error))
            }
        }
    }

    fn put_index(&self, bytes: &[u8]) -> Result<Option<(u64, u64)>, (&'static str, io::Error)> {
        let tmp = self.beside(".tmp");
        let file = match self.fs.create_new(&tmp, &self.place.permissions) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left by somebody who died; nobody else writes under the lock.
                self.fs.unlink(&tmp).map_err(|error| ("unlink", error))?;
                self.fs.create_new(&tmp, &self.place.permissions)
            }
            created => created,
        };
        let file = file.map_err(|error| ("creat", error))?;
        self.fs.write(&file, &tmp, bytes).map_err(|error| ("write", error))?;
        if self.settings.fsync != FsyncMode::Never {
            self.fs.sync(&file, &tmp).map_err(|error| ("fdatasync", error))?;
        }
        if self.place.keep_backups {
            self.keep_backup();
        }
        self.fs.rename(&tmp, &self.path).map_err(|error| ("rename", error))?;
        Ok(self.fs.stamp_of(&file).ok().map(|stamp| (stamp.dev, stamp.ino)))
    }

    fn keep_backup(&self) {
        let (backup, tmp) = (self.beside(".backup"), self.beside(".backup.tmp"));
        let _ = self.fs.unlink(&tmp);
        let linked = self.fs.link(&self.path, &tmp);
        match linked.and_then(|()| self.fs.rename(&tmp, &backup)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let (path, backup) = (self.path.display(), backup.display());
                self.logger.error(format_args!("link({path}, {backup}) failed: {error}"));
            }
            _ => {}
        }
    }

    /// Learns from the index file what somebody else has written meanwhile.
    pub(super) fn look_at_disk(&mut self) {
        let id = self.fs.stamp(&self.path).ok().flatten().map(|stamp| (stamp.dev, stamp.ino));
        if id == self.on_disk.id {
            return;
        }
        let mut bytes = [0; HEADER_SIZE];
        let read = self.fs.open(&self.path).and_then(|file| self.fs.read_at(&file, &mut bytes, 0));
        let header = read.ok().map(|read| Header::parse(bytes.get(..read).unwrap_or_default()));
        self.on_disk = match header.filter(|header| header.index_id == self.map.header.index_id) {
            Some(header) => OnDisk {
                id,
                log_seq: header.log_file_seq,
                tail: header.log_file_tail_offset,
                repaired: false,
            },
            None => OnDisk { id, ..OnDisk::default() },
        };
    }
}
