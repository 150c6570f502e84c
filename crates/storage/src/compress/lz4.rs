//! Dovecot's LZ4 files: a header with a magic of its own and the largest size of a chunk, then chunks,
//! each a raw LZ4 block behind its compressed size.

use std::io::{self, BufRead, Read};

use super::limits::LZ4_CHUNK_BYTES_MAX;

pub(super) const MAGIC: &[u8] = b"Dovecot-LZ4\x0d\x2a\x9b\xc5";
/// How much 2.3 puts into a chunk, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Decodes a whole file, magic included.
pub(super) struct Decoder<R> {
    inner: R,
    /// Largest uncompressed chunk; `None` before the header is read.
    chunk_bytes_max: Option<usize>,
    compressed: Vec<u8>,
    chunk: Vec<u8>,
    position: usize,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, chunk_bytes_max: None, compressed: Vec::new(), chunk: Vec::new(), position: 0 }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    fn read_header(&mut self) -> io::Result<usize> {
        let mut magic = [0; MAGIC.len()];
        let mut size = [0; 4];
        let read = self.inner.read_exact(&mut magic).and_then(|()| self.inner.read_exact(&mut size));
        read.map_err(|error| named(error, "missing header (not lz4 file?)"))?;
        if magic != *MAGIC {
            return Err(broken("wrong magic in header (not lz4 file?)".to_owned()));
        }
        let size = u32::from_be_bytes(size);
        match usize::try_from(size) {
            Ok(bytes) if bytes <= LZ4_CHUNK_BYTES_MAX => Ok(bytes),
            _ => Err(broken(format!("lz4 max chunk size too large ({size} > {LZ4_CHUNK_BYTES_MAX})"))),
        }
    }

    /// Reads the next chunk; `false` at the end.
    fn next_chunk(&mut self) -> io::Result<bool> {
        let chunk_bytes_max = match self.chunk_bytes_max {
            Some(bytes) => bytes,
            None => {
                let bytes = self.read_header()?;
                self.chunk_bytes_max = Some(bytes);
                bytes
            }
        };
        if self.inner.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut prefix = [0; 4];
        self.inner.read_exact(&mut prefix).map_err(|error| named(error, "truncated lz4 chunk"))?;
        let size = u32::from_be_bytes(prefix);
        let bytes = usize::try_from(size).unwrap_or(usize::MAX);
        if bytes == 0 || bytes > LZ4_CHUNK_BYTES_MAX {
            return Err(broken(format!("invalid lz4 chunk size: {size}")));
        }
        self.compressed.resize(bytes, 0);
        self.inner.read_exact(&mut self.compressed).map_err(|error| named(error, "truncated lz4 chunk"))?;
        self.chunk.resize(chunk_bytes_max, 0);
        self.position = 0;
        match lz4_flex::block::decompress_into(&self.compressed, &mut self.chunk) {
            Ok(count) if count > 0 => self.chunk.truncate(count),
            _ => {
                self.chunk.clear();
                return Err(broken("corrupted lz4 chunk".to_owned()));
            }
        }
        Ok(true)
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.chunk.len() && !self.next_chunk()? {
            return Ok(0);
        }
        let left = self.chunk.get(self.position..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count;
        Ok(count)
    }
}

/// Makes such a file.
pub(super) struct Encoder {
    plain: Vec<u8>,
}

impl Encoder {
    /// Starts a file: `out` gets the header.
    pub(super) fn new(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(CHUNK_BYTES as u32).to_be_bytes());
        Self { plain: Vec::with_capacity(CHUNK_BYTES) }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.plain.len()));
            self.plain.extend_from_slice(now);
            bytes = later;
            if self.plain.len() == CHUNK_BYTES {
                self.finish(out);
            }
        }
    }

    /// Ends the chunk that has begun, if one has.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.plain.is_empty() {
            return;
        }
        let chunk = lz4_flex::block::compress(&self.plain);
        // Invariant: 64 KiB compress to little more than 64 KiB at worst, far below 4 GiB.
        out.extend_from_slice(&(chunk.len() as u32).to_be_bytes());
        out.extend_from_slice(&chunk);
        self.plain.clear();
    }
}

/// `what`, if the file ended too early; another error stays as it is.
fn named(error: io::Error, what: &'static str) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => broken(what.to_owned()),
        _ => error,
    }
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
