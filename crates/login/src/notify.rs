//! The pipe that hears of users who are logged in to other servers (`login_proxy_notify_path`): whoever reads
//! it learns every `proxy_refresh` seconds of a connection that its user is still there. 2.3 has it for
//! directors. It is opened before the sandbox closes; nobody needs to read it by then.

use std::convert::Infallible;
use std::fs::File;
use std::future::pending;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::Logger;
use rustix::fs::{Mode, OFlags};

/// Where login processes of 2.3 look for it: below `base_dir`, in their chroot.
const LOGIN_DIR: &str = "login";

/// A pipe, or why there is none.
#[derive(Debug)]
pub(crate) struct Notify {
    path: String,
    pipe: Result<File, String>,
    /// Whether the log has been told that it does not work.
    is_told: AtomicBool,
}

/// Who is to be heard of, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refresh {
    /// The name on the other server.
    pub(crate) user: String,
    /// `proxy_refresh`
    pub(crate) every: Duration,
}

impl Notify {
    /// Opens the pipe at `path`, if it is there.
    pub(crate) fn open(path: &str, base_dir: &str) -> Self {
        let full = Path::new(base_dir).join(LOGIN_DIR).join(path.trim_start_matches('/'));
        let pipe = match path {
            "" => Err("login_proxy_notify_path is empty".to_owned()),
            _ => open(&full).map_err(|error| format!("open({path}) failed: {}", base::reason(&error))),
        };
        Self { path: path.to_owned(), pipe, is_told: AtomicBool::new(false) }
    }

    /// Tells of a user until it is dropped.
    pub(crate) async fn go_on(&self, refresh: Option<Refresh>, log: &Logger) -> Infallible {
        let Some(Refresh { user, every }) = refresh else { return pending().await };
        loop {
            tokio::time::sleep(every).await;
            match self.tell(&user) {
                Ok(()) => self.is_told.store(false, Ordering::Relaxed),
                Err(why) if !self.is_told.swap(true, Ordering::Relaxed) => log.error(why),
                Err(_) => {}
            }
        }
    }

    fn tell(&self, user: &str) -> Result<(), String> {
        let mut pipe = self.pipe.as_ref().map_err(Clone::clone)?;
        let line = format!("{}\n", base::tab::escape(user));
        let failed = |why: &dyn std::fmt::Display| format!("write({}) failed: {why}", self.path);
        match pipe.write(line.as_bytes()) {
            Ok(written) if written == line.len() => Ok(()),
            Ok(_) => Err(format!("write({}) wrote partial update", self.path)),
            Err(error) => Err(failed(&base::reason(&error))),
        }
    }
}

/// For writing, without waiting for a reader or, later, for room.
fn open(path: &PathBuf) -> std::io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    // A pipe can be opened for writing only while somebody has it open for reading.
    let reader = File::from(rustix::fs::open(path, OFlags::RDONLY | flags, Mode::empty())?);
    if !reader.metadata()?.file_type().is_fifo() {
        return Err(std::io::Error::other("Not a FIFO"));
    }
    Ok(rustix::fs::open(path, OFlags::WRONLY | flags, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn readers_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let base_dir = dir.path().to_str().unwrap();
        std::fs::create_dir(dir.path().join("login")).unwrap();
        let path = dir.path().join("login/pipe");
        let said = |path| Notify::open(path, base_dir).tell("joe").unwrap_err();
        assert_eq!(said("pipe"), "open(pipe) failed: No such file or directory");
        assert_eq!(said(""), "login_proxy_notify_path is empty");
        std::fs::write(&path, "").unwrap();
        assert_eq!(said("pipe"), "open(pipe) failed: Not a FIFO");
        std::fs::remove_file(&path).unwrap();

        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let notify = Notify::open("/pipe", base_dir);
        assert_eq!(notify.tell("joe"), Err("write(/pipe) failed: Broken pipe".to_owned()));
        for _ in 0..2 {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK;
            let mut reader = File::from(rustix::fs::open(&path, flags, Mode::empty()).unwrap());
            assert_eq!(notify.tell("joe"), Ok(()));
            assert_eq!(notify.tell("a\tb\nc"), Ok(()));
            let mut text = [0; 100];
            let count = reader.read(&mut text).unwrap();
            assert_eq!(&text[..count], b"joe\na\x01tb\x01nc\n");
        }
        // One that reads nothing holds up nobody.
        let _reader = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        let end = (0..100_000).find_map(|_| notify.tell(&"x".repeat(100)).err());
        assert_eq!(end.as_deref(), Some("write(/pipe) failed: Resource temporarily unavailable"));
    }
}
