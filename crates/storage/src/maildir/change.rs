//! Flags and expunges: renames and unlinks of message files, made under the index's lock so that no
//! scan of ours or Dovecot's takes a file that is being renamed for one that has gone.

use std::io;

use base::{Uid, UidSet};
use index::Index;

use crate::error::{Error, Result};
use crate::fs::join;
use crate::indexed::{Delta, Done};
use crate::view::Flags;

use super::driver::{Known, Maildir};
use super::filename;
use super::names::{Names, Seen};
use super::uidlist;

/// How one file fared.
enum Outcome {
    Done(Seen, Vec<u8>),
    Lost,
    Refused,
}

impl Maildir {
    /// Renames files as `deltas` want their flags.
    pub(super) fn rename_all(&self, index: &Index, work: &mut Known, deltas: &[Delta]) -> Result<Done> {
        work.letters.refresh(self)?;
        for name in deltas.iter().flat_map(|delta| &delta.add_keywords) {
            // Without a free letter the index alone keeps the keyword.
            let _ = work.letters.find_or_add(name);
        }
        // Names first: a letter in a file name must never be without one.
        work.letters.commit(self)?;
        let known = work.dirs.before_own_change(self);
        let mut names = self.names();
        names.refresh(self, false)?;
        let mut done = Done::default();
        for delta in deltas {
            let letters = |list: &[String]| {
                list.iter().filter_map(|name| work.letters.find(name)).fold(0u32, |bits, at| bits | 1 << at)
            };
            let (add, remove) = (letters(&delta.add_keywords), letters(&delta.remove_keywords));
            for uid in delta.uids.iter().filter(|uid| index.view().record(*uid).is_some()) {
                let rename = |flags: Flags, bits: u32| (delta.flags(flags), bits & !remove | add);
                let candidates = names.candidates(index.view(), &work.letters, uid);
                let outcome =
                    self.first(candidates, is_refusal, |candidate| self.rename(candidate, rename))?;
                note(&mut names, &mut done, uid, outcome);
            }
        }
        drop(names);
        work.dirs.own_change(self, known);
        Ok(done)
    }

    /// Unlinks files.
    pub(super) fn unlink_all(&self, index: &Index, work: &mut Known, uids: &UidSet) -> Result<Done> {
        if uids.is_empty() {
            return Ok(Done::default());
        }
        let known = work.dirs.before_own_change(self);
        let mut names = self.names();
        names.refresh(self, false)?;
        let mut done = Done::default();
        let (mut from_new, mut from_cur) = (false, false);
        for uid in uids.iter() {
            let candidates = names.candidates(index.view(), &work.letters, uid);
            let unlink = |(seen, name): &(Seen, Vec<u8>)| {
                self.fs.unlink(&self.file(*seen, name)).map(|()| (*seen, name.clone()))
            };
            // What cannot be removed is not expunged.
            let outcome = self.first(candidates, |_| false, unlink)?;
            if let Outcome::Done(seen, _) = &outcome {
                *(if *seen == Seen::New { &mut from_new } else { &mut from_cur }) = true;
            }
            note(&mut names, &mut done, uid, outcome);
        }
        let gone =
            uids.iter().filter(|uid| !done.lost.contains(*uid) && !done.refused.contains(*uid)).collect();
        names.remove(&gone);
        drop(names);
        work.dirs.own_change(self, known);
        for (sub, was_there) in [("new", from_new), ("cur", from_cur)] {
            if was_there && self.syncs() {
                // Without it a deleted message could come back after a crash; that alone is no failure.
                let _ = self.fs.sync_dir(&self.dir.join(sub));
            }
        }
        Ok(done)
    }

    /// Tries `step` on each name that a message's file may have.
    fn first(
        &self,
        candidates: Vec<(Seen, Vec<u8>)>,
        is_refusal: impl Fn(&io::Error) -> bool,
        step: impl Fn(&(Seen, Vec<u8>)) -> io::Result<(Seen, Vec<u8>)>,
    ) -> Result<Outcome> {
        for candidate in candidates {
            match step(&candidate) {
                Ok((seen, name)) => return Ok(Outcome::Done(seen, name)),
                Err(error) if crate::fs::is_missing(&error) => {}
                Err(error) if is_refusal(&error) => return Ok(Outcome::Refused),
                Err(error) => return Err(Error::io("rename", self.file(candidate.0, &candidate.1), error)),
            }
        }
        Ok(Outcome::Lost)
    }

    fn rename(
        &self,
        (seen, name): &(Seen, Vec<u8>),
        change: impl Fn(Flags, u32) -> (Flags, u32),
    ) -> io::Result<(Seen, Vec<u8>)> {
        let (flags, bits) = filename::flags(name);
        let (flags, bits) = change(flags, bits);
        let new = filename::with_flags(name, flags, bits);
        let from = self.file(*seen, name);
        if new == *name || *seen == Seen::New && flags.is_empty() && bits == 0 {
            // Nothing to do, if it is there.
            return match self.fs.stamp(&from)? {
                Some(_) => Ok((*seen, name.clone())),
                None => Err(io::ErrorKind::NotFound.into()),
            };
        }
        self.fs.rename(&from, &join(&self.dir.join("cur"), &new))?;
        Ok((Seen::Cur, new))
    }

    pub(super) fn file(&self, seen: Seen, name: &[u8]) -> std::path::PathBuf {
        join(&self.dir.join(if seen == Seen::New { "new" } else { "cur" }), name)
    }

    /// Writes UIDLs into the uidlist, where Dovecot keeps them, too.
    pub(super) fn write_uidls(&self, uidls: &[(Uid, String)]) -> Result<()> {
        let mut names = self.names();
        names.refresh(self, true)?;
        for (uid, uidl) in uidls {
            let Some(entry) = names.entry_mut(*uid) else { continue };
            // Empty is short for "the file name".
            let is_name = uidl.as_bytes() == filename::base(&entry.name);
            let value = if is_name { "" } else { uidl.as_str() };
            entry.fields = uidlist::with_field(&entry.fields, b'P', value.as_bytes()).into();
        }
        names.recreate = true;
        let end = names.entries.len();
        names.write(self, end, &[])
    }
}

impl Maildir {
    /// Notes a counted size for the uidlist, if neither that nor the file's name has one. `false` where it
    /// cannot be written.
    pub(super) fn note_size(&self, uid: Uid, size: u64) -> bool {
        let mut names = self.names();
        if names.refuses_sizes {
            return false;
        }
        let Some(entry) = names.entry_mut(uid) else { return false };
        if self.sizes(entry).1.is_none() {
            entry.fields = uidlist::with_field(&entry.fields, b'W', size.to_string().as_bytes()).into();
            names.sizes.insert(uid, size);
            // Whoever writes the list for another reason takes them along.
            names.recreate = true;
        }
        true
    }

    /// Writes sizes that were noted into the uidlist. Where that fails the cache has to do.
    pub(super) fn write_sizes(&self) {
        let sizes = std::mem::take(&mut self.names().sizes);
        if sizes.is_empty() {
            return;
        }
        let written = self.lock_uidlist().and_then(|_guard| {
            let mut names = self.names();
            names.refresh(self, true)?;
            let mut is_new = false;
            for (uid, size) in sizes {
                let Some(entry) = names.entry_mut(uid) else { continue };
                // The list may have been read anew since, without them.
                if uidlist::field(&entry.fields, b'W').is_none() {
                    entry.fields =
                        uidlist::with_field(&entry.fields, b'W', size.to_string().as_bytes()).into();
                    is_new = true;
                }
            }
            names.recreate |= is_new;
            let end = names.entries.len();
            names.write(self, end, &[])
        });
        if let Err(error) = written {
            self.names().refuses_sizes = true;
            if !matches!(error, Error::NoPermission(_) | Error::Denied(_) | Error::NoSpace { .. }) {
                self.logger.error(base::chain(&error));
            }
        }
    }
}

/// Remembers where a file is now, or that it could not be changed.
fn note(names: &mut Names, done: &mut Done, uid: Uid, outcome: Outcome) {
    match outcome {
        Outcome::Lost => done.lost.insert(uid),
        Outcome::Refused => done.refused.insert(uid),
        Outcome::Done(seen, name) => {
            if let Some(entry) = names.entry_mut(uid) {
                (entry.seen, entry.name) = (seen, name.into_boxed_slice());
            }
        }
    }
}

/// The store cannot be changed now; the index can remember what was asked for.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
    )
}
