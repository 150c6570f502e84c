//! A client that has just connected: its addresses, and the PROXY protocol header of a load balancer
//! if the listener has `haproxy = yes`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Logger;
use ipc::control::ListenerKind;
use net::networks::Networks;
use net::proxy_protocol::{self, HEADER_BYTES_MAX, Header, Parsed};
use service::Stream;
use settings::{Settings, key};
use tokio::net::TcpStream;

use crate::accept::Accepted;
use crate::facts::{Ends, Peer, Tls};
use crate::limits::HEADER_PAUSE;

/// A connection whose client may be talked to.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    /// TLS from the first byte.
    pub(crate) tls_first: bool,
}

/// The `haproxy_*` settings.
#[derive(Debug, Clone)]
pub(crate) struct LoadBalancers {
    trusted: Arc<Networks>,
    timeout: Duration,
}

impl LoadBalancers {
    pub(crate) fn new(settings: &Settings, log: &Logger) -> Self {
        let (trusted, bad) = Networks::parse(settings.get(key::HAPROXY_TRUSTED_NETWORKS));
        if let Some(bad) = bad {
            log.error(format_args!("haproxy_trusted_networks: {bad}"));
        }
        Self { trusted: Arc::new(trusted), timeout: settings.get(key::HAPROXY_TIMEOUT) }
    }
}

/// Finds out who is there. `None` if the connection is to be closed; why is in the log.
pub(crate) async fn arrive(
    Accepted { stream, remote, listener }: Accepted,
    balancers: &LoadBalancers,
    log: &Logger,
) -> Option<Arrival> {
    let local = match &stream {
        Stream::Tcp(stream) => stream.local_addr().ok(),
        Stream::Unix(_) | Stream::Unwatched(_) => None,
    };
    let ends = Ends { remote, local };
    let mut peer = Peer::new(ends, &listener.name);
    peer.secured = ends.remote_ip() == ends.local_ip();
    let (tls_first, haproxy) = match listener.kind {
        ListenerKind::Inet { ssl, haproxy } => (ssl, haproxy),
        _ => (false, false),
    };
    if haproxy {
        let (rip, Stream::Tcp(socket)) = (ends.remote_ip()?, &stream) else { return None };
        if !balancers.trusted.contains(rip) {
            log.error(format_args!("haproxy: Client not trusted (rip={rip})"));
            return None;
        }
        let header = tokio::time::timeout(balancers.timeout, Box::pin(header(socket, rip, log))).await;
        let Ok(header) = header else {
            log.error(format_args!("haproxy: Client timed out (rip={rip})"));
            return None;
        };
        introduce(&mut peer, header?);
    }
    Some(Arrival { stream, peer, tls_first })
}

fn introduce(peer: &mut Peer, header: Header) {
    if let Some(addresses) = header.addresses {
        peer.ends = Ends { remote: Some(addresses.remote), local: Some(addresses.local) };
    }
    peer.secured = header.ssl;
    if header.ssl {
        peer.tls = Tls::Proxied;
    }
    peer.local_name = header.hostname;
    peer.proxied_cert_name = header.cert_common_name;
}

/// Reads the header and nothing after it: looks first, takes then.
async fn header(stream: &TcpStream, rip: IpAddr, log: &Logger) -> Option<Header> {
    let mut seen = 0;
    let mut bytes = vec![0; HEADER_BYTES_MAX];
    loop {
        let count = match stream.peek(&mut bytes).await {
            Ok(0) => {
                log.info(format_args!("haproxy: Client disconnected (rip={rip}): Connection reset by peer"));
                return None;
            }
            Ok(count) => count,
            Err(error) => {
                log.info(format_args!("haproxy: Client disconnected (rip={rip}): {error}"));
                return None;
            }
        };
        match proxy_protocol::parse(bytes.get(..count).unwrap_or_default()) {
            Ok(Parsed::Complete(header, size)) => {
                if let Some(warning) = &header.warning {
                    log.error(format_args!("haproxy(v2): {warning}, rip={rip})"));
                }
                // What was seen is there to be taken.
                stream.try_read(bytes.get_mut(..size)?).ok()?;
                return Some(header);
            }
            Ok(Parsed::Incomplete) if count < HEADER_BYTES_MAX => {
                // Bytes that were only looked at keep the socket readable: wait for more, not for any.
                if count == seen {
                    tokio::time::sleep(HEADER_PAUSE).await;
                }
                seen = count;
            }
            Ok(Parsed::Incomplete) => {
                log.error(format_args!("haproxy: Client disconnected: Too long header (rip={rip})"));
                return None;
            }
            Err(refusal) => {
                log.error(refusal.line(rip));
                return None;
            }
        }
    }
}
