//! Certificates and keys from PEM text, and the choice between two certificates by what the client
//! can verify.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, crypto::KeyProvider};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Why a certificate and its key cannot be used. The text names the setting, as 2.3's does.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No certificate in the text.
    #[error("Can't load {0}: There is no valid PEM certificate.")]
    NoCertificate(&'static str),
    /// A certificate that is broken PEM.
    #[error("Can't load {0}")]
    BadCertificate(&'static str, #[source] rustls_pki_types::pem::Error),
    /// No key in the text.
    #[error("Can't load SSL private key ({0} setting): There is no valid PEM private key.")]
    NoKey(&'static str),
    /// The key is encrypted in the old way, inside the PEM armour.
    #[error(
        "Can't load SSL private key ({0} setting): encrypted in the traditional format; \
         convert it with: openssl pkcs8 -topk8"
    )]
    TraditionalEncryption(&'static str),
    /// The key is encrypted and `ssl_key_password` is empty.
    #[error(
        "Can't load SSL private key ({0} setting): Password is required, but ssl_key_password is not set"
    )]
    NoPassword(&'static str),
    /// The password does not open the key, or its encryption is unknown.
    #[error("Can't load SSL private key ({0} setting): ssl_key_password can't decrypt it: {1}")]
    Decryption(&'static str, String),
    /// rustls does not take the key, or it belongs to another certificate.
    #[error("Can't load SSL private key ({0} setting)")]
    BadKey(&'static str, #[source] rustls::Error),
}

/// Loads a chain and its key. `cert_setting` and `key_setting` are named in errors.
pub(super) fn load(
    provider: &CryptoProvider,
    (cert_setting, cert): (&'static str, &str),
    (key_setting, key): (&'static str, &str),
    password: &str,
) -> Result<CertifiedKey, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CertificateError::BadCertificate(cert_setting, error))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate(cert_setting));
    }
    let key = private_key(provider.key_provider, key_setting, key, password)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // rustls cannot tell for some kinds of keys; then the handshake will.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(error) => Err(CertificateError::BadKey(key_setting, error)),
    }
}

fn private_key(
    provider: &dyn KeyProvider,
    setting: &'static str,
    text: &str,
    password: &str,
) -> Result<Arc<dyn rustls::sign::SigningKey>, CertificateError> {
    let key = if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        decrypt(setting, text, password)?
    } else if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateError::TraditionalEncryption(setting));
    } else {
        PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| CertificateError::NoKey(setting))?
    };
    provider.load_private_key(key).map_err(|error| CertificateError::BadKey(setting, error))
}

fn decrypt(
    setting: &'static str,
    text: &str,
    password: &str,
) -> Result<PrivateKeyDer<'static>, CertificateError> {
    if password.is_empty() {
        return Err(CertificateError::NoPassword(setting));
    }
    let failed = |error: String| CertificateError::Decryption(setting, error);
    let start = text.find("-----BEGIN ENCRYPTED PRIVATE KEY").unwrap_or(0);
    let pem = text.get(start..).unwrap_or_default();
    let (_, document) = pkcs8::SecretDocument::from_pem(pem).map_err(|error| failed(error.to_string()))?;
    let encrypted = pkcs8::EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| failed(error.to_string()))?;
    let plain = encrypted.decrypt(password).map_err(|error| failed(error.to_string()))?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec())))
}

/// Gives each client the first certificate whose key it can verify.
#[derive(Debug)]
pub(super) struct ByAlgorithm(Vec<Arc<CertifiedKey>>);

impl ByAlgorithm {
    /// Sorts keys of elliptic curves first: their handshake costs the server least.
    pub(super) fn new(mut keys: Vec<Arc<CertifiedKey>>) -> Self {
        keys.sort_by_key(|certified| certified.key.algorithm() == SignatureAlgorithm::RSA);
        Self(keys)
    }
}

impl ResolvesServerCert for ByAlgorithm {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let usable = self.0.iter().find(|certified| certified.key.choose_scheme(schemes).is_some());
        usable.or(self.0.first()).cloned()
    }
}
