//! `json`: an array of objects, all values as strings, without a newline at the end.

use std::borrow::Cow;

use super::{Column, Formatter, MultiLine};
use crate::output::Output;

#[derive(Debug, Default)]
pub(super) struct Json {
    keys: Vec<Cow<'static, str>>,
    begun: bool,
    /// The bytes of a value that comes in pieces, up to a character that is not complete.
    waiting: Vec<u8>,
    streaming: bool,
}

impl Json {
    fn key(&mut self, at: usize, output: &mut Output) {
        if at == 0 {
            output.stream(if std::mem::replace(&mut self.begun, true) { ",{" } else { "[{" });
        } else {
            output.stream(",");
        }
        let key = self.keys.get(at).map_or("", |key| key);
        output.stream(&format!("\"{}\":\"", escape(key)));
    }

    fn close(&self, at: usize, output: &mut Output) {
        output.stream("\"");
        if at + 1 == self.keys.len() {
            output.stream("}");
        }
    }
}

impl Formatter for Json {
    fn columns(&mut self, columns: &[Column], _output: &mut Output) {
        self.keys = columns.iter().map(|column| column.key.clone()).collect();
    }

    fn value(&mut self, at: usize, value: &str, output: &mut Output) {
        self.key(at, output);
        output.stream(&escape(value));
        self.close(at, output);
    }

    /// As in 2.3 each byte that is no UTF-8 becomes U+FFFD.
    fn piece(&mut self, at: usize, piece: &[u8], output: &mut Output) -> Result<(), MultiLine> {
        if !std::mem::replace(&mut self.streaming, !piece.is_empty()) {
            self.key(at, output);
        }
        self.waiting.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.waiting);
        let mut text = String::new();
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            let cut = chunks.peek().is_none()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if cut && !piece.is_empty() {
                self.waiting = invalid.to_vec();
            } else {
                text.extend(invalid.iter().map(|_| char::REPLACEMENT_CHARACTER));
            }
        }
        output.stream(&escape(&text));
        if piece.is_empty() {
            self.close(at, output);
        }
        Ok(())
    }

    fn end(&mut self, output: &mut Output) {
        output.stream(if self.begun { "]" } else { "[]" });
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => escaped.push(c),
        }
    }
    escaped
}
