//! Keeps the number of children right: starts those that are wanted, sends those home that are too
//! many, turns away clients that nobody can take, and buries the dead.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use ipc::anvil::Hello;
use ipc::control::{Birth, ListenerKind, ToChild, ToConfig, ToLog};
use sys::signal::Signal;
use sys::spawn::Ended;

use crate::child::{Child, READY_PATIENCE, State};
use crate::plan::Kind;
use crate::server::{Pipe, Server};
use crate::service::{CROWD_PATIENCE, LOGIN_CROWD_PATIENCE};
use crate::spawn::Order;
use crate::stop::Phase;
use crate::timers::Timer;
use crate::{admin, death};

/// The service whose listener the master connects to on behalf of the children.
const ANVIL_SOCKET: &str = "anvil";
/// Connections dropped in one go, so that a flood does not keep the master from everything else.
const DROPS_MAX: usize = 1000;

impl Server {
    /// Brings the processes to what the services and their clients want.
    pub(crate) fn settle(&mut self) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.count();
        for at in 0..self.services.len() {
            while self.services[at].shall_grow() {
                self.services[at].is_wanted = false;
                if !self.grow(at) {
                    break;
                }
            }
            if self.services[at].is_wanted {
                self.services[at].is_wanted = false;
                self.crowd(at);
            }
        }
    }

    fn count(&mut self) {
        for service in &mut self.services {
            service.process_count = 0;
            service.process_avail = 0;
        }
        for child in self.children.values() {
            if let Some(service) = child.service.and_then(|at| self.services.get_mut(at)) {
                service.process_count += 1;
                service.process_avail += u32::from(child.is_available());
            }
        }
        for service in self.services.iter_mut().filter(|service| service.process_avail > 0) {
            service.crowded_until = None;
            service.is_dropping = false;
        }
    }

    /// Starts a process; whether that worked.
    fn grow(&mut self, at: usize) -> bool {
        match self.start_child(at) {
            Ok(()) => {
                let service = &mut self.services[at];
                service.process_total += 1;
                service.process_count += 1;
                service.process_avail += 1;
                true
            }
            Err(error) => {
                let name = self.services[at].plan.name.clone();
                self.log.error(format_args!("service({name}): fork() failed: {}", base::reason(&error)));
                self.throttle(at);
                false
            }
        }
    }

    fn start_child(&mut self, at: usize) -> io::Result<()> {
        let Some(service) = self.services.get(at) else { return Ok(()) };
        let plan = service.plan.clone();
        // `log` itself writes where the master's own standard error goes.
        let log = match plan.kind {
            Kind::Log => sys::inherit::stderr().try_clone_to_owned()?,
            _ => self.log_pipe(&plan.name)?,
        };
        let anvil = if plan.anvil { self.anvil_connection() } else { None };
        let birth = Birth {
            service: plan.name.clone(),
            instance: self.plan.instance.clone(),
            base_dir: self.plan.base_dir.display().to_string(),
            config_path: self.config.display().to_string(),
            identity: plan.identity.clone(),
            chroot: plan.chroot.clone(),
            listeners: self.services[at].listeners.iter().map(|open| open.plan.listener.clone()).collect(),
            client_limit: plan.client_limit,
            service_count: plan.service_count,
            vsz_limit_bytes: plan.vsz_limit_bytes,
            anvil: anvil.is_some(),
            generation: self.generation,
        };
        let has_anvil = anvil.is_some();
        let order = Order {
            plan: &plan,
            birth,
            environment: &self.plan.environment,
            log: &log,
            settings: &self.services[at].settings,
            listeners: &self.services[at].listeners,
            anvil,
        };
        let (pid, wire) = self.nursery.spawn(order)?;
        let child = Child {
            pid,
            name: plan.name.clone(),
            kind: plan.kind,
            service: Some(at),
            wire,
            state: State::Starting,
            was_ready: false,
            client_limit: plan.client_limit,
            vsz_limit_bytes: plan.vsz_limit_bytes,
            talks_to_anvil: has_anvil || plan.anvil,
            available: plan.client_limit,
            total: 0,
            idle_since: None,
            idle_start_s: 0,
            last_status_s: 0,
            last_kill_s: 0,
            is_idle_watched: false,
        };
        self.children.insert(pid, child);
        self.timers.set(Instant::now() + READY_PATIENCE, Timer::Ready(pid));
        self.greet(pid, plan.kind);
        Ok(())
    }

    /// What the processes that others lean on have to know from the start.
    fn greet(&mut self, pid: u32, kind: Kind) {
        match kind {
            Kind::Log => {
                let Some(child) = self.children.get_mut(&pid) else { return };
                for (service, pipe) in &self.pipes {
                    let message = ToChild::Log(ToLog::Pipe { service: service.clone() });
                    child.wire.send(&message, Some(pipe.reader.as_fd()));
                }
            }
            Kind::Config => {
                let Some(child) = self.children.get_mut(&pid) else { return };
                let path = self.config.display().to_string();
                child.wire.send(&ToChild::Config(ToConfig::Load { path }), None);
            }
            Kind::Anvil => self.introduce_anvil(),
            Kind::Plain | Kind::Login | Kind::Worker => {}
        }
    }

    /// A new anvil knows nobody: gives everybody who talks to it a new connection.
    fn introduce_anvil(&mut self) {
        let pids: Vec<u32> =
            self.children.values().filter(|child| child.talks_to_anvil).map(|child| child.pid).collect();
        for pid in pids {
            let Some(connection) = self.anvil_connection() else { return };
            let Some(child) = self.children.get_mut(&pid) else { continue };
            let hello = Hello { service: child.name.clone(), pid };
            if crate::spawn::say_hello(&connection, &hello).is_ok() {
                child.wire.send(&ToChild::NewAnvil, Some(connection.as_fd()));
            }
        }
    }

    /// A connection to anvil. Its listener is open whether the process lives or not.
    fn anvil_connection(&mut self) -> Option<std::os::fd::OwnedFd> {
        let is_there = self.services.iter().any(|service| service.plan.kind == Kind::Anvil);
        if !is_there {
            return None;
        }
        let path = self.plan.base_dir.join(ANVIL_SOCKET);
        match UnixStream::connect(&path) {
            Ok(stream) => Some(stream.into()),
            Err(error) => {
                let reason = base::reason(&error);
                self.log.error(format_args!("net_connect_unix({}) failed: {reason}", path.display()));
                None
            }
        }
    }

    /// The writing end of the service's log pipe, which is made when it is first needed.
    fn log_pipe(&mut self, service: &str) -> io::Result<std::os::fd::OwnedFd> {
        if !self.pipes.contains_key(service) {
            let pipe = Pipe::new()?;
            let message = ToChild::Log(ToLog::Pipe { service: service.to_owned() });
            for child in self.children.values_mut().filter(|child| child.kind == Kind::Log) {
                child.wire.send(&message, Some(pipe.reader.as_fd()));
            }
            self.pipes.insert(service.to_owned(), pipe);
        }
        let pipe = self.pipes.get(service).ok_or(io::ErrorKind::NotFound)?;
        pipe.writer.try_clone()
    }

    /// Tells the log process, if there is one, something of its own.
    pub(crate) fn tell_log(&mut self, message: ToLog) {
        for child in self.children.values_mut().filter(|child| child.kind == Kind::Log) {
            child.wire.send(&ToChild::Log(message.clone()), None);
        }
    }

    /// A client waits, all processes are full, and there may not be more.
    fn crowd(&mut self, at: usize) {
        let service = &mut self.services[at];
        if service.is_stopped || service.throttle.is_on() || service.process_avail > 0 {
            return;
        }
        if service.is_dropping && service.plan.kind != Kind::Worker {
            return self.drop_clients(at);
        }
        // Login processes drop their oldest client at once; of others one may become free.
        let is_login = service.plan.kind == Kind::Login;
        let until = Instant::now() + if is_login { LOGIN_CROWD_PATIENCE } else { CROWD_PATIENCE };
        service.crowded_until = Some(until);
        self.timers.set(until, Timer::Pending(at, self.generation));
        if is_login {
            for child in self.children.values_mut().filter(|child| child.service == Some(at)) {
                child.wire.send(&ToChild::Crowded, None);
            }
        }
        if self.services[at].plan.kind != Kind::Worker {
            self.warn_of_drops(at);
        }
    }

    fn warn_of_drops(&mut self, at: usize) {
        let service = &mut self.services[at];
        if service.warns_of_drop(sys::clock::unix_seconds()) {
            let text = service.limit_text();
            let name = service.plan.name.clone();
            self.log.warning(format_args!("service({name}): {text}, client connections are being dropped"));
        }
    }

    fn drop_clients(&mut self, at: usize) {
        let service = &mut self.services[at];
        service.is_dropping = false;
        let sockets = service.listeners.iter().filter(|open| open.plan.listener.kind != ListenerKind::Fifo);
        let mut dropped = 0;
        for open in sockets {
            while dropped < DROPS_MAX && admin::accept(open.socket.as_fd()).is_some() {
                dropped += 1;
            }
        }
        if dropped > 0 {
            self.warn_of_drops(at);
        }
    }

    /// A child has been idle for the time it may be: it goes if it is one too many.
    pub(crate) fn look_at_idle(&mut self, pid: u32, now: Instant) {
        let Some(child) = self.children.get_mut(&pid) else { return };
        child.is_idle_watched = false;
        let Some(service) = child.service.and_then(|at| self.services.get_mut(at)) else { return };
        let (Some(since), Some(limit)) = (child.idle_since, service.plan.idle_kill) else { return };
        let due = since + limit;
        let is_spare =
            child.state == State::Identity || service.process_avail > service.plan.process_min_avail;
        if due <= now && is_spare {
            child.last_kill_s = sys::clock::unix_seconds();
            child.wire.send(&ToChild::ExitIfIdle, None);
            if child.is_available() {
                // It is as good as gone; the next one to be looked at must not go for its sake.
                service.process_avail = service.process_avail.saturating_sub(1);
            }
        }
        child.is_idle_watched = true;
        self.timers.set(due.max(now) + limit, Timer::Idle(pid));
    }

    /// A child should be ready by now.
    pub(crate) fn look_at_start(&mut self, pid: u32) {
        let Some(child) = self.children.get_mut(&pid).filter(|child| !child.was_ready) else { return };
        child.last_kill_s = sys::clock::unix_seconds();
        let name = child.name.clone();
        let seconds = READY_PATIENCE.as_secs();
        self.log.error(format_args!(
            "service({name}): Initial status notification not received in {seconds} seconds, killing the process"
        ));
        let _ = sys::signal::kill(pid, Some(Signal::SIGKILL));
    }

    /// Buries all children that have ended.
    pub(crate) fn reap(&mut self) {
        while let Some((pid, ended)) = sys::spawn::reap() {
            if self.loader.as_ref().is_some_and(|loader| loader.pid == pid) {
                self.hear_loader();
                self.loader = None;
                continue;
            }
            if self.children.contains_key(&pid) {
                // Its last words first.
                self.bury(pid, ended);
            }
        }
    }

    fn bury(&mut self, pid: u32, ended: Ended) {
        let Some(child) = self.children.remove(&pid) else { return };
        let cores = sys::privilege::core_dumps_enabled();
        let text = death::text(&child.name, pid, ended, child.vsz_limit_bytes, cores);
        // What we ended ourselves by force needs no second line.
        let text = text.filter(|_| matches!(self.phase, Phase::Running));
        match (text, child.kind) {
            (Some(text), Kind::Log) => self.log.error(text),
            (text, _) => {
                let text = text.unwrap_or_default();
                self.tell_log(ToLog::ChildDied { service: child.name.clone(), pid, text });
            }
        }
        let Some(at) = child.service.filter(|_| matches!(self.phase, Phase::Running)) else { return };
        let Some(service) = self.services.get_mut(at) else { return };
        if ended == Ended::Exited(0) {
            if child.was_ready {
                service.throttle.succeeded();
            }
        } else if service.throttle.failed(child.was_ready, sys::clock::unix_seconds()) {
            self.throttle(at);
        }
    }

    fn throttle(&mut self, at: usize) {
        let now = Instant::now();
        let Some(service) = self.services.get_mut(at) else { return };
        let Some(length) = service.throttle.begin(now) else { return };
        let name = service.plan.name.clone();
        self.log.error(format_args!(
            "service({name}): command startup failed, throttling for {}.{:03} secs",
            length.as_secs(),
            length.subsec_millis()
        ));
        self.timers.set(now + length, Timer::Throttle(at, self.generation));
    }

    /// `doveadm service stop`: its processes end, nobody listens until the next reload.
    pub(crate) fn stop_service(&mut self, at: usize) {
        let Some(service) = self.services.get_mut(at) else { return };
        service.is_stopped = true;
        service.listeners.clear();
        for child in self.children.values_mut().filter(|child| child.service == Some(at)) {
            child.last_kill_s = sys::clock::unix_seconds();
            child.wire.send(&ToChild::Stop, None);
        }
    }
}
