//! Opening messages and what their files' names, the uidlist and a stat tell of them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::Uid;

use crate::api::{FileFormat, MessageFile, SyncMode};
use crate::compress;
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::indexed::{FileReader, Opened, Shared};
use crate::view::View;

use super::driver::Maildir;
use super::filename;
use super::keywords::Letters;
use super::names::{Entry, Seen};
use super::uidlist;

impl Maildir {
    pub(super) fn open_message(&self, shared: &Shared<Self>, view: &View, uid: Uid) -> Result<Opened> {
        let (path, file) = self.find(shared, view, uid, |path| self.fs.open(path))?;
        let meta = file.metadata().map_err(|error| Error::io("fstat", path.clone(), error))?;
        let raw = Box::new(FileReader::new(file, meta.size()));
        let known = match self.settings.compression.is_on {
            true => self.entry(uid).ok().and_then(|entry| self.sizes(&entry).0),
            false => None,
        };
        let reader = compress::reader(raw, &path, known, &self.settings.compression);
        let reader = reader.map_err(|error| Error::io("read", path.clone(), error))?;
        let (modified, changed) = times(&meta);
        let dates = Facts { internal_date: Some(modified), save_date: Some(changed), ..Facts::default() };
        Ok(Opened { reader, path, facts: dates })
    }

    pub(super) fn file_of(&self, shared: &Shared<Self>, view: &View, uid: Uid) -> Option<MessageFile> {
        let (path, _) = self.find(shared, view, uid, |path| std::fs::metadata(path)).ok()?;
        let entry = self.entry(uid).ok()?;
        let (size_physical, size_virtual) = self.sizes(&entry);
        Some(MessageFile { path, size_physical, size_virtual, format: FileFormat::Plain })
    }

    pub(super) fn file_facts(
        &self,
        shared: &Shared<Self>,
        view: &View,
        uid: Uid,
        wanted: Wanted,
        facts: &mut Facts,
    ) -> Result<()> {
        let entry = self.entry(uid)?;
        let (size_physical, size_virtual) = self.sizes(&entry);
        facts.size_physical = facts.size_physical.or(size_physical);
        facts.size_virtual = facts.size_virtual.or(size_virtual);
        let names = Wanted::GUID | Wanted::FILE_NAME | Wanted::POP3_UIDL | Wanted::POP3_ORDER;
        if wanted.0 & names.0 != 0 {
            self.names_of(&entry, facts);
        }
        let dates = wanted.has(Wanted::INTERNAL_DATE) && facts.internal_date.is_none()
            || wanted.has(Wanted::SAVE_DATE) && facts.save_date.is_none();
        let size = wanted.has(Wanted::SIZE_PHYSICAL) && facts.size_physical.is_none();
        if dates || size {
            let (_, meta) = self.find(shared, view, uid, |path| std::fs::metadata(path))?;
            // A compressed file's size is not the message's.
            if !self.settings.compression.is_on {
                facts.size_physical = facts.size_physical.or(Some(meta.size()));
            }
            let (modified, changed) = times(&meta);
            facts.internal_date = facts.internal_date.or(Some(modified));
            facts.save_date = facts.save_date.or(Some(changed));
        }
        Ok(())
    }

    /// RFC822.SIZE, where a name or the uidlist tells it.
    pub(super) fn known_size(&self, uid: Uid) -> Option<u64> {
        self.sizes(&self.entry(uid).ok()?).1
    }

    pub(super) fn names_of(&self, entry: &Entry, facts: &mut Facts) {
        let text = |bytes: &[u8]| Arc::<str>::from(String::from_utf8_lossy(bytes));
        let base = text(filename::base(&entry.name));
        let field = |key| uidlist::field(&entry.fields, key);
        facts.guid = Some(match field(b'G') {
            Some(guid) if !guid.is_empty() => text(guid),
            _ => base.clone(),
        });
        facts.pop3_uidl = match field(b'P') {
            // Short for "the file name".
            Some([]) => Some(base.clone()),
            uidl => uidl.map(text),
        };
        facts.pop3_order = field(b'O').and_then(|order| std::str::from_utf8(order).ok()?.parse().ok());
        facts.file_name = Some(base);
    }

    pub(super) fn sizes(&self, entry: &Entry) -> (Option<u64>, Option<u64>) {
        let field = |key| {
            let value = uidlist::field(&entry.fields, key)?;
            std::str::from_utf8(value).ok()?.parse().ok()
        };
        let broken = self.settings.maildir_broken_filename_sizes;
        let named = |key| filename::size(&entry.name, key).filter(|_| !broken);
        (named(b'S').or_else(|| field(b'S').filter(|_| !broken)), named(b'W').or_else(|| field(b'W')))
    }

    /// The uidlist's line of a message.
    pub(super) fn entry(&self, uid: Uid) -> Result<Entry> {
        let mut names = self.names();
        if let Some(entry) = names.entry(uid) {
            return Ok(entry.clone());
        }
        // Somebody else has added it since the list was read, if it was.
        names.refresh(self, false)?;
        names.entry(uid).cloned().ok_or(Error::Expunged(uid))
    }

    fn candidates(&self, view: &View, uid: Uid, letters: &Letters) -> Result<Vec<(Seen, Vec<u8>)>> {
        self.entry(uid)?;
        Ok(self.names().candidates(view, letters, uid))
    }

    /// Tries `step` on the file until it is where we think it is, or has gone.
    fn find<T>(
        &self,
        shared: &Shared<Self>,
        view: &View,
        uid: Uid,
        mut step: impl FnMut(&Path) -> io::Result<T>,
    ) -> Result<(PathBuf, T)> {
        let (mut newest, mut letters) = (None, Letters::default());
        let likeliest = self.names().likeliest(view, &letters, uid);
        if let Some((seen, name)) = likeliest {
            let path = self.file(seen, &name);
            match step(&path) {
                Ok(found) => {
                    self.remember(uid, seen, name);
                    return Ok((path, found));
                }
                Err(error) if crate::fs::is_missing(&error) => {}
                Err(error) => return Err(Error::io("open", path, error)),
            }
        }
        for round in 0..RETRIES {
            let view = newest.as_deref().unwrap_or(view);
            for (seen, name) in self.candidates(view, uid, &letters)? {
                let path = self.file(seen, &name);
                match step(&path) {
                    Ok(found) => {
                        self.remember(uid, seen, name);
                        return Ok((path, found));
                    }
                    Err(error) if crate::fs::is_missing(&error) => {}
                    Err(error) => return Err(Error::io("open", path, error)),
                }
            }
            letters.refresh(self)?;
            // Flags may have changed since the session's view was made; only then look at the directory.
            let mode = if round == 0 { SyncMode::Quick } else { SyncMode::Full };
            shared.sync(mode, false)?;
            newest = Some(shared.view());
        }
        let dir = self.dir.display();
        self.logger.error(format_args!("maildir_file_do({dir}): Filename keeps changing for UID={uid}"));
        Err(Error::Expunged(uid))
    }

    fn remember(&self, uid: Uid, seen: Seen, name: Vec<u8>) {
        if let Some(entry) = self.names().entry_mut(uid)
            && (entry.seen != seen || *entry.name != *name)
        {
            (entry.seen, entry.name) = (seen, name.into_boxed_slice());
        }
    }
}

/// When a file was modified, and its inode changed.
fn times(meta: &std::fs::Metadata) -> (SystemTime, SystemTime) {
    (time(meta.mtime(), meta.mtime_nsec()), time(meta.ctime(), meta.ctime_nsec()))
}

fn time(secs: i64, nanos: i64) -> SystemTime {
    let nanos = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    match u64::try_from(secs) {
        Ok(secs) => SystemTime::UNIX_EPOCH + Duration::from_secs(secs) + nanos,
        Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(secs.unsigned_abs()) + nanos,
    }
}

// 2.3's MAILDIR_RESYNC_RETRY_COUNT.
const RETRIES: usize = 10;
