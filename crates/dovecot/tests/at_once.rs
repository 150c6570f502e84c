//! Real Dovecot and Culver serve the same mail at the same time, with several sessions each that append,
//! flag, copy, move and expunge: nothing acknowledged is lost, in the end both agree, and neither has
//! complained.
//!
//! `AT_ONCE_SECONDS` says how long, `AT_ONCE_SEED` what they do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::{Client, Host, Random, SharedMail, Under, needs};

/// Sessions on each side.
const SESSIONS: u64 = 3;

fn server(under: Under, mail: &SharedMail, driver: &str) -> Host {
    let settings = format!(
        "mail_location = {driver}:~/mail\nmail_index_log_rotate_min_size = 8k\n\
         mail_index_log_rotate_min_age = 1s\nmail_index_log_rotate_max_size = 32k\n\
         mail_cache_purge_min_size = 0\nmail_cache_purge_delete_percentage = 5\n\
         mail_cache_purge_continued_percentage = 20\nmdbox_rotate_size = 64k\n"
    );
    mail.server(env!("CARGO_BIN_EXE_dovecot"), under, &settings)
}

/// A command that must be answered with OK.
fn ok(client: &mut Client, command: &str) -> Vec<String> {
    let lines = client.imap("x", command);
    let last = lines.last().cloned().unwrap_or_default();
    assert!(last.starts_with("x OK"), "{command}: {last}");
    lines
}

/// What one session is sure of: UIDs and subjects, by mailbox.
#[derive(Default)]
struct Ledger {
    added: Vec<(&'static str, u32, String)>,
    removed: Vec<(&'static str, u32)>,
}

struct Session<'a> {
    client: Client,
    random: Random,
    number: &'a AtomicU32,
    /// Those of INBOX that this session added and nobody else removes.
    own: Vec<(u32, String)>,
    ledger: Ledger,
}

impl Session<'_> {
    fn step(&mut self) {
        match self.random.below(10) {
            0..=2 => self.append(),
            3..=5 => {
                let (sign, flags) = (["+", "-", ""][self.random.below(3) as usize], self.random.flags());
                let highest = u64::from(self.own.iter().map(|own| own.0).max().unwrap_or(1));
                let first = 1 + self.random.below(highest);
                let last = first + self.random.below(5);
                ok(&mut self.client, &format!("UID STORE {first}:{last} {sign}FLAGS ({flags})"));
            }
            6 => self.copy("COPY"),
            7 if self.own.len() > 5 => self.copy("MOVE"),
            8 if self.own.len() > 5 => self.expunge(),
            _ => {
                ok(&mut self.client, "NOOP");
                ok(&mut self.client, "UID FETCH 1:* (FLAGS ENVELOPE RFC822.SIZE)");
                // Sizes are added up under a lock of their own.
                ok(&mut self.client, "LIST \"\" * RETURN (STATUS (MESSAGES SIZE))");
            }
        }
    }

    fn append(&mut self) {
        let subject = format!("m{}", self.number.fetch_add(1, Ordering::Relaxed));
        let size = self.random.below(2000) as usize;
        let text = format!("From: a@example.com\r\nSubject: {subject}\r\n\r\n{}\r\n", "x".repeat(size));
        let flags = self.random.flags();
        let lines = ok(&mut self.client, &format!("APPEND INBOX ({flags}) {{{}+}}\r\n{text}", text.len()));
        let uid = code(lines.last().unwrap(), "APPENDUID", 1);
        self.own.push((uid, subject.clone()));
        self.ledger.added.push(("INBOX", uid, subject));
    }

    fn one(&mut self) -> Option<usize> {
        let count = self.own.len() as u64;
        (count > 0).then(|| self.random.below(count) as usize)
    }

    fn copy(&mut self, command: &str) {
        let Some(at) = self.one() else { return };
        let (uid, subject) = self.own[at].clone();
        let lines = ok(&mut self.client, &format!("UID {command} {uid} Other"));
        let line = lines.iter().find(|line| line.contains("COPYUID"));
        let line = line.unwrap_or_else(|| panic!("{command} {uid} of {subject}: {lines:?}"));
        self.ledger.added.push(("Other", code(line, "COPYUID", 2), subject));
        if command == "MOVE" {
            self.own.remove(at);
            self.ledger.removed.push(("INBOX", uid));
        }
    }

    fn expunge(&mut self) {
        let Some(at) = self.one() else { return };
        let (uid, subject) = self.own.remove(at);
        ok(&mut self.client, &format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
        ok(&mut self.client, &format!("UID EXPUNGE {uid}"));
        // Another session may have taken the flag away at that moment.
        let left = ok(&mut self.client, &format!("UID FETCH {uid} FLAGS"));
        if left
            .iter()
            .any(|line| line.contains(&format!("UID {uid} ")) || line.contains(&format!("UID {uid})")))
        {
            self.own.push((uid, subject));
        } else {
            self.ledger.removed.push(("INBOX", uid));
        }
    }
}

/// A number of a response code.
fn code(line: &str, name: &str, at: usize) -> u32 {
    let rest = line.split_once(name).unwrap_or_else(|| panic!("{name} in {line}")).1;
    let word = rest.split([' ', ']']).filter(|word| !word.is_empty()).nth(at);
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("a number in {line}"))
}

fn work(host: &Host, seed: u64, number: &AtomicU32, until: Instant) -> Ledger {
    let mut client = host.login("user");
    ok(&mut client, "SELECT INBOX");
    let mut session =
        Session { client, random: Random(seed), number, own: Vec::new(), ledger: Ledger::default() };
    session.append();
    while Instant::now() < until {
        session.step();
    }
    ok(&mut session.client, "LOGOUT");
    session.ledger
}

/// `UID` to all that both must agree about.
fn state(host: &Host, name: &str) -> BTreeMap<u32, String> {
    let mut client = host.login("user");
    ok(&mut client, &format!("EXAMINE {name}"));
    let items = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])";
    let lines = ok(&mut client, &format!("UID FETCH 1:* {items}"));
    let mut found = BTreeMap::new();
    for line in lines.iter().filter(|line| line.contains(" FETCH (")) {
        let uid = code(line, "UID ", 0);
        let (_, rest) = line.split_once("FLAGS (").expect("flags");
        let (flags, after) = rest.split_once(')').expect("flags end");
        let mut flags: Vec<_> = flags.split(' ').filter(|flag| *flag != "\\Recent").collect();
        flags.sort_unstable();
        assert!(found.insert(uid, format!("({}){after}", flags.join(" "))).is_none(), "UID {uid} twice");
    }
    found
}

fn complaints(host: &Host) -> Vec<String> {
    let words = ["Error:", "Warning:", "Panic:", "Fatal:"];
    // Where much is going on besides, 2.3's master complains of its clock.
    let is_clock = |line: &str| line.contains("Time moved forwards");
    let bad = |line: &&str| words.iter().any(|word| line.contains(word)) && !is_clock(line);
    host.log().lines().filter(bad).map(str::to_owned).collect()
}

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn check(driver: &str) {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let mail = SharedMail::new();
    let hosts = [server(Under::Dovecot, &mail, driver), server(Under::Ours, &mail, driver)];
    ok(&mut hosts[0].login("user"), "CREATE Other");
    let seed = number_of("AT_ONCE_SEED", 1);
    let until = Instant::now() + Duration::from_secs(number_of("AT_ONCE_SECONDS", 5));
    let number = AtomicU32::new(0);
    let ledgers: Vec<Ledger> = std::thread::scope(|scope| {
        let (number, mut all) = (&number, Vec::new());
        for (side, host) in hosts.iter().enumerate() {
            for session in 0..SESSIONS {
                let seed = seed * 1000 + side as u64 * 100 + session;
                all.push(scope.spawn(move || work(host, seed, number, until)));
            }
        }
        all.into_iter().map(|one| one.join().expect("a session")).collect()
    });
    for name in ["INBOX", "Other"] {
        let [theirs, ours] = [state(&hosts[0], name), state(&hosts[1], name)];
        let mut expected: BTreeMap<u32, &str> = BTreeMap::new();
        for (_, uid, subject) in ledgers.iter().flat_map(|ledger| &ledger.added).filter(|one| one.0 == name) {
            assert!(expected.insert(*uid, subject).is_none(), "{name}: UID {uid} was given twice");
        }
        for (_, uid) in ledgers.iter().flat_map(|ledger| &ledger.removed).filter(|one| one.0 == name) {
            expected.remove(uid);
        }
        let lost: Vec<_> = expected.iter().filter(|(uid, _)| !ours.contains_key(uid)).collect();
        let more: Vec<_> = ours.iter().filter(|(uid, _)| !expected.contains_key(uid)).collect();
        let other: Vec<_> = expected
            .iter()
            .filter(|(uid, subject)| {
                ours.get(uid).is_some_and(|text| !text.contains(&format!("Subject: {subject}\r")))
            })
            .collect();
        assert!(
            lost.is_empty() && more.is_empty() && other.is_empty(),
            "{name}: lost {lost:?}, too many {more:?}, another message {other:?}; {:#?}",
            hosts.iter().map(complaints).collect::<Vec<_>>()
        );
        let differ: Vec<_> =
            theirs.iter().filter(|(uid, text)| ours.get(uid) != Some(text)).take(5).collect();
        assert!(
            theirs == ours,
            "{name}: theirs {differ:?}, ours {:?}",
            differ.iter().map(|one| ours.get(one.0)).collect::<Vec<_>>()
        );
    }
    for name in ["INBOX", "Other"] {
        let modseqs = |host: &Host| {
            let args = ["-f", "tab", "fetch", "-u", "user", "uid modseq", "mailbox", name];
            host.doveadm(&args)
        };
        assert_eq!(modseqs(&hosts[0]), modseqs(&hosts[1]), "{name}");
    }
    for host in &hosts {
        assert_eq!(complaints(host), Vec::<String>::new(), "{:?}", host.under());
    }
    // It looks at everything, and finds nothing to mend.
    let before = [state(&hosts[1], "INBOX"), state(&hosts[1], "Other")];
    let resync = hosts[0].run("doveadm", &["force-resync", "-u", "user", "*"]);
    let words = String::from_utf8_lossy(&resync.stderr).into_owned();
    let expected = |line: &&str| {
        !line.contains("fscking index file") && !line.to_lowercase().contains("rebuilding index")
    };
    assert_eq!(words.lines().find(expected), None);
    let after = [state(&hosts[1], "INBOX"), state(&hosts[1], "Other")];
    assert_eq!(after, before, "after force-resync");
}

#[test]
fn maildir() {
    check("maildir");
}

#[test]
fn sdbox() {
    check("sdbox");
}

#[test]
fn mdbox() {
    check("mdbox");
}
