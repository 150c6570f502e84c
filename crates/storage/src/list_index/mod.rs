//! `dovecot.list.index` of one location: what STATUS wants to know of each mailbox, so that no mailbox
//! has to be opened that has not changed. Storages ask it and tell it when mailboxes come and go;
//! `indexed` tells it what is new in a mailbox. The file is shared with Dovecot 2.3, whose rules of what
//! is up to date are kept here; the bytes are in `docs/formats/list-index.md`.
//!
//! Nothing depends on it: where it cannot be read or written, mailboxes are opened.
//!
//! Locks are taken in this order: a mailbox's work mutex, the mutex here, the list's log. A mailbox's log
//! is never locked while the list's is.

mod change;
mod compare;
mod sole;
mod status;
mod tree;
mod update;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};

use base::Logger;
use index::list_index::LIST;
use index::{ExtSpec, Index, Place};

use crate::api::Listed;
use crate::error::Result;
use crate::fs::{Fs, Near, Permissions};
use crate::location::{Layout, Location, Names};
use crate::settings::MailSettings;

pub(crate) use sole::{ESCAPE, Entry, New};
pub(crate) use status::{IsSame, Look, Proof, stamp_of};
pub(crate) use update::{Known, Source};

use tree::{Damage, Tree};

/// See the module.
pub(crate) struct ListIndex {
    dir: PathBuf,
    file_name: String,
    root: PathBuf,
    separator: char,
    names: Names,
    /// `mailbox_list_index_very_dirty_syncs`: believe what is written.
    very_dirty: bool,
    /// `mailbox_list_index_include_inbox`
    include_inbox: bool,
    /// Nothing else knows the names of mailboxes (`LAYOUT=index`).
    is_sole: bool,
    lister: Lister,
    settings: Arc<index::Settings>,
    fs: Fs,
    logger: Logger,
    state: Mutex<State>,
}

/// Lists the directories: what the list is compared with.
pub(crate) type Lister = Box<dyn Fn() -> Result<Vec<Listed>> + Send + Sync>;

#[derive(Default)]
struct State {
    index: Option<Index>,
    /// It cannot be used: not tried again by this process.
    failed: bool,
    tree: Tree,
    /// Where in the log `tree` was read.
    at: Option<(u32, u64)>,
    /// When the disk was last looked at.
    refreshed: Option<Instant>,
    /// The root, while STATUS follows STATUS.
    near: Option<Arc<Near>>,
    /// It has been compared with the directories by this process.
    compared: bool,
    /// Damage was found that a look at the directories may mend (`LAYOUT=index`).
    is_damaged: bool,
    /// Mailboxes that listing does not show, such as those with whole paths for names.
    unlisted: HashSet<String>,
}

impl ListIndex {
    /// The list of a location that uses `separator`, shared with whoever has it open in this process.
    /// `None` where there is to be none.
    pub(crate) fn of(
        location: &Location,
        separator: char,
        settings: &MailSettings,
        fs: &Fs,
        logger: &Logger,
        lister: Lister,
    ) -> Option<Arc<Self>> {
        if !settings.mailbox_list_index {
            return None;
        }
        let path = location.list_index_path()?;
        let (dir, file_name) = (path.parent()?.to_path_buf(), path.file_name()?.to_str()?.to_owned());
        let key = (path, location.root.clone(), settings.mailbox_list_index_include_inbox);
        let mut registry = lock(registry());
        if let Some(known) = registry.get(&key).and_then(Weak::upgrade) {
            return Some(known);
        }
        registry.retain(|_, old| old.strong_count() > 0);
        let index_settings = index::Settings {
            log_rotate_min_size: LOG_ROTATE_MIN_SIZE,
            log_rotate_max_size: LOG_ROTATE_MAX_SIZE,
            log_rotate_min_age: LOG_ROTATE_MIN_AGE,
            log2_max_age: LOG2_MAX_AGE,
            ..index::Settings::clone(&settings.index_settings())
        };
        let list = Arc::new(Self {
            dir,
            file_name,
            root: location.root.clone(),
            separator,
            names: location.names,
            very_dirty: settings.mailbox_list_index_very_dirty_syncs,
            include_inbox: settings.mailbox_list_index_include_inbox,
            is_sole: location.layout == Layout::Index,
            lister,
            settings: Arc::new(index_settings),
            fs: fs.clone(),
            logger: logger.clone(),
            state: Mutex::default(),
        });
        registry.insert(key, Arc::downgrade(&list));
        Some(list)
    }

    /// All names without a look at the directories, if `mailbox_list_index_very_dirty_syncs` allows.
    pub(crate) fn list(&self) -> Option<Vec<Listed>> {
        if !self.very_dirty {
            return None;
        }
        let mut state = lock(&self.state);
        self.refresh(&mut state)?;
        if state.tree.is_empty() {
            return None;
        }
        if state.tree.refresh {
            self.compare(&mut state)?;
        }
        Some(self.listed(&state.tree))
    }

    /// Tells what the directories were found to have.
    pub(crate) fn note_listing(&self, listed: &[Listed]) {
        let mut state = lock(&self.state);
        if self.refresh(&mut state).is_none() || state.compared && !state.tree.refresh {
            return;
        }
        if state.tree.refresh || state.tree.is_empty() || self.differs(&state.tree, listed) {
            self.compare(&mut state);
        }
        state.compared = true;
    }

    /// Reads what others wrote. `None` if there is no list that can be used.
    fn refresh(&self, state: &mut State) -> Option<()> {
        if state.failed {
            return None;
        }
        if let Err(error) = self.try_refresh(state) {
            self.fail(state, &error);
            return None;
        }
        let index = state.index.as_mut()?;
        if index.is_in_memory() {
            state.failed = true;
            return None;
        }
        if index.is_overdue()
            && self.may_write()
            && let Err(error) =
                index.try_lock().and_then(|locked| locked.map_or(Ok(()), |mut it| it.synced()))
        {
            // It only takes longer to read.
            self.logger.error(format_args!("Mailbox list index: {}", base::chain(&error)));
        }
        let at = index.log_position();
        state.refreshed = Some(Instant::now());
        if state.at == Some(at) {
            return Some(());
        }
        state.at = Some(at);
        self.read_tree(state)
    }

    fn try_refresh(&self, state: &mut State) -> index::Result<()> {
        if let Some(index) = &mut state.index {
            index.refresh()?;
            if !index.is_deleted() {
                return Ok(());
            }
            (state.index, state.at) = (None, None);
        }
        let mut place = Place::new(Some(self.dir.clone()), self.file_name.clone());
        place.permissions = Permissions::of_dir(&self.root);
        place.never_in_memory = self.is_sole;
        let (settings, fs, logger) = (self.settings.clone(), self.fs.clone(), self.logger.clone());
        state.index = Some(Index::open(place, settings, fs, logger)?);
        Ok(())
    }

    /// Reads the tree from the index. A damaged one is made anew from the directories.
    fn read_tree(&self, state: &mut State) -> Option<()> {
        let index = state.index.as_ref()?;
        if self.is_sole {
            let (tree, is_damaged) = self.read_sole(index);
            state.tree = tree;
            state.is_damaged |= is_damaged;
            return Some(());
        }
        let path = index.path().display();
        if index.header().flags & index::header::FLAG_FSCKD != 0 {
            self.logger.error(format_args!("Mailbox list index was marked as fsck'd {path}"));
        }
        match Tree::read(index.ext_header(LIST.name).unwrap_or_default(), index.view()) {
            Ok(tree) => {
                state.tree = tree;
                if index.header().flags & index::header::FLAG_FSCKD != 0 {
                    return self.compare(state);
                }
                return Some(());
            }
            Err(Damage::Header) => {
                self.logger.error(format_args!("Corrupted mailbox list index header {path}"));
            }
            Err(Damage::Record(why)) => {
                self.logger.error(format_args!("Corrupted mailbox list index {path}: {why}"));
            }
        }
        self.rebuild(state)
    }

    /// Goes on without the list.
    fn fail(&self, state: &mut State, error: &index::Error) {
        state.failed = true;
        self.logger.error(format_args!("Mailbox list index: {}", base::chain(error)));
    }

    fn make_dir(&self) -> index::Result<()> {
        let made = self.fs.mkdir_all(&self.dir, &Permissions::of_dir(&self.root));
        made.map_err(|error| index::Error::io("mkdir", &self.dir, error))
    }

    /// Whether the list may be written at all; without the right to, only reading is left.
    fn may_write(&self) -> bool {
        use rustix::io::Errno;
        match rustix::fs::access(&self.dir, rustix::fs::Access::WRITE_OK) {
            Err(Errno::ACCESS | Errno::ROFS) => false,
            // Listing does not make the root of a user who has no mail yet.
            Err(Errno::NOENT) => self.root.exists(),
            _ => true,
        }
    }

    /// The record of a mailbox.
    fn find(&self, tree: &Tree, name: &str) -> Option<u32> {
        if self.is_sole {
            return self.find_level_by_level(tree, name);
        }
        let encoded = self.encode(name);
        tree.find(encoded.split(self.separator))
    }

    fn encode(&self, name: &str) -> String {
        self.names.encode(name)
    }

    fn decode(&self, name: &str) -> Option<String> {
        self.names.decode(name.as_bytes())
    }

    /// Whether STATUS of the mailbox is never kept.
    fn is_left_out(&self, name: &str) -> bool {
        name == "INBOX" && !self.include_inbox
    }
}

/// What the index must know to make one of its extensions.
fn spec(extension: &index::list_index::Extension) -> ExtSpec {
    ExtSpec::new(extension.name, extension.header_size, extension.record_size, extension.record_align)
}

fn now_secs() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| u32::try_from(now.as_secs()).unwrap_or(u32::MAX))
}

/// A panic in one session must not end the others: what is half done here is read anew.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The file, the mail root, and `mailbox_list_index_include_inbox`.
type Key = (PathBuf, PathBuf, bool);
type Registry = Mutex<HashMap<Key, Weak<ListIndex>>>;

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::default)
}

/// A mailbox's log, whose size and time say whether the mailbox has changed.
fn log_of(index_dir: &Path) -> PathBuf {
    index_dir.join("dovecot.index.log")
}

// 2.3 keeps this log shorter than those of mailboxes.
const LOG_ROTATE_MIN_SIZE: u64 = 8 * 1024;
const LOG_ROTATE_MAX_SIZE: u64 = 64 * 1024;
const LOG_ROTATE_MIN_AGE: Duration = Duration::from_secs(5 * 60);
const LOG2_MAX_AGE: Duration = Duration::from_secs(10 * 60);
