//! `doveadm`'s commands on mail beside a running server: output, complaints and exit statuses, which
//! are the same with the original.

use std::fs;
use std::process::Output;

use harness::{Builder, Host, Under};

fn host() -> Host {
    let config = "namespace inbox {\n  inbox = yes\n  separator = /\n}\n";
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).config(config).start()
}

/// Standard output, what is complained of, and the exit status, with the host's directory as `DIR`.
fn said(host: &Host, line: &str) -> (String, String, i32) {
    let words: Vec<&str> = line.split(' ').collect();
    said_words(host, &words)
}

fn said_words(host: &Host, words: &[&str]) -> (String, String, i32) {
    let Output { status, stdout, stderr } = host.run("doveadm", words);
    let dir = host.dir().display().to_string();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&dir, "DIR");
    (text(&stdout), text(&stderr), status.code().unwrap_or(-1))
}

#[track_caller]
fn check(host: &Host, line: &str, out: &str, err: &str, status: i32) {
    assert_eq!(said(host, line), (out.to_owned(), err.to_owned(), status), "doveadm {line}");
}

/// The same where the order of lines is free.
#[track_caller]
fn check_lines(host: &Host, line: &str, expected: &[&str]) {
    let (out, err, status) = said(host, line);
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!((lines.as_slice(), err.as_str(), status), (expected, "", 0), "doveadm {line}");
}

/// What goes wrong with user1 is told in this way.
#[track_caller]
fn fails(host: &Host, line: &str, err: &str, status: i32) {
    check(host, line, "", &format!("doveadm(user1): Error: {err}\n"), status);
}

const FIRST: &str = "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.com>\n\
To: \"Ann B\" <ann@example.org>, bob@example.net\n\
Subject: =?utf-8?q?=C3=BCber?= all\n\
Date: Tue, 14 Nov 2023 22:13:21 +0100\n\
Message-ID: <one@example.com>\n\
MIME-Version: 1.0\n\
Content-Type: text/plain; charset=iso-8859-1\n\
Content-Transfer-Encoding: quoted-printable\n\
\n\
> quoted\n\
Gr=FC=DFe\n";

const SECOND: &str = "From: bob@example.net\n\
Subject: parts\n\
Date: Wed, 15 Nov 2023 10:00:00 -0500\n\
Message-ID: <two@example.com>\n\
MIME-Version: 1.0\n\
Content-Type: multipart/mixed; boundary=b\n\
\n\
--b\n\
Content-Type: text/html\n\
\n\
<p>Hello <b>html</b></p>\n\
--b\n\
Content-Type: application/x\n\
Content-Disposition: attachment; filename=x\n\
Content-Transfer-Encoding: base64\n\
\n\
aGVsbG8=\n\
--b--\n";

const THIRD: &str = "From: bob@example.net\nSubject: again\nMessage-ID: <two@example.com>\n\nthird\n";

/// The three messages in INBOX of user1.
fn with_mail(host: &Host) {
    for (name, text) in [("first", FIRST), ("second", SECOND), ("third", THIRD)] {
        let path = host.dir().join(name);
        fs::write(&path, text).expect("a file");
        host.doveadm(&["save", "-u", "user1", "-m", "INBOX", &path.display().to_string()]);
    }
}

/// The UIDs in INBOX that a query finds.
#[track_caller]
fn finds(host: &Host, query: &str, uids: &[u32]) {
    let expected: String = uids.iter().map(|uid| format!("uid={uid}\n")).collect();
    check(host, &format!("-f flow fetch -u user1 uid mailbox INBOX {query}"), &expected, "", 0);
}

#[test]
fn mailboxes_come_and_go() {
    let host = host();
    check(&host, "mailbox create -u user1 -s a a/b", "", "", 0);
    check(&host, "mailbox create -u user1 é", "", "", 0);
    check_lines(&host, "mailbox list -u user1", &["INBOX", "a", "a/b", "é"]);
    check_lines(&host, "mailbox list -u user1 -7 é*", &["&AOk-"]);
    check_lines(&host, "mailbox list -u user1 -s", &["a", "a/b"]);
    check_lines(&host, "mailbox list -u user1 a/%", &["a/b"]);
    check_lines(&host, "-f tab mailbox list -u user1 a", &["a", "mailbox"]);
    fails(&host, "mailbox create -u user1 a", "Can't create mailbox a: Mailbox already exists", 65);
    fails(
        &host,
        "mailbox create -u user1 a//b",
        "Can't create mailbox a//b: Invalid mailbox name: Has adjacent hierarchy separators",
        64,
    );
    fails(
        &host,
        "mailbox rename -u user1 a é",
        "Can't rename mailbox a to é: Target mailbox already exists",
        65,
    );
    let nameless = "Can't create mailbox : Invalid mailbox name: Name is empty";
    fails(&host, "mailbox create -u user1 ", nameless, 64);
    let missing = "Can't rename mailbox none to é: Mailbox doesn't exist: none";
    fails(&host, "mailbox rename -u user1 none é", missing, 68);
    check(&host, "mailbox rename -u user1 -s a/b c", "", "", 0);
    check_lines(&host, "mailbox list -u user1 -s", &["a", "c"]);
    check(&host, "mailbox path -u user1 c", "DIR/mail/user1/Maildir/.c\n", "", 0);
    check(&host, "mailbox path -u user1 -t alt-dir c", "", "", 0);
    let dbox = "-o mail_location=sdbox:~/box:ALT=~/alt:INDEXPVT=~/own";
    for (kind, path) in [
        ("dir", "box/mailboxes/c"),
        ("mailbox", "box/mailboxes/c/dbox-Mails"),
        ("alt-dir", "alt/mailboxes/c"),
        ("alt-mailbox", "alt/mailboxes/c/dbox-Mails"),
        ("index-private", "own/mailboxes/c"),
    ] {
        let path = format!("DIR/mail/user1/{path}\n");
        check(&host, &format!("{dbox} mailbox path -u user1 -t {kind} c"), &path, "", 0);
    }
    fails(
        &host,
        "mailbox rename -u user1 c c",
        "Can't rename mailbox c to c: Can't rename mailbox to itself.",
        65,
    );
    let root = "Can't delete mailbox : Storage root can't be deleted";
    fails(&host, "mailbox delete -u user1 ", root, 64);
    let controls = "Can't create mailbox a\tb: Control characters not allowed in new mailbox names";
    fails(&host, "mailbox create -u user1 a\tb", controls, 64);
    let driver = "Namespace '': Unknown mail storage driver foo";
    fails(&host, "-o mail_location=foo:x mailbox list -u user1", driver, 75);
    let missing = "Can't delete mailbox none: Mailbox doesn't exist: none";
    fails(&host, "mailbox delete -u user1 none", missing, 68);
    check(&host, "mailbox delete -u user1 -s -e a c", "", "", 0);
    check_lines(&host, "mailbox list -u user1", &["INBOX", "é"]);
    check_lines(&host, "mailbox list -u user1 -s", &[]);
    check(&host, "mailbox subscribe -u user1 none", "", "", 0);
    check_lines(&host, "mailbox list -u user1 -s", &["none"]);
    check(&host, "mailbox unsubscribe -u user1 none", "", "", 0);
    check(&host, "mailbox mutf7 é", "&AOk-\n", "", 0);
    check(&host, "mailbox mutf7 -7 &AOk-", "é\n", "", 0);
}

#[test]
fn a_mailbox_that_is_named_twice_is_looked_at_once() {
    let host = host();
    with_mail(&host);
    finds(&host, "mailbox INBOX uid 1", &[1]);
    finds(&host, "mailbox INBOX x-mailbox INBOX uid 1", &[1]);
}

#[test]
fn queries_find_messages() {
    let host = host();
    with_mail(&host);
    check(&host, "flags add -u user1 \\Seen mailbox INBOX uid 1", "", "", 0);
    check(&host, "flags add -u user1 $Label mailbox INBOX uid 2", "", "", 0);
    for (query, uids) in [
        ("all", &[1, 2, 3][..]),
        ("1:2", &[1, 2]),
        ("*", &[3]),
        ("uid 2:*", &[2, 3]),
        ("uid 9:*", &[]),
        ("seen", &[1]),
        ("not seen", &[2, 3]),
        ("keyword $label", &[2]),
        ("from bob", &[2, 3]),
        ("subject über", &[1]),
        ("body grüße", &[1]),
        ("text example.org", &[1]),
        ("header message-id two", &[2, 3]),
        ("sentbefore 2023-11-15", &[1, 3]),
        ("senton 15-Nov-2023", &[2]),
        ("sentsince 2023-11-15", &[2]),
        ("since 1d", &[1, 2, 3]),
        ("before 2020-01-01", &[]),
        ("savedsince 1hour", &[1, 2, 3]),
        ("younger 3600", &[1, 2, 3]),
        ("larger 300", &[1, 2]),
        ("smaller 1k", &[1, 2, 3]),
        ("( seen or subject again )", &[1, 3]),
        ("( from bob subject again )", &[3]),
        ("not ( seen or subject again )", &[2]),
        ("oldestonly seen", &[1]),
    ] {
        finds(&host, query, uids);
    }
    for (query, complaint) in [
        ("bogus", "Unknown argument BOGUS"),
        ("since yesterday", "Invalid search date parameter: yesterday"),
        ("since", "Missing parameter for search key (for search key: SINCE)"),
        ("larger 1X", "Invalid size: 1X"),
        ("( all", "Missing ')'"),
        ("all )", "Unexpected ')'"),
        ("seen or deleted draft", "Use parenthesis when mixing ANDs and ORs"),
        ("uid x", "Invalid UID messageset"),
    ] {
        check(&host, &format!("search -u user1 {query}"), "", &format!("Fatal: {complaint}\n"), 75);
    }
    let (out, _, status) = said(&host, "search -u user1 mailbox INBOX seen");
    assert_eq!((out.trim_end().split(' ').nth(1), status), (Some("1"), 0), "{out}");
    let missing = "Couldn't get mailbox 'none' GUID: Mailbox doesn't exist: none";
    fails(&host, "search -u user1 mailbox none all", missing, 68);
}

/// What is 8-bit in a header without saying in which charset is shown as it is.
#[test]
fn bytes_that_are_no_text_are_shown_as_they_are() {
    let host = host();
    let mail = host.dir().join("latin1");
    fs::write(&mail, b"From: J\xf6rg <j@example.com>\nSubject: \xfcber\n\nx\n").expect("a file");
    check(&host, &format!("save -u user1 {}", mail.display()), "", "", 0);
    let fields = "imap.envelope hdr.subject hdr.from.address_name uid";
    for (format, expected) in [
        ("flow", "imap.envelope=NIL {4}\r\n\u{fc}ber (({4}\r\nJ\u{f6}rg NIL \"j\" \"example.com\")) "),
        ("pager", "imap.envelope: NIL {4}\r\n\u{fc}ber (({4}\r\nJ\u{f6}rg NIL \"j\" \"example.com\")) "),
    ] {
        let output = host.run("doveadm", &["-f", format, "fetch", "-u", "user1", fields, "all"]);
        let shown: String = output.stdout.iter().map(|&byte| char::from(byte)).collect();
        assert!(shown.starts_with(expected), "{shown}");
        let rest = match format {
            "flow" => "hdr.subject=\u{fc}ber hdr.from.address_name=J\u{f6}rg uid=1\n",
            _ => "hdr.subject: \u{fc}ber\nhdr.from.address_name: J\u{f6}rg\nuid: 1\n",
        };
        assert!(shown.ends_with(rest), "{shown}");
    }
}

#[test]
fn messages_are_shown() {
    let host = host();
    with_mail(&host);
    let shown = |fields: &str, uid: u32, expected: &str| {
        let uid = uid.to_string();
        let words = ["fetch", "-u", "user1", fields, "mailbox", "INBOX", "uid", &uid];
        assert_eq!(said_words(&host, &words), (expected.to_owned(), String::new(), 0), "{fields}");
    };
    shown("uid seq user mailbox", 1, "uid: 1\nseq: 1\nuser: user1\nmailbox: INBOX\n");
    shown(
        "date.sent date.sent.unixtime",
        1,
        "date.sent: 2023-11-14 21:13:21 (+0100)\ndate.sent.unixtime: 1699996401\n",
    );
    shown(
        "hdr.subject hdr.subject.utf8",
        1,
        "hdr.subject: =?utf-8?q?=C3=BCber?= all\nhdr.subject.utf8: über all\n",
    );
    shown("hdr.to.address", 1, "hdr.to.address: ann@example.org\nbob@example.net\n");
    shown("hdr.from.address_name.utf8", 1, "hdr.from.address_name.utf8: Jörg\n");
    shown("text", 1, &format!("text:\n{FIRST}"));
    shown("uid body", 3, "uid: 3\nbody:\nthird\n");
    shown(
        "uid hdr",
        3,
        "uid: 3\nhdr:\nFrom: bob@example.net\nSubject: again\nMessage-ID: <two@example.com>\n\n",
    );
    shown("body.preview", 1, "body.preview: Grüße\n");
    shown("body.snippet", 2, "body.snippet: Hello html\n");
    shown("uid binary.2", 2, "uid: 2\nbinary.2:\nhello");
    shown(
        "uid body.2.mime",
        2,
        "uid: 2\nbody.2.mime:\nContent-Type: application/x\r\nContent-Disposition: attachment; filename=x\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    );
    shown("imap.body", 3, "imap.body: \"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 7 1\n");
    let (out, _, _) =
        said_words(&host, &["fetch", "-u", "user1", "text.utf8", "mailbox", "INBOX", "uid", "1"]);
    assert!(out.contains("\nSubject: über all\n") && out.ends_with("\r\nGrüße\r\n"), "{out}");
    let json = said_words(
        &host,
        &["-f", "json", "fetch", "-u", "user1", "uid body", "mailbox", "INBOX", "uid", "3"],
    );
    assert_eq!(json.0, "[{\"uid\":\"3\",\"body\":\"third\\n\"}]");
    let (_, err, status) = said(&host, "fetch -u user1 bogus all");
    assert!(
        err.starts_with("Available fetch fields: hdr.<name> body.<section> binary.<section> user "),
        "{err}"
    );
    assert!(err.ends_with("\nFatal: Unknown fetch field: bogus\n"), "{err}");
    assert_eq!(status, 75);
    check(
        &host,
        "-f table fetch -u user1 text mailbox INBOX uid 3",
        "",
        "doveadm(user1): Fatal: table formatter doesn't support multi-line values\n",
        75,
    );
}

/// Whoever looks at the cache is no client, and what is new stays new.
#[test]
fn what_only_looks_leaves_messages_recent() {
    let host = host();
    with_mail(&host);
    // So that there is a cache.
    finds(&host, "subject again", &[3]);
    let words = "mailbox cache decision -u user1 --fields guid --decision yes INBOX";
    let (out, err, status) = said(&host, words);
    assert!(out.contains("guid  yes") && err.is_empty() && status == 0, "{out}{err}");
    check(&host, "-f flow mailbox status -u user1 recent INBOX", "INBOX recent=3\n", "", 0);
    finds(&host, "modseq 1", &[1, 2, 3]);
    let isnt_empty = "Can't delete mailbox INBOX: Mailbox isn't empty";
    fails(&host, "mailbox delete -u user1 -e INBOX", isnt_empty, 65);
    check(&host, "-f flow mailbox status -u user1 recent INBOX", "INBOX recent=3\n", "", 0);
}

/// As 2.3.19 finds them.
#[test]
fn parts_of_messages_are_searched() {
    let host = host();
    with_mail(&host);
    finds(&host, "mimepart child exists", &[2]);
    finds(&host, "mimepart ( parent exists subtype x )", &[2]);
    finds(&host, "mimepart filename is x", &[2]);
    finds(&host, "not mimepart ( or type multipart depth min 1 )", &[1, 3]);
}

#[test]
fn messages_are_changed() {
    let host = host();
    with_mail(&host);
    host.doveadm(&["mailbox", "create", "-u", "user1", "a", "b"]);
    check(&host, "copy -u user1 a mailbox INBOX uid 1:2", "", "", 0);
    check(&host, "move -u user1 a mailbox INBOX uid 3", "", "", 0);
    finds(&host, "all", &[1, 2]);
    check(&host, "deduplicate -u user1 -m mailbox a", "", "", 0);
    check(&host, "mailbox status -u user1 messages a", "a messages=2\n", "", 0);
    check(&host, "copy -u user2 INBOX user user1 mailbox INBOX all", "", "", 0);
    check(&host, "mailbox status -u user2 messages INBOX", "INBOX messages=2\n", "", 0);
    for line in ["expunge -u user1 all", "move -u user1 a all"] {
        let command = line.split(' ').next().unwrap_or_default();
        let text = "To avoid accidents, search query must contain MAILBOX in all search branches";
        check(&host, line, "", &format!("Fatal: {command}: {text}\n"), 64);
    }
    check(&host, "flags replace -u user1 \\Flagged mailbox INBOX uid 2", "", "", 0);
    finds(&host, "flagged", &[2]);
    check(&host, "flags add -u user1 \\Bogus all", "", "Fatal: Invalid system flag: \\Bogus\n", 75);
    for (keywords, why) in [
        ("x a(b", "Invalid characters in keyword"),
        ("*", "Invalid characters in keyword"),
        ("é", "8bit characters in keyword"),
    ] {
        let words = ["flags", "add", "-u", "user1", keywords, "mailbox", "INBOX", "all"];
        let err = format!("doveadm(user1): Error: Invalid keywords: {why}\n");
        assert_eq!(said_words(&host, &words), (String::new(), err, 65), "{keywords}");
    }
    check(&host, "-f tab fetch -u user1 flags mailbox INBOX uid 2", "flags\n\\Flagged \\Recent\n", "", 0);
    check(&host, "expunge -u user1 mailbox INBOX flagged", "", "", 0);
    finds(&host, "all", &[1]);
    check(&host, "expunge -u user1 -d mailbox a all", "", "", 0);
    check_lines(&host, "mailbox list -u user1", &["INBOX", "b"]);
    fails(
        &host,
        "expunge -u user1 mailbox none all",
        "Syncing mailbox 'none' failed: Mailbox doesn't exist: none",
        68,
    );
    fails(&host, "copy -u user1 none all", "Can't open mailbox 'none': Mailbox doesn't exist: none", 68);
    let source = format!("maildir:{}/mail/user1/Maildir", host.dir().display());
    check(&host, &format!("import -u user3 -s {source} Old all"), "", "", 0);
    check_lines(&host, "mailbox list -u user3 -s", &["Old/INBOX"]);
    check(&host, "purge -u user1", "", "", 0);
    check(&host, "force-resync -u user1 *", "", "", 0);
    let (out, _, status) = said(&host, "rebuild attachments -u user1 mailbox INBOX all");
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows, status), (vec![vec!["uid", "attachment"], vec!["1", "no"]], 0));
}

#[test]
fn counts_are_shown() {
    let host = host();
    with_mail(&host);
    host.doveadm(&["mailbox", "create", "-u", "user1", "a"]);
    let status = |line: &[&str]| said_words(&host, &[&["mailbox", "status", "-u", "user1"], line].concat());
    assert_eq!(status(&["messages unseen vsize", "INBOX"]).0, "INBOX messages=3 unseen=3 vsize=779\n");
    assert_eq!(status(&["-t", "messages vsize", "*"]).0, "messages=3 vsize=779\n");
    check(&host, "mailbox status -u user1 firstsaved a", "a firstsaved=never\n", "", 0);
    check(&host, "mailbox status -u user1 bogus a", "", "Fatal: Unknown status field: bogus\n", 64);
    check(
        &host,
        "mailbox status -u user1 -t uidnext a",
        "",
        "Fatal: Status field uidnext can't be used with -t\n",
        64,
    );
    fails(
        &host,
        "mailbox status -u user1 messages none",
        "Mailbox none: Failed to lookup mailbox status: Mailbox doesn't exist: none",
        68,
    );
    let guid = "0123456789abcdef0123456789abcdef";
    check(&host, &format!("mailbox create -u user1 -g {guid} g"), "", "", 0);
    check(&host, "mailbox update -u user1 --uid-validity 4711 g", "", "", 0);
    check(&host, "mailbox status -u user1 guid g", &format!("g guid={guid}\n"), "", 0);
    check(&host, "mailbox status -u user1 uidvalidity g", "g uidvalidity=4711\n", "", 0);
}

#[test]
fn several_users_in_a_row() {
    let host = host();
    let users = host.dir().join("list");
    fs::write(&users, "user1\nuser2\n").expect("a file");
    let list = users.display().to_string();
    check(&host, &format!("mailbox create -F {list} a"), "", "", 0);
    check(&host, &format!("mailbox list -F {list} a"), "user1 a\nuser2 a\n", "", 0);
    check(
        &host,
        &format!("-f tab mailbox status -F {list} messages a"),
        "Username\tmailbox\tmessages\nuser1\ta\t0\nuser2\ta\t0\n",
        "",
        0,
    );
}

#[test]
fn wrong_command_lines() {
    let host = host();
    let usage = |line: &str, usage: &str| check(&host, line, "", &format!("doveadm {usage}\n"), 64);
    usage("search -u user1", "search [-u <user>|-A] [-S <socket_path>] <search query>");
    usage("fetch -u user1 uid", "fetch [-u <user>|-A] [-S <socket_path>] <fields> <search query>");
    usage("expunge -u user1", "expunge [-u <user>|-A] [-S <socket_path>] [-m] <search query>");
    usage(
        "mailbox rename -u user1 a",
        "mailbox rename [-u <user>|-A] [-S <socket_path>] [-s] <old name> <new name>",
    );
    usage(
        "mailbox path -u user1 -t bogus a",
        "mailbox path [-u <user>|-A] [-S <socket_path>] [-t <type>] <mailbox>",
    );
    usage("dump", "dump [-t <type>] <path> [<type-specific args>]");
    check(
        &host,
        "mailbox list -u user1 -S /nonexistent",
        "",
        "doveadm(user1): Fatal: net_connect_unix(/nonexistent) failed: No such file or directory\n",
        75,
    );
    check(
        &host,
        "dump -t bogus x",
        "",
        "Available dump types: dbox index log mailboxlog thread imapzlib dcrypt-file dcrypt-key multiplex\n\
         Fatal: Unknown type: bogus\n",
        64,
    );
    check(&host, "dump /nonexistent", "", "Fatal: Can't autodetect file type: /nonexistent\n", 65);
}

/// What there is of user1's mail, in the place or in the user's own mailboxes.
fn all_of(host: &Host, place: Option<&str>) -> Vec<String> {
    let location = place.map(|place| format!("mail_location={place}"));
    let global: Vec<&str> = location.iter().flat_map(|location| ["-o", location]).collect();
    let fields = "mailbox mailbox-guid uid guid date.received size.virtual hdr.subject";
    let mut lines = Vec::new();
    for line in [
        &["-f", "flow", "fetch", "-u", "user1", fields, "all"][..],
        &["mailbox", "status", "-u", "user1", "uidnext uidvalidity guid", "*"],
        &["mailbox", "list", "-u", "user1", "-s"],
    ] {
        lines.extend(host.doveadm(&[&global, line].concat()).lines().map(str::to_owned));
    }
    lines.sort_unstable();
    lines
}

#[test]
fn a_backup_is_the_same() {
    let host = host();
    with_mail(&host);
    host.doveadm(&["mailbox", "create", "-u", "user1", "-s", "a", "a/b", "old"]);
    host.doveadm(&["copy", "-u", "user1", "a/b", "mailbox", "INBOX", "uid", "2:3"]);
    let place = format!("maildir:{}/mail/user1/backup", host.dir().display());
    check(&host, &format!("backup -u user1 {place}"), "", "", 0);
    assert_eq!(all_of(&host, Some(&place)), all_of(&host, None));

    host.doveadm(&["flags", "add", "-u", "user1", "\\Flagged", "mailbox", "INBOX", "uid", "3"]);
    host.doveadm(&["expunge", "-u", "user1", "mailbox", "INBOX", "uid", "1"]);
    host.doveadm(&["copy", "-u", "user1", "INBOX", "mailbox", "a/b", "uid", "1"]);
    host.doveadm(&["mailbox", "delete", "-u", "user1", "-s", "old"]);
    check(&host, &format!("backup -u user1 {place}"), "", "", 0);
    assert_eq!(all_of(&host, Some(&place)), all_of(&host, None));
    let flagged = format!("-o mail_location={place} -f flow fetch -u user1 uid mailbox INBOX flagged");
    check(&host, &flagged, "uid=3\n", "", 0);

    // What the place has more goes.
    let other = format!("-o mail_location={place} mailbox create -u user1 more");
    check(&host, &other, "", "", 0);
    check(&host, &format!("backup -u user1 {place}"), "", "", 0);
    assert_eq!(all_of(&host, Some(&place)), all_of(&host, None));
}

/// The original empties the user's INBOX.
#[test]
fn a_place_that_is_not_there_is_no_backup() {
    let host = host();
    if host.under() == Under::Dovecot {
        return;
    }
    with_mail(&host);
    let place = format!("maildir:{}/mail/user1/none", host.dir().display());
    let (_, _, status) = said(&host, &format!("backup -u user1 -R {place}"));
    assert_eq!(status, 75);
    finds(&host, "all", &[1, 2, 3]);
}

#[test]
fn a_batch_goes_on_up_to_the_first_failure() {
    let host = host();
    check(&host, "batch -u user1 : mailbox create a b : mailbox subscribe b", "", "", 0);
    check(&host, "batch -u user1 / mailbox list -s", "b\n", "", 0);
    with_mail(&host);
    check(&host, "-f flow batch -u user1 : flags add \\Seen uid 1 : fetch uid seen", "uid=1\n", "", 0);
    let missing = "Can't delete mailbox none: Mailbox doesn't exist: none";
    fails(&host, "batch -u user1 : mailbox delete none : mailbox delete a", missing, 68);
    check_lines(&host, "mailbox list -u user1", &["INBOX", "a", "b"]);
    check(
        &host,
        "batch -u user1 : nosuch",
        "",
        "Fatal: doveadm batch: 'nosuch' mail command doesn't exist\n",
        64,
    );
    check(&host, "batch -u user1 :", "", "doveadm batch <sep> <cmd1> [<sep> <cmd2> [..]]\n", 64);
    let users = host.dir().join("these");
    fs::write(&users, "user1\nuser2\n").expect("a file");
    let line = format!("batch -F {} : mailbox create c : mailbox list c", users.display());
    check(&host, &line, "user1 c\nuser2 c\n", "", 0);
}

/// Whose right is missing, and on what, as 2.3 tells administrators.
#[test]
fn a_missing_right_is_explained() {
    use std::os::unix::fs::PermissionsExt;
    let host = host();
    let closed = host.dir().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let location = format!("mail_location=maildir:{}/mail", closed.display());
    let args = ["-o", &location, "mailbox", "status", "-u", "user1", "messages", "INBOX"];
    let output = host.run("doveadm", &args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &host.log();
    assert!(!output.status.success(), "{text}");
    let missing = format!(" missing +x perm: {}, dir owned by 0:0 mode=0700)", closed.display());
    assert!(text.contains("failed: Permission denied (euid=") && text.contains(&missing), "{text}");
}
