//! The page "Running Dovecot", followed on a packaged configuration tree, and what it does not show:
//! who each process is, where it is locked in, and what it has open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use harness::{Builder, Host, Under, wait_for};

fn builder() -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
}

fn is_ours() -> bool {
    Under::from_env() == Under::Ours
}

/// Users, groups, chroots and the sandbox are root's to give.
fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        assert!(std::env::var("REQUIRE").as_deref() != Ok("all"), "REQUIRE=all, but not root");
        eprintln!("left out: not root");
    }
    is_root
}

fn user(name: &str) -> (u32, u32) {
    let user = nix::unistd::User::from_name(name).expect("users can be looked up").expect("the user exists");
    (user.uid.as_raw(), user.gid.as_raw())
}

/// What `/proc` says of a process.
#[derive(Debug)]
struct Facts {
    status: BTreeMap<String, String>,
    root: String,
    /// Kinds of open descriptors, without the numbers.
    open: BTreeSet<String>,
}

impl Facts {
    fn of(pid: i32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        let status = pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
        let root = fs::read_link(format!("/proc/{pid}/root")).expect("its root").display().to_string();
        let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
        let open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        let open = open.map(|path| kind(&path.display().to_string())).collect();
        Self { status, root, open }
    }

    fn get(&self, key: &str) -> &str {
        self.status.get(key).map_or("", String::as_str)
    }

    /// Real, effective, saved and file system id.
    fn ids(&self, key: &str) -> Vec<u32> {
        self.get(key).split_whitespace().filter_map(|id| id.parse().ok()).collect()
    }
}

/// `socket:[123]` is a socket; files are called by their path.
fn kind(target: &str) -> String {
    let is_numbered = target.starts_with("socket:") || target.starts_with("pipe:");
    let kind = if is_numbered { target.split(':').next().unwrap_or(target) } else { target };
    kind.trim_end_matches(" (deleted)").to_owned()
}

/// What is to hold for all processes of a service.
struct Wanted<'a> {
    service: &'a str,
    user: &'a str,
    /// Below the run directory; `None` for the real root.
    chroot: Option<&'a str>,
    is_sandboxed: bool,
    may_open: &'a [&'a str],
}

const NO_FILES: &[&str] = &[
    "/dev/null",
    "pipe",
    "socket",
    "anon_inode:[eventpoll]",
    "anon_inode:[eventfd]",
    "anon_inode:[signalfd]",
];

#[test]
fn each_process_is_who_it_should_be_and_locked_in() {
    if !is_ours() || !is_root() {
        return;
    }
    let host = builder().start();
    let (_imap, _pop3) = (host.login("user1"), host.connect("pop3"));
    let files: Vec<&str> = [NO_FILES, &["anon_inode:inotify", "/memfd:settings"]].concat();
    let wanted = [
        Wanted {
            service: "anvil",
            user: "dovecot",
            chroot: Some("empty"),
            is_sandboxed: true,
            may_open: NO_FILES,
        },
        Wanted { service: "log", user: "root", chroot: None, is_sandboxed: true, may_open: &["LOG"] },
        Wanted { service: "config", user: "root", chroot: None, is_sandboxed: false, may_open: &files },
        Wanted { service: "auth", user: "dovecot", chroot: None, is_sandboxed: false, may_open: NO_FILES },
        Wanted {
            service: "imap-login",
            user: "dovenull",
            chroot: Some("login"),
            is_sandboxed: true,
            may_open: NO_FILES,
        },
        Wanted {
            service: "pop3-login",
            user: "dovenull",
            chroot: Some("login"),
            is_sandboxed: true,
            may_open: NO_FILES,
        },
    ];
    for wanted in &wanted {
        check(&host, wanted);
    }
    // Two kinds of imap process: the identity's, and the spare that waits with root's rights.
    let ids: BTreeSet<u32> = host.pids("imap").iter().map(|pid| Facts::of(*pid).ids("Uid")[0]).collect();
    assert_eq!(ids, BTreeSet::from([0, harness::host::MAIL_ID]));
    for pid in host.pids("imap") {
        let facts = Facts::of(pid);
        if facts.ids("Uid")[0] == 0 {
            continue;
        }
        assert_eq!(facts.ids("Uid"), [harness::host::MAIL_ID; 4]);
        assert_eq!(facts.ids("Gid"), [harness::host::MAIL_ID; 4]);
        // `extra_groups = $default_internal_group`, as in 2.3.
        assert_eq!(facts.get("Groups"), user("dovecot").1.to_string());
        assert_locked(&facts, "imap");
    }
}

fn check(host: &Host, wanted: &Wanted<'_>) {
    let service = wanted.service;
    let pids = wait_for(&format!("a process of {service}"), || {
        Some(host.pids(service)).filter(|pids| !pids.is_empty())
    });
    let (uid, gid) = user(wanted.user);
    let run = host.dir().join("run");
    let root = wanted.chroot.map_or("/".to_owned(), |dir| run.join(dir).display().to_string());
    let log = host.dir().join("log").display().to_string();
    for pid in pids {
        let facts = Facts::of(pid);
        assert_eq!(facts.ids("Uid"), [uid; 4], "{service}");
        assert_eq!(facts.ids("Gid"), [gid; 4], "{service}");
        assert_eq!(facts.root, root, "{service}");
        assert_eq!(facts.get("NoNewPrivs"), "1", "{service}");
        if uid != 0 {
            assert_eq!(facts.get("CapEff").trim_start_matches('0'), "", "{service}");
            assert_eq!(facts.get("CapPrm").trim_start_matches('0'), "", "{service}");
            assert_eq!(facts.get("Groups"), gid.to_string(), "{service}");
        }
        if wanted.is_sandboxed {
            assert_eq!(facts.get("Seccomp"), "2", "{service}");
        }
        let is_known = |open: &&String| {
            wanted.may_open.contains(&open.as_str())
                || NO_FILES.contains(&open.as_str())
                || (wanted.may_open.contains(&"LOG") && **open == log)
                // The log process's own standard error is the master's.
                || (service == "log" && **open == host.dir().join("stderr").display().to_string())
        };
        let strange: Vec<_> = facts.open.iter().filter(|open| !is_known(open)).collect();
        assert!(strange.is_empty(), "{service} has open: {strange:?}");
    }
}

fn assert_locked(facts: &Facts, service: &str) {
    assert_eq!(facts.get("CapEff").trim_start_matches('0'), "", "{service}");
    assert_eq!(facts.get("NoNewPrivs"), "1", "{service}");
    assert_eq!(facts.get("Seccomp"), "2", "{service}");
}

/// Path, type and mode, owner and group of everything in the run directory, as `run-dir.txt` of
/// 2.3.19 has it.
const RUN_DIRECTORY: &[(&str, char, u32, &str, &str)] = &[
    (".", 'd', 0o755, "root", "root"),
    ("anvil", 's', 0o600, "root", "root"),
    ("anvil-auth-penalty", 's', 0o600, "root", "root"),
    ("auth-client", 's', 0o600, "dovecot", "root"),
    ("auth-login", 's', 0o600, "dovecot", "root"),
    ("auth-master", 's', 0o600, "root", "root"),
    ("auth-userdb", 's', 0o666, "dovecot", "root"),
    ("auth-worker", 's', 0o600, "dovecot", "root"),
    ("config", 's', 0o600, "root", "root"),
    ("dovecot.conf", 'l', 0o777, "root", "root"),
    ("empty", 'd', 0o755, "root", "root"),
    ("imap-master", 's', 0o600, "root", "root"),
    ("log-errors", 's', 0o600, "root", "root"),
    ("login", 'd', 0o750, "root", "dovenull"),
    ("login/imap", 's', 0o666, "root", "root"),
    ("login/login", 's', 0o666, "root", "root"),
    ("login/pop3", 's', 0o666, "root", "root"),
    ("master", 's', 0o600, "root", "root"),
    ("master.pid", 'f', 0o600, "root", "root"),
    ("token-login", 'd', 0o750, "root", "dovenull"),
];

#[test]
fn the_run_directory() {
    if !is_root() {
        return;
    }
    let host = builder().start();
    for (name, kind, mode, owner, group) in RUN_DIRECTORY {
        let path = host.dir().join("run").join(name);
        let found = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((file_kind(&found), found.mode() & 0o777), (*kind, *mode), "{name}");
        let gid = match *group {
            "root" => 0,
            group => user(group).1,
        };
        assert_eq!((found.uid(), found.gid()), (user(owner).0, gid), "{name}");
    }
    let list = host.dir().join("state/instances");
    let found = wait_for("the list of instances", || fs::metadata(&list).ok());
    assert_eq!(found.mode() & 0o777, 0o644);
}

fn file_kind(found: &fs::Metadata) -> char {
    match found.file_type() {
        kind if kind.is_socket() => 's',
        kind if kind.is_dir() => 'd',
        kind if kind.is_symlink() => 'l',
        kind if kind.is_file() => 'f',
        _ => '?',
    }
}

/// The tree that the page shows.
#[test]
fn processes_have_the_names_of_the_page() {
    let host = builder().start();
    let (_one, _two) = (host.login("user1"), host.connect("imap"));
    let mut names: BTreeSet<String> = BTreeSet::new();
    for pid in harness::host::descendants(host.master_pid()) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        names.insert(String::from_utf8_lossy(&line).trim_end_matches(['\0', ' ']).to_owned());
    }
    let expected = ["anvil", "auth", "config", "imap", "imap-login", "log"];
    for name in expected {
        assert!(names.contains(&format!("dovecot/{name}")), "{name} is not among {names:?}");
    }
}

/// A packaged tree as it is, with what a test has to change in `local.conf`.
fn packaged(host: &Host) -> Option<std::path::PathBuf> {
    let source = Path::new("/etc/dovecot");
    if !source.join("conf.d/10-auth.conf").is_file() {
        assert!(
            std::env::var("REQUIRE").as_deref() != Ok("all"),
            "REQUIRE=all, but no packaged configuration"
        );
        eprintln!("left out: no packaged configuration in /etc/dovecot");
        return None;
    }
    let tree = host.dir().join("etc");
    fs::create_dir_all(tree.join("conf.d")).expect("a directory");
    for part in ["", "conf.d"] {
        for entry in fs::read_dir(source.join(part)).expect("the packaged tree").flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), tree.join(part).join(entry.file_name())).expect("a copy");
            }
        }
    }
    // The page's step: passwd-file in place of PAM.
    let auth = tree.join("conf.d/10-auth.conf");
    let text = fs::read_to_string(&auth).expect("10-auth.conf");
    let text = text
        .replace("!include auth-system.conf.ext", "#!include auth-system.conf.ext")
        .replace("#!include auth-passwdfile.conf.ext", "!include auth-passwdfile.conf.ext");
    fs::write(&auth, text).expect("10-auth.conf");
    let file = tree.join("conf.d/auth-passwdfile.conf.ext");
    let text = fs::read_to_string(&file).expect("auth-passwdfile.conf.ext");
    let users = host.dir().join("etc/users").display().to_string();
    fs::write(&file, text.replace("/etc/dovecot/users", &users)).expect("auth-passwdfile.conf.ext");
    let home = host.dir().join("mail/user1");
    let id = harness::host::MAIL_ID;
    let line = format!("user1:{{PLAIN}}pass:{id}:{id}::{}::\n", home.display());
    fs::write(&users, line).expect("the users");
    let port = |name: &str| host.address(name).port();
    let dir = host.dir().display();
    let local = format!(
        "base_dir = {dir}/run\nstate_dir = {dir}/state\nlisten = 127.0.0.1\nlog_path = {dir}/log\n\
         mail_location = maildir:~/Maildir\nmail_privileged_group =\nprotocols = imap pop3\n\
         ssl_cert = <{dir}/cert.pem\nssl_key = <{dir}/key.pem\nssl_dh =\n\
         service imap-login {{\n inet_listener imap {{\n  port = {}\n }}\n inet_listener imaps {{\n  port = {}\n }}\n}}\n\
         service pop3-login {{\n inet_listener pop3 {{\n  port = {}\n }}\n inet_listener pop3s {{\n  port = {}\n }}\n}}\n",
        port("imap"),
        port("imaps"),
        port("pop3"),
        port("pop3s"),
    );
    fs::write(tree.join("local.conf"), local).expect("local.conf");
    Some(tree.join("dovecot.conf"))
}

#[test]
fn the_page_on_a_packaged_configuration() {
    if !is_root() {
        return;
    }
    let host = builder().prepare();
    let Some(conf) = packaged(&host) else { return };
    let run = |program: &str, args: &[&str]| {
        let mut command = std::process::Command::new(host.program(program));
        command.arg("-c").arg(&conf).args(args).stdin(std::process::Stdio::null());
        command.output().expect("the program runs")
    };
    let (status, said) = host.daemonise(&conf);
    assert!(status.success(), "{said}");
    wait_for("the server listens", || std::net::TcpStream::connect(host.address("imap")).ok());
    host.wait_log("starting up for imap, pop3 (core dumps disabled)");
    let pid_file = host.dir().join("run/master.pid");
    let pid = fs::read_to_string(&pid_file).expect("a pid file");
    for (service, ready) in [("imap", "in OK"), ("imaps", "in OK")] {
        let lines = host.connect(service).imap("in", "LOGIN user1 pass");
        assert!(lines.last().is_some_and(|line| line.starts_with(ready)), "{service}: {lines:?}");
    }
    let mut pop3 = host.connect("pop3");
    pop3.line("USER user1");
    assert!(pop3.expect_line().starts_with("+OK"));
    pop3.line("PASS pass");
    assert!(pop3.expect_line().starts_with("+OK"));
    pop3.hang_up();
    assert_eq!(run("dovecot", &[]).status.code(), Some(89));
    for (program, args) in [
        ("doveadm", &["reload"][..]),
        ("dovecot", &["reload"]),
        ("doveadm", &["log", "reopen"]),
        ("dovecot", &["-n"]),
        ("dovecot", &["-a"]),
        ("dovecot", &["--version"]),
        ("dovecot", &["--build-options"]),
        ("dovecot", &["--hostdomain"]),
        ("dovecot", &["--help"]),
    ] {
        let done = run(program, args);
        assert!(done.status.success(), "{program} {args:?}: {}", harness::host::stderr(&done));
    }
    assert_eq!(fs::read_to_string(&pid_file).ok(), Some(pid), "the master is the same");
    let stopped = run("dovecot", &["stop"]);
    assert!(stopped.status.success(), "{}", harness::host::stderr(&stopped));
    assert!(!pid_file.exists());
    let again = run("dovecot", &["stop"]);
    assert_eq!(again.status.code(), Some(75));
    assert_eq!(
        harness::host::stderr(&again),
        format!("Fatal: Dovecot is not running (read from {})\n", pid_file.display())
    );
}
