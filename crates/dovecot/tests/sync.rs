//! `doveadm sync` and `backup`: two places that changed apart become the same, whatever their formats, here
//! and at the other end of a command; and what comes of it is mail that the original reads.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};

use harness::{Builder, Host, Under, needs};

fn host(under: Under) -> Host {
    let config = "namespace inbox {\n  inbox = yes\n  separator = /\n}\nmail_home = @DIR@/mail/%u\n";
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).under(under).config(config).start()
}

/// A place for the mail of user1.
#[derive(Clone)]
struct Place<'a> {
    host: &'a Host,
    location: String,
}

impl<'a> Place<'a> {
    fn new(host: &'a Host, format: &str, name: &str) -> Self {
        let location = format!("{format}:{}/mail/user1/{name}", host.dir().display());
        Self { host, location }
    }

    fn output(&self, words: &[&str], input: &str) -> Output {
        let mut command = Command::new(self.host.program("doveadm"));
        command.arg("-c").arg(self.host.conf());
        command.arg("-o").arg(format!("mail_location={}", self.location));
        let (name, rest) = words.split_first().unwrap();
        let split = name.split(' ').collect::<Vec<_>>();
        command.args(split).args(["-u", "user1"]).args(rest);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What a command prints; it must succeed without a word of complaint.
    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let output = self.output(words, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{}: {words:?}: {said}", self.location);
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn save(&self, mailbox: &str, subject: &str) {
        let text = format!("From: a@example.com\nSubject: {subject}\n\nThe text of {subject}.\n");
        let output = self.output(&["save", "-m", mailbox], &text);
        assert!(output.status.success(), "{}", harness::host::stderr(&output));
    }

    /// All that must be the same on both sides.
    #[track_caller]
    fn state(&self) -> String {
        let mut state = String::new();
        let mut names: Vec<String> = self.run(&["mailbox list"]).lines().map(str::to_owned).collect();
        names.sort();
        for name in names {
            let fields = "uid guid flags date.received.unixtime hdr.subject text.utf8";
            let mails = self.output(&["fetch", fields, "mailbox", &name, "all"], "");
            if !mails.status.success() {
                let said = harness::host::stderr(&mails);
                assert!(said.contains("selectable") || said.contains("exist"), "{said}");
                continue;
            }
            let status = self.output(&["mailbox status", "uidvalidity uidnext messages guid", &name], "");
            if !status.status.success() {
                // A node of the hierarchy.
                continue;
            }
            state.push_str(&String::from_utf8_lossy(&status.stdout));
            let mails = String::from_utf8_lossy(&mails.stdout).into_owned();
            // Keywords have no order.
            for line in mails.lines() {
                match line.strip_prefix("flags: ") {
                    Some(flags) => {
                        let sorted: BTreeSet<&str> = flags.split(' ').collect();
                        state.push_str(&format!("flags: {sorted:?}\n"));
                    }
                    None => state.push_str(&format!("{}\n", line.trim_end())),
                }
            }
        }
        let mut subscribed: Vec<String> =
            self.run(&["mailbox list", "-s"]).lines().map(str::to_owned).collect();
        subscribed.sort();
        state.push_str(&format!("{subscribed:?}"));
        state
    }
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

const MAILBOXES: [&str; 4] = ["INBOX", "Work", "Work/Old", "Lists"];

/// Some changes to what is there.
fn change(place: &Place<'_>, numbers: &mut Numbers, mark: &str) {
    for round in 0..6 {
        let mailbox = MAILBOXES[numbers.below(MAILBOXES.len())];
        let uid = (numbers.below(6) + 1).to_string();
        let one = ["mailbox", mailbox, "uid", &uid];
        let at = |name: &'static str, flags: &'static str| [&[name, flags][..], &one].concat();
        match numbers.below(6) {
            0 | 1 => place.save(mailbox, &format!("{mark} {round}")),
            2 => drop(place.run(&at("flags add", "\\Seen $Important"))),
            3 => drop(place.run(&at("flags remove", "\\Seen $Important"))),
            4 => drop(place.run(&at("flags add", "\\Flagged"))),
            _ => drop(place.run(&[&["expunge"][..], &one].concat())),
        }
    }
}

/// What `sync` says and how it ends, from `own` to the other place.
fn sync(own: &Place<'_>, words: &[&str]) -> (String, String, Option<i32>) {
    let output = own.output(words, "");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[track_caller]
fn quiet(done: (String, String, Option<i32>)) {
    assert_eq!(done, (String::new(), String::new(), Some(0)));
}

#[track_caller]
fn same(one: &Place<'_>, other: &Place<'_>, when: &str) {
    let (left, right) = (one.state(), other.state());
    assert!(left == right, "{when}:\n--- {}\n{left}\n--- {}\n{right}", one.location, other.location);
}

/// Changes on both sides, again and again, through whatever `words` make of the other place.
fn apart_and_together(formats: [&str; 2], seed: u64, words: &dyn Fn(&Place<'_>) -> Vec<String>) {
    let host = host(Under::Ours);
    let [one, other] = [Place::new(&host, formats[0], "one"), Place::new(&host, formats[1], "other")];
    let destination = words(&other);
    let command: Vec<&str> = ["sync"].into_iter().chain(destination.iter().map(String::as_str)).collect();
    one.run(&["mailbox create", "-s", "Work", "Work/Old", "Lists"]);
    for mailbox in MAILBOXES {
        (0..4).for_each(|number| one.save(mailbox, &format!("first {number}")));
    }
    quiet(sync(&one, &command));
    same(&one, &other, "at first");
    let mut numbers = Numbers(seed);
    for round in 0..4 {
        change(&one, &mut numbers, &format!("one {round}"));
        change(&other, &mut numbers, &format!("other {round}"));
        quiet(sync(&one, &command));
        let before = one.state();
        same(&one, &other, &format!("round {round}"));
        quiet(sync(&one, &command));
        same(&one, &other, &format!("again in round {round}"));
        assert_eq!(one.state(), before, "round {round}");
    }
    // The original reads what came of it, and has nothing to mend.
    if needs(&["dovecot", "doveadm"]) {
        for place in [&one, &other] {
            check_with_the_original(place);
        }
    }
}

fn check_with_the_original(place: &Place<'_>) {
    let theirs = host(Under::Dovecot);
    let copy = format!("{}/mail/user1/copy", theirs.dir().display());
    let (format, path) = place.location.split_once(':').unwrap();
    fs::create_dir_all(theirs.dir().join("mail/user1")).unwrap();
    let user = theirs.dir().join("mail/user1");
    assert!(Command::new("cp").args(["-a", path, &copy]).status().unwrap().success());
    assert!(
        Command::new("chown").arg("-R").arg("--reference").arg(path).arg(&user).status().unwrap().success()
    );
    let read = Place { host: &theirs, location: format!("{format}:{copy}") };
    assert_eq!(read.state(), place.state(), "as the original reads it");
    // It says that it does it, where it does anything at all, but finds nothing wrong.
    let resync = read.output(&["force-resync", "*"], "");
    let said = harness::host::stderr(&resync).to_ascii_lowercase();
    let expected = |line: &str| line.contains("rebuilding index") || line.contains("fscking index file");
    assert!(resync.status.success() && said.lines().all(expected), "{said}");
    assert_eq!(read.state(), place.state(), "after force-resync");
}

fn here(other: &Place<'_>) -> Vec<String> {
    vec![other.location.clone()]
}

#[test]
fn maildir_and_mdbox() {
    apart_and_together(["maildir", "mdbox"], 0x9e37_79b9_7f4a_7c15, &here);
}

#[test]
fn sdbox_and_maildir() {
    apart_and_together(["sdbox", "maildir"], 0xdead_beef_cafe_f00d, &here);
}

#[test]
fn mdbox_and_sdbox() {
    apart_and_together(["mdbox", "sdbox"], 0x0123_4567_89ab_cdef, &here);
}

#[test]
fn through_a_command() {
    apart_and_together(["maildir", "mdbox"], 0x5555_aaaa_1234_4321, &|other| {
        let host = other.host;
        let conf = host.conf().display().to_string();
        let program = host.program("doveadm").display().to_string();
        let location = format!("mail_location={}", other.location);
        [&program, "-c", &conf, "-o", &location, "dsync-server", "-u", "user1"].map(str::to_owned).to_vec()
    });
}

#[test]
fn mailboxes_are_deleted_renamed_and_subscribed_on_both_sides() {
    let host = host(Under::Ours);
    let [one, other] = [Place::new(&host, "maildir", "one"), Place::new(&host, "sdbox", "other")];
    one.run(&["mailbox create", "-s", "A", "B", "C/D"]);
    for mailbox in ["A", "B", "C/D"] {
        one.save(mailbox, mailbox);
    }
    let command = ["sync", &other.location];
    quiet(sync(&one, &command));
    same(&one, &other, "at first");
    one.run(&["mailbox delete", "A"]);
    other.run(&["mailbox rename", "B", "E"]);
    other.run(&["mailbox unsubscribe", "C/D"]);
    other.run(&["mailbox create", "F"]);
    quiet(sync(&one, &command));
    same(&one, &other, "after changes");
    let mut names: Vec<String> = one.run(&["mailbox list"]).lines().map(str::to_owned).collect();
    names.retain(|name| name != "C");
    names.sort();
    assert_eq!(names, ["C/D", "E", "F", "INBOX"]);
    // A mailbox of the same name that is made anew is another one.
    one.run(&["mailbox delete", "E"]);
    one.run(&["mailbox create", "E"]);
    one.save("E", "new");
    quiet(sync(&one, &command));
    same(&one, &other, "made anew");
    assert!(other.run(&["fetch", "hdr.subject", "mailbox", "E", "all"]).contains("new"));
}

#[test]
fn one_way_leaves_the_source_alone_and_keeps_changes_there() {
    let host = host(Under::Ours);
    let [one, other] = [Place::new(&host, "maildir", "one"), Place::new(&host, "mdbox", "other")];
    (0..3).for_each(|number| one.save("INBOX", &format!("first {number}")));
    quiet(sync(&one, &["sync", "-1", &other.location]));
    same(&one, &other, "at first");
    one.save("INBOX", "mine");
    other.save("INBOX", "theirs");
    let before = one.state();
    quiet(sync(&one, &["sync", "-1", &other.location]));
    assert_eq!(one.state(), before);
    let there = other.run(&["fetch", "hdr.subject", "mailbox", "INBOX", "all"]);
    assert!(there.contains("mine") && there.contains("theirs"), "{there}");
    quiet(sync(&one, &["sync", "-1", &other.location]));
    assert_eq!(other.run(&["fetch", "hdr.subject", "mailbox", "INBOX", "all"]), there);
    // And the other way round.
    quiet(sync(&one, &["sync", "-1", "-R", &other.location]));
    assert!(one.run(&["fetch", "hdr.subject", "mailbox", "INBOX", "all"]).contains("theirs"));
}

/// Says that clients have seen what is below a UID.
fn seen_below(place: &Place<'_>, uid: &str) {
    place.run(&["mailbox update", "--min-next-uid", uid, "--min-first-recent-uid", uid, "INBOX"]);
}

fn recent(place: &Place<'_>) -> String {
    place.run(&["mailbox status", "recent uidnext", "INBOX"]).trim_end().to_owned()
}

#[test]
fn what_a_client_has_seen_is_recent_nowhere() {
    for formats in [["maildir", "mdbox"], ["sdbox", "maildir"], ["mdbox", "sdbox"]] {
        let host = host(Under::Ours);
        let [one, other] = [Place::new(&host, formats[0], "one"), Place::new(&host, formats[1], "other")];
        (0..3).for_each(|number| one.save("INBOX", &format!("first {number}")));
        seen_below(&one, "3");
        quiet(sync(&one, &["backup", &other.location]));
        assert_eq!(recent(&other), "INBOX recent=1 uidnext=4", "{formats:?}");
        seen_below(&one, "4");
        quiet(sync(&one, &["backup", &other.location]));
        assert_eq!(recent(&other), "INBOX recent=0 uidnext=4", "{formats:?}");
        // Both ways, what one of both has seen has been seen.
        one.save("INBOX", "mine");
        quiet(sync(&one, &["sync", &other.location]));
        assert_eq!(recent(&other), "INBOX recent=1 uidnext=5", "{formats:?}");
        seen_below(&other, "5");
        quiet(sync(&one, &["sync", &other.location]));
        assert_eq!((recent(&one), recent(&other)), (recent(&other), "INBOX recent=0 uidnext=5".to_owned()));
        // What is only there nobody here has seen.
        other.save("INBOX", "theirs");
        one.save("INBOX", "mine");
        seen_below(&one, "6");
        quiet(sync(&one, &["sync", "-1", &other.location]));
        assert_eq!(recent(&other), "INBOX recent=2 uidnext=7", "{formats:?}");
    }
}

#[test]
fn only_what_is_chosen() {
    let host = host(Under::Ours);
    let [one, other] = [Place::new(&host, "maildir", "one"), Place::new(&host, "maildir", "other")];
    one.run(&["mailbox create", "A", "B", "C"]);
    for mailbox in ["A", "B", "C"] {
        one.save(mailbox, "small");
    }
    one.run(&["flags add", "\\Flagged", "mailbox", "B", "all"]);
    quiet(sync(&one, &["sync", "-m", "A", &other.location]));
    let subjects = |mailbox| other.run(&["fetch", "hdr.subject", "mailbox", mailbox, "all"]);
    assert_eq!(other.run(&["mailbox list"]).lines().collect::<BTreeSet<_>>(), ["A", "INBOX"].into());
    quiet(sync(&one, &["sync", "-x", "C", "-O", "\\Flagged", &other.location]));
    assert_eq!(other.run(&["mailbox list"]).lines().collect::<BTreeSet<_>>(), ["A", "B", "INBOX"].into());
    assert!(subjects("B").contains("small"));
    quiet(sync(&one, &["sync", "-I", "10", &other.location]));
    assert_eq!(subjects("C"), "");
    quiet(sync(&one, &["sync", "-t", "1d", "-P", "-l", "5", &other.location]));
    same(&one, &other, "in the end");
    // How things stand is printed, and may be given the next time.
    let (state, _, status) = sync(&one, &["sync", "-s", "", &other.location]);
    assert_eq!(status, Some(0));
    let (again, err, status) = sync(&one, &["sync", "-s", state.trim_end(), &other.location]);
    assert_eq!((again, err.as_str(), status), (state, "", Some(0)));
    let (_, err, status) = sync(&one, &["sync", "-s", "x", &other.location]);
    assert_eq!(status, Some(0));
    assert!(err.ends_with("Saved sync state is invalid, falling back to full sync: Invalid base64 data\n"));
}

#[test]
fn the_originals_store_is_converted_and_keeps_everything() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    for (from, to) in [("maildir", "mdbox"), ("mdbox", "sdbox"), ("sdbox", "maildir")] {
        let theirs = host(Under::Dovecot);
        let written = Place::new(&theirs, from, "store");
        written.run(&["mailbox create", "-s", "Work", "Work/Old"]);
        for mailbox in ["INBOX", "Work/Old"] {
            (0..5).for_each(|number| written.save(mailbox, &format!("message {number}")));
            written.run(&["expunge", "mailbox", mailbox, "uid", "2"]);
            // From here on the index tracks when messages change.
            written.run(&["fetch", "modseq", "mailbox", mailbox, "all"]);
            written.run(&["flags add", "\\Seen $Label", "mailbox", mailbox, "uid", "3"]);
        }
        let ours = host(Under::Ours);
        let user = ours.dir().join("mail/user1");
        fs::create_dir_all(&user).unwrap();
        let (_, path) = written.location.split_once(':').unwrap();
        assert!(Command::new("cp").args(["-a", path]).arg(&user).status().unwrap().success());
        assert!(
            Command::new("chown")
                .arg("-R")
                .arg("--reference")
                .arg(path)
                .arg(&user)
                .status()
                .unwrap()
                .success()
        );
        let source = Place::new(&ours, from, "store");
        let target = Place::new(&ours, to, "converted");
        quiet(sync(&source, &["backup", &target.location]));
        quiet(sync(&source, &["sync", &target.location]));
        assert_eq!(source.state(), written.state(), "{from}: as the original wrote it");
        same_but_long_guids(&source, &target, from);
        check_with_the_original(&target);
    }
}

/// Formats with GUIDs of 128 bits only convert Maildir's file names.
#[track_caller]
fn same_but_long_guids(one: &Place<'_>, other: &Place<'_>, what: &str) {
    let short = |state: String| -> String {
        let lines = state.lines().filter(|line| what != "maildir" || !line.starts_with("guid: "));
        lines.map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(short(one.state()), short(other.state()), "{what}");
}

/// Mailboxes with all messages, where `-a` would look, are made by a plugin.
#[test]
fn without_the_virtual_plugin() {
    let host = host(Under::Ours);
    let (one, other) = (Place::new(&host, "sdbox", "one"), Place::new(&host, "maildir", "other"));
    one.save("INBOX", "one");
    let (out, said, status) = sync(&one, &["sync", "-a", "virtual/All", &other.location]);
    let why = "-a is supported only with Dovecot at the other end, which looks for messages there";
    assert_eq!((out.as_str(), status), ("", Some(64)), "{said}");
    assert_eq!(said, format!("doveadm(user1): Fatal: {why}\n"));
}
