//! What is damaged is logged in 2.3's words, which administrators and their tools know.

mod support;

use std::fs;
use std::sync::Mutex;

use base::log::{Level, install};
use support::Home;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep(level: Level, _prefix: &str, text: &str) {
    LINES.lock().unwrap().push(format!("{}: {text}", level.word()));
}

/// Damages the files of an index with 30 messages, and gives what opening and locking it logs, without
/// the directory.
fn lines(damage: impl FnOnce(&Home)) -> Vec<String> {
    let home = Home::new();
    let mut index = home.filled(30);
    index.lock().unwrap().rewrite().unwrap();
    drop(index);
    damage(&home);
    LINES.lock().unwrap().clear();
    let mut index = home.open();
    drop(index.lock().unwrap());
    assert!(index.header().next_uid == 31 && index.header().uid_validity == 1_234_567);
    let dir = format!("{}/", home.dir.path().display());
    LINES.lock().unwrap().drain(..).map(|line| line.replace(&dir, "")).collect()
}

fn patch(home: &Home, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(home.path(name)).unwrap();
    change(&mut bytes);
    fs::write(home.path(name), bytes).unwrap();
}

#[test]
fn words() {
    install(keep);
    assert_eq!(lines(|_| {}), [""; 0]);
    assert_eq!(
        lines(|home| patch(home, "dovecot.index", |bytes| bytes.truncate(50))),
        ["Error: Corrupted index file dovecot.index: File too small (50)"]
    );
    assert_eq!(
        lines(|home| patch(home, "dovecot.index", |bytes| bytes.truncate(120 + 8 * 10))),
        [
            "Error: Corrupted index file dovecot.index: messages_count too large (30 > 10)",
            "Warning: fscking index file dovecot.index",
            "Error: Fixed index file dovecot.index: messages_count 30 -> 10",
        ]
    );
    assert_eq!(
        lines(|home| patch(home, "dovecot.index", |bytes| bytes[28..32].fill(0))),
        [
            "Error: Corrupted index file dovecot.index: next_uid=0",
            "Warning: fscking index file dovecot.index",
            "Error: Fixed index file dovecot.index: next_uid 0 -> 31",
        ]
    );
    assert_eq!(
        lines(|home| patch(home, "dovecot.index.log", |bytes| bytes.extend([0x80, 0x80, 0x80, 0x84, 4]))),
        [
            "Error: Corrupted transaction log file dovecot.index.log seq 2: Unexpected garbage at EOF (sync_offset=372)"
        ]
    );
    assert_eq!(
        lines(|home| patch(home, "dovecot.index.log", |bytes| bytes[4..8].fill(0))),
        ["Error: Transaction log file dovecot.index.log: marked corrupted"]
    );
    let other =
        lines(|home| patch(home, "dovecot.index.log", |bytes| bytes[4..8].copy_from_slice(&[1, 0, 0, 0])));
    let [index, log] = other.as_slice() else { panic!("{other:?}") };
    assert!(index.starts_with("Error: Index file dovecot.index: indexid changed: 1 -> "), "{index}");
    assert!(log.starts_with(
        "Error: Corrupted transaction log file dovecot.index.log seq 2: indexid changed: 1 -> "
    ));
    let lost = lines(|home| fs::write(home.path("dovecot.index.log"), "").unwrap());
    assert_eq!(
        lost,
        [
            "Error: Corrupted transaction log file dovecot.index.log seq 0: unexpected end of file while reading header (sync_offset=0)"
        ]
    );
}
