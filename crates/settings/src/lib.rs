//! The configuration: its language, every setting with type and default, and the snapshot that
//! processes get.
//!
//! A configuration goes through three shapes. [`Config`] is what was written, with places, for
//! `doveconf` and for messages about mistakes. [`Snapshot`] is what processes are handed: no text
//! to parse, no secrets they may not see. [`Settings`] is a snapshot seen through one filter; a
//! [`key::Key`] reads a value from it.
//!
//! This crate opens no files but in [`StdFiles`], which its callers pass in.

pub mod config;
pub mod decl;
pub mod digest;
mod effect;
pub mod error;
pub mod ext;
pub mod files;
pub mod filter;
mod glob;
pub mod key;
mod lex;
pub mod limits;
mod old;
mod parse;
pub mod secrets;
pub mod snapshot;
pub mod tree;
pub mod value;
pub mod vars;
pub mod view;

mod check;

pub use config::{Config, ParseOptions};
pub use decl::SectionKind;
pub use error::{Diagnostic, Warning};
pub use files::{Files, MemoryFiles, StdFiles};
pub use filter::{Filter, Mask, Network};
pub use key::Key;
pub use snapshot::{Snapshot, SnapshotError};
pub use view::{OverrideError, Plugin, Section, Settings};
