//! Dates and times in IMAP's form: `17-Jul-1996` and `"17-Jul-1996 02:44:25 -0700"`.

/// A day, without a time zone (RFC 3501 §9 `date`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Days since 1970-01-01.
    days: i64,
}

impl Date {
    /// Parses `d-Mon-yyyy`. A day beyond the month's end runs on into the next, as in 2.3.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let day = parts.next()?;
        let month = parts.next()?;
        let year = parts.next()?;
        if parts.next().is_some() || year.len() != 4 || day.len() > 2 {
            return None;
        }
        let day = number(day).filter(|day| (1..=31).contains(day))?;
        let month = month_number(month)?;
        Some(Self { days: days_before(i64::from(number(year)?), month) + i64::from(day) - 1 })
    }

    /// The day with this number since 1970-01-01, which is day zero.
    pub const fn from_days(days: i64) -> Self {
        Self { days }
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i64 {
        self.days
    }
}

/// A moment with the zone it was written in (RFC 3501 §9 `date-time`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub unix_secs: i64,
    /// Minutes east of UTC.
    pub offset_minutes: i32,
}

impl DateTime {
    /// Parses `dd-Mon-yyyy hh:mm:ss +zzzz`; the day may be padded with a space.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() {
            return None;
        }
        let date = Date::parse(date)?;
        let mut parts = time.split(':').map(|part| number(part).filter(|_| part.len() == 2));
        let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let offset_minutes = zone_minutes(zone)?;
        let of_day = i64::from(hour * 3600 + minute * 60 + second);
        let unix_secs = date.days * 86_400 + of_day - i64::from(offset_minutes) * 60;
        Some(Self { unix_secs, offset_minutes })
    }

    /// Appends it in quotes.
    pub fn write(self, out: &mut Vec<u8>) {
        let local = self.unix_secs.saturating_add(i64::from(self.offset_minutes) * 60);
        let (days, of_day) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let month = MONTHS.get(month as usize - 1).copied().unwrap_or("Jan");
        let sign = if self.offset_minutes < 0 { b'-' } else { b'+' };
        let offset = i64::from(self.offset_minutes.unsigned_abs());
        // Digit by digit, since a listing has one of these for each message.
        out.push(b'"');
        put_two(out, day);
        out.push(b'-');
        out.extend_from_slice(month.as_bytes());
        out.push(b'-');
        put_two(out, year / 100);
        put_two(out, year % 100);
        for (mark, part) in [(b' ', of_day / 3600), (b':', of_day / 60 % 60), (b':', of_day % 60)] {
            out.push(mark);
            put_two(out, part);
        }
        out.extend_from_slice(&[b' ', sign]);
        put_two(out, offset / 60);
        put_two(out, offset % 60);
        out.push(b'"');
    }
}

/// Appends a number below 100 as two digits.
fn put_two(out: &mut Vec<u8>, number: i64) {
    let digit = |number: i64| b'0' + number.rem_euclid(10) as u8;
    out.extend_from_slice(&[digit(number / 10), digit(number)]);
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn month_number(name: &str) -> Option<i64> {
    let index = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    Some(index as i64 + 1)
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn zone_minutes(zone: &str) -> Option<i32> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let value = number(digits).filter(|_| digits.len() == 4)?;
    let minutes = value / 100 * 60 + value % 100;
    (value % 100 < 60).then_some(sign * i32::try_from(minutes).ok()?)
}

/// Days from 1970-01-01 to the first of a month, in the Gregorian calendar throughout.
fn days_before(year: i64, month: i64) -> i64 {
    // Years counted from March put the leap day last, so that month lengths follow one formula.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, unix_secs: i64) {
        let parsed = DateTime::parse(text).unwrap();
        assert_eq!(parsed.unix_secs, unix_secs, "{text}");
        let mut out = Vec::new();
        parsed.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("\"{text}\""));
    }

    #[test]
    fn moments() {
        check("01-Jan-1970 00:00:00 +0000", 0);
        check("17-Jul-1996 02:44:25 -0700", 837_596_665);
        check("29-Feb-2024 23:59:59 +0530", 1_709_231_399);
        check("31-Dec-1969 23:59:59 +0000", -1);
        assert_eq!(DateTime::parse(" 1-Jan-1970 00:00:01 +0000").map(|moment| moment.unix_secs), Some(1));
    }

    #[test]
    fn no_moments() {
        for text in [
            "",
            "bad date",
            "1-Jan-1970",
            "01-Jan-1970 24:00:00 +0000",
            "01-Jan-1970 00:00:00 0000",
            "01-Foo-1970 00:00:00 +0000",
            "01-Jan-1970 00:00 +0000",
            "01-Jan-1970 00:00:00 +00000",
            "01-Jan-1970 00:00:00 +é0",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn days() {
        assert_eq!(Date::parse("1-Jan-2020").map(Date::days), Some(18_262));
        assert_eq!(Date::parse("01-jan-2020").map(Date::days), Some(18_262));
        assert_eq!(Date::parse("31-Feb-2021"), Date::parse("3-Mar-2021"));
        for text in ["1-jan-20", "x", "99-Jan-2020", "0-Jan-2020", "1-Jan-2020-", "-1-Jan-2020"] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_survives() {
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = civil(days);
            assert_eq!(days_before(year, month) + day - 1, days);
        }
    }
}
