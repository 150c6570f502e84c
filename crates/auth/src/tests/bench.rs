//! An auth process to play with.

use std::os::unix::net::{UnixListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::Logger;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use sasl::encoding::base64;
use settings::Snapshot;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::client::{self, Kind};
use crate::life::Parts;
use crate::master::{self, SocketOwner};
use crate::server::Auth;
use crate::worker::Worker;
use crate::workers::Timeouts;

/// How long an answer may take before the test calls it hung.
const HUNG: Duration = Duration::from_secs(60);

pub(super) struct Bench {
    pub(super) auth: Rc<Auth>,
    /// Connections that workers have accepted.
    pub(super) workers: Arc<AtomicUsize>,
    dir: tempfile::TempDir,
}

impl Bench {
    /// With these files in a fresh directory, which is `DIR` in them and in the configuration.
    pub(super) fn new(config: &str, files: &[(&str, &str)]) -> Self {
        Self::with_timeouts(config, files, Timeouts::default())
    }

    pub(super) fn with_timeouts(config: &str, files: &[(&str, &str)], timeouts: Timeouts) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap().to_owned();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text.replace("DIR", &place)).unwrap();
        }
        let config = format!("auth_failure_delay = 0\n{}", config.replace("DIR", &place));
        let snapshot = Snapshot::from_text(&config).unwrap();
        let parts =
            || Parts::read(&snapshot, Logger::new("auth: ")).map_err(|error| error.to_string()).unwrap();
        let services = parts().services(false).unwrap();
        services.load();
        let workers = Arc::default();
        start_workers(&dir.path().join("auth-worker"), snapshot.clone(), Arc::clone(&workers));
        let path = dir.path().join("auth-worker");
        let auth = Auth::new(services, Logger::new("auth: "), &path, timeouts, None, false);
        Self { auth, workers, dir }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Connects as a client and shakes hands.
    pub(super) async fn client(&self, kind: Kind) -> Dialogue {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let auth = self.auth.clone();
        let pid = Some(std::process::id());
        tokio::task::spawn_local(async move {
            client::talk(&auth, theirs, kind, pid, std::future::pending(), std::future::pending()).await;
        });
        let mut dialogue = Dialogue::new(ours);
        dialogue.say(&format!("VERSION\t1\t2\nCPID\t{}", std::process::id())).await;
        dialogue
    }

    /// Connects for a connection to another server.
    pub(super) fn connector(&self) -> service::Link {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let auth = self.auth.clone();
        tokio::task::spawn_local(async move {
            crate::connector::talk(&auth, service::Link::new(theirs), std::future::pending()).await;
        });
        service::Link::new(ours)
    }

    /// Connects as a master; with `owner` to `auth-userdb`.
    pub(super) async fn master(&self, owner: Option<SocketOwner>) -> Dialogue {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let auth = self.auth.clone();
        let peer = getsockopt(&theirs, PeerCredentials).ok();
        tokio::task::spawn_local(async move {
            master::talk(&auth, theirs, "auth-userdb", owner, peer, std::future::pending()).await;
        });
        let mut dialogue = Dialogue::new(ours);
        dialogue.say("VERSION\t1\t1").await;
        assert_eq!(dialogue.line().await, "VERSION\t1\t1");
        assert_eq!(dialogue.line().await, format!("SPID\t{}", std::process::id()));
        dialogue
    }
}

/// Accepts until the process ends, a thread for each connection.
fn start_workers(path: &Path, snapshot: Snapshot, count: Arc<AtomicUsize>) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            count.fetch_add(1, Ordering::SeqCst);
            let snapshot = snapshot.clone();
            std::thread::spawn(move || work(&snapshot, stream));
        }
    });
}

fn work(snapshot: &Snapshot, stream: StdStream) {
    let log = Logger::new("auth-worker(1): ");
    let parts = Parts::read(snapshot, log.clone()).map_err(|error| error.to_string()).unwrap();
    let services = parts.services(true).unwrap();
    let worker = Worker::new(&services, log, &stream);
    // A connection that breaks is the auth process's to report.
    let _ = worker.serve(stream);
}

/// One side of a conversation in lines.
pub(super) struct Dialogue {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Dialogue {
    fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::new(reader), writer }
    }

    pub(super) async fn say(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next line; empty at the end.
    pub(super) async fn line(&mut self) -> String {
        let mut line = String::new();
        // A server that has not read everything ends the connection with a reset.
        let read = timeout(HUNG, self.reader.read_line(&mut line)).await.expect("hung");
        assert!(read.is_ok() || line.is_empty(), "half a line: {line}");
        line.trim_end_matches('\n').to_owned()
    }

    /// Says something and takes one line as the answer.
    pub(super) async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.line().await
    }

    /// The server's greeting up to `DONE`; gives the cookie.
    pub(super) async fn greeting(&mut self) -> (Vec<String>, String) {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            assert_ne!(line, "", "no greeting: {lines:?}");
            if line == "DONE" {
                let cookie = lines.iter().find_map(|line: &String| line.strip_prefix("COOKIE\t"));
                let cookie = cookie.unwrap().to_owned();
                return (lines, cookie);
            }
            lines.push(line);
        }
    }
}

/// An `AUTH` line for PLAIN; `user` may be `login*user`-like or have an authorization name before
/// a NUL.
pub(super) fn plain(id: u32, user: &str, password: &str, more: &str) -> String {
    let response = match user.split_once('\0') {
        Some((login, user)) => format!("{login}\0{user}\0{password}"),
        None => format!("\0{user}\0{password}"),
    };
    format!("AUTH\t{id}\tPLAIN\tservice=imap{more}\tresp={}", base64(response.as_bytes()))
}

/// Runs a test where tasks can be spawned.
pub(super) async fn local<T>(test: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(test).await
}
