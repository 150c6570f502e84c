//! Dictionaries: keys and values in a file, Redis or memcached, or behind a `dict` process, named by URIs
//! as in 2.3 (`redis:host=127.0.0.1:prefix=mail/`).
//!
//! Keys begin with `shared/`, or with `priv/` for one user's own.

mod config;
mod file;
mod json;
mod memcached;
mod proxy;
mod redis;
mod wire;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub use config::{DictConfig, DictConfigError, DictKey, Format, Selection};
pub use json::fields as json_fields;

use crate::limits::DICT_TIMEOUT;

/// What all users share.
pub const SHARED: &str = "shared/";
/// What a user has for itself.
pub const PRIVATE: &str = "priv/";

/// Why a dictionary did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DictError {
    /// A file, a connection, or what came over it.
    #[error("{driver}: {reason}")]
    Failed {
        /// Whose.
        driver: &'static str,
        /// What and why.
        reason: String,
    },
    /// Only files can be looked through.
    #[error("Dictionary doesn't support iteration")]
    NoIteration,
}

/// A URI that makes sense.
#[derive(Clone)]
pub struct DictUri(Kind);

#[derive(Clone)]
enum Kind {
    File(String),
    Redis(redis::Options),
    Memcached(Server, memcached::Protocol),
    Proxy(proxy::Options),
}

/// Where a server is, and what its keys begin with.
#[derive(Clone)]
struct Server {
    address: Address,
    prefix: String,
    timeout: Duration,
}

#[derive(Clone)]
enum Address {
    Unix(String),
    Tcp(IpAddr, u16),
}

impl DictUri {
    /// `base_dir` is where the sockets of `dict` processes are.
    ///
    /// # Errors
    /// In 2.3's words; and what 2.3 has and we have not.
    pub fn parse(uri: &str, base_dir: &str) -> Result<Self, String> {
        let (driver, rest) =
            uri.split_once(':').ok_or_else(|| format!("Dictionary URI is missing ':': {uri}"))?;
        let kind = match driver {
            "file" => file::parse(rest).map(Kind::File),
            "redis" => redis::Options::parse(rest).map(Kind::Redis),
            "memcached" => {
                memcached::parse(rest).map(|server| Kind::Memcached(server, memcached::Protocol::Binary))
            }
            "memcached_ascii" => {
                memcached::parse(rest).map(|server| Kind::Memcached(server, memcached::Protocol::Text))
            }
            "proxy" => proxy::Options::parse(rest, base_dir).map(Kind::Proxy),
            "fs" | "sql" | "ldap" => Err("not supported by this version".into()),
            other => return Err(format!("Unknown dict module: {other}")),
        };
        kind.map(Self).map_err(|error| format!("dict {driver}: {error}"))
    }
}

impl Server {
    fn on_port(port: u16) -> Self {
        let address = Address::Tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self { address, prefix: String::new(), timeout: DICT_TIMEOUT }
    }

    /// Takes a parameter that all servers have; `false` if it is another one.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match (key, &mut self.address) {
            ("host", Address::Tcp(ip, _)) => {
                *ip = value.parse().map_err(|_| format!("Invalid IP: {value}"))?;
            }
            ("port", Address::Tcp(_, port)) => {
                *port = value.parse().map_err(|_| format!("Invalid port: {value}"))?;
            }
            // The socket's path goes first.
            ("host" | "port", Address::Unix(_)) => {}
            ("prefix", _) => self.prefix = value.to_owned(),
            ("timeout_msecs", _) => {
                let milliseconds = value.parse().map_err(|_| format!("Invalid timeout_msecs: {value}"))?;
                self.timeout = Duration::from_millis(milliseconds);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `key=value` words with colons between them.
fn parameters(text: &str) -> impl Iterator<Item = Result<(&str, &str), String>> {
    let words = text.split(':').filter(|word| !word.is_empty());
    words.map(|word| word.split_once('=').ok_or_else(|| format!("Unknown parameter: {word}")))
}

/// A dictionary as one process uses it. It is connected to when first needed.
pub struct Dict(Backend);

enum Backend {
    File(file::FileDict),
    Redis(redis::Redis),
    Memcached(memcached::Memcached),
    Proxy(proxy::Proxy),
}

impl Dict {
    /// Does not connect yet.
    pub fn new(uri: &DictUri) -> Self {
        Self(match &uri.0 {
            Kind::File(path) => Backend::File(file::FileDict::new(path)),
            Kind::Redis(options) => Backend::Redis(redis::Redis::new(options.clone())),
            Kind::Memcached(server, protocol) => {
                Backend::Memcached(memcached::Memcached::new(server.clone(), *protocol))
            }
            Kind::Proxy(options) => Backend::Proxy(proxy::Proxy::new(options.clone())),
        })
    }

    /// The value of a key; `None` if there is none. `user` is whose private keys are meant.
    ///
    /// # Errors
    /// Nobody knows whether there is one.
    pub fn lookup(&mut self, user: &str, key: &str) -> Result<Option<String>, DictError> {
        match &mut self.0 {
            Backend::File(file) => file.lookup(key),
            Backend::Redis(redis) => redis.lookup(user, key),
            Backend::Memcached(memcached) => memcached.lookup(user, key),
            Backend::Proxy(proxy) => proxy.lookup(user, key),
        }
    }

    /// Calls `each` with keys that begin with `prefix` and have no further `/`.
    ///
    /// # Errors
    /// They could not be listed.
    pub fn iterate(&mut self, prefix: &str, each: &mut dyn FnMut(&str)) -> Result<(), DictError> {
        match &mut self.0 {
            Backend::File(file) => file.iterate(prefix, each),
            Backend::Redis(_) | Backend::Memcached(_) => Err(DictError::NoIteration),
            Backend::Proxy(proxy) => proxy.iterate(prefix, each),
        }
    }
}

/// The name of a key in a server that all users share.
fn full_key(prefix: &str, user: &str, key: &str) -> String {
    match (key.strip_prefix(SHARED), key.strip_prefix(PRIVATE)) {
        (Some(key), _) => format!("{prefix}{key}"),
        (_, Some(key)) => {
            let user = match user.contains('/') {
                true => user.replace('\\', "\\\\").replace('/', "\\-"),
                false => user.to_owned(),
            };
            format!("{prefix}{user}/{key}")
        }
        (None, None) => format!("{prefix}{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        for (uri, expect) in [
            ("file:/tmp/x", None),
            ("file:/tmp/x:lock=fcntl", None),
            ("file:/tmp/x:colour", Some("dict file: Invalid parameter: colour")),
            (
                "redis:host=127.0.0.1:port=6379:prefix=a/:db=2:timeout_msecs=500:password=x:expire_secs=1",
                None,
            ),
            ("redis:path=/run/redis.sock", None),
            ("redis:host=localhost", Some("dict redis: Invalid IP: localhost")),
            ("redis:port=x", Some("dict redis: Invalid port: x")),
            ("redis:db=x", Some("dict redis: Invalid db number: x")),
            ("redis:expire_secs=0", Some("dict redis: Invalid expire_secs: 0")),
            ("redis:colour=red", Some("dict redis: Unknown parameter: colour=red")),
            ("memcached:host=::1", Some("dict memcached: Invalid IP: ")),
            ("memcached_ascii:", None),
            ("memcached:password=x", Some("dict memcached: Unknown parameter: password=x")),
            ("/tmp/x", Some("Dictionary URI is missing ':': /tmp/x")),
            ("sql:/x", Some("dict sql: not supported by this version")),
            ("cdb:/x", Some("Unknown dict module: cdb")),
            ("proxy::x", None),
            ("proxy:x", Some("dict proxy: Invalid URI: x")),
        ] {
            assert_eq!(DictUri::parse(uri, "/run/dovecot").err().as_deref(), expect, "{uri}");
        }
    }

    #[test]
    fn keys_of_users() {
        for (user, key, expect) in [
            ("joe", "shared/a/b", "p:a/b"),
            ("joe", "priv/a", "p:joe/a"),
            ("a/b", "priv/c", "p:a\\-b/c"),
            ("a\\b/", "priv/c", "p:a\\\\b\\-/c"),
        ] {
            assert_eq!(full_key("p:", user, key), expect);
        }
    }
}
