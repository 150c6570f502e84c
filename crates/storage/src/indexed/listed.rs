//! Tells the list index how the mailbox is, so that the next STATUS need not open it.

use base::Guid;
use index::Index;
use index::list_index::{Extension, Messages, VirtualSize};

use crate::error::Result;
use crate::list_index::{Known, Source, stamp_of};

use super::shared::Work;
use super::{Driver, Shared, size};

/// When the list is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tell {
    /// If the mailbox has changed since it was told last.
    News,
    /// Even if not: the list did not know, whatever it was told.
    Always,
    /// The mailbox has another identity now.
    Identity,
}

/// What the list was told last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    log: (u32, u64),
    store: Option<(Extension, Vec<u8>)>,
}

impl<D: Driver> Shared<D> {
    /// Tells the list what is new.
    pub(crate) fn tell_list(&self, tell: Tell) {
        let Some((list, name)) = &self.driver.context().list else { return };
        let mut work = self.work();
        let work = &mut *work;
        if work.index.is_in_memory() || work.index.is_deleted() || work.index.is_new() {
            return;
        }
        let now = Told { log: work.index.log_position(), store: self.driver.store_record(&mut work.driver) };
        if work.told.as_ref() == Some(&now) && tell == Tell::News {
            return;
        }
        list.update(name, &mut Look { shared: self, work }, tell == Tell::Identity);
        work.told =
            Some(Told { log: work.index.log_position(), store: self.driver.store_record(&mut work.driver) });
        self.publish(&work.index);
    }
}

struct Look<'a, D: Driver> {
    shared: &'a Shared<D>,
    work: &'a mut Work<D::Work>,
}

impl<D: Driver> Source for Look<'_, D> {
    fn known(&mut self, refresh: bool) -> Result<Known> {
        let driver = &self.shared.driver;
        let mut log = None;
        // A stamp is worth nothing if others have written since the index was read.
        for _ in 0..ATTEMPTS {
            if refresh {
                self.work.index.refresh()?;
            }
            let context = driver.context();
            let path = context.index_dir.as_ref().map(|dir| dir.join("dovecot.index.log"));
            let stamp = path.and_then(|path| context.fs.stamp(&path).ok().flatten());
            log = stamp.filter(|stamp| stamp.size == self.work.index.log_position().1);
            if log.is_some() || !refresh {
                break;
            }
        }
        let (index, view) = (&self.work.index, self.work.index.view());
        let waiting = self.shared.waiting(view, index.header().first_recent_uid).len();
        Ok(Known {
            messages: Messages {
                messages: view.len(),
                unseen: view.len().saturating_sub(index.header().seen_count),
                recent: u32::try_from(waiting).unwrap_or(u32::MAX),
                next_uid: view.uid_next().get(),
            },
            uid_validity: index.header().uid_validity,
            guid: driver.guid_known(index),
            highest_modseq: view.highest_modseq().0.max(1),
            size: size_header(index),
            log: log.map(|stamp| stamp_of(&stamp)),
            store: driver.store_record(&mut self.work.driver),
        })
    }

    fn guid(&mut self) -> Result<Guid> {
        self.shared.guid_of(self.work)
    }
}

fn size_header(index: &Index) -> Option<VirtualSize> {
    index.ext_header(size::EXT).and_then(VirtualSize::decode)
}

/// How often a mailbox is read that others keep changing.
const ATTEMPTS: usize = 3;
