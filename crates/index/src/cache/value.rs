//! What the values mean: dates, sizes, flags, header fields and the sizes of decoded parts. The tree of
//! MIME parts is in crate `message`, which knows what parts are.

use super::layout::u32_at;

/// What is known of a message's bytes (`flags`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecordFlags(pub u32);

impl RecordFlags {
    /// Every line of the header ends in CRLF, so that nothing is to be changed for sending.
    pub const BINARY_HEADER: Self = Self(0x01);
    /// Every line of the body does.
    pub const BINARY_BODY: Self = Self(0x02);
    /// There are NUL bytes.
    pub const HAS_NULS: Self = Self(0x04);
    /// There are none. (0x08 once said so, wrongly, and counts for nothing.)
    pub const HAS_NO_NULS: Self = Self(0x20);
    /// BODY is that of plain US-ASCII text in 7 bits and everything else in BODYSTRUCTURE is NIL; with
    /// the sizes from `mime.parts` both need no field of their own.
    pub const TEXT_PLAIN_7BIT_ASCII: Self = Self(0x10);

    /// Whether all of these are set.
    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Reads the field.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode_u32(bytes).map(Self)
    }

    /// The bytes of the field.
    pub fn encode(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }
}

impl std::ops::BitOr for RecordFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Reads `date.received`, `date.save` (seconds since 1970) or `pop3.order` (from 1).
pub fn decode_u32(bytes: &[u8]) -> Option<u32> {
    (bytes.len() == 4).then(|| u32_at(bytes, 0))?
}

/// The bytes of `date.received`, `date.save` or `pop3.order`.
pub fn encode_u32(number: u32) -> [u8; 4] {
    number.to_ne_bytes()
}

/// Reads `size.virtual` or `size.physical`, in bytes.
pub fn decode_size(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_ne_bytes)
}

/// The bytes of `size.virtual` or `size.physical`.
pub fn encode_size(size: u64) -> [u8; 8] {
    size.to_ne_bytes()
}

/// The `Date` header field (`date.sent`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SentDate {
    /// Seconds since 1970; 0 where the field is missing or makes no sense.
    pub time: u32,
    /// Minutes east of Greenwich.
    pub zone_minutes: i32,
}

impl SentDate {
    /// Reads the field.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 8 {
            return None;
        }
        let zone_minutes = u32_at(bytes, 4)?.cast_signed();
        Some(Self { time: u32_at(bytes, 0)?, zone_minutes })
    }

    /// The bytes of the field.
    pub fn encode(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.time.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.zone_minutes.to_ne_bytes());
        bytes
    }
}

/// All header fields of one name (`hdr.…`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// For each field the number of its first line in the message's header, counted from 1;
    /// continuation lines count, but have no number here.
    pub lines: Vec<u32>,
    /// The fields with their names, lines ending in LF, folds as they were.
    pub text: Vec<u8>,
}

impl Header {
    /// Reads the field. What has no bytes at all says that there is no such header field. `None` if
    /// the line numbers have no end.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut numbers = bytes.chunks_exact(4).map(|word| u32_at(word, 0).unwrap_or(0));
        let count = numbers.by_ref().position(|number| number == 0)?;
        let (lines, text) = bytes.split_at_checked(4 * count + 4)?;
        let lines = lines.chunks_exact(4).take(count).filter_map(|word| u32_at(word, 0)).collect();
        Some(Self { lines, text: text.to_vec() })
    }

    /// The bytes of the field.
    pub fn encode(&self) -> Vec<u8> {
        if self.lines.is_empty() {
            return Vec::new();
        }
        let numbers = self.lines.iter().chain(&[0]).flat_map(|number| number.to_ne_bytes());
        numbers.chain(self.text.iter().copied()).collect()
    }
}

/// The text of `hdr.…` alone, where the order among several names does not matter. `None` if the line
/// numbers have no end.
pub fn header_text(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.is_empty() {
        return Some(bytes);
    }
    let count = bytes.chunks_exact(4).position(|word| word == [0; 4])?;
    bytes.get(4 * count + 4..)
}

/// Where the first field of a text ends: after a line that the next one does not go on.
fn field_end(text: &[u8]) -> usize {
    let ends = memchr::memchr_iter(b'\n', text).map(|lf| lf + 1);
    ends.into_iter().find(|&end| !matches!(text.get(end), Some(b' ' | b'\t'))).unwrap_or(text.len())
}

/// Puts cached values of several `hdr.…` into the order of the message. `None` if the line numbers of one have no
/// end.
pub fn join_headers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut fields: Vec<(u32, &[u8])> = Vec::new();
    let mut size = 0;
    for value in values {
        let mut rest = header_text(value)?;
        size += rest.len();
        let lines = value.chunks_exact(4).map(|word| u32_at(word, 0).unwrap_or(0));
        for line in lines.take_while(|&line| line != 0) {
            let (field, after) = rest.split_at(field_end(rest));
            fields.push((line, field));
            rest = after;
        }
    }
    fields.sort_by_key(|&(line, _)| line);
    let mut joined = Vec::with_capacity(size);
    fields.iter().for_each(|(_, field)| joined.extend_from_slice(field));
    Some(joined)
}

/// How large a part is once it is decoded (`binary.parts`), for parts that are encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BinaryPart {
    /// Where the part begins, in stored bytes from the beginning of the message.
    pub start: u64,
    /// Bytes of its header, with the encoding's name replaced by `binary`.
    pub header_size: u64,
    /// Bytes of its decoded body.
    pub body_size: u64,
    /// Lines of its decoded body.
    pub body_lines: u32,
}

impl BinaryPart {
    /// Reads the field.
    pub fn decode_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            parts.push(Self {
                start: unpack(&mut bytes)?,
                header_size: unpack(&mut bytes)?,
                body_size: unpack(&mut bytes)?,
                body_lines: unpack(&mut bytes)?.try_into().ok()?,
            });
        }
        Some(parts)
    }

    /// The bytes of the field.
    pub fn encode_all(parts: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            for number in [part.start, part.header_size, part.body_size, part.body_lines.into()] {
                pack(number, &mut bytes);
            }
        }
        bytes
    }
}

/// Seven bits a byte, least significant first; the top bit says that more follow.
fn pack(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn unpack(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits.leading_zeros() < shift {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The beginning of a message's text (`body.snippet`): how it was made, and the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snippet {
    /// `1` in 2.3.
    pub algorithm: u8,
    /// The text, in UTF-8. Empty if there is none to show.
    pub text: Vec<u8>,
}

impl Snippet {
    /// 2.3's only way of making one.
    pub const ALGORITHM_1: u8 = b'1';

    /// Reads the field.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&algorithm, text) = bytes.split_first()?;
        Some(Self { algorithm, text: text.to_vec() })
    }

    /// The bytes of the field.
    pub fn encode(&self) -> Vec<u8> {
        std::iter::once(self.algorithm).chain(self.text.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let received = Header { lines: vec![1, 5], text: b"Received: a\n\tb\nReceived: c\n".to_vec() };
        let subject = Header { lines: vec![3], text: b"Subject: x\n".to_vec() };
        let none = Header::decode(b"").unwrap();
        for header in [&received, &subject, &none] {
            assert_eq!(Header::decode(&header.encode()).as_ref(), Some(header));
        }
        let values = [&subject, &none, &received].map(Header::encode);
        let joined = join_headers(values.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(joined, b"Received: a\n\tb\nSubject: x\nReceived: c\n");
        assert_eq!(join_headers([&values[0][..], &[1, 0, 0, 0]]), None);
        // More numbers than fields.
        assert_eq!(join_headers([&[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a'][..]]).unwrap(), b"a");
        assert_eq!(Header::decode(&[1, 0, 0, 0]), None);
        assert_eq!(Header::decode(&[1, 0, 0]), None);
    }

    #[test]
    fn packed_numbers() {
        let parts = [
            BinaryPart { start: 0, header_size: 127, body_size: 128, body_lines: u32::MAX },
            BinaryPart { start: u64::MAX, header_size: 1 << 40, body_size: 300, body_lines: 0 },
        ];
        let bytes = BinaryPart::encode_all(&parts);
        assert_eq!(BinaryPart::decode_all(&bytes).unwrap(), parts);
        assert_eq!(BinaryPart::decode_all(&bytes[..bytes.len() - 1]), None);
        assert_eq!(BinaryPart::decode_all(&[0xff; 40]), None);
    }

    #[test]
    fn fixed_values() {
        let date = SentDate { time: 1_770_092_200, zone_minutes: -210 };
        assert_eq!(SentDate::decode(&date.encode()), Some(date));
        assert_eq!(decode_size(&encode_size(1 << 33)), Some(1 << 33));
        assert_eq!(decode_u32(&[1, 2, 3]), None);
    }
}
