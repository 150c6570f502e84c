//! The words every other crate speaks: message numbers and sets of them, sizes and times with
//! units, the log line on its way out, and the printer of error chains.
//!
//! No files, sockets, clocks or threads live here, and no crate of the workspace is imported.

pub mod error;
pub mod filter;
pub mod id;
pub mod idset;
pub mod json_line;
pub mod log;
pub mod mutf7;
pub mod tab;
pub mod units;

pub use error::{chain, reason};
pub use id::{Guid, ModSeq, Seq, Uid, UidValidity};
pub use idset::{IdSet, SeqSet, UidSet};
pub use json_line::json_line;
pub use log::{Level, Logger};
