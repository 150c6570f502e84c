//! `doveadm dump` of a dbox file: sdbox's `u.<uid>`, mdbox's `m.<number>`. `docs/formats/dbox.md` has the
//! tables.

use std::path::Path;

use super::{broken, read};
use crate::context::{Context, Outcome};
use crate::localtime;

pub(super) fn print(cx: &mut Context, path: &Path, _: &[String]) -> Outcome {
    let bytes = read(path)?;
    let mut at = 0;
    let header_size = file_header(cx, path, &bytes, &mut at)?;
    loop {
        cx.output.line("");
        if !message(cx, &bytes, &mut at, header_size)? {
            return Ok(());
        }
    }
}

/// The line at `at`, which then is behind it. `None` where no whole line is.
fn next_line<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = bytes.get(*at..)?;
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    *at += end + 1;
    let line = rest.get(..end)?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn file_header(cx: &mut Context, path: &Path, bytes: &[u8], at: &mut usize) -> Outcome<usize> {
    let line = next_line(bytes, at).ok_or_else(|| broken("Empty file"))?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let version = words.next().unwrap_or_default();
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(broken(format_args!("{} is not a dbox file", path.display())));
    }
    if version != "2" {
        return Err(broken(format_args!("Unsupported dbox file version {version}")));
    }
    let mut header_size = 0;
    for word in words.filter(|word| !word.is_empty()) {
        let (letter, value) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        match letter {
            "M" => {
                header_size = number(value);
                if header_size == 0 {
                    return Err(broken(format_args!("Invalid msg_header_size header: {value}")));
                }
                cx.output.line(&format!("file.msg_header_size = {header_size}"));
            }
            "C" => time(cx, "file.create_stamp", value, *at)?,
            _ => cx.output.line(&format!("file.unknown-{letter} = {value}")),
        }
    }
    match usize::try_from(header_size).unwrap_or(0) {
        0 => Err(broken("Missing msg_header_size in file header")),
        size => Ok(size),
    }
}

fn message(cx: &mut Context, bytes: &[u8], at: &mut usize, header_size: usize) -> Outcome<bool> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let Some(header) = rest.get(..header_size) else {
        return match rest.len() {
            0 => Ok(false),
            have => Err(broken(format_args!("Partial message header read at {at}: {have} bytes"))),
        };
    };
    cx.output.line(&format!("offset {at}:"));
    if header_size < MESSAGE_HEADER_BYTES {
        return Err(broken(format_args!("file.hdr_size too small: {header_size}")));
    }
    if !header.starts_with(MAGIC_PRE) {
        return Err(broken(format_args!("dbox wrong pre-magic at {at}")));
    }
    let hex = header.get(SIZE_AT..SIZE_AT + 16).unwrap_or_default();
    let size = size(cx, "msg.size", &String::from_utf8_lossy(hex), *at)?;
    *at = at.saturating_add(header_size).saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
    metadata(cx, bytes, at)?;
    Ok(true)
}

fn metadata(cx: &mut Context, bytes: &[u8], at: &mut usize) -> Outcome {
    // Beyond the end is the end.
    *at = (*at).min(bytes.len());
    let magic = bytes.get(*at..*at + MAGIC_POST.len());
    let magic = magic.ok_or_else(|| broken(format_args!("dbox missing metadata at {at}")))?;
    if magic != MAGIC_POST {
        return Err(broken(format_args!("dbox wrong post-magic at {at}")));
    }
    *at += MAGIC_POST.len();
    loop {
        let line = next_line(bytes, at).ok_or_else(|| broken("dbox metadata ended unexpectedly at EOF"))?;
        let Some((letter, value)) = line.split_first() else { return Ok(()) };
        let name = match letter {
            b'G' => "msg.guid",
            b'P' => "msg.pop3-uidl",
            b'O' => "msg.pop3-order",
            b'X' => "msg.ext-ref",
            b'B' => "msg.orig-mailbox",
            b'R' | b'Z' | b'V' => {
                let value = String::from_utf8_lossy(value);
                match letter {
                    b'R' => time(cx, "msg.received", &value, *at)?,
                    b'Z' => drop(size(cx, "msg.physical-size", &value, *at)?),
                    _ => drop(size(cx, "msg.virtual-size", &value, *at)?),
                }
                continue;
            }
            b'E' | b'F' | b'K' | b'S' | b' ' => &format!("msg.obsolete-{}", char::from(*letter)),
            _ => continue,
        };
        cx.output.plain_bytes(&[name.as_bytes(), b" = ", value, b"\n"].concat());
    }
}

/// A hexadecimal number; 0 for what is none.
fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap_or(0)
}

fn checked(name: &str, hex: &str, at: usize) -> Outcome<u64> {
    match number(hex) {
        0 if hex != "0" => Err(broken(format_args!("Invalid {name} at {at}: {hex}"))),
        number => Ok(number),
    }
}

fn time(cx: &mut Context, name: &str, hex: &str, at: usize) -> Outcome {
    let time = checked(name, hex, at)?;
    cx.output.line(&format!("{name} = {time} ({})", localtime::date(time)));
    Ok(())
}

fn size(cx: &mut Context, name: &str, hex: &str, at: usize) -> Outcome<u64> {
    let size = checked(name, hex, at)?;
    cx.output.line(&format!("{name} = {size}"));
    Ok(size)
}

const MAGIC_PRE: &[u8] = b"\x01\x02";
const MAGIC_POST: &[u8] = b"\n\x01\x03\n";
/// Where a message's header has the size, and how many bytes it has with the line end behind that.
const SIZE_AT: usize = 13;
const MESSAGE_HEADER_BYTES: usize = SIZE_AT + 16 + 1;
