//! An Exim of the test's own that takes authenticated mail and keeps it in its queue.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::{User, chown};

use crate::needs::{find, needs, wait_for};

/// Who Debian's Exim is, whose name is compiled in.
const EXIM_USER: &str = "Debian-exim";

/// A running server. Dropping it stops it; its directory belongs to the caller.
pub struct Exim {
    dir: PathBuf,
    child: Child,
}

impl Exim {
    /// Starts a server on these ports that keeps everything in `dir`, with these main settings and
    /// authenticators. It takes mail from those who have authenticated. `None`, with a word about it,
    /// if it is not installed. It wants root.
    pub fn start(dir: &Path, ports: [u16; 2], settings: &str, authenticators: &str) -> Option<Self> {
        if !needs(&["exim4"]) {
            return None;
        }
        let home = dir.join("exim");
        let owner = User::from_name(EXIM_USER).ok().flatten().expect("the package brings its user");
        for name in ["spool", "log"] {
            std::fs::create_dir_all(home.join(name)).expect("the server's directory");
            chown(&home.join(name), Some(owner.uid), Some(owner.gid)).expect("an owner");
        }
        let (place, program) = (home.display(), find("exim4").expect("it is installed"));
        let [first, second] = ports;
        let config = format!(
            "exim_path = {}\nkeep_environment =\nprimary_hostname = mail.example.org\n\
             spool_directory = {place}/spool\nlog_file_path = {place}/log/%slog\n\
             daemon_smtp_ports = {first} : {second}\nlocal_interfaces = 127.0.0.1\nhost_lookup =\n\
             rfc1413_hosts =\nsmtp_accept_max = 200\nqueue_only = true\nacl_smtp_rcpt = rcpt\nauth_advertise_hosts = *\n{settings}\n\
             begin acl\nrcpt:\n  accept authenticated = *\n  deny message = relay not permitted\n\
             begin authenticators\n{authenticators}\n",
            program.display()
        );
        std::fs::write(home.join("conf"), config).expect("the server's configuration");
        let mut command = Command::new(program);
        command.arg("-C").arg(home.join("conf")).args(["-bdf", "-oP"]).arg(home.join("pid"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("exim starts");
        wait_for("Exim to start", || {
            ports.iter().all(|&port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).then_some(())
        });
        Some(Self { dir: home, child })
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.dir.join("log/mainlog")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
