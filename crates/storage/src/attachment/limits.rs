//! How much an attachment may ask for.

/// How many bytes may follow the base64 text of a part that is stored decoded: 2.3's
/// `BASE64_ATTACHMENT_MAX_EXTRA_BYTES`. They stay in the message.
pub(super) const EXTRA_BYTES_MAX: u64 = 1024;
/// Bytes read and written at a time.
pub(super) const STEP_BYTES: usize = 32 * 1024;
/// References one message may have; it cannot have more parts than that.
pub(super) const REFS_MAX: usize = message::limits::TOTAL_PARTS_MAX;
/// How often a name or directory that others are changing is tried.
pub(super) const RETRIES: usize = 10;
