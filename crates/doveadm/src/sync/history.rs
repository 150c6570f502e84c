//! What an index still knows of the past: which messages were expunged, and which flags somebody
//! changed.

use std::collections::BTreeMap;
use std::path::Path;

use base::Guid;
use index::dump::LogRecords;
use index::header::UID_VALIDITY;
use index::log::record::{KeywordModify, RANGE_SIZE, ranges};
use index::log::{Kind, RawRecord};
use storage::Flags;

use super::side::Changed;

/// Logs are rotated long before this size, in bytes.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    /// UIDs of what was expunged, with the GUIDs, or zeros.
    pub(super) expunged: BTreeMap<u32, Guid>,
    changes: BTreeMap<u32, (u64, Changed)>,
}

impl History {
    /// Reads the logs in `dir`, the older one first. `uids` are the messages that are there, in order.
    /// What cannot be read is not known.
    pub(super) fn read(dir: &Path, uids: &[u32]) -> Self {
        let mut history = Self::default();
        for name in ["dovecot.index.log.2", "dovecot.index.log"] {
            let path = dir.join(name);
            if !std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= LOG_BYTES_MAX) {
                continue;
            }
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let Ok(records) = LogRecords::parse(&bytes) else { continue };
            for (record, _, modseq) in records.map_while(Result::ok) {
                history.take(&record, modseq, uids);
            }
        }
        history.expunged.retain(|uid, _| uids.binary_search(uid).is_err());
        history
    }

    /// When a message's flags last changed, and what changed of them.
    pub(super) fn of(&mut self, uid: u32) -> (u64, Changed) {
        self.changes.remove(&uid).unwrap_or_default()
    }

    fn take(&mut self, record: &RawRecord<'_>, modseq: u64, uids: &[u32]) {
        match record.what() {
            // UIDs of before mean other messages.
            Some(Kind::HeaderUpdate) if sets_validity(record) => *self = Self::default(),
            Some(Kind::Expunge) => {
                for (first, last) in ranges(record.body) {
                    // A damaged range is not believed.
                    let last = last.get().min(first.get().saturating_add(EXPUNGES_MAX));
                    (first.get()..=last).for_each(|uid| self.gone(uid, Guid::default()));
                }
            }
            Some(Kind::ExpungeGuid) => record.expunges().for_each(|(uid, guid)| self.gone(uid, guid)),
            Some(Kind::FlagUpdate) => {
                for update in record.flag_updates() {
                    let bits = (update.add | update.remove) & Flags::ALL.0;
                    if bits != 0 {
                        let change = |changed: &mut Changed| changed.flags |= bits;
                        self.change(uids, update.first, update.last, modseq, change);
                    }
                }
            }
            Some(Kind::KeywordUpdate) => {
                let Some((KeywordModify::Add | KeywordModify::Remove, name, uid_ranges)) =
                    record.keyword_update()
                else {
                    return;
                };
                let name = String::from_utf8_lossy(name).into_owned();
                for (first, last) in
                    ranges(uid_ranges.get(..uid_ranges.len() / RANGE_SIZE * RANGE_SIZE).unwrap_or_default())
                {
                    self.change(uids, first.get(), last.get(), modseq, |changed| {
                        if !changed.keywords.contains(&name) {
                            changed.keywords.push(name.clone());
                        }
                    });
                }
            }
            Some(Kind::ModseqUpdate) => {
                for (uid, modseq) in record.modseq_updates() {
                    let known = &mut self.changes.entry(uid).or_default().0;
                    *known = modseq.max(*known);
                }
            }
            _ => {}
        }
    }

    fn gone(&mut self, uid: u32, guid: Guid) {
        let known = self.expunged.entry(uid).or_default();
        if guid != Guid::default() {
            *known = guid;
        }
    }

    fn change(&mut self, uids: &[u32], first: u32, last: u32, modseq: u64, change: impl Fn(&mut Changed)) {
        let from = uids.partition_point(|&uid| uid < first);
        let within = uids.get(from..).unwrap_or_default().iter().take_while(|&&uid| uid <= last);
        for &uid in within {
            let known = self.changes.entry(uid).or_default();
            known.0 = modseq.max(known.0);
            change(&mut known.1);
        }
    }
}

/// Messages in one range of a record.
const EXPUNGES_MAX: u32 = 1_000_000;

fn sets_validity(record: &RawRecord<'_>) -> bool {
    record.header_updates().flatten().any(|(offset, bytes)| {
        let offset = offset as usize;
        offset <= UID_VALIDITY && offset + bytes.len() > UID_VALIDITY
    })
}
