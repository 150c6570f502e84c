//! Writing the file anew: without what expunged messages, dropped fields and linked records waste, or
//! for the first time.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use base::Uid;

use super::field::{FieldId, FieldType, Want};
use super::layout::{
    HEADER_BYTES, Header, MAJOR_VERSION, MINOR_VERSION, OFFSET_BYTES, RECORD_HEADER_BYTES, offset_to_packed,
    pad,
};
use super::limits::WRITE_BYTES;
use super::lock::Locking;
use super::pieces::read_at_most;
use super::{Cache, Found, IndexFacts, Trouble, field_list};
use crate::error::{Error, Result};
use crate::fs::{Fs, is_missing};
use crate::settings::FsyncMode;

/// Which file the purge is meant for: another process may have been faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeIf {
    /// Whatever file there is.
    Always,
    /// There is no file, and one is to be made.
    Missing,
    /// The file still has this `file_seq`.
    FileSeq(u32),
}

/// What came of a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purged {
    /// There is a new file. The caller, who has held the log's lock since before, resets the `cache`
    /// extension to this `reset_id`, writes the offsets of all messages that have one, and then gives
    /// the log's lock back.
    Written {
        /// The new file's `file_seq`.
        file_seq: u32,
        /// For each message that was given, in the same order, its offset in the new file, or 0.
        offsets: Vec<u32>,
    },
    /// Another process had just done it; its file is open now.
    ByAnother,
    /// Somebody else kept the file's lock for too long.
    Busy,
    /// Nothing is to be changed here.
    Readonly,
}

/// The new file while it is being written.
struct Output<'a> {
    fs: Fs,
    path: &'a Path,
    file: File,
    buffer: Vec<u8>,
    flushed: u64,
}

impl Output<'_> {
    /// Where the next byte goes.
    fn at(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        let done = self.fs.write_at(&self.file, self.path, &self.buffer, self.flushed);
        done.map_err(|error| Trouble::System("write", error))?;
        self.flushed = self.at();
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, header: &Header, fsync: FsyncMode) -> Result<(), Trouble> {
        self.flush()?;
        let done = self.fs.write_at(&self.file, self.path, &header.encode(), 0);
        done.map_err(|error| Trouble::System("write", error))?;
        if fsync == FsyncMode::Always {
            self.fs.sync(&self.file, self.path).map_err(|error| Trouble::System("fdatasync", error))?;
        }
        Ok(())
    }
}

/// What goes into the new file.
struct Plan<'a> {
    messages: &'a [(Uid, u32)],
    fields: &'a [FieldId],
    /// The number each field has in the new file, by its place in the registry.
    numbers: Vec<Option<u32>>,
    file_seq: u32,
}

impl Cache {
    /// Writes a new file with what the old one, if any, knows of these messages: their UIDs with the
    /// offsets of the `cache` extension, in the order of the mailbox. The caller holds the lock of the
    /// transaction log.
    pub fn purge(
        &mut self,
        messages: &[(Uid, u32)],
        condition: PurgeIf,
        reason: &str,
        index: &IndexFacts,
    ) -> Result<Purged> {
        if self.place.readonly {
            return Ok(Purged::Readonly);
        }
        let locking = self.lock(index)?;
        if locking == Locking::Busy {
            return Ok(Purged::Busy);
        }
        let holds = self.condition_holds(condition);
        if !matches!(holds, Ok(true)) {
            // Closing unlocks.
            self.close();
            holds?;
            self.due = None;
            self.open(index)?;
            return Ok(Purged::ByAnother);
        }
        // The offsets mean nothing in a file of another state.
        let messages_known = if locking == Locking::Locked { messages } else { &[] };
        let written = self.write_anew(messages_known, reason, index);
        // Closing unlocks. If writing failed, the decisions were made for a file that is not there.
        self.close();
        match written {
            Ok((file_seq, mut offsets)) => {
                offsets.resize(messages.len(), 0);
                self.open(&IndexFacts { reset_id: Some(file_seq), ..*index })?;
                Ok(Purged::Written { file_seq, offsets })
            }
            Err(Trouble::System(op, error)) => Err(Error::io(op, &self.place.path, error)),
            // Damage ends in a file with less in it; only a list of fields that broke just now is left.
            Err(Trouble::Broken(what)) => {
                Err(Error::Corrupt { path: self.place.path.clone(), offset: 0, what })
            }
        }
    }

    /// Whether the file that is there is the one that is to be replaced.
    fn condition_holds(&self, condition: PurgeIf) -> Result<bool> {
        let there = match self.fs.open(&self.place.path) {
            Ok(file) => {
                let mut bytes = [0; HEADER_BYTES];
                let read = read_at_most(&file, &mut bytes, 0);
                let read = read.map_err(|error| Error::io("read", &self.place.path, error))?;
                bytes.get(..read).and_then(Header::decode)
            }
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(Error::io("open", &self.place.path, error)),
        };
        Ok(match condition {
            PurgeIf::Always => true,
            PurgeIf::Missing => there.is_none(),
            PurgeIf::FileSeq(file_seq) => there.is_none_or(|header| header.file_seq == file_seq),
        })
    }

    fn write_anew(
        &mut self,
        messages: &[(Uid, u32)],
        reason: &str,
        index: &IndexFacts,
    ) -> Result<(u32, Vec<u32>), Trouble> {
        if self.open.is_some() {
            let read = self.read_field_list(index);
            self.or_without_file(read)?;
        }
        let (before, file_seq) = (self.file_seq().unwrap_or(0), self.next_file_seq(index));
        self.debug(format_args!("Purging (new file_seq={file_seq}): {reason}"));
        let fields = self.decide_for_purge(index);
        let mut numbers = vec![None; self.registry.iter().count()];
        for (number, id) in (0_u32..).zip(&fields) {
            numbers[id.index()] = Some(number);
        }
        let plan = Plan { messages, fields: &fields, numbers, file_seq };
        let path = temporary(&self.place.path);
        let written = self.write_temporary(&path, &plan, index).and_then(|offsets| {
            let renamed = self.fs.rename(&path, &self.place.path);
            renamed.map(|()| offsets).map_err(|error| Trouble::System("rename", error))
        });
        if written.is_err() {
            let _ = self.fs.unlink(&path);
        }
        let offsets = written?;
        self.debug(format_args!("Purging finished, file_seq changed {before} -> {file_seq}"));
        self.due = None;
        self.field_list_written(&fields);
        Ok((file_seq, offsets))
    }

    fn write_temporary(
        &mut self,
        path: &Path,
        plan: &Plan<'_>,
        index: &IndexFacts,
    ) -> Result<Vec<u32>, Trouble> {
        let file = self.create(path)?;
        let mut output = Output { fs: self.fs.clone(), path, file, buffer: Vec::new(), flushed: 0 };
        let mut header = Header {
            major_version: MAJOR_VERSION,
            offset_bytes: OFFSET_BYTES,
            minor_version: MINOR_VERSION,
            indexid: index.indexid,
            file_seq: plan.file_seq,
            ..Header::default()
        };
        output.push(&header.encode())?;
        let (mut offsets, mut found) = (Vec::with_capacity(plan.messages.len()), Found::default());
        let list = field_list::encode(&self.registry, plan.fields);
        let room = self.settings.file_size_max.saturating_sub(list.len() as u64);
        for &(uid, offset) in plan.messages {
            let record = self.record_for_purge(uid, offset, plan, index, &mut found)?;
            if record.is_empty() || output.at() + record.len() as u64 > room {
                offsets.push(0);
                continue;
            }
            // Invariant: `mail_cache_max_size` is far below 2^32.
            offsets.push(output.at() as u32);
            header.record_count += 1;
            output.push(&record)?;
        }
        header.field_list = offset_to_packed(output.at() as u32);
        output.push(&list)?;
        header.used_file_size = output.at() as u32;
        output.finish(&header, self.settings.fsync)?;
        Ok(offsets)
    }

    /// All records of a message as one, with what is worth keeping. Empty if that is nothing.
    fn record_for_purge(
        &mut self,
        uid: Uid,
        offset: u32,
        plan: &Plan<'_>,
        index: &IndexFacts,
        found: &mut Found,
    ) -> Result<Vec<u8>, Trouble> {
        found.clear();
        if offset == 0 || self.open.is_none() {
            return Ok(Vec::new());
        }
        let walked = self.walk(offset, None, index, found);
        if !self.or_without_file(walked)? {
            return Ok(Vec::new());
        }
        let least = if uid.get() >= index.week_first_uid { Want::Temp } else { Want::Yes };
        let mut record = vec![0; RECORD_HEADER_BYTES];
        let mut seen = Vec::new();
        for (id, value) in found.iter() {
            let field = self.registry.field(id);
            let number = plan.numbers.get(id.index()).copied().flatten();
            let Some(number) = number.filter(|_| field.decision.want >= least && !seen.contains(&id)) else {
                continue;
            };
            seen.push(id);
            record.extend_from_slice(&number.to_ne_bytes());
            if field.kind.fixed_size().is_none() {
                record.extend_from_slice(&(value.len() as u32).to_ne_bytes());
            }
            let at = record.len();
            record.extend_from_slice(value);
            if matches!(field.kind, FieldType::Bitmask(_)) {
                merge(found, id, &mut record[at..]);
            }
            pad(&mut record);
        }
        if record.len() == RECORD_HEADER_BYTES || record.len() > self.settings.record_size_max as usize {
            return Ok(Vec::new());
        }
        let size = (record.len() as u32).to_ne_bytes();
        record[4..RECORD_HEADER_BYTES].copy_from_slice(&size);
        Ok(record)
    }

    /// Where the old file turns out to be damaged, the purge goes on without it. Says whether it is
    /// still there.
    fn or_without_file(&mut self, done: Result<(), Trouble>) -> Result<bool, Trouble> {
        match done {
            Err(Trouble::Broken(what)) => {
                self.delete_corrupted(&what);
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }

    /// As in 2.3: one more than the index's, and never one that has been there.
    fn next_file_seq(&self, index: &IndexFacts) -> u32 {
        let next = index.reset_id.map_or(index.now, |reset_id| reset_id.wrapping_add(1));
        let next = match self.file_seq() {
            Some(file_seq) if next <= file_seq => file_seq.wrapping_add(1),
            _ => next,
        };
        next.max(1)
    }

    /// Opens the temporary file, which only somebody who died can have left behind: the log is locked.
    fn create(&self, path: &Path) -> Result<File, Trouble> {
        let create = || self.fs.create_new(path, &self.place.permissions);
        let created = match create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.fs.unlink(path).map_err(|error| Trouble::System("unlink", error))?;
                create()
            }
            created => created,
        };
        created.map_err(|error| Trouble::System("creat", error))
    }
}

/// Adds the bits of all values of a field.
fn merge(found: &Found, id: FieldId, into: &mut [u8]) {
    for (_, more) in found.iter().filter(|&(other, _)| other == id) {
        into.iter_mut().zip(more).for_each(|(bits, more)| *bits |= more);
    }
}

/// 2.3's name for the new file.
fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".tmp");
    name.into()
}
