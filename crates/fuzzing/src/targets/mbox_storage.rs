//! An mbox file as a mailbox: scanned, read, rewritten.

use crate::kit::{Scratch, storage, use_storage};

pub(crate) fn run(data: &[u8]) {
    let scratch = Scratch::new();
    scratch.write("inbox", data);
    std::fs::create_dir_all(scratch.path().join("mail")).expect("mkdir");
    let at = scratch.path().display();
    use_storage(&*storage(&format!("mbox:{at}/mail:INBOX={at}/inbox")).expect("a storage"));
}
