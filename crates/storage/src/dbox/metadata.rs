//! What stands behind a message's body: lines of one letter and a value. Pure.

use super::header::{METADATA_MAGIC, hex};

/// The keys that mean something to us.
pub mod key {
    /// The message's GUID.
    pub const GUID: u8 = b'G';
    /// A POP3 UIDL.
    pub const POP3_UIDL: u8 = b'P';
    /// A place in POP3's order, decimal.
    pub const POP3_ORDER: u8 = b'O';
    /// INTERNALDATE, hexadecimal seconds.
    pub const RECEIVED: u8 = b'R';
    /// Bytes of the message as plain text, hexadecimal.
    pub const PHYSICAL_SIZE: u8 = b'Z';
    /// Bytes with CRLF, hexadecimal.
    pub const VIRTUAL_SIZE: u8 = b'V';
    /// Attachments kept elsewhere.
    pub const EXT_REF: u8 = b'X';
    /// The mailbox the message was saved to.
    pub const MAILBOX: u8 = b'B';
    /// In version 1: the rest is room.
    pub const OLD_SPACE: u8 = b' ';
}

/// The metadata of one message as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    lines: Vec<Vec<u8>>,
    /// Where the next message begins, in bytes from the file's start.
    pub end: u64,
}

impl Metadata {
    /// From lines without LF, in order.
    pub fn new(lines: Vec<Vec<u8>>, end: u64) -> Self {
        Self { lines, end }
    }

    /// All lines, without LF.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(Vec::as_slice)
    }

    /// The first value of a key.
    pub fn get(&self, key: u8) -> Option<&[u8]> {
        self.lines().find_map(|line| line.split_first().filter(|(first, _)| **first == key)).map(|(_, v)| v)
    }

    fn number(&self, key: u8) -> Option<u64> {
        self.get(key).and_then(hex)
    }

    fn text(&self, key: u8) -> Option<&str> {
        self.get(key).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The GUID: must be there and not empty.
    pub fn guid(&self) -> Option<&str> {
        self.text(key::GUID).filter(|guid| !guid.is_empty())
    }

    /// INTERNALDATE in seconds since 1970.
    pub fn received(&self) -> Option<i64> {
        self.number(key::RECEIVED).map(u64::cast_signed)
    }

    /// RFC822.SIZE.
    pub fn virtual_size(&self) -> Option<u64> {
        self.number(key::VIRTUAL_SIZE)
    }

    /// Bytes as plain text; `None` where the body is as long as its header says.
    pub fn physical_size(&self) -> Option<u64> {
        self.number(key::PHYSICAL_SIZE)
    }

    /// A POP3 UIDL that was saved.
    pub fn pop3_uidl(&self) -> Option<&str> {
        self.text(key::POP3_UIDL)
    }

    /// A place in POP3's order that was saved.
    pub fn pop3_order(&self) -> Option<u32> {
        self.text(key::POP3_ORDER).and_then(|order| order.parse().ok()).filter(|&order| order != 0)
    }

    /// The mailbox the message was saved to, as the layout names it.
    pub fn mailbox(&self) -> Option<&str> {
        self.text(key::MAILBOX)
    }
}

/// The metadata of a message that is being saved.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewMetadata<'a> {
    /// Only where the body does not lie in the file as plain text.
    pub physical_size: Option<u64>,
    /// Seconds since 1970.
    pub received: i64,
    /// RFC822.SIZE.
    pub virtual_size: u64,
    /// Left out if there is an LF in it.
    pub pop3_uidl: Option<&'a str>,
    /// A place in POP3's order.
    pub pop3_order: Option<u32>,
    /// Must not be empty.
    pub guid: &'a str,
    /// As the layout names it; left out if there is a CR or LF in it.
    pub mailbox: Option<&'a str>,
    /// References to attachments.
    pub ext_refs: Option<&'a str>,
}

impl NewMetadata<'_> {
    /// Everything from the magic bytes to the empty line, in 2.3's order.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut text = String::new();
        let mut put = |key: u8, value: &str| {
            text.push(char::from(key));
            text.push_str(value);
            text.push('\n');
        };
        if let Some(size) = self.physical_size {
            put(key::PHYSICAL_SIZE, &format!("{size:x}"));
        }
        put(key::RECEIVED, &format!("{:x}", self.received));
        put(key::VIRTUAL_SIZE, &format!("{:x}", self.virtual_size));
        if let Some(uidl) = self.pop3_uidl.filter(|uidl| !uidl.contains('\n')) {
            put(key::POP3_UIDL, uidl);
        }
        if let Some(order) = self.pop3_order.filter(|&order| order != 0) {
            put(key::POP3_ORDER, &order.to_string());
        }
        put(key::GUID, &self.guid.replace('\n', ""));
        if let Some(mailbox) = self.mailbox.filter(|name| !name.contains(['\r', '\n'])) {
            put(key::MAILBOX, mailbox);
        }
        if let Some(refs) = self.ext_refs {
            put(key::EXT_REF, refs);
        }
        [METADATA_MAGIC.as_slice(), text.as_bytes(), b"\n"].concat()
    }
}

/// What a line says about where metadata goes on.
pub(crate) enum LineKind {
    /// A key and its value.
    Value,
    /// Nothing more comes.
    End,
}

pub(crate) fn line_kind(line: &[u8]) -> LineKind {
    match line {
        [] | [b'\n'] | [key::OLD_SPACE, ..] => LineKind::End,
        _ => LineKind::Value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let new = NewMetadata {
            received: 0x6b07_7823,
            virtual_size: 0x29,
            guid: "8a0500102378076bac70000083ecc375",
            mailbox: Some("sub/x"),
            ..NewMetadata::default()
        };
        let expected = "\n\x01\x03\nR6b077823\nV29\nG8a0500102378076bac70000083ecc375\nBsub/x\n\n";
        assert_eq!(String::from_utf8(new.to_bytes()).unwrap(), expected);
        let full = NewMetadata {
            physical_size: Some(16),
            received: -1,
            pop3_uidl: Some("a b"),
            pop3_order: Some(7),
            ..new
        };
        let bytes = full.to_bytes();
        let lines = bytes[4..].split(|&b| b == b'\n').take_while(|l| !l.is_empty()).map(<[u8]>::to_vec);
        let read = Metadata::new(lines.collect(), 0);
        assert_eq!((read.physical_size(), read.received()), (Some(16), Some(-1)));
        assert_eq!((read.pop3_uidl(), read.pop3_order()), (Some("a b"), Some(7)));
        assert_eq!((read.mailbox(), read.virtual_size()), (Some("sub/x"), Some(0x29)));
        assert_eq!(read.lines().next(), Some(b"Z10".as_slice()));
    }
}
