//! `flow`: `title=value` pairs, a line for each row.

use super::{Column, Formatter};
use crate::output::Output;

#[derive(Debug, Default)]
pub(super) struct Flow {
    titles: Vec<&'static str>,
    open: bool,
}

impl Formatter for Flow {
    fn columns(&mut self, columns: &[Column], _output: &mut Output) {
        self.titles = columns.iter().map(|column| column.title).collect();
    }

    fn value(&mut self, at: usize, value: &str, output: &mut Output) {
        self.open = at + 1 < self.titles.len();
        output.stream(self.titles.get(at).copied().unwrap_or_default());
        output.stream("=");
        output.stream(value);
        output.stream(if self.open { " " } else { "\n" });
    }

    fn end(&mut self, output: &mut Output) {
        if std::mem::take(&mut self.open) {
            output.stream("\n");
        }
    }
}
