//! Runs sessions on connections: a task each. While a client is silent, its task holds no buffers.

use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use base::Logger;
use service::identity::Ending;
use service::stream::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::limits::{DESTINATION_KEPT, INACTIVITY_MAX, LINGER, READ_BYTES, STRETCH_MAX, UNREAD_OUTPUT_MAX};
use crate::out::OutBuf;
use crate::session::{Progress, Session};
use crate::settings::ImapSettings;
use crate::watcher;

/// Everything a connection needs besides its session.
pub struct Connection {
    /// The client.
    pub stream: Stream,
    /// What the client sent behind its login command.
    pub input: Vec<u8>,
    /// What it gets first: the answer to its login.
    pub greeting: Vec<u8>,
    /// The session's log, with the prefix `imap(user)<pid><session>: `.
    pub log: Logger,
    /// The session id, for `%{session}`.
    pub session_id: String,
    /// The settings.
    pub settings: Arc<ImapSettings>,
}

/// Serves a client until it leaves or `ending` says that it must. `title` is called with the name
/// of the running command, or `None` when the client is silent.
///
/// A panic in the session ends it and is logged; other sessions go on.
pub async fn serve(
    session: Session,
    connection: Connection,
    ending: impl Future<Output = Ending>,
    title: impl FnMut(Option<&'static str>),
) {
    let log = connection.log.clone();
    let settings = connection.settings.clone();
    let session_id = connection.session_id.clone();
    let mut task = Task {
        session,
        stream: connection.stream,
        input: connection.input,
        taken: 0,
        out: OutBuf::default(),
        news: Arc::new(Notify::new()),
        subscription: None,
        settings: settings.clone(),
        heard_at: Instant::now(),
        still_here_at: None,
        check_at: None,
        title,
        titled: None,
    };
    task.session.stats().input_bytes += task.input.len() as u64;
    task.out.put(&connection.greeting);
    let reason = task.live(ending).await;
    let out_total = task.out.total();
    // The client need not wait for what is left to do.
    let _ = task.stream.shutdown().await;
    let _ = blocking(AssertUnwindSafe(|| task.session.after_client()));
    let stats = task.session.stats().expand(&settings.logout_format, out_total, &session_id);
    log.info(format_args!("Disconnected: {reason} {stats}"));
}

struct Task<T> {
    session: Session,
    stream: Stream,
    /// Bytes from the client; those before `taken` are done with.
    input: Vec<u8>,
    taken: usize,
    out: OutBuf,
    news: Arc<Notify>,
    subscription: Option<storage::Subscription>,
    settings: Arc<ImapSettings>,
    /// When the client last sent something.
    heard_at: Instant,
    /// When an idle client is told that we are still here.
    still_here_at: Option<Instant>,
    /// When the mailbox of an idle client is looked at next.
    check_at: Option<Instant>,
    title: T,
    titled: Option<&'static str>,
}

/// What ended a wait for the client.
enum Woken {
    Readable,
    /// The storage knows something.
    News,
    /// It is time to look.
    Check,
    StillHere,
    /// Nothing came behind an APPEND.
    LetGo,
    Inactive,
    Ending(Ending),
}

impl<T: FnMut(Option<&'static str>)> Task<T> {
    /// Gives the reason for the log line.
    async fn live(&mut self, ending: impl Future<Output = Ending>) -> String {
        let mut ending = std::pin::pin!(ending);
        loop {
            let progress = match self.step() {
                Ok(progress) => progress,
                Err(Panicked) => {
                    self.out
                        .put(b"* BYE Internal error occurred. Refer to server log for more information.\r\n");
                    let _ = self.flush().await;
                    return "Internal error".to_owned();
                }
            };
            self.show_title();
            let sent = tokio::select! {
                sent = self.flush() => sent,
                why = &mut ending => return self.end(why).await,
            };
            if let Err(error) = sent {
                return self.hung_up(&error);
            }
            let ended = match progress {
                Progress::Closed(reason) => Some(reason),
                Progress::Again => {
                    // Others want to run, too.
                    tokio::task::yield_now().await;
                    None
                }
                Progress::Storage => None,
                Progress::NeedInput => self.wait_and_read(ending.as_mut()).await,
            };
            if let Some(reason) = ended {
                return reason;
            }
        }
    }

    fn step(&mut self) -> Result<Progress, Panicked> {
        // Most steps of a client that polls or comes and goes need no storage, and then no thread
        // has to be found that may block.
        match caught(AssertUnwindSafe(|| self.work(Session::step_in_memory)))? {
            Progress::Storage => blocking(AssertUnwindSafe(|| self.stretch())),
            progress => Ok(progress),
        }
    }

    fn work(&mut self, step: impl FnOnce(&mut Session, &mut &[u8], &mut OutBuf) -> Progress) -> Progress {
        let mut rest = self.input.get(self.taken..).unwrap_or_default();
        let progress = step(&mut self.session, &mut rest, &mut self.out);
        let left = rest.len();
        self.taken = self.input.len() - left;
        if left == 0 {
            self.input = Vec::new();
            self.taken = 0;
        }
        progress
    }

    /// Storage work, and what the client asks right behind it: a client that gives one command after the
    /// other keeps the thread that was found for the first.
    fn stretch(&mut self) -> Progress {
        let begun = Instant::now();
        let progress = self.work_on(begun);
        if let Err(error) = self.stream.watch() {
            return Progress::Closed(error.to_string());
        }
        progress
    }

    fn work_on(&mut self, begun: Instant) -> Progress {
        loop {
            let progress = self.work(Session::step);
            self.show_title();
            let may_go_on = has_threads() && self.send_now() && begun.elapsed() < STRETCH_MAX;
            let goes_on = match progress {
                Progress::Again | Progress::Storage => may_go_on,
                Progress::NeedInput => may_go_on && !self.session.is_idling() && self.receive_soon(),
                Progress::Closed(_) => false,
            };
            if !goes_on {
                return progress;
            }
        }
    }

    /// Sends output for as long as the socket takes it at once. Errors show when the rest is sent.
    fn send_now(&mut self) -> bool {
        while !self.out.bytes().is_empty() {
            match self.stream.send_now(self.out.bytes()) {
                Ok(count) if count > 0 => self.out.sent(count),
                _ => return false,
            }
        }
        true
    }

    /// Waits a moment for more input. The end and errors show at the next look.
    fn receive_soon(&mut self) -> bool {
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.reserve(READ_BYTES);
        match self.stream.receive_within(LINGER, &mut self.input) {
            Ok(count) if count > 0 => {
                // Nobody else needs to know of what comes next. If that cannot be had, they wake for nothing.
                let _ = self.stream.unwatch();
                self.session.stats().input_bytes += count as u64;
                self.heard_at = Instant::now();
                true
            }
            _ => false,
        }
    }

    /// Sends all output.
    async fn flush(&mut self) -> io::Result<()> {
        while !self.out.bytes().is_empty() {
            let write = self.stream.write(self.out.bytes());
            let count = match tokio::time::timeout(UNREAD_OUTPUT_MAX, write).await {
                Ok(count) => count?,
                Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, UNREAD)),
            };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.out.sent(count);
        }
        Ok(())
    }

    /// Waits for the client or for news; the reason if the session is over.
    async fn wait_and_read(
        &mut self,
        ending: std::pin::Pin<&mut impl Future<Output = Ending>>,
    ) -> Option<String> {
        self.watch();
        self.out.give_back();
        match self.wait(ending).await {
            Ok(Woken::Readable) => return self.read().await,
            Ok(why @ (Woken::News | Woken::Check)) => {
                // A change that others made at the moment of one of ours shows a second later.
                let again = matches!(why, Woken::News).then(|| Instant::now() + SECOND_LOOK);
                self.check_at = again.filter(|_| self.settings.idle_check_interval > Duration::ZERO);
                let (session, out) = (&mut self.session, &mut self.out);
                if blocking(AssertUnwindSafe(|| session.notice_changes(out))).is_err() {
                    return Some("Internal error".to_owned());
                }
            }
            Ok(Woken::LetGo) => {
                let session = &mut self.session;
                if blocking(AssertUnwindSafe(|| session.let_destination_go())).is_err() {
                    return Some("Internal error".to_owned());
                }
            }
            Ok(Woken::StillHere) => {
                self.still_here_at = None;
                self.out.put(b"* OK Still here\r\n");
            }
            Ok(Woken::Inactive) => {
                self.out.put(b"* BYE Disconnected for inactivity.\r\n");
                let _ = self.flush().await;
                return Some(format!("Inactivity - no input for {} secs", INACTIVITY_MAX.as_secs()));
            }
            Ok(Woken::Ending(why)) => return Some(self.end(why).await),
            Err(error) => return Some(self.hung_up(&error)),
        }
        None
    }

    async fn wait(&mut self, ending: std::pin::Pin<&mut impl Future<Output = Ending>>) -> io::Result<Woken> {
        let (deadline, what) = self.deadline();
        tokio::select! {
            ready = self.stream.readable() => ready.map(|()| Woken::Readable),
            () = self.news.notified(), if self.session.is_idling() => Ok(Woken::News),
            () = tokio::time::sleep_until(deadline.into()) => Ok(what),
            why = ending => Ok(Woken::Ending(why)),
        }
    }

    /// What is to be done if nothing happens, and when.
    fn deadline(&mut self) -> (Instant, Woken) {
        let now = Instant::now();
        if !self.session.is_idling() {
            self.still_here_at = None;
            self.check_at = None;
            if self.session.keeps_destination() {
                return (now + DESTINATION_KEPT, Woken::LetGo);
            }
            return (now + INACTIVITY_MAX, Woken::Inactive);
        }
        let after = |at: &mut Option<Instant>, interval: Duration| {
            (interval > Duration::ZERO).then(|| *at.get_or_insert(now + interval))
        };
        let check = after(&mut self.check_at, self.settings.idle_check_interval);
        // Each "Still here" proves that the client is there.
        let still_here = after(&mut self.still_here_at, self.settings.idle_notify_interval);
        let (last, what) = match still_here {
            Some(at) => (at, Woken::StillHere),
            None => (self.heard_at + INACTIVITY_MAX, Woken::Inactive),
        };
        match check {
            Some(check) if check < last => (check, Woken::Check),
            _ => (last, what),
        }
    }

    /// Reads what is there; the reason if that is the end.
    async fn read(&mut self) -> Option<String> {
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.reserve(READ_BYTES);
        // Only what is there: the readiness may have been a false alarm.
        let read = poll_fn(|context| {
            let mut read = std::pin::pin!(self.stream.read_buf(&mut self.input));
            match read.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => Poll::Ready(None),
            }
        });
        let result = read.await?;
        match result {
            Ok(0) => Some(self.hung_up(&io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.session.stats().input_bytes += count as u64;
                self.heard_at = Instant::now();
                None
            }
            Err(error) => Some(self.hung_up(&error)),
        }
    }

    /// While the client idles, the storage wakes us.
    fn watch(&mut self) {
        if !self.session.is_idling() {
            self.subscription = None;
            return;
        }
        if self.subscription.is_some() {
            return;
        }
        watcher::start();
        let news = self.news.clone();
        let session = &mut self.session;
        let subscribed = blocking(AssertUnwindSafe(|| {
            let mailbox = session.selected_mailbox()?;
            Some(mailbox.subscribe(Arc::new(move || news.notify_one())))
        }));
        if let Ok(Some(Ok(subscription))) = subscribed {
            self.subscription = Some(subscription);
            // What happened between the last look and the subscription must not be missed.
            self.news.notify_one();
        }
    }

    async fn end(&mut self, why: Ending) -> String {
        let (text, reason) = match why {
            Ending::Shutdown => ("Server shutting down.", "Server shutting down."),
            Ending::Kicked => ("Server shutting down.", "Kicked by administrator"),
        };
        self.session.bye(text, reason, &mut self.out);
        // A client that does not read must not hold up the shutdown.
        let _ = tokio::time::timeout(GOODBYE_MAX, self.flush()).await;
        reason.to_owned()
    }

    fn hung_up(&self, error: &io::Error) -> String {
        if error.kind() == io::ErrorKind::TimedOut {
            return format!("{UNREAD} for {} secs", UNREAD_OUTPUT_MAX.as_secs());
        }
        let status = self.session.hangup_status(self.out.total(), self.out.bytes().len());
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero | io::ErrorKind::BrokenPipe => {
                format!("Connection closed{status}")
            }
            _ => format!("Connection closed: {}{status}", base::error::reason(error)),
        }
    }

    fn show_title(&mut self) {
        let now = self.session.running_command();
        if now != self.titled {
            self.titled = now;
            (self.title)(now);
        }
    }
}

const UNREAD: &str = "Client has not read server output for";
/// Beyond the second for which the storage trusts what it saw before a change of its own.
const SECOND_LOOK: Duration = Duration::from_millis(1100);
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// The session's code panicked.
pub(crate) struct Panicked;

/// Runs a session's work so that a panic ends this session only. The panic itself was logged by the
/// process's hook.
pub(crate) fn caught<R>(work: AssertUnwindSafe<impl FnOnce() -> R>) -> Result<R, Panicked> {
    std::panic::catch_unwind(work).map_err(|_| Panicked)
}

/// The same with storage work: on a thread that may block.
pub(crate) fn blocking<R>(work: AssertUnwindSafe<impl FnOnce() -> R>) -> Result<R, Panicked> {
    match has_threads() {
        true => tokio::task::block_in_place(|| caught(work)),
        false => caught(work),
    }
}

/// Whether others go on while a thread blocks.
fn has_threads() -> bool {
    tokio::runtime::Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread
}

/// The clock that real sessions use.
pub fn clock() -> crate::Clock {
    Arc::new(Instant::now)
}
