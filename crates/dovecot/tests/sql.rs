//! Users in SQL databases, from an IMAP login down to a real MariaDB or SQLite, and what happens to
//! everybody else when the database is slow, gone or mad. `user1` is always in a passwd-file.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use harness::host::MAIL_ID;
use harness::{Builder, Client, Host, MariaDb, needs, wait_for};

/// A user with a name that is hard on quoting, and its password.
type Account = (&'static str, &'static str);

const ACCOUNTS: [Account; 7] = [
    ("sqluser", "secret"),
    ("o'brien", "it's"),
    ("jürgen", "päss"),
    ("per%cent%u", "a%b"),
    ("back\\slash", "x\\y"),
    ("quote\"d", "q\"q"),
    ("x@example.org", "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="),
];

const HOSTILE: [&str; 6] =
    ["' OR '1'='1", "'; DROP TABLE users; -- ", "\\' OR 1=1 #", "sqluser' -- ", "%", "sqluser\\"];

const SQL: &str = "auth_username_chars =\nauth_username_format =\nauth_failure_delay = 0\nauth_verbose = yes\n\
    passdb {\n driver = passwd-file\n args = username_format=%u @DIR@/users\n}\n\
    passdb {\n driver = sql\n args = @DIR@/sql.conf.ext\n}\n\
    userdb {\n driver = passwd-file\n args = username_format=%u @DIR@/users\n \
    default_fields = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u\n}\n\
    userdb {\n driver = sql\n args = @DIR@/sql.conf.ext\n}\n";

const QUERIES: &str = "default_pass_scheme = PLAIN\n\
    password_query = SELECT name AS user, password FROM users WHERE name = '%u' AND @GATE@\n\
    user_query = SELECT home, uid, gid FROM users WHERE name = '%u'\n\
    iterate_query = SELECT name AS user FROM users ORDER BY name\n";

fn builder() -> Builder {
    let builder = Builder::new(env!("CARGO_BIN_EXE_dovecot")).without_users().config(SQL);
    // Without delays for an address that fails often, which is how 2.3 turns them off.
    builder.config("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
}

fn configure_sql(host: &Host, driver: &str, connect: &str, gate: &str) {
    let text = format!("driver = {driver}\nconnect = {connect}\n{}", QUERIES.replace("@GATE@", gate));
    std::fs::write(host.dir().join("sql.conf.ext"), text).expect("the SQL configuration");
}

fn table(dir: &Path, escape: impl Fn(&str) -> String) -> String {
    let id = if nix::unistd::geteuid().is_root() { MAIL_ID } else { nix::unistd::geteuid().as_raw() };
    let home = dir.join("mail/sql").display().to_string();
    let rows: String = ACCOUNTS
        .iter()
        .map(|(name, password)| {
            let (name, password) = (escape(name), escape(password));
            format!("INSERT INTO users VALUES ('{name}', '{password}', '{home}', {id}, {id});\n")
        })
        .collect();
    format!(
        "CREATE TABLE users (name VARCHAR(300), password VARCHAR(200), home VARCHAR(200), uid INT, gid INT);\n{rows}"
    )
}

fn mariadb(host: &Host, gate: &str) -> Option<MariaDb> {
    let server = MariaDb::start(host.dir())?;
    let rows = table(host.dir(), |text| text.replace('\\', "\\\\").replace('\'', "''"));
    server.run(&format!(
        "CREATE DATABASE mail CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; USE mail; SET NAMES utf8mb4; {rows} \
         CREATE USER dove@localhost IDENTIFIED BY 'pw'; GRANT ALL ON mail.* TO dove@localhost;"
    ));
    let connect = format!("host={} user=dove password=pw dbname=mail", server.socket().display());
    configure_sql(host, "mysql", &connect, gate);
    Some(server)
}

/// The tagged answer to a login; names and passwords go as literals.
fn login(host: &Host, user: &[u8], password: &[u8]) -> String {
    let mut client = host.connect("imap");
    send_login(&mut client, user, password);
    client.until_tagged("l").pop().expect("an answer")
}

fn send_login(client: &mut Client, user: &[u8], password: &[u8]) {
    client.send(format!("l LOGIN {{{}+}}\r\n", user.len()));
    client.send(user);
    client.send(format!(" {{{}+}}\r\n", password.len()));
    client.send(password);
    client.send("\r\n");
}

fn password_of(account: &Account) -> &'static str {
    if account.1.starts_with("{SHA256}") { "secret" } else { account.1 }
}

fn check_logins(host: &Host) {
    for account in &ACCOUNTS {
        let answer = login(host, account.0.as_bytes(), password_of(account).as_bytes());
        assert!(answer.starts_with("l OK"), "{}: {answer}", account.0);
        let answer = login(host, account.0.as_bytes(), b"wrong");
        assert!(answer.starts_with("l NO [AUTHENTICATIONFAILED] "), "{}: {answer}", account.0);
    }
    let long = "x".repeat(900);
    for name in HOSTILE.into_iter().chain(["nobody", long.as_str()]) {
        let answer = login(host, name.as_bytes(), b"x");
        assert!(answer.starts_with("l NO [AUTHENTICATIONFAILED] "), "{name}: {answer}");
    }
    // What cannot be sent in a LOGIN comes by SASL: a NUL, and bytes that are no UTF-8.
    for bytes in [&b"\0sqluser\0' OR ''='\0secret"[..], b"\0sql\xffuser\0secret", b"\0\xc3\x28' OR 1=1\0x"] {
        let mut client = host.connect("imap");
        client.line(&format!("l AUTHENTICATE PLAIN {}", base64(bytes)));
        let answer = client.until_tagged("l").pop().expect("an answer");
        assert!(answer.starts_with("l NO ") || answer.starts_with("l BAD "), "{bytes:?}: {answer}");
    }
    let answer = login(host, b"sqluser", b"secret");
    assert!(answer.starts_with("l OK"), "the table is still there: {answer}");
    assert!(login(host, b"user1", b"pass").starts_with("l OK"));
}

fn check_doveadm(host: &Host) {
    let home = host.dir().join("mail/sql").display().to_string();
    let shown = host.doveadm(&["user", "o'brien"]);
    assert!(shown.contains(&format!("home\t{home}\n")), "{shown}");
    let mut listed: Vec<String> = host.doveadm(&["user", "*"]).lines().map(str::to_owned).collect();
    listed.sort();
    let mut expect: Vec<String> = ACCOUNTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    expect.extend(["user1", "user2", "user3"].map(str::to_owned));
    expect.sort();
    assert_eq!(listed, expect);
    let tested = host.doveadm(&["auth", "test", "sqluser", "secret"]);
    assert!(tested.contains("passdb: sqluser auth succeeded"), "{tested}");
    let failed = host.run("doveadm", &["auth", "test", "sqluser", "wrong"]);
    assert_eq!(failed.status.code(), Some(77));
    let found = host.doveadm(&["auth", "lookup", "sqluser"]);
    assert!(found.contains("passdb: sqluser\n  user      : sqluser\n"), "{found}");
    let unknown = host.run("doveadm", &["auth", "lookup", "nobody"]);
    assert_eq!(unknown.status.code(), Some(67));
    assert_eq!(host.run("doveadm", &["user", "nobody"]).status.code(), Some(67));
}

#[test]
fn mariadb_logins() {
    let mut host = builder().prepare();
    let Some(_server) = mariadb(&host, "1 = 1") else { return };
    host.start();
    check_logins(&host);
    check_doveadm(&host);
    let workers = host.pids("auth").into_iter().filter(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
            String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ") == "dovecot/auth -w"
        })
    });
    assert!(workers.count() > 0, "workers are shown as 2.3's");
}

#[test]
fn sqlite_logins() {
    if !needs(&["sqlite3"]) {
        return;
    }
    let mut host = builder().prepare();
    let file = host.dir().join("users.db");
    let rows = table(host.dir(), |text| text.replace('\'', "''"));
    let made = Command::new("sqlite3").arg(&file).arg(rows).status().expect("sqlite3 runs");
    assert!(made.success());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("permissions can be set");
    configure_sql(&host, "sqlite", &file.display().to_string(), "1 = 1");
    host.start();
    check_logins(&host);
    check_doveadm(&host);
}

/// Without the database nobody is told that the password is wrong; when it is back, so are logins.
#[test]
fn a_database_that_dies_and_comes_back() {
    let mut host = builder().prepare();
    let Some(mut server) = mariadb(&host, "1 = 1") else { return };
    host.start();
    assert!(login(&host, b"sqluser", b"secret").starts_with("l OK"));
    server.kill();
    for _ in 0..3 {
        let answer = login(&host, b"sqluser", b"secret");
        assert!(answer.starts_with("l NO [UNAVAILABLE] Temporary authentication failure."), "{answer}");
        assert!(login(&host, b"user1", b"pass").starts_with("l OK"), "others do not need it");
    }
    server.resume();
    wait_for("logins from the database", || {
        login(&host, b"sqluser", b"secret").starts_with("l OK").then_some(())
    });
}

/// More slow logins than workers: whoever does not need the database does not wait.
#[test]
fn a_slow_database_holds_up_nobody_else() {
    let mut host = builder().config("auth_worker_max_count = 3").prepare();
    let gate = "IF(name = 'sqluser', GET_LOCK('gate', 60) AND RELEASE_LOCK('gate'), 1) = 1";
    let Some(server) = mariadb(&host, gate) else { return };
    host.start();
    let held = server.hold("gate");
    let mut slow: Vec<Client> = (0..2).map(|_| host.connect("imap")).collect();
    slow.iter_mut().for_each(|client| send_login(client, b"sqluser", b"secret"));
    // One worker is left for another user of the database.
    assert!(login(&host, b"o'brien", b"it's").starts_with("l OK"));
    slow.extend((0..3).map(|_| host.connect("imap")));
    slow.iter_mut().skip(2).for_each(|client| send_login(client, b"sqluser", b"secret"));
    for _ in 0..5 {
        assert!(login(&host, b"user1", b"pass").starts_with("l OK"));
    }
    drop(held);
    for mut client in slow {
        let answer = client.until_tagged("l").pop().expect("an answer");
        assert!(answer.starts_with("l OK"), "{answer}");
    }
}

/// Something else answers on the database's socket.
#[test]
fn a_database_that_talks_nonsense() {
    let mut host = builder().prepare();
    let path = host.dir().join("mad");
    let listener = UnixListener::bind(&path).expect("a socket");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("permissions can be set");
    std::thread::spawn(move || {
        for (round, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let greeting = match round % 3 {
                0 => b"HTTP/1.0 400 Bad Request\r\n\r\n".to_vec(),
                1 => vec![0xff; 100_000],
                _ => [b"J\0\0\0\x0a5.5.5-10\0".as_slice(), &[0; 64]].concat(),
            };
            let _ = stream.write_all(&greeting);
            let _ = stream.read(&mut [0; 100]);
        }
    });
    configure_sql(&host, "mysql", &format!("host={} user=u password=p dbname=d", path.display()), "1 = 1");
    host.start();
    for _ in 0..4 {
        let answer = login(&host, b"sqluser", b"secret");
        assert!(answer.starts_with("l NO [UNAVAILABLE] Temporary authentication failure."), "{answer}");
        assert!(login(&host, b"user1", b"pass").starts_with("l OK"), "others do not need it");
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*group.get(at).unwrap_or(&0)));
        let digits = (0..4).map(|at| char::from(DIGITS[bits >> (18 - 6 * at) & 63]));
        text.extend(digits.take(group.len() + 1));
        text.push_str(&"=".repeat(3 - group.len()));
    }
    text
}
