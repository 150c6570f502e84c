//! One side of a backup: a user's namespace with INBOX, whose names are compared level by level, since
//! the two sides may have other prefixes and separators.

use std::sync::Arc;

use mail_user::{ListOptions, MailUser, Node};
use storage::api::PathKind;
use storage::{Error, Result};

/// A name's levels, without the namespace's prefix.
pub(super) type Levels = Vec<String>;

pub(super) struct Side {
    pub(super) user: Arc<MailUser>,
    prefix: String,
    separator: char,
}

impl Side {
    pub(super) fn new(user: Arc<MailUser>) -> Self {
        let inbox = user.namespaces().iter().find(|namespace| namespace.settings().inbox);
        let (prefix, separator) = match inbox {
            Some(namespace) => (namespace.prefix().to_owned(), namespace.separator()),
            None => (String::new(), '/'),
        };
        Self { user, prefix, separator }
    }

    /// Whether there is something on disk.
    pub(super) fn is_there(&self) -> bool {
        self.user.path("INBOX", PathKind::Mailbox).is_some_and(|path| path.is_dir())
    }

    /// All mailboxes that can be opened, parents first.
    pub(super) fn mailboxes(&self) -> Result<Vec<Levels>> {
        let options = ListOptions { existing_only: true, ..ListOptions::default() };
        self.list(&options, |node| node == Node::Selectable)
    }

    /// What is subscribed to.
    pub(super) fn subscriptions(&self) -> Result<Vec<Levels>> {
        let options = ListOptions { select_subscribed: true, ..ListOptions::default() };
        self.list(&options, |_| true)
    }

    fn list(&self, options: &ListOptions, wanted: impl Fn(Node) -> bool) -> Result<Vec<Levels>> {
        let entries = self.user.list("", &["*"], options)?;
        let entries = entries.into_iter().filter(|entry| wanted(entry.node));
        let mut all: Vec<Levels> = entries.filter_map(|entry| self.levels(&entry.name)).collect();
        all.sort();
        Ok(all)
    }

    /// `None` for a name of another namespace.
    fn levels(&self, name: &str) -> Option<Levels> {
        let owner = self.user.namespace_of(name)?;
        if owner.prefix() != self.prefix {
            return None;
        }
        let rest = if name == "INBOX" { name } else { name.strip_prefix(&self.prefix)? };
        Some(rest.split(self.separator).map(str::to_owned).collect())
    }

    /// The name on this side.
    pub(super) fn name(&self, levels: &Levels) -> Result<String> {
        if let Some(level) = levels.iter().find(|level| level.contains(self.separator)) {
            let separator = self.separator;
            return Err(Error::BadRequest(format!("'{level}' has the separator '{separator}' in it")));
        }
        let separator = self.separator.to_string();
        Ok(match levels.as_slice() {
            [only] if only == "INBOX" => only.clone(),
            levels => format!("{}{}", self.prefix, levels.join(&separator)),
        })
    }
}
