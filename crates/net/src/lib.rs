//! Connections: TLS built from the `ssl*` settings, the PROXY protocol, lists of networks and
//! outgoing TCP. Used by every process that talks to a client or another host.
//!
//! Nothing here reads a file: certificates and keys come as text, because the processes that need
//! them are locked away from the file system.

pub mod connect;
pub mod limits;
pub mod load_balancer;
pub mod networks;
pub mod probe;
pub mod proxy_protocol;
pub mod tls;
