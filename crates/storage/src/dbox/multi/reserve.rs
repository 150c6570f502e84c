//! UIDs of the map that are set aside for messages to come, and forced to disk with the message before them.
//!
//! A message that gets one of them changes a record of the map that is on disk already, and this change need
//! not be forced there. A power failure may lose it, but not the UID: nobody gives it to another message, and
//! whoever looks for the message sees that the map does not know where it is, and has the storage rebuilt.
//! That is why a UID which somebody else has set aside is never used: it may be such a message's.

use std::collections::VecDeque;

use base::{Guid, Uid};
use index::{Index, Locked, Transaction};

use crate::settings::FsyncMode;

use super::map;
use super::store::{Store, lock};

/// What a [`Store`] has set aside.
#[derive(Default)]
pub(super) struct Reserve {
    uids: VecDeque<Uid>,
    /// How many are set aside the next time. None at first: most deliveries save one message.
    count: u32,
}

impl Store {
    /// Whether a message could do with what is set aside.
    pub(super) fn has_reserved(&self) -> bool {
        !lock(&self.reserve).uids.is_empty()
    }

    /// UIDs for so many messages, with the map locked; `None` if there are not as many.
    pub(super) fn take_reserved(&self, map: &Locked<'_>, count: usize) -> Option<Vec<Uid>> {
        let mut reserve = lock(&self.reserve);
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let Some(uid) = reserve.uids.pop_front() else {
                reserve.uids.extend(taken);
                return None;
            };
            // A rebuild has no use for them, and removes them.
            if map::is_reserved(map.view(), uid) {
                taken.push(uid);
            }
        }
        Some(taken)
    }

    /// Sets UIDs from `next` on aside, in a change that adds messages.
    /// [`keep_reserved`](Self::keep_reserved) is to get them once that is on disk.
    pub(super) fn set_aside(&self, tx: &mut Transaction, next: u32) -> Vec<Uid> {
        let mut reserve = lock(&self.reserve);
        if self.settings.mail_fsync != FsyncMode::Optimized || !reserve.uids.is_empty() {
            return Vec::new();
        }
        let count = reserve.count;
        reserve.count = (count * 2).clamp(COUNT_MIN, COUNT_MAX);
        let last = next.saturating_add(count).min(UID_MAX);
        let uids: Vec<Uid> = (next..last).filter_map(Uid::new).collect();
        uids.iter().for_each(|&uid| map::append(tx, uid, &map::RESERVED, 1));
        uids
    }

    /// These are on disk, and set aside.
    pub(super) fn keep_reserved(&self, uids: Vec<Uid>) {
        lock(&self.reserve).uids.extend(uids);
    }
}

impl Reserve {
    /// Takes what is left out of the map, unless somebody else has it locked: it does no harm there.
    pub(super) fn give_back(self, map: &mut Index) {
        if self.uids.is_empty() {
            return;
        }
        let Ok(Some(mut map)) = map.try_lock() else { return };
        if !map::is_sound(&map) {
            return;
        }
        let mut tx = Transaction::new();
        let left = self.uids.into_iter().filter(|&uid| map::is_reserved(map.view(), uid));
        left.for_each(|uid| tx.expunge(uid, Guid::default()));
        if !tx.is_empty() {
            // Nobody misses what they could have been.
            let _ = map.synced_with(&tx);
        }
    }
}

/// Set aside at a time; each is a record of 26 bytes.
const COUNT_MIN: u32 = 8;
const COUNT_MAX: u32 = 64;
/// Far from where UIDs end, messages must be content with what there is.
const UID_MAX: u32 = u32::MAX - 1024;
