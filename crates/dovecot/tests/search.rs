//! SEARCH, SORT and THREAD answer as real Dovecot does, over mail that is as odd as real mail: the same
//! messages go to both servers, and then every answer must be the same line.

use harness::{Builder, Client, Host, Random, Under, needs};

const SUBJECTS: &[&str] = &[
    "hello world",
    "Re: hello world",
    "RE : [list] hello world (fwd)",
    "[list] hello   world",
    "[list] Re: [other] Hello\r\n\tWorld",
    "[Fwd: hello world]",
    "[fwd: [fwd: re: Hello] ]",
    "fw[x]: hello",
    "Re: Re: fwd : budget",
    "budget",
    "Budget (fwd) (fwd) ",
    "=?utf-8?q?Gr=C3=BC=C3=9Fe?=",
    "=?iso-8859-1?q?Re=3A_Gr=FC=DFe?=",
    "=?utf-8?b?R3LDvMOfZQ==?= =?utf-8?q?_an_alle?=",
    "Re: =?koi8-r?b?8NLJ18XU?=",
    "=?utf-8?b?0J/RgNC40LLQtdGC?=",
    "äpfel",
    "Zebra",
    "apple",
    "Re:",
    "[a]",
    "[a] [b]",
    "re: [broken",
    "(fwd)",
    "",
    " ",
];

const PEOPLE: &[&str] = &[
    "ann@example.com",
    "Ann Other <ann@example.org>",
    "\"Zoe, the Great\" <zoe@example.com>",
    "=?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <jm@example.org>",
    "<bob@example.com>",
    "bob@example.net (Bob Comment)",
    "undisclosed-recipients:;",
    "Team: carl@example.com, dora@example.com;",
    "\"\" <empty@example.com>",
    "broken <",
    "@route:eve@example.com",
    "Éva <eva@example.com>",
    "ÉVA2 <Eva@example.com>, ann@example.com",
];

const DATES: &[&str] = &[
    "Mon, 1 Jan 2024 10:00:00 +0000",
    "Mon, 1 Jan 2024 10:00:00 -0800",
    "1 Jan 2024 23:30 EST",
    "31 Dec 2023 23:59:60 Z",
    "Tue, 2 Jan 2024 01:00:00 +1400",
    "29 Feb 2024 12.00.00 GMT",
    "30 Feb 2024 12:00:00 GMT",
    "not a date",
    "1 Mar 99 00:00",
    "1 Mar 69 00:00",
    "Wed 3 Jan 2024 10:00:00 +0000",
    "Thu, 4 Jan 2024 10:00:00 +0100 (CET)",
    "4 January 2024 09:00:00 q",
    "Thu, 01 Jan 1970 00:00:00 +0000",
];

const BODIES: &[&str] = &[
    "Content-Type: text/plain; charset=utf-8\r\n\r\nThe quick brown fox jumps\r\nover the lazy dog. Grüße!\r\n",
    "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
     Gr=FC=DFe aus K=F6l=\r\nn, the quick bro=\r\nwn fox\r\n",
    "Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n8NLJ18XUIM3J0g==\r\n",
    "Content-Type: multipart/mixed; boundary=x\r\n\r\npreamble fox\r\n--x\r\n\r\nplain part\r\n--x\r\n\
     Content-Type: text/html\r\n\r\n<p>markup fox</p>\r\n--x\r\nContent-Type: application/pdf\r\n\
     Content-Disposition: attachment; filename=\"a.pdf\"\r\n\r\nbinary fox\r\n--x\r\n\
     Content-Type: message/rfc822\r\n\r\nSubject: inner needle\r\n\r\ninner body\r\n--x--\r\nepilogue\r\n",
    "\r\nno headers of MIME, needle\r\n",
    "\r\n",
];

fn message(random: &mut Random, number: usize) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| text += &format!("{name}: {value}\r\n");
    if random.index(20) > 0 {
        field("Date", random.pick(DATES));
    }
    if random.index(20) > 0 {
        field("Subject", random.pick(SUBJECTS));
    }
    for name in ["From", "To", "Cc"] {
        if random.index(5) > 0 {
            field(name, random.pick(PEOPLE));
        }
    }
    // Few names, so that there are duplicates, loops and references to what is not there.
    let id = |random: &mut Random| match random.index(30) {
        0 => "<broken>".to_owned(),
        1 => "<\"a b\"@example.com>".to_owned(),
        2 => "<no at>".to_owned(),
        3 => "<a (c) . b@ example.com>".to_owned(),
        _ => format!("<{}@example.com>", random.index(150)),
    };
    if random.index(10) > 0 {
        let own = if random.index(6) > 0 { format!("<{number}@example.com>") } else { id(random) };
        field("Message-ID", &own);
    }
    if random.index(3) > 0 {
        let count = random.index(5);
        let ids: Vec<String> = (0..count).map(|_| id(random)).collect();
        field("References", &ids.join("\r\n "));
    }
    if random.index(3) > 0 {
        let ids: Vec<String> = (0..1 + random.index(2)).map(|_| id(random)).collect();
        field("In-Reply-To", &format!("your message {}", ids.join(" ")));
    }
    field("X-Number", &format!("number  {number}"));
    text + random.pick(BODIES)
}

fn server(under: Under) -> Host {
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).under(under).user("user", "pass").start()
}

fn fill(client: &mut Client) {
    let mut random = Random(7);
    for number in 0..400 {
        let text = message(&mut random, number);
        let flags =
            random.pick(&["", "\\Seen", "\\Seen \\Flagged", "\\Answered work", "\\Deleted", "work \\Draft"]);
        let (day, hour) = (1 + random.index(28), random.index(24));
        let date = format!("\"{day:02}-Feb-2024 {hour:02}:00:00 +0000\"");
        let command = format!("APPEND INBOX ({flags}) {date} {{{}+}}\r\n{text}", text.len());
        let lines = client.imap("a", &command);
        assert!(lines.last().is_some_and(|line| line.starts_with("a OK")), "{lines:?}");
    }
}

/// Everything but the times that commands took.
fn answer(client: &mut Client, command: &str) -> Vec<String> {
    let mut lines = client.imap("x", command);
    // REFS leaves open which of two threads comes first whose newest messages are as old; Dovecot takes
    // the one whose Message-ID its index file saw first.
    if command.contains("THREAD REFS")
        && let Some(threads) = lines.first_mut().filter(|line| line.starts_with("* THREAD "))
    {
        *threads = sorted_threads(threads);
    }
    if let Some(last) = lines.last_mut() {
        *last = last.split(" (0.").next().unwrap_or_default().to_owned();
    }
    lines
}

fn sorted_threads(line: &str) -> String {
    let mut depth = 0;
    let mut threads = vec![String::new()];
    for character in line.trim_start_matches("* THREAD ").chars() {
        depth += i32::from(character == '(') - i32::from(character == ')');
        threads.last_mut().expect("there is one").push(character);
        if depth == 0 {
            threads.push(String::new());
        }
    }
    threads.sort();
    threads.join("\n")
}

/// Both servers with the same mail, logged in and with it selected.
struct Both {
    hosts: Vec<(Host, Client)>,
}

impl Both {
    fn new() -> Option<Self> {
        if !needs(&["dovecot", "doveadm"]) {
            return None;
        }
        let hosts = [Under::Dovecot, Under::Ours].map(|under| {
            let host = server(under);
            let mut client = host.login("user");
            fill(&mut client);
            client.imap("s", "SELECT INBOX");
            (host, client)
        });
        Some(Self { hosts: hosts.into() })
    }

    /// Asks both and collects what differs.
    fn differences(&mut self, commands: &[String]) -> Vec<String> {
        let mut differences = Vec::new();
        for command in commands {
            let mut answers = self.hosts.iter_mut().map(|(_, client)| answer(client, command));
            let (theirs, ours) = (answers.next(), answers.next());
            if theirs != ours {
                differences.push(format!("{command}\n theirs {theirs:?}\n   ours {ours:?}"));
            }
        }
        differences
    }

    fn check(&mut self, commands: impl IntoIterator<Item = impl Into<String>>) {
        let commands: Vec<String> = commands.into_iter().map(Into::into).collect();
        let differences = self.differences(&commands);
        assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    }
}

#[test]
fn sorts() {
    let Some(mut both) = Both::new() else { return };
    let keys = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"];
    let each = keys
        .iter()
        .flat_map(|key| ["", "REVERSE "].map(|reverse| format!("SORT ({reverse}{key}) UTF-8 ALL")));
    both.check(each);
    both.check([
        "UID SORT (SUBJECT REVERSE DATE) US-ASCII SEEN",
        "SORT (FROM SUBJECT REVERSE SIZE) UTF-8 NOT DELETED",
        "SORT (REVERSE TO CC ARRIVAL) UTF-8 OR BODY fox SUBJECT hello",
        "SORT (SUBJECT SUBJECT REVERSE SUBJECT DATE) UTF-8 1:50",
        "SORT (DATE) UTF-8 SUBJECT nosuch",
        "SORT RETURN (MIN MAX COUNT) (SUBJECT) UTF-8 ALL",
        "UID SORT RETURN (ALL) (REVERSE ARRIVAL) UTF-8 FLAGGED",
        "SORT RETURN (PARTIAL 5:2) (DATE) UTF-8 ALL",
        "SORT RETURN (PARTIAL 500:600 COUNT) (DATE) UTF-8 ALL",
        "SORT RETURN (SAVE) (DATE) UTF-8 FLAGGED",
        "SEARCH $",
        "SORT () UTF-8 ALL",
        "SORT (REVERSE) UTF-8 ALL",
        "SORT (FOO) UTF-8 ALL",
        "SORT ((DATE)) UTF-8 ALL",
        "SORT DATE UTF-8 ALL",
        "SORT (DATE) (UTF-8) ALL",
        "SORT (DATE) nosuch ALL",
        "SORT (DATE) UTF-8",
        "SORT (DATE)",
    ]);
}

#[test]
fn threads() {
    let Some(mut both) = Both::new() else { return };
    let each = ["REFERENCES", "REFS", "ORDEREDSUBJECT"].iter().flat_map(|algorithm| {
        ["ALL", "SEEN", "1:100", "SUBJECT hello", "SUBJECT nosuch"]
            .into_iter()
            .flat_map(move |key| ["", "UID "].map(|uid| format!("{uid}THREAD {algorithm} UTF-8 {key}")))
    });
    both.check(each);
    both.check([
        "THREAD FOO UTF-8 ALL",
        "THREAD REFS UTF-8",
        "THREAD REFS",
        "THREAD REFS nosuch ALL",
        "SEARCH INTHREAD REFS SUBJECT hello",
        "SEARCH INTHREAD REFERENCES (FLAGGED SUBJECT budget)",
        // Dovecot crashes where INTHREAD stands within NOT or INTHREAD.
        "SEARCH INTHREAD FOO ALL",
    ]);
}

#[test]
fn searches() {
    let Some(mut both) = Both::new() else { return };
    both.check([
        "SEARCH ALL",
        "SEARCH ANSWERED UNSEEN",
        "SEARCH NOT (OR SEEN KEYWORD work)",
        "SEARCH OR OR FLAGGED DRAFT DELETED",
        "SEARCH NEW",
        "SEARCH OLD",
        "SEARCH UNKEYWORD WORK",
        "SEARCH BEFORE 10-Feb-2024",
        "SEARCH ON 10-Feb-2024",
        "SEARCH SINCE 20-Feb-2024 LARGER 300 SMALLER 500",
        "SEARCH SENTBEFORE 1-Jan-2024",
        "SEARCH SENTON 1-Jan-2024",
        "SEARCH NOT SENTSINCE 2-Jan-2024",
        "SEARCH SENTON 1-Jan-1970",
        "SEARCH SAVEDSINCE 1-Jan-2020",
        "SEARCH X-SAVEDBEFORE 1-Jan-2020",
        "SEARCH SAVEDATESUPPORTED",
        "SEARCH OLDER 100",
        "SEARCH YOUNGER 4000000000",
        "SEARCH YOUNGER 0",
        "SEARCH FROM ann",
        "SEARCH FROM \"jürgen\"",
        "SEARCH TO \"Zoe, the\"",
        "SEARCH CC @example.org",
        "SEARCH BCC \"\"",
        "SEARCH SUBJECT \"hello world\"",
        "SEARCH SUBJECT \"GRÜSSE\"",
        "SEARCH SUBJECT \"grüße\"",
        "SEARCH SUBJECT \"привет\"",
        "SEARCH HEADER X-Number \"number  1\"",
        "SEARCH HEADER Message-ID 12@",
        "SEARCH HEADER References \"\"",
        "SEARCH NOT HEADER Date \"\"",
        "SEARCH BODY fox",
        "SEARCH BODY \"brown fox\"",
        "SEARCH BODY \"Grüße aus Köln\"",
        "SEARCH BODY \"ПРИВЕТ\"",
        "SEARCH BODY preamble",
        "SEARCH BODY needle",
        "SEARCH NOT BODY fox",
        "SEARCH TEXT needle",
        "SEARCH TEXT \"subject: hello\"",
        "SEARCH OR BODY fox FROM ann NOT BODY markup",
        "SEARCH SEEN OR (BODY needle NOT TEXT fox) (SUBJECT budget BODY \"lazy dog\")",
        "SEARCH BODY \"\" 5",
        "SEARCH 5:*",
        "SEARCH UID 5,7:9,500:*",
        "SEARCH X-REAL-UID 5:10",
        "SEARCH X-MAILBOX INBOX 1:5",
        "SEARCH X-MAILBOX in* 1:5",
        "SEARCH X-MAILBOX Foo 1:5",
        "SEARCH X-GUID nosuch",
        "SEARCH FUZZY SUBJECT budget",
        "SEARCH FOO",
        "SEARCH OLDER x",
        "SEARCH",
        "SEARCH (OR SEEN)",
        "SEARCH ()",
    ]);
    both.check([
        "SEARCH RETURN () SEEN",
        "SEARCH RETURN (ALL) FLAGGED",
        "UID SEARCH RETURN (MIN MAX COUNT ALL) FLAGGED",
        "SEARCH RETURN (COUNT) BODY fox",
        "SEARCH RETURN (MIN MAX) SUBJECT nosuch",
        "SEARCH RETURN (ALL COUNT) SUBJECT nosuch",
        "SEARCH RETURN (PARTIAL 1:3) SEEN",
        "SEARCH RETURN (PARTIAL 3:1 MIN MAX COUNT) SEEN",
        "SEARCH RETURN (PARTIAL 1000:2000) SEEN",
        "SEARCH RETURN (PARTIAL 0:1) SEEN",
        "SEARCH RETURN (PARTIAL) SEEN",
        "SEARCH RETURN (PARTIAL 1:2 PARTIAL 1:2) SEEN",
        "SEARCH RETURN (PARTIAL 1:2 ALL) SEEN",
        "SEARCH RETURN (FOO) SEEN",
        "SEARCH RETURN (\"ALL\") SEEN",
        "SEARCH $",
        "FETCH $ UID",
        "SEARCH RETURN (SAVE) FLAGGED",
        "SEARCH $",
        "SEARCH RETURN (SAVE) $ 1:100",
        "UID FETCH $ FLAGS",
        "SEARCH RETURN (SAVE MIN MAX) 20:60",
        "FETCH $ UID",
        "SEARCH RETURN (SAVE COUNT PARTIAL 2:3) 20:60",
        "SEARCH NOT $ UID $",
        "SEARCH UID $",
        "SEARCH RETURN (SAVE PARTIAL 2:3) 20:60",
        "FETCH $ UID",
        "STORE $ +FLAGS.SILENT (\\Flagged)",
        "SEARCH RETURN (SAVE) CHARSET nosuch SUBJECT x",
        "SEARCH $",
        "SEARCH RETURN (SAVE) 3",
        "SEARCH RETURN (SAVE) FOO",
        "SEARCH $",
        "SEARCH RETURN (SAVE) 1:10",
        "UID EXPUNGE $",
        "SEARCH $",
    ]);
}
