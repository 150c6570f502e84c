//! A line that shows how long work goes on: `10/1000`, written over itself. 2.3 writes it with `-v`;
//! here a terminal sees it without, too.

use crate::context::Context;

/// How many steps lie between two updates of the line.
const STEP: u64 = 100;

/// One such line.
pub(crate) struct Progress {
    /// `None` where the end is not known.
    total: Option<u64>,
    done: u64,
    shown: bool,
}

impl Progress {
    pub(crate) fn new(cx: &Context, total: Option<u64>) -> Self {
        Self { total, done: 0, shown: cx.globals.verbose || cx.output.is_terminal() }
    }

    /// One more is done.
    pub(crate) fn step(&mut self, cx: &mut Context) {
        self.done += 1;
        if self.shown && self.done.is_multiple_of(STEP) {
            self.show(cx);
        }
    }

    /// The work is done.
    pub(crate) fn end(self, cx: &mut Context) {
        if !self.shown {
            return;
        }
        if self.total.is_some() {
            self.show(cx);
        }
        // A terminal that has seen no number gets no empty line; 2.3's `-v` gives one.
        if cx.globals.verbose || self.total.is_some() || self.done >= STEP {
            cx.output.plain("\n");
        }
    }

    fn show(&self, cx: &mut Context) {
        match self.total {
            Some(total) => cx.output.plain(&format!("\r{}/{total}", self.done)),
            None => cx.output.plain(&format!("\r{}", self.done)),
        }
        cx.output.flush_plain();
    }
}
