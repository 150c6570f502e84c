//! LF-stored messages as IMAP and POP3 must send them: every line ending in CRLF.

use std::io::{self, Read};

use crate::limits::READ_BYTES;

/// Reads another reader's bytes with a CR put before every LF that lacks one.
pub struct CrlfReader<R> {
    inner: R,
    buffer: Vec<u8>,
    pos: usize,
    filled: usize,
    last_byte: u8,
    nul: Option<u8>,
    /// How much is read at once.
    at_once: usize,
}

impl<R: Read> CrlfReader<R> {
    /// Reads from `inner`, whose first byte begins a line.
    pub fn new(inner: R) -> Self {
        Self::after(inner, b'\n')
    }

    /// Reads from `inner`; `before` is the byte that came before its first one.
    pub fn after(inner: R, before: u8) -> Self {
        let buffer = Vec::new();
        Self { inner, buffer, pos: 0, filled: 0, last_byte: before, nul: None, at_once: READ_BYTES }
    }

    /// Says how many bytes there are in all, so that no more memory is taken than they need.
    pub fn expecting(mut self, bytes: u64) -> Self {
        // One more shows that it was the end.
        let bytes = usize::try_from(bytes).unwrap_or(READ_BYTES).saturating_add(1);
        self.at_once = bytes.min(READ_BYTES);
        self
    }

    /// Puts `byte` in the place of every NUL, which an IMAP literal must not hold (RFC 3501 §9). 2.3
    /// uses 0x80.
    pub fn replacing_nul(mut self, byte: u8) -> Self {
        self.nul = Some(byte);
        self
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.resize(self.at_once, 0);
        self.filled = loop {
            match self.inner.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.pos = 0;
        if let Some(nul) = self.nul {
            replace_nul(self.buffer.get_mut(..self.filled).unwrap_or_default(), nul);
        }
        Ok(self.filled > 0)
    }

    /// Copies as much as there is room for, putting CRs where they are missing; how many bytes `out` has
    /// got.
    fn copy_some(&mut self, out: &mut [u8]) -> usize {
        let data = self.buffer.get(self.pos..self.filled).unwrap_or_default();
        // Of what does not fit no LF has to be looked for.
        let window = data.get(..data.len().min(out.len())).unwrap_or_default();
        let (mut from, mut written) = (0, 0);
        for lf in memchr::memchr_iter(b'\n', window) {
            let before = lf.checked_sub(1).and_then(|at| window.get(at)).copied().unwrap_or(self.last_byte);
            if before == b'\r' {
                continue;
            }
            let count = put(out, written, window.get(from..lf).unwrap_or_default());
            (from, written) = (from + count, written + count);
            let Some(slot) = out.get_mut(written).filter(|_| from == lf) else { break };
            *slot = b'\r';
            written += 1;
        }
        let count = put(out, written, window.get(from..).unwrap_or_default());
        (from, written) = (from + count, written + count);
        // What comes next follows what was put last, be that a CR of ours.
        self.last_byte = written.checked_sub(1).and_then(|at| out.get(at)).copied().unwrap_or(self.last_byte);
        self.pos += from;
        written
    }
}

/// Puts `byte` in the place of every NUL of `data`, which hardly ever has one: finding none is fast.
fn replace_nul(data: &mut [u8], byte: u8) {
    let mut from = 0;
    while let Some(rest) = data.get_mut(from..)
        && let Some(at) = memchr::memchr(0, rest)
    {
        if let Some(nul) = rest.get_mut(at) {
            *nul = byte;
        }
        from += at + 1;
    }
}

/// Puts as much of `bytes` as fits into `out` from `at` on, and says how much.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let room = out.get_mut(at..).unwrap_or_default();
    let count = bytes.len().min(room.len());
    if let (Some(room), Some(bytes)) = (room.get_mut(..count), bytes.get(..count)) {
        room.copy_from_slice(bytes);
    }
    count
}

impl<R: Read> Read for CrlfReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < out.len() {
            if self.pos == self.filled && (written > 0 || !self.fill()?) {
                break;
            }
            written += self.copy_some(out.get_mut(written..).unwrap_or_default());
        }
        Ok(written)
    }
}

/// A place in a message, counted both ways. Kept between partial fetches, it saves reading the
/// message from its beginning for each one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bytes as stored.
    pub physical: u64,
    /// Bytes as sent.
    pub virtual_: u64,
    /// The stored byte before this place.
    pub before: u8,
}

impl Place {
    /// The beginning of a line where counting starts.
    pub const START: Self = Self { physical: 0, virtual_: 0, before: b'\n' };

    /// Steps forward over `data`, which is stored at this place, to the last place that is not
    /// beyond `target`. Between the CR that is missing and its LF there is no place: then the
    /// result is one byte short, and the caller skips one byte of what [`CrlfReader`] gives.
    pub fn advance(mut self, data: &[u8], target: u64) -> Self {
        let mut rest = data;
        while self.virtual_ < target && !rest.is_empty() {
            let want = usize::try_from(target - self.virtual_).unwrap_or(usize::MAX);
            let window = rest.get(..rest.len().min(want)).unwrap_or_default();
            let line = memchr::memchr(b'\n', window).map_or(window.len(), |lf| lf + 1);
            let text = window.get(..line).unwrap_or_default();
            let previous = if line >= 2 { text.get(line - 2).copied().unwrap_or(0) } else { self.before };
            let bare = text.last() == Some(&b'\n') && previous != b'\r';
            let size = line as u64 + u64::from(bare);
            if self.virtual_ + size > target {
                // The missing CR is the target: stop before its LF.
                let short = line - 1;
                self.before = if short > 0 { previous } else { self.before };
                self.physical += short as u64;
                self.virtual_ += short as u64;
                break;
            }
            self.physical += line as u64;
            self.virtual_ += size;
            self.before = text.last().copied().unwrap_or(self.before);
            rest = rest.get(line..).unwrap_or_default();
        }
        self
    }
}

/// `data` with every line end made CRLF, for what is small enough to be held.
pub fn to_crlf(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + data.len() / 32);
    let mut before = b'\n';
    let mut start = 0;
    for lf in memchr::memchr_iter(b'\n', data) {
        if lf > 0 {
            before = data.get(lf - 1).copied().unwrap_or(before);
        }
        if before != b'\r' {
            out.extend_from_slice(data.get(start..lf).unwrap_or_default());
            out.push(b'\r');
            start = lf;
        }
    }
    out.extend_from_slice(data.get(start..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in small pieces.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(out.len());
            let (now, later) = self.0.split_at(count);
            out[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn check(input: &str, want: &str) {
        assert_eq!(to_crlf(input.as_bytes()), want.as_bytes(), "{input:?}");
        for piece in 1..4 {
            for size in 1..5 {
                let mut reader = CrlfReader::new(Drip(input.as_bytes(), piece));
                let (mut out, mut buffer) = (Vec::new(), vec![0; size]);
                loop {
                    let count = reader.read(&mut buffer).unwrap();
                    if count == 0 {
                        break;
                    }
                    out.extend_from_slice(&buffer[..count]);
                }
                assert_eq!(out, want.as_bytes(), "{input:?} {piece} {size}");
            }
        }
        for target in 0..=want.len() as u64 {
            let place = Place::START.advance(input.as_bytes(), target);
            let rest = &input.as_bytes()[place.physical as usize..];
            let mut out = Vec::new();
            CrlfReader::after(rest, place.before).read_to_end(&mut out).unwrap();
            let skip = (target - place.virtual_) as usize;
            assert_eq!(&out[skip..], &want.as_bytes()[target as usize..], "{input:?} {target}");
        }
    }

    #[test]
    fn line_ends() {
        check("", "");
        check("a\nb\n", "a\r\nb\r\n");
        check("a\r\nb\n\n\r\n", "a\r\nb\r\n\r\n\r\n");
        check("\n", "\r\n");
        check("\r\r\n\r", "\r\r\n\r");
        check("no end", "no end");
    }

    #[test]
    fn nul_is_replaced() {
        let mut out = Vec::new();
        CrlfReader::new(&b"a\0b\n"[..]).replacing_nul(0x80).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"a\x80b\r\n");
    }
}
