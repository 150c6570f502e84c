//! The log pipe. Every process of a service writes to the same pipe: our own lines as frames that
//! start with [`MAGIC`], and whatever a library or program prints to standard error as raw text.
//!
//! A frame is at most [`LOG_CHUNK_MAX`] bytes, so that the kernel never mixes two of them:
//! `MAGIC, level byte, flags byte, pid (4 bytes, little endian), prefix length (2), text length (2),
//! prefix, text`. A line too long for one frame continues in further ones ([`MORE`] set on all but
//! the last).

use base::log::Level;
use serde::{Deserialize, Serialize};

use crate::limits::LOG_CHUNK_MAX;

/// First byte of a frame; no text starts with it.
pub const MAGIC: u8 = 1;
/// Flag: the line goes on in the next frame of the same process.
pub const MORE: u8 = 1;

const HEADER: usize = 11;
const PREFIX_MAX: usize = 512;

/// A level as the byte that travels.
pub const fn level_byte(level: Level) -> u8 {
    match level {
        Level::Debug => b'D',
        Level::Info => b'I',
        Level::Warning => b'W',
        Level::Error => b'E',
        Level::Fatal => b'F',
        Level::Panic => b'P',
    }
}

/// The level of a byte that travelled.
pub const fn level_of(byte: u8) -> Option<Level> {
    Some(match byte {
        b'D' => Level::Debug,
        b'I' => Level::Info,
        b'W' => Level::Warning,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        b'P' => Level::Panic,
        _ => return None,
    })
}

/// One line as frames to be written with one `write` each.
pub fn frames(level: Level, pid: u32, prefix: &str, text: &str) -> Vec<Vec<u8>> {
    let prefix = cut(prefix, PREFIX_MAX);
    let room = LOG_CHUNK_MAX - HEADER - prefix.len();
    let mut rest = text;
    let mut frames = Vec::with_capacity(1);
    loop {
        let chunk = cut(rest, room);
        rest = &rest[chunk.len()..];
        let flags = if rest.is_empty() { 0 } else { MORE };
        let mut frame = Vec::with_capacity(HEADER + prefix.len() + chunk.len());
        frame.extend_from_slice(&[MAGIC, level_byte(level), flags]);
        frame.extend_from_slice(&pid.to_le_bytes());
        // Both fit: they are below LOG_CHUNK_MAX.
        frame.extend_from_slice(&(prefix.len() as u16).to_le_bytes());
        frame.extend_from_slice(&(chunk.len() as u16).to_le_bytes());
        frame.extend_from_slice(prefix.as_bytes());
        frame.extend_from_slice(chunk.as_bytes());
        frames.push(frame);
        if rest.is_empty() {
            return frames;
        }
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// What came out of a log pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A line of one of our processes.
    Line {
        /// How bad it is.
        level: Level,
        /// Who wrote it.
        pid: u32,
        /// What goes before the level.
        prefix: String,
        /// The text.
        text: String,
        /// Whether the text goes on in the next entry of the same pid.
        more: bool,
    },
    /// A line that a library or program printed.
    Raw(String),
}

/// Splits what was read from a log pipe into entries.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
}

impl Splitter {
    /// Adds bytes as they were read, and takes out all entries that are whole.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Entry> {
        self.buffer.extend_from_slice(bytes);
        let mut entries = Vec::new();
        let mut start = 0;
        while let Some((used, entry)) = next_entry(&self.buffer[start..]) {
            start += used;
            entries.extend(entry);
        }
        self.buffer.drain(..start);
        entries
    }

    /// What is left when the pipe ends.
    pub fn finish(&mut self) -> Option<Entry> {
        let rest = std::mem::take(&mut self.buffer);
        (!rest.is_empty()).then(|| Entry::Raw(String::from_utf8_lossy(&rest).into_owned()))
    }
}

/// The length of the first entry of `bytes` and what it says; `None` when more bytes are needed.
fn next_entry(bytes: &[u8]) -> Option<(usize, Option<Entry>)> {
    if *bytes.first()? != MAGIC {
        return raw_entry(bytes);
    }
    if level_of(*bytes.get(1)?).is_none() {
        return Some((1, None));
    }
    let header = bytes.first_chunk::<HEADER>()?;
    let [_, level, flags, p0, p1, p2, p3, prefix0, prefix1, text0, text1] = *header;
    let prefix_end = HEADER + usize::from(u16::from_le_bytes([prefix0, prefix1]));
    let end = prefix_end + usize::from(u16::from_le_bytes([text0, text1]));
    let Some(level) = level_of(level).filter(|_| end <= LOG_CHUNK_MAX) else {
        // Not one of our frames: drop the byte and read on as text.
        return Some((1, None));
    };
    let frame = bytes.get(..end)?;
    Some((
        end,
        Some(Entry::Line {
            level,
            pid: u32::from_le_bytes([p0, p1, p2, p3]),
            prefix: String::from_utf8_lossy(&frame[HEADER..prefix_end]).into_owned(),
            text: String::from_utf8_lossy(&frame[prefix_end..]).into_owned(),
            more: flags & MORE != 0,
        }),
    ))
}

fn raw_entry(bytes: &[u8]) -> Option<(usize, Option<Entry>)> {
    let end = bytes.iter().take(LOG_CHUNK_MAX).position(|&byte| byte == b'\n' || byte == MAGIC);
    let (text, used) = match end {
        Some(end) if bytes[end] == b'\n' => (&bytes[..end], end + 1),
        Some(end) => (&bytes[..end], end),
        None if bytes.len() >= LOG_CHUNK_MAX => (&bytes[..LOG_CHUNK_MAX], LOG_CHUNK_MAX),
        None => return None,
    };
    let text = String::from_utf8_lossy(text).into_owned();
    Some((used, (!text.is_empty()).then_some(Entry::Raw(text))))
}

/// From doveadm to `log` over `log-errors` (root only): the lines kept in memory since the given
/// time in seconds since 1970. Answered with [`KeptLine`]s, then the connection is closed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorsQuery {
    /// Only lines at or after this time, in seconds since 1970.
    pub since_s: u64,
}

/// One line of the ring behind `doveadm log errors`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptLine {
    /// When, in microseconds since 1970.
    pub time_us: u64,
    /// [`level_byte`].
    pub level: u8,
    /// What went before the level.
    pub prefix: String,
    /// The text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], chunk: usize) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut seen = Vec::new();
        for chunk in bytes.chunks(chunk) {
            seen.extend(splitter.push(chunk));
        }
        seen.extend(splitter.finish());
        seen.into_iter()
            .map(|entry| match entry {
                Entry::Line { level, pid, prefix, text, more } => {
                    format!("{pid} {prefix}{}: {text}{}", level.word(), if more { "…" } else { "" })
                }
                Entry::Raw(text) => format!("raw {text}"),
            })
            .collect()
    }

    #[test]
    fn frames_and_raw_text_share_a_pipe() {
        let mut bytes = b"printed\n".to_vec();
        frames(Level::Info, 7, "imap: ", "hello").into_iter().for_each(|frame| bytes.extend(frame));
        bytes.extend(b"half");
        for chunk in [1, 3, 1000] {
            assert_eq!(lines(&bytes, chunk), ["raw printed", "7 imap: Info: hello", "raw half"]);
        }
    }

    #[test]
    fn a_long_line_goes_on() {
        let all = frames(Level::Error, 1, "p: ", &"é".repeat(3000));
        assert!(all.len() == 2 && all.iter().all(|frame| frame.len() <= LOG_CHUNK_MAX));
        let seen = lines(&all.concat(), 500);
        assert_eq!(seen.iter().map(|line| line.matches('é').count()).sum::<usize>(), 3000);
        assert!(seen[0].ends_with('…') && !seen[1].ends_with('…'));
    }

    #[test]
    fn garbage_is_text() {
        assert_eq!(lines(b"\x01Z\n\x01\x01x\n", 2), ["raw Z", "raw x"]);
    }
}
