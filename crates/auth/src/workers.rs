//! The workers as the auth process sees them: connections to `auth-worker`, made by need, up to
//! `auth_worker_max_count`, each busy with one request at a time. The master starts a process for
//! each connection.
//!
//! Where there are several databases, none of them ever occupies all workers: one that hangs leaves
//! some for the logins that need another.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use base::Logger;
use ipc::Decoder;
use ipc::auth_worker::{FromWorker, PassdbResult, ToWorker, UserdbResult};
use sasl::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::limits::{
    WORKER_DELAY_WARN, WORKER_DELAY_WARN_INTERVAL, WORKER_IDLE, WORKER_QUEUE_MAX, WORKER_QUEUE_TIMEOUT,
    WORKER_RETRY, WORKER_TIMEOUT,
};
use crate::request::Request;

/// How long requests may take; the limits, but for tests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) request: Duration,
    pub(crate) queue: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { request: WORKER_TIMEOUT, queue: WORKER_QUEUE_TIMEOUT }
    }
}

/// All workers.
pub(crate) struct Workers {
    path: PathBuf,
    hello: u64,
    log: Logger,
    timeouts: Timeouts,
    all: Semaphore,
    /// Each database's share, by the databases' numbers.
    shares: HashMap<usize, Rc<Semaphore>>,
    idle: RefCell<Vec<Worker>>,
    released: Notify,
    next_id: Cell<u32>,
    queued: Cell<usize>,
    warned: Cell<Option<Instant>>,
    failed: Cell<Option<Instant>>,
}

/// A connection to one worker.
struct Worker {
    stream: UnixStream,
    decoder: Decoder,
    idle_since: Instant,
    /// It takes no more requests.
    is_leaving: bool,
}

impl Workers {
    /// `sources` says which passdbs and userdbs, by their numbers, ask the same database; `hello` is
    /// the hash of all their settings.
    pub(crate) fn new(
        path: &Path,
        max: usize,
        hello: u64,
        sources: &[Vec<usize>],
        log: Logger,
        timeouts: Timeouts,
    ) -> Self {
        Self {
            path: path.to_owned(),
            hello,
            shares: shares(sources, max),
            log,
            timeouts,
            all: Semaphore::new(max),
            idle: RefCell::default(),
            released: Notify::new(),
            next_id: Cell::new(0),
            queued: Cell::new(0),
            warned: Cell::new(None),
            failed: Cell::new(None),
        }
    }

    /// Asks whether the given password is the stored one; `None` if nobody could say. The inner
    /// error is for the log.
    pub(crate) async fn verify(&self, request: &Request, stored: &Secret) -> Option<Result<bool, String>> {
        let message = ToWorker::Verify {
            id: self.id(),
            user: request.facts.original_user.clone().unwrap_or_default(),
            password: request
                .password
                .as_ref()
                .map(|password| password.expose().to_vec())
                .unwrap_or_default(),
            stored: stored.expose_lossy().to_string(),
        };
        match self.call(None, &message, "PASSW", request.user()).await? {
            FromWorker::Verified { verdict, .. } => Some(verdict),
            _ => None,
        }
    }

    /// Looks up in a passdb, which may change the request.
    pub(crate) async fn passdb(&self, request: &mut Request, id: usize, verify: bool) -> PassdbResult {
        let password = request.password.as_ref().filter(|_| verify);
        let message = ToWorker::Passdb {
            id: self.id(),
            passdb: u32::try_from(id).unwrap_or(u32::MAX),
            subject: Box::new(request.subject()),
            password: password.map(|password| password.expose().to_vec()),
        };
        let name = if verify { "PASSV" } else { "PASSL" };
        match self.call(Some(id), &message, name, request.user()).await {
            Some(FromWorker::Passdb { result, subject, stored, .. }) => {
                request.absorb(*subject);
                request.stored = stored.map(Secret::new);
                result
            }
            _ => PassdbResult::InternalFailure,
        }
    }

    /// Lets a passdb keep another password, given with its `{SCHEME}`; `false` if it does not.
    pub(crate) async fn store(&self, request: &Request, id: usize, stored: &Secret) -> bool {
        let message = ToWorker::Store {
            id: self.id(),
            passdb: u32::try_from(id).unwrap_or(u32::MAX),
            subject: Box::new(request.subject()),
            stored: stored.expose_lossy().to_string(),
        };
        let answer = self.call(Some(id), &message, "SETCRED", request.user()).await;
        matches!(answer, Some(FromWorker::Stored { done: true, .. }))
    }

    /// Puts the hash `new` in the place of `old` in a passdb; gives whether it did.
    pub(crate) async fn rehash(
        &self,
        request: &Request,
        id: usize,
        old: &Secret,
        new: &Secret,
    ) -> Result<bool, String> {
        let message = ToWorker::Rehash {
            id: self.id(),
            passdb: u32::try_from(id).unwrap_or(u32::MAX),
            subject: Box::new(request.subject()),
            old: old.expose_lossy().to_string(),
            new: new.expose_lossy().to_string(),
        };
        match self.call(Some(id), &message, "SETCRED", request.user()).await {
            Some(FromWorker::Rehashed { result, .. }) => result,
            _ => Err("no worker could do it".into()),
        }
    }

    /// Looks up in a userdb, which changes the request.
    pub(crate) async fn userdb(&self, request: &mut Request, id: usize) -> UserdbResult {
        let message = ToWorker::Userdb {
            id: self.id(),
            userdb: u32::try_from(id).unwrap_or(u32::MAX),
            subject: Box::new(request.subject()),
        };
        match self.call(Some(id), &message, "USER", request.user()).await {
            Some(FromWorker::Userdb { result, subject, .. }) => {
                request.absorb(*subject);
                result
            }
            _ => UserdbResult::InternalFailure,
        }
    }

    /// Calls `each` with names of a userdb's users as they come; `false` if not all could be had.
    pub(crate) async fn list(
        &self,
        request: &Request,
        id: usize,
        mut each: impl AsyncFnMut(Vec<String>) -> io::Result<()>,
    ) -> bool {
        let message = ToWorker::List {
            id: self.id(),
            userdb: u32::try_from(id).unwrap_or(u32::MAX),
            subject: Box::new(request.subject()),
        };
        let Some((_permits, mut worker)) = self.worker(Some(id)).await else { return false };
        let result: Result<bool, Failure> = async {
            worker.send(&message).await?;
            loop {
                match worker.receive(self.timeouts.request).await? {
                    FromWorker::Users { id, names } if id == message.id() => each(names).await?,
                    FromWorker::ListEnd { id, complete } if id == message.id() => return Ok(complete),
                    _ => return Err(Failure::Buggy),
                }
            }
        }
        .await;
        match result {
            Ok(complete) => {
                self.release(worker);
                complete
            }
            Err(failure) => {
                self.log_aborted("LIST", request.user(), &failure);
                false
            }
        }
    }

    /// Lets workers go that have nothing to do.
    pub(crate) fn dismiss_idle(&self) {
        self.idle.borrow_mut().retain(|worker| worker.idle_since.elapsed() < WORKER_IDLE);
    }

    /// Whether any worker has nothing to do.
    pub(crate) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty()
    }

    /// Waits until a worker has nothing more to do.
    pub(crate) async fn released(&self) {
        self.released.notified().await;
    }

    fn id(&self) -> u32 {
        self.next_id.set(self.next_id.get().wrapping_add(1).max(1));
        self.next_id.get()
    }

    async fn call(
        &self,
        database: Option<usize>,
        message: &ToWorker,
        name: &str,
        user: &str,
    ) -> Option<FromWorker> {
        let (_permits, mut worker) = self.worker(database).await?;
        let result: Result<FromWorker, Failure> = async {
            worker.send(message).await?;
            let answer = worker.receive(self.timeouts.request).await?;
            if answer.id() == message.id() { Ok(answer) } else { Err(Failure::Buggy) }
        }
        .await;
        match result {
            Ok(answer) => {
                self.release(worker);
                Some(answer)
            }
            Err(failure) => {
                self.log_aborted(name, user, &failure);
                None
            }
        }
    }

    fn log_aborted(&self, name: &str, user: &str, failure: &Failure) {
        self.log.error(format_args!("auth worker: Aborted {name} request for {user}: {failure}"));
    }

    /// A worker that is free, when one is.
    async fn worker(&self, database: Option<usize>) -> Option<(Vec<SemaphorePermit<'_>>, Worker)> {
        let permits = self.permits(database).await?;
        // The one that was busy last is the one whose pages are in memory.
        while let Some(worker) = { self.idle.borrow_mut().pop() } {
            if worker.is_alive() {
                return Some((permits, worker));
            }
        }
        match self.connect().await {
            Ok(worker) => Some((permits, worker)),
            Err(Some(error)) => {
                let path = self.path.display();
                self.log.error(format_args!(
                    "auth worker: net_connect_unix({path}) failed: {}",
                    base::reason(&error)
                ));
                None
            }
            Err(None) => None,
        }
    }

    async fn permits(&self, database: Option<usize>) -> Option<Vec<SemaphorePermit<'_>>> {
        if self.queued.get() >= WORKER_QUEUE_MAX {
            self.warn(format_args!(
                "auth worker: Aborting auth request, {WORKER_QUEUE_MAX} are in the queue already \
                 (see auth_worker_max_count)"
            ));
            return None;
        }
        let began = Instant::now();
        self.queued.set(self.queued.get() + 1);
        let _queued = Queued(&self.queued);
        let acquire = async {
            let mut permits = Vec::with_capacity(2);
            if let Some(share) = database.and_then(|id| self.shares.get(&id)) {
                permits.push(share.acquire().await.ok()?);
            }
            permits.push(self.all.acquire().await.ok()?);
            Some(permits)
        };
        let result = timeout(self.timeouts.queue, acquire).await;
        let (waited, left) = (began.elapsed(), self.queued.get() - 1);
        let seconds = waited.as_secs();
        let Ok(permits) = result else {
            self.log.error(format_args!(
                "auth worker: Aborting auth request that was queued for {seconds} secs, {left} left in queue"
            ));
            return None;
        };
        if waited >= WORKER_DELAY_WARN {
            self.warn(format_args!(
                "auth worker: Auth request was queued for {seconds} seconds, {left} left in queue (see \
                 auth_worker_max_count)"
            ));
        }
        permits
    }

    /// An error line about waiting, now and then.
    fn warn(&self, text: std::fmt::Arguments<'_>) {
        if self.warned.get().is_none_or(|warned| warned.elapsed() >= WORKER_DELAY_WARN_INTERVAL) {
            self.warned.set(Some(Instant::now()));
            self.log.error(text);
        }
    }

    /// `None` as the error: it failed a moment ago and is not tried again yet.
    async fn connect(&self) -> Result<Worker, Option<io::Error>> {
        if self.failed.get().is_some_and(|failed| failed.elapsed() < WORKER_RETRY) {
            return Err(None);
        }
        let connect = async {
            let stream = UnixStream::connect(&self.path).await?;
            let (decoder, idle_since) = (Decoder::new(), Instant::now());
            let mut worker = Worker { stream, decoder, idle_since, is_leaving: false };
            let hello = ToWorker::Hello { databases: self.hello };
            worker.send(&hello).await.map_err(|failure| io::Error::other(failure.to_string()))?;
            Ok(worker)
        };
        connect.await.map_err(|error| {
            self.failed.set(Some(Instant::now()));
            Some(error)
        })
    }

    fn release(&self, mut worker: Worker) {
        worker.idle_since = Instant::now();
        if !worker.is_leaving {
            self.idle.borrow_mut().push(worker);
        }
        self.released.notify_one();
    }
}

/// Three quarters of the workers for each database, if there are several.
fn shares(sources: &[Vec<usize>], max: usize) -> HashMap<usize, Rc<Semaphore>> {
    let mut shares = HashMap::new();
    if sources.len() > 1 {
        let share = (max - max / 4).min(max.saturating_sub(1)).max(1);
        for numbers in sources {
            let semaphore = Rc::new(Semaphore::new(share));
            shares.extend(numbers.iter().map(|number| (*number, semaphore.clone())));
        }
    }
    shares
}

struct Queued<'q>(&'q Cell<usize>);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Why a worker gave no answer, in 2.3's words.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("Worker process died unexpectedly")]
    Died,
    #[error("Lookup timed out")]
    TimedOut,
    #[error("Worker is buggy")]
    Buggy,
    #[error("{0}")]
    Io(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Died,
            _ => Self::Io(base::reason(&error)),
        }
    }
}

impl Worker {
    /// Whether the process is still there and has nothing to say, as it should.
    fn is_alive(&self) -> bool {
        let mut byte = [0];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn send(&mut self, message: &ToWorker) -> Result<(), Failure> {
        let frame = zeroize::Zeroizing::new(ipc::encode(message).map_err(|_| Failure::Buggy)?);
        Ok(self.stream.write_all(&frame).await?)
    }

    async fn receive(&mut self, limit: Duration) -> Result<FromWorker, Failure> {
        let receive = async {
            let mut buffer = [0; 4096];
            loop {
                match self.decoder.message().map_err(|_| Failure::Buggy)? {
                    Some(FromWorker::Leaving { .. }) => {
                        self.is_leaving = true;
                        continue;
                    }
                    Some(message) => return Ok(message),
                    None => {}
                }
                match self.stream.read(&mut buffer).await? {
                    0 => return Err(Failure::Died),
                    count => self.decoder.push(&buffer[..count]),
                }
            }
        };
        timeout(limit, receive).await.unwrap_or(Err(Failure::TimedOut))
    }
}
