//! The keys of `dovecot-sql.conf.ext`.

use std::path::Path;

use settings::Files;

use crate::items::{Items, Keys};

use super::{Driver, QueryTemplate, TemplateError};

/// Why a file describes no database, in 2.3's words.
#[derive(Debug, thiserror::Error)]
pub enum SqlConfigError {
    /// The file cannot be read, or a line is no setting that there is.
    #[error("sql {0}")]
    File(String, #[source] Box<settings::Diagnostic>),
    /// No `driver`.
    #[error("sql: driver not set in configuration file {0}")]
    NoDriver(String),
    /// A driver that is not built in.
    #[error("sql: Unknown database driver '{0}'")]
    UnknownDriver(String),
    /// No `connect`.
    #[error("sql: connect string not set in configuration file {0}")]
    NoConnect(String),
    /// A connect string that makes no sense.
    #[error("sql: {0}: {1}")]
    Connect(&'static str, String),
    /// A query that cannot be taken apart.
    #[error("sql {path}: {key}")]
    Template {
        /// The file.
        path: String,
        /// Which query.
        key: &'static str,
        /// What is wrong.
        #[source]
        source: TemplateError,
    },
}

/// A query and whether it is 2.3's built-in one.
#[derive(Debug, Clone)]
pub struct Query {
    /// What to run.
    pub template: QueryTemplate,
    /// Whether the file left it out.
    pub is_default: bool,
}

/// What the file says.
#[derive(Debug, Clone)]
pub struct SqlConfig {
    /// The file, for messages.
    pub path: String,
    /// `driver`
    pub driver: Driver,
    /// `connect`
    pub connect: String,
    /// `default_pass_scheme`
    pub default_pass_scheme: String,
    /// `password_query`
    pub password_query: Query,
    /// `user_query`
    pub user_query: Query,
    /// `iterate_query`
    pub iterate_query: Query,
    /// `update_query`
    pub update_query: Query,
    /// `userdb_warning_disable`
    pub userdb_warning_disable: bool,
}

const PASSWORD_QUERY: &str =
    "SELECT username, domain, password FROM users WHERE username = '%n' AND domain = '%d'";
const USER_QUERY: &str = "SELECT home, uid, gid FROM users WHERE username = '%n' AND domain = '%d'";
const UPDATE_QUERY: &str = "UPDATE users SET password = '%w' WHERE username = '%n' AND domain = '%d'";
const ITERATE_QUERY: &str = "SELECT username, domain FROM users";

const KEYS: Keys = Keys {
    texts: &[
        "driver",
        "connect",
        "password_query",
        "user_query",
        "update_query",
        "iterate_query",
        "default_pass_scheme",
    ],
    switches: &["userdb_warning_disable"],
    numbers: &[],
};

impl SqlConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// The file is unreadable, or does not say how to connect.
    pub fn read(files: &dyn Files, path: &str) -> Result<Self, SqlConfigError> {
        let items = settings::ext::parse(files, Path::new(path), &|key, value| KEYS.check(key, value))
            .map_err(|source| SqlConfigError::File(path.to_owned(), Box::new(source)))?;
        Self::from_items(path, &items)
    }

    fn from_items(path: &str, items: &[(String, String)]) -> Result<Self, SqlConfigError> {
        let items = Items::new(items);
        let driver = items.value("driver").ok_or_else(|| SqlConfigError::NoDriver(path.to_owned()))?;
        let driver = Driver::find(driver).ok_or_else(|| SqlConfigError::UnknownDriver(driver.to_owned()))?;
        let query = |key: &'static str, default: &str| {
            let text = items.value(key);
            let template = QueryTemplate::parse(text.unwrap_or(default), driver)
                .map_err(|source| SqlConfigError::Template { path: path.to_owned(), key, source })?;
            Ok(Query { template, is_default: text.is_none_or(|text| text == default) })
        };
        let connect = items.value("connect").ok_or_else(|| SqlConfigError::NoConnect(path.to_owned()))?;
        super::pool::check_connect(driver, connect)
            .map_err(|text| SqlConfigError::Connect(driver.name(), text))?;
        Ok(Self {
            path: path.to_owned(),
            driver,
            connect: connect.to_owned(),
            default_pass_scheme: items.value("default_pass_scheme").unwrap_or("MD5").to_owned(),
            password_query: query("password_query", PASSWORD_QUERY)?,
            user_query: query("user_query", USER_QUERY)?,
            iterate_query: query("iterate_query", ITERATE_QUERY)?,
            update_query: query("update_query", UPDATE_QUERY)?,
            userdb_warning_disable: items.is("userdb_warning_disable"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: &[(&str, &str)], expect: Result<Driver, &str>) {
        let items = items.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let items: Vec<(String, String)> = items.collect();
        let result = SqlConfig::from_items("/x", &items).map(|config| config.driver);
        assert_eq!(result.map_err(|error| error.to_string()), expect.map_err(str::to_owned));
    }

    #[test]
    fn mistakes() {
        check(&[("driver", "sqlite"), ("connect", "/db")], Ok(Driver::Sqlite));
        check(&[("driver", "mysql"), ("connect", "host=a host=b user=c")], Ok(Driver::Mysql));
        check(&[("connect", "/db")], Err("sql: driver not set in configuration file /x"));
        check(&[("driver", "oracle")], Err("sql: Unknown database driver 'oracle'"));
        check(&[("driver", "sqlite")], Err("sql: connect string not set in configuration file /x"));
        check(
            &[("driver", "mysql"), ("connect", "user=x")],
            Err("sql: mysql: No hosts given in connect string"),
        );
    }
}
