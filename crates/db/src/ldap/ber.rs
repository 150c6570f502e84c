//! As much of BER (X.690) as LDAP has: RFC 4511 section 5.1. Lengths are definite, tags have one byte.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The bits of a tag that say that it goes on in the next byte.
const LONG_TAG: u8 = 0x1f;

/// One value.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    match u8::try_from(content.len()) {
        Ok(length @ 0..=0x7f) => out.push(length),
        _ => {
            let length = content.len().to_be_bytes();
            let zeros = length.iter().take_while(|byte| **byte == 0).count();
            let length = length.get(zeros..).unwrap_or_default();
            // No more than eight.
            out.push(0x80 | length.len() as u8);
            out.extend_from_slice(length);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A value that consists of others.
pub(super) fn values(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    value(tag, &parts.concat())
}

/// A number that is not negative.
pub(super) fn number(tag: u8, number: i32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    // A zero in front keeps the sign.
    let zeros = bytes.windows(2).take_while(|pair| matches!(pair, [0, 0..0x80])).count();
    value(tag, bytes.get(zeros..).unwrap_or_default())
}

/// The length in a header behind the tag: how many bytes it has, and what it says. `None` for what LDAP does
/// not allow.
pub(super) fn length_bytes(first: u8) -> Option<usize> {
    match first {
        0..=0x7f => Some(0),
        0x81..=0x84 => Some(usize::from(first & 0x7f)),
        _ => None,
    }
}

/// The length whose first byte is `first` and whose others are `rest`.
pub(super) fn length(first: u8, rest: &[u8]) -> usize {
    match rest {
        [] => usize::from(first),
        _ => rest.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
    }
}

/// What is left of values within a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'p>(pub(super) &'p [u8]);

impl<'p> Parts<'p> {
    /// The next value: its tag, and what is in it.
    pub(super) fn next(&mut self) -> Option<(u8, &'p [u8])> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        if tag & LONG_TAG == LONG_TAG {
            return None;
        }
        let (long, rest) = rest.split_at_checked(length_bytes(*first)?)?;
        let (content, rest) = rest.split_at_checked(length(*first, long))?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// The next value, if it has that tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'p [u8]> {
        self.next().and_then(|(found, content)| (found == tag).then_some(content))
    }

    pub(super) fn text(&mut self, tag: u8) -> Option<String> {
        self.take(tag).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self, tag: u8) -> Option<i32> {
        let bytes = self.take(tag)?;
        if bytes.is_empty() || bytes.len() > 4 {
            return None;
        }
        let number = bytes.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        i32::try_from(number).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for size in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0x100_0000] {
            let bytes = value(OCTETS, &vec![b'x'; size]);
            let mut parts = Parts(&bytes);
            assert_eq!(parts.take(OCTETS).map(<[u8]>::len), Some(size));
            assert!(parts.0.is_empty());
        }
        for (it, expect) in [(0, 3), (1, 3), (0x7f, 3), (0x80, 4), (0x7fff, 4), (0x8000, 5), (i32::MAX, 6)] {
            let bytes = number(INTEGER, it);
            assert_eq!(bytes.len(), expect, "{it}");
            assert_eq!(Parts(&bytes).number(INTEGER), Some(it));
        }
    }

    #[test]
    fn what_is_not_there_is_not_read() {
        for bad in [
            &b""[..],
            b"\x04",
            b"\x04\x02x",
            b"\x04\x80xx\0\0",
            b"\x04\x81",
            b"\x04\x84\x7f\xff\xff\xff",
            b"\x04\x88\xff\xff\xff\xff\xff\xff\xff\xffx",
            b"\x1f\x01x",
            b"\x30\x01x",
        ] {
            assert_eq!(Parts(bad).take(OCTETS), None, "{bad:?}");
        }
        assert_eq!(Parts(b"\x02\x00").number(INTEGER), None);
        assert_eq!(Parts(b"\x02\x05\0\0\0\0\x01").number(INTEGER), None);
        assert_eq!(Parts(b"\x02\x04\xff\xff\xff\xff").number(INTEGER), None);
    }
}
