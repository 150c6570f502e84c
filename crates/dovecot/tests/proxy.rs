//! Clients whose users live on another server: logging in there, what goes back and forth, what the log
//! says, and what clients see when it does not work. Both sides are ours or the original.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use harness::needs::needs;
use harness::{Builder, Client, Host, Under, wait_for};

/// Who stands in front and who behind.
fn pairs() -> Vec<(Under, Under)> {
    let mut pairs = vec![(Under::Ours, Under::Ours)];
    if needs(&["dovecot"]) {
        pairs.extend([(Under::Ours, Under::Dovecot), (Under::Dovecot, Under::Ours)]);
    }
    pairs
}

fn builder(under: Under) -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .under(under)
        .config("auth_failure_delay = 0\nauth_verbose = yes\nlisten = 127.0.0.1, 127.0.0.9")
        .config("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
}

fn behind(under: Under) -> Host {
    builder(under).config("login_trusted_networks = 127.0.0.0/8").start()
}

/// A server that sends `users` on, each a name and the fields after it.
fn in_front(under: Under, config: &str, users: &[(&str, String)]) -> Host {
    let passdb = "passdb {\n  driver = passwd-file\n  args = username_format=%u @DIR@/proxied\n}\n";
    let mut host = builder(under).config(passdb).config(config).prepare();
    let lines: String =
        users.iter().map(|(name, fields)| format!("{name}:{{PLAIN}}pass:::::: {fields}\n")).collect();
    fs::write(host.dir().join("proxied"), lines).expect("the users");
    host.start();
    host
}

/// The fields that send a user to `back`'s listener.
fn to(back: &Host, listener: &str, more: &str) -> String {
    format!("proxy=y host=127.0.0.1 port={} {more}", back.address(listener).port())
}

/// Logs in by IMAP and gives the lines of the answer.
fn log_in(host: &Host, user: &str) -> (Client, Vec<String>) {
    let mut client = host.connect("imap");
    let lines = client.imap("l", &format!("LOGIN {user} pass"));
    (client, lines)
}

/// Logs in by POP3 and gives the answer to PASS.
fn log_in_pop3(host: &Host, user: &str) -> (Client, String) {
    let mut client = host.connect("pop3");
    client.line(&format!("USER {user}"));
    assert!(client.expect_line().starts_with("+OK"));
    client.line("PASS pass");
    let answer = client.expect_line();
    (client, answer)
}

fn log_out(mut client: Client) {
    client.line("x LOGOUT");
    while client.read_line().is_some() {}
}

/// The front's lines about `user`, without what differs from run to run.
fn lines_of(host: &Host, back: Option<&Host>, user: &str) -> Vec<String> {
    let known = |line: &&str| line.contains(&format!("({user}")) || line.contains(&format!("user=<{user}>"));
    let log = host.log();
    let lines = log.lines().filter(known).filter_map(|line| {
        let mut line = line.split_once("-login: ")?.1.to_owned();
        for (start, end) in [("session=<", ">"), ("mpid=", ","), ("local=127.0.0.1:", ")"), ("(0.", " secs")]
        {
            if let Some((before, rest)) = line.split_once(start)
                && let Some((_, after)) = rest.split_once(end)
            {
                line = format!("{before}{start}*{end}{after}");
            }
        }
        for (host, name) in [(back, "BACK"), (Some(host), "FRONT")] {
            let Some(host) = host else { continue };
            for listener in ["imap", "imaps", "pop3", "pop3s"] {
                line =
                    line.replace(&host.address(listener).port().to_string(), &format!("{name}-{listener}"));
            }
        }
        Some(line)
    });
    lines.collect()
}

#[test]
fn imap_through_a_proxy() {
    for (front, back) in pairs() {
        let back = behind(back);
        let front = in_front(front, "", &[("one", to(&back, "imap", "destuser=user1"))]);
        let mut client = front.connect("imap");
        // What comes behind the login is the other server's business.
        let big = "x".repeat(200_000);
        let size = big.len() + 14;
        client.send(format!("l LOGIN one pass\r\na APPEND INBOX {{{size}+}}\r\nSubject: s\r\n\r\n{big}\r\n"));
        let answer = client.until_tagged("l").pop().expect("an answer");
        assert!(answer.starts_with("l OK [CAPABILITY IMAP4rev1 ") && answer.contains(" MOVE "), "{answer}");
        let answer = client.until_tagged("a").pop().expect("an answer");
        assert!(answer.starts_with("a OK"), "{answer}");
        client.imap("s", "SELECT INBOX");
        let fetched = client.imap("f", "FETCH 1 BODY[]");
        assert!(fetched.iter().any(|line| line.contains(&big)), "the whole message comes back");
        log_out(client);
        let line = front.wait_log("Started proxying to");
        assert!(line.contains(": Started proxying to <127.0.0.1> as user user1 (0."), "{line}");
        let session = line.split("session=<").nth(1).expect("a session").to_owned();
        // The other server knows the session by the same id.
        let line = back.wait_log("Login: user=<user1>");
        assert!(line.contains(&format!("session=<{session}")), "{line} {session}");
        let line = front.wait_log("Disconnected by server");
        assert!(line.contains("proxy(one,127.0.0.1:") && line.contains("s idle, in=200"), "{line}");
        assert!(
            line.contains(", out=20") && line.contains("user=<one>, method=PLAIN, rip=127.0.0.1"),
            "{line}"
        );
    }
}

#[test]
fn pop3_through_a_proxy() {
    for (front, back) in pairs() {
        let back = behind(back);
        let front = in_front(front, "", &[("one", to(&back, "pop3", "destuser=user1"))]);
        let (mut client, answer) = log_in_pop3(&front, "one");
        assert_eq!(answer, "+OK Logged in.");
        client.line("STAT");
        assert_eq!(client.expect_line(), "+OK 0 0");
        client.line("QUIT");
        assert!(client.expect_line().starts_with("+OK"));
        assert_eq!(client.read_line(), None);
        let line = front.wait_log("Started proxying to");
        let session = line.split("session=<").nth(1).expect("a session").to_owned();
        let line = back.wait_log("Login: user=<user1>");
        assert!(line.contains(&session), "{line} {session}");
        front.wait_log("Disconnected by server (");
    }
}

#[test]
fn capabilities_come_from_the_other_server() {
    for (front, back) in pairs() {
        let back = behind(back);
        let front = in_front(front, "", &[("one", to(&back, "imap", "destuser=user1"))]);
        let mut client = front.connect("imap");
        client.imap("c", "CAPABILITY");
        let lines = client.imap("l", "LOGIN one pass");
        assert!(lines[0].starts_with("* CAPABILITY IMAP4rev1 ") && lines[0].contains(" MOVE "), "{lines:?}");
        assert_eq!(&lines[1..], ["l OK Logged in"]);
        log_out(client);
    }
}

#[test]
fn tls_on_both_sides() {
    for (front, back) in pairs() {
        let back = behind(back);
        let users = [
            ("any", to(&back, "imaps", "ssl=any-cert destuser=user1")),
            ("stls", to(&back, "imap", "starttls=any-cert destuser=user1")),
            ("pop", to(&back, "pop3s", "ssl=any-cert destuser=user1")),
            ("popstls", to(&back, "pop3", "starttls=any-cert destuser=user1")),
            ("strict", to(&back, "imaps", "ssl=yes destuser=user1")),
        ];
        let front = in_front(front, "login_proxy_max_reconnects = 0", &users);
        for user in ["any", "stls"] {
            let mut client = front.connect("imaps");
            let lines = client.imap("l", &format!("LOGIN {user} pass"));
            assert!(lines.last().is_some_and(|line| line.starts_with("l OK")), "{user}: {lines:?}");
            let big = "x".repeat(100_000);
            let size = big.len() + 14;
            client.send(format!("a APPEND INBOX {{{size}+}}\r\nSubject: s\r\n\r\n{big}\r\n"));
            let answer = client.until_tagged("a").pop().expect("an answer");
            assert!(answer.starts_with("a OK"), "{answer}");
            log_out(client);
        }
        for user in ["pop", "popstls"] {
            let (_, answer) = log_in_pop3(&front, user);
            assert_eq!(answer, "+OK Logged in.", "{user}");
        }
        wait_for("TLS in the log", || (back.log().matches(", TLS, session=").count() >= 4).then_some(()));
        // A certificate of nobody's.
        let (_client, lines) = log_in(&front, "strict");
        assert_eq!(lines, ["l NO [UNAVAILABLE] Account is temporarily unavailable."]);
        let line = front.wait_log("proxy(strict,");
        assert!(line.contains(": Received invalid SSL certificate: "), "{line}");
        assert!(line.contains("(check ssl_client_ca_* settings?)"), "{line}");
        if front.under() == Under::Ours {
            assert!(line.contains("Disconnected by server: Connection closed: Received"), "{line}");
            assert!(line.contains(" (state=/none, duration="), "{line}");
        }
    }
}

#[test]
fn certificates_are_checked() {
    let back = behind(Under::Ours);
    let cert = back.dir().join("cert.pem").display().to_string();
    let port = back.address("imaps").port();
    let users = [
        ("named", format!("proxy=y host=localhost hostip=127.0.0.1 port={port} ssl=yes destuser=user1")),
        (
            "other",
            format!("proxy=y host=elsewhere.example hostip=127.0.0.1 port={port} ssl=yes destuser=user1"),
        ),
    ];
    let config = format!("login_proxy_max_reconnects = 0\nssl_client_ca_file = {cert}");
    for config in [config, format!("login_proxy_max_reconnects = 0\nssl_ca = <{cert}\nssl_require_crl = no")]
    {
        let front = in_front(Under::Ours, &config, &users);
        let (_client, lines) = log_in(&front, "named");
        assert!(lines[0].starts_with("l OK"), "{lines:?} {}", front.log());
        let (_client, lines) = log_in(&front, "other");
        assert!(lines[0].starts_with("l NO [UNAVAILABLE]"), "{lines:?}");
        front.wait_log("SSL certificate doesn't match expected host name elsewhere.example");
    }
}

/// Everything that ends without a login, told in the same words by the original.
#[test]
fn failures_are_told_as_the_original_tells_them() {
    let back = behind(Under::Ours);
    let closed =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let users = [
        ("wrong", to(&back, "imap", "destuser=user1 pass=x")),
        ("nobody", to(&back, "imap", "")),
        ("mech", to(&back, "imap", "destuser=user1 proxy_mech=login")),
        ("src", to(&back, "imap", "destuser=user1 source_ip=127.0.0.77")),
        ("down", format!("proxy=y host=127.0.0.1 port={closed}")),
        ("silent", to(&back, "imaps", "proxy_timeout=1")),
        ("named", format!("proxy=y host=localhost port={} destuser=user1", back.address("imap").port())),
        ("unknown", "proxy=y host=does.not.exist.invalid".to_owned()),
        ("maybe", to(&back, "imap", "destuser=user1").replace("proxy=y", "proxy_maybe=y")),
        ("popwrong", to(&back, "pop3", "destuser=user1 pass=x")),
        ("popdown", format!("proxy=y host=127.0.0.1 port={closed}")),
    ];
    let run = |under: Under| {
        let front = in_front(under, "login_proxy_max_reconnects = 1", &users);
        let mut seen = Vec::new();
        for (user, _) in &users {
            let answer = if user.starts_with("pop") {
                let (mut client, answer) = log_in_pop3(&front, user);
                client.line("QUIT");
                while client.read_line().is_some() {}
                answer
            } else {
                let (client, lines) = log_in(&front, user);
                log_out(client);
                lines.join("|")
            };
            let answer = match answer.split_once(". [") {
                // The host and the time.
                Some((text, _)) if *user == "unknown" => format!("{text}."),
                _ => answer,
            };
            // The last line is about the end.
            let lines = wait_for("the log", || {
                let lines = lines_of(&front, Some(&back), user);
                lines.last().is_some_and(|line| line.contains("Disconnected")).then_some(lines)
            });
            let lines: Vec<String> =
                lines.into_iter().map(|line| line.replace(&closed.to_string(), "CLOSED")).collect();
            seen.push((user.to_string(), answer, lines));
        }
        seen
    };
    let ours = run(Under::Ours);
    assert_eq!(ours[0].1, "l NO [AUTHENTICATIONFAILED] Authentication failed.");
    assert!(
        ours[0].2[0].contains("Login failed as user user1: [AUTHENTICATIONFAILED] Authentication failed.")
    );
    assert_eq!(ours[4].1, "l NO [UNAVAILABLE] Account is temporarily unavailable.");
    if needs(&["dovecot"]) {
        for (ours, theirs) in ours.iter().zip(run(Under::Dovecot)) {
            assert_eq!(ours, &theirs);
        }
    }
}

/// What the original dies of.
#[test]
fn a_broken_passdb_is_told_and_the_client_may_go_on() {
    let front = in_front(
        Under::Ours,
        "",
        &[
            ("nohost", "proxy=y".to_owned()),
            ("mech", "proxy=y host=127.0.0.1 proxy_mech=foo".to_owned()),
            ("hostip", "proxy=y host=some.where hostip=x".to_owned()),
        ],
    );
    fs::write(
        front.dir().join("proxied"),
        format!("loop:{{PLAIN}}pass:::::: proxy=y host=127.0.0.1 port={}\n", front.address("imap").port()),
    )
    .expect("the users");
    let (_client, _) = log_in(&front, "nobody");
    let mut client = front.connect("imap");
    let unavailable = "l NO [UNAVAILABLE] Account is temporarily unavailable.";
    assert_eq!(client.imap("l", "LOGIN loop pass"), [unavailable]);
    front.wait_log("proxy(loop): Proxying loops to itself: user=<loop>");
    assert!(client.imap("l", "LOGIN user1 pass").last().is_some_and(|line| line.starts_with("l OK")));
    let front = in_front(
        Under::Ours,
        "",
        &[
            ("nohost", "proxy=y".to_owned()),
            ("mech", "proxy=y host=127.0.0.1 proxy_mech=foo".to_owned()),
            ("hostip", "proxy=y host=some.where hostip=x".to_owned()),
        ],
    );
    let mut client = front.connect("imap");
    assert_eq!(client.imap("l", "LOGIN nohost pass"), [unavailable]);
    front.wait_log("proxy(nohost): host not given: user=<nohost>");
    assert_eq!(client.imap("l", "LOGIN mech pass"), [unavailable]);
    front.wait_log("proxy(mech): Unsupported SASL mechanism foo: user=<mech>");
    assert!(client.imap("l", "LOGIN hostip pass")[0].starts_with("l NO [UNAVAILABLE] "));
    front.wait_log("Invalid hostip in passdb: x");
}

#[test]
fn a_loop_of_servers_ends() {
    let config = "login_trusted_networks = 127.0.0.0/8\nlogin_proxy_max_reconnects = 0";
    let front = in_front(Under::Ours, config, &[]);
    let port = front.address("imap").port();
    // Always one address on.
    fs::write(
        front.dir().join("proxied"),
        format!(
            "round:{{PLAIN}}pass:::::: proxy=y host=127.0.0.9 port={port} destuser=back\n\
                 back:{{PLAIN}}pass:::::: proxy=y host=127.0.0.1 port={port} destuser=round\n"
        ),
    )
    .expect("the users");
    let (_client, lines) = wait_for("the users", || {
        let (client, lines) = log_in(&front, "round");
        (!lines[0].contains("AUTHENTICATIONFAILED")).then_some((client, lines))
    });
    assert!(lines[0].starts_with("l NO ["), "{lines:?}");
    front.wait_log("TTL reached zero - proxies appear to be looping?");
}

#[test]
fn the_other_server_hears_who_the_client_is() {
    for (front, back) in pairs() {
        let back = behind(back);
        let users = [
            ("one", to(&back, "imap", "destuser=user1")),
            ("two", to(&back, "imap", "destuser=user2 proxy_not_trusted=y")),
        ];
        let front = in_front(front, "login_trusted_networks = 127.0.0.9", &users);
        let mut client = front.connect("imap");
        client.imap("i", "ID (\"name\" \"phone\" \"x-originating-ip\" \"9.9.9.9\")");
        client.imap("l", "LOGIN one pass");
        let line = back.wait_log("Login: user=<user1>");
        assert!(line.contains("rip=127.0.0.1, lip=127.0.0.1"), "an untrusted client is not believed: {line}");
        let (_client, lines) = log_in(&front, "two");
        assert!(lines.last().is_some_and(|line| line.starts_with("l OK")), "{lines:?}");
        let line = back.wait_log("Login: user=<user2>");
        let own = front.wait_log("user=<two>");
        let session = own.split("session=<").nth(1).expect("a session");
        assert!(!line.contains(session), "nothing is told: {line}");
    }
}

#[test]
fn what_a_trusted_proxy_says_goes_on_to_the_next() {
    for (front, back) in pairs() {
        let back = behind(back);
        let users = [
            ("one", to(&back, "imap", "destuser=user1 forward_more=here")),
            ("pop", to(&back, "pop3", "destuser=user2")),
        ];
        let front = in_front(front, "login_trusted_networks = 127.0.0.0/8", &users);
        let mut client = front.connect("imap");
        client.imap(
            "i",
            "ID (\"x-originating-ip\" \"1.2.3.4\" \"x-originating-port\" \"99\" \"x-connected-ip\" \"5.6.7.8\" \
             \"x-connected-port\" \"143\" \"x-session-ext-id\" \"abc123\" \"x-forward-a\" \"b\")",
        );
        let lines = client.imap("l", "LOGIN one pass");
        assert!(lines.last().is_some_and(|line| line.starts_with("l OK")), "{lines:?}");
        let line = back.wait_log("Login: user=<user1>");
        assert!(line.contains("rip=1.2.3.4, lip=5.6.7.8") && line.contains("session=<abc123>"), "{line}");
        let mut client = Client::connect(front.address("pop3"));
        let greeting = client.expect_line();
        assert!(greeting.starts_with("+OK [XCLIENT] "), "{greeting}");
        client.line("XCLIENT ADDR=1.2.3.4 PORT=99 SESSION=def456 TTL=3");
        assert!(client.expect_line().starts_with("+OK"));
        client.line("USER pop");
        client.expect_line();
        client.line("PASS pass");
        assert_eq!(client.expect_line(), "+OK Logged in.");
        let line = back.wait_log("Login: user=<user2>");
        assert!(line.contains("rip=1.2.3.4,") && line.contains("session=<def456>"), "{line}");
    }
}

#[test]
fn networks_of_the_client_and_of_the_proxy() {
    for under in [Under::Ours, Under::Dovecot] {
        if under == Under::Dovecot && !needs(&["dovecot"]) {
            continue;
        }
        let config = "login_trusted_networks = 127.0.0.0/8\n\
                      login_log_format_elements = user=<%u> rip=%r real=%{real_rip}\n\
                      passdb {\n  driver = passwd-file\n  args = username_format=%u @DIR@/nets\n}";
        let mut host = builder(under).config(config).prepare();
        let users = "far:{PLAIN}pass:::::: allow_nets=1.2.3.4\n\
                     near:{PLAIN}pass:::::: allow_real_nets=127.0.0.0/8\n\
                     wrong:{PLAIN}pass:::::: allow_nets=127.0.0.0/8\n\
                     real:{PLAIN}pass:::::: allow_real_nets=1.2.3.4\n";
        fs::write(host.dir().join("nets"), users).expect("the users");
        host.start();
        for (user, expected) in [("far", "OK"), ("near", "OK"), ("wrong", "NO"), ("real", "NO")] {
            let mut client = host.connect("imap");
            client.imap("i", "ID (\"x-originating-ip\" \"1.2.3.4\")");
            let lines = client.imap("l", &format!("LOGIN {user} pass"));
            let answer = lines.last().expect("an answer");
            assert!(answer.starts_with(&format!("l {expected}")), "{user}: {answer}");
        }
        host.wait_log("Login: user=<far>, rip=1.2.3.4, real=127.0.0.1");
    }
}

#[test]
fn forwarded_fields_reach_the_other_servers_passdbs() {
    for (front, back) in pairs() {
        let config = "login_trusted_networks = 127.0.0.0/8\n\
                      passdb {\n  driver = static\n  args = password=pass userdb_mail=maildir:@DIR@/mail/%{passdb:forward_where}\n}\n\
                      userdb {\n  driver = prefetch\n}\n";
        let back = builder(back).config(config).start();
        let front = in_front(front, "", &[("one", to(&back, "imap", "destuser=some forward_where=there"))]);
        let (_client, lines) = log_in(&front, "one");
        assert!(lines.last().is_some_and(|line| line.starts_with("l OK")), "{lines:?} {}", back.log());
    }
}

#[test]
fn a_master_user_goes_on() {
    for (front, back) in pairs() {
        let master = "auth_master_user_separator = *\npassdb {\n  driver = static\n  master = yes\n  args = password=mpass\n}\n";
        let back = builder(back).config("login_trusted_networks = 127.0.0.0/8").config(master).start();
        let fields = to(&back, "imap", "destuser=user1 master=boss pass=mpass");
        let front = in_front(front, "", &[("one", fields)]);
        let (_client, lines) = log_in(&front, "one");
        assert!(lines.last().is_some_and(|line| line.starts_with("l OK")), "{lines:?} {}", back.log());
        let line = front.wait_log("Started proxying");
        assert!(line.contains(" as user user1 (master boss) (0."), "{line}");
        back.wait_log("Login: user=<user1>");
    }
}

#[test]
fn proxy_maybe_and_auth_proxy_self() {
    for front in [Under::Ours, Under::Dovecot] {
        if front == Under::Dovecot && !needs(&["dovecot"]) {
            continue;
        }
        let back = behind(Under::Ours);
        let mut host = builder(front)
            .config("auth_proxy_self = 192.0.2.1\npassdb {\n  driver = passwd-file\n  args = username_format=%u @DIR@/proxied\n}")
            .prepare();
        let (port, there) = (host.address("imap").port(), back.address("imap").port());
        let users = format!(
            "own:{{PLAIN}}pass:::::: proxy_maybe=y host=127.0.0.1 port={port}\n\
             self:{{PLAIN}}pass:::::: proxy_maybe=y host=192.0.2.1\n\
             there:{{PLAIN}}pass:::::: proxy_maybe=y host=127.0.0.1 port={there} destuser=user1\n"
        );
        fs::write(host.dir().join("proxied"), users).expect("the users");
        host.start();
        for user in ["own", "self", "there"] {
            let (_client, lines) = log_in(&host, user);
            assert!(lines.last().is_some_and(|line| line.starts_with("l OK")), "{user}: {lines:?}");
        }
        host.wait_log("Login: user=<own>");
        host.wait_log("Login: user=<self>");
        host.wait_log("proxy(there,");
    }
}

/// A server that says what it is told to, and keeps what it hears.
fn puppet(said: &'static [&'static str]) -> (u16, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a bound port").port();
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut heard = Vec::new();
        for text in said {
            stream.write_all(text.as_bytes()).expect("it listens");
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap_or(0);
            heard.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        heard
    });
    (port, heard)
}

/// `proxy_refresh` has a pipe hear of users for as long as they are there.
#[test]
fn a_pipe_hears_of_users() {
    let back = behind(Under::Ours);
    for under in [Under::Ours, Under::Dovecot] {
        if under == Under::Dovecot && !needs(&["dovecot"]) {
            continue;
        }
        let passdb = "passdb {\n  driver = passwd-file\n  args = username_format=%u @DIR@/proxied\n}\n";
        let config = format!("login_proxy_notify_path = told\n{passdb}");
        let mut front = builder(under).config(&config).prepare();
        let lines = [("one", "destuser=user1 proxy_refresh=1"), ("two", "destuser=user2")]
            .map(|(name, more)| format!("{name}:{{PLAIN}}pass:::::: {}\n", to(&back, "imap", more)));
        fs::write(front.dir().join("proxied"), lines.concat()).expect("the users");
        let (dir, pipe) = (front.dir().join("run/login"), front.dir().join("run/login/told"));
        fs::create_dir_all(&dir).expect("a directory");
        let made = Command::new("mkfifo").args(["-m", "666"]).arg(&pipe).status();
        assert!(made.expect("mkfifo runs").success());
        // For writing as well, so that opening waits for nobody.
        let reader = fs::File::options().read(true).write(true).open(&pipe).expect("a pipe");
        front.start();
        let _two = log_in(&front, "two");
        let one = log_in(&front, "one");
        let mut lines = BufReader::new(reader).lines().map(|line| line.expect("a line"));
        for _ in 0..2 {
            assert_eq!(lines.next().as_deref(), Some("user1"));
        }
        log_out(one.0);
    }
}

#[test]
fn servers_that_misbehave() {
    let long: &'static str = Box::leak("x".repeat(10_000).into_boxed_str());
    let said: Vec<(&'static [&'static str], &str)> = vec![
        (
            &["HTTP/1.1 400 Bad Request\r\n"],
            "Remote server sent invalid input: Invalid banner: HTTP/1.1 400 Bad Request",
        ),
        (&[], "Disconnected by server: Connection closed (state=/none, duration="),
        (Box::leak(Box::new([long])), "Remote server sent invalid input: Too long input line"),
        (
            &["* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n", "S OK go\r\nL OK [CAPABILITY X] evil\r\n"],
            "Remote server sent invalid input: Input before the TLS handshake",
        ),
    ];
    for (said, expected) in said {
        let (port, heard) = puppet(said);
        let security = if expected.contains("TLS") { "starttls=any-cert" } else { "" };
        let fields = format!("proxy=y host=127.0.0.1 port={port} {security}");
        let front = in_front(Under::Ours, "login_proxy_max_reconnects = 0", &[("one", fields)]);
        let (mut client, lines) = log_in(&front, "one");
        assert_eq!(lines, ["l NO [UNAVAILABLE] Account is temporarily unavailable."], "{expected}");
        front.wait_log(expected);
        assert_eq!(client.imap("n", "NOOP"), ["n OK NOOP completed."]);
        drop(front);
        drop(heard.join());
    }
}

#[test]
fn a_server_that_comes_back_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a bound port").port();
    let back = thread::spawn(move || {
        drop(listener.accept().expect("a first try"));
        let (mut stream, _) = listener.accept().expect("a second try");
        stream.write_all(b"* OK [CAPABILITY IMAP4rev1] hi\r\nL OK Logged in\r\n").expect("it listens");
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    let fields = format!("proxy=y host=127.0.0.1 port={port}");
    let front = in_front(Under::Ours, "", &[("one", fields)]);
    let (client, lines) = log_in(&front, "one");
    assert_eq!(lines, ["l OK [CAPABILITY IMAP4rev1] Logged in"]);
    let line = front.wait_log("Started proxying");
    assert!(line.contains(" secs, 1 reconnects): user=<one>"), "{line}");
    client.hang_up();
    front.wait_log("proxy(one,127.0.0.1:");
    front.wait_log("Disconnected by client (0s idle, in=");
    back.join().expect("it ends");
}

/// The original's list repeats its titles for each login process.
#[test]
fn doveadm_lists_and_kicks() {
    let back = behind(Under::Ours);
    let users = [
        ("one", to(&back, "imap", "destuser=user1 user_alias=eins")),
        ("two", to(&back, "imap", "destuser=user2")),
        ("pop", to(&back, "pop3", "destuser=user3")),
    ];
    let front = in_front(Under::Ours, "", &users);
    let (mut one, _) = log_in(&front, "one");
    let (mut two, _) = log_in(&front, "two");
    let (mut pop, _) = log_in_pop3(&front, "pop");
    let port = |listener| back.address(listener).port();
    let listed = front.doveadm(&["-f", "tab", "proxy", "list"]);
    let mut lines: Vec<&str> = listed.lines().collect();
    lines[1..].sort_unstable();
    let expected = [
        "username\tuser_alias\tproto\tsrc ip\tdest ip\tport".to_owned(),
        format!("one\teins\timap\t127.0.0.1\t127.0.0.1\t{}", port("imap")),
        format!("pop\t\tpop3\t127.0.0.1\t127.0.0.1\t{}", port("pop3")),
        format!("two\t\timap\t127.0.0.1\t127.0.0.1\t{}", port("imap")),
    ];
    assert_eq!(lines, expected);
    assert_eq!(front.doveadm(&["proxy", "kick", "-f", "user_alias", "eins"]), "1 connections kicked\n");
    assert_eq!(one.read_line(), None);
    front.wait_log("Disconnected by proxy: Kicked by admin: user=<one>");
    assert_eq!(front.doveadm(&["proxy", "kick", "two", "nobody"]), "1 connections kicked\n");
    assert_eq!(two.read_line(), None);
    assert_eq!(front.doveadm(&["proxy", "kick", "-h", "127.0.0.1"]), "1 connections kicked\n");
    assert_eq!(pop.read_line(), None);
    assert_eq!(front.doveadm(&["proxy", "kick", "two"]), "0 connections kicked\n");
}

#[test]
fn clients_of_a_lost_server_leave_one_after_the_other() {
    let back = behind(Under::Ours);
    let front = in_front(
        Under::Ours,
        "login_proxy_max_disconnect_delay = 2 secs\nservice imap-login {\n  process_limit = 1\n}",
        &[("one", to(&back, "imap", "destuser=user1"))],
    );
    let clients: Vec<Client> = (0..6).map(|_| log_in(&front, "one").0).collect();
    wait_for("six clients", || (front.log().matches("Started proxying").count() == 6).then_some(()));
    let mut back = back;
    back.stop();
    let line = front.wait_log("disconnecting client in ");
    assert!(line.contains(" - disconnecting client in ") && line.contains("ms: user=<one>"), "{line}");
    for mut client in clients {
        while client.read_line().is_some() {}
    }
    wait_for("six lines", || (front.log().matches("Disconnected by server").count() == 6).then_some(()));
}

#[test]
fn a_reload_costs_no_proxied_login() {
    let back = behind(Under::Ours);
    let front = in_front(Under::Ours, "", &[("one", to(&back, "imap", "destuser=user1"))]);
    let (mut before, _) = log_in(&front, "one");
    let mut stranger = front.connect("imap");
    front.doveadm(&["reload"]);
    front.wait_log("SIGHUP received - reloading configuration");
    let lines = wait_for("a login after the reload", || {
        let lines = stranger.imap("l", "LOGIN one pass");
        assert!(!lines[0].starts_with("l NO [SERVERBUG]"), "{lines:?}");
        Some(lines)
    });
    assert!(lines.last().is_some_and(|line| line.starts_with("l OK")), "{lines:?} {}", front.log());
    assert!(before.imap("n", "NOOP")[0].starts_with("n OK"));
    let (_client, lines) = log_in(&front, "one");
    assert!(lines.last().is_some_and(|line| line.starts_with("l OK")), "{lines:?}");
}

#[test]
fn proxied_clients_are_sent_away_when_the_server_stops() {
    let back = behind(Under::Ours);
    let mut front = in_front(Under::Ours, "", &[("one", to(&back, "imap", "destuser=user1"))]);
    let (mut client, _) = log_in(&front, "one");
    front.stop();
    assert_eq!(client.read_line(), None);
    let log = front.log();
    assert!(log.contains("Disconnected by proxy: Process shutting down: user=<one>"), "{log}");
}
