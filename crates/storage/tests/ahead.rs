//! Reading ahead changes nothing but the time it takes: messages that go meanwhile are missed when they
//! are asked for, limits hold, and no message is too deep.

mod support;

use base::Uid;
use storage::sort::{Criterion, Sort, SortKey};
use storage::{Error, Flags, Mailbox, SyncMode, Wanted};
use support::{Home, save};

const COUNT: u32 = 300;

/// Messages that the cache knows nothing of.
fn filled(home: &Home, text: impl Fn(u32) -> String) -> Box<dyn Mailbox> {
    let mut inbox = home.inbox();
    for number in 1..=COUNT {
        save(&mut *inbox, &text(number), Flags::NONE, &[]).unwrap();
    }
    drop(inbox);
    let _ = std::fs::remove_file(home.root().join("dovecot.index.cache"));
    home.inbox()
}

fn uids() -> Vec<Uid> {
    (1..=COUNT).filter_map(Uid::new).collect()
}

fn subject(number: u32) -> String {
    format!("Subject: s{number}\nFrom: a@x\nMessage-ID: <{number}@x>\n\nbody\n")
}

/// A field of a message.
fn field(inbox: &mut dyn Mailbox, uid: Uid, name: &str) -> storage::Result<String> {
    let fields = inbox.fetch_fields(uid, Wanted::NONE, &[name])?.fields.expect("fields");
    let text = String::from_utf8_lossy(&fields);
    Ok(text.strip_prefix(name).expect("its name").trim_start_matches(':').trim().to_owned())
}

fn found(inbox: &mut dyn Mailbox, uid: Uid) -> storage::Result<String> {
    field(inbox, uid, "Subject")
}

#[test]
fn messages_that_go_meanwhile_are_missed_one_by_one() {
    let home = Home::new();
    let mut inbox = filled(&home, subject);
    inbox.will_fetch(&uids());
    assert_eq!(found(&mut *inbox, Uid::new(1).unwrap()).unwrap(), "s1");
    // What was read ahead may be told; what was not is gone.
    let is_gone = |uid: Uid| uid.get() > 250 && uid.get().is_multiple_of(2);
    let mut files: Vec<_> = home.uidlist().lines().skip(1).map(str::to_owned).collect();
    files.retain(|line| is_gone(Uid::new(line.split(' ').next().unwrap().parse().unwrap()).unwrap()));
    assert_eq!(files.len(), 25);
    for line in files {
        let base = line.split_once(" :").unwrap().1;
        let name = home.files().into_iter().find(|name| name.contains(base)).unwrap();
        std::fs::remove_file(home.root().join(name)).unwrap();
    }
    for uid in uids().into_iter().skip(1) {
        match found(&mut *inbox, uid) {
            Ok(text) => assert!(!is_gone(uid) && text == format!("s{uid}"), "{uid}: {text}"),
            Err(Error::Expunged(_)) => assert!(is_gone(uid), "{uid}"),
            Err(error) => panic!("{uid}: {error}"),
        }
    }
}

#[test]
fn another_order_and_other_wishes_come_to_the_same() {
    let home = Home::new();
    let mut inbox = filled(&home, subject);
    inbox.will_fetch(&uids());
    for uid in uids().into_iter().rev().step_by(7).chain(uids()) {
        assert_eq!(found(&mut *inbox, uid).unwrap(), format!("s{uid}"));
        if uid.get() % 3 == 0 {
            let facts = inbox.fetch_facts(uid, Wanted::SIZE_PHYSICAL | Wanted::INTERNAL_DATE).unwrap();
            assert_eq!(facts.size_physical, Some(subject(uid.get()).len() as u64));
            assert!(facts.internal_date.is_some());
            assert_eq!(field(&mut *inbox, uid, "Message-ID").unwrap(), format!("<{uid}@x>"));
        }
    }
}

#[test]
fn what_is_not_at_hand_is_not_read() {
    let home = Home::new();
    let mut inbox = filled(&home, subject);
    inbox.will_fetch(&uids());
    for uid in uids() {
        let told = inbox.fetch_fields(uid, Wanted::AT_HAND, &["Subject"]);
        assert!(matches!(told, Err(Error::TooSlow(_))), "{uid}");
    }
}

#[test]
fn a_sort_reads_no_more_than_it_may() {
    let home = Home::new();
    // The other way round.
    let mut inbox = filled(&home, |number| format!("Subject: s{}\n\n", 999 - number));
    let mut sort = Sort::new(uids(), &[Criterion { key: SortKey::Subject, reverse: false }]).with_slow_max(5);
    while !sort.advance(&mut *inbox, std::time::Duration::from_secs(1)).unwrap() {}
    assert!(sort.has_given_up());
    inbox.sync(SyncMode::Quick).unwrap();
    let known: Vec<u32> = uids()
        .into_iter()
        .filter(|uid| inbox.fetch_fields(*uid, Wanted::AT_HAND, &["Subject"]).is_ok())
        .map(Uid::get)
        .collect();
    assert!(known.iter().all(|uid| *uid <= 5), "{known:?}");
}

#[test]
fn no_message_is_too_deep_for_the_threads() {
    let home = Home::new();
    let deep = |number: u32| {
        let part = |depth: u32| match depth % 2 {
            0 => format!("Content-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\n"),
            _ => "Content-Type: message/rfc822\n\n".to_owned(),
        };
        let parts: String = (0..300).map(part).collect();
        format!("Subject: {number}\n{parts}Content-Type: text/plain\n\nx\n")
    };
    let mut inbox = filled(&home, deep);
    inbox.will_fetch(&uids());
    for uid in uids() {
        let facts = inbox.fetch_facts(uid, Wanted::BODYSTRUCTURE | Wanted::ENVELOPE).unwrap();
        assert!(facts.bodystructure.is_some_and(|text| text.len() > 1000), "{uid}");
    }
}
