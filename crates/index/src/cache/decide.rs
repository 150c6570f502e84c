//! Which fields are worth their space. Two kinds of clients there are: those that ask for the same
//! things again and again, and those that keep what they were told. The first kind is recognised by
//! asking in no order, or for old messages; what it asks for is kept for all messages. What the second
//! kind asks for is kept for a week.

use base::Uid;

use super::field::{Decision, FieldId, Want};
use super::{Cache, IndexFacts};
use crate::error::Result;

/// `last_used` is not updated more often than this, in seconds.
const LAST_USED_STEP: u32 = 24 * 60 * 60;

/// What a purge does with a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Nothing.
    Stay,
    /// Nobody has asked for so long: it goes.
    Drop,
    /// Nobody has asked for some time: it goes from old messages.
    ToTemp,
}

impl Cache {
    /// Somebody wanted to know a field of a message, whether it was there or not. What follows from it
    /// is written at the next occasion, at the latest by [`flush_decisions`](Self::flush_decisions).
    pub fn note_read(&mut self, id: FieldId, uid: Uid, index: &IndexFacts) {
        let (uid, in_file) = (uid.get(), self.registry.field(id).in_file.is_some());
        let field = self.registry.field_mut(id);
        if field.decision.is_never() {
            return;
        }
        let is_old = index.now.saturating_sub(field.last_used) > LAST_USED_STEP;
        let in_order = uid >= field.highest_uid_read && uid >= index.week_first_uid;
        let mut used = is_old;
        let mut dirty = false;
        if field.decision.forced || field.decision.want == Want::No {
            // Forced ones stay as they are, and whether a new one is worth it is decided when it is
            // added.
        } else if in_order {
            // Reading on and on does not show that it is still wanted for old messages.
            used &= field.decision.want == Want::Temp;
            if field.decision.want == Want::Temp || is_old {
                field.highest_uid_read = uid;
            }
        } else if field.decision.want == Want::Temp {
            field.decision.want = Want::Yes;
            field.dirty = true;
            dirty = true;
        }
        if used {
            field.last_used = index.now;
        }
        self.registry.write_pending |= dirty || (used && in_file);
        if dirty {
            let name = &self.registry.field(id).name;
            self.debug(format_args!("Changing field {name} decision temp -> yes (uid={uid})"));
        }
    }

    /// Whether a field is worth adding for a message if the client did not ask for it: it came by the
    /// way. That it is not there yet is for the caller to look.
    pub fn wants(&self, id: FieldId, uid: Uid, index: &IndexFacts) -> bool {
        !self.settings.is_disabled()
            && index.messages >= self.settings.min_mail_count
            && match self.registry.field(id).decision.want {
                Want::No => false,
                Want::Temp => uid.get() >= index.week_first_uid,
                Want::Yes => true,
            }
    }

    /// Whether a field may be added for a message because the client did ask for it.
    pub fn may_add(&self, id: FieldId, index: &IndexFacts) -> bool {
        !self.settings.is_disabled()
            && index.messages >= self.settings.min_mail_count
            && !self.registry.field(id).decision.is_never()
    }

    /// Writes decisions that the file does not know yet. To be called when a mailbox is closed. Without
    /// a file, or where the lock is not to be had, they are forgotten.
    pub fn flush_decisions(&mut self, index: &IndexFacts) -> Result<()> {
        if !self.registry.write_pending || self.lock(index)? != super::lock::Locking::Locked {
            return Ok(());
        }
        let done = self.flush_and_unlock(false, index);
        self.settle(done).map(|_| ())
    }

    /// A field is added: from now on it is wanted, at least for a week.
    pub(super) fn note_added(&mut self, id: FieldId, uid: u32, now: u32) {
        let field = self.registry.field_mut(id);
        if field.decision.want != Want::No && field.last_used != 0 || field.decision.is_never() {
            return;
        }
        if field.decision.want == Want::No {
            field.decision.want = Want::Temp;
        }
        field.last_used = now;
        field.dirty = true;
        field.highest_uid_read = uid;
        self.registry.write_pending = true;
        let name = &self.registry.field(id).name;
        self.debug(format_args!("Adding field {name} to cache for the first time (uid={uid})"));
    }

    /// Remembers that the file should be purged if a field has not been used for long.
    pub(super) fn judge_field(&mut self, id: FieldId, index: &IndexFacts) {
        let fate = self.fate(id, index);
        let field = self.registry.field(id);
        let (name, last_used) = (&field.name, field.last_used);
        match fate {
            Fate::Stay => {}
            // One of `mail_cache_fields` that nobody has used yet takes no room in the records.
            Fate::Drop if last_used == 0 => {}
            Fate::Drop => self.purge_later(format!("Drop old field {name} (last_used={last_used})")),
            Fate::ToTemp => self.purge_later(format!(
                "Change cache decision to temp for old field {name} (last_used={last_used})"
            )),
        }
    }

    /// What a purge would do with a field today.
    pub(super) fn fate(&self, id: FieldId, index: &IndexFacts) -> Fate {
        let field = self.registry.field(id);
        let Decision { want, forced } = field.decision;
        if index.day_stamp == 0 || forced || want == Want::No {
            return Fate::Stay;
        }
        let unused = i64::from(index.day_stamp) - i64::from(field.last_used);
        let limit = i64::try_from(self.settings.unaccessed_field_drop.as_secs()).unwrap_or(i64::MAX);
        if unused > limit.saturating_mul(2) {
            Fate::Drop
        } else if unused > limit && want == Want::Yes {
            Fate::ToTemp
        } else {
            Fate::Stay
        }
    }

    /// Carries out what a purge does with the fields, and says which ones stay, in their new order.
    pub(super) fn decide_for_purge(&mut self, index: &IndexFacts) -> Vec<FieldId> {
        if self.registry.file_order.is_empty() {
            // The first file of a mailbox tells everybody what this process knows.
            return self.registry.ids().collect();
        }
        let mut staying = Vec::new();
        for id in self.registry.ids() {
            let fate = self.fate(id, index);
            let field = self.registry.field_mut(id);
            match fate {
                Fate::Stay => {}
                Fate::Drop => field.decision.want = Want::No,
                Fate::ToTemp => field.decision.want = Want::Temp,
            }
            if field.decision.want == Want::No {
                field.used = false;
                field.last_used = 0;
            }
            if field.used {
                staying.push(id);
            }
        }
        staying
    }
}
