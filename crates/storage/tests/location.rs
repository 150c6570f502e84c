//! What the words of `mail_location` do to directories, names and locks: the same steps by us and by real
//! Dovecot 2.3 must leave the same directories behind, and each must list what the other made.

#[path = "support/real.rs"]
mod real;
mod support;

use std::path::Path;
use std::sync::Arc;

use base::Logger;
use real::Real;
use storage::fs::Fs;
use storage::{
    DboxStorage, Flags, Location, MailSettings, MaildirStorage, MboxStorage, OpenMode, Storage, SyncMode,
};
use support::save;

fn storage_at(dir: &Path, location: &str, separator: Option<char>) -> Box<dyn Storage> {
    let text = location.replace('~', &dir.display().to_string());
    let mut location = Location::parse(&text, None).unwrap();
    location.names.separator = separator;
    storage_with(location, MailSettings::default())
}

fn storage_with(location: Location, settings: MailSettings) -> Box<dyn Storage> {
    let settings = Arc::new(MailSettings { hostname: "host".to_owned(), ..settings });
    let (logger, fs) = (Logger::new("test: "), Fs::default());
    match location.driver.as_str() {
        "maildir" => Box::new(MaildirStorage::with_fs(location, settings, true, logger, fs)),
        "mbox" => Box::new(MboxStorage::with_fs(location, settings, true, "tester", logger, fs).unwrap()),
        _ => Box::new(DboxStorage::with_fs(location, settings, true, logger, fs).unwrap()),
    }
}

/// A step on both sides.
enum Step {
    Create(&'static str),
    Node(&'static str),
    Save(&'static str),
    Delete(&'static str),
    Rename(&'static str, &'static str),
}

/// Ours and Dovecot's, each with a directory of its own.
struct Twins {
    ours: tempfile::TempDir,
    theirs: tempfile::TempDir,
    location: &'static str,
    separator: &'static str,
}

impl Twins {
    fn new(location: &'static str, separator: &'static str) -> Self {
        let make = || {
            let dir = tempfile::tempdir().unwrap();
            // Nobody must be able to pass.
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(dir.path(), open).unwrap();
            if location.starts_with("mbox:") {
                // 2.3 cannot always make it.
                std::fs::create_dir(dir.path().join("mail")).unwrap();
                std::fs::write(dir.path().join("mail/inbox"), "").unwrap();
            }
            if location.contains("MAILBOXDIR") {
                for sub in ["cur", "new", "tmp"] {
                    std::fs::create_dir_all(dir.path().join("mail").join(sub)).unwrap();
                }
            }
            dir
        };
        Self { ours: make(), theirs: make(), location, separator }
    }

    fn storage(&self, dir: &Path) -> Box<dyn Storage> {
        storage_at(dir, self.location, self.separator.chars().next())
    }

    fn real(&self, dir: &Path) -> Option<Real> {
        // In a configuration a percent sign begins a variable.
        let location = self.location.replace('%', "%%").replace('~', &dir.display().to_string());
        let more = match self.separator {
            "" => String::new(),
            separator => format!("namespace inbox {{\n  separator = {separator}\n}}\n"),
        };
        Real::new(dir, &location, &more)
    }

    /// Takes the steps. Names have `/` between levels.
    fn go(&self, steps: &[Step]) {
        let ours = self.storage(self.ours.path());
        let real = self.real(self.theirs.path());
        let own = |name: &str| name.replace('/', &ours.separator().to_string());
        let run = |args: &[&str]| {
            if let Some(real) = &real {
                real.run(args, b"Subject: x\n\nx\n");
            }
        };
        for step in steps {
            match step {
                Step::Create(name) => {
                    ours.create(&own(name), false).unwrap();
                    run(&["mailbox", "create", &self.user(name, &*ours)]);
                }
                Step::Node(name) => {
                    ours.create(&own(name), true).unwrap();
                    let separator = self.shown(&*ours);
                    run(&["mailbox", "create", &format!("{}{separator}", self.user(name, &*ours))]);
                }
                Step::Save(name) => {
                    let mut mailbox = ours.open(&own(name), OpenMode::ReadWrite).unwrap();
                    mailbox.sync(SyncMode::Quick).unwrap();
                    save(&mut *mailbox, "Subject: x\n\nx\n", Flags::NONE, &[]).unwrap();
                    run(&["save", "-m", &self.user(name, &*ours)]);
                }
                Step::Delete(name) => {
                    ours.delete(&own(name)).unwrap();
                    run(&["mailbox", "delete", &self.user(name, &*ours)]);
                }
                Step::Rename(from, to) => {
                    ours.rename(&own(from), &own(to)).unwrap();
                    run(&["mailbox", "rename", &self.user(from, &*ours), &self.user(to, &*ours)]);
                }
            }
        }
        if real.is_some() {
            assert_eq!(
                directories(self.ours.path()),
                directories(self.theirs.path()),
                "{}: ours, theirs",
                self.location
            );
        }
        self.check_lists();
    }

    /// The separator that users see.
    fn shown(&self, storage: &dyn Storage) -> String {
        if self.separator.is_empty() { storage.separator().to_string() } else { self.separator.to_owned() }
    }

    fn user(&self, name: &str, storage: &dyn Storage) -> String {
        name.replace('/', &self.shown(storage))
    }

    /// Each lists what is there as the other does.
    fn check_lists(&self) {
        for dir in [self.ours.path(), self.theirs.path()] {
            let Some(real) = self.real(dir) else { continue };
            let storage = self.storage(dir);
            let mut listed: Vec<String> = storage
                .list()
                .unwrap()
                .into_iter()
                .map(|one| one.name.replace(storage.separator(), &self.shown(&*storage)))
                .collect();
            listed.sort();
            let out = real.run(&["mailbox", "list"], b"");
            let mut theirs: Vec<String> =
                String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
            theirs.sort();
            assert_eq!(listed, theirs, "{}: ours, theirs", self.location);
        }
    }
}

/// All directories but Dovecot's own.
fn directories(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, top: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.strip_prefix(top).unwrap().display().to_string();
            if entry.is_dir() && name != "run" {
                found.push(name);
                walk(&entry, top, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}

use Step::{Create, Delete, Node, Rename, Save};

#[test]
fn mailboxes_are_listed_from_their_indexes() {
    for location in [
        "sdbox:~/mail:INDEX=~/idx:ITERINDEX",
        "mdbox:~/mail:INDEX=~/idx:ITERINDEX",
        "maildir:~/mail:INDEX=~/idx:ITERINDEX:LAYOUT=fs",
    ] {
        let twins = Twins::new(location, "");
        twins.go(&[Save("INBOX"), Create("a"), Create("a/b"), Node("n"), Create("c/d/e"), Save("a")]);
        twins.go(&[Delete("c/d/e"), Rename("a", "n/x"), Save("n/x/b")]);
        twins.go(&[Delete("n/x")]);
    }
}

#[test]
fn an_index_alone_is_a_mailbox() {
    let twins = Twins::new("sdbox:~/mail:INDEX=~/idx:ITERINDEX", "");
    twins.go(&[Save("INBOX"), Create("a"), Create("b")]);
    for dir in [twins.ours.path(), twins.theirs.path()] {
        let mail = dir.join("mail/mailboxes");
        if mail.is_dir() {
            std::fs::remove_dir_all(mail.join("a")).unwrap();
            std::fs::remove_dir_all(mail.join("b")).unwrap();
        }
    }
    twins.check_lists();
    let storage = twins.storage(twins.ours.path());
    let mut mailbox = storage.open("a", OpenMode::ReadWrite).unwrap();
    save(&mut *mailbox, "Subject: x\n\nx\n", Flags::NONE, &[]).unwrap();
    drop(mailbox);
    storage.delete("a").unwrap();
    storage.delete("b").unwrap();
    assert_eq!(storage.list().unwrap().len(), 1);
}

#[test]
fn nodes_without_mail_go_with_their_last_mailbox() {
    for location in [
        "sdbox:~/mail:NO-NOSELECT",
        "sdbox:~/mail:INDEX=~/idx:ITERINDEX:NO-NOSELECT",
        "maildir:~/mail:LAYOUT=fs:NO-NOSELECT",
        "mbox:~/mail:NO-NOSELECT:DIRNAME=mbox:INDEX=~/idx",
    ] {
        let twins = Twins::new(location, "");
        twins.go(&[Save("INBOX"), Create("a/b/c"), Create("a/b/d"), Node("n")]);
        twins.go(&[Delete("a/b/c")]);
        twins.go(&[Delete("a/b/d")]);
        let names: Vec<String> =
            twins.storage(twins.ours.path()).list().unwrap().into_iter().map(|one| one.name).collect();
        assert!(!names.iter().any(|name| name.starts_with('a')), "{location}: {names:?}");
    }
}

#[test]
fn messages_in_a_directory_of_their_own() {
    for location in [
        "maildir:~/mail:LAYOUT=fs:DIRNAME=mail",
        "maildir:~/mail:LAYOUT=fs:FULLDIRNAME=mail:INDEX=~/idx:CONTROL=~/ctl",
        "maildir:~/mail:LAYOUT=fs:MAILBOXDIR=boxes:INDEX=~/idx:CONTROL=~/ctl",
        "sdbox:~/mail:FULLDIRNAME=msgs:INDEX=~/idx:CONTROL=~/ctl",
        "mbox:~/mail:DIRNAME=mbox:INDEX=~/idx",
    ] {
        let twins = Twins::new(location, "");
        twins.go(&[Save("INBOX"), Create("a"), Create("a/b"), Save("a"), Save("a/b")]);
        twins.go(&[Rename("a/b", "c"), Save("c")]);
    }
}

#[test]
fn names_of_several_levels_beside_each_other() {
    for location in [
        "maildir:~/mail:LAYOUT=imapdir",
        "maildir:~/mail:LAYOUT=imapdir:INDEX=~/idx:CONTROL=~/ctl",
        "maildir:~/mail:LAYOUT=imapdir:INBOX=~/in",
    ] {
        let twins = Twins::new(location, "");
        twins.go(&[Save("INBOX"), Create("a"), Create("a.b"), Create("cur"), Save("a"), Save("a.b")]);
        twins.go(&[Rename("a", "c"), Save("c.b")]);
    }
}

#[test]
fn what_a_rename_leaves_behind() {
    for location in [
        "sdbox:~/mail",
        "sdbox:~/mail:INDEX=~/idx",
        "maildir:~/mail:LAYOUT=fs",
        "maildir:~/mail:LAYOUT=fs:INDEX=~/idx:CONTROL=~/ctl",
        "mbox:~/mail",
        "mbox:~/mail:INDEX=~/idx",
    ] {
        let twins = Twins::new(location, "");
        twins.go(&[Save("INBOX"), Create("x/y"), Create("v/w"), Rename("x/y", "z")]);
        twins.go(&[Delete("v/w")]);
    }
}

#[test]
fn names_that_begin_with_a_dot() {
    for location in ["maildir:~/mail:LAYOUT=fs", "mbox:~/mail", "sdbox:~/mail", "mdbox:~/mail:LAYOUT=fs"] {
        let twins = Twins::new(location, "");
        twins.go(&[Save("INBOX"), Create(".x"), Create("a/.y"), Create(".z/b"), Save(".z/b")]);
        let listed = twins.storage(twins.ours.path()).list().unwrap();
        assert!(listed.iter().any(|one| one.name == "a/.y"), "{location}: {listed:?}");
    }
}

#[test]
fn children_have_the_rights_of_their_parents() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    for (location, dir, child) in [
        ("maildir:~/mail", "mail/.a", "mail/.a.b/cur"),
        ("maildir:~/mail:LAYOUT=fs", "mail/a", "mail/a/b/cur"),
        ("maildir:~/mail:INDEX=~/idx", "mail/.a", "idx/.a.b"),
        ("sdbox:~/mail", "mail/mailboxes/a", "mail/mailboxes/a/b/dbox-Mails"),
        ("mbox:~/mail", "mail/a", "mail/a/b"),
    ] {
        let twins = Twins::new(location, "");
        let first = if location.starts_with("mbox") { "a/x" } else { "a" };
        twins.go(&[Save("INBOX"), Create(first)]);
        for top in [twins.ours.path(), twins.theirs.path()].iter().filter(|top| top.join(dir).exists()) {
            std::fs::set_permissions(top.join(dir), PermissionsExt::from_mode(0o770)).unwrap();
        }
        twins.go(&[Create("a/b")]);
        let mode = |top: &Path| std::fs::metadata(top.join(child)).map(|meta| meta.mode() & 0o777).ok();
        let expected = if location.starts_with("mbox") { 0o660 } else { 0o770 };
        assert_eq!(mode(twins.ours.path()), Some(expected), "{location}");
        assert!(mode(twins.theirs.path()).is_none_or(|theirs| theirs == expected), "{location}");
    }
}

#[test]
fn the_root_is_no_subfolder() {
    let twins = Twins::new("maildir:~/mail", "");
    twins.go(&[Create("a"), Save("INBOX")]);
    let mail = twins.ours.path().join("mail");
    assert!(mail.join(".a/maildirfolder").exists() && !mail.join("maildirfolder").exists());
}

#[test]
fn both_find_the_same_mail() {
    let dir = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let make = |name: &str| {
        let path = dir.path().join(name);
        match name.ends_with('/') {
            true => std::fs::create_dir_all(path).unwrap(),
            false => std::fs::write(path, "").unwrap(),
        }
    };
    let home = dir.path().display();
    // Each is found before those above it.
    for (made, location) in [
        (&["Mail/", "Mail/mbox"][..], ""),
        (&["mail/", "mail/inbox"], ""),
        (&["x/", "x/.imap/"], "~/x"),
        (&["file"], "~/file"),
        (&["file"], "auto:~/file:INDEX=~/idx"),
        (&["Maildir/cur/"], ""),
        (&["mdbox/storage/", "mdbox/mailboxes/"], ""),
        (&["sdbox/mailboxes/"], ""),
        (&["x/cur/"], "~/x"),
        (&["x/mailboxes/"], "~/x"),
        (&["x/storage/"], "auto:~/x"),
    ] {
        made.iter().for_each(|name| make(name));
        let text = location.replace('~', &home.to_string());
        let owner = storage::location::Owner { home: Some(dir.path()), name: "tester" };
        let found = Location::of(&text, &owner).unwrap();
        let path = storage_with(found, MailSettings::default())
            .path("INBOX", storage::api::PathKind::Mailbox)
            .unwrap();
        let Some(real) = Real::new(dir.path(), &text, "") else { return };
        let theirs =
            String::from_utf8(real.run(&["mailbox", "path", "-t", "mailbox", "INBOX"], b"")).unwrap();
        assert_eq!(path.display().to_string(), theirs.trim_end(), "{made:?} {location}");
    }
}

/// Keeps a lock file as another process would.
fn keep(path: &Path) -> std::fs::File {
    let dir = path.parent().unwrap();
    std::fs::create_dir_all(dir).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(dir, open).unwrap();
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(path).unwrap();
    assert!(sys::lock::try_lock(&file, sys::lock::LockKind::Exclusive).unwrap());
    file
}

#[test]
fn who_makes_a_mailbox_waits_for_others() {
    const HASH: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    for (location, lock) in [
        ("maildir:~/mail:VOLATILEDIR=~/vol", format!("vol/mailboxes.lock{HASH}")),
        ("sdbox:~/mail:INDEX=~/idx:VOLATILEDIR=~/vol/deep", format!("vol/deep/mailboxes.lock{HASH}")),
        ("mbox:~/mail:VOLATILEDIR=~/vol", format!("vol/mailboxes.lock{HASH}")),
        ("maildir:~/mail", "mail/mailboxes.lock".to_owned()),
        ("sdbox:~/mail:INDEX=~/idx", "idx/mailboxes.lock".to_owned()),
        ("mbox:~/mail", "mail/.imap/mailboxes.lock".to_owned()),
        ("mbox:~/mail:INDEX=~/idx", "idx/.imap/mailboxes.lock".to_owned()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let text = location.replace('~', &dir.path().display().to_string());
        std::fs::create_dir_all(dir.path().join("mail")).unwrap();
        let settings = MailSettings {
            mail_max_lock_timeout: std::time::Duration::from_secs(1),
            ..MailSettings::default()
        };
        let storage = storage_with(Location::parse(&text, None).unwrap(), settings);
        storage.create("before", false).unwrap();
        let path = dir.path().join(lock);
        let kept = keep(&path);
        let error = storage.create("new", false).unwrap_err();
        assert!(matches!(error, storage::Error::InUse(_)), "{location}: {error}");
        storage.delete("before").unwrap_err();
        storage.rename("before", "after").unwrap_err();
        if let Some(real) = Real::new(dir.path(), &text, "mail_max_lock_timeout = 1s\n") {
            let output = real.try_run(&["mailbox", "create", "theirs"], b"");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(&path.display().to_string()), "{location}: {said}");
        }
        drop(kept);
        storage.rename("before", "after").unwrap();
        assert!(!path.exists(), "{location}");
    }
}

#[test]
fn who_adds_up_a_size_waits_for_others() {
    const HASH: &str = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8";
    for (location, lock) in [
        ("maildir:~/mail:VOLATILEDIR=~/vol", format!("vol/dovecot-vsize.lock.{HASH}")),
        ("maildir:~/mail", "mail/.a/dovecot-vsize.lock".to_owned()),
        ("mdbox:~/mail", "mail/mailboxes/a/dbox-Mails/dovecot-vsize.lock".to_owned()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let text = location.replace('~', &dir.path().display().to_string());
        let storage = storage_with(Location::parse(&text, None).unwrap(), MailSettings::default());
        storage.create("a", false).unwrap();
        let mut mailbox = storage.open("a", OpenMode::ReadWrite).unwrap();
        save(&mut *mailbox, "Subject: x\n\nx\n", Flags::NONE, &[]).unwrap();
        let path = dir.path().join(lock);
        let kept = keep(&path);
        let size = std::thread::scope(|scope| {
            let began = std::time::Instant::now();
            let waiting = scope.spawn(|| mailbox.status(storage::StatusItems::SIZE).unwrap().size);
            while !waiting.is_finished() && began.elapsed() < std::time::Duration::from_millis(300) {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            assert!(!waiting.is_finished(), "{location}");
            drop(kept);
            waiting.join().unwrap()
        });
        assert_eq!(size, Some(17), "{location}");
        assert!(!path.exists(), "{location}");
    }
}

#[test]
fn mboxes_beside_each_other() {
    for location in ["mbox:~/mail:LAYOUT=maildir++", "mbox:~/mail:LAYOUT=maildir++:INDEX=~/idx"] {
        for separator in ["", "/"] {
            let twins = Twins::new(location, separator);
            twins.go(&[Save("INBOX"), Create("a"), Create("a/b"), Create("c"), Save("a/b")]);
            twins.go(&[Rename("a", "d"), Save("d/b"), Delete("c")]);
            let storage = twins.storage(twins.ours.path());
            for name in ["imap", "subscriptions", "d.lock"] {
                storage.create(name, false).expect_err(name);
            }
            storage.create("e", false).unwrap();
            storage.create("e.b", false).unwrap();
            storage.rename("e", "f").unwrap();
            storage.create("d.c", false).unwrap();
            storage.create("g.c", false).unwrap();
            storage.rename("d", "g").expect_err("one of its children is there already");
            let mailbox = storage.open("d.b", OpenMode::ReadOnly).unwrap().sync(SyncMode::Quick).unwrap();
            assert_eq!(mailbox.len(), 2, "{location}");
        }
    }
}

#[test]
fn broken_names_are_shown() {
    for (location, separator, names) in [
        (
            "maildir:~/mail:BROKENCHAR=_:LAYOUT=fs",
            ".",
            &["a.b", "a_b", "&APw-", "x&A-y", "plain", "p/q.r"][..],
        ),
        ("maildir:~/mail:BROKENCHAR=%:UTF-8:LAYOUT=fs", ".", &["a.b", "a%b", "x&y", "p"]),
        ("maildir:~/mail:BROKENCHAR=_", "", &[".a_b", ".&APw-", ".x&A-", ".&"]),
    ] {
        let twins = Twins::new(location, separator);
        for dir in [twins.ours.path(), twins.theirs.path()] {
            for name in names {
                for sub in ["cur", "new", "tmp"] {
                    std::fs::create_dir_all(dir.join("mail").join(name).join(sub)).unwrap();
                }
            }
        }
        twins.check_lists();
        let storage = twins.storage(twins.ours.path());
        // Subscriptions have several levels in one name.
        for name in ["t/u", "x/y/z"].map(|name| name.replace('/', &storage.separator().to_string())) {
            assert!(storage.set_subscribed(&name, true).unwrap());
            assert!(storage.subscriptions().unwrap().contains(&name), "{location}");
        }
        let listed = storage.list().unwrap();
        assert!(listed.len() > names.len(), "{location}: {listed:?}");
        for one in listed.into_iter().filter(|one| one.selectable) {
            storage.open(&one.name, OpenMode::ReadWrite).unwrap().sync(SyncMode::Quick).unwrap();
        }
    }
}

#[test]
fn broken_names_lead_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    for location in ["maildir:~/mail:BROKENCHAR=_:LAYOUT=fs", "sdbox:~/mail:BROKENCHAR=_"] {
        let storage = storage_at(dir.path(), location, None);
        for name in ["_2e_2e", "a/_2e_2e/b", "_2fetc", "a_2fb", "x_00y", "_7e", "cur_2f", "a_0a"] {
            let error = storage.create(name, false).expect_err(name);
            assert!(matches!(error, storage::Error::InvalidName { .. }), "{location} {name}: {error}");
        }
    }
}
