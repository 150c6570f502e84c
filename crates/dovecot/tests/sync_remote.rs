//! `doveadm sync` and `backup` with another server: over a doveadm server's socket, and with Dovecot's own
//! dsync at the other end, whose mail is taken over.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use harness::{Builder, Host, Under, needs};

const CONFIG: &str = "\
doveadm_password = secret
mail_attribute_dict = file:%h/dovecot-attributes
service pop3-login {
  inet_listener pop3s {
    port = 0
  }
}
service doveadm {
  inet_listener {
    port = @POP3S@
  }
}
";

const NAMESPACE: &str = "namespace inbox {\n  separator = /\n}\n";

fn host_with(under: Under, more: &str) -> Host {
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).under(under).config(CONFIG).config(more).start()
}

fn host(under: Under, format: &str) -> Host {
    host_with(under, &format!("mail_location = {format}:~/store\n{NAMESPACE}"))
}

fn address(host: &Host) -> String {
    format!("tcp:{}", host.address("pop3s"))
}

fn output(host: &Host, words: &[&str]) -> Output {
    Command::new(host.program("doveadm"))
        .arg("-c")
        .arg(host.conf())
        .args(words)
        .output()
        .expect("doveadm runs")
}

#[track_caller]
fn run(host: &Host, words: &[&str]) -> String {
    let done = output(host, words);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{words:?}: {said}\n{}", host.log());
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[track_caller]
fn save(host: &Host, mailbox: &str, text: &str) {
    let path = host.dir().join("message");
    fs::write(&path, text).expect("a file");
    run(host, &["save", "-u", "user1", "-m", mailbox, &path.display().to_string()]);
}

/// All that must be the same on both sides. Formats with GUIDs of 128 bits only convert longer ones.
#[track_caller]
fn state(host: &Host, with_guids: bool) -> BTreeSet<String> {
    let mut state = BTreeSet::new();
    let fields = "uidvalidity uidnext messages unseen guid";
    state.extend(run(host, &["mailbox", "status", "-u", "user1", fields, "*"]).lines().map(str::to_owned));
    let guid = if with_guids { " guid" } else { "" };
    let fields = format!("mailbox uid date.received.unixtime hdr.subject size.virtual body{guid}");
    for record in run(host, &["-f", "pager", "fetch", "-u", "user1", &fields, "all"]).split('\u{c}') {
        state.insert(record.trim_start_matches('\n').to_owned());
    }
    for line in run(host, &["-f", "flow", "fetch", "-u", "user1", "mailbox uid flags", "all"]).lines() {
        let (what, flags) = line.split_once(" flags=").unwrap_or((line, ""));
        let flags: BTreeSet<&str> =
            flags.split(' ').filter(|flag| !matches!(*flag, "" | "\\Recent")).collect();
        state.insert(format!("{what} {flags:?}"));
    }
    for name in run(host, &["mailbox", "list", "-u", "user1", "-s"]).lines() {
        state.insert(format!("subscribed: {name}"));
    }
    for mailbox in ["INBOX", "Work/Old"] {
        let value = output(host, &["mailbox", "metadata", "get", "-u", "user1", mailbox, "/private/note"]);
        state.insert(format!("note of {mailbox}: {}", String::from_utf8_lossy(&value.stdout)));
    }
    state
}

#[track_caller]
fn same(one: &Host, other: &Host, with_guids: bool, when: &str) {
    let (left, right) = (state(one, with_guids), state(other, with_guids));
    let short = |text: &String| text.chars().take(300).collect::<String>();
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).map(short).collect::<Vec<_>>();
    assert!(left == right, "{when}: {:#?} instead of {:#?}", only(&left, &right), only(&right, &left));
}

/// Mailboxes, flags, keywords, holes, long and odd messages.
fn with_mail(host: &Host) {
    run(host, &["mailbox", "create", "-u", "user1", "-s", "Work", "Work/Old", "Empty", "Gr\u{fc}n"]);
    for number in 0..5 {
        let text = format!("Subject: {number}\nMessage-ID: <{number}@x>\n\n.dot\n..\n\u{1}\u{2}{number}");
        save(host, "Work/Old", &text);
        save(host, "INBOX", &text);
    }
    save(host, "Work", &format!("Subject: long\r\n\r\n{}", "0123456789abcdef\r\n.\r\n".repeat(100_000)));
    run(host, &["flags", "add", "-u", "user1", "\\Seen $Label", "mailbox", "Work/Old", "uid", "2:3"]);
    run(host, &["flags", "add", "-u", "user1", "\\Flagged", "mailbox", "INBOX", "uid", "1"]);
    run(host, &["expunge", "-u", "user1", "mailbox", "Work/Old", "uid", "4"]);
    run(host, &["mailbox", "metadata", "set", "-u", "user1", "INBOX", "/private/note", "a\tb"]);
    run(host, &["mailbox", "metadata", "set", "-u", "user1", "Work/Old", "/private/note", "old"]);
}

/// What an administrator does who moves from the original: takes the mail over, again and again.
#[test]
fn the_originals_mail_is_taken_over() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    for (from, to) in [("maildir", "maildir"), ("mdbox", "sdbox"), ("maildir", "mdbox"), ("sdbox", "maildir")]
    {
        let (real, ours) = (host(Under::Dovecot, from), host(Under::Ours, to));
        let with_guids = from != "maildir" || to == "maildir";
        with_mail(&real);
        let place = address(&real);
        let pull = ["backup", "-R", "-u", "user1", &place];
        assert_eq!(run(&ours, &pull), "");
        same(&ours, &real, with_guids, &format!("{from} to {to} at first"));
        run(&ours, &pull);
        same(&ours, &real, with_guids, &format!("{from} to {to} again"));
        run(&real, &["flags", "remove", "-u", "user1", "\\Seen", "mailbox", "Work/Old", "uid", "2"]);
        run(&real, &["expunge", "-u", "user1", "mailbox", "INBOX", "uid", "3"]);
        save(&real, "INBOX", "Subject: new\n\nnew\n");
        run(&real, &["mailbox", "rename", "-u", "user1", "Empty", "Full"]);
        run(&real, &["mailbox", "delete", "-u", "user1", "-s", "Gr\u{fc}n"]);
        run(&real, &["mailbox", "metadata", "unset", "-u", "user1", "INBOX", "/private/note"]);
        run(&ours, &["mailbox", "create", "-u", "user1", "-s", "Mine"]);
        run(&ours, &pull);
        same(&ours, &real, with_guids, &format!("{from} to {to} after changes"));
        // Mail that came to the new server meanwhile stays where changes only come in.
        save(&ours, "INBOX", "Subject: mine\n\nmine\n");
        save(&real, "Work", "Subject: theirs\n\ntheirs\n");
        run(&ours, &["sync", "-1", "-R", "-u", "user1", &place]);
        let subjects = run(&ours, &["-f", "flow", "fetch", "-u", "user1", "hdr.subject", "all"]);
        assert!(subjects.contains("mine") && subjects.contains("theirs"), "{subjects}");
    }
}

#[test]
fn through_the_originals_command_and_with_filters() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let (real, ours) = (host(Under::Dovecot, "maildir"), host(Under::Ours, "maildir"));
    with_mail(&real);
    let program = real.program("doveadm").display().to_string();
    let conf = real.conf().display().to_string();
    let command = [&program, "-c", &conf, "dsync-server", "-u", "user1"];
    let options = ["sync", "-1", "-R", "-u", "user1", "-m", "Work*", "-I", "1k", "-O", "\\Seen"];
    run(&ours, &[&options[..], &command].concat());
    let found = run(&ours, &["-f", "flow", "fetch", "-u", "user1", "mailbox hdr.subject", "all"]);
    assert_eq!(found, "mailbox=Work/Old hdr.subject=1\nmailbox=Work/Old hdr.subject=2\n");
    run(&ours, &[&["backup", "-R", "-u", "user1"][..], &command].concat());
    let found = run(&ours, &["-f", "flow", "fetch", "-u", "user1", "uid", "mailbox", "Work", "all"]);
    assert_eq!(found, "uid=1\n");
    // Both ways at once is refused before anything happens.
    let refused = "Changes go one way with Dovecot's dsync at the other end: use backup or sync -1";
    let done = output(&ours, &["sync", "-u", "user1", &address(&real)]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(said, format!("doveadm(user1): Error: sync failed: {refused}\n"));
    assert_eq!(done.status.code(), Some(65));
    assert!(!output(&real, &["sync", "-u", "user1", &address(&ours)]).status.success());
    ours.wait_log("Error: dsync-server failed: dsync both ways isn't supported with this server");
}

/// The original is run at its own end, or gets mail from ours: the way back.
#[test]
fn mail_goes_and_comes_whoever_runs_the_command() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    for (first, second) in [("maildir", "sdbox"), ("mdbox", "maildir"), ("maildir", "maildir")] {
        let with_guids = first != "maildir" || second == "maildir";
        for (from, to, pulls) in [
            (Under::Dovecot, Under::Ours, false),
            (Under::Ours, Under::Dovecot, false),
            (Under::Ours, Under::Dovecot, true),
        ] {
            let (from, to) = (host(from, first), host(to, second));
            let what = format!("{first} of {:?} to {second}, pulls: {pulls}", from.under());
            with_mail(&from);
            let places = (address(&from), address(&to));
            let go = || match pulls {
                true => run(&to, &["backup", "-R", "-u", "user1", &places.0]),
                false => run(&from, &["backup", "-u", "user1", &places.1]),
            };
            go();
            same(&to, &from, with_guids, &format!("{what}, at first"));
            go();
            same(&to, &from, with_guids, &format!("{what}, again"));
            run(&from, &["flags", "remove", "-u", "user1", "\\Seen", "mailbox", "Work/Old", "uid", "2"]);
            run(&from, &["expunge", "-u", "user1", "mailbox", "INBOX", "uid", "3"]);
            save(&from, "INBOX", "Subject: new\n\nnew\n");
            run(&from, &["mailbox", "rename", "-u", "user1", "Empty", "Full"]);
            go();
            same(&to, &from, with_guids, &format!("{what}, after changes"));
            if !pulls {
                save(&to, "INBOX", "Subject: mine\n\nmine\n");
                save(&from, "Work", "Subject: theirs\n\ntheirs\n");
                run(&from, &["sync", "-1", "-u", "user1", &places.1]);
                let subjects = run(&to, &["-f", "flow", "fetch", "-u", "user1", "hdr.subject", "all"]);
                assert!(subjects.contains("mine") && subjects.contains("theirs"), "{what}: {subjects}");
            }
        }
    }
}

#[test]
fn two_servers_of_ours_over_tcp() {
    let (one, other) = (host(Under::Ours, "maildir"), host(Under::Ours, "mdbox"));
    with_mail(&one);
    let place = address(&other);
    let sync = ["sync", "-u", "user1", &place];
    run(&one, &sync);
    same(&one, &other, false, "at first");
    save(&other, "INBOX", "Subject: theirs\n\ntheirs\n");
    save(&one, "Work", "Subject: mine\n\nmine\n");
    run(&other, &["mailbox", "metadata", "set", "-u", "user1", "Work/Old", "/private/note", "very old"]);
    run(&one, &sync);
    same(&one, &other, false, "after changes");
    let value = run(&one, &["mailbox", "metadata", "get", "-u", "user1", "Work/Old", "/private/note"]);
    assert_eq!(value, "very old\n");
    let failed = output(&one, &["sync", "-u", "user1", "-o", "x", "tcp:127.0.0.1:1"]);
    assert!(!failed.status.success());
    let unknown = output(&one, &["sync", "-u", "user3", &place]);
    assert!(unknown.status.success(), "{}", harness::host::stderr(&unknown));
}

#[test]
fn the_destination_is_in_the_userdb() {
    let other = host(Under::Ours, "maildir");
    let replica = format!("plugin {{\n  mail_replica = {}\n}}\n", address(&other));
    let one = host_with(Under::Ours, &format!("mail_location = maildir:~/store\n{NAMESPACE}{replica}"));
    save(&one, "INBOX", "Subject: one\n\none\n");
    run(&one, &["sync", "-u", "user1", "-d", "-U"]);
    same(&one, &other, true, "through mail_replica");
    let done = output(&other, &["sync", "-u", "user1", "-d"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(said, "doveadm(user1): Error: User has no mail_replica in userdb\n");
    assert_eq!(done.status.code(), Some(68));
}

#[test]
fn several_namespaces_and_names_without_mail() {
    let namespaces = "\
mail_location = sdbox:~/store
namespace inbox {
  separator = /
}
namespace archive {
  separator = /
  prefix = Archive/
  location = sdbox:~/archive
}
";
    let (one, other) = (host_with(Under::Ours, namespaces), host_with(Under::Ours, namespaces));
    run(&one, &["mailbox", "create", "-u", "user1", "Archive/2020", "Mine", "Folder/"]);
    save(&one, "Archive/2020", "Subject: old\n\nold\n");
    let names = |host: &Host| -> Vec<String> {
        let mut names: Vec<String> =
            run(host, &["mailbox", "list", "-u", "user1"]).lines().map(str::to_owned).collect();
        names.retain(|name| name != "Archive");
        names.sort();
        names
    };
    let place = address(&other);
    run(&one, &["sync", "-u", "user1", &place]);
    assert_eq!(names(&other), ["Folder", "INBOX", "Mine"]);
    run(&one, &["sync", "-u", "user1", "-N", &place]);
    assert_eq!(names(&other), ["Archive/2020", "Folder", "INBOX", "Mine"]);
    let found = run(
        &other,
        &["-f", "flow", "fetch", "-u", "user1", "mailbox hdr.subject", "mailbox", "Archive/*", "all"],
    );
    assert_eq!(found, "mailbox=Archive/2020 hdr.subject=old\n");
    run(&other, &["mailbox", "create", "-u", "user1", "Archive/2021", "Theirs"]);
    run(&one, &["sync", "-u", "user1", "-n", "", "-n", "Archive/", &place]);
    assert_eq!(names(&one), ["Archive/2020", "Archive/2021", "Folder", "INBOX", "Mine", "Theirs"]);
    let done = output(&one, &["sync", "-u", "user1", "-n", "Nowhere/", &place]);
    assert_eq!(harness::host::stderr(&done), "doveadm(user1): Fatal: Namespace not found: 'Nowhere/'\n");
}
