//! Connections to other servers, which the auth process makes for us: it said where the client goes, and
//! this process cannot connect to anything itself.

use std::net::SocketAddr;
use std::path::Path;

use ipc::connect::{Connect, Connected};
use service::{Link, LinkError};
use tokio::net::TcpStream;

/// What came of it.
pub(crate) enum Outcome {
    Connected(TcpStream),
    /// The server can't be reached: why, and from where it was tried.
    Failed(String, Option<SocketAddr>),
    /// The auth process is not the one that said where to connect to.
    Expired,
    /// The auth process could not be asked; why.
    Broken(String),
}

/// Asks the auth process that listens at `path`. To be dropped to give up.
pub(crate) async fn connect(path: &Path, request: &Connect) -> Outcome {
    match exchange(path, request).await {
        Ok(outcome) => outcome,
        // It was about to end.
        Err(LinkError::Closed) => Outcome::Expired,
        Err(error) => Outcome::Broken(format!("{}: {}", path.display(), base::chain(&error))),
    }
}

async fn exchange(path: &Path, request: &Connect) -> Result<Outcome, LinkError> {
    let mut link = Link::connect(path).await?;
    link.send(request).await?;
    Ok(match link.expect().await? {
        Connected::Ok => {
            let stream = std::net::TcpStream::from(link.descriptor()?);
            stream.set_nonblocking(true).map_err(LinkError::Io)?;
            Outcome::Connected(TcpStream::from_std(stream).map_err(LinkError::Io)?)
        }
        Connected::Failed { reason, local } => Outcome::Failed(reason, local),
        Connected::Expired => Outcome::Expired,
    })
}
