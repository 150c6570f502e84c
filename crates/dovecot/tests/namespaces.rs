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

const TEXT: &str = "{14+}\r\nSubject: x\r\n\r\n";

fn append(mailbox: &str) -> String {
    format!("APPEND {mailbox} {TEXT}")
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
