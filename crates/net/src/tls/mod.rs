//! TLS as a server, built from the `ssl*` settings, and as a client for logins that are passed on to
//! another server. The login processes are the main user; they
//! cannot read files, so certificates and keys come as the text that `<file` settings expand to.
//!
//! [`ServerOptions`] is one effective set of settings (global, or a `local`, `remote` or
//! `local_name` block's), [`ServerContext`] what is made from it, [`Contexts`] the cache of those,
//! and [`accept`] the handshake that picks a context by the name the client asks for.

mod accept;
mod binding;
mod certificate;
mod cipher;
mod client;
mod client_cert;
mod configured;
mod context;
mod der;
mod judge;
mod words;

pub use accept::{AcceptError, TlsStream, accept, details};
pub use binding::Bindings;
pub use certificate::CertificateError;
pub use client::{ClientContext, ClientOptions, ClientStream, ConnectError, connect};
pub use client_cert::{ClientCert, ClientCertPolicy};
pub use configured::client_authorities;
pub use context::{Contexts, ServerContext, TlsError};
pub use judge::{Judge, Policy};

/// What is taken out of a certificate that a client has sent: the subject in one line, and whether an
/// authentication can be bound to it.
pub(crate) fn look_at_certificate(der: &[u8]) -> (String, bool) {
    let der = rustls_pki_types::CertificateDer::from(der);
    let parsed = webpki::EndEntityCert::try_from(&der);
    // The subject may be malformed where the rest of a certificate is not.
    let subject = parsed.as_ref().map_or(&*der, |parsed| parsed.subject());
    for name in ["commonName", "emailAddress", "UID"] {
        let _ = der::field(name).and_then(|field| der::attribute(subject, field));
    }
    (der::one_line(subject), binding::end_point(&der).is_some())
}

/// Text that says what a session negotiated, in the words of OpenSSL, which 2.3 logs (`%k`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Details {
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: &'static str,
    /// `TLS_AES_256_GCM_SHA384`, `ECDHE-RSA-AES128-GCM-SHA256`, …
    pub cipher: &'static str,
    /// The key's length in bits.
    pub bits: u16,
}

impl std::fmt::Display for Details {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { protocol, cipher, bits } = self;
        write!(f, "{protocol} with cipher {cipher} ({bits}/{bits} bits)")
    }
}

/// The `ssl_*` settings a server needs, each named as in the configuration. Values are the
/// settings' text; files are already expanded to their content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerOptions {
    /// `ssl_cert`: PEM, the server's certificate first, then its chain.
    pub cert: String,
    /// `ssl_key`: PEM.
    pub key: String,
    /// `ssl_alt_cert`: a second certificate with another kind of key, or empty.
    pub alt_cert: String,
    /// `ssl_alt_key`.
    pub alt_key: String,
    /// `ssl_key_password`, for both keys.
    pub key_password: String,
    /// `ssl_ca`: PEM, authorities and revocation lists in one.
    pub ca: String,
    /// `ssl_verify_client_cert`.
    pub verify_client_cert: bool,
    /// `ssl_require_crl`.
    pub require_crl: bool,
    /// `ssl_cert_username_field`.
    pub cert_username_field: String,
    /// `ssl_min_protocol`.
    pub min_protocol: String,
    /// `ssl_cipher_list`, for TLS 1.2.
    pub cipher_list: String,
    /// `ssl_cipher_suites`, for TLS 1.3.
    pub cipher_suites: String,
    /// `ssl_curve_list`.
    pub curve_list: String,
    /// `ssl_prefer_server_ciphers`.
    pub prefer_server_ciphers: bool,
    /// `ssl_options`.
    pub options: String,
}
