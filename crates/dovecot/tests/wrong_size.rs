//! A Maildir's file whose name is wrong about its size, as after a filter has changed the mail: no client takes a
//! part of the message for all of it.

use harness::{Builder, Client, Host};

const LINES: usize = 20;

fn host() -> Host {
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).user("user", "pass").start()
}

/// Puts a message with LF line ends there, and says how large it is as a file and as it is sent.
fn put(host: &Host, number: u32, wrong: impl Fn(usize, usize) -> (usize, usize)) -> (usize, usize) {
    let text = format!("Subject: {number}\n\n{}", "line\n".repeat(LINES));
    let real = (text.len(), text.len() + text.matches('\n').count());
    let (physical, virtual_) = wrong(real.0, real.1);
    let cur = host.maildir("user").join("cur");
    let name = format!("170000000{number}.M1P1.host,S={physical},W={virtual_}:2,S");
    std::fs::write(cur.join(name), text).unwrap();
    real
}

fn fetch(client: &mut Client, number: u32) -> Option<String> {
    section(client, number, "")
}

fn section(client: &mut Client, number: u32, section: &str) -> Option<String> {
    client.line(&format!("f UID FETCH {number} (BODY.PEEK[{section}])"));
    let mut all = String::new();
    while let Some(line) = client.read_line() {
        if line.starts_with("f ") {
            return line.starts_with("f OK").then_some(all);
        }
        all += &line;
        all += "\n";
    }
    None
}

#[test]
fn nothing_is_cut_off() {
    let host = host();
    // Makes the directories.
    host.login("user").imap("s", "SELECT INBOX");
    let (_, sent) = put(&host, 1, |physical, _| (physical / 2, physical / 2 + 3));
    put(&host, 2, |physical, virtual_| (physical, virtual_ - 4));
    put(&host, 3, |physical, virtual_| (physical, virtual_ + 4));
    put(&host, 4, |physical, virtual_| (physical, virtual_));
    let open = || {
        let mut client = host.login("user");
        client.imap("s", "SELECT INBOX");
        client
    };
    let mut client = open();
    // Smaller than the file: that cannot be, so it is counted.
    let first = fetch(&mut client, 1).expect("an answer");
    assert!(first.contains(&format!("{{{sent}}}")) && first.matches("line\n").count() == LINES, "{first}");
    host.wait_log("Cached message size smaller than expected");
    let text = section(&mut open(), 1, "TEXT").expect("an answer");
    assert_eq!(text.matches("line\n").count(), LINES, "{text}");
    assert_eq!(section(&mut open(), 2, "TEXT"), None);
    // What is found out too late ends the session.
    assert_eq!(fetch(&mut client, 2), None);
    assert_eq!(fetch(&mut open(), 3), None);
    let good = fetch(&mut open(), 4).expect("an answer");
    assert_eq!(good.matches("line\n").count(), LINES);
    host.wait_log("FETCH of UID 2 failed: Can't read message: Cached message size smaller than expected");
    host.wait_log("FETCH of UID 3 failed");
}
