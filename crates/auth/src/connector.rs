//! Connects to other servers for login processes, which cannot do it themselves (`login/auth-connect`):
//! to where this process said that a client is to be proxied to, for that client's login process only.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ipc::connect::{Connect, Connected};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sasl::encoding::hex;
use service::{Client, Link, Shutdown, Stream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::{PROXY_CONNECT_MAX, PROXY_CONNECTING_MAX};
use crate::server::Auth;

/// Serves one connection of a login process.
pub(crate) async fn serve(auth: &Rc<Auth>, client: Client, shutdown: &Shutdown) {
    // It takes nobody's place: a server that does not answer must not keep others from logging in.
    let Client { stream, guard, .. } = client;
    drop(guard);
    if let Stream::Unix(stream) = stream {
        talk(auth, Link::new(stream), shutdown.stopping()).await;
    }
}

/// The same over any link, until it or `stop` ends.
pub(crate) async fn talk(auth: &Rc<Auth>, mut link: Link, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    // A process in another pid namespace has none that is seen here.
    let peer_pid = link.peer().ok().map(|peer| peer.pid);
    loop {
        let request = tokio::select! {
            request = link.receive::<Connect>() => request,
            () = &mut stop => return,
        };
        let request = match request {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => return auth.scope.log.error(format_args!("connect: {}", base::chain(&error))),
        };
        let answered = match (granted(auth, &request, peer_pid), Turn::take(auth)) {
            (None, _) => link.send(&Connected::Expired).await,
            (Some(_), None) => {
                let reason = "Too many connections are being made".to_owned();
                link.send(&Connected::Failed { reason, local: None }).await
            }
            (Some(destination), Some(_turn)) => {
                let connecting = connect(destination, &request);
                let connected = tokio::select! {
                    connected = connecting => connected,
                    // There is nothing more to say meanwhile: the login was given up.
                    _ = link.receive::<Connect>() => return,
                };
                match connected {
                    Ok(stream) => link.send_with(&Connected::Ok, &[stream.as_fd()]).await,
                    Err((error, local)) => {
                        let reason = base::reason(&error);
                        link.send(&Connected::Failed { reason, local }).await
                    }
                }
            }
        };
        if answered.is_err() {
            return;
        }
    }
}

/// One of the connections that are being made.
struct Turn(Rc<Auth>);

impl Turn {
    fn take(auth: &Rc<Auth>) -> Option<Self> {
        let count = auth.connecting.get();
        (count < PROXY_CONNECTING_MAX).then(|| {
            auth.connecting.set(count + 1);
            Self(auth.clone())
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.connecting.set(self.0.connecting.get() - 1);
    }
}

/// Where the request may connect to, if we said so to this login process.
fn granted(auth: &Auth, request: &Connect, peer_pid: Option<u32>) -> Option<SocketAddr> {
    let login = auth.logins.borrow().get(&request.client_pid).and_then(Weak::upgrade)?;
    let is_same = hex(&login.cookie) == request.cookie && login.is_process(peer_pid);
    is_same.then(|| login.use_grant(request.auth_id)).flatten()
}

/// The connection, or what was wrong and from where it was tried.
async fn connect(
    destination: SocketAddr,
    request: &Connect,
) -> Result<TcpStream, (io::Error, Option<SocketAddr>)> {
    let source = request.source_ip;
    let from = source.map(|ip| SocketAddr::new(ip, 0));
    let stream = begin(destination, source).map_err(|error| (error, from))?;
    let patience = Duration::from_millis(request.timeout_ms.into()).min(PROXY_CONNECT_MAX);
    let outcome = match timeout(patience, stream.writable()).await {
        Ok(Ok(())) => stream.take_error().and_then(|error| error.map_or(Ok(()), Err)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::from(Errno::TIMEDOUT)),
    };
    match outcome {
        Ok(()) => {
            // Only a slower exchange follows from a failure here.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Err(error) => {
            let local = stream.local_addr().ok().or(from);
            Err((error, local))
        }
    }
}

/// Begins to connect. Our own, since the standard library's and tokio's do not tell from where they
/// tried in vain, which is in 2.3's log line.
fn begin(destination: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let family = if destination.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
    }
    match rustix::net::connect(&socket, &destination) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    TcpStream::from_std(socket.into())
}
