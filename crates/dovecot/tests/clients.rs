//! Mail clients that were not written here read, search, append, flag, move and expunge, each over
//! plain text, STARTTLS and implicit TLS: curl, mbsync, mutt, and Python's imaplib and poplib.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Builder, Host, Under, needs};

/// How a client connects: its own word for it, and the listeners.
const MODES: [(&str, &str, &str); 3] =
    [("plain", "imap", "pop3"), ("starttls", "imap", "pop3"), ("tls", "imaps", "pop3s")];

/// A server with a user for each mode, or nothing if a program is missing.
fn start(programs: &[&str]) -> Option<Host> {
    let real: &[&str] = if Under::from_env() == Under::Dovecot { &["dovecot", "doveadm"] } else { &[] };
    if !needs(programs) || !needs(real) {
        return None;
    }
    let builder = Builder::new(env!("CARGO_BIN_EXE_dovecot"));
    Some(MODES.iter().fold(builder, |builder, (mode, ..)| builder.user(mode, "pass")).start())
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn certificate(host: &Host) -> String {
    host.dir().join("cert.pem").display().to_string()
}

/// Runs a program that must succeed; gives what it wrote.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}\n{errors}", output.status);
    text
}

/// The server's side of the story: nothing but what an administrator need not read.
fn check_log(host: &Host) {
    let log = host.log();
    let bad = log.lines().find(|line| ["Error:", "Panic:", "Fatal:"].iter().any(|word| line.contains(word)));
    assert_eq!(bad, None);
}

#[test]
fn imaplib() {
    let Some(host) = start(&["python3"]) else { return };
    for (mode, imap, _) in MODES {
        let port = host.address(imap).port().to_string();
        run(Command::new("python3").arg(script("imap.py")).args([mode, &port, &certificate(&host), mode]));
    }
    check_log(&host);
}

#[test]
fn poplib() {
    let Some(host) = start(&["python3"]) else { return };
    for (mode, _, pop3) in MODES {
        let mut session = host.login(mode);
        for number in 1..=3 {
            let text = format!("Subject: {number}\r\n\r\n.dot\r\n..two\r\n.\r\nend\r\n");
            let done = session.imap("a", &format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()));
            assert!(done.last().is_some_and(|line| line.starts_with("a OK")), "{done:?}");
        }
        drop(session);
        let port = host.address(pop3).port().to_string();
        let arguments = [mode, &port, &certificate(&host), mode, "3"];
        run(Command::new("python3").arg(script("pop3.py")).args(arguments));
    }
    check_log(&host);
}

/// curl for one mode: URL and custom request to what the server sent.
struct Curl<'a> {
    host: &'a Host,
    mode: &'a str,
}

impl Curl<'_> {
    fn run(&self, listener: &str, path: &str, arguments: &[&str]) -> String {
        let port = self.host.address(listener).port();
        let url = format!("{listener}://localhost:{port}/{path}");
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--ipv4", "--user"]).arg(format!("{}:pass", self.mode));
        command.arg("--cacert").arg(certificate(self.host));
        if self.mode == "starttls" {
            command.arg("--ssl-reqd");
        }
        run(command.args(arguments).arg(url)).replace('\r', "")
    }

    fn ask(&self, listener: &str, request: &str) -> String {
        self.run(listener, "INBOX", &["--request", request])
    }
}

#[test]
fn curl() {
    let Some(host) = start(&["curl"]) else { return };
    for (mode, imap, pop3) in MODES {
        let curl = Curl { host: &host, mode };
        for number in 1..=3 {
            let file = host.dir().join("message");
            let text = format!("Subject: {number}\r\n\r\nbody {number}\r\n");
            fs::write(&file, text).expect("a file can be written");
            curl.run(imap, "INBOX", &["--upload-file", &file.display().to_string()]);
        }
        assert_eq!(curl.ask(imap, "SEARCH BODY \"body 2\""), "* SEARCH 2\n");
        assert_eq!(curl.run(imap, "INBOX;UID=2", &[]), "Subject: 2\n\nbody 2\n");
        assert_eq!(curl.run(imap, "INBOX;UID=3;SECTION=TEXT", &[]), "body 3\n");
        let stored = curl.ask(imap, "STORE 1 FLAGS (\\Deleted kw)");
        assert_eq!(stored, "* 1 FETCH (FLAGS (\\Deleted kw))\n");
        assert_eq!(curl.run(pop3, "", &[]), "1 22\n2 22\n3 22\n");
        assert_eq!(curl.run(pop3, "2", &[]), "Subject: 2\n\nbody 2\n");
        curl.run(pop3, "2", &["--request", "DELE", "--head"]);
        assert_eq!(curl.ask(imap, "EXPUNGE").lines().next(), Some("* 1 EXPUNGE"));
        assert_eq!(curl.ask(imap, "UID SEARCH ALL"), "* SEARCH 3\n");
        assert!(curl.run(imap, "", &["--request", "LIST \"\" INBOX"]).ends_with("\".\" INBOX\n"));
    }
    check_log(&host);
}

/// mbsync between the server and a local Maildir.
fn mbsync(host: &Host, mode: &str, imap: &str, dir: &Path) {
    let kind = match mode {
        "plain" => "None",
        "starttls" => "STARTTLS",
        _ => "IMAPS",
    };
    let (port, certificate, local) = (host.address(imap).port(), certificate(host), dir.display());
    let config = format!(
        "IMAPAccount a\nHost localhost\nPort {port}\nUser {mode}\nPass pass\nSSLType {kind}\n\
         SystemCertificates no\nCertificateFile {certificate}\nAuthMechs *\n\n\
         IMAPStore far\nAccount a\n\nMaildirStore near\nPath {local}/\nInbox {local}/INBOX\nSubFolders Verbatim\n\n\
         Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSync All\nSyncState *\n"
    );
    let path = host.dir().join("mbsyncrc");
    fs::write(&path, config).expect("a file can be written");
    run(Command::new("mbsync").arg("--config").arg(&path).arg("--all"));
}

/// The files of a local folder, sorted.
fn local_files(folder: &Path) -> Vec<PathBuf> {
    let read = |sub: &str| fs::read_dir(folder.join(sub)).expect("a local folder");
    let mut files: Vec<PathBuf> =
        ["new", "cur"].into_iter().flat_map(read).map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// UID, subject and flags of each message.
fn state(host: &Host, user: &str, mailbox: &str) -> Vec<String> {
    let mut session = host.login(user);
    session.imap("e", &format!("EXAMINE {mailbox}"));
    let mut lines = session.imap("f", "FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    lines.pop();
    let shown = lines.iter().map(|line| {
        let subject = line.split("Subject: ").nth(1).and_then(|rest| rest.lines().next());
        let flags = line.split_once("FLAGS (").and_then(|(_, rest)| rest.split_once(')'));
        let mut flags: Vec<_> = flags.expect("flags").0.split(' ').filter(|f| *f != "\\Recent").collect();
        flags.sort_unstable();
        let uid = line.split_once("UID ").and_then(|(_, rest)| rest.split(' ').next());
        format!("{} {} [{}]", uid.expect("a UID"), subject.expect("a subject"), flags.join(" "))
    });
    shown.collect()
}

#[test]
fn mbsync_both_ways() {
    let Some(host) = start(&["mbsync"]) else { return };
    for (mode, imap, _) in MODES {
        let mut session = host.login(mode);
        for (flags, subject) in [("(\\Seen)", "one"), ("(\\Flagged)", "two"), ("()", "three")] {
            let text = format!("Subject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nx\r\n");
            session.imap("a", &format!("APPEND INBOX {flags} {{{}+}}\r\n{text}", text.len()));
        }
        session.imap("c", "CREATE \"Entw&APw-rfe\"");
        drop(session);
        let local = host.dir().join(format!("local-{mode}"));
        fs::create_dir(&local).expect("a directory");
        mbsync(&host, mode, imap, &local);
        let inbox = local.join("INBOX");
        let files = local_files(&inbox);
        assert_eq!(files.len(), 3);
        assert!(local.join("Entw&APw-rfe/cur").is_dir());

        // One is answered here, one deleted, one is new.
        let holding = |text: &str| {
            let found =
                files.iter().find(|file| fs::read_to_string(file).is_ok_and(|all| all.contains(text)));
            found.unwrap_or_else(|| panic!("{text} is not in {files:?}")).clone()
        };
        let answered = holding("Subject: one");
        let name = answered.file_name().and_then(|name| name.to_str()).expect("a plain name").to_owned();
        let stem = name.split(":2,").next().expect("a name has a beginning");
        fs::rename(&answered, inbox.join("cur").join(format!("{stem}:2,RS"))).expect("a rename");
        fs::remove_file(holding("Subject: two")).expect("the file is there");
        fs::write(inbox.join("cur/1700000000.1.local:2,F"), "Subject: four\n\nlocal\n").expect("a file");
        mbsync(&host, mode, imap, &local);
        let expected = ["1 one [\\Answered \\Seen]", "3 three []", "4 four [\\Flagged]"];
        assert_eq!(state(&host, mode, "INBOX"), expected);
        // Nothing is left to do.
        let files = local_files(&inbox);
        mbsync(&host, mode, imap, &local);
        assert_eq!(local_files(&inbox), files);
    }
    check_log(&host);
}

#[test]
fn mutt() {
    let Some(host) = start(&["mutt", "python3"]) else { return };
    for (mode, imap, _) in MODES {
        let mut session = host.login(mode);
        for subject in ["one", "two", "three"] {
            let text = format!("From: a@example.com\r\nSubject: {subject}\r\n\r\nbody of {subject}\r\n");
            session.imap("a", &format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()));
        }
        drop(session);
        let (port, certificate) = (host.address(imap).port(), certificate(&host));
        let url = format!("{imap}://{mode}@localhost:{port}/");
        let force = if mode == "plain" { "no" } else { "yes" };
        let config = format!(
            "set imap_pass=pass folder={url} certificate_file={certificate} \
             imap_user={mode} ssl_starttls={force} ssl_force_tls={force}\n\
             set quit=yes delete=yes confirmappend=no confirmcreate=no wait_key=no move=no record= sleep_time=0\n\
             push \"<limit>~b 'of two'<enter><flag-message><save-message>=saved<enter><limit>all<enter>\
             <search>three<enter><delete-message><quit>\"\n"
        );
        let path = host.dir().join("muttrc");
        fs::write(&path, config).expect("a file can be written");
        let mut command = Command::new("python3");
        command.arg(script("pty.py")).args(["mutt", "-n", "-F"]).arg(&path);
        run(command.arg("-f").arg(format!("{url}INBOX")));
        assert_eq!(state(&host, mode, "INBOX"), ["1 one [Old]"]);
        assert_eq!(state(&host, mode, "saved"), ["1 two [\\Flagged]"]);
    }
    check_log(&host);
}
