//! SASL on the server's side, and the password schemes that passdbs store.
//!
//! Everything here is pure: bytes in, bytes out. Mechanisms are state machines that never look
//! anything up themselves ([`mech`]), schemes get their salt from the caller ([`scheme`]). The
//! `auth` process drives both; `doveadm pw` uses the schemes only.

pub mod encoding;
pub mod limits;
pub mod mech;
pub mod scheme;
mod secret;
pub mod totp;

pub use secret::Secret;
