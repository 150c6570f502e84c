//! Real Dovecot on a Maildir in a temporary directory, what its `doveadm dump` says, and as much of a
//! transaction log as it takes to tell it about offsets.
#![allow(dead_code, unreachable_pub)]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use base::{Logger, Uid};
use index::cache::layout::offset_to_packed;
use index::cache::{Cache, CachePlace, CacheSettings, IndexFacts};
use index::fs::{Fs, Permissions};

const DOVEADM: &str = "/usr/bin/doveadm";
const IMAP: [&str; 2] = ["/usr/lib/dovecot/imap", "/usr/libexec/dovecot/imap"];

/// Real Dovecot. Started by root it works as `nobody`, who then owns the files.
pub struct Real {
    pub dir: tempfile::TempDir,
}

impl Real {
    /// `None`, with a word about it, where Dovecot is not installed.
    pub fn new(extra: &str) -> Option<Self> {
        if !Path::new(DOVEADM).exists() || !Path::new("/usr/sbin/dovecot").exists() {
            assert_ne!(std::env::var("REQUIRE").as_deref(), Ok("all"), "real Dovecot is not installed");
            eprintln!("left out: real Dovecot is not installed");
            return None;
        }
        let real = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(real.root().join(name)).unwrap();
        }
        let (dir, root, id) = (real.dir.path().display(), real.root().display().to_string(), real.id());
        let config = format!(
            "base_dir = {dir}/run\nstate_dir = {dir}/run\nlog_path = /dev/stderr\nmail_location = maildir:{root}\n\
             mail_uid = {id}\nmail_gid = {id}\nfirst_valid_uid = 1\nfirst_valid_gid = 1\nssl = no\n\
             mail_home = {dir}\nnamespace inbox {{\n  inbox = yes\n}}\n{extra}\n"
        );
        std::fs::write(real.dir.path().join("dovecot.conf"), config).unwrap();
        Some(real)
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("Maildir")
    }

    pub fn deliver(&self, messages: &[&str]) {
        for (number, message) in messages.iter().enumerate() {
            std::fs::write(self.root().join(format!("new/{}.M1P1.x", 1_700_000_000 + number)), message)
                .unwrap();
        }
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn id(&self) -> u32 {
        if Self::is_root() { 65534 } else { rustix::process::geteuid().as_raw() }
    }

    /// Gives what we wrote to the user that Dovecot works as.
    pub fn own(&self) {
        fn walk(path: &Path, id: u32) {
            let _ = std::os::unix::fs::lchown(path, Some(id), Some(id));
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.for_each(|entry| walk(&entry.path(), id));
        }
        if Self::is_root() {
            walk(self.dir.path(), self.id());
        }
    }

    /// Runs doveadm; gives its output and what it logged.
    pub fn try_run(&self, args: &[&str]) -> (String, String) {
        let mut command = Command::new(DOVEADM);
        command.arg("-c").arg(self.dir.path().join("dovecot.conf")).args(args);
        self.output(command, "")
    }

    /// Runs doveadm, which must complain of nothing.
    pub fn run(&self, args: &[&str]) -> String {
        let (output, errors) = self.try_run(args);
        assert!(errors.is_empty(), "{args:?}: {errors}");
        output
    }

    /// What an IMAP session answers. It must complain of nothing.
    pub fn imap(&self, commands: &str) -> String {
        let imap = IMAP.into_iter().find(|path| Path::new(path).exists()).expect("imap is part of Dovecot");
        let mut command = Command::new(imap);
        command.arg("-c").arg(self.dir.path().join("dovecot.conf"));
        if Self::is_root() {
            command.uid(self.id()).gid(self.id());
            // Where only the owner may enter the directory above, nobody else can work.
            std::fs::set_permissions(self.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
        }
        let (output, log) = self.output(command, commands);
        assert!(!log.contains("Error") && !log.contains("Warning") && !log.contains("Panic"), "{log}");
        output
    }

    fn output(&self, mut command: Command, input: &str) -> (String, String) {
        self.own();
        let spawned = command
            .env("USER", "tester")
            .env("HOME", self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }

    pub fn dump(&self) -> Dump {
        Dump::parse(&self.run(&["dump", self.root().to_str().unwrap()]))
    }

    pub fn cache_with(&self, settings: CacheSettings) -> Cache {
        self.cache_logging(settings, Logger::new("test: "))
    }

    pub fn cache_logging(&self, settings: CacheSettings, logger: Logger) -> Cache {
        let place = CachePlace {
            path: self.root().join("dovecot.index.cache"),
            permissions: Permissions::default(),
            readonly: false,
            about: "Mailbox INBOX: ".into(),
        };
        Cache::new(Fs::default(), place, settings, logger)
    }

    pub fn cache(&self) -> Cache {
        self.cache_with(CacheSettings { never_fields: String::new(), ..CacheSettings::default() })
    }

    /// Tells the index about offsets, after a reset of the extension if `reset` names a new `reset_id`.
    /// As the log's lock would have it, nothing else is running.
    pub fn write_offsets(&self, dump: &Dump, reset: Option<u32>, offsets: &[(Uid, u32)]) {
        let mut log = Vec::new();
        let current = dump.reset_id.unwrap_or(0);
        if let Some(reset_id) = reset.filter(|_| dump.reset_id.is_some()) {
            log.extend(dump.intro(current));
            log.extend(transaction(0x80, &[reset_id.to_ne_bytes(), [0; 4]].concat()));
        }
        log.extend(dump.intro(reset.unwrap_or(current)));
        let updates: Vec<u8> = offsets
            .iter()
            .flat_map(|(uid, offset)| [uid.get().to_ne_bytes(), offset.to_ne_bytes()].concat())
            .collect();
        log.extend(transaction(0x200, &updates));
        let path = self.root().join("dovecot.index.log");
        OpenOptions::new().append(true).open(path).unwrap().write_all(&log).unwrap();
    }

    pub fn cache_file(&self) -> File {
        let path = self.root().join("dovecot.index.cache");
        OpenOptions::new().read(true).write(true).open(path).unwrap()
    }
}

static LINES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// What is logged by whoever gets the logger.
pub fn logged(prefix: &str, work: impl FnOnce(Logger)) -> Vec<String> {
    base::log::install(|_, prefix, text| LINES.lock().unwrap().push((prefix.to_owned(), text.to_owned())));
    work(Logger::new(prefix.to_owned()));
    let mut lines = LINES.lock().unwrap();
    let (ours, others) = lines.drain(..).partition(|(from, _)| from == prefix);
    *lines = others;
    let ours: Vec<(String, String)> = ours;
    ours.into_iter().map(|(_, text)| text).collect()
}

/// One transaction of the log, of changes that have already happened.
fn transaction(kind: u32, body: &[u8]) -> Vec<u8> {
    let size = offset_to_packed(body.len() as u32 + 8).to_ne_bytes();
    [&size[..], &(kind | 0x1000_0000).to_ne_bytes(), body].concat()
}

/// What `doveadm dump` says about an index.
#[derive(Debug)]
pub struct Dump {
    pub text: String,
    pub indexid: u32,
    pub day_stamp: u32,
    pub week_first_uid: u32,
    /// The `cache` extension's number and `reset_id`.
    pub extension: Option<u32>,
    pub reset_id: Option<u32>,
    /// `#  Name Type Size Dec`, without the date.
    pub fields: Vec<String>,
    pub messages: Vec<Message>,
}

/// A message and what its cache holds, as printed.
#[derive(Debug)]
pub struct Message {
    pub uid: Uid,
    pub offset: u32,
    /// The lines about the cache, records and fields.
    pub cached: Vec<String>,
}

impl Dump {
    fn parse(text: &str) -> Self {
        let number = |label: &str| {
            let line = text.lines().find(|line| line.starts_with(label)).expect(label);
            word_after_equals(line).parse().unwrap()
        };
        let mut dump = Self {
            text: text.to_owned(),
            indexid: number("index id"),
            day_stamp: number("day stamp"),
            week_first_uid: number("day first uid[7]"),
            extension: None,
            reset_id: None,
            fields: Vec::new(),
            messages: Vec::new(),
        };
        dump.find_extension();
        dump.find_fields();
        dump.find_messages();
        dump
    }

    fn find_extension(&mut self) {
        for part in self.text.split("-- Extension ").skip(1) {
            if part.lines().any(|line| line == "name ........ = cache") {
                self.extension = part.split(' ').next().unwrap().parse().ok();
                let line = part.lines().find(|line| line.starts_with("reset_id")).unwrap();
                self.reset_id = word_after_equals(line).parse().ok();
            }
        }
    }

    fn find_fields(&mut self) {
        let Some((_, list)) = self.text.split_once("Last used\n") else { return };
        let lines = list.lines().take_while(|line| !line.is_empty());
        self.fields =
            lines.map(|line| line.split_whitespace().take(5).collect::<Vec<_>>().join(" ")).collect();
    }

    fn find_messages(&mut self) {
        for part in self.text.split("RECORD: ").skip(1) {
            let (first, rest) = part.split_once('\n').unwrap();
            let uid = first.split("uid=").nth(1).and_then(|text| text.split(',').next()).unwrap();
            let offset = rest.lines().find(|line| line.contains(" cache     : "));
            let offset = offset.map_or(0, |line| {
                line.split(':').nth(1).unwrap().trim().split(' ').next().unwrap().parse().unwrap()
            });
            let cached = match rest.find(" - cache offset=") {
                Some(at) => rest[at..].trim_end_matches('\n').split('\n').map(str::to_owned).collect(),
                None => Vec::new(),
            };
            self.messages.push(Message { uid: Uid::new(uid.parse().unwrap()).unwrap(), offset, cached });
        }
    }

    pub fn facts(&self) -> IndexFacts {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as u32;
        IndexFacts {
            indexid: self.indexid,
            reset_id: self.reset_id,
            messages: self.messages.len() as u32,
            day_stamp: self.day_stamp,
            week_first_uid: self.week_first_uid,
            now,
        }
    }

    pub fn offsets(&self) -> Vec<(Uid, u32)> {
        self.messages.iter().map(|message| (message.uid, message.offset)).collect()
    }

    fn intro(&self, reset_id: u32) -> Vec<u8> {
        let name: &[u8] = if self.extension.is_some() { b"" } else { b"cache\0\0\0" };
        let name_size: u16 = if name.is_empty() { 0 } else { 5 };
        let words = [self.extension.unwrap_or(u32::MAX), reset_id, 0];
        let halves = [4, 4, 1, name_size];
        let mut body: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        body.extend(halves.into_iter().flat_map(u16::to_ne_bytes));
        body.extend(name);
        transaction(0x40, &body)
    }
}

fn word_after_equals(line: &str) -> &str {
    line.split("= ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap()
}
