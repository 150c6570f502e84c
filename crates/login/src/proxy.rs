//! TLS after login: bytes go back and forth between the client and the mail process's end of a socket
//! pair. An idle connection holds no buffer; one step's buffer lives on the stack.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::PROXY_STEP_BYTES;

/// Copies until both directions are through, or one fails. The client's half-close is passed on; once
/// the mail process closes, what it has said is delivered and the client is told that this was all.
pub(crate) async fn pump<C, M>(mut client: C, mut mail: M)
where
    C: AsyncRead + AsyncWrite + Unpin,
    M: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Direction::default(), Direction::default());
    poll_fn(|context| {
        // The client's end of input alone is not the end: the mail process may still be talking.
        let up = up.poll(context, &mut client, &mut mail);
        let down = down.poll(context, &mut mail, &mut client);
        match (up, down) {
            (_, Poll::Ready(_)) | (Poll::Ready(Err(Broken)), _) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
}

/// A side cannot be written to or read from any more.
struct Broken;

/// One direction. `left` holds what the receiver has not taken yet; nothing is read meanwhile.
#[derive(Default)]
struct Direction {
    left: Vec<u8>,
    is_flushing: bool,
    stage: Stage,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Stage {
    #[default]
    Copying,
    Closing,
    Closed,
}

/// After this many steps the other direction and the other connections get their turn.
const STEPS_AT_ONCE: usize = 4;

impl Direction {
    fn poll<F, T>(&mut self, context: &mut Context<'_>, from: &mut F, to: &mut T) -> Poll<Result<(), Broken>>
    where
        F: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        for _ in 0..STEPS_AT_ONCE {
            ready!(self.deliver(context, to))?;
            match self.stage {
                Stage::Copying => ready!(self.step(context, from, to))?,
                Stage::Closing => {
                    // An error here means that the receiver has gone first.
                    let _ = ready!(Pin::new(&mut *to).poll_shutdown(context));
                    self.stage = Stage::Closed;
                }
                Stage::Closed => return Poll::Ready(Ok(())),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn deliver<T: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        to: &mut T,
    ) -> Poll<Result<(), Broken>> {
        while !self.left.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(context, &self.left)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken)),
                Ok(sent) => drop(self.left.drain(..sent)),
            }
            self.is_flushing = true;
        }
        self.left = Vec::new();
        if self.is_flushing {
            ready!(Pin::new(&mut *to).poll_flush(context)).map_err(|_| Broken)?;
            self.is_flushing = false;
        }
        Poll::Ready(Ok(()))
    }

    fn step<F, T>(&mut self, context: &mut Context<'_>, from: &mut F, to: &mut T) -> Poll<Result<(), Broken>>
    where
        F: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        let mut memory = [MaybeUninit::uninit(); PROXY_STEP_BYTES];
        let mut buffer = ReadBuf::uninit(&mut memory);
        let read = ready!(Pin::new(from).poll_read(context, &mut buffer));
        let bytes = buffer.filled();
        if read.is_err() || bytes.is_empty() {
            self.stage = Stage::Closing;
            return Poll::Ready(Ok(()));
        }
        let sent = match Pin::new(to).poll_write(context, bytes) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Broken)),
            Poll::Ready(Ok(sent)) => sent,
            Poll::Pending => 0,
        };
        self.is_flushing = true;
        self.left.extend_from_slice(bytes.get(sent..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Both directions at once, more than any buffer holds, then the half-closes in either order.
    #[tokio::test]
    async fn copies_and_closes() {
        for mail_closes_first in [false, true] {
            let (client, near) = tokio::net::UnixStream::pair().unwrap();
            let (far, mail) = tokio::net::UnixStream::pair().unwrap();
            let pump = tokio::spawn(pump(near, far));
            let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
            let (mut client_read, mut client_write) = client.into_split();
            let (mut mail_read, mut mail_write) = mail.into_split();
            let send = bytes.clone();
            let up = tokio::spawn(async move {
                client_write.write_all(&send).await.unwrap();
                (!mail_closes_first).then(|| drop(client_write))
            });
            let send = bytes.clone();
            let down = tokio::spawn(async move {
                mail_write.write_all(&send).await.unwrap();
                mail_write
            });
            let mut got = vec![0; bytes.len()];
            let mut also = vec![0; bytes.len()];
            let (a, b) = tokio::join!(client_read.read_exact(&mut got), mail_read.read_exact(&mut also));
            a.and(b).unwrap();
            assert!(got == bytes && also == bytes);
            if !mail_closes_first {
                up.await.unwrap();
                assert_eq!(mail_read.read(&mut also).await.unwrap(), 0);
            }
            let mut mail_write = down.await.unwrap();
            mail_write.write_all(b"bye").await.unwrap();
            drop((mail_write, mail_read));
            let mut last = Vec::new();
            client_read.read_to_end(&mut last).await.unwrap();
            assert_eq!(last, b"bye");
            pump.await.unwrap();
        }
    }
}
