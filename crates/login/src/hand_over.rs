//! Handing a client over to a mail process: its descriptor and the facts go to the service's socket,
//! a reply comes back.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use ipc::handover::{Reply, Request};
use service::{Link, LinkError};
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{HAND_OVER_RETRY, HAND_OVER_TIMEOUT};

/// Why a client could not be handed over. `Display` is the middle of 2.3's log line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandOverError {
    /// Nobody takes connections there.
    #[error("net_connect_unix({path}) failed")]
    Connect {
        path: String,
        #[source]
        source: LinkError,
    },
    /// The descriptor could not be sent.
    #[error("fd_send() failed")]
    Send(#[source] LinkError),
    /// No answer, since the mail process died or none could be started.
    #[error("read() failed: Remote closed connection (destination service {{ process_limit }} reached?)")]
    Closed,
    /// Something else came back than an answer.
    #[error("read() failed")]
    Receive(#[source] LinkError),
    /// No answer in time.
    #[error("Auth request timed out")]
    TimedOut,
}

/// Sends `request` with the client's socket to the mail process that listens at `path`.
pub(crate) async fn hand_over(
    path: &Path,
    request: &Request,
    client: BorrowedFd<'_>,
) -> Result<Reply, HandOverError> {
    let exchange = async {
        let mut link = connect(path).await?;
        link.send_with(request, &[client]).await.map_err(HandOverError::Send)?;
        match link.receive().await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(HandOverError::Closed),
            Err(LinkError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(HandOverError::Closed)
            }
            Err(error) => Err(HandOverError::Receive(error)),
        }
    };
    timeout(HAND_OVER_TIMEOUT, exchange).await.unwrap_or(Err(HandOverError::TimedOut))
}

/// Connects, and tries again for a while if the listener's backlog is full (EAGAIN).
async fn connect(path: &Path) -> Result<Link, HandOverError> {
    let deadline = Instant::now() + HAND_OVER_RETRY;
    let mut pause = Duration::from_millis(2);
    loop {
        match Link::connect(path).await {
            Ok(link) => return Ok(link),
            Err(LinkError::Io(error))
                if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
            {
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            Err(source) => return Err(HandOverError::Connect { path: path.display().to_string(), source }),
        }
    }
}
