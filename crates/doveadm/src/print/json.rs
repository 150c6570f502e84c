//! `json`: an array of objects, all values as strings, without a newline at the end.

use super::{Column, Formatter};
use crate::output::Output;

#[derive(Debug, Default)]
pub(super) struct Json {
    keys: Vec<&'static str>,
    begun: bool,
}

impl Formatter for Json {
    fn columns(&mut self, columns: &[Column], _output: &mut Output) {
        self.keys = columns.iter().map(|column| column.key).collect();
    }

    fn value(&mut self, at: usize, value: &str, output: &mut Output) {
        if at == 0 {
            output.stream(if std::mem::replace(&mut self.begun, true) { ",{" } else { "[{" });
        } else {
            output.stream(",");
        }
        let key = self.keys.get(at).copied().unwrap_or_default();
        output.stream(&format!("\"{}\":\"{}\"", escape(key), escape(value)));
        if at + 1 == self.keys.len() {
            output.stream("}");
        }
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
