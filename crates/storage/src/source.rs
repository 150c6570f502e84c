//! Bytes that are read by position, so that several sessions can read one open file, and a cursor over
//! them. What the dbox and mbox formats are parsed from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::limits::READ_BYTES;

/// Something with bytes at positions.
pub trait ReadAt {
    /// Reads some bytes from `offset` on; none are there if it gives 0.
    ///
    /// # Errors
    /// Those of `pread`.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How many bytes there are now.
    ///
    /// # Errors
    /// Those of `fstat`.
    fn size(&self) -> io::Result<u64>;

    /// Whether bytes at `offset` are in memory, so that there is no reason to read more than are wanted.
    fn is_at_hand(&self, offset: u64) -> bool {
        let _ = offset;
        false
    }
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|meta| meta.len())
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let data = self.get(from..).unwrap_or_default();
        let count = data.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), data.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn is_at_hand(&self, offset: u64) -> bool {
        (**self).is_at_hand(offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for std::sync::Arc<T> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn is_at_hand(&self, offset: u64) -> bool {
        (**self).is_at_hand(offset)
    }
}

/// A source of which some bytes have been read at one go, since they will be asked for.
pub(crate) struct Window<S> {
    inner: S,
    start: u64,
    bytes: Vec<u8>,
}

impl<S: ReadAt> Window<S> {
    /// Reads `count` bytes from `start` on, or as many as there are.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn read(inner: S, start: u64, count: usize) -> io::Result<Self> {
        let mut bytes = vec![0; count];
        let read = if count == 0 { 0 } else { inner.read_at(&mut bytes, start)? };
        bytes.truncate(read);
        Ok(Self { inner, start, bytes })
    }
}

impl<S> Window<S> {
    fn within(&self, offset: u64) -> Option<u64> {
        offset.checked_sub(self.start).filter(|within| *within < self.bytes.len() as u64)
    }
}

impl<S: ReadAt> ReadAt for Window<S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.within(offset) {
            Some(within) => self.bytes.read_at(buffer, within),
            None => self.inner.read_at(buffer, offset),
        }
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn is_at_hand(&self, offset: u64) -> bool {
        self.within(offset).is_some()
    }
}

/// A buffered position in a [`ReadAt`].
pub struct Cursor<'a, S: ?Sized> {
    source: &'a S,
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that have been passed.
    passed: usize,
    /// Of the first byte not passed.
    offset: u64,
    /// How many bytes are read next: few at first, since most messages are small, then more and more.
    step: usize,
}

impl<'a, S: ReadAt + ?Sized> Cursor<'a, S> {
    /// A cursor at `offset`.
    pub fn new(source: &'a S, offset: u64) -> Self {
        Self { source, buffer: Vec::new(), passed: 0, offset, step: FIRST_BYTES }
    }

    /// Where the next byte is.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is buffered from here on.
    pub fn data(&self) -> &[u8] {
        self.buffer.get(self.passed..).unwrap_or_default()
    }

    /// The bytes from here on: at least `want` of them, unless there are fewer.
    ///
    /// # Errors
    /// Those of reading.
    pub fn peek(&mut self, want: usize) -> io::Result<&[u8]> {
        while self.buffer.len() - self.passed < want {
            if self.read_more()? == 0 {
                break;
            }
        }
        Ok(self.data())
    }

    /// Reads another block behind what is buffered, and says how many bytes came.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read_more(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.passed);
        self.passed = 0;
        let have = self.buffer.len();
        self.buffer.resize(have + self.step, 0);
        self.step = (self.step * 2).min(READ_BYTES);
        let at = self.offset.saturating_add(have as u64);
        let read = self.source.read_at(self.buffer.get_mut(have..).unwrap_or_default(), at);
        self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Passes bytes, whether they are buffered or not.
    pub fn skip(&mut self, count: u64) {
        let buffered = self.data().len();
        match usize::try_from(count) {
            Ok(count) if count <= buffered => self.passed += count,
            _ => {
                self.buffer.clear();
                self.passed = 0;
            }
        }
        self.offset = self.offset.saturating_add(count);
    }

    /// Goes to another place.
    pub fn seek(&mut self, offset: u64) {
        match offset.checked_sub(self.offset) {
            Some(ahead) => self.skip(ahead),
            None => {
                self.buffer.clear();
                self.passed = 0;
                self.offset = offset;
            }
        }
    }

    /// Takes a line with its LF; the last one may have none. `None` where it has more than `bytes_max`
    /// bytes, and nothing is passed then. Empty at the end.
    ///
    /// # Errors
    /// Those of reading.
    pub fn line(&mut self, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let data = self.data();
            let end = memchr::memchr(b'\n', data.get(searched..).unwrap_or_default());
            if let Some(end) = end.map(|end| searched + end + 1) {
                if end > bytes_max {
                    return Ok(None);
                }
                let line = data.get(..end).unwrap_or_default().to_vec();
                self.skip(end as u64);
                return Ok(Some(line));
            }
            searched = data.len();
            if searched > bytes_max {
                return Ok(None);
            }
            if self.read_more()? == 0 {
                let line = self.data().to_vec();
                self.skip(line.len() as u64);
                return Ok(Some(line));
            }
        }
    }
}

/// Read by a cursor at first.
const FIRST_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_places() {
        let text = b"one\ntwo\nthree".as_slice();
        let mut cursor = Cursor::new(text, 0);
        assert_eq!(cursor.line(4).unwrap().unwrap(), b"one\n");
        assert_eq!(cursor.line(3).unwrap(), None);
        assert_eq!(cursor.offset(), 4);
        cursor.skip(4);
        assert_eq!(cursor.line(100).unwrap().unwrap(), b"three");
        assert_eq!(cursor.line(100).unwrap().unwrap(), b"");
        cursor.seek(4);
        assert!(cursor.peek(5).unwrap().starts_with(b"two\nthree"));
        cursor.skip(u64::MAX);
        assert_eq!(cursor.peek(1).unwrap(), b"");
    }

    #[test]
    fn a_window_is_what_it_was_and_the_rest_is_read() {
        let text = b"0123456789".to_vec();
        let window = Window::read(&text, 3, 4).unwrap();
        let mut cursor = Cursor::new(&window, 0);
        assert_eq!(cursor.line(100).unwrap().unwrap(), text);
        let mut some = [0; 8];
        assert_eq!(window.read_at(&mut some, 3).unwrap(), 4);
        assert_eq!(some[..4], *b"3456");
        assert_eq!(window.read_at(&mut some, 7).unwrap(), 3);
        assert_eq!(Window::read(&text, 8, 100).unwrap().bytes, b"89");
    }

    #[test]
    fn a_line_longer_than_a_block() {
        let text = [vec![b'x'; READ_BYTES * 2], b"\nnext\n".to_vec()].concat();
        let mut cursor = Cursor::new(&text, 0);
        assert_eq!(cursor.line(READ_BYTES).unwrap(), None);
        assert_eq!(cursor.line(READ_BYTES * 3).unwrap().unwrap().len(), READ_BYTES * 2 + 1);
        assert_eq!(cursor.line(9).unwrap().unwrap(), b"next\n");
    }
}
