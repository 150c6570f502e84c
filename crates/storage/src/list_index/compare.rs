//! Compares the list with the directories, which know which mailboxes there are.

use std::collections::HashSet;

use base::{Guid, Uid, UidSet, UidValidity};
use index::list_index::{LIST, ListRecord, flags, names_header_size};
use index::{ExtSpec, Flags, Index, Locked, Transaction};

use crate::api::Listed;
use crate::error::Result;

use super::tree::Tree;
use super::{ListIndex, State, now_secs, spec};

impl ListIndex {
    /// Makes the list's names those of the directories, under its lock. `None` if that failed.
    pub(super) fn compare(&self, state: &mut State) -> Option<()> {
        self.compare_with(state, false)
    }

    /// Makes a damaged list anew.
    pub(super) fn rebuild(&self, state: &mut State) -> Option<()> {
        self.compare_with(state, true)
    }

    fn compare_with(&self, state: &mut State, reset: bool) -> Option<()> {
        let mut index = state.index.take()?;
        let done = if self.may_write() { self.compare_locked(&mut index, reset).map(Some) } else { Ok(None) };
        let at = index.log_position();
        state.index = Some(index);
        match done {
            Ok(Some(tree)) => {
                (state.tree, state.at, state.compared) = (tree, Some(at), true);
                state.unlisted.clear();
                Some(())
            }
            Ok(None) => {
                state.failed = true;
                None
            }
            Err(error) => {
                state.failed = true;
                self.logger.error(format_args!("Mailbox list index: {}", base::chain(&error)));
                None
            }
        }
    }

    fn compare_locked(&self, index: &mut Index, reset: bool) -> Result<Tree> {
        self.make_dir()?;
        let mut locked = index.lock()?;
        let mut transaction = Transaction::new();
        let read = Tree::read(locked.ext_header(LIST.name).unwrap_or_default(), locked.view());
        let (mut tree, reset) = match read {
            Ok(tree) if !reset => (tree, false),
            _ => (Tree::default(), true),
        };
        if reset {
            transaction.reset();
        }
        let listed = (self.lister)()?;
        let names_before = tree.names();
        let mut next_uid = if reset { 1 } else { locked.header().next_uid };
        self.merge(&mut tree, &listed, &mut next_uid, &mut transaction);
        if reset || locked.is_new() {
            let validity = UidValidity::new(now_secs()).unwrap_or(UidValidity::ONE);
            transaction.set_uid_validity(validity);
        }
        if !reset && locked.header().flags & index::header::FLAG_FSCKD != 0 {
            let flags = locked.header().flags & !index::header::FLAG_FSCKD;
            transaction.set_header(index::header::FLAGS, &flags.to_le_bytes(), true);
        }
        let has_new = tree.names().highest() > names_before.highest();
        if has_new || reset {
            put_all_names(&locked, &mut tree, reset, &mut transaction);
        } else if tree.refresh {
            transaction.ext(&spec(&LIST), 0);
            transaction.ext_header(LIST.name, 0, &[0]);
        }
        tree.refresh = false;
        locked.synced_with(&transaction)?;
        Ok(tree)
    }

    /// Makes the tree's nodes those of `listed`, and the records with it.
    fn merge(&self, tree: &mut Tree, listed: &[Listed], next_uid: &mut u32, tx: &mut Transaction) {
        let mut seen = HashSet::new();
        let mut own = HashSet::new();
        for one in listed {
            let name = self.encode(&one.name);
            let mut at = 0;
            for level in name.split(self.separator) {
                at = match tree.child(at, level) {
                    Some(uid) => uid,
                    None => {
                        let Some(uid) = Uid::new(*next_uid).filter(|uid| uid.get() < u32::MAX) else {
                            return;
                        };
                        *next_uid += 1;
                        let node = tree.add(uid.get(), at, level, flags::NONEXISTENT);
                        let record = ListRecord {
                            name: node.name_id,
                            parent_uid: at,
                            guid: Guid::default(),
                            uid_validity: 0,
                        };
                        tx.append(uid, Flags(flags::NONEXISTENT), []);
                        tx.ext(&spec(&LIST), 0);
                        tx.ext_record(LIST.name, uid, &record.encode());
                        uid.get()
                    }
                };
                seen.insert(at);
            }
            own.insert(at);
            set_flags(tree, at, flags_of(one), tx);
        }
        let all: Vec<u32> = tree.uids().collect();
        for uid in all {
            if !seen.contains(&uid) {
                tree.remove(uid);
                if let Some(uid) = Uid::new(uid) {
                    tx.expunge(uid, Guid::default());
                }
            } else if !own.contains(&uid) {
                set_flags(tree, uid, flags::NONEXISTENT, tx);
            }
        }
    }

    /// Whether the tree has other names than `listed`.
    pub(super) fn differs(&self, tree: &Tree, listed: &[Listed]) -> bool {
        let mut seen = HashSet::new();
        for one in listed {
            let name = self.encode(&one.name);
            let mut at = 0;
            for level in name.split(self.separator) {
                let Some(uid) = tree.child(at, level) else { return true };
                at = uid;
                seen.insert(at);
            }
            if tree.node(at).is_none_or(|node| node.flags & KIND != flags_of(one)) {
                return true;
            }
        }
        tree.uids().any(|uid| !seen.contains(&uid))
    }

    /// What the tree says there is.
    pub(super) fn listed(&self, tree: &Tree) -> Vec<Listed> {
        let there = tree.uids().filter_map(|uid| {
            let node = tree.node(uid).filter(|node| node.flags & flags::NONEXISTENT == 0)?;
            Some(Listed {
                name: self.decode(&tree.full_name(uid, self.separator)?)?,
                selectable: node.flags & flags::NOSELECT == 0,
                inferiors: node.flags & flags::NOINFERIORS == 0,
                marked: None,
            })
        });
        there.collect()
    }
}

pub(super) fn set_flags(tree: &mut Tree, uid: u32, wanted: u8, tx: &mut Transaction) {
    let Some(old) = tree.node(uid).map(|node| node.flags) else { return };
    if old & KIND != wanted
        && let Some(record) = Uid::new(uid)
    {
        tx.replace_flags(&UidSet::from_range(record, record), Flags(wanted));
        tree.set_flags(uid, wanted);
    }
}

fn flags_of(listed: &Listed) -> u8 {
    let noselect = if listed.selectable { 0 } else { flags::NOSELECT };
    noselect | if listed.inferiors { 0 } else { flags::NOINFERIORS }
}

/// Writes all names; the header's size goes in powers of two.
pub(super) fn put_all_names(index: &Locked<'_>, tree: &mut Tree, reset: bool, tx: &mut Transaction) {
    let bytes = tree.names().encode();
    let wanted = names_header_size(bytes.len());
    let old = if reset { None } else { index.ext_header(LIST.name).map(<[u8]>::len) };
    tx.ext(&names_spec(wanted), 0);
    if old.is_none_or(|old| names_header_size(old) != wanted) {
        tx.ext_resize(LIST.name);
    }
    tx.ext_header(LIST.name, 0, &bytes);
    tree.names_end = bytes.len() - NAMES_TAIL.len();
}

/// Writes these names, the tree's newest, after those that are there, or all if there is no room.
pub(super) fn put_names(index: &Locked<'_>, tree: &mut Tree, new: &[(u32, &[u8])], tx: &mut Transaction) {
    let mut bytes = Vec::new();
    for (number, name) in new {
        bytes.extend_from_slice(&number.to_ne_bytes());
        bytes.extend_from_slice(name);
        bytes.push(0);
    }
    let end = tree.names_end + bytes.len();
    bytes.extend_from_slice(&NAMES_TAIL);
    let room = index.ext_header(LIST.name).map_or(0, <[u8]>::len);
    match u32::try_from(tree.names_end) {
        Ok(from) if end + NAMES_TAIL.len() <= room && tree.names_end > 0 => {
            tx.ext(&names_spec(room), 0);
            tx.ext_header(LIST.name, from, &bytes);
            tree.names_end = end;
        }
        _ => put_all_names(index, tree, false, tx),
    }
}

fn names_spec(size: usize) -> ExtSpec {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    ExtSpec::new(LIST.name, size, LIST.record_size, LIST.record_align)
}

/// The number 0 ends the names.
const NAMES_TAIL: [u8; 4] = [0; 4];
/// The flags that say what a name is.
const KIND: u8 = flags::NONEXISTENT | flags::NOSELECT | flags::NOINFERIORS;
