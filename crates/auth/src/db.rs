//! The databases of one protocol's settings. A driver's lookup is synchronous; what may block is
//! done in a worker, which calls the same drivers.

mod app_password;
mod checkpassword;
mod dict;
mod files;
mod imap;
mod ldap;
mod lua;
mod oauth2;
mod pam;
mod passwd;
mod passwd_file;
mod shadow;
mod sql;
mod statics;
mod verify;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use ipc::auth_worker::{PassdbResult, UserdbResult};
use sasl::Secret;

use crate::cache;
use crate::config::{Config, DbConfig, Skip};
use crate::request::fields::{numeric_gid, numeric_uid};
use crate::request::{Label, Request, Scope};
use crate::template::Template;

pub(crate) use checkpassword::hear as hear_checkpassword;
pub(crate) use files::ConfigFiles;
#[cfg(test)]
pub(crate) use lua::check_script;
pub(crate) use passwd_file::PasswdFile;
pub(crate) use sql::Sql;
pub(crate) use verify::{Check, check, finish};

/// A passdb as configured.
pub(crate) struct Passdb {
    pub(crate) id: usize,
    pub(crate) config: DbConfig,
    pub(crate) label: Label,
    driver: PassdbDriver,
    pub(crate) default_fields: Template,
    pub(crate) override_fields: Template,
    mechanisms: Option<Vec<String>>,
    username_filter: Option<Vec<String>>,
    pub(crate) cache_key: Option<String>,
    pub(crate) default_scheme: String,
    /// Asked through a worker.
    pub(crate) is_blocking: bool,
}

/// A userdb as configured.
pub(crate) struct Userdb {
    pub(crate) id: usize,
    pub(crate) config: DbConfig,
    pub(crate) label: Label,
    driver: UserdbDriver,
    pub(crate) default_fields: Template,
    pub(crate) override_fields: Template,
    pub(crate) cache_key: Option<String>,
    /// Asked through a worker.
    pub(crate) is_blocking: bool,
}

enum PassdbDriver {
    AppPassword(app_password::AppPasswords),
    Checkpassword(checkpassword::Checkpassword),
    Dict(Rc<dict::Dict>),
    Imap(imap::ImapPassdb),
    Ldap(Rc<ldap::Ldap>),
    /// The script is loaded in workers.
    Lua(Option<Rc<lua::Script>>),
    Oauth2(Box<oauth2::Oauth2Passdb>),
    Pam(pam::Pam),
    Passwd,
    PasswdFile {
        file: Rc<PasswdFile>,
        username_format: String,
    },
    Shadow,
    Sql(Rc<Sql>),
    Static(statics::StaticPassdb),
}

enum UserdbDriver {
    Checkpassword(checkpassword::Checkpassword),
    Dict(Rc<dict::Dict>),
    Ldap(Rc<ldap::Ldap>),
    Lua(Option<Rc<lua::Script>>),
    Passwd(Template),
    PasswdFile { file: Rc<PasswdFile>, username_format: String },
    Prefetch { is_only: bool },
    Sql(Rc<Sql>),
    Static { template: Template, allow_all_users: bool },
}

/// Files and connections that several databases share, and what has been read of them while there
/// were rights to.
pub(crate) struct Sources {
    files: ConfigFiles,
    passwd_files: HashMap<String, Rc<PasswdFile>>,
    sqls: HashMap<String, Rc<Sql>>,
    ldaps: HashMap<String, Rc<ldap::Ldap>>,
    dicts: HashMap<String, Rc<dict::Dict>>,
    scripts: lua::Scripts,
    scope: Scope,
    /// Databases are really connected to.
    is_worker: bool,
}

impl Sources {
    pub(crate) fn new(files: ConfigFiles, scope: Scope, is_worker: bool) -> Self {
        Self {
            files,
            passwd_files: HashMap::new(),
            sqls: HashMap::new(),
            ldaps: HashMap::new(),
            dicts: HashMap::new(),
            scripts: lua::Scripts::new(),
            scope,
            is_worker,
        }
    }

    fn passwd_file(&mut self, path: &str) -> Rc<PasswdFile> {
        let scope = &self.scope;
        let file = self.passwd_files.entry(path.to_owned());
        file.or_insert_with(|| Rc::new(PasswdFile::new(path, scope.clone()))).clone()
    }

    fn sql(&mut self, path: &str) -> Result<Rc<Sql>, String> {
        if let Some(sql) = self.sqls.get(path) {
            return Ok(sql.clone());
        }
        let config = self.files.sql(path)?;
        let sql = Rc::new(Sql::new(config, self.is_worker.then(|| self.scope.log.clone())));
        self.sqls.insert(path.to_owned(), sql.clone());
        Ok(sql)
    }

    fn ldap(&mut self, path: &str) -> Result<Rc<ldap::Ldap>, String> {
        if let Some(ldap) = self.ldaps.get(path) {
            return Ok(ldap.clone());
        }
        let config = self.files.ldap(path)?;
        let ldap = Rc::new(ldap::Ldap::new(config, self.is_worker.then(|| self.scope.log.clone())));
        self.ldaps.insert(path.to_owned(), ldap.clone());
        Ok(ldap)
    }

    fn dict(&mut self, path: &str) -> Result<Rc<dict::Dict>, String> {
        if let Some(dict) = self.dicts.get(path) {
            return Ok(dict.clone());
        }
        let dict =
            Rc::new(dict::Dict::new(self.files.dict(path)?, self.is_worker.then_some(&self.scope.log)));
        self.dicts.insert(path.to_owned(), dict.clone());
        Ok(dict)
    }

    fn script(&self, path: &str) -> Result<Option<Rc<lua::Script>>, String> {
        let text = self.files.lua(path)?;
        match self.is_worker {
            true => self.scripts.get(path, &text).map(Some),
            false => lua::Script::check(path, &text).map(|()| None),
        }
    }

    /// Reads the passwd-files whose paths are known.
    pub(crate) fn load(&self) {
        self.passwd_files.values().for_each(|file| file.load());
    }
}

/// All databases of one protocol's settings.
pub(crate) struct Databases {
    pub(crate) passdbs: Vec<Passdb>,
    pub(crate) masters: Vec<Passdb>,
    pub(crate) userdbs: Vec<Userdb>,
}

impl Databases {
    /// `first_id` is the number of the first database: numbers are unique in the process.
    ///
    /// # Errors
    /// What is wrong with the configuration, in 2.3's words.
    pub(crate) fn new(config: &Config, sources: &mut Sources, first_id: usize) -> Result<Self, String> {
        let mut databases = Self { passdbs: Vec::new(), masters: Vec::new(), userdbs: Vec::new() };
        let is_last_pass = config.passdbs.iter().rfind(|db| !db.master).is_some_and(|db| db.pass);
        if is_last_pass {
            return Err("Last passdb can't have pass=yes".into());
        }
        let mut id = first_id;
        for db in &config.passdbs {
            id += 1;
            let list = if db.master { &mut databases.masters } else { &mut databases.passdbs };
            // As the first one it could never be asked.
            if list.is_empty() && db.skip == Skip::NotSucceeded {
                continue;
            }
            if db.master && db.deny {
                return Err("Master passdb can't have deny=yes".into());
            }
            list.push(Passdb::new(id, db, sources)?);
        }
        if databases.passdbs.is_empty() && databases.masters.iter().any(|db| db.config.pass) {
            return Err("Master passdb can't have pass=yes if there are no passdbs".into());
        }
        let dummy = [DbConfig::dummy_userdb()];
        let userdbs = if config.userdbs.is_empty() { &dummy[..] } else { &config.userdbs };
        for db in userdbs {
            id += 1;
            databases.userdbs.push(Userdb::new(id, db, userdbs.len() == 1, sources)?);
        }
        databases.link();
        Ok(databases)
    }

    /// Lets each database know that there is another one behind it.
    fn link(&mut self) {
        let all_but_last = |length: usize| length.saturating_sub(1);
        for list in [&mut self.passdbs, &mut self.masters] {
            let count = all_but_last(list.len());
            list.iter_mut().take(count).for_each(|passdb| passdb.label.next = Some("passdb"));
        }
        let count = all_but_last(self.userdbs.len());
        self.userdbs.iter_mut().take(count).for_each(|userdb| userdb.label.next = Some("userdb"));
    }

    /// Both sides of the worker protocol must have the same.
    pub(crate) fn hash(configs: &[(Option<String>, Config)]) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (protocol, config) in configs {
            (protocol, &config.passdbs, &config.userdbs).hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn label(config: &DbConfig) -> Label {
    let name = if config.name.is_empty() { &config.driver } else { &config.name };
    Label { name: name.as_str().into(), verbose: config.verbose, next: None }
}

/// Names of users and groups that everybody would get have to exist.
fn check_ids(template: &Template) -> Result<(), String> {
    for (key, numeric) in [("uid", numeric_uid as fn(&str) -> Option<u32>), ("gid", numeric_gid)] {
        if let Some(value) = template.constant(key).filter(|value| numeric(value).is_none()) {
            return Err(format!("static userdb: Invalid {key}: {value}"));
        }
    }
    Ok(())
}

fn list(text: &str) -> Vec<String> {
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn unsupported(kind: &str, driver: &str) -> String {
    match (kind, driver) {
        ("passdb", "bsdauth") => format!("Support not compiled in for {kind} driver '{driver}'"),
        _ => format!("Unknown {kind} driver '{driver}'"),
    }
}

/// A passdb's driver, and what it says of the passwords it gives.
struct Chosen {
    driver: PassdbDriver,
    default_scheme: String,
    cache_key: Option<String>,
}

impl Chosen {
    fn of(config: &DbConfig, sources: &mut Sources) -> Result<Self, String> {
        let (mut default_scheme, mut cache_key) = ("PLAIN".to_owned(), None);
        let args = config.args.as_str();
        let driver = match config.driver.as_str() {
            "app-password" => PassdbDriver::AppPassword(app_password::AppPasswords::parse(args)?),
            "checkpassword" => {
                PassdbDriver::Checkpassword(checkpassword::Checkpassword::parse("passdb", args)?)
            }
            "dict" => {
                let dict = sources.dict(args)?;
                default_scheme = dict.config.default_pass_scheme.clone();
                cache_key = Some(cache::key_of(&dict.config.cache_template(&dict.config.passdb)));
                PassdbDriver::Dict(dict)
            }
            "imap" => PassdbDriver::Imap(imap::ImapPassdb::parse(args)?),
            "ldap" => {
                let ldap = sources.ldap(args)?;
                default_scheme = ldap.config.default_pass_scheme.clone();
                cache_key = Some(cache::key_of(&ldap.config.pass_cache_template));
                PassdbDriver::Ldap(ldap)
            }
            "lua" => {
                let args = lua::LuaArgs::parse("passdb", args)?;
                (default_scheme, cache_key) = (args.scheme, args.cache_key);
                PassdbDriver::Lua(sources.script(&args.file)?)
            }
            "oauth2" => {
                let passdb = oauth2::Oauth2Passdb::new(
                    sources.files.oauth2(args)?,
                    sources.is_worker,
                    &sources.scope.log,
                )?;
                cache_key = Some(passdb.cache_key().to_owned());
                PassdbDriver::Oauth2(Box::new(passdb))
            }
            "pam" => {
                let pam = pam::Pam::parse(args)?;
                cache_key = pam.cache_key.clone();
                PassdbDriver::Pam(pam)
            }
            driver @ ("passwd" | "shadow") => {
                if !matches!(args, "" | "blocking=no") {
                    return Err(format!("passdb {driver}: Unknown setting: {args}"));
                }
                (default_scheme, cache_key) = ("CRYPT".into(), Some("%u".to_owned()));
                if driver == "shadow" { PassdbDriver::Shadow } else { PassdbDriver::Passwd }
            }
            "passwd-file" => {
                let args = passwd_file::Args::parse("passdb", args)?;
                default_scheme = args.scheme.unwrap_or_else(|| "CRYPT".into());
                let file = sources.passwd_file(&args.path);
                PassdbDriver::PasswdFile { file, username_format: args.username_format }
            }
            "sql" => {
                let sql = sources.sql(args)?;
                default_scheme = sql.config.default_pass_scheme.clone();
                cache_key = Some(cache::key_of(sql.config.password_query.template.text()));
                PassdbDriver::Sql(sql)
            }
            "static" => PassdbDriver::Static(statics::StaticPassdb::parse(args)?),
            other => return Err(unsupported("passdb", other)),
        };
        Ok(Self { driver, default_scheme, cache_key })
    }

    /// Whether it may keep its process waiting, and so is asked in a worker.
    fn is_blocking(&self, args: &str) -> bool {
        match self.driver {
            PassdbDriver::PasswdFile { .. } | PassdbDriver::Static(_) => false,
            PassdbDriver::Passwd | PassdbDriver::Shadow => args.is_empty(),
            _ => true,
        }
    }
}

impl Passdb {
    fn new(id: usize, config: &DbConfig, sources: &mut Sources) -> Result<Self, String> {
        let chosen = Chosen::of(config, sources)?;
        let is_blocking = chosen.is_blocking(&config.args);
        let Chosen { driver, default_scheme, cache_key } = chosen;
        let mechanisms = match config.mechanisms.as_str() {
            "" => None,
            text if text.eq_ignore_ascii_case("none") => Some(vec!["none".to_owned()]),
            text => Some(list(text)),
        };
        Ok(Self {
            id,
            label: label(config),
            driver,
            default_fields: Template::parse(&config.default_fields)?,
            override_fields: Template::parse(&config.override_fields)?,
            mechanisms,
            username_filter: (!config.username_filter.is_empty()).then(|| list(&config.username_filter)),
            cache_key: cache_key.map(|key| format!("{key}{}", cache::key_of(&config.default_fields))),
            default_scheme,
            is_blocking: is_blocking && !sources.is_worker,
            config: config.clone(),
        })
    }

    /// Whether this database is not for this request.
    pub(crate) fn is_skipped(&self, request: &Request) -> bool {
        let mechanism = request.facts.mechanism.as_deref();
        let who = mechanism.map_or_else(|| "none".to_owned(), str::to_ascii_lowercase);
        if let Some(accepted) = &self.mechanisms
            && !accepted.iter().any(|name| name.eq_ignore_ascii_case(mechanism.unwrap_or("none")))
        {
            request.debug_as(&who, "skipping passdb: mechanism filtered");
            return true;
        }
        if let Some(filter) = &self.username_filter
            && !username_accepted(filter, request.user())
        {
            request.debug_as(&who, "skipping passdb: username filtered");
            return true;
        }
        match self.config.skip {
            Skip::Never => false,
            Skip::Succeeded => request.facts.skip_password_check,
            Skip::NotSucceeded => !request.facts.skip_password_check,
        }
    }

    /// Whether the database itself says if a password is right.
    pub(crate) fn verifies(&self) -> bool {
        match &self.driver {
            PassdbDriver::Ldap(ldap) => ldap.config.auth_bind,
            PassdbDriver::Lua(script) => script.as_ref().is_some_and(|script| script.verifies()),
            PassdbDriver::AppPassword(_)
            | PassdbDriver::Checkpassword(_)
            | PassdbDriver::Imap(_)
            | PassdbDriver::Oauth2(_)
            | PassdbDriver::Pam(_) => true,
            _ => false,
        }
    }

    /// Asks such a database whether the given password is right.
    pub(crate) fn verify(&self, request: &mut Request) -> PassdbResult {
        match &self.driver {
            PassdbDriver::AppPassword(files) => files.verify(request),
            PassdbDriver::Checkpassword(program) => program.verify(request),
            PassdbDriver::Imap(imap) => imap.verify(request),
            PassdbDriver::Ldap(ldap) => ldap.bind(request),
            PassdbDriver::Lua(Some(script)) => script.verify(request, &self.default_scheme),
            PassdbDriver::Oauth2(oauth2) => oauth2.verify(request),
            PassdbDriver::Pam(pam) => pam.verify(request),
            // Those have the password.
            _ => self.lookup(request),
        }
    }

    /// Whether the client gets to see why a login failed.
    pub(crate) fn shows_failures(&self) -> bool {
        matches!(&self.driver, PassdbDriver::Pam(pam) if pam.failure_show_msg)
    }

    /// Where a client whose token was refused learns how to get another one.
    pub(crate) fn openid_configuration(&self) -> Option<&str> {
        match &self.driver {
            PassdbDriver::Oauth2(oauth2) => oauth2.openid_configuration(),
            _ => None,
        }
    }

    /// Whether the process should be replaced by a fresh one.
    pub(crate) fn is_worn_out(&self) -> bool {
        matches!(&self.driver, PassdbDriver::Pam(pam) if pam.is_worn_out())
    }

    /// Whether it can keep another password than it has.
    pub(crate) fn can_store(&self) -> bool {
        matches!(self.driver, PassdbDriver::Sql(_))
    }

    /// Keeps another password, given with its `{SCHEME}`. May block.
    pub(crate) fn store(&self, request: &mut Request, stored: Secret) -> bool {
        request.password = Some(stored);
        match &self.driver {
            PassdbDriver::Sql(sql) => sql.store(request),
            _ => {
                request.error("passdb doesn't support changing passwords");
                false
            }
        }
    }

    /// Whether a hash can be replaced by another.
    pub(crate) fn can_replace(&self) -> bool {
        match &self.driver {
            PassdbDriver::PasswdFile { .. } => true,
            PassdbDriver::Sql(sql) => !sql.config.update_query.is_default,
            _ => false,
        }
    }

    /// Puts the hash `new` in the place of `old`, both with their `{SCHEME}`; gives whether it did.
    ///
    /// # Errors
    /// For the log: the old one stays.
    pub(crate) fn replace(&self, request: &Request, old: &str, new: &str) -> Result<bool, String> {
        match &self.driver {
            PassdbDriver::PasswdFile { file, username_format } => {
                file.replace_password(request, username_format, &self.default_scheme, old, new)
            }
            PassdbDriver::Sql(sql) => sql.replace_password(request, old, new),
            _ => Err("this passdb cannot store passwords".into()),
        }
    }

    /// Looks the user up: sets fields and the stored password.
    pub(crate) fn lookup(&self, request: &mut Request) -> PassdbResult {
        match &self.driver {
            PassdbDriver::Checkpassword(program) => program.lookup(request),
            PassdbDriver::Dict(dict) => dict.passdb(request),
            PassdbDriver::Ldap(ldap) => ldap.passdb(request),
            PassdbDriver::Lua(Some(script)) => script.passdb(request, &self.default_scheme),
            PassdbDriver::Lua(None) => {
                request.error("db-lua: not in a worker");
                PassdbResult::InternalFailure
            }
            PassdbDriver::AppPassword(_)
            | PassdbDriver::Imap(_)
            | PassdbDriver::Oauth2(_)
            | PassdbDriver::Pam(_) => {
                request.debug("passdb doesn't support credential lookups");
                PassdbResult::SchemeNotAvailable
            }
            PassdbDriver::Shadow => shadow::passdb(request),
            PassdbDriver::Passwd => passwd::passdb(request),
            PassdbDriver::PasswdFile { file, username_format } => {
                file.passdb(request, username_format, &self.default_scheme)
            }
            PassdbDriver::Sql(sql) => sql.passdb(request),
            PassdbDriver::Static(fixed) => fixed.lookup(request),
        }
    }
}

impl Userdb {
    fn new(id: usize, config: &DbConfig, is_only: bool, sources: &mut Sources) -> Result<Self, String> {
        let mut is_blocking = false;
        let mut cache_key = None;
        let driver = match config.driver.as_str() {
            "checkpassword" => {
                is_blocking = true;
                UserdbDriver::Checkpassword(checkpassword::Checkpassword::parse("userdb", &config.args)?)
            }
            "dict" => {
                is_blocking = true;
                let dict = sources.dict(&config.args)?;
                cache_key = Some(cache::key_of(&dict.config.cache_template(&dict.config.userdb)));
                UserdbDriver::Dict(dict)
            }
            "ldap" => {
                is_blocking = true;
                let ldap = sources.ldap(&config.args)?;
                cache_key = Some(cache::key_of(&ldap.config.user_cache_template));
                UserdbDriver::Ldap(ldap)
            }
            "lua" => {
                is_blocking = true;
                let args = lua::LuaArgs::parse("userdb", &config.args)?;
                cache_key = args.cache_key;
                UserdbDriver::Lua(sources.script(&args.file)?)
            }
            "passwd" => {
                let mut template = Template::parse(&config.args)?;
                is_blocking = template.take("blocking").is_none_or(|value| value.as_deref() == Some("yes"));
                cache_key = Some("%u".to_owned());
                UserdbDriver::Passwd(template)
            }
            "passwd-file" => {
                let args = passwd_file::Args::parse("userdb", &config.args)?;
                let file = sources.passwd_file(&args.path);
                file.use_as_userdb(is_only);
                UserdbDriver::PasswdFile { file, username_format: args.username_format }
            }
            "prefetch" => UserdbDriver::Prefetch { is_only },
            "sql" => {
                is_blocking = true;
                let sql = sources.sql(&config.args)?;
                cache_key = Some(cache::key_of(sql.config.user_query.template.text()));
                UserdbDriver::Sql(sql)
            }
            "static" => {
                let mut template = Template::parse(&config.args)?;
                let everyone = template.take("allow_all_users");
                let allow_all_users =
                    everyone.is_some_and(|value| value.is_none_or(|word| word.eq_ignore_ascii_case("yes")));
                check_ids(&template)?;
                UserdbDriver::Static { template, allow_all_users }
            }
            other => return Err(unsupported("userdb", other)),
        };
        Ok(Self {
            id,
            label: label(config),
            driver,
            default_fields: Template::parse(&config.default_fields)?,
            override_fields: Template::parse(&config.override_fields)?,
            cache_key: cache_key.map(|key| format!("{key}{}", cache::key_of(&config.default_fields))),
            is_blocking: is_blocking && !sources.is_worker,
            config: config.clone(),
        })
    }

    pub(crate) fn is_skipped(&self, request: &Request) -> bool {
        match self.config.skip {
            Skip::Never => false,
            Skip::Succeeded => request.progress.userdb_success,
            Skip::NotSucceeded => !request.progress.userdb_success,
        }
    }

    /// Whether the passdbs must be asked first if there is such a user: a `static` userdb knows
    /// nobody itself.
    pub(crate) fn needs_passdb(&self, request: &Request) -> bool {
        matches!(self.driver, UserdbDriver::Static { allow_all_users: false, .. })
            && !request.facts.successful
    }

    /// Looks the user up: sets userdb fields.
    pub(crate) fn lookup(&self, request: &mut Request) -> UserdbResult {
        match &self.driver {
            UserdbDriver::Checkpassword(program) => program.userdb(request),
            UserdbDriver::Dict(dict) => dict.userdb(request),
            UserdbDriver::Ldap(ldap) => ldap.userdb(request),
            UserdbDriver::Lua(Some(script)) => script.userdb(request),
            UserdbDriver::Lua(None) => {
                request.error("db-lua: not in a worker");
                UserdbResult::InternalFailure
            }
            UserdbDriver::Passwd(template) => passwd::userdb(request, template),
            UserdbDriver::PasswdFile { file, username_format } => file.userdb(request, username_format),
            UserdbDriver::Prefetch { is_only } => statics::prefetch(request, *is_only),
            UserdbDriver::Sql(sql) => sql.userdb(request),
            UserdbDriver::Static { template, .. } => statics::userdb(request, template),
        }
    }

    /// Whether its users can be listed.
    pub(crate) fn can_list(&self) -> bool {
        !matches!(
            self.driver,
            UserdbDriver::Checkpassword(_) | UserdbDriver::Prefetch { .. } | UserdbDriver::Static { .. }
        )
    }

    /// Calls `each` with every user; `false` if not all could be found.
    pub(crate) fn list(&self, request: &mut Request, each: &mut dyn FnMut(&str)) -> bool {
        match &self.driver {
            UserdbDriver::Dict(dict) => dict.list(request, each),
            UserdbDriver::Ldap(ldap) => ldap.list(request, each),
            UserdbDriver::Lua(Some(script)) => script.list(request, each),
            UserdbDriver::Lua(None) => false,
            UserdbDriver::Passwd(_) => passwd::list(request, each),
            UserdbDriver::PasswdFile { file, .. } => file.list(request, each),
            UserdbDriver::Sql(sql) => sql.list(request, each),
            UserdbDriver::Checkpassword(_) | UserdbDriver::Prefetch { .. } | UserdbDriver::Static { .. } => {
                true
            }
        }
    }
}

/// Nothing may exclude the name, and if anything includes names, something must include it.
fn username_accepted(filter: &[String], name: &str) -> bool {
    let mut included = None;
    for pattern in filter {
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcard(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => {
                included = Some(included == Some(true) || wildcard(pattern.as_bytes(), name.as_bytes()));
            }
        }
    }
    included != Some(false)
}

/// `*` is any text, `?` any byte.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((star_at, star_from)) => {
                    *star_from += 1;
                    at = *star_at + 1;
                    from = *star_from;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn username_filters() {
        for (filter, name, expect) in [
            ("*@x.org", "a@x.org", true),
            ("*@x.org", "a@y.org", false),
            ("!*@x.org", "a@y.org", true),
            ("!*@x.org", "a@x.org", false),
            ("*@x.org !root*", "root@x.org", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXbYbZc", true),
        ] {
            assert_eq!(username_accepted(&list(filter), name), expect, "{filter} {name}");
        }
    }
}
