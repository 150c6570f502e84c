//! Attachments that are stored apart from their messages and only once each: `mail_attachment_dir`. A
//! library for the dbox drivers, which keep the references to them in a message's metadata. The bytes
//! are described in `docs/formats/attachments.md`.
//!
//! Saving: an [`Extractor`] takes the message and gives what is left of it, and the references.
//! Reading: [`connect`] puts both together again. Copying and expunging: [`Store::link`],
//! [`Store::delete`].

mod base64;
mod connect;
pub mod detect;
mod extract;
mod hash;
mod limits;
mod refs;
mod store;

pub use connect::connect;
pub use extract::Extractor;
pub use hash::HashFormat;
pub use refs::ExtRef;
pub use store::{Settings, Store};

#[cfg(test)]
mod tests;
