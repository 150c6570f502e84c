//! Redis and memcached servers of the test's own, on ports of loopback.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::host::free_port;
use crate::needs::{find, needs, wait_for};

/// A running or stopped Redis, which keeps nothing on disk. Dropping it stops it.
pub struct Redis {
    dir: PathBuf,
    port: u16,
    password: String,
    child: Option<Child>,
}

impl Redis {
    /// Starts a server in `dir`; `None`, with a word about it, if it is not installed. An empty
    /// password is none.
    pub fn start(dir: &Path, password: &str) -> Option<Self> {
        if !needs(&["redis-server"]) {
            return None;
        }
        let mut server =
            Self { dir: dir.to_owned(), port: free_port(), password: password.to_owned(), child: None };
        server.resume();
        Some(server)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    /// Starts it again, empty, and waits until it answers.
    pub fn resume(&mut self) {
        let mut server = Command::new(find("redis-server").expect("Redis is installed"));
        server.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""]);
        server.args(["--appendonly", "no", "--unixsocketperm", "777", "--dir"]).arg(&self.dir);
        server.arg("--unixsocket").arg(self.socket());
        if !self.password.is_empty() {
            server.args(["--requirepass", &self.password]);
        }
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(server.spawn().expect("redis-server starts"));
        wait_for("redis-server to start", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// Sets a key in a database, by its number.
    pub fn set(&self, database: u32, key: &str, value: &str) {
        let mut words = Vec::new();
        if !self.password.is_empty() {
            words.push(vec!["AUTH", &self.password]);
        }
        let database = database.to_string();
        words.extend([vec!["SELECT", &database], vec!["SET", key, value]]);
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("Redis answers");
        for command in words {
            let mut text = format!("*{}\r\n", command.len());
            command.iter().for_each(|word| text.push_str(&format!("${}\r\n{word}\r\n", word.len())));
            expect(&mut stream, &text, "+OK\r\n");
        }
    }

    /// Stops it in an instant.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running or stopped memcached. Dropping it stops it.
pub struct Memcached {
    port: u16,
    child: Option<Child>,
}

impl Memcached {
    /// Starts a server; `None`, with a word about it, if it is not installed.
    pub fn start() -> Option<Self> {
        if !needs(&["memcached"]) {
            return None;
        }
        let mut server = Self { port: free_port(), child: None };
        server.resume();
        Some(server)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again, empty, and waits until it answers.
    pub fn resume(&mut self) {
        let mut server = Command::new(find("memcached").expect("memcached is installed"));
        server.args(["-l", "127.0.0.1", "-p", &self.port.to_string(), "-U", "0", "-m", "16"]);
        if nix::unistd::geteuid().is_root() {
            server.args(["-u", "nobody"]);
        }
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(server.spawn().expect("memcached starts"));
        wait_for("memcached to start", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// Sets a key.
    pub fn set(&self, key: &str, value: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("memcached answers");
        expect(&mut stream, &format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
    }

    /// Stops it in an instant.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn expect(stream: &mut TcpStream, command: &str, answer: &str) {
    stream.write_all(command.as_bytes()).expect("the server reads");
    let mut found = vec![0; answer.len()];
    stream.read_exact(&mut found).expect("the server answers");
    assert_eq!(String::from_utf8_lossy(&found), answer, "{command}");
}
