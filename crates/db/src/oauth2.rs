//! OAuth 2.0 as `dovecot-oauth2.conf.ext` describes it: what a server, or a key, says about a token.

mod config;
mod jwt;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Logger;
use rustls::ClientConfig;
use serde_json::Value;

use crate::dict::Dict;
use crate::http::{self, Body, HttpRequest, HttpResponse, Url, escape};
use crate::limits::OAUTH2_TIMEOUT;

pub use config::{Introspection, Oauth2Config, Oauth2ConfigError};

/// What is known about a token.
pub type Fields = Vec<(String, String)>;

/// The client behind a token, for `send_auth_headers`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `imap` and the like.
    pub service: String,
    /// Where it is connected to.
    pub local: Option<SocketAddr>,
    /// Where it comes from.
    pub remote: Option<SocketAddr>,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// It said so with success.
    pub is_valid: bool,
    /// The answer's fields.
    pub fields: Fields,
}

impl Reply {
    /// The value of a field.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A client of the servers in the configuration.
pub struct Oauth2 {
    config: Oauth2Config,
    tls: Arc<ClientConfig>,
    /// `local_validation_key_dict`
    keys: Option<Mutex<Dict>>,
}

impl Oauth2 {
    /// Does not connect yet. What a dictionary of keys complains of goes to `log`.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(config: Oauth2Config, log: &Logger) -> Result<Self, String> {
        let keys = config.keys.as_ref().map(|uri| Mutex::new(Dict::new(uri, log)));
        Ok(Self { tls: config.tls.client_config()?, config, keys })
    }

    /// RFC 7662: asks `introspection_url` about a token.
    ///
    /// # Errors
    /// For the log: the server could not say.
    pub fn introspect(&self, token: &str, origin: &Origin) -> Result<Reply, String> {
        let config = &self.config;
        let client = format!(
            "&client_id={}&client_secret={}",
            escape(&config.client_id),
            escape(&config.client_secret)
        );
        let (method, url, form) = match config.introspection {
            Introspection::Get => {
                ("GET", format!("{}{}{client}", config.introspection_url, escape(token)), None)
            }
            Introspection::Post => {
                ("POST", config.introspection_url.clone(), Some(format!("token={}{client}", escape(token))))
            }
            Introspection::Auth | Introspection::Local => ("GET", config.introspection_url.clone(), None),
        };
        self.ask(method, &url, form, Some(token), origin)
    }

    /// Asks `tokeninfo_url` about a token.
    ///
    /// # Errors
    /// As [`Oauth2::introspect`].
    pub fn token_info(&self, token: &str, origin: &Origin) -> Result<Reply, String> {
        let url = format!("{}{}", self.config.tokeninfo_url, escape(token));
        self.ask("GET", &url, None, Some(token), origin)
    }

    /// RFC 6749 §4.3: gets a token for a user's password from `grant_url`.
    ///
    /// # Errors
    /// As [`Oauth2::introspect`].
    pub fn grant(&self, user: &str, password: &str, origin: &Origin) -> Result<Reply, String> {
        let config = &self.config;
        let mut form = format!(
            "grant_type=password&username={}&password={}&client_id={}&client_secret={}",
            escape(user),
            escape(password),
            escape(&config.client_id),
            escape(&config.client_secret)
        );
        if !config.scope.is_empty() {
            form.push_str(&format!("&scope={}", escape(&config.scope)));
        }
        self.ask("POST", &config.grant_url, Some(form), None, origin)
    }

    /// RFC 7519: checks a token with the keys in `local_validation_key_dict`; `now_s` are seconds
    /// since 1970.
    ///
    /// # Errors
    /// Why it is not valid, in 2.3's words.
    pub fn validate(&self, token: &str, now_s: i64) -> Result<Fields, String> {
        let mut keys = self.keys.as_ref().map(|keys| keys.lock().unwrap_or_else(PoisonError::into_inner));
        jwt::validate(&self.config, keys.as_deref_mut(), token, now_s)
    }

    fn ask(
        &self,
        method: &'static str,
        url: &str,
        form: Option<String>,
        bearer: Option<&str>,
        origin: &Origin,
    ) -> Result<Reply, String> {
        let url = Url::parse(url)?;
        let mut headers = Vec::new();
        if self.config.send_auth_headers {
            headers.push(("X-Dovecot-Auth-Service".into(), origin.service.clone()));
            headers.extend(origin.local.map(|local| ("X-Dovecot-Auth-Local".into(), local.to_string())));
            headers.extend(origin.remote.map(|remote| ("X-Dovecot-Auth-Remote".into(), remote.to_string())));
        }
        if let Some(token) = bearer
            && self.config.introspection == Introspection::Auth
            && !url.has_credentials()
        {
            headers.push(("Authorization".into(), format!("Bearer {token}")));
        }
        let limit = match self.config.timeout_msecs {
            0 => OAUTH2_TIMEOUT,
            msecs => Duration::from_millis(msecs).min(OAUTH2_TIMEOUT),
        };
        let (agent, body) = ("dovecot-oauth2-passdb", form.map(Body::form));
        let request = HttpRequest { method, agent, headers, body };
        reply(http::fetch(&url, &request, &self.tls, limit)?)
    }
}

pub(crate) fn reply(response: HttpResponse) -> Result<Reply, String> {
    if !matches!(response.status / 100, 2 | 4) {
        return Err(format!("{} {}", response.status, response.reason));
    }
    let mut fields = Fields::new();
    if !response.body.is_empty() {
        let value: Value = serde_json::from_slice(&response.body)
            .map_err(|error| format!("Invalid response data: {error}"))?;
        let Value::Object(map) = value else { return Err("Invalid response data".into()) };
        for (name, value) in &map {
            fields.extend(text_of(value).map(|text| (name.clone(), text)));
        }
    }
    let is_valid = response.status / 100 == 2;
    Ok(Reply { is_valid, fields })
}

/// A value as a field has it: an array of texts is a list with spaces, as `scope` has it (2.3 leaves
/// arrays out, and so accepts no token whose `aud` is one).
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(list) => {
            let words: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            words.map(|words| words.join(" "))
        }
        Value::Null | Value::Object(_) => None,
    }
}
