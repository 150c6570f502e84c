//! What sessions do that needs no comparison with Dovecot: deleting at QUIT only, locks, limits.

mod support;

use std::time::Duration;

use pop3::{Pop3Settings, Progress};
use support::{Client, Home};

const THREE: &[(&str, &str, &[u8])] = &[
    ("1.a.host:2,", "", b"Subject: 1\n\na\n"),
    ("2.b.host:2,S", "W15", b"Subject: 2\n\nb\n"),
    ("3.c.host,S=14:2,", "", b"Subject: 3\n\nc\n"),
];

fn files(home: &Home) -> String {
    let dir = std::fs::read_dir(home.maildir().join("cur")).expect("cur/");
    let mut names: Vec<_> =
        dir.map(|entry| entry.expect("a file").file_name().into_string().expect("text")).collect();
    names.sort();
    names.join(" ")
}

#[test]
fn a_session() {
    let home = Home::new(THREE);
    let mut client = Client::open(&home);
    assert_eq!(client.ask("STAT"), "+OK 3 49\r\n");
    assert_eq!(client.ask("LIST"), "+OK 3 messages:\r\n1 17\r\n2 15\r\n3 17\r\n.\r\n");
}

#[test]
fn only_quit_deletes() {
    let home = Home::new(THREE);
    let mut client = Client::open(&home);
    assert_eq!(client.ask("DELE 1"), "+OK Marked to be deleted.\r\n");
    assert_eq!(client.ask("RETR 3"), "+OK 17 octets\r\nSubject: 3\r\n\r\nc\r\n.\r\n");
    client.hang_up();
    assert_eq!(files(&home), "1.a.host:2, 2.b.host:2,S 3.c.host,S=14:2,S");
    let mut client = Client::open(&home);
    client.ask("DELE 1");
    client.ask("DELE 2");
    assert_eq!(client.ask("RSET"), "+OK\r\n");
    client.ask("DELE 2");
    client.ask("DELE 3");
    assert_eq!(client.ask("QUIT"), "+OK Logging out, messages deleted.\r\n");
    assert_eq!(client.closed(), Some("Logged out"));
    assert_eq!(client.statistics(), "top=0/0, retr=0/0, del=2/3, size=49");
    assert_eq!(files(&home), "1.a.host:2,");
}

#[test]
fn two_sessions_at_once() {
    let home = Home::new(THREE);
    let (mut first, mut second) = (Client::open(&home), Client::open(&home));
    first.ask("DELE 2");
    first.ask("QUIT");
    assert_eq!(second.ask("STAT"), "+OK 3 49\r\n");
    assert_eq!(second.ask("RETR 2"), "-ERR Message 2 expunged.\r\n");
    assert_eq!(second.ask("RETR 3"), "+OK 17 octets\r\nSubject: 3\r\n\r\nc\r\n.\r\n");
    second.ask("DELE 2");
    second.ask("DELE 3");
    assert_eq!(second.ask("QUIT"), "+OK Logging out, messages deleted.\r\n");
    assert_eq!(files(&home), "1.a.host:2,");
}

#[test]
fn session_lock() {
    let home = Home::new(THREE);
    let settings = Pop3Settings { lock_session: true, ..Pop3Settings::default() };
    let mut first = Client::new(&home.user, settings.clone());
    first.run();
    assert_eq!(first.read_all(), "+OK Logged in.\r\n");
    assert!(home.maildir().join("dovecot-pop3-session.lock").exists());
    let mut second = Client::new(&home.user, settings.clone());
    let mut third = Client::new(&home.user, settings);
    assert!(matches!(second.run(), Progress::Wait(_)));
    assert!(matches!(third.run(), Progress::Wait(_)));
    third.clock.pass(Duration::from_secs(11));
    third.run();
    assert_eq!(third.read_all(), "-ERR [IN-USE] Mailbox is locked by another POP3 session.\r\n");
    assert_eq!(third.closed(), Some("Couldn't lock POP3 session"));
    first.hang_up();
    assert_eq!(second.run(), Progress::NeedInput);
    assert_eq!(second.ask("STAT"), "+OK Logged in.\r\n+OK 3 49\r\n");
    std::fs::remove_file(home.maildir().join("dovecot-pop3-session.lock")).expect("removed by somebody");
    second.clock.pass(Duration::from_secs(61));
    assert_eq!(second.ask("NOOP"), "-ERR [SYS/TEMP] Couldn't update POP3 session lock.\r\n");
}

#[test]
fn commands_wait_for_slow_readers() {
    let text = vec![b'x'; 8_000_000];
    let home = Home::new(&[("1.a.host:2,", "", &text)]);
    let mut client = Client::open(&home);
    client.put(b"RETR 1\r\nNOOP\r\n");
    let (mut total, mut steps) = (0, 0);
    loop {
        let progress = client.step();
        let sent = client.take_output();
        assert!(sent.len() < 200_000, "{} bytes at once", sent.len());
        total += sent.len();
        steps += 1;
        if progress == Progress::NeedInput {
            break;
        }
    }
    assert_eq!(total, "+OK 8000000 octets\r\n".len() + text.len() + "\r\n.\r\n+OK\r\n".len());
    assert!(steps > 50);
}

#[test]
fn garbage() {
    let home = Home::new(THREE);
    let mut client = Client::open(&home);
    let mut bytes = Vec::new();
    for byte in 0..=255u8 {
        bytes.extend([byte, b'\xff', b' ', byte]);
    }
    bytes.push(b'\n');
    client.send(&bytes);
    assert!(client.read_all().starts_with("-ERR Unknown command"));
    client.send(&[b'x'; 3000]);
    assert_eq!(client.read_all(), "-ERR Input line too long.\r\n");
    assert_eq!(client.closed(), Some("Input line too long"));

    let mut client = Client::open(&home);
    client.send(&b"\r\n".repeat(50));
    let answers = client.read_all();
    assert_eq!(answers.matches("-ERR Unknown command.\r\n").count(), 21);
    assert!(answers.ends_with("-ERR Too many bad commands.\r\n"));
    assert_eq!(client.closed(), Some("Too many bad commands."));
}
