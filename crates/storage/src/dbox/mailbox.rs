//! What sdbox and mdbox mailboxes have in common: where they are, the header that their indexes keep,
//! leftovers, moving files between the two places.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use index::{ExtSpec, Index, Locked, Origin, Transaction};

use crate::api::MailboxUpdate;
use crate::attachment;
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::fs::{Fs, Permissions, is_missing, join};
use crate::indexed::{Context, Opened};
use crate::limits::READ_BYTES;
use crate::settings::FsyncMode;
use crate::source::ReadAt;

use super::apart::Reading;
use super::body::BodyReader;
use super::file::Message;
use super::metadata::Metadata;
use super::names::{self, TEMPORARY_AGE, TEMPORARY_PREFIX};
use super::records::{MailboxHeader, POP3_UIDL};
use super::repair::Repair;
use super::write::time_at;

/// Where a mailbox lies and what applies to it.
#[derive(Clone)]
pub(crate) struct MailboxPlace {
    pub context: Context,
    /// With the index unless that is elsewhere, and sdbox's messages.
    pub dir: PathBuf,
    /// The same in the alternative place.
    pub alt: Option<PathBuf>,
    /// What must be there before it can be said what is in `alt`.
    pub alt_root: Option<PathBuf>,
    /// Where `dovecot-uidvalidity` is.
    pub control_root: PathBuf,
    pub permissions: Permissions,
    /// Where attachments are, if they are stored apart.
    pub attachments: Option<Arc<attachment::Store>>,
    /// It is the user's INBOX.
    pub is_inbox: bool,
}

impl MailboxPlace {
    pub(crate) fn syncs(&self) -> bool {
        self.context.settings.mail_fsync != FsyncMode::Never
    }

    pub(crate) fn repair(&self) -> Repair<'_> {
        Repair {
            fs: &self.context.fs,
            permissions: &self.permissions,
            hostname: &self.context.settings.hostname,
            logger: &self.context.logger,
            syncs: self.syncs(),
        }
    }

    pub(crate) fn next_uid_validity(&self) -> u32 {
        let Context { fs, logger, .. } = &self.context;
        crate::maildir::next_uid_validity(fs, &self.control_root, &self.permissions, logger)
    }

    /// What the index was before it was last written, for when it is lost.
    pub(crate) fn backup(&self) -> Option<Index> {
        let dir = self.context.index_dir.clone()?;
        let place = index::Place::new(Some(dir), "dovecot.index.backup");
        let settings = self.context.settings.index_settings();
        let (fs, logger) = (self.context.fs.clone(), self.context.logger.clone());
        Index::open(place, settings, fs, logger).ok().filter(|backup| !backup.is_new())
    }

    /// A path for a file that is being written in `dir`.
    pub(crate) fn temporary(&self, dir: &Path) -> PathBuf {
        dir.join(names::temporary(&self.context.settings.hostname))
    }

    /// Whether it is time to look for leftovers.
    pub(crate) fn is_scan_due(&self, index: &Index) -> bool {
        let interval = self.context.settings.mail_temp_scan_interval;
        let last = u64::from(index.header().last_temp_file_scan);
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(last);
        let age = SystemTime::now().duration_since(last);
        !interval.is_zero() && age.is_ok_and(|age| age > interval)
    }

    /// The plain bytes of a message that may be compressed and have attachments elsewhere.
    pub(crate) fn opened(
        &self,
        raw: BodyReader,
        path: &Path,
        metadata: &Metadata,
        suffix: impl FnOnce() -> Result<String>,
    ) -> Result<Opened> {
        let compression = &self.context.settings.compression;
        let reading = Reading { compression, attachments: self.attachments.as_ref() };
        let reader = reading.reader(raw, path, metadata, suffix)?;
        Ok(Opened { reader, path: path.to_owned(), facts: Facts::default() })
    }

    /// Removes what crashes left in the mailbox's directory, if it is time to.
    pub(crate) fn clean(&self, index: &mut Locked<'_>) -> Result<()> {
        if !self.is_scan_due(index) {
            return Ok(());
        }
        remove_leftovers(&self.context.fs, &self.dir);
        let mut tx = Transaction::new();
        let now = super::single::now().to_le_bytes();
        tx.set_header(index::header::LAST_TEMP_FILE_SCAN, &now, false);
        Ok(index.commit(&tx, Origin::External)?)
    }

    /// Moves a file into another directory, which may be on another disk and need not be there. Nothing
    /// is done where it is not.
    pub(crate) fn move_file(&self, from: &Path, to_dir: &Path, name: &str) -> Result<()> {
        let fs = &self.context.fs;
        let source = match fs.open(from) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(Error::io("open", from, error)),
        };
        fs.mkdir_all(to_dir, &self.permissions).map_err(|error| Error::io("mkdir", to_dir, error))?;
        let (temporary, to) = (self.temporary(to_dir), to_dir.join(name));
        let copied = self.copy_file(&source, &temporary).and_then(|()| fs.rename(&temporary, &to));
        if let Err(error) = copied {
            let _ = fs.unlink(&temporary);
            return Err(Error::io("write", temporary, error));
        }
        if self.syncs() {
            fs.sync_dir(to_dir).map_err(|error| Error::io("fsync", to_dir, error))?;
        }
        fs.unlink(from).map_err(|error| Error::io("unlink", from, error))
    }

    fn copy_file(&self, source: &std::fs::File, to: &Path) -> io::Result<()> {
        let fs = &self.context.fs;
        let target = fs.create_new(to, &self.permissions)?;
        let (mut buffer, mut at) = (vec![0; READ_BYTES], 0);
        loop {
            let read = source.read_at(&mut buffer, at)?;
            if read == 0 {
                break;
            }
            fs.write(&target, to, buffer.get(..read).unwrap_or_default())?;
            at += read as u64;
        }
        if self.syncs() {
            fs.sync(&target, to)?;
        }
        fs.set_mtime(to, source.metadata()?.modified()?)
    }
}

/// Removes files that were being written long ago.
pub(crate) fn remove_leftovers(fs: &Fs, dir: &Path) {
    let mut found = Vec::new();
    let _ = fs.read_dir(dir, |name, _| {
        if name.starts_with(TEMPORARY_PREFIX.as_bytes()) {
            found.push(join(dir, name));
        }
    });
    for path in found {
        use std::os::unix::fs::MetadataExt;
        let changed = std::fs::symlink_metadata(&path).map(|meta| time_at(meta.ctime()));
        let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if age.is_some_and(|age| age > TEMPORARY_AGE) {
            let _ = fs.unlink(&path);
        }
    }
}

/// The header that a mailbox's index keeps for the driver; `None` if it is not there or damaged.
pub(crate) fn read_header(index: &Index, name: &str) -> Option<MailboxHeader> {
    let header = MailboxHeader::parse(index.ext_header(name)?)?;
    (header.guid != base::Guid::default()).then_some(header)
}

pub(crate) fn write_header(tx: &mut Transaction, name: &str, header: &MailboxHeader) {
    tx.ext(&ExtSpec::new(name, MailboxHeader::BYTES as u32, 0, 0), 0);
    tx.ext_header(name, 0, &header.to_bytes());
}

/// Notes the highest UID whose message has a saved POP3 UIDL.
pub(crate) fn write_pop3_uidl(tx: &mut Transaction, uid: u32) {
    tx.ext(&ExtSpec::new(POP3_UIDL, 4, 0, 0), 0);
    tx.ext_header(POP3_UIDL, 0, &uid.to_le_bytes());
}

/// The highest UID whose message has a saved POP3 UIDL, where that is noted.
pub(crate) fn pop3_uidl(index: &Index) -> Option<u32> {
    let bytes = index.ext_header(POP3_UIDL)?.get(..4)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes))
}

/// Facts that stand in a message's metadata.
pub(crate) fn fill(facts: &mut Facts, message: &Message, metadata: &Metadata, wanted: Wanted) {
    let text = |text: &str| Arc::<str>::from(text);
    facts.size_physical = facts.size_physical.or(Some(metadata.physical_size().unwrap_or(message.size)));
    facts.size_virtual = facts.size_virtual.or(metadata.virtual_size());
    if facts.internal_date.is_none() {
        facts.internal_date = Some(time_at(metadata.received().unwrap_or(0)));
    }
    if facts.guid.is_none() {
        facts.guid = metadata.guid().map(text);
    }
    facts.pop3_uidl = metadata.pop3_uidl().filter(|uidl| !uidl.is_empty()).map(text);
    facts.pop3_order = metadata.pop3_order();
    if wanted.has(Wanted::FILE_NAME) {
        // 2.3's `%f` is empty for dbox.
        facts.file_name = Some(text(""));
    }
}

/// Changes a mailbox's GUID and UIDVALIDITY, both of which are in the index alone.
pub(crate) fn update(index: &Index, tx: &mut Transaction, name: &str, update: &MailboxUpdate) {
    if let Some(validity) = update.uid_validity {
        tx.set_uid_validity(validity);
    }
    if let (Some(guid), Some(old)) = (update.guid, read_header(index, name)) {
        write_header(tx, name, &MailboxHeader { guid, ..old });
    }
}
