//! The matrix of `databases` for what is no table of users: programs, other servers that judge passwords,
//! dictionaries behind another process, and what knows everybody.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::bench::{Bench, local, plain};
use super::databases::{
    ACCOUNTS, Database, HOSTILE, LOCKED, REST, USER, check, check_strangers, check_trouble, dict_file,
    object, trouble, trouble_on_port,
};
use super::imap::serve;
use crate::client::Kind;
use crate::workers::Timeouts;

/// Whether somebody has this name and password.
fn is_known(name: &str, password: &str) -> bool {
    password != LOCKED && ACCOUNTS.contains(&(name, password))
}

/// A program that compares name and password as hexadecimal digits.
fn program(path: &Path) {
    let hex = |text: String| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let known = ACCOUNTS.into_iter().filter(|(name, password)| is_known(name, password));
    let known: Vec<String> = known.map(|(name, password)| hex(format!("{name}\n{password}\n"))).collect();
    let text = format!(
        "#!/bin/sh\ngiven=$(tr '\\000' '\\n' <&3 | head -n 2 | od -An -v -tx1 | tr -d ' \\n')\n\
         case \"$given\" in {}) printf 'note=x\\t' >&4; exit 0 ;; esac\nexit 1\n",
        known.join("|")
    );
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn checkpassword() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    program(&path);
    let args = path.display().to_string();
    check(Some(Database::new("checkpassword", &args, ("none", String::new()), dir))).await;
}

/// A program that takes its time holds up nobody else, and is given up in the end.
#[tokio::test(flavor = "current_thread")]
async fn a_slow_program() {
    local(async {
        let limit = Timeouts { request: Duration::from_secs(3), queue: Duration::from_secs(20) };
        let config = format!(
            "{REST}passdb {{\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}}\n\
             passdb {{\n driver = checkpassword\n args = DIR/program\n}}\n"
        );
        let files = [("users", "local:pw\n"), ("program", "#!/bin/sh\nexec sleep 300\n")];
        let bench = Bench::with_timeouts(&config, &files, limit);
        std::fs::set_permissions(bench.path("program"), PermissionsExt::from_mode(0o755)).unwrap();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let begun = Instant::now();
        client.say(&plain(1, "joe", "secret", "")).await;
        assert_eq!(client.ask(&plain(2, "local", "pw", "")).await, "OK\t2\tuser=local");
        assert!(begun.elapsed() < limit.request, "held up for {:?}", begun.elapsed());
        assert_eq!(client.line().await, "FAIL\t1\tuser=joe\tcode=temp_fail");
    })
    .await;
}

fn judge(given: &str) -> &'static str {
    let words: Vec<&str> = given.split('\0').collect();
    match words[..] {
        ["", name, password] if is_known(name, password) => "OK in",
        _ => "NO [AUTHENTICATIONFAILED] No",
    }
}

#[tokio::test(flavor = "current_thread")]
async fn another_imap_server() {
    for capability in ["", " AUTH=PLAIN"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever has his answer may go.
                std::thread::spawn(move || serve(stream, capability, judge).is_ok());
            }
        });
        let args = format!("host=127.0.0.1 port={port}");
        check(Some(Database::new("imap", &args, ("none", String::new()), ()))).await;
    }
}

/// The token of an account: words that may be one.
fn token(password: &str) -> String {
    sasl::encoding::base64(password.as_bytes())
}

/// Answers one introspection (RFC 7662).
fn introspect(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let given = body.strip_prefix("token=").and_then(|rest| rest.split('&').next());
    let given = decoded(given.unwrap_or_default());
    let mut known = ACCOUNTS.into_iter().filter(|(_, password)| *password != LOCKED);
    let known = known.find(|(_, password)| token(password) == given);
    let text = match known {
        Some((name, _)) => format!("{{\"active\":true,\"email\":{name:?}}}"),
        None => "{\"active\":false}".to_owned(),
    };
    write!(reader.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

/// Without `%xx`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.split('%');
    bytes.extend(rest.next().unwrap_or_default().bytes());
    for part in rest {
        let (digits, plain) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(plain.bytes());
    }
    String::from_utf8(bytes).unwrap()
}

fn oauth2_file(port: u16) -> (&'static str, String) {
    let text = format!(
        "introspection_url = http://127.0.0.1:{port}/\nintrospection_mode = post\ntimeout_msecs = 2000\n\
         username_format = %u\n"
    );
    ("oauth2", text)
}

#[tokio::test(flavor = "current_thread")]
async fn oauth2() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever has his answer may go.
            let _ = introspect(stream);
        }
    });
    local(async {
        let passdb = "passdb {\n driver = oauth2\n args = DIR/oauth2\n}\n";
        let (name, text) = oauth2_file(port);
        let bench = Bench::new(&format!("{REST}{passdb}"), &[(name, &text)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let long = "x".repeat(1000);
        for (user, password) in ACCOUNTS {
            assert_eq!(client.login(user, &token(password)).await, password != LOCKED, "{user}");
            for wrong in ["", "wrong", password, "it's", "p\u{e4}ss", "x&token=", "a\r\nX: y", &long] {
                assert!(!client.login(user, wrong).await, "{user} with {wrong}");
            }
        }
        // Somebody else's token.
        for (user, _) in ACCOUNTS.into_iter().filter(|(user, _)| *user != "joe") {
            assert!(!client.login(user, &token("secret")).await, "{user}");
        }
        check_strangers(&mut client, &["", &token("secret"), "' OR '1'='1"]).await;
        assert!(client.login("joe", &token("secret")).await);
    })
    .await;
}

/// Serves dictionaries as a `dict` process does.
fn serve_dict(stream: UnixStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let Some(lookup) = line.strip_prefix('L') else { continue };
        let key = base::tab::unescape(lookup.split('\t').next().unwrap_or_default());
        let known = |kind: &str| {
            let name = key.strip_prefix(kind)?;
            ACCOUNTS.into_iter().find(|(known, _)| *known == name)
        };
        let value = match (known("shared/passdb/"), known("shared/userdb/")) {
            (Some((_, password)), _) => Some(object(password)),
            (None, Some(_)) => Some(USER.to_owned()),
            (None, None) => None,
        };
        let answer = value.map_or("N\n".to_owned(), |value| format!("O{}\n", base::tab::escape(&value)));
        reader.get_mut().write_all(answer.as_bytes())?;
    }
}

fn behind_a_process(dir: tempfile::TempDir) -> Database {
    let file = dict_file(&format!("proxy:{}:users", dir.path().join("socket").display()));
    Database::new("dict", "DIR/dict", file, dir)
}

#[tokio::test(flavor = "current_thread")]
async fn dict_behind_a_process() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve_dict(stream).is_ok());
        }
    });
    check(Some(behind_a_process(dir).with_users())).await;
}

#[tokio::test(flavor = "current_thread")]
async fn judges_in_trouble() {
    local(async {
        check_trouble("imap", |said| {
            let args = format!("host=127.0.0.1 port={}", trouble_on_port(said));
            Database::new("imap", &args, ("none", String::new()), ())
        })
        .await;
        check_trouble("oauth2", |said| {
            Database::new("oauth2", "DIR/oauth2", oauth2_file(trouble_on_port(said)), ())
        })
        .await;
        check_trouble("dict process", |said| {
            let dir = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
            trouble(said, move || listener.accept().map(|(stream, _)| stream));
            behind_a_process(dir)
        })
        .await;
    })
    .await;
}

/// Everybody has the same password, or one that is made of the name, and nobody another one.
#[tokio::test(flavor = "current_thread")]
async fn statics() {
    local(async {
        let long = "x".repeat(1000);
        for (args, right) in [
            ("password=secret", (|_| "secret".to_owned()) as fn(&str) -> String),
            ("password={PLAIN}pw-%u", |user| format!("pw-{user}")),
        ] {
            let bench = Bench::new(&format!("{REST}passdb {{\n driver = static\n args = {args}\n}}\n"), &[]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            for user in ACCOUNTS.iter().map(|(user, _)| *user).chain(HOSTILE) {
                assert!(client.login(user, &right(user)).await, "{args}: {user}");
                let wrong = ["", "wrong", "%u", "pw-", "pw-%u", &long];
                for wrong in wrong.into_iter().filter(|wrong| *wrong != right(user)) {
                    assert!(!client.login(user, wrong).await, "{args}: {user} with {wrong}");
                }
            }
            assert!(!client.login("", &right("")).await);
        }
    })
    .await;
}
