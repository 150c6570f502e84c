//! TLS as a client, for logins that are passed on to another server. As on the server's side nothing is
//! read from files: authorities and our own certificate come as text.

use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};

use super::client_cert::reason;
use super::context::TlsError;
use super::judge::{Judge, Policy};
use super::{ServerOptions, certificate, cipher};

/// A connection to a server that speaks TLS.
pub type ClientStream<S> = tokio_rustls::client::TlsStream<S>;

/// The `ssl_*` settings that matter to a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientOptions {
    /// Authorities: `ssl_ca`, or what `ssl_client_ca_file` and `ssl_client_ca_dir` hold; PEM.
    pub ca: String,
    /// `ssl_require_crl`, which asks for a revocation list among the authorities.
    pub require_crl: bool,
    /// `ssl_client_cert`, PEM; empty for none.
    pub cert: String,
    /// `ssl_client_key`, PEM.
    pub key: String,
    /// Takes any certificate.
    pub any_cert: bool,
    /// `ssl_min_protocol`.
    pub min_protocol: String,
    /// `ssl_cipher_list`.
    pub cipher_list: String,
    /// `ssl_cipher_suites`.
    pub cipher_suites: String,
    /// `ssl_curve_list`.
    pub curve_list: String,
}

/// A ready client. Cheap to share.
#[derive(Debug, Clone)]
pub struct ClientContext(Arc<ClientConfig>);

/// Why a handshake failed. `Display` is what 2.3's log lines carry, but for the words of OpenSSL.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server went away, or stopped in the middle.
    #[error("Connection closed")]
    Closed(#[source] io::Error),
    /// Its certificate is not one that we believe.
    #[error("Connection closed: Received invalid SSL certificate: {0} (check ssl_client_ca_* settings?)")]
    Certificate(String),
    /// Its certificate is not that of this host.
    #[error("Connection closed: SSL certificate doesn't match expected host name {0}")]
    Name(String),
    /// The server and these settings do not get along, or what came is no TLS.
    #[error("Connection closed: SSL_connect() failed: {0}")]
    Failed(rustls::Error),
    /// The host's name is none that a certificate can have.
    #[error("SSL certificate can't be checked for host name {0}")]
    Host(String),
}

impl ClientContext {
    /// Loads the keys and applies the rules.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(options: &ClientOptions) -> Result<Self, TlsError> {
        let common = ServerOptions {
            min_protocol: options.min_protocol.clone(),
            cipher_list: options.cipher_list.clone(),
            cipher_suites: options.cipher_suites.clone(),
            curve_list: options.curve_list.clone(),
            ..ServerOptions::default()
        };
        // Those that concern the same settings are told by the server's context.
        let mut warnings = Vec::new();
        let provider = Arc::new(cipher::provider(&common, &mut warnings));
        let mut versions = cipher::versions(&common.min_protocol, &mut warnings)
            .ok_or_else(|| TlsError::MinProtocol(common.min_protocol.clone()))?;
        if !cipher::has_tls12(&provider.cipher_suites) {
            versions = cipher::ONLY_TLS13;
        }
        let verifier: Arc<dyn ServerCertVerifier> = match options.any_cert {
            true => Arc::new(Judge::new(Policy::Any, provider.clone())),
            false => verifier(options, &provider).map_err(TlsError::Ca)?,
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(TlsError::Config)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match own_certificate(options, &provider)? {
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
            None => builder.with_no_client_auth(),
        };
        Ok(Self(Arc::new(config)))
    }
}

/// Shakes hands over `stream` with the server `host`, a name or an address.
///
/// # Errors
/// The server speaks no TLS that we do, or its certificate is not accepted.
pub async fn connect<S>(
    stream: S,
    host: &str,
    context: &ClientContext,
) -> Result<ClientStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Host(host.to_owned()))?;
    let connecting = tokio_rustls::TlsConnector::from(context.0.clone()).connect(name, stream);
    connecting.await.map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => ConnectError::Name(host.to_owned()),
            Some(inner @ rustls::Error::InvalidCertificate(problem)) => {
                ConnectError::Certificate(match problem {
                    // The judge names the subject.
                    CertificateError::Other(told) => told.to_string(),
                    _ => reason(inner),
                })
            }
            Some(inner) => ConnectError::Failed(inner.clone()),
            None => ConnectError::Closed(error),
        }
    })
}

fn own_certificate(
    options: &ClientOptions,
    provider: &CryptoProvider,
) -> Result<Option<CertifiedKey>, TlsError> {
    if options.cert.is_empty() {
        return Ok(None);
    }
    let (cert, key) = (("ssl_client_cert", &*options.cert), ("ssl_client_key", &*options.key));
    Ok(Some(certificate::load(provider, cert, key, "")?))
}

fn verifier(
    options: &ClientOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(options.ca.as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        // A bundle of the system's may hold one that is not for servers.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        // Without any every certificate is that of a stranger.
        return Ok(Arc::new(Judge::new(Policy::Named(None), provider.clone())));
    }
    let crls = CertificateRevocationListDer::pem_slice_iter(options.ca.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
    let builder = match options.require_crl && !crls.is_empty() {
        true => builder.with_crls(crls).enforce_revocation_expiration(),
        false => builder,
    };
    let inner = builder.build().map_err(|error| error.to_string())?;
    Ok(Arc::new(Judge::new(Policy::Named(Some(inner)), provider.clone())))
}
