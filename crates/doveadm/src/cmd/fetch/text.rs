//! A message as UTF-8: header fields decoded, bodies with their transfer encoding and charset taken
//! off (`text.utf8`), and the first words of it (`body.preview`).

use std::io::{self, Read};

use message::charset::{Charset, Decoder as CharsetDecoder};
use message::header::Fields;
use message::html2text::{html2text, is_html};
use message::section::Span;
use message::snippet::snippet;
use message::{Part, Parts, encoded_word, params};
use storage::MessageReader;

use super::section::{at, copy, decoder};
use crate::limits::{HEADER_BYTES_MAX, SNIPPET_CHARS, SNIPPET_TEXT_BYTES};

/// Hands out the whole message.
pub(super) fn utf8(
    reader: &mut dyn MessageReader,
    parts: &Parts,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    for (_, part) in parts.iter() {
        let mut header = Vec::new();
        let span = Span { start: part.start, size: part.header };
        at(reader, span)?.take(HEADER_BYTES_MAX).read_to_end(&mut header)?;
        for field in Fields::new(&header) {
            let name = String::from_utf8_lossy(field.name);
            out(format!("{name}: {}\n", encoded_word::decode(&field.value_oneline())).as_bytes())?;
        }
        out(b"\n")?;
        if is_leaf(part) {
            body(reader, part, out)?;
        }
    }
    Ok(())
}

/// The first words of the first part that is text and has some.
pub(super) fn preview(reader: &mut dyn MessageReader, parts: &Parts) -> io::Result<String> {
    for (_, part) in parts.iter().filter(|(_, part)| is_leaf(part) && is_text(part)) {
        let mut text = Vec::new();
        let done = body(reader, part, &mut |piece| {
            text.extend_from_slice(piece);
            match text.len() > SNIPPET_TEXT_BYTES {
                true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
                false => Ok(()),
            }
        });
        match done {
            Err(error) if error.kind() != io::ErrorKind::FileTooLarge => return Err(error),
            _ => {}
        }
        let mut text = String::from_utf8_lossy(&text).into_owned();
        let subtype = part.data.subtype.as_deref().unwrap_or_default();
        if is_html(part.data.content_type.as_deref().unwrap_or_default(), subtype) {
            text = html2text(&text);
        }
        let words = snippet(&text, SNIPPET_CHARS);
        if !words.is_empty() {
            return Ok(words);
        }
    }
    Ok(String::new())
}

fn is_leaf(part: &Part) -> bool {
    !part.flags.multipart && !part.flags.rfc822
}

fn is_text(part: &Part) -> bool {
    match part.data.content_type.as_deref() {
        None | Some([]) => true,
        Some(kind) => {
            let subtype = part.data.subtype.as_deref().unwrap_or_default();
            kind.eq_ignore_ascii_case(b"text") || is_html(kind, subtype)
        }
    }
}

/// A part's body: text as UTF-8, anything else as the bytes that it is.
fn body(
    reader: &mut dyn MessageReader,
    part: &Part,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut transfer = decoder(part);
    let mut charset = is_text(part).then(|| charset_of(part));
    let mut bytes = Vec::new();
    let mut text = String::new();
    let mut show = |charset: &mut Option<CharsetDecoder>, bytes: &[u8]| match charset {
        Some(charset) => {
            text.clear();
            charset.push(bytes, &mut text);
            out(text.as_bytes())
        }
        None => out(bytes),
    };
    let span = Span { start: part.body_start(), size: part.body };
    copy(at(reader, span)?, &mut |piece| {
        bytes.clear();
        transfer.push(piece, &mut bytes);
        show(&mut charset, &bytes)
    })?;
    bytes.clear();
    transfer.finish(&mut bytes);
    show(&mut charset, &bytes)?;
    let mut rest = String::new();
    if let Some(charset) = charset {
        charset.finish(&mut rest);
    }
    out(rest.as_bytes())
}

fn charset_of(part: &Part) -> CharsetDecoder {
    let name = params::find_text(&part.data.type_params, b"charset").unwrap_or_default();
    Charset::of(name.as_bytes()).unwrap_or(Charset::UTF8).decoder()
}
