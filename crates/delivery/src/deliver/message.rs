//! The message being delivered: read once from the mail transfer agent, then as often as needed.
//! Memory does not grow with its size.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::limits::{CHUNK_BYTES, HEADER_BYTES_MAX, MEMORY_BYTES_MAX};

/// A whole message.
#[derive(Debug)]
pub struct Message {
    body: Body,
    header: Vec<u8>,
    lines: Lines,
}

#[derive(Debug)]
enum Body {
    Memory(Cursor<Vec<u8>>),
    File(File),
}

/// Counts what the message's sizes are made of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Lines {
    bytes: u64,
    /// Line feeds.
    ends: u64,
    /// Line feeds that follow a carriage return.
    crlf_ends: u64,
    /// Line feeds that follow two: one of them stays where lines are stored with LF.
    cr_crlf_ends: u64,
    /// The last two bytes.
    last: [u8; 2],
}

impl Message {
    /// Reads all of `source`. What does not fit into memory goes into a file without a name in
    /// `temp_dir`.
    ///
    /// # Errors
    /// Those of reading `source` and writing the file.
    pub fn read(mut source: impl Read, temp_dir: &Path) -> io::Result<Self> {
        let mut start = Vec::new();
        source.by_ref().take(MEMORY_BYTES_MAX as u64 + 1).read_to_end(&mut start)?;
        if start.len() <= MEMORY_BYTES_MAX {
            return Self::new(Body::Memory(Cursor::new(start)));
        }
        let mut file = tempfile::tempfile_in(temp_dir)?;
        file.write_all(&start)?;
        drop(start);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match source.read(&mut chunk) {
                Ok(0) => return Self::new(Body::File(file)),
                Ok(count) => file.write_all(chunk.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a file as it is.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn from_file(file: File) -> io::Result<Self> {
        Self::new(Body::File(file))
    }

    fn new(body: Body) -> io::Result<Self> {
        let mut message = Self { body, header: Vec::new(), lines: Lines::default() };
        let mut lines = Lines::default();
        let mut header = Vec::new();
        message.for_each_chunk(|chunk| {
            let room = HEADER_BYTES_MAX.saturating_sub(header.len());
            header.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            lines.count(chunk);
            Ok::<_, io::Error>(())
        })?;
        header.truncate(message::header::len(&header));
        header.shrink_to_fit();
        (message.header, message.lines) = (header, lines);
        Ok(message)
    }

    /// The header with its empty line; its beginning, if it is very long.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The size that a mailbox stores: lines end in CRLF where `crlf` is set, or else in LF, and then
    /// half a line end at the end goes.
    pub fn stored_size(&self, crlf: bool) -> u64 {
        let lines = &self.lines;
        let lf = lines.bytes - lines.crlf_ends;
        if crlf { lf + lines.ends } else { lf - u64::from(lines.last[1] == b'\r') }
    }

    /// The size of what is stored, read back with CRLF.
    pub fn virtual_size(&self, crlf: bool) -> u64 {
        let stored = self.stored_size(crlf);
        if crlf { stored } else { stored + self.lines.ends - self.lines.cr_crlf_ends }
    }

    /// The size as it came.
    pub fn size(&self) -> u64 {
        self.lines.bytes
    }

    /// Gives the whole message to `take`, piece by piece, from its start.
    ///
    /// # Errors
    /// The first of `take`, and those of reading.
    pub fn for_each_chunk<E: From<io::Error>>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let source: &mut dyn ReadSeek = match &mut self.body {
            Body::Memory(bytes) => bytes,
            Body::File(file) => file,
        };
        source.seek(SeekFrom::Start(0))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match source.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => take(chunk.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl Lines {
    fn count(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        for at in memchr::memchr_iter(b'\n', chunk) {
            let before = |count: usize| match at.checked_sub(count) {
                Some(before) => chunk.get(before) == Some(&b'\r'),
                None => self.last.get(2 + at - count) == Some(&b'\r'),
            };
            let (one, two) = (before(1), before(2));
            self.ends += 1;
            self.crlf_ends += u64::from(one);
            self.cr_crlf_ends += u64::from(one && two);
        }
        self.last = match chunk {
            [.., before, last] => [*before, *last],
            [last] => [self.last[1], *last],
            [] => self.last,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(message: &mut Message) -> Vec<u8> {
        let mut all = Vec::new();
        message
            .for_each_chunk(|chunk| {
                all.extend_from_slice(chunk);
                Ok::<_, io::Error>(())
            })
            .unwrap();
        all
    }

    /// Sizes as 2.3 writes them into the names of files.
    #[test]
    fn sizes() {
        let check = |text: &str, stored: u64, as_crlf: u64| {
            let message = Message::read(text.as_bytes(), Path::new("/nonexistent")).unwrap();
            assert_eq!(
                (message.stored_size(false), message.virtual_size(false)),
                (stored, as_crlf),
                "{text:?}"
            );
        };
        check("", 0, 0);
        check("A: 1\r\nB: 2\n\r\nbody\rcr\r\r\nnul\0x\n\r", 26, 30);
        check("\nbody", 5, 6);
        check("Subject: hi\nMessage-ID: <abc@x>\n\nbody\n", 38, 42);
    }

    #[test]
    fn sizes_do_not_depend_on_pieces() {
        let text = b"a\r\r\nb\r\nc\n\r\n\r\r\r\n\n\r";
        let mut whole = Lines::default();
        whole.count(text);
        for size in 1..text.len() {
            let mut lines = Lines::default();
            text.chunks(size).for_each(|chunk| lines.count(chunk));
            assert_eq!(lines, whole, "{size}");
        }
        assert_eq!((whole.ends, whole.crlf_ends, whole.cr_crlf_ends), (6, 4, 2));
    }

    #[test]
    fn large_messages_are_kept_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let text = [b"A: 1\r\n\r\n".to_vec(), vec![b'x'; MEMORY_BYTES_MAX]].concat();
        let mut message = Message::read(&text[..], directory.path()).unwrap();
        assert!(matches!(message.body, Body::File(_)));
        assert_eq!((message.header(), message.size()), (&b"A: 1\r\n\r\n"[..], text.len() as u64));
        assert!(whole(&mut message) == text && whole(&mut message) == text, "read twice");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the file has no name");
        assert!(Message::read(&text[..], Path::new("/nonexistent")).is_err());
    }
}
