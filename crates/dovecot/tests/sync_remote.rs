//! `doveadm sync` and `backup` with another server: over a doveadm server's socket, and with Dovecot's own
//! dsync at the other end, whose mail is taken over.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
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
}

/// Changes of both sides, among them such as fight, while nobody has synchronized.
fn change_both(one: &Host, other: &Host) {
    // The same UID for two messages, twice.
    for (host, name) in [(one, "one"), (other, "other")] {
        save(host, "INBOX", &format!("Subject: new of {name}\n\nx\n"));
        save(host, "Work/Old", &format!("Subject: old of {name}\n\nx\n"));
    }
    // Where all numbers were the same both would pass the mailbox over.
    save(one, "INBOX", "Subject: a second one\n\nx\n");
    save(one, "Work/Old", "Subject: a second one\n\nx\n");
    // Flags of the same message, and one that both change.
    run(one, &["flags", "add", "-u", "user1", "\\Answered first", "mailbox", "INBOX", "uid", "1"]);
    run(other, &["flags", "add", "-u", "user1", "\\Draft second", "mailbox", "INBOX", "uid", "1"]);
    run(one, &["flags", "remove", "-u", "user1", "$Label", "mailbox", "Work/Old", "uid", "2"]);
    run(other, &["flags", "add", "-u", "user1", "\\Flagged", "mailbox", "Work/Old", "uid", "2"]);
    // Expunged on one side, in the middle, and changed on the other.
    run(one, &["expunge", "-u", "user1", "mailbox", "INBOX", "uid", "3"]);
    run(other, &["expunge", "-u", "user1", "mailbox", "INBOX", "uid", "4"]);
    run(one, &["flags", "add", "-u", "user1", "\\Seen", "mailbox", "INBOX", "uid", "4"]);
    // Mailboxes.
    run(one, &["mailbox", "rename", "-u", "user1", "Renamed", "Work/There"]);
    run(other, &["mailbox", "delete", "-u", "user1", "-s", "Gone"]);
    run(one, &["mailbox", "create", "-u", "user1", "-s", "Of one", "Of both"]);
    run(other, &["mailbox", "create", "-u", "user1", "-s", "Of other", "Of both"]);
    save(one, "Of both", "Subject: both 1\n\nx\n");
    save(other, "Of both", "Subject: both 2\n\nx\n");
    run(other, &["mailbox", "unsubscribe", "-u", "user1", "Work"]);
    run(one, &["mailbox", "metadata", "set", "-u", "user1", "INBOX", "/private/note", "z"]);
}

/// What both sides must have in the end.
fn all_is_there(host: &Host, what: &str) {
    let list = ["-f", "flow", "fetch", "-u", "user1", "mailbox hdr.subject", "all"];
    let mut found: Vec<String> = run(host, &list).lines().map(str::to_owned).collect();
    found.sort();
    let inbox = ["0", "1", "4", "a second one", "new of one", "new of other"];
    let old = ["0", "1", "2", "4", "a second one", "old of one", "old of other"];
    let rest = ["mailbox=Of both hdr.subject=both 1", "mailbox=Of both hdr.subject=both 2"];
    let mut wanted: Vec<String> = inbox.map(|text| format!("mailbox=INBOX hdr.subject={text}")).into();
    wanted.extend(old.map(|text| format!("mailbox=Work/Old hdr.subject={text}")));
    wanted.extend(rest.map(str::to_owned));
    wanted.push("mailbox=Work hdr.subject=long".to_owned());
    wanted.sort();
    assert_eq!(found, wanted, "{:?}: {what}", host.under());
    let mut names: Vec<String> =
        run(host, &["mailbox", "list", "-u", "user1"]).lines().map(str::to_owned).collect();
    names.sort();
    let wanted = ["Empty", "Gr\u{fc}n", "INBOX", "Of both", "Of one", "Of other", "Work"];
    assert_eq!(names, [&wanted[..], &["Work/Old", "Work/There"]].concat(), "{:?}", host.under());
}

/// Changes of both sides come together, whoever of the two begins.
#[test]
fn both_ways_with_the_original() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let formats = [("maildir", "mdbox"), ("mdbox", "maildir"), ("maildir", "maildir"), ("mdbox", "mdbox")];
    for (first, second) in formats {
        let with_guids = first == second;
        for (starts, serves) in [(Under::Ours, Under::Dovecot), (Under::Dovecot, Under::Ours)] {
            let (one, other) = (host(starts, first), host(serves, second));
            let what = format!("{first} of {starts:?} with {second}");
            with_mail(&one);
            run(&one, &["mailbox", "create", "-u", "user1", "-s", "Gone"]);
            run(&one, &["mailbox", "create", "-u", "user1", "Renamed"]);
            let place = address(&other);
            let sync = |options: &[&str]| run(&one, &[&["sync", "-u", "user1"], options, &[&place]].concat());
            sync(&[]);
            same(&one, &other, with_guids, &format!("{what}, at first"));
            change_both(&one, &other);
            sync(&[]);
            all_is_there(&one, &what);
            same(&one, &other, with_guids, &format!("{what}, after changes"));
            sync(&["-f"]);
            same(&one, &other, with_guids, &format!("{what}, once more"));
        }
    }
}

/// Only what has changed since the last time is told, and what is printed may be given to the other one.
#[test]
fn what_changed_since_a_state() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    for (starts, serves) in [(Under::Ours, Under::Dovecot), (Under::Dovecot, Under::Ours)] {
        let (one, other) = (host(starts, "mdbox"), host(serves, "maildir"));
        with_mail(&one);
        let server = address(&other);
        let sync = |options: &[&str]| {
            run(&one, &[&["sync", "-u", "user1"], options, &[&server]].concat()).trim_end().to_owned()
        };
        let first = sync(&["-s", ""]);
        assert!(!first.is_empty());
        same(&one, &other, false, "at first");
        // Numbers that saving has raised are levelled.
        let first = sync(&["-s", &first]);
        // Whoever has the mail writes it.
        let place = tempfile::tempdir().expect("a directory");
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
        let raw = place.path().join("raw");
        let raw_text = raw.display().to_string();
        for (host, name) in [(&one, "one"), (&other, "other")] {
            save(host, "INBOX", &format!("Subject: new of {name}\n\nx\n"));
        }
        run(&other, &["flags", "add", "-u", "user1", "\\Seen", "mailbox", "INBOX", "uid", "1"]);
        run(&one, &["expunge", "-u", "user1", "mailbox", "INBOX", "uid", "2"]);
        let second = sync(&["-s", &first, "-r", &raw_text]);
        assert_ne!(first, second);
        same(&one, &other, false, "after changes");
        let text = fs::read_to_string(&raw).expect("what went over the line");
        // Mailboxes that are as they were are not named, and messages that both have are not told.
        let lines = |start: &str| text.lines().filter(|line| line.contains(start)).count() - 1;
        assert!(lines(" O: B") < 4, "{starts:?}: {text}");
        assert!(lines(" O: C") + lines(" I: C") <= 5, "{starts:?}: {text}");
        sync(&["-s", &second]);
        same(&one, &other, false, "again");
        let broken = output(&one, &["sync", "-u", "user1", "-s", "broken", &server]);
        let said = harness::host::stderr(&broken);
        assert!(said.contains("Saved sync state is invalid, falling back to full sync: "), "{said}");
    }
}

/// The same one way only, whoever gives and whoever takes.
#[test]
fn what_changed_since_a_state_goes_one_way() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    for (starts, serves) in [(Under::Ours, Under::Dovecot), (Under::Dovecot, Under::Ours)] {
        for command in [&["backup"][..], &["sync", "-1"], &["backup", "-R"]] {
            let (one, other) = (host(starts, "mdbox"), host(serves, "maildir"));
            let pulls = command.contains(&"-R");
            let (from, to) = if pulls { (&other, &one) } else { (&one, &other) };
            with_mail(from);
            if command.contains(&"-1") {
                // Only messages settle which UIDVALIDITY counts.
                run(from, &["mailbox", "delete", "-u", "user1", "-s", "Empty", "Gr\u{fc}n"]);
            }
            let server = address(&other);
            let words = |options: &[&str]| {
                let words = [command, &["-u", "user1"], options, &[&server]].concat();
                words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()
            };
            let go = |options: &[&str]| {
                let words = words(options);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                output(&one, &words)
            };
            let what = format!("{command:?} of {starts:?}");
            let state = |options: &[&str]| {
                let Output { status, stdout, stderr } = go(options);
                let said = String::from_utf8_lossy(&stderr).into_owned();
                assert!(status.success(), "{what}: {said}\n{}", other.log());
                String::from_utf8(stdout).expect("text").trim_end().to_owned()
            };
            if pulls {
                // The original's state has no mailboxes that it has only just made.
                state(&["-s", ""]);
            }
            let first = state(&["-s", ""]);
            assert!(first.len() > 100, "{what}: {first}");
            same(from, to, false, &format!("{what}, at first"));
            // Whoever has the mail writes it.
            let place = tempfile::tempdir().expect("a directory");
            fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
            let raw = place.path().join("raw");
            save(from, "INBOX", "Subject: new\n\nx\n");
            run(from, &["flags", "add", "-u", "user1", "\\Draft new", "mailbox", "INBOX", "uid", "1"]);
            run(from, &["expunge", "-u", "user1", "mailbox", "INBOX", "uid", "2"]);
            if pulls && starts == Under::Dovecot {
                // The original asks for mailboxes only that have changed on its own side.
                run(to, &["flags", "add", "-u", "user1", "\\Answered", "mailbox", "INBOX", "uid", "3"]);
                run(from, &["flags", "add", "-u", "user1", "\\Answered", "mailbox", "INBOX", "uid", "3"]);
            }
            let second = state(&["-s", &first, "-r", &raw.display().to_string()]);
            assert_ne!(first, second, "{what}");
            same(from, to, false, &format!("{what}, after changes"));
            let text = fs::read_to_string(&raw).expect("what went over the line");
            let lines = |start: &str| text.lines().filter(|line| line.contains(start)).count();
            // The names of values come first, in a line of their own. What we take over is named in any case.
            assert!(pulls || lines(" O: B") <= 4, "{what}: {text}");
            // The original's state has not all mailboxes when it pulls.
            let told = lines(" O: C") + lines(" I: C");
            assert!(pulls && starts == Under::Dovecot || told <= 6, "{what}: {text}");
            let third = state(&["-s", &second]);
            same(from, to, false, &format!("{what}, again"));
            if pulls && starts == Under::Ours {
                // What was changed here is not what it was: of that all is told.
                run(to, &["expunge", "-u", "user1", "mailbox", "Work/Old", "uid", "1"]);
                run(from, &["mailbox", "delete", "-u", "user1", "-s", "Work"]);
                run(from, &["mailbox", "create", "-u", "user1", "-s", "Work"]);
                save(from, "Work", "Subject: newer\n\nx\n");
                let fourth = state(&["-s", &third]);
                same(from, to, false, &format!("{what}, made anew"));
                assert_eq!(state(&["-s", &fourth]), fourth, "{what}");
            }
            if command == ["backup"] && serves == Under::Ours {
                // What is gone there only shows where all is compared.
                run(to, &["expunge", "-u", "user1", "mailbox", "Work/Old", "uid", "1"]);
                save(from, "Work/Old", "Subject: newer\n\nx\n");
                let lost = go(&["-s", &third]);
                assert_eq!(lost.status.code(), Some(2), "{what}: {lost:?}");
                assert_eq!(lost.stdout, b"\n", "{what}: {lost:?}");
                state(&["-s", ""]);
                same(from, to, false, &format!("{what}, in the end"));
            }
        }
    }
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
fn what_a_client_has_seen_is_not_recent_on_the_other_server() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let recent = |host: &Host| run(host, &["mailbox", "status", "-u", "user1", "recent uidnext", "INBOX"]);
    let seen_below = |host: &Host, uid: &str| {
        let below = ["--min-next-uid", uid, "--min-first-recent-uid", uid];
        run(host, &[&["mailbox", "update", "-u", "user1"], &below[..], &["INBOX"]].concat());
    };
    for format in ["maildir", "mdbox"] {
        for (from, to, words) in [
            (Under::Dovecot, Under::Ours, &["backup"][..]),
            (Under::Ours, Under::Dovecot, &["backup"]),
            (Under::Ours, Under::Ours, &["backup"]),
            (Under::Dovecot, Under::Ours, &["sync"]),
            (Under::Ours, Under::Dovecot, &["sync"]),
            (Under::Dovecot, Under::Ours, &["backup", "-R"]),
            (Under::Ours, Under::Dovecot, &["backup", "-R"]),
        ] {
            let (from, to) = (host(from, format), host(to, format));
            let what = format!("{format} of {:?}, {words:?}", from.under());
            let (runs, place) =
                if words.contains(&"-R") { (&to, address(&from)) } else { (&from, address(&to)) };
            let go = || run(runs, &[words, &["-u", "user1", &place]].concat());
            (0..3).for_each(|number| save(&from, "INBOX", &format!("Subject: {number}\n\nx\n")));
            if words == ["sync"] {
                // Of two INBOXes one gets another UIDVALIDITY, and the original forgets then what was seen.
                go();
            }
            seen_below(&from, "3");
            go();
            assert_eq!(recent(&to), "INBOX recent=1 uidnext=4\n", "{what}");
            seen_below(&from, "4");
            go();
            assert_eq!(recent(&to), "INBOX recent=0 uidnext=4\n", "{what}");
            if words == ["sync"] {
                save(&from, "INBOX", "Subject: new\n\nx\n");
                go();
                assert_eq!(recent(&to), "INBOX recent=1 uidnext=5\n", "{what}");
                seen_below(&to, "5");
                go();
                assert_eq!(recent(&from), "INBOX recent=0 uidnext=5\n", "{what}");
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
