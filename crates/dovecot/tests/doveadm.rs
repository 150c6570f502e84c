//! `doveadm` beside a running server, and without one: texts and exit statuses, which are the same
//! with the original.

use std::process::Output;

use harness::{Builder, Host, Under, wait_for};

fn builder() -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
}

/// Standard output, what is complained of, and the exit status, with the host's directory as `DIR`.
fn said(host: &Host, line: &str) -> (String, String, i32) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Output { status, stdout, stderr } = host.run("doveadm", &words);
    let dir = host.dir().display().to_string();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&dir, "DIR");
    (text(&stdout), text(&stderr), status.code().unwrap_or(-1))
}

#[track_caller]
fn check(host: &Host, line: &str, out: &str, err: &str, status: i32) {
    assert_eq!(said(host, line), (out.to_owned(), err.to_owned(), status), "doveadm {line}");
}

#[test]
fn without_a_server() {
    let host = builder().prepare();
    std::fs::create_dir(host.dir().join("run")).unwrap();
    let connect = |name: &str| format!("net_connect_unix(DIR/run/{name}) failed: No such file or directory");
    for line in ["who", "kick user1", "penalty"] {
        let (out, err, status) = said(&host, line);
        assert_eq!((out.as_str(), status), ("", 75), "{line}: {err}");
        assert!(err.ends_with(&format!("Fatal: {}\n", connect("anvil"))), "{line}: {err}");
    }
    for line in ["stop", "reload"] {
        let (_, err, status) = said(&host, line);
        assert!(
            err.ends_with("Fatal: Dovecot is not running (read from DIR/run/master.pid)\n"),
            "{line}: {err}"
        );
        assert_eq!(status, 75, "{line}");
    }
    let (_, err, status) = said(&host, "user user1");
    assert!(err.contains("connect(DIR/run/auth-userdb) failed: No such file or directory\n"), "{err}");
    assert_eq!(status, 75);
    let (_, _, status) = said(&host, "auth test user1 pass");
    assert_eq!(status, 77);
}

#[test]
fn wrong_command_lines() {
    let host = builder().prepare();
    for (line, err, status) in [
        ("who -z", "who: invalid option -- 'z'\n", 64),
        (
            "user",
            "doveadm user [-a <userdb socket path>] [-x <auth info>] [-f field] [-e <value>] [-u] <user mask> [<user mask> [...]]\n",
            64,
        ),
        ("-f bogus who", "doveadm: Fatal: Unknown print formatter: bogus\n", 75),
        ("-o bogus who", "Fatal: Error reading configuration: Invalid -o parameter bogus: Missing '='\n", 75),
        ("auth test -x rip=z u p", "Fatal: rip: Invalid ip\n", 75),
        ("pw -s nosuch -p x", "Fatal: Unknown scheme: NOSUCH\n", 75),
        ("pw -t x -p x", "Fatal: Missing {scheme} prefix from hash\n", 75),
    ] {
        check(&host, line, "", err, status);
    }
    let (_, err, status) = said(&host, "log bogus");
    assert!(err.starts_with("usage: doveadm [-Dv] [-f <formatter>] log <command> [<args>]\n"), "{err}");
    assert_eq!(status, 64);
}

#[test]
fn users_and_passwords() {
    let host = builder().start();
    let fields = host.doveadm(&["user", "user1"]);
    assert!(fields.starts_with("field\tvalue\nuid\t"), "{fields}");
    let home = host.doveadm(&["user", "-f", "home", "user1", "user2"]);
    let mail = host.dir().join("mail").display().to_string();
    assert_eq!(home, format!("{mail}/user1\n\n{mail}/user2\n"));
    check(
        &host,
        "user -e %{if;%u;eq;user1;%U{user};no}:%n:%{sha1:user} user1",
        "USER1:user1:b3daa77b4c04a9551b8781d03191fe098f325e67\n",
        "",
        0,
    );
    let (out, err, status) = said(&host, "auth test user1 bad");
    assert!(out.starts_with("passdb: user1 auth failed\nextra fields:\n  user=user1\n"), "{out}{err}");
    assert_eq!(status, 77);
    let (out, _, status) = said(&host, "auth test user1 pass");
    assert!(out.starts_with("passdb: user1 auth succeeded\nextra fields:\n  user=user1\n"), "{out}");
    assert_eq!(status, 0);
    let (out, _, status) = said(&host, "auth login user1 pass");
    assert!(
        out.contains("userdb extra fields:\n  user1\n") && out.contains("\n  auth_mech=PLAIN\n"),
        "{out}"
    );
    assert_eq!(status, 0);
    let (out, _, status) = said(&host, "auth lookup user1");
    assert!(out.starts_with("passdb: user1\n  user      : user1\n"), "{out}");
    assert_eq!(status, 0);
    check(&host, "auth lookup nosuch", "passdb lookup: user nosuch doesn't exist\n", "", 67);
    check(&host, "auth cache flush", "0 cache entries flushed\n", "", 0);
}

#[test]
fn sessions_are_seen_and_kicked() {
    let host = builder().start();
    let mut first = host.login("user1");
    let _second = host.login("user2");
    let who = wait_for("both sessions", || {
        let text = host.doveadm(&["-f", "tab", "who"]);
        (text.lines().count() == 3).then_some(text)
    });
    let mut rows: Vec<&str> = who.lines().collect();
    assert_eq!(rows.remove(0), "username\t#\tproto\t(pids)\t(ips)");
    rows.sort_unstable();
    assert!(rows[0].starts_with("user1\t1\timap\t(") && rows[0].ends_with(")\t(127.0.0.1)"), "{who}");
    let one = host.doveadm(&["-f", "flow", "who", "user2"]);
    assert!(one.starts_with("username=user2 #=1 proto=imap (pids)=("), "{one}");
    check(&host, "who nosuch", "username # proto (pids) (ips)                         \n", "", 0);
    let (out, _, status) = said(&host, "kick nosuch");
    assert_eq!((out.as_str(), status), ("no users kicked\n", 68));
    let kicked = host.doveadm(&["kick", "user1"]);
    assert!(kicked.contains("user1"), "{kicked}");
    let end: Vec<String> = std::iter::from_fn(|| first.read_line()).collect();
    assert!(end.iter().any(|line| line.starts_with("* BYE")), "{end:?}");
    wait_for("the session is gone", || {
        (host.doveadm(&["-f", "tab", "who"]).lines().count() == 2).then_some(())
    });
}

#[test]
fn logs_processes_and_services() {
    let host = builder().start();
    let log = "DIR/log";
    let (_, err, status) = said(&host, "log find");
    assert_eq!(status, 0, "{err}");
    let (out, ..) = said(&host, "log find");
    let found = format!("Debug: {log}\nInfo: {log}\nWarning: {log}\nError: {log}\nFatal: {log}\n");
    assert!(out.ends_with(&found) || err.ends_with(&found), "{out}{err}");
    check(&host, "service status nosuch", "", "", 0);
    let status = host.doveadm(&["-f", "tab", "service", "status", "imap"]);
    assert!(
        status.starts_with("name\tprocess_count\tprocess_avail\tprocess_limit\tclient_limit\t"),
        "{status}"
    );
    let processes = host.doveadm(&["-f", "tab", "process", "status"]);
    for name in ["anvil", "config", "log"] {
        assert!(processes.lines().any(|line| line.starts_with(&format!("{name}\t"))), "{processes}");
    }
    std::fs::rename(host.dir().join("log"), host.dir().join("log.1")).unwrap();
    host.doveadm(&["log", "reopen"]);
    wait_for("a new log", || host.dir().join("log").exists().then_some(()));
    let (_, err, status) = said(&host, "service stop nosuch");
    assert!(status != 0, "{err}");
}

#[test]
fn hashes_are_made_and_checked() {
    let host = builder().prepare();
    for scheme in [
        "PLAIN",
        "CRYPT",
        "SHA512-CRYPT",
        "SHA256-CRYPT",
        "BLF-CRYPT",
        "SSHA",
        "SSHA256",
        "SSHA512",
        "PBKDF2",
    ] {
        for suffix in ["", ".b64", ".base64", ".hex"] {
            let scheme = format!("{scheme}{suffix}");
            let hash = host.doveadm(&["pw", "-s", &scheme, "-p", "pa ss"]);
            let hash = hash.trim_end();
            assert!(hash.starts_with(&format!("{{{}}}", scheme.to_uppercase())), "{hash}");
            let checked = host.doveadm(&["pw", "-t", hash, "-p", "pa ss"]);
            assert!(checked.ends_with(" (verified)\n"), "{checked}");
            let output = host.run("doveadm", &["pw", "-t", hash, "-p", "other"]);
            assert_eq!(output.status.code(), Some(75), "{hash}");
        }
    }
    let listed = host.doveadm(&["pw", "-l"]);
    assert!(listed.starts_with("SHA1 SSHA512 ") && listed.contains(" ARGON2ID "), "{listed}");
}

#[test]
fn the_configuration_is_shown() {
    let host = builder().prepare();
    check(&host, "config -h instance_name", "dovecot\n", "", 0);
    check(&host, "config protocols", "protocols = imap pop3\n", "", 0);
    let unknown = said(&host, "replicator status");
    if host.under() == Under::Ours {
        assert_eq!(
            unknown,
            (String::new(), "Fatal: Command 'replicator status' is not supported yet\n".to_owned(), 75)
        );
    }
}
