//! The line `From sender date` that some transfer agents put before a message, as in an mbox file. It
//! is no part of the message; the sender in it counts where nothing else names one.

use std::io::{self, BufRead, Cursor, Read};

use crate::limits::FROM_LINE_BYTES_MAX;

/// Takes such a line off the beginning of `source`, and returns the sender in it.
///
/// # Errors
/// Those of reading.
pub(super) fn take_off(mut source: impl BufRead) -> io::Result<(Option<String>, impl Read)> {
    let mut start = Vec::new();
    source.by_ref().take(MARK.len() as u64).read_to_end(&mut start)?;
    let mut sender = None;
    if start == MARK {
        start.clear();
        let line = rest_of_line(&mut source)?;
        sender = parse(&line).map(|sender| String::from_utf8_lossy(sender).into_owned());
    }
    Ok((sender, Cursor::new(start).chain(source)))
}

/// Reads to the end of the line, and returns its beginning.
fn rest_of_line(source: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let (used, ended) = {
            let buffer = source.fill_buf()?;
            let end = memchr::memchr(b'\n', buffer);
            let room = FROM_LINE_BYTES_MAX.saturating_sub(line.len());
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
            (end.map_or(buffer.len(), |end| end + 1), end.is_some() || buffer.is_empty())
        };
        source.consume(used);
        if ended {
            return Ok(line);
        }
    }
}

/// The sender of `sender date`, if the date looks like one: `Thu Nov 23 11:05:40 2026`, with or
/// without seconds and a zone, or `Thu, 23 Nov 2026 11:05:40`.
fn parse(line: &[u8]) -> Option<&[u8]> {
    let (sender, rest) = line.split_at(sender_len(line)?);
    let date = rest.strip_prefix(b" ")?;
    let date = date.get(date.iter().position(|&byte| byte != b' ')?..)?;
    if sender.is_empty() || date.len() < DATE_BYTES_MIN {
        return None;
    }
    let fields = date.get(4..)?;
    let is_date = match date.get(3) {
        Some(b',') => is_mail_date(fields.strip_prefix(b" ")?),
        _ => is_month(fields) && is_day_and_time(fields.get(4..)?),
    };
    is_date.then_some(sender)
}

/// Up to the first space outside of quotes.
fn sender_len(line: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b' ' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// ` 1 11:05` or `23 11:05`.
fn is_day_and_time(text: &[u8]) -> bool {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let time = text.get(digits..).and_then(|rest| rest.strip_prefix(b" "));
    matches!(digits, 1 | 2) && time.is_some_and(is_time)
}

/// `23 Nov 2026 11:05:40`
fn is_mail_date(text: &[u8]) -> bool {
    let mut words = text.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let (day, month, year, time) = (words.next(), words.next(), words.next(), words.next());
    let is_number = |word: Option<&[u8]>| word.is_some_and(|word| word.iter().all(u8::is_ascii_digit));
    is_number(day) && month.is_some_and(is_month) && is_number(year) && time.is_some_and(is_time)
}

fn is_month(text: &[u8]) -> bool {
    const MONTHS: [&[u8]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    text.get(..3).is_some_and(|month| MONTHS.iter().any(|known| known.eq_ignore_ascii_case(month)))
}

fn is_time(text: &[u8]) -> bool {
    matches!(text, [a, b, b':', c, d, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()))
}

const MARK: &[u8] = b"From ";
/// `Thu Nov 23 11:05 2026` with one blank more or a second: what 2.3 asks for at least.
const DATE_BYTES_MIN: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from 2.3.19: the sender in a line, and what is left of the message.
    #[test]
    fn lines() {
        let check = |text: &str, sender: Option<&str>, left: &str| {
            let (got, mut rest) = take_off(text.as_bytes()).unwrap();
            let mut all = String::new();
            rest.read_to_string(&mut all).unwrap();
            assert_eq!((got.as_deref(), all.as_str()), (sender, left), "{text:?}");
        };
        let sender = |line: &str, sender| check(&format!("{line}\nA: 1\n"), sender, "A: 1\n");
        sender("From a@b Mon Jan  1 00:00:00 2024", Some("a@b"));
        sender("From a@b Mon Jan  1 00:00:00 2024\r", Some("a@b"));
        sender("From a@b  Mon Jan  1 00:00:00 2024", Some("a@b"));
        sender("From a@b Mon Jan  1 00:00:00 2024 remote from x", Some("a@b"));
        sender("From a@b Mon Jan 01 00:00:00 +0200 2024", Some("a@b"));
        sender("From a@b Mon Jan  1 00:00:00 EST 2024", Some("a@b"));
        sender("From a@b Mon Jan 1 00:00 +0200 2024", Some("a@b"));
        sender("From a@b Mon, 1 Jan 2024 00:00:00", Some("a@b"));
        sender("From a@b Xxx Jan  1 00:00:00 2024", Some("a@b"));
        sender("From a@b Mon Jan 1 00:00:00 2024", Some("a@b"));
        sender("From \"a\\\"b c\"@d Mon Jan  1 00:00:00 2024", Some("\"a\\\"b c\"@d"));
        sender("From - Mon Jan  1 00:00:00 2024", Some("-"));
        sender("From <a@b> Mon Jan  1 00:00:00 2024", Some("<a@b>"));
        for none in [
            "From a@b",
            "From a@b ",
            "From a@b xxxx",
            "From  a@b Mon Jan  1 00:00:00 2024",
            "From a b@c Mon Jan  1 00:00:00 2024",
            "From a@b Mon Jan  1 00:00:00",
            "From a@b Mon Jan 1 00:00 2024",
            "From Mon Jan  1 00:00:00 2024",
            "From a@b Mon Xxx  1 00:00:00 2024",
            "From a@b Mon Jan  1 00.00.00 2024",
            "From a@b \tMon Jan 1 00:00:00 2024",
            "From \"a b Mon Jan  1 00:00:00 2024",
            "From garbage",
        ] {
            sender(none, None);
        }
        check("From a@b Mon Jan  1 00:00:00 2024", Some("a@b"), "");
        for whole in ["", "Fro", "From", "From: x\n", ">From a@b Mon Jan  1 00:00:00 2024\nA\n", "from a@b\n"]
        {
            check(whole, None, whole);
        }
        let second = "From b@b Mon Jan  1 00:00:00 2024\nA: 1\n";
        check(&format!("From a@b Mon Jan  1 00:00:00 2024\n{second}"), Some("a@b"), second);
    }

    #[test]
    fn endless_lines_cost_nothing() {
        let text = [b"From ".to_vec(), vec![b'x'; 1 << 20], b"\nA".to_vec()].concat();
        let mut source = io::BufReader::new(&text[..]);
        source.consume(5);
        assert_eq!(rest_of_line(&mut source).unwrap_or_default().len(), FROM_LINE_BYTES_MAX);
        let (sender, mut rest) = take_off(&text[..]).unwrap();
        let mut left = Vec::new();
        rest.read_to_end(&mut left).unwrap();
        assert_eq!((sender, left), (None, b"A".to_vec()));
    }
}
