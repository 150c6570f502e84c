//! The lives of `auth` and `auth -w` from their start to their end.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use base::Logger;
use ipc::control::ListenerKind;
use service::{Client, Fatal, Opening, Process};
use settings::key::unix_listener;
use settings::{SectionKind, Snapshot};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::bans::Bans;
use crate::cache::Cache;
use crate::client::{self, Kind};
use crate::config::Config;
use crate::connector;
use crate::db::ConfigFiles;
use crate::hasher::Hasher;
use crate::limits::WORKER_IDLE;
use crate::master::{self, SocketOwner};
use crate::penalty::Penalties;
use crate::request::Scope;
use crate::request::fields::now_s;
use crate::server::{Auth, Services};
use crate::token;
use crate::totp::Codes;
use crate::worker::Worker;
use crate::workers::{Timeouts, Workers};

/// What was opened while there were rights to.
pub(crate) enum Opened {
    Server(Box<Server>),
    Worker(Box<Parts>),
}

/// The auth process before it runs.
pub(crate) struct Server {
    services: Services,
    sockets: HashMap<String, SocketOwner>,
    has_penalties: bool,
}

/// What the databases are made of. Unlike them it can be given to another thread.
pub(crate) struct Parts {
    configs: Vec<(Option<String>, Config)>,
    files: ConfigFiles,
    scope_log: Logger,
}

impl Parts {
    /// # Errors
    /// What is wrong with the settings or the files they name.
    pub(crate) fn read(settings: &Snapshot, scope_log: Logger) -> Result<Self, Fatal> {
        let configs = Config::all(settings);
        let root = settings.root();
        let files = ConfigFiles::read(&configs, root.get(settings::key::BASE_DIR)).map_err(Fatal::new)?;
        Ok(Self { configs, files, scope_log })
    }

    pub(crate) fn services(&self, is_worker: bool) -> Result<Services, String> {
        let debug = self.configs.first().is_some_and(|(_, config)| config.debug);
        let scope = Scope { log: self.scope_log.clone(), before: "".into(), debug };
        Services::new(self.configs.clone(), self.files.clone(), scope, is_worker)
    }
}

/// Reads the settings and what only root may.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Opened, Fatal> {
    let is_worker = match opening.arguments {
        [] => false,
        [word] if word == "-w" => true,
        [word, ..] => return Err(Fatal::new(format_args!("Unknown argument: {word}"))),
    };
    let scope_log = match is_worker {
        // As 2.3 does: workers are many.
        true => opening.log.with_prefix(format!("{}({}): ", opening.birth.service, std::process::id())),
        false => opening.log.clone(),
    };
    let parts = Parts::read(opening.settings, scope_log)?;
    let mut services = parts.services(is_worker).map_err(Fatal::new)?;
    if !is_worker {
        services.token_secret = token::load(Path::new(&opening.birth.base_dir), opening.log);
    }
    Ok(match is_worker {
        true => Opened::Worker(Box::new(parts)),
        false => Opened::Server(Box::new(Server {
            services,
            sockets: sockets(opening),
            has_penalties: has_penalties(opening.settings),
        })),
    })
}

/// 2.3 turns penalties off by turning off anvil's socket for them, and so do we, though ours go
/// another way.
fn has_penalties(settings: &Snapshot) -> bool {
    let services = settings.root().section_list(SectionKind::Service);
    let anvil = services.iter().filter(|service| service.name() == "anvil");
    anvil.flat_map(|anvil| anvil.sub(SectionKind::UnixListener)).any(|listener| {
        listener.name().ends_with("anvil-auth-penalty") && listener.get(unix_listener::MODE) != 0
    })
}

/// Whose the sockets for lookups are, which decides what their clients may do.
fn sockets(opening: &Opening<'_>) -> HashMap<String, SocketOwner> {
    let base = Path::new(&opening.birth.base_dir);
    let is_for_lookups = |listener: &&ipc::control::Listener| {
        listener.kind == ListenerKind::Unix && listener.name.ends_with("userdb")
    };
    let unix = opening.birth.listeners.iter().filter(is_for_lookups);
    let mut sockets = HashMap::new();
    for listener in unix {
        let path = base.join(&listener.name);
        match std::fs::metadata(&path) {
            Ok(found) => {
                let owner = SocketOwner { mode: found.mode() & 0o777, uid: found.uid(), gid: found.gid() };
                sockets.insert(listener.name.clone(), owner);
            }
            Err(error) => {
                let (path, reason) = (path.display(), base::reason(&error));
                opening.log.error(format_args!("stat({path}) failed: {reason}"));
            }
        }
    }
    sockets
}

/// Lives.
pub(crate) async fn main(process: Process, opened: Opened) -> Result<(), Fatal> {
    match opened {
        Opened::Server(server) => LocalSet::new().run_until(serve(process, *server)).await,
        Opened::Worker(parts) => work(process, *parts).await,
    }
}

impl Auth {
    /// Puts the auth process together. `workers` is the socket to reach them by.
    pub(crate) fn new(
        services: Services,
        log: Logger,
        workers: &Path,
        timeouts: Timeouts,
        anvil: Option<service::Anvil>,
        has_penalties: bool,
    ) -> Rc<Self> {
        let config = services.default().config.clone();
        let sources = services.blocking_sources();
        let count = config.worker_max_count;
        Rc::new(Self {
            workers: Workers::new(workers, count, services.hash, &sources, log.clone(), timeouts),
            hasher: Hasher::new(log.clone()),
            tickets: Hasher::for_tickets(log.clone()),
            cache: RefCell::new(Cache::new(config.cache_size, config.cache_ttl, config.cache_negative_ttl)),
            penalties: Penalties::new(anvil.clone().filter(|_| has_penalties)),
            bans: Bans::new(anvil.clone()),
            codes: Codes::new(anvil),
            delays: Rc::default(),
            one_time: RefCell::default(),
            scope: Scope { log, before: "".into(), debug: config.debug },
            logins: RefCell::default(),
            connections: Cell::new(0),
            connecting: Cell::new(0),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            started_s: now_s(),
            is_stopping: Cell::new(false),
            services,
        })
    }
}

async fn serve(process: Process, server: Server) -> Result<(), Fatal> {
    let Server { services, sockets, has_penalties } = server;
    services.load();
    let path = process.socket("auth-worker");
    let anvil = process.anvil().cloned();
    let auth = Auth::new(services, process.log().clone(), &path, Timeouts::default(), anvil, has_penalties);
    tokio::task::spawn_local(watch(auth.clone(), process.clone()));
    let each = |client: Client| {
        let (auth, process) = (auth.clone(), process.clone());
        let owner = sockets.get(&client.listener.name).copied();
        let path = process.socket(&client.listener.name);
        tokio::task::spawn_local(async move {
            let shutdown = process.shutdown();
            match client.kind() {
                "master" => master::serve(&auth, client, &path, None, &shutdown).await,
                "userdb" => {
                    let owner = Some(owner.unwrap_or_default());
                    master::serve(&auth, client, &path, owner, &shutdown).await;
                }
                "connect" => connector::serve(&auth, client, &shutdown).await,
                "login" => client::serve(&auth, client, Kind::Login, &shutdown).await,
                "token" => client::serve(&auth, client, Kind::Token, &shutdown).await,
                "tokenlogin" => client::serve(&auth, client, Kind::TokenLogin, &shutdown).await,
                _ => client::serve(&auth, client, Kind::Client, &shutdown).await,
            }
        });
        std::future::ready(())
    };
    process.serve(each).await
}

/// Lets waiting failures go when the process ends, and idle workers in time.
async fn watch(auth: Rc<Auth>, process: Process) {
    let shutdown = process.shutdown();
    loop {
        let news = async {
            match auth.workers.has_idle() {
                true => tokio::time::sleep(WORKER_IDLE / 2).await,
                false => auth.workers.released().await,
            }
        };
        tokio::select! {
            () = shutdown.stopping() => break,
            () = news => auth.workers.dismiss_idle(),
            () = process.flush_asked() => auth.flush_cache(),
            () = process.statistics_asked() => auth.log_statistics(),
        }
    }
    auth.is_stopping.set(true);
    auth.delays.flush();
}

/// Serves auth processes, one after the other as `client_limit` has it, on a thread that may block.
async fn work(process: Process, parts: Parts) -> Result<(), Fatal> {
    let (jobs, queue) = mpsc::channel::<(UnixStream, oneshot::Sender<()>)>();
    let run = move || {
        let log = parts.scope_log.clone();
        let services = match parts.services(true) {
            Ok(services) => services,
            Err(error) => return log.error(error),
        };
        services.load();
        for (stream, done) in queue {
            let worker = Worker::new(&services, log.clone(), &stream);
            if let Err(error) = worker.serve(stream) {
                log.error(format_args!("auth-worker: {}", base::reason(&error)));
            }
            // The task that waits may have been told to end.
            let _ = done.send(());
        }
    };
    thread::Builder::new().name("worker".into()).spawn(run)?;
    let each = |client: Client| {
        let (jobs, process) = (jobs.clone(), process.clone());
        async move {
            let Client { stream, guard, .. } = client;
            let Ok(stream) = stream.into_descriptor().map(UnixStream::from) else { return };
            let (done, finished) = oneshot::channel();
            if stream.set_nonblocking(false).is_ok() && jobs.send((stream, done)).is_ok() {
                let shutdown = process.shutdown();
                tokio::select! {
                    _ = finished => {}
                    () = shutdown.stopping() => {}
                }
            }
            drop(guard);
        }
    };
    process.serve(each).await
}
