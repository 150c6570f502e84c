//! The same dbox mail used by us and by real Dovecot 2.3 in turns: UIDs, flags, keywords, GUIDs, sizes and
//! dates must agree at every step, and Dovecot must find nothing to mend.

#[path = "support/compare.rs"]
mod compare;
#[path = "support/real.rs"]
mod real;
mod support;

use std::path::PathBuf;
use std::sync::Arc;

use base::Logger;
use compare::{agree, ours, text};
use real::Real;
use storage::api::copy;
use storage::compress::Format;
use storage::{
    Compression, CopyMode, DboxStorage, FlagMode, Flags, Location, MailSettings, Mailbox, OpenMode, Storage,
    SyncMode, Wanted,
};
use support::{change, save, uids};

/// A mail location of a test, with an alternative place.
struct Place {
    dir: tempfile::TempDir,
    driver: &'static str,
    extra: String,
    /// `zlib_save`
    compressed: Option<Format>,
}

impl Place {
    fn new(driver: &'static str, extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let extra = extra.replace("~", &dir.path().display().to_string());
        Self { dir, driver, extra, compressed: None }
    }

    fn location(&self) -> String {
        format!("{}:{}/mail{}", self.driver, self.dir.path().display(), self.extra)
    }

    fn real(&self) -> Option<Real> {
        // /tmp's own directories are private: nobody must be able to pass.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.dir.path(), open).unwrap();
        let more = self
            .compressed
            .map(|format| format!("mail_plugins = zlib\nplugin {{\n  zlib_save = {}\n}}\n", format.name()));
        Real::new(self.dir.path(), &self.location(), &more.unwrap_or_default())
    }

    fn storage(&self) -> Box<dyn Storage> {
        let location = Location::parse(&self.location(), None).unwrap();
        let save = self.compressed.map(|format| (format, format.default_level()));
        let settings = Arc::new(MailSettings {
            hostname: "host".to_owned(),
            compression: Compression { is_on: save.is_some(), save },
            ..MailSettings::default()
        });
        Box::new(DboxStorage::new(location, settings, true, Logger::new("test: ")).unwrap())
    }

    fn files(&self, below: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(below))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("dovecot"))
            .collect();
        names.sort();
        names
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }
}

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

/// `map_uid refcount file` of every message of the map, as Dovecot sees it.
fn map(place: &Place) -> Vec<String> {
    let dir = place.path("mail/storage");
    let out = std::process::Command::new("/usr/bin/doveadm").arg("dump").arg(dir).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["RECORD:", _, uid, ..] => {
                found.push(uid.trim_matches(|c: char| !c.is_ascii_digit()).to_owned());
            }
            [":", "file_id", "=", id] => {
                let last = found.last_mut().unwrap();
                last.push_str(&format!(" m.{id}"));
            }
            ["-", "ext", _, "ref", ":", count, _] => {
                let last = found.last_mut().unwrap();
                last.push_str(&format!(" x{count}"));
            }
            _ => {}
        }
    }
    found
}

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
    assert_eq!(map(&place), ["1 m.1 x3", "2 m.1 x2", "3 m.1 x1", "4 m.1 x1"]);
    inbox.expunge(&uids(&[1, 3])).unwrap();
    real.run(&["expunge", "mailbox", "copy", "uid", "1"], b"");
    assert_eq!(map(&place), ["1 m.1 x1", "2 m.1 x2", "3 m.1 x0", "4 m.1 x1"]);
    let (first, second) = (agree(&real, &mut *inbox), agree(&real, &mut *other));
    storage.purge().unwrap();
    assert_eq!(place.files("mail/storage"), ["m.2"]);
    assert_eq!(map(&place), ["1 m.2 x1", "2 m.2 x2", "4 m.2 x1"]);
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
    assert_eq!(map(&place), ["2 m.4 x1", "5 m.4 x1"]);
    inbox.expunge(&uids(&[2, 5])).unwrap();
    storage.purge().unwrap();
    assert_eq!((map(&place), place.files("mail/storage")), (Vec::new(), Vec::new()));
    save(&mut *inbox, "Subject: 6\n\nours\n", Flags::NONE, &[]).unwrap();
    assert_eq!(map(&place), ["6 m.5 x1"]);
    agree(&real, &mut *inbox);
    assert_eq!(real.try_run(&["force-resync", "INBOX"], b"").status.code(), Some(0));
    assert_eq!(map(&place), ["6 m.5 x1"]);
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
    assert_eq!(map(&place), ["1 m.2 x1", "2 m.2 x1", "3 m.3 x1", "4 m.3 x1"]);
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
            let map = if driver == "mdbox" { map(&place) } else { Vec::new() };
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
    assert_eq!(map(&place), ["1 m.1 x1", "2 m.1 x1", "3 m.2 x1", "4 m.2 x1", "5 m.3 x1"]);
    agree(&real, &mut *inbox);
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
    assert_eq!(map(&place).iter().filter(|line| line.ends_with("x0")).count(), 1);

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
