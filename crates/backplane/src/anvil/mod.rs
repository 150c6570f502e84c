//! x
mod penalty;
mod sessions;
