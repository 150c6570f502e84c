//! What clients want to know of a mailbox's messages goes into the cache when messages are saved, as in 2.3: who
//! asks for it later does not have to open them.

use std::sync::Arc;

use base::Uid;

use crate::api::{CopyBytes, Mailbox, SaveBatch, SaveMeta, Saved};
use crate::error::{Error, Result};
use crate::limits::CACHED_WHEN_SAVED_BYTES_MAX;

use super::{Driver, Shared};

/// A driver's batch, with an eye to how long its messages are.
pub(super) struct Caching<D: Driver> {
    batch: Box<dyn SaveBatch>,
    shared: Arc<Shared<D>>,
    /// Bytes of each message; `None` of copies, which would have to be read for it.
    sizes: Vec<Option<u64>>,
}

impl<D: Driver> Caching<D> {
    pub(super) fn new(shared: &Arc<Shared<D>>) -> Self {
        Self { batch: D::begin_save(shared), shared: shared.clone(), sizes: Vec::new() }
    }
}

impl<D: Driver> SaveBatch for Caching<D> {
    fn begin(&mut self, meta: SaveMeta) -> Result<()> {
        self.batch.begin(meta)?;
        self.sizes.push(Some(0));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(Some(size)) = self.sizes.last_mut() {
            *size += bytes.len() as u64;
        }
        self.batch.write(bytes)
    }

    fn end(&mut self) -> Result<()> {
        self.batch.end()
    }

    fn copy(&mut self, source: &mut dyn Mailbox, uid: Uid, meta: SaveMeta) -> Result<CopyBytes> {
        let bytes = self.batch.copy(source, uid, meta)?;
        self.sizes.push(None);
        Ok(bytes)
    }

    fn commit(self: Box<Self>) -> Result<Saved> {
        let saved = self.batch.commit()?;
        if saved.uids.len() == self.sizes.len() {
            let small = |size: &Option<u64>| size.is_some_and(|size| size <= CACHED_WHEN_SAVED_BYTES_MAX);
            let uids = saved.uids.iter().zip(&self.sizes).filter(|(_, size)| small(size));
            self.shared.cache_saved(uids.map(|(uid, _)| *uid));
        }
        Ok(saved)
    }
}

impl<D: Driver> Shared<D> {
    /// Puts what decisions want of new messages into the cache. Nothing is lost but time if that fails.
    fn cache_saved(&self, uids: impl Iterator<Item = Uid>) {
        let view = self.view();
        if !self.cached.wants_more_than_flags(&view) {
            return;
        }
        for uid in uids {
            let asked = self.cached.wanted_of(&view, uid).without_lone_flags();
            match self.put_into_cache(&view, uid, asked) {
                Ok(()) | Err(Error::Expunged(_)) => {}
                Err(error) => {
                    self.driver.context().logger.error(base::chain(&error));
                    return;
                }
            }
        }
    }
}
