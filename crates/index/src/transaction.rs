//! Changes that are to be committed together. Drivers build one, [`Index::commit`](crate::Index::commit)
//! or [`Locked::commit`](crate::Locked::commit) writes it to the log as a whole.

use std::collections::BTreeMap;

use base::{Guid, ModSeq, Uid, UidSet, UidValidity};

use crate::header::{self, HEADER_SIZE};
use crate::view::Flags;

/// Whether the mail store knows already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A session asks for it: whoever synchronizes next is to carry it out on the mail store.
    /// Messages to be expunged stay in the index until then.
    Internal,
    /// It happened in the mail store: nothing is left to do. Only this takes messages out.
    External,
}

/// What an extension is like, for where the index does not have it yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtSpec {
    /// Its name: up to 63 ASCII letters, digits, `-`, `_` and spaces.
    pub name: String,
    /// Bytes in the header.
    pub header_size: u32,
    /// Bytes for each message.
    pub record_size: u16,
    /// Their alignment in the file: 1, 2, 4 or 8, or 0 where there are none.
    pub record_align: u16,
}

impl ExtSpec {
    /// An extension `name`.
    pub fn new(name: &str, header_size: u32, record_size: u16, record_align: u16) -> Self {
        let record_align = if record_size == 0 { record_align } else { record_align.max(1) };
        Self { name: name.to_owned(), header_size, record_size, record_align }
    }
}

/// A mailbox attribute that was set or removed (RFC 5464); its value is not in the index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeUpdate {
    /// `/private` rather than `/shared`.
    pub private: bool,
    /// The name without that.
    pub name: String,
    /// When, in seconds since 1970.
    pub time: u32,
    /// The bytes of the new value, or `None` where it was removed.
    pub value_size: Option<u32>,
}

/// Changes of one commit.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    pub(crate) reset: bool,
    pub(crate) deleted: bool,
    pub(crate) undeleted: bool,
    pub(crate) fsync: bool,
    pub(crate) exts: Vec<ExtChange>,
    pub(crate) before: HeaderChange,
    pub(crate) after: HeaderChange,
    pub(crate) attributes: Vec<AttributeUpdate>,
    pub(crate) appends: BTreeMap<u32, u8>,
    pub(crate) flags: Vec<Vec<FlagUpdate>>,
    pub(crate) keywords: Vec<KeywordChange>,
    pub(crate) keyword_resets: UidSet,
    pub(crate) modseqs: BTreeMap<u32, u64>,
    pub(crate) expunges: BTreeMap<u32, Guid>,
}

#[derive(Clone, Debug)]
pub(crate) struct KeywordChange {
    pub(crate) name: String,
    pub(crate) add: bool,
    pub(crate) uids: UidSet,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FlagUpdate {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) add: u8,
    pub(crate) remove: u8,
    pub(crate) modseq: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ExtChange {
    pub(crate) spec: ExtSpec,
    pub(crate) reset_id: u32,
    /// The intro is written even where nothing else asks for it, and may shrink the extension.
    pub(crate) resize: bool,
    pub(crate) reset: Option<(u32, bool)>,
    pub(crate) header: BTreeMap<u32, Vec<u8>>,
    pub(crate) records: BTreeMap<u32, Vec<u8>>,
    pub(crate) increments: BTreeMap<u32, i32>,
}

/// Bytes of the base header that change.
#[derive(Clone, Debug)]
pub(crate) struct HeaderChange {
    pub(crate) bytes: [u8; HEADER_SIZE],
    pub(crate) mask: [bool; HEADER_SIZE],
}

impl Default for HeaderChange {
    fn default() -> Self {
        Self { bytes: [0; HEADER_SIZE], mask: [false; HEADER_SIZE] }
    }
}

impl HeaderChange {
    pub(crate) fn set(&mut self, offset: usize, bytes: &[u8]) {
        let targets = self.bytes.iter_mut().zip(&mut self.mask).skip(offset);
        for ((target, mask), &byte) in targets.zip(bytes) {
            (*target, *mask) = (byte, true);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.mask.contains(&true)
    }
}

impl Transaction {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        !self.reset
            && !self.deleted
            && !self.undeleted
            && self.before.is_empty()
            && self.after.is_empty()
            && self.attributes.is_empty()
            && self.appends.is_empty()
            && self.flags.is_empty()
            && self.keywords.is_empty()
            && self.keyword_resets.is_empty()
            && self.modseqs.is_empty()
            && self.expunges.is_empty()
            && self.exts.iter().all(ExtChange::is_empty)
    }

    /// Whether it asks for something to be done in the mail store, if it is [`Origin::Internal`].
    pub(crate) fn asks(&self) -> bool {
        !self.flags.is_empty()
            || !self.keywords.is_empty()
            || !self.keyword_resets.is_empty()
            || !self.expunges.is_empty()
    }

    /// Begins with an index that is empty: no messages, no extensions, UIDVALIDITY 0. Modification
    /// sequences go on where they were.
    pub fn reset(&mut self) {
        self.reset = true;
    }

    /// Forces the transaction to disk, if `mail_fsync` is not `never`.
    pub fn fsync(&mut self) {
        self.fsync = true;
    }

    /// Adds a message; UIDs must ascend beyond those that are there.
    pub fn append<'a>(&mut self, uid: Uid, flags: Flags, keywords: impl IntoIterator<Item = &'a str>) {
        self.append_with_bits(uid, flags, 0, keywords);
    }

    /// The same with [`Record::bits`](crate::Record::bits).
    pub fn append_with_bits<'a>(
        &mut self,
        uid: Uid,
        flags: Flags,
        bits: u8,
        keywords: impl IntoIterator<Item = &'a str>,
    ) {
        self.appends.insert(uid.get(), (flags & Flags::ALL).0 | (bits & crate::Record::BITS));
        let uids = UidSet::from_range(uid, uid);
        keywords.into_iter().for_each(|name| self.update_keywords(name, &uids, true));
    }

    /// Adds and removes flags. Where a flag is in both, it is added.
    pub fn update_flags(&mut self, uids: &UidSet, add: Flags, remove: Flags) {
        self.update_flag_bytes(uids, (add & Flags::ALL).0, (remove & Flags::ALL).0, false);
    }

    /// Adds and removes [`Record::bits`](crate::Record::bits), which no client sees.
    pub fn update_bits(&mut self, uids: &UidSet, add: u8, remove: u8) {
        self.update_flag_bytes(uids, add & crate::Record::BITS, remove & crate::Record::BITS, false);
    }

    /// Gives messages a new modification sequence although nothing else changes.
    pub fn touch(&mut self, uids: &UidSet) {
        self.update_flag_bytes(uids, 0, 0, true);
    }

    /// Replaces flags by `flags`; bits stay.
    pub fn replace_flags(&mut self, uids: &UidSet, flags: Flags) {
        self.update_flags(uids, flags, !flags);
    }

    fn update_flag_bytes(&mut self, uids: &UidSet, add: u8, remove: u8, modseq: bool) {
        let Some(lowest) = uids.first() else { return };
        // Readers want the ranges of a record to ascend: what goes back begins another record.
        let fits =
            self.flags.last().and_then(|list| list.last()).is_some_and(|tail| tail.last < lowest.get());
        if !fits {
            self.flags.push(Vec::new());
        }
        let Some(list) = self.flags.last_mut() else { return };
        for (first, last) in uids.ranges() {
            let update = FlagUpdate { first: first.get(), last: last.get(), add, remove, modseq };
            match list.last_mut() {
                Some(tail)
                    if (tail.add, tail.remove, tail.modseq) == (add, remove, modseq)
                        && tail.last.checked_add(1) == Some(update.first) =>
                {
                    tail.last = update.last;
                }
                _ => list.push(update),
            }
        }
    }

    /// Adds or removes a keyword.
    pub fn update_keywords(&mut self, name: &str, uids: &UidSet, add: bool) {
        if uids.is_empty() || name.is_empty() {
            return;
        }
        let latest = self.keywords.iter_mut().rev().find(|change| change.name.eq_ignore_ascii_case(name));
        match latest {
            Some(change) if change.add == add => {
                uids.ranges().for_each(|(first, last)| change.uids.insert_range(first, last));
            }
            _ => self.keywords.push(KeywordChange { name: name.to_owned(), add, uids: uids.clone() }),
        }
    }

    /// Removes all keywords; comes before what [`update_keywords`](Self::update_keywords) adds.
    pub fn reset_keywords(&mut self, uids: &UidSet) {
        uids.ranges().for_each(|(first, last)| self.keyword_resets.insert_range(first, last));
    }

    /// Asks for a message to be expunged ([`Origin::Internal`]) or takes it out
    /// ([`Origin::External`]). `guid` is the message's, or zero where the driver has none.
    pub fn expunge(&mut self, uid: Uid, guid: Guid) {
        self.expunges.insert(uid.get(), guid);
    }

    /// Sets UIDVALIDITY.
    pub fn set_uid_validity(&mut self, value: UidValidity) {
        self.set_header(header::UID_VALIDITY, &value.get().to_le_bytes(), true);
    }

    /// Raises UIDNEXT; it never goes down.
    pub fn set_next_uid(&mut self, value: Uid) {
        self.set_header(header::NEXT_UID, &value.get().to_le_bytes(), false);
    }

    /// Messages from this UID on are `\Recent`.
    pub fn set_first_recent_uid(&mut self, value: Uid) {
        self.set_header(header::FIRST_RECENT_UID, &value.get().to_le_bytes(), false);
    }

    /// Sets bytes of the base header (offsets are in [`header`]), `before` the messages are
    /// added or afterwards.
    pub fn set_header(&mut self, offset: usize, bytes: &[u8], before: bool) {
        if before { self.before.set(offset, bytes) } else { self.after.set(offset, bytes) }
    }

    /// Says what an extension is like. Must come before anything else about it; nothing is written
    /// for this alone. `reset_id` other than 0 is the one that what follows is meant for: where the
    /// index has another by then, it is left out.
    pub fn ext(&mut self, spec: &ExtSpec, reset_id: u32) {
        debug_assert!(crate::map::is_valid_name(spec.name.as_bytes()), "extension name {:?}", spec.name);
        match self.exts.iter_mut().find(|ext| ext.spec.name == spec.name) {
            Some(ext) => {
                ext.spec = spec.clone();
                ext.reset_id = reset_id;
            }
            None => self.exts.push(ExtChange {
                spec: spec.clone(),
                reset_id,
                resize: false,
                reset: None,
                header: BTreeMap::new(),
                records: BTreeMap::new(),
                increments: BTreeMap::new(),
            }),
        }
    }

    /// Gives an extension exactly the sizes of [`ext`](Self::ext), even where they are smaller than
    /// those it has.
    pub fn ext_resize(&mut self, name: &str) {
        self.change(name, |ext| ext.resize = true);
    }

    /// Gives an extension a new reset id and, unless `keep`, makes all it holds zero.
    pub fn ext_reset(&mut self, name: &str, reset_id: u32, keep: bool) {
        self.change(name, |ext| ext.reset = Some((reset_id, keep)));
    }

    /// Sets bytes of an extension's header, which grows as needed.
    pub fn ext_header(&mut self, name: &str, offset: u32, bytes: &[u8]) {
        self.change(name, |ext| {
            ext.header.insert(offset, bytes.to_vec());
        });
    }

    /// Sets what an extension holds for a message. Missing bytes are zero.
    pub fn ext_record(&mut self, name: &str, uid: Uid, bytes: &[u8]) {
        self.change(name, |ext| {
            ext.records.insert(uid.get(), bytes.to_vec());
        });
    }

    /// Adds to the number that an extension of 1, 2, 4 or 8 bytes holds for a message.
    pub fn ext_atomic_inc(&mut self, name: &str, uid: Uid, by: i32) {
        self.change(name, |ext| {
            let sum = ext.increments.entry(uid.get()).or_default();
            *sum = sum.saturating_add(by);
        });
    }

    /// Raises a message's modification sequence to at least `modseq`.
    pub fn update_modseq(&mut self, uid: Uid, modseq: ModSeq) {
        self.modseqs.insert(uid.get(), modseq.0);
    }

    /// Raises the mailbox's highest modification sequence to at least `modseq`.
    pub fn update_highest_modseq(&mut self, modseq: ModSeq) {
        self.modseqs.insert(0, modseq.0);
    }

    /// Tells that a mailbox attribute changed.
    pub fn update_attribute(&mut self, update: AttributeUpdate) {
        self.attributes.push(update);
    }

    /// Marks the index as deleted: the mailbox is going away.
    pub fn delete_index(&mut self) {
        self.deleted = true;
    }

    /// Takes such a mark back.
    pub fn undelete_index(&mut self) {
        self.undeleted = true;
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut ExtChange)) {
        let ext = self.exts.iter_mut().find(|ext| ext.spec.name == name);
        debug_assert!(ext.is_some(), "extension {name} is changed without Transaction::ext");
        if let Some(ext) = ext {
            change(ext);
        }
    }
}

impl ExtChange {
    fn is_empty(&self) -> bool {
        !self.resize
            && self.reset.is_none()
            && self.header.is_empty()
            && self.records.is_empty()
            && self.increments.is_empty()
    }
}
