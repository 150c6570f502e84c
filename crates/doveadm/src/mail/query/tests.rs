use storage::search::part::{Compare, NameMatch, PartField, PartQuery};
use storage::search::{DateKind, Day, Query};
use storage::view::{Flags, View};

use super::resolve::Place;
use super::*;

const NOW: i64 = 1_700_000_000;

fn parse(line: &str) -> Result<SearchQuery, String> {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    SearchQuery::parse_at(&words, NOW)
}

/// The query for INBOX, which is empty.
fn resolved(line: &str) -> Query {
    let view = View::empty(base::UidValidity::ONE, base::Uid::ONE);
    let place = Place { name: "INBOX", separator: '/', guid: "abc", view: &view };
    match parse(line).unwrap().at(&place) {
        Query::And(mut all) if all.len() == 1 => all.remove(0),
        query => query,
    }
}

fn not(query: Query) -> Query {
    Query::Not(Box::new(query))
}

#[test]
fn keys_become_conditions() {
    let header = |name: &str, text: &str| Query::Header { name: name.into(), text: text.into() };
    let part = |query| Query::Part(Box::new(query));
    for (line, expected) in [
        ("all", Query::All),
        ("unseen", not(Query::Flags(Flags::SEEN))),
        ("not seen", not(Query::Flags(Flags::SEEN))),
        ("not not seen", Query::Flags(Flags::SEEN)),
        ("subject x", header("SUBJECT", "x")),
        ("header x-y z", header("X-Y", "z")),
        ("larger 1k", Query::Larger(1024)),
        ("smaller 2MB", Query::Smaller(2 << 20)),
        ("since 2024-03-01", Query::Since(DateKind::Received, Day::from_ymd(2024, 3, 1).unwrap())),
        ("senton 1-Mar-2024", Query::On(DateKind::Sent, Day::from_ymd(2024, 3, 1).unwrap())),
        ("savedbefore 12345", Query::BeforeTime(DateKind::Saved, 12345)),
        ("x-savedsince 1d", Query::SinceTime(DateKind::Saved, NOW - 86400)),
        ("before 2weeks", Query::BeforeTime(DateKind::Received, NOW - 14 * 86400)),
        ("mailbox inbox", Query::All),
        ("mailbox a", Query::None),
        ("mailbox IN*", Query::All),
        ("mailbox-guid abc", Query::All),
        ("modseq /flags/\\seen all 7", Query::ModSeq(ModSeq(7))),
        ("modseq 7", Query::ModSeq(ModSeq(7))),
        ("guid g", Query::Guid("g".into())),
        ("mimepart child exists", part(PartQuery::Child(None))),
        ("mimepart parent exists", part(PartQuery::Parent(None))),
        ("mimepart depth min 1", part(PartQuery::Depth(Compare::AtLeast, 1))),
        (
            "mimepart ( or type text size 7 not filename ends .gif )",
            part(PartQuery::And(vec![
                PartQuery::Or(vec![
                    PartQuery::Text(PartField::Type, "text".into()),
                    PartQuery::Size(Compare::Equal, 7),
                ]),
                PartQuery::Not(Box::new(PartQuery::FileName(NameMatch::Ends, ".gif".into()))),
            ])),
        ),
        ("$", Query::None),
        (
            "not ( seen deleted )",
            Query::Or(vec![not(Query::Flags(Flags::SEEN)), not(Query::Flags(Flags::DELETED))]),
        ),
        (
            "seen or deleted or draft",
            Query::Or(vec![
                Query::Flags(Flags::SEEN),
                Query::Flags(Flags::DELETED),
                Query::Flags(Flags::DRAFT),
            ]),
        ),
    ] {
        assert_eq!(resolved(line), expected, "{line}");
    }
}

#[test]
fn numbers_are_those_of_the_mailbox() {
    let uid = |uid: u32| base::Uid::new(uid).unwrap();
    let mut edit = View::empty(base::UidValidity::ONE, uid(1)).edit();
    for number in [2, 4, 6] {
        edit.append(storage::Record {
            uid: uid(number),
            flags: Flags::NONE,
            bits: 0,
            keywords: storage::KeywordSet::default(),
            modseq: ModSeq(1),
        });
    }
    let view = edit.finish();
    for (line, expected) in [
        ("1:2", vec![(2, 2), (4, 4)]),
        ("*", vec![(6, 6)]),
        ("5:*", vec![(6, 6)]),
        ("uid *", vec![(6, 6)]),
        ("uid 4:*", vec![(4, u32::MAX)]),
        // As in 2.3, and other than in IMAP, the last message is not meant.
        ("uid 9:*", vec![(9, u32::MAX)]),
        ("uid 2,4:3", vec![(2, 4)]),
    ] {
        let place = Place { name: "INBOX", separator: '/', guid: "", view: &view };
        let expected: base::UidSet =
            expected.into_iter().fold(base::UidSet::new(), |mut set, (first, last)| {
                set.insert_range(uid(first), uid(last));
                set
            });
        assert_eq!(parse(line).unwrap().at(&place), Query::And(vec![Query::Uids(expected)]), "{line}");
    }
}

/// Recorded from 2.3.19.
#[test]
fn mistakes_in_2_3_s_words() {
    for (line, expected) in [
        ("bogus", "Unknown argument BOGUS"),
        ("since yesterday", "Invalid search date parameter: yesterday"),
        ("since", "Missing parameter for search key (for search key: SINCE)"),
        ("larger 1X", "Invalid size: 1X"),
        ("not", "Missing argument"),
        ("( all", "Missing ')'"),
        ("all )", "Unexpected ')'"),
        ("( )", "No search parameters inside list"),
        ("seen or deleted draft", "Use parenthesis when mixing ANDs and ORs"),
        ("uid x", "Invalid UID messageset"),
        ("1:x", "Invalid messageset"),
        ("0", "Invalid messageset"),
        ("older 0", "Invalid search interval parameter"),
        ("modseq x", "Invalid MODSEQ value"),
        ("mimepart", "Missing MIMEPART key"),
        ("mimepart bogus", "Unknown MIMEPART key BOGUS"),
        ("mimepart exists", "EXISTS key can only be used with PARENT or CHILD"),
        ("mimepart child ( exists )", "EXISTS key can only be used with PARENT or CHILD"),
        ("mimepart type", "Missing parameter for search key (for search key: TYPE)"),
        ("mimepart depth x", "Invalid MIMEPART DEPTH level"),
        ("mimepart disposition x", "Invalid MIMEPART DISPOSITION key type"),
        ("mimepart filename has x", "Invalid MIMEPART FILENAME match type"),
        ("mimepart index x", "Invalid MIMEPART INDEX number"),
        ("mimepart size larger x", "Invalid MIMEPART SIZE value"),
        ("mimepart sentbefore x", "Invalid search date parameter"),
    ] {
        assert_eq!(parse(line).unwrap_err(), expected, "{line}");
    }
    let deep = vec!["("; 10_000].join(" ");
    assert_eq!(parse(&deep).unwrap_err(), "Too many nested parentheses");
}

#[test]
fn which_mailboxes_are_meant() {
    let fits = |line: &str, name: &str| parse(line).unwrap().fits_mailbox(name, '/');
    assert!(fits("all", "x") && fits("mailbox x", "x") && !fits("mailbox x", "y"));
    assert!(fits("mailbox x or mailbox y", "y") && !fits("mailbox x or mailbox y", "z"));
    assert!(fits("not mailbox x", "y") && !fits("not mailbox x", "x"));
    assert!(fits("mailbox a/%", "a/b") && !fits("mailbox a/%", "a/b/c"));
    let patterns = |line: &str| parse(line).unwrap().patterns().0.join(" ");
    assert_eq!(patterns("mailbox x all"), "x");
    assert_eq!(patterns("( mailbox x mailbox y* )"), "x y*");
    assert_eq!(patterns("mailbox x or mailbox y"), "");
    assert_eq!(patterns("not mailbox x"), "");
}

#[test]
fn removal_wants_a_mailbox_and_more() {
    let checked = |line: &str| parse(line).unwrap().check_removal("expunge");
    for line in ["mailbox x all", "mailbox x or mailbox y", "( mailbox x seen ) or ( mailbox y all )"] {
        let expected = line != "mailbox x or mailbox y";
        assert_eq!(checked(line).is_ok(), expected, "{line}");
    }
    for line in ["all", "mailbox x or seen", "mailbox x", "mailbox-guid x", "( mailbox x all ) or seen"] {
        assert!(checked(line).is_err(), "{line}");
    }
}
