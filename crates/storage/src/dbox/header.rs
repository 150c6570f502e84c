//! The first line of a dbox file and the header before each message. Pure.

use crate::limits::DBOX_MESSAGE_HEADER_BYTES_MAX;

/// Begins a message header.
pub const MAGIC: [u8; 2] = [1, 2];
/// Begins the metadata behind a message's body.
pub const METADATA_MAGIC: [u8; 4] = *b"\n\x01\x03\n";
/// Bytes of the message headers that are written.
pub const MESSAGE_HEADER_BYTES: usize = 30;
/// The version that is written and appended to.
pub const VERSION: u8 = 2;

// Offsets in a message header, each from the one before it.
const TYPE: usize = MAGIC.len();
const FIRST_SPACE: usize = TYPE + 1;
const OLD_UID: usize = FIRST_SPACE + 1;
const SECOND_SPACE: usize = OLD_UID + 8;
const SIZE: usize = SECOND_SPACE + 1;
const SIZE_END: usize = SIZE + 16;
const _: () = assert!(SIZE_END + 1 == MESSAGE_HEADER_BYTES);

/// What a file's first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// 1 or 2.
    pub version: u8,
    /// When the file was made, in seconds since 1970; 0 if it does not say.
    pub created: u64,
    /// Bytes of each message header.
    pub message_header_bytes: u32,
    /// Bytes of the line with its LF: where the first message begins.
    pub bytes: u64,
}

impl FileHeader {
    /// Reads the first line, with or without its LF.
    ///
    /// # Errors
    /// What is wrong with it, in 2.3's words.
    pub fn parse(line: &[u8]) -> Result<Self, &'static str> {
        let (version, fields) = match line.strip_suffix(b"\n").unwrap_or(line) {
            [version @ (b'1' | b'2'), b' ', fields @ ..] => (version - b'0', fields),
            _ => return Err("Invalid dbox version"),
        };
        let mut header = Self { version, created: 0, message_header_bytes: 0, bytes: line.len() as u64 };
        for field in fields.split(|&byte| byte == b' ') {
            match field {
                [b'M', value @ ..] => {
                    let bytes = hex(value).and_then(|bytes| u32::try_from(bytes).ok());
                    header.message_header_bytes = bytes.ok_or("Invalid message header size")?;
                }
                [b'C', value @ ..] => header.created = hex(value).ok_or("Invalid create time stamp")?,
                _ => {}
            }
        }
        match header.message_header_bytes {
            0 => Err("Missing message header size"),
            bytes if (MESSAGE_HEADER_BYTES as u32..=DBOX_MESSAGE_HEADER_BYTES_MAX).contains(&bytes) => {
                Ok(header)
            }
            _ => Err("Invalid message header size"),
        }
    }

    /// The header of a new file, made at `created` seconds since 1970.
    pub fn new(created: u64) -> Self {
        let mut header =
            Self { version: VERSION, created, message_header_bytes: MESSAGE_HEADER_BYTES as u32, bytes: 0 };
        header.bytes = header.to_line().len() as u64;
        header
    }

    /// The line with its LF.
    pub fn to_line(&self) -> Vec<u8> {
        format!("{} M{:x} C{:x}\n", self.version, self.message_header_bytes, self.created).into_bytes()
    }

    /// Whether messages may be added to the file.
    pub fn is_appendable(&self) -> bool {
        self.version == VERSION && self.message_header_bytes == MESSAGE_HEADER_BYTES as u32
    }
}

/// The size of the body, from a whole message header.
///
/// # Errors
/// What is wrong with it, in 2.3's words.
pub fn parse_message(header: &[u8]) -> Result<u64, &'static str> {
    if !header.starts_with(&MAGIC) {
        return Err("msg header has bad magic value");
    }
    if header.last() != Some(&b'\n') {
        return Err("msg header doesn't end with LF");
    }
    header.get(SIZE..SIZE_END).and_then(hex).ok_or("msg header has bad message size")
}

/// Whether this looks so much like a message header that it can be searched for in garbage: more is
/// asked of it than of one that is where it should be.
pub fn looks_like_message(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
        && bytes.get(TYPE) == Some(&b'N')
        && bytes.get(FIRST_SPACE) == Some(&b' ')
        && bytes.get(SECOND_SPACE) == Some(&b' ')
        && bytes.get(SIZE..SIZE_END).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// A message header of `bytes` bytes, at least [`MESSAGE_HEADER_BYTES`], for a body of `size` bytes.
pub fn message(size: u64, bytes: usize) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(b"N          ");
    header.extend_from_slice(format!("{size:016X}").as_bytes());
    header.resize(bytes.max(MESSAGE_HEADER_BYTES) - 1, b' ');
    header.push(b'\n');
    header
}

/// A hexadecimal number of at least one digit and at most 64 bits.
pub(crate) fn hex(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    // from_str_radix would take a sign.
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<(u8, u64, u32), &'static str>) {
        let parsed = FileHeader::parse(line.as_bytes());
        assert_eq!(parsed.map(|h| (h.version, h.created, h.message_header_bytes)), expected, "{line}");
    }

    #[test]
    fn first_lines() {
        check("2 M1e C6b077823\n", Ok((2, 0x6b07_7823, 30)));
        check("1 M20 A0000 C1 Z\n", Ok((1, 1, 32)));
        check("3 M1e C1\n", Err("Invalid dbox version"));
        check("", Err("Invalid dbox version"));
        check("2 C1\n", Err("Missing message header size"));
        check("2 M1d\n", Err("Invalid message header size"));
        check("2 Mffffffffff\n", Err("Invalid message header size"));
        check("2 M1e C+1\n", Err("Invalid create time stamp"));
        assert_eq!(FileHeader::new(0x6b07_7823).to_line(), b"2 M1e C6b077823\n");
        assert_eq!(FileHeader::new(1).bytes, 9);
    }

    #[test]
    fn message_headers() {
        let real = b"\x01\x02N          0000000000000024\n";
        assert_eq!(parse_message(real), Ok(0x24));
        assert_eq!(message(0x24, 0), real);
        assert_eq!(message(0x7df, 32), b"\x01\x02N          00000000000007DF  \n");
        assert!(looks_like_message(real));
        assert!(parse_message(&[]).is_err() && !looks_like_message(b"\x01\x02"));
        assert_eq!(parse_message(&[0; 30]), Err("msg header has bad magic value"));
        assert_eq!(
            parse_message(b"\x01\x02N          +000000000000024\n"),
            Err("msg header has bad message size")
        );
    }
}
