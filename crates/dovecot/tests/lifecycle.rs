//! Starting, reloading, stopping and losing processes, as an administrator sees it.

use std::fs;
use std::process::{Command, Stdio};

use harness::{Builder, Client, Host, Under, needs, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn builder() -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
}

fn is_ours() -> bool {
    Under::from_env() == Under::Ours
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("the process is there");
}

/// Appends a line to the configuration.
fn configure(host: &Host, lines: &str) {
    let text = fs::read_to_string(host.conf()).expect("the configuration") + lines;
    fs::write(host.conf(), text).expect("the configuration");
}

fn noop(client: &mut Client) -> String {
    client.imap("n", "NOOP").pop().expect("an answer")
}

#[test]
fn a_second_start_is_refused() {
    let host = builder().start();
    let output = host.run("dovecot", &[]);
    let pid = host.master_pid();
    let expected = format!(
        "Fatal: Dovecot is already running with PID {pid} (read from {}/run/master.pid)\n",
        host.dir().display()
    );
    assert_eq!((harness::host::stderr(&output), output.status.code()), (expected, Some(89)));
    host.wait_log("master: Fatal: Dovecot is already running with PID ");
}

#[test]
fn a_port_in_use_is_named() {
    let host = builder().prepare();
    let _taken = std::net::TcpListener::bind(host.address("imap")).expect("the port is free");
    let output = host.run("dovecot", &["-F"]);
    let port = host.address("imap").port();
    let expected = format!(
        "Error: service(imap-login): listen(127.0.0.1, {port}) failed: Address already in use\n\
         Fatal: Failed to start listeners\n"
    );
    assert_eq!((harness::host::stderr(&output), output.status.code()), (expected, Some(89)));
    host.wait_log("master: Error: service(imap-login): listen(");
    host.wait_log("master: Fatal: Failed to start listeners");
}

#[test]
fn a_broken_configuration_is_refused_in_2_3s_words() {
    let host = builder().config("bogus_setting = 1").prepare();
    let output = host.run("dovecot", &["-F"]);
    let text = harness::host::stderr(&output);
    let start = format!("doveconf: Fatal: Error in configuration file {} line ", host.conf().display());
    assert!(text.starts_with(&start), "{text}");
    assert!(text.contains(": Unknown setting: bogus_setting\n"), "{text}");
    assert_eq!(output.status.code(), Some(89));
}

/// The password is kept for reloads, and nobody else is told. 2.3.19 does not take it from a standard
/// input that is no terminal.
#[test]
fn the_password_of_the_key_is_asked_for() {
    if !is_ours() || !needs(&["openssl"]) {
        return;
    }
    let mut host = builder().prepare();
    let key = host.dir().join("key.pem");
    let encrypted = host.dir().join("encrypted.pem");
    let made = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-v2", "aes256", "-passout", "pass:open sesame", "-in"])
        .arg(&key)
        .arg("-out")
        .arg(&encrypted)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", harness::host::stderr(&made));
    fs::rename(&encrypted, &key).expect("the key can be replaced");
    host.start_with(&["-p"], "open sesame\n");
    drop(host.connect("imaps"));
    host.doveadm(&["reload"]);
    host.wait_log("master: Warning: SIGHUP received - reloading configuration");
    drop(host.connect("imaps"));
    assert!(!host.doveadm(&["config"]).contains("sesame"));
}

#[test]
fn a_missing_configuration_is_named() {
    let host = builder().prepare();
    fs::remove_file(host.conf()).expect("the configuration is there");
    let output = host.run("dovecot", &["-F"]);
    let expected = format!(
        "Fatal: Error reading configuration: stat({}) failed: No such file or directory\n",
        host.conf().display()
    );
    assert_eq!((harness::host::stderr(&output), output.status.code()), (expected, Some(89)));
}

#[test]
fn it_goes_into_the_background_and_stops() {
    let host = builder().prepare();
    let (status, said) = host.daemonise(&host.conf());
    assert!(status.success(), "{said}");
    let pid_file = host.dir().join("run/master.pid");
    let pid: i32 = wait_for("a pid file", || fs::read_to_string(&pid_file).ok()?.trim().parse().ok());
    wait_for("the server listens", || std::net::TcpStream::connect(host.address("imap")).ok());
    let mut session = host.login("user1");
    host.doveadm(&["stop"]);
    let is_gone = || kill(Pid::from_raw(pid), None).is_err();
    match host.under() {
        Under::Ours => assert!(is_gone(), "doveadm stop waits for the end"),
        // It waits for the end of the pid file, which goes a moment earlier.
        Under::Dovecot => wait_for("the master ends", || is_gone().then_some(())),
    }
    assert!(!pid_file.exists());
    host.wait_log("master: Warning: Killed with signal 15 (by pid=");
    // shutdown_clients = yes.
    let said: Vec<String> = std::iter::from_fn(|| session.read_line()).collect();
    assert!(said.iter().any(|line| line.starts_with("* BYE Server shutting down")), "{said:?}");
}

#[test]
fn sessions_outlive_a_master_with_shutdown_clients_off() {
    let mut host = builder().config("shutdown_clients = no").start();
    let mut session = host.login("user1");
    let children = harness::host::descendants(host.master_pid());
    signal(host.master_pid(), Signal::SIGTERM);
    host.wait_master();
    assert!(noop(&mut session).starts_with("n OK"));
    let lines = session.imap("x", "LOGOUT");
    assert!(lines.last().is_some_and(|line| line.starts_with("x OK")), "{lines:?}");
    drop(session);
    wait_for("all processes end by themselves", || {
        children.iter().all(|pid| kill(Pid::from_raw(*pid), None).is_err()).then_some(())
    });
}

#[test]
fn a_reload_keeps_sessions_and_brings_new_settings() {
    let host = builder().config("login_greeting = old").start();
    let mut session = host.login("user1");
    let mut stranger = host.connect("imap");
    configure(&host, "login_greeting = new\n");
    host.doveadm(&["reload"]);
    host.wait_log("master: Warning: SIGHUP received - reloading configuration");
    wait_for("a new greeting", || {
        let mut client = Client::connect(host.address("imap"));
        client.expect_line().ends_with("] new").then_some(())
    });
    assert!(noop(&mut session).starts_with("n OK"));
    assert!(noop(&mut stranger).starts_with("n OK"));
    if !is_ours() {
        // 2.3 gives this login up: "Auth server restarted (pid …), aborting auth".
        return;
    }
    let lines = stranger.imap("l", "LOGIN user2 pass");
    assert!(lines.last().is_some_and(|line| line.starts_with("l OK")), "{lines:?}");
}

#[test]
fn a_reload_adds_and_removes_listeners() {
    let host = builder().start();
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    configure(
        &host,
        &format!(
            "service imap-login {{\n  inet_listener more {{\n    port = {port}\n  }}\n}}\nprotocols = imap\n"
        ),
    );
    signal(host.master_pid(), Signal::SIGHUP);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    wait_for("the new port answers", || std::net::TcpStream::connect(address).ok());
    let greeting = Client::connect(address).expect_line();
    assert!(greeting.starts_with("* OK"), "{greeting}");
    wait_for("the old port is closed", || {
        std::net::TcpStream::connect(host.address("pop3")).is_err().then_some(())
    });
}

/// Better than 2.3, which loses its sessions and refuses logins then.
#[test]
fn a_reload_with_a_broken_configuration_changes_nothing() {
    if !is_ours() {
        return;
    }
    let host = builder().start();
    let mut session = host.login("user1");
    let good = fs::read_to_string(host.conf()).expect("the configuration");
    configure(&host, "bogus_setting = 1\n");
    let output = host.run("doveadm", &["reload"]);
    assert_eq!(output.status.code(), Some(89));
    signal(host.master_pid(), Signal::SIGHUP);
    host.wait_log("Unknown setting: bogus_setting");
    host.wait_log("the old settings stay in force");
    assert!(noop(&mut session).starts_with("n OK"));
    drop(host.login("user2"));
    fs::write(host.conf(), good).expect("the configuration");
    signal(host.master_pid(), Signal::SIGHUP);
    drop(host.login("user3"));
    assert!(noop(&mut session).starts_with("n OK"));
}

#[test]
fn logs_are_reopened() {
    let host = builder().start();
    drop(host.login("user1"));
    host.wait_log("Login: user=<user1>");
    fs::rename(host.dir().join("log"), host.dir().join("log.1")).expect("the log can be moved");
    host.doveadm(&["log", "reopen"]);
    wait_for("a new log file", || host.dir().join("log").exists().then_some(()));
    drop(host.login("user2"));
    host.wait_log("Login: user=<user2>");
    assert!(!host.log().contains("user1>,"));
}

/// Every process is killed in turn; service goes on or resumes.
#[test]
fn any_process_may_be_killed() {
    let host = builder().start();
    drop(host.login("user1"));
    let services: &[&str] = match is_ours() {
        true => &["anvil", "log", "config", "auth", "imap-login", "imap"],
        // 2.3 logs nothing more after the death of `log`, and forgets logins with that of `anvil`.
        false => &["config", "auth"],
    };
    for service in services {
        let mut session = host.login("user1");
        let pids = host.pids(service);
        assert!(!pids.is_empty(), "no process of {service}");
        pids.iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
        wait_for(&format!("{service} is noticed to be dead"), || {
            pids.iter().all(|pid| !host.pids(service).contains(pid)).then_some(())
        });
        wait_for(&format!("logins after the death of {service}"), || try_login(&host, "user2"));
        // Sessions die with their own process only.
        if *service != "imap" && *service != "imap-login" {
            assert!(noop(&mut session).starts_with("n OK"), "{service}");
        }
    }
    let died = |service: &str| format!("service({service}): child ");
    for service in services.iter().filter(|service| **service != "log") {
        host.wait_log(&died(service));
    }
}

#[test]
fn a_crash_is_logged_with_its_signal() {
    let host = builder().start();
    drop(host.login("user1"));
    for (crash, line) in
        [(Signal::SIGSEGV, "killed with signal 11"), (Signal::SIGABRT, "killed with signal 6")]
    {
        let pids = wait_for("an auth process", || Some(host.pids("auth")).filter(|pids| !pids.is_empty()));
        pids.iter().for_each(|pid| signal(*pid, crash));
        let found = host.wait_log(line);
        assert!(found.contains("auth: Fatal: master: service(auth): child "), "{found}");
        assert!(found.contains("https://dovecot.org/bugreport.html#coredumps"), "{found}");
        wait_for("logins", || try_login(&host, "user1"));
    }
}

/// A message that was acknowledged is there after the imap processes were killed.
#[test]
fn a_killed_session_loses_nothing_that_was_acknowledged() {
    let host = builder().start();
    for round in 1..=5 {
        let mut session = host.login("user1");
        let text = format!("Subject: {round}\r\n\r\nbody\r\n");
        session.send(format!("a APPEND INBOX {{{}+}}\r\n{text}\r\n", text.len()));
        let lines = session.until_tagged("a");
        assert!(lines.last().is_some_and(|line| line.starts_with("a OK")), "{lines:?}");
        host.pids("imap").iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
        let count = wait_for("a login", || {
            try_login(&host, "user1")?;
            let mut session = host.login("user1");
            session.imap("s", "SELECT INBOX").into_iter().find(|line| line.ends_with(" EXISTS"))
        });
        assert_eq!(count, format!("* {round} EXISTS"));
    }
}

fn try_login(host: &Host, user: &str) -> Option<()> {
    let mut client = Client::over(std::net::TcpStream::connect(host.address("imap")).ok()?);
    client.read_line()?;
    client.try_send(format!("l LOGIN {user} pass\r\n").as_bytes()).ok()?;
    loop {
        let line = client.read_line()?;
        if line.starts_with("l ") {
            return line.starts_with("l OK").then_some(());
        }
    }
}

#[test]
fn two_instances_side_by_side() {
    let first = builder().start();
    let second = builder().config("instance_name = dovecot-two").user("only2", "pass").start();
    drop(first.login("user1"));
    drop(second.login("only2"));
    let mut client = first.connect("imap");
    let refused = client.imap("l", "LOGIN only2 pass");
    assert!(refused.last().is_some_and(|line| line.starts_with("l NO")), "{refused:?}");
    let list = second.doveadm(&["instance", "list"]);
    assert!(list.contains("dovecot-two"), "{list}");
    let titles = Command::new("ps").args(["-eo", "args"]).stdin(Stdio::null()).output().expect("ps runs");
    let titles = String::from_utf8_lossy(&titles.stdout).into_owned();
    assert!(titles.lines().any(|line| line.starts_with("dovecot-two/anvil")), "{titles}");
}

#[test]
fn one_instance_uses_the_others_auth() {
    let first = builder().user("shared", "pass").start();
    let run = first.dir().join("run");
    // Login processes are chrooted, so the socket has to be theirs: 2.3's way is a link.
    let second = builder()
        .without_users()
        .config(&format!("auth_socket_path = {}/auth-userdb", run.display()))
        .config("passdb {\n  driver = static\n  args = password=other\n}")
        .start();
    let mail = second.run("doveadm", &["user", "shared"]);
    let text = String::from_utf8_lossy(&mail.stdout).into_owned();
    assert!(text.contains(&format!("{}/mail/shared", first.dir().display())), "{text}");
}

#[test]
fn a_stopped_service_comes_back_with_a_reload() {
    let host = builder().start();
    host.doveadm(&["service", "stop", "imap-login"]);
    wait_for("connections are refused", || {
        std::net::TcpStream::connect(host.address("imap")).is_err().then_some(())
    });
    host.doveadm(&["reload"]);
    wait_for("connections are welcome", || std::net::TcpStream::connect(host.address("imap")).ok());
    drop(host.login("user1"));
}
