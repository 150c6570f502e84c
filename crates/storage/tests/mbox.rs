//! The same mboxes used by us, by real Dovecot 2.3 and by programs that know nothing of indexes: UIDs,
//! flags, keywords, GUIDs, sizes and dates must agree at every step.

#[path = "support/compare.rs"]
mod compare;
#[path = "support/real.rs"]
mod real;
mod support;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use base::Logger;
use compare::{agree, normal, ours, text, theirs};
use real::Real;
use storage::api::copy;
use storage::settings::MboxSettings;
use storage::{
    CopyMode, FlagMode, Flags, Location, MailSettings, MboxStorage, OpenMode, Storage, SyncMode, Wanted,
};
use support::{change, save, uids};

/// A mail location of a test.
struct Place {
    dir: tempfile::TempDir,
    extra: String,
    settings: MboxSettings,
}

impl Place {
    fn new(extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let extra = extra.replace("~", &dir.path().display().to_string());
        Self { dir, extra, settings: MboxSettings::default() }
    }

    fn location(&self) -> String {
        format!("mbox:{}/mail{}", self.dir.path().display(), self.extra)
    }

    fn real(&self) -> Option<Real> {
        // /tmp's own directories are private: nobody must be able to pass.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.dir.path(), open).unwrap();
        Real::new(self.dir.path(), &self.location(), "")
    }

    fn storage(&self) -> MboxStorage {
        let location = Location::parse(&self.location(), None).unwrap();
        let settings = MailSettings {
            hostname: "host".to_owned(),
            mbox: self.settings.clone(),
            ..MailSettings::default()
        };
        MboxStorage::new(location, Arc::new(settings), true, "tester", Logger::new("test: ")).unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn text(&self, below: &str) -> String {
        String::from_utf8(std::fs::read(self.path(below)).unwrap()).unwrap()
    }

    /// Another program appends.
    fn deliver(&self, below: &str, number: u32) {
        let mut file = std::fs::File::options().create(true).append(true).open(self.path(below)).unwrap();
        let text = format!(
            "From someone@else Thu Nov 29 22:33:{number:02} 2001\nFrom: a@b\nMessage-ID: <{number}@x>\n\
             Subject: foreign {number}\n\nbody {number}\n\n"
        );
        file.write_all(text.as_bytes()).unwrap();
    }
}

/// The indexes are lost; what the files say stays.
fn forget_indexes(place: &Place) {
    for dir in ["mail/.imap", "mail/a/.imap", "index/.imap", "index/a/.imap"] {
        let _ = std::fs::remove_dir_all(place.path(dir));
    }
}

fn check_agreement(extra: &str) {
    let place = Place::new(extra);
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    let open = |name: &str| storage.open(name, OpenMode::ReadWrite).unwrap();

    // Dovecot makes the mailbox, and another program delivers into it.
    for number in 1..=4 {
        real.run(&["save"], format!("Subject: {number}\r\n\r\nline\r\n").as_bytes());
    }
    place.deliver("mail/inbox", 5);
    real.run(&["flags", "add", "\\Seen work $Forwarded", "mailbox", "INBOX", "uid", "1:2"], b"");
    real.run(&["mailbox", "create", "Entwürfe"], b"");
    real.run(&["mailbox", "create", "a/b"], b"");
    real.run(&["mailbox", "subscribe", "Entwürfe"], b"");
    let mut inbox = open("INBOX");
    let mut other = open("Entwürfe");
    assert_eq!(agree(&real, &mut *inbox).len(), 5);
    assert_eq!(text(&mut *inbox, 2), "Subject: 2\n\nline\n");
    assert_eq!(storage.subscriptions().unwrap(), ["Entwürfe"]);
    let mut listed: Vec<_> =
        storage.list().unwrap().iter().map(|one| (one.name.clone(), one.selectable)).collect();
    listed.sort();
    let expected = [("Entwürfe", true), ("INBOX", true), ("a", false), ("a/b", true)];
    assert_eq!(listed, expected.map(|(name, selectable)| (name.to_owned(), selectable)));

    // We change everything that can be changed.
    save(&mut *inbox, "Subject: 6\r\n\r\nours\r\n", Flags::NONE, &[]).unwrap();
    save(&mut *inbox, "Subject: 7\r\n\r\nours\r\n", Flags::DRAFT, &["work", "new-one"]).unwrap();
    agree(&real, &mut *inbox);
    assert_eq!(real.text("INBOX", 7), b"Subject: 7\n\nours\n");
    inbox.store_flags(&uids(&[1, 5]), &change(FlagMode::Replace, Flags::ANSWERED, &["again"])).unwrap();
    inbox.store_flags(&uids(&[2]), &change(FlagMode::Remove, Flags::SEEN, &["work"])).unwrap();
    inbox.expunge(&uids(&[3])).unwrap();
    agree(&real, &mut *inbox);
    copy(&mut *inbox, &uids(&[2, 7]), &mut *other, CopyMode::Move).unwrap();
    copy(&mut *inbox, &uids(&[1]), &mut *other, CopyMode::Copy).unwrap();
    assert_eq!(agree(&real, &mut *inbox).len(), 4);
    assert_eq!(agree(&real, &mut *other).len(), 3);
    storage.set_subscribed("INBOX", true).unwrap();
    assert_eq!(real.run(&["mailbox", "list", "-s"], b""), "Entwürfe\nINBOX\n".as_bytes());

    // Dovecot goes on.
    real.run(&["save"], b"Subject: 8\r\n\r\ntheirs\r\n");
    real.run(&["flags", "add", "\\Flagged third", "mailbox", "INBOX", "all"], b"");
    real.run(&["expunge", "mailbox", "INBOX", "uid", "1"], b"");
    real.run(&["move", "Entwürfe", "mailbox", "INBOX", "uid", "4"], b"");
    agree(&real, &mut *inbox);
    agree(&real, &mut *other);
    inbox.expunge(&uids(&[6])).unwrap();
    save(&mut *inbox, "Subject: 9\r\n\r\nours\r\n", Flags::SEEN, &[]).unwrap();
    place.deliver("mail/inbox", 10);
    let last = agree(&real, &mut *inbox);
    assert_eq!(last.len(), 4);

    // From scratch, as after a restart.
    inbox.sync(SyncMode::Full).unwrap();
    drop((inbox, other));
    let mut inbox = open("INBOX");
    assert_eq!(ours(&mut *inbox), last);
    let guid = real.run(&["-f", "flow", "mailbox", "status", "guid uidvalidity", "INBOX"], b"");
    let validity = inbox.view().uid_validity();
    let expected = format!("INBOX uidvalidity={validity} guid={}\n", inbox.guid().unwrap());
    assert_eq!(String::from_utf8(guid).unwrap(), expected);

    // The files know all of it but the mailboxes' GUIDs.
    let others = ours(&mut *open("Entwürfe"));
    open("Entwürfe").sync(SyncMode::Full).unwrap();
    drop(inbox);
    forget_indexes(&place);
    assert_eq!(theirs(&real, "INBOX"), last);
    forget_indexes(&place);
    let mut inbox = open("INBOX");
    assert_eq!((agree(&real, &mut *inbox), inbox.view().uid_validity()), (last.clone(), validity));
    assert_eq!(agree(&real, &mut *open("Entwürfe")), others);
    real.run(&["force-resync", "*"], b"");
    assert_eq!(agree(&real, &mut *inbox), last);
}

/// INBOX is a file of its own beside the directory that children get.
#[test]
fn inbox_may_have_children() {
    for extra in ["", ":INBOX=~/inbox"] {
        let storage = Place::new(extra).storage();
        let inbox = storage.list().unwrap().into_iter().find(|one| one.name == "INBOX").unwrap();
        assert!(inbox.inferiors, "{extra}");
    }
}

#[test]
fn together() {
    check_agreement("");
}

#[test]
fn in_several_places() {
    check_agreement(":INDEX=~/index:CONTROL=~/control");
}

#[test]
fn made_by_us() {
    let place = Place::new("");
    let Some(real) = place.real() else { return };
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 0..3 {
        save(&mut *inbox, &format!("Subject: {number}\r\n\r\nours\r\n"), Flags::SEEN, &["a", "b"]).unwrap();
    }
    storage.create("x/y", false).unwrap();
    assert!(storage.create("x/y/z", false).is_err());
    storage.set_subscribed("x/y", true).unwrap();
    assert_eq!(agree(&real, &mut *inbox).len(), 3);
    assert_eq!(real.run(&["mailbox", "list", "-s"], b""), b"x/y\n");
    real.run(&["flags", "remove", "a", "mailbox", "INBOX", "uid", "2"], b"");
    real.run(&["expunge", "mailbox", "INBOX", "uid", "3"], b"");
    real.run(&["copy", "x/y", "mailbox", "INBOX", "uid", "1"], b"");
    agree(&real, &mut *inbox);
    let mut other = storage.open("x/y", OpenMode::ReadWrite).unwrap();
    assert_eq!(agree(&real, &mut *other).len(), 1);
    drop(other);
    real.run(&["mailbox", "rename", "x/y", "x/z"], b"");
    storage.rename("x/z", "w").unwrap();
    let mut other = storage.open("w", OpenMode::ReadWrite).unwrap();
    assert_eq!(agree(&real, &mut *other).len(), 1);
    drop(other);
    storage.delete("w").unwrap();
    assert_eq!(real.run(&["mailbox", "list"], b""), b"x\nINBOX\n");
    assert!(storage.open("w", OpenMode::ReadWrite).is_err());
}

#[test]
fn by_itself() {
    let place = Place::new("");
    std::fs::create_dir(place.path("mail")).unwrap();
    for number in 1..=3 {
        place.deliver("mail/inbox", number);
    }
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    assert_eq!(ours(&mut *inbox).len(), 3);
    assert_eq!(inbox.recent().iter().count(), 3);
    // Not written before it is asked for.
    inbox.store_flags(&uids(&[2]), &change(FlagMode::Add, Flags::SEEN, &["one"])).unwrap();
    assert!(!place.text("mail/inbox").contains("X-UID"));
    inbox.sync(SyncMode::Full).unwrap();
    let written = place.text("mail/inbox");
    for expected in
        ["X-IMAPbase: ", " 0000000003 one\n", "X-UID: 2\nStatus: RO\nX-Keywords: one ", "X-UID: 3 "]
    {
        assert!(written.contains(expected), "{expected} in {written}");
    }
    // There is room now.
    inbox.store_flags(&uids(&[3]), &change(FlagMode::Add, Flags::FLAGGED, &[])).unwrap();
    inbox.store_flags(&uids(&[2]), &change(FlagMode::Remove, Flags::SEEN, &["one"])).unwrap();
    drop(inbox);
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    assert!(place.text("mail/inbox").contains("Status: O\nX-Status: F\n"));
    let before = ours(&mut *inbox);
    // Another program removes the first message.
    let written = place.text("mail/inbox");
    let second = written[1..].find("From someone").unwrap() + 1;
    std::fs::write(place.path("mail/inbox"), &written[second..]).unwrap();
    assert_eq!(ours(&mut *inbox), before[1..]);
    assert_eq!(text(&mut *inbox, 3), "From: a@b\nMessage-ID: <3@x>\nSubject: foreign 3\n\nbody 3\n");
    // UIDVALIDITY stays with an empty mailbox.
    let validity = inbox.view().uid_validity();
    inbox.expunge(&uids(&[2, 3])).unwrap();
    assert!(ours(&mut *inbox).is_empty());
    drop(inbox);
    std::fs::remove_dir_all(place.path("mail/.imap")).unwrap();
    place.deliver("mail/inbox", 4);
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    assert_eq!(ours(&mut *inbox).len(), 1);
    assert_eq!((inbox.view().uid_validity(), inbox.view().last_uid().unwrap().get()), (validity, 4));
    assert_eq!(save(&mut *inbox, "a: b\n\nx", Flags::NONE, &["two"]).unwrap(), 5);
    assert_eq!(text(&mut *inbox, 5), "a: b\n\nx\n");
    assert_eq!(text(&mut *inbox, 4), "From: a@b\nMessage-ID: <4@x>\nSubject: foreign 4\n\nbody 4\n");
}

#[test]
fn written_at_once() {
    let mut place = Place::new("");
    place.settings.lazy_writes = false;
    place.settings.dirty_syncs = false;
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    save(&mut *inbox, "a: b\n\nx\n", Flags::NONE, &[]).unwrap();
    inbox.store_flags(&uids(&[1]), &change(FlagMode::Add, Flags::FLAGGED, &["k"])).unwrap();
    inbox.sync(SyncMode::Full).unwrap();
    assert!(place.text("mail/inbox").contains("X-Status: F\n"));
}

#[test]
fn read_only() {
    let place = Place::new("");
    std::fs::create_dir(place.path("mail")).unwrap();
    place.deliver("mail/inbox", 1);
    let storage = place.storage();
    let before = place.text("mail/inbox");
    let mut inbox = storage.open("INBOX", OpenMode::ReadOnly).unwrap();
    assert_eq!(ours(&mut *inbox).len(), 1);
    assert!(inbox.store_flags(&uids(&[1]), &change(FlagMode::Add, Flags::SEEN, &[])).is_err());
    drop(inbox);
    assert_eq!(place.text("mail/inbox"), before);
    std::fs::write(place.path("mail/other"), "no mbox\n").unwrap();
    let mut other = storage.open("other", OpenMode::ReadWrite).unwrap();
    let error = other.sync(SyncMode::Quick).unwrap_err();
    assert_eq!(error.to_string(), "Mailbox isn't a valid mbox file");
    assert!(save(&mut *other, "a: b\n\nx\n", Flags::NONE, &[]).is_err());
    assert_eq!(place.text("mail/other"), "no mbox\n");
}

/// Both change the mailbox at the same time. In the end both agree.
#[test]
fn at_the_same_time() {
    let place = Place::new("");
    let Some(real) = place.real() else { return };
    real.run(&["save"], b"Subject: first\n\nx\n");
    if rustix::process::geteuid().is_root() {
        // As root we would make files that the other side, working as nobody, cannot change.
        rustix::process::umask(rustix::fs::Mode::empty());
        for dir in ["mail", "mail/.imap", "mail/.imap/INBOX"] {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            let _ = std::fs::set_permissions(place.path(dir), open);
        }
    }
    let storage = place.storage();
    /// Ends the other thread also when this one fails.
    struct Stop<'a>(&'a std::sync::atomic::AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let saved = std::thread::scope(|scope| {
        let stopper = Stop(&stop);
        let ours = scope.spawn(|| {
            let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
            let mut saved = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let uid = save(&mut *inbox, "Subject: ours\n\nx\n", Flags::SEEN, &["ours"]).unwrap();
                saved += 1;
                inbox.store_flags(&uids(&[uid]), &change(FlagMode::Add, Flags::FLAGGED, &[])).unwrap();
                inbox.sync(SyncMode::Full).unwrap();
                if saved % 3 == 0 {
                    inbox.expunge(&uids(&[uid])).unwrap();
                    saved -= 1;
                }
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            saved
        });
        for round in 0..12 {
            real.run(&["save"], format!("Subject: theirs {round}\n\nx\n").as_bytes());
            real.run(&["flags", "add", "theirs", "mailbox", "INBOX", "all"], b"");
        }
        drop(stopper);
        ours.join().unwrap()
    });
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    assert_eq!(agree(&real, &mut *inbox).len(), saved + 13);
}

#[test]
fn random_damage() {
    let place = Place::new("");
    let storage = place.storage();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    for number in 0..4 {
        save(&mut *inbox, &format!("Subject: {number}\n\nx\n"), Flags::SEEN, &["a"]).unwrap();
    }
    drop(inbox);
    let whole = std::fs::read(place.path("mail/inbox")).unwrap();
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for _ in 0..300 {
        let mut damaged = whole.clone();
        for _ in 0..=random(4) {
            let at = random(damaged.len());
            match random(3) {
                0 => damaged[at] = random(256) as u8,
                1 => drop(damaged.drain(at..(at + random(40)).min(damaged.len()))),
                _ => {
                    let from = random(damaged.len());
                    let piece = damaged[from..(from + 60).min(damaged.len())].to_vec();
                    damaged.splice(at..at, piece);
                }
            }
        }
        std::fs::write(place.path("mail/inbox"), damaged).unwrap();
        let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
        if inbox.sync(SyncMode::Full).is_err() {
            continue;
        }
        let all = inbox.view().uids();
        for uid in all.iter() {
            let _ = inbox.open_message(uid);
            let _ = inbox.fetch_facts(uid, Wanted::SIZE_VIRTUAL | Wanted::GUID);
        }
        let _ = inbox.store_flags(&all, &change(FlagMode::Add, Flags::FLAGGED, &["z"]));
        let _ = save(&mut *inbox, "Subject: more\n\nx\n", Flags::NONE, &[]);
        if let Some(uid) = all.iter().next() {
            let _ = inbox.expunge(&uids(&[uid.get()]));
        }
        let _ = inbox.sync(SyncMode::Full);
    }
}

/// Compresses as the zlib plugin does.
fn compress(format: &str, plain: &[u8]) -> Vec<u8> {
    let format = storage::compress::Format::of_name(format).unwrap();
    let mut out = Vec::new();
    let mut encoder = storage::compress::Encoder::new(format, format.default_level()).unwrap();
    encoder.push(plain, &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    out
}

#[test]
fn compressed() {
    let place = Place::new("");
    std::fs::create_dir_all(place.path("mail/old")).unwrap();
    for number in 1..=3 {
        place.deliver("mail/plain", number);
    }
    let plain = std::fs::read(place.path("mail/plain")).unwrap();
    for (name, format) in [("a.gz", "gz"), ("old/b.bz2", "bz2"), ("c.zstd", "zstd"), ("d.lz4", "lz4")] {
        std::fs::write(place.path("mail").join(name), compress(format, &plain)).unwrap();
    }
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.dir.path(), open).unwrap();
    let real = Real::new(place.dir.path(), &place.location(), "mail_plugins = zlib\n");
    let storage = |is_on: bool| {
        let location = Location::parse(&place.location(), None).unwrap();
        let mut settings = MailSettings { hostname: "host".to_owned(), ..MailSettings::default() };
        settings.compression.is_on = is_on;
        MboxStorage::new(location, Arc::new(settings), true, "tester", Logger::new("test: ")).unwrap()
    };
    let with = storage(true);
    let mut expected = with.open("plain", OpenMode::ReadWrite).unwrap();
    let expected_texts: Vec<String> = {
        expected.sync(SyncMode::Quick).unwrap();
        (1..=3).map(|uid| text(&mut *expected, uid)).collect()
    };
    for name in ["a.gz", "old/b.bz2", "c.zstd", "d.lz4"] {
        let mut mailbox = with.open(name, OpenMode::ReadWrite).unwrap();
        assert!(mailbox.is_readonly(), "{name}");
        let before = std::fs::read(place.path("mail").join(name)).unwrap();
        let lines = ours(&mut *mailbox);
        assert_eq!(lines.len(), 3, "{name}");
        let texts: Vec<String> = (1..=3).map(|uid| text(&mut *mailbox, uid)).collect();
        assert_eq!(texts, expected_texts, "{name}");
        mailbox.store_flags(&uids(&[1]), &change(FlagMode::Add, Flags::SEEN, &[])).unwrap_err();
        mailbox.expunge(&uids(&[1])).unwrap_err();
        drop(mailbox);
        assert_eq!(std::fs::read(place.path("mail").join(name)).unwrap(), before);
        if let Some(real) = &real {
            // What 2.3 makes of the index that we wrote, and we of the one that it wrote.
            let facts = "uid flags size.virtual size.physical guid date.received.unixtime";
            let theirs: Vec<String> = real.fields(name, facts).iter().map(|line| normal(line)).collect();
            assert_eq!(theirs, lines, "{name}");
            let mut mailbox = with.open(name, OpenMode::ReadWrite).unwrap();
            assert_eq!(ours(&mut *mailbox), lines, "{name} after Dovecot");
        }
    }
    // Another file in its place is seen.
    place.deliver("mail/plain", 4);
    let plain = std::fs::read(place.path("mail/plain")).unwrap();
    let mut mailbox = with.open("a.gz", OpenMode::ReadOnly).unwrap();
    mailbox.sync(SyncMode::Quick).unwrap();
    std::fs::write(place.path("mail/a.gz"), compress("gz", &plain)).unwrap();
    assert_eq!(mailbox.sync(SyncMode::Quick).unwrap().len(), 4);
    // Without the plugin it is a file like others, and no mbox; damage is an error.
    storage(false).open("c.zstd", OpenMode::ReadOnly).and_then(|mut it| it.sync(SyncMode::Full)).unwrap_err();
    std::fs::write(place.path("mail/e.gz"), b"no gzip").unwrap();
    with.open("e.gz", OpenMode::ReadOnly).and_then(|mut it| it.sync(SyncMode::Quick)).unwrap_err();
    std::fs::write(place.path("mail/f.gz"), b"").unwrap();
    let mut empty = with.open("f.gz", OpenMode::ReadOnly).unwrap();
    assert!(empty.sync(SyncMode::Quick).unwrap().is_empty());
}

/// What the test below runs as another user.
#[test]
fn as_a_user_in_a_directory_of_the_system() {
    let Some(dir) = std::env::var_os("CULVER_TEST_SPOOL") else { return };
    let dir = PathBuf::from(dir);
    let saved_gid = std::env::var_os("CULVER_TEST_GROUP").map(|_| GROUP);
    let identity = sys::privilege::Identity { uid: USER, gid: USER, extra_gids: Vec::new(), saved_gid };
    sys::privilege::take_identity(&identity).unwrap();
    assert_eq!(sys::privilege::saved_group(), saved_gid);
    let text = format!("mbox:{0}/mail:INBOX={0}/spool/user", dir.display());
    let settings = MailSettings { hostname: "host".to_owned(), ..MailSettings::default() };
    let open = || {
        let location = Location::parse(&text, None).unwrap();
        MboxStorage::new(location, Arc::new(settings.clone()), true, "tester", Logger::new("test: "))
            .unwrap()
            .open("INBOX", OpenMode::ReadWrite)
    };
    let save_one = || {
        let mut inbox = open()?;
        inbox.sync(SyncMode::Quick)?;
        save(&mut *inbox, "Subject: 1\n\nx\n", Flags::NONE, &[])
    };
    if saved_gid.is_none() {
        save_one().unwrap_err();
        return;
    }
    save_one().unwrap();
    // Another program has it: we wait, and override it only when it is old.
    let lock = dir.join("spool/user.lock");
    assert!(!lock.exists());
    std::thread::scope(|scope| {
        let group = sys::privilege::with_saved_group(GROUP, || std::fs::write(&lock, "x"));
        group.unwrap().unwrap();
        let saving = scope.spawn(save_one);
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!saving.is_finished());
        // Only the thread that takes the group has it.
        std::fs::remove_file(&lock).unwrap_err();
        sys::privilege::with_saved_group(GROUP, || std::fs::remove_file(&lock)).unwrap().unwrap();
        saving.join().unwrap().unwrap();
    });
    // A mailbox of somebody else is not locked, wherever it seems to be.
    std::os::unix::fs::symlink(dir.join("spool"), dir.join("mail/link")).unwrap();
    let text = format!("mbox:{0}/other:INBOX={0}/mail/link/secret", dir.display());
    let location = Location::parse(&text, None).unwrap();
    let storage =
        MboxStorage::new(location, Arc::new(settings.clone()), true, "tester", Logger::new("test: "))
            .unwrap();
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    assert!(inbox.sync(SyncMode::Quick).unwrap().is_empty());
    save(&mut *inbox, "Subject: 1\n\nx\n", Flags::NONE, &[]).unwrap_err();
    assert!(!dir.join("spool/secret.lock").exists());
}

const USER: u32 = 65534;
const GROUP: u32 = 8;

#[test]
fn dotlocks_with_the_group_of_the_system() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root can become another user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for below in ["mail", "other", "spool"] {
        std::fs::create_dir(dir.path().join(below)).unwrap();
        chown(dir.path().join(below), Some(USER), Some(USER)).unwrap();
    }
    mode(dir.path(), 0o755);
    let spool = dir.path().join("spool");
    chown(&spool, Some(0), Some(GROUP)).unwrap();
    mode(&spool, 0o2775);
    std::fs::write(spool.join("secret"), "From x Thu Nov 29 22:33:52 2001\nSubject: s\n\nx\n\n").unwrap();
    mode(&spool.join("secret"), 0o600);
    let run = |with_group: bool| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "as_a_user_in_a_directory_of_the_system", "--nocapture", "--test-threads=1"]);
        child.env("CULVER_TEST_SPOOL", dir.path()).env_remove("CULVER_TEST_GROUP");
        if with_group {
            child.env("CULVER_TEST_GROUP", "1");
        }
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
        said
    };
    run(false);
    // The INBOX is made with the group as well.
    run(true);
    let inbox = spool.join("user");
    let meta = std::fs::metadata(&inbox).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (USER, GROUP, 0o600));
    assert_eq!(std::fs::read_to_string(&inbox).unwrap().matches("Subject: 1").count(), 2);
    let said = run(false);
    let group = sys::accounts::group_name(GROUP).unwrap().unwrap_or_else(|| GROUP.to_string());
    assert!(said.contains(&format!("(set mail_privileged_group={group})")), "{said}");
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 2, "a lock is left");
}
