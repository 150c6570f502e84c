//! The settings as the login process uses them: read once per set of filters that match a
//! connection, together with the TLS context made of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base::Logger;
use net::networks::Networks;
use net::tls::{ClientContext, ClientOptions, Contexts, ServerContext, ServerOptions};
use settings::key;
use settings::{Filter, Key, Settings, Snapshot};

use crate::here::Here;
use crate::limits::CONFIGS_MAX;
use crate::log_line::Format;
use crate::session::Protocol;

/// The setting `ssl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ssl {
    No,
    Yes,
    Required,
}

impl Ssl {
    pub(crate) fn is_on(self) -> bool {
        self != Self::No
    }

    pub(crate) fn is_required(self) -> bool {
        self == Self::Required
    }
}

/// `imap_*` settings that matter before login.
#[derive(Debug, Default)]
pub(crate) struct ImapConfig {
    /// `imap_capability`.
    pub(crate) capability: String,
    /// `imap_id_log`.
    pub(crate) id_log: String,
    /// `imap_id_retain`.
    pub(crate) id_retain: bool,
    /// The answer to ID, made of `imap_id_send`.
    pub(crate) id_send: String,
    /// `imap_literal_minus`.
    pub(crate) literal_minus: bool,
}

/// `login_proxy_*` settings.
#[derive(Debug)]
pub(crate) struct ProxyConfig {
    /// `login_proxy_timeout`.
    pub(crate) timeout: Duration,
    /// `login_proxy_max_reconnects`.
    pub(crate) max_reconnects: u64,
    /// `login_proxy_max_disconnect_delay`.
    pub(crate) max_disconnect_delay: Duration,
}

/// The settings of some connections.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) here: Arc<Here>,
    pub(crate) greeting: String,
    pub(crate) log: Format,
    pub(crate) trusted: Networks,
    pub(crate) disable_plaintext_auth: bool,
    pub(crate) auth_verbose: bool,
    pub(crate) auth_ssl_require_client_cert: bool,
    pub(crate) auth_ssl_username_from_cert: bool,
    pub(crate) verbose_ssl: bool,
    pub(crate) ssl: Ssl,
    pub(crate) imap: ImapConfig,
    pub(crate) proxy: ProxyConfig,
    settings: Settings,
    contexts: Arc<Contexts>,
    context: OnceLock<Option<Arc<ServerContext>>>,
    /// Towards other servers, with checked certificates and with any.
    clients: [OnceLock<Result<ClientContext, String>>; 2],
}

impl Config {
    /// Reads the settings. What is wrong with them goes to `log`, once.
    pub(crate) fn new(settings: Settings, here: Arc<Here>, contexts: Arc<Contexts>, log: &Logger) -> Self {
        let text = |key: Key<key::Str>| settings.get(key).to_owned();
        let (trusted, bad) = Networks::parse(settings.get(key::LOGIN_TRUSTED_NETWORKS));
        if let Some(bad) = bad {
            log.error(format_args!("login_trusted_networks: {bad}"));
        }
        let ssl = match settings.get(key::SSL) {
            "no" => Ssl::No,
            "required" => Ssl::Required,
            _ => Ssl::Yes,
        };
        let imap = ImapConfig {
            capability: text(key::IMAP_CAPABILITY),
            id_log: text(key::IMAP_ID_LOG),
            id_retain: settings.get(key::IMAP_ID_RETAIN),
            id_send: here.id_reply(settings.get(key::IMAP_ID_SEND)),
            literal_minus: settings.get(key::IMAP_LITERAL_MINUS),
        };
        Self {
            greeting: text(key::LOGIN_GREETING),
            log: Format::new(
                settings.get(key::LOGIN_LOG_FORMAT_ELEMENTS),
                settings.get(key::LOGIN_LOG_FORMAT),
                log,
            ),
            trusted,
            disable_plaintext_auth: settings.get(key::DISABLE_PLAINTEXT_AUTH),
            auth_verbose: settings.get(key::AUTH_VERBOSE),
            auth_ssl_require_client_cert: settings.get(key::AUTH_SSL_REQUIRE_CLIENT_CERT),
            auth_ssl_username_from_cert: settings.get(key::AUTH_SSL_USERNAME_FROM_CERT),
            verbose_ssl: settings.get(key::VERBOSE_SSL),
            ssl,
            imap,
            proxy: ProxyConfig {
                timeout: settings.get(key::LOGIN_PROXY_TIMEOUT),
                max_reconnects: settings.get(key::LOGIN_PROXY_MAX_RECONNECTS),
                max_disconnect_delay: settings.get(key::LOGIN_PROXY_MAX_DISCONNECT_DELAY),
            },
            here,
            settings,
            contexts,
            context: OnceLock::new(),
            clients: Default::default(),
        }
    }

    /// The TLS context, made at first use. `None` if the settings make none; why is in the log.
    pub(crate) fn tls(&self, log: &Logger) -> Option<Arc<ServerContext>> {
        let make = || {
            let warn = |context: &ServerContext| context.warnings().iter().for_each(|line| log.warning(line));
            match self.contexts.context(&ServerOptions::of(&self.settings), warn) {
                Ok(context) => Some(context),
                Err(error) => {
                    let error = base::chain(&error);
                    log.error(format_args!("Failed to initialize SSL server context: {error}"));
                    None
                }
            }
        };
        self.context.get_or_init(make).clone()
    }

    /// TLS towards another server, made at first use; an error is for the log.
    pub(crate) fn client_tls(&self, any_cert: bool) -> &Result<ClientContext, String> {
        let any_cert = any_cert || !self.settings.get(key::SSL_CLIENT_REQUIRE_VALID_CERT);
        let make = || {
            ClientContext::new(&ClientOptions::of(&self.settings, &self.here.client_ca, any_cert))
                .map_err(|error| format!("Failed to create SSL client context: {}", base::chain(&error)))
        };
        let [checked, any] = &self.clients;
        if any_cert { any } else { checked }.get_or_init(make)
    }
}

/// The [`Config`]s of the snapshot in force.
#[derive(Debug)]
pub(crate) struct Configs {
    protocol: Protocol,
    here: Arc<Here>,
    log: Logger,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    snapshot: Arc<Snapshot>,
    contexts: Arc<Contexts>,
    by_masks: HashMap<Vec<u32>, Arc<Config>>,
}

/// Whom a [`Config`] is for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Client<'a> {
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) remote_ip: Option<IpAddr>,
    pub(crate) local_name: Option<&'a str>,
}

impl Configs {
    /// For clients of `protocol`.
    pub(crate) fn new(protocol: Protocol, here: Arc<Here>, snapshot: Arc<Snapshot>, log: Logger) -> Self {
        let current = Current { snapshot, contexts: Arc::default(), by_masks: HashMap::new() };
        Self { protocol, here, log, current: Mutex::new(current) }
    }

    /// The settings for a client, under `snapshot`, the one now in force. A new one (a reload, a
    /// renewed certificate) starts afresh; who has a [`Config`] keeps it.
    pub(crate) fn config(&self, snapshot: &Arc<Snapshot>, client: Client<'_>) -> Arc<Config> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.snapshot, snapshot) {
            *current =
                Current { snapshot: snapshot.clone(), contexts: Arc::default(), by_masks: HashMap::new() };
        }
        let filter = Filter {
            protocol: Some(self.protocol.name()),
            service: None,
            local_ip: client.local_ip,
            remote_ip: client.remote_ip,
            local_name: client.local_name,
        };
        let masks = (0u32..).zip(snapshot.masks()).filter(|(_, mask)| mask.matches(&filter));
        let masks: Vec<u32> = masks.map(|(at, _)| at).collect();
        if let Some(config) = current.by_masks.get(&masks) {
            return config.clone();
        }
        if current.by_masks.len() >= CONFIGS_MAX {
            current.by_masks.clear();
        }
        let settings = snapshot.view(&filter);
        let config = Arc::new(Config::new(settings, self.here.clone(), current.contexts.clone(), &self.log));
        current.by_masks.insert(masks, config.clone());
        config
    }
}
