//! A session's handle on a Maildir.

use std::sync::Arc;

use base::{Guid, ModSeq, Uid, UidSet};

use crate::api::{
    FlagChange, Mailbox, MailboxUpdate, MessageFile, MessageReader, OpenMode, SaveBatch, Status, StatusItems,
    SyncMode,
};
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::notify::{Callback, Subscription};
use crate::view::{Flags, View};

use super::save::Batch;
use super::shared::Shared;

/// See [`Mailbox`].
pub(crate) struct MaildirMailbox {
    name: String,
    shared: Arc<Shared>,
    mode: OpenMode,
    readonly: bool,
    view: Arc<View>,
    recent: UidSet,
}

impl MaildirMailbox {
    pub(super) fn new(name: &str, shared: Arc<Shared>, mode: OpenMode) -> Self {
        // 2.3 shows a mailbox whose cur/ cannot be written as read-only.
        let cur = shared.dir.join("cur");
        let writable =
            rustix::fs::access(&cur, rustix::fs::Access::WRITE_OK) != Err(rustix::io::Errno::ACCESS);
        let readonly = mode == OpenMode::ReadOnly || !writable;
        let view = shared.view();
        Self { name: name.to_owned(), shared, mode, readonly, view, recent: UidSet::new() }
    }

    fn check_writable(&self) -> Result<()> {
        match self.readonly {
            true => Err(Error::NoPermission(format!("Mailbox {} is read-only", self.name))),
            false => Ok(()),
        }
    }

    fn take(&mut self, view: Arc<View>) -> Arc<View> {
        self.view = view.clone();
        view
    }
}

impl Mailbox for MaildirMailbox {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_readonly(&self) -> bool {
        self.readonly
    }

    fn guid(&mut self) -> Result<Guid> {
        if let Some(guid) = self.shared.work().header.guid {
            return Ok(guid);
        }
        self.shared.sync(SyncMode::Full, false)?;
        let guid = self.shared.work().header.guid;
        guid.ok_or_else(|| Error::NoPermission(format!("{} has no GUID and cannot get one", self.name)))
    }

    fn view(&self) -> Arc<View> {
        self.view.clone()
    }

    fn sync(&mut self, mode: SyncMode) -> Result<Arc<View>> {
        let claims = self.mode == OpenMode::ReadWrite && !self.readonly;
        let claimed = self.shared.sync(mode, claims)?;
        claimed.iter().for_each(|uid| self.recent.insert(uid));
        let state = self.shared.state();
        let view = state.view.clone();
        if !claims {
            let waiting = state.entries.iter().filter(|entry| entry.in_new).map(|entry| entry.uid);
            self.recent = waiting
                .chain(state.unclaimed.iter())
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect();
        }
        drop(state);
        if !self.recent.is_empty() {
            self.recent = view.records_in(&self.recent).map(|(_, record)| record.uid).collect();
        }
        Ok(self.take(view))
    }

    fn recent(&self) -> &UidSet {
        &self.recent
    }

    fn allows_new_keywords(&self) -> bool {
        !self.readonly && self.shared.work().letters.has_room()
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
        Ok(Box::new(Batch::new(self.shared.clone())))
    }

    fn open_message(&mut self, uid: Uid) -> Result<Box<dyn MessageReader>> {
        self.shared.open_message(uid)
    }

    fn fetch_facts(&mut self, uid: Uid, wanted: Wanted) -> Result<Facts> {
        self.shared.fetch_facts(uid, wanted)
    }

    fn status(&mut self, items: StatusItems) -> Result<Status> {
        self.shared.sync(SyncMode::Quick, false)?;
        let (view, recent) = {
            let state = self.shared.state();
            let waiting = state.entries.iter().filter(|entry| entry.in_new).count();
            (state.view.clone(), waiting as u32 + state.unclaimed.len() as u32)
        };
        let mut size = None;
        if items.has(StatusItems::SIZE) {
            let mut total = 0u64;
            for uid in view.records().map(|record| record.uid) {
                match self.shared.fetch_facts(uid, Wanted::SIZE_VIRTUAL) {
                    Ok(facts) => total = total.saturating_add(facts.size_virtual.unwrap_or(0)),
                    Err(Error::Expunged(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            size = Some(total);
        }
        Ok(Status {
            messages: view.len(),
            recent,
            unseen: view.count(Flags::NONE, Flags::SEEN),
            deleted: view.count(Flags::DELETED, Flags::NONE),
            uid_next: view.uid_next(),
            uid_validity: view.uid_validity(),
            highest_modseq: view.highest_modseq().max(ModSeq(1)),
            size,
            guid: if items.has(StatusItems::GUID) { Some(self.guid()?) } else { None },
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
        self.shared.update(update)?;
        self.view = self.shared.view();
        Ok(())
    }

    fn message_file(&mut self, uid: Uid) -> Option<MessageFile> {
        self.shared.message_file(uid)
    }
}
