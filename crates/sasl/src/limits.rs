//! What a stranger's message or a stored hash may ask for at most.

/// The longest message a client may send in one SASL step, in bytes. 2.3 refuses lines above 8192
/// (`AUTH_CLIENT_MAX_LINE_LENGTH`), which is what Kerberos tickets need.
pub const SASL_MESSAGE_BYTES_MAX: usize = 8192;

/// The longest token of GSSAPI, in bytes: as much as a line of 2.3's auth protocol, which has 16384,
/// holds in base64. Tickets of Active Directory, which list groups, are that long.
pub const TICKET_BYTES_MAX: usize = 12 * 1024;

/// The longest user name, in bytes. Longer ones cannot be a mail address (RFC 5321 §4.5.3.1) and
/// would only fill logs.
pub const USERNAME_BYTES_MAX: usize = 1024;

/// Memory an Argon2 hash may ask for, in KiB: libsodium's largest preset (1 GiB, "sensitive").
/// A hash with more would let one stored line take the machine down.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 1024 * 1024;

/// Passes an Argon2 hash may ask for.
pub const ARGON2_PASSES_MAX: u32 = 1024;

/// Memory a yescrypt hash may ask for, in bytes (1 GiB).
pub const YESCRYPT_MEMORY_BYTES_MAX: u64 = 1 << 30;

/// Iterations that a SCRAM secret must have at least (RFC 5802 §5.1).
pub const SCRAM_ITERATIONS_MIN: u32 = 4096;

/// Iterations that a SCRAM or PBKDF2 secret may have at most; `i32::MAX` in 2.3.
pub const ITERATIONS_MAX: u32 = i32::MAX as u32;

/// Rounds of SHA-crypt, smallest and largest (the format's own limits).
pub const SHA_CRYPT_ROUNDS: std::ops::RangeInclusive<u32> = 1000..=999_999_999;

/// Cost of bcrypt as a power of two (the format's own limits).
pub const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=31;

/// The shortest secret of one-time codes, in bytes. RFC 4226 §4 wants 16, authenticators make 10.
pub const TOTP_SECRET_BYTES_MIN: usize = 10;

/// The longest secret of one-time codes, in bytes: a block of SHA-512.
pub const TOTP_SECRET_BYTES_MAX: usize = 128;
