//! A message's bytes within a dbox file, for sessions.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::api::MessageReader;
use crate::limits::READ_BYTES;
use crate::source::ReadAt;

/// Reads some bytes of a file that may be open elsewhere too.
pub(crate) struct BodyReader {
    source: Arc<dyn ReadAt + Send + Sync>,
    start: u64,
    size: u64,
    /// Counted from `start`, of the first byte of `buffer`.
    buffered_at: u64,
    buffer: Vec<u8>,
    at: u64,
}

impl BodyReader {
    /// The `size` bytes from `start` on.
    pub(crate) fn new(source: Arc<dyn ReadAt + Send + Sync>, start: u64, size: u64) -> Self {
        Self { source, start, size, buffered_at: 0, buffer: Vec::new(), at: 0 }
    }

    fn fill(&mut self) -> io::Result<()> {
        let left = self.size.saturating_sub(self.at);
        self.buffer.resize(usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES), 0);
        self.buffered_at = self.at;
        let read = self.source.read_at(&mut self.buffer, self.start.saturating_add(self.at));
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        match read? {
            0 if left > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads for somebody with as much room as we would take.
    fn read_direct(&mut self, out: &mut [u8], left: usize) -> io::Result<usize> {
        let count = out.len().min(left);
        let room = out.get_mut(..count).unwrap_or_default();
        let read = self.source.read_at(room, self.start.saturating_add(self.at))?;
        if read == 0 && count > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        Ok(read)
    }

    fn buffered(&self) -> &[u8] {
        let passed = self.at.checked_sub(self.buffered_at).and_then(|passed| usize::try_from(passed).ok());
        passed.and_then(|passed| self.buffer.get(passed..)).unwrap_or_default()
    }
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() && self.at < self.size {
            let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
            let is_at_hand = self.source.is_at_hand(self.start.saturating_add(self.at));
            if is_at_hand || out.len() >= left.min(READ_BYTES) {
                return self.read_direct(out, left);
            }
            self.fill()?;
        }
        let count = self.buffered().read(out)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for BodyReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl MessageReader for BodyReader {
    fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_no_more_than_the_body() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let body: Vec<u8> = (0..READ_BYTES * 2).map(|at| at as u8).collect();
        std::fs::write(file.path(), [b"head", body.as_slice(), b"tail"].concat()).unwrap();
        let file = Arc::new(file.reopen().unwrap());
        let mut reader = BodyReader::new(file.clone(), 4, body.len() as u64);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == body);
        reader.seek(SeekFrom::End(-3)).unwrap();
        read.clear();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, body[body.len() - 3..]);
        assert_eq!(reader.seek(SeekFrom::Start(1)).unwrap(), 1);
        let mut one = [0];
        reader.read_exact(&mut one).unwrap();
        assert_eq!(one[0], 1);
        let mut beyond = BodyReader::new(file, 4, body.len() as u64 + 100);
        assert!(beyond.read_to_end(&mut Vec::new()).is_err());
    }
}
