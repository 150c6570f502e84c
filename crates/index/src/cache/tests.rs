//! A cache by itself: what is added is found, by others too; what is wrong is removed; what is waste
//! goes.

use std::borrow::Cow;
use std::path::PathBuf;

use base::Uid;

use super::value::{RecordFlags, encode_u32};
use super::*;

const NOW: u32 = 1_800_000_000;
const INDEXID: u32 = 77;

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("dovecot.index.cache")
    }

    fn cache_with(&self, settings: CacheSettings) -> Cache {
        let place = CachePlace {
            path: self.path(),
            permissions: Permissions::default(),
            readonly: false,
            about: "Mailbox x: ".into(),
        };
        Cache::new(Fs::default(), place, settings, Logger::new("test: "))
    }

    fn cache(&self) -> Cache {
        self.cache_with(CacheSettings::default())
    }
}

/// An index with messages 1 to 10, of which those from 6 on are new.
fn index(reset_id: Option<u32>) -> IndexFacts {
    IndexFacts { indexid: INDEXID, reset_id, messages: 10, day_stamp: NOW, week_first_uid: 6, now: NOW }
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

/// Makes an empty file.
fn made(home: &Home, cache: &mut Cache) -> IndexFacts {
    let purged = cache.purge(&[], PurgeIf::Missing, "creating cache", &index(None)).unwrap();
    assert_eq!(purged, Purged::Written { file_seq: NOW, offsets: vec![] });
    assert!(home.path().exists());
    index(Some(NOW))
}

fn addition(number: u32, previous: u32, fields: &[(FieldId, &[u8])]) -> Addition<'static> {
    let fields = fields.iter().map(|(id, value)| (*id, Cow::Owned(value.to_vec()))).collect();
    Addition { uid: uid(number), previous, fields }
}

fn written(added: Added) -> Vec<u32> {
    match added {
        Added::Written(offsets) => offsets,
        other => panic!("{other:?}"),
    }
}

fn found(cache: &mut Cache, offset: u32, index: &IndexFacts) -> Vec<(String, Vec<u8>)> {
    let mut found = Found::default();
    cache.lookup(offset, index, &mut found).unwrap();
    found.iter().map(|(id, value)| (cache.registry().field(id).name.clone(), value.to_vec())).collect()
}

#[test]
fn what_one_adds_another_finds() {
    let home = Home::new();
    let (mut one, mut other) = (home.cache(), home.cache());
    assert!(!other.open(&index(None)).unwrap());
    let index = made(&home, &mut one);
    assert!(other.open(&index).unwrap());
    let subject = one.header_field("Subject").unwrap();
    let additions = [
        addition(1, 0, &[(FieldId::GUID, b"g1"), (subject, b"")]),
        addition(2, 0, &[(FieldId::DATE_SAVE, &encode_u32(5))]),
    ];
    let offsets = written(one.add(&additions, Occasion::Client, &index).unwrap());
    // A field that the other has never heard of, in a record that continues an older one.
    let more = [addition(1, offsets[0], &[(FieldId::POP3_UIDL, b"u")])];
    let newer = written(other.add(&more, Occasion::Client, &index).unwrap());
    let expected = [("pop3.uidl", &b"u"[..]), ("guid", b"g1"), ("hdr.Subject", b"")]
        .map(|(name, value)| (name.to_owned(), value.to_vec()));
    assert_eq!(found(&mut other, newer[0], &index), expected);
    assert_eq!(found(&mut one, newer[0], &index), expected);
    let header = other.header().unwrap();
    assert_eq!((header.record_count, header.continued_record_count), (2, 1));
}

#[test]
fn the_same_message_twice_in_a_batch_is_linked() {
    let home = Home::new();
    let mut cache = home.cache();
    let index = made(&home, &mut cache);
    let bits = |flags: RecordFlags| addition(1, 0, &[(FieldId::FLAGS, &flags.encode())]);
    let additions = [bits(RecordFlags::HAS_NO_NULS), bits(RecordFlags::BINARY_BODY)];
    let offsets = written(cache.add(&additions, Occasion::Client, &index).unwrap());
    let mut found = Found::default();
    cache.lookup(offsets[1], &index, &mut found).unwrap();
    assert_eq!(found.bits(FieldId::FLAGS), Some(0x22));
    assert_eq!(found.records().len(), 2);
}

#[test]
fn offsets_of_another_state_find_nothing() {
    let home = Home::new();
    let mut cache = home.cache();
    let right = made(&home, &mut cache);
    let add = [addition(1, 0, &[(FieldId::GUID, b"g")])];
    let offsets = written(cache.add(&add, Occasion::Client, &right).unwrap());
    let wrong = index(Some(NOW - 1));
    assert_eq!(found(&mut cache, offsets[0], &wrong), []);
    assert_eq!(cache.add(&add, Occasion::Client, &wrong).unwrap(), Added::Stale);
    assert!(home.path().exists());
    cache.discard_mismatched(NOW - 1);
    assert!(!home.path().exists());
    assert_eq!(cache.add(&add, Occasion::Client, &wrong).unwrap(), Added::Missing);
}

#[test]
fn a_file_of_another_index_goes_without_words() {
    let home = Home::new();
    let mut cache = home.cache();
    let mine = made(&home, &mut cache);
    assert!(!home.cache().open(&IndexFacts { indexid: 1, ..mine }).unwrap());
    assert!(!home.path().exists());
}

#[test]
fn who_may_not_write_complains_once_and_changes_nothing() {
    let home = Home::new();
    let index = made(&home, &mut home.cache());
    let mut bytes = std::fs::read(home.path()).unwrap();
    bytes[0] = 9;
    std::fs::write(home.path(), &bytes).unwrap();
    let mut cache = home.cache();
    cache.place.readonly = true;
    assert!(!cache.open(&index).unwrap());
    assert!(cache.given_up.is_some());
    assert!(!cache.open(&index).unwrap());
    assert_eq!(std::fs::read(home.path()).unwrap(), bytes);
    assert_eq!(cache.purge(&[], PurgeIf::Always, "test", &index).unwrap(), Purged::Readonly);
    let add = [addition(1, 0, &[(FieldId::GUID, b"g")])];
    assert_eq!(cache.add(&add, Occasion::Client, &index).unwrap(), Added::Missing);
    // Once it is mended it is used.
    bytes[0] = 1;
    bytes.extend([0; 4]);
    std::fs::write(home.path(), &bytes).unwrap();
    assert!(cache.open(&index).unwrap());
}

#[test]
fn a_purge_keeps_what_is_wanted() {
    let home = Home::new();
    let settings = CacheSettings { always_fields: "guid".into(), ..CacheSettings::default() };
    let mut cache = home.cache_with(settings);
    let before = made(&home, &mut cache);
    let fields: [(FieldId, &[u8]); 2] = [(FieldId::GUID, b"g"), (FieldId::POP3_UIDL, b"u")];
    let offsets = written(
        cache.add(&[addition(1, 0, &fields), addition(7, 0, &fields)], Occasion::Client, &before).unwrap(),
    );
    let twice = [addition(7, offsets[1], &[(FieldId::DATE_SAVE, &[1; 4])])];
    let newer = written(cache.add(&twice, Occasion::Client, &before).unwrap());
    let messages = [(uid(1), offsets[0]), (uid(2), 0), (uid(7), newer[0])];
    let purged = cache.purge(&messages, PurgeIf::FileSeq(NOW), "test", &before).unwrap();
    let Purged::Written { file_seq, offsets } = purged else { panic!("{purged:?}") };
    assert_eq!((file_seq, offsets[1]), (NOW + 1, 0));
    let after = index(Some(file_seq));
    let names = |fields: Vec<(String, Vec<u8>)>| fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    // An old message keeps what is wanted for good, a new one everything.
    assert_eq!(names(found(&mut cache, offsets[0], &after)), ["guid"]);
    assert_eq!(names(found(&mut cache, offsets[2], &after)), ["date.save", "guid", "pop3.uidl"]);
    let header = cache.header().unwrap();
    assert_eq!((header.record_count, header.continued_record_count), (2, 0));
    // Only what anybody wants is still in the list.
    let listed: Vec<_> = cache.registry().in_file().map(|(_, field)| field.name.clone()).collect();
    assert_eq!(listed, ["date.save", "pop3.uidl", "guid"].map(String::from).into_iter().collect::<Vec<_>>());
    // Who wanted to purge the old file sees that it has been done.
    assert_eq!(
        home.cache().purge(&messages, PurgeIf::FileSeq(NOW), "late", &after).unwrap(),
        Purged::ByAnother
    );
}

#[test]
fn fields_come_and_go_with_their_use() {
    let home = Home::new();
    let settings = CacheSettings { fields: String::new(), ..CacheSettings::default() };
    let mut cache = home.cache_with(settings.clone());
    let index = made(&home, &mut cache);
    let decision = |cache: &Cache| cache.registry().field(FieldId::GUID).decision.want;
    assert!(!cache.wants(FieldId::GUID, uid(9), &index));
    assert!(cache.may_add(FieldId::GUID, &index) && !cache.may_add(FieldId::IMAP_ENVELOPE, &index));
    cache.add(&[addition(9, 0, &[(FieldId::GUID, b"g")])], Occasion::Client, &index).unwrap();
    assert_eq!(decision(&cache), Want::Temp);
    assert!(cache.wants(FieldId::GUID, uid(9), &index) && !cache.wants(FieldId::GUID, uid(5), &index));
    // In order and new: a client with a memory.
    cache.note_read(FieldId::GUID, uid(9), &index);
    cache.note_read(FieldId::GUID, uid(10), &index);
    assert_eq!(decision(&cache), Want::Temp);
    // Backwards: one without.
    cache.note_read(FieldId::GUID, uid(9), &index);
    assert_eq!(decision(&cache), Want::Yes);
    cache.flush_decisions(&index).unwrap();
    let mut other = home.cache();
    other.open(&index).unwrap();
    assert_eq!(decision(&other), Want::Yes);
    // A month later it is only wanted for new messages, two months later for none.
    let later = |days: u32| IndexFacts { day_stamp: NOW + days * 86400, now: NOW + days * 86400, ..index };
    let reason = |days| {
        let mut cache = home.cache_with(settings.clone());
        cache.open(&later(days)).unwrap();
        cache.purge_due().map(|(_, reason)| reason.to_owned())
    };
    assert_eq!(reason(29), None);
    let to_temp = "Change cache decision to temp for old field guid (last_used=1800000000)";
    assert_eq!(reason(31).as_deref(), Some(to_temp));
    assert_eq!(reason(61).as_deref(), Some("Drop old field guid (last_used=1800000000)"));
    cache.purge(&[], PurgeIf::Always, "old", &later(61)).unwrap();
    assert_eq!(decision(&cache), Want::No);
}

#[test]
fn limits_of_size_are_kept() {
    let home = Home::new();
    let settings = CacheSettings { record_size_max: 100, file_size_max: 4096, ..CacheSettings::default() };
    let mut cache = home.cache_with(settings);
    let index = made(&home, &mut cache);
    let large = addition(1, 0, &[(FieldId::GUID, &[1; 90]), (FieldId::POP3_UIDL, b"u")]);
    let offsets = written(cache.add(std::slice::from_ref(&large), Occasion::Client, &index).unwrap());
    assert_eq!(found(&mut cache, offsets[0], &index), [("pop3.uidl".to_owned(), b"u".to_vec())]);
    let many: Vec<_> =
        (0..90).map(|number| addition(1 + number % 10, 0, &[(FieldId::GUID, &[2; 50])])).collect();
    assert_eq!(cache.add(&many, Occasion::Client, &index).unwrap(), Added::Missing);
    assert!(!home.path().exists(), "as 2.3, a file that is full and has no waste is thrown away");
}

#[test]
fn a_thousand_messages_take_few_writes() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl crate::fs::Hook for Count {
        fn before(&self, _: &'static str, _: &Path, bytes: usize) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(bytes)
        }
    }
    let home = Home::new();
    let mut cache = home.cache();
    let index = made(&home, &mut cache);
    let count = Arc::new(Count::default());
    cache.fs = Fs::with_hook(count.clone());
    let additions: Vec<_> =
        (1..=1000).map(|number| addition(number, 0, &[(FieldId::IMAP_BODY, &[b'x'; 300])])).collect();
    let offsets = written(cache.add(&additions, Occasion::Client, &index).unwrap());
    // Records, header, times of use, decisions.
    assert_eq!(count.0.load(Ordering::Relaxed), 4);
    assert_eq!(found(&mut cache, offsets[999], &index)[0].1, [b'x'; 300]);
}

#[test]
fn a_full_disk_loses_nothing_but_the_addition() {
    struct Full;
    impl crate::fs::Hook for Full {
        fn before(&self, op: &'static str, _: &Path, bytes: usize) -> io::Result<usize> {
            Ok(if op == "pwrite" { bytes / 2 } else { bytes })
        }
    }
    let home = Home::new();
    let mut cache = home.cache();
    let index = made(&home, &mut cache);
    let first =
        written(cache.add(&[addition(1, 0, &[(FieldId::GUID, b"g")])], Occasion::Client, &index).unwrap());
    cache.fs = Fs::with_hook(std::sync::Arc::new(Full));
    let second = [addition(2, 0, &[(FieldId::GUID, b"hh")])];
    assert!(cache.add(&second, Occasion::Client, &index).is_err());
    assert!(cache.purge(&[(uid(1), first[0])], PurgeIf::Always, "full", &index).is_err());
    cache.fs = Fs::default();
    let third = written(cache.add(&second, Occasion::Client, &index).unwrap());
    assert_eq!(found(&mut cache, third[0], &index)[0].1, b"hh");
    assert_eq!(found(&mut home.cache(), first[0], &index)[0].1, b"g");
    assert_eq!(std::fs::read_dir(home.dir.path()).unwrap().count(), 1);
}

#[test]
fn expunges_lead_to_a_purge() {
    let home = Home::new();
    let settings = CacheSettings { purge_min_size: 0, fields: String::new(), ..CacheSettings::default() };
    let mut cache = home.cache_with(settings);
    let index = made(&home, &mut cache);
    let additions: Vec<_> = (1..=10).map(|number| addition(number, 0, &[(FieldId::GUID, b"g")])).collect();
    cache.add(&additions, Occasion::Client, &index).unwrap();
    cache.note_expunged(1, &index).unwrap();
    assert_eq!(cache.purge_due(), None);
    cache.note_expunged(1, &index).unwrap();
    let due = (PurgeIf::FileSeq(NOW), "Too many deleted records (2/8)");
    assert_eq!(cache.purge_due(), Some(due));
}

#[test]
fn a_full_file_with_waste_is_to_be_purged() {
    let home = Home::new();
    let mut cache = home.cache_with(CacheSettings { file_size_max: 4096, ..CacheSettings::default() });
    let before = made(&home, &mut cache);
    let first: Vec<_> = (1..=30).map(|number| addition(number, 0, &[(FieldId::GUID, &[1; 90])])).collect();
    let offsets = written(cache.add(&first, Occasion::Client, &before).unwrap());
    cache.note_expunged(29, &before).unwrap();
    let more: Vec<_> = (31..=50).map(|number| addition(number, 0, &[(FieldId::GUID, &[2; 90])])).collect();
    assert_eq!(cache.add(&more, Occasion::Client, &before).unwrap(), Added::Full);
    let purged = cache.purge(&[(uid(30), offsets[29])], PurgeIf::FileSeq(NOW), "full", &before).unwrap();
    let Purged::Written { file_seq, offsets } = purged else { panic!("{purged:?}") };
    let after = index(Some(file_seq));
    written(cache.add(&more, Occasion::Client, &after).unwrap());
    assert_eq!(found(&mut cache, offsets[0], &after)[0].1, [1; 90]);
}

/// Dies at one of all changes on disk, with half of what was to be written, and does nothing any more.
struct Crash {
    at: usize,
    count: std::sync::atomic::AtomicUsize,
}

impl crate::fs::Hook for Crash {
    fn before(&self, _: &'static str, _: &Path, bytes: usize) -> io::Result<usize> {
        match self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            now if now < self.at => Ok(bytes),
            now if now == self.at && bytes > 0 => Ok(bytes / 2),
            _ => Err(io::Error::other("crashed")),
        }
    }
}

#[test]
fn a_crash_at_any_change_leaves_a_file_that_works() {
    let lines: &std::sync::Mutex<Vec<String>> = {
        static LINES: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
        base::log::install(|_, prefix, text| {
            if prefix == "crash: " {
                LINES.lock().unwrap().push(text.to_owned());
            }
        });
        &LINES
    };
    let mut crashes = 0;
    loop {
        let home = Home::new();
        let mut cache = home.cache();
        let before = made(&home, &mut cache);
        let one = [addition(7, 0, &[(FieldId::GUID, b"one")])];
        let offset = written(cache.add(&one, Occasion::Client, &before).unwrap())[0];
        let hook = std::sync::Arc::new(Crash { at: crashes, count: 0.into() });
        cache.fs = Fs::with_hook(hook.clone());
        let new = cache.header_field("New").unwrap();
        let more = [addition(7, offset, &[(new, b""), (FieldId::POP3_UIDL, b"u")])];
        let added = cache.add(&more, Occasion::Client, &before);
        let _ = cache.note_expunged(1, &before);
        let purged = cache.purge(&[(uid(7), offset)], PurgeIf::Always, "test", &before);
        // What the index knows: nothing of what did not come to its end.
        let (state, newest) = match (purged, added) {
            (Ok(Purged::Written { file_seq, offsets }), _) => (index(Some(file_seq)), offsets[0]),
            (_, Ok(Added::Written(offsets))) => (before, offsets[0]),
            _ => (before, offset),
        };
        let mut survivor = home.cache();
        survivor.logger = Logger::new("crash: ");
        let values = found(&mut survivor, newest, &state);
        assert!(values.contains(&("guid".to_owned(), b"one".to_vec())), "{crashes}: {values:?}");
        let again = [addition(7, newest, &[(FieldId::DATE_SAVE, &[7; 4])])];
        let offset = written(survivor.add(&again, Occasion::Client, &state).unwrap())[0];
        assert_eq!(found(&mut survivor, offset, &state)[0].1, [7; 4]);
        assert_eq!(*lines.lock().unwrap(), Vec::<String>::new());
        if hook.count.load(std::sync::atomic::Ordering::Relaxed) <= crashes {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 8, "{crashes} changes");
}

#[test]
fn every_lock_method_excludes_others() {
    for method in [LockMethod::Fcntl, LockMethod::Flock, LockMethod::Dotlock] {
        let home = Home::new();
        let settings = || CacheSettings {
            lock_method: method,
            lock_timeout: Duration::ZERO,
            hostname: "host".into(),
            ..CacheSettings::default()
        };
        let (mut one, mut two) = (home.cache_with(settings()), home.cache_with(settings()));
        let facts = made(&home, &mut one);
        let lock_file = home.dir.path().join("dovecot.index.cache.lock");
        assert_eq!(one.lock(&facts).unwrap(), lock::Locking::Locked);
        assert_eq!(lock_file.exists(), method == LockMethod::Dotlock);
        assert_eq!(two.lock(&facts).unwrap(), lock::Locking::Busy, "{method:?}");
        one.unlock();
        assert_eq!(two.lock(&facts).unwrap(), lock::Locking::Locked, "{method:?}");
        // Closing gives the lock back.
        two.close();
        assert!(!lock_file.exists());
        let added = one.add(&[addition(7, 0, &[(FieldId::GUID, b"guid")])], Occasion::Client, &facts);
        assert_eq!(written(added.unwrap()).len(), 1);
        assert!(!lock_file.exists());
    }
}
