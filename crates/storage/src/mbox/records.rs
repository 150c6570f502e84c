//! What mbox keeps in the extensions of `dovecot.index`, as bytes. Numbers are little-endian. Pure.

use base::Guid;

/// The name of the extension with offsets.
pub const MBOX: &str = "mbox";
/// The name of the extension with the MD5 of headers.
pub const HEADER_MD5: &str = "header-md5";

/// The header of the extension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MboxHeader {
    /// Bytes of the file when it was read last.
    pub size: u64,
    /// Its modification time then, in seconds since 1970.
    pub mtime: u32,
    /// Not everything was read: offsets may be wrong.
    pub is_dirty: bool,
    /// The mailbox's GUID.
    pub guid: Guid,
}

impl MboxHeader {
    /// Bytes as written.
    pub const BYTES: usize = 32;

    /// Missing bytes are zero.
    pub fn parse(bytes: &[u8]) -> Self {
        let size = bytes.get(..8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes);
        let mtime = bytes.get(8..12).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes);
        let guid = bytes.get(16..32).and_then(|guid| guid.try_into().ok()).map(Guid).unwrap_or_default();
        Self { size, mtime, is_dirty: bytes.get(12).is_some_and(|&flag| flag != 0), guid }
    }

    /// As it is written.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let parts = [
            self.size.to_le_bytes().as_slice(),
            &self.mtime.to_le_bytes(),
            &[u8::from(self.is_dirty), 0, 0, 0],
            &self.guid.0,
        ]
        .concat();
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let header = MboxHeader { size: 432, mtime: 7, is_dirty: true, guid: Guid(*b"0123456789abcdef") };
        assert_eq!(MboxHeader::parse(&header.to_bytes()), header);
        assert_eq!(MboxHeader::parse(&[1]), MboxHeader::default());
    }
}
