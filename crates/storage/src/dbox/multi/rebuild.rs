//! Makes the map anew from the `m.N` files, and has every mailbox's records fit it. Done when something
//! did not fit together, under the map's lock.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use base::{Guid, Uid, UidValidity};
use index::{Index, Locked, Origin, Transaction};
use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::fs::is_missing;
use crate::source::ReadAt;
use crate::view::View;

use super::map;
use super::store::Store;
use super::{Mdbox, declare, set_record};
use crate::dbox::FileError;
use crate::dbox::file::DboxFile;
use crate::dbox::mailbox::{self, MailboxPlace};
use crate::dbox::metadata::key;
use crate::dbox::names;
use crate::dbox::records::{
    HAVE_POP3_ORDERS, HAVE_POP3_UIDLS, MAP, MDBOX_HEADER, MailboxHeader, MapHeader, MapRecord, MdboxRecord,
    REF,
};

/// A message that is in a file.
struct Found {
    place: MapRecord,
    guid: Guid,
    /// As plain text.
    size: u64,
    /// The mailbox it was saved to.
    mailbox: Option<String>,
    map_uid: Option<Uid>,
    refcount: u16,
    /// The map says that nobody refers to it, or another message is the same.
    is_unused: bool,
}

/// A rebuild under way.
struct Rebuild<'a> {
    store: &'a Store,
    found: Vec<Found>,
    /// All messages with a GUID.
    by_guid: HashMap<Guid, Vec<usize>>,
    by_map_uid: HashMap<Uid, usize>,
    highest_file_id: u32,
    /// Where the map says that each file ends.
    ends: HashMap<u32, u64>,
    /// What the messages' metadata has.
    flags: u8,
    validity: u32,
}

impl Store {
    /// Rebuilds the storage, unless somebody else has done so since damage was seen; `always` does it
    /// anyway.
    pub(crate) fn rebuild(&self, always: bool) -> Result<()> {
        self.check_alt()?;
        let mut map = self.map()?;
        let mut map = map.index()?.lock()?;
        let old = map::header(&map);
        let seen = self.corrupted();
        if !always && seen.is_some_and(|seen| seen != old.rebuild_count && seen != u32::MAX) {
            self.publish(&map);
            self.set_rebuilt();
            return Ok(());
        }
        self.logger.warning(format_args!("mdbox {}: rebuilding indexes", self.dir.display()));
        // Should we die before the end, mailboxes refer to messages that the map does not know: nobody may
        // give those UIDs to others.
        let mut tx = Transaction::new();
        let flags = map.header().flags | index::header::FLAG_FSCKD;
        tx.set_header(index::header::FLAGS, &flags.to_le_bytes(), true);
        tx.fsync();
        map.commit(&tx, Origin::External)?;
        let mut rebuild = Rebuild {
            store: self,
            found: Vec::new(),
            by_guid: HashMap::new(),
            by_map_uid: HashMap::new(),
            highest_file_id: old.highest_file_id,
            ends: ends(map.view()),
            flags: 0,
            validity: map.header().uid_validity,
        };
        rebuild.scan()?;
        let mut tx = Transaction::new();
        map::declare(&mut tx);
        // Records of another size are damage, and could never be read.
        tx.ext_resize(MAP);
        tx.ext_resize(REF);
        rebuild.apply_map(&map, &mut tx)?;
        rebuild.mailboxes()?;
        rebuild.restore_lost()?;
        rebuild.set_refcounts(&map, &mut tx);
        let header = MapHeader {
            highest_file_id: rebuild.highest_file_id,
            rebuild_count: old.rebuild_count.wrapping_add(1),
        };
        tx.ext_header(MAP, 0, &header.to_bytes());
        let flags = map.header().flags & !index::header::FLAG_FSCKD;
        tx.set_header(index::header::FLAGS, &flags.to_le_bytes(), true);
        tx.fsync();
        map.synced_with(&tx)?;
        self.publish(&map);
        drop(map);
        self.set_rebuilt();
        Ok(())
    }

    /// Where the alternative place is not mounted, half of the messages would seem to be lost.
    fn check_alt(&self) -> Result<()> {
        let Some(alt) = &self.places.location().alt else { return Ok(()) };
        match self.fs.stamp(alt) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => self.fs.mkdir_all(alt, &self.permissions()).map_err(|error| {
                let path = alt.display();
                self.logger.error(format_args!("mdbox rebuild: Alt storage {path} not mounted, aborting"));
                Error::io("mkdir", alt.clone(), error)
            }),
            Err(error) => Err(Error::io("stat", alt.clone(), error)),
        }
    }
}

impl Rebuild<'_> {
    /// Reads all files.
    fn scan(&mut self) -> Result<()> {
        let primary = self.store.file_ids(&self.store.dir)?;
        let alt = self.store.alt_dir.as_ref().map(|dir| self.store.file_ids(dir)).transpose()?;
        let alt = alt.unwrap_or_default();
        let highest = primary.keys().chain(alt.keys()).max().copied().unwrap_or(0);
        self.highest_file_id = self.highest_file_id.max(highest);
        for (id, path) in &primary {
            self.scan_file(*id, path)?;
        }
        for (id, path) in &alt {
            if primary.contains_key(id) {
                // Nothing of either may be lost.
                let (id, path) = self.rename_file(path)?;
                self.scan_file(id, &path)?;
            } else {
                self.scan_file(*id, path)?;
            }
        }
        Ok(())
    }

    /// Gives a file an id that no other has.
    fn rename_file(&mut self, path: &Path) -> Result<(u32, PathBuf)> {
        loop {
            self.highest_file_id = self.highest_file_id.saturating_add(1);
            let to = path.with_file_name(names::multi(self.highest_file_id));
            match self.store.fs.rename_new(path, &to) {
                Ok(()) => return Ok((self.highest_file_id, to)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("link", path, error)),
            }
        }
    }

    fn scan_file(&mut self, id: u32, path: &Path) -> Result<()> {
        let before = self.found.len();
        let lock = match self.store.fs.open(path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        // Somebody, perhaps the session that saw the damage, is adding to it, and enters that itself.
        let grows =
            flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK);
        let end = if grows { self.ends.get(&id).copied().unwrap_or(0) } else { u64::MAX };
        for attempt in 0..2 {
            match self.read_file(id, path, end) {
                Ok(()) => return Ok(()),
                Err(FileError::Io(error)) if is_missing(&error) => return Ok(()),
                Err(FileError::Io(error)) => return Err(Error::io("read", path, error)),
                Err(error @ FileError::Damaged { .. }) => {
                    self.found.truncate(before);
                    self.store.logger.error(format_args!("{}: {error}", path.display()));
                    if grows {
                        // What is being added to it would be lost with the file that is replaced.
                        let path = path.display();
                        return Err(Error::InUse(format!("mdbox: {path} is damaged, and being added to")));
                    }
                    if attempt > 0 || !self.store.mend(path)? {
                        break;
                    }
                }
            }
        }
        let path = path.display();
        self.store.logger.error(format_args!("mdbox rebuild: Failed to fix file {path}"));
        Ok(())
    }

    /// Notes the messages that begin before `end`.
    fn read_file(&mut self, id: u32, path: &Path, end: u64) -> Result<(), FileError> {
        let file = self.store.fs.open(path)?;
        let dbox = DboxFile::open(file)?;
        if dbox.source().size()? == dbox.header().bytes {
            return Ok(());
        }
        let mut messages = dbox.messages();
        let mut next = dbox.header().bytes;
        while next < end
            && let Some(one) = messages.next()
        {
            let (message, metadata) = one?;
            next = metadata.end;
            let lost = || FileError::damaged(message.offset, "Message is missing GUID");
            let guid = names::guid_bits(metadata.guid().ok_or_else(lost)?);
            let (Ok(offset), Ok(size)) =
                (u32::try_from(message.offset), u32::try_from(metadata.end - message.offset))
            else {
                break;
            };
            self.flags |= metadata.get(key::POP3_UIDL).map_or(0, |_| HAVE_POP3_UIDLS);
            self.flags |= metadata.get(key::POP3_ORDER).map_or(0, |_| HAVE_POP3_ORDERS);
            self.found.push(Found {
                place: MapRecord { file_id: id, offset, size },
                guid,
                size: metadata.physical_size().unwrap_or(message.size),
                mailbox: metadata.mailbox().map(str::to_owned),
                map_uid: None,
                refcount: 0,
                is_unused: false,
            });
            crate::progress::step();
        }
        Ok(())
    }

    /// Messages keep their map UIDs where the map knows them, the others get one.
    fn apply_map(&mut self, map: &Locked<'_>, tx: &mut Transaction) -> Result<()> {
        self.note_guids();
        let by_place: HashMap<MapRecord, usize> =
            self.found.iter().enumerate().map(|(at, found)| (found.place, at)).collect();
        for (uid, entry) in map::entries(map.view()) {
            let at = entry.and_then(|entry| by_place.get(&entry.place));
            match at.and_then(|&at| self.found.get_mut(at)).zip(entry) {
                Some((found, entry)) if found.map_uid.is_none() => {
                    found.map_uid = Some(uid);
                    found.is_unused |= entry.refcount == 0;
                }
                // It is not there, or another record has it.
                _ => tx.expunge(uid, Guid::default()),
            }
        }
        let mut next = map.header().next_uid.max(1);
        for (at, found) in self.found.iter_mut().enumerate() {
            if found.map_uid.is_none() {
                let uid = Uid::new(next).filter(|uid| uid.get() < u32::MAX);
                let uid = uid.ok_or_else(|| Error::Unsupported("UIDs exhausted".to_owned()))?;
                map::append(tx, uid, &found.place, 0);
                found.map_uid = Some(uid);
                next += 1;
            }
            if let Some(uid) = found.map_uid {
                self.by_map_uid.insert(uid, at);
            }
        }
        Ok(())
    }

    fn note_guids(&mut self) {
        for at in 0..self.found.len() {
            let Some((guid, size)) = self.found.get(at).map(|found| (found.guid, found.size)) else {
                continue;
            };
            let same = self.by_guid.entry(guid).or_default();
            let first = same.first().and_then(|&first| self.found.get(first));
            let is_copy = first.is_some_and(|first| first.size == size);
            if let Some(first) = first.filter(|_| !is_copy) {
                let dir = self.store.dir.display();
                self.store.logger.error(format_args!(
                    "mdbox {dir}: Duplicate GUID {guid} in m.{}:{} (size={}) and another (size={size})",
                    first.place.file_id, first.place.offset, first.size
                ));
            }
            if is_copy {
                // One of them is enough.
                if let Some(found) = self.found.get_mut(at) {
                    found.is_unused = true;
                }
            }
            same.push(at);
        }
    }

    /// All mailboxes.
    fn mailboxes(&mut self) -> Result<()> {
        for listed in self.store.places.list(&self.store.fs)?.iter().filter(|listed| listed.selectable) {
            let place = self.store.mailbox_place(&listed.name);
            self.mailbox(&place)?;
        }
        Ok(())
    }

    fn open(&self, place: &MailboxPlace) -> Result<Index> {
        let (context, dir) = (&place.context, &place.dir);
        let index_place = index::Place {
            permissions: place.permissions,
            fsync_changes: true,
            keep_backups: true,
            never_in_memory: true,
            ..index::Place::new(context.index_dir.clone(), "dovecot.index")
        };
        let settings = context.settings.index_settings();
        let opened = Index::open(index_place, settings, context.fs.clone(), context.logger.clone());
        opened.map_err(|error| {
            let error = Error::from(error);
            self.store.logger.error(format_args!(
                "Couldn't open mailbox '{}': {}",
                dir.display(),
                base::chain(&error)
            ));
            error
        })
    }

    /// Has a mailbox's records point to what is there; others go.
    fn mailbox(&mut self, place: &MailboxPlace) -> Result<()> {
        let mut index = self.open(place)?;
        if index.is_new() {
            if let Some(backup) = place.backup() {
                return self.take_backup(&mut index, &backup, place);
            }
            // Nothing ever was there, or nobody knows any more what.
            return Ok(());
        }
        let mut index = index.lock()?;
        let view = index.view().clone();
        let mut tx = Transaction::new();
        declare(&mut tx);
        for record in view.records() {
            let old = Mdbox::record(&view, record.uid);
            match self.take(&view, record.uid) {
                Some((guid, new)) => {
                    if old.map(|old| old.map_uid) != Some(new.get())
                        || Mdbox::guid(&view, record.uid) != Some(guid)
                    {
                        let saved = old.map_or_else(crate::dbox::single::now, |old| old.saved);
                        set_record(&mut tx, record.uid, MdboxRecord { map_uid: new.get(), saved }, guid);
                    }
                }
                None => tx.expunge(record.uid, Guid::default()),
            }
        }
        self.set_header(&index, place, &mut tx);
        let flags = index.header().flags & !index::header::FLAG_FSCKD;
        if flags != index.header().flags {
            tx.set_header(index::header::FLAGS, &flags.to_le_bytes(), true);
        }
        if !tx.is_empty() {
            index.commit(&tx, Origin::External)?;
        }
        Ok(())
    }

    /// The message of a record, counted as referred to: by GUID, or else by what it was in the map.
    fn take(&mut self, view: &View, uid: Uid) -> Option<(Guid, Uid)> {
        let map_uid = Mdbox::record(view, uid).and_then(|record| Uid::new(record.map_uid));
        let same = Mdbox::guid(view, uid).and_then(|guid| self.by_guid.get(&guid));
        let is_it = |at: &&usize| self.found.get(**at).is_some_and(|found| found.map_uid == map_uid);
        let at = match same {
            Some(same) => same.iter().find(is_it).or_else(|| same.first()).copied(),
            None => map_uid.and_then(|uid| self.by_map_uid.get(&uid)).copied(),
        };
        let found = self.found.get_mut(at?).filter(|found| found.refcount < REFCOUNT_MAX)?;
        found.refcount += 1;
        Some((found.guid, found.map_uid?))
    }

    fn set_header(&self, index: &Index, place: &MailboxPlace, tx: &mut Transaction) {
        let old = index.ext_header(MDBOX_HEADER).and_then(MailboxHeader::parse).unwrap_or_default();
        let guid = if old.guid == Guid::default() { place.context.new_guid() } else { old.guid };
        let new = MailboxHeader { number: self.validity, guid, flags: old.flags | self.flags };
        if new != old {
            mailbox::write_header(tx, MDBOX_HEADER, &new);
        }
    }

    /// The index is lost, but an older one is there.
    fn take_backup(&mut self, index: &mut Index, backup: &Index, place: &MailboxPlace) -> Result<()> {
        let view = backup.view().clone();
        let mut tx = Transaction::new();
        tx.set_uid_validity(view.uid_validity());
        self.set_header(backup, place, &mut tx);
        if let Some(uid) = mailbox::pop3_uidl(backup) {
            mailbox::write_pop3_uidl(&mut tx, uid);
        }
        declare(&mut tx);
        for record in view.records() {
            let Some((guid, map_uid)) = self.take(&view, record.uid) else { continue };
            tx.append(record.uid, record.flags, view.keyword_names(&record.keywords));
            let saved =
                Mdbox::record(&view, record.uid).map_or_else(crate::dbox::single::now, |old| old.saved);
            set_record(&mut tx, record.uid, MdboxRecord { map_uid: map_uid.get(), saved }, guid);
        }
        if let Some(next) = Uid::new(backup.header().next_uid) {
            tx.set_next_uid(next);
        }
        let dir = place.dir.display();
        self.store.logger.warning(format_args!("mdbox {dir}: Index is taken from its backup"));
        Ok(index.commit(&tx, Origin::External)?)
    }

    /// Messages that nobody refers to, though the map does not say that they are of no use, go to the
    /// mailbox they were saved to.
    fn restore_lost(&mut self) -> Result<()> {
        let mut lost: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, found) in self.found.iter().enumerate() {
            let is_lost = found.refcount == 0 && !found.is_unused && !self.has_used_copy(found);
            if is_lost && !self.has_hole(found)? {
                let name = self.store.place_of(found.mailbox.as_deref())?;
                lost.entry(name).or_default().push(at);
            }
        }
        for (name, messages) in lost {
            let mut place = self.store.mailbox_place(&name);
            if self.store.make_mailbox(&place).is_err() {
                place = self.store.mailbox_place(&self.store.place_of(None)?);
                self.store.make_mailbox(&place)?;
            }
            self.restore(&place, &messages)?;
        }
        Ok(())
    }

    /// Whether the same message lies elsewhere, and is referred to there: a purge was moving it.
    fn has_used_copy(&self, found: &Found) -> bool {
        let same = self.by_guid.get(&found.guid).into_iter().flatten();
        let mut same = same.filter_map(|&at| self.found.get(at));
        same.any(|other| other.size == found.size && other.refcount > 0)
    }

    /// Whether saving it was never finished: then nobody was told that it is there.
    fn has_hole(&self, found: &Found) -> Result<bool> {
        for path in self.store.paths(found.place.file_id) {
            let Ok(file) = self.store.fs.open(&path) else { continue };
            let failed = |error| Error::io("read", path.clone(), error);
            let looked = DboxFile::open(file)
                .and_then(|dbox| Ok(dbox.has_hole(&dbox.message(found.place.offset.into())?)?));
            let has = match looked {
                Ok(has) => has,
                Err(FileError::Damaged { .. }) => continue,
                Err(FileError::Io(error)) => return Err(failed(error)),
            };
            if has {
                let (path, offset) = (path.display(), found.place.offset);
                let what = "was never saved as a whole, not restored";
                self.store.logger.warning(format_args!("mdbox rebuild: Message {path}:{offset} {what}"));
            }
            return Ok(has);
        }
        Ok(false)
    }

    fn restore(&mut self, place: &MailboxPlace, messages: &[usize]) -> Result<()> {
        let mut index = self.open(place)?;
        let mut index = index.lock()?;
        let mut tx = Transaction::new();
        tx.fsync();
        if index.is_new() {
            let value = place.next_uid_validity();
            tx.set_uid_validity(UidValidity::new(value).unwrap_or(UidValidity::ONE));
        }
        self.set_header(&index, place, &mut tx);
        declare(&mut tx);
        let mut next = index.header().next_uid.max(1);
        for &at in messages {
            let Some(found) = self.found.get_mut(at) else { continue };
            let (Some(uid), Some(map_uid)) = (Uid::new(next), found.map_uid) else { continue };
            tx.append(uid, crate::view::Flags::NONE, []);
            let record = MdboxRecord { map_uid: map_uid.get(), saved: crate::dbox::single::now() };
            set_record(&mut tx, uid, record, found.guid);
            found.refcount += 1;
            next += 1;
        }
        Ok(index.commit(&tx, Origin::External)?)
    }

    fn set_refcounts(&self, map: &Locked<'_>, tx: &mut Transaction) {
        for found in &self.found {
            let Some(uid) = found.map_uid else { continue };
            let old = map::entry(map.view(), uid).map(|entry| entry.refcount);
            if old != Some(found.refcount) {
                tx.ext_record(REF, uid, &found.refcount.to_le_bytes());
            }
        }
    }
}

/// Where each file ends as far as the map knows.
fn ends(view: &View) -> HashMap<u32, u64> {
    let mut ends = HashMap::new();
    for (_, entry) in map::entries(view) {
        let Some(place) = entry.map(|entry| entry.place) else { continue };
        let end: &mut u64 = ends.entry(place.file_id).or_default();
        *end = place.end().max(*end);
    }
    ends
}

/// 2.3's REBUILD_MAX_REFCOUNT.
const REFCOUNT_MAX: u16 = 32768;
