//! What must be true of an index, and making it true. The words are those of 2.3's log lines.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Map;
use crate::header::{FLAG_FSCKD, Header};
use crate::view::{Flags, Record};

/// What was found wrong with an index file, and what was done about it.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// Each goes behind `Corrupted index file …: `.
    pub(crate) complaints: Vec<String>,
    /// Each goes behind `Fixed index file …: `.
    pub(crate) fixes: Vec<String>,
}

impl Repair {
    pub(crate) fn is_empty(&self) -> bool {
        self.complaints.is_empty() && self.fixes.is_empty()
    }
}

impl Map {
    /// What is wrong with the base header, with `last_uid` as the UID of the last message.
    pub(crate) fn problem(&self, last_uid: u32) -> Option<String> {
        let header = &self.header;
        let next = header.next_uid;
        let above =
            |name: &str, value: u32| (value > next).then(|| format!("{name} {value} > next_uid {next}"));
        let many = |name: &str, value: u32| {
            let all = header.messages_count;
            (value > all).then(|| format!("{name} {value} > messages_count {all}"))
        };
        if header.uid_validity == 0 && next != 1 {
            return Some(format!("uidvalidity=0, but next_uid={next}"));
        }
        if next == 0 {
            return Some("next_uid=0".to_owned());
        }
        if header.first_recent_uid == 0 {
            return Some("first_recent_uid=0".to_owned());
        }
        if last_uid >= next {
            return Some(format!("last message uid {last_uid} >= next_uid {next}"));
        }
        many("seen_messages_count", header.seen_count)
            .or_else(|| many("deleted_messages_count", header.deleted_count))
            .or_else(|| above("first_recent_uid", header.first_recent_uid))
            .or_else(|| above("first_unseen_uid_lowwater", header.first_unseen_uid))
            .or_else(|| above("first_deleted_uid_lowwater", header.first_deleted_uid))
    }

    /// Makes the base header fit the messages and says what had to change.
    pub(crate) fn mend(&mut self) -> Vec<String> {
        let old = self.header.clone();
        let mut fixes = Vec::new();
        if self.header.uid_validity == 0 && self.header.next_uid != 1 {
            self.header.uid_validity = now();
        }
        let last_uid = self.view.last_uid().map_or(0, |uid| uid.get());
        if self.header.next_uid <= last_uid {
            self.header.next_uid = last_uid.saturating_add(1);
            fixes.push(format!("next_uid {} -> {}", old.next_uid, self.header.next_uid));
        }
        self.header.next_uid = self.header.next_uid.max(1);
        self.count();
        self.header.first_recent_uid = old.first_recent_uid.clamp(1, self.header.next_uid);
        self.header.flags |= FLAG_FSCKD;
        let new = &self.header;
        let mut changed = |name: &str, old: u32, new: u32| {
            if old != new {
                fixes.push(format!("{name} {old} -> {new}"));
            }
        };
        changed("uid_validity", old.uid_validity, new.uid_validity);
        changed("messages_count", old.messages_count, new.messages_count);
        changed("seen_messages_count", old.seen_count, new.seen_count);
        changed("deleted_messages_count", old.deleted_count, new.deleted_count);
        if new.first_unseen_uid < old.first_unseen_uid {
            changed("first_unseen_uid_lowwater", old.first_unseen_uid, new.first_unseen_uid);
        }
        if new.first_deleted_uid < old.first_deleted_uid {
            changed("first_deleted_uid_lowwater", old.first_deleted_uid, new.first_deleted_uid);
        }
        changed("first_recent_uid", old.first_recent_uid, new.first_recent_uid);
        fixes
    }

    /// Counts messages and finds the first unseen and the first deleted one.
    pub(crate) fn count(&mut self) {
        let mut counts = Counts::default();
        self.view.records().for_each(|record| counts.add(record));
        self.set_counts(&counts);
    }

    /// Puts what was counted into the header.
    pub(super) fn set_counts(&mut self, counts: &Counts) {
        let header: &mut Header = &mut self.header;
        header.messages_count = counts.messages;
        header.seen_count = counts.seen;
        header.deleted_count = counts.deleted;
        header.first_unseen_uid = counts.first_unseen.unwrap_or(header.next_uid);
        header.first_deleted_uid = counts.first_deleted.unwrap_or(header.next_uid);
    }
}

/// What the header says of all messages.
#[derive(Debug, Default)]
pub(super) struct Counts {
    messages: u32,
    seen: u32,
    deleted: u32,
    first_unseen: Option<u32>,
    first_deleted: Option<u32>,
}

impl Counts {
    #[inline]
    pub(super) fn add(&mut self, record: &Record) {
        self.messages += 1;
        match record.flags.has(Flags::SEEN) {
            true => self.seen += 1,
            false => _ = self.first_unseen.get_or_insert(record.uid.get()),
        }
        if record.flags.has(Flags::DELETED) {
            self.deleted += 1;
            self.first_deleted.get_or_insert(record.uid.get());
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
