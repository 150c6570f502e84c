//! The mail protocols as bytes and values: parsers that are fed what came and writers of what is
//! to be sent. No files, sockets or clocks; limits on everything (each protocol's `limits`).

pub mod imap;
