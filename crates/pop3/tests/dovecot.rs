//! The same dialogues with us and with the real `pop3` of Dovecot 2.3, each on its own copy of one
//! Maildir: every byte of the answers must agree, and so must the files afterwards and the
//! statistics of the log line.

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use pop3::Pop3Settings;
use settings::Snapshot;
use support::{Client, user, write_maildir};

const POP3: &str = "/usr/lib/dovecot/pop3";

type Messages = [(&'static str, &'static str, &'static [u8])];

/// What a dialogue came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    answers: String,
    log: String,
    files: Vec<String>,
}

/// Plays `dialogue` on both with `config`.
fn check(config: &str, messages: &Messages, dialogue: &str) {
    if !Path::new(POP3).exists() {
        assert_ne!(std::env::var("REQUIRE").as_deref(), Ok("all"), "real Dovecot is not installed");
        eprintln!("left out: real Dovecot is not installed");
        return;
    }
    let input = dialogue.replace('\n', "\r\n");
    let (real, ours) = (real(config, messages, &input), ours(config, messages, &input));
    assert_eq!(ours.answers, real.answers, "{config:?} {dialogue:?}");
    assert_eq!(ours, real, "{config:?} {dialogue:?}");
}

fn ours(config: &str, messages: &Messages, input: &str) -> Outcome {
    let dir = tempfile::tempdir().expect("a directory");
    let maildir = dir.path().join("Maildir");
    write_maildir(&maildir, messages);
    let settings = Snapshot::from_text(config).expect("a configuration").root();
    let settings = Pop3Settings::new(&settings).expect("settings");
    let mut client = Client::new(&user(&maildir), settings);
    client.send(input.as_bytes());
    let answers = client.read_all();
    let answers = answers.strip_prefix("+OK Logged in.\r\n").expect("the answer to the login").to_owned();
    let log = format!("{} {}", client.closed().unwrap_or("Connection closed"), client.statistics());
    client.hang_up();
    Outcome { answers, log, files: files(&maildir) }
}

fn real(config: &str, messages: &Messages, input: &str) -> Outcome {
    let dir = tempfile::tempdir().expect("a directory");
    let maildir = dir.path().join("Maildir");
    write_maildir(&maildir, messages);
    let (path, id) = (dir.path().display(), own(dir.path()));
    let conf = dir.path().join("dovecot.conf");
    let text = format!(
        "base_dir = {path}/run\nstate_dir = {path}/run\nlog_path = {path}/log\nssl = no\n\
         mail_location = maildir:{path}/Maildir\nmail_uid = {id}\nmail_gid = {id}\nmail_home = {path}\n\
         first_valid_uid = 1\nfirst_valid_gid = 1\nnamespace inbox {{\n  inbox = yes\n}}\n{config}"
    );
    std::fs::write(&conf, text).expect("a configuration");
    let (answers, log) = run(&conf, input);
    // What a lost connection leaves in the index reaches the names of files with the next session.
    run(&conf, "QUIT\r\n");
    let log = log.lines().find_map(|line| line.split_once("Disconnected: ")).map_or("", |(_, text)| text);
    Outcome { answers, log: log.to_owned(), files: files(&maildir) }
}

/// Runs a session; its answers, and its log.
fn run(conf: &Path, input: &str) -> (String, String) {
    let mut child = Command::new(POP3)
        .arg("-c")
        .arg(conf)
        .env("USER", "tester")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("real pop3");
    // It may have gone before it has read all.
    let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its answers");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Gives all files to whom Dovecot works as: not root.
fn own(dir: &Path) -> u32 {
    fn walk(path: &Path, id: u32) {
        std::os::unix::fs::lchown(path, Some(id), Some(id)).expect("a new owner");
        if path.is_dir() {
            std::fs::read_dir(path)
                .expect("a directory")
                .for_each(|entry| walk(&entry.expect("a file").path(), id));
        }
    }
    let me = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(dir).expect("the directory"));
    if me != 0 {
        return me;
    }
    walk(dir, 65534);
    65534
}

/// Messages, and what the uidlist has on them without sizes, which Dovecot keeps elsewhere.
fn files(maildir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for sub in ["cur", "new"] {
        for entry in std::fs::read_dir(maildir.join(sub)).expect("a directory") {
            all.push(format!("{sub}/{}", entry.expect("a file").file_name().to_string_lossy()));
        }
    }
    all.sort();
    let uidlist = std::fs::read_to_string(maildir.join("dovecot-uidlist")).expect("a uidlist");
    let messages = all.join("\n");
    // Lines of messages that have gone are harmless, and go when the file is next written.
    let is_there = |line: &&str| line.split_once(':').is_some_and(|(_, name)| messages.contains(name));
    for line in uidlist.lines().skip(1).filter(is_there) {
        let words = line.split(' ').filter(|word| !word.starts_with(['W', 'S']));
        all.push(words.collect::<Vec<_>>().join(" "));
    }
    all
}

const MAIL: &Messages = &[
    ("1.a.host:2,", "", b"Subject: one\nX-UIDL: xone\n\nbody\n.dot\n..\nlast"),
    ("2.b.host,S=19:2,S", "", b"Subject: two\r\n\r\n2\r\n"),
    ("3.c.host:2,", "Pkept", b"no header"),
    ("4.d.host:2,S", "P", b"Subject: four\nX-UIDL: same\n\nn\0ul\n\n\nx\n"),
    ("5.e.host:2,", "", b"Subject: five\nX-UIDL: same\n\n"),
    ("6.f.host:2,", "", b""),
];

#[test]
fn commands() {
    check("", MAIL, "STAT\nLIST\nUIDL\nNOOP\nCAPA\nLAST\nQUIT\n");
    check("", MAIL, "LIST 1\nLIST 2\nUIDL 1\nUIDL 3\nUIDL 4\nstat\nlist 6\nQUIT\n");
    check("", MAIL, "RETR 1\nRETR 2\nRETR 3\nRETR 4\nRETR 5\nRETR 6\nQUIT\n");
    check(
        "",
        MAIL,
        "TOP 1 0\nTOP 1 1\nTOP 1 2\nTOP 1 99\nTOP 2 0\nTOP 3 0\nTOP 4 2\nTOP 5 1\nTOP 6 1\nQUIT\n",
    );
}

#[test]
fn deleting() {
    check("", MAIL, "DELE 1\nDELE 1\nDELE 3\nSTAT\nLIST\nUIDL\nRETR 1\nLIST 1\nRSET\nSTAT\nDELE 2\nQUIT\n");
    check("", MAIL, "RETR 1\nDELE 1\nRETR 3\nDELE 2\n");
    check("", MAIL, "RETR 1\nDELE 1\nRETR 3\nDELE 2\nQUIT\nNOOP\n");
    check("", MAIL, "RETR 1\nRSET\nQUIT\n");
    check("", MAIL, "DELE 1\nRSET\nQUIT\n");
    check("", &[], "STAT\nLIST\nUIDL\nRETR 1\nDELE 1\nQUIT\n");
}

#[test]
fn mistakes() {
    check("", MAIL, "\n FOO\nfoo bar\nLIST x\nLIST -1\nLIST 0\nLIST 7\nLIST 1 2\nLIST 1 \nLIST  1\nQUIT\n");
    check(
        "",
        MAIL,
        "RETR\nDELE\nTOP\nTOP 1\nTOP 1 \nTOP 1 x\nTOP 1 -1\nTOP 1 1 \nTOP  1  1\nUIDL 0\nUIDL x\nQUIT\n",
    );
    check("", MAIL, "RETR 4294967295\nRETR 4294967296\nRETR 4294967297 x\nRETR 99999999999999999999\nQUIT\n");
    check(
        "",
        MAIL,
        "TOP 1 18446744073709551616 \nTOP 1 99999999999999999999\nRETR 1x\nNOOP x\nSTAT 1\nQUIT now\n",
    );
    check("", MAIL, &format!("NOOP\n{}NOOP\n", "x\n".repeat(21)));
    check("", MAIL, &format!("{}NOOP\n{}QUIT\n", "x\n".repeat(20), "x\n".repeat(20)));
    check("", MAIL, "NO\u{e9}P \u{e9}\nN\u{1}O\nLIST\t1\nAPOP a b\nUSER x\nAUTH\nSTLS\nQUIT\n");
    check("", MAIL, &format!("{}\nNOOP\n", "x".repeat(2046)));
    check("", MAIL, &format!("{}\nNOOP\n", "x".repeat(2100)));
}

#[test]
fn workarounds() {
    let all = "RETR 1\nRETR 3\nRETR 4\nTOP 3 0\nTOP 6 3\nRETR 6\nQUIT\n";
    check("pop3_client_workarounds = outlook-no-nuls\n", MAIL, all);
    check("pop3_client_workarounds = oe-ns-eoh\n", MAIL, all);
    check("pop3_client_workarounds = outlook-no-nuls oe-ns-eoh\n", MAIL, all);
}

#[test]
fn flags() {
    check("pop3_no_flag_updates = yes\n", MAIL, "RETR 1\nLIST\nDELE 3\nQUIT\n");
    check(
        "pop3_enable_last = yes\n",
        MAIL,
        "LAST\nRETR 1\nLAST\nRETR 5\nLAST\nRSET\nLAST\nRETR 1\nLAST\nQUIT\n",
    );
    check("pop3_enable_last = yes\n", MAIL, "LAST\nTOP 6 1\nLAST\nQUIT\n");
}

#[test]
fn deleted_flags() {
    let flag = "pop3_deleted_flag = work\n";
    let keywords = "DELE 1\nQUIT\n";
    check(&format!("{flag}pop3_delete_type = expunge\n"), MAIL, keywords);
    check("pop3_deleted_flag = POP3Deleted\n", MAIL, "STAT\nDELE 1\nRETR 3\nDELE 3\nLIST\nQUIT\n");
}

#[test]
fn unique_ids() {
    for format in ["%08Xu%08Xv", "%v.%u", "%f", "%g", "%Mf", "%u%%x", "%-4u", "%5.2g"] {
        check(&format!("pop3_uidl_format = {format}\n"), MAIL, "UIDL\nUIDL 1\nUIDL 2\nQUIT\n");
    }
    check("pop3_uidl_format = %m\n", MAIL, "UIDL\nNOOP\n");
    check("pop3_uidl_format = %m\n", MAIL, "UIDL 1\nNOOP\n");
    check("pop3_reuse_xuidl = yes\n", MAIL, "UIDL\nUIDL 4\nQUIT\n");
    check(
        "pop3_reuse_xuidl = yes\npop3_uidl_duplicates = rename\n",
        MAIL,
        "UIDL\nUIDL 5\nDELE 4\nUIDL\nQUIT\n",
    );
    check("pop3_uidl_format = x%1.0u\npop3_uidl_duplicates = rename\n", MAIL, "UIDL 6\nUIDL\nQUIT\n");
}

#[test]
fn saved_unique_ids() {
    check("pop3_save_uidl = yes\n", MAIL, "UIDL\nQUIT\n");
    check("pop3_save_uidl = yes\n", MAIL, "UIDL 2\nQUIT\n");
    check("pop3_save_uidl = yes\npop3_uidl_format = %f\n", MAIL, "UIDL\nQUIT\n");
    check("pop3_save_uidl = yes\n", MAIL, "UIDL\n");
}

#[test]
fn order() {
    let mail: &Messages = &[
        ("1.a.host:2,", "", b"Subject: 1\n\n"),
        ("2.b.host:2,", "O7", b"Subject: 22\n\n"),
        ("3.c.host:2,", "O3", b"Subject: 333\n\n"),
        ("4.d.host:2,", "", b"Subject: 4444\n\n"),
    ];
    check("", mail, "LIST\nUIDL\nRETR 1\nDELE 2\nQUIT\n");
    check("pop3_uidl_duplicates = rename\n", mail, "UIDL\nQUIT\n");
}

#[test]
fn sizes() {
    let mail: &Messages = &[
        ("1.a.host:2,", "", b"Subject: 1\n\n"),
        ("2.b.host,S=13:2,", "", b"Subject: 22\n\n"),
        ("3.c.host,S=14,W=99:2,", "", b"Subject: 333\n\n"),
    ];
    check("pop3_fast_size_lookups = yes\n", mail, "STAT\nLIST\nQUIT\n");
}

#[test]
fn log_lines() {
    for format in [
        "%t %p %r %b %d %m %s %i %o",
        "%{top_count} %{top_bytes} %{retr_count} %{retr_bytes} %{deleted_count} %{deleted_bytes}",
        "%{message_count} %{message_bytes} %{input} %{output}",
        "uidls=%u out=%o",
        "%{uidl_change}",
    ] {
        let config = format!("pop3_logout_format = {format}\n");
        check(&config, MAIL, "TOP 1 0\nTOP 2 1\nRETR 1\nRETR 4\nDELE 1\nQUIT\n");
        check(&config, MAIL, "UIDL\nRETR 3\nRETR 4\nDELE 1\nQUIT\n");
        check(&config, MAIL, "UIDL\nDELE 1\n");
        check(&config, MAIL, "UIDL\nQUIT\n");
    }
}
