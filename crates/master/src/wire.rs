//! Frames to and from a peer that must never make the master wait: what the socket does not take
//! now waits in a queue.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc::Decoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A peer that lets so much pile up does not read any more.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Descriptors that may arrive before someone asks for them.
const DESCRIPTORS_MAX: usize = 4;

/// One peer.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: OwnedFd,
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
    queue: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    queued_bytes: usize,
    is_closed: bool,
}

/// What reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Perhaps whole messages.
    Bytes,
    /// The peer is gone.
    End,
}

impl Wire {
    /// Over a connected socket, which becomes non-blocking.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket,
            decoder: Decoder::new(),
            descriptors: VecDeque::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            is_closed: false,
        })
    }

    /// Sends a message, now or later.
    pub(crate) fn send<T: Serialize>(&mut self, message: &T, descriptor: Option<BorrowedFd<'_>>) {
        let Ok(frame) = ipc::encode(message) else {
            self.is_closed = true;
            return;
        };
        let descriptor = match descriptor.map(|fd| fd.try_clone_to_owned()) {
            None => None,
            Some(Ok(copy)) => Some(copy),
            Some(Err(_)) => {
                // Without the descriptor the message means nothing; the peer would misunderstand.
                self.is_closed = true;
                return;
            }
        };
        self.queued_bytes += frame.len();
        self.queue.push_back((frame, descriptor));
        self.flush();
        if self.queued_bytes > QUEUE_BYTES_MAX {
            self.is_closed = true;
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self) {
        while let Some((frame, descriptor)) = self.queue.front_mut() {
            let beside: Vec<BorrowedFd<'_>> = descriptor.iter().map(AsFd::as_fd).collect();
            match sys::pass::send(&self.socket, frame, &beside) {
                Ok(sent) => {
                    self.queued_bytes -= sent;
                    *descriptor = None;
                    frame.drain(..sent);
                    if frame.is_empty() {
                        self.queue.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.is_closed = true;
                    self.queue.clear();
                    return;
                }
            }
        }
    }

    /// Whether something waits to be written.
    pub(crate) fn wants_write(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self) -> Heard {
        let mut buffer = [0; 4096];
        let mut arrived = Vec::new();
        match sys::pass::receive(&self.socket, &mut buffer, &mut arrived) {
            Ok(0) => self.is_closed = true,
            Ok(read) => {
                self.decoder.push(&buffer[..read]);
                self.descriptors.extend(arrived);
                self.is_closed |= self.descriptors.len() > DESCRIPTORS_MAX;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.is_closed = true,
        }
        if self.is_closed { Heard::End } else { Heard::Bytes }
    }

    /// The next whole message. A message that is not permitted ends the connection.
    pub(crate) fn message<T: DeserializeOwned>(&mut self) -> Option<T> {
        match self.decoder.message() {
            Ok(message) => message,
            Err(_) => {
                self.is_closed = true;
                None
            }
        }
    }

    /// The descriptor that came with the message just taken.
    pub(crate) fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
