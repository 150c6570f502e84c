//! `INDEXPVT=`: each user's own `\Seen` flags of a mailbox that several share. Dovecot 2.3 must find ours,
//! and we must find Dovecot's.

#[path = "support/real.rs"]
mod real;
mod support;

use std::path::Path;
use std::sync::Arc;

use base::Logger;
use real::Real;
use storage::{
    CopyMode, DboxStorage, FlagMode, Flags, Location, MailSettings, Mailbox, MaildirStorage, MboxStorage,
    OpenMode, StatusItems, Storage, SyncMode, api,
};
use support::{change, save, show, uids};

/// Mail that several users share.
struct Place {
    dir: tempfile::TempDir,
    driver: &'static str,
}

impl Place {
    fn new(driver: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        Self { dir, driver }
    }

    /// A user's location; nobody's private flags if there is no name.
    fn location(&self, user: &str) -> String {
        let dir = self.dir.path().display();
        let private = if user.is_empty() { String::new() } else { format!(":INDEXPVT={dir}/pvt/{user}") };
        format!("{}:{dir}/mail{private}", self.driver)
    }

    fn storage(&self, user: &str, is_public: bool) -> Box<dyn Storage> {
        let mut location = Location::parse(&self.location(user), None).unwrap();
        location.is_public = is_public;
        let settings = MailSettings { hostname: "host".to_owned(), ..MailSettings::default() };
        let (settings, logger) = (Arc::new(settings), Logger::new("test: "));
        match self.driver {
            "maildir" => Box::new(MaildirStorage::new(location, settings, true, logger)),
            "mbox" => Box::new(MboxStorage::new(location, settings, true, "tester", logger).unwrap()),
            _ => Box::new(DboxStorage::new(location, settings, true, logger).unwrap()),
        }
    }

    fn inbox(&self, user: &str) -> Box<dyn Mailbox> {
        let mut inbox = self.storage(user, false).open("INBOX", OpenMode::ReadWrite).unwrap();
        inbox.sync(SyncMode::Quick).unwrap();
        inbox
    }

    /// The flags of all messages as a user sees them.
    fn flags(&self, user: &str) -> String {
        let mut inbox = self.inbox(user);
        let shown = show(&inbox.sync(SyncMode::Quick).unwrap());
        let status = inbox.status(StatusItems::UNSEEN).unwrap();
        assert_eq!(status.unseen, inbox.view().count(Flags::NONE, Flags::SEEN));
        shown
    }

    /// The same as Dovecot shows them.
    fn theirs(&self, user: &str) -> Option<String> {
        let real = Real::new(self.dir.path(), &self.location(user), "")?;
        let lines = real.fields("INBOX", "uid flags");
        let one = |line: &String| {
            let (uid, flags) = line.split_once('\t').unwrap();
            let flags: Vec<&str> = flags.split(' ').filter(|flag| *flag != "\\Recent").collect();
            format!("{uid}({})", flags.join(" "))
        };
        let unseen = String::from_utf8(real.run(&["mailbox", "status", "unseen", "INBOX"], b"")).unwrap();
        let shown: Vec<String> = lines.iter().map(one).collect();
        let count = shown.iter().filter(|line| !line.contains("\\Seen")).count();
        assert_eq!(unseen.trim_end(), format!("INBOX unseen={count}"));
        Some(shown.join(" "))
    }

    /// Both sides agree that it is so.
    fn check(&self, user: &str, expected: &str) {
        assert_eq!(self.flags(user), expected, "{} {user}", self.driver);
        if let Some(theirs) = self.theirs(user) {
            assert_eq!(theirs, expected, "{} {user}: Dovecot", self.driver);
        }
    }

    fn real(&self, user: &str) -> Option<Real> {
        Real::new(self.dir.path(), &self.location(user), "")
    }
}

const DRIVERS: [&str; 4] = ["maildir", "sdbox", "mdbox", "mbox"];

#[test]
fn seen_is_each_users_own() {
    for driver in DRIVERS {
        let place = Place::new(driver);
        let mut one = place.inbox("one");
        save(&mut *one, "Subject: 1\n\nx\n", Flags::SEEN | Flags::ANSWERED, &[]).unwrap();
        save(&mut *one, "Subject: 2\n\nx\n", Flags::NONE, &[]).unwrap();
        save(&mut *one, "Subject: 3\n\nx\n", Flags::NONE, &["word"]).unwrap();
        place.check("one", "1(\\Answered \\Seen) 2() 3(word)");
        place.check("two", "1(\\Answered) 2() 3(word)");
        let view = one.store_flags(&uids(&[2, 3]), &change(FlagMode::Add, Flags::SEEN, &[])).unwrap();
        assert_eq!(show(&view), "1(\\Answered \\Seen) 2(\\Seen) 3(\\Seen word)");
        let mut two = place.inbox("two");
        two.store_flags(&uids(&[2]), &change(FlagMode::Replace, Flags::SEEN | Flags::FLAGGED, &["new"]))
            .unwrap();
        one.store_flags(&uids(&[3]), &change(FlagMode::Replace, Flags::DRAFT, &[])).unwrap();
        one.store_flags(&uids(&[1]), &change(FlagMode::Remove, Flags::SEEN | Flags::ANSWERED, &[])).unwrap();
        drop((one, two));
        place.check("one", "1() 2(\\Flagged \\Seen new) 3(\\Draft)");
        place.check("two", "1() 2(\\Flagged \\Seen new) 3(\\Draft)");
        place.check("", "1() 2(\\Flagged new) 3(\\Draft)");
    }
}

#[test]
fn both_servers_change_them() {
    for driver in DRIVERS {
        let place = Place::new(driver);
        let (Some(one), Some(two)) = (place.real("one"), place.real("two")) else { return };
        drop(two);
        for _ in 0..3 {
            one.run(&["save"], b"Subject: x\n\nx\n");
        }
        let _ = place.real("one");
        one.run(&["flags", "add", "\\Seen", "mailbox", "INBOX", "uid", "1:2"], b"");
        place.check("one", "1(\\Seen) 2(\\Seen) 3()");
        place.check("two", "1() 2() 3()");
        // It is the last configuration that is at work.
        let one = place.real("one").unwrap();
        let mut ours = place.inbox("one");
        ours.expunge(&uids(&[1])).unwrap();
        save(&mut *ours, "Subject: 4\n\nx\n", Flags::SEEN, &[]).unwrap();
        drop(ours);
        one.run(&["flags", "remove", "\\Seen", "mailbox", "INBOX", "uid", "2"], b"");
        one.run(&["save"], b"Subject: 5\n\nx\n");
        place.check("one", "2() 3() 4(\\Seen) 5()");
        one.run(&["expunge", "mailbox", "INBOX", "uid", "3"], b"");
        place.check("one", "2() 4(\\Seen) 5()");
        place.check("two", "2() 4() 5()");
    }
}

#[test]
fn a_session_sees_what_another_of_its_user_does() {
    let place = Place::new("maildir");
    let (mut first, mut second, mut other) = (place.inbox("one"), place.inbox("one"), place.inbox("two"));
    save(&mut *first, "Subject: 1\n\nx\n", Flags::NONE, &[]).unwrap();
    let before = [&mut second, &mut other].map(|inbox| inbox.sync(SyncMode::Quick).unwrap());
    let modseq = before[0].highest_modseq();
    first.store_flags(&uids(&[1]), &change(FlagMode::Add, Flags::SEEN, &[])).unwrap();
    let after = second.sync(SyncMode::Quick).unwrap();
    assert_eq!(show(&after), "1(\\Seen)");
    // CONDSTORE clients find it.
    let changed = after.record(base::Uid::ONE).map(|record| after.modseq(record)).unwrap();
    assert!(changed > modseq && after.highest_modseq() >= changed);
    assert_eq!(show(&other.sync(SyncMode::Quick).unwrap()), "1()");
    // What is copied takes the user's own flags along.
    let mut target = place.storage("two", false);
    target.create("target", false).unwrap();
    let mut mailbox = target.open("target", OpenMode::ReadWrite).unwrap();
    api::copy(&mut *second, &uids(&[1]), &mut *mailbox, CopyMode::Copy).unwrap();
    assert_eq!(show(&mailbox.sync(SyncMode::Quick).unwrap()), "1(\\Seen)");
    target = place.storage("one", false);
    let mut mailbox = target.open("target", OpenMode::ReadWrite).unwrap();
    assert_eq!(show(&mailbox.sync(SyncMode::Quick).unwrap()), "1()");
}

#[test]
fn a_mailbox_that_is_another_begins_anew() {
    for driver in ["maildir", "sdbox"] {
        let place = Place::new(driver);
        let storage = place.storage("one", false);
        for round in 0..2 {
            storage.create("box", false).unwrap();
            let mut mailbox = storage.open("box", OpenMode::ReadWrite).unwrap();
            mailbox.sync(SyncMode::Quick).unwrap();
            let flags = if round == 0 { Flags::SEEN } else { Flags::NONE };
            save(&mut *mailbox, "Subject: 1\n\nx\n", flags, &[]).unwrap();
            let expected = if round == 0 { "1(\\Seen)" } else { "1()" };
            assert_eq!(show(&mailbox.sync(SyncMode::Quick).unwrap()), expected);
            drop(mailbox);
            storage.delete("box").unwrap();
        }
    }
}

#[test]
fn public_mailboxes_begin_with_the_flags_of_the_mailbox() {
    let place = Place::new("sdbox");
    let mut shared = place.inbox("");
    save(&mut *shared, "Subject: 1\n\nx\n", Flags::SEEN, &[]).unwrap();
    drop(shared);
    let mut public = place.storage("one", true).open("INBOX", OpenMode::ReadWrite).unwrap();
    assert_eq!(show(&public.sync(SyncMode::Quick).unwrap()), "1(\\Seen)");
    place.check("two", "1()");
}

#[test]
fn what_cannot_be_written_can_be_marked_as_seen() {
    if rustix::process::geteuid().is_root() {
        // Nothing is forbidden to root.
        return;
    }
    let place = Place::new("maildir");
    save(&mut *place.inbox(""), "Subject: 1\n\nx\n", Flags::NONE, &[]).unwrap();
    let cur = place.dir.path().join("mail/cur");
    let set = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&cur, mode).unwrap();
    };
    set(0o500);
    let mut inbox = place.inbox("one");
    assert!(!inbox.is_readonly());
    inbox.store_flags(&uids(&[1]), &change(FlagMode::Add, Flags::SEEN | Flags::FLAGGED, &[])).unwrap();
    assert_eq!(show(&inbox.view()), "1(\\Seen)");
    set(0o700);
}

#[test]
fn the_list_of_mailboxes_does_not_know_them() {
    let place = Place::new("sdbox");
    let storage = place.storage("one", false);
    storage.create("box", false).unwrap();
    storage.open("box", OpenMode::ReadWrite).unwrap().status(StatusItems::MESSAGES).unwrap();
    assert!(storage.status("box", StatusItems::MESSAGES).is_some());
    assert!(storage.status("box", StatusItems::UNSEEN).is_none());
    assert!(Path::new(&place.dir.path().join("pvt/one/mailboxes/box/dovecot.index.pvt.log")).exists());
}
