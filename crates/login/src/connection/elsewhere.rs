//! Logging a client in to another server: connecting by way of the auth process, TLS, the conversation of
//! [`crate::backend`], another try if that failed, and what is left for [`crate::relay`] afterwards.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Level;
use ipc::anvil::Proxied;
use ipc::connect::Connect;
use net::tls::{self, ClientStream};
use service::anvil::AnvilSession;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Connection, End, Transport, now};
use crate::backend::record;
use crate::backend::{self, Backend, Destination, Failure, FailureKind, Next, Output, Security};
use crate::connect::{Outcome, connect};
use crate::limits::{BACKEND_LINE_BYTES_MAX, BACKEND_RETRY, BACKEND_RETRY_LEFT, LOGIN_TIMEOUT};
use crate::notify::Refresh;
use crate::relay::{Duplex, Relay};
use crate::session::{Action, AuthReply};

/// What an administrator's `doveadm proxy kick` is called in the log.
pub(crate) const KICKED: &str = "Disconnected by proxy: Kicked by admin";

/// A client that is logged in to another server.
pub(super) struct Elsewhere {
    server: Server,
    /// What the client sent behind its login.
    early: Vec<u8>,
    connection: record::Connection,
    prefix: String,
    anvil: Option<AnvilSession>,
    refresh: Option<Refresh>,
}

/// What is left of a connection then.
pub(crate) struct Relayed {
    pub(crate) relay: Relay,
    /// Counts it.
    pub(crate) connection: record::Connection,
    /// Announces it.
    pub(crate) anvil: Option<AnvilSession>,
    /// The first part of its log lines.
    pub(crate) prefix: String,
    /// The last part.
    pub(crate) log_elements: String,
    pub(crate) config: Arc<crate::config::Config>,
    /// Whether somebody wants to hear of it.
    pub(crate) refresh: Option<Refresh>,
}

/// The other server, once it is connected to.
struct Server {
    stream: ServerStream,
    /// What it said and nobody has looked at.
    input: Vec<u8>,
    /// How much went there; from the handshake on if there is one.
    sent: u64,
}

enum ServerStream {
    Plain(TcpStream),
    Tls(Box<ClientStream<TcpStream>>),
    /// In a handshake, or after a failed one.
    None,
}

/// How a login fares.
struct Tries {
    began: Instant,
    reconnects: u64,
    source: Option<IpAddr>,
}

/// What came of one attempt.
enum Tried {
    LoggedIn(Server, record::Connection),
    Failed(Failure),
    /// The same, and another attempt would end so, too.
    Hopeless(Failure),
    /// The auth process is another one now.
    Expired,
}

impl Connection {
    /// Logs the client in to another server; `None` if that failed and the client was told so.
    pub(super) async fn log_in_elsewhere(
        &mut self,
        destination: Box<Destination>,
    ) -> Result<Option<End>, End> {
        let destination = Arc::new(*destination);
        let anvil = self.announce(&destination);
        let kicks = anvil.as_ref().map(AnvilSession::kicks);
        let kicked = async {
            match &kicks {
                Some(kicks) => kicks.wait().await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            done = self.try_servers(destination) => done?,
            () = kicked => return Err(End::Gone(KICKED.to_owned())),
        };
        self.ticket = None;
        self.again = None;
        Ok(done.map(|elsewhere| End::Elsewhere(Box::new(Elsewhere { anvil, ..elsewhere }))))
    }

    fn announce(&self, destination: &Destination) -> Option<AnvilSession> {
        let anvil = self.shared.process.anvil()?;
        Some(anvil.proxy(Proxied {
            id: 0,
            username: destination.user.clone(),
            alt_usernames: destination.alt_usernames.clone(),
            service: self.shared.protocol.name().to_owned(),
            remote_ip: self.session.peer().ends.remote_ip(),
            host: destination.host.clone(),
            dest_ip: destination.ip,
            dest_port: destination.port,
        }))
    }

    async fn try_servers(&mut self, mut destination: Arc<Destination>) -> Result<Option<Elsewhere>, End> {
        let source = destination.source_ip.or_else(|| self.session.config().here.next_source_ip());
        let mut tries = Tries { began: Instant::now(), reconnects: 0, source };
        let mut is_asked_again = false;
        loop {
            let failure = match self.try_server(&destination, &tries).await? {
                Tried::LoggedIn(server, connection) => {
                    return Ok(Some(self.logged_in_elsewhere(&destination, &tries, server, connection)));
                }
                Tried::Expired if !is_asked_again => {
                    is_asked_again = true;
                    match self.ask_where_to().await {
                        Some(anew) => {
                            destination = Arc::new(*anew);
                            continue;
                        }
                        None => Failure::new(FailureKind::Internal, "The auth process has gone"),
                    }
                }
                Tried::Expired => Failure::new(FailureKind::Internal, "Auth does not know this login"),
                Tried::Failed(failure) if self.may_try_again(&failure, &destination, &tries) => {
                    tries.reconnects += 1;
                    sleep(BACKEND_RETRY).await;
                    continue;
                }
                Tried::Failed(failure) | Tried::Hopeless(failure) => failure,
            };
            let details = destination.details(tries.source);
            self.session.proxy_failed(&failure, &destination.log_prefix(), &details);
            return Ok(None);
        }
    }

    /// Another auth process says where the client goes, if it lets it in at all.
    async fn ask_where_to(&mut self) -> Option<Box<Destination>> {
        let ticket = self.ticket.take()?;
        let (next, reply) = self.ask_again(ticket).await?;
        self.ticket = Some(next);
        if !matches!(reply, AuthReply::Ok { .. }) {
            return None;
        }
        match self.session.auth_replied(reply, now()) {
            Action::Proxy(destination) => Some(destination),
            _ => None,
        }
    }

    fn may_try_again(&self, failure: &Failure, destination: &Destination, tries: &Tries) -> bool {
        let config = &self.session.config().proxy;
        let most = self.patience(destination);
        failure.kind.is_worth_another_try()
            && tries.reconnects < config.max_reconnects
            && most.saturating_sub(tries.began.elapsed()) > BACKEND_RETRY_LEFT
    }

    /// How long a server may take for a login.
    fn patience(&self, destination: &Destination) -> Duration {
        let most = destination.timeout.unwrap_or(self.session.config().proxy.timeout);
        // Nobody logs in for longer.
        if most.is_zero() { LOGIN_TIMEOUT } else { most }
    }

    async fn try_server(&mut self, destination: &Arc<Destination>, tries: &Tries) -> Result<Tried, End> {
        let about = self.session.about();
        if about.ttl <= 1 {
            let reason = "TTL reached zero - proxies appear to be looping?";
            return Ok(Tried::Hopeless(Failure::new(FailureKind::RemoteConfig, reason)));
        }
        let record = self.shared.backends.of(destination.ip, destination.port);
        let Some(attempt) = record.attempt(tries.began, destination.down_after) else {
            return Ok(Tried::Hopeless(Failure::new(FailureKind::Connect, "Host is down")));
        };
        let patience = self.patience(destination);
        let began = Instant::now();
        let stream = match self.connect_elsewhere(destination, tries, patience).await {
            Ok(stream) => stream,
            Err(tried) => {
                attempt.failed();
                return Ok(tried);
            }
        };
        let connection = attempt.succeeded();
        let local = stream.local_addr().ok();
        let mut backend = backend::begin(self.shared.protocol, destination.clone(), about);
        let mut server = Server { stream: ServerStream::Plain(stream), input: Vec::new(), sent: 0 };
        let left = patience.saturating_sub(began.elapsed());
        let talk = self.converse(destination, &mut server, &mut *backend);
        let outcome = match timeout(left, talk).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                let reason = format!("Login timed out in state={}", backend.state());
                Err(Failure::new(FailureKind::Connect, tries.told(&reason, local)))
            }
        };
        Ok(match outcome {
            Ok(()) => Tried::LoggedIn(server, connection),
            Err(failure) => Tried::Failed(failure),
        })
    }

    async fn connect_elsewhere(
        &mut self,
        destination: &Destination,
        tries: &Tries,
        patience: Duration,
    ) -> Result<TcpStream, Tried> {
        let mechanisms = self.session.mechanisms();
        let request = Connect {
            client_pid: self.shared.pid,
            cookie: mechanisms.cookie.clone(),
            auth_id: self.ticket.as_ref().map_or(0, |ticket| ticket.id()),
            source_ip: tries.source,
            timeout_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
        };
        let failed = |reason: &str, local| {
            let text = format!("connect({}, {}) failed: {reason}", destination.ip, destination.port);
            Tried::Failed(Failure::new(FailureKind::Connect, tries.told(&text, local)))
        };
        let outcome = timeout(patience, connect(&self.shared.connect_socket, &request)).await;
        match outcome {
            Ok(Outcome::Connected(stream)) => Ok(stream),
            Ok(Outcome::Failed(reason, local)) => Err(failed(&reason, local)),
            Ok(Outcome::Expired) => Err(Tried::Expired),
            Ok(Outcome::Broken(reason)) => Err(Tried::Failed(Failure::new(FailureKind::Internal, reason))),
            Err(_) => Err(failed("Connection timed out", None)),
        }
    }

    /// Talks with the server until the client is logged in. May be dropped at any await: the connection
    /// to the server is of no use then.
    async fn converse(
        &mut self,
        destination: &Destination,
        server: &mut Server,
        backend: &mut dyn Backend,
    ) -> Result<Result<(), Failure>, End> {
        if let Security::Tls { any_cert } = destination.security
            && let Err(failure) = self.start_server_tls(destination, server, any_cert, backend.state()).await
        {
            return Ok(Err(failure));
        }
        loop {
            let line = match server.line().await {
                Ok(line) => line,
                Err(Lost::TooLong) => {
                    return Ok(Err(Failure::new(FailureKind::Protocol, "Too long input line")));
                }
                Err(Lost::Gone(reason)) => return Ok(Err(self.server_gone(&reason, &backend.state()))),
            };
            let mut output = Output::default();
            let mut next = backend.line(&line, &mut output);
            self.pass_on(destination, &output);
            if let Err(reason) = server.send(&output.server).await {
                return Ok(Err(self.server_gone(&reason, &backend.state())));
            }
            if next == Next::StartTls {
                let Security::StartTls { any_cert } = destination.security else { continue };
                // Whoever is in between must not put words into the encrypted conversation.
                if !server.input.is_empty() {
                    let reason = "Input before the TLS handshake";
                    return Ok(Err(Failure::new(FailureKind::Protocol, reason)));
                }
                if let Err(failure) =
                    self.start_server_tls(destination, server, any_cert, backend.state()).await
                {
                    return Ok(Err(failure));
                }
                let mut output = Output::default();
                next = backend.tls_started(&mut output);
                if let Err(reason) = server.send(&output.server).await {
                    return Ok(Err(self.server_gone(&reason, &backend.state())));
                }
            }
            match next {
                Next::Line | Next::StartTls => {}
                Next::LoggedIn => {
                    self.flush().await?;
                    return Ok(Ok(()));
                }
                Next::Failed(failure) => return Ok(Err(failure)),
            }
            self.flush().await?;
        }
    }

    fn pass_on(&mut self, destination: &Destination, output: &Output) {
        self.session.say(&output.client);
        for error in &output.errors {
            self.session.log(Level::Error, &format!("{}{error}", destination.log_prefix()));
        }
    }

    fn server_gone(&self, reason: &str, state: &str) -> Failure {
        let seconds = now().saturating_sub(self.session.created_s());
        let text = format!("Disconnected by server: {reason} (state={state}, duration={seconds}s)");
        Failure::new(FailureKind::Connect, text)
    }

    async fn start_server_tls(
        &mut self,
        destination: &Destination,
        server: &mut Server,
        any_cert: bool,
        state: String,
    ) -> Result<(), Failure> {
        let config = self.session.config().clone();
        let context = match config.client_tls(any_cert) {
            Ok(context) => context,
            Err(error) => return Err(Failure::new(FailureKind::Internal, error)),
        };
        let ServerStream::Plain(stream) = std::mem::replace(&mut server.stream, ServerStream::None) else {
            return Err(Failure::new(FailureKind::Internal, "TLS is on already"));
        };
        match Box::pin(tls::connect(stream, &destination.host, context)).await {
            Ok(stream) => {
                server.stream = ServerStream::Tls(Box::new(stream));
                server.sent = 0;
                Ok(())
            }
            Err(error @ tls::ConnectError::Host(_)) => {
                Err(Failure::new(FailureKind::Internal, format!("Failed to create SSL client: {error}")))
            }
            Err(error) => Err(self.server_gone(&error.to_string(), &state)),
        }
    }

    fn logged_in_elsewhere(
        &mut self,
        destination: &Destination,
        tries: &Tries,
        server: Server,
        connection: record::Connection,
    ) -> Elsewhere {
        let Destination { ip, host, .. } = destination;
        let prefix = destination.log_prefix();
        let named = if ip.to_string() == *host { String::new() } else { format!(" (<{host}>)") };
        let (details, took) = (destination.details(tries.source), tries.began.elapsed());
        let (seconds, millis, again) = (took.as_secs(), took.subsec_millis(), tries.again());
        let text =
            format!("{prefix}Started proxying to <{ip}>{named}{details} ({seconds}.{millis:03} secs{again})");
        let early = self.session.proxying(&text);
        Elsewhere { server, early, connection, prefix, anvil: None, refresh: destination.refresh() }
    }

    /// Leaves only what relaying needs; everything else of the time before login is given back.
    pub(super) fn into_relay(mut self: Box<Self>, elsewhere: Elsewhere) {
        self.write_lines();
        let (config, log_elements) = (self.session.config().clone(), self.session.log_elements());
        let Self { shared, transport, seat, written, .. } = *self;
        let Elsewhere { server, early, connection, prefix, anvil, refresh } = elsewhere;
        let client: Box<dyn Duplex> = match transport {
            Transport::Plain(stream) => Box::new(stream),
            Transport::Tls(stream) => stream,
            Transport::None => return,
        };
        let Server { stream, input, sent } = server;
        let server: Box<dyn Duplex> = match stream {
            ServerStream::Plain(stream) => Box::new(stream),
            ServerStream::Tls(stream) => stream,
            ServerStream::None => return,
        };
        seat.becomes_proxy();
        let relay = Relay::new(client, server, (sent, written), (early, input));
        let relayed = Relayed { relay, connection, anvil, prefix, log_elements, config, refresh };
        tokio::spawn(crate::serve::relay(shared, relayed, seat));
    }
}

impl Tries {
    /// `, 2 reconnects`
    fn again(&self) -> String {
        match self.reconnects {
            0 => String::new(),
            count => format!(", {count} reconnects"),
        }
    }

    /// What went wrong, and when and where that was.
    fn told(&self, what: &str, local: Option<SocketAddr>) -> String {
        let local = local.map(|local| (local.ip(), local.port())).or(self.source.map(|ip| (ip, 0)));
        let local = match local {
            Some((ip, 0)) => format!(", local={ip}"),
            Some((ip, port)) => format!(", local={ip}:{port}"),
            None => String::new(),
        };
        format!("{what} (after {} secs{}{local})", self.began.elapsed().as_secs(), self.again())
    }
}

/// Why there is no next line.
enum Lost {
    TooLong,
    Gone(String),
}

impl Server {
    /// The next line, without its end.
    async fn line(&mut self) -> Result<String, Lost> {
        loop {
            if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Ok(line.trim_end_matches('\n').trim_end_matches('\r').to_owned());
            }
            if self.input.len() >= BACKEND_LINE_BYTES_MAX {
                return Err(Lost::TooLong);
            }
            let mut buffer = [0; BACKEND_LINE_BYTES_MAX];
            let read = match &mut self.stream {
                ServerStream::Plain(stream) => stream.read(&mut buffer).await,
                ServerStream::Tls(stream) => stream.read(&mut buffer).await,
                ServerStream::None => Ok(0),
            };
            match read {
                Ok(0) => return Err(Lost::Gone("Connection closed".to_owned())),
                Ok(count) => self.input.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(Lost::Gone("Connection closed".to_owned()));
                }
                Err(error) => {
                    return Err(Lost::Gone(format!("Connection closed: {}", base::reason(&error))));
                }
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = match &mut self.stream {
            ServerStream::Plain(stream) => stream.write_all(bytes).await,
            ServerStream::Tls(stream) => match stream.write_all(bytes).await {
                Ok(()) => stream.flush().await,
                error => error,
            },
            ServerStream::None => Ok(()),
        };
        self.sent += bytes.len() as u64;
        sent.map_err(|error| format!("Connection closed: write() failed: {}", base::reason(&error)))
    }
}
