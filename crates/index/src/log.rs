//! The transaction log, `dovecot.index.log`: its header, its records, and how far a process has read it
//! (`docs/formats/index-log.md`).

pub mod attribute;
pub(crate) mod encode;
pub(crate) mod file;
pub mod header;
pub mod record;

pub use header::LogHeader;
pub use record::{Kind, RawRecord};
