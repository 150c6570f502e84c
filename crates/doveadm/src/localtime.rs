//! Times as an administrator reads them: in the zone of this host.

use jiff::Timestamp;
use jiff::fmt::strtime::{BrokenDownTime, Config};
use jiff::tz::TimeZone;

/// `time_us`, in microseconds since 1970, in the form of strftime's `format`. What is not known in
/// the format stays as it is.
pub(crate) fn format(format: &str, time_us: u64) -> String {
    let time = i64::try_from(time_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    let time = time.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::system());
    let mut text = String::new();
    let config = Config::new().lenient(true);
    match BrokenDownTime::from(&time).format_with_config(&config, format, &mut text) {
        Ok(()) => text,
        Err(_) => format.to_owned(),
    }
}

/// As 2.3 writes dates: `2026-11-23 10:56:38`.
pub(crate) fn date(time_s: u64) -> String {
    format("%Y-%m-%d %H:%M:%S", time_s.saturating_mul(1_000_000))
}
