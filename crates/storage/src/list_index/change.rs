//! Keeps the list up with mailboxes that come and go one by one, so that nobody has to compare all of it
//! with the directories because of one.

use base::{Guid, Uid};
use index::list_index::{INDEX_SYNC, IndexStamp, LIST, ListRecord, SUBS, flags};
use index::{Flags, Index, Origin, Transaction};

use crate::api::MailboxState;
use crate::error::{Error, Result};

use super::compare::{put_names, set_flags};
use super::update::record_of;
use super::{ListIndex, State, lock, now_secs, spec};

/// Says what the directories have of a name, as listing them would show it.
pub(crate) type StateOf<'a> = &'a dyn Fn(&str) -> Result<MailboxState>;

impl ListIndex {
    /// Tells that the mailbox of this name, but none below it, has come or gone. `state_of` is asked of it
    /// and of the names above it. Where the list cannot be brought up to date at once, this is
    /// [`note_change`](Self::note_change).
    pub(crate) fn note_one(&self, name: &str, state_of: StateOf<'_>) {
        let mut state = lock(&self.state);
        state.unlisted.clear();
        if name.starts_with(['/', '~']) || self.refresh(&mut state).is_none() || state.tree.is_empty() {
            return;
        }
        if !self.may_write() {
            return;
        }
        let levels = if state.tree.refresh { None } else { self.levels(name, state_of) };
        let Some(levels) = levels else { return self.flag(&mut state, &[name]) };
        let Some(mut index) = state.index.take() else { return };
        let settled = settle(&mut state, &mut index, &levels);
        state.index = Some(index);
        match settled {
            Ok(true) => {}
            Ok(false) => self.flag(&mut state, &[name]),
            Err(error) => self.fail(&mut state, &error),
        }
    }

    /// Tells that mailboxes of these names, or ones below them, have come or gone. Whoever uses the list
    /// next compares it with the directories, and what it has of these mailboxes counts no more.
    pub(crate) fn note_change(&self, names: &[&str]) {
        let mut state = lock(&self.state);
        state.unlisted.clear();
        if self.refresh(&mut state).is_some() && !state.tree.is_empty() {
            self.flag(&mut state, names);
        }
    }

    /// Tells that subscriptions have changed, for those who wait for that (NOTIFY).
    pub(crate) fn note_subscriptions(&self) {
        let mut state = lock(&self.state);
        if self.refresh(&mut state).is_none() {
            return;
        }
        let State { index: Some(index), .. } = &*state else { return };
        let old = index.ext_header(SUBS.name).and_then(|old| Some(u32::from_ne_bytes(*old.first_chunk()?)));
        let now = now_secs();
        let counter = old.map_or(now, |old| old.saturating_add(1).max(now));
        let mut transaction = Transaction::new();
        transaction.ext(&spec(&SUBS), 0);
        transaction.ext_header(SUBS.name, 0, &counter.to_ne_bytes());
        if self.make_dir().and_then(|()| commit(&mut state, &transaction)).is_err() {
            state.failed = true;
        }
    }

    /// The levels of a name as they stand on disk, with what the directories have of each. `None` if that
    /// cannot be told.
    fn levels(&self, name: &str, state_of: StateOf<'_>) -> Option<Vec<(String, u8)>> {
        let ends = name.match_indices(self.separator).map(|(at, _)| at).chain([name.len()]);
        let states = ends.map(|end| match state_of(name.get(..end)?) {
            Ok(MailboxState::Selectable) => Some(0),
            Ok(MailboxState::NoSelect) => Some(flags::NOSELECT),
            Ok(MailboxState::Missing) | Err(Error::NotFound(_) | Error::InvalidName { .. }) => {
                Some(flags::NONEXISTENT)
            }
            Err(_) => None,
        });
        let states = states.collect::<Option<Vec<u8>>>()?;
        let encoded = self.encode(name);
        let levels: Vec<String> = encoded.split(self.separator).map(str::to_owned).collect();
        (levels.len() == states.len()).then(|| levels.into_iter().zip(states).collect())
    }

    fn flag(&self, state: &mut State, names: &[&str]) {
        let mut transaction = Transaction::new();
        if !state.tree.refresh {
            transaction.ext(&spec(&LIST), 0);
            transaction.ext_header(LIST.name, 0, &[1]);
        }
        let tops = names.iter().filter_map(|name| self.find(&state.tree, name));
        let gone: Vec<u32> = tops.flat_map(|top| state.tree.with_children(top)).collect();
        let State { index: Some(index), .. } = &*state else { return };
        gone.into_iter().filter_map(Uid::new).for_each(|uid| forget(index, uid, &mut transaction));
        match commit(state, &transaction) {
            Ok(()) => state.tree.refresh = true,
            Err(error) => self.fail(state, &error),
        }
    }
}

/// Writes what leaves the tree as it is, or as the caller makes it: it is not read anew because of this.
fn commit(state: &mut State, transaction: &Transaction) -> index::Result<()> {
    let State { index: Some(index), at, .. } = state else { return Ok(()) };
    if transaction.is_empty() {
        return Ok(());
    }
    let mut locked = index.lock()?;
    let is_known = *at == Some(locked.log_position());
    locked.commit(transaction, Origin::External)?;
    if is_known {
        *at = Some(locked.log_position());
    }
    Ok(())
}

/// An index of the same size and time may come in the place of another: what was noted of the old one
/// must not count for the new one.
pub(super) fn forget(index: &Index, uid: Uid, tx: &mut Transaction) {
    if record_of(index, uid, &INDEX_SYNC).is_some_and(|old| old.iter().any(|&byte| byte != 0)) {
        tx.ext(&spec(&INDEX_SYNC), 0);
        tx.ext_record(INDEX_SYNC.name, uid, &IndexStamp::default().encode());
    }
}

/// Makes the tree and the records of one name what the directories have; `false` if somebody else has
/// changed the list meanwhile.
fn settle(state: &mut State, index: &mut Index, levels: &[(String, u8)]) -> index::Result<bool> {
    let mut locked = index.lock()?;
    let is_known = state.at == Some(locked.log_position());
    if !is_known || locked.is_in_memory() || locked.is_deleted() {
        return Ok(false);
    }
    let is_gone = levels.last().is_none_or(|(_, kind)| *kind == flags::NONEXISTENT);
    if is_gone && state.tree.find(levels.iter().map(|(level, _)| &**level)).is_none() {
        return Ok(true);
    }
    let tree = &mut state.tree;
    let mut tx = Transaction::new();
    let (mut at, mut path) = (0, Vec::new());
    let (mut next_uid, mut new_names) = (locked.header().next_uid, Vec::new());
    for (level, kind) in levels {
        let old = tree.child(at, level);
        let uid = old.or_else(|| Some(next_uid).filter(|&uid| uid != 0 && uid < u32::MAX));
        let Some(uid) = uid.and_then(Uid::new) else { return Ok(false) };
        if old.is_none() {
            next_uid += 1;
            let name = tree.add(uid.get(), at, level, *kind).name_id;
            new_names.push((name, level.as_bytes()));
            let record = ListRecord { name, parent_uid: at, guid: Guid::default(), uid_validity: 0 };
            tx.append(uid, Flags(*kind), []);
            tx.ext(&spec(&LIST), 0);
            tx.ext_record(LIST.name, uid, &record.encode());
        } else {
            set_flags(tree, uid.get(), *kind, &mut tx);
        }
        at = uid.get();
        path.push(uid);
    }
    let last = path.last().copied();
    while let Some(uid) = path.pop_if(|uid| tree.is_bare(uid.get())) {
        tree.remove(uid.get());
        tx.expunge(uid, Guid::default());
    }
    if let Some(uid) = last.filter(|last| path.last() == Some(last)) {
        forget(&locked, uid, &mut tx);
    }
    if !new_names.is_empty() {
        put_names(&locked, tree, &new_names, &mut tx);
    }
    locked.synced_with(&tx)?;
    state.at = Some(locked.log_position());
    Ok(true)
}
