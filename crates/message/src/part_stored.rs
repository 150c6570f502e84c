//! The tree of parts as Dovecot's cache stores it (`mime.parts`): where each part lies and how large it
//! is, so that a part of a message is found without reading what is before it. The table is in
//! `docs/formats/cache.md`. Numbers are in the byte order of the machine.

use std::fmt::Write;

use crate::limits::{NESTED_PARTS_MAX, TOTAL_PARTS_MAX};
use crate::part::{Part, PartFlags, PartId, Parts, Size};

const MULTIPART: u32 = 0x01;
const DIGEST: u32 = 0x02;
const RFC822: u32 = 0x04;
const TEXT: u32 = 0x08;
const NULS: u32 = 0x20;
const MIME: u32 = 0x40;
const OVERFLOW: u32 = 0x80;

/// Why stored bytes are no tree, in 2.3's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadParts(&'static str);

impl Parts {
    /// The bytes that 2.3 stores for this tree.
    pub fn store(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        self.store_part(PartId::ROOT, &mut bytes);
        bytes
    }

    /// Reads what [`store`](Self::store) or 2.3 wrote. Such a tree has sizes only: what parts say of
    /// themselves is empty, and headers have no count of lines.
    ///
    /// # Errors
    /// For anything that 2.3 would not believe either, and for trees beyond the limits of parsing.
    pub fn restore(bytes: &[u8]) -> Result<Self, BadParts> {
        let mut restore = Restore { rest: bytes, parts: Vec::new(), position: 0 };
        restore.siblings(None, 1, 0)?;
        if !restore.rest.is_empty() {
            return Err(BadParts("Too much data"));
        }
        Ok(Self::new(restore.parts, None))
    }

    /// The tree as `doveadm dump` shows it.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        self.dump_part(PartId::ROOT, &mut text);
        text
    }

    fn store_part(&self, id: PartId, bytes: &mut Vec<u8>) {
        let part = self.part(id);
        bytes.extend_from_slice(&flag_bits(part.flags).to_ne_bytes());
        if id != PartId::ROOT {
            bytes.extend_from_slice(&part.start.to_ne_bytes());
        }
        for size in [part.header, part.body] {
            bytes.extend_from_slice(&size.physical.to_ne_bytes());
            bytes.extend_from_slice(&size.virtual_.to_ne_bytes());
        }
        if part.flags.text || part.flags.rfc822 {
            let lines = u32::try_from(part.body.lines).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&lines.to_ne_bytes());
        }
        if part.flags.multipart || part.flags.rfc822 {
            let children = self.children(id).count() as u32;
            bytes.extend_from_slice(&children.to_ne_bytes());
            // Invariant: parsing and reading both limit how deep parts lie.
            self.children(id).for_each(|child| self.store_part(child, bytes));
        }
    }

    fn dump_part(&self, id: PartId, text: &mut String) {
        let Part { start, header, body, flags, .. } = self.part(id);
        let (flags, has_children) = (flag_bits(*flags), self.part(id).first_child.is_some());
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "(pos={start} hdr.p={} hdr.v={} body.p={} body.v={} flags={flags:x}{}",
            header.physical,
            header.virtual_,
            body.physical,
            body.virtual_,
            if has_children { " " } else { "" }
        );
        self.children(id).for_each(|child| self.dump_part(child, text));
        text.push(')');
    }
}

struct Restore<'a> {
    rest: &'a [u8],
    parts: Vec<Part>,
    /// Before this no further part may begin.
    position: u64,
}

impl Restore<'_> {
    fn siblings(&mut self, parent: Option<PartId>, count: u32, depth: usize) -> Result<(), BadParts> {
        let mut previous: Option<PartId> = None;
        for _ in 0..count {
            let id = self.part(parent, depth)?;
            let link = match (previous, parent) {
                (Some(previous), _) => self.parts.get_mut(previous.index()).map(|part| &mut part.next),
                (None, Some(parent)) => self.parts.get_mut(parent.index()).map(|part| &mut part.first_child),
                (None, None) => None,
            };
            if let Some(link) = link {
                *link = Some(id);
            }
            previous = Some(id);
        }
        Ok(())
    }

    fn part(&mut self, parent: Option<PartId>, depth: usize) -> Result<PartId, BadParts> {
        if self.parts.len() >= TOTAL_PARTS_MAX || depth > NESTED_PARTS_MAX {
            return Err(BadParts("Too many MIME parts"));
        }
        let flags = flags_of(self.u32()?);
        let start = if parent.is_some() { self.u64()? } else { 0 };
        if start < self.position {
            return Err(BadParts("physical_pos less than expected"));
        }
        let header = self.size("header_size.virtual_size too small")?;
        // The count of lines comes before the complaint about the size, as in 2.3.
        let (physical, virtual_) = (self.u64()?, self.u64()?);
        let lines = if flags.text || flags.rfc822 { self.u32()?.into() } else { 0 };
        if virtual_ < physical {
            return Err(BadParts("body_size.virtual_size too small"));
        }
        let body = Size { physical, virtual_, lines };
        let children = if flags.multipart || flags.rfc822 { self.u32()? } else { 0 };
        match children {
            0 if flags.rfc822 => return Err(BadParts("message/rfc822 part has no children")),
            2.. if flags.rfc822 => return Err(BadParts("message/rfc822 part has multiple children")),
            _ => {}
        }
        // Invariant: the limit on parts is far below 2^32.
        let id = PartId(self.parts.len() as u32);
        self.parts.push(Part { start, header, body, flags, parent, ..Part::default() });
        if children > 0 {
            self.position = start.saturating_add(header.physical);
            let end = self.position.saturating_add(body.physical);
            self.siblings(Some(id), children, depth + 1)?;
            if self.position > end {
                return Err(BadParts("child part location exceeds our size"));
            }
            self.position = end;
        }
        Ok(id)
    }

    fn size(&mut self, complaint: &'static str) -> Result<Size, BadParts> {
        let (physical, virtual_) = (self.u64()?, self.u64()?);
        if virtual_ < physical {
            return Err(BadParts(complaint));
        }
        Ok(Size { physical, virtual_, lines: 0 })
    }

    fn u32(&mut self) -> Result<u32, BadParts> {
        let (number, rest) = self.rest.split_first_chunk().ok_or(BadParts("Not enough data"))?;
        self.rest = rest;
        Ok(u32::from_ne_bytes(*number))
    }

    fn u64(&mut self) -> Result<u64, BadParts> {
        let (number, rest) = self.rest.split_first_chunk().ok_or(BadParts("Not enough data"))?;
        self.rest = rest;
        Ok(u64::from_ne_bytes(*number))
    }
}

fn flag_bits(flags: PartFlags) -> u32 {
    let bits = [
        (flags.multipart, MULTIPART),
        (flags.digest, DIGEST),
        (flags.rfc822, RFC822),
        (flags.text, TEXT),
        (flags.nuls, NULS),
        (flags.mime, MIME),
        (flags.overflow, OVERFLOW),
    ];
    bits.into_iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit)
}

fn flags_of(bits: u32) -> PartFlags {
    PartFlags {
        multipart: bits & MULTIPART != 0,
        digest: bits & DIGEST != 0,
        rfc822: bits & RFC822 != 0,
        text: bits & TEXT != 0,
        nuls: bits & NULS != 0,
        mime: bits & MIME != 0,
        overflow: bits & OVERFLOW != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, parse};

    const NESTED: &[u8] = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\
        Content-Type: text/plain\n\nhello\n--x\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody\n\
        --x\nContent-Type: application/x\n\naGVsbG8=\n--x--\n";

    fn nested() -> Parts {
        parse(NESTED, Options::default())
    }

    #[test]
    fn a_tree_comes_back() {
        let (parts, back) = (nested(), Parts::restore(&nested().store()).unwrap());
        assert_eq!(back.iter().count(), 5);
        for ((_, one), (_, other)) in parts.iter().zip(back.iter()) {
            let links = |part: &Part| (part.parent, part.first_child, part.next, part.flags, part.start);
            assert_eq!(links(one), links(other));
            assert_eq!(
                (one.header.virtual_, one.body.physical),
                (other.header.virtual_, other.body.physical)
            );
        }
        assert_eq!(back.store(), parts.store());
    }

    /// What 2.3.19 stored for a message of one part.
    #[test]
    fn bytes_of_dovecot() {
        let parts =
            parse(b"From: A <a@example.org>\nSubject: plain\n\nhello\n".as_slice(), Options::default());
        let hex: String = parts.store().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0800000028000000000000002b000000000000000600000000000000070000000000000001000000");
        assert_eq!(parts.dump(), "(pos=0 hdr.p=40 hdr.v=43 body.p=6 body.v=7 flags=8)");
    }

    #[test]
    fn damage_is_told() {
        let bytes = nested().store();
        for length in 0..bytes.len() {
            assert_eq!(Parts::restore(&bytes[..length]).unwrap_err(), BadParts("Not enough data"));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Parts::restore(&longer).unwrap_err(), BadParts("Too much data"));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let _ = Parts::restore(&damaged).map(|parts| parts.store());
            }
        }
    }

    #[test]
    fn too_deep_and_too_many_parts_are_refused() {
        let part = |children: u32| {
            let mut bytes = MULTIPART.to_ne_bytes().to_vec();
            bytes.resize(4 + 5 * 8, 0);
            bytes.extend(children.to_ne_bytes());
            bytes
        };
        let root = |children| [&part(children)[..4], &part(children)[12..]].concat();
        let deep = [root(1), part(1).repeat(NESTED_PARTS_MAX + 1)].concat();
        assert_eq!(Parts::restore(&deep).unwrap_err(), BadParts("Too many MIME parts"));
        let many = [root(20_000), part(0).repeat(20_000)].concat();
        assert_eq!(Parts::restore(&many).unwrap_err(), BadParts("Too many MIME parts"));
    }
}
