//! A client's socket, whatever it is made of.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A TCP or unix stream.
#[derive(Debug)]
pub enum Stream {
    /// From an `inet_listener`.
    Tcp(TcpStream),
    /// From a `unix_listener`, or a socket pair.
    Unix(UnixStream),
    /// Not watched for a while, see [`Stream::unwatch`].
    Unwatched(OwnedFd),
}

impl Stream {
    /// Over a socket that was passed. Must be called within a runtime.
    ///
    /// # Errors
    /// When it is no stream socket or cannot be watched.
    pub fn from_descriptor(socket: OwnedFd) -> io::Result<Self> {
        let domain = rustix::net::sockopt::socket_domain(&socket)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        match domain == rustix::net::AddressFamily::UNIX {
            true => UnixStream::from_std(socket.into()).map(Self::Unix),
            false => TcpStream::from_std(socket.into()).map(Self::Tcp),
        }
    }

    /// The bare socket, to be passed on.
    ///
    /// # Errors
    /// When it cannot be taken out of the runtime.
    pub fn into_descriptor(self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(OwnedFd::from),
            Self::Unix(stream) => stream.into_std().map(OwnedFd::from),
            Self::Unwatched(socket) => Ok(socket),
        }
    }

    /// Takes it out of the runtime, for a thread that does nothing else: else each arrival would wake another
    /// thread that only finds that it has nothing to do. Until [`watch`](Self::watch) everything that may wait
    /// is an error.
    ///
    /// # Errors
    /// When there is no descriptor left; it is watched on.
    pub fn unwatch(&mut self) -> io::Result<()> {
        if !matches!(self, Self::Unwatched(_)) {
            *self = Self::Unwatched(self.as_fd().try_clone_to_owned()?);
        }
        Ok(())
    }

    /// Gives it back to the runtime. Must be called within it.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn watch(&mut self) -> io::Result<()> {
        if let Self::Unwatched(socket) = self {
            *self = Self::from_descriptor(socket.try_clone()?)?;
        }
        Ok(())
    }

    /// Waits until something can be read (or the peer is gone), without holding a buffer.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.ready(Interest::READABLE).await.map(drop),
            Self::Unix(stream) => stream.ready(Interest::READABLE).await.map(drop),
            Self::Unwatched(_) => Err(unwatched()),
        }
    }

    /// Sends as many bytes as the socket takes without waiting, for a thread that may not wait; how many.
    ///
    /// # Errors
    /// Those of `send`; `WouldBlock` if it takes none.
    pub fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(rustix::io::retry_on_intr(|| rustix::net::send(self, bytes, flags))?)
    }

    /// Appends what arrives within `patience` to `buffer`, up to its capacity, which must not be used up,
    /// for a thread that may block; how many bytes. None at all is the end of the stream.
    ///
    /// # Errors
    /// Those of `recv`; `WouldBlock` if nothing came.
    pub fn receive_within(&self, patience: Duration, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let within = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut socket = [PollFd::new(self, PollFlags::IN)];
        if rustix::event::poll(&mut socket, Some(&within))? == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let room = rustix::buffer::spare_capacity(buffer);
        Ok(rustix::net::recv(self, room, RecvFlags::DONTWAIT)?.1)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Unwatched(socket) => socket.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unwatched(_) => Poll::Ready(Err(unwatched())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unwatched(_) => Poll::Ready(Err(unwatched())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unwatched(_) => Poll::Ready(Err(unwatched())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unwatched(_) => Poll::Ready(Err(unwatched())),
        }
    }
}

fn unwatched() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "socket is not watched")
}
