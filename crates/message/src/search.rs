//! Looks for text in messages as IMAP's SEARCH does (RFC 3501 §6.4.4): in whatever charset and
//! encoding it is written, without regard to case.

use std::io::{self, Read};

use memchr::memmem::Finder;

use crate::address::{self, Missing};
use crate::casefold::fold;
use crate::decoded::{Decoded, TextSink};
use crate::encoded_word;
use crate::header::{Field, Fields};
use crate::part::PartId;
use crate::{Options, parse_reader};

/// A text to look for.
pub struct Needle {
    finder: Finder<'static>,
}

impl Needle {
    /// From text in UTF-8.
    pub fn new(text: &str) -> Self {
        let mut folded = Vec::new();
        fold(text, &mut folded);
        Self { finder: Finder::new(&folded).into_owned() }
    }

    /// Whether it is in `text`.
    pub fn is_in(&self, text: &str) -> bool {
        let mut folded = Vec::with_capacity(text.len());
        fold(text, &mut folded);
        self.finder.find(&folded).is_some()
    }

    fn len(&self) -> usize {
        self.finder.needle().len()
    }
}

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `BODY`: bodies that are text, no header.
    Body,
    /// `TEXT`: headers, too, those of inner parts and messages included.
    Text,
}

/// Whether a field of that name contains the text: `HEADER`, `SUBJECT`, `FROM` and so on. The empty
/// text asks for the field itself.
///
/// Addresses are found as they are written and as `Name <user@domain>`, and white space may be wider
/// in the field than in the text.
pub fn in_field(header: &[u8], name: &[u8], needle: &Needle) -> bool {
    Fields::new(header).filter(|field| field.is(name)).any(|field| field_has(&field, needle))
}

fn field_has(field: &Field<'_>, needle: &Needle) -> bool {
    if needle.len() == 0 {
        return true;
    }
    let raw = field.value_oneline();
    if needle.is_in(&encoded_word::decode(&raw)) {
        return true;
    }
    if ADDRESS_FIELDS.iter().any(|name| field.is(name)) {
        let mut written = Vec::new();
        address::write(&mut written, &address::parse(&raw, Missing::Named));
        return needle.is_in(&encoded_word::decode(&written));
    }
    let words: Vec<_> =
        raw.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
    needle.is_in(&encoded_word::decode(&words.join(&b' ')))
}

/// Fields whose addresses are searched in one form, however they are written.
const ADDRESS_FIELDS: [&[u8]; 4] = [b"From", b"To", b"Cc", b"Bcc"];

/// Whether the message contains the text. Reads no more than needed.
///
/// # Errors
/// Whatever `reader` gives.
pub fn in_message(reader: impl Read, needle: &Needle, scope: Scope) -> io::Result<bool> {
    let mut search = Search { needle, folded: Vec::new(), found: needle.len() == 0 };
    if !search.found {
        let mut decoded = Decoded::new(&mut search, scope == Scope::Text);
        parse_reader(reader, Options::default(), &mut decoded)?;
        decoded.into_inner();
    }
    Ok(search.found)
}

/// Looks at text as it goes by; a text that lies across pieces is found.
struct Search<'a> {
    needle: &'a Needle,
    /// The end of what came before, with the newest piece behind it, folded.
    folded: Vec<u8>,
    found: bool,
}

impl Search<'_> {
    fn look(&mut self, text: &str) {
        fold(text, &mut self.folded);
        self.found |= self.needle.finder.find(&self.folded).is_some();
        let keep = self.folded.len().min(self.needle.len().saturating_sub(1));
        self.folded.drain(..self.folded.len() - keep);
    }
}

impl TextSink for &mut Search<'_> {
    fn field(&mut self, _part: PartId, name: &str, value: &str) {
        self.folded.clear();
        self.look(name);
        self.look(": ");
        self.look(value);
    }

    fn text(&mut self, _part: PartId, text: &str) {
        self.look(text);
    }

    fn cut(&mut self) {
        self.folded.clear();
    }

    fn is_done(&self) -> bool {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "From: =?utf-8?q?J=C3=BCrgen?= =?utf-8?q?_M=C3=BCller?= <jm@example.org>\n\
        To: a@b (Comment Name)\nSubject: =?koi8-r?b?8NLJ18XU?=\n  folded\n\twide\n\
        Content-Type: multipart/mixed; boundary=x\n\npreamble\n--x\n\
        Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
        Gr=FC=DFe aus K=F6l=\nn\n--x\nContent-Transfer-Encoding: base64\nX-Inner: needle\n\n\
        SGF5c3RhY2s=\n--x\nContent-Type: application/x-y\n\nbinary\n--x--\nepilogue\n";

    fn check(name: &str, text: &str, want: bool) {
        assert_eq!(in_field(MESSAGE.as_bytes(), name.as_bytes(), &Needle::new(text)), want, "{name} {text}");
    }

    #[test]
    fn fields() {
        check("from", "jürgen müller", true);
        check("FROM", "JU\u{308}RGEN", true);
        check("From", "<JM@EXAMPLE.ORG>", true);
        check("To", "\"Comment Name\" <a@b>", true);
        check("To", "(comment", true);
        check("Subject", "привет folded wide", true);
        check("Subject", "=?koi8", false);
        check("Subject", "", true);
        check("Cc", "", false);
        check("Cc", "a", false);
    }

    #[test]
    fn bodies() {
        for (scope, text, want) in [
            (Scope::Body, "GRÜßE AUS KÖLN", true),
            (Scope::Body, "haystack", true),
            (Scope::Body, "binary", false),
            (Scope::Body, "epilogue", false),
            (Scope::Body, "needle", false),
            (Scope::Body, "", true),
            (Scope::Text, "x-inner: needle", true),
            (Scope::Text, "Müller <jm", true),
            (Scope::Text, "köln", true),
            (Scope::Text, "nowhere", false),
        ] {
            let found = in_message(MESSAGE.as_bytes(), &Needle::new(text), scope).unwrap();
            assert_eq!(found, want, "{scope:?} {text}");
        }
    }
}
