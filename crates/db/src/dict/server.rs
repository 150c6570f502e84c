//! Servers that all users share: where they are, and what keys are called there.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{PRIVATE, SHARED};
use crate::limits::DICT_TIMEOUT;

/// Where a server is, and what its keys begin with.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
}

#[derive(Clone)]
pub(super) enum Address {
    Unix(String),
    Tcp(IpAddr, u16),
}

impl Server {
    pub(super) fn on_port(port: u16) -> Self {
        let address = Address::Tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self { address, prefix: String::new(), timeout: DICT_TIMEOUT }
    }

    /// Takes a parameter that all servers have; `false` if it is another one.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
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
pub(super) fn parameters(text: &str) -> impl Iterator<Item = Result<(&str, &str), String>> {
    let words = text.split(':').filter(|word| !word.is_empty());
    words.map(|word| word.split_once('=').ok_or_else(|| format!("Unknown parameter: {word}")))
}

/// The name of a key in a server that all users share.
pub(super) fn full_key(prefix: &str, user: &str, key: &str) -> String {
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
