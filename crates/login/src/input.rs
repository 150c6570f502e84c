//! Bytes of the client that nobody has looked at yet. Empty it owns no memory.

/// A queue of bytes.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    taken: usize,
}

impl Input {
    /// Appends what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// Takes `count` bytes off the front, and gives the memory back when that was all.
    pub(crate) fn take(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(self);
        bytes.bytes.drain(..bytes.taken.min(bytes.bytes.len()));
        bytes.bytes
    }

    /// Takes a line off the front, without its line break; `None` until it is complete.
    pub(crate) fn line(&mut self) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        let rest = self.rest();
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        self.take(end + 1);
        Some(line.into())
    }
}
