//! Gives back the room of messages that nobody refers to, and moves messages between the two places:
//! what stays of a file is appended to others, then the file goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Uid;
use index::{Locked, Transaction};
use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::fs::is_missing;
use crate::source::ReadAt;

use super::append::{Appender, copy_bytes};
use super::files::Needs;
use super::map::{self, Entry};
use super::store::{AltMoves, Store, lock};
use crate::dbox::apart;
use crate::dbox::file::{DboxFile, Message};
use crate::dbox::metadata::Metadata;
use crate::dbox::records::{MAP, MapRecord};

/// What becomes of one file.
struct FilePurge<'a> {
    store: &'a Arc<Store>,
    moves: &'a AltMoves,
    id: u32,
    path: PathBuf,
    in_alt: bool,
    file: Arc<std::fs::File>,
}

/// The attachments of a message that is of no use.
struct Unused {
    /// Bytes of the message with header and metadata.
    size: u32,
    guid: Option<String>,
    names: Vec<String>,
}

impl Store {
    /// `doveadm purge`. What it finds to be damaged is mended, then it begins again, once.
    pub(crate) fn purge(self: &Arc<Self>) -> Result<()> {
        self.settle_files()?;
        let moves = std::mem::take(&mut *lock(&self.alt_moves));
        let mut result = self.purge_all(&moves);
        if self.corrupted().is_some() {
            self.rebuild(false)?;
            result = self.purge_all(&moves);
        }
        result
    }

    /// Has the map know all that is in the files. What it does not know was left by whoever died before
    /// telling it: copies of messages, made by a purge, would later seem to be messages that it has lost.
    fn settle_files(&self) -> Result<()> {
        let mut lock = self.lock_map()?;
        let map = lock.locked()?;
        let mut known: BTreeMap<u32, Vec<MapRecord>> = BTreeMap::new();
        for (_, entry) in map::entries(map.view()) {
            let Some(place) = entry.map(|entry| entry.place) else { continue };
            known.entry(place.file_id).or_default().push(place);
        }
        let mut unknown = Vec::new();
        for dir in [Some(&self.dir), self.alt_dir.as_ref()].into_iter().flatten() {
            let mut files = self.file_ids(dir)?;
            files.retain(|id, path| !self.is_known(path, known.get_mut(id)));
            unknown.extend(files.into_values());
        }
        if unknown.is_empty() {
            return Ok(());
        }
        for path in &unknown {
            self.logger.warning(format_args!("mdbox map: not all of {} is known", path.display()));
        }
        self.set_corrupted();
        drop(map);
        drop(lock);
        self.rebuild(false)
    }

    /// Whether there is nothing in a file but what the map has of it, and what is being added right now.
    fn is_known(&self, path: &Path, places: Option<&mut Vec<MapRecord>>) -> bool {
        let Ok(file) = self.fs.open(path) else { return true };
        let size = file.size().unwrap_or(0);
        let Some(places) = places else {
            return DboxFile::open(file).is_ok_and(|dbox| size == dbox.header().bytes);
        };
        places.sort_unstable_by_key(|place| place.offset);
        let begins = places.first().is_none_or(|first| first.offset < FIRST_OFFSET_MAX);
        let follow = places.windows(2).all(|two| matches!(two, [a, b] if a.end() == u64::from(b.offset)));
        let ends = places.last().is_none_or(|last| last.end() >= size);
        let is_busy =
            || flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK);
        begins && follow && (ends || is_busy())
    }

    fn purge_all(self: &Arc<Self>, moves: &AltMoves) -> Result<()> {
        let purge = |id| self.purge_file(id, moves);
        self.purgeable(moves)?.into_iter().try_for_each(purge).inspect_err(|error| {
            self.logger.error(base::chain(error));
        })
    }

    /// The files with something to be done.
    fn purgeable(&self, moves: &AltMoves) -> Result<BTreeSet<u32>> {
        let view = {
            let mut map = self.map()?;
            let index = map.index()?;
            index.refresh()?;
            self.publish(index);
            index.view().clone()
        };
        let unused = map::entries(&view).filter_map(|(_, entry)| entry).filter(|entry| entry.refcount == 0);
        let mut ids: BTreeSet<u32> = unused.map(|entry| entry.place.file_id).collect();
        if self.alt_dir.is_none() || moves.to_alt.is_empty() && moves.from_alt.is_empty() {
            return Ok(ids);
        }
        let primary = self.file_ids(&self.dir)?;
        let entries = |uid: &Uid| map::entry(&view, *uid);
        ids.extend(
            moves.to_alt.keys().filter_map(entries).filter(|entry| moves.goes_to_alt(entry)).filter_map(
                |entry| primary.contains_key(&entry.place.file_id).then_some(entry.place.file_id),
            ),
        );
        ids.extend(moves.from_alt.keys().filter_map(entries).filter_map(|entry| {
            (!primary.contains_key(&entry.place.file_id)).then_some(entry.place.file_id)
        }));
        Ok(ids)
    }

    fn purge_file(self: &Arc<Self>, id: u32, moves: &AltMoves) -> Result<()> {
        for path in self.paths(id) {
            let file = match self.fs.open_write(&path) {
                Ok(file) => Arc::new(file),
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(Error::io("open", path, error)),
            };
            let in_alt = self.alt_dir.as_ref().is_some_and(|alt| path.starts_with(alt));
            return FilePurge { store: self, moves, id, path, in_alt, file }.run();
        }
        self.forget_file(id)
    }

    /// Takes what the map still has of a file that is gone out of it.
    fn forget_file(&self, id: u32) -> Result<()> {
        let mut lock = self.lock_map()?;
        self.forget(&mut lock.locked()?, id)
    }

    fn forget(&self, map: &mut Locked<'_>, id: u32) -> Result<()> {
        let mut tx = Transaction::new();
        for (uid, entry) in map::entries(map.view()) {
            if entry.is_some_and(|entry| entry.place.file_id == id) {
                tx.expunge(uid, base::Guid::default());
            }
        }
        if !tx.is_empty() {
            map.synced_with(&tx)?;
        }
        self.publish(map);
        Ok(())
    }
}

impl AltMoves {
    /// Whether all of a message's references asked for it to be in the alternative place.
    fn goes_to_alt(&self, entry: &Entry) -> bool {
        self.to_alt.get(&entry.uid).is_some_and(|&count| count >= u32::from(entry.refcount))
            && !self.from_alt.contains_key(&entry.uid)
    }
}

impl FilePurge<'_> {
    fn run(&self) -> Result<()> {
        let unused = self.replace()?;
        self.delete_attachments(unused)
    }

    /// Does it, and gives the attachments of what is gone.
    fn replace(&self) -> Result<Vec<Unused>> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // Somebody appends to it or purges it: another time.
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("file_try_lock", self.path.clone(), error.into())),
        }
        if !self.is_current()? {
            return Ok(Vec::new());
        }
        let mut entries = self.entries()?;
        entries.sort_by_key(|entry| entry.place.offset);
        let mut appender = Appender::new(self.store.clone());
        let (kept, unused_attachments) = self.copy(&entries, &mut appender)?;
        appender.flush()?;
        let mut map = self.store.map()?;
        let mut map = map.index()?.lock()?;
        if !self.store.check(&mut map)? {
            // Nobody knows what is of use.
            return Ok(Vec::new());
        }
        // A message that was of no use may have been copied to a mailbox meanwhile.
        let mut unused = entries.iter().filter(|entry| entry.refcount == 0);
        let is_used_now =
            |entry: &Entry| map::entry(map.view(), entry.uid).is_some_and(|now| now.refcount > 0);
        if unused.any(is_used_now) {
            return Ok(Vec::new());
        }
        self.enter(&mut map, &kept, &mut appender)?;
        self.store.publish(&map);
        appender.commit();
        // Only now, or readers would not find its messages in either place.
        let unlinked = self.store.fs.unlink(&self.path);
        unlinked.map_err(|error| Error::io("unlink", self.path.clone(), error))?;
        if let Some(dir) = self.path.parent().filter(|_| self.store.syncs()) {
            // A rebuild after a crash would find what was expunged in a file that is back.
            let _ = self.store.fs.sync_dir(dir);
        }
        // And only now, for until then the map says that the rest of it is of no use.
        self.store.forget(&mut map, self.id)?;
        Ok(unused_attachments)
    }

    fn is_current(&self) -> Result<bool> {
        let failed = |error| Error::io("stat", self.path.clone(), error);
        let fs = &self.store.fs;
        let (now, ours) = (fs.stamp(&self.path).map_err(failed)?, fs.stamp_of(&self.file).map_err(failed)?);
        Ok(now.map(|now| (now.dev, now.ino)) == Some((ours.dev, ours.ino)))
    }

    /// The map's messages in this file, looked up after it was locked.
    fn entries(&self) -> Result<Vec<Entry>> {
        let mut map = self.store.map()?;
        let index = map.index()?;
        index.refresh()?;
        self.store.publish(index);
        let all = map::entries(index.view()).filter_map(|(_, entry)| entry);
        Ok(all.filter(|entry| entry.place.file_id == self.id).collect())
    }

    /// Copies what is of use, checking that the file is what the map says. Gives what was copied,
    /// and the attachments of the rest.
    fn copy(&self, entries: &[Entry], appender: &mut Appender) -> Result<(Vec<Uid>, Vec<Unused>)> {
        let damaged = |error| self.store.damaged(&self.path, error);
        let dbox = DboxFile::open(self.file.clone()).map_err(damaged)?;
        let mut at = dbox.header().bytes;
        let (mut kept, mut unused) = (Vec::new(), Vec::new());
        for entry in entries {
            let message = dbox.message(at).map_err(damaged)?;
            if u64::from(entry.place.offset) != at {
                return Err(self.mismatch(at, "purging found mismatched offsets"));
            }
            let metadata = dbox.metadata(&message).map_err(damaged)?;
            if entry.refcount > 0 {
                self.copy_message(&message, metadata.end, entry, appender)?;
                kept.push(entry.uid);
            } else if let Some(one) = self.unused(entry, &metadata) {
                unused.push(one);
            }
            at = metadata.end;
            crate::progress::step();
        }
        let size = self.file.size().map_err(|error| Error::io("fstat", self.path.clone(), error))?;
        if at != size {
            return Err(self.mismatch(at, "more messages available than in map"));
        }
        Ok((kept, unused))
    }

    fn unused(&self, entry: &Entry, metadata: &Metadata) -> Option<Unused> {
        match apart::refs(metadata, &self.path) {
            Ok(refs) if refs.is_empty() => None,
            Ok(refs) => Some(Unused {
                size: entry.place.size,
                guid: metadata.guid().map(str::to_owned),
                names: refs.into_iter().map(|one| one.path).collect(),
            }),
            Err(error) => {
                self.store.logger.warning(base::chain(&error));
                None
            }
        }
    }

    /// Removes the attachments of messages that are gone.
    fn delete_attachments(&self, all: Vec<Unused>) -> Result<()> {
        let Some(attachments) = &self.store.attachments else { return Ok(()) };
        for one in all {
            if !self.is_elsewhere(&one)? {
                apart::delete(attachments, one.names.iter().map(String::as_str));
            }
        }
        Ok(())
    }

    /// Whether the same message is still in use: a purge that was cut short leaves it twice.
    fn is_elsewhere(&self, gone: &Unused) -> Result<bool> {
        let view = {
            let mut map = self.store.map()?;
            let index = map.index()?;
            index.refresh()?;
            self.store.publish(index);
            index.view().clone()
        };
        let used = map::entries(&view).filter_map(|(_, entry)| entry);
        for entry in used.filter(|entry| entry.refcount > 0 && entry.place.size == gone.size) {
            let Some(found) = self.store.locate(entry.uid, Needs::Metadata)? else { continue };
            let metadata = found.metadata();
            let metadata = metadata.map_err(|error| self.store.damaged(&found.file.path, error))?;
            if metadata.guid() == gone.guid.as_deref() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn mismatch(&self, offset: u64, what: &'static str) -> Error {
        self.store.set_corrupted();
        Error::Corrupt { path: self.path.clone(), offset, what: what.to_owned() }
    }

    fn copy_message(
        &self,
        message: &Message,
        end: u64,
        entry: &Entry,
        appender: &mut Appender,
    ) -> Result<()> {
        let in_alt = match self.in_alt {
            true => !self.moves.from_alt.contains_key(&entry.uid),
            false => self.moves.goes_to_alt(entry),
        };
        let slot = appender.next(message.size, in_alt)?;
        let count = end - message.offset;
        match copy_bytes(&self.store.fs, &self.file, message.offset, count, &slot) {
            Ok(()) => appender.finish(&slot, slot.offset + count),
            Err(error) => {
                appender.abort(&slot);
                Err(Error::io("write", slot.path, error))
            }
        }
    }

    /// Has the map know where the messages are now.
    fn enter(&self, map: &mut Locked<'_>, kept: &[Uid], appender: &mut Appender) -> Result<()> {
        let mut tx = Transaction::new();
        map::declare(&mut tx);
        tx.fsync();
        let next = map::header(map).highest_file_id.saturating_add(1);
        if let Some(highest) = appender.assign_ids(next)? {
            tx.ext_header(MAP, 0, &highest.to_le_bytes());
        }
        appender.flush_names()?;
        for (&uid, place) in kept.iter().zip(appender.places()) {
            // One that is gone by now was expunged and purged by somebody else; its bytes are of no use
            // and go with the next purge of their new file, which a rebuild has to find.
            if map.view().record(uid).is_some() {
                tx.ext_record(MAP, uid, &place.to_bytes());
            } else if let Some(uid) = Uid::new(map.header().next_uid) {
                map::append(&mut tx, uid, &place, 0);
            }
        }
        Ok(map.synced_with(&tx)?)
    }
}

/// More than the first line of a file has, and less than that and a message.
const FIRST_OFFSET_MAX: u32 = 64;
