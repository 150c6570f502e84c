//! Changes of flags, as a session asked for them or as they stand in the index's log, and the records
//! that make them so in the index.

use std::collections::BTreeMap;

use base::{Uid, UidSet};
use index::Transaction;

use crate::api::{FlagChange, FlagMode};
use crate::error::{Error, Result};
use crate::view::{Flags, KeywordSet, Record, View};

/// The same change for several messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delta {
    pub uids: UidSet,
    pub add: Flags,
    pub remove: Flags,
    pub add_keywords: Vec<String>,
    pub remove_keywords: Vec<String>,
}

impl Delta {
    /// What a session's change does to those of `uids` that are in `view`.
    pub(crate) fn of_change(view: &View, uids: &UidSet, change: &FlagChange) -> Self {
        let uids = view.records_in(uids).map(|(_, record)| record.uid).collect();
        let (flags, names) = (change.flags, change.keywords.clone());
        match change.mode {
            FlagMode::Add => Self { uids, add: flags, add_keywords: names, ..Self::default() },
            FlagMode::Remove => Self { uids, remove: flags, remove_keywords: names, ..Self::default() },
            FlagMode::Replace => {
                let named = |known: &str| names.iter().any(|name| name.eq_ignore_ascii_case(known));
                let others = view.keywords().iter().filter(|known| !named(known));
                let remove_keywords = others.map(|name| name.to_string()).collect();
                Self { uids, add: flags, remove: !flags, add_keywords: names, remove_keywords }
            }
        }
    }

    /// The same for those of its messages that are in `uids`.
    pub(crate) fn only(&self, uids: &UidSet) -> Self {
        Self { uids: self.uids.iter().filter(|uid| uids.contains(*uid)).collect(), ..self.clone() }
    }

    /// The same for those of its messages that are not in `uids`.
    pub(crate) fn without(&self, uids: &UidSet) -> Self {
        Self { uids: self.uids.iter().filter(|uid| !uids.contains(*uid)).collect(), ..self.clone() }
    }

    /// Flags after the change.
    pub(crate) fn flags(&self, old: Flags) -> Flags {
        (old & !self.remove) | self.add
    }
}

/// Gathers differences, message by message, into few log records.
#[derive(Default)]
pub(crate) struct FlagUpdates {
    flags: BTreeMap<(u8, u8), UidSet>,
    keywords: BTreeMap<(String, bool), UidSet>,
}

impl FlagUpdates {
    /// Sets the flags of a message.
    pub(crate) fn flags(&mut self, record: &Record, new: Flags) {
        let (add, remove) = (new & !record.flags, record.flags & !new);
        if !add.is_empty() || !remove.is_empty() {
            self.flags.entry((add.0, remove.0)).or_default().insert(record.uid);
        }
    }

    /// Adds or removes a keyword of a message.
    pub(crate) fn keyword(&mut self, uid: Uid, name: &str, add: bool) {
        self.keywords.entry((name.to_owned(), add)).or_default().insert(uid);
    }

    /// What `deltas` really change in the messages of `view`.
    pub(crate) fn deltas(&mut self, view: &View, deltas: &[Delta]) {
        for delta in deltas {
            for (_, record) in view.records_in(&delta.uids) {
                self.flags(record, delta.flags(record.flags));
                for (names, add) in [(&delta.remove_keywords, false), (&delta.add_keywords, true)] {
                    for name in names.iter().filter(|name| has(view, &record.keywords, name) != add) {
                        self.keyword(record.uid, name, add);
                    }
                }
            }
        }
    }

    /// The messages that change.
    pub(crate) fn uids(&self) -> UidSet {
        let mut all: Vec<Uid> =
            self.flags.values().chain(self.keywords.values()).flat_map(UidSet::iter).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().collect()
    }

    /// Adds the records.
    pub(crate) fn write(self, tx: &mut Transaction) {
        for ((add, remove), uids) in self.flags {
            tx.update_flags(&uids, Flags(add), Flags(remove));
        }
        for ((name, add), uids) in self.keywords {
            tx.update_keywords(&name, &uids, add);
        }
    }
}

fn has(view: &View, set: &KeywordSet, name: &str) -> bool {
    view.keyword_index(name).is_some_and(|index| set.contains(index))
}

/// Refuses what can be no keyword.
pub(crate) fn check_keywords(names: &[String], limit: usize) -> Result<()> {
    match names.iter().find(|name| name.is_empty() || name.len() > limit) {
        Some(name) if name.is_empty() => Err(Error::BadRequest("Invalid keyword: ''".to_owned())),
        Some(_) => Err(Error::BadRequest("Keyword length too long".to_owned())),
        None => Ok(()),
    }
}
