//! mdbox: many messages in a file, and a map that knows where. A copy is one more reference to the same
//! bytes; `doveadm purge` gives back the room of those without any.

mod append;
mod files;
mod map;
mod purge;
mod rebuild;
mod reserve;
mod save;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use base::{Guid, Uid, UidSet, UidValidity};
use index::{ExtSpec, Index, Locked, Origin, Transaction};

use crate::api::{FileFormat, MailboxUpdate, MessageFile, SaveBatch, SyncMode};
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::indexed::{Context, Delta, Done, Driver, Opened, Resync, Shared};
use crate::view::View;

use super::mailbox::{self, MailboxPlace};
use super::records::{GUID, MDBOX_HEADER, MDBOX_RECORD, MailboxHeader, MdboxRecord};
use files::{Found, Needs};
use store::MapLock;

pub(crate) use store::Store;

/// One mdbox mailbox in this process.
pub(crate) struct Mdbox {
    place: MailboxPlace,
    store: Arc<Store>,
    /// As the layout has it, for the messages' metadata.
    name: String,
    /// UIDVALIDITY of the map that the mailbox's records are about; 0 while that is not known.
    map_validity: AtomicU32,
}

/// What is remembered between looks at the mailbox.
#[derive(Default)]
pub(crate) struct Known {
    /// Messages that are being expunged, and what they are in the map, which has taken a reference from
    /// them already.
    taken: Vec<(Uid, Uid)>,
}

impl Mdbox {
    pub(super) fn new(place: MailboxPlace, store: Arc<Store>, name: String) -> Self {
        Self { place, store, name, map_validity: AtomicU32::new(0) }
    }

    /// What the index has of a message.
    fn record(view: &View, uid: Uid) -> Option<MdboxRecord> {
        let column = view.columns().named(MDBOX_RECORD)?.id;
        MdboxRecord::parse(view.ext(uid, column)?).filter(|record| record.map_uid != 0)
    }

    /// The GUID that the index has of a message; `None` for one that it lost.
    fn guid(view: &View, uid: Uid) -> Option<Guid> {
        let column = view.columns().named(GUID)?.id;
        let guid = Guid(view.ext(uid, column)?.try_into().ok()?);
        (guid != Guid::default()).then_some(guid)
    }

    /// What a message is in the map.
    fn map_uid(&self, view: &View, uid: Uid) -> Result<Uid> {
        if view.record(uid).is_none() {
            return Err(Error::Expunged(uid));
        }
        let found = Self::record(view, uid).and_then(|record| Uid::new(record.map_uid));
        found.ok_or_else(|| self.broken(format_args!("mdbox: map uid lost for uid {uid}")))
    }

    fn broken(&self, what: std::fmt::Arguments<'_>) -> Error {
        self.store.set_corrupted();
        let dir = &self.place.dir;
        self.place.context.logger.error(format_args!("Mailbox {}: {what}", dir.display()));
        Error::Corrupt { path: dir.clone(), offset: 0, what: what.to_string() }
    }

    fn locate(&self, shared: &Shared<Self>, view: &View, uid: Uid, needs: Needs) -> Result<Found> {
        let map_uid = self.map_uid(view, uid)?;
        let (mine, now) = (self.map_validity.load(Ordering::Relaxed), self.store.uid_validity()?);
        if mine != 0 && mine != now {
            return Err(self.broken(format_args!("mdbox: map uidvalidity mismatch ({mine} vs {now})")));
        }
        if let Some(found) = self.store.locate(map_uid, needs)? {
            return Ok(found);
        }
        if self.store.is_reserved(map_uid) {
            // A power failure took what the map knew of it. That is found again by looking at the files.
            self.broken(format_args!("mdbox map corrupted: Unexpectedly lost uid={uid} map_uid={map_uid}"));
            self.store.rebuild(false)?;
        }
        let now = {
            let mut work = shared.work();
            work.index.refresh()?;
            self.map_uid(work.index.view(), uid)?
        };
        // A rebuild gives messages other UIDs in the map.
        let found = if now == map_uid { None } else { self.store.locate(now, needs)? };
        found.ok_or_else(|| self.lost(shared, uid, now))
    }

    /// When a message was saved.
    fn saved(view: &View, uid: Uid) -> Option<SystemTime> {
        let saved = Self::record(view, uid)?.saved;
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(saved.into()))
    }

    /// A message's bytes are not there: it was expunged and purged, or something is wrong.
    fn lost(&self, shared: &Shared<Self>, uid: Uid, map_uid: Uid) -> Error {
        let is_gone = {
            let mut work = shared.work();
            work.index.refresh().is_err() || work.index.view().record(uid).is_none()
        };
        if !is_gone {
            self.broken(format_args!("mdbox map corrupted: Unexpectedly lost uid={uid} map_uid={map_uid}"));
        }
        Error::Expunged(uid)
    }

    /// Whether the index lacks what it must have.
    fn header(&self, index: &Index) -> Option<MailboxHeader> {
        mailbox::read_header(index, MDBOX_HEADER)
    }

    /// Makes the index of a mailbox that is new, or gives it back what it lost.
    fn create(&self, index: &mut Locked<'_>) -> Result<()> {
        let mut tx = Transaction::new();
        if index.is_new() {
            let value = self.place.next_uid_validity();
            tx.set_uid_validity(UidValidity::new(value).unwrap_or(UidValidity::ONE));
            if self.place.is_inbox {
                mailbox::write_pop3_uidl(&mut tx, 0);
            }
        }
        let old = index.ext_header(MDBOX_HEADER).and_then(MailboxHeader::parse).unwrap_or_default();
        let guid = if old.guid == Guid::default() { self.place.context.new_guid() } else { old.guid };
        let number = self.map_validity.load(Ordering::Relaxed);
        mailbox::write_header(&mut tx, MDBOX_HEADER, &MailboxHeader { number, guid, flags: old.flags });
        Ok(index.commit(&tx, Origin::External)?)
    }

    /// Whether the storage must be rebuilt before anything else is done.
    fn wants_rebuild(&self, index: &Index, mode: SyncMode) -> bool {
        mode == SyncMode::Rebuild
            || self.store.corrupted().is_some()
            || index.header().flags & index::header::FLAG_FSCKD != 0
            || index.is_new() && self.place.backup().is_some()
    }
}

/// Declares the record extensions that a mailbox's transaction is to change.
fn declare(tx: &mut Transaction) {
    tx.ext(&ExtSpec::new(MDBOX_RECORD, 0, MdboxRecord::BYTES as u16, 4), 0);
    tx.ext(&ExtSpec::new(GUID, 0, 16, 1), 0);
}

/// Sets what a mailbox's index has of a message.
fn set_record(tx: &mut Transaction, uid: Uid, record: MdboxRecord, guid: Guid) {
    tx.ext_record(MDBOX_RECORD, uid, &record.to_bytes());
    tx.ext_record(GUID, uid, &guid.0);
}

impl Driver for Mdbox {
    type Work = Known;
    /// Only expunges, and who changes the mailbox's identity, need it.
    type Guard<'a> = MapLock<'a>;

    fn context(&self) -> &Context {
        &self.place.context
    }

    fn path(&self) -> &Path {
        &self.place.dir
    }

    fn watched(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn guard(&self) -> Result<MapLock<'_>> {
        self.store.lock_map()
    }

    fn guards_changes(&self, expunges: bool) -> bool {
        expunges
    }

    fn index_place(&self, place: index::Place) -> index::Place {
        index::Place { fsync_changes: true, keep_backups: true, never_in_memory: true, ..place }
    }

    fn is_stale(&self, index: &Index, _work: &mut Known, mode: SyncMode, _claim: bool) -> Result<bool> {
        // The mailbox is not locked here: the map must be before it.
        let header = self.header(index);
        if self.map_validity.load(Ordering::Relaxed) == 0 {
            // The first look: are the records about the map that is there?
            let now = self.store.uid_validity()?;
            if header.is_some_and(|header| header.number != now) {
                self.store.set_corrupted();
            }
        }
        let rebuilds = self.wants_rebuild(index, mode);
        if rebuilds {
            self.store.rebuild(mode == SyncMode::Rebuild)?;
        }
        match header.filter(|_| !rebuilds) {
            Some(header) => self.map_validity.store(header.number, Ordering::Relaxed),
            None => self.map_validity.store(self.store.uid_validity()?, Ordering::Relaxed),
        }
        Ok(rebuilds || index.is_new() || header.is_none() || self.place.is_scan_due(index))
    }

    fn sync(
        &self,
        index: &mut Locked<'_>,
        _work: &mut Known,
        _guard: Option<&MapLock<'_>>,
        _sync: &Resync<'_>,
    ) -> Result<()> {
        match self.header(index) {
            Some(header) if !index.is_new() => self.map_validity.store(header.number, Ordering::Relaxed),
            _ => self.create(index)?,
        }
        self.place.clean(index)
    }

    fn store_flags(
        &self,
        _index: &Index,
        _work: &mut Known,
        _guard: Option<&MapLock<'_>>,
        _deltas: &[Delta],
    ) -> Result<Done> {
        // They are in the index only.
        Ok(Done::default())
    }

    fn expunge(
        &self,
        index: &Index,
        work: &mut Known,
        guard: Option<&MapLock<'_>>,
        uids: &UidSet,
    ) -> Result<Done> {
        let mut refs = Vec::new();
        for uid in uids.iter() {
            match self.map_uid(index.view(), uid) {
                Ok(map_uid) => refs.push((uid, map_uid)),
                // There is nothing to give back.
                Err(Error::Corrupt { .. } | Error::Expunged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if !refs.is_empty() {
            let locked = guard.ok_or_else(|| Error::InUse("mdbox: the map is not locked".to_owned()))?;
            // Known to be taken before the mailbox changes: if it does not, they are given back.
            work.taken.extend(locked.with(|map| self.store.take_refs(map, &refs))?);
        }
        Ok(Done::default())
    }

    fn unlocked(&self, index: &Index, work: &mut Known, guard: Option<MapLock<'_>>) {
        let taken = std::mem::take(&mut work.taken);
        let Some(mut lock) = guard.filter(|_| !taken.is_empty()) else { return };
        let kept = taken.iter().filter(|(uid, _)| index.view().record(*uid).is_some());
        let kept: Vec<Uid> = kept.map(|&(_, map_uid)| map_uid).collect();
        let done = lock.locked().and_then(|mut map| self.store.finish_refs(&mut map, &kept));
        if let Err(error) = done {
            // Whoever looks at the map next sees that it is not complete.
            self.place.context.logger.error(base::chain(&error));
        }
    }

    fn is_damaged(&self) -> bool {
        self.store.corrupted().is_some()
    }

    fn move_to_alt(
        &self,
        index: &mut Locked<'_>,
        _work: &mut Known,
        uids: &UidSet,
        to_alt: bool,
    ) -> Result<()> {
        let view = index.view();
        for (_, record) in view.records_in(uids) {
            let map_uid = self.map_uid(view, record.uid)?;
            let mut moves = store::lock(&self.store.alt_moves);
            if to_alt {
                *moves.to_alt.entry(map_uid).or_default() += 1;
            } else {
                moves.from_alt.insert(map_uid, ());
            }
        }
        Ok(())
    }

    fn note_change(&self, _index: &Index, _work: &mut Known, _tx: &mut Transaction) {}

    fn open(&self, shared: &Shared<Self>, view: &View, uid: Uid) -> Result<Opened> {
        let found = self.locate(shared, view, uid, Needs::Body)?;
        let path = &found.file.path;
        let metadata = found.metadata().map_err(|error| self.store.damaged(path, error))?;
        let mut opened = self.place.opened(found.body(), path, &metadata, || Ok(String::new()))?;
        opened.facts.save_date = Self::saved(view, uid);
        mailbox::fill(&mut opened.facts, &found.message, &metadata, Wanted::NONE);
        Ok(opened)
    }

    fn facts(
        &self,
        shared: &Shared<Self>,
        view: &View,
        uid: Uid,
        wanted: Wanted,
        facts: &mut Facts,
    ) -> Result<()> {
        facts.save_date = facts.save_date.or_else(|| Self::saved(view, uid));
        let found = self.locate(shared, view, uid, Needs::Metadata)?;
        let metadata = found.metadata().map_err(|error| self.store.damaged(&found.file.path, error))?;
        mailbox::fill(facts, &found.message, &metadata, wanted);
        Ok(())
    }

    fn size_virtual(&self, view: &View, uid: Uid) -> Option<u64> {
        let map_uid = Uid::new(Self::record(view, uid)?.map_uid)?;
        self.store.metadata_known(map_uid)?.virtual_size()
    }

    fn guid_at_hand(&self, view: &View, uid: Uid) -> Option<Guid> {
        Self::guid(view, uid)
    }

    fn guid_known(&self, index: &Index) -> Option<Guid> {
        self.header(index).map(|header| header.guid)
    }

    fn mailbox_guid(
        &self,
        index: &mut Locked<'_>,
        work: &mut Known,
        _guard: Option<&Self::Guard<'_>>,
    ) -> Result<Guid> {
        if index.is_new() || self.header(index).is_none() {
            let none = UidSet::new();
            let sync = Resync { mode: SyncMode::Quick, claim: false, unsettled: &none };
            self.sync(index, work, None, &sync)?;
        }
        let header = self.header(index);
        header.map(|header| header.guid).ok_or_else(|| Error::Corrupt {
            path: self.place.dir.clone(),
            offset: 0,
            what: "mdbox: Invalid dbox header".to_owned(),
        })
    }

    fn begin_save(shared: &Arc<Shared<Self>>) -> Box<dyn SaveBatch> {
        Box::new(save::Batch::new(shared.clone()))
    }

    fn update(
        &self,
        index: &mut Locked<'_>,
        _work: &mut Known,
        _guard: &MapLock<'_>,
        tx: &mut Transaction,
        update: &MailboxUpdate,
    ) -> Result<()> {
        mailbox::update(index, tx, MDBOX_HEADER, update);
        Ok(())
    }

    fn refcount(&self, _shared: &Shared<Self>, view: &View, uid: Uid) -> Result<Option<u32>> {
        let entry = self.store.entry(self.map_uid(view, uid)?)?;
        Ok(entry.map(|entry| entry.refcount.into()))
    }

    fn message_file(&self, _shared: &Shared<Self>, view: &View, uid: Uid) -> Option<MessageFile> {
        let map_uid = Self::record(view, uid).and_then(|record| Uid::new(record.map_uid))?;
        let guid = Self::guid(view, uid)?;
        let (path, format) = (self.store.dir.clone(), FileFormat::Mdbox { map_uid, guid });
        Some(MessageFile { path, size_physical: None, size_virtual: None, format })
    }
}
