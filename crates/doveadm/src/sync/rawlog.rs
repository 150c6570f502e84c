//! `doveadm sync -r`: keeps what goes over the line to the other end in a file, each line with the time and a
//! letter for the direction.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// One direction of a connection, and the file that both are kept in.
pub(crate) struct Logged<T> {
    inner: T,
    log: Option<Arc<Mutex<File>>>,
    direction: char,
    line: Vec<u8>,
}

/// Both directions; as they are where no file is named.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn logged<I, O>(path: Option<&Path>, input: I, output: O) -> io::Result<(Logged<I>, Logged<O>)> {
    let open = |path| File::options().create(true).append(true).open(path);
    let log = path.map(open).transpose()?.map(|file| Arc::new(Mutex::new(file)));
    let line = Vec::new;
    Ok((
        Logged { inner: input, log: log.clone(), direction: 'I', line: line() },
        Logged { inner: output, log, direction: 'O', line: line() },
    ))
}

impl<T> Logged<T> {
    fn keep(&mut self, bytes: &[u8]) {
        let Some(log) = &self.log else { return };
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if !piece.ends_with(b"\n") && self.line.len() < LINE_MAX {
                continue;
            }
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let head = format!("{}.{:06} {}: ", time.as_secs(), time.subsec_micros(), self.direction);
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            // It is for looking at only: what cannot be kept is not.
            let _ = log.write_all(&[head.as_bytes(), &self.line].concat());
            self.line.clear();
        }
    }
}

impl<T: Read> Read for Logged<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.keep(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<T: Write> Write for Logged<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.keep(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What has no end of line is kept in pieces of this size.
const LINE_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_kept_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("raw");
        let (mut input, mut output) = logged(Some(&path), &b"one\ntwo\n"[..], Vec::new()).unwrap();
        output.write_all(b"hal").unwrap();
        output.write_all(b"lo\n").unwrap();
        io::copy(&mut input, &mut io::sink()).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(lines, ["O: hallo", "I: one", "I: two"]);
    }
}
