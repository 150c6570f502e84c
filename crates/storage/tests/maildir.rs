//! What a Maildir does for its sessions, seen from outside.

mod support;

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use base::Uid;
use storage::api::copy;
use storage::fs::{Fs, Hook};
use storage::{CopyMode, Error, FlagMode, Flags, OpenMode, SaveMeta, StatusItems, Storage, SyncMode, Wanted};
use support::{Home, change, deliver, save, show, uids};

#[test]
fn saved_messages_have_names_sizes_and_uids() {
    let home = Home::new();
    let mut inbox = home.inbox();
    assert_eq!(save(&mut *inbox, "A: b\r\n\r\nline\r\n", Flags::NONE, &[]).unwrap(), 1);
    assert_eq!(save(&mut *inbox, "A: b\n\nx\ry\r", Flags::SEEN | Flags::FLAGGED, &["work"]).unwrap(), 2);
    let view = inbox.sync(SyncMode::Quick).unwrap();
    assert_eq!(show(&view), "1() 2(\\Flagged \\Seen work)");
    assert_eq!(inbox.recent().to_string(), "1:2");
    let files = home.files();
    assert!(files[0].contains("host,S=11,W=14:2,") && files[1].ends_with(",S=9,W=11:2,FSa"), "{files:?}");
    let uidlist = home.uidlist();
    assert!(
        uidlist.starts_with("3 V") && uidlist.contains("\n1 :") && uidlist.contains("\n2 :"),
        "{uidlist}"
    );
    assert_eq!(std::fs::read_to_string(home.root().join("dovecot-keywords")).unwrap(), "0 work\n");
    let mut text = String::new();
    inbox.open_message(Uid::ONE).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "A: b\n\nline\n");
    let facts =
        inbox.fetch_facts(Uid::ONE, Wanted::SIZE_VIRTUAL | Wanted::HEADER | Wanted::ENVELOPE).unwrap();
    assert_eq!(facts.size_virtual, Some(14));
    assert_eq!(facts.header.as_deref(), Some(&b"A: b\n\n"[..]));
}

#[test]
fn changes_by_other_programs_are_noticed() {
    let home = Home::new();
    let mut inbox = home.inbox();
    deliver(&home.root(), "20.M1P1.x", "b\n");
    deliver(&home.root(), "10.M1P1.x", "a\n");
    let view = inbox.sync(SyncMode::Quick).unwrap();
    assert_eq!((show(&view).as_str(), inbox.recent().to_string().as_str()), ("1() 2()", "1:2"));
    assert_eq!(home.files(), ["cur/10.M1P1.x:2,", "cur/20.M1P1.x:2,"]);
    let cur = home.root().join("cur");
    std::fs::rename(cur.join("10.M1P1.x:2,"), cur.join("10.M1P1.x:2,RS")).unwrap();
    std::fs::remove_file(cur.join("20.M1P1.x:2,")).unwrap();
    deliver(&home.root(), "30.M1P1.x", "c\n");
    assert_eq!(show(&inbox.sync(SyncMode::Quick).unwrap()), "1(\\Answered \\Seen) 3()");
    // Between our look and our change somebody renames once more.
    std::fs::rename(cur.join("10.M1P1.x:2,RS"), cur.join("10.M1P1.x:2,S")).unwrap();
    let view = inbox.store_flags(&uids(&[1]), &change(FlagMode::Add, Flags::FLAGGED, &[])).unwrap();
    assert_eq!(show(&view), "1(\\Flagged \\Seen) 3()");
    // A file put back after its expunge is a new message.
    inbox.expunge(&uids(&[1])).unwrap();
    std::fs::write(cur.join("10.M1P1.x:2,S"), "a\n").unwrap();
    assert_eq!(show(&inbox.sync(SyncMode::Full).unwrap()), "3() 4(\\Seen)");
}

#[test]
fn sessions_of_one_process_see_each_other() {
    let home = Home::new();
    let (mut one, mut two) = (home.inbox(), home.inbox());
    save(&mut *one, "x\n", Flags::NONE, &[]).unwrap();
    one.sync(SyncMode::Quick).unwrap();
    let view = two.sync(SyncMode::Quick).unwrap();
    assert_eq!((view.len(), one.recent().len(), two.recent().len()), (1, 1, 0));
    let woken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = woken.clone();
    let add = move || {
        seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    };
    let _subscription = two.subscribe(std::sync::Arc::new(add)).unwrap();
    one.store_flags(&uids(&[1]), &change(FlagMode::Add, Flags::SEEN, &["later"])).unwrap();
    assert_ne!(woken.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(show(&two.sync(SyncMode::Memory).unwrap()), "1(\\Seen later)");
    one.expunge(&uids(&[1])).unwrap();
    assert!(matches!(two.open_message(Uid::ONE), Err(Error::Expunged(_))));
}

#[test]
fn examine_changes_nothing() {
    let home = Home::new();
    home.inbox();
    deliver(&home.root(), "20.M1P1.x", "b\n");
    let mut mailbox = home.storage().open("INBOX", OpenMode::ReadOnly).unwrap();
    assert_eq!(mailbox.sync(SyncMode::Quick).unwrap().len(), 1);
    assert_eq!((home.files(), mailbox.recent().len()), (vec!["new/20.M1P1.x".to_owned()], 1));
    assert!(matches!(mailbox.expunge(&uids(&[1])), Err(Error::NoPermission(_))));
    let status = mailbox.status(StatusItems::MESSAGES | StatusItems::SIZE).unwrap();
    assert_eq!((status.messages, status.recent, status.size), (1, 1, Some(3)));
}

#[test]
fn copies_keep_flags_dates_and_guid() {
    let home = Home::new();
    let storage = home.storage();
    let mut inbox = home.inbox();
    storage.create("Archive.2024", false).unwrap();
    let mut archive = storage.open("Archive.2024", OpenMode::ReadWrite).unwrap();
    save(&mut *inbox, "x\n", Flags::SEEN, &["work"]).unwrap();
    save(&mut *inbox, "y\n", Flags::NONE, &[]).unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    let guid = |mailbox: &mut dyn storage::Mailbox, uid| {
        mailbox.fetch_facts(Uid::new(uid).unwrap(), Wanted::GUID | Wanted::INTERNAL_DATE).unwrap()
    };
    let before = guid(&mut *inbox, 1);
    let copied = copy(&mut *inbox, &uids(&[1, 2, 7]), &mut *archive, CopyMode::Move).unwrap();
    assert_eq!(copied.destination.len(), 2);
    assert!(inbox.sync(SyncMode::Quick).unwrap().is_empty());
    assert_eq!(show(&archive.sync(SyncMode::Quick).unwrap()), "1(\\Seen work) 2()");
    let after = guid(&mut *archive, 1);
    assert_eq!((before.guid, before.internal_date), (after.guid, after.internal_date));
    // Into the same mailbox: the name is taken, so the GUID goes into the uidlist.
    let mut same = storage.open("Archive.2024", OpenMode::Append).unwrap();
    copy(&mut *archive, &uids(&[1]), &mut *same, CopyMode::Copy).unwrap();
    assert_eq!(show(&archive.sync(SyncMode::Quick).unwrap()), "1(\\Seen work) 2() 3(\\Seen work)");
    assert_eq!(guid(&mut *archive, 3).guid, guid(&mut *archive, 1).guid);
    assert_eq!(home.files().len(), 0);
}

#[test]
fn an_aborted_save_leaves_nothing() {
    let home = Home::new();
    let mut inbox = home.inbox();
    let before = home.uidlist();
    let mut batch = inbox.begin_save().unwrap();
    for _ in 0..2 {
        batch.begin(SaveMeta::default()).unwrap();
        batch.write(b"x").unwrap();
    }
    batch.end().unwrap();
    batch.begin(SaveMeta::default()).unwrap();
    drop(batch);
    assert!(home.files().is_empty());
    assert_eq!(home.uidlist(), before);
}

#[test]
fn damaged_uidlists() {
    let home = Home::new();
    let mut inbox = home.inbox();
    save(&mut *inbox, "x\n", Flags::SEEN, &[]).unwrap();
    save(&mut *inbox, "y\n", Flags::SEEN, &[]).unwrap();
    let good = home.uidlist();
    let path = home.root().join("dovecot-uidlist");
    // While it is open, memory mends the file and nothing changes for the session.
    let validity = inbox.sync(SyncMode::Quick).unwrap().uid_validity();
    for bad in ["garbage\n", "", "3 V1 N1\n1\n"] {
        std::fs::write(&path, bad).unwrap();
        let view = inbox.sync(SyncMode::Full).unwrap();
        assert_eq!((show(&view).as_str(), view.uid_validity()), ("1(\\Seen) 2(\\Seen)", validity), "{bad:?}");
        assert_eq!(home.uidlist().lines().nth(1), good.lines().nth(1));
    }
    drop(inbox);
    // A line torn at the end is only that line.
    std::fs::write(&path, good.get(..good.len() - 5).unwrap()).unwrap();
    let mut inbox = home.inbox();
    assert_eq!(inbox.view().uid_validity(), validity);
    assert_eq!(inbox.view().len(), 2);
    assert_eq!(save(&mut *inbox, "z\n", Flags::SEEN, &[]).unwrap(), inbox.view().uid_next().get());
    drop(inbox);
    // Garbage without memory: the index knows UIDVALIDITY, and which UIDs are not to be given again.
    std::fs::write(&path, "garbage\n").unwrap();
    let inbox = home.inbox();
    assert_eq!(inbox.view().uid_validity(), validity);
    assert_eq!(inbox.view().uids().to_string(), "5:7");
    drop(inbox);
    // Without either there is a new UIDVALIDITY.
    std::fs::write(&path, "garbage\n").unwrap();
    std::fs::remove_file(home.root().join("dovecot.index.log")).unwrap();
    let _ = std::fs::remove_file(home.root().join("dovecot.index"));
    let inbox = home.inbox();
    assert_ne!(inbox.view().uid_validity(), validity);
    assert_eq!(inbox.view().len(), 3);
}

#[test]
fn keywords_beyond_the_alphabet_are_in_the_index() {
    let home = Home::new();
    let mut inbox = home.inbox();
    save(&mut *inbox, "x\n", Flags::NONE, &[]).unwrap();
    for index in 0..40 {
        let name = format!("k{index}");
        inbox.store_flags(&uids(&[1]), &change(FlagMode::Add, Flags::NONE, &[&name])).unwrap();
    }
    let removed = change(FlagMode::Remove, Flags::NONE, &["k3", "k33"]);
    inbox.store_flags(&uids(&[1]), &removed).unwrap();
    let kept = (0..40).filter(|index| ![3, 33].contains(index));
    let expected = format!("1({})", kept.map(|index| format!("k{index}")).collect::<Vec<_>>().join(" "));
    assert_eq!(show(&inbox.sync(SyncMode::Full).unwrap()), expected);
    drop(inbox);
    assert_eq!(show(&home.inbox().sync(SyncMode::Full).unwrap()), expected);
    // Another program's change of letters leaves the others alone.
    let cur = home.root().join("cur");
    let file = std::fs::read_dir(&cur).unwrap().next().unwrap().unwrap().path();
    let renamed = file.to_str().unwrap().replace(":2,a", ":2,S");
    std::fs::rename(&file, renamed).unwrap();
    let expected = expected.replace("(k0 ", "(\\Seen ");
    assert_eq!(show(&home.inbox().sync(SyncMode::Full).unwrap()), expected);
}

#[test]
fn mailboxes_are_created_listed_renamed_deleted() {
    for (extra, separator) in [("", "."), (":LAYOUT=fs", "/")] {
        let home = Home::new();
        let storage = home.storage_at(extra, storage::fs::Fs::default());
        let name = |text: &str| text.replace('/', separator);
        let listed = || {
            let mut names: Vec<String> = storage
                .list()
                .unwrap()
                .into_iter()
                .map(|one| format!("{}{}", one.name, if one.selectable { "" } else { "-" }))
                .collect();
            names.sort();
            names.join(" ")
        };
        storage.open("INBOX", OpenMode::ReadWrite).unwrap();
        storage.create(&name("Entwürfe"), false).unwrap();
        storage.create(&name("a/b"), false).unwrap();
        assert!(matches!(storage.create(&name("a/b"), false), Err(Error::Exists(_))));
        let parent = if separator == "/" { "a- " } else { "" };
        assert_eq!(listed(), name(&format!("Entwürfe INBOX {parent}a/b")));
        storage.create("a", false).unwrap();
        storage.rename("a", "z").unwrap();
        assert_eq!(listed(), name("Entwürfe INBOX z z/b"));
        assert!(matches!(storage.rename("a", "y"), Err(Error::NotFound(_))));
        storage.delete("z").unwrap();
        let parent = if separator == "/" { "z- " } else { "" };
        assert_eq!(listed(), name(&format!("Entwürfe INBOX {parent}z/b")));
        for bad in ["", "..", "a/../b", "a//b", "x\ty", "/etc", "~root"] {
            assert!(storage.create(bad, false).is_err(), "{bad}");
        }
        // Where mailboxes lie beside the files of INBOX they must not take their places.
        for own in ["dovecot-uidlist", "dovecot.index.log", "subscriptions", "cur"] {
            assert_eq!(storage.create(own, false).is_err(), separator == "/", "{own}");
        }
        assert!(storage.set_subscribed("Entwürfe", true).unwrap());
        assert_eq!(storage.subscriptions().unwrap(), ["Entwürfe"]);
    }
}

#[test]
fn searches() {
    use storage::search::{DateKind, Day, Query, run};
    let home = Home::new();
    let mut inbox = home.inbox();
    let text = |subject: &str, body: &str| {
        format!("Date: Fri, 1 Mar 2024 10:00:00 +0100\r\nSubject: {subject}\r\n\r\n{body}\r\n")
    };
    save(&mut *inbox, &text("Hello World", "first body"), Flags::SEEN, &["Work"]).unwrap();
    save(&mut *inbox, &text("other", "Second BODY with more words"), Flags::NONE, &[]).unwrap();
    let view = inbox.sync(SyncMode::Quick).unwrap();
    let mut check = |query: Query, expected: &[u32]| {
        let found = run(&mut *inbox, &view, &query).unwrap();
        assert_eq!(found.iter().map(|uid| uid.get()).collect::<Vec<_>>(), expected, "{query:?}");
    };
    let header = |name: &str, text: &str| Query::Header { name: name.into(), text: text.into() };
    let day = Day::from_ymd(2024, 3, 1).unwrap();
    check(Query::All, &[1, 2]);
    check(Query::Not(Box::new(Query::Flags(Flags::SEEN))), &[2]);
    check(Query::Keyword("WORK".into()), &[1]);
    check(Query::Recent, &[1, 2]);
    check(header("subject", "hello w"), &[1]);
    check(header("X-None", ""), &[]);
    check(Query::And(vec![Query::Body("body".into()), Query::Larger(80)]), &[2]);
    check(Query::Or(vec![Query::Text("WORLD".into()), Query::Body("more words".into())]), &[1, 2]);
    check(Query::On(DateKind::Sent, day), &[1, 2]);
    check(Query::Before(DateKind::Sent, day), &[]);
    check(Query::Since(DateKind::Received, day), &[1, 2]);
    check(Query::Younger(3600), &[1, 2]);
    check(Query::And(vec![Query::Uids(uids(&[2, 9])), Query::Text("nothing of it".into())]), &[]);
}

#[test]
fn a_change_of_ours_hides_no_other() {
    let home = Home::new();
    let mut inbox = home.inbox();
    deliver(&home.root(), "10.M1P1.x", "a\n");
    assert_eq!(show(&inbox.sync(SyncMode::Quick).unwrap()), "1()");
    let cur = home.root().join("cur");
    std::fs::rename(cur.join("10.M1P1.x:2,"), cur.join("10.M1P1.x:2,R")).unwrap();
    // Saving looks at the uidlist only.
    save(&mut *inbox, "A: b\n\nx\n", Flags::SEEN, &[]).unwrap();
    assert_eq!(show(&inbox.sync(SyncMode::Quick).unwrap()), "1(\\Answered) 2(\\Seen)");
}

#[test]
fn what_nobody_claimed_stays_recent() {
    let home = Home::new();
    let open = |mode| home.storage().open("INBOX", mode).unwrap();
    // Once into a mailbox that nobody has looked at, once into one that somebody has open.
    home.inbox();
    save(&mut *open(OpenMode::ReadWrite), "A: b\n\nx\n", Flags::SEEN, &[]).unwrap();
    let mut first = open(OpenMode::ReadOnly);
    first.sync(SyncMode::Quick).unwrap();
    save(&mut *open(OpenMode::ReadWrite), "A: b\n\nx\n", Flags::FLAGGED, &[]).unwrap();
    drop(first);
    let mut second = home.inbox();
    second.sync(SyncMode::Quick).unwrap();
    assert_eq!(second.recent().to_string(), "1:2");
    let mut third = home.inbox();
    third.sync(SyncMode::Quick).unwrap();
    assert!(third.recent().is_empty());
}

#[test]
fn sizes_are_those_of_what_is_read() {
    let home = Home::new();
    let mut inbox = home.inbox();
    // As in 2.3 one CR before a line end is part of it, and one at the very end is dropped.
    save(&mut *inbox, "A: b\r\r\n\r\nx\ry\r\r\r\nz\r", Flags::SEEN, &[]).unwrap();
    let mut text = String::new();
    inbox.open_message(Uid::ONE).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "A: b\r\n\nx\ry\r\r\nz");
    let facts = inbox.fetch_facts(Uid::ONE, Wanted::SIZE_VIRTUAL).unwrap();
    assert_eq!(facts.size_virtual, Some(text.replace("\r\n", "\n").replace('\n', "\r\n").len() as u64));
}

#[test]
fn what_is_no_message() {
    let home = Home::new();
    let mut inbox = home.inbox();
    let cur = home.root().join("cur");
    std::fs::create_dir(cur.join("directory:2,")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, cur.join("pipe:2,"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::fs::write(cur.join("two\nlines:2,S"), "A: b\n\nx\n").unwrap();
    assert_eq!(inbox.sync(SyncMode::Full).unwrap().len(), 0);
    // The name with a line end got another, in new/.
    assert_eq!(inbox.sync(SyncMode::Full).unwrap().len(), 1);
    let lines = home.uidlist();
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

/// Refuses files without names: to make them, or to give them names.
struct Refuse(&'static str);

impl Hook for Refuse {
    fn before(&self, op: &'static str, path: &Path, bytes: usize) -> io::Result<usize> {
        let is_refused = match op {
            "open" => path.ends_with("tmp"),
            _ => path.parent().is_some_and(|dir| dir.ends_with("new")),
        };
        match op == self.0 && is_refused {
            true => Err(io::ErrorKind::Unsupported.into()),
            false => Ok(bytes),
        }
    }
}

#[test]
fn nothing_is_left_of_what_is_not_saved() {
    let count = |home: &Home| std::fs::read_dir(home.root().join("tmp")).unwrap().count();
    let refused = |op| Fs::with_hook(Arc::new(Refuse(op)));
    for (fs, named) in [(Fs::default(), 0), (refused("open"), 1), (refused("link"), 0)] {
        let home = Home::new();
        let mut inbox = home.storage_at("", fs).open("INBOX", OpenMode::ReadWrite).unwrap();
        for complete in [false, true] {
            let mut batch = inbox.begin_save().unwrap();
            batch.begin(SaveMeta::default()).unwrap();
            batch.write(b"a: b\n\nc\n").unwrap();
            if complete {
                batch.end().unwrap();
            }
            assert_eq!(count(&home), named);
            drop(batch);
            assert_eq!((count(&home), home.files().len()), (0, 0));
        }
        // More than are kept open.
        let mut batch = inbox.begin_save().unwrap();
        for _ in 0..40 {
            batch.begin(SaveMeta::default()).unwrap();
            batch.write(b"a: b\n\nc\n").unwrap();
            batch.end().unwrap();
        }
        assert!(count(&home) >= 20 && count(&home) <= 40);
        assert_eq!(batch.commit().unwrap().uids.len(), 40);
        assert_eq!((count(&home), home.files().len()), (0, 40));
        assert!(home.files().iter().all(|name| home.root().join(name).metadata().unwrap().len() == 8));
        assert_eq!(inbox.sync(SyncMode::Full).unwrap().uids().iter().count(), 40);
    }
}
