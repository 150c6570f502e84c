//! A PostgreSQL server of the test's own: private directory, unix socket, and a port of loopback.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, chown};

use crate::host::free_port;
use crate::needs::{find, needs, wait_for};

/// The server does not run as root; the tests may.
const UNPRIVILEGED: &str = "postgres";

/// A running or stopped server. Dropping it stops it; its directory belongs to the caller.
pub struct Postgres {
    dir: PathBuf,
    port: u16,
    has_tls: bool,
    child: Option<Child>,
}

impl Postgres {
    /// Makes a server in `dir` and starts it; `None`, with a word about it, if it is not installed.
    /// The superuser is `root`, who may come in without a password by the socket only.
    pub fn start(dir: &Path) -> Option<Self> {
        Self::start_as(dir, false)
    }

    /// The same for a server that speaks TLS where it is asked to, with [`Postgres::certificate`], which
    /// is for `localhost`.
    pub fn start_with_tls(dir: &Path) -> Option<Self> {
        Self::start_as(dir, true)
    }

    fn start_as(dir: &Path, has_tls: bool) -> Option<Self> {
        if programs().is_none() && !needs(&["postgres"]) {
            return None;
        }
        let home = dir.join("pg");
        std::fs::create_dir(&home).expect("the server's directory");
        if let Some(user) = server_user() {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(dir, open).expect("the way to the server's directory");
            chown(&home, Some(user.uid), Some(user.gid)).expect("the server's directory is the server's");
        }
        let mut initdb = command("initdb");
        initdb.args([
            "-U",
            "root",
            "-E",
            "UTF8",
            "--locale=C",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
        ]);
        initdb.args(["--no-sync", "-D"]).arg(home.join("data"));
        let done = initdb.output().expect("initdb runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        if has_tls {
            crate::cert::write(&home, &["localhost"]).expect("a certificate");
            let key = home.join("key.pem");
            let secret = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&key, secret).expect("the key's permissions");
            if let Some(user) = server_user() {
                chown(&key, Some(user.uid), Some(user.gid)).expect("the key is the server's");
            }
        }
        let mut server = Self { dir: home, port: free_port(), has_tls, child: None };
        server.resume();
        Some(server)
    }

    /// The directory of the server's socket, which every user may connect to.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// The file with the server's certificate, which is its own authority.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("cert.pem")
    }

    /// Its port, on 127.0.0.1 and in the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again and waits until it answers.
    pub fn resume(&mut self) {
        let mut server = command("postgres");
        server.arg("-D").arg(self.dir.join("data")).arg("-k").arg(&self.dir);
        server.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-F"]);
        server.args(["-c", "shared_buffers=2MB", "-c", "max_connections=40"]);
        if self.has_tls {
            let file = |name: &str| self.dir.join(name).display().to_string();
            server.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={}", file("cert.pem"))]);
            server.args(["-c", &format!("ssl_key_file={}", file("key.pem"))]);
        }
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(server.spawn().expect("postgres starts"));
        wait_for("PostgreSQL to start", || {
            let mut ping = self.psql();
            ping.args(["-c", "SELECT 1"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            ping.status().expect("psql runs").success().then_some(())
        });
    }

    /// Runs statements in the database `postgres`; they must succeed.
    pub fn run(&self, statements: &str) {
        let mut psql = self.psql();
        psql.args(["-q", "-v", "ON_ERROR_STOP=1"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut psql = psql.spawn().expect("psql runs");
        let mut input = psql.stdin.take().expect("a pipe");
        input.write_all(statements.as_bytes()).expect("psql reads");
        drop(input);
        assert!(psql.wait().expect("psql ends").success());
    }

    /// Stops it in an instant, as far as it can be told to.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id fits"));
        // Its "immediate shutdown", which takes its children along. It may have ended by itself.
        let _ = kill(pid, Signal::SIGQUIT);
        let _ = child.wait();
    }

    fn psql(&self) -> Command {
        let mut command = Command::new(programs().expect("PostgreSQL is installed").join("psql"));
        command
            .args(["-X", "-U", "root", "-d", "postgres", "-p", &self.port.to_string(), "-h"])
            .arg(&self.dir);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where Debian has the newest release's programs.
fn programs() -> Option<PathBuf> {
    let mut releases: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|path| path.join("postgres").is_file())
        .collect();
    releases.sort();
    releases.pop().or_else(|| find("postgres")?.parent().map(Path::to_owned))
}

fn server_user() -> Option<User> {
    Uid::effective().is_root().then(|| User::from_name(UNPRIVILEGED).ok().flatten()).flatten()
}

/// A program of the server, run as a user whom it accepts.
fn command(name: &str) -> Command {
    let mut command = Command::new(programs().expect("PostgreSQL is installed").join(name));
    if let Some(user) = server_user() {
        std::os::unix::process::CommandExt::uid(&mut command, user.uid.as_raw());
        std::os::unix::process::CommandExt::gid(&mut command, user.gid.as_raw());
    }
    command.current_dir("/");
    command
}
