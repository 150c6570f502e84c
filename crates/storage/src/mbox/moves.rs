//! Bringing a new arrangement of an mbox into the file, in place: what stays is moved, what is new is
//! written, and nothing is overwritten before it was moved away.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use crate::fs::Fs;
use crate::limits::READ_BYTES;
use crate::source::ReadAt;

/// A piece of the new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes that the file has, from an offset on.
    Keep {
        /// Where they are.
        from: u64,
        /// How many.
        count: u64,
    },
    /// New bytes.
    Bytes(Vec<u8>),
    /// So many spaces.
    Spaces(u64),
}

impl Piece {
    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        match self {
            Self::Keep { count, .. } | Self::Spaces(count) => *count,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The whole new content of a file, from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrangement {
    // Invariant: kept bytes stand in the order in which the file has them, and none twice.
    pieces: Vec<Piece>,
    kept_to: u64,
    size: u64,
}

/// Copies bytes within the file or writes to it.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Move { from: u64, to: u64, count: u64 },
    Write { to: u64, bytes: &'a [u8] },
    Spaces { to: u64, count: u64 },
}

impl Arrangement {
    /// Adds a piece at the end.
    pub fn push(&mut self, piece: Piece) {
        if piece.is_empty() {
            return;
        }
        self.size += piece.len();
        if let Piece::Keep { from, count } = piece {
            assert!(from >= self.kept_to, "pieces of an mbox are kept in order");
            self.kept_to = from + count;
            if let Some(Piece::Keep { from: before, count: length }) = self.pieces.last_mut()
                && *before + *length == from
            {
                *length += count;
                return;
            }
        }
        self.pieces.push(piece);
    }

    /// Keeps the bytes from `from` up to `to`.
    pub fn keep(&mut self, from: u64, to: u64) {
        self.push(Piece::Keep { from, count: to.saturating_sub(from) });
    }

    /// How many bytes the file will have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a file of `size` bytes is as it should be already.
    pub fn is_unchanged(&self, size: u64) -> bool {
        match self.pieces.as_slice() {
            [] => size == 0,
            [Piece::Keep { from: 0, count }] => *count == size,
            _ => false,
        }
    }

    fn steps(&self) -> Vec<Step<'_>> {
        let (mut forward, mut backward, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        let mut to = 0;
        for piece in &self.pieces {
            match piece {
                Piece::Keep { from, count } if *from > to => {
                    forward.push(Step::Move { from: *from, to, count: *count });
                }
                Piece::Keep { from, count } if *from < to => {
                    backward.push(Step::Move { from: *from, to, count: *count });
                }
                Piece::Keep { .. } => {}
                Piece::Bytes(bytes) => writes.push(Step::Write { to, bytes }),
                Piece::Spaces(count) => writes.push(Step::Spaces { to, count: *count }),
            }
            to += piece.len();
        }
        // What moves towards the beginning goes first to last, what moves towards the end last to
        // first; as the order of all stays, the ones never come upon the others.
        backward.reverse();
        forward.into_iter().chain(backward).chain(writes).collect()
    }

    /// Changes the file, which has `old_size` bytes. Asks for the room that it needs first.
    ///
    /// # Errors
    /// Those of reading and writing. After one the file may be damaged, but not if there was no room.
    pub fn apply(&self, fs: &Fs, file: &File, path: &Path, old_size: u64) -> io::Result<()> {
        if self.size > old_size
            && let Err(error) = zeroes(fs, file, path, old_size, self.size - old_size)
        {
            let _ = fs.truncate(file, path, old_size);
            return Err(error);
        }
        for step in self.steps() {
            match step {
                Step::Move { from, to, count } => move_bytes(fs, file, path, from, to, count)?,
                Step::Write { to, bytes } => write_at(fs, file, path, to, bytes)?,
                Step::Spaces { to, count } => fill(fs, file, path, to, count, b' ')?,
            }
        }
        if self.size < old_size {
            fs.truncate(file, path, self.size)?;
        }
        Ok(())
    }
}

/// Writes at a place.
pub(crate) fn write_at(fs: &Fs, mut file: &File, path: &Path, to: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(to))?;
    fs.write(file, path, bytes)
}

fn zeroes(fs: &Fs, file: &File, path: &Path, to: u64, count: u64) -> io::Result<()> {
    // A hole would not take up the room that is asked for here.
    fill(fs, file, path, to, count, 0)
}

fn fill(fs: &Fs, file: &File, path: &Path, mut to: u64, mut count: u64, byte: u8) -> io::Result<()> {
    let block = vec![byte; READ_BYTES.min(usize::try_from(count).unwrap_or(READ_BYTES))];
    while count > 0 {
        let part = block.get(..usize::try_from(count).unwrap_or(READ_BYTES).min(block.len()));
        let part = part.unwrap_or_default();
        write_at(fs, file, path, to, part)?;
        to += part.len() as u64;
        count -= part.len() as u64;
    }
    Ok(())
}

fn move_bytes(fs: &Fs, file: &File, path: &Path, from: u64, to: u64, count: u64) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let mut done = 0;
    while done < count {
        let want = (count - done).min(READ_BYTES as u64);
        // Towards the end of the file the last block goes first.
        let at = if to < from { done } else { count - done - want };
        let part = buffer.get_mut(..usize::try_from(want).unwrap_or(READ_BYTES)).unwrap_or_default();
        read_exact_at(file, part, from + at)?;
        write_at(fs, file, path, to + at, part)?;
        done += want;
    }
    Ok(())
}

fn read_exact_at(file: &File, mut part: &mut [u8], mut at: u64) -> io::Result<()> {
    while !part.is_empty() {
        let read = file.read_at(part, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at += read as u64;
        part = part.get_mut(read..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::Random;

    /// What the new content must be.
    fn expected(arrangement: &Arrangement, old: &[u8]) -> Vec<u8> {
        let mut new = Vec::new();
        for piece in &arrangement.pieces {
            match piece {
                Piece::Keep { from, count } => {
                    new.extend_from_slice(&old[*from as usize..][..*count as usize])
                }
                Piece::Bytes(bytes) => new.extend_from_slice(bytes),
                Piece::Spaces(count) => new.resize(new.len() + *count as usize, b' '),
            }
        }
        new
    }

    fn check(arrangement: &Arrangement, old: &[u8]) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), old).unwrap();
        let open = std::fs::File::options().read(true).write(true).open(file.path()).unwrap();
        arrangement.apply(&Fs::default(), &open, file.path(), old.len() as u64).unwrap();
        let new = std::fs::read(file.path()).unwrap();
        assert_eq!(new.len() as u64, arrangement.size());
        assert!(new == expected(arrangement, old), "{arrangement:?}");
    }

    #[test]
    fn any_arrangement() {
        let mut random = Random::new(11);
        for round in 0..400 {
            let scale = if round % 20 == 0 { READ_BYTES } else { 50 };
            let old: Vec<u8> = (0..random.below(scale * 6)).map(|_| random.below(256) as u8).collect();
            let (mut arrangement, mut at) = (Arrangement::default(), 0);
            while at < old.len() {
                match random.below(4) {
                    0 => at += random.below(scale),
                    1 => arrangement.push(Piece::Bytes(vec![b'+'; random.below(scale)])),
                    2 => arrangement.push(Piece::Spaces(random.below(scale) as u64)),
                    _ => {
                        let end = (at + random.below(scale * 2)).min(old.len());
                        arrangement.keep(at as u64, end as u64);
                        at = end;
                    }
                }
            }
            check(&arrangement, &old);
        }
    }

    #[test]
    fn nothing_to_do() {
        let mut arrangement = Arrangement::default();
        assert!(arrangement.is_unchanged(0));
        arrangement.keep(0, 5);
        arrangement.keep(5, 10);
        assert!(arrangement.is_unchanged(10) && !arrangement.is_unchanged(11));
        assert_eq!(arrangement.steps(), []);
    }
}
