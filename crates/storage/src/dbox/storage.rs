//! A place with dbox mailboxes: opens, creates, deletes, renames and lists them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Logger, UidValidity};
use index::mailbox_log::{self, MailboxLog};

use crate::api::{Listed, Mailbox, MailboxState, OpenMode, PathKind, Status, StatusItems, Storage, SyncMode};
use crate::attachment;
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, is_missing};
use crate::indexed::{Context, Driver, Handle, PrivatePlace, Shared, opened};
use crate::list_index::{ListIndex, Lister, Proof};
use crate::location::{IndexPlace, Location};
use crate::lock_file::{LockFile, LockPlace};
use crate::place::{self, At, CheckProof, PlaceOf, Placed};
use crate::remove;
use crate::session_lock::SessionLock;
use crate::settings::MailSettings;
use crate::subscriptions;

use super::mailbox::MailboxPlace;
use super::multi::{Mdbox, Store};
use super::names::ALT_LINK;
use super::places::Places;
use super::single::Sdbox;

/// See [`Storage`].
pub struct DboxStorage {
    places: Places,
    fs: Fs,
    settings: Arc<MailSettings>,
    logger: Logger,
    attachments: Option<Arc<attachment::Store>>,
    has_inbox: bool,
    /// With mdbox.
    store: Option<Arc<Store>>,
    list_index: Option<Arc<ListIndex>>,
}

impl DboxStorage {
    /// A storage at `location`, which must be an sdbox's or mdbox's. `has_inbox` says that the user's
    /// INBOX is there.
    ///
    /// # Errors
    /// A location that dbox cannot have.
    pub fn new(
        location: Location,
        settings: Arc<MailSettings>,
        has_inbox: bool,
        logger: Logger,
    ) -> Result<Self> {
        Self::with_fs(location, settings, has_inbox, logger, Fs::default())
    }

    /// The same over a file system with a hook, for tests.
    ///
    /// # Errors
    /// A location that dbox cannot have.
    pub fn with_fs(
        location: Location,
        settings: Arc<MailSettings>,
        has_inbox: bool,
        logger: Logger,
        fs: Fs,
    ) -> Result<Self> {
        let fs = fs.on_nfs(settings.nfs());
        let is_multi = location.driver == "mdbox";
        let places = Places::new(location, settings.mail_full_filesystem_access, is_multi, has_inbox)?;
        let attachments = attachments_of(&settings, &fs, &logger, is_multi)?;
        let store = is_multi.then(|| {
            let (fs, settings, logger) = (fs.clone(), settings.clone(), logger.clone());
            Store::get(places.clone(), fs, settings, attachments.clone(), logger)
        });
        let lister: Lister = {
            let (places, fs) = (places.clone(), fs.clone());
            Box::new(move || list_of(&places, &fs, has_inbox))
        };
        let (location, separator) = (places.location(), places.separator());
        let list_index = ListIndex::of(location, separator, &settings, &fs, &logger, lister);
        let storage = Self { places, fs, settings, logger, attachments, has_inbox, store, list_index };
        storage.note_alt();
        Ok(storage)
    }

    fn location(&self) -> &Location {
        self.places.location()
    }

    fn check(&self, name: &str) -> Result<()> {
        self.places.check(name)
    }

    /// Remembers `ALT=` in a symbolic link, and warns when it is not what it was: messages may be
    /// there.
    fn note_alt(&self) {
        let root = &self.location().root;
        let link = root.join(ALT_LINK);
        let (old, new) = (std::fs::read_link(&link).ok(), self.location().alt.as_ref());
        if old.as_ref() == new || self.location().alt_unchecked {
            return;
        }
        if let Some(old) = old {
            let now = match new {
                Some(new) => format!("but currently ALT={}", new.display()),
                None => "but currently no ALT path set".to_owned(),
            };
            let (root, old) = (root.display(), old.display());
            self.logger.warning(format_args!("dbox {root}: Original ALT={old}, {now}"));
            let _ = self.fs.unlink(&link);
        }
        if let Some(new) = new {
            let made = match self.fs.symlink(new, &link) {
                Err(error) if is_missing(&error) => {
                    self.mkdir_all(root).and_then(|()| self.fs.symlink(new, &link).map_err(as_is(&link)))
                }
                result => result.map_err(as_is(&link)),
            };
            if let Err(error) = made {
                self.logger.error(base::chain(&error));
            }
        }
    }

    fn permissions(&self) -> Permissions {
        Permissions::of_dir(&self.location().root)
    }

    fn exists(&self, dir: &Path) -> Result<bool> {
        self.fs.stamp(dir).map(|stamp| stamp.is_some()).map_err(|error| Error::io("stat", dir, error))
    }

    fn mkdir_all(&self, dir: &Path) -> Result<()> {
        self.fs.mkdir_all(dir, &self.permissions()).map_err(|error| Error::io("mkdir", dir, error))
    }

    /// A directory of a mailbox, with the rights of its others.
    fn mkdir_for(&self, name: &str, dir: &Path) -> Result<()> {
        let permissions = self.places.permissions(name);
        self.fs.mkdir_all(dir, &permissions).map_err(|error| Error::io("mkdir", dir, error))
    }

    /// A node without mail.
    fn make_node(&self, name: &str) -> Result<()> {
        self.mkdir_for(name, &self.places.node(name))?;
        self.places.listed_node(name).map_or(Ok(()), |node| self.mkdir_for(name, &node))
    }

    fn at(&self, name: &str) -> At {
        let is_inbox = name == "INBOX" && self.has_inbox;
        At::named(name, self.places.encode(name), self.list_index.clone(), is_inbox)
    }

    fn make(&self, at: &At) -> Result<()> {
        let place = &at.place;
        self.make_node(place)?;
        self.mkdir_for(place, &self.places.dir(place))?;
        self.mkdir_for(place, &self.places.index(place))?;
        // UIDVALIDITY and the GUID are there from the beginning.
        match &self.store {
            Some(store) => made(&*self.shared_multi(store, at)?, at),
            None => made(&*self.shared_single(at)?, at),
        }
    }

    fn mailbox_place(&self, at: &At) -> Result<MailboxPlace> {
        let name = &at.place;
        let index_dir = self.places.index(name);
        if self.location().index.is_some() {
            self.mkdir_for(name, &index_dir)?;
        }
        let cache_dir = self.places.cache(name);
        if let Some(dir) = &cache_dir {
            self.mkdir_for(name, dir)?;
        }
        let size_lock = LockPlace::of_size(self.location(), &index_dir, &at.stored);
        Ok(MailboxPlace {
            context: Context {
                fs: self.fs.clone(),
                logger: self.logger.clone(),
                settings: self.settings.clone(),
                index_dir: Some(index_dir),
                cache_dir,
                list: at.list.clone(),
                guid: at.guid(),
                size_lock: Some(size_lock),
            },
            dir: self.places.dir(name),
            alt: self.places.alt_dir(name),
            alt_root: self.location().alt.clone(),
            control_root: self.places.control_root().to_path_buf(),
            permissions: Permissions::of_dir(&self.places.dir(name)),
            attachments: self.attachments.clone(),
            is_inbox: at.is_inbox,
        })
    }

    fn shared_single(&self, at: &At) -> Result<Arc<Shared<Sdbox>>> {
        Shared::get(Sdbox::new(self.mailbox_place(at)?))
    }

    fn shared_multi(&self, store: &Arc<Store>, at: &At) -> Result<Arc<Shared<Mdbox>>> {
        Shared::get(Mdbox::new(self.mailbox_place(at)?, store.clone(), at.stored.clone()))
    }

    fn handle(&self, at: &At, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        let name = &at.place;
        let access = rustix::fs::access(self.places.dir(name), rustix::fs::Access::WRITE_OK);
        let writable = access != Err(rustix::io::Errno::ACCESS) && access != Err(rustix::io::Errno::ROFS);
        let private = self.places.private_index(name);
        let copies_flags = self.location().is_public;
        let private = private.map(|dir| PrivatePlace { dir, copies_flags });
        match &self.store {
            Some(store) => {
                opened(Handle::new(at, self.shared_multi(store, at)?, mode, writable), mode, private)
            }
            None => opened(Handle::new(at, self.shared_single(at)?, mode, writable), mode, private),
        }
    }

    /// Removes a mailbox: gone at once for everybody by one rename, then the files at leisure.
    fn remove(&self, at: &At) -> Result<()> {
        let name = &at.place;
        if !self.exists(&self.places.dir(name))? {
            // Only its index is there, from which it is listed.
            self.mkdir_for(name, &self.places.dir(name))?;
        }
        if let Some(store) = &self.store {
            // The messages are elsewhere, and go with their last reference.
            let shared = self.shared_multi(store, at)?;
            shared.sync(SyncMode::Quick, false)?;
            shared.expunge(&shared.view().uids())?;
        } else if self.attachments.is_some() {
            let shared = self.shared_single(at)?;
            shared.sync(SyncMode::Quick, false)?;
            shared.expunge(&shared.view().uids())?;
        }
        let (dir, trash) = (self.places.dir(name), self.location().root.join(TRASH));
        remove::tree(&self.fs, &trash)?;
        self.fs.rename(&dir, &trash).map_err(|error| Error::io("rename", dir.clone(), error))?;
        remove::tree(&self.fs, &trash)?;
        let location = self.location();
        let stays = location.list_from_index && !location.no_noselect;
        let extra = [
            (Some(self.places.index(name)), Some(self.places.index_root()).filter(|_| !stays)),
            (Some(self.places.control(name)), Some(self.places.control_root())),
            (self.places.alt_dir(name), location.alt.as_deref()),
            (self.places.cache(name), location.index_cache.as_deref()),
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
        self.remove_nodes(name, self.location().no_noselect);
        Ok(())
    }

    /// Removes the directories that stand for a name, as far as they are empty, with `above` also those
    /// above them.
    fn remove_nodes(&self, name: &str, above: bool) {
        let location = self.location();
        let top = |root: &Path| root.join(&location.mailbox_dir);
        let nodes = [
            Some((self.places.node(name), top(&location.root))),
            self.places.alt_node(name).zip(location.alt.as_deref().map(top)),
            self.places.listed_node(name).map(|node| (node, top(self.places.index_root()))),
        ];
        remove::nodes(&self.fs, nodes.into_iter().flatten(), above);
    }

    /// Removes a node without mail.
    fn remove_node(&self, name: &str) -> Result<()> {
        // Of the two places of a node only one may be there.
        remove::node(&self.fs, &self.places.node(name), self.location().list_from_index)?;
        self.remove_nodes(name, self.location().no_noselect);
        Ok(())
    }

    /// Renames a directory; `false` if there is none.
    fn move_dir(&self, from: &Path, to: &Path) -> Result<bool> {
        if !self.exists(from)? {
            return Ok(false);
        }
        if let Some(parent) = to.parent() {
            self.mkdir_all(parent)?;
        }
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

    fn rename_between(&self, from: &str, other: &Self, to: &str) -> Result<()> {
        self.check(from)?;
        other.check(to)?;
        let is_same = std::ptr::eq(self, other);
        let _lock = other.lock_list()?;
        // As in 2.3 a new one is made when somebody opens it. Where it lies apart from the others, its place
        // is not ours to empty.
        if from == "INBOX" && self.location().inbox.is_some() {
            return Err(Error::Unsupported("Renaming INBOX isn't supported.".to_owned()));
        }
        if other.state(to)? == MailboxState::Selectable {
            return Err(Error::Exists(to.to_owned()));
        }
        if is_same && to.strip_prefix(from).is_some_and(|rest| rest.starts_with(self.separator())) {
            return Err(Error::Unsupported("Can't rename mailbox under itself.".to_owned()));
        }
        // What lies in the alternative place goes first: without it the mailbox would seem to have lost
        // messages.
        let alt = self.places.alt_node(from).zip(other.places.alt_node(to));
        if let Some((old, new)) = alt.filter(|(old, new)| old != new) {
            self.move_dir(&old, &new)?;
        }
        if !self.move_dir(&self.places.node(from), &other.places.node(to))? {
            return Err(Error::NotFound(from.to_owned()));
        }
        let location = self.location();
        let pair = |kind: &dyn Fn(&Places, &str) -> Option<PathBuf>| {
            kind(&self.places, from).zip(kind(&other.places, to))
        };
        // A node that is listed from the index stays, as the one that holds mail does.
        let index_root = Some(self.places.index_root());
        let index_root = index_root.filter(|_| !location.list_from_index || location.no_noselect);
        let extra = [
            (pair(&Places::listed_node), None),
            (pair(&|places, name| Some(places.index(name))), index_root),
            (pair(&|places, name| Some(places.control(name))), Some(self.places.control_root())),
            (pair(&Places::cache), location.index_cache.as_deref()),
        ];
        for (paths, root) in extra {
            let Some((old, new)) = paths else { continue };
            if self.exists(&old)? {
                self.move_dir(&old, &new)?;
            }
            if let (Some(root), Some(parent)) = (root, old.parent()) {
                remove::until_root(&self.fs, parent, root);
            }
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

    /// Keeps others from making, deleting and renaming mailboxes meanwhile.
    fn lock_list(&self) -> Result<LockFile> {
        let place = LockPlace::of_list(self.location(), self.places.index_root());
        LockFile::list(&place, &self.permissions(), &self.fs, &self.settings, &self.logger)
    }

    /// Tells the list of a mailbox that has come or gone.
    fn note_one(&self, name: &str) {
        if let Some(list_index) = &self.list_index {
            list_index.note_one(name, &|name| self.state(name));
        }
    }

    fn note_change(&self, names: &[&str]) {
        if let Some(list_index) = &self.list_index {
            list_index.note_change(names);
        }
    }

    fn subscriptions_file(&self) -> PathBuf {
        self.places.control_root().join(&self.location().subscriptions)
    }
}

impl Storage for DboxStorage {
    fn driver(&self) -> &'static str {
        if self.store.is_some() { "mdbox" } else { "sdbox" }
    }

    fn separator(&self) -> char {
        self.places.separator()
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        self.check(name)?;
        if !self.exists(&self.places.dir(name))? {
            match self.state(name)? {
                // Also where only its index is, from which it is listed.
                // INBOX is there always.
                MailboxState::Selectable => self.make(&self.at(name))?,
                MailboxState::NoSelect => return Err(Error::NotSelectable(name.to_owned())),
                MailboxState::Missing => return Err(Error::NotFound(name.to_owned())),
            }
        }
        self.handle(&self.at(name), mode)
    }

    fn state(&self, name: &str) -> Result<MailboxState> {
        self.check(name)?;
        let has_node = |node: Option<PathBuf>| node.map_or(Ok(false), |node| self.exists(&node));
        Ok(if name == "INBOX" && self.has_inbox || self.places.is_mailbox(&self.fs, name)? {
            MailboxState::Selectable
        } else if has_node(Some(self.places.node(name)))? || has_node(self.places.listed_node(name))? {
            MailboxState::NoSelect
        } else {
            MailboxState::Missing
        })
    }

    fn create(&self, name: &str, directory: bool) -> Result<()> {
        self.check(name)?;
        let _lock = self.lock_list()?;
        if self.exists(&self.places.dir(name))? {
            return Err(Error::Exists(name.to_owned()));
        }
        let directory = directory && !self.location().no_noselect;
        if directory && self.state(name)? != MailboxState::Missing {
            return Err(Error::Exists(name.to_owned()));
        }
        if directory { self.make_node(name) } else { self.make(&self.at(name)) }?;
        self.note_one(name);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.check(name)?;
        let _lock = self.lock_list()?;
        if name == "INBOX" && (self.has_inbox || self.location().inbox.is_some()) {
            return Err(Error::Unsupported("INBOX can't be deleted.".to_owned()));
        }
        match self.state(name)? {
            MailboxState::Missing => Err(Error::NotFound(name.to_owned())),
            MailboxState::Selectable => self.remove(&self.at(name)),
            MailboxState::NoSelect => self.remove_node(name),
        }?;
        self.note_one(name);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_between(from, self, to)
    }

    fn rename_to(&self, from: &str, other: &dyn Storage, to: &str) -> Result<()> {
        let other = place::same_kind(self, other)?;
        let (old, new) = (self.location(), other.location());
        if self.store.is_some() && old.root != new.root {
            // The messages are in files that all mailboxes of a root share.
            return Err(place::across());
        }
        let roots = [
            (old.root.as_path(), new.root.as_path()),
            (self.places.control_root(), other.places.control_root()),
            (self.places.index_root(), other.places.index_root()),
        ];
        let alt = old.alt.as_deref().zip(new.alt.as_deref());
        place::check_devices(&self.fs, roots.into_iter().chain(alt))?;
        self.rename_between(from, other, to)
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let Some(list_index) = &self.list_index else {
            return list_of(&self.places, &self.fs, self.has_inbox);
        };
        if let Some(listed) = list_index.list() {
            return Ok(listed);
        }
        let listed = list_of(&self.places, &self.fs, self.has_inbox)?;
        list_index.note_listing(&listed);
        Ok(listed)
    }

    fn status(&self, name: &str, items: StatusItems) -> Option<Status> {
        let list_index = self.list_index.as_ref()?;
        if items.has(StatusItems::UNSEEN) && self.location().index_private.is_some() {
            // The list does not know each user's own flags.
            return None;
        }
        self.check(name).ok()?;
        list_index.status(name, items, &Proof { index_dir: &self.places.index(name), store: None })
    }

    fn path(&self, name: &str, kind: PathKind) -> Option<PathBuf> {
        self.places.check(name).ok()?;
        self.path_at(name, kind)
    }

    fn mailbox_log(&self) -> Option<MailboxLog> {
        if matches!(self.places.location().index, Some(IndexPlace::Memory)) {
            return None;
        }
        let root = self.places.index_root();
        let path = root.join(mailbox_log::FILE_NAME);
        Some(MailboxLog::new(self.fs.clone(), path, Permissions::of_dir(root), self.logger.clone()))
    }

    fn volatile_dir(&self) -> Option<&Path> {
        self.location().volatile.as_deref()
    }

    fn subscriptions(&self) -> Result<Vec<String>> {
        let names = self.all_subscriptions(self.separator())?;
        let decode = |level: &[u8]| self.places.decode(level);
        Ok(subscriptions::decoded(&names, self.separator(), &decode))
    }

    fn set_subscribed(&self, name: &str, subscribed: bool) -> Result<bool> {
        self.places.check(name)?;
        let is_inbox = name.eq_ignore_ascii_case("INBOX");
        let name = if is_inbox { "INBOX".to_owned() } else { self.places.encode(name) };
        self.set_stored_subscription(&name, subscribed)
    }

    fn stored_name(&self, name: &str) -> String {
        self.places.encode(name)
    }

    fn name_of_stored(&self, stored: &str) -> Option<String> {
        self.places.decode(stored.as_bytes()).filter(|name| self.places.check(name).is_ok())
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

    fn purge(&self) -> Result<()> {
        self.store.as_ref().map_or(Ok(()), Store::purge)
    }

    fn lock_session(&self) -> Result<Option<SessionLock>> {
        let (dir, settings) = (self.places.index_root(), &self.settings);
        SessionLock::attempt(&self.fs, dir, settings.dotlock_use_excl, &settings.hostname, &self.logger)
    }
}

impl place::Located for DboxStorage {
    fn at_location(&self) -> &Location {
        self.places.location()
    }
}

impl Placed for DboxStorage {
    fn location(&self) -> &Location {
        self.places.location()
    }

    fn fs(&self) -> &Fs {
        &self.fs
    }

    fn open_at(&self, at: &At, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        if !self.exists(&self.places.dir(&at.place))? {
            // The list has it: what is missing is made, as in 2.3.
            self.make(at)?;
        }
        self.handle(at, mode)
    }

    fn make_at(&self, at: &At) -> Result<Option<UidValidity>> {
        self.make(at)?;
        Ok(Some(match &self.store {
            Some(store) => self.shared_multi(store, at)?.view().uid_validity(),
            None => self.shared_single(at)?.view().uid_validity(),
        }))
    }

    fn remove_at(&self, at: &At) -> Result<()> {
        self.remove(at)
    }

    fn move_at(&self, from: &str, to: &str) -> Result<()> {
        let alt = self.places.alt_node(from).zip(self.places.alt_node(to));
        let control = (self.places.control(from), self.places.control(to));
        let others = [
            (self.places.index(from), self.places.index(to)),
            control,
            (self.places.node(from), self.places.node(to)),
        ];
        let cache = self.places.cache(from).zip(self.places.cache(to));
        for (old, new) in alt.into_iter().chain(cache).chain(others) {
            self.move_dir(&old, &new)?;
        }
        Ok(())
    }

    fn places(&self) -> Result<Vec<Listed>> {
        self.places.list(&self.fs)
    }

    fn path_at(&self, place: &str, kind: PathKind) -> Option<PathBuf> {
        match kind {
            PathKind::Dir => Some(self.places.node(place)),
            PathKind::AltDir => self.places.alt_node(place),
            PathKind::Mailbox => Some(self.places.dir(place)),
            PathKind::AltMailbox => self.places.alt_dir(place),
            PathKind::Control => Some(self.places.control(place)),
            PathKind::Index => Some(self.places.index(place)),
            PathKind::IndexPrivate => self.places.private_index(place),
        }
    }

    fn store_proof(&self, _place: &str, check: CheckProof<'_>) {
        check(None);
    }

    fn name_places(&self, place_of: PlaceOf) {
        if let Some(store) = &self.store {
            // Whoever was first knows the same list.
            let _ = store.by_guid.set(place_of);
        }
    }
}

/// Writes what a new mailbox has from the beginning.
fn made<D: Driver>(shared: &Shared<D>, at: &At) -> Result<()> {
    shared.sync(SyncMode::Quick, false)?;
    at.by_guid.as_ref().map_or(Ok(()), |by_guid| shared.note_name(&by_guid.box_name))
}

/// The directory of attachments, if the settings have one.
fn attachments_of(
    settings: &MailSettings,
    fs: &Fs,
    logger: &Logger,
    is_multi: bool,
) -> Result<Option<Arc<attachment::Store>>> {
    let Some(settings) = settings.attachments.clone() else { return Ok(None) };
    let store = attachment::Store::new(fs.clone(), logger.clone(), settings)?;
    if store.is_queue() && !is_multi {
        let what = "mail_attachment_fs: Backend doesn't support renaming";
        return Err(Error::Unsupported(what.to_owned()));
    }
    Ok(Some(Arc::new(store)))
}

/// What the directories have.
fn list_of(places: &Places, fs: &Fs, has_inbox: bool) -> Result<Vec<Listed>> {
    let mut all = places.list(fs)?;
    let has_place = places.location().inbox.is_some() && places.is_mailbox(fs, "INBOX")?;
    if has_inbox || has_place {
        all.retain(|one| one.name != "INBOX");
        all.push(Listed { name: "INBOX".to_owned(), selectable: true, inferiors: true, marked: None });
    }
    Ok(all)
}

fn as_is(link: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| Error::io("symlink", link, error)
}

/// 2.3's DBOX_TRASH_DIR_NAME.
const TRASH: &str = "trash";
