//! What clients and databases may ask of the auth process at most.

use std::time::Duration;

/// The longest line of an auth client, in bytes: 2.3's `AUTH_CLIENT_MAX_LINE_LENGTH`, room for a
/// Kerberos ticket in base64 and the parameters.
pub const CLIENT_LINE_BYTES_MAX: usize = 16 * 1024;

/// The longest line of a master, in bytes. 2.3 allows 1024 (`MAX_INBUF_SIZE`), which long user
/// names of a list of masks exceed.
pub const MASTER_LINE_BYTES_MAX: usize = 8192;

/// Output that may wait for a slow reader before no more of its input is taken; 2.3's
/// `OUTBUF_THROTTLE_SIZE`.
pub const OUTPUT_BYTES_MAX: usize = 50 * 1024;

/// Requests that one connection may have under way. A login process has one per client
/// (`client_limit`); beyond it, something is broken or hostile.
pub const CONNECTION_REQUESTS_MAX: usize = 20_000;

/// How long a request may wait for its client, or for being fetched by the mail process; 2.3's
/// `MASTER_AUTH_SERVER_TIMEOUT_SECS`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(150);

/// How often delayed failures are let go; 2.3's `AUTH_FAILURE_DELAY_CHECK_MSECS`. Those that are
/// due leave in random order, so that the order tells nothing.
pub const FAILURE_TICK: Duration = Duration::from_millis(500);

/// How far in the future `delay_until` may be; 2.3's `AUTH_REQUEST_MAX_DELAY_SECS`.
pub const DELAY_UNTIL_S_MAX: u64 = 60 * 5;

/// How many `passdb_import` and `userdb_import` may stand one within the other. Each is read by a function
/// that calls itself for the next one; two are of use.
pub const IMPORT_DEPTH_MAX: usize = 8;

/// Penalties beyond this value count as this value; 2.3's `AUTH_PENALTY_MAX_PENALTY`.
pub const PENALTY_MAX: u32 = 4;

/// The delay of the smallest penalty; each further one doubles it, up to [`PENALTY_DELAY_MAX_S`].
pub const PENALTY_DELAY_INIT_S: u64 = 2;

/// The longest delay by penalty, in seconds.
pub const PENALTY_DELAY_MAX_S: u64 = 15;

/// How long a worker may take for one request; 2.3's `AUTH_WORKER_LOOKUP_TIMEOUT_SECS`.
pub const WORKER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a request may wait for a free worker; 2.3's `AUTH_WORKER_ABORT_SECS`.
pub const WORKER_QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests that may wait for a worker. More would all run into [`WORKER_QUEUE_TIMEOUT`].
pub const WORKER_QUEUE_MAX: usize = 1000;

/// A request that waited longer for a worker is worth a warning; 2.3's
/// `AUTH_WORKER_DELAY_WARN_SECS`.
pub const WORKER_DELAY_WARN: Duration = Duration::from_secs(3);

/// Warnings about waiting come no more often than this; 2.3's
/// `AUTH_WORKER_DELAY_WARN_MIN_INTERVAL_SECS`.
pub const WORKER_DELAY_WARN_INTERVAL: Duration = Duration::from_secs(300);

/// A worker that had nothing to do for so long is let go; 2.3's `AUTH_WORKER_MAX_IDLE_SECS`.
pub const WORKER_IDLE: Duration = Duration::from_secs(300);

/// After a worker could not be reached, the next try waits this long.
pub const WORKER_RETRY: Duration = Duration::from_secs(1);

/// Threads that read Kerberos tickets. One takes a few milliseconds, unless a home directory with a
/// `.k5login` is on a server that hangs.
pub const TICKET_THREADS_MAX: usize = 8;

/// Requests that may wait for a slow hash to be computed. With two of bcrypt's default per second
/// and processor, those behind have given up anyway.
pub const HASH_QUEUE_MAX: usize = 1000;

/// How long an address is taken for one without penalties after anvil said so. Another auth
/// process, should there be one, may know better by then.
pub const PENALTY_FREE: Duration = Duration::from_secs(5);

/// Addresses that are remembered to be without penalties.
pub const PENALTY_FREE_ADDRESSES_MAX: usize = 10_000;

/// How often requests that nobody asks for any more are looked for, while there are any.
pub const REQUEST_SWEEP: Duration = Duration::from_secs(10);

/// Names in one message of a list of users.
pub const LIST_CHUNK: usize = 100;

/// User names in log lines are cut after this many characters; 2.3's `MAX_LOG_USERNAME_LEN`.
pub const LOG_USERNAME_CHARS: usize = 64;

/// Files of a passwd-file with variables in its path that are kept in memory.
pub const PASSWD_FILES_MAX: usize = 1000;

/// How often a passwd-file's time stamp is looked at.
pub const PASSWD_FILE_CHECK: Duration = Duration::from_secs(1);

/// Databases that one login may walk through: a master passdb may send it through the ordinary ones
/// again, and `login_user` could do so for ever.
pub const PASSDB_STEPS_MAX: usize = 1000;

/// Logins that a worker does through PAM before it is replaced, unless `max_requests` says otherwise;
/// 2.3's `PASSDB_PAM_DEFAULT_MAX_REQUESTS`.
pub const PAM_REQUESTS_MAX: u32 = 100;

/// What a checkpassword program is given at most; 2.3's `CHECKPASSWORD_MAX_REQUEST_LEN`, and what
/// every such program has room for.
pub const CHECKPASSWORD_REQUEST_BYTES_MAX: usize = 512;

/// The longest reply of such a program.
pub const CHECKPASSWORD_REPLY_BYTES_MAX: usize = 64 * 1024;

/// How long such a program may take before it is killed, below [`WORKER_TIMEOUT`].
pub const CHECKPASSWORD_TIMEOUT: Duration = Duration::from_secs(50);

/// How long another IMAP server may take for a login, below [`WORKER_TIMEOUT`].
pub const IMAP_LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a Lua script may take for one call, below [`WORKER_TIMEOUT`].
pub const LUA_TIMEOUT: Duration = Duration::from_secs(40);

/// After how many instructions of a script the clock is looked at: some tens of microseconds.
pub const LUA_INSTRUCTIONS: u32 = 10_000;

/// What a script may keep in memory.
pub const LUA_MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Requests to the policy server at once, each on a thread of its own; 2.3's
/// `max_parallel_connections`.
pub const POLICY_CONNECTIONS_MAX: usize = 100;

/// How long a host's name may be looked up for proxying; 2.3's `AUTH_DNS_DEFAULT_TIMEOUT_MSECS`.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(10);

/// A lookup that took longer is worth a warning; 2.3's `AUTH_DNS_WARN_MSECS`.
pub const DNS_WARN: Duration = Duration::from_millis(500);

/// How long connecting to another server may take, whatever a login process asks for: nobody logs in
/// for longer than this.
pub const PROXY_CONNECT_MAX: Duration = Duration::from_secs(180);

/// Connections that one login may have made for it: retries, and a few to spare. It keeps a login
/// process that was taken over from using logins as a battering ram.
pub const PROXY_CONNECTS_MAX: u32 = 32;

/// Connections that may be in the making at once; more wait for servers that are gone. Each holds two
/// descriptors, of which there are four for each client that `client_limit` allows.
pub const PROXY_CONNECTING_MAX: u32 = 1000;
