//! `inet_listener NAME {}` in a service: a TCP port.

use super::roots::MASTER;
use crate::key::{Port, Str};

settings! { InetListener from 0;
    /// Name of the listener, from the section.
    NAME: Str = "", MASTER;
    /// Addresses to listen on, separated by spaces or commas; empty means `listen`.
    ADDRESS: Str = "", MASTER;
    /// Port; 0 turns the listener off.
    PORT: Port = "0", MASTER;
    /// Whether TLS starts at once.
    SSL: bool = "no", MASTER;
    /// Lets each process have a socket of its own on the same port.
    REUSE_PORT: bool = "no", MASTER;
    /// Whether a PROXY protocol header comes first.
    HAPROXY: bool = "no", MASTER;
}
