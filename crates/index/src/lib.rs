//! Dovecot's indexes: what is known of a mailbox's messages without opening one. `storage` keeps a
//! mailbox's flags, UIDs and facts here; nothing in this crate knows a mail format.
//!
//! Read in this order: [`view`] (what a session sees), [`fs`] (the one way to files), [`dotlock`].

pub mod cache;
pub mod dotlock;
pub mod error;
pub mod fs;
pub mod list_index;
pub mod mailbox_log;
pub mod settings;
pub mod view;

pub use error::{Error, Result};
pub use settings::FsyncMode;
pub use view::{Changes, Flags, KeywordSet, Record, View};
