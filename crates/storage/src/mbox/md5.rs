//! The MD5 of a message's header, by which a message is known whose `X-UID` does not count, and which
//! is its GUID.

use md5::{Digest, Md5};
use message::header::Field;

use super::header::{Own, fields};

/// `mbox_md5`: which header fields count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderMd5 {
    /// `apop3d`: those that a delivery makes unique.
    #[default]
    Apop3d,
    /// `all`: all that are not ours.
    All,
}

impl HeaderMd5 {
    /// By the setting's word.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "apop3d" => Some(Self::Apop3d),
            "all" => Some(Self::All),
            _ => None,
        }
    }

    /// The sum over a header.
    pub fn of_header(self, header: &[u8]) -> [u8; 16] {
        let mut sum = Sum::new(self);
        fields(header).for_each(|range| sum.field(header.get(range).unwrap_or_default()));
        sum.finish()
    }
}

/// A sum in the making.
#[derive(Clone)]
pub struct Sum {
    which: HeaderMd5,
    md5: Md5,
    seen_received: bool,
}

impl Sum {
    /// Over no field yet.
    pub fn new(which: HeaderMd5) -> Self {
        Self { which, md5: Md5::new(), seen_received: false }
    }

    /// Adds a whole field with its folded lines.
    pub fn field(&mut self, field: &[u8]) {
        let field = Field::split(field);
        if field.name.is_empty() || Own::of(field.name).is_some() {
            return;
        }
        let counts = self.which == HeaderMd5::All
            || field.is(b"Delivered-To")
            || field.is(b"X-Delivery-ID")
            // The first Received has a date and an id that are better than the sender's.
            || (!self.seen_received
                && (field.is(b"Date") || field.is(b"Message-ID") || field.is(b"Received")));
        self.seen_received |= field.is(b"Received");
        if counts {
            let lines = field.raw_value.split(|&byte| byte == b'\n');
            lines.for_each(|line| self.md5.update(line.strip_suffix(b"\r").unwrap_or(line)));
        }
    }

    /// The sum.
    pub fn finish(self) -> [u8; 16] {
        self.md5.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(which: HeaderMd5, header: &str, hashed: &str) {
        let expected: [u8; 16] = Md5::digest(hashed.as_bytes()).into();
        assert_eq!(which.of_header(header.as_bytes()), expected, "{header}");
    }

    #[test]
    fn which_fields_count() {
        let header = "Date: d\nReceived: r1\n\tr2\r\nReceived: r3\nMessage-ID: m\nDelivered-To: t\n\
            Subject: s\nX-UID: 5\nX-Delivery-ID: i\n\nDate: body\n";
        check(HeaderMd5::Apop3d, header, "dr1\tr2ti");
        check(HeaderMd5::All, header, "dr1\tr2r3mtsi");
        check(HeaderMd5::Apop3d, "Subject: s\n\n", "");
        assert_eq!(HeaderMd5::of("apop3d"), Some(HeaderMd5::Apop3d));
        assert_eq!(HeaderMd5::of("x"), None);
    }
}
