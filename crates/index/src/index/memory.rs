//! Indexes that are in memory only: because that was asked for, or because nothing can be written.

use std::io;
use std::path::{Path, PathBuf};

use super::Index;
use crate::error::{Error, Result};
use crate::log::file::LogFile;

/// What stands in log lines for the path of an index that is in memory.
pub(super) const NAME: &str = "(in-memory index)";

impl Index {
    /// Goes on in memory after writing failed, as 2.3 does, and logs why. Where that is not allowed,
    /// the error stays one.
    pub(super) fn move_to_memory(&mut self, op: &'static str, path: &Path, error: io::Error) -> Result<()> {
        if self.place.never_in_memory {
            return Err(Error::io(op, path, error));
        }
        // A full disk is told by whatever monitors disks, not by each mailbox.
        if error.kind() != io::ErrorKind::StorageFull {
            self.logger.error(format_args!("{op}({}) failed: {error}", path.display()));
        }
        self.release();
        match &mut self.log {
            Some(log) => log.move_to_memory(&self.fs),
            None => self.make_memory_log(),
        }
        self.place.dir = None;
        self.path = PathBuf::from(NAME);
        Ok(())
    }

    /// Begins a log in memory.
    pub(super) fn make_memory_log(&mut self) {
        let header = self.new_log_header(false);
        let mut log = Box::new(LogFile::in_memory(Path::new(NAME), header));
        let start = log.sync_offset;
        log.set_tail(start);
        self.map.header.log_file_seq = log.header.file_seq;
        self.map.header.log_file_head_offset = start as u32;
        self.map.header.log_file_tail_offset = start as u32;
        self.log = Some(log);
    }
}
