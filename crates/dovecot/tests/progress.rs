//! Long work of `doveadm` shows on a terminal how far it is, and says nothing of it elsewhere.

use std::fs;
use std::process::Command;

use harness::{Builder, Host, needs};

const MESSAGES: usize = 130;

fn host() -> Host {
    let config = "mail_location = mdbox:@DIR@/mail/%u/box:ALT=@DIR@/mail/%u/alt\nmail_home = @DIR@/mail/%u\n\
        namespace inbox {\n  inbox = yes\n  separator = /\n}\n";
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).config(config).start()
}

/// A Maildir with many messages, which are half of them twice the same.
fn source(host: &Host) -> String {
    let root = host.dir().join("mail/source");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(root.join(sub)).unwrap();
    }
    for number in 0..MESSAGES {
        let text = format!("From: a@example.com\nMessage-ID: <{}@x>\n\ntext\n", number / 2);
        fs::write(root.join("cur").join(format!("{number}.M1P1.h:2,S")), text).unwrap();
    }
    // The user of the mail reads it.
    let status = Command::new("chmod").args(["-R", "a+rwX"]).arg(host.dir().join("mail")).status().unwrap();
    assert!(status.success());
    format!("maildir:{}", root.display())
}

/// What a terminal shows.
#[track_caller]
fn on_terminal(host: &Host, line: &str) -> String {
    let (program, conf) = (host.program("doveadm"), host.conf());
    let command = format!("{} -c {} {line}", program.display(), conf.display());
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}: {text}");
    text
}

#[test]
fn work_on_many_messages_is_counted() {
    if !needs(&["script"]) {
        return;
    }
    let host = host();
    let source = source(&host);
    let copy = format!("sdbox:{}/mail/user1/copy", host.dir().display());
    for line in [
        &format!("import -u user1 {source} '' all"),
        "force-resync -u user1 INBOX",
        "copy -u user1 Copy mailbox INBOX all",
        &format!("sync -u user1 {copy}"),
        &format!("backup -u user1 sdbox:{}/mail/user1/backup", host.dir().display()),
        "deduplicate -u user1 -m mailbox INBOX all",
        "altmove -u user1 mailbox Copy all",
        "move -u user1 Moved mailbox Copy all",
        "purge -u user1",
    ] {
        if line.starts_with("copy") {
            host.doveadm(&["mailbox", "create", "-u", "user1", "Copy", "Moved"]);
        }
        if line.starts_with("purge") {
            host.doveadm(&["copy", "-u", "user1", "INBOX", "mailbox", "Moved", "all"]);
            host.doveadm(&["expunge", "-u", "user1", "mailbox", "Moved", "1:10"]);
            host.doveadm(&["expunge", "-u", "user1", "mailbox", "INBOX", "all"]);
        }
        let shown = on_terminal(&host, line);
        assert!(shown.contains("\r100") && shown.ends_with("\n"), "{line}: {shown:?}");
    }
    // With a known end, and with several users.
    assert_eq!(on_terminal(&host, "index -u user1 Moved"), "\r100/120\r120/120\r\n");
    let list = host.dir().join("list");
    fs::write(&list, "user1\n").unwrap();
    let several = on_terminal(&host, &format!("import -F {} {source} Again all", list.display()));
    assert_eq!(several, "\ruser1 100\r\n");
    let elsewhere = host.run("doveadm", &["import", "-u", "user1", &source, "More", "all"]);
    assert_eq!((elsewhere.stdout, elsewhere.stderr), (Vec::new(), Vec::new()));
}
