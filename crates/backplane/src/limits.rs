//! What the backplane's processes hold and read at most.

use std::time::Duration;

/// Lines behind `doveadm log errors`; 2.3 keeps as many (`LOG_ERROR_BUFFER_MAX_LINES`).
pub(crate) const ERRORS_KEPT: usize = 1000;

/// The ring's texts together; long lines push out more of the older ones.
pub(crate) const ERRORS_BYTES_MAX: usize = 1024 * 1024;

/// Processes whose last prefix is remembered for each log pipe. Pids in frames are what their
/// writers claim, so the number has a limit; 2.3's `default_process_limit` is 100.
pub(crate) const PREFIXES_MAX: usize = 8192;

/// Lines of one pipe that wait for their end. Whoever begins more loses the oldest one's rest.
pub(crate) const PARTIAL_LINES_MAX: usize = 64;

/// How much is read from a log pipe before the others have their turn. A Linux pipe holds 64 KiB.
pub(crate) const PIPE_TURN_BYTES: usize = 64 * 1024;

/// A pipe that was never empty for this long gets a warning, as in 2.3…
pub(crate) const FLOOD_WARNING_AFTER: Duration = Duration::from_secs(1);

/// …and then again this often.
pub(crate) const FLOOD_WARNING_EVERY: Duration = Duration::from_secs(60);

/// The longest command to the `dict` process: 2.3's `DICT_CLIENT_MAX_LINE_LENGTH`.
pub(crate) const DICT_LINE_BYTES_MAX: u64 = 64 * 1024;

/// Transactions of one client that have begun. Well-behaved ones have few at a time.
pub(crate) const DICT_TRANSACTIONS_MAX: usize = 1000;

/// What they hold together; all of it is in memory until it is committed.
pub(crate) const DICT_CHANGES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is given of one iteration at most, which is in memory too.
pub(crate) const DICT_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much of a long answer is written at once.
pub(crate) const DICT_WRITE_BYTES: usize = 64 * 1024;

/// How often a process opens one dictionary at the same time, at most: so many of its commands run, each on
/// a thread and over a connection to the database; others wait for one of them.
pub(crate) const DICT_OPEN_MAX: usize = 8;

/// A dictionary that was not used for so long is closed; 2.3's `DICT_CACHE_TIMEOUT_SECS`.
pub(crate) const DICT_IDLE_MAX: Duration = Duration::from_secs(30);

/// A doveadm that asks and does not read, or does not ask at all, is given up after this.
pub(crate) const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Penalties are forgotten when nothing happened for this long: 2.3's `AUTH_PENALTY_TIMEOUT`, which is
/// the sum of all penalty steps (2 + 4 + 8 + 15 seconds).
pub(crate) const PENALTY_EXPIRE_S: u64 = 2 + 4 + 8 + 15;

/// Addresses with a penalty. Beyond it the least recently changed is forgotten: a flood from many
/// addresses must not eat the memory that counts real users.
pub(crate) const PENALTIES_MAX: usize = 100_000;

/// Checksums remembered for each address (2.3's `CHECKSUM_VALUE_PTR_COUNT`).
pub(crate) const CHECKSUMS_MAX: usize = 10;

/// The penalty field of 2.3 has 16 bits.
pub(crate) const PENALTY_MAX: u32 = u16::MAX as u32;

/// Sessions of one process. Far above any `client_limit`; a process that claims more is broken.
pub(crate) const SESSIONS_PER_PROCESS_MAX: usize = 200_000;

/// How often files named by settings are looked at for changes where inotify does not tell.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// Users and networks whose failed logins are counted. Beyond it the least recent is forgotten.
pub(crate) const FAILED_SUBJECTS_MAX: usize = 100_000;

/// Failed logins that are remembered of each: the greatest `auth_ban_user_failures` that has an effect.
pub(crate) const BAN_FAILURES_MAX: usize = 1000;

/// Bans at once. Beyond it the one that ends first ends at once.
pub(crate) const BANS_MAX: usize = 100_000;

/// Users whose last one-time code is remembered. Only who knew a code gets here, so that these are
/// real users; beyond it nobody new is believed.
pub(crate) const ONCE_NAMES_MAX: usize = 1_000_000;

/// How long a mail process may take to say who has logged in; 2.3's `SCRIPT_LOGIN_READ_TIMEOUT_SECS`.
pub(crate) const SCRIPT_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What it says: a user's fields, as long as the auth protocol's lines.
pub(crate) const SCRIPT_INPUT_BYTES_MAX: usize = 64 * 1024;
