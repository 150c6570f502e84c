//! The master at work: one loop that waits for signals, for children, for clients that nobody
//! takes, and for doveadm.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ipc::control::ToMaster;
use rustix::event::{PollFd, PollFlags, Timespec};
use settings::Snapshot;
use sys::signal::{Received, Signal, Signals};
use zeroize::Zeroizing;

use crate::Program;
use crate::admin::Admin;
use crate::child::{Child, State};
use crate::loader::Loader;
use crate::notify::Notify;
use crate::own_log::OwnLog;
use crate::plan::{Kind, Plan};
use crate::service::Service;
use crate::spawn::Nursery;
use crate::stop::Phase;
use crate::timers::{Timer, Timers};
use crate::wire::{Heard, Wire};

/// Everything that runs.
pub(crate) struct Server {
    pub(crate) config: PathBuf,
    pub(crate) program: fn(&str) -> Option<Program>,
    pub(crate) nursery: Nursery,
    pub(crate) notify: Notify,
    pub(crate) signals: Signals,
    pub(crate) timers: Timers,
    pub(crate) log: OwnLog,
    pub(crate) plan: Plan,
    pub(crate) snapshot: Snapshot,
    /// From `dovecot -p`: put into each configuration that is read.
    pub(crate) key_password: Option<Zeroizing<String>>,
    /// Counts the reloads.
    pub(crate) generation: u32,
    pub(crate) services: Vec<Service>,
    pub(crate) children: BTreeMap<u32, Child>,
    /// Log pipes by service.
    pub(crate) pipes: BTreeMap<String, Pipe>,
    pub(crate) loader: Option<Loader>,
    /// HUP came while a configuration was being read.
    pub(crate) reload_again: bool,
    pub(crate) admin: Admin,
    pub(crate) phase: Phase,
}

/// A log pipe. The master keeps both ends, so that nothing is lost while `log` is away.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) reader: OwnedFd,
    pub(crate) writer: OwnedFd,
}

impl Pipe {
    /// # Errors
    /// Those of `pipe`.
    pub(crate) fn new() -> io::Result<Self> {
        // Both ends are non-blocking only as far as their users make them so: a child waits until
        // `log` has read, the master must not.
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok(Self { reader, writer })
    }
}

/// What can become ready.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Admin,
    AdminConnection(usize),
    Loader,
    Child(u32),
    Listener(usize),
}

impl Server {
    /// Runs until everything has ended.
    pub(crate) fn run(mut self) {
        loop {
            self.settle();
            if self.is_over() {
                return self.finish();
            }
            for source in self.wait() {
                self.handle(source);
            }
            self.reap();
            let now = Instant::now();
            while let Some(timer) = self.timers.due(now) {
                self.ring(timer, now);
            }
            self.log.flush();
            self.admin.tidy();
        }
    }

    /// Waits until something is ready or a timer is due.
    fn wait(&self) -> Vec<Source> {
        let mut sources = vec![Source::Signals];
        let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if self.admin.has_room() {
            sources.push(Source::Admin);
            polled.push(PollFd::new(&self.admin.listener.socket, PollFlags::IN));
        }
        for (at, wire) in self.admin.connections() {
            sources.push(Source::AdminConnection(at));
            polled.push(PollFd::new(wire, wanted(wire)));
        }
        if let Some(loader) = &self.loader {
            sources.push(Source::Loader);
            polled.push(PollFd::new(&loader.wire, wanted(&loader.wire)));
        }
        for child in self.children.values().filter(|child| !child.wire.is_closed()) {
            sources.push(Source::Child(child.pid));
            polled.push(PollFd::new(&child.wire, wanted(&child.wire)));
        }
        for (at, service) in self.services.iter().enumerate().filter(|(_, service)| service.is_watched()) {
            for open in &service.listeners {
                sources.push(Source::Listener(at));
                polled.push(PollFd::new(&open.socket, PollFlags::IN));
            }
        }
        let timeout = self.timers.next().map(|at| until(at, Instant::now()));
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(0) | Err(_) => return Vec::new(),
            Ok(_) => {}
        }
        let ready = polled.iter().zip(sources).filter(|(polled, _)| !polled.revents().is_empty());
        ready.map(|(_, source)| source).collect()
    }

    fn handle(&mut self, source: Source) {
        match source {
            Source::Signals => self.hear_signals(),
            Source::Admin => self.admin.accept(),
            Source::AdminConnection(at) => {
                for query in self.admin.serve(at) {
                    let answers = self.query(query);
                    self.admin.answer(at, &answers);
                }
            }
            Source::Loader => self.hear_loader(),
            Source::Child(pid) => self.hear_child(pid),
            Source::Listener(at) => {
                if let Some(service) = self.services.get_mut(at) {
                    service.is_wanted = true;
                }
            }
        }
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(received)) = self.signals.next() {
            self.signalled(received);
        }
    }

    fn signalled(&mut self, received: Received) {
        let is = |signal: Signal| received.signal == signal as i32;
        if is(Signal::SIGTERM) || is(Signal::SIGINT) || is(Signal::SIGQUIT) {
            self.begin_stop(received);
        } else if is(Signal::SIGHUP) {
            self.begin_reload();
        } else if is(Signal::SIGUSR1) {
            self.log.warning("SIGUSR1 received - reopening log files");
            self.tell_log(ipc::control::ToLog::Reopen);
        }
        // SIGCHLD only wakes us up.
    }

    fn hear_child(&mut self, pid: u32) {
        let Some(child) = self.children.get_mut(&pid) else { return };
        child.wire.flush();
        let heard = child.wire.read();
        let mut messages = Vec::new();
        while let Some(message) = child.wire.message::<ToMaster>() {
            let descriptor = match message {
                ToMaster::Config(_) => child.wire.descriptor(),
                _ => None,
            };
            messages.push((message, descriptor));
        }
        let _ = heard == Heard::End; // Its death says the rest.
        for (message, descriptor) in messages {
            self.told(pid, message, descriptor);
        }
    }

    fn told(&mut self, pid: u32, message: ToMaster, descriptor: Option<OwnedFd>) {
        let (now, unix_s) = (Instant::now(), sys::clock::unix_seconds());
        let Some(child) = self.children.get_mut(&pid) else { return };
        match message {
            ToMaster::Ready => {
                child.was_ready = true;
                if child.state == State::Starting {
                    child.state = State::Serving;
                    child.heard_status(child.client_limit, 0, now, unix_s);
                }
            }
            ToMaster::Status { available, total } => {
                child.heard_status(available, total, now, unix_s);
                // Room that was there for an instant only has taken in a client all the same.
                let service = child.service.filter(|_| child.is_available());
                if let Some(service) = service.and_then(|at| self.services.get_mut(at)) {
                    service.crowded_until = None;
                    service.is_dropping = false;
                }
            }
            ToMaster::BecameIdentity => child.state = State::Identity,
            ToMaster::Config(answer) if child.kind == Kind::Config => self.config_said(answer, descriptor),
            ToMaster::Config(_) => {}
        }
        self.watch_idle(pid);
    }

    /// Sets a timer for a child that has become idle, unless there is one.
    fn watch_idle(&mut self, pid: u32) {
        let Some(child) = self.children.get_mut(&pid) else { return };
        let Some(since) = child.idle_since.filter(|_| !child.is_idle_watched) else { return };
        let service = child.service.and_then(|at| self.services.get(at));
        if let Some(limit) = service.and_then(|service| service.plan.idle_kill) {
            child.is_idle_watched = true;
            self.timers.set(since + limit, Timer::Idle(pid));
        }
    }

    fn ring(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::Throttle(at, generation) if generation == self.generation => {
                if let Some(service) = self.services.get_mut(at) {
                    service.throttle.end(now);
                }
            }
            Timer::Pending(at, generation) if generation == self.generation => {
                // The timer of a crowd that has found its place meanwhile means nothing.
                let service = self.services.get_mut(at);
                let is_due = |until: Instant| until <= now;
                if let Some(service) = service.filter(|service| service.crowded_until.is_some_and(is_due)) {
                    service.crowded_until = None;
                    service.is_dropping = true;
                }
            }
            Timer::Throttle(..) | Timer::Pending(..) => {}
            Timer::Idle(pid) => self.look_at_idle(pid, now),
            Timer::Ready(pid) => self.look_at_start(pid),
            Timer::Watchdog => {
                self.notify.say("WATCHDOG=1");
                self.set_watchdog(now);
            }
            Timer::Stop => self.kill_the_rest(),
        }
    }

    /// Sets the next sign of life to systemd.
    pub(crate) fn set_watchdog(&mut self, now: Instant) {
        if let Some(interval) = self.notify.watchdog {
            self.timers.set(now + interval, Timer::Watchdog);
        }
    }
}

fn wanted(wire: &Wire) -> PollFlags {
    if wire.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
}

fn until(at: Instant, now: Instant) -> Timespec {
    // A little late rather than a little early, and then again.
    let left = at.saturating_duration_since(now) + Duration::from_millis(1);
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}
