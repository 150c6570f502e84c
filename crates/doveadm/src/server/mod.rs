//! The `doveadm-server` process: does commands for clients on `doveadm-server`, and on an `inet_listener`
//! for those that know `doveadm_password`. It has root's rights, since it works on every user's mail; a
//! command takes those of its user while it runs.

mod connection;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::net::IpAddr;
use std::time::Duration;

use ipc::control::ListenerKind;
use net::load_balancer::LoadBalancers;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use service::{Client, Entry, Fatal, Process, Stream};

use self::connection::Connection;
use crate::cmd::save::unnamed_file;
use crate::context::{Failure, Outcome};
use crate::wire::channels::{Channels, OUTPUT};
use crate::wire::dot;

/// The processes of this crate.
pub fn entries() -> Vec<Entry> {
    vec![Entry::new("doveadm-server", |_| Ok(()), |process, ()| live(process))]
}

async fn live(process: Process) -> Result<(), Fatal> {
    if process.client_limit() > 1 {
        // Commands take their users' rights, which are those of the whole process.
        return Err(Fatal::new("service doveadm { client_limit } must be 1"));
    }
    let own = process.clone();
    process
        .serve(move |client| {
            let process = own.clone();
            async move {
                let log = process.log().clone();
                let Some(ends) = arrive(&process, &client).await else { return };
                let serving = process.clone();
                let served = tokio::task::spawn_blocking(move || serve(&serving, client, ends)).await;
                if let Err(error) = served {
                    // It may still have the rights of a user.
                    log.error(format_args!("doveadm client: {error}"));
                    process.end(service::Phase::Stopping);
                }
            }
        })
        .await
}

/// Finds out who connected where; empty on a unix socket. `None` if the connection is to be closed.
async fn arrive(process: &Process, client: &Client) -> Option<Option<Ends>> {
    let Stream::Tcp(socket) = &client.stream else { return Some(None) };
    let own = Ends { local: socket.local_addr().ok()?.ip(), remote: socket.peer_addr().ok()?.ip() };
    let ListenerKind::Inet { haproxy: true, .. } = client.listener.kind else { return Some(Some(own)) };
    let balancers = LoadBalancers::new(&process.settings().root(), process.log());
    let header = balancers.header(socket, own.remote, process.log()).await?;
    let said = header.addresses.map(|both| Ends { local: both.local.ip(), remote: both.remote.ip() });
    Some(Some(said.unwrap_or(own)))
}

/// Both addresses of a connection.
#[derive(Clone, Copy)]
struct Ends {
    local: IpAddr,
    remote: IpAddr,
}

fn serve(process: &Process, client: Client, ends: Option<Ends>) {
    let Client { stream, listener, guard } = client;
    let opened =
        stream.into_descriptor().and_then(|socket| Connection::new(process, &listener, socket, ends));
    match opened {
        Ok(connection) => connection.live(),
        Err(error) => process.log().error(format_args!("doveadm client: {}", base::reason(&error))),
    }
    drop(guard);
}

/// Whom a command is done for.
#[derive(Debug)]
pub(crate) struct Serving {
    /// The user whose mail it works on.
    pub(crate) user: String,
    /// The client's address.
    pub(crate) remote: Option<IpAddr>,
    input: BufReader<File>,
    output: Channels,
    /// The command has told its client how it ended.
    has_answered: bool,
}

impl Serving {
    /// What the client sends behind the command, in a file without a name, at its beginning.
    pub(crate) fn command_input(&mut self) -> Outcome<File> {
        let failed = |error: &io::Error| {
            Failure::fatal(format_args!("read((client)) failed: {}", base::reason(error)))
        };
        let mut kept = unnamed_file().map_err(|error| failed(&error))?;
        dot::read(&mut self.input, &mut kept).map_err(|error| failed(&error))?;
        io::Seek::rewind(&mut kept).map_err(|error| failed(&error))?;
        Ok(kept)
    }

    /// Both ways of the connection, for a command that talks with its client. The client is told first
    /// that the command has begun; it may be silent for so long.
    pub(crate) fn converse(&mut self, timeout: Duration) -> io::Result<(Conversation, Channels)> {
        self.output.send(OUTPUT, b"\n+\n")?;
        self.has_answered = true;
        let pending = self.input.buffer().to_vec();
        self.input.consume(pending.len());
        let file = self.input.get_ref().try_clone()?;
        set_socket_timeout(&file, Timeout::Recv, Some(timeout))?;
        Ok((Cursor::new(pending).chain(file), self.output.clone()))
    }
}

/// What a client says.
pub(crate) type Conversation = io::Chain<Cursor<Vec<u8>>, File>;
