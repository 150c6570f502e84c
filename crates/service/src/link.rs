//! A connection over which frames of [`ipc`] travel, with descriptors beside them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ipc::{Decoder, FrameError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::birth::Line;
use crate::limits::{DESCRIPTORS_PENDING_MAX, LINK_READ_BYTES};

/// Why a link broke. It is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("connection failed")]
    Io(#[source] io::Error),
    /// The peer sent something that is not permitted on this socket.
    #[error("peer sent something that is not permitted")]
    Frame(#[source] FrameError),
    /// A message came without the descriptor that belongs to it, or with too many.
    #[error("message without its descriptor")]
    Descriptor,
    /// The peer closed the connection in the middle of a message, or where an answer was due.
    #[error("connection closed by peer")]
    Closed,
}

/// Frames in both directions over a unix socket.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
}

impl Link {
    /// Over an accepted or connected socket.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, decoder: Decoder::new(), descriptors: VecDeque::new() }
    }

    /// Over a socket that was passed. Must be called within a runtime.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub fn from_descriptor(socket: OwnedFd) -> Result<Self, LinkError> {
        let stream = std::os::unix::net::UnixStream::from(socket);
        stream.set_nonblocking(true).map_err(LinkError::Io)?;
        UnixStream::from_std(stream).map(Self::new).map_err(LinkError::Io)
    }

    /// Goes on with a line that another runtime had. Must be called within a runtime.
    pub(crate) fn resume(line: Line) -> Result<Self, LinkError> {
        let mut link = Self::from_descriptor(line.socket)?;
        link.decoder = line.decoder;
        link.descriptors = line.descriptors;
        Ok(link)
    }

    /// Takes the line out of this runtime.
    pub(crate) fn pause(self) -> Result<Line, LinkError> {
        let socket = self.stream.into_std().map_err(LinkError::Io)?.into();
        Ok(Line { socket, decoder: self.decoder, descriptors: self.descriptors })
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// Those of `connect`.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, LinkError> {
        UnixStream::connect(path).await.map(Self::new).map_err(LinkError::Io)
    }

    /// Sends `message`. Not to be cancelled half-way: a torn frame breaks the link.
    ///
    /// # Errors
    /// Those of the socket, and a message beyond the size limit.
    pub async fn send<T: Serialize>(&self, message: &T) -> Result<(), LinkError> {
        self.send_with(message, &[]).await
    }

    /// Sends `message` with `descriptors` beside it.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub async fn send_with<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), LinkError> {
        let frame = ipc::encode(message).map_err(LinkError::Frame)?;
        let mut rest = frame.as_slice();
        let mut descriptors = descriptors;
        while !rest.is_empty() {
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || sys::pass::send(self.stream.as_fd(), rest, descriptors))
                .await
                .map_err(LinkError::Io)?;
            rest = &rest[sent..];
            descriptors = &[];
        }
        Ok(())
    }

    /// The next message; `None` when the peer has closed the connection between two messages.
    /// Cancelling loses nothing.
    ///
    /// # Errors
    /// Those of the socket and of the frame.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LinkError> {
        loop {
            if let Some(message) = self.decoder.message().map_err(LinkError::Frame)? {
                return Ok(Some(message));
            }
            let mut buffer = [0; LINK_READ_BYTES];
            let mut arrived = Vec::new();
            let socket = self.stream.as_fd();
            let read = self
                .stream
                .async_io(Interest::READABLE, || sys::pass::receive(socket, &mut buffer, &mut arrived))
                .await
                .map_err(LinkError::Io)?;
            self.descriptors.extend(arrived);
            if self.descriptors.len() > DESCRIPTORS_PENDING_MAX {
                return Err(LinkError::Descriptor);
            }
            match read {
                0 => return Ok(None),
                read => self.decoder.push(&buffer[..read]),
            }
        }
    }

    /// The next message where one is due.
    ///
    /// # Errors
    /// As [`Link::receive`], and [`LinkError::Closed`].
    pub async fn expect<T: DeserializeOwned>(&mut self) -> Result<T, LinkError> {
        self.receive().await?.ok_or(LinkError::Closed)
    }

    /// The descriptor that belongs to the message just received. One message after the other takes
    /// its own, in order.
    ///
    /// # Errors
    /// [`LinkError::Descriptor`] when the peer sent none.
    pub fn descriptor(&mut self) -> Result<OwnedFd, LinkError> {
        self.descriptors.pop_front().ok_or(LinkError::Descriptor)
    }

    /// The descriptor of the message just received, where there may be none.
    pub fn descriptor_if_any(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    /// Who the peer is.
    ///
    /// # Errors
    /// Those of `getsockopt`.
    pub fn peer(&self) -> io::Result<sys::peer::Peer> {
        sys::peer::credentials(self.stream.as_fd())
    }

    /// The socket itself, to be passed on or moved to another runtime. Bytes read but not yet taken
    /// as messages stay behind, so it must be between messages.
    ///
    /// # Errors
    /// When it cannot be taken out of this runtime.
    pub fn into_socket(self) -> Result<OwnedFd, LinkError> {
        Ok(self.stream.into_std().map_err(LinkError::Io)?.into())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
