//! The line to anvil: sessions are announced and counted there, kicks come from there, and it
//! remembers which addresses keep failing to log in, and who is banned.
//!
//! anvil may die and be started anew; then all sessions are announced again over a fresh
//! connection. While it is away, nobody is refused: 2.3 does the same.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base::Logger;
use ipc::anvil::{Ban, Failure, FromAnvil, Proxied, Session, ToAnvil};
use tokio::sync::{mpsc, oneshot, watch};

use crate::bans::Bans;
use crate::link::Link;

/// A handle on the process's line to anvil. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Anvil(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    commands: mpsc::UnboundedSender<Command>,
    sessions: Mutex<HashMap<u64, Announced>>,
    bans: Bans,
    next_id: AtomicU64,
}

#[derive(Debug)]
struct Announced {
    what: What,
    kicked: watch::Sender<bool>,
}

/// What is announced again to a new anvil.
#[derive(Debug, Clone)]
enum What {
    Session(Session),
    Proxied(Proxied),
}

enum Command {
    Send(ToAnvil),
    Connect(Session, u32, oneshot::Sender<bool>),
    Penalty(IpAddr, oneshot::Sender<Penalty>),
    Failed(Failure, oneshot::Sender<FromAnvil>),
    Once(String, u64, oneshot::Sender<FromAnvil>),
    Fresh(OwnedFd),
}

/// How an address stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Penalty {
    /// The penalty's value; 0 for none.
    pub value: u32,
    /// When it last changed, in seconds since 1970; 0 for never.
    pub last_update_s: u64,
}

/// The user has as many sessions from this address as `mail_max_userip_connections` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Maximum number of connections from user+IP exceeded (mail_max_userip_connections={0})")]
pub struct TooMany(pub u32);

/// A session, or a proxied client, that anvil knows of. Dropping it takes it out again.
#[derive(Debug)]
pub struct AnvilSession {
    id: u64,
    anvil: Anvil,
    kicked: watch::Receiver<bool>,
}

impl AnvilSession {
    /// Waits until an administrator kicks this session (`doveadm kick`).
    pub async fn kicked(&self) {
        self.kicks().wait().await;
    }

    /// The same, apart from the session.
    pub fn kicks(&self) -> Kicked {
        Kicked(self.kicked.clone())
    }
}

/// Tells when a session is kicked. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Kicked(watch::Receiver<bool>);

impl Kicked {
    /// Waits until an administrator kicks the session.
    pub async fn wait(&self) {
        if self.0.clone().wait_for(|&kicked| kicked).await.is_err() {
            // Only dropping the session ends the channel, so this is never waited on in earnest.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for AnvilSession {
    fn drop(&mut self) {
        self.anvil.sessions().remove(&self.id);
        self.anvil.send(Command::Send(ToAnvil::Disconnect(self.id)));
    }
}

impl Anvil {
    /// Starts talking over `connection`. Must be called within a runtime.
    pub(crate) fn start(connection: OwnedFd, log: Logger) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            commands,
            sessions: Mutex::default(),
            bans: Bans::default(),
            next_id: AtomicU64::new(1),
        };
        let anvil = Self(Arc::new(shared));
        anvil.send(Command::Fresh(connection));
        tokio::spawn(
            Talk { anvil: anvil.clone(), log, link: None, waiting: Waiting::default() }.run(receiver),
        );
        anvil
    }

    /// Announces a session, unless the user has `userip_limit` (0: no limit) from this address
    /// already.
    ///
    /// # Errors
    /// [`TooMany`] when the limit is reached.
    pub async fn connect(
        &self,
        username: &str,
        service: &str,
        remote_ip: Option<IpAddr>,
        session_id: &str,
        userip_limit: u32,
    ) -> Result<AnvilSession, TooMany> {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let session = Session {
            id,
            username: username.to_owned(),
            service: service.to_owned(),
            remote_ip,
            session_id: session_id.to_owned(),
        };
        let (kick, kicked) = watch::channel(false);
        // Known before it is asked for, so that it is announced again should anvil die meanwhile,
        // and taken out again by the drop of `announced`, whatever happens to this future.
        self.sessions().insert(id, Announced { what: What::Session(session.clone()), kicked: kick });
        let announced = AnvilSession { id, anvil: self.clone(), kicked };
        let (answer, answered) = oneshot::channel();
        self.send(Command::Connect(session, userip_limit, answer));
        match answered.await {
            Ok(false) => Err(TooMany(userip_limit)),
            Ok(true) | Err(_) => Ok(announced),
        }
    }

    /// Announces a client that is proxied; its [`Proxied::id`] is set here.
    pub fn proxy(&self, proxied: Proxied) -> AnvilSession {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let proxied = Proxied { id, ..proxied };
        let (kick, kicked) = watch::channel(false);
        self.sessions().insert(id, Announced { what: What::Proxied(proxied.clone()), kicked: kick });
        self.send(Command::Send(ToAnvil::Proxy(proxied)));
        AnvilSession { id, anvil: self.clone(), kicked }
    }

    /// How often logins from `ip` have failed lately.
    pub async fn penalty(&self, ip: IpAddr) -> Penalty {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Penalty(ip, answer));
        answered.await.unwrap_or_default()
    }

    /// Records a failed (`value` above the present one) or successful (0) login from `ip`;
    /// `checksum` tells the same wrong credentials from new ones.
    pub fn set_penalty(&self, ip: IpAddr, value: u32, checksum: u32) {
        self.send(Command::Send(ToAnvil::PenaltySet { ip, value, checksum }));
    }

    /// The bans in force, of which auth processes are told.
    pub fn bans(&self) -> &Bans {
        &self.0.bans
    }

    /// Counts a failed login; gives the ban that followed just now.
    pub async fn failed(&self, failure: Failure) -> Option<Ban> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Failed(failure, answer));
        match answered.await {
            Ok(FromAnvil::Failed { ban, .. }) => ban,
            _ => None,
        }
    }

    /// Notes that the code `counter` of `name` was used, which voids all before it as well; says
    /// whether it was not used before. `None` if anvil does not answer.
    pub async fn once(&self, name: &str, counter: u64) -> Option<bool> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Once(name.to_owned(), counter, answer));
        match answered.await {
            Ok(FromAnvil::Once { is_new, .. }) => Some(is_new),
            _ => None,
        }
    }

    /// Tells how many clients that have not logged in are connected to this process.
    pub fn strangers(&self, count: u32) {
        self.send(Command::Send(ToAnvil::Strangers(count)));
    }

    /// Goes on over a fresh connection, after anvil was started anew.
    pub(crate) fn reconnect(&self, connection: OwnedFd) {
        self.send(Command::Fresh(connection));
    }

    fn send(&self, command: Command) {
        // The talking task ends with the runtime only, and then there is nobody to tell.
        let _ = self.0.commands.send(command);
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Announced>> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kick(&self, id: u64) {
        if let Some(announced) = self.sessions().get(&id) {
            announced.kicked.send_replace(true);
        }
    }
}

#[derive(Default)]
struct Waiting {
    connects: HashMap<u64, oneshot::Sender<bool>>,
    penalties: HashMap<u64, oneshot::Sender<Penalty>>,
    others: HashMap<u64, oneshot::Sender<FromAnvil>>,
    next_request: u64,
}

impl Waiting {
    fn other(&mut self, answer: oneshot::Sender<FromAnvil>) -> u64 {
        self.next_request += 1;
        self.others.insert(self.next_request, answer);
        self.next_request
    }
}

/// The task that owns the link.
struct Talk {
    anvil: Anvil,
    log: Logger,
    link: Option<Link>,
    waiting: Waiting,
}

impl Talk {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                message = heard(&mut self.link) => match message {
                    Some(message) => self.hear(message),
                    None => self.lost(),
                },
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Send(message) => self.tell(&message).await,
            Command::Connect(session, userip_limit, answer) => {
                let id = session.id;
                self.waiting.connects.insert(id, answer);
                self.tell(&ToAnvil::Connect { session, userip_limit }).await;
            }
            Command::Penalty(ip, answer) => {
                self.waiting.next_request += 1;
                let request = self.waiting.next_request;
                self.waiting.penalties.insert(request, answer);
                self.tell(&ToAnvil::PenaltyGet { request, ip }).await;
            }
            Command::Failed(failure, answer) => {
                let request = self.waiting.other(answer);
                self.tell(&ToAnvil::Failed { request, failure }).await;
            }
            Command::Once(name, counter, answer) => {
                let request = self.waiting.other(answer);
                self.tell(&ToAnvil::Once { request, name, counter }).await;
            }
            Command::Fresh(connection) => self.fresh(connection).await,
        }
        if self.link.is_none() {
            // Nobody will answer: let everyone in and forget penalties, as 2.3 does.
            self.waiting = Waiting { next_request: self.waiting.next_request, ..Waiting::default() };
        }
    }

    async fn fresh(&mut self, connection: OwnedFd) {
        match Link::from_descriptor(connection) {
            Ok(link) => self.link = Some(link),
            Err(error) => return self.log.error(format_args!("anvil: {}", base::chain(&error))),
        }
        // What was asked over a link before nobody answers any more.
        self.waiting.penalties.clear();
        self.waiting.others.clear();
        let announced: Vec<What> =
            self.anvil.sessions().values().map(|announced| announced.what.clone()).collect();
        for what in announced {
            match what {
                What::Session(session) => {
                    // Those still waiting for leave were asked for over a link that is gone.
                    if let Some(answer) = self.waiting.connects.remove(&session.id) {
                        let _ = answer.send(true);
                    }
                    self.tell(&ToAnvil::Resume(session)).await;
                }
                What::Proxied(proxied) => self.tell(&ToAnvil::Proxy(proxied)).await,
            }
        }
        for ban in self.anvil.bans().all() {
            self.tell(&ToAnvil::ResumeBan(ban)).await;
        }
    }

    async fn tell(&mut self, message: &ToAnvil) {
        let Some(link) = &self.link else { return };
        if link.send(message).await.is_err() {
            self.lost();
        }
    }

    fn hear(&mut self, message: FromAnvil) {
        match message {
            FromAnvil::Connected { id, allowed } => {
                if let Some(answer) = self.waiting.connects.remove(&id) {
                    let _ = answer.send(allowed);
                }
            }
            FromAnvil::Penalty { request, value, last_update_s } => {
                if let Some(answer) = self.waiting.penalties.remove(&request) {
                    let _ = answer.send(Penalty { value, last_update_s });
                }
            }
            FromAnvil::Kick(id) => self.anvil.kick(id),
            FromAnvil::Ban(ban) => self.anvil.bans().add(ban),
            FromAnvil::Unban(subject) => self.anvil.bans().remove(&subject),
            FromAnvil::Failed { request, .. } | FromAnvil::Once { request, .. } => {
                if let Some(answer) = self.waiting.others.remove(&request) {
                    let _ = answer.send(message);
                }
            }
        }
    }

    fn lost(&mut self) {
        if self.link.take().is_some() {
            self.log.warning("Lost connection to anvil, going on without it until it is back");
        }
        // Dropping the askers' channels is the answer "go on".
        self.waiting = Waiting { next_request: self.waiting.next_request, ..Waiting::default() };
    }
}

/// The next message; never comes while there is no link; `None` when the link is lost.
async fn heard(link: &mut Option<Link>) -> Option<FromAnvil> {
    match link {
        Some(link) => link.receive().await.ok().flatten(),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    /// anvil has died before it took the line, which nobody closes: the master just gives another one.
    #[test]
    fn what_was_asked_over_a_replaced_line_does_not_wait() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            let anvil = Anvil::start(ours.into(), Logger::new(""));
            let asker = anvil.clone();
            let asked = tokio::spawn(async move { asker.penalty([192, 0, 2, 1].into()).await });
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(!asked.is_finished());
            let (again, _theirs) = UnixStream::pair().unwrap();
            anvil.reconnect(again.into());
            let answer = tokio::time::timeout(Duration::from_secs(60), asked).await;
            assert_eq!(answer.unwrap().unwrap(), Penalty::default());
        });
    }
}
