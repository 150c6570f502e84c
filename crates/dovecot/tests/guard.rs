//! Those who guess passwords, and what stands in their way: delays, bans, lines for fail2ban. And the
//! cache, application passwords and JSON log lines, as an administrator sees them.

use std::process::Command;
use std::time::{Duration, Instant};

use harness::host::stderr;
use harness::{Builder, Host, Under, needs, wait_for};

const FILTER: &str = "/etc/fail2ban/filter.d/dovecot.conf";

const NO_PENALTIES: &str = "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}";

fn builder() -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).config("auth_failure_delay = 0")
}

fn is_ours() -> bool {
    Under::from_env() == Under::Ours
}

/// Whether a password is good, as the auth process says to somebody like Postfix.
fn try_from(host: &Host, ip: &str, user: &str, password: &str) -> bool {
    let rip = format!("rip={ip}");
    let output = host.run("doveadm", &["auth", "test", "-x", "service=smtp", "-x", &rip, user, password]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("auth succeeded") || text.contains("auth failed"), "{text}{}", stderr(&output));
    output.status.success()
}

/// Address and penalty of all addresses that have one.
fn penalties(host: &Host) -> Vec<String> {
    let text = host.doveadm(&["-f", "tab", "penalty"]);
    let two = |line: &str| line.split('\t').take(2).collect::<Vec<_>>().join(" ");
    text.lines().skip(1).map(two).collect()
}

#[test]
fn an_address_that_fails_has_to_wait() {
    let host = builder().start();
    assert!(!try_from(&host, "10.1.2.3", "user1", "a"));
    assert!(!try_from(&host, "2001:db8:1:2::3", "user1", "a"));
    assert_eq!(penalties(&host), ["10.1.2.3 1", "2001:db8:1:: 1"], "a network of IPv6 counts as one");
    let began = Instant::now();
    assert!(!try_from(&host, "10.1.2.3", "user1", "a"));
    assert!(began.elapsed() >= Duration::from_secs(4), "it was kept waiting");
    let of_net = host.doveadm(&["-f", "tab", "penalty", "10.0.0.0/8"]);
    assert_eq!(
        of_net.lines().nth(1).map(|line| &line[..11]),
        Some("10.1.2.3\t1\t"),
        "the same again: {of_net}"
    );
    assert!(try_from(&host, "10.1.2.3", "user1", "pass"));
    assert_eq!(
        penalties(&host).first().map(String::as_str),
        Some("2001:db8:1:: 1"),
        "the good one cleared it"
    );
    assert!(penalties(&host).contains(&"10.1.2.3 0".to_owned()));
    assert!(!host.run("doveadm", &["penalty", "nonsense"]).status.success());
}

fn sqlite(host: &Host, text: &str) {
    let path = host.dir().join("db");
    let done = Command::new("sqlite3").args(["-cmd", ".timeout 10000"]).arg(&path).arg(text).status();
    assert!(done.expect("sqlite3 runs").success(), "{text}");
    // Workers may run as somebody else.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(path, everybody).expect("the database's mode");
}

/// The same steps with the same figures on both sides.
fn check_cache(verify_with_worker: &str) {
    let host = builder()
        .without_users()
        .config(NO_PENALTIES)
        .config("auth_cache_size = 1M\nauth_cache_ttl = 1 hours\nauth_cache_negative_ttl = 1 hours")
        .config(&format!("auth_cache_verify_password_with_worker = {verify_with_worker}"))
        .config("passdb {\n  driver = sql\n  args = @DIR@/sql\n}\nuserdb {\n  driver = static\n  args = uid=1 gid=1 home=/h\n}");
    let mut host = host.prepare();
    let sql = format!(
        "driver = sqlite\nconnect = {}\ndefault_pass_scheme = PLAIN\n\
         password_query = SELECT name AS user, password FROM users WHERE name = '%u'\n",
        host.dir().join("db").display()
    );
    std::fs::write(host.dir().join("sql"), sql).expect("the SQL configuration");
    sqlite(&host, "CREATE TABLE users (name TEXT, password TEXT); INSERT INTO users VALUES ('joe', 'one')");
    host.start();
    let good = |password: &str| try_from(&host, "10.0.0.1", "joe", password);
    assert!(good("one") && good("one"), "the second time from the cache");
    sqlite(&host, "UPDATE users SET password = 'two'");
    assert!(good("two"), "after a success the database has the last word");
    sqlite(&host, "DELETE FROM users");
    assert!(good("two"), "the cache has it");
    assert_eq!(host.doveadm(&["auth", "cache", "flush", "ann"]), "0 cache entries flushed\n");
    assert_eq!(host.doveadm(&["auth", "cache", "flush", "joe", "ann"]), "1 cache entries flushed\n");
    assert!(!good("two"), "now it is gone");
    sqlite(&host, "INSERT INTO users VALUES ('joe', 'three')");
    assert!(!good("three"), "that it was gone is in the cache as well");
    if is_ours() {
        let figures = host.doveadm(&["auth", "cache", "status"]);
        for line in
            ["hits\t4\n", "misses\t2\n", "positive_inserts\t2\n", "negative_inserts\t1\n", "entries\t1\n"]
        {
            assert!(figures.contains(line), "{line:?} in {figures}");
        }
    }
    let auth = *host.pids("auth").first().expect("the auth process");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(auth), nix::sys::signal::Signal::SIGUSR2)
        .expect("a signal");
    host.wait_log("auth: Info: Authentication cache hits 4/6 (66%)");
    let line = host.wait_log("auth: Info: Authentication cache inserts: positive: 2 entries ");
    assert!(line.contains(" bytes, negative: 1 entries "), "{line}");
    host.wait_log("auth: Info: Authentication cache current size: ");
    assert_eq!(host.doveadm(&["auth", "cache", "flush"]), "1 cache entries flushed\n");
    assert!(good("three"));
}

#[test]
fn the_cache_is_flushed_and_has_figures() {
    if needs(&["sqlite3"]) {
        check_cache("no");
    }
}

/// With this 2.3 believes the cache's mismatch: a changed password is good when the entry has expired.
#[test]
fn cached_passwords_are_verified_in_workers() {
    if is_ours() && needs(&["sqlite3"]) {
        check_cache("yes");
    }
}

/// Subjects of all bans.
fn bans(host: &Host) -> Vec<String> {
    let text = host.doveadm(&["-f", "tab", "ban", "list"]);
    text.lines().skip(1).filter_map(|line| line.split('\t').next()).map(str::to_owned).collect()
}

#[test]
fn who_fails_too_often_is_banned() {
    if !is_ours() {
        return;
    }
    let host = builder()
        .config(NO_PENALTIES)
        .config("auth_ban_user_failures = 3\nauth_ban_net_failures = 4\nauth_ban_ipv4_bits = 24")
        .config("auth_ban_exempt_networks = 10.9.0.0/16")
        .start();
    // The same wrong password again is a client, not an attacker.
    for password in ["a", "a", "a", "b"] {
        assert!(!try_from(&host, "10.1.2.3", "user1", password));
    }
    assert_eq!(bans(&host), [] as [&str; 0]);
    assert!(!try_from(&host, "10.1.9.3", "user1", "c"), "another network, the same user");
    let line = host.wait_log(": invalid credentials: user user1 banned for 3600 secs: 3 failed logins in ");
    assert!(line.contains(" auth: Info: ban(user1,10.1.9.3): "), "{line}");
    assert_eq!(bans(&host), ["user1"]);
    assert!(!try_from(&host, "10.1.9.3", "user1", "pass"), "the good password does not help");
    assert!(try_from(&host, "10.1.9.3", "user2", "pass"), "others are not banned");
    // Two more from the first network, by whomever.
    assert!(!try_from(&host, "10.1.2.4", "user2", "x") && !try_from(&host, "10.1.2.5", "user3", "y"));
    host.wait_log("invalid credentials: network 10.1.2.0/24 banned for 3600 secs: 4 failed logins in ");
    assert!(!try_from(&host, "10.1.2.6", "user2", "pass") && try_from(&host, "10.1.3.6", "user2", "pass"));
    assert_eq!(bans(&host), ["user1", "10.1.2.0/24"]);
    assert_eq!(host.doveadm(&["-h", "-f", "tab", "ban", "list", "10.0.0.0/8"]).lines().count(), 1);
    assert_eq!(host.doveadm(&["ban", "remove", "user1"]), "ban of user1 lifted\n");
    assert!(try_from(&host, "10.1.9.3", "user1", "pass"));
    assert!(!host.run("doveadm", &["ban", "remove", "user1"]).status.success());
    for password in ["1", "2", "3", "4", "5"] {
        assert!(!try_from(&host, "10.9.0.1", "nobody", password));
    }
    assert_eq!(bans(&host), ["nobody", "10.1.2.0/24"], "an exempt network is never banned");
    // By hand, and over a reload: anvil has them.
    host.doveadm(&["ban", "add", "-t", "2 days", "2001:db8::1/64", "too many of them"]);
    host.doveadm(&["reload"]);
    host.wait_log("SIGHUP received");
    wait_for("the new auth process knows", || {
        (!try_from(&host, "2001:db8::5", "user2", "pass")).then_some(())
    });
    host.doveadm(&["ban", "remove", "-A"]);
    assert_eq!(bans(&host), [] as [&str; 0]);
    assert!(try_from(&host, "2001:db8::5", "user2", "pass") && try_from(&host, "10.1.2.3", "user3", "pass"));
}

/// How many lines of the log fail2ban's own filter takes for failed logins.
fn matched(host: &Host) -> usize {
    let log = host.dir().join("log");
    let output = Command::new("fail2ban-regex").arg(log).arg(FILTER).output().expect("fail2ban-regex runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("Lines: ")).unwrap_or_else(|| panic!("{text}"));
    let words: Vec<&str> = line.split([' ', ',']).collect();
    let at = words.iter().position(|word| *word == "matched").expect("a count of matches");
    words.get(at - 1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Before the client disconnects, which an attacker need never do.
#[test]
fn fail2ban_sees_failed_logins_at_once() {
    if !needs(&["fail2ban-regex"]) {
        return;
    }
    // 2.3 says so only with `auth_verbose`.
    for verbose in ["yes", "no"].into_iter().filter(|verbose| is_ours() || *verbose == "yes") {
        let host = builder().config(NO_PENALTIES).config(&format!("auth_verbose = {verbose}")).start();
        let mut client = host.connect("imap");
        for (user, password) in [("user1", "bad"), ("nobody", "x")] {
            let answer = client.imap("l", &format!("LOGIN {user} {password}")).pop().expect("an answer");
            assert!(answer.starts_with("l NO"), "{answer}");
        }
        host.wait_log("(user1,127.0.0.1,<");
        assert_eq!(matched(&host), 2, "auth_verbose = {verbose}");
        client.hang_up();
        host.wait_log("(auth failed, 2 attempts");
        assert_eq!(matched(&host), 3, "auth_verbose = {verbose}");
    }
    if is_ours() {
        let bans = "auth_verbose = yes\nauth_ban_net_failures = 1";
        let host = builder().config(NO_PENALTIES).config(bans).start();
        assert!(!try_from(&host, "10.1.2.3", "user1", "bad"));
        host.wait_log(" banned for ");
        assert_eq!(matched(&host), 2, "the mismatch and the ban");
    }
}

#[test]
fn application_passwords_are_made_used_and_revoked() {
    if !is_ours() {
        return;
    }
    let passdb = "passdb {\n  driver = app-password\n  args = @DIR@/app/%u\n}\n";
    let host = builder().config(passdb).config(NO_PENALTIES).start();
    let add = |args: &[&str]| {
        let args = [&["auth", "app-password", "add"], args].concat();
        host.doveadm(&args).trim().to_owned()
    };
    let phone = add(&["-s", "imap,smtp", "-e", "30 days", "user1", "my phone"]);
    let laptop = add(&["USER1", "laptop"]);
    let login = |listener: &str, password: &str| {
        let mut client = host.connect(listener);
        if listener == "pop3" {
            client.line("USER user1");
            client.expect_line();
            client.line(&format!("PASS {password}"));
            return client.expect_line().starts_with("+OK");
        }
        client.imap("l", &format!("LOGIN user1 {password}")).concat().contains("l OK")
    };
    assert!(login("imap", &phone) && login("imap", &laptop) && login("imap", "pass"));
    assert!(!login("pop3", &phone) && login("pop3", &laptop));
    let list = || host.doveadm(&["-f", "tab", "auth", "app-password", "list", "user1"]);
    let text = list();
    assert_eq!(text.lines().next(), Some("name\tscopes\tcreated\texpires\tlast_use"));
    assert!(text.contains("my phone\timap,smtp\t20") && text.contains("laptop\t*\t20"), "{text}");
    let never = text.lines().filter(|line| line.ends_with("\tnever")).count();
    assert_eq!(never, 0, "both were used: {text}");
    let again = host.run("doveadm", &["auth", "app-password", "add", "user1", "laptop"]);
    assert!(!again.status.success() && stderr(&again).contains("there is an app password 'laptop' already"));
    host.doveadm(&["auth", "app-password", "remove", "user1", "my phone"]);
    assert!(!login("imap", &phone) && login("imap", &laptop));
    assert_eq!(list().lines().count(), 2);
    assert!(!host.run("doveadm", &["auth", "app-password", "remove", "user1", "my phone"]).status.success());
    assert!(!host.run("doveadm", &["auth", "app-password", "add", "../x", "a"]).status.success());
}

#[test]
fn log_lines_are_objects_on_demand() {
    if !is_ours() || !needs(&["python3"]) {
        return;
    }
    let host = builder().config("log_format = json").start();
    let mut client = host.login("user1");
    client.imap("o", "LOGOUT");
    host.wait_log("Logged out");
    assert!(!try_from(&host, "10.1.2.3", "user1", "b\"ad"));
    host.wait_log("Password mismatch");
    let check = "import json, sys\n\
        for line in open(sys.argv[1]):\n\
        \x20 o = json.loads(line)\n\
        \x20 print(o['process'], o['level'], o.get('user', '-'), 'pid' in o, 'session' in o, o['message'][:12])\n\
        \x20 assert o['time'].endswith('Z')\n";
    let output = Command::new("python3").args(["-c", check]).arg(host.dir().join("log")).output();
    let output = output.expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", stderr(&output));
    for line in [
        "imap-login info user1 True True Login: user=",
        "imap info user1 True True ",
        "auth info user1 True False login(user1,",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line:?} in {text}");
    }
}
