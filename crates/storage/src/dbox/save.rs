//! What saving to sdbox and to mdbox has in common.

use std::io::Read;
use std::path::Path;

use base::Uid;
use index::{Index, Transaction};

use crate::api::{Mailbox, SaveBatch, SaveMeta};
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::limits::READ_BYTES;

use super::mailbox;
use super::records::{HAVE_POP3_ORDERS, HAVE_POP3_UIDLS};

/// Gives a copy what is known of the original, where nothing else is wanted.
pub(crate) fn inherit(meta: &mut SaveMeta, facts: &Facts) {
    meta.guid = meta.guid.take().or_else(|| facts.guid.as_deref().map(str::to_owned));
    meta.pop3_uidl = meta.pop3_uidl.take().or_else(|| facts.pop3_uidl.as_deref().map(str::to_owned));
    meta.pop3_order = meta.pop3_order.or(facts.pop3_order);
    meta.internal_date = meta.internal_date.or(facts.internal_date);
}

/// Saves a copy of a message byte by byte. `path` is the destination's, for errors.
pub(crate) fn copy_bytes(
    batch: &mut dyn SaveBatch,
    source: &mut dyn Mailbox,
    uid: Uid,
    mut meta: SaveMeta,
    path: &Path,
) -> Result<()> {
    let mut reader = source.open_message(uid)?;
    meta.size_hint = Some(reader.size());
    batch.begin(meta)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = reader.read(&mut buffer);
        let count = read.map_err(|error| Error::io("read", path, error))?;
        if count == 0 {
            return batch.end();
        }
        batch.write(buffer.get(..count).unwrap_or_default())?;
    }
}

/// The UIDs that messages get, the first of them at least `next`.
pub(crate) fn assign<'a>(next: u32, metas: impl Iterator<Item = &'a SaveMeta>) -> Result<Vec<Uid>> {
    let mut next = next.max(1);
    let one = |meta: &SaveMeta| {
        next = meta.uid.map_or(next, |wanted| wanted.get().max(next));
        let uid = Uid::new(next).filter(|uid| uid.get() < u32::MAX);
        let uid = uid.ok_or_else(|| Error::Unsupported("UIDs exhausted".to_owned()))?;
        next += 1;
        Ok(uid)
    };
    metas.map(one).collect()
}

/// What the mailbox's header must say of saved UIDLs.
#[derive(Default)]
pub(crate) struct Pop3 {
    /// Of `MailboxHeader`.
    pub flags: u8,
    highest: Option<Uid>,
}

impl Pop3 {
    /// Of all messages of a batch.
    pub(crate) fn of<'a>(messages: impl Iterator<Item = (&'a SaveMeta, Uid)>) -> Self {
        let mut all = Self::default();
        for (meta, uid) in messages {
            let uidl = meta.pop3_uidl.as_ref().map_or(0, |_| HAVE_POP3_UIDLS);
            let flags = uidl | meta.pop3_order.map_or(0, |_| HAVE_POP3_ORDERS);
            if flags != 0 {
                all.flags |= flags;
                all.highest = Some(uid);
            }
        }
        all
    }

    /// Notes the highest UID where that is noted.
    pub(crate) fn write(&self, index: &Index, tx: &mut Transaction) {
        if let Some(uid) = self.highest.filter(|_| mailbox::pop3_uidl(index).is_some()) {
            mailbox::write_pop3_uidl(tx, uid.get());
        }
    }
}
