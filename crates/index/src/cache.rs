//! `dovecot.index.cache`: what is known of messages so that nobody opens them for it. Byte-compatible
//! with Dovecot 2.3, both ways and at the same time; `docs/formats/cache.md` has the tables.
//!
//! A cache is a convenience: whatever is wrong with the file, it is removed and made anew, and nobody
//! loses more than time. It knows nothing of the index beside it. The caller keeps each message's offset
//! (the record of the index's `cache` extension) and the extension's `reset_id`, says them with every
//! call, and writes down the new ones it gets back.
//!
//! How a caller works with it, for one mailbox:
//!
//! - [`Cache::lookup_fields`] with the message's offset. What is missing there is found out by opening the
//!   message, collected, and given to [`Cache::add`]; what came by the way is added where
//!   [`Cache::wants`] says so. The offsets that come back go into the index.
//! - [`Added`] says what to do if adding was not possible. A file is made by [`Cache::purge`], which wants
//!   the log locked, as is every purge that [`Cache::purge_due`] asks for when the mailbox is synced.
//! - [`Cache::note_expunged`] with every expunge of messages that have an offset.
//! - [`Cache::flush_decisions`] when the mailbox is closed.
//!
//! Read in this order: [`layout`], [`field`], this file, [`lookup`], [`add`], [`purge`], `decide`.

pub mod add;
mod decide;
pub mod dump;
pub mod field;
mod field_list;
pub mod layout;
pub mod limits;
mod lock;
pub mod lookup;
mod pieces;
pub mod purge;
pub mod value;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::Logger;

use crate::dotlock::Dotlock;
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, Stamp, is_missing};
use crate::settings::{FsyncMode, LockMethod};
use layout::{HEADER_BYTES, Header, MAJOR_VERSION, OFFSET_BYTES};
use pieces::{Pieces, read_at_most};

pub use add::{Added, Addition, Occasion};
pub use field::{Decision, Field, FieldId, FieldType, Registry, Want};
pub use lookup::Found;
pub use purge::{PurgeIf, Purged};

/// The settings that a cache obeys, with 2.3's defaults.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// `mail_cache_fields`: wanted for new messages until clients show what they want.
    pub fields: String,
    /// `mail_always_cache_fields`.
    pub always_fields: String,
    /// `mail_never_cache_fields`; `*` turns caching off.
    pub never_fields: String,
    /// `mail_cache_min_mail_count`: messages a mailbox must have before anything is added.
    pub min_mail_count: u32,
    /// `mail_cache_unaccessed_field_drop`: after so long nobody is taken to want a field for old
    /// messages any more, after twice as long for any.
    pub unaccessed_field_drop: Duration,
    /// `mail_cache_record_max_size`, in bytes.
    pub record_size_max: u32,
    /// `mail_cache_max_size`, in bytes.
    pub file_size_max: u64,
    /// `mail_cache_purge_min_size`, in bytes.
    pub purge_min_size: u64,
    /// `mail_cache_purge_delete_percentage`.
    pub purge_delete_percentage: u32,
    /// `mail_cache_purge_continued_percentage`.
    pub purge_continued_percentage: u32,
    /// `mail_cache_purge_header_continue_count`.
    pub purge_header_continue_count: u32,
    /// `mail_fsync`. Only `Always` matters: a cache that is lost in a crash is made anew.
    pub fsync: FsyncMode,
    /// The longest wait for the file's lock; 2.3 waits 10 seconds, or less if `mail_max_lock_timeout`
    /// says so.
    pub lock_timeout: Duration,
    /// `lock_method`
    pub lock_method: LockMethod,
    /// `dotlock_use_excl`
    pub dotlock_use_excl: bool,
    /// The host's name as it stands in lock files.
    pub hostname: String,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            fields: "flags".into(),
            always_fields: String::new(),
            never_fields: "imap.envelope".into(),
            min_mail_count: 0,
            unaccessed_field_drop: Duration::from_secs(30 * 24 * 60 * 60),
            record_size_max: 64 << 10,
            file_size_max: limits::FILE_BYTES_MAX,
            purge_min_size: 32 << 10,
            purge_delete_percentage: 20,
            purge_continued_percentage: 200,
            purge_header_continue_count: 4,
            fsync: FsyncMode::Optimized,
            lock_timeout: Duration::from_secs(10),
            lock_method: LockMethod::Fcntl,
            dotlock_use_excl: true,
            hostname: String::new(),
        }
    }
}

impl CacheSettings {
    /// Whether anything is cached at all.
    pub fn is_disabled(&self) -> bool {
        self.never_fields == "*"
    }
}

/// What the index says at the time of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndexFacts {
    /// `indexid` of the index's header.
    pub indexid: u32,
    /// `reset_id` of the `cache` extension; `None` where there is no such extension yet. Offsets of
    /// messages count only if the file's `file_seq` is the same.
    pub reset_id: Option<u32>,
    /// Messages in the mailbox.
    pub messages: u32,
    /// `day_stamp` of the index's header.
    pub day_stamp: u32,
    /// `day_first_uid[7]` of the index's header: messages from here on are less than a week old.
    pub week_first_uid: u32,
    /// The time, in seconds since 1970.
    pub now: u32,
}

/// Where a cache is and how its files are made.
#[derive(Clone, Debug)]
pub struct CachePlace {
    /// The file, `…/dovecot.index.cache`.
    pub path: PathBuf,
    /// For new files.
    pub permissions: Permissions,
    /// Nothing is to be changed, not even a damaged file removed.
    pub readonly: bool,
    /// What log lines begin with, after the level: `Mailbox INBOX: `.
    pub about: String,
}

/// A mailbox's cache. It is not shared: sessions of one mailbox put it behind a lock of their own.
pub struct Cache {
    fs: Fs,
    place: CachePlace,
    settings: CacheSettings,
    logger: Logger,
    registry: Registry,
    open: Option<OpenFile>,
    due: Option<Due>,
    last_lock_failed: bool,
    /// A file that is damaged and could not be removed.
    given_up: Option<Stamp>,
    /// Of which index's file there was none: a new one will be another's.
    missing: Option<u32>,
}

/// A purge that should come, and for which file.
struct Due {
    file_seq: u32,
    reason: String,
}

/// A file whose header and list of fields were found in order.
struct OpenFile {
    file: File,
    /// The lock, with `lock_method = dotlock`.
    dotlock: Option<Dotlock>,
    /// Device and inode.
    identity: (u64, u64),
    header: Header,
    /// The newest list of fields; 0 if none has been seen yet.
    field_list: u32,
    pieces: Pieces,
}

/// Why something in the file could not be used.
enum Trouble {
    /// It is damaged; the words are 2.3's.
    Broken(String),
    /// The system refused.
    System(&'static str, io::Error),
}

impl From<&str> for Trouble {
    fn from(what: &str) -> Self {
        Self::Broken(what.to_owned())
    }
}

impl Cache {
    /// A cache that is not opened yet. Complains of settings that make no sense.
    pub fn new(fs: Fs, place: CachePlace, mut settings: CacheSettings, logger: Logger) -> Self {
        settings.file_size_max = settings.file_size_max.min(limits::FILE_BYTES_MAX);
        let mut registry = Registry::default();
        if !settings.is_disabled() {
            let lists = [
                ("mail_cache_fields", &settings.fields, Decision::of(Want::Temp)),
                ("mail_always_cache_fields", &settings.always_fields, Decision::forced(Want::Yes)),
                ("mail_never_cache_fields", &settings.never_fields, Decision::forced(Want::No)),
            ];
            for (setting, names, decision) in lists {
                registry.apply_setting(setting, names, decision, &logger);
            }
        }
        Self {
            fs,
            place,
            settings,
            logger,
            registry,
            open: None,
            due: None,
            last_lock_failed: false,
            given_up: None,
            missing: None,
        }
    }

    /// The fields this process knows.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Makes a header field known, which is how a client's wish for one begins. `None` if no header
    /// field can have this name.
    pub fn header_field(&mut self, name: &str) -> Option<FieldId> {
        self.registry.header(name)
    }

    /// Takes over what another mailbox's clients want, for a mailbox that has just been made.
    pub fn copy_decisions(&mut self, from: &Registry) {
        for (_, field) in from.iter() {
            let id = self.registry.register(&field.name, field.kind);
            if self.registry.field(id).kind == field.kind {
                self.registry.suggest(id, Decision::of(field.decision.want), field.last_used);
            }
        }
    }

    /// Decides about a field by name (`doveadm mailbox cache decision`); a name that nobody knows is left
    /// out. [`flush_decisions`](Self::flush_decisions) writes it.
    pub fn decide(&mut self, name: &str, want: Want, last_used: u32) {
        if let Some(id) = self.registry.find(name) {
            self.registry.decide(id, want, last_used);
        }
    }

    /// The file's `file_seq`, if there is a file and it has been opened.
    pub fn file_seq(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.header.file_seq)
    }

    /// The file's header, if there is a file and it has been opened.
    pub fn header(&self) -> Option<&Header> {
        self.open.as_ref().map(|open| &open.header)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Opens the file if it is not open, and says whether there is one that can be used. One that
    /// cannot is removed.
    pub fn open(&mut self, index: &IndexFacts) -> Result<bool> {
        if self.open.is_some() {
            return Ok(true);
        }
        self.registry.forget_file();
        self.fs.renew_index_name(&self.place.path);
        let opened = if self.place.readonly {
            self.fs.open(&self.place.path)
        } else {
            self.fs.open_write(&self.place.path)
        };
        let file = match opened {
            Ok(file) => file,
            Err(error) if is_missing(&error) => {
                self.due = None;
                return Ok(false);
            }
            Err(error) => return Err(Error::io("open", &self.place.path, error)),
        };
        let read = self.read_new(file, index);
        self.settle(read).map(|done| done == Some(true))
    }

    /// Closes the file, for instance because an index in memory has replaced the one on disk.
    pub fn close(&mut self) {
        self.open = None;
        self.registry.forget_file();
    }

    /// Whether the file should be purged, which one, and why. Deliveries need not care.
    pub fn purge_due(&self) -> Option<(PurgeIf, &str)> {
        let due = self.due.as_ref().filter(|_| !self.place.readonly)?;
        Some((PurgeIf::FileSeq(due.file_seq), &due.reason))
    }

    /// For the caller who holds the log's lock, has read the newest index and still finds
    /// [`Added::Stale`]: the file belongs to no state of the index and is removed.
    pub fn discard_mismatched(&mut self, reset_id: u32) {
        let Some(file_seq) = self.file_seq().filter(|&file_seq| file_seq != reset_id) else { return };
        self.delete_corrupted(&format!(
            "reset_id mismatch even after locking (file_seq={file_seq} != reset_id={reset_id})"
        ));
    }

    /// Takes in a file that has just been opened. `false` if it belongs to another index, which
    /// deserves no words.
    fn read_new(&mut self, file: File, index: &IndexFacts) -> Result<bool, Trouble> {
        let stamp = self.fs.stamp_of(&file).map_err(|error| Trouble::System("fstat", error))?;
        if self.given_up == Some(stamp) {
            // It has been complained of already.
            return Ok(false);
        }
        let identity = (stamp.dev, stamp.ino);
        self.open = Some(OpenFile {
            file,
            dotlock: None,
            identity,
            header: Header::default(),
            field_list: 0,
            pieces: Pieces::default(),
        });
        if !self.read_header(index)? {
            self.unlink();
            return Ok(false);
        }
        self.read_field_list(index)?;
        Ok(true)
    }

    /// Reads the header again. `false` if the file belongs to another index.
    fn read_header(&mut self, index: &IndexFacts) -> Result<bool, Trouble> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let mut bytes = [0; HEADER_BYTES];
        let read = read_at_most(&open.file, &mut bytes, 0);
        let read = read.map_err(|error| Trouble::System("read", error))?;
        let header = bytes.get(..read).and_then(Header::decode).ok_or("File too small")?;
        if header.major_version != MAJOR_VERSION {
            let what = format!("Unsupported major version ({})", header.major_version);
            return Err(Trouble::Broken(what));
        }
        if header.offset_bytes != OFFSET_BYTES {
            return Err(Trouble::Broken(format!("Unsupported uoff_t size ({})", header.offset_bytes)));
        }
        if header.indexid != index.indexid {
            return Ok(false);
        }
        if header.file_seq == 0 {
            return Err("file_seq is 0".into());
        }
        open.header = header;
        self.judge_counts(index);
        Ok(true)
    }

    /// Turns trouble into what the caller is to know: damage means that there is no file any more.
    fn settle<T>(&mut self, done: Result<T, Trouble>) -> Result<Option<T>> {
        match done {
            Ok(value) => Ok(Some(value)),
            Err(Trouble::Broken(what)) => {
                self.delete_corrupted(&what);
                Ok(None)
            }
            Err(Trouble::System(op, error)) => {
                self.close();
                Err(Error::io(op, &self.place.path, error))
            }
        }
    }

    /// Removes a damaged file, with 2.3's words.
    fn delete_corrupted(&mut self, what: &str) {
        self.unlink();
        self.logger.error(format_args!("{}Deleting corrupted cache: {what}", self.place.about));
    }

    /// Removes the file that is open, unless another one has taken its name meanwhile.
    fn unlink(&mut self) {
        let Some(open) = self.open.take() else { return };
        self.registry.forget_file();
        self.due = None;
        let Ok(Some(stamp)) = self.fs.stamp(&self.place.path) else { return };
        if (stamp.dev, stamp.ino) != open.identity {
            return;
        }
        if self.place.readonly {
            self.given_up = Some(stamp);
            return;
        }
        if let Err(error) = self.fs.unlink(&self.place.path)
            && !is_missing(&error)
        {
            self.given_up = Some(stamp);
            let path = self.place.path.display();
            let (about, reason) = (&self.place.about, base::reason(&error));
            self.logger.error(format_args!("{about}unlink({path}) failed: {reason}"));
        }
    }

    /// Whether the file's name leads to another file by now.
    fn is_replaced(&self) -> Result<bool> {
        let Some(open) = &self.open else { return Ok(true) };
        self.fs.renew_index_name(&self.place.path);
        match self.fs.stamp(&self.place.path) {
            Ok(stamp) => Ok(stamp.map(|stamp| (stamp.dev, stamp.ino)) != Some(open.identity)),
            Err(error) => Err(Error::io("stat", &self.place.path, error)),
        }
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> Result<(), Trouble> {
        let done = self.fs.write_at(file, &self.place.path, bytes, offset);
        done.map_err(|error| Trouble::System("pwrite", error))
    }

    fn debug(&self, text: std::fmt::Arguments<'_>) {
        self.logger.debug(format_args!("{}{text}", self.place.about));
    }
}

#[cfg(test)]
mod tests;
