//! Who is at the other end of a unix socket.

use std::io;
use std::os::fd::AsFd;

/// A peer as the kernel recorded it when the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process id; 0 when the peer lives in a pid namespace that is not visible here.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The peer of `socket`.
///
/// # Errors
/// Those of `getsockopt(SO_PEERCRED)`.
pub fn credentials(socket: impl AsFd) -> io::Result<Peer> {
    use nix::sys::socket::{getsockopt, sockopt};
    let found = getsockopt(&socket.as_fd(), sockopt::PeerCredentials)?;
    Ok(Peer { pid: u32::try_from(found.pid()).unwrap_or(0), uid: found.uid(), gid: found.gid() })
}
