//! One message's bytes outside of its mailbox: on their way in, or while a client reads them.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use crate::api::MessageReader;
use crate::indexed::FileReader;

/// Small ones are held as they are, others in a file without a name.
pub(super) struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    size: u64,
}

impl Spool {
    pub(super) fn new() -> Self {
        Self { memory: Vec::new(), file: None, size: 0 }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() > MEMORY_BYTES_MAX {
            let mut file = File::from(rustix::fs::memfd_create("mbox", rustix::fs::MemfdFlags::CLOEXEC)?);
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// From the beginning.
    pub(super) fn into_reader(self) -> io::Result<Box<dyn MessageReader>> {
        Ok(match self.file {
            Some(mut file) => {
                file.seek(SeekFrom::Start(0))?;
                Box::new(FileReader::new(file, self.size))
            }
            None => Box::new(InMemory(Cursor::new(self.memory))),
        })
    }
}

struct InMemory(Cursor<Vec<u8>>);

impl Read for InMemory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for InMemory {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl MessageReader for InMemory {
    fn size(&self) -> u64 {
        self.0.get_ref().len() as u64
    }
}

const MEMORY_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large() {
        for size in [0, 10, MEMORY_BYTES_MAX, MEMORY_BYTES_MAX + 1, 3 * MEMORY_BYTES_MAX] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let mut spool = Spool::new();
            bytes.chunks(300_000).for_each(|piece| spool.write(piece).unwrap());
            let mut reader = spool.into_reader().unwrap();
            assert_eq!(reader.size(), size as u64);
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == bytes);
        }
    }
}
