//! Real Dovecot's doveadm at work on the mail of a test.
#![allow(dead_code, unreachable_pub)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const DOVEADM: &str = "/usr/bin/doveadm";

/// doveadm with a configuration of its own below `dir`. Started by root it works as `nobody`, who then
/// owns all that is there.
pub struct Real {
    dir: PathBuf,
}

impl Real {
    /// `None`, with a word about it, where Dovecot is not installed. `location` is `mail_location`;
    /// `more` goes into the configuration.
    pub fn new(dir: &Path, location: &str, more: &str) -> Option<Self> {
        if !Path::new(DOVEADM).exists() || !Path::new("/usr/sbin/dovecot").exists() {
            assert_ne!(std::env::var("REQUIRE").as_deref(), Ok("all"), "real Dovecot is not installed");
            eprintln!("left out: real Dovecot is not installed");
            return None;
        }
        let real = Self { dir: dir.to_owned() };
        let (dir, id) = (dir.display(), id());
        let config = format!(
            "base_dir = {dir}/run\nstate_dir = {dir}/run\nlog_path = /dev/stderr\nmail_location = {location}\n\
             mail_uid = {id}\nmail_gid = {id}\nfirst_valid_uid = 1\nfirst_valid_gid = 1\nssl = no\n\
             mail_home = {dir}\nnamespace inbox {{\n  inbox = yes\n}}\n{more}"
        );
        std::fs::write(real.dir.join("dovecot.conf"), config).unwrap();
        Some(real)
    }

    /// Runs doveadm, whatever comes of it.
    pub fn try_run(&self, args: &[&str], input: &[u8]) -> Output {
        if is_root() {
            own(&self.dir);
        }
        let mut child = Command::new(DOVEADM)
            .arg("-c")
            .arg(self.dir.join("dovecot.conf"))
            .args(args)
            .env("USER", "tester")
            .env("HOME", &self.dir)
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // doveadm may write before it has read everything.
        let input = input.to_owned();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    /// Runs doveadm, which must succeed and complain of nothing.
    pub fn run(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.try_run(args, input);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{args:?}: {errors}");
        output.stdout
    }

    /// The whole text of a message, line ends as stored or, where doveadm mends them, LF.
    pub fn text(&self, mailbox: &str, uid: u32) -> Vec<u8> {
        let args = ["-f", "pager", "fetch", "text", "mailbox", mailbox, "uid", &uid.to_string()];
        let out = self.run(&args, b"");
        let start = b"text:\n".len();
        assert!(out.starts_with(b"text:\n"), "{}", String::from_utf8_lossy(&out));
        out[start..].to_vec()
    }

    /// Fields of every message of a mailbox, one line each.
    pub fn fields(&self, mailbox: &str, fields: &str) -> Vec<String> {
        let out = self.run(&["-f", "tab", "fetch", fields, "mailbox", mailbox, "all"], b"");
        String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn id() -> u32 {
    if is_root() { 65534 } else { rustix::process::geteuid().as_raw() }
}

/// Gives what we wrote to the user that doveadm works as.
fn own(path: &Path) {
    let _ = std::os::unix::fs::lchown(path, Some(id()), Some(id()));
    std::fs::read_dir(path).into_iter().flatten().flatten().for_each(|entry| own(&entry.path()));
}
