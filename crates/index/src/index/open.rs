//! Reads index file and log from the beginning, and finds out how they fit together.

use super::rescue::Rescued;
use super::{Index, OnDisk};
use crate::error::{Error, Result};
use crate::fs::{Stamp, is_missing};
use crate::header::{FLAG_FSCKD, Header};
use crate::limits::{INDEX_SIZE_MAX, REOPEN_MAX};
use crate::log::file::{LogFile, Opened};
use crate::map::Map;
use crate::map::kept::Kept;
use crate::map::load::{Loaded, load};

/// From where a log is applied to an index.
enum Start {
    /// The log begins with an empty index.
    Empty,
    /// At this offset.
    At(u64),
    /// At this offset of the log before it, then all of it.
    Older(Box<LogFile>, u64),
    /// They do not fit; why.
    Lost(String),
}

impl Index {
    /// Reads everything anew.
    pub(super) fn reload(&mut self) -> Result<()> {
        self.deleted = false;
        for attempt in 1.. {
            let had_index = self.read_index_file()?;
            let Some(log) = self.open_log("")? else {
                if !had_index {
                    self.rescue_from_logs();
                    self.use_rescued();
                } else if !self.is_in_memory() {
                    // What the log had beyond the index file is lost.
                    self.map.header.flags |= FLAG_FSCKD;
                }
                self.log = None;
                self.changes += 1;
                return Ok(());
            };
            if self.attach(log, had_index, attempt < REOPEN_MAX)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the index file into the map and says whether there is a usable one.
    fn read_index_file(&mut self) -> Result<bool> {
        self.map = Map::new(0);
        self.on_disk = OnDisk::default();
        if self.is_in_memory() {
            return Ok(false);
        }
        let path = &self.path.clone();
        let file = match self.fs.open(path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let stamp = self.fs.stamp_of(&file).map_err(|error| Error::io("fstat", path, error))?;
        if stamp.size > INDEX_SIZE_MAX {
            self.logger.error(format_args!("Index file too large: {}", path.display()));
            return Ok(false);
        }
        if self.use_kept(&stamp) {
            return Ok(true);
        }
        let mut bytes = vec![0; usize::try_from(stamp.size).unwrap_or(0)];
        let read =
            self.fs.read_at(&file, &mut bytes, 0).map_err(|error| Error::io("pread_full", path, error))?;
        bytes.truncate(read);
        self.on_disk.id = Some((stamp.dev, stamp.ino));
        match load(&bytes, &mut self.names) {
            Loaded::Map(map, repair) => {
                self.on_disk.log_seq = map.header.log_file_seq;
                self.on_disk.tail = map.header.log_file_tail_offset;
                self.map = *map;
                self.on_disk.repaired = !repair.is_empty();
                if self.on_disk.repaired {
                    for complaint in &repair.complaints {
                        self.logger
                            .error(format_args!("Corrupted index file {}: {complaint}", path.display()));
                    }
                    self.tell_fsck(&repair.fixes);
                }
                let own = Header::parse(&bytes).uid_validity;
                // Where something was damaged UIDVALIDITY may be, too.
                let backup = match self.on_disk.repaired || own == 0 {
                    true => self.rescue_from_backup(),
                    false => Rescued::default(),
                };
                if own == 0 || backup.contradicts(own) {
                    self.rescued = backup;
                    self.rescue_from_logs();
                    if self.on_disk.repaired && self.rescued != Rescued::default() {
                        // The present time stands there only for want of something better.
                        self.map.header.uid_validity = 0;
                        self.use_rescued();
                    }
                } else if !self.on_disk.repaired {
                    Kept::of_process().put(stamp, &self.map, &self.names);
                }
                Ok(true)
            }
            Loaded::Unusable(reason) => {
                if let Some(reason) = reason {
                    self.logger.error(format_args!("Corrupted index file {}: {reason}", path.display()));
                }
                self.needs_rewrite = Some("index was unusable".to_owned());
                self.rescued = Rescued::from_index(&bytes).or(self.rescue_from_backup());
                Ok(false)
            }
        }
    }

    /// Takes the map of a file that this process has loaded before. Extensions that were seen already may have
    /// other numbers than those of then.
    fn use_kept(&mut self, stamp: &Stamp) -> bool {
        let kept = if self.names.is_empty() { Kept::of_process().find(stamp) } else { None };
        let Some((map, names)) = kept else { return false };
        self.on_disk = OnDisk {
            id: Some((stamp.dev, stamp.ino)),
            log_seq: map.header.log_file_seq,
            tail: map.header.log_file_tail_offset,
            repaired: false,
        };
        (self.map, self.names) = (map, names);
        true
    }

    /// Logs what was mended, and has it written with the next synchronization.
    pub(super) fn tell_fsck(&mut self, fixes: &[String]) {
        let path = self.path.display();
        self.logger.warning(format_args!("fscking index file {path}"));
        for fix in fixes {
            self.logger.error(format_args!("Fixed index file {path}: {fix}"));
        }
        self.needs_rewrite.get_or_insert_with(|| "fscking".to_owned());
        // Drivers whose messages are known to the index only look at them all.
        self.map.header.flags |= FLAG_FSCKD;
    }

    /// Opens the log, or with `.2` the one before. `None` if there is no usable one.
    pub(super) fn open_log(&mut self, suffix: &str) -> Result<Option<Box<LogFile>>> {
        if self.is_in_memory() {
            return Ok(None);
        }
        let path = self.beside(&format!(".log{suffix}"));
        self.fs.renew_index_name(&path);
        match LogFile::open(&self.fs, &path)? {
            Opened::Log(log) => Ok(Some(log)),
            Opened::Missing => Ok(None),
            Opened::Corrupt(line) => {
                if let Some(line) = line {
                    self.logger.error(line);
                }
                if suffix.is_empty() {
                    // What it had beyond the index file, which is everything where there is none, is lost.
                    self.map.header.flags |= FLAG_FSCKD;
                }
                Ok(None)
            }
        }
    }

    /// Goes on with `log`, applying what the map does not have yet. `false` if both do not fit because
    /// somebody is replacing them at this moment: then all is to be read anew.
    pub(super) fn attach(&mut self, mut log: Box<LogFile>, had_index: bool, retry: bool) -> Result<bool> {
        if self.map.header.index_id == 0 {
            self.map.header.index_id = log.header.index_id;
        } else if self.map.header.index_id != log.header.index_id {
            self.reject_log(&mut log);
            self.log = Some(log);
            self.changes += 1;
            return Ok(true);
        }
        let first = u64::from(log.header.hdr_size);
        let begin = match self.start_of(&log, had_index)? {
            Start::Empty => {
                self.read_log(log, first, true, false)?;
                return Ok(true);
            }
            Start::At(offset) => offset,
            Start::Older(older, offset) => {
                if !had_index {
                    self.rescue_from_logs();
                    self.use_rescued();
                }
                let limit = u64::from(log.header.prev_file_offset);
                let begins_anew =
                    older.header.prev_file_seq == 0 && offset <= u64::from(older.header.hdr_size);
                self.read_older(older, offset, limit, begins_anew)?;
                first
            }
            Start::Lost(reason) => {
                if retry && self.was_replaced(&log) {
                    return Ok(false);
                }
                if !had_index {
                    self.rescue_from_logs();
                    self.use_rescued();
                }
                let end = self.fs.stamp_of_file(log.file()).map_or(first, |stamp| stamp.size);
                let begin = self.fsck_positions(&log, end, had_index, &reason);
                self.read_log(log, begin, false, true)?;
                return Ok(true);
            }
        };
        self.read_log(log, begin, false, false)?;
        Ok(true)
    }

    fn start_of(&mut self, log: &LogFile, had_index: bool) -> Result<Start> {
        let header = &self.map.header;
        let (seq, head) = (header.log_file_seq, u64::from(header.log_file_head_offset));
        let (own, first) = (log.header.file_seq, u64::from(log.header.hdr_size));
        let (prev, prev_end) = (log.header.prev_file_seq, u64::from(log.header.prev_file_offset));
        // A log with all that ever happened knows better than an index file that was damaged.
        let useless = !had_index || self.on_disk.repaired;
        if prev == 0 && (useless || seq < own || (seq == own && head <= first)) {
            return Ok(Start::Empty);
        }
        if had_index && seq == own && head >= first {
            let size = self.fs.stamp_of_file(log.file()).map_or(head, |stamp| stamp.size);
            return Ok(match head > size {
                false => Start::At(head),
                true => Start::Lost(format!(
                    "{}: start_offset ({head}) > current sync_offset ({size}), file size={size}",
                    log.path.display()
                )),
            });
        }
        if had_index && seq == prev && head == prev_end {
            return Ok(Start::At(first));
        }
        if seq < own
            && let Some(older) = self.open_log(".2")?
            && older.header.index_id == log.header.index_id
            && older.header.file_seq == prev
            && (older.header.file_seq == seq || !had_index)
        {
            let first = u64::from(older.header.hdr_size);
            return Ok(Start::Older(older, if had_index { head.max(first) } else { first }));
        }
        Ok(Start::Lost(match had_index {
            false => format!("Wanted log beginning, but found prev_file_seq={prev}"),
            true => format!("Missing middle file seq={seq} (between {seq}..{own}, we have seqs {own})"),
        }))
    }

    /// Whether somebody has put other files in place meanwhile.
    fn was_replaced(&self, log: &LogFile) -> bool {
        let log_now = self.fs.stamp(&log.path).ok().flatten();
        let index_now = self.fs.stamp(&self.path).ok().flatten();
        log_now.is_some_and(|stamp| !log.is_same_file(&stamp))
            || index_now.map(|stamp| (stamp.dev, stamp.ino)) != self.on_disk.id
    }

    /// The log belongs to another index.
    fn reject_log(&mut self, log: &mut LogFile) {
        let (own, other) = (self.map.header.index_id, log.header.index_id);
        self.logger
            .error(format_args!("Index file {}: indexid changed: {other} -> {own}", self.path.display()));
        self.tell_corrupted_log(log, &format!("indexid changed: {other} -> {own}"));
    }

    /// Logs that a log is damaged; it is replaced under the next lock.
    pub(super) fn tell_corrupted_log(&mut self, log: &mut LogFile, reason: &str) {
        self.logger.error(format_args!(
            "Corrupted transaction log file {} seq {}: {reason} (sync_offset={})",
            log.path.display(),
            log.header.file_seq,
            log.sync_offset
        ));
        log.corrupted = true;
        self.map.header.flags |= FLAG_FSCKD;
    }

    /// Moves the index's position in the log to where reading can begin, and gives that.
    fn fsck_positions(&mut self, log: &LogFile, end: u64, had_index: bool, reason: &str) -> u64 {
        let header = &mut self.map.header;
        let first = u64::from(log.header.hdr_size);
        let (old_seq, old_head) = (header.log_file_seq, header.log_file_head_offset);
        self.logger.error(format_args!(
            "Index {}: Index mapped (file_seq={old_seq}): Lost log for seq={old_seq} offset={old_head}: {reason} \
             (initial_mapped=0) - fscking (reopen_reason: index unchanged)",
            self.path.display(),
        ));
        let begin = match old_seq.cmp(&log.header.file_seq) {
            // What was in between is lost; what the log has may be news.
            _ if !had_index => first,
            std::cmp::Ordering::Less => first,
            std::cmp::Ordering::Equal => u64::from(old_head).clamp(first, end.max(first)),
            std::cmp::Ordering::Greater => end.max(first),
        };
        header.log_file_seq = log.header.file_seq;
        header.log_file_head_offset = begin as u32;
        header.log_file_tail_offset = header.log_file_tail_offset.min(begin as u32);
        let mut fixes = Vec::new();
        if old_seq != header.log_file_seq {
            header.log_file_tail_offset = begin as u32;
            fixes.push(format!("log_file_seq {old_seq} -> {}", header.log_file_seq));
        } else if old_head != header.log_file_head_offset {
            fixes.push(format!("log_file_head_offset {old_head} -> {}", header.log_file_head_offset));
        }
        self.tell_fsck(&fixes);
        begin
    }
}
