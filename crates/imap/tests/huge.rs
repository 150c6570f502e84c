//! A message that is larger than all the memory a session may use: it is saved, read, taken apart,
//! searched and copied in pieces, in every format. By hand the same was done with 2 GiB.

mod support;

use imap::Progress;
use storage::MailSettings;
use storage::settings::FsyncMode;
use support::{Client, Home};

/// Bytes of the message, and how much of it memory may grow by: nothing, but for buffers and what
/// allocators keep.
const MESSAGE_BYTES: usize = 32 << 20;
const GROWTH_KIB_MAX: u64 = 10 << 10;

const HEAD: &[u8] =
    b"Subject: huge\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
    Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
const LINE: &[u8] = b"QUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJDREVGQUJD\r\n";
const TAIL: &[u8] = b"\r\n--b\r\n\r\nneedle\r\n--b--\r\n";

/// The most memory this process has ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Sends a command and counts what comes back; the last bytes of it are given, too.
fn ask(client: &mut Client, command: &str) -> (usize, String) {
    client.put(command.as_bytes());
    let (mut count, mut end) = (0, Vec::new());
    loop {
        let progress = client.step();
        let piece = client.take_output();
        count += piece.len();
        end.extend(piece);
        end.drain(..end.len().saturating_sub(600));
        match progress {
            Progress::Again | Progress::Storage => {}
            Progress::NeedInput => return (count, String::from_utf8_lossy(&end).into_owned()),
            Progress::Closed(reason) => panic!("{reason}"),
        }
    }
}

fn check(driver: &str) {
    let mail = MailSettings { mail_fsync: FsyncMode::Never, ..MailSettings::default() };
    let home = Home::of_driver(driver, mail);
    let mut client = Client::new(&home);
    ask(&mut client, "a CREATE other\r\n");
    let lines = MESSAGE_BYTES / LINE.len();
    let size = HEAD.len() + lines * LINE.len() + TAIL.len();
    ask(&mut client, &format!("b APPEND INBOX {{{size}+}}\r\n"));
    let block = LINE.repeat(100);
    client.send(HEAD);
    for _ in 0..lines / 100 {
        client.send(&block);
    }
    client.send(&LINE.repeat(lines % 100));
    client.send(TAIL);
    let (_, answer) = ask(&mut client, "\r\n");
    assert!(answer.contains("b OK [APPENDUID") || client.read_all().contains("b OK [APPENDUID"), "{driver}");
    ask(&mut client, "c SELECT INBOX\r\n");
    let (_, text) = ask(&mut client, "d FETCH 1 (RFC822.SIZE BODYSTRUCTURE)\r\n");
    assert!(text.contains(&format!("RFC822.SIZE {size} ")), "{driver}: {text}");
    assert!(text.contains(&format!("\"base64\" {} ", lines * LINE.len())), "{driver}: {text}");
    let (count, text) = ask(&mut client, "e FETCH 1 BODY.PEEK[]\r\n");
    assert!(count > size && text.contains("needle\r\n--b--\r\n)\r\ne OK"), "{driver}: {text}");
    let (_, text) = ask(&mut client, &format!("f FETCH 1 BODY.PEEK[]<{}.20>\r\n", size - 15));
    assert!(text.contains("]<") && text.contains("{15}\r\nneedle\r\n--b--\r\n)"), "{driver}: {text}");
    let (_, text) = ask(&mut client, "g SEARCH BODY needle\r\n");
    assert!(text.contains("* SEARCH 1\r\n"), "{driver}: {text}");
    let (_, text) = ask(&mut client, "h COPY 1 other\r\ni STATUS other (MESSAGES SIZE)\r\n");
    assert!(text.contains(&format!("(MESSAGES 1 SIZE {size})")), "{driver}: {text}");
}

#[test]
fn memory_does_not_grow_with_the_message() {
    // Whatever is set up once is there before it is measured.
    let warm = Home::new();
    ask(&mut Client::new(&warm), "a SELECT INBOX\r\n");
    let before = peak_kib();
    for driver in ["maildir", "sdbox", "mdbox", "mbox"] {
        check(driver);
        let grown = peak_kib() - before;
        assert!(grown < GROWTH_KIB_MAX, "{driver}: {grown} KiB more");
    }
}
