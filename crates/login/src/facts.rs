//! Who is connected, from where, and how safely.

use std::net::{IpAddr, SocketAddr};

use net::tls::{Bindings, ClientCert};

/// Both ends of a connection. A unix socket has neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ends {
    /// The client.
    pub(crate) remote: Option<SocketAddr>,
    /// The address it connected to.
    pub(crate) local: Option<SocketAddr>,
}

impl Ends {
    pub(crate) fn remote_ip(&self) -> Option<IpAddr> {
        self.remote.map(|address| address.ip().to_canonical())
    }

    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        self.local.map(|address| address.ip().to_canonical())
    }

    pub(crate) fn remote_port(&self) -> u16 {
        self.remote.map_or(0, |address| address.port())
    }

    pub(crate) fn local_port(&self) -> u16 {
        self.local.map_or(0, |address| address.port())
    }

    /// The same with another remote address.
    pub(crate) fn set_remote_ip(&mut self, ip: IpAddr) {
        self.remote = Some(SocketAddr::new(ip, self.remote_port()));
    }

    pub(crate) fn set_remote_port(&mut self, port: u16) {
        if let Some(remote) = &mut self.remote {
            remote.set_port(port);
        }
    }

    pub(crate) fn set_local_ip(&mut self, ip: IpAddr) {
        self.local = Some(SocketAddr::new(ip, self.local_port()));
    }

    pub(crate) fn set_local_port(&mut self, port: u16) {
        if let Some(local) = &mut self.local {
            local.set_port(port);
        }
    }
}

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Not at all.
    Off,
    /// A load balancer says that it speaks TLS with the client.
    Proxied,
    /// The handshake is not through; the text says what went wrong.
    Handshaking(Option<String>),
    /// It is through; the text is `%k` of the log line.
    On(String),
}

/// Everything that is known of a client apart from what it says.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// As told by a load balancer or a trusted proxy, or the real ones.
    pub(crate) ends: Ends,
    /// The sockets' own.
    pub(crate) real: Ends,
    /// The listener's name.
    pub(crate) listener: String,
    /// The name asked for by SNI, or told by the load balancer.
    pub(crate) local_name: Option<String>,
    /// In `login_trusted_networks`.
    pub(crate) trusted: bool,
    /// Passwords may be sent: TLS, trusted, or from this very host.
    pub(crate) secured: bool,
    /// How it is protected.
    pub(crate) tls: Tls,
    /// What came of asking for a certificate.
    pub(crate) cert: ClientCert,
    /// What an authentication can be bound to.
    pub(crate) bindings: Bindings,
    /// The name in a certificate that the load balancer checked.
    pub(crate) proxied_cert_name: Option<String>,
}

impl Peer {
    /// Over a socket with these addresses, before anything was said.
    pub(crate) fn new(real: Ends, listener: &str) -> Self {
        Self {
            ends: real,
            real,
            listener: listener.to_owned(),
            local_name: None,
            trusted: false,
            secured: false,
            tls: Tls::Off,
            cert: ClientCert::None,
            bindings: Bindings::default(),
            proxied_cert_name: None,
        }
    }

    /// Whether TLS is spoken on this very connection.
    pub(crate) fn has_tls(&self) -> bool {
        matches!(self.tls, Tls::Handshaking(_) | Tls::On(_))
    }
}
