//! The same index used by us and by real Dovecot 2.3 in turns: both must see the same messages, flags,
//! keywords and modification sequences at every step, and Dovecot must find nothing to complain of.

mod support;

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use index::fs::Fs;
use index::{Flags, Index, Origin, Place, Settings, Transaction, View};
use support::{guid, open_place, uid, uids};
use tempfile::TempDir;

const DOVEADM: &str = "/usr/bin/doveadm";

/// Real doveadm with a mail directory of its own. Started by root it works as `nobody`.
struct Real {
    dir: TempDir,
    settings: Settings,
    format: &'static str,
}

impl Real {
    fn new(extra: &str) -> Option<Self> {
        Self::with_format("sdbox", extra)
    }

    fn with_format(format: &'static str, extra: &str) -> Option<Self> {
        if !Path::new(DOVEADM).exists() || !Path::new("/usr/sbin/dovecot").exists() {
            assert_ne!(std::env::var("REQUIRE").as_deref(), Ok("all"), "real Dovecot is not installed");
            eprintln!("left out: real Dovecot is not installed");
            return None;
        }
        let real = Self { dir: TempDir::new().unwrap(), settings: Settings::default(), format };
        let (dir, id) = (real.dir.path().display(), real.id());
        let config = format!(
            "base_dir = {dir}/run\nstate_dir = {dir}/run\nlog_path = /dev/stderr\n\
             mail_location = {format}:{dir}/mail\nmail_uid = {id}\nmail_gid = {id}\nfirst_valid_uid = 1\n\
             first_valid_gid = 1\nssl = no\nmail_home = {dir}\nnamespace inbox {{\n  inbox = yes\n}}\n{extra}"
        );
        std::fs::write(real.dir.path().join("dovecot.conf"), config).unwrap();
        Some(real)
    }

    fn id(&self) -> u32 {
        let own = rustix::process::geteuid();
        if own.is_root() { 65534 } else { own.as_raw() }
    }

    fn own(&self) {
        fn walk(path: &Path, id: u32) {
            let _ = std::os::unix::fs::lchown(path, Some(id), Some(id));
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.for_each(|entry| walk(&entry.path(), id));
        }
        if rustix::process::geteuid().is_root() {
            walk(self.dir.path(), self.id());
        }
    }

    fn spawn(&self, args: &[&str]) -> std::process::Child {
        Command::new(DOVEADM)
            .arg("-c")
            .arg(self.dir.path().join("dovecot.conf"))
            .args(args)
            .env("USER", "tester")
            .env("HOME", self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs doveadm, which must succeed and complain of nothing.
    fn run(&self, args: &[&str], input: &str) -> String {
        self.own();
        let mut child = self.spawn(args);
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && complaints.is_empty(), "doveadm {args:?}: {complaints}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn save(&self, count: usize) {
        for number in 0..count {
            self.run(&["save", "-m", "INBOX"], &format!("Subject: {number}\n\nbody\n"));
        }
    }

    fn flags(&self, action: &str, flags: &str, uids: &str) {
        self.run(&["flags", action, flags, "mailbox", "INBOX", "uid", uids], "");
    }

    /// UID, flags and keywords, modification sequence of each message, as Dovecot sees them.
    fn messages(&self) -> String {
        let text = self.run(&["-f", "tab", "fetch", "uid flags modseq", "mailbox", "INBOX", "all"], "");
        let mut list = String::new();
        for line in text.lines().skip(1) {
            let mut fields = line.split('\t');
            let (uid, flags, modseq) =
                (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
            let mut flags: Vec<_> = flags.split(' ').filter(|f| !f.is_empty() && *f != "\\Recent").collect();
            flags.sort_unstable();
            writeln!(list, "{uid} {} {modseq}", flags.join(" ")).unwrap();
        }
        list
    }

    fn index_dir(&self) -> PathBuf {
        match self.format {
            "maildir" => self.dir.path().join("mail"),
            _ => self.dir.path().join("mail/mailboxes/INBOX/dbox-Mails"),
        }
    }

    fn open(&self) -> Index {
        let mut place = Place::new(Some(self.index_dir()), "dovecot.index");
        place.keep_backups = true;
        open_place(place, &self.settings, Fs::default())
    }
}

/// The same of a snapshot of ours.
fn ours(view: &View) -> String {
    let mut list = String::new();
    for record in view.records() {
        let mut flags: Vec<_> = record.flags.names().collect();
        flags.extend(view.keyword_names(&record.keywords));
        flags.sort_unstable();
        writeln!(list, "{} {} {}", record.uid, flags.join(" "), view.modseq(record).0).unwrap();
    }
    list
}

const EAGER: &str = "mail_index_rewrite_min_log_bytes = 1\nmail_index_rewrite_max_log_bytes = 1\n\
                     mail_index_log_rotate_min_size = 1\nmail_index_log_rotate_max_size = 1500\n";

#[test]
fn we_read_what_dovecot_writes() {
    for extra in ["", EAGER] {
        let Some(real) = Real::new(extra) else { return };
        real.save(12);
        let mut open = real.open();
        // Modification sequences are tracked from the first look on.
        assert_eq!(real.messages().lines().count(), 12);
        let steps: [(&str, &str, &str); 8] = [
            ("add", "\\Seen", "1:5"),
            ("add", "\\Deleted $Forwarded", "2,4,12"),
            ("remove", "\\Seen", "3"),
            ("add", "k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11 k12 k13 k14 k15 k16 k17 k18 k19", "1,12"),
            ("add", "k20 k21 k22 k23 k24 k25 k26 k27 k28 k29 k30 k31 k32 k33 k34 k35", "6:7"),
            ("replace", "\\Flagged k35", "12"),
            ("remove", "$forwarded", "1:*"),
            ("replace", "\\Draft", "5"),
        ];
        for (action, flags, uids) in steps {
            real.flags(action, flags, uids);
            check(&real, &mut open);
        }
        real.run(&["expunge", "mailbox", "INBOX", "deleted"], "");
        check(&real, &mut open);
        real.save(2);
        check(&real, &mut open);
        real.run(&["expunge", "mailbox", "INBOX", "uid", "1:13"], "");
        check(&real, &mut open);
        if extra == EAGER {
            assert!(real.index_dir().join("dovecot.index").exists() && open.header().log_file_seq > 3);
        }
    }
}

/// Whoever has the index open, and whoever opens it now, sees what Dovecot sees.
fn check(real: &Real, open: &mut Index) {
    let theirs = real.messages();
    open.refresh().unwrap();
    assert_eq!(ours(open.view()), theirs, "seen by who has it open");
    let fresh = real.open();
    assert_eq!(ours(fresh.view()), theirs, "seen by who opens it");
    let status =
        real.run(&["mailbox", "status", "uidvalidity uidnext unseen highestmodseq messages", "INBOX"], "");
    let view = fresh.view();
    let unseen = fresh.header().messages_count - fresh.header().seen_count;
    let expected = format!(
        "INBOX messages={} uidnext={} uidvalidity={} unseen={unseen} highestmodseq={}\n",
        view.len(),
        view.uid_next(),
        view.uid_validity(),
        view.highest_modseq().0
    );
    assert_eq!(status, expected);
}

#[test]
fn dovecot_reads_what_we_write() {
    for extra in ["", EAGER] {
        let Some(mut real) = Real::new(extra) else { return };
        if extra == EAGER {
            (real.settings.rewrite_max_log_bytes, real.settings.log_rotate_max_size) = (300, 900);
            real.settings.rewrite_min_log_bytes = 100;
        }
        real.save(10);
        real.messages();
        let mut open = real.open();
        for round in 0..14u32 {
            let mut change = Transaction::new();
            let some = uids(&[round % 10 + 1, (round + 3) % 10 + 1]);
            change.update_flags(&some, Flags::SEEN | Flags::ANSWERED, Flags::FLAGGED);
            change.update_keywords(&format!("ours{round}"), &some, true);
            change.update_keywords("ours0", &uids(&[round % 10 + 1]), round % 2 == 0);
            if round % 3 == 0 {
                open.commit(&change, Origin::Internal).unwrap();
            } else {
                open.lock().unwrap().synced_with(&change).unwrap();
            }
            check(&real, &mut open);
            real.flags(
                if round % 2 == 0 { "add" } else { "remove" },
                &format!("\\Flagged theirs{round}"),
                "1:3",
            );
            check(&real, &mut open);
        }
        // We ask, Dovecot does.
        let mut ask = Transaction::new();
        ask.expunge(uid(3), base::Guid::default());
        open.commit(&ask, Origin::Internal).unwrap();
        assert_eq!(open.view().len(), 10);
        real.run(&["fetch", "uid", "mailbox", "INBOX", "all"], "");
        check(&real, &mut open);
        assert_eq!(open.view().len(), 9);
        assert!(!real.index_dir().join("u.3").exists());
        // A GUID that is another message's.
        let mut ask = Transaction::new();
        ask.expunge(uid(4), guid(77));
        open.commit(&ask, Origin::Internal).unwrap();
        real.run(&["fetch", "uid", "mailbox", "INBOX", "all"], "");
        check(&real, &mut open);
        let mut locked = open.lock().unwrap();
        locked.rewrite().unwrap();
        locked.rotate().unwrap();
        drop(locked);
        check(&real, &mut open);
    }
}

#[test]
fn doveadm_dumps_what_we_write() {
    let Some(real) = Real::new("") else { return };
    real.save(3);
    let mut index = real.open();
    let mut change = Transaction::new();
    change.ext(&index::ExtSpec::new("vnd-test", 8, 3, 1), 5);
    change.ext_header("vnd-test", 2, b"abcd");
    change.ext_record("vnd-test", uid(2), &[7, 8, 9]);
    change.update_attribute(index::AttributeUpdate {
        private: true,
        name: "comment".to_owned(),
        time: 1_700_000_000,
        value_size: Some(3),
    });
    index.commit(&change, Origin::External).unwrap();
    index.lock().unwrap().rewrite().unwrap();
    let path = |name: &str| real.index_dir().join(name).display().to_string();
    let log = real.run(&["dump", &path("dovecot.index.log")], "");
    for line in [" - name = 'vnd-test'", " - reset_id = 5", "uid=2: 070809", "private/comment"] {
        assert!(log.contains(line), "no {line} in {log}");
    }
    let dump = real.run(&["dump", &path("dovecot.index")], "");
    for line in ["name ........ = vnd-test", "reset_id .... = 5", "messages count ........... = 3"] {
        assert!(dump.contains(line), "no {line} in {dump}");
    }
    real.messages();
    let mut index = real.open();
    index.refresh().unwrap();
    let id = index.ext("vnd-test").unwrap();
    assert_eq!(index.view().ext(uid(2), id), Some(&[7, 8, 9][..]), "Dovecot keeps it");
}

#[test]
fn both_write_at_once() {
    let Some(real) = Real::new("mail_index_log_rotate_min_size = 1\nmail_index_log_rotate_max_size = 3000\n")
    else {
        return;
    };
    real.save(4);
    real.messages();
    real.own();
    let dir = real.index_dir();
    let mut index = real.open();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..25 {
                let action = if round % 2 == 0 { "add" } else { "remove" };
                let args = ["flags", action, "\\Flagged theirs", "mailbox", "INBOX", "uid", "1:2"];
                let output = real.spawn(&args).wait_with_output().unwrap();
                let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && complaints.is_empty(), "{complaints}");
            }
            real.spawn(&["flags", "add", "\\Flagged last", "mailbox", "INBOX", "uid", "1:2"]).wait().unwrap();
        });
        for round in 0..400 {
            let mut change = Transaction::new();
            change.update_keywords("ours", &uids(&[3, 4]), round % 2 == 1);
            index.lock().unwrap().synced_with(&change).unwrap();
            // As root we would leave files that doveadm cannot read.
            for file in std::fs::read_dir(&dir).unwrap().flatten() {
                let _ = std::os::unix::fs::lchown(file.path(), Some(real.id()), Some(real.id()));
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
    index.refresh().unwrap();
    check(&real, &mut index);
    let text = ours(index.view());
    assert!(text.contains("\n3 ours ") && text.starts_with("1 \\Flagged last "), "{text}");
}

#[test]
fn dovecot_carries_out_what_we_ask_for_in_a_maildir() {
    for extra in ["", EAGER] {
        let Some(real) = Real::with_format("maildir", extra) else { return };
        real.save(4);
        real.messages();
        let mut open = real.open();
        check(&real, &mut open);
        let mut ask = Transaction::new();
        ask.update_flags(&uids(&[1, 2]), Flags::SEEN | Flags::FLAGGED, Flags::NONE);
        ask.update_keywords("$Junk", &uids(&[2, 3]), true);
        ask.expunge(uid(4), base::Guid::default());
        open.commit(&ask, Origin::Internal).unwrap();
        assert_eq!(open.lock().unwrap().pending().unwrap().len(), 3);
        check(&real, &mut open);
        real.flags("remove", "\\Flagged", "1");
        check(&real, &mut open);
        assert_eq!(open.lock().unwrap().pending().unwrap(), [], "Dovecot has done it");
        // Dovecot leaves them in new/ until a session claims them.
        let dirs = ["new", "cur"].map(|name| std::fs::read_dir(real.index_dir().join(name)).unwrap());
        let mut codes: Vec<_> = dirs
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().rsplit_once(":2,").unwrap().1.to_owned())
            .collect();
        codes.sort();
        assert_eq!(codes, ["FSa", "S", "a"]);
    }
}

#[test]
fn we_read_mdbox_and_its_map() {
    let Some(real) = Real::with_format("mdbox", EAGER) else { return };
    real.save(5);
    real.messages();
    let mut open = real.open();
    check(&real, &mut open);
    real.run(&["expunge", "mailbox", "INBOX", "uid", "2"], "");
    check(&real, &mut open);
    let map = Place::new(Some(real.dir.path().join("mail/storage")), "dovecot.map.index");
    let map = open_place(map, &real.settings, Fs::default());
    let (places, references) = (map.ext("map").unwrap(), map.ext("ref").unwrap());
    assert_eq!(map.view().len(), 5);
    for record in map.view().records() {
        let place = map.view().ext(record.uid, places).unwrap();
        assert_eq!(place[..4], 1u32.to_le_bytes(), "all are in the first file");
        let expected = u16::from(record.uid != uid(2)).to_le_bytes();
        assert_eq!(map.view().ext(record.uid, references), Some(&expected[..]));
    }
}
