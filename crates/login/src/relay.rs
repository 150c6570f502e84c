//! A client that is logged in to another server: bytes go back and forth until either side ends. Unlike
//! [`crate::proxy`] this one counts, and says at the end whose end it was. An idle connection holds no
//! buffer; one step's buffer lives on the stack.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::PROXY_STEP_BYTES;

/// After this many steps the other direction and the other connections get their turn.
const STEPS_AT_ONCE: usize = 4;

/// A connection, encrypted or not.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Both connections.
pub(crate) struct Relay {
    pub(crate) client: Box<dyn Duplex>,
    pub(crate) server: Box<dyn Duplex>,
    to_server: Lane,
    to_client: Lane,
    last_io: Instant,
}

/// Who has ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) by: Side,
    /// What was wrong, in the system's words; empty for an orderly end.
    pub(crate) error: String,
}

impl Relay {
    /// `sent` are the bytes that went to the server and to the client before, `unsent` those that are to
    /// go to them first.
    pub(crate) fn new(
        client: Box<dyn Duplex>,
        server: Box<dyn Duplex>,
        sent: (u64, u64),
        unsent: (Vec<u8>, Vec<u8>),
    ) -> Self {
        let lane = |sent, left| Lane { left, sent, is_flushing: false };
        let (to_server, to_client) = (lane(sent.0, unsent.0), lane(sent.1, unsent.1));
        Self { client, server, to_server, to_client, last_io: Instant::now() }
    }

    /// Goes on until either side ends. Cancelling loses nothing.
    pub(crate) async fn run(&mut self) -> Ended {
        poll_fn(|context| {
            let Self { client, server, to_server, to_client, last_io } = self;
            let up = to_server.poll(context, &mut **client, &mut **server, last_io);
            if let Poll::Ready(end) = up {
                return Poll::Ready(end.of(Side::Client));
            }
            to_client.poll(context, &mut **server, &mut **client, last_io).map(|end| end.of(Side::Server))
        })
        .await
    }

    /// When a byte moved last.
    pub(crate) fn last_io(&self) -> Instant {
        self.last_io
    }

    /// `(0s idle, in=215, out=643)`: bytes to the server and to the client, and what was not taken.
    pub(crate) fn counts(&self) -> String {
        let (up, down) = (&self.to_server, &self.to_client);
        let mut text =
            format!("({}s idle, in={}, out={}", self.last_io.elapsed().as_secs(), up.sent, down.sent);
        if !down.left.is_empty() {
            text.push_str(&format!("+{}, client output blocked", down.left.len()));
        }
        if !up.left.is_empty() {
            text.push_str(", server output blocked");
        }
        text.push(')');
        text
    }
}

/// Why a lane ends.
enum End {
    /// Its source is through.
    Source(String),
    /// Its destination takes no more.
    Destination(String),
}

impl End {
    fn of(self, source: Side) -> Ended {
        match (self, source) {
            (Self::Source(error), by) => Ended { by, error },
            (Self::Destination(error), Side::Client) => Ended { by: Side::Server, error },
            (Self::Destination(error), Side::Server) => Ended { by: Side::Client, error },
        }
    }
}

/// One direction. `left` holds what the receiver has not taken yet; nothing is read meanwhile.
#[derive(Debug, Default)]
struct Lane {
    left: Vec<u8>,
    sent: u64,
    is_flushing: bool,
}

impl Lane {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut dyn Duplex,
        to: &mut dyn Duplex,
        last_io: &mut Instant,
    ) -> Poll<End> {
        for _ in 0..STEPS_AT_ONCE {
            if let Err(error) = ready!(self.deliver(context, to)) {
                return Poll::Ready(End::Destination(write_failed(&error)));
            }
            let mut memory = [MaybeUninit::uninit(); PROXY_STEP_BYTES];
            let mut buffer = ReadBuf::uninit(&mut memory);
            match ready!(Pin::new(&mut *from).poll_read(context, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(End::Source(String::new())),
                Ok(()) => self.left.extend_from_slice(buffer.filled()),
                // A peer that speaks TLS and just hangs up.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(End::Source(String::new()));
                }
                Err(error) => {
                    let reason = base::reason(&error);
                    return Poll::Ready(End::Source(format!(
                        "read(size={PROXY_STEP_BYTES}) failed: {reason}"
                    )));
                }
            }
            *last_io = Instant::now();
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn deliver(&mut self, context: &mut Context<'_>, to: &mut dyn Duplex) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(context, &self.left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => {
                    self.left.drain(..count);
                    self.sent += count as u64;
                }
            }
            self.is_flushing = true;
        }
        self.left = Vec::new();
        if self.is_flushing {
            ready!(Pin::new(&mut *to).poll_flush(context))?;
            self.is_flushing = false;
        }
        Poll::Ready(Ok(()))
    }
}

fn write_failed(error: &io::Error) -> String {
    format!("write() failed: {}", base::reason(error))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn counts_and_says_whose_end_it_was() {
        let (mut client, near) = UnixStream::pair().unwrap();
        let (far, mut server) = UnixStream::pair().unwrap();
        let unsent = (b"early".to_vec(), b"hello".to_vec());
        let mut relay = Relay::new(Box::new(near), Box::new(far), (10, 20), unsent);
        let running = tokio::spawn(async move {
            let ended = relay.run().await;
            (ended, relay.counts())
        });
        let big = vec![7; 500_000];
        let send = big.clone();
        let sending = tokio::spawn(async move {
            client.write_all(&send).await.unwrap();
            client
        });
        let mut got = vec![0; 5 + big.len()];
        server.read_exact(&mut got).await.unwrap();
        assert!(got.starts_with(b"early") && got.ends_with(&big));
        let mut client = sending.await.unwrap();
        server.write_all(b"bye").await.unwrap();
        drop(server);
        let mut last = Vec::new();
        client.read_to_end(&mut last).await.unwrap();
        assert_eq!(last, b"hellobye");
        let (ended, counts) = running.await.unwrap();
        assert_eq!(ended, Ended { by: Side::Server, error: String::new() });
        assert_eq!(counts, "(0s idle, in=500015, out=28)");
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_it() {
        let (client, near) = UnixStream::pair().unwrap();
        let (far, mut server) = UnixStream::pair().unwrap();
        let mut relay = Relay::new(Box::new(near), Box::new(far), (0, 0), Default::default());
        drop(client);
        assert_eq!(relay.run().await, Ended { by: Side::Client, error: String::new() });
        drop(relay);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
