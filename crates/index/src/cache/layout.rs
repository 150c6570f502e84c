//! The bytes of a cache file: header, lists of fields, records. The tables are in
//! `docs/formats/cache.md`. Numbers are in the byte order of the machine, as 2.3 writes them; there is
//! nothing in the file that says which, but the index beside it does.

/// Bytes of the file's header.
pub const HEADER_BYTES: usize = 32;
/// Where in the header the offset of the first list of fields is.
pub const FIELD_LIST_OFFSET_AT: u64 = 28;
/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 8;
/// Bytes at the beginning of a list of fields.
pub const FIELD_LIST_HEADER_BYTES: usize = 12;
/// Bytes each field has in a list besides its name.
pub const FIELD_BYTES: usize = 4 + 4 + 1 + 1;
/// Everything starts at a multiple of this.
pub const ALIGN: usize = 4;

/// The major version we read.
pub const MAJOR_VERSION: u8 = 1;
/// The minor version we write.
pub const MINOR_VERSION: u8 = 1;
/// What the byte after the major version must say: the size of a file offset.
pub const OFFSET_BYTES: u8 = 8;

/// The file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// 1; nothing else is read.
    pub major_version: u8,
    /// The size of a file offset for the writer, 8.
    pub offset_bytes: u8,
    /// 1; files with 0 are written anew.
    pub minor_version: u8,
    /// The index's `indexid`.
    pub indexid: u32,
    /// Which of all cache files of this mailbox; equals the `reset_id` of the index's `cache` extension.
    pub file_seq: u32,
    /// Records that are linked from a newer record of the same message.
    pub continued_record_count: u32,
    /// Messages with records. Before 2.2 something else.
    pub record_count: u32,
    /// The file's size after its first writing.
    pub used_file_size: u32,
    /// Records of messages that were expunged since.
    pub deleted_record_count: u32,
    /// Where the first list of fields is, as [`offset_to_packed`] writes it.
    pub field_list: u32,
}

impl Header {
    /// Reads a header; `None` if the file is too small for one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let &[major_version, offset_bytes, minor_version, _] = bytes.first_chunk()?;
        let word = |index: usize| u32_at(bytes, index * 4);
        Some(Self {
            major_version,
            offset_bytes,
            minor_version,
            indexid: word(1)?,
            file_seq: word(2)?,
            continued_record_count: word(3)?,
            record_count: word(4)?,
            used_file_size: word(5)?,
            deleted_record_count: word(6)?,
            field_list: word(7)?,
        })
    }

    /// The bytes of it.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&[self.major_version, self.offset_bytes, self.minor_version, 0]);
        let words = [
            self.indexid,
            self.file_seq,
            self.continued_record_count,
            self.record_count,
            self.used_file_size,
            self.deleted_record_count,
            self.field_list,
        ];
        for (slot, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// The number at `at`, which may be anywhere.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*word))
}

/// `length` with what fills it up to a multiple of four. Saturates.
pub const fn padded(length: usize) -> usize {
    length.saturating_add(ALIGN - 1) & !(ALIGN - 1)
}

/// Fills `bytes` up to a multiple of four.
pub fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(padded(bytes.len()), 0);
}

/// Writes an offset so that a reader can tell whether all four bytes have arrived: each has its top bit
/// set. Four-byte words are counted, in 28 bits, most significant first whatever the machine.
///
/// # Panics
/// If the offset is no multiple of four or not below 1 GiB, which the file's largest size excludes.
pub fn offset_to_packed(offset: u32) -> u32 {
    assert!(offset < 0x4000_0000 && offset.is_multiple_of(4), "offset {offset} cannot be packed");
    let words = offset >> 2;
    let bytes = [words >> 21, words >> 14, words >> 7, words].map(|part| (part & 0x7f) as u8 | 0x80);
    u32::from_ne_bytes(bytes)
}

/// The offset that [`offset_to_packed`] wrote; 0 if not all of it is there.
pub fn packed_to_offset(packed: u32) -> u32 {
    let bytes = packed.to_ne_bytes();
    if bytes.iter().any(|byte| byte & 0x80 == 0) {
        return 0;
    }
    bytes.iter().fold(0, |words, byte| words << 7 | u32::from(byte & 0x7f)) << 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_offsets() {
        // What 2.3 writes for a list right after the header.
        assert_eq!(offset_to_packed(32).to_ne_bytes(), [0x80, 0x80, 0x80, 0x88]);
        for offset in [0, 4, 32, 508, 512, 65536, 0x0123_4568, 0x3fff_fffc] {
            assert_eq!(packed_to_offset(offset_to_packed(offset)), offset);
        }
        assert_eq!(packed_to_offset(u32::from_ne_bytes([0x80, 0x80, 0, 0x88])), 0);
        assert_eq!(packed_to_offset(0), 0);
    }

    #[test]
    fn header_round_trip() {
        let header = Header { major_version: 1, indexid: 7, field_list: 99, ..Header::default() };
        assert_eq!(Header::decode(&header.encode()), Some(header));
        assert_eq!(Header::decode(&header.encode()[..31]), None);
    }

    #[test]
    fn padding() {
        assert_eq!([0, 1, 3, 4, 5].map(padded), [0, 4, 4, 4, 8]);
    }
}
