//! One mailbox in this process: what its sessions share.

use std::any::Any;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use base::{Guid, Uid, UidSet};
use index::list_index::VirtualSize;
use index::{Index, Locked, Origin, Pending, Place, Transaction};

use crate::api::{FlagChange, SyncMode};
use crate::error::{Error, Result};
use crate::memo::{self, Memo};
use crate::notify::Channel;
use crate::view::{Flags, Record, View};

use super::cached::Cached;
use super::detected::Detected;
use super::listed::Told;
use super::{Delta, Done, Driver, FlagUpdates, Resync, check_keywords, size};

/// See the module.
pub(crate) struct Shared<D: Driver> {
    pub driver: D,
    /// Held by whoever looks at the mail store or changes it, also while waiting for locks.
    work: Mutex<Work<D::Work>>,
    /// The newest snapshot; held for moments.
    view: Mutex<Arc<View>>,
    pub(super) cached: Cached,
    pub channel: Arc<Channel>,
    pub memo: Arc<Memo>,
    /// Device and inode of the driver's path.
    inode: (u64, u64),
    pub(super) detected: Detected,
    /// The mailbox's size is being found out.
    pub(super) sizing: AtomicBool,
    /// Held by whoever adds up the sizes of messages, who may wait for anything else meanwhile.
    pub(super) adding_up: Mutex<()>,
    /// It has been logged that nothing may be written here.
    is_denied: AtomicBool,
}

impl<D: Driver> Drop for Shared<D> {
    fn drop(&mut self) {
        let place = (self.inode.0, self.inode.1, self.driver.path().to_owned());
        memo::Closed::of_process().put(place, std::mem::take(&mut self.memo));
    }
}

/// What the holder of the work mutex may use.
pub(crate) struct Work<W> {
    pub index: Index,
    pub driver: W,
    pub(super) told: Option<Told>,
}

impl<D: Driver> Shared<D> {
    /// The mailbox of `driver`, shared with whoever has it open in this process.
    pub(crate) fn get(driver: D) -> Result<Arc<Self>> {
        let context = driver.context();
        let path = driver.path();
        let stamp = context.fs.stamp(path).map_err(|error| Error::io("stat", path, error))?;
        let stamp = stamp.ok_or_else(|| Error::NotFound(path.display().to_string()))?;
        let key = (stamp.dev, stamp.ino, path.to_owned(), context.index_dir.clone());
        let mut registry = lock(registry());
        let known = registry.get(&key).and_then(Weak::upgrade);
        let known = known.and_then(|known| known.downcast::<Self>().ok());
        let shared = match known {
            Some(shared) => shared,
            None => {
                registry.retain(|_, old| old.strong_count() > 0);
                let shared = Arc::new(Self::open(driver, (stamp.dev, stamp.ino))?);
                let weak: Weak<dyn Any + Send + Sync> = Arc::downgrade(&shared) as _;
                registry.insert(key, weak);
                shared
            }
        };
        Ok(shared)
    }

    fn open(driver: D, inode: (u64, u64)) -> Result<Self> {
        let context = driver.context().clone();
        let settings = context.settings.index_settings();
        let mut place = Place::new(context.index_dir.clone(), "dovecot.index");
        place.permissions = index::fs::Permissions::of_dir(driver.path());
        let place = driver.index_place(place);
        let mut index = Index::open(place, settings, context.fs.clone(), context.logger.clone())?;
        if index.has_unread() {
            // Where it cannot be mended, the mailbox is what could be read.
            let _ = index.lock();
        }
        let mut watched = driver.watched();
        watched.extend(context.index_dir.clone());
        let view = Mutex::new(index.view().clone());
        let cached = Cached::new(&context);
        cached.note(&index);
        let work = Mutex::new(Work { index, driver: D::Work::default(), told: None });
        let memo = memo::Closed::of_process().take(&(inode.0, inode.1, driver.path().to_owned()));
        let channel = Channel::new(watched);
        let (detected, sizing) = (Detected::default(), AtomicBool::new(false));
        Ok(Self {
            driver,
            work,
            view,
            cached,
            channel,
            memo,
            inode,
            detected,
            sizing,
            adding_up: Mutex::new(()),
            is_denied: AtomicBool::new(false),
        })
    }

    /// Whether an error is worth a line in the log: that nothing may be written, as on a file system that is
    /// mounted read-only, is said once and not with each command.
    pub(super) fn is_news(&self, error: &Error) -> bool {
        !matches!(error, Error::NoPermission(_) | Error::Denied(_))
            || !self.is_denied.swap(true, Ordering::Relaxed)
    }

    /// See [`Mailbox::is_in_place`](crate::Mailbox::is_in_place).
    pub(crate) fn is_in_place(&self) -> bool {
        let stamp = self.driver.context().fs.stamp(self.driver.path());
        stamp.is_ok_and(|stamp| stamp.is_some_and(|stamp| (stamp.dev, stamp.ino) == self.inode))
    }

    pub(crate) fn work(&self) -> MutexGuard<'_, Work<D::Work>> {
        lock(&self.work)
    }

    pub(crate) fn view(&self) -> Arc<View> {
        lock(&self.view).clone()
    }

    /// The newest snapshot, after a look at what other processes have written.
    pub(super) fn refreshed(&self) -> Result<Arc<View>> {
        let mut work = self.work();
        work.index.refresh()?;
        self.publish(&work.index);
        Ok(self.view())
    }

    /// Makes the index's state what sessions see.
    pub(crate) fn publish(&self, index: &Index) {
        let new = index.view();
        let mut view = lock(&self.view);
        let changed = !Arc::ptr_eq(&view, new);
        if changed {
            *view = new.clone();
        }
        drop(view);
        self.cached.note(index);
        if changed {
            self.channel.wake();
        }
    }

    /// Ends a save: the index's file is written anew if that is due.
    pub(crate) fn end_save(&self, mut index: Locked<'_>) -> Result<()> {
        // Whoever has asked for something waits for one that carries it out.
        if index.has_pending() { Ok(()) } else { Ok(index.synced()?) }
    }

    /// Looks for changes. With `claim` new messages become the `\Recent` of the session that asks:
    /// their UIDs are returned.
    pub(crate) fn sync(&self, mode: SyncMode, claim: bool) -> Result<UidSet> {
        if mode == SyncMode::Memory {
            return Ok(UidSet::new());
        }
        let mut work = self.work();
        let work = &mut *work;
        work.index.refresh()?;
        let stale = self.driver.is_stale(&work.index, &mut work.driver, mode, claim)?;
        let has_recent = work.index.header().first_recent_uid < work.index.header().next_uid;
        let mut claimed = UidSet::new();
        if stale || work.index.has_pending() || claim && has_recent {
            claimed = self.sync_locked(work, mode, stale, claim)?;
        } else {
            self.keep_up(&mut work.index);
        }
        self.publish(&work.index);
        Ok(claimed)
    }

    fn sync_locked(
        &self,
        work: &mut Work<D::Work>,
        mode: SyncMode,
        stale: bool,
        claim: bool,
    ) -> Result<UidSet> {
        let mut guarded = self.driver.guards_changes(work.index.has_pending());
        let (guard, done) = loop {
            let guard = self.guard_if(stale || guarded)?;
            let mut index = work.index.lock()?;
            if !guarded && self.must_guard(&index) {
                guarded = true;
                continue;
            }
            let settled = self.settle(&mut index, &mut work.driver, guard.as_ref(), mode, stale, claim);
            let done = settled.and_then(|()| {
                let claimed = if claim { self.claim(&mut index)? } else { UidSet::new() };
                self.cached.purge_if_due(&mut index)?;
                index.synced()?;
                Ok(claimed)
            });
            break (guard, done);
        };
        self.driver.unlocked(&work.index, &mut work.driver, guard);
        done
    }

    /// Writes the index's file and the cache anew where too much was written since, or is waste. A session
    /// whose client is gone can do it without letting anybody wait; nor does it wait for others.
    pub(crate) fn end(&self) {
        let Ok(mut work) = self.work.try_lock() else { return };
        self.keep_up(&mut work.index);
        self.publish(&work.index);
    }

    fn keep_up(&self, index: &mut Index) {
        if !index.is_overdue() && !self.cached.is_purge_due() {
            return;
        }
        let done = index.lock().map_err(Error::from).and_then(|mut index| {
            self.cached.purge_if_due(&mut index)?;
            self.end_save(index)
        });
        // Nothing is lost by what is not written anew but time.
        if let Err(error) = done
            && self.is_news(&error)
        {
            self.driver.context().logger.error(base::chain(&error));
        }
    }

    /// Whether somebody has asked, before the index was locked, for what needs the guard, which comes
    /// first.
    fn must_guard(&self, index: &Locked<'_>) -> bool {
        index.has_pending() && self.driver.guards_changes(true)
    }

    /// The mail store's lock, if it is wanted and we may have it.
    pub(crate) fn guard_if(&self, wanted: bool) -> Result<Option<D::Guard<'_>>> {
        if !wanted {
            return Ok(None);
        }
        match self.driver.guard() {
            Ok(guard) => Ok(Some(guard)),
            // Without the lock nothing new gets a UID, but what is known can be read and expunged.
            Err(error @ (Error::NoPermission(_) | Error::Denied(_) | Error::NoSpace { .. })) => {
                if self.is_news(&error) {
                    let path = self.driver.path().display();
                    let why = base::chain(&error);
                    self.driver.context().logger.error(format_args!("Mailbox {path}: {why}"));
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Carries out what other sessions have asked for, and brings the index up to date with the store
    /// if that is needed.
    pub(crate) fn settle(
        &self,
        index: &mut Locked<'_>,
        work: &mut D::Work,
        guard: Option<&D::Guard<'_>>,
        mode: SyncMode,
        stale: bool,
        claim: bool,
    ) -> Result<()> {
        let pending = Changes::of(index.pending()?, index.view());
        let lost = self.carry_out(index, work, guard, pending.clone())?;
        if !stale && lost.is_empty() {
            return Ok(());
        }
        let mode = if lost.is_empty() { mode } else { SyncMode::Full };
        self.driver.sync(index, work, guard, &Resync { mode, claim, unsettled: &lost })?;
        if !lost.is_empty() {
            self.carry_out(index, work, guard, pending.only(&lost))?;
        }
        Ok(())
    }

    /// Changes the store as the index's log asks. Gives what was not found.
    fn carry_out(
        &self,
        index: &mut Locked<'_>,
        work: &mut D::Work,
        guard: Option<&D::Guard<'_>>,
        changes: Changes,
    ) -> Result<UidSet> {
        if changes.is_empty() {
            return Ok(UidSet::new());
        }
        let mut tx = Transaction::new();
        let stored = self.driver.store_flags(index, work, guard, &changes.deltas)?;
        tx.update_bits(&stored.refused, Record::DIRTY, 0);
        let size = self.size_without(index, &changes.expunges);
        let guids = self.guids_of(index, &changes.expunges);
        let expunged = self.driver.expunge(index, work, guard, &changes.expunges)?;
        let not_done = |uid: &Uid| expunged.lost.contains(*uid) || expunged.refused.contains(*uid);
        for uid in changes.expunges.iter().filter(|uid| !not_done(uid)) {
            tx.expunge(uid, guids.get(&uid).copied().unwrap_or_default());
        }
        self.note_size(size, &expunged, &mut tx);
        self.driver.note_change(index, work, &mut tx);
        index.commit(&tx, Origin::External)?;
        let mut lost = stored.lost;
        expunged.lost.iter().for_each(|uid| lost.insert(uid));
        Ok(lost)
    }

    /// Takes the `\Recent` messages for one session.
    fn claim(&self, index: &mut Locked<'_>) -> Result<UidSet> {
        let (first, next) = (index.header().first_recent_uid.max(1), index.header().next_uid);
        let (Some(from), Some(end)) = (Uid::new(first), Uid::new(next)) else { return Ok(UidSet::new()) };
        if from >= end {
            return Ok(UidSet::new());
        }
        let mut tx = Transaction::new();
        tx.set_first_recent_uid(end);
        index.commit(&tx, Origin::External)?;
        let range = UidSet::from_range(from, end);
        Ok(index.view().records_in(&range).map(|(_, record)| record.uid).collect())
    }

    /// The messages that the next session to claim them would see as `\Recent`.
    pub(crate) fn waiting(&self, view: &View, first_recent: u32) -> UidSet {
        let (Some(from), Some(last)) = (Uid::new(first_recent.max(1)), view.last_uid()) else {
            return UidSet::new();
        };
        match from <= last {
            true => view.records_in(&UidSet::from_range(from, last)).map(|(_, record)| record.uid).collect(),
            false => UidSet::new(),
        }
    }

    /// Changes the flags of those in `uids` that exist.
    pub(crate) fn store_flags(&self, uids: &UidSet, change: &FlagChange) -> Result<Arc<View>> {
        self.store_flags_but(Flags::NONE, uids, change)
    }

    /// The same, but those of `kept` stay as they are.
    pub(crate) fn store_flags_but(
        &self,
        kept: Flags,
        uids: &UidSet,
        change: &FlagChange,
    ) -> Result<Arc<View>> {
        let settings = &self.driver.context().settings;
        check_keywords(&change.keywords, settings.mail_max_keyword_length)?;
        self.change(false, |index| {
            let mut delta = Delta::of_change(index.view(), uids, change);
            (delta.add, delta.remove) = (delta.add & !kept, delta.remove & !kept);
            Changes { deltas: vec![delta], expunges: UidSet::new() }
        })
    }

    /// Gives messages a new modification sequence.
    pub(crate) fn touch(&self, uids: &UidSet) -> Result<Arc<View>> {
        let mut work = self.work();
        let work = &mut *work;
        let mut transaction = Transaction::new();
        transaction.touch(uids);
        work.index.commit(&transaction, Origin::External)?;
        self.publish(&work.index);
        Ok(self.view())
    }

    /// Removes those in `uids` that exist.
    pub(crate) fn expunge(&self, uids: &UidSet) -> Result<Arc<View>> {
        self.change(true, |index| {
            let expunges = index.view().records_in(uids).map(|(_, record)| record.uid).collect();
            Changes { deltas: Vec::new(), expunges }
        })
    }

    /// See [`Mailbox::move_to_alt`](crate::Mailbox::move_to_alt).
    pub(crate) fn move_to_alt(&self, uids: &UidSet, to_alt: bool) -> Result<()> {
        let mut work = self.work();
        let work = &mut *work;
        let mut index = work.index.lock()?;
        let moved = self.driver.move_to_alt(&mut index, &mut work.driver, uids, to_alt);
        self.end_save(index)?;
        self.publish(&work.index);
        moved
    }

    /// A change of ours, made in the store and the index in one go.
    fn change(&self, expunges: bool, make: impl Fn(&Index) -> Changes) -> Result<Arc<View>> {
        let mut work = self.work();
        let work = &mut *work;
        work.index.refresh()?;
        let stale = self.driver.is_stale(&work.index, &mut work.driver, SyncMode::Quick, false)?;
        let mut guarded = self.driver.guards_changes(expunges || work.index.has_pending());
        let (guard, done) = loop {
            let guard = self.guard_if(stale || guarded)?;
            let mut index = work.index.lock()?;
            if !guarded && self.must_guard(&index) {
                guarded = true;
                continue;
            }
            let driver = &mut work.driver;
            let settled = self.settle(&mut index, driver, guard.as_ref(), SyncMode::Quick, stale, false);
            let done = settled.and_then(|()| {
                let made = self.apply_all(&mut index, driver, guard.as_ref(), &make);
                index.synced()?;
                made
            });
            break (guard, done);
        };
        self.driver.unlocked(&work.index, &mut work.driver, guard);
        self.publish(&work.index);
        done.map(|()| self.view())
    }

    /// GUIDs of messages that are to go, as far as they are at hand: the log keeps them for replicas.
    fn guids_of(&self, index: &Index, uids: &UidSet) -> HashMap<Uid, Guid> {
        uids.iter().filter_map(|uid| Some((uid, self.driver.guid_at_hand(index.view(), uid)?))).collect()
    }

    fn apply_all(
        &self,
        index: &mut Locked<'_>,
        work: &mut D::Work,
        guard: Option<&D::Guard<'_>>,
        make: impl Fn(&Index) -> Changes,
    ) -> Result<()> {
        let changes = make(index);
        let lost = self.apply(index, work, guard, &changes)?;
        if !lost.is_empty() {
            // Somebody else renamed or removed them: look again, once.
            let none = UidSet::new();
            let sync = Resync { mode: SyncMode::Full, claim: false, unsettled: &none };
            self.driver.sync(index, work, guard, &sync)?;
            let rest = make(index).only(&lost);
            self.apply(index, work, guard, &rest)?;
        }
        Ok(())
    }

    /// Keeps the mailbox's size, if all that was to be expunged is.
    fn note_size(&self, size: Option<VirtualSize>, done: &Done, tx: &mut Transaction) {
        if let Some(size) = size.filter(|_| done.lost.is_empty() && done.refused.is_empty()) {
            size::write(tx, size);
        }
    }

    fn apply(
        &self,
        index: &mut Locked<'_>,
        work: &mut D::Work,
        guard: Option<&D::Guard<'_>>,
        changes: &Changes,
    ) -> Result<UidSet> {
        let mut updates = FlagUpdates::default();
        updates.deltas(index.view(), &changes.deltas);
        let differing = updates.uids();
        let deltas: Vec<Delta> = changes.deltas.iter().map(|delta| delta.only(&differing)).collect();
        let mut lost = UidSet::new();
        let mut tx = Transaction::new();
        if !differing.is_empty() {
            let done = self.driver.store_flags(index, work, guard, &deltas)?;
            let mut kept = FlagUpdates::default();
            let found: Vec<Delta> = deltas.iter().map(|delta| delta.without(&done.lost)).collect();
            kept.deltas(index.view(), &found);
            kept.write(&mut tx);
            tx.update_bits(&done.refused, Record::DIRTY, 0);
            lost = done.lost;
        }
        if !changes.expunges.is_empty() {
            self.cached.note_expunged(index.view(), &changes.expunges);
            let size = self.size_without(index, &changes.expunges);
            let guids = self.guids_of(index, &changes.expunges);
            let done: Done = self.driver.expunge(index, work, guard, &changes.expunges)?;
            self.note_size(size, &done, &mut tx);
            let gone = changes.expunges.iter();
            gone.filter(|uid| !done.lost.contains(*uid) && !done.refused.contains(*uid))
                .for_each(|uid| tx.expunge(uid, guids.get(&uid).copied().unwrap_or_default()));
            done.lost.iter().for_each(|uid| lost.insert(uid));
        }
        if !tx.is_empty() {
            self.driver.note_change(index, work, &mut tx);
            index.commit(&tx, Origin::External)?;
        }
        Ok(lost)
    }
}

/// Flags and expunges to be made in the mail store.
#[derive(Clone, Debug, Default)]
struct Changes {
    deltas: Vec<Delta>,
    expunges: UidSet,
}

impl Changes {
    /// What stands in the log. Of what is not there any more nothing is left to do.
    fn of(pending: Vec<Pending>, view: &View) -> Self {
        let mut changes = Self::default();
        for one in pending {
            match one {
                Pending::KeywordReset { uids } => {
                    let remove_keywords = view.keywords().iter().map(|name| name.to_string()).collect();
                    changes.deltas.push(Delta { uids, remove_keywords, ..Delta::default() });
                }
                Pending::Expunge { uid, .. } => {
                    if view.record(uid).is_some() {
                        changes.expunges.insert(uid);
                    }
                }
                Pending::Flags { uids, add, remove } => {
                    changes.deltas.push(Delta { uids, add, remove, ..Delta::default() });
                }
                Pending::Keyword { name, uids, add } => {
                    let mut delta = Delta { uids, ..Delta::default() };
                    let names = if add { &mut delta.add_keywords } else { &mut delta.remove_keywords };
                    names.push(name.to_string());
                    changes.deltas.push(delta);
                }
            }
        }
        changes
    }

    fn is_empty(&self) -> bool {
        self.deltas.is_empty() && self.expunges.is_empty()
    }

    fn only(&self, uids: &UidSet) -> Self {
        let deltas = self.deltas.iter().map(|delta| delta.only(uids)).collect();
        Self { deltas, expunges: self.expunges.iter().filter(|uid| uids.contains(*uid)).collect() }
    }
}

/// A panic in one session must not end the others: what a lock protects is changed in one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Device and inode of the mailbox, its path, and its index's directory.
type Key = (u64, u64, PathBuf, Option<PathBuf>);
type Registry = Mutex<HashMap<Key, Weak<dyn Any + Send + Sync>>>;

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::default)
}
