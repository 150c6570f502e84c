//! Facts that only the message itself tells.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
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
    let room = if structure || size { BUFFER } else { HEADER_BUFFER };
    let mut reader = BufReader::with_capacity(room, opened.reader);
    if wanted.has(Wanted::SIZE_PHYSICAL) {
        facts.size_physical = facts.size_physical.or(Some(reader.get_ref().size()));
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
    let mut counting = Counting::new(&mut reader);
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

/// The header with the empty line that ends it.
fn read_header(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    loop {
        let start = header.len();
        let limit = (HEADER_BYTES_MAX - start.min(HEADER_BYTES_MAX)) as u64;
        reader.by_ref().take(limit).read_until(b'\n', &mut header)?;
        match header.get(start..) {
            None | Some([] | b"\n" | b"\r\n") => return Ok(header),
            Some(_) => {}
        }
    }
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
