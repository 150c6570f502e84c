//! The client protocol 1.2 (`auth-client`, `login/login`): login processes, and Postfix and Exim,
//! let their clients authenticate here.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use sasl::encoding::{from_base64, hex};
use sasl::mech::{self, Issuer, Mechanism, MechanismInfo, Need};
use service::{Client, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};
use zeroize::Zeroizing;

use crate::exchange::{self, Exchange};
use crate::kerberos;
use crate::limits::{
    CLIENT_LINE_BYTES_MAX, CONNECTION_REQUESTS_MAX, PROXY_CONNECTS_MAX, REQUEST_SWEEP, REQUEST_TIMEOUT,
};
use crate::lines::{Broken, Lines, Output};
use crate::request::Request;
use crate::request::fields::now_s;
use crate::server::Auth;
use crate::tab;

/// What kind of client it is, by its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only wants to know whether somebody is who he says.
    Client,
    /// A login process: a mail process will ask for who logged in.
    Login,
    /// One of our own that has a token.
    Token,
    /// Both.
    TokenLogin,
}

impl Kind {
    /// Whether somebody will ask for who logged in.
    pub(crate) fn is_login(self) -> bool {
        matches!(self, Self::Login | Self::TokenLogin)
    }

    fn has_token(self) -> bool {
        matches!(self, Self::Token | Self::TokenLogin)
    }
}

/// A connection.
pub(crate) struct ClientConnection {
    pub(crate) auth: Rc<Auth>,
    pub(crate) kind: Kind,
    /// Proves to us that a mail process speaks for one of this connection's clients.
    pub(crate) cookie: [u8; 16],
    pub(crate) pid: Cell<u32>,
    /// Its number, `CUID`.
    number: u32,
    /// What the kernel says who it is.
    peer_pid: Option<u32>,
    /// Failures that wait for their time.
    delayed: Cell<usize>,
    /// A failure was answered or a request has left.
    settled: Notify,
    pub(crate) output: Rc<Output>,
    minor_version: Cell<u32>,
    slots: RefCell<HashMap<u32, Slot>>,
    next_serial: Cell<u64>,
    is_sweeping: Cell<bool>,
}

/// A request by its id.
struct Slot {
    /// Tells it from another request that gets the same id later.
    serial: u64,
    since: Instant,
    state: State,
}

enum State {
    /// It is with the databases.
    Busy,
    /// It waits for the client's answer to a challenge.
    Challenged(oneshot::Sender<Zeroizing<Vec<u8>>>, Box<Request>),
    /// It waits for the mail process to ask who logged in.
    Successful(Box<Request>),
    /// Its client is logged in to another server, by connections that we make.
    Proxied { destination: SocketAddr, connects: u32 },
}

/// A request's handle on its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) id: u32,
    serial: u64,
}

/// Why a line ends the connection; the text is for the log.
struct Bug(String);

/// Serves one connection until it ends.
pub(crate) async fn serve(auth: &Rc<Auth>, client: Client, kind: Kind, shutdown: &Shutdown) {
    let Client { stream, guard: _guard, .. } = client;
    let peer_pid = getsockopt(&stream, PeerCredentials).ok().and_then(|peer| u32::try_from(peer.pid()).ok());
    let retire = async {
        match kind.is_login() {
            true => shutdown.retiring().await,
            // Programs of others leave in their own time.
            false => std::future::pending().await,
        }
    };
    talk(auth, stream, kind, peer_pid, retire, shutdown.stopping()).await;
}

/// The same over any stream, until it or `stop` ends, or after `retire` as soon as no request is
/// left: the login process then goes on with the next auth process, which is the one that mail
/// processes ask.
pub(crate) async fn talk(
    auth: &Rc<Auth>,
    stream: impl AsyncRead + AsyncWrite + 'static,
    kind: Kind,
    peer_pid: Option<u32>,
    retire: impl Future<Output = ()>,
    stop: impl Future<Output = ()>,
) {
    let (reader, writer) = tokio::io::split(stream);
    let connection = ClientConnection::new(auth, kind, peer_pid);
    let output = connection.output.clone();
    connection.greet();
    let writing = tokio::task::spawn_local(output.clone().write_to(writer));
    let mut lines = Lines::new(reader, CLIENT_LINE_BYTES_MAX);
    tokio::select! {
        () = connection.read(&mut lines) => {}
        () = async { retire.await; connection.is_unused().await } => {}
        () = stop => connection.drain().await,
    }
    connection.end();
    output.close();
    let _ = writing.await;
}

impl ClientConnection {
    fn new(auth: &Rc<Auth>, kind: Kind, peer_pid: Option<u32>) -> Rc<Self> {
        let mut cookie = [0; 16];
        crate::random::fill(&mut cookie);
        let number = auth.connections.get().wrapping_add(1);
        auth.connections.set(number);
        Rc::new(Self {
            auth: auth.clone(),
            kind,
            cookie,
            pid: Cell::new(0),
            number,
            peer_pid,
            delayed: Cell::new(0),
            settled: Notify::new(),
            output: Rc::default(),
            minor_version: Cell::new(0),
            slots: RefCell::default(),
            next_serial: Cell::new(0),
            is_sweeping: Cell::new(false),
        })
    }

    /// 2.3 sends everything at once, before the client says a word.
    fn greet(&self) {
        let mut text = "VERSION\t1\t2".to_owned();
        for mechanism in self.mechanisms() {
            text.push_str("\nMECH\t");
            text.push_str(mechanism.name);
            for property in mechanism.properties {
                text.push('\t');
                text.push_str(property.word());
            }
        }
        let (pid, number) = (std::process::id(), self.number);
        text.push_str(&format!("\nSPID\t{pid}\nCUID\t{number}\nCOOKIE\t{}\nDONE", hex(&self.cookie)));
        self.output.send(&text);
    }

    /// The mechanisms that such a client can use: Postfix and Exim tell us nothing of the TLS
    /// sessions of their clients.
    fn mechanisms(&self) -> impl Iterator<Item = &'static MechanismInfo> {
        let kind = self.kind;
        let all = self.auth.services.mechanisms.iter().copied();
        let all =
            all.filter(move |mechanism| !kind.has_token() && (kind.is_login() || !mechanism.is_bound()));
        all.chain(kind.has_token().then_some(mech::DOVECOT_TOKEN))
    }

    async fn read(self: &Rc<Self>, lines: &mut Lines<impl AsyncRead + Unpin>) {
        let log = &self.auth.scope.log;
        let mut has_version = false;
        loop {
            if self.output.has_room().await.is_err() {
                return;
            }
            let line = match lines.next().await {
                Ok(Some(line)) => Zeroizing::new(line),
                Ok(None) => return self.log_lost("EOF"),
                Err(Broken::Io(error)) => return self.log_lost(&base::reason(&error)),
                Err(Broken::TooLong) => {
                    return log.error(format_args!(
                        "BUG: Auth client {} sent us more than {CLIENT_LINE_BYTES_MAX} bytes",
                        self.pid.get()
                    ));
                }
            };
            let result = match (has_version, self.pid.get()) {
                (false, _) => self.version(&line).map(|()| has_version = true),
                (true, 0) => self.cpid(&line),
                _ => self.command(&line),
            };
            if let Err(Bug(text)) = result {
                return log.error(text);
            }
        }
    }

    fn log_lost(&self, why: &str) {
        let busy = |slot: &&Slot| !matches!(slot.state, State::Successful(_) | State::Proxied { .. });
        let count = self.slots.borrow().values().filter(busy).count();
        if count > 0 {
            let pid = self.login_pid();
            self.auth
                .scope
                .log
                .error(format_args!("auth client {pid} disconnected with {count} pending requests: {why}"));
        }
    }

    fn version(&self, line: &str) -> Result<(), Bug> {
        let invalid = || Bug(format!("Authentication client sent invalid VERSION line: {line}"));
        let (major, minor) =
            line.strip_prefix("VERSION\t").and_then(|rest| rest.split_once('\t')).ok_or_else(invalid)?;
        let (major, minor): (u32, u32) = major.parse().ok().zip(minor.parse().ok()).ok_or_else(invalid)?;
        if major != 1 {
            return Err(Bug(
                "Authentication client not compatible with this server (mixed old and new binaries?)".into(),
            ));
        }
        self.minor_version.set(minor);
        Ok(())
    }

    /// Only login processes are known by it: others may be on other machines.
    fn cpid(self: &Rc<Self>, line: &str) -> Result<(), Bug> {
        let Some(pid) = line.strip_prefix("CPID\t") else {
            return Err(Bug(format!(
                "BUG: Authentication client sent unknown handshake command: {}",
                cut(line)
            )));
        };
        let pid = pid.parse().ok().filter(|pid| *pid != 0);
        let pid: u32 = pid.ok_or_else(|| Bug("BUG: Authentication client said it's PID 0".into()))?;
        if self.kind.is_login() {
            match self.auth.logins.borrow_mut().entry(pid) {
                // The old connection may have ended without our having seen it yet, which is sure
                // for a process that comes under its own id.
                Entry::Occupied(known) if known.get().strong_count() > 0 && self.peer_pid != Some(pid) => {
                    return Err(Bug(format!(
                        "BUG: Authentication client gave a PID {pid} of existing connection"
                    )));
                }
                Entry::Occupied(mut known) => drop(known.insert(Rc::downgrade(self))),
                Entry::Vacant(place) => {
                    place.insert(Rc::downgrade(self));
                }
            }
        }
        self.pid.set(pid);
        self.auth.debug(format_args!("auth client connected (pid={})", self.login_pid()));
        Ok(())
    }

    /// The process id as requests and log lines show it; 0 for those that are no login processes.
    pub(crate) fn login_pid(&self) -> u32 {
        if self.kind.is_login() { self.pid.get() } else { 0 }
    }

    fn command(self: &Rc<Self>, line: &str) -> Result<(), Bug> {
        let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
        let is_debug = self.auth.config().debug;
        match word {
            "AUTH" => {
                if is_debug {
                    self.auth.debug(format_args!("client in: {}", self.shown_auth(line)));
                }
                self.begin(rest)
            }
            "CONT" => {
                if is_debug {
                    self.auth.debug(format_args!("client in: {}", self.shown_cont(line)));
                }
                self.go_on(rest)
            }
            "CANCEL" => {
                self.auth.debug(format_args!("client in: {line}"));
                let id: u32 =
                    rest.parse().map_err(|_| Bug("BUG: Authentication client sent broken CANCEL".into()))?;
                self.slots.borrow_mut().remove(&id);
                self.settled.notify_one();
                Ok(())
            }
            _ => Err(Bug(format!("BUG: Authentication client sent unknown command: {}", cut(line)))),
        }
    }

    fn shown_auth(&self, line: &str) -> String {
        const NOTE: &str = " (previous base64 data may contain sensitive data)";
        match line.split_once("\tresp=") {
            Some(_) if self.auth.config().debug_passwords => format!("{line}{NOTE}"),
            Some((before, response)) => {
                let after = response.find('\t').map_or("", |at| &response[at..]);
                format!("{before}\tresp=<hidden>{after}")
            }
            None => line.to_owned(),
        }
    }

    fn shown_cont(&self, line: &str) -> String {
        const NOTE: &str = " (previous base64 data may contain sensitive data)";
        match line.find('\t') {
            Some(_) if self.auth.config().debug_passwords => format!("{line}{NOTE}"),
            Some(at) => format!("{}<hidden>", &line[..at]),
            None => line.to_owned(),
        }
    }

    /// `AUTH <id> <mechanism> service=… [parameters] [resp=…]`
    fn begin(self: &Rc<Self>, rest: &str) -> Result<(), Bug> {
        let pid = self.login_pid();
        let bug = |text: String| Bug(format!("BUG: Authentication client {pid} {text}"));
        let words: Vec<Zeroizing<String>> = tab::words(rest).map(Zeroizing::new).collect();
        let id = words.first().and_then(|id| id.parse::<u32>().ok()).filter(|id| *id != 0);
        let (Some(id), Some(name)) = (id, words.get(1)) else {
            return Err(bug("sent broken AUTH request".into()));
        };
        let mechanism = self
            .mechanisms()
            .find(|known| known.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| bug(format!("requested unsupported authentication mechanism {}", cut(name))))?;
        let parameters = words.get(2..).unwrap_or_default();
        let service = parameters.iter().rev().find_map(|word| word.strip_prefix("service="));
        let mut request = self.auth.request(service.unwrap_or_default());
        request.facts.client_pid = pid;
        request.facts.mechanism = Some(mechanism.name.to_owned());
        let mut response = None;
        for (at, word) in parameters.iter().enumerate() {
            let (key, value) = tab::pair(word);
            if !request.import_auth(key, value) && key == "resp" {
                if at + 1 < parameters.len() {
                    return Err(bug("sent AUTH parameters after 'resp'".into()));
                }
                response = Some(value);
            }
        }
        if service.is_none() {
            return Err(bug("didn't specify service in request".into()));
        }
        if self.slots.borrow().contains_key(&id) {
            return Err(bug(format!("sent a duplicate ID {id}")));
        }
        if self.slots.borrow().len() >= CONNECTION_REQUESTS_MAX {
            return Err(bug(format!("has more than {CONNECTION_REQUESTS_MAX} requests")));
        }
        if let Some(reason) = refused_certificate(&request) {
            self.refuse(&request, id, "", reason);
            return Ok(());
        }
        let Ok(initial) = self.initial_response(response) else {
            self.refuse(&request, id, "invalid_base64", "Invalid base64 data in initial response");
            return Ok(());
        };
        let ticket = self.open(id);
        let started = self.start(mechanism, &request);
        let blocks = mechanism.need == Need::Acceptor;
        run(exchange::run(
            self.clone(),
            ticket,
            request,
            Exchange::new(&self.auth, started, blocks),
            initial,
        ));
        Ok(())
    }

    fn start(&self, mechanism: &MechanismInfo, request: &Request) -> Box<dyn Mechanism> {
        (mechanism.begin)(&mut mech::Context {
            random: &mut crate::random::fill,
            host: &self.auth.host,
            now_s: now_s(),
            realms: &request.config.realms,
            issuer: Issuer {
                pid: std::process::id(),
                connection_id: self.number,
                started_s: self.auth.started_s,
            },
            acceptor: kerberos::acceptor(mechanism, request),
            bindings: request.bindings.clone(),
            user_is_known: request.facts.user.is_some(),
        })
    }

    /// `CONT <id> <base64>`
    fn go_on(self: &Rc<Self>, rest: &str) -> Result<(), Bug> {
        let broken = || Bug("BUG: Authentication client sent broken CONT request".into());
        let (id, data) = rest.split_once('\t').ok_or_else(broken)?;
        let id: u32 = id.parse().map_err(|_| broken())?;
        let slot = match self.slots.borrow_mut().entry(id) {
            Entry::Vacant(_) => None,
            Entry::Occupied(slot) if matches!(slot.get().state, State::Busy) => Some(slot.remove()),
            Entry::Occupied(mut slot) => {
                let state = std::mem::replace(&mut slot.get_mut().state, State::Busy);
                let since = std::mem::replace(&mut slot.get_mut().since, Instant::now());
                Some(Slot { serial: slot.get().serial, since, state })
            }
        };
        match slot.map(|slot| slot.state) {
            None => self.reply(&format!("FAIL\t{id}\treason=Authentication request timed out")),
            Some(State::Challenged(sender, request)) => match from_base64(data.as_bytes()) {
                // The request waits for just this.
                Some(data) => drop(sender.send(Zeroizing::new(data))),
                None => {
                    self.slots.borrow_mut().remove(&id);
                    self.settled.notify_one();
                    let reason = "Invalid base64 data in continued response";
                    self.refuse(&request, id, "invalid_base64", reason);
                }
            },
            Some(State::Busy | State::Proxied { .. }) => {
                self.slots.borrow_mut().remove(&id);
                self.settled.notify_one();
                let request = self.auth.request("");
                self.refuse(&request, id, "", "Unexpected continuation");
            }
            Some(State::Successful(request)) => {
                self.slots.borrow_mut().remove(&id);
                self.settled.notify_one();
                self.refuse(&request, id, "", "Unexpected continuation");
            }
        }
        Ok(())
    }

    /// The initial response, if there is one; an error if it is not base64.
    fn initial_response(&self, given: Option<&str>) -> Result<Option<Zeroizing<Vec<u8>>>, ()> {
        match given {
            None => Ok(None),
            // Exim says that there is none when it should say nothing.
            Some("") if self.minor_version.get() < 2 => Ok(None),
            Some("" | "=") => Ok(Some(Zeroizing::default())),
            Some(text) => from_base64(text.as_bytes()).map(|data| Some(Zeroizing::new(data))).ok_or(()),
        }
    }

    /// Refuses a request that never came to the databases.
    fn refuse(&self, request: &Request, id: u32, code: &str, reason: &str) {
        request.mechanism_info(reason);
        let mut line = format!("FAIL\t{id}");
        if !code.is_empty() {
            tab::push_pair(&mut line, "code", code);
        }
        tab::push_pair(&mut line, "reason", reason);
        self.reply(&line);
    }

    fn open(self: &Rc<Self>, id: u32) -> Ticket {
        self.next_serial.set(self.next_serial.get() + 1);
        let serial = self.next_serial.get();
        self.slots.borrow_mut().insert(id, Slot { serial, since: Instant::now(), state: State::Busy });
        if !self.is_sweeping.replace(true) {
            tokio::task::spawn_local(sweep(Rc::downgrade(self)));
        }
        Ticket { id, serial }
    }

    /// Sends a line.
    pub(crate) fn reply(&self, line: &str) {
        if self.auth.config().debug {
            let shown = match self.auth.config().debug_passwords {
                true => line.to_owned(),
                false => crate::lines::without_passwords(line, true),
            };
            self.auth.debug(format_args!("client passdb out: {shown}"));
        }
        self.output.send(line);
    }

    /// Sends a challenge; the receiver gets the client's answer, or an error when there will be
    /// none.
    pub(crate) fn challenge(
        &self,
        ticket: Ticket,
        request: Box<Request>,
        line: &str,
    ) -> oneshot::Receiver<Zeroizing<Vec<u8>>> {
        let (sender, receiver) = oneshot::channel();
        if self.set_state(ticket, State::Challenged(sender, request)) {
            self.reply(line);
        }
        receiver
    }

    /// Takes the request off the list; `false` if the client has cancelled it.
    pub(crate) fn finish(&self, ticket: Ticket) -> bool {
        match self.slots.borrow_mut().entry(ticket.id) {
            Entry::Occupied(slot) if slot.get().serial == ticket.serial => {
                slot.remove();
                self.settled.notify_one();
                true
            }
            _ => false,
        }
    }

    /// Keeps the request for the mail process; `false` if the client has cancelled it.
    pub(crate) fn keep(&self, ticket: Ticket, request: Box<Request>) -> bool {
        self.set_state(ticket, State::Successful(request))
    }

    /// Keeps a login that is proxied until its login process is through with it, so that it can be
    /// connected to `destination`; `false` if the client has cancelled it.
    pub(crate) fn grant(&self, ticket: Ticket, destination: SocketAddr) -> bool {
        self.set_state(ticket, State::Proxied { destination, connects: 0 })
    }

    /// Where the login `id` may be connected to, once more.
    pub(crate) fn use_grant(&self, id: u32) -> Option<SocketAddr> {
        match &mut self.slots.borrow_mut().get_mut(&id)?.state {
            State::Proxied { destination, connects } if *connects < PROXY_CONNECTS_MAX => {
                *connects += 1;
                Some(*destination)
            }
            _ => None,
        }
    }

    /// Whether the process at the other end is the one with this id, by what the kernel says.
    pub(crate) fn is_process(&self, pid: Option<u32>) -> bool {
        pid.is_some() && pid == self.peer_pid
    }

    fn set_state(&self, ticket: Ticket, state: State) -> bool {
        match self.slots.borrow_mut().get_mut(&ticket.id) {
            Some(slot) if slot.serial == ticket.serial => {
                (slot.state, slot.since) = (state, Instant::now());
                true
            }
            _ => false,
        }
    }

    /// Gives a successful request to the mail process: `Err(true)` if there is such a request, but
    /// without success.
    pub(crate) fn take(&self, id: u32) -> Result<Box<Request>, bool> {
        self.settled.notify_one();
        match self.slots.borrow_mut().remove(&id).map(|slot| slot.state) {
            Some(State::Successful(request)) => Ok(request),
            Some(_) => Err(true),
            None => Err(false),
        }
    }

    /// Waits for the time at which a failure may be answered.
    pub(crate) async fn delay_failure(&self, delay: Duration) {
        self.delayed.set(self.delayed.get() + 1);
        if !self.auth.is_stopping.get() {
            self.auth.delays.wait(delay).await;
        }
        self.delayed.set(self.delayed.get() - 1);
        self.settled.notify_one();
    }

    /// Waits until there is no request.
    async fn is_unused(&self) {
        while self.delayed.get() > 0 || !self.slots.borrow().is_empty() {
            self.settled.notified().await;
        }
        // Who was last sends the answer before he lets anybody else run.
        tokio::task::yield_now().await;
    }

    /// Waits until failures are answered, which at the end they are at once.
    async fn drain(&self) {
        while self.delayed.get() > 0 {
            self.settled.notified().await;
        }
        // Who waited sends the answer before he lets anybody else run.
        tokio::task::yield_now().await;
    }

    #[cfg(test)]
    pub(crate) fn open_requests(&self) -> usize {
        self.slots.borrow().len()
    }

    fn end(&self) {
        self.slots.borrow_mut().clear();
        let mut logins = self.auth.logins.borrow_mut();
        let pid = self.pid.get();
        if logins.get(&pid).is_some_and(|known| std::ptr::eq(known.as_ptr(), self)) {
            logins.remove(&pid);
        }
    }

    fn expire(&self) {
        let is_old = |slot: &mut Slot| slot.since.elapsed() >= REQUEST_TIMEOUT;
        let expired: Vec<(u32, Slot)> = self.slots.borrow_mut().extract_if(|_, slot| is_old(slot)).collect();
        self.settled.notify_one();
        for (id, slot) in expired {
            let seconds = slot.since.elapsed().as_secs();
            match slot.state {
                State::Challenged(_, request) => request.mechanism_info(format_args!(
                    "Request timed out waiting for client to continue authentication ({seconds} secs)"
                )),
                State::Successful(request) => request.mechanism_error(format_args!(
                    "Request {}.{id} timed out after {seconds} secs, state=3",
                    self.login_pid()
                )),
                // Nobody logs in for so long.
                State::Proxied { .. } => {}
                State::Busy => self.auth.scope.log.error(format_args!(
                    "Request {}.{id} timed out after {seconds} secs, state=1",
                    self.login_pid()
                )),
            }
        }
    }
}

/// Looks for requests that nobody asks for any more, while there are requests.
async fn sweep(connection: Weak<ClientConnection>) {
    loop {
        tokio::time::sleep(REQUEST_SWEEP).await;
        let Some(connection) = connection.upgrade() else { return };
        connection.expire();
        if connection.slots.borrow().is_empty() {
            connection.is_sweeping.set(false);
            return;
        }
    }
}

/// Runs a future as far as it comes at once, which for most logins is to its end, and the rest of
/// it as a task.
pub(crate) fn run(future: impl Future<Output = ()> + 'static) {
    let mut future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    // A pending future is polled again by its task, with a waker that works.
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        tokio::task::spawn_local(future);
    }
}

fn refused_certificate(request: &Request) -> Option<&'static str> {
    let config = &request.config;
    match config.ssl_require_client_cert {
        true if !request.facts.valid_client_cert => Some("Client didn't present valid SSL certificate"),
        true if config.ssl_username_from_cert && !request.facts.cert_username => {
            Some("SSL certificate didn't contain username")
        }
        _ => None,
    }
}

/// What a stranger sent, for the log.
pub(crate) fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(80).is_some() {
        shown.push_str("...");
    }
    shown
}
