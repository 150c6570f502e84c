//! The inherited listening sockets, all of them at once.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use ipc::control::{Listener, ListenerKind};
use service::Stream;
use tokio::net::{TcpListener, UnixListener};

/// Accepts clients.
#[derive(Debug)]
pub(crate) struct Acceptor {
    sockets: Vec<(Arc<Listener>, Socket)>,
    /// The listener that gets its turn first next time, so that none starves.
    next: usize,
}

/// A client, just connected.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    /// Its address; none over a unix socket.
    pub(crate) remote: Option<SocketAddr>,
    /// The listener it came by.
    pub(crate) listener: Arc<Listener>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    /// Over the listeners of this process. Must be called within a runtime.
    ///
    /// # Errors
    /// When one of them cannot be watched.
    pub(crate) fn new(listeners: Vec<(Listener, OwnedFd)>) -> io::Result<Self> {
        let sockets = listeners.into_iter().map(|(listener, socket)| {
            let socket = match &listener.kind {
                ListenerKind::Inet { .. } => {
                    let socket = std::net::TcpListener::from(socket);
                    socket.set_nonblocking(true)?;
                    Socket::Tcp(TcpListener::from_std(socket)?)
                }
                _ => {
                    let socket = std::os::unix::net::UnixListener::from(socket);
                    socket.set_nonblocking(true)?;
                    Socket::Unix(UnixListener::from_std(socket)?)
                }
            };
            Ok((Arc::new(listener), socket))
        });
        Ok(Self { sockets: sockets.collect::<io::Result<_>>()?, next: 0 })
    }

    /// The next client. Errors are those of `accept`; the next call may well
    /// succeed.
    pub(crate) async fn accept(&mut self) -> io::Result<Accepted> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let count = self.sockets.len();
        for turn in 0..count {
            let at = (self.next + turn) % count;
            let Some((listener, socket)) = self.sockets.get(at) else { continue };
            let accepted = match socket {
                Socket::Tcp(socket) => {
                    socket.poll_accept(context).map_ok(|(stream, peer)| (Stream::Tcp(stream), Some(peer)))
                }
                Socket::Unix(socket) => {
                    socket.poll_accept(context).map_ok(|(stream, _)| (Stream::Unix(stream), None))
                }
            };
            if let Poll::Ready(accepted) = accepted {
                self.next = at + 1;
                let listener = listener.clone();
                return Poll::Ready(accepted.map(|(stream, remote)| Accepted { stream, remote, listener }));
            }
        }
        Poll::Pending
    }

    /// Stops listening.
    pub(crate) fn close(&mut self) {
        self.sockets.clear();
    }
}
