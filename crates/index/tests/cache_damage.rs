//! A damaged cache file never hurts: it is read as far as it goes, or removed with words; then a new one
//! is made, and that one works.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Mutex;

use base::{Logger, Uid};
use index::cache::{
    Added, Addition, Cache, CachePlace, CacheSettings, FieldId, Found, IndexFacts, Occasion, PurgeIf, Purged,
};
use index::fs::{Fs, Permissions};

const NOW: u32 = 1_800_000_000;
const MESSAGES: u32 = 40;
const SEEDS: u64 = 3000;

/// What was logged, to be compared with the words that are allowed.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Marsaglia's xorshift: damage must be the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn cache(path: &Path) -> Cache {
    let place = CachePlace {
        path: path.to_owned(),
        permissions: Permissions::default(),
        readonly: false,
        about: String::new(),
    };
    Cache::new(Fs::default(), place, CacheSettings::default(), Logger::new("damage: "))
}

fn index(reset_id: u32) -> IndexFacts {
    IndexFacts {
        indexid: 77,
        reset_id: Some(reset_id),
        messages: MESSAGES,
        day_stamp: NOW,
        week_first_uid: 20,
        now: NOW,
    }
}

fn additions(offsets: &[(Uid, u32)], fields: &[(FieldId, Vec<u8>)]) -> Vec<Addition<'static>> {
    let owned = || fields.iter().map(|(id, value)| (*id, Cow::Owned(value.clone()))).collect();
    offsets.iter().map(|&(uid, previous)| Addition { uid, previous, fields: owned() }).collect()
}

/// A file with all kinds of fields, linked records and several lists of fields.
fn healthy(path: &Path) -> (Vec<u8>, Vec<(Uid, u32)>) {
    let mut cache = cache(path);
    cache.purge(&[], PurgeIf::Missing, "creating cache", &IndexFacts { reset_id: None, ..index(0) }).unwrap();
    let mut offsets: Vec<(Uid, u32)> = (1..=MESSAGES).map(|uid| (Uid::new(uid).unwrap(), 0)).collect();
    let rounds = [
        ("Subject", FieldId::FLAGS, 4),
        ("From", FieldId::MIME_PARTS, 40),
        ("X-A", FieldId::SIZE_VIRTUAL, 8),
    ];
    for (name, id, size) in rounds {
        let header = cache.header_field(name).unwrap();
        let fields = [(header, b"\x01\0\0\0\0\0\0\0Subject: x\n".to_vec()), (id, vec![1; size])];
        let Added::Written(new) =
            cache.add(&additions(&offsets, &fields), Occasion::Client, &index(NOW)).unwrap()
        else {
            panic!("not written")
        };
        offsets.iter_mut().zip(new).for_each(|(slot, new)| slot.1 = new);
    }
    (std::fs::read(path).unwrap(), offsets)
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.below(200)).min(bytes.len());
                bytes[at..end].fill(0);
            }
            // A number that means something: small, or an offset in the file.
            4 => {
                let number =
                    if random.below(2) == 0 { random.below(16) } else { random.below(bytes.len()) & !3 };
                let at = at & !3;
                bytes
                    .iter_mut()
                    .skip(at)
                    .zip((number as u32).to_ne_bytes())
                    .for_each(|(slot, byte)| *slot = byte);
            }
            _ => {
                let from = random.below(bytes.len());
                let piece: Vec<u8> = bytes.iter().skip(from).take(random.below(100)).copied().collect();
                bytes.iter_mut().skip(at).zip(piece).for_each(|(slot, byte)| *slot = byte);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
}

/// Uses a file as a session would.
fn use_it(path: &Path, offsets: &[(Uid, u32)], strange: &[u32]) {
    let mut cache = cache(path);
    let (facts, mut found) = (index(NOW), Found::default());
    let wanted = [FieldId::FLAGS, FieldId::GUID];
    for &(uid, offset) in offsets {
        cache.lookup_fields(offset, uid, (&wanted, &[]), &facts, &mut found).unwrap();
        found.iter().for_each(|(id, value)| assert!(value.len() < 1 << 20, "{id:?}"));
    }
    for &offset in strange {
        cache.lookup(offset, &facts, &mut found).unwrap();
    }
    let fields = [(FieldId::GUID, b"guid".to_vec()), (cache.header_field("New").unwrap(), Vec::new())];
    let added = cache.add(&additions(&offsets[..5], &fields), Occasion::Client, &facts).unwrap();
    cache.note_expunged(1, &facts).unwrap();
    cache.flush_decisions(&facts).unwrap();
    let mut now = offsets.to_vec();
    if let Added::Written(new) = added {
        now.iter_mut().zip(new).for_each(|(slot, new)| slot.1 = new);
    }
    let Purged::Written { file_seq, offsets } = cache.purge(&now, PurgeIf::Always, "test", &facts).unwrap()
    else {
        panic!("not purged")
    };
    // The new file is in order, whatever the old one was.
    let words = LINES.lock().unwrap().len();
    let facts = index(file_seq);
    offsets.iter().for_each(|&offset| cache.lookup(offset, &facts, &mut found).unwrap());
    let again = [(FieldId::GUID, b"again".to_vec())];
    let first = [(Uid::ONE, offsets[0])];
    let Added::Written(new) = cache.add(&additions(&first, &again), Occasion::Client, &facts).unwrap() else {
        panic!("not written")
    };
    cache.lookup(new[0], &facts, &mut found).unwrap();
    assert_eq!(found.get(FieldId::GUID), Some(&b"again"[..]));
    assert_eq!(LINES.lock().unwrap().len(), words);
}

#[test]
fn any_damage_is_survived() {
    base::log::install(|_, _, text| LINES.lock().unwrap().push(text.to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dovecot.index.cache");
    let (bytes, offsets) = healthy(&path);
    use_it(&path, &offsets, &[]);
    assert_eq!(*LINES.lock().unwrap(), Vec::<String>::new(), "a file without damage needs no words");
    for seed in 1..=SEEDS {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut damaged = bytes.clone();
        damage(&mut damaged, &mut random);
        std::fs::write(&path, &damaged).unwrap();
        // An index can be damaged as well.
        let strange = [(); 4].map(|()| random.below(8192) as u32);
        use_it(&path, &offsets, if seed % 2 == 0 { &strange } else { &[] });
        for line in LINES.lock().unwrap().drain(..) {
            assert!(line.starts_with("Deleting corrupted cache: "), "seed {seed}: {line}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "seed {seed} left something behind");
    }
}
