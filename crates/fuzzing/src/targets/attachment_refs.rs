//! The line that says which parts of a message are stored apart, and detection options.

use std::io::Read;
use std::sync::Arc;

use crate::kit::{Bytes, Scratch, files, logger};
use storage::attachment::{self, ExtRef, HashFormat, Settings, Store};
use storage::fs::Fs;

pub(crate) fn run(data: &[u8]) {
    let [line, base, apart] = files(data);
    let line = String::from_utf8_lossy(line);
    let _ = attachment::detect::Detection::parse(&line);
    let Some(refs) = ExtRef::parse_all(&line) else { return };
    assert_eq!(ExtRef::parse_all(&ExtRef::write_all(&refs)).as_ref(), Some(&refs));
    let scratch = Scratch::new();
    for one in refs.iter().take(8) {
        let path = scratch.path().join(&one.path);
        if let Some(parent) = path.parent() {
            let _ = std::fs::create_dir_all(parent);
            let _ = std::fs::write(path, apart);
        }
    }
    let settings = Settings {
        dir: scratch.path().to_owned(),
        fs: "posix".to_owned(),
        hash: HashFormat::parse("%{sha1}").expect("a hash"),
        min_size: 0,
        temp_dir: scratch.path().to_owned(),
        syncs: false,
    };
    let Ok(store) = Store::new(Fs::default(), logger(), settings) else { return };
    let base = Box::new(Bytes::new(base));
    let Ok(mut whole) = attachment::connect(base, refs, Arc::new(store), "", None) else { return };
    let (mut buffer, mut total) = ([0; 4096], 0);
    while let Ok(count @ 1..) = whole.read(&mut buffer) {
        total += count;
        if total > 1 << 20 {
            break;
        }
    }
}
