//! Damaged files: whatever they hold, the index opens, can be changed, and opens again without anything
//! left to mend.

mod support;

use std::fs;
use std::path::Path;

use index::{ExtSpec, Flags, Origin, Transaction};
use support::{Home, guid, show, uid, uids};

/// A sequence of numbers that is the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

/// The files of an index that has seen everything.
fn files() -> (Home, Vec<(&'static str, Vec<u8>)>) {
    let mut home = Home::new();
    // Thousands of rounds need no disk.
    home.settings.fsync = index::FsyncMode::Never;
    let mut index = home.filled(30);
    index.enable_modseqs().unwrap();
    for round in 0..6u32 {
        let mut change = Transaction::new();
        change.append(uid(31 + round), Flags::SEEN, ["a", "b"]);
        change.update_flags(&uids(&[1, 2, 9 + round]), Flags::DELETED, Flags::SEEN);
        change.update_keywords(&format!("keyword{round}"), &uids(&[3, 5, 20 + round]), round % 4 != 3);
        change.ext(&ExtSpec::new("cache", 0, 4, 4), 17);
        change.ext_record("cache", uid(4 + round), &[1, 2, 3, 4]);
        change.ext(&ExtSpec::new("hdr-vsize", 16, 0, 1), 0);
        change.ext_header("hdr-vsize", 8, &[9; 8]);
        change.ext(&ExtSpec::new("ref", 0, 2, 2), 0);
        change.ext_atomic_inc("ref", uid(7), 2);
        change.expunge(uid(10 + round), guid(1));
        change.reset_keywords(&uids(&[28]));
        index.commit(&change, Origin::External).unwrap();
        if round == 1 || round == 3 {
            index.lock().unwrap().rotate().unwrap();
        }
    }
    let mut ask = Transaction::new();
    ask.expunge(uid(1), guid(0));
    ask.update_flags(&uids(&[2]), Flags::FLAGGED, Flags::NONE);
    index.commit(&ask, Origin::Internal).unwrap();
    let names = ["dovecot.index", "dovecot.index.log", "dovecot.index.log.2"];
    let files = names.map(|name| (name, fs::read(home.path(name)).unwrap()));
    (home, files.to_vec())
}

fn restore(dir: &Path, files: &[(&str, Vec<u8>)]) {
    for old in fs::read_dir(dir).unwrap().flatten() {
        fs::remove_file(old.path()).unwrap();
    }
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

/// Opens what is there, changes it, and opens it again.
fn use_it(home: &Home, what: &str) {
    let mut index = home.open();
    let mut locked = index.lock().unwrap();
    let _ = locked.pending().unwrap();
    let next = locked.header().next_uid;
    let mut change = Transaction::new();
    if locked.is_new() {
        change = support::first(2);
    } else if next < u32::MAX - 1 {
        change.append(uid(next), Flags::SEEN, ["new"]);
    }
    locked.synced_with(&change).unwrap();
    locked.rewrite().unwrap();
    drop(locked);
    assert!(!index.is_in_memory(), "{what}");
    let text = show(index.view());
    let again = home.open();
    assert_eq!(show(again.view()), text, "{what}");
    let last = index.view().last_uid().map_or(0, |uid| uid.get());
    assert!(last < index.header().next_uid, "{what}");
    assert_eq!(index.view().len(), index.header().messages_count, "{what}");
    assert_eq!(index.view().count(Flags::SEEN, Flags::NONE), index.header().seen_count, "{what}");
    assert_eq!(index.view().count(Flags::DELETED, Flags::NONE), index.header().deleted_count, "{what}");
}

#[test]
fn bits_flip() {
    let (home, good) = files();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..800 {
        let mut files = good.clone();
        for _ in 0..=numbers.next(3) {
            let (_, bytes) = &mut files[numbers.next(3)];
            let at = numbers.next(bytes.len());
            bytes[at] ^= 1 << numbers.next(8);
        }
        restore(home.dir.path(), &files);
        use_it(&home, &format!("round {round}"));
    }
}

#[test]
fn bytes_change() {
    let (home, good) = files();
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for round in 0..500 {
        let mut files = good.clone();
        let (_, bytes) = &mut files[numbers.next(3)];
        let (at, size) = (numbers.next(bytes.len()), 1 + numbers.next(40));
        let fill = [0, 0xff, numbers.next(256) as u8][numbers.next(3)];
        bytes.iter_mut().skip(at).take(size).for_each(|byte| *byte = fill);
        restore(home.dir.path(), &files);
        use_it(&home, &format!("round {round}"));
    }
}

#[test]
fn files_are_cut_or_go() {
    let (home, good) = files();
    let mut numbers = Numbers(77);
    for round in 0..400 {
        let mut files = good.clone();
        let which = numbers.next(3);
        let size = files[which].1.len();
        files[which].1.truncate(numbers.next(size));
        if numbers.next(4) == 0 {
            files.remove(numbers.next(3));
        }
        restore(home.dir.path(), &files);
        use_it(&home, &format!("round {round}"));
    }
}

#[test]
fn a_log_that_was_cut_keeps_what_is_complete() {
    let home = Home::new();
    let mut index = home.filled(3);
    let before = show(index.view());
    let size = fs::metadata(home.path("dovecot.index.log")).unwrap().len();
    let mut change = Transaction::new();
    change.append(uid(4), Flags::SEEN, ["x"]);
    change.update_keywords("y", &uids(&[1]), true);
    index.commit(&change, Origin::External).unwrap();
    let log = fs::read(home.path("dovecot.index.log")).unwrap();
    for end in size as usize..log.len() {
        fs::write(home.path("dovecot.index.log"), &log[..end]).unwrap();
        assert_eq!(show(home.open().view()), before, "cut at {end}");
    }
    let mut index = home.open();
    index.commit(&change, Origin::External).unwrap();
    assert_eq!(fs::read(home.path("dovecot.index.log")).unwrap(), log);
}

#[test]
fn uid_validity_survives_where_any_file_has_it() {
    let (home, good) = files();
    let validity = 1_234_567;
    restore(home.dir.path(), &good[..1]);
    let index = home.open();
    assert_eq!((index.header().uid_validity, index.header().next_uid), (validity, 35), "index alone");
    // The log alone has lost the beginning. UIDs must not be given again.
    restore(home.dir.path(), &good[1..2]);
    let index = home.open();
    assert!(index.header().uid_validity != 0 && index.header().next_uid == 37, "log alone");
    for (name, at) in [("dovecot.index", 12), ("dovecot.index", 16), ("dovecot.index.log", 4)] {
        let mut files = good.clone();
        let (_, bytes) = files.iter_mut().find(|(known, _)| *known == name).unwrap();
        bytes[at..at + 4].fill(0);
        restore(home.dir.path(), &files);
        let mut index = home.open();
        drop(index.lock().unwrap());
        let header = index.header();
        assert_eq!((header.uid_validity, header.next_uid >= 33), (validity, true), "{name} {at}");
    }
}

#[test]
fn uid_validity_survives_without_an_index_file() {
    let home = Home::new();
    drop(home.filled(5));
    let log = home.path("dovecot.index.log");
    let mut bytes = fs::read(&log).unwrap();
    // What Dovecot does to a log that it thinks is damaged.
    bytes[4..8].fill(0);
    fs::write(&log, bytes).unwrap();
    for _ in 0..2 {
        let mut index = home.open();
        drop(index.lock().unwrap());
        let header = index.header();
        assert_eq!((header.uid_validity, header.next_uid, index.view().len()), (1_234_567, 6, 0));
    }
}

#[test]
fn nothing_is_written_to_a_log_that_somebody_gave_up() {
    let home = Home::new();
    let mut index = home.filled(3);
    let log = fs::OpenOptions::new().write(true).open(home.path("dovecot.index.log")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&log, &[0; 4], 4).unwrap();
    let mut change = Transaction::new();
    change.append(uid(4), Flags::SEEN, ["x"]);
    index.commit(&change, Origin::External).unwrap();
    assert_eq!(show(home.open().view()), show(index.view()));
    assert_eq!(index.view().len(), 4);
}

#[test]
fn a_log_with_everything_makes_up_for_a_damaged_index_file() {
    let home = Home::new();
    let mut index = home.filled(30);
    index.lock().unwrap().rewrite().unwrap();
    let text = show(index.view());
    let bytes = fs::read(home.path("dovecot.index")).unwrap();
    for size in 0..bytes.len() {
        fs::write(home.path("dovecot.index"), &bytes[..size]).unwrap();
        assert_eq!(show(home.open().view()), text, "cut at {size}");
    }
}

/// Files that fuzzing found to be trouble once: `dovecot.index`, its log and the log before that, with a
/// mark between them.
#[test]
fn what_fuzzing_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found");
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap();
        let mark = b"\n=====\n";
        let mut files = Vec::new();
        let mut rest = bytes.as_slice();
        for name in ["dovecot.index", "dovecot.index.log", "dovecot.index.log.2"] {
            let end = rest.windows(mark.len()).position(|window| window == mark).unwrap_or(rest.len());
            files.push((name, rest[..end].to_vec()));
            rest = rest.get(end + mark.len()..).unwrap_or_default();
        }
        let home = Home::new();
        restore(home.dir.path(), &files);
        let what = entry.file_name().into_string().unwrap();
        use_it(&home, &what);
        let mut index = home.open();
        let text = show(index.view());
        index.lock().unwrap().rotate().unwrap();
        assert_eq!(show(home.open().view()), text, "{what}");
    }
}
