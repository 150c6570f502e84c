//! `flow`: `title=value` pairs, a line for each row.

use super::{Column, Formatter, MultiLine};
use crate::output::Output;

#[derive(Debug, Default)]
pub(super) struct Flow {
    columns: Vec<Column>,
    open: bool,
    streaming: bool,
}

impl Flow {
    fn title(&self, at: usize, output: &mut Output) {
        if let Some(column) = self.columns.get(at).filter(|column| !column.untitled) {
            output.stream(&column.title);
            output.stream("=");
        }
    }

    fn next(&mut self, at: usize, output: &mut Output) {
        self.open = at + 1 < self.columns.len();
        output.stream(if self.open { " " } else { "\n" });
    }
}

impl Formatter for Flow {
    fn columns(&mut self, columns: &[Column], _output: &mut Output) {
        self.columns = columns.to_vec();
    }

    fn value(&mut self, at: usize, value: &str, output: &mut Output) {
        self.bytes(at, value.as_bytes(), output);
    }

    fn bytes(&mut self, at: usize, value: &[u8], output: &mut Output) {
        self.title(at, output);
        output.stream_bytes(value);
        self.next(at, output);
    }

    fn piece(&mut self, at: usize, piece: &[u8], output: &mut Output) -> Result<(), MultiLine> {
        if !std::mem::replace(&mut self.streaming, !piece.is_empty()) {
            self.title(at, output);
        }
        output.stream_bytes(piece);
        if piece.is_empty() {
            self.next(at, output);
        }
        Ok(())
    }

    fn end(&mut self, output: &mut Output) {
        if std::mem::take(&mut self.open) {
            output.stream("\n");
        }
    }
}
