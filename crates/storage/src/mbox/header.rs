//! What the header of an mbox message says about flags, UIDs and keywords. Pure: what of it is to be
//! believed depends on the index and is decided by whoever synchronizes.

use std::ops::Range;

use message::header::Field;

use crate::limits::MBOX_KEYWORDS_MAX;
use crate::view::Flags;

/// The header fields that are ours and that no client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// `Content-Length`
    ContentLength,
    /// `Status`
    Status,
    /// `X-IMAP`: the message is none.
    Pseudo,
    /// `X-IMAPbase`
    Base,
    /// `X-Keywords`
    Keywords,
    /// `X-Status`
    XStatus,
    /// `X-UID`
    Uid,
}

impl Own {
    const ALL: [(&'static [u8], Self); 7] = [
        (b"Content-Length", Self::ContentLength),
        (b"Status", Self::Status),
        (b"X-IMAP", Self::Pseudo),
        (b"X-IMAPbase", Self::Base),
        (b"X-Keywords", Self::Keywords),
        (b"X-Status", Self::XStatus),
        (b"X-UID", Self::Uid),
    ];

    /// The kind of a field by its name.
    pub fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|&(_, kind)| kind)
    }

    /// The letters of the two status fields and what they mean. `O`, which says that a message is not
    /// `\Recent`, has no flag.
    pub(crate) fn letters(self) -> &'static [(u8, Option<Flags>)] {
        match self {
            Self::Status => &[(b'R', Some(Flags::SEEN)), (b'O', None)],
            Self::XStatus => &[
                (b'A', Some(Flags::ANSWERED)),
                (b'F', Some(Flags::FLAGGED)),
                (b'T', Some(Flags::DRAFT)),
                (b'D', Some(Flags::DELETED)),
            ],
            _ => &[],
        }
    }
}

/// A field of ours in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnField {
    /// Which.
    pub kind: Own,
    /// All of it, with its folded lines and the line end.
    pub whole: Range<usize>,
    /// Its value, with folding and spaces at its end but without the line end.
    pub value: Range<usize>,
    /// It says nothing or a second time what another said, and goes at the next occasion.
    pub is_broken: bool,
}

/// What `X-IMAPbase` and `X-IMAP` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// UIDVALIDITY, not 0.
    pub uid_validity: u32,
    /// The highest UID that was ever given.
    pub last_uid: u32,
    /// Where that stands in the header, if it has ten digits and so can be overwritten.
    pub last_uid_at: Option<usize>,
    /// All keywords of the mailbox.
    pub keywords: Vec<String>,
    /// The message is none: it only holds these values.
    pub is_pseudo: bool,
}

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// All fields of ours, in order.
    pub own: Vec<OwnField>,
    /// System flags.
    pub flags: Flags,
    /// Whether `O` says that the message is not `\Recent` any more.
    pub is_old: bool,
    /// A letter stands in the status fields twice: they should be written anew.
    pub status_is_broken: bool,
    /// `X-UID`
    pub uid: Option<u32>,
    /// `X-Keywords`, if there is one.
    pub keywords: Option<Vec<String>>,
    /// `X-IMAPbase` or `X-IMAP`; the first that is well formed.
    pub base: Option<Base>,
    /// `Content-Length`
    pub content_length: Option<u64>,
}

impl Header {
    /// Reads a header.
    pub fn parse(header: &[u8]) -> Self {
        let mut parsed = Self::default();
        for range in fields(header) {
            let field = Field::split(header.get(range.clone()).unwrap_or_default());
            if let Some(kind) = Own::of(field.name) {
                let start = range.start + field.name.len() + field.middle.len();
                let value = start..start + field.raw_value.len();
                let is_broken = !parsed.take(kind, field.raw_value, start);
                parsed.own.push(OwnField { kind, whole: range, value, is_broken });
            }
        }
        parsed
    }

    /// Whether a value makes sense.
    fn take(&mut self, kind: Own, value: &[u8], at: usize) -> bool {
        match kind {
            Own::Status | Own::XStatus => {
                self.take_letters(kind, value);
                true
            }
            Own::Uid => match (self.uid, number(value).and_then(|uid| u32::try_from(uid).ok())) {
                (None, Some(uid)) if uid > 0 => {
                    self.uid = Some(uid);
                    true
                }
                _ => false,
            },
            Own::ContentLength => match (self.content_length, number(value)) {
                (None, Some(length)) => {
                    self.content_length = Some(length);
                    true
                }
                _ => false,
            },
            Own::Keywords if self.keywords.is_none() => {
                self.keywords = Some(words(value).map(str::to_owned).collect());
                true
            }
            Own::Keywords => false,
            Own::Base | Own::Pseudo => match parse_base(value, at, kind == Own::Pseudo) {
                Some(base) if self.base.is_none() => {
                    self.base = Some(base);
                    true
                }
                _ => false,
            },
        }
    }

    fn take_letters(&mut self, kind: Own, value: &[u8]) {
        for byte in value {
            let Some((_, flag)) = kind.letters().iter().find(|(letter, _)| letter == byte) else { continue };
            let twice = match flag {
                Some(flag) => self.flags.has(*flag),
                None => self.is_old,
            };
            self.status_is_broken |= twice;
            match flag {
                Some(flag) => self.flags |= *flag,
                None => self.is_old = true,
            }
        }
    }

    /// The field of ours of a kind that counts.
    pub fn own(&self, kind: Own) -> Option<&OwnField> {
        self.own.iter().find(|field| field.kind == kind && !field.is_broken)
    }
}

/// `Content-Length` alone.
pub fn content_length(header: &[u8]) -> Option<u64> {
    fields(header)
        .map(|range| Field::split(header.get(range).unwrap_or_default()))
        .filter(|field| Own::of(field.name) == Some(Own::ContentLength))
        .find_map(|field| number(field.raw_value))
}

/// The header as clients see it: without our fields, every line ending in LF.
pub fn visible(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len());
    let mut put = |mut bytes: &[u8]| {
        while let Some(cr) = memchr::memmem::find(bytes, b"\r\n") {
            let (before, rest) = bytes.split_at(cr);
            out.extend_from_slice(before);
            bytes = rest.get(1..).unwrap_or_default();
        }
        out.extend_from_slice(bytes);
    };
    let mut end = 0;
    for range in fields(header) {
        let bytes = header.get(range.clone()).unwrap_or_default();
        end = range.end;
        if Own::of(Field::split(bytes).name).is_none() {
            put(bytes);
        }
    }
    put(header.get(end..).unwrap_or_default());
    out
}

/// Where each field is, its folded lines included. The empty line is none.
pub(crate) fn fields(header: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let rest = header.get(start..).unwrap_or_default();
        if matches!(rest, [] | [b'\n', ..] | [b'\r', b'\n', ..]) {
            return None;
        }
        loop {
            let rest = header.get(at..).unwrap_or_default();
            at = memchr::memchr(b'\n', rest).map_or(header.len(), |lf| at + lf + 1);
            if !matches!(header.get(at), Some(b' ' | b'\t')) {
                return Some(start..at);
            }
        }
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The words between white space. What is not UTF-8 is no keyword.
fn words(value: &[u8]) -> impl Iterator<Item = &str> {
    value
        .split(|&byte| is_space(byte))
        .filter(|word| !word.is_empty())
        .filter_map(|word| std::str::from_utf8(word).ok())
        .take(MBOX_KEYWORDS_MAX)
}

/// Digits, perhaps none, with white space behind them only.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = value.split_at(digits);
    if !rest.iter().all(|&byte| is_space(byte)) {
        return None;
    }
    match digits {
        [] => Some(0),
        digits => std::str::from_utf8(digits).ok()?.parse().ok(),
    }
}

fn parse_base(value: &[u8], at: usize, is_pseudo: bool) -> Option<Base> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (validity, rest) = value.split_at(digits);
    if rest.first().is_some_and(|&byte| byte != b' ') {
        return None;
    }
    let spaces = rest.iter().take_while(|&&byte| is_space(byte)).count();
    let (_, rest) = rest.split_at(spaces);
    let last_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (last, rest) = rest.split_at(last_digits);
    if rest.first().is_some_and(|&byte| !is_space(byte)) {
        return None;
    }
    Some(Base {
        uid_validity: std::str::from_utf8(validity).ok()?.parse().ok().filter(|&value| value != 0)?,
        last_uid: number(last).and_then(|uid| u32::try_from(uid).ok()).filter(|&uid| uid < u32::MAX)?,
        last_uid_at: (last.len() == 10).then_some(at + digits + spaces),
        keywords: words(rest).map(str::to_owned).collect(),
        is_pseudo,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = "Subject: 1\nX-IMAPbase: 1795651620 0000000003 kw1 $Forwarded\nX-UID: 1\n\
        Status: R\nX-Keywords: kw1 $Forwarded         \nContent-Length: 14\nX-Status: F\n\n";

    #[test]
    fn as_dovecot_wrote_it() {
        let header = Header::parse(REAL.as_bytes());
        assert_eq!((header.flags, header.is_old), (Flags::SEEN | Flags::FLAGGED, false));
        assert_eq!((header.uid, header.content_length), (Some(1), Some(14)));
        assert_eq!(header.keywords.as_deref().unwrap(), ["kw1", "$Forwarded"]);
        let base = header.base.as_ref().unwrap();
        assert_eq!((base.uid_validity, base.last_uid), (1_795_651_620, 3));
        assert_eq!(&REAL[base.last_uid_at.unwrap()..][..10], "0000000003");
        assert_eq!(base.keywords, ["kw1", "$Forwarded"]);
        assert_eq!(&REAL[header.own(Own::Keywords).unwrap().value.clone()], "kw1 $Forwarded         ");
        assert!(header.own.iter().all(|field| !field.is_broken));
        assert_eq!(visible(REAL.as_bytes()), b"Subject: 1\n\n");
        assert_eq!(content_length(REAL.as_bytes()), Some(14));
    }

    fn check(text: &str, broken: &[&str]) -> Header {
        let header = Header::parse(text.as_bytes());
        let found = header.own.iter().filter(|field| field.is_broken).map(|field| &text[field.whole.clone()]);
        assert_eq!(found.collect::<Vec<_>>(), broken, "{text}");
        header
    }

    #[test]
    fn what_does_not_count() {
        let header = check("X-UID: 5\nx-uid: 6\n", &["x-uid: 6\n"]);
        assert_eq!(header.uid, Some(5));
        check("X-UID: 5x\n", &["X-UID: 5x\n"]);
        check("X-UID: 0\n", &["X-UID: 0\n"]);
        check("X-UID: 99999999999\n", &["X-UID: 99999999999\n"]);
        check("X-IMAPbase: 0 0000000001\n", &["X-IMAPbase: 0 0000000001\n"]);
        check("X-IMAPbase: 1 4294967295\n", &["X-IMAPbase: 1 4294967295\n"]);
        check("X-IMAPbase: 1 1x\n", &["X-IMAPbase: 1 1x\n"]);
        check("X-Keywords: a\nX-Keywords: b\n", &["X-Keywords: b\n"]);
        check("Content-Length: x\n", &["Content-Length: x\n"]);
        assert!(check("Status: RR\n", &[]).status_is_broken);
        assert!(check("Status: RO\nX-Status: ?F\n", &[]).is_old);
    }

    #[test]
    fn folded() {
        let header = check("X-IMAPbase: 1 5\n\ta\n b  \nX-Keywords:\n\ta  \n", &[]);
        let base = header.base.unwrap();
        assert_eq!((base.last_uid_at, base.keywords), (None, vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(header.keywords.unwrap(), ["a"]);
        assert_eq!(visible(b"A: b\r\n c\r\nStatus: RO\r\n x\r\nB: c\r\n\r\n"), b"A: b\n c\nB: c\n\n");
        assert_eq!(visible(b"A"), b"A");
    }

    #[test]
    fn random_damage() {
        let mut random = crate::limits::tests::Random::new(5);
        for _ in 0..4000 {
            let damaged = random.damage(REAL.as_bytes());
            let header = Header::parse(&damaged);
            assert!(header.own.iter().all(|f| f.whole.end <= damaged.len() && f.value.end <= f.whole.end));
            assert!(visible(&damaged).len() <= damaged.len());
        }
    }
}
