//! `doveadm dump` beside the original's on the same files, whoever wrote them: the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Builder, Host, Under, needs};

/// Logs are rotated and caches written anew all the time.
const BUSY: &str = "mail_index_log_rotate_min_size = 1k\nmail_index_log_rotate_max_size = 2k\n\
    mail_index_rewrite_min_log_bytes = 512\nmail_index_rewrite_max_log_bytes = 1k\n\
    mail_cache_purge_min_size = 1k\n";

fn host(under: Under, format: &str) -> Host {
    let (format, more) = format.strip_prefix("busy ").map_or((format, ""), |format| (format, BUSY));
    let config = format!(
        "{more}mail_location = {format}:@DIR@/mail/%u/box\nmail_home = @DIR@/mail/%u\n\
         namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n"
    );
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).under(under).config(&config).start()
}

const MESSAGE: &str = "From: a@example.com\r\nSubject: parts\r\nMessage-ID: <1@x>\r\nReferences: <2@x> <3@x>\r\nDate: Tue, 3 Feb 2026 10:00:00 +0530\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner\r\n--b\r\n\r\ntext\r\n--b--\r\n";

/// A life in mail: all kinds of files, with a bit of everything in them.
fn live(host: &Host) {
    let mut client = host.login("user1");
    for _ in 0..5 {
        client.line(&format!("a APPEND INBOX (\\Flagged) {{{}+}}", MESSAGE.len()));
        client.line(MESSAGE);
        client.until_tagged("a");
    }
    let commands = [
        "CREATE Sub/Deep",
        "CREATE Trash",
        "CREATE Sent",
        "SUBSCRIBE Sent",
        "SUBSCRIBE Trash",
        "UNSUBSCRIBE Trash",
        "DELETE Trash",
        "RENAME Sub/Deep Sub/Deeper",
        "SELECT INBOX",
        "COPY 1:3 Sent",
        "STORE 2 +FLAGS (\\Seen foo)",
        "STORE 3 +FLAGS (\\Deleted foo $bar)",
        "STORE 3 -FLAGS ($bar)",
        "FETCH 1:* (ENVELOPE BODY BODYSTRUCTURE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT X-NONE)])",
        "EXPUNGE",
        "THREAD REFERENCES US-ASCII ALL",
        "STATUS Sent (MESSAGES UNSEEN)",
        "LOGOUT",
    ];
    for command in commands {
        let answer = client.imap("c", command);
        assert!(answer.last().is_some_and(|line| line.starts_with("c OK")), "{command}: {answer:?}");
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files(&path, found);
        }
        let is_index = |name: &str| path.is_dir() && path.join(name).exists();
        if name.ends_with(".index")
            || name.ends_with(".thread")
            || name.ends_with(".log")
            || name.starts_with("u.")
            || name.starts_with("m.")
            || is_index("dovecot.index.log")
            || is_index("dovecot.map.index.log")
        {
            found.push(path);
        }
    }
}

fn dump(program: &Path, host: &Host, words: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(program).arg("-c").arg(host.conf()).arg("dump").args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn check(writer: Under, format: &str) {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let host = host(writer, format);
    live(&host);
    // Both read this host's configuration; ours goes by the name it is started with.
    let ours = Builder::new(env!("CARGO_BIN_EXE_dovecot")).under(Under::Ours).prepare();
    let theirs = Builder::new(env!("CARGO_BIN_EXE_dovecot")).under(Under::Dovecot).prepare();
    let mut found = Vec::new();
    files(&host.dir().join("mail/user1"), &mut found);
    assert!(found.len() >= 3, "{found:?}");
    for path in found {
        let path = path.to_str().unwrap();
        assert_eq!(dump(&ours.program("doveadm"), &host, &["-t", "index", path, "x"]).2, Some(75));
        for words in [&[path][..], &["-t", "index", path, "2"]] {
            let expected = dump(&theirs.program("doveadm"), &host, words);
            if words.len() > 1 && expected.2 != Some(0) {
                // No index.
                continue;
            }
            assert_eq!(dump(&ours.program("doveadm"), &host, words), expected, "{writer:?} {words:?}");
            assert_eq!(expected.2, Some(0), "{path}");
        }
    }
}

#[test]
fn maildir_of_the_original() {
    check(Under::Dovecot, "maildir");
}

#[test]
fn sdbox_of_the_original() {
    check(Under::Dovecot, "sdbox");
}

#[test]
fn mdbox_of_the_original() {
    check(Under::Dovecot, "mdbox");
}

#[test]
fn mbox_of_the_original() {
    check(Under::Dovecot, "mbox");
}

#[test]
fn rotated_logs_of_the_original() {
    for format in ["busy maildir", "busy sdbox", "busy mdbox"] {
        check(Under::Dovecot, format);
    }
}

#[test]
fn our_rotated_logs() {
    for format in ["busy maildir", "busy mdbox"] {
        check(Under::Ours, format);
    }
}

#[test]
fn our_maildir() {
    check(Under::Ours, "maildir");
}

#[test]
fn our_sdbox() {
    check(Under::Ours, "sdbox");
}

#[test]
fn our_mdbox() {
    check(Under::Ours, "mdbox");
}

/// What was done to mailboxes, without GUIDs of mailboxes and times.
fn mailbox_log(writer: Under) -> Vec<String> {
    let host = host(writer, "maildir");
    live(&host);
    let path = host.dir().join("mail/user1/box/dovecot.mailbox.log");
    let (text, ..) = dump(&host.program("doveadm"), &host, &[path.to_str().unwrap()]);
    let words = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [_, what @ "delete-mailbox", ..] => (*what).to_owned(),
            [_, what, name, ..] => format!("{what} {name}"),
            _ => line.to_owned(),
        }
    };
    text.lines().skip(1).map(words).collect()
}

#[test]
fn mailbox_logs_say_the_same() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let ours = mailbox_log(Under::Ours);
    assert!(ours.len() > 4, "{ours:?}");
    assert_eq!(ours, mailbox_log(Under::Dovecot));
}
