//! What all commands on mail share: whose mail (`-u`, `-A`, `-F`), the search query, the mailboxes
//! it touches, and how failures are told and counted.

pub(crate) mod boxes;
mod failure;
pub(crate) mod found;
mod job;
mod login;
pub(crate) mod progress;
pub(crate) mod query;
pub(crate) mod through;
mod whose;

pub(crate) use failure::Told;
pub(crate) use job::Job;
pub(crate) use login::open_location;
pub(crate) use query::SearchQuery;
pub(crate) use whose::Whose;
