//! One client, from its first byte to its hand-over: drives a [`Session`] over the socket, through
//! TLS, to the auth process and to the mail process.

mod elsewhere;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base::{Level, Logger};
use ipc::handover::{FailureKind, Reply, Request};
use net::tls::{self, ClientCert, TlsStream};
use service::{Process, Shutdown, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::arrival::Arrival;
use crate::auth_client::{AuthClient, AuthState, Ticket};
use crate::backend::record::Records;
use crate::clients::{Clients, Eviction, Seat};
use crate::config::{Client as Whom, Configs};
use crate::facts::{Peer, Tls};
use crate::hand_over::{HandOverError, hand_over};
use crate::limits::{
    AUTH_REPLACED, AUTH_WAITING_NOTE, AUTH_WAITING_WARNING, GOODBYE, LOGIN_TIMEOUT, READ_BYTES,
    SCRIPT_WORDS_BYTES_MAX,
};
use crate::session::{Action, AuthReply, AuthRequest, Protocol, Session};
use crate::session_id::session_id;
use elsewhere::Elsewhere;
pub(crate) use elsewhere::{KICKED, Relayed};

/// What all clients of the process have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) process: Process,
    pub(crate) protocol: Protocol,
    pub(crate) configs: Configs,
    pub(crate) auth: AuthClient,
    pub(crate) clients: Clients,
    pub(crate) pid: u32,
    /// `-S`: TLS on every listener.
    pub(crate) tls_always: bool,
    /// Where clients are handed over to; a passdb's `postlogin_socket` names a socket beside it.
    pub(crate) mail_socket: PathBuf,
    /// Where the auth process connects to other servers for us.
    pub(crate) connect_socket: PathBuf,
    /// What is known of other servers.
    pub(crate) backends: Records,
    /// How long the rest of a session may take once the process stops.
    pub(crate) shutdown: Shutdown,
    /// Prefixed with the service's name.
    pub(crate) log: Logger,
}

/// How a client's time before login ended.
enum End {
    /// All is said.
    Over,
    /// It is logged in, and its TLS goes on here to this socket.
    Proxy(UnixStream),
    /// It is logged in to another server, and goes on there from here.
    Elsewhere(Box<Elsewhere>),
    /// It went away.
    Gone(String),
    /// There is no auth process and will be none.
    AuthBroken,
}

/// Serves a client until it is gone, handed over, or its TLS proxy ends. `seat` is its place among
/// the process's clients.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    arrival: Arrival,
    seat: Seat,
    mut evicted: oneshot::Receiver<Eviction>,
) {
    let mut client = Box::new(Connection::new(shared, arrival, seat));
    let end = tokio::select! {
        biased;
        end = client.run() => Some(end),
        Ok(eviction) = &mut evicted => {
            client.say_goodbye(Some(eviction)).await;
            None
        }
        () = sleep(LOGIN_TIMEOUT) => {
            client.say_goodbye(None).await;
            None
        }
    };
    match end {
        Some(End::Proxy(mail)) => client.into_proxy(mail),
        Some(End::Elsewhere(elsewhere)) => client.into_relay(*elsewhere),
        Some(end) => client.finish(end).await,
        None => {}
    }
}

/// A client's socket, with or without TLS.
enum Transport {
    Plain(Stream),
    Tls(Box<TlsStream<Stream>>),
    /// In a handshake, or after a failed one.
    None,
}

struct Connection {
    shared: Arc<Shared>,
    session: Session,
    transport: Transport,
    ticket: Option<Ticket>,
    /// The request under way, to be sent once more should its auth process be replaced. It is kept
    /// until the client has to answer a challenge, which no other process could go on with.
    again: Option<Box<AuthRequest>>,
    seat: Seat,
    tls_first: bool,
    /// How much was written to the client; from its handshake on if there is one.
    written: u64,
}

impl Connection {
    fn new(shared: Arc<Shared>, arrival: Arrival, seat: Seat) -> Self {
        let Arrival { stream, mut peer, tls_first } = arrival;
        let config = shared.configs.config(&shared.process.settings(), whom(&peer));
        peer.trusted = peer.ends.remote_ip().is_some_and(|ip| config.trusted.contains(ip));
        peer.secured |= peer.trusted;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_us = u64::try_from(since.as_micros()).unwrap_or(0);
        let id = session_id(unix_us, peer.ends.remote_ip(), peer.ends.remote_port());
        let session = Session::new(shared.protocol, config, peer, id, since.as_secs());
        let tls_first = tls_first || shared.tls_always;
        Self {
            shared,
            session,
            transport: Transport::Plain(stream),
            ticket: None,
            again: None,
            seat,
            tls_first,
            written: 0,
        }
    }

    /// Everything up to the end of the time before login. May be dropped at any await.
    async fn run(&mut self) -> End {
        if self.tls_first {
            if !self.session.config().ssl.is_on() {
                self.session.log(Level::Info, "SSL is disabled (ssl=no)");
                self.write_lines();
                return End::Over;
            }
            if let AuthState::Ready(_) = self.shared.auth.state() {
                self.session.auth_ready_before_tls();
            }
            if let Err(end) = self.start_tls().await {
                return end;
            }
        }
        match self.talk().await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn talk(&mut self) -> Result<End, End> {
        loop {
            self.wait_for_auth().await?;
            match self.session.advance(now()) {
                Action::Read => {
                    self.flush().await?;
                    self.wait_for_client().await?;
                }
                Action::Flush => self.flush().await?,
                Action::StartTls => {
                    self.flush().await?;
                    self.start_tls().await?;
                }
                Action::Authenticate(request) => {
                    self.flush().await?;
                    self.ticket = Some(self.shared.auth.request(&request));
                    self.again = Some(request);
                    if let Some(end) = self.authentication().await? {
                        return Ok(end);
                    }
                }
                Action::Respond(response) => {
                    if let Some(ticket) = &mut self.ticket {
                        ticket.respond(&response);
                    }
                    drop(response);
                    if let Some(end) = self.authentication().await? {
                        return Ok(end);
                    }
                }
                // Dropping the ticket tells the auth process.
                Action::Cancel => self.ticket = None,
                Action::Disconnect(reason) => {
                    self.session.disconnect(reason, now());
                    return Ok(End::Over);
                }
                Action::Close | Action::HandOver | Action::Proxy(_) => return Ok(End::Over),
            }
            self.write_lines();
        }
    }

    /// Greets the client as soon as the auth process is there; later waits until it is back.
    async fn wait_for_auth(&mut self) -> Result<(), End> {
        if let AuthState::Ready(mechanisms) = self.shared.auth.state() {
            self.session.auth_ready(mechanisms);
            return Ok(());
        }
        if self.session.is_greeted() {
            // Nothing to say before the client has said something; then it must know why we wait.
            if !self.session.has_input() {
                return Ok(());
            }
            self.session.note_waiting();
            self.flush().await?;
        }
        let auth = self.shared.auth.clone();
        let settled = auth.settled();
        tokio::pin!(settled);
        let mut is_noted = self.session.is_greeted();
        loop {
            tokio::select! {
                state = &mut settled => return match state {
                    AuthState::Ready(mechanisms) => {
                        self.session.auth_ready(mechanisms);
                        Ok(())
                    }
                    _ => Err(End::AuthBroken),
                },
                // What comes early waits, but a client that leaves is noticed.
                read = self.read(), if !self.session.has_input() => read?,
                () = sleep(AUTH_WAITING_WARNING), if !is_noted => {
                    is_noted = true;
                    self.session.note_waiting();
                    self.flush().await?;
                }
            }
        }
    }

    /// Reads, and hears meanwhile if the auth process gives up an exchange that the client is to
    /// continue.
    async fn wait_for_client(&mut self) -> Result<(), End> {
        let Some(mut ticket) = self.ticket.take() else { return self.read().await };
        let reply = tokio::select! {
            read = self.read() => {
                self.ticket = Some(ticket);
                return read;
            }
            reply = ticket.reply() => reply,
        };
        self.session.auth_replied(reply, now());
        Ok(())
    }

    /// Waits for the auth process's answer and acts on it.
    async fn authentication(&mut self) -> Result<Option<End>, End> {
        let Some(mut ticket) = self.ticket.take() else { return Ok(None) };
        let reply = match timeout(AUTH_WAITING_NOTE, ticket.reply()).await {
            Ok(reply) => reply,
            Err(_) => {
                self.session.note_waiting();
                self.flush().await?;
                ticket.reply().await
            }
        };
        let (ticket, reply) = match reply {
            AuthReply::Lost => match self.ask_again(ticket).await {
                Some((ticket, reply)) => (Some(ticket), reply),
                None => (None, AuthReply::Lost),
            },
            reply => (Some(ticket), reply),
        };
        if !matches!(reply, AuthReply::Ok { .. }) {
            self.again = None;
        }
        if matches!(reply, AuthReply::Continue(_) | AuthReply::Ok { .. }) {
            self.ticket = ticket;
        }
        match self.session.auth_replied(reply, now()) {
            Action::HandOver => {
                self.write_lines();
                self.seat.set_finishing(true);
                let end = Box::pin(self.hand_over()).await;
                self.seat.set_finishing(false);
                end.map(Some)
            }
            Action::Proxy(destination) => {
                self.write_lines();
                self.seat.set_finishing(true);
                let end = Box::pin(self.log_in_elsewhere(destination)).await;
                self.seat.set_finishing(false);
                end
            }
            _ => {
                // An exchange that came to no hand-over is forgotten at the auth process.
                if !self.session.awaits_response() {
                    self.ticket = None;
                }
                Ok(None)
            }
        }
    }

    /// Asks the auth process that took the place of the one asked before, once.
    async fn ask_again(&mut self, ticket: Ticket) -> Option<(Ticket, AuthReply)> {
        // The one asked before goes once nothing of ours is left there.
        drop(ticket);
        let request = self.again.take()?;
        let auth = self.shared.auth.clone();
        let old = self.session.mechanisms().server_pid;
        let mechanisms = timeout(AUTH_REPLACED, auth.replaced(old)).await.ok()??;
        self.session.auth_ready(mechanisms);
        let mut ticket = auth.request(&request);
        let reply = ticket.reply().await;
        Some((ticket, reply))
    }

    async fn hand_over(&mut self) -> Result<End, End> {
        let Some(mut ticket) = self.ticket.take() else { return Ok(End::Over) };
        let started = Instant::now();
        let mut id = ticket.id();
        let (mut request, path) = self.request(id);
        let (mut result, mut near) = self.transport.offer(&path, &request).await;
        // The mail process knows another auth process than the one that vouched: a reload, or the
        // other one has died.
        if matches!(result, Ok(Reply::Failed { kind: FailureKind::Expired, .. })) {
            let Some((next, AuthReply::Ok { .. })) = self.ask_again(ticket).await else {
                self.session.hand_over_failed(self.shared.pid, id, None);
                return Ok(End::Over);
            };
            let mechanisms = self.session.mechanisms();
            id = next.id();
            ticket = next;
            (request.auth_pid, request.cookie) = (mechanisms.server_pid, mechanisms.cookie.clone());
            request.auth_id = id;
            (result, near) = self.transport.offer(&path, &request).await;
        }
        match result {
            Ok(Reply::Ok { pid }) => {
                ticket.keep();
                self.session.handed_over(pid);
                return Ok(near.map_or(End::Over, End::Proxy));
            }
            // 2.3's login process counts connections itself: there is no mail process in its line.
            Ok(Reply::Failed { client_text, kind: FailureKind::Limit, .. }) => {
                self.session.refused(&client_text, None);
            }
            Ok(Reply::Failed { client_text, kind: FailureKind::Denied, pid }) => {
                self.session.refused(&client_text, Some(pid));
            }
            Ok(Reply::Failed { kind: FailureKind::Script, pid, .. }) => {
                let last_words = match near {
                    Some(near) => heard(near).await,
                    None => Vec::new(),
                };
                self.session.denied_by_script(&last_words, pid);
            }
            Ok(Reply::Failed { pid, .. }) => self.session.hand_over_failed(self.shared.pid, id, Some(pid)),
            Err(error) => {
                let peer = self.session.peer().ends.remote_ip().map_or(String::new(), |ip| ip.to_string());
                self.shared.log.error(format_args!(
                    "master({}): {} (client-pid={}, client-id={id}, rip={peer}, created {} msecs ago)",
                    path.file_name().unwrap_or_default().display(),
                    base::chain(&error),
                    self.shared.pid,
                    started.elapsed().as_millis(),
                ));
                self.session.hand_over_failed(self.shared.pid, id, None);
            }
        }
        Ok(End::Over)
    }

    fn request(&mut self, auth_id: u32) -> (Request, PathBuf) {
        let facts = self.session.hand_over();
        let path = match &facts.postlogin_socket {
            Some(name) => self.shared.mail_socket.with_file_name(name),
            None => self.shared.mail_socket.clone(),
        };
        let peer = self.session.peer();
        let mechanisms = self.session.mechanisms();
        let request = Request {
            auth_pid: mechanisms.server_pid,
            auth_id,
            client_pid: self.shared.pid,
            cookie: mechanisms.cookie.clone(),
            tag: facts.tag,
            untagged_capability: facts.untagged_capability,
            session_id: facts.session_id,
            input: facts.input,
            remote_ip: peer.ends.remote_ip(),
            remote_port: peer.ends.remote_port(),
            local_ip: peer.ends.local_ip(),
            local_port: peer.ends.local_port(),
            local_name: peer.local_name.clone().unwrap_or_default(),
            tls: peer.tls != Tls::Off,
            secured: peer.secured,
            send_ok: true,
            known: None,
        };
        (request, path)
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let early = self.session.tls_starting();
        let Transport::Plain(stream) = std::mem::replace(&mut self.transport, Transport::None) else {
            return Ok(());
        };
        let (shared, session) = (&self.shared, &mut self.session);
        let choose = |name: Option<&str>| {
            if let Some(name) = name {
                let whom = Whom { local_name: Some(name), ..whom(session.peer()) };
                let config = shared.configs.config(&shared.process.settings(), whom);
                session.set_config(config, name);
            }
            session.config().tls(&shared.log)
        };
        match Box::pin(tls::accept(stream, &early, choose)).await {
            Ok((stream, context)) => {
                let details = tls::details(&stream).map_or(String::new(), |details| details.to_string());
                let cert = context.client_cert(stream.get_ref().1);
                let bindings = context.bindings(stream.get_ref().1);
                self.note_certificate(&cert);
                self.session.tls_started(details, cert);
                self.session.set_bindings(bindings);
                self.transport = Transport::Tls(Box::new(stream));
                self.written = 0;
                Ok(())
            }
            Err(error) => {
                self.session.tls_failed(&error.to_string());
                Err(End::Gone(match error {
                    tls::AcceptError::Closed(_) => "Connection closed".to_owned(),
                    error => format!("Connection closed: {error}"),
                }))
            }
        }
    }

    fn note_certificate(&mut self, cert: &ClientCert) {
        if !self.session.config().verbose_ssl {
            return;
        }
        match cert {
            ClientCert::None => {}
            ClientCert::Invalid(reason) => self.session.log(Level::Info, reason),
            ClientCert::Valid { subject, .. } => {
                self.session.log(Level::Info, &format!("Received valid SSL certificate: {subject}"));
            }
        }
    }

    /// Reads once and hands the bytes to the session.
    async fn read(&mut self) -> Result<(), End> {
        let (transport, session) = (&mut self.transport, &mut self.session);
        let read = poll_fn(|context| {
            let mut memory = [MaybeUninit::uninit(); READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut memory);
            let read = ready!(transport.poll_read(context, &mut buffer));
            session.push(buffer.filled());
            Poll::Ready(read.map(|()| buffer.filled().len()))
        });
        match read.await {
            Ok(0) => Err(End::Gone("Connection closed".into())),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(End::Gone("Connection closed".into()))
            }
            Err(error) => {
                let error = base::reason(&error);
                Err(End::Gone(format!("Connection closed: read(size={READ_BYTES}) failed: {error}")))
            }
        }
    }

    /// Writes log lines, and what the client is to get.
    async fn flush(&mut self) -> Result<(), End> {
        self.write_lines();
        if !self.session.has_output() {
            return Ok(());
        }
        let output = self.session.take_output();
        self.written += output.len() as u64;
        let written = match &mut self.transport {
            Transport::Plain(stream) => stream.write_all(&output).await,
            Transport::Tls(stream) => match stream.write_all(&output).await {
                Ok(()) => stream.flush().await,
                error => error,
            },
            Transport::None => Ok(()),
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => End::Gone("Connection closed".into()),
            _ => End::Gone(format!("Connection closed: write() failed: {}", base::reason(&error))),
        })
    }

    fn write_lines(&mut self) {
        for (level, line) in self.session.take_lines() {
            self.shared.log.log(level, line);
        }
    }

    /// The last words to a client that is sent away, and their log line.
    async fn say_goodbye(&mut self, eviction: Option<Eviction>) {
        match eviction {
            Some(eviction) => {
                let text = eviction.to_string();
                self.session.send_away(&text, &text, now());
            }
            None => self.session.timed_out(now()),
        }
        self.close().await;
    }

    async fn finish(&mut self, end: End) {
        match end {
            End::Gone(reason) => self.session.disconnect(&reason, now()),
            End::AuthBroken => self.session.send_away("Auth process broken", "Auth process broken", now()),
            End::Over | End::Proxy(_) | End::Elsewhere(_) => {}
        }
        self.close().await;
    }

    /// Delivers what is left to say and closes. A client that does not read is not waited for long.
    async fn close(&mut self) {
        let _ = timeout(GOODBYE, self.flush()).await;
        self.write_lines();
        if let Transport::Tls(stream) = &mut self.transport {
            let _ = timeout(GOODBYE, stream.shutdown()).await;
        }
    }

    /// Leaves only what the proxy needs; everything else of the time before login is given back.
    fn into_proxy(mut self: Box<Self>, mail: UnixStream) {
        self.write_lines();
        let Self { shared, transport, seat, .. } = *self;
        seat.becomes_proxy();
        if let Transport::Tls(stream) = transport {
            tokio::spawn(crate::serve::proxy(shared, stream, mail, seat));
        }
    }
}

impl Transport {
    /// Offers the client to a mail process; with TLS, a socket to it, whose other end comes back.
    async fn offer(
        &mut self,
        path: &Path,
        request: &Request,
    ) -> (Result<Reply, HandOverError>, Option<UnixStream>) {
        if let Self::Plain(stream) = self {
            return (hand_over(path, request, stream.as_fd()).await, None);
        }
        match UnixStream::pair() {
            Ok((near, far)) => (hand_over(path, request, far.as_fd()).await, Some(near)),
            Err(error) => (Err(HandOverError::Pair(base::reason(&error))), None),
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
            Self::None => Poll::Ready(Ok(())),
        }
    }
}

/// What a post-login script has said to a client whose TLS is ours.
async fn heard(near: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut near = near.take(SCRIPT_WORDS_BYTES_MAX);
    let _ = timeout(GOODBYE, near.read_to_end(&mut bytes)).await;
    bytes
}

fn whom(peer: &Peer) -> Whom<'_> {
    Whom {
        local_ip: peer.ends.local_ip(),
        remote_ip: peer.ends.remote_ip(),
        local_name: peer.local_name.as_deref(),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
