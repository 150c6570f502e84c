//! A place with mboxes: opens, creates, deletes, renames and lists them. A mailbox is a file, a
//! directory holds other mailboxes; the index is in `.imap/<name>/` beside the file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Logger;

use crate::api::{Listed, Mailbox, MailboxState, OpenMode, PathKind, Storage, SyncMode};
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, is_missing, join};
use crate::indexed::{Context, Handle, Shared};
use crate::layout::Tree;
use crate::location::{IndexPlace, Layout, Location};
use crate::session_lock::SessionLock;
use crate::settings::MailSettings;
use crate::subscriptions;

use super::driver::Mbox;
use super::lock::LockLists;

/// See [`Storage`].
pub struct MboxStorage {
    tree: Tree,
    fs: Fs,
    settings: Arc<MailSettings>,
    logger: Logger,
    has_inbox: bool,
    lists: LockLists,
    owner: String,
}

impl MboxStorage {
    /// A storage at `location`, which must be an mbox's. `has_inbox` says that the user's INBOX is
    /// there; `owner` is written in the `From ` lines of what is saved.
    ///
    /// # Errors
    /// A location that mbox cannot have, and unknown ways of locking.
    pub fn new(
        location: Location,
        settings: Arc<MailSettings>,
        has_inbox: bool,
        owner: &str,
        logger: Logger,
    ) -> Result<Self> {
        Self::with_fs(location, settings, has_inbox, owner, logger, Fs::default())
    }

    /// The same over a file system with a hook, for tests.
    ///
    /// # Errors
    /// A location that mbox cannot have, and unknown ways of locking.
    pub fn with_fs(
        location: Location,
        settings: Arc<MailSettings>,
        has_inbox: bool,
        owner: &str,
        logger: Logger,
        fs: Fs,
    ) -> Result<Self> {
        if location.layout != Layout::Fs {
            return Err(Error::Unsupported("mbox: LAYOUT=maildir++ isn't supported yet".to_owned()));
        }
        let lists = LockLists::parse(&settings.mbox.read_locks, &settings.mbox.write_locks);
        let lists = lists.map_err(Error::Unsupported)?;
        let owner = match owner.contains('@') {
            true => owner.to_owned(),
            false => format!("{owner}@{}", settings.hostname),
        };
        let tree = Tree { location, full_access: settings.mail_full_filesystem_access, stat_dirs: false };
        Ok(Self { tree, fs, settings, logger, has_inbox, lists, owner })
    }

    fn location(&self) -> &Location {
        &self.tree.location
    }

    fn check_name(&self, name: &str) -> Result<()> {
        let dir_name = self.location().dir_name.as_str();
        let is_reserved = |part: &str| {
            let is_own = part == INDEX_DIR || part == self.location().subscriptions || part == dir_name;
            is_own || part.ends_with(LOCK_SUFFIX)
        };
        self.tree.check_with(name, &is_reserved)
    }

    fn check(&self, name: &str) -> Result<()> {
        self.check_name(name)?;
        match name == "INBOX" && !self.has_inbox {
            true => Err(Error::NotFound(name.to_owned())),
            false => Ok(()),
        }
    }

    fn has_dir_name(&self) -> bool {
        !self.location().dir_name.is_empty()
    }

    /// The directory that holds all mailboxes.
    fn top(&self) -> PathBuf {
        self.location().root.join(&self.location().mailbox_dir)
    }

    /// The file with a mailbox's messages.
    fn file(&self, name: &str) -> PathBuf {
        if name == "INBOX" {
            return self.location().inbox.clone().unwrap_or_else(|| self.location().root.join("inbox"));
        }
        let node = self.tree.node(name);
        if self.has_dir_name() { node.join(&self.location().dir_name) } else { node }
    }

    /// The directory of a mailbox's index, beside the file or in the same shape below `INDEX=`.
    fn index(&self, name: &str) -> Option<PathBuf> {
        match &self.location().index {
            Some(IndexPlace::Memory) => None,
            Some(IndexPlace::Dir(index)) => Some(self.index_below(index, name)),
            None => Some(self.index_below(&self.top(), name)),
        }
    }

    fn index_below(&self, root: &Path, name: &str) -> PathBuf {
        let path = root.join(self.tree.encode(name));
        match (self.has_dir_name(), path.parent(), path.file_name()) {
            (false, Some(parent), Some(name)) => parent.join(INDEX_DIR).join(name),
            _ => path,
        }
    }

    /// The control directory of a mailbox.
    fn control(&self, name: &str) -> PathBuf {
        let root = self.location().control.clone().unwrap_or_else(|| self.top());
        self.index_below(&root, name)
    }

    /// Where `dovecot-uidvalidity` is.
    fn control_root(&self) -> PathBuf {
        self.location().control.clone().unwrap_or_else(|| self.location().root.join(INDEX_DIR))
    }

    fn permissions(&self) -> Permissions {
        Permissions::of_dir(&self.location().root)
    }

    fn mkdir_all(&self, dir: &Path) -> Result<()> {
        self.fs.mkdir_all(dir, &self.permissions()).map_err(|error| Error::io("mkdir", dir, error))
    }

    /// What is under a name: a mailbox, or only others below it.
    fn found(&self, name: &str) -> Result<MailboxState> {
        let is_file = |path: PathBuf| match std::fs::metadata(&path) {
            Ok(meta) => Ok(Some(!meta.is_dir())),
            // A mailbox has none below it.
            Err(error) if is_missing(&error) || error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(Error::io("stat", path, error)),
        };
        Ok(match is_file(self.file(name))? {
            Some(true) => MailboxState::Selectable,
            Some(false) => MailboxState::NoSelect,
            None if self.has_dir_name() && is_file(self.tree.node(name))? == Some(false) => {
                MailboxState::NoSelect
            }
            None => MailboxState::Missing,
        })
    }

    fn make(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
            if dir.ancestors().any(Path::is_file) {
                return Err(Error::Unsupported("Mailbox doesn't allow inferior mailboxes".to_owned()));
            }
            self.mkdir_all(dir)?;
        }
        match self.fs.create_new(&path, &self.permissions()) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Exists(name.to_owned()));
            }
            Err(error) => return Err(Error::io("open", path, error)),
        }
        // An index under this name was that of another mailbox.
        self.remove_index(name);
        self.shared(name)?.sync(SyncMode::Quick, false).map(drop)
    }

    /// Where the index is to be. With none the mailbox can be used all the same.
    fn index_dir(&self, name: &str) -> Option<PathBuf> {
        let dir = self.index(name)?;
        let least = self.settings.mbox.min_index_size;
        let is_small = std::fs::metadata(self.file(name)).is_ok_and(|meta| meta.len() < least);
        if is_small && !dir.is_dir() {
            return None;
        }
        match self.mkdir_all(&dir) {
            Ok(()) => Some(dir),
            Err(error) => {
                self.logger.error(base::chain(&error));
                None
            }
        }
    }

    fn shared(&self, name: &str) -> Result<Arc<Shared<Mbox>>> {
        let index_dir = self.index_dir(name);
        let cache = self.location().index_cache.as_ref().filter(|_| index_dir.is_some());
        let cache_dir = cache.map(|cache| self.index_below(cache, name));
        if let Some(dir) = &cache_dir {
            self.mkdir_all(dir)?;
        }
        let context = Context {
            fs: self.fs.clone(),
            logger: self.logger.clone(),
            settings: self.settings.clone(),
            index_dir,
            cache_dir,
            list: None,
        };
        let (path, control) = (self.file(name), self.control_root());
        Shared::get(Mbox::new(context, path, control, self.lists.clone(), self.owner.clone()))
    }

    fn remove_index(&self, name: &str) {
        for dir in [self.index(name), Some(self.control(name))].into_iter().flatten() {
            let mut files = Vec::new();
            let _ = self.fs.read_dir(&dir, |name, kind| {
                if kind != rustix::fs::FileType::Directory && name.starts_with(b"dovecot") {
                    files.push(join(&dir, name));
                }
            });
            files.iter().for_each(|path| drop(self.fs.unlink(path)));
            // Without children nothing else is there.
            let _ = self.fs.rmdir(&dir);
            if let Some(parent) = dir.parent().filter(|parent| parent.ends_with(INDEX_DIR)) {
                let _ = self.fs.rmdir(parent);
            }
        }
    }

    fn move_path(&self, from: &Path, to: &Path) -> Result<()> {
        if let Some(parent) = to.parent() {
            self.mkdir_all(parent)?;
        }
        self.fs.rename(from, to).map_err(|error| Error::io("rename", from, error))
    }

    fn list_below(&self, dir: &Path, prefix: &str, depth: usize, found: &mut Vec<Listed>) -> Result<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        let mut names = Vec::new();
        let read = self.fs.read_dir(dir, |name, kind| {
            let is_dir_name = self.has_dir_name() && name == self.location().dir_name.as_bytes();
            if !name.starts_with(b".") && !name.ends_with(LOCK_SUFFIX.as_bytes()) && !is_dir_name {
                names.push((name.to_vec(), kind));
            }
        });
        match read {
            Err(error) if is_missing(&error) => return Ok(()),
            result => result.map_err(|error| Error::io("opendir", dir, error))?,
        }
        let inbox = self.file("INBOX");
        for (raw, kind) in names {
            use rustix::fs::FileType;
            let path = join(dir, &raw);
            let is_dir = match kind {
                FileType::Directory => true,
                FileType::RegularFile => false,
                FileType::Symlink | FileType::Unknown => match std::fs::metadata(&path) {
                    Ok(meta) if meta.is_dir() => true,
                    Ok(meta) if meta.is_file() => false,
                    _ => continue,
                },
                _ => continue,
            };
            let is_taken = path == inbox || !is_dir && self.has_dir_name();
            let Some(part) = self.tree.decode(&raw).filter(|_| !is_taken) else { continue };
            let name = if prefix.is_empty() { part } else { format!("{prefix}/{part}") };
            if self.check_name(&name).is_err() {
                continue;
            }
            let selectable = !is_dir || self.has_dir_name() && path.join(&self.location().dir_name).is_file();
            found.push(Listed { name: name.clone(), selectable, inferiors: is_dir, marked: None });
            if is_dir {
                self.list_below(&path, &name, depth + 1, found)?;
            }
        }
        Ok(())
    }

    fn subscriptions_file(&self) -> PathBuf {
        self.tree.control_root().join(&self.location().subscriptions)
    }
}

impl Storage for MboxStorage {
    fn driver(&self) -> &'static str {
        "mbox"
    }

    fn separator(&self) -> char {
        self.tree.separator()
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        self.check(name)?;
        match self.found(name)? {
            MailboxState::Selectable => {}
            MailboxState::NoSelect => return Err(Error::NotSelectable(name.to_owned())),
            // It is there always.
            MailboxState::Missing if name == "INBOX" => self.make(name)?,
            MailboxState::Missing => return Err(Error::NotFound(name.to_owned())),
        }
        let access = rustix::fs::access(self.file(name), rustix::fs::Access::WRITE_OK);
        let writable = access != Err(rustix::io::Errno::ACCESS) && access != Err(rustix::io::Errno::ROFS);
        Ok(Box::new(Handle::new(name, self.shared(name)?, mode, writable)))
    }

    fn state(&self, name: &str) -> Result<MailboxState> {
        self.check(name)?;
        if name == "INBOX" { Ok(MailboxState::Selectable) } else { self.found(name) }
    }

    fn create(&self, name: &str, directory: bool) -> Result<()> {
        self.check(name)?;
        match self.found(name)? {
            MailboxState::Selectable => Err(Error::Exists(name.to_owned())),
            MailboxState::NoSelect if directory || !self.has_dir_name() => {
                Err(Error::Exists(name.to_owned()))
            }
            _ if directory => self.mkdir_all(&self.tree.node(name)),
            _ => self.make(name),
        }
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.check(name)?;
        if name == "INBOX" {
            return Err(Error::Unsupported("INBOX can't be deleted.".to_owned()));
        }
        let node = self.tree.node(name);
        match self.found(name)? {
            MailboxState::Missing => Err(Error::NotFound(name.to_owned())),
            MailboxState::Selectable => {
                let path = self.file(name);
                self.fs.unlink(&path).map_err(|error| Error::io("unlink", path, error))?;
                self.remove_index(name);
                if self.has_dir_name() {
                    let _ = self.fs.rmdir(&node);
                }
                Ok(())
            }
            MailboxState::NoSelect => {
                let _ = self.fs.rmdir(&node.join(INDEX_DIR));
                match self.fs.rmdir(&node) {
                    Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                        Err(Error::Unsupported("Mailbox has children, delete them first".to_owned()))
                    }
                    result => result.map_err(|error| Error::io("rmdir", node, error)),
                }
            }
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        if from == "INBOX" {
            return Err(Error::Unsupported("Renaming INBOX isn't supported.".to_owned()));
        }
        if self.found(to)? != MailboxState::Missing {
            return Err(Error::Exists(to.to_owned()));
        }
        if to.strip_prefix(from).is_some_and(|rest| rest.starts_with(self.separator())) {
            return Err(Error::Unsupported("Can't rename mailbox under itself.".to_owned()));
        }
        let state = self.found(from)?;
        if state == MailboxState::Missing {
            return Err(Error::NotFound(from.to_owned()));
        }
        let (old, new) = (self.tree.node(from), self.tree.node(to));
        if state == MailboxState::Selectable && !self.has_dir_name() {
            // An index under this name was that of another mailbox.
            self.remove_index(to);
            self.move_path(&old, &new)?;
            for (old, new) in
                [(self.index(from), self.index(to)), (Some(self.control(from)), Some(self.control(to)))]
            {
                if let Some((old, new)) = old.zip(new).filter(|(old, _)| old.is_dir()) {
                    self.move_path(&old, &new)?;
                }
            }
            return Ok(());
        }
        self.move_path(&old, &new)?;
        // Indexes elsewhere have a directory of the same name.
        let index = match &self.location().index {
            Some(IndexPlace::Dir(index)) => Some(index),
            _ => None,
        };
        for root in [index, self.location().control.as_ref()].into_iter().flatten() {
            let (old, new) = (root.join(self.tree.encode(from)), root.join(self.tree.encode(to)));
            if old.is_dir() {
                self.move_path(&old, &new)?;
            }
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let mut all = Vec::new();
        self.list_below(&self.top(), "", 0, &mut all)?;
        all.retain(|one| one.name != "INBOX");
        if self.has_inbox {
            let inferiors = self.top().join("INBOX").is_dir();
            all.push(Listed { name: "INBOX".to_owned(), selectable: true, inferiors, marked: None });
        }
        Ok(all)
    }

    fn path(&self, name: &str, kind: PathKind) -> Option<PathBuf> {
        self.check_name(name).ok()?;
        match kind {
            PathKind::Mailbox => Some(self.file(name)),
            PathKind::Control => Some(self.control(name)),
            PathKind::Index => self.index(name),
        }
    }

    fn subscriptions(&self) -> Result<Vec<String>> {
        let names = subscriptions::read(&self.subscriptions_file(), self.separator())?;
        Ok(names.into_iter().filter_map(|name| self.tree.decode(name.as_bytes())).collect())
    }

    fn set_subscribed(&self, name: &str, subscribed: bool) -> Result<bool> {
        self.check_name(name)?;
        let is_inbox = name.eq_ignore_ascii_case("INBOX");
        let name = if is_inbox { "INBOX".to_owned() } else { self.tree.encode(name) };
        let (path, separator) = (self.subscriptions_file(), self.separator());
        if let Some(dir) = path.parent() {
            self.mkdir_all(dir)?;
        }
        subscriptions::change(&self.fs, &path, separator, &name, subscribed, &self.settings, &self.logger)
    }

    fn lock_session(&self) -> Result<Option<SessionLock>> {
        let (dir, settings) = (self.tree.index_root(), &self.settings);
        SessionLock::attempt(&self.fs, dir, settings.dotlock_use_excl, &settings.hostname, &self.logger)
    }
}

/// 2.3's MBOX_INDEX_DIR_NAME.
const INDEX_DIR: &str = ".imap";
/// Of dotlocks.
const LOCK_SUFFIX: &str = ".lock";
/// A loop of symbolic links ends here.
const DEPTH_MAX: usize = 64;
