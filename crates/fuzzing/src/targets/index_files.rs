//! dovecot.index, its log and the log before that: opened, changed, written, and opened again.

use std::sync::Arc;

use crate::kit::{Scratch, files, logger};
use base::{Guid, Uid, UidSet, UidValidity};
use index::fs::Fs;
use index::{ExtSpec, Flags, FsyncMode, Index, Origin, Place, Settings, Transaction};

pub(crate) fn run(data: &[u8]) {
    let [main, log, log2] = files(data);
    if let Ok(file) = index::dump::IndexFile::parse(main) {
        let _ = file.records().count();
    }
    let _ = index::dump::LogRecords::parse(log).map(Iterator::count);
    let scratch = Scratch::new();
    for (name, bytes) in [("dovecot.index", main), ("dovecot.index.log", log), ("dovecot.index.log.2", log2)]
    {
        scratch.write(name, bytes);
    }
    let Ok(mut index) = open(&scratch) else { return };
    let _ = change(&mut index);
    if index.is_in_memory() {
        return;
    }
    let (len, next) = (index.view().len(), index.header().next_uid);
    let again = open(&scratch).expect("what we wrote can be read");
    assert_eq!((again.view().len(), again.header().next_uid), (len, next));
}

fn open(scratch: &Scratch) -> index::Result<Index> {
    let place = Place::new(Some(scratch.path().to_owned()), "dovecot.index");
    let settings = Settings { fsync: FsyncMode::Never, ..Settings::default() };
    Index::open(place, Arc::new(settings), Fs::default(), logger())
}

fn change(index: &mut Index) -> index::Result<()> {
    let mut locked = index.lock()?;
    let _ = locked.pending()?;
    let mut change = Transaction::new();
    if locked.is_new() {
        change.set_uid_validity(UidValidity::ONE);
    }
    if let Some(uid) = Uid::new(locked.header().next_uid).filter(|uid| uid.get() < u32::MAX - 1) {
        change.append(uid, Flags::SEEN, ["new"]);
        change.ext(&ExtSpec::new("cache", 0, 4, 4), 7);
        change.ext_record("cache", uid, &[1, 2, 3, 4]);
    }
    if let Some(first) = locked.view().uid(base::Seq::new(1).expect("one")) {
        change.update_flags(&UidSet::from_range(first, first), Flags::DELETED, Flags::SEEN);
        change.expunge(first, Guid::default());
    }
    locked.synced_with(&change)?;
    locked.rewrite()?;
    drop(locked);
    let mut more = Transaction::new();
    more.set_next_uid(Uid::new(index.header().next_uid).unwrap_or(Uid::ONE));
    index.commit(&more, Origin::External)?;
    index.lock()?.rotate()
}
