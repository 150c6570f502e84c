//! The `imap` process: sessions of logged-in users (RFC 3501 and extensions) over the mail storage.
//!
//! [`session`] is the protocol as a state machine without sockets, [`command`] has a file per
//! command, [`process`] runs sessions on connections, [`entries`] is what the binary takes.

mod capability;
pub mod command;
pub mod context;
mod entry;
pub mod job;
pub mod limits;
pub mod out;
pub mod process;
pub mod reply;
pub mod selected;
pub mod session;
pub mod settings;
pub mod stats;
mod watcher;

pub use entry::entries;
pub use out::OutBuf;
pub use session::{Clock, Progress, Session};
pub use settings::ImapSettings;
