//! MIME as a stream: parsing messages of any size in bounded memory, and what IMAP, search and
//! delivery want to know of them.
//!
//! Everything here works on bytes or on `std::io::Read` that the caller brings: no files, sockets,
//! clocks or threads. Input comes from strangers, so nothing may panic, take more than linear
//! time, or hold more memory than `limits` allows.
//!
//! The way through: [`parse`] gives [`Parts`]; [`envelope::write`] and [`bodystructure::write`]
//! turn them into IMAP's words; [`Section`](section::Section) with [`section::resolve`] finds the
//! bytes of `BODY[…]`; [`crlf::CrlfReader`] shows LF-stored bytes as IMAP wants them;
//! [`decoded::Decoded`] shows headers and bodies as text, and [`search`] looks for text in it.

pub mod address;
pub mod bodystructure;
pub mod casefold;
pub mod charset;
pub mod crlf;
pub mod date;
pub mod decoded;
pub mod encoded_word;
pub mod envelope;
pub mod header;
pub mod html2text;
mod html_entities;
pub mod imap_string;
pub mod limits;
pub mod message_id;
pub mod params;
mod parse;
mod part;
mod part_data;
mod part_stored;
pub mod rfc822;
pub mod search;
pub mod section;
pub mod snippet;
pub mod subject;
pub mod transfer;

pub use parse::{Options, Parser, Sink, parse, parse_reader};
pub use part::{Part, PartFlags, PartId, Parts, Size};
pub use part_data::PartData;
pub use part_stored::BadParts;
