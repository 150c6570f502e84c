//! Command lines and what they mean; errors in the words of a recorded 2.3.19.

use super::super::reader::{CommandReader, Event};
use super::*;
use proptest::prelude::*;

fn parse(line: &str) -> Result<Command, String> {
    let mut reader = CommandReader::after_login(super::super::limits::LINE_BYTES_MAX);
    let line = format!("a {line}\r\n");
    match reader.read(&mut line.as_bytes()) {
        Some(Event::Command(raw)) => Command::parse(&raw, &Utf8Only).map_err(|error| match error {
            ArgsError::Bad(text) => format!("BAD {text}"),
            ArgsError::No { code: Some(code), text } => format!("NO [{code}] {text}"),
            ArgsError::No { code: None, text } => format!("NO {text}"),
        }),
        other => Err(format!("{other:?}")),
    }
}

fn check(line: &str, expected: &str) {
    let result = match parse(line) {
        Ok(command) => format!("{command:?}"),
        Err(error) => error,
    };
    assert_eq!(result, expected, "{line}");
}

#[test]
fn names() {
    check("SELECT INBOX", "Select(MailboxName(\"INBOX\"))");
    check("create &AOk-", "Create(MailboxName(\"é\"))");
    check("CREATE &abc", "NO Mailbox name is not valid mUTF-7");
    check("SELECT", "BAD Invalid arguments");
    check("SELECT (INBOX)", "BAD Invalid arguments");
    check("SELECT INBOX (FOO)", "BAD Unknown FETCH modifier");
    check("RENAME a", "BAD Missing arguments");
    check("DELETE", "BAD Missing arguments");
}

#[test]
fn list() {
    check("LIST", "BAD Invalid reference");
    check("LIST \"\"", "BAD Invalid pattern");
    check("LIST \"\" * RETURN", "BAD Extra arguments");
    check("LIST \"\" * RETURN (FOO)", "BAD Unknown return options");
    check("LIST (FOO) \"\" *", "BAD Unknown select options");
    check("LIST (RECURSIVEMATCH) \"\" *", "BAD RECURSIVEMATCH must not be the only selection");
    check("LIST \"\" ((a))", "BAD Invalid pattern list");
    let Ok(Command::List(list)) =
        parse("LIST (SUBSCRIBED) \"\" (a %) RETURN (CHILDREN STATUS (MESSAGES SIZE))")
    else {
        panic!()
    };
    assert!(list.is_extended() && list.select.unwrap().subscribed);
    assert_eq!(list.patterns, ["a", "%"]);
    let status = list.returns.unwrap().status.unwrap();
    assert!(status.messages && status.size && !status.unseen);
}

#[test]
fn status() {
    check("STATUS INBOX", "BAD Missing arguments");
    check("STATUS INBOX ()", "BAD Empty status list");
    check("STATUS INBOX (foo)", "BAD Invalid status item FOO");
    check("STATUS INBOX MESSAGES", "BAD Invalid arguments");
}

#[test]
fn append_without_message() {
    check("APPEND", "BAD Missing arguments");
    check("APPEND INBOX", "BAD Missing message size");
    check("APPEND INBOX x", "BAD Invalid arguments");
    check("APPEND INBOX () \"bad date\"", "BAD Invalid internal date");
}

fn check_label(item: &str, label: &str) {
    let Ok(Command::Fetch { fetch, .. }) = parse(&format!("FETCH 1 ({item})")) else { panic!("{item}") };
    let Some(FetchItem::Section(section)) = fetch.items.first() else { panic!("{item}") };
    let mut out = Vec::new();
    section.write_label(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), label);
}

#[test]
fn fetch_sections() {
    check_label("BODY[]", "BODY[]");
    check_label("body.peek[1.2.mime]<5.10>", "BODY[1.2.MIME]<5>");
    check_label("BODY[]<7>", "BODY[]<7>");
    check_label("BODY[TEXT]", "BODY[TEXT]");
    check_label("BODY[3]", "BODY[3]");
    check_label("BODY[1.header.fields.not (a \"b c\")]", "BODY[1.HEADER.FIELDS.NOT (A \"B C\")]");
    check_label("BODY[HEADER.FIELDS (A] B)]", "BODY[HEADER.FIELDS (A] B)]");
    check_label("RFC822", "RFC822");
    check_label("RFC822.HEADER", "RFC822.HEADER");
}

#[test]
fn fetch() {
    let items = |line: &str| match parse(line) {
        Ok(Command::Fetch { fetch, .. }) => format!("{:?}", fetch.items),
        other => format!("{other:?}"),
    };
    assert_eq!(items("FETCH 1 all"), "[Flags, InternalDate, Rfc822Size, Envelope]");
    assert_eq!(items("FETCH 1 (FLAGS UID FLAGS)"), "[Flags, Uid]");
    assert_eq!(items("FETCH 1 BODY"), "[Body]");
    for (line, text) in [
        ("FETCH", "Invalid arguments"),
        ("FETCH 1", "Invalid arguments"),
        ("FETCH x FLAGS", "Invalid messageset"),
        ("FETCH \"1\" FLAGS", "Invalid arguments"),
        ("FETCH 1 \"FLAGS\"", "Invalid arguments"),
        ("FETCH 1 (FLAGS) x", "Invalid arguments"),
        ("FETCH 1 ALL FLAGS", "Invalid arguments"),
        ("FETCH 1 (ALL)", "Unknown parameter: ALL"),
        ("FETCH 1 ()", "FETCH list is empty"),
        ("FETCH 1 (FLAGS (X))", "FETCH list contains non-atoms"),
        ("FETCH 1 RFC822.PEEK", "Unknown parameter RFC822.PEEK"),
        ("FETCH 1 BODYX", "Unknown parameter: BODYX"),
        ("FETCH 1 BODY[HEADER.FIELDS ()]", "Invalid BODY[..] section"),
        ("FETCH 1 BODY[HEADER.FIELDS x]", "Invalid arguments"),
        ("FETCH 1 BODY[FOO]", "Invalid BODY[..] section"),
        ("FETCH 1 BODY[MIME]", "Invalid BODY[..] section"),
        ("FETCH 1 BODY[TEXT.1]", "Invalid BODY[..] section"),
        ("FETCH 1 BODY[1.]", "Invalid BODY[..] section"),
        ("FETCH 1 BODY[1", "Invalid BODY[..] parameter: Missing ']'"),
        ("FETCH 1 BODY.PEEK", "Invalid BODY[..] parameter: Missing '['"),
        ("FETCH 1 BODY[]x", "Invalid BODY[..] parameter: Unexpected data after ']'"),
        ("FETCH 1 BODY[]<1.2", "Invalid BODY[..] parameter: Missing '>' in partial"),
        ("FETCH 1 BODY[]<1.2.3>", "Invalid BODY[..] parameter: Missing '>' in partial"),
        ("FETCH 1 BODY[]<x>", "Invalid BODY[..] parameter: Too big partial start"),
        ("FETCH 1 BODY[]<18446744073709551615.1>", "Invalid BODY[..] parameter: Too big partial start"),
    ] {
        check(line, &format!("BAD {text}"));
    }
}

#[test]
fn store() {
    check("STORE 1 FLAGS.FOO (\\Seen)", "BAD Invalid arguments");
    check("STORE 1 +FLAGS (\\foo)", "BAD Invalid system flag \\FOO");
    check("STORE 1 FLAGS (a \"b\")", "BAD Flags list contains non-atoms");
    check("STORE 1", "BAD Invalid arguments");
    check("STORE 1 (UNCHANGEDSINCE 1) FLAGS ()", "BAD Unknown STORE modifier");
    let Ok(Command::Store { uid: true, store }) = parse("UID STORE 1 -flags.silent \\seen kw Kw") else {
        panic!()
    };
    assert_eq!((store.mode, store.is_silent), (StoreMode::Remove, true));
    assert_eq!(store.flags.keywords, [Box::from("kw")]);
}

#[test]
fn search() {
    let key = |line: &str| match parse(line) {
        Ok(Command::Search { search, .. }) => format!("{:?}", search.key),
        Ok(other) => format!("{other:?}"),
        Err(error) => error,
    };
    for (line, expected) in [
        ("SEARCH ALL", "All"),
        ("SEARCH OR SEEN OR RECENT ALL", "Or([Flags(SystemFlags(8)), Recent, All])"),
        ("SEARCH (ALL) NOT OLD", "And([All, Not(Not(Recent))])"),
        ("SEARCH FROM x", "Header { name: \"FROM\", value: \"x\" }"),
        ("SEARCH CHARSET utf-8 BODY \"é\"", "Body(\"é\")"),
        ("SEARCH", "BAD Missing search parameters"),
        ("SEARCH foo", "BAD Unknown argument FOO"),
        ("SEARCH ()", "BAD No search parameters inside list"),
        ("SEARCH CHARSET", "BAD Invalid charset argument"),
        ("SEARCH CHARSET FOO", "BAD Missing search parameters"),
        ("SEARCH CHARSET FOO ALL", "NO [BADCHARSET] Unknown charset"),
        ("SEARCH NOT", "BAD Missing argument"),
        ("SEARCH OR ALL", "BAD Missing argument"),
        ("SEARCH KEYWORD", "BAD Missing parameter for search key (for search key: KEYWORD)"),
        ("SEARCH SUBJECT (x)", "BAD Unexpected ( (for search key: SUBJECT)"),
        ("SEARCH SINCE x", "BAD Invalid search date parameter"),
        ("SEARCH LARGER -1", "BAD Invalid search size parameter"),
        ("SEARCH UID x", "BAD Invalid UID messageset"),
        ("SEARCH 0", "BAD Invalid messageset"),
        ("SEARCH \"all\"", "BAD Unexpected string as search key: ALL"),
        ("SEARCH $ UID $", "And([LastResult, LastResult])"),
        ("SEARCH OLDER 5 NOT YOUNGER 6", "And([Older(5), Not(Younger(6))])"),
        ("SEARCH YOUNGER 0", "BAD Invalid search interval parameter"),
        ("SEARCH MODSEQ \"/flags/\\\\Seen\" all 7", "ModSeq(7)"),
        ("SEARCH MODSEQ /flags/\\Foo all 7", "BAD Invalid MODSEQ system flag"),
        ("SEARCH MODSEQ /flags/x foo 7", "BAD Invalid MODSEQ type"),
        ("SEARCH MODSEQ x", "BAD Invalid MODSEQ value"),
        ("SEARCH FUZZY (SEEN)", "Flags(SystemFlags(8))"),
        ("SEARCH INTHREAD refs ALL", "InThread(Refs, All)"),
        ("SEARCH INTHREAD FOO ALL", "BAD Unknown thread algorithm"),
        ("SEARCH X-REAL-UID $", "BAD Invalid X-REAL-UID messageset"),
        ("SEARCH X-MAILBOX &abc", "BAD X-MAILBOX name not mUTF-7"),
        ("SEARCH X-MAILBOX &AOk-*", "Mailbox(\"é*\")"),
    ] {
        assert_eq!(key(line), expected, "{line}");
    }
    assert!(key(&format!("SEARCH {}ALL", "INTHREAD REFS ".repeat(1000))).contains("nested too deeply"));
    assert!(key(&format!("SEARCH {}ALL", "FUZZY ".repeat(5000))).contains("nested too deeply"));
    assert!(key(&format!("SEARCH {}ALL", "NOT ".repeat(5000))).contains("nested too deeply"));
    assert!(key(&format!("SEARCH {}ALL", "OR ALL ".repeat(5000))).starts_with("Or("));
    assert!(key(&format!("SEARCH {}", "1 ".repeat(15_000))).contains("Too many search keys"));
}

#[test]
fn search_return() {
    let returns = |options: &str| match parse(&format!("SEARCH RETURN {options} ALL")) {
        Ok(Command::Search { search, .. }) => search.returns.ok_or_else(String::new),
        other => Err(format!("{other:?}")),
    };
    let none = SearchReturn::default();
    assert_eq!(returns("()"), Ok(SearchReturn { all: true, ..none }));
    assert_eq!(returns("(save)"), Ok(SearchReturn { save: true, ..none }));
    assert_eq!(returns("(MIN COUNT)"), Ok(SearchReturn { min: true, count: true, ..none }));
    assert_eq!(returns("(PARTIAL 9:3)"), Ok(SearchReturn { partial: Some((3, 9)), ..none }));
    assert_eq!(returns("(UPDATE (FLAGS))"), Ok(SearchReturn { all: true, update: true, ..none }));
    for (options, text) in [
        ("(FOO)", "Unknown SEARCH return option"),
        ("((ALL))", "SEARCH return options contain non-atoms"),
        ("(PARTIAL)", "PARTIAL range missing"),
        ("(PARTIAL 0:1)", "PARTIAL range broken"),
        ("(PARTIAL 1:4294967296)", "PARTIAL range broken"),
        ("(PARTIAL 1:2 PARTIAL 1:2)", "PARTIAL can be used only once"),
        ("(ALL PARTIAL 1:2)", "PARTIAL conflicts with ALL"),
        ("(UPDATE UPDATE)", "SEARCH return options have duplicate UPDATE"),
    ] {
        check(&format!("SEARCH RETURN {options} ALL"), &format!("BAD {text}"));
    }
}

#[test]
fn sort_and_thread() {
    let criteria = |program: &str| match parse(&format!("SORT {program} UTF-8 ALL")) {
        Ok(Command::Sort { sort, .. }) => {
            let show = |one: &SortCriterion| format!("{}{:?}", if one.reverse { "-" } else { "" }, one.key);
            sort.criteria.iter().map(show).collect::<Vec<_>>().join(" ")
        }
        Ok(other) => format!("{other:?}"),
        Err(error) => error,
    };
    for (program, expected) in [
        ("(SUBJECT reverse DATE)", "Subject -Date"),
        ("(REVERSE REVERSE CC DISPLAYTO)", "Cc DisplayTo"),
        // As in 2.3, the REVERSE of a key that comes again is the next one's.
        ("(TO REVERSE TO FROM)", "To -From"),
        ("()", "BAD Empty sort program"),
        ("(REVERSE)", "BAD Sort list ends with REVERSE"),
        ("(FOO)", "BAD Unknown sort argument: FOO"),
        ("((DATE))", "BAD Invalid sort list argument"),
        ("DATE", "BAD Invalid sort argument"),
    ] {
        assert_eq!(criteria(program), expected, "{program}");
    }
    assert_eq!(criteria(&format!("({})", "TO FROM ".repeat(5000).trim_end())), "To From");
    check("SORT (DATE) (UTF-8) ALL", "BAD Invalid charset argument");
    check("SORT (DATE) FOO ALL", "NO [BADCHARSET] Unknown charset");
    check("THREAD REFS UTF-8 ALL", "Thread { uid: false, thread: Thread { algorithm: Refs, key: All } }");
    check("THREAD REFS", "BAD Invalid arguments");
    check("THREAD FOO UTF-8 ALL", "BAD Unknown thread algorithm");
    check("UID THREAD REFERENCES UTF-8", "BAD Missing search parameters");
}

proptest! {
    #[test]
    fn words_never_panic(line in "(UID |)(SEARCH|SORT|THREAD|FETCH|STORE|LIST|STATUS|ID|ENABLE|COPY|LSUB) ([0-9:*,]{0,5} |BODY\\[|[A-Z.]{0,8}|\\]|<[0-9.]{0,4}>|\\(|\\)|OR |NOT |\"a\"| |é){0,12}") {
        let _ = parse(&line);
    }
}
