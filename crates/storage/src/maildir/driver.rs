//! A Maildir under an index: where it lies, and what this process knows of its files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base::{Guid, Uid, UidSet};
use index::dotlock::{Dotlock, DotlockSettings, Spares};
use index::list_index::{Extension, MAILDIR};
use index::{Index, Locked, Transaction};

use crate::api::{MailboxUpdate, MessageFile, SaveBatch, SyncMode};
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::fs::{Permissions, Stamp, is_missing};
use crate::indexed::{Context, Delta, Done, Driver, Opened, Resync, Shared};
use crate::settings::FsyncMode;
use crate::view::View;

use super::keywords::Letters;
use super::names::Names;
use super::save::Batch;
use super::state::Dirs;

/// Where a mailbox lies and what applies to it.
#[derive(Clone)]
pub(crate) struct Place {
    pub context: Context,
    /// With `cur`, `new` and `tmp`.
    pub dir: PathBuf,
    /// Where the uidlist is.
    pub control: PathBuf,
    /// Where `dovecot-uidvalidity` is.
    pub control_root: PathBuf,
    pub permissions: Permissions,
    /// Each user has flags of his own, which file names do not say.
    pub has_private_flags: bool,
}

/// One Maildir in this process.
pub(crate) struct Maildir {
    place: Place,
    /// Held for moments only.
    names: Mutex<Names>,
    /// The uidlist's lock, where `tmp` is on the same file system for sure.
    spares: Option<Arc<Spares>>,
}

/// What is remembered between looks at the disk.
#[derive(Default)]
pub(crate) struct Known {
    pub dirs: Dirs,
    pub letters: Letters,
}

impl Maildir {
    pub(super) fn new(place: Place) -> Self {
        let is_local = !place.settings.mail_nfs_index && !place.settings.mail_nfs_storage;
        let spares =
            (place.control == place.dir && is_local).then(|| Arc::new(Spares::new(place.dir.join("tmp"))));
        Self { place, names: Mutex::default(), spares }
    }

    pub(super) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes the uidlist's lock, making directories that got lost.
    pub(super) fn lock_uidlist(&self) -> Result<Dotlock> {
        self.lock_with(None)
    }

    /// The same for those who come again and again.
    pub(super) fn lock_uidlist_often(&self) -> Result<Dotlock> {
        self.lock_with(self.spares.as_ref())
    }

    fn lock_with(&self, spares: Option<&Arc<Spares>>) -> Result<Dotlock> {
        let path = self.control_file("dovecot-uidlist");
        let (permissions, settings) = (&self.permissions, self.dotlock_settings());
        let take = || Dotlock::lock_often(&self.fs, &path, permissions, &settings, &self.logger, spares);
        match take() {
            Err(index::Error::Io { source, .. }) if is_missing(&source) => {
                self.make_directories()?;
                Ok(take()?)
            }
            result => Ok(result?),
        }
    }
}

impl std::ops::Deref for Maildir {
    type Target = Place;
    fn deref(&self) -> &Place {
        &self.place
    }
}

impl std::ops::Deref for Place {
    type Target = Context;
    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Place {
    pub(super) fn control_file(&self, name: &str) -> PathBuf {
        self.control.join(name)
    }

    pub(super) fn syncs(&self) -> bool {
        self.settings.mail_fsync != FsyncMode::Never
    }

    pub(super) fn dotlock_settings(&self) -> DotlockSettings {
        let limit = self.settings.mail_max_lock_timeout;
        let timeout = STALE + Duration::from_secs(2);
        DotlockSettings {
            timeout: if limit.is_zero() { timeout } else { timeout.min(limit) },
            stale: STALE,
            use_excl: self.settings.dotlock_use_excl,
            hostname: self.settings.hostname.clone(),
        }
    }

    /// Makes what is missing below the mailbox's directory, which must be there itself.
    pub(super) fn make_directories(&self) -> Result<()> {
        let gone = || Error::MailboxGone(self.dir.display().to_string());
        self.fs
            .stamp(&self.dir)
            .map_err(|error| Error::io("stat", self.dir.clone(), error))?
            .ok_or_else(gone)?;
        let names = ["cur", "new", "tmp"].map(|name| self.dir.join(name));
        for path in names.iter().chain([&self.control]) {
            self.fs
                .mkdir_all(path, &self.permissions)
                .map_err(|error| Error::io("mkdir", path.clone(), error))?;
        }
        Ok(())
    }

    /// A whole file, or `None` if there is none.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        self.read_from(path, 0).map(|found| found.map(|(data, _)| data))
    }

    /// A file from `offset` on, and its stamp as it was when opened.
    pub(super) fn read_from(&self, path: &Path, offset: u64) -> Result<Option<(Vec<u8>, Stamp)>> {
        let file = match self.fs.open(path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let read = |mut file: File| -> std::io::Result<(Vec<u8>, Stamp)> {
            let stamp = self.fs.stamp_of(&file)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut data =
                Vec::with_capacity(usize::try_from(stamp.size.saturating_sub(offset)).unwrap_or(0));
            // Bytes added after the stamp was taken are left for the next time.
            file.take(stamp.size.saturating_sub(offset)).read_to_end(&mut data)?;
            Ok((data, stamp))
        };
        read(file).map(Some).map_err(|error| Error::io("read", path, error))
    }

    /// The first and the last `count` bytes of a file that is longer than both, and its stamp.
    pub(super) fn read_ends(&self, path: &Path, count: u64) -> Result<Option<([Vec<u8>; 2], Stamp)>> {
        let file = match self.fs.open(path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let read = || -> std::io::Result<Option<([Vec<u8>; 2], Stamp)>> {
            let stamp = self.fs.stamp_of(&file)?;
            if stamp.size <= 2 * count {
                return Ok(None);
            }
            let (mut head, mut tail) = (vec![0; count as usize], vec![0; count as usize]);
            let got = self.fs.read_at(&file, &mut head, 0)?
                + self.fs.read_at(&file, &mut tail, stamp.size - count)?;
            Ok((got as u64 == 2 * count).then_some(([head, tail], stamp)))
        };
        read().map_err(|error| Error::io("read", path, error))
    }

    pub(super) fn next_uid_validity(&self) -> u32 {
        super::uidvalidity::next(&self.fs, &self.control_root, &self.permissions, &self.logger)
    }

    /// Writes the uidlist as a whole. One that `replaces` another, or names messages, is sure to be found
    /// after a crash.
    pub(super) fn replace_uidlist(&self, content: &[u8], replaces: bool) -> Result<Stamp> {
        let path = self.control_file("dovecot-uidlist");
        let temp = self.control_file("dovecot-uidlist.tmp");
        let write = || {
            let file = self.fs.create(&temp, &self.permissions)?;
            self.fs.write(&file, &temp, content)?;
            if self.syncs() {
                self.fs.sync(&file, &temp)?;
            }
            self.fs.rename(&temp, &path)?;
            if replaces {
                self.sync_control();
            }
            self.fs.stamp_of(&file)
        };
        write().map_err(|error| {
            let _ = self.fs.unlink(&temp);
            Error::io("write", temp.clone(), error)
        })
    }

    /// A file of the control directory was replaced: neither UIDs nor names of keywords that were given
    /// since may be those of the old one after a crash.
    pub(super) fn sync_control(&self) {
        if let Some(dir) = self.control_file("dovecot-uidlist").parent().filter(|_| self.syncs()) {
            // Most file systems have it with the file itself; where not even that can be had it is no
            // failure.
            let _ = self.fs.sync_dir(dir);
        }
    }

    /// Forces what was put into directories to disk.
    pub(super) fn sync_dirs(&self, dirs: &[PathBuf]) -> Result<()> {
        if !self.syncs() {
            return Ok(());
        }
        let sync = |dir: &PathBuf| self.fs.sync_dir(dir).map_err(|error| Error::io("fsync", dir, error));
        dirs.iter().try_for_each(sync)
    }

    /// Adds lines to the uidlist, and makes sure that they and what was put into `dirs` are on disk. A
    /// failure takes back what was written.
    pub(super) fn append_uidlist(&self, lines: &[u8], dirs: &[PathBuf]) -> Result<Stamp> {
        let path = self.control_file("dovecot-uidlist");
        let failed = |op| {
            let path = path.clone();
            move |error| Error::io(op, path, error)
        };
        let file = self.fs.open_append(&path).map_err(failed("open"))?;
        let size = self.fs.stamp_of(&file).map_err(failed("fstat"))?.size;
        let written = self.fs.write(&file, &path, lines).map_err(failed("write"));
        let done = written.and_then(|()| match self.syncs() {
            true => self
                .fs
                .sync_with_dirs(&file, &path, dirs)
                .map_err(|not| Error::io(not.op, not.path, not.source)),
            false => Ok(()),
        });
        if done.is_err() {
            let _ = self.fs.truncate(&file, &path, size);
        }
        done?;
        self.fs.stamp_of(&file).map_err(failed("fstat"))
    }
}

impl Driver for Maildir {
    type Work = Known;
    type Guard<'a> = Dotlock;

    fn context(&self) -> &Context {
        &self.place.context
    }

    fn path(&self) -> &Path {
        &self.place.dir
    }

    fn slow_facts(&self) -> Wanted {
        // Names tell the rest.
        Wanted::INTERNAL_DATE | Wanted::SAVE_DATE
    }

    fn watched(&self) -> Vec<PathBuf> {
        vec![self.dir.join("new"), self.dir.join("cur")]
    }

    fn guard(&self) -> Result<Dotlock> {
        self.lock_uidlist()
    }

    fn guards_changes(&self, _expunges: bool) -> bool {
        // The index's lock keeps scans out while files are renamed; where there is none on disk, the
        // uidlist's must.
        self.place.context.index_dir.is_none()
    }

    fn is_stale(&self, index: &Index, work: &mut Known, mode: SyncMode, claim: bool) -> Result<bool> {
        self.look(index, work, mode, claim).map(|look| look.any)
    }

    fn sync(
        &self,
        index: &mut Locked<'_>,
        work: &mut Known,
        guard: Option<&Dotlock>,
        sync: &Resync<'_>,
    ) -> Result<()> {
        self.sync_files(index, work, guard, sync)
    }

    fn store_flags(
        &self,
        index: &Index,
        work: &mut Known,
        _guard: Option<&Dotlock>,
        deltas: &[Delta],
    ) -> Result<Done> {
        self.rename_all(index, work, deltas)
    }

    fn expunge(
        &self,
        index: &Index,
        work: &mut Known,
        _guard: Option<&Dotlock>,
        uids: &UidSet,
    ) -> Result<Done> {
        self.unlink_all(index, work, uids)
    }

    fn note_change(&self, index: &Index, work: &mut Known, tx: &mut Transaction) {
        work.dirs.write(index, tx);
    }

    fn store_record(&self, work: &mut Known) -> Option<(Extension, Vec<u8>)> {
        // Then nobody knows what cur/ is like.
        if self.settings.maildir_very_dirty_syncs {
            return None;
        }
        Some((MAILDIR, work.dirs.list_times(&self.place)?.encode()))
    }

    fn open(&self, shared: &Shared<Self>, view: &View, uid: Uid) -> Result<Opened> {
        self.open_message(shared, view, uid)
    }

    fn facts(
        &self,
        shared: &Shared<Self>,
        view: &View,
        uid: Uid,
        wanted: Wanted,
        facts: &mut Facts,
    ) -> Result<()> {
        self.file_facts(shared, view, uid, wanted, facts)
    }

    fn size_virtual(&self, _view: &View, uid: Uid) -> Option<u64> {
        self.known_size(uid)
    }

    fn keep_size(&self, uid: Uid, size: u64) -> bool {
        self.note_size(uid, size)
    }

    fn flush_sizes(&self) {
        self.write_sizes();
    }

    fn guid_at_hand(&self, _view: &View, uid: Uid) -> Option<Guid> {
        let mut facts = Facts::default();
        self.names_of(&self.entry(uid).ok()?, &mut facts);
        Some(crate::dbox::names::guid_bits(facts.guid.as_deref()?))
    }

    fn guid_known(&self, _index: &Index) -> Option<Guid> {
        self.names().header.guid
    }

    fn guards_guid(&self) -> Result<bool> {
        let mut names = self.names();
        names.refresh(&self.place, false)?;
        Ok(names.header.guid.is_none())
    }

    fn mailbox_guid(
        &self,
        index: &mut Locked<'_>,
        work: &mut Known,
        guard: Option<&Dotlock>,
    ) -> Result<Guid> {
        if let Some(guid) = self.names().header.guid {
            return Ok(guid);
        }
        let none = UidSet::new();
        let sync = Resync { mode: SyncMode::Full, claim: false, unsettled: &none };
        self.sync_files(index, work, guard, &sync)?;
        let guid = self.names().header.guid;
        guid.ok_or_else(|| {
            Error::NoPermission(format!("{} has no GUID and cannot get one", self.dir.display()))
        })
    }

    fn begin_save(shared: &Arc<Shared<Self>>) -> Box<dyn SaveBatch> {
        Box::new(Batch::new(shared.clone()))
    }

    fn message_file(&self, shared: &Shared<Self>, view: &View, uid: Uid) -> Option<MessageFile> {
        self.file_of(shared, view, uid)
    }

    fn update(
        &self,
        index: &mut Locked<'_>,
        _work: &mut Known,
        _guard: &Dotlock,
        tx: &mut Transaction,
        update: &MailboxUpdate,
    ) -> Result<()> {
        self.update_uidlist(index, tx, update)
    }

    fn save_pop3_uidls(
        &self,
        _index: &mut Locked<'_>,
        _work: &mut Known,
        _guard: &Dotlock,
        uidls: &[(Uid, String)],
    ) -> Result<()> {
        self.write_uidls(uidls)
    }
}

// 2.3's MAILDIR_UIDLIST_LOCK_STALE_TIMEOUT.
const STALE: Duration = Duration::from_secs(120);
