//! MySQL and MariaDB over TCP or a unix socket.

use std::time::Duration;

use mysql::consts::ColumnType;
use mysql::prelude::Queryable;
use mysql::{OptsBuilder, Params, Value};

use super::mysql_tls::{Server, Tunnel};
use super::{Connection, Rows, SqlError, Statement, Value as Parameter};
use crate::limits::{CONNECT_TIMEOUT, READ_TIMEOUT, WRITE_TIMEOUT};
use crate::tls::{TlsOptions, Verify};

/// What the connect string says, apart from the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    user: Option<String>,
    password: Option<String>,
    dbname: Option<String>,
    port: u16,
    connect_timeout: Duration,
    read_timeout: Duration,
    write_timeout: Duration,
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
            write_timeout: WRITE_TIMEOUT,
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

    fn server<'s>(&self, host: &'s str) -> Server<'s> {
        Server {
            host,
            port: self.port,
            connect_timeout: self.connect_timeout,
            read_timeout: self.read_timeout,
            write_timeout: self.write_timeout,
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let seconds =
            || value.parse().map(Duration::from_secs).map_err(|_| format!("Invalid {key}: {value}"));
        match key {
            "user" => self.user = Some(value.to_owned()),
            "password" => self.password = Some(value.to_owned()),
            "dbname" => self.dbname = Some(value.to_owned()),
            "port" => self.port = value.parse().map_err(|_| format!("Invalid port number: {value}"))?,
            "connect_timeout" => self.connect_timeout = seconds()?,
            "read_timeout" => self.read_timeout = seconds()?,
            "write_timeout" => self.write_timeout = seconds()?,
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

pub(super) struct Mysql(mysql::Conn);

impl Mysql {
    pub(super) fn connect(target: &Target, host: &str) -> Result<Self, SqlError> {
        let mut options = OptsBuilder::new()
            .user(target.user.as_deref())
            .pass(target.password.as_deref())
            .db_name(target.dbname.as_deref())
            .prefer_socket(false)
            .tcp_connect_timeout(Some(target.connect_timeout))
            .read_timeout(Some(target.read_timeout))
            .write_timeout(Some(target.write_timeout));
        let database = target.dbname.as_deref().unwrap_or_default();
        let failed = |reason: String| {
            SqlError::Connection(format!("Connect failed to database ({database}): {reason}"))
        };
        let mut tunnel = None;
        options = match &target.tls {
            _ if host.starts_with('/') => options.socket(Some(host)),
            None => options.ip_or_hostname(Some(host)).tcp_port(target.port),
            Some(tls) => {
                let opened = Tunnel::open(&target.server(host), tls);
                let opened = tunnel.insert(opened.map_err(|error| failed(base::reason(&error)))?);
                options.socket(Some(opened.socket().display().to_string()))
            }
        };
        mysql::Conn::new(options).map(Self).map_err(|error| {
            let reason = match &error {
                mysql::Error::MySqlError(_) => None,
                _ => tunnel.as_ref().and_then(Tunnel::failure),
            };
            failed(reason.unwrap_or_else(|| describe(&error)))
        })
    }
}

impl Connection for Mysql {
    fn query(&mut self, statement: &Statement, rows_max: usize) -> Result<Rows, SqlError> {
        if rows_max == 0 && statement.parameters.is_empty() {
            // `BEGIN` is none of the statements that every server prepares.
            self.0.query_drop(&statement.sql).map_err(failure)?;
            return Ok(Rows { affected: self.0.affected_rows(), ..Rows::default() });
        }
        let parameters = match statement.parameters.as_slice() {
            [] => Params::Empty,
            list => Params::Positional(list.iter().map(parameter).collect()),
        };
        let mut result = self.0.exec_iter(&statement.sql, parameters).map_err(failure)?;
        let described = result.columns();
        let kinds: Vec<ColumnType> = described.as_ref().iter().map(|column| column.column_type()).collect();
        let columns = described.as_ref().iter().map(|column| column.name_str().into_owned()).collect();
        let affected = result.affected_rows();
        let mut rows = Vec::new();
        // The result must be read to its end; what is beyond the limit is dropped.
        for row in result.by_ref() {
            let row = row.map_err(failure)?;
            if rows.len() < rows_max {
                rows.push(
                    row.unwrap().into_iter().zip(&kinds).map(|(value, kind)| text(value, *kind)).collect(),
                );
            }
        }
        Ok(Rows { columns, rows, affected })
    }
}

fn parameter(value: &Parameter) -> Value {
    match value {
        Parameter::Text(text) => Value::from(text),
        Parameter::Int(number) => Value::from(*number),
        Parameter::Bytes(bytes) => Value::from(bytes.as_slice()),
    }
}

fn failure(error: mysql::Error) -> SqlError {
    match &error {
        mysql::Error::MySqlError(_) => SqlError::Query(describe(&error)),
        _ => SqlError::Connection(describe(&error)),
    }
}

/// The server's own words where there are any.
fn describe(error: &mysql::Error) -> String {
    match error {
        mysql::Error::MySqlError(error) => error.message.clone(),
        mysql::Error::IoError(error) => error.to_string(),
        mysql::Error::DriverError(error) => error.to_string(),
        mysql::Error::CodecError(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn text(value: Value, kind: ColumnType) -> Option<String> {
    Some(match value {
        Value::NULL => return None,
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Date(year, month, day, ..) if kind == ColumnType::MYSQL_TYPE_DATE => {
            format!("{year:04}-{month:02}-{day:02}")
        }
        Value::Date(year, month, day, hour, minute, second, _) => {
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
        }
        Value::Time(negative, days, hours, minutes, seconds, _) => {
            let hours = days * 24 + u32::from(hours);
            format!("{}{hours:02}:{minutes:02}:{seconds:02}", if negative { "-" } else { "" })
        }
    })
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
