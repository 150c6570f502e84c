//! Looks for text in headers and bodies, without regard to case.

use std::io::{self, Read};

use message::header::{Field, Fields};

/// A text to look for.
pub(super) struct Needle {
    folded: String,
}

impl Needle {
    pub(super) fn new(text: &str) -> Self {
        Self { folded: fold(text) }
    }

    fn is_in(&self, text: &str) -> bool {
        self.folded.is_empty() || fold(text).contains(&self.folded)
    }
}

/// Whether a field of that name contains the text; the empty text asks for the field itself.
pub(super) fn header_matches(header: &[u8], name: &str, needle: &Needle) -> bool {
    Fields::new(header).filter(|field| field.is(name.as_bytes())).any(|field| field_matches(&field, needle))
}

/// Whether any field contains the text, in its name or value.
pub(super) fn any_header_matches(header: &[u8], needle: &Needle) -> bool {
    Fields::new(header).any(|field| {
        let name = String::from_utf8_lossy(field.name);
        let value = message::encoded_word::decode(&field.value_oneline());
        needle.is_in(&format!("{name}: {value}"))
    })
}

fn field_matches(field: &Field<'_>, needle: &Needle) -> bool {
    needle.is_in(&message::encoded_word::decode(&field.value_oneline()))
}

/// Whether the body contains the text.
pub(super) fn body_matches(reader: impl Read, needle: &Needle) -> io::Result<bool> {
    let mut sink = Body { needle, carry: Vec::new(), found: false };
    message::parse_reader(reader, message::Options::default(), &mut sink)?;
    Ok(sink.found)
}

/// Looks at body bytes as they go by, with enough carried over for a text that lies across pieces.
struct Body<'a> {
    needle: &'a Needle,
    carry: Vec<u8>,
    found: bool,
}

impl message::Sink for Body<'_> {
    fn header_end(&mut self, _part: message::PartId, _flags: message::PartFlags) {
        self.carry.clear();
    }

    fn body(&mut self, _part: message::PartId, data: &[u8]) {
        self.carry.extend_from_slice(data);
        self.found |= self.needle.is_in(&String::from_utf8_lossy(&self.carry));
        // Folding may change lengths, never beyond three times.
        let keep = (self.needle.folded.len() * 3).min(self.carry.len());
        self.carry.drain(..self.carry.len() - keep);
    }

    fn is_done(&self) -> bool {
        self.found
    }
}

fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}
