//! Mailboxes on disk: what every protocol, tool and delivery agent uses to list, open, read and
//! change mail. All of it is plain synchronous Rust; nothing here knows a network protocol.
//!
//! Read in this order: [`api`] (the traits), [`view`] (what a session sees), [`facts`] (what is
//! known of a message), [`error`], then the driver [`maildir`]. What all drivers share: [`compress`],
//! [`attachment`].

pub mod api;
pub mod attachment;
pub mod attributes;
mod by_guid;
pub mod compress;
pub mod dbox;
mod denied;
mod dirs;
pub mod error;
pub mod facts;
mod indexed;
mod layout;
pub mod limits;
mod list_index;
pub mod location;
mod lock_file;
pub mod maildir;
pub mod mbox;
pub mod memo;
pub mod notify;
mod place;
pub mod progress;
mod remove;
pub mod search;
mod session_lock;
pub mod settings;
pub mod sort;
pub mod source;
pub mod stored;
mod subscriptions;
pub mod thread;
mod threads;

pub use index::{fs, mailbox_log, view};

pub use api::{
    CacheDecision, CacheField, CachedField, Copied, CopyBytes, CopyMode, FileFormat, FlagChange, FlagMode,
    Mailbox, MailboxState, MailboxUpdate, MessageReader, OpenMode, SaveBatch, SaveMeta, Saved, SortRanks,
    Status, StatusItems, Storage, SyncMode,
};
pub use by_guid::GuidStorage;
pub use compress::Compression;
pub use dbox::DboxStorage;
pub use error::{Error, ErrorKind, Result};
pub use facts::{Facts, NumberFact, Wanted};
pub use location::Location;
pub use lock_file::UserLock;
pub use maildir::MaildirStorage;
pub use mbox::MboxStorage;
pub use notify::{Hub, Subscription};
pub use session_lock::SessionLock;
pub use settings::MailSettings;
pub use view::{Changes, Flags, KeywordSet, Record, View};
