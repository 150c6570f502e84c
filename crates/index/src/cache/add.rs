//! Adding what has been found out about messages: many messages at once, under one lock.

use std::borrow::Cow;
use std::collections::HashMap;

use base::Uid;

use super::field::{FieldId, FieldType};
use super::layout::{RECORD_HEADER_BYTES, pad, padded};
use super::limits::HEADER_FIELDS_MAX;
use super::lock::Locking;
use super::{Cache, IndexFacts, Trouble};
use crate::error::Result;

/// What has been found out about a message. Fields that are in the cache already are not to be among
/// it: they would be stored twice.
#[derive(Debug, Clone)]
pub struct Addition<'a> {
    /// The message.
    pub uid: Uid,
    /// Its record of the index's `cache` extension: the offset of what is known already, or 0.
    pub previous: u32,
    /// The values.
    pub fields: Vec<(FieldId, Cow<'a, [u8]>)>,
}

/// What came of adding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is in the file. For each addition the message's new offset, which the caller writes into the
    /// index under the same `reset_id`; 0 where nothing was added and the old one stays.
    Written(Vec<u32>),
    /// There is no file, and [`purge`](Cache::purge) makes one; or nothing is to be changed here.
    Missing,
    /// The file is not the one the index means. The caller reads the index again and, if that does not
    /// help, locks the log, reads it once more, and calls
    /// [`discard_mismatched`](Cache::discard_mismatched).
    Stale,
    /// Somebody else kept the lock for too long. It is not worth waiting.
    Busy,
    /// The file has reached `mail_cache_max_size`, and [`purge`](Cache::purge) would make room.
    Full,
}

/// Whether adding says anything about what clients want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A client asked: its wishes decide.
    Client,
    /// Somebody fills the cache in advance, and decides nothing.
    Precache,
}

/// What is to be appended, and what becomes of the header by it.
#[derive(Default)]
struct Appendix {
    bytes: Vec<u8>,
    offsets: Vec<u32>,
    new_records: u32,
    continued_records: u32,
}

impl Cache {
    /// Adds to the file. Fields that the settings forbid are left out, and so is what would make a
    /// record larger than `mail_cache_record_max_size`.
    pub fn add(
        &mut self,
        additions: &[Addition<'_>],
        occasion: Occasion,
        index: &IndexFacts,
    ) -> Result<Added> {
        if self.settings.is_disabled() || index.messages < self.settings.min_mail_count {
            return Ok(Added::Written(vec![0; additions.len()]));
        }
        match self.lock(index)? {
            Locking::Locked => {}
            Locking::Missing => {
                // The new file is to say from the beginning that these are wanted.
                let used = self.fields_to_add(additions);
                self.note_all_added(additions, &used, occasion, index);
                return Ok(Added::Missing);
            }
            Locking::Stale => return Ok(Added::Stale),
            Locking::Busy => return Ok(Added::Busy),
        }
        let written = self.add_locked(additions, occasion, index);
        let changed = matches!(&written, Ok(Some(offsets)) if offsets.iter().any(|&offset| offset != 0));
        let flushed = match &written {
            Ok(_) => self.flush_and_unlock(changed, index),
            Err(_) => {
                self.unlock();
                Ok(())
            }
        };
        let written = written.and_then(|offsets| flushed.map(|()| offsets));
        Ok(match self.settle(written)? {
            Some(Some(offsets)) => Added::Written(offsets),
            Some(None) => Added::Full,
            None => Added::Missing,
        })
    }

    /// Messages with records were expunged. So the waste in the file is known.
    pub fn note_expunged(&mut self, count: u32, index: &IndexFacts) -> Result<()> {
        if count == 0 || self.lock(index)? != Locking::Locked {
            return Ok(());
        }
        if let Some(open) = &mut self.open {
            let header = &mut open.header;
            header.deleted_record_count = header.deleted_record_count.saturating_add(count);
            header.record_count = header.record_count.saturating_sub(count);
        }
        let done = self.flush_and_unlock(true, index);
        self.settle(done).map(|_| ())
    }

    /// `None` if the file is full.
    fn add_locked(
        &mut self,
        additions: &[Addition<'_>],
        occasion: Occasion,
        index: &IndexFacts,
    ) -> Result<Option<Vec<u32>>, Trouble> {
        if self.has_waste() && self.would_be_too_large(additions)? {
            return Ok(None);
        }
        self.read_field_list(index)?;
        let used = self.fields_to_add(additions);
        self.note_all_added(additions, &used, occasion, index);
        if used.iter().any(|&id| self.registry.field(id).in_file.is_none()) {
            self.extend_field_list(&used, index)?;
        }
        let at = self.append_offset(0)?;
        let appendix = self.encode(additions, &used, at)?;
        if u64::from(at) + appendix.bytes.len() as u64 > self.settings.file_size_max {
            return Err("Cache file too large".into());
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        if appendix.bytes.is_empty() {
            return Ok(Some(appendix.offsets));
        }
        let header = &mut open.header;
        header.record_count = header.record_count.saturating_add(appendix.new_records);
        header.continued_record_count =
            header.continued_record_count.saturating_add(appendix.continued_records);
        let Some(open) = &self.open else { return Ok(None) };
        self.write_at(&open.file, &appendix.bytes, u64::from(at))?;
        Ok(Some(appendix.offsets))
    }

    fn note_all_added(
        &mut self,
        additions: &[Addition<'_>],
        used: &[FieldId],
        occasion: Occasion,
        index: &IndexFacts,
    ) {
        for addition in additions.iter().filter(|_| occasion == Occasion::Client) {
            for (id, _) in addition.fields.iter().filter(|(id, _)| used.contains(id)) {
                self.note_added(*id, addition.uid.get(), index.now);
            }
        }
    }

    fn has_waste(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.header.continued_record_count > 0 || open.header.deleted_record_count > 0
        })
    }

    /// Whether the file has no room for these values.
    fn would_be_too_large(&self, additions: &[Addition<'_>]) -> Result<bool, Trouble> {
        let values = additions.iter().flat_map(|addition| &addition.fields);
        let more: u64 = values.map(|(_, value)| value.len() as u64).sum();
        let Some(open) = &self.open else { return Ok(false) };
        let meta = open.file.metadata().map_err(|error| Trouble::System("fstat", error))?;
        Ok(meta.len().saturating_add(more) > self.settings.file_size_max)
    }

    /// The fields of the additions that may be stored.
    fn fields_to_add(&self, additions: &[Addition<'_>]) -> Vec<FieldId> {
        let mut used: Vec<FieldId> =
            additions.iter().flat_map(|one| &one.fields).map(|&(id, _)| id).collect();
        used.sort_unstable();
        used.dedup();
        let is_header = |id: FieldId| self.registry.field(id).kind == FieldType::Header;
        let mut headers = self.registry.file_order.iter().filter(|&&id| is_header(id)).count();
        used.retain(|&id| {
            let field = self.registry.field(id);
            if field.decision.is_never() {
                return false;
            }
            let is_new_header = field.in_file.is_none() && is_header(id);
            headers += usize::from(is_new_header);
            !is_new_header || headers <= HEADER_FIELDS_MAX
        });
        used
    }

    /// The records, to be written at `at`.
    fn encode(&self, additions: &[Addition<'_>], used: &[FieldId], at: u32) -> Result<Appendix, Trouble> {
        let mut appendix = Appendix::default();
        let mut newest: HashMap<Uid, u32> = HashMap::new();
        for addition in additions {
            let start = appendix.bytes.len();
            // Invariant: the size of the file has been looked at, and so have the records'.
            let offset = at + start as u32;
            let previous = newest.get(&addition.uid).copied().unwrap_or(addition.previous);
            if previous >= offset {
                return Err("Cache record offset points outside existing file".into());
            }
            appendix.bytes.extend_from_slice(&previous.to_ne_bytes());
            appendix.bytes.extend_from_slice(&[0; 4]);
            for (id, value) in addition.fields.iter().filter(|(id, _)| used.contains(id)) {
                self.encode_field(*id, value, start, &mut appendix.bytes);
            }
            let size = appendix.bytes.len() - start;
            if size == RECORD_HEADER_BYTES {
                appendix.bytes.truncate(start);
                appendix.offsets.push(0);
                continue;
            }
            if let Some(slot) = appendix.bytes.get_mut(start + 4..start + 8) {
                slot.copy_from_slice(&(size as u32).to_ne_bytes());
            }
            let counter =
                if previous == 0 { &mut appendix.new_records } else { &mut appendix.continued_records };
            *counter += 1;
            newest.insert(addition.uid, offset);
            appendix.offsets.push(offset);
            if u64::from(offset) + size as u64 > self.settings.file_size_max {
                break;
            }
        }
        Ok(appendix)
    }

    /// Appends one field to the record that begins at `start`, if it has room.
    fn encode_field(&self, id: FieldId, value: &[u8], start: usize, bytes: &mut Vec<u8>) {
        let field = self.registry.field(id);
        let Some(number) = field.in_file else { return };
        let fixed = field.kind.fixed_size();
        assert!(
            fixed.is_none_or(|size| size as usize == value.len()),
            "{} has {} bytes, not {fixed:?}",
            field.name,
            value.len()
        );
        let size = 4 + if fixed.is_none() { 4 } else { 0 } + padded(value.len());
        if bytes.len() - start + size > self.settings.record_size_max as usize {
            return;
        }
        bytes.extend_from_slice(&number.to_ne_bytes());
        if fixed.is_none() {
            bytes.extend_from_slice(&(value.len() as u32).to_ne_bytes());
        }
        bytes.extend_from_slice(value);
        pad(bytes);
    }
}
