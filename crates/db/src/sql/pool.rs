//! A database behind one or several hosts: connected when first needed, connected anew when the
//! connection broke, and from another host when the first is gone.

use std::time::{Duration, Instant};

use base::Logger;

use super::mysql::{self, Mysql};
use super::pgsql::{self, Pgsql};
use super::sqlite::Sqlite;
use super::{Connection, Driver, Rows, SqlConfig, SqlError, Statement};
use crate::limits::{RETRY_DELAY_MAX, RETRY_DELAY_MIN};
use crate::stream::Said;

/// A database as one process uses it.
pub struct Database {
    driver: Driver,
    target: Target,
    hosts: Vec<Host>,
    connected: Option<(usize, Box<dyn Connection>)>,
    log: Logger,
}

/// Where to connect to, apart from the host.
enum Target {
    Mysql(mysql::Target),
    Pgsql(pgsql::Target),
    Sqlite,
}

impl Target {
    fn parse(driver: Driver, connect: &str) -> Result<(Self, Vec<String>), String> {
        match driver {
            Driver::Mysql => {
                mysql::Target::parse(connect).map(|(target, hosts)| (Self::Mysql(target), hosts))
            }
            Driver::Pgsql => {
                pgsql::Target::parse(connect).map(|(target, hosts)| (Self::Pgsql(target), hosts))
            }
            Driver::Sqlite if connect.is_empty() => Err("No file given in connect string".into()),
            Driver::Sqlite => Ok((Self::Sqlite, vec![connect.to_owned()])),
        }
    }

    fn connect(&self, host: &str) -> Result<Box<dyn Connection>, SqlError> {
        Ok(match self {
            Self::Mysql(target) => Box::new(Mysql::connect(target, host)?),
            Self::Pgsql(target) => Box::new(Pgsql::connect(target, host)?),
            Self::Sqlite => Box::new(Sqlite::open(host)?),
        })
    }
}

/// What a server that says `said` whatever it hears makes of a login and some queries: the answers, up to the
/// first that breaks the connection, and what the server heard. `is_private` is a connection without TLS to
/// which nobody can listen.
pub(crate) fn converse(
    config: &SqlConfig,
    said: &[u8],
    is_private: bool,
    statements: &[(Statement, usize)],
) -> (Vec<Result<Rows, SqlError>>, Vec<u8>) {
    let said = Said::new(said);
    let heard = said.heard.clone();
    let connection: Result<Box<dyn Connection>, SqlError> =
        match Target::parse(config.driver, &config.connect) {
            Ok((Target::Mysql(target), _)) => Mysql::log_in_over(&target, "localhost", said, is_private)
                .map(|connection| Box::new(connection) as _)
                .map_err(|failure| SqlError::Connection(failure.to_string())),
            Ok((Target::Pgsql(target), _)) => {
                Pgsql::log_in_over(&target, "localhost", said).map(|connection| Box::new(connection) as _)
            }
            _ => Err(SqlError::NotConnected),
        };
    let mut answers = Vec::new();
    match connection {
        Err(error) => answers.push(Err(error)),
        Ok(mut connection) => {
            for (statement, rows_max) in statements {
                let answer = connection.query(statement, *rows_max);
                let is_over = matches!(answer, Err(SqlError::Connection(_))) || !connection.is_open();
                answers.push(answer);
                if is_over {
                    break;
                }
            }
        }
    }
    let heard = heard.lock().map(|heard| heard.clone()).unwrap_or_default();
    (answers, heard)
}

struct Host {
    name: String,
    retry_at: Option<Instant>,
    retry_delay: Duration,
}

/// Whether a connect string makes sense, without connecting.
pub(crate) fn check_connect(driver: Driver, connect: &str) -> Result<(), String> {
    Target::parse(driver, connect).map(drop)
}

impl Database {
    /// Does not connect yet. Failed connections go to `log`.
    pub fn new(config: &SqlConfig, log: Logger) -> Self {
        Self::behind(config.driver, &config.connect, log)
    }

    /// The same for a connect string that was checked already.
    pub(crate) fn behind(driver: Driver, connect: &str, log: Logger) -> Self {
        let (target, names) = Target::parse(driver, connect).unwrap_or((Target::Sqlite, Vec::new()));
        let host = |name| Host { name, retry_at: None, retry_delay: RETRY_DELAY_MIN };
        Self { driver, target, hosts: names.into_iter().map(host).collect(), connected: None, log }
    }

    /// Runs a query and keeps at most `rows_max` rows. A connection that turns out to be broken is
    /// replaced, and the query tried again once on each host.
    ///
    /// # Errors
    /// The database refuses the query, or cannot be reached.
    pub fn query(&mut self, statement: &Statement, rows_max: usize) -> Result<Rows, SqlError> {
        let mut error = SqlError::NotConnected;
        for attempt in 0..=self.hosts.len() {
            let Some((at, connection)) = self.connection() else { return Err(error) };
            match connection.query(statement, rows_max) {
                Err(SqlError::Connection(text)) => {
                    self.connected = None;
                    if attempt < self.hosts.len() {
                        let name = &self.hosts[at].name;
                        let driver = self.driver.name();
                        self.log.warning(format_args!("{driver}({name}): Query failed, retrying: {text}"));
                    }
                    error = SqlError::Connection(text);
                }
                done => return done,
            }
        }
        Err(error)
    }

    /// Runs statements that change something, all or none; gives how many rows each has changed. Nothing
    /// is done twice: only beginning is tried again, on each host.
    ///
    /// # Errors
    /// As [`Database::query`]; and [`SqlError::Uncertain`] if nobody knows whether it was committed.
    pub fn transaction(&mut self, statements: &[Statement]) -> Result<Vec<u64>, SqlError> {
        self.query(&Statement::plain("BEGIN"), 0)?;
        let done = self.commit(statements);
        if done.is_err()
            && let Some((_, connection)) = &mut self.connected
            && connection.query(&Statement::plain("ROLLBACK"), 0).is_err()
        {
            // The database rolls back what is not committed.
            self.connected = None;
        }
        done
    }

    fn commit(&mut self, statements: &[Statement]) -> Result<Vec<u64>, SqlError> {
        let Some((_, connection)) = &mut self.connected else { return Err(SqlError::NotConnected) };
        let changed = statements.iter().map(|statement| Ok(connection.query(statement, 0)?.affected));
        let changed = changed.collect::<Result<_, _>>()?;
        match connection.query(&Statement::plain("COMMIT"), 0) {
            Ok(_) => Ok(changed),
            Err(SqlError::Connection(text)) => Err(SqlError::Uncertain(text)),
            Err(error) => Err(error),
        }
    }

    fn connection(&mut self) -> Option<(usize, &mut Box<dyn Connection>)> {
        if self.connected.as_ref().is_some_and(|(_, connection)| !connection.is_open()) {
            self.connected = None;
        }
        if self.connected.is_none() {
            self.connected = (0..self.hosts.len()).find_map(|at| Some((at, self.connect(at)?)));
        }
        self.connected.as_mut().map(|(at, connection)| (*at, connection))
    }

    fn connect(&mut self, at: usize) -> Option<Box<dyn Connection>> {
        let host = self.hosts.get_mut(at)?;
        if host.retry_at.is_some_and(|retry_at| Instant::now() < retry_at) {
            return None;
        }
        match self.target.connect(&host.name) {
            Ok(connection) => {
                host.retry_at = None;
                host.retry_delay = RETRY_DELAY_MIN;
                self.log.debug(format_args!("{}({}): Connected", self.driver.name(), host.name));
                Some(connection)
            }
            Err(error) => {
                let seconds = host.retry_delay.as_secs();
                let (driver, name) = (self.driver.name(), &host.name);
                self.log.error(match self.driver {
                    Driver::Mysql | Driver::Pgsql => {
                        format!("{driver}({name}): {error} - waiting for {seconds} seconds before retry")
                    }
                    Driver::Sqlite => format!("{driver}: {error}"),
                });
                host.retry_at = Some(Instant::now() + host.retry_delay);
                host.retry_delay = (host.retry_delay * 2).min(RETRY_DELAY_MAX);
                None
            }
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("driver", &self.driver).finish_non_exhaustive()
    }
}
