//! A text for each row, in which `%{key}` stands for a column.

use std::borrow::Cow;

use super::{Column, Formatter, MultiLine};
use crate::output::Output;

#[derive(Debug)]
pub(super) struct Formatted {
    text: &'static str,
    keys: Vec<Cow<'static, str>>,
    row: Vec<String>,
    pieces: Vec<u8>,
}

impl Formatted {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, keys: Vec::new(), row: Vec::new(), pieces: Vec::new() }
    }

    fn expand(&self) -> String {
        let mut expanded = String::new();
        let mut rest = self.text;
        while let Some((before, after)) = rest.split_once("%{") {
            let (key, after) = after.split_once('}').unwrap_or((after, ""));
            let at = self.keys.iter().position(|known| **known == *key);
            expanded.push_str(before);
            expanded.push_str(at.and_then(|at| self.row.get(at)).map_or("", String::as_str));
            rest = after;
        }
        expanded.push_str(rest);
        expanded
    }
}

impl Formatter for Formatted {
    fn columns(&mut self, columns: &[Column], _output: &mut Output) {
        self.keys = columns.iter().map(|column| column.key.clone()).collect();
    }

    fn value(&mut self, _at: usize, value: &str, output: &mut Output) {
        self.row.push(value.to_owned());
        if self.row.len() == self.keys.len() {
            output.stream(&self.expand());
            output.flush_stream();
            self.row.clear();
        }
    }

    fn piece(&mut self, at: usize, piece: &[u8], output: &mut Output) -> Result<(), MultiLine> {
        self.pieces.extend_from_slice(piece);
        if piece.is_empty() {
            let value = std::mem::take(&mut self.pieces);
            self.value(at, &String::from_utf8_lossy(&value), output);
        }
        Ok(())
    }

    fn end(&mut self, _output: &mut Output) {}
}
