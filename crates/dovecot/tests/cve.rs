//! Weaknesses that Dovecot has had and that show in the whole server; `docs/cve.md` names these tests.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use harness::host::MAIL_ID;
use harness::{Builder, Host};

fn start() -> Host {
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).start()
}

/// CVE-2009-3897: directories that everybody could write to let anybody replace auth's sockets.
#[test]
fn nobody_can_replace_a_socket() {
    let host = start();
    drop(host.login("user1"));
    let mut seen = 0;
    check_directories(&host.dir().join("run"), &mut seen);
    assert!(seen >= 2, "there are directories of sockets");
}

fn check_directories(dir: &Path, seen: &mut usize) {
    let found = fs::metadata(dir).expect("the directory");
    assert_eq!(found.mode() & 0o002, 0, "{} is everybody's", dir.display());
    assert_eq!(found.uid(), nix::unistd::geteuid().as_raw(), "{}", dir.display());
    *seen += 1;
    for entry in fs::read_dir(dir).expect("the directory").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            check_directories(&entry.path(), seen);
        }
    }
}

/// CVE-2013-6171: a checkpassword-reply that runs with the rights of the user who logs in can be traced
/// by him, who would then say who he is.
#[test]
fn a_reply_is_not_given_with_the_users_own_rights() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = tempfile::Builder::new().prefix("culver-").tempdir_in("/tmp").expect("a directory");
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("its mode");
    let program = dir.path().join("checkpassword-reply");
    symlink(env!("CARGO_BIN_EXE_dovecot"), &program).expect("a link");
    let answer = |uid: u32, original: Option<&str>| {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("/bin/sh");
        // The reply goes to descriptor 4.
        command.args(["-c", "exec 4>&1 >/dev/null 2>&1; exec \"$0\""]);
        command.arg(&program).env_clear().env("USER", "root").uid(uid).stdout(writer);
        if let Some(original) = original {
            command.env("ORIG_UID", original);
        }
        let mut child = command.spawn().expect("the shell runs");
        drop(command);
        let status = child.wait().expect("it ends").code();
        let mut said = String::new();
        reader.read_to_string(&mut said).expect("what it said");
        (status, said)
    };
    assert_eq!(answer(0, Some("0")), (Some(0), "user=root\tuserdb_uid=0\tuserdb_gid=0\t".to_owned()));
    for original in [Some("0"), Some(""), None] {
        assert_eq!(answer(MAIL_ID, original), (Some(111), String::new()), "{original:?}");
    }
}
