//! The way up: read the configuration, look whether the instance runs already, open what needs to
//! be open, go into the background, and start the loop.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use base::log::Level;
use settings::{Snapshot, key};
use sys::signal::{Signal, Signals};
use sys::spawn::Side;
use zeroize::Zeroizing;

use crate::admin::Admin;
use crate::command::STATUS_FATAL;
use crate::listen::{Stock, with_umask};
use crate::loader::{Loaded, Loader};
use crate::notify::{self, Notify};
use crate::own_log::OwnLog;
use crate::plan::Plan;
use crate::reload::{make_services, not_supported, with_password};
use crate::server::{Pipe, Server};
use crate::spawn::Nursery;
use crate::stop::Phase;
use crate::timers::Timers;
use crate::{Tools, instances, rundir, version};

/// 2.3's `FATAL_LOGOPEN`.
const STATUS_LOG: i32 = 80;
/// Nothing that the master makes is for others unless it says so.
const UMASK: u32 = 0o077;
/// Children, listeners and doveadm together; a large host has thousands of processes.
const DESCRIPTORS_WANTED: u64 = 65_536;

/// Why there is no server: the lines, and the exit status.
struct Refusal {
    lines: Vec<String>,
    status: i32,
}

impl Refusal {
    fn fatal(text: impl Display) -> Self {
        Self { lines: vec![format!("Fatal: {text}")], status: STATUS_FATAL }
    }

    fn for_log(&self) -> Vec<(Level, String)> {
        let levelled = |line: &String| match line.split_once(": ") {
            Some(("Fatal", text)) => (Level::Fatal, text.to_owned()),
            Some(("Error", text)) => (Level::Error, text.to_owned()),
            _ => (Level::Error, line.clone()),
        };
        self.lines.iter().map(levelled).collect()
    }
}

/// How the command line wants it started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// `-F`
    pub(crate) foreground: bool,
    /// `-p`
    pub(crate) ask_password: bool,
}

/// Starts the server; returns when it has stopped or, unless `foreground`, as soon as it runs.
pub(crate) fn run(config: &Path, how: How, tools: Tools) -> i32 {
    match try_run(config, how, tools) {
        Ok(()) => 0,
        Err(refusal) => {
            refusal.lines.iter().for_each(|line| eprintln!("{line}"));
            refusal.status
        }
    }
}

/// What a start works with.
struct Input {
    snapshot: Snapshot,
    /// Sockets that systemd has opened.
    passed: Vec<OwnedFd>,
    key_password: Option<Zeroizing<String>>,
}

fn try_run(config: &Path, how: How, tools: Tools) -> Result<(), Refusal> {
    let system = |error: io::Error| Refusal::fatal(base::reason(&error));
    // Before anything else takes their numbers.
    let passed = notify::passed_sockets();
    sys::inherit::close_from_on_exec(3);
    let _ = sys::privilege::raise_descriptor_limit(DESCRIPTORS_WANTED);
    let nursery = Nursery::new().map_err(system)?;
    let snapshot = read_config(&nursery, config)?;
    let settings = snapshot.clone();
    let key_password = match how.ask_password {
        true => Some((tools.ask_password)("Give the password for SSL keys: ").map_err(Refusal::fatal)?),
        false => None,
    };
    let input = Input { snapshot, passed, key_password };
    start(nursery, input, config, how.foreground, tools).inspect_err(|refusal| {
        // Without a log file there is only standard error.
        if refusal.status != STATUS_LOG {
            (tools.note)(&settings, &refusal.for_log());
        }
    })
}

fn start(
    nursery: Nursery,
    input: Input,
    config: &Path,
    foreground: bool,
    tools: Tools,
) -> Result<(), Refusal> {
    let Input { snapshot, passed, key_password } = input;
    let snapshot = with_password(snapshot, key_password.as_deref());
    let system = |error: io::Error| Refusal::fatal(base::reason(&error));
    let plan = Plan::of(&snapshot, tools.program).map_err(Refusal::fatal)?;
    refuse_second(&plan.base_dir)?;
    rundir::prepare(&plan).map_err(Refusal::fatal)?;
    check_log_files(&snapshot)?;
    // Whoever sees a socket may send a signal: from here on they wait until the loop hears them.
    let signals = Signals::hold(&SIGNALS).map_err(system)?;
    let mut stock = Stock { systemd: passed, old: Vec::new() };
    let (services, admin) = open(&plan, &snapshot, &mut stock)?;
    if !foreground && let Side::Front { .. } = go_to_background().map_err(system)? {
        return Ok(());
    }
    let (log, pipe) = own_log().map_err(system)?;
    let mut server = Server {
        config: config.to_owned(),
        program: tools.program,
        nursery,
        notify: Notify::from_env(),
        signals,
        timers: Timers::default(),
        log,
        plan,
        snapshot,
        key_password,
        generation: 0,
        services,
        children: BTreeMap::new(),
        pipes: BTreeMap::from([("master".to_owned(), pipe)]),
        loader: None,
        reload_again: false,
        admin,
        phase: Phase::Running,
    };
    server.announce(stock.systemd_leftovers())?;
    with_umask(UMASK, || server.run());
    Ok(())
}

const SIGNALS: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD];

fn read_config(nursery: &Nursery, config: &Path) -> Result<Snapshot, Refusal> {
    if let Err(error) = std::fs::metadata(config) {
        let reason = base::reason(&error);
        return Err(Refusal::fatal(format_args!(
            "Error reading configuration: stat({}) failed: {reason}",
            config.display()
        )));
    }
    let stderr = sys::inherit::stderr().try_clone_to_owned();
    let loaded =
        stderr.and_then(|stderr| Loader::start(nursery, config, "dovecot", &stderr)).map(Loader::wait);
    match loaded {
        Ok(Loaded::Good { snapshot, warnings }) => {
            warnings.iter().for_each(|warning| eprintln!("doveconf: Warning: {warning}"));
            Ok(snapshot)
        }
        Ok(Loaded::Broken { message, explanation }) => {
            let mut lines = vec![format!("doveconf: Fatal: {message}")];
            lines.extend(explanation.lines().map(str::to_owned));
            Err(Refusal { lines, status: STATUS_FATAL })
        }
        Err(error) => {
            Err(Refusal::fatal(format_args!("Can't read the configuration: {}", base::reason(&error))))
        }
    }
}

fn refuse_second(base_dir: &Path) -> Result<(), Refusal> {
    let Some(pid) = rundir::running(base_dir).map_err(Refusal::fatal)? else { return Ok(()) };
    let path = rundir::pid_path(base_dir);
    Err(Refusal::fatal(format_args!(
        "Dovecot is already running with PID {pid} (read from {})",
        path.display()
    )))
}

/// The log process opens the log files; that it will be able to is better known now, while there is
/// somebody to tell.
fn check_log_files(snapshot: &Snapshot) -> Result<(), Refusal> {
    let root = snapshot.root();
    for path in [root.get(key::LOG_PATH), root.get(key::INFO_LOG_PATH), root.get(key::DEBUG_LOG_PATH)] {
        if !path.starts_with('/') || path == "/dev/stderr" {
            continue;
        }
        if let Err(error) = open_log(path) {
            let line = format!("Fatal: Can't open log file {path}: {}", base::reason(&error));
            return Err(Refusal { lines: vec![line], status: STATUS_LOG });
        }
    }
    Ok(())
}

fn open_log(path: &str) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn open(
    plan: &Plan,
    snapshot: &Snapshot,
    stock: &mut Stock,
) -> Result<(Vec<crate::service::Service>, Admin), Refusal> {
    let services = make_services(plan, snapshot, stock);
    let opened = services.and_then(|services| Ok((services, Admin::open(&plan.base_dir)?)));
    opened.map_err(|errors| {
        let mut lines: Vec<String> = errors.iter().map(|line| format!("Error: {line}")).collect();
        lines.push("Fatal: Failed to start listeners".to_owned());
        Refusal { lines, status: STATUS_FATAL }
    })
}

fn go_to_background() -> io::Result<Side> {
    let side = sys::spawn::daemonise()?;
    if let Side::Daemon = side {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
        (0..=2).try_for_each(|number| sys::inherit::replace_standard(number, &null))?;
        std::env::set_current_dir("/")?;
    }
    Ok(side)
}

/// The pipe that the master's own lines go through, with the master's end of it non-blocking.
fn own_log() -> io::Result<(OwnLog, Pipe)> {
    let pipe = Pipe::new()?;
    let writer: OwnedFd = pipe.writer.try_clone()?;
    rustix::io::ioctl_fionbio(&writer, true)?;
    Ok((OwnLog::new(writer)?, pipe))
}

impl Server {
    /// Makes the instance known, and says in the log that it starts.
    fn announce(&mut self, leftovers: Vec<String>) -> Result<(), Refusal> {
        let base_dir = self.plan.base_dir.clone();
        rundir::link_config(&base_dir, &self.config).map_err(Refusal::fatal)?;
        // Last: who waits for the pid file finds everything there.
        rundir::write_pid(&base_dir).map_err(Refusal::fatal)?;
        let protocols = match self.plan.protocols.is_empty() {
            true => " without any protocols".to_owned(),
            false => format!(" for {}", self.plan.protocols.join(", ")),
        };
        let cores = if sys::privilege::core_dumps_enabled() { "enabled" } else { "disabled" };
        self.log.info(format_args!("Dovecot v{} starting up{protocols} (core dumps {cores})", version()));
        for name in self.plan.left_out.clone() {
            self.log.warning(not_supported(&name));
        }
        leftovers.iter().for_each(|line| self.log.warning(line));
        let noted = instances::update(
            &self.plan.state_dir,
            &self.plan.instance,
            &base_dir.display().to_string(),
            &self.config.display().to_string(),
            sys::clock::unix_seconds(),
        );
        if let Err(error) = noted {
            let path = self.plan.state_dir.join("instances");
            self.log.error(format_args!("write({}) failed: {}", path.display(), base::reason(&error)));
        }
        self.settle();
        self.notify.ready();
        self.set_watchdog(Instant::now());
        Ok(())
    }
}
