//! Dates in a query: `2024-03-01`, `1-Mar-2024`, seconds since 1970, or how long ago (`2 weeks`).

use storage::search::{DateKind, Day, Query};

/// A date in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// A day, in the time zone of the date that it is compared with.
    Day(Day),
    /// A moment, in seconds since 1970.
    Moment(i64),
}

/// Which side of the date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    On,
    Since,
}

const DAY_SECS: i64 = 24 * 3600;

/// Reads a date; ages are counted back from `now`.
pub(super) fn parse(text: &str, now: i64) -> Option<When> {
    if let Some(day) = iso_day(text).or_else(|| imap_day(text)) {
        return Some(When::Day(day));
    }
    if let Ok(secs) = text.parse::<i64>() {
        return Some(When::Moment(secs));
    }
    let age = base::units::parse_time(text).ok()?;
    Some(When::Moment(now.saturating_sub(i64::try_from(age.as_secs()).ok()?)))
}

/// The condition.
pub(super) fn query(side: Side, kind: DateKind, when: When) -> Query {
    match (side, when) {
        (Side::Before, When::Day(day)) => Query::Before(kind, day),
        (Side::On, When::Day(day)) => Query::On(kind, day),
        (Side::Since, When::Day(day)) => Query::Since(kind, day),
        (Side::Before, When::Moment(secs)) => Query::BeforeTime(kind, secs),
        (Side::Since, When::Moment(secs)) => Query::SinceTime(kind, secs),
        (Side::On, When::Moment(secs)) => Query::And(vec![
            Query::SinceTime(kind, secs),
            Query::BeforeTime(kind, secs.saturating_add(DAY_SECS)),
        ]),
    }
}

/// `yyyy-mm-dd`
fn iso_day(text: &str) -> Option<Day> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let shaped = parts.next().is_none() && digits(year, 4) && digits(month, 2) && digits(day, 2);
    if !shaped {
        return None;
    }
    Day::from_ymd(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

/// `d-mmm-yyyy`, IMAP's form.
pub(super) fn imap_day(text: &str) -> Option<Day> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let mut parts = text.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if parts.next().is_some() || !digits(day) || !digits(year) || year.len() != 4 || day.len() > 2 {
        return None;
    }
    let month = MONTHS.iter().position(|known| month.eq_ignore_ascii_case(known))?;
    Day::from_ymd(year.parse().ok()?, u8::try_from(month + 1).ok()?, day.parse().ok()?)
}
