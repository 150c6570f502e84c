//! Post-login scripts: what they are told, what they may change, and what becomes of those who do not
//! pass them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::needs::needs;
use harness::{Builder, Client, Host, Under, wait_for};

const SERVICES: &str = "\
service imap {
  executable = imap imap-postlogin
}
service pop3 {
  executable = pop3 pop3-postlogin
}
service imap-postlogin {
  executable = script-login@FLAG@ @DIR@/script imap
  unix_listener imap-postlogin {
    user = @ME@
  }
}
service pop3-postlogin {
  executable = script-login@FLAG@ @DIR@/script pop3
  unix_listener pop3-postlogin {
    user = @ME@
  }
}
";

const SCRIPT: &str = r#"#!/bin/sh
service=$1
shift
{ echo "service=$service"; id -u; env; } > "@DIR@/seen.$USER"
case "$USER" in
  denied) exit 0 ;;
  failed) exit 7 ;;
  told) printf '* BYE Pay your bills\r\n'; exit 0 ;;
  moved) MAIL=maildir:@DIR@/mail/elsewhere; export MAIL
         USERDB_KEYS="$USERDB_KEYS mail"; export USERDB_KEYS ;;
  renamed) USER=user2; export USER
           HOME=@DIR@/mail/user2; export HOME ;;
esac
exec "$@"
"#;

fn under() -> Vec<Under> {
    let theirs = needs(&["dovecot"]).then_some(Under::Dovecot);
    [Some(Under::Ours), theirs].into_iter().flatten().collect()
}

fn start(under: Under, flag: &str, more: &str) -> Host {
    let mut builder = Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .under(under)
        .config(&SERVICES.replace("@FLAG@", flag))
        .config(more);
    for user in ["denied", "failed", "told", "moved", "renamed"] {
        builder = builder.user(user, "pass");
    }
    let mut host = builder.prepare();
    let dir = host.dir().display().to_string();
    let script = host.dir().join("script");
    fs::write(&script, SCRIPT.replace("@DIR@", &dir)).expect("the script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its permissions");
    fs::set_permissions(host.dir(), fs::Permissions::from_mode(0o777)).expect("the directory's permissions");
    host.start();
    host
}

fn log_in(host: &Host, listener: &str, user: &str) -> (Client, Vec<String>) {
    let mut client = host.connect(listener);
    client.line(&format!("l LOGIN {user} pass"));
    let mut lines = Vec::new();
    while let Some(line) = client.read_line() {
        let is_last = line.starts_with("l ");
        lines.push(line);
        if is_last {
            break;
        }
    }
    (client, lines)
}

fn is_in(lines: &[String]) -> bool {
    lines.last().is_some_and(|line| line.starts_with("l OK"))
}

fn seen(host: &Host, user: &str) -> Vec<String> {
    let path = host.dir().join(format!("seen.{user}"));
    let text =
        wait_for("the script", || fs::read_to_string(&path).ok().filter(|text| text.contains("USER=")));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_script_sees_who_has_logged_in() {
    for under in under() {
        let host = start(under, "", "");
        let (mut client, lines) = log_in(&host, "imap", "user1");
        assert!(is_in(&lines), "{lines:?} {}", host.log());
        assert!(client.imap("n", "NOOP")[0].starts_with("n OK"));
        let seen = seen(&host, "user1");
        let has = |line: &str| assert!(seen.iter().any(|known| known == line), "{line}: {seen:?}");
        has("service=imap");
        has("USER=user1");
        has("IP=127.0.0.1");
        has("LOCAL_IP=127.0.0.1");
        let home = host.dir().join("mail/user1");
        has(&format!("HOME={}", home.display()));
        let keys = seen.iter().find(|line| line.starts_with("USERDB_KEYS=")).expect("the keys");
        assert!(keys.starts_with("USERDB_KEYS=UID GID HOME "), "{keys}");
        assert!(!seen.iter().any(|line| line.starts_with("PATH=")), "{seen:?}");
        // Over TLS, and again, when the user's process is there already.
        for listener in ["imaps", "imap"] {
            let (mut client, lines) = log_in(&host, listener, "user1");
            assert!(is_in(&lines), "{lines:?} {}", host.log());
            assert!(client.imap("n", "NOOP")[0].starts_with("n OK"));
        }
        let mut client = host.connect("pop3");
        client.send("USER user2\r\nPASS pass\r\nSTAT\r\nQUIT\r\n");
        assert_eq!(client.expect_line(), "+OK");
        assert_eq!(client.expect_line(), "+OK Logged in.");
        assert_eq!(client.expect_line(), "+OK 0 0");
        assert!(self::seen(&host, "user2").contains(&"service=pop3".to_owned()));
    }
}

#[test]
fn a_script_may_refuse() {
    for under in under() {
        let host = start(under, "", "");
        for user in ["denied", "failed"] {
            let (_client, lines) = log_in(&host, "imap", user);
            assert!(lines.is_empty(), "{user}: {lines:?}");
            host.wait_log(&format!("Error: Post-login script denied access to user {user}"));
        }
        host.wait_log("service(imap-postlogin): child ");
        assert!(host.wait_log(" returned error 7").contains("imap-postlogin"), "{}", host.log());
        for listener in ["imap", "imaps"] {
            let (_client, lines) = log_in(&host, listener, "told");
            assert_eq!(lines, ["* BYE Pay your bills"]);
        }
        // Others are not held up.
        assert!(is_in(&log_in(&host, "imap", "user1").1));
        if under == Under::Ours {
            host.wait_log("imap-login: Info: Disconnected: Post-login script denied access: user=<denied>");
        }
    }
}

#[test]
fn a_script_may_change_fields_and_the_name() {
    for under in under() {
        let host = start(under, "", "");
        let (mut client, lines) = log_in(&host, "imap", "moved");
        assert!(is_in(&lines), "{lines:?} {}", host.log());
        let answer = client.imap("a", "APPEND INBOX {14+}\r\nSubject: a\r\n\r\n");
        assert!(answer.last().is_some_and(|line| line.starts_with("a OK")), "{answer:?}");
        assert!(host.dir().join("mail/elsewhere/cur").is_dir(), "{}", host.log());
        let (mut client, lines) = log_in(&host, "imap", "renamed");
        assert!(is_in(&lines), "{lines:?} {}", host.log());
        let answer = client.imap("a", "APPEND INBOX {14+}\r\nSubject: a\r\n\r\n");
        assert!(answer.last().is_some_and(|line| line.starts_with("a OK")), "{answer:?}");
        assert!(host.maildir("user2").join("cur").is_dir(), "{}", host.log());
        client.imap("x", "LOGOUT");
        host.wait_log("imap(user2)<");
    }
}

#[test]
fn with_d_a_script_runs_as_the_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    for under in under() {
        let host = start(under, " -d", "");
        let (_client, lines) = log_in(&host, "imap", "user1");
        assert!(is_in(&lines), "{lines:?} {}", host.log());
        let seen = seen(&host, "user1");
        assert!(seen.contains(&harness::host::MAIL_ID.to_string()), "{seen:?}");
        let host = start(under, "", "");
        log_in(&host, "imap", "user1");
        assert!(self::seen(&host, "user1").contains(&"0".to_owned()));
    }
}

#[test]
fn many_users_at_once() {
    let host = start(Under::Ours, "", "");
    let clients: Vec<Client> = (0..20)
        .map(|number| {
            let mut client = host.connect("imap");
            client.line(&format!("l LOGIN user{} pass", number % 3 + 1));
            client
        })
        .collect();
    for mut client in clients {
        let lines = client.until_tagged("l");
        assert!(is_in(&lines), "{lines:?}");
        assert!(client.imap("n", "NOOP")[0].starts_with("n OK"));
    }
}

#[test]
fn a_script_that_is_not_there() {
    let host = start(Under::Ours, "", "");
    fs::remove_file(host.dir().join("script")).expect("it was there");
    let (_client, lines) = log_in(&host, "imap", "user1");
    assert!(lines.is_empty(), "{lines:?}");
    host.wait_log("/script) failed: No such file or directory");
    host.wait_log("Post-login script denied access to user user1");
}
