//! `dovecot-uidlist`: which file has which UID. Version 3 is read and written, version 1 is read. The
//! layout is in `docs/formats/maildir.md`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base::Guid;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Header {
    pub version: u8,
    pub uid_validity: u32,
    pub next_uid: u32,
    pub guid: Option<Guid>,
    /// Fields we do not know, kept as they are.
    pub extra: Vec<u8>,
}

/// One message's line. `fields` are `W123 Gabc`, as they stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub uid: u32,
    pub fields: &'a [u8],
    pub name: &'a [u8],
}

/// What was found in a file, or in the part of it that was added.
#[derive(Debug, Default)]
pub(crate) struct Parsed<'a> {
    pub header: Option<Header>,
    pub lines: Vec<Line<'a>>,
    /// How many bytes were understood, always up to the end of a line.
    pub consumed: usize,
    /// Something small was wrong; the file should be written anew.
    pub recreate: bool,
}

/// Damage: the line, counted from one, and what is wrong with it in 2.3's words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub line: usize,
    pub what: String,
}

/// Parses a whole file. An empty one is `header: None`. A last line without its end is left out: it is
/// being written, or was when the machine stopped.
pub(crate) fn parse(data: &[u8]) -> Result<Parsed<'_>, Broken> {
    let Some(end) = memchr::memchr(b'\n', data) else { return Ok(Parsed::default()) };
    let (first, rest) = data.split_at(end + 1);
    let header = parse_header(&first[..end]).map_err(|what| Broken { line: 1, what })?;
    let mut parsed = parse_lines(rest, &header, 1)?;
    parsed.consumed += end + 1;
    parsed.header = Some(header);
    Ok(parsed)
}

/// The mailbox's GUID, if the file begins with it.
pub(crate) fn guid_of(path: &Path) -> Option<Guid> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD_BYTES_MAX).read_to_end(&mut head).ok()?;
    let end = memchr::memchr(b'\n', &head)?;
    parse_header(head.get(..end)?).ok()?.guid
}

/// Parses lines that were added behind those read earlier; `lines_before` is for messages.
pub(crate) fn parse_lines<'a>(
    data: &'a [u8],
    header: &Header,
    lines_before: usize,
) -> Result<Parsed<'a>, Broken> {
    let mut parsed = Parsed { lines: Vec::with_capacity(data.len() / 48), ..Parsed::default() };
    let (mut number, mut last_uid) = (lines_before, 0);
    for end in memchr::memchr_iter(b'\n', data) {
        let text = data.get(parsed.consumed..end).unwrap_or_default();
        number += 1;
        let broken = |what| Broken { line: number, what };
        let line = parse_line(text, header.version, &mut parsed.recreate).map_err(broken)?;
        if line.uid <= last_uid {
            return Err(broken(format!("UIDs not ordered ({} >= {last_uid})", line.uid)));
        }
        if header.version == 1 && line.uid >= header.next_uid {
            return Err(broken(format!("UID larger than next_uid ({} >= {})", line.uid, header.next_uid)));
        }
        last_uid = line.uid;
        parsed.lines.push(line);
        parsed.consumed = end + 1;
    }
    Ok(parsed)
}

fn parse_header(line: &[u8]) -> Result<Header, String> {
    let text = String::from_utf8_lossy(line);
    let (version, rest) = match (line.first(), line.get(1), text.get(2..)) {
        (Some(digit @ b'0'..=b'9'), Some(b' '), Some(rest)) => (digit - b'0', rest),
        _ => return Err("Corrupted header (invalid version number)".to_owned()),
    };
    let mut header = Header { version, ..Header::default() };
    match version {
        1 => {
            let mut numbers = rest.split_ascii_whitespace().map_while(|word| word.parse().ok());
            (header.uid_validity, header.next_uid) = match (numbers.next(), numbers.next()) {
                (Some(validity), Some(next)) => (validity, next),
                _ => return Err("Corrupted header (version 1)".to_owned()),
            };
        }
        3 => parse_header_fields(rest, &mut header)?,
        _ => return Err(format!("Unsupported version {version}")),
    }
    if header.uid_validity == 0 || header.next_uid == 0 {
        let (validity, next) = (header.uid_validity, header.next_uid);
        return Err(format!("Broken header (uidvalidity = {validity}, next_uid={next})"));
    }
    Ok(header)
}

fn parse_header_fields(rest: &str, header: &mut Header) -> Result<(), String> {
    for word in rest.split(' ').filter(|word| !word.is_empty()) {
        let mut chars = word.chars();
        let (key, value) = (chars.next(), chars.as_str());
        match key {
            Some('V') => {
                header.uid_validity =
                    value.parse().map_err(|_| format!("Invalid mailbox UID_VALIDITY: {value}"))?;
            }
            Some('N') => {
                header.next_uid = value.parse().map_err(|_| format!("Invalid mailbox NEXT_UID: {value}"))?;
            }
            Some('G') => {
                header.guid = Some(value.parse().map_err(|_| format!("Invalid mailbox GUID: {value}"))?);
            }
            _ => {
                if !header.extra.is_empty() {
                    header.extra.push(b' ');
                }
                header.extra.extend_from_slice(word.as_bytes());
            }
        }
    }
    Ok(())
}

fn parse_line<'a>(line: &'a [u8], version: u8, recreate: &mut bool) -> Result<Line<'a>, String> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = line.split_at(digits);
    let uid = std::str::from_utf8(number).ok().and_then(|number| number.parse::<u32>().ok());
    let uid = match (uid, rest.first()) {
        (Some(uid @ 1..), Some(b' ')) => uid,
        _ => return Err(format!("Invalid data: {}", String::from_utf8_lossy(line))),
    };
    if uid == u32::MAX {
        return Err(format!("UID too high ({uid})"));
    }
    let rest = rest.trim_ascii_start();
    let (fields, name) = if version == 1 {
        (&[][..], rest)
    } else {
        let colon = if rest.first() == Some(&b':') { Some(0) } else { find(rest, b" :").map(|at| at + 1) };
        let Some(colon) = colon.filter(|&colon| colon + 1 < rest.len()) else {
            return Err(format!("Invalid extended fields: {}", String::from_utf8_lossy(rest)));
        };
        (rest[..colon].trim_ascii_end(), &rest[colon + 1..])
    };
    if memchr::memchr(b'/', name).is_some() {
        return Err(format!("Broken filename: {}", String::from_utf8_lossy(name)));
    }
    if fields.split(|&byte| byte == b' ').any(|field| !field.first().is_none_or(u8::is_ascii_uppercase)) {
        *recreate = true;
    }
    Ok(Line { uid, fields, name })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

/// Appends the header line.
pub(crate) fn write_header(header: &Header, guid: Guid, out: &mut Vec<u8>) {
    let text = format!("3 V{} N{} G{guid}", header.uid_validity, header.next_uid);
    out.extend_from_slice(text.as_bytes());
    if !header.extra.is_empty() {
        out.push(b' ');
        out.extend_from_slice(&header.extra);
    }
    out.push(b'\n');
}

/// Appends one message's line; `name` may have flags, which are left out.
pub(crate) fn write_line(uid: u32, fields: &[u8], name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(uid.to_string().as_bytes());
    let valid =
        fields.split(|&byte| byte == b' ').filter(|field| field.first().is_some_and(u8::is_ascii_uppercase));
    for field in valid {
        out.push(b' ');
        out.extend_from_slice(field);
    }
    out.extend_from_slice(b" :");
    out.extend_from_slice(super::filename::base(name));
    out.push(b'\n');
}

/// The value of one field (`W`, `S`, `G`, `P`, `O`).
pub(crate) fn field(fields: &[u8], key: u8) -> Option<&[u8]> {
    fields
        .split(|&byte| byte == b' ')
        .find(|field| field.first() == Some(&key))
        .and_then(|field| field.get(1..))
}

/// The fields with one set anew; a value with a space or control character is left out, since the
/// file cannot hold it.
pub(crate) fn with_field(fields: &[u8], key: u8, value: &[u8]) -> Vec<u8> {
    let others =
        fields.split(|&byte| byte == b' ').filter(|field| field.first().is_some_and(|&first| first != key));
    let mut all: Vec<Vec<u8>> = others.map(<[u8]>::to_vec).collect();
    if !value.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        all.push([&[key], value].concat());
    }
    all.join(&b' ')
}

/// No first line is longer, but for fields that we do not know.
const HEAD_BYTES_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let result = parse(text.as_bytes()).map_err(|broken| format!("{}: {}", broken.line, broken.what));
        let result = result.map(|parsed| {
            let mut out = Vec::new();
            if let Some(header) = &parsed.header {
                write_header(header, header.guid.unwrap_or_default(), &mut out);
            }
            parsed.lines.iter().for_each(|line| write_line(line.uid, line.fields, line.name, &mut out));
            String::from_utf8(out).unwrap()
        });
        assert_eq!(result.as_deref().map_err(String::as_str), expected, "{text:?}");
    }

    const GUID: &str = "05afe8382c1c046bb808000083ecc375";

    #[test]
    fn the_guid_is_in_the_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dovecot-uidlist");
        assert_eq!(guid_of(&path), None);
        for (text, guid) in [
            (format!("3 V1700000000 N5 G{GUID} Pfoo\n1 :a\n"), Some(GUID)),
            (format!("3 V1700000000 N5 G{GUID}"), None),
            ("3 V1700000000 N5\n".to_owned(), None),
            ("1 1700000000 5\n1 a\n".to_owned(), None),
            (String::new(), None),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(guid_of(&path).map(|guid| guid.to_string()).as_deref(), guid, "{text}");
        }
    }

    #[test]
    fn round_trips() {
        let head = format!("3 V1700000000 N5 G{GUID}");
        let text = format!("{head} Pfoo Xbar\n1 :a\n2 W12 S10 Pu:x :b,S=10\n4 G123 :c\n");
        check(&text, Ok(&text));
        check(&format!("{head}\n1 :a:2,S\n2 :half"), Ok(&format!("{head}\n1 :a\n")));
        check("1 9 3\n1 a\n2 b\n", Ok(&format!("3 V9 N3 G{}\n1 :a\n2 :b\n", Guid::default())));
        check("", Ok(""));
    }

    #[test]
    fn damage_is_named() {
        for (text, error) in [
            ("garbage\n", "1: Corrupted header (invalid version number)"),
            ("2 V1 N1\n", "1: Unsupported version 2"),
            ("3 V0 N1\n", "1: Broken header (uidvalidity = 0, next_uid=1)"),
            ("3 Vx N1\n", "1: Invalid mailbox UID_VALIDITY: x"),
            ("3 V1 N1 Gx\n", "1: Invalid mailbox GUID: x"),
            ("3 V1 N9\nfoo\n", "2: Invalid data: foo"),
            ("3 V1 N9\n2 :a\n2 :b\n", "3: UIDs not ordered (2 >= 2)"),
            ("3 V1 N9\n4294967295 :a\n", "2: UID too high (4294967295)"),
            ("3 V1 N9\n1 a\n", "2: Invalid extended fields: a"),
            ("3 V1 N9\n1 :../a\n", "2: Broken filename: ../a"),
            ("1 9 2\n2 b\n", "2: UID larger than next_uid (2 >= 2)"),
        ] {
            check(text, Err(error));
        }
    }

    #[test]
    fn fields() {
        assert_eq!(field(b"W12 Gx", b'G'), Some(&b"x"[..]));
        assert_eq!(with_field(b"W12 Gx", b'W', b"9"), b"Gx W9");
        assert_eq!(with_field(b"", b'P', b"a b"), b"");
    }
}
