//! `LAYOUT=index`: a storage whose mailboxes lie in directories named by their GUIDs, and whose names only
//! the list index knows. The driver below is asked for places, never for names.
//!
//! A list that is lost or damaged is made anew from the directories; each mailbox's index has its name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{Guid, Logger};
use index::mailbox_log::MailboxLog;
use index::{Index, Place};

use crate::api::{
    Listed, Mailbox, MailboxState, MailboxUpdate, OpenMode, PathKind, Status, StatusItems, Storage,
};
use crate::dbox::DboxStorage;
use crate::dbox::names::new_guid;
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions};
use crate::indexed::BOX_NAME;
use crate::list_index::{ESCAPE, Entry, ListIndex, New, Proof};
use crate::location::{IndexPlace, Layout, Location, Names};
use crate::lock_file::{LockFile, LockPlace};
use crate::maildir::MaildirStorage;
use crate::place::{At, ByGuid, Placed};
use crate::session_lock::SessionLock;
use crate::settings::MailSettings;
use crate::subscriptions;

/// See the module.
pub struct GuidStorage {
    inner: Box<dyn Placed>,
    known: Arc<Known>,
    settings: Arc<MailSettings>,
    logger: Logger,
    has_inbox: bool,
    /// All directories have been looked at because there was no INBOX.
    has_looked: AtomicBool,
}

/// The names, and how they stand on disk.
struct Known {
    list: Arc<ListIndex>,
    names: Names,
    separator: char,
    /// A level that is never written as it is.
    reserved: &'static str,
}

impl GuidStorage {
    /// A storage at `location`, which has `LAYOUT=index`. `has_inbox` says that the user's INBOX is there.
    ///
    /// # Errors
    /// A driver, or settings, that this layout cannot have.
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
    /// A driver, or settings, that this layout cannot have.
    pub fn with_fs(
        location: Location,
        settings: Arc<MailSettings>,
        has_inbox: bool,
        logger: Logger,
        fs: Fs,
    ) -> Result<Self> {
        let unsupported = |what: String| Err(Error::Unsupported(what));
        if location.index == Some(IndexPlace::Memory) {
            return unsupported("LAYOUT=index isn't possible with INDEX=MEMORY".to_owned());
        }
        let (separator, names) = (separator_of(&location), location.names);
        let fs = fs.on_nfs(settings.nfs());
        // What is listed are the directories, by whoever wants to mend the list.
        let lister = Box::new(|| Ok(Vec::new()));
        let list = ListIndex::of(&location, separator, &settings, &fs, &logger, lister);
        let Some(list) = list else {
            return unsupported("LAYOUT=index requires mailbox_list_index=yes".to_owned());
        };
        let is_dbox = matches!(location.driver.as_str(), "sdbox" | "mdbox" | "dbox");
        let reserved = if is_dbox { "dbox-Mails" } else { "" };
        let known = Arc::new(Known { list, names, separator, reserved });
        let unlisted = Arc::new(MailSettings { mailbox_list_index: false, ..MailSettings::clone(&settings) });
        let inner: Box<dyn Placed> = match location.driver.as_str() {
            "maildir" => Box::new(MaildirStorage::with_fs(location, unlisted, false, logger.clone(), fs)),
            _ if is_dbox => Box::new(DboxStorage::with_fs(location, unlisted, false, logger.clone(), fs)?),
            driver => return unsupported(format!("{driver}: LAYOUT=index isn't supported by this driver")),
        };
        let places = known.clone();
        inner.name_places(Box::new(move |stored| places.place_of(stored)));
        let has_looked = AtomicBool::new(false);
        Ok(Self { inner, known, settings, logger, has_inbox, has_looked })
    }

    fn location(&self) -> &Location {
        self.inner.location()
    }

    fn index_root(&self) -> PathBuf {
        match &self.location().index {
            Some(IndexPlace::Dir(index)) => index.clone(),
            _ => self.location().root.clone(),
        }
    }

    fn control_root(&self) -> PathBuf {
        self.location().control.clone().unwrap_or_else(|| self.location().root.clone())
    }

    fn check(&self, name: &str) -> Result<()> {
        self.known.check(name)
    }

    fn is_inbox(&self, name: &str) -> bool {
        name == "INBOX" && self.has_inbox
    }

    fn at(&self, name: &str, guid: Guid) -> At {
        let (place, stored) = (guid.to_string(), self.known.stored(name));
        let box_name = stored.replace(self.known.separator, "\0").into_bytes();
        At {
            list: Some((self.known.list.clone(), place.clone())),
            is_inbox: name == "INBOX" && self.has_inbox,
            by_guid: Some(ByGuid { box_name, may_move: false }),
            name: name.to_owned(),
            place,
            stored,
        }
    }

    /// What the list has of a name, once it is known to be whole.
    fn entry(&self, name: &str) -> Result<Entry> {
        let found = self.known.list.entry(name)?;
        if !self.is_lacking()? {
            return Ok(found);
        }
        self.look_at_directories()?;
        self.known.list.entry(name)
    }

    /// Whether the list, as it was read last, is damaged or, when this is asked first, has no INBOX: it may
    /// have been lost.
    fn is_lacking(&self) -> Result<bool> {
        if self.known.list.wants_rebuild() {
            self.logger.warning("Mailbox list index marked corrupted - rescanning");
            return Ok(true);
        }
        if !self.has_inbox || self.has_looked.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if matches!(self.known.list.entry("INBOX")?, Entry::Mailbox(_)) {
            self.has_looked.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        Ok(true)
    }

    fn look_at_directories(&self) -> Result<()> {
        let _lock = self.lock_list()?;
        self.rebuild_locked()
    }

    /// Enters mailboxes that are on disk but not in the list.
    fn rebuild_locked(&self) -> Result<()> {
        self.has_looked.store(true, Ordering::Relaxed);
        let places: Vec<Guid> =
            self.inner.places()?.iter().filter_map(|place| place.name.parse().ok()).collect();
        if places.is_empty() && !self.known.list.wants_rebuild() {
            return Ok(());
        }
        self.remove_duplicates()?;
        let known: HashMap<Guid, String> = self.listed()?.collect();
        let mut found = 0;
        for guid in places.into_iter().filter(|guid| !known.contains_key(guid)) {
            self.enter_lost(guid)?;
            found += 1;
        }
        if found > 0 {
            self.logger.warning(format_args!("Mailbox list rescan found {found} lost mailboxes"));
        }
        self.known.list.rebuilt()
    }

    fn listed(&self) -> Result<impl Iterator<Item = (Guid, String)>> {
        let entries = self.known.list.entries()?.into_iter();
        Ok(entries.filter_map(|(listed, guid)| Some((guid?, listed.name))))
    }

    /// Of two names for one mailbox the one goes that was made up.
    fn remove_duplicates(&self) -> Result<()> {
        let mut names: HashMap<Guid, String> = HashMap::new();
        for (guid, name) in self.listed()? {
            let Some(other) = names.remove(&guid) else {
                names.insert(guid, name);
                continue;
            };
            let (gone, kept) = if name.starts_with(LOST) { (name, other) } else { (other, name) };
            self.known.list.take_out(&gone, false, false)?;
            self.logger.warning(format_args!(
                "List rebuild: Duplicated mailbox GUID {guid} found - deleting mailbox entry {gone} (and keeping {kept})"
            ));
            names.insert(guid, kept);
        }
        Ok(())
    }

    /// Enters a mailbox under the name that its index has; with another word behind it if that is taken.
    fn enter_lost(&self, guid: Guid) -> Result<()> {
        let lost = format!("{LOST}{guid}");
        let name = self.name_in_index(guid).filter(|name| self.known.check(name).is_ok());
        let is_made_up = name.is_none();
        let uid_validity = None;
        let new = New::Mailbox { guid, uid_validity, is_made_up };
        let first = name.clone().unwrap_or_else(|| lost.clone());
        if self.known.list.enter(&first, new)? {
            return Ok(());
        }
        let second = match &name {
            Some(name) => format!("{name}-{lost}"),
            None => format!("{lost}-{}", new_guid()),
        };
        match self.known.list.enter(&second, new)? {
            true => Ok(()),
            false => Err(Error::Exists(second)),
        }
    }

    /// The name that a mailbox's index has.
    fn name_in_index(&self, guid: Guid) -> Option<String> {
        let dir = self.inner.path_at(&guid.to_string(), PathKind::Index)?;
        let place = Place { never_in_memory: true, ..Place::new(Some(dir), "dovecot.index") };
        let (settings, fs) = (self.settings.index_settings(), self.inner.fs().clone());
        let index = Index::open(place, settings, fs, self.logger.clone()).ok()?;
        let header = index.ext_header(BOX_NAME)?;
        let end = header.iter().rposition(|&byte| byte != 0)? + 1;
        let name = std::str::from_utf8(header.get(..end)?).ok()?;
        self.known.name(name, '\0')
    }

    /// Keeps others from making, deleting and renaming mailboxes meanwhile.
    fn lock_list(&self) -> Result<LockFile> {
        let place = LockPlace::of_list(self.location(), &self.index_root());
        let permissions = Permissions::of_dir(&self.location().root);
        LockFile::list(&place, &permissions, self.inner.fs(), &self.settings, &self.logger)
    }

    fn make(&self, name: &str) -> Result<()> {
        let guid = new_guid();
        let at = self.at(name, guid);
        let uid_validity = self.inner.make_at(&at)?;
        if self.known.list.enter(name, New::Mailbox { guid, uid_validity, is_made_up: false })? {
            return Ok(());
        }
        self.inner.remove_at(&at)?;
        Err(Error::Exists(name.to_owned()))
    }
}

impl Known {
    /// Refuses what can never be a mailbox. There are no files that names could be in the way of.
    fn check(&self, name: &str) -> Result<()> {
        let invalid = |why: &str| Err(Error::InvalidName { name: name.to_owned(), why: why.to_owned() });
        let separator = self.separator;
        if name.is_empty() {
            return invalid("Name is empty");
        }
        if name.chars().any(char::is_control) {
            return invalid("Contains control characters");
        }
        if name.starts_with(separator) {
            return invalid("Begins with hierarchy separator");
        }
        if name.ends_with(separator) {
            return invalid("Ends with hierarchy separator");
        }
        if name.contains(&format!("{separator}{separator}")) {
            return invalid("Has adjacent hierarchy separators");
        }
        let depth = name.split(separator).count();
        if name.len() > NAME_BYTES_MAX || depth > crate::limits::LIST_DEPTH_MAX {
            return invalid("Mailbox name too long");
        }
        Ok(())
    }

    /// A name as it stands in files.
    fn stored(&self, name: &str) -> String {
        let levels: Vec<String> = name.split(self.separator).map(|level| self.stored_level(level)).collect();
        levels.join(&self.separator.to_string())
    }

    /// 2.3's mailbox_list_escape_name_params.
    fn stored_level(&self, level: &str) -> String {
        let raw = self.names.encode(level);
        let is_reserved =
            matches!(raw.as_str(), "." | "..") || !self.reserved.is_empty() && raw == self.reserved;
        let mut stored = String::with_capacity(raw.len());
        for (at, c) in raw.char_indices() {
            let is_first = at == 0 && (c == '~' || is_reserved);
            if is_first || c == ESCAPE || c == '/' || c == self.separator {
                stored.push_str(&format!("{ESCAPE}{:02x}", u32::from(c)));
            } else {
                stored.push(c);
            }
        }
        stored
    }

    /// The name of what stands in a file with other separators; `None` if it cannot be shown.
    fn name(&self, stored: &str, separator: char) -> Option<String> {
        let levels = stored.split(separator).map(|level| self.names.decode(&unescape(level)));
        Some(levels.collect::<Option<Vec<String>>>()?.join(&self.separator.to_string()))
    }

    /// The place of a mailbox by the name that messages have; INBOX's, if they have none that can be used.
    /// A mailbox that is not there is entered.
    fn place_of(&self, stored: Option<&str>) -> Result<String> {
        let name = stored.and_then(|stored| self.name(stored, self.separator));
        let name = name.filter(|name| self.check(name).is_ok()).unwrap_or_else(|| "INBOX".to_owned());
        loop {
            if let Entry::Mailbox(guid) = self.list.entry(&name)? {
                return Ok(guid.to_string());
            }
            let guid = new_guid();
            if self.list.enter(&name, New::Mailbox { guid, uid_validity: None, is_made_up: false })? {
                return Ok(guid.to_string());
            }
        }
    }
}

impl Storage for GuidStorage {
    fn driver(&self) -> &'static str {
        self.inner.driver()
    }

    fn separator(&self) -> char {
        self.known.separator
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        self.check(name)?;
        let mut found = self.entry(name)?;
        if self.is_inbox(name) && !matches!(found, Entry::Mailbox(_)) {
            // It is there always.
            match self.create(name, false) {
                Err(Error::Exists(_)) => {}
                made => made?,
            }
            found = self.entry(name)?;
        }
        match found {
            Entry::Mailbox(guid) => self.inner.open_at(&self.at(name, guid), mode),
            Entry::NoSelect => Err(Error::NotSelectable(name.to_owned())),
            Entry::Missing => Err(Error::NotFound(name.to_owned())),
        }
    }

    fn state(&self, name: &str) -> Result<MailboxState> {
        self.check(name)?;
        if self.is_inbox(name) {
            return Ok(MailboxState::Selectable);
        }
        Ok(match self.entry(name)? {
            Entry::Mailbox(_) => MailboxState::Selectable,
            Entry::NoSelect => MailboxState::NoSelect,
            Entry::Missing => MailboxState::Missing,
        })
    }

    fn create(&self, name: &str, directory: bool) -> Result<()> {
        self.check(name)?;
        let _lock = self.lock_list()?;
        let exists = || Err(Error::Exists(name.to_owned()));
        match self.known.list.entry(name)? {
            Entry::Mailbox(_) => exists(),
            _ if directory => match self.known.list.enter(name, New::NoSelect)? {
                true => Ok(()),
                false => exists(),
            },
            _ => self.make(name),
        }
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.check(name)?;
        if self.is_inbox(name) {
            return Err(Error::Unsupported("INBOX can't be deleted.".to_owned()));
        }
        let found = self.entry(name)?;
        let _lock = self.lock_list()?;
        let no_noselect = self.location().no_noselect;
        match found {
            Entry::Missing => Err(Error::NotFound(name.to_owned())),
            Entry::NoSelect => self.known.list.take_out(name, true, no_noselect),
            Entry::Mailbox(guid) => {
                self.inner.remove_at(&self.at(name, guid))?;
                self.known.list.take_out(name, false, no_noselect)
            }
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        // As in 2.3 a new INBOX is made when somebody opens it.
        self.entry(from)?;
        let _lock = self.lock_list()?;
        if self.is_inbox(to) {
            return Err(Error::Exists(to.to_owned()));
        }
        if to.strip_prefix(from).is_some_and(|rest| rest.starts_with(self.separator())) {
            return Err(Error::Unsupported("Can't rename mailbox under itself.".to_owned()));
        }
        self.known.list.move_entry(from, to, self.location().no_noselect)
    }

    fn rename_to(&self, _from: &str, _other: &dyn Storage, _to: &str) -> Result<()> {
        Err(Error::Unsupported("Renaming not supported across namespaces.".to_owned()))
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let mut entries = self.known.list.entries()?;
        if self.is_lacking()? {
            self.look_at_directories()?;
            entries = self.known.list.entries()?;
        }
        let mut all: Vec<Listed> = entries.into_iter().map(|(listed, _)| listed).collect();
        if self.has_inbox {
            all.retain(|one| one.name != "INBOX");
            all.push(Listed { name: "INBOX".to_owned(), selectable: true, inferiors: true, marked: None });
        }
        Ok(all)
    }

    fn status(&self, name: &str, items: StatusItems) -> Option<Status> {
        self.check(name).ok()?;
        if items.has(StatusItems::UNSEEN) && self.location().index_private.is_some() {
            // The list does not know each user's own flags.
            return None;
        }
        let Entry::Mailbox(guid) = self.known.list.entry(name).ok()? else { return None };
        let place = guid.to_string();
        let index_dir = self.inner.path_at(&place, PathKind::Index)?;
        let mut status = None;
        self.inner.store_proof(&place, &mut |store| {
            status = self.known.list.status(name, items, &Proof { index_dir: &index_dir, store });
        });
        status
    }

    fn path(&self, name: &str, kind: PathKind) -> Option<PathBuf> {
        self.check(name).ok()?;
        match self.entry(name).ok()? {
            Entry::Mailbox(guid) => self.inner.path_at(&guid.to_string(), kind),
            _ => None,
        }
    }

    fn update(&self, name: &str, update: &MailboxUpdate) -> Result<()> {
        self.check(name)?;
        // INBOX may have to be made.
        let mut mailbox = self.open(name, OpenMode::ReadWrite)?;
        let old = mailbox.guid()?;
        let Some(new) = update.guid.filter(|new| *new != old) else { return mailbox.update(update) };
        drop(mailbox);
        let _lock = self.lock_list()?;
        let mut at = self.at(name, old);
        at.by_guid.iter_mut().for_each(|by_guid| by_guid.may_move = true);
        let mut mailbox = self.inner.open_at(&at, OpenMode::ReadWrite)?;
        mailbox.update(update)?;
        let uid_validity = mailbox.view().uid_validity();
        drop(mailbox);
        self.inner.move_at(&old.to_string(), &new.to_string())?;
        self.known.list.set_guid(name, new, uid_validity)
    }

    fn rebuild_list(&self) -> Result<()> {
        self.look_at_directories()
    }

    fn mailbox_log(&self) -> Option<MailboxLog> {
        self.inner.mailbox_log()
    }

    fn volatile_dir(&self) -> Option<&Path> {
        self.location().volatile.as_deref()
    }

    fn subscriptions(&self) -> Result<Vec<String>> {
        let names = self.all_subscriptions(self.separator())?;
        Ok(names.into_iter().filter_map(|name| self.known.name(&name, self.separator())).collect())
    }

    fn set_subscribed(&self, name: &str, subscribed: bool) -> Result<bool> {
        self.known.check(name)?;
        let is_inbox = name.eq_ignore_ascii_case("INBOX");
        let name = if is_inbox { "INBOX".to_owned() } else { self.known.stored(name) };
        self.set_stored_subscription(&name, subscribed)
    }

    fn stored_name(&self, name: &str) -> String {
        self.known.stored(name)
    }

    fn name_of_stored(&self, stored: &str) -> Option<String> {
        self.known.name(stored, self.separator()).filter(|name| self.known.check(name).is_ok())
    }

    fn all_subscriptions(&self, separator: char) -> Result<Vec<String>> {
        subscriptions::read(&self.control_root().join(&self.location().subscriptions), separator)
    }

    fn set_stored_subscription(&self, stored: &str, subscribed: bool) -> Result<bool> {
        let path = self.control_root().join(&self.location().subscriptions);
        let (separator, settings, fs) = (self.separator(), &self.settings, self.inner.fs());
        let changed =
            subscriptions::change(fs, &path, separator, stored, subscribed, settings, &self.logger)?;
        if changed {
            self.known.list.note_subscriptions();
        }
        Ok(changed)
    }

    fn purge(&self) -> Result<()> {
        self.inner.purge()
    }

    fn lock_session(&self) -> Result<Option<SessionLock>> {
        self.inner.lock_session()
    }
}

/// The namespace's separator, which names are kept with.
fn separator_of(location: &Location) -> char {
    debug_assert_eq!(location.layout, Layout::Index);
    // 2.3's MAILBOX_LIST_INDEX_HIERARCHY_SEP.
    location.names.separator.filter(|&separator| separator != ESCAPE).unwrap_or('~')
}

/// Makes characters of `^` and two hexadecimal digits.
fn unescape(level: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(level.len());
    let mut rest = level;
    while let Some((before, after)) = rest.split_once(ESCAPE) {
        bytes.extend_from_slice(before.as_bytes());
        let is_digit = |byte: u8| byte.is_ascii_hexdigit();
        let digits = after.get(..2).filter(|digits| digits.bytes().all(is_digit));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.push(ESCAPE as u8),
        }
        rest = if digits.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// 2.3's MAIL_STORAGE_LOST_MAILBOX_PREFIX.
const LOST: &str = "recovered-lost-folder-";
/// 2.3's MAILBOX_LIST_NAME_MAX_LENGTH.
const NAME_BYTES_MAX: usize = 4096;
