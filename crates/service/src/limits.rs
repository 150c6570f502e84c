//! What a process grants others and itself at most.

use std::time::Duration;

/// Descriptors that arrived and were not asked for yet. A message carries two at most; a peer that
/// sends more is broken or hostile.
pub(crate) const DESCRIPTORS_PENDING_MAX: usize = 16;

/// How much is read from a link at once. Most messages are far smaller.
pub(crate) const LINK_READ_BYTES: usize = 4096;

/// The largest settings snapshot a child accepts: large enough for thousands of sections, small
/// enough not to eat the machine.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long a stopping process waits for its clients to take their goodbye. 2.3's master gives
/// its children about as much before it becomes impatient.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);

/// Stack of a worker thread. Storage code is not recursive; parsers have depth limits.
pub(crate) const WORKER_STACK_BYTES: usize = 1024 * 1024;

/// glibc arenas of a process with many threads: more cost memory and gain nothing for sessions
/// that are idle most of the time.
pub(crate) const ARENAS_MAX: u16 = 2;

/// A line of the auth protocol; 2.3's `AUTH_CLIENT_MAX_LINE_LENGTH` is 8192 and user fields may be
/// longer, so its master clients allow 8192 as well; ours are generous, since auth is trusted more
/// than its clients.
pub(crate) const AUTH_LINE_MAX: usize = 64 * 1024;

/// How long a lookup at the auth process may take: 2.3's `AUTH_MASTER_DEFAULT_TIMEOUT` and its
/// login request timeout are 60 seconds.
pub(crate) const AUTH_TIMEOUT: Duration = Duration::from_secs(60);

/// A hand-over that does not arrive whole within this time is given up.
pub(crate) const HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// The master is told of clients that come and go at most this often, unless it has to act: with
/// thousands of logins a second it would do nothing else.
pub(crate) const STATUS_PAUSE: Duration = Duration::from_millis(100);

/// How long a post-login script may take unless `-t` says otherwise; 2.3's
/// `MASTER_POSTLOGIN_TIMEOUT_DEFAULT`.
pub(crate) const POSTLOGIN_TIMEOUT: Duration = Duration::from_secs(60);
