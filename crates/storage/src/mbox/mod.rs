//! mbox: one file for each mailbox, which other programs append to and change. Flags and UIDs stand in
//! headers of the messages, so that a mailbox survives without its index.
//!
//! Read in this order: [`from_line`] and [`scan`] (where messages begin and end), [`header`] (what
//! their headers say to us), [`rewrite`] (what they are to say), [`moves`] (bringing that into the
//! file), [`save`], [`lock`], [`md5`]. The bytes are described in `docs/formats/mbox.md`.

mod batch;
mod compressed;
mod driver;
pub mod from_line;
pub mod header;
pub mod lock;
pub mod md5;
pub mod moves;
mod places;
mod privileged;
mod read;
pub mod records;
pub mod rewrite;
pub mod save;
pub mod scan;
mod spool;
mod storage;
mod sync;
mod write;

pub use storage::MboxStorage;
