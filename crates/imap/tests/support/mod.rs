//! A user with a temporary Maildir, and clients that talk to sessions without a socket.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use base::Logger;
use imap::{ImapSettings, OutBuf, Progress, Session};
use mail_user::input::{Auto, MailboxSettings, NamespaceSettings};
use mail_user::{MailUser, MailUserInput, UserSettings};
use storage::MailSettings;

/// A user's home.
pub struct Home {
    folder: tempfile::TempDir,
    pub user: Arc<MailUser>,
}

impl Home {
    pub fn new() -> Self {
        Self::of_driver("maildir", MailSettings::default())
    }

    /// A home whose mail is of another format.
    pub fn of_driver(driver: &str, mail: MailSettings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let special = |name: &str, auto, special_use: &str| MailboxSettings {
            name: name.to_owned(),
            auto,
            special_use: vec![special_use.to_owned()],
            ..MailboxSettings::default()
        };
        let namespace = NamespaceSettings {
            name: "inbox".to_owned(),
            separator: "/".to_owned(),
            inbox: true,
            mailboxes: vec![
                special("Trash", Auto::Create, "\\Trash"),
                special("Sent", Auto::Subscribe, "\\Sent"),
                special("Drafts", Auto::No, "\\Drafts"),
            ],
            ..NamespaceSettings::default()
        };
        let input = MailUserInput {
            username: "user".to_owned(),
            service: "imap".to_owned(),
            session_id: "session".to_owned(),
            home: Some(folder.path().to_owned()),
            settings: UserSettings {
                mail_location: match driver {
                    "maildir" => format!("maildir:{}/Maildir", folder.path().display()),
                    driver => format!("{driver}:{}/mail", folder.path().display()),
                },
                mail,
                namespaces: vec![namespace],
            },
            logger: Logger::new("imap(user): "),
        };
        let user = MailUser::open(input).expect("the user's mail can be opened");
        Self { folder, user }
    }

    pub fn maildir(&self) -> std::path::PathBuf {
        self.folder.path().join("Maildir")
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// One session and its client.
pub struct Client {
    session: Session,
    input: Vec<u8>,
    pub out: OutBuf,
    received: Vec<u8>,
    closed: Option<String>,
}

impl Client {
    pub fn new(home: &Home) -> Self {
        Self::with(home, ImapSettings::default())
    }

    pub fn with(home: &Home, settings: ImapSettings) -> Self {
        let session = Session::new(
            home.user.clone(),
            Arc::new(settings),
            Logger::new("imap(user): "),
            Arc::new(Instant::now),
        );
        Self { session, input: Vec::new(), out: OutBuf::default(), received: Vec::new(), closed: None }
    }

    /// Sends bytes and lets the session work until it needs more.
    pub fn send(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.run();
    }

    /// One step: what the session needs then.
    pub fn step(&mut self) -> Progress {
        let mut rest = self.input.as_slice();
        // As the process does it.
        let mut progress = self.session.step_in_memory(&mut rest, &mut self.out);
        if progress == Progress::Storage {
            progress = self.session.step(&mut rest, &mut self.out);
        }
        let left = rest.len();
        self.input.drain(..self.input.len() - left);
        progress
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Takes what the session sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        let bytes = self.out.bytes().to_vec();
        self.out.sent(bytes.len());
        bytes
    }

    pub fn run(&mut self) {
        loop {
            let progress = self.step();
            let sent = self.take_output();
            self.received.extend_from_slice(&sent);
            match progress {
                Progress::Again | Progress::Storage => {}
                Progress::NeedInput => return,
                Progress::Closed(reason) => {
                    self.closed = Some(reason);
                    return;
                }
            }
        }
    }

    pub fn notice_changes(&mut self) {
        self.session.notice_changes(&mut self.out);
        self.run();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// The next line that was received, without its end.
    pub fn read_line(&mut self) -> Option<String> {
        let end = self.received.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = self.received.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line).into_owned();
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Everything that was received.
    pub fn read_all(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }
}
