//! How much of everything one IMAP client may send, and why. The reader and the typed parsers
//! refuse what goes beyond with a protocol error; nothing here ends the process.

/// Bytes of one command with its literals, but without APPEND's message. The session passes
/// `imap_max_line_length`, of which this is the default.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// The same before login, where strangers talk. An AUTHENTICATE with a large initial response
/// (a Kerberos ticket, an OAuth token) must still fit.
pub const LOGIN_LINE_BYTES_MAX: usize = 8 * 1024;

/// A tag is echoed in every reply; real ones have ten bytes.
pub const TAG_BYTES_MAX: usize = 1024;

/// The longest command name is AUTHENTICATE; the rest is for the error that quotes it.
pub const NAME_BYTES_MAX: usize = 64;

/// Parentheses within parentheses. BODY[HEADER.FIELDS (…)] needs two, machine-made SEARCHes a
/// few dozen. Recursive parsers and destructors rely on it to keep the stack small.
pub const NESTING_MAX: usize = 100;

/// Before login only ID has a list.
pub const LOGIN_NESTING_MAX: usize = 2;

/// Arguments and list items of one command together: `a` and a space take two bytes, but an
/// argument costs about fifty in memory. Enough for a SEARCH or FETCH of some ten thousand words.
pub const ARGS_MAX: usize = 20_000;

/// Before login no command has more than a tag, a name and ID's thirty pairs.
pub const LOGIN_ARGS_MAX: usize = 100;

/// Search keys of one SEARCH. Programs that look for many Message-IDs at once send thousands.
pub const SEARCH_KEYS_MAX: usize = 10_000;

/// NOT, OR and parentheses within one another. A chain `OR a OR b OR c …` counts once.
pub const SEARCH_DEPTH_MAX: usize = 200;

/// Items of one FETCH; there are about fifteen kinds, and each body section costs a read.
pub const FETCH_ITEMS_MAX: usize = 1000;

/// Numbers in `BODY[1.2.3…]`: no message nests deeper than its parser follows.
pub const SECTION_PARTS_MAX: usize = 100;

/// RFC 2971 §3.3 allows thirty pairs.
pub const ID_PAIRS_MAX: usize = 30;

/// Bytes of a mailbox name, decoded: what fits a path with some room.
pub const MAILBOX_NAME_BYTES_MAX: usize = 4096;

/// RFC 7888 §5: the largest literal that LITERAL- lets a client send without waiting.
pub const LITERAL_MINUS_BYTES_MAX: u64 = 4096;
