//! A crash between any two steps, or in the middle of a write, leaves an index that opens with every
//! transaction that was acknowledged, and with none in half.

mod support;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use index::fs::{Fs, Hook};
use index::{ExtSpec, Flags, Index, Origin, Transaction};
use support::{Home, first, guid, open_place, show, uid, uids};

/// Stops everything at the step `at`, of which `part` of 4 quarters is still written.
struct Crash {
    at: usize,
    part: usize,
    steps: AtomicUsize,
}

impl Hook for Crash {
    fn before(&self, _op: &'static str, _path: &Path, bytes: usize) -> io::Result<usize> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        match step.cmp(&self.at) {
            std::cmp::Ordering::Less => Ok(bytes),
            std::cmp::Ordering::Equal if bytes > 0 && self.part > 0 => Ok(bytes * self.part / 4),
            _ => Err(io::Error::other("crash")),
        }
    }
}

impl Crash {
    fn happened(&self) -> bool {
        self.steps.load(Ordering::Relaxed) > self.at
    }
}

/// The transactions, each of which changes something in every message that is there.
fn transactions() -> Vec<Transaction> {
    let mut list = vec![first(3)];
    for round in 0..8u32 {
        let mut change = Transaction::new();
        let all: Vec<u32> = (1..=3 + round).collect();
        change.append(uid(4 + round), Flags::SEEN, ["new"]);
        change.update_flags(&uids(&all), Flags::FLAGGED, Flags::NONE);
        change.update_keywords(&format!("round{round}"), &uids(&all), true);
        change.ext(&ExtSpec::new("cache", 0, 4, 4), 0);
        all.iter().for_each(|&number| change.ext_record("cache", uid(number), &round.to_le_bytes()));
        if round == 5 {
            change.expunge(uid(2), guid(2));
        }
        list.push(change);
    }
    list
}

/// Commits them one after the other, with rotation and rewriting in between, and gives how many were
/// acknowledged.
fn work(index: &mut Index, crash: Option<&Crash>) -> usize {
    let mut done = 0;
    for (round, change) in transactions().iter().enumerate() {
        let acknowledged = (|| {
            let mut locked = index.lock()?;
            if round % 3 == 1 { locked.commit(change, Origin::External) } else { locked.synced_with(change) }
        })();
        if acknowledged.is_err() || crash.is_some_and(Crash::happened) || index.is_in_memory() {
            return done;
        }
        done += 1;
        if round % 2 == 1 {
            let rotated = index.lock().and_then(|mut locked| locked.rotate());
            if rotated.is_err() || crash.is_some_and(Crash::happened) {
                return done;
            }
        }
    }
    done
}

/// What is there after each number of transactions.
fn states() -> Vec<String> {
    let home = Home::new();
    let mut index = home.open();
    let mut states = vec![show(index.view())];
    for change in transactions() {
        index.commit(&change, Origin::External).unwrap();
        states.push(show(index.view()));
    }
    states
}

#[test]
fn every_step() {
    let states = states();
    for part in 0..4 {
        for at in 0.. {
            let mut home = Home::new();
            home.settings.fsync = index::FsyncMode::Never;
            let crash = Arc::new(Crash { at, part, steps: AtomicUsize::new(0) });
            let place = home.place();
            let mut index = open_place(place, &home.settings, Fs::with_hook(crash.clone()));
            let acknowledged = work(&mut index, Some(&crash));
            drop(index);
            // Lock files of a process that died are stale; this one lives on.
            support::remove(&home.path("dovecot.index.log.newlock"));
            let mut index = home.open();
            drop(index.lock().unwrap());
            let after = show(index.view());
            let found = states.iter().position(|state| *state == after);
            assert!(
                found.is_some_and(|found| found == acknowledged || found == acknowledged + 1),
                "step {at} part {part}: {acknowledged} acknowledged, found {found:?}: {after}"
            );
            work_on(&mut index);
            assert_eq!(show(home.open().view()), show(index.view()), "step {at} part {part}");
            if !crash.happened() {
                assert!(at > 40 && acknowledged + 1 == states.len());
                break;
            }
        }
    }
}

fn work_on(index: &mut Index) {
    let mut change = Transaction::new();
    let next = index.header().next_uid;
    change.append(uid(next), Flags::DRAFT, ["later"]);
    change.set_uid_validity(base::UidValidity::new(1_234_567).unwrap());
    index.lock().unwrap().synced_with(&change).unwrap();
    index.lock().unwrap().rewrite().unwrap();
}

/// Refuses one kind of step with one error.
struct Refuse(Mutex<Option<(&'static str, i32)>>);

impl Hook for Refuse {
    fn before(&self, op: &'static str, _path: &Path, bytes: usize) -> io::Result<usize> {
        match *self.0.lock().unwrap() {
            Some((refused, error)) if refused == op => Err(io::Error::from_raw_os_error(error)),
            _ => Ok(bytes),
        }
    }
}

#[test]
fn a_full_or_read_only_disk() {
    const ENOSPC: i32 = 28;
    const EROFS: i32 = 30;
    for (op, error) in [("open", EROFS), ("pwrite", ENOSPC), ("write", ENOSPC), ("rename", EROFS)] {
        let home = Home::new();
        let refuse = Arc::new(Refuse(Mutex::new(None)));
        let fs = Fs::with_hook(refuse.clone());
        let mut index = home.open_with(fs.clone());
        index.commit(&first(3), Origin::External).unwrap();
        *refuse.0.lock().unwrap() = Some((op, error));
        let mut change = Transaction::new();
        change.update_keywords("x", &uids(&[1, 3]), true);
        index.commit(&change, Origin::Internal).unwrap();
        let mut locked = index.lock().unwrap();
        locked.rewrite().unwrap();
        assert_eq!(locked.pending().unwrap().len(), 1, "{op}");
        locked.synced().unwrap();
        assert_eq!(locked.pending().unwrap(), [], "{op}");
        drop(locked);
        assert!(index.is_in_memory(), "{op}");
        let text = show(index.view());
        assert!(text.contains("3 () [\"x\"]"), "{op}: {text}");
        // What was there is still there, and one more can begin on such a disk.
        assert_eq!(home.open().view().len(), 3, "{op}");
        let mut other =
            open_place(index::Place::new(Some(home.path("new")), "dovecot.index"), &home.settings, fs);
        other.commit(&first(1), Origin::External).unwrap();
        assert_eq!(other.view().len(), 1, "{op}");
    }
}

#[test]
fn some_indexes_must_not_be_in_memory() {
    let home = Home::new();
    let refuse = Arc::new(Refuse(Mutex::new(None)));
    let mut place = home.place();
    place.never_in_memory = true;
    let mut index = open_place(place, &home.settings, Fs::with_hook(refuse.clone()));
    index.commit(&first(3), Origin::External).unwrap();
    *refuse.0.lock().unwrap() = Some(("pwrite", 28));
    let mut change = Transaction::new();
    change.update_keywords("x", &uids(&[1, 3]), true);
    assert!(index.commit(&change, Origin::Internal).is_err());
    *refuse.0.lock().unwrap() = None;
    index.commit(&change, Origin::Internal).unwrap();
    assert_eq!(show(home.open().view()), show(index.view()));
}
