//! What a database may take and give at most.

use std::time::Duration;

/// How long connecting may take; 2.3's `SQL_CONNECT_TIMEOUT_SECS`, set by `connect_timeout=`.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take; 2.3's `MYSQL_DEFAULT_READ_TIMEOUT_SECS`, set by `read_timeout=`. Lists have
/// that time for each thousand rows. Asking is part of it.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

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

/// Rows that nobody asked for and that are read nevertheless, so that the connection can be used again. A
/// server that sends more loses it.
pub const SQL_ROWS_PASSED_MAX: usize = 1000;

/// What the rows of one answer may take in memory: a list of some million users.
pub const SQL_ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The longest message that a PostgreSQL server may send. A row of a lookup is some hundred bytes; a
/// peer that announces more speaks another protocol.
pub const PGSQL_MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest packet of a MySQL server before a login is through. A greeting has a hundred bytes.
pub const MYSQL_LOGIN_PACKET_BYTES_MAX: usize = 64 * 1024;

/// The longest packet after that. The protocol joins packets of this length to longer ones, which no row
/// of a lookup is.
pub const MYSQL_PACKET_BYTES_MAX: usize = 0xff_ffff - 1;

/// Columns of an answer; as many as a table can have.
pub const MYSQL_COLUMNS_MAX: u64 = 4096;

/// Statements of which the server is asked to remember the plan.
pub const MYSQL_STATEMENTS_MAX: usize = 16;

/// How long connecting to an LDAP server may take; 2.3's `DB_LDAP_CONNECT_TIMEOUT_SECS`.
pub const LDAP_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an LDAP server may take for an answer. 2.3 waits a minute
/// (`DB_LDAP_REQUEST_LOST_TIMEOUT_SECS`), as long as a worker may take for all of a request. Lists have that
/// time for each thousand entries.
pub const LDAP_REQUEST_TIMEOUT: Duration = Duration::from_secs(25);

/// The longest message of an LDAP server: an entry with the attributes that were asked for.
pub const LDAP_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How deep filters may stand within filters.
pub const LDAP_FILTER_DEPTH_MAX: usize = 32;
/// The same for a dictionary's directory where its file says nothing of `timeout`, as 2.3 has it.
pub const LDAP_DICT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer of an HTTP server that is read: some facts about a token are a few kilobytes.
pub const HTTP_RESPONSE_BYTES_MAX: usize = 1024 * 1024;

/// How long an OAuth 2.0 server may take, below what a worker may take for a request. 2.3's
/// `timeout_msecs = 0` waits for ever.
pub const OAUTH2_TIMEOUT: Duration = Duration::from_secs(25);

/// The longest web token that is looked at. Clients cannot send more than a line has.
pub const JWT_BYTES_MAX: usize = 64 * 1024;

/// How deep fields of objects within a token are looked for.
pub const JWT_DEPTH_MAX: usize = 16;

/// The longest file with a key. A PEM file of 8192 bits has 1.5 kilobytes.
pub const JWT_KEY_BYTES_MAX: usize = 64 * 1024;

/// The longest line of an IMAP server that is asked about a password.
pub const IMAP_LINE_BYTES_MAX: usize = 64 * 1024;

/// How long a dictionary may take for a lookup, connecting included; 2.3's
/// `REDIS_DEFAULT_LOOKUP_TIMEOUT_MSECS`, set by `timeout_msecs=`.
pub const DICT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest value of a dictionary, as memcached has it.
pub const DICT_VALUE_BYTES_MAX: usize = 1024 * 1024;

/// The longest file of a dictionary, all of which is kept in memory.
pub const DICT_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long to wait for somebody else who changes a dictionary's file; 2.3's
/// `file_dict_dotlock_settings.timeout`.
pub const DICT_LOCK_TIMEOUT: Duration = Duration::from_secs(120);

/// After so long without a change of the lock file it is nobody's; 2.3's `stale_timeout` there.
pub const DICT_LOCK_STALE: Duration = Duration::from_secs(60);

/// How often is looked whether a lock that is not a file has become free.
pub const DICT_LOCK_PAUSE: Duration = Duration::from_millis(5);

/// What one iteration gives at most; all of it is in memory.
pub const DICT_ROWS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows that SQL gives for one iteration at most, for the same reason.
pub const DICT_ROWS_MAX: usize = 1_000_000;

/// How long a connection to a `dict` process is kept at least after an answer, for the next key of the
/// same request; `idle_msecs=` keeps it longer.
pub const DICT_IDLE_MIN: Duration = Duration::from_secs(1);

/// An answer of a `dict` process that took longer is worth a warning; 2.3's
/// `DICT_CLIENT_DEFAULT_WARN_SLOW_MSECS`, set by `warn_slow_msecs=`.
pub const DICT_WARN_SLOW: Duration = Duration::from_secs(5);

/// How long a policy server may take, whatever `auth_policy_server_timeout_msecs` says: the client
/// waits for it.
pub const POLICY_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Objects within objects in `auth_policy_request_attributes` (`a/b/c`).
pub const POLICY_DEPTH_MAX: usize = 8;
