//! The auth process, over the socket `login` (auth client protocol 1.2): one connection per process,
//! any number of requests on it at once, made anew when it breaks.

pub(crate) mod line;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base::Logger;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Notify, oneshot, watch};

use crate::limits::{AUTH_READ_BYTES, AUTH_RECONNECT, AUTH_REPLY_BYTES_MAX};
use crate::session::{AuthReply, AuthRequest, Mechanisms};
use line::{Handshake, Line};

/// Whether the auth process can be asked.
#[derive(Debug, Clone)]
pub(crate) enum AuthState {
    /// Not yet, or not at the moment.
    Away,
    /// It has gone away without ever having been ready: there is no use in waiting.
    Broken,
    /// Yes.
    Ready(Arc<Mechanisms>),
}

/// The connection to the auth process. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct AuthClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    pid: u32,
    log: Logger,
    state: watch::Sender<AuthState>,
    /// Nobody listens at the socket.
    is_unreachable: watch::Sender<bool>,
    wire: Mutex<Wire>,
    unsent: Notify,
    quit: Notify,
}

/// What requests and the connection's task share.
#[derive(Debug, Default)]
struct Wire {
    stream: Option<Arc<OwnedWriteHalf>>,
    unsent: Vec<u8>,
    requests: HashMap<u32, Pending>,
    last_id: u32,
    /// Counts the connections: a request of an earlier one is unknown on this one.
    generation: u64,
}

#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<AuthReply>,
    since: Instant,
}

/// One request. Dropping it before its end tells the auth process to forget it.
#[derive(Debug)]
pub(crate) struct Ticket {
    client: AuthClient,
    id: u32,
    generation: u64,
    answer: oneshot::Receiver<AuthReply>,
    is_open: bool,
}

impl AuthClient {
    /// Connects to `path`, as the client `pid`, and goes on until [`AuthClient::quit`]. Must be called
    /// within a runtime.
    pub(crate) fn start(path: PathBuf, pid: u32, log: Logger) -> Self {
        let (state, _) = watch::channel(AuthState::Away);
        let client = Self(Arc::new(Inner {
            path,
            pid,
            log,
            state,
            is_unreachable: watch::channel(false).0,
            wire: Mutex::default(),
            unsent: Notify::new(),
            quit: Notify::new(),
        }));
        tokio::spawn(run(client.clone()));
        client
    }

    /// The state now.
    pub(crate) fn state(&self) -> AuthState {
        self.0.state.borrow().clone()
    }

    /// Waits until the auth process is ready or broken.
    pub(crate) async fn settled(&self) -> AuthState {
        let mut state = self.0.state.subscribe();
        match state.wait_for(|state| !matches!(state, AuthState::Away)).await {
            Ok(state) => state.clone(),
            // The sender lives in `self`.
            Err(_) => AuthState::Broken,
        }
    }

    /// Waits until another auth process than `pid` is ready.
    pub(crate) async fn replaced(&self, pid: u32) -> Option<Arc<Mechanisms>> {
        let is_other = |state: &AuthState| match state {
            AuthState::Ready(mechanisms) => mechanisms.server_pid != pid,
            AuthState::Broken => true,
            AuthState::Away => false,
        };
        match self.0.state.subscribe().wait_for(is_other).await.as_deref() {
            Ok(AuthState::Ready(mechanisms)) => Some(mechanisms.clone()),
            _ => None,
        }
    }

    /// Waits until nobody listens at the socket any more.
    pub(crate) async fn unreachable(&self) {
        // The sender lives in `self`.
        let _ = self.0.is_unreachable.subscribe().wait_for(|unreachable| *unreachable).await;
    }

    /// Sends a request.
    pub(crate) fn request(&self, request: &AuthRequest) -> Ticket {
        let mut wire = self.wire();
        wire.last_id = wire.last_id.checked_add(1).unwrap_or(1);
        let id = wire.last_id;
        let answer = wire.expect(id);
        let line = zeroize::Zeroizing::new(format!("AUTH\t{id}\t{}\n", *request.0));
        self.send(&mut wire, line.as_bytes());
        Ticket { client: self.clone(), id, generation: wire.generation, answer, is_open: true }
    }

    /// Closes the connection for good: nobody will log in here any more.
    pub(crate) fn quit(&self) {
        self.0.quit.notify_one();
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes at once what the socket takes, and leaves the rest to the connection's task.
    fn send(&self, wire: &mut Wire, line: &[u8]) {
        let Some(stream) = &wire.stream else {
            // Nobody will answer; whoever waits learns it from the dropped sender.
            wire.requests.clear();
            return;
        };
        let sent = match wire.unsent.is_empty() {
            true => stream.try_write(line).unwrap_or(0),
            false => 0,
        };
        if let Some(rest) = line.get(sent..).filter(|rest| !rest.is_empty()) {
            wire.unsent.extend_from_slice(rest);
            self.0.unsent.notify_one();
        }
    }
}

impl Wire {
    fn expect(&mut self, id: u32) -> oneshot::Receiver<AuthReply> {
        let (answer, receiver) = oneshot::channel();
        self.requests.insert(id, Pending { answer, since: Instant::now() });
        receiver
    }

    /// The same for a request's next answer, unless its connection is gone.
    fn expect_more(&mut self, id: u32, generation: u64) -> oneshot::Receiver<AuthReply> {
        match self.generation == generation {
            true => self.expect(id),
            false => oneshot::channel().1,
        }
    }
}

impl Ticket {
    /// The request's number at the auth process.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Waits for the next answer, also while a challenge is with the client: the auth process may go
    /// away or lose its patience. May be cancelled and called again.
    pub(crate) async fn reply(&mut self) -> AuthReply {
        let reply = (&mut self.answer).await.unwrap_or(AuthReply::Lost);
        match &reply {
            AuthReply::Continue(_) => self.answer = self.client.wire().expect_more(self.id, self.generation),
            AuthReply::Ok { .. } => {}
            AuthReply::Fail { .. } | AuthReply::Lost => self.is_open = false,
        }
        reply
    }

    /// Sends the client's response to a challenge.
    pub(crate) fn respond(&mut self, response: &str) {
        let mut wire = self.client.wire();
        if wire.generation == self.generation {
            let line = zeroize::Zeroizing::new(format!("CONT\t{}\t{response}\n", self.id));
            self.client.send(&mut wire, line.as_bytes());
        }
    }

    /// The mail process has taken over: the auth process must keep the request.
    pub(crate) fn keep(mut self) {
        self.is_open = false;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_open {
            let mut wire = self.client.wire();
            wire.requests.remove(&self.id);
            if wire.generation == self.generation {
                self.client.send(&mut wire, format!("CANCEL\t{}\n", self.id).as_bytes());
            }
        }
    }
}

/// The connection's life, again and again.
async fn run(client: AuthClient) {
    let inner = &client.0;
    let (mut was_ready, mut failures) = (false, 0_u32);
    loop {
        let reason = tokio::select! {
            reason = connection(&client, &mut was_ready) => reason,
            () = inner.quit.notified() => None,
        };
        let is_over = reason.is_none();
        let lost = matches!(*inner.state.borrow(), AuthState::Ready(_));
        match reason {
            Some(End::NoConnection(error)) => {
                failures = failures.saturating_add(1);
                // When the whole server stops, auth may be gone first: only a second failure in a
                // row is worth a line, and further ones are not.
                if failures == 2 {
                    inner.log.error(format_args!("auth: connect({}) failed: {error}", inner.path.display()));
                }
            }
            Some(End::Protocol(error)) => inner.log.error(format_args!("auth: {error}")),
            Some(End::Closed) | None => failures = 0,
            Some(End::ClosedEarly) if !was_ready => {
                inner.state.send_replace(AuthState::Broken);
            }
            Some(End::ClosedEarly) => {}
        }
        give_up(&client, lost);
        inner.state.send_if_modified(|state| match state {
            AuthState::Ready(_) => {
                *state = AuthState::Away;
                true
            }
            _ => false,
        });
        if is_over {
            return;
        }
        // An auth process that was restarted is there again at once; one that fails is not.
        if !lost {
            tokio::time::sleep(AUTH_RECONNECT).await;
        }
        inner.state.send_if_modified(|state| {
            let broken = matches!(state, AuthState::Broken);
            *state = AuthState::Away;
            broken
        });
    }
}

/// Why a connection ended.
enum End {
    NoConnection(String),
    Protocol(String),
    ClosedEarly,
    Closed,
}

async fn connection(client: &AuthClient, was_ready: &mut bool) -> Option<End> {
    let inner = &client.0;
    let (mut input, output) = match UnixStream::connect(&inner.path).await {
        Ok(stream) => stream.into_split(),
        Err(error) => {
            inner.is_unreachable.send_replace(true);
            return Some(End::NoConnection(base::reason(&error)));
        }
    };
    inner.is_unreachable.send_replace(false);
    let output = Arc::new(output);
    {
        let mut wire = client.wire();
        wire.stream = Some(output.clone());
        client.send(&mut wire, format!("VERSION\t1\t2\nCPID\t{}\n", inner.pid).as_bytes());
    }
    let mut handshake = Some(Handshake::default());
    let mut buffer = Vec::new();
    loop {
        let is_sending = !client.wire().unsent.is_empty();
        buffer.reserve(AUTH_READ_BYTES);
        tokio::select! {
            () = inner.unsent.notified() => continue,
            ready = output.writable(), if is_sending => match ready.and_then(|()| flush(client, &output)) {
                Ok(()) => continue,
                Err(_) => return Some(closed(&handshake)),
            },
            read = input.read_buf(&mut buffer) => if !read.is_ok_and(|count| count > 0) {
                return Some(closed(&handshake));
            },
        }
        if let Err(error) = lines(client, &mut buffer, &mut handshake) {
            return Some(End::Protocol(error));
        }
        *was_ready |= handshake.is_none();
        if buffer.len() > AUTH_REPLY_BYTES_MAX {
            return Some(End::Protocol("Authentication server sent a too long line".into()));
        }
    }
}

fn closed(handshake: &Option<Handshake>) -> End {
    if handshake.is_some() { End::ClosedEarly } else { End::Closed }
}

fn flush(client: &AuthClient, stream: &OwnedWriteHalf) -> io::Result<()> {
    let mut wire = client.wire();
    if wire.unsent.is_empty() {
        return Ok(());
    }
    match stream.try_write(&wire.unsent) {
        Ok(sent) => {
            wire.unsent.drain(..sent);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// Handles the complete lines in `buffer` and leaves the rest.
fn lines(client: &AuthClient, buffer: &mut Vec<u8>, handshake: &mut Option<Handshake>) -> Result<(), String> {
    let mut done = 0;
    while let Some(end) = buffer.iter().skip(done).position(|&byte| byte == b'\n') {
        let text = buffer.get(done..done + end).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        done += end + 1;
        match handshake {
            Some(open) => {
                if let Some(mechanisms) = open.line(&text)? {
                    *handshake = None;
                    client.0.state.send_replace(AuthState::Ready(Arc::new(mechanisms)));
                }
            }
            None => {
                let Line { id, reply } = Line::parse(&text)?;
                // A request that was cancelled meanwhile has nobody who waits.
                let pending = client.wire().requests.remove(&id);
                if let Some(pending) = pending {
                    let _ = pending.answer.send(reply);
                }
            }
        }
    }
    buffer.drain(..done);
    Ok(())
}

/// The connection is gone: nobody will answer the requests that are open.
fn give_up(client: &AuthClient, lost: bool) {
    let mut wire = client.wire();
    wire.stream = None;
    wire.generation += 1;
    wire.unsent = Vec::new();
    let count = wire.requests.len();
    let oldest = wire.requests.values().map(|pending| pending.since.elapsed().as_secs()).max();
    wire.requests.clear();
    if let Some(oldest) = oldest.filter(|_| lost) {
        let pid = client.0.pid;
        client.0.log.warning(format_args!(
            "auth: Auth connection closed with {count} pending requests \
             (max {oldest} secs, pid={pid}, Disconnected from auth server, aborting)"
        ));
    }
}

#[cfg(test)]
mod tests;
