//! The Maildir driver: one file per message, flags in file names, UIDs in `dovecot-uidlist`. The files'
//! layouts are in `docs/formats/maildir.md`.

mod change;
mod driver;
mod filename;
mod keywords;
mod names;
mod read;
mod save;
mod scan;
mod state;
mod storage;
mod sync;
mod uidlist;
mod uidvalidity;
mod update;

pub use storage::MaildirStorage;
pub(crate) use uidvalidity::next as next_uid_validity;
