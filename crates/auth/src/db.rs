//! The databases of one protocol's settings. A driver's lookup is synchronous; what may block is
//! done in a worker, which calls the same drivers.

mod passwd;
mod passwd_file;
mod sql;
mod statics;
mod verify;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use db::sql::SqlConfig;
use ipc::auth_worker::{PassdbResult, UserdbResult};

use crate::cache;
use crate::config::{Config, DbConfig, Skip};
use crate::request::{Label, Request, Scope};
use crate::template::Template;

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
    Passwd,
    PasswdFile { file: Rc<PasswdFile>, username_format: String },
    Sql(Rc<Sql>),
    Static(statics::StaticPassdb),
}

enum UserdbDriver {
    Passwd(Template),
    PasswdFile { file: Rc<PasswdFile>, username_format: String },
    Prefetch { is_only: bool },
    Sql(Rc<Sql>),
    Static { template: Template, allow_all_users: bool },
}

/// Files and connections that several databases share, and what has been read of them while there
/// were rights to.
pub(crate) struct Sources {
    sql_configs: HashMap<String, SqlConfig>,
    passwd_files: HashMap<String, Rc<PasswdFile>>,
    sqls: HashMap<String, Rc<Sql>>,
    scope: Scope,
    /// Databases are really connected to.
    is_worker: bool,
}

impl Sources {
    pub(crate) fn new(sql_configs: HashMap<String, SqlConfig>, scope: Scope, is_worker: bool) -> Self {
        Self { sql_configs, passwd_files: HashMap::new(), sqls: HashMap::new(), scope, is_worker }
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
        let config = match self.sql_configs.get(path) {
            _ if path.is_empty() => return Err("sql: Configuration file path not given".into()),
            Some(config) => config.clone(),
            None => return Err(format!("sql {path}: configuration was not read")),
        };
        let sql = Rc::new(Sql::new(config, self.is_worker.then(|| self.scope.log.clone())));
        self.sqls.insert(path.to_owned(), sql.clone());
        Ok(sql)
    }

    /// Reads the passwd-files whose paths are known.
    pub(crate) fn load(&self) {
        self.passwd_files.values().for_each(|file| file.load());
    }
}

/// Reads the files of `sql` databases, which only root may be able to.
///
/// # Errors
/// In 2.3's words.
pub(crate) fn read_sql_configs(
    configs: &[(Option<String>, Config)],
) -> Result<HashMap<String, SqlConfig>, String> {
    let mut read = HashMap::new();
    let all = configs.iter().flat_map(|(_, config)| config.passdbs.iter().chain(&config.userdbs));
    for db in all.filter(|db| db.driver == "sql" && !db.args.is_empty()) {
        if !read.contains_key(&db.args) {
            let config = SqlConfig::read(&settings::StdFiles, &db.args)
                .map_err(|error| base::chain(&error).to_string())?;
            read.insert(db.args.clone(), config);
        }
    }
    Ok(read)
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
        Ok(databases)
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
    Label { name: name.as_str().into(), verbose: config.verbose, has_next: false }
}

fn list(text: &str) -> Vec<String> {
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn unsupported(kind: &str, driver: &str) -> String {
    const KNOWN: [&str; 12] = [
        "bsdauth",
        "checkpassword",
        "dict",
        "imap",
        "ldap",
        "lua",
        "oauth2",
        "pam",
        "shadow",
        "nss",
        "vpopmail",
        "sia",
    ];
    match KNOWN.contains(&driver) {
        true => format!("Support not compiled in for {kind} driver '{driver}'"),
        false => format!("Unknown {kind} driver '{driver}'"),
    }
}

impl Passdb {
    fn new(id: usize, config: &DbConfig, sources: &mut Sources) -> Result<Self, String> {
        let mut is_blocking = false;
        let mut default_scheme = "PLAIN".to_owned();
        let mut cache_key = None;
        let driver = match config.driver.as_str() {
            "passwd" => {
                match config.args.as_str() {
                    "" => is_blocking = true,
                    "blocking=no" => {}
                    other => return Err(format!("passdb passwd: Unknown setting: {other}")),
                }
                default_scheme = "CRYPT".into();
                cache_key = Some("%u".to_owned());
                PassdbDriver::Passwd
            }
            "passwd-file" => {
                let args = passwd_file::Args::parse("passdb", &config.args)?;
                default_scheme = args.scheme.unwrap_or_else(|| "CRYPT".into());
                PassdbDriver::PasswdFile {
                    file: sources.passwd_file(&args.path),
                    username_format: args.username_format,
                }
            }
            "sql" => {
                is_blocking = true;
                let sql = sources.sql(&config.args)?;
                default_scheme = sql.config.default_pass_scheme.clone();
                cache_key = Some(cache::key_of(sql.config.password_query.template.text()));
                PassdbDriver::Sql(sql)
            }
            "static" => PassdbDriver::Static(statics::StaticPassdb::parse(&config.args)?),
            other => return Err(unsupported("passdb", other)),
        };
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

    /// Looks the user up: sets fields and the stored password.
    pub(crate) fn lookup(&self, request: &mut Request) -> PassdbResult {
        match &self.driver {
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
            UserdbDriver::Passwd(template) => passwd::userdb(request, template),
            UserdbDriver::PasswdFile { file, username_format } => file.userdb(request, username_format),
            UserdbDriver::Prefetch { is_only } => statics::prefetch(request, *is_only),
            UserdbDriver::Sql(sql) => sql.userdb(request),
            UserdbDriver::Static { template, .. } => statics::userdb(request, template),
        }
    }

    /// Whether its users can be listed.
    pub(crate) fn can_list(&self) -> bool {
        !matches!(self.driver, UserdbDriver::Prefetch { .. } | UserdbDriver::Static { .. })
    }

    /// Calls `each` with every user; `false` if not all could be found.
    pub(crate) fn list(&self, request: &Request, each: &mut dyn FnMut(&str)) -> bool {
        match &self.driver {
            UserdbDriver::Passwd(_) => passwd::list(request, each),
            UserdbDriver::PasswdFile { file, .. } => file.list(request, each),
            UserdbDriver::Sql(sql) => sql.list(request, each),
            UserdbDriver::Prefetch { .. } | UserdbDriver::Static { .. } => true,
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
