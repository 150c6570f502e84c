//! What dbox keeps in the extensions of `dovecot.index` and of mdbox's map, as bytes. Numbers are
//! little-endian. Pure.

use base::Guid;

/// The name of sdbox's header extension.
pub const SDBOX_HEADER: &str = "dbox-hdr";
/// The name of mdbox's header extension.
pub const MDBOX_HEADER: &str = "mdbox-hdr";
/// The name of mdbox's record extension.
pub const MDBOX_RECORD: &str = "mdbox";
/// The name of the record extension with a message's GUID.
pub const GUID: &str = "guid";
/// The name of the map's extension with places.
pub const MAP: &str = "map";
/// The name of the map's extension with reference counts.
pub const REF: &str = "ref";
/// The name of the header extension with the highest UID that has a saved POP3 UIDL.
pub const POP3_UIDL: &str = "hdr-pop3-uidl";

/// The record flag of a message that is, or is to be, in the alternative place.
pub const FLAG_ALT: u8 = 0x40;

/// Some messages of the mailbox have a saved UIDL.
pub const HAVE_POP3_UIDLS: u8 = 1;
/// Some messages of the mailbox have a saved place in POP3's order.
pub const HAVE_POP3_ORDERS: u8 = 2;

/// The header of a mailbox: `dbox-hdr` and `mdbox-hdr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailboxHeader {
    /// sdbox: how often the index was rebuilt. mdbox: UIDVALIDITY of the map.
    pub number: u32,
    /// The mailbox's GUID; all zero is damage.
    pub guid: Guid,
    /// [`HAVE_POP3_UIDLS`], [`HAVE_POP3_ORDERS`].
    pub flags: u8,
}

impl MailboxHeader {
    /// Bytes as written.
    pub const BYTES: usize = 24;

    /// `None` if there are too few bytes. Those that older versions lack are zero.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let number = u32_at(bytes, 0)?;
        let guid = bytes.get(4..20).and_then(|guid| guid.try_into().ok()).map(Guid).unwrap_or_default();
        Some(Self { number, guid, flags: bytes.get(20).copied().unwrap_or(0) })
    }

    /// As it is written.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        put(&mut bytes, 0, &self.number.to_le_bytes());
        put(&mut bytes, 4, &self.guid.0);
        put(&mut bytes, 20, &[self.flags]);
        bytes
    }
}

/// The record of a message in an mdbox mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MdboxRecord {
    /// Its UID in the map; 0 is damage.
    pub map_uid: u32,
    /// When it was saved to this mailbox, in seconds since 1970.
    pub saved: u32,
}

impl MdboxRecord {
    /// Bytes as written.
    pub const BYTES: usize = 8;

    /// `None` if there are too few bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self { map_uid: u32_at(bytes, 0)?, saved: u32_at(bytes, 4)? })
    }

    /// As it is written.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        put(&mut bytes, 0, &self.map_uid.to_le_bytes());
        put(&mut bytes, 4, &self.saved.to_le_bytes());
        bytes
    }
}

/// The header of the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapHeader {
    /// The highest id that a file has ever had.
    pub highest_file_id: u32,
    /// How often the storage was rebuilt.
    pub rebuild_count: u32,
}

impl MapHeader {
    /// Bytes as written.
    pub const BYTES: usize = 8;

    /// Missing bytes are zero.
    pub fn parse(bytes: &[u8]) -> Self {
        Self { highest_file_id: u32_at(bytes, 0).unwrap_or(0), rebuild_count: u32_at(bytes, 4).unwrap_or(0) }
    }

    /// As it is written.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        put(&mut bytes, 0, &self.highest_file_id.to_le_bytes());
        put(&mut bytes, 4, &self.rebuild_count.to_le_bytes());
        bytes
    }
}

/// Where a message of the map lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapRecord {
    /// The file; 0 is damage.
    pub file_id: u32,
    /// Of its message header.
    pub offset: u32,
    /// Bytes with header and metadata.
    pub size: u32,
}

impl MapRecord {
    /// Bytes as written.
    pub const BYTES: usize = 12;

    /// `None` if there are too few bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self { file_id: u32_at(bytes, 0)?, offset: u32_at(bytes, 4)?, size: u32_at(bytes, 8)? })
    }

    /// As it is written.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        put(&mut bytes, 0, &self.file_id.to_le_bytes());
        put(&mut bytes, 4, &self.offset.to_le_bytes());
        put(&mut bytes, 8, &self.size.to_le_bytes());
        bytes
    }

    /// Where the next message of the file begins.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.size)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes.iter_mut().skip(at).zip(value).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn as_dovecot_wrote_them() {
        let place = MapRecord { file_id: 3, offset: 142, size: 2106 };
        assert_eq!(MapRecord::parse(&bytes("030000008e0000003a080000")), Some(place));
        assert_eq!(place.to_bytes().to_vec(), bytes("030000008e0000003a080000"));
        assert_eq!(place.end(), 2248);
        let map = MapHeader { highest_file_id: 3, rebuild_count: 0 };
        assert_eq!(MapHeader::parse(&bytes("0300000000000000")), map);
        assert_eq!(map.to_bytes().to_vec(), bytes("0300000000000000"));
    }

    #[test]
    fn short_ones() {
        let guid = Guid(*b"0123456789abcdef");
        let header = MailboxHeader { number: 7, guid, flags: HAVE_POP3_ORDERS };
        let written = header.to_bytes();
        assert_eq!(MailboxHeader::parse(&written), Some(header));
        let old = MailboxHeader { number: 7, ..MailboxHeader::default() };
        assert_eq!(MailboxHeader::parse(&written[..4]), Some(old));
        assert_eq!(MailboxHeader::parse(&written[..3]), None);
        let record = MdboxRecord { map_uid: 1, saved: 2 };
        assert_eq!(MdboxRecord::parse(&record.to_bytes()), Some(record));
        assert_eq!(MdboxRecord::parse(&record.to_bytes()[..7]), None);
        assert_eq!(MapRecord::parse(&[]), None);
        assert_eq!(MapHeader::parse(&[1, 0, 0, 0]).highest_file_id, 1);
    }
}
