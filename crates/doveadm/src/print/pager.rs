//! `pager`: a line for each value, rows apart by a form feed.

use super::{Column, Formatter};
use crate::output::Output;

#[derive(Debug, Default)]
pub(super) struct Pager {
    titles: Vec<&'static str>,
    begun: bool,
}

impl Formatter for Pager {
    fn columns(&mut self, columns: &[Column], _output: &mut Output) {
        self.titles = columns.iter().map(|column| column.title).collect();
    }

    fn value(&mut self, at: usize, value: &str, output: &mut Output) {
        if at == 0 && std::mem::replace(&mut self.begun, true) {
            output.stream("\x0c\n");
        }
        output.stream(self.titles.get(at).copied().unwrap_or_default());
        output.stream(": ");
        output.stream(value);
        output.stream("\n");
    }

    fn end(&mut self, _output: &mut Output) {}
}
