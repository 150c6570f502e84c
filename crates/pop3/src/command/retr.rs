//! RETR (RFC 1939 §5) and TOP (§7): messages, as the network wants their lines.

use std::io::Read as _;

use storage::MessageReader;

use crate::command::{lost, message, refuse_argument};
use crate::context::Context;
use crate::job::{Job, Start, Step};
use crate::limits::COPY_BYTES;
use crate::line::{self, SIZE};
use crate::maildrop::Index;
use crate::out::OutBuf;
use crate::reply::storage_error;

/// The whole message.
pub(super) fn retr(context: &mut Context, args: &[u8], out: &mut OutBuf) -> Start {
    let (index, _) = match message(context, args, false, out) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    context.stats.retr_count += 1;
    let sees = !context.settings.no_flag_updates;
    let opened = context.maildrop.retrieve(index, sees);
    start(context, Kind::Retr, index, opened, None, out)
}

/// The header and so many lines of the body.
pub(super) fn top(context: &mut Context, args: &[u8], out: &mut OutBuf) -> Start {
    let (index, rest) = match message(context, args, true, out) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let parsed = line::number(rest, &SIZE, u64::MAX)
        .and_then(|(lines, rest)| line::after(rest, &SIZE, false).map(|_| lines));
    let lines = match parsed {
        Ok(lines) => lines,
        Err(bad) => return refuse_argument(out, &bad),
    };
    context.stats.top_count += 1;
    let opened = context.maildrop.open(index);
    start(context, Kind::Top, index, opened, Some(lines), out)
}

#[derive(Clone, Copy)]
enum Kind {
    Retr,
    Top,
}

fn start(
    context: &mut Context,
    kind: Kind,
    index: Index,
    opened: storage::Result<Option<Box<dyn MessageReader>>>,
    lines: Option<u64>,
    out: &mut OutBuf,
) -> Start {
    let reader = match opened {
        Ok(Some(reader)) => reader,
        Ok(None) => return lost(context, index, out),
        Err(error) => {
            return match storage_error(&error, &context.log, out) {
                Some(reason) => Start::Close(reason.to_owned()),
                None => Start::Bad,
            };
        }
    };
    let out_before = out.total();
    match kind {
        Kind::Retr => {
            let size = context.maildrop.message(index).map_or(0, |message| message.size);
            out.line(format_args!("+OK {size} octets"));
        }
        Kind::Top => out.line(format_args!("+OK")),
    }
    let writer = Writer::new(lines, context.settings.workarounds.outlook_no_nuls);
    Start::Job(Box::new(Fetch { kind, reader, writer, out_before }))
}

struct Fetch {
    kind: Kind,
    reader: Box<dyn MessageReader>,
    writer: Writer,
    out_before: u64,
}

impl Job for Fetch {
    fn step(&mut self, context: &mut Context, out: &mut OutBuf) -> Step {
        let mut buffer = vec![0; COPY_BYTES];
        while !out.is_full() {
            let count = match self.reader.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // The client must not take half a message for a whole one and delete it.
                    context.log.error(format_args!("read() failed: {}", base::reason(&error)));
                    return Step::Close("Message couldn't be read".to_owned());
                }
            };
            let is_done = self.writer.put(buffer.get(..count).unwrap_or_default(), out);
            if count == 0 || is_done {
                self.writer.end(context.settings.workarounds.oe_ns_eoh, out);
                self.count(context, out);
                out.put(b".\r\n");
                return Step::Done;
            }
        }
        Step::More
    }
}

impl Fetch {
    fn count(&self, context: &mut Context, out: &OutBuf) {
        let bytes = out.total() - self.out_before;
        match self.kind {
            Kind::Retr => context.stats.retr_bytes += bytes,
            Kind::Top => context.stats.top_bytes += bytes,
        }
    }
}

/// Makes a message's bytes what goes over the network: lines end with CRLF, and a dot at the start
/// of a line is doubled.
struct Writer {
    /// Lines of the body to go, with the empty one before it; all if `None`.
    lines_left: Option<u64>,
    nuls_as_0x80: bool,
    in_body: bool,
    at_line_start: bool,
    is_empty: bool,
    last_is_cr: bool,
}

impl Writer {
    fn new(lines: Option<u64>, nuls_as_0x80: bool) -> Self {
        Self {
            lines_left: lines.map(|lines| lines.saturating_add(1)),
            nuls_as_0x80,
            in_body: false,
            at_line_start: true,
            is_empty: true,
            last_is_cr: false,
        }
    }

    /// Writes more of the message; whether there are enough lines.
    fn put(&mut self, mut data: &[u8], out: &mut OutBuf) -> bool {
        while let Some(&first) = data.first() {
            self.is_empty = false;
            if self.at_line_start {
                self.in_body |= matches!(first, b'\r' | b'\n');
                if first == b'.' {
                    out.put(b".");
                }
            }
            let end = memchr::memchr(b'\n', data);
            let (text, rest) = data.split_at(end.unwrap_or(data.len()));
            self.put_text(text, out);
            self.at_line_start = end.is_some();
            data = rest.get(1..).unwrap_or_default();
            if end.is_none() {
                break;
            }
            out.put(if self.last_is_cr { b"\n" } else { b"\r\n" });
            self.last_is_cr = false;
            if self.in_body && self.has_enough() {
                return true;
            }
        }
        false
    }

    fn put_text(&mut self, text: &[u8], out: &mut OutBuf) {
        if self.nuls_as_0x80 && memchr::memchr(0, text).is_some() {
            let text: Vec<u8> = text.iter().map(|&byte| if byte == 0 { 0x80 } else { byte }).collect();
            out.put(&text);
        } else {
            out.put(text);
        }
        if let Some(&last) = text.last() {
            self.last_is_cr = last == b'\r';
        }
    }

    /// A line of the body, or the empty one before it, has ended.
    fn has_enough(&mut self) -> bool {
        let Some(left) = &mut self.lines_left else { return false };
        *left = left.saturating_sub(1);
        *left == 0
    }

    /// The message has ended, and with it the last line.
    fn end(&mut self, needs_empty_line: bool, out: &mut OutBuf) {
        if !self.at_line_start || self.is_empty {
            out.put(b"\r\n");
        }
        if needs_empty_line && !self.in_body {
            out.put(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the pieces in which a message comes, the same goes out.
    fn check(text: &[u8], lines: Option<u64>, expected: &[u8]) {
        for size in 1..=text.len().max(1) {
            let (mut writer, mut out) = (Writer::new(lines, true), OutBuf::default());
            for piece in text.chunks(size) {
                if writer.put(piece, &mut out) {
                    break;
                }
            }
            writer.end(true, &mut out);
            let (found, expected) = (String::from_utf8_lossy(out.bytes()), String::from_utf8_lossy(expected));
            assert_eq!(found, expected, "{:?} in pieces of {size}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn messages() {
        check(b"a: b\n\nc\n", None, b"a: b\r\n\r\nc\r\n");
        check(b"a: b\r\n\r\nc\r\nd", None, b"a: b\r\n\r\nc\r\nd\r\n");
        check(b"\n.\n..x\n.", None, b"\r\n..\r\n...x\r\n..\r\n");
        check(b".a\n\n", None, b"..a\r\n\r\n");
        check(b"\n\0x\r\r\n\rb", None, b"\r\n\x80x\r\r\n\rb\r\n");
        // Where the header does not end, oe-ns-eoh ends it.
        check(b"a: b\n", None, b"a: b\r\n\r\n");
        check(b"abc", None, b"abc\r\n\r\n");
        check(b"", None, b"\r\n\r\n");
    }

    #[test]
    fn tops() {
        let text = b"a: b\n\nc\n.d\n";
        check(text, Some(0), b"a: b\r\n\r\n");
        check(text, Some(1), b"a: b\r\n\r\nc\r\n");
        check(text, Some(2), b"a: b\r\n\r\nc\r\n..d\r\n");
        check(text, Some(u64::MAX), b"a: b\r\n\r\nc\r\n..d\r\n");
        check(b"\n\n\nx\n", Some(1), b"\r\n\r\n");
    }
}
