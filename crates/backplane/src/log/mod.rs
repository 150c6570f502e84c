//! The `log` process: reads what all processes write to their log pipes and puts it where the
//! settings say, one line at a time.
//!
//! It outlives the master until the last process has ended, so that last words are not lost. It
//! never fails because of what it reads, nor because a disk is full.

mod output;
mod pipe;
mod ring;
mod source;
mod stamp;
mod writer;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use base::Level;
use ipc::control::ToLog;
use ipc::log::{ErrorsQuery, level_of};
use service::{Entry, Fatal, Link, Opening, Order, Process};
use settings::Snapshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::output::{Outputs, Paths};
use self::pipe::Pipe;
use self::source::Line;
pub(crate) use self::source::Source;
use self::writer::Writer;
use crate::limits::ADMIN_TIMEOUT;
use crate::listen;

/// What the exit status tells the master when a log file cannot be opened (2.3's `FATAL_LOGOPEN`).
const STATUS_CANNOT_OPEN: u8 = 80;

/// The process as the binary knows it.
pub fn entry() -> Entry {
    Entry::new("log", open, run)
}

/// Opens the files while all rights are there.
fn open(opening: &Opening<'_>) -> Result<Outputs, Fatal> {
    let paths = Paths::of(&opening.settings.root());
    Outputs::open(&paths).map_err(|error| Fatal::from(error).with_status(STATUS_CANNOT_OPEN))
}

/// Writes lines of the master to the log before there is a log process, because there will be none.
/// Standard error has been told already.
pub fn note(settings: &Snapshot, lines: &[(Level, String)]) {
    let mut paths = Paths::of(&settings.root());
    if paths.log_path == "/dev/stderr" {
        return;
    }
    // Errors go to one of the three only.
    (paths.info_log_path, paths.debug_log_path) = Default::default();
    if let Ok(mut outputs) = Outputs::open(&paths) {
        for (level, text) in lines {
            outputs.write(&Line::new(*level, "master: ", text), writer::now_us());
        }
    }
}

async fn run(process: Process, outputs: Outputs) -> Result<(), Fatal> {
    let writer = Arc::new(Writer::new(outputs, process.settings()));
    let answer = {
        let writer = writer.clone();
        move |link| answer(link, writer.clone())
    };
    let mut accepting = listen::serve(process.take_listeners(), process.log(), answer)
        .map_err(|error| Fatal::new(format_args!("listeners failed: {}", base::reason(&error))))?;
    let mut orders = process.take_orders().ok_or_else(|| Fatal::new("no line to the master"))?;
    let mut pipes = Pipes { writer: writer.clone(), open: Vec::new(), tasks: JoinSet::new() };
    let shutdown = process.shutdown();
    let mut last = false;
    loop {
        tokio::select! {
            order = orders.recv(), if !orders.is_closed() || !orders.is_empty() => {
                writer.use_settings(&process.settings());
                match order {
                    Some(Order::Log(order, descriptor)) => pipes.obey(order, descriptor),
                    Some(Order::Config(_)) => {}
                    // The master is gone; those who still run may have something to say.
                    None => last = true,
                }
            }
            () = shutdown.retiring(), if !last => last = true,
            Some(_) = pipes.tasks.join_next() => pipes.forget_ended(),
        }
        if last {
            accepting.abort_all();
        }
        if last && pipes.tasks.is_empty() {
            return Ok(());
        }
    }
}

/// All log pipes.
struct Pipes {
    writer: Arc<Writer>,
    open: Vec<Arc<Pipe>>,
    tasks: JoinSet<()>,
}

impl Pipes {
    fn obey(&mut self, order: ToLog, descriptor: Option<OwnedFd>) {
        match order {
            ToLog::Pipe { service } => match descriptor.map(|end| Pipe::new(&service, end)) {
                Some(Ok(pipe)) => {
                    let pipe = Arc::new(pipe);
                    self.tasks.spawn(pipe.clone().run(self.writer.clone()));
                    self.open.push(pipe);
                }
                Some(Err(error)) => {
                    self.writer.own(Level::Error, &format!("pipe of {service}: {}", base::reason(&error)));
                }
                None => self.writer.own(Level::Error, &format!("pipe of {service} did not arrive")),
            },
            ToLog::Line { level, text } => {
                let level = level_of(level).unwrap_or(Level::Error);
                self.writer.write(&Line::new(level, "master: ", &text));
            }
            ToLog::ChildDied { service, pid, text } => self.child_died(&service, pid, &text),
            ToLog::Reopen => self.writer.reopen(),
        }
    }

    fn child_died(&self, service: &str, pid: u32, text: &str) {
        let of_service = || self.open.iter().filter(|pipe| pipe.service() == service);
        // What it said last may still be in its pipe.
        of_service().for_each(|pipe| pipe.drain(&self.writer));
        match of_service().find(|pipe| pipe.knows(pid)).or_else(|| of_service().next_back()) {
            Some(pipe) => pipe.child_died(pid, text, &self.writer),
            None if text.is_empty() => {}
            None => self.writer.write(&Line::new(
                Level::Fatal,
                &format!("{service}: "),
                &format!("master: {text}"),
            )),
        }
    }

    fn forget_ended(&mut self) {
        self.open.retain(|pipe| !pipe.has_ended());
    }
}

/// Tells doveadm the last errors.
async fn answer(mut link: Link, writer: Arc<Writer>) {
    let asked = timeout(ADMIN_TIMEOUT, async {
        if let Some(query) = link.receive::<ErrorsQuery>().await? {
            for line in writer.errors_since(query.since_s) {
                link.send(&line).await?;
            }
        }
        Ok::<(), service::LinkError>(())
    });
    match asked.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => writer.own(Level::Warning, &format!("doveadm: {}", base::chain(&error))),
        Err(_) => writer.own(Level::Warning, "doveadm: connection timed out"),
    }
}
