//! A line that shows how long work goes on: `10/1000`, written over itself. 2.3 writes it with `-v`;
//! here a terminal sees it without, too.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;

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

/// The same for what the storage, or a loop over messages, [tells](storage::progress) of one user, on a
/// terminal only. Ends with this.
pub(crate) struct Count {
    done: Rc<Cell<u64>>,
}

impl Count {
    /// Begins to show it. Where there may be several users the line says whose it is.
    pub(crate) fn begin(cx: &Context, user: Option<&str>) -> Option<Self> {
        if !cx.output.is_terminal() {
            return None;
        }
        let done = Rc::new(Cell::new(0u64));
        let (count, whose) = (done.clone(), user.map_or_else(String::new, |user| format!("{user} ")));
        storage::progress::watch(Some(Box::new(move || {
            count.set(count.get() + 1);
            if count.get().is_multiple_of(STEP) {
                show(&format!("\r{whose}{}", count.get()));
            }
        })));
        Some(Self { done })
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        storage::progress::watch(None);
        if self.done.get() >= STEP {
            show("\n");
        }
    }
}

/// Who cannot see it misses nothing else.
fn show(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
