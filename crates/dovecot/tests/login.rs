//! What strangers meet before they are logged in, over real sockets: TLS and its settings, networks,
//! proxies, limits, log lines, and hostile input.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;

use harness::{Builder, Client, Host, Under, cert, free_port, wait_for};

fn builder() -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .config("listen = 127.0.0.1, 127.0.0.9\nauth_failure_delay = 0\nauth_verbose = yes")
        .config("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
}

fn is_ours() -> bool {
    Under::from_env() == Under::Ours
}

/// Logs in on a connection that has read its greeting; gives the tagged answer.
fn login(client: &mut Client, user: &str) -> String {
    client.imap("l", &format!("LOGIN {user} pass")).pop().expect("an answer")
}

/// A connection whose two ends have different addresses, so that it does not count as local.
fn from_elsewhere(to: SocketAddr) -> Client {
    let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 9], to.port())));
    let greeting = client.expect_line();
    assert!(greeting.starts_with(['*', '+']), "greeting: {greeting}");
    client
}

#[test]
fn plaintext_needs_tls_unless_it_is_local() {
    let host = builder().start();
    let mut client = from_elsewhere(host.address("imap"));
    let answer = login(&mut client, "user1");
    assert!(answer.starts_with("l NO [PRIVACYREQUIRED] "), "{answer}");
    let answer = client.imap("t", "STARTTLS").pop().expect("an answer");
    assert!(answer.starts_with("t OK"), "{answer}");
    client.start_tls("localhost");
    let answer = login(&mut client, "user1");
    assert!(answer.starts_with("l OK"), "{answer}");
    let line = host.wait_log("Login: user=<user1>");
    assert!(
        line.contains(", rip=127.0.0.1, lip=127.0.0.9, mpid=") && line.contains(", TLS, session=<"),
        "{line}"
    );
    let mut client = from_elsewhere(host.address("pop3"));
    client.line("USER user1");
    assert!(client.expect_line().starts_with("-ERR [AUTH] "));
    // TLS is proxied after the login: the session goes on over it.
    let mut client = host.connect("imaps");
    assert!(login(&mut client, "user2").starts_with("l OK"));
    let big = "x".repeat(300_000);
    client.send(format!("a APPEND INBOX {{{}+}}\r\nSubject: s\r\n\r\n{big}\r\n", big.len() + 14));
    let answer = client.until_tagged("a").pop().expect("an answer");
    assert!(answer.starts_with("a OK"), "{answer}");
    client.imap("s", "SELECT INBOX");
    let fetched = client.imap("f", "FETCH 1 BODY[]");
    assert!(fetched.iter().any(|line| line.contains(&big)), "the whole message comes back");
}

#[test]
fn a_command_behind_starttls_is_not_taken_for_encrypted() {
    let host = builder().start();
    let mut client = host.connect("imap");
    client.send("t STARTTLS\r\nx LOGIN user1 pass\r\n");
    let answer = client.expect_line();
    assert!(answer.starts_with("t OK"), "{answer}");
    assert_eq!(client.read_line().filter(|line| line.starts_with("x ")), None);
    let mut client = host.connect("pop3");
    client.send("STLS\r\nUSER user1\r\nPASS pass\r\n");
    assert!(client.expect_line().starts_with("+OK"));
    assert_eq!(client.read_line().filter(|line| line.starts_with("+OK")), None);
    assert!(!host.log().contains("Login: user="), "{}", host.log());
}

#[test]
fn ssl_off_and_required() {
    let host = builder().config("ssl = no").start();
    let mut client = host.connect("imap");
    let lines = client.imap("c", "CAPABILITY");
    assert!(!lines.concat().contains("STARTTLS"), "{lines:?}");
    assert!(client.imap("t", "STARTTLS").concat().contains("t BAD"));
    let host = builder().config("ssl = required").start();
    // What comes from the machine itself counts as secured.
    let mut client = host.connect("imap");
    assert!(login(&mut client, "user1").starts_with("l OK"));
    let mut client = from_elsewhere(host.address("imap"));
    assert!(login(&mut client, "user1").starts_with("l NO [PRIVACYREQUIRED] "));
}

#[test]
fn trusted_networks_may_say_who_the_client_is() {
    let host = builder().config("login_trusted_networks = 127.0.0.0/8").start();
    let mut client = from_elsewhere(host.address("imap"));
    let lines = client.imap(
        "i",
        "ID (\"x-originating-ip\" \"1.2.3.4\" \"x-originating-port\" \"99\" \"x-connected-ip\" \"5.6.7.8\" \
         \"x-session-id\" \"abc123\")",
    );
    assert!(lines.last().is_some_and(|line| line.starts_with("i OK")), "{lines:?}");
    assert!(login(&mut client, "user1").starts_with("l OK"), "a trusted network is secured");
    let line = host.wait_log("Login: user=<user1>");
    assert!(line.contains("rip=1.2.3.4, lip=5.6.7.8") && line.contains("session=<abc123>"), "{line}");
    // Others are not believed.
    let host = builder().start();
    let mut client = host.connect("imap");
    client.imap("i", "ID (\"x-originating-ip\" \"1.2.3.4\" \"x-session-id\" \"abc123\")");
    assert!(login(&mut client, "user1").starts_with("l OK"));
    let line = host.wait_log("Login: user=<user1>");
    assert!(line.contains("rip=127.0.0.1") && !line.contains("abc123"), "{line}");
}

#[test]
fn proxies_say_who_the_client_is() {
    let port = free_port();
    let listener = format!(
        "haproxy_trusted_networks = 127.0.0.1\nhaproxy_timeout = 1 secs\n\
         service imap-login {{\n  inet_listener ha {{\n    port = {port}\n    haproxy = yes\n  }}\n}}"
    );
    let host = builder().config(&listener).config("disable_plaintext_auth = no").start();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let v2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 143]].concat();
    for (header, addresses) in [
        (&b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 143\r\n"[..], "rip=1.2.3.4, lip=5.6.7.8"),
        (b"PROXY TCP6 2001:db8::1 ::1 1111 143\r\n", "rip=2001:db8::1, lip=::1"),
        (&v2, "rip=9.8.7.6, lip=5.4.3.2"),
    ] {
        let mut client = Client::connect(address);
        client.send(header);
        assert!(client.expect_line().starts_with("* OK"));
        assert!(login(&mut client, "user1").starts_with("l OK"));
        host.wait_log(&format!("Login: user=<user1>, method=PLAIN, {addresses}, "));
    }
    for (header, complaint) in [
        (
            &b"GARBAGE\r\n"[..],
            "haproxy: Client disconnected: Failed to read valid HAproxy data (rip=127.0.0.1)",
        ),
        (b"", "haproxy: Client timed out (rip=127.0.0.1)"),
    ] {
        let mut client = Client::connect(address);
        client.send(header);
        assert_eq!(client.read_line(), None);
        host.wait_log(complaint);
    }
}

#[test]
fn certificates_by_name_and_renewed() {
    let host = builder().config(
        "local_name other.example {\n  ssl_cert = <@DIR@/other/cert.pem\n  ssl_key = <@DIR@/other/key.pem\n}",
    );
    let mut host = host.prepare();
    let other = host.dir().join("other");
    fs::create_dir(&other).expect("a directory");
    cert::write(&other, &["other.example"]).expect("a certificate");
    host.start();
    let shown = |name: &str| certificate(host.address("imaps"), name);
    let own = cert::der(&host.dir().join("cert.pem"));
    assert_eq!(shown("localhost"), own);
    assert_eq!(shown("other.example"), cert::der(&other.join("cert.pem")));
    assert_eq!(shown("OTHER.example"), cert::der(&other.join("cert.pem")));
    cert::write(host.dir(), &["localhost"]).expect("a certificate");
    let renewed = cert::der(&host.dir().join("cert.pem"));
    assert_ne!(own, renewed);
    // Real Dovecot wants to be told.
    if !is_ours() {
        host.doveadm(&["reload"]);
    }
    wait_for("the renewed certificate", || (shown("localhost") == renewed).then_some(()));
}

fn certificate(address: SocketAddr, name: &str) -> Vec<u8> {
    // The server is waited for at another port, which may be open a moment earlier.
    let stream = wait_for("the port is open", || TcpStream::connect(address).ok());
    let mut client = Client::over(stream);
    client.start_tls(name);
    assert!(client.expect_line().starts_with("* OK"));
    client.certificate()
}

#[test]
fn sessions_of_a_user_are_limited() {
    let host = builder().config("mail_max_userip_connections = 2").start();
    let _sessions = [host.login("user1"), host.login("user1")];
    let text = "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=2)";
    let answer = login(&mut host.connect("imap"), "user1");
    assert_eq!(answer, format!("l NO [LIMIT] {text}"));
    host.wait_log(&format!("Disconnected: {text}: user=<user1>"));
    drop(host.login("user2"));
}

#[test]
fn one_process_for_each_connection() {
    let host = builder().config("service imap-login {\n  service_count = 1\n  client_limit = 1\n}").start();
    let mut clients: Vec<Client> = (0..3).map(|_| host.connect("imap")).collect();
    assert!(host.pids("imap-login").len() >= 3, "{:?}", host.pids("imap-login"));
    for client in &mut clients {
        assert!(login(client, "user1").starts_with("l OK"));
    }
    // Plain connections leave their login processes behind.
    drop(clients);
    wait_for("login processes end", || (host.pids("imap-login").len() <= 1).then_some(()));
}

#[test]
fn the_oldest_stranger_makes_room() {
    let limits = "service imap-login {\n  service_count = 0\n  client_limit = 3\n  process_limit = 1\n}";
    let host = builder().config(limits).start();
    let mut first = host.connect("imap");
    let mut others: Vec<Client> = (0..4).map(|_| host.connect("imap")).collect();
    let line = first.read_line();
    assert!(line.as_deref().is_none_or(|line| line.starts_with("* BYE ")), "{line:?}");
    host.wait_log("Disconnected: Connection queue full");
    assert!(login(others.last_mut().expect("a client"), "user1").starts_with("l OK"));
}

#[test]
fn log_lines_as_the_administrator_wants_them() {
    let host = builder()
        .config("login_log_format = %s says %$")
        .config(
            "login_log_format_elements = \"u=<%u> m=%m r=%r/%{rport} l=%l %c s=<%{session}> p=%{mail_pid}\"",
        )
        .start();
    drop(host.login("user1"));
    let line = host.wait_log("says Login");
    let line = line.split("imap-login: ").nth(1).expect("the login process says it").to_owned();
    assert!(line.starts_with("Info: u=<user1>, m=PLAIN, r=127.0.0.1/"), "{line}");
    assert!(line.contains(", l=127.0.0.1, secured, s=<") && line.ends_with(" says Login"), "{line}");
}

/// Nothing that strangers send ends a login process or lets it grow without bound.
#[test]
fn hostile_input() {
    let host = builder().start();
    drop(host.connect("imap"));
    let pids = host.pids("imap-login");
    let long = vec![b'x'; 2_000_000];
    let deep = [b"a LOGIN ".as_slice(), &[b'('; 100_000], b"\r\n"].concat();
    let literals = b"a LOGIN {4294967295}\r\n".repeat(1000);
    let random: Vec<u8> = (0..500_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let commands = b"a NOOP\r\nb CAPABILITY\r\nc ID NIL\r\n".repeat(20_000);
    for listener in ["imap", "pop3", "imaps", "pop3s"] {
        for bytes in
            [&long[..], &deep, &literals, &random, &commands, b"\0\0\0\0\r\n", b"\x16\x03\x01\xff\xff"]
        {
            let mut client = Client::connect(host.address(listener));
            // It may be cut off at any point; what matters is that the server lives.
            let _ = client.try_send(bytes);
            client.hang_up();
        }
    }
    // Byte by byte works as well as at once.
    let mut client = host.connect("imap");
    b"l LOGIN {5+}\r\nuser1 \"pass\"\r\n".iter().for_each(|byte| client.send([*byte]));
    assert!(client.until_tagged("l").concat().contains("l OK"));
    // Many at once, which say nothing.
    let crowd: Vec<TcpStream> =
        (0..600).filter_map(|_| TcpStream::connect(host.address("imap")).ok()).collect();
    drop(host.login("user2"));
    drop(crowd);
    drop(host.login("user3"));
    assert!(!host.log().contains("panic"), "{}", host.log());
    assert!(!host.log().contains("killed with signal"), "{}", host.log());
    if is_ours() {
        assert!(pids.iter().all(|pid| host.pids("imap-login").contains(pid)), "the same processes live");
        for pid in pids {
            let size = resident_kib(pid);
            assert!(size < 150_000, "imap-login {pid} has grown to {size} KiB");
        }
    }
}

fn resident_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a number")
}

/// A live login process is inside its walls: no right is left, the root is a directory of sockets.
#[test]
fn a_login_process_is_walled_in() {
    if !is_ours() || !nix::unistd::geteuid().is_root() {
        return;
    }
    let host: Host = builder().start();
    drop(host.connect("imap"));
    for pid in [host.pids("imap-login"), host.pids("pop3-login")].concat() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
        let field = |name: &str| {
            let line =
                status.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).expect("a value")
        };
        assert_eq!(field("Seccomp"), "2", "a filter is on");
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!(field("CapEff"), "0000000000000000");
        assert_eq!(field("CapPrm"), "0000000000000000");
        assert!(!field("Uid").split_whitespace().any(|uid| uid == "0"), "{}", field("Uid"));
        let root = fs::read_link(format!("/proc/{pid}/root")).expect("the root can be read");
        assert_eq!(root, host.dir().join("run/login"));
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).expect("the descriptors can be read") {
            let target = fs::read_link(entry.expect("a descriptor").path()).unwrap_or_default();
            let target = target.display().to_string();
            let is_file =
                target.starts_with('/') && !target.starts_with("/dev/null") && !target.starts_with("/memfd:");
            assert!(!is_file, "imap-login {pid} has {target} open");
        }
    }
    let mode = fs::metadata(host.dir().join("run/login")).expect("the directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o750);
}
