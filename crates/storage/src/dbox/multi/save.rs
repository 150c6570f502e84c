//! Saving to mdbox: messages are appended to `m.N` files; then, with the map and the mailbox locked,
//! entered into both, all of one batch together. Copies within the storage only add references.

use std::sync::Arc;

use base::{Guid, Seq, Uid, UidSet, UidValidity};
use index::{Locked, Origin, Transaction};

use crate::api::{CopyBytes, FileFormat, Mailbox, SaveBatch, SaveMeta, Saved, SyncMode};
use crate::attachment::detect::Detector;
use crate::error::{Error, Result};
use crate::facts::Wanted;
use crate::indexed::{Driver, Resync, Shared, check_keywords};

use super::append::{Appender, Slot};
use super::{Known, Mdbox, declare, map, set_record};
use crate::dbox::apart;
use crate::dbox::mailbox;
use crate::dbox::names;
use crate::dbox::records::{MAP, MDBOX_HEADER, MailboxHeader, MdboxRecord, REF};
use crate::dbox::save;
use crate::dbox::write::MessageWriter;

/// A batch for one mailbox.
pub(crate) struct Batch {
    shared: Arc<Shared<Mdbox>>,
    appender: Appender,
    done: Vec<Pending>,
    current: Option<Current>,
    /// The mailbox's UIDNEXT when the batch began, or less.
    since: Uid,
}

/// A message that is to be entered.
struct Pending {
    meta: SaveMeta,
    guid: Guid,
    /// What it is in the map, if it is there already.
    copy_of: Option<Uid>,
    /// Its attachments, if it is new.
    attachments: Vec<String>,
    /// It has come into the mailbox by itself.
    restored: Option<Restored>,
}

/// What a rebuild has made of a message that it found in its file. 2.3's looks also where somebody is adding to
/// a file, and takes what it finds there for lost.
#[derive(Clone, Copy)]
struct Restored {
    uid: Uid,
    /// `None` where the rebuild did not come to its end.
    map_uid: Option<Uid>,
}

/// What the messages of a batch are in the map.
struct Entered {
    uids: Vec<Uid>,
    /// UIDs that were set aside in the same change.
    set_aside: Vec<Uid>,
    /// The map need not be forced to disk before the mailbox has the messages, nor told that it has.
    is_complete: bool,
}

/// A message being written.
struct Current {
    slot: Slot,
    writer: MessageWriter,
    detector: Option<Detector>,
    meta: SaveMeta,
}

impl Batch {
    pub(super) fn new(shared: Arc<Shared<Mdbox>>) -> Self {
        let appender = Appender::new(shared.driver.store.clone());
        let since = shared.view().uid_next();
        Self { shared, appender, done: Vec::new(), current: None, since }
    }

    fn mdbox(&self) -> &Mdbox {
        &self.shared.driver
    }

    fn check(&self, meta: &SaveMeta) -> Result<()> {
        check_keywords(&meta.keywords, self.mdbox().place.context.settings.mail_max_keyword_length)
    }

    /// Notes which of the messages a rebuild has put into the mailbox meanwhile.
    fn note_restored(&mut self, map: &Locked<'_>, index: &Locked<'_>) {
        let view = index.view();
        for seq in (0..view.len() as usize).rev().map_while(Seq::from_index) {
            let Some(uid) = view.uid(seq).filter(|&uid| uid >= self.since) else { break };
            let Some(guid) = Mdbox::guid(view, uid) else { continue };
            let map_uid = Mdbox::record(view, uid).and_then(|record| Uid::new(record.map_uid));
            let map_uid = map_uid.filter(|&map_uid| map::entry(map.view(), map_uid).is_some());
            // A GUID that somebody gave to it may be another message's as well.
            let is_it = |pending: &&mut Pending| pending.guid == guid && pending.is_unique();
            if let Some(pending) = self.done.iter_mut().find(is_it) {
                pending.restored = Some(Restored { uid, map_uid });
            }
        }
    }

    /// Enters the messages into the map.
    fn enter_map(&mut self, index: &mut Locked<'_>) -> Result<Entered> {
        if let Some(uids) = self.take_reserved(index) {
            return self.fill_reserved(index, uids);
        }
        let mut tx = Transaction::new();
        map::declare(&mut tx);
        let header = map::header(index);
        let highest = self.appender.assign_ids(header.highest_file_id.saturating_add(1))?;
        if let Some(highest) = highest {
            tx.ext_header(MAP, 0, &highest.to_le_bytes());
        }
        let mut places = self.appender.places().into_iter();
        let mut next = index.header().next_uid.max(1);
        let mut uids = Vec::with_capacity(self.done.len());
        for pending in &self.done {
            let uid = match pending.copy_of {
                Some(uid) => {
                    self.check_refcount(index, uid)?;
                    tx.ext_atomic_inc(REF, uid, 1);
                    uid
                }
                None => {
                    let place = places.next().ok_or_else(no_place)?;
                    match pending.known() {
                        Some(known) => known,
                        None => {
                            let uid = Uid::new(next).filter(|uid| uid.get() < u32::MAX);
                            let uid = uid.ok_or_else(|| Error::Unsupported("UIDs exhausted".to_owned()))?;
                            next += 1;
                            map::append(&mut tx, uid, &place, 1);
                            uid
                        }
                    }
                }
            };
            uids.push(uid);
        }
        if self.appender.is_empty() {
            tx.fsync();
            index.synced_with(&tx)?;
            return Ok(Entered { uids, set_aside: Vec::new(), is_complete: true });
        }
        let set_aside = self.mdbox().store.set_aside(&mut tx, next);
        // The map's tail stays where it was: if the machine stops before all of it is on disk, everybody
        // can tell that the messages may not have come.
        index.commit(&tx, Origin::Internal)?;
        Ok(Entered { uids, set_aside, is_complete: false })
    }

    /// UIDs of the map that were set aside, if they are all that this batch needs from it.
    fn take_reserved(&self, index: &Locked<'_>) -> Option<Vec<Uid>> {
        let is_new = |pending: &Pending| pending.copy_of.is_none() && pending.restored.is_none();
        let are_new = self.done.iter().all(is_new);
        let store = &self.mdbox().store;
        (are_new && self.appender.is_flushed()).then(|| store.take_reserved(index, self.done.len())).flatten()
    }

    /// Enters messages, which are on disk, where the map has records already. Should these changes be lost,
    /// so are places that a rebuild finds again.
    fn fill_reserved(&self, index: &mut Locked<'_>, uids: Vec<Uid>) -> Result<Entered> {
        let mut tx = Transaction::new();
        map::declare(&mut tx);
        let places = self.appender.places();
        uids.iter().zip(&places).for_each(|(&uid, place)| map::fill(&mut tx, uid, place));
        index.synced_with(&tx)?;
        Ok(Entered { uids, set_aside: Vec::new(), is_complete: true })
    }

    /// Forces the messages to disk before the map is locked, if they will need nothing more from it.
    fn flush_early(&mut self) -> Result<()> {
        if self.appender.is_settled() && self.mdbox().store.has_reserved() {
            self.appender.flush()?;
        }
        Ok(())
    }

    /// Forces the messages and the map to disk, which the system does in one go.
    fn force(&mut self, index: &mut Locked<'_>, entered: &mut Entered) -> Result<()> {
        if entered.is_complete {
            return Ok(());
        }
        self.appender.begin_flush();
        self.appender.flush_names()?;
        index.force()?;
        self.appender.flush()?;
        self.mdbox().store.keep_reserved(std::mem::take(&mut entered.set_aside));
        Ok(())
    }

    /// The mailbox has them, too.
    fn complete_map(&self, index: &mut Locked<'_>, entered: &Entered) {
        if entered.is_complete {
            return;
        }
        if let Err(error) = index.completed_with(&Transaction::new()) {
            self.mdbox().place.context.logger.error(base::chain(&error));
        }
    }

    /// Takes back what was entered into the map: nothing refers to it.
    fn leave_map(&self, index: &mut Locked<'_>, map_uids: &[Uid]) {
        let mut tx = Transaction::new();
        map::declare(&mut tx);
        let entered = self.done.iter().zip(map_uids).filter(|(pending, _)| pending.known().is_none());
        entered.for_each(|(_, &uid)| tx.ext_atomic_inc(REF, uid, -1));
        if let Err(error) = index.synced_with(&tx) {
            self.mdbox().place.context.logger.error(base::chain(&error));
        }
    }

    /// Enters the messages into the mailbox.
    fn enter_mailbox(&self, index: &mut Locked<'_>, map_uids: &[Uid], validity: u32) -> Result<Saved> {
        let mut tx = Transaction::new();
        tx.fsync();
        declare(&mut tx);
        let metas = || self.done.iter().map(|pending| &pending.meta);
        let uids = save::assign(index.header().next_uid, metas())?;
        let pop3 = save::Pop3::of(metas().zip(uids.iter().copied()));
        let saved = crate::dbox::single::now();
        for ((pending, map_uid), &uid) in self.done.iter().zip(map_uids).zip(&uids) {
            let meta = &pending.meta;
            tx.append(uid, meta.flags, meta.keywords.iter().map(String::as_str));
            set_record(&mut tx, uid, MdboxRecord { map_uid: map_uid.get(), saved }, pending.guid);
            if let Some(restored) = pending.restored {
                tx.expunge(restored.uid, pending.guid);
            }
            if let Some(modseq) = meta.modseq {
                tx.update_modseq(uid, modseq);
            }
        }
        if let Some(old) = mailbox::read_header(index, MDBOX_HEADER) {
            let header = MailboxHeader { number: validity, flags: old.flags | pop3.flags, ..old };
            if header != old {
                mailbox::write_header(&mut tx, MDBOX_HEADER, &header);
            }
        }
        pop3.write(index, &mut tx);
        index.commit(&tx, Origin::External)?;
        let uid_validity = UidValidity::new(index.header().uid_validity).unwrap_or(UidValidity::ONE);
        Ok(Saved { uid_validity, uids })
    }

    fn check_refcount(&self, index: &Locked<'_>, uid: Uid) -> Result<()> {
        match map::entry(index.view(), uid) {
            Some(entry) if entry.refcount >= REFCOUNT_MAX => Err(Error::Unsupported(format!(
                "Message has been copied too many times ({} + 1)",
                entry.refcount
            ))),
            Some(_) => Ok(()),
            None => {
                if map::is_reserved(index.view(), uid) {
                    // Where it is got lost.
                    self.mdbox().store.set_corrupted();
                }
                // Or it was purged a moment ago.
                Err(Error::Expunged(uid))
            }
        }
    }

    /// Makes sure that the mailbox's index is there.
    fn prepare(&self, index: &mut Locked<'_>, work: &mut Known) -> Result<()> {
        if index.is_new() || self.mdbox().header(index).is_none() {
            let none = UidSet::new();
            let sync = Resync { mode: SyncMode::Quick, claim: false, unsettled: &none };
            self.mdbox().sync(index, work, None, &sync)?;
        }
        Ok(())
    }
}

impl Pending {
    /// Whether the GUID was made for it.
    fn is_unique(&self) -> bool {
        self.copy_of.is_none() && self.meta.guid.is_none()
    }

    /// What it is in the map, with the reference that the mailbox needs.
    fn known(&self) -> Option<Uid> {
        self.restored.and_then(|restored| restored.map_uid)
    }
}

impl SaveBatch for Batch {
    fn begin(&mut self, meta: SaveMeta) -> Result<()> {
        self.check(&meta)?;
        self.abort();
        let slot = self.appender.next(meta.size_hint.unwrap_or(0), false)?;
        let fs = &self.mdbox().store.fs;
        let compression = &self.mdbox().context().settings.compression;
        let (file, path) = (slot.handle.clone(), slot.path.clone());
        let attachments = self.mdbox().store.attachments.as_ref();
        let writer = MessageWriter::begin(fs, file, path, slot.offset, compression, attachments)?;
        let detector = Detector::new(&self.mdbox().context().settings.attachment_detection, &meta.keywords);
        self.current = Some(Current { slot, writer, detector, meta });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.current {
            Some(current) => {
                if let Some(detector) = &mut current.detector {
                    detector.push(bytes);
                }
                current.writer.write(bytes)
            }
            None => Err(Error::BadRequest("No message is being saved".to_owned())),
        }
    }

    fn end(&mut self) -> Result<()> {
        let current = self.current.take();
        let current = current.ok_or_else(|| Error::BadRequest("No message is being saved".to_owned()))?;
        let Current { slot, writer, detector, mut meta } = current;
        if let Some(detector) = detector {
            detector.finish(&mut meta.keywords);
        }
        match writer.finish(&meta, Some(&self.mdbox().name)) {
            Ok(written) => {
                let attachments = written.refs.into_iter().map(|one| one.path).collect();
                let guid = names::guid_bits(&written.guid);
                let pending = Pending { meta, guid, copy_of: None, attachments, restored: None };
                match self.appender.finish(&slot, written.end) {
                    Ok(()) => self.done.push(pending),
                    Err(error) => {
                        self.discard(&pending);
                        return Err(error);
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.appender.abort(&slot);
                Err(error)
            }
        }
    }

    fn copy(&mut self, source: &mut dyn Mailbox, uid: Uid, mut meta: SaveMeta) -> Result<CopyBytes> {
        self.check(&meta)?;
        let wanted = Wanted::GUID | Wanted::POP3_UIDL | Wanted::POP3_ORDER | Wanted::INTERNAL_DATE;
        let file = source.message_file(uid).filter(|file| file.path == self.mdbox().store.dir);
        let asks = meta.guid.is_some()
            || meta.internal_date.is_some()
            || meta.pop3_uidl.is_some()
            || meta.pop3_order.is_some();
        if let Some(FileFormat::Mdbox { map_uid, guid }) = file.map(|file| file.format)
            && !asks
        {
            self.abort();
            let (copy_of, attachments) = (Some(map_uid), Vec::new());
            self.done.push(Pending { meta, guid, copy_of, attachments, restored: None });
            return Ok(CopyBytes::Shared);
        }
        let facts = source.fetch_facts(uid, wanted)?;
        save::inherit(&mut meta, &facts);
        let dir = self.mdbox().place.dir.clone();
        save::copy_bytes(self, source, uid, meta, &dir).map(|()| CopyBytes::Written)
    }

    fn commit(mut self: Box<Self>) -> Result<Saved> {
        self.abort();
        let shared = self.shared.clone();
        let store = shared.driver.store.clone();
        let mut work = shared.work();
        let work = &mut *work;
        self.flush_early()?;
        work.index.refresh()?;
        shared.driver.is_stale(&work.index, &mut work.driver, SyncMode::Quick, false)?;
        let mut lock = store.lock_map()?;
        let mut map = lock.locked()?;
        let mut index = work.index.lock()?;
        self.prepare(&mut index, &mut work.driver)?;
        self.appender.settle()?;
        self.note_restored(&map, &index);
        let mut entered = self.enter_map(&mut map)?;
        let validity = map.header().uid_validity;
        let forced = self.force(&mut map, &mut entered);
        let saved = forced.and_then(|()| self.enter_mailbox(&mut index, &entered.uids, validity));
        match &saved {
            Ok(_) => self.complete_map(&mut map, &entered),
            Err(_) => self.leave_map(&mut map, &entered.uids),
        }
        // The map has them, so the bytes stay, with or without a reference.
        self.commit_files();
        store.publish(&map);
        drop(map);
        drop(lock);
        shared.end_save(index)?;
        shared.publish(&work.index);
        saved
    }
}

impl Batch {
    /// Gives up the message that is being written.
    fn abort(&mut self) {
        if let Some(current) = self.current.take() {
            self.appender.abort(&current.slot);
        }
    }

    fn commit_files(&mut self) {
        let store = self.mdbox().store.clone();
        std::mem::replace(&mut self.appender, Appender::new(store)).commit();
        self.done.clear();
    }

    /// Removes the attachments of a message that is not saved.
    fn discard(&self, pending: &Pending) {
        if let Some(store) = &self.mdbox().store.attachments {
            apart::delete(store, pending.attachments.iter().map(String::as_str));
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.abort();
        std::mem::take(&mut self.done).iter().for_each(|pending| self.discard(pending));
    }
}

fn no_place() -> Error {
    Error::InUse("mdbox: a message has no place".to_owned())
}

/// 2.3's: far from where the number would run over, whatever others do at the same moment.
const REFCOUNT_MAX: u16 = 32768;
