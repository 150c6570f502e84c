//! `LAYOUT=index`: the list is the only place that knows names. Each mailbox's directory is named by its
//! GUID, which the list has. What cannot be read is an error here, and damage is mended from what is left:
//! [`wants_rebuild`](ListIndex::wants_rebuild) then asks for a look at the directories.
//!
//! Names are made, deleted and moved under the list's own lock, as Dovecot 2.3 does.

use std::collections::HashSet;

use base::{Guid, Uid, UidSet, UidValidity};
use index::list_index::{LIST, ListRecord, flags};
use index::{Flags, Index, Locked, Transaction};

use crate::api::Listed;
use crate::error::{Error, Result};

use super::change::forget;
use super::compare::{put_all_names, put_names, set_flags};
use super::tree::Tree;
use super::{ListIndex, State, lock, now_secs, spec};

/// What the list has under a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// Nothing.
    Missing,
    /// A node of the hierarchy only.
    NoSelect,
    /// A mailbox.
    Mailbox(Guid),
}

/// A name that is to be entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum New {
    /// A node of the hierarchy only.
    NoSelect,
    /// A mailbox; `is_made_up` says that its true name is lost.
    Mailbox { guid: Guid, uid_validity: Option<UidValidity>, is_made_up: bool },
}

impl ListIndex {
    /// What there is under a name.
    pub(crate) fn entry(&self, name: &str) -> Result<Entry> {
        let mut state = lock(&self.state);
        self.fresh(&mut state)?;
        Ok(self.find(&state.tree, name).map_or(Entry::Missing, |uid| entry_of(&state.tree, uid)))
    }

    /// All names, with the GUIDs of those that are mailboxes.
    pub(crate) fn entries(&self) -> Result<Vec<(Listed, Option<Guid>)>> {
        let mut state = lock(&self.state);
        self.fresh(&mut state)?;
        let tree = &state.tree;
        let all = tree.uids().filter_map(|uid| {
            let entry = entry_of(tree, uid);
            let node = tree.node(uid)?;
            let one = Listed {
                name: self.shown(tree, uid)?,
                selectable: matches!(entry, Entry::Mailbox(_)),
                inferiors: node.flags & flags::NOINFERIORS == 0,
                marked: None,
            };
            Some((one, if let Entry::Mailbox(guid) = entry { Some(guid) } else { None }))
        });
        Ok(all.collect())
    }

    /// Enters a name, and those above it; `false` if it is there already.
    pub(crate) fn enter(&self, name: &str, new: New) -> Result<bool> {
        self.change(|tree, locked, tx| {
            let levels = self.raw_levels(tree, name);
            let (uid, names) = add(tree, locked, &levels, tx)?;
            put_new(locked, tree, &names, tx);
            let has = if names.is_empty() { entry_of(tree, uid.get()) } else { Entry::Missing };
            let is_bare = tree.node(uid.get()).is_some_and(|node| node.flags & flags::NONEXISTENT != 0);
            match new {
                New::NoSelect if has != Entry::Missing && !is_bare => return Ok(false),
                New::NoSelect => set_flags(tree, uid.get(), flags::NOSELECT, tx),
                New::Mailbox { .. } if matches!(has, Entry::Mailbox(_)) => return Ok(false),
                New::Mailbox { guid, uid_validity, is_made_up } => {
                    let made_up = if is_made_up { flags::CORRUPTED_NAME } else { 0 };
                    tx.replace_flags(&UidSet::from_range(uid, uid), Flags(made_up));
                    tree.set_flags(uid.get(), made_up);
                    tree.set_guid(uid.get(), guid);
                    if names.is_empty() {
                        // What was kept of an earlier mailbox does not count.
                        forget(locked, uid, tx);
                    }
                    put_record(tree, uid, uid_validity.map_or(0, UidValidity::get), tx);
                }
            }
            Ok(true)
        })
    }

    /// Takes out a mailbox, or with `is_node` a name without one, which must have none below it. A mailbox
    /// with others below it stays as such a name. With `no_noselect` also names above go that are of no use
    /// any more.
    pub(crate) fn take_out(&self, name: &str, is_node: bool, no_noselect: bool) -> Result<()> {
        self.change(|tree, _, tx| {
            let levels = self.raw_levels(tree, name);
            let path = tree.path(levels.iter().map(|level| &**level));
            let Some(&uid) = path.last().filter(|_| path.len() == levels.len()) else {
                return Err(Error::NotFound(name.to_owned()));
            };
            if tree.has_children(uid) && is_node {
                let what = "Mailbox has children, delete them first";
                return Err(Error::Unsupported(what.to_owned()));
            }
            if tree.has_children(uid) {
                set_flags(tree, uid, flags::NOSELECT, tx);
                tree.set_guid(uid, Guid::default());
                Uid::new(uid).into_iter().for_each(|uid| put_record(tree, uid, 0, tx));
                return Ok(());
            }
            expunge(tree, uid, tx);
            if no_noselect {
                let above = path.split_last().map_or(&[][..], |(_, above)| above);
                remove_bare(tree, above, tx);
            }
            Ok(())
        })
    }

    /// Gives a name, with all below it, another one.
    pub(crate) fn move_entry(&self, from: &str, to: &str, no_noselect: bool) -> Result<()> {
        self.change(|tree, locked, tx| {
            let old = self.raw_levels(tree, from);
            let path = tree.path(old.iter().map(|level| &**level));
            let Some(uid) = path.last().and_then(|&uid| Uid::new(uid)).filter(|_| path.len() == old.len())
            else {
                return Err(Error::NotFound(from.to_owned()));
            };
            let levels = self.raw_levels(tree, to);
            if tree.find(levels.iter().map(|level| &**level)).is_some() {
                return Err(Error::Exists(to.to_owned()));
            }
            let Some((last, above)) = levels.split_last() else { return Err(Error::NotFound(to.to_owned())) };
            let (parent, mut names) = match above {
                [] => (0, Vec::new()),
                above => add(tree, locked, above, tx).map(|(uid, names)| (uid.get(), names))?,
            };
            let validity = record_validity(locked, uid);
            names.push((tree.move_to(uid.get(), parent, last), last.clone()));
            put_new(locked, tree, &names, tx);
            if let Some(node) = tree.node(uid.get()).filter(|node| node.flags & flags::CORRUPTED_NAME != 0) {
                let kept = node.flags & !flags::CORRUPTED_NAME;
                tx.replace_flags(&UidSet::from_range(uid, uid), Flags(kept));
                tree.set_flags(uid.get(), kept);
            }
            put_record(tree, uid, validity, tx);
            if no_noselect {
                let above = path.split_last().map_or(&[][..], |(_, above)| above);
                remove_bare(tree, above, tx);
            }
            Ok(())
        })
    }

    /// Notes that a mailbox has another GUID.
    pub(crate) fn set_guid(&self, name: &str, guid: Guid, uid_validity: UidValidity) -> Result<()> {
        self.change(|tree, _, tx| {
            let uid = self.find(tree, name).and_then(Uid::new);
            let uid = uid.ok_or_else(|| Error::NotFound(name.to_owned()))?;
            tree.set_guid(uid.get(), guid);
            put_record(tree, uid, uid_validity.get(), tx);
            Ok(())
        })
    }

    /// Whether the list was found damaged, so that names may be missing.
    pub(crate) fn wants_rebuild(&self) -> bool {
        lock(&self.state).is_damaged
    }

    /// Tells that all directories have been looked at.
    pub(crate) fn rebuilt(&self) -> Result<()> {
        self.change(|_, locked, tx| {
            let old = locked.header().flags;
            if old & index::header::FLAG_FSCKD != 0 {
                let flags = old & !index::header::FLAG_FSCKD;
                tx.set_header(index::header::FLAGS, &flags.to_le_bytes(), true);
            }
            Ok(())
        })?;
        lock(&self.state).is_damaged = false;
        Ok(())
    }

    /// The record of the mailbox with this GUID.
    pub(super) fn find_guid(&self, tree: &Tree, guid: &str) -> Option<Uid> {
        Uid::new(tree.by_guid(guid.parse().ok()?)?)
    }

    /// The record of a name.
    pub(super) fn find_level_by_level(&self, tree: &Tree, name: &str) -> Option<u32> {
        let levels = self.raw_levels(tree, name);
        tree.find(levels.iter().map(|level| &**level))
    }

    /// The name that sessions know.
    pub(super) fn shown(&self, tree: &Tree, uid: u32) -> Option<String> {
        let levels = tree.levels(uid)?.into_iter().map(|level| {
            let level = self.decode(level)?;
            // A separator that it got while names had another one.
            let escaped = format!("{ESCAPE}{:02x}", u32::from(self.separator));
            Some(level.replace(self.separator, &escaped))
        });
        Some(levels.collect::<Option<Vec<String>>>()?.join(&self.separator.to_string()))
    }

    /// The levels of a name as they stand in the list.
    fn raw_levels(&self, tree: &Tree, name: &str) -> Vec<String> {
        let escaped = format!("{ESCAPE}{:02x}", u32::from(self.separator));
        let mut at = Some(0);
        let levels = name.split(self.separator).map(|level| {
            let raw = self.encode(level);
            let other = raw.replace(&escaped, &self.separator.to_string());
            let parent = at.unwrap_or(0);
            let is_other = at.is_some() && tree.child(parent, &raw).is_none();
            let raw = if is_other && tree.child(parent, &other).is_some() { other } else { raw };
            at = at.and_then(|at| tree.child(at, &raw));
            raw
        });
        levels.collect()
    }

    /// Reads what others wrote.
    fn fresh(&self, state: &mut State) -> Result<()> {
        let is_recent = state.refreshed.is_some_and(|at| at.elapsed() < super::status::TOGETHER);
        if is_recent && state.at.is_some() && state.index.is_some() {
            return Ok(());
        }
        self.try_refresh(state)?;
        let Some(index) = &state.index else { return Ok(()) };
        let at = index.log_position();
        state.refreshed = Some(std::time::Instant::now());
        if state.at != Some(at) {
            let (tree, is_damaged) = self.read_sole(index);
            state.tree = tree;
            state.is_damaged |= is_damaged;
            state.at = Some(at);
        }
        Ok(())
    }

    /// The tree, and whether something was damaged, which is logged.
    pub(super) fn read_sole(&self, index: &Index) -> (Tree, bool) {
        let path = index.path().display();
        let is_fscked = index.header().flags & index::header::FLAG_FSCKD != 0;
        if is_fscked {
            self.logger.error(format_args!("Mailbox list index was marked as fsck'd {path}"));
        }
        let mut complaints = Vec::new();
        let header = index.ext_header(LIST.name).unwrap_or_default();
        let tree = Tree::read_mending(header, index.view(), &mut complaints);
        for complaint in &complaints {
            self.logger.error(format_args!("Corrupted mailbox list index {path}: {complaint}"));
        }
        (tree, is_fscked || !complaints.is_empty())
    }

    /// Changes the list under its lock.
    fn change<R>(
        &self,
        make: impl FnOnce(&mut Tree, &Locked<'_>, &mut Transaction) -> Result<R>,
    ) -> Result<R> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        state.refreshed = None;
        self.make_dir()?;
        self.fresh(state)?;
        let Some(mut index) = state.index.take() else {
            return Err(Error::InUse("The mailbox list index is not open".to_owned()));
        };
        let done = self.change_locked(state, &mut index, make);
        if done.is_err() {
            // What is in memory may be ahead of the disk.
            state.at = None;
        }
        state.index = Some(index);
        done
    }

    fn change_locked<R>(
        &self,
        state: &mut State,
        index: &mut Index,
        make: impl FnOnce(&mut Tree, &Locked<'_>, &mut Transaction) -> Result<R>,
    ) -> Result<R> {
        let mut locked = index.lock()?;
        if state.at != Some(locked.log_position()) {
            let (tree, is_damaged) = self.read_sole(&locked);
            state.tree = tree;
            state.is_damaged |= is_damaged;
        }
        let mut tx = Transaction::new();
        if locked.is_new() || locked.header().uid_validity == 0 {
            tx.set_uid_validity(UidValidity::new(now_secs()).unwrap_or(UidValidity::ONE));
        }
        let made = make(&mut state.tree, &locked, &mut tx)?;
        if state.tree.is_mended {
            put_mended(&locked, &mut state.tree, &mut tx);
        }
        if !tx.is_empty() {
            tx.fsync();
        }
        locked.synced_with(&tx)?;
        state.at = Some(locked.log_position());
        state.refreshed = None;
        Ok(made)
    }
}

fn entry_of(tree: &Tree, uid: u32) -> Entry {
    match tree.node(uid) {
        None => Entry::Missing,
        Some(node) if node.flags & (flags::NONEXISTENT | flags::NOSELECT) != 0 => Entry::NoSelect,
        Some(node) => Entry::Mailbox(node.guid),
    }
}

/// The record of a name, made if need be with those above it, and the names that are new.
fn add(
    tree: &mut Tree,
    locked: &Locked<'_>,
    levels: &[String],
    tx: &mut Transaction,
) -> Result<(Uid, Vec<(u32, String)>)> {
    let exhausted = || Error::Unsupported("UIDs exhausted".to_owned());
    let (mut at, mut next, mut created) = (0, locked.header().next_uid.max(1), Vec::new());
    let mut last = None;
    for level in levels {
        let old = tree.child(at, level);
        let uid = old.or_else(|| Some(next).filter(|&uid| uid < u32::MAX)).and_then(Uid::new);
        let uid = uid.ok_or_else(exhausted)?;
        if old.is_none() {
            next += 1;
            let name = tree.add(uid.get(), at, level, flags::NONEXISTENT).name_id;
            created.push((name, level.clone()));
            tx.append(uid, Flags(flags::NONEXISTENT), []);
            put_record(tree, uid, 0, tx);
        }
        (at, last) = (uid.get(), Some(uid));
    }
    last.map(|uid| (uid, created)).ok_or_else(exhausted)
}

fn put_new(locked: &Locked<'_>, tree: &mut Tree, names: &[(u32, String)], tx: &mut Transaction) {
    let names: Vec<(u32, &[u8])> = names.iter().map(|(id, name)| (*id, name.as_bytes())).collect();
    if !names.is_empty() {
        put_names(locked, tree, &names, tx);
    }
}

fn put_record(tree: &Tree, uid: Uid, uid_validity: u32, tx: &mut Transaction) {
    let Some(node) = tree.node(uid.get()) else { return };
    let record = ListRecord { name: node.name_id, parent_uid: node.parent, guid: node.guid, uid_validity };
    tx.ext(&spec(&LIST), 0);
    tx.ext_record(LIST.name, uid, &record.encode());
}

fn record_validity(index: &Index, uid: Uid) -> u32 {
    let old = super::update::record_of(index, uid, &LIST).and_then(ListRecord::decode);
    old.map_or(0, |old| old.uid_validity)
}

fn expunge(tree: &mut Tree, uid: u32, tx: &mut Transaction) {
    tree.remove(uid);
    Uid::new(uid).into_iter().for_each(|uid| tx.expunge(uid, Guid::default()));
}

/// Removes names without mailboxes and without others below them, the last one first.
fn remove_bare(tree: &mut Tree, path: &[u32], tx: &mut Transaction) {
    for &uid in path.iter().rev() {
        if tree.has_children(uid) || matches!(entry_of(tree, uid), Entry::Mailbox(_)) {
            return;
        }
        expunge(tree, uid, tx);
    }
}

/// Writes what had to be made up.
fn put_mended(locked: &Locked<'_>, tree: &mut Tree, tx: &mut Transaction) {
    let there: HashSet<u32> = locked.view().records().map(|record| record.uid.get()).collect();
    put_all_names(locked, tree, false, tx);
    let all: Vec<u32> = tree.uids().filter(|uid| there.contains(uid)).collect();
    for uid in all.into_iter().filter_map(Uid::new) {
        let validity = record_validity(locked, uid);
        if let Some(node) = tree.node(uid.get()) {
            tx.replace_flags(&UidSet::from_range(uid, uid), Flags(node.flags));
        }
        put_record(tree, uid, validity, tx);
    }
    tree.is_mended = false;
}

/// What begins a character in a name that cannot be itself: 2.3's MAILBOX_LIST_INDEX_DEFAULT_ESCAPE_CHAR.
pub(crate) const ESCAPE: char = '^';
