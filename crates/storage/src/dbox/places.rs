//! Where the files of a dbox location are: `mailboxes/<name>/dbox-Mails`, their twins in the alternative
//! place, and `storage`.

use std::path::{Path, PathBuf};

use base::Guid;

use crate::api::Listed;
use crate::dirs::{Dirs, Entries, Walk};
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, join};
use crate::layout::Tree;
use crate::location::{IndexPlace, Layout, Location};

use super::names::STORAGE_DIR;

/// The names and paths of one location.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    tree: Tree,
}

impl Places {
    /// Refuses what dbox cannot be, in 2.3's words where it has some.
    pub(crate) fn new(location: Location, full_access: bool, multi: bool, has_inbox: bool) -> Result<Self> {
        let driver = &location.driver;
        if location.layout == Layout::MaildirPlusPlus {
            return Err(Error::Unsupported(
                "Mailbox list driver maildir++: maildir_name not supported by this driver".to_owned(),
            ));
        }
        if multi && location.mailbox_dir.is_empty() {
            return Err(Error::Unsupported("mdbox: MAILBOXDIR must not be empty".to_owned()));
        }
        if location.index == Some(IndexPlace::Memory) {
            // The index is the only place where flags and UIDs are.
            return Err(Error::Unsupported(format!(
                "{driver}: INDEX=MEMORY isn't possible with this driver"
            )));
        }
        let dirs = Dirs::of(&location, (full_access, false));
        Ok(Self { tree: Tree { location, full_access, stat_dirs: false, has_inbox, dirs } })
    }

    pub(crate) fn location(&self) -> &Location {
        &self.tree.location
    }

    pub(crate) fn separator(&self) -> char {
        self.tree.separator()
    }

    pub(crate) fn check(&self, name: &str) -> Result<()> {
        let dir_name = self.location().dir_name.as_str();
        self.tree.check_with(name, &|part| part == dir_name)
    }

    pub(crate) fn encode(&self, name: &str) -> String {
        self.tree.encode(name)
    }

    pub(crate) fn decode(&self, raw: &[u8]) -> Option<String> {
        self.tree.decode(raw)
    }

    /// The directory that stands for a name and holds its children.
    pub(crate) fn node(&self, name: &str) -> PathBuf {
        self.tree.node(name)
    }

    /// See [`Tree::permissions`].
    pub(crate) fn permissions(&self, name: &str) -> Permissions {
        self.tree.permissions(name)
    }

    /// The GUID of the mailbox with this place, where directories are named so.
    pub(crate) fn guid_of(&self, place: &str) -> Option<Guid> {
        if self.location().layout == Layout::Index { place.parse().ok() } else { None }
    }

    /// The directory with a mailbox's messages, or only its index.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        match &self.location().inbox {
            Some(inbox) if name == "INBOX" => inbox.clone(),
            _ => self.with_dir_name(self.node(name)),
        }
    }

    fn with_dir_name(&self, mut path: PathBuf) -> PathBuf {
        if !self.location().dir_name.is_empty() {
            path.push(&self.location().dir_name);
        }
        path
    }

    /// The same in the alternative place, if there is one.
    pub(crate) fn alt_dir(&self, name: &str) -> Option<PathBuf> {
        self.alt_node(name).map(|node| self.with_dir_name(node))
    }

    pub(crate) fn alt_node(&self, name: &str) -> Option<PathBuf> {
        let alt = self.location().alt.as_ref()?;
        Some(self.below(alt, name))
    }

    /// The directory of a mailbox's index.
    pub(crate) fn index(&self, name: &str) -> PathBuf {
        match &self.location().index {
            Some(IndexPlace::Dir(index)) => self.apart(index, name),
            _ => self.dir(name),
        }
    }

    /// The directory of a mailbox's cache, if that is apart from the index.
    pub(crate) fn cache(&self, name: &str) -> Option<PathBuf> {
        self.location().index_cache.as_ref().map(|cache| self.apart(cache, name))
    }

    /// The directory of a user's own index of a mailbox (`INDEXPVT=`).
    pub(crate) fn private_index(&self, name: &str) -> Option<PathBuf> {
        self.tree.private_index(name)
    }

    /// The directory in `INDEX=` that stands for a name, where mailboxes are listed from there.
    pub(crate) fn listed_node(&self, name: &str) -> Option<PathBuf> {
        self.tree.listed_node(name)
    }

    /// Whether there is a mailbox, with messages or none. Where mailboxes are listed from their indexes,
    /// the index is enough.
    pub(crate) fn is_mailbox(&self, fs: &Fs, name: &str) -> Result<bool> {
        let failed = |path: &Path, error| Error::io("stat", path, error);
        if self.location().list_from_index {
            let log = self.index(name).join("dovecot.index.log");
            if fs.stamp(&log).map_err(|error| failed(&log, error))?.is_some() {
                return Ok(true);
            }
        }
        let dir = self.dir(name);
        Ok(fs.stamp(&dir).map_err(|error| failed(&dir, error))?.is_some())
    }

    /// What is kept of a mailbox elsewhere than with its mail.
    fn apart(&self, root: &Path, name: &str) -> PathBuf {
        let path = self.below(root, name);
        if self.location().full_dir_name { self.with_dir_name(path) } else { path }
    }

    fn below(&self, root: &Path, name: &str) -> PathBuf {
        root.join(&self.location().mailbox_dir).join(self.encode(name))
    }

    /// Where mdbox's messages are.
    pub(crate) fn storage(&self) -> PathBuf {
        self.location().root.join(STORAGE_DIR)
    }

    /// The same in the alternative place.
    pub(crate) fn alt_storage(&self) -> Option<PathBuf> {
        self.location().alt.as_ref().map(|alt| alt.join(STORAGE_DIR))
    }

    /// Where mdbox's map is.
    pub(crate) fn map_dir(&self) -> PathBuf {
        self.tree.index_root().join(STORAGE_DIR)
    }

    /// Where the subscriptions and `dovecot-uidvalidity` are.
    pub(crate) fn control_root(&self) -> &Path {
        self.tree.control_root()
    }

    pub(crate) fn index_root(&self) -> &Path {
        self.tree.index_root()
    }

    /// The control directory of a mailbox.
    pub(crate) fn control(&self, name: &str) -> PathBuf {
        match &self.location().control {
            Some(control) => self.apart(control, name),
            None => self.dir(name),
        }
    }

    /// Every mailbox and node on disk, INBOX among them if it is there.
    pub(crate) fn list(&self, fs: &Fs) -> Result<Vec<Listed>> {
        if self.location().layout == Layout::Index {
            return self.tree.list_guids(fs);
        }
        let root = self.tree.list_root();
        self.tree.dirs.listing(fs, &root, |walk| {
            let mut found = Vec::new();
            let entries = walk.entries(&root)?;
            self.list_below(fs, walk, (&root, &entries), "", 0, &mut found)?;
            Ok(found)
        })
    }

    fn list_below(
        &self,
        fs: &Fs,
        walk: &mut Walk<'_>,
        (dir, entries): (&Path, &Entries),
        prefix: &str,
        depth: usize,
        found: &mut Vec<Listed>,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        let dir_name = self.location().dir_name.as_bytes();
        for (raw, is_dir) in entries.iter().filter(|(raw, _)| *raw != dir_name) {
            let path = join(dir, raw);
            let Some(part) = self.decode(raw).filter(|_| is_dir || path.is_dir()) else { continue };
            let name = if prefix.is_empty() { part } else { format!("{prefix}/{part}") };
            if self.check(&name).is_err() {
                continue;
            }
            let below = walk.entries(&path)?;
            let selectable = match self.location().list_from_index {
                true => {
                    walk.depends_on_more();
                    self.is_mailbox(fs, &name)?
                }
                // Without such a directory the mailbox is the node itself.
                false => dir_name.is_empty() || below.has(&path, dir_name),
            };
            found.push(Listed { name: name.clone(), selectable, inferiors: true, marked: None });
            self.list_below(fs, walk, (&path, &below), &name, depth + 1, found)?;
        }
        Ok(())
    }
}

/// A loop of symbolic links ends here.
const DEPTH_MAX: usize = 64;
