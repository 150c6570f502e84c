//! How much one session may hold and do at a time.

use std::time::Duration;

/// Output that may wait for the client before the session stops making more. Large enough to fill
/// the network, small enough for thousands of slow readers.
pub const OUT_BYTES_SOFT_MAX: usize = 128 * 1024;

/// Read from the client at once.
pub const READ_BYTES: usize = 16 * 1024;

/// The pieces in which message text is copied to the output.
pub const COPY_BYTES: usize = 16 * 1024;

/// As in 2.3: so many invalid commands in a row, and the client is sent away.
pub const BAD_COMMANDS_MAX: u32 = 20;

/// RFC 3501 §5.4: the least time after which an inactive client may be sent away; 2.3's too.
pub const INACTIVITY_MAX: Duration = Duration::from_secs(30 * 60);

/// How long a client may leave output unread, as in 2.3.
pub const UNREAD_OUTPUT_MAX: Duration = Duration::from_secs(5 * 60);

/// The line that ends IDLE is `DONE`; anything longer is wrong and need not be kept.
pub const IDLE_LINE_BYTES_MAX: usize = 1024;

/// Messages looked at, or untagged lines made, before the session lets others run.
pub const STEP_MESSAGES_MAX: usize = 2048;

/// How long a search goes on before the session lets others run.
pub const STEP_TIME: Duration = Duration::from_millis(50);

/// How often a client is told how far its search is, as in 2.3.
pub const SEARCH_PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// How long the mailbox of an APPEND stays open for the next one.
pub const DESTINATION_KEPT: Duration = Duration::from_secs(1);

/// How long a thread that has done storage work waits for the client's next command before it serves
/// others: longer than a client nearby needs, and nothing for one far away.
pub const LINGER: Duration = Duration::from_millis(1);

/// How long a client that gives one command after the other may keep a thread to itself, and how late it
/// learns that it has to go.
pub const STRETCH_MAX: Duration = Duration::from_millis(100);
