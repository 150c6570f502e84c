//! What a database may take and give at most.

use std::time::Duration;

/// How long connecting may take; 2.3's `SQL_CONNECT_TIMEOUT_SECS`, set by `connect_timeout=`.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may be silent; 2.3's `MYSQL_DEFAULT_READ_TIMEOUT_SECS`, set by
/// `read_timeout=`.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for what we send it (`write_timeout=`).
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long SQLite waits for another process's lock.
pub const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// A host that refused a connection is left alone for so long, then twice as long, and so on up
/// to [`RETRY_DELAY_MAX`]; 2.3's `SQL_CONNECT_MIN_DELAY`.
pub const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);

/// The longest time a refusing host is left alone. 2.3 waits up to half an hour
/// (`SQL_CONNECT_MAX_DELAY`), which outlasts every restart of a database by far.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// Rows that a lookup looks at: a second one is an error already.
pub const LOOKUP_ROWS_MAX: usize = 2;
