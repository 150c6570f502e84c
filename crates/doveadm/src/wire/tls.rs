//! TLS of the doveadm protocol, from the first byte (`ssl = yes` of a listener, `tcps:`) or after `STARTTLS`.
//! Both ends of the protocol work with descriptors, which wait, time out and are handed on; so a thread speaks
//! TLS with the peer, and the plain text goes through a pair of sockets.

use std::future::Future;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use base::Logger;
use net::tls::{ClientCert, ClientContext, ClientOptions, ServerContext, ServerOptions};
use settings::Settings;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::limits::{CONNECT_TIMEOUT, TLS_LINGER};

/// How a client speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tls {
    /// Only after `STARTTLS`.
    pub(crate) start: bool,
    /// Whatever certificate the server has.
    pub(crate) any_cert: bool,
}

/// The same with what it takes.
#[derive(Clone, Debug)]
pub(crate) struct Secure {
    pub(crate) start: bool,
    context: ClientContext,
}

impl Secure {
    /// From the `ssl_client_*` settings.
    pub(crate) fn of(settings: &Settings, tls: Tls) -> Result<Self, String> {
        let mut failure = None;
        let authorities = net::tls::client_authorities(settings, &mut |error| failure = Some(error));
        if let Some(error) = failure {
            return Err(format!("Couldn't initialize SSL client: {error}"));
        }
        let options = ClientOptions::of(settings, &authorities, tls.any_cert);
        let context = ClientContext::new(&options)
            .map_err(|error| format!("Couldn't initialize SSL client: {}", base::chain(&error)))?;
        Ok(Self { start: tls.start, context })
    }

    /// Shakes hands with the server of this name, and gives the other end of what it says.
    pub(crate) fn connect(&self, socket: OwnedFd, host: &str) -> Result<OwnedFd, String> {
        let (context, host) = (self.context.clone(), host.to_owned());
        let (plain, _) = relayed(socket, async move |socket| {
            let connected = net::tls::connect(socket, &host, &context).await;
            connected.map_err(|error| base::chain(&error).to_string())
        })?;
        Ok(plain.into())
    }
}

/// Shakes hands with a client, and gives the other end of what it says.
pub(crate) fn accept(socket: OwnedFd, settings: &Settings, log: &Logger) -> Result<(OwnedFd, Relay), String> {
    let context = ServerContext::new(&ServerOptions::of(settings))
        .map_err(|error| format!("SSL init failed: {}", base::chain(&error)))?;
    context.warnings().iter().for_each(|line| log.warning(line));
    let context = Arc::new(context);
    let accepted = relayed(socket, async move |socket| {
        let accepted = net::tls::accept(socket, &[], |_| Some(context)).await;
        let (stream, context) = accepted.map_err(|error| base::chain(&error).to_string())?;
        match context.client_cert(stream.get_ref().1) {
            ClientCert::Invalid(why) => Err(format!("Received invalid SSL certificate: {why}")),
            _ => Ok(stream),
        }
    });
    let (near, sent) = accepted.map_err(|why| format!("SSL handshake failed: {why}"))?;
    let plain = near.try_clone().map_err(|error| base::reason(&error).to_string())?;
    Ok((near.into(), Relay { plain, sent }))
}

/// A thread that speaks TLS. Dropping it waits until all that was written is with the peer's host.
#[derive(Debug)]
pub(crate) struct Relay {
    plain: UnixStream,
    sent: Receiver<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.plain.shutdown(std::net::Shutdown::Write);
        // A peer that takes nothing is not waited for.
        let _ = self.sent.recv_timeout(TLS_LINGER);
    }
}

/// Starts the thread, and waits until hands are shaken.
fn relayed<S, F>(
    socket: OwnedFd,
    shake: impl FnOnce(tokio::net::TcpStream) -> F + Send + 'static,
) -> Result<(UnixStream, Receiver<()>), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<S, String>>,
{
    let system = |error: std::io::Error| base::reason(&error).to_string();
    let (near, far) = UnixStream::pair().map_err(system)?;
    let socket = TcpStream::from(socket);
    let _ = socket.set_nodelay(true);
    socket.set_nonblocking(true).map_err(system)?;
    far.set_nonblocking(true).map_err(system)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let (shaken, is_shaken) = sync_channel(1);
    let (done, sent) = sync_channel(1);
    std::thread::spawn(move || {
        runtime.block_on(async {
            let stream = async { shake(tokio::net::TcpStream::from_std(socket).map_err(system)?).await };
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, stream).await;
            let plain = tokio::net::UnixStream::from_std(far);
            match (stream.unwrap_or_else(|_| Err("Timed out".to_owned())), plain) {
                (Ok(stream), Ok(plain)) => {
                    let _ = shaken.send(Ok(()));
                    relay(stream, plain, &done).await;
                }
                (Err(why), _) => drop(shaken.send(Err(why))),
                (_, Err(error)) => drop(shaken.send(Err(system(error)))),
            }
        });
    });
    is_shaken.recv().unwrap_or_else(|_| Err("The thread has ended".to_owned()))?;
    Ok((near, sent))
}

/// Passes on what either says, until both have said all, or the peer does not hang up.
async fn relay<S: AsyncRead + AsyncWrite + Unpin>(
    tls: S,
    plain: tokio::net::UnixStream,
    done: &SyncSender<()>,
) {
    let (mut tls_in, mut tls_out) = tokio::io::split(tls);
    let (mut plain_in, mut plain_out) = plain.into_split();
    let there = async {
        let _ = tokio::io::copy(&mut plain_in, &mut tls_out).await;
        let _ = tls_out.shutdown().await;
        let _ = done.send(());
    };
    let back = async {
        let _ = tokio::io::copy(&mut tls_in, &mut plain_out).await;
        let _ = plain_out.shutdown().await;
    };
    tokio::pin!(there, back);
    tokio::select! {
        () = &mut there => drop(tokio::time::timeout(TLS_LINGER, back).await),
        () = &mut back => there.await,
    }
}
