//! The task that talks with the master and hears signals.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use ipc::control::{ToChild, ToMaster};
use sys::signal::{Signal, Signals};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use crate::birth::{ToMasterSender, read_settings};
use crate::fatal::Fatal;
use crate::link::{Link, LinkError};
use crate::process::{Order, Process};
use crate::shutdown::Phase;

/// What goes to the master.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(ToMaster, Option<OwnedFd>),
    /// Answered when all before it is sent.
    Flush(oneshot::Sender<()>),
}

/// A handle on the task.
pub(crate) struct Control {
    outgoing: ToMasterSender,
}

impl Control {
    /// Starts the task. Must be called within a runtime.
    pub(crate) fn start(
        process: Process,
        link: Link,
        signals: Signals,
        outgoing: mpsc::UnboundedReceiver<Outgoing>,
        orders: mpsc::UnboundedSender<Order>,
        sender: ToMasterSender,
    ) -> Result<Self, Fatal> {
        let signals = watch(signals)?;
        let task = Task { process, link: Some(link), orders: Some(orders) };
        tokio::spawn(task.run(signals, outgoing));
        Ok(Self { outgoing: sender })
    }

    /// Waits until the master has been told everything.
    pub(crate) async fn finish(self) {
        let (done, wait) = oneshot::channel();
        if self.outgoing.send(Outgoing::Flush(done)).is_ok() {
            // A master that does not read must not keep us alive.
            let _ = tokio::time::timeout(Duration::from_secs(1), wait).await;
        }
    }
}

/// Makes signals awaitable.
///
/// # Errors
/// Those of epoll.
#[expect(
    deprecated,
    reason = "the signals' descriptor is owned and stays the same, which is what `new` needs"
)]
pub(crate) fn watch(signals: Signals) -> io::Result<AsyncFd<Signals>> {
    AsyncFd::new(signals)
}

struct Task {
    process: Process,
    /// `None` once the master is gone.
    link: Option<Link>,
    /// Likewise.
    orders: Option<mpsc::UnboundedSender<Order>>,
}

impl Task {
    async fn run(mut self, signals: AsyncFd<Signals>, mut outgoing: mpsc::UnboundedReceiver<Outgoing>) {
        loop {
            tokio::select! {
                message = heard(&mut self.link) => match message {
                    Ok(Some(message)) => {
                        if let Err(error) = self.obey(message) {
                            self.process.log().error(format_args!("control: {}", base::chain(&error)));
                        }
                    }
                    Ok(None) => self.orphaned(),
                    Err(error) => {
                        self.process.log().error(format_args!("control: {}", base::chain(&error)));
                        self.orphaned();
                    }
                },
                out = outgoing.recv() => match out {
                    Some(Outgoing::Message(message, descriptor)) => self.tell(&message, descriptor).await,
                    Some(Outgoing::Flush(done)) => drop(done.send(())),
                    None => return,
                },
                Ok(mut ready) = signals.readable() => {
                    while let Ok(Some(signal)) = ready.get_inner().next() {
                        self.signalled(signal);
                    }
                    ready.clear_ready();
                }
            }
        }
    }

    async fn tell(&mut self, message: &ToMaster, descriptor: Option<OwnedFd>) {
        let Some(link) = &self.link else { return };
        let descriptors: Vec<_> = descriptor.iter().map(AsFd::as_fd).collect();
        if link.send_with(message, &descriptors).await.is_err() {
            self.orphaned();
        }
    }

    fn obey(&mut self, message: ToChild) -> Result<(), LinkError> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match message {
            // It was the first message, and there is only one.
            ToChild::Birth(_) => {}
            ToChild::Stop => self.process.end(Phase::Stopping),
            ToChild::Retire => self.process.end(Phase::Retiring),
            ToChild::ExitIfIdle if self.process.is_idle() => self.process.end(Phase::Retiring),
            ToChild::ExitIfIdle => {}
            ToChild::Crowded => self.process.notice_crowd(),
            ToChild::NewAnvil => {
                let connection = link.descriptor()?;
                if let Some(anvil) = self.process.anvil() {
                    anvil.reconnect(connection);
                }
            }
            ToChild::NewSettings => match read_settings(link.descriptor()?) {
                Ok(settings) => self.process.replace_settings(settings),
                Err(error) => self.process.log().error(format_args!("new settings: {error}")),
            },
            ToChild::Log(order) => {
                let descriptor = match order {
                    ipc::control::ToLog::Pipe { .. } => Some(link.descriptor()?),
                    _ => None,
                };
                self.order(Order::Log(order, descriptor));
            }
            ToChild::Config(order) => self.order(Order::Config(order)),
        }
        Ok(())
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A process that does not take orders has none to lose.
            let _ = orders.send(order);
        }
    }

    /// The master is gone: sessions may go on, nobody new is to come.
    fn orphaned(&mut self) {
        self.link = None;
        self.orders = None;
        self.process.end(Phase::Retiring);
    }

    fn signalled(&self, signal: sys::signal::Received) {
        if signal.signal == Signal::SIGTERM as i32 {
            self.process.log().warning(signal.killed_text());
            self.process.end(Phase::Stopping);
        } else if signal.signal == Signal::SIGHUP as i32 {
            self.process.notice_flush();
        } else if signal.signal == Signal::SIGUSR2 as i32 {
            self.process.notice_statistics();
        }
    }
}

/// The next message; never comes once the master is gone.
async fn heard(link: &mut Option<Link>) -> Result<Option<ToChild>, LinkError> {
    match link {
        Some(link) => link.receive().await,
        None => std::future::pending().await,
    }
}
