//! Makes one mailbox the same as another.

use std::io::Read;
use std::sync::Arc;

use base::{Uid, UidSet};
use mail_user::MailUser;
use storage::api::SaveMeta;
use storage::{
    Error, FlagChange, FlagMode, Mailbox, MailboxState, MailboxUpdate, OpenMode, Result, SaveBatch, SyncMode,
    View, Wanted,
};

use crate::limits::COPY_BYTES;

/// Messages that are saved together.
const BATCH: usize = 1000;

pub(super) fn mirror(from: &MailUser, source: &str, to: &MailUser, target: &str) -> Result<()> {
    let mut source = Open::new(from, source)?;
    if to.mailbox_state(target)? == MailboxState::Missing {
        to.create(target)?;
    }
    let mut copy = Open::new(to, target)?;
    if conflict(&mut source, &mut copy)? {
        if target == "INBOX" {
            let why = "INBOX has other messages under the same UIDs and can't be made anew";
            return Err(Error::InUse(why.to_owned()));
        }
        drop(copy);
        to.delete(target)?;
        to.create(target)?;
        copy = Open::new(to, target)?;
    }
    identify(&mut source, &mut copy)?;
    let surplus: UidSet = copy.uids().filter(|uid| source.view.record(*uid).is_none()).collect();
    if !surplus.is_empty() {
        copy.view = copy.mailbox.expunge(&surplus)?;
    }
    flags(&source, &mut copy)?;
    save(&mut source, &mut copy)?;
    let update = MailboxUpdate { min_next_uid: Some(source.view.uid_next()), ..MailboxUpdate::default() };
    copy.mailbox.update(&update)
}

struct Open {
    mailbox: Box<dyn Mailbox>,
    view: Arc<View>,
}

impl Open {
    fn new(user: &MailUser, name: &str) -> Result<Self> {
        let mut mailbox = user.open_mailbox(name, OpenMode::Append)?;
        let view = mailbox.sync(SyncMode::Full)?;
        Ok(Self { mailbox, view })
    }

    fn uids(&self) -> impl Iterator<Item = Uid> + '_ {
        self.view.records().map(|record| record.uid)
    }

    fn guid_of(&mut self, uid: Uid) -> Result<Option<Arc<str>>> {
        Ok(self.mailbox.fetch_facts(uid, Wanted::GUID)?.guid)
    }
}

/// Whether the copy has a UID for another message, or has given away a UID that is needed.
fn conflict(source: &mut Open, copy: &mut Open) -> Result<bool> {
    if copy.view.is_empty() && copy.view.uid_next() == Uid::ONE {
        return Ok(false);
    }
    if source.view.uid_validity() != copy.view.uid_validity() {
        return Ok(true);
    }
    for uid in source.uids().collect::<Vec<_>>() {
        let same = match copy.view.record(uid) {
            Some(_) => source.guid_of(uid)? == copy.guid_of(uid)?,
            None => uid >= copy.view.uid_next(),
        };
        if !same {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives the copy the source's GUID and UIDVALIDITY.
fn identify(source: &mut Open, copy: &mut Open) -> Result<()> {
    let guid = source.mailbox.guid()?;
    let validity = source.view.uid_validity();
    if copy.mailbox.guid()? == guid && copy.view.uid_validity() == validity {
        return Ok(());
    }
    let update = MailboxUpdate { guid: Some(guid), uid_validity: Some(validity), ..MailboxUpdate::default() };
    copy.mailbox.update(&update)?;
    copy.view = copy.mailbox.sync(SyncMode::Full)?;
    Ok(())
}

/// Sets the flags of messages that both have.
fn flags(source: &Open, copy: &mut Open) -> Result<()> {
    for record in source.view.records() {
        let Some(other) = copy.view.record(record.uid) else { continue };
        let wanted = names(&source.view, &record.keywords);
        if other.flags == record.flags && names(&copy.view, &other.keywords) == wanted {
            continue;
        }
        let change = FlagChange { mode: FlagMode::Replace, flags: record.flags, keywords: wanted };
        copy.view = copy.mailbox.store_flags(&[record.uid].into_iter().collect(), &change)?;
    }
    Ok(())
}

fn names(view: &View, keywords: &storage::KeywordSet) -> Vec<String> {
    let mut names: Vec<String> = view.keyword_names(keywords).map(str::to_owned).collect();
    names.sort();
    names
}

/// Saves what the copy lacks, with the same UIDs.
fn save(source: &mut Open, copy: &mut Open) -> Result<()> {
    let missing: Vec<Uid> = source.uids().filter(|uid| copy.view.record(*uid).is_none()).collect();
    for chunk in missing.chunks(BATCH) {
        let mut batch = copy.mailbox.begin_save()?;
        let mut wanted = Vec::with_capacity(chunk.len());
        for &uid in chunk {
            match save_one(source, uid, &mut *batch) {
                Ok(()) => wanted.push(uid),
                // It has gone meanwhile.
                Err(Error::Expunged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if !wanted.is_empty() && batch.commit()?.uids != wanted {
            return Err(Error::InUse("Somebody else saves messages there: run it again".to_owned()));
        }
    }
    Ok(())
}

/// The bytes are written anew: a backup that shares files with what it backs up is none.
fn save_one(source: &mut Open, uid: Uid, batch: &mut dyn SaveBatch) -> Result<()> {
    let wanted = Wanted::INTERNAL_DATE | Wanted::GUID | Wanted::POP3_UIDL | Wanted::POP3_ORDER;
    let mut reader = source.mailbox.open_message(uid)?;
    let facts = source.mailbox.fetch_facts(uid, wanted)?;
    let record = source.view.record(uid).ok_or(Error::Expunged(uid))?;
    batch.begin(SaveMeta {
        flags: record.flags,
        keywords: names(&source.view, &record.keywords),
        internal_date: facts.internal_date,
        guid: facts.guid.map(|guid| guid.to_string()),
        pop3_uidl: facts.pop3_uidl.map(|uidl| uidl.to_string()),
        pop3_order: facts.pop3_order,
        modseq: Some(source.view.modseq(record)),
        uid: Some(uid),
        size_hint: Some(reader.size()),
    })?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return batch.end(),
            Ok(count) => batch.write(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", format!("UID {uid}"), error)),
        }
    }
}
