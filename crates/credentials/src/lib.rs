//! Files with users' credentials that the server itself changes: application passwords, and the
//! hashes of passwd-files. `auth -w` and `doveadm` use them.
//!
//! A file is replaced as a whole under a dotlock, and never before the new one is on disk: whatever
//! fails, the old one is still there.

pub mod app_password;
pub mod limits;
pub mod passwd_file;
mod rewrite;

pub use rewrite::RewriteError;
