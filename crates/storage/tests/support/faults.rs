//! What the tests that break things have in common: storages in which everything that happens seldom
//! happens all the time, their messages, and a quick place for them.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Logger;
use storage::attachment::{self, HashFormat};
use storage::fs::Fs;
use storage::{DboxStorage, Location, MailSettings, Mailbox, MaildirStorage, Storage, SyncMode, Wanted};

/// A mail format, and whether attachments are stored apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub driver: &'static str,
    pub apart: bool,
}

pub const MAILDIR: Kind = Kind { driver: "maildir", apart: false };
pub const SDBOX: Kind = Kind { driver: "sdbox", apart: false };
pub const MDBOX: Kind = Kind { driver: "mdbox", apart: false };

impl Kind {
    pub const fn with_attachments(self) -> Self {
        Self { apart: true, ..self }
    }

    /// The settings with which nothing is out of the ordinary.
    pub fn settings(self, root: &Path) -> MailSettings {
        let attachments = attachment::Settings {
            dir: root.join("attachments"),
            fs: "sis posix".to_owned(),
            hash: HashFormat::parse("%{sha1}").unwrap(),
            min_size: 100,
            temp_dir: root.to_owned(),
            syncs: true,
        };
        MailSettings {
            hostname: "host".to_owned(),
            attachments: self.apart.then_some(attachments),
            ..MailSettings::default()
        }
    }

    /// Logs are rotated, indexes written anew, caches purged and files begun all the time.
    pub fn busy_settings(self, root: &Path) -> MailSettings {
        let mut settings = self.settings(root);
        settings.mdbox_rotate_size = 1500;
        settings.mail_index.log_rotate_min_size = 300;
        settings.mail_index.log_rotate_max_size = 700;
        settings.mail_index.rewrite_min_log_bytes = 100;
        settings.mail_index.rewrite_max_log_bytes = 200;
        settings.mail_cache.always_fields = "imap.envelope imap.bodystructure hdr.subject".to_owned();
        settings.mail_cache.never_fields = String::new();
        settings.mail_cache.purge_min_size = 1;
        settings
    }

    pub fn storage(self, root: &Path, settings: MailSettings, fs: Fs) -> Box<dyn Storage> {
        let location = Location::parse(&format!("{}:{}", self.driver, root.display()), None).unwrap();
        let (settings, logger) = (Arc::new(settings), Logger::new("test: "));
        match self.driver {
            "maildir" => Box::new(MaildirStorage::with_fs(location, settings, true, logger, fs)),
            _ => Box::new(DboxStorage::with_fs(location, settings, true, logger, fs).unwrap()),
        }
    }

    /// A message with two attachments, if they are stored apart: one of its own, and one that every other
    /// message of this kind has as well.
    pub fn text(self, subject: &str) -> String {
        let body = "body\n".repeat(40);
        if !self.apart {
            return format!("From: a@example.com\nSubject: {subject}\n\n{body}end of {subject}\n");
        }
        let part = |of: &str| {
            let line = format!("{}\n", "QUJD".repeat(15));
            let digits = of.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
            // Whole groups of four characters.
            let own = format!("{digits}{}", "A".repeat(4 - digits.len() % 4));
            format!(
                "--bound\nContent-Type: application/x-y; name=z\nContent-Transfer-Encoding: base64\n\
                 Content-Disposition: attachment\n\n{}{own}\n",
                line.repeat(4)
            )
        };
        format!(
            "From: a@example.com\nSubject: {subject}\nMime-Version: 1.0\n\
             Content-Type: multipart/mixed; boundary=bound\n\n--bound\n\n{body}{}{}--bound--\nend of {subject}\n",
            part(subject),
            part("shared")
        )
    }
}

/// Files below a directory.
pub fn count_files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

/// Has everything found out that the cache keeps.
pub fn ask(mailbox: &mut dyn Mailbox) -> Vec<String> {
    let wanted = Wanted::ENVELOPE | Wanted::BODYSTRUCTURE | Wanted::SIZE_VIRTUAL;
    let mut all = Vec::new();
    for uid in mailbox.view().uids().iter() {
        let facts = mailbox.fetch_facts(uid, wanted).unwrap();
        all.push(format!("{:?} {:?} {:?}", facts.envelope, facts.bodystructure, facts.size_virtual));
    }
    mailbox.sync(SyncMode::Quick).unwrap();
    all
}

/// A lock file that does not say whose it is holds for two minutes, which we let pass at once.
pub fn age_locks(dir: &Path) {
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(600);
    for path in std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            age_locks(&path);
        } else {
            std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        }
    }
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Where files are quick to make.
pub fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

/// Everything below a directory: paths with the files' bytes, and `/` for directories.
pub type Tree = Vec<(PathBuf, Vec<u8>)>;

pub fn read_tree(root: &Path) -> Tree {
    fn add(root: &Path, below: &Path, tree: &mut Tree) {
        for entry in std::fs::read_dir(root.join(below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            if entry.path().is_dir() {
                tree.push((path.clone(), b"/".to_vec()));
                add(root, &path, tree);
            } else {
                tree.push((path, std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut tree = Tree::new();
    add(root, Path::new(""), &mut tree);
    tree
}

pub fn write_tree(root: &Path, tree: &Tree) {
    std::fs::create_dir(root).unwrap();
    for (path, bytes) in tree {
        match bytes.as_slice() {
            b"/" => std::fs::create_dir(root.join(path)).unwrap(),
            bytes => std::fs::write(root.join(path), bytes).unwrap(),
        }
    }
}
