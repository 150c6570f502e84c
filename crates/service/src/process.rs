//! A running process: what it was born with, and its line to the master.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base::Logger;
use ipc::control::{Birth, Listener, ToConfig, ToLog, ToMaster};
use settings::Snapshot;
use tokio::sync::{mpsc, watch};

use crate::anvil::Anvil;
use crate::birth::ToMasterSender;
use crate::control::Outgoing;
use crate::shutdown::{Phase, Shutdown};

/// The process that this is. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    birth: Birth,
    program: &'static str,
    arguments: Vec<String>,
    log: Logger,
    settings: RwLock<Arc<Snapshot>>,
    listeners: Mutex<Vec<(Listener, OwnedFd)>>,
    phase: watch::Sender<Phase>,
    shutdown: Shutdown,
    to_master: ToMasterSender,
    room: AtomicU32,
    orders: Mutex<Option<mpsc::UnboundedReceiver<Order>>>,
    anvil: Option<Anvil>,
    crowded: tokio::sync::Notify,
    flush: tokio::sync::Notify,
    statistics: tokio::sync::Notify,
}

/// What the master tells the `log` and `config` processes only.
#[derive(Debug)]
pub enum Order {
    /// To `log`. A [`ToLog::Pipe`] brings its descriptor.
    Log(ToLog, Option<OwnedFd>),
    /// To `config`.
    Config(ToConfig),
}

/// The parts that a process is put together from, see [`crate::birth`].
pub(crate) struct Parts {
    pub(crate) birth: Birth,
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<String>,
    pub(crate) log: Logger,
    pub(crate) settings: Arc<Snapshot>,
    pub(crate) listeners: Vec<(Listener, OwnedFd)>,
    pub(crate) to_master: ToMasterSender,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) anvil: Option<Anvil>,
}

impl Process {
    pub(crate) fn new(parts: Parts) -> Self {
        let (phase, shutdown) = Shutdown::channel();
        Self(Arc::new(Inner {
            birth: parts.birth,
            program: parts.program,
            arguments: parts.arguments,
            log: parts.log,
            settings: RwLock::new(parts.settings),
            listeners: Mutex::new(parts.listeners),
            phase,
            shutdown,
            to_master: parts.to_master,
            room: AtomicU32::new(u32::MAX),
            orders: Mutex::new(Some(parts.orders)),
            anvil: parts.anvil,
            crowded: tokio::sync::Notify::new(),
            flush: tokio::sync::Notify::new(),
            statistics: tokio::sync::Notify::new(),
        }))
    }

    /// The service's name in the configuration: `imap-login`.
    pub fn name(&self) -> &str {
        &self.0.birth.service
    }

    /// `instance_name`.
    pub fn instance(&self) -> &str {
        &self.0.birth.instance
    }

    /// `base_dir`. After a chroot it is not below the root any more: use [`Process::socket`].
    pub fn base_dir(&self) -> &Path {
        Path::new(&self.0.birth.base_dir)
    }

    /// The path to connect to for the socket `name`, which is given relative to `base_dir`
    /// (`auth-master`). Within a chroot that is `base_dir` or a directory below it, the path as
    /// seen from there: `login/login` becomes `/login` in a process chrooted to `login`.
    pub fn socket(&self, name: &str) -> PathBuf {
        let base = self.base_dir();
        let full = base.join(name);
        match self.0.birth.chroot.as_str() {
            "" => full,
            chroot => match full.strip_prefix(chroot) {
                Ok(inside) => Path::new("/").join(inside),
                Err(_) => full,
            },
        }
    }

    /// Everything the master said at birth.
    pub fn birth(&self) -> &Birth {
        &self.0.birth
    }

    /// Words after the program's name in `executable`.
    pub fn arguments(&self) -> &[String] {
        &self.0.arguments
    }

    /// The logger with the prefix `<service>: `.
    pub fn log(&self) -> &Logger {
        &self.0.log
    }

    /// The settings in force for new sessions. A session keeps the ones it began with.
    pub fn settings(&self) -> Arc<Snapshot> {
        self.0.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many clients this process may have at once; never 0.
    pub fn client_limit(&self) -> u32 {
        self.0.birth.client_limit.max(1)
    }

    /// After this many clients the process ends; 0 means never.
    pub fn service_count(&self) -> u32 {
        self.0.birth.service_count
    }

    /// The line to anvil, for services that have one (`crate::table`).
    pub fn anvil(&self) -> Option<&Anvil> {
        self.0.anvil.as_ref()
    }

    /// Tells when to end.
    pub fn shutdown(&self) -> Shutdown {
        self.0.shutdown.clone()
    }

    /// Begins to end this process as if the master had said so.
    pub fn end(&self, phase: Phase) {
        self.0.phase.send_if_modified(|now| {
            let forward = phase > *now;
            *now = phase.max(*now);
            forward
        });
    }

    /// Takes over the listening sockets, which can be done once. [`Process::serve`] does it;
    /// processes that serve in their own way call it themselves.
    pub fn take_listeners(&self) -> Vec<(Listener, OwnedFd)> {
        std::mem::take(&mut *self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the master tells `log` and `config` only; can be taken once.
    pub fn take_orders(&self) -> Option<mpsc::UnboundedReceiver<Order>> {
        self.0.orders.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Sends a message to the master, with the descriptor that belongs to it.
    pub fn tell_master(&self, message: ToMaster, descriptor: Option<OwnedFd>) {
        if let ToMaster::Status { available, .. } = message {
            self.0.room.store(available, Ordering::Relaxed);
        }
        // Nobody reads it when the master is gone, and then it does not matter.
        let _ = self.0.to_master.send(Outgoing::Message(message, descriptor));
    }

    /// Waits until the master has been told everything so far.
    pub async fn told_master(&self) {
        let (done, wait) = tokio::sync::oneshot::channel();
        if self.0.to_master.send(Outgoing::Flush(done)).is_ok() {
            // A master that does not read must not keep us.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), wait).await;
        }
    }

    /// Shows `text` in `ps` behind the process's name, as 2.3's `verbose_proctitle` does:
    /// `dovecot/imap [user 10.0.0.1 IDLE]`. Does nothing unless that setting is on.
    pub fn set_title(&self, text: &str) {
        if self.has_titles() {
            crate::title::show(self.instance(), self.0.program, &self.0.arguments, text);
        }
    }

    /// Whether `verbose_proctitle` is on.
    pub fn has_titles(&self) -> bool {
        self.settings().root().get(settings::key::VERBOSE_PROCTITLE)
    }

    /// Waits until the master reports that clients wait at a listener while all processes of the
    /// service are full: a login process then drops its oldest stranger.
    pub async fn crowded(&self) {
        self.0.crowded.notified().await;
    }

    /// Waits for SIGHUP, on which a process that caches forgets what it knows.
    pub async fn flush_asked(&self) {
        self.0.flush.notified().await;
    }

    /// Waits for SIGUSR2, on which a process that caches logs how well that does.
    pub async fn statistics_asked(&self) {
        self.0.statistics.notified().await;
    }

    pub(crate) fn notice_flush(&self) {
        self.0.flush.notify_one();
    }

    pub(crate) fn notice_statistics(&self) {
        self.0.statistics.notify_one();
    }

    /// Whether there is no client, by what the master was told last.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.room.load(Ordering::Relaxed) >= self.client_limit()
    }

    pub(crate) fn notice_crowd(&self) {
        self.0.crowded.notify_one();
    }

    pub(crate) fn replace_settings(&self, settings: Arc<Snapshot>) {
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}
