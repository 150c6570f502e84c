//! APPENDs one after the other, while the mailbox they go to is renamed, deleted and made anew by others:
//! each message that was acknowledged is where its name led to, under the UID that was told.

use std::time::Duration;

use harness::{Client, Host, SharedMail, Under, needs};

/// Who changes mailboxes meanwhile.
enum Other<'a> {
    Doveadm(&'a Host),
    Session(Box<Client>),
}

impl Other<'_> {
    /// `create x`, `delete x` or `rename x y`.
    fn does(&mut self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        match self {
            Other::Doveadm(host) => {
                let (verb, names) = words.split_first().expect("a command");
                host.doveadm(&[&["mailbox", verb, "-u", "user"], names].concat());
            }
            Other::Session(client) => {
                let lines = client.imap("o", command);
                assert!(lines.last().is_some_and(|line| line.starts_with("o OK")), "{command}: {lines:?}");
            }
        }
    }
}

/// UIDVALIDITY and UID of a message that was taken, or the refusal.
fn append(client: &mut Client, name: &str, subject: &str) -> Result<(u32, u32), String> {
    let text = format!("Subject: {subject}\r\n\r\nbody\r\n");
    let lines = client.imap("a", &format!("APPEND {name} () {{{}+}}\r\n{text}", text.len()));
    let last = lines.last().expect("an answer");
    if !last.starts_with("a OK") {
        return Err(last.clone());
    }
    let (_, code) = last.split_once("APPENDUID ").unwrap_or_else(|| panic!("{last}"));
    let mut numbers = code.split([' ', ']']).map(|word| word.parse().expect("a number"));
    Ok((numbers.next().expect("UIDVALIDITY"), numbers.next().expect("a UID")))
}

/// UIDVALIDITY, and UIDs with subjects, as somebody sees them who comes now.
fn seen(host: &Host, name: &str) -> (u32, Vec<(u32, String)>) {
    let mut client = host.login("user");
    let lines = client.imap("a", &format!("EXAMINE {name}"));
    assert!(lines.last().is_some_and(|line| line.starts_with("a OK")), "EXAMINE {name}: {lines:?}");
    let number = |line: &str, word: &str| -> u32 {
        let (_, rest) = line.split_once(word).unwrap_or_else(|| panic!("{word} in {line}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("a number in {line}"))
    };
    let validity = lines.iter().find(|line| line.contains("UIDVALIDITY")).expect("UIDVALIDITY");
    let found = client.imap("a", "UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let found = found.iter().filter(|line| line.contains(" FETCH ("));
    let subject = |line: &str| {
        let (_, rest) = line.split_once("Subject: ").unwrap_or_else(|| panic!("a subject in {line}"));
        rest.split('\r').next().unwrap_or_default().to_owned()
    };
    (number(validity, "UIDVALIDITY "), found.map(|line| (number(line, "UID "), subject(line))).collect())
}

/// Appends, and looks from both servers whether that message is there alone.
#[track_caller]
fn append_alone(client: &mut Client, hosts: &[Host; 2], subject: &str) {
    let (validity, uid) = append(client, "x", subject).unwrap_or_else(|line| panic!("{subject}: {line}"));
    for host in hosts {
        let expected = (validity, vec![(uid, subject.to_owned())]);
        assert_eq!(seen(host, "x"), expected, "{subject}: {:?}", host.under());
    }
}

/// `pause` is how long a mailbox's name stays unused before another one gets it.
fn story(hosts: &[Host; 2], other: &mut Other<'_>, pause: Duration) {
    let mut client = hosts[1].login("user");
    std::thread::sleep(pause);
    other.does("create x");
    append_alone(&mut client, hosts, "first");
    other.does("rename x y");
    let refused = append(&mut client, "x", "nowhere").expect_err("there is no such mailbox");
    assert!(refused.contains("[TRYCREATE]"), "{refused}");
    for number in 0..3 {
        // The new one may lie where the old one lay, under the same number of the file system.
        other.does("create x");
        append_alone(&mut client, hosts, &format!("anew {number}"));
        other.does("delete x");
        std::thread::sleep(pause);
    }
    other.does("create x");
    append_alone(&mut client, hosts, "last");
    // Another one comes in its place.
    other.does("rename x z");
    other.does("rename y x");
    let (_, uid) = append(&mut client, "x", "second").expect("it is taken");
    for host in hosts {
        let expected = vec![(1, "first".to_owned()), (uid, "second".to_owned())];
        assert_eq!(seen(host, "x").1, expected, "{:?}", host.under());
        assert_eq!(seen(host, "z").1, [(1, "last".to_owned())], "{:?}", host.under());
    }
    // The session's own renaming counts as well.
    assert!(client.imap("a", "RENAME x w").last().is_some_and(|line| line.starts_with("a OK")));
    append(&mut client, "x", "nowhere").expect_err("there is no such mailbox");
    assert_eq!(append(&mut client, "w", "third").map(|(_, uid)| uid), Ok(uid + 1));
    for name in ["w", "z"] {
        other.does(&format!("delete {name}"));
    }
}

fn check(driver: &str) {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let mail = SharedMail::new();
    let settings = format!("mail_location = {driver}:~/mail\n");
    let hosts = [Under::Dovecot, Under::Ours]
        .map(|under| mail.server(env!("CARGO_BIN_EXE_dovecot"), under, &settings));
    // 2.3 takes the second as the UIDVALIDITY of a new mbox: two in one second could not be told apart.
    let pause = Duration::from_millis(if driver == "mbox" { 1100 } else { 0 });
    for host in &hosts {
        story(&hosts, &mut Other::Doveadm(host), pause);
        story(&hosts, &mut Other::Session(Box::new(host.login("user"))), pause);
    }
    for host in &hosts {
        let log = host.log();
        let bad: Vec<&str> =
            log.lines().filter(|line| line.contains("Error:") || line.contains("Panic:")).collect();
        assert_eq!(bad, Vec::<&str>::new(), "{:?}", host.under());
    }
}

#[test]
fn maildir() {
    check("maildir");
}

#[test]
fn sdbox() {
    check("sdbox");
}

#[test]
fn mdbox() {
    check("mdbox");
}

#[test]
fn mbox() {
    check("mbox");
}
