//! The facade over a user's namespaces.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base::Logger;
use storage::api::PathKind;
use storage::mailbox_log::{self, Action, name_hash};
use storage::{Error, Mailbox, MailboxState, MailboxUpdate, OpenMode, Result, Status, StatusItems};

use crate::check;
use crate::input::{
    Auto, MailUserInput, MailboxSettings, NamespaceList, NamespaceSettings, NamespaceType, UserSettings,
};
use crate::list::{self, ListEntry, ListOptions};
use crate::namespace::Namespace;

/// A logged-in user's mailboxes. Share it behind an `Arc`; all methods may block on the disk.
pub struct MailUser {
    input: MailUserInput,
    namespaces: Vec<Namespace>,
}

impl MailUser {
    /// Sets up the namespaces. Creates nothing on disk; INBOX is created when it is first opened.
    ///
    /// # Errors
    /// A `mail_location` that cannot be understood or has a driver that is not there.
    pub fn open(input: MailUserInput) -> Result<Arc<Self>> {
        let mut blocks = input.settings.namespaces.clone();
        blocks.retain(|block| !block.disabled && !block.is_of_others());
        if blocks.is_empty() {
            blocks.push(NamespaceSettings {
                name: "inbox".to_owned(),
                inbox: true,
                ..NamespaceSettings::default()
            });
        }
        blocks.sort_by_key(|block| (block.alias_for.is_some(), block.order));
        let mut namespaces = Vec::with_capacity(blocks.len());
        for block in blocks {
            let (prefix, optional) = (block.prefix.clone(), block.ignore_on_failure);
            match Namespace::open(&input, block, &namespaces) {
                Ok(namespace) => namespaces.push(namespace),
                Err(error) if optional => {
                    input
                        .logger
                        .debug(format_args!("Ignoring namespace '{prefix}': {}", base::chain(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        check::namespaces(&namespaces)?;
        Ok(Arc::new(Self { input, namespaces }))
    }

    /// The user name.
    pub fn username(&self) -> &str {
        &self.input.username
    }

    /// The home directory, if there is one.
    pub fn home(&self) -> Option<&Path> {
        self.input.home.as_deref()
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &UserSettings {
        &self.input.settings
    }

    /// Where its log lines go.
    pub fn logger(&self) -> &Logger {
        &self.input.logger
    }

    /// All namespaces in the order of `order`, aliases last, hidden ones too.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// The namespace a name belongs to: that with the longest prefix that fits.
    pub fn namespace_of(&self, name: &str) -> Option<&Namespace> {
        if name.eq_ignore_ascii_case("INBOX")
            && let Some(inbox) = self.namespaces.iter().find(|ns| ns.settings().inbox)
        {
            return Some(inbox);
        }
        self.namespaces.iter().filter(|ns| ns.strip(name).is_some()).max_by_key(|ns| ns.prefix().len())
    }

    /// The root of what a reference of LIST names, which is a prefix where there is one, and the separator.
    /// Where no visible namespace has it, it is that of the first one that is listed: clients ask with an
    /// empty reference which separator there is.
    pub fn root_of(&self, reference: &str) -> (String, char) {
        let visible =
            self.namespaces.iter().filter(|ns| !ns.settings().hidden && ns.strip(reference).is_some());
        let found = visible.max_by_key(|ns| ns.prefix().len());
        if let Some(namespace) = found.filter(|ns| !ns.prefix().is_empty()) {
            return (namespace.prefix().to_owned(), namespace.separator());
        }
        let listed = || self.namespaces.iter().find(|ns| ns.settings().list == NamespaceList::Yes);
        let separator = found.or_else(listed).map_or('/', Namespace::separator);
        let end = reference.find(separator).map_or(0, |at| at + separator.len_utf8());
        (reference.get(..end).unwrap_or_default().to_owned(), separator)
    }

    /// Opens a mailbox; one that has `auto = create` or `subscribe` is created first if need be.
    pub fn open_mailbox(&self, name: &str, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        let (namespace, below) = self.resolve(name)?;
        match namespace.storage().open(&below, mode) {
            Err(Error::NotFound(_) | Error::NotSelectable(_)) if self.auto(namespace, name) != Auto::No => {
                self.create_automatic(namespace, name, &below)?;
                namespace.storage().open(&below, mode)
            }
            result => result,
        }
        .map_err(|error| named(error, name))
    }

    /// The counts of a mailbox, without opening it where they are known otherwise. One that has
    /// `auto = create` or `subscribe` is created first if need be.
    pub fn status(&self, name: &str, items: StatusItems) -> Result<Status> {
        let (namespace, below) = self.resolve(name)?;
        match namespace.storage().status(&below, items) {
            Some(status) => Ok(status),
            None => self.open_mailbox(name, OpenMode::ReadOnly)?.status(items),
        }
    }

    /// What there is under a name; `auto` mailboxes always exist.
    pub fn mailbox_state(&self, name: &str) -> Result<MailboxState> {
        let (namespace, below) = self.resolve(name)?;
        if below.is_empty() {
            let is_mailbox = matches!(namespace.storage().state(&below), Ok(MailboxState::Selectable));
            return Ok(if is_mailbox { MailboxState::Selectable } else { MailboxState::NoSelect });
        }
        if self.auto(namespace, name) != Auto::No {
            return Ok(MailboxState::Selectable);
        }
        namespace.storage().state(&below).map_err(|error| named(error, name))
    }

    /// LIST: `reference` and `patterns` as the client gave them, decoded to UTF-8. An empty pattern is
    /// the protocol's business (it asks for the separator only).
    pub fn list(&self, reference: &str, patterns: &[&str], options: &ListOptions) -> Result<Vec<ListEntry>> {
        list::run(self, reference, patterns, options)
    }

    /// CREATE. A name that ends in the separator makes a `\Noselect` node where the layout has one.
    pub fn create(&self, name: &str) -> Result<()> {
        let separator = self.namespace_of(name).map(Namespace::separator);
        let (bare, directory) = match separator.and_then(|separator| name.strip_suffix(separator)) {
            Some(bare) => (bare, true),
            None => (name, false),
        };
        check::new_name(bare)?;
        let (namespace, below) = self.resolve(bare)?;
        if (below == "INBOX" && namespace.has_inbox()) || below.is_empty() {
            return Err(Error::Exists(bare.to_owned()));
        }
        namespace.storage().create(&below, directory).map_err(|error| named(error, bare))
    }

    /// DELETE. INBOX is refused.
    pub fn delete(&self, name: &str) -> Result<()> {
        let (namespace, below) = self.resolve(name)?;
        if below.is_empty() {
            return Err(Error::BadRequest("Storage root can't be deleted".to_owned()));
        }
        // The log wants the GUID, which goes with the mailbox; without one there is no record.
        let guid = namespace.storage().guid_to_delete(&below);
        namespace.storage().delete(&below).map_err(|error| named(error, name))?;
        if let Ok(guid) = guid {
            self.note(namespace, Action::DeleteMailbox, guid);
        }
        self.note(namespace, Action::DeleteDir, name_hash(name));
        Ok(())
    }

    /// RENAME, with all children. INBOX is refused, as 2.3 does.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (old, from_below) = self.resolve(from)?;
        if from_below.is_empty() {
            return Err(Error::BadRequest("Can't rename mailbox root".to_owned()));
        }
        check::new_name(to)?;
        let (new, to_below) = self.resolve(to)?;
        let renamed = if Arc::ptr_eq(old.storage(), new.storage()) {
            if from_below == to_below {
                return Err(Error::Unsupported("Can't rename mailbox to itself.".to_owned()));
            }
            old.storage().rename(&from_below, &to_below)
        } else if old.kind() != NamespaceType::Private || new.kind() != NamespaceType::Private {
            // What others know is not taken from them by giving it another place.
            Err(Error::Unsupported("Renaming not supported across non-private namespaces.".to_owned()))
        } else {
            old.storage().rename_to(&from_below, &**new.storage(), &to_below)
        };
        renamed.map_err(|error| match error {
            Error::Exists(_) => Error::Exists(to.to_owned()),
            Error::InvalidName { why, .. } => Error::InvalidName { name: to.to_owned(), why },
            error => named(error, from),
        })?;
        self.note(old, Action::Rename, name_hash(to));
        // A node without mail has nothing to keep it in, and if it is not kept, mail goes earlier at most.
        if let Ok(mut mailbox) = new.storage().open(&to_below, OpenMode::Append) {
            let _ = mailbox.note_renamed(SystemTime::now());
        }
        Ok(())
    }

    /// SUBSCRIBE. The mailbox must exist, as in 2.3.
    pub fn subscribe(&self, name: &str) -> Result<()> {
        if self.mailbox_state(name)? == MailboxState::Missing {
            return Err(Error::NotFound(name.to_owned()));
        }
        self.set_subscribed(name, true).map(drop)
    }

    /// UNSUBSCRIBE.
    pub fn unsubscribe(&self, name: &str) -> Result<()> {
        self.set_subscribed(name, false).map(drop)
    }

    /// Adds or removes a subscription, whether or not there is such a mailbox; `false` if it was so
    /// already.
    pub fn set_subscribed(&self, name: &str, subscribed: bool) -> Result<bool> {
        let (namespace, _) = self.resolve(name)?;
        let keeper = self.subscription_namespace(namespace);
        let keeper = keeper.ok_or_else(|| Error::Unsupported("Subscriptions not supported".to_owned()))?;
        let changed = match keeper.prefix() == namespace.prefix() {
            true => keeper.storage().set_subscribed(&keeper.storage_name(name)?, subscribed),
            false => self.set_elsewhere(namespace, keeper, name, subscribed),
        };
        let changed = changed.map_err(|error| named(error, name))?;
        if changed {
            let action = if subscribed { Action::Subscribe } else { Action::Unsubscribe };
            self.note(keeper, action, name_hash(name));
        }
        Ok(changed)
    }

    /// The same where another namespace keeps the subscriptions.
    fn set_elsewhere(&self, owner: &Namespace, keeper: &Namespace, name: &str, set: bool) -> Result<bool> {
        let stored = owner.subscription_name(name)?;
        let storage = keeper.storage();
        let changed = storage.set_stored_subscription(keeper.without_prefix(&stored), set)?;
        if set {
            return Ok(changed);
        }
        // Also what looks like a name of the keeper's own, as other programs may have written it.
        let is_like_own = |below: &String| keeper.user_name(below).as_deref() == Some(name);
        match storage.subscriptions()?.into_iter().find(is_like_own) {
            Some(below) => Ok(storage.set_subscribed(&below, false)? || changed),
            None => Ok(changed),
        }
    }

    /// The subscribed names of a namespace, as users know them.
    pub(crate) fn subscribed_names(&self, namespace: &Namespace) -> Result<Vec<String>> {
        let Some(keeper) = self.subscription_namespace(namespace) else { return Ok(Vec::new()) };
        let is_own = |name: &String| {
            let owner = || self.namespace_of(name).map(Namespace::prefix);
            self.namespaces.len() == 1 || owner() == Some(namespace.prefix())
        };
        let listed = keeper.storage().subscriptions()?;
        let mut names: Vec<String> = listed.iter().filter_map(|name| keeper.user_name(name)).collect();
        names.retain(|name| is_own(name) && !name.ends_with(namespace.separator()));
        if keeper.prefix() == namespace.prefix() {
            return Ok(names);
        }
        // Who has written the line has put tabs where his separator was: the keeper's, as 2.3 does, or the
        // namespace's.
        let separators = [namespace.storage().separator(), keeper.storage().separator()];
        let lines = separators.map(|separator| keeper.storage().all_subscriptions(separator));
        for line in lines.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten() {
            let full = format!("{}{line}", keeper.prefix());
            names.extend(namespace.subscribed_name(&full).filter(is_own));
        }
        Ok(names)
    }

    /// Writes down for replicas what was done. That it cannot be written is no reason to fail.
    fn note(&self, namespace: &Namespace, action: Action, guid: base::Guid) {
        let Some(mut log) = namespace.storage().mailbox_log() else { return };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        if let Err(error) = log.append(&mailbox_log::Record { action, guid, time }, time) {
            self.logger().error(base::chain(&error));
        }
    }

    /// DELETE, but only if there are no messages in it; `false` if there are some.
    pub fn delete_empty(&self, name: &str) -> Result<bool> {
        // Who only looks leaves `\Recent` to others.
        let mut mailbox = self.open_mailbox(name, OpenMode::Append)?;
        if !mailbox.sync(storage::SyncMode::Full)?.is_empty() {
            return Ok(false);
        }
        drop(mailbox);
        self.delete(name).map(|()| true)
    }

    /// The `mailbox {}` block of a name, if the configuration has one.
    pub fn mailbox_settings(&self, name: &str) -> Option<&MailboxSettings> {
        let namespace = self.namespace_of(name)?;
        let name = if name.eq_ignore_ascii_case("INBOX") { "INBOX" } else { name };
        namespace.configured().find(|(known, _)| known == name).map(|(_, mailbox)| mailbox)
    }

    /// Whether any mailbox has a special use, so that SPECIAL-USE is a capability.
    pub fn has_special_use(&self) -> bool {
        self.namespaces.iter().any(|ns| ns.configured().any(|(_, mailbox)| !mailbox.special_use.is_empty()))
    }

    /// Changes the identity of a mailbox. Where its place depends on its GUID, mailboxes that are open do
    /// not follow.
    pub fn update_mailbox(&self, name: &str, update: &MailboxUpdate) -> Result<()> {
        let (namespace, below) = self.resolve(name)?;
        match namespace.storage().update(&below, update) {
            Err(Error::NotFound(_)) if self.auto(namespace, name) != Auto::No => {
                self.create_automatic(namespace, name, &below)?;
                namespace.storage().update(&below, update)
            }
            result => result,
        }
        .map_err(|error| named(error, name))
    }

    /// Looks for mailboxes whose names are lost, in the formats where that is possible.
    pub fn rebuild_lists(&self) -> Result<()> {
        self.namespaces.iter().try_for_each(|namespace| namespace.storage().rebuild_list())
    }

    /// Where something of a mailbox lies.
    pub fn path(&self, name: &str, kind: PathKind) -> Option<PathBuf> {
        let (namespace, below) = self.resolve(name).ok()?;
        namespace.storage().path(&below, kind)
    }

    /// `pop3_lock_session`: keeps other POP3 sessions of this user out; `None` if there is one.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn lock_session(&self) -> Result<Option<storage::SessionLock>> {
        let inbox = self.namespaces.iter().find(|ns| ns.settings().inbox);
        let inbox = inbox.ok_or_else(|| Error::NotFound("INBOX".to_owned()))?;
        inbox.storage().lock_session()
    }

    /// The namespace whose subscriptions file has the entries of `namespace`.
    pub(crate) fn subscription_namespace<'a>(&'a self, namespace: &'a Namespace) -> Option<&'a Namespace> {
        if namespace.settings().subscriptions {
            return Some(namespace);
        }
        let parents = self.namespaces.iter().filter(|ns| ns.settings().subscriptions);
        parents.filter(|ns| namespace.prefix().starts_with(ns.prefix())).max_by_key(|ns| ns.prefix().len())
    }

    fn create_automatic(&self, namespace: &Namespace, name: &str, below: &str) -> Result<()> {
        match namespace.storage().create(below, false) {
            Err(Error::Exists(_)) => return Ok(()),
            result => result?,
        }
        if self.auto(namespace, name) == Auto::Subscribe
            && let Err(error) = self.set_subscribed(name, true)
        {
            let error = base::chain(&error);
            self.logger().error(format_args!("Failed to autosubscribe to mailbox {name}: {error}"));
        }
        Ok(())
    }

    fn auto(&self, namespace: &Namespace, name: &str) -> Auto {
        namespace.automatic().find(|(known, _)| known == name).map_or(Auto::No, |(_, auto)| auto)
    }

    /// The namespace and its storage's name for `name`.
    pub(crate) fn resolve(&self, name: &str) -> Result<(&Namespace, String)> {
        let namespace = self.namespace_of(name);
        let namespace = namespace.ok_or_else(|| {
            Error::BadRequest(format!("Client tried to access nonexistent namespace. (Mailbox name should probably be prefixed with: {})", self.inbox_prefix()))
        })?;
        Ok((namespace, namespace.storage_name(name)?))
    }

    fn inbox_prefix(&self) -> &str {
        self.namespaces.iter().find(|ns| ns.settings().inbox).map_or("", Namespace::prefix)
    }
}

/// The error with the name that the user knows.
fn named(error: Error, name: &str) -> Error {
    match error {
        Error::NotFound(_) => Error::NotFound(name.to_owned()),
        Error::NotSelectable(_) => Error::NotSelectable(name.to_owned()),
        Error::Exists(_) => Error::Exists(name.to_owned()),
        Error::InvalidName { why, .. } => Error::InvalidName { name: name.to_owned(), why },
        error => error,
    }
}
