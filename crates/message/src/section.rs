//! `BODY[section]` (RFC 3501 §6.4.5): from the words in the brackets to the bytes of the message.

use std::io::{self, BufRead};

use crate::header::Field;
use crate::limits::{FIELD_BYTES_MAX, SECTION_DEPTH_MAX, SECTION_FIELDS_MAX};
use crate::part::{Part, PartId, Parts, Size};

/// What stands between the brackets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Part numbers, outermost first; empty for the message itself.
    pub path: Vec<u32>,
    /// What of the part.
    pub what: What,
}

/// What of a part is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum What {
    /// Everything: the whole message, or a part's body.
    #[default]
    All,
    /// `HEADER`.
    Header,
    /// `HEADER.FIELDS (…)`.
    Fields(FieldNames),
    /// `HEADER.FIELDS.NOT (…)`.
    FieldsNot(FieldNames),
    /// `TEXT`.
    Text,
    /// `MIME`.
    Mime,
}

/// Names of header fields, compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldNames {
    sorted: Vec<Vec<u8>>,
}

impl FieldNames {
    /// From names as the client wrote them.
    ///
    /// # Errors
    /// [`BadSection`] if there are none, or more than the limit.
    pub fn new(names: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, BadSection> {
        let mut sorted: Vec<_> =
            names.into_iter().take(SECTION_FIELDS_MAX + 1).map(|name| name.to_ascii_lowercase()).collect();
        if sorted.is_empty() || sorted.len() > SECTION_FIELDS_MAX {
            return Err(BadSection);
        }
        sorted.sort();
        sorted.dedup();
        Ok(Self { sorted })
    }

    /// Whether `name` is one of them.
    pub fn contains(&self, name: &[u8]) -> bool {
        let order = |known: &Vec<u8>| known.iter().copied().cmp(name.iter().map(u8::to_ascii_lowercase));
        self.sorted.binary_search_by(order).is_ok()
    }

    /// The names, in lower case, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.sorted.iter().map(Vec::as_slice)
    }
}

/// A section that IMAP does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid BODY[..] section")]
pub struct BadSection;

impl Section {
    /// Reads the words in the brackets. For `HEADER.FIELDS` and `HEADER.FIELDS.NOT` the list is
    /// read by the command's parser, which knows quoted strings and literals, and given as `names`.
    ///
    /// # Errors
    /// [`BadSection`] for anything that 2.3 refuses.
    pub fn parse(spec: &[u8], names: Option<Vec<Vec<u8>>>) -> Result<Self, BadSection> {
        let digits = spec.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let (numbers, word) = spec.split_at(digits);
        let numbers = match (numbers, word) {
            ([], _) | (_, []) => numbers,
            // A dot parts the numbers from the word.
            ([numbers @ .., b'.'], _) => numbers,
            _ => return Err(BadSection),
        };
        let path = if digits == 0 { Vec::new() } else { parse_path(numbers)? };
        let what = match (word.to_ascii_uppercase().as_slice(), names) {
            (b"", None) => What::All,
            (b"HEADER", None) => What::Header,
            (b"TEXT", None) => What::Text,
            (b"MIME", None) if !path.is_empty() => What::Mime,
            (b"HEADER.FIELDS", Some(names)) => What::Fields(FieldNames::new(names)?),
            (b"HEADER.FIELDS.NOT", Some(names)) => What::FieldsNot(FieldNames::new(names)?),
            _ => return Err(BadSection),
        };
        Ok(Self { path, what })
    }
}

fn parse_path(numbers: &[u8]) -> Result<Vec<u32>, BadSection> {
    let path: Option<Vec<u32>> = numbers
        .split(|&byte| byte == b'.')
        .take(SECTION_DEPTH_MAX + 1)
        .map(|number| std::str::from_utf8(number).ok()?.parse().ok())
        .collect();
    path.filter(|path| path.len() <= SECTION_DEPTH_MAX).ok_or(BadSection)
}

/// A run of stored bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins, in stored bytes.
    pub start: u64,
    /// How long it is, both ways.
    pub size: Size,
}

/// What a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// There is no such part: an empty string is sent.
    Missing,
    /// These bytes, with line ends made CRLF.
    Bytes(Span),
    /// Some fields of this header; see [`filter_header`].
    Fields(Span),
}

/// Finds the bytes that a section means.
pub fn resolve(parts: &Parts, section: &Section) -> Resolved {
    if section.path.is_empty() {
        return pick(parts.root(), &section.what, parts.size());
    }
    let Some(id) = find(parts, &section.path) else { return Resolved::Missing };
    let part = parts.part(id);
    match section.what {
        What::All => Resolved::Bytes(body_of(part)),
        // For a message/rfc822 part 2.3 gives the part's own header, too.
        What::Mime => Resolved::Bytes(header_of(part)),
        // The header and text of a part that is a message are those of the message in it.
        _ => match part.first_child.filter(|_| part.flags.rfc822) {
            Some(message) => pick(parts.part(message), &section.what, Size::default()),
            None => Resolved::Missing,
        },
    }
}

fn pick(part: &Part, what: &What, all: Size) -> Resolved {
    match what {
        What::All => Resolved::Bytes(Span { start: part.start, size: all }),
        What::Header | What::Mime => Resolved::Bytes(header_of(part)),
        What::Text => Resolved::Bytes(body_of(part)),
        What::Fields(_) | What::FieldsNot(_) => Resolved::Fields(header_of(part)),
    }
}

fn header_of(part: &Part) -> Span {
    Span { start: part.start, size: part.header }
}

fn body_of(part: &Part) -> Span {
    Span { start: part.body_start(), size: part.body }
}

/// The part with these numbers.
pub fn find(parts: &Parts, path: &[u32]) -> Option<PartId> {
    let mut id = PartId::ROOT;
    for (depth, &number) in path.iter().enumerate() {
        let more = depth + 1 < path.len();
        let part = parts.part(id);
        if part.flags.multipart {
            // 2.3 takes the number 0 for 1.
            id = parts.children(id).nth((number.max(1) - 1) as usize)?;
        } else if number != 1 || (more && !part.flags.rfc822) {
            return None;
        }
        let part = parts.part(id);
        if more && part.flags.rfc822 {
            id = part.first_child?;
        }
    }
    Some(id)
}

/// Reads a header and appends the chosen fields, with CRLF line ends and the empty line that ends
/// them: those named, or with `exclude` all others. `header` must end where the header does.
///
/// # Errors
/// Whatever `header` gives.
pub fn filter_header(
    header: impl BufRead,
    names: &FieldNames,
    exclude: bool,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let mut lines = header;
    let (mut line, mut chosen, mut first) = (Vec::new(), false, true);
    let mut ended = false;
    loop {
        line.clear();
        let count = io::Read::take(&mut lines, FIELD_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if count == 0 {
            break;
        }
        if matches!(line.as_slice(), b"\n" | b"\r\n") {
            ended = true;
            break;
        }
        if first || !matches!(line.first(), Some(b' ' | b'\t')) {
            chosen = names.contains(Field::split(&line).name) != exclude;
        }
        first = false;
        if chosen {
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                    out.extend_from_slice(b"\r\n");
                }
                None => out.extend_from_slice(&line),
            }
        }
    }
    // An excluding filter shows the header as it is, cut off where it is cut off.
    if !exclude && !matches!(out.last(), None | Some(b'\n')) {
        out.extend_from_slice(b"\r\n");
    }
    if ended || !exclude {
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

/// What a partial `<offset.length>` leaves of `size` bytes: where to begin and how many.
pub fn partial(size: u64, offset: u64, length: Option<u64>) -> (u64, u64) {
    if offset >= size {
        return (size, 0);
    }
    let left = size - offset;
    (offset, length.map_or(left, |length| length.min(left)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crlf::to_crlf;
    use crate::{Options, parse};

    const MESSAGE: &str = "From: a@b\nContent-Type: multipart/mixed; boundary=x\n\npre\n--x\n\none\n--x\n\
        Content-Type: message/rfc822\n\nSubject: in\nX: 1\n y\n\ninner\n--x--\npost\n";

    fn show(spec: &str, names: Option<&[&str]>) -> Option<String> {
        let parts = parse(MESSAGE.as_bytes(), Options::default());
        let names = names.map(|names| names.iter().map(|name| name.as_bytes().to_vec()).collect());
        let section = Section::parse(spec.as_bytes(), names).ok()?;
        let bytes = |span: Span| {
            let start = span.start as usize;
            let stored = &MESSAGE.as_bytes()[start..start + span.size.physical as usize];
            assert_eq!(to_crlf(stored).len() as u64, span.size.virtual_, "{spec}");
            stored
        };
        let mut out = Vec::new();
        match (resolve(&parts, &section), &section.what) {
            (Resolved::Missing, _) => {}
            (Resolved::Bytes(span), _) => out.extend_from_slice(bytes(span)),
            (Resolved::Fields(span), What::Fields(names)) => {
                filter_header(bytes(span), names, false, &mut out).unwrap();
            }
            (Resolved::Fields(span), What::FieldsNot(names)) => {
                filter_header(bytes(span), names, true, &mut out).unwrap();
            }
            (Resolved::Fields(_), _) => unreachable!("only field sections resolve to fields"),
        }
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    fn check(spec: &str, names: Option<&[&str]>, want: Option<&str>) {
        assert_eq!(show(spec, names).as_deref(), want, "{spec}");
    }

    #[test]
    fn sections() {
        check("", None, Some(MESSAGE));
        check("1", None, Some("one"));
        check("1.mime", None, Some("\n"));
        check("2", None, Some("Subject: in\nX: 1\n y\n\ninner"));
        check("2.MIME", None, Some("Content-Type: message/rfc822\n\n"));
        check("2.TEXT", None, Some("inner"));
        check("2.1", None, Some("inner"));
        check("2.HEADER", None, Some("Subject: in\nX: 1\n y\n\n"));
        check("2.HEADER.FIELDS", Some(&["x"]), Some("X: 1\r\n y\r\n\r\n"));
        check("2.HEADER.FIELDS.NOT", Some(&["x"]), Some("Subject: in\r\n\r\n"));
        check("HEADER.FIELDS", Some(&["FROM", "nope"]), Some("From: a@b\r\n\r\n"));
        check("1.TEXT", None, Some(""));
        check("3", None, Some(""));
        check("1.1.1", None, Some(""));
    }

    #[test]
    fn refused() {
        for spec in ["MIME", "1.", "1..2", ".1", "1TEXT", "FOO", "HEADER.FIELDS", "TEXT.1"] {
            check(spec, None, None);
        }
    }

    #[test]
    fn partials() {
        assert_eq!(partial(10, 0, None), (0, 10));
        assert_eq!(partial(10, 4, Some(3)), (4, 3));
        assert_eq!(partial(10, 4, Some(30)), (4, 6));
        assert_eq!(partial(10, 10, Some(1)), (10, 0));
    }
}
