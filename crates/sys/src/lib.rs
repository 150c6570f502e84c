//! What only the operating system can do, behind safe functions: starting processes, passing
//! descriptors, changing identity, sealed memory files, locks, titles and sandboxes.
//!
//! This is the only crate of the workspace that holds `unsafe`; every block says why it is sound.
//! Nothing here knows about mail, settings or protocols.

#![allow(unsafe_code)]

pub mod accounts;
pub mod clock;
pub mod disk;
mod dynamic;
pub mod gssapi;
pub mod inherit;
pub mod lock;
pub mod malloc;
pub mod memfile;
pub mod pam;
pub mod pass;
pub mod peer;
pub mod privilege;
pub mod sandbox;
pub mod signal;
pub mod spawn;
pub mod title;
