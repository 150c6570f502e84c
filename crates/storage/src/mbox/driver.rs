//! An mbox under an index: where it lies, and what this process knows of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use base::{Guid, Uid, UidSet};
use index::list_index::{self, Extension, MboxStamp};
use index::{ExtSpec, Index, Locked, Transaction};
use jiff::tz::TimeZone;
use sys::lock::LockKind;

use crate::api::{MailboxUpdate, SaveBatch, SyncMode};
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::fs::Permissions;
use crate::indexed::{Context, Delta, Done, Driver, Opened, Resync, Shared};
use crate::settings::FsyncMode;
use crate::view::{Record, View};

use super::batch::Batch;
use super::compressed::Compressed;
use super::lock::{LockLists, LockedMbox, MboxLockSettings};
use super::records::{HEADER_MD5, MBOX, MboxHeader};
use super::scan::{Scan, ScanError};

/// One mbox in this process.
pub(crate) struct Mbox {
    pub(super) context: Context,
    pub(super) path: PathBuf,
    /// Where `dovecot-uidvalidity` is.
    pub(super) control_root: PathBuf,
    pub(super) locking: MboxLockSettings,
    /// Who is written where no sender is known.
    pub(super) owner: String,
    /// The mailbox is compressed.
    pub(super) compressed: Option<Compressed>,
    /// What the index's extension says, for those who do not hold the index; held for moments.
    seen: Mutex<MboxHeader>,
}

/// What is remembered between looks at the file.
#[derive(Default)]
pub(crate) struct Known {
    /// What the index is to be told about the file after a change of ours.
    pub(super) moved: Vec<(Uid, u64)>,
    pub(super) header: Option<MboxHeader>,
    /// From this UID on the file does not say yet that messages are not `\Recent` any more.
    pub(super) recent_from: Option<u32>,
}

impl Mbox {
    pub(super) fn new(
        context: Context,
        path: PathBuf,
        control_root: PathBuf,
        lists: LockLists,
        owner: String,
        is_privileged: bool,
    ) -> Self {
        let settings = &context.settings;
        let (limit, wanted) = (settings.mail_max_lock_timeout, settings.mbox.lock_timeout);
        let locking = MboxLockSettings {
            lists,
            timeout: if limit.is_zero() { wanted } else { wanted.min(limit) },
            dotlock_stale: settings.mbox.dotlock_change_timeout,
            dotlock_use_excl: settings.dotlock_use_excl,
            hostname: settings.hostname.clone(),
            is_privileged,
        };
        Self { context, path, control_root, locking, owner, compressed: None, seen: Mutex::default() }
    }

    pub(super) fn lock(&self, kind: LockKind) -> Result<LockedMbox> {
        // What nobody writes needs no lock file.
        let kind = if self.compressed.is_some() { LockKind::Shared } else { kind };
        let (fs, path) = (&self.context.fs, &self.path);
        let locked = LockedMbox::open(fs, path, kind, &self.locking, &self.context.logger)?;
        match &self.compressed {
            Some(compressed) => {
                let plain = compressed.plain(fs, path, locked.file())?;
                Ok(locked.reading(plain))
            }
            None => Ok(locked),
        }
    }

    pub(super) fn zone() -> TimeZone {
        TimeZone::system()
    }

    pub(super) fn scan<'a>(&self, file: &'a File) -> Scan<'a, File> {
        Scan::new(file, Self::zone())
    }

    pub(super) fn syncs(&self) -> bool {
        self.context.settings.mail_fsync != FsyncMode::Never
    }

    /// An error of reading the file.
    pub(super) fn failed(&self, error: ScanError) -> Error {
        match error {
            ScanError::Io(source) => Error::io("read", &self.path, source),
            ScanError::NotMbox => Error::Unsupported("Mailbox isn't a valid mbox file".to_owned()),
            ScanError::LostFrom(offset) => Error::Corrupt {
                path: self.path.clone(),
                offset,
                what: "Unexpectedly lost From-line".to_owned(),
            },
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, MboxHeader> {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What the index's extension says.
    pub(super) fn header(index: &Index) -> MboxHeader {
        MboxHeader::parse(index.ext_header(MBOX).unwrap_or_default())
    }

    /// Size and modification time of a file, as the extension has them.
    pub(super) fn stamp(&self, file: &File) -> Result<(u64, u32)> {
        let stamp = match self.compressed {
            // That of the plain bytes says nothing.
            Some(_) => self.context.fs.stamp(&self.path).map(Option::unwrap_or_default),
            None => self.context.fs.stamp_of(file),
        };
        let stamp = stamp.map_err(|error| Error::io("fstat", &self.path, error))?;
        Ok((stamp.size, mtime(&stamp)))
    }

    /// Where a message begins, as the index has it.
    pub(super) fn offset(view: &View, uid: Uid) -> Option<u64> {
        let column = view.columns().named(MBOX)?.id;
        Some(u64::from_le_bytes(view.ext(uid, column)?.try_into().ok()?))
    }

    /// The MD5 of a message's header, as the index has it.
    pub(super) fn md5(view: &View, uid: Uid) -> Option<[u8; 16]> {
        let column = view.columns().named(HEADER_MD5)?.id;
        let md5: [u8; 16] = view.ext(uid, column)?.try_into().ok()?;
        (md5 != [0; 16]).then_some(md5)
    }

    /// Whether the file has changed since it was read.
    fn has_changed(&self, index: &Index) -> Result<bool> {
        self.context.fs.renew_mail_name(&self.path);
        let stamp =
            self.context.fs.stamp(&self.path).map_err(|error| Error::io("stat", &self.path, error))?;
        let stamp = stamp.ok_or_else(|| Error::MailboxGone(self.path.display().to_string()))?;
        let header = Self::header(index);
        Ok((header.size, header.mtime) != (stamp.size, mtime(&stamp)))
    }

    /// Whether the index has something that the file is still to be told.
    pub(super) fn wants_writing(index: &Index, work: &Known) -> bool {
        let has_dirty = index.header().flags & index::header::FLAG_HAVE_DIRTY != 0;
        has_dirty || work.recent_from.is_some_and(|from| from < index.header().first_recent_uid)
    }
}

/// Declares the extensions that a transaction is to change.
pub(super) fn declare(tx: &mut Transaction) {
    tx.ext(&ExtSpec::new(MBOX, MboxHeader::BYTES as u32, 8, 8), 0);
    tx.ext(&ExtSpec::new(HEADER_MD5, 0, 16, 1), 0);
}

pub(super) fn write_header(tx: &mut Transaction, header: &MboxHeader) {
    declare(tx);
    tx.ext_header(MBOX, 0, &header.to_bytes());
}

fn mtime(stamp: &crate::fs::Stamp) -> u32 {
    u32::try_from(stamp.mtime_ns.div_euclid(1_000_000_000)).unwrap_or(0)
}

/// A file as the list index remembers it.
pub(super) fn listed_stamp(stamp: &crate::fs::Stamp) -> MboxStamp {
    // 2.3 keeps the low bits of the size.
    MboxStamp { mtime: mtime(stamp), size: stamp.size as u32 }
}

impl Driver for Mbox {
    type Work = Known;
    type Guard<'a> = LockedMbox;

    fn context(&self) -> &Context {
        &self.context
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn watched(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn guard(&self) -> Result<LockedMbox> {
        match self.lock(LockKind::Exclusive) {
            // What cannot be written can be read.
            Err(Error::Denied(_)) => self.lock(LockKind::Shared),
            locked => locked,
        }
    }

    fn guards_changes(&self, expunges: bool) -> bool {
        expunges || !self.context.settings.mbox.lazy_writes
    }

    fn index_place(&self, place: index::Place) -> index::Place {
        let permissions = match self.context.index_dir.as_deref().and_then(Path::parent) {
            Some(dir) if dir.is_dir() => Permissions::of_dir(dir),
            _ => place.permissions,
        };
        index::Place { permissions, ..place }
    }

    fn is_stale(&self, index: &Index, work: &mut Known, mode: SyncMode, claim: bool) -> Result<bool> {
        let header = Self::header(index);
        *self.seen() = header;
        let first_recent = index.header().first_recent_uid;
        if claim && work.recent_from.is_none() && first_recent < index.header().next_uid {
            work.recent_from = Some(first_recent);
        }
        let changed = index.is_new() || header.guid == Guid::default() || self.has_changed(index)?;
        let owes = mode.is_full() && (header.is_dirty || Self::wants_writing(index, work));
        Ok(changed || owes || mode == SyncMode::Rebuild)
    }

    fn sync(
        &self,
        index: &mut Locked<'_>,
        work: &mut Known,
        guard: Option<&LockedMbox>,
        sync: &Resync<'_>,
    ) -> Result<()> {
        // Without any lock nobody knows what could be read.
        let Some(guard) = guard else { return Ok(()) };
        self.read_all(index, guard, sync)?;
        if sync.mode.is_full() && guard.may_write() {
            self.write_back(index, work, guard)?;
        }
        *self.seen() = Self::header(index);
        Ok(())
    }

    fn store_flags(
        &self,
        index: &Index,
        _work: &mut Known,
        _guard: Option<&LockedMbox>,
        deltas: &[Delta],
    ) -> Result<Done> {
        // They are written with the next CHECK or when the mailbox is closed.
        let mut refused = UidSet::new();
        for delta in deltas {
            let here = index.view().records_in(&delta.uids);
            here.for_each(|(_, record)| refused.insert(record.uid));
        }
        Ok(Done { lost: UidSet::new(), refused })
    }

    fn expunge(
        &self,
        index: &Index,
        work: &mut Known,
        guard: Option<&LockedMbox>,
        uids: &UidSet,
    ) -> Result<Done> {
        match guard.filter(|guard| guard.may_write()) {
            Some(guard) => self.expunge_all(index, work, guard, uids),
            None => Ok(Done { lost: UidSet::new(), refused: uids.clone() }),
        }
    }

    fn note_change(&self, _index: &Index, work: &mut Known, tx: &mut Transaction) {
        if let Some(header) = work.header.take() {
            write_header(tx, &header);
            *self.seen() = header;
        }
        for (uid, offset) in std::mem::take(&mut work.moved) {
            tx.ext_record(MBOX, uid, &offset.to_le_bytes());
        }
    }

    fn store_record(&self, _work: &mut Known) -> Option<(Extension, Vec<u8>)> {
        let seen = *self.seen();
        if seen == MboxHeader::default() {
            // Nobody has looked yet.
            return None;
        }
        let stamp = MboxStamp { mtime: seen.mtime, size: seen.size as u32 };
        Some((list_index::MBOX, stamp.encode().to_vec()))
    }

    fn closing(&self, shared: &Shared<Self>) {
        let wants = {
            let work = shared.work();
            Self::wants_writing(&work.index, &work.driver)
        };
        if wants && let Err(error) = shared.sync(SyncMode::Full, false) {
            self.context.logger.error(format_args!(
                "Mailbox {}: {}",
                self.path.display(),
                base::chain(&error)
            ));
        }
    }

    fn open(&self, shared: &Shared<Self>, _view: &View, uid: Uid) -> Result<Opened> {
        Ok(Opened {
            reader: self.read_message(shared, uid)?,
            path: self.path.clone(),
            facts: Facts::default(),
        })
    }

    fn facts(
        &self,
        shared: &Shared<Self>,
        view: &View,
        uid: Uid,
        wanted: Wanted,
        facts: &mut Facts,
    ) -> Result<()> {
        if wanted.has(Wanted::FILE_NAME) {
            facts.file_name = Some("".into());
        }
        if wanted.has(Wanted::SAVE_DATE) && facts.save_date.is_none() {
            // Nothing knows it. The cache keeps what is said the first time.
            facts.save_date = Some(SystemTime::now());
        }
        if wanted.has(Wanted::GUID) && facts.guid.is_none() {
            facts.guid = Self::md5(view, uid).map(|md5| Guid(md5).to_string().into());
        }
        let missing = wanted.has(Wanted::GUID) && facts.guid.is_none()
            || wanted.has(Wanted::INTERNAL_DATE) && facts.internal_date.is_none();
        if missing {
            let (start, _) = self.locate(shared, uid)?;
            let md5 = self.context.settings.mbox.md5.of_header(&start.header_bytes);
            facts.guid = facts.guid.take().or_else(|| Some(Guid(md5).to_string().into()));
            let received = start.from_line.received.unwrap_or(0);
            facts.internal_date = facts.internal_date.or_else(|| Some(time_at(received)));
        }
        Ok(())
    }

    fn guid_known(&self, index: &Index) -> Option<Guid> {
        Some(Self::header(index).guid)
    }

    fn mailbox_guid(
        &self,
        index: &mut Locked<'_>,
        _work: &mut Known,
        _guard: Option<&Self::Guard<'_>>,
    ) -> Result<Guid> {
        let mut header = Self::header(index);
        if header.guid == Guid::default() {
            if index.is_in_memory() {
                let text = "Mailbox GUIDs are not permanent without index files";
                return Err(Error::Unsupported(text.to_owned()));
            }
            header.guid = crate::dbox::names::new_guid();
            let mut tx = Transaction::new();
            write_header(&mut tx, &header);
            index.commit(&tx, index::Origin::External)?;
        }
        Ok(header.guid)
    }

    fn begin_save(shared: &Arc<Shared<Self>>) -> Box<dyn SaveBatch> {
        Box::new(Batch::new(shared.clone()))
    }

    fn update(
        &self,
        index: &mut Locked<'_>,
        _work: &mut Known,
        guard: &LockedMbox,
        tx: &mut Transaction,
        update: &MailboxUpdate,
    ) -> Result<()> {
        if let Some(guid) = update.guid {
            write_header(tx, &MboxHeader { guid, ..Self::header(index) });
        }
        match update.uid_validity {
            Some(value) if value.get() != index.header().uid_validity => {
                if !guard.may_write() {
                    return Err(Error::NoPermission(format!("{} is read-only", self.path.display())));
                }
                // The file says so too, or it would be taken for another mailbox.
                self.set_uid_validity(index, guard, tx, value)
            }
            _ => Ok(()),
        }
    }
}

/// The time at so many seconds since 1970.
pub(super) fn time_at(secs: i64) -> SystemTime {
    let span = Duration::from_secs(secs.unsigned_abs());
    let time = match secs < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(span),
        false => SystemTime::UNIX_EPOCH.checked_add(span),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Whether a record waits to be written to the file.
pub(super) fn is_dirty(record: &Record) -> bool {
    record.bits & Record::DIRTY != 0
}
