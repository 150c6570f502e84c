//! What sessions asked for between the log's tail and its end.

use std::sync::Arc;

use base::{Guid, Uid, UidSet};

use super::{Index, Locked};
use crate::error::Result;
use crate::log::Kind;
use crate::log::file::is_request;
use crate::log::record::{KeywordModify, Next, RawRecord, ranges};
use crate::view::{Flags, View};

/// What a session asked for and nobody has carried out on the mail store yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pending {
    /// To be expunged; the GUID is zero where the session gave none.
    Expunge {
        /// Which message.
        uid: Uid,
        /// It must have this GUID, unless that is zero.
        guid: Guid,
    },
    /// Flags to be added and removed. The view has them already.
    Flags {
        /// Which messages; not all of them need to be there.
        uids: UidSet,
        /// To be added.
        add: Flags,
        /// To be removed.
        remove: Flags,
    },
    /// A keyword to be added or removed. The view has it already.
    Keyword {
        /// Which messages.
        uids: UidSet,
        /// The keyword.
        name: Arc<str>,
        /// Added rather than removed.
        add: bool,
    },
    /// All keywords are removed. The view has them no more.
    KeywordReset {
        /// Which messages.
        uids: UidSet,
    },
}

impl Locked<'_> {
    /// What sessions, ours and Dovecot's, asked for and nobody has carried out yet, in the order in
    /// which they asked.
    pub fn pending(&mut self) -> Result<Vec<Pending>> {
        let index = &mut self.index;
        let mut list = Vec::new();
        let Some(log) = index.log.as_mut().filter(|log| log.has_requests) else { return Ok(list) };
        let (tail, end) = (log.tail, log.sync_offset);
        let bytes = log.read(&index.fs, tail)?;
        let mut offset = tail;
        while offset < end {
            let Next::Record(record) = RawRecord::at(&bytes, tail, offset) else { break };
            if is_request(&record) && record.check().is_ok() {
                collect(&record, &index.map.view, &mut list);
            }
            offset = record.end();
        }
        Ok(list)
    }

    /// See [`Index::added_behind_tail`].
    pub fn added_behind_tail(&mut self) -> Result<Option<Vec<Uid>>> {
        self.index.added_behind_tail()
    }
}

impl Index {
    /// The messages that were added behind the [tail](Locked::completed_with), if nothing else happened
    /// there: what somebody leaves who dies before he tells that all is done.
    pub fn added_behind_tail(&mut self) -> Result<Option<Vec<Uid>>> {
        let tail = u64::from(self.header().log_file_tail_offset);
        let Some(log) = self.log.as_mut().filter(|log| tail >= u64::from(log.header.hdr_size)) else {
            return Ok(None);
        };
        let bytes = log.read(&self.fs, tail)?;
        let (mut added, mut size, mut offset) = (Vec::new(), 0, tail);
        while offset < log.sync_offset {
            let Next::Record(record) = RawRecord::at(&bytes, tail, offset) else { return Ok(None) };
            if record.check().is_err() {
                return Ok(None);
            }
            match record.what() {
                Some(Kind::Append) => added.extend(record.appends().map(|(uid, _)| uid)),
                Some(Kind::ExtIntro) => size = record.intros().last().map_or(size, |intro| intro.record_size),
                Some(Kind::ExtRecordUpdate)
                    if record.ext_records(size).all(|(uid, _)| added.contains(&uid)) => {}
                Some(Kind::Boundary | Kind::HeaderUpdate) => {}
                Some(Kind::ExtHeaderUpdate | Kind::ExtHeaderUpdate32) => {}
                _ => return Ok(None),
            }
            offset = record.end();
        }
        Ok(Some(added.into_iter().filter_map(Uid::new).collect()))
    }
}

fn collect(record: &RawRecord<'_>, view: &View, list: &mut Vec<Pending>) {
    match record.what() {
        Some(Kind::Expunge) => {
            // A range may have billions of UIDs that no message has.
            let uids = set(record.body);
            let there = view.records_in(&uids).map(|(_, record)| record.uid);
            list.extend(there.map(|uid| Pending::Expunge { uid, guid: Guid::default() }));
        }
        Some(Kind::ExpungeGuid) => list.extend(
            record.expunges().filter_map(|(uid, guid)| Some(Pending::Expunge { uid: Uid::new(uid)?, guid })),
        ),
        Some(Kind::FlagUpdate) => list.extend(record.flag_updates().filter_map(|update| {
            let uids = UidSet::from_range(Uid::new(update.first)?, Uid::new(update.last)?);
            let (add, remove) = (Flags(update.add & Flags::ALL.0), Flags(update.remove & Flags::ALL.0));
            let visible = !add.is_empty() || !remove.is_empty();
            visible.then_some(Pending::Flags { uids, add, remove })
        })),
        Some(Kind::KeywordUpdate) => {
            if let Some((modify, name, uids)) = record.keyword_update() {
                let name = String::from_utf8_lossy(name).as_ref().into();
                list.push(Pending::Keyword { uids: set(uids), name, add: modify == KeywordModify::Add });
            }
        }
        Some(Kind::KeywordReset) => list.push(Pending::KeywordReset { uids: set(record.body) }),
        _ => {}
    }
}

fn set(bytes: &[u8]) -> UidSet {
    let mut uids = UidSet::new();
    ranges(bytes).for_each(|(first, last)| uids.insert_range(first, last));
    uids
}
