//! From settings to a server that can shake hands, and the cache of those.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};

use super::certificate::{self, ByAlgorithm, CertificateError};
use super::client_cert::{ClientCert, ClientCertPolicy};
use super::{Bindings, ServerOptions, binding, cipher, der};
use crate::limits::TLS_SESSIONS_MAX;

/// Why no context can be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// `ssl_min_protocol` has a value that does not exist.
    #[error("Unknown ssl_min_protocol setting '{0}'")]
    MinProtocol(String),
    /// `ssl_cert_username_field` names no field of a subject.
    #[error("Invalid cert_username_field: {0}")]
    UsernameField(String),
    /// `ssl_ca` cannot be used.
    #[error("Couldn't parse ssl_ca: {0}")]
    Ca(String),
    /// rustls refuses the combination.
    #[error("SSL settings can't be used")]
    Config(#[source] rustls::Error),
}

/// A ready server: the keys are loaded, the rules are set. Cheap to share, never changes; a renewed
/// certificate makes a new one.
#[derive(Debug)]
pub struct ServerContext {
    pub(super) config: Arc<ServerConfig>,
    clients: Option<ClientCertPolicy>,
    /// `tls-server-end-point`, where there is one.
    end_point: Option<Vec<u8>>,
    warnings: Vec<String>,
}

impl ServerContext {
    /// Loads the keys and applies the rules. This is the only place that may take milliseconds.
    pub fn new(options: &ServerOptions) -> Result<Self, TlsError> {
        let mut warnings = Vec::new();
        let provider = Arc::new(cipher::provider(options, &mut warnings));
        let mut versions = cipher::versions(&options.min_protocol, &mut warnings)
            .ok_or_else(|| TlsError::MinProtocol(options.min_protocol.clone()))?;
        if !cipher::has_tls12(&provider.cipher_suites) {
            versions = cipher::ONLY_TLS13;
        }
        let clients = client_policy(options, &provider)?;
        let keys = load_keys(options, &provider)?;
        let end_point = match keys.as_slice() {
            [key] => key.cert.first().and_then(|certificate| binding::end_point(certificate)),
            // Which of several the client was shown is not known afterwards.
            _ => None,
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(TlsError::Config)?;
        let builder = match &clients {
            Some(policy) => builder.with_client_cert_verifier(policy.asking()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByAlgorithm::new(keys)));
        config.ignore_client_order = options.prefer_server_ciphers;
        resumption(&mut config, &options.options).map_err(TlsError::Config)?;
        Ok(Self { config: Arc::new(config), clients, end_point, warnings })
    }

    /// What of the settings has no effect; for the log, once.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What a finished handshake gives to bind an authentication to.
    pub fn bindings(&self, connection: &rustls::ServerConnection) -> Bindings {
        Bindings::of(connection, self.end_point.as_deref())
    }

    /// Judges the certificate the client sent in a finished handshake.
    pub fn client_cert(&self, connection: &rustls::ServerConnection) -> ClientCert {
        match &self.clients {
            Some(policy) => policy.judge(connection.peer_certificates()),
            None => ClientCert::None,
        }
    }
}

fn client_policy(
    options: &ServerOptions,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Option<ClientCertPolicy>, TlsError> {
    if !options.verify_client_cert {
        return Ok(None);
    }
    let name =
        if options.cert_username_field.is_empty() { "commonName" } else { &options.cert_username_field };
    let field = der::field(name).ok_or_else(|| TlsError::UsernameField(name.to_owned()))?;
    ClientCertPolicy::new(provider, &options.ca, options.require_crl, field).map(Some).map_err(TlsError::Ca)
}

fn load_keys(
    options: &ServerOptions,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<Vec<Arc<rustls::sign::CertifiedKey>>, TlsError> {
    let password = &options.key_password;
    let (cert, key) = (("ssl_cert", &*options.cert), ("ssl_key", &*options.key));
    let mut keys = vec![Arc::new(certificate::load(provider, cert, key, password)?)];
    if !options.alt_cert.is_empty() {
        let (cert, key) = (("ssl_alt_cert", &*options.alt_cert), ("ssl_alt_key", &*options.alt_key));
        keys.push(Arc::new(certificate::load(provider, cert, key, password)?));
    }
    Ok(keys)
}

/// Tickets by default, so that a returning client costs no memory here; with `no_ticket` a small
/// table of sessions. Neither is shared between processes: a key that outlives its process would
/// weaken forward secrecy.
fn resumption(config: &mut ServerConfig, options: &str) -> Result<(), rustls::Error> {
    let no_ticket = options.split([' ', ',']).any(|flag| flag.eq_ignore_ascii_case("no_ticket"));
    if no_ticket {
        config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS_MAX);
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
    }
    Ok(())
}

/// Contexts by the settings they are made of, so that a thousand connections share one. A new
/// settings snapshot starts with an empty cache; sessions keep the context they have.
#[derive(Debug, Default)]
pub struct Contexts(Mutex<HashMap<ServerOptions, Arc<ServerContext>>>);

impl Contexts {
    /// The context for these settings, made if it is not there. `fresh` is called with a new one,
    /// to log its warnings.
    pub fn context(
        &self,
        options: &ServerOptions,
        fresh: impl FnOnce(&ServerContext),
    ) -> Result<Arc<ServerContext>, TlsError> {
        let mut contexts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = contexts.get(options) {
            return Ok(context.clone());
        }
        let context = Arc::new(ServerContext::new(options)?);
        fresh(&context);
        contexts.insert(options.clone(), context.clone());
        Ok(context)
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests;
