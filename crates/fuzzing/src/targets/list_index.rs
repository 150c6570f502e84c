//! dovecot.list.index with its log: LIST and STATUS answer from it, and mend it.

use crate::kit::{Scratch, files, storage, use_storage};
use index::list_index::{ListRecord, MaildirTimes, Names, VirtualSize};

pub(crate) fn run(data: &[u8]) {
    let [main, log] = files(data);
    if let Ok(names) = Names::decode(main) {
        let _ = names.encode();
    }
    let _ = (ListRecord::decode(main), MaildirTimes::decode(main), VirtualSize::decode(main));
    let scratch = Scratch::new();
    scratch.write("dovecot.list.index", main);
    scratch.write("dovecot.list.index.log", log);
    for name in [".one", ".one.two", "."] {
        std::fs::create_dir_all(scratch.path().join(name).join("cur")).expect("mkdir");
    }
    let location = format!("maildir:{}", scratch.path().display());
    use_storage(&*storage(&location).expect("a storage"));
}
