//! The server's side of a handshake.

use std::io;
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::{Details, ServerContext, cipher, words};

/// A connection that speaks TLS; reading and writing it is plain text.
pub type TlsStream<S> = tokio_rustls::server::TlsStream<S>;

/// Why a handshake failed. `Display` is what 2.3's log lines carry after `TLS handshaking: `.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The client went away, or stopped in the middle.
    #[error("Connection closed")]
    Closed(#[source] io::Error),
    /// The client and these settings do not get along, or what came is no TLS.
    #[error("SSL_accept() failed: {}", words::why(.0))]
    Failed(rustls::Error),
    /// There is no usable context for the name the client asked for; the reason is in the log.
    #[error("SSL_accept() failed: no usable settings")]
    NoContext,
}

/// Shakes hands over `stream`. `early` are bytes of the client that were read already. `choose`
/// gets the name the client asks for (SNI) and returns the context to use.
pub async fn accept<S>(
    stream: S,
    early: &[u8],
    choose: impl FnOnce(Option<&str>) -> Option<Arc<ServerContext>>,
) -> Result<(TlsStream<S>, Arc<ServerContext>), AcceptError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = Acceptor::default();
    let mut rest = early;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).map_err(failed)? == 0 {
            break;
        }
    }
    // The acceptor below looks at what it reads only, so what was read before needs a look of its own.
    let ready = match early {
        [] => None,
        _ => acceptor.accept().map_err(|(error, _)| AcceptError::Failed(error))?,
    };
    let start = match ready {
        Some(accepted) => StartHandshake::from_parts(accepted, stream),
        None => LazyConfigAcceptor::new(acceptor, stream).await.map_err(failed)?,
    };
    let context = choose(start.client_hello().server_name()).ok_or(AcceptError::NoContext)?;
    let stream = start.into_stream(context.config.clone()).await.map_err(failed)?;
    Ok((stream, context))
}

/// What a finished handshake agreed on.
pub fn details<S>(stream: &TlsStream<S>) -> Option<Details> {
    let connection = stream.get_ref().1;
    Some(cipher::details(connection.protocol_version()?, connection.negotiated_cipher_suite()?.suite()))
}

fn failed(error: io::Error) -> AcceptError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => AcceptError::Failed(inner.clone()),
        None => AcceptError::Closed(error),
    }
}
