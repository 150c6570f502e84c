//! Answers to queries: columns, and rows as text or, of prepared statements, in binary.

use super::wire::{EOF, Failure, OK, Parts, Wire, put_bytes, unexpected};
use crate::limits::MYSQL_COLUMNS_MAX;
use crate::sql::Value;
use crate::sql::answer::Answer;

/// `SERVER_MORE_RESULTS_EXISTS`, a bit of the status.
const MORE_RESULTS: u16 = 0x0008;
/// `UNSIGNED_FLAG`, a bit of a column's flags.
const UNSIGNED: u16 = 0x0020;
/// The server wants a file of ours.
const LOCAL_FILE: u8 = 0xfb;
/// A packet that begins like the end of rows and is longer is a row.
const EOF_BYTES_MAX: usize = 8;

/// Types of columns whose values are not text in binary rows.
mod kind {
    pub(super) const TINY: u8 = 1;
    pub(super) const SHORT: u8 = 2;
    pub(super) const LONG: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const NULL: u8 = 6;
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const LONGLONG: u8 = 8;
    pub(super) const INT24: u8 = 9;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const YEAR: u8 = 13;
    pub(super) const BLOB: u8 = 252;
    pub(super) const VAR_STRING: u8 = 253;
}

/// How rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    kind: u8,
    is_unsigned: bool,
}

impl Column {
    fn parse(packet: &[u8]) -> Option<Self> {
        let mut parts = Parts(packet);
        // Catalog, schema, and the table's two names.
        for _ in 0..4 {
            parts.bytes()?;
        }
        let name = String::from_utf8_lossy(parts.bytes()?).into_owned();
        parts.bytes()?;
        // The length of what follows; the character set; the longest value.
        parts.take(1 + 2 + 4)?;
        let kind = parts.byte()?;
        Some(Self { name, kind, is_unsigned: parts.short()? & UNSIGNED != 0 })
    }
}

/// Reads what a query gives. The first result's rows are kept, others are passed over; stored procedures
/// have more than one. False if the rest was not worth waiting for.
pub(super) fn read(wire: &mut Wire, answer: &mut Answer, format: Format) -> Result<bool, Failure> {
    let mut is_first = true;
    loop {
        let packet = wire.answer()?;
        let status = match packet.first() {
            Some(&OK) => {
                let (affected, status) = ok_counts(&packet).ok_or_else(unexpected)?;
                if is_first {
                    answer.rows.affected = affected;
                }
                status
            }
            Some(&LOCAL_FILE) => return Err(Failure::Io("The server asks for a file".into())),
            _ => {
                let columns = columns(wire, &packet)?;
                if is_first {
                    for column in &columns {
                        answer.column(column.name.clone()).map_err(Failure::Io)?;
                    }
                }
                match rows(wire, answer, &columns, format, is_first)? {
                    Some(status) => status,
                    None => return Ok(false),
                }
            }
        };
        is_first = false;
        if status & MORE_RESULTS == 0 {
            return Ok(true);
        }
        if !answer.pass() {
            return Ok(false);
        }
    }
}

/// How many rows were changed, and, behind another number, the status.
fn ok_counts(packet: &[u8]) -> Option<(u64, u16)> {
    let mut parts = Parts(packet.get(1..)?);
    let affected = parts.number()?;
    parts.number()?;
    Some((affected, parts.short()?))
}

/// Behind the number of warnings.
fn eof_status(packet: &[u8]) -> Option<u16> {
    match packet {
        [EOF, _, _, low, high, ..] if packet.len() <= EOF_BYTES_MAX => {
            Some(u16::from_le_bytes([*low, *high]))
        }
        _ => None,
    }
}

fn columns(wire: &mut Wire, packet: &[u8]) -> Result<Vec<Column>, Failure> {
    let count = Parts(packet).number().ok_or_else(unexpected)?;
    if !(1..=MYSQL_COLUMNS_MAX).contains(&count) {
        return Err(unexpected());
    }
    let mut columns = Vec::new();
    for _ in 0..count {
        columns.push(Column::parse(&wire.answer()?).ok_or_else(unexpected)?);
    }
    eof_status(&wire.answer()?).ok_or_else(unexpected)?;
    Ok(columns)
}

/// The status at the end of the rows; `None` if there are too many.
fn rows(
    wire: &mut Wire,
    answer: &mut Answer,
    columns: &[Column],
    format: Format,
    is_wanted: bool,
) -> Result<Option<u16>, Failure> {
    loop {
        let packet = wire.answer()?;
        if let Some(status) = eof_status(&packet) {
            return Ok(Some(status));
        }
        if is_wanted && !answer.is_full() {
            let row = match format {
                Format::Text => text_row(&packet, columns),
                Format::Binary => binary_row(&packet, columns),
            };
            answer.keep(row.ok_or_else(unexpected)?, wire.stream()).map_err(Failure::Io)?;
        } else if !answer.pass() {
            return Ok(None);
        }
    }
}

fn text_row(packet: &[u8], columns: &[Column]) -> Option<Vec<Option<String>>> {
    let mut parts = Parts(packet);
    let value = |_: &Column| match parts.0.first() {
        Some(0xfb) => {
            parts.byte()?;
            Some(None)
        }
        _ => Some(Some(lossy(parts.bytes()?))),
    };
    columns.iter().map(value).collect()
}

/// Behind a zero and a bit for each NULL, of which the first two mean nothing.
fn binary_row(packet: &[u8], columns: &[Column]) -> Option<Vec<Option<String>>> {
    let mut parts = Parts(packet);
    if parts.byte()? != 0 {
        return None;
    }
    let nulls = parts.take((columns.len() + 2).div_ceil(8))?;
    let value = |(at, column): (usize, &Column)| {
        let at = at + 2;
        match nulls.get(at / 8)? & (1 << (at % 8)) {
            0 => binary_value(&mut parts, column),
            _ => Some(None),
        }
    };
    columns.iter().enumerate().map(value).collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A value as the server would write it in text.
fn binary_value(parts: &mut Parts<'_>, column: &Column) -> Option<Option<String>> {
    use kind::{
        DATE, DATETIME, DOUBLE, FLOAT, INT24, LONG, LONGLONG, NULL, SHORT, TIME, TIMESTAMP, TINY, YEAR,
    };
    Some(Some(match (column.kind, column.is_unsigned) {
        (NULL, _) => return Some(None),
        (TINY, false) => parts.array().map(i8::from_le_bytes)?.to_string(),
        (TINY, true) => parts.byte()?.to_string(),
        (SHORT, false) => parts.array().map(i16::from_le_bytes)?.to_string(),
        (SHORT, true) | (YEAR, _) => parts.short()?.to_string(),
        (LONG | INT24, false) => parts.array().map(i32::from_le_bytes)?.to_string(),
        (LONG | INT24, true) => parts.array().map(u32::from_le_bytes)?.to_string(),
        (LONGLONG, false) => parts.array().map(i64::from_le_bytes)?.to_string(),
        (LONGLONG, true) => parts.array().map(u64::from_le_bytes)?.to_string(),
        (FLOAT, _) => parts.array().map(f32::from_le_bytes)?.to_string(),
        (DOUBLE, _) => parts.array().map(f64::from_le_bytes)?.to_string(),
        (DATE, _) => date(Parts(parts.bytes()?), false)?,
        (DATETIME | TIMESTAMP, _) => date(Parts(parts.bytes()?), true)?,
        (TIME, _) => time(Parts(parts.bytes()?))?,
        _ => lossy(parts.bytes()?),
    }))
}

/// What is zero at the end is left out; fractions of a second are not shown.
fn date(mut parts: Parts<'_>, with_time: bool) -> Option<String> {
    let ([a, b, month, day], is_short) = (parts.array().unwrap_or_default(), parts.0.is_empty());
    let year = u16::from_le_bytes([a, b]);
    let text = format!("{year:04}-{month:02}-{day:02}");
    if !with_time {
        return Some(text);
    }
    let [hour, minute, second] = if is_short { [0; 3] } else { parts.array()? };
    Some(format!("{text} {hour:02}:{minute:02}:{second:02}"))
}

fn time(mut parts: Parts<'_>) -> Option<String> {
    if parts.0.is_empty() {
        return Some("00:00:00".into());
    }
    let sign = if parts.byte()? == 0 { "" } else { "-" };
    let days = parts.array().map(u32::from_le_bytes)?;
    let [hour, minute, second] = parts.array()?;
    let hours = u64::from(days) * 24 + u64::from(hour);
    Some(format!("{sign}{hours:02}:{minute:02}:{second:02}"))
}

/// A statement that the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) id: u32,
    pub(super) parameters: u16,
}

impl Prepared {
    /// Reads the answer to a statement, with the descriptions of parameters and columns, which come again
    /// with the rows.
    pub(super) fn read(wire: &mut Wire) -> Result<Self, Failure> {
        let packet = wire.answer()?;
        let parse = || {
            let mut parts = Parts(&packet);
            let mark = parts.byte()?;
            let id = parts.array().map(u32::from_le_bytes)?;
            let (columns, parameters) = (parts.short()?, parts.short()?);
            (mark == OK).then_some((Self { id, parameters }, [parameters, columns]))
        };
        let (prepared, described) = parse().ok_or_else(unexpected)?;
        for count in described.into_iter().filter(|count| *count > 0) {
            for _ in 0..count {
                wire.answer()?;
            }
            eof_status(&wire.answer()?).ok_or_else(unexpected)?;
        }
        Ok(prepared)
    }

    /// What has it executed: no cursor, once, no NULL, types, values.
    pub(super) fn execution(self, parameters: &[Value]) -> Vec<u8> {
        let mut out = self.id.to_le_bytes().to_vec();
        out.push(0);
        out.extend(1u32.to_le_bytes());
        out.extend(std::iter::repeat_n(0, parameters.len().div_ceil(8)));
        out.push(1);
        for value in parameters {
            let kind = match value {
                Value::Text(_) => kind::VAR_STRING,
                Value::Int(_) => kind::LONGLONG,
                Value::Bytes(_) => kind::BLOB,
            };
            out.extend([kind, 0]);
        }
        for value in parameters {
            match value {
                Value::Text(text) => put_bytes(&mut out, text.as_bytes()),
                Value::Int(number) => out.extend(number.to_le_bytes()),
                Value::Bytes(bytes) => put_bytes(&mut out, bytes),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: u8) -> Column {
        Column { name: String::new(), kind, is_unsigned: false }
    }

    fn check(kind: u8, bytes: &[u8], expect: Option<&str>) {
        let value = binary_value(&mut Parts(bytes), &column(kind));
        assert_eq!(value.as_ref().and_then(Option::as_deref), expect, "{kind} {bytes:?}");
        for end in 0..bytes.len() {
            assert_eq!(binary_value(&mut Parts(&bytes[..end]), &column(kind)), None, "{kind} {end}");
        }
    }

    #[test]
    fn binary_values() {
        check(kind::TINY, b"\xff", Some("-1"));
        check(kind::SHORT, b"\xff\xff", Some("-1"));
        check(kind::YEAR, b"\xd1\x07", Some("2001"));
        check(kind::LONG, b"\xd0\x07\0\0", Some("2000"));
        check(kind::LONGLONG, b"\xfe\xff\xff\xff\xff\xff\xff\xff", Some("-2"));
        check(kind::DOUBLE, &1.5f64.to_le_bytes(), Some("1.5"));
        check(kind::FLOAT, &2.5f32.to_le_bytes(), Some("2.5"));
        check(kind::DATE, b"\x04\xd1\x07\x02\x03", Some("2001-02-03"));
        check(kind::DATE, b"\0", Some("0000-00-00"));
        check(kind::DATETIME, b"\x04\xd1\x07\x02\x03", Some("2001-02-03 00:00:00"));
        check(kind::DATETIME, b"\x07\xd1\x07\x02\x03\x04\x05\x06", Some("2001-02-03 04:05:06"));
        check(kind::TIMESTAMP, b"\x0b\xd1\x07\x02\x03\x04\x05\x06\0\0\0\0", Some("2001-02-03 04:05:06"));
        check(kind::TIME, b"\0", Some("00:00:00"));
        check(kind::TIME, b"\x08\x01\x01\0\0\0\x02\x03\x04", Some("-26:03:04"));
        check(kind::TIME, b"\x08\0\xff\xff\xff\xff\xff\x03\x04", Some("103079215335:03:04"));
        check(kind::VAR_STRING, b"\x03abc", Some("abc"));
    }

    #[test]
    fn rows_that_are_too_short() {
        let columns = [column(kind::VAR_STRING), column(kind::LONG)];
        assert_eq!(
            binary_row(b"\0\0\x03abc\x01\0\0\0", &columns),
            Some(vec![Some("abc".into()), Some("1".into())])
        );
        assert_eq!(binary_row(b"\0\x0c", &columns), Some(vec![None, None]));
        assert_eq!(text_row(b"\xfb\x01x", &columns), Some(vec![None, Some("x".into())]));
        for bad in [&b""[..], b"\0", b"\0\0", b"\0\0\x03ab", b"\0\0\x03abc\x01\0\0", b"\x01\x0c"] {
            assert_eq!(binary_row(bad, &columns), None);
        }
        for bad in [&b""[..], b"\xfb", b"\x05abc", b"\xff\xff", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(text_row(bad, &columns), None);
        }
    }
}
