//! What every process that the master starts has in common: one birth order (descriptors, settings,
//! what needs rights, chroot, identity, sandbox, "ready"), the line to the master, accepting
//! clients, the line to anvil, and an orderly end.
//!
//! A process crate exports [`Entry`]s; the binary gives them to [`run`]. What kinds of process
//! there are, as whom they run and behind which walls, is the one [`table`].

pub mod anvil;
pub mod authmaster;
pub mod bans;
mod birth;
mod control;
mod entry;
mod fatal;
pub mod identity;
mod limits;
mod link;
mod logline;
mod process;
pub mod programlog;
pub mod sandbox;
mod serve;
mod shutdown;
pub mod stream;
pub mod table;
mod title;
mod titles;

pub use anvil::Anvil;
pub use birth::run;
pub use entry::{Entry, Opening};
pub use fatal::{Fatal, STATUS_DEFAULT, STATUS_OUT_OF_MEMORY};
pub use link::{Link, LinkError};
pub use logline::scope;
pub use process::{Order, Process};
pub use serve::{Client, ClientGuard};
pub use shutdown::{Phase, Shutdown};
pub use stream::Stream;
pub use titles::{Title, Titles};
