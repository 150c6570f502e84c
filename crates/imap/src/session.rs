//! A logged-in session: the client's bytes in, answers out, with no socket. Whoever runs it calls
//! [`Session::step`] again and again and does what the returned [`Progress`] says.
//!
//! One command runs at a time; the bytes of the next ones stay with the caller until it is done.
//! So the order of answers is the order of commands, and a slow reader holds itself up only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Logger, UidSet};
use mail_user::MailUser;
use proto::imap::command::SearchReturn;
use proto::imap::{
    ArgsError, Command, CommandKind, CommandReader, Event, MessageHead, RawCommand, SyntaxError, Tag,
};

use crate::capability::capability_string;
use crate::command::append::{self, Append};
use crate::command::{self, search::SearchCharsets, select};
use crate::context::{Context, NO_MAILBOX};
use crate::job::{Job, Start, Step};
use crate::limits;
use crate::out::OutBuf;
use crate::reply::{Answer, Sync};
use crate::selected::{Announcement, Look};
use crate::settings::ImapSettings;
use crate::stats::Stats;

/// Tells the time. Sessions are given one so that tests decide how long things take.
pub type Clock = Arc<dyn Fn() -> Instant + Send + std::marker::Sync>;

/// What the session needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Bytes from the client. All that were given have been taken.
    NeedInput,
    /// That output is sent; then call again.
    Again,
    /// To touch the storage, which may take its time: [`Session::step`] has to be called.
    Storage,
    /// Nothing: it is over. Send the output and hang up. The text is for the log.
    Closed(String),
}

/// The session.
pub struct Session {
    context: Context,
    reader: CommandReader,
    clock: Clock,
    /// When the caller last called in: from then on a running command is busy.
    step_begun: Instant,
    running: Option<Running>,
    append: Option<Append>,
    /// What was read and needs the storage.
    parked: Option<Parked>,
    /// Whether this step may touch the storage.
    may_block: bool,
    announcing: Option<Announcement>,
    bad_commands: u32,
    last: Option<Last>,
    closed: Option<String>,
}

/// The command at hand.
struct Running {
    tag: Tag,
    kind: CommandKind,
    started: Instant,
    /// Time spent in it, without waiting for the client.
    busy: Duration,
    bytes_in: u64,
    out_before: u64,
    state: State,
}

/// What has been read of a command that is yet to start, with its size.
enum Parked {
    Command(RawCommand, u64),
    Message(MessageHead, u64),
}

enum State {
    /// It does its work.
    Job(Box<dyn Job>),
    /// APPEND reads its messages.
    Appending,
    /// It is done but for what is announced before this answer.
    Answering(Answer),
}

/// The command before, for the log line of a client that hangs up.
struct Last {
    kind: CommandKind,
    at: Instant,
}

impl Session {
    /// A session for a user who has just logged in. Nothing is sent yet.
    pub fn new(user: Arc<MailUser>, settings: Arc<ImapSettings>, log: Logger, clock: Clock) -> Self {
        let capability = capability_string(&settings, user.has_special_use()).into();
        let mut reader = CommandReader::after_login(settings.max_line_bytes);
        if settings.literal_minus {
            reader = reader.with_literal_minus();
        }
        let context = Context {
            user,
            settings,
            log,
            capability,
            selected: None,
            destination: None,
            tag: "".into(),
            clock: clock.clone(),
            stats: Stats::default(),
            quiet: UidSet::new(),
        };
        let step_begun = clock();
        Self {
            context,
            reader,
            clock,
            step_begun,
            running: None,
            append: None,
            parked: None,
            may_block: true,
            announcing: None,
            bad_commands: 0,
            last: None,
            closed: None,
        }
    }

    /// What CAPABILITY says.
    pub fn capability(&self) -> &str {
        &self.context.capability
    }

    /// The counters. The runner adds the bytes of input it got.
    pub fn stats(&mut self) -> &mut Stats {
        &mut self.context.stats
    }

    /// What is left to do when the client is gone. May take long.
    pub fn after_client(&mut self) {
        self.context.selected = None;
        self.context.stats.autoexpunged = self.context.user.autoexpunge();
    }

    /// What the client selected.
    pub fn selected_mailbox(&mut self) -> Option<&mut dyn storage::Mailbox> {
        self.context.selected.as_mut().map(|selected| &mut *selected.mailbox as &mut dyn storage::Mailbox)
    }

    /// Whether the client waits for news (IDLE).
    pub fn is_idling(&self) -> bool {
        matches!(&self.running, Some(Running { state: State::Job(job), .. }) if job.is_idle())
    }

    /// Whether a mailbox is open for another APPEND that may come.
    pub fn keeps_destination(&self) -> bool {
        self.context.destination.is_some()
    }

    /// No other APPEND has come.
    pub fn let_destination_go(&mut self) {
        self.context.destination = None;
    }

    /// Whether no command is being read or run.
    pub fn is_between_commands(&self) -> bool {
        self.running.is_none()
            && self.parked.is_none()
            && self.announcing.is_none()
            && self.reader.is_between_commands()
    }

    /// The name of the command that is running, for the process title.
    pub fn running_command(&self) -> Option<&'static str> {
        self.running.as_ref().map(|running| running.kind.name())
    }

    /// The line for a client that hung up, after `Connection closed`.
    pub fn hangup_status(&self, out_total: u64, out_waiting: usize) -> String {
        let now = (self.clock)();
        if let Some(running) = &self.running {
            let wait = now.duration_since(running.started).saturating_sub(running.busy);
            let (state, waits_for) = match out_waiting {
                0 => ("wait-input", "input"),
                _ => ("wait-output", "output"),
            };
            let waiting = if out_waiting > 0 { format!(" ({out_waiting} B waiting)") } else { String::new() };
            return format!(
                " ({} running for {} + waiting {waits_for} for {} secs, {} B in + {} B out{waiting}, state={state})",
                running.kind.name(),
                secs(running.busy),
                secs(wait),
                running.bytes_in,
                out_total.saturating_sub(running.out_before),
            );
        }
        match &self.last {
            Some(last) => {
                let ago = now.duration_since(last.at).as_millis();
                format!(" ({} finished {}.{:03} secs ago)", last.kind.name(), ago / 1000, ago % 1000)
            }
            None => " (No commands sent)".to_owned(),
        }
    }

    /// News from the storage while the client idles: announces what changed. Call
    /// [`step`](Self::step) afterwards.
    pub fn notice_changes(&mut self, out: &mut OutBuf) {
        if self.is_idling() && self.announcing.is_none() {
            let look =
                Look { mode: storage::SyncMode::Quick, keep_expunged: false, hide_new: false, uid: false };
            self.announce(look, out);
        }
    }

    /// The server ends the session: a last word to the client.
    pub fn bye(&mut self, text: &str, log_text: &str, out: &mut OutBuf) {
        if self.closed.is_none() {
            out.line(format_args!("* BYE {text}"));
            self.closed = Some(log_text.to_owned());
        }
    }

    /// Works until it needs something, without touching the storage: gives [`Progress::Storage`]
    /// where it would have to. Takes bytes off `input`.
    pub fn step_in_memory(&mut self, input: &mut &[u8], out: &mut OutBuf) -> Progress {
        self.may_block = false;
        let progress = self.step(input, out);
        self.may_block = true;
        progress
    }

    /// Works until it needs something. Takes bytes off `input`.
    pub fn step(&mut self, input: &mut &[u8], out: &mut OutBuf) -> Progress {
        self.step_begun = (self.clock)();
        let progress = self.work(input, out);
        if let Some(running) = &mut self.running {
            running.busy += (self.clock)().duration_since(self.step_begun.max(running.started));
        }
        progress
    }

    fn work(&mut self, input: &mut &[u8], out: &mut OutBuf) -> Progress {
        loop {
            if let Some(reason) = &self.closed {
                return Progress::Closed(reason.clone());
            }
            if out.is_full() {
                return Progress::Again;
            }
            if !self.may_block && self.needs_storage() {
                return Progress::Storage;
            }
            if !self.announced(out) {
                continue;
            }
            let has_waited = match self.running.take() {
                Some(running) => self.run(running, input, out),
                None => self.read(input, out),
            };
            if let Some(progress) = has_waited {
                return progress;
            }
        }
    }

    /// Whether whatever comes next touches the storage.
    fn needs_storage(&self) -> bool {
        let is_running = self.running.as_ref().is_some_and(|running| match &running.state {
            State::Answering(_) => false,
            State::Appending => true,
            State::Job(job) => !job.is_idle() || self.context.selected.is_some(),
        });
        is_running || self.parked.is_some() || self.announcing.is_some()
    }

    /// Sends more of what is being announced; whether all of it is.
    fn announced(&mut self, out: &mut OutBuf) -> bool {
        let (Some(announcing), Some(selected)) = (&mut self.announcing, &mut self.context.selected) else {
            return true;
        };
        let is_done = announcing.step(selected, out);
        if is_done {
            self.announcing = None;
        }
        is_done
    }

    /// Takes the running command further.
    fn run(&mut self, mut running: Running, input: &mut &[u8], out: &mut OutBuf) -> Option<Progress> {
        let step = match running.state {
            State::Answering(answer) => {
                running.state = State::Appending;
                self.answer(&running, &answer, out);
                return None;
            }
            State::Appending => {
                running.state = State::Appending;
                return self.read_append(running, input, out);
            }
            State::Job(ref mut job) => {
                let before = input.len();
                let step = job.step(&mut self.context, input, out);
                running.bytes_in += (before - input.len()) as u64;
                step
            }
        };
        match step {
            Step::Done(answer) => {
                self.finish(running, answer, out);
                None
            }
            Step::More => {
                self.running = Some(running);
                Some(Progress::Again)
            }
            Step::NeedInput => {
                self.running = Some(running);
                Some(Progress::NeedInput)
            }
            Step::Bye(text) => {
                self.running = Some(running);
                self.bye(&text, &text, out);
                None
            }
        }
    }

    /// Reads the next command.
    fn read(&mut self, input: &mut &[u8], out: &mut OutBuf) -> Option<Progress> {
        if let Some(parked) = self.parked.take() {
            match parked {
                Parked::Command(raw, bytes_in) => {
                    self.context.destination = None;
                    self.start(raw, bytes_in, out);
                }
                Parked::Message(head, bytes_in) => self.start_append(&head, bytes_in, out),
            }
            return None;
        }
        let before = input.len();
        let Some(event) = self.reader.read(input) else { return Some(Progress::NeedInput) };
        let bytes_in = (before - input.len()) as u64;
        match event {
            Event::Command(raw) if command::is_in_memory(raw.kind) && self.context.selected.is_none() => {
                self.start(raw, bytes_in, out);
            }
            Event::Command(raw) => self.parked = Some(Parked::Command(raw, bytes_in)),
            Event::SendContinuation => out.put(b"+ OK\r\n"),
            Event::Error(error) => self.syntax_error(&error, out),
            Event::Message(head) => self.parked = Some(Parked::Message(head, bytes_in)),
            // These follow a message only, and then `read_append` sees them.
            Event::MessageData(_) | Event::MessageEnd | Event::AppendEnd(_) => {}
        }
        None
    }

    /// Starts an APPEND with its first message.
    fn start_append(&mut self, head: &MessageHead, bytes_in: u64, out: &mut OutBuf) {
        let running = self.running(head.tag.clone(), CommandKind::Append, bytes_in, out);
        match Append::begin(&mut self.context, head) {
            Ok(append) => {
                self.append = Some(append);
                self.accept_message(head.is_synchronizing, out);
                self.running = Some(running);
            }
            Err(answer) => {
                self.reader.refuse_message();
                self.finish(running, answer, out);
            }
        }
    }

    fn accept_message(&mut self, is_synchronizing: bool, out: &mut OutBuf) {
        self.reader.accept_message();
        if is_synchronizing {
            out.put(b"+ OK\r\n");
        }
    }

    /// Reads on in an APPEND.
    fn read_append(&mut self, mut running: Running, input: &mut &[u8], out: &mut OutBuf) -> Option<Progress> {
        let before = input.len();
        let event = self.reader.read(input);
        running.bytes_in += (before - input.len()) as u64;
        let Some(event) = event else {
            self.running = Some(running);
            return Some(Progress::NeedInput);
        };
        let Some(append) = &mut self.append else { return None };
        let result = match event {
            Event::MessageData(bytes) => append.write(&mut self.context, bytes),
            Event::MessageEnd => append.end_message(&mut self.context),
            Event::Message(head) => match append.next(&mut self.context, &head) {
                Ok(()) => {
                    self.accept_message(head.is_synchronizing, out);
                    Ok(())
                }
                Err(answer) => {
                    self.reader.refuse_message();
                    self.append = None;
                    self.finish(running, answer, out);
                    return None;
                }
            },
            Event::AppendEnd(_) => {
                let answer = self.append.take().map(|append| append.commit(&mut self.context));
                self.finish(running, answer.unwrap_or_else(|| Answer::bad("Invalid arguments")), out);
                return None;
            }
            Event::SendContinuation => {
                out.put(b"+ OK\r\n");
                Ok(())
            }
            Event::Error(error) => {
                self.append = None;
                self.finish(running, Answer::bad(error.to_string()), out);
                if error.is_fatal() {
                    self.bye(error.text, error.text, out);
                }
                return None;
            }
            Event::Command(_) => Ok(()),
        };
        match result {
            Ok(()) => self.running = Some(running),
            Err(answer) => {
                self.append = None;
                self.reader.abandon_message();
                self.finish(running, answer, out);
            }
        }
        None
    }

    fn running(&self, tag: Tag, kind: CommandKind, bytes_in: u64, out: &OutBuf) -> Running {
        let started = (self.clock)();
        let state = State::Appending;
        Running { tag, kind, started, busy: Duration::ZERO, bytes_in, out_before: out.total(), state }
    }

    /// Starts a command that was read.
    fn start(&mut self, raw: RawCommand, bytes_in: u64, out: &mut OutBuf) {
        let kind = raw.kind;
        let mut running = self.running(raw.tag.clone(), kind, bytes_in, out);
        if kind.needs_mailbox() && self.context.selected.is_none() {
            return self.finish(running, Answer::bad(NO_MAILBOX), out);
        }
        let command = match Command::parse(&raw, &SearchCharsets) {
            Ok(command) => command,
            Err(error) => {
                // A SELECT that fails leaves nothing selected (RFC 3501 §6.3.1), whatever was wrong.
                if matches!(kind, CommandKind::Select | CommandKind::Examine) {
                    select::close(&mut self.context, out);
                }
                if matches!(error, ArgsError::No { .. })
                    && SearchReturn::is_save_wanted(&raw.args)
                    && let Some(selected) = &mut self.context.selected
                {
                    selected.saved_result = UidSet::new();
                }
                return self.finish(running, append::of_args_error(kind.name(), error), out);
            }
        };
        self.context.tag = raw.tag.as_str().into();
        drop(raw);
        match command::start(&mut self.context, kind, command, out) {
            Start::Answer(answer) => self.finish(running, answer, out),
            Start::Job(job) => {
                running.state = State::Job(job);
                self.running = Some(running);
            }
        }
    }

    /// The command is done: announces what changed, then answers.
    fn finish(&mut self, mut running: Running, answer: Answer, out: &mut OutBuf) {
        match answer.sync {
            Sync::None => {}
            Sync::KeepExpunged { uid } => {
                let look = Look { mode: storage::SyncMode::Quick, keep_expunged: true, hide_new: true, uid };
                self.announce(look, out);
            }
            Sync::All { uid, mode, newmail } => {
                let look = Look { mode, keep_expunged: false, hide_new: !newmail, uid };
                self.announce(look, out);
            }
        }
        running.state = State::Answering(answer);
        self.running = Some(running);
    }

    fn announce(&mut self, mut look: Look, out: &mut OutBuf) {
        look.hide_new &= self.context.settings.workarounds.delay_newmail;
        let quiet = std::mem::take(&mut self.context.quiet);
        let Some(selected) = &mut self.context.selected else { return };
        match selected.look(look, &quiet) {
            Ok(announcing) if announcing.is_inconsistent() => {
                let text = "IMAP session state is inconsistent, please relogin.";
                self.bye(text, "IMAP session state is inconsistent", out);
            }
            Ok(announcing) => self.announcing = Some(announcing),
            Err(storage::Error::MailboxGone(_)) => {
                self.bye(
                    "Selected mailbox was deleted, have to disconnect.",
                    "Selected mailbox was deleted",
                    out,
                );
            }
            Err(error) => {
                self.context.log.error(base::chain(&error));
                out.line(format_args!("* NO {}", error.client_text()));
            }
        }
    }

    fn answer(&mut self, running: &Running, answer: &Answer, out: &mut OutBuf) {
        let now = (self.clock)();
        let all = now.duration_since(running.started);
        let busy = running.busy + now.duration_since(self.step_begun.max(running.started));
        put_answer(running.tag.as_str(), answer, busy, all, out);
        self.last = Some(Last { kind: running.kind, at: now });
        self.count_bad(answer.condition == "BAD", out);
        if running.kind == CommandKind::Logout {
            self.closed = Some("Logged out".to_owned());
        }
    }

    fn syntax_error(&mut self, error: &SyntaxError, out: &mut OutBuf) {
        if error.is_fatal() {
            return self.bye(error.text, error.text, out);
        }
        let tag = error.tag.as_ref().map_or("*", Tag::as_str);
        let moment = Duration::from_micros(1);
        put_answer(tag, &Answer::bad(error.to_string()), moment, moment, out);
        self.count_bad(true, out);
    }

    fn count_bad(&mut self, is_bad: bool, out: &mut OutBuf) {
        self.bad_commands = if is_bad { self.bad_commands + 1 } else { 0 };
        if self.bad_commands >= limits::BAD_COMMANDS_MAX {
            self.bye("Too many invalid IMAP commands.", "Too many invalid IMAP commands.", out);
        }
    }
}

fn put_answer(tag: &str, answer: &Answer, busy: Duration, all: Duration, out: &mut OutBuf) {
    [tag, " ", answer.condition, " "].iter().for_each(|part| out.put(part.as_bytes()));
    if let Some(code) = &answer.code {
        ["[", code, "] "].iter().for_each(|part| out.put(part.as_bytes()));
    }
    out.put(answer.text.as_bytes());
    out.put(b" (");
    put_secs(millis_up(busy), out);
    out.put(b" + ");
    put_secs(millis_up(all.saturating_sub(busy)), out);
    if all.as_millis() > 0 {
        out.put(b" + ");
        put_secs(u64::try_from(all.as_millis()).unwrap_or(u64::MAX), out);
    }
    out.put(b" secs).\r\n");
}

/// Seconds with three digits.
fn put_secs(millis: u64, out: &mut OutBuf) {
    let digit = |value: u64| b'0' + (value % 10) as u8;
    out.number(millis / 1000);
    out.put(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis)]);
}

/// Milliseconds, rounded up as 2.3 does, so that nothing takes no time.
fn millis_up(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// The same in seconds with three digits.
fn secs(time: Duration) -> String {
    let millis = millis_up(time);
    format!("{}.{:03}", millis / 1000, millis % 1000)
}
