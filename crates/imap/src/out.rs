//! Output on its way to the client.

use std::io::Write as _;

use crate::limits::OUT_BYTES_SOFT_MAX;

/// A buffer that says when it has enough. Single lines may go beyond the mark; whoever makes many
/// lines or long texts stops when it [`is_full`](Self::is_full).
#[derive(Debug, Default)]
pub struct OutBuf {
    bytes: Vec<u8>,
    /// How many of them were sent.
    start: usize,
    /// All bytes that ever went out, for the statistics.
    total: u64,
}

impl OutBuf {
    /// Whether enough is waiting.
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// How many bytes may still be added before it is full.
    pub fn room(&self) -> usize {
        OUT_BYTES_SOFT_MAX.saturating_sub(self.bytes.len() - self.start)
    }

    /// What waits to be sent.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// For writers of `proto::imap::response`.
    pub fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a number, which long lists are full of.
    pub fn number(&mut self, number: u64) {
        let (mut digits, mut at, mut rest) = ([0u8; 20], 20, number);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes.extend_from_slice(&digits[at..]);
    }

    /// Appends a whole line and its end.
    pub fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.format(line);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Appends formatted text.
    pub fn format(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        let _ = self.bytes.write_fmt(text);
    }

    /// Forgets the first `count` bytes, which were sent.
    pub fn sent(&mut self, count: usize) {
        let count = count.min(self.bytes.len() - self.start);
        self.total += count as u64;
        self.start += count;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Gives back the memory, if nothing waits: nobody knows how long there is nothing to say.
    pub fn give_back(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Bytes sent and waiting, all together.
    pub fn total(&self) -> u64 {
        self.total + (self.bytes.len() - self.start) as u64
    }

    /// Bytes of memory that it holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
