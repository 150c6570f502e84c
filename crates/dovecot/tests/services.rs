//! The settings of `service {}` and its listeners, by what they do to a running server.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;

use harness::{Builder, Client, Host, Under, wait_for};

fn builder() -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
}

fn is_ours() -> bool {
    Under::from_env() == Under::Ours
}

fn count(host: &Host, service: &str, expected: usize) {
    wait_for(&format!("{expected} processes of {service}"), || {
        (host.pids(service).len() == expected).then_some(())
    });
}

/// Waits for a line in which `text` stands.
fn hear(client: &mut Client, text: &str) {
    loop {
        let line = client.read_line().unwrap_or_else(|| panic!("closed before {text:?}"));
        if line.contains(text) {
            return;
        }
    }
}

#[test]
fn a_full_login_service_sends_its_oldest_away() {
    let host = builder()
        .config("service imap-login {\n client_limit = 2\n process_limit = 1\n service_count = 0\n}")
        .start();
    let mut oldest = host.connect("imap");
    let second = host.connect("imap");
    let third = host.connect("imap");
    hear(&mut oldest, "* BYE Connection queue full");
    host.wait_log("service(imap-login): client_limit (2) reached, client connections are being dropped");
    assert_eq!(host.pids("imap-login").len(), 1);
    drop((second, third));
}

#[test]
fn who_comes_to_a_full_mail_service_waits_for_room() {
    let host = builder().config("service imap {\n client_limit = 1\n process_limit = 1\n}").start();
    let mut first = host.login("user1");
    let mut second = host.connect("imap");
    second.send("in LOGIN user2 pass\r\n");
    host.wait_log("service(imap): client_limit");
    first.imap("out", "LOGOUT");
    let lines = second.until_tagged("in");
    assert!(lines.last().is_some_and(|line| line.starts_with("in OK")), "{lines:?}");
}

#[test]
fn a_process_per_connection() {
    let host = builder()
        .config("service imap-login {\n service_count = 1\n process_min_avail = 2\n client_limit = 1\n}")
        .start();
    count(&host, "imap-login", 2);
    let before = host.pids("imap-login");
    let client = host.connect("imap");
    count(&host, "imap-login", 3);
    client.hang_up();
    // The one that served is gone, two wait.
    wait_for("its process ends", || {
        let now = host.pids("imap-login");
        (now.len() == 2 && !before.iter().all(|pid| now.contains(pid))).then_some(())
    });
}

#[test]
fn one_session_per_process_as_in_2_3() {
    let host = builder().config("service imap {\n client_limit = 1\n service_count = 1\n}").start();
    let (one, two) = (host.login("user1"), host.login("user1"));
    wait_for("two processes of the user", || {
        let uids = host.pids("imap").into_iter().filter_map(|pid| fs::metadata(format!("/proc/{pid}")).ok());
        let id = if nix::unistd::geteuid().is_root() {
            harness::host::MAIL_ID
        } else {
            nix::unistd::geteuid().as_raw()
        };
        (uids.filter(|found| found.uid() == id).count() >= 2).then_some(())
    });
    drop((one, two));
}

#[test]
fn idle_processes_go() {
    let host = builder().config("service imap-login {\n idle_kill = 1s\n service_count = 0\n}").start();
    host.connect("imap").hang_up();
    count(&host, "imap-login", 0);
    // And come back.
    drop(host.login("user1"));
}

#[test]
fn the_log_names_a_limit_that_was_too_low() {
    if !is_ours() {
        // Its processes need other amounts.
        return;
    }
    let host = builder().config("service imap {\n vsz_limit = 20M\n}").start();
    let mut client = host.connect("imap");
    client.line("l LOGIN user1 pass");
    host.wait_log(
        "returned error 83 (Out of memory (service imap { vsz_limit=20 MB }, you may need to increase it))",
    );
}

#[test]
fn listeners() {
    let host = builder()
        .config(
            "service pop3-login {\n inet_listener pop3 {\n  port = 0\n }\n}\n\
             service auth {\n unix_listener auth-mine {\n  mode = 0660\n }\n unix_listener auth-userdb {\n  mode = 0\n }\n}",
        )
        .start();
    assert!(TcpStream::connect(host.address("pop3")).is_err(), "port = 0");
    let path = host.dir().join("run/auth-mine");
    let found = fs::metadata(&path).expect("the socket");
    assert!(found.file_type().is_socket() && found.mode() & 0o777 == 0o660, "{:o}", found.mode());
    assert!(!host.dir().join("run/auth-userdb").exists(), "mode = 0");
    let mut socket = UnixStream::connect(&path).expect("somebody listens");
    socket.write_all(b"VERSION\t1\t2\nCPID\t1\n").expect("it can be written to");
    let mut greeting = [0; 12];
    socket.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(&greeting, b"VERSION\t1\t2\n");
}

#[test]
fn the_owner_of_a_socket_and_of_a_process() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let host = builder()
        .config(
            "service auth {\n user = mail\n group = daemon\n extra_groups = games\n\
             unix_listener auth-mine {\n  user = mail\n  group = games\n }\n}",
        )
        .start();
    drop(host.login("user1"));
    let id = |name: &str| nix::unistd::User::from_name(name).expect("users").expect("the user").uid.as_raw();
    let gid =
        |name: &str| nix::unistd::Group::from_name(name).expect("groups").expect("the group").gid.as_raw();
    let found = fs::metadata(host.dir().join("run/auth-mine")).expect("the socket");
    assert_eq!((found.uid(), found.gid()), (id("mail"), gid("games")));
    for pid in host.pids("auth") {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let ids = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()
        };
        assert_eq!((ids("Uid:"), ids("Gid:")), (vec![id("mail"); 4], vec![gid("daemon"); 4]));
        assert!(ids("Groups:").contains(&gid("games")), "{text}");
    }
}

#[test]
fn what_there_is_no_process_for_is_named() {
    if !is_ours() {
        return;
    }
    let host = builder()
        .config("service mine {\n executable = script /bin/true\n unix_listener mine {\n }\n}")
        .start();
    host.wait_log(
        "master: Warning: service(mine) is configured, but it is not supported yet and is not started",
    );
    assert!(!host.dir().join("run/mine").exists(), "nobody would listen");
}

#[test]
fn a_service_that_fails_is_started_less_and_less_often() {
    let host = builder()
        .config(
            "passdb {\n driver = passwd-file\n args = scheme=NOSUCH /tmp/nowhere\n}\nauth_mechanisms = bogus",
        )
        .start();
    for seconds in [2, 4] {
        let line = format!(
            "master: Error: service(auth): command startup failed, throttling for {seconds}.000 secs"
        );
        wait_for(&line, || {
            // Somebody who wants to log in makes it start.
            let _client = TcpStream::connect(host.address("imap")).ok()?;
            host.log().contains(&line).then_some(())
        });
    }
}
