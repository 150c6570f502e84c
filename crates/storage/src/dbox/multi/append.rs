//! Adding messages to `m.N` files: to one that has room, young enough and not in use, or to a new one.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Seq;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use crate::error::{Error, Result};
use crate::fs::{Fs, is_missing};
use crate::limits::READ_BYTES;
use crate::source::ReadAt;
use crate::view::View;

use super::map;
use super::store::{Store, lock};
use crate::dbox::file::DboxFile;
use crate::dbox::header::FileHeader;
use crate::dbox::names;
use crate::dbox::records::MapRecord;
use crate::dbox::write::unix_secs;

/// Files that are being added to. Dropped without [`commit`](Self::commit), all is taken back.
pub(crate) struct Appender {
    store: Arc<Store>,
    files: Vec<AppendFile>,
    messages: Vec<Appended>,
    /// All of it is on disk.
    is_flushed: bool,
}

/// The file that was added to last, open and not locked: mostly the next message goes there, too. One batch
/// takes it at a time, since those who share an open file share its lock.
pub(super) struct Spare {
    id: u32,
    in_alt: bool,
    known: Known,
    /// Where it ended.
    end: u64,
}

/// An `m.N` file that was there before.
struct Known {
    dbox: DboxFile<Arc<File>>,
    /// Device and inode.
    identity: (u64, u64),
}

/// A file with our lock on it, if it was there before.
struct AppendFile {
    /// `None` while it has a temporary name.
    id: Option<u32>,
    path: PathBuf,
    file: Arc<File>,
    in_alt: bool,
    /// Bytes that were there before.
    start: u64,
    /// Behind the last whole message.
    end: u64,
    /// A message was given up in it: nothing more goes there.
    is_closed: bool,
    known: Option<Known>,
}

/// A whole message.
struct Appended {
    file: usize,
    offset: u64,
    size: u64,
}

/// Where the next message goes.
pub(crate) struct Slot {
    file: usize,
    pub offset: u64,
    pub handle: Arc<File>,
    pub path: PathBuf,
}

impl Appender {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, files: Vec::new(), messages: Vec::new(), is_flushed: false }
    }

    /// A place for a message of about `size` bytes.
    pub(crate) fn next(&mut self, size: u64, in_alt: bool) -> Result<Slot> {
        self.is_flushed = false;
        let at = match self.find_open(size, in_alt) {
            Some(at) => at,
            None => {
                let found = self.find_existing(size, in_alt)?;
                let file = found.map_or_else(|| self.create(in_alt), Ok)?;
                self.files.push(file);
                self.files.len() - 1
            }
        };
        let file =
            self.files.get(at).ok_or_else(|| Error::InUse("mdbox: no file to append to".to_owned()))?;
        // The map has 32 bits for offsets.
        Ok(Slot { file: at, offset: file.end, handle: file.file.clone(), path: file.path.clone() })
    }

    /// A file that this batch has open already.
    fn find_open(&self, size: u64, in_alt: bool) -> Option<usize> {
        let limit = self.store.settings.mdbox_rotate_size;
        self.files.iter().rposition(|file| {
            !file.is_closed && file.in_alt == in_alt && file.end.saturating_add(size) <= limit
        })
    }

    /// A file of the map.
    fn find_existing(&self, size: u64, in_alt: bool) -> Result<Option<AppendFile>> {
        let store = &self.store;
        let limit = store.settings.mdbox_rotate_size;
        if size >= limit {
            return Ok(None);
        }
        let view = self.refresh()?;
        let stamp = oldest(store.settings.mdbox_rotate_interval.as_secs());
        let mut seen: HashSet<u32> = self.files.iter().filter_map(|file| file.id).collect();
        if in_alt {
            // The others are known to be in the alternative place without looking there.
            seen.extend(store.file_ids(&store.dir)?.keys());
        }
        let mut tries = 0;
        for at in (0..view.len() as usize).rev() {
            let uid = Seq::from_index(at).and_then(|seq| view.uid(seq));
            let Some(entry) = uid.and_then(|uid| map::entry(&view, uid)) else { continue };
            if !seen.insert(entry.place.file_id) {
                continue;
            }
            tries += 1;
            if tries > BACKWARDS_MAX {
                break;
            }
            if entry.place.end().saturating_add(size) >= limit {
                continue;
            }
            match self.try_file(&entry.place, size, in_alt, stamp)? {
                Try::Takes(file) => return Ok(Some(file)),
                Try::Not => {}
                // So are the files before it.
                Try::TooOld => break,
            }
        }
        Ok(None)
    }

    /// The map as it is now. Nothing must be added to a file behind messages that are not in it.
    fn refresh(&self) -> Result<Arc<View>> {
        let store = &self.store;
        let mut map = store.map()?;
        let mut index = map.index()?;
        index.refresh()?;
        if !map::is_sound(index)
            && let Some(added) = index.added_behind_tail()?
            && !store.are_whole(index.view(), &added)?
        {
            drop(map);
            drop(store.lock_map()?);
            map = store.map()?;
            index = map.index()?;
        }
        store.publish(index);
        Ok(index.view().clone())
    }

    fn try_file(&self, last: &MapRecord, size: u64, in_alt: bool, stamp: u64) -> Result<Try> {
        let store = &self.store;
        let dir = if in_alt { store.alt_dir.as_ref() } else { Some(&store.dir) };
        let Some(path) = dir.map(|dir| dir.join(names::multi(last.file_id))) else { return Ok(Try::Not) };
        let spare = lock(&store.spare).take_if(|spare| (spare.id, spare.in_alt) == (last.file_id, in_alt));
        let opened = match spare {
            Some(spare) => Some((spare.known, spare.end)),
            None => self.open(&path)?.map(|known| (known, 0)),
        };
        let Some((known, end)) = opened else { return Ok(Try::Not) };
        // Not the last of its messages need have the highest UID.
        let known_end = last.end().max(end);
        let (dbox, file) = (&known.dbox, known.dbox.source().clone());
        if dbox.header().created < stamp {
            return Ok(Try::TooOld);
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Try::Not),
            Err(error) => return Err(Error::io("file_try_lock", path, error.into())),
        }
        // It may have been purged, or mended, between opening and locking.
        let now = store.fs.stamp(&path).map_err(|error| Error::io("stat", path.clone(), error))?;
        let Some(now) = now.filter(|now| (now.dev, now.ino) == known.identity) else { return Ok(Try::Not) };
        let end = now.size;
        let sound =
            end == known_end || dbox.is_sound_from(known_end).map_err(|error| store.damaged(&path, error))?;
        if !sound {
            let (path, at) = (path.display(), known_end);
            store
                .logger
                .error(format_args!("Corrupted dbox file {path} (around offset={at}): garbage at the end"));
            store.set_corrupted();
            return Ok(Try::Not);
        }
        let fits = end.saturating_add(size) <= store.settings.mdbox_rotate_size;
        if !dbox.header().is_appendable() || !fits {
            return Ok(Try::Not);
        }
        let id = Some(last.file_id);
        let known = Some(known);
        Ok(Try::Takes(AppendFile { id, path, file, in_alt, start: end, end, is_closed: false, known }))
    }

    /// A file that is there, unless it cannot be used.
    fn open(&self, path: &Path) -> Result<Option<Known>> {
        let fs = &self.store.fs;
        let file = match fs.open_write(path) {
            Ok(file) => Arc::new(file),
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let stamp = fs.stamp_of(&file).map_err(|error| Error::io("fstat", path, error))?;
        let Ok(dbox) = DboxFile::open(file.clone()) else { return Ok(None) };
        Ok(Some(Known { dbox, identity: (stamp.dev, stamp.ino) }))
    }

    fn create(&self, in_alt: bool) -> Result<AppendFile> {
        let store = &self.store;
        let dir = match &store.alt_dir {
            Some(alt) if in_alt => alt,
            _ => &store.dir,
        };
        let permissions = store.permissions();
        let path = dir.join(names::temporary(&store.settings.hostname));
        let made = match store.fs.create_new(&path, &permissions) {
            Err(error) if is_missing(&error) => {
                let made = store.fs.mkdir_all(dir, &permissions);
                made.map_err(|error| Error::io("mkdir", dir.clone(), error))?;
                store.fs.create_new(&path, &permissions)
            }
            made => made,
        };
        let file = Arc::new(made.map_err(|error| Error::io("open", path.clone(), error))?);
        let now = u64::try_from(unix_secs(std::time::SystemTime::now())).unwrap_or(0);
        let header = FileHeader::new(now);
        if store.settings.mdbox_preallocate_space {
            // Where the file system cannot, nothing is lost.
            let _ = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, store.settings.mdbox_rotate_size);
        }
        let mut new =
            AppendFile { id: None, path, file, in_alt, start: 0, end: 0, is_closed: false, known: None };
        if let Err(error) = store.fs.write_at(&new.file, &new.path, &header.to_line(), 0) {
            let _ = store.fs.unlink(&new.path);
            return Err(Error::io("write", new.path.clone(), error));
        }
        new.end = header.bytes;
        Ok(new)
    }

    /// The message in this place is whole and ends at `end`.
    pub(crate) fn finish(&mut self, slot: &Slot, end: u64) -> Result<()> {
        let offset_max = u64::from(u32::MAX);
        if end > offset_max {
            self.abort(slot);
            return Err(Error::Unsupported("Message is too large for mdbox".to_owned()));
        }
        if let Some(file) = self.files.get_mut(slot.file) {
            file.end = end;
        }
        self.messages.push(Appended { file: slot.file, offset: slot.offset, size: end - slot.offset });
        Ok(())
    }

    /// The message in this place is given up.
    pub(crate) fn abort(&mut self, slot: &Slot) {
        if let Some(file) = self.files.get_mut(slot.file) {
            file.is_closed = true;
            let _ = self.store.fs.truncate(&file.file, &file.path, file.end);
        }
    }

    /// Gives new files their ids, from `next` on, under the map's lock. Gives the highest id used, or
    /// `None` if there was no new file.
    pub(crate) fn assign_ids(&mut self, mut next: u32) -> Result<Option<u32>> {
        let mut highest = None;
        let used: HashSet<usize> = self.messages.iter().map(|message| message.file).collect();
        for (at, file) in self.files.iter_mut().enumerate() {
            if file.id.is_some() || !used.contains(&at) {
                continue;
            }
            let dir = file.path.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
            loop {
                let path = dir.join(names::multi(next));
                match self.store.fs.rename_new(&file.path, &path) {
                    Ok(()) => {
                        (file.id, file.path) = (Some(next), path);
                        break;
                    }
                    // Whoever made the file died before the map knew of it. It stays until a rebuild, which
                    // finds out what it is.
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                        let path = path.display();
                        self.store.logger.error(format_args!("mdbox: {path} already exists"));
                        self.store.set_corrupted();
                        next = next.saturating_add(1);
                    }
                    Err(error) => return Err(Error::io("rename", file.path.clone(), error)),
                }
            }
            highest = Some(next);
            next = next.saturating_add(1);
        }
        Ok(highest)
    }

    /// Begins to write the messages to disk, for somebody who forces something else there first.
    pub(crate) fn begin_flush(&self) {
        for file in self.written() {
            self.store.fs.begin_sync(&file.file, file.start, file.end);
        }
    }

    /// Forces the messages to disk, once.
    pub(crate) fn flush(&mut self) -> Result<()> {
        for file in self.written() {
            let done = self.store.fs.sync(&file.file, &file.path);
            done.map_err(|error| Error::io("fdatasync", file.path.clone(), error))?;
        }
        self.is_flushed = true;
        Ok(())
    }

    /// Whether [`flush`](Self::flush) has had all that is there.
    pub(crate) fn is_flushed(&self) -> bool {
        self.is_flushed
    }

    /// Whether all messages are in files that were there before.
    pub(crate) fn is_settled(&self) -> bool {
        let in_old = |message: &Appended| self.files.get(message.file).is_some_and(|file| file.id.is_some());
        !self.messages.is_empty() && self.messages.iter().all(in_old)
    }

    fn written(&self) -> impl Iterator<Item = &AppendFile> {
        let syncs = self.store.syncs() && !self.is_flushed;
        self.files.iter().filter(move |file| file.end > file.start && syncs)
    }

    /// Forces the names of new files to disk.
    pub(crate) fn flush_names(&self) -> Result<()> {
        let store = &self.store;
        for (dir, in_alt) in [(Some(&store.dir), false), (store.alt_dir.as_ref(), true)] {
            let used = self.files.iter().any(|file| file.start == 0 && file.in_alt == in_alt);
            if let Some(dir) = dir.filter(|_| used && store.syncs()) {
                store.fs.sync_dir(dir).map_err(|error| Error::io("fsync", dir.clone(), error))?;
            }
        }
        Ok(())
    }

    /// Has the messages in files that are there: with the map locked, before they are entered. 2.3 puts a mended
    /// file in the place of one that is being added to, for it takes what is half written for damage.
    pub(crate) fn settle(&mut self) -> Result<()> {
        for at in 0..self.files.len() {
            let Some(old) = self.files.get(at) else { break };
            let is_used = self.messages.iter().any(|message| message.file == at);
            if !is_used || self.is_current(old)? {
                continue;
            }
            let (path, in_alt, handle) = (old.path.clone(), old.in_alt, old.file.clone());
            let (name, what) = (path.display(), "was replaced while messages were added to it");
            self.store.logger.warning(format_args!("mdbox: {name} {what}, they go to another file"));
            let new = self.create(in_alt)?;
            self.files.push(new);
            self.is_flushed = false;
            self.move_messages(at, &handle)?;
        }
        Ok(())
    }

    fn is_current(&self, file: &AppendFile) -> Result<bool> {
        let Some(known) = &file.known else { return Ok(true) };
        let now = self.store.fs.stamp(&file.path);
        let now = now.map_err(|error| Error::io("stat", file.path.clone(), error))?;
        Ok(now.map(|now| (now.dev, now.ino)) == Some(known.identity))
    }

    /// Copies the messages of a file to the one that was made last.
    fn move_messages(&mut self, from: usize, handle: &File) -> Result<()> {
        let last = self.files.len().saturating_sub(1);
        let Some(to) = self.files.get_mut(last) else { return Ok(()) };
        for message in self.messages.iter_mut().filter(|message| message.file == from) {
            let slot = Slot { file: last, offset: to.end, handle: to.file.clone(), path: to.path.clone() };
            let copied = copy_bytes(&self.store.fs, handle, message.offset, message.size, &slot);
            copied.map_err(|error| Error::io("write", slot.path, error))?;
            (message.file, message.offset) = (last, slot.offset);
            to.end += message.size;
        }
        Ok(())
    }

    /// Whether no message was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Where the messages are, in order. Only once all files have ids.
    pub(crate) fn places(&self) -> Vec<MapRecord> {
        let place = |message: &Appended| MapRecord {
            file_id: self.files.get(message.file).and_then(|file| file.id).unwrap_or(0),
            // `finish` has seen to it that both fit.
            offset: u32::try_from(message.offset).unwrap_or(0),
            size: u32::try_from(message.size).unwrap_or(0),
        };
        self.messages.iter().map(place).collect()
    }

    /// The map has the messages: they stay.
    pub(crate) fn commit(mut self) {
        for mut file in std::mem::take(&mut self.files) {
            let Some(id) = file.id else {
                let _ = self.store.fs.unlink(&file.path);
                continue;
            };
            let (known, in_alt, end) = (file.known.take(), file.in_alt, file.end);
            // First unlocks it.
            drop(file);
            if let Some(known) = known {
                *lock(&self.store.spare) = Some(Spare { id, in_alt, known, end });
            }
        }
    }
}

impl Drop for AppendFile {
    fn drop(&mut self) {
        if self.start > 0 {
            // Closing is not enough while a program that is being started has the descriptor, too.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
}

enum Try {
    Takes(AppendFile),
    Not,
    TooOld,
}

impl Drop for Appender {
    fn drop(&mut self) {
        for file in std::mem::take(&mut self.files) {
            let fs = &self.store.fs;
            let _ = match file.start {
                0 => fs.unlink(&file.path),
                start => fs.truncate(&file.file, &file.path, start),
            };
        }
    }
}

/// Copies a message as it lies to another file.
pub(super) fn copy_bytes(fs: &Fs, from: &File, offset: u64, count: u64, slot: &Slot) -> std::io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let mut done = 0;
    while done < count {
        let want = usize::try_from(count - done).unwrap_or(READ_BYTES).min(READ_BYTES);
        let read = from.read_at(buffer.get_mut(..want).unwrap_or_default(), offset + done)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        fs.write_at(&slot.handle, &slot.path, buffer.get(..read).unwrap_or_default(), slot.offset + done)?;
        done += read as u64;
    }
    Ok(())
}

/// Files made before this, in seconds since 1970, are not appended to: the beginning of the local day,
/// hour or minute, and as many before it as `mdbox_rotate_interval` has.
fn oldest(interval: u64) -> u64 {
    if interval == 0 {
        return 0;
    }
    let now = jiff::Zoned::now();
    let unit = [86_400, 3600, 60].into_iter().find(|&unit| interval >= unit).unwrap_or(1);
    let start = match unit {
        86_400 => now.start_of_day().ok(),
        3600 => now.with().minute(0).second(0).build().ok(),
        60 => now.with().second(0).build().ok(),
        _ => None,
    };
    let start = u64::try_from(start.unwrap_or(now).timestamp().as_second()).unwrap_or(0);
    start.saturating_sub(interval - unit)
}

/// 2.3's MAX_BACKWARDS_LOOKUPS.
const BACKWARDS_MAX: usize = 10;
