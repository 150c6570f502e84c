//! LIST and LSUB over all namespaces: patterns, subscriptions, children and special uses.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use storage::{Error, MailboxState, Result, Status, StatusItems};

use crate::input::{Auto, NamespaceList};
use crate::namespace::Namespace;
use crate::pattern::Pattern;
use crate::user::MailUser;

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
    /// Look at no mailbox: what is listed is what is subscribed, and [`ListEntry::node`] says nothing of
    /// those. Only with `select_subscribed`.
    pub unseen: bool,
    /// Leave out names that exist by configuration alone (`auto`) and not on disk.
    pub existing_only: bool,
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

/// What is known of a name before patterns are applied.
#[derive(Clone)]
struct Known {
    separator: char,
    node: Node,
    subscribed: bool,
    no_inferiors: bool,
}

/// See [`MailUser::list`].
pub(crate) fn run(
    user: &MailUser,
    reference: &str,
    patterns: &[&str],
    options: &ListOptions,
) -> Result<Vec<ListEntry>> {
    let joined: Vec<String> = patterns.iter().map(|pattern| format!("{reference}{pattern}")).collect();
    let mut names = BTreeMap::new();
    for namespace in user.namespaces() {
        if is_listed(namespace, &joined) {
            gather(user, namespace, options, &mut names)?;
        }
    }
    add_parents(&mut names);
    let listing = Listing { user, names: &names, uses: special_uses(user), options };
    let mut found = Vec::new();
    let mut compiled: Vec<(char, Vec<Pattern<'_>>)> = Vec::new();
    for (name, known) in &names {
        let at = compiled.iter().position(|(separator, _)| *separator == known.separator);
        let at = at.unwrap_or_else(|| {
            let patterns = joined.iter().map(|text| Pattern::new(text, known.separator)).collect();
            compiled.push((known.separator, patterns));
            compiled.len() - 1
        });
        if let Some((_, patterns)) = compiled.get(at)
            && patterns.iter().any(|pattern| pattern.matches(name))
            && let Some(entry) = listing.entry(name, known, patterns)
        {
            found.push(entry);
        }
    }
    // INBOX first, as users expect it.
    found.sort_by_key(|entry| entry.name != "INBOX");
    if let Some(items) = options.return_status {
        for entry in found.iter_mut().filter(|entry| entry.node == Node::Selectable) {
            entry.status = status(user, &entry.name, items);
        }
    }
    Ok(found)
}

/// A namespace with `list = no`, and one that is an alias, shows only when it is asked for by name.
fn is_listed(namespace: &Namespace, patterns: &[String]) -> bool {
    let settings = namespace.settings();
    let bare = namespace.prefix().strip_suffix(namespace.separator()).unwrap_or(namespace.prefix());
    let named = !bare.is_empty() && patterns.iter().any(|pattern| pattern.starts_with(bare));
    named || (settings.list != NamespaceList::No && settings.alias_for.is_none())
}

fn gather(
    user: &MailUser,
    namespace: &Namespace,
    options: &ListOptions,
    names: &mut BTreeMap<String, Known>,
) -> Result<()> {
    let separator = namespace.separator();
    let fresh = |node| Known { separator, node, subscribed: false, no_inferiors: false };
    let before = names.len();
    let looks = !(options.unseen && options.select_subscribed);
    let there = if looks { namespace.storage().list()? } else { Vec::new() };
    for listed in there {
        let Some(name) = namespace.user_name(&listed.name) else { continue };
        let node = if listed.selectable { Node::Selectable } else { Node::NoSelect };
        let no_inferiors = !listed.inferiors || (listed.name == "INBOX" && !may_be_below_inbox(user));
        names.insert(name, Known { no_inferiors, ..fresh(node) });
    }
    for (name, auto) in namespace.automatic().filter(|_| !options.existing_only) {
        let known = names.entry(name).or_insert_with(|| fresh(Node::Selectable));
        known.node = Node::Selectable;
        known.subscribed |= auto == Auto::Subscribe;
    }
    if options.select_subscribed || options.return_subscribed {
        for name in user.subscribed_names(namespace)? {
            names.entry(name).or_insert_with(|| fresh(Node::NonExistent)).subscribed = true;
        }
    }
    let bare = namespace.prefix().strip_suffix(separator).unwrap_or(namespace.prefix());
    let shown = namespace.settings().list == NamespaceList::Yes || names.len() > before;
    if !bare.is_empty() && shown {
        // The prefix may name a mailbox: a Maildir that is nobody's INBOX.
        let is_mailbox = looks && matches!(namespace.storage().state(""), Ok(MailboxState::Selectable));
        let node = if is_mailbox { Node::Selectable } else { Node::NonExistent };
        let known = names.entry(bare.to_owned()).or_insert_with(|| fresh(node));
        known.node = if node == Node::Selectable { node } else { known.node };
    }
    Ok(())
}

/// Whether some namespace has names that begin with INBOX and a separator.
fn may_be_below_inbox(user: &MailUser) -> bool {
    let begins_so = |namespace: &Namespace| {
        let rest = namespace.prefix().strip_prefix("INBOX");
        namespace.prefix().is_empty() || rest.is_some_and(|rest| rest.starts_with(namespace.separator()))
    };
    user.namespaces().iter().any(begins_so)
}

/// Names that exist only because there is something below them.
fn add_parents(names: &mut BTreeMap<String, Known>) {
    let mut missing = BTreeMap::new();
    // Names come in order, and most have the same parents as the one before.
    let mut looked_at = "";
    for (name, known) in names.iter() {
        let mut parents = name.rmatch_indices(known.separator).filter_map(|(at, _)| name.get(..at));
        let Some(nearest) = parents.next().filter(|nearest| *nearest != looked_at) else { continue };
        looked_at = nearest;
        for parent in parents.chain([nearest]) {
            if !parent.is_empty() && !names.contains_key(parent) {
                let separator = known.separator;
                let parent_known =
                    Known { separator, node: Node::NonExistent, subscribed: false, no_inferiors: false };
                missing.insert(parent.to_owned(), parent_known);
            }
        }
    }
    names.append(&mut missing);
}

/// The special uses of names, of those that have some.
fn special_uses(user: &MailUser) -> HashMap<String, &[String]> {
    let mut uses = HashMap::new();
    for namespace in user.namespaces() {
        for (name, mailbox) in namespace.configured().filter(|(_, mailbox)| !mailbox.special_use.is_empty()) {
            if user.namespace_of(&name).is_some_and(|owner| owner.prefix() == namespace.prefix()) {
                uses.entry(name).or_insert(mailbox.special_use.as_slice());
            }
        }
    }
    uses
}

/// What entries are made of.
struct Listing<'a> {
    user: &'a MailUser,
    names: &'a BTreeMap<String, Known>,
    uses: HashMap<String, &'a [String]>,
    options: &'a ListOptions,
}

impl<'a> Listing<'a> {
    /// The entry of a name that fits one of the patterns, if it is to be listed.
    fn entry(&self, name: &str, known: &Known, patterns: &[Pattern<'_>]) -> Option<ListEntry> {
        let options = self.options;
        let special_use = self.uses.get(name).copied().unwrap_or_default();
        let mut node = known.node;
        let mut child_subscribed = false;
        let special = !options.select_special_use || !special_use.is_empty();
        if options.select_subscribed {
            child_subscribed = self.has_subscribed_child(name, known, patterns);
            if !known.subscribed && !child_subscribed {
                return None;
            }
            if options.lsub && !known.subscribed {
                node = Node::NoSelect;
            }
        } else if !special {
            return None;
        }
        if options.select_subscribed && !special && !child_subscribed {
            return None;
        }
        let may_be_hidden = !options.select_subscribed && node == Node::NonExistent;
        let has_children = (options.return_children || may_be_hidden) && self.has_children(name, known);
        if may_be_hidden && !has_children && !is_prefix(self.user, name) {
            return None;
        }
        Some(ListEntry {
            name: name.to_owned(),
            separator: known.separator,
            node,
            children: options.return_children.then_some(has_children),
            no_inferiors: known.no_inferiors,
            marked: None,
            subscribed: known.subscribed,
            child_subscribed,
            special_use: special_use.to_vec(),
            status: None,
        })
    }

    /// Whether a name is listed because of a subscribed one below it.
    fn has_subscribed_child(&self, name: &str, known: &Known, patterns: &[Pattern<'_>]) -> bool {
        let subscribed = || self.below(name, known.separator).filter(|(_, child)| child.subscribed);
        if !self.options.lsub {
            return self.options.recursive_match && subscribed().next().is_some();
        }
        // Only `%` asks for parents that are not subscribed themselves (RFC 3501 §6.3.9).
        let asks = !known.subscribed && patterns.iter().any(Pattern::has_percent);
        asks && subscribed().any(|(child, _)| !patterns.iter().any(|pattern| pattern.matches(child)))
    }

    fn has_children(&self, name: &str, known: &Known) -> bool {
        // What exists only as a subscription is no parent for plain LIST.
        let exists = |child: &Known| child.node != Node::NonExistent || self.options.select_subscribed;
        self.below(name, known.separator).any(|(_, child)| exists(child))
    }

    fn below(&self, name: &str, separator: char) -> impl Iterator<Item = (&'a String, &'a Known)> + use<'a> {
        let mut prefix = String::with_capacity(name.len() + separator.len_utf8());
        prefix.push_str(name);
        prefix.push(separator);
        let all = self.names.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        all.take_while(move |(child, _)| child.starts_with(&prefix))
    }
}

fn is_prefix(user: &MailUser, name: &str) -> bool {
    user.namespaces().iter().any(|ns| ns.prefix().strip_suffix(ns.separator()) == Some(name))
}

fn status(user: &MailUser, name: &str, items: StatusItems) -> Option<Status> {
    match user.status(name, items) {
        Ok(status) => Some(status),
        Err(
            Error::NotFound(_)
            | Error::MailboxGone(_)
            | Error::NotSelectable(_)
            | Error::NoPermission(_)
            | Error::Denied(_),
        ) => None,
        Err(error) => {
            user.logger().error(format_args!("STATUS of {name} failed: {}", base::chain(&error)));
            None
        }
    }
}
