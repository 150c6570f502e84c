//! What all connections of the auth process share.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};

use sasl::Secret;
use sasl::mech::{self, MechanismInfo, Need};

use crate::bans::Bans;
use crate::cache::Cache;
use crate::client::ClientConnection;
use crate::config::Config;
use crate::db::{ConfigFiles, Databases, Passdb, Sources, Userdb};
use crate::delay::Delays;
use crate::hasher::Hasher;
use crate::penalty::Penalties;
use crate::policy::Policy;
use crate::request::{Request, Scope};
use crate::totp::Codes;
use crate::workers::Workers;

/// The auth process.
pub(crate) struct Auth {
    pub(crate) services: Services,
    pub(crate) workers: Workers,
    pub(crate) hasher: Hasher,
    pub(crate) tickets: Hasher,
    pub(crate) cache: RefCell<Option<Cache>>,
    pub(crate) penalties: Penalties,
    pub(crate) bans: Bans,
    pub(crate) codes: Codes,
    pub(crate) delays: Rc<Delays>,
    /// Whose one-time password is being looked at: nobody else may use the same one meanwhile.
    pub(crate) one_time: RefCell<HashSet<String>>,
    pub(crate) scope: Scope,
    /// Login processes by their process ids: a mail process names one of them.
    pub(crate) logins: RefCell<HashMap<u32, Weak<ClientConnection>>>,
    pub(crate) connections: Cell<u32>,
    /// Connections to other servers that are being made.
    pub(crate) connecting: Cell<u32>,
    /// This host's name, for challenges.
    pub(crate) host: String,
    /// When the process began, in seconds since 1970.
    pub(crate) started_s: u64,
    /// Answers to failures wait no longer.
    pub(crate) is_stopping: Cell<bool>,
}

impl Auth {
    /// A request with nothing known about it yet but the service, which decides its settings.
    pub(crate) fn request(&self, service: &str) -> Request {
        let config = self.services.find(service).config.clone();
        let mut request = Request::new(config, self.scope.clone());
        request.facts.service = service.to_owned();
        request
    }

    /// The settings of no protocol in particular, which connections go by.
    pub(crate) fn config(&self) -> &Rc<Config> {
        &self.services.default().config
    }

    /// SIGHUP: forgets what databases said.
    pub(crate) fn flush_cache(&self) {
        if let Some(cache) = self.cache.borrow_mut().as_mut() {
            let count = cache.clear();
            self.scope.log.info(format_args!("SIGHUP received, {count} cache entries flushed"));
        }
    }

    /// SIGUSR2: how well the cache does.
    pub(crate) fn log_statistics(&self) {
        if let Some(cache) = self.cache.borrow_mut().as_mut() {
            cache.statistics().iter().for_each(|line| self.scope.log.info(line));
        }
    }

    /// Requests that login processes have begun and not ended.
    #[cfg(test)]
    pub(crate) fn open_requests(&self) -> usize {
        let logins = self.logins.borrow();
        logins.values().filter_map(Weak::upgrade).map(|connection| connection.open_requests()).sum()
    }

    /// A debug line of a connection.
    pub(crate) fn debug(&self, text: impl std::fmt::Display) {
        if self.config().debug {
            self.scope.log.clone().with_debug(true).debug(format_args!("{}{text}", self.scope.before));
        }
    }
}

/// The settings and databases of one protocol.
pub(crate) struct Service {
    name: Option<String>,
    pub(crate) config: Rc<Config>,
    pub(crate) databases: Databases,
}

/// Those of all protocols.
pub(crate) struct Services {
    /// The first one is that of all protocols without settings of their own.
    list: Vec<Service>,
    pub(crate) mechanisms: Vec<&'static MechanismInfo>,
    pub(crate) hash: u64,
    /// What tokens are made with.
    pub(crate) token_secret: Secret,
    pub(crate) policy: Option<Policy>,
    sources: Sources,
}

impl Services {
    /// # Errors
    /// What is wrong with the configuration, in 2.3's words.
    pub(crate) fn new(
        configs: Vec<(Option<String>, Config)>,
        files: ConfigFiles,
        scope: Scope,
        is_worker: bool,
    ) -> Result<Self, String> {
        let hash = Databases::hash(&configs);
        let mut sources = Sources::new(files, scope.clone(), is_worker);
        let mut list = Vec::with_capacity(configs.len());
        let mut first_id = 0;
        for (name, config) in configs {
            let databases = Databases::new(&config, &mut sources, first_id)?;
            first_id += config.passdbs.len() + config.userdbs.len().max(1);
            list.push(Service { name, config: Rc::new(config), databases });
        }
        let default = list.first().ok_or("No settings")?;
        let mechanisms = if is_worker { Vec::new() } else { mechanisms(default, &scope)? };
        for service in &list {
            check_rehash(&service.config)?;
        }
        let policy = if is_worker { None } else { Policy::new(&default.config.policy)? };
        if policy.is_some() && default.config.policy.log_only {
            scope.log.warning(
                "auth-policy: Currently in log-only mode. Ignoring tarpit and disconnect instructions from \
                 policy server",
            );
        }
        Ok(Self { list, mechanisms, hash, token_secret: crate::token::fresh(), policy, sources })
    }

    /// Reads the passwd-files whose paths are known.
    pub(crate) fn load(&self) {
        self.sources.load();
    }

    pub(crate) fn default(&self) -> &Service {
        // Invariant: there is at least one, see `new`.
        &self.list[0]
    }

    /// The settings for a protocol.
    pub(crate) fn find(&self, service: &str) -> &Service {
        let is_it = |entry: &&Service| match entry.name.as_deref() {
            None => false,
            Some(name) => match name.strip_prefix('!') {
                Some(name) => name != service,
                None => name == service,
            },
        };
        self.list.iter().find(is_it).unwrap_or_else(|| self.default())
    }

    /// The numbers of the databases that block, those together which ask the same one.
    pub(crate) fn blocking_sources(&self) -> Vec<Vec<usize>> {
        let mut sources: Vec<((&str, &str), Vec<usize>)> = Vec::new();
        let databases = self.list.iter().map(|service| &service.databases);
        let numbered = databases.flat_map(|databases| {
            let passdbs = databases.passdbs.iter().chain(&databases.masters);
            let passdbs = passdbs.map(|db| (db.is_blocking, &db.config, db.id));
            passdbs.chain(databases.userdbs.iter().map(|db| (db.is_blocking, &db.config, db.id)))
        });
        for (is_blocking, config, id) in numbered {
            // The arguments of `passwd` are fields for all users, not another database.
            let args = if config.driver == "passwd" { "" } else { config.args.as_str() };
            let source = (config.driver.as_str(), args);
            match sources.iter_mut().find(|(known, _)| *known == source) {
                _ if !is_blocking => {}
                Some((_, numbers)) => numbers.push(id),
                None => sources.push((source, vec![id])),
            }
        }
        sources.into_iter().map(|(_, numbers)| numbers).collect()
    }

    pub(crate) fn passdb(&self, id: u32) -> Option<&Passdb> {
        let id = usize::try_from(id).ok()?;
        let all = self
            .list
            .iter()
            .flat_map(|service| service.databases.passdbs.iter().chain(&service.databases.masters));
        all.into_iter().find(|passdb| passdb.id == id)
    }

    pub(crate) fn userdb(&self, id: u32) -> Option<&Userdb> {
        let id = usize::try_from(id).ok()?;
        self.list.iter().flat_map(|service| &service.databases.userdbs).find(|userdb| userdb.id == id)
    }
}

/// A scheme that does not exist would be found out about at each login.
fn check_rehash(config: &Config) -> Result<(), String> {
    let name = &config.rehash_scheme;
    match name.is_empty() || sasl::scheme::find(name).is_some() {
        true => Ok(()),
        false => Err(format!("auth_rehash_scheme: Unknown scheme {name}")),
    }
}

/// The mechanisms to offer, in the order of `auth_mechanisms`.
fn mechanisms(service: &Service, scope: &Scope) -> Result<Vec<&'static MechanismInfo>, String> {
    // What 2.3 has and we have not.
    const MISSING: [&str; 1] = ["NTLM"];
    let mut offered: Vec<&'static MechanismInfo> = Vec::new();
    for name in &service.config.mechanisms {
        let name = name.to_ascii_uppercase();
        if name == "ANONYMOUS" && service.config.anonymous_username.is_empty() {
            return Err("ANONYMOUS listed in mechanisms, but anonymous_username not set".into());
        }
        match mech::find(&name) {
            Some(found) if offered.iter().any(|known| known.name == found.name) => {}
            Some(found) if found.need == Need::Acceptor => match sys::gssapi::load() {
                Ok(()) => offered.push(found),
                Err(error) => {
                    scope.log.error(format_args!("auth_mechanisms: {name} is not offered: {error}"));
                }
            },
            Some(found) => {
                check_passdbs(service, found)?;
                offered.push(found);
            }
            None if MISSING.contains(&name.as_str()) => scope.log.error(format_args!(
                "auth_mechanisms: {name} is not supported by this version, it is not offered"
            )),
            None => return Err(format!("Unknown authentication mechanism '{name}'")),
        }
    }
    match offered.is_empty() {
        true => Err("No authentication mechanisms configured".into()),
        false => Ok(offered),
    }
}

/// Whether some passdb can do what a mechanism needs.
fn check_passdbs(service: &Service, mechanism: &MechanismInfo) -> Result<(), String> {
    // These verify passwords, but do not give them away.
    const VERIFIERS: [&str; 5] = ["app-password", "bsdauth", "imap", "oauth2", "pam"];
    let databases = &service.databases;
    let gives = |passdb: &Passdb| !VERIFIERS.contains(&passdb.config.driver.as_str());
    let name = mechanism.name;
    match mechanism.need {
        Need::Nothing | Need::Acceptor => Ok(()),
        _ if databases.passdbs.is_empty() => {
            Err(format!("No passdbs specified in configuration file. {name} mechanism needs one"))
        }
        Need::Lookup if !databases.passdbs.iter().any(gives) => {
            Err(format!("{name} mechanism can't be supported with given passdbs"))
        }
        Need::Store if !databases.passdbs.iter().any(Passdb::can_store) => {
            Err(format!("{name} mechanism can't be supported with given passdbs"))
        }
        Need::Verify | Need::Lookup | Need::Store => Ok(()),
    }
}
