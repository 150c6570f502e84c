//! URIs of dictionaries.

use std::sync::Arc;

use base::Logger;
use settings::Files;

use super::{Backend, file, fs, ldap, memcached, memcached_text, proxy, redis, server::Server, sql};
use crate::sql::Driver;

/// A URI that makes sense.
#[derive(Clone)]
pub struct DictUri(Kind);

#[derive(Clone)]
enum Kind {
    File(file::Options),
    Fs(fs::Options),
    Redis(redis::Options),
    Memcached(Server),
    MemcachedText(Server),
    Proxy(proxy::Options),
    Sql(Arc<sql::Config>),
    Ldap(Arc<ldap::Config>),
}

/// Without what may be a secret.
impl std::fmt::Debug for DictUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DictUri").finish_non_exhaustive()
    }
}

impl DictUri {
    /// Reads the file that some URIs name. `base_dir` is where the sockets of `dict` processes are.
    ///
    /// # Errors
    /// In 2.3's words; and what 2.3 has and we have not.
    pub fn parse(files: &dyn Files, uri: &str, base_dir: &str) -> Result<Self, String> {
        let (driver, rest) =
            uri.split_once(':').ok_or_else(|| format!("Dictionary URI is missing ':': {uri}"))?;
        let kind = match driver {
            "file" => file::Options::parse(rest).map(Kind::File),
            "fs" => fs::Options::parse(rest).map(Kind::Fs),
            "redis" => redis::Options::parse(rest).map(Kind::Redis),
            "memcached" => memcached::parse(rest).map(Kind::Memcached),
            "memcached_ascii" => memcached::parse(rest).map(Kind::MemcachedText),
            "proxy" => proxy::Options::parse(rest, base_dir).map(Kind::Proxy),
            "ldap" => ldap::Config::read(files, rest).map(|config| Kind::Ldap(Arc::new(config))),
            other => match Driver::find(other) {
                Some(driver) => {
                    sql::Config::read(files, driver, rest).map(|config| Kind::Sql(Arc::new(config)))
                }
                None => return Err(format!("Unknown dict module: {other}")),
            },
        };
        kind.map(Self).map_err(|error| format!("dict {driver}: {error}"))
    }

    pub(super) fn open(&self, log: &Logger) -> Box<dyn Backend> {
        match &self.0 {
            Kind::File(options) => Box::new(file::FileDict::new(options.clone(), log.clone())),
            Kind::Fs(options) => Box::new(fs::FsDict::new(options.clone())),
            Kind::Redis(options) => Box::new(redis::Redis::new(options.clone())),
            Kind::Memcached(server) => Box::new(memcached::Memcached::new(server.clone())),
            Kind::MemcachedText(server) => Box::new(memcached_text::MemcachedText::new(server.clone())),
            Kind::Proxy(options) => Box::new(proxy::Proxy::new(options.clone(), log.clone())),
            Kind::Sql(config) => Box::new(sql::SqlDict::new(config.clone(), log.clone())),
            Kind::Ldap(config) => Box::new(ldap::LdapDict::new(config.clone(), log.clone())),
        }
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
            ("sql:/x", Some("Unknown dict module: sql")),
            ("mysql:/x", Some("dict mysql: Can't open configuration file /x: No such file or directory")),
            ("ldap:/x", Some("dict ldap: Can't open configuration file /x: No such file or directory")),
            ("fs:posix:prefix=/tmp/", None),
            ("fs:sis:/tmp/", Some("dict fs: sis is not supported by this version")),
            ("cdb:/x", Some("Unknown dict module: cdb")),
            ("proxy::x", None),
            ("proxy:x", Some("dict proxy: Invalid URI: x")),
        ] {
            assert_eq!(
                DictUri::parse(&settings::MemoryFiles::default(), uri, "/run/dovecot").err().as_deref(),
                expect,
                "{uri}"
            );
        }
    }
}
