//! Facts about messages, from the cheapest source: the index's cache, the driver, and where nothing
//! else will do the message itself, of which the cache then keeps what its decisions ask for.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use base::{Guid, Uid};

use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::view::View;

use super::{Context, Driver, Opened, Shared};

/// The cache of one mailbox.
pub(crate) struct Cached {}

impl Cached {
    pub(super) fn new(_context: &Context) -> Self {
        Self {}
    }
}

impl<D: Driver> Shared<D> {
    pub(crate) fn fetch_facts(&self, view: &View, uid: Uid, wanted: Wanted) -> Result<Facts> {
        let mut facts = Facts::default();
        self.driver.facts(self, view, uid, wanted, &mut facts)?;
        let missing = missing(&facts, wanted);
        if missing != Wanted::NONE {
            let opened = self.driver.open(self, view, uid)?;
            read_content(opened, missing, &mut facts)?;
        }
        Ok(facts)
    }

    pub(crate) fn mailbox_guid(&self) -> Result<Guid> {
        let mut work = self.work();
        let work = &mut *work;
        let mut index = work.index.lock()?;
        self.driver.mailbox_guid(&mut index, &mut work.driver)
    }

    pub(crate) fn save_pop3_uidls(&self, uidls: &[(Uid, String)]) -> Result<()> {
        let mut work = self.work();
        let work = &mut *work;
        let guard = self.driver.guard()?;
        let mut index = work.index.lock()?;
        self.driver.save_pop3_uidls(&mut index, &mut work.driver, &guard, uidls)
    }
}

/// What has to be read from the message.
fn missing(facts: &Facts, wanted: Wanted) -> Wanted {
    let mut missing = Wanted::NONE;
    for (bit, known) in [
        (Wanted::HEADER, facts.header.is_some()),
        (Wanted::ENVELOPE, facts.envelope.is_some()),
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

fn read_content(opened: Opened, wanted: Wanted, facts: &mut Facts) -> Result<()> {
    let failed = |error| Error::io("read", opened.path.clone(), error);
    facts.size_physical = facts.size_physical.or(Some(opened.reader.size()));
    let mut reader = BufReader::with_capacity(BUFFER, opened.reader);
    let size = wanted.has(Wanted::SIZE_VIRTUAL);
    let structure = wanted.has(Wanted::BODY) || wanted.has(Wanted::BODYSTRUCTURE);
    if wanted.has(Wanted::HEADER) || wanted.has(Wanted::ENVELOPE) {
        let header = read_header(&mut reader).map_err(failed)?;
        if wanted.has(Wanted::ENVELOPE) {
            let mut out = Vec::new();
            message::envelope::write(&mut out, &message::envelope::Envelope::of_header(&header));
            facts.envelope = Some(out.into());
        }
        facts.header = Some(header.into());
    }
    if structure || size {
        reader.seek(SeekFrom::Start(0)).map_err(failed)?;
    }
    if structure {
        let mut counting = Counting::new(&mut reader);
        let parts = message::parse_reader(&mut counting, message::Options::default(), ()).map_err(failed)?;
        for (bit, extended) in [(Wanted::BODY, false), (Wanted::BODYSTRUCTURE, true)] {
            let mut out = Vec::new();
            message::bodystructure::write(&mut out, &parts, extended);
            let out: Option<Arc<[u8]>> = wanted.has(bit).then(|| out.into());
            if extended { facts.bodystructure = out } else { facts.body = out }
        }
        io::copy(&mut counting, &mut io::sink()).map_err(failed)?;
        facts.size_virtual = facts.size_virtual.or(Some(counting.virtual_size));
    } else if size {
        let mut counting = Counting::new(&mut reader);
        io::copy(&mut counting, &mut io::sink()).map_err(failed)?;
        facts.size_virtual = Some(counting.virtual_size);
    }
    Ok(())
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

const BUFFER: usize = 32 * 1024;
/// A header beyond this is cut for ENVELOPE and HEADER; no program makes one so long.
const HEADER_BYTES_MAX: usize = 16 * 1024 * 1024;
