//! `tab`: values with tabs between them, a line for each row.

use super::{Column, Formatter, MultiLine};
use crate::output::Output;

#[derive(Debug)]
pub(super) struct Tab {
    hide_titles: bool,
    count: usize,
    titles_ended: bool,
}

impl Tab {
    pub(super) fn new(hide_titles: bool) -> Self {
        Self { hide_titles, count: 0, titles_ended: hide_titles }
    }

    fn end_titles(&mut self, output: &mut Output) {
        if !std::mem::replace(&mut self.titles_ended, true) {
            output.stream("\n");
        }
    }
}

impl Formatter for Tab {
    fn columns(&mut self, columns: &[Column], output: &mut Output) {
        self.count = columns.len();
        if !self.hide_titles {
            let titles: Vec<&str> = columns.iter().map(|column| &*column.title).collect();
            output.stream(&titles.join("\t"));
        }
    }

    fn value(&mut self, at: usize, value: &str, output: &mut Output) {
        self.bytes(at, value.as_bytes(), output);
    }

    fn bytes(&mut self, at: usize, value: &[u8], output: &mut Output) {
        self.end_titles(output);
        if at > 0 {
            output.stream("\t");
        }
        output.stream_bytes(value);
        if at + 1 == self.count {
            output.stream("\n");
        }
    }

    /// As in 2.3 every piece has a tab before it, and so has the end.
    fn piece(&mut self, at: usize, piece: &[u8], output: &mut Output) -> Result<(), MultiLine> {
        if piece.is_empty() {
            self.value(at, "", output);
            return Ok(());
        }
        self.end_titles(output);
        if at > 0 {
            output.stream("\t");
        }
        output.stream_bytes(piece);
        Ok(())
    }

    fn end(&mut self, output: &mut Output) {
        self.end_titles(output);
    }
}
