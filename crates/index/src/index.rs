//! One mailbox's index: its file, its log and what both say. Sessions of a process share one in a
//! mutex and work on the [`View`]s it hands out.

use std::ops::Deref;
use std::sync::Arc;

use base::{Guid, Logger, Uid, UidSet};

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::header::Header;
use crate::settings::{Place, Settings};
use crate::transaction::{Origin, Transaction};
use crate::view::{ExtId, Flags, View};

/// What a session asked for and nobody has carried out on the mail store yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pending {
    /// To be expunged; the GUID is zero where the session gave none.
    Expunge {
        /// Which message.
        uid: Uid,
        /// It must have this GUID, unless that is zero.
        guid: Guid,
    },
    /// Flags to be added and removed. The view has them already.
    Flags {
        /// Which messages; not all of them need to be there.
        uids: UidSet,
        /// To be added.
        add: Flags,
        /// To be removed.
        remove: Flags,
    },
    /// A keyword to be added or removed. The view has it already.
    Keyword {
        /// Which messages.
        uids: UidSet,
        /// The keyword.
        name: Arc<str>,
        /// Added rather than removed.
        add: bool,
    },
    /// All keywords are removed. The view has them no more.
    KeywordReset {
        /// Which messages.
        uids: UidSet,
    },
}

/// One index.
pub struct Index {
    place: Place,
    settings: Arc<Settings>,
    fs: Fs,
    logger: Logger,
    header: Header,
    view: Arc<View>,
}

/// An index whose log is locked: nobody else changes it. Dropping this unlocks.
pub struct Locked<'a> {
    index: &'a mut Index,
}

impl Index {
    /// Reads what is there. Creates nothing: where nothing is, the index is empty and
    /// [new](Self::is_new).
    pub fn open(place: Place, settings: Arc<Settings>, fs: Fs, logger: Logger) -> Result<Self> {
        let view = Arc::new(View::empty(base::UidValidity::ONE, Uid::ONE));
        Ok(Self { place, settings, fs, logger, header: Header::new(0), view })
    }

    /// Whether UIDVALIDITY is 0: the driver has to initialise it, under the lock.
    pub fn is_new(&self) -> bool {
        self.header.uid_validity == 0
    }

    /// Whether nothing of it is on disk: because it was asked for, or the disk was full or read-only.
    pub fn is_in_memory(&self) -> bool {
        self.place.dir.is_none()
    }

    /// The newest snapshot.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The base header; its counts are those of [`view`](Self::view).
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// An extension's header, if the index has the extension.
    pub fn ext_header(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    /// An extension's reset id, if the index has the extension.
    pub fn ext_reset_id(&self, _name: &str) -> Option<u32> {
        None
    }

    /// What identifies an extension in views of this index, now and later. `None` while the index does
    /// not have it.
    pub fn ext(&self, _name: &str) -> Option<ExtId> {
        None
    }

    /// Reads what others did. Says whether view, header or an extension changed. Costs one stat(2)
    /// where nothing happened.
    pub fn refresh(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Whether anything may be pending; see [`Locked::pending`].
    pub fn has_pending(&self) -> bool {
        false
    }

    /// Locks the log, which is created if it is missing, and [refreshes](Self::refresh).
    pub fn lock(&mut self) -> Result<Locked<'_>> {
        let _ = (&self.settings, &self.fs, &self.logger);
        Ok(Locked { index: self })
    }

    /// Locks, commits and unlocks.
    pub fn commit(&mut self, transaction: &Transaction, origin: Origin) -> Result<()> {
        self.lock()?.commit(transaction, origin)
    }
}

impl Locked<'_> {
    /// What sessions, ours and Dovecot's, asked for and nobody has carried out yet, in the order in
    /// which they asked.
    pub fn pending(&self) -> Result<Vec<Pending>> {
        Ok(Vec::new())
    }

    /// Writes changes to the log and applies them.
    pub fn commit(&mut self, _transaction: &Transaction, _origin: Origin) -> Result<()> {
        Err(Error::Busy("the index is not there yet".to_owned()))
    }

    /// All that is [pending](Self::pending) has been carried out. Writes the index file anew and
    /// rotates the log where 2.3 would.
    pub fn synced(&mut self) -> Result<()> {
        self.synced_with(&Transaction::new())
    }

    /// [`commit`](Self::commit) from outside and [`synced`](Self::synced) with one write.
    pub fn synced_with(&mut self, _transaction: &Transaction) -> Result<()> {
        Ok(())
    }

    /// Writes the index file anew.
    pub fn rewrite(&mut self) -> Result<()> {
        Ok(())
    }

    /// Begins a new log and writes the index file anew. Only where nothing is pending.
    pub fn rotate(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Deref for Locked<'_> {
    type Target = Index;

    fn deref(&self) -> &Index {
        self.index
    }
}
