//! How much one session may hold and do at a time.

use std::time::Duration;

/// A command line with its end. RFC 2449 §4 allows 255 bytes; 2.3's buffer has 2048.
pub const LINE_BYTES_MAX: usize = 2048;

/// Read from the client at once. Commands are short, even when many come together.
pub const READ_BYTES: usize = 4 * 1024;

/// Output that may wait for the client before the session stops making more. Large enough to fill
/// the network, small enough for thousands of slow readers.
pub const OUT_BYTES_SOFT_MAX: usize = 64 * 1024;

/// The pieces in which message text is copied to the output.
pub const COPY_BYTES: usize = 16 * 1024;

/// As in 2.3: after more than so many invalid commands in a row the client is sent away.
pub const BAD_COMMANDS_MAX: u32 = 20;

/// RFC 1939 §3: the least time after which an inactive client may be sent away; 2.3's too. A
/// client that leaves output unread for so long is sent away as well.
pub const INACTIVITY_MAX: Duration = Duration::from_secs(10 * 60);

/// How long the session works before it lets others run.
pub const STEP_TIME: Duration = Duration::from_millis(50);

/// How often INBOX is read anew when messages vanish while their sizes are being found out.
pub const OPEN_TRIES_MAX: u32 = 3;

/// How long a login waits for another session of the user to end (`pop3_lock_session`), as in 2.3.
pub const SESSION_LOCK_WAIT: Duration = Duration::from_secs(10);

/// How often it looks whether the other session has ended.
pub const SESSION_LOCK_POLL: Duration = Duration::from_millis(100);

/// How often the session's lock is refreshed. Another host takes it for stale after five minutes.
pub const SESSION_LOCK_REFRESH: Duration = Duration::from_secs(60);
