//! A query as it is for one mailbox: selectors have become yes or no, sequence numbers UIDs.

use base::{Seq, SeqSet, Uid, UidSet};
use storage::View;
use storage::search::Query;

use super::{Expr, Leaf, Numbers, SearchQuery, is_mailbox};
use mail_user::Pattern;

/// The mailbox that a query is answered for.
pub(crate) struct Place<'a> {
    /// With the namespace's prefix.
    pub(crate) name: &'a str,
    pub(crate) separator: char,
    /// In hexadecimal; needed where [`SearchQuery::needs_guid`] says so.
    pub(crate) guid: &'a str,
    pub(crate) view: &'a View,
}

impl SearchQuery {
    /// Whether the mailbox's GUID must be known.
    pub(crate) fn needs_guid(&self) -> bool {
        self.root.needs_guid()
    }

    /// The query for the storage's search.
    pub(crate) fn at(&self, place: &Place<'_>) -> Query {
        self.root.at(place)
    }
}

impl Expr {
    fn needs_guid(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::needs_guid),
            Self::Leaf { leaf, .. } => matches!(leaf, Leaf::MailboxGuid(_)),
        }
    }

    fn at(&self, place: &Place<'_>) -> Query {
        let parts = |parts: &[Self]| parts.iter().map(|part| part.at(place)).collect();
        match self {
            Self::All(below) => Query::And(parts(below)),
            Self::Any(below) => Query::Or(parts(below)),
            Self::Leaf { not: false, leaf } => leaf.at(place),
            Self::Leaf { not: true, leaf } => Query::Not(Box::new(leaf.at(place))),
        }
    }
}

impl Leaf {
    fn at(&self, place: &Place<'_>) -> Query {
        let decided = |yes: bool| if yes { Query::All } else { Query::None };
        match self {
            Self::Mailbox(wanted) => decided(is_mailbox(place.name, wanted)),
            Self::MailboxGlob(pattern) => decided(Pattern::new(pattern, place.separator).matches(place.name)),
            Self::MailboxGuid(guid) => decided(place.guid == guid),
            Self::Sequences(numbers) => {
                Query::Uids(place.view.uids_of(&sequences(numbers, place.view.len())))
            }
            Self::Uids(numbers) => Query::Uids(uids(numbers, place.view.last_uid())),
            Self::Key(query) => query.clone(),
            Self::InThread(algorithm, args) => {
                let parts = args.iter().map(|arg| Expr::of(arg, false).at(place)).collect();
                Query::InThread(*algorithm, Box::new(Query::And(parts)))
            }
        }
    }
}

fn sequences(numbers: &Numbers, last: u32) -> SeqSet {
    let mut set = SeqSet::new();
    for (first, end) in bounds(numbers, last) {
        if let (Some(first), Some(end)) = (Seq::new(first), Seq::new(end)) {
            set.insert_range(first, end);
        }
    }
    set
}

fn uids(numbers: &Numbers, last: Option<Uid>) -> UidSet {
    let mut set = UidSet::new();
    for &(one, other) in numbers {
        let (first, end) = match (one, other) {
            (None, None) => (last.map_or(0, Uid::get), last.map_or(0, Uid::get)),
            // As in 2.3, `9:*` does not mean the last message if that is before it.
            (Some(first), None) | (None, Some(first)) => (first, u32::MAX),
            (Some(one), Some(other)) => (one.min(other), one.max(other)),
        };
        if let (Some(first), Some(end)) = (Uid::new(first), Uid::new(end)) {
            set.insert_range(first, end);
        }
    }
    set
}

/// Ranges in order, with `last` for `*`.
fn bounds(numbers: &Numbers, last: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
    numbers.iter().map(move |(one, other)| {
        let (one, other) = (one.unwrap_or(last), other.unwrap_or(last));
        (one.min(other), one.max(other))
    })
}
