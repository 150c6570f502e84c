//! An index alone: what is written is what is read, by this process and by others.

mod support;

use base::ModSeq;
use index::{ExtSpec, Flags, LockMethod, Origin, Pending, Transaction};
use support::{Home, first, guid, show, uid, uids};

#[test]
fn opening_creates_nothing() {
    let home = Home::new();
    let mut index = home.open();
    assert!(index.is_new() && !index.refresh().unwrap());
    assert_eq!(std::fs::read_dir(home.dir.path()).unwrap().count(), 0);
}

#[test]
fn everything_survives_opening_again() {
    let home = Home::new();
    let mut index = home.filled(10);
    let mut change = Transaction::new();
    change.update_flags(&uids(&[1, 2, 3]), Flags::SEEN | Flags::DELETED, Flags::NONE);
    change.update_flags(&uids(&[2]), Flags::NONE, Flags::DELETED);
    for n in 0..70 {
        change.update_keywords(&format!("kw{n}"), &uids(&[n % 10 + 1]), true);
    }
    change.update_keywords("kw9", &uids(&[10]), false);
    change.ext(&ExtSpec::new("cache", 0, 4, 4), 0);
    change.ext_record("cache", uid(4), &[1, 2, 3, 4]);
    change.ext(&ExtSpec::new("hdr-vsize", 16, 0, 1), 0);
    change.ext_header("hdr-vsize", 8, &[9; 8]);
    index.commit(&change, Origin::External).unwrap();
    index.enable_modseqs().unwrap();
    let mut change = Transaction::new();
    change.expunge(uid(5), guid(5));
    change.update_flags(&uids(&[6]), Flags::FLAGGED, Flags::NONE);
    index.commit(&change, Origin::External).unwrap();

    let text = show(index.view());
    assert!(text.contains("10 (\\Answered) [\"") || text.contains("4 () [\"kw3\""), "{text}");
    assert_eq!(show(home.open().view()), text, "read from the log");
    assert_eq!(index.header(), home.open().header());
    let mut locked = index.lock().unwrap();
    locked.rewrite().unwrap();
    drop(locked);
    let again = home.open();
    assert_eq!(show(again.view()), text, "read from the index file");
    assert_eq!(again.ext_header("hdr-vsize"), Some(&[0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9][..]));
    assert_eq!((again.header().seen_count, again.header().deleted_count), (3, 2));
    assert_eq!(again.view().len(), 9);
}

#[test]
fn others_see_it_at_their_next_look() {
    let home = Home::new();
    let mut ours = home.filled(3);
    let mut theirs = home.open();
    let before = theirs.view().clone();
    let mut change = Transaction::new();
    change.append(uid(4), Flags::SEEN, ["$Forwarded"]);
    change.expunge(uid(1), guid(1));
    ours.commit(&change, Origin::External).unwrap();
    assert!(theirs.refresh().unwrap());
    assert!(!theirs.refresh().unwrap());
    assert_eq!(show(theirs.view()), show(ours.view()));
    let changes = index::View::diff(&before, theirs.view());
    assert_eq!((changes.expunged, changes.appended), (uids(&[1]), uids(&[4])));
    assert!(changes.keywords_added);
}

#[test]
fn requests_wait_until_they_are_carried_out() {
    let home = Home::new();
    let mut session = home.filled(5);
    let mut ask = Transaction::new();
    ask.expunge(uid(2), guid(2));
    ask.update_flags(&uids(&[3, 4]), Flags::SEEN, Flags::NONE);
    ask.update_keywords("x", &uids(&[5]), true);
    session.commit(&ask, Origin::Internal).unwrap();
    assert_eq!(session.view().len(), 5, "asked for, not done");

    for opened_later in [false, true] {
        let mut worker = home.open();
        let mut locked = worker.lock().unwrap();
        let pending = locked.pending().unwrap();
        if opened_later {
            assert_eq!(pending, [], "done by the first");
            continue;
        }
        assert_eq!(
            pending,
            [
                Pending::Flags { uids: uids(&[3, 4]), add: Flags::SEEN, remove: Flags::NONE },
                Pending::Keyword { uids: uids(&[5]), name: "x".into(), add: true },
                Pending::Expunge { uid: uid(2), guid: guid(2) },
            ]
        );
        let mut done = Transaction::new();
        done.expunge(uid(2), guid(2));
        locked.synced_with(&done).unwrap();
        assert_eq!(locked.pending().unwrap(), []);
    }
    session.refresh().unwrap();
    assert_eq!(session.view().len(), 4);
}

#[test]
fn a_rewritten_index_does_not_lose_requests() {
    let home = Home::new();
    let mut session = home.filled(2);
    let mut ask = Transaction::new();
    ask.expunge(uid(2), guid(2));
    session.commit(&ask, Origin::Internal).unwrap();
    session.lock().unwrap().rewrite().unwrap();
    let mut other = home.open();
    assert_eq!(other.lock().unwrap().pending().unwrap().len(), 1);
}

#[test]
fn rotation_is_followed() {
    let mut home = Home::new();
    home.settings.log_rotate_max_size = 1000;
    let mut ours = home.filled(20);
    let mut theirs = home.open();
    for round in 0..50 {
        let mut change = Transaction::new();
        let on = round % 2 == 0;
        change.update_flags(
            &uids(&[round % 20 + 1]),
            if on { Flags::SEEN } else { Flags::NONE },
            if on { Flags::NONE } else { Flags::SEEN },
        );
        change.update_keywords(&format!("k{}", round % 3), &uids(&[7, 9]), on);
        let index = if round % 3 == 0 { &mut theirs } else { &mut ours };
        index.lock().unwrap().synced_with(&change).unwrap();
        ours.refresh().unwrap();
        theirs.refresh().unwrap();
        assert_eq!(show(ours.view()), show(theirs.view()), "round {round}");
        assert_eq!(show(home.open().view()), show(theirs.view()), "round {round}");
    }
    assert!(ours.header().log_file_seq > 4);
    assert!(home.path("dovecot.index.log.2").exists());
    assert!(home.path("dovecot.index").exists());
}

#[test]
fn whoever_sleeps_through_rotations_catches_up() {
    let home = Home::new();
    let mut ours = home.filled(5);
    let mut theirs = home.open();
    for round in 1..=4 {
        let mut change = Transaction::new();
        change.update_keywords(&format!("k{round}"), &uids(&[round]), true);
        ours.commit(&change, Origin::External).unwrap();
        ours.lock().unwrap().rotate().unwrap();
    }
    assert!(theirs.refresh().unwrap());
    assert_eq!(show(ours.view()), show(theirs.view()));
}

#[test]
fn reset_begins_anew() {
    let home = Home::new();
    let mut ours = home.filled(5);
    let mut theirs = home.open();
    let highest = ours.view().highest_modseq();
    let mut change = first(2);
    change.reset();
    ours.commit(&change, Origin::External).unwrap();
    theirs.refresh().unwrap();
    assert_eq!((ours.view().len(), theirs.view().len(), home.open().view().len()), (2, 2, 2));
    assert!(ours.view().highest_modseq() >= highest);
}

#[test]
fn modification_sequences() {
    let home = Home::new();
    let mut index = home.filled(3);
    index.enable_modseqs().unwrap();
    let base = index.view().highest_modseq();
    assert!(index.view().records().all(|record| record.modseq == base), "{}", show(index.view()));
    let mut change = Transaction::new();
    change.update_flags(&uids(&[2]), Flags::SEEN, Flags::NONE);
    index.commit(&change, Origin::External).unwrap();
    assert_eq!(index.view().highest_modseq(), ModSeq(base.0 + 1));
    assert_eq!(index.view().record(uid(2)).unwrap().modseq, ModSeq(base.0 + 1));
    let mut change = Transaction::new();
    change.update_bits(&uids(&[1]), index::Record::DIRTY, 0);
    index.commit(&change, Origin::External).unwrap();
    assert_eq!(index.view().highest_modseq(), ModSeq(base.0 + 1), "no client sees it");
    assert_eq!(index.header().flags & index::header::FLAG_HAVE_DIRTY, index::header::FLAG_HAVE_DIRTY);
    let mut change = Transaction::new();
    change.touch(&uids(&[1]));
    change.update_modseq(uid(3), ModSeq(500));
    index.commit(&change, Origin::External).unwrap();
    assert_eq!(index.view().highest_modseq(), ModSeq(500));
    index.lock().unwrap().rotate().unwrap();
    let again = home.open();
    assert_eq!(show(again.view()), show(index.view()));
    assert_eq!(again.view().record(uid(1)).unwrap().modseq, ModSeq(base.0 + 2));
}

#[test]
fn counters_of_extensions() {
    let home = Home::new();
    let mut index = home.filled(2);
    let spec = ExtSpec::new("ref", 0, 2, 2);
    for by in [3, -1, -5] {
        let mut change = Transaction::new();
        change.ext(&spec, 0);
        change.ext_atomic_inc("ref", uid(1), by);
        index.commit(&change, Origin::External).unwrap();
    }
    let id = index.ext("ref").unwrap();
    assert_eq!(index.view().ext(uid(1), id), Some(&[2, 0][..]), "it does not go below zero");
    let mut change = Transaction::new();
    change.ext(&spec, 0);
    change.ext_reset("ref", 7, false);
    change.ext_record("ref", uid(2), &[5, 0]);
    index.commit(&change, Origin::External).unwrap();
    assert_eq!(index.ext_reset_id("ref"), Some(7));
    assert_eq!(index.view().ext(uid(1), id), Some(&[0, 0][..]));
    assert_eq!(index.view().ext(uid(2), id), Some(&[5, 0][..]));
    let mut change = Transaction::new();
    change.ext(&spec, 6);
    change.ext_record("ref", uid(2), &[9, 9]);
    index.commit(&change, Origin::External).unwrap();
    assert_eq!(index.view().ext(uid(2), id), Some(&[5, 0][..]), "meant for another reset id");
}

#[test]
fn a_long_log_is_overdue_even_if_nobody_asked_for_anything() {
    let home = Home::new();
    let mut index = home.filled(100);
    index.lock().unwrap().rewrite().unwrap();
    assert!(!index.is_overdue());
    let spec = ExtSpec::new("cache", 0, 4, 4);
    let all: Vec<u32> = (1..=100).collect();
    let mut number = 0_u32;
    while !index.is_overdue() {
        number += 1;
        assert!(number < 1000);
        let mut change = Transaction::new();
        change.ext(&spec, 0);
        all.iter().for_each(|&of| change.ext_record("cache", uid(of), &number.to_le_bytes()));
        index.commit(&change, Origin::External).unwrap();
    }
    // Whoever opens it finds the same, until somebody has asked for something.
    let mut other = home.open();
    assert!(other.is_overdue());
    let mut ask = Transaction::new();
    ask.update_flags(&uids(&[1]), Flags::SEEN, Flags::NONE);
    index.commit(&ask, Origin::Internal).unwrap();
    other.refresh().unwrap();
    assert!(!other.is_overdue());
    other.lock().unwrap().pending().unwrap();
    other.lock().unwrap().synced().unwrap();
    assert!(!other.is_overdue() && !home.open().is_overdue());
    let found = home.open();
    assert_eq!(found.view().ext(uid(7), found.ext("cache").unwrap()), Some(&number.to_le_bytes()[..]));
    assert!(found.view().record(uid(1)).unwrap().flags.has(Flags::SEEN));
}

#[test]
fn a_large_index_that_is_opened_again_is_up_to_date() {
    let home = Home::new();
    let mut index = home.filled(1500);
    index.lock().unwrap().rewrite().unwrap();
    let age = || {
        // What was written a moment ago is not kept.
        let file = std::fs::File::options().write(true).open(home.path("dovecot.index")).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();
    };
    age();
    for number in 2..6 {
        assert_eq!(show(home.open().view()), show(index.view()));
        assert_eq!(home.open().header().seen_count, index.header().seen_count);
        let mut change = Transaction::new();
        change.update_flags(&uids(&[number]), Flags::SEEN, Flags::NONE);
        change.update_keywords(&format!("kw{number}"), &uids(&[number]), true);
        change.expunge(uid(100 + number), guid(100 + number));
        change.ext(&ExtSpec::new(&format!("ext{number}"), 0, 4, 4), 0);
        change.ext_record(&format!("ext{number}"), uid(1), &number.to_le_bytes());
        index.commit(&change, Origin::External).unwrap();
        let again = home.open();
        assert_eq!(show(again.view()), show(index.view()));
        let found = again.ext(&format!("ext{number}")).and_then(|id| again.view().ext(uid(1), id));
        assert_eq!(found, Some(&number.to_le_bytes()[..]));
        if number == 3 {
            index.lock().unwrap().rewrite().unwrap();
            age();
        }
    }
    // Damage is found although the file was known.
    let mut bytes = std::fs::read(home.path("dovecot.index")).unwrap();
    bytes.truncate(2000);
    std::fs::write(home.path("dovecot.index"), bytes).unwrap();
    assert!(home.open().header().flags & index::header::FLAG_FSCKD != 0);
}

#[test]
fn all_locks_exclude() {
    for method in [LockMethod::Fcntl, LockMethod::Flock, LockMethod::Dotlock] {
        let mut home = Home::new();
        home.settings.lock_method = method;
        home.settings.lock_timeout = Some(std::time::Duration::from_millis(50));
        let mut ours = home.filled(1);
        let mut theirs = home.open();
        let locked = ours.lock().unwrap();
        assert!(matches!(theirs.lock(), Err(index::Error::Busy(_))), "{method:?}");
        drop(locked);
        theirs.lock().unwrap().rotate().unwrap();
        let mut locked = theirs.lock().unwrap();
        locked.rotate().unwrap();
        assert!(ours.lock().is_err(), "the new log is locked, too: {method:?}");
        drop(locked);
        ours.lock().unwrap();
    }
}

#[test]
fn in_memory() {
    let home = Home::new();
    let place = index::Place::new(None, "dovecot.index");
    let mut index = support::open_place(place, &home.settings, index::fs::Fs::default());
    assert!(index.is_in_memory() && index.is_new());
    index.commit(&first(3), Origin::External).unwrap();
    let mut ask = Transaction::new();
    ask.expunge(uid(2), guid(2));
    index.commit(&ask, Origin::Internal).unwrap();
    let mut locked = index.lock().unwrap();
    assert_eq!(locked.pending().unwrap().len(), 1);
    locked.synced_with(&ask).unwrap();
    assert_eq!(locked.pending().unwrap(), []);
    drop(locked);
    assert_eq!(index.view().len(), 2);
}

#[test]
fn files_can_be_told_as_they_are() {
    let home = Home::new();
    let mut index = home.filled(3);
    let mut change = Transaction::new();
    change.ext(&ExtSpec::new("cache", 0, 4, 4), 9);
    change.ext_record("cache", uid(2), &[1, 2, 3, 4]);
    change.update_keywords("x", &uids(&[3]), true);
    index.commit(&change, Origin::External).unwrap();
    index.lock().unwrap().rewrite().unwrap();
    let bytes = std::fs::read(home.path("dovecot.index")).unwrap();
    let file = index::dump::IndexFile::parse(&bytes).unwrap();
    let names: Vec<_> = file.extensions.iter().map(|extension| extension.name).collect();
    assert_eq!((names, file.keywords.as_slice()), (vec![&b"cache"[..], b"keywords"], &["x".to_owned()][..]));
    let records: Vec<_> =
        file.records().map(|(uid, flags, bytes)| (uid, flags, file.extensions[0].of(bytes))).collect();
    assert_eq!(records, [(1, 0, &[0; 4][..]), (2, 0, &[1, 2, 3, 4]), (3, 0, &[0; 4])]);
    let bytes = std::fs::read(home.path("dovecot.index.log")).unwrap();
    let records: Vec<_> = index::dump::LogRecords::parse(&bytes).unwrap().map(Result::unwrap).collect();
    let kinds: Vec<_> = records.iter().filter_map(|(record, ..)| record.what()).collect();
    use index::log::Kind::{Append, Boundary, ExtIntro, ExtRecordUpdate, HeaderUpdate, KeywordUpdate};
    assert_eq!(
        kinds,
        [Boundary, HeaderUpdate, Append, HeaderUpdate, Boundary, ExtIntro, ExtRecordUpdate, KeywordUpdate]
    );
    assert_eq!(records.last().map(|&(_, before, after)| (before, after)), Some((2, 3)));
}

#[test]
fn what_is_asked_for_while_synchronizing_stays() {
    let home = Home::new();
    let mut index = home.filled(3);
    let mut locked = index.lock().unwrap();
    assert_eq!(locked.pending().unwrap(), []);
    let mut ask = Transaction::new();
    ask.expunge(uid(1), guid(1));
    locked.commit(&ask, Origin::Internal).unwrap();
    locked.synced().unwrap();
    drop(locked);
    for _ in 0..2 {
        assert_eq!(index.lock().unwrap().pending().unwrap().len(), 1);
        index = home.open();
    }
    index.lock().unwrap().synced_with(&ask).unwrap();
    assert_eq!(home.open().lock().unwrap().pending().unwrap(), []);
}

#[test]
fn an_index_goes_from_thread_to_thread() {
    fn check<T: Send>() {}
    check::<index::Index>();
    check::<Transaction>();
    check::<std::sync::Arc<index::View>>();
}
