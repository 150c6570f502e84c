//! The day of a moment in the server's time zone.

use std::time::SystemTime;

use super::query::Day;

/// The day of a moment, in the server's time zone.
pub(super) fn local_day(time: SystemTime) -> Option<Day> {
    let zoned = jiff::Zoned::try_from(time).ok()?;
    Day::from_ymd(zoned.year(), u8::try_from(zoned.month()).ok()?, u8::try_from(zoned.day()).ok()?)
}
