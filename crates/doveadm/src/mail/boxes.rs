//! Which mailboxes of a user a command looks at, as 2.3 finds them: those that the query names are
//! taken as they are, patterns are listed, and without either all mailboxes of the user's own.

use mail_user::{ListOptions, MailUser, Namespace, NamespaceType, Node};
use storage::Result;

use super::query::SearchQuery;

/// A mailbox that may be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selected {
    /// With its namespace's prefix.
    pub(crate) name: String,
    pub(crate) separator: char,
}

/// What to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Mailboxes on disk.
    Selectable,
    /// Every name, as `doveadm mailbox list` shows them.
    Names,
    /// Subscribed names.
    Subscribed,
}

/// The mailboxes in which `query` may find something.
pub(crate) fn of_query(user: &MailUser, query: &SearchQuery, listing: Listing) -> Result<Vec<Selected>> {
    let (patterns, has_guid) = query.patterns();
    let has_wildcards = patterns.iter().any(|pattern| pattern.contains(['*', '%']));
    if !patterns.is_empty() && !has_wildcards {
        let mut all: Vec<Selected> = Vec::with_capacity(patterns.len());
        for one in patterns.into_iter().map(|name| named(user, name)) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        return Ok(all);
    }
    let own_only = patterns.is_empty() && !has_guid && listing == Listing::Selectable;
    let all = list(user, &patterns, listing)?;
    let fits = |one: &Selected| {
        let namespace = user.namespace_of(&one.name);
        let is_own = namespace.is_none_or(|namespace| namespace.kind() == NamespaceType::Private);
        let is_within = patterns.is_empty() || namespace.is_none_or(|ns| reaches(&patterns, ns));
        (is_own || !own_only) && is_within && query.fits_mailbox(&one.name, one.separator)
    };
    Ok(all.into_iter().filter(fits).collect())
}

/// The mailboxes on disk that one of the masks fits: `doveadm index` and `force-resync`.
pub(crate) fn of_masks(user: &MailUser, masks: &[String]) -> Result<Vec<Selected>> {
    let masks: Vec<&str> = masks.iter().map(String::as_str).collect();
    let mut all = list(user, &masks, Listing::Selectable)?;
    all.retain(|one| user.namespace_of(&one.name).is_none_or(|namespace| reaches(&masks, namespace)));
    Ok(all)
}

/// A mailbox of that name, whether or not it is there.
fn named(user: &MailUser, name: &str) -> Selected {
    let separator = user.namespace_of(name).map_or('/', Namespace::separator);
    Selected { name: name.to_owned(), separator }
}

fn list(user: &MailUser, patterns: &[&str], listing: Listing) -> Result<Vec<Selected>> {
    let patterns = if patterns.is_empty() { &["*"] } else { patterns };
    let options = ListOptions {
        existing_only: listing == Listing::Selectable,
        select_subscribed: listing == Listing::Subscribed,
        ..ListOptions::default()
    };
    let entries = user.list("", patterns, &options)?.into_iter();
    let entries = entries.filter(|entry| listing != Listing::Selectable || entry.node == Node::Selectable);
    Ok(entries.map(|entry| Selected { name: entry.name, separator: entry.separator }).collect())
}

/// `*` stays within a namespace: another one is reached by a pattern that spells out its prefix, with
/// `%` at most.
fn reaches(patterns: &[&str], namespace: &Namespace) -> bool {
    let prefix = namespace.prefix();
    patterns.iter().any(|pattern| {
        let spelled = pattern.split('*').next().unwrap_or_default();
        prefix.is_empty()
            || namespace.settings().inbox
            || spelled.starts_with(prefix)
            || spelled.contains('%')
                && mail_user::Pattern::new(spelled, namespace.separator()).matches(prefix)
    })
}
