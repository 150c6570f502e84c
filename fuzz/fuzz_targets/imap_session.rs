//! A whole IMAP session on a small mailbox: what a client may send after login.

#![no_main]

use fuzz::Scratch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let scratch = Scratch::new();
    fuzz::session::imap(&scratch, b"Subject: one\n\ntext\n", &[b"a SELECT INBOX\r\n", data].concat());
});
