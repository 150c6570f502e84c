//! Dovecot's indexes: what is known of a mailbox's messages without opening one. `storage` keeps a
//! mailbox's flags, UIDs and facts here; nothing in this crate knows a mail format.
//!
//! Read in this order: [`view`] (what a session sees), [`transaction`] (what changes), [`index`] (the
//! files), [`fs`] (the one way to them), [`dotlock`]. The bytes are in `docs/formats/index.md` and
//! `index-log.md`.

pub mod cache;
pub mod dotlock;
pub mod dump;
pub mod error;
pub mod fs;
pub mod header;
pub mod index;
pub mod limits;
pub mod list_index;
pub mod log;
pub mod mailbox_log;
mod map;
pub mod settings;
pub mod transaction;
pub mod view;

pub use error::{Error, Result};
pub use header::Header;
pub use index::{Index, Locked, Pending};
pub use settings::{FsyncMode, LockMethod, Place, Settings};
pub use transaction::{AttributeUpdate, ExtSpec, Origin, Transaction};
pub use view::{Changes, ExtId, Flags, KeywordSet, Record, View};
