//! Every process is killed in turn while clients append and read: service goes on or resumes, and
//! every message that was acknowledged is there, once.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use harness::{Builder, Client, Host, Random, Under, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const WRITERS: usize = 3;

/// What a client knows of a message it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The server said OK.
    Acknowledged,
    /// The connection was lost before the answer.
    Unknown,
}

/// Appends messages until told to stop, each once; gives what became of them.
fn append(host: &Host, user: &str, number: usize, stop: &AtomicBool) -> BTreeMap<String, Fate> {
    let mut fates = BTreeMap::new();
    let mut session = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(client) = session.as_mut() else {
            session = log_in(host, user);
            continue;
        };
        // What was not acknowledged in one test's round may appear in the next.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("m{number}x{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let fate = append_one(client, &name);
        if fate != Fate::Acknowledged {
            session = None;
        }
        fates.insert(name, fate);
    }
    fates
}

fn append_one(client: &mut Client, name: &str) -> Fate {
    let text = format!("Subject: {name}\r\n\r\nbody of {name}\r\n");
    let command = format!("a APPEND INBOX {{{}+}}\r\n{text}\r\n", text.len());
    if client.try_send(command.as_bytes()).is_err() {
        return Fate::Unknown;
    }
    match tagged(client, "a") {
        Some(line) if line.starts_with("a OK") => Fate::Acknowledged,
        _ => Fate::Unknown,
    }
}

fn tagged(client: &mut Client, tag: &str) -> Option<String> {
    loop {
        let line = client.read_line()?;
        if line.strip_prefix(tag).is_some_and(|rest| rest.starts_with(' ')) {
            return Some(line);
        }
    }
}

fn log_in(host: &Host, user: &str) -> Option<Client> {
    let mut client = Client::over(TcpStream::connect(host.address("imap")).ok()?);
    client.read_line()?;
    client.try_send(format!("l LOGIN {user} pass\r\n").as_bytes()).ok()?;
    tagged(&mut client, "l")?.starts_with("l OK").then_some(client)
}

/// Subjects in the mailbox, each with how often it is there.
fn subjects(host: &Host, user: &str) -> BTreeMap<String, usize> {
    let mut session = wait_for("a login", || log_in(host, user));
    session.imap("s", "SELECT INBOX");
    let mut found = BTreeMap::new();
    for line in session.imap("f", "UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]") {
        for part in line.split(['\r', '\n']) {
            if let Some(name) = part.strip_prefix("Subject: ") {
                *found.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
    found
}

fn check(before: &BTreeMap<String, Fate>, found: &BTreeMap<String, usize>) {
    let lost: Vec<_> = before
        .iter()
        .filter(|(name, fate)| **fate == Fate::Acknowledged && !found.contains_key(*name))
        .collect();
    assert!(lost.is_empty(), "acknowledged, but gone: {lost:?}");
    let many: Vec<_> = found.iter().filter(|(_, count)| **count != 1).collect();
    assert!(many.is_empty(), "there more than once: {many:?}");
}

/// Runs writers while `work` goes on.
fn under_load(host: &Host, user: &str, work: impl FnOnce()) -> BTreeMap<String, Fate> {
    let stop = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let stop = stop.clone();
                scope.spawn(move || append(host, user, number, &stop))
            })
            .collect();
        // A test that fails must not leave the writers at work.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        let fates = writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect();
        outcome.map(|()| fates).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn kill_all(pids: &[i32]) {
    // One of them may have ended by itself a moment ago.
    pids.iter().for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap_or(()));
}

#[test]
fn nothing_is_lost_whichever_process_dies() {
    if Under::from_env() == Under::Dovecot {
        // 2.3 does not survive the death of `log` and `anvil` with all its functions.
        return;
    }
    let host = Builder::new(env!("CARGO_BIN_EXE_dovecot")).user("load", "pass").start();
    let fates = under_load(&host, "load", || {
        for service in ["anvil", "log", "config", "auth", "imap-login", "imap", "pop3", "auth", "log", "imap"]
        {
            let pids = wait_for(&format!("a process of {service}"), || {
                Some(host.pids(service)).filter(|pids| !pids.is_empty())
            });
            kill_all(&pids);
            wait_for(&format!("the end of the {service} processes"), || {
                pids.iter().all(|pid| !host.pids(service).contains(pid)).then_some(())
            });
            wait_for(&format!("logins after the death of {service}"), || log_in(&host, "user2"));
        }
    });
    let acknowledged = fates.values().filter(|fate| **fate == Fate::Acknowledged).count();
    assert!(acknowledged > 20, "there was no load: {acknowledged}");
    check(&fates, &subjects(&host, "load"));
}

/// Mail processes are killed at any moment, again and again.
///
/// `KILL_SECONDS` says for how long, with each driver.
fn imap_is_killed_all_the_time(location: &str) {
    if Under::from_env() == Under::Dovecot {
        return;
    }
    let config = format!("mail_location = {location}\nmail_index_log_rotate_max_size = 16k\n");
    let host = Builder::new(env!("CARGO_BIN_EXE_dovecot")).user("load", "pass").config(&config).start();
    let seconds = std::env::var("KILL_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let (began, mut random) = (std::time::Instant::now(), Random(1));
    let (mut kills, mut acknowledged) = (0, 0);
    for round in 0.. {
        if round > 0 && began.elapsed().as_secs() >= seconds {
            break;
        }
        let fates = under_load(&host, "load", || {
            for _ in 0..10 {
                // What is random about it is where the processes are by then.
                thread::sleep(std::time::Duration::from_micros(5_000 + random.below(60_000)));
                let pids = host.pids("imap");
                kills += pids.len();
                kill_all(&pids);
            }
        });
        check(&fates, &subjects(&host, "load"));
        acknowledged += fates.values().filter(|fate| **fate == Fate::Acknowledged).count();
        empty(&host, "load");
    }
    eprintln!("{kills} killed, {acknowledged} messages acknowledged");
    assert!(kills > 10 && acknowledged > 10, "{kills} were killed, {acknowledged} acknowledged");
}

/// Removes all messages.
fn empty(host: &Host, user: &str) {
    let mut session = wait_for("a login", || log_in(host, user));
    session.imap("s", "SELECT INBOX");
    session.imap("d", "STORE 1:* +FLAGS.SILENT (\\Deleted)");
    session.imap("e", "EXPUNGE");
}

#[test]
fn nothing_is_lost_when_imap_is_killed_with_maildir() {
    imap_is_killed_all_the_time("maildir:~/Maildir");
}

#[test]
fn nothing_is_lost_when_imap_is_killed_with_sdbox() {
    imap_is_killed_all_the_time("sdbox:~/sdbox");
}

#[test]
fn nothing_is_lost_when_imap_is_killed_with_mdbox() {
    imap_is_killed_all_the_time("mdbox:~/mdbox");
}

/// The master is killed: children end by themselves, and a new start works in spite of the pid file
/// and the sockets that are left.
#[test]
fn a_killed_master_leaves_nothing_behind_that_hinders_the_next() {
    let mut host = Builder::new(env!("CARGO_BIN_EXE_dovecot")).user("load", "pass").start();
    let master = host.master_pid();
    let session = host.login("user1");
    let children = harness::host::descendants(master);
    let fates = under_load(&host, "load", || {
        wait_for("some messages", || {
            let maildir = std::fs::read_dir(host.maildir("load").join("new")).ok()?;
            (maildir.count() > 10).then_some(())
        });
        kill_all(&[master]);
    });
    host.wait_master();
    drop(session);
    if Under::from_env() == Under::Ours {
        wait_for("all processes end by themselves", || {
            children.iter().all(|pid| kill(Pid::from_raw(*pid), None).is_err()).then_some(())
        });
    }
    assert!(host.dir().join("run/master.pid").exists());
    host.start();
    check(&fates, &subjects(&host, "load"));
}
