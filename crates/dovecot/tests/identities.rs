//! Users with system identities of their own: each gets a process of his identity, also when all
//! come at once.

use std::fs;
use std::os::unix::fs::chown;
use std::sync::{Arc, Barrier};

use harness::{Builder, Host, Under};

const USERS: u32 = 8;
const SESSIONS_EACH: u32 = 5;

/// A server whose users `own0`, `own1`, … have uids of their own.
fn host() -> Host {
    let mut host = Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .without_users()
        .config("mail_max_userip_connections = 0")
        .config("passdb {\n  driver = static\n  args = password=pass\n}")
        .config("userdb {\n  driver = passwd-file\n  args = @DIR@/homes\n}")
        .prepare();
    let mut homes = String::new();
    for number in 0..USERS {
        let (id, home) = (5100 + number, host.dir().join(format!("mail/own{number}")));
        fs::create_dir(&home).expect("a home");
        chown(&home, Some(id), Some(id)).expect("a home's owner");
        homes += &format!("own{number}::{id}:{id}::{}::\n", home.display());
    }
    // Of root's, so that whoever lives there cannot write.
    let (id, home) = (5100 + USERS, host.dir().join("mail/shut"));
    fs::create_dir(&home).expect("a home");
    homes += &format!("shut::{id}:{id}::{}::\n", home.display());
    fs::write(host.dir().join("homes"), homes).expect("the userdb");
    host.start();
    host
}

#[test]
fn first_logins_of_many_identities_at_once() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("left out: only root can give users identities of their own");
        return;
    }
    let host = Arc::new(host());
    let together = Arc::new(Barrier::new((USERS * SESSIONS_EACH) as usize));
    let sessions: Vec<_> = (0..USERS * SESSIONS_EACH)
        .map(|number| {
            let (host, together) = (host.clone(), together.clone());
            std::thread::spawn(move || {
                let mut client = host.connect("imap");
                together.wait();
                let user = format!("own{}", number % USERS);
                let lines = client.imap("in", &format!("LOGIN {user} pass"));
                assert!(lines.last().is_some_and(|line| line.starts_with("in OK")), "{lines:?}");
                let lines = client.imap("s", "SELECT INBOX");
                assert!(lines.last().is_some_and(|line| line.starts_with("s OK")), "{lines:?}");
                client
            })
        })
        .collect();
    let sessions: Vec<_> = sessions.into_iter().map(|thread| thread.join().expect("a session")).collect();
    for number in 0..USERS {
        let id = 5100 + number;
        let uids = host.pids("imap").into_iter().filter(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.contains(&format!("\nUid:\t{id}\t{id}\t{id}\t{id}\n"))
        });
        let count = uids.count();
        match host.under() {
            Under::Ours => assert!(count >= 1, "no process of uid {id}"),
            Under::Dovecot => assert_eq!(count, SESSIONS_EACH as usize),
        }
    }
    drop(sessions);
    assert!(!host.log().contains("Error:"), "{}", host.log());
}

/// What rights on disk forbid is the administrator's to mend: the client may come again, the log says what.
#[test]
fn a_home_that_cannot_be_written() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("left out: only root can give users identities of their own");
        return;
    }
    let host = host();
    let mut client = host.connect("pop3");
    client.send("USER shut\r\nPASS pass\r\n");
    let lines: Vec<_> = std::iter::from_fn(|| client.read_line()).collect();
    let last = lines.last().expect("an answer");
    assert!(last.starts_with("-ERR [SYS/TEMP] Internal error occurred. Refer to server log"), "{lines:?}");

    let mut client = host.connect("imap");
    let lines = client.imap("in", "LOGIN shut pass");
    assert!(lines.last().is_some_and(|line| line.starts_with("in OK")), "{lines:?}");
    for command in ["SELECT INBOX", "STATUS INBOX (MESSAGES)", "CREATE box"] {
        let lines = client.imap("a", command);
        let last = lines.last().expect("an answer");
        assert!(last.starts_with("a NO [SERVERBUG] Internal error occurred. Refer to server log"), "{last}");
    }
    for service in ["pop3", "imap"] {
        let log = host.log();
        let told = |line: &str| {
            line.contains(&format!("{service}(shut)")) && line.contains("failed: Permission denied")
        };
        assert!(log.lines().any(told), "{log}");
    }
}
