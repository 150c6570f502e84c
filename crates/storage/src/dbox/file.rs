//! Reading dbox files: messages one after the other or at known places.

use std::io;

use crate::limits::{DBOX_FILE_HEADER_BYTES_MAX, DBOX_METADATA_BYTES_MAX};
use crate::source::{Cursor, ReadAt};

use super::FileError;
use super::header::{self, FileHeader, METADATA_MAGIC};
use super::metadata::{LineKind, Metadata, line_kind};

/// An open dbox file. Never changes it.
pub struct DboxFile<S> {
    source: S,
    header: FileHeader,
}

/// Where a message lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of its header, in bytes from the file's start.
    pub offset: u64,
    /// Where its body begins.
    pub body: u64,
    /// Bytes of the body as it lies there.
    pub size: u64,
}

impl Message {
    /// Where its metadata begins.
    pub fn metadata(&self) -> u64 {
        self.body.saturating_add(self.size)
    }
}

impl<S: ReadAt> DboxFile<S> {
    /// Reads the file's header.
    ///
    /// # Errors
    /// Those of reading; [`FileError::Damaged`] if it is not a dbox file's.
    pub fn open(source: S) -> Result<Self, FileError> {
        let line = Cursor::new(&source, 0).line(DBOX_FILE_HEADER_BYTES_MAX)?;
        let line = line.ok_or(FileError::damaged(0, "Invalid dbox version"))?;
        if !line.ends_with(b"\n") {
            return Err(FileError::damaged(0, "EOF while reading file header"));
        }
        let header = FileHeader::parse(&line).map_err(|what| FileError::damaged(0, what))?;
        Ok(Self { source, header })
    }

    /// The same file, read through another source.
    pub(crate) fn through<T: ReadAt>(&self, source: T) -> DboxFile<T> {
        DboxFile { source, header: self.header }
    }

    /// What the first line says.
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// The file itself.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The message whose header is at `offset`; 0 stands for the first.
    ///
    /// # Errors
    /// Those of reading; [`FileError::Damaged`] if there is none.
    pub fn message(&self, offset: u64) -> Result<Message, FileError> {
        let offset = if offset == 0 { self.header.bytes } else { offset };
        let bytes = self.header.message_header_bytes as usize;
        let mut cursor = Cursor::new(&self.source, offset);
        let data = cursor.peek(bytes)?;
        let data = data.get(..bytes).ok_or(FileError::damaged(offset, "EOF reading msg header"))?;
        let size = header::parse_message(data).map_err(|what| FileError::damaged(offset, what))?;
        Ok(Message { offset, body: offset.saturating_add(bytes as u64), size })
    }

    /// What stands behind a message's body.
    ///
    /// # Errors
    /// Those of reading; [`FileError::Damaged`] if it is not there or has no end.
    pub fn metadata(&self, message: &Message) -> Result<Metadata, FileError> {
        let at = message.metadata();
        let mut cursor = Cursor::new(&self.source, at);
        let magic = cursor.peek(METADATA_MAGIC.len())?;
        if magic.len() < METADATA_MAGIC.len() {
            return Err(FileError::damaged(at, "Unexpected EOF while reading metadata header"));
        }
        if !magic.starts_with(&METADATA_MAGIC) {
            return Err(FileError::damaged(at, "metadata header has bad magic value"));
        }
        cursor.skip(METADATA_MAGIC.len() as u64);
        let (mut lines, mut room) = (Vec::new(), DBOX_METADATA_BYTES_MAX);
        loop {
            let line = cursor.line(room)?.ok_or(FileError::damaged(at, "metadata is too long"))?;
            let Some(text) = line.strip_suffix(b"\n") else {
                return Err(FileError::damaged(at, "missing end-of-metadata line"));
            };
            match line_kind(text) {
                LineKind::End => return Ok(Metadata::new(lines, cursor.offset())),
                LineKind::Value => lines.push(text.to_vec()),
            }
            room -= line.len();
        }
    }

    /// Where the message behind the one with this metadata is; `None` at the end of the file.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next(&self, metadata: &Metadata) -> Result<Option<u64>, FileError> {
        let more = self.source.size()? > metadata.end;
        Ok(more.then_some(metadata.end))
    }

    /// Whether bytes of a message never came to disk, as far as can be seen: what a lost write leaves is
    /// NULs, of which mail has none.
    ///
    /// # Errors
    /// Those of reading.
    pub fn has_hole(&self, message: &Message) -> io::Result<bool> {
        let mut cursor = Cursor::new(&self.source, message.body);
        let mut run = 0;
        while cursor.offset() < message.metadata() {
            let left = usize::try_from(message.metadata() - cursor.offset()).unwrap_or(usize::MAX);
            let data = cursor.peek(1)?;
            let data = data.get(..left).unwrap_or(data);
            if data.is_empty() {
                break;
            }
            for &byte in data {
                run = if byte == 0 { run + 1 } else { 0 };
                if run >= HOLE_BYTES_MIN {
                    return Ok(true);
                }
            }
            let passed = data.len() as u64;
            cursor.skip(passed);
        }
        Ok(false)
    }

    /// All messages with their metadata, up to the first damage.
    pub fn messages(&self) -> Messages<'_, S> {
        Messages { file: self, next: Some(self.header.bytes) }
    }

    /// Whether from `offset` to the end of the file there are whole messages only, or nothing: whether
    /// it may be appended to.
    ///
    /// # Errors
    /// Those of reading.
    pub fn is_sound_from(&self, offset: u64) -> Result<bool, FileError> {
        if self.source.size()? <= offset {
            return Ok(self.source.size()? == offset);
        }
        for message in (Messages { file: self, next: Some(offset) }) {
            match message {
                Ok(_) => {}
                Err(FileError::Damaged { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// See [`DboxFile::messages`]. Ends after an error.
pub struct Messages<'a, S> {
    file: &'a DboxFile<S>,
    next: Option<u64>,
}

impl<S: ReadAt> Iterator for Messages<'_, S> {
    type Item = Result<(Message, Metadata), FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.next.take()?;
        let found = (|| {
            let message = self.file.message(offset)?;
            let metadata = self.file.metadata(&message)?;
            self.next = self.file.next(&metadata)?;
            Ok((message, metadata))
        })();
        Some(found)
    }
}

/// So many NULs in a row are a hole, even in a compressed message.
const HOLE_BYTES_MIN: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"2 M1e C6b077823\n\
        \x01\x02N          0000000000000024\nSubject: 2\nFrom: a@b\n\nline 2\nFrom x\n\n\x01\x03\nR6b077823\nV29\nGg1\n\n\
        \x01\x02N          0000000000000002\nx\n\n\x01\x03\nGg2\nBsub\n\n";

    #[test]
    fn two_messages() {
        let file = DboxFile::open(TWO).unwrap();
        let all: Vec<_> = file.messages().collect::<Result<_, _>>().unwrap();
        let guids: Vec<_> = all.iter().map(|(_, metadata)| metadata.guid().unwrap()).collect();
        assert_eq!(guids, ["g1", "g2"]);
        let (first, second) = (all[0].0, all[1].0);
        assert_eq!(first, Message { offset: 16, body: 46, size: 0x24 });
        assert_eq!(&TWO[second.body as usize..][..2], b"x\n");
        assert_eq!(file.message(0).unwrap(), first);
        assert!(file.is_sound_from(second.offset).unwrap());
        assert!(file.is_sound_from(TWO.len() as u64).unwrap());
        assert!(!file.is_sound_from(TWO.len() as u64 + 1).unwrap());
        assert!(!file.is_sound_from(second.offset + 1).unwrap());
    }

    fn check(bytes: &[u8], expected: &str) {
        let error = DboxFile::open(bytes).and_then(|file| file.messages().collect::<Result<Vec<_>, _>>());
        assert_eq!(error.unwrap_err().to_string(), expected);
    }

    #[test]
    fn damage() {
        let corrupted = |offset, what| format!("Corrupted dbox file (around offset={offset}): {what}");
        check(b"", &corrupted(0, "EOF while reading file header"));
        check(b"From x\n", &corrupted(0, "Invalid dbox version"));
        check(&TWO[..16], &corrupted(16, "EOF reading msg header"));
        check(&TWO[..80], &corrupted(82, "Unexpected EOF while reading metadata header"));
        check(&TWO[..90], &corrupted(82, "missing end-of-metadata line"));
        let mut wrong = TWO.to_vec();
        wrong[44] = b'5';
        check(&wrong, &corrupted(83, "metadata header has bad magic value"));
    }
}
