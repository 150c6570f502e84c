//! Dovecot's own mail formats: sdbox, one file for each message, and mdbox, many messages in a file.
//! Both need the index: flags, UIDs and the order of messages are there only.
//!
//! Read in this order: [`header`] and [`metadata`] (the parts of a file), [`file`](mod@file) (reading
//! one), [`mend`] (reading a damaged one), [`records`] (what stands in the indexes), [`names`]. The
//! bytes are described in `docs/formats/dbox.md`.

mod apart;
mod body;
pub mod file;
pub mod header;
mod mailbox;
pub mod mend;
pub mod metadata;
mod multi;
pub mod names;
mod places;
pub mod records;
mod repair;
mod save;
mod single;
mod storage;
mod write;

pub use storage::DboxStorage;

pub(crate) use single::now as unix_now;
pub(crate) use write::unix_secs;

use std::io;

/// Why a dbox file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused to read.
    #[error("read() failed")]
    Io(#[from] io::Error),
    /// The bytes are not what they must be; [`mend::mend`] may help.
    #[error("Corrupted dbox file (around offset={offset}): {what}")]
    Damaged {
        /// Where, in bytes from the file's start.
        offset: u64,
        /// In 2.3's words.
        what: &'static str,
    },
}

impl FileError {
    pub(crate) fn damaged(offset: u64, what: &'static str) -> Self {
        Self::Damaged { offset, what }
    }
}
