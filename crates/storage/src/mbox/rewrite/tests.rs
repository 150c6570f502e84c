use std::fs::File;

use jiff::tz::TimeZone;

use super::*;
use crate::fs::Fs;
use crate::limits::tests::Random;
use crate::mbox::scan::Scan;

const FROM: &str = "From x Thu Nov 29 22:33:52 2001\n";

fn arrange(old: &str, change: &mut dyn FnMut(usize, &Header) -> Option<Wanted<'static>>) -> String {
    let scan = Scan::new(old.as_bytes(), TimeZone::UTC);
    let (mut rewrite, mut at, mut number) = (Rewrite::default(), 0, 0);
    let mut places = Vec::new();
    while let Some(start) = scan.start(at).unwrap() {
        let end = scan.end(&start).unwrap();
        let header = Header::parse(&start.header_bytes);
        match change(number, &header) {
            None => rewrite.expunge(&end),
            Some(wanted) => {
                let new = NewHeader::new(&start, &end, &header, &wanted);
                places.push(rewrite.message(&start, &end, new).from);
            }
        }
        (at, number) = (end.next, number + 1);
    }
    let arrangement = rewrite.finish(old.len() as u64);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), old).unwrap();
    let open = File::options().read(true).write(true).open(file.path()).unwrap();
    arrangement.apply(&Fs::default(), &open, file.path(), old.len() as u64).unwrap();
    let new = std::fs::read_to_string(file.path()).unwrap();
    let scan = Scan::new(new.as_bytes(), TimeZone::UTC);
    let mut at = 0;
    for place in places {
        assert_eq!(place, at);
        at = scan.end(&scan.start(at).unwrap().unwrap()).unwrap().next;
    }
    new
}

fn base(last_uid: u32) -> Option<WantedBase<'static>> {
    Some(WantedBase { uid_validity: 9, last_uid, keywords: vec!["kw"] })
}

fn wanted(number: usize, last_uid: u32) -> Wanted<'static> {
    Wanted {
        base: if number == 0 { base(last_uid) } else { None },
        uid: Some(number as u32 + 1),
        flags: Flags::SEEN | Flags::FLAGGED,
        is_old: true,
        keywords: vec!["kw"],
    }
}

/// One message's new header, by `change` from the old one; dots show room.
fn check(header: &str, change: Wanted<'static>, expected: &str) {
    let old = format!("{FROM}{header}\nbody\n\n");
    let new = arrange(&old, &mut |_, _| Some(change.clone()));
    let shown = new.strip_prefix(FROM).unwrap().strip_suffix("\nbody\n\n").unwrap();
    assert_eq!(shown.replace("  ", ".."), expected.replace("  ", ".."), "{header}");
}

#[test]
fn in_place() {
    let same = "A: b\nX-IMAPbase: 9 0000000001 kw\nX-UID: 1\nStatus: RO\nX-Status: F\nX-Keywords: kw    \n";
    check(same, wanted(0, 1), same);
    let without = Wanted { keywords: Vec::new(), ..wanted(0, 1) };
    check(same, without, &same.replace("X-Keywords: kw    ", "X-Keywords:       "));
    let unseen = Wanted { flags: Flags::ANSWERED, ..wanted(0, 1) };
    let expected = same.replace("RO", "O").replace("Status: F", "Status: A").replace("kw    ", "kw     ");
    check(same, unseen, &expected);
    check(&same.replace("RO", "x"), wanted(0, 1), &same.replace("RO", "xRO").replace("kw    ", "kw  "));
    // As the last UID goes up it keeps its place.
    check(same, wanted(0, 7), &same.replace("01 kw", "07 kw"));
}

#[test]
fn added_and_dropped() {
    let all = "X-IMAPbase: 9 0000000001 kw\nX-UID: 1\nStatus: RO\nX-Status: F\nX-Keywords: kw";
    let room = " ".repeat(50);
    check("A: b\n", wanted(0, 1), &format!("A: b\n{all}{room}\n"));
    check(
        "A: b\nX-UID: 5\nStatus: R\nStatus: O\n",
        wanted(0, 1),
        &format!(
            "A: b\nStatus: RO\nX-IMAPbase: 9 0000000001 kw\nX-UID: 1\nX-Status: F\nX-Keywords: kw{room}\n"
        ),
    );
    let plain = Wanted { uid: Some(3), ..Wanted::default() };
    check(
        "X-IMAPbase: 9 0000000001 kw\nX-UID: x\nA: b\n",
        plain.clone(),
        &format!("A: b\nX-UID: 3{}\n", " ".repeat(28)),
    );
    check("A: b\n", plain, &format!("A: b\nX-UID: 3{room}\n"));
}

#[test]
fn the_message_that_is_none() {
    let header = "Subject: DON'T DELETE\nX-IMAP: 9 0000000004 kw\nStatus: RO\n";
    let wanted = Wanted { base: base(5), flags: Flags::SEEN, is_old: true, ..Wanted::default() };
    check(header, wanted, &header.replace('4', "5"));
}

#[test]
fn content_length() {
    let old = format!("{FROM}A: b\n\n{}\n\n", "x".repeat(1024));
    let plain = Wanted { uid: Some(1), ..Wanted::default() };
    let new = arrange(&old, &mut |_, _| Some(plain.clone()));
    assert!(new.contains("Content-Length: 1025\n\nx"), "{new}");
    assert_eq!(arrange(&new, &mut |_, _| Some(plain.clone())), new);
}

fn mailbox(count: usize) -> String {
    let one = |number| format!("{FROM}A: {number}\n\nbody {number}\n\n");
    (0..count).map(one).collect()
}

#[test]
fn expunged() {
    let old = mailbox(4);
    let full = arrange(&old, &mut |number, _| Some(wanted(number, 4)));
    // The first goes: the second gets what the first had to say for all.
    let less = arrange(&full, &mut |number, _| match number {
        0 | 2 => None,
        1 => Some(Wanted { base: base(4), ..wanted(1, 4) }),
        _ => Some(wanted(number, 4)),
    });
    assert!(less.starts_with(&format!("{FROM}A: 1\n")), "{less}");
    assert!(less.contains("X-IMAPbase: 9 0000000004 kw\nX-UID: 2"), "{less}");
    assert_eq!(less.matches(FROM).count(), 2);
    assert!(less.ends_with("\n\nbody 3\n\n"), "{less}");
    assert_eq!(arrange(&less, &mut |_, _| None), "");
    let last =
        arrange(&less, &mut |number, _| (number == 0).then(|| Wanted { base: base(4), ..wanted(1, 4) }));
    assert!(last.ends_with("body 1\n\n"), "{last}");
}

/// Room that later messages have is used before anything behind them is moved.
#[test]
fn moved_no_further_than_needed() {
    let old = arrange(&mailbox(3), &mut |number, _| Some(wanted(number, 3)));
    let tail = old.rfind("From x").unwrap();
    let long = "k".repeat(200);
    let keywords: &'static str = Box::leak(long.into_boxed_str());
    let new = arrange(&old, &mut |number, _| {
        let more = Wanted { keywords: vec!["kw", keywords], ..wanted(number, 3) };
        Some(if number == 0 { more } else { wanted(number, 3) })
    });
    // Of the 201 bytes 50 come from its own room, which it gets again, and 50 from each of the others.
    assert_eq!(new.len(), old.len() + 101);
    let other = arrange(&old, &mut |number, _| {
        let more = Wanted { keywords: vec!["kw", "just-fits-into-it"], ..wanted(number, 3) };
        Some(if number == 0 { more } else { wanted(number, 3) })
    });
    assert_eq!(other.len(), old.len());
    assert_eq!(&other[tail..], &old[tail..]);
}

/// Whatever is asked for, afterwards it stands there, and asking again changes nothing.
#[test]
fn any_change() {
    const WORDS: [&str; 4] = ["a", "bcd", "$Forwarded", "a-longer-keyword-than-others"];
    let mut random = Random::new(23);
    for _ in 0..50 {
        let mut text = mailbox(5);
        for _ in 0..4 {
            let states: Vec<Option<Wanted<'static>>> = (0..5)
                .map(|number| {
                    (random.below(6) > 0).then(|| Wanted {
                        base: None,
                        uid: Some(number as u32 + 1),
                        flags: Flags(random.below(32) as u8) & Flags::ALL,
                        is_old: random.below(2) == 0,
                        keywords: WORDS.iter().copied().filter(|_| random.below(2) == 0).collect(),
                    })
                })
                .collect();
            let mut first = true;
            let mut ask = |number: usize, _: &Header| {
                let mut wanted = states.get(number).cloned().flatten()?;
                if std::mem::take(&mut first) {
                    wanted.base = base(5);
                }
                Some(wanted)
            };
            let new = arrange(&text, &mut ask);
            let expected: Vec<_> = states.iter().take(text.matches(FROM).count()).flatten().collect();
            let scan = Scan::new(new.as_bytes(), TimeZone::UTC);
            let (mut at, mut number) = (0, 0);
            while let Some(start) = scan.start(at).unwrap() {
                let header = Header::parse(&start.header_bytes);
                let wanted = expected[number];
                assert_eq!(
                    (header.flags, header.is_old, header.uid),
                    (wanted.flags, wanted.is_old, wanted.uid)
                );
                assert_eq!(header.keywords.unwrap_or_default(), wanted.keywords);
                assert_eq!(header.base.is_some(), number == 0, "{new}");
                let end = scan.end(&start).unwrap();
                assert!(new[start.body as usize..end.body as usize].starts_with("body "), "{new}");
                (at, number) = (end.next, number + 1);
            }
            assert_eq!(number, expected.len());
            let mut again = expected.iter().copied().cloned().collect::<Vec<_>>();
            if let Some(first) = again.first_mut() {
                first.base = base(5);
            }
            assert_eq!(arrange(&new, &mut |number, _| again.get(number).cloned()), new);
            text = new;
            if text.is_empty() {
                break;
            }
        }
    }
}
