//! One of the two servers under measurement, and what has been put into it.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::process::Command;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use harness::{Builder, Host, Under};

use crate::client::{Answer, Imap, Outcome};
use crate::corpus::Corpus;
use crate::fill::Stored;
use crate::logins::Logins;
use crate::options::{Amounts, Format, Options};
use crate::proc;

/// A running server. Dropping it stops the server and removes its files.
pub(crate) struct Side {
    pub(crate) host: Host,
    /// Another one with its users in a database, where that is measured.
    pub(crate) logins: Option<Logins>,
    pub(crate) format: Format,
    pub(crate) amounts: Amounts,
    pub(crate) corpus: Corpus,
    /// The messages of the mailbox that the others are made of.
    pub(crate) stored: Vec<Stored>,
    /// Names of the mailboxes that are there.
    pub(crate) filled: HashSet<String>,
}

/// One timed piece of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) operations: usize,
    pub(crate) elapsed: Duration,
    /// The server's CPU time.
    pub(crate) cpu: Duration,
    /// How many CPUs all other processes kept busy.
    pub(crate) others: f64,
    /// The same on both sides if both found the same; 0 where nothing is compared.
    pub(crate) found: u64,
}

impl Side {
    pub(crate) fn start(under: Under, ours: &std::path::Path, options: &Options) -> Self {
        let location = match options.format {
            Format::Maildir => "",
            Format::Mdbox => "mail_location = mdbox:~/mdbox\n",
        };
        let builder = Builder::new(ours).under(under).without_users();
        Self {
            host: builder.config(STATIC_USERS).config(ROOM).config(location).start(),
            logins: if ["auth-logins", "auth-flood"].iter().any(|name| options.wants(name)) {
                Logins::start(under, ours)
            } else {
                None
            },
            format: options.format,
            amounts: options.amounts,
            corpus: Corpus::new(options.seed),
            stored: Vec::new(),
            filled: HashSet::new(),
        }
    }

    /// What the notes below the table call it.
    pub(crate) fn name(&self) -> &'static str {
        match self.host.under() {
            Under::Ours => "ours",
            Under::Dovecot => "Dovecot",
        }
    }

    /// Name and version, as the executable says them.
    pub(crate) fn version(&self) -> String {
        let said = Command::new(self.host.program("dovecot")).arg("--version").output();
        let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        format!("{} {}", self.name(), said.unwrap_or_default())
    }

    /// How many errors and warnings the server has logged, and the first of them.
    pub(crate) fn complaints(&self) -> Option<String> {
        let log =
            self.host.log() + &self.logins.as_ref().map(|logins| logins.host().log()).unwrap_or_default();
        let bad = |line: &&str| {
            ["Error: ", "Warning: ", "Panic: ", "Fatal: "].iter().any(|word| line.contains(word))
        };
        let first = log.lines().find(bad)?;
        Some(format!(
            "{} logged {} errors and warnings: {first}",
            self.name(),
            log.lines().filter(bad).count()
        ))
    }

    /// A session of the user whose mailboxes are filled.
    pub(crate) fn session(&self) -> Outcome<Imap> {
        self.session_of(1)
    }

    /// A session of one of the users, who are counted from 1.
    pub(crate) fn session_of(&self, user: usize) -> Outcome<Imap> {
        Imap::login(self.host.address("imap"), &format!("user{user}"))
    }

    /// A session that has selected a mailbox.
    pub(crate) fn selected(&self, mailbox: &str) -> Outcome<Imap> {
        let mut session = self.session()?;
        session.command(&format!("SELECT {mailbox}"))?;
        Ok(session)
    }

    /// Times `work`, and takes the server's CPU time before and after, each once it does no more.
    pub(crate) fn timed(&self, operations: usize, work: impl FnOnce() -> Outcome<Answer>) -> Outcome<Sample> {
        self.timed_at(&self.host, operations, work)
    }

    /// The same with the CPU time of another server than the usual one.
    pub(crate) fn timed_at(
        &self,
        host: &Host,
        operations: usize,
        work: impl FnOnce() -> Outcome<Answer>,
    ) -> Outcome<Sample> {
        let master = host.master_pid();
        // What the rounds before have left for the system to write would be waited for in this one.
        nix::unistd::sync();
        let before = proc::settled(master);
        let began = Instant::now();
        let answer = work()?;
        let elapsed = began.elapsed();
        let after = proc::settled(master);
        let others = after.others.saturating_sub(before.others).as_secs_f64();
        Ok(Sample {
            operations,
            elapsed,
            cpu: after.tree.saturating_sub(before.tree),
            others: others / began.elapsed().as_secs_f64(),
            found: answer.found,
        })
    }

    /// Waits for clients at work; the first failure is the outcome.
    pub(crate) fn join(clients: Vec<ScopedJoinHandle<'_, Outcome<()>>>) -> Outcome<Answer> {
        for client in clients {
            client.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        }
        Ok(Answer::default())
    }
}

/// With the default of 256 MB Dovecot cannot open a Maildir of a million messages.
const ROOM: &str = "service imap {\n  vsz_limit = 4 G\n}\n";

const STATIC_USERS: &str = "\
passdb {
  driver = static
  args = password=pass
}
userdb {
  driver = static
  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u
}
";
