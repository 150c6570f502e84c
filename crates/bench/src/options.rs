//! The command's arguments, and the amounts of work that go with them.

use std::path::PathBuf;
use std::time::Duration;

/// What `-h` prints, before the list of measurements.
pub(crate) const HELP: &str = "\
usage: cargo xtask bench [--against dovecot] [options]

Builds and starts our server, and with --against dovecot the installed Dovecot, each in a temporary
directory with the same configuration and the same messages; does the same work on each in turns;
prints medians, their ratio, and the server's CPU time for one operation, its children included.

  --against dovecot   compare with the installed Dovecot
  --format FORMAT     maildir (default) or mdbox
  --only NAME         measurements whose names begin with NAME; may be repeated
  --rounds N          timed rounds (default 5, with --quick 3), after one that is not timed
  --quick             small numbers: shows that it works, not how fast
  --binary PATH       our server's executable, instead of building one
  --seed N            of the messages (default 1): the same seed gives the same bytes

Ctrl-C ends after the running round and prints what there is.

";

/// How messages are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// One file for each message.
    Maildir,
    /// Several messages in each file.
    Mdbox,
}

impl Format {
    /// As `--format` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Maildir => "maildir",
            Self::Mdbox => "mdbox",
        }
    }
}

/// What to do, and how much of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    pub(crate) dovecot: bool,
    pub(crate) format: Format,
    pub(crate) only: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) binary: Option<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) amounts: Amounts,
}

/// How much work a round of each measurement is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Amounts {
    /// Distinct messages in the mailbox that is searched, sorted and threaded.
    pub(crate) messages: usize,
    /// Messages in the large mailbox, of which at most `pool` are distinct.
    pub(crate) large: usize,
    pub(crate) pool: usize,
    /// Messages whose whole bodies are fetched.
    pub(crate) bodies: usize,
    /// Mailboxes to ask the status of, messages in each, and how often each is asked.
    pub(crate) boxes: usize,
    pub(crate) box_messages: usize,
    pub(crate) box_passes: usize,
    /// Messages appended, by one client or by ten together.
    pub(crate) appends: usize,
    /// Messages whose flags change, twice each.
    pub(crate) stores: usize,
    pub(crate) logins: usize,
    /// How long passwords are guessed in a round.
    pub(crate) flood: Duration,
}

/// Clients at once, where several are at work. Each has a user of its own.
pub(crate) const CLIENTS: usize = 10;

const FULL: Amounts = Amounts {
    messages: 10_000,
    large: 100_000,
    pool: 1_000,
    bodies: 2_000,
    boxes: 200,
    box_messages: 20,
    box_passes: 10,
    appends: 500,
    stores: 1_000,
    logins: 500,
    flood: Duration::from_secs(6),
};

const QUICK: Amounts = Amounts {
    messages: 300,
    large: 2_000,
    pool: 100,
    bodies: 100,
    boxes: 20,
    box_messages: 5,
    box_passes: 2,
    appends: 50,
    stores: 50,
    logins: 50,
    flood: Duration::from_secs(1),
};

/// What the arguments ask for.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    Help,
    Run(Options),
}

pub(crate) fn parse(words: &[&str]) -> Result<Wanted, String> {
    let mut options = Options {
        dovecot: false,
        format: Format::Maildir,
        only: Vec::new(),
        rounds: 0,
        binary: None,
        seed: 1,
        amounts: FULL,
    };
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        match word {
            "-h" | "--help" => return Ok(Wanted::Help),
            "--quick" => options.amounts = QUICK,
            "--against" => match value()? {
                "dovecot" => options.dovecot = true,
                other => return Err(format!("--against {other}: only dovecot is known")),
            },
            "--format" => options.format = format(value()?)?,
            "--only" => options.only.push(known(value()?)?),
            "--rounds" => options.rounds = number(word, value()?)?,
            "--binary" => options.binary = Some(value()?.into()),
            "--seed" => options.seed = number(word, value()?)?,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    if options.rounds == 0 {
        options.rounds = if options.amounts == QUICK { 3 } else { 5 };
    }
    Ok(Wanted::Run(options))
}

fn format(word: &str) -> Result<Format, String> {
    match word {
        "maildir" => Ok(Format::Maildir),
        "mdbox" => Ok(Format::Mdbox),
        other => Err(format!("--format {other}: maildir or mdbox")),
    }
}

fn known(prefix: &str) -> Result<String, String> {
    let any = crate::measurements::ALL.iter().any(|measurement| measurement.name.starts_with(prefix));
    any.then(|| prefix.to_owned()).ok_or_else(|| format!("--only {prefix}: no such measurement"))
}

fn number<T: std::str::FromStr + PartialOrd + From<u8>>(option: &str, word: &str) -> Result<T, String> {
    let number = word.parse().ok().filter(|number| *number >= T::from(1));
    number.ok_or_else(|| format!("{option} {word}: not a number above 0"))
}

impl Options {
    /// Whether `--only` leaves this measurement in.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// One line below the table's title: what the figures depend on.
    pub(crate) fn describe(&self) -> String {
        let format = self.format.name();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let quick = if self.amounts == QUICK { " Small numbers (--quick)." } else { "" };
        format!("Format {format}, seed {}, medians of {} rounds, {cpus} CPUs.{quick}", self.seed, self.rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Options {
        match parse(words) {
            Ok(Wanted::Run(options)) => options,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn arguments() {
        assert_eq!(parse(&["--quick", "-h"]), Ok(Wanted::Help));
        assert_eq!(run(&[]).rounds, 5);
        assert_eq!(run(&["--quick"]).rounds, 3);
        let options =
            run(&["--against", "dovecot", "--rounds", "2", "--only", "append", "--format", "mdbox"]);
        assert_eq!((options.dovecot, options.rounds, options.format), (true, 2, Format::Mdbox));
        assert!(options.wants("append-10") && !options.wants("login"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, expected) in [
            (&["--rounds"][..], "--rounds wants a value"),
            (&["--rounds", "0"], "--rounds 0: not a number above 0"),
            (&["--against", "cyrus"], "--against cyrus: only dovecot is known"),
            (&["--only", "nothing"], "--only nothing: no such measurement"),
            (&["now"], "unknown argument now"),
        ] {
            assert_eq!(parse(words), Err(expected.to_owned()), "{words:?}");
        }
    }
}
