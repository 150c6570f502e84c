//! One mailbox's index: its file, its log and what both say. Sessions of a process share one in a
//! mutex and work on the [`View`]s it hands out.

mod commit;
mod create;
mod lock;
mod memory;
mod open;
mod pending;
mod refresh;
mod rescue;
mod rewrite;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Logger;

use crate::error::Result;
use crate::fs::Fs;
use crate::header::Header;
use crate::log::file::LogFile;
use crate::map::{Map, Names};
use crate::settings::{Place, Settings};
use crate::transaction::{Origin, Transaction};
use crate::view::{ExtId, View};

pub use lock::Locked;
pub use pending::Pending;

/// One index.
pub struct Index {
    place: Place,
    settings: Arc<Settings>,
    fs: Fs,
    logger: Logger,
    /// The index file, or what stands for it in log lines.
    path: PathBuf,
    names: Names,
    map: Map,
    log: Option<Box<LogFile>>,
    held: Option<lock::Held>,
    on_disk: OnDisk,
    /// More of the log had to be read than is good: the index file should be written anew soon.
    read_much: bool,
    /// Why the index file has to be written anew.
    needs_rewrite: Option<String>,
    /// What unusable files still told.
    rescued: rescue::Rescued,
    /// The session has looked whether the older log is to be removed.
    log2_checked: bool,
    deleted: bool,
    delete_requested: bool,
    /// Counts what [`refresh`](Index::refresh) tells.
    changes: u64,
}

/// What is known of the index file.
#[derive(Clone, Copy, Debug, Default)]
struct OnDisk {
    /// Device and inode of the file that was read or written last.
    id: Option<(u64, u64)>,
    log_seq: u32,
    tail: u32,
    /// It was damaged: what it says is what could be saved of it.
    repaired: bool,
}

impl Index {
    /// Reads what is there. Creates nothing: where nothing is, the index is empty and
    /// [new](Self::is_new).
    ///
    /// # Errors
    /// Those of the system. Damaged files are mended or left out, and logged.
    pub fn open(place: Place, settings: Arc<Settings>, fs: Fs, logger: Logger) -> Result<Self> {
        let path = match &place.dir {
            Some(dir) => dir.join(&place.prefix),
            None => PathBuf::from(memory::NAME),
        };
        let mut index = Self {
            place,
            settings,
            fs,
            logger,
            path,
            names: Names::default(),
            map: Map::new(0),
            log: None,
            held: None,
            on_disk: OnDisk::default(),
            read_much: false,
            needs_rewrite: None,
            rescued: rescue::Rescued::default(),
            log2_checked: false,
            deleted: false,
            delete_requested: false,
            changes: 0,
        };
        index.reload()?;
        Ok(index)
    }

    /// Whether UIDVALIDITY is 0: the driver has to initialise it, under the lock.
    pub fn is_new(&self) -> bool {
        self.map.header.uid_validity == 0
    }

    /// Whether nothing of it is on disk: because it was asked for, or the disk was full or read-only.
    pub fn is_in_memory(&self) -> bool {
        self.place.dir.is_none()
    }

    /// Whether somebody marked the index as deleted, or asked for that, because the mailbox is going
    /// away; or whether its log disappeared while it was open.
    pub fn is_deleted(&self) -> bool {
        self.deleted || self.delete_requested
    }

    /// The index file: for log lines, and as a name beside which others are. Not there while
    /// everything is in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest snapshot.
    pub fn view(&self) -> &Arc<View> {
        &self.map.view
    }

    /// The base header; its counts are those of [`view`](Self::view).
    pub fn header(&self) -> &Header {
        &self.map.header
    }

    /// The index as its file would be if it were written now: for [`dump`](crate::dump).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut map = self.map.clone();
        // As 2.3 knows it that begins to read: what nobody told is not in the file.
        if let Some(log) = &self.log {
            let (seq, head) = (log.header.file_seq, map.header.log_file_head_offset);
            let on_disk = if self.on_disk.log_seq == seq { self.on_disk.tail } else { 0 };
            map.header.log_file_tail_offset = log.tail_told_within(&self.fs).max(on_disk);
            map.set_modseq_header(seq, head, log.modseq);
        }
        if map.dirt_passed {
            map.header.flags |= crate::header::FLAG_HAVE_DIRTY;
        }
        map.encode()
    }

    /// What index, log and cache have in common; 0 while there is no log.
    pub fn index_id(&self) -> u32 {
        self.map.header.index_id
    }

    /// Where the log ends, as its number and an offset in bytes. Zeros while there is none.
    pub fn log_position(&self) -> (u32, u64) {
        self.log.as_ref().map_or((0, 0), |log| (log.header.file_seq, log.sync_offset))
    }

    /// Whether the log goes on with what is no whole record: somebody is writing, has died of it, or the
    /// file is damaged. [`lock`](Self::lock) waits for the one and mends the others.
    pub fn has_unread(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.size_seen() > log.sync_offset)
    }

    /// An extension's header, if the index has the extension.
    pub fn ext_header(&self, name: &str) -> Option<&[u8]> {
        self.map.ext(name).map(|ext| ext.header.as_slice())
    }

    /// An extension's reset id, if the index has the extension.
    pub fn ext_reset_id(&self, name: &str) -> Option<u32> {
        self.map.ext(name).map(|ext| ext.reset_id)
    }

    /// What identifies an extension in views of this index, now and later. `None` while the index does
    /// not have it.
    pub fn ext(&self, name: &str) -> Option<ExtId> {
        self.map.ext(name).map(|ext| ext.id)
    }

    /// Whether the index tracks when each message last changed (the extension `modseq`).
    pub fn tracks_modseqs(&self) -> bool {
        self.map.tracks_modseqs()
    }

    /// Begins to track when each message last changes, from now on and for good: what CONDSTORE needs
    /// (RFC 7162).
    pub fn enable_modseqs(&mut self) -> Result<()> {
        if self.tracks_modseqs() {
            return Ok(());
        }
        self.lock()?.enable_modseqs()
    }

    /// Locks, commits and unlocks.
    pub fn commit(&mut self, transaction: &Transaction, origin: Origin) -> Result<()> {
        if transaction.is_empty() {
            return Ok(());
        }
        self.lock()?.commit(transaction, origin)
    }

    /// Whether anything may be pending; see [`Locked::pending`].
    pub fn has_pending(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.has_requests)
    }

    /// The file beside the index file whose name goes on with `suffix`.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}
