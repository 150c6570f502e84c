//! Runs sessions on connections: a task each. While a client is silent, its task holds no buffers.

use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use base::Logger;
use mail_user::Variables;
use service::identity::Ending;
use service::stream::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::limits::{INACTIVITY_MAX, READ_BYTES};
use crate::out::OutBuf;
use crate::session::{Progress, Session};

/// Everything a connection needs besides its session.
pub struct Connection {
    /// The client.
    pub stream: Stream,
    /// What the client sent behind its login command.
    pub input: Vec<u8>,
    /// The session's log, with the prefix `pop3(user)<pid><session>: `.
    pub log: Logger,
    /// The user's variables, for `pop3_logout_format`.
    pub variables: Variables,
}

/// Serves a client until it leaves or `ending` says that it must.
///
/// A panic in the session ends it and is logged; other sessions go on.
pub async fn serve(session: Session, connection: Connection, ending: impl Future<Output = Ending>) {
    let mut task = Task {
        session,
        stream: connection.stream,
        input: connection.input,
        taken: 0,
        out: OutBuf::default(),
        heard_at: Instant::now(),
    };
    task.session.count_input(task.input.len());
    let reason = task.live(ending).await;
    let out_total = task.out.total();
    let statistics = connection.variables.expander(&[], |it| task.session.statistics(out_total, it.table));
    connection.log.info(format_args!("Disconnected: {reason} {statistics}"));
    // The client need not wait for what is left to do.
    let _ = task.stream.shutdown().await;
    let session = &mut task.session;
    let _ = blocking(AssertUnwindSafe(|| session.finish()));
}

struct Task {
    session: Session,
    stream: Stream,
    /// Bytes from the client; those before `taken` are done with.
    input: Vec<u8>,
    taken: usize,
    out: OutBuf,
    /// When the client last sent something.
    heard_at: Instant,
}

/// What ended a wait for the client.
enum Woken {
    Readable,
    Inactive,
    /// The session wants to be stepped.
    Wanted,
    Ending(Ending),
}

impl Task {
    /// Gives the reason for the log line.
    async fn live(&mut self, ending: impl Future<Output = Ending>) -> String {
        let mut ending = std::pin::pin!(ending);
        loop {
            let progress = match self.step() {
                Ok(progress) => progress,
                Err(Panicked) => {
                    self.out.put(INTERNAL_ERROR);
                    let _ = self.flush().await;
                    return "Internal error".to_owned();
                }
            };
            let sent = tokio::select! {
                sent = self.flush() => sent,
                why = &mut ending => return self.end(why).await,
            };
            if let Err(error) = sent {
                return hung_up(&error);
            }
            let ended = match progress {
                Progress::Closed(reason) => Some(reason),
                Progress::Again => {
                    // Others want to run, too.
                    tokio::task::yield_now().await;
                    None
                }
                Progress::Wait(pause) => tokio::select! {
                    () = tokio::time::sleep(pause) => None,
                    why = &mut ending => Some(self.end(why).await),
                },
                Progress::NeedInput => self.wait_and_read(ending.as_mut()).await,
            };
            if let Some(reason) = ended {
                return reason;
            }
        }
    }

    fn step(&mut self) -> Result<Progress, Panicked> {
        let (session, out) = (&mut self.session, &mut self.out);
        let mut rest = self.input.get(self.taken..).unwrap_or_default();
        let progress = blocking(AssertUnwindSafe(|| session.step(&mut rest, out)))?;
        let left = rest.len();
        self.taken = self.input.len() - left;
        if left == 0 {
            self.input = Vec::new();
            self.taken = 0;
        }
        Ok(progress)
    }

    /// Sends all output.
    async fn flush(&mut self) -> io::Result<()> {
        while !self.out.bytes().is_empty() {
            let write = self.stream.write(self.out.bytes());
            let count = match tokio::time::timeout(INACTIVITY_MAX, write).await {
                Ok(count) => count?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.out.sent(count);
        }
        Ok(())
    }

    /// Waits for the client; the reason if the session is over.
    async fn wait_and_read(
        &mut self,
        ending: std::pin::Pin<&mut impl Future<Output = Ending>>,
    ) -> Option<String> {
        match self.wait(ending).await {
            Ok(Woken::Readable) => return self.read().await,
            Ok(Woken::Wanted) => {}
            Ok(Woken::Inactive) => {
                let reason = format!("Inactivity - no input for {} secs", INACTIVITY_MAX.as_secs());
                self.session.bye("Disconnected for inactivity.", &reason, &mut self.out);
                let _ = tokio::time::timeout(GOODBYE_MAX, self.flush()).await;
                return Some(reason);
            }
            Ok(Woken::Ending(why)) => return Some(self.end(why).await),
            Err(error) => return Some(hung_up(&error)),
        }
        None
    }

    async fn wait(&mut self, ending: std::pin::Pin<&mut impl Future<Output = Ending>>) -> io::Result<Woken> {
        let inactive_at = self.heard_at + INACTIVITY_MAX;
        let (deadline, what) = match self.session.wakes_at() {
            Some(at) if at < inactive_at => (at, Woken::Wanted),
            _ => (inactive_at, Woken::Inactive),
        };
        tokio::select! {
            ready = self.stream.readable() => ready.map(|()| Woken::Readable),
            () = tokio::time::sleep_until(deadline.into()) => Ok(what),
            why = ending => Ok(Woken::Ending(why)),
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
            Ok(0) => Some(hung_up(&io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.session.count_input(count);
                self.heard_at = Instant::now();
                None
            }
            Err(error) => Some(hung_up(&error)),
        }
    }

    async fn end(&mut self, why: Ending) -> String {
        let reason = match why {
            Ending::Shutdown => "Server shutting down.",
            Ending::Kicked => "Kicked by administrator",
        };
        self.session.bye("[SYS/TEMP] Server shutting down.", reason, &mut self.out);
        // A client that does not read must not hold up the shutdown.
        let _ = tokio::time::timeout(GOODBYE_MAX, self.flush()).await;
        reason.to_owned()
    }
}

fn hung_up(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            format!("Client has not read server output for {} secs", INACTIVITY_MAX.as_secs())
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero | io::ErrorKind::BrokenPipe => {
            "Connection closed".to_owned()
        }
        _ => format!("Connection closed: {}", base::error::reason(error)),
    }
}

/// What clients get when something is wrong with us.
pub(crate) const INTERNAL_ERROR: &[u8] =
    b"-ERR [SYS/TEMP] Internal error occurred. Refer to server log for more information.\r\n";
const GOODBYE_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Panicked;

/// Runs storage work: on a thread that may block, and so that a panic ends this session only. The
/// panic itself was logged by the process's hook.
pub(crate) fn blocking<R>(work: AssertUnwindSafe<impl FnOnce() -> R>) -> Result<R, Panicked> {
    let is_multi_threaded =
        tokio::runtime::Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread;
    let caught = || std::panic::catch_unwind(AssertUnwindSafe(work.0)).map_err(|_| Panicked);
    if is_multi_threaded { tokio::task::block_in_place(caught) } else { caught() }
}

/// The clock that real sessions use.
pub fn clock() -> crate::Clock {
    Arc::new(Instant::now)
}
