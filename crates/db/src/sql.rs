//! SQL databases as `dovecot-sql.conf.ext` describes them.

mod answer;
mod config;
mod mysql;
mod pgsql;
mod pool;
mod sqlite;
mod template;

pub use config::{Query, SqlConfig, SqlConfigError};
pub use pool::Database;
pub(crate) use pool::{check_connect, converse};
pub use template::{QueryTemplate, Statement, TemplateError};

/// The servers and files that can be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Pgsql,
    /// SQLite 3.
    Sqlite,
}

impl Driver {
    /// The driver of that name in the configuration.
    pub fn find(name: &str) -> Option<Self> {
        match name {
            "mysql" => Some(Self::Mysql),
            "pgsql" => Some(Self::Pgsql),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Pgsql => "pgsql",
            Self::Sqlite => "sqlite",
        }
    }
}

/// What a query gave. Values are text whatever the column's type is; `None` is NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, each as long as [`Rows::columns`].
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows the statement changed, added or removed; 0 for one that only reads.
    pub affected: u64,
}

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, which the database turns into what it needs.
    Text(String),
    /// A number, for sums that text would make inexact (MySQL).
    Int(i64),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Rows {
    /// Names and values of one row.
    pub fn fields(&self, row: usize) -> impl Iterator<Item = (&str, Option<&str>)> {
        let values = self.rows.get(row).map(Vec::as_slice).unwrap_or_default();
        self.columns.iter().map(String::as_str).zip(values.iter().map(Option::as_deref))
    }

    /// The number of the column `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }
}

/// Why a database gave no answer. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// Nobody is there, or the connection broke. Another try, or another host, may help.
    #[error("{0}")]
    Connection(String),
    /// The database does not like the query.
    #[error("{0}")]
    Query(String),
    /// The connection broke while a transaction was being committed: nobody knows whether it was.
    #[error("{0}")]
    Uncertain(String),
    /// No host can be connected to right now.
    #[error("Not connected to database")]
    NotConnected,
}

/// One connection to one host.
trait Connection: Send {
    /// Whether another query can be sent over it.
    fn is_open(&self) -> bool {
        true
    }

    /// Runs a query to its end; at most `rows_max` rows are kept.
    fn query(&mut self, statement: &Statement, rows_max: usize) -> Result<Rows, SqlError>;
}
