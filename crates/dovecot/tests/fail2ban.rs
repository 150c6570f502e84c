//! fail2ban's own filter for Dovecot reads our log as it reads the original's: the same attack is played
//! against both, and what the filter finds is compared, before and after the attackers have gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use harness::sasl_client::{base64, cram_md5, from_base64};
use harness::{Builder, Client, Host, Under, free_port, needs};

/// Addresses that the filter finds, and in how many lines.
type Found = BTreeMap<String, usize>;

/// What somebody does who comes from an address of his own.
struct Attack {
    name: &'static str,
    protocol: &'static str,
    play: fn(&mut Client),
}

const fn imap(name: &'static str, play: fn(&mut Client)) -> Attack {
    Attack { name, protocol: "imap", play }
}

const fn pop3(name: &'static str, play: fn(&mut Client)) -> Attack {
    Attack { name, protocol: "pop3", play }
}

/// The address of somebody else, whom nobody may have banned by his words.
const INNOCENT: &str = "203.0.113.66";

const ATTACKS: &[Attack] = &[
    imap("wrong password", |client| refused(client, "LOGIN user1 wrong")),
    imap("unknown user", |client| refused(client, "LOGIN nobody x")),
    imap("by SASL", |client| {
        refused(client, &format!("AUTHENTICATE PLAIN {}", base64(b"\0user1\0wrong")));
    }),
    imap("by a challenge", |client| {
        client.line("a AUTHENTICATE CRAM-MD5");
        let challenge = client.expect_line();
        let challenge = from_base64(challenge.trim_start_matches("+ ").as_bytes()).expect("base64");
        client.line(&base64(&cram_md5(&challenge, "user1", "wrong")));
        assert!(client.expect_line().starts_with("a NO "));
    }),
    imap("three times", |client| {
        for password in ["a", "b", "c"] {
            refused(client, &format!("LOGIN user1 {password}"));
        }
    }),
    imap("a name that ends the line's fields", |client| {
        refused(client, &format!("LOGIN \"x>, rip={INNOCENT}, lip=1.2.3.4, session=<a>\" x"));
    }),
    imap("a name that looks like a failure", |client| {
        refused(client, &format!("LOGIN \"x,{INNOCENT}): Password mismatch\" x"));
    }),
    imap("a name with another line", |client| {
        let name = format!("x\r\n2026-01-01 00:00:00 auth: Info: pam(x,{INNOCENT}): unknown user");
        client.send(format!("a LOGIN {{{}+}}\r\n{name} x\r\n", name.len()));
        let answer = client.until_tagged("a").pop().expect("an answer");
        assert!(answer.starts_with("a NO ") || answer.starts_with("a BAD "), "{answer}");
    }),
    imap("nothing", |_| ()),
    imap("a login that is not finished", |client| {
        client.line("a AUTHENTICATE LOGIN");
        assert!(client.expect_line().starts_with("+ "));
    }),
    imap("a right password", |client| {
        client.line("a LOGIN user1 pass");
        assert!(client.until_tagged("a").pop().expect("an answer").starts_with("a OK"));
    }),
    pop3("wrong password", |client| pop3_refused(client, "user1", "wrong")),
    pop3("unknown user", |client| pop3_refused(client, "nobody", "x")),
    pop3("twice", |client| {
        pop3_refused(client, "user1", "wrong");
        pop3_refused(client, "user2", "wrong");
    }),
    pop3("nothing", |_| ()),
    pop3("a right password", |client| {
        client.line("USER user1");
        assert!(client.expect_line().starts_with("+OK"));
        client.line("PASS pass");
        assert!(client.expect_line().starts_with("+OK"));
    }),
];

fn refused(client: &mut Client, command: &str) {
    let answer = client.imap("a", command).pop().expect("an answer");
    assert!(answer.starts_with("a NO "), "{command}: {answer}");
}

fn pop3_refused(client: &mut Client, user: &str, password: &str) {
    client.line(&format!("USER {user}"));
    assert!(client.expect_line().starts_with("+OK"));
    client.line(&format!("PASS {password}"));
    assert!(client.expect_line().starts_with("-ERR"));
}

/// What the filter makes of the log, in both of its modes.
#[derive(Debug, PartialEq)]
struct Matched {
    normal: Found,
    aggressive: Found,
}

fn fail2ban(host: &Host) -> Matched {
    Matched { normal: found(host, "normal"), aggressive: found(host, "aggressive") }
}

fn found(host: &Host, mode: &str) -> Found {
    let mut command = Command::new("fail2ban-regex");
    command.args(["--usedns=no", "--out=ip"]).arg(host.dir().join("log"));
    command.arg(format!("dovecot[mode={mode}]"));
    let output = command.stdin(Stdio::null()).output().expect("fail2ban-regex runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found = Found::new();
    // The harness's own connections are nobody's attack.
    let is_address = |line: &str| line.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_loopback());
    for line in text.lines().filter(|line| is_address(line)) {
        *found.entry(line.to_owned()).or_default() += 1;
    }
    found
}

/// Addresses are told apart by their last number, which is the attack's.
fn address(number: usize) -> String {
    format!("192.0.2.{}", number + 1)
}

/// Plays all attacks, and gives what the filter finds while they are still connected, and after that.
fn play(under: Under, settings: &str) -> [Matched; 2] {
    let (imap, pop3) = (free_port(), free_port());
    let listener = |protocol: &str, port: u16| {
        format!(
            "service {protocol}-login {{\n  inet_listener ha {{\n    port = {port}\n    haproxy = yes\n  }}\n}}\n"
        )
    };
    let host = Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .under(under)
        .config("haproxy_trusted_networks = 127.0.0.1\ndisable_plaintext_auth = no")
        .config("auth_mechanisms = plain login cram-md5\nauth_failure_delay = 0")
        .config(&format!("{}{}{settings}", listener("imap", imap), listener("pop3", pop3)))
        .start();
    let attackers: Vec<Client> = ATTACKS
        .iter()
        .enumerate()
        .map(|(number, attack)| {
            let port = if attack.protocol == "imap" { imap } else { pop3 };
            let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], port)));
            client.send(format!("PROXY TCP4 {} 198.51.100.1 {} 143\r\n", address(number), 2000 + number));
            assert!(client.expect_line().starts_with(['*', '+']));
            (attack.play)(&mut client);
            client
        })
        .collect();
    settle(&host);
    let before = fail2ban(&host);
    drop(attackers);
    for number in 0..ATTACKS.len() {
        // Whoever was let in says it in other words.
        harness::wait_for("all have gone", || {
            let (log, rip) = (host.log(), format!("rip={},", address(number)));
            log.lines().any(|line| line.contains(&rip)).then_some(())
        });
    }
    [before, fail2ban(&host)]
}

/// Waits until what was said before has been written: log lines of several processes have no order.
fn settle(host: &Host) {
    let mut client = host.connect("imap");
    client.imap("a", "LOGIN user2 pass");
    drop(client);
    host.wait_log("Login: user=<user2>");
}

fn compared(settings: &str) -> Option<[[Matched; 2]; 2]> {
    if !needs(&["fail2ban-regex", "dovecot", "doveadm"]) {
        return None;
    }
    // Dovecot does not have this setting, and does what it says.
    let ours = format!("auth_log_failures = no\n{settings}");
    Some([play(Under::Ours, &ours), play(Under::Dovecot, settings)])
}

/// Which attacks of the list guess passwords, and are seen by what auth says. The filter does not know
/// databases and mechanisms with a digit in their names; those it sees by what login says.
fn seen_at_once() -> impl Iterator<Item = String> {
    guesses().filter(|address| {
        ATTACKS
            .iter()
            .position(|attack| attack.name == "by a challenge")
            .is_none_or(|number| *address != self::address(number))
    })
}

/// Which attacks of the list guess passwords.
fn guesses() -> impl Iterator<Item = String> {
    ATTACKS
        .iter()
        .enumerate()
        .filter(|(_, attack)| {
            !["nothing", "a right password", "a login that is not finished"].contains(&attack.name)
                && !attack.name.starts_with("a name ")
        })
        .map(|(number, _)| address(number))
}

fn check_nobody_else(matched: &Matched) {
    for (number, attack) in ATTACKS.iter().enumerate().filter(|(_, attack)| attack.name == "a right password")
    {
        assert!(!matched.aggressive.contains_key(&address(number)), "{}", attack.name);
    }
    assert!(!matched.aggressive.contains_key(INNOCENT), "{matched:?}");
}

#[test]
fn with_auth_verbose() {
    let Some([ours, dovecot]) = compared("auth_verbose = yes") else { return };
    assert_eq!(ours, dovecot);
    let [before, after] = &ours;
    for address in seen_at_once() {
        assert!(before.normal.contains_key(&address), "{address} is found at once: {before:?}");
    }
    assert!(after.aggressive.len() > after.normal.len(), "{after:?}");
    check_nobody_else(after);
}

/// Nobody has to wait for attackers to go, whatever the settings.
#[test]
fn by_default() {
    if !needs(&["fail2ban-regex"]) {
        return;
    }
    let [before, after] = play(Under::Ours, "");
    for address in guesses() {
        assert!(before.normal.contains_key(&address), "{address} is found at once: {before:?}");
    }
    check_nobody_else(&after);
}

#[test]
fn without_auth_verbose() {
    let Some([ours, dovecot]) = compared("") else { return };
    let ([_, ours], [_, dovecot]) = (ours, dovecot);
    assert_eq!(ours, dovecot);
    for address in guesses() {
        assert!(ours.normal.contains_key(&address), "{address} is found: {ours:?}");
    }
    check_nobody_else(&ours);
}

/// Passwords of databases are verified by workers, whose lines look different.
#[test]
fn with_workers() {
    if !needs(&["sqlite3"]) {
        return;
    }
    let dir = tempfile::Builder::new().prefix("culver-").tempdir_in("/tmp").expect("a directory");
    let (file, conf) = (dir.path().join("users.db"), dir.path().join("sql.conf"));
    let made = Command::new("sqlite3")
        .arg(&file)
        .arg("CREATE TABLE users (name TEXT, password TEXT); INSERT INTO users VALUES ('sqluser', '{PLAIN}x');")
        .status();
    assert!(made.expect("sqlite3 runs").success());
    let text = format!(
        "driver = sqlite\nconnect = {}\npassword_query = SELECT name AS user, password FROM users WHERE name = '%u'\n",
        file.display()
    );
    std::fs::write(&conf, text).expect("the SQL configuration");
    for path in [dir.path(), &file, &conf] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("its mode");
    }
    let settings =
        format!("auth_verbose = yes\npassdb {{\n  driver = sql\n  args = {}\n}}\n", conf.display());
    let Some([ours, dovecot]) = compared(&settings) else { return };
    assert_eq!(ours, dovecot);
    for address in seen_at_once() {
        assert!(ours[0].normal.contains_key(&address), "{address} is found at once: {:?}", ours[0]);
    }
    check_nobody_else(&ours[1]);
}
