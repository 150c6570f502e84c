//! The master's own lines. They go into a log pipe like everybody's; should the log process be away
//! for so long that the pipe is full, they wait here, since the master must never.

use std::collections::VecDeque;
use std::fmt::Display;
use std::os::fd::{AsFd, OwnedFd};

use base::log::Level;

/// Lines that wait at most; beyond that the oldest go.
const LINES_MAX: usize = 1000;

/// Where lines go.
#[derive(Debug)]
pub(crate) struct OwnLog {
    pipe: OwnedFd,
    waiting: VecDeque<Vec<u8>>,
}

impl OwnLog {
    /// Over the writing end of a log pipe.
    pub(crate) fn new(pipe: OwnedFd) -> std::io::Result<Self> {
        Ok(Self { pipe, waiting: VecDeque::new() })
    }

    pub(crate) fn info(&mut self, text: impl Display) {
        self.write(Level::Info, &text.to_string());
    }

    pub(crate) fn warning(&mut self, text: impl Display) {
        self.write(Level::Warning, &text.to_string());
    }

    pub(crate) fn error(&mut self, text: impl Display) {
        self.write(Level::Error, &text.to_string());
    }

    fn write(&mut self, level: Level, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.waiting.extend(ipc::log::frames(level, std::process::id(), "master: ", &text));
        while self.waiting.len() > LINES_MAX {
            self.waiting.pop_front();
        }
        self.flush();
    }

    /// Writes what waits, as far as the pipe takes it. Frames are written whole or not at all.
    pub(crate) fn flush(&mut self) {
        while let Some(frame) = self.waiting.front() {
            match rustix::io::write(self.pipe.as_fd(), frame) {
                Ok(_) => drop(self.waiting.pop_front()),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}
