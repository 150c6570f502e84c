//! Input in pieces of every kind, expected events as text.

use super::*;
use proptest::prelude::*;

/// Feeds `pieces`, accepting (or not) every message, and writes down what comes out.
fn run<'a>(reader: &mut CommandReader, accept: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut out = String::new();
    let mut data = Vec::new();
    for piece in pieces {
        let mut input = piece;
        while let Some(event) = reader.read(&mut input) {
            let text = match event {
                Event::Command(command) => {
                    format!("{} {} {}", command.tag, command.kind.name(), show(&command.args))
                }
                Event::SendContinuation => "+".to_owned(),
                Event::Message(head) => {
                    if accept {
                        reader.accept_message()
                    } else {
                        reader.refuse_message()
                    }
                    let sync = if head.is_synchronizing { "sync" } else { "" };
                    let binary = if head.is_binary { "~" } else { "" };
                    format!("{} MESSAGE {} {binary}{}{sync}", head.tag, show(&head.args), head.size_bytes)
                }
                Event::MessageData(bytes) => {
                    data.extend_from_slice(bytes);
                    continue;
                }
                Event::MessageEnd => format!("DATA {}", std::mem::take(&mut data).escape_ascii()),
                Event::AppendEnd(tag) => format!("{tag} END"),
                Event::Error(error) => {
                    let tag = error.tag.as_ref().map_or("*", |tag| tag.as_str());
                    format!("{tag} {} {error}", if error.is_fatal() { "BYE" } else { "BAD" })
                }
            };
            out.push_str(text.trim_end());
            out.push('\n');
        }
    }
    out
}

fn show(args: &[Arg]) -> String {
    let show_one = |arg: &Arg| match arg {
        Arg::Atom(word) => word.to_string(),
        Arg::String(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Arg::List(items) => format!("({})", show(items)),
    };
    args.iter().map(show_one).collect::<Vec<_>>().join(" ")
}

fn check(input: &[u8], expected: &str) {
    for accept in [true, false] {
        if !accept && input.windows(6).any(|word| word == b"APPEND") {
            continue;
        }
        let new = || CommandReader::after_login(200);
        assert_eq!(run(&mut new(), accept, [input]).trim_end(), expected, "{}", input.escape_ascii());
        assert_eq!(
            run(&mut new(), accept, input.chunks(1)).trim_end(),
            expected,
            "bytewise {}",
            input.escape_ascii()
        );
    }
}

#[test]
fn commands() {
    check(b"a NOOP\r\nb check (\n", "a NOOP\nb CHECK");
    check(
        b"a uid fetch 1:* (FLAGS BODY[HEADER.FIELDS (a b)]<0.5>)\r\n",
        "a UID FETCH 1:* (FLAGS BODY[HEADER.FIELDS (a b) ]<0.5>)",
    );
    check(b"a LIST \"\" *\r\n", "a LIST \"\" *");
    check(b"a LIST \"\"( a b )~x\r\n", "a LIST \"\" (a b) ~x");
    check(b"a SELECT \"x\\\"\\y\xff\"\r\n", "a SELECT \"x\\\"y\\xff\"");
    check(b"a SELECT\r\n", "a SELECT");
    check(b"a SELECT x   \r\n", "a SELECT x");
    check(b"a STORE 1 FLAGS (\\Seen $x)\r\n", "a STORE 1 FLAGS (\\Seen $x)");
}

#[test]
fn literals() {
    check(b"a SELECT {3}\r\na\r\n\r\nb NOOP\r\n", "+\na SELECT \"a\\r\\n\"\nb NOOP");
    check(b"a SELECT {3+}\r\nabc\r\n", "a SELECT \"abc\"");
    check(b"a SELECT {0+}\r\n\r\n", "a SELECT \"\"");
    check(b"a SELECT {0}\n\n", "+\na SELECT \"\"");
    check(b"a RENAME {1+}\nx {1}\r\ny\r\n", "+\na RENAME \"x\" \"y\"");
    check(b"a SEARCH ({1+}\r\nx)\r\n", "a SEARCH (\"x\")");
}

#[test]
fn messages() {
    check(
        b"a APPEND x (\\Seen) {5}\r\nab\r\nc\r\nb NOOP\r\n",
        "a MESSAGE x (\\Seen) 5sync\nDATA ab\\r\\nc\na END\nb NOOP",
    );
    check(b"a APPEND {1+}\r\nx ~{2+}\r\na\0\r\n", "a MESSAGE \"x\" ~2\nDATA a\\x00\na END");
    check(
        b"a APPEND x {1+}\r\na (\\Seen) {1+}\r\nb\r\n",
        "a MESSAGE x 1\nDATA a\na MESSAGE (\\Seen) 1\nDATA b\na END",
    );
    check(b"a APPEND x {0+}\r\n\r\n", "a MESSAGE x 0\nDATA\na END");
    check(
        b"a APPEND x {1+}\r\na y\r\nb NOOP\r\n",
        "a MESSAGE x 1\nDATA a\na BAD Error in IMAP command APPEND: Invalid arguments\nb NOOP",
    );
    check(b"a APPEND x\r\n", "a APPEND x");
    // A message is not bound by the limit of the line.
    let input = [b"a APPEND x {300+}\r\n".as_slice(), &[b'm'; 300], b"\r\nb NOOP\r\n"].concat();
    check(&input, &format!("a MESSAGE x 300\nDATA {}\na END\nb NOOP", "m".repeat(300)));
}

#[test]
fn literal_minus() {
    let mut reader = CommandReader::after_login(9000).with_literal_minus();
    let input = &b"a SELECT {4097}\r\n"[..];
    assert_eq!(run(&mut reader, true, [input]), "+\n");
    let mut reader = CommandReader::after_login(9000).with_literal_minus();
    let input = &b"a APPEND x {4097+}\r\n"[..];
    assert_eq!(run(&mut reader, true, [input]), "* BYE Non-synchronizing literal size too large\n");
}

#[test]
fn refused_messages() {
    let check = |input: &[u8], expected: &str| {
        let mut reader = CommandReader::after_login(200);
        assert_eq!(run(&mut reader, false, input.chunks(1)).trim_end(), expected);
    };
    check(b"a APPEND x {5}\r\nb NOOP\r\n", "a MESSAGE x 5sync\nb NOOP");
    check(b"a APPEND x {10+}\r\nz LOGOUT\r\n\r\nb NOOP\r\n", "a MESSAGE x 10\nb NOOP");
    check(b"a APPEND x {1+}\r\nm {3+}\r\nabc\r\nb NOOP\r\n", "a MESSAGE x 1\nb NOOP");
}

#[test]
fn abandoned_messages() {
    let mut reader = CommandReader::after_login(200);
    let mut input = &b"a APPEND x {20+}\r\nabc"[..];
    assert!(matches!(reader.read(&mut input), Some(Event::Message(_))));
    reader.accept_message();
    assert_eq!(reader.read(&mut input), Some(Event::MessageData(b"abc")));
    reader.abandon_message();
    assert_eq!(run(&mut reader, true, [&b"z NOOP\r\nz NOOP\r\nx\r\nb NOOP\r\n"[..]]), "b NOOP\n");
}

#[test]
fn errors() {
    let bad = |name: &str, text: &str| format!("a BAD Error in IMAP command {name}: {text}\nb NOOP");
    let then = |input: &[u8]| [input, b"b NOOP\r\n"].concat();
    for (input, text) in [
        (&b"a SELECT \"x\0y\"\r\n"[..], "NULs not allowed in strings"),
        (b"a SELECT {1+}\r\n\0\r\n", "NULs not allowed in strings"),
        (b"a SELECT x\0y\r\n", "Invalid characters in atom"),
        (b"a SELECT x\"y\r\n", "Invalid characters in atom"),
        (b"a SELECT x\xff\r\n", "8bit data in atom"),
        (b"a SELECT x\ry\r\n", "CR sent without LF"),
        (b"a SELECT \"x\r\n", "Missing '\"'"),
        (b"a SELECT (x\r\n", "Missing ')'"),
        (b"a SELECT )\r\n", "Unexpected ')'"),
        (b"a SELECT {}\r\n", "Invalid literal size"),
        (b"a SELECT {3x}\r\n", "Invalid literal size"),
        (b"a SELECT {3+x\r\n", "Expecting '}' after '+'"),
        (b"a SELECT {3+}x\r\n", "Missing LF after literal size"),
        (b"a SELECT ~{3+}\r\nabc\r\n", "literal8 not allowed here"),
        (b"a SELECT ) {8+}\r\na NOOP\r\n\r\n", "Unexpected ')'"),
    ] {
        check(&then(input), &bad("SELECT", text));
    }
    check(
        &then(&[b"a SELECT ".as_slice(), &[b'x'; 300], b"\r\n"].concat()),
        &bad("SELECT", "Too long argument"),
    );
    check(&then(&[b"a SELECT ".as_slice(), &[b'('; 120], b"\r\n"].concat()), &bad("SELECT", "Too many '('"));
    check(&then(b"a foo {8+}\r\na NOOP\r\n\r\n"), &bad("FOO", "Unknown command"));
    check(&then(b"a UID foo\r\n"), &bad("UID FOO", "Unknown command"));
    check(
        b"a\r\na UID\r\na UID \r\na \"x\"\r\n",
        &["a BAD Error in IMAP command: Invalid command name"; 4].join("\n"),
    );
    check(b" a\r\n\r\n\xff x\r\na+ x\r\n", &["* BAD Error in IMAP tag: Invalid tag"; 4].join("\n"));
    check(b"a SELECT {300}\r\nb NOOP\r\n", "* BYE Literal size too large");
    check(b"a SELECT {99999999999999999999+}\r\nb NOOP\r\n", "* BYE Literal size too large");
}

#[test]
fn nothing_is_kept_between_commands() {
    let mut reader = CommandReader::after_login(200);
    assert_eq!(run(&mut reader, true, [&b"a SELECT x\r\nb NOOP\r\n"[..]]), "a SELECT x\nb NOOP\n");
    assert!(reader.is_between_commands());
    run(&mut reader, true, [&b"c"[..]]);
    assert!(!reader.is_between_commands());
    run(&mut reader, true, [&b" SELECT "[..]]);
    assert_eq!(reader.unfinished(), Some(CommandKind::Select));
}

/// Lines that a client, a bad client or an attacker might send.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"a NOOP\r\n".to_vec()),
        Just(b"a APPEND x ".to_vec()),
        Just(b"a FETCH 1 (FLAGS)\r\n".to_vec()),
        Just(b"a SELECT ".to_vec()),
        Just(b"{3}\r\n".to_vec()),
        Just(b"{4+}\r\n".to_vec()),
        Just(b"~{2+}\r\n".to_vec()),
        Just(b"abc".to_vec()),
        Just(b"\"x\\\"y\"".to_vec()),
        Just(b" ".to_vec()),
        Just(b"(".to_vec()),
        Just(b")".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(word, 0..30).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn splits_change_nothing(bytes in stream(), cuts in proptest::collection::vec(1usize..9, 1..20), accept: bool) {
        let whole = run(&mut CommandReader::after_login(60), accept, [bytes.as_slice()]);
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break }
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        prop_assert_eq!(run(&mut CommandReader::after_login(60), accept, pieces), whole);
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        run(&mut CommandReader::before_login(), true, [bytes.as_slice()]);
    }
}
