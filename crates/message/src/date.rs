//! `Date:` as a moment, read as tolerantly as Dovecot 2.3 reads it: its answers go into the index
//! cache as `date.sent`, and SORT, THREAD and SENTON work with them.

use crate::rfc822::{Cursor, Step};

/// When a message says that it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SentDate {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub unix_secs: i64,
    /// Minutes east of UTC of the zone that it was written in.
    pub zone_minutes: i32,
}

impl SentDate {
    /// The clock on the sender's wall: seconds since 1970-01-01 00:00:00 in the sender's zone.
    pub fn local_secs(self) -> i64 {
        self.unix_secs.saturating_add(i64::from(self.zone_minutes) * 60)
    }
}

/// Reads a field's value (RFC 5322 §3.3). The time may use dots, seconds and zone may be missing, and
/// a zone that is not known counts as UTC. `None` for what is no date.
pub fn parse(value: &[u8]) -> Option<SentDate> {
    let mut words = Words { cursor: Cursor::new(value) };
    words.cursor.skip_lwsp();
    let mut day = words.next()?;
    if day.len() == 3 {
        words.expect(|byte| byte == b',')?;
        day = words.next()?;
    }
    let day = number(&day, 1, 2)?;
    let month = words.next()?;
    let month = MONTHS
        .iter()
        .position(|known| month.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes())))?;
    let year = words.next()?;
    let year = match (number(&year, 2, 4)?, year.len()) {
        (year, 2) if year < 70 => year + 2000,
        (year, 2) => year + 1900,
        (year, 4) if year >= 1900 => year,
        _ => return None,
    };
    let hour = number(&words.next()?, 1, 2)?;
    words.expect(is_time_separator)?;
    let minute = number(&words.next()?, 2, 2)?;
    let mut second = 0;
    if words.cursor.peek().is_some_and(is_time_separator) {
        words.expect(is_time_separator)?;
        // A leap second counts as the one before it.
        second = number(&words.next()?, 2, 2)?;
        second = if second == 60 { 59 } else { second };
    }
    let zone_minutes = match words.next_or_end()? {
        Some(zone) => zone_minutes(&zone),
        None => 0,
    };
    let first = days_before(year, month as i64);
    let last = days_before(year + (month as i64 + 1) / 12, (month as i64 + 1) % 12);
    let exists = (1..=last - first).contains(&day) && hour < 24 && minute < 60 && second < 60;
    let days = first + day - 1;
    let local = days * 86_400 + hour * 3600 + minute * 60 + second;
    // 2.3 takes this very second for an error.
    (exists && local != -1)
        .then(|| SentDate { unix_secs: local - i64::from(zone_minutes) * 60, zone_minutes })
}

struct Words<'a> {
    cursor: Cursor<'a>,
}

impl Words<'_> {
    fn next(&mut self) -> Option<Vec<u8>> {
        self.next_or_end()?
    }

    /// The next word, `Some(None)` at the end, `None` for what is no word.
    fn next_or_end(&mut self) -> Option<Option<Vec<u8>>> {
        if self.cursor.peek().is_none() {
            return Some(None);
        }
        let mut word = Vec::new();
        (self.cursor.atom(&mut word) != Step::Bad).then_some(Some(word))
    }

    fn expect(&mut self, wanted: impl Fn(u8) -> bool) -> Option<()> {
        self.cursor.peek().filter(|&byte| wanted(byte))?;
        self.cursor.bump();
        self.cursor.skip_lwsp();
        Some(())
    }
}

fn is_time_separator(byte: u8) -> bool {
    // Dots are not allowed, but found.
    matches!(byte, b':' | b'.')
}

fn number(word: &[u8], len_min: usize, len_max: usize) -> Option<i64> {
    let fits = (len_min..=len_max).contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
    fits.then(|| word.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn zone_minutes(zone: &[u8]) -> i32 {
    let upper = zone.to_ascii_uppercase();
    match upper.as_slice() {
        [sign @ (b'+' | b'-'), digits @ ..] if digits.len() == 4 => {
            let Some(value) = number(digits, 4, 4) else { return 0 };
            let minutes = (value / 100 * 60 + value % 100) as i32;
            if *sign == b'+' { minutes } else { -minutes }
        }
        // Military zones count the right way round, not as RFC 822 had them.
        [letter @ b'A'..=b'I'] => (i32::from(letter - b'A') + 1) * 60,
        [letter @ b'K'..=b'M'] => i32::from(letter - b'A') * 60,
        [letter @ b'N'..=b'Y'] => -(i32::from(letter - b'M')) * 60,
        [region, summer, b'T'] => {
            let hours = match region {
                b'E' => -5,
                b'C' => -6,
                b'M' => -7,
                b'P' => -8,
                _ => return 0,
            };
            match summer {
                b'D' => (hours + 1) * 60,
                b'S' => hours * 60,
                _ => 0,
            }
        }
        _ => 0,
    }
}

/// Days from 1970-01-01 to the first of a month, counted from January as zero.
fn days_before(year: i64, month: i64) -> i64 {
    // Years counted from March put the leap day last, so that month lengths follow one formula.
    let year = if month < 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 10) % 12) + 2) / 5;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Option<(i64, i32)>) {
        let got = parse(text.as_bytes()).map(|date| (date.unix_secs, date.zone_minutes));
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn as_found_in_mail() {
        check("Thu, 01 Jan 1970 01:00:01 +0100", Some((1, 60)));
        check("Thu, 01 Jan 2007 01:59:59 EST", Some((1_167_634_799, -300)));
        check("1 Mar 24 00.00", Some((1_709_251_200, 0)));
        check("29 Feb 2024 23:59:60 (leap) Z", Some((1_709_251_199, 0)));
        check("Fri, 1 March 1996 9:05 -0800 (PST)", Some((825_699_900, -480)));
        check("3 Mar 2021 00:00 b", Some((1_614_722_400, 120)));
        check("1 Jan 70 00:00 T", Some((25_200, -420)));
        check("1 Jan 2000 00:00 nonsense", Some((946_684_800, 0)));
        check("1 Jan 2000 00:00:00 PDT", Some((946_710_000, -420)));
    }

    #[test]
    fn no_dates() {
        for text in [
            "",
            "Fri",
            "Fri 1 Mar 2024 00:00",
            "1 Foo 2024 00:00",
            "1 Jan 1899 00:00",
            "1 Jan 123 00:00",
            "1-Jan-2024 00:00",
            "1 Jan 2024",
            "1 Jan 2024 00:0",
            "31 Feb 2021 00:00",
            "0 Mar 2021 00:00",
            "1 Mar 2021 24:00",
            "1 Mar 2021 00:00:61",
            "1 Jan 2024 00:00 (open",
            "\u{ff}",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn every_month_follows_the_one_before() {
        let mut last = days_before(1899, 11);
        for month in 0..24_000 {
            let days = days_before(1900 + month / 12, month % 12);
            assert!((28..=31).contains(&(days - last)), "{month}");
            last = days;
        }
        assert_eq!(days_before(1970, 0), 0);
    }
}
