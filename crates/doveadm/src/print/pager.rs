//! `pager`: a line for each value, rows apart by a form feed.

use super::{Column, Formatter, MultiLine};
use crate::output::Output;

#[derive(Debug, Default)]
pub(super) struct Pager {
    columns: Vec<Column>,
    begun: bool,
    streaming: bool,
    open: bool,
}

impl Pager {
    fn title(&self, at: usize, end: &str, output: &mut Output) {
        if let Some(column) = self.columns.get(at).filter(|column| !column.untitled) {
            output.stream(&column.title);
            output.stream(end);
        }
    }

    fn next(&mut self, at: usize) {
        self.open = at + 1 < self.columns.len();
    }
}

impl Formatter for Pager {
    fn columns(&mut self, columns: &[Column], _output: &mut Output) {
        self.columns = columns.to_vec();
    }

    fn value(&mut self, at: usize, value: &str, output: &mut Output) {
        self.bytes(at, value.as_bytes(), output);
    }

    fn bytes(&mut self, at: usize, value: &[u8], output: &mut Output) {
        if at == 0 && self.begun {
            output.stream("\x0c\n");
        }
        self.begun = true;
        self.title(at, ": ", output);
        output.stream_bytes(value);
        output.stream("\n");
        self.next(at);
    }

    /// As in 2.3, no form feed goes before a row that begins with such a value.
    fn piece(&mut self, at: usize, piece: &[u8], output: &mut Output) -> Result<(), MultiLine> {
        if !std::mem::replace(&mut self.streaming, !piece.is_empty()) {
            self.title(at, ":\n", output);
        }
        output.stream_bytes(piece);
        if piece.is_empty() {
            self.next(at);
        }
        Ok(())
    }

    fn end(&mut self, output: &mut Output) {
        if std::mem::take(&mut self.open) {
            output.stream("\n");
        }
    }
}
