//! What can go wrong with an index file.

use std::io;
use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an index could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused a call.
    #[error("{op}({path}) failed", path = path.display())]
    Io {
        /// The system call or step.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds what it must not hold and could not be mended.
    #[error("Corrupted file {path} at offset {offset}: {what}", path = path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// Somebody else kept a lock for too long.
    #[error("{0}")]
    Busy(String),
}

impl Error {
    /// A failed system call on `path`.
    pub fn io(op: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { op, path: path.into(), source }
    }
}
