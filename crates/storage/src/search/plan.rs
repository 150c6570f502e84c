//! A query made ready: its texts prepared, its cheap conditions in front, its answers with three
//! values, since what bodies say is known only later.

use base::UidSet;
use message::search::{Needle, Scope, in_field};

use crate::error::Result;
use crate::view::{Flags, View};

use super::in_thread::InThread;
use super::one::Message;
use super::pool::Text;
use super::query::{DateKind, Query};

/// A condition.
pub(super) enum Plan {
    Simple(Query),
    /// By index; `None` if the mailbox has no such keyword.
    Keyword(Option<usize>),
    Not(Box<Plan>),
    And(Vec<Plan>),
    Or(Vec<Plan>),
    Header(Box<(String, Needle)>),
    /// The text of this number in the message.
    Text(usize),
    InThread(Box<InThread>),
}

/// What is asked of messages.
#[derive(Default)]
pub(super) struct Needs {
    /// The messages that are `\Recent`.
    pub(super) recent: UidSet,
    /// Texts to look for in messages.
    pub(super) texts: Vec<Text>,
    /// Names of header fields.
    pub(super) fields: Vec<String>,
    /// Whether the `Date` field counts.
    pub(super) sent_date: bool,
}

impl Plan {
    pub(super) fn of(query: &Query, view: &View, needs: &mut Needs) -> Self {
        match query {
            Query::Not(inner) => Self::Not(Box::new(Self::of(inner, view, needs))),
            Query::And(all) => Self::And(sorted(all, view, needs)),
            Query::Or(any) => Self::Or(sorted(any, view, needs)),
            Query::Keyword(name) => Self::Keyword(view.keyword_index(name)),
            Query::Header { name, text } => {
                if !needs.fields.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    needs.fields.push(name.clone());
                }
                Self::Header(Box::new((name.clone(), Needle::new(text))))
            }
            Query::Body(text) => Self::text(text, Scope::Body, needs),
            Query::Text(text) => Self::text(text, Scope::Text, needs),
            Query::InThread(algorithm, inner) => {
                Self::InThread(Box::new(InThread::new(*algorithm, inner, view, needs.recent.clone())))
            }
            simple => {
                needs.sent_date |= date_kind(simple) == Some(DateKind::Sent);
                Self::Simple(simple.clone())
            }
        }
    }

    fn text(text: &str, scope: Scope, needs: &mut Needs) -> Self {
        needs.texts.push((Needle::new(text), scope));
        Self::Text(needs.texts.len() - 1)
    }

    fn cost(&self) -> u32 {
        match self {
            Self::Keyword(_) | Self::InThread(_) => 0,
            Self::Simple(Query::Guid(_)) => 1,
            Self::Simple(Query::Part(_)) => 7,
            Self::Simple(Query::Larger(_) | Query::Smaller(_)) => 3,
            Self::Simple(simple) => match date_kind(simple) {
                Some(DateKind::Sent) => 4,
                Some(_) => 2,
                None => 0,
            },
            Self::Not(inner) => inner.cost(),
            Self::And(all) | Self::Or(all) => all.iter().map(Self::cost).max().unwrap_or(0),
            Self::Header(_) => 5,
            Self::Text(_) => 8,
        }
    }

    /// A set that holds everything that can match, where the query tells one at once.
    pub(super) fn uids(&self) -> Option<&UidSet> {
        match self {
            Self::Simple(Query::Uids(uids)) => Some(uids),
            Self::And(all) => all.iter().find_map(Self::uids),
            _ => None,
        }
    }

    /// The system flags that whatever matches has, and those it lacks, as far as the query tells at once.
    pub(super) fn flags(&self) -> (Flags, Flags) {
        match self {
            Self::Simple(Query::Flags(flags)) => (*flags, Flags::NONE),
            Self::Not(inner) => match **inner {
                // Of several one may be set.
                Self::Simple(Query::Flags(flags)) if flags.0.count_ones() == 1 => (Flags::NONE, flags),
                _ => (Flags::NONE, Flags::NONE),
            },
            Self::And(all) => all
                .iter()
                .map(Self::flags)
                .fold((Flags::NONE, Flags::NONE), |(has, lacks), (more_has, more_lacks)| {
                    (has | more_has, lacks | more_lacks)
                }),
            _ => (Flags::NONE, Flags::NONE),
        }
    }

    /// Whether every message fits.
    pub(super) fn is_all(&self) -> bool {
        match self {
            Self::Simple(Query::All) => true,
            Self::And(all) => all.iter().all(Self::is_all),
            _ => false,
        }
    }

    /// An INTHREAD whose messages are not known yet.
    pub(super) fn open_thread(&mut self) -> Option<&mut InThread> {
        match self {
            Self::InThread(inner) if !inner.is_done() => Some(inner),
            Self::Not(inner) => inner.open_thread(),
            Self::And(all) | Self::Or(all) => all.iter_mut().find_map(Self::open_thread),
            _ => None,
        }
    }

    /// What can be said of a message without reading its body.
    pub(super) fn decide(&self, message: &mut Message<'_>) -> Result<Residue> {
        Ok(match self {
            Self::Simple(query) => Residue::Known(message.matches(query)?),
            Self::Keyword(index) => {
                Residue::Known(index.is_some_and(|index| message.record.keywords.contains(index)))
            }
            Self::Not(inner) => match inner.decide(message)? {
                Residue::Known(known) => Residue::Known(!known),
                open => Residue::Not(Box::new(open)),
            },
            Self::And(all) => Self::decide_list(all, message, false)?,
            Self::Or(any) => Self::decide_list(any, message, true)?,
            Self::Header(header) => {
                let (name, needle) = &**header;
                Residue::Known(in_field(&message.fields()?, name.as_bytes(), needle))
            }
            Self::Text(index) => Residue::Text(*index),
            Self::InThread(inner) => Residue::Known(inner.contains(message.record.uid)),
        })
    }

    /// `decisive` is the value that decides the list: true for OR.
    fn decide_list(list: &[Self], message: &mut Message<'_>, decisive: bool) -> Result<Residue> {
        let mut open = Vec::new();
        for plan in list {
            match plan.decide(message)? {
                Residue::Known(known) if known == decisive => return Ok(Residue::Known(decisive)),
                Residue::Known(_) => {}
                residue => open.push(residue),
            }
        }
        Ok(match (open.is_empty(), decisive) {
            (true, _) => Residue::Known(!decisive),
            (false, true) => Residue::Or(open),
            (false, false) => Residue::And(open),
        })
    }
}

fn sorted(queries: &[Query], view: &View, needs: &mut Needs) -> Vec<Plan> {
    let mut plans: Vec<Plan> = queries.iter().map(|query| Plan::of(query, view, needs)).collect();
    plans.sort_by_cached_key(Plan::cost);
    plans
}

fn date_kind(query: &Query) -> Option<DateKind> {
    match query {
        Query::Before(kind, _) | Query::On(kind, _) | Query::Since(kind, _) => Some(*kind),
        Query::BeforeTime(kind, _) | Query::SinceTime(kind, _) => Some(*kind),
        Query::Older(_) | Query::Younger(_) => Some(DateKind::Received),
        Query::SaveDateSupported => Some(DateKind::Saved),
        _ => None,
    }
}

/// What is left of a query for one message when all but its body is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Residue {
    Known(bool),
    /// Whether the text of this number is in the message.
    Text(usize),
    Not(Box<Residue>),
    And(Vec<Residue>),
    Or(Vec<Residue>),
}

impl Residue {
    /// Adds the numbers of the texts that matter.
    pub(super) fn texts(&self, out: &mut Vec<usize>) {
        match self {
            Self::Known(_) => {}
            Self::Text(index) => out.push(*index),
            Self::Not(inner) => inner.texts(out),
            Self::And(list) | Self::Or(list) => list.iter().for_each(|one| one.texts(out)),
        }
    }

    /// The answer, if what is known of the texts decides it.
    pub(super) fn decided(&self, text: &dyn Fn(usize) -> Option<bool>) -> Option<bool> {
        let all = |list: &[Self], decisive: bool| {
            let mut is_open = false;
            for one in list {
                match one.decided(text) {
                    Some(known) if known == decisive => return Some(decisive),
                    Some(_) => {}
                    None => is_open = true,
                }
            }
            (!is_open).then_some(!decisive)
        };
        match self {
            Self::Known(known) => Some(*known),
            Self::Text(index) => text(*index),
            Self::Not(inner) => inner.decided(text).map(|known| !known),
            Self::And(list) => all(list, false),
            Self::Or(list) => all(list, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Residue::{And, Known, Not, Or, Text};

    #[test]
    fn decided_as_soon_as_possible() {
        let query = And(vec![Or(vec![Text(2), Text(0)]), Not(Box::new(Text(1))), Known(true)]);
        let mut texts = Vec::new();
        query.texts(&mut texts);
        assert_eq!(texts, [2, 0, 1]);
        let check = |values: [Option<bool>; 3], want| {
            assert_eq!(query.decided(&|index| values[index]), want, "{values:?}");
        };
        check([None, None, None], None);
        check([None, Some(true), None], Some(false));
        check([Some(true), None, None], None);
        check([Some(false), Some(false), None], None);
        check([None, Some(false), Some(true)], Some(true));
        check([Some(false), None, Some(false)], Some(false));
    }
}
