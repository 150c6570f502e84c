//! Facts that only the message itself tells.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use message::Parts;
use message::envelope::Envelope;
use message::header::Fields;

use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};

use super::Opened;

/// What is made from the header alone.
pub(super) const HEADER_FACTS: Wanted = Wanted(Wanted::HEADER.0 | Wanted::ENVELOPE.0 | Wanted::SENT_DATE.0);

/// What has to be read from the message.
pub(super) fn missing(facts: &Facts, wanted: Wanted) -> Wanted {
    let mut missing = Wanted::NONE;
    for (bit, known) in [
        (Wanted::HEADER, facts.header.is_some()),
        (Wanted::ENVELOPE, facts.envelope.is_some()),
        (Wanted::SENT_DATE, facts.sent_date.is_some()),
        (Wanted::BODY, facts.body.is_some()),
        (Wanted::BODYSTRUCTURE, facts.bodystructure.is_some()),
        (Wanted::SIZE_VIRTUAL, facts.size_virtual.is_some()),
        (Wanted::SIZE_PHYSICAL, facts.size_physical.is_some()),
    ] {
        if wanted.has(bit) && !known {
            missing |= bit;
        }
    }
    missing
}

/// Reads what is `wanted` into `facts`, opening the message once. Gives the tree of parts if that had to
/// be made.
pub(super) fn read(opened: Opened, wanted: Wanted, facts: &mut Facts) -> Result<Option<Parts>> {
    let failed = |error| Error::io("read", opened.path.clone(), error);
    let structure = wanted.has(Wanted::BODY) || wanted.has(Wanted::BODYSTRUCTURE);
    let size = wanted.has(Wanted::SIZE_VIRTUAL);
    let mut reader = opened.reader;
    if wanted.has(Wanted::SIZE_PHYSICAL) {
        facts.size_physical = facts.size_physical.or(Some(reader.size()));
    }
    if wanted.0 & HEADER_FACTS.0 != 0 {
        let header = read_header(&mut reader).map_err(failed)?;
        if wanted.has(Wanted::ENVELOPE) {
            facts.envelope = Some(envelope(&header));
        }
        facts.header = Some(header.into());
        facts.fill_from_header(wanted, &[]);
    }
    if !structure && !size {
        return Ok(None);
    }
    reader.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut counting = Counting::new(BufReader::with_capacity(BUFFER, reader));
    let mut parts = None;
    if structure {
        let made = message::parse_reader(&mut counting, message::Options::default(), ()).map_err(failed)?;
        set_structure(&made, wanted, facts);
        parts = Some(made);
    }
    io::copy(&mut counting, &mut io::sink()).map_err(failed)?;
    facts.size_virtual = facts.size_virtual.or(Some(counting.virtual_size));
    Ok(parts)
}

/// ENVELOPE of a header.
pub(super) fn envelope(header: &[u8]) -> Arc<[u8]> {
    envelope_of([header])
}

/// ENVELOPE of a header's fields, in any order but that those of one name are together.
pub(super) fn envelope_of<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Arc<[u8]> {
    let mut envelope = Envelope::default();
    for field in fields.into_iter().flat_map(Fields::new) {
        envelope.take(&field);
    }
    let mut out = Vec::with_capacity(ENVELOPE_BYTES);
    message::envelope::write(&mut out, &envelope);
    out.into()
}

/// BODY and BODYSTRUCTURE of a tree.
pub(super) fn set_structure(parts: &Parts, wanted: Wanted, facts: &mut Facts) {
    for (bit, extended) in [(Wanted::BODY, false), (Wanted::BODYSTRUCTURE, true)] {
        if wanted.has(bit) {
            let mut out = Vec::new();
            message::bodystructure::write(&mut out, parts, extended);
            *(if extended { &mut facts.bodystructure } else { &mut facts.body }) = Some(out.into());
        }
    }
}

/// The header with the empty line that ends it. What comes behind may have been read as well.
fn read_header(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    let mut searched = 0;
    loop {
        let start = header.len();
        header.resize(start + HEADER_BUFFER, 0);
        let count = loop {
            match reader.read(header.get_mut(start..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        header.truncate(start + count);
        if let Some(end) = header_end(&header, searched) {
            header.truncate(end.min(HEADER_BYTES_MAX));
            return Ok(header);
        }
        if count == 0 || header.len() >= HEADER_BYTES_MAX {
            header.truncate(HEADER_BYTES_MAX);
            return Ok(header);
        }
        // An empty line may have begun.
        searched = header.len().saturating_sub(2);
    }
}

/// Where the header ends, behind its first empty line, which does not begin before `from`.
fn header_end(data: &[u8], from: usize) -> Option<usize> {
    let empty_line = |at: usize| match data.get(at..) {
        Some([b'\n', ..]) => Some(at + 1),
        Some([b'\r', b'\n', ..]) => Some(at + 2),
        _ => None,
    };
    let first = if from == 0 { empty_line(0) } else { None };
    let rest = data.get(from..).unwrap_or_default();
    first.or_else(|| memchr::memchr_iter(b'\n', rest).find_map(|at| empty_line(from + at + 1)))
}

/// Counts bytes as they are when every line ends with CRLF.
struct Counting<R> {
    inner: R,
    virtual_size: u64,
    last: u8,
}

impl<R> Counting<R> {
    fn new(inner: R) -> Self {
        Self { inner, virtual_size: 0, last: 0 }
    }
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let data = buffer.get(..count).unwrap_or_default();
        self.virtual_size += count as u64;
        for at in memchr::memchr_iter(b'\n', data) {
            let before = if at == 0 { self.last } else { data[at - 1] };
            self.virtual_size += u64::from(before != b'\r');
        }
        self.last = data.last().copied().unwrap_or(self.last);
        Ok(count)
    }
}

const BUFFER: usize = 64 * 1024;
/// Most headers are smaller.
const HEADER_BUFFER: usize = 8 * 1024;
/// Most envelopes are smaller.
const ENVELOPE_BYTES: usize = 1024;
/// A header beyond this is cut for ENVELOPE and HEADER; no program makes one so long.
const HEADER_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            let (now, rest) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = rest;
            Ok(count)
        }
    }

    #[test]
    fn a_header_ends_with_its_empty_line() {
        for (message, header) in [
            (&b"A: b\n\nbody\n\n"[..], &b"A: b\n\n"[..]),
            (b"A: b\r\n\r\nbody", b"A: b\r\n\r\n"),
            (b"A: b\r\n\nbody", b"A: b\r\n\n"),
            (b"A: b\n\r\nbody", b"A: b\n\r\n"),
            (b"\nbody\n\n", b"\n"),
            (b"\r\nbody", b"\r\n"),
            (b"A: b\n\rC: d\n\n", b"A: b\n\rC: d\n\n"),
            (b"A: b\n c", b"A: b\n c"),
            (b"", b""),
        ] {
            for step in [1, 2, 3, 5, 100] {
                assert_eq!(read_header(&mut Slow(message, step)).unwrap(), header, "{message:?} by {step}");
            }
        }
    }
}
