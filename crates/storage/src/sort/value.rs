//! What messages are sorted by: numbers and folded text, all text in one piece of memory.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::time::SystemTime;

use message::address::{self, Missing};
use message::casefold::fold;
use message::rfc822::NUL_REPLACEMENT;
use message::{encoded_word, header, subject};

use crate::facts::Facts;

use super::{Criterion, SortKey};

#[derive(Clone, Copy)]
enum Value {
    Number(i64),
    /// Where in `text` it lies.
    Text {
        start: usize,
        end: usize,
    },
}

/// The values of all messages.
pub(super) struct Values {
    text: Vec<u8>,
    /// As many for each message as there are criteria.
    values: Vec<Value>,
    per_message: usize,
}

impl Values {
    pub(super) fn with_capacity(messages: usize, per_message: usize) -> Self {
        Self { text: Vec::new(), values: Vec::with_capacity(messages * per_message), per_message }
    }

    /// Adds a number that is known.
    pub(super) fn push_number(&mut self, number: i64) {
        self.values.push(Value::Number(number));
    }

    /// Adds what stands for a message that is not looked at.
    pub(super) fn push_unknown(&mut self, key: SortKey) {
        self.values.push(match key {
            SortKey::Arrival | SortKey::Date => Value::Number(i64::MAX),
            SortKey::Size => Value::Number(0),
            _ => Value::Text { start: 0, end: 0 },
        });
    }

    /// Adds what `key` says of the message at hand.
    pub(super) fn push(&mut self, key: SortKey, facts: &Facts) {
        let value = match key {
            SortKey::Arrival => Value::Number(arrival(facts)),
            SortKey::Date => Value::Number(sent(facts)),
            SortKey::Size => {
                Value::Number(i64::try_from(facts.size_virtual.unwrap_or(0)).unwrap_or(i64::MAX))
            }
            key => {
                let start = self.text.len();
                if let Some(raw) = key.field().and_then(|name| field(facts, name)) {
                    put_text(key, &raw, &mut self.text);
                }
                Value::Text { start, end: self.text.len() }
            }
        };
        self.values.push(value);
    }

    /// The indexes of the messages in order.
    pub(super) fn order(&self, criteria: &[Criterion]) -> Vec<u32> {
        let count = self.values.len().checked_div(self.per_message).unwrap_or(0);
        if let [criterion] = criteria
            && let Some(order) = self.order_of_numbers(criterion.reverse)
        {
            return order;
        }
        let mut order: Vec<u32> = (0..count as u32).collect();
        order.sort_by(|&a, &b| self.compare(a, b, criteria));
        order
    }

    /// The order by one number each, if that is all.
    fn order_of_numbers(&self, reverse: bool) -> Option<Vec<u32>> {
        let keyed = self.values.iter().zip(0u32..).map(|(value, index)| match value {
            Value::Number(number) if reverse => Some((number.saturating_neg(), index)),
            Value::Number(number) => Some((*number, index)),
            Value::Text { .. } => None,
        });
        let mut keyed: Vec<(i64, u32)> = keyed.collect::<Option<_>>()?;
        keyed.sort_unstable();
        Some(keyed.into_iter().map(|(_, index)| index).collect())
    }

    fn compare(&self, a: u32, b: u32, criteria: &[Criterion]) -> Ordering {
        let values = |index: u32| self.values.get(index as usize * self.per_message..).unwrap_or_default();
        for ((a, b), criterion) in values(a).iter().zip(values(b)).zip(criteria) {
            let order = match (*a, *b) {
                (Value::Number(a), Value::Number(b)) => a.cmp(&b),
                (a, b) => self.text(a).cmp(self.text(b)),
            };
            match order {
                Ordering::Equal => {}
                order if criterion.reverse => return order.reverse(),
                order => return order,
            }
        }
        Ordering::Equal
    }

    fn text(&self, value: Value) -> &[u8] {
        match value {
            Value::Text { start, end } => self.text.get(start..end).unwrap_or_default(),
            Value::Number(_) => &[],
        }
    }
}

/// The first field of that name, on one line.
pub(crate) fn field(facts: &Facts, name: &str) -> Option<Vec<u8>> {
    let fields = facts.fields.as_deref()?;
    header::first(fields, name.as_bytes()).map(|field| field.value_oneline().into_owned())
}

/// When a message arrived, in seconds since 1970.
pub(crate) fn arrival(facts: &Facts) -> i64 {
    facts.internal_date.map_or(0, unix_secs)
}

/// When it was sent, or arrived if it does not say.
pub(crate) fn sent(facts: &Facts) -> i64 {
    match facts.sent_date.map_or(0, |date| date.unix_secs) {
        0 => arrival(facts),
        secs => secs,
    }
}

/// Whole seconds since 1970, rounded down.
pub(crate) fn unix_secs(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let secs = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            -secs - i64::from(before.subsec_nanos() > 0)
        }
    }
}

/// Adds the text that a message is sorted by to `out`.
pub(super) fn put_text(key: SortKey, raw: &[u8], out: &mut Vec<u8>) {
    let raw = &*without_nul(raw);
    match key {
        SortKey::Subject => out.extend_from_slice(&subject::base(raw).text),
        SortKey::DisplayFrom | SortKey::DisplayTo => fold(&display_name(raw), out),
        _ => {
            let mailbox = address::first(raw, Missing::Named).and_then(|address| address.mailbox);
            fold(&String::from_utf8_lossy(&mailbox.unwrap_or_default()), out);
        }
    }
}

/// As 2.3 reads header fields: a NUL is an unknown character.
fn without_nul(raw: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr(0, raw) {
        None => Cow::Borrowed(raw),
        Some(_) => raw.split(|&byte| byte == 0).collect::<Vec<_>>().join(NUL_REPLACEMENT).into(),
    }
}

/// RFC 5957 §3.
fn display_name(raw: &[u8]) -> String {
    let Some(address) = address::first(raw, Missing::Named) else { return String::new() };
    let name = address.name.map(|name| encoded_word::decode(&name)).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| {
        let mailbox = address.mailbox.unwrap_or_default();
        let mailbox = String::from_utf8_lossy(&mailbox);
        match address.domain {
            Some(domain) => format!("{mailbox}@{}", String::from_utf8_lossy(&domain)),
            None => mailbox.into_owned(),
        }
    })
}
