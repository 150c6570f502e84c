//! Search over a mailbox: the query tree and the engine that answers it from facts first and opens
//! a message only where nothing else can tell.

pub mod query;

pub use query::{DateKind, Day, Query};
