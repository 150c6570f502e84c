//! Answers doveadm on the socket `master`, which only root may connect to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc::control::{Listener, ListenerKind};
use ipc::master::{Answer, Process, Query};
use rustix::net::SocketFlags;

use crate::listen::{self, Open};
use crate::plan::{ListenerPlan, Place};
use crate::server::Server;
use crate::wire::{Heard, Wire};

/// Connections at once: more than administrators have terminals open.
const CONNECTIONS_MAX: usize = 16;
const SOCKET: &str = "master";

/// The socket and who is connected to it.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) listener: Open,
    connections: Vec<Wire>,
}

impl Admin {
    /// Opens the socket.
    ///
    /// # Errors
    /// A line for what failed.
    pub(crate) fn open(base_dir: &std::path::Path) -> Result<Self, Vec<String>> {
        let plan = ListenerPlan {
            listener: Listener { name: SOCKET.to_owned(), kind: ListenerKind::Unix },
            place: Place::File {
                path: base_dir.join(SOCKET),
                mode: 0o600,
                uid: None,
                gid: None,
                is_fifo: false,
            },
        };
        let socket = listen::open_one(&plan, CONNECTIONS_MAX as i32).map_err(|lines| {
            lines.iter().map(|line| line.replace("@SERVICE@", SOCKET)).collect::<Vec<_>>()
        })?;
        let socket = socket.ok_or_else(|| vec!["no socket".to_owned()])?;
        Ok(Self { listener: Open { plan, socket, is_systemds: false }, connections: Vec::new() })
    }

    /// What to watch: connections by their place.
    pub(crate) fn connections(&self) -> impl Iterator<Item = (usize, &Wire)> {
        self.connections.iter().enumerate()
    }

    /// Whether another connection is welcome.
    pub(crate) fn has_room(&self) -> bool {
        self.connections.len() < CONNECTIONS_MAX
    }

    /// Takes a connection that waits.
    pub(crate) fn accept(&mut self) {
        if let Some(socket) = accept(self.listener.socket.as_fd())
            && let Ok(wire) = Wire::new(socket)
        {
            self.connections.push(wire);
        }
    }

    /// Reads from a connection and writes to it; gives the questions.
    pub(crate) fn serve(&mut self, at: usize) -> Vec<Query> {
        let Some(wire) = self.connections.get_mut(at) else { return Vec::new() };
        wire.flush();
        let mut queries = Vec::new();
        if wire.read() == Heard::Bytes {
            while let Some(query) = wire.message() {
                queries.push(query);
            }
        }
        queries
    }

    pub(crate) fn answer(&mut self, at: usize, answers: &[Answer]) {
        if let Some(wire) = self.connections.get_mut(at) {
            answers.iter().for_each(|answer| wire.send(answer, None));
        }
    }

    /// Forgets those who left.
    pub(crate) fn tidy(&mut self) {
        self.connections.retain(|wire| !wire.is_closed());
    }
}

/// Takes one connection from a listener, if one waits.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Option<OwnedFd> {
    rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()
}

impl Server {
    /// Does what doveadm asks.
    pub(crate) fn query(&mut self, query: Query) -> Vec<Answer> {
        let mut answers = match query {
            Query::Services(names) => self.chosen(&names, |server, at| vec![server.describe_service(at)]),
            Query::Processes(names) => self.chosen(&names, |server, at| server.describe_processes(at)),
            Query::StopServices(names) => self.chosen(&names, |server, at| {
                server.stop_service(at);
                Vec::new()
            }),
        };
        answers.push(Answer::End);
        answers
    }

    /// Applies `each` to the services named, or to all.
    fn chosen(
        &mut self,
        names: &[String],
        mut each: impl FnMut(&mut Self, usize) -> Vec<Answer>,
    ) -> Vec<Answer> {
        if names.is_empty() {
            return (0..self.services.len()).flat_map(|at| each(self, at)).collect();
        }
        let mut answers = Vec::new();
        for name in names {
            match self.services.iter().position(|service| &service.plan.name == name) {
                Some(at) => answers.extend(each(self, at)),
                None => answers.push(Answer::Failed(format!("Unknown service: {name}"))),
            }
        }
        answers
    }

    fn describe_service(&self, at: usize) -> Answer {
        let now = std::time::Instant::now();
        let Some(service) = self.services.get(at) else { return Answer::End };
        Answer::Service(Box::new(ipc::master::Service {
            name: service.plan.name.clone(),
            process_count: service.process_count,
            process_avail: service.process_avail,
            process_limit: service.plan.process_limit,
            client_limit: service.plan.client_limit,
            throttle_secs: service.throttle.left_s(now),
            exit_failure_last: service.throttle.failure_last_s,
            exit_failures_in_sec: service.throttle.failures_in_second,
            last_drop_warning: service.last_drop_warning_s,
            listen_pending: service.crowded_until.is_some(),
            listening: service.is_watched() && !service.listeners.is_empty(),
            doveadm_stop: service.is_stopped,
            process_total: service.process_total,
        }))
    }

    fn describe_processes(&self, at: usize) -> Vec<Answer> {
        let children = self.children.values().filter(|child| child.service == Some(at));
        children
            .map(|child| {
                Answer::Process(Process {
                    name: child.name.clone(),
                    pid: child.pid,
                    available_count: child.available,
                    total_count: child.total,
                    idle_start: child.idle_start_s,
                    last_status_update: child.last_status_s,
                    last_kill_sent: child.last_kill_s,
                })
            })
            .collect()
    }
}
