//! Files with credentials that the server itself changes: application passwords, and a passwd-file whose
//! hashes are replaced.

use std::path::Path;

use credentials::app_password::{File, Wish};
use credentials::passwd_file::replace_password;
use sasl::Secret;
use storage::fs::Fs;

use crate::kit::{Scratch, files, logger};

pub(crate) fn run(data: &[u8]) {
    let [passwords, passwd] = files(data);
    let scratch = Scratch::new();
    scratch.write("passwords", passwords);
    scratch.write("passwd", passwd);
    change_passwords(&scratch.path().join("passwords"));
    let path = scratch.path().join("passwd");
    let new = "{PLAIN}new";
    let replaced = replace_password(&Fs::default(), &path, "joe", &|_| true, new, &logger());
    if matches!(replaced, Ok(true)) {
        let text = std::fs::read(&path).expect("it is still there");
        // One line is another, and no line more or less.
        let lines = |text: &[u8]| text.iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(lines(&text), lines(passwd));
        assert!(text.windows(new.len()).any(|part| part == new.as_bytes()));
    }
}

fn change_passwords(path: &Path) {
    let file = File::new(Fs::default(), path);
    let Ok(before) = file.list() else { return };
    let given = Secret::new("abcde");
    let _ = file.find(&given, "imap", 1_000_000_000);
    let wish = Wish { name: "made".into(), scopes: vec!["imap".into()], expires_s: None };
    let mut zeros = |bytes: &mut [u8]| bytes.fill(0);
    let Ok(password) = file.add(&wish, 1_000_000_000, &mut zeros, &logger()) else { return };
    let after = file.list().expect("what we wrote can be read").expect("the file is there");
    assert_eq!(after.len(), before.as_ref().map_or(0, Vec::len) + 1);
    if let Ok(Some(credentials::app_password::Match::Good(found))) =
        file.find(&password, "imap", 1_000_000_000)
    {
        let _ = file.note_use(&found, 1_000_000_000, &logger());
    }
    assert!(file.remove("made", &logger()).expect("it can be changed"));
    let _ = file.list().expect("what we wrote can be read");
}
