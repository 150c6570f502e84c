//! A log file that is open: how far it has been read, and what that says of modification sequences and
//! of the tail.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::header::{
    LOG_HEADER_SIZE, LOG_HEADER_SIZE_MIN, LOG_INDEX_ID, LOG_MAJOR_VERSION, LogHeader, VERSION_COMPAT_FLAGS,
};
use super::record::{Kind, Next, RawRecord};
use crate::error::{Error, Result};
use crate::fs::{Fs, Stamp, is_missing};
use crate::header::{COMPAT_LITTLE_ENDIAN, LOG_TAIL_OFFSET, number};
use crate::limits::LOG_SIZE_MAX;

/// A log that is open.
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    place: Where,
    pub(crate) header: LogHeader,
    /// Up to here it has been read; all before is complete.
    pub(crate) sync_offset: u64,
    /// The highest modification sequence there.
    pub(crate) modseq: u64,
    /// What the last record about the tail said.
    tail_told: u64,
    /// Where the tail is: beyond that where only what happened already follows.
    pub(crate) tail: u64,
    /// Between tail and end is something that was asked for.
    pub(crate) has_requests: bool,
    /// The index was marked as deleted, or that was taken back.
    pub(crate) deleted: Option<bool>,
    /// It holds something that is no log; nothing more is read from it.
    pub(crate) corrupted: bool,
    /// Its size when it was last read.
    size_seen: u64,
}

enum Where {
    File {
        file: File,
        id: (u64, u64),
        writable: bool,
    },
    /// The records from `start` on.
    Memory {
        start: u64,
        bytes: Vec<u8>,
    },
}

/// What came of opening a log.
pub(crate) enum Opened {
    /// It is a log.
    Log(Box<LogFile>),
    /// There is none.
    Missing,
    /// There is something else; what is to be logged, unless it is just of another version.
    Corrupt(Option<String>),
}

/// Why reading stopped before the end.
pub(crate) enum Stop {
    /// The end was reached.
    End,
    /// What follows is not complete.
    Incomplete,
    /// What follows is no record; why, in 2.3's words.
    Corrupt(String),
}

impl LogFile {
    /// Opens the log at `path`, for writing if the permissions allow it.
    pub(crate) fn open(fs: &Fs, path: &Path) -> Result<Opened> {
        let (file, writable) = match fs.open_write(path) {
            Ok(file) => (file, true),
            Err(error) if is_missing(&error) => return Ok(Opened::Missing),
            Err(error) if is_readonly(&error) => {
                (fs.open(path).map_err(|error| Error::io("open", path, error))?, false)
            }
            Err(error) => return Err(Error::io("open", path, error)),
        };
        Self::from_file(fs, path, file, writable)
    }

    /// Makes a log of a file that was opened for writing, or not.
    pub(crate) fn from_file(fs: &Fs, path: &Path, file: File, writable: bool) -> Result<Opened> {
        let stamp = fs.stamp_of(&file).map_err(|error| Error::io("fstat", path, error))?;
        let mut bytes = [0; LOG_HEADER_SIZE];
        let read = fs.read_at(&file, &mut bytes, 0).map_err(|error| Error::io("pread", path, error))?;
        let bytes = bytes.get(..read).unwrap_or_default();
        let header = LogHeader::parse(bytes);
        if stamp.size > LOG_SIZE_MAX {
            let (path, size) = (path.display(), stamp.size);
            return Ok(Opened::Corrupt(Some(format!(
                "Corrupted transaction log file {path}: too large ({size})"
            ))));
        }
        if bytes.first().is_some_and(|&major| major != LOG_MAJOR_VERSION) {
            return Ok(Opened::Corrupt(None));
        }
        if let Err(reason) = check_header(&header, read) {
            let log = format!(
                "Corrupted transaction log file {} seq {}: {reason}",
                path.display(),
                header.file_seq
            );
            let line = match header.index_id {
                0 if read >= LOG_HEADER_SIZE_MIN => {
                    format!("Transaction log file {}: {reason}", path.display())
                }
                _ => log + " (sync_offset=0)",
            };
            return Ok(Opened::Corrupt(Some(line)));
        }
        let id = (stamp.dev, stamp.ino);
        Ok(Opened::Log(Box::new(Self::new(path, Where::File { file, id, writable }, header))))
    }

    /// A log that is in memory only.
    pub(crate) fn in_memory(path: &Path, header: LogHeader) -> Self {
        let start = u64::from(header.hdr_size);
        Self::new(path, Where::Memory { start, bytes: Vec::new() }, header)
    }

    fn new(path: &Path, place: Where, header: LogHeader) -> Self {
        let start = u64::from(header.hdr_size);
        Self {
            path: path.to_owned(),
            place,
            sync_offset: start,
            modseq: header.initial_modseq,
            tail_told: start,
            tail: start,
            has_requests: false,
            deleted: None,
            corrupted: false,
            size_seen: 0,
            header,
        }
    }

    /// Begins reading elsewhere than at the first record.
    pub(crate) fn seek(&mut self, offset: u64, modseq: u64) {
        (self.sync_offset, self.modseq) = (offset, modseq);
    }

    /// Where the tail is, as the index file says.
    pub(crate) fn set_tail(&mut self, offset: u64) {
        (self.tail_told, self.tail) = (offset, offset);
        // What was asked for between the two has not been looked at.
        self.has_requests = offset < self.sync_offset;
    }

    pub(crate) fn file(&self) -> Option<&File> {
        match &self.place {
            Where::File { file, .. } => Some(file),
            Where::Memory { .. } => None,
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        match self.place {
            Where::File { writable, .. } => writable,
            Where::Memory { .. } => true,
        }
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.place, Where::Memory { .. })
    }

    /// Whether `stamp` is that of this file.
    pub(crate) fn is_same_file(&self, stamp: &Stamp) -> bool {
        matches!(self.place, Where::File { id, .. } if id == (stamp.dev, stamp.ino))
    }

    /// Whether the file may hold more than was read when it was `size` bytes.
    pub(crate) fn may_have_more(&self, size: u64) -> bool {
        !self.corrupted && (size != self.size_seen || size != self.sync_offset)
    }

    /// Reads from `from` to the end of the file.
    pub(crate) fn read(&mut self, fs: &Fs, from: u64) -> Result<Vec<u8>> {
        let (file, path) = match &self.place {
            Where::File { file, .. } => (file, &self.path),
            Where::Memory { start, bytes } => {
                let at = usize::try_from(from.saturating_sub(*start)).unwrap_or(usize::MAX);
                return Ok(bytes.get(at..).unwrap_or_default().to_vec());
            }
        };
        let stamp = fs.stamp_of(file).map_err(|error| Error::io("fstat", path, error))?;
        if stamp.size > LOG_SIZE_MAX {
            let what = "log is too large".to_owned();
            return Err(Error::Corrupt { path: path.clone(), offset: LOG_SIZE_MAX, what });
        }
        let mut bytes = vec![0; usize::try_from(stamp.size.saturating_sub(from)).unwrap_or(0)];
        let read = fs.read_at(file, &mut bytes, from).map_err(|error| Error::io("pread", path, error))?;
        bytes.truncate(read);
        self.size_seen = stamp.size.max(from + read as u64);
        Ok(bytes)
    }

    /// Whether somebody has marked it as damaged since it was opened.
    pub(crate) fn was_marked(&self, fs: &Fs) -> bool {
        let mut id = [0xff; 4];
        let read = self.file().map(|file| fs.read_at(file, &mut id, LOG_INDEX_ID as u64));
        matches!(read, Some(Ok(4))) && id == [0; 4]
    }

    /// The size when it was last read.
    pub(crate) fn size_seen(&self) -> u64 {
        self.size_seen
    }

    /// Cuts off what is not complete.
    pub(crate) fn truncate(&mut self, fs: &Fs) -> io::Result<()> {
        if let Where::File { file, .. } = &self.place {
            fs.truncate(file, &self.path, self.sync_offset)?;
        }
        self.size_seen = self.sync_offset;
        Ok(())
    }

    /// Writes records at the end. They count as read only after [`scan`](Self::scan).
    pub(crate) fn write(&mut self, fs: &Fs, records: &[u8]) -> io::Result<()> {
        match &mut self.place {
            Where::File { file, .. } => fs.write_at(file, &self.path, records, self.sync_offset)?,
            Where::Memory { bytes, .. } => bytes.extend_from_slice(records),
        }
        self.size_seen = self.sync_offset + records.len() as u64;
        Ok(())
    }

    /// Forces it to disk.
    pub(crate) fn sync(&self, fs: &Fs) -> io::Result<()> {
        self.file().map_or(Ok(()), |file| fs.sync(file, &self.path))
    }

    /// Goes on in memory, with what is behind the tail.
    pub(crate) fn move_to_memory(&mut self, fs: &Fs) {
        if self.is_in_memory() {
            return;
        }
        let mut bytes = self.read(fs, self.tail).unwrap_or_default();
        let wanted = usize::try_from(self.sync_offset.saturating_sub(self.tail)).unwrap_or(0);
        bytes.resize(wanted, 0);
        self.place = Where::Memory { start: self.tail, bytes };
        self.size_seen = self.sync_offset;
    }

    /// Forgets what nobody needs any more of a log in memory.
    pub(crate) fn forget(&mut self) {
        if let Where::Memory { start, bytes } = &mut self.place {
            let gone = usize::try_from(self.tail.saturating_sub(*start)).unwrap_or(0).min(bytes.len());
            bytes.drain(..gone);
            *start += gone as u64;
        }
    }

    /// Marks the file as damaged, so that nobody else goes on with it.
    pub(crate) fn mark_corrupted(&mut self, fs: &Fs) {
        self.corrupted = true;
        if let Where::File { file, writable: true, .. } = &self.place {
            // Whoever opens it will see the damage, with or without the mark.
            let _ = fs.write_at(file, &self.path, &[0; 4], LOG_INDEX_ID as u64);
        }
    }

    /// Goes through the records in `bytes`, which begin at [`sync_offset`](Self::sync_offset), and
    /// moves that. `visit` gets each with the highest modification sequence after it, and stops
    /// everything with an error.
    pub(crate) fn scan(
        &mut self,
        bytes: &[u8],
        mut visit: impl FnMut(&RawRecord<'_>, u64) -> std::result::Result<(), String>,
    ) -> Stop {
        let start = self.sync_offset;
        let end = start + bytes.len() as u64;
        loop {
            let record = match RawRecord::at(bytes, start, self.sync_offset) {
                Next::Record(record) => record,
                Next::End if self.sync_offset == end => return Stop::End,
                Next::End => return Stop::Incomplete,
                Next::Corrupt(reason) => return Stop::Corrupt(reason),
            };
            if record.what() == Some(Kind::Boundary) {
                match boundary(bytes, start, &record) {
                    Ok(true) => {}
                    Ok(false) => return Stop::Incomplete,
                    Err(reason) => return Stop::Corrupt(reason),
                }
            }
            let mut modseq = self.modseq;
            record.advance_modseq(&mut modseq, self.header.version());
            if let Err(reason) = self.track(&record).and_then(|()| visit(&record, modseq)) {
                return Stop::Corrupt(reason);
            }
            self.modseq = modseq;
            self.sync_offset = record.end();
        }
    }

    /// What a record says about the log itself.
    fn track(&mut self, record: &RawRecord<'_>) -> std::result::Result<(), String> {
        if !record.is_external() {
            self.has_requests |= is_request(record) && record.offset >= self.tail;
            return Ok(());
        }
        match record.what() {
            Some(Kind::HeaderUpdate) => {
                if let Some(tail) = tail_update(record) {
                    return self.told_tail(tail, record.end());
                }
            }
            Some(Kind::IndexDeleted) => self.deleted = Some(true),
            Some(Kind::IndexUndeleted) => self.deleted = Some(false),
            _ => {}
        }
        if self.tail == record.offset {
            self.tail = record.end();
        }
        Ok(())
    }

    fn told_tail(&mut self, tail: u64, end: u64) -> std::result::Result<(), String> {
        if tail > end {
            return Err(format!("log_file_tail_offset {tail} goes past sync offset {end}"));
        }
        if tail >= self.tail_told {
            self.tail_told = tail;
            self.tail = self.tail.max(tail);
            // The update comes last: what was asked for is before it, or it would be behind the tail.
            if self.tail >= self.sync_offset {
                self.has_requests = false;
            }
        }
        Ok(())
    }

    /// The tail as somebody knows it who has read nothing but the log: where a record says that it is, and
    /// behind what follows there and was not asked for; 0 if none says it.
    pub(crate) fn tail_told_within(&self, fs: &Fs) -> u32 {
        let Where::File { file, .. } = &self.place else { return 0 };
        let mut bytes = vec![0; usize::try_from(self.sync_offset).unwrap_or(0)];
        let read = fs.read_at(file, &mut bytes, 0).unwrap_or(0);
        bytes.truncate(read);
        let (mut tail, mut offset) = (0, u64::from(self.header.hdr_size));
        while let Next::Record(record) = RawRecord::at(&bytes, 0, offset) {
            offset = record.end();
            let told = tail_update(&record).filter(|_| record.what() == Some(Kind::HeaderUpdate));
            match told.filter(|_| record.is_external()) {
                Some(told) => tail = told.max(tail),
                None if record.is_external() && tail == record.offset => tail = offset,
                None => {}
            }
        }
        u32::try_from(tail).unwrap_or(u32::MAX)
    }

    /// Whether a record has to say that the tail is at `offset`.
    pub(crate) fn tail_needs(&self, offset: u64) -> bool {
        offset > self.tail_told
    }
}

/// Whether all the records are there that a boundary holds together.
fn boundary(bytes: &[u8], start: u64, record: &RawRecord<'_>) -> std::result::Result<bool, String> {
    let size = number(record.body, 0).unwrap_or(0);
    let end = record.offset + u64::from(size);
    if end > start + bytes.len() as u64 {
        return Ok(false);
    }
    let mut offset = record.end();
    while offset < end {
        match RawRecord::at(bytes, start, offset) {
            Next::Record(inner) => offset = inner.end(),
            Next::End | Next::Corrupt(_) => break,
        }
    }
    // Whoever wrote it wrote all of it: half of a transaction must not count.
    if offset == end { Ok(true) } else { Err(format!("Invalid boundary size {size}")) }
}

/// Whether it asks for something to be done in the mail store.
pub(crate) fn is_request(record: &RawRecord<'_>) -> bool {
    let kinds = [Kind::Expunge, Kind::ExpungeGuid, Kind::FlagUpdate, Kind::KeywordUpdate, Kind::KeywordReset];
    !record.is_external() && record.what().is_some_and(|kind| kinds.contains(&kind))
}

/// The tail that the first item of a header update sets.
fn tail_update(record: &RawRecord<'_>) -> Option<u64> {
    let (offset, bytes) = record.header_updates().next()??;
    let skip = LOG_TAIL_OFFSET.checked_sub(offset as usize)?;
    number(bytes, skip).map(u64::from)
}

fn check_header(header: &LogHeader, read: usize) -> std::result::Result<(), String> {
    if read < LOG_HEADER_SIZE_MIN {
        return Err("unexpected end of file while reading header".to_owned());
    }
    if header.version() >= VERSION_COMPAT_FLAGS && header.compat_flags != COMPAT_LITTLE_ENDIAN {
        return Err("CPU architecture changed".to_owned());
    }
    if usize::from(header.hdr_size) < LOG_HEADER_SIZE_MIN || !header.hdr_size.is_multiple_of(4) {
        return Err("Header size too small".to_owned());
    }
    if header.index_id == 0 {
        return Err("marked corrupted".to_owned());
    }
    // In an index this means that there is no log; ours would never find its way back to this one.
    if header.file_seq == 0 {
        return Err("file_seq is 0".to_owned());
    }
    Ok(())
}

/// Whether an error says that a file may be read only.
pub(crate) fn is_readonly(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}
