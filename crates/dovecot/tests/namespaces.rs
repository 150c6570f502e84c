//! Several namespaces of one user: mailboxes that move between them, subscriptions that one keeps for
//! another, and what is called INBOX in one that has not the user's. Both servers are asked the same, and each
//! shows what the other one has made.

use harness::{Client, Host, SharedMail, Under, needs};

/// The untagged answers in some order, each once (Dovecot lists an INBOX twice), then the last.
fn answers(client: &mut Client, command: &str) -> Vec<String> {
    let mut lines = client.imap("x", command);
    let last = lines.pop().unwrap_or_default();
    lines.retain(|line| {
        line.starts_with("* LIST") || line.starts_with("* LSUB") || line.starts_with("* STATUS")
    });
    // What a server knows of new mail depends on what it has looked at.
    let unmarked = |line: String| line.replace(" \\Marked", "").replace(" \\UnMarked", "");
    let mut lines: Vec<String> = lines.into_iter().map(unmarked).collect();
    lines.sort();
    lines.dedup();
    let last = last.split(" (0.").next().unwrap_or_default().trim_end_matches('.').to_owned();
    lines.into_iter().chain([last]).collect()
}

/// Commands, each with its answers; those that only say `x OK` at the end stand without any.
type Dialogue<'a> = &'a [(&'a str, &'a [&'a str])];

fn play(host: &Host, dialogue: Dialogue<'_>) {
    let mut client = host.login("user");
    for (command, expected) in dialogue {
        let answers = answers(&mut client, command);
        match expected {
            [] => assert!(
                answers.last().is_some_and(|last| last.starts_with("x OK")),
                "{:?}: {command}: {answers:?}",
                host.under()
            ),
            expected => assert_eq!(answers, *expected, "{:?}: {command}", host.under()),
        }
    }
}

/// Each server does what is to be done, and then shows it, as the other one does after it.
fn check(settings: &str, done: Dialogue<'_>, shown: Dialogue<'_>) {
    let has_dovecot = needs(&["dovecot", "doveadm"]);
    for (first, second) in [(Under::Ours, Under::Dovecot), (Under::Dovecot, Under::Ours)] {
        let mail = SharedMail::new();
        for under in [first, second] {
            if under == Under::Dovecot && !has_dovecot {
                continue;
            }
            let mut host = mail.server(env!("CARGO_BIN_EXE_dovecot"), under, settings);
            if under == first || !has_dovecot {
                play(&host, done);
            }
            play(&host, shown);
            let log = host.log();
            let bad = log
                .lines()
                .find(|line| ["Error:", "Panic:", "Fatal:"].iter().any(|word| line.contains(word)));
            assert_eq!(bad, None, "{under:?}");
            host.stop();
        }
        if !has_dovecot {
            return;
        }
    }
}

/// INBOX in one location, and what begins with `Arc/` in another.
fn two(inbox: &str, other: &str, more: &str) -> String {
    format!(
        "namespace inbox {{\n  separator = /\n  location = {inbox}\n}}\n\
         namespace other {{\n  prefix = Arc/\n  separator = /\n  location = {other}\n{more}}}\n"
    )
}

const TEXT: &str = "{14+}\r\nSubject: x\r\n\r\n";

fn append(mailbox: &str) -> String {
    format!("APPEND {mailbox} {TEXT}")
}

fn moves_between(inbox: &str, other: &str) {
    let (one, two_below, other_one) = (append("a"), append("a/b"), append("Arc/z"));
    check(
        &two(inbox, other, ""),
        &[
            ("CREATE a", &[]),
            ("CREATE a/b", &[]),
            ("CREATE d", &[]),
            ("CREATE Arc/z", &[]),
            (&one, &[]),
            (&two_below, &[]),
            (&other_one, &[]),
            ("SELECT a/b", &[]),
            ("STORE 1 +FLAGS (\\Flagged kept)", &[]),
            ("UNSELECT", &[]),
            ("RENAME d Arc/z", &["x NO [ALREADYEXISTS] Target mailbox already exists"]),
            ("RENAME Arc/missing m", &["x NO [NONEXISTENT] Mailbox doesn't exist: Arc/missing"]),
            ("RENAME a Arc/deep/moved", &[]),
            ("RENAME Arc/z top", &[]),
        ],
        &[
            (
                "LIST \"\" *",
                &[
                    "* LIST (\\HasChildren) \"/\" Arc/deep/moved",
                    "* LIST (\\HasNoChildren) \"/\" Arc/deep/moved/b",
                    "* LIST (\\HasNoChildren) \"/\" INBOX",
                    "* LIST (\\HasNoChildren) \"/\" d",
                    "* LIST (\\HasNoChildren) \"/\" top",
                    "* LIST (\\Noselect \\HasChildren) \"/\" Arc",
                    "* LIST (\\Noselect \\HasChildren) \"/\" Arc/deep",
                    "x OK List completed",
                ],
            ),
            (
                "STATUS Arc/deep/moved (MESSAGES UIDNEXT)",
                &["* STATUS Arc/deep/moved (MESSAGES 1 UIDNEXT 2)", "x OK Status completed"],
            ),
            ("STATUS top (MESSAGES)", &["* STATUS top (MESSAGES 1)", "x OK Status completed"]),
            ("SELECT Arc/deep/moved/b", &[]),
            ("SEARCH FLAGGED KEYWORD kept", &["x OK Search completed"]),
            ("STATUS a (MESSAGES)", &["x NO Mailbox doesn't exist: a"]),
        ],
    );
}

#[test]
fn mailboxes_move_between_private_namespaces() {
    moves_between("maildir:~/Maildir", "maildir:~/Arc");
    moves_between("maildir:~/Maildir:LAYOUT=fs", "maildir:~/Arc:LAYOUT=fs");
    moves_between("maildir:~/M:INDEX=~/i1:CONTROL=~/c1", "maildir:~/Arc:INDEX=~/i2:CONTROL=~/c2");
    moves_between("sdbox:~/sdbox", "sdbox:~/arc");
    moves_between("sdbox:~/sdbox:INDEX=~/i1:ALT=~/alt1", "sdbox:~/arc:INDEX=~/i2:ALT=~/alt2");
}

#[test]
fn mboxes_move_between_private_namespaces() {
    let (one, other_one) = (append("a"), append("Arc/z"));
    check(
        &two("mbox:~/mail:INBOX=~/inbox", "mbox:~/arc:INDEX=~/arci", ""),
        &[
            ("CREATE a", &[]),
            ("RENAME a Arc/b", &["x NO [CANNOT] Can't rename mailboxes across specified storages"]),
        ],
        &[],
    );
    check(
        &two("mbox:~/mail:INBOX=~/inbox", "mbox:~/arc", ""),
        &[
            ("CREATE a", &[]),
            ("CREATE Arc/z", &[]),
            (&one, &[]),
            (&other_one, &[]),
            (&other_one, &[]),
            ("RENAME a Arc/deep/b", &[]),
            ("RENAME Arc/z top", &[]),
        ],
        &[
            ("STATUS Arc/deep/b (MESSAGES)", &["* STATUS Arc/deep/b (MESSAGES 1)", "x OK Status completed"]),
            ("STATUS top (MESSAGES)", &["* STATUS top (MESSAGES 2)", "x OK Status completed"]),
            ("STATUS a (MESSAGES)", &["x NO Mailbox doesn't exist: a"]),
        ],
    );
}

#[test]
fn mailboxes_do_not_move_to_where_mail_is_kept_otherwise() {
    let across = "x NO [CANNOT] Can't rename mailboxes across specified storages";
    let public = "x NO [CANNOT] Renaming not supported across non-private namespaces";
    let index = "x NO [CANNOT] Renaming not supported across namespaces";
    for (inbox, other, more, answer) in [
        ("maildir:~/Maildir", "sdbox:~/arc", "", across),
        ("maildir:~/Maildir", "maildir:~/arc:INDEX=~/i", "", across),
        ("maildir:~/Maildir:CONTROL=~/c", "maildir:~/arc", "", across),
        ("sdbox:~/sdbox", "sdbox:~/arc:ALT=~/alt", "", across),
        ("mdbox:~/mdbox", "mdbox:~/arc", "", across),
        ("maildir:~/Maildir", "maildir:~/arc", "  type = public\n", public),
        ("sdbox:~/sdbox:LAYOUT=index", "sdbox:~/arc:LAYOUT=index", "", index),
    ] {
        let settings = two(inbox, other, more);
        let done: Dialogue<'_> = &[
            ("CREATE a", &[]),
            ("CREATE Arc/z", &[]),
            ("RENAME a Arc/b", &[answer]),
            ("RENAME Arc/z b", &[answer]),
        ];
        let kept: Dialogue<'_> = &[("STATUS a (MESSAGES)", &[]), ("STATUS Arc/z (MESSAGES)", &[])];
        check(&settings, done, kept);
    }
}

/// Where 2.3 would lose children or stop: the layouts differ.
#[test]
fn mailboxes_do_not_move_to_another_layout() {
    let mail = SharedMail::new();
    let across = "x NO [CANNOT] Can't rename mailboxes across specified storages";
    for other in ["maildir:~/arc:LAYOUT=fs", "maildir:~/arc:UTF-8", "maildir:~/arc:LAYOUT=index"] {
        let settings = two("maildir:~/Maildir", other, "");
        let host = mail.server(env!("CARGO_BIN_EXE_dovecot"), Under::Ours, &settings);
        let mut client = host.login("user");
        answers(&mut client, "CREATE a");
        assert_eq!(answers(&mut client, "RENAME a Arc/b"), [across], "{other}");
    }
}

#[test]
fn inbox_is_renamed_where_it_is_a_file_or_has_a_guid() {
    for location in ["mbox:~/mail:INBOX=~/inbox", "mbox:~/mail", "mdbox:~/mdbox:LAYOUT=index"] {
        let mail = SharedMail::new();
        let settings = format!("mail_location = {location}\nnamespace inbox {{\n  separator = /\n}}\n");
        let host = mail.server(env!("CARGO_BIN_EXE_dovecot"), Under::Ours, &settings);
        let mut client = host.login("user");
        let inbox = append("INBOX");
        let mut validity = |name: &str| {
            let line = answers(&mut client, &format!("STATUS {name} (UIDVALIDITY MESSAGES)")).remove(0);
            line.split_once(name).expect("its name").1.to_owned()
        };
        let mut other = host.login("user");
        answers(&mut other, &inbox);
        let before = validity("INBOX");
        assert!(before.contains("MESSAGES 1"), "{location}: {before}");
        assert_eq!(answers(&mut other, "RENAME INBOX old/x"), ["x OK Rename completed"], "{location}");
        // What comes now is in a new one, whose messages are no others' by mistake.
        answers(&mut other, &inbox);
        answers(&mut other, &inbox);
        assert_eq!(validity("old/x"), before, "{location}");
        let after = validity("INBOX");
        assert!(after.contains("MESSAGES 2"), "{location}: {after}");
        let number = |text: &str| text.split(['(', ' ', ')']).nth(3).map(str::to_owned);
        assert_ne!(number(&before), number(&after), "{location}");
    }
}

/// A namespace without subscriptions of its own has them in another one's file: behind its prefix stands
/// the name as its own storage keeps it.
#[test]
fn another_namespace_keeps_the_subscriptions() {
    for (inbox, other) in [
        ("maildir:~/Maildir", "maildir:~/arc"),
        ("maildir:~/Maildir", "mdbox:~/arc"),
        ("sdbox:~/sdbox", "sdbox:~/arc"),
        ("sdbox:~/sdbox", "sdbox:~/arc:LAYOUT=index"),
        ("maildir:~/Maildir:LAYOUT=fs", "maildir:~/arc:LAYOUT=fs"),
    ] {
        check(
            &two(inbox, other, "  subscriptions = no\n"),
            &[
                ("CREATE Arc/work/2024", &[]),
                ("CREATE Arc/Entw&APw-rfe", &[]),
                ("CREATE Arc/gone", &[]),
                ("CREATE own/2024", &[]),
                ("SUBSCRIBE Arc/work/2024", &[]),
                ("SUBSCRIBE Arc/Entw&APw-rfe", &[]),
                ("SUBSCRIBE Arc/gone", &[]),
                ("SUBSCRIBE own/2024", &[]),
                ("UNSUBSCRIBE Arc/gone", &[]),
            ],
            &[
                (
                    "LSUB \"\" *",
                    &[
                        "* LSUB () \"/\" Arc/Entw&APw-rfe",
                        "* LSUB () \"/\" Arc/work/2024",
                        "* LSUB () \"/\" own/2024",
                        "x OK Lsub completed",
                    ],
                ),
                (
                    "LIST (SUBSCRIBED) \"\" Arc/*",
                    &[
                        "* LIST (\\Subscribed) \"/\" Arc/Entw&APw-rfe",
                        "* LIST (\\Subscribed) \"/\" Arc/work/2024",
                        "x OK List completed",
                    ],
                ),
                ("UNSUBSCRIBE Arc/work/2024", &[]),
                ("LSUB \"\" Arc/*", &["* LSUB () \"/\" Arc/Entw&APw-rfe", "x OK Lsub completed"]),
                ("SUBSCRIBE Arc/work/2024", &[]),
            ],
        );
    }
}

/// A store that was a user's only one is made a namespace of: its INBOX is a mailbox there.
#[test]
fn an_old_store_keeps_its_inbox() {
    for (location, name) in [
        ("sdbox:~/old", "Arc/INBOX"),
        ("mdbox:~/old", "Arc/INBOX"),
        ("sdbox:~/old:LAYOUT=index", "Arc/INBOX"),
        ("maildir:~/old:INBOX=~/old-inbox", "Arc/INBOX"),
        ("mbox:~/old:INBOX=~/old-inbox", "Arc/INBOX"),
        // The root of a Maildir is what the prefix names.
        ("maildir:~/old", "Arc"),
        ("maildir:~/old:LAYOUT=fs", "Arc"),
    ] {
        for filler in [Under::Ours, Under::Dovecot] {
            if filler == Under::Dovecot && !needs(&["dovecot", "doveadm"]) {
                continue;
            }
            let mail = SharedMail::new();
            let ours = env!("CARGO_BIN_EXE_dovecot");
            let inbox = append("INBOX");
            let settings = format!("mail_location = {location}\nnamespace inbox {{\n  separator = /\n}}\n");
            let mut host = mail.server(ours, filler, &settings);
            play(&host, &[(&inbox, &[]), ("CREATE sub", &[])]);
            host.stop();
            let status = format!("STATUS {name} (MESSAGES UIDNEXT)");
            let expected = format!("* STATUS {name} (MESSAGES 1 UIDNEXT 2)");
            let listed = format!("\"/\" {name}");
            for under in [Under::Ours, Under::Dovecot] {
                if under == Under::Dovecot && !needs(&["dovecot", "doveadm"]) {
                    continue;
                }
                let mut host = mail.server(ours, under, &two("maildir:~/new", location, ""));
                play(
                    &host,
                    &[
                        (&status, &[&expected, "x OK Status completed"]),
                        (
                            "STATUS INBOX (MESSAGES)",
                            &["* STATUS INBOX (MESSAGES 0)", "x OK Status completed"],
                        ),
                        ("STATUS Arc/sub (MESSAGES)", &[]),
                    ],
                );
                // Dovecot lists some of them only with something below.
                if under == Under::Ours {
                    let found = answers(&mut host.login("user"), "LIST \"\" *");
                    let found =
                        found.iter().find(|line| line.ends_with(&listed)).cloned().unwrap_or_default();
                    assert!(!found.is_empty() && !found.contains("\\Noselect"), "{location}: {found}");
                }
                host.stop();
            }
        }
    }
}

#[test]
fn names_at_the_edges() {
    let into_dir = append("dir");
    check(
        "mail_location = sdbox:~/sdbox\nnamespace inbox {\n  separator = .\n  prefix = INBOX.\n}\n",
        &[
            // Clients ask so what the separator is.
            ("LIST \"\" \"\"", &["* LIST (\\Noselect) \".\" \"\"", "x OK List completed"]),
            ("LIST \"INBOX.x\" \"\"", &["* LIST (\\Noselect) \".\" INBOX.", "x OK List completed"]),
            // Those that put the prefix before all names, put it before INBOX.
            (
                "STATUS INBOX.INBOX (MESSAGES)",
                &["* STATUS INBOX.INBOX (MESSAGES 0)", "x OK Status completed"],
            ),
        ],
        &[],
    );
    check(
        "mail_location = maildir:~/Maildir:LAYOUT=fs\nnamespace inbox {\n  separator = /\n  prefix = Mail/\n}\n",
        &[
            ("LIST \"\" INBOX", &["* LIST (\\NoInferiors) \"/\" INBOX", "x OK List completed"]),
            ("CREATE Mail/dir/", &[]),
            ("CREATE Mail/dir/", &["x NO [ALREADYEXISTS] Mailbox already exists"]),
        ],
        &[],
    );
    check(
        "mail_location = mdbox:~/mdbox\nnamespace inbox {\n  separator = /\n}\n",
        &[
            ("CREATE dir/", &[]),
            ("CREATE dir/", &["x NO [ALREADYEXISTS] Mailbox already exists"]),
            ("CREATE dir", &[]),
            ("DELETE dir", &[]),
            ("CREATE dir/below", &[]),
        ],
        &[],
    );
    let mail = SharedMail::new();
    let settings = "mail_location = sdbox:~/sdbox\nnamespace inbox {\n  separator = /\n}\n";
    let host = mail.server(env!("CARGO_BIN_EXE_dovecot"), Under::Ours, settings);
    let mut client = host.login("user");
    answers(&mut client, "CREATE dir/below");
    assert_eq!(answers(&mut client, &into_dir), ["x NO [TRYCREATE] Mailbox isn't selectable: dir"]);
}
