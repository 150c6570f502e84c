//! Saving to sdbox: messages are written to temporary files, then, under the index's lock, get their
//! UIDs as names, all of one batch together.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Uid, UidSet, UidValidity};
use index::{Index, Locked, Origin, Transaction};

use crate::api::{CopyBytes, FileFormat, Mailbox, SaveBatch, SaveMeta, Saved, SyncMode};
use crate::attachment::detect::Detector;
use crate::error::{Error, Result};
use crate::facts::Wanted;
use crate::indexed::{Driver, Resync, Shared, check_keywords};
use crate::view::Record;

use super::attachments::{attachment_suffix, attachments_in};
use super::rebuild::{self, Lost};
use super::{Known, Sdbox, is_taken};
use crate::dbox::apart::{self, Unsettled};
use crate::dbox::header::FileHeader;
use crate::dbox::mailbox;
use crate::dbox::names;
use crate::dbox::records::SDBOX_HEADER;
use crate::dbox::save;
use crate::dbox::write::{MessageWriter, unix_secs};

/// A batch for one mailbox.
pub(crate) struct Batch {
    shared: Arc<Shared<Sdbox>>,
    done: Vec<Pending>,
    current: Option<Current>,
}

/// A whole message under a temporary name, in the mailbox or its alternative place.
struct Pending {
    path: PathBuf,
    in_alt: bool,
    meta: SaveMeta,
    attachments: Vec<Unsettled>,
}

/// A message that has its name.
struct Placed {
    path: PathBuf,
    /// What its attachments have in their names.
    suffix: String,
}

/// A message being written.
struct Current {
    path: PathBuf,
    file: Arc<std::fs::File>,
    writer: MessageWriter,
    detector: Option<Detector>,
    meta: SaveMeta,
}

impl Batch {
    pub(super) fn new(shared: Arc<Shared<Sdbox>>) -> Self {
        Self { shared, done: Vec::new(), current: None }
    }

    fn sdbox(&self) -> &Sdbox {
        &self.shared.driver
    }

    fn check(&self, meta: &SaveMeta) -> Result<()> {
        check_keywords(&meta.keywords, self.sdbox().context().settings.mail_max_keyword_length)
    }

    /// A hard link to the message's file, if that is possible.
    fn link(&mut self, source: &mut dyn Mailbox, uid: Uid) -> Option<(PathBuf, bool)> {
        let file = source.message_file(uid).filter(|file| file.format == FileFormat::Sdbox)?;
        let place = &self.sdbox().place;
        let fs = &place.context.fs;
        let mut dirs = vec![(&place.dir, false)];
        if let Some(alt) = &place.alt {
            dirs.push((alt, true));
            // What lies in the alternative place stays there.
            if place.alt_root.as_ref().is_some_and(|root| file.path.starts_with(root)) {
                let _ = fs.mkdir_all(alt, &place.permissions);
                dirs.reverse();
            }
        }
        dirs.into_iter().find_map(|(dir, in_alt)| {
            let path = place.temporary(dir);
            fs.link(&file.path, &path).is_ok().then_some((path, in_alt))
        })
    }

    /// Links of the copy's own to the attachments of a message whose file `path` is. `None` if that is
    /// not possible, for instance because they are in another directory.
    fn link_attachments(&self, source: &mut dyn Mailbox, uid: Uid, path: &Path) -> Option<Vec<Unsettled>> {
        let place = &self.sdbox().place;
        let refs = attachments_in(&place.context.fs, path).ok()?;
        if refs.is_empty() {
            return Some(Vec::new());
        }
        let store = place.attachments.as_ref()?;
        let suffix = attachment_suffix(source.guid().ok()?, uid);
        let mut linked: Vec<Unsettled> = Vec::with_capacity(refs.len());
        for one in refs {
            let now = format!("{}-{}", one.path, names::new_guid());
            if store.link(&one.path, &suffix, &now).is_err() {
                apart::delete(store, linked.iter().map(|one| one.now.as_str()));
                return None;
            }
            linked.push(Unsettled { now, name: one.path });
        }
        Some(linked)
    }

    /// Removes what there is of a message that is not saved.
    fn discard(&self, pending: &Pending) {
        let place = &self.sdbox().place;
        let _ = place.context.fs.unlink(&pending.path);
        if let Some(store) = &place.attachments {
            apart::delete(store, pending.attachments.iter().map(|one| one.now.as_str()));
        }
    }

    /// Makes sure that the index is there and sound.
    fn prepare(&self, index: &mut Locked<'_>, work: &mut Known) -> Result<()> {
        let sdbox = self.sdbox();
        if sdbox.is_stale(index, work, SyncMode::Quick, false)? {
            let none = UidSet::new();
            let sync = Resync { mode: SyncMode::Quick, claim: false, unsettled: &none };
            sdbox.sync(index, work, None, &sync)?;
        }
        Ok(())
    }

    /// The UIDs that the messages get.
    fn assign(&self, index: &Locked<'_>) -> Result<Vec<Uid>> {
        save::assign(index.header().next_uid, self.done.iter().map(|pending| &pending.meta))
    }

    /// Gives the files their names. `None` if one is taken: the index has lost something.
    fn place_all(&self, index: &Index, uids: &[Uid]) -> Result<Option<Vec<Placed>>> {
        let sdbox = self.sdbox();
        let guid = mailbox::read_header(index, SDBOX_HEADER).ok_or_else(|| sdbox.no_header())?.guid;
        let place = |(pending, uid): (&Pending, &Uid)| Placed {
            path: pending.path.with_file_name(names::single(uid.get())),
            suffix: attachment_suffix(guid, *uid),
        };
        let all: Vec<Placed> = self.done.iter().zip(uids).map(place).collect();
        let mut taken = self.first_taken(&all)?;
        if taken.is_none() {
            self.settle(&all)?;
            taken = self.rename(&all)?;
        }
        let Some(path) = taken else { return Ok(Some(all)) };
        let logger = &sdbox.context().logger;
        logger.error(format_args!("sdbox: {} already exists, rebuilding index", path.display()));
        Ok(None)
    }

    /// Whether a name is taken by a message whose attachments could have the very names that are to be
    /// given.
    fn first_taken<'a>(&self, all: &'a [Placed]) -> Result<Option<&'a Path>> {
        let fs = &self.sdbox().context().fs;
        for (_, to) in self.done.iter().zip(all).filter(|(pending, _)| !pending.attachments.is_empty()) {
            let there = fs.stamp(&to.path).map_err(|error| Error::io("stat", to.path.clone(), error))?;
            if there.is_some() {
                return Ok(Some(&to.path));
            }
        }
        Ok(None)
    }

    /// Gives the attachments their names, and forces these to disk: no message must be found without.
    fn settle(&self, all: &[Placed]) -> Result<()> {
        let Some(store) = &self.sdbox().place.attachments else { return Ok(()) };
        let mut names = Vec::new();
        for (at, (pending, to)) in self.done.iter().zip(all).enumerate() {
            if let Err(error) = apart::settle(store, &pending.attachments, &to.suffix) {
                self.unsettle(all.get(..at).unwrap_or_default());
                return Err(error);
            }
            names.extend(pending.attachments.iter().map(|one| format!("{}{}", one.name, to.suffix)));
        }
        store.sync_names(names.iter().map(String::as_str)).inspect_err(|_| self.unsettle(all))
    }

    fn unsettle(&self, all: &[Placed]) {
        let Some(store) = &self.sdbox().place.attachments else { return };
        for (pending, placed) in self.done.iter().zip(all) {
            apart::unsettle(store, &pending.attachments, &placed.suffix);
        }
    }

    /// Gives the messages their names: all, or none. Gives the one that is taken.
    fn rename<'a>(&self, all: &'a [Placed]) -> Result<Option<&'a Path>> {
        let fs = &self.sdbox().context().fs;
        for (at, (pending, to)) in self.done.iter().zip(all).enumerate() {
            let Err(error) = fs.rename_new(&pending.path, &to.path) else { continue };
            self.rename_back(all.get(..at).unwrap_or_default());
            self.unsettle(all);
            return match is_taken(&error) {
                true => Ok(Some(&to.path)),
                false => Err(Error::io("rename", pending.path.clone(), error)),
            };
        }
        Ok(None)
    }

    fn rename_back(&self, placed: &[Placed]) {
        for (placed, pending) in placed.iter().zip(&self.done) {
            let _ = self.sdbox().context().fs.rename(&placed.path, &pending.path);
        }
    }

    /// Gives all their temporary names again.
    fn take_back(&self, placed: &[Placed]) {
        self.rename_back(placed);
        self.unsettle(placed);
    }

    fn sync_dirs(&self) -> Result<()> {
        let place = &self.sdbox().place;
        if !place.syncs() {
            return Ok(());
        }
        for (dir, in_alt) in [(Some(&place.dir), false), (place.alt.as_ref(), true)] {
            if let Some(dir) = dir.filter(|_| self.done.iter().any(|pending| pending.in_alt == in_alt)) {
                let synced = self.sdbox().context().fs.sync_dir(dir);
                synced.map_err(|error| Error::io("fsync", dir.clone(), error))?;
            }
        }
        Ok(())
    }

    fn transaction(&self, index: &Locked<'_>, uids: &[Uid]) -> Transaction {
        let mut tx = Transaction::new();
        tx.fsync();
        let metas = self.done.iter().map(|pending| &pending.meta);
        let pop3 = save::Pop3::of(metas.zip(uids.iter().copied()));
        for (pending, &uid) in self.done.iter().zip(uids) {
            let meta = &pending.meta;
            let bits = if pending.in_alt { Record::BACKEND } else { 0 };
            tx.append_with_bits(uid, meta.flags, bits, meta.keywords.iter().map(String::as_str));
            if let Some(modseq) = meta.modseq {
                tx.update_modseq(uid, modseq);
            }
        }
        if let Some(mut header) = mailbox::read_header(index, SDBOX_HEADER)
            && header.flags | pop3.flags != header.flags
        {
            header.flags |= pop3.flags;
            mailbox::write_header(&mut tx, SDBOX_HEADER, &header);
        }
        pop3.write(index, &mut tx);
        tx
    }

    fn save_all(&mut self, index: &mut Locked<'_>, work: &mut Known) -> Result<Saved> {
        self.prepare(index, work)?;
        let mut uids = self.assign(index)?;
        let mut placed = self.place_all(index, &uids)?;
        if placed.is_none() {
            rebuild::rebuild(self.sdbox(), index, Lost::Newest)?;
            uids = self.assign(index)?;
            placed = self.place_all(index, &uids)?;
        }
        let placed = placed.ok_or_else(|| Error::Corrupt {
            path: self.sdbox().place.dir.clone(),
            offset: 0,
            what: "sdbox: Index keeps breaking".to_owned(),
        })?;
        let tx = self.transaction(index, &uids);
        // The names are on disk before the index says that they are.
        let entered = self.sync_dirs().and_then(|()| Ok(index.commit(&tx, Origin::External)?));
        if let Err(error) = entered {
            self.take_back(&placed);
            return Err(error);
        }
        self.done.clear();
        let uid_validity = UidValidity::new(index.header().uid_validity).unwrap_or(UidValidity::ONE);
        Ok(Saved { uid_validity, uids })
    }
}

impl SaveBatch for Batch {
    fn begin(&mut self, meta: SaveMeta) -> Result<()> {
        self.check(&meta)?;
        self.abort();
        let place = &self.sdbox().place;
        let path = place.temporary(&place.dir);
        let fs = &place.context.fs;
        let failed = |error: io::Error| match crate::fs::is_missing(&error) {
            true => Error::MailboxGone(place.dir.display().to_string()),
            false => Error::io("open", path.clone(), error),
        };
        let file = Arc::new(fs.create_new(&path, &place.permissions).map_err(failed)?);
        let now = u64::try_from(unix_secs(std::time::SystemTime::now())).unwrap_or(0);
        let header = FileHeader::new(now);
        let written = fs.write_at(&file, &path, &header.to_line(), 0);
        let compression = &place.context.settings.compression;
        let attachments = place.attachments.as_ref();
        let writer =
            MessageWriter::begin(fs, file.clone(), path.clone(), header.bytes, compression, attachments);
        let writer = writer.inspect_err(|_| drop(fs.unlink(&path)))?;
        let failed = written.map_err(|error| Error::io("write", path.clone(), error));
        let detector = Detector::new(&place.context.settings.attachment_detection, &meta.keywords);
        self.current = Some(Current { path, file, writer, detector, meta });
        failed
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.current {
            Some(current) => {
                if let Some(detector) = &mut current.detector {
                    detector.push(bytes);
                }
                current.writer.write(bytes)
            }
            None => Err(Error::BadRequest("No message is being saved".to_owned())),
        }
    }

    fn end(&mut self) -> Result<()> {
        let current = self.current.take();
        let current = current.ok_or_else(|| Error::BadRequest("No message is being saved".to_owned()))?;
        let Current { path, file, writer, detector, mut meta } = current;
        if let Some(detector) = detector {
            detector.finish(&mut meta.keywords);
        }
        let place = &self.sdbox().place;
        let fs = &place.context.fs;
        let written = writer.finish(&meta, None).inspect_err(|_| drop(fs.unlink(&path)))?;
        let refs = written.refs.into_iter();
        let attachments = refs.map(|one| Unsettled { now: one.path.clone(), name: one.path }).collect();
        let pending = Pending { path: path.clone(), in_alt: false, meta, attachments };
        if place.syncs()
            && let Err(error) = fs.sync(&file, &path)
        {
            self.discard(&pending);
            return Err(Error::io("fdatasync", path, error));
        }
        self.done.push(pending);
        Ok(())
    }

    fn copy(&mut self, source: &mut dyn Mailbox, uid: Uid, mut meta: SaveMeta) -> Result<CopyBytes> {
        self.check(&meta)?;
        let wanted = Wanted::GUID | Wanted::POP3_UIDL | Wanted::POP3_ORDER | Wanted::INTERNAL_DATE;
        let facts = source.fetch_facts(uid, wanted)?;
        let differs = meta.guid.is_some() && meta.guid.as_deref() != facts.guid.as_deref()
            || meta.internal_date.is_some() && meta.internal_date != facts.internal_date
            || meta.pop3_uidl.is_some() && meta.pop3_uidl.as_deref() != facts.pop3_uidl.as_deref()
            || meta.pop3_order.is_some() && meta.pop3_order != facts.pop3_order;
        save::inherit(&mut meta, &facts);
        if let Some((path, in_alt)) = if differs { None } else { self.link(source, uid) } {
            if let Some(attachments) = self.link_attachments(source, uid, &path) {
                self.done.push(Pending { path, in_alt, meta, attachments });
                return Ok(CopyBytes::Shared);
            }
            let _ = self.sdbox().context().fs.unlink(&path);
        }
        let dir = self.sdbox().place.dir.clone();
        save::copy_bytes(self, source, uid, meta, &dir).map(|()| CopyBytes::Written)
    }

    fn commit(mut self: Box<Self>) -> Result<Saved> {
        self.abort();
        let shared = self.shared.clone();
        let mut work = shared.work();
        let work = &mut *work;
        let mut index = work.index.lock()?;
        let saved = self.save_all(&mut index, &mut work.driver);
        shared.end_save(index)?;
        shared.publish(&work.index);
        saved
    }
}

impl Batch {
    /// Gives up the message that is being written.
    fn abort(&mut self) {
        if let Some(current) = self.current.take() {
            let _ = self.sdbox().context().fs.unlink(&current.path);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.abort();
        for pending in std::mem::take(&mut self.done) {
            self.discard(&pending);
        }
    }
}
