//! Search over a mailbox: the query tree and the engine that answers it from facts first and opens
//! a message only where nothing else can tell.

mod date;
mod in_thread;
mod one;
pub mod part;
mod plan;
mod pool;
pub mod query;
mod run;

pub use query::{DateKind, Day, Query};
pub use run::{Search, run};
