//! Reads a file in pieces that fit how it is asked for: small ones here and there, large ones for
//! somebody who goes through it in either direction. Keeps a few of them.
//!
//! Only for what never changes once it is written, which in a cache file is the records.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::limits::{PIECES_MAX, READ_BYTES_RANDOM, READ_BYTES_SEQUENTIAL};

/// So near to a piece that the reader is taken to go on from there.
const NEAR_BYTES: u64 = 64 << 10;
/// Pieces begin at multiples of this, as the kernel's pages do.
const PAGE_BYTES: u64 = 4096;

/// The pieces that are in memory.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    clock: u64,
}

struct Piece {
    start: u64,
    bytes: Vec<u8>,
    last_used: u64,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn holds(&self, from: u64, to: u64) -> bool {
        self.start <= from && to <= self.end()
    }
}

impl Pieces {
    /// At least `length` bytes from `offset`, and more if there are more at hand; `None` if the file
    /// ends before.
    pub(super) fn read(&mut self, file: &File, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        let to = offset + length as u64;
        self.clock += 1;
        let at = match self.pieces.iter().position(|piece| piece.holds(offset, to)) {
            Some(at) => at,
            None => self.load(file, offset, to)?,
        };
        let Some(piece) = self.pieces.get_mut(at) else { return Ok(None) };
        piece.last_used = self.clock;
        if !piece.holds(offset, to) {
            return Ok(None);
        }
        Ok(piece.bytes.get((offset - piece.start) as usize..))
    }

    /// Reads what is around the wanted bytes, and says into which piece.
    fn load(&mut self, file: &File, from: u64, to: u64) -> io::Result<usize> {
        let (at, start, end) = self.plan(from, to);
        let length = (end - start) as usize;
        if at == self.pieces.len() {
            self.pieces.push(Piece { start, bytes: Vec::new(), last_used: 0 });
        }
        let piece = &mut self.pieces[at];
        piece.start = start;
        piece.bytes.resize(length, 0);
        let read = read_at_most(file, &mut piece.bytes, start);
        piece.bytes.truncate(read.as_ref().map_or(0, |&read| read));
        if length > 2 * READ_BYTES_SEQUENTIAL || piece.bytes.capacity() > 4 * READ_BYTES_SEQUENTIAL {
            // One huge record must not be paid for ever after.
            piece.bytes.shrink_to_fit();
        }
        read.map(|_| at)
    }

    /// Which piece to overwrite, and the range to read.
    fn plan(&self, from: u64, to: u64) -> (usize, u64, u64) {
        let forward = |piece: &Piece| piece.start <= from && from <= piece.end() + NEAR_BYTES;
        let backward = |piece: &Piece| from < piece.start && piece.start - from <= NEAR_BYTES;
        let page = from & !(PAGE_BYTES - 1);
        if let Some(at) = self.pieces.iter().position(forward) {
            return (at, page, to.max(page + READ_BYTES_SEQUENTIAL as u64));
        }
        if let Some(at) = self.pieces.iter().position(backward) {
            // Who looked at the beginning of something looks at all of it next.
            let end = (to + READ_BYTES_RANDOM as u64).next_multiple_of(PAGE_BYTES);
            return (at, page.min(end.saturating_sub(READ_BYTES_SEQUENTIAL as u64)), end);
        }
        let at = if self.pieces.len() < PIECES_MAX {
            self.pieces.len()
        } else {
            let oldest = self.pieces.iter().enumerate().min_by_key(|(_, piece)| piece.last_used);
            oldest.map_or(0, |(at, _)| at)
        };
        (at, page, to.max(page + READ_BYTES_RANDOM as u64))
    }
}

/// Fills `buffer` as far as the file goes, and says how far that is.
pub(super) fn read_at_most(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn numbered(words: u32) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..words).flat_map(u32::to_ne_bytes).collect();
        file.write_all(&bytes).unwrap();
        file
    }

    fn word(pieces: &mut Pieces, file: &File, index: u32) -> Option<u32> {
        let bytes = pieces.read(file, u64::from(index) * 4, 4).unwrap()?;
        Some(u32::from_ne_bytes(*bytes.first_chunk().unwrap()))
    }

    #[test]
    fn every_order_reads_the_same() {
        let words = 1_000_000;
        let file = numbered(words);
        let mut pieces = Pieces::default();
        let jumps = |step: u32| (0..words).map(move |index| index.wrapping_mul(step) % words);
        for index in (0..words).step_by(7).chain((0..words).rev().step_by(11)).chain(jumps(77_777).take(5000))
        {
            assert_eq!(word(&mut pieces, &file, index), Some(index));
        }
        assert_eq!(word(&mut pieces, &file, words), None);
        assert!(pieces.pieces.len() <= PIECES_MAX);
    }

    #[test]
    fn growth_is_seen() {
        let mut file = numbered(10);
        let mut pieces = Pieces::default();
        assert_eq!(word(&mut pieces, &file, 10), None);
        file.write_all(&10_u32.to_ne_bytes()).unwrap();
        assert_eq!(word(&mut pieces, &file, 10), Some(10));
    }
}
