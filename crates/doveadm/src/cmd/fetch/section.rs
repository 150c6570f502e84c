//! The bytes of a `body.<section>`, as IMAP would send them: lines end with CRLF.

use std::io::{self, BufReader, Read, SeekFrom};

use message::crlf::CrlfReader;
use message::section::{Resolved, Section, Span, What, filter_header, find, resolve};
use message::transfer::{Decoder, Encoding};
use message::{Part, Parts};
use storage::MessageReader;

use crate::limits::COPY_BYTES;

/// Hands out the section in pieces. A part that is not there is empty.
pub(super) fn read(
    reader: &mut dyn MessageReader,
    parts: &Parts,
    section: &Section,
    decoded: bool,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let decoder = if decoded { decoder_of(parts, section) } else { None };
    match resolve(parts, section) {
        Resolved::Missing => Ok(()),
        Resolved::Bytes(span) => match decoder {
            Some(decoder) => copy_decoded(reader, span, decoder, out),
            None => copy(CrlfReader::new(at(reader, span)?), out),
        },
        Resolved::Fields(span) => {
            let (What::Fields(names) | What::FieldsNot(names)) = &section.what else { return Ok(()) };
            let is_not = matches!(section.what, What::FieldsNot(_));
            let mut fields = Vec::new();
            filter_header(BufReader::new(at(reader, span)?), names, is_not, &mut fields)?;
            out(&fields)
        }
    }
}

/// Reads the stored bytes of a span.
pub(super) fn at(reader: &mut dyn MessageReader, span: Span) -> io::Result<impl Read + '_> {
    reader.seek(SeekFrom::Start(span.start))?;
    Ok(reader.take(span.size.physical))
}

/// How a part's body is encoded, if it is not only text in some charset.
fn decoder_of(parts: &Parts, section: &Section) -> Option<Decoder> {
    let part = match section.what {
        What::All if section.path.is_empty() => return None,
        What::All => parts.part(find(parts, &section.path)?),
        What::Text if section.path.is_empty() => parts.root(),
        _ => return None,
    };
    (!part.flags.multipart && !part.flags.rfc822).then(|| decoder(part))
}

/// Takes off a part's transfer encoding.
pub(super) fn decoder(part: &Part) -> Decoder {
    Decoder::new(Encoding::of(part.data.transfer_encoding.as_deref()))
}

fn copy_decoded(
    reader: &mut dyn MessageReader,
    span: Span,
    mut decoder: Decoder,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let plain = matches!(decoder, Decoder::Identity);
    if plain {
        return copy(CrlfReader::new(at(reader, span)?), out);
    }
    let mut bytes = Vec::new();
    copy(at(reader, span)?, &mut |piece| {
        bytes.clear();
        decoder.push(piece, &mut bytes);
        out(&bytes)
    })?;
    bytes.clear();
    decoder.finish(&mut bytes);
    out(&bytes)
}

/// Hands out all that can be read, in pieces that are not empty.
pub(super) fn copy(mut from: impl Read, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => out(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
