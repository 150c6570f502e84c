//! What all mdbox mailboxes of a root share: the map, the open `m.N` files, and whether all of it is to
//! be made anew.
//!
//! Locks are taken in this order: a mailbox's work mutex, the map's mutex, the map's log, the `m.N`
//! files (never waited for), a mailbox's log.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use base::{Logger, Uid};
use index::{Index, Locked, Origin, Transaction};

use crate::attachment;
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, is_missing, join};
use crate::indexed::Context;
use crate::place::PlaceOf;
use crate::settings::{FsyncMode, MailSettings};
use crate::view::View;

use super::append::Spare;
use super::files::Files;
use super::map::{self, Entry};
use super::reserve::Reserve;
use crate::dbox::FileError;
use crate::dbox::file::DboxFile;
use crate::dbox::mailbox::MailboxPlace;
use crate::dbox::names;
use crate::dbox::places::Places;
use crate::dbox::records::{MapRecord, REF};
use crate::dbox::repair::Repair;

/// See the module.
pub(crate) struct Store {
    pub places: Places,
    pub fs: Fs,
    pub settings: Arc<MailSettings>,
    /// Where attachments are, if they are stored apart.
    pub attachments: Option<Arc<attachment::Store>>,
    pub logger: Logger,
    /// With the `m.N` files.
    pub dir: PathBuf,
    /// The same in the alternative place.
    pub alt_dir: Option<PathBuf>,
    map: Mutex<Option<Index>>,
    /// The map as it was seen last; held for moments.
    pub(super) view: Mutex<Arc<View>>,
    /// How often the storage had been rebuilt by then; `u32::MAX` while nobody has looked.
    rebuild_count: AtomicU32,
    /// The map's UIDVALIDITY; 0 while nobody has looked.
    uid_validity: AtomicU32,
    /// Recently used files.
    pub(super) files: Files,
    pub(super) spare: Mutex<Option<Spare>>,
    /// What messages to come will be in the map.
    pub(super) reserve: Mutex<Reserve>,
    /// Something does not fit together; with how often the storage had been rebuilt by then.
    corrupted: Mutex<Option<u32>>,
    /// Messages of the map that are to be moved to the alternative place, with how many of their
    /// references asked for it, and those that are to be moved back.
    pub alt_moves: Mutex<AltMoves>,
    /// Where mailboxes are named by their GUIDs.
    pub by_guid: OnceLock<PlaceOf>,
}

/// See [`Store::alt_moves`].
#[derive(Default)]
pub(crate) struct AltMoves {
    pub to_alt: BTreeMap<Uid, u32>,
    pub from_alt: BTreeMap<Uid, ()>,
}

/// The map, to be used by one thread at a time.
pub(crate) struct MapGuard<'a> {
    map: MutexGuard<'a, Option<Index>>,
}

/// The map, locked until this is dropped.
pub(crate) struct MapLock<'a> {
    map: RefCell<MapGuard<'a>>,
}

impl MapGuard<'_> {
    /// The map; it was opened when the guard was made.
    pub(crate) fn index(&mut self) -> Result<&mut Index> {
        self.map.as_mut().ok_or_else(|| Error::InUse("mdbox: the map is not open".to_owned()))
    }
}

impl Store {
    /// The store at these places, shared with whoever has it open in this process.
    pub(crate) fn get(
        places: Places,
        fs: Fs,
        settings: Arc<MailSettings>,
        attachments: Option<Arc<attachment::Store>>,
        logger: Logger,
    ) -> Arc<Self> {
        let key = (places.storage(), places.map_dir(), places.alt_storage());
        let mut registry = lock(registry());
        if let Some(store) = registry.get(&key).and_then(Weak::upgrade) {
            return store;
        }
        registry.retain(|_, old| old.strong_count() > 0);
        let store = Arc::new(Self {
            dir: places.storage(),
            alt_dir: places.alt_storage(),
            places,
            fs,
            settings,
            attachments,
            logger,
            map: Mutex::default(),
            view: Mutex::new(Arc::new(View::empty(base::UidValidity::ONE, Uid::ONE))),
            rebuild_count: AtomicU32::new(u32::MAX),
            uid_validity: AtomicU32::new(0),
            files: Files::default(),
            spare: Mutex::default(),
            reserve: Mutex::default(),
            corrupted: Mutex::default(),
            alt_moves: Mutex::default(),
            by_guid: OnceLock::new(),
        });
        registry.insert(key, Arc::downgrade(&store));
        store
    }

    pub(crate) fn syncs(&self) -> bool {
        self.settings.mail_fsync != FsyncMode::Never
    }

    /// For everything below the root.
    pub(crate) fn permissions(&self) -> Permissions {
        Permissions::of_dir(&self.places.location().root)
    }

    pub(crate) fn mend(&self, path: &Path) -> Result<bool> {
        let permissions = self.permissions();
        let repair = Repair {
            fs: &self.fs,
            permissions: &permissions,
            hostname: &self.settings.hostname,
            logger: &self.logger,
            syncs: self.syncs(),
        };
        repair.mend(path)
    }

    /// The map, opened, and made if there was none.
    pub(crate) fn map(&self) -> Result<MapGuard<'_>> {
        let mut map = lock(&self.map);
        if map.is_none() {
            *map = Some(self.open_map()?);
        }
        Ok(MapGuard { map })
    }

    fn open_map(&self) -> Result<Index> {
        let (dir, permissions) = (self.places.map_dir(), self.permissions());
        for dir in [&self.dir, &dir] {
            self.fs.mkdir_all(dir, &permissions).map_err(|error| Error::io("mkdir", dir.clone(), error))?;
        }
        let mut index = map::open(&dir, permissions, &self.settings, &self.fs, &self.logger)?;
        if index.has_unread() {
            // Where it cannot be mended, the map is what could be read.
            let _ = index.lock();
        }
        if index.is_new() {
            let mut locked = index.lock()?;
            if locked.is_new() {
                map::create(&mut locked)?;
            }
            drop(locked);
            if index.view().is_empty() && self.highest_file_id()? > 0 {
                // There is mail, but the map that knew of it is lost.
                *lock(&self.corrupted) = Some(map::header(&index).rebuild_count);
            }
        }
        crate::dbox::mailbox::remove_leftovers(&self.fs, &self.dir);
        self.publish(&index);
        Ok(index)
    }

    /// Makes the map's state what lookups see.
    pub(crate) fn publish(&self, index: &Index) {
        *lock(&self.view) = index.view().clone();
        let (count, validity) = (map::header(index).rebuild_count, index.header().uid_validity);
        let was_count = self.rebuild_count.swap(count, Ordering::Relaxed);
        let was_validity = self.uid_validity.swap(validity, Ordering::Relaxed);
        if (was_count, was_validity) != (count, validity) {
            // Mended files have taken the places of damaged ones.
            self.files.clear();
        }
        if map::wants_rebuild(index) {
            lock(&self.corrupted).get_or_insert(count);
        }
    }

    /// UIDVALIDITY of the map.
    pub(crate) fn uid_validity(&self) -> Result<u32> {
        match self.uid_validity.load(Ordering::Relaxed) {
            0 => Ok(self.map()?.index()?.header().uid_validity),
            known => Ok(known),
        }
    }

    /// How often the storage has been rebuilt, as it was seen last. May be called with a mailbox locked,
    /// which must not wait for the map: whoever has that may wait for the mailbox.
    pub(crate) fn rebuild_count(&self) -> u32 {
        self.rebuild_count.load(Ordering::Relaxed)
    }

    /// Ids of the `m.N` files in a directory.
    pub(crate) fn file_ids(&self, dir: &Path) -> Result<BTreeMap<u32, PathBuf>> {
        let mut found = BTreeMap::new();
        let read = self.fs.read_dir(dir, |name, _| match names::number(name, b'm') {
            Some(Some(id)) => drop(found.insert(id, join(dir, name))),
            Some(None) if !name.ends_with(b".broken") && !name.ends_with(b".lock") => {
                let (dir, name) = (dir.display(), String::from_utf8_lossy(name));
                self.logger
                    .warning(format_args!("mdbox rebuild: Skipping file with missing ID: {dir}/{name}"));
            }
            _ => {}
        });
        match read {
            Err(error) if is_missing(&error) => Ok(found),
            result => result.map(|()| found).map_err(|error| Error::io("opendir", dir, error)),
        }
    }

    fn highest_file_id(&self) -> Result<u32> {
        let mut highest = 0;
        for dir in [Some(&self.dir), self.alt_dir.as_ref()].into_iter().flatten() {
            highest = highest.max(self.file_ids(dir)?.keys().next_back().copied().unwrap_or(0));
        }
        Ok(highest)
    }

    /// Has the storage rebuilt at the next occasion. May be called with a mailbox locked.
    pub(crate) fn set_corrupted(&self) {
        lock(&self.corrupted).get_or_insert(self.rebuild_count());
    }

    /// If the storage is to be rebuilt: how often it had been when that was noticed.
    pub(crate) fn corrupted(&self) -> Option<u32> {
        *lock(&self.corrupted)
    }

    pub(crate) fn set_rebuilt(&self) {
        *lock(&self.corrupted) = None;
        self.files.clear();
    }

    /// A message of the map, if need be after looking at the disk.
    pub(crate) fn entry(&self, uid: Uid) -> Result<Option<Entry>> {
        let seen = lock(&self.view).clone();
        match map::entry(&seen, uid) {
            Some(entry) => Ok(Some(entry)),
            None => self.entry_now(uid),
        }
    }

    /// Whether the map, as it was seen last, has a UID set aside.
    pub(super) fn is_reserved(&self, uid: Uid) -> bool {
        map::is_reserved(&lock(&self.view), uid)
    }

    pub(super) fn entry_now(&self, uid: Uid) -> Result<Option<Entry>> {
        let mut map = self.map()?;
        let index = map.index()?;
        index.refresh()?;
        self.publish(index);
        Ok(map::entry(index.view(), uid))
    }

    /// An error that says where a file is damaged.
    pub(crate) fn damaged(&self, path: &Path, error: FileError) -> Error {
        match error {
            FileError::Io(source) => Error::io("read", path, source),
            FileError::Damaged { offset, what } => {
                self.set_corrupted();
                let error = Error::Corrupt { path: path.to_owned(), offset, what: what.to_owned() };
                self.logger.error(base::chain(&error));
                error
            }
        }
    }

    /// Where a mailbox of the storage is.
    pub(crate) fn mailbox_place(&self, name: &str) -> MailboxPlace {
        let places = &self.places;
        let dir = places.dir(name);
        MailboxPlace {
            attachments: self.attachments.clone(),
            context: Context {
                fs: self.fs.clone(),
                logger: self.logger.clone(),
                settings: self.settings.clone(),
                index_dir: Some(places.index(name)),
                cache_dir: places.cache(name),
                list: None,
                guid: places.guid_of(name),
                size_lock: None,
            },
            alt: places.alt_dir(name),
            alt_root: places.location().alt.clone(),
            control_root: places.control_root().to_path_buf(),
            permissions: if dir.is_dir() { Permissions::of_dir(&dir) } else { self.permissions() },
            dir,
            is_inbox: name == "INBOX",
        }
    }

    /// The place of the mailbox that a message was saved to, as its metadata have it; that of INBOX, if it
    /// cannot be used.
    pub(crate) fn place_of(&self, stored: Option<&str>) -> Result<String> {
        if let Some(place_of) = self.by_guid.get() {
            return place_of(stored);
        }
        let name = stored.and_then(|name| self.places.decode(name.as_bytes()));
        let name = name.filter(|name| self.places.check(name).is_ok());
        Ok(name.unwrap_or_else(|| "INBOX".to_owned()))
    }

    /// Makes the directories of a mailbox.
    pub(crate) fn make_mailbox(&self, place: &MailboxPlace) -> Result<()> {
        for dir in [Some(&place.dir), place.context.index_dir.as_ref()].into_iter().flatten() {
            let made = self.fs.mkdir_all(dir, &self.permissions());
            made.map_err(|error| Error::io("mkdir", dir.clone(), error))?;
        }
        Ok(())
    }

    /// The map, locked, as whoever changed it last left it: rebuilt, if that was not what it should be.
    /// No mailbox may be locked.
    pub(crate) fn lock_map(&self) -> Result<MapLock<'_>> {
        for _ in 0..LOCK_TRIES {
            let mut map = self.map()?;
            map.index()?.hold()?;
            let mut lock = MapLock { map: RefCell::new(map) };
            if self.check(&mut lock.locked()?)? {
                return Ok(lock);
            }
            // Going on would hide that a change was cut short.
            drop(lock);
            self.rebuild(false)?;
        }
        let what = "mdbox: Storage keeps breaking".to_owned();
        Err(Error::Corrupt { path: self.dir.clone(), offset: 0, what })
    }

    /// Whether the map, which is locked, is as whoever changed it last left it. If not, it must not be
    /// changed but by a rebuild.
    pub(crate) fn check(&self, map: &mut Locked<'_>) -> Result<bool> {
        if map.is_new() || map::is_sound(map) || map.view().is_empty() {
            return Ok(true);
        }
        if !map::wants_rebuild(map)
            && let Some(added) = map.added_behind_tail()?
            && self.are_whole(map.view(), &added)?
        {
            map.completed_with(&Transaction::new())?;
            return Ok(true);
        }
        let (dir, (seq, end)) = (self.dir.display(), map.log_position());
        let tail = map.header().log_file_tail_offset;
        self.logger
            .warning(format_args!("mdbox {dir}: Inconsistency in map index ({seq},{tail} != {seq},{end})"));
        lock(&self.corrupted).get_or_insert(map::header(map).rebuild_count);
        Ok(false)
    }

    /// Whether messages of the map are in their files. If the machine stopped while somebody added them, they
    /// may not be.
    pub(super) fn are_whole(&self, view: &View, map_uids: &[Uid]) -> Result<bool> {
        for &uid in map_uids.iter().filter(|&&uid| !map::is_reserved(view, uid)) {
            let Some(entry) = map::entry(view, uid) else { return Ok(false) };
            if !self.is_whole(&entry.place)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_whole(&self, place: &MapRecord) -> Result<bool> {
        for dir in [Some(&self.dir), self.alt_dir.as_ref()].into_iter().flatten() {
            let path = dir.join(names::multi(place.file_id));
            let file = match self.fs.open(&path) {
                Ok(file) => file,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(Error::io("open", path, error)),
            };
            let end = DboxFile::open(file).and_then(|dbox| {
                let message = dbox.message(place.offset.into())?;
                Ok(dbox.metadata(&message)?.end)
            });
            return match end {
                Ok(end) => Ok(end == place.end()),
                Err(FileError::Damaged { .. }) => Ok(false),
                Err(FileError::Io(error)) => Err(Error::io("read", path, error)),
            };
        }
        Ok(false)
    }

    /// The first half of an expunge: takes references from the map. The map's tail stays where it was, so
    /// that everybody can tell that the other half, the mailbox's, may not have come. Gives the messages
    /// that had a reference to give.
    pub(crate) fn take_refs(&self, map: &mut Locked<'_>, uids: &[(Uid, Uid)]) -> Result<Vec<(Uid, Uid)>> {
        let mut counts: BTreeMap<Uid, u16> = BTreeMap::new();
        let mut taken = Vec::with_capacity(uids.len());
        for &(uid, map_uid) in uids {
            let count = counts.entry(map_uid).or_default();
            match map::entry(map.view(), map_uid) {
                Some(entry) if entry.refcount > *count => {
                    *count += 1;
                    taken.push((uid, map_uid));
                }
                _ => {
                    let path = map.path().display();
                    self.logger.error(format_args!(
                        "mdbox map {path} corrupted: refcount update lost map_uid={map_uid}"
                    ));
                    self.set_corrupted();
                }
            }
        }
        let mut tx = Transaction::new();
        map::declare(&mut tx);
        taken.iter().for_each(|&(_, map_uid)| tx.ext_atomic_inc(REF, map_uid, -1));
        tx.fsync();
        map.commit(&tx, Origin::Internal)?;
        Ok(taken)
    }

    /// The second half, when the mailbox has been changed: gives back the references of messages that it
    /// kept after all, and says that the map is complete.
    pub(crate) fn finish_refs(&self, map: &mut Locked<'_>, kept: &[Uid]) -> Result<()> {
        let mut tx = Transaction::new();
        map::declare(&mut tx);
        kept.iter().for_each(|&map_uid| tx.ext_atomic_inc(REF, map_uid, 1));
        let done = map.completed_with(&tx);
        self.publish(map);
        Ok(done?)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let uids = std::mem::take(self.reserve.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()));
        if let Some(map) = self.map.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            uids.give_back(map);
        }
    }
}

impl MapLock<'_> {
    /// The map, for one step.
    pub(crate) fn locked(&mut self) -> Result<Locked<'_>> {
        held(self.map.get_mut())
    }

    /// The same where others have a reference to this, too.
    pub(crate) fn with<T>(&self, step: impl FnOnce(&mut Locked<'_>) -> Result<T>) -> Result<T> {
        let mut map =
            self.map.try_borrow_mut().map_err(|_| Error::InUse("mdbox: the map is in use".to_owned()))?;
        step(&mut held(&mut map)?)
    }
}

impl Drop for MapLock<'_> {
    fn drop(&mut self) {
        if let Ok(index) = self.map.get_mut().index() {
            index.let_go();
        }
    }
}

fn held<'a>(map: &'a mut MapGuard<'_>) -> Result<Locked<'a>> {
    map.index()?.held().ok_or_else(|| Error::InUse("mdbox: the map is not locked".to_owned()))
}

/// A panic in one session must not end the others: what a lock protects is changed in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

type Key = (PathBuf, PathBuf, Option<PathBuf>);

fn registry() -> &'static Mutex<HashMap<Key, Weak<Store>>> {
    static REGISTRY: OnceLock<Mutex<HashMap<Key, Weak<Store>>>> = OnceLock::new();
    REGISTRY.get_or_init(Mutex::default)
}

/// A rebuild that leaves the map as it must not be will not do better the next time.
const LOCK_TRIES: usize = 2;
