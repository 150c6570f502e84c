//! What threading knows of each message: its place among the Message-IDs, its date and base subject.

use std::collections::HashMap;

use message::message_id;
use message::subject::{self, BaseSubject};

use crate::facts::Facts;
use crate::sort::field;

use super::links::Links;

/// Facts of the messages added so far, which are numbered from zero.
pub(super) struct Gathered {
    ids: HashMap<Box<[u8]>, u32>,
    /// References between Message-IDs.
    pub(super) links: Links,
    dates: Vec<i64>,
    subjects: Vec<BaseSubject>,
}

impl Gathered {
    pub(super) fn new(messages: usize) -> Self {
        Self {
            ids: HashMap::with_capacity(messages),
            links: Links::with_capacity(messages),
            dates: Vec::with_capacity(messages),
            subjects: Vec::with_capacity(messages),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.dates.len()
    }

    /// When a message was sent, in seconds since 1970.
    pub(super) fn date(&self, message: u32) -> i64 {
        self.dates.get(message as usize).copied().unwrap_or(0)
    }

    /// Its base subject; `None` if that is empty.
    pub(super) fn subject(&self, message: u32) -> Option<&BaseSubject> {
        self.subjects.get(message as usize).filter(|subject| !subject.text.is_empty())
    }

    pub(super) fn push(&mut self, facts: &ThreadFacts) {
        let message = self.dates.len() as u32;
        self.dates.push(facts.date);
        self.subjects.push(facts.subject.clone());
        let node = match &facts.id {
            Some(id) => self.node(id),
            None => self.links.add(),
        };
        let parents: Vec<u32> = facts.parents.iter().map(|id| self.node(id)).collect();
        self.links.add_message(node, message, &parents);
    }

    fn node(&mut self, id: &[u8]) -> u32 {
        if let Some(&node) = self.ids.get(id) {
            return node;
        }
        let node = self.links.add();
        self.ids.insert(id.into(), node);
        node
    }
}

/// What threading needs of one message.
#[derive(Debug, Default)]
pub(crate) struct ThreadFacts {
    date: i64,
    subject: BaseSubject,
    id: Option<Vec<u8>>,
    /// The Message-IDs of its `References`, or the first of its `In-Reply-To`.
    parents: Vec<Vec<u8>>,
}

impl ThreadFacts {
    /// What the header fields and the date of sending say.
    pub(crate) fn of(facts: &Facts, date: i64) -> Self {
        let subject = field(facts, "Subject").map(|value| subject::base(&value)).unwrap_or_default();
        let value = |name| field(facts, name).unwrap_or_default();
        let id = message_id::all(&value("Message-ID")).next();
        let mut parents: Vec<Vec<u8>> = message_id::all(&value("References")).collect();
        if parents.is_empty() {
            parents.extend(message_id::all(&value("In-Reply-To")).next());
        }
        Self { date, subject, id, parents }
    }

    /// Bytes held, roughly.
    pub(crate) fn weight(&self) -> usize {
        let ids = self.id.iter().chain(&self.parents).map(|id| id.len() + size_of::<Vec<u8>>());
        size_of::<Self>() + self.subject.text.len() + ids.sum::<usize>()
    }
}
