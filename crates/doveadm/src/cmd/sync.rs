//! `doveadm sync` and `doveadm backup`: make the mailboxes of another place the same as the user's. The
//! place is on this host, as `mail_location` has it, or at the other end of a command, which is
//! `doveadm dsync-server` there. `sync` takes changes of both sides over; `backup` loses those of the
//! place, or with `-R` the user's.

use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail_user::MailUser;
use settings::key;
use settings::vars::Expander;
use storage::{Error, Flags};
use sys::lock::{LockKind, try_lock};

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome, status};
use crate::mail::through::{Place as Elsewhere, Routes, command_line};
use crate::mail::{Job, Told, Whose, open_location};
use crate::print::{Format, untitled};
use crate::sync::original::both::Both;
use crate::sync::original::export::push;
use crate::sync::original::state::States;
use crate::sync::original::{Base, Line, Original, Terms};
use crate::sync::rawlog::logged;
use crate::sync::remote::Peer;
use crate::sync::side::{Filter, Scope, Side};
use crate::sync::{Choice, Local, Report, Way, remote, run};
use crate::wire::tls::Tls;

/// 2.3's timeout for the other end.
const TIMEOUT_SECS: u32 = 600;

/// How often a lock that somebody else has is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(100);

pub(crate) fn sync(cx: &mut Context, args: &Args) -> Outcome {
    let way = if args.flag("oneway") { Way::There } else { Way::Both };
    synchronize(cx, args, "sync", way)
}

pub(crate) fn backup(cx: &mut Context, args: &Args) -> Outcome {
    if args.flag("oneway") {
        return Err(help("backup"));
    }
    synchronize(cx, args, "backup", Way::Mirror)
}

/// Answers a `sync` or `backup` at the other end of standard input and output.
pub(crate) fn serve(cx: &mut Context, args: &Args) -> Outcome {
    if args.flag("legacy-dsync") {
        return Err(Failure::fatal("dsync-server -E isn't supported yet"));
    }
    let timeout = timeout(args)?;
    let rawlog = args.text("rawlog").map(PathBuf::from);
    let whose = Whose::parse(cx, args)?;
    whose.each(cx, &mut |job, user| {
        let conversation = job.cx.serving.as_mut().map(|serving| serving.converse(timeout)).transpose();
        let mut report = Reporter { job: &mut *job, desync: None };
        let served = match conversation {
            Ok(Some((input, output))) => {
                serve_logged(user, rawlog.as_deref(), input, BufWriter::new(output), &mut report)
            }
            Ok(None) => serve_pipe(user, timeout, rawlog.as_deref(), &mut report),
            Err(error) => Err(Error::io("write", "client", error)),
        };
        report.end();
        if let Err(error) = served {
            job.fail("dsync-server failed", &error);
        }
        Ok(())
    })
}

fn serve_logged(
    user: &Arc<MailUser>,
    rawlog: Option<&Path>,
    input: impl std::io::Read,
    output: impl Write,
    report: &mut dyn Report,
) -> storage::Result<()> {
    let (input, output) = logged(rawlog, input, output)
        .map_err(|error| Error::io("open", rawlog.unwrap_or(Path::new("")), error))?;
    remote::serve(user, input, output, report)
}

fn serve_pipe(
    user: &Arc<MailUser>,
    timeout: Duration,
    rawlog: Option<&Path>,
    report: &mut dyn Report,
) -> storage::Result<()> {
    // Not through the library's buffer: whether something comes is asked of the descriptor.
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let input = input.map_err(|error| Error::io("dup", "stdin", error))?;
    let input = remote::Timed { input: std::fs::File::from(input), timeout };
    serve_logged(user, rawlog, input, BufWriter::new(std::io::stdout().lock()), report)
}

/// How many seconds others that synchronize the user are waited for, if at all.
fn lock_wait(args: &Args) -> Outcome<Option<u64>> {
    let Some(text) = args.text("lock-timeout") else { return Ok(None) };
    let secs = text.parse::<u64>().ok().filter(|secs| *secs > 0);
    secs.map(Some).ok_or_else(|| fatal(format_args!("Invalid -l parameter: {text}")))
}

fn synchronize(cx: &mut Context, args: &Args, command: &'static str, way: Way) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let choice = choice(args)?;
    let (states, broken_state) = match args.text("state").map(States::parse).transpose() {
        Ok(states) => (states, None),
        Err(why) => (Some(States::default()), Some(why)),
    };
    let rawlog = args.text("rawlog").map(PathBuf::from);
    let wait = lock_wait(args)?;
    let scope = match (args.flag("all-namespaces"), args.list("namespace")) {
        (true, _) => Scope::Visible,
        (false, []) => Scope::Inbox,
        (false, prefixes) => Scope::Prefixes(prefixes.to_vec()),
    };
    let place = match args.flag("default-destination") {
        true if args.list("destination").is_empty() => None,
        true => return Err(help(command)),
        false => Some(place(args.list("destination"), command)?),
    };
    let settings = cx.config()?.settings();
    let remote_cmd = settings.get(key::DSYNC_REMOTE_CMD).to_owned();
    let alt_char = settings.get(key::DSYNC_ALT_CHAR).chars().next().unwrap_or('_');
    let (reverse, timeout) = (args.flag("reverse"), timeout(args)?);
    whose.each_printing(cx, Format::Flow, &[untitled("state", "state")], &mut |job, user| {
        let _lock = match wait.map(|secs| lock(user, secs)).transpose() {
            Ok(lock) => lock,
            Err(why) => {
                job.log().error(why);
                job.fail_as(status::TEMPFAIL);
                return Ok(());
            }
        };
        if let Some(why) = broken_state {
            let what = "Saved sync state is invalid, falling back to full sync";
            job.log().error(format_args!("{what}: {why}"));
        }
        let Some(place) =
            place.clone().map_or_else(|| replica_place(job, command), |place| Ok(Some(place)))?
        else {
            return Ok(());
        };
        let work = Work {
            command,
            way,
            reverse,
            choice: &choice,
            timeout,
            scope: &scope,
            alt_char,
            rawlog: rawlog.as_deref(),
            states: states.as_ref(),
            only_changed: !args.flag("full-sync"),
            virtual_all: args.text("all-mailbox"),
        };
        match &place {
            Place::Location(location) => work.local(job, user, location),
            Place::Command(words) => work.remote(job, user, words, false),
            Place::Host { host, prefixed } => {
                let words = remote_words(&remote_cmd, host, user.username());
                let words = words.map_err(|why| job.fatal(why, status::TEMPFAIL))?;
                work.remote(job, user, &words, *prefixed)
            }
            Place::Server { target, tls } => work.server(job, user, target, *tls),
        }
    })
}

/// The place that the user's mail is at, too; `None` if there is none, which is said.
fn replica_place(job: &mut Job<'_>, command: &'static str) -> Outcome<Option<Place>> {
    match replica(job) {
        Some(location) => place(&[location], command).map(Some),
        None => {
            job.log().error("User has no mail_replica in userdb");
            job.fail_as(status::NOT_FOUND);
            Ok(None)
        }
    }
}

/// Where the userdb or the configuration says that the user's mail is, too.
fn replica(job: &mut Job<'_>) -> Option<String> {
    let field = job.userdb_field("mail_replica").map(str::to_owned);
    let configured = |job: &mut Job<'_>| {
        let settings = job.cx.config().ok()?.mail_settings();
        settings.plugin().get("mail_replica").map(str::to_owned)
    };
    field.or_else(|| configured(job)).filter(|place| !place.is_empty())
}

/// Where the other side is.
#[derive(Clone)]
enum Place {
    Location(String),
    Command(Vec<String>),
    /// `host` or `login@host`, for `dsync_remote_cmd`; the command may want to hear the user's name first.
    Host {
        host: String,
        prefixed: bool,
    },
    /// A doveadm server's socket, or host and port.
    Server {
        target: String,
        tls: bool,
    },
}

fn place(words: &[String], command: &'static str) -> Outcome<Place> {
    match words {
        [] => Err(help(command)),
        [place] if is_location(place) => Ok(Place::Location(place.clone())),
        [place] => Ok(match place.split_once(':') {
            Some(("tcp", target)) => Place::Server { target: target.to_owned(), tls: false },
            Some(("tcps", target)) => Place::Server { target: target.to_owned(), tls: true },
            Some(("remote", host)) => Place::Host { host: host.to_owned(), prefixed: false },
            Some(("remoteprefix", host)) => Place::Host { host: host.to_owned(), prefixed: true },
            _ => Place::Host { host: place.clone(), prefixed: false },
        }),
        words => {
            let mut words = words.to_vec();
            // As in 2.3 it need not be said.
            if !words.iter().any(|word| word == "dsync-server") {
                words.push("dsync-server".to_owned());
            }
            Ok(Place::Command(words))
        }
    }
}

/// `dsync_remote_cmd` for a host. A word whose variables are all empty is left out, unless it is nothing
/// but a variable.
fn remote_words(template: &str, place: &str, user: &str) -> Result<Vec<String>, String> {
    let (login, host) = place.rsplit_once('@').unwrap_or(("", place));
    let expand = |word: &str, values: [&str; 3]| {
        let [user, login, host] = values;
        let table = [('u', "user", Some(user)), ('\0', "login", Some(login)), ('\0', "host", Some(host))];
        Expander::of(&table)
            .expand(word)
            .map_err(|error| format!("Failed to expand dsync_remote_cmd={word}: {error}"))
    };
    let mut words = Vec::new();
    for word in template.split(' ').filter(|word| !word.is_empty()) {
        let (value, bare) = (expand(word, [user, login, host])?, expand(word, [""; 3])?);
        if !word.contains('%') || value != bare || value.is_empty() {
            words.push(value);
        }
    }
    Ok(words)
}

/// `maildir:/somewhere`, and not `user@host`.
fn is_location(text: &str) -> bool {
    ["maildir:", "mbox:", "sdbox:", "mdbox:"].iter().any(|driver| text.starts_with(driver))
}

/// How long the other end may be silent.
fn timeout(args: &Args) -> Outcome<Duration> {
    let secs = match args.text("timeout") {
        None => TIMEOUT_SECS,
        Some(text) => text.parse().map_err(|_| fatal(format_args!("Invalid -T parameter: {text}")))?,
    };
    Ok(Duration::from_secs(u64::from(if secs == 0 { TIMEOUT_SECS } else { secs })))
}

fn choice(args: &Args) -> Outcome<Choice> {
    let guid = match args.text("mailbox-guid") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| fatal(format_args!("Invalid -g parameter: {text}")))?),
    };
    Ok(Choice {
        only: args.list("mailbox").to_vec(),
        guid,
        exclude: args.list("exclude-mailbox").to_vec(),
        filter: filter(args)?,
        purge: args.flag("purge-remote"),
    })
}

fn filter(args: &Args) -> Outcome<Filter> {
    let date = |name: &str, letter: char| match args.text(name) {
        None => Ok(None),
        Some(text) => match parse_date(text) {
            Some(time) => Ok(Some(time)),
            None => Err(fatal(format_args!("Invalid -{letter} parameter: {text}"))),
        },
    };
    let (since, until) = (date("sync-since-time", 't')?, date("sync-until-time", 'e')?);
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(fatal("start date is later than end date"));
    }
    let size_max = match args.text("sync-max-size") {
        None => None,
        Some(text) => Some(
            base::units::parse_size(text)
                .map_err(|_| fatal(format_args!("Invalid -I parameter '{text}': Invalid size: {text}")))?,
        ),
    };
    let flag = args.text("sync-flags").map(|text| match text.strip_prefix('-') {
        Some(name) => (true, name.to_owned()),
        None => (false, text.to_owned()),
    });
    if let Some((_, name)) = &flag {
        if name.contains(' ') {
            return Err(fatal("-O parameter doesn't support multiple flags currently"));
        }
        let known = Flags::NAMES.iter().any(|(_, known)| known.eq_ignore_ascii_case(name));
        if name.starts_with('\\') && !known {
            return Err(fatal(format_args!("Invalid system flag given for -O parameter: '{name}'")));
        }
    }
    Ok(Filter { since, until, size_max, flag })
}

/// A day, seconds since 1970, or how long ago, as in search queries; in seconds since 1970.
fn parse_date(text: &str) -> Option<i64> {
    let day = ["%Y-%m-%d", "%d-%b-%Y"].iter().find_map(|form| jiff::civil::Date::strptime(form, text).ok());
    if let Some(day) = day {
        let midnight = day.to_zoned(jiff::tz::TimeZone::system()).ok()?;
        return Some(midnight.timestamp().as_second());
    }
    if let Ok(secs) = text.parse::<i64>() {
        return Some(secs);
    }
    let age = i64::try_from(base::units::parse_time(text).ok()?.as_secs()).ok()?;
    Some(jiff::Timestamp::now().as_second().saturating_sub(age))
}

fn fatal(text: impl std::fmt::Display) -> Failure {
    Failure::Fatal(text.to_string(), status::TEMPFAIL)
}

/// What is done for each user.
struct Work<'a> {
    command: &'static str,
    way: Way,
    reverse: bool,
    choice: &'a Choice,
    timeout: Duration,
    scope: &'a Scope,
    alt_char: char,
    /// `-r`
    rawlog: Option<&'a Path>,
    /// `-s`: how things stood the last time; how they stand now is to be printed.
    states: Option<&'a States>,
    /// Without `-f`: mailboxes that have the same numbers on both sides are passed over, where each side has
    /// to tell all.
    only_changed: bool,
    /// `-a`: a mailbox with all messages, where the other side may find what it lacks.
    virtual_all: Option<&'a str>,
}

impl Work<'_> {
    /// `-a` would be of no effect where we save the messages: mailboxes with all of them are made by 2.3's
    /// virtual plugin.
    fn has_no_virtual(&self, job: &Job<'_>) -> Outcome {
        let why = "-a is supported only with Dovecot at the other end, which looks for messages there";
        self.virtual_all.map_or(Ok(()), |_| Err(job.fatal(why, status::USAGE)))
    }

    fn local(&self, job: &mut Job<'_>, user: &Arc<MailUser>, location: &str) -> Outcome {
        self.has_no_virtual(job)?;
        let mut own = self.own(job, user)?;
        let home = user.home().map(PathBuf::from);
        let other = open_location(user, user.username(), home, location)
            .and_then(|other| Local::new(other, &Scope::Inbox));
        match other {
            Ok(mut other) => self.run(job, &mut own, &mut other),
            Err(error) => {
                let text = format!("Failed to initialize user: {}", Told(&error));
                return Err(job.fatal(text, status::TEMPFAIL));
            }
        }
        Ok(())
    }

    fn own(&self, job: &Job<'_>, user: &Arc<MailUser>) -> Outcome<Local> {
        Local::new(user.clone(), self.scope).map_err(|error| job.fatal(Told(&error), status::USAGE))
    }

    fn remote(&self, job: &mut Job<'_>, user: &Arc<MailUser>, words: &[String], prefixed: bool) -> Outcome {
        let [program, rest @ ..] = words else { return Ok(()) };
        let spawned = Command::new(program).args(rest).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| {
            let why = base::reason(&error);
            job.fatal(format_args!("execvp({program}) failed: {why}"), status::TEMPFAIL)
        })?;
        if let (Some(input), Some(mut output)) = (child.stdout.take(), child.stdin.take()) {
            let input = remote::Timed { input, timeout: self.timeout };
            // Whether it is read shows with what comes after it.
            let _ = if prefixed { writeln!(output, "{}", user.username()) } else { Ok(()) };
            self.connected(job, user, input, BufWriter::new(output))?;
        }
        ended(job, &mut child, words);
        Ok(())
    }

    /// A doveadm server runs the other end.
    fn server(&self, job: &mut Job<'_>, user: &Arc<MailUser>, target: &str, tls: bool) -> Outcome {
        let routes = Routes::of(job.cx, Some(target))?;
        let name = user.username().to_owned();
        let words = ["-u".to_owned(), name.clone()];
        let line = command_line(job.cx, &name, "dsync-server", &words);
        let place = Elsewhere { target: target.to_owned(), user: name, tls: tls.then_some(TCPS) };
        match routes.converse(&place, &line, self.timeout) {
            Ok((input, output)) => self.connected(job, user, input, BufWriter::new(output)),
            Err(why) => {
                let text = format!("Failed to start remote dsync-server command: {}", why.join(": "));
                job.log().error(text);
                job.fail_as(status::TEMPFAIL);
                Ok(())
            }
        }
    }

    fn connected(
        &self,
        job: &mut Job<'_>,
        user: &Arc<MailUser>,
        input: impl std::io::Read + 'static,
        output: impl Write + 'static,
    ) -> Outcome {
        // Of one namespace names have no prefix, and the other side takes the one with INBOX.
        let whole_names = match self.scope {
            Scope::Inbox => false,
            Scope::Prefixes(prefixes) => prefixes.len() > 1,
            Scope::Ours | Scope::Visible => true,
        };
        let (input, output) = logged(self.rawlog, input, output).map_err(|error| {
            let path = self.rawlog.unwrap_or(Path::new("")).display();
            job.fatal(format_args!("open({path}) failed: {}", base::reason(&error)), status::TEMPFAIL)
        })?;
        match remote::connect(input, output, self.scope, whole_names) {
            Ok(Peer::Ours(mut other)) => {
                self.has_no_virtual(job)?;
                self.run(job, &mut self.own(job, user)?, &mut *other);
            }
            Ok(Peer::Original(line)) => self.with_the_original(job, user, line)?,
            Err(error) => job.fail(format_args!("{} failed", self.command), &error),
        }
        Ok(())
    }

    /// Dovecot's dsync at the other end.
    fn with_the_original<R: std::io::Read, W: Write>(
        &self,
        job: &mut Job<'_>,
        user: &Arc<MailUser>,
        line: Line<R, W>,
    ) -> Outcome {
        // Its names have the prefixes of their namespaces.
        let scope = if *self.scope == Scope::Inbox { &Scope::Ours } else { self.scope };
        let own = Local::new(user.clone(), scope).map_err(|error| job.fatal(Told(&error), status::USAGE))?;
        let mut own = own.with_whole_names();
        let terms = Terms {
            hostname: mail_user::host_name(),
            separator: own.separator(),
            alt_char: self.alt_char,
            all_namespaces: *self.scope == Scope::Visible,
            namespaces: match self.scope {
                Scope::Prefixes(prefixes) => prefixes.clone(),
                _ => Vec::new(),
            },
            filter: self.choice.filter.clone(),
            virtual_all: self.virtual_all.map(str::to_owned),
        };
        if self.way == Way::Both {
            return self.both(job, line, &terms, &mut own);
        }
        if self.reverse {
            self.has_no_virtual(job)?;
            return self.pull(job, user, scope, line, terms, &mut own);
        }
        let mut report = Reporter { job: &mut *job, desync: None };
        // A state of nothing is none.
        let states = self.states.filter(|states| !states.is_empty());
        let done = push(line, &terms, &mut own, (self.way, states), self.choice, &mut report);
        report.end();
        self.ended(job, done);
        Ok(())
    }

    /// Takes over the mail at the other end; with a state what has changed since.
    fn pull<R: std::io::Read, W: Write>(
        &self,
        job: &mut Job<'_>,
        user: &Arc<MailUser>,
        scope: &Scope,
        line: Line<R, W>,
        terms: Terms,
        own: &mut Local,
    ) -> Outcome {
        let base = |states: &States| {
            let local = Local::new(user.clone(), scope)?.with_whole_names();
            let (way, filter) = (self.way, self.choice.filter.clone());
            Ok::<_, storage::Error>(Base { states: states.clone(), local, way, filter })
        };
        // A state of nothing is none.
        let states = self.states.filter(|states| !states.is_empty());
        let asked = states.map(base).transpose().and_then(|base| Original::ask(line, terms, base));
        let mut other = match asked {
            Ok(other) => other,
            Err(error) => {
                job.fail(format_args!("{} failed", self.command), &error);
                return Ok(());
            }
        };
        if !self.has_source(job, &mut other) {
            return Ok(());
        }
        let mut report = Reporter { job: &mut *job, desync: None };
        let done = run(&mut other, own, self.way, self.choice, &mut report);
        other.desyncs().iter().for_each(|why| report.desync(why.clone()));
        report.end();
        let done = done.and_then(|()| match self.states {
            Some(_) => other.states(own),
            None => Ok(States::default()),
        });
        self.ended(job, done);
        Ok(())
    }

    /// Prints the state, if that was asked for.
    fn ended(&self, job: &mut Job<'_>, done: storage::Result<States>) {
        match done {
            Ok(states) if self.states.is_some() => job.print(states.print()),
            Ok(_) => {}
            Err(error) => job.fail(format_args!("{} failed", self.command), &error),
        }
    }

    fn both<R: std::io::Read, W: Write>(
        &self,
        job: &mut Job<'_>,
        line: Line<R, W>,
        terms: &Terms,
        own: &mut Local,
    ) -> Outcome {
        let mut report = Reporter { job: &mut *job, desync: None };
        // A state of nothing is none.
        let states = self.states.filter(|states| !states.is_empty()).cloned();
        let (choice, only_changed) = (self.choice, self.only_changed && states.is_none());
        let both = Both { terms, choice, is_first: true, only_changed, states };
        let done = both.begin(line, own, &mut report);
        report.end();
        self.ended(job, done);
        Ok(())
    }

    /// A place that is not there must not empty the user's mailboxes; that is said.
    fn has_source(&self, job: &mut Job<'_>, other: &mut dyn Side) -> bool {
        if !self.reverse || self.way != Way::Mirror {
            return true;
        }
        match other.tree() {
            Ok(tree) if tree.exists => return true,
            Ok(_) => {
                job.log().error(format_args!("{} failed: There is no mail to take over", self.command));
                job.fail_as(status::TEMPFAIL);
            }
            Err(error) => job.fail(format_args!("{} failed", self.command), &error),
        }
        false
    }

    fn run(&self, job: &mut Job<'_>, own: &mut dyn Side, other: &mut dyn Side) {
        if !self.has_source(job, other) {
            return;
        }
        let mut report = Reporter { job: &mut *job, desync: None };
        let done = match self.reverse {
            true => run(other, own, self.way, self.choice, &mut report),
            false => run(own, other, self.way, self.choice, &mut report),
        };
        report.end();
        let done = done.and_then(|()| match self.states {
            Some(_) => States::now(own, self.choice).map(Some),
            None => Ok(None),
        });
        match done {
            Ok(states) => states.iter().for_each(|states| job.print(states.print())),
            Err(error) => job.fail(format_args!("{} failed", self.command), &error),
        }
    }
}

/// `tcps:`
const TCPS: Tls = Tls { start: false, any_cert: false };

/// 2.3's exit status where somebody changed something meanwhile.
const DESYNC: i32 = 2;

struct Reporter<'a, 'b> {
    job: &'a mut Job<'b>,
    desync: Option<String>,
}

impl Reporter<'_, '_> {
    fn end(self) {
        if let Some(why) = self.desync {
            let text = "Mailbox changes caused a desync. You may want to run dsync again";
            self.job.log().warning(format_args!("{text}: {why}"));
            self.job.fail_as(DESYNC);
        }
    }
}

impl Report for Reporter<'_, '_> {
    fn fail(&mut self, what: String, error: &Error) {
        self.job.fail(what, error);
    }

    fn desync(&mut self, why: String) {
        self.desync = Some(why);
    }
}

/// Waits for the remote command, whose input has ended.
fn ended(job: &mut Job<'_>, child: &mut Child, words: &[String]) {
    use std::os::unix::process::ExitStatusExt;
    let Ok(ended) = child.wait() else { return };
    if ended.success() {
        return;
    }
    let what = match (ended.signal(), ended.code()) {
        (Some(signal), _) => format!("died with signal {signal}"),
        (_, code) => format!("returned error {}", code.unwrap_or(0)),
    };
    job.log().error(format_args!("Remote command {what}: {}", words.join(" ")));
    job.fail_as(status::TEMPFAIL);
}

/// `.dovecot-sync.lock` in the user's home: held while it is synchronized, and then removed.
struct Lock {
    path: PathBuf,
    _file: std::fs::File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held nobody else can have it under this name.
        let _ = storage::fs::Fs::default().unlink(&self.path);
    }
}

fn lock(user: &MailUser, wait_secs: u64) -> Result<Lock, String> {
    use std::os::unix::fs::MetadataExt;
    let home = user.home().ok_or("Couldn't lock: the user has no home directory")?;
    let path = home.join(".dovecot-sync.lock");
    let failed =
        |error: std::io::Error| format!("Couldn't lock {}: {}", path.display(), base::reason(&error));
    let until = Instant::now() + Duration::from_secs(wait_secs);
    loop {
        let opened = std::fs::OpenOptions::new().create(true).write(true).truncate(false).open(&path);
        let file = opened.map_err(failed)?;
        if try_lock(&file, LockKind::Exclusive).map_err(failed)? {
            // Who had it before may have removed it.
            let held = file.metadata().map_err(failed)?.ino();
            if std::fs::metadata(&path).is_ok_and(|named| named.ino() == held) {
                return Ok(Lock { path, _file: file });
            }
            continue;
        }
        if Instant::now() >= until {
            return Err(format!("Couldn't lock {}: Timed out after {wait_secs} seconds", path.display()));
        }
        std::thread::sleep(LOCK_RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remote_command_leaves_out_what_is_empty() {
        let template = "ssh -l%{login} %{host} doveadm dsync-server -u%u -U";
        let words = |place| remote_words(template, place, "ann").unwrap().join(" ");
        assert_eq!(words("bob@example.com"), "ssh -lbob example.com doveadm dsync-server -uann -U");
        assert_eq!(words("example.com"), "ssh example.com doveadm dsync-server -uann -U");
        assert!(remote_words("%{nothing}", "x", "ann").is_err());
    }

    #[test]
    fn dates_are_days_moments_and_ages() {
        assert_eq!(parse_date("1000"), Some(1000));
        assert!(parse_date("2024-03-01").is_some());
        assert_eq!(parse_date("2024-03-01"), parse_date("1-Mar-2024"));
        assert!(parse_date("2 weeks").is_some_and(|time| time < jiff::Timestamp::now().as_second()));
        assert_eq!(parse_date("soon"), None);
    }
}
