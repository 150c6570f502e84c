//! Mail on a file system that is mounted read-only, as on a replica or a restored snapshot: it can be read, and
//! nobody is told that anything was changed. Dovecot 2.3 does not open such mailboxes where their indexes are
//! there as well.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Builder, Client, Host};

/// The place of a user's mail, mounted read-only until it is dropped; `None` where that is not possible.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn mount(dir: &Path) -> Option<Self> {
        let is_root = nix::unistd::geteuid().is_root();
        let run = |args: &[&str]| {
            let status = Command::new("mount").args(args).arg(dir).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        if is_root && run(&["--bind", &dir.display().to_string()]) {
            let mounted = Self(dir.to_owned());
            // A session that has just ended may still have files open for writing.
            for _ in 0..100 {
                if run(&["-o", "remount,bind,ro"]) {
                    return Some(mounted);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            panic!("what is mounted cannot be made read-only");
        }
        // Whoever must not mount anything cannot install that right.
        eprintln!("left out: nothing can be mounted here");
        None
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn host(driver: &str) -> Host {
    let location = match driver {
        "mbox" => "mbox:~/store:INBOX=~/store/inbox".to_owned(),
        _ => format!("{driver}:~/store"),
    };
    let namespace = "namespace inbox {\n  inbox = yes\n  separator = /\n}\n";
    let config = format!("mail_location = {location}\nmail_home = @DIR@/mail/%u\n{namespace}");
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).config(&config).start()
}

fn append(client: &mut Client, mailbox: &str, subject: &str) -> String {
    let text = format!("From: a@b\r\nSubject: {subject}\r\n\r\ntext of {subject}\r\n");
    client.line(&format!("p APPEND {mailbox} {{{}}}", text.len()));
    let first = client.expect_line();
    if first.starts_with('+') {
        client.line(&text);
        return client.until_tagged("p").pop().unwrap();
    }
    first
}

/// What comes before the tagged answer, and that.
fn answer(client: &mut Client, command: &str) -> (String, String) {
    let mut lines = client.imap("t", command);
    let tagged = lines.pop().unwrap();
    (lines.join("\n"), tagged)
}

/// INBOX with two messages, of which the first has been seen, and Work with one.
fn filled(host: &Host, driver: &str) {
    let mut client = host.login("user1");
    assert!(answer(&mut client, "CREATE Work").1.starts_with("t OK"), "{driver}");
    for (mailbox, subject) in [("INBOX", "one"), ("INBOX", "two"), ("Work", "three")] {
        assert!(append(&mut client, mailbox, subject).starts_with("p OK"), "{driver}");
    }
    answer(&mut client, "SELECT INBOX");
    answer(&mut client, "STORE 1 +FLAGS (\\Seen)");
    answer(&mut client, "LOGOUT");
}

/// Lines of the log without time and session, of which none may come twice.
fn complaints(log: &str, driver: &str) {
    let mut lines: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("Error: ")).map(|two| two.1).collect();
    lines.sort_unstable();
    assert!(lines.windows(2).all(|two| two[0] != two[1]), "{driver}: {lines:#?}");
    assert!(!log.contains("panic"), "{driver}: {log}");
}

const FLAGS: &str = "* 1 FETCH (FLAGS (\\Seen))\n* 2 FETCH (FLAGS ())";

#[test]
fn mail_can_be_read_and_nothing_else() {
    for driver in ["maildir", "sdbox", "mdbox", "mbox"] {
        let host = host(driver);
        filled(&host, driver);
        let store = host.dir().join("mail/user1/store");
        let Some(mounted) = ReadOnly::mount(&store) else { return };
        let before = host.log().len();
        let mut client = host.login("user1");
        let check = |client: &mut Client, command: &str, expected: &str, tagged: &str| {
            let (lines, end) = answer(client, command);
            assert!(
                lines.contains(expected) && end.starts_with(tagged),
                "{driver} {command}: {lines}\n{end}"
            );
        };
        check(&mut client, "SELECT INBOX", "* 2 EXISTS", "t OK [READ-ONLY] Select completed");
        for _ in 0..2 {
            // Nothing is marked as seen.
            check(&mut client, "FETCH 1:2 (BODY[TEXT])", "text of two", "t OK");
            check(&mut client, "FETCH 1:2 (FLAGS)", FLAGS, "t OK");
            check(&mut client, "FETCH 2 (ENVELOPE BODYSTRUCTURE)", "\"two\"", "t OK");
            check(&mut client, "SEARCH BODY text", "* SEARCH 1 2", "t OK");
            check(&mut client, "SORT (SUBJECT) UTF-8 ALL", "* SORT 1 2", "t OK");
            check(&mut client, "STORE 1 +FLAGS (\\Flagged)", "", "t OK Store ignored with read-only mailbox");
            check(&mut client, "UID EXPUNGE 1:2", "", "t OK");
            check(&mut client, "MOVE 1 Work", "", "t NO [CANNOT] Mailbox is read-only");
            check(&mut client, "COPY 1 INBOX", "", "t NO [NOPERM] Permission denied");
            let end = append(&mut client, "INBOX", "four");
            assert!(end.starts_with("p NO [NOPERM] Permission denied"), "{driver}: {end}");
            check(&mut client, "CHECK", "", "t OK");
            check(&mut client, "NOOP", "", "t OK");
        }
        check(&mut client, "FETCH 1:2 (FLAGS)", FLAGS, "t OK");
        complaints(&host.log()[before..], driver);
        check(&mut client, "STATUS Work (MESSAGES UNSEEN)", "(MESSAGES 1 UNSEEN 1)", "t OK");
        for command in ["CREATE new", "DELETE Work", "RENAME Work W", "SUBSCRIBE Work"] {
            check(&mut client, command, "", "t NO");
        }
        check(&mut client, "LIST \"\" *", "Work", "t OK");
        check(&mut client, "EXAMINE INBOX", "* 2 EXISTS", "t OK [READ-ONLY] Examine completed");
        check(&mut client, "SELECT Work", "* 1 EXISTS", "t OK [READ-ONLY] Select completed");
        check(&mut client, "FETCH 1 (BODY[])", "text of three", "t OK");
        check(&mut client, "CLOSE", "", "t OK");
        drop(client);
        drop(mounted);
        let mut client = host.login("user1");
        check(&mut client, "SELECT INBOX", "* 2 EXISTS", "t OK [READ-WRITE]");
        check(&mut client, "FETCH 1:2 (FLAGS)", FLAGS, "t OK");
        check(&mut client, "SELECT Work", "* 1 EXISTS", "t OK [READ-WRITE]");
        assert!(!host.log().contains("panic"), "{driver}: {}", host.log());
    }
}
