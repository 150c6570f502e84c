//! The `pop3` process: sessions of logged-in users (RFC 1939, RFC 2449) over the mail storage.
//!
//! [`session`] is the protocol as a state machine without sockets, [`command`] has a file per
//! command with work of its own, [`maildrop`] is the numbered INBOX, [`process`] runs sessions on
//! connections. What comes before the login is in the `login` crate.

pub mod command;
pub mod context;
mod entry;
pub mod job;
pub mod limits;
pub mod line;
pub mod maildrop;
pub mod out;
pub mod process;
pub mod reply;
pub mod session;
pub mod settings;
pub mod stats;
pub mod uidl;

pub use entry::entries;
pub use out::OutBuf;
pub use session::{Clock, Progress, Session};
pub use settings::Pop3Settings;
