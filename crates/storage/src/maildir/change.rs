//! Flags and expunges: renames and unlinks of message files, made under the uidlist's lock so that no
//! scan of ours or Dovecot's takes a file that is being renamed for one that has gone.

use std::io;
use std::sync::Arc;

use base::{Uid, UidSet};

use crate::api::{FlagChange, FlagMode, SyncMode};
use crate::error::{Error, Result};
use crate::fs::join;
use crate::view::{Flags, View};

use super::filename;
use super::shared::{Shared, Work};
use super::sync::finish_view;
use super::uidlist;

impl Shared {
    /// Changes the flags of those in `uids` that exist.
    pub(super) fn store_flags(&self, uids: &UidSet, change: &FlagChange) -> Result<Arc<View>> {
        let mut work = self.work();
        self.check_keywords(change)?;
        let lock = self.lock_uidlist()?;
        self.sync_under(&mut work, &lock, SyncMode::Quick)?;
        work.letters.refresh(self)?;
        let letters = self.letters_of(&mut work, change)?;
        // Names first: a letter in a file name must never be without one.
        work.letters.commit(self)?;
        let mut known = self.before_own_change(&work);
        let mut result = self.rename_all(&mut work, uids, change, letters);
        if let Ok(lost) = &result
            && !lost.is_empty()
        {
            // Somebody else renamed or removed them: look again, once.
            let lost = lost.clone();
            self.sync_under(&mut work, &lock, SyncMode::Full)?;
            known = self.before_own_change(&work);
            result = self.rename_all(&mut work, &lost, change, letters);
        }
        self.own_change(&mut work, known);
        drop(lock);
        drop(work);
        self.channel.wake();
        result.map(|_| self.view())
    }

    /// Removes those in `uids` that exist.
    pub(super) fn expunge(&self, uids: &UidSet) -> Result<Arc<View>> {
        let mut work = self.work();
        let lock = self.lock_uidlist()?;
        self.sync_under(&mut work, &lock, SyncMode::Quick)?;
        let mut known = self.before_own_change(&work);
        let mut result = self.unlink_all(&mut work, uids);
        if let Ok(lost) = &result
            && !lost.is_empty()
        {
            let lost = lost.clone();
            self.sync_under(&mut work, &lock, SyncMode::Full)?;
            known = self.before_own_change(&work);
            result = self.unlink_all(&mut work, &lost);
        }
        self.own_change(&mut work, known);
        if self.syncs() {
            // Without it a deleted message could come back after a crash; that alone is no failure.
            let _ = self.fs.sync_dir(&self.dir.join("cur"));
        }
        drop(lock);
        drop(work);
        self.channel.wake();
        result.map(|_| self.view())
    }

    /// Writes UIDLs into the uidlist, where Dovecot keeps them, too.
    pub(super) fn save_pop3_uidls(&self, uidls: &[(Uid, String)]) -> Result<()> {
        let mut work = self.work();
        let lock = self.lock_uidlist()?;
        self.sync_under(&mut work, &lock, SyncMode::Quick)?;
        let mut state = self.state();
        for (uid, uidl) in uidls {
            let index = state.entries.binary_search_by_key(uid, |entry| entry.uid);
            let Some(entry) = index.ok().and_then(|index| state.entries.get_mut(index)) else { continue };
            // Empty is short for "the file name".
            let is_name = uidl.as_bytes() == filename::base(&entry.name);
            let value = if is_name { "" } else { uidl.as_str() };
            entry.fields = uidlist::with_field(&entry.fields, b'P', value.as_bytes()).into();
        }
        drop(state);
        work.recreate = true;
        self.sync_under(&mut work, &lock, SyncMode::Quick)
    }

    fn check_keywords(&self, change: &FlagChange) -> Result<()> {
        let limit = self.settings.mail_max_keyword_length;
        match change.keywords.iter().find(|name| name.is_empty() || name.len() > limit) {
            Some(name) if name.is_empty() => Err(Error::BadRequest("Invalid keyword: ''".to_owned())),
            Some(_) => Err(Error::BadRequest(format!("Keyword length too long (max {limit})"))),
            None => Ok(()),
        }
    }

    /// The letters for a change's keywords as bits.
    fn letters_of(&self, work: &mut Work, change: &FlagChange) -> Result<u32> {
        let mut letters = 0;
        for name in &change.keywords {
            let letter = match change.mode {
                FlagMode::Remove => work.letters.find(name),
                FlagMode::Add | FlagMode::Replace => {
                    Some(work.letters.find_or_add(name).ok_or_else(too_many)?)
                }
            };
            letters |= letter.map_or(0, |letter| 1 << letter);
        }
        Ok(letters)
    }

    /// Renames the files and updates the state; gives the UIDs whose files were not where they were.
    fn rename_all(
        &self,
        work: &mut Work,
        uids: &UidSet,
        change: &FlagChange,
        letters: u32,
    ) -> Result<UidSet> {
        let (mut lost, mut failure) = (UidSet::new(), None);
        let mut state = self.state();
        let mut edit = state.view.edit();
        let mut unclaimed = UidSet::new();
        for entry in state.entries.iter_mut().filter(|entry| uids.contains(entry.uid)) {
            let (flags, old_letters) = filename::flags(&entry.name);
            let (flags, letters) = apply(change, (flags, old_letters), letters);
            let name = filename::with_flags(&entry.name, flags, letters);
            if *name == *entry.name || (entry.in_new && flags.is_empty() && letters == 0) {
                continue;
            }
            match self.fs.rename(&entry.path(&self.dir), &join(&self.dir.join("cur"), &name)) {
                Ok(()) => {
                    if entry.in_new {
                        unclaimed.insert(entry.uid);
                    }
                    entry.name = name.into_boxed_slice();
                    entry.in_new = false;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    lost.insert(entry.uid);
                    continue;
                }
                Err(error) => {
                    failure = Some(Error::io("rename", entry.path(&self.dir), error));
                    break;
                }
            }
        }
        let changed: Vec<_> = state.entries.iter().filter(|entry| uids.contains(entry.uid)).collect();
        let mut fresh = std::collections::HashMap::with_capacity(changed.len());
        for entry in changed {
            fresh.insert(entry.uid, self.record(work, &mut edit, entry.uid, &entry.name));
        }
        let differs = |uid: &base::Uid| edit.peek().record(*uid) != fresh.get(uid);
        let differing: UidSet = uids_of(&fresh).iter().filter(differs).collect();
        edit.update(&differing, |record| {
            if let Some(new) = fresh.remove(&record.uid) {
                *record = new;
            }
        });
        unclaimed.iter().for_each(|uid| state.unclaimed.insert(uid));
        finish_view(&mut state, edit, &work.header);
        failure.map_or(Ok(lost), Err)
    }

    /// Unlinks the files and updates the state; gives the UIDs whose files were not where they were.
    fn unlink_all(&self, work: &mut Work, uids: &UidSet) -> Result<UidSet> {
        let (mut lost, mut failure, mut removed) = (UidSet::new(), None, UidSet::new());
        let mut state = self.state();
        for entry in state.entries.iter().filter(|entry| uids.contains(entry.uid)) {
            match self.fs.unlink(&entry.path(&self.dir)) {
                Ok(()) => {
                    removed.insert(entry.uid);
                    work.gone.insert(filename::base(&entry.name).to_vec());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => lost.insert(entry.uid),
                Err(error) => {
                    failure = Some(Error::io("unlink", entry.path(&self.dir), error));
                    break;
                }
            }
        }
        let mut edit = state.view.edit();
        edit.remove(&removed);
        state.entries.retain(|entry| !removed.contains(entry.uid));
        finish_view(&mut state, edit, &work.header);
        failure.map_or(Ok(lost), Err)
    }
}

/// What 2.3 keeps in its index beyond the 26 letters has no place until the index is there.
pub(super) fn too_many() -> Error {
    Error::BadRequest("Too many keywords in the mailbox".to_owned())
}

fn apply(change: &FlagChange, old: (Flags, u32), letters: u32) -> (Flags, u32) {
    match change.mode {
        FlagMode::Add => (old.0 | change.flags, old.1 | letters),
        FlagMode::Remove => (old.0 & !change.flags, old.1 & !letters),
        FlagMode::Replace => (change.flags, letters),
    }
}

fn uids_of(records: &std::collections::HashMap<base::Uid, crate::view::Record>) -> UidSet {
    let mut uids: Vec<_> = records.keys().copied().collect();
    uids.sort_unstable();
    uids.into_iter().collect()
}
