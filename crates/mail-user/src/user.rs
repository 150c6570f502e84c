//! The facade over a user's namespaces.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Logger;
use storage::api::PathKind;
use storage::{Error, Mailbox, MailboxState, OpenMode, Result};

use crate::input::{MailUserInput, MailboxSettings, UserSettings};
use crate::list::{ListEntry, ListOptions};
use crate::namespace::Namespace;

/// A logged-in user's mailboxes. Share it behind an `Arc`; all methods may block on the disk.
pub struct MailUser {
    input: MailUserInput,
    namespaces: Vec<Namespace>,
}

impl MailUser {
    /// Sets up the namespaces. Creates nothing on disk but what 2.3 creates at login.
    pub fn open(input: MailUserInput) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { input, namespaces: Vec::new() }))
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

    /// All namespaces in the order of their prefixes, hidden ones too.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// The namespace a name belongs to.
    pub fn namespace_of(&self, name: &str) -> Option<&Namespace> {
        let _ = name;
        self.namespaces.first()
    }

    /// Opens a mailbox; one that has `auto = create` or `subscribe` is created first if need be.
    pub fn open_mailbox(&self, name: &str, mode: OpenMode) -> Result<Box<dyn Mailbox>> {
        let _ = mode;
        Err(Error::NotFound(name.to_owned()))
    }

    /// What there is under a name; `auto` mailboxes always exist.
    pub fn mailbox_state(&self, name: &str) -> Result<MailboxState> {
        let _ = name;
        Ok(MailboxState::Missing)
    }

    /// LIST: `reference` and `patterns` as the client gave them, decoded to UTF-8. An empty pattern is
    /// the protocol's business (it asks for the separator only).
    pub fn list(&self, reference: &str, patterns: &[&str], options: &ListOptions) -> Result<Vec<ListEntry>> {
        let _ = (reference, patterns, options);
        Ok(Vec::new())
    }

    /// CREATE. A name that ends in the separator makes a `\Noselect` node where the layout has one.
    pub fn create(&self, name: &str) -> Result<()> {
        Err(Error::NotFound(name.to_owned()))
    }

    /// DELETE. INBOX is refused.
    pub fn delete(&self, name: &str) -> Result<()> {
        Err(Error::NotFound(name.to_owned()))
    }

    /// RENAME, with all children. Renaming INBOX moves its messages (RFC 3501 §6.3.5).
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let _ = to;
        Err(Error::NotFound(from.to_owned()))
    }

    /// SUBSCRIBE. The mailbox must exist, as in 2.3.
    pub fn subscribe(&self, name: &str) -> Result<()> {
        Err(Error::NotFound(name.to_owned()))
    }

    /// UNSUBSCRIBE.
    pub fn unsubscribe(&self, name: &str) -> Result<()> {
        Err(Error::NotFound(name.to_owned()))
    }

    /// The `mailbox {}` block of a name, if the configuration has one.
    pub fn mailbox_settings(&self, name: &str) -> Option<&MailboxSettings> {
        let _ = name;
        None
    }

    /// Whether any mailbox has a special use, so that SPECIAL-USE is a capability.
    pub fn has_special_use(&self) -> bool {
        self.input.settings.namespaces.iter().any(|ns| ns.mailboxes.iter().any(|m| !m.special_use.is_empty()))
    }

    /// Where something of a mailbox lies.
    pub fn path(&self, name: &str, kind: PathKind) -> Option<PathBuf> {
        let _ = (name, kind);
        None
    }
}
