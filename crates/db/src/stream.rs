//! Connections for drivers that block. A limit of time for each read does not help against a server that
//! sends a byte now and then; here all that belongs to one question has one deadline.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

/// A connection in both directions, encrypted or not.
pub(crate) trait Stream: Read + Write + Send {
    /// When everything that is read and written from now on has to be done.
    fn set_deadline(&mut self, deadline: Instant);
}

impl Stream for Box<dyn Stream> {
    fn set_deadline(&mut self, deadline: Instant) {
        (**self).set_deadline(deadline);
    }
}

impl<S: Stream> Stream for StreamOwned<ClientConnection, S> {
    fn set_deadline(&mut self, deadline: Instant) {
        self.sock.set_deadline(deadline);
    }
}

/// A socket with a deadline.
pub(crate) struct Timed<S> {
    socket: S,
    deadline: Instant,
}

/// What [`Timed`] needs of a socket.
pub(crate) trait Socket: Read + Write + Send {
    fn limit_read(&self, left: Duration) -> io::Result<()>;
    fn limit_write(&self, left: Duration) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn limit_read(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))
    }

    fn limit_write(&self, left: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(left))
    }
}

impl Socket for UnixStream {
    fn limit_read(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))
    }

    fn limit_write(&self, left: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(left))
    }
}

impl<S: Socket> Timed<S> {
    pub(crate) fn new(socket: S, deadline: Instant) -> Self {
        Self { socket, deadline }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        left.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

impl<S: Socket> Read for Timed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.limit_read(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl<S: Socket> Write for Timed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.limit_write(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl<S: Socket> Stream for Timed<S> {
    fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

/// Connects over TCP: to each of the host's addresses for no longer than `each`, and to all of them before
/// the deadline.
///
/// # Errors
/// Why the last of them could not be reached.
pub(crate) fn connect(
    host: &str,
    port: u16,
    each: Duration,
    deadline: Instant,
) -> io::Result<Timed<TcpStream>> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now()).min(each);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(Timed::new(stream, deadline));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects to a unix socket.
///
/// # Errors
/// Nobody is there.
pub(crate) fn connect_unix(path: &Path, deadline: Instant) -> io::Result<Timed<UnixStream>> {
    Ok(Timed::new(UnixStream::connect(path)?, deadline))
}

/// What a server says to whatever it is asked, for tests and fuzz targets: the end comes behind it.
pub(crate) struct Said {
    said: io::Cursor<Vec<u8>>,
    /// What it heard.
    pub(crate) heard: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Said {
    pub(crate) fn new(said: &[u8]) -> Self {
        Self { said: io::Cursor::new(said.to_vec()), heard: std::sync::Arc::default() }
    }
}

impl Read for Said {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.said.read(buffer)
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut heard = self.heard.lock().map_err(|_| io::Error::other("poisoned"))?;
        heard.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Said {
    fn set_deadline(&mut self, _: Instant) {}
}

/// Why a server gave no answer, for the log.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "Timed out".into(),
        io::ErrorKind::UnexpectedEof => "The server closed the connection".into(),
        _ => base::reason(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte now and then is within every limit of a single read.
    #[test]
    fn a_server_that_dawdles_is_not_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let dawdler = std::thread::spawn(move || {
            while theirs.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let mut timed = Timed::new(ours, Instant::now() + Duration::from_millis(200));
        let error = timed.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");
        // A new question has a new deadline.
        timed.set_deadline(Instant::now() + Duration::from_secs(60));
        timed.read_exact(&mut [0; 2]).unwrap();
        drop(timed);
        dawdler.join().unwrap();
    }

    #[test]
    fn a_server_that_does_not_read_is_not_waited_for() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut timed = Timed::new(ours, Instant::now() + Duration::from_millis(200));
        assert!(timed.write_all(&vec![0; 16 << 20]).is_err());
    }
}
