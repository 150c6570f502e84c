//! Handing a client over to a mail process: its descriptor and the facts go to the service's socket,
//! a reply comes back.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use ipc::handover::{Reply, Request};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};
use service::{Link, LinkError};
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{HAND_OVER_RETRY, HAND_OVER_TIMEOUT};

/// Why a client could not be handed over. `Display` is the middle of 2.3's log line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandOverError {
    /// Nobody takes connections there.
    #[error("net_connect_unix({path}) failed: {reason}")]
    Connect {
        /// The socket.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// No socket to stand between the client's TLS and the mail process.
    #[error("socketpair() failed: {0}")]
    Pair(String),
    /// The descriptor could not be sent.
    #[error("fd_send() failed: {0}")]
    Send(String),
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
        let socket = connect(path).await?;
        send(&socket, request, client)?;
        let mut link = Link::from_descriptor(socket).map_err(HandOverError::Receive)?;
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
async fn connect(path: &Path) -> Result<OwnedFd, HandOverError> {
    let deadline = Instant::now() + HAND_OVER_RETRY;
    let mut pause = Duration::from_millis(2);
    loop {
        let reason = match connect_now(path) {
            Ok(socket) => return Ok(socket),
            Err(Errno::AGAIN) if Instant::now() < deadline => {
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
                continue;
            }
            Err(error) => base::reason(&error.into()),
        };
        return Err(HandOverError::Connect { path: path.display().to_string(), reason });
    }
}

/// A unix socket connects at once or not at all, so there is nothing to wait for.
fn connect_now(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Sends the request at once, before the runtime knows of the socket: a fresh one takes it whole, and
/// not waiting for it to become writable saves a turn of the event loop per login.
fn send(socket: &OwnedFd, request: &Request, client: BorrowedFd<'_>) -> Result<(), HandOverError> {
    let frame = ipc::encode(request).map_err(|error| HandOverError::Send(base::chain(&error).to_string()))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let descriptors = [client];
    beside.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(&frame)], &mut beside, SendFlags::NOSIGNAL);
    match sent {
        Ok(sent) if sent == frame.len() => Ok(()),
        Ok(sent) => Err(HandOverError::Send(format!("sent only {sent} of {} bytes", frame.len()))),
        Err(error) => Err(HandOverError::Send(base::reason(&error.into()))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    use ipc::handover::FailureKind;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    fn request() -> Request {
        Request {
            auth_pid: 1,
            auth_id: 2,
            client_pid: 3,
            cookie: "00".into(),
            tag: "a".into(),
            untagged_capability: false,
            session_id: "S".into(),
            input: b"b NOOP\r\n".to_vec(),
            remote_ip: None,
            remote_port: 0,
            local_ip: None,
            local_port: 0,
            local_name: String::new(),
            tls: false,
            secured: true,
            send_ok: true,
            known: None,
        }
    }

    fn listener(name: &str) -> (UnixListener, PathBuf) {
        let path = std::env::temp_dir().join(format!("login-mail-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        (UnixListener::bind(&path).unwrap(), path)
    }

    #[tokio::test]
    async fn the_descriptor_arrives_with_the_request() {
        let (listener, path) = listener("ok");
        let (client, mut far) = UnixStream::pair().unwrap();
        let mail = tokio::spawn(async move {
            let mut link = Link::new(listener.accept().await.unwrap().0);
            let request: Request = link.expect().await.unwrap();
            assert_eq!((request.tag.as_str(), request.input.as_slice()), ("a", &b"b NOOP\r\n"[..]));
            let socket = std::os::unix::net::UnixStream::from(link.descriptor().unwrap());
            socket.set_nonblocking(true).unwrap();
            UnixStream::from_std(socket).unwrap().write_all(b"hello").await.unwrap();
            link.send(&Reply::Ok { pid: 77 }).await.unwrap();
        });
        let reply = hand_over(&path, &request(), client.as_fd()).await.unwrap();
        assert!(matches!(reply, Reply::Ok { pid: 77 }));
        let mut got = [0; 5];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
        mail.await.unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn failures() {
        let (client, _far) = UnixStream::pair().unwrap();
        let (listener, path) = listener("fail");
        let mail = tokio::spawn(async move {
            let mut link = Link::new(listener.accept().await.unwrap().0);
            let _: Request = link.expect().await.unwrap();
            let failed = Reply::Failed { client_text: "no".into(), kind: FailureKind::Limit, pid: 1 };
            link.send(&failed).await.unwrap();
            drop(listener.accept().await.unwrap());
        });
        let reply = hand_over(&path, &request(), client.as_fd()).await.unwrap();
        assert!(matches!(reply, Reply::Failed { kind: FailureKind::Limit, .. }));
        let closed = hand_over(&path, &request(), client.as_fd()).await.unwrap_err().to_string();
        assert!(
            closed.starts_with("read() failed: Remote closed connection") || closed.starts_with("fd_send"),
            "{closed}"
        );
        mail.await.unwrap();
        let refused = hand_over(&path, &request(), client.as_fd()).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("net_connect_unix({}) failed: Connection refused", path.display())
        );
        std::fs::remove_file(path).unwrap();
    }
}
