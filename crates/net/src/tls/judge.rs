//! How the certificates of servers that we are clients of are judged.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::client_cert::reason;
use super::der;

/// What a certificate has to be.
#[derive(Debug)]
pub enum Policy {
    /// Anything.
    Any,
    /// Issued by an authority that is believed, for whatever name.
    Chain(Arc<WebPkiServerVerifier>),
    /// That, and the server's own; errors say whose it is instead. `None` believes nobody.
    Named(Option<Arc<WebPkiServerVerifier>>),
}

/// Judges by a [`Policy`]. That the server has the key of its certificate is checked by each.
#[derive(Debug)]
pub struct Judge {
    policy: Policy,
    provider: Arc<CryptoProvider>,
}

impl Judge {
    /// Signatures are checked by `provider`.
    pub fn new(policy: Policy, provider: Arc<CryptoProvider>) -> Self {
        Self { policy, provider }
    }
}

/// What is wrong with whose certificate.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Verdict(String);

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let by = |inner: &WebPkiServerVerifier| {
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let verdict = match &self.policy {
            Policy::Any => return Ok(ServerCertVerified::assertion()),
            Policy::Chain(inner) => {
                return by(inner).or_else(|error| match is_about_name(&error) {
                    true => Ok(ServerCertVerified::assertion()),
                    false => Err(error),
                });
            }
            Policy::Named(Some(inner)) => by(inner),
            Policy::Named(None) => Err(CertificateError::UnknownIssuer.into()),
        };
        verdict.map_err(|error| match is_about_name(&error) {
            true => error,
            false => {
                let subject = webpki::EndEntityCert::try_from(end_entity)
                    .map_or_else(|_| "?".to_owned(), |parsed| der::one_line(parsed.subject()));
                let verdict = Verdict(format!("{}: {subject}", reason(&error)));
                CertificateError::Other(rustls::OtherError(Arc::new(verdict))).into()
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether all that is wrong is that the certificate is another server's.
fn is_about_name(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}
