//! Takes connections on a process's unix listeners.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::time::Duration;

use base::Logger;
use ipc::control::{Listener, ListenerKind};
use service::Link;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

/// How long to wait after a connection could not be taken: what is missing (descriptors, memory)
/// may be there again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Serves every unix listener: `each` is the life of one connection. Must be called within a
/// runtime; the connections live in it until they end by themselves. The listeners are closed when
/// what is returned is dropped: a process that only waits for the last of its peers must not hold
/// sockets whose other ends the master has given up.
pub(crate) fn serve<F>(
    listeners: Vec<(Listener, OwnedFd)>,
    log: &Logger,
    each: impl Fn(Link) -> F + Clone + Send + 'static,
) -> io::Result<JoinSet<()>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut accepting = JoinSet::new();
    for (listener, socket) in listeners {
        if listener.kind != ListenerKind::Unix {
            log.warning(format_args!("Listener {} is of no use for this service", listener.name));
            continue;
        }
        let socket = StdListener::from(socket);
        socket.set_nonblocking(true)?;
        accepting.spawn(accept(UnixListener::from_std(socket)?, listener.name, log.clone(), each.clone()));
    }
    Ok(accepting)
}

async fn accept<F>(socket: UnixListener, name: String, log: Logger, each: impl Fn(Link) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match socket.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(each(Link::new(stream)))),
            Err(error) => {
                log.error(format_args!("accept({name}) failed: {}", base::reason(&error)));
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}
