//! Settings of mailboxes, in every format: keywords for attachments, and care on NFS.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{Logger, Uid};
use storage::api::copy;
use storage::attachment::detect::Detection;
use storage::fs::{Fs, Hook};
use storage::sort::{Criterion, Sort, SortKey};
use storage::{
    CopyMode, DboxStorage, Error, FlagMode, Flags, Location, MailSettings, Mailbox, MaildirStorage,
    MboxStorage, OpenMode, SaveMeta, StatusItems, Storage, SyncMode, Wanted,
};

mod support;
use support::{change, save, show, uids};

const PLAIN: &str = "Subject: plain\n\ntext\n";
const ATTACHED: &str = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n\
    Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\n\npdf\n--b--\n";
const DRIVERS: [&str; 4] = ["maildir", "sdbox", "mdbox", "mbox"];

fn storage(driver: &str, root: &Path, settings: MailSettings, fs: Fs) -> Box<dyn Storage> {
    let root = root.join(driver);
    let location = match driver {
        "mbox" => format!("mbox:{}:INBOX={}/inbox", root.display(), root.display()),
        _ => format!("{driver}:{}", root.display()),
    };
    let location = Location::parse(&location, None).unwrap();
    let settings = MailSettings { hostname: "host".to_owned(), ..settings };
    let (settings, log) = (Arc::new(settings), Logger::new("test: "));
    match driver {
        "maildir" => Box::new(MaildirStorage::with_fs(location, settings, true, log, fs)),
        "mbox" => Box::new(MboxStorage::with_fs(location, settings, true, "user", log, fs).unwrap()),
        _ => Box::new(DboxStorage::with_fs(location, settings, true, log, fs).unwrap()),
    }
}

fn detecting(options: &str) -> MailSettings {
    MailSettings { attachment_detection: Detection::parse(options).unwrap(), ..MailSettings::default() }
}

fn open(storage: &dyn Storage, name: &str) -> Box<dyn Mailbox> {
    let mut mailbox = storage.open(name, OpenMode::ReadWrite).unwrap();
    mailbox.sync(SyncMode::Quick).unwrap();
    mailbox
}

fn shown(mailbox: &mut dyn Mailbox) -> String {
    show(&mailbox.sync(SyncMode::Quick).unwrap())
}

#[test]
fn messages_that_are_saved_get_a_keyword() {
    for driver in DRIVERS {
        let dir = tempfile::tempdir().unwrap();
        let storage = storage(driver, dir.path(), detecting("add-flags"), Fs::default());
        let mut inbox = open(&*storage, "INBOX");
        save(&mut *inbox, PLAIN, Flags::NONE, &[]).unwrap();
        save(&mut *inbox, ATTACHED, Flags::SEEN, &["work"]).unwrap();
        // Whoever brings one of the two along is believed; both together are none.
        save(&mut *inbox, PLAIN, Flags::NONE, &["$hasattachment"]).unwrap();
        save(&mut *inbox, PLAIN, Flags::NONE, &["$HasAttachment", "$HasNoAttachment"]).unwrap();
        let text = shown(&mut *inbox).to_lowercase();
        let (first, rest) = text.split_once(' ').unwrap();
        assert_eq!(first, "1($hasnoattachment)", "{driver}");
        for (word, expected) in [("2(\\seen", 1), ("$hasattachment", 2), ("$hasnoattachment", 1)] {
            assert_eq!(rest.matches(word).count(), expected, "{driver}: {word} in {rest}");
        }
        // A copy has the keywords of the original.
        storage.create("other", false).unwrap();
        let mut other = open(&*storage, "other");
        copy(&mut *inbox, &uids(&[1]), &mut *other, CopyMode::Copy).unwrap();
        assert_eq!(shown(&mut *other), "1($HasNoAttachment)", "{driver}");
    }
}

#[test]
fn messages_that_are_read_get_one_later() {
    for driver in DRIVERS {
        let dir = tempfile::tempdir().unwrap();
        let plain = storage(driver, dir.path(), MailSettings::default(), Fs::default());
        for text in [PLAIN, ATTACHED, PLAIN] {
            save(&mut *open(&*plain, "INBOX"), text, Flags::NONE, &[]).unwrap();
        }
        let read = |options: &str, mode| {
            let storage = storage(driver, dir.path(), detecting(options), Fs::default());
            let mut inbox = storage.open("INBOX", mode).unwrap();
            inbox.sync(SyncMode::Quick).unwrap();
            for uid in uids(&[1, 2]).iter() {
                drop(inbox.open_message(uid).unwrap());
            }
            shown(&mut *inbox)
        };
        assert_eq!(read("add-flags no-flags-on-fetch", OpenMode::ReadWrite), "1() 2() 3()", "{driver}");
        assert_eq!(read("add-flags", OpenMode::ReadOnly), "1() 2() 3()", "{driver}");
        let expected = "1($HasNoAttachment) 2($HasAttachment) 3()";
        assert_eq!(read("add-flags", OpenMode::ReadWrite), expected, "{driver}");
    }
}

/// Counts how often the kernel was made to ask the server.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Hook for Counter {
    fn before(&self, op: &'static str, _path: &Path, bytes: usize) -> io::Result<usize> {
        self.0.fetch_add(usize::from(op == "chmod"), Ordering::Relaxed);
        Ok(bytes)
    }
}

#[test]
fn on_nfs_names_are_looked_up_anew() {
    for driver in DRIVERS {
        for (index, mail) in [(false, false), (true, false), (false, true)] {
            let dir = tempfile::tempdir().unwrap();
            let counter = Arc::new(Counter::default());
            let settings =
                MailSettings { mail_nfs_index: index, mail_nfs_storage: mail, ..MailSettings::default() };
            let storage = storage(driver, dir.path(), settings, Fs::with_hook(counter.clone()));
            let mut inbox = open(&*storage, "INBOX");
            save(&mut *inbox, PLAIN, Flags::NONE, &[]).unwrap();
            inbox.store_flags(&uids(&[1]), &change(FlagMode::Add, Flags::SEEN, &["work"])).unwrap();
            let before = counter.0.load(Ordering::Relaxed);
            inbox.sync(SyncMode::Quick).unwrap();
            let asked = counter.0.load(Ordering::Relaxed) - before;
            // All that dbox knows of a mailbox is in its index.
            let expected = index || mail && matches!(driver, "maildir" | "mbox");
            assert_eq!(asked > 0, expected, "{driver} {index} {mail}");
            assert_eq!(shown(&mut *inbox), "1(\\Seen work)", "{driver}");
        }
    }
}

/// Files that say nothing in their names.
fn plain_maildir(root: &Path, messages: usize) {
    for sub in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(root.join("maildir").join(sub)).unwrap();
    }
    for number in 0..messages {
        let path = root.join("maildir/cur").join(format!("{}.M{number}P1.host:2,", 1_000_000_000 + number));
        let text =
            format!("Subject: s{}\nDate: {} Jan 2015 10:00:00 +0000\n\nbody\n", 50 - number, 20 - number);
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn a_sort_looks_at_no_more_messages_than_it_may() {
    let check = |key, slow_max, expected: &[u32], cut| {
        let dir = tempfile::tempdir().unwrap();
        plain_maildir(dir.path(), 6);
        let storage = storage("maildir", dir.path(), MailSettings::default(), Fs::default());
        let mut inbox = open(&*storage, "INBOX");
        let all = inbox.view().uids().iter().collect();
        let mut sort = Sort::new(all, &[Criterion { key, reverse: false }]).with_slow_max(slow_max);
        assert!(sort.advance(&mut *inbox, Duration::from_secs(600)).unwrap());
        assert_eq!(sort.has_given_up(), cut, "{key:?}");
        let found: Vec<u32> = sort.finish().iter().map(|uid| uid.get()).collect();
        assert_eq!(found, expected, "{key:?} {slow_max}");
    };
    // The orders are those of 2.3.19.
    check(SortKey::Subject, 0, &[6, 5, 4, 3, 2, 1], false);
    check(SortKey::Subject, 3, &[4, 5, 6, 3, 2, 1], true);
    check(SortKey::Date, 3, &[3, 2, 1, 4, 5, 6], true);
    check(SortKey::Arrival, 3, &[1, 2, 3, 4, 5, 6], true);
    check(SortKey::Size, 6, &[1, 2, 3, 4, 5, 6], false);
}

#[test]
fn a_size_that_takes_long_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    plain_maildir(dir.path(), 12);
    let settings = MailSettings { mail_vsize_bg_after_count: 5, ..MailSettings::default() };
    let storage = storage("maildir", dir.path(), settings, Fs::default());
    let mut inbox = open(&*storage, "INBOX");
    match inbox.status(StatusItems::SIZE) {
        Err(Error::InUse(text)) => assert_eq!(text, "Finishing vsize calculation on background"),
        other => panic!("{other:?}"),
    }
    // Each try goes on where the last one, or the background, was.
    let mut tries = (0..12).filter_map(|_| inbox.status(StatusItems::SIZE).ok());
    let found = tries.next().unwrap().size.unwrap();
    let whole = open(&*storage, "INBOX");
    let sizes = whole.view().uids().iter().count() as u64;
    assert!(found > sizes * 40, "{found}");
}

#[test]
fn with_very_dirty_syncs_the_time_of_a_directory_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let settings = MailSettings { maildir_very_dirty_syncs: true, ..MailSettings::default() };
    let storage = storage("maildir", dir.path(), settings, Fs::default());
    let mut inbox = open(&*storage, "INBOX");
    save(&mut *inbox, PLAIN, Flags::NONE, &[]).unwrap();
    inbox.sync(SyncMode::Full).unwrap();
    let cur = dir.path().join("maildir/cur");
    std::fs::write(cur.join("1700000000.M1.other:2,S"), PLAIN).unwrap();
    assert_eq!(inbox.sync(SyncMode::Quick).unwrap().len(), 2);
    std::fs::remove_file(cur.join("1700000000.M1.other:2,S")).unwrap();
    assert_eq!(inbox.sync(SyncMode::Quick).unwrap().len(), 1);
}

#[test]
fn a_directory_is_a_name_with_maildir_stat_dirs_too() {
    for maildir_stat_dirs in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let settings = MailSettings { maildir_stat_dirs, ..MailSettings::default() };
        let storage = storage("maildir", dir.path(), settings, Fs::default());
        std::fs::create_dir_all(dir.path().join("maildir/.dir")).unwrap();
        std::fs::write(dir.path().join("maildir/.file"), "").unwrap();
        let names: Vec<String> = storage.list().unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["dir", "INBOX"], "{maildir_stat_dirs}");
    }
}

const TEXT: &str = "Subject: one\nFrom: a@b\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n\ntext\n";

fn asked(mailbox: &mut dyn Mailbox, uid: u32) -> (bool, Option<String>) {
    let uid = Uid::new(uid).unwrap();
    let (wanted, names) = (Wanted::ENVELOPE | Wanted::BODYSTRUCTURE, ["Subject", "X-Other"]);
    let at_hand = mailbox.fetch_fields(uid, wanted | Wanted::AT_HAND, &names).is_ok();
    let facts = mailbox.fetch_fields(uid, wanted, &names).unwrap();
    (at_hand, facts.fields.map(|fields| String::from_utf8_lossy(&fields).into_owned()))
}

#[test]
fn what_is_wanted_is_cached_when_messages_are_saved() {
    for driver in ["maildir", "sdbox", "mdbox", "mbox"] {
        let dir = tempfile::tempdir().unwrap();
        let storage = storage(driver, dir.path(), MailSettings::default(), Fs::default());
        let _ = storage.create("INBOX", false);
        let open = || storage.open("INBOX", OpenMode::ReadWrite).unwrap();
        let mut inbox = open();
        // Nobody has asked for anything yet.
        save(&mut *inbox, TEXT, Flags::NONE, &[]).unwrap();
        save(&mut *inbox, TEXT, Flags::NONE, &[]).unwrap();
        inbox.sync(SyncMode::Quick).unwrap();
        assert!(!asked(&mut *inbox, 1).0, "{driver}");
        drop(inbox);
        let mut inbox = open();
        inbox.sync(SyncMode::Quick).unwrap();
        assert!(asked(&mut *inbox, 1).0 && !asked(&mut *inbox, 2).0, "{driver}");
        save(&mut *inbox, &TEXT.replace("one", "three"), Flags::SEEN, &[]).unwrap();
        drop(inbox);
        let mut inbox = open();
        inbox.sync(SyncMode::Quick).unwrap();
        let (at_hand, fields) = asked(&mut *inbox, 3);
        assert!(at_hand, "{driver}");
        assert_eq!(
            fields.as_deref().map(|text| text.trim_end().replace('\r', "")).as_deref(),
            Some("Subject: three")
        );
        // A copy would have to be read for it.
        let mut other = open();
        let mut batch = other.begin_save().unwrap();
        batch.copy(&mut *inbox, Uid::new(3).unwrap(), SaveMeta::default()).unwrap();
        assert_eq!(batch.commit().unwrap().uids.len(), 1);
        drop((inbox, other));
    }
}
