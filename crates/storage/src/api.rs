//! The traits that every mail format implements and every protocol uses. Layers (acl, quota, trash
//! …) wrap a [`Mailbox`] and are one.
//!
//! Names are UTF-8 everywhere here. A `Storage` uses the separator of its own hierarchy; the
//! `mail-user` crate translates to and from the names of namespaces.

use std::any::Any;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base::{Guid, ModSeq, Seq, Uid, UidSet, UidValidity};
use index::cache::FieldType;
use index::mailbox_log::MailboxLog;

use crate::error::{Error, Result};
use crate::facts::{Facts, NumberFact, Wanted};
use crate::memo::Memo;
use crate::notify::{Callback, Subscription};
use crate::session_lock::SessionLock;
use crate::view::{Flags, View};

/// One place where mailboxes live, in one format: what a `mail_location` names. Cheap to share.
pub trait Storage: Any + Send + Sync {
    /// `maildir`, `mbox`, `sdbox` …
    fn driver(&self) -> &'static str;

    /// The separator of this storage's own hierarchy (`.` for Maildir++, `/` for `LAYOUT=fs`).
    fn separator(&self) -> char;

    /// Opens a mailbox. [`OpenMode::ReadWrite`] on a mailbox that cannot be written falls back to
    /// read-only, as Dovecot does; see [`Mailbox::is_readonly`].
    fn open(&self, name: &str, mode: OpenMode) -> Result<Box<dyn Mailbox>>;

    /// What there is under a name. A name that cannot exist is [`Error::InvalidName`](crate::Error).
    fn state(&self, name: &str) -> Result<MailboxState>;

    /// Creates a mailbox, and whatever is missing above it. With `directory`, where the layout knows
    /// such a thing, only a `\Noselect` node.
    fn create(&self, name: &str, directory: bool) -> Result<()>;

    /// Deletes a mailbox with all its mail. Children stay.
    fn delete(&self, name: &str) -> Result<()>;

    /// The GUID of a mailbox that is to be deleted, by which replicas know it. One that has none yet, so that
    /// nobody can know it, need not be made to keep one.
    fn guid_to_delete(&self, name: &str) -> Result<Guid> {
        self.open(name, OpenMode::ReadOnly)?.guid()
    }

    /// Renames a mailbox and its children. Whether the user's INBOX can be renamed is the format's and the
    /// layout's.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Moves a mailbox and its children to another storage, where that keeps mail in the same way.
    fn rename_to(&self, from: &str, other: &dyn Storage, to: &str) -> Result<()>;

    /// Every mailbox and node that exists, in no particular order.
    fn list(&self) -> Result<Vec<Listed>>;

    /// STATUS without opening the mailbox: `None` if what is known of it is not up to date, or is not
    /// enough.
    fn status(&self, name: &str, items: StatusItems) -> Option<Status> {
        let _ = (name, items);
        None
    }

    /// Changes the identity of a mailbox, also where its place depends on its GUID, so that open mailboxes
    /// do not follow (`doveadm mailbox update`).
    fn update(&self, name: &str, update: &MailboxUpdate) -> Result<()> {
        self.open(name, OpenMode::ReadWrite)?.update(update)
    }

    /// Looks for mailboxes that the list lacks, where only that knows their names (`doveadm force-resync`).
    fn rebuild_list(&self) -> Result<()> {
        Ok(())
    }

    /// Where something of a mailbox lies, if the format has it: `doveadm mailbox path`.
    fn path(&self, name: &str, kind: PathKind) -> Option<PathBuf>;

    /// The subscribed names, as this storage's `subscriptions` file has them.
    fn subscriptions(&self) -> Result<Vec<String>>;

    /// Adds or removes a subscription; `false` if it was so already.
    fn set_subscribed(&self, name: &str, subscribed: bool) -> Result<bool>;

    /// A name as it stands on disk and in `subscriptions`.
    fn stored_name(&self, name: &str) -> String;

    /// The name of what stands there; `None` if it is none.
    fn name_of_stored(&self, stored: &str) -> Option<String>;

    /// What this storage's `subscriptions` file has, as it stands there, with `separator` between levels: who
    /// keeps the subscriptions of other namespaces has them there as well.
    fn all_subscriptions(&self, separator: char) -> Result<Vec<String>>;

    /// Adds or removes a subscription of another namespace, as it is to stand there; `false` if it was so
    /// already.
    fn set_stored_subscription(&self, stored: &str, subscribed: bool) -> Result<bool>;

    /// The log of what is done to mailboxes as such, which whoever does it writes; `None` where indexes
    /// are not on disk.
    fn mailbox_log(&self) -> Option<MailboxLog> {
        None
    }

    /// Frees the space of messages that have been expunged (`doveadm purge`). Formats with a file for
    /// each message have done so already, and there is nothing to do.
    fn purge(&self) -> Result<()> {
        Ok(())
    }

    /// `VOLATILEDIR=`: where lock files are that need not outlive the machine.
    fn volatile_dir(&self) -> Option<&Path> {
        None
    }

    /// `pop3_lock_session`: keeps other POP3 sessions out; `None` if there is one already.
    fn lock_session(&self) -> Result<Option<SessionLock>> {
        Err(Error::Unsupported(
            "pop3_lock_session: Storage has no root/index directory, can't create a POP3 session lock file"
                .to_owned(),
        ))
    }
}

/// How to open a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// SELECT: messages in new/ become this session's `\Recent`.
    ReadWrite,
    /// EXAMINE: nothing on disk changes that another program could notice.
    ReadOnly,
    /// APPEND, COPY into it, delivery: `view` may be empty until the first `sync`.
    Append,
}

/// What there is under a mailbox name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailboxState {
    /// Nothing.
    Missing,
    /// A node of the hierarchy only.
    NoSelect,
    /// A mailbox.
    Selectable,
}

/// One name in a [`Storage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// With the storage's separator.
    pub name: String,
    /// Whether it can be selected.
    pub selectable: bool,
    /// Whether it can have children (`\Noinferiors` if not).
    pub inferiors: bool,
    /// Dovecot's `\Marked` (`Some(true)`) and `\UnMarked`: whether new mail is there; `None` where
    /// nothing was looked up.
    pub marked: Option<bool>,
}

/// Kinds of paths of a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathKind {
    /// What stands for the mailbox: where the messages are, or what `DIRNAME=` is below.
    Dir,
    /// The same below `ALT=`.
    AltDir,
    /// Where the messages are.
    Mailbox,
    /// Where messages are that were moved to `ALT=`.
    AltMailbox,
    /// `CONTROL=`: uidlist, keywords, subscriptions.
    Control,
    /// `INDEX=`.
    Index,
    /// `INDEXPVT=`: the user's own flags.
    IndexPrivate,
}

/// How thoroughly to look for changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// What this process already knows; looks at nothing on disk.
    Memory,
    /// Also at the disk, cheaply: directories are read only if their time stamps changed.
    Quick,
    /// Reads everything again (CHECK).
    Full,
    /// Also makes the index anew from the mail, where the format keeps no other list of it: what
    /// [`Mailbox::rebuild`] does.
    Rebuild,
}

impl SyncMode {
    /// Whether time stamps do not count.
    pub fn is_full(self) -> bool {
        matches!(self, Self::Full | Self::Rebuild)
    }
}

/// An open mailbox, owned by one session. Sessions of one process share what is behind it.
pub trait Mailbox: Send {
    /// Its name in the storage; layers may show the namespace's.
    fn name(&self) -> &str;

    /// Whether changes are refused.
    fn is_readonly(&self) -> bool;

    /// Whether its place in the mail store still is the one that was opened: if not, it has been moved or
    /// removed, and the name may lead elsewhere by now.
    fn is_in_place(&self) -> bool {
        false
    }

    /// The mailbox's GUID. Made and kept if it has none yet.
    fn guid(&mut self) -> Result<Guid>;

    /// The snapshot of the last [`sync`](Self::sync) or change made through this handle.
    fn view(&self) -> Arc<View>;

    /// Looks for changes by others and gives the newest snapshot. In read-write mode, messages that
    /// have just arrived become `\Recent` in this session if no other has claimed them.
    fn sync(&mut self, mode: SyncMode) -> Result<Arc<View>>;

    /// The messages that are `\Recent` in this session.
    fn recent(&self) -> &UidSet;

    /// From this UID on messages will be `\Recent` in the next session that opens the mailbox for writing.
    fn first_recent(&self) -> Uid {
        Uid::ONE
    }

    /// Keeps when the mailbox got another name, from when on `autoexpunge` counts.
    fn note_renamed(&mut self, at: SystemTime) -> Result<()> {
        let _ = at;
        Ok(())
    }

    /// When it last got another name, if that is known.
    fn renamed_at(&self) -> Option<SystemTime> {
        None
    }

    /// Whether clients may make up new keywords (`\*` in PERMANENTFLAGS).
    fn allows_new_keywords(&self) -> bool;

    /// Changes flags of those messages in `uids` that exist and gives the newest snapshot. Messages
    /// that have gone are silently left out. A keyword that is not allowed is
    /// [`Error::BadRequest`](crate::Error), and then nothing is changed.
    fn store_flags(&mut self, uids: &UidSet, change: &FlagChange) -> Result<Arc<View>>;

    /// Removes those messages in `uids` that exist for good, whatever their flags, and gives the
    /// newest snapshot.
    fn expunge(&mut self, uids: &UidSet) -> Result<Arc<View>>;

    /// Starts saving messages. Nothing of it can be seen until [`SaveBatch::commit`].
    fn begin_save(&mut self) -> Result<Box<dyn SaveBatch>>;

    /// The message's bytes as stored (lines end with LF or CRLF).
    fn open_message(&mut self, uid: Uid) -> Result<Box<dyn MessageReader>>;

    /// What is `wanted` of one message, from the cheapest source.
    fn fetch_facts(&mut self, uid: Uid, wanted: Wanted) -> Result<Facts>;

    /// The same, and [`Facts::fields`]: the header fields of these names, in any case. A layer with a
    /// cache answers from what it keeps for each name; here the header is read, once for everything.
    fn fetch_fields(&mut self, uid: Uid, wanted: Wanted, names: &[&str]) -> Result<Facts> {
        if names.is_empty() {
            return self.fetch_facts(uid, wanted);
        }
        let mut facts = self.fetch_facts(uid, wanted | Wanted::HEADER)?;
        facts.fill_from_header(wanted, names);
        Ok(facts)
    }

    /// A number of each of these messages, as far as all of them can be had at once and without reading any:
    /// who wants it of many messages asks here first. `None` says nothing about whether the message has it.
    fn numbers_at_hand(&mut self, fact: NumberFact, uids: &[Uid]) -> Vec<Option<i64>> {
        let _ = fact;
        vec![None; uids.len()]
    }

    /// Says which messages will be asked for next, in order, so that they can be read ahead.
    fn will_fetch(&mut self, uids: &[Uid]) {
        let _ = uids;
    }

    /// The numbers that the index keeps of all messages for sorting, under the name of an extension
    /// (`sort-s` …) and newest of all; `None` where it keeps none.
    fn sort_ranks(&mut self, name: &str) -> Option<SortRanks> {
        let _ = name;
        None
    }

    /// Has the index keep numbers, unless somebody else has changed them since they were asked for. What
    /// cannot be kept costs time only, and is logged.
    fn keep_sort_ranks(&mut self, name: &str, ranks: &SortRanks) {
        let _ = (name, ranks);
    }

    /// Logs that the numbers of an extension are of no use and will be made anew.
    fn sort_ranks_broken(&mut self, name: &str, reason: &str) {
        let _ = (name, reason);
    }

    /// Where threads keep what they found out, if anything outlives the session.
    fn memo(&self) -> Option<Arc<Memo>> {
        None
    }

    /// Counts without taking a view into use: STATUS. Claims no `\Recent`.
    fn status(&mut self, items: StatusItems) -> Result<Status>;

    /// Has `callback` called whenever the mailbox may have changed, by this process or another one,
    /// until the subscription is dropped.
    fn subscribe(&mut self, callback: Callback) -> Result<Subscription>;

    /// Keeps POP3 UIDLs for good, whatever `pop3_uidl_format` will be: `pop3_save_uidl`. Messages that
    /// have gone are left out.
    fn save_pop3_uidls(&mut self, uidls: &[(Uid, String)]) -> Result<()> {
        let _ = uidls;
        Err(Error::Unsupported("pop3_save_uidl isn't supported by this storage".to_owned()))
    }

    /// Where a message is stored, for [`SaveBatch::copy`] without copying bytes. Layers that change
    /// bytes return `None`.
    fn message_file(&mut self, uid: Uid) -> Option<MessageFile> {
        let _ = uid;
        None
    }

    /// How often the message's bytes are referred to, by messages of this user (`doveadm fetch
    /// refcount`): links of a file of its own, or the format's counter. `None` where nothing is known.
    fn refcount(&mut self, uid: Uid) -> Result<Option<u32>> {
        let Some(file) = self.message_file(uid) else { return Ok(None) };
        match std::fs::metadata(&file.path) {
            Ok(meta) => Ok(u32::try_from(std::os::unix::fs::MetadataExt::nlink(&meta)).ok()),
            Err(error) => Err(Error::io("stat", file.path, error)),
        }
    }

    /// What names the message in its storage (`doveadm fetch storageid`): where each has a file of its
    /// own the name of that, as far as it stays.
    fn storage_id(&mut self, uid: Uid) -> Result<String> {
        let name = self.fetch_facts(uid, Wanted::FILE_NAME)?.file_name;
        Ok(name.map(|name| name.to_string()).unwrap_or_default())
    }

    /// What the cache has of a message, field by field, as its file has it: for copies of the message. Nobody is
    /// taken to have asked for it.
    fn cached_values(&mut self, uid: Uid, fields: &[CachedField]) -> Vec<Option<Vec<u8>>> {
        let _ = uid;
        vec![None; fields.len()]
    }

    /// Moves messages to the alternative storage of `ALT=`, or back (`doveadm altmove`). Formats
    /// without one leave them where they are, as in 2.3.
    fn move_to_alt(&mut self, uids: &UidSet, to_alt: bool) -> Result<()> {
        let _ = (uids, to_alt);
        Ok(())
    }

    /// Looks at everything anew and mends what is wrong with the index; with `fsck` that is checked
    /// first, record by record (`doveadm force-resync`).
    fn rebuild(&mut self, fsck: bool) -> Result<()> {
        let _ = fsck;
        self.sync(SyncMode::Full).map(drop)
    }

    /// Changes the identity of the mailbox (`doveadm mailbox update`). Numbers never go down, except
    /// UIDVALIDITY, which is set.
    fn update(&mut self, update: &MailboxUpdate) -> Result<()> {
        let _ = update;
        Err(Error::Unsupported("Mailbox update isn't supported by this storage yet".to_owned()))
    }

    /// The first message whose facts are not all in the cache yet, as far as the format remembers;
    /// `None` if there is none (`doveadm index`).
    fn first_uncached(&mut self) -> Result<Option<Seq>> {
        Err(Error::Unsupported("This mailbox has no cache".to_owned()))
    }

    /// Puts into the cache what clients are likely to ask of a message.
    fn precache(&mut self, uid: Uid) -> Result<()> {
        let _ = uid;
        Err(Error::Unsupported("This mailbox has no cache".to_owned()))
    }

    /// The fields of the cache and what is decided about them (`doveadm mailbox cache decision`).
    fn cache_fields(&mut self) -> Result<Vec<CacheField>> {
        Err(Error::Unsupported("Cache is unusable".to_owned()))
    }

    /// Changes what is decided about the fields of the cache that are named in `fields`.
    fn set_cache_fields(&mut self, fields: &[CacheField]) -> Result<()> {
        let _ = fields;
        Err(Error::Unsupported("Cache is unusable".to_owned()))
    }

    /// Forgets what the cache has of messages (`doveadm mailbox cache remove`).
    fn cache_remove(&mut self, uids: &UidSet) -> Result<()> {
        let _ = uids;
        Err(Error::Unsupported("Cache is unusable".to_owned()))
    }

    /// Writes the cache anew, without what nobody needs (`doveadm mailbox cache purge`).
    fn cache_purge(&mut self) -> Result<()> {
        Err(Error::Unsupported("Cache is unusable".to_owned()))
    }
}

/// See [`Mailbox::update`]. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailboxUpdate {
    /// The GUID.
    pub guid: Option<Guid>,
    /// UIDVALIDITY.
    pub uid_validity: Option<UidValidity>,
    /// UIDNEXT is at least this.
    pub min_next_uid: Option<Uid>,
    /// Messages below this UID are not `\Recent`.
    pub min_first_recent_uid: Option<Uid>,
    /// HIGHESTMODSEQ is at least this.
    pub min_highest_modseq: Option<ModSeq>,
    /// The same for flags that each user has apart.
    pub min_highest_private_modseq: Option<ModSeq>,
}

/// A field of the cache. See [`Mailbox::cache_fields`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheField {
    /// `flags`, `date.sent`, `hdr.subject` …
    pub name: String,
    /// Whether it is kept.
    pub decision: CacheDecision,
    /// When it was last asked for, in seconds since 1970; zero for never.
    pub last_used: u64,
}

/// A field of another mailbox's cache. See [`Mailbox::cached_values`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedField {
    /// As in [`CacheField`].
    pub name: String,
    /// How its values are stored.
    pub kind: FieldType,
}

/// Whether a field is kept in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheDecision {
    /// No.
    No,
    /// For new messages.
    Temp,
    /// For all messages.
    Yes,
}

/// See [`Mailbox::sort_ranks`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortRanks {
    /// It grows with every change.
    pub reset_id: u32,
    /// In the order of UIDs; 0 is no number.
    pub list: Vec<(Uid, u32)>,
}

/// See [`Mailbox::message_file`].
#[derive(Clone, Debug)]
pub struct MessageFile {
    /// The file. It may be renamed at any moment: on ENOENT ask again.
    pub path: PathBuf,
    /// Bytes in it, where the file name tells.
    pub size_physical: Option<u64>,
    /// RFC822.SIZE, where the file name tells.
    pub size_virtual: Option<u64>,
    /// What is in it.
    pub format: FileFormat,
}

/// What is in a [`MessageFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Exactly the bytes of the message.
    Plain,
    /// One message with its metadata (`u.N`).
    Sdbox,
    /// The path is that of mdbox's storage directory; the message is one of its map.
    Mdbox {
        /// Its UID in the map.
        map_uid: Uid,
        /// The message's GUID as indexes have it.
        guid: Guid,
    },
}

/// Reads a message's stored bytes. Stays readable after an expunge by others.
pub trait MessageReader: Read + Seek + Send {
    /// How many bytes there are.
    fn size(&self) -> u64;
}

/// Messages being saved together: one APPEND (or MULTIAPPEND), COPY or delivery. Owned, so that it
/// can live in a session between the pieces of a literal. Dropping it leaves nothing behind.
pub trait SaveBatch: Send {
    /// Begins a message.
    fn begin(&mut self, meta: SaveMeta) -> Result<()>;

    /// Adds bytes to the message. CRLF and LF may be mixed and split anywhere; the driver stores
    /// what `mail_save_crlf` asks for.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Ends the message.
    fn end(&mut self) -> Result<()>;

    /// Adds a copy of a message, by hard link where that is possible. `meta` as for
    /// [`begin`](Self::begin); its dates come from the source where they are `None`. Says whether the bytes
    /// are the original's.
    fn copy(&mut self, source: &mut dyn Mailbox, uid: Uid, meta: SaveMeta) -> Result<CopyBytes>;

    /// Makes all ended messages visible at once, in order, on disk as `mail_fsync` says.
    fn commit(self: Box<Self>) -> Result<Saved>;
}

/// Where the bytes of a copy are. See [`SaveBatch::copy`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyBytes {
    /// Where those of the original are: whatever is known of them is true of both.
    Shared,
    /// They were written once more, and may differ in their line ends and in what an mbox adds.
    Written,
}

/// What comes with a message that is being saved.
#[derive(Clone, Debug, Default)]
pub struct SaveMeta {
    /// System flags.
    pub flags: Flags,
    /// Keywords by name.
    pub keywords: Vec<String>,
    /// INTERNALDATE; now, if `None`.
    pub internal_date: Option<SystemTime>,
    /// A GUID to keep, for copies and dsync.
    pub guid: Option<String>,
    /// A POP3 UIDL to keep.
    pub pop3_uidl: Option<String>,
    /// A place in POP3's listing to keep.
    pub pop3_order: Option<u32>,
    /// A modification sequence that it is to have at least, for dsync.
    pub modseq: Option<ModSeq>,
    /// A UID that is wanted, for dsync; used if it is above all others.
    pub uid: Option<Uid>,
    /// How many bytes will come, if known; lets the driver refuse early.
    pub size_hint: Option<u64>,
}

/// What [`SaveBatch::commit`] made: APPENDUID and COPYUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// UIDVALIDITY of the destination.
    pub uid_validity: UidValidity,
    /// One UID per message, in the order of saving.
    pub uids: Vec<Uid>,
}

/// A change of flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagChange {
    /// What to do with them.
    pub mode: FlagMode,
    /// System flags.
    pub flags: Flags,
    /// Keywords by name; new ones are created.
    pub keywords: Vec<String>,
}

/// What a [`FlagChange`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlagMode {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// Whether [`copy`] also removes the originals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyMode {
    /// COPY
    Copy,
    /// MOVE: the originals are expunged after the copies are committed.
    Move,
}

/// What [`copy`] did: COPYUID (RFC 4315 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the destination; `None` if nothing was copied.
    pub uid_validity: Option<UidValidity>,
    /// What was copied.
    pub source: Vec<Uid>,
    /// The new UIDs, one for each in `source`.
    pub destination: Vec<Uid>,
}

/// Copies or moves the messages of `uids` that exist, with flags, keywords and dates, all or none.
pub fn copy(
    source: &mut dyn Mailbox,
    uids: &UidSet,
    destination: &mut dyn Mailbox,
    mode: CopyMode,
) -> Result<Copied> {
    let view = source.view();
    let mut batch = destination.begin_save()?;
    let mut from = Vec::new();
    for (_, record) in view.records_in(uids) {
        let meta = SaveMeta {
            flags: record.flags,
            keywords: view.keyword_names(&record.keywords).map(str::to_owned).collect(),
            ..SaveMeta::default()
        };
        batch.copy(source, record.uid, meta)?;
        from.push(record.uid);
    }
    if from.is_empty() {
        return Ok(Copied { uid_validity: None, source: Vec::new(), destination: Vec::new() });
    }
    let saved = batch.commit()?;
    if mode == CopyMode::Move {
        source.expunge(&from.iter().copied().collect())?;
    }
    Ok(Copied { uid_validity: Some(saved.uid_validity), source: from, destination: saved.uids })
}

/// Which counts [`Mailbox::status`] is asked for, combined with `|`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StatusItems(pub u16);

impl StatusItems {
    /// MESSAGES
    pub const MESSAGES: Self = Self(1);
    /// RECENT
    pub const RECENT: Self = Self(1 << 1);
    /// UIDNEXT
    pub const UID_NEXT: Self = Self(1 << 2);
    /// UIDVALIDITY
    pub const UID_VALIDITY: Self = Self(1 << 3);
    /// UNSEEN
    pub const UNSEEN: Self = Self(1 << 4);
    /// HIGHESTMODSEQ
    pub const HIGHEST_MODSEQ: Self = Self(1 << 5);
    /// SIZE (RFC 8438): the sum of all RFC822.SIZE, in bytes.
    pub const SIZE: Self = Self(1 << 6);
    /// DELETED (RFC 9051)
    pub const DELETED: Self = Self(1 << 7);
    /// The mailbox's GUID.
    pub const GUID: Self = Self(1 << 8);

    /// Whether all bits of `other` are in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for StatusItems {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The counts. Those that were not asked for may be zero or `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// MESSAGES
    pub messages: u32,
    /// RECENT: what the next session to select it would see as recent.
    pub recent: u32,
    /// UNSEEN
    pub unseen: u32,
    /// DELETED
    pub deleted: u32,
    /// UIDNEXT
    pub uid_next: Uid,
    /// UIDVALIDITY
    pub uid_validity: UidValidity,
    /// HIGHESTMODSEQ
    pub highest_modseq: ModSeq,
    /// SIZE, in bytes.
    pub size: Option<u64>,
    /// GUID
    pub guid: Option<Guid>,
}
