//! Mail that several servers serve, one after the other or at the same time.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::host::{Builder, Host, MAIL_ID, Under};

/// A directory with the homes of users, removed when it is dropped.
pub struct SharedMail {
    _place: TempDir,
    homes: PathBuf,
}

impl SharedMail {
    /// An empty one that both servers may write to.
    ///
    /// # Panics
    /// If it cannot be made.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        let place = tempfile::Builder::new().prefix("culver-").tempdir_in("/tmp").expect("a directory");
        let homes = place.path().join("mail");
        fs::create_dir(&homes).expect("a directory");
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("permissions can be set");
        if nix::unistd::geteuid().is_root() {
            chown(&homes, Some(MAIL_ID), Some(MAIL_ID)).expect("an owner");
        }
        Self { _place: place, homes }
    }

    /// The home of a user.
    pub fn home(&self, user: &str) -> PathBuf {
        self.homes.join(user)
    }

    /// A server over it for any user with the password `pass`. `ours` is the path of our own, `settings`
    /// are lines that say where and how mail is kept below the homes.
    pub fn server(&self, ours: &str, under: Under, settings: &str) -> Host {
        // Started by root, both work as the owner of the mail.
        let (uid, gid) = match nix::unistd::geteuid().is_root() {
            true => (MAIL_ID, MAIL_ID),
            false => (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
        };
        let homes = self.homes.display();
        let config = format!(
            "passdb {{\n  driver = static\n  args = password=pass\n}}\n\
             userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={homes}/%u\n}}\n{settings}"
        );
        Builder::new(ours).under(under).without_users().config(&config).start()
    }
}
