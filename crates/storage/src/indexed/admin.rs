//! What administrators do to a mailbox: its identity, its index and its cache.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::{Seq, Uid, UidSet};
use index::{ExtSpec, Origin, Transaction};

use crate::api::{CacheField, MailboxUpdate, SyncMode};
use crate::error::Result;
use crate::facts::{Facts, Wanted};
use crate::view::View;

use super::cached::Asked;
use super::{Driver, Shared, content};

impl<D: Driver> Shared<D> {
    /// See [`Mailbox::update`](crate::Mailbox::update).
    pub(crate) fn update(&self, update: &MailboxUpdate) -> Result<()> {
        self.sync(SyncMode::Quick, false)?;
        let mut work = self.work();
        let work = &mut *work;
        let guard = self.driver.guard()?;
        let modseq = update.min_highest_modseq.filter(|modseq| *modseq > work.index.view().highest_modseq());
        let mut index = work.index.lock()?;
        let mut tx = Transaction::new();
        self.driver.update(&mut index, &mut work.driver, &guard, &mut tx, update)?;
        if let Some(next) = update.min_next_uid.filter(|next| next.get() > index.header().next_uid) {
            tx.set_next_uid(next);
        }
        let first_recent = index.header().first_recent_uid;
        if let Some(first) = update.min_first_recent_uid.filter(|first| first.get() > first_recent) {
            tx.set_first_recent_uid(first);
        }
        if let Some(modseq) = modseq {
            tx.update_highest_modseq(modseq);
        }
        let done = index.commit(&tx, Origin::External);
        drop(index);
        self.driver.unlocked(&work.index, &mut work.driver, Some(guard));
        self.publish(&work.index);
        Ok(done?)
    }

    /// Keeps the mailbox's name, its levels separated by NULs, for when the list is lost that knows it.
    pub(crate) fn note_name(&self, name: &[u8]) -> Result<()> {
        let mut work = self.work();
        let work = &mut *work;
        let old = work.index.ext_header(BOX_NAME).unwrap_or_default();
        // A header that has become shorter keeps its size.
        let end = old.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
        if old.get(..end) == Some(name) || work.index.is_new() || work.index.is_in_memory() {
            return Ok(());
        }
        let mut tx = Transaction::new();
        let size = u32::try_from(name.len()).unwrap_or(u32::MAX);
        tx.ext(&ExtSpec::new(BOX_NAME, size, 0, 0), 0);
        tx.ext_resize(BOX_NAME);
        tx.ext_header(BOX_NAME, 0, name);
        work.index.commit(&tx, Origin::Internal)?;
        self.publish(&work.index);
        Ok(())
    }

    /// See [`Mailbox::note_renamed`](crate::Mailbox::note_renamed).
    pub(crate) fn note_renamed(&self, at: SystemTime) -> Result<()> {
        let mut work = self.work();
        let work = &mut *work;
        if work.index.is_new() || work.index.is_in_memory() {
            return Ok(());
        }
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let secs = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        let mut tx = Transaction::new();
        tx.ext(&ExtSpec::new(LAST_RENAME, 4, 0, 0), 0);
        tx.ext_header(LAST_RENAME, 0, &secs.to_le_bytes());
        work.index.commit(&tx, Origin::Internal)?;
        self.publish(&work.index);
        Ok(())
    }

    /// See [`Mailbox::renamed_at`](crate::Mailbox::renamed_at).
    pub(crate) fn renamed_at(&self) -> Option<SystemTime> {
        let work = self.work();
        let secs = u32::from_le_bytes(work.index.ext_header(LAST_RENAME)?.try_into().ok()?);
        (secs != 0).then(|| UNIX_EPOCH + Duration::from_secs(secs.into()))
    }

    /// See [`Mailbox::rebuild`](crate::Mailbox::rebuild).
    pub(crate) fn rebuild(&self) -> Result<()> {
        self.sync(SyncMode::Rebuild, false)?;
        let mut work = self.work();
        let work = &mut *work;
        let mut index = work.index.lock()?;
        if !index.has_pending() {
            index.rewrite()?;
        }
        Ok(())
    }

    /// See [`Mailbox::first_uncached`](crate::Mailbox::first_uncached): what follows the last message of
    /// which anything is cached, as in 2.3.
    pub(crate) fn first_uncached(&self, view: &View) -> Option<Seq> {
        let cached = view.columns().named("cache").map_or(0, |column| {
            let all = view.records_with(column.id).zip(1u32..);
            all.filter(|((_, bytes), _)| bytes.iter().any(|&byte| byte != 0))
                .map(|(_, seq)| seq)
                .last()
                .unwrap_or(0)
        });
        (cached < view.len()).then(|| Seq::new(cached + 1)).flatten()
    }

    /// Puts what decisions want of a message into the cache.
    pub(crate) fn precache(&self, view: &View, uid: Uid) -> Result<()> {
        self.put_into_cache(view, uid, self.cached.wanted_of(view, uid), u64::MAX)
    }

    /// A message of more than `bytes_max` is not read for it.
    pub(super) fn put_into_cache(
        &self,
        view: &View,
        uid: Uid,
        mut asked: Asked,
        bytes_max: u64,
    ) -> Result<()> {
        let wanted = asked.wanted();
        if wanted == Wanted::NONE {
            return Ok(());
        }
        let mut facts = Facts::default();
        self.driver.facts(self, view, uid, wanted, &mut facts)?;
        let missing = content::missing(&facts, wanted);
        let mut parts = None;
        if missing != Wanted::NONE {
            let opened = self.driver.open(self, view, uid)?;
            if opened.reader.size() > bytes_max {
                return Ok(());
            }
            parts = content::read(opened, missing, &mut facts)?;
        }
        asked.keep(&facts, parts.as_ref());
        if self.cached.add(uid, asked) { self.flush_cache() } else { Ok(()) }
    }

    /// See [`Mailbox::cache_fields`](crate::Mailbox::cache_fields).
    pub(crate) fn cache_fields(&self) -> Result<Vec<CacheField>> {
        let work = self.work();
        self.cached.fields(&work.index)
    }

    /// See [`Mailbox::set_cache_fields`](crate::Mailbox::set_cache_fields).
    pub(crate) fn set_cache_fields(&self, fields: &[CacheField]) -> Result<()> {
        let mut work = self.work();
        self.cached.set_fields(&mut work.index, fields)
    }

    /// See [`Mailbox::cache_remove`](crate::Mailbox::cache_remove).
    pub(crate) fn cache_remove(&self, uids: &UidSet) -> Result<()> {
        let mut work = self.work();
        let work = &mut *work;
        let mut index = work.index.lock()?;
        let Some(reset_id) = index.ext_reset_id("cache") else { return Ok(()) };
        self.cached.note_expunged(index.view(), uids);
        self.memo.kept(index.view().uid_validity()).forget_numbers();
        let mut tx = Transaction::new();
        tx.ext(&index::ExtSpec::new("cache", 0, 4, 4), reset_id);
        for uid in index.view().records_in(uids).map(|(_, record)| record.uid) {
            tx.ext_record("cache", uid, &[0; 4]);
        }
        index.commit(&tx, Origin::External)?;
        drop(index);
        self.publish(&work.index);
        Ok(())
    }

    /// See [`Mailbox::cache_purge`](crate::Mailbox::cache_purge).
    pub(crate) fn cache_purge(&self) -> Result<()> {
        self.flush_cache()?;
        let mut work = self.work();
        self.cached.purge(&mut work.index)?;
        self.publish(&work.index);
        Ok(())
    }
}

/// 2.3's extension with the mailbox's name.
pub(crate) const BOX_NAME: &str = "box-name";
/// That in which the index keeps when the mailbox was last renamed, in seconds since 1970.
const LAST_RENAME: &str = "last-rename-stamp";
