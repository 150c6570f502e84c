//! Line ends of a message on its way to disk: CRLF and LF, mixed and split anywhere, become what
//! `mail_save_crlf` asks for, and bytes are counted as stored and with CRLF.

/// Turns the pieces of one message into what is stored.
#[derive(Clone, Debug, Default)]
pub struct LineEnds {
    crlf: bool,
    size: u64,
    virtual_size: u64,
    /// A CR has come that is not written yet: it is dropped before an LF.
    after_cr: bool,
    /// The last byte written.
    last: u8,
}

impl LineEnds {
    /// Stores lines with CRLF or with LF.
    pub fn new(crlf: bool) -> Self {
        Self { crlf, ..Self::default() }
    }

    /// Bytes stored so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The same with CRLF at every line's end: RFC822.SIZE.
    pub fn virtual_size(&self) -> u64 {
        self.virtual_size
    }

    /// The last byte stored; 0 if there is none.
    pub fn last(&self) -> u8 {
        self.last
    }

    /// Adds a piece: appends to `out` what is to be stored.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && first != b'\n' {
                self.put(b"\r", 1, out);
            }
            let at = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
            let (plain, rest) = bytes.split_at(at);
            self.put(plain, plain.len() as u64, out);
            match rest.first() {
                Some(b'\r') => self.after_cr = true,
                // A CR that stays before a bare LF is read back as part of the line's end.
                Some(_) if !self.crlf => self.put(b"\n", if self.last == b'\r' { 1 } else { 2 }, out),
                Some(_) => self.put(b"\r\n", 2, out),
                None => {}
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
    }

    /// Ends the message. As in 2.3, half a line end at the end of a message stored with LF is none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.after_cr) && self.crlf {
            self.put(b"\r", 1, out);
        }
    }

    fn put(&mut self, bytes: &[u8], virtual_size: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.size += bytes.len() as u64;
        self.virtual_size += virtual_size;
        self.last = bytes.last().copied().unwrap_or(self.last);
    }
}

/// Counts what a message that is stored already has as RFC822.SIZE.
#[derive(Clone, Copy, Debug, Default)]
pub struct VirtualSize {
    count: u64,
    last: u8,
}

impl VirtualSize {
    /// Adds a piece.
    pub fn push(&mut self, data: &[u8]) {
        self.count += data.len() as u64;
        for at in memchr::memchr_iter(b'\n', data) {
            let before = at.checked_sub(1).and_then(|before| data.get(before).copied());
            self.count += u64::from(before.unwrap_or(self.last) != b'\r');
        }
        self.last = data.last().copied().unwrap_or(self.last);
    }

    /// Bytes with CRLF at every line's end.
    pub fn get(self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores `text`, in one piece and byte by byte.
    fn check(crlf: bool, text: &str, stored: &str, virtual_size: u64) {
        for step in [text.len().max(1), 1] {
            let mut ends = LineEnds::new(crlf);
            let mut out = Vec::new();
            text.as_bytes().chunks(step).for_each(|piece| ends.push(piece, &mut out));
            ends.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), stored, "{text:?}");
            assert_eq!((ends.size(), ends.virtual_size()), (stored.len() as u64, virtual_size), "{text:?}");
            let mut counted = VirtualSize::default();
            out.chunks(step).for_each(|piece| counted.push(piece));
            assert_eq!(counted.get(), virtual_size, "{text:?}");
        }
    }

    #[test]
    fn line_ends() {
        check(false, "a\r\nb\nc", "a\nb\nc", 7);
        check(false, "a\rb\r\r\nc\r", "a\rb\r\nc", 6);
        check(true, "a\r\nb\nc", "a\r\nb\r\nc", 7);
        check(true, "a\r", "a\r", 2);
        check(false, "", "", 0);
    }
}
