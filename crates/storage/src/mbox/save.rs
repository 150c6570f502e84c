//! A message on its way into an mbox: headers that are ours are left out, ours are put in, and the
//! body ends with a line end. Pure.

use message::header::Field;

use crate::stored::LineEnds;
use crate::view::Flags;

use super::header::Own;
use super::md5::{HeaderMd5, Sum};
use super::rewrite::WantedBase;

/// What our headers of a new message say.
#[derive(Clone, Debug, Default)]
pub struct NewMessage<'a> {
    /// If it is the first of its file.
    pub base: Option<WantedBase<'a>>,
    /// Its UID.
    pub uid: u32,
    /// System flags.
    pub flags: Flags,
    /// Whether it is not `\Recent`.
    pub is_old: bool,
    /// Keywords, by name.
    pub keywords: Vec<&'a str>,
}

impl NewMessage<'_> {
    /// Our fields and the empty line. The last field has room for `Content-Length`, which
    /// [`content_length_field`] takes.
    pub fn to_header(&self) -> Vec<u8> {
        let mut text = String::new();
        if let Some(base) = &self.base {
            text.push_str(&format!("X-IMAPbase: {}\n", base.to_value()));
        }
        text.push_str(&format!("X-UID: {}\n", self.uid));
        for (kind, name) in [(Own::Status, "Status"), (Own::XStatus, "X-Status")] {
            let has = |flag: &Option<Flags>| flag.map_or(self.is_old, |flag| self.flags.has(flag));
            let letters: String = kind
                .letters()
                .iter()
                .filter(|(_, flag)| has(flag))
                .map(|&(byte, _)| char::from(byte))
                .collect();
            if kind == Own::Status || !letters.is_empty() {
                text.push_str(&format!("{name}: {letters}\n"));
            }
        }
        text.push_str("X-Keywords:");
        self.keywords.iter().for_each(|word| {
            text.push(' ');
            text.push_str(word);
        });
        text.push_str(&" ".repeat(ROOM_BYTES));
        text.push_str("\n\n");
        text.into_bytes()
    }
}

/// The field that goes over the end of the room before the header's last LF and empty line.
pub fn content_length_field(bytes: u64) -> String {
    format!("\nContent-Length: {bytes}")
}

/// Turns the pieces of a message into what is stored.
pub struct SaveFilter {
    ends: LineEnds,
    /// `None` in the body.
    header: Option<InHeader>,
    out: Vec<u8>,
    /// Bytes that were taken from `out`.
    taken: u64,
    body: u64,
    /// What `ends` had at the beginning of the body.
    body_ends: u64,
    sum: Option<Sum>,
}

struct InHeader {
    /// A field whose end has not come yet.
    field: Vec<u8>,
    /// The field is longer than ours ever are and was stored already; whether a line of it just ended.
    passing: Option<bool>,
    /// Put in at the end of the header.
    own: Vec<u8>,
}

/// Where things came to lie, counted from the byte behind the `From ` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedMessage {
    /// Where the body begins. Two bytes before, the room for `Content-Length` ends.
    pub body: u64,
    /// Where the message ends; the line end that belongs to no message is still to come.
    pub end: u64,
    /// What clients see as RFC822.SIZE.
    pub virtual_size: u64,
    /// The sum over the header, if it was asked for.
    pub md5: Option<[u8; 16]>,
}

impl SaveFilter {
    /// `own` are our fields with the empty line. Stores lines with CRLF or LF.
    pub fn new(own: Vec<u8>, crlf: bool, md5: Option<HeaderMd5>) -> Self {
        Self {
            ends: LineEnds::new(crlf),
            header: Some(InHeader { field: Vec::new(), passing: None, own }),
            out: Vec::new(),
            taken: 0,
            body: 0,
            body_ends: 0,
            sum: md5.map(Sum::new),
        }
    }

    /// Adds a piece.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(header) = &mut self.header else {
                self.ends.push(rest, &mut self.out);
                return;
            };
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1);
            let (piece, more) = rest.split_at(end);
            rest = more;
            if header.ends_before(piece) {
                self.end_field();
            }
            self.header_piece(piece);
        }
    }

    /// What is to be stored now.
    pub fn take(&mut self) -> Vec<u8> {
        self.taken += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    fn offset(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    /// A piece of a field; with an LF it ends a line.
    fn header_piece(&mut self, piece: &[u8]) {
        let Some(header) = &mut self.header else { return };
        if let Some(passing) = &mut header.passing {
            *passing = piece.ends_with(b"\n");
            self.ends.push(piece, &mut self.out);
            return;
        }
        header.field.extend_from_slice(piece);
        if matches!(header.field.as_slice(), b"\n" | b"\r\n") {
            header.field.clear();
            self.end_header();
        } else if header.field.len() > FIELD_BYTES_MAX {
            header.passing = Some(piece.ends_with(b"\n"));
            self.ends.push(&std::mem::take(&mut header.field), &mut self.out);
        }
    }

    fn end_field(&mut self) {
        let Some(header) = &mut self.header else { return };
        header.passing = None;
        let whole = std::mem::take(&mut header.field);
        let field = Field::split(&whole);
        // A `From ` line would begin a message of its own.
        let is_dropped =
            Own::of(field.name).is_some() || field.is(b"X-Delivery-ID") || whole.starts_with(b"From ");
        if !is_dropped {
            if let Some(sum) = &mut self.sum {
                sum.field(&whole);
            }
            self.ends.push(&whole, &mut self.out);
        }
    }

    fn end_header(&mut self) {
        let Some(header) = self.header.take() else { return };
        self.out.extend_from_slice(&header.own);
        self.body = self.offset();
        self.body_ends = self.ends.size();
    }

    /// The message is complete. What [`take`](Self::take) gives afterwards is the last of it.
    pub fn finish(&mut self) -> SavedMessage {
        if let Some(header) = &self.header {
            let has_line_end =
                header.passing.unwrap_or(header.field.is_empty() || header.field.ends_with(b"\n"));
            if !has_line_end {
                self.header_piece(b"\n");
            }
            self.end_field();
            self.end_header();
        }
        self.ends.finish(&mut self.out);
        if self.ends.size() > self.body_ends && self.ends.last() != b'\n' {
            self.ends.push(b"\n", &mut self.out);
        }
        SavedMessage {
            body: self.body,
            end: self.offset(),
            // The empty line is one of ours in the file, but clients see it.
            virtual_size: self.ends.virtual_size() + 2,
            md5: self.sum.take().map(Sum::finish),
        }
    }
}

impl InHeader {
    /// Whether a piece begins a new field.
    fn ends_before(&self, piece: &[u8]) -> bool {
        let is_at_line = self.passing.unwrap_or(self.field.ends_with(b"\n"));
        is_at_line && !matches!(piece, [b' ' | b'\t', ..])
    }
}

/// 2.3's: 51 to be left, and what `Content-Length` needs with the longest number.
const ROOM_BYTES: usize = 51 + "Content-Length: \n".len() + 23;
/// Fields of ours are never so long.
const FIELD_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "X-UID: 1\n\n";

    fn check(crlf: bool, text: &str, expected: &str, hashed: &str) {
        use md5::{Digest, Md5};
        for step in [text.len().max(1), 3, 1] {
            let mut filter = SaveFilter::new(OWN.into(), crlf, Some(HeaderMd5::All));
            let mut stored = Vec::new();
            for piece in text.as_bytes().chunks(step) {
                filter.push(piece);
                stored.extend(filter.take());
            }
            let saved = filter.finish();
            stored.extend(filter.take());
            assert_eq!(String::from_utf8_lossy(&stored), expected, "{text:?}");
            assert_eq!(saved.end, stored.len() as u64);
            let (header, body) = expected.split_once(OWN).unwrap();
            assert_eq!(saved.body as usize, header.len() + OWN.len());
            let seen = format!("{header}\n{body}").replace("\r\n", "\n");
            assert_eq!(saved.virtual_size as usize, seen.replace('\n', "\r\n").len(), "{text:?}");
            assert_eq!(saved.md5, Some(Md5::digest(hashed.as_bytes()).into()), "{text:?}");
        }
    }

    #[test]
    fn filtered() {
        check(false, "A: b\r\n\r\nbody\r\n", "A: b\nX-UID: 1\n\nbody\n", "b");
        check(false, "A: b\n\nbody", "A: b\nX-UID: 1\n\nbody\n", "b");
        check(false, "A: b\nStatus: x\n y\nx-uid: 7\nB: c\n d\n\n", "A: b\nB: c\n d\nX-UID: 1\n\n", "bc d");
        check(false, "From x\nX-Delivery-ID: x\nA: b\n\nFrom x\n", "A: b\nX-UID: 1\n\nFrom x\n", "b");
        check(true, "A: b\n\nbody\n", "A: b\r\nX-UID: 1\n\nbody\r\n", "b");
        check(false, "A: b", "A: b\nX-UID: 1\n\n", "b");
        check(false, "", "X-UID: 1\n\n", "");
        check(false, "\n", "X-UID: 1\n\n", "");
        check(false, "\r\n\r\nx\r", "X-UID: 1\n\n\nx\n", "");
    }

    #[test]
    fn a_field_without_end() {
        let long = format!("A: {}\n more\nStatus: x\n\nbody\n", "x".repeat(FIELD_BYTES_MAX));
        let mut filter = SaveFilter::new(OWN.into(), false, None);
        long.as_bytes().chunks(10_000).for_each(|piece| filter.push(piece));
        filter.finish();
        assert!(filter.take() == long.replace("Status: x\n\n", OWN).into_bytes());
    }

    #[test]
    fn our_fields() {
        let first = NewMessage {
            base: Some(WantedBase { uid_validity: 9, last_uid: 1, keywords: Vec::new() }),
            uid: 1,
            ..NewMessage::default()
        };
        let room = " ".repeat(ROOM_BYTES);
        let expected = format!("X-IMAPbase: 9 0000000001\nX-UID: 1\nStatus: \nX-Keywords:{room}\n\n");
        assert_eq!(String::from_utf8(first.to_header()).unwrap(), expected);
        let other = NewMessage {
            uid: 2,
            flags: Flags::SEEN | Flags::DRAFT,
            is_old: true,
            keywords: vec!["a", "b"],
            ..NewMessage::default()
        };
        let expected = format!("X-UID: 2\nStatus: RO\nX-Status: T\nX-Keywords: a b{room}\n\n");
        assert_eq!(String::from_utf8(other.to_header()).unwrap(), expected);
        assert_eq!(content_length_field(14), "\nContent-Length: 14");
    }
}
