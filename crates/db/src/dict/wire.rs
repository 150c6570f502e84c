//! A connection to a server, with one deadline for all of an exchange.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::server::Address;
use crate::limits::DICT_VALUE_BYTES_MAX;

pub(super) struct Wire {
    stream: Stream,
    received: Vec<u8>,
    deadline: Instant,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    pub(super) fn connect(address: &Address, timeout: Duration) -> io::Result<Self> {
        let stream = match address {
            Address::Unix(path) => UnixStream::connect(path).map(Stream::Unix)?,
            Address::Tcp(ip, port) => {
                let stream = TcpStream::connect_timeout(&SocketAddr::new(*ip, *port), timeout)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
        };
        Ok(Self { stream, received: Vec::new(), deadline: Instant::now() + timeout })
    }

    /// Whether the server has been silent and the connection stands, as far as that can be seen.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut byte = [0];
        let seen = match &mut self.stream {
            Stream::Tcp(stream) => stream.set_nonblocking(true).and_then(|()| {
                let seen = stream.peek(&mut byte);
                stream.set_nonblocking(false).and(seen)
            }),
            Stream::Unix(stream) => stream.set_nonblocking(true).and_then(|()| {
                let seen = stream.read(&mut byte);
                stream.set_nonblocking(false).and(seen)
            }),
        };
        self.received.is_empty() && matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The next exchange has so long from now.
    pub(super) fn restart(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
    }

    fn remaining(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = Some(self.remaining()?);
        match &mut self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(left).and_then(|()| stream.write_all(bytes)),
            Stream::Unix(stream) => stream.set_write_timeout(left).and_then(|()| stream.write_all(bytes)),
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let left = Some(self.remaining()?);
        let mut buffer = [0; 4096];
        let count = match &mut self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(&mut buffer)),
            Stream::Unix(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(&mut buffer)),
        }?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        match self.received.len() > DICT_VALUE_BYTES_MAX + buffer.len() {
            true => Err(io::Error::other("the answer is too long")),
            false => Ok(()),
        }
    }

    /// The next bytes.
    pub(super) fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        if count > DICT_VALUE_BYTES_MAX {
            return Err(io::Error::other("the answer is too long"));
        }
        while self.received.len() < count {
            self.receive()?;
        }
        Ok(self.received.drain(..count).collect())
    }

    /// The next line, without the CRLF at its end.
    pub(super) fn line(&mut self) -> io::Result<String> {
        self.until(b"\r\n")
    }

    /// The next line, without the LF at its end.
    pub(super) fn unix_line(&mut self) -> io::Result<String> {
        self.until(b"\n")
    }

    fn until(&mut self, mark: &[u8]) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.windows(mark.len()).position(|seen| seen == mark) {
                let line = self.take(end + mark.len())?;
                let text = line.get(..end).unwrap_or_default().to_vec();
                return String::from_utf8(text).map_err(io::Error::other);
            }
            self.receive()?;
        }
    }
}

/// Whether the connection that was kept, if there is one, still stands.
fn is_ready(kept: &mut Option<Wire>) -> bool {
    *kept = kept.take().and_then(|mut wire| wire.is_idle().then_some(wire));
    kept.is_some()
}

/// Does something over the connection that was kept, or over a new one after `greet`; it is kept if all
/// goes well.
pub(super) fn over<T>(
    kept: &mut Option<Wire>,
    address: &Address,
    timeout: Duration,
    greet: impl FnOnce(&mut Wire) -> io::Result<()>,
    act: impl FnOnce(&mut Wire) -> io::Result<T>,
) -> io::Result<T> {
    let mut wire = match is_ready(kept).then(|| kept.take()).flatten() {
        Some(mut wire) => {
            wire.restart(timeout);
            wire
        }
        None => {
            let mut wire = Wire::connect(address, timeout)?;
            greet(&mut wire)?;
            wire
        }
    };
    // After an error nobody knows what comes next on it.
    let done = act(&mut wire)?;
    *kept = Some(wire);
    Ok(done)
}

/// A failure in words, with the time that it took.
pub(super) fn reason(error: &io::Error, what: &str, timeout: Duration) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            format!("{what} timed out in {}.{:03} secs", timeout.as_secs(), timeout.subsec_millis())
        }
        io::ErrorKind::UnexpectedEof => "Communication failure: Connection closed".into(),
        _ => format!("Communication failure: {}", base::reason(error)),
    }
}

/// A value as text.
pub(super) fn utf8(value: Vec<u8>) -> io::Result<String> {
    String::from_utf8(value).map_err(|_| io::Error::other("the value is not UTF-8"))
}

/// The server says something that it must not say.
pub(super) fn unexpected(line: &str) -> io::Error {
    let shown: String = line.chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect();
    io::Error::other(format!("Unexpected input: {shown}"))
}
