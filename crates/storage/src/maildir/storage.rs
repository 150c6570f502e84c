//! A place with Maildirs: opens, creates, deletes, renames and lists them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::{Guid, Logger, UidValidity};
use index::list_index::{MAILDIR, MaildirTimes};
use index::mailbox_log::{self, MailboxLog};

use crate::api::{Listed, Mailbox, MailboxState, OpenMode, PathKind, Status, StatusItems, Storage};
use crate::dbox::names::new_guid;
use crate::dirs::Dirs;
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, Stamp, is_missing};
use crate::indexed::{Context, Handle, PrivatePlace, Shared, opened};
use crate::layout::Tree;
use crate::list_index::{ListIndex, Lister, Look, Proof};
use crate::location::{IndexPlace, Layout, Location};
use crate::lock_file::{LockFile, LockPlace};
use crate::place::{self, At, CheckProof, Placed};
use crate::remove;
use crate::session_lock::SessionLock;
use crate::settings::MailSettings;
use crate::subscriptions;

use super::driver::{Maildir, Place};
use super::uidlist;

/// See [`Storage`].
pub struct MaildirStorage {
    tree: Tree,
    fs: Fs,
    settings: Arc<MailSettings>,
    logger: Logger,
    has_inbox: bool,
    list_index: Option<Arc<ListIndex>>,
}

impl MaildirStorage {
    /// A storage at `location`, which must be a Maildir's. `has_inbox` says that the root (or `INBOX=`)
    /// is the user's INBOX.
    pub fn new(location: Location, settings: Arc<MailSettings>, has_inbox: bool, logger: Logger) -> Self {
        Self::with_fs(location, settings, has_inbox, logger, Fs::default())
    }

    /// The same over a file system with a hook, for tests.
    pub fn with_fs(
        location: Location,
        settings: Arc<MailSettings>,
        has_inbox: bool,
        logger: Logger,
        fs: Fs,
    ) -> Self {
        let fs = fs.on_nfs(settings.nfs());
        let (full_access, stat_dirs) = (settings.mail_full_filesystem_access, settings.maildir_stat_dirs);
        let dirs = Dirs::of(&location, (full_access, stat_dirs));
        let tree = Tree { location, full_access, stat_dirs, has_inbox, dirs };
        let lister: Lister = {
            let (tree, fs) = (tree.clone(), fs.clone());
            Box::new(move || list_of(&tree, &fs, has_inbox))
        };
        let list_index = ListIndex::of(&tree.location, tree.separator(), &settings, &fs, &logger, lister);
        Self { tree, fs, settings, logger, has_inbox, list_index }
    }

    fn check(&self, name: &str) -> Result<()> {
        if name.is_empty() && self.may_be_root() {
            return Ok(());
        }
        self.tree.check(name)
    }

    /// Whether the root may be a Maildir of its own, which the namespace's prefix names: where it is not the
    /// user's INBOX.
    fn may_be_root(&self) -> bool {
        let location = &self.tree.location;
        let is_apart = !location.dir_name.is_empty() || !location.mailbox_dir.is_empty();
        !self.has_inbox && !is_apart && matches!(location.layout, Layout::MaildirPlusPlus | Layout::Fs)
    }

    /// Whether a name is an INBOX that has a place of its own.
    fn is_inbox(&self, name: &str) -> bool {
        name == "INBOX" && (self.has_inbox || self.tree.location.inbox.is_some())
    }

    /// Whether the directories still have the times that the list index remembers.
    fn is_as(dir: &Path, remembered: &[u8], look: &Look<'_>) -> bool {
        let Some(times) = MaildirTimes::decode(remembered) else { return false };
        let is_same = |sub: &str, secs: u32| {
            let stamp = look.stamp(&dir.join(sub));
            let now = |stamp: Stamp| stamp.mtime_ns.div_euclid(1_000_000_000);
            secs != 0 && stamp.is_ok_and(|stamp| stamp.map(now) == Some(secs.into()))
        };
        is_same("new", times.new_mtime) && is_same("cur", times.cur_mtime)
    }

    fn is_maildir(&self, dir: &Path) -> Result<bool> {
        let cur = dir.join("cur");
        self.fs.stamp(&cur).map(|stamp| stamp.is_some()).map_err(|error| Error::io("stat", cur, error))
    }

    /// Modes for what belongs to no mailbox.
    fn permissions(&self) -> Permissions {
        Permissions::of_dir(&self.tree.location.root)
    }

    fn at(&self, name: &str) -> At {
        let is_inbox = name == "INBOX" && self.has_inbox;
        // The list has no name for the root.
        let list = self.list_index.clone().filter(|_| !name.is_empty());
        At::named(name, self.tree.encode(name), list, is_inbox)
    }

    fn shared(&self, at: &At) -> Result<Arc<Shared<Maildir>>> {
        let (name, dir) = (at.place.as_str(), self.tree.dir(&at.place));
        let location = &self.tree.location;
        let index_dir = self.index_dir(name)?;
        let size_lock = index_dir.as_deref().map(|dir| LockPlace::of_size(location, dir, &at.stored));
        let context = Context {
            fs: self.fs.clone(),
            logger: self.logger.clone(),
            settings: self.settings.clone(),
            index_dir,
            cache_dir: self.cache_dir(name)?,
            list: at.list.clone(),
            guid: at.guid(),
            size_lock,
        };
        let permissions = Permissions::of_dir(&dir);
        let (control, control_root) = (self.tree.control(name), self.tree.control_root().to_path_buf());
        let has_private_flags = self.has_private_flags(name, &dir);
        let place = Place { context, dir, control, control_root, permissions, has_private_flags };
        Shared::get(Maildir::new(place))
    }

    fn handle(&self, at: &At, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        let (name, dir) = (at.place.as_str(), self.tree.dir(&at.place));
        self.clean_tmp(&dir);
        // 2.3 shows a mailbox whose cur/ cannot be written as read-only.
        let cur = dir.join("cur");
        let access = rustix::fs::access(&cur, rustix::fs::Access::WRITE_OK);
        let writable = access != Err(rustix::io::Errno::ACCESS) && access != Err(rustix::io::Errno::ROFS);
        let shared = self.shared(at)?;
        let private = self.tree.private_index(name);
        let private = private.map(|dir| PrivatePlace { dir, copies_flags: self.tree.location.is_public });
        opened(Handle::new(at, shared, mode, writable), mode, private)
    }

    fn make_maildir(&self, name: &str) -> Result<()> {
        let (dir, permissions) = (self.tree.dir(name), self.tree.permissions(name));
        let mkdir = |path: PathBuf| {
            self.fs.mkdir_all(&path, &permissions).map_err(|error| Error::io("mkdir", path.clone(), error))
        };
        if let Some(node) = self.tree.listed_node(name).filter(|_| !self.is_inbox(name)) {
            mkdir(node)?;
        }
        mkdir(dir.clone())?;
        for sub in ["cur", "new", "tmp"] {
            mkdir(dir.join(sub))?;
        }
        mkdir(self.tree.control(name))?;
        self.index_dir(name)?;
        if self.tree.location.layout == Layout::MaildirPlusPlus && !self.is_inbox(name) {
            // Maildir++ marks subfolders so that delivery agents find the quota of the root.
            let path = dir.join("maildirfolder");
            self.fs.create(&path, &permissions).map_err(|error| Error::io("open", path, error))?;
        }
        self.copy_shared_marker(&dir, &permissions)
    }

    /// Whether each user has flags of his own, which the files do not say: with `INDEXPVT=`, or with an
    /// index of one's own for what `dovecot-shared` marks.
    fn has_private_flags(&self, name: &str, dir: &Path) -> bool {
        let location = &self.tree.location;
        let has_own_index = self.tree.index(name).is_some_and(|index| index != dir);
        location.index_private.is_some() || has_own_index && dir.join("dovecot-shared").exists()
    }

    /// `dovecot-shared` in the root is inherited by new mailboxes.
    fn copy_shared_marker(&self, dir: &Path, permissions: &Permissions) -> Result<()> {
        let marker = self.tree.location.root.join("dovecot-shared");
        if dir == self.tree.location.root || !marker.exists() {
            return Ok(());
        }
        let path = dir.join("dovecot-shared");
        match self.fs.create_new(&path, permissions) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("open", path, error)),
            _ => Ok(()),
        }
    }

    /// Where a mailbox's index is, which is made if it is apart from the mail.
    fn index_dir(&self, name: &str) -> Result<Option<PathBuf>> {
        let Some(dir) = self.tree.index(name) else { return Ok(None) };
        if self.tree.location.index.is_some() {
            let made = self.fs.mkdir_all(&dir, &self.tree.permissions(name));
            made.map_err(|error| Error::io("mkdir", dir.clone(), error))?;
        }
        Ok(Some(dir))
    }

    fn cache_dir(&self, name: &str) -> Result<Option<PathBuf>> {
        let Some(dir) = self.tree.cache(name) else { return Ok(None) };
        let made = self.fs.mkdir_all(&dir, &self.tree.permissions(name));
        made.map_err(|error| Error::io("mkdir", dir.clone(), error))?;
        Ok(Some(dir))
    }

    /// Removes files that lie in tmp/ since long, at most once per `mail_temp_scan_interval`.
    fn clean_tmp(&self, dir: &Path) {
        let interval = self.settings.mail_temp_scan_interval;
        let tmp = dir.join("tmp");
        let Ok(meta) = std::fs::metadata(&tmp) else { return };
        let (Ok(accessed), Ok(modified)) = (meta.accessed(), meta.modified()) else { return };
        let now = SystemTime::now();
        let done = accessed > modified + TMP_AGE;
        if interval.is_zero() || done || now.duration_since(accessed).is_ok_and(|age| age < interval) {
            return;
        }
        let mut old = Vec::new();
        let _ = self.fs.read_dir(&tmp, |name, _| old.push(crate::fs::join(&tmp, name)));
        for path in old {
            let age = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
            let age = age.and_then(|modified| now.duration_since(modified).ok());
            if age.is_some_and(|age| age > TMP_AGE) {
                let _ = self.fs.unlink(&path);
            }
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        let dir = self.tree.dir(name);
        let root = &self.tree.location.root;
        let trash = root.join(TRASH);
        let failed = |path: &Path, error| Error::io("rename", path, error);
        // Gone at once for everybody: one rename, then the files at leisure.
        if trash.exists() {
            remove::tree(&self.fs, &trash)?;
        }
        if self.tree.location.layout != Layout::Fs {
            self.fs.rename(&dir, &trash).map_err(|error| failed(&dir, error))?;
        } else {
            self.fs.mkdir(&trash, &self.permissions()).map_err(|error| failed(&trash, error))?;
            for sub in ["cur", "new", "tmp"] {
                match self.fs.rename(&dir.join(sub), &trash.join(sub)) {
                    Err(error) if !is_missing(&error) => return Err(failed(&dir.join(sub), error)),
                    _ => {}
                }
            }
            remove::files(&self.fs, &dir);
            let _ = self.fs.rmdir(&dir);
        }
        remove::tree(&self.fs, &trash)?;
        let location = &self.tree.location;
        let stays = location.list_from_index && !location.no_noselect;
        let extra = [
            (Some(self.tree.control(name)), Some(self.tree.control_root())),
            (self.tree.index(name), Some(self.tree.index_root()).filter(|_| !stays)),
            (self.tree.cache(name), location.index_cache.as_deref()),
        ];
        for (extra, root) in extra {
            let Some(extra) = extra.filter(|extra| *extra != dir) else { continue };
            remove::files(&self.fs, &extra);
            match root {
                Some(root) => remove::until_root(&self.fs, &extra, root),
                None => drop(self.fs.rmdir(&extra)),
            }
        }
        // With children it stays, as a node without mail.
        self.remove_nodes(name, self.tree.location.no_noselect);
        Ok(())
    }

    /// Removes the directories that stand for a name, as far as they are empty, with `above` also those
    /// above them.
    fn remove_nodes(&self, name: &str, above: bool) {
        let location = &self.tree.location;
        let top = |root: &Path| root.join(&location.mailbox_dir);
        let nodes = [
            Some((self.tree.node(name), top(&location.root))),
            self.tree.listed_node(name).map(|node| (node, top(self.tree.index_root()))),
        ];
        remove::nodes(&self.fs, nodes.into_iter().flatten(), above);
    }

    /// Removes a node without mail.
    fn remove_node(&self, name: &str) -> Result<()> {
        // Of the two places of a node only one may be there.
        remove::node(&self.fs, &self.tree.node(name), self.tree.location.list_from_index)?;
        self.remove_nodes(name, self.tree.location.no_noselect);
        Ok(())
    }

    fn move_dir(&self, from: &Path, to: &Path) -> Result<bool> {
        match self.fs.rename(from, to) {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(Error::Exists(to.display().to_string()))
            }
            Err(error) => Err(Error::io("rename", from, error)),
        }
    }

    /// Gives one mailbox its name in `other`, which may be this storage, and all that is kept of it.
    fn rename_one(&self, from: &str, other: &Self, to: &str) -> Result<bool> {
        let moved = self.move_dir(&self.tree.node(from), &other.tree.node(to))?;
        let location = &self.tree.location;
        if let Some(root) = &location.control {
            self.move_extra(&self.tree.control(from), &other.tree.control(to), Some(root))?;
        }
        if let (Some(_), Some(old), Some(new)) =
            (&self.tree.location.index, self.tree.index(from), other.tree.index(to))
        {
            if let Some((old, new)) = self.tree.listed_node(from).zip(other.tree.listed_node(to)) {
                self.move_extra(&old, &new, None)?;
            }
            // A node that is listed from there stays, as the one that holds mail does.
            let stays = location.list_from_index && !location.no_noselect;
            self.move_extra(&old, &new, Some(self.tree.index_root()).filter(|_| !stays))?;
        }
        if let (Some(old), Some(new)) = (self.tree.cache(from), other.tree.cache(to)) {
            self.move_extra(&old, &new, location.index_cache.as_deref())?;
        }
        if (location.control.is_none() || location.index.is_none())
            && let Some(parent) = self.tree.node(from).parent()
        {
            // As in 2.3, which looks at each place of its own, this one among them, for what is empty now.
            remove::until_root(&self.fs, parent, &location.root);
        }
        Ok(moved)
    }

    fn rename_between(&self, from: &str, other: &Self, to: &str) -> Result<()> {
        self.check(from)?;
        other.check(to)?;
        let is_same = std::ptr::eq(self, other);
        let _lock = other.lock_list()?;
        if self.is_inbox(from) {
            return Err(Error::Unsupported("Renaming INBOX isn't supported.".to_owned()));
        }
        let mut children = Vec::new();
        if self.tree.location.layout.is_flat() {
            let prefix = format!("{from}{}", self.separator());
            let listed = self.tree.list(&self.fs)?;
            children = listed
                .into_iter()
                .filter_map(|one| one.name.strip_prefix(&prefix).map(str::to_owned))
                .collect();
        } else if is_same && to.strip_prefix(from).is_some_and(|rest| rest.starts_with(self.separator())) {
            return Err(Error::Unsupported("Can't rename mailbox under itself.".to_owned()));
        }
        // As in 2.3 only directories of several levels tell what is in the way before what is missing.
        if self.tree.location.layout.is_flat()
            && children.is_empty()
            && self.state(from)? == MailboxState::Missing
        {
            return Err(Error::NotFound(from.to_owned()));
        }
        if other.state(to)? == MailboxState::Selectable {
            return Err(Error::Exists(to.to_owned()));
        }
        if let Some(parent) = other.tree.node(to).parent() {
            self.fs
                .mkdir_all(parent, &other.tree.permissions(to))
                .map_err(|error| Error::io("mkdir", parent, error))?;
        }
        let mut moved = self.rename_one(from, other, to)?;
        for child in children {
            let separator = self.separator();
            let (old, new) = (format!("{from}{separator}{child}"), format!("{to}{separator}{child}"));
            // RENAME "a" "a.b" has just made "a.b": it must not become "a.b.b".
            if !is_same || old != to {
                moved |= self.rename_one(&old, other, &new)?;
            }
        }
        match is_same {
            true => self.note_change(&[from, to]),
            false => {
                self.note_change(&[from]);
                other.note_change(&[to]);
            }
        }
        if moved { Ok(()) } else { Err(Error::NotFound(from.to_owned())) }
    }

    fn subscriptions_file(&self) -> PathBuf {
        self.tree.control_root().join(&self.tree.location.subscriptions)
    }

    /// Keeps others from making, deleting and renaming mailboxes meanwhile.
    fn lock_list(&self) -> Result<LockFile> {
        let place = LockPlace::of_list(&self.tree.location, self.tree.index_root());
        LockFile::list(&place, &self.permissions(), &self.fs, &self.settings, &self.logger)
    }

    /// Tells the list of a mailbox that has come or gone.
    fn note_one(&self, name: &str) {
        let Some(list_index) = &self.list_index else { return };
        if self.tree.location.list_from_index {
            return list_index.note_change(&[name]);
        }
        list_index.note_one(name, &|name| match self.tree.location.layout {
            // Such a directory is listed as it is found; only with `maildir_stat_dirs` somebody looks.
            layout if layout.is_flat() && self.tree.stat_dirs && name != "INBOX" => {
                let is_there = self.is_maildir(&self.tree.dir(name))?;
                Ok(if is_there { MailboxState::Selectable } else { MailboxState::Missing })
            }
            _ => self.state(name),
        });
    }

    fn note_change(&self, names: &[&str]) {
        if let Some(list_index) = &self.list_index {
            list_index.note_change(names);
        }
    }

    /// Moves a directory that is kept of a mailbox elsewhere, and removes those below `root` that are
    /// empty then.
    fn move_extra(&self, from: &Path, to: &Path, root: Option<&Path>) -> Result<()> {
        if let Some(parent) = to.parent() {
            self.fs
                .mkdir_all(parent, &self.permissions())
                .map_err(|error| Error::io("mkdir", parent, error))?;
        }
        self.move_dir(from, to)?;
        if let (Some(root), Some(parent)) = (root, from.parent()) {
            remove::until_root(&self.fs, parent, root);
        }
        Ok(())
    }
}

impl Storage for MaildirStorage {
    fn driver(&self) -> &'static str {
        "maildir"
    }

    fn separator(&self) -> char {
        self.tree.separator()
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        self.check(name)?;
        let dir = self.tree.dir(name);
        if !self.is_maildir(&dir)? {
            return match self.state(name)? {
                // INBOX is there always; another Maildir that lost its directories gets them back.
                MailboxState::Selectable => {
                    self.make_maildir(name)?;
                    self.open(name, mode)
                }
                MailboxState::NoSelect => Err(Error::NotSelectable(name.to_owned())),
                MailboxState::Missing => Err(Error::NotFound(name.to_owned())),
            };
        }
        self.handle(&self.at(name), mode)
    }

    fn state(&self, name: &str) -> Result<MailboxState> {
        self.check(name)?;
        if name == "INBOX" && self.has_inbox {
            return Ok(MailboxState::Selectable);
        }
        if self.is_maildir(&self.tree.dir(name))? {
            return Ok(MailboxState::Selectable);
        }
        if name.is_empty() {
            return Ok(MailboxState::Missing);
        }
        let node = self.tree.node(name);
        let has = |node: PathBuf| match self.fs.stamp(&node) {
            Ok(stamp) => Ok(stamp.is_some()),
            Err(error) => Err(Error::io("stat", node, error)),
        };
        let there = has(node)? || self.tree.listed_node(name).map_or(Ok(false), has)?;
        Ok(match (there, self.tree.location.layout) {
            (false, _) => MailboxState::Missing,
            // A Maildir++ directory is a mailbox even without cur/.
            (true, Layout::MaildirPlusPlus | Layout::ImapDir) => MailboxState::Selectable,
            (true, Layout::Fs | Layout::Index) => MailboxState::NoSelect,
        })
    }

    fn create(&self, name: &str, directory: bool) -> Result<()> {
        self.check(name)?;
        let _lock = self.lock_list()?;
        if self.is_maildir(&self.tree.dir(name))? {
            return Err(Error::Exists(name.to_owned()));
        }
        let location = &self.tree.location;
        if directory && location.layout == Layout::Fs && !location.no_noselect {
            if self.state(name)? != MailboxState::Missing {
                return Err(Error::Exists(name.to_owned()));
            }
            let permissions = self.tree.permissions(name);
            for node in [Some(self.tree.node(name)), self.tree.listed_node(name)].into_iter().flatten() {
                self.fs.mkdir_all(&node, &permissions).map_err(|error| Error::io("mkdir", node, error))?;
            }
            self.note_one(name);
            return Ok(());
        }
        // Maildir++ has no nodes without mail: 2.3 makes a mailbox.
        self.make_maildir(name)?;
        self.note_one(name);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.check(name)?;
        let _lock = self.lock_list()?;
        if self.is_inbox(name) {
            return Err(Error::Unsupported("INBOX can't be deleted.".to_owned()));
        }
        match self.state(name)? {
            MailboxState::Missing => Err(Error::NotFound(name.to_owned())),
            MailboxState::Selectable => self.remove(name),
            MailboxState::NoSelect => self.remove_node(name),
        }?;
        self.note_one(name);
        Ok(())
    }

    fn guid_to_delete(&self, name: &str) -> Result<Guid> {
        self.check(name)?;
        let kept = uidlist::guid_of(&self.tree.control(name).join("dovecot-uidlist"));
        Ok(kept.unwrap_or_else(new_guid))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_between(from, self, to)
    }

    fn rename_to(&self, from: &str, other: &dyn Storage, to: &str) -> Result<()> {
        let other = place::same_kind(self, other)?;
        let (old, new) = (&self.tree, &other.tree);
        let roots = [
            (old.location.root.as_path(), new.location.root.as_path()),
            (old.control_root(), new.control_root()),
            (old.index_root(), new.index_root()),
        ];
        place::check_devices(&self.fs, roots)?;
        self.rename_between(from, other, to)
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let Some(list_index) = &self.list_index else { return list_of(&self.tree, &self.fs, self.has_inbox) };
        if let Some(listed) = list_index.list() {
            return Ok(listed);
        }
        let listed = list_of(&self.tree, &self.fs, self.has_inbox)?;
        list_index.note_listing(&listed);
        Ok(listed)
    }

    fn status(&self, name: &str, items: StatusItems) -> Option<Status> {
        let list_index = self.list_index.as_ref()?;
        if items.has(StatusItems::UNSEEN) && self.tree.location.index_private.is_some() {
            // The list does not know each user's own flags.
            return None;
        }
        self.check(name).ok()?;
        let index_dir = self.tree.index(name)?;
        let mut status = None;
        self.store_proof(name, &mut |store| {
            status = list_index.status(name, items, &Proof { index_dir: &index_dir, store });
        });
        status
    }

    fn path(&self, name: &str, kind: PathKind) -> Option<PathBuf> {
        self.tree.check(name).ok()?;
        self.path_at(name, kind)
    }

    fn mailbox_log(&self) -> Option<MailboxLog> {
        if matches!(self.tree.location.index, Some(IndexPlace::Memory)) {
            return None;
        }
        let root = self.tree.index_root();
        let path = root.join(mailbox_log::FILE_NAME);
        Some(MailboxLog::new(self.fs.clone(), path, Permissions::of_dir(root), self.logger.clone()))
    }

    fn volatile_dir(&self) -> Option<&Path> {
        self.tree.location.volatile.as_deref()
    }

    fn subscriptions(&self) -> Result<Vec<String>> {
        let names = self.all_subscriptions(self.separator())?;
        let decode = |level: &[u8]| self.tree.decode(level);
        Ok(subscriptions::decoded(&names, self.separator(), &decode))
    }

    fn set_subscribed(&self, name: &str, subscribed: bool) -> Result<bool> {
        self.tree.check(name)?;
        let is_inbox = name.eq_ignore_ascii_case("INBOX");
        let name = if is_inbox { "INBOX".to_owned() } else { self.tree.encode(name) };
        self.set_stored_subscription(&name, subscribed)
    }

    fn stored_name(&self, name: &str) -> String {
        self.tree.encode(name)
    }

    fn name_of_stored(&self, stored: &str) -> Option<String> {
        self.tree.decode(stored.as_bytes()).filter(|name| self.tree.check(name).is_ok())
    }

    fn all_subscriptions(&self, separator: char) -> Result<Vec<String>> {
        subscriptions::read(&self.subscriptions_file(), separator)
    }

    fn set_stored_subscription(&self, stored: &str, subscribed: bool) -> Result<bool> {
        let (path, separator, settings) = (self.subscriptions_file(), self.separator(), &self.settings);
        let changed =
            subscriptions::change(&self.fs, &path, separator, stored, subscribed, settings, &self.logger)?;
        if let Some(list_index) = self.list_index.as_ref().filter(|_| changed) {
            list_index.note_subscriptions();
        }
        Ok(changed)
    }

    fn lock_session(&self) -> Result<Option<SessionLock>> {
        let dir = self.tree.index_root();
        SessionLock::attempt(
            &self.fs,
            dir,
            self.settings.dotlock_use_excl,
            &self.settings.hostname,
            &self.logger,
        )
    }
}

impl place::Located for MaildirStorage {
    fn at_location(&self) -> &Location {
        &self.tree.location
    }
}

impl Placed for MaildirStorage {
    fn location(&self) -> &Location {
        &self.tree.location
    }

    fn fs(&self) -> &Fs {
        &self.fs
    }

    fn open_at(&self, at: &At, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        if !self.is_maildir(&self.tree.dir(&at.place))? {
            // The list has it: what is missing is made, as in 2.3.
            self.make_maildir(&at.place)?;
        }
        self.handle(at, mode)
    }

    fn make_at(&self, at: &At) -> Result<Option<UidValidity>> {
        self.make_maildir(&at.place)?;
        let shared = self.shared(at)?;
        // The GUID, which the directory is named by, and UIDVALIDITY are there from the beginning.
        shared.mailbox_guid()?;
        if let Some(by_guid) = &at.by_guid {
            shared.note_name(&by_guid.box_name)?;
        }
        Ok(Some(shared.view().uid_validity()))
    }

    fn remove_at(&self, at: &At) -> Result<()> {
        self.remove(&at.place)
    }

    fn move_at(&self, from: &str, to: &str) -> Result<()> {
        self.rename_one(from, self, to).map(drop)
    }

    fn places(&self) -> Result<Vec<Listed>> {
        self.tree.list(&self.fs)
    }

    fn path_at(&self, place: &str, kind: PathKind) -> Option<PathBuf> {
        match kind {
            PathKind::Dir if !self.tree.location.dir_name.is_empty() => Some(self.tree.node(place)),
            PathKind::Dir | PathKind::Mailbox => Some(self.tree.dir(place)),
            PathKind::AltDir | PathKind::AltMailbox => self.tree.alt(place, kind),
            PathKind::IndexPrivate => self.tree.private_index(place),
            PathKind::Control if place == "INBOX" && self.tree.location.control.is_none() => {
                Some(self.tree.dir(place))
            }
            PathKind::Control => Some(self.tree.control(place)),
            PathKind::Index => self.tree.index(place),
        }
    }

    fn store_proof(&self, place: &str, check: CheckProof<'_>) {
        let dir = self.tree.dir(place);
        let is_same = |bytes: &[u8], look: &Look<'_>| Self::is_as(&dir, bytes, look);
        let watches = !self.settings.maildir_very_dirty_syncs;
        check(watches.then_some((MAILDIR, &is_same)));
    }
}

/// What the directories have.
fn list_of(tree: &Tree, fs: &Fs, has_inbox: bool) -> Result<Vec<Listed>> {
    let mut all = tree.list(fs)?;
    if has_inbox || tree.location.inbox.is_some() {
        // A directory of that name holds others only.
        let below = all.iter().position(|one| one.name == "INBOX").map(|at| all.swap_remove(at));
        let inbox = Listed { name: "INBOX".to_owned(), selectable: true, inferiors: true, marked: None };
        let is_there = has_inbox || tree.dir("INBOX").join("cur").is_dir();
        all.extend(if is_there { Some(inbox) } else { below });
    }
    Ok(all)
}

// 2.3's MAILDIR_TMP_DELETE_SECS.
const TMP_AGE: Duration = Duration::from_secs(36 * 3600);
/// 2.3's name for what is being deleted; Maildir++ never lists it.
const TRASH: &str = "..DOVECOT-TRASHED";
