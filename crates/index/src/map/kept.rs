//! Large index files as they were loaded last: taking one apart takes its time, and webmail opens the same
//! again and again. What was loaded is used as long as nobody has replaced the file.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use super::{Map, Names};
use crate::fs::Stamp;
use crate::limits::{KEPT_BYTES_MAX, KEPT_MESSAGES_MIN, KEPT_TIME};
use crate::view::Record;

/// Files in the order of their use. See the module.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<Entry>>);

struct Entry {
    stamp: Stamp,
    map: Map,
    names: Names,
    bytes: usize,
    used: Instant,
}

impl Kept {
    /// Those of this process.
    pub(crate) fn of_process() -> &'static Self {
        static KEPT: Kept = Kept(Mutex::new(Vec::new()));
        &KEPT
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        let mut entries = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        entries.retain(|entry| entry.used.elapsed() < KEPT_TIME);
        entries
    }

    /// What a file with this stamp was loaded as, and the names that go with it.
    pub(crate) fn find(&self, stamp: &Stamp) -> Option<(Map, Names)> {
        let mut entries = self.entries();
        let at = entries.iter().position(|entry| entry.stamp == *stamp)?;
        let mut entry = entries.remove(at);
        entry.used = Instant::now();
        let found = (entry.map.clone(), entry.names.clone());
        entries.push(entry);
        Some(found)
    }

    /// A file with this stamp was loaded just now.
    pub(crate) fn put(&self, stamp: Stamp, map: &Map, names: &Names) {
        if map.view.len() < KEPT_MESSAGES_MIN || !is_settled(&stamp) {
            return;
        }
        let bytes = map.view.len() as usize * (size_of::<Record>() + map.view.columns().stride());
        let mut entries = self.entries();
        // An inode has one file at a time.
        entries.retain(|entry| (entry.stamp.dev, entry.stamp.ino) != (stamp.dev, stamp.ino));
        let all = |entries: &[Entry]| entries.iter().map(|entry| entry.bytes).sum::<usize>();
        while !entries.is_empty() && all(&entries) + bytes > KEPT_BYTES_MAX {
            entries.remove(0);
        }
        if bytes <= KEPT_BYTES_MAX {
            entries.push(Entry {
                stamp,
                map: map.clone(),
                names: names.clone(),
                bytes,
                used: Instant::now(),
            });
        }
    }
}

/// Whether the file's time of change tells it from one that is written now.
fn is_settled(stamp: &Stamp) -> bool {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let changed = u128::try_from(stamp.mtime_ns).unwrap_or(0);
    since.as_nanos().saturating_sub(changed) > SETTLED.as_nanos()
}

/// Longer than a file system's clock stands still.
const SETTLED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use base::{Uid, UidValidity};

    use super::*;
    use crate::view::View;

    fn map(messages: u32) -> Map {
        let mut edit = View::empty(UidValidity::ONE, Uid::ONE).edit();
        (1..=messages).filter_map(Uid::new).for_each(|uid| assert!(edit.append(Record::new(uid))));
        Map { view: edit.finish().into(), ..Map::new(1) }
    }

    fn stamp(ino: u64, mtime_ns: i128) -> Stamp {
        Stamp { dev: 1, ino, mtime_ns, size: 7 }
    }

    #[test]
    fn only_the_same_file_is_found() {
        let kept = Kept::default();
        kept.put(stamp(1, 5), &map(KEPT_MESSAGES_MIN), &Names::default());
        assert_eq!(kept.find(&stamp(1, 5)).map(|(map, _)| map.view.len()), Some(KEPT_MESSAGES_MIN));
        assert!(kept.find(&stamp(1, 6)).is_none() && kept.find(&stamp(2, 5)).is_none());
        kept.put(stamp(1, 6), &map(KEPT_MESSAGES_MIN), &Names::default());
        assert!(kept.find(&stamp(1, 5)).is_none() && kept.find(&stamp(1, 6)).is_some());
    }

    #[test]
    fn small_and_new_files_are_not_kept() {
        let kept = Kept::default();
        kept.put(stamp(1, 5), &map(KEPT_MESSAGES_MIN - 1), &Names::default());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        kept.put(stamp(2, now as i128), &map(KEPT_MESSAGES_MIN), &Names::default());
        assert!(kept.0.lock().unwrap().is_empty());
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let kept = Kept::default();
        let large = map((KEPT_BYTES_MAX / size_of::<Record>() / 3 + 1) as u32);
        (1..=4).for_each(|ino| kept.put(stamp(ino, 5), &large, &Names::default()));
        assert!(kept.find(&stamp(1, 5)).is_none() && kept.find(&stamp(2, 5)).is_none());
        assert!(kept.find(&stamp(3, 5)).is_some() && kept.find(&stamp(4, 5)).is_some());
    }
}
