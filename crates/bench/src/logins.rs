//! Logins with passwords in a MariaDB, undisturbed and while somebody guesses passwords.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::{Builder, Host, MariaDb, Under};
use tempfile::TempDir;

use crate::client::{Answer, Failure, Imap, Outcome};
use crate::options::CLIENTS;
use crate::side::{Sample, Side};

/// Guesses that are to arrive each second.
const GUESSES: u64 = 1_000;
/// Connections that they come by. Each lasts, which is kind to a server that starts a process for each.
const GUESSERS: u64 = 20;
/// How often each of those logs in who knows his password, and how many of them there are.
const PAUSE: Duration = Duration::from_millis(20);
const GOOD: usize = 4;

/// A server whose users are in a database of its own.
pub(crate) struct Logins {
    host: Host,
    _database: MariaDb,
    _dir: TempDir,
}

impl Logins {
    /// `None`, with a word about it, if MariaDB is not installed.
    pub(crate) fn start(under: Under, ours: &std::path::Path) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("culver-").tempdir_in("/tmp").expect("a directory");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("the way to the database's socket");
        let database = MariaDb::start(dir.path())?;
        let mut host = Builder::new(ours).under(under).without_users().config(CONFIG).prepare();
        let id = match nix::unistd::geteuid().as_raw() {
            0 => harness::host::MAIL_ID,
            own => own,
        };
        let home = host.dir().join("mail").display().to_string();
        let rows: Vec<String> = (1..=CLIENTS)
            .map(|number| format!("('user{number}', '{{PLAIN}}pass', '{home}/user{number}', {id}, {id})"))
            .collect();
        database.run(&format!(
            "CREATE DATABASE mail; USE mail; CREATE TABLE users (name VARCHAR(64) PRIMARY KEY, \
             password VARCHAR(64), home VARCHAR(128), uid INT, gid INT); INSERT INTO users VALUES {}; \
             CREATE USER dove@localhost IDENTIFIED BY 'pw'; GRANT SELECT ON mail.* TO dove@localhost;",
            rows.join(", ")
        ));
        let connect = format!("host={} user=dove password=pw dbname=mail", database.socket().display());
        let text = format!("driver = mysql\nconnect = {connect}\n{QUERIES}");
        std::fs::write(host.dir().join("sql"), text).expect("the SQL configuration");
        host.start();
        Some(Self { host, _database: database, _dir: dir })
    }

    /// The server.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    fn login(&self, user: usize) -> Outcome<Imap> {
        Imap::login(self.host.address("imap"), &format!("user{user}"))
    }
}

fn of(side: &Side) -> Outcome<&Logins> {
    side.logins.as_ref().ok_or_else(|| Failure::Refused("MariaDB is not installed".to_owned()))
}

/// Users log in and out, one after the other, ten at once.
pub(crate) fn rate(side: &mut Side, _: usize) -> Outcome<Sample> {
    let logins = of(side)?;
    let each = side.amounts.logins / CLIENTS;
    let one = |user| logins.login(user)?.logout();
    side.timed_at(&logins.host, each * CLIENTS, || {
        std::thread::scope(|scope| {
            let clients =
                (1..=CLIENTS).map(|user| scope.spawn(move || (0..each).try_for_each(|_| one(user))));
            Side::join(clients.collect())
        })
    })
}

/// How long all but the slowest hundredth of good logins take while passwords are guessed. The sample's
/// one operation lasts that long, so that the one who is faster has the greater rate.
pub(crate) fn flood(side: &mut Side, _: usize) -> Outcome<Sample> {
    let logins = of(side)?;
    let (is_over, guessed) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut times = Vec::new();
    let mut sample = side.timed_at(&logins.host, 1, || {
        std::thread::scope(|scope| {
            let (is_over, guessed) = (&is_over, &guessed);
            let guessers: Vec<_> =
                (0..GUESSERS).map(|_| scope.spawn(move || guess(logins, is_over, guessed))).collect();
            let until = Instant::now() + side.amounts.flood;
            let good: Vec<_> =
                (1..=GOOD).map(|user| scope.spawn(move || good(logins, user, until))).collect();
            let good: Vec<Outcome<Vec<Duration>>> = good
                .into_iter()
                .map(|client| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect();
            is_over.store(true, Ordering::Relaxed);
            Side::join(guessers)?;
            for client in good {
                times.extend(client?);
            }
            Ok(Answer::default())
        })
    })?;
    let came = guessed.load(Ordering::Relaxed) as f64 / sample.elapsed.as_secs_f64();
    eprint!("[{}: {came:.0} guesses a second] ", side.name());
    times.sort_unstable();
    let at = (times.len() * 99 / 100).min(times.len().saturating_sub(1));
    sample.elapsed =
        times.get(at).copied().ok_or_else(|| Failure::Refused("nobody was let in".to_owned()))?;
    Ok(sample)
}

/// One guess after the other, at an even pace as far as the server lets it.
fn guess(logins: &Logins, is_over: &AtomicBool, guessed: &AtomicU64) -> Outcome<()> {
    let mut session = Imap::connect(logins.host.address("imap"))?;
    let step = Duration::from_millis(1_000 * GUESSERS / GUESSES);
    let mut next = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += step;
        match session.command("LOGIN user9 wrong") {
            Err(Failure::Refused(words)) if words.starts_with("NO ") => {
                guessed.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => return Err(failure),
            Ok(_) => return Err(Failure::Refused("a wrong password was accepted".to_owned())),
        }
    }
    Ok(())
}

/// How long each login took, from connecting to being let in.
fn good(logins: &Logins, user: usize, until: Instant) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        let session = logins.login(user)?;
        times.push(began.elapsed());
        session.logout()?;
        std::thread::sleep(PAUSE);
    }
    Ok(times)
}

/// Without what slows a guesser down on purpose: it is the server's work that is measured.
const CONFIG: &str = "\
auth_mechanisms = plain
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
passdb {
  driver = sql
  args = @DIR@/sql
}
userdb {
  driver = sql
  args = @DIR@/sql
}
";

const QUERIES: &str = "\
password_query = SELECT name AS user, password FROM users WHERE name = '%u'
user_query = SELECT home, uid, gid FROM users WHERE name = '%u'
";
