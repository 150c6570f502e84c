//! `auth_failure_delay`: the answer to a failed login waits, so that guessing is slow, and comes in
//! an order that tells nothing about what happened behind it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::limits::FAILURE_TICK;

/// Failures that wait for their time.
#[derive(Default)]
pub(crate) struct Delays {
    waiting: RefCell<VecDeque<(Instant, oneshot::Sender<()>)>>,
    is_ticking: Cell<bool>,
}

impl Delays {
    /// Waits for `delay` and until the next tick.
    pub(crate) async fn wait(self: &Rc<Self>, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push_back((Instant::now() + delay, sender));
        if !self.is_ticking.replace(true) {
            tokio::task::spawn_local(tick(self.clone()));
        }
        let _ = receiver.await;
    }

    /// Lets all go, when the process ends.
    pub(crate) fn flush(&self) {
        self.waiting.borrow_mut().clear();
    }

    fn release_due(&self) {
        let now = Instant::now();
        let mut due = Vec::new();
        self.waiting.borrow_mut().retain_mut(|(at, sender)| {
            if *at > now {
                return true;
            }
            due.push(std::mem::replace(sender, oneshot::channel().0));
            false
        });
        while !due.is_empty() {
            let at = usize::try_from(crate::random::below(due.len() as u64)).unwrap_or(0);
            let _ = due.swap_remove(at).send(());
        }
    }
}

async fn tick(delays: Rc<Delays>) {
    loop {
        sleep(FAILURE_TICK).await;
        delays.release_due();
        if delays.waiting.borrow().is_empty() {
            delays.is_ticking.set(false);
            return;
        }
    }
}
