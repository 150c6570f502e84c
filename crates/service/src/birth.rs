//! The one birth order of all processes: adopt descriptors, settings, open what needs rights,
//! chroot, identity, no way back, sandbox, "ready", live.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base::Logger;
use ipc::Decoder;
use ipc::control::{Birth, CONTROL_FD, FIRST_LISTENER_FD, Listener, SETTINGS_FD, ToChild, ToMaster};
use settings::Snapshot;
use sys::privilege::Identity;
use sys::signal::{Signal, Signals};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::anvil::Anvil;
use crate::control::{Control, Outgoing};
use crate::entry::{Entry, Opening};
use crate::fatal::{Fatal, STATUS_DEFAULT};
use crate::limits::{ARENAS_MAX, SNAPSHOT_BYTES_MAX, WORKER_STACK_BYTES};
use crate::link::{Link, LinkError};
use crate::process::{Parts, Process};
use crate::table::{self, Row, Sandbox, Threads};
use crate::{logline, sandbox, title};

/// Lives the life of the entry among `entries` that is called `program`, with the words behind
/// the program's name in `executable` as `arguments`. The exit status is 2.3's.
pub fn run(entries: Vec<Entry>, program: &str, arguments: Vec<String>) -> ExitCode {
    // Until the service's name is known, the program's has to do.
    let log = Logger::new(format!("{program}: "));
    logline::install(program, &log);
    let outcome = live(entries, program, arguments);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((log, fatal)) => {
            log.fatal(&fatal);
            ExitCode::from(fatal.status())
        }
    }
}

fn live(entries: Vec<Entry>, program: &str, arguments: Vec<String>) -> Result<(), (Logger, Fatal)> {
    let early = Logger::new(format!("{program}: "));
    let entry = entries.into_iter().find(|entry| entry.program() == program);
    let row = table::find(program);
    let (Some(entry), Some(row)) = (entry, row) else {
        return Err((early, Fatal::new(format_args!("There is no process called {program}"))));
    };
    sys::title::prepare();
    // It can only fail for signals that there are not.
    let _ = sys::signal::let_faults_kill();
    let newborn = Newborn::receive(row, arguments).map_err(|fatal| (early, fatal))?;
    let log = newborn.log.clone();
    (entry.life)(newborn).map_err(|fatal| (log, fatal))
}

/// A process that has its descriptors and settings and still all its rights.
pub(crate) struct Newborn {
    pub(crate) row: &'static Row,
    pub(crate) birth: Birth,
    pub(crate) arguments: Vec<String>,
    pub(crate) log: Logger,
    pub(crate) settings: Arc<Snapshot>,
    pub(crate) line: Line,
    pub(crate) listeners: Vec<(Listener, OwnedFd)>,
    pub(crate) anvil: Option<OwnedFd>,
    pub(crate) signals: Signals,
}

/// The control socket between runtimes.
pub(crate) struct Line {
    pub(crate) socket: OwnedFd,
    pub(crate) decoder: Decoder,
    pub(crate) descriptors: VecDeque<OwnedFd>,
}

impl Newborn {
    fn receive(row: &'static Row, arguments: Vec<String>) -> Result<Self, Fatal> {
        let socket = sys::inherit::take(CONTROL_FD)
            .map_err(|_| Fatal::new("This is a process of its own only when dovecot starts it"))?;
        let settings = sys::inherit::take(SETTINGS_FD)?;
        let mut line = Line { socket, decoder: Decoder::new(), descriptors: VecDeque::new() };
        let birth = line.birth()?;
        let anvil =
            if birth.anvil { Some(line.descriptors.pop_front().ok_or(LinkError::Descriptor)?) } else { None };
        let mut listeners = Vec::with_capacity(birth.listeners.len());
        for (number, listener) in (FIRST_LISTENER_FD..).zip(&birth.listeners) {
            listeners.push((listener.clone(), sys::inherit::take(number)?));
        }
        let settings = read_settings(settings)?;
        // 2.3 ends its children by SIGTERM; SIGINT reaches all of a terminal's processes and is the
        // master's business; the others are meant for the master, too.
        let signals = Signals::hold(&[
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
        ])?;
        let log = Logger::new(format!("{}: ", birth.service));
        logline::install(row.program, &log);
        let newborn = Self { row, birth, arguments, log, settings, line, listeners, anvil, signals };
        newborn.limit();
        Ok(newborn)
    }

    fn limit(&self) {
        // A client may cost several descriptors: its own, a proxy's, the mailbox's.
        let wanted = u64::from(self.birth.client_limit).saturating_mul(4).saturating_add(256).min(1 << 20);
        if let Err(error) = sys::privilege::raise_descriptor_limit(wanted) {
            self.log
                .warning(format_args!("setrlimit(RLIMIT_NOFILE, {wanted}) failed: {}", base::reason(&error)));
        }
        if self.birth.vsz_limit_bytes != 0
            && let Err(error) = sys::privilege::limit_address_space(self.birth.vsz_limit_bytes)
        {
            self.log.error(format_args!("setrlimit(RLIMIT_AS) failed: {}", base::reason(&error)));
        }
        sys::malloc::limit_arenas(ARENAS_MAX);
    }

    /// The life of all processes but the mail processes.
    pub(crate) fn live<S, F>(
        self,
        open: impl FnOnce(&Opening<'_>) -> Result<S, Fatal>,
        main: impl FnOnce(Process, S) -> F,
    ) -> Result<(), Fatal>
    where
        F: Future<Output = Result<(), Fatal>>,
    {
        let opened = open(&self.opening())?;
        self.become_what_it_shall_be()?;
        sandbox::apply(self.row.sandbox, &self.log)?;
        let runtime = self.runtime(self.row.threads)?;
        let result = runtime.block_on(async {
            let (process, control) = self.start()?;
            process.tell_master(ToMaster::Ready, None);
            let result = main(process.clone(), opened).await;
            control.finish().await;
            result
        });
        // Sessions that were told to end had their time; blocking work does not hold us up.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }

    pub(crate) fn opening(&self) -> Opening<'_> {
        Opening { birth: &self.birth, settings: &self.settings, log: &self.log, arguments: &self.arguments }
    }

    /// Chroot, groups, gid, uid, and no new rights.
    pub(crate) fn become_what_it_shall_be(&self) -> Result<(), Fatal> {
        let is_script = self.row.sandbox == Sandbox::Script;
        // It takes on its client's identity later, which only root can.
        if is_script && self.arguments.first().is_some_and(|word| word == "-d") {
            return Ok(());
        }
        if !self.birth.chroot.is_empty() {
            sys::privilege::chroot(Path::new(&self.birth.chroot))?;
        }
        if let Some(identity) = &self.birth.identity {
            sys::privilege::take_identity(&Identity {
                uid: identity.uid,
                gid: identity.gid,
                extra_gids: identity.extra_gids.clone(),
                saved_gid: identity.privileged_gid,
            })?;
        }
        if is_script {
            return Ok(());
        }
        sys::privilege::no_new_rights(sys::privilege::core_dumps_enabled())?;
        Ok(())
    }

    pub(crate) fn runtime(&self, threads: Threads) -> io::Result<Runtime> {
        runtime(threads)
    }

    /// Puts the process together. Must be called within a runtime.
    pub(crate) fn start(self) -> Result<(Process, Control), Fatal> {
        let (to_master, from_process) = mpsc::unbounded_channel();
        let (orders_in, orders) = mpsc::unbounded_channel();
        let anvil = self.anvil.map(|connection| Anvil::start(connection, self.log.clone()));
        title::show(&self.birth.instance, self.row.program, &self.arguments, "");
        let process = Process::new(Parts {
            birth: self.birth,
            program: self.row.program,
            arguments: self.arguments,
            log: self.log,
            settings: self.settings,
            listeners: self.listeners,
            to_master: to_master.clone(),
            orders,
            anvil,
        });
        let link = Link::resume(self.line)?;
        Ok((
            process.clone(),
            Control::start(process, link, self.signals, from_process, orders_in, to_master)?,
        ))
    }
}

/// A runtime of the kind.
pub(crate) fn runtime(threads: Threads) -> io::Result<Runtime> {
    match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        Threads::Cores => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16))
            .thread_stack_size(WORKER_STACK_BYTES)
            .enable_all()
            .build(),
    }
}

/// The settings in a sealed memory file.
pub(crate) fn read_settings(file: OwnedFd) -> Result<Arc<Snapshot>, Fatal> {
    let bytes = sys::memfile::read_sealed(&file, SNAPSHOT_BYTES_MAX)?;
    Ok(Arc::new(Snapshot::from_bytes(&bytes)?))
}

impl Line {
    /// The first message, which the master has sent before or right after the process started.
    fn birth(&mut self) -> Result<Birth, Fatal> {
        loop {
            match self.decoder.message::<ToChild>()? {
                Some(ToChild::Birth(birth)) => return Ok(*birth),
                Some(_) => return Err(Fatal::new("The master did not say who this is")),
                None => {}
            }
            let mut buffer = [0; 4096];
            let mut arrived = Vec::new();
            let read = sys::pass::receive(&self.socket, &mut buffer, &mut arrived)?;
            self.descriptors.extend(arrived);
            match read {
                // The master is gone; there is nobody to serve.
                0 => return Err(Fatal::new("The master has gone").with_status(STATUS_DEFAULT)),
                read => self.decoder.push(&buffer[..read]),
            }
        }
    }
}

pub(crate) type ToMasterSender = mpsc::UnboundedSender<Outgoing>;
