//! MySQL and MariaDB over TCP or a unix socket.

mod login;
mod result;
mod wire;

use std::path::Path;
use std::time::{Duration, Instant};

use self::login::Login;
use self::result::{Format, Prepared};
use self::wire::{Failure, Wire, command};
use super::answer::Answer;
use super::{Connection, Rows, SqlError, Statement};
use crate::limits::{CONNECT_TIMEOUT, MYSQL_STATEMENTS_MAX, READ_TIMEOUT};
use crate::stream::{self, Stream};
use crate::tls::{TlsOptions, Verify};

/// How long saying goodbye may take.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// What the connect string says, apart from the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    user: Option<String>,
    password: Option<String>,
    dbname: Option<String>,
    port: u16,
    connect_timeout: Duration,
    read_timeout: Duration,
    tls: Option<TlsOptions>,
}

impl Target {
    /// Parses `host=a host=b dbname=mails user=x password=y …`; gives the hosts too.
    pub(super) fn parse(connect: &str) -> Result<(Self, Vec<String>), String> {
        let mut hosts = Vec::new();
        let mut target = Self {
            user: None,
            password: None,
            dbname: None,
            port: 3306,
            connect_timeout: CONNECT_TIMEOUT,
            read_timeout: READ_TIMEOUT,
            tls: None,
        };
        let mut tls = TlsOptions::default();
        for word in connect.split(' ').filter(|word| !word.is_empty()) {
            let (key, value) =
                word.split_once('=').ok_or_else(|| format!("Missing value in connect string: {word}"))?;
            match key {
                "host" | "hostaddr" => hosts.push(value.to_owned()),
                _ if key.starts_with("ssl_") => set_tls(&mut tls, key, value)?,
                _ => target.set(key, value)?,
            }
        }
        // As 2.3 has it: authorities are what turns TLS on.
        let has_authorities = tls.ca_file.is_some() || tls.ca_dir.is_some();
        if !has_authorities && (tls.cert_file.is_some() || tls.key_file.is_some()) {
            return Err("ssl_cert and ssl_key need ssl_ca or ssl_ca_path".into());
        }
        target.tls = has_authorities.then_some(tls);
        if hosts.is_empty() {
            return Err("No hosts given in connect string".into());
        }
        Ok((target, hosts))
    }

    fn reach(&self, host: &str) -> Result<Mysql, Failure> {
        let deadline = Instant::now() + self.read_timeout;
        if host.starts_with('/') {
            let stream = stream::connect_unix(Path::new(host), deadline)?;
            return Mysql::log_in_over(self, host, stream, true);
        }
        let stream = stream::connect(host, self.port, self.connect_timeout, deadline)?;
        Mysql::log_in_over(self, host, stream, false)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let seconds = |default| match value.parse() {
            // For the C library 0 is no limit, which no login can wait for.
            Ok(0) => Ok(default),
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => Err(format!("Invalid {key}: {value}")),
        };
        match key {
            "user" => self.user = Some(value.to_owned()),
            "password" => self.password = Some(value.to_owned()),
            "dbname" => self.dbname = Some(value.to_owned()),
            "port" => self.port = value.parse().map_err(|_| format!("Invalid port number: {value}"))?,
            "connect_timeout" => self.connect_timeout = seconds(CONNECT_TIMEOUT)?,
            "read_timeout" => self.read_timeout = seconds(READ_TIMEOUT)?,
            // Sending is part of what an answer may take.
            "write_timeout" => drop(seconds(READ_TIMEOUT)?),
            // One connection per process is all there is, so any maximum holds.
            "maxconns" => {
                value.parse::<u32>().map_err(|_| format!("Invalid value for maxconns: {value}"))?;
            }
            "client_flags" | "option_file" | "option_group" => {
                return Err(format!("{key} is an option of the C library and not supported"));
            }
            _ => return Err(format!("Unknown connect string: {key}")),
        }
        Ok(())
    }
}

fn set_tls(tls: &mut TlsOptions, key: &str, value: &str) -> Result<(), String> {
    let file = Some(value.to_owned()).filter(|file| !file.is_empty());
    match (key, value) {
        ("ssl_ca", _) => tls.ca_file = file,
        ("ssl_ca_path", _) => tls.ca_dir = file,
        ("ssl_cert", _) => tls.cert_file = file,
        ("ssl_key", _) => tls.key_file = file,
        ("ssl_verify_server_cert", "yes") => tls.verify = Verify::Full,
        ("ssl_verify_server_cert", "no") => tls.verify = Verify::Chain,
        ("ssl_verify_server_cert", _) => return Err(format!("Invalid boolean: {value}")),
        ("ssl_cipher", _) => return Err("ssl_cipher is an option of OpenSSL and not supported".into()),
        _ => return Err(format!("Unknown connect string: {key}")),
    }
    Ok(())
}

/// A connection.
pub(super) struct Mysql {
    wire: Wire,
    /// Statements that the server has a plan for, the oldest first.
    statements: Vec<(String, Prepared)>,
    read_timeout: Duration,
    is_open: bool,
}

impl Mysql {
    pub(super) fn connect(target: &Target, host: &str) -> Result<Self, SqlError> {
        target.reach(host).map_err(|error| {
            let database = target.dbname.as_deref().unwrap_or_default();
            SqlError::Connection(format!("Connect failed to database ({database}): {error}"))
        })
    }

    /// Logs in over a connection that is there already. `is_private` says that nobody can listen.
    pub(super) fn log_in_over(
        target: &Target,
        host: &str,
        stream: impl Stream + 'static,
        is_private: bool,
    ) -> Result<Self, Failure> {
        let login = Login {
            user: target.user.as_deref().unwrap_or_default(),
            password: target.password.as_deref().unwrap_or_default(),
            database: target.dbname.as_deref().unwrap_or_default(),
            tls: target.tls.as_ref().filter(|_| !is_private).map(|tls| (host, tls)),
            is_private,
        };
        let wire = login.run(Wire::new(Box::new(stream)))?;
        Ok(Self { wire, statements: Vec::new(), read_timeout: target.read_timeout, is_open: true })
    }

    fn run(&mut self, statement: &Statement, rows_max: usize) -> Result<Rows, Failure> {
        let mut answer = Answer::new(rows_max, self.read_timeout, self.wire.stream());
        if statement.parameters.is_empty() {
            self.wire.command(command::QUERY, statement.sql.as_bytes())?;
            self.is_open = result::read(&mut self.wire, &mut answer, Format::Text)?;
            return Ok(answer.rows);
        }
        let prepared = self.prepare(&statement.sql)?;
        if usize::from(prepared.parameters) != statement.parameters.len() {
            let (has, expected) = (statement.parameters.len(), prepared.parameters);
            return Err(Failure::Server(format!("The query has {expected} parameters, but {has} values")));
        }
        self.wire.command(command::EXECUTE, &prepared.execution(&statement.parameters))?;
        match result::read(&mut self.wire, &mut answer, Format::Binary) {
            Ok(is_open) => self.is_open = is_open,
            Err(failure) => {
                // The plan may be what is wrong with it.
                self.forget(&statement.sql)?;
                return Err(failure);
            }
        }
        Ok(answer.rows)
    }

    fn prepare(&mut self, sql: &str) -> Result<Prepared, Failure> {
        if let Some((_, prepared)) = self.statements.iter().find(|(known, _)| known == sql) {
            return Ok(*prepared);
        }
        if self.statements.len() >= MYSQL_STATEMENTS_MAX {
            let oldest = self.statements.first().map(|(sql, _)| sql.clone()).unwrap_or_default();
            self.forget(&oldest)?;
        }
        self.wire.command(command::PREPARE, sql.as_bytes())?;
        let prepared = Prepared::read(&mut self.wire)?;
        self.statements.push((sql.to_owned(), prepared));
        Ok(prepared)
    }

    fn forget(&mut self, sql: &str) -> Result<(), Failure> {
        if let Some(at) = self.statements.iter().position(|(known, _)| known == sql) {
            let (_, prepared) = self.statements.remove(at);
            // This has no answer.
            self.wire.command(command::CLOSE, &prepared.id.to_le_bytes())?;
        }
        Ok(())
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        // Otherwise the server counts and logs an aborted connection; nothing is lost if it does.
        self.wire.stream().set_deadline(Instant::now() + QUIT_TIMEOUT);
        let _ = self.wire.command(command::QUIT, b"");
    }
}

impl Connection for Mysql {
    fn is_open(&self) -> bool {
        self.is_open
    }

    fn query(&mut self, statement: &Statement, rows_max: usize) -> Result<Rows, SqlError> {
        self.run(statement, rows_max).map_err(|failure| match failure {
            Failure::Server(text) => SqlError::Query(text),
            Failure::Io(text) => SqlError::Connection(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(connect: &str, expect: Result<&[&str], &str>) {
        let hosts = Target::parse(connect).map(|(_, hosts)| hosts);
        let expect = expect.map(|hosts| hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>());
        assert_eq!(hosts, expect.map_err(str::to_owned), "{connect}");
    }

    #[test]
    fn connect_strings() {
        check("host=localhost dbname=mails user=a password=b", Ok(&["localhost"]));
        check(
            "host=/run/mysqld/mysqld.sock  host=db2 port=3307 connect_timeout=1",
            Ok(&["/run/mysqld/mysqld.sock", "db2"]),
        );
        check("dbname=x", Err("No hosts given in connect string"));
        check("host", Err("Missing value in connect string: host"));
        check("host=a port=x", Err("Invalid port number: x"));
        check("host=a colour=red", Err("Unknown connect string: colour"));
        check("host=a ssl_ca=/x ssl_cert=/y ssl_key=/z ssl_verify_server_cert=no", Ok(&["a"]));
        check("host=a ssl_cert=/y", Err("ssl_cert and ssl_key need ssl_ca or ssl_ca_path"));
        check("host=a ssl_verify_server_cert=maybe", Err("Invalid boolean: maybe"));
        check("host=a ssl_cipher=HIGH", Err("ssl_cipher is an option of OpenSSL and not supported"));
    }
}
