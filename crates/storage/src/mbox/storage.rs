//! A place with mboxes: opens, creates, deletes, renames and lists them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Logger;

use index::list_index::{MBOX, MboxStamp};
use index::mailbox_log::{self, MailboxLog};

use crate::api::{Listed, Mailbox, MailboxState, OpenMode, PathKind, Status, StatusItems, Storage, SyncMode};
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, join};
use crate::indexed::{Context, Handle, PrivatePlace, Shared, opened};
use crate::list_index::{IsSame, ListIndex, Lister, Look, Proof};
use crate::location::{IndexPlace, Location};
use crate::lock_file::{LockFile, LockPlace};
use crate::place::{self, At};
use crate::remove;
use crate::session_lock::SessionLock;
use crate::settings::MailSettings;
use crate::subscriptions;

use super::compressed::Compressed;
use super::driver::{Mbox, listed_stamp};
use super::lock::LockLists;
use super::places::{INDEX_DIR, Places};
use super::privileged::Privileged;

/// See [`Storage`].
pub struct MboxStorage {
    places: Places,
    fs: Fs,
    settings: Arc<MailSettings>,
    logger: Logger,
    lists: LockLists,
    owner: String,
    list_index: Option<Arc<ListIndex>>,
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
        let fs = fs.on_nfs(settings.nfs());
        let places = Places::new(location, settings.mail_full_filesystem_access, has_inbox)?;
        let lists = LockLists::parse(&settings.mbox.read_locks, &settings.mbox.write_locks);
        let lists = lists.map_err(Error::Unsupported)?;
        let owner = match owner.contains('@') {
            true => owner.to_owned(),
            false => format!("{owner}@{}", settings.hostname),
        };
        let lister: Lister = {
            let (places, fs) = (places.clone(), fs.clone());
            Box::new(move || places.list(&fs))
        };
        let (location, separator) = (places.location(), places.separator());
        let list_index = ListIndex::of(location, separator, &settings, &fs, &logger, lister);
        Ok(Self { places, fs, settings, logger, lists, owner, list_index })
    }

    /// Keeps others from making, deleting and renaming mailboxes meanwhile.
    fn lock_list(&self) -> Result<LockFile> {
        let location = self.places.location();
        let dir = self.places.index_root().unwrap_or_else(|| location.root.clone());
        let place = LockPlace::of_list(location, &dir);
        LockFile::list(&place, &self.places.permissions(), &self.fs, &self.settings, &self.logger)
    }

    fn note_change(&self, names: &[&str]) {
        if let Some(list_index) = &self.list_index {
            list_index.note_change(names);
        }
    }

    /// Whether the file still has the size and the time that the list index remembers.
    fn is_as(&self, name: &str, remembered: &[u8], look: &Look<'_>) -> bool {
        let Some(known) = MboxStamp::decode(remembered).filter(|known| known.mtime != 0) else {
            return false;
        };
        let stamp = look.stamp(&self.places.file(name));
        stamp.is_ok_and(|stamp| stamp.is_some_and(|stamp| listed_stamp(&stamp) == known))
    }

    fn mkdir_all(&self, dir: &Path) -> Result<()> {
        self.fs.mkdir_all(dir, &self.places.permissions()).map_err(|error| Error::io("mkdir", dir, error))
    }

    fn make(&self, name: &str) -> Result<()> {
        let path = self.places.file(name);
        if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
            if dir.ancestors().any(Path::is_file) {
                return Err(Error::Unsupported("Mailbox doesn't allow inferior mailboxes".to_owned()));
            }
            let made = self.fs.mkdir_all(dir, &self.places.permissions_of(name));
            made.map_err(|error| Error::io("mkdir", dir, error))?;
        }
        match self.create_file(name, &path) {
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

    fn create_file(&self, name: &str, path: &Path) -> io::Result<File> {
        if !self.places.is_privileged(name) {
            return self.fs.create_new(path, &self.places.permissions_of(name));
        }
        // As 2.3 makes it under its umask, and not as the spool's directory is.
        let permissions = Permissions::default();
        match self.fs.create_new(path, &permissions) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match Privileged::open(path) {
                Ok(Some(place)) => place.create(&self.fs, &permissions),
                _ => Err(error),
            },
            created => created,
        }
    }

    /// Where the index is to be. With none the mailbox can be used all the same.
    fn index_dir(&self, name: &str) -> Option<PathBuf> {
        let dir = self.places.index(name)?;
        let least = self.settings.mbox.min_index_size;
        let is_small = std::fs::metadata(self.places.file(name)).is_ok_and(|meta| meta.len() < least);
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

    fn at(&self, name: &str) -> At {
        At::named(name, self.places.encode(name), self.list_index.clone(), self.places.is_own_inbox(name))
    }

    fn shared(&self, name: &str) -> Result<Arc<Shared<Mbox>>> {
        let index_dir = self.index_dir(name);
        let cache_dir = self.places.cache(name).filter(|_| index_dir.is_some());
        if let Some(dir) = &cache_dir {
            self.mkdir_all(dir)?;
        }
        let location = self.places.location();
        let size_lock =
            index_dir.as_deref().map(|dir| LockPlace::of_size(location, dir, &self.places.encode(name)));
        let context = Context {
            fs: self.fs.clone(),
            logger: self.logger.clone(),
            settings: self.settings.clone(),
            index_dir,
            cache_dir,
            list: self.list_index.clone().map(|list| (list, name.to_owned())),
            guid: None,
            size_lock,
        };
        let (path, control) = (self.places.file(name), self.places.control_root());
        let (lists, owner) = (self.lists.clone(), self.owner.clone());
        let mut mbox = Mbox::new(context, path, control, lists, owner, self.places.is_privileged(name));
        mbox.compressed = self.compressed(name);
        Shared::get(mbox)
    }

    /// With the zlib plugin some are.
    fn compressed(&self, name: &str) -> Option<Compressed> {
        Compressed::of_name(name).filter(|_| self.settings.compression.is_on)
    }

    fn remove_index(&self, name: &str) {
        let location = self.places.location();
        let index_root = match &location.index {
            Some(IndexPlace::Dir(index)) => index,
            _ => &location.root,
        };
        let control_root = location.control.as_ref().unwrap_or(&location.root);
        for (dir, root) in
            [(self.places.index(name), index_root), (Some(self.places.control(name)), control_root)]
        {
            let Some(dir) = dir else { continue };
            let mut files = Vec::new();
            let _ = self.fs.read_dir(&dir, |name, kind| {
                if kind != rustix::fs::FileType::Directory && name.starts_with(b"dovecot") {
                    files.push(join(&dir, name));
                }
            });
            files.iter().for_each(|path| drop(self.fs.unlink(path)));
            // Without children nothing else is there.
            let top = dir.parent().filter(|parent| parent.ends_with(INDEX_DIR)).and_then(Path::parent);
            remove::until_root(&self.fs, &dir, top.unwrap_or(root));
        }
    }

    /// Renames a mailbox that is a file, and what is kept of it. The first name belongs here.
    fn rename_file(&self, from: &str, other: &Self, to: &str) -> Result<()> {
        // An index under this name was that of another mailbox.
        other.remove_index(to);
        self.move_path(&self.places.file(from), &other.places.node(to))?;
        for (old, new) in [
            (self.places.index(from), other.places.index(to)),
            (Some(self.places.control(from)), Some(other.places.control(to))),
        ] {
            let Some((old, new)) = old.zip(new).filter(|(old, _)| old.is_dir()) else { continue };
            self.move_path(&old, &new)?;
            if let Some(parent) = old.parent() {
                let _ = self.fs.rmdir(parent);
            }
        }
        Ok(())
    }

    fn rename_between(&self, from: &str, other: &Self, to: &str) -> Result<()> {
        self.places.check(from)?;
        other.places.check(to)?;
        let is_same = std::ptr::eq(self, other);
        let _lock = other.lock_list()?;
        if other.places.found(to)? != MailboxState::Missing {
            return Err(Error::Exists(to.to_owned()));
        }
        if is_same && to.strip_prefix(from).is_some_and(|rest| rest.starts_with(self.separator())) {
            return Err(Error::Unsupported("Can't rename mailbox under itself.".to_owned()));
        }
        let state = self.places.found(from)?;
        if state == MailboxState::Missing {
            return Err(Error::NotFound(from.to_owned()));
        }
        if other.places.node(to).ancestors().skip(1).any(Path::is_file) {
            return Err(Error::Unsupported("Mailbox doesn't allow inferior mailboxes".to_owned()));
        }
        if self.places.is_inbox(from) {
            // Where the system delivers to may be another disk. A new one is made when somebody opens it.
            let places = [(self.places.file(from), other.places.location().root.clone())];
            let places = places.iter().map(|(old, new)| (old.as_path(), new.as_path()));
            place::check_devices(&self.fs, places)?;
        }
        if state == MailboxState::Selectable && !self.places.has_dir_name() {
            for (from, to) in &self.files_to_rename(from, other, to)? {
                self.rename_file(from, other, to)?;
            }
        } else {
            self.move_node(from, other, to)?;
        }
        match is_same {
            true => self.note_change(&[from, to]),
            false => {
                self.note_change(&[from]);
                other.note_change(&[to]);
            }
        }
        Ok(())
    }

    /// The mailboxes that get other names, with those: where all are beside each other, also what is below.
    fn files_to_rename(&self, from: &str, other: &Self, to: &str) -> Result<Vec<(String, String)>> {
        let mut all = vec![(from.to_owned(), to.to_owned())];
        if !self.places.is_flat() {
            return Ok(all);
        }
        let prefix = format!("{from}{}", self.separator());
        for one in self.places.list(&self.fs)? {
            let Some(child) = one.name.strip_prefix(&prefix) else { continue };
            let target = format!("{to}{}{child}", other.separator());
            if other.places.found(&target)? != MailboxState::Missing {
                return Err(Error::Exists(target));
            }
            all.push((one.name, target));
        }
        Ok(all)
    }

    /// Renames a directory with all that is in it, and those of indexes elsewhere, which have its name.
    fn move_node(&self, from: &str, other: &Self, to: &str) -> Result<()> {
        self.move_path(&self.places.node(from), &other.places.node(to))?;
        let index = |location: &Location| match &location.index {
            Some(IndexPlace::Dir(index)) => Some(index.clone()),
            _ => None,
        };
        let (old, new) = (self.places.location(), other.places.location());
        for (old_root, new_root) in
            [index(old).zip(index(new)), old.control.clone().zip(new.control.clone())].into_iter().flatten()
        {
            let old_root = old_root.join(&old.mailbox_dir);
            let old_dir = old_root.join(self.places.encode(from));
            let new_dir = new_root.join(&new.mailbox_dir).join(other.places.encode(to));
            if old_dir.is_dir() {
                self.move_path(&old_dir, &new_dir)?;
            }
            if let Some(above) = old_dir.parent() {
                remove::until_root(&self.fs, above, &old_root);
            }
        }
        Ok(())
    }

    fn move_path(&self, from: &Path, to: &Path) -> Result<()> {
        if let Some(parent) = to.parent() {
            self.mkdir_all(parent)?;
        }
        self.fs.rename(from, to).map_err(|error| Error::io("rename", from, error))
    }
}

impl Storage for MboxStorage {
    fn driver(&self) -> &'static str {
        "mbox"
    }

    fn separator(&self) -> char {
        self.places.separator()
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        self.places.check(name)?;
        match self.places.found(name)? {
            MailboxState::Selectable => {}
            MailboxState::NoSelect => return Err(Error::NotSelectable(name.to_owned())),
            // It is there always.
            MailboxState::Missing if self.places.is_own_inbox(name) => self.make(name)?,
            MailboxState::Missing => return Err(Error::NotFound(name.to_owned())),
        }
        let access = rustix::fs::access(self.places.file(name), rustix::fs::Access::WRITE_OK);
        let writable = access != Err(rustix::io::Errno::ACCESS) && access != Err(rustix::io::Errno::ROFS);
        let writable = writable && self.compressed(name).is_none();
        let private = self.places.private_index(name);
        let copies_flags = self.places.location().is_public;
        let private = private.map(|dir| PrivatePlace { dir, copies_flags });
        opened(Handle::new(&self.at(name), self.shared(name)?, mode, writable), mode, private)
    }

    fn state(&self, name: &str) -> Result<MailboxState> {
        self.places.check(name)?;
        if self.places.is_own_inbox(name) { Ok(MailboxState::Selectable) } else { self.places.found(name) }
    }

    fn create(&self, name: &str, directory: bool) -> Result<()> {
        self.places.check(name)?;
        let _lock = self.lock_list()?;
        match self.places.found(name)? {
            MailboxState::Selectable => Err(Error::Exists(name.to_owned())),
            MailboxState::NoSelect if directory || !self.places.has_dir_name() => {
                Err(Error::Exists(name.to_owned()))
            }
            _ if directory && !self.places.is_flat() && !self.places.location().no_noselect => {
                self.mkdir_all(&self.places.node(name))
            }
            _ => self.make(name),
        }?;
        self.note_change(&[name]);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.places.check(name)?;
        let _lock = self.lock_list()?;
        if self.places.is_inbox(name) {
            return Err(Error::Unsupported("INBOX can't be deleted.".to_owned()));
        }
        let node = self.places.node(name);
        match self.places.found(name)? {
            MailboxState::Missing => return Err(Error::NotFound(name.to_owned())),
            MailboxState::Selectable => {
                let path = self.places.file(name);
                self.fs.unlink(&path).map_err(|error| Error::io("unlink", path, error))?;
                self.remove_index(name);
                if self.places.has_dir_name() {
                    let _ = self.fs.rmdir(&node);
                }
            }
            MailboxState::NoSelect => {
                let _ = self.fs.rmdir(&node.join(INDEX_DIR));
                match self.fs.rmdir(&node) {
                    Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                        let text = "Mailbox has children, delete them first";
                        return Err(Error::Unsupported(text.to_owned()));
                    }
                    result => result.map_err(|error| Error::io("rmdir", node.clone(), error))?,
                }
            }
        }
        if let Some(above) = node.parent().filter(|_| self.places.location().no_noselect) {
            remove::until_root(&self.fs, above, &self.places.top());
        }
        self.note_change(&[name]);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_between(from, self, to)
    }

    fn rename_to(&self, from: &str, other: &dyn Storage, to: &str) -> Result<()> {
        let other = place::same_kind(self, other)?;
        let roots = |places: &Places| {
            let index = places.index_root().unwrap_or_else(|| places.control_root());
            [places.location().root.clone(), places.control_root(), index]
        };
        let (old, new) = (roots(&self.places), roots(&other.places));
        place::check_devices(
            &self.fs,
            old.iter().map(PathBuf::as_path).zip(new.iter().map(PathBuf::as_path)),
        )?;
        self.rename_between(from, other, to)
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let Some(list_index) = &self.list_index else { return self.places.list(&self.fs) };
        if let Some(listed) = list_index.list() {
            return Ok(listed);
        }
        let listed = self.places.list(&self.fs)?;
        list_index.note_listing(&listed);
        Ok(listed)
    }

    fn status(&self, name: &str, items: StatusItems) -> Option<Status> {
        let list_index = self.list_index.as_ref()?;
        if items.has(StatusItems::UNSEEN) && self.places.location().index_private.is_some() {
            // The list does not know each user's own flags.
            return None;
        }
        self.places.check(name).ok()?;
        let index_dir = self.places.index(name)?;
        let is_same = |bytes: &[u8], look: &Look<'_>| self.is_as(name, bytes, look);
        let store = Some((MBOX, &is_same as IsSame<'_>));
        list_index.status(name, items, &Proof { index_dir: &index_dir, store })
    }

    fn mailbox_log(&self) -> Option<MailboxLog> {
        let root = self.places.index_root()?;
        let path = root.join(mailbox_log::FILE_NAME);
        Some(MailboxLog::new(self.fs.clone(), path, self.places.permissions(), self.logger.clone()))
    }

    fn path(&self, name: &str, kind: PathKind) -> Option<PathBuf> {
        self.places.check_name(name).ok()?;
        match kind {
            PathKind::Dir if self.places.has_dir_name() => Some(self.places.node(name)),
            PathKind::Dir | PathKind::Mailbox => Some(self.places.file(name)),
            PathKind::AltDir | PathKind::AltMailbox => self.places.alt(name, kind),
            PathKind::IndexPrivate => self.places.private_index(name),
            PathKind::Control => Some(self.places.control(name)),
            PathKind::Index => self.places.index(name),
        }
    }

    fn volatile_dir(&self) -> Option<&Path> {
        self.places.location().volatile.as_deref()
    }

    fn subscriptions(&self) -> Result<Vec<String>> {
        let names = self.all_subscriptions(self.separator())?;
        let decode = |level: &[u8]| self.places.decode(level);
        Ok(subscriptions::decoded(&names, self.separator(), &decode))
    }

    fn set_subscribed(&self, name: &str, subscribed: bool) -> Result<bool> {
        self.places.check_name(name)?;
        let is_inbox = name.eq_ignore_ascii_case("INBOX");
        let name = if is_inbox { "INBOX".to_owned() } else { self.places.encode(name) };
        self.set_stored_subscription(&name, subscribed)
    }

    fn stored_name(&self, name: &str) -> String {
        self.places.encode(name)
    }

    fn name_of_stored(&self, stored: &str) -> Option<String> {
        self.places.decode(stored.as_bytes()).filter(|name| self.places.check_name(name).is_ok())
    }

    fn all_subscriptions(&self, separator: char) -> Result<Vec<String>> {
        subscriptions::read(&self.places.subscriptions_file(), separator)
    }

    fn set_stored_subscription(&self, stored: &str, subscribed: bool) -> Result<bool> {
        let (path, separator) = (self.places.subscriptions_file(), self.separator());
        if let Some(dir) = path.parent() {
            self.mkdir_all(dir)?;
        }
        let settings = &self.settings;
        let changed =
            subscriptions::change(&self.fs, &path, separator, stored, subscribed, settings, &self.logger)?;
        if let Some(list_index) = self.list_index.as_ref().filter(|_| changed) {
            list_index.note_subscriptions();
        }
        Ok(changed)
    }

    fn lock_session(&self) -> Result<Option<SessionLock>> {
        let settings = &self.settings;
        let dir = self.places.index_root().unwrap_or_else(|| self.places.location().root.clone());
        SessionLock::attempt(&self.fs, &dir, settings.dotlock_use_excl, &settings.hostname, &self.logger)
    }
}

impl place::Located for MboxStorage {
    fn at_location(&self) -> &Location {
        self.places.location()
    }
}
