//! Other programs of ours ask `config` for what the running instance uses (`base_dir/config`, root
//! only).

use serde::{Deserialize, Serialize};

/// To `config`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Query {
    /// The snapshot in force. Answered with [`Answer::Snapshot`].
    Snapshot,
}

/// From `config`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// Descriptor: a sealed memory file with the snapshot.
    Snapshot,
}
