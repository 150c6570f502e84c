//! The files of their own that databases have, read while there are rights to.

use std::collections::HashMap;

use db::dict::DictConfig;
use db::ldap::LdapConfig;
use db::oauth2::Oauth2Config;
use db::sql::SqlConfig;

use crate::config::{Config, DbConfig};

/// What the files say, by their paths.
#[derive(Clone, Default)]
pub(crate) struct ConfigFiles {
    sql: HashMap<String, SqlConfig>,
    ldap: HashMap<String, LdapConfig>,
    oauth2: HashMap<String, Oauth2Config>,
    dict: HashMap<String, DictConfig>,
    /// Scripts as they are written.
    lua: HashMap<String, String>,
}

impl ConfigFiles {
    /// Reads the files of all databases, which only root may be able to.
    ///
    /// # Errors
    /// In 2.3's words.
    pub(crate) fn read(configs: &[(Option<String>, Config)], base_dir: &str) -> Result<Self, String> {
        let mut files = Self::default();
        let all = configs.iter().flat_map(|(_, config)| config.passdbs.iter().chain(&config.userdbs));
        for db in all.filter(|db| !db.args.is_empty()) {
            files.read_one(db, base_dir)?;
        }
        Ok(files)
    }

    fn read_one(&mut self, db: &DbConfig, base_dir: &str) -> Result<(), String> {
        let path = &db.args;
        match db.driver.as_str() {
            "sql" if !self.sql.contains_key(path) => {
                let config = SqlConfig::read(&settings::StdFiles, path).map_err(|error| chain(&error))?;
                self.sql.insert(path.clone(), config);
            }
            "ldap" if !self.ldap.contains_key(path) => {
                let config = LdapConfig::read(&settings::StdFiles, path).map_err(|error| chain(&error))?;
                self.ldap.insert(path.clone(), config);
            }
            "dict" if !self.dict.contains_key(path) => {
                let config = DictConfig::read(&settings::StdFiles, path, base_dir);
                let config = config.map_err(|error| chain(&error))?;
                self.dict.insert(path.clone(), config);
            }
            "oauth2" if !self.oauth2.contains_key(path) => {
                let config = Oauth2Config::read(&settings::StdFiles, path, base_dir);
                let config = config.map_err(|error| chain(&error))?;
                self.oauth2.insert(path.clone(), config);
            }
            "lua" => {
                // What else is wrong with the arguments is told with their database.
                let file = path.split(' ').find_map(|word| word.strip_prefix("file=")).unwrap_or_default();
                if !file.is_empty() && !self.lua.contains_key(file) {
                    let text = std::fs::read_to_string(file)
                        .map_err(|error| format!("lua: open({file}) failed: {}", base::reason(&error)))?;
                    self.lua.insert(file.to_owned(), text);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn sql(&self, path: &str) -> Result<SqlConfig, String> {
        find(&self.sql, path, "sql: Configuration file path not given", "sql")
    }

    pub(super) fn dict(&self, path: &str) -> Result<DictConfig, String> {
        find(&self.dict, path, "dict: Configuration file path not given", "dict")
    }

    pub(super) fn ldap(&self, path: &str) -> Result<LdapConfig, String> {
        find(&self.ldap, path, "LDAP: Configuration file path not given", "ldap")
    }

    pub(super) fn lua(&self, path: &str) -> Result<String, String> {
        find(&self.lua, path, "lua: Missing mandatory file= parameter", "lua")
    }

    pub(super) fn oauth2(&self, path: &str) -> Result<Oauth2Config, String> {
        find(&self.oauth2, path, "oauth2: Configuration file path not given", "oauth2")
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    base::chain(error).to_string()
}

fn find<C: Clone>(map: &HashMap<String, C>, path: &str, missing: &str, kind: &str) -> Result<C, String> {
    match map.get(path) {
        _ if path.is_empty() => Err(missing.to_owned()),
        Some(config) => Ok(config.clone()),
        None => Err(format!("{kind} {path}: configuration was not read")),
    }
}
