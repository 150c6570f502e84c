//! Days of messages: that of a moment in the server's time zone, and that written in `Date:`.

use std::time::SystemTime;

use super::query::Day;

/// The day of a moment, in the server's time zone.
pub(super) fn local_day(time: SystemTime) -> Option<Day> {
    let zoned = jiff::Zoned::try_from(time).ok()?;
    Day::from_ymd(zoned.year(), u8::try_from(zoned.month()).ok()?, u8::try_from(zoned.day()).ok()?)
}

/// The day as it stands in a `Date:` field, whatever the time zone (RFC 3501 §6.4.4).
pub(super) fn sent_day(value: &[u8]) -> Option<Day> {
    let text = String::from_utf8_lossy(value);
    let mut words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let first = words.next()?;
    let day = if first.starts_with(|c: char| c.is_ascii_digit()) { first } else { words.next()? };
    // "1-Jan-2024" is found in old mail.
    let mut parts = day.split('-');
    let day: u8 = parts.next()?.parse().ok()?;
    let month = parts.next().or_else(|| words.next())?;
    let year = parts.next().or_else(|| words.next())?;
    let month = MONTHS
        .iter()
        .position(|known| month.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(known)))?;
    let short = year.len() < 3;
    let year: i16 = year.parse().ok()?;
    // RFC 5322 §4.3
    let year = match year {
        year if short && year < 50 => year + 2000,
        year if year < 1000 => year + 1900,
        year => year,
    };
    Day::from_ymd(year, u8::try_from(month + 1).ok()?, day)
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_found_in_mail() {
        let first = Day::from_ymd(2024, 3, 1);
        for text in ["Fri, 1 Mar 2024 23:59:59 -0800", "1 Mar 24 00:00 GMT", "Fri,01 mar 2024", "1-Mar-2024"]
        {
            assert_eq!(sent_day(text.as_bytes()), first, "{text}");
        }
        for text in ["", "Fri", "1 Foo 2024", "32 Mar 2024", "\u{ff}"] {
            assert_eq!(sent_day(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Day::from_ymd(1970, 1, 2), Some(Day(1)));
    }
}
