//! `dovecot.list.index`: STATUS from it must be what the mailbox says, whoever changed that, and Dovecot
//! 2.3 must believe what we write as we believe it.

#[path = "support/real.rs"]
mod real;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Logger;
use real::Real;
use storage::fs::{Fs, Hook};
use storage::{
    DboxStorage, FlagMode, Flags, Location, MailSettings, MaildirStorage, MboxStorage, OpenMode, Status,
    StatusItems, Storage, SyncMode,
};
use support::{change, save, uids};

const ITEMS: StatusItems = StatusItems(
    StatusItems::MESSAGES.0
        | StatusItems::RECENT.0
        | StatusItems::UID_NEXT.0
        | StatusItems::UID_VALIDITY.0
        | StatusItems::UNSEEN.0
        | StatusItems::HIGHEST_MODSEQ.0
        | StatusItems::SIZE.0
        | StatusItems::GUID.0,
);
const FIELDS: &str = "messages recent uidnext uidvalidity unseen highestmodseq vsize guid";

fn settings() -> MailSettings {
    MailSettings { hostname: "host".to_owned(), ..MailSettings::default() }
}

fn storage_with(text: &str, settings: MailSettings, fs: Fs) -> Box<dyn Storage> {
    let location = Location::parse(text, None).unwrap();
    let (settings, logger) = (Arc::new(settings), Logger::new("test: "));
    match location.driver.as_str() {
        "maildir" => Box::new(MaildirStorage::with_fs(location, settings, true, logger, fs)),
        "mbox" => Box::new(MboxStorage::with_fs(location, settings, true, "tester", logger, fs).unwrap()),
        _ => Box::new(DboxStorage::with_fs(location, settings, true, logger, fs).unwrap()),
    }
}

fn storage_at(text: &str) -> Box<dyn Storage> {
    storage_with(text, settings(), Fs::default())
}

fn location(driver: &str, dir: &Path) -> String {
    format!("{driver}:{}/mail", dir.display())
}

/// What the mailbox itself says.
fn opened(storage: &dyn Storage, name: &str) -> Status {
    storage.open(name, OpenMode::ReadOnly).unwrap().status(ITEMS).unwrap()
}

/// Waits until the list can answer, which in a Maildir takes until its times are a little old, and opens
/// the mailbox now and then as others do.
fn listed(storage: &dyn Storage, name: &str) -> Status {
    let began = Instant::now();
    loop {
        let expected = opened(storage, name);
        if let Some(status) = storage.status(name, ITEMS) {
            assert_eq!(Status { deleted: 0, ..expected }, status);
            return status;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the list never answers for {name}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The counts as doveadm prints them.
fn line(status: &Status) -> String {
    format!(
        "messages={} recent={} uidnext={} uidvalidity={} unseen={} highestmodseq={} vsize={} guid={}",
        status.messages,
        status.recent,
        status.uid_next,
        status.uid_validity,
        status.unseen,
        status.highest_modseq.0,
        status.size.unwrap(),
        status.guid.unwrap()
    )
}

/// doveadm's counts, and why it had to look into the mailbox for them, if it had.
fn of_dovecot(real: &Real, name: &str) -> (String, String) {
    let output = real.try_run(&["-D", "mailbox", "status", FIELDS, name], b"");
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !log.contains("Error"), "{log}");
    let counts = out.trim_end().strip_prefix(&format!("{name} ")).unwrap_or_default().to_owned();
    let why = log.lines().filter(|line| line.contains("Couldn't")).collect::<Vec<_>>().join("\n");
    (counts, why)
}

fn check_turns(driver: &str) {
    let dir = tempfile::tempdir().unwrap();
    let text = location(driver, dir.path());
    let Some(real) = Real::new(dir.path(), &text, "") else { return };
    let storage = storage_at(&text);
    let agree = |name: &str| {
        let ours = line(&listed(&*storage, name));
        assert_eq!(of_dovecot(&real, name), (ours.clone(), String::new()), "2.3 opens {name} after us");
        ours
    };

    // The list is ours: Dovecot believes it.
    storage.create("Work", false).unwrap();
    let mut work = storage.open("Work", OpenMode::ReadWrite).unwrap();
    work.sync(SyncMode::Quick).unwrap();
    for number in 1..=3 {
        save(&mut *work, &format!("Subject: {number}\n\nx\n"), Flags::NONE, &[]).unwrap();
    }
    work.sync(SyncMode::Quick).unwrap();
    let three = agree("Work");
    assert!(three.contains("messages=3 ") && three.contains("unseen=3 "), "{three}");

    // A change of ours is seen by both.
    work.store_flags(&uids(&[1, 2]), &change(FlagMode::Add, Flags::SEEN, &[])).unwrap();
    assert_ne!(storage.status("Work", ITEMS).map(|status| status.unseen), Some(3));
    assert!(of_dovecot(&real, "Work").0.contains("unseen=1 "));
    work.expunge(&uids(&[2])).unwrap();
    assert!(of_dovecot(&real, "Work").0.contains("messages=2 "));
    drop(work);
    agree("Work");

    // A change of Dovecot's is seen by us, at once.
    real.run(&["save", "-m", "Work"], b"Subject: 4\n\ny\n");
    assert_eq!(opened(&*storage, "Work").messages, 3);
    assert_ne!(storage.status("Work", ITEMS).map(|status| status.messages), Some(2));
    agree("Work");
    real.run(&["flags", "add", "\\Seen", "mailbox", "Work", "all"], b"");
    assert_eq!(storage.status("Work", ITEMS).map_or(0, |status| status.unseen), 0);
    real.run(&["expunge", "mailbox", "Work", "uid", "1"], b"");
    assert_ne!(storage.status("Work", ITEMS).map(|status| status.messages), Some(3));
    agree("Work");

    // What Dovecot wrote is believed by us: nothing is opened between its STATUS and ours.
    real.run(&["mailbox", "create", "Theirs"], b"");
    real.run(&["save", "-m", "Theirs"], b"Subject: 1\n\nz\n");
    let began = Instant::now();
    let theirs = loop {
        let (counts, _) = of_dovecot(&real, "Theirs");
        if let Some(status) = storage.status("Theirs", ITEMS) {
            break (counts, line(&status));
        }
        assert!(began.elapsed() < Duration::from_secs(30), "we never believe Dovecot");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(theirs.0, theirs.1);
}

#[test]
fn both_servers_keep_one_list_of_maildirs() {
    check_turns("maildir");
}

#[test]
fn both_servers_keep_one_list_of_sdboxes() {
    check_turns("sdbox");
}

#[test]
fn both_servers_keep_one_list_of_mdboxes() {
    check_turns("mdbox");
}

#[test]
fn both_servers_keep_one_list_of_mboxes() {
    check_turns("mbox");
}

#[test]
fn mail_that_others_put_into_an_mbox_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let storage = storage_at(&location("mbox", dir.path()));
    for name in ["one", "two"] {
        storage.create(name, false).unwrap();
        listed(&*storage, name);
    }
    let mut file = std::fs::File::options().append(true).open(dir.path().join("mail/two")).unwrap();
    std::io::Write::write_all(&mut file, b"From x Thu Nov 29 22:33:52 2001\nSubject: s\n\nx\n\n").unwrap();
    assert_eq!(storage.status("two", ITEMS), None);
    assert_eq!(listed(&*storage, "two").messages, 1);
    assert_eq!(storage.status("one", ITEMS).unwrap().messages, 0);
}

#[test]
fn mailboxes_that_come_and_go_are_no_ghosts() {
    for driver in ["maildir", "sdbox", "mbox"] {
        let dir = tempfile::tempdir().unwrap();
        let text = location(driver, dir.path());
        let storage = storage_at(&text);
        let separator = storage.separator();
        let (deep, moved) = (format!("a{separator}b"), format!("c{separator}b"));
        // Below an mbox there is none.
        storage.create("a", driver == "mbox").unwrap();
        for name in [&deep, "other"] {
            storage.create(name, false).unwrap();
        }
        let before = listed(&*storage, &deep);
        listed(&*storage, "other");
        storage.rename("a", "c").unwrap();
        assert_eq!(storage.status(&deep, ITEMS), None, "{driver}");
        assert_eq!(storage.status(&moved, ITEMS), None, "{driver}: counts of another mailbox");
        assert_eq!(listed(&*storage, &moved).uid_validity, before.uid_validity);
        // The same name, another mailbox.
        storage.delete("other").unwrap();
        assert_eq!(storage.status("other", ITEMS), None);
        storage.create("other", false).unwrap();
        let other = listed(&*storage, "other");
        assert_eq!(other.guid, Some(storage.open("other", OpenMode::ReadOnly).unwrap().guid().unwrap()));
        if let Some(real) = Real::new(dir.path(), &text, "") {
            assert_eq!(of_dovecot(&real, "other"), (line(&other), String::new()), "{driver}");
        }
    }
}

/// Names of a storage, those that cannot be opened with a mark.
fn names(storage: &dyn Storage) -> Vec<String> {
    let mark = |selectable: bool| if selectable { "" } else { " -" };
    let listed = storage.list().unwrap().into_iter();
    let mut names: Vec<String> = listed.map(|one| format!("{}{}", one.name, mark(one.selectable))).collect();
    names.sort_unstable();
    names
}

/// Many mailboxes come and go, with names that are short and long. Only the list is asked, which nobody
/// compares with the directories on the way: it would see one that was put there by hand.
fn check_one_by_one(text: &str, root: &Path, extra: &Path) {
    let dirty = MailSettings { mailbox_list_index_very_dirty_syncs: true, ..settings() };
    let storage = storage_with(text, dirty, Fs::default());
    let separator = storage.separator();
    let name = |number: usize| {
        let long = "n".repeat(number % 50);
        format!("top{}{separator}mid{separator}{number}{long}", number / 40)
    };
    storage.create("First", false).unwrap();
    opened(&*storage, "First");
    std::fs::create_dir_all(extra).unwrap();
    for number in 0..200 {
        storage.create(&name(number), false).unwrap();
        if number % 3 == 0 {
            opened(&*storage, &name(number));
        }
    }
    for number in (0..200).filter(|number| number / 40 == 2 || number % 7 == 0) {
        storage.delete(&name(number)).unwrap();
    }
    // One that has others below it, and those.
    let (upper, lower) = ("upper".to_owned(), format!("upper{separator}lower"));
    for name in [&upper, &lower] {
        storage.create(name, false).unwrap();
    }
    storage.delete(&upper).unwrap();
    let with_lower = names(&*storage);
    storage.delete(&lower).unwrap();
    storage.create(&upper, false).unwrap();
    let all = names(&*storage);
    assert!(with_lower.contains(&lower) && all.contains(&upper), "{text}: {all:?}");
    assert!(!all.iter().any(|name| name.starts_with("Unknown")), "{text}: the list was made anew");
    std::fs::remove_dir_all(extra).unwrap();
    assert_eq!(names(&*storage_at(text)), all, "{text}: what the directories have");
    if let Some(real) = Real::new(root, text, "mailbox_list_index_very_dirty_syncs = yes\n") {
        let theirs = String::from_utf8(real.run(&["mailbox", "list"], b"")).unwrap();
        let ours: Vec<&str> = all.iter().map(|name| name.trim_end_matches(" -")).collect();
        // It also shows the levels above, where nothing is.
        let is_above = |name: &str| ours.iter().any(|one| one.starts_with(&format!("{name}{separator}")));
        let mut theirs: Vec<&str> = theirs.lines().collect();
        theirs.retain(|name| ours.contains(name) || !is_above(name));
        theirs.sort_unstable();
        assert_eq!(theirs, ours, "{text}: what Dovecot finds in the list");
    }
}

#[test]
fn the_list_is_kept_up_with_mailboxes_one_by_one() {
    for (driver, words, extra) in [
        ("maildir", "", "mail/.Unknown"),
        ("maildir", ":LAYOUT=fs", "mail/Unknown/cur"),
        ("sdbox", "", "mail/mailboxes/Unknown/dbox-Mails"),
        ("mdbox", ":NO-NOSELECT", "mail/mailboxes/Unknown/dbox-Mails"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let text = location(driver, dir.path()) + words;
        check_one_by_one(&text, dir.path(), &dir.path().join(extra));
    }
}

#[test]
fn inbox_is_kept_only_if_it_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let text = location("maildir", dir.path());
    let storage = storage_at(&text);
    opened(&*storage, "INBOX");
    assert_eq!(storage.status("INBOX", ITEMS), None);
    let include = MailSettings { mailbox_list_index_include_inbox: true, ..settings() };
    let storage = storage_with(&text, include, Fs::default());
    assert_eq!(listed(&*storage, "INBOX").messages, 0);
}

#[test]
fn very_dirty_believes_without_looking() {
    let dir = tempfile::tempdir().unwrap();
    let text = location("maildir", dir.path());
    storage_at(&text).create("Work", false).unwrap();
    let dirty = MailSettings { mailbox_list_index_very_dirty_syncs: true, ..settings() };
    let storage = storage_with(&text, dirty, Fs::default());
    let status = opened(&*storage, "Work");
    assert_eq!(storage.status("Work", ITEMS), Some(status.clone()));
    support::deliver(&dir.path().join("mail/.Work"), "1.host", "Subject: x\n\nx\n");
    std::fs::create_dir(dir.path().join("mail/.Unknown")).unwrap();
    assert_eq!(storage.status("Work", ITEMS), Some(status));
    let names: Vec<String> = storage.list().unwrap().into_iter().map(|one| one.name).collect();
    assert!(names.contains(&"Work".to_owned()) && !names.contains(&"Unknown".to_owned()), "{names:?}");
}

#[test]
fn a_damaged_list_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let text = location("sdbox", dir.path());
    let (list, log) =
        (dir.path().join("mail/dovecot.list.index"), dir.path().join("mail/dovecot.list.index.log"));
    {
        let storage = storage_at(&text);
        storage.create("Work", false).unwrap();
        listed(&*storage, "Work");
    }
    for damage in [b"garbage".repeat(100), Vec::new()] {
        std::fs::write(&log, &damage).unwrap();
        std::fs::write(&list, &damage).unwrap();
        let storage = storage_at(&text);
        assert_eq!(storage.status("Work", ITEMS), None);
        assert_eq!(listed(&*storage, "Work").messages, 0);
    }
}

/// A mailbox that lost what its GUID is in gets another one, and the list takes it over.
#[test]
fn a_new_guid_is_in_the_list_at_once() {
    for (driver, lost) in [
        ("maildir", &["mail/.Work/dovecot-uidlist"][..]),
        ("mbox", &["mail/.imap/Work/dovecot.index", "mail/.imap/Work/dovecot.index.log"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let text = location(driver, dir.path());
        let made = storage_at(&text);
        made.create("Work", false).unwrap();
        let mut work = made.open("Work", OpenMode::ReadWrite).unwrap();
        save(&mut *work, "Subject: one\n\nx\n", Flags::NONE, &[]).unwrap();
        drop(work);
        let old = listed(&*made, "Work").guid;
        drop(made);
        let mut gone = lost.iter().filter(|path| std::fs::remove_file(dir.path().join(path)).is_ok());
        assert!(gone.by_ref().count() > 0, "{driver}");
        let after = storage_at(&text);
        let mut work = after.open("Work", OpenMode::ReadWrite).unwrap();
        work.sync(SyncMode::Full).unwrap();
        drop(work);
        let new = listed(&*after, "Work").guid;
        assert_ne!(new, old, "{driver}");
    }
}

#[test]
fn there_is_none_where_none_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let text = location("sdbox", dir.path());
    let off = MailSettings { mailbox_list_index: false, ..settings() };
    for storage in [storage_with(&text, off, Fs::default()), storage_at(&format!("{text}:LISTINDEX="))] {
        let _ = storage.create("Work", false);
        opened(&*storage, "Work");
        assert_eq!(storage.status("Work", ITEMS), None);
        storage.list().unwrap();
    }
    let written = |name: &str| dir.path().join("mail").join(name).exists();
    assert!(!written("dovecot.list.index.log"));
    let elsewhere = storage_at(&format!("{text}:LISTINDEX=lists/mine"));
    listed(&*elsewhere, "Work");
    assert!(written("lists/mine.log") && !written("dovecot.list.index.log"));
}

/// There is no room for the list.
struct NoList;

impl Hook for NoList {
    fn before(&self, _op: &'static str, path: &Path, bytes: usize) -> std::io::Result<usize> {
        let is_list = path.to_string_lossy().contains("dovecot.list.index");
        if is_list { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(bytes) }
    }
}

#[test]
fn a_mailbox_without_a_list_that_can_be_written_works() {
    let dir = tempfile::tempdir().unwrap();
    let text = location("maildir", dir.path());
    let storage = storage_with(&text, settings(), Fs::with_hook(Arc::new(NoList)));
    storage.create("Work", false).unwrap();
    let mut work = storage.open("Work", OpenMode::ReadWrite).unwrap();
    save(&mut *work, "Subject: x\n\nx\n", Flags::NONE, &[]).unwrap();
    assert_eq!(opened(&*storage, "Work").messages, 1);
    assert_eq!(storage.status("Work", ITEMS), None);
    assert!(storage.list().unwrap().len() == 2);
}

#[test]
fn the_size_is_kept_and_stays_right() {
    let dir = tempfile::tempdir().unwrap();
    let text = location("sdbox", dir.path());
    let storage = storage_at(&text);
    storage.create("Work", false).unwrap();
    let mut work = storage.open("Work", OpenMode::ReadWrite).unwrap();
    work.sync(SyncMode::Quick).unwrap();
    let mut expected = 0;
    for number in 1..=5u64 {
        let body = "x".repeat(usize::try_from(number).unwrap() * 10);
        save(&mut *work, &format!("Subject: x\r\n\r\n{body}\r\n"), Flags::NONE, &[]).unwrap();
        expected += 16 + 10 * number;
        assert_eq!(work.status(StatusItems::SIZE).unwrap().size, Some(expected));
    }
    work.sync(SyncMode::Quick).unwrap();
    work.expunge(&uids(&[2, 5])).unwrap();
    expected -= 16 + 20 + 16 + 50;
    // It has been taken off: no message has to be read for it.
    assert_eq!(listed(&*storage, "Work").size, Some(expected));
    assert_eq!(work.status(StatusItems::SIZE).unwrap().size, Some(expected));
    if let Some(real) = Real::new(dir.path(), &text, "") {
        let out = real.run(&["mailbox", "status", "vsize", "Work"], b"");
        assert_eq!(String::from_utf8_lossy(&out).trim_end(), format!("Work vsize={expected}"));
        real.run(&["expunge", "mailbox", "Work", "uid", "1"], b"");
        assert_eq!(work.status(StatusItems::SIZE).unwrap().size, Some(expected - 26));
    }
}

#[test]
fn the_cache_may_be_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{}:INDEXCACHE={}/caches", location("maildir", dir.path()), dir.path().display());
    let storage = storage_at(&text);
    storage.create("Work", false).unwrap();
    let real = Real::new(dir.path(), &text, "");
    let mut work = storage.open("Work", OpenMode::ReadWrite).unwrap();
    let uid = save(&mut *work, "Subject: x\n\nx\n", Flags::NONE, &[]).unwrap();
    work.sync(SyncMode::Quick).unwrap();
    work.fetch_fields(base::Uid::new(uid).unwrap(), storage::Wanted::ENVELOPE, &[]).unwrap();
    drop(work);
    let cache = "dovecot.index.cache";
    assert!(dir.path().join("caches/.Work").join(cache).exists());
    assert!(!dir.path().join("mail/.Work").join(cache).exists());
    if let Some(real) = real {
        // Dovecot looks for it there as well.
        assert_eq!(real.fields("Work", "hdr.subject"), ["x"]);
        assert!(!dir.path().join("mail/.Work").join(cache).exists());
    }
    storage.rename("Work", "Play").unwrap();
    assert!(dir.path().join("caches/.Play").join(cache).exists());
    storage.delete("Play").unwrap();
    assert!(!dir.path().join("caches/.Play").exists());
}

/// `file_seq` of a cache file, and how many records of it belong to nobody.
fn cache_counts(path: &Path) -> (u32, u32) {
    let bytes = std::fs::read(path).unwrap();
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    (word(8), word(24))
}

#[test]
fn a_cache_that_is_mostly_waste_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let text = location("maildir", dir.path());
    let storage = storage_at(&text);
    storage.create("Work", false).unwrap();
    let mut work = storage.open("Work", OpenMode::ReadWrite).unwrap();
    let subject = "s".repeat(600);
    let list: Vec<u32> = (1..=100)
        .map(|number| {
            save(&mut *work, &format!("Subject: {number} {subject}\n\nx\n"), Flags::NONE, &[]).unwrap()
        })
        .collect();
    work.sync(SyncMode::Quick).unwrap();
    for &uid in &list {
        work.fetch_fields(base::Uid::new(uid).unwrap(), storage::Wanted::ENVELOPE, &[]).unwrap();
    }
    work.sync(SyncMode::Quick).unwrap();
    let cache = dir.path().join("mail/.Work/dovecot.index.cache");
    let (first, wasted) = cache_counts(&cache);
    assert_eq!(wasted, 0);
    // `mail_cache_purge_delete_percentage`, 20.
    work.expunge(&uids(&list[..40])).unwrap();
    work.sync(SyncMode::Quick).unwrap();
    // The next session finds out.
    let (uid, facts) = (base::Uid::new(list[50]).unwrap(), storage::Wanted::ENVELOPE);
    drop(work);
    let mut work = storage.open("Work", OpenMode::ReadWrite).unwrap();
    work.sync(SyncMode::Quick).unwrap();
    let envelope = work.fetch_facts(uid, facts).unwrap().envelope;
    drop(work);
    let (second, wasted) = cache_counts(&cache);
    assert!(second > first && wasted == 0, "{first} {second} {wasted}");
    let mut work = storage.open("Work", OpenMode::ReadWrite).unwrap();
    // Nothing has to be read for what is in the new one.
    let known = work.fetch_facts(uid, facts | storage::Wanted::AT_HAND).unwrap();
    assert!(known.envelope == envelope && !known.was_slow);
    if let Some(real) = Real::new(dir.path(), &text, "") {
        assert_eq!(real.fields("Work", "hdr.subject")[10], format!("51 {subject}"));
        assert_eq!(cache_counts(&cache).0, second);
    }
}
