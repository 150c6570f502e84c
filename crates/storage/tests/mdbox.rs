//! What only mdbox has, with real Dovecot 2.3 beside us: the map, references, purging, and what a power failure
//! leaves of them.

#[path = "support/compare.rs"]
mod compare;
#[path = "support/place.rs"]
mod place;
#[path = "support/real.rs"]
mod real;
mod support;

use std::sync::Arc;

use base::Logger;
use compare::{agree, text};
use place::Place;
use real::Real;
use storage::api::copy;
use storage::{CopyMode, DboxStorage, Flags, Location, MailSettings, OpenMode, SaveMeta, Storage, SyncMode};
use support::{save, uids};

#[test]
fn mdbox_references_and_purge() {
    let place = Place::new("mdbox", "");
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 1..=4 {
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), Flags::NONE, &[]).unwrap();
    }
    assert_eq!(place.files("mail/storage"), ["m.1"]);
    inbox.sync(SyncMode::Quick).unwrap();
    storage.create("copy", false).unwrap();
    let mut other = storage.open("copy", OpenMode::ReadWrite).unwrap();
    copy(&mut *inbox, &uids(&[1, 2]), &mut *other, CopyMode::Copy).unwrap();
    real.run(&["copy", "copy", "mailbox", "INBOX", "uid", "1"], b"");
    assert_eq!(place.map(), ["1 m.1 x3", "2 m.1 x2", "3 m.1 x1", "4 m.1 x1"]);
    inbox.expunge(&uids(&[1, 3])).unwrap();
    real.run(&["expunge", "mailbox", "copy", "uid", "1"], b"");
    assert_eq!(place.map(), ["1 m.1 x1", "2 m.1 x2", "3 m.1 x0", "4 m.1 x1"]);
    let (first, second) = (agree(&real, &mut *inbox), agree(&real, &mut *other));
    storage.purge().unwrap();
    assert_eq!(place.files("mail/storage"), ["m.2"]);
    assert_eq!(place.map(), ["1 m.2 x1", "2 m.2 x2", "4 m.2 x1"]);
    assert_eq!(agree(&real, &mut *inbox), first);
    assert_eq!(agree(&real, &mut *other), second);
    assert_eq!(text(&mut *inbox, 4), "Subject: 4\n\nours\n");
    // Dovecot purges as well, while we have the file open.
    inbox.expunge(&uids(&[4])).unwrap();
    real.run(&["purge"], b"");
    assert_eq!(text(&mut *inbox, 2), "Subject: 2\n\nours\n");
    assert_eq!(text(&mut *other, 2), "Subject: 2\n\nours\n");
    save(&mut *inbox, "Subject: 5\n\nours\n", Flags::NONE, &[]).unwrap();
    agree(&real, &mut *inbox);
    // With the mailbox go its references.
    drop(other);
    storage.delete("copy").unwrap();
    storage.purge().unwrap();
    assert_eq!(place.map(), ["2 m.4 x1", "5 m.4 x1"]);
    inbox.expunge(&uids(&[2, 5])).unwrap();
    storage.purge().unwrap();
    assert_eq!((place.map(), place.files("mail/storage")), (Vec::new(), Vec::new()));
    save(&mut *inbox, "Subject: 6\n\nours\n", Flags::NONE, &[]).unwrap();
    assert_eq!(place.map(), ["11 m.5 x1"]);
    agree(&real, &mut *inbox);
    assert_eq!(real.try_run(&["force-resync", "INBOX"], b"").status.code(), Some(0));
    assert_eq!(place.map(), ["11 m.5 x1"]);
    agree(&real, &mut *inbox);
}

#[test]
fn mdbox_alternative_place() {
    let place = Place::new("mdbox", ":ALT=~/alt");
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 1..=4 {
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), Flags::NONE, &[]).unwrap();
    }
    let before = agree(&real, &mut *inbox);
    let files = || (place.files("mail/storage"), place.files("alt/storage"));
    inbox.move_to_alt(&uids(&[1, 2]), true).unwrap();
    storage.purge().unwrap();
    assert_eq!(files(), (vec!["m.3".to_owned()], vec!["m.2".to_owned()]));
    assert_eq!(place.map(), ["1 m.2 x1", "2 m.2 x1", "3 m.3 x1", "4 m.3 x1"]);
    assert_eq!(agree(&real, &mut *inbox), before);
    real.run(&["altmove", "mailbox", "INBOX", "uid", "3"], b"");
    assert_eq!(agree(&real, &mut *inbox), before);
    // `altmove -r` of 2.3's mdbox leaves them there.
    inbox.move_to_alt(&uids(&[1, 2, 3]), false).unwrap();
    storage.purge().unwrap();
    assert_eq!(files().1, [""; 0]);
    assert_eq!(agree(&real, &mut *inbox), before);
    inbox.rebuild(false).unwrap();
    assert_eq!(agree(&real, &mut *inbox), before);
}

#[test]
fn mdbox_rotation() {
    let place = Place::new("mdbox", "");
    let Some(real) = place.real() else { return };
    let location = Location::parse(&place.location(), None).unwrap();
    let settings = MailSettings {
        mdbox_rotate_size: 2000,
        mdbox_preallocate_space: true,
        hostname: "host".to_owned(),
        ..MailSettings::default()
    };
    let storage = DboxStorage::new(location, Arc::new(settings), true, Logger::new("test: ")).unwrap();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    let body = "x".repeat(800);
    for number in 1..=5 {
        let text = format!("Subject: {number}\n\n{body}\n");
        let mut batch = inbox.begin_save().unwrap();
        let size_hint = Some(text.len() as u64);
        batch.begin(storage::SaveMeta { size_hint, ..storage::SaveMeta::default() }).unwrap();
        batch.write(text.as_bytes()).unwrap();
        batch.end().unwrap();
        batch.commit().unwrap();
    }
    assert_eq!(place.map(), ["1 m.1 x1", "2 m.1 x1", "3 m.2 x1", "11 m.2 x1", "12 m.3 x1"]);
    agree(&real, &mut *inbox);
}

/// A storage after a power failure: what the map knew of where the last message is did not reach the disk, while
/// the message and the mailbox did.
fn that_lost_a_place(place: &Place) -> Option<Real> {
    let real = place.real()?;
    let (root, kept) = (place.path("mail"), place.path("kept"));
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 1..=3 {
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), Flags::NONE, &[]).unwrap();
    }
    let log = "storage/dovecot.map.index.log";
    let size = std::fs::metadata(root.join(log)).unwrap().len();
    save(&mut *inbox, "Subject: last\n\nours\n", Flags::SEEN, &["kept"]).unwrap();
    assert!(std::process::Command::new("cp").arg("-a").args([&root, &kept]).status().unwrap().success());
    drop((inbox, storage));
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::rename(&kept, &root).unwrap();
    std::fs::File::options().write(true).open(root.join(log)).unwrap().set_len(size).unwrap();
    assert_eq!(place.map().len(), 3);
    Some(real)
}

/// All messages are there, with what belongs to them.
fn has_all(place: &Place, real: &Real, new: bool) {
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for (uid, subject) in [(1, "1"), (2, "2"), (3, "3"), (4, "last")] {
        assert_eq!(text(&mut *inbox, uid), format!("Subject: {subject}\n\nours\n"));
    }
    assert!(!new || text(&mut *inbox, 5).starts_with("Subject: new\n"));
    inbox.sync(SyncMode::Quick).unwrap();
    let found = agree(real, &mut *inbox);
    assert_eq!(found.len(), if new { 5 } else { 4 });
    assert!(found[3].contains("kept") && found[3].contains("Seen"), "{}", found[3]);
    assert_eq!(real.text("INBOX", 4), b"Subject: last\n\nours\n");
    assert_eq!(real.try_run(&["force-resync", "INBOX"], b"").status.code(), Some(0));
    assert_eq!(agree(real, &mut *inbox), found);
}

#[test]
fn mdbox_finds_what_a_power_failure_took() {
    let place = Place::new("mdbox", "");
    let Some(real) = that_lost_a_place(&place) else { return };
    has_all(&place, &real, false);

    // A message that is saved before anybody looks does not get the other's place.
    let place = Place::new("mdbox", "");
    let Some(real) = that_lost_a_place(&place) else { return };
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    save(&mut *inbox, "Subject: new\n\nours\n", Flags::NONE, &[]).unwrap();
    drop((inbox, storage));
    has_all(&place, &real, true);
}

#[test]
fn mdbox_as_dovecot_finds_it_after_a_power_failure() {
    let place = Place::new("mdbox", "");
    let Some(real) = that_lost_a_place(&place) else { return };
    let looks = ["fetch", "text", "mailbox", "INBOX", "uid", "4"];
    // The first one finds out.
    real.try_run(&looks, b"");
    real.try_run(&looks, b"");
    has_all(&place, &real, false);

    let place = Place::new("mdbox", "");
    let Some(real) = that_lost_a_place(&place) else { return };
    real.run(&["save"], b"Subject: new\n\ntheirs\n");
    real.try_run(&looks, b"");
    real.try_run(&looks, b"");
    has_all(&place, &real, true);

    // A purge, too, gives up nothing.
    let place = Place::new("mdbox", "");
    let Some(real) = that_lost_a_place(&place) else { return };
    real.run(&["save"], b"Subject: new\n\ntheirs\n");
    real.run(&["copy", "INBOX", "mailbox", "INBOX", "uid", "1"], b"");
    real.run(&["expunge", "mailbox", "INBOX", "uid", "6"], b"");
    real.try_run(&["purge"], b"");
    real.try_run(&looks, b"");
    real.try_run(&looks, b"");
    has_all(&place, &real, true);
}

#[test]
fn mdbox_leaves_nothing_set_aside() {
    let place = Place::new("mdbox", "");
    let Some(real) = place.real() else { return };
    let set_aside = || {
        let mut dump = std::process::Command::new("/usr/bin/doveadm");
        let text =
            String::from_utf8(dump.arg("dump").arg(place.path("mail/storage")).output().unwrap().stdout)
                .unwrap();
        text.matches(&format!("file_id = {}", u32::MAX)).count()
    };
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 1..=100 {
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), Flags::NONE, &[]).unwrap();
    }
    assert!((1..=64).contains(&set_aside()), "{}", set_aside());
    assert_eq!(agree(&real, &mut *inbox).len(), 100);
    // Others find room in the same file.
    real.run(&["save"], b"Subject: theirs\n\ntheirs\n");
    save(&mut *inbox, "Subject: ours\n\nours\n", Flags::NONE, &[]).unwrap();
    assert_eq!(place.files("mail/storage"), ["m.1"]);
    assert_eq!(agree(&real, &mut *inbox).len(), 102);
    drop((inbox, storage));
    assert_eq!((set_aside(), place.map().len()), (0, 102));
}

#[test]
fn mdbox_mended() {
    let place = Place::new("mdbox", "");
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    storage.create("other", false).unwrap();
    let mut other = storage.open("other", OpenMode::ReadWrite).unwrap();
    for number in 1..=3 {
        save(&mut *inbox, &format!("Subject: {number}\n\nours\n"), Flags::SEEN, &["a"]).unwrap();
        save(&mut *other, &format!("Subject: other {number}\n\nours\n"), Flags::SEEN, &["b"]).unwrap();
    }
    inbox.sync(SyncMode::Quick).unwrap();
    copy(&mut *inbox, &uids(&[1]), &mut *other, CopyMode::Copy).unwrap();
    inbox.expunge(&uids(&[2])).unwrap();
    let before = (agree(&real, &mut *inbox), agree(&real, &mut *other));
    inbox.rebuild(false).unwrap();
    assert_eq!((agree(&real, &mut *inbox), agree(&real, &mut *other)), before);
    assert_eq!(place.map().iter().filter(|line| line.ends_with("x0")).count(), 1);

    // The map is lost: GUIDs say which message is which. The expunged one comes back, as nobody knows.
    drop((inbox, other, storage));
    let maps = || {
        let entries =
            std::fs::read_dir(place.path("mail/storage")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().contains("dovecot.map")).collect::<Vec<_>>()
    };
    maps().iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    let mut other = storage.open("other", OpenMode::ReadWrite).unwrap();
    let now = agree(&real, &mut *inbox);
    assert_eq!((&now[..2], now.len()), (&before.0[..], 3));
    assert_eq!(text(&mut *inbox, 4), "Subject: 2\n\nours\n");
    assert_eq!(agree(&real, &mut *other), before.1);

    // A mailbox is lost: its messages are put there anew.
    drop((inbox, other, storage));
    std::fs::remove_dir_all(place.path("mail/mailboxes/other")).unwrap();
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    inbox.rebuild(false).unwrap();
    let mut other = storage.open("other", OpenMode::ReadWrite).unwrap();
    assert_eq!(agree(&real, &mut *other).len(), 3);
    assert_eq!(agree(&real, &mut *inbox), now);

    // A file is damaged: what can be saved of it is.
    let path = place.path("mail/storage/m.1");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|part| part == b"other 2").unwrap();
    let header = bytes[..at].iter().rposition(|&byte| byte == 2).unwrap();
    bytes[header + 20] = b'?';
    std::fs::write(&path, bytes).unwrap();
    for uid in 1..=3 {
        let _ = other.open_message(base::Uid::new(uid).unwrap());
    }
    other.sync(SyncMode::Quick).unwrap();
    assert_eq!(agree(&real, &mut *other).len(), 3);
    assert_eq!(agree(&real, &mut *inbox), now);
    assert!(place.files("mail/storage").contains(&"m.1.broken".to_owned()));
}

/// 2.3 rebuilds a storage without looking at who is adding to its files: it finds messages there that are not
/// entered yet, puts them into their mailbox, and mends files that end in half a message. What is being saved is
/// there once all the same.
#[test]
fn dovecot_rebuilds_while_messages_are_being_saved() {
    // More than what waits in memory until it is written.
    let halves = ["first half\n", "second half\n"].map(|line| line.repeat(20_000));
    let parts = ["Subject: new\n\n", halves[0].as_str(), halves[1].as_str()];
    // How much of the second message is there when the other rebuilds; whether it is the second of its batch.
    for (written, has_first) in [(1, false), (2, true), (3, false), (3, true), (4, false), (4, true)] {
        let place = Place::new("mdbox", "");
        let Some(real) = place.real() else { return };
        let storage = place.storage();
        let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
        save(&mut *inbox, "Subject: old\n\nold\n", Flags::NONE, &[]).unwrap();
        inbox.sync(SyncMode::Quick).unwrap();
        let mut batch = inbox.begin_save().unwrap();
        if has_first {
            batch.begin(SaveMeta::default()).unwrap();
            batch.write(b"Subject: first\n\nfirst\n").unwrap();
            batch.end().unwrap();
        }
        batch.begin(SaveMeta { flags: Flags::FLAGGED, ..SaveMeta::default() }).unwrap();
        let rebuild = || real.try_run(&["force-resync", "INBOX"], b"");
        for (at, part) in parts.iter().enumerate() {
            batch.write(part.as_bytes()).unwrap();
            if at + 1 == written {
                rebuild();
            }
        }
        batch.end().unwrap();
        if written == 4 {
            rebuild();
        }
        let saved = batch.commit().unwrap();
        let what = format!("{written} {has_first}");
        let view = inbox.sync(SyncMode::Quick).unwrap();
        let all: Vec<u32> = view.records().map(|record| record.uid.get()).collect();
        let mut expected = vec![1];
        expected.extend(saved.uids.iter().map(|uid| uid.get()));
        assert_eq!(all, expected, "{what}");
        assert_eq!(text(&mut *inbox, 1), "Subject: old\n\nold\n", "{what}");
        assert_eq!(text(&mut *inbox, *all.last().unwrap()), parts.concat(), "{what}");
        assert_eq!(view.records().last().unwrap().flags, Flags::FLAGGED, "{what}");
        agree(&real, &mut *inbox);
        // And there is nothing that a rebuild or a purge would find.
        rebuild();
        real.run(&["purge"], b"");
        storage.purge().unwrap();
        inbox.sync(SyncMode::Quick).unwrap();
        let all: Vec<u32> = inbox.view().records().map(|record| record.uid.get()).collect();
        assert_eq!(all, expected, "{what}");
        agree(&real, &mut *inbox);
    }
}
