//! Entries of an LDAP directory as a dictionary that can only be asked for a key: `ldap:` with the path of
//! its file.

mod config;

use std::sync::Arc;
use std::time::Instant;

use base::Logger;

pub(super) use config::Config;

use super::{Backend, DictError, PRIVATE};
use crate::ldap::{Directory, escape};

pub(super) struct LdapDict {
    config: Arc<Config>,
    directory: Directory,
    used: Instant,
}

impl LdapDict {
    pub(super) fn new(config: Arc<Config>, log: Logger) -> Self {
        let directory = Directory::new(config.server.clone(), log);
        Self { config, directory, used: Instant::now() }
    }
}

impl Backend for LdapDict {
    fn lookup(&mut self, user: &str, key: &str) -> Result<Option<Vec<String>>, DictError> {
        let failed = |error: String| DictError::Failed(format!("ldap: {error}"));
        let found = self.config.find(key);
        let (map, values) = found.ok_or_else(|| DictError::Failed("no such key".into()))?;
        let filter = map.filter(&values, key.starts_with(PRIVATE).then_some(user)).map_err(failed)?;
        let idle_max = self.config.idle_max;
        if !idle_max.is_zero() && self.used.elapsed() > idle_max {
            self.directory.disconnect();
        }
        self.used = Instant::now();
        let mut first = None;
        let wanted = [map.value_attribute.clone()];
        self.directory
            .find(&map.base_dn, map.scope, &filter, &wanted, &mut |entry| {
                first = Some(entry);
                false
            })
            .map_err(|error| failed(error.to_string()))?;
        let is_wanted = |(name, _): &(String, Vec<String>)| name.eq_ignore_ascii_case(&map.value_attribute);
        let values = first.and_then(|entry| entry.attributes.into_iter().find(is_wanted));
        // As in 2.3 the first of several.
        Ok(values.and_then(|(_, values)| values.into_iter().next()).map(|value| vec![value]))
    }
}

/// A value within a filter.
fn quoted(value: &str) -> String {
    escape(value)
}
