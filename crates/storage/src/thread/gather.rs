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

    pub(super) fn push(&mut self, facts: &Facts, date: i64) {
        let message = self.dates.len() as u32;
        self.dates.push(date);
        let subject = field(facts, "Subject");
        self.subjects.push(subject.map(|value| subject::base(&value)).unwrap_or_default());
        let value = |name| field(facts, name).unwrap_or_default();
        let id = message_id::all(&value("Message-ID")).next();
        let node = match id {
            Some(id) => self.node(id),
            None => self.links.add(),
        };
        let mut parents = message_id::all(&value("References")).map(|id| self.node(id)).collect::<Vec<_>>();
        if parents.is_empty() {
            parents.extend(message_id::all(&value("In-Reply-To")).next().map(|id| self.node(id)));
        }
        self.links.add_message(node, message, &parents);
    }

    fn node(&mut self, id: Vec<u8>) -> u32 {
        let links = &mut self.links;
        *self.ids.entry(id.into()).or_insert_with(|| links.add())
    }
}
