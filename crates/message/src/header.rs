//! Header fields: where each one begins and ends, its name and its value in the shapes that IMAP,
//! search and delivery need.

use std::borrow::Cow;

use crate::limits::FIELD_NAME_BYTES_MAX;

/// One header field as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name without white space before the colon. Empty for a line that has no colon.
    pub name: &'a [u8],
    /// The colon and the white space around it.
    pub middle: &'a [u8],
    /// The value with its folding as it stands, without the last line end.
    pub raw_value: &'a [u8],
    /// The last line end: `\n`, `\r\n`, or nothing where the message ends inside its header.
    pub line_end: &'a [u8],
}

impl<'a> Field<'a> {
    /// Splits a whole field, all its folded lines included, into name and value.
    pub fn split(field: &'a [u8]) -> Self {
        let body = match field {
            [body @ .., b'\r', b'\n'] | [body @ .., b'\n'] => body,
            body => body,
        };
        let line_end = field.get(body.len()..).unwrap_or_default();
        let first_line_len = memchr::memchr(b'\n', body)
            .map_or(body.len(), |lf| if lf > 0 && body.get(lf - 1) == Some(&b'\r') { lf - 1 } else { lf });
        let (first_line, _) = body.split_at(first_line_len);
        let unnamed = Self { name: b"", middle: b"", raw_value: body, line_end };
        let Some(colon) = memchr::memchr(b':', first_line) else { return unnamed };
        let (before, after) = first_line.split_at(colon);
        let name = before.trim_ascii_end_lwsp();
        if name.len() > FIELD_NAME_BYTES_MAX {
            return unnamed;
        }
        let after = after.get(1..).unwrap_or_default();
        let start = colon + 1 + initial_lwsp(after);
        let (head, raw_value) = body.split_at(start);
        Self { name, middle: head.get(name.len()..).unwrap_or_default(), raw_value, line_end }
    }

    /// Whether the field has this name, in any case of letters.
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value with its folding, lines ending in LF only: what ENVELOPE and BODYSTRUCTURE are
    /// made from.
    pub fn value_lf(&self) -> Cow<'a, [u8]> {
        if memchr::memchr(b'\r', self.raw_value).is_none() {
            return Cow::Borrowed(self.raw_value);
        }
        let mut out = Vec::with_capacity(self.raw_value.len());
        for line in self.raw_value.split_inclusive(|&byte| byte == b'\n') {
            match line {
                [text @ .., b'\r', b'\n'] => {
                    out.extend_from_slice(text);
                    out.push(b'\n');
                }
                text => out.extend_from_slice(text),
            }
        }
        Cow::Owned(out)
    }

    /// The value on one line: line ends go, and a tab that begins a folded line becomes a space.
    pub fn value_oneline(&self) -> Cow<'a, [u8]> {
        if memchr::memchr(b'\n', self.raw_value).is_none() {
            return Cow::Borrowed(self.raw_value);
        }
        let mut out = Vec::with_capacity(self.raw_value.len());
        for (number, line) in self.raw_value.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match line {
                [b'\t', rest @ ..] if number > 0 => {
                    out.push(b' ');
                    out.extend_from_slice(rest);
                }
                line => out.extend_from_slice(line),
            }
        }
        Cow::Owned(out)
    }
}

/// White space to skip after the colon: all of it, but only one byte where there is nothing else.
fn initial_lwsp(value: &[u8]) -> usize {
    let count = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if count == value.len() { count.min(1) } else { count }
}

trait TrimLwsp {
    fn trim_ascii_end_lwsp(&self) -> &[u8];
}

impl TrimLwsp for [u8] {
    fn trim_ascii_end_lwsp(&self) -> &[u8] {
        let kept = self.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |last| last + 1);
        self.split_at(kept).0
    }
}

/// The fields of a header that is in memory, up to the empty line or the end.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Walks `header`, which may go on with the body.
    pub fn new(header: &'a [u8]) -> Self {
        Self { rest: header }
    }

    /// What follows the fields read so far: the empty line and the body, once `next` gave `None`.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if matches!(self.rest, [] | [b'\n', ..] | [b'\r', b'\n', ..]) {
            return None;
        }
        let mut end = 0;
        loop {
            let tail = self.rest.get(end..).unwrap_or_default();
            end += memchr::memchr(b'\n', tail).map_or(tail.len(), |lf| lf + 1);
            if !matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Field::split(field))
    }
}

/// The first field of that name.
pub fn first<'a>(header: &'a [u8], name: &[u8]) -> Option<Field<'a>> {
    Fields::new(header).find(|field| field.is(name))
}

/// All fields of one name as Dovecot's cache stores them (`hdr.…`): the number of each one's first line,
/// counted from 1, folded lines and lines without a name included; and their text, lines ending in LF.
pub fn stored(header: &[u8], name: &[u8]) -> (Vec<u32>, Vec<u8>) {
    let (mut lines, mut text, mut line) = (Vec::new(), Vec::new(), 1_u32);
    for field in Fields::new(header) {
        if field.is(name) {
            lines.push(line);
            text.extend_from_slice(field.name);
            text.extend_from_slice(field.middle);
            text.extend_from_slice(&field.value_lf());
            if !field.line_end.is_empty() {
                text.push(b'\n');
            }
        }
        let folds = memchr::memchr_iter(b'\n', field.raw_value).count();
        line = line.saturating_add(u32::try_from(folds).unwrap_or(u32::MAX)).saturating_add(1);
    }
    (lines, text)
}

/// Where the header ends, its empty line included.
pub fn len(message: &[u8]) -> usize {
    let mut fields = Fields::new(message);
    fields.by_ref().for_each(drop);
    let blank = match fields.rest() {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    };
    message.len() - fields.rest().len() + blank
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: &str, name: &str, middle: &str, lf: &str, oneline: &str) {
        let got = Field::split(field.as_bytes());
        assert_eq!(got.name, name.as_bytes(), "{field:?}");
        assert_eq!(got.middle, middle.as_bytes(), "{field:?}");
        assert_eq!(got.value_lf().as_ref(), lf.as_bytes(), "{field:?}");
        assert_eq!(got.value_oneline().as_ref(), oneline.as_bytes(), "{field:?}");
    }

    #[test]
    fn shapes() {
        check("Subject: hi\r\n", "Subject", ": ", "hi", "hi");
        check("To :  a,\r\n\tb\r\n", "To", " :  ", "a,\n\tb", "a, b");
        check("X:  \n", "X", ": ", " ", " ");
        check("X: \n y\n", "X", ": ", "\n y", " y");
        check("no colon here\n", "", "", "no colon here", "no colon here");
        check("a\n b: c\n", "", "", "a\n b: c", "a b: c");
        check("Cut: sho", "Cut", ": ", "sho", "sho");
    }

    #[test]
    fn stored_fields_have_line_numbers() {
        let text = b"A: 1\r\nB: 2\r\n  3\r\nno colon\na : 4";
        assert_eq!(stored(text, b"A"), (vec![1, 5], b"A: 1\na : 4".to_vec()));
        assert_eq!(stored(text, b"b"), (vec![2], b"B: 2\n  3\n".to_vec()));
        assert_eq!(stored(text, b"C"), (vec![], vec![]));
    }

    #[test]
    fn walks_to_the_empty_line() {
        let text = b"A: 1\r\nB: 2\r\n  3\r\n\r\nC: body";
        let names: Vec<_> = Fields::new(text).map(|field| field.name).collect();
        assert_eq!(names, [b"A", b"B"]);
        assert_eq!(len(text), 19);
        assert_eq!(len(b"A: 1\n"), 5);
        assert_eq!(first(text, b"b").map(|field| field.raw_value), Some(&b"2\r\n  3"[..]));
    }
}
