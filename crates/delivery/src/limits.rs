//! What a delivery holds in memory at most, and for how long it waits.

/// Messages up to this size wait in memory for their delivery, larger ones in a file without a name
/// in `mail_temp_dir`: 2.3's limit.
pub(crate) const MEMORY_BYTES_MAX: usize = 128 * 1024;

/// How much is moved at once.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// The part of a header in which fields for the log are looked for. Real headers are far smaller;
/// what is behind is delivered all the same.
pub(crate) const HEADER_BYTES_MAX: usize = 1024 * 1024;

/// The part of a leading `From ` line that is looked at; the rest is skipped. An address has 320
/// bytes at most (RFC 5321 §4.5.3.1), the date few.
pub(crate) const FROM_LINE_BYTES_MAX: usize = 1024;

/// The longest reply line of a submission server; RFC 5321 §4.5.3.1.5 allows 512.
pub(crate) const REPLY_BYTES_MAX: u64 = 4096;

/// Lines of one reply of a submission server, mostly its extensions.
pub(crate) const REPLY_LINES_MAX: usize = 100;
