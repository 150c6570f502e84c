//! However large mailboxes, messages and commands are, and however slowly the client reads: a
//! session holds little.

mod support;

use imap::Progress;
use imap::limits::OUT_BYTES_SOFT_MAX;
use support::{Client, Home};

/// What one line or one piece may add beyond the mark.
const SLACK: usize = 64 * 1024;

fn append(client: &mut Client, size: usize) {
    client.put(format!("a APPEND INBOX {{{size}+}}\r\n").as_bytes());
    let piece = b"0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    let mut left = size;
    while left > 0 {
        let count = left.min(piece.len());
        client.put(&piece[..count]);
        left -= count;
    }
    client.send(b"\r\n");
    let answer = client.read_all();
    assert!(answer.contains("a OK [APPENDUID"), "{answer}");
}

/// Runs the session as for a client that takes output only when the session demands it; gives the
/// most that ever waited, and all the output.
fn drain(client: &mut Client) -> (usize, Vec<u8>) {
    let (mut most, mut all) = (0, Vec::new());
    loop {
        let progress = client.step();
        most = most.max(client.out.bytes().len());
        all.extend(client.take_output());
        match progress {
            Progress::Again | Progress::Storage => {}
            Progress::NeedInput => return (most, all),
            Progress::Closed(reason) => panic!("{reason}"),
        }
    }
}

#[test]
fn large_messages_are_sent_in_pieces() {
    let home = Home::new();
    let mut client = Client::new(&home);
    append(&mut client, 5_000_000);
    client.send(b"b SELECT INBOX\r\n");
    client.put(b"c FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT])\r\n");
    let (most, all) = drain(&mut client);
    assert!(all.len() > 5_000_000);
    assert!(most < OUT_BYTES_SOFT_MAX + SLACK, "{most} bytes waited");
    assert!(String::from_utf8_lossy(&all).contains("c OK Fetch completed"));
}

#[test]
fn partial_fetches_make_up_the_message() {
    let home = Home::new();
    let mut client = Client::new(&home);
    // Bare LFs: positions on disk and on the wire differ.
    client.send(
        b"a APPEND INBOX {57+}\r\nSubject: x\n\nline one\nline two\n\nline four\n\n\nthe end, 60 by\r\n",
    );
    client.send(b"b SELECT INBOX\r\n");
    client.read_all();
    let fetch = |client: &mut Client, item: &str| {
        client.send(format!("c FETCH 1 BODY.PEEK{item}\r\n").as_bytes());
        let text = client.read_all();
        let (head, rest) = text.split_once("}\r\n").expect("a literal");
        let size: usize = head.rsplit('{').next().expect("its size").parse().expect("a number");
        rest[..size].to_owned()
    };
    let whole = fetch(&mut client, "[]");
    for step in 1..9 {
        let mut pieces = String::new();
        for start in (0..whole.len()).step_by(step) {
            pieces += &fetch(&mut client, &format!("[]<{start}.{step}>"));
        }
        assert_eq!(pieces, whole, "in steps of {step}");
    }
}

#[test]
fn many_messages_are_told_in_pieces() {
    let home = Home::new();
    let mut client = Client::new(&home);
    client.put(b"a APPEND INBOX");
    for _ in 0..3000 {
        client.put(b" {4+}\r\na: b");
    }
    client.send(b"\r\n");
    assert!(client.read_all().contains("a OK [APPENDUID"));
    client.send(b"b SELECT INBOX\r\n");
    for command in ["UID FETCH 1:* (FLAGS RFC822.SIZE)", "UID STORE 1:* +FLAGS (\\Deleted)", "EXPUNGE"] {
        client.put(format!("c {command}\r\n").as_bytes());
        let (most, all) = drain(&mut client);
        assert!(most < OUT_BYTES_SOFT_MAX + SLACK, "{command}: {most} bytes waited");
        let lines = all.split(|&byte| byte == b'\n').count();
        assert!(lines >= 3000, "{command}: {lines} lines");
    }
}

#[test]
fn nothing_is_held_between_commands() {
    let home = Home::new();
    let mut client = Client::new(&home);
    client.send(b"a SELECT INBOX\r\nb IDLE\r\n");
    // As the process does before it waits.
    client.out.give_back();
    assert_eq!(client.out.capacity(), 0);
    assert!(std::mem::size_of::<imap::Session>() < 2048, "{}", std::mem::size_of::<imap::Session>());
}
