//! `cargo xtask size`: how large mailboxes and accounts behave, on our server and on the original: a million
//! messages in one mailbox, ten thousand mailboxes in one account. Each thing is done once, in an order in
//! which each builds on the one before; one table tells how long each took, and how much memory the largest
//! process of the server had needed by then.

use std::path::PathBuf;
use std::time::Duration;

use harness::Under;

use crate::client::{Answer, Failure, Imap, Outcome};
use crate::options::{Format, Options};
use crate::side::Side;
use crate::{interrupt, measurements, options, proc, table};

/// What `-h` prints.
const HELP: &str = "\
usage: cargo xtask size [--against dovecot] [options]

Fills one mailbox with very many messages and one account with very many mailboxes, on our server and with
--against dovecot on the installed Dovecot; prints how long each of what clients do then took, and the
largest memory (VmHWM) of any of the server's processes up to then. Wants some GB in the temporary directory
(TMPDIR), which are free again afterwards.

  --against dovecot   compare with the installed Dovecot
  --format FORMAT     maildir (default) or mdbox
  --messages N        messages in the mailbox (default 1000000); 0 leaves that part out
  --boxes N           mailboxes in the account (default 10000); 0 leaves that part out
  --binary PATH       our server's executable, instead of building one
";

/// Distinct messages: the large mailbox has them over and over, as hard links or copies.
const DISTINCT: usize = 1_000;
const LARGE: &str = "large";
/// Commands that are sent together.
const TOGETHER: usize = 100;
/// Messages that come into the large mailbox one by one.
const NEWS: usize = 20;

/// Runs what `words`, the arguments, ask for; an error is the reason why nothing was.
///
/// # Errors
/// Words that are none of ours, and servers that are not there.
pub(crate) fn run(
    words: &[&str],
    binary: impl FnOnce(&Options) -> Result<PathBuf, String>,
) -> Result<(), String> {
    let Some(wanted) = parse(words)? else {
        print!("{HELP}");
        return Ok(());
    };
    if wanted.options.dovecot && harness::needs::find("dovecot").is_none() {
        return Err("Dovecot is not installed".to_owned());
    }
    let path = binary(&wanted.options)?;
    let unders = [Under::Ours, Under::Dovecot].into_iter().take(if wanted.options.dovecot { 2 } else { 1 });
    let sides: Vec<Side> = unders.map(|under| Side::start(under, &path, &wanted.options)).collect();
    // Not before: a server would inherit the blocked signals, and could not be stopped.
    interrupt::watch();
    let columns: Vec<Column> = sides.into_iter().map(|side| column(side, &wanted)).collect();
    println!("{} messages, {} mailboxes, {}.", wanted.messages, wanted.boxes, wanted.options.format.name());
    print!("\n{}", table::render_steps(&columns));
    Ok(())
}

/// What to do, and how much of it.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    options: Options,
    messages: usize,
    boxes: usize,
}

/// `None` if only help is wanted.
fn parse(words: &[&str]) -> Result<Option<Wanted>, String> {
    let (mut rest, mut messages, mut boxes) = (Vec::new(), 1_000_000, 10_000);
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut number = || -> Result<usize, String> {
            let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
            value.parse().map_err(|_| format!("{word} {value}: not a number"))
        };
        match word {
            "-h" | "--help" => return Ok(None),
            "--messages" => messages = number()?,
            "--boxes" => boxes = number()?,
            "--only" | "--quick" | "--rounds" | "--seed" => return Err(format!("unknown argument {word}")),
            _ => rest.push(word),
        }
    }
    match options::parse(&rest)? {
        options::Wanted::Help => Ok(None),
        options::Wanted::Run(mut options) => {
            options.amounts.messages = DISTINCT.min(messages.max(1));
            // No server for logins is wanted.
            options.only = vec![measurements::ALL.first().map_or("", |first| first.name).to_owned()];
            Ok(Some(Wanted { options, messages, boxes }))
        }
    }
}

/// One thing that was done.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    /// Why it was not.
    pub(crate) done: Result<Duration, String>,
    /// The largest memory of any process, in bytes.
    pub(crate) memory: u64,
}

/// What one server did.
pub(crate) struct Column {
    pub(crate) side: &'static str,
    pub(crate) steps: Vec<Step>,
}

/// Does everything on one server, while another has nothing to do.
fn column(side: Side, wanted: &Wanted) -> Column {
    let mut run = Run { side, steps: Vec::new() };
    if wanted.messages > 0 {
        run.messages(wanted.messages);
    }
    if wanted.boxes > 0 {
        run.boxes(wanted.boxes);
    }
    if let Some(complaint) = run.side.complaints() {
        eprintln!("{complaint}");
    }
    Column { side: run.side.name(), steps: run.steps }
}

struct Run {
    side: Side,
    steps: Vec<Step>,
}

impl Run {
    /// Does one thing, in a session that it may keep. What fails is told and gone on from.
    fn step(&mut self, title: &'static str, work: impl FnOnce(&mut Side) -> Outcome<()>) {
        if interrupt::came() {
            return;
        }
        eprintln!("{}: {title}", self.side.name());
        let began = std::time::Instant::now();
        let done = work(&mut self.side).map(|()| began.elapsed()).map_err(|failure| failure.to_string());
        let memory = proc::largest(self.side.host.master_pid());
        self.steps.push(Step { title, done, memory });
    }

    fn messages(&mut self, count: usize) {
        let distinct = DISTINCT.min(count);
        self.step("fill one mailbox", |side| side.fill(LARGE, count, distinct));
        self.restart();
        let select = |side: &mut Side| side.selected(LARGE).map(Some);
        let mut session = None;
        self.step("first SELECT", |side| select(side).map(|new| session = new));
        let mut ask = |run: &mut Self, title, command: &str, at_least: usize| {
            let Some(session) = &mut session else { return };
            run.step(title, |_| all_of(at_least, session.command(command)?));
        };
        ask(self, "FETCH 1:* (UID FLAGS)", "FETCH 1:* (UID FLAGS)", count);
        ask(self, "SEARCH UNSEEN", "SEARCH UNSEEN", 1);
        ask(self, "SEARCH LARGER 50000", "SEARCH LARGER 50000", 1);
        ask(self, "SEARCH SUBJECT, never read", "SEARCH SUBJECT invoice", 1);
        ask(self, "SEARCH SUBJECT, read", "SEARCH SUBJECT invoice", 1);
        ask(
            self,
            "FETCH ENVELOPE of the last 100",
            &format!("FETCH {}:* (ENVELOPE)", count.max(100) - 99),
            1,
        );
        ask(self, "STORE 1:100 +FLAGS", "STORE 1:100 +FLAGS (\\Flagged)", distinct.min(100));
        let corpus = self.side.corpus;
        if let Some(session) = &mut session {
            self.step("20 APPENDs, NOOP after each", |_| append_and_look(session, &corpus));
        }
        drop(session);
        self.step("STATUS", |side| {
            side.session()?.command(&format!("STATUS {LARGE} (MESSAGES UNSEEN)")).map(drop)
        });
        self.step("SELECT again", |side| side.selected(LARGE).map(drop));
        self.restart();
        self.step("SELECT after a restart", |side| side.selected(LARGE).map(drop));
        self.restart();
        self.step("STATUS after a restart", |side| {
            side.session()?.command(&format!("STATUS {LARGE} (MESSAGES UNSEEN)")).map(drop)
        });
    }

    fn boxes(&mut self, count: usize) {
        self.restart();
        let each = |title, command: &'static str, run: &mut Self| {
            run.step(title, |side| {
                let separator = if side.format == Format::Maildir { '.' } else { '/' };
                many(&mut side.session_of(2)?, count, command, separator)
            });
        };
        each("CREATE each", "CREATE", self);
        each("SUBSCRIBE each", "SUBSCRIBE", self);
        self.restart();
        let list = |title, command: &'static str, run: &mut Self| {
            run.step(title, |side| all_of(count, side.session_of(2)?.command(command)?));
        };
        list("first LIST", "LIST \"\" *", self);
        list("LIST", "LIST \"\" *", self);
        list("LSUB", "LSUB \"\" *", self);
        list("LIST RETURN (STATUS), first", "LIST \"\" * RETURN (STATUS (MESSAGES UNSEEN))", self);
        list("LIST RETURN (STATUS)", "LIST \"\" * RETURN (STATUS (MESSAGES UNSEEN))", self);
        each("STATUS each", "STATUS", self);
        self.step("RENAME a parent of 100", |side| {
            side.session_of(2)?.command("RENAME top0 moved").map(drop)
        });
        self.step("RENAME it back", |side| side.session_of(2)?.command("RENAME moved top0").map(drop));
        each("UNSUBSCRIBE each", "UNSUBSCRIBE", self);
        each("DELETE each", "DELETE", self);
    }

    /// So that memory is counted anew, and nothing is known but what is on disk.
    fn restart(&mut self) {
        self.side.host.stop();
        interrupt::unwatched(|| self.side.host.start());
    }
}

/// Appends messages one by one, each of which must be seen.
fn append_and_look(session: &mut Imap, corpus: &crate::corpus::Corpus) -> Outcome<()> {
    for number in 0..NEWS as u64 {
        session.append(LARGE, &[corpus.message_crlf(number)])?;
        session.command("NOOP")?;
    }
    Ok(())
}

/// One command for each of the mailboxes, a hundred of which are below each parent.
fn many(session: &mut Imap, count: usize, command: &str, separator: char) -> Outcome<()> {
    let arguments = if command == "STATUS" { " (MESSAGES UNSEEN)" } else { "" };
    let line = |number: usize| format!("{command} top{}{separator}box{number}{arguments}", number / 100);
    for first in (0..count).step_by(TOGETHER) {
        session.pipeline((first..count.min(first + TOGETHER)).map(line))?;
    }
    Ok(())
}

/// A server that leaves something out is not fast.
fn all_of(count: usize, answer: Answer) -> Outcome<()> {
    match answer.untagged >= count as u64 {
        true => Ok(()),
        false => Err(Failure::Refused(format!("told of {}, not {count}", answer.untagged))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        assert_eq!(parse(&["--boxes", "3", "-h"]), Ok(None));
        let wanted =
            parse(&["--messages", "500", "--boxes", "0", "--format", "mdbox", "--against", "dovecot"]);
        let wanted = wanted.unwrap().unwrap();
        assert_eq!((wanted.messages, wanted.boxes, wanted.options.amounts.messages), (500, 0, 500));
        assert!(wanted.options.dovecot && wanted.options.format == Format::Mdbox);
        assert_eq!(parse(&["--messages", "many"]), Err("--messages many: not a number".to_owned()));
        assert_eq!(parse(&["--rounds", "3"]), Err("unknown argument --rounds".to_owned()));
        assert_eq!(parse(&["--boxes"]), Err("--boxes wants a value".to_owned()));
    }
}
