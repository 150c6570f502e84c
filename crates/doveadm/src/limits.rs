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

/// Nested parentheses in a search query; 2.3 has no limit, and an administrator needs a few.
pub(crate) const QUERY_DEPTH_MAX: usize = 100;

/// Bytes that are read and printed at once.
pub(crate) const COPY_BYTES: usize = 32 * 1024;

/// Characters of `fetch body.preview`, as in 2.3.
pub(crate) const SNIPPET_CHARS: usize = 200;

/// How much of a part's text is looked at for them: an HTML page may begin with long styles.
pub(crate) const SNIPPET_TEXT_BYTES: usize = 1024 * 1024;

/// A header of a part beyond this is cut where it is decoded.
pub(crate) const HEADER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The longest line that `dump` reads of a raw log of an IMAP session, in bytes.
pub(crate) const RAW_LOG_LINE_MAX: u64 = 1 << 20;

/// Largest file that `dump` reads, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 30;

/// How long connecting to a doveadm server may take, as in 2.3.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client of the doveadm server may take to read what was printed, as in 2.3.
pub(crate) const CLIENT_WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A line of the doveadm server's protocol, in bytes: a command with all its arguments, or a log line.
/// 2.3's limit for commands is its input buffer.
pub(crate) const SERVER_LINE_MAX: u64 = 1024 * 1024;

/// A value from a doveadm server that is longer, in bytes, is printed piece by piece.
pub(crate) const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Values and lines of a user that wait until those of the users before are printed.
pub(crate) const HEARD_MAX: usize = 64;

/// A line of Dovecot's dsync protocol, in bytes: names, and attributes that came with it.
pub(crate) const DSYNC_LINE_MAX: u64 = 16 * 1024 * 1024;

/// A message from Dovecot's dsync that is larger, in bytes, waits in a file.
pub(crate) const DSYNC_MEMORY_BYTES: usize = 1024 * 1024;

/// How long the end of a TLS connection waits for the peer to take the last bytes.
pub(crate) const TLS_LINGER: Duration = Duration::from_secs(5);
