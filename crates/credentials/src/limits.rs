//! What files with credentials may hold.

use std::time::Duration;

/// Application passwords of one user. Each failed login is compared with all of them.
pub const APP_PASSWORDS_MAX: usize = 100;

/// The longest name of an application password, in bytes.
pub const NAME_BYTES_MAX: usize = 100;

/// The largest file of application passwords that is read: a hundred of the longest lines.
pub const APP_PASSWORD_FILE_BYTES_MAX: u64 = 128 * 1024;

/// The largest passwd-file that is rewritten. A million users have some 200 MB; replacing such a file
/// for each login is no service to anybody.
pub const PASSWD_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How exactly it is known when an application password was last used: a login writes only if the
/// last note is older.
pub const LAST_USE_RESOLUTION_S: u64 = 60 * 60;

/// How long to wait for somebody else who changes the file.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// After so long without a change somebody else's lock is overridden.
pub const LOCK_STALE: Duration = Duration::from_secs(60);
