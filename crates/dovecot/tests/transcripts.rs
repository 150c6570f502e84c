//! Every transcript below `tests/transcripts/` is played against a running server, each with a user
//! of its own. `UNDER_TEST=dovecot` plays them against the original, which tests the transcripts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use harness::{Builder, Host, Under, needs, transcript};

fn transcripts(protocol: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts").join(protocol);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "t"));
    files.sort();
    files
}

fn user(path: &Path) -> String {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a plain file name");
    stem.replace('-', "")
}

fn play_all(protocol: &str) {
    if Under::from_env() == Under::Dovecot && !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let files = transcripts(protocol);
    let builder = Builder::new(env!("CARGO_BIN_EXE_dovecot")).config("login_greeting = Culver test ready.");
    let builder = files.iter().fold(builder, |builder, path| builder.user(&user(path), "pass"));
    let host: Host = builder.start();
    // All are played, so that one run shows all that differs.
    let failed = files.iter().filter(|path| {
        let played = AssertUnwindSafe(|| transcript::play_as(&host, path, &user(path)));
        catch_unwind(played).is_err()
    });
    let failed: Vec<_> = failed.map(|path| path.display().to_string()).collect();
    assert!(failed.is_empty(), "these differ: {failed:#?}");
}

#[test]
fn imap() {
    play_all("imap");
}

#[test]
fn pop3() {
    play_all("pop3");
}
