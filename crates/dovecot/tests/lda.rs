//! `dovecot-lda` as a mail transfer agent runs it: options, exit statuses, log lines, and what lies in
//! the Maildir afterwards. Runs against the original as well.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::{Builder, Host, Under, wait_for};

const MESSAGE: &str = "Subject: hi\nMessage-ID: <abc@x>\n\nbody\n";

fn builder() -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
}

/// Starts the server and waits until it can be asked for users.
fn start(builder: Builder) -> Host {
    let mut host = builder.prepare();
    start_prepared(&mut host);
    host
}

fn start_prepared(host: &mut Host) {
    host.start();
    let socket = host.dir().join("run/auth-userdb");
    wait_for("auth listens", || std::os::unix::net::UnixStream::connect(&socket).ok());
}

fn is_ours() -> bool {
    Under::from_env() == Under::Ours
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What became of a run.
struct Ran {
    status: Option<i32>,
    stdout: String,
    stderr: String,
    /// What the log got by it.
    log: String,
}

fn lda(host: &Host, args: &[&str]) -> Command {
    let mut command = Command::new(host.program("dovecot-lda"));
    command.arg("-c").arg(host.conf()).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A test run's own environment is not part of the test.
    command.env_clear();
    command
}

fn run(host: &Host, mut command: Command, input: &[u8]) -> Ran {
    let before = host.log().len();
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A program that ends early does not read; that is its right.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the program ends");
    feeding.join().expect("the input is gone");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        status: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        log: host.log().get(before..).unwrap_or_default().to_owned(),
    }
}

/// Runs it, and wants `status` and no other word than in the log.
#[track_caller]
fn deliver(host: &Host, args: &[&str], input: &str, status: i32) -> String {
    let ran = run(host, lda(host, args), input.as_bytes());
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(status), ""), "{args:?}\n{}", ran.log);
    ran.log
}

/// The names in a folder of the Maildir, sorted.
fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    names.sort();
    names
}

/// The newest message in `new/` of a mailbox.
#[track_caller]
fn newest(maildir: &Path) -> (String, Vec<u8>) {
    let paths = names(&maildir.join("new"));
    let path = paths.into_iter().max_by_key(|path| arrival(path)).expect("a message");
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    (name, fs::read(path).expect("a message"))
}

/// Seconds and microseconds in a name: `1795641181.M749265P12446.host`.
fn arrival(path: &Path) -> (u64, u64) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let number = |text: &str| text.parse().unwrap_or_default();
    let (secs, rest) = name.split_once(".M").unwrap_or_default();
    (number(secs), number(rest.split('P').next().unwrap_or_default()))
}

fn count(maildir: &Path) -> usize {
    names(&maildir.join("new")).len() + names(&maildir.join("cur")).len()
}

#[test]
fn a_message_is_saved_and_logged() {
    let host = start(builder());
    let log = deliver(&host, &["-d", "user1", "-f", "s@x.org"], MESSAGE, 0);
    let line = log.lines().find(|line| line.contains("lda(")).unwrap_or_else(|| panic!("{log}"));
    let (prefix, text) = line.split_once(": Info: ").expect("an info line");
    assert_eq!(text, "msgid=<abc@x>: saved mail to INBOX");
    // `lda(user1)<pid><session>`, where a session id is 16 bytes in base64.
    let (_, ids) = prefix.split_once("lda(user1)<").expect("the user");
    let (pid, session) = ids.split_once("><").expect("two ids");
    assert!(pid.parse::<u32>().is_ok() && session.len() == 23 && session.ends_with('>'), "{line}");
    let (name, bytes) = newest(&host.maildir("user1"));
    assert_eq!(bytes, MESSAGE.as_bytes());
    assert!(name.ends_with(",S=38,W=42"), "{name}");
    let mut session = host.login("user1");
    let lines = session.imap("s", "SELECT INBOX");
    assert!(lines.iter().any(|line| line == "* 1 EXISTS") && lines.iter().any(|line| line == "* 1 RECENT"));
    let fetched = session.imap("f", "FETCH 1 (UID RFC822.SIZE BODY.PEEK[TEXT])");
    assert_eq!(fetched[0], "* 1 FETCH (UID 1 RFC822.SIZE 42 BODY[TEXT] {6}\r\nbody\r\n)");
}

#[test]
fn usage() {
    let host = builder().prepare();
    let check = |args: &[&str], stderr: &str| {
        let ran = run(&host, lda(&host, args), b"");
        let program = host.program("dovecot-lda").display().to_string();
        let text = ran.stderr.replace(&program, "PROGRAM");
        assert_eq!((ran.status, text.as_str()), (Some(64), stderr), "{args:?}");
        ran.stdout
    };
    let usage = "Usage: dovecot-lda [-c <config file>] [-d <username>] [-p <path>]\n";
    for (args, stderr) in [
        (&["-Z"][..], "PROGRAM: invalid option -- 'Z'\n"),
        (&["--help"], "PROGRAM: invalid option -- '-'\n"),
        (&["-d"], "PROGRAM: option requires an argument -- 'd'\n"),
        (&["-d", "user1", "foo"], "lda: Fatal: Unknown argument: foo\n"),
        (&["foo", "-d", "user1"], "lda: Fatal: Unknown argument: foo\n"),
    ] {
        let stdout = check(args, stderr);
        assert!(stdout.starts_with(usage) && stdout.lines().count() == 4, "{stdout}");
    }
    for (args, stderr) in [
        (&["-d", "u", "-a", ""][..], "lda: Fatal: Invalid -a parameter: Path is empty string\n"),
        (&["-d", "u", "-a", "a b@@"], "lda: Fatal: Invalid -a parameter: Invalid character in path\n"),
        (&["-d", "u", "-r", "<>"], "lda: Fatal: Invalid -r parameter: Null path not allowed\n"),
    ] {
        assert_eq!(check(args, stderr), "");
    }
}

#[test]
fn mistakes_in_the_configuration_are_temporary() {
    let host = builder().config("bogus = 1").prepare();
    let check = |args: &[&str], expected: &str| {
        let ran = run(&host, lda(&host, args), b"");
        let first = ran.stderr.lines().next().unwrap_or_default();
        // `lda(1234): `
        let text = match first.split_once("): ") {
            Some((prefix, rest)) if prefix.starts_with("lda(") => format!("lda(PID): {rest}"),
            _ => first.to_owned(),
        };
        assert!(text.ends_with(expected), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.status, Some(75), "{args:?}");
    };
    check(&["-d", "user1"], ": Unknown setting: bogus");
    let start = "lda(PID): Fatal: Error reading configuration:";
    check(
        &["-d", "user1", "-c", "/nonexistent"],
        &format!("{start} stat(/nonexistent) failed: No such file or directory"),
    );
    let good = builder().prepare();
    let good = good.conf().display().to_string();
    let with = |word: &'static str| ["-d", "user1", "-c", good.as_str(), "-o", word].map(str::to_owned);
    for (word, why) in [
        ("foo", "foo: Missing '='"),
        ("mail_max_lock_timeout=x", "mail_max_lock_timeout=x: Invalid time interval: x"),
    ] {
        let args = with(word);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        check(&args, &format!("{start} Invalid -o parameter {why}"));
    }
    let args = with("log_path=/nonexistent/log");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    check(&args, "Can't open log file /nonexistent/log: No such file or directory");
}

#[test]
fn unknown_users_and_a_lost_auth() {
    let mut host = builder()
        .config("userdb {\n  driver = passwd-file\n  args = username_format=%u @DIR@/homes\n}")
        .without_users()
        .config("passdb {\n  driver = passwd-file\n  args = username_format=%u @DIR@/users\n}")
        .prepare();
    fs::write(host.dir().join("homes"), "").expect("a file");
    start_prepared(&mut host);
    for user in ["nosuch", "", "a b", "a\tb"] {
        deliver(&host, &["-d", user], MESSAGE, 67);
    }
    let log = deliver(&host, &["-d", "user1", "-o", "auth_socket_path=/nonexistent"], MESSAGE, 75);
    assert!(
        log.contains("<>: Error: auth-master: userdb lookup(user1): connect(/nonexistent) failed: No such file or directory\n"),
        "{log}"
    );
    assert!(
        log.contains(": Fatal: Internal error occurred. Refer to server log for more information.\n"),
        "{log}"
    );
    host.stop();
    let log = deliver(&host, &["-d", "user1"], MESSAGE, 75);
    assert!(log.contains("userdb lookup(user1): connect("), "{log}");
    // -e changes nothing about that.
    deliver(&host, &["-d", "user1", "-e"], MESSAGE, 75);
}

#[test]
fn broken_users_are_temporary() {
    if !is_root() {
        return;
    }
    let fields = "passdb {\n  driver = static\n  args = nopassword=yes\n}\nuserdb {\n  driver = static\n  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u mail_max_lock_timeout=x\n}";
    let host = start(builder().without_users().config(fields));
    let log = deliver(&host, &["-d", "user1"], MESSAGE, 75);
    assert!(log.contains("): Fatal: Invalid settings in userdb: "), "{log}");
    let host = start(builder());
    let log = deliver(&host, &["-d", "user1", "-o", "first_valid_uid=6000"], MESSAGE, 75);
    let expected = "): Fatal: Mail access for users with UID 5000 not permitted (see first_valid_uid in config file, uid from userdb lookup).\n";
    assert!(log.contains(expected), "{log}");
    let log = deliver(&host, &["-d", "user1", "-o", "mail_location=foo:/x"], MESSAGE, 75);
    assert!(log.contains("Unknown mail storage driver foo"), "{log}");
}

#[test]
fn mailboxes() {
    let host = start(builder().config("protocol lda {\n  mail_max_keyword_length = 60\n}"));
    let maildir = host.maildir("user1");
    let create = ["-o", "lda_mailbox_autocreate=yes"];
    let subscribe = ["-o", "lda_mailbox_autosubscribe=yes"];
    let check = |name: &str, options: &[&str], failed: &str, saved: &str| {
        let log = deliver(&host, &[&["-d", "user1", "-m", name], options].concat(), MESSAGE, 0);
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("lda("))
            .filter_map(|line| line.split_once(": Info: "))
            .map(|line| line.1)
            .collect();
        let mut expected = Vec::new();
        if !failed.is_empty() {
            expected.push(format!("msgid=<abc@x>: save failed to open mailbox {name}: {failed}"));
        }
        expected.push(format!("msgid=<abc@x>: saved mail to {saved}"));
        assert_eq!(lines, expected, "{name}");
    };
    check("Foo", &[], "Mailbox doesn't exist: Foo", "INBOX");
    check("Foo.Bar", &create, "", "Foo.Bar");
    check("Foo.Bar", &[], "", "Foo.Bar");
    assert_eq!(count(&maildir.join(".Foo.Bar")), 2);
    check("Sub.Me", &[create, subscribe].concat(), "", "Sub.Me");
    let subscriptions = fs::read_to_string(maildir.join("subscriptions")).expect("subscriptions");
    assert_eq!(subscriptions, "V\t2\n\nSub\tMe\n");
    // Names are UTF-8, never modified UTF-7.
    check("Entwürfe", &create, "", "Entwürfe");
    check("Entw&APw-rfe", &create, "", "Entw&APw-rfe");
    assert_eq!(count(&maildir.join(".Entw&APw-rfe")), 1);
    assert_eq!(count(&maildir.join(".Entw&-APw-rfe")), 1);
    check("a..b", &create, "Invalid mailbox name: Has adjacent hierarchy separators", "INBOX");
    check(".b", &create, "Invalid mailbox name: Begins with hierarchy separator", "INBOX");
    check("b.", &create, "Invalid mailbox name: Ends with hierarchy separator", "INBOX");
    check("../x", &create, "Invalid mailbox name: Begins with hierarchy separator", "INBOX");
    check("a/b", &create, "Invalid mailbox name: Name must not have '/' characters", "INBOX");
    check("", &[], "", "INBOX");
    check("inbox", &[], "", "inbox");
    // The later one counts.
    check("Foo.Bar", &["-m", "INBOX"], "", "INBOX");
    assert_eq!(count(&maildir), 9);
    let ran = {
        use std::os::unix::ffi::OsStrExt;
        let mut command = lda(&host, &["-d", "user1", "-m"]);
        command.arg(std::ffi::OsStr::from_bytes(b"x\xff"));
        run(&host, command, b"")
    };
    assert_eq!(ran.status, Some(75));
    assert!(ran.stderr.starts_with("lda: Fatal: Mailbox name not UTF-8: x"), "{}", ran.stderr);
}

#[test]
fn namespaces_and_automatic_mailboxes() {
    let host = start(
        builder()
            .config("namespace inbox {\n  prefix = INBOX.\n  mailbox Auto {\n    auto = subscribe\n  }\n}"),
    );
    let maildir = host.maildir("user1");
    let saved = |name: &str| {
        let log =
            deliver(&host, &["-d", "user1", "-m", name, "-o", "lda_mailbox_autocreate=yes"], MESSAGE, 0);
        log.lines().last().and_then(|line| line.split_once("saved mail to ")).expect("saved").1.to_owned()
    };
    assert_eq!(saved("INBOX."), "INBOX.");
    assert_eq!(saved("INBOX"), "INBOX");
    assert_eq!(count(&maildir), 2);
    assert_eq!(saved("INBOX.Foo"), "INBOX.Foo");
    assert_eq!(count(&maildir.join(".Foo")), 1);
    assert_eq!(saved("INBOX.Auto"), "INBOX.Auto");
    // No namespace has this name.
    assert_eq!(saved("Foo"), "INBOX");
    let mut session = host.login("user1");
    let lines = session.imap("l", "LSUB \"\" *");
    assert!(lines.iter().any(|line| line.ends_with(" INBOX.Auto")), "{lines:?}");
}

/// Recorded with 2.3.19; what is stored is so byte for byte.
#[test]
fn line_ends_and_from_lines() {
    let host = start(builder());
    let check = |input: &str, options: &[&str], stored: &str, size: &str| {
        deliver(&host, &[&["-d", "user1"], options].concat(), input, 0);
        let (name, bytes) = newest(&host.maildir("user1"));
        assert_eq!(String::from_utf8_lossy(&bytes), stored, "{input:?}");
        assert!(name.ends_with(size), "{input:?}: {name}");
    };
    let odd = "A: 1\r\nB: 2\n\r\nbody\rcr\r\r\nnul\0x\n\r";
    check(odd, &[], "A: 1\nB: 2\n\nbody\rcr\r\nnul\0x\n", ",S=26,W=30");
    check(odd, &["-o", "mail_save_crlf=yes"], "A: 1\r\nB: 2\r\n\r\nbody\rcr\r\r\nnul\0x\r\n\r", ",S=32,W=32");
    check("", &[], "", ",S=0,W=0");
    check("nohdr\n", &[], "nohdr\n", ",S=6,W=7");
    check("\nbody", &[], "\nbody", ",S=5,W=6");
    let from = "From a@b Mon Jan  1 00:00:00 2024";
    check(&format!("{from}\nA: 1\n\nb\n"), &[], "A: 1\n\nb\n", ",S=8,W=11");
    check(&format!("{from}\r\nA: 1\r\n\r\nb\r\n"), &[], "A: 1\n\nb\n", ",S=8,W=11");
    check(from, &[], "", ",S=0,W=0");
    check("From garbage\nA: 1\n\nb\n", &[], "A: 1\n\nb\n", ",S=8,W=11");
    for same in ["From: a@b\nA: 1\n\nb\n", ">From a@b Mon Jan  1 00:00:00 2024\nA: 1\n\nb\n", "from x\n\n"] {
        check(same, &[], same, "");
    }
    check(&format!("{from}\n{from}\nA: 1\n\nFrom x\n"), &[], &format!("{from}\nA: 1\n\nFrom x\n"), "");
}

#[test]
fn senders_recipients_and_the_log_format() {
    let host = start(builder().config("hostname = mx.example"));
    let message = "Delivered-To: foo@bar\nX-O: \"A\" <q@r>\nFrom: \"F, B\" <f@b>\nSubject: =?utf-8?q?h=C3=BC?= x\n\nb\n";
    let check = |input: &str, args: &[&str], format: &str, expected: &str| {
        let format = format!("deliver_log_format={format}");
        let log = deliver(&host, &[&["-d", "user1", "-o", format.as_str()], args].concat(), input, 0);
        let line =
            log.lines().rfind(|line| line.contains("lda(") && line.contains(": Info: ")).unwrap_or_default();
        assert_eq!(line.split_once(": Info: ").map(|line| line.1), Some(expected), "{args:?}");
    };
    let sender = |args: &[&str], expected: &str| {
        check(message, args, "%e|%{from_envelope}|", &format!("{expected}|{expected}|"))
    };
    sender(&[], "MAILER-DAEMON");
    sender(&["-f", ""], "");
    sender(&["-f", "<>"], "");
    sender(&["-f", "no address@@"], "");
    sender(&["-f", "<a@b>"], "a@b");
    sender(&["-f", "a@[1.2.3.4]"], "a@[1.2.3.4]");
    sender(&["-f", "a..b@c"], "\"a..b\"@c");
    let with_line = format!("From l@b Mon Jan  1 00:00:00 2024\n{message}");
    check(&with_line, &[], "%e", "l@b");
    check(&with_line, &["-f", "a@b"], "%e", "a@b");
    check(&format!("From - Mon Jan  1 00:00:00 2024\n{message}"), &[], "%e", "MAILER-DAEMON");
    let recipient =
        |args: &[&str], expected: &str| check(message, args, "%{to_envelope}|", &format!("{expected}|"));
    recipient(&[], "user1@mx.example");
    recipient(&["-a", "o@r"], "o@r");
    recipient(&["-a", "<o@r>", "-r", "f@r"], "o@r");
    recipient(&["-o", "lda_original_recipient_header=Delivered-To"], "foo@bar");
    recipient(&["-o", "lda_original_recipient_header=X-O"], "q@r");
    recipient(&["-o", "lda_original_recipient_header=X-None"], "user1@mx.example");
    recipient(&["-a", "o@r", "-o", "lda_original_recipient_header=X-O"], "o@r");
    check(message, &[], "%m|%s|%f|%p|%w|%$", "unspecified|hü x|f@b|90|96|saved mail to INBOX");
    check(
        message,
        &[],
        "%{msgid}|%{subject}|%{from}|%{size}|%{vsize}|%{session_time}",
        "unspecified|hü x|f@b|90|96|0",
    );
    check(message, &[], "%q|%{xx}", "UNSUPPORTED_VARIABLE_q|UNSUPPORTED_VARIABLE_xx");
    let log = deliver(&host, &["-d", "user1", "-o", "deliver_log_format=%{storage_id}"], message, 0);
    let (name, _) = newest(&host.maildir("user1"));
    assert!(log.trim_end().ends_with(&format!(": Info: {name}")), "{name}: {log}");
}

#[test]
fn logs_go_where_the_settings_say() {
    let host = start(builder());
    let prefix = "mail_log_prefix=PFX %s %u %{pid} X%{env:FOO}X: ";
    let stderr = |args: &[&str]| {
        let mut command = lda(&host, &[&["-d", "user1"], args].concat());
        command.env("FOO", "foo");
        let ran = run(&host, command, MESSAGE.as_bytes());
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        ran.stderr
    };
    let line = stderr(&["-o", prefix, "-o", "log_path=/dev/stderr", "-o", "log_timestamp=%Y "]);
    assert!(
        line.starts_with("20") && line.get(4..).is_some_and(|rest| rest.starts_with(" PFX lda user1 ")),
        "{line}"
    );
    assert!(line.ends_with(" XX: Info: msgid=<abc@x>: saved mail to INBOX\n"), "{line}");
    let line = stderr(&["-k", "-o", prefix, "-o", "info_log_path=/dev/stderr"]);
    assert!(line.contains(" XfooX: Info: "), "{line}");
    let log = deliver(&host, &["-d", "user1", "-o", "mail_debug=yes"], MESSAGE, 0);
    assert!(log.contains(": Debug: Destination address: <user1@"), "{log}");
}

#[test]
fn a_file_instead_of_standard_input() {
    let host = start(builder());
    let path = host.dir().join("message");
    fs::write(&path, format!("From a@b Mon Jan  1 00:00:00 2024\n{MESSAGE}")).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("permissions");
    let text = path.display().to_string();
    let log = deliver(&host, &["-d", "user1", "-p", &text], "not this", 0);
    assert!(log.contains("msgid=<abc@x>: saved mail to INBOX"), "{log}");
    // The line is part of a file's message, as in 2.3.
    let (_, bytes) = newest(&host.maildir("user1"));
    assert!(bytes.starts_with(b"From a@b ") && path.exists());
    // A relative path is meant from where the program was started.
    let mut command = lda(&host, &["-d", "user1", "-p", "message"]);
    command.current_dir(host.dir());
    assert_eq!(run(&host, command, b"").status, Some(0));
    let log = deliver(&host, &["-d", "user1", "-p", "/nonexistent"], "", 75);
    assert!(
        log.contains(": Fatal: Can't open delivery mail as raw: Mailbox doesn't exist: /nonexistent\n"),
        "{log}"
    );
    if is_root() {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
        let log = deliver(&host, &["-d", "user1", "-p", &text], "", 75);
        assert!(log.contains(": Fatal: Can't open delivery mail as raw: Permission denied\n"), "{log}");
    }
}

/// Without `-d`: whoever runs the program, as `.forward` and mailbox_command do.
#[test]
fn the_calling_user() {
    let host = builder().prepare();
    if is_root() {
        let ran = run(&host, lda(&host, &[]), b"");
        assert_eq!(
            (ran.status, ran.stderr.as_str()),
            (Some(64), "lda: Fatal: destination user parameter (-d user) not given\n")
        );
    }
    let home = host.dir().join("mail/home");
    let as_user = |args: &[&str], environment: &[(&str, &Path)]| {
        use std::os::unix::process::CommandExt;
        let mut command =
            lda(&host, &[args, &["-o", "log_path=/dev/stderr", "-o", "log_timestamp="]].concat());
        if is_root() {
            command.uid(harness::host::MAIL_ID).gid(harness::host::MAIL_ID);
        }
        command.envs(environment.iter().copied());
        let ran = run(&host, command, MESSAGE.as_bytes());
        // The original also says that it cannot write statistics.
        let stderr: Vec<String> =
            ran.stderr.lines().filter(|line| !line.contains("stats-writer")).map(str::to_owned).collect();
        (ran.status, stderr.join("\n"))
    };
    let me = [("USER", Path::new("joe")), ("HOME", home.as_path())];
    let (status, line) = as_user(&[], &me);
    assert!(
        line.starts_with("lda(joe)<") && line.ends_with(": Info: msgid=<abc@x>: saved mail to INBOX"),
        "{line}"
    );
    assert_eq!((status, count(&home.join("Maildir"))), (Some(0), 1));
    let (status, line) = as_user(&[], &me[..1]);
    assert_eq!(status, Some(75), "{line}");
    assert!(line.contains("): Fatal: ") && line.contains("Home directory not set for user"), "{line}");
    if is_root() {
        // The system does not know this user id.
        let (status, line) = as_user(&[], &me[1..]);
        assert_eq!(
            (status, line.as_str()),
            (Some(64), "lda: Fatal: Couldn't lookup our username (uid=5000)")
        );
    }
}

#[test]
fn no_rights_are_temporary() {
    if !is_root() {
        return;
    }
    let host = start(builder());
    let maildir = host.maildir("user1");
    deliver(&host, &["-d", "user1"], MESSAGE, 0);
    // A mailbox that is not the user's: no fallback, since it is there.
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(".Foreign").join(sub)).expect("directories");
    }
    let log = deliver(&host, &["-d", "user1", "-m", "Foreign"], MESSAGE, 75);
    assert!(
        log.contains("Permission denied") && log.contains("Info: msgid=<abc@x>: save failed to"),
        "{log}"
    );
    assert!(!log.contains("saved mail"), "{log}");
    fs::set_permissions(maildir.join(".Foreign"), fs::Permissions::from_mode(0o000)).expect("permissions");
    deliver(&host, &["-d", "user1", "-m", "Foreign"], MESSAGE, 75);
    // A home that cannot be made.
    fs::set_permissions(host.dir().join("mail"), fs::Permissions::from_mode(0o555)).expect("permissions");
    let log = deliver(&host, &["-d", "user2"], MESSAGE, 75);
    assert!(log.contains("Permission denied"), "{log}");
    assert_eq!(count(&maildir), 1);
}

#[test]
fn a_full_disk_is_temporary() {
    if !is_root() {
        return;
    }
    let host = builder().prepare();
    let disk = host.dir().join("mail/user1");
    fs::create_dir(&disk).expect("a directory");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k,mode=777", "tmpfs"])
        .arg(&disk)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("left out: nothing can be mounted here");
        return;
    }
    let _unmount = Unmount(&disk);
    let mut host = host;
    start_prepared(&mut host);
    let sendmail = format!("sendmail_path={}", host.dir().join("none").display());
    let big = format!("{MESSAGE}{}", "x\n".repeat(100_000));
    let args = ["-d", "user1", "-f", "s@x", "-o", sendmail.as_str()];
    let log = deliver(&host, &args, &big, 75);
    assert!(log.contains("No space left on device") && !log.contains("rejected"), "{log}");
    let maildir = host.maildir("user1");
    assert_eq!((count(&maildir), names(&maildir.join("tmp")).len()), (0, 0), "nothing is left behind");
    let ran = run(&host, lda(&host, &[&args[..], &["-e"]].concat()), big.as_bytes());
    assert_eq!(ran.status, Some(75));
    assert!(ran.stderr.starts_with("Internal error occurred. Refer to server log for more information. ["));
    deliver(&host, &args, MESSAGE, 0);
    assert_eq!(count(&maildir), 1);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// 100 MB go through; memory does not grow with the message.
#[test]
fn a_huge_message() {
    let host = start(builder());
    let line = [&[b'x'; 76][..], b"\n"].concat();
    let total = 100 * 1024 * 1024;
    let mut child = lda(&host, &["-d", "user1"]).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(MESSAGE.as_bytes()).expect("it reads");
    let chunk = line.repeat(1000);
    let mut written = 0;
    while written < total {
        stdin.write_all(&chunk).expect("it reads");
        written += chunk.len();
    }
    let peak_kb = peak_kb(child.id());
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0), "{}", host.log());
    assert!(peak_kb < 40_000, "{peak_kb} kB");
    let (_, bytes) = newest(&host.maildir("user1"));
    assert_eq!(bytes.len(), MESSAGE.len() + written);
    assert!(bytes.ends_with(&line) && bytes.starts_with(MESSAGE.as_bytes()));
}

fn peak_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Killed at any moment, it leaves the message whole or not at all, and the mailbox works.
#[test]
fn killed_while_it_delivers() {
    let host = start(builder());
    let maildir = host.maildir("user1");
    let message = format!("{MESSAGE}{}", "x\n".repeat(200_000));
    // In the middle of its input.
    let mut child = lda(&host, &["-d", "user1"]).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&message.as_bytes()[..message.len() / 2]).expect("it reads");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(count(&maildir), 0);
    // At any moment after.
    let mut acknowledged = 0;
    for round in 0..12 {
        let mut child = lda(&host, &["-d", "user1"]).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(message.as_bytes()).expect("it reads");
        drop(stdin);
        spin(&mut child, round * 700);
        let _ = child.kill();
        let status = child.wait().expect("it ends");
        acknowledged += usize::from(status.code() == Some(0));
        assert!(status.code() == Some(0) || status.signal() == Some(9), "{status}\n{}", host.log());
        for path in names(&maildir.join("new")) {
            let size = fs::metadata(&path).expect("a message").len();
            assert_eq!(size, message.len() as u64, "{}", path.display());
        }
    }
    assert!(count(&maildir) >= acknowledged);
    let before = count(&maildir);
    deliver(&host, &["-d", "user1"], &message, 0);
    let mut session = host.login("user1");
    let lines = session.imap("s", "SELECT INBOX");
    assert!(lines.contains(&format!("* {} EXISTS", before + 1)), "{lines:?}");
}

/// Gives the child some turns of the processor.
fn spin(child: &mut Child, turns: u32) {
    for _ in 0..turns {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn an_idle_session_sees_it_at_once() {
    let host = start(builder());
    let mut session = host.login("user1");
    session.imap("s", "SELECT INBOX");
    session.line("i IDLE");
    assert_eq!(session.expect_line(), "+ idling");
    deliver(&host, &["-d", "user1"], MESSAGE, 0);
    let lines = [session.expect_line(), session.expect_line()];
    assert!(lines.contains(&"* 1 EXISTS".to_owned()), "{lines:?}");
    session.line("DONE");
    session.until_tagged("i");
    // A mailbox that was made by the delivery, too.
    deliver(&host, &["-d", "user1", "-m", "New", "-o", "lda_mailbox_autocreate=yes"], MESSAGE, 0);
    let lines = session.imap("t", "STATUS New (MESSAGES)");
    assert_eq!(lines[0], "* STATUS New (MESSAGES 1)");
}

/// Many at once to one mailbox: each is there, whole, and no UID is given twice.
#[test]
fn many_at_once() {
    let host = start(builder());
    let children: Vec<Child> = (0..20)
        .map(|number| {
            let mut child = lda(&host, &["-d", "user1"]).spawn().expect("the program starts");
            let mut stdin = child.stdin.take().expect("a pipe");
            write!(stdin, "Subject: {number}\n\nbody\n").expect("it reads");
            child
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!(output.status.code(), Some(0), "{}", host.log());
    }
    let mut session = host.login("user1");
    session.imap("s", "SELECT INBOX");
    let lines = session.imap("f", "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let uids: std::collections::BTreeSet<&str> =
        lines.iter().filter_map(|line| line.split("UID ").nth(1)?.split(' ').next()).collect();
    assert_eq!(uids.len(), 20, "{lines:?}");
    assert!((0..20).all(|number| lines.iter().any(|line| line.contains(&format!("Subject: {number}\r\n")))));
}

/// `dovecot-lda -c other.conf` delivers to the other instance's users.
#[test]
fn two_instances() {
    let first = start(builder());
    let second = start(builder().config("instance_name = dovecot-two"));
    deliver(&second, &["-d", "user1"], MESSAGE, 0);
    assert_eq!((count(&first.maildir("user1")), count(&second.maildir("user1"))), (0, 1));
    // The configuration may also come from the environment.
    let mut command = Command::new(first.program("dovecot-lda"));
    command.args(["-d", "user2"]).env_clear().env("CONFIG_FILE", second.conf());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(run(&second, command, MESSAGE.as_bytes()).status, Some(0));
    assert_eq!((count(&first.maildir("user2")), count(&second.maildir("user2"))), (0, 1));
}

/// As Postfix's pipe(8) runs it with `user=vmail flags=DRhu`: as the mail user, with few variables, and
/// with fields in front that it adds.
#[test]
fn as_postfix_runs_it() {
    use std::os::unix::process::CommandExt;
    let listener = "service auth {\n  unix_listener auth-userdb {\n    mode = 0666\n  }\n}\nssl_key = <@DIR@/key.pem\ninfo_log_path = @DIR@/info\n";
    let mut host = builder().config(listener).prepare();
    fs::write(host.dir().join("info"), "").expect("a log");
    fs::set_permissions(host.dir().join("info"), fs::Permissions::from_mode(0o666)).expect("permissions");
    start_prepared(&mut host);
    for file in ["log", "info"] {
        fs::set_permissions(host.dir().join(file), fs::Permissions::from_mode(0o666)).expect("permissions");
    }
    // The mail user may not read the key, and need not.
    fs::set_permissions(host.dir().join("key.pem"), fs::Permissions::from_mode(0o600)).expect("permissions");
    let mut command = lda(&host, &["-f", "sender@x.org", "-a", "user1+ext@x.org", "-d", "user1"]);
    command.env("PATH", "/usr/bin:/bin").env("LANG", "C").env("MAIL_CONFIG", "/etc/postfix");
    if is_root() {
        command.uid(harness::host::MAIL_ID).gid(harness::host::MAIL_ID);
    }
    command.current_dir("/");
    let message = format!(
        "Return-Path: <sender@x.org>\nX-Original-To: user1+ext@x.org\nDelivered-To: user1@x.org\n{MESSAGE}"
    );
    let ran = run(&host, command, message.as_bytes());
    assert_eq!(ran.status, Some(0), "{}{}", ran.stderr, host.log());
    let (_, bytes) = newest(&host.maildir("user1"));
    assert_eq!(String::from_utf8_lossy(&bytes), message);
    let info = wait_for("a log line", || {
        fs::read_to_string(host.dir().join("info")).ok().filter(|info| info.contains("saved mail"))
    });
    assert!(info.contains("lda(user1)<"), "{info}");
}

/// 2.3 has a link `deliver`.
#[test]
fn it_is_also_called_deliver() {
    if !is_ours() {
        return;
    }
    let host = start(builder());
    let link = host.dir().join("deliver");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dovecot"), &link).expect("a link");
    let mut command = Command::new(link);
    command.arg("-c").arg(host.conf()).args(["-d", "user1"]).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(run(&host, command, MESSAGE.as_bytes()).status, Some(0));
}
