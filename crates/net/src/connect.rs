//! Outgoing TCP: one address, an optional source address, a bound on the time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

/// Why a connection was not made. `Display` names the peer, the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket could not be made or bound to the source address.
    #[error("bind({0}) failed")]
    Source(IpAddr, #[source] io::Error),
    /// The peer refused or is unreachable.
    #[error("connect({0}) failed")]
    Refused(SocketAddr, #[source] io::Error),
    /// Nothing answered in time; the number is in seconds.
    #[error("connect({0}) failed: Timeout after {1} secs")]
    TimedOut(SocketAddr, u64),
}

/// Connects to `peer` within `timeout`, from `source` if there is one, with Nagle's delay off.
pub async fn tcp(
    peer: SocketAddr,
    source: Option<IpAddr>,
    timeout: Duration,
) -> Result<TcpStream, ConnectError> {
    let refused = |error| ConnectError::Refused(peer, error);
    let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(refused)?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).map_err(|error| ConnectError::Source(source, error))?;
    }
    let stream = tokio::time::timeout(timeout, socket.connect(peer))
        .await
        .map_err(|_| ConnectError::TimedOut(peer, timeout.as_secs()))?
        .map_err(refused)?;
    // Only a slower exchange follows from a failure here.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connects_and_says_who_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let source = Some("127.0.0.1".parse().unwrap());
        assert!(tcp(peer, source, Duration::from_secs(5)).await.is_ok());
        drop(listener);
        let error = tcp(peer, None, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("connect({peer}) failed"));
    }
}
