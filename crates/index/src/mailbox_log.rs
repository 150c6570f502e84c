//! `dovecot.mailbox.log`: what was done to mailboxes as such, for a replica that finds one missing and
//! must know whether it was deleted here or made there. Records of 24 bytes, appended without a lock;
//! `docs/formats/mailbox-log.md` has the table.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use base::{Guid, Logger};
use sha1::{Digest, Sha1};

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, is_missing};

/// The file's name, in the root of the index directory.
pub const FILE_NAME: &str = "dovecot.mailbox.log";

/// Bytes of a record.
pub const RECORD_BYTES: usize = 24;

/// From this size on the file becomes the old one, whose name ends in `.2`, in place of the one before.
pub const ROTATE_BYTES: u64 = 4096;

/// A writer that lives on does not go on writing to a file that has become the old one for longer than
/// this, in seconds.
const REOPEN_SECS: u32 = 60;

/// Largest file that is read. One that is written to by us or 2.3 hardly exceeds [`ROTATE_BYTES`].
const READ_BYTES_MAX: u64 = 1 << 20;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A mailbox was deleted; the GUID is its own.
    DeleteMailbox,
    /// A name that may have had names below it was deleted; the GUID is the name's hash, as below.
    DeleteDir,
    /// Something was renamed to this name.
    Rename,
    /// The name was subscribed to.
    Subscribe,
    /// The name is not subscribed to any more.
    Unsubscribe,
    /// A name was made. 2.3 knows the number for printing, never writes it, and takes the whole file
    /// for damaged where it goes through it; so it must not be written.
    CreateDir,
}

impl Action {
    /// The number in the file.
    pub fn encode(self) -> u8 {
        match self {
            Self::DeleteMailbox => 1,
            Self::DeleteDir => 2,
            Self::Rename => 3,
            Self::Subscribe => 4,
            Self::Unsubscribe => 5,
            Self::CreateDir => 6,
        }
    }

    /// The opposite of [`encode`](Self::encode).
    pub fn decode(number: u8) -> Option<Self> {
        [
            Self::DeleteMailbox,
            Self::DeleteDir,
            Self::Rename,
            Self::Subscribe,
            Self::Unsubscribe,
            Self::CreateDir,
        ]
        .into_iter()
        .find(|action| action.encode() == number)
    }

    /// `doveadm dump`'s word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::DeleteMailbox => "delete-mailbox",
            Self::DeleteDir => "delete-dir",
            Self::Rename => "rename",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::CreateDir => "create-dir",
        }
    }
}

/// A record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// What was done.
    pub action: Action,
    /// To what: the mailbox's GUID, or the hash of a name.
    pub guid: Guid,
    /// When, in seconds since 1970.
    pub time: u32,
}

impl Record {
    /// The bytes of it.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[0] = self.action.encode();
        bytes[4..20].copy_from_slice(&self.guid.0);
        bytes[20..].copy_from_slice(&self.time.to_be_bytes());
        bytes
    }

    /// Reads one; `None` if its action is none.
    pub fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let action = Action::decode(bytes[0])?;
        let guid = Guid(*bytes[4..].first_chunk()?);
        Some(Self { action, guid, time: u32::from_be_bytes(*bytes[20..].first_chunk()?) })
    }
}

/// What stands for a name: the beginning of its SHA-1. The name is the one that users see, with the
/// namespace's prefix and separator, in UTF-8.
pub fn name_hash(name: &str) -> Guid {
    let digest = Sha1::digest(name.as_bytes());
    let mut guid = [0; 16];
    guid.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
    Guid(guid)
}

/// The log of one mailbox list.
pub struct MailboxLog {
    fs: Fs,
    path: PathBuf,
    permissions: Permissions,
    logger: Logger,
    open: Option<(File, u32)>,
}

impl MailboxLog {
    /// The log at `path`, which is made when the first record is written.
    pub fn new(fs: Fs, path: PathBuf, permissions: Permissions, logger: Logger) -> Self {
        Self { fs, path, permissions, logger, open: None }
    }

    /// Appends a record, and turns a large file into the old one. Records of an empty GUID are none.
    ///
    /// # Errors
    /// Those of opening and writing. A file that cannot be renamed only grows.
    pub fn append(&mut self, record: &Record, now: u32) -> Result<()> {
        if record.guid.0 == [0; 16] {
            return Ok(());
        }
        self.open.take_if(|(_, since)| *since / REOPEN_SECS != now / REOPEN_SECS);
        if self.open.is_none() {
            self.open = Some((self.open_file()?, now));
        }
        let Some((file, _)) = &self.open else { return Ok(()) };
        let before = file.metadata().map(|meta| meta.len());
        if let Err(error) = self.fs.write(file, &self.path, &record.encode()) {
            // Half a record would make nonsense of all that follow. Somebody else's may be cut with
            // it; that log was never meant to be exact.
            if let Ok(size) = before {
                let _ = self.fs.truncate(file, &self.path, size);
            }
            return Err(Error::io("write", &self.path, error));
        }
        self.rotate();
        Ok(())
    }

    /// All records: those of the old file, then those of the new one. A file with a record that makes
    /// no sense is removed, with 2.3's words; what comes before the record counts.
    pub fn records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for path in [self.old_path(), self.path.clone()] {
            let Some(bytes) = self.read(&path)? else { continue };
            for found in iter(&bytes) {
                match found.record {
                    Ok(record) => records.push(record),
                    Err(number) => {
                        self.remove_damaged(&path, found.offset, number);
                        return Ok(records);
                    }
                }
            }
        }
        Ok(records)
    }

    fn open_file(&self) -> Result<File> {
        let created = match self.fs.open_append(&self.path) {
            Err(error) if is_missing(&error) => {
                // Appending must be atomic from the first record on, so the file is opened again.
                match self.fs.create_new(&self.path, &self.permissions) {
                    Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
                    _ => self.fs.open_append(&self.path),
                }
            }
            opened => opened,
        };
        created.map_err(|error| Error::io("creat", &self.path, error))
    }

    fn rotate(&mut self) {
        let Some((file, _)) = &self.open else { return };
        if !file.metadata().is_ok_and(|meta| meta.len() >= ROTATE_BYTES) {
            return;
        }
        let old = self.old_path();
        match self.fs.rename(&self.path, &old) {
            Err(error) if !is_missing(&error) => self.logger.error(format_args!(
                "rename({}, {}) failed: {}",
                self.path.display(),
                old.display(),
                base::reason(&error)
            )),
            _ => self.open = None,
        }
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let file = match self.fs.open(path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let mut bytes = Vec::new();
        let read = std::io::Read::read_to_end(&mut std::io::Read::take(file, READ_BYTES_MAX), &mut bytes);
        read.map_err(|error| Error::io("pread", path, error))?;
        Ok(Some(bytes))
    }

    fn remove_damaged(&self, path: &Path, offset: u64, number: u8) {
        let shown = path.display();
        self.logger.error(format_args!("Corrupted mailbox log {shown} at offset {offset}: type={number}"));
        if let Err(error) = self.fs.unlink(path)
            && !is_missing(&error)
        {
            self.logger.error(format_args!("unlink({shown}) failed: {}", base::reason(&error)));
        }
    }

    fn old_path(&self) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(".2");
        name.into()
    }
}

/// A record and where it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Located {
    /// Bytes from the file's beginning.
    pub offset: u64,
    /// The record, or the number of an action that is none.
    pub record: Result<Record, u8>,
}

/// The records in a file's bytes, for reading and for `doveadm dump`. An end that is too short for one
/// is left out.
pub fn iter(bytes: &[u8]) -> impl Iterator<Item = Located> {
    (0..)
        .step_by(RECORD_BYTES)
        .zip(bytes.as_chunks().0)
        .map(|(offset, bytes)| Located { offset, record: Record::decode(bytes).ok_or(bytes[0]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path) -> MailboxLog {
        MailboxLog::new(Fs::default(), dir.join(FILE_NAME), Permissions::default(), Logger::new(""))
    }

    fn record(number: u32) -> Record {
        Record { action: Action::Subscribe, guid: name_hash("INBOX"), time: number }
    }

    #[test]
    fn names_are_hashed_with_sha1() {
        assert_eq!(name_hash("abc").to_string(), "a9993e364706816aba3e25717850c26c");
    }

    #[test]
    fn what_was_appended_is_read_and_old_records_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path());
        assert_eq!(log.records().unwrap(), []);
        for number in 0..500 {
            log.append(&record(number), number).unwrap();
        }
        let times: Vec<u32> = log.records().unwrap().iter().map(|record| record.time).collect();
        // 171 records fill 4096 bytes; 500 = 2 * 171 + 158.
        assert_eq!(times, (171..500).collect::<Vec<_>>());
    }

    #[test]
    fn a_damaged_file_is_removed_and_what_came_before_the_damage_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path());
        log.append(&record(7), 0).unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend([9; RECORD_BYTES]);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(log.records().unwrap(), [record(7)]);
        assert!(!path.exists());
    }

    #[test]
    fn an_empty_guid_is_not_logged() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path());
        log.append(&Record { guid: Guid([0; 16]), ..record(1) }, 0).unwrap();
        assert!(!dir.path().join(FILE_NAME).exists());
    }
}
