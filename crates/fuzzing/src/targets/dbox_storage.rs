//! Mailboxes of sdbox and mdbox whose files are damaged, the map among them.

use crate::kit::{Scratch, files, storage, use_storage};

pub(crate) fn run(data: &[u8]) {
    let [map, map_log, file, index_log] = files(data);
    let scratch = Scratch::new();
    scratch.write("mdbox/storage/dovecot.map.index", map);
    scratch.write("mdbox/storage/dovecot.map.index.log", map_log);
    scratch.write("mdbox/storage/m.1", file);
    scratch.write("mdbox/mailboxes/INBOX/dbox-Mails/dovecot.index.log", index_log);
    scratch.write("sdbox/mailboxes/INBOX/dbox-Mails/u.1", file);
    scratch.write("sdbox/mailboxes/INBOX/dbox-Mails/dovecot.index.log", index_log);
    for driver in ["mdbox", "sdbox"] {
        let location = format!("{driver}:{}", scratch.path().join(driver).display());
        use_storage(&*storage(&location).expect("a storage"));
    }
}
