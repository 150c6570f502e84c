//! How much of a cache file is believed, with the reason for each number. What a damaged file claims
//! beyond it is damage.

/// Bytes of one record. 2.3 writes none above `mail_cache_record_max_size` (64 KiB); the rest is room
/// for administrators who raised it.
pub const RECORD_BYTES_MAX: u32 = 16 << 20;

/// Records of one message that are linked to each other. 2.3 adds one whenever a client asks for
/// something new, and purges long before a thousand.
pub const CHAIN_RECORDS_MAX: usize = 1000;

/// Bytes of all values of one message that one lookup holds.
pub const FOUND_BYTES_MAX: usize = 32 << 20;

/// Values of one message, all records together. A message has one of each field, or few more.
pub const FOUND_VALUES_MAX: usize = 65_536;

/// Bytes of the list of fields. A field costs about 30 of them.
pub const FIELD_LIST_BYTES_MAX: u32 = 4 << 20;

/// Lists of fields that are linked to each other. Each is a complete list, so a thousand of them would
/// have been purged (`mail_cache_purge_header_continue_count`) long ago.
pub const FIELD_LISTS_MAX: u32 = 1000;

/// Header fields that are put into one cache file. 2.3 has no such limit; a client that asks for ever
/// new ones makes the file grow by a whole list of fields each time.
pub const HEADER_FIELDS_MAX: usize = 1000;

/// Bytes of a field's name. Longer header names are no names to the parser.
pub const FIELD_NAME_BYTES_MAX: usize = 1004;

/// Bytes read at once where somebody reads on and on.
pub const READ_BYTES_SEQUENTIAL: usize = 64 << 10;

/// Bytes read at once anywhere else.
pub const READ_BYTES_RANDOM: usize = 8 << 10;

/// Pieces of the file that are kept, each of at most [`READ_BYTES_SEQUENTIAL`] unless one record is
/// larger. Whoever goes through a mailbox reads as many places at once as its messages have records, which is
/// how often clients asked for something new.
pub const PIECES_MAX: usize = 32;

/// Bytes written at once when a file is written anew.
pub const WRITE_BYTES: usize = 256 << 10;

/// `mail_cache_max_size` may not be above 1 GB: offsets of field lists have 28 bits of words.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
