//! What all drivers with Dovecot's indexes have in common: one [`Shared`] for each mailbox that this
//! process has open, with the index, the newest view and the cache; [`Handle`], a session's `Mailbox`
//! on it; changes of flags as [`Delta`]s. A [`Driver`] knows the mail format and nothing of sessions.
//!
//! Locks are always taken in this order: the work mutex, the driver's guard (the uidlist's or the mbox's
//! lock), the index's log.

mod admin;
mod ahead;
mod cached;
mod content;
mod delta;
mod detected;
mod facts;
mod lasting_size;
mod listed;
mod mailbox;
mod private;
mod saved;
mod shared;
mod size;
mod sorted;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Guid, Logger, Uid, UidSet};
use index::list_index::Extension;
use index::{Index, Locked, Transaction};

use crate::api::{MailboxUpdate, MessageFile, MessageReader, SaveBatch, SyncMode};
use crate::error::Result;
use crate::facts::{Facts, Wanted};
use crate::fs::Fs;
use crate::list_index::ListIndex;
use crate::lock_file::LockPlace;
use crate::settings::MailSettings;
use crate::view::View;

pub(crate) use admin::BOX_NAME;
pub(crate) use delta::{Delta, FlagUpdates, check_keywords};
pub(crate) use mailbox::Handle;
pub(crate) use private::{PrivatePlace, opened};
pub(crate) use shared::Shared;

/// Where a mailbox lies and what applies to it.
#[derive(Clone)]
pub(crate) struct Context {
    pub fs: Fs,
    pub logger: Logger,
    pub settings: Arc<MailSettings>,
    /// `None` with `INDEX=MEMORY`.
    pub index_dir: Option<PathBuf>,
    /// Where the cache is, if not beside the index.
    pub cache_dir: Option<PathBuf>,
    /// The list that is told of changes, and the mailbox's name in it; its GUID where the list knows names
    /// alone (`LAYOUT=index`).
    pub list: Option<(Arc<ListIndex>, String)>,
    /// The GUID that the mailbox must have, because its directory is named by it.
    pub guid: Option<Guid>,
    /// The lock that is held while the mailbox's size is added up; `None` without an index on disk.
    pub size_lock: Option<LockPlace>,
}

/// A mail format under an index. All methods that take the index or `Work` are called by one thread
/// at a time.
pub(crate) trait Driver: Send + Sync + Sized + 'static {
    /// What the driver remembers between two looks at the mail store.
    type Work: Default + Send;
    /// The mail store's own lock.
    type Guard<'a>;

    /// Where the mailbox is.
    fn context(&self) -> &Context;

    /// Which facts take a look at a message's file, if the cache does not have them.
    fn slow_facts(&self) -> Wanted {
        Wanted(u32::MAX)
    }

    /// The directory, or file, that is the mailbox: its identity in this process, and for permissions.
    fn path(&self) -> &Path;

    /// What to watch for changes by others, besides the index.
    fn watched(&self) -> Vec<PathBuf>;

    /// Takes the mail store's lock. Without the right to, a mailbox can still be read.
    fn guard(&self) -> Result<Self::Guard<'_>>;

    /// Whether flags, or `expunges`, need the guard as well as the index's lock, and before it.
    fn guards_changes(&self, expunges: bool) -> bool;

    /// Whether there may be anything in the mail store that the index does not know. `claim` says that
    /// a session wants to make new messages its `\Recent`.
    fn is_stale(&self, index: &Index, work: &mut Self::Work, mode: SyncMode, claim: bool) -> Result<bool>;

    /// Brings the index up to date with the mail store. Flags of the messages in `unsettled` are newer
    /// in the index than in the store.
    fn sync(
        &self,
        index: &mut Locked<'_>,
        work: &mut Self::Work,
        guard: Option<&Self::Guard<'_>>,
        sync: &Resync<'_>,
    ) -> Result<()>;

    /// Changes flags in the mail store. Gives the messages that are not where they were known to be:
    /// the store is then looked at again.
    fn store_flags(
        &self,
        index: &Index,
        work: &mut Self::Work,
        guard: Option<&Self::Guard<'_>>,
        deltas: &[Delta],
    ) -> Result<Done>;

    /// Removes messages from the mail store; see [`store_flags`](Self::store_flags).
    fn expunge(
        &self,
        index: &Index,
        work: &mut Self::Work,
        guard: Option<&Self::Guard<'_>>,
        uids: &UidSet,
    ) -> Result<Done>;

    /// Called when a session that may write gives up the mailbox.
    fn closing(&self, shared: &Shared<Self>) {
        let _ = shared;
    }

    /// Called when the index has been changed, or that failed, and it is unlocked: what only then can be
    /// removed. Gives back the guard.
    fn unlocked(&self, index: &Index, work: &mut Self::Work, guard: Option<Self::Guard<'_>>) {
        let _ = (index, work, guard);
    }

    /// Whether damage was seen that the next [`sync`](Self::sync) mends.
    fn is_damaged(&self) -> bool {
        false
    }

    /// What is particular about the driver's index.
    fn index_place(&self, place: index::Place) -> index::Place {
        place
    }

    /// See [`Mailbox::move_to_alt`](crate::Mailbox::move_to_alt).
    fn move_to_alt(
        &self,
        index: &mut Locked<'_>,
        work: &mut Self::Work,
        uids: &UidSet,
        to_alt: bool,
    ) -> Result<()> {
        let _ = (index, work, uids, to_alt);
        Ok(())
    }

    /// Adds to a transaction what the driver keeps in the index about the store's state, after a change
    /// of our own.
    fn note_change(&self, index: &Index, work: &mut Self::Work, tx: &mut Transaction);

    /// What the list index keeps beside the index's own stamp, so that others can tell whether the mail
    /// store has changed; zeros where that could not be told.
    fn store_record(&self, work: &mut Self::Work) -> Option<(Extension, Vec<u8>)> {
        let _ = work;
        None
    }

    /// Opens a message's bytes.
    fn open(&self, shared: &Shared<Self>, view: &View, uid: Uid) -> Result<Opened>;

    /// Fills in what is known without reading the message: names, sizes, dates.
    fn facts(
        &self,
        shared: &Shared<Self>,
        view: &View,
        uid: Uid,
        wanted: Wanted,
        facts: &mut Facts,
    ) -> Result<()>;

    /// RFC822.SIZE, if it can be told without waiting for a lock: the mailbox is locked.
    fn size_virtual(&self, view: &View, uid: Uid) -> Option<u64> {
        let _ = (view, uid);
        None
    }

    /// Takes the counted size of a message for a place of the store's own; `false` if there is none.
    fn keep_size(&self, uid: Uid, size: u64) -> bool {
        let _ = (uid, size);
        false
    }

    /// Writes what [`keep_size`](Self::keep_size) has taken: a session gives up the mailbox.
    fn flush_sizes(&self) {}

    /// A message's GUID, if it can be told without waiting for a lock: the mailbox is locked.
    fn guid_at_hand(&self, view: &View, uid: Uid) -> Option<Guid> {
        let _ = (view, uid);
        None
    }

    /// The mailbox's GUID, if it has been read already. It may be another than before, where it was lost.
    fn guid_known(&self, index: &Index) -> Option<Guid>;

    /// Whether [`mailbox_guid`](Self::mailbox_guid) needs the guard, which comes before the index's lock.
    fn guards_guid(&self) -> Result<bool> {
        Ok(false)
    }

    /// The mailbox's GUID.
    fn mailbox_guid(
        &self,
        index: &mut Locked<'_>,
        work: &mut Self::Work,
        guard: Option<&Self::Guard<'_>>,
    ) -> Result<Guid>;

    /// Starts saving.
    fn begin_save(shared: &Arc<Shared<Self>>) -> Box<dyn SaveBatch>;

    /// Changes the mailbox's identity as the store has it, and adds to `tx` what the index is to have.
    /// [`unlocked`](Self::unlocked) follows.
    fn update(
        &self,
        index: &mut Locked<'_>,
        work: &mut Self::Work,
        guard: &Self::Guard<'_>,
        tx: &mut Transaction,
        update: &MailboxUpdate,
    ) -> Result<()>;

    /// See [`Mailbox::message_file`](crate::Mailbox::message_file).
    fn message_file(&self, shared: &Shared<Self>, view: &View, uid: Uid) -> Option<MessageFile> {
        let _ = (shared, view, uid);
        None
    }

    /// See [`Mailbox::refcount`](crate::Mailbox::refcount).
    fn refcount(&self, shared: &Shared<Self>, view: &View, uid: Uid) -> Result<Option<u32>> {
        let Some(file) = self.message_file(shared, view, uid) else { return Ok(None) };
        match std::fs::metadata(&file.path) {
            Ok(meta) => Ok(u32::try_from(std::os::unix::fs::MetadataExt::nlink(&meta)).ok()),
            Err(error) => Err(crate::Error::io("stat", file.path, error)),
        }
    }

    /// See [`Mailbox::save_pop3_uidls`](crate::Mailbox::save_pop3_uidls).
    fn save_pop3_uidls(
        &self,
        index: &mut Locked<'_>,
        work: &mut Self::Work,
        guard: &Self::Guard<'_>,
        uidls: &[(Uid, String)],
    ) -> Result<()> {
        let _ = (index, work, guard, uidls);
        Err(crate::Error::Unsupported("pop3_save_uidl isn't supported by this storage".to_owned()))
    }
}

/// How to look at the mail store.
pub(crate) struct Resync<'a> {
    pub mode: SyncMode,
    /// New messages are to be taken out of new/.
    pub claim: bool,
    /// Their flags in the store do not count.
    pub unsettled: &'a UidSet,
}

/// What came of a change in the mail store.
#[derive(Default)]
pub(crate) struct Done {
    /// Not found where they were.
    pub lost: UidSet,
    /// The store refused: the change stays in the index only.
    pub refused: UidSet,
}

/// A message's bytes.
pub(crate) struct Opened {
    /// To read from the beginning of the message.
    pub reader: Box<dyn MessageReader>,
    /// The file it lies in, for error messages.
    pub path: PathBuf,
    /// What was learned of the message by the way.
    pub facts: Facts,
}

/// A reader over a file that is exactly one message.
pub(crate) struct FileReader {
    file: std::io::BufReader<File>,
    size: u64,
}

impl FileReader {
    pub(crate) fn new(file: File, size: u64) -> Self {
        Self { file: std::io::BufReader::with_capacity(BUFFER, file), size }
    }
}

impl std::io::Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.file.read(buffer)
    }
}

impl std::io::Seek for FileReader {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }

    fn seek_relative(&mut self, offset: i64) -> std::io::Result<()> {
        self.file.seek_relative(offset)
    }
}

impl Context {
    /// The GUID of a mailbox that has none yet.
    pub(crate) fn new_guid(&self) -> Guid {
        self.guid.unwrap_or_else(crate::dbox::names::new_guid)
    }
}

impl MessageReader for FileReader {
    fn size(&self) -> u64 {
        self.size
    }
}

/// Whoever reads in larger pieces reads past it.
const BUFFER: usize = 8 * 1024;
