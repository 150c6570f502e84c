//! The same dbox mail used by us and by real Dovecot 2.3 in turns: UIDs, flags, keywords, GUIDs, sizes and
//! dates must agree at every step, and Dovecot must find nothing to mend.

#[path = "support/compare.rs"]
mod compare;
#[path = "support/place.rs"]
mod place;
#[path = "support/real.rs"]
mod real;
mod support;

use compare::{agree, ours, text};
use place::Place;
use storage::api::copy;
use storage::compress::Format;
use storage::{CopyMode, FlagMode, Flags, Mailbox, OpenMode, SyncMode, Wanted};
use support::{change, save, uids};

fn check_agreement(driver: &'static str, extra: &str) {
    let place = Place::new(driver, extra);
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    let open = |name: &str| storage.open(name, OpenMode::ReadWrite).unwrap();

    // Dovecot makes the mailbox.
    for number in 1..=4 {
        real.run(&["save"], format!("Subject: {number}\r\n\r\nline\r\n").as_bytes());
    }
    real.run(&["flags", "add", "\\Seen work $Forwarded", "mailbox", "INBOX", "uid", "1:2"], b"");
    real.run(&["mailbox", "create", "Entwürfe"], b"");
    real.run(&["mailbox", "create", "a/b"], b"");
    real.run(&["mailbox", "subscribe", "Entwürfe"], b"");
    let mut inbox = open("INBOX");
    let mut other = open("Entwürfe");
    assert_eq!(agree(&real, &mut *inbox).len(), 4);
    assert_eq!(text(&mut *inbox, 2), "Subject: 2\n\nline\n");
    assert_eq!(storage.subscriptions().unwrap(), ["Entwürfe"]);
    let mut listed: Vec<_> =
        storage.list().unwrap().iter().map(|one| (one.name.clone(), one.selectable)).collect();
    listed.sort();
    let expected = [("Entwürfe", true), ("INBOX", true), ("a", false), ("a/b", true)];
    assert_eq!(listed, expected.map(|(name, selectable)| (name.to_owned(), selectable)));

    // We change everything that can be changed.
    save(&mut *inbox, "Subject: 5\r\n\r\nours\r\n", Flags::NONE, &[]).unwrap();
    save(&mut *inbox, "Subject: 6\r\n\r\nours\r\n", Flags::DRAFT, &["work", "new-one"]).unwrap();
    agree(&real, &mut *inbox);
    assert_eq!(real.text("INBOX", 6), b"Subject: 6\n\nours\n");
    inbox.store_flags(&uids(&[1, 5]), &change(FlagMode::Replace, Flags::ANSWERED, &["again"])).unwrap();
    inbox.store_flags(&uids(&[2]), &change(FlagMode::Remove, Flags::SEEN, &["work"])).unwrap();
    inbox.expunge(&uids(&[3])).unwrap();
    agree(&real, &mut *inbox);
    copy(&mut *inbox, &uids(&[2, 6]), &mut *other, CopyMode::Move).unwrap();
    copy(&mut *inbox, &uids(&[1]), &mut *other, CopyMode::Copy).unwrap();
    assert_eq!(agree(&real, &mut *inbox).len(), 3);
    assert_eq!(agree(&real, &mut *other).len(), 3);
    storage.set_subscribed("INBOX", true).unwrap();
    assert_eq!(real.run(&["mailbox", "list", "-s"], b""), "Entwürfe\nINBOX\n".as_bytes());

    // Dovecot goes on.
    real.run(&["save"], b"Subject: 7\r\n\r\ntheirs\r\n");
    real.run(&["flags", "add", "\\Flagged third", "mailbox", "INBOX", "all"], b"");
    real.run(&["expunge", "mailbox", "INBOX", "uid", "1"], b"");
    real.run(&["move", "Entwürfe", "mailbox", "INBOX", "uid", "4"], b"");
    agree(&real, &mut *inbox);
    agree(&real, &mut *other);
    inbox.expunge(&uids(&[5])).unwrap();
    save(&mut *inbox, "Subject: 8\r\n\r\nours\r\n", Flags::SEEN, &[]).unwrap();
    let last = agree(&real, &mut *inbox);
    assert_eq!(last.len(), 2);

    // From scratch, as after a restart.
    drop((inbox, other));
    let mut inbox = open("INBOX");
    assert_eq!(ours(&mut *inbox), last);
    let guid = real.run(&["-f", "flow", "mailbox", "status", "guid uidvalidity", "INBOX"], b"");
    let validity = inbox.view().uid_validity();
    let expected = format!("INBOX uidvalidity={validity} guid={}\n", inbox.guid().unwrap());
    assert_eq!(String::from_utf8(guid).unwrap(), expected);

    // It finds nothing to mend but writes its index anew.
    let resync = real.try_run(&["force-resync", "*"], b"");
    let words = String::from_utf8_lossy(&resync.stderr).into_owned();
    // Whatever the map is like, it is looked through.
    let words: String = words.lines().filter(|line| !line.contains("fscking index file")).collect();
    assert!(
        words
            .lines()
            .all(|line| line.contains("Warning:") && line.to_lowercase().contains("rebuilding index")),
        "{words}"
    );
    assert_eq!(agree(&real, &mut *inbox), last);
    assert_eq!(agree(&real, &mut *open("Entwürfe")).len(), 4);
}

#[test]
fn sdbox() {
    check_agreement("sdbox", "");
}

#[test]
fn sdbox_in_several_places() {
    check_agreement("sdbox", ":ALT=~/alt:INDEX=~/index:CONTROL=~/control");
}

#[test]
fn sdbox_made_by_us() {
    made_by_us("sdbox");
}

fn made_by_us(driver: &'static str) {
    let place = Place::new(driver, "");
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 0..3 {
        save(&mut *inbox, &format!("Subject: {number}\r\n\r\nours\r\n"), Flags::SEEN, &["a", "b"]).unwrap();
    }
    storage.create("x/y", false).unwrap();
    storage.set_subscribed("x/y", true).unwrap();
    assert_eq!(agree(&real, &mut *inbox).len(), 3);
    assert_eq!(real.run(&["mailbox", "list", "-s"], b""), b"x/y\n");
    real.run(&["flags", "remove", "a", "mailbox", "INBOX", "uid", "2"], b"");
    real.run(&["expunge", "mailbox", "INBOX", "uid", "3"], b"");
    real.run(&["copy", "x/y", "mailbox", "INBOX", "uid", "1"], b"");
    agree(&real, &mut *inbox);
    let mut other = storage.open("x/y", OpenMode::ReadWrite).unwrap();
    assert_eq!(agree(&real, &mut *other).len(), 1);
    real.run(&["mailbox", "rename", "x/y", "x/z"], b"");
    storage.rename("x/z", "w").unwrap();
    let mut other = storage.open("w", OpenMode::ReadWrite).unwrap();
    assert_eq!(agree(&real, &mut *other).len(), 1);
    storage.delete("w").unwrap();
    assert_eq!(real.run(&["mailbox", "list"], b""), b"INBOX\n");
    assert!(storage.open("w", OpenMode::ReadWrite).is_err());
}

#[test]
fn sdbox_alternative_place() {
    let place = Place::new("sdbox", ":ALT=~/alt");
    let Some(real) = place.real() else { return };
    let mails = ["mail", "alt"].map(|root| format!("{root}/mailboxes/INBOX/dbox-Mails"));
    let [mail, alt] = mails.each_ref().map(|below| move |place: &Place| place.files(below));
    for number in 1..=3 {
        real.run(&["save"], format!("Subject: {number}\n\nx\n").as_bytes());
    }
    real.run(&["altmove", "mailbox", "INBOX", "uid", "1:2"], b"");
    assert_eq!(
        (mail(&place), alt(&place)),
        (vec!["u.3".to_owned()], vec!["u.1".to_owned(), "u.2".to_owned()])
    );
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    agree(&real, &mut *inbox);
    inbox.move_to_alt(&uids(&[2]), false).unwrap();
    inbox.move_to_alt(&uids(&[3]), true).unwrap();
    assert_eq!(
        (mail(&place), alt(&place)),
        (vec!["u.2".to_owned()], vec!["u.1".to_owned(), "u.3".to_owned()])
    );
    agree(&real, &mut *inbox);
    storage.create("copy", false).unwrap();
    let mut other = storage.open("copy", OpenMode::ReadWrite).unwrap();
    copy(&mut *inbox, &uids(&[1, 2, 3]), &mut *other, CopyMode::Copy).unwrap();
    assert_eq!(place.files("alt/mailboxes/copy/dbox-Mails"), ["u.1", "u.3"]);
    agree(&real, &mut *other);
    real.run(&["altmove", "-r", "mailbox", "INBOX", "uid", "1:3"], b"");
    assert_eq!(alt(&place), [""; 0]);
    inbox.move_to_alt(&uids(&[1]), true).unwrap();
    inbox.expunge(&uids(&[1, 2])).unwrap();
    assert_eq!((mail(&place), alt(&place)), (vec!["u.3".to_owned()], Vec::new()));
    agree(&real, &mut *inbox);
}

#[test]
fn sdbox_mended() {
    let place = Place::new("sdbox", "");
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 1..=4 {
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), Flags::SEEN, &["a"]).unwrap();
    }
    let before = agree(&real, &mut *inbox);
    let dir = place.path("mail/mailboxes/INBOX/dbox-Mails");
    // The index is lost, with all flags; what the files know stays.
    drop(inbox);
    for name in ["dovecot.index", "dovecot.index.log", "dovecot.index.cache", "dovecot.index.backup"] {
        let _ = std::fs::remove_file(dir.join(name));
    }
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    let flagless: Vec<_> = before.iter().map(|line| line.replace("\\Seen a", "")).collect();
    assert_eq!(agree(&real, &mut *inbox), flagless);
    // A file is lost, another one damaged.
    std::fs::remove_file(dir.join("u.2")).unwrap();
    let whole = std::fs::read(dir.join("u.3")).unwrap();
    std::fs::write(dir.join("u.3"), [b"x".as_slice(), &whole[1..]].concat()).unwrap();
    inbox.open_message(base::Uid::new(2).unwrap()).err().unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    assert_eq!(agree(&real, &mut *inbox), [&flagless[0], &flagless[2], &flagless[3]].map(String::clone));
    assert_eq!(place.files("mail/mailboxes/INBOX/dbox-Mails"), ["u.1", "u.3", "u.3.broken", "u.4"]);
    assert_eq!(save(&mut *inbox, "Subject: 5\n\nours\n", Flags::NONE, &[]).unwrap(), 5);
    inbox.rebuild(false).unwrap();
    assert_eq!(agree(&real, &mut *inbox).len(), 4);
}

/// Whoever expunged a message, or was saving one, died before it was done: the one stays away, the other is
/// there.
#[test]
fn sdbox_files_that_the_index_does_not_know() {
    let place = Place::new("sdbox", "");
    let mut inbox = place.storage().open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 1..=3 {
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), Flags::SEEN, &[]).unwrap();
    }
    inbox.sync(SyncMode::Quick).unwrap();
    let dir = place.path("mail/mailboxes/INBOX/dbox-Mails");
    let second = std::fs::read(dir.join("u.2")).unwrap();
    inbox.expunge(&uids(&[2])).unwrap();
    std::fs::write(dir.join("u.2"), second).unwrap();
    std::fs::copy(dir.join("u.3"), dir.join("u.4")).unwrap();
    assert_eq!(save(&mut *inbox, "Subject: 5\n\nours\n", Flags::NONE, &[]).unwrap(), 5);
    let view = inbox.sync(SyncMode::Quick).unwrap();
    assert_eq!(support::show(&view), "1(\\Seen) 3(\\Seen) 4() 5()");
    // Who asks for it gets all that is there.
    inbox.rebuild(true).unwrap();
    let view = inbox.sync(SyncMode::Quick).unwrap();
    assert_eq!(support::show(&view), "1(\\Seen) 2() 3(\\Seen) 4() 5()");
}

/// What is cached stays where the index is made anew, whoever does that, and nobody complains of it.
#[test]
fn sdbox_mended_keeps_its_cache() {
    let place = Place::new("sdbox", "");
    let Some(real) = place.real() else { return };
    let mut inbox = place.storage().open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 1..=4 {
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), Flags::SEEN, &[]).unwrap();
    }
    uids(&[1, 2, 3, 4]).iter().for_each(|uid| drop(inbox.fetch_facts(uid, Wanted::ENVELOPE).unwrap()));
    inbox.sync(SyncMode::Quick).unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    let cached = |mailbox: &dyn Mailbox| {
        let view = mailbox.view();
        let column = view.columns().named("cache").expect("a cache");
        let places: Vec<_> =
            uids(&[1, 2, 3, 4]).iter().map(|uid| view.ext(uid, column.id).unwrap().to_vec()).collect();
        (column.reset_id, places)
    };
    let before = cached(&*inbox);
    assert!(before.0 != 0 && before.1.iter().all(|place| *place != [0; 4]), "{before:?}");
    inbox.rebuild(true).unwrap();
    assert_eq!(cached(&*inbox), before);
    agree(&real, &mut *inbox);
    assert!(real.try_run(&["force-resync", "INBOX"], b"").status.success());
    inbox.rebuild(true).unwrap();
    agree(&real, &mut *inbox);
}

/// Both change the mailbox at the same time. In the end both agree.
fn at_the_same_time(driver: &'static str) {
    let place = Place::new(driver, "");
    let Some(real) = place.real() else { return };
    real.run(&["save"], b"Subject: first\n\nx\n");
    if rustix::process::geteuid().is_root() {
        // As root we would make files that the other side, working as nobody, cannot change.
        rustix::process::umask(rustix::fs::Mode::empty());
        for dir in ["mail", "mail/storage", "mail/mailboxes/INBOX/dbox-Mails"] {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            let _ = std::fs::set_permissions(place.path(dir), open);
        }
    }
    let storage = place.storage();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let saved = std::thread::scope(|scope| {
        let ours = scope.spawn(|| {
            let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
            let mut saved = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let uid = save(&mut *inbox, "Subject: ours\n\nx\n", Flags::SEEN, &["ours"]).unwrap();
                saved += 1;
                if saved % 3 == 0 {
                    inbox.store_flags(&uids(&[uid]), &change(FlagMode::Add, Flags::FLAGGED, &[])).unwrap();
                }
                if saved % 5 == 0 {
                    inbox.expunge(&uids(&[uid])).unwrap();
                    saved -= 1;
                }
            }
            saved
        });
        let theirs = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..15 {
                real.run(&["save"], format!("Subject: theirs {number}\n\nx\n").as_bytes());
                real.run(&["flags", "add", "\\Answered", "mailbox", "INBOX", "subject", "theirs"], b"");
            }
        }));
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        let saved = ours.join().unwrap();
        theirs.unwrap();
        saved
    });
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    let seen = agree(&real, &mut *inbox);
    assert_eq!(seen.len(), saved + 16);
    assert_eq!(seen.iter().filter(|line| line.contains("\\Answered")).count(), 15);
}

#[test]
fn sdbox_at_the_same_time() {
    at_the_same_time("sdbox");
}

#[test]
fn mdbox() {
    check_agreement("mdbox", "");
}

#[test]
fn mdbox_in_several_places() {
    check_agreement("mdbox", ":ALT=~/alt:INDEX=~/index:CONTROL=~/control");
}

#[test]
fn mdbox_made_by_us() {
    made_by_us("mdbox");
}

#[test]
fn mdbox_at_the_same_time() {
    at_the_same_time("mdbox");
}

/// Neither side finds anything to mend in what the other did: copies, expunges, purges, and moves to the
/// alternative place and back.
fn nothing_to_mend(driver: &'static str) {
    let place = Place::new(driver, ":ALT=~/alt");
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    storage.create("other", false).unwrap();
    let open = |name: &str| storage.open(name, OpenMode::ReadWrite).unwrap();
    let (mut inbox, mut other) = (open("INBOX"), open("other"));
    let mut step = 0;
    let mut check = |inbox: &mut dyn Mailbox, other: &mut dyn Mailbox| {
        step += 1;
        let state = |inbox: &mut dyn Mailbox, other: &mut dyn Mailbox| {
            let map = if driver == "mdbox" { place.map() } else { Vec::new() };
            (agree(&real, inbox), agree(&real, other), map)
        };
        let before = state(inbox, other);
        let resync = real.try_run(&["force-resync", "*"], b"");
        let words = String::from_utf8_lossy(&resync.stderr).to_lowercase();
        let expected = ["rebuilding index", "fscking index file"];
        let is_expected =
            |line: &str| line.contains("warning:") && expected.iter().any(|word| line.contains(word));
        assert!(resync.status.success() && words.lines().all(is_expected), "step {step}: {words}");
        assert_eq!(state(inbox, other), before, "step {step}: Dovecot has mended something");
        inbox.rebuild(true).unwrap();
        other.rebuild(true).unwrap();
        assert_eq!(state(inbox, other), before, "step {step}: we have mended something");
    };
    for number in 1..=8 {
        let flags = if number % 2 == 0 { Flags::SEEN } else { Flags::NONE };
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), flags, &["a"]).unwrap();
    }
    inbox.sync(SyncMode::Quick).unwrap();
    copy(&mut *inbox, &uids(&[1, 2, 3]), &mut *other, CopyMode::Copy).unwrap();
    check(&mut *inbox, &mut *other);
    inbox.expunge(&uids(&[1, 5])).unwrap();
    check(&mut *inbox, &mut *other);
    inbox.move_to_alt(&uids(&[2, 6, 7]), true).unwrap();
    other.move_to_alt(&uids(&[2]), true).unwrap();
    storage.purge().unwrap();
    check(&mut *inbox, &mut *other);
    real.run(&["altmove", "mailbox", "INBOX", "uid", "3"], b"");
    real.run(&["altmove", "-r", "mailbox", "INBOX", "uid", "6"], b"");
    real.run(&["expunge", "mailbox", "other", "uid", "1"], b"");
    real.run(&["purge"], b"");
    check(&mut *inbox, &mut *other);
    inbox.move_to_alt(&uids(&[2, 6, 7]), false).unwrap();
    copy(&mut *inbox, &uids(&[7]), &mut *other, CopyMode::Move).unwrap();
    inbox.expunge(&uids(&[8])).unwrap();
    storage.purge().unwrap();
    check(&mut *inbox, &mut *other);
    real.run(&["move", "other", "mailbox", "INBOX", "uid", "2"], b"");
    real.run(&["save"], b"Subject: 9\n\ntheirs\n");
    real.run(&["purge"], b"");
    check(&mut *inbox, &mut *other);
}

#[test]
fn sdbox_has_nothing_to_mend() {
    nothing_to_mend("sdbox");
}

/// Replicas find an expunged message by the GUID that the log keeps.
#[test]
fn sdbox_expunges_with_guids() {
    let place = Place::new("sdbox", "");
    let Some(real) = place.real() else { return };
    for _ in 0..3 {
        real.run(&["save"], b"Subject: one\n\nbody\n");
    }
    let known = real.fields("INBOX", "uid guid");
    assert_eq!(known.len(), 3, "{known:?}");
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    inbox.expunge(&uids(&[1, 2, 3])).unwrap();
    drop((inbox, storage));
    let log = place.path("mail/mailboxes/INBOX/dbox-Mails/dovecot.index.log");
    let dump = String::from_utf8(real.run(&["dump", log.to_str().unwrap()], b"")).unwrap();
    for (uid, guid) in known.iter().filter_map(|line| line.split_once('\t')) {
        assert!(dump.contains(&format!("- uid={uid} (guid {guid})")), "{uid} {guid}: {dump}");
    }
}

#[test]
fn mdbox_has_nothing_to_mend() {
    nothing_to_mend("mdbox");
}

/// Whatever is in the files, nothing panics, and afterwards mail can be saved.
fn damaged_at_random(driver: &'static str) {
    let place = Place::new(driver, "");
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % limit.max(1)
    };
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 0..12 {
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), Flags::SEEN, &["a"]).unwrap();
    }
    drop((inbox, storage));
    for _ in 0..60 {
        let mut files = Vec::new();
        for dir in ["mail/mailboxes/INBOX/dbox-Mails", "mail/storage"] {
            let entries = std::fs::read_dir(place.path(dir)).into_iter().flatten();
            files.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let file = &files[random(files.len())];
        let mut bytes = std::fs::read(file).unwrap();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, random(256) as u8),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random(256) as u8),
            }
        }
        std::fs::write(file, bytes).unwrap();
        let storage = place.storage();
        let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
        let Ok(view) = inbox.sync(SyncMode::Quick) else { continue };
        for record in view.records() {
            let _ = inbox.fetch_facts(record.uid, Wanted::GUID | Wanted::SIZE_VIRTUAL);
            let _ = inbox.open_message(record.uid).map(|mut reader| {
                let _ = std::io::copy(&mut reader, &mut std::io::sink());
            });
        }
        let _ = inbox.sync(SyncMode::Quick);
        let _ = save(&mut *inbox, "Subject: more\n\nours\n", Flags::NONE, &["a"]);
        let _ = storage.purge();
    }
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    inbox.rebuild(false).unwrap();
    save(&mut *inbox, "Subject: last\n\nours\n", Flags::NONE, &["a"]).unwrap();
    inbox.rebuild(false).unwrap();
    let view = inbox.view();
    for record in view.records() {
        inbox.fetch_facts(record.uid, Wanted::GUID).unwrap();
    }
}

#[test]
fn sdbox_damaged_at_random() {
    damaged_at_random("sdbox");
}

#[test]
fn mdbox_damaged_at_random() {
    damaged_at_random("mdbox");
}

fn compressed(driver: &'static str, format: Format) {
    let mut place = Place::new(driver, "");
    place.compressed = Some(format);
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    let long = format!("Subject: long\n\n{}", "the same line\n".repeat(9000));
    real.run(&["save"], long.as_bytes());
    real.run(&["save"], b"Subject: short\n\nx\n");
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    assert!(text(&mut *inbox, 1) == long);
    assert_eq!(save(&mut *inbox, &long.replace('\n', "\r\n"), Flags::SEEN, &[]).unwrap(), 3);
    save(&mut *inbox, "Subject: short\n\nx\n", Flags::SEEN, &[]).unwrap();
    assert_eq!(agree(&real, &mut *inbox).len(), 4);
    for uid in [1, 3] {
        assert!(text(&mut *inbox, uid) == long && real.text("INBOX", uid) == long.as_bytes());
    }
    storage.create("other", false).unwrap();
    let mut other = storage.open("other", OpenMode::ReadWrite).unwrap();
    copy(&mut *inbox, &uids(&[1, 3]), &mut *other, CopyMode::Copy).unwrap();
    assert_eq!(agree(&real, &mut *other).len(), 2);
    // They really are compressed.
    fn total(dir: &std::path::Path) -> u64 {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        entries
            .map(
                |entry| {
                    if entry.path().is_dir() { total(&entry.path()) } else { entry.metadata().unwrap().len() }
                },
            )
            .sum()
    }
    assert!(total(&place.path("mail")) < long.len() as u64);
    inbox.rebuild(false).unwrap();
    assert_eq!(agree(&real, &mut *inbox).len(), 4);
    real.try_run(&["force-resync", "*"], b"");
    assert_eq!(agree(&real, &mut *inbox).len(), 4);
}

#[test]
fn sdbox_compressed() {
    compressed("sdbox", Format::Gz);
    compressed("sdbox", Format::Zstd);
}

#[test]
fn mdbox_compressed() {
    compressed("mdbox", Format::Gz);
    compressed("mdbox", Format::Lz4);
}

/// `RENAME INBOX` (RFC 9051 §6.3.6): the mail is in the new mailbox, and INBOX is empty.
#[test]
fn inbox_is_renamed() {
    for driver in ["sdbox", "mdbox"] {
        let place = Place::new(driver, "");
        let Some(real) = place.real() else { return };
        let storage = place.storage();
        let open = |name: &str| storage.open(name, OpenMode::ReadWrite).unwrap();
        save(&mut *open("INBOX"), "Subject: 1\r\n\r\none\r\n", Flags::SEEN, &["work"]).unwrap();
        storage.create("INBOX/below", false).unwrap();
        let before = ours(&mut *open("INBOX"));
        storage.rename("INBOX", "Moved").unwrap();
        assert_eq!(ours(&mut *open("Moved")), before);
        assert_eq!(agree(&real, &mut *open("Moved")), before);
        assert_eq!(agree(&real, &mut *open("INBOX")), Vec::<String>::new());
        assert_eq!(real.run(&["mailbox", "list"], b"").len(), "INBOX\nMoved\nMoved/below\n".len());
        real.run(&["mailbox", "rename", "INBOX", "Empty"], b"");
        save(&mut *open("INBOX"), "Subject: 2\r\n\r\ntwo\r\n", Flags::NONE, &[]).unwrap();
        assert_eq!(agree(&real, &mut *open("INBOX")).len(), 1);
    }
}

/// What the cache knows of messages outlives an index that is made anew.
#[test]
fn a_rebuilt_index_finds_its_cache() {
    let place = Place::new("sdbox", "");
    let Some(real) = place.real() else { return };
    real.run(&["save"], b"Subject: 1\r\n\r\none\r\n");
    real.run(&["fetch", "hdr.subject", "all"], b"");
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    inbox.rebuild(false).unwrap();
    let facts = inbox.fetch_fields(base::Uid::ONE, Wanted::AT_HAND, &["Subject"]).unwrap();
    assert_eq!(facts.fields.as_deref(), Some(&b"Subject: 1\n"[..]));
    drop(inbox);
    real.run(&["fetch", "hdr.subject", "all"], b"");
}
