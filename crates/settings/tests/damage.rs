//! Whatever stands in a configuration: an error at most, never a panic, never without end.

use std::path::Path;

use settings::vars::Expander;
use settings::{Config, MemoryFiles, ParseOptions, Snapshot, ext, limits};

/// A small generator, so that a failure is the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

const PIECES: [&str; 40] = [
    "service imap {\n",
    "}\n",
    "{",
    "}",
    "\n",
    " ",
    "=",
    "\"",
    "'",
    "\\",
    "\\\n",
    "#",
    "$",
    "<",
    "passdb {\n",
    "protocol imap {\n",
    "protocol !imap {\n",
    "local 10.0.0.0/8 {\n",
    "local_name a {\n",
    "remote ::1 {\n",
    "plugin {\n",
    "mail_location",
    "mail_plugins = $mail_plugins x\n",
    "auth default {\n",
    "socket listen {\n",
    "master {\n",
    "path = a-master\n",
    "!include b.conf\n",
    "!include_try *\n",
    "!include a.conf\n",
    "ssl_key = <b.conf\n",
    "namespace x {\n",
    "mailbox \"a b\" {\n",
    "listen = *:99\n",
    "protocols = imaps\n",
    "client_limit = 5\n",
    "service/imap/user = x\n",
    "unix_listener a/b {\n",
    "\0",
    "\u{e4}",
];

const BYTES: &[u8] = b" \t\n=\"'\\#${}<>!%;:./0a\xff\x00";

fn try_all(text: &[u8]) {
    let files = MemoryFiles::one("/a.conf", text).with("/b.conf", "mail_debug = yes\n!include_try a.conf\n");
    for expand in [true, false] {
        let options = ParseOptions { expand, ..ParseOptions::default() };
        if let Ok(config) = Config::parse(&files, Path::new("/a.conf"), &options)
            && let Ok(snapshot) = config.snapshot()
        {
            assert_eq!(Snapshot::from_bytes(&snapshot.to_bytes()).unwrap(), snapshot);
            for mask in snapshot.masks() {
                assert!(!format!("{mask:?}").is_empty());
            }
            snapshot.root();
        }
    }
    let _ = ext::parse_sections(&files, Path::new("/a.conf"));
    let text = String::from_utf8_lossy(text);
    let _ = Expander::of(&[('u', "user", Some("me"))]).expand_all(&text);
}

#[test]
fn random_pieces() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..400 {
        let count = 1 + random.next(30);
        let text: String = (0..count).map(|_| PIECES[random.next(PIECES.len())]).collect();
        try_all(text.as_bytes());
    }
}

#[test]
fn random_bytes() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..400 {
        let count = random.next(200);
        let text: Vec<u8> = (0..count).map(|_| BYTES[random.next(BYTES.len())]).collect();
        try_all(&text);
    }
}

#[test]
fn damaged_configurations() {
    let whole = "protocols = imap\nservice imap {\n  unix_listener a {\n    mode = 0600\n  }\n}\nplugin {\n  a = b\n}\n\
                 local 10.0.0.0/8 {\n  protocol imap {\n    login_greeting = %{if;a;eq;a;x;y}\n  }\n}\n";
    let mut random = Random(0x1234_5678_9abc_def1);
    for _ in 0..400 {
        let mut bytes = whole.as_bytes().to_vec();
        for _ in 0..1 + random.next(4) {
            let at = random.next(bytes.len().max(2) - 1);
            match random.next(3) {
                0 => bytes[at] = u8::try_from(random.next(256)).unwrap(),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        try_all(&bytes);
    }
}

#[test]
fn damaged_snapshots() {
    let bytes = Snapshot::from_text("plugin {\n  a = b\n}\nservice imap {\n  client_limit = 3\n}\n")
        .unwrap()
        .to_bytes();
    let mut random = Random(0x0dd0_5eed_0dd0_5eed);
    for _ in 0..400 {
        let mut damaged = bytes.clone();
        let at = random.next(damaged.len());
        damaged[at] = u8::try_from(random.next(256)).unwrap();
        if let Ok(snapshot) = Snapshot::from_bytes(&damaged) {
            snapshot.root();
        }
    }
}

fn refusal(text: &str) -> String {
    Config::parse_text(text).map(|_| "accepted".to_owned()).unwrap_or_else(|error| error.message().to_owned())
}

#[test]
fn bounds() {
    assert_eq!(
        refusal(&format!("mail_location = {}\n", "x".repeat(limits::LINE_BYTES_MAX))),
        "Line is too long"
    );
    assert_eq!(refusal(&"x\\\n".repeat(limits::LINE_BYTES_MAX)), "Line is too long");
    let deep: String = (0..100).map(|_| "local 10.0.0.0/8 {\n").collect();
    assert_eq!(refusal(&deep), "Too many sections");
    let doubling =
        "mail_location = x\n".to_owned() + &"mail_location = $mail_location $mail_location\n".repeat(40);
    assert_eq!(refusal(&doubling), "Line is too long");
}
