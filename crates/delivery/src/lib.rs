//! Mail on its way into mailboxes. [`deliver`] puts a message into one mailbox of one user and says so
//! in the log; [`lda`] is `dovecot-lda`, which a mail transfer agent runs for each message.
//!
//! A message is acknowledged only when it is safe on disk. It appears whole and once, or not at all.

pub mod deliver;
pub mod lda;
mod limits;
