//! A Postfix of the test's own: private configuration, queue and log, ports of loopback.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, chown};

use crate::needs::{find, needs, wait_for};

/// A running server. Dropping it stops it; its directory belongs to the caller.
pub struct Postfix {
    dir: PathBuf,
    child: Child,
}

impl Postfix {
    /// Starts a server that keeps everything in `dir`, with these lines in its `main.cf` and these
    /// services in its `master.cf`; one of them listens on `port`. `None`, with a word about it, if it
    /// is not installed. It wants root.
    pub fn start(dir: &Path, port: u16, main: &str, master: &str) -> Option<Self> {
        if !needs(&["postfix", "postconf"]) {
            return None;
        }
        let home = dir.join("postfix");
        for name in ["etc", "queue", "data"] {
            std::fs::create_dir_all(home.join(name)).expect("the server's directory");
        }
        let owner = User::from_name("postfix").ok().flatten().expect("the package brings its user");
        chown(&home.join("data"), Some(owner.uid), None).expect("an owner");
        let place = home.display();
        let own = format!(
            "compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/data\n\
             maillog_file = {place}/maillog\nmaillog_file_prefixes = {place}\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nmyhostname = mail.example.org\nalias_maps =\n\
             smtpd_error_sleep_time = 0\n{main}"
        );
        std::fs::write(home.join("etc/main.cf"), own).expect("main.cf");
        std::fs::write(home.join("etc/master.cf"), format!("{SERVICES}{master}")).expect("master.cf");
        // What it lacks in the queue's directory it makes.
        let checked = Command::new(find("postfix").expect("it is installed"))
            .arg("-c")
            .arg(home.join("etc"))
            .arg("check")
            .stdin(Stdio::null())
            .output()
            .expect("postfix runs");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let mut command = Command::new(daemon_directory().join("master"));
        command.arg("-d").arg("-c").arg(home.join("etc"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // It ends by a signal to its process group.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().expect("master starts");
        wait_for("Postfix to start", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Some(Self { dir: home, child })
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.dir.join("maillog")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits until a line with all `words` has been logged.
    pub fn wait_log(&self, words: &[&str]) -> String {
        wait_for(&format!("{words:?} in Postfix's log"), || {
            let log = self.log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        })
    }

    /// Has it try again to deliver what is in its queue.
    pub fn flush(&self) {
        let done = Command::new(find("postqueue").expect("it is installed"))
            .arg("-c")
            .arg(self.dir.join("etc"))
            .arg("-f")
            .status();
        assert!(done.expect("postqueue runs").success());
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id fits"));
        // It may have ended by itself.
        let _ = kill(pid, Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn daemon_directory() -> PathBuf {
    let mut command = Command::new(find("postconf").expect("it is installed"));
    let shown = command.args(["-dh", "daemon_directory"]).output().expect("postconf runs");
    PathBuf::from(String::from_utf8_lossy(&shown.stdout).trim())
}

/// What every Postfix needs, none of it in a chroot.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";
