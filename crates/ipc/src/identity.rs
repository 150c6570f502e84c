//! A mail process that is still privileged passes a client on to the process of the user's identity
//! (`base_dir/identity/`, its own user only). A connection carries many passes, one at a time.

use serde::{Deserialize, Serialize};

use crate::handover::Request;

/// A client whose user is known. Descriptors: the client's socket, and the connection on which the
/// login process waits for the [`crate::handover::Reply`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pass {
    /// What the login process said.
    pub request: Request,
    /// The user's name.
    pub username: String,
    /// The userdb's fields.
    pub fields: Vec<(String, String)>,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PassReply {
    /// The client is ours now.
    Taken,
    /// As many sessions as may be, or the process is about to end: try another.
    Full,
}
