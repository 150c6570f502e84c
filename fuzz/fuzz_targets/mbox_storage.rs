//! An mbox file as a mailbox: scanned, read, rewritten.

#![no_main]

use fuzz::{Scratch, storage, use_storage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let scratch = Scratch::new();
    scratch.write("inbox", data);
    std::fs::create_dir_all(scratch.path().join("mail")).expect("mkdir");
    let at = scratch.path().display();
    use_storage(&*storage(&format!("mbox:{at}/mail:INBOX={at}/inbox")).expect("a storage"));
});
