//! Real Dovecot and Culver serve the same mail in turns: what one wrote the other shows, in UIDs,
//! UIDVALIDITY, flags, keywords, dates, texts and subscriptions, in every layout.

use std::collections::BTreeMap;

use harness::{Client, Host, SharedMail, Under, needs};

/// A server over the mail, with a location that is whole or stands behind `maildir:~/Maildir`.
fn server(under: Under, mail: &SharedMail, location: &str, separator: &str) -> Host {
    let default =
        if location.contains(":~/") && !location.starts_with(':') { "" } else { "maildir:~/Maildir" };
    let settings =
        format!("mail_location = {default}{location}\nnamespace inbox {{\n  separator = {separator}\n}}\n");
    mail.server(env!("CARGO_BIN_EXE_dovecot"), under, &settings)
}

/// A command that must be answered with OK.
fn ok(client: &mut Client, command: &str) -> Vec<String> {
    let mut lines = client.imap("x", command);
    let last = lines.pop().unwrap_or_default();
    assert!(last.starts_with("x OK"), "{command}: {last}");
    lines
}

fn append(client: &mut Client, mailbox: &str, rest: &str, text: &str) {
    ok(client, &format!("APPEND {mailbox} {rest} {{{}+}}\r\n{text}", text.len()));
}

/// What a client sees of one mailbox: its numbers, then each message.
fn mailbox_state(client: &mut Client, name: &str) -> Vec<String> {
    let status = ok(client, &format!("STATUS {name} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"));
    ok(client, &format!("EXAMINE {name}"));
    let items = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])";
    let messages = ok(client, &format!("UID FETCH 1:* {items}"));
    let messages = messages.into_iter().filter(|line| line.contains(" FETCH ("));
    status.into_iter().chain(messages.map(|line| sorted_flags(&line))).collect()
}

/// `\Recent` belongs to a session, and the order of flags means nothing.
fn sorted_flags(line: &str) -> String {
    let Some((before, rest)) = line.split_once("FLAGS (") else { return line.to_owned() };
    let (flags, after) = rest.split_once(')').expect("flags end");
    let mut flags: Vec<_> = flags.split(' ').filter(|flag| *flag != "\\Recent").collect();
    flags.sort_unstable();
    format!("{before}FLAGS ({}){after}", flags.join(" "))
}

/// All that a client can see of a user's mail.
fn state(host: &Host) -> BTreeMap<String, Vec<String>> {
    let mut client = host.login("user");
    let mut all = BTreeMap::new();
    let list = ok(&mut client, "LIST \"\" *");
    let names: Vec<String> = list
        .iter()
        .filter(|line| !line.contains("\\Noselect"))
        .map(|line| line.split("\" ").nth(1).or_else(|| line.rsplit(' ').next()).expect("a name").to_owned())
        .collect();
    for name in names {
        let found = mailbox_state(&mut client, &name);
        all.insert(name, found);
    }
    let mut subscribed = ok(&mut client, "LSUB \"\" *");
    subscribed.sort();
    all.insert("subscriptions".to_owned(), subscribed);
    all
}

/// Fills an empty home with what a used one has.
fn fill(host: &Host, separator: &str) {
    let mut client = host.login("user");
    let names =
        ["work", "work/2024", "work/2024/q1", "Entw&APw-rfe", "&ZeVnLIqe-/&ZeU-", "\"with space\"", "Empty"];
    for name in names.map(|name| name.replace('/', separator)) {
        ok(&mut client, &format!("CREATE {name}"));
    }
    for name in ["work/2024/q1", "Entw&APw-rfe", "INBOX", "\"with space\""] {
        ok(&mut client, &format!("SUBSCRIBE {}", name.replace('/', separator)));
    }
    let text = |number: usize| format!("From: a@example.com\r\nSubject: {number}\r\n\r\nbody {number}\r\n");
    let all = [
        "()",
        "(\\Seen)",
        "(\\Seen \\Answered kw1)",
        "(\\Flagged $Forwarded)",
        "(\\Draft NonJunk kw1)",
        "(\\Deleted)",
    ];
    for (number, flags) in all.into_iter().enumerate() {
        append(
            &mut client,
            "INBOX",
            &format!("{flags} \"01-Jan-2020 10:00:0{number} +0000\""),
            &text(number),
        );
    }
    for number in 0..3 {
        let name = "work/2024/q1".replace('/', separator);
        append(&mut client, &name, "(own-keyword) \"05-Mar-2021 23:59:59 -0800\"", &text(number));
    }
    append(
        &mut client,
        "Entw&APw-rfe",
        "(\\Draft)",
        "Subject: =?utf-8?q?=C3=BC?=\r\n\r\nGr\u{fc}\u{df}e\r\n",
    );
    // Holes in the UIDs.
    ok(&mut client, "SELECT INBOX");
    ok(&mut client, "UID STORE 2 +FLAGS (\\Deleted)");
    ok(&mut client, "UID EXPUNGE 2");
}

/// Changes everything that can be changed.
fn change(host: &Host, separator: &str) {
    let mut client = host.login("user");
    ok(&mut client, "SELECT INBOX");
    ok(&mut client, "UID STORE 1 +FLAGS (\\Seen kw1 brand-new)");
    ok(&mut client, "UID STORE 3 FLAGS (\\Flagged)");
    ok(&mut client, "UID STORE 4 -FLAGS.SILENT ($Forwarded)");
    ok(&mut client, "UID COPY 3:4 \"with space\"");
    ok(&mut client, &format!("UID MOVE 5 {}", "work/2024".replace('/', separator)));
    ok(&mut client, "EXPUNGE");
    append(&mut client, "INBOX", "(\\Answered later)", "Subject: later\r\n\r\nlate\r\n");
    ok(&mut client, "CREATE new-one");
    append(&mut client, "new-one", "()", "Subject: in a new one\r\n\r\nx\r\n");
    ok(
        &mut client,
        &format!("RENAME {} {}", "work/2024/q1".replace('/', separator), "old/q1".replace('/', separator)),
    );
    ok(&mut client, "DELETE Empty");
    ok(&mut client, "SUBSCRIBE new-one");
    ok(&mut client, "UNSUBSCRIBE \"with space\"");
}

fn no_complaints(host: &Host) {
    let log = host.log();
    let bad = log.lines().find(|line| ["Error:", "Panic:", "Fatal:"].iter().any(|word| line.contains(word)));
    assert_eq!(bad, None, "{:?}", host.under());
}

/// One fills and is followed by the other, which changes things, and by the first again.
fn check(first: Under, second: Under, location: &str, separator: &str) {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let mail = SharedMail::new();
    let run = |under: Under, work: &dyn Fn(&Host)| {
        let mut host = server(under, &mail, location, separator);
        work(&host);
        let seen = state(&host);
        no_complaints(&host);
        host.stop();
        seen
    };
    let filled = run(first, &|host| fill(host, separator));
    assert!(filled.len() >= 8, "{:?}", filled.keys());
    assert_eq!(run(second, &|_| {}), filled, "read by {second:?}");
    assert_eq!(run(first, &|_| {}), filled, "read again by {first:?}");
    let changed = run(second, &|host| change(host, separator));
    assert_eq!(run(first, &|_| {}), changed, "changed by {second:?}");
    for name in ["Entw&APw-rfe", "work"] {
        assert_eq!(changed.get(name), filled.get(name), "{name} was left alone");
    }
    // And on from there.
    let last = run(first, &|host| {
        let mut client = host.login("user");
        append(&mut client, "INBOX", "(\\Seen kw1)", "Subject: last\r\n\r\nx\r\n");
        ok(&mut client, "SELECT INBOX");
        ok(&mut client, "UID STORE 1 -FLAGS (\\Seen)");
    });
    assert_eq!(run(second, &|_| {}), last, "gone on by {first:?}");
}

/// STATUS of all mailboxes in both its forms, as a session that stays sees it.
fn counts(client: &mut Client) -> BTreeMap<String, String> {
    let items = "MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE";
    let listed = ok(client, &format!("LIST \"\" * RETURN (STATUS ({items}))"));
    let mut all = BTreeMap::new();
    for line in listed.iter().filter_map(|line| line.strip_prefix("* STATUS ")) {
        let (name, counts) = line.split_once(" (").expect("counts");
        let single = ok(client, &format!("STATUS {name} ({items})"));
        assert_eq!(single.first().map(String::as_str), Some(format!("* STATUS {line}").as_str()));
        all.insert(name.to_owned(), counts.to_owned());
    }
    all
}

/// Both serve one account at the same time: whatever one changes both count at once.
fn count_together(location: &str) {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let mail = SharedMail::new();
    let hosts = [Under::Ours, Under::Dovecot].map(|under| server(under, &mail, location, "/"));
    let mut clients: Vec<Client> = hosts.iter().map(|host| host.login("user")).collect();
    let text = "Subject: x\r\n\r\nbody\r\n";
    for name in ["one", "two", "two/deep"] {
        ok(&mut clients[0], &format!("CREATE {name}"));
        append(&mut clients[1], name, "()", text);
    }
    let rounds: [&dyn Fn(&mut Client); 6] = [
        &|client| append(client, "one", "(\\Seen)", text),
        &|client| append(client, "two/deep", "()", text),
        &|client| {
            ok(client, "SELECT two/deep");
            ok(client, "STORE 1 +FLAGS (\\Seen)");
            ok(client, "UNSELECT");
        },
        &|client| {
            ok(client, "SELECT one");
            ok(client, "STORE 1 +FLAGS (\\Deleted)");
            ok(client, "CLOSE");
        },
        &|client| {
            ok(client, "RENAME two three");
            ok(client, "CREATE two");
        },
        &|client| {
            ok(client, "DELETE two");
            ok(client, "RENAME three two");
        },
    ];
    for changer in [0, 1] {
        for (number, round) in rounds.iter().enumerate() {
            round(&mut clients[changer]);
            // Dovecot goes on with its list of names for a second: a session of its own has the new one.
            let seen = [0, 1].map(|viewer: usize| counts(&mut hosts[viewer].login("user")));
            assert_eq!(seen[0], seen[1], "{location}: round {number} by {changer}");
            assert!(seen[0].len() >= 4, "{seen:?}");
        }
    }
    hosts.iter().for_each(no_complaints);
}

/// Each sorts what the other has put in order before, and adds to it.
#[test]
fn sorts_go_on_from_the_other_ones_numbers() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let mail = SharedMail::new();
    let words = ["m", "Re: c", "zz", "", "aa", "[l] m", "k", "mm", "b", "C", "q", "nn"];
    let orders = |client: &mut Client| -> Vec<Vec<String>> {
        ok(client, "SELECT INBOX");
        let keys = ["SUBJECT", "REVERSE SUBJECT", "FROM", "REVERSE TO", "CC", "DISPLAYFROM", "DISPLAYTO"];
        keys.iter().map(|key| ok(client, &format!("SORT ({key}) UTF-8 ALL"))).collect()
    };
    for (turn, words) in words.chunks(3).enumerate() {
        let (one, other) = match turn % 2 {
            0 => (Under::Dovecot, Under::Ours),
            _ => (Under::Ours, Under::Dovecot),
        };
        let sorted = [one, other].map(|under| {
            let mut host = server(under, &mail, "", "/");
            let mut client = host.login("user");
            if under == one {
                for word in words {
                    let person = format!("\"{word} Name\" <{word}@example.com>");
                    let text =
                        format!("Subject: {word}\r\nFrom: {person}\r\nTo: x{person}\r\nCc: {person}\r\n\r\n");
                    append(&mut client, "INBOX", "", &text);
                }
            }
            let orders = orders(&mut client);
            no_complaints(&host);
            host.stop();
            orders
        });
        assert_eq!(sorted[0], sorted[1], "turn {turn}, first {one:?}");
    }
}

#[test]
fn both_at_once() {
    count_together("");
}

#[test]
fn both_at_once_with_inbox_in_the_list() {
    count_together(":LAYOUT=fs:LISTINDEX=names\nmailbox_list_index_include_inbox = yes");
}

#[test]
fn dovecot_first() {
    check(Under::Dovecot, Under::Ours, "", ".");
}

#[test]
fn culver_first() {
    check(Under::Ours, Under::Dovecot, "", ".");
}

#[test]
fn another_separator() {
    check(Under::Dovecot, Under::Ours, "", "/");
}

#[test]
fn layout_fs() {
    check(Under::Dovecot, Under::Ours, ":LAYOUT=fs", "/");
}

#[test]
fn layout_fs_culver_first() {
    check(Under::Ours, Under::Dovecot, ":LAYOUT=fs", "/");
}

#[test]
fn other_places_for_index_control_and_inbox() {
    check(Under::Dovecot, Under::Ours, ":INDEX=~/index:CONTROL=~/control:INBOX=~/inbox", ".");
}

#[test]
fn other_places_with_layout_fs() {
    check(Under::Ours, Under::Dovecot, ":LAYOUT=fs:INDEX=MEMORY:CONTROL=~/control:INBOX=~/inbox", "/");
}

#[test]
fn layout_index_maildir() {
    check(Under::Dovecot, Under::Ours, "maildir:~/Maildir:LAYOUT=index", "/");
}

#[test]
fn layout_index_maildir_culver_first() {
    check(Under::Ours, Under::Dovecot, "maildir:~/Maildir:LAYOUT=index:CONTROL=~/control", ".");
}

#[test]
fn layout_index_sdbox() {
    check(Under::Dovecot, Under::Ours, "sdbox:~/sdbox:LAYOUT=index:INDEX=~/index", "/");
}

#[test]
fn layout_index_sdbox_culver_first() {
    check(Under::Ours, Under::Dovecot, "sdbox:~/sdbox:LAYOUT=index", "^");
}

#[test]
fn layout_index_mdbox() {
    check(Under::Dovecot, Under::Ours, "mdbox:~/mdbox:LAYOUT=index:ALT=~/alt", ".");
}

#[test]
fn layout_index_mdbox_culver_first() {
    check(Under::Ours, Under::Dovecot, "mdbox:~/mdbox:LAYOUT=index:UTF-8:NO-NOSELECT", "/");
}

#[test]
fn layout_index_at_once() {
    count_together("mdbox:~/mdbox:LAYOUT=index");
}

/// Dovecot gives a mailbox another name where it has come across a child of it before, which the order
/// of their GUIDs decides.
fn expected_name(text: &str) -> String {
    const ADDED: &str = "-recovered-lost-folder-";
    match text.split_once(ADDED) {
        Some((name, rest)) => format!("{name}{}", rest.trim_start_matches(|c: char| c.is_ascii_hexdigit())),
        None => text.to_owned(),
    }
}

/// Names are in the list alone; each mailbox's index has its own for when the list is lost.
fn lose_the_list(first: Under, second: Under, location: &str) {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let mail = SharedMail::new();
    let run = |under: Under, work: &dyn Fn(&Host)| {
        let mut host = server(under, &mail, location, "/");
        work(&host);
        let mut seen = state(&host);
        // Names without mail are gone with the list.
        seen.retain(|name, _| !["old", "work/2024"].contains(&name.as_str()));
        host.stop();
        let lines = |lines: Vec<String>| lines.iter().map(|line| expected_name(line)).collect();
        seen.into_iter()
            .map(|(name, seen)| (expected_name(&name), lines(seen)))
            .collect::<BTreeMap<_, Vec<_>>>()
    };
    let filled = run(first, &|host| {
        fill(host, "/");
        change(host, "/");
        ok(&mut host.login("user"), "SELECT old/q1");
    });
    let root = mail.home("user").join(location.split([':', '/']).nth(2).expect("a root"));
    for name in ["dovecot.list.index", "dovecot.list.index.log", "dovecot.list.index.log.2"] {
        let _ = std::fs::remove_file(root.join(name));
    }
    let found = run(second, &|_| {});
    assert_eq!(found, filled, "found by {second:?}");
    assert_eq!(run(first, &|_| {}), filled, "and by {first:?}");
}

#[test]
fn layout_index_without_the_list() {
    for location in ["maildir:~/Maildir:LAYOUT=index", "sdbox:~/sdbox:LAYOUT=index"] {
        lose_the_list(Under::Dovecot, Under::Ours, location);
    }
    lose_the_list(Under::Ours, Under::Dovecot, "sdbox:~/sdbox:LAYOUT=index");
}

#[test]
fn names_in_utf8() {
    check(Under::Dovecot, Under::Ours, ":UTF-8", ".");
}
