//! sdbox: each message in a file of its own, `u.N`, and everything else in the index.

mod attachments;
mod rebuild;
mod save;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use base::{Guid, Uid, UidSet, UidValidity};
use index::{Index, Locked, Origin, Transaction};

use crate::api::{FileFormat, MailboxUpdate, MessageFile, SaveBatch, SyncMode};
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::fs::is_missing;
use crate::indexed::{Context, Delta, Done, Driver, Opened, Resync, Shared};
use crate::view::{Record, View};

use super::FileError;
use super::apart;
use super::body::BodyReader;
use super::file::{DboxFile, Message};
use super::mailbox::{self, MailboxPlace};
use super::metadata::Metadata;
use super::names;
use super::records::{MailboxHeader, SDBOX_HEADER};
use super::repair::Repair;
use super::write::time_at;
use attachments::{Renamed, attachment_suffix};
use rebuild::Lost;

/// One sdbox mailbox in this process.
pub(crate) struct Sdbox {
    place: MailboxPlace,
    /// Something does not fit together: the index is to be made anew.
    is_corrupted: AtomicBool,
}

/// What is remembered between looks at the mailbox.
#[derive(Default)]
pub(crate) struct Known {
    /// Files whose messages are being expunged: they go when the index says so.
    gone: UidSet,
    /// Attachments that have a name for the mailbox's old GUID and one for its new one.
    renamed: Renamed,
}

/// The file of a message, opened.
struct Located {
    path: PathBuf,
    file: Arc<File>,
    dbox: DboxFile<Arc<File>>,
    message: Message,
}

impl Sdbox {
    pub(super) fn new(place: MailboxPlace) -> Self {
        Self { place, is_corrupted: AtomicBool::new(false) }
    }

    fn context(&self) -> &Context {
        &self.place.context
    }

    fn repair(&self) -> Repair<'_> {
        self.place.repair()
    }

    /// The places where a message's file can be, the likely one first.
    fn paths(&self, uid: Uid) -> impl Iterator<Item = PathBuf> + '_ {
        let name = names::single(uid.get());
        let dirs = [Some(&self.place.dir), self.place.alt.as_ref()];
        dirs.into_iter().flatten().map(move |dir| dir.join(&name))
    }

    fn find(&self, uid: Uid) -> Result<Option<(PathBuf, File)>> {
        for path in self.paths(uid) {
            match self.context().fs.open(&path) {
                Ok(file) => return Ok(Some((path, file))),
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(Error::io("open", path, error)),
            }
        }
        Ok(None)
    }

    /// Opens a message's file.
    fn locate(&self, shared: &Shared<Self>, uid: Uid) -> Result<Located> {
        let Some((path, file)) = self.find(uid)? else { return Err(self.lost(shared, uid)) };
        let file = Arc::new(file);
        let found = DboxFile::open(file.clone()).and_then(|dbox| Ok((dbox.message(0)?, dbox)));
        match found {
            Ok((message, dbox)) => Ok(Located { path, file, dbox, message }),
            Err(error) => Err(self.damaged(&path, error)),
        }
    }

    /// A message's file is not there: it was expunged, or something is wrong.
    fn lost(&self, shared: &Shared<Self>, uid: Uid) -> Error {
        let mut work = shared.work();
        if work.index.refresh().is_err() || work.index.view().record(uid).is_none() {
            return Error::Expunged(uid);
        }
        let dir = self.place.dir.display();
        self.context().logger.error(format_args!("Mailbox {dir}: UID={uid}: dbox: Unexpectedly lost uid"));
        self.is_corrupted.store(true, Ordering::Relaxed);
        Error::Expunged(uid)
    }

    fn damaged(&self, path: &Path, error: FileError) -> Error {
        match error {
            FileError::Io(source) => Error::io("read", path, source),
            FileError::Damaged { offset, what } => {
                self.is_corrupted.store(true, Ordering::Relaxed);
                let error = Error::Corrupt { path: path.to_owned(), offset, what: what.to_owned() };
                self.context().logger.error(base::chain(&error));
                error
            }
        }
    }

    fn metadata(&self, located: &Located) -> Result<Metadata> {
        located.dbox.metadata(&located.message).map_err(|error| self.damaged(&located.path, error))
    }

    /// Makes the index of a mailbox that is new.
    fn create(&self, index: &mut Locked<'_>) -> Result<()> {
        let mut tx = Transaction::new();
        let value = self.place.next_uid_validity();
        tx.set_uid_validity(UidValidity::new(value).unwrap_or(UidValidity::ONE));
        let header = MailboxHeader { guid: self.place.context.new_guid(), ..MailboxHeader::default() };
        mailbox::write_header(&mut tx, SDBOX_HEADER, &header);
        if self.place.is_inbox {
            mailbox::write_pop3_uidl(&mut tx, 0);
        }
        Ok(index.commit(&tx, Origin::External)?)
    }

    /// Whether the index, made by us or Dovecot, lacks what it must have.
    fn is_broken(&self, index: &Index) -> bool {
        let fscked = index.header().flags & index::header::FLAG_FSCKD != 0;
        fscked || mailbox::read_header(index, SDBOX_HEADER).is_none()
    }

    fn no_header(&self) -> Error {
        let what = "sdbox: Invalid dbox header".to_owned();
        Error::Corrupt { path: self.place.dir.clone(), offset: 0, what }
    }

    /// Removes messages' files from both places, then their attachments: a file that is back after a power
    /// failure must have them.
    fn unlink(&self, index: &Index, uids: &[Uid]) {
        let (mut dirs, mut attachments) = (BTreeSet::new(), Vec::new());
        for &uid in uids {
            let own = self.attachments(index, uid);
            if self.unlink_one(uid, &mut dirs) {
                attachments.extend(own);
            }
        }
        let mut is_synced = true;
        for dir in dirs.iter().filter(|_| self.place.syncs()) {
            // A rebuild after a crash would take a file that is back for a message.
            is_synced &= self.context().fs.sync_dir(dir).is_ok();
        }
        if let Some(store) = self.place.attachments.as_ref().filter(|_| is_synced) {
            apart::delete(store, attachments.iter().map(String::as_str));
        }
    }

    /// Notes in which directories something was removed; `false` if something is left.
    fn unlink_one(&self, uid: Uid, dirs: &mut BTreeSet<PathBuf>) -> bool {
        let mut is_gone = true;
        for path in self.paths(uid) {
            match self.context().fs.unlink(&path) {
                Ok(()) => dirs.extend(path.parent().map(Path::to_path_buf)),
                Err(error) if is_missing(&error) => {}
                Err(error) => {
                    is_gone = false;
                    let (path, why) = (path.display(), base::reason(&error));
                    self.context().logger.error(format_args!("unlink({path}) failed: {why}"));
                }
            }
        }
        is_gone
    }

    /// Moves a file to the other place: copied there first, so that it is always in one of them.
    fn move_file(&self, uid: Uid, to_alt: bool) -> Result<()> {
        let Some(alt) = &self.place.alt else { return Ok(()) };
        let (from, to) = if to_alt { (&self.place.dir, alt) } else { (alt, &self.place.dir) };
        let name = names::single(uid.get());
        self.place.move_file(&from.join(&name), to, &name)
    }
}

impl Driver for Sdbox {
    type Work = Known;
    type Guard<'a> = ();

    fn context(&self) -> &Context {
        &self.place.context
    }

    fn path(&self) -> &Path {
        &self.place.dir
    }

    fn watched(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn guard(&self) -> Result<()> {
        Ok(())
    }

    fn guards_changes(&self, _expunges: bool) -> bool {
        false
    }

    fn index_place(&self, place: index::Place) -> index::Place {
        index::Place { fsync_changes: true, keep_backups: true, never_in_memory: true, ..place }
    }

    fn is_stale(&self, index: &Index, _work: &mut Known, mode: SyncMode, _claim: bool) -> Result<bool> {
        Ok(index.is_new()
            || mode == SyncMode::Rebuild
            || self.is_corrupted.load(Ordering::Relaxed)
            || self.is_broken(index)
            || self.place.is_scan_due(index))
    }

    fn sync(
        &self,
        index: &mut Locked<'_>,
        _work: &mut Known,
        _guard: Option<&()>,
        sync: &Resync<'_>,
    ) -> Result<()> {
        let is_corrupted = self.is_corrupted.swap(false, Ordering::Relaxed);
        let rebuilds = match index.is_new() {
            // Messages without an index: it was lost.
            true => rebuild::has_messages(self)?,
            false => is_corrupted || self.is_broken(index) || sync.mode == SyncMode::Rebuild,
        };
        if rebuilds {
            if let Err(error) = rebuild::rebuild(self, index, Lost::Anything) {
                self.is_corrupted.store(true, Ordering::Relaxed);
                return Err(error);
            }
        } else if index.is_new() {
            self.create(index)?;
        }
        self.place.clean(index)
    }

    fn store_flags(
        &self,
        _index: &Index,
        _work: &mut Known,
        _guard: Option<&()>,
        _deltas: &[Delta],
    ) -> Result<Done> {
        // They are in the index only.
        Ok(Done::default())
    }

    fn expunge(&self, _index: &Index, work: &mut Known, _guard: Option<&()>, uids: &UidSet) -> Result<Done> {
        uids.iter().for_each(|uid| work.gone.insert(uid));
        Ok(Done::default())
    }

    fn unlocked(&self, index: &Index, work: &mut Known, _guard: Option<()>) {
        // Only what the index has given up: a record without its file would be damage.
        let gone = std::mem::take(&mut work.gone);
        let gone: Vec<Uid> = gone.iter().filter(|uid| index.view().record(*uid).is_none()).collect();
        if !gone.is_empty() {
            self.unlink(index, &gone);
        }
        self.drop_names(index, std::mem::take(&mut work.renamed));
    }

    fn is_damaged(&self) -> bool {
        self.is_corrupted.load(Ordering::Relaxed)
    }

    fn move_to_alt(
        &self,
        index: &mut Locked<'_>,
        _work: &mut Known,
        uids: &UidSet,
        to_alt: bool,
    ) -> Result<()> {
        let uids: UidSet = index.view().records_in(uids).map(|(_, record)| record.uid).collect();
        for uid in uids.iter() {
            self.move_file(uid, to_alt)?;
            crate::progress::step();
        }
        let (add, remove) = if to_alt { (Record::BACKEND, 0) } else { (0, Record::BACKEND) };
        let mut tx = Transaction::new();
        tx.update_bits(&uids, add, remove);
        if tx.is_empty() { Ok(()) } else { Ok(index.commit(&tx, Origin::External)?) }
    }

    fn note_change(&self, _index: &Index, _work: &mut Known, _tx: &mut Transaction) {}

    fn open(&self, shared: &Shared<Self>, _view: &View, uid: Uid) -> Result<Opened> {
        let located = self.locate(shared, uid)?;
        let reader = BodyReader::new(located.file.clone(), located.message.body, located.message.size);
        let metadata = self.metadata(&located)?;
        let mut opened = self.place.opened(reader, &located.path, &metadata, || {
            let work = shared.work();
            let header = mailbox::read_header(&work.index, SDBOX_HEADER).ok_or_else(|| self.no_header())?;
            Ok(attachment_suffix(header.guid, uid))
        })?;
        mailbox::fill(&mut opened.facts, &located.message, &metadata, Wanted::NONE);
        Ok(opened)
    }

    fn facts(
        &self,
        shared: &Shared<Self>,
        _view: &View,
        uid: Uid,
        wanted: Wanted,
        facts: &mut Facts,
    ) -> Result<()> {
        let located = self.locate(shared, uid)?;
        if wanted.has(Wanted::SAVE_DATE) && facts.save_date.is_none() {
            let meta = located.file.metadata().map_err(|error| Error::io("fstat", &located.path, error))?;
            facts.save_date = Some(time_at(meta.ctime()));
        }
        mailbox::fill(facts, &located.message, &self.metadata(&located)?, wanted);
        Ok(())
    }

    fn size_virtual(&self, _view: &View, uid: Uid) -> Option<u64> {
        let (_, file) = self.find(uid).ok()??;
        let dbox = DboxFile::open(file).ok()?;
        dbox.metadata(&dbox.message(0).ok()?).ok()?.virtual_size()
    }

    fn guid_at_hand(&self, _view: &View, uid: Uid) -> Option<Guid> {
        let (_, file) = self.find(uid).ok()??;
        let dbox = DboxFile::open(file).ok()?;
        let metadata = dbox.metadata(&dbox.message(0).ok()?).ok()?;
        metadata.guid().map(names::guid_bits)
    }

    fn guid_known(&self, index: &Index) -> Option<Guid> {
        mailbox::read_header(index, SDBOX_HEADER).map(|header| header.guid)
    }

    fn mailbox_guid(
        &self,
        index: &mut Locked<'_>,
        work: &mut Known,
        _guard: Option<&Self::Guard<'_>>,
    ) -> Result<Guid> {
        if index.is_new() || self.is_broken(index) {
            let none = UidSet::new();
            let sync = Resync { mode: SyncMode::Quick, claim: false, unsettled: &none };
            self.sync(index, work, None, &sync)?;
        }
        let header = mailbox::read_header(index, SDBOX_HEADER);
        header.map(|header| header.guid).ok_or_else(|| self.no_header())
    }

    fn begin_save(shared: &Arc<Shared<Self>>) -> Box<dyn SaveBatch> {
        Box::new(save::Batch::new(shared.clone()))
    }

    fn update(
        &self,
        index: &mut Locked<'_>,
        work: &mut Known,
        _guard: &(),
        tx: &mut Transaction,
        update: &MailboxUpdate,
    ) -> Result<()> {
        if let Some(guid) = update.guid {
            self.add_names(index, guid, &mut work.renamed)?;
        }
        mailbox::update(index, tx, SDBOX_HEADER, update);
        Ok(())
    }

    fn message_file(&self, _shared: &Shared<Self>, _view: &View, uid: Uid) -> Option<MessageFile> {
        let path = self.paths(uid).find(|path| path.exists())?;
        Some(MessageFile { path, size_physical: None, size_virtual: None, format: FileFormat::Sdbox })
    }
}

/// Whether an error says that a file is there already.
fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

/// Seconds since 1970, as indexes have them.
pub(crate) fn now() -> u32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}
