//! Client certificates. As in 2.3 a bad certificate does not end the handshake: the login that
//! follows is refused instead, with a reason the user can read.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use super::der;

/// What came of asking the client for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCert {
    /// It was not asked, or sent none.
    None,
    /// It sent one that `ssl_ca` does not vouch for; the text is for the log.
    Invalid(String),
    /// It proved to hold the key of a certificate that `ssl_ca` vouches for.
    Valid {
        /// The value of `ssl_cert_username_field`, if the certificate has it.
        username: Option<String>,
        /// The subject in one line, for the log.
        subject: String,
    },
}

/// How certificates of clients are judged: `ssl_ca`, `ssl_require_crl`, `ssl_cert_username_field`.
#[derive(Debug)]
pub struct ClientCertPolicy {
    verifier: Arc<dyn ClientCertVerifier>,
    crl_missing: bool,
    username_field: &'static [u8],
}

impl ClientCertPolicy {
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        ca: &str,
        require_crl: bool,
        username_field: &'static [u8],
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let crls = CertificateRevocationListDer::pem_slice_iter(ca.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        let crl_missing = require_crl && crls.is_empty();
        let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .allow_unauthenticated();
        let builder = match require_crl && !crls.is_empty() {
            true => builder.with_crls(crls).enforce_revocation_expiration(),
            false => builder,
        };
        let verifier = builder.build().map_err(|error: VerifierBuilderError| error.to_string())?;
        Ok(Self { verifier, crl_missing, username_field })
    }

    /// What the handshake uses: it asks for a certificate and checks that the client has its key,
    /// but takes any.
    pub(super) fn asking(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(AcceptAny(self.verifier.clone()))
    }

    /// Judges the chain a client sent.
    pub(super) fn judge(&self, chain: Option<&[CertificateDer<'_>]>) -> ClientCert {
        let Some((end_entity, intermediates)) = chain.and_then(<[_]>::split_first) else {
            return ClientCert::None;
        };
        let Ok(parsed) = webpki::EndEntityCert::try_from(end_entity) else {
            return ClientCert::Invalid(
                "Received invalid SSL certificate: malformed (check ssl_ca setting?)".into(),
            );
        };
        let subject = der::one_line(parsed.subject());
        let verdict = self.verifier.verify_client_cert(end_entity, intermediates, UnixTime::now());
        let problem = match verdict {
            Ok(_) if self.crl_missing => Some("unable to get certificate CRL".to_owned()),
            Ok(_) => None,
            Err(error) => Some(reason(&error)),
        };
        match problem {
            Some(problem) => ClientCert::Invalid(format!(
                "Received invalid SSL certificate: {problem}: {subject} (check ssl_ca setting?)"
            )),
            None => {
                let username = der::attribute(parsed.subject(), self.username_field);
                ClientCert::Valid { username, subject }
            }
        }
    }
}

/// The problem in OpenSSL's words where it has some.
pub(super) fn reason(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(problem) = error else { return error.to_string() };
    match problem {
        CertificateError::UnknownIssuer => "unable to get local issuer certificate".into(),
        CertificateError::BadSignature => "certificate signature failure".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not yet valid".into()
        }
        CertificateError::Revoked => "certificate revoked".into(),
        CertificateError::UnknownRevocationStatus => "unable to get certificate CRL".into(),
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "CRL has expired".into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "unsupported certificate purpose".into()
        }
        // These show their insides, which tell an administrator nothing.
        CertificateError::Other(_) => "unsuitable certificate".into(),
        other => other.to_string(),
    }
}

#[derive(Debug)]
struct AcceptAny(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AcceptAny {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
