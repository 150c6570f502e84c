//! How large a message may be. Peers are our own processes, but one of them may have been taken
//! over by a stranger: a length is never believed beyond these.

/// The largest frame, in bytes without its length word. The largest honest one is a hand-over with
/// pipelined input of a client ([`INPUT_MAX`]) and its user's fields.
pub const FRAME_MAX: usize = 256 * 1024;

/// How much unread client input goes along with a hand-over. 2.3 uses the same figure
/// (LOGIN_REQUEST's data size).
pub const INPUT_MAX: usize = 64 * 1024;

/// A log line is cut to this many bytes, as 2.3 does with lines of hostile length.
pub const LOG_LINE_MAX: usize = 32 * 1024;

/// POSIX guarantees that pipe writes up to this size are not torn apart (`PIPE_BUF` on Linux).
pub const LOG_CHUNK_MAX: usize = 4096;
