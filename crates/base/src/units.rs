//! Sizes and times as the configuration writes them, parsed and printed.

use std::time::Duration;

/// Why a size or time was refused, in 2.3's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No digits at all, or something else before them.
    #[error("Not a valid number")]
    NotANumber,
    /// A time without a unit, which 2.3 demands for all but zero.
    #[error("Missing units for time")]
    MissingUnit,
    /// A unit that is not known.
    #[error("Invalid unit: {0}")]
    BadUnit(String),
    /// Larger than can be held.
    #[error("Value is too large")]
    TooLarge,
}

/// Parses a size in bytes: `10`, `10 B`, `10k`, `10 MB`, `10G`, `10T`; units are powers of 1024.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    let shift = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(UnitError::BadUnit(unit.to_owned())),
    };
    number.checked_mul(1 << shift).ok_or(UnitError::TooLarge)
}

/// Parses a time: `0`, `2 secs`, `5min`, `1 hours`, `1d`, `1 week`, `100 msecs`. A unit may be cut
/// to any length, as 2.3 allows. `default_unit` is for settings that take bare seconds.
pub fn parse_time(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let unit = unit.to_ascii_lowercase();
    let is = |word: &str, least: usize| unit.len() >= least && word.starts_with(unit.as_str());
    let millis = if unit.is_empty() {
        if number != 0 {
            return Err(UnitError::MissingUnit);
        }
        0
    } else if is("secs", 1) || is("seconds", 1) {
        1_000
    } else if is("mins", 1) || is("minutes", 1) {
        60_000
    } else if is("msecs", 2) || is("milliseconds", 3) {
        1
    } else if is("hours", 1) {
        3_600_000
    } else if is("days", 1) {
        86_400_000
    } else if is("weeks", 1) {
        604_800_000
    } else {
        return Err(UnitError::BadUnit(unit));
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or(UnitError::TooLarge)
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(UnitError::NotANumber);
    }
    let number = text[..digits].parse().map_err(|_| UnitError::TooLarge)?;
    Ok((number, text[digits..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("10 B", 10), ("64 k", 65536), ("50M", 52_428_800), ("1 GB", 1 << 30)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_size("ten"), Err(UnitError::NotANumber));
        assert_eq!(parse_size("10 x"), Err(UnitError::BadUnit("x".into())));
        assert_eq!(parse_size("99999999999999T"), Err(UnitError::TooLarge));
    }

    #[test]
    fn times() {
        for (text, millis) in [
            ("0", 0),
            ("2 secs", 2000),
            ("5min", 300_000),
            ("1 hours", 3_600_000),
            ("100 msecs", 100),
            ("1w", 604_800_000),
        ] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_time("10"), Err(UnitError::MissingUnit));
    }
}
