//! What doveadm accepts from the sockets it asks.

use std::time::Duration;

/// A line of the auth protocols; userdb fields may be long. 2.3's limit is 8192 for clients.
pub(crate) const AUTH_LINE_MAX: u64 = 64 * 1024;

/// How long an auth answer may take: slower than any database that still answers
/// (2.3's `MASTER_AUTH_LOOKUP_TIMEOUT_SECS`).
pub(crate) const AUTH_TIMEOUT: Duration = Duration::from_secs(90);

/// How long the master, anvil and log may take; they answer from memory. 2.3 waits 5 seconds.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A password that is asked for, in bytes.
pub(crate) const PASSWORD_MAX: usize = 1024;

/// How often `stop` looks whether the master is gone. 2.3 gives up after 30 looks; a master whose
/// clients are slow to take their goodbye needs longer, and `stop` followed by a start must work.
pub(crate) const STOP_TRIES: u32 = 150;
/// How long it waits between two looks, as in 2.3.
pub(crate) const STOP_INTERVAL: Duration = Duration::from_millis(100);
