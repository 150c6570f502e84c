//! A namespace: a prefix and separator over a storage (RFC 2342), and the translation between the
//! names that users see and those of the storage.

use std::path::PathBuf;
use std::sync::Arc;

use storage::location::Owner;
use storage::{DboxStorage, Error, GuidStorage, MailSettings, MaildirStorage, MboxStorage, Result, Storage};

use crate::input::{Auto, MailUserInput, MailboxSettings, NamespaceSettings, NamespaceType};

/// One namespace of a user.
#[derive(Clone)]
pub struct Namespace {
    settings: Arc<NamespaceSettings>,
    separator: char,
    storage: Arc<dyn Storage>,
    /// Another name for the namespace that has INBOX.
    is_inbox_alias: bool,
    /// What `~` is, where names may be paths (`mail_full_filesystem_access`).
    paths_from: Option<PathBuf>,
}

/// What is wrong with the namespaces of a configuration, in 2.3's words.
pub(crate) fn invalid(why: std::fmt::Arguments<'_>) -> Error {
    Error::Unsupported(format!("namespace configuration error: {why}"))
}

/// An error with the namespace that it is about.
fn of(prefix: &str, error: Error) -> Error {
    match error {
        Error::Unsupported(why) => Error::Unsupported(format!("Namespace '{prefix}': {why}")),
        error => error,
    }
}

impl Namespace {
    /// Opens the storage of `settings`, or shares that of the namespace it is an alias for.
    pub(crate) fn open(input: &MailUserInput, settings: NamespaceSettings, others: &[Self]) -> Result<Self> {
        let (storage, is_inbox_alias) = match &settings.alias_for {
            Some(prefix) => {
                let target = others
                    .iter()
                    .find(|other| other.prefix() == prefix)
                    .ok_or_else(|| invalid(format_args!("Invalid namespace alias_for: {prefix}")))?;
                (target.storage.clone(), target.settings.inbox)
            }
            None => (open_storage(input, &settings)?, false),
        };
        let separator = settings.separator.chars().next().unwrap_or_else(|| storage.separator());
        let may_be_path = input.settings.mail.mail_full_filesystem_access
            && settings.prefix.is_empty()
            && (separator, storage.separator()) == ('/', '/');
        let paths_from = may_be_path.then(|| input.home.clone().unwrap_or_default());
        Ok(Self { settings: Arc::new(settings), separator, storage, is_inbox_alias, paths_from })
    }

    /// The block it comes from.
    pub fn settings(&self) -> &NamespaceSettings {
        &self.settings
    }

    /// Its prefix with the separator at the end, or empty.
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// Whether the user's INBOX is below it.
    pub(crate) fn has_inbox(&self) -> bool {
        self.settings.inbox || self.is_inbox_alias
    }

    /// Its separator.
    pub fn separator(&self) -> char {
        self.separator
    }

    /// Its type.
    pub fn kind(&self) -> NamespaceType {
        self.settings.kind
    }

    /// What is below it.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The part of `name` behind the prefix, if the name belongs here. The prefix alone, without its
    /// separator, is the empty name.
    pub(crate) fn strip<'a>(&self, name: &'a str) -> Option<&'a str> {
        let prefix = self.prefix();
        if let Some(start) = name.get(..prefix.len())
            && matches(start, prefix, self.separator)
        {
            return name.get(prefix.len()..);
        }
        let bare = prefix.strip_suffix(self.separator)?;
        (name.len() == bare.len() && matches(name, bare, self.separator)).then_some("")
    }

    /// The storage's name for a user's name that belongs here.
    pub(crate) fn storage_name(&self, name: &str) -> Result<String> {
        if self.settings.inbox && name.eq_ignore_ascii_case("INBOX") {
            return Ok("INBOX".to_owned());
        }
        let invalid = |why: &str| Error::InvalidName { name: name.to_owned(), why: why.to_owned() };
        let rest = self.strip(name).ok_or_else(|| invalid("Missing namespace prefix"))?;
        let (own, below) = (self.separator, self.storage.separator());
        if self.is_inbox_alias && rest.eq_ignore_ascii_case("INBOX") {
            return Ok("INBOX".to_owned());
        }
        if own != below && rest.contains(below) {
            return Err(Error::BadRequest(format!("Character not allowed in mailbox name: '{below}'")));
        }
        if let Some(home) = &self.paths_from {
            match rest.strip_prefix("~/") {
                Some(below) => return Ok(home.join(below).display().to_string()),
                None if rest.starts_with('/') => return Ok(rest.to_owned()),
                None => {}
            }
        }
        if rest.starts_with(own) {
            return Err(invalid("Begins with hierarchy separator"));
        }
        if rest.ends_with(own) {
            return Err(invalid("Ends with hierarchy separator"));
        }
        if rest.split(own).skip(1).any(str::is_empty) {
            return Err(invalid("Has adjacent hierarchy separators"));
        }
        let rest = if own == below { rest.to_owned() } else { rest.replace(own, &below.to_string()) };
        Ok(self.inbox_in_capitals(rest, below))
    }

    /// INBOX is one name in any case, also as the parent of others (RFC 3501 §5.1).
    fn inbox_in_capitals(&self, mut name: String, separator: char) -> String {
        let is_child = self.settings.inbox
            && self.prefix().is_empty()
            && name.get(5..).is_some_and(|rest| rest.starts_with(separator));
        if is_child
            && let Some(head) = name.get_mut(..5)
            && head.eq_ignore_ascii_case("INBOX")
        {
            head.make_ascii_uppercase();
        }
        name
    }

    /// A name without this namespace's prefix, if it has that.
    pub(crate) fn without_prefix<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(self.prefix()).unwrap_or(name)
    }

    /// What another namespace's `subscriptions` file calls a name of this one: its own prefix, then the name
    /// as this storage keeps it. The levels of the latter stand beside each other with its separator.
    pub(crate) fn subscription_name(&self, name: &str) -> Result<String> {
        Ok(format!("{}{}", self.prefix(), self.storage.stored_name(&self.storage_name(name)?)))
    }

    /// The user's name for what [`subscription_name`](Self::subscription_name) gives; `None` if it is
    /// another namespace's.
    pub(crate) fn subscribed_name(&self, subscription: &str) -> Option<String> {
        let stored = self.strip(subscription)?;
        // 2.3 takes such an end for what older releases have written.
        let stored = stored.strip_suffix(self.separator).unwrap_or(stored);
        if stored.is_empty() {
            return self.prefix().strip_suffix(self.separator).map(str::to_owned);
        }
        self.user_name(&self.storage.name_of_stored(stored)?)
    }

    /// The user's name for a storage's name; `None` if it cannot be shown here.
    pub(crate) fn user_name(&self, name: &str) -> Option<String> {
        if name == "INBOX" {
            if self.settings.inbox {
                return Some(name.to_owned());
            }
            // That name alone is another namespace's, and an alias does not show it a second time.
            let is_own = !self.prefix().is_empty() && !self.is_inbox_alias;
            return is_own.then(|| format!("{}{name}", self.prefix()));
        }
        let (own, below) = (self.separator, self.storage.separator());
        if own == below {
            return Some(format!("{}{name}", self.prefix()));
        }
        // A level that holds our separator would look like two levels.
        let shown = !name.contains(own);
        shown.then(|| format!("{}{}", self.prefix(), name.replace(below, &own.to_string())))
    }

    /// The `mailbox {}` blocks with their full names.
    pub(crate) fn configured(&self) -> impl Iterator<Item = (String, &MailboxSettings)> {
        let inbox = self.settings.inbox;
        self.settings.mailboxes.iter().map(move |mailbox| match mailbox.name.as_str() {
            name if inbox && name.eq_ignore_ascii_case("INBOX") => ("INBOX".to_owned(), mailbox),
            name => (format!("{}{name}", self.prefix()), mailbox),
        })
    }

    /// Names that exist by configuration alone.
    pub(crate) fn automatic(&self) -> impl Iterator<Item = (String, Auto)> {
        self.configured()
            .filter(|(_, mailbox)| mailbox.auto != Auto::No)
            .map(|(name, mailbox)| (name, mailbox.auto))
    }
}

/// Equal, but for the case of a leading INBOX (RFC 3501 §5.1).
fn matches(name: &str, prefix: &str, separator: char) -> bool {
    let inbox =
        prefix == "INBOX" || prefix.strip_prefix("INBOX").is_some_and(|rest| rest.starts_with(separator));
    match (inbox, name.get(..5), name.get(5..), prefix.get(5..)) {
        (true, Some(head), Some(tail), Some(rest)) => head.eq_ignore_ascii_case("INBOX") && tail == rest,
        _ => name == prefix,
    }
}

fn open_storage(input: &MailUserInput, settings: &NamespaceSettings) -> Result<Arc<dyn Storage>> {
    let text = match settings.location.as_str() {
        "" => input.settings.mail_location.as_str(),
        own => own,
    };
    let owner = Owner { home: input.home.as_deref(), name: &input.username };
    let of = |error| of(&settings.prefix, error);
    let mut location = storage::Location::of(text, &owner).map_err(of)?;
    location.names.separator = settings.separator.chars().next();
    location.prefix.clone_from(&settings.prefix);
    location.is_public = settings.kind == NamespaceType::Public;
    let mail: Arc<MailSettings> = Arc::new(input.settings.mail.clone());
    if location.layout == storage::location::Layout::Index {
        let made = GuidStorage::new(location, mail, settings.inbox, input.logger.clone()).map_err(of)?;
        return Ok(Arc::new(made));
    }
    match location.driver.as_str() {
        "maildir" => Ok(Arc::new(MaildirStorage::new(location, mail, settings.inbox, input.logger.clone()))),
        "sdbox" | "dbox" | "mdbox" => {
            let made = DboxStorage::new(location, mail, settings.inbox, input.logger.clone()).map_err(of)?;
            Ok(Arc::new(made))
        }
        "mbox" => {
            let (has_inbox, owner) = (settings.inbox, input.username.as_str());
            // What is wrong with settings of locks is no namespace's.
            Ok(Arc::new(MboxStorage::new(location, mail, has_inbox, owner, input.logger.clone())?))
        }
        driver @ ("imapc" | "pop3c" | "cydir" | "obox" | "virtual") => {
            Err(of(Error::Unsupported(format!("Mail storage driver {driver} isn't available yet: {text}"))))
        }
        driver => Err(of(Error::Unsupported(format!("Unknown mail storage driver {driver}")))),
    }
}
