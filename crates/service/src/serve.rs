//! Accepting clients for processes that have no special wishes: as many as `client_limit` at once
//! and `service_count` in all.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ipc::control::{Listener, ListenerKind, ToMaster};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::fatal::Fatal;
use crate::limits::STATUS_PAUSE;
use crate::process::Process;
use crate::stream::Stream;

/// How long to wait after a client could not be accepted: descriptors may be free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A client that has connected.
#[derive(Debug)]
pub struct Client {
    /// Its socket.
    pub stream: Stream,
    /// Which listener it came by.
    pub listener: Arc<Listener>,
    /// Counts it while it lives.
    pub guard: ClientGuard,
}

impl Client {
    /// The kind of connection as 2.3 tells it: what follows the last `-` of a unix socket's name
    /// (`userdb` of `auth-userdb`), or the whole name if there is none.
    pub fn kind(&self) -> &str {
        let name = self.listener.name.rsplit('/').next().unwrap_or_default();
        name.rsplit('-').next().unwrap_or(name)
    }
}

/// Counts a client from its arrival until it is dropped.
#[derive(Debug)]
pub struct ClientGuard(Arc<Count>);

impl Drop for ClientGuard {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

#[derive(Debug, Default)]
pub(crate) struct Count {
    here: AtomicU32,
    total: AtomicU32,
    changed: Notify,
    told: Mutex<Told>,
}

/// What the master knows of the clients here.
#[derive(Debug, Default)]
struct Told {
    /// How many more may come, and how many have come in all.
    status: Option<(u32, u32)>,
    /// When it is told again what changed since.
    due: Option<Instant>,
}

impl Count {
    pub(crate) fn enter(self: &Arc<Self>) -> ClientGuard {
        self.here.fetch_add(1, Ordering::AcqRel);
        self.total.fetch_add(1, Ordering::AcqRel);
        ClientGuard(self.clone())
    }

    pub(crate) fn here(&self) -> u32 {
        self.here.load(Ordering::Acquire)
    }

    /// Waits until clients have left, or the master is to be told.
    pub(crate) async fn changed(&self) {
        let due = self.told.lock().unwrap_or_else(PoisonError::into_inner).due;
        match due {
            // In time or not: the caller looks anyway.
            Some(due) => drop(timeout_at(due, self.changed.notified()).await),
            None => self.changed.notified().await,
        }
    }

    /// Whether all clients have come that ever may.
    pub(crate) fn is_used_up(&self, process: &Process) -> bool {
        let most = process.service_count();
        most != 0 && self.total.load(Ordering::Acquire) >= most
    }

    pub(crate) fn has_room(&self, process: &Process) -> bool {
        self.here() < process.client_limit() && !self.is_used_up(process)
    }

    /// Tells the master how things stand, if that is news: at once when the last room is taken or
    /// there is some again, otherwise after a pause, since it need not know of each client.
    pub(crate) fn tell(&self, process: &Process) {
        let total = self.total.load(Ordering::Acquire);
        let left = match process.service_count() {
            0 => u32::MAX,
            most => most.saturating_sub(total),
        };
        let status = (process.client_limit().saturating_sub(self.here()).min(left), total);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.status == Some(status) {
            return told.due = None;
        }
        let is_urgent = told.status.is_none_or(|(before, _)| (before == 0) != (status.0 == 0));
        let now = Instant::now();
        let due = *told.due.get_or_insert(now + STATUS_PAUSE);
        if is_urgent || due <= now {
            *told = Told { status: Some(status), due: None };
            process.tell_master(ToMaster::Status { available: status.0, total: status.1 }, None);
        }
    }
}

impl Process {
    /// Accepts clients on all listeners and lives `each` of them as a task of its own, until the
    /// process is to end and the last client has left. Sessions watch [`Process::shutdown`]
    /// themselves.
    ///
    /// # Errors
    /// When a listener cannot be watched.
    pub async fn serve<F>(&self, each: impl Fn(Client) -> F) -> Result<(), Fatal>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut acceptor = Acceptor::new(self.take_listeners())?;
        let count = Arc::new(Count::default());
        let shutdown = self.shutdown();
        loop {
            count.tell(self);
            let is_open = shutdown.phase() == crate::Phase::Running && !count.is_used_up(self);
            if !is_open {
                acceptor.close();
                if count.here() == 0 {
                    return Ok(());
                }
            }
            tokio::select! {
                () = shutdown.retiring(), if is_open => {}
                () = count.changed() => {}
                client = acceptor.accept(), if is_open && count.has_room(self) => match client {
                    Ok((stream, listener)) => {
                        let client = Client { stream, listener, guard: count.enter() };
                        tokio::spawn(each(client));
                    }
                    Err(error) => {
                        self.log().error(format_args!("accept() failed: {}", base::reason(&error)));
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

/// The inherited listening sockets, all at once.
#[derive(Debug)]
pub(crate) struct Acceptor {
    sockets: Vec<(Arc<Listener>, Socket)>,
    /// The listener that gets its turn first next time, so that none starves.
    next: usize,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    pub(crate) fn new(listeners: Vec<(Listener, OwnedFd)>) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(listeners.len());
        for (listener, socket) in listeners {
            rustix::io::ioctl_fionbio(&socket, true)?;
            let socket = match &listener.kind {
                ListenerKind::Inet { .. } => Socket::Tcp(TcpListener::from_std(socket.into())?),
                ListenerKind::Unix => Socket::Unix(UnixListener::from_std(socket.into())?),
                // A pipe has no clients to accept.
                ListenerKind::Fifo => continue,
            };
            sockets.push((Arc::new(listener), socket));
        }
        Ok(Self { sockets, next: 0 })
    }

    pub(crate) async fn accept(&mut self) -> io::Result<(Stream, Arc<Listener>)> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Arc<Listener>)>> {
        let count = self.sockets.len();
        for turn in 0..count {
            let at = (self.next + turn) % count;
            let Some((listener, socket)) = self.sockets.get(at) else { continue };
            let accepted = match socket {
                Socket::Tcp(socket) => socket.poll_accept(context).map_ok(|(stream, _)| Stream::Tcp(stream)),
                Socket::Unix(socket) => {
                    socket.poll_accept(context).map_ok(|(stream, _)| Stream::Unix(stream))
                }
            };
            if let Poll::Ready(accepted) = accepted {
                self.next = at + 1;
                return Poll::Ready(accepted.map(|stream| (stream, listener.clone())));
            }
        }
        Poll::Pending
    }

    pub(crate) fn close(&mut self) {
        self.sockets.clear();
    }
}
