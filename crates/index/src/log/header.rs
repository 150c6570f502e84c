//! The header of a log file.

use crate::header::{long, number, short};

/// Bytes of a log's header.
pub const LOG_HEADER_SIZE: usize = COMPAT_FLAGS + 8;
/// What it has at least.
pub const LOG_HEADER_SIZE_MIN: usize = 24;
/// `major_version`
pub const LOG_MAJOR_VERSION: u8 = 1;
/// `minor_version` where we write it.
pub const LOG_MINOR_VERSION: u8 = 3;
/// From this version on flag changes that no client sees do not count as modifications.
pub const VERSION_HIDES_INTERNAL: (u8, u8) = (1, 3);
/// From this version on the byte order is known.
pub const VERSION_COMPAT_FLAGS: (u8, u8) = (1, 2);

// Offsets of the fields, each from the one before.
const MAJOR: usize = 0;
const MINOR: usize = MAJOR + 1;
const HDR_SIZE: usize = MINOR + 1;
/// Offset of the index id, which is overwritten with 0 to mark a log as damaged.
pub const LOG_INDEX_ID: usize = HDR_SIZE + 2;
const FILE_SEQ: usize = LOG_INDEX_ID + 4;
const PREV_FILE_SEQ: usize = FILE_SEQ + 4;
const PREV_FILE_OFFSET: usize = PREV_FILE_SEQ + 4;
const CREATE_STAMP: usize = PREV_FILE_OFFSET + 4;
const INITIAL_MODSEQ: usize = CREATE_STAMP + 4;
const COMPAT_FLAGS: usize = INITIAL_MODSEQ + 8;

/// The header of a log file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogHeader {
    /// 1; other versions are not read.
    pub major_version: u8,
    /// See [`LOG_MINOR_VERSION`].
    pub minor_version: u8,
    /// Bytes of the header; records begin there.
    pub hdr_size: u16,
    /// That of the index file; 0 in a damaged log.
    pub index_id: u32,
    /// Counts the logs of an index.
    pub file_seq: u32,
    /// The log before; 0 if this one begins with an empty index.
    pub prev_file_seq: u32,
    /// How long that was in the end.
    pub prev_file_offset: u32,
    /// When this one was made, in seconds since 1970.
    pub create_stamp: u32,
    /// The highest modification sequence before the first record.
    pub initial_modseq: u64,
    /// Byte order, as in the index file.
    pub compat_flags: u8,
}

impl LogHeader {
    /// Reads the fields that `bytes` has; those beyond its end, and beyond the size it names, are 0.
    pub fn parse(bytes: &[u8]) -> Self {
        let size = short(bytes, HDR_SIZE).unwrap_or(0);
        let bytes = bytes.get(..usize::from(size).max(LOG_INDEX_ID)).unwrap_or(bytes);
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let field = |at| number(bytes, at).unwrap_or(0);
        Self {
            major_version: byte(MAJOR),
            minor_version: byte(MINOR),
            hdr_size: size,
            index_id: field(LOG_INDEX_ID),
            file_seq: field(FILE_SEQ),
            prev_file_seq: field(PREV_FILE_SEQ),
            prev_file_offset: field(PREV_FILE_OFFSET),
            create_stamp: field(CREATE_STAMP),
            initial_modseq: long(bytes, INITIAL_MODSEQ).unwrap_or(0),
            compat_flags: byte(COMPAT_FLAGS),
        }
    }

    /// The bytes in a file of our version.
    pub fn encode(&self) -> [u8; LOG_HEADER_SIZE] {
        let mut bytes = [0; LOG_HEADER_SIZE];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(target) = bytes.get_mut(at..at + value.len()) {
                target.copy_from_slice(value);
            }
        };
        put(MAJOR, &[self.major_version, self.minor_version]);
        put(HDR_SIZE, &self.hdr_size.to_le_bytes());
        put(LOG_INDEX_ID, &self.index_id.to_le_bytes());
        put(FILE_SEQ, &self.file_seq.to_le_bytes());
        put(PREV_FILE_SEQ, &self.prev_file_seq.to_le_bytes());
        put(PREV_FILE_OFFSET, &self.prev_file_offset.to_le_bytes());
        put(CREATE_STAMP, &self.create_stamp.to_le_bytes());
        put(INITIAL_MODSEQ, &self.initial_modseq.to_le_bytes());
        put(COMPAT_FLAGS, &[self.compat_flags]);
        bytes
    }

    /// Major and minor version, to be compared.
    pub fn version(&self) -> (u8, u8) {
        (self.major_version, self.minor_version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_place() {
        let mut bytes: [u8; LOG_HEADER_SIZE] = std::array::from_fn(|at| at as u8 + 40);
        bytes[HDR_SIZE..HDR_SIZE + 2].copy_from_slice(&40u16.to_le_bytes());
        bytes[33..].fill(0);
        assert_eq!(LogHeader::parse(&bytes).encode(), bytes);
        assert_eq!(LOG_HEADER_SIZE, 40);
        assert_eq!(LogHeader::parse(&[]).version(), (0, 0));
    }
}
