//! Writes an index file into memory.

use super::ext::EXT_HEADER_SIZE;
use super::{Ext, KEYWORDS, MODSEQ, Map};
use crate::header::HEADER_SIZE;
use crate::view::Record;

impl Map {
    /// The bytes of the index file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let record_size = self.header.record_size as usize;
        let mut bytes = self.encode_header();
        let header_size = bytes.len();
        bytes.reserve_exact(self.view.len() as usize * record_size);
        let columns = self.view.columns().clone();
        let ext = |name: &str| self.exts.iter().find(|ext| &*ext.name == name);
        let (keywords, modseq) = (ext(KEYWORDS), ext(MODSEQ));
        let places: Vec<(usize, usize, usize)> = columns
            .iter()
            .filter_map(|column| Some((column.offset, ext(&column.name)?.record_offset.into(), column.size)))
            .collect();
        for chunk in self.view.chunks() {
            for (at, record) in chunk.records.iter().enumerate() {
                let start = bytes.len();
                bytes.resize(start + record_size, 0);
                let Some(target) = bytes.get_mut(start..) else { continue };
                put(target, 0, &record.uid.get().to_le_bytes());
                put(target, 4, &[record.flags.0 | (record.bits & Record::BITS)]);
                if let Some(ext) = keywords {
                    put_keywords(target, ext, record);
                }
                if let Some(ext) = modseq.filter(|ext| ext.record_size >= 8) {
                    put(target, ext.record_offset.into(), &record.modseq.0.to_le_bytes());
                }
                let own = chunk.ext.get(at * columns.stride()..).unwrap_or_default();
                for &(from, to, size) in &places {
                    put(target, to, own.get(from..from + size).unwrap_or_default());
                }
            }
        }
        debug_assert_eq!(bytes.len(), header_size + self.view.len() as usize * record_size);
        bytes
    }

    fn encode_header(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_SIZE];
        bytes.extend_from_slice(&self.unknown);
        let base = bytes.len();
        for ext in &self.exts {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let start = bytes.len();
            bytes.resize(start + EXT_HEADER_SIZE, 0);
            if let Some(target) = bytes.get_mut(start..) {
                put(target, 0, &(ext.header.len() as u32).to_le_bytes());
                put(target, 4, &ext.reset_id.to_le_bytes());
                put(target, 8, &ext.record_offset.to_le_bytes());
                put(target, 10, &ext.record_size.to_le_bytes());
                put(target, 12, &ext.record_align.to_le_bytes());
                put(target, 14, &(ext.name.len() as u16).to_le_bytes());
            }
            bytes.extend_from_slice(ext.name.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes.extend_from_slice(&ext.header);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let mut header = self.header.clone();
        header.base_header_size = base as u16;
        header.header_size = bytes.len() as u32;
        header.messages_count = self.view.len();
        put(&mut bytes, 0, &header.encode());
        bytes
    }
}

fn put_keywords(target: &mut [u8], ext: &Ext, record: &Record) {
    let bytes = record.keywords.words().iter().flat_map(|word| word.to_le_bytes());
    let offset = usize::from(ext.record_offset);
    let room = target.get_mut(offset..offset + usize::from(ext.record_size)).unwrap_or_default();
    room.iter_mut().zip(bytes).for_each(|(target, byte)| *target = byte);
}

fn put(target: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = at.checked_add(bytes.len()).and_then(|end| target.get_mut(at..end)) {
        target.copy_from_slice(bytes);
    }
}
