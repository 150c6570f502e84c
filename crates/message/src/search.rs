//! Looks for text in messages as IMAP's SEARCH does (RFC 3501 §6.4.4): in whatever charset and
//! encoding it is written, without regard to case.

use std::borrow::Cow;
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
    /// Whether it has nothing of what stands between the pieces of an address.
    is_of_one_piece: bool,
}

impl Needle {
    /// From text in UTF-8.
    pub fn new(text: &str) -> Self {
        let mut folded = Vec::new();
        fold(text, &mut folded);
        let is_of_one_piece = !folded.iter().any(|byte| br#""'<>,:;\"#.contains(byte))
            && folded.first() != Some(&b' ')
            && folded.last() != Some(&b' ');
        Self { finder: Finder::new(&folded).into_owned(), is_of_one_piece }
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
    if needle.is_in(&text_of(&raw)) {
        return true;
    }
    if ADDRESS_FIELDS.iter().any(|name| field.is(name)) {
        // What is written between the pieces of an address is in no such needle, and the pieces are as they were.
        if needle.is_of_one_piece && address::are_simple(&raw) {
            return false;
        }
        let mut written = Vec::new();
        address::write(&mut written, &address::parse(&raw, Missing::Named));
        return needle.is_in(&text_of(&written));
    }
    if is_squeezed(&raw) {
        return false;
    }
    let words: Vec<_> =
        raw.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
    needle.is_in(&text_of(&words.join(&b' ')))
}

fn text_of(value: &[u8]) -> Cow<'_, str> {
    match memchr::memmem::find(value, b"=?") {
        None => String::from_utf8_lossy(value),
        Some(_) => Cow::Owned(encoded_word::decode(value)),
    }
}

/// Whether there is one space between words, and none elsewhere.
fn is_squeezed(value: &[u8]) -> bool {
    !value.contains(&b'\t')
        && value.first() != Some(&b' ')
        && value.last() != Some(&b' ')
        && !value.windows(2).any(|pair| pair == b"  ")
}

/// Fields whose addresses are searched in one form, however they are written.
const ADDRESS_FIELDS: [&[u8]; 4] = [b"From", b"To", b"Cc", b"Bcc"];

/// Whether the message contains the text. Reads no more than needed.
///
/// # Errors
/// Whatever `reader` gives.
pub fn in_message(reader: impl Read, needle: &Needle, scope: Scope) -> io::Result<bool> {
    let found = all_in_message(reader, &[(needle, scope)], |_| false)?;
    Ok(found == [true])
}

/// Which of the texts the message contains, in one reading. `is_enough` is asked whenever one more was
/// found, and ends the reading early; so does having found them all.
///
/// # Errors
/// Whatever `reader` gives.
pub fn all_in_message(
    reader: impl Read,
    needles: &[(&Needle, Scope)],
    is_enough: impl FnMut(&[bool]) -> bool,
) -> io::Result<Vec<bool>> {
    let with_headers = needles.iter().any(|(_, scope)| *scope == Scope::Text);
    let keep = needles.iter().map(|(needle, _)| needle.len().saturating_sub(1)).max().unwrap_or(0);
    let found: Vec<bool> = needles.iter().map(|(needle, _)| needle.len() == 0).collect();
    let mut search =
        Search { needles, folded: Vec::new(), keep, in_header: false, is_done: false, found, is_enough };
    search.decide();
    if !search.is_done {
        let mut decoded = Decoded::new(&mut search, with_headers);
        parse_reader(reader, Options::default(), &mut decoded)?;
        decoded.into_inner();
        search.look();
    }
    Ok(search.found)
}

/// Looks at text as it goes by; a text that lies across pieces is found.
struct Search<'a, F> {
    needles: &'a [(&'a Needle, Scope)],
    /// The end of what was looked at, and what comes behind it, folded.
    folded: Vec<u8>,
    /// How much of the end may be the beginning of a text.
    keep: usize,
    /// Whether it is a header's.
    in_header: bool,
    is_done: bool,
    found: Vec<bool>,
    is_enough: F,
}

impl<F: FnMut(&[bool]) -> bool> Search<'_, F> {
    fn add(&mut self, text: &str) {
        fold(text, &mut self.folded);
        if self.folded.len() >= LOOK_BYTES + self.keep {
            self.look();
        }
    }

    fn look(&mut self) {
        let mut is_news = false;
        for ((needle, scope), found) in self.needles.iter().zip(&mut self.found) {
            if !*found
                && (*scope == Scope::Text || !self.in_header)
                && needle.finder.find(&self.folded).is_some()
            {
                (*found, is_news) = (true, true);
            }
        }
        let keep = self.folded.len().min(self.keep);
        self.folded.drain(..self.folded.len() - keep);
        if is_news {
            self.decide();
        }
    }

    fn decide(&mut self) {
        self.is_done = self.found.iter().all(|found| *found) || (self.is_enough)(&self.found);
    }

    fn cut_off(&mut self) {
        if !self.folded.is_empty() {
            self.look();
            self.folded.clear();
        }
    }
}

impl<F: FnMut(&[bool]) -> bool> TextSink for &mut Search<'_, F> {
    fn field(&mut self, _part: PartId, name: &str, value: &str) {
        self.cut_off();
        self.in_header = true;
        self.add(name);
        self.add(": ");
        self.add(value);
    }

    fn text(&mut self, _part: PartId, text: &str) {
        self.add(text);
    }

    fn cut(&mut self) {
        self.cut_off();
        self.in_header = false;
    }

    fn is_done(&self) -> bool {
        self.is_done
    }
}

/// Text is looked at in pieces of about this size, since lines are short and each look costs.
const LOOK_BYTES: usize = 16 * 1024;

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
    fn short_ways_find_the_same() {
        let pieces =
            ["Foo", " ", "a@b", "<c@d>", ",", "\"", "\t", "=?utf-8?q?x=C3=A9?=", "\n ", "(e)", ".", "ö"];
        let needles =
            ["foo", "oo <", "a@b", "d>", "foo foo", "x\u{e9}", "é", "d", "ö a", "\" <c", "missing", "foo. "];
        let needles = needles.map(Needle::new);
        let has = |needle: &Needle, value: &[u8]| needle.is_in(&encoded_word::decode(value));
        for number in 0..pieces.len().pow(4) {
            let place = |power: u32| number / pieces.len().pow(power) % pieces.len();
            let value: String = (0..4).map(|power| pieces[place(power)]).collect();
            for (at, needle) in needles.iter().enumerate() {
                let text = format!("From: {value}\n");
                let field = Field::split(text.as_bytes());
                let raw = field.value_oneline();
                let mut written = Vec::new();
                address::write(&mut written, &address::parse(&raw, Missing::Named));
                let slow = has(needle, &raw) || has(needle, &written);
                assert_eq!(field_has(&field, needle), slow, "{text:?} {at}");
                let text = format!("Subject: {value}\n");
                let field = Field::split(text.as_bytes());
                let raw = field.value_oneline();
                let words = raw.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
                let slow = has(needle, &raw) || has(needle, &words.collect::<Vec<_>>().join(&b' '));
                assert_eq!(field_has(&field, needle), slow, "{text:?} {at}");
            }
        }
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

    #[test]
    fn several_at_once() {
        let needles = ["köln", "x-inner", "nowhere", "haystack"].map(Needle::new);
        let both = [
            (&needles[0], Scope::Body),
            (&needles[1], Scope::Text),
            (&needles[2], Scope::Text),
            (&needles[3], Scope::Body),
            (&needles[1], Scope::Body),
        ];
        let found = all_in_message(MESSAGE.as_bytes(), &both, |_| false).unwrap();
        assert_eq!(found, [true, true, false, true, false]);
        let long = format!("A: b\n\n{}needle{}", "x\n".repeat(30_000), "y".repeat(200_000));
        for needle in ["x\r\nneedle", "x\nneedley", "yyyy", "b\nx"] {
            let found = in_message(long.as_bytes(), &Needle::new(needle), Scope::Text).unwrap();
            assert_eq!(found, needle != "b\nx" && !needle.contains('\r'), "{needle:?}");
        }
    }
}
