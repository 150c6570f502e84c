//! What an index may hold and how long its work may take. Values without another source are those of
//! Dovecot 2.3, which refuses more as well.

use std::time::Duration;

/// The longest wait for the log's lock: synchronizing a large mailbox takes a while.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(180);
/// After so long without a change the log's lock file is overridden.
pub const LOCK_STALE: Duration = Duration::from_secs(180);
/// Holding the log's lock, or waiting for it, for longer is worth a warning.
pub const LOCK_WARN: Duration = Duration::from_secs(30);

/// `mail_index_rewrite_min_log_bytes`
pub const REWRITE_MIN_LOG_BYTES: u64 = 8 * 1024;
/// `mail_index_rewrite_max_log_bytes`
pub const REWRITE_MAX_LOG_BYTES: u64 = 128 * 1024;
/// `mail_index_log_rotate_min_size`
pub const LOG_ROTATE_MIN_SIZE: u64 = 32 * 1024;
/// `mail_index_log_rotate_max_size`
pub const LOG_ROTATE_MAX_SIZE: u64 = 1024 * 1024;
/// `mail_index_log_rotate_min_age`
pub const LOG_ROTATE_MIN_AGE: Duration = Duration::from_secs(5 * 60);
/// `mail_index_log2_max_age`
pub const LOG2_MAX_AGE: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The bytes of one log record with its header: what the encoded size can say.
pub const LOG_RECORD_SIZE_MAX: usize = 0x3fff_fffc;
/// The bytes of a log. Offsets in it are of 32 bits; rotation keeps it far smaller, a larger one is
/// damaged or hostile.
pub const LOG_SIZE_MAX: u64 = 1 << 30;
/// The bytes of an index file that are read into memory: 10 million messages with 400 bytes each.
pub const INDEX_SIZE_MAX: u64 = 4 << 30;
/// The bytes of one extension's header.
pub const EXT_HEADER_SIZE_MAX: u32 = 16 * 1024 * 1024 - 1;
/// The bytes of all extensions' headers together: far more than any plugin of 2.3 keeps.
pub const EXT_HEADERS_SIZE_MAX: usize = 64 * 1024 * 1024;
/// One more than the bytes of one extension's record.
pub const EXT_RECORD_SIZE_END: u16 = 32768;
/// The largest alignment of an extension's record.
pub const EXT_ALIGN_MAX: u16 = 8;
/// The bytes of an extension's name.
pub const EXT_NAME_SIZE_MAX: usize = 63;
/// Extensions of one index. 2.3 and its plugins know about twenty; each costs time with every message.
pub const EXTENSIONS_MAX: usize = 256;
/// Keywords of one mailbox, so that a damaged log cannot grow each message's record without end. The
/// records of 2.3 end at 32 kB.
pub const KEYWORDS_MAX: usize = 16 * 1024;
/// The bytes of all index files that a process keeps as it loaded them, and for how long after their last use.
pub const KEPT_BYTES_MAX: usize = 32 << 20;
/// See [`KEPT_BYTES_MAX`].
pub const KEPT_TIME: Duration = Duration::from_mins(10);
/// With fewer messages than this an index file is loaded as fast as it is found.
pub const KEPT_MESSAGES_MIN: u32 = 1000;
/// How often an index is opened anew because other processes replace its files meanwhile.
pub const REOPEN_MAX: usize = 10;
/// After so long a `.newlock` that does not change is nobody's, if we hold the lock of the log that is to
/// be replaced.
pub const NEW_LOG_STALE: Duration = Duration::from_secs(2);
/// The same where there is no log yet.
pub const FIRST_LOG_STALE: Duration = Duration::from_secs(10);
