//! A user with a temporary Maildir, and clients that talk to sessions without a socket.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::Logger;
use mail_user::input::NamespaceSettings;
use mail_user::{MailUser, MailUserInput, UserSettings};
use pop3::{Clock, OutBuf, Pop3Settings, Progress, Session};

/// UIDVALIDITY of all test mailboxes.
pub const UID_VALIDITY: u32 = 1_700_000_000;

/// Writes a Maildir: for each message its name with flags, its fields in the uidlist, and its text.
/// UIDs ascend by ten.
pub fn write_maildir(dir: &Path, messages: &[(&str, &str, &[u8])]) {
    let mut uidlist = String::new();
    for (number, (name, fields, text)) in messages.iter().enumerate() {
        let fields = if fields.is_empty() { String::new() } else { format!(" {fields}") };
        let base = name.split(':').next().unwrap_or(name);
        uidlist.push_str(&format!("{}{fields} :{base}\n", (number + 1) * 10));
        std::fs::create_dir_all(dir.join("cur")).expect("cur/");
        std::fs::write(dir.join("cur").join(name), text).expect("a message");
    }
    for sub in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(dir.join(sub)).expect("a Maildir");
    }
    let next = messages.len() * 10 + 1;
    let head = format!("3 V{UID_VALIDITY} N{next} G0123456789abcdef0123456789abcdef\n");
    std::fs::write(dir.join("dovecot-uidlist"), head + &uidlist).expect("a uidlist");
}

/// A user's home.
pub struct Home {
    folder: tempfile::TempDir,
    pub user: Arc<MailUser>,
}

impl Home {
    pub fn new(messages: &[(&str, &str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        write_maildir(&folder.path().join("Maildir"), messages);
        let user = user(&folder.path().join("Maildir"));
        Self { folder, user }
    }

    pub fn maildir(&self) -> PathBuf {
        self.folder.path().join("Maildir")
    }
}

/// A user whose mail is in `maildir`.
pub fn user(maildir: &Path) -> Arc<MailUser> {
    let namespace = NamespaceSettings { inbox: true, ..NamespaceSettings::default() };
    let mut settings = UserSettings {
        mail_location: format!("maildir:{}", maildir.display()),
        namespaces: vec![namespace],
        ..UserSettings::default()
    };
    settings.mail.hostname = mail_user::host_name();
    let input = MailUserInput {
        username: "user".to_owned(),
        service: "pop3".to_owned(),
        session_id: "session".to_owned(),
        home: None,
        settings,
        logger: Logger::new("pop3(user): "),
    };
    MailUser::open(input).expect("the user's mail can be opened")
}

/// A clock that stands still until it is told otherwise.
#[derive(Clone)]
pub struct TestClock(Arc<Mutex<Instant>>);

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub fn pass(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    fn clock(&self) -> Clock {
        let now = self.0.clone();
        Arc::new(move || *now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One session and its client.
pub struct Client {
    session: Session,
    pub clock: TestClock,
    input: Vec<u8>,
    pub out: OutBuf,
    received: Vec<u8>,
    closed: Option<String>,
}

impl Client {
    pub fn new(user: &Arc<MailUser>, settings: Pop3Settings) -> Self {
        let clock = TestClock::new();
        let log = Logger::new("pop3(user): ");
        let session = Session::new(user.clone(), Arc::new(settings), log, clock.clock());
        let (input, received) = (Vec::new(), Vec::new());
        Self { session, clock, input, out: OutBuf::default(), received, closed: None }
    }

    /// A client whose session is open.
    pub fn open(home: &Home) -> Self {
        let mut client = Self::new(&home.user, Pop3Settings::default());
        client.run();
        assert_eq!(client.read_all(), "+OK Logged in.\r\n");
        client
    }

    /// Sends bytes and lets the session work until it needs more.
    pub fn send(&mut self, bytes: &[u8]) {
        self.put(bytes);
        self.run();
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.session.count_input(bytes.len());
        self.input.extend_from_slice(bytes);
    }

    /// One step: what the session needs then.
    pub fn step(&mut self) -> Progress {
        let mut rest = self.input.as_slice();
        let progress = self.session.step(&mut rest, &mut self.out);
        let left = rest.len();
        self.input.drain(..self.input.len() - left);
        progress
    }

    /// Takes what the session sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        let bytes = self.out.bytes().to_vec();
        self.out.sent(bytes.len());
        bytes
    }

    /// Works until the session needs input or time, or is over.
    pub fn run(&mut self) -> Progress {
        loop {
            let progress = self.step();
            let sent = self.take_output();
            self.received.extend_from_slice(&sent);
            match &progress {
                Progress::Again => continue,
                Progress::NeedInput | Progress::Wait(_) => {}
                Progress::Closed(reason) => self.closed = Some(reason.clone()),
            }
            return progress;
        }
    }

    /// The reason of a session that is over.
    pub fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// Everything that was received.
    pub fn read_all(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }

    pub fn read_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    /// Sends a line and gives what comes back.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.read_all()
    }

    /// The log line's, without the answer to the login, which Dovecot does not give by itself.
    pub fn statistics(&self) -> String {
        let login = "+OK Logged in.\r\n".len() as u64;
        self.session.statistics(self.out.total() - login, &[])
    }

    /// Ends the session as if the connection was lost.
    pub fn hang_up(mut self) {
        self.session.finish();
    }
}
