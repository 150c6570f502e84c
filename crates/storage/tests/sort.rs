//! Sorting and searching over a Maildir: what is in the messages decides.

mod support;

use std::time::Duration;

use base::Uid;
use storage::search::{self, Query, Search};
use storage::sort::{Criterion, Sort, SortKey};
use storage::thread::Algorithm;
use storage::{Flags, Mailbox, SyncMode};
use support::{Home, save};

fn mailbox(home: &Home, texts: &[&str]) -> Box<dyn Mailbox> {
    let mut inbox = home.inbox();
    for text in texts {
        save(&mut *inbox, text, Flags::NONE, &[]).unwrap();
    }
    inbox.sync(SyncMode::Quick).unwrap();
    inbox
}

fn sorted(inbox: &mut dyn Mailbox, key: SortKey, reverse: bool) -> Vec<u32> {
    let uids = inbox.view().records().map(|record| record.uid).collect();
    let mut sort = Sort::new(uids, &[Criterion { key, reverse }]);
    // One message at a time comes to the same.
    while !sort.advance(inbox, Duration::ZERO).unwrap() {}
    assert_eq!(sort.progress().0, sort.progress().1);
    sort.finish().into_iter().map(Uid::get).collect()
}

#[test]
fn by_each_key() {
    let home = Home::new();
    let mut inbox = mailbox(
        &home,
        &[
            "Subject: Re: b\nFrom: Zoe <ann@x>\nTo: c@x\nDate: 2 Jan 2020 10:00 +0000\n\nlong text\n",
            "Subject: a\nFrom: bob@x\nCc: d@x\nDate: 2 Jan 2020 10:00 +0100\n\n",
            "Subject: [x] B (fwd)\nFrom: \"\" <ANN@y>\nTo: Anna <b@x>, a@x\nDate: 1 Jan 2020 10:00 +0000\n\ntext\n",
        ],
    );
    for (key, up, down) in [
        (SortKey::Subject, [2, 1, 3], [1, 3, 2]),
        (SortKey::From, [1, 3, 2], [2, 1, 3]),
        (SortKey::DisplayFrom, [3, 2, 1], [1, 2, 3]),
        (SortKey::To, [2, 3, 1], [1, 3, 2]),
        (SortKey::DisplayTo, [2, 3, 1], [1, 3, 2]),
        (SortKey::Cc, [1, 3, 2], [2, 1, 3]),
        (SortKey::Date, [3, 2, 1], [1, 2, 3]),
        (SortKey::Size, [2, 1, 3], [3, 1, 2]),
    ] {
        assert_eq!(sorted(&mut *inbox, key, false), up, "{key:?}");
        assert_eq!(sorted(&mut *inbox, key, true), down, "{key:?}");
    }
}

/// Dovecot sorts a NUL as the unknown character that it shows to clients.
#[test]
fn nul_is_an_unknown_character() {
    let home = Home::new();
    let mut inbox = mailbox(&home, &["Subject: n\0ul\n\n", "Subject: no\n\n", "Subject: n\n\n"]);
    assert_eq!(sorted(&mut *inbox, SortKey::Subject, false), [3, 2, 1]);
}

/// What `doveadm dump` would show of the numbers, by UID.
fn ranks(inbox: &mut dyn Mailbox) -> Vec<u32> {
    inbox.sort_ranks("sort-s").unwrap().list.into_iter().map(|(_, rank)| rank).collect()
}

#[test]
fn numbers_are_kept_and_new_messages_get_theirs() {
    let home = Home::new();
    let subjects = ["m", "c", "", "Re: m", "z", "a", "q"];
    let texts: Vec<String> = subjects.iter().map(|subject| format!("Subject: {subject}\n\n")).collect();
    let mut inbox = mailbox(&home, &texts[..4].iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(sorted(&mut *inbox, SortKey::Subject, false), [3, 2, 1, 4]);
    let first = ranks(&mut *inbox);
    assert!(first[2] < first[1] && first[1] < first[0] && first[0] == first[3] && first[2] > 0, "{first:?}");
    for text in &texts[4..] {
        save(&mut *inbox, text, Flags::NONE, &[]).unwrap();
    }
    inbox.sync(SyncMode::Quick).unwrap();
    // Others find them in the index; their own texts are not read again.
    let mut other = home.inbox();
    other.sync(SyncMode::Quick).unwrap();
    assert_eq!(ranks(&mut *other)[..4], first);
    assert_eq!(sorted(&mut *other, SortKey::Subject, true), [5, 7, 1, 4, 2, 6, 3]);
    assert!(ranks(&mut *inbox).iter().all(|rank| *rank != 0));
    assert_eq!(sorted(&mut *inbox, SortKey::Subject, false), [3, 6, 2, 1, 4, 7, 5]);
}

#[test]
fn numbers_that_lie_are_made_anew() {
    let home = Home::new();
    let mut inbox = mailbox(&home, &["Subject: b\n\n", "Subject: a\n\n", "Subject: c\n\n"]);
    assert_eq!(sorted(&mut *inbox, SortKey::Subject, false), [2, 1, 3]);
    let good = ranks(&mut *inbox);
    let keep = |inbox: &mut dyn Mailbox, ranks: [u32; 3]| {
        let mut kept = inbox.sort_ranks("sort-s").unwrap();
        kept.list.iter_mut().zip(ranks).for_each(|(entry, rank)| entry.1 = rank);
        inbox.keep_sort_ranks("sort-s", &kept);
    };
    // A gap.
    keep(&mut *inbox, [7, 0, 9]);
    assert_eq!(sorted(&mut *inbox, SortKey::Subject, false), [2, 1, 3]);
    assert_eq!(ranks(&mut *inbox), good);
    // Another order, which shows as soon as there is a new message between them.
    keep(&mut *inbox, [200, 300, 100]);
    save(&mut *inbox, "Subject: bb\n\n", Flags::NONE, &[]).unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    assert_eq!(sorted(&mut *inbox, SortKey::Subject, false), [2, 1, 4, 3]);
    // Somebody else was faster.
    let mut stale = inbox.sort_ranks("sort-s").unwrap();
    let now = ranks(&mut *inbox);
    stale.reset_id -= 1;
    stale.list.iter_mut().for_each(|entry| entry.1 += 1);
    inbox.keep_sort_ranks("sort-s", &stale);
    assert_eq!(ranks(&mut *inbox), now);
}

#[test]
fn many_bodies_are_read_in_order() {
    let home = Home::new();
    let texts: Vec<String> = (0..300).map(|number| format!("A: b\n\nnumber {}\n", number % 7)).collect();
    let mut inbox = mailbox(&home, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let view = inbox.view();
    let body = |text: &str| Query::Body(text.to_owned());
    let query = Query::And(vec![
        Query::Or(vec![body("number 3"), body("number 5")]),
        Query::Not(Box::new(body("5"))),
        Query::Not(Box::new(Query::Header { name: "A".to_owned(), text: "c".to_owned() })),
    ]);
    // As deep as protocols let queries be.
    let query = (0..200).fold(query, |query, _| Query::Not(Box::new(query)));
    let want: Vec<u32> = (0..300).filter(|number| number % 7 == 3).map(|number| number + 1).collect();
    let all: Vec<u32> = search::run(&mut *inbox, &view, &query).unwrap().into_iter().map(Uid::get).collect();
    assert_eq!(all, want);
    let mut piecemeal = Search::new(&view, &query, inbox.recent().clone());
    let mut steps = 0;
    while !piecemeal.advance(&mut *inbox, &view, Duration::ZERO).unwrap() {
        steps += 1;
    }
    assert!(steps > 100, "{steps}");
    let piecemeal: Vec<u32> = piecemeal.found().iter().copied().map(Uid::get).collect();
    assert_eq!(piecemeal, want);
}

#[test]
fn threads_of_what_fits() {
    let home = Home::new();
    let mut inbox = mailbox(
        &home,
        &[
            "Message-ID: <a@x>\nSubject: s\n\n",
            "Message-ID: <b@x>\nSubject: t\n\n",
            "Message-ID: <c@x>\nReferences: <a@x>\nSubject: u\n\n",
        ],
    );
    let view = inbox.view();
    let subject = |text: &str| Query::Header { name: "Subject".to_owned(), text: text.to_owned() };
    let in_thread = |query| Query::InThread(Algorithm::Refs, Box::new(query));
    for (query, want) in [
        (in_thread(subject("u")), vec![1, 3]),
        (Query::Not(Box::new(in_thread(subject("u")))), vec![2]),
        (in_thread(Query::Not(Box::new(in_thread(subject("s"))))), vec![2]),
        (Query::Or(vec![in_thread(subject("t")), in_thread(subject("s"))]), vec![1, 2, 3]),
        (in_thread(subject("none")), vec![]),
    ] {
        let found = search::run(&mut *inbox, &view, &query).unwrap();
        assert_eq!(found.into_iter().map(Uid::get).collect::<Vec<_>>(), want, "{query:?}");
    }
}
