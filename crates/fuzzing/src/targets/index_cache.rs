//! dovecot.index.cache, read at any offset, added to and purged.

use std::borrow::Cow;

use crate::kit::{Scratch, logger};
use base::Uid;
use index::cache::{
    Added, Addition, Cache, CachePlace, CacheSettings, FieldId, Found, IndexFacts, Occasion, PurgeIf, Purged,
};
use index::fs::{Fs, Permissions};

pub(crate) fn run(data: &[u8]) {
    let Some((offsets, file)) = data.split_first_chunk::<16>() else { return };
    let (numbers, _) = offsets.as_chunks::<4>();
    let scratch = Scratch::new();
    scratch.write("dovecot.index.cache", file);
    let word =
        |at: usize| file.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    // The index says which cache it belongs to; let it be this one.
    let facts = IndexFacts {
        indexid: word(4),
        reset_id: Some(word(8)),
        messages: 40,
        day_stamp: 1_800_000_000,
        week_first_uid: 20,
        now: 1_800_000_000,
    };
    let place = CachePlace {
        path: scratch.path().join("dovecot.index.cache"),
        permissions: Permissions::default(),
        readonly: false,
        about: String::new(),
    };
    let mut cache = Cache::new(Fs::default(), place, CacheSettings::default(), logger());
    let mut found = Found::default();
    let mut messages: Vec<(Uid, u32)> = Vec::new();
    for (offset, uid) in numbers.iter().map(|bytes| u32::from_le_bytes(*bytes)).zip(1..) {
        let uid = Uid::new(uid).unwrap_or(Uid::ONE);
        let _ = cache.lookup(offset, &facts, &mut found);
        let _ =
            cache.lookup_fields(offset, uid, (&[FieldId::DATE_SENT], &[FieldId::GUID]), &facts, &mut found);
        found.iter().for_each(|(_, value)| assert!(value.len() <= data.len()));
        let _ = index::cache::dump::records(&found).count();
        messages.push((uid, offset));
    }
    let fields = vec![(FieldId::GUID, Cow::Borrowed(&b"guid"[..]))];
    let additions: Vec<Addition<'_>> =
        messages.iter().map(|&(uid, previous)| Addition { uid, previous, fields: fields.clone() }).collect();
    if let Ok(Added::Written(new)) = cache.add(&additions, Occasion::Client, &facts) {
        messages.iter_mut().zip(new).for_each(|(slot, new)| slot.1 = new);
    }
    let _ = cache.flush_decisions(&facts);
    if let Ok(Purged::Written { file_seq, offsets }) = cache.purge(&messages, PurgeIf::Always, "fuzz", &facts)
    {
        let facts = IndexFacts { reset_id: Some(file_seq), ..facts };
        offsets.iter().for_each(|&offset| cache.lookup(offset, &facts, &mut found).expect("what we wrote"));
    }
}
