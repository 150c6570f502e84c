//! The process: accepts clients, as many as it may have at once and in all, tells the master how
//! many there are, and ends when its time has come.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use ipc::control::ToMaster;
use net::load_balancer::LoadBalancers;
use net::tls::TlsStream;
use service::anvil::AnvilSession;
use service::{Fatal, Phase, Process, Stream};
use settings::key;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::accept::{Accepted, Acceptor};
use crate::arguments::Arguments;
use crate::arrival::arrive;
use crate::auth_client::AuthClient;
use crate::backend::record::Records;
use crate::clients::{Clients, Seat};
use crate::config::Configs;
use crate::connection::{self, KICKED, Relayed, Shared};
use crate::here::Here;
use crate::limits::{ACCEPT_PAUSE, GOODBYE, PROXY_GRACE, RELAY_IDLE, STATUS_PAUSE};
use crate::log_line;
use crate::proxy::pump;
use crate::relay::{Duplex, Relay, Side};
use crate::session::Protocol;

/// Where the auth process connects to other servers, below `base_dir`.
const CONNECT_SOCKET: &str = "login/auth-connect";

/// The life of a login process.
pub(crate) async fn run(protocol: Protocol, process: Process, here: Here) -> Result<(), Fatal> {
    let log = process.log().clone();
    let arguments = Arguments::parse(process.arguments(), protocol).map_err(Fatal::new)?;
    let pid = std::process::id();
    let auth = AuthClient::start(process.socket(&arguments.auth_socket()), pid, log.clone());
    let acceptor = Acceptor::new(process.take_listeners())?;
    let shared = Arc::new(Shared {
        protocol,
        configs: Configs::new(protocol, Arc::new(here), process.settings(), log.clone()),
        auth,
        clients: Clients::default(),
        pid,
        tls_always: arguments.tls,
        mail_socket: process.socket(&arguments.mail_socket()),
        connect_socket: process.socket(CONNECT_SOCKET),
        backends: Records::default(),
        shutdown: process.shutdown(),
        log,
        process,
    });
    // As a task of its own it is woken without a system call, which `main`'s future is not.
    tokio::spawn(Server::new(shared, acceptor).run()).await.map_err(Fatal::from)
}

/// Proxies a logged-in client's TLS until either side is through.
pub(crate) async fn proxy(shared: Arc<Shared>, client: Box<TlsStream<Stream>>, mail: UnixStream, seat: Seat) {
    tokio::select! {
        () = pump(client, mail) => {}
        () = last_words(&shared) => {}
    }
    drop(seat);
}

/// Relays a client that is logged in to another server until either side is through.
pub(crate) async fn relay(shared: Arc<Shared>, relayed: Relayed, seat: Seat) {
    let Relayed { mut relay, connection, anvil, prefix, log_elements, config, refresh } = relayed;
    let say = |text: &str| {
        shared.log.info(log_line::line(&config.log, &log_elements, &format!("{prefix}{text}")));
    };
    let (text, is_delayed) = tokio::select! {
        ended = relay.run() => {
            let side = if ended.by == Side::Server { "server" } else { "client" };
            let reason = if ended.error.is_empty() { String::new() } else { format!(": {}", ended.error) };
            (format!("Disconnected by {side}{reason} {}", relay.counts()), ended.by == Side::Server)
        }
        never = config.here.notify.go_on(refresh, &shared.log) => match never {},
        () = kicked(anvil.as_ref()) => (KICKED.to_owned(), true),
        () = shared.shutdown.stopping() => {
            until_idle(&mut relay).await;
            ("Disconnected by proxy: Process shutting down".to_owned(), false)
        }
    };
    let Relay { mut client, server, .. } = relay;
    drop((server, anvil));
    // Clients of a server that is gone are not to come back all at once.
    let jitter =
        Duration::from_millis((config.here.random)().iter().map(|&byte| u64::from(byte)).sum::<u64>() % 100);
    let most = if is_delayed { config.proxy.max_disconnect_delay } else { Duration::ZERO };
    match connection.lost(most, jitter) {
        Some((delay, _delayed)) => {
            say(&format!("{text} - disconnecting client in {}ms", delay.as_millis()));
            tokio::select! {
                () = sleep(delay) => {}
                () = silence(&mut *client) => {}
                () = shared.shutdown.stopping() => {}
            }
        }
        None => say(&text),
    }
    let _ = timeout(GOODBYE, client.shutdown()).await;
    drop(seat);
}

async fn kicked(anvil: Option<&AnvilSession>) {
    match anvil {
        Some(session) => session.kicked().await,
        None => pending().await,
    }
}

/// Goes on until nothing has moved for a while, but not for long.
async fn until_idle(relay: &mut Relay) {
    let until = Instant::now() + PROXY_GRACE;
    loop {
        let due = Instant::from_std(relay.last_io() + RELAY_IDLE).min(until);
        if due <= Instant::now() {
            return;
        }
        tokio::select! {
            _ = relay.run() => return,
            () = sleep_until(due) => {}
        }
    }
}

/// Reads what a client still says, for nobody, until it goes.
async fn silence(client: &mut dyn Duplex) {
    let mut buffer = [0; 512];
    while client.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

async fn last_words(shared: &Shared) {
    shared.shutdown.stopping().await;
    sleep(PROXY_GRACE).await;
}

struct Server {
    shared: Arc<Shared>,
    acceptor: Acceptor,
    balancers: LoadBalancers,
    served: u32,
    phase: Phase,
    /// All strangers have been told to go.
    is_dismissing: bool,
    told: Option<(u32, u32)>,
    tell_at: Option<Instant>,
}

/// What happened.
enum Event {
    Client(std::io::Result<Accepted>),
    Crowded,
    Changed,
    Tell,
    Phase(Phase),
    NoAuth,
}

impl Server {
    fn new(shared: Arc<Shared>, acceptor: Acceptor) -> Self {
        let balancers = LoadBalancers::new(&shared.process.settings().root(), &shared.log);
        Self {
            shared,
            acceptor,
            balancers,
            served: 0,
            phase: Phase::Running,
            is_dismissing: false,
            told: None,
            tell_at: None,
        }
    }

    async fn run(mut self) {
        loop {
            let counts = self.shared.clients.counts();
            let (is_open, here) = (self.is_open(), counts.strangers + counts.proxies);
            if !is_open {
                self.acceptor.close();
                if here == 0 {
                    break;
                }
                if counts.strangers == 0 {
                    self.shared.auth.quit();
                }
            }
            self.tell(here);
            match self.event(is_open, here).await {
                Event::Client(Ok(accepted)) => self.welcome(accepted),
                Event::Client(Err(error)) => {
                    // Out of descriptors, most likely: those that leave make room.
                    self.shared.log.error(format_args!("accept() failed: {error}"));
                    sleep(ACCEPT_PAUSE).await;
                }
                Event::Crowded => self.shared.clients.evict_oldest(),
                Event::Tell => self.tell_now(here),
                Event::Changed => {}
                Event::Phase(phase) => self.enter(phase),
                // There is nothing left that strangers could wait for.
                Event::NoAuth => self.dismiss(),
            }
        }
        self.tell_now(0);
    }

    /// Whether clients are still accepted, apart from there being room.
    fn is_open(&self) -> bool {
        let most = self.shared.process.service_count();
        self.phase == Phase::Running && (most == 0 || self.served < most)
    }

    async fn event(&mut self, is_open: bool, here: usize) -> Event {
        let shared = &self.shared;
        let has_room = here < shared.process.client_limit() as usize;
        let phase = self.phase;
        let tell_at = self.tell_at;
        tokio::select! {
            biased;
            () = shared.shutdown.stopping(), if phase < Phase::Stopping => Event::Phase(Phase::Stopping),
            () = shared.shutdown.retiring(), if phase < Phase::Retiring => Event::Phase(Phase::Retiring),
            () = shared.auth.unreachable(), if phase == Phase::Retiring && !self.is_dismissing => Event::NoAuth,
            () = shared.clients.changed() => Event::Changed,
            () = shared.process.crowded(), if is_open && !has_room => Event::Crowded,
            client = self.acceptor.accept(), if is_open && has_room => Event::Client(client),
            () = async { match tell_at { Some(at) => sleep_until(at).await, None => pending().await } } => Event::Tell,
        }
    }

    fn welcome(&mut self, accepted: Accepted) {
        self.served = self.served.saturating_add(1);
        let (shared, balancers) = (self.shared.clone(), self.balancers.clone());
        let ip = accepted.remote.map(|address| address.ip().to_canonical());
        if let Stream::Tcp(stream) = &accepted.stream {
            // Answers are written whole; waiting for more to send only costs time.
            let _ = stream.set_nodelay(true);
        }
        let (seat, evicted) = shared.clients.enter(ip);
        tokio::spawn(async move {
            let arrival = arrive(accepted, &balancers, &shared.log).await;
            if let Some(arrival) = arrival {
                connection::serve(shared, arrival, seat, evicted).await;
            }
        });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        // After a reload strangers go on with the next auth process.
        if phase == Phase::Stopping {
            self.dismiss();
        }
    }

    fn dismiss(&mut self) {
        self.is_dismissing = true;
        self.shared.clients.evict_all();
    }

    /// Tells the master how things stand: at once when room or idleness begins or ends, otherwise
    /// after a pause, since it need not know of each client.
    fn tell(&mut self, here: usize) {
        let status = self.status(here);
        let edge = |(available, _): (u32, u32)| (available == 0, here == 0);
        match self.told {
            Some(told) if told == status => self.tell_at = None,
            Some(told) if edge(told).0 == edge(status).0 && here != 0 => {
                self.tell_at.get_or_insert_with(|| Instant::now() + STATUS_PAUSE);
            }
            _ => self.tell_now(here),
        }
    }

    fn tell_now(&mut self, here: usize) {
        let (available, total) = self.status(here);
        self.told = Some((available, total));
        self.tell_at = None;
        let process = &self.shared.process;
        process.tell_master(ToMaster::Status { available, total }, None);
        if process.settings().root().get(key::VERBOSE_PROCTITLE) {
            process.set_title(&self.shared.clients.title());
        }
    }

    fn status(&self, here: usize) -> (u32, u32) {
        if !self.is_open() {
            return (0, self.served);
        }
        let process = &self.shared.process;
        let room = process.client_limit().saturating_sub(u32::try_from(here).unwrap_or(u32::MAX));
        let left = match process.service_count() {
            0 => u32::MAX,
            most => most.saturating_sub(self.served),
        };
        (room.min(left), self.served)
    }
}
