//! TLS towards database servers, for drivers that block.

use std::io;
use std::path::Path;
use std::sync::Arc;

use net::tls::{Judge, Policy};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::stream::Stream;

/// What is demanded of the server's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verify {
    /// Signed by a known authority, for the host's name.
    #[default]
    Full,
    /// Signed by a known authority, whatever the name.
    Chain,
    /// Nothing: it may be anybody's.
    Nothing,
}

/// How to speak TLS to a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A PEM file of authorities. Without it and [`TlsOptions::ca_dir`] the system's are trusted.
    pub ca_file: Option<String>,
    /// A directory of such files.
    pub ca_dir: Option<String>,
    /// Our certificate, for servers that ask for one.
    pub cert_file: Option<String>,
    /// Its key.
    pub key_file: Option<String>,
    /// What is demanded of the server.
    pub verify: Verify,
}

impl TlsOptions {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(self.verifier(&provider)?);
        let config = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                let chain = certificates(Path::new(cert))?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| format!("Can't read private key {key}: {error}"))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| format!("{cert}: {error}"))?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err("A client certificate needs its key, and a key its certificate".into()),
        };
        Ok(Arc::new(config))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let provider = provider.clone();
        if self.verify == Verify::Nothing {
            return Ok(Arc::new(Judge::new(Policy::Any, provider)));
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(match self.verify {
            Verify::Full => inner,
            _ => Arc::new(Judge::new(Policy::Chain(inner), provider)),
        })
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.ca_file {
            roots.add_parsable_certificates(certificates(Path::new(file))?);
        }
        if let Some(dir) = &self.ca_dir {
            let entries = std::fs::read_dir(dir)
                .map_err(|error| format!("opendir({dir}) failed: {}", base::reason(&error)))?;
            for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
                // Such a directory holds other things as well.
                roots.add_parsable_certificates(certificates(&path).unwrap_or_default());
            }
        }
        if self.ca_file.is_none() && self.ca_dir.is_none() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        match roots.is_empty() {
            true => Err("No certificate authorities to verify the server with".into()),
            false => Ok(roots),
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| format!("Can't read certificates from {}: {error}", path.display()))
}

/// Shakes hands over a connection that has a deadline.
///
/// # Errors
/// The server speaks no TLS, or its certificate is not accepted.
pub(crate) fn connect<S: Stream + 'static>(
    stream: S,
    host: &str,
    config: Arc<ClientConfig>,
) -> io::Result<Box<dyn Stream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Box::new(stream))
}
