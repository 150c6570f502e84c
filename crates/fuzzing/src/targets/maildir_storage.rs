//! A Maildir: dovecot-uidlist, dovecot-keywords, and names of files, one a line.

use crate::kit::{Scratch, files, storage, use_storage};
use storage::fs::join;

pub(crate) fn run(data: &[u8]) {
    let [uidlist, keywords, names, subscriptions] = files(data);
    let scratch = Scratch::new();
    scratch.write("dovecot-uidlist", uidlist);
    scratch.write("dovecot-keywords", keywords);
    scratch.write("subscriptions", subscriptions);
    for sub in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(scratch.path().join(sub)).expect("mkdir");
    }
    for (number, name) in names.split(|&byte| byte == b'\n').take(30).enumerate() {
        let name: Vec<u8> =
            name.iter().map(|&byte| if matches!(byte, 0 | b'/') { b'_' } else { byte }).collect();
        let sub = if number % 4 == 3 { "new" } else { "cur" };
        // Names that no file can have are not there.
        let _ =
            std::fs::write(join(&scratch.path().join(sub), &name), format!("Subject: {number}\n\ntext\n"));
    }
    let location = format!("maildir:{}", scratch.path().display());
    use_storage(&*storage(&location).expect("a storage"));
}
