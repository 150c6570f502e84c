//! A client that has just connected: its addresses, and the PROXY protocol header of a load balancer
//! if the listener has `haproxy = yes`.

use base::Logger;
use ipc::control::ListenerKind;
use net::load_balancer::LoadBalancers;
use net::proxy_protocol::Header;
use service::Stream;

use crate::accept::Accepted;
use crate::facts::{Ends, Peer, Tls};

/// A connection whose client may be talked to.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    /// TLS from the first byte.
    pub(crate) tls_first: bool,
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
        introduce(&mut peer, balancers.header(socket, rip, log).await?);
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
