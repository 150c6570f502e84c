//! A small policy server. What it is sent, and what follows from its answers, is what 2.3.19 does
//! with the same configuration.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use harness::cert::TlsServer;

use super::bench::{Bench, local, plain};
use crate::client::Kind;

const PASSDB: &str = "passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n";
const USERS: &str = "joe:secret\nbad:secret\nslow:secret\njunk:secret\nword:secret\nerr:secret\n";

/// Request line, header and body.
type Seen = (String, String, String);

struct Server {
    port: u16,
    seen: Receiver<Seen>,
}

impl Server {
    fn start() -> Self {
        Self::start_as(None)
    }

    fn start_as(tls: Option<TlsServer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, seen) = channel();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let seen = match &tls {
                    Some(tls) => tls.over(stream).and_then(answer),
                    None => answer(stream),
                };
                // The test may have ended.
                let _ = seen.map(|seen| sender.send(seen));
            }
        });
        Self { port, seen }
    }

    fn config(&self, more: &str) -> String {
        format!(
            "{PASSDB}auth_policy_server_url = http://u:p%40@127.0.0.1:{}/x\nauth_policy_hash_nonce = nonce\n{more}\n",
            self.port
        )
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(Duration::from_secs(60)).expect("hung")
    }
}

fn answer(stream: impl Read + Write) -> std::io::Result<Seen> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut head, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    let who = |name: &str| body.contains(&format!("\"login\":\"{name}\""));
    let (status, text) = match () {
        () if who("bad") => ("200 OK", r#"{"status":-1,"msg":"because"}"#),
        () if who("slow") => ("200 OK", r#"{"status":1,"msg":""}"#),
        () if who("junk") => ("200 OK", r#"{"status":"#),
        () if who("word") => ("200 OK", r#"{"status":"x"}"#),
        () if who("err") => ("500 No", ""),
        () => ("200 OK", r#"{"status":0}"#),
    };
    let stream = reader.get_mut();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}", text.len())?;
    stream.flush()?;
    Ok((first.trim().to_owned(), head, body))
}

#[tokio::test(flavor = "current_thread")]
async fn a_login_is_asked_about_twice_and_reported() {
    local(async {
        let server = Server::start();
        let more = "auth_policy_server_api_header = X-Key: abc\n\
                    auth_policy_request_attributes = login=%{requested_username} pwhash=%{hashed_password} \
                    remote=%{rip} device_id=%{client_id} protocol=%s session_id=%{session} a/x=%{rip} a/y=%{lip} \
                    b/c=1";
        let bench = Bench::new(&server.config(more), &[("users", USERS)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let facts = "\trip=1.2.3.5\tsession=abc\"d\tclient_id=x\\t";
        assert_eq!(client.ask(&plain(1, "joe", "secret", facts)).await, "OK\t1\tuser=joe");
        let start = "{\"a\":{\"x\":\"1.2.3.5\",\"y\":\"\"},\"b\":{\"c\":\"1\"},\"device_id\":\"x\\\\t\",\
                     \"login\":\"joe\",\"protocol\":\"imap\",\"pwhash\":\"07a2\",\"remote\":\"1.2.3.5\",\
                     \"session_id\":\"abc\\\"d\"";
        for (command, rest) in [
            ("allow", ",\"tls\":false}"),
            ("allow", ",\"tls\":false}"),
            ("report", ",\"success\":true,\"policy_reject\":false,\"tls\":false}"),
        ] {
            let (first, head, body) = server.next();
            assert_eq!(first, format!("POST /x?command={command} HTTP/1.1"));
            for line in [
                "Authorization: Basic dTpwQA==",
                "Content-Type: application/json",
                "X-Key: abc",
                "User-Agent: dovecot/auth-policy-client",
            ] {
                assert!(head.contains(line), "{head}");
            }
            assert_eq!(body, format!("{start}{rest}"));
        }
    })
    .await;
}

/// With each user's answer, the commands that the server gets, and what the last one says.
async fn check(more: &str, cases: &[(&str, &str, &str, &str, &str)]) {
    let server = Server::start();
    let bench = Bench::new(&server.config(more), &[("users", USERS)]);
    let mut client = bench.client(Kind::Client).await;
    client.greeting().await;
    for (id, (user, password, expect, commands, last)) in (1..).zip(cases) {
        let answer = client.ask(&plain(id, user, password, "")).await;
        assert_eq!(answer.replace(&format!("\t{id}\t"), "\t").replace('\t', "|"), *expect, "{user}");
        let mut body = String::new();
        for command in commands.split(' ').filter(|command| !command.is_empty()) {
            let (first, _, text) = server.next();
            assert!(first.contains(command), "{user}: {first}");
            body = text;
        }
        assert!(body.contains(last), "{user}: {body}");
    }
    assert!(server.seen.try_recv().is_err(), "nothing more was sent");
}

#[tokio::test(flavor = "current_thread")]
async fn what_the_server_says_is_done() {
    let failed = "\"success\":false,\"policy_reject\":false";
    let cases = [
        ("joe", "wrong", "FAIL|user=joe", "allow report", failed),
        ("bad", "secret", "FAIL|user=bad|reason=because", "allow report", "\"policy_reject\":true"),
        ("slow", "secret", "OK|user=slow", "allow allow report", "\"success\":true"),
        ("junk", "secret", "OK|user=junk", "allow allow report", "\"success\":true"),
        ("word", "secret", "OK|user=word", "allow allow report", "\"success\":true"),
        ("err", "secret", "OK|user=err", "allow allow report", "\"success\":true"),
    ];
    local(check("", &cases)).await;
}

#[tokio::test(flavor = "current_thread")]
async fn each_step_has_a_setting() {
    let cases = [("bad", "secret", "OK|user=bad", "", "")];
    let none = "auth_policy_check_before_auth = no\nauth_policy_check_after_auth = no\n\
                auth_policy_report_after_auth = no";
    local(check(none, &cases)).await;
    let after = "auth_policy_check_before_auth = no\nauth_policy_report_after_auth = no";
    let cases = [
        ("bad", "wrong", "FAIL|user=bad", "", ""),
        ("bad", "secret", "FAIL|user=bad|reason=because", "allow", ""),
    ];
    local(check(after, &cases)).await;
    let cases = [("bad", "secret", "OK|user=bad", "allow allow", "")];
    local(check("auth_policy_log_only = yes\nauth_policy_report_after_auth = no", &cases)).await;
    let cases =
        [("err", "secret", "FAIL|user=err", "allow", ""), ("junk", "secret", "FAIL|user=junk", "allow", "")];
    local(check("auth_policy_reject_on_fail = yes\nauth_policy_report_after_auth = no", &cases)).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_that_is_not_there() {
    local(async {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("auth_policy_server_url = http://127.0.0.1:{port}\nauth_policy_hash_nonce = n\n");
        for (more, expect) in
            [("", "OK\t1\tuser=joe"), ("auth_policy_reject_on_fail = yes\n", "FAIL\t1\tuser=joe")]
        {
            let bench = Bench::new(&format!("{PASSDB}{url}{more}"), &[("users", USERS)]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            assert_eq!(client.ask(&plain(1, "joe", "secret", "")).await, expect);
        }
        // One that never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let config = format!(
            "{PASSDB}auth_policy_server_url = http://127.0.0.1:{port}\nauth_policy_hash_nonce = n\n\
             auth_policy_server_timeout_msecs = 200\nauth_policy_report_after_auth = no\n"
        );
        let bench = Bench::new(&config, &[("users", USERS)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        assert_eq!(client.ask(&plain(1, "joe", "secret", "")).await, "OK\t1\tuser=joe");
    })
    .await;
}

/// Passwords' hashes are for the server that the certificate is for.
#[tokio::test(flavor = "current_thread")]
async fn over_https() {
    local(async {
        let dir = tempfile::tempdir().unwrap();
        harness::cert::write(dir.path(), &["localhost"]).unwrap();
        let server = Server::start_as(Some(TlsServer::new(dir.path())));
        let other = tempfile::tempdir().unwrap();
        harness::cert::write(other.path(), &["localhost"]).unwrap();
        let (ok, failed) = ("OK\t1\tuser=joe", "FAIL\t1\tuser=joe");
        for (host, authority, more, expect) in [
            ("localhost", &dir, "", ok),
            // The certificate is for the name, and somebody has to vouch for it.
            ("127.0.0.1", &dir, "", failed),
            ("localhost", &other, "", failed),
            ("127.0.0.1", &other, "ssl_client_require_valid_cert = no\n", ok),
        ] {
            let config = format!(
                "{PASSDB}auth_policy_server_url = https://{host}:{}/x\nauth_policy_hash_nonce = nonce\n\
                 auth_policy_reject_on_fail = yes\nauth_policy_check_after_auth = no\n\
                 auth_policy_report_after_auth = no\nssl_client_ca_file = {}/cert.pem\n{more}",
                server.port,
                authority.path().display()
            );
            let bench = Bench::new(&config, &[("users", USERS)]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            let answer = client.ask(&plain(1, "joe", "secret", "")).await;
            assert_eq!(answer, expect, "{host} {more}");
            if expect == ok {
                assert_eq!(server.next().0, "POST /x?command=allow HTTP/1.1");
            }
        }
        assert!(server.seen.try_recv().is_err(), "nobody else was told anything");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn settings_that_make_no_sense_are_refused() {
    let refused = |more: &str| {
        let config = format!("{PASSDB}auth_policy_server_url = http://x\n{more}");
        settings::Snapshot::from_text(&config).is_err()
    };
    assert!(refused(""), "no nonce");
    assert!(refused("auth_policy_hash_nonce = n\nauth_policy_hash_mech = rot13\n"));
    assert!(!refused("auth_policy_hash_nonce = n\n"));
}
