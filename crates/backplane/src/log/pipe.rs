//! Reading one service's log pipe, fairly: whoever writes faster than the log can be written waits
//! at his pipe, and the others have their turn.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base::Level;
use tokio::net::unix::pipe;

use super::source::Source;
use super::writer::Writer;
use crate::limits::{FLOOD_WARNING_AFTER, FLOOD_WARNING_EVERY, PIPE_TURN_BYTES};

/// The reading end of a pipe, and what came out of it so far.
#[derive(Debug)]
pub(super) struct Pipe {
    service: String,
    receiver: pipe::Receiver,
    source: Mutex<Source>,
    ended: AtomicBool,
}

/// How one turn of reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing more is there now.
    Empty,
    /// There may be more.
    More,
    /// All writers are gone.
    Ended,
}

impl Pipe {
    /// Must be called within a runtime.
    pub(super) fn new(service: &str, end: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            service: service.to_owned(),
            receiver: pipe::Receiver::from_owned_fd(end)?,
            source: Mutex::new(Source::new(service)),
            ended: AtomicBool::new(false),
        })
    }

    pub(super) fn service(&self) -> &str {
        &self.service
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether the process `pid` has written to this pipe.
    pub(super) fn knows(&self, pid: u32) -> bool {
        self.source().knows(pid)
    }

    /// Writes the master's line about the end of the process `pid`.
    pub(super) fn child_died(&self, pid: u32, text: &str, writer: &Writer) {
        let line = self.source().died(pid, text);
        if let Some(line) = line {
            writer.write(&line);
        }
    }

    /// Reads until the pipe ends.
    pub(super) async fn run(self: Arc<Self>, writer: Arc<Writer>) {
        let mut flood = Flood::default();
        loop {
            if let Err(error) = self.receiver.readable().await {
                writer.own(
                    Level::Error,
                    &format!("read(log {}) failed: {}", self.service, base::reason(&error)),
                );
                break;
            }
            match self.read_with(&writer, |buffer| self.receiver.try_read(buffer)) {
                Turn::Empty => flood = Flood::default(),
                Turn::More => {
                    if flood.is_news(Instant::now()) {
                        let text = format!(
                            "Log connection of service {} is sending input faster than we can write",
                            self.service
                        );
                        writer.own(Level::Warning, &text);
                    }
                    tokio::task::yield_now().await;
                }
                Turn::Ended => break,
            }
        }
        self.ended.store(true, Ordering::Relaxed);
        let rest = self.source().finish();
        rest.iter().for_each(|line| writer.write(line));
    }

    /// Reads what is there at this moment, up to a turn's worth, and writes it. The runtime may not
    /// have noticed yet that something is there, so the pipe itself is asked.
    pub(super) fn drain(&self, writer: &Writer) {
        self.read_with(writer, |buffer| Ok(rustix::io::read(&self.receiver, buffer)?));
    }

    fn read_with(&self, writer: &Writer, read: impl Fn(&mut [u8]) -> io::Result<usize>) -> Turn {
        let mut left = PIPE_TURN_BYTES;
        let mut buffer = [0; 8192];
        while left > 0 {
            match read(&mut buffer) {
                Ok(0) => return Turn::Ended,
                Ok(read) => {
                    left = left.saturating_sub(read);
                    let lines = self.source().push(buffer.get(..read).unwrap_or_default());
                    lines.iter().for_each(|line| writer.write(line));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Turn::Empty,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    writer.own(
                        Level::Error,
                        &format!("read(log {}) failed: {}", self.service, base::reason(&error)),
                    );
                    return Turn::Ended;
                }
            }
        }
        Turn::More
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Since when a pipe was never empty, and when that was last said.
#[derive(Debug, Default)]
struct Flood {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Flood {
    /// Whether a warning is due.
    fn is_news(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let due = match self.said {
            None => now.duration_since(since) >= FLOOD_WARNING_AFTER,
            Some(said) => now.duration_since(said) >= FLOOD_WARNING_EVERY,
        };
        if due {
            self.said = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;
    use std::time::Duration;

    use ipc::log::frames;
    use settings::Snapshot;

    use super::super::output::{Outputs, Paths};
    use super::*;

    fn writer(log: &Path) -> Arc<Writer> {
        let text = format!("log_path = {}\nlog_timestamp =\n", log.display());
        let settings = Arc::new(Snapshot::from_text(&text).unwrap());
        let outputs = Outputs::open(&Paths::of(&settings.root())).unwrap();
        Arc::new(Writer::new(outputs, settings))
    }

    #[tokio::test]
    async fn what_goes_into_a_pipe_comes_out_as_lines() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let writer = writer(&log);
        let (end, mut input) = io::pipe().unwrap();
        let pipe = Arc::new(Pipe::new("imap", end.into()).unwrap());
        let running = tokio::spawn(pipe.clone().run(writer.clone()));
        input.write_all(&frames(Level::Info, 7, "imap(u)<7><s>: ", "Logged out").concat()).unwrap();
        input.write_all(b"printed\nand cut off").unwrap();
        // The process is dead before its last line was read.
        pipe.drain(&writer);
        assert!(pipe.knows(7) && !pipe.knows(8));
        pipe.child_died(7, "service(imap): child 7 killed with signal 9", &writer);
        drop(input);
        running.await.unwrap();
        assert!(pipe.has_ended());
        assert_eq!(
            std::fs::read_to_string(&log).unwrap(),
            "imap(u)<7><s>: Info: Logged out\n\
             imap: Error: printed\n\
             imap(u)<7><s>: Fatal: master: service(imap): child 7 killed with signal 9\n\
             imap: Error: and cut off\n"
        );
        let kept: Vec<String> = writer.errors_since(0).into_iter().map(|line| line.text).collect();
        assert_eq!(kept.len(), 3);
        assert_eq!(writer.errors_since(u64::MAX).len(), 0);
    }

    #[tokio::test]
    async fn new_settings_mean_new_files() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory.path().join("old"));
        let text = format!("log_path = {}\nlog_timestamp =\n", directory.path().join("new").display());
        writer.use_settings(&Arc::new(Snapshot::from_text(&text).unwrap()));
        writer.own(Level::Info, "here");
        writer.use_settings(&Arc::new(Snapshot::from_text("log_path = /nonexistent/log\n").unwrap()));
        let new = std::fs::read_to_string(directory.path().join("new")).unwrap();
        let mut lines = new.lines();
        assert_eq!(lines.next(), Some("log: Info: here"));
        assert!(lines.next().unwrap().starts_with("log: Error: Can't open log file /nonexistent/log"));
    }

    #[test]
    fn a_flood_is_told_of_now_and_then() {
        let start = Instant::now();
        let mut flood = Flood::default();
        let seconds: Vec<u64> =
            (0..200).filter(|second| flood.is_news(start + Duration::from_secs(*second))).collect();
        assert_eq!(seconds, [1, 61, 121, 181]);
    }
}
