//! The bytes of a `BODY[…]`: found by the part tree, read from the message in pieces.

use std::io::{self, Read, SeekFrom};

use base::Uid;
use message::crlf::{CrlfReader, Place, to_crlf};
use message::section::{FieldNames, Resolved, Section, Span, What, filter_header, partial, resolve};
use message::{Options, Parts, Size};
use proto::imap::command::{BodySection, SectionText};
use storage::{Mailbox, MessageReader, Wanted};

use crate::limits::COPY_BYTES;

/// Bytes that are sent as a literal.
pub(super) struct Text {
    /// How many there are.
    pub size: u64,
    source: Box<dyn Read + Send>,
    /// Nothing may come behind.
    is_all: bool,
    /// What is wrong with what was known of it, for the log.
    pub complaint: Option<String>,
}

/// A message whose section cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SectionError {
    /// The storage says so.
    #[error("Can't open message")]
    Storage(#[from] storage::Error),
    /// Reading failed.
    #[error("Can't read message")]
    Read(#[from] io::Error),
}

/// What is known of one message while its sections are fetched.
#[derive(Default)]
pub(super) struct MessageCache {
    parts: Option<Parts>,
    header: Option<std::sync::Arc<[u8]>>,
    size_virtual: Option<u64>,
}

/// Where the last partial fetch ended, so that the next one need not count from the beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastPlace {
    uid: Uid,
    span_start: u64,
    place: Place,
}

/// The header fields that a section names, for [`open`].
pub(super) fn fields_of(section: &BodySection) -> FieldNames {
    match &section.text {
        SectionText::HeaderFields { names, .. } => field_names(names),
        _ => FieldNames::default(),
    }
}

/// Finds the text of a section, of which `fields` are the [fields](fields_of).
pub(super) fn open(
    mailbox: &mut dyn Mailbox,
    uid: Uid,
    section: &BodySection,
    fields: &FieldNames,
    cache: &mut MessageCache,
    last_place: &mut Option<LastPlace>,
) -> Result<Text, SectionError> {
    let range = |size: u64| match section.partial {
        None => (0, size),
        Some(range) => partial(size, range.start, range.count),
    };
    match (&section.text, section.part.is_empty()) {
        (SectionText::Header, true) => Ok(of_bytes(to_crlf(&header(mailbox, uid, cache)?), range)),
        (SectionText::HeaderFields { is_not, names }, true) => {
            let header = match is_not {
                true => header(mailbox, uid, cache)?,
                false => header_fields(mailbox, uid, names, cache)?,
            };
            let mut out = Vec::with_capacity(if *is_not { 0 } else { header.len() + SPARE_BYTES });
            filter_header(&*header, fields, *is_not, &mut out)?;
            Ok(of_bytes(out, range))
        }
        (SectionText::Full, true) => {
            let mut reader = mailbox.open_message(uid)?;
            let (virtual_, complaint) = size_virtual(mailbox, uid, cache, &mut *reader)?;
            let size = Size { physical: reader.size(), virtual_, lines: 0 };
            let text = of_span(reader, uid, Span { start: 0, size }, range(virtual_), last_place)?;
            Ok(Text { complaint, is_all: section.partial.is_none(), ..text })
        }
        (SectionText::Text, true) => {
            let header = header(mailbox, uid, cache)?;
            let mut reader = mailbox.open_message(uid)?;
            let (all, complaint) = size_virtual(mailbox, uid, cache, &mut *reader)?;
            let virtual_ = all.saturating_sub(to_crlf(&header).len() as u64);
            let start = header.len() as u64;
            let size = Size { physical: reader.size().saturating_sub(start), virtual_, lines: 0 };
            let text = of_span(reader, uid, Span { start, size }, range(virtual_), last_place)?;
            Ok(Text { complaint, is_all: section.partial.is_none(), ..text })
        }
        _ => of_part(mailbox, uid, section, fields, cache, last_place),
    }
}

fn of_part(
    mailbox: &mut dyn Mailbox,
    uid: Uid,
    section: &BodySection,
    fields: &FieldNames,
    cache: &mut MessageCache,
    last_place: &mut Option<LastPlace>,
) -> Result<Text, SectionError> {
    let mut reader = mailbox.open_message(uid)?;
    let parts = match &mut cache.parts {
        Some(parts) => parts,
        empty => empty.insert(message::parse_reader(&mut reader, Options::default(), ())?),
    };
    let range = |size: u64| match section.partial {
        None => (0, size),
        Some(range) => partial(size, range.start, range.count),
    };
    match resolve(parts, &words(section, fields)) {
        Resolved::Missing => Ok(of_bytes(Vec::new(), range)),
        Resolved::Bytes(span) => {
            reader.rewind()?;
            of_span(reader, uid, span, range(span.size.virtual_), last_place)
        }
        Resolved::Fields(span) => {
            reader.seek(SeekFrom::Start(span.start))?;
            let SectionText::HeaderFields { is_not, .. } = &section.text else {
                return Ok(of_bytes(Vec::new(), range));
            };
            let header = io::BufReader::new(reader.take(span.size.physical));
            let mut out = Vec::new();
            filter_header(header, fields, *is_not, &mut out)?;
            Ok(of_bytes(out, range))
        }
    }
}

fn words(section: &BodySection, fields: &FieldNames) -> Section {
    let what = match &section.text {
        SectionText::Full => What::All,
        SectionText::Header => What::Header,
        SectionText::HeaderFields { is_not: false, .. } => What::Fields(fields.clone()),
        SectionText::HeaderFields { is_not: true, .. } => What::FieldsNot(fields.clone()),
        SectionText::Text => What::Text,
        SectionText::Mime => What::Mime,
    };
    Section { path: section.part.clone(), what }
}

fn field_names(names: &[(Box<str>, bool)]) -> FieldNames {
    // The command's parser has seen to it that there are some, and not too many.
    FieldNames::new(names.iter().map(|(name, _)| name.as_bytes().to_vec())).unwrap_or_default()
}

fn header(
    mailbox: &mut dyn Mailbox,
    uid: Uid,
    cache: &mut MessageCache,
) -> Result<std::sync::Arc<[u8]>, SectionError> {
    if let Some(header) = &cache.header {
        return Ok(header.clone());
    }
    let header = mailbox.fetch_facts(uid, Wanted::HEADER)?.header.unwrap_or_default();
    cache.header = Some(header.clone());
    Ok(header)
}

/// At least the fields of these names, which the mailbox may know without opening the message.
fn header_fields(
    mailbox: &mut dyn Mailbox,
    uid: Uid,
    names: &[(Box<str>, bool)],
    cache: &MessageCache,
) -> Result<std::sync::Arc<[u8]>, SectionError> {
    if let Some(header) = &cache.header {
        return Ok(header.clone());
    }
    let names: Vec<&str> = names.iter().map(|(name, _)| &**name).collect();
    Ok(mailbox.fetch_fields(uid, Wanted::NONE, &names)?.fields.unwrap_or_default())
}

/// How large the message is as it is sent, and what is wrong with what was known of that: the name of a Maildir's
/// file, or the cache, may say less than there is. `reader` stands at the beginning, as before.
fn size_virtual(
    mailbox: &mut dyn Mailbox,
    uid: Uid,
    cache: &mut MessageCache,
    reader: &mut dyn MessageReader,
) -> Result<(u64, Option<String>), SectionError> {
    let known = match cache.size_virtual {
        Some(size) => size,
        None => mailbox.fetch_facts(uid, Wanted::SIZE_VIRTUAL)?.size_virtual.unwrap_or(0),
    };
    let is_possible = known >= reader.size();
    let size = if is_possible { known } else { counted(reader)? };
    cache.size_virtual = Some(size);
    Ok((size, (!is_possible).then(|| format!("{TOO_SMALL} ({known} < {size})"))))
}

fn of_bytes(mut bytes: Vec<u8>, range: impl Fn(u64) -> (u64, u64)) -> Text {
    let (start, size) = range(bytes.len() as u64);
    bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = NUL_SENT);
    let mut source = io::Cursor::new(bytes);
    source.set_position(start);
    Text { size, source: Box::new(source.take(size)), is_all: false, complaint: None }
}

fn counted(reader: &mut dyn MessageReader) -> io::Result<u64> {
    let size = reader.size();
    let count = io::copy(&mut CrlfReader::new(&mut *reader).expecting(size), &mut io::sink())?;
    reader.rewind()?;
    Ok(count)
}

/// Reads `count` bytes from `offset` on, counted as sent, of a run of stored bytes; `reader` has not been
/// read from yet.
fn of_span(
    mut reader: Box<dyn MessageReader>,
    uid: Uid,
    span: Span,
    (offset, count): (u64, u64),
    last_place: &mut Option<LastPlace>,
) -> Result<Text, SectionError> {
    let place = match span.size.is_crlf() {
        // Every LF has its CR already: a CR before the first byte keeps the reader from adding one.
        true => Place { physical: offset, virtual_: offset, before: b'\r' },
        false => find_place(&mut *reader, uid, span, offset, last_place)?,
    };
    let start = span.start + place.physical;
    // It is there already, unless the place had to be looked for.
    if start > 0 || offset > 0 {
        reader.seek(SeekFrom::Start(start))?;
    }
    let left = span.size.physical.saturating_sub(place.physical);
    let mut source =
        CrlfReader::after(reader.take(left), place.before).expecting(left).replacing_nul(NUL_SENT);
    // Between a missing CR and its LF there is no place in the file.
    let short = offset - place.virtual_;
    io::copy(&mut (&mut source).take(short), &mut io::sink())?;
    Ok(Text { size: count, source: Box::new(source), is_all: false, complaint: None })
}

fn find_place(
    reader: &mut dyn MessageReader,
    uid: Uid,
    span: Span,
    offset: u64,
    last_place: &mut Option<LastPlace>,
) -> io::Result<Place> {
    let known = last_place
        .filter(|last| last.uid == uid && last.span_start == span.start && last.place.virtual_ <= offset);
    let mut place = known.map_or(Place::START, |last| last.place);
    if offset > 0 {
        reader.seek(SeekFrom::Start(span.start + place.physical))?;
        let mut buffer = vec![0; COPY_BYTES];
        while place.virtual_ < offset {
            let count = reader.read(&mut buffer)?;
            let next = place.advance(buffer.get(..count).unwrap_or_default(), offset);
            let is_at_end = count == 0 || next.physical - place.physical < count as u64;
            place = next;
            if is_at_end {
                break;
            }
        }
    }
    *last_place = Some(LastPlace { uid, span_start: span.start, place });
    Ok(place)
}

impl Text {
    /// To be called when all of it is sent.
    ///
    /// # Errors
    /// If the message goes on: what was sent is only a part of it, and the client cannot know.
    pub(super) fn end(mut self) -> io::Result<()> {
        match self.is_all && self.source.read(&mut [0])? > 0 {
            true => Err(io::Error::other(TOO_SMALL)),
            false => Ok(()),
        }
    }

    /// Appends up to `room` more bytes to `out`; how many. Zero is the end.
    ///
    /// # Errors
    /// If the message cannot be read on, or is shorter than it was said to be.
    pub(super) fn copy(&mut self, room: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let want = usize::try_from(self.size).unwrap_or(usize::MAX).min(room).min(COPY_BYTES);
        let start = out.len();
        out.resize(start + want, 0);
        let count = match out.get_mut(start..) {
            Some(space) if want > 0 => self.source.read(space),
            _ => Ok(0),
        };
        out.truncate(start + *count.as_ref().unwrap_or(&0));
        let count = count?;
        if count == 0 && want > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.size -= count as u64;
        Ok(count)
    }
}

/// What is sent for NUL, which a literal must not hold (RFC 3501 §9), as in 2.3.
const NUL_SENT: u8 = 0x80;

/// 2.3's words.
const TOO_SMALL: &str = "Cached message size smaller than expected";

/// What line ends add to a few header fields.
const SPARE_BYTES: usize = 64;
