//! IDLE (RFC 2177) tells at once what other programs do to the mailbox: a delivery, a change of flags, a
//! message removed, by processes that know nothing of the server.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::host::MAIL_ID;
use harness::{Builder, Client, Under, needs};

/// Longer than a second only where the machine is busy; the server's own look at the mailbox comes after
/// `mailbox_idle_check_interval`, which is a minute here.
const SOON: Duration = Duration::from_secs(15);

fn deliver(maildir: &Path, name: &str) {
    let temp = maildir.join("tmp").join(name);
    fs::write(&temp, "Subject: delivered\n\nx\n").expect("a message");
    if nix::unistd::geteuid().is_root() {
        chown(&temp, Some(MAIL_ID), Some(MAIL_ID)).expect("an owner");
    }
    fs::rename(&temp, maildir.join("new").join(name)).expect("a delivery");
}

/// Reads up to the expected line.
fn expect(client: &mut Client, what: &str, expected: &str) {
    let began = Instant::now();
    while client.response() != expected {}
    assert!(began.elapsed() < SOON, "{what} took {:?}", began.elapsed());
}

#[test]
fn other_programs_are_noticed_at_once() {
    if Under::from_env() == Under::Dovecot && !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let settings = "mailbox_idle_check_interval = 1 min\nimap_idle_notify_interval = 0";
    let host = Builder::new(env!("CARGO_BIN_EXE_dovecot")).config(settings).start();
    let mut idler = host.login("user1");
    idler.imap("s", "SELECT INBOX");
    idler.line("i IDLE");
    assert_eq!(idler.response(), "+ idling");
    let maildir = host.maildir("user1");

    deliver(&maildir, "1700000000.M1P1.elsewhere");
    expect(&mut idler, "a delivery", "* 1 EXISTS");
    expect(&mut idler, "a delivery", "* 1 RECENT");
    let cur = maildir.join("cur");
    fs::rename(cur.join("1700000000.M1P1.elsewhere:2,"), cur.join("1700000000.M1P1.elsewhere:2,FS"))
        .expect("the server has moved the message to cur/");
    expect(&mut idler, "a change of flags", "* 1 FETCH (FLAGS (\\Flagged \\Seen \\Recent))");
    deliver(&maildir, "1700000001.M1P1.elsewhere");
    expect(&mut idler, "another delivery", "* 2 EXISTS");
    fs::remove_file(cur.join("1700000000.M1P1.elsewhere:2,FS")).expect("the message is there");
    expect(&mut idler, "a removal", "* 1 EXPUNGE");

    // Another session does the same through the server.
    let mut other = host.login("user1");
    other.imap("s", "SELECT INBOX");
    other.imap("f", "STORE 1 +FLAGS (\\Answered)");
    expect(&mut idler, "another session's flags", "* 1 FETCH (FLAGS (\\Answered \\Recent))");
    other.imap("a", "APPEND INBOX {3+}\r\nabc");
    expect(&mut idler, "another session's message", "* 2 EXISTS");
    idler.line("DONE");
    assert!(idler.until_tagged("i").pop().is_some_and(|line| line.starts_with("i OK")));
}
