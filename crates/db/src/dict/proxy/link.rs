//! The connection to a `dict` process. It is kept for a while after an answer, and then given back, since
//! such a process usually has room for one client.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use base::tab;

use crate::dict::server::Address;
use crate::dict::wire::{self, Wire, unexpected};
use crate::limits::DICT_TIMEOUT;

/// Protocol 3.2: answers have numbers, and a lookup may give several values. 2.3 speaks all 3.x.
const VERSION: &str = "3\t2";

pub(super) struct Link {
    socket: String,
    /// Of the dictionary.
    name: String,
    idle: Duration,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    wire: Option<Wire>,
    until: Option<Instant>,
    /// Somebody waits to close it.
    is_watched: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// Nothing was sent.
    #[error("{0}")]
    NotConnected(String),
    /// Nobody knows what became of it.
    #[error("{socket}: {reason}")]
    Broken {
        socket: String,
        reason: String,
        /// The other side has gone, and has said nothing before.
        is_lost: bool,
    },
}

impl LinkError {
    pub(super) fn may_be_repeated(&self) -> bool {
        matches!(self, Self::Broken { is_lost: true, .. })
    }
}

/// The lines of an answer.
pub(super) struct Replies<'w> {
    wire: &'w mut Wire,
    /// What the process has called the command.
    number: Option<String>,
    seen: bool,
}

impl Replies<'_> {
    /// The words of the next line. Each line may take as long as a whole answer.
    pub(super) fn next(&mut self) -> io::Result<Vec<String>> {
        loop {
            self.wire.restart(DICT_TIMEOUT);
            let line = self.wire.unix_line()?;
            if let Some(number) = line.strip_prefix('*') {
                self.number = Some(number.to_owned());
                continue;
            }
            self.seen = true;
            let Some(numbered) = line.strip_prefix('+') else {
                return Ok(line.split('\t').map(tab::unescape).collect());
            };
            let (number, rest) = numbered.split_once('\t').ok_or_else(|| unexpected(&line))?;
            if self.number.as_deref() != Some(number) {
                return Err(unexpected(&line));
            }
            return Ok(rest.split('\t').map(tab::unescape).collect());
        }
    }
}

impl Link {
    pub(super) fn new(socket: String, name: String, idle: Duration) -> Self {
        Self { socket, name, idle, kept: Arc::default() }
    }

    /// Says something, and reads the answer.
    pub(super) fn exchange<T>(
        &mut self,
        text: &str,
        read: &mut dyn FnMut(&mut Replies<'_>) -> io::Result<T>,
    ) -> Result<T, LinkError> {
        let mut wire = self.wire()?;
        let broken = |error: &io::Error, seen: bool| {
            use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
            let is_lost = matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) && !seen;
            let reason = wire::reason(error, "Lookup", DICT_TIMEOUT);
            LinkError::Broken { socket: self.socket.clone(), reason, is_lost }
        };
        wire.send(text.as_bytes()).map_err(|error| broken(&error, false))?;
        let mut replies = Replies { wire: &mut wire, number: None, seen: false };
        let answer = read(&mut replies);
        let seen = replies.seen;
        let answer = answer.map_err(|error| broken(&error, seen))?;
        self.keep(wire);
        Ok(answer)
    }

    /// A connection that is ready for a command.
    fn wire(&self) -> Result<Wire, LinkError> {
        let kept = lock(&self.kept).wire.take();
        if let Some(mut wire) = kept.and_then(|mut wire| wire.is_idle().then_some(wire)) {
            wire.restart(DICT_TIMEOUT);
            return Ok(wire);
        }
        let failed = |error: io::Error| {
            let reason = base::reason(&error);
            LinkError::NotConnected(format!("net_connect_unix({}) failed: {reason}", self.socket))
        };
        let mut wire = Wire::connect(&Address::Unix(self.socket.clone()), DICT_TIMEOUT).map_err(failed)?;
        // Values are texts, and whose keys are meant comes with each command.
        let hello = format!("H{VERSION}\t0\t\t{}\n", tab::escape(&self.name));
        wire.send(hello.as_bytes()).map_err(failed)?;
        Ok(wire)
    }

    fn keep(&self, wire: Wire) {
        let mut kept = lock(&self.kept);
        kept.until = Some(Instant::now() + self.idle);
        if !kept.is_watched {
            let watched = Arc::downgrade(&self.kept);
            let watch = move || close_when_idle(&watched);
            // Without a thread that closes it, it is closed now.
            kept.is_watched = std::thread::Builder::new().name("dict-idle".into()).spawn(watch).is_ok();
        }
        kept.wire = kept.is_watched.then_some(wire);
    }
}

fn close_when_idle(watched: &Weak<Mutex<Kept>>) {
    // Nothing is held while it sleeps: when the dictionary goes, so does its connection.
    while let Some(left) = watched.upgrade().and_then(|kept| left_or_close(&kept)) {
        std::thread::sleep(left);
    }
}

fn left_or_close(kept: &Mutex<Kept>) -> Option<Duration> {
    let mut kept = lock(kept);
    let left = kept.until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.filter(|left| !left.is_zero());
    if left.is_none() {
        *kept = Kept::default();
    }
    left
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_idle_connection_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("dict");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut link = Link::new(socket.display().to_string(), "x".into(), Duration::from_millis(20));
        let server = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut heard = String::new();
            stream.read_line(&mut heard).unwrap();
            stream.read_line(&mut heard).unwrap();
            stream.get_mut().write_all(b"N\n").unwrap();
            // Comes to an end by itself.
            stream.read_to_string(&mut heard).unwrap();
            heard
        });
        link.exchange("La\t\n", &mut |replies| replies.next()).unwrap();
        assert_eq!(server.join().unwrap(), "H3\t2\t0\t\tx\nLa\t\n");
    }
}
