//! Transactions as records of a log, in the order in which 2.3 writes them.

use std::collections::BTreeMap;

use super::attribute;
use super::record::{BOUNDARY_SIZE, EXPUNGE_PROT, EXTERNAL, ExtIntro, Kind, RECORD_HEADER_SIZE, encode_size};
use crate::header::{DAY_FIRST_UID, DAY_STAMP, Header, LOG_TAIL_OFFSET};
use crate::limits::LOG_RECORD_SIZE_MAX;
use crate::map::Map;
use crate::transaction::{ExtChange, HeaderChange, Origin, Transaction};

/// Records being put together.
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    count: usize,
    origin: Origin,
}

impl Encoder {
    /// The records of `transaction` for an index that is as in `map`. `day` is the beginning of the
    /// local day.
    pub(crate) fn transaction(transaction: &Transaction, origin: Origin, map: &Map, day: u32) -> Self {
        let mut encoder = Self { bytes: vec![0; BOUNDARY_SIZE], count: 0, origin };
        encoder.all(transaction, map, day);
        encoder.boundary();
        encoder
    }

    /// Moves the tail: to `offset`, or to the end of these records where that is `None`, which begin at
    /// `start` of the log.
    pub(crate) fn tail(&mut self, offset: Option<u64>, start: u64) {
        let end = start + (self.bytes.len() + RECORD_HEADER_SIZE + 8) as u64;
        let mut body = [0; 8];
        let (at, value) = body.split_at_mut(4);
        at.copy_from_slice(&[LOG_TAIL_OFFSET as u8, 0, 4, 0]);
        value.copy_from_slice(&(offset.unwrap_or(end) as u32).to_le_bytes());
        self.add(Kind::HeaderUpdate, &body);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn all(&mut self, transaction: &Transaction, map: &Map, day: u32) {
        if transaction.undeleted {
            self.add(Kind::IndexUndeleted, &[0; 4]);
        }
        // Extensions come before messages, so that their records are made with the right size.
        for ext in &transaction.exts {
            self.ext_changes(ext, transaction.reset, map);
        }
        self.header(&transaction.before);
        if !transaction.attributes.is_empty() {
            self.add(Kind::AttributeUpdate, &attribute::encode(&transaction.attributes));
        }
        self.appends(transaction);
        for list in &transaction.flags {
            let bytes = list.iter().flat_map(|update| {
                let mut item = [0; 12];
                item[..4].copy_from_slice(&update.first.to_le_bytes());
                item[4..8].copy_from_slice(&update.last.to_le_bytes());
                item[8..11].copy_from_slice(&[update.add, update.remove, update.modseq.into()]);
                item
            });
            self.add(Kind::FlagUpdate, &bytes.collect::<Vec<_>>());
        }
        for ext in &transaction.exts {
            self.ext_records(ext, transaction.reset, map);
        }
        let resets = ranges(&transaction.keyword_resets);
        self.add(Kind::KeywordReset, &resets);
        for change in &transaction.keywords {
            let name = change.name.as_bytes();
            let name = name.get(..usize::from(u16::MAX)).unwrap_or(name);
            let mut body = vec![u8::from(!change.add), 0];
            body.extend_from_slice(&(name.len() as u16).to_le_bytes());
            body.extend_from_slice(name);
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend(ranges(&change.uids));
            self.add(Kind::KeywordUpdate, &body);
        }
        self.modseqs(&transaction.modseqs);
        let expunges = transaction.expunges.iter();
        let expunges = expunges.flat_map(|(uid, guid)| uid.to_le_bytes().into_iter().chain(guid.0));
        self.add(Kind::ExpungeGuid, &expunges.collect::<Vec<_>>());
        let mut after = transaction.after.clone();
        if let Some((&first, _)) = transaction.appends.first_key_value() {
            let empty = Header::new(0);
            day_header(&mut after, if transaction.reset { &empty } else { &map.header }, day, first);
        }
        self.header(&after);
        if transaction.deleted {
            self.add(Kind::IndexDeleted, &[0; 4]);
        }
    }

    fn appends(&mut self, transaction: &Transaction) {
        let appends = transaction.appends.iter();
        let appends = appends.flat_map(|(uid, &flags)| {
            let mut item = [0; 8];
            item[..4].copy_from_slice(&uid.to_le_bytes());
            item[4] = flags;
            item
        });
        self.add(Kind::Append, &appends.collect::<Vec<_>>());
    }

    fn modseqs(&mut self, modseqs: &BTreeMap<u32, u64>) {
        let items = modseqs.iter().flat_map(|(uid, modseq)| {
            let (low, high) = (*modseq as u32, (modseq >> 32) as u32);
            [*uid, low, high].into_iter().flat_map(u32::to_le_bytes)
        });
        self.add(Kind::ModseqUpdate, &items.collect::<Vec<_>>());
    }

    /// Each run of bytes that change, as offset, size and bytes.
    fn header(&mut self, change: &HeaderChange) {
        let mut body = Vec::new();
        let mut at = 0;
        while let Some(skip) = change.mask.iter().skip(at).position(|&set| set) {
            let start = at + skip;
            let size = change.mask.iter().skip(start).take_while(|&&set| set).count();
            body.extend_from_slice(&(start as u16).to_le_bytes());
            body.extend_from_slice(&(size as u16).to_le_bytes());
            body.extend_from_slice(change.bytes.get(start..start + size).unwrap_or_default());
            body.resize(body.len().next_multiple_of(4), 0);
            at = start + size;
        }
        self.add(Kind::HeaderUpdate, &body);
    }

    /// Intro, reset and header of an extension.
    fn ext_changes(&mut self, ext: &ExtChange, reset: bool, map: &Map) {
        if !ext.resize && ext.reset.is_none() && ext.header.is_empty() {
            return;
        }
        // A reset is meant for whatever reset id the extension has.
        self.intro(ext, if ext.reset.is_some() { 0 } else { ext.reset_id }, reset, map);
        if let Some((reset_id, keep)) = ext.reset {
            let mut body = [0; 8];
            body[..4].copy_from_slice(&reset_id.to_le_bytes());
            body[4] = keep.into();
            self.add(Kind::ExtReset, &body);
        }
        let wide = header_end(ext) > u64::from(u16::MAX);
        let mut body = Vec::new();
        for (&offset, bytes) in &ext.header {
            if wide {
                body.extend_from_slice(&offset.to_le_bytes());
                body.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            } else {
                body.extend_from_slice(&(offset as u16).to_le_bytes());
                body.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
            }
            body.extend_from_slice(bytes);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.add(if wide { Kind::ExtHeaderUpdate32 } else { Kind::ExtHeaderUpdate }, &body);
    }

    fn ext_records(&mut self, ext: &ExtChange, reset: bool, map: &Map) {
        if ext.records.is_empty() && ext.increments.is_empty() {
            return;
        }
        // What was reset in this transaction has its new reset id by now.
        let reset_id = ext.reset.map_or(ext.reset_id, |(reset_id, _)| reset_id);
        let size = usize::from(ext.spec.record_size);
        if !ext.records.is_empty() {
            self.intro(ext, reset_id, reset, map);
            let mut body = Vec::with_capacity(ext.records.len() * (4 + size.next_multiple_of(4)));
            for (uid, bytes) in &ext.records {
                body.extend_from_slice(&uid.to_le_bytes());
                let end = body.len() + size.next_multiple_of(4);
                body.extend_from_slice(bytes.get(..size).unwrap_or(bytes));
                body.resize(end, 0);
            }
            self.add(Kind::ExtRecordUpdate, &body);
        }
        if !ext.increments.is_empty() {
            self.intro(ext, reset_id, reset, map);
            let items = ext.increments.iter();
            let items = items.flat_map(|(uid, by)| uid.to_le_bytes().into_iter().chain(by.to_le_bytes()));
            self.add(Kind::ExtAtomicInc, &items.collect::<Vec<_>>());
        }
    }

    fn intro(&mut self, ext: &ExtChange, reset_id: u32, reset: bool, map: &Map) {
        let found = if reset { None } else { map.ext_position(&ext.spec.name) };
        let known = found.and_then(|at| map.exts.get(at));
        let needed = header_end(ext).min(u32::MAX.into()) as u32;
        let hdr_size = match known {
            Some(known) if !ext.resize => known.header.len() as u32,
            _ => ext.spec.header_size,
        };
        let intro = ExtIntro {
            ext_id: found.map_or(u32::MAX, |at| at as u32),
            reset_id: match (reset_id, known) {
                (0, Some(known)) => known.reset_id,
                _ => reset_id,
            },
            hdr_size: hdr_size.max(needed),
            record_size: ext.spec.record_size,
            record_align: ext.spec.record_align,
            flags: if ext.resize { 0 } else { ExtIntro::NO_SHRINK },
            name: if found.is_some() { b"" } else { ext.spec.name.as_bytes() },
        };
        self.add(Kind::ExtIntro, &intro.encode());
    }

    fn add(&mut self, kind: Kind, body: &[u8]) {
        if body.is_empty() {
            return;
        }
        // What does not fit into a record is divided where the kind is a list of equal items.
        let item = match kind {
            Kind::Append | Kind::Expunge | Kind::KeywordReset | Kind::ExtAtomicInc => 8,
            Kind::FlagUpdate | Kind::ModseqUpdate => 12,
            Kind::ExpungeGuid => 20,
            _ => body.len(),
        };
        let most = (LOG_RECORD_SIZE_MAX - RECORD_HEADER_SIZE) / item * item;
        for part in body.chunks(most.max(item)) {
            let mut bits = kind as u32;
            if matches!(kind, Kind::Expunge | Kind::ExpungeGuid) {
                bits |= EXPUNGE_PROT;
            }
            if self.origin == Origin::External || kind == Kind::Boundary {
                bits |= EXTERNAL;
            }
            self.bytes.extend_from_slice(&encode_size(RECORD_HEADER_SIZE + part.len()));
            self.bytes.extend_from_slice(&bits.to_le_bytes());
            self.bytes.extend_from_slice(part);
            self.count += 1;
        }
    }

    /// More than one record counts as a whole or not at all.
    fn boundary(&mut self) {
        if self.count < 2 {
            self.bytes.drain(..BOUNDARY_SIZE);
            return;
        }
        let size = (self.bytes.len() as u32).to_le_bytes();
        let mut boundary = Vec::with_capacity(BOUNDARY_SIZE);
        std::mem::swap(&mut self.bytes, &mut boundary);
        self.add(Kind::Boundary, &size);
        std::mem::swap(&mut self.bytes, &mut boundary);
        self.bytes.splice(..BOUNDARY_SIZE, boundary);
    }
}

/// Where the changes of an extension's header end.
fn header_end(ext: &ExtChange) -> u64 {
    ext.header.iter().map(|(&offset, bytes)| u64::from(offset) + bytes.len() as u64).max().unwrap_or(0)
}

fn ranges(uids: &base::UidSet) -> Vec<u8> {
    let numbers = uids.ranges().flat_map(|(first, last)| [first.get(), last.get()]);
    numbers.flat_map(u32::to_le_bytes).collect()
}

/// Messages come: remembers the first UID of each of the last eight days on which some did.
fn day_header(change: &mut HeaderChange, header: &Header, today: u32, first_uid: u32) {
    if header.day_stamp >= today {
        return;
    }
    let days = ((today - header.day_stamp) / (24 * 60 * 60)) as usize;
    let mut first = header.day_first_uid;
    if days > 0 && days < first.len() {
        first.copy_within(..header.day_first_uid.len() - days, days);
    }
    let newest = header.day_first_uid[0];
    first.iter_mut().take(days).skip(1).for_each(|uid| *uid = newest);
    first[0] = first_uid;
    change.set(DAY_STAMP, &today.to_le_bytes());
    for (day, uid) in first.iter().enumerate() {
        change.set(DAY_FIRST_UID + 4 * day, &uid.to_le_bytes());
    }
}
