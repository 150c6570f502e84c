//! A mail process that still has root's rights: it takes hand-overs, passes clients on to the
//! processes of their identities, and becomes one itself where there is none.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Logger;
use ipc::control::{Listener, ToChild, ToMaster};
use ipc::handover::Request;
use ipc::identity::{Pass, PassReply};
use sys::signal::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::birth::{Line, Newborn, read_settings};
use crate::control;
use crate::fatal::Fatal;
use crate::identity::settle::{Arrived, Asker, Refused, Settled, answer};
use crate::identity::{DIRECTORY, socket_prefix};
use crate::link::{Link, LinkError};
use crate::serve::Acceptor;
use crate::stream::Stream;

/// How long an identity process may take to say whether it takes a client.
const PASS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long lookups under way may hold up a spare that becomes an identity process.
const LATE_ANSWER: Duration = Duration::from_secs(2);
/// And connections on which no request has come yet.
const LATE_REQUEST: Duration = Duration::from_millis(200);

/// What becomes of a spare.
pub(crate) enum Fate {
    /// It is not needed any more.
    End,
    /// It shall be the process of these clients' identity; there is one at least.
    Become(Vec<Settled>),
}

pub(crate) struct Spare {
    newborn: Newborn,
    asker: Asker,
    pool: Arc<Pool>,
}

/// Hand-overs under way, by number.
type UnderWay = Arc<Mutex<HashMap<u64, Option<Arc<Arrived>>>>>;

impl Spare {
    pub(crate) fn new(newborn: Newborn, asker: Asker) -> Self {
        let pool = Arc::new(Pool {
            directory: PathBuf::from(&newborn.birth.base_dir).join(DIRECTORY),
            prefix: socket_prefix(&newborn.birth),
            idle: Mutex::default(),
            log: newborn.log.clone(),
        });
        Self { newborn, asker, pool }
    }

    /// Serves as a spare until it is not one any more. To be spawned: a task is woken by another
    /// without a system call, which the future that a runtime blocks on is not.
    pub(crate) async fn live(mut self) -> Result<(Fate, Newborn), Fatal> {
        let socket = self.newborn.line.socket.try_clone()?;
        let placeholder = Line { socket, decoder: ipc::Decoder::new(), descriptors: Default::default() };
        let mut master = Link::resume(std::mem::replace(&mut self.newborn.line, placeholder))?;
        let newborn = &self.newborn;
        crate::title::show(&newborn.birth.instance, newborn.row.program, &newborn.arguments, "");
        master.send(&ToMaster::Ready).await?;
        let fate = self.wait_for_fate(&mut master).await?;
        if let Fate::Become(_) = fate {
            master.send(&ToMaster::BecameIdentity).await?;
        }
        self.newborn.line = master.pause()?;
        Ok((fate, self.newborn))
    }

    async fn wait_for_fate(&mut self, master: &mut Link) -> Result<Fate, Fatal> {
        let mut acceptor = Acceptor::new(self.hand_over_listeners())?;
        let under_way = UnderWay::default();
        let mut tasks = JoinSet::new();
        let (mut next_id, mut is_open) = (0, true);
        // 2.3's way, one client per process: the next one is another process's. A script may take its
        // time, which must not be that of others, nor be cut short when this becomes their process.
        let one_only = self.newborn.birth.client_limit <= 1 || self.asker.has_script();
        let most = if one_only { 1 } else { self.newborn.birth.client_limit as usize };
        let signals = control::watch(self.newborn.signals.try_clone()?)?;
        loop {
            if !is_open && tasks.is_empty() {
                return Ok(Fate::End);
            }
            tokio::select! {
                client = acceptor.accept(), if is_open && tasks.len() < most => match client {
                    Ok((Stream::Unix(stream), _)) => {
                        next_id += 1;
                        tasks.spawn(self.task(next_id, Link::new(stream), under_way.clone()));
                        if one_only {
                            master.send(&ToMaster::Status { available: 0, total: 1 }).await?;
                        }
                    }
                    Ok((Stream::Tcp(_) | Stream::Unwatched(_), _)) => self.newborn.log.error("hand-overs come by unix sockets only"),
                    Err(error) => {
                        self.newborn.log.error(format_args!("accept() failed: {}", base::reason(&error)));
                        tokio::time::sleep(PASS_TIMEOUT / 10).await;
                    }
                },
                Some(done) = tasks.join_next() => match done {
                    Ok((id, Some(settled))) => {
                        forget(&under_way, id);
                        acceptor.close();
                        return Ok(Fate::Become(self.gather(settled, &mut tasks, &under_way).await));
                    }
                    Ok((id, None)) => {
                        forget(&under_way, id);
                        if one_only && is_open {
                            master.send(&ToMaster::Status { available: 1, total: 0 }).await?;
                        }
                    }
                    // The panic hook has logged it.
                    Err(_) => {}
                },
                message = master.receive::<ToChild>() => {
                    let message = message?;
                    is_open &= self.obey(message, master, tasks.is_empty())?;
                    if !is_open {
                        acceptor.close();
                    }
                }
                Ok(mut ready) = signals.readable() => {
                    while let Ok(Some(signal)) = ready.get_inner().next() {
                        if signal.signal == Signal::SIGTERM as i32 {
                            self.newborn.log.warning(signal.killed_text());
                            return Ok(Fate::End);
                        }
                    }
                    ready.clear_ready();
                }
            }
        }
    }

    /// The sockets on which clients are handed over; `imap-master` and the like are for others.
    fn hand_over_listeners(&mut self) -> Vec<(Listener, std::os::fd::OwnedFd)> {
        let mut listeners = std::mem::take(&mut self.newborn.listeners);
        listeners.retain(|(listener, _)| takes_hand_overs(listener));
        listeners
    }

    fn task(
        &self,
        id: u64,
        link: Link,
        under_way: UnderWay,
    ) -> impl Future<Output = (u64, Option<Settled>)> + Send + use<> {
        let (asker, pool) = (self.asker.clone(), self.pool.clone());
        note(&under_way, id, None);
        async move {
            let Some(arrived) = asker.arrive(link).await.map(Arc::new) else { return (id, None) };
            note(&under_way, id, Some(arrived.clone()));
            match asker.settle(&arrived).await {
                Ok(settled) => (id, pool.pass_on(settled).await),
                Err(refused) => {
                    refuse(&arrived, refused);
                    (id, None)
                }
            }
        }
    }

    /// Obeys the master; whether to go on as a spare.
    fn obey(&mut self, message: Option<ToChild>, master: &mut Link, is_idle: bool) -> Result<bool, Fatal> {
        match message {
            None | Some(ToChild::Stop | ToChild::Retire) => return Ok(false),
            Some(ToChild::ExitIfIdle) => return Ok(!is_idle),
            Some(ToChild::NewAnvil) => self.newborn.anvil = Some(master.descriptor()?),
            Some(ToChild::NewSettings) => {
                let settings = read_settings(master.descriptor()?)?;
                self.asker.replace_settings(settings.clone());
                self.newborn.settings = settings;
            }
            Some(ToChild::Birth(_) | ToChild::Crowded | ToChild::Log(_) | ToChild::Config(_)) => {}
        }
        Ok(true)
    }

    /// Ends what is under way, for this process is about to lose the rights that it takes. Clients of
    /// the same identity come along; those of others go to the next spare, with what auth said about
    /// them, since auth says it once.
    async fn gather(
        &self,
        first: Settled,
        tasks: &mut JoinSet<(u64, Option<Settled>)>,
        under_way: &UnderWay,
    ) -> Vec<Settled> {
        let mut housemates = vec![first];
        for settled in self.finish(tasks, under_way).await {
            match housemates.first().is_some_and(|first| first.target == settled.target) {
                true => housemates.push(settled),
                false => self.forward(settled).await,
            }
        }
        for arrived in under_way.lock().unwrap_or_else(PoisonError::into_inner).drain().filter_map(|it| it.1)
        {
            refuse(&arrived, Refused::internal());
        }
        housemates
    }

    /// Waits for the tasks under way, but not for ever.
    async fn finish(
        &self,
        tasks: &mut JoinSet<(u64, Option<Settled>)>,
        under_way: &UnderWay,
    ) -> Vec<Settled> {
        let (begun, mut finished) = (Instant::now(), Vec::new());
        loop {
            let is_asking =
                under_way.lock().unwrap_or_else(PoisonError::into_inner).values().any(Option::is_some);
            let deadline = begun + if is_asking { LATE_ANSWER } else { LATE_REQUEST };
            let Ok(Some(done)) = timeout_at(deadline, tasks.join_next()).await else { break };
            if let Ok((id, settled)) = done {
                forget(under_way, id);
                finished.extend(settled);
            }
        }
        tasks.shutdown().await;
        finished
    }

    async fn forward(&self, settled: Settled) {
        let Settled { arrived, told, .. } = settled;
        let request = Request { known: Some(told), ..arrived.request.clone() };
        let listener = self.newborn.birth.listeners.iter().find(|listener| takes_hand_overs(listener));
        let name = listener.map(|listener| listener.name.as_str()).unwrap_or_default();
        let path = PathBuf::from(&self.newborn.birth.base_dir).join(name);
        let sent = async {
            let link = Link::connect(path).await?;
            link.send_with(&request, &[arrived.client.as_fd(), arrived.reply.as_fd()]).await
        };
        if let Err(error) = sent.await {
            let log = &self.newborn.log;
            log.error(format_args!("hand-over to the next process: {}", base::chain(&error)));
            refuse(&arrived, Refused::internal());
        }
    }
}

/// Whether login processes connect to this socket.
pub(crate) fn takes_hand_overs(listener: &Listener) -> bool {
    !listener.name.ends_with("-master")
}

fn note(under_way: &UnderWay, id: u64, arrived: Option<Arc<Arrived>>) {
    under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id, arrived);
}

fn forget(under_way: &UnderWay, id: u64) {
    under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
}

fn refuse(arrived: &Arrived, refused: Refused) {
    answer(&arrived.reply, &refused.into_reply());
}

/// Why a process did not say whether it takes a client.
enum Unpassed {
    /// It is not there any more, and neither is what it was given.
    Gone(LinkError),
    /// It may still take the client, which nobody else must have then.
    Silent,
}

/// Connections to identity processes.
struct Pool {
    directory: PathBuf,
    prefix: String,
    /// Those not in use, by socket.
    idle: Mutex<HashMap<PathBuf, Vec<Link>>>,
    log: Logger,
}

impl Pool {
    /// Gives the client to a process of its identity; back again if there is none with room.
    async fn pass_on(&self, settled: Settled) -> Option<Settled> {
        let start = format!("{}{}.", self.prefix, settled.target.key());
        let known = self.known(&start);
        let others = || self.candidates(&start).into_iter().filter(|path| Some(path) != known.as_ref());
        if let Some(path) = &known
            && self.give(path, &settled).await
        {
            return None;
        }
        for path in others() {
            if self.give(&path, &settled).await {
                return None;
            }
        }
        Some(settled)
    }

    /// Whether the process behind `path` has the client now, or may have it: then nobody else gets it.
    async fn give(&self, path: &Path, settled: &Settled) -> bool {
        let kept = self.idle().get_mut(path).and_then(Vec::pop);
        let offered = match kept {
            // Its process may have ended since.
            Some(link) => match self.offer(link, path, settled).await {
                Err(Unpassed::Gone(_)) => self.connect_and_offer(path, settled).await,
                offered => offered,
            },
            None => self.connect_and_offer(path, settled).await,
        };
        match offered {
            Ok(PassReply::Taken) => true,
            Ok(PassReply::Full) => false,
            Err(Unpassed::Gone(LinkError::Io(error))) if error.kind() == io::ErrorKind::ConnectionRefused => {
                // Its process had no rights to remove it.
                let _ = std::fs::remove_file(path);
                false
            }
            Err(Unpassed::Gone(LinkError::Io(error))) if error.kind() == io::ErrorKind::NotFound => false,
            Err(Unpassed::Gone(error)) => {
                self.log.warning(format_args!("{}: {}", path.display(), base::chain(&error)));
                false
            }
            Err(Unpassed::Silent) => {
                self.log.error(format_args!("{}: no answer to a hand-over in time", path.display()));
                refuse(&settled.arrived, Refused::internal());
                true
            }
        }
    }

    async fn connect_and_offer(&self, path: &Path, settled: &Settled) -> Result<PassReply, Unpassed> {
        let link = Link::connect(path).await.map_err(Unpassed::Gone)?;
        self.offer(link, path, settled).await
    }

    /// A socket that took a client before: the directory need not be read.
    fn known(&self, start: &str) -> Option<PathBuf> {
        let idle = self.idle();
        let is_of_identity =
            |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        idle.iter().filter(|(_, links)| !links.is_empty()).map(|(path, _)| path).find(is_of_identity).cloned()
    }

    fn candidates(&self, start: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
        names.map(|entry| entry.path()).collect()
    }

    async fn offer(&self, mut link: Link, path: &Path, settled: &Settled) -> Result<PassReply, Unpassed> {
        let arrived = &settled.arrived;
        let pass = Pass {
            request: arrived.request.clone(),
            username: settled.user.name.clone(),
            fields: settled.user.fields.clone(),
        };
        let exchange = async {
            link.send_with(&pass, &[arrived.client.as_fd(), arrived.reply.as_fd()]).await?;
            link.expect::<PassReply>().await
        };
        let reply = timeout(PASS_TIMEOUT, exchange).await.map_err(|_| Unpassed::Silent)?;
        let reply = reply.map_err(Unpassed::Gone)?;
        self.idle().entry(path.to_owned()).or_default().push(link);
        Ok(reply)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Vec<Link>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
