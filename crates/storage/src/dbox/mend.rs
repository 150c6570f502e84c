//! Saving what can be saved of a damaged dbox file: everything before the damage is copied, from there
//! on messages are searched for. The rules stand in `docs/formats/dbox.md`.

use std::io::{self, Write};

use crate::limits::{DBOX_GARBAGE_BYTES_MAX, DBOX_METADATA_BYTES_MAX, READ_BYTES};
use crate::source::{Cursor, ReadAt};
use crate::stored::VirtualSize;

use super::header::{self, FileHeader, MESSAGE_HEADER_BYTES, METADATA_MAGIC};
use super::metadata::{LineKind, key, line_kind};

/// What makes a mended file.
pub struct Mend<'a, S: ?Sized> {
    /// The damaged file.
    pub source: &'a S,
    /// Its header and how many bytes from its start are good, if the header can be read.
    pub good: Option<(FileHeader, u64)>,
    /// For the header of the new file, in seconds since 1970.
    pub now: u64,
    /// Makes up a GUID for a message that has lost its own.
    pub new_guid: &'a mut dyn FnMut() -> String,
}

/// A place that looks like the beginning of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// A message header is at.
    Message(u64),
    /// The LF before metadata is at.
    Metadata(u64),
}

impl Mark {
    fn offset(self) -> u64 {
        match self {
            Self::Message(offset) | Self::Metadata(offset) => offset,
        }
    }
}

/// A message between marks.
struct Found {
    /// The bytes of its header, if that is good.
    header: Option<Vec<u8>>,
    body: u64,
    end: u64,
}

/// Writes a whole file without damage to `out`, and says how many messages were found behind the good
/// bytes.
///
/// # Errors
/// Those of reading and writing.
pub fn mend<S: ReadAt + ?Sized>(mut mend: Mend<'_, S>, out: &mut dyn Write) -> io::Result<u32> {
    let header_bytes =
        mend.good.map_or(MESSAGE_HEADER_BYTES, |(header, _)| header.message_header_bytes as usize);
    let mut at = match mend.good {
        Some((header, end)) => {
            let end = end.max(header.bytes);
            copy(mend.source, 0, end, out, |_| {})?;
            end
        }
        None => {
            out.write_all(&FileHeader::new(mend.now).to_line())?;
            0
        }
    };
    let mut count = 0;
    while let Some(found) = next_message(mend.source, at, header_bytes)? {
        let size = found.end - found.body;
        let header = found.header.unwrap_or_else(|| header::message(size, header_bytes));
        out.write_all(&header)?;
        let mut virtual_size = VirtualSize::default();
        copy(mend.source, found.body, size, out, |data| virtual_size.push(data))?;
        at = write_metadata(&mut mend, found.end, virtual_size.get(), out)?;
        count += 1;
    }
    Ok(count)
}

/// The first message from `at` on.
fn next_message<S: ReadAt + ?Sized>(source: &S, at: u64, header_bytes: usize) -> io::Result<Option<Found>> {
    let (mut at, mut before) = (behind_nuls(source, at)?, at);
    let mark = loop {
        let Some(mark) = find(source, at)? else { return Ok(None) };
        if at == before || mark != Mark::Metadata(at) {
            break mark;
        }
        // What a lost write leaves: of the message there are only NULs.
        before = metadata_end(source, at)?;
        at = behind_nuls(source, before)?;
    };
    let start = match mark {
        Mark::Message(start) if start - at < DBOX_GARBAGE_BYTES_MAX => start,
        // So many bytes are a message that has lost its header.
        _ => return Ok(Some(Found { header: None, body: at, end: mark.offset() })),
    };
    let mut cursor = Cursor::new(source, start);
    let header = cursor.peek(header_bytes)?.get(..header_bytes).map(<[u8]>::to_vec);
    let size = header.as_deref().and_then(|header| header::parse_message(header).ok());
    let body = match size {
        Some(_) => start + header_bytes as u64,
        None => start + broken_header_bytes(&mut cursor, header_bytes)?,
    };
    if let Some(end) = size.and_then(|size| body.checked_add(size))
        && find_metadata_at(source, end)?
    {
        return Ok(Some(Found { header, body, end }));
    }
    let end = find(source, body)?;
    Ok(end.map(|end| Found { header: None, body, end: end.offset() }))
}

/// Where the metadata at `at` ends, as far as it looks like that.
fn metadata_end<S: ReadAt + ?Sized>(source: &S, at: u64) -> io::Result<u64> {
    let mut cursor = Cursor::new(source, at.saturating_add(METADATA_MAGIC.len() as u64));
    while let Some(line) = cursor.line(DBOX_METADATA_BYTES_MAX)? {
        if line.is_empty() || line == b"\n" {
            break;
        }
    }
    Ok(cursor.offset())
}

/// The first byte from `at` on that is not NUL.
fn behind_nuls<S: ReadAt + ?Sized>(source: &S, at: u64) -> io::Result<u64> {
    let mut cursor = Cursor::new(source, at);
    loop {
        let data = cursor.peek(1)?;
        let nuls = data.iter().take_while(|&&byte| byte == 0).count();
        let is_end = nuls < data.len() || data.is_empty();
        cursor.skip(nuls as u64);
        if is_end {
            return Ok(cursor.offset());
        }
    }
}

/// How many bytes of a header that is not one are not the body either.
fn broken_header_bytes<S: ReadAt + ?Sized>(
    cursor: &mut Cursor<'_, S>,
    header_bytes: usize,
) -> io::Result<u64> {
    let near = header_bytes + 16;
    let data = cursor.peek(near)?;
    let data = data.get(..near).unwrap_or(data);
    // An LF close by is probably the header's end.
    Ok(memchr::memchr(b'\n', data).map_or(header::MAGIC.len(), |lf| lf + 1) as u64)
}

/// Copies what is good of the metadata at `at` and completes it; gives where it ended.
fn write_metadata<S: ReadAt + ?Sized>(
    mend: &mut Mend<'_, S>,
    at: u64,
    virtual_size: u64,
    out: &mut dyn Write,
) -> io::Result<u64> {
    let mut cursor = Cursor::new(mend.source, at);
    let mut lines = Vec::new();
    if cursor.peek(METADATA_MAGIC.len())?.starts_with(&METADATA_MAGIC) {
        cursor.skip(METADATA_MAGIC.len() as u64);
        while let Some(line) = cursor.line(DBOX_METADATA_BYTES_MAX)? {
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            match line_kind(text) {
                LineKind::End => break,
                LineKind::Value if text.first().is_some_and(|&first| first < b' ') => {
                    // Perhaps the next message.
                    cursor.seek(cursor.offset() - line.len() as u64);
                    break;
                }
                LineKind::Value => lines.push(text.to_vec()),
            }
        }
    }
    let has = |key: u8| lines.iter().any(|line| line.first() == Some(&key));
    // The size of a body that is not plain text can only be known from what was.
    let plain = !has(key::PHYSICAL_SIZE) || !has(key::VIRTUAL_SIZE);
    let has_guid = lines.iter().any(|line| line.first() == Some(&key::GUID) && line.len() > 1);
    out.write_all(&METADATA_MAGIC)?;
    for line in &lines {
        let dropped = match line.first() {
            Some(&key::VIRTUAL_SIZE) => plain,
            Some(&key::GUID) => !has_guid,
            _ => false,
        };
        if !dropped {
            out.write_all(line)?;
            out.write_all(b"\n")?;
        }
    }
    if !has_guid {
        writeln!(out, "G{}", (mend.new_guid)())?;
    }
    if plain {
        writeln!(out, "V{virtual_size:x}")?;
    }
    out.write_all(b"\n")?;
    Ok(cursor.offset())
}

/// The first mark from `from` on.
fn find<S: ReadAt + ?Sized>(source: &S, from: u64) -> io::Result<Option<Mark>> {
    let mut cursor = Cursor::new(source, from);
    // What is searched for begins at `from` or after an LF: begin as if one had come.
    let mut after_lf = true;
    loop {
        let data = cursor.peek(1)?;
        if data.is_empty() {
            return Ok(None);
        }
        let Some(at) = memchr::memchr(1, data) else {
            after_lf = data.last() == Some(&b'\n');
            let passed = data.len() as u64;
            cursor.skip(passed);
            continue;
        };
        let lf = at.checked_sub(1).map_or(after_lf, |before| data.get(before) == Some(&b'\n'));
        cursor.skip(at as u64);
        if lf {
            let place = cursor.offset();
            if header::looks_like_message(cursor.peek(MESSAGE_HEADER_BYTES)?) {
                return Ok(Some(Mark::Message(place)));
            }
            if place > from && find_metadata_at(source, place - 1)? {
                return Ok(Some(Mark::Metadata(place - 1)));
            }
        }
        cursor.skip(1);
        after_lf = false;
    }
}

/// Whether there is metadata at `at` that looks good up to its end.
fn find_metadata_at<S: ReadAt + ?Sized>(source: &S, at: u64) -> io::Result<bool> {
    let mut cursor = Cursor::new(source, at);
    if !cursor.peek(METADATA_MAGIC.len())?.starts_with(&METADATA_MAGIC) {
        return Ok(false);
    }
    cursor.skip(METADATA_MAGIC.len() as u64);
    let mut room = DBOX_METADATA_BYTES_MAX;
    loop {
        let Some(line) = cursor.line(room)? else { return Ok(false) };
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(false) };
        room -= line.len();
        match text.first() {
            None => return Ok(true),
            Some(first) if !may_begin(*first, text) => return Ok(false),
            Some(_) => {}
        }
    }
}

/// Whether a line of metadata can begin so: those that hold numbers have no control characters.
fn may_begin(first: u8, text: &[u8]) -> bool {
    let numeric = b"ORZVXEFS ".contains(&first);
    (numeric && !text.iter().any(|&byte| byte < b' ')) || (!numeric && first.is_ascii_uppercase())
}

fn copy<S: ReadAt + ?Sized>(
    source: &S,
    from: u64,
    count: u64,
    out: &mut dyn Write,
    mut seen: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let (mut at, mut left) = (from, count);
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
        let read = source.read_at(buffer.get_mut(..want).unwrap_or_default(), at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let data = buffer.get(..read).unwrap_or_default();
        seen(data);
        out.write_all(data)?;
        at += read as u64;
        left -= read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbox::FileError;
    use crate::dbox::file::DboxFile;

    const HEADER: &str = "2 M1e C1\n";
    const FIRST: &str = "\x01\x02N          0000000000000006\nx: y\n\n\n\x01\x03\nR5\nV8\nGg1\n\n";
    const SECOND: &str = "\x01\x02N          0000000000000003\nabc\n\x01\x03\nGg2\nZ20\nV22\nBbox\n\n";

    /// As it is done to a file in a mailbox: what can be read is kept.
    fn mended(damaged: &[u8]) -> (Vec<u8>, u32) {
        let mut good = None;
        if let Ok(file) = DboxFile::open(damaged) {
            let ends = file.messages().map_while(Result::ok).map(|(_, metadata)| metadata.end);
            good = Some((*file.header(), ends.last().unwrap_or(file.header().bytes)));
        }
        let mut out = Vec::new();
        let mut new_guid = || "new".to_owned();
        let count = mend(Mend { source: damaged, good, now: 1, new_guid: &mut new_guid }, &mut out).unwrap();
        (out, count)
    }

    fn check(damaged: &str, expected: &[&str]) {
        let (out, _) = mended(damaged.as_bytes());
        assert_eq!(String::from_utf8_lossy(&out), expected.concat(), "{damaged:?}");
    }

    #[test]
    fn nothing_is_lost_that_is_there() {
        let first = "\x01\x02N          0000000000000006\nx: y\n\n\n\x01\x03\nR5\nGg1\nV8\n\n";
        check(&[HEADER, FIRST, SECOND].concat(), &[HEADER, FIRST, SECOND]);
        // The file's header.
        check(&["? Mxx\n", FIRST, SECOND].concat(), &[HEADER, first, SECOND]);
        // Garbage between messages.
        check(&[HEADER, FIRST, "rubbish\n", SECOND].concat(), &[HEADER, FIRST, SECOND]);
        // Its header never came to disk.
        let hole = "\0".repeat(30);
        check(&[HEADER, FIRST, &hole, &SECOND[30..]].concat(), &[HEADER, FIRST, SECOND]);
        // Nor did its body.
        let hole = "\0".repeat(SECOND.find("\n\x01\x03").unwrap());
        check(&[HEADER, FIRST, &hole, &SECOND[hole.len()..], SECOND].concat(), &[HEADER, FIRST, SECOND]);
        // The second message's length: the bytes up to the metadata are the body.
        let wrong = SECOND.replace("0003\n", "00A3\n");
        check(&[HEADER, FIRST, &wrong].concat(), &[HEADER, FIRST, SECOND]);
        // Its metadata, half written: there is no message.
        check(&[HEADER, FIRST, &SECOND[..50]].concat(), &[HEADER, FIRST]);
        // Metadata that is not there, with a message behind.
        let lost = "\x01\x02N          0000000000000003\nabc\n\x01\x03\nGnew\nV4\n\n";
        let cut = "\x01\x02N          0000000000000003\nabc";
        check(
            &[HEADER, cut, "\n", FIRST].concat(),
            &[HEADER, &lost.replace("3\nabc", "4\nabc\n").replace("V4", "V5"), first],
        );
    }

    #[test]
    fn a_message_without_header() {
        let body = "y".repeat(300);
        let expected = format!("\x01\x02N          000000000000012C\n{body}\n\x01\x03\nGg\nV12c\n\n");
        check(&format!("{HEADER}{body}\n\x01\x03\nGg\n\n"), &[HEADER, &expected]);
    }

    #[test]
    fn nothing_at_all() {
        assert_eq!(mended(b""), (HEADER.into(), 0));
        assert_eq!(mended(b"\n\x01\x03\n"), (HEADER.into(), 0));
        assert_eq!(mended(b"\x01\x02N"), (HEADER.into(), 0));
    }

    /// Whatever happened to a file, what comes out is sound, and mending it changes nothing.
    #[test]
    fn random_damage() {
        let whole = [HEADER, FIRST, SECOND, FIRST, SECOND].concat().into_bytes();
        let mut random = crate::limits::tests::Random::new(7);
        for _ in 0..4000 {
            let damaged = random.damage(&whole);
            let (out, _) = mended(&damaged);
            let file = DboxFile::open(out.as_slice()).unwrap();
            let all: Result<Vec<_>, FileError> = if out.len() as u64 == file.header().bytes {
                Ok(Vec::new())
            } else {
                file.messages().collect()
            };
            assert!(all.is_ok(), "{:?} {:?}", all, String::from_utf8_lossy(&damaged));
            assert_eq!(mended(&out).0, out, "{:?}", String::from_utf8_lossy(&damaged));
        }
    }
}
