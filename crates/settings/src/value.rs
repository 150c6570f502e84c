//! One value of a setting: read by 2.3's rules, refused in 2.3's words, written in 2.3's form.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decl::{Decl, Kind};

/// A value that fits its setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// `yes` or `no`.
    Bool(bool),
    /// Numbers, modes and ports as they are; sizes in bytes; times in milliseconds.
    Number(u64),
    /// Text and enumerations.
    Text(Arc<str>),
}

/// Why a text is no value of its setting, in 2.3's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

impl Value {
    /// Reads `text` as a value of `decl`.
    pub fn parse(decl: &Decl, text: &str) -> Result<Self, ValueError> {
        match decl.kind {
            Kind::Bool => boolean(text).map(Self::Bool),
            Kind::Uint => uint(text).map(Self::Number),
            Kind::Octal => octal(text).map(Self::Number),
            Kind::Port => port(text).map(Self::Number),
            Kind::Size => size(text).map(Self::Number),
            Kind::Time => time(text, false).map(Self::Number),
            Kind::Millis => time(text, true).map(Self::Number),
            Kind::Str => Ok(Self::Text(text.into())),
            Kind::Enum if decl.choices().any(|choice| choice == text) => Ok(Self::Text(text.into())),
            Kind::Enum => Err(ValueError(format!("Invalid value: {text}"))),
        }
    }

    /// The value as `doveconf` writes it.
    pub fn show(&self, kind: Kind) -> Shown<'_> {
        Shown { value: self, kind }
    }

    /// The text; empty for values of other kinds.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// The number; 0 for values of other kinds.
    pub fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            _ => 0,
        }
    }

    /// Whether it is `yes`.
    pub fn is_yes(&self) -> bool {
        *self == Self::Bool(true)
    }
}

/// A value on its way out.
#[derive(Debug)]
pub struct Shown<'a> {
    value: &'a Value,
    kind: Kind,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.value, self.kind) {
            (Value::Bool(yes), _) => out.write_str(if *yes { "yes" } else { "no" }),
            (Value::Text(text), _) => out.write_str(text),
            (Value::Number(mode), Kind::Octal) => write!(out, "0{mode:o}"),
            (Value::Number(bytes), Kind::Size) => show_size(*bytes, out),
            (Value::Number(millis), Kind::Millis) if millis % 1000 != 0 => write!(out, "{millis} ms"),
            (Value::Number(millis), Kind::Time | Kind::Millis) => show_time(millis / 1000, out),
            (Value::Number(number), _) => write!(out, "{number}"),
        }
    }
}

fn show_size(bytes: u64, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if bytes == 0 {
        return out.write_str("0");
    }
    let (mut number, mut suffix) = (bytes, 'B');
    for larger in ['k', 'M', 'G', 'T'] {
        if !number.is_multiple_of(1024) {
            break;
        }
        (number, suffix) = (number / 1024, larger);
    }
    write!(out, "{number} {suffix}")
}

fn show_time(secs: u64, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if secs == 0 {
        return out.write_str("0");
    }
    let (mut number, mut unit) = (secs, "secs");
    for (factor, larger) in [(60, "mins"), (60, "hours"), (24, "days"), (7, "weeks")] {
        if !number.is_multiple_of(factor) {
            break;
        }
        (number, unit) = (number / factor, larger);
    }
    write!(out, "{number} {unit}")
}

fn boolean(text: &str) -> Result<bool, ValueError> {
    if text.eq_ignore_ascii_case("yes") || text.eq_ignore_ascii_case("y") || text == "1" {
        return Ok(true);
    }
    if text.eq_ignore_ascii_case("no") {
        return Ok(false);
    }
    Err(ValueError(format!("Invalid boolean value: {text} (use yes or no)")))
}

fn uint(text: &str) -> Result<u64, ValueError> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let (true, Ok(number)) = (digits(text), text.parse::<u32>()) {
        return Ok(number.into());
    }
    let reason = match text.strip_prefix('-') {
        Some(rest) if digits(rest) => "Number too small",
        None if digits(text) => "Number too large",
        _ => "Not a valid number",
    };
    Err(ValueError(format!("Invalid number {text}: {reason}")))
}

fn octal(text: &str) -> Result<u64, ValueError> {
    if !text.starts_with('0') {
        return uint(text);
    }
    // 2.3 cuts larger numbers to 32 bits.
    let number = u64::from_str_radix(text, 8).map_err(|_| ValueError(format!("Invalid number: {text}")))?;
    Ok(number & u64::from(u32::MAX))
}

fn port(text: &str) -> Result<u64, ValueError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(number) if digits => Ok(number.into()),
        _ => Err(ValueError(format!("Invalid port number {text}"))),
    }
}

fn size(text: &str) -> Result<u64, ValueError> {
    let invalid = || ValueError(format!("Invalid size: {text}"));
    let (number, rest) = leading_number(text).ok_or_else(invalid)?;
    let rest = rest.trim_start_matches(' ').to_ascii_uppercase();
    let shift = match rest.bytes().next() {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        Some(b'T') => 40,
        _ => 0,
    };
    let known = if shift == 0 { &["", "B"][..] } else { &["", "I", "B", "IB"][..] };
    let tail = if shift == 0 { rest.as_str() } else { rest.get(1..).unwrap_or_default() };
    if !known.contains(&tail) {
        return Err(invalid());
    }
    number.checked_mul(1 << shift).ok_or_else(|| ValueError(format!("Size is too large: {text}")))
}

/// A time with its unit, as settings have it (`30 secs`, `250 ms`), for those that come from elsewhere.
///
/// # Errors
/// What is wrong with it, in 2.3's words.
pub fn duration(text: &str) -> Result<std::time::Duration, ValueError> {
    time(text, true).map(std::time::Duration::from_millis)
}

/// Milliseconds. A setting in whole seconds takes milliseconds only if they make whole seconds.
/// A time interval such as `2 weeks`, in seconds.
///
/// # Errors
/// In 2.3's words.
pub fn seconds(text: &str) -> Result<u64, ValueError> {
    time(text, false).map(|millis| millis / 1000)
}

fn time(text: &str, fine: bool) -> Result<u64, ValueError> {
    let invalid = || ValueError(format!("Invalid time interval: {text}"));
    let (number, rest) = leading_number(text).ok_or_else(invalid)?;
    let unit = rest.trim_start_matches(' ').to_ascii_lowercase();
    if unit.is_empty() && number != 0 {
        return Err(ValueError(format!(
            "Time interval '{text}' is missing units (add e.g. 's' for seconds)"
        )));
    }
    let is = |words: &[&str]| words.iter().any(|word| word.starts_with(&unit));
    let millis = match unit.bytes().next() {
        None => 0,
        Some(b's') if is(&["secs", "seconds"]) => 1000,
        Some(b'm') if is(&["mins", "minutes"]) => 60_000,
        Some(b'm') if is(&["msecs", "mseconds", "millisecs", "milliseconds"]) => {
            if !fine && number % 1000 != 0 {
                return Err(ValueError(format!("Milliseconds not supported for this setting: {text}")));
            }
            1
        }
        Some(b'h') if is(&["hours"]) => 3_600_000,
        Some(b'd') if is(&["days"]) => 86_400_000,
        Some(b'w') if is(&["weeks"]) => 604_800_000,
        Some(_) => return Err(invalid()),
    };
    // 2.3 holds seconds, or milliseconds, in 32 bits.
    let most = u64::from(u32::MAX) * if fine { 1 } else { 1000 };
    let total = number.checked_mul(millis).filter(|total| *total <= most);
    total.ok_or_else(|| ValueError(format!("Time interval is too large: {text}")))
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, text: &str, expected: &str) {
        let decl = Decl { name: "x", kind, default: "a:b", doc: &[], roots: 0, flags: 0 };
        let got = match Value::parse(&decl, text) {
            Ok(value) => value.show(kind).to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "{kind:?} {text}");
    }

    #[test]
    fn booleans_numbers_and_modes() {
        check(Kind::Bool, "YES", "yes");
        check(Kind::Bool, "1", "yes");
        check(Kind::Bool, "0", "Invalid boolean value: 0 (use yes or no)");
        check(Kind::Bool, "maybe", "Invalid boolean value: maybe (use yes or no)");
        check(Kind::Uint, "ten", "Invalid number ten: Not a valid number");
        check(Kind::Uint, "", "Invalid number : Not a valid number");
        check(Kind::Uint, "-1", "Invalid number -1: Number too small");
        check(Kind::Uint, "4294967296", "Invalid number 4294967296: Number too large");
        check(Kind::Octal, "0600", "0600");
        check(Kind::Octal, "0", "00");
        check(Kind::Octal, "0999", "Invalid number: 0999");
        check(Kind::Port, "65536", "Invalid port number 65536");
        check(Kind::Enum, "b", "b");
        check(Kind::Enum, "c", "Invalid value: c");
    }

    #[test]
    fn sizes() {
        check(Kind::Size, "10", "10 B");
        check(Kind::Size, "1024", "1 k");
        check(Kind::Size, "10 MiB", "10 M");
        check(Kind::Size, "10 X", "Invalid size: 10 X");
        check(Kind::Size, "10 BB", "Invalid size: 10 BB");
        check(Kind::Size, "", "Invalid size: ");
        check(Kind::Size, "18446744073709551615 B", "18446744073709551615 B");
        check(Kind::Size, "99999999999T", "Size is too large: 99999999999T");
    }

    #[test]
    fn times() {
        check(Kind::Time, "60m", "1 hours");
        check(Kind::Time, "3000 msecs", "3 secs");
        check(Kind::Time, "10 msecs", "Milliseconds not supported for this setting: 10 msecs");
        check(Kind::Time, "10", "Time interval '10' is missing units (add e.g. 's' for seconds)");
        check(Kind::Time, "10 parsecs", "Invalid time interval: 10 parsecs");
        check(Kind::Time, "4294967295 secs", "4294967295 secs");
        check(Kind::Time, "4294967296 secs", "Time interval is too large: 4294967296 secs");
        check(Kind::Millis, "250 msecs", "250 ms");
        check(Kind::Millis, "2 secs", "2 secs");
    }
}
