//! The line that begins a message: `From sender Thu Nov 29 22:33:52 2001`. Pure, but for the local
//! time zone, in which most such lines are.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Begins every message.
pub const PREFIX: &[u8] = b"From ";

/// What the line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromLine {
    /// The envelope's sender, as it stands there.
    pub sender: Vec<u8>,
    /// When the message arrived, in seconds since 1970; `None` for a day that does not exist.
    pub received: Option<i64>,
}

/// Reads a line; `None` if it does not begin a message. A line without a time zone is in `zone`.
pub fn parse(line: &[u8], zone: &TimeZone) -> Option<FromLine> {
    let rest = line.strip_prefix(PREFIX)?;
    let sender = rest.get(..sender_length(rest)?)?;
    let date = rest.get(sender.len()..)?.trim_prefix_spaces();
    // The shortest: "Thu Nov 9 22:33 2001" with its line end.
    if date.len() < 21 {
        return None;
    }
    let mut scan = Scan { bytes: date, at: 4 };
    let (civil, offset) = scan.date()?;
    let received = civil.and_then(|civil| match offset {
        Some(secs) => TimeZone::UTC.to_timestamp(civil).ok().map(|at| at.as_second() - secs),
        None => zone.to_timestamp(civil).ok().map(Timestamp::as_second),
    });
    Some(FromLine { sender: sender.to_vec(), received })
}

/// The line with its LF for a message that arrived at `received`, in seconds since 1970. Spaces and line
/// ends in `sender`, which the line could not be read with, become underscores.
pub fn create(sender: &str, received: i64, zone: &TimeZone) -> String {
    let sender: String = sender.chars().map(|c| if c == ' ' || c.is_control() { '_' } else { c }).collect();
    let sender = if sender.is_empty() { "MAILER-DAEMON" } else { &sender };
    let at = Timestamp::from_second(received).unwrap_or(Timestamp::UNIX_EPOCH);
    let (local, _) = (zone.to_datetime(at), ());
    let weekday = local.weekday().to_sunday_zero_offset();
    let weekday = WEEKDAYS.get(usize::try_from(weekday).unwrap_or(0)).copied().unwrap_or("Sun");
    let month = usize::try_from(local.month() - 1).ok().and_then(|month| MONTHS.get(month).copied());
    format!(
        "From {sender}  {weekday} {} {:02} {:02}:{:02}:{:02} {:04}\n",
        month.unwrap_or("Jan"),
        local.day(),
        local.hour(),
        local.minute(),
        local.second(),
        local.year()
    )
}

/// Up to the space behind the sender; quoted parts may have spaces.
fn sender_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    if bytes.first() == Some(&b'"') {
        let mut escaped = false;
        at = 1;
        loop {
            match bytes.get(at)? {
                b'\r' | b'\n' => return None,
                b'"' if !escaped => break,
                &byte => escaped = byte == b'\\',
            }
            at += 1;
        }
        at += 1;
    }
    let rest = bytes.get(at..)?;
    let end = memchr::memchr3(b' ', b'\r', b'\n', rest)?;
    (rest.get(end) == Some(&b' ')).then_some(at + end)
}

/// A place in the line. Bytes beyond its end read as zero, which fits nothing.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Exactly `count` digits.
    fn number(&mut self, count: usize) -> Option<i32> {
        let mut value = 0;
        for _ in 0..count {
            value = value * 10 + i32::from(self.digit(0)?);
            self.at += 1;
        }
        Some(value)
    }

    fn digit(&self, ahead: usize) -> Option<u8> {
        self.peek(ahead).checked_sub(b'0').filter(|&digit| digit < 10)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek(0) == byte).then(|| self.at += 1)
    }

    /// `Nov `
    fn month(&mut self) -> Option<i8> {
        let name = self.bytes.get(self.at..self.at + 3)?;
        let found = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name));
        let month = found.or((name == b"???").then_some(0)).filter(|_| self.peek(3) == b' ')?;
        self.at += 4;
        i8::try_from(month + 1).ok()
    }

    /// The date and what is written of the time zone, in seconds east.
    fn date(&mut self) -> Option<(Option<DateTime>, Option<i64>)> {
        let start = self.at;
        if let Some(month) = self.month() {
            let day = self.day()?;
            let time = self.time(true)?;
            let year = match (0..4).all(|ahead| self.digit(ahead).is_some()) {
                true => self.number(4)?,
                // The name of a time zone, which nobody relies upon.
                false => {
                    while !matches!(self.peek(0), b' ' | 0) {
                        self.expect_printable()?;
                    }
                    self.at += 1;
                    self.number(4)?
                }
            };
            return Some((civil(year, month, day, time), self.offset()));
        }
        // "Thu, 9 Nov 2002 22:33:52"
        self.at = start + 1;
        let day = match (self.digit(0), self.digit(1)) {
            (Some(_), Some(_)) => self.number(2)?,
            _ => self.number(1)?,
        };
        self.expect(b' ')?;
        let month = self.month()?;
        let year = self.number(4)?;
        self.at += 1;
        let time = self.time(false)?;
        Some((civil(year, month, day, time), self.offset()))
    }

    fn expect_printable(&mut self) -> Option<()> {
        (!matches!(self.peek(0), b'\r' | b'\n')).then(|| self.at += 1)
    }

    /// `9 `, ` 9 ` or `29 `
    fn day(&mut self) -> Option<i32> {
        let _ = self.expect(b' ');
        let day = self.number(if self.peek(1) == b' ' { 1 } else { 2 })?;
        self.expect(b' ')?;
        Some(day)
    }

    /// `22:33:52 ` or `22:33 `; without the space if nothing need follow.
    fn time(&mut self, more: bool) -> Option<(i32, i32, i32)> {
        let hour = self.number(2)?;
        self.expect(b':')?;
        let minute = self.number(2)?;
        let second = match self.expect(b':') {
            Some(()) => self.number(2)?,
            None => 0,
        };
        if more {
            self.expect(b' ')?;
        }
        Some((hour, minute, second))
    }

    /// ` +0300`
    fn offset(&mut self) -> Option<i64> {
        self.expect(b' ')?;
        let sign = match self.peek(0) {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.at += 1;
        let (hours, minutes) = (self.number(2)?, self.number(2)?);
        Some(sign * i64::from(hours * 3600 + minutes * 60))
    }
}

/// Numbers beyond their range run over into the next unit, as with mktime(3).
fn civil(year: i32, month: i8, day: i32, (hour, minute, second): (i32, i32, i32)) -> Option<DateTime> {
    let first = Date::new(i16::try_from(year).ok()?, month, 1).ok()?;
    let span = Span::new()
        .try_days(day.max(1) - 1)
        .and_then(|span| span.try_hours(hour))
        .and_then(|span| span.try_minutes(minute))
        .and_then(|span| span.try_seconds(second))
        .ok()?;
    first.to_datetime(Time::midnight()).checked_add(span).ok()
}

trait TrimSpaces {
    fn trim_prefix_spaces(&self) -> &Self;
}

impl TrimSpaces for [u8] {
    fn trim_prefix_spaces(&self) -> &Self {
        let spaces = self.iter().take_while(|&&byte| byte == b' ').count();
        self.get(spaces..).unwrap_or_default()
    }
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(&str, Option<i64>)>) {
        let parsed = parse(format!("{line}\n").as_bytes(), &TimeZone::UTC);
        let parsed = parsed.map(|line| (String::from_utf8(line.sender).unwrap(), line.received));
        assert_eq!(parsed, expected.map(|(sender, at)| (sender.to_owned(), at)), "{line}");
    }

    #[test]
    fn lines_as_found_in_mail() {
        let at = Some(1_007_073_232);
        check("From x Thu Nov 29 22:33:52 2001", Some(("x", at)));
        check("From x  Thu nov 29 22:33:52 2001 +0000", Some(("x", at)));
        check("From x Thu Nov 29 22:33:52 2001 +0130", Some(("x", Some(1_007_073_232 - 5400))));
        check(
            "From x Thu Nov 29 22:33:52 2001 -0300 remote from y",
            Some(("x", Some(1_007_073_232 + 10_800))),
        );
        check("From x Thu Nov 29 22:33:52 EET 2001", Some(("x", at)));
        check("From x Thu Nov 29 22:33 2001", Some(("x", Some(1_007_073_180))));
        check("From x Thu, 29 Nov 2001 22:33:52 +0000", Some(("x", at)));
        check("From x Thu Nov  9 22:33:52 2001", Some(("x", Some(1_005_345_232))));
        check("From x Thu Nov 9 22:33:52 2001", Some(("x", Some(1_005_345_232))));
        check("From \"a b\"@c Thu Nov 29 22:33:52 2001", Some(("\"a b\"@c", at)));
        check("From x Thu ??? 01 00:00:00 1970", Some(("x", Some(0))));
        // The 31st of February is the 3rd of March.
        check("From x Sat Feb 31 00:00:00 1970", Some(("x", Some(61 * 86_400))));
        check("From x Thu Nov 29 22:33:52 1901", Some(("x", Some(-2_148_686_768))));
    }

    #[test]
    fn text_that_begins_with_from() {
        for line in [
            "From here we went on to the next town in the morning",
            "From x Thu Nov 29 22:33:52",
            "From x Thu Nov 29 2001",
            "From x",
            "From ",
            "From \"x Thu Nov 29 22:33:52 2001",
            "from x Thu Nov 29 22:33:52 2001",
            "From x Thu Nov xx 22:33:52 2001",
        ] {
            check(line, None);
        }
    }

    #[test]
    fn created() {
        let line = create("a@b", 1_007_073_232, &TimeZone::UTC);
        assert_eq!(line, "From a@b  Thu Nov 29 22:33:52 2001\n");
        assert_eq!(parse(line.as_bytes(), &TimeZone::UTC).unwrap().received, Some(1_007_073_232));
        assert_eq!(create("a b\nc", 0, &TimeZone::UTC), "From a_b_c  Thu Jan 01 00:00:00 1970\n");
        assert!(create("", 0, &TimeZone::UTC).starts_with("From MAILER-DAEMON  "));
    }
}
