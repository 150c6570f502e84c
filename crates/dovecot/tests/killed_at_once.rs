//! Real Dovecot and Culver serve the same mail at the same time, and mail processes of both are killed again
//! and again: each message is there as often as what was acknowledged allows, no UID is given twice, in the
//! end both agree, and there is nothing that a forced resync has to mend.
//!
//! `KILLED_SECONDS` says for how long, `KILLED_SEED` what is done, `KILLED_SIDES` who serves: `both`, `ours`
//! (twice) or `dovecot` (twice). What failed is kept below `KILLED_KEEP`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::needs::HUNG;
use harness::{Client, Host, Random, SharedMail, Under, needs, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sessions on each side.
const SESSIONS: u64 = 3;
/// All is still between rounds, and is looked at.
const ROUND: Duration = Duration::from_secs(3);
const MAILBOXES: [&str; 2] = ["INBOX", "Other"];

/// One of the two servers, and where its LMTP is.
struct Side {
    host: Host,
    lmtp: SocketAddr,
}

impl Side {
    fn start(under: Under, mail: &SharedMail, driver: &str) -> Self {
        let lmtp = SocketAddr::from(([127, 0, 0, 1], harness::host::free_port()));
        let settings = format!(
            "mail_location = {driver}:~/mail\nmail_index_log_rotate_min_size = 8k\n\
             mail_index_log_rotate_min_age = 1s\nmail_index_log_rotate_max_size = 32k\n\
             mail_cache_purge_min_size = 0\nmail_cache_purge_delete_percentage = 5\n\
             mail_cache_purge_continued_percentage = 20\nmdbox_rotate_size = 64k\n\
             protocols = imap pop3 lmtp\npostmaster_address = p@example.com\n\
             service lmtp {{\n  inet_listener lmtp {{\n    address = 127.0.0.1\n    port = {}\n  }}\n}}\n",
            lmtp.port()
        );
        Self { host: mail.server(env!("CARGO_BIN_EXE_dovecot"), under, &settings), lmtp }
    }

    fn complaints(&self) -> Vec<String> {
        let words = ["Error:", "Warning:", "Panic:", "Fatal:"];
        let bad = |line: &&str| words.iter().any(|word| line.contains(word));
        self.host.log().lines().filter(bad).map(str::to_owned).collect()
    }
}

/// How often a message is in a mailbox: for certain, and at most.
#[derive(Clone, Copy, Debug, Default)]
struct Copies {
    certain: i32,
    possible: i32,
}

/// What an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Refused,
    /// Whoever did it was killed before it said so.
    Unknown,
}

/// What all sessions know together.
#[derive(Default)]
struct Ledger {
    copies: BTreeMap<(&'static str, String), Copies>,
    /// Which message was seen, or said to be, under which UID.
    uids: BTreeMap<(&'static str, u32, u32), String>,
    wrong: Vec<String>,
    events: String,
}

struct Shared {
    ledger: Mutex<Ledger>,
    began: Instant,
    number: AtomicU32,
    kills: AtomicU32,
    done: AtomicU32,
    stop: AtomicBool,
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn event(&self, what: &str) {
        let at = self.began.elapsed();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let (secs, micros) = (now.as_secs() % 86_400, now.subsec_micros());
        let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
        self.with(|ledger| {
            writeln!(ledger.events, "{at:?} {h:02}:{m:02}:{s:02}.{micros:06} {what}").unwrap();
        });
    }

    fn add(&self, mailbox: &'static str, id: &str, certain: i32, possible: i32) {
        self.with(|ledger| {
            let copies = ledger.copies.entry((mailbox, id.to_owned())).or_default();
            copies.certain += certain;
            copies.possible += possible;
        });
    }

    fn saw(&self, mailbox: &'static str, validity: u32, uid: u32, id: &str, who: &str) {
        self.with(|ledger| {
            let known = ledger.uids.entry((mailbox, validity, uid)).or_insert_with(|| id.to_owned());
            if known != id {
                let text = format!("{who}: {mailbox} {validity} UID {uid} was {known}, is {id}");
                ledger.wrong.push(text);
            }
        });
    }
}

struct Session<'a> {
    side: &'a Side,
    excuse: Excuse,
    shared: &'a Shared,
    name: String,
    random: Random,
    client: Option<Client>,
    validity: u32,
    /// Those of INBOX that are there once for certain, and that nobody else does something to.
    own: &'a mut Vec<String>,
    /// A file to save from.
    scratch: PathBuf,
}

impl Session<'_> {
    /// A session that has INBOX selected.
    fn log_in(&mut self) -> Option<()> {
        let mut client = log_in(&self.side.host)?;
        let lines = imap(&mut client, "SELECT INBOX")?;
        let line = lines.iter().find(|line| line.contains("UIDVALIDITY"))?;
        self.validity = code(line, "UIDVALIDITY", 0)?;
        self.client = Some(client);
        Some(())
    }

    /// Does a command; `None` if the session ended meanwhile.
    fn command(&mut self, command: &str) -> Option<(Outcome, Vec<String>)> {
        let short: String = command.chars().take(60).take_while(|&c| c != '\r').collect();
        if self.client.is_none() && self.log_in().is_none() {
            return None;
        }
        let lines = self.client.as_mut().and_then(|client| imap(client, command));
        let Some(lines) = lines else {
            self.client = None;
            self.shared.event(&format!("{} {short}: gone", self.name));
            return None;
        };
        let last = lines.last().cloned().unwrap_or_default();
        self.shared.event(&format!("{} {short}: {last}", self.name));
        match last.starts_with("x OK") {
            true => Some((Outcome::Done, lines)),
            false => Some((Outcome::Refused, lines)),
        }
    }

    fn step(&mut self) {
        self.shared.done.fetch_add(1, Ordering::Relaxed);
        match self.random.below(16) {
            0..=3 => self.append(),
            4 | 5 => match self.side.host.under() {
                Under::Dovecot => self.deliver(),
                Under::Ours => self.deliver_locally(),
            },
            6 => self.save(),
            7 | 8 => {
                let (sign, flags) = (["+", "-", ""][self.random.below(3) as usize], self.random.flags());
                let first = 1 + self.random.below(300);
                let last = first + self.random.below(5);
                self.command(&format!("UID STORE {first}:{last} {sign}FLAGS ({flags})"));
            }
            9 => self.copy(),
            10 | 11 => self.transfer(),
            12 | 13 => self.expunge(),
            14 if self.random.below(4) == 0 => {
                self.doveadm(&["purge", "-u", "user"], None);
            }
            _ => self.look(),
        }
    }

    /// Notes by how much the number of copies changes, for certain and at most.
    fn note(&self, mailbox: &'static str, id: &str, certain: i32, possible: i32) {
        let possible = match possible {
            1.. if self.excuse.comes_twice => 2 * possible,
            ..=-1 if self.excuse.stays => 0,
            _ => possible,
        };
        self.shared.add(mailbox, id, certain, possible);
    }

    fn new_message(&mut self) -> (String, String) {
        let id = format!("m{}x", self.shared.number.fetch_add(1, Ordering::Relaxed));
        let size = self.random.below(2000) as usize;
        let text = format!("From: a@example.com\r\nSubject: {id}\r\n\r\n{id}\r\n{}\r\n", "x".repeat(size));
        (id, text)
    }

    fn added(&mut self, id: String, outcome: Outcome) {
        match outcome {
            Outcome::Done => {
                self.note("INBOX", &id, 1, 1);
                self.own.push(id);
            }
            Outcome::Unknown => self.note("INBOX", &id, 0, 1),
            Outcome::Refused => self.note("INBOX", &id, 0, 0),
        }
    }

    fn append(&mut self) {
        if self.client.is_none() && self.log_in().is_none() {
            return;
        }
        let (id, text) = self.new_message();
        let flags = self.random.flags();
        let done = self.command(&format!("APPEND INBOX ({flags}) {{{}+}}\r\n{text}", text.len()));
        self.shared.event(&format!("{} that was {id}", self.name));
        if let Some((Outcome::Done, lines)) = &done
            && let Some(uid) = lines.last().and_then(|line| code(line, "APPENDUID", 1))
        {
            self.shared.saw("INBOX", self.validity, uid, &id, &self.name);
        }
        self.added(id, done.map_or(Outcome::Unknown, |done| done.0));
    }

    fn deliver(&mut self) {
        let (id, text) = self.new_message();
        let outcome = deliver(self.side.lmtp, &text);
        self.shared.event(&format!("{} LMTP {id}: {outcome:?}", self.name));
        if let Some(outcome) = outcome {
            self.added(id, outcome);
        }
    }

    fn deliver_locally(&mut self) {
        let (id, text) = self.new_message();
        std::fs::write(&self.scratch, text).expect("a file");
        let path = self.scratch.display().to_string();
        let outcome = self.run("dovecot-lda", &["-d", "user", "-p", &path], Some(&id));
        self.added(id, outcome);
    }

    fn save(&mut self) {
        let (id, text) = self.new_message();
        std::fs::write(&self.scratch, text).expect("a file");
        let path = self.scratch.display().to_string();
        let outcome = self.doveadm(&["save", "-u", "user", "-m", "INBOX", &path], Some(&id));
        self.added(id, outcome);
    }

    fn doveadm(&mut self, args: &[&str], id: Option<&str>) -> Outcome {
        self.run("doveadm", args, id)
    }

    /// Runs a program, which is killed now and then.
    fn run(&mut self, program: &str, args: &[&str], id: Option<&str>) -> Outcome {
        let host = &self.side.host;
        let mut command = Command::new(host.program(program));
        command.arg("-c").arg(host.conf()).args(args).stdin(Stdio::null()).stdout(Stdio::null());
        let errors = self.scratch.with_extension("err");
        command.stderr(std::fs::File::create(&errors).expect("a file"));
        let kills = self.random.below(2) == 0;
        let micros = 5_000 + self.random.below(60_000);
        let mut child = command.spawn().expect("a program");
        if kills {
            std::thread::sleep(Duration::from_micros(micros));
            let _ = child.kill();
        }
        let status = child.wait().expect("it ends");
        let outcome = match status.code() {
            Some(0) => Outcome::Done,
            Some(_) => Outcome::Refused,
            None => Outcome::Unknown,
        };
        if outcome == Outcome::Unknown {
            self.shared.kills.fetch_add(1, Ordering::Relaxed);
        }
        let said = std::fs::read_to_string(&errors).unwrap_or_default();
        self.shared.event(&format!("{} {program} {args:?} {id:?}: {status} {said}", self.name));
        outcome
    }

    /// Takes one of the own messages; it is to be given back if it is as it was.
    fn one(&mut self) -> Option<String> {
        let count = self.own.len() as u64;
        (count > 5).then(|| self.random.below(count) as usize).map(|at| self.own.swap_remove(at))
    }

    /// The UID of an own message in INBOX.
    fn uid(&mut self, id: &str) -> Option<u32> {
        let (outcome, lines) = self.command(&format!("UID SEARCH SUBJECT {id}"))?;
        let line = lines.iter().find(|line| line.starts_with("* SEARCH"))?;
        let uids: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        if uids.len() != 1 && outcome == Outcome::Done {
            self.shared.event(&format!("{} {id} should be there once: {uids:?}", self.name));
        }
        uids.first().copied()
    }

    fn copy(&mut self) {
        let Some(id) = self.one() else { return };
        let outcome = if self.random.below(3) == 0 {
            let args = ["copy", "-u", "user", "Other", "mailbox", "INBOX", "header", "subject", &id];
            self.doveadm(&args, None)
        } else {
            let Some(uid) = self.uid(&id) else { return self.own.push(id) };
            self.command(&format!("UID COPY {uid} Other")).map_or(Outcome::Unknown, |done| done.0)
        };
        match outcome {
            Outcome::Done => self.note("Other", &id, 1, 1),
            Outcome::Refused => {}
            Outcome::Unknown => self.note("Other", &id, 0, 1),
        }
        self.own.push(id);
    }

    fn transfer(&mut self) {
        let Some(id) = self.one() else { return };
        let outcome = if self.random.below(3) == 0 {
            let args = ["move", "-u", "user", "Other", "mailbox", "INBOX", "header", "subject", &id];
            self.doveadm(&args, None)
        } else {
            let Some(uid) = self.uid(&id) else { return self.own.push(id) };
            self.command(&format!("UID MOVE {uid} Other")).map_or(Outcome::Unknown, |done| done.0)
        };
        match outcome {
            Outcome::Done => {
                self.note("INBOX", &id, -1, -1);
                self.note("Other", &id, 1, 1);
            }
            Outcome::Refused => self.own.push(id),
            Outcome::Unknown => {
                self.note("INBOX", &id, -1, 0);
                self.note("Other", &id, 0, 1);
            }
        }
    }

    fn expunge(&mut self) {
        let Some(id) = self.one() else { return };
        let outcome = if self.random.below(3) == 0 {
            self.doveadm(&["expunge", "-u", "user", "mailbox", "INBOX", "header", "subject", &id], None)
        } else {
            let Some(uid) = self.uid(&id) else { return self.own.push(id) };
            let flagged = self.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
            if flagged.is_none_or(|done| done.0 != Outcome::Done) {
                return self.own.push(id);
            }
            match self.command(&format!("UID EXPUNGE {uid}")) {
                None => Outcome::Unknown,
                Some((Outcome::Done, _)) => {
                    // Another session may have taken the flag away at that moment.
                    let left = self.command(&format!("UID FETCH {uid} FLAGS"));
                    let is_there = |line: &String| line.contains(&format!("UID {uid}"));
                    match left {
                        None => Outcome::Unknown,
                        Some((_, lines)) if lines.iter().any(is_there) => Outcome::Refused,
                        Some(_) => Outcome::Done,
                    }
                }
                Some((outcome, _)) => outcome,
            }
        };
        match outcome {
            Outcome::Done => self.note("INBOX", &id, -1, -1),
            Outcome::Refused => self.own.push(id),
            Outcome::Unknown => self.note("INBOX", &id, -1, 0),
        }
    }

    fn look(&mut self) {
        self.command("NOOP");
        if let Some((_, lines)) = self.command("UID FETCH 1:* (FLAGS ENVELOPE RFC822.SIZE)") {
            for (uid, id) in subjects(&lines) {
                self.shared.saw("INBOX", self.validity, uid, &id, &self.name);
            }
        }
        self.command("LIST \"\" * RETURN (STATUS (MESSAGES SIZE))");
    }
}

/// UIDs and the messages that they are, by what ENVELOPE or the header says.
fn subjects(lines: &[String]) -> Vec<(u32, String)> {
    let pair = |line: &String| {
        let uid = code(line, "UID ", 0)?;
        let id = line.split(['"', ' ', '\r', '\n']).find(|word| is_id(word))?;
        Some((uid, id.to_owned()))
    };
    lines.iter().filter(|line| line.contains(" FETCH (")).filter_map(pair).collect()
}

fn is_id(word: &str) -> bool {
    let digits = word.strip_prefix('m').and_then(|rest| rest.strip_suffix('x'));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A number of a response code.
fn code(line: &str, name: &str, at: usize) -> Option<u32> {
    let rest = line.split_once(name)?.1;
    rest.split([' ', ']', ')']).filter(|word| !word.is_empty()).nth(at)?.parse().ok()
}

/// Does a command; `None` if the connection ended meanwhile.
fn imap(client: &mut Client, command: &str) -> Option<Vec<String>> {
    client.try_send(format!("x {command}\r\n").as_bytes()).ok()?;
    let mut lines = Vec::new();
    loop {
        let mut line = client.read_line()?;
        while let Some(size) = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')) {
            let Ok(size) = size.1.parse() else { break };
            let literal = client.try_read(size)?;
            line.push_str("\r\n");
            line.push_str(&String::from_utf8_lossy(&literal));
            line.push_str(&client.read_line()?);
        }
        let is_last = line.starts_with("x ");
        lines.push(line);
        if is_last {
            return Some(lines);
        }
    }
}

fn log_in(host: &Host) -> Option<Client> {
    let mut client = Client::over(TcpStream::connect(host.address("imap")).ok()?);
    client.read_line()?;
    let lines = imap(&mut client, "LOGIN user pass")?;
    lines.last()?.starts_with("x OK").then_some(client)
}

/// Delivers a message by LMTP; `None` if it was not even sent.
fn deliver(address: SocketAddr, text: &str) -> Option<Outcome> {
    let mut client = Client::over(TcpStream::connect(address).ok()?);
    client.read_line()?;
    let mut answer = |line: &str| {
        client.try_send(line.as_bytes()).ok()?;
        loop {
            let line = client.read_line()?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(line);
            }
        }
    };
    answer("LHLO test\r\n")?;
    answer("MAIL FROM:<a@example.com>\r\n")?;
    answer("RCPT TO:<user>\r\n")?.starts_with("250").then_some(())?;
    answer("DATA\r\n")?.starts_with("354").then_some(())?;
    Some(match answer(&format!("{text}.\r\n")) {
        Some(line) if line.starts_with("250") => Outcome::Done,
        Some(_) => Outcome::Refused,
        None => Outcome::Unknown,
    })
}

/// What 2.3 does when its processes are killed, also where nobody else is at work (`KILLED_SIDES=dovecot`).
#[derive(Clone, Copy)]
struct Excuse {
    /// A message that it saves is there twice. Of an mdbox that somebody died in it reads all files, also where
    /// another of its processes is adding a message right now: that one is put into its mailbox as if it had been
    /// lost, and comes once more when it is saved. Those that we are saving come once.
    comes_twice: bool,
    /// A message that is moved or expunged is there all the same. In a session that is open while an mdbox is
    /// rebuilt MOVE may copy without removing; an sdbox gets all files back that whoever died had not removed yet,
    /// whoever that was.
    stays: bool,
}

impl Excuse {
    fn of(driver: &str, sides: &[Side; 2], under: Under) -> Self {
        let is_there = sides.iter().any(|side| side.host.under() == Under::Dovecot);
        let comes_twice = driver == "mdbox" && under == Under::Dovecot;
        Self { comes_twice, stays: comes_twice || driver == "sdbox" && is_there }
    }
}

/// Words of damage that a kill explains.
const EXPLAINED: [(&str, &str); 4] = [
    // A message of which half is there.
    ("mdbox", "Corrupted dbox file"),
    ("mdbox", "Copy of the broken file saved to"),
    // 2.3 counts again what whoever died had counted already, and looks at all files then.
    ("mdbox", "refcount too low"),
    // The cache was written anew, and its writer died before the index knew.
    ("", "Deleting corrupted cache: reset_id mismatch even after locking"),
];

/// Lines about damage that no kill explains.
fn unexplained(driver: &str, side: &Side) -> Vec<String> {
    let is_bad = |line: &String| ["roken ", "orrupt", "Panic:"].iter().any(|word| line.contains(word));
    let is_explained = |line: &String| {
        EXPLAINED.iter().any(|(only, words)| driver.starts_with(only) && line.contains(words))
            || line.contains("Broken pipe")
    };
    side.complaints().into_iter().filter(|line| is_bad(line) && !is_explained(line)).collect()
}

/// What a server complained of, without what is in angle brackets and with 0 for numbers, and how often.
fn kinds(side: &Side) -> BTreeMap<String, u32> {
    let mut kinds = BTreeMap::new();
    for line in side.complaints() {
        let (mut kind, mut depth) = (String::new(), 0);
        // The time goes.
        for c in line.chars().skip(20) {
            match c {
                '<' => depth += 1,
                '>' => depth -= 1,
                _ if depth > 0 => {}
                '0'..='9' if kind.ends_with('0') => {}
                '0'..='9' => kind.push('0'),
                _ => kind.push(c),
            }
        }
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// What is in a mailbox, as one server shows it: what both must agree about, by UID.
struct State {
    validity: u32,
    messages: BTreeMap<u32, String>,
    ids: Vec<(u32, String)>,
    modseqs: String,
}

fn state(host: &Host, name: &str) -> Option<State> {
    let mut client = log_in(host)?;
    let selected = imap(&mut client, &format!("SELECT {name}"))?;
    let validity = selected.iter().find_map(|line| code(line, "UIDVALIDITY", 0))?;
    let items = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[])";
    let lines = imap(&mut client, &format!("UID FETCH 1:* {items}"))?;
    if !lines.last()?.starts_with("x OK") {
        return None;
    }
    let (ids, mut messages) = (subjects(&lines), BTreeMap::new());
    for line in lines.iter().filter(|line| line.contains(" FETCH (")) {
        let uid = code(line, "UID ", 0)?;
        let (_, rest) = line.split_once("FLAGS (")?;
        let (flags, after) = rest.split_once(')')?;
        let mut flags: Vec<_> = flags.split(' ').filter(|flag| *flag != "\\Recent").collect();
        flags.sort_unstable();
        messages.insert(uid, format!("({}){after}", flags.join(" ")));
    }
    let modseqs = host.doveadm(&["-f", "tab", "fetch", "-u", "user", "uid modseq", "mailbox", name]);
    Some(State { validity, messages, ids, modseqs })
}

/// Looks at the mail by one server, twice: what is wrong is mended with the first look.
fn settled(host: &Host, name: &str) -> State {
    let _ = state(host, name);
    wait_for(&format!("all of {name}"), || state(host, name))
}

/// Holds what a server shows against what was acknowledged.
fn compare(shared: &Shared, host: &Host, when: &str) {
    for mailbox in MAILBOXES {
        let state = settled(host, mailbox);
        let mut found: BTreeMap<&str, i32> = BTreeMap::new();
        for (uid, id) in &state.ids {
            *found.entry(id).or_default() += 1;
            shared.saw(mailbox, state.validity, *uid, id, when);
        }
        shared.with(|ledger| {
            if state.ids.len() != state.messages.len() {
                ledger.wrong.push(format!("{when}: {mailbox}: {:?}", state.messages));
            }
            let of_it = ledger.copies.iter().filter(|((name, _), _)| *name == mailbox);
            let mut wrong = Vec::new();
            for ((_, id), copies) in of_it {
                let count = found.remove(id.as_str()).unwrap_or(0);
                if count < copies.certain || count > copies.possible {
                    let uids: Vec<_> = state.ids.iter().filter(|one| one.1 == *id).map(|one| one.0).collect();
                    wrong.push(format!(
                        "{when}: {:?}: {mailbox}: {id} is there {count} times {uids:?}, should be {copies:?}",
                        host.under()
                    ));
                }
            }
            wrong.extend(found.iter().map(|more| format!("{when}: {mailbox}: what is {more:?}?")));
            let mut validities: Vec<u32> =
                ledger.uids.keys().filter(|key| key.0 == mailbox).map(|key| key.1).collect();
            validities.dedup();
            if validities.len() > 1 {
                wrong.push(format!("{when}: {mailbox}: UIDVALIDITY was {validities:?}"));
            }
            ledger.wrong.extend(wrong);
        });
    }
}

/// Both servers show the same.
fn agree(shared: &Shared, sides: &[Side; 2], when: &str) {
    for mailbox in MAILBOXES {
        let [a, b] = [settled(&sides[0].host, mailbox), settled(&sides[1].host, mailbox)];
        let differ: Vec<_> =
            a.messages.iter().filter(|(uid, text)| b.messages.get(uid) != Some(text)).collect();
        shared.with(|ledger| {
            if a.messages != b.messages || a.validity != b.validity {
                let other: Vec<_> = differ.iter().map(|one| b.messages.get(one.0)).collect();
                ledger.wrong.push(format!("{when}: {mailbox}: {differ:?} or {other:?}"));
            }
            if a.modseqs != b.modseqs {
                ledger.wrong.push(format!("{when}: {mailbox}: modseqs {} or {}", a.modseqs, b.modseqs));
            }
        });
    }
}

/// Kills mail processes of both sides until told to stop.
fn killer(sides: &[Side; 2], shared: &Shared, seed: u64) {
    let mut random = Random(seed);
    let mut below = |end| random.below(end);
    while !shared.stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_micros(5_000 + below(80_000)));
        let side = &sides[below(2) as usize];
        let service = ["imap", "imap", "lmtp"][below(3) as usize];
        let mut pids = side.host.pids(service);
        pids.retain(|&pid| is_at_work(pid));
        if pids.is_empty() {
            continue;
        }
        let pid = pids[below(pids.len() as u64) as usize];
        if kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
            shared.kills.fetch_add(1, Ordering::Relaxed);
            shared.event(&format!("killed {pid} of {:?}", side.host.under()));
        }
    }
}

/// Whether a process has become the owner of mail. A master whose processes die before that starts others
/// less and less often.
fn is_at_work(pid: i32) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    !is_root
        || std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == harness::host::MAIL_ID)
}

/// Everybody is at work for a while.
fn round(
    driver: &str,
    sides: &[Side; 2],
    shared: &Shared,
    owns: &mut [Vec<String>],
    seed: u64,
    place: &Path,
) {
    shared.stop.store(false, Ordering::Relaxed);
    let until = Instant::now() + ROUND;
    std::thread::scope(|scope| {
        let workers: Vec<_> = owns
            .iter_mut()
            .enumerate()
            .map(|(number, own)| {
                scope.spawn(move || {
                    let side = &sides[number % 2];
                    let name = format!("{number} {:?}", side.host.under());
                    let random = Random(seed * 1000 + number as u64);
                    let scratch = place.join(format!("message{number}"));
                    let excuse = Excuse::of(driver, sides, side.host.under());
                    let (client, validity) = (None, 0);
                    let mut session =
                        Session { side, excuse, shared, name, random, client, validity, own, scratch };
                    while Instant::now() < until {
                        session.step();
                    }
                })
            })
            .collect();
        let killer = scope.spawn(|| killer(sides, shared, seed));
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        shared.stop.store(true, Ordering::Relaxed);
        killer.join().expect("the killer");
        results.into_iter().for_each(|result| result.expect("a session"));
    });
}

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn check(driver: &str) {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let unders = match std::env::var("KILLED_SIDES").as_deref() {
        Ok("ours") => [Under::Ours, Under::Ours],
        Ok("dovecot") => [Under::Dovecot, Under::Dovecot],
        Ok("both") | Err(_) => [Under::Dovecot, Under::Ours],
        Ok(other) => panic!("KILLED_SIDES is both, ours or dovecot, not {other}"),
    };
    let mail = SharedMail::new();
    let sides = unders.map(|under| Side::start(under, &mail, driver));
    assert!(imap(&mut log_in(&sides[0].host).expect("a login"), "CREATE Other").is_some());
    let shared = Shared {
        ledger: Mutex::default(),
        began: Instant::now(),
        number: AtomicU32::new(0),
        kills: AtomicU32::new(0),
        done: AtomicU32::new(0),
        stop: AtomicBool::new(false),
    };
    let place = tempfile::tempdir().expect("a directory");
    let (seed, seconds) = (number_of("KILLED_SEED", 1), number_of("KILLED_SECONDS", 3));
    let mut owns: Vec<Vec<String>> = (0..SESSIONS * 2).map(|_| Vec::new()).collect();
    for number in 0.. {
        round(driver, &sides, &shared, &mut owns, seed * 1000 + number, place.path());
        compare(&shared, &sides[number as usize % 2].host, &format!("round {number}"));
        let is_wrong = shared.with(|ledger| !ledger.wrong.is_empty());
        let elapsed = shared.began.elapsed();
        let enough = shared.kills.load(Ordering::Relaxed) >= 10 && shared.done.load(Ordering::Relaxed) >= 100;
        if is_wrong || elapsed >= Duration::from_secs(seconds) && enough || elapsed >= HUNG {
            break;
        }
    }
    if shared.with(|ledger| ledger.wrong.is_empty()) {
        agree(&shared, &sides, "in the end");
        let resync = sides[0].host.run("doveadm", &["force-resync", "-u", "user", "*"]);
        shared.event(&format!("force-resync: {}", String::from_utf8_lossy(&resync.stderr)));
        for side in &sides {
            compare(&shared, &side.host, "after force-resync");
        }
        agree(&shared, &sides, "after force-resync");
    }
    for side in &sides {
        let lines = unexplained(driver, side);
        shared.with(|ledger| ledger.wrong.extend(lines));
    }
    let (kills, done) = (shared.kills.load(Ordering::Relaxed), shared.done.load(Ordering::Relaxed));
    let (wrong, events) =
        shared.with(|ledger| (std::mem::take(&mut ledger.wrong), std::mem::take(&mut ledger.events)));
    eprintln!("{driver}: {kills} killed, {done} operations");
    for side in &sides {
        kinds(side).iter().for_each(|(kind, count)| eprintln!("{:?} {count} {kind}", side.host.under()));
    }
    if let Some(place) = std::env::var_os("KILLED_KEEP").filter(|_| !wrong.is_empty()) {
        keep(&Path::new(&place).join(format!("{driver}-{seed}")), &mail, &sides, &wrong, &events);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(kills > 0 && done > 0, "{kills} were killed, {done} operations");
}

/// Keeps all that there is of a test that failed.
fn keep(place: &Path, mail: &SharedMail, sides: &[Side; 2], wrong: &[String], events: &str) {
    std::fs::create_dir_all(place).expect("a directory");
    std::fs::write(place.join("events"), events).expect("a file");
    std::fs::write(place.join("wrong"), wrong.join("\n")).expect("a file");
    for (number, side) in sides.iter().enumerate() {
        std::fs::write(place.join(format!("log{number}")), side.host.log()).expect("a file");
    }
    let _ = Command::new("cp").arg("-a").arg(mail.home("user")).arg(place).status();
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
