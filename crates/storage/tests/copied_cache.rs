//! What is known of a message goes with its copies, as far as their mailbox wants it, so that nobody opens them
//! for it: not we, and not real Dovecot.

#[path = "support/real.rs"]
mod real;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::{Logger, Uid};
use real::Real;
use storage::api::copy;
use storage::{
    CopyMode, DboxStorage, Facts, Flags, Location, MailSettings, Mailbox, MaildirStorage, MboxStorage,
    OpenMode, Storage, SyncMode, Wanted,
};
use support::{save, uids};

const DRIVERS: [&str; 4] = ["maildir", "sdbox", "mdbox", "mbox"];
const TEXT: &str = "Subject: one\nFrom: a@b\nX-Other: not wanted\n\
    Date: Mon, 1 Jan 2024 10:00:00 +0000\n\ntext\n";
/// What clients want of both mailboxes.
const WANTED: Wanted = Wanted(Wanted::ENVELOPE.0 | Wanted::BODYSTRUCTURE.0 | Wanted::SAVE_DATE.0);

fn location(driver: &str, dir: &Path) -> String {
    let root = dir.join(driver).display().to_string();
    match driver {
        "mbox" => format!("mbox:{root}:INBOX={root}/inbox"),
        _ => format!("{driver}:{root}"),
    }
}

fn storage(driver: &str, dir: &Path) -> Box<dyn Storage> {
    let location = Location::parse(&location(driver, dir), None).unwrap();
    let settings = Arc::new(MailSettings { hostname: "host".to_owned(), ..MailSettings::default() });
    let log = Logger::new("test: ");
    let storage: Box<dyn Storage> = match driver {
        "maildir" => Box::new(MaildirStorage::new(location, settings, true, log)),
        "mbox" => Box::new(MboxStorage::new(location, settings, true, "user", log).unwrap()),
        _ => Box::new(DboxStorage::new(location, settings, true, log).unwrap()),
    };
    let _ = storage.create("INBOX", false);
    storage.create("other", false).unwrap();
    storage
}

fn open(storage: &dyn Storage, name: &str) -> Box<dyn Mailbox> {
    let mut mailbox = storage.open(name, OpenMode::ReadWrite).unwrap();
    mailbox.sync(SyncMode::Quick).unwrap();
    mailbox
}

fn fetch(mailbox: &mut dyn Mailbox, uid: u32, more: Wanted, names: &[&str]) -> storage::Result<Facts> {
    mailbox.fetch_fields(Uid::new(uid).unwrap(), WANTED | more, names)
}

/// A mailbox of one message, of which a client has wanted to know something.
fn asked(storage: &dyn Storage, name: &str, names: &[&str]) {
    save(&mut *open(storage, name), TEXT, Flags::SEEN, &[]).unwrap();
    fetch(&mut *open(storage, name), 1, Wanted::NONE, names).unwrap();
}

/// Copies INBOX's message into the other mailbox, where it is the second.
fn copied(driver: &str, mode: CopyMode) -> (tempfile::TempDir, Box<dyn Storage>, Facts) {
    let dir = tempfile::tempdir().unwrap();
    let storage = storage(driver, dir.path());
    asked(&*storage, "INBOX", &["Subject", "X-Other"]);
    asked(&*storage, "other", &["Subject"]);
    let mut inbox = open(&*storage, "INBOX");
    let facts = fetch(&mut *inbox, 1, Wanted::AT_HAND, &["Subject"]).unwrap();
    let done = copy(&mut *inbox, &uids(&[1]), &mut *open(&*storage, "other"), mode).unwrap();
    assert_eq!(done.destination, [Uid::new(2).unwrap()]);
    (dir, storage, facts)
}

#[test]
fn nobody_opens_a_copy_for_what_its_mailbox_wants() {
    for driver in DRIVERS {
        for mode in [CopyMode::Copy, CopyMode::Move] {
            let (_dir, storage, facts) = copied(driver, mode);
            let mut other = open(&*storage, "other");
            let found = fetch(&mut *other, 2, Wanted::AT_HAND, &["Subject"]);
            let found = found.unwrap_or_else(|error| panic!("{driver} {mode:?}: {error}"));
            assert_eq!(found.envelope, facts.envelope, "{driver}");
            assert_eq!(found.bodystructure, facts.bodystructure, "{driver}");
            assert_eq!(found.fields, facts.fields, "{driver}");
            let unwanted = fetch(&mut *other, 2, Wanted::AT_HAND, &["X-Other"]);
            assert!(unwanted.is_err(), "{driver}: {unwanted:?}");
            assert!(fetch(&mut *other, 2, Wanted::NONE, &["X-Other"]).is_ok(), "{driver}");
        }
    }
}

#[test]
fn a_copy_was_saved_when_it_was_copied() {
    for driver in DRIVERS {
        let dir = tempfile::tempdir().unwrap();
        let storage = storage(driver, dir.path());
        asked(&*storage, "INBOX", &[]);
        asked(&*storage, "other", &[]);
        let first = fetch(&mut *open(&*storage, "other"), 1, Wanted::NONE, &[]).unwrap().save_date.unwrap();
        // The cache keeps whole seconds.
        while SystemTime::now() < first + Duration::from_secs(1) {
            std::thread::yield_now();
        }
        copy(&mut *open(&*storage, "INBOX"), &uids(&[1]), &mut *open(&*storage, "other"), CopyMode::Copy)
            .unwrap();
        let second = fetch(&mut *open(&*storage, "other"), 2, Wanted::NONE, &[]).unwrap().save_date.unwrap();
        assert!(second > first, "{driver}: {second:?} {first:?}");
    }
}

#[test]
fn a_copy_in_another_format_has_what_is_true_of_it() {
    for from in DRIVERS {
        for to in DRIVERS {
            let dir = tempfile::tempdir().unwrap();
            let (here, there) =
                (storage(from, &dir.path().join("from")), storage(to, &dir.path().join("to")));
            asked(&*here, "INBOX", &["Subject"]);
            asked(&*there, "INBOX", &["Subject"]);
            let done =
                copy(&mut *open(&*here, "INBOX"), &uids(&[1]), &mut *open(&*there, "INBOX"), CopyMode::Copy);
            assert_eq!(done.unwrap().destination.len(), 1);
            let mut inbox = open(&*there, "INBOX");
            let at_hand = fetch(&mut *inbox, 2, Wanted::AT_HAND, &["Subject"]);
            let at_hand = at_hand.unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
            inbox.cache_remove(&uids(&[2])).unwrap();
            drop(inbox);
            let mut inbox = open(&*there, "INBOX");
            let read = fetch(&mut *inbox, 2, Wanted::NONE, &["Subject"]).unwrap();
            assert!(read.was_slow, "{from} to {to}");
            assert_eq!(at_hand.bodystructure, read.bodystructure, "{from} to {to}");
            assert_eq!(at_hand.envelope, read.envelope, "{from} to {to}");
            let text =
                |facts: &Facts| String::from_utf8_lossy(facts.fields.as_deref().unwrap()).replace('\r', "");
            assert_eq!(text(&at_hand), text(&read), "{from} to {to}");
        }
    }
}

#[test]
fn dovecot_does_not_open_a_copy_either() {
    for driver in ["maildir", "sdbox", "mdbox"] {
        let (dir, storage, _) = copied(driver, CopyMode::Copy);
        drop(storage);
        // /tmp's own directories are private: nobody must be able to pass.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let Some(real) = Real::new(dir.path(), &location(driver, dir.path()), "") else { return };
        // Whoever opens it now reads something else.
        change_subject(&dir.path().join(driver));
        let args = ["fetch", "hdr.subject imap.envelope", "mailbox", "other", "uid", "2"];
        let text = String::from_utf8(real.run(&args, b"")).unwrap();
        let expected = "hdr.subject: one\nimap.envelope: \"Mon, 1 Jan 2024 10:00:00 +0000\" \"one\" ";
        assert!(text.starts_with(expected), "{driver}: {text}");
    }
}

/// In all files below `dir` that are messages.
fn change_subject(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            change_subject(&path);
        } else if !entry.file_name().to_string_lossy().starts_with("dovecot") {
            let mut bytes = std::fs::read(&path).unwrap();
            let (old, new) = (b"Subject: one", b"Subject: two");
            while let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
                bytes[at..at + new.len()].copy_from_slice(new);
            }
            // Over the old bytes: links of the file see it as well.
            std::fs::write(&path, bytes).unwrap();
        }
    }
}
