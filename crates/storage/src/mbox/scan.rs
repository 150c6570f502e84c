//! Where the messages of an mbox begin and end. Reads one message at a time, and of that no more than
//! it must: the body only where `Content-Length` is missing or wrong.

use std::io;

use jiff::tz::TimeZone;

use crate::limits::{MBOX_FROM_BYTES_MAX, MBOX_HEADER_BYTES_MAX};
use crate::source::{Cursor, ReadAt};

use super::from_line::{self, FromLine, PREFIX};
use super::header;

/// Why an mbox could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The system refused to read.
    #[error("read() failed with mbox")]
    Io(#[from] io::Error),
    /// The file does not begin as an mbox does.
    #[error("Mailbox isn't a valid mbox file")]
    NotMbox,
    /// No message begins where one should.
    #[error("Unexpectedly lost From-line at offset {0}")]
    LostFrom(u64),
}

/// Reads the messages of one mbox.
pub struct Scan<'a, S: ?Sized> {
    source: &'a S,
    zone: TimeZone,
}

/// A message up to its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Of the line end before the `From ` line; 0 for the first message.
    pub from: u64,
    /// Where the `From ` line begins.
    pub from_line_at: u64,
    /// Where the header begins.
    pub header: u64,
    /// Where the body begins.
    pub body: u64,
    /// What the `From ` line says.
    pub from_line: FromLine,
    /// The header up to and with the empty line, if there is one.
    pub header_bytes: Vec<u8>,
    /// Whether an empty line ends the header.
    pub has_end: bool,
    /// The header is longer than the limit: its fields must not be relied upon.
    pub is_cut: bool,
    /// Where the message ends, if the header is all of it.
    end: Option<End>,
}

/// Where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Behind the body's last byte. The line end that follows belongs to no message.
    pub body: u64,
    /// Where the next message is, or the end of the file: what [`Start::from`] is of it.
    pub next: u64,
    /// Bytes of the line end behind the body: 1, 2, or 0 if the file ends without.
    pub line_end: u8,
}

impl<'a, S: ReadAt + ?Sized> Scan<'a, S> {
    /// Reads `source`; dates without a time zone are in `zone`.
    pub fn new(source: &'a S, zone: TimeZone) -> Self {
        Self { source, zone }
    }

    /// The message at `from`, or `None` at the end of the file.
    ///
    /// # Errors
    /// Those of reading, and where there is no `From ` line.
    pub fn start(&self, from: u64) -> Result<Option<Start>, ScanError> {
        let mut cursor = Cursor::new(self.source, from);
        let lost = || if from == 0 { ScanError::NotMbox } else { ScanError::LostFrom(from) };
        let skip = match (from, cursor.peek(3)?) {
            (_, []) => return Ok(None),
            (0, _) => 0,
            (_, b"\n" | b"\r\n") => return Ok(None),
            (_, [b'\n', ..]) => 1,
            (_, [b'\r', b'\n', ..]) => 2,
            _ => return Err(lost()),
        };
        cursor.skip(skip);
        let from_line = self.parse_from_line(&mut cursor)?.ok_or_else(lost)?;
        let from_line_at = cursor.offset();
        skip_line(&mut cursor)?;
        let header = cursor.offset();
        self.read_header(
            &mut cursor,
            Start {
                from,
                from_line_at,
                header,
                body: header,
                from_line,
                header_bytes: Vec::new(),
                has_end: false,
                is_cut: false,
                end: None,
            },
        )
        .map(Some)
    }

    /// The `From ` line at the cursor, which stays where it is.
    fn parse_from_line(&self, cursor: &mut Cursor<'_, S>) -> Result<Option<FromLine>, ScanError> {
        if !cursor.peek(PREFIX.len())?.starts_with(PREFIX) {
            return Ok(None);
        }
        while memchr::memchr(b'\n', cursor.data()).is_none() && cursor.data().len() < MBOX_FROM_BYTES_MAX {
            if cursor.read_more()? == 0 {
                break;
            }
        }
        let data = cursor.data();
        let end = memchr::memchr(b'\n', data).map_or(data.len(), |lf| lf + 1).min(MBOX_FROM_BYTES_MAX);
        Ok(from_line::parse(data.get(..end).unwrap_or_default(), &self.zone))
    }

    fn read_header(&self, cursor: &mut Cursor<'_, S>, mut start: Start) -> Result<Start, ScanError> {
        loop {
            // A `From ` line directly behind our own is a header field of no meaning.
            if !start.header_bytes.is_empty() && self.parse_from_line(cursor)?.is_some() {
                return self.end_before_from(start);
            }
            if start.has_end {
                return Ok(start);
            }
            let room = MBOX_HEADER_BYTES_MAX - start.header_bytes.len().min(MBOX_HEADER_BYTES_MAX);
            let Some(line) = cursor.line(room)? else {
                start.is_cut = true;
                return Ok(start);
            };
            start.header_bytes.extend_from_slice(&line);
            start.body = cursor.offset();
            start.has_end = matches!(line.as_slice(), b"\n" | b"\r\n");
            if cursor.peek(1)?.is_empty() {
                start.end_with_header();
                return Ok(start);
            }
        }
    }

    /// A `From ` line comes directly behind the header. If an empty line was before it, it may belong to
    /// the body: `Content-Length` knows.
    fn end_before_from(&self, mut start: Start) -> Result<Start, ScanError> {
        if start.has_end
            && let Some(length) = header::content_length(&start.header_bytes).filter(|&length| length > 0)
            && let Some(end) = start.body.checked_add(length)
            && let Some(end) = self.ends_at(end)?
        {
            start.end = Some(end);
            return Ok(start);
        }
        start.end_with_header();
        Ok(start)
    }

    /// Where a message ends.
    ///
    /// # Errors
    /// Those of reading.
    pub fn end(&self, start: &Start) -> Result<End, ScanError> {
        if let Some(end) = start.end {
            return Ok(end);
        }
        let length = if start.is_cut { None } else { header::content_length(&start.header_bytes) };
        if let Some(end) = length.and_then(|length| start.body.checked_add(length))
            && let Some(end) = self.ends_at(end)?
        {
            return Ok(end);
        }
        self.search_end(start.body)
    }

    /// The end at `at`, if the file or a line ends there and another message follows.
    fn ends_at(&self, at: u64) -> Result<Option<End>, ScanError> {
        let mut cursor = Cursor::new(self.source, at);
        let line_end = match cursor.peek(3)? {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return Ok(None),
        };
        let end = End { body: at, next: at, line_end };
        cursor.skip(u64::from(line_end));
        let is_end = cursor.peek(1)?.is_empty() || self.parse_from_line(&mut cursor)?.is_some();
        Ok(is_end.then_some(end))
    }

    /// The first `From ` line behind `body`, or the end of the file.
    fn search_end(&self, body: u64) -> Result<End, ScanError> {
        let mut cursor = Cursor::new(self.source, body);
        loop {
            let data = cursor.data();
            let found = memchr::memmem::find(data, b"\nFrom ");
            if let Some(at) = found {
                let has_cr = at > 0 && data.get(at - 1) == Some(&b'\r');
                cursor.skip(at as u64);
                let lf = cursor.offset();
                cursor.skip(1);
                if self.parse_from_line(&mut cursor)?.is_some() {
                    let line_end = 1 + u8::from(has_cr);
                    let end = lf + 1 - u64::from(line_end);
                    return Ok(End { body: end, next: end, line_end });
                }
                continue;
            }
            // Keeps what may be the beginning of the line end and of `From `.
            let keep = data.len().min(PREFIX.len() + 2);
            let passed = data.len() - keep;
            cursor.skip(passed as u64);
            if cursor.read_more()? == 0 {
                let (at, data) = (cursor.offset() + cursor.data().len() as u64, cursor.data());
                let line_end = if data.ends_with(b"\r\n") { 2 } else { u8::from(data.ends_with(b"\n")) };
                let end = at - u64::from(line_end);
                return Ok(End { body: end, next: end, line_end });
            }
        }
    }
}

impl Start {
    /// Bytes of the line end before the `From ` line; the first message of a file has none.
    pub fn line_end_before(&self) -> u64 {
        self.from_line_at - self.from
    }

    /// Nothing follows: what ends the header's last line is the line end behind the message.
    fn end_with_header(&mut self) {
        let line_end = if self.header_bytes.ends_with(b"\r\n") {
            2
        } else {
            u8::from(self.header_bytes.ends_with(b"\n"))
        };
        self.header_bytes.truncate(self.header_bytes.len() - usize::from(line_end));
        self.body -= u64::from(line_end);
        self.has_end = false;
        self.end = Some(End { body: self.body, next: self.body, line_end });
    }
}

/// Passes the rest of a line of any length.
fn skip_line<S: ReadAt + ?Sized>(cursor: &mut Cursor<'_, S>) -> io::Result<()> {
    loop {
        let data = cursor.data();
        match memchr::memchr(b'\n', data) {
            Some(lf) => {
                cursor.skip(lf as u64 + 1);
                return Ok(());
            }
            None => {
                let all = data.len() as u64;
                cursor.skip(all);
                if cursor.read_more()? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::Random;

    const FROM: &str = "From x Thu Nov 29 22:33:52 2001\n";

    /// `header|body` of every message.
    fn messages(text: &[u8]) -> Result<Vec<String>, ScanError> {
        let scan = Scan::new(text, TimeZone::UTC);
        let (mut at, mut found) = (0, Vec::new());
        while let Some(start) = scan.start(at)? {
            let end = scan.end(&start)?;
            assert_eq!(&text[start.header as usize..start.body as usize], start.header_bytes);
            assert!(end.body >= start.body && end.next > at);
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\n', "$").replace('\r', "^");
            let body = shown(&text[start.body as usize..end.body as usize]);
            found.push(format!("{}|{body}", shown(&start.header_bytes)));
            at = end.next;
        }
        Ok(found)
    }

    fn check(text: &str, expected: &[&str]) {
        let text = text.replace('@', FROM);
        assert_eq!(messages(text.as_bytes()).unwrap(), expected, "{text}");
        let crlf: Vec<_> = expected.iter().map(|one| one.replace('$', "^$")).collect();
        assert_eq!(messages(text.replace('\n', "\r\n").as_bytes()).unwrap(), crlf, "{text}");
    }

    #[test]
    fn boundaries() {
        check("@a: b\n\nbody\n\n@c: d\n\nbody\nmore\n\n", &["a: b$$|body$", "c: d$$|body$more$"]);
        check("@a: b\n\nbody", &["a: b$$|body"]);
        check("@a: b\n\nbody\n", &["a: b$$|body"]);
        check("@a: b\n\nbody\n\n\n", &["a: b$$|body$$"]);
        check("", &[]);
        check("@", &["|"]);
        check("@a: b\n\nFrom here on\n\n@\n@c: d\n\n", &["a: b$$|From here on$", "|", "c: d$|"]);
    }

    #[test]
    fn messages_without_a_body() {
        check("@a: b\n\n@c: d\n\n\n@e: f\n", &["a: b$|", "c: d$$|", "e: f|"]);
        check("@a: b\n@c: d\n\nx\n", &["a: b|", "c: d$$|x"]);
        check("@\n@\n", &["|", "|"]);
    }

    #[test]
    fn content_length() {
        let from = FROM.replace('\n', "$");
        let length = FROM.len() + 3;
        let text = format!("@Content-Length: {length}\n\nx\n@y\n@a: b\n\nz\n");
        let hidden = [&format!("Content-Length: {length}$$|x${from}y"), "a: b$$|z"].map(str::to_owned);
        assert_eq!(messages(text.replace('@', FROM).as_bytes()).unwrap(), hidden);
        // The body begins with such a line.
        let text = format!("@Content-Length: {}\n\n@\n@a: b\n\nz\n", FROM.len());
        let hidden = [&format!("Content-Length: {}$$|{from}", FROM.len()), "a: b$$|z"].map(str::to_owned);
        assert_eq!(messages(text.replace('@', FROM).as_bytes()).unwrap(), hidden);
        // Wrong lengths do not count.
        for wrong in ["3", "4", "1000000", "18446744073709551615", "x"] {
            let text = format!("@Content-Length: {wrong}\n\nx\n\n@a: b\n\nz\n").replace('@', FROM);
            assert_eq!(messages(text.as_bytes()).unwrap().len(), 2, "{wrong}");
        }
    }

    #[test]
    fn not_an_mbox() {
        assert!(matches!(messages(b"Subject: x\n\n"), Err(ScanError::NotMbox)));
        assert!(matches!(messages(b"\n"), Err(ScanError::NotMbox)));
        let text = format!("{FROM}a: b\n\nx\n");
        let scan = Scan::new(text.as_bytes(), TimeZone::UTC);
        assert!(matches!(scan.start(5), Err(ScanError::LostFrom(5))));
    }

    #[test]
    fn random_damage() {
        let whole =
            format!("{FROM}a: b\nContent-Length: 9\n\nx\n{FROM}\n\n{FROM}c: d\r\n\r\nz\r\n\r\n{FROM}\n");
        let mut random = Random::new(3);
        for _ in 0..4000 {
            let _ = messages(&random.damage(whole.as_bytes()));
        }
    }
}
