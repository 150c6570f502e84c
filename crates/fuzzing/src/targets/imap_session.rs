//! A whole IMAP session on a small mailbox: what a client may send after login.

use crate::kit::Scratch;

pub(crate) fn run(data: &[u8]) {
    let scratch = Scratch::new();
    crate::session::imap(&scratch, b"Subject: one\n\ntext\n", &[b"a SELECT INBOX\r\n", data].concat());
}
