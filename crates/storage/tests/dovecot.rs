//! The same Maildir used by us and by real Dovecot 2.3 in turns: UIDs, flags, keywords, GUIDs and sizes
//! must agree at every step, and Dovecot must find nothing to mend.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base::Uid;
use storage::api::copy;
use storage::{CopyMode, FlagMode, Flags, Mailbox, OpenMode, Storage, SyncMode, Wanted};
use support::{Home, change, save, uids};

const DOVEADM: &str = "/usr/bin/doveadm";

/// Real doveadm for the mail of a test. Started by root it works as `nobody`, who then owns the files.
struct Real<'a> {
    home: &'a Home,
    extra: &'a str,
}

impl<'a> Real<'a> {
    fn new(home: &'a Home, extra: &'a str) -> Option<Self> {
        if !Path::new(DOVEADM).exists() || !Path::new("/usr/sbin/dovecot").exists() {
            assert_ne!(std::env::var("REQUIRE").as_deref(), Ok("all"), "real Dovecot is not installed");
            eprintln!("left out: real Dovecot is not installed");
            return None;
        }
        let real = Self { home, extra };
        std::fs::create_dir_all(home.root()).unwrap();
        real.own();
        let (dir, root) = (home.dir.path().display(), home.root().display().to_string());
        let id = real.id();
        let config = format!(
            "base_dir = {dir}/run\nstate_dir = {dir}/run\nlog_path = /dev/stderr\nmail_location = maildir:{root}{extra}\n\
             mail_uid = {id}\nmail_gid = {id}\nfirst_valid_uid = 1\nfirst_valid_gid = 1\nssl = no\n\
             mail_home = {dir}\nnamespace inbox {{\n  inbox = yes\n}}\n"
        );
        std::fs::write(home.dir.path().join("dovecot.conf"), config).unwrap();
        Some(real)
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn id(&self) -> u32 {
        if Self::is_root() { 65534 } else { rustix::process::geteuid().as_raw() }
    }

    /// Gives what we wrote to the user that doveadm works as.
    fn own(&self) {
        fn walk(path: &Path, id: u32) {
            // What has gone meanwhile needs no owner: we may be at work as well.
            let _ = std::os::unix::fs::lchown(path, Some(id), Some(id));
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.for_each(|entry| walk(&entry.path(), id));
        }
        if Self::is_root() {
            walk(self.home.dir.path(), self.id());
        }
    }

    /// Runs doveadm, which must succeed and complain of nothing.
    fn run(&self, args: &[&str], input: &str) -> String {
        self.own();
        let mut child = Command::new(DOVEADM)
            .arg("-c")
            .arg(self.home.dir.path().join("dovecot.conf"))
            .args(args)
            .env("USER", "tester")
            .env("HOME", self.home.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{args:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `uid flags size guid` of every message, as Dovecot sees it.
    fn state(&self, mailbox: &str) -> Vec<String> {
        let text = self.run(&["-f", "tab", "fetch", "uid flags size.virtual guid", "mailbox", mailbox], "");
        text.lines().skip(1).map(normal).collect()
    }
}

/// Flags sorted, without `\Recent`, which belongs to a session.
fn normal(line: &str) -> String {
    let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
    let mut flags: Vec<&str> =
        fields[1].split(' ').filter(|flag| !flag.is_empty() && *flag != "\\Recent").collect();
    flags.sort_unstable();
    fields[1] = flags.join(" ");
    fields.join("\t")
}

/// The same as we see it.
fn state(mailbox: &mut dyn Mailbox) -> Vec<String> {
    let view = mailbox.sync(SyncMode::Quick).unwrap();
    let mut lines = Vec::new();
    for record in view.records() {
        let facts = mailbox.fetch_facts(record.uid, Wanted::SIZE_VIRTUAL | Wanted::GUID).unwrap();
        let mut flags: Vec<&str> = record.flags.names().collect();
        flags.extend(view.keyword_names(&record.keywords));
        let (size, guid) = (facts.size_virtual.unwrap(), facts.guid.unwrap());
        lines.push(normal(&format!("{}\t{}\t{size}\t{guid}", record.uid, flags.join(" "))));
    }
    lines
}

fn check_agreement(extra: &str) {
    let home = Home::new();
    let Some(real) = Real::new(&home, extra) else { return };
    let storage = home.storage_at(extra, storage::fs::Fs::default());
    let open = |name: &str| storage.open(name, OpenMode::ReadWrite).unwrap();
    let agree = |mailbox: &mut dyn Mailbox| {
        let ours = state(mailbox);
        assert_eq!(real.state(mailbox.name()), ours);
        real.run(&["force-resync", mailbox.name()], "");
        assert_eq!(real.state(mailbox.name()), ours);
        assert_eq!(state(mailbox), ours);
        ours
    };

    // Dovecot makes the mailbox.
    for number in 1..=4 {
        real.run(&["save"], &format!("Subject: {number}\r\n\r\nline\r\n"));
    }
    real.run(&["flags", "add", "\\Seen work $Forwarded", "mailbox", "INBOX", "uid", "1:2"], "");
    real.run(&["mailbox", "create", "Entwürfe"], "");
    real.run(&["mailbox", "subscribe", "Entwürfe"], "");
    let mut inbox = open("INBOX");
    let mut other = open("Entwürfe");
    assert_eq!(agree(&mut *inbox).len(), 4);
    assert_eq!(storage.subscriptions().unwrap(), ["Entwürfe"]);

    // We change everything that can be changed.
    save(&mut *inbox, "Subject: 5\r\n\r\nours\r\n", Flags::NONE, &[]).unwrap();
    save(&mut *inbox, "Subject: 6\r\n\r\nours\r\n", Flags::DRAFT, &["work", "new-one"]).unwrap();
    agree(&mut *inbox);
    inbox.store_flags(&uids(&[1, 5]), &change(FlagMode::Replace, Flags::ANSWERED, &["again"])).unwrap();
    inbox.store_flags(&uids(&[2]), &change(FlagMode::Remove, Flags::SEEN, &["work"])).unwrap();
    inbox.expunge(&uids(&[3])).unwrap();
    agree(&mut *inbox);
    copy(&mut *inbox, &uids(&[2, 6]), &mut *other, CopyMode::Move).unwrap();
    copy(&mut *inbox, &uids(&[1]), &mut *other, CopyMode::Copy).unwrap();
    assert_eq!(agree(&mut *inbox).len(), 3);
    assert_eq!(agree(&mut *other).len(), 3);
    storage.set_subscribed("INBOX", true).unwrap();
    assert_eq!(real.run(&["mailbox", "list", "-s"], ""), "Entwürfe\nINBOX\n");

    // Dovecot goes on.
    real.run(&["save"], "Subject: 7\r\n\r\ntheirs\r\n");
    real.run(&["flags", "add", "\\Flagged third", "mailbox", "INBOX", "all"], "");
    real.run(&["expunge", "mailbox", "INBOX", "uid", "1"], "");
    real.run(&["move", "Entwürfe", "mailbox", "INBOX", "uid", "4"], "");
    agree(&mut *inbox);
    agree(&mut *other);
    inbox.expunge(&uids(&[5])).unwrap();
    save(&mut *inbox, "Subject: 8\r\n\r\nours\r\n", Flags::SEEN, &[]).unwrap();
    let last = agree(&mut *inbox);
    assert_eq!(last.len(), 2);

    // From scratch, as after a restart.
    drop((inbox, other));
    assert_eq!(state(&mut *open("INBOX")), last);
    assert_eq!(
        open("INBOX").guid().unwrap().to_string(),
        real.run(&["-f", "flow", "mailbox", "status", "guid", "INBOX"], "")
            .trim()
            .rsplit('=')
            .next()
            .unwrap()
    );
}

#[test]
fn maildirplusplus() {
    check_agreement("");
}

#[test]
fn fs_layout() {
    check_agreement(":LAYOUT=fs");
}

#[test]
fn imapdir_layout() {
    check_agreement(":LAYOUT=imapdir");
}

#[test]
fn separate_control_directory() {
    let home = Home::new();
    let control = format!(":CONTROL={}/control", home.dir.path().display());
    let Some(real) = Real::new(&home, &control) else { return };
    let storage = home.storage_at(&control, storage::fs::Fs::default());
    real.run(&["save"], "Subject: 1\r\n\r\nline\r\n");
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    save(&mut *inbox, "Subject: 2\r\n\r\nours\r\n", Flags::SEEN, &["kw"]).unwrap();
    assert_eq!(real.state("INBOX"), state(&mut *inbox));
    assert_eq!(inbox.view().record(Uid::ONE).unwrap().flags, Flags::NONE);
    let _ = real.extra;
}

#[test]
fn made_by_us() {
    let home = Home::new();
    let Some(real) = Real::new(&home, "") else { return };
    let storage = home.storage();
    let mut inbox = home.inbox();
    for number in 0..3 {
        save(&mut *inbox, &format!("Subject: {number}\r\n\r\nours\r\n"), Flags::SEEN, &["a", "b"]).unwrap();
    }
    storage.create("x.y", false).unwrap();
    storage.set_subscribed("x.y", true).unwrap();
    assert_eq!(real.state("INBOX"), state(&mut *inbox));
    assert_eq!(real.run(&["mailbox", "list", "-s"], ""), "x.y\n");
    real.run(&["flags", "remove", "a", "mailbox", "INBOX", "uid", "2"], "");
    real.run(&["expunge", "mailbox", "INBOX", "uid", "3"], "");
    assert_eq!(real.state("INBOX"), state(&mut *inbox));
    real.run(&["mailbox", "rename", "x.y", "x.z"], "");
    assert_eq!(storage.list().unwrap().iter().filter(|one| one.name == "x.z").count(), 1);
}

type Stop = AtomicBool;

/// Stops the other thread also when this one panics.
struct StopGuard<'a>(&'a Stop);

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What both sides say, as soon as they say the same.
fn agreed(mut both: impl FnMut() -> (Vec<String>, Vec<String>)) -> Vec<String> {
    let began = Instant::now();
    loop {
        let (theirs, ours) = both();
        if theirs == ours {
            return ours;
        }
        let differing: Vec<_> = theirs.iter().zip(&ours).filter(|(a, b)| a != b).collect();
        assert!(began.elapsed() < Duration::from_secs(20), "(theirs, ours) differ: {differing:#?}");
    }
}

/// Both change the mailbox at the same time, with Dovecot's index in it. In the end both agree.
#[test]
fn at_the_same_time() {
    let home = Home::new();
    let Some(real) = Real::new(&home, "") else { return };
    if Real::is_root() {
        // As root we would make files that the other side, working as nobody, cannot change.
        rustix::process::umask(rustix::fs::Mode::empty());
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(home.root(), open).unwrap();
    }
    real.run(&["save"], "Subject: first\r\n\r\nx\r\n");
    let mut inbox = home.inbox();
    let stop = Stop::default();
    let saved = std::thread::scope(|scope| {
        let _stop_at_the_end = StopGuard(&stop);
        let ours = scope.spawn(|| {
            let mut saved = 0;
            while !stop.load(Ordering::SeqCst) {
                let text = format!("Subject: ours {saved}\r\n\r\nx\r\n");
                let uid = save(&mut *inbox, &text, Flags::SEEN, &["ours"]).unwrap();
                saved += 1;
                inbox.sync(SyncMode::Quick).unwrap();
                if saved % 3 == 0 {
                    inbox.store_flags(&uids(&[uid]), &change(FlagMode::Add, Flags::FLAGGED, &[])).unwrap();
                }
            }
            saved
        });
        for number in 0..15 {
            real.run(&["save"], &format!("Subject: theirs {number}\r\n\r\nx\r\n"));
            real.run(&["flags", "add", "\\Answered", "mailbox", "INBOX", "subject", "theirs"], "");
        }
        stop.store(true, Ordering::SeqCst);
        ours.join().unwrap()
    });
    // What one did at the very moment of the other's change is seen a second later.
    let seen = agreed(|| (real.state("INBOX"), state(&mut *inbox)));
    real.run(&["force-resync", "INBOX"], "");
    assert_eq!(real.state("INBOX"), seen);
    assert_eq!(seen.len(), saved + 16);
    assert_eq!(seen.iter().filter(|line| line.contains("\\Answered")).count(), 15);
    drop(inbox);
    assert_eq!(state(&mut *home.inbox()), seen);
}
