//! `log_timestamp`: strftime with 2.3's `%{usecs}`.

use jiff::Timestamp;
use jiff::fmt::strtime::{BrokenDownTime, Config};
use jiff::tz::TimeZone;

/// What a log line's time looks like.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    /// The format in front of `%{usecs}`, and what follows it where it is used.
    format: String,
    suffix: Option<String>,
    zone: TimeZone,
}

impl Stamp {
    /// From `log_timestamp`, which may be empty, in `zone`.
    pub(crate) fn new(format: &str, zone: TimeZone) -> Self {
        let (format, suffix) = match format.split_once("%{usecs}") {
            Some((before, after)) => (before, Some(after.to_owned())),
            None => (format, None),
        };
        Self { format: format.to_owned(), suffix, zone }
    }

    /// Appends the time, which is given in microseconds since 1970, to `line`.
    pub(crate) fn write(&self, line: &mut String, time_us: u64) {
        let time = i64::try_from(time_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
        let time = time.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.zone.clone());
        let time = BrokenDownTime::from(&time);
        strftime(line, &self.format, &time);
        if let Some(suffix) = &self.suffix {
            line.push_str(&format!("{:06}", time_us % 1_000_000));
            strftime(line, suffix, &time);
        }
    }
}

/// Lenient: what is not known stays as it was written, as with the C library's strftime.
fn strftime(line: &mut String, format: &str, time: &BrokenDownTime) {
    let config = Config::new().lenient(true);
    let before = line.len();
    if time.format_with_config(&config, format, &mut *line).is_err() {
        line.truncate(before);
        line.push_str(format);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &str, expected: &str) {
        let mut line = String::new();
        Stamp::new(format, TimeZone::UTC).write(&mut line, 1_795_431_940_633_183);
        assert_eq!(line, expected, "{format}");
    }

    #[test]
    fn times_look_as_in_2_3() {
        check("%b %d %H:%M:%S ", "Nov 23 11:05:40 ");
        check("%Y-%m-%d %H:%M:%S.%{usecs} ", "2026-11-23 11:05:40.633183 ");
        check("%s%{usecs}", "1795431940633183");
        check("", "");
        check("%e %J! ", "23 %J! ");
        check("100% ", "100% ");
    }
}
