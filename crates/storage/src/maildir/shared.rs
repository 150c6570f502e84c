//! What the sessions of one process share of a mailbox: its newest view, the names of its files, and
//! what is known of the files beside them. One per directory, alive while somebody has it open.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use base::{Logger, Uid, UidSet, UidValidity};

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, Stamp, is_missing, join};
use crate::notify::Channel;
use crate::settings::{FsyncMode, MailSettings};
use crate::view::View;
use index::dotlock::{Dotlock, DotlockSettings};

use super::keywords::Letters;
use super::uidlist::Header;

/// Where a mailbox lies and what applies to it.
#[derive(Clone)]
pub(crate) struct Place {
    pub fs: Fs,
    pub logger: Logger,
    pub settings: Arc<MailSettings>,
    /// With `cur`, `new` and `tmp`.
    pub dir: PathBuf,
    /// Where the uidlist is.
    pub control: PathBuf,
    /// Where `dovecot-uidvalidity` is.
    pub control_root: PathBuf,
}

/// One mailbox in this process.
pub(crate) struct Shared {
    place: Place,
    permissions: Permissions,
    /// Held by whoever looks at the disk or changes it, also while waiting for the uidlist's lock.
    work: Mutex<Work>,
    /// Held for moments only; changed only by the holder of `work`.
    state: Mutex<State>,
    pub channel: Arc<Channel>,
}

/// What all sessions look at.
pub(crate) struct State {
    pub view: Arc<View>,
    // Invariant: the same UIDs in the same order as in `view`.
    pub entries: Vec<Entry>,
    /// Saved by this process straight into cur/ and not yet any session's `\Recent`.
    pub unclaimed: UidSet,
}

/// The file of a message.
pub(crate) struct Entry {
    pub uid: Uid,
    /// With its flags.
    pub name: Box<[u8]>,
    /// The uidlist's fields: `W12 Gx`.
    pub fields: Box<[u8]>,
    /// In new/ rather than cur/.
    pub in_new: bool,
}

impl Entry {
    /// Where the file was last seen.
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        join(&dir.join(if self.in_new { "new" } else { "cur" }), &self.name)
    }
}

/// What is remembered between looks at the disk.
#[derive(Default)]
pub(crate) struct Work {
    /// Whether the mailbox has been read at all.
    pub loaded: bool,
    pub header: Header,
    /// The uidlist as it was read last, and how far.
    pub uidlist: Option<Stamp>,
    pub offset: usize,
    pub lines: usize,
    /// The uidlist should be written anew at the next occasion.
    pub recreate: bool,
    /// Names that stand in the uidlist but have no file any more.
    pub gone: HashSet<Vec<u8>>,
    pub new: DirSeen,
    pub cur: DirSeen,
    pub letters: Letters,
    /// For each letter its index in the view's keywords and the name it had then.
    pub letter_index: HashMap<usize, (usize, String)>,
}

/// How a directory was when it was read last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DirSeen {
    pub mtime_ns: i128,
    /// The clock when it was read.
    pub at_ns: i128,
    /// We have changed it since, or while we read it.
    pub own_change: bool,
}

impl Shared {
    /// The state for the mailbox at `place`, shared with whoever has it open in this process.
    pub(super) fn get(place: Place) -> Result<Arc<Self>> {
        let stamp =
            place.fs.stamp(&place.dir).map_err(|error| Error::io("stat", place.dir.clone(), error))?;
        let stamp = stamp.ok_or_else(|| Error::NotFound(place.dir.display().to_string()))?;
        let key = (stamp.dev, stamp.ino, place.control.clone());
        let mut registry = lock(registry());
        if let Some(shared) =
            registry.get(&key).and_then(Weak::upgrade).filter(|old| old.place.dir == place.dir)
        {
            return Ok(shared);
        }
        registry.retain(|_, old| old.strong_count() > 0);
        let permissions = Permissions::of_dir(&place.dir);
        let channel = Channel::new(vec![place.dir.join("new"), place.dir.join("cur")]);
        let view = Arc::new(View::empty(UidValidity::ONE, Uid::ONE));
        let unclaimed = lock(unclaimed()).remove(&key).unwrap_or_default();
        let state = State { view, entries: Vec::new(), unclaimed };
        let shared = Arc::new(Self {
            place,
            permissions,
            work: Mutex::new(Work::default()),
            state: Mutex::new(state),
            channel,
        });
        registry.insert(key, Arc::downgrade(&shared));
        Ok(shared)
    }

    pub(super) fn work(&self) -> MutexGuard<'_, Work> {
        lock(&self.work)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.state().view.clone()
    }

    pub(super) fn permissions(&self) -> Permissions {
        self.permissions
    }

    pub(super) fn control_file(&self, name: &str) -> PathBuf {
        self.place.control.join(name)
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

    /// Takes the uidlist's lock, making directories that got lost.
    pub(super) fn lock_uidlist(&self) -> Result<Dotlock> {
        let path = self.control_file("dovecot-uidlist");
        let take =
            || Dotlock::lock(&self.fs, &path, &self.permissions, &self.dotlock_settings(), &self.logger);
        match take() {
            Err(index::Error::Io { source, .. }) if is_missing(&source) => {
                self.make_directories()?;
                Ok(take()?)
            }
            result => Ok(result?),
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
}

/// The messages that no session has claimed stay `\Recent` for the next one, though nobody has the
/// mailbox open in between. Only an index could keep them beyond the life of the process.
impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.unclaimed.is_empty() {
            return;
        }
        let left = std::mem::take(&mut state.unclaimed);
        let Ok(Some(stamp)) = self.place.fs.stamp(&self.place.dir) else { return };
        let mut all = lock(unclaimed());
        if all.len() < UNCLAIMED_MAX {
            all.insert((stamp.dev, stamp.ino, self.place.control.clone()), left);
        }
    }
}

impl std::ops::Deref for Shared {
    type Target = Place;
    fn deref(&self) -> &Place {
        &self.place
    }
}

/// A panic in one session must not end the others: what a lock protects is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Device and inode of the mailbox's directory, and its control directory.
type Key = (u64, u64, PathBuf);
type Registry = Mutex<HashMap<Key, Weak<Shared>>>;

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::default)
}

fn unclaimed() -> &'static Mutex<HashMap<Key, UidSet>> {
    static UNCLAIMED: OnceLock<Mutex<HashMap<Key, UidSet>>> = OnceLock::new();
    UNCLAIMED.get_or_init(Mutex::default)
}

/// So many closed mailboxes with unclaimed messages are remembered; it is `\Recent` only that is lost
/// beyond that.
const UNCLAIMED_MAX: usize = 1000;
// 2.3's MAILDIR_UIDLIST_LOCK_STALE_TIMEOUT.
const STALE: Duration = Duration::from_secs(120);
