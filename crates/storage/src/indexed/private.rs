//! `INDEXPVT=`: a mailbox that several users share, in which each has `\Seen` flags of his own. They are in
//! `dovecot.index.pvt`, an index of the same UIDs in the user's own directory, which follows the shared one;
//! all else stays with the mailbox. A session's snapshots have the user's flags in place of the shared
//! ones.
//!
//! Its locks are taken first: its mutex and its log's lock before the mailbox's mutex, no other below them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use base::{Guid, Logger, ModSeq, Seq, Uid, UidSet};
use index::{Index, Origin, Place, Transaction};

use crate::api::{
    CacheField, CachedField, CopyBytes, FlagChange, FlagMode, Mailbox, MailboxUpdate, MessageFile,
    MessageReader, OpenMode, SaveBatch, SaveMeta, Saved, Status, StatusItems, SyncMode,
};
use crate::error::{Error, Result};
use crate::facts::{Facts, NumberFact, Wanted};
use crate::fs::Permissions;
use crate::memo::Memo;
use crate::notify::{Callback, Subscription};
use crate::view::{Flags, View};

use super::{Driver, Handle, Shared};

/// Where a user's own flags of a mailbox are.
pub(crate) struct PrivatePlace {
    /// The directory of `dovecot.index.pvt`.
    pub dir: PathBuf,
    /// Messages begin with the flags that the mailbox has: in namespaces of `type = public`, so that
    /// whoever delivers can set them.
    pub copies_flags: bool,
}

/// The flags that 2.3 keeps apart.
pub(crate) const FLAGS: Flags = Flags::SEEN;

/// A session's mailbox with its user's own flags; see the module.
pub(crate) struct Private<D: Driver> {
    shared: Handle<D>,
    mode: OpenMode,
    own: Arc<Own>,
    view: Arc<View>,
}

/// The private index.
struct Own {
    index: Mutex<Index>,
    copies_flags: bool,
    logger: Logger,
    /// The mailbox, for log lines.
    name: String,
}

/// Opens a mailbox, with flags of the user's own if there is a place for them.
pub(crate) fn opened<D: Driver>(
    shared: Handle<D>,
    mode: OpenMode,
    place: Option<PrivatePlace>,
) -> Result<Box<dyn Mailbox>> {
    let Some(place) = place else { return Ok(Box::new(shared)) };
    let context = shared.shared().driver.context().clone();
    let permissions = place.dir.ancestors().find(|dir| dir.is_dir()).map(Permissions::of_dir);
    let permissions = permissions.unwrap_or_default();
    let made = context.fs.mkdir_all(&place.dir, &permissions);
    made.map_err(|error| Error::io("mkdir", place.dir.clone(), error))?;
    let index = Index::open(
        Place::new(Some(place.dir), PREFIX),
        context.settings.index_settings(),
        context.fs.clone(),
        context.logger.clone(),
    )?;
    let own = Own {
        index: Mutex::new(index),
        copies_flags: place.copies_flags,
        logger: context.logger.clone(),
        name: shared.name().to_owned(),
    };
    let view = own.cover(&shared.view());
    Ok(Box::new(Private { shared, mode, own: Arc::new(own), view }))
}

impl Own {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Makes the private index's messages those of the mailbox. `saved` are new ones that have flags.
    fn follow<D: Driver>(&self, shared: &Shared<D>, saved: &UidSet) -> Result<()> {
        let mut index = self.index();
        index.refresh()?;
        if is_level(&index, &shared.view()) && saved.is_empty() {
            return Ok(());
        }
        let mut locked = index.lock()?;
        // Another process may have gone further, and its messages are not gone.
        let newest = shared.refreshed()?;
        let transaction = self.difference(&locked, &newest, saved);
        Ok(locked.synced_with(&transaction)?)
    }

    fn difference(&self, own: &Index, shared: &View, saved: &UidSet) -> Transaction {
        let mut transaction = Transaction::new();
        let (known, wanted) = (own.header().uid_validity, shared.uid_validity());
        let mut keeps_flags = known == wanted.get();
        let mut begins_anew = !keeps_flags;
        if keeps_flags {
            let inserted = shared
                .records()
                .map(|record| record.uid)
                .find(|uid| uid.get() < own.header().next_uid && own.view().record(*uid).is_none());
            if let Some(uid) = inserted {
                let path = own.path().display();
                self.logger
                    .error(format_args!("{path}: Message UID={uid} unexpectedly inserted into mailbox"));
                begins_anew = true;
            }
        } else if known != 0 || own.header().next_uid > 1 {
            self.logger.info(format_args!(
                "Mailbox {}: UIDVALIDITY changed ({known} -> {wanted}), reseting private index",
                self.name
            ));
            transaction.reset();
        } else {
            keeps_flags = false;
        }
        if begins_anew {
            if keeps_flags {
                transaction.reset();
            }
            transaction.set_uid_validity(wanted);
        } else {
            for record in own.view().records().filter(|record| shared.record(record.uid).is_none()) {
                transaction.expunge(record.uid, Guid::default());
            }
        }
        let first = if begins_anew { 1 } else { own.header().next_uid };
        for record in shared.records().filter(|record| record.uid.get() >= first) {
            let old = own.view().record(record.uid).filter(|_| keeps_flags);
            let mut flags = match old {
                Some(old) => old.flags & FLAGS,
                None if self.copies_flags => record.flags & FLAGS,
                None => Flags::NONE,
            };
            if saved.contains(record.uid) {
                flags |= FLAGS;
            }
            transaction.append(record.uid, flags, []);
        }
        // Somebody else may have been faster.
        let late: UidSet = saved.iter().filter(|uid| uid.get() < first).collect();
        if !late.is_empty() {
            transaction.update_flags(&late, FLAGS, Flags::NONE);
        }
        if begins_anew || shared.uid_next().get() > own.header().next_uid {
            transaction.set_next_uid(shared.uid_next());
        }
        transaction
    }

    /// The snapshot with the user's flags in it.
    fn cover(&self, shared: &Arc<View>) -> Arc<View> {
        let own = self.index().view().clone();
        let mut records = own.records().peekable();
        let differs = |record: &&crate::view::Record| {
            while records.next_if(|own| own.uid < record.uid).is_some() {}
            let own = records.next_if(|own| own.uid == record.uid);
            own.is_some_and(|own| (own.flags & FLAGS) != (record.flags & FLAGS))
        };
        let changed: UidSet = shared.records().filter(differs).map(|record| record.uid).collect();
        if changed.is_empty() {
            return shared.clone();
        }
        let mut edit = shared.edit();
        edit.update(&changed, |record| {
            let flags = own.record(record.uid).map_or(record.flags, |own| own.flags);
            record.flags = record.flags & !FLAGS | flags & FLAGS;
        });
        Arc::new(edit.finish())
    }

    /// Changes the user's flags of messages; gives those that had others.
    fn change(&self, uids: &UidSet, change: &FlagChange) -> Result<UidSet> {
        let wanted = change.flags & FLAGS;
        let new = |old: Flags| match change.mode {
            FlagMode::Add => old | wanted,
            FlagMode::Remove => old & !wanted,
            FlagMode::Replace => wanted,
        };
        let mut index = self.index();
        let mut locked = index.lock()?;
        let view = locked.view().clone();
        let mut transaction = Transaction::new();
        let mut changed = UidSet::new();
        let (mut add, mut remove) = (UidSet::new(), UidSet::new());
        for (_, record) in view.records_in(uids) {
            let old = record.flags & FLAGS;
            if new(old) != old {
                changed.insert(record.uid);
                if new(old).is_empty() { &mut remove } else { &mut add }.insert(record.uid);
            }
        }
        transaction.update_flags(&add, FLAGS, Flags::NONE);
        transaction.update_flags(&remove, Flags::NONE, FLAGS);
        if !changed.is_empty() {
            locked.synced_with(&transaction)?;
        }
        Ok(changed)
    }

    fn raise_modseq(&self, modseq: ModSeq) -> Result<()> {
        let mut index = self.index();
        if modseq > index.view().highest_modseq() {
            let mut transaction = Transaction::new();
            transaction.update_highest_modseq(modseq);
            index.commit(&transaction, Origin::External)?;
        }
        Ok(())
    }
}

/// 2.3's sign that nothing came or went.
fn is_level(own: &Index, shared: &View) -> bool {
    own.header().uid_validity == shared.uid_validity().get()
        && own.header().next_uid == shared.uid_next().get()
        && own.view().len() == shared.len()
}

impl<D: Driver> Private<D> {
    /// Takes a snapshot of the mailbox into use.
    fn take(&mut self, shared: &Arc<View>) -> Result<Arc<View>> {
        self.own.follow(self.shared.shared(), &UidSet::new())?;
        self.view = self.own.cover(shared);
        Ok(self.view.clone())
    }

    fn may_change_mail(&self) -> bool {
        !self.shared.is_readonly()
    }
}

impl<D: Driver> Mailbox for Private<D> {
    fn name(&self) -> &str {
        self.shared.name()
    }

    /// The user's own flags can be changed although the mail cannot.
    fn is_readonly(&self) -> bool {
        self.mode == OpenMode::ReadOnly
    }

    fn guid(&mut self) -> Result<Guid> {
        self.shared.guid()
    }

    fn view(&self) -> Arc<View> {
        self.view.clone()
    }

    fn sync(&mut self, mode: SyncMode) -> Result<Arc<View>> {
        let shared = self.shared.sync(mode)?;
        self.take(&shared)
    }

    fn recent(&self) -> &UidSet {
        self.shared.recent()
    }

    fn first_recent(&self) -> Uid {
        self.shared.first_recent()
    }

    fn allows_new_keywords(&self) -> bool {
        self.shared.allows_new_keywords()
    }

    fn store_flags(&mut self, uids: &UidSet, change: &FlagChange) -> Result<Arc<View>> {
        if self.is_readonly() {
            return Err(Error::NoPermission(format!("Mailbox {} is read-only", self.name())));
        }
        self.own.follow(self.shared.shared(), &UidSet::new())?;
        let others = FlagChange { flags: change.flags & !FLAGS, ..change.clone() };
        let is_nothing = others.flags.is_empty() && others.keywords.is_empty();
        let mut shared = self.shared.view();
        if self.may_change_mail() && (change.mode == FlagMode::Replace || !is_nothing) {
            // What the mailbox itself has of the user's flags stays.
            shared = self.shared.store_flags_but(FLAGS, uids, &others)?;
        }
        if change.mode == FlagMode::Replace || change.flags.intersects(FLAGS) {
            let changed = self.own.change(uids, change)?;
            if !changed.is_empty() {
                shared = match self.shared.touch(&changed) {
                    // Without the right to write the index only other sessions miss something.
                    Err(Error::Denied(_)) => shared,
                    touched => touched?,
                };
            }
        }
        self.take(&shared)
    }

    fn expunge(&mut self, uids: &UidSet) -> Result<Arc<View>> {
        let shared = self.shared.expunge(uids)?;
        self.take(&shared)
    }

    fn begin_save(&mut self) -> Result<Box<dyn SaveBatch>> {
        let batch = self.shared.begin_save()?;
        let (own, shared) = (self.own.clone(), self.shared.shared().clone());
        Ok(Box::new(PrivateBatch { batch, own, shared, current: false, seen: Vec::new() }))
    }

    fn open_message(&mut self, uid: Uid) -> Result<Box<dyn MessageReader>> {
        self.shared.open_message(uid)
    }

    fn fetch_facts(&mut self, uid: Uid, wanted: Wanted) -> Result<Facts> {
        self.shared.fetch_facts(uid, wanted)
    }

    fn fetch_fields(&mut self, uid: Uid, wanted: Wanted, names: &[&str]) -> Result<Facts> {
        self.shared.fetch_fields(uid, wanted, names)
    }

    fn numbers_at_hand(&mut self, fact: NumberFact, uids: &[Uid]) -> Vec<Option<i64>> {
        self.shared.numbers_at_hand(fact, uids)
    }

    fn note_renamed(&mut self, at: SystemTime) -> Result<()> {
        self.shared.note_renamed(at)
    }

    fn renamed_at(&self) -> Option<SystemTime> {
        self.shared.renamed_at()
    }

    fn memo(&self) -> Option<Arc<Memo>> {
        self.shared.memo()
    }

    fn status(&mut self, items: StatusItems) -> Result<Status> {
        let status = self.shared.status(items)?;
        let shared = self.shared.shared();
        self.own.follow(shared, &UidSet::new())?;
        let unseen = self.own.cover(&shared.view()).count(Flags::NONE, Flags::SEEN);
        Ok(Status { unseen, ..status })
    }

    fn subscribe(&mut self, callback: Callback) -> Result<Subscription> {
        self.shared.subscribe(callback)
    }

    fn save_pop3_uidls(&mut self, uidls: &[(Uid, String)]) -> Result<()> {
        self.shared.save_pop3_uidls(uidls)
    }

    fn update(&mut self, update: &MailboxUpdate) -> Result<()> {
        self.shared.update(update)?;
        let shared = self.shared.view();
        self.take(&shared)?;
        update.min_highest_private_modseq.map_or(Ok(()), |modseq| self.own.raise_modseq(modseq))
    }

    fn rebuild(&mut self, fsck: bool) -> Result<()> {
        self.shared.rebuild(fsck)?;
        let shared = self.shared.view();
        self.take(&shared).map(drop)
    }

    fn first_uncached(&mut self) -> Result<Option<Seq>> {
        self.shared.first_uncached()
    }

    fn precache(&mut self, uid: Uid) -> Result<()> {
        self.shared.precache(uid)
    }

    fn cache_fields(&mut self) -> Result<Vec<CacheField>> {
        self.shared.cache_fields()
    }

    fn set_cache_fields(&mut self, fields: &[CacheField]) -> Result<()> {
        self.shared.set_cache_fields(fields)
    }

    fn cache_remove(&mut self, uids: &UidSet) -> Result<()> {
        self.shared.cache_remove(uids)
    }

    fn cache_purge(&mut self) -> Result<()> {
        self.shared.cache_purge()
    }

    fn move_to_alt(&mut self, uids: &UidSet, to_alt: bool) -> Result<()> {
        self.shared.move_to_alt(uids, to_alt)
    }

    fn refcount(&mut self, uid: Uid) -> Result<Option<u32>> {
        self.shared.refcount(uid)
    }

    fn message_file(&mut self, uid: Uid) -> Option<MessageFile> {
        self.shared.message_file(uid)
    }

    fn cached_values(&mut self, uid: Uid, fields: &[CachedField]) -> Vec<Option<Vec<u8>>> {
        self.shared.cached_values(uid, fields)
    }
}

/// Messages being saved, whose `\Seen` goes into the private index.
struct PrivateBatch<D: Driver> {
    batch: Box<dyn SaveBatch>,
    own: Arc<Own>,
    shared: Arc<Shared<D>>,
    /// Of the message that is being saved.
    current: bool,
    seen: Vec<bool>,
}

impl<D: Driver> PrivateBatch<D> {
    /// Takes the user's flags out.
    fn split(meta: SaveMeta) -> (SaveMeta, bool) {
        let is_seen = meta.flags.intersects(FLAGS);
        (SaveMeta { flags: meta.flags & !FLAGS, ..meta }, is_seen)
    }
}

impl<D: Driver> SaveBatch for PrivateBatch<D> {
    fn begin(&mut self, meta: SaveMeta) -> Result<()> {
        let (meta, is_seen) = Self::split(meta);
        self.current = is_seen;
        self.batch.begin(meta)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.batch.write(bytes)
    }

    fn end(&mut self) -> Result<()> {
        self.batch.end()?;
        self.seen.push(self.current);
        Ok(())
    }

    fn copy(&mut self, source: &mut dyn Mailbox, uid: Uid, meta: SaveMeta) -> Result<CopyBytes> {
        let (meta, is_seen) = Self::split(meta);
        let bytes = self.batch.copy(source, uid, meta)?;
        self.seen.push(is_seen);
        Ok(bytes)
    }

    fn commit(self: Box<Self>) -> Result<Saved> {
        let Self { batch, own, shared, seen, .. } = *self;
        let saved = batch.commit()?;
        let pairs = saved.uids.iter().zip(seen);
        let seen: UidSet = pairs.filter(|(_, is_seen)| *is_seen).map(|(uid, _)| *uid).collect();
        // The messages are saved, whatever becomes of their flags.
        if !seen.is_empty()
            && let Err(error) = own.follow(&*shared, &seen)
        {
            own.logger.error(base::chain(&error));
        }
        Ok(saved)
    }
}

/// 2.3's name for it.
const PREFIX: &str = "dovecot.index.pvt";
