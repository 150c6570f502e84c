//! A raw log of an IMAP session with COMPRESS (RFC 4978): the lines up to the one that begins compression,
//! then what was compressed.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use super::{beginning, broken, name_of};
use crate::context::{Context, Outcome};
use crate::limits::RAW_LOG_LINE_MAX;

/// Of what is read at once, in bytes.
const STEP_BYTES: usize = 32 * 1024;

pub(super) fn is_one(path: &Path) -> bool {
    let name = name_of(path);
    if !name.ends_with(".in") && !name.ends_with(".out") {
        return false;
    }
    let text = String::from_utf8_lossy(&beginning(path, 4095)).to_ascii_lowercase();
    text.contains(" ok begin compression.") || text.contains(" compress deflate")
}

pub(super) fn print(cx: &mut Context, path: &Path, _: &[String]) -> Outcome {
    let name = path.display();
    let file = File::open(path)
        .map_err(|error| broken(format_args!("open({name}) failed: {}", base::reason(&error))))?;
    let mut input = BufReader::with_capacity(STEP_BYTES, file);
    show(cx, &mut input)
        .map_err(|error| broken(format_args!("read({name}) failed: {}", base::reason(&error))))
}

fn show(cx: &mut Context, input: &mut impl BufRead) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        input.take(RAW_LOG_LINE_MAX).read_until(b'\n', &mut line)?;
        // What has no end is no line.
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(()) };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        cx.output.plain_bytes(text);
        cx.output.plain("\r\n");
        if begins_compression(text) {
            break;
        }
    }
    let mut plain = storage::compress::raw_deflate(input);
    let mut bytes = vec![0; STEP_BYTES];
    loop {
        let count = match plain.read(&mut bytes) {
            // Nobody says goodbye within the compressed stream.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        if count == 0 || cx.output.is_closed() {
            return Ok(());
        }
        cx.output.plain_bytes(bytes.get(..count).unwrap_or_default());
    }
}

/// The client's command or the server's answer, behind a tag.
fn begins_compression(line: &[u8]) -> bool {
    let Some(space) = line.iter().position(|&byte| byte == b' ') else { return false };
    let rest = line.get(space + 1..).unwrap_or_default();
    rest.starts_with(b"OK Begin compression") || rest.eq_ignore_ascii_case(b"COMPRESS DEFLATE")
}
