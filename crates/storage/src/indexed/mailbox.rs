//! A session's handle on an indexed mailbox.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use base::{Guid, ModSeq, Seq, Uid, UidSet};

use crate::api::{
    CacheField, CachedField, FlagChange, Mailbox, MailboxUpdate, MessageFile, MessageReader, OpenMode,
    SaveBatch, SortRanks, Status, StatusItems, SyncMode,
};
use crate::error::{Error, Result};
use crate::facts::{Facts, NumberFact, Wanted};
use crate::memo::Memo;
use crate::notify::{Callback, Subscription};
use crate::place::At;
use crate::view::{Flags, View};

use super::ahead::Ahead;
use super::listed::Tell;
use super::saved::Caching;
use super::{Driver, Shared};

/// See [`Mailbox`].
pub(crate) struct Handle<D: Driver> {
    name: String,
    /// Its directory is named by its GUID.
    keeps_guid: bool,
    shared: Arc<Shared<D>>,
    mode: OpenMode,
    readonly: bool,
    view: Arc<View>,
    recent: UidSet,
    ahead: Ahead,
}

impl<D: Driver> Handle<D> {
    /// A handle; `writable` says whether the mail store allows changes.
    pub(crate) fn new(at: &At, shared: Arc<Shared<D>>, mode: OpenMode, writable: bool) -> Self {
        let readonly = mode == OpenMode::ReadOnly || !writable;
        if let Some(by_guid) = at.by_guid.as_ref().filter(|_| !readonly)
            && let Err(error) = shared.note_name(&by_guid.box_name)
            && shared.is_news(&error)
        {
            // It is needed only when the list is lost.
            shared.driver.context().logger.error(base::chain(&error));
        }
        let view = shared.view();
        Self {
            name: at.name.clone(),
            keeps_guid: at.keeps_guid(),
            shared,
            mode,
            readonly,
            view,
            recent: UidSet::new(),
            ahead: Ahead::default(),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared<D>> {
        &self.shared
    }

    /// Changes flags, but not those of `kept`, whatever is wanted.
    pub(super) fn store_flags_but(
        &mut self,
        kept: Flags,
        uids: &UidSet,
        change: &FlagChange,
    ) -> Result<Arc<View>> {
        self.check_writable()?;
        let view = self.shared.store_flags_but(kept, uids, change)?;
        Ok(self.take(view))
    }

    /// Gives messages a new modification sequence, so that other sessions look at them.
    pub(super) fn touch(&mut self, uids: &UidSet) -> Result<Arc<View>> {
        let view = self.shared.touch(uids)?;
        Ok(self.take(view))
    }

    fn check_writable(&self) -> Result<()> {
        match self.readonly {
            true => Err(Error::NoPermission(format!("Mailbox {} is read-only", self.name))),
            false => Ok(()),
        }
    }

    fn take(&mut self, view: Arc<View>) -> Arc<View> {
        self.view = view.clone();
        self.ahead.clear();
        view
    }

    /// The mailbox's size. Where that takes too long it is found out behind the client's back.
    fn size(&self, view: &Arc<View>) -> Result<u64> {
        let slow_max = self.shared.driver.context().settings.mail_vsize_bg_after_count;
        let size = self.shared.size(view, slow_max);
        if matches!(size, Err(Error::InUse(_))) && !self.shared.sizing.swap(true, Ordering::Relaxed) {
            let (shared, view) = (self.shared.clone(), view.clone());
            // Without a thread the next who asks goes on.
            let started = std::thread::Builder::new().name("size".to_owned()).spawn(move || {
                let _ = shared.size(&view, 0);
                shared.sizing.store(false, Ordering::Relaxed);
            });
            if started.is_err() {
                self.shared.sizing.store(false, Ordering::Relaxed);
            }
        }
        size
    }

    fn waiting(&self, view: &View) -> UidSet {
        self.shared.waiting(view, self.first_recent().get())
    }
}

impl<D: Driver> Mailbox for Handle<D> {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_readonly(&self) -> bool {
        self.readonly
    }

    fn is_in_place(&self) -> bool {
        self.shared.is_in_place()
    }

    fn note_renamed(&mut self, at: SystemTime) -> Result<()> {
        self.shared.note_renamed(at)
    }

    fn renamed_at(&self) -> Option<SystemTime> {
        self.shared.renamed_at()
    }

    fn guid(&mut self) -> Result<Guid> {
        self.shared.mailbox_guid()
    }

    fn view(&self) -> Arc<View> {
        self.view.clone()
    }

    fn sync(&mut self, mode: SyncMode) -> Result<Arc<View>> {
        self.shared.flush_cache()?;
        if !self.readonly {
            self.shared.flush_detected();
        }
        let claims = self.mode == OpenMode::ReadWrite && !self.readonly;
        let claimed = self.shared.sync(mode, claims)?;
        self.shared.tell_list(Tell::News);
        let view = self.shared.view();
        if claims {
            claimed.iter().for_each(|uid| self.recent.insert(uid));
        } else {
            self.recent = self.waiting(&view);
        }
        if !self.recent.is_empty() {
            self.recent = view.records_in(&self.recent).map(|(_, record)| record.uid).collect();
        }
        Ok(self.take(view))
    }

    fn recent(&self) -> &UidSet {
        &self.recent
    }

    fn first_recent(&self) -> Uid {
        Uid::new(self.shared.work().index.header().first_recent_uid).unwrap_or(Uid::ONE)
    }

    fn allows_new_keywords(&self) -> bool {
        !self.readonly
    }

    fn store_flags(&mut self, uids: &UidSet, change: &FlagChange) -> Result<Arc<View>> {
        self.check_writable()?;
        let view = self.shared.store_flags(uids, change)?;
        Ok(self.take(view))
    }

    fn expunge(&mut self, uids: &UidSet) -> Result<Arc<View>> {
        self.check_writable()?;
        let view = self.shared.expunge(uids)?;
        Ok(self.take(view))
    }

    fn begin_save(&mut self) -> Result<Box<dyn SaveBatch>> {
        self.check_writable()?;
        Ok(Box::new(Caching::new(&self.shared)))
    }

    fn open_message(&mut self, uid: Uid) -> Result<Box<dyn MessageReader>> {
        if !self.readonly {
            self.shared.detect(&self.view, uid)?;
        }
        Ok(self.shared.driver.open(&self.shared, &self.view, uid)?.reader)
    }

    fn fetch_facts(&mut self, uid: Uid, wanted: Wanted) -> Result<Facts> {
        self.shared.fetch_ahead(&mut self.ahead, &self.view, uid, wanted, &[])
    }

    fn fetch_fields(&mut self, uid: Uid, wanted: Wanted, names: &[&str]) -> Result<Facts> {
        self.shared.fetch_ahead(&mut self.ahead, &self.view, uid, wanted, names)
    }

    fn numbers_at_hand(&mut self, fact: NumberFact, uids: &[Uid]) -> Vec<Option<i64>> {
        self.shared.numbers_at_hand(&self.view, fact, uids)
    }

    fn will_fetch(&mut self, uids: &[Uid]) {
        self.ahead.will_fetch(uids);
    }

    fn sort_ranks(&mut self, name: &str) -> Option<SortRanks> {
        Some(self.shared.sort_ranks(name))
    }

    fn keep_sort_ranks(&mut self, name: &str, ranks: &SortRanks) {
        if let Err(error) = self.shared.keep_sort_ranks(name, ranks)
            && self.shared.is_news(&error)
        {
            self.shared.driver.context().logger.error(base::chain(&error));
        }
    }

    fn sort_ranks_broken(&mut self, name: &str, reason: &str) {
        let (mailbox, logger) = (&self.name, &self.shared.driver.context().logger);
        logger.error(format_args!("Mailbox {mailbox}: Broken {name} indexes, resetting: {reason}"));
    }

    fn memo(&self) -> Option<Arc<Memo>> {
        Some(self.shared.memo.clone())
    }

    fn status(&mut self, items: StatusItems) -> Result<Status> {
        self.shared.sync(SyncMode::Quick, false)?;
        let view = self.shared.view();
        let size = if items.has(StatusItems::SIZE) { Some(self.size(&view)?) } else { None };
        let guid = if items.has(StatusItems::GUID) { Some(self.guid()?) } else { None };
        self.shared.tell_list(Tell::Always);
        Ok(Status {
            messages: view.len(),
            recent: self.waiting(&view).len() as u32,
            unseen: view.count(Flags::NONE, Flags::SEEN),
            deleted: view.count(Flags::DELETED, Flags::NONE),
            uid_next: view.uid_next(),
            uid_validity: view.uid_validity(),
            highest_modseq: view.highest_modseq().max(ModSeq(1)),
            size,
            guid,
        })
    }

    fn subscribe(&mut self, callback: Callback) -> Result<Subscription> {
        Ok(self.shared.channel.subscribe(callback))
    }

    fn save_pop3_uidls(&mut self, uidls: &[(Uid, String)]) -> Result<()> {
        self.check_writable()?;
        self.shared.save_pop3_uidls(uidls)
    }

    fn update(&mut self, update: &MailboxUpdate) -> Result<()> {
        self.check_writable()?;
        if self.keeps_guid && update.guid.is_some_and(|guid| self.guid().ok() != Some(guid)) {
            return Err(Error::Unsupported("LAYOUT=index: The GUID is the mailbox's place".to_owned()));
        }
        self.shared.update(update)?;
        self.shared.tell_list(Tell::Identity);
        self.view = self.shared.view();
        Ok(())
    }

    fn rebuild(&mut self, _fsck: bool) -> Result<()> {
        // Each record is checked whenever the index is read.
        self.shared.rebuild()?;
        self.view = self.shared.view();
        Ok(())
    }

    fn first_uncached(&mut self) -> Result<Option<Seq>> {
        Ok(self.shared.first_uncached(&self.view))
    }

    fn precache(&mut self, uid: Uid) -> Result<()> {
        self.shared.precache(&self.view, uid)
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
        self.check_writable()?;
        self.shared.move_to_alt(uids, to_alt)
    }

    fn refcount(&mut self, uid: Uid) -> Result<Option<u32>> {
        self.shared.driver.refcount(&self.shared, &self.view, uid)
    }

    fn message_file(&mut self, uid: Uid) -> Option<MessageFile> {
        self.shared.driver.message_file(&self.shared, &self.view, uid)
    }

    fn cached_values(&mut self, uid: Uid, fields: &[CachedField]) -> Vec<Option<Vec<u8>>> {
        self.shared.cached.values(&self.shared.view(), uid, fields)
    }
}

impl<D: Driver> Drop for Handle<D> {
    fn drop(&mut self) {
        if !self.readonly {
            self.shared.flush_detected();
            self.shared.driver.closing(&self.shared);
        }
        // What was found out is of use to the next session; without it only time is lost.
        let _ = self.shared.flush_cache();
        self.shared.driver.flush_sizes();
        if self.shared.driver.is_damaged() {
            // As in 2.3 it is mended now: nobody else may have seen it. What fails is logged by then.
            let _ = self.shared.sync(SyncMode::Quick, false);
        } else {
            self.shared.end();
        }
        self.shared.tell_list(Tell::News);
    }
}
