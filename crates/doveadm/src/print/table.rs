//! `table`: columns under one another. The first rows are kept back to find the widths.

use super::{Column, Formatter, MultiLine};
use crate::output::Output;

/// Rows that decide on the widths.
const ROWS_KEPT: usize = 100;

#[derive(Debug)]
pub(super) struct Table {
    hide_titles: bool,
    width: usize,
    columns: Vec<Fitted>,
    kept: Vec<String>,
    /// The widths are found, values are printed as they come.
    running: bool,
    next: usize,
    /// What came of a value in pieces.
    pieces: Vec<u8>,
}

#[derive(Debug)]
struct Fitted {
    column: Column,
    shortest: usize,
    longest: usize,
    width: usize,
}

impl Table {
    pub(super) fn new(hide_titles: bool, width: usize) -> Self {
        Self {
            hide_titles,
            width,
            columns: Vec::new(),
            kept: Vec::new(),
            running: false,
            next: 0,
            pieces: Vec::new(),
        }
    }

    fn begin(&mut self, output: &mut Output) {
        self.running = true;
        self.measure();
        self.fit();
        if !self.hide_titles && self.columns.iter().any(|fitted| !fitted.column.untitled) {
            let titles: Vec<String> =
                self.columns.iter().map(|fitted| fitted.pad(&fitted.column.title)).collect();
            output.line(&titles.join(" "));
        }
        for value in std::mem::take(&mut self.kept) {
            self.print(&value, output);
        }
    }

    fn measure(&mut self) {
        let count = self.columns.len().max(1);
        for row in self.kept.chunks(count) {
            for (fitted, value) in self.columns.iter_mut().zip(row) {
                let length = value.chars().count();
                fitted.shortest = fitted.shortest.min(length);
                if length > fitted.longest {
                    (fitted.longest, fitted.width) = (length, length);
                }
            }
        }
    }

    /// Makes columns narrower from the right until the table fits, or wider where there is room.
    fn fit(&mut self) {
        let mut total: usize = self.columns.iter().map(|fitted| fitted.longest + 1).sum::<usize>().max(1) - 1;
        while total > self.width {
            let before = total;
            for fitted in self.columns.iter_mut().rev() {
                let spare = fitted.width.saturating_sub(fitted.shortest);
                if total - spare.min(total) <= self.width {
                    let cut = total - self.width;
                    fitted.width -= cut.min(fitted.width);
                    total -= cut;
                    break;
                }
                if spare > 0 {
                    fitted.width -= if spare == 1 { 1 } else { spare / 2 };
                }
            }
            if total == before {
                break;
            }
        }
        if total < self.width {
            let wide = self.columns.iter().position(|fitted| fitted.column.expand);
            let wide = wide.unwrap_or(self.columns.len().saturating_sub(1));
            if let Some(fitted) = self.columns.get_mut(wide) {
                fitted.width += (self.width - total) / 2;
            }
        }
    }

    fn print(&mut self, value: &str, output: &mut Output) {
        let Some(fitted) = self.columns.get(self.next) else { return };
        output.plain(&fitted.pad(value));
        self.next += 1;
        if self.next == self.columns.len() {
            self.next = 0;
            output.plain("\n");
        } else {
            output.plain(" ");
        }
    }
}

impl Fitted {
    fn pad(&self, text: &str) -> String {
        if self.column.right {
            format!("{text:>width$}", width = self.width)
        } else {
            format!("{text:<width$}", width = self.width)
        }
    }
}

impl Formatter for Table {
    fn columns(&mut self, columns: &[Column], _output: &mut Output) {
        self.columns = columns
            .iter()
            .map(|column| {
                let length = column.title.len();
                Fitted { column: column.clone(), shortest: length, longest: length, width: length }
            })
            .collect();
    }

    fn value(&mut self, _at: usize, value: &str, output: &mut Output) {
        if self.running {
            return self.print(value, output);
        }
        if self.kept.len() < ROWS_KEPT * self.columns.len() {
            return self.kept.push(value.to_owned());
        }
        self.begin(output);
        self.print(value, output);
    }

    fn piece(&mut self, at: usize, piece: &[u8], output: &mut Output) -> Result<(), MultiLine> {
        if piece.contains(&b'\n') {
            return Err(MultiLine);
        }
        self.pieces.extend_from_slice(piece);
        if piece.is_empty() {
            let value = std::mem::take(&mut self.pieces);
            self.value(at, &String::from_utf8_lossy(&value), output);
        }
        Ok(())
    }

    fn end(&mut self, output: &mut Output) {
        if !self.running && !self.columns.is_empty() {
            self.begin(output);
        }
    }
}
