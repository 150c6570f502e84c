//! The settings that index files obey, with 2.3's values as the default.

use std::path::PathBuf;
use std::time::Duration;

use crate::fs::Permissions;
use crate::limits;

/// `mail_fsync`: when written mail is forced to disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FsyncMode {
    /// Where losing data would lose mail: before a save or a delivery is acknowledged.
    #[default]
    Optimized,
    /// After every write.
    Always,
    /// Never.
    Never,
}

/// `lock_method`: how the log is locked against other writers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LockMethod {
    /// fcntl(2), as open-file-description locks.
    #[default]
    Fcntl,
    /// flock(2)
    Flock,
    /// A lock file beside the log.
    Dotlock,
}

impl LockMethod {
    /// The setting's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fcntl => "fcntl",
            Self::Flock => "flock",
            Self::Dotlock => "dotlock",
        }
    }
}

/// What all indexes of a process have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `mail_fsync`
    pub fsync: FsyncMode,
    /// `lock_method`
    pub lock_method: LockMethod,
    /// `mail_max_lock_timeout`; the log is never waited for longer than
    /// [`limits::LOCK_TIMEOUT`]. `None` for that.
    pub lock_timeout: Option<Duration>,
    /// `dotlock_use_excl`
    pub dotlock_use_excl: bool,
    /// The host's name as it stands in lock files.
    pub hostname: String,
    /// `mail_index_rewrite_min_log_bytes`
    pub rewrite_min_log_bytes: u64,
    /// `mail_index_rewrite_max_log_bytes`
    pub rewrite_max_log_bytes: u64,
    /// `mail_index_log_rotate_min_size`, in bytes.
    pub log_rotate_min_size: u64,
    /// `mail_index_log_rotate_max_size`, in bytes.
    pub log_rotate_max_size: u64,
    /// `mail_index_log_rotate_min_age`
    pub log_rotate_min_age: Duration,
    /// `mail_index_log2_max_age`
    pub log2_max_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fsync: FsyncMode::Optimized,
            lock_method: LockMethod::Fcntl,
            lock_timeout: None,
            dotlock_use_excl: true,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            rewrite_min_log_bytes: limits::REWRITE_MIN_LOG_BYTES,
            rewrite_max_log_bytes: limits::REWRITE_MAX_LOG_BYTES,
            log_rotate_min_size: limits::LOG_ROTATE_MIN_SIZE,
            log_rotate_max_size: limits::LOG_ROTATE_MAX_SIZE,
            log_rotate_min_age: limits::LOG_ROTATE_MIN_AGE,
            log2_max_age: limits::LOG2_MAX_AGE,
        }
    }
}

impl Settings {
    /// How long to wait for the log.
    pub fn log_lock_timeout(&self) -> Duration {
        self.lock_timeout.map_or(limits::LOCK_TIMEOUT, |timeout| timeout.min(limits::LOCK_TIMEOUT))
    }
}

/// Where an index is and what its files are like.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its directory, or `None` to keep it in memory only (`INDEX=MEMORY`).
    pub dir: Option<PathBuf>,
    /// The name of its main file: `dovecot.index`, `dovecot.list.index`, `dovecot.map.index`.
    pub prefix: String,
    /// For the files it creates.
    pub permissions: Permissions,
    /// Whether what appends messages, or says that they were expunged, is forced to disk with
    /// `mail_fsync = optimized`: where the index alone knows which messages there are (dbox).
    pub fsync_changes: bool,
    /// Whether the index file is kept as `dovecot.index.backup` when it is written anew (dbox).
    pub keep_backups: bool,
    /// Whether a full disk is an error rather than a reason to go on in memory, because the index is
    /// the mailbox (`dovecot.map.index`).
    pub never_in_memory: bool,
    /// The driver uses [`Record::DIRTY`](crate::Record::DIRTY) for itself; the header does not count it.
    pub no_dirty: bool,
}

impl Place {
    /// `prefix` in `dir`, with the directory's permissions.
    pub fn new(dir: Option<PathBuf>, prefix: impl Into<String>) -> Self {
        let permissions = dir.as_deref().map(Permissions::of_dir).unwrap_or_default();
        Self {
            dir,
            prefix: prefix.into(),
            permissions,
            fsync_changes: false,
            keep_backups: false,
            never_in_memory: false,
            no_dirty: false,
        }
    }
}
