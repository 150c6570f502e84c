//! An auth process within another program, which plays its clients: fuzz targets feed it. It reads a
//! configuration and its databases' files like the real one, and never starts workers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use base::Logger;
use ipc::auth_worker::ToWorker;
use settings::Snapshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use crate::client::{self, Kind};
use crate::life::Parts;
use crate::master;
use crate::server::{Auth, Services};
use crate::worker::Worker;
use crate::workers::Timeouts;

/// How long it may have nothing to say before its client is taken to have heard everything.
const SILENCE: Duration = Duration::from_millis(2);

/// What is in the way of a connection in memory, in each direction.
const PIPE_BYTES: usize = 64 * 1024;

/// An auth process and a worker of it.
pub struct Probe {
    auth: Rc<Auth>,
    worker: Services,
    log: Logger,
    runtime: Runtime,
}

/// Whom a connection claims to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Postfix or Exim, on `auth-client`.
    Agent,
    /// A login process.
    Login,
    /// A mail process, on `auth-master`.
    Master,
}

impl Probe {
    /// With this configuration, in the language of `dovecot.conf`.
    ///
    /// # Errors
    /// It is wrong, or the system gives no event loop.
    pub fn new(config: &str, log: Logger) -> Result<Self, String> {
        let snapshot = Snapshot::from_text(config).map_err(|error| error.to_string())?;
        let parts = Parts::read(&snapshot, log.clone()).map_err(|error| error.to_string())?;
        let services = parts.services(false)?;
        services.load();
        let nowhere = Path::new("/nonexistent/auth-worker");
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let auth = {
            let _inside = runtime.enter();
            Auth::new(services, log.clone(), nowhere, Timeouts::default(), None, false)
        };
        Ok(Self { auth, worker: parts.services(true)?, log, runtime })
    }

    /// A connection that says `input` and hangs up when it hears nothing any more; gives what it heard.
    pub fn talk(&self, peer: Peer, input: &[u8]) -> Vec<u8> {
        LocalSet::new().block_on(&self.runtime, async {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let (auth, never) = (Rc::clone(&self.auth), std::future::pending);
            let serving = match peer {
                Peer::Master => tokio::task::spawn_local(async move {
                    master::talk(&auth, theirs, "auth-master", None, None, never()).await;
                }),
                Peer::Agent | Peer::Login => tokio::task::spawn_local(async move {
                    let kind = if peer == Peer::Login { Kind::Login } else { Kind::Client };
                    client::talk(&auth, theirs, kind, None, never(), never()).await;
                }),
            };
            let (mut reader, mut writer) = tokio::io::split(ours);
            let mut heard = Vec::new();
            let saying = async {
                // It may have hung up long before.
                let _ = writer.write_all(input).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = saying => {}
                () = hear(&mut reader, &mut heard) => {}
            }
            let _ = writer.shutdown().await;
            let _ = reader.read_to_end(&mut heard).await;
            let _ = serving.await;
            heard
        })
    }

    /// Takes what a checkpassword program replies as each lookup does; gives the fields that come of it.
    pub fn hear_checkpassword(&self, reply: &[u8]) -> Vec<(String, Option<String>)> {
        let mut request = self.auth.request("imap");
        request.facts.user = Some("joe".to_owned());
        crate::db::hear_checkpassword(&mut request, reply);
        let userdb = request.userdb.iter().flat_map(|fields| fields.list());
        request.fields.list().iter().chain(userdb).map(|it| (it.key.clone(), it.value.clone())).collect()
    }

    /// What a worker answers to a greeting and these bytes; an error if they end the connection.
    ///
    /// # Errors
    /// The worker hung up because of what it was sent.
    pub fn work(&self, input: &[u8]) -> std::io::Result<Vec<u8>> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let mut sent =
            ipc::encode(&ToWorker::Hello { databases: self.worker.hash }).map_err(std::io::Error::other)?;
        sent.extend_from_slice(input);
        let mut heard = Vec::new();
        let mut reader = ours.try_clone()?;
        std::thread::scope(|scope| {
            scope.spawn(|| reader.read_to_end(&mut heard));
            scope.spawn(move || {
                // It may have hung up long before.
                let _ = ours.write_all(&sent);
                let _ = ours.shutdown(std::net::Shutdown::Write);
            });
            Worker::new(&self.worker, self.log.clone(), &theirs).serve(theirs)
        })?;
        Ok(heard)
    }
}

async fn hear(reader: &mut (impl AsyncReadExt + Unpin), heard: &mut Vec<u8>) {
    while let Ok(Ok(1..)) = tokio::time::timeout(SILENCE, reader.read_buf(heard)).await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_are_served() {
        let config = "auth_failure_delay = 0\npassdb {\n driver = static\n args = password=secret\n}\n\
            userdb {\n driver = static\n args = uid=5 gid=5 home=/h\n}\n";
        let probe = Probe::new(config, Logger::new("probe: ")).unwrap();
        let heard = |peer, input: &str| String::from_utf8(probe.talk(peer, input.as_bytes())).unwrap();
        let login = "VERSION\t1\t2\nCPID\t1\nAUTH\t1\tPLAIN\tservice=imap\tresp=AGpvZQBzZWNyZXQ=\n";
        assert!(heard(Peer::Agent, login).contains("\nOK\t1\tuser=joe\n"));
        assert!(heard(Peer::Login, login).contains("\nOK\t1\tuser=joe\n"));
        let lookup = "VERSION\t1\t1\nUSER\t1\tjoe\tservice=lda\n";
        assert!(heard(Peer::Master, lookup).contains("\nUSER\t1\tjoe\t"), "{}", heard(Peer::Master, lookup));
        let verify =
            ToWorker::Verify { id: 1, user: "joe".into(), password: b"x".into(), stored: "{PLAIN}x".into() };
        assert!(!probe.work(&ipc::encode(&verify).unwrap()).unwrap().is_empty());
        assert!(probe.work(&[0xff; 100]).is_err());
        // Another server's name for a field ends no line.
        let forward = "VERSION\t1\t2\nCPID\t1\n\
            AUTH\t1\tPLAIN\tservice=imap\tforward_fields=a\u{1}1nOK=b\tresp=AGpvZQBzZWNyZXQ=\n";
        assert!(heard(Peer::Login, forward).contains("\nOK\t1\tuser=joe\tforward_a\u{1}nOK=b\n"));
        let field = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        let deep = |name: &str| format!("{}x=y", format!("{name}=").repeat(10_000));
        let imports = ["passdb_import", "userdb_userdb_import"].map(deep).join("\t");
        assert!(!probe.hear_checkpassword(imports.as_bytes()).contains(&field("x", "y")));
        assert!(probe.hear_checkpassword(b"userdb_home=/h\tx=y").contains(&field("home", "/h")));
    }
}
