//! LIST and LSUB over all namespaces: patterns, subscriptions, children and special uses.

use storage::{Status, StatusItems};

/// What to list and to find out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListOptions {
    /// Only subscribed names, whether or not they exist (LIST-EXTENDED `SUBSCRIBED`).
    pub select_subscribed: bool,
    /// Only mailboxes with a special use.
    pub select_special_use: bool,
    /// Also parents of matching names that do not match themselves (`RECURSIVEMATCH`).
    pub recursive_match: bool,
    /// LSUB's rule: a parent that `%` matches and that is not subscribed is reported with
    /// [`ListEntry::nonexistent`] semantics of RFC 3501 §6.3.9 (`\Noselect`).
    pub lsub: bool,
    /// Fill in [`ListEntry::children`].
    pub return_children: bool,
    /// Fill in [`ListEntry::subscribed`].
    pub return_subscribed: bool,
    /// Fill in [`ListEntry::status`], for those that can be selected.
    pub return_status: Option<StatusItems>,
}

/// One listed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// UTF-8, with namespace prefix; `INBOX` in capitals.
    pub name: String,
    /// The separator of its namespace.
    pub separator: char,
    /// What it is.
    pub node: Node,
    /// `Some(true)` is `\HasChildren`, `Some(false)` is `\HasNoChildren`, `None` was not asked for.
    pub children: Option<bool>,
    /// `\Noinferiors`.
    pub no_inferiors: bool,
    /// `\Marked` and `\UnMarked`.
    pub marked: Option<bool>,
    /// `\Subscribed`.
    pub subscribed: bool,
    /// A child that is subscribed matched, not the name itself (`CHILDINFO ("SUBSCRIBED")`).
    pub child_subscribed: bool,
    /// `\Drafts` …
    pub special_use: Vec<String>,
    /// Counts, where asked for and possible.
    pub status: Option<Status>,
}

/// What a listed name is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Node {
    /// A mailbox.
    Selectable,
    /// `\Noselect`: exists on disk as a parent only.
    NoSelect,
    /// `\NonExistent` (plain LIST shows `\Noselect`): only children or a subscription are there.
    NonExistent,
}
