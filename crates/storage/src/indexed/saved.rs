//! What clients want to know of a mailbox's messages goes into the cache when messages are saved, as in 2.3: who
//! asks for it later does not have to open them. A copy of the same bytes takes along what the original's cache
//! has; all others are read once more, while they are in the page cache.

use std::sync::Arc;
use std::time::SystemTime;

use base::Uid;
use index::cache::{FieldId, value};

use crate::api::{CachedField, CopyBytes, Mailbox, SaveBatch, SaveMeta, Saved};
use crate::error::{Error, Result};
use crate::limits::CACHED_WHEN_SAVED_BYTES_MAX;

use super::cached::Asked;
use super::{Driver, Shared};

/// A driver's batch, with an eye to what is known of its messages.
pub(super) struct Caching<D: Driver> {
    batch: Box<dyn SaveBatch>,
    shared: Arc<Shared<D>>,
    /// What decisions want; `None` until the first copy asks.
    wanted: Option<Wanted>,
    messages: Vec<Message>,
}

/// Fields by the numbers of this mailbox, and by name.
struct Wanted {
    ids: Vec<FieldId>,
    fields: Vec<CachedField>,
}

/// What there is to put into the cache.
enum Message {
    /// What reading it tells.
    Written,
    /// What the original's cache had.
    Copy(Vec<(FieldId, Vec<u8>)>),
}

impl<D: Driver> Caching<D> {
    pub(super) fn new(shared: &Arc<Shared<D>>) -> Self {
        let batch = D::begin_save(shared);
        Self { batch, shared: shared.clone(), wanted: None, messages: Vec::new() }
    }

    /// What can be taken along to a copy that is saved with `meta`.
    fn known(&mut self, source: &mut dyn Mailbox, uid: Uid, meta: &Changed) -> Vec<(FieldId, Vec<u8>)> {
        let shared = &self.shared;
        let wanted = self.wanted.get_or_insert_with(|| shared.wanted_of_copies());
        if wanted.ids.is_empty() {
            return Vec::new();
        }
        let mut values = source.cached_values(uid, &wanted.fields);
        for (id, value) in wanted.ids.iter().zip(&mut values) {
            match *id {
                FieldId::DATE_SAVE => *value = Some(now().to_vec()),
                FieldId::GUID if meta.guid => *value = None,
                FieldId::POP3_UIDL if meta.pop3_uidl => *value = None,
                FieldId::POP3_ORDER if meta.pop3_order => *value = None,
                _ => {}
            }
        }
        let pairs = wanted.ids.iter().zip(values);
        pairs.filter_map(|(id, value)| Some((*id, value?))).collect()
    }
}

/// What a copy has of its own.
struct Changed {
    guid: bool,
    pop3_uidl: bool,
    pop3_order: bool,
}

impl<D: Driver> SaveBatch for Caching<D> {
    fn begin(&mut self, meta: SaveMeta) -> Result<()> {
        self.batch.begin(meta)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.batch.write(bytes)
    }

    fn end(&mut self) -> Result<()> {
        self.batch.end()?;
        self.messages.push(Message::Written);
        Ok(())
    }

    fn copy(&mut self, source: &mut dyn Mailbox, uid: Uid, meta: SaveMeta) -> Result<CopyBytes> {
        let changed = Changed {
            guid: meta.guid.is_some(),
            pop3_uidl: meta.pop3_uidl.is_some(),
            pop3_order: meta.pop3_order.is_some(),
        };
        let bytes = self.batch.copy(source, uid, meta)?;
        let message = match bytes {
            CopyBytes::Shared => Message::Copy(self.known(source, uid, &changed)),
            CopyBytes::Written => Message::Written,
        };
        self.messages.push(message);
        Ok(bytes)
    }

    fn commit(self: Box<Self>) -> Result<Saved> {
        let saved = self.batch.commit()?;
        if saved.uids.len() == self.messages.len() {
            self.shared.cache_saved(saved.uids.iter().copied().zip(self.messages));
        }
        Ok(saved)
    }
}

impl<D: Driver> Shared<D> {
    fn wanted_of_copies(&self) -> Wanted {
        let is_worth_it = self.cached.wants_more_than_flags(&self.view());
        let fields = if is_worth_it { self.cached.wanted_fields() } else { Vec::new() };
        let (ids, fields) = fields.into_iter().unzip();
        Wanted { ids, fields }
    }

    /// Puts what decisions want of new messages into the cache. Nothing is lost but time if that fails.
    fn cache_saved(&self, messages: impl Iterator<Item = (Uid, Message)>) {
        let view = self.view();
        if !self.cached.wants_more_than_flags(&view) {
            return;
        }
        for (uid, message) in messages {
            let done = match message {
                Message::Written => {
                    let asked = self.cached.wanted_of(&view, uid).without_lone_flags();
                    self.put_into_cache(&view, uid, asked, CACHED_WHEN_SAVED_BYTES_MAX)
                }
                Message::Copy(values) => match self.cached.add(uid, Asked::of_values(values)) {
                    true => self.flush_cache(),
                    false => Ok(()),
                },
            };
            match done {
                Ok(()) | Err(Error::Expunged(_)) => {}
                Err(error) => {
                    self.driver.context().logger.error(base::chain(&error));
                    return;
                }
            }
        }
    }
}

/// The time, as the cache keeps dates.
fn now() -> [u8; 4] {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    value::encode_u32(u32::try_from(since.as_secs()).unwrap_or(u32::MAX))
}
