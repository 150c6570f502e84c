//! What a stranger may make this process hold or wait for. Where 2.3 has the same limit, so named.

use std::time::Duration;

/// From connecting to being logged in (2.3's `CLIENT_LOGIN_TIMEOUT_MSECS`). It bounds everything a
/// stranger can do here, slow bytes and half handshakes included.
pub(crate) const LOGIN_TIMEOUT: Duration = Duration::from_secs(180);

/// How much is read from a client at once; also the most input that waits here while an
/// authentication is on, since nothing is read meanwhile.
pub(crate) const READ_BYTES: usize = 4096;

/// A POP3 command line (2.3's `LOGIN_MAX_INBUF_SIZE`; RFC 2449 §4 asks for 255).
pub(crate) const POP3_LINE_BYTES_MAX: usize = 1026;

/// A line of a SASL exchange, initial responses included (2.3's `LOGIN_MAX_AUTH_BUF_SIZE`).
pub(crate) const AUTH_LINE_BYTES_MAX: usize = 8192;

/// The longest IMAP tag that is accepted (2.3's `IMAP_TAG_MAX_LEN`).
pub(crate) const TAG_BYTES_MAX: usize = 126;

/// Bad commands until the client is sent away (2.3's `CLIENT_MAX_BAD_COMMANDS`).
pub(crate) const BAD_COMMANDS_MAX: u32 = 3;

/// Output that is collected before it is written, though there are more commands to look at. While a
/// client does not take it, nothing more is read or executed.
pub(crate) const OUTPUT_BYTES: usize = 8 * 1024;

/// Length of a session id that a trusted proxy may set (2.3's `LOGIN_MAX_SESSION_ID_LEN`).
pub(crate) const SESSION_ID_BYTES_MAX: usize = 64;

/// Key and values of ID kept for the auth process (2.3's `LOGIN_MAX_CLIENT_ID_LEN`).
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 256;

/// A field's name in ID (RFC 2971 §3.3).
pub(crate) const ID_KEY_BYTES_MAX: usize = 30;

/// Fields that a trusted proxy may forward to the auth process.
pub(crate) const FORWARD_BYTES_MAX: usize = 4096;

/// Names are cut in log lines (2.3's `str_sanitize` lengths).
pub(crate) const LOG_USER_BYTES_MAX: usize = 80;
/// The mechanism's name in log lines.
pub(crate) const LOG_MECH_BYTES_MAX: usize = 64;
/// The name asked for by SNI in log lines.
pub(crate) const LOG_LOCAL_NAME_BYTES_MAX: usize = 256;

/// After this long without an auth process the log says why nobody is greeted.
pub(crate) const AUTH_WAITING_WARNING: Duration = Duration::from_secs(10);

/// After this long in an authentication the client is told that we wait.
pub(crate) const AUTH_WAITING_NOTE: Duration = Duration::from_secs(30);

/// How long a login waits for the auth process that takes the place of one that went away.
pub(crate) const AUTH_REPLACED: Duration = Duration::from_secs(10);

/// A line of the auth protocol. Ours is as generous as `service`'s master client.
pub(crate) const AUTH_REPLY_BYTES_MAX: usize = 64 * 1024;

/// Room for one read from the auth process; a usual answer is a tenth of it.
pub(crate) const AUTH_READ_BYTES: usize = 1024;

/// Pause between attempts to reach the auth process.
pub(crate) const AUTH_RECONNECT: Duration = Duration::from_secs(1);

/// How long a hand-over may take (half the login timeout, as in 2.3).
pub(crate) const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(90);

/// How long connecting to a mail process's socket is tried again while its backlog is full.
pub(crate) const HAND_OVER_RETRY: Duration = Duration::from_secs(5);

/// How long a client that is sent away may take to read its goodbye.
pub(crate) const GOODBYE: Duration = Duration::from_millis(500);

/// One step of the TLS proxy after login; the buffer is shared by all connections of the process.
pub(crate) const PROXY_STEP_BYTES: usize = 16 * 1024;

/// Distinct settings (by network and server name) whose TLS contexts and texts are kept ready.
pub(crate) const CONFIGS_MAX: usize = 4096;

/// How long TLS proxies go on once the process stops: the mail processes say goodbye through them.
pub(crate) const PROXY_GRACE: Duration = Duration::from_secs(5);

/// Pause after an `accept` that failed.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The master is told of clients that come and go at most this often.
pub(crate) const STATUS_PAUSE: Duration = Duration::from_millis(100);

/// A line of another server during a login (2.3's `MAX_PROXY_INPUT_SIZE`).
pub(crate) const BACKEND_LINE_BYTES_MAX: usize = 4096;

/// What of such a line is shown in the log.
pub(crate) const BACKEND_LINE_SHOWN_BYTES: usize = 160;

/// Pause before another server is tried again (2.3's `PROXY_CONNECT_RETRY_MSECS`).
pub(crate) const BACKEND_RETRY: Duration = Duration::from_secs(1);

/// Another attempt is not made where less than this is left of its time
/// (2.3's `PROXY_CONNECT_RETRY_MIN_MSECS`).
pub(crate) const BACKEND_RETRY_LEFT: Duration = Duration::from_millis(1100);

/// When the process stops, proxied clients that were silent for so long are sent away at once, others as
/// soon as they are (2.3's `LOGIN_PROXY_DIE_IDLE_SECS`).
pub(crate) const RELAY_IDLE: Duration = Duration::from_secs(2);

/// What a post-login script may say to a client that it sends away.
pub(crate) const SCRIPT_WORDS_BYTES_MAX: u64 = 16 * 1024;
