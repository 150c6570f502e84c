//! Reading what is known of a message: its records, newest first, each with some fields.

use base::Uid;

use super::field::{FieldId, FieldType};
use super::layout::{ALIGN, RECORD_HEADER_BYTES, padded, u32_at};
use super::limits::{CHAIN_RECORDS_MAX, FOUND_BYTES_MAX, FOUND_VALUES_MAX, RECORD_BYTES_MAX};
use super::{Cache, IndexFacts, OpenFile, Trouble};
use crate::error::Result;

/// All that is known of one message. To be used again for the next one, which saves memory from being
/// taken and given back.
#[derive(Debug, Default)]
pub struct Found {
    bytes: Vec<u8>,
    values: Vec<Value>,
    records: Vec<FoundRecord>,
    is_partial: bool,
}

#[derive(Debug, Clone, Copy)]
struct Value {
    id: FieldId,
    at: usize,
    length: usize,
}

/// What is asked for, and what would be good to have.
type Fields<'f> = (&'f [FieldId], &'f [FieldId]);

/// One record of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRecord {
    /// Where it is in the file.
    pub offset: u32,
    /// Its size in the file, in bytes.
    pub size: u32,
    /// Where the next older record of the same message is; 0 if there is none.
    pub previous: u32,
    /// How many of all fields found are in records before this one.
    pub fields_before: usize,
}

impl Found {
    /// The fields, those of newer records first. The same field may come twice.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &[u8])> {
        self.values.iter().map(|value| (value.id, self.value(value)))
    }

    /// A field's value. If there are several they are equal.
    pub fn get(&self, id: FieldId) -> Option<&[u8]> {
        self.values.iter().find(|value| value.id == id).map(|value| self.value(value))
    }

    /// A bitmask's value, all records together.
    pub fn bits(&self, id: FieldId) -> Option<u32> {
        let values = self.iter().filter(|&(found, _)| found == id);
        values.map(|(_, bytes)| u32_at(bytes, 0).unwrap_or(0)).reduce(|bits, more| bits | more)
    }

    /// The records, newest first.
    pub fn records(&self) -> &[FoundRecord] {
        &self.records
    }

    /// Whether older records were left out, since newer ones had all that was wanted.
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.values.clear();
        self.records.clear();
        self.is_partial = false;
    }

    fn has_all(&self, (wanted, also): Fields<'_>) -> bool {
        let mut all = wanted.iter().chain(also);
        all.all(|&id| self.values.iter().any(|value| value.id == id))
    }

    fn value(&self, value: &Value) -> &[u8] {
        self.bytes.get(value.at..value.at + value.length).unwrap_or_default()
    }
}

impl Cache {
    /// Reads all that is known of a message into `found`, which is empty where nothing is: also where
    /// the file is another than the index means, or turns out to be damaged and is removed.
    ///
    /// `offset` is the message's record of the index's `cache` extension.
    pub fn lookup(&mut self, offset: u32, index: &IndexFacts, found: &mut Found) -> Result<()> {
        self.find(offset, None, index, found)
    }

    /// As [`lookup`](Self::lookup). Where certain fields are `enough` the oldest records that are read are those
    /// that have them.
    fn find(
        &mut self,
        offset: u32,
        enough: Option<Fields<'_>>,
        index: &IndexFacts,
        found: &mut Found,
    ) -> Result<()> {
        found.clear();
        if offset == 0 || !self.is_current(index)? {
            return Ok(());
        }
        let walked = self.walk(offset, enough, index, found);
        if self.settle(walked)?.is_none() {
            found.clear();
        }
        Ok(())
    }

    /// As [`lookup`](Self::lookup), for somebody who wants certain fields: each wish is noted, as the
    /// decisions live of it. Who would like to have others as well, but does not ask for them, names them behind.
    /// More fields than these may be found, or [not](Found::is_partial).
    pub fn lookup_fields(
        &mut self,
        offset: u32,
        uid: Uid,
        fields: Fields<'_>,
        index: &IndexFacts,
        found: &mut Found,
    ) -> Result<()> {
        for &id in fields.0 {
            self.note_read(id, uid, index);
        }
        // The records of a bitmask have a part of it each.
        let is_mask = |id: &FieldId| matches!(self.registry.field(*id).kind, FieldType::Bitmask(_));
        let enough = Some(fields).filter(|(wanted, _)| !wanted.iter().any(is_mask));
        self.find(offset, enough, index, found)
    }

    /// Whether the file that the index means is open. Another process may have replaced it.
    fn is_current(&mut self, index: &IndexFacts) -> Result<bool> {
        if !self.open(index)? {
            return Ok(false);
        }
        if self.file_seq() != index.reset_id && self.is_replaced()? {
            self.close();
            if !self.open(index)? {
                return Ok(false);
            }
        }
        Ok(self.file_seq() == index.reset_id)
    }

    /// Reads records until all fields that are `enough` are found, or to the oldest.
    pub(super) fn walk(
        &mut self,
        offset: u32,
        enough: Option<Fields<'_>>,
        index: &IndexFacts,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let mut next = offset;
        let mut seen = Seen::default();
        while next != 0 {
            let at = found.bytes.len();
            let record = self.read_record(next, found)?;
            if seen.is_loop(&record) {
                return Err("record list is circular".into());
            }
            found.records.push(record);
            self.split_record(at, index, found)?;
            if found.bytes.len() > FOUND_BYTES_MAX || found.values.len() > FOUND_VALUES_MAX {
                return Err("record list is too large".into());
            }
            next = record.previous;
            if next != 0 && enough.is_some_and(|enough| found.has_all(enough)) {
                found.is_partial = true;
                break;
            }
        }
        Ok(())
    }

    /// Appends a record's bytes to `found`.
    fn read_record(&mut self, offset: u32, found: &mut Found) -> Result<FoundRecord, Trouble> {
        let Some(open) = &mut self.open else { return Err("record points outside file".into()) };
        if !(offset as usize).is_multiple_of(ALIGN) {
            return Err("invalid record offset".into());
        }
        let head = open.record_bytes(offset, RECORD_HEADER_BYTES)?;
        let (previous, size) = (u32_at(head, 0).unwrap_or(0), u32_at(head, 4).unwrap_or(0));
        if (size as usize) < RECORD_HEADER_BYTES || size > RECORD_BYTES_MAX {
            return Err("invalid record size".into());
        }
        let record = match head.get(..size as usize) {
            Some(record) => record,
            None => open.record_bytes(offset, size as usize)?.get(..size as usize).unwrap_or_default(),
        };
        found.bytes.extend_from_slice(record);
        Ok(FoundRecord { offset, size, previous, fields_before: found.values.len() })
    }

    /// Finds the fields in the record that is in `found` from `at` on.
    fn split_record(&mut self, at: usize, index: &IndexFacts, found: &mut Found) -> Result<(), Trouble> {
        let end = found.bytes.len();
        let mut pos = at + RECORD_HEADER_BYTES;
        while pos + 4 <= end {
            let number = u32_at(&found.bytes, pos).unwrap_or(u32::MAX);
            let (id, kind) = self.field_of(number, index)?;
            pos += 4;
            let length = match kind.fixed_size() {
                Some(size) => size as usize,
                None if pos + 4 <= end => {
                    pos += 4;
                    u32_at(&found.bytes, pos - 4).map_or(usize::MAX, |size| size as usize)
                }
                None => usize::MAX,
            };
            if end - pos < length {
                return Err("record continues outside its allocated size".into());
            }
            found.values.push(Value { id, at: pos, length });
            pos += padded(length);
        }
        if pos != end {
            return Err("record has invalid size".into());
        }
        Ok(())
    }

    fn field_of(&mut self, number: u32, index: &IndexFacts) -> Result<(FieldId, FieldType), Trouble> {
        if self.registry.by_file_number(number).is_none() {
            // Another process may have added fields.
            self.read_field_list(index)?;
        }
        let id = self.registry.by_file_number(number).ok_or_else(|| {
            let count = self.registry.file_order.len();
            Trouble::Broken(format!("field index too large ({number} >= {count})"))
        })?;
        Ok((id, self.registry.field(id).kind))
    }
}

impl OpenFile {
    /// So many bytes, and whatever behind them is at hand.
    fn record_bytes(&mut self, offset: u32, length: usize) -> Result<&[u8], Trouble> {
        let bytes = self.pieces.read(&self.file, u64::from(offset), length);
        let bytes = bytes.map_err(|error| Trouble::System("read", error))?;
        bytes.ok_or("record points outside file".into())
    }
}

/// Finds out whether a list of records goes in circles.
#[derive(Default)]
struct Seen {
    lowest: Option<u32>,
    count: usize,
}

impl Seen {
    /// Records are only ever appended, so an older one is always nearer to the file's beginning.
    fn is_loop(&mut self, record: &FoundRecord) -> bool {
        self.count += 1;
        let rises = self.lowest.is_some_and(|lowest| record.offset >= lowest);
        self.lowest = Some(record.offset);
        rises || self.count > CHAIN_RECORDS_MAX
    }
}
