//! Lines of the auth protocols over any stream, with limits in both directions.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use zeroize::Zeroize;

use crate::limits::OUTPUT_BYTES_MAX;

/// Reads lines.
pub(crate) struct Lines<R> {
    stream: R,
    buffer: Vec<u8>,
    /// Where the unread part begins.
    start: usize,
    /// How far there is surely no line end.
    searched: usize,
    max: usize,
}

/// Why there is no further line.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The line is longer than allowed.
    TooLong,
    /// The stream failed.
    Io(io::Error),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(stream: R, max: usize) -> Self {
        Self { stream, buffer: Vec::new(), start: 0, searched: 0, max }
    }

    /// The next line without its end; `None` at the end of the stream. Can be dropped and called
    /// again.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Broken> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let end = self.searched + at;
                if end - self.start > self.max {
                    return Err(Broken::TooLong);
                }
                let line = self.buffer[self.start..end].strip_suffix(b"\r");
                let line = line.unwrap_or(&self.buffer[self.start..end]);
                let line = String::from_utf8_lossy(line).into_owned();
                // Lines may hold passwords.
                self.buffer[self.start..=end].zeroize();
                (self.start, self.searched) = (end + 1, end + 1);
                return Ok(Some(line));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            self.searched = self.buffer.len();
            if self.buffer.len() > self.max {
                return Err(Broken::TooLong);
            }
            self.buffer.reserve(1024);
            if self.stream.read_buf(&mut self.buffer).await.map_err(Broken::Io)? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Collects output, which a task of its own writes.
#[derive(Default)]
pub(crate) struct Output {
    pending: RefCell<Vec<u8>>,
    changed: Notify,
    drained: Notify,
    is_closed: Cell<bool>,
}

impl Output {
    /// Adds a line.
    pub(crate) fn send(&self, line: &str) {
        if self.is_closed.get() {
            return;
        }
        let mut pending = self.pending.borrow_mut();
        pending.extend_from_slice(line.as_bytes());
        pending.push(b'\n');
        self.changed.notify_one();
    }

    /// Waits until the peer has read enough of what was sent before; an error once it is gone.
    pub(crate) async fn has_room(&self) -> io::Result<()> {
        loop {
            if self.is_closed.get() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if self.pending.borrow().len() < OUTPUT_BYTES_MAX {
                return Ok(());
            }
            self.drained.notified().await;
        }
    }

    /// What is pending is still written, then the writer ends.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.changed.notify_one();
        self.drained.notify_one();
    }

    /// Writes until closed. Spawned once per connection.
    pub(crate) async fn write_to(self: Rc<Self>, mut stream: impl AsyncWrite + Unpin) {
        loop {
            let bytes = std::mem::take(&mut *self.pending.borrow_mut());
            if bytes.is_empty() {
                if self.is_closed.get() {
                    break;
                }
                self.changed.notified().await;
            } else if stream.write_all(&bytes).await.is_err() {
                self.close();
                break;
            } else {
                self.drained.notify_one();
            }
        }
        let _ = stream.shutdown().await;
    }
}

/// A line for the log, with what may be a password hidden. 2.3's client side leaves a tab behind.
pub(crate) fn without_passwords(line: &str, is_client: bool) -> String {
    if !line.contains("pass") {
        return line.to_owned();
    }
    let hide = |word: &str| match word.split_once('=') {
        Some((key, _)) if key.contains("pass") => format!("{key}=<hidden>"),
        _ => word.to_owned(),
    };
    let shown: Vec<String> = line.split('\t').map(hide).collect();
    shown.join("\t") + if is_client { "\t" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn lines_in_any_pieces() {
        let text = b"one\ntwo\r\n\nfour".as_slice();
        for size in 1..text.len() {
            let (mut ours, theirs) = tokio::io::duplex(size);
            let feed = async move { ours.write_all(text).await.unwrap() };
            let mut lines = Lines::new(theirs, 100);
            let read = async {
                let mut all = Vec::new();
                while let Some(line) = lines.next().await.unwrap() {
                    all.push(line);
                }
                all
            };
            assert_eq!(tokio::join!(feed, read).1, ["one", "two", ""]);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_line_without_end_is_refused() {
        let mut lines = Lines::new([b'x'; 5000].as_slice(), 1000);
        assert!(matches!(lines.next().await, Err(Broken::TooLong)));
    }
}
