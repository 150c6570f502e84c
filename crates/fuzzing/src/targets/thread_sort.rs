//! THREAD and SORT over messages of an mbox: references in circles, subjects, dates, addresses.

use crate::kit::{Scratch, arrange, storage};
use storage::OpenMode;

pub(crate) fn run(data: &[u8]) {
    let scratch = Scratch::new();
    // One header a message; each line that is empty begins the next.
    let mut mbox = Vec::new();
    for (number, header) in data.split(|&byte| byte == 0).take(60).enumerate() {
        mbox.extend(format!("From a@b Thu Jan  1 00:00:{:02} 1970\n", number % 60).as_bytes());
        mbox.extend(header.iter().filter(|&&byte| byte != b'\r'));
        mbox.extend(b"\n\ntext\n\n");
    }
    scratch.write("inbox", &mbox);
    let at = scratch.path().display();
    let location = format!("mbox:{at}/mail:INBOX={at}/inbox:INDEX=MEMORY");
    let storage = storage(&location).expect("a storage");
    if let Ok(mut inbox) = storage.open("INBOX", OpenMode::ReadOnly) {
        arrange(&mut *inbox);
    }
}
