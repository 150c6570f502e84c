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

/// Which fields are looked for.
#[derive(Clone, Copy)]
pub(super) struct Wish<'f> {
    fields: Fields<'f>,
    /// Whether records older than those that have them are of no interest.
    ends_early: bool,
    /// Those fields as bits, as far as their indexes are so small.
    bits: u128,
}

impl<'f> Wish<'f> {
    fn new(fields: Fields<'f>, ends_early: bool) -> Self {
        let bit = |id: &FieldId| if id.index() < 128 { 1_u128 << id.index() } else { 0 };
        let bits = fields.0.iter().chain(fields.1).map(bit).fold(0, |bits, bit| bits | bit);
        Self { fields, ends_early, bits }
    }

    fn has(&self, id: FieldId) -> bool {
        match id.index() {
            index if index < 128 => self.bits >> index & 1 != 0,
            _ => self.fields.0.contains(&id) || self.fields.1.contains(&id),
        }
    }
}

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

    /// Whether something was left out: fields that nobody asked for, or older records.
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

    /// As [`lookup`](Self::lookup), but of certain fields only.
    fn find(
        &mut self,
        offset: u32,
        wish: Option<Wish<'_>>,
        index: &IndexFacts,
        found: &mut Found,
    ) -> Result<()> {
        found.clear();
        if offset == 0 || !self.is_current(index)? {
            return Ok(());
        }
        let walked = self.walk(offset, wish, index, found);
        if self.settle(walked)?.is_none() {
            found.clear();
        }
        Ok(())
    }

    /// As [`lookup`](Self::lookup), for somebody who wants certain fields: each wish is noted, as the
    /// decisions live of it. Who would like to have others as well, but does not ask for them, names them behind.
    /// Other fields may be found, or [not](Found::is_partial).
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
        let ends_early = !fields.0.iter().any(is_mask);
        self.find(offset, Some(Wish::new(fields, ends_early)), index, found)
    }

    /// Whether the file that the index means is open. Another process may have replaced it.
    fn is_current(&mut self, index: &IndexFacts) -> Result<bool> {
        if self.open.is_none() && self.missing.is_some() && self.missing == index.reset_id {
            return Ok(false);
        }
        if !self.open(index)? {
            self.missing = index.reset_id;
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

    /// Reads records to the oldest, or until all fields of a wish are found that ends early.
    pub(super) fn walk(
        &mut self,
        offset: u32,
        wish: Option<Wish<'_>>,
        index: &IndexFacts,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let mut next = offset;
        let mut seen = Seen::default();
        while next != 0 {
            let wanted = match &wish {
                Some(wish) => self.read_wanted(next, wish, found)?,
                None => None,
            };
            let record = match wanted {
                Some(record) => record,
                None => self.read_record(next, index, found)?,
            };
            if seen.is_loop(&record) {
                return Err("record list is circular".into());
            }
            found.records.push(record);
            if found.bytes.len() > FOUND_BYTES_MAX || found.values.len() > FOUND_VALUES_MAX {
                return Err("record list is too large".into());
            }
            next = record.previous;
            if next != 0 && wish.is_some_and(|wish| wish.ends_early && found.has_all(wish.fields)) {
                found.is_partial = true;
                break;
            }
        }
        Ok(())
    }

    /// Appends what is wished for of a record to `found`. `None` if it has fields that another process has added
    /// meanwhile.
    fn read_wanted(
        &mut self,
        offset: u32,
        wish: &Wish<'_>,
        found: &mut Found,
    ) -> Result<Option<FoundRecord>, Trouble> {
        let Some(open) = &mut self.open else { return Err(OUTSIDE.into()) };
        let (previous, record) = open.record(offset)?;
        let fields_before = found.values.len();
        let mut rest = Values { record, pos: RECORD_HEADER_BYTES };
        while let Some(number) = rest.number() {
            let Some(id) = self.registry.by_file_number(number) else {
                found.values.truncate(fields_before);
                return Ok(None);
            };
            let value = rest.value(self.registry.field(id).kind)?;
            if wish.has(id) {
                found.values.push(Value { id, at: found.bytes.len(), length: value.len() });
                found.bytes.extend_from_slice(value);
            } else {
                found.is_partial = true;
            }
        }
        rest.end()?;
        Ok(Some(FoundRecord { offset, size: record.len() as u32, previous, fields_before }))
    }

    /// Appends a record to `found`.
    fn read_record(
        &mut self,
        offset: u32,
        index: &IndexFacts,
        found: &mut Found,
    ) -> Result<FoundRecord, Trouble> {
        let Some(open) = &mut self.open else { return Err(OUTSIDE.into()) };
        let (previous, record) = open.record(offset)?;
        let (at, size, fields_before) = (found.bytes.len(), record.len() as u32, found.values.len());
        found.bytes.extend_from_slice(record);
        self.split_record(at, index, found)?;
        Ok(FoundRecord { offset, size, previous, fields_before })
    }

    /// Finds the fields in the record that is in `found` from `at` on.
    fn split_record(&mut self, at: usize, index: &IndexFacts, found: &mut Found) -> Result<(), Trouble> {
        let mut pos = RECORD_HEADER_BYTES;
        loop {
            let record = found.bytes.get(at..).unwrap_or_default();
            let mut rest = Values { record, pos };
            let Some(number) = rest.number() else { return rest.end() };
            let (id, kind) = self.field_of(number, index)?;
            let length = rest.value(kind)?.len();
            pos = rest.pos;
            found.values.push(Value { id, at: at + pos - padded(length), length });
        }
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

/// What is left of a record.
struct Values<'a> {
    record: &'a [u8],
    pos: usize,
}

impl<'a> Values<'a> {
    /// The number of the next field; `None` if there are no more.
    fn number(&mut self) -> Option<u32> {
        let number = u32_at(self.record, self.pos)?;
        self.pos += 4;
        Some(number)
    }

    /// Its value.
    fn value(&mut self, kind: FieldType) -> Result<&'a [u8], Trouble> {
        let length = match kind.fixed_size() {
            Some(size) => Some(size as usize),
            None => {
                let size = u32_at(self.record, self.pos).map(|size| size as usize);
                self.pos += 4;
                size
            }
        };
        let value = length.and_then(|length| self.record.get(self.pos..self.pos.checked_add(length)?));
        let value = value.ok_or("record continues outside its allocated size")?;
        self.pos += padded(value.len());
        Ok(value)
    }

    /// Whether it ends where it should.
    fn end(&self) -> Result<(), Trouble> {
        if self.pos == self.record.len() { Ok(()) } else { Err("record has invalid size".into()) }
    }
}

impl OpenFile {
    /// Where the next older record is, and the bytes of this one with its header.
    fn record(&mut self, offset: u32) -> Result<(u32, &[u8]), Trouble> {
        if !(offset as usize).is_multiple_of(ALIGN) {
            return Err("invalid record offset".into());
        }
        let head = self.record_bytes(offset, RECORD_HEADER_BYTES)?;
        let (previous, size) = (u32_at(head, 0).unwrap_or(0), u32_at(head, 4).unwrap_or(0));
        if (size as usize) < RECORD_HEADER_BYTES || size > RECORD_BYTES_MAX {
            return Err("invalid record size".into());
        }
        // What is at hand is looked up once more, which takes no time.
        let record = self.record_bytes(offset, size as usize)?.get(..size as usize);
        Ok((previous, record.unwrap_or_default()))
    }

    /// So many bytes, and whatever behind them is at hand.
    fn record_bytes(&mut self, offset: u32, length: usize) -> Result<&[u8], Trouble> {
        let bytes = self.pieces.read(&self.file, u64::from(offset), length);
        let bytes = bytes.map_err(|error| Trouble::System("read", error))?;
        bytes.ok_or(OUTSIDE.into())
    }
}

const OUTSIDE: &str = "record points outside file";

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
