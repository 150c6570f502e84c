//! How far long work is: what goes through many messages tells each of them to whoever watches on the same
//! thread. doveadm shows the count on a terminal.

use std::cell::RefCell;

/// Hears of each step.
pub type Watcher = Box<dyn FnMut()>;

thread_local! {
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

/// Has `watcher` hear of all steps on this thread from now on, in place of who heard them before.
pub fn watch(watcher: Option<Watcher>) {
    WATCHER.with_borrow_mut(|place| *place = watcher);
}

/// A message has been dealt with.
pub fn step() {
    WATCHER.with(|place| {
        // Whoever counts does not count what it does itself.
        if let Ok(mut watcher) = place.try_borrow_mut()
            && let Some(watcher) = &mut *watcher
        {
            watcher();
        }
    });
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn steps_are_heard_while_somebody_watches() {
        let count = Rc::new(Cell::new(0));
        let heard = count.clone();
        super::step();
        super::watch(Some(Box::new(move || heard.set(heard.get() + 1))));
        super::step();
        super::step();
        super::watch(None);
        super::step();
        assert_eq!(count.get(), 2);
    }
}
