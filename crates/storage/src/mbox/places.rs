//! Where the files of an mbox location are. A mailbox is a file, a directory holds other mailboxes; the
//! index is in `.imap/<name>/` beside the file.

use std::io;
use std::path::{Path, PathBuf};

use crate::api::{Listed, MailboxState, PathKind};
use crate::dirs::Dirs;
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, is_missing, join};
use crate::layout::Tree;
use crate::location::{IndexPlace, Layout, Location};

/// The names and paths of one location.
#[derive(Clone)]
pub(super) struct Places {
    tree: Tree,
    has_inbox: bool,
}

impl Places {
    /// Refuses what mbox cannot be.
    pub(super) fn new(location: Location, full_access: bool, has_inbox: bool) -> Result<Self> {
        if location.layout == Layout::Index {
            return Err(Error::Unsupported("mbox: LAYOUT=index isn't supported by this driver".to_owned()));
        }
        if location.list_from_index {
            // Directories of indexes stand for files and for directories: 2.3 opens none of them.
            return Err(Error::Unsupported("mbox: ITERINDEX isn't possible with this driver".to_owned()));
        }
        Ok(Self {
            tree: Tree { location, full_access, stat_dirs: false, has_inbox, dirs: Dirs::default() },
            has_inbox,
        })
    }

    pub(super) fn location(&self) -> &Location {
        &self.tree.location
    }

    pub(super) fn separator(&self) -> char {
        self.tree.separator()
    }

    pub(super) fn encode(&self, name: &str) -> String {
        self.tree.encode(name)
    }

    pub(super) fn decode(&self, raw: &[u8]) -> Option<String> {
        self.tree.decode(raw)
    }

    pub(super) fn check_name(&self, name: &str) -> Result<()> {
        let dir_name = self.location().dir_name.as_str();
        let is_reserved = |part: &str| {
            let is_own = part == INDEX_DIR || part == self.location().subscriptions || part == dir_name;
            is_own || part.ends_with(LOCK_SUFFIX)
        };
        self.tree.check_with(name, &is_reserved)?;
        if self.is_flat() && is_reserved(&format!(".{}", self.encode(name))) {
            let why = "Contains reserved name".to_owned();
            return Err(Error::InvalidName { name: name.to_owned(), why });
        }
        Ok(())
    }

    /// Mailboxes are files beside each other, with names of several levels.
    pub(super) fn is_flat(&self) -> bool {
        self.location().layout == Layout::MaildirPlusPlus
    }

    pub(super) fn check(&self, name: &str) -> Result<()> {
        self.check_name(name)
    }

    /// Whether a name is an INBOX that has a place of its own. Elsewhere it is a mailbox like others.
    pub(super) fn is_inbox(&self, name: &str) -> bool {
        name == "INBOX" && (self.has_inbox || self.location().inbox.is_some())
    }

    /// Whether a name is the user's INBOX.
    pub(super) fn is_own_inbox(&self, name: &str) -> bool {
        name == "INBOX" && self.has_inbox
    }

    pub(super) fn has_dir_name(&self) -> bool {
        !self.location().dir_name.is_empty()
    }

    /// The directory that holds all mailboxes.
    pub(super) fn top(&self) -> PathBuf {
        self.location().root.join(&self.location().mailbox_dir)
    }

    /// The directory that stands for a name, or the mailbox itself.
    pub(super) fn node(&self, name: &str) -> PathBuf {
        self.tree.node(name)
    }

    /// See [`Tree::alt`].
    pub(super) fn alt(&self, name: &str, kind: PathKind) -> Option<PathBuf> {
        self.tree.alt(name, kind)
    }

    /// The file with a mailbox's messages.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        if self.is_inbox(name) {
            let default = || match self.is_flat() {
                true => self.tree.node(name),
                false => self.location().root.join("inbox"),
            };
            return self.location().inbox.clone().unwrap_or_else(default);
        }
        let node = self.tree.node(name);
        if self.has_dir_name() { node.join(&self.location().dir_name) } else { node }
    }

    /// Whether a mailbox is an INBOX elsewhere than below the root: where the system delivers to.
    pub(super) fn is_privileged(&self, name: &str) -> bool {
        self.is_inbox(name) && !self.file(name).starts_with(&self.location().root)
    }

    /// The directory of a mailbox's index, beside the file or in the same shape below `INDEX=`.
    pub(super) fn index(&self, name: &str) -> Option<PathBuf> {
        match &self.location().index {
            Some(IndexPlace::Memory) => None,
            Some(IndexPlace::Dir(index)) => Some(self.index_below(index, name)),
            None => Some(self.index_below(&self.location().root, name)),
        }
    }

    /// The directory of a mailbox's cache, if that is apart from the index.
    pub(super) fn cache(&self, name: &str) -> Option<PathBuf> {
        self.location().index_cache.as_ref().map(|cache| self.index_below(cache, name))
    }

    /// The directory of a user's own index of a mailbox (`INDEXPVT=`).
    pub(super) fn private_index(&self, name: &str) -> Option<PathBuf> {
        self.tree.private_index(name)
    }

    fn index_below(&self, root: &Path, name: &str) -> PathBuf {
        let path = self.tree.below(root, name);
        match (self.has_dir_name(), path.parent(), path.file_name()) {
            (false, Some(parent), Some(name)) => parent.join(INDEX_DIR).join(name),
            _ if self.location().full_dir_name => path.join(&self.location().dir_name),
            _ => path,
        }
    }

    /// The control directory of a mailbox.
    pub(super) fn control(&self, name: &str) -> PathBuf {
        let root = self.location().control.as_deref().unwrap_or(&self.location().root);
        self.index_below(root, name)
    }

    /// Where `dovecot-uidvalidity` is.
    pub(super) fn control_root(&self) -> PathBuf {
        self.location().control.clone().unwrap_or_else(|| self.own(&self.location().root))
    }

    /// Where files are that belong to all mailboxes together, if any are on disk.
    pub(super) fn index_root(&self) -> Option<PathBuf> {
        match &self.location().index {
            Some(IndexPlace::Memory) => None,
            Some(IndexPlace::Dir(index)) => Some(self.own(index)),
            None => Some(self.own(&self.location().root)),
        }
    }

    fn own(&self, root: &Path) -> PathBuf {
        if self.has_dir_name() { root.to_owned() } else { root.join(INDEX_DIR) }
    }

    pub(super) fn subscriptions_file(&self) -> PathBuf {
        self.tree.control_root().join(&self.location().subscriptions)
    }

    pub(super) fn permissions(&self) -> Permissions {
        Permissions::of_dir(&self.location().root)
    }

    /// The same for what belongs to a mailbox.
    pub(super) fn permissions_of(&self, name: &str) -> Permissions {
        match self.is_flat() {
            true => self.permissions(),
            false => self.tree.permissions(name),
        }
    }

    /// What is under a name: a mailbox, or only others below it.
    pub(super) fn found(&self, name: &str) -> Result<MailboxState> {
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

    /// Every mailbox and node on disk.
    pub(super) fn list(&self, fs: &Fs) -> Result<Vec<Listed>> {
        let mut all = Vec::new();
        match self.is_flat() {
            true => self.list_flat(fs, &mut all)?,
            false => self.list_below(fs, &self.top(), "", 0, &mut all)?,
        }
        if self.has_inbox || self.location().inbox.as_ref().is_some_and(|inbox| inbox.is_file()) {
            all.retain(|one| one.name != "INBOX");
            // Its mail is elsewhere: children may get a directory of the name.
            let inferiors = self.is_flat() || !self.top().join("INBOX").is_file();
            all.push(Listed { name: "INBOX".to_owned(), selectable: true, inferiors, marked: None });
        }
        Ok(all)
    }

    fn list_flat(&self, fs: &Fs, found: &mut Vec<Listed>) -> Result<()> {
        let (root, inbox) = (&self.location().root, self.file("INBOX"));
        let mut names = Vec::new();
        let read = fs.read_dir(root, |name, kind| {
            use rustix::fs::FileType;
            let may_be_file = matches!(kind, FileType::RegularFile | FileType::Symlink | FileType::Unknown);
            if let Some(rest) = name.strip_prefix(b".").filter(|_| may_be_file) {
                names.push((rest.to_vec(), kind == FileType::RegularFile));
            }
        });
        match read {
            Err(error) if is_missing(&error) => return Ok(()),
            result => result.map_err(|error| Error::io("opendir", root, error))?,
        }
        for (raw, is_file) in names {
            let path = join(root, &[b".", &raw[..]].concat());
            let Some(name) = self.tree.decode(&raw).filter(|_| path != inbox) else { continue };
            if self.check_name(&name).is_ok() && (is_file || path.is_file()) {
                found.push(Listed { name, selectable: true, inferiors: true, marked: None });
            }
        }
        Ok(())
    }

    fn list_below(
        &self,
        fs: &Fs,
        dir: &Path,
        prefix: &str,
        depth: usize,
        found: &mut Vec<Listed>,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        let mut names = Vec::new();
        let read = fs.read_dir(dir, |name, kind| {
            let is_dir_name = self.has_dir_name() && name == self.location().dir_name.as_bytes();
            if !name.starts_with(b"..") && !name.ends_with(LOCK_SUFFIX.as_bytes()) && !is_dir_name {
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
                self.list_below(fs, &path, &name, depth + 1, found)?;
            }
        }
        Ok(())
    }
}

/// 2.3's MBOX_INDEX_DIR_NAME.
pub(super) const INDEX_DIR: &str = ".imap";
/// Of dotlocks.
const LOCK_SUFFIX: &str = ".lock";
/// A loop of symbolic links ends here.
const DEPTH_MAX: usize = 64;
