//! How much of a message is looked at, with the reason for each number.

/// MIME parts inside each other. 2.3's number; keeps every recursion over parts shallow.
pub const NESTED_PARTS_MAX: usize = 100;

/// MIME parts in one message. 2.3's number; what follows belongs to the last part's body.
pub const TOTAL_PARTS_MAX: usize = 10_000;

/// Bytes of a `boundary` parameter that count. RFC 2046 §5.1.1 allows 70; 2.3 grants ten more.
pub const BOUNDARY_BYTES_MAX: usize = 80;

/// Bytes of a body line that decide whether it is a boundary: the boundary and its four dashes.
pub const BOUNDARY_LINE_BYTES_MAX: usize = BOUNDARY_BYTES_MAX + 4;

/// Bytes of a header field's name; a longer one is taken for a line without a name, as 2.3 does.
pub const FIELD_NAME_BYTES_MAX: usize = 1000;

/// Bytes of one header field that are kept; the rest is counted and skipped. Real fields with tens
/// of thousands of recipients stay below it.
pub const FIELD_BYTES_MAX: usize = 1 << 20;

/// Bytes of a header line taken in one piece while its end has not come yet.
pub const LINE_PIECE_BYTES: usize = 8192;

/// Addresses taken from one header field; each costs about a hundred bytes.
pub const ADDRESSES_MAX: usize = 50_000;

/// Bytes of one Message-ID that is read word by word, because it has quotes or comments; keeps a field
/// full of open comments from being read over and over.
pub const MESSAGE_ID_BYTES_MAX: usize = 1000;

/// Parameters taken from one `Content-Type` or `Content-Disposition`. A missing limit here was one
/// of Dovecot 2.4.3's security fixes.
pub const PARAMETERS_MAX: usize = 1000;

/// Language tags taken from one `Content-Language`.
pub const LANGUAGES_MAX: usize = 100;

/// Bytes of header values kept for the part tree of one message, all parts together. Beyond it
/// further parts have sizes but no described content.
pub const DESCRIPTION_BYTES_MAX: usize = 16 << 20;

/// Header fields named in one `BODY[HEADER.FIELDS (…)]`.
pub const SECTION_FIELDS_MAX: usize = 1000;

/// Part numbers in one section path. Deeper than any part can lie.
pub const SECTION_DEPTH_MAX: usize = 2 * NESTED_PARTS_MAX;

/// Bytes read at once from a message.
pub const READ_BYTES: usize = 64 * 1024;
