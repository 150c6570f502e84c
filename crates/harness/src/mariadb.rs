//! A MariaDB server of the test's own: private directory, unix socket only.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::free_port;
use crate::needs::{find, needs, wait_for};

/// A running or stopped server. Dropping it stops it; its directory belongs to the caller.
pub struct MariaDb {
    dir: PathBuf,
    user: String,
    port: Option<u16>,
    child: Option<Child>,
}

/// A statement that holds something until this is dropped.
pub struct Held(Child);

impl MariaDb {
    /// Makes a server in `dir` and starts it; `None`, with a word about it, if it is not installed.
    pub fn start(dir: &Path) -> Option<Self> {
        Self::start_as(dir, None)
    }

    /// The same for a server that can also be reached by [`MariaDb::port`], and speaks TLS there where it
    /// is asked to, with [`MariaDb::certificate`], which is for `localhost`.
    pub fn start_with_tls(dir: &Path) -> Option<Self> {
        Self::start_as(dir, Some(free_port()))
    }

    /// Its port on 127.0.0.1; 0 if it has none.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(0)
    }

    /// The directory with `cert.pem` and `key.pem` of a client that the server knows.
    pub fn client_files(&self) -> PathBuf {
        self.dir.join("client")
    }

    /// The file with the server's certificate, which is its own authority.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("server/cert.pem")
    }

    fn start_as(dir: &Path, port: Option<u16>) -> Option<Self> {
        if !needs(&["mariadbd", "mariadb-install-db", "mariadb", "mariadb-admin"]) {
            return None;
        }
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
        let user = user.expect("the test's own user").name;
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}/data", dir.display()))
            .arg(format!("--user={user}"))
            // Each server that starts removes what it takes for leftovers in the common directory.
            .env("TMPDIR", dir)
            .output();
        let installed = installed.expect("mariadb-install-db runs");
        assert!(
            installed.status.success(),
            "{}{}",
            String::from_utf8_lossy(&installed.stdout),
            String::from_utf8_lossy(&installed.stderr)
        );
        if port.is_some() {
            std::fs::create_dir(dir.join("server")).expect("a directory");
            crate::cert::write(&dir.join("server"), &["localhost"]).expect("a certificate");
            let (authority, issued) = crate::cert::authority(&["dove"]);
            let (certificate, key) = issued.first().expect("a certificate");
            let client = dir.join("client");
            std::fs::create_dir(&client).expect("a directory");
            for (name, text) in [("ca.pem", &authority), ("cert.pem", certificate), ("key.pem", key)] {
                std::fs::write(client.join(name), text).expect("a file");
            }
        }
        let mut server = Self { dir: dir.to_owned(), user, port, child: None };
        server.resume();
        Some(server)
    }

    /// The path of the server's socket, which every user may connect to.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("mysql")
    }

    /// Starts it again and waits until it answers.
    pub fn resume(&mut self) {
        let dir = self.dir.display();
        let mut command = Command::new(find("mariadbd").expect("mariadbd is installed"));
        command.arg("--no-defaults");
        match self.port {
            None => command.arg("--skip-networking"),
            Some(port) => command
                .args(["--bind-address=127.0.0.1", "--skip-name-resolve", &format!("--port={port}")])
                .arg(format!("--ssl-cert={dir}/server/cert.pem"))
                .arg(format!("--ssl-key={dir}/server/key.pem"))
                .arg(format!("--ssl-ca={dir}/client/ca.pem")),
        };
        let child = command
            .arg("--skip-log-bin")
            .arg("--innodb-buffer-pool-size=8M")
            .arg(format!("--user={}", self.user))
            .arg(format!("--datadir={dir}/data"))
            .arg(format!("--socket={dir}/mysql"))
            .arg(format!("--pid-file={dir}/pid"))
            .arg(format!("--tmpdir={dir}"))
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("mariadbd starts"));
        let ping = || {
            let mut ping = self.client("mariadb-admin");
            ping.arg("ping").stdout(Stdio::null()).stderr(Stdio::null());
            ping.status().expect("mariadb-admin runs").success().then_some(())
        };
        wait_for("MariaDB to start", ping);
    }

    /// Runs statements; they must succeed.
    pub fn run(&self, statements: &str) {
        let mut client = self.client("mariadb").stdin(Stdio::piped()).spawn().expect("mariadb runs");
        let mut input = client.stdin.take().expect("a pipe");
        input.write_all(statements.as_bytes()).expect("mariadb reads");
        drop(input);
        assert!(client.wait().expect("mariadb ends").success());
    }

    /// Takes the lock `name` of `GET_LOCK`, and holds it.
    pub fn hold(&self, name: &str) -> Held {
        let mut client = self.client("mariadb");
        client.arg("-e").arg(format!("SELECT GET_LOCK('{name}', 60); SELECT SLEEP(600)"));
        let held = Held(client.stdout(Stdio::null()).spawn().expect("mariadb runs"));
        wait_for("the lock is held", || {
            let check =
                self.client("mariadb").args(["-Ne", &format!("SELECT IS_FREE_LOCK('{name}')")]).output();
            (check.expect("mariadb runs").stdout == b"0\n").then_some(())
        });
        held
    }

    /// Stops it in an instant, as a crash would.
    pub fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id fits"));
        // It may have ended by itself.
        let _ = kill(pid, signal);
        let _ = child.wait();
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["--no-defaults", "-uroot"]);
        command.arg(format!("--socket={}", self.socket().display())).stdin(Stdio::null());
        command
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.end(Signal::SIGKILL);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
