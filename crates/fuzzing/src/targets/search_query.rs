//! SEARCH, SORT, THREAD, FETCH and STORE arguments, run on messages that the input brings along.

use crate::kit::{Scratch, files};

pub(crate) fn run(data: &[u8]) {
    let [query, message] = files(data);
    let line: Vec<u8> = query.iter().copied().filter(|&byte| byte != b'\n').collect();
    let mut input = b"a EXAMINE INBOX\r\n".to_vec();
    for (tag, command) in [("b", "SEARCH "), ("c", "SORT (SUBJECT) UTF-8 "), ("d", "THREAD REFS UTF-8 ")] {
        input.extend([tag.as_bytes(), b" UID ", command.as_bytes(), &line, b"\r\n"].concat());
    }
    input.extend([b"e FETCH 1:* ".as_slice(), &line, b"\r\n"].concat());
    crate::session::imap(&Scratch::new(), message, &input);
}
