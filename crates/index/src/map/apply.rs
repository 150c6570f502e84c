//! Applies records of a log to an index in memory, exactly as 2.3 does: what one record says must have
//! the same meaning for every process.

mod ext;
mod keyword;

use base::{ModSeq, Uid, UidSet};

use super::Map;
use super::Names;
use crate::header::{FLAG_HAVE_DIRTY, HEADER_SIZE, Header};
use crate::log::Kind;
use crate::log::record::{RawRecord, ranges};
use crate::view::{Edit, Flags, Record};

/// The extension that the next records are about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Current {
    /// None was named.
    None,
    /// The last intro was damaged.
    Broken,
    /// The one at this place; `ignored` where the record was meant for another reset id.
    At { at: usize, record_size: u16, ignored: bool },
}

/// An index that is being brought up to date.
pub(crate) struct Applier<'a> {
    map: &'a mut Map,
    names: &'a mut Names,
    edit: Edit,
    current: Current,
    no_dirty: bool,
    changed: bool,
    had_dirt: bool,
    dirt_may_be_gone: bool,
    /// What could not be applied, each with its log offset and the reason in 2.3's words.
    pub(crate) errors: Vec<(u64, String)>,
    /// A session asked for the index to be deleted, or took that back.
    pub(crate) delete_requested: Option<bool>,
}

/// Damaged logs can hold any number of damaged records; so many of them are told.
const ERRORS_MAX: usize = 10;

impl<'a> Applier<'a> {
    pub(crate) fn new(map: &'a mut Map, names: &'a mut Names, no_dirty: bool) -> Self {
        let edit = map.view.edit();
        let had_dirt = map.header.flags & FLAG_HAVE_DIRTY != 0;
        Self {
            map,
            names,
            edit,
            current: Current::None,
            no_dirty,
            changed: false,
            had_dirt,
            dirt_may_be_gone: false,
            errors: Vec::new(),
            delete_requested: None,
        }
    }

    /// Begins with an empty index.
    pub(crate) fn reset(&mut self) {
        let mut fresh = Map::new(self.map.header.index_id);
        fresh.header.flags = self.map.header.flags & crate::header::FLAG_FSCKD;
        fresh.header.log_file_seq = self.map.header.log_file_seq;
        self.edit = fresh.view.edit();
        *self.map = fresh;
        self.current = Current::None;
        self.changed = true;
    }

    /// Whether anything was applied.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed
    }

    /// The index now includes the log `seq` up to `offset`, where the highest modification sequence is
    /// `modseq`.
    pub(crate) fn finish(mut self, seq: u32, offset: u64, modseq: u64) -> (Vec<(u64, String)>, Option<bool>) {
        if self.dirt_may_be_gone {
            self.forget_dirt();
        }
        let offset = offset as u32;
        self.map.header.log_file_seq = seq;
        self.map.header.log_file_head_offset = offset;
        self.map.set_modseq_header(seq, offset, modseq);
        let highest = self.map.highest_modseq(modseq).max(1);
        if self.changed || self.edit.peek().highest_modseq().0 != highest {
            self.map.publish(self.edit, modseq);
        }
        (self.errors, self.delete_requested)
    }

    /// Applies a record that was [checked](RawRecord::check). `modseq` is the highest modification
    /// sequence with it.
    pub(crate) fn apply(&mut self, record: &RawRecord<'_>, modseq: u64) {
        self.changed = true;
        let done = match record.what() {
            Some(Kind::Append) => {
                record.appends().try_for_each(|(uid, flags)| self.append(uid, flags, modseq))
            }
            Some(Kind::Expunge) if record.is_external() => {
                let mut uids = UidSet::new();
                ranges(record.body).for_each(|(first, last)| uids.insert_range(first, last));
                self.expunge(&uids);
                Ok(())
            }
            Some(Kind::ExpungeGuid) if record.is_external() => {
                let uids = record.expunges().filter_map(|(uid, _)| Uid::new(uid)).collect();
                self.expunge(&uids);
                Ok(())
            }
            // Asked for only: whoever synchronizes takes them out.
            Some(Kind::Expunge | Kind::ExpungeGuid) => Ok(()),
            Some(Kind::FlagUpdate) => {
                self.flags(record, modseq);
                Ok(())
            }
            Some(Kind::HeaderUpdate) => self.header(record),
            Some(Kind::ExtIntro) => record.intros().try_for_each(|intro| self.ext_intro(&intro)),
            Some(Kind::ExtReset) => self.ext_reset(record.body),
            Some(Kind::ExtHeaderUpdate | Kind::ExtHeaderUpdate32) => self.ext_header(record),
            Some(Kind::ExtRecordUpdate) => self.ext_records(record.body),
            Some(Kind::ExtAtomicInc) => self.ext_increments(record),
            Some(Kind::KeywordUpdate) => self.keyword_update(record, modseq),
            Some(Kind::KeywordReset) => {
                self.keyword_reset(record, modseq);
                Ok(())
            }
            Some(Kind::ModseqUpdate) => self.modseqs(record),
            Some(Kind::IndexDeleted) => {
                if !record.is_external() {
                    self.delete_requested = Some(true);
                }
                Ok(())
            }
            Some(Kind::IndexUndeleted) => {
                self.delete_requested = Some(false);
                Ok(())
            }
            Some(Kind::Boundary | Kind::AttributeUpdate) => Ok(()),
            None => Err(format!(
                "Unknown transaction record type 0x{:x}",
                record.kind & crate::log::record::TYPE_MASK
            )),
        };
        if let Err(reason) = done
            && self.errors.len() < ERRORS_MAX
        {
            self.errors.push((record.offset, reason));
        }
    }

    fn append(&mut self, uid: u32, flags: u8, modseq: u64) -> Result<(), String> {
        let header = &mut self.map.header;
        let valid = Uid::new(uid).filter(|_| uid >= header.next_uid && uid < u32::MAX);
        let Some(valid) = valid else {
            return Err(format!("Append with UID {uid}, but next_uid = {}", header.next_uid));
        };
        let mut record = Record::new(valid);
        record.flags = Flags(flags & Flags::ALL.0);
        record.bits = flags & Record::BITS;
        if record.bits & Record::DIRTY != 0 && !self.no_dirty {
            header.flags |= FLAG_HAVE_DIRTY;
        }
        header.messages_count += 1;
        header.next_uid = uid + 1;
        recount(header, valid, Flags::NONE, record.flags);
        if self.map.tracks_modseqs() {
            record.modseq = ModSeq(modseq);
        }
        self.edit.append(record);
        Ok(())
    }

    fn expunge(&mut self, uids: &UidSet) {
        let gone: Vec<(Uid, Flags)> =
            self.edit.peek().records_among(uids).map(|r| (r.uid, r.flags)).collect();
        if gone.is_empty() {
            return;
        }
        self.edit.remove(uids);
        let header = &mut self.map.header;
        let had_deleted = gone.iter().any(|(_, flags)| flags.has(Flags::DELETED));
        for (_, flags) in gone {
            header.messages_count = header.messages_count.saturating_sub(1);
            header.seen_count = header.seen_count.saturating_sub(flags.has(Flags::SEEN).into());
            header.deleted_count = header.deleted_count.saturating_sub(flags.has(Flags::DELETED).into());
        }
        if had_deleted && header.deleted_count == 0 {
            header.first_deleted_uid = header.next_uid;
        }
    }

    fn flags(&mut self, record: &RawRecord<'_>, modseq: u64) {
        let tracked = self.map.tracks_modseqs();
        for update in record.flag_updates() {
            let (Some(first), Some(last)) = (Uid::new(update.first), Uid::new(update.last)) else { continue };
            if update.add & Record::DIRTY != 0 && !self.no_dirty {
                self.map.header.flags |= FLAG_HAVE_DIRTY;
            }
            self.dirt_may_be_gone |= update.remove & Record::DIRTY != 0;
            let header = &mut self.map.header;
            self.edit.update(&UidSet::from_range(first, last), |record| {
                let old = record.flags;
                let byte = (old.0 | record.bits) & !update.remove | update.add;
                record.flags = Flags(byte & Flags::ALL.0);
                record.bits = byte & Record::BITS;
                recount(header, record.uid, old, record.flags);
                if tracked && !update.is_internal() {
                    record.modseq = record.modseq.max(ModSeq(modseq));
                }
            });
        }
    }

    fn header(&mut self, record: &RawRecord<'_>) -> Result<(), String> {
        for update in record.header_updates() {
            let base = u32::from(self.map.header.base_header_size);
            let Some((offset, bytes)) = update else {
                return Err("Header update outside range".to_owned());
            };
            let size = bytes.len() as u32;
            if offset >= base || offset + size > base {
                return Err(format!("Header update outside range: {offset} + {size} > {base}"));
            }
            self.header_bytes(offset as usize, bytes);
        }
        Ok(())
    }

    fn header_bytes(&mut self, offset: usize, bytes: &[u8]) {
        let old = self.map.header.clone();
        let mut known = old.encode();
        for (at, &byte) in (offset..).zip(bytes) {
            if let Some(target) = known.get_mut(at) {
                *target = byte;
            } else if let Some(target) = self.map.unknown.get_mut(at - HEADER_SIZE) {
                *target = byte;
            }
        }
        let new = Header::parse(&known);
        self.map.header = Header {
            // What describes the file itself, and what is counted here, cannot be set.
            major_version: old.major_version,
            minor_version: old.minor_version,
            base_header_size: old.base_header_size,
            header_size: old.header_size,
            record_size: old.record_size,
            compat_flags: old.compat_flags,
            index_id: old.index_id,
            messages_count: old.messages_count,
            seen_count: old.seen_count,
            deleted_count: old.deleted_count,
            log_file_seq: old.log_file_seq,
            log_file_head_offset: old.log_file_head_offset,
            // The reader of the log takes care of the tail.
            log_file_tail_offset: old.log_file_tail_offset,
            next_uid: new.next_uid.max(old.next_uid),
            ..new
        };
    }

    fn modseqs(&mut self, record: &RawRecord<'_>) -> Result<(), String> {
        let tracked = self.map.tracks_modseqs();
        for (uid, modseq) in record.modseq_updates() {
            let Some(uid) = Uid::new(uid) else { continue };
            let raise = |record: &mut Record| {
                if tracked {
                    record.modseq = record.modseq.max(ModSeq(modseq));
                }
            };
            if self.edit.update_one(uid, raise) && !tracked {
                return Err("modseqs updated before they were enabled".to_owned());
            }
        }
        Ok(())
    }

    /// Looks whether any message still has the flag that the header says some have.
    fn forget_dirt(&mut self) {
        if self.map.header.flags & FLAG_HAVE_DIRTY == 0 {
            return;
        }
        if !self.edit.peek().records().any(|record| record.bits & Record::DIRTY != 0) {
            self.map.header.flags &= !FLAG_HAVE_DIRTY;
            self.map.dirt_passed = !self.had_dirt;
        }
    }
}

/// Keeps the header's counts and marks after a message's flags changed.
fn recount(header: &mut Header, uid: Uid, old: Flags, new: Flags) {
    match (old.has(Flags::SEEN), new.has(Flags::SEEN)) {
        (false, true) => {
            header.seen_count = header.seen_count.saturating_add(1);
            if header.seen_count == header.messages_count {
                header.first_unseen_uid = header.next_uid;
            }
        }
        (true, false) => header.seen_count = header.seen_count.saturating_sub(1),
        _ => {}
    }
    match (old.has(Flags::DELETED), new.has(Flags::DELETED)) {
        (false, true) => header.deleted_count = header.deleted_count.saturating_add(1),
        (true, false) => {
            header.deleted_count = header.deleted_count.saturating_sub(1);
            if header.deleted_count == 0 {
                header.first_deleted_uid = header.next_uid;
            }
        }
        _ => {}
    }
    if !new.has(Flags::SEEN) {
        header.first_unseen_uid = header.first_unseen_uid.min(uid.get());
    }
    if new.has(Flags::DELETED) {
        header.first_deleted_uid = header.first_deleted_uid.min(uid.get());
    }
}
