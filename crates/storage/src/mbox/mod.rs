//! mbox.
