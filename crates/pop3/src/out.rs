//! Output on its way to the client.

use std::io::Write as _;

use crate::limits::OUT_BYTES_SOFT_MAX;

/// A buffer that says when it has enough. Single lines may go beyond the mark; whoever makes many
/// lines or long texts stops when it [`is_full`](Self::is_full).
#[derive(Debug, Default)]
pub struct OutBuf {
    bytes: Vec<u8>,
    /// All bytes that ever went out, for the statistics.
    total: u64,
}

impl OutBuf {
    /// Whether enough is waiting.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= OUT_BYTES_SOFT_MAX
    }

    /// What waits to be sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a whole line and its end.
    pub fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        let _ = self.bytes.write_fmt(line);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Forgets the first `count` bytes, which were sent; gives back the memory once all were.
    pub fn sent(&mut self, count: usize) {
        self.total += count.min(self.bytes.len()) as u64;
        if count >= self.bytes.len() {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..count);
        }
    }

    /// Bytes sent and waiting, all together.
    pub fn total(&self) -> u64 {
        self.total + self.bytes.len() as u64
    }

    /// Bytes of memory that it holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
