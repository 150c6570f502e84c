//! The size of a mailbox, which the index keeps in its header `hdr-vsize` (`docs/formats/index.md`): the
//! sum up to a UID, and how many messages are in it. New messages are added when somebody asks, expunged
//! ones are taken off as they go; where the number of messages shows that some went otherwise, all are
//! added up anew, as in 2.3.

use base::{Uid, UidSet};
use index::list_index::VirtualSize;
use index::{ExtSpec, Index, Origin, Transaction};

use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::fs::Permissions;
use crate::lock_file::LockFile;
use crate::view::View;

use super::shared::lock;
use super::{Driver, Shared};

/// The extension's name.
pub(super) const EXT: &str = "hdr-vsize";

impl<D: Driver> Shared<D> {
    /// The virtual sizes of all messages together, in bytes. With `slow_max`, which is
    /// `mail_vsize_bg_after_count`, no more messages are looked at; what was added up so far is kept, and
    /// the error is `InUse`, in 2.3's words.
    pub(crate) fn size(&self, view: &View, slow_max: u32) -> Result<u64> {
        let known = || header(&self.work().index);
        let last = view.uid_next().get() - 1;
        let mut found = known();
        // Whoever waits for another to add up the same messages finds the sum.
        let mut may_keep = self.driver.context().size_lock.is_none();
        let mut turn = None;
        if found.is_none_or(|sum| sum.highest_uid != last || !is_valid(&sum, view)) {
            turn = Some(lock(&self.adding_up));
            may_keep |= self.await_size();
            self.work().index.refresh()?;
            found = known();
        }
        let known = found;
        let mut sum = known.filter(|sum| is_valid(sum, view)).unwrap_or_default();
        if known == Some(sum) && sum.highest_uid == last {
            return Ok(sum.size);
        }
        let mut left = if slow_max == 0 { u32::MAX } else { slow_max };
        if let (Some(from), Some(to)) = (Uid::new(sum.highest_uid + 1), Uid::new(last)) {
            for (_, record) in view.records_in(&UidSet::from_range(from, to)) {
                let wanted = if left == 0 { Wanted::AT_HAND } else { Wanted::NONE } | Wanted::SIZE_VIRTUAL;
                match self.fetch(view, record.uid, wanted, &[]) {
                    Ok(facts) => {
                        sum.size = sum.size.saturating_add(facts.size_virtual.unwrap_or(0));
                        left -= u32::from(facts.was_slow);
                    }
                    Err(Error::Expunged(_)) => continue,
                    Err(Error::TooSlow(_)) => {
                        self.keep_size(view, sum)?;
                        return Err(Error::InUse("Finishing vsize calculation on background".to_owned()));
                    }
                    Err(error) => return Err(error),
                }
                (sum.messages, sum.highest_uid) = (sum.messages + 1, record.uid.get());
            }
        }
        sum.highest_uid = last;
        if may_keep {
            self.keep_size(view, sum)?;
        }
        drop(turn);
        Ok(sum.size)
    }

    /// Waits for other processes that are adding up; `false` if they go on for long, or nobody may tell.
    ///
    /// The lock is not kept: Dovecot waits for it with the mail store locked, which reading messages may
    /// have to wait for in turn. A sum is written in one piece, and right by itself, whoever is faster.
    fn await_size(&self) -> bool {
        let context = self.driver.context();
        let (Some(place), Some(dir)) = (&context.size_lock, context.index_dir.as_deref()) else {
            return false;
        };
        let permissions = Permissions::of_dir(dir);
        LockFile::size(place, &permissions, &context.fs, &context.settings, &context.logger).is_some()
    }

    /// Writes the sum, unless the mailbox has changed since it was made.
    fn keep_size(&self, view: &View, sum: VirtualSize) -> Result<()> {
        let mut work = self.work();
        let work = &mut *work;
        let mut index = work.index.lock()?;
        let same = index.view().len() == view.len() && index.view().uid_next() == view.uid_next();
        if same && is_valid(&sum, view) && header(&index) != Some(sum) && !index.is_in_memory() {
            let mut tx = Transaction::new();
            write(&mut tx, sum);
            index.commit(&tx, Origin::External)?;
        }
        drop(index);
        self.publish(&work.index);
        Ok(())
    }

    /// What becomes of the sum when `uids` are expunged: `None` if it is not worth keeping, or not
    /// everything is known of them without opening them.
    pub(super) fn size_without(&self, index: &Index, uids: &UidSet) -> Option<VirtualSize> {
        let view = index.view();
        if uids.is_empty() {
            return None;
        }
        let mut sum = header(index).filter(|sum| sum.highest_uid != 0 && is_valid(sum, view))?;
        for (_, record) in view.records_in(uids).filter(|(_, record)| record.uid.get() <= sum.highest_uid) {
            let mut facts = Facts::default();
            let _ = self.cached.lookup(view, record.uid, Wanted::SIZE_VIRTUAL, &[], &mut facts);
            let size = facts.size_virtual.or_else(|| self.driver.size_virtual(view, record.uid));
            sum.size = sum.size.checked_sub(size?)?;
            sum.messages = sum.messages.checked_sub(1)?;
        }
        Some(sum)
    }
}

/// Adds the sum to what is written.
pub(super) fn write(tx: &mut Transaction, sum: VirtualSize) {
    tx.ext(&ExtSpec::new(EXT, VirtualSize::BYTES as u32, 0, 8), 0);
    tx.ext_header(EXT, 0, &sum.encode());
}

fn header(index: &Index) -> Option<VirtualSize> {
    index.ext_header(EXT).and_then(VirtualSize::decode)
}

/// Whether as many messages are there as were added up.
fn is_valid(sum: &VirtualSize, view: &View) -> bool {
    let Some(highest) = Uid::new(sum.highest_uid) else { return *sum == VirtualSize::default() };
    if sum.highest_uid >= view.uid_next().get() {
        return false;
    }
    let there = view.records_in(&UidSet::from_range(Uid::ONE, highest)).count();
    u32::try_from(there) == Ok(sum.messages)
}
