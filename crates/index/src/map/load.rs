//! Reads an index file that was read into memory. What is damaged is mended where the rest makes sense.

use std::sync::Arc;

use super::check::Counts;
use super::ext::{EXT_HEADER_SIZE, ExtHeader, lay_out};
use super::{Ext, KEYWORDS, MODSEQ, Map, Names, Repair, keywords};
use crate::header::{
    COMPAT_LITTLE_ENDIAN, FLAG_CORRUPTED, HEADER_SIZE, HEADER_SIZE_MIN, Header, MAJOR_VERSION, MINOR_VERSION,
    RECORD_SIZE, long,
};
use crate::limits::EXTENSIONS_MAX;
use crate::view::{CHUNK, Chunk, Flags, KeywordSet, Record};

/// What is to be made of an index file.
pub(crate) enum Loaded {
    /// It makes sense, perhaps after some repair.
    Map(Box<Map>, Repair),
    /// It does not; the reason, unless it is just of another version.
    Unusable(Option<String>),
}

/// Reads a whole file.
pub(crate) fn load(bytes: &[u8], names: &mut Names) -> Loaded {
    let header = Header::parse(bytes);
    if bytes.first().is_some_and(|&major| major != MAJOR_VERSION) {
        return Loaded::Unusable(None);
    }
    if let Err(reason) = check_header(&header, bytes.len()) {
        return Loaded::Unusable(Some(reason));
    }
    let (map, repair) = (Map::new(header.index_id), Repair::default());
    let mut loader = Loader { bytes, map, repair, counts: Counts::default(), relay: false };
    loader.header(header);
    loader.extensions(names);
    loader.overlaps();
    let claimed = loader.map.header.messages_count;
    let last_uid = loader.records();
    loader.map.header.messages_count = claimed;
    // Only what the file says can be wrong; what it says of counts is not used.
    loader.repair.complaints.extend(loader.map.problem(last_uid));
    if loader.repair.is_empty() {
        let told = (loader.map.header.first_unseen_uid, loader.map.header.first_deleted_uid);
        loader.map.set_counts(&loader.counts);
        // Marks may be lower than they could be.
        let header = &mut loader.map.header;
        header.first_unseen_uid = header.first_unseen_uid.min(told.0);
        header.first_deleted_uid = header.first_deleted_uid.min(told.1);
    } else {
        let fixes = loader.map.mend();
        loader.repair.fixes.extend(fixes);
    }
    let edit = loader.map.view.edit();
    loader.map.publish(edit, 0);
    if loader.relay
        && let Some(size) = lay_out(&mut loader.map.exts)
    {
        loader.map.header.record_size = size;
    }
    Loaded::Map(Box::new(loader.map), loader.repair)
}

/// Whether the file can be used at all; the reason in 2.3's words.
fn check_header(header: &Header, size: usize) -> Result<(), String> {
    let (base, full) = (header.base_header_size, header.header_size);
    if size < HEADER_SIZE_MIN {
        return Err(format!("File too small ({size})"));
    }
    if header.flags & FLAG_CORRUPTED != 0 {
        return Err("Header's corrupted flag is set".to_owned());
    }
    if header.compat_flags != COMPAT_LITTLE_ENDIAN {
        return Err("CPU architecture changed".to_owned());
    }
    if usize::from(base) < HEADER_SIZE_MIN || full < base.into() {
        return Err(format!("Corrupted header sizes (base {base}, full {full})"));
    }
    if full as usize > size {
        return Err(format!("Header size is larger than file ({full} > {size})"));
    }
    if (header.record_size as usize) < RECORD_SIZE {
        return Err(format!("record_size too small ({} < {RECORD_SIZE})", header.record_size));
    }
    if header.index_id == 0 {
        return Err("indexid=0".to_owned());
    }
    Ok(())
}

struct Loader<'a> {
    bytes: &'a [u8],
    map: Map,
    repair: Repair,
    counts: Counts,
    /// Records of extensions lie on top of each other: they get other places.
    relay: bool,
}

/// Where the loader finds what in a record.
struct Fields {
    keywords: Option<std::ops::Range<usize>>,
    keyword_count: usize,
    modseq: Option<usize>,
    columns: Vec<std::ops::Range<usize>>,
}

impl Loader<'_> {
    fn header(&mut self, mut header: Header) {
        self.map.unknown =
            self.bytes.get(HEADER_SIZE..header.base_header_size.into()).unwrap_or_default().to_vec();
        header.old_recent_count = 0;
        if header.minor_version == 0 {
            header.first_recent_uid = header.first_recent_uid.max(1);
        }
        if header.minor_version < MINOR_VERSION {
            (header.old_sync_size, header.log2_rotate_time, header.last_temp_file_scan) = (0, 0, 0);
            header.minor_version = MINOR_VERSION;
        }
        self.map.header = header;
    }

    fn extensions(&mut self, names: &mut Names) {
        let end = self.map.header.header_size as usize;
        let mut offset = usize::from(self.map.header.base_header_size).next_multiple_of(8);
        let mut number = 0;
        while offset < end {
            let Some((found, name, data, next)) = self.extension_at(offset, end) else {
                self.repair.complaints.push(format!("Header extension #{number} goes outside header"));
                self.repair.fixes.push(format!("Dropped extension #{number} () with invalid header size"));
                break;
            };
            offset = next;
            if let Err(error) = found.check(&name, self.map.header.record_size) {
                self.repair.complaints.push(format!("Broken extension #{number} ({name}): {error}"));
                self.repair.fixes.push(format!("Dropped broken extension #{number} ({name})"));
            } else if self.map.ext_position(&name).is_some() || number >= EXTENSIONS_MAX {
                self.repair.complaints.push(format!("Duplicate header extension {name}"));
                self.repair.fixes.push(format!("Dropped duplicate extension {name}"));
            } else {
                let (id, name) = names.id(&name);
                self.map.exts.push(Ext {
                    name,
                    id,
                    reset_id: found.reset_id,
                    header: data,
                    record_offset: found.record_offset,
                    record_size: if found.record_offset == 0 { 0 } else { found.record_size },
                    record_align: found.record_align,
                });
            }
            number += 1;
        }
        self.keywords();
    }

    fn extension_at(&self, offset: usize, end: usize) -> Option<(ExtHeader, String, Vec<u8>, usize)> {
        let header = self.bytes.get(..end)?;
        let found = ExtHeader::parse(header.get(offset..)?)?;
        let name_at = offset + EXT_HEADER_SIZE;
        let name = header.get(name_at..name_at + usize::from(found.name_size))?;
        let data_at = (name_at + name.len()).next_multiple_of(8);
        let data = header.get(data_at..data_at.checked_add(found.hdr_size as usize)?)?;
        // The last padding may be missing in files of others.
        let next = (data_at + data.len()).next_multiple_of(8);
        let name = String::from_utf8(name.to_vec()).unwrap_or_default();
        Some((found, name, data.to_vec(), next))
    }

    fn keywords(&mut self) {
        let Some(at) = self.map.ext_position(KEYWORDS) else { return };
        let Some(ext) = self.map.exts.get(at).cloned() else { return };
        match keywords::parse(&ext.header) {
            Ok(names) => self.map.keywords = names,
            Err(complaint) => {
                let in_use = || self.keywords_in_use(&ext);
                let (names, renamed) = keywords::rescue(&ext.header, in_use);
                self.repair.complaints.push(complaint.to_owned());
                self.repair.fixes.push(format!("Renamed {renamed} keywords to unknown-*"));
                if let Some(ext) = self.map.exts.get_mut(at) {
                    ext.header = keywords::encode(&names, ext.header.len());
                }
                self.map.keywords = names;
            }
        }
    }

    /// One more than the highest keyword that a message has.
    fn keywords_in_use(&self, ext: &Ext) -> usize {
        let range = usize::from(ext.record_offset)..usize::from(ext.record_offset + ext.record_size);
        let count = |record: &[u8]| {
            let bits = record.get(range.clone()).unwrap_or_default();
            let last = bits.iter().rposition(|&byte| byte != 0)?;
            Some(last * 8 + 8 - bits.get(last)?.leading_zeros() as usize)
        };
        self.raw_records().filter_map(count).max().unwrap_or(0)
    }

    /// Whether the records of two extensions have bytes in common.
    fn overlaps(&mut self) {
        let exts = self.map.exts.iter().filter(|ext| ext.record_size > 0);
        let mut ranges: Vec<_> =
            exts.map(|ext| (ext.record_offset, ext.record_offset.saturating_add(ext.record_size))).collect();
        ranges.sort_unstable();
        let mut pairs = ranges.iter().zip(ranges.iter().skip(1));
        if pairs.any(|((_, end), (start, _))| start < end) {
            self.relay = true;
            self.repair.complaints.push("Extension records overlap".to_owned());
        }
    }

    fn raw_records(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let records = self.bytes.get(self.map.header.header_size as usize..).unwrap_or_default();
        records
            .chunks_exact((self.map.header.record_size as usize).max(RECORD_SIZE))
            .take(self.map.header.messages_count as usize)
    }

    /// Reads all messages and gives the last UID as the file has it. What is counted on the way spares a
    /// second look at a million messages.
    fn records(&mut self) -> u32 {
        let size = (self.map.header.record_size as usize).max(RECORD_SIZE);
        let all = self.bytes.get(self.map.header.header_size as usize..).unwrap_or_default();
        let claimed = self.map.header.messages_count;
        let there = (all.len() / size).min(claimed as usize);
        if there < claimed as usize {
            self.repair.complaints.push(format!("messages_count too large ({claimed} > {there})"));
        }
        let fields = self.fields();
        let mut edit = self.map.view.edit();
        edit.set_columns(self.map.columns());
        let mut batches = Batches {
            fields: &fields,
            stride: edit.peek().columns().stride(),
            last: 0,
            counts: Counts::default(),
            zeroes: false,
            unordered: false,
        };
        let all = all.get(..there * size).unwrap_or_default();
        let chunks = all.chunks(size * CHUNK).map(|batch| Arc::new(batches.read(batch, size)));
        let chunks: Vec<Arc<Chunk>> = chunks.filter(|chunk| !chunk.records.is_empty()).collect();
        edit.replace_chunks(chunks);
        if batches.zeroes {
            self.repair.fixes.push("Record UIDs have zeroes".to_owned());
        }
        if batches.unordered {
            self.repair.fixes.push("Record UIDs unordered".to_owned());
        }
        self.counts = batches.counts;
        self.map.view = Arc::new(edit.finish());
        batches.last
    }

    fn fields(&self) -> Fields {
        let range = |ext: &Ext| {
            let offset = usize::from(ext.record_offset);
            (ext.record_size > 0).then(|| offset..offset + usize::from(ext.record_size))
        };
        let columns = self.map.columns();
        Fields {
            keywords: self.map.ext(KEYWORDS).and_then(range),
            keyword_count: self.map.keywords.len(),
            modseq: self
                .map
                .ext(MODSEQ)
                .filter(|ext| ext.record_size >= 8)
                .map(|ext| ext.record_offset.into()),
            columns: columns.iter().filter_map(|column| self.map.ext(&column.name).and_then(range)).collect(),
        }
    }
}

/// Messages on their way from the file into chunks.
struct Batches<'a> {
    fields: &'a Fields,
    /// Bytes that extensions have of each.
    stride: usize,
    last: u32,
    counts: Counts,
    zeroes: bool,
    unordered: bool,
}

impl Batches<'_> {
    fn read(&mut self, batch: &[u8], size: usize) -> Chunk {
        let count = batch.len() / size;
        let mut records = Vec::with_capacity(count);
        let mut ext = Vec::with_capacity(count * self.stride);
        for raw in batch.chunks_exact(size) {
            let uid = raw.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            let Some(known) = base::Uid::new(uid) else {
                self.zeroes = true;
                continue;
            };
            if uid <= self.last || uid == u32::MAX {
                self.unordered = true;
                continue;
            }
            self.last = uid;
            let record = self.fields.read(known, raw);
            self.counts.add(&record);
            records.push(record);
            for range in &self.fields.columns {
                ext.extend_from_slice(raw.get(range.clone()).unwrap_or_default());
            }
            if ext.len() != records.len() * self.stride {
                ext.resize(records.len() * self.stride, 0);
            }
        }
        Chunk::new(records, ext)
    }
}

impl Fields {
    #[inline]
    fn read(&self, uid: base::Uid, raw: &[u8]) -> Record {
        let flags = raw.get(4).copied().unwrap_or(0);
        let keywords = self.keywords.as_ref().filter(|_| self.keyword_count > 0);
        let keywords = keywords.and_then(|range| raw.get(range.clone()));
        let modseq = self.modseq.and_then(|at| long(raw, at)).unwrap_or(0);
        Record {
            uid,
            flags: Flags(flags & Flags::ALL.0),
            bits: flags & Record::BITS,
            keywords: keywords.map_or_else(KeywordSet::new, |bits| keyword_set(bits, self.keyword_count)),
            modseq: base::ModSeq(modseq),
        }
    }
}

/// The keywords of a message; bits without a keyword do not count.
fn keyword_set(bits: &[u8], count: usize) -> KeywordSet {
    if bits.iter().all(|&byte| byte == 0) {
        return KeywordSet::new();
    }
    if bits.len() <= 8 && count < 64 {
        let word = bits.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        return KeywordSet::from_word(word & ((1 << count) - 1));
    }
    let mut words: Vec<u64> = bits
        .chunks(8)
        .map(|bytes| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
        .collect();
    words.truncate(count.div_ceil(64));
    if let Some(word) = words.get_mut(count / 64) {
        *word &= (1 << (count % 64)) - 1;
    }
    KeywordSet::from_words(words)
}
