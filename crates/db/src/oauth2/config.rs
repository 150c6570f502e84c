//! The keys of `dovecot-oauth2.conf.ext`.

use std::path::Path;

use settings::Files;

use crate::dict::DictUri;
use crate::http::Url;
use crate::items::{Items, Keys};
use crate::tls::{TlsOptions, Verify};

/// Why a file describes no server, in 2.3's words.
#[derive(Debug, thiserror::Error)]
pub enum Oauth2ConfigError {
    /// The file cannot be read, or a line is no setting that there is.
    #[error("oauth2 {0}")]
    File(String, #[source] Box<settings::Diagnostic>),
    /// Something in it makes no sense.
    #[error("oauth2 {path}: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// What and why.
        reason: String,
    },
}

/// `introspection_mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introspection {
    /// The token is sent as `Authorization: Bearer`.
    Auth,
    /// It is put behind the URL.
    Get,
    /// It is sent as a form.
    Post,
    /// It is checked here.
    Local,
}

/// What the file says.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are those of the file")]
pub struct Oauth2Config {
    pub path: String,
    pub tokeninfo_url: String,
    pub grant_url: String,
    pub introspection_url: String,
    pub scope: String,
    pub introspection: Introspection,
    pub username_format: String,
    pub username_attribute: String,
    pub active_attribute: String,
    pub active_value: String,
    pub client_id: String,
    pub client_secret: String,
    pub pass_attrs: String,
    pub issuers: Vec<String>,
    pub openid_configuration_url: String,
    pub timeout_msecs: u64,
    pub force_introspection: bool,
    pub send_auth_headers: bool,
    pub use_grant_password: bool,
    pub(super) keys: Option<DictUri>,
    pub(super) tls: TlsOptions,
}

/// All keys that there are. Without meaning here are `max_*`, about connections that are kept, of which there
/// are none: a worker makes one for each request; and `debug`: what it asks for comes with `auth_debug`.
const KEYS: Keys = Keys {
    texts: &[
        "tokeninfo_url",
        "grant_url",
        "introspection_url",
        "scope",
        "introspection_mode",
        "username_format",
        "username_attribute",
        "pass_attrs",
        "local_validation_key_dict",
        "active_attribute",
        "active_value",
        "client_id",
        "client_secret",
        "issuers",
        "openid_configuration_url",
        "tls_ca_cert_file",
        "tls_ca_cert_dir",
        "tls_cert_file",
        "tls_key_file",
        "tls_cipher_suite",
        "rawlog_dir",
    ],
    switches: &[
        "force_introspection",
        "send_auth_headers",
        "use_grant_password",
        "tls_allow_invalid_cert",
        "debug",
    ],
    numbers: &["timeout_msecs", "max_idle_time_msecs", "max_parallel_connections", "max_pipelined_requests"],
};

impl Oauth2Config {
    /// Reads the file. `base_dir` is where the sockets of `dict` processes are.
    ///
    /// # Errors
    /// The file is unreadable, or does not say whom to ask.
    pub fn read(files: &dyn Files, path: &str, base_dir: &str) -> Result<Self, Oauth2ConfigError> {
        let items = settings::ext::parse(files, Path::new(path), &|key, value| KEYS.check(key, value))
            .map_err(|source| Oauth2ConfigError::File(path.to_owned(), Box::new(source)))?;
        let keys = |uri: &str| DictUri::parse(files, uri, base_dir);
        Self::from_items(path, &items, &keys)
            .map_err(|reason| Oauth2ConfigError::Invalid { path: path.to_owned(), reason })
    }

    pub(super) fn from_items(
        path: &str,
        items: &[(String, String)],
        keys: &dyn Fn(&str) -> Result<DictUri, String>,
    ) -> Result<Self, String> {
        let items = Items::new(items);
        let file = |key: &str| items.filled(key).map(str::to_owned);
        for key in ["tls_cipher_suite", "rawlog_dir"] {
            if items.filled(key).is_some() {
                return Err(format!("{key}: not supported"));
            }
        }
        let config = Self {
            path: path.to_owned(),
            tokeninfo_url: items.text("tokeninfo_url", ""),
            grant_url: items.text("grant_url", ""),
            introspection_url: items.text("introspection_url", ""),
            scope: items.text("scope", ""),
            introspection: introspection(items.value("introspection_mode").unwrap_or_default())?,
            username_format: items.text("username_format", "%Lu"),
            username_attribute: items.text("username_attribute", "email"),
            active_attribute: items.text("active_attribute", "active"),
            active_value: items.text("active_value", "true"),
            client_id: items.text("client_id", ""),
            client_secret: items.text("client_secret", ""),
            pass_attrs: items.text("pass_attrs", ""),
            issuers: items.text("issuers", "").split_whitespace().map(str::to_owned).collect(),
            openid_configuration_url: items.text("openid_configuration_url", ""),
            timeout_msecs: items
                .value("timeout_msecs")
                .map_or(Ok(0), str::parse)
                .map_err(|_| "Invalid timeout_msecs")?,
            force_introspection: items.is("force_introspection"),
            send_auth_headers: items.is("send_auth_headers"),
            use_grant_password: items.is("use_grant_password"),
            keys: items
                .filled("local_validation_key_dict")
                .map(keys)
                .transpose()
                .map_err(|error| format!("local_validation_key_dict: {error}"))?,
            tls: TlsOptions {
                ca_file: file("tls_ca_cert_file"),
                ca_dir: file("tls_ca_cert_dir"),
                cert_file: file("tls_cert_file"),
                key_file: file("tls_key_file"),
                verify: if items.is("tls_allow_invalid_cert") { Verify::Nothing } else { Verify::Full },
            },
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let has_grant = !self.grant_url.is_empty() && !self.client_id.is_empty();
        if self.keys.is_none()
            && self.tokeninfo_url.is_empty()
            && !has_grant
            && self.introspection_url.is_empty()
        {
            return Err("Password grant, tokeninfo, introspection URL or validation key dictionary must be \
                        given"
                .into());
        }
        match (self.active_attribute.is_empty(), self.active_value.is_empty()) {
            (false, true) => return Err("Cannot have empty active_value if active_attribute is set".into()),
            (true, false) => return Err("Cannot have empty active_attribute is active_value is set".into()),
            _ => {}
        }
        if self.introspection == Introspection::Local && self.keys.is_none() {
            return Err("local_validation_key_dict is required for local introspection.".into());
        }
        if self.use_grant_password && self.grant_url.is_empty() {
            return Err("use_grant_password needs a grant_url".into());
        }
        for url in
            [&self.tokeninfo_url, &self.grant_url, &self.introspection_url, &self.openid_configuration_url]
        {
            if !url.is_empty() {
                Url::parse(url)?;
            }
        }
        Ok(())
    }
}

fn introspection(word: &str) -> Result<Introspection, String> {
    Ok(match word {
        "" | "auth" => Introspection::Auth,
        "get" => Introspection::Get,
        "post" => Introspection::Post,
        "local" => Introspection::Local,
        _ => {
            return Err(format!(
                "Invalid value '{word}' for introspection mode, must be on auth, get, post or local"
            ));
        }
    })
}
