//! A logged-in session: the client's bytes in, answers out, with no socket. Whoever runs it calls
//! [`Session::step`] again and again and does what the returned [`Progress`] says.
//!
//! One command runs at a time; the bytes of the next ones stay with the caller until it is done.
//! So the order of answers is the order of commands, and a slow reader holds itself up only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Logger;
use mail_user::MailUser;
use storage::SessionLock;

use crate::command;
use crate::context::Context;
use crate::job::{Job, Start, Step};
use crate::limits::{BAD_COMMANDS_MAX, SESSION_LOCK_POLL, SESSION_LOCK_REFRESH, SESSION_LOCK_WAIT};
use crate::line::{self, Read};
use crate::maildrop::{OpenError, Opening};
use crate::out::OutBuf;
use crate::reply::storage_error;
use crate::settings::Pop3Settings;
use crate::stats::{Outcome, Stats};
use crate::uidl;

/// Tells the time. Sessions are given one so that tests decide how long things take.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// What the session needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Bytes from the client. All whole lines that were given have been taken.
    NeedInput,
    /// That output is sent; then call again.
    Again,
    /// That output is sent and some time passes; then call again.
    Wait(Duration),
    /// Nothing: it is over. Send the output and hang up. The text is for the log.
    Closed(String),
}

/// The session.
pub struct Session {
    user: Arc<MailUser>,
    settings: Arc<Pop3Settings>,
    log: Logger,
    clock: Clock,
    phase: Phase,
    lock: Option<Lock>,
    bad_commands: u32,
    /// Bytes from the client.
    input_bytes: u64,
    closed: Option<String>,
}

enum Phase {
    /// Waits for other sessions of the user (`pop3_lock_session`).
    Locking { since: Instant },
    /// Is to open INBOX.
    LoggedIn,
    /// Reads it.
    Opening(Opening),
    /// RFC 1939's TRANSACTION state.
    Open { context: Box<Context>, job: Option<Box<dyn Job>> },
    /// INBOX could not be opened.
    Failed,
}

struct Lock {
    lock: SessionLock,
    refreshed: Instant,
}

impl Session {
    /// A session for a user who has just logged in. Nothing is sent yet.
    pub fn new(user: Arc<MailUser>, settings: Arc<Pop3Settings>, log: Logger, clock: Clock) -> Self {
        let phase = Phase::Locking { since: clock() };
        Self { user, settings, log, clock, phase, lock: None, bad_commands: 0, input_bytes: 0, closed: None }
    }

    /// Counts bytes that came from the client.
    pub fn count_input(&mut self, bytes: usize) {
        self.input_bytes += bytes as u64;
    }

    /// Whether a command is running.
    pub fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Open { job: Some(_), .. } | Phase::Opening(_) | Phase::LoggedIn)
    }

    /// When it wants to be stepped even if nothing comes from the client.
    pub fn wakes_at(&self) -> Option<Instant> {
        self.lock.as_ref().map(|lock| lock.refreshed + SESSION_LOCK_REFRESH)
    }

    /// The statistics of `pop3_logout_format`, expanded; `variables` are the user's.
    pub fn statistics(&self, output_bytes: u64, variables: &[settings::vars::Variable<'_>]) -> String {
        let (mut stats, mut outcome) = (Stats::default(), Outcome::default());
        if let Phase::Open { context, .. } = &self.phase {
            stats = context.stats;
            let maildrop = &context.maildrop;
            if maildrop.is_updated() {
                (outcome.deleted_count, outcome.deleted_bytes) = maildrop.deleted();
            }
            outcome.message_count = maildrop.len();
            outcome.message_bytes = maildrop.total_bytes();
            if self.settings.wants_uidl_change() {
                outcome.uidl_change = uidl::change(context);
            }
        }
        stats.input_bytes = self.input_bytes;
        stats.expand(&self.settings.logout_format, &outcome, output_bytes, variables)
    }

    /// The end of a session that the client did not end by QUIT: what it read stays read, and nothing
    /// is deleted.
    pub fn finish(&mut self) {
        if let Phase::Open { context, job } = &mut self.phase {
            *job = None;
            if let Err(error) = context.maildrop.mark_seen()
                && error.is_internal()
            {
                context.log.error(base::chain(&error));
            }
        }
        self.lock = None;
        self.user.autoexpunge();
    }

    /// The server ends the session: a last word to the client, unless an answer is under way.
    pub fn bye(&mut self, text: &str, log_text: &str, out: &mut OutBuf) {
        if self.closed.is_none() {
            if !matches!(self.phase, Phase::Open { job: Some(_), .. }) {
                out.line(format_args!("-ERR {text}"));
            }
            self.closed = Some(log_text.to_owned());
        }
    }

    /// Works until it needs something. Takes whole lines off `input`.
    pub fn step(&mut self, input: &mut &[u8], out: &mut OutBuf) -> Progress {
        self.refresh_lock(out);
        loop {
            if let Some(reason) = &self.closed {
                return Progress::Closed(reason.clone());
            }
            if out.is_full() {
                return Progress::Again;
            }
            if let Some(progress) = self.work(input, out) {
                return progress;
            }
        }
    }

    fn work(&mut self, input: &mut &[u8], out: &mut OutBuf) -> Option<Progress> {
        match std::mem::replace(&mut self.phase, Phase::Failed) {
            Phase::Locking { since } => self.take_lock(since, out),
            Phase::LoggedIn => {
                self.opened(Opening::begin(&self.user, &self.settings).map(Err), out);
                None
            }
            Phase::Opening(opening) => {
                let stepped = opening.step(&self.clock);
                let goes_on = matches!(stepped, Ok(Err(_)));
                self.opened(stepped, out);
                goes_on.then_some(Progress::Again)
            }
            Phase::Open { mut context, job: Some(mut job) } => {
                let step = job.step(&mut context, out);
                let job = matches!(step, Step::More).then_some(job);
                self.phase = Phase::Open { context, job };
                match step {
                    Step::Done => None,
                    Step::More => Some(Progress::Again),
                    Step::Close(reason) => self.close(reason),
                }
            }
            Phase::Open { context, job: None } => self.read(context, input, out),
            Phase::Failed => self.close("Internal error".to_owned()),
        }
    }

    /// RFC 1939 §4: the lock first, then `+OK`. Without a lock `+OK` need not wait for the opening.
    fn take_lock(&mut self, since: Instant, out: &mut OutBuf) -> Option<Progress> {
        if self.settings.lock_session {
            match self.user.lock_session() {
                Ok(Some(lock)) => self.lock = Some(Lock { lock, refreshed: (self.clock)() }),
                Ok(None) if (self.clock)().duration_since(since) < SESSION_LOCK_WAIT => {
                    self.phase = Phase::Locking { since };
                    return Some(Progress::Wait(SESSION_LOCK_POLL));
                }
                Ok(None) => {
                    out.line(format_args!("-ERR [IN-USE] Mailbox is locked by another POP3 session."));
                    return self.close(NOT_LOCKED.to_owned());
                }
                Err(error) => {
                    self.log.error(base::chain(&error));
                    out.line(format_args!("-ERR [SYS/TEMP] Failed to create POP3 session lock."));
                    return self.close(NOT_LOCKED.to_owned());
                }
            }
        }
        out.line(format_args!("+OK Logged in."));
        self.phase = Phase::LoggedIn;
        Some(Progress::Again)
    }

    fn refresh_lock(&mut self, out: &mut OutBuf) {
        let now = (self.clock)();
        let Some(lock) = &mut self.lock else { return };
        if now.duration_since(lock.refreshed) < SESSION_LOCK_REFRESH {
            return;
        }
        lock.refreshed = now;
        if let Err(error) = lock.lock.refresh() {
            self.log.error(base::chain(&error));
            self.bye("[SYS/TEMP] Couldn't update POP3 session lock.", NOT_LOCKED, out);
        }
    }

    /// INBOX is open, or goes on being read, or cannot be used.
    fn opened(
        &mut self,
        opening: Result<Result<crate::maildrop::Maildrop, Opening>, OpenError>,
        out: &mut OutBuf,
    ) {
        match opening {
            Ok(Err(opening)) => self.phase = Phase::Opening(opening),
            Ok(Ok(maildrop)) => {
                let context = Box::new(Context {
                    settings: self.settings.clone(),
                    log: self.log.clone(),
                    clock: self.clock.clone(),
                    stats: Stats::default(),
                    maildrop,
                });
                self.phase = Phase::Open { context, job: None };
            }
            Err(error) => {
                let text = base::chain(&error).to_string();
                match &error {
                    OpenError::Open(error) | OpenError::Read(error) => {
                        // The client's words only: the log gets all of it below.
                        storage_error(error, &Logger::new(""), out);
                    }
                    _ => out.line(format_args!("-ERR [SYS/TEMP] Couldn't sync mailbox.")),
                }
                self.log.error(&text);
                self.closed = Some(text);
            }
        }
    }

    /// Reads the next command.
    fn read(&mut self, mut context: Box<Context>, input: &mut &[u8], out: &mut OutBuf) -> Option<Progress> {
        let line = match line::read(input) {
            Read::Line(line) => line,
            Read::More => {
                self.phase = Phase::Open { context, job: None };
                return Some(Progress::NeedInput);
            }
            Read::TooLong => {
                self.phase = Phase::Open { context, job: None };
                out.line(format_args!("-ERR Input line too long."));
                return self.close("Input line too long".to_owned());
            }
        };
        let (name, args) = line::split(line);
        let start = command::start(&mut context, &name, args, out);
        let (job, is_bad, close) = match start {
            Start::Done => (None, false, None),
            Start::Bad => (None, true, None),
            Start::Job(job) => (Some(job), false, None),
            Start::Close(reason) => (None, false, Some(reason)),
        };
        self.phase = Phase::Open { context, job };
        self.bad_commands = if is_bad { self.bad_commands + 1 } else { 0 };
        if self.bad_commands > BAD_COMMANDS_MAX {
            out.line(format_args!("-ERR Too many bad commands."));
            return self.close("Too many bad commands.".to_owned());
        }
        close.and_then(|reason| self.close(reason))
    }

    fn close(&mut self, reason: String) -> Option<Progress> {
        self.closed = Some(reason);
        None
    }
}

const NOT_LOCKED: &str = "Couldn't lock POP3 session";
