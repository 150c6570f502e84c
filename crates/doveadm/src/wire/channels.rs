//! Output and log lines in one stream: packets of a channel's number (a byte), a length (4 bytes, most
//! significant first) and so many bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use base::log::Level;

/// The channel of what a command prints.
pub(crate) const OUTPUT: u8 = 0;
/// The channel of log lines: a byte for the level, the line, a newline.
pub(crate) const LOG: u8 = b'L';

const HEADER_BYTES: usize = 5;
/// Bytes in one packet. A reader need not keep a packet, so any size is fine.
const PACKET_BYTES: usize = 16 * 1024;

const LEVELS: [(u8, Level); 6] = [
    (1, Level::Debug),
    (2, Level::Info),
    (3, Level::Warning),
    (4, Level::Error),
    (5, Level::Fatal),
    (6, Level::Panic),
];

/// The byte for a level.
pub(crate) fn code_of_level(level: Level) -> u8 {
    LEVELS.iter().find(|(_, known)| *known == level).map_or(4, |(code, _)| *code)
}

/// The reverse.
pub(crate) fn level_of_code(code: u8) -> Option<Level> {
    LEVELS.iter().find(|(known, _)| *known == code).map(|(_, level)| *level)
}

/// The writing end, for whoever prints and whoever logs.
#[derive(Clone, Debug)]
pub(crate) struct Channels(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    output: File,
    multiplexed: bool,
    broken: bool,
}

impl Channels {
    /// Writes to `output`, without packets until [`multiplex`](Self::multiplex).
    pub(crate) fn new(output: File) -> Self {
        Self(Arc::new(Mutex::new(Line { output, multiplexed: false, broken: false })))
    }

    /// From now on there are packets.
    pub(crate) fn multiplex(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).multiplexed = true;
    }

    /// Writes bytes into a channel. Without packets there is no channel but [`OUTPUT`].
    pub(crate) fn send(&self, channel: u8, bytes: &[u8]) -> io::Result<()> {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if line.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sent = line.send(channel, bytes);
        line.broken = sent.is_err();
        sent
    }
}

impl Line {
    fn send(&mut self, channel: u8, bytes: &[u8]) -> io::Result<()> {
        if !self.multiplexed {
            return if channel == OUTPUT { self.output.write_all(bytes) } else { Ok(()) };
        }
        for piece in bytes.chunks(PACKET_BYTES) {
            let mut packet = Vec::with_capacity(HEADER_BYTES + piece.len());
            packet.push(channel);
            // A piece is never that long.
            packet.extend(u32::try_from(piece.len()).unwrap_or(0).to_be_bytes());
            packet.extend(piece);
            self.output.write_all(&packet)?;
        }
        Ok(())
    }
}

/// What is printed.
impl Write for Channels {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(OUTPUT, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct Packets<R> {
    input: R,
    channel: u8,
    remaining: u32,
}

impl<R: Read> Packets<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, channel: OUTPUT, remaining: 0 }
    }

    /// Some bytes and their channel; `None` at the end. Empty packets are passed over.
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> io::Result<Option<(u8, usize)>> {
        while self.remaining == 0 {
            let mut header = [0; HEADER_BYTES];
            if !read_header(&mut self.input, &mut header)? {
                return Ok(None);
            }
            let [channel, length @ ..] = header;
            (self.channel, self.remaining) = (channel, u32::from_be_bytes(length));
        }
        let most = buffer.len().min(self.remaining as usize);
        let count = read_some(&mut self.input, buffer.get_mut(..most).unwrap_or_default())?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.remaining -= u32::try_from(count).unwrap_or(self.remaining).min(self.remaining);
        Ok(Some((self.channel, count)))
    }
}

fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// `false` if the stream ended before the first byte.
fn read_header(input: &mut impl Read, header: &mut [u8]) -> io::Result<bool> {
    let count = read_some(input, header)?;
    if count == 0 {
        return Ok(false);
    }
    input.read_exact(header.get_mut(count..).unwrap_or_default()).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_arrives_in_its_channel() {
        let mut file = tempfile::tempfile().unwrap();
        let channels = Channels::new(file.try_clone().unwrap());
        channels.send(LOG, b"not yet\n").unwrap();
        channels.send(OUTPUT, b"+\n").unwrap();
        channels.multiplex();
        channels.send(OUTPUT, b"one\t").unwrap();
        channels.send(LOG, b"\x04bad\n").unwrap();
        channels.send(OUTPUT, &[b'x'; PACKET_BYTES + 1]).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut plain = [0; 2];
        file.read_exact(&mut plain).unwrap();
        assert_eq!(&plain, b"+\n");
        let (mut packets, mut buffer) = (Packets::new(file), vec![0; 2 * PACKET_BYTES]);
        assert_eq!(packets.next(&mut buffer).unwrap(), Some((OUTPUT, 4)));
        assert_eq!(packets.next(&mut buffer).unwrap(), Some((LOG, 5)));
        assert_eq!(packets.next(&mut buffer).unwrap(), Some((OUTPUT, PACKET_BYTES)));
        assert_eq!(packets.next(&mut buffer).unwrap(), Some((OUTPUT, 1)));
        assert_eq!(packets.next(&mut buffer).unwrap(), None);
    }

    #[test]
    fn half_a_packet_is_an_error() {
        let mut buffer = [0; 10];
        assert!(Packets::new(&b"\0\0"[..]).next(&mut buffer).is_err());
        let mut packets = Packets::new(&b"\0\0\0\0\x02x"[..]);
        assert_eq!(packets.next(&mut buffer).unwrap(), Some((0, 1)));
        assert!(packets.next(&mut buffer).is_err());
    }
}
