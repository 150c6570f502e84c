//! PostgreSQL over TCP or a unix socket, in the extended protocol with all values as text, so that
//! the server gives types to parameters and shows values as `psql` does.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{
    AuthenticationSaslBody, DataRowBody, ErrorResponseBody, Header, Message,
};
use postgres_protocol::message::frontend;

use super::answer::Answer;
use super::{Connection, Rows, SqlError, Statement, Value};
use crate::limits::{CONNECT_TIMEOUT, PGSQL_MESSAGE_BYTES_MAX, READ_TIMEOUT};
use crate::stream::{self, Stream};
use crate::tls::{self, TlsOptions, Verify};

/// The type `text`, for parameters to which the server can give no type.
const OID_TEXT: u32 = 25;
/// The error for such parameters.
const INDETERMINATE_DATATYPE: &str = "42P18";
/// Where Debian's server has its socket, which is libpq's default there.
const SOCKET_DIR: &str = "/var/run/postgresql";

/// `sslmode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What the connect string says, apart from the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    user: String,
    password: String,
    dbname: Option<String>,
    port: u16,
    connect_timeout: Duration,
    ssl_mode: SslMode,
    ssl_root_cert: Option<String>,
    ssl_cert: Option<String>,
    ssl_key: Option<String>,
    /// Sent to the server as they are.
    parameters: Vec<(&'static str, String)>,
}

impl Target {
    /// Parses libpq's `host=a host=b dbname=mails user=x password='y z' …`; gives the hosts too.
    pub(super) fn parse(connect: &str) -> Result<(Self, Vec<String>), String> {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        let mut hosts = Vec::new();
        let mut target = Self {
            user: user.map(|user| user.name).unwrap_or_default(),
            password: String::new(),
            dbname: None,
            port: 5432,
            connect_timeout: CONNECT_TIMEOUT,
            ssl_mode: SslMode::Prefer,
            ssl_root_cert: None,
            ssl_cert: None,
            ssl_key: None,
            parameters: Vec::new(),
        };
        for (key, value) in words(connect)? {
            match key.as_str() {
                "host" | "hostaddr" => hosts.extend(value.split(',').map(str::to_owned)),
                key => target.set(key, value)?,
            }
        }
        if hosts.is_empty() {
            hosts.push(SOCKET_DIR.into());
        }
        Ok((target, hosts))
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "user" => self.user = value,
            "password" => self.password = value,
            "dbname" => self.dbname = Some(value),
            "port" => self.port = value.parse().map_err(|_| format!("invalid port number: \"{value}\""))?,
            "connect_timeout" => {
                let seconds: u64 = value
                    .parse()
                    .map_err(|_| format!("invalid integer value \"{value}\" for \"connect_timeout\""))?;
                // For libpq 0 is no limit, which no login can wait for.
                self.connect_timeout =
                    if seconds == 0 { CONNECT_TIMEOUT } else { Duration::from_secs(seconds) };
            }
            "sslmode" => self.ssl_mode = ssl_mode(&value)?,
            "sslrootcert" => self.ssl_root_cert = Some(value),
            "sslcert" => self.ssl_cert = Some(value),
            "sslkey" => self.ssl_key = Some(value),
            "application_name" => self.parameters.push(("application_name", value)),
            "options" => self.parameters.push(("options", value)),
            "client_encoding"
                if value.eq_ignore_ascii_case("utf8") || value.eq_ignore_ascii_case("utf-8") => {}
            "client_encoding" => return Err(format!("client_encoding={value}: only UTF8 is supported")),
            // One connection per process is all there is, so any maximum holds.
            "maxconns" => {
                value.parse::<u32>().map_err(|_| format!("Invalid value for maxconns: {value}"))?;
            }
            "gssencmode" | "channel_binding" if matches!(value.as_str(), "disable" | "prefer") => {}
            // Keep-alive is what the system does without being asked.
            "keepalives" | "keepalives_idle" | "keepalives_interval" | "keepalives_count" => {}
            "gssencmode"
            | "channel_binding"
            | "krbsrvname"
            | "gsslib"
            | "service"
            | "passfile"
            | "requiressl"
            | "sslcrl"
            | "sslcrldir"
            | "sslcompression"
            | "sslpassword"
            | "sslsni"
            | "requirepeer"
            | "ssl_min_protocol_version"
            | "ssl_max_protocol_version"
            | "target_session_attrs"
            | "fallback_application_name"
            | "tcp_user_timeout"
            | "replication" => {
                return Err(format!("connection option \"{key}\" is not supported"));
            }
            _ => return Err(format!("invalid connection option \"{key}\"")),
        }
        Ok(())
    }

    fn tls(&self) -> TlsOptions {
        TlsOptions {
            ca_file: self.ssl_root_cert.clone(),
            cert_file: self.ssl_cert.clone(),
            key_file: self.ssl_key.clone(),
            verify: match self.ssl_mode {
                SslMode::VerifyFull => Verify::Full,
                SslMode::VerifyCa => Verify::Chain,
                // As libpq has it: a file of authorities is there to be used.
                SslMode::Require if self.ssl_root_cert.is_some() => Verify::Chain,
                _ => Verify::Nothing,
            },
            ..TlsOptions::default()
        }
    }

    fn database(&self) -> &str {
        self.dbname.as_deref().unwrap_or(&self.user)
    }
}

fn ssl_mode(value: &str) -> Result<SslMode, String> {
    Ok(match value {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return Err(format!("invalid sslmode value: \"{value}\"")),
    })
}

/// Splits `key=value` words; a value may be in single quotes, and a backslash stands before what is
/// to be taken as it is.
fn words(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(words);
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err(format!("missing \"=\" after \"{key}\" in connection info string"));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some('\'') if quoted => break,
                Some(c) if c.is_whitespace() && !quoted => break,
                Some('\\') => value.extend(chars.next()),
                Some(c) => value.push(c),
                None if quoted => return Err("unterminated quoted string in connection info string".into()),
                None => break,
            }
        }
        words.push((key, value));
    }
}

pub(super) struct Pgsql {
    stream: Box<dyn Stream>,
    input: BytesMut,
    is_open: bool,
}

impl Pgsql {
    fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, input: BytesMut::new(), is_open: true }
    }

    /// Logs in over a connection that is there already.
    pub(super) fn log_in_over(
        target: &Target,
        host: &str,
        stream: impl Stream + 'static,
    ) -> Result<Self, SqlError> {
        let mut pgsql = secure(target, host, stream).map(Self::over).map_err(failed_query)?;
        pgsql.log_in(target).map_err(failed_query)?;
        Ok(pgsql)
    }

    pub(super) fn connect(target: &Target, host: &str) -> Result<Self, SqlError> {
        open(target, host).map_err(|failure| {
            SqlError::Connection(format!("Connect failed to database {}: {failure}", target.database()))
        })
    }

    fn log_in(&mut self, target: &Target) -> Result<(), Failure> {
        let mut parameters = vec![
            ("user", target.user.as_str()),
            ("database", target.database()),
            ("client_encoding", "UTF8"),
        ];
        parameters.extend(target.parameters.iter().map(|(key, value)| (*key, value.as_str())));
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out)?;
        self.send(&out)?;
        loop {
            let mut out = BytesMut::new();
            match self.receive()? {
                Message::AuthenticationCleartextPassword => {
                    frontend::password_message(target.password.as_bytes(), &mut out)?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let (user, password) = (target.user.as_bytes(), target.password.as_bytes());
                    frontend::password_message(md5_hash(user, password, body.salt()).as_bytes(), &mut out)?;
                }
                Message::AuthenticationSasl(body) => self.scram(target, &body)?,
                Message::ErrorResponse(body) => return Err(failure(&body)),
                Message::ReadyForQuery(_) => return Ok(()),
                Message::AuthenticationOk
                | Message::ParameterStatus(_)
                | Message::BackendKeyData(_)
                | Message::NoticeResponse(_) => {}
                _ => {
                    return Err(Failure::Io(
                        "The server asks for an authentication that is not known".into(),
                    ));
                }
            }
            self.send(&out)?;
        }
    }

    fn scram(&mut self, target: &Target, body: &AuthenticationSaslBody) -> Result<(), Failure> {
        if !body.mechanisms().any(|name| Ok(name == SCRAM_SHA_256))? {
            return Err(Failure::Io("The server has no SASL mechanism that is known".into()));
        }
        let mut scram = ScramSha256::new(target.password.as_bytes(), ChannelBinding::unsupported());
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut out)?;
        self.send(&out)?;
        match self.receive()? {
            // It refuses more than 100000 iterations.
            Message::AuthenticationSaslContinue(body) => scram.update(body.data())?,
            Message::ErrorResponse(body) => return Err(failure(&body)),
            _ => return Err(unexpected()),
        }
        out.clear();
        frontend::sasl_response(scram.message(), &mut out)?;
        self.send(&out)?;
        match self.receive()? {
            Message::AuthenticationSaslFinal(body) => Ok(scram.finish(body.data())?),
            Message::ErrorResponse(body) => Err(failure(&body)),
            _ => Err(unexpected()),
        }
    }

    /// Runs a statement; all parameters are of type `text`, or of what the server takes them for.
    fn run(&mut self, statement: &Statement, rows_max: usize, as_text: bool) -> Result<Rows, Failure> {
        let mut answer = Answer::new(rows_max, READ_TIMEOUT, &mut *self.stream);
        let types = statement.parameters.iter().map(|_| if as_text { OID_TEXT } else { 0 });
        let mut out = BytesMut::new();
        frontend::parse("", &statement.sql, types, &mut out)?;
        let value = |value: &Value, out: &mut BytesMut| {
            match value {
                Value::Text(text) => out.extend_from_slice(text.as_bytes()),
                Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Value::Bytes(bytes) => {
                    out.extend_from_slice(b"\\x");
                    bytes.iter().for_each(|byte| out.extend_from_slice(format!("{byte:02x}").as_bytes()));
                }
            }
            Ok(IsNull::No)
        };
        frontend::bind("", "", [0], &statement.parameters, value, [0], &mut out)
            .map_err(|_| Failure::Io("Parameters are too large".into()))?;
        frontend::describe(b'P', "", &mut out)?;
        frontend::execute("", 0, &mut out)?;
        frontend::sync(&mut out);
        self.send(&out)?;
        let mut refused = None;
        // Everything up to the end must be read; what is beyond the limit is dropped.
        loop {
            match self.receive()? {
                Message::RowDescription(body) => {
                    answer.rows.columns = body.fields().map(|field| Ok(field.name().to_owned())).collect()?;
                }
                Message::DataRow(body) => {
                    if !answer.is_full() {
                        let row = values(&body)?;
                        if row.len() != answer.rows.columns.len() {
                            return Err(unexpected());
                        }
                        answer.keep(row, &mut *self.stream).map_err(Failure::Io)?;
                    } else if !answer.pass() {
                        self.is_open = false;
                        break;
                    }
                }
                Message::CommandComplete(body) => answer.rows.affected = affected(body.tag()?),
                Message::ErrorResponse(body) => refused = Some(failure(&body)),
                Message::ReadyForQuery(_) => break,
                Message::CopyInResponse(_) | Message::CopyOutResponse(_) => {
                    return Err(Failure::Io("COPY is no query".into()));
                }
                _ => {}
            }
        }
        refused.map_or(Ok(answer.rows), Err)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes)?;
        Ok(self.stream.flush()?)
    }

    fn receive(&mut self) -> Result<Message, Failure> {
        let mut buffer = [0; 8192];
        loop {
            let length = Header::parse(&self.input)?.map(|header| header.len());
            if length.is_some_and(|length| usize::try_from(length).is_ok_and(|n| n > PGSQL_MESSAGE_BYTES_MAX))
            {
                return Err(Failure::Io("The server sent a message that is too long".into()));
            }
            if let Some(message) = Message::parse(&mut self.input)? {
                return Ok(message);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(Failure::Io("server closed the connection unexpectedly".into())),
                count => self.input.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
    }
}

fn open(target: &Target, host: &str) -> Result<Pgsql, Failure> {
    let mut pgsql = Pgsql::over(connect(target, host)?);
    pgsql.log_in(target)?;
    Ok(pgsql)
}

fn connect(target: &Target, host: &str) -> Result<Box<dyn Stream>, Failure> {
    let deadline = Instant::now() + READ_TIMEOUT;
    if host.starts_with('/') {
        let path = format!("{host}/.s.PGSQL.{}", target.port);
        return Ok(Box::new(stream::connect_unix(Path::new(&path), deadline)?));
    }
    let stream = stream::connect(host, target.port, target.connect_timeout, deadline);
    let stream = stream.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::Io(format!("could not translate host name \"{host}\" to address"))
        }
        _ => error.into(),
    })?;
    secure(target, host, stream)
}

/// Asks for TLS as `sslmode` has it.
fn secure(
    target: &Target,
    host: &str,
    mut stream: impl Stream + 'static,
) -> Result<Box<dyn Stream>, Failure> {
    if matches!(target.ssl_mode, SslMode::Disable | SslMode::Allow) {
        return Ok(Box::new(stream));
    }
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    stream.write_all(&out)?;
    // One byte and no more: what follows must come through TLS.
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    match &answer {
        b"S" => {
            let config = target.tls().client_config().map_err(Failure::Io)?;
            Ok(tls::connect(stream, host, config)?)
        }
        b"N" if target.ssl_mode == SslMode::Prefer => Ok(Box::new(stream)),
        b"N" => Err(Failure::Io("server does not support SSL, but SSL was required".into())),
        _ => Err(unexpected()),
    }
}

impl Connection for Pgsql {
    fn is_open(&self) -> bool {
        self.is_open
    }

    fn query(&mut self, statement: &Statement, rows_max: usize) -> Result<Rows, SqlError> {
        if statement.parameters.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0')))
        {
            // The server has no such texts, so nothing is equal to one.
            return Ok(Rows::default());
        }
        let done = match self.run(statement, rows_max, false) {
            Err(Failure::Server { code, .. }) if code == INDETERMINATE_DATATYPE => {
                self.run(statement, rows_max, true)
            }
            done => done,
        };
        done.map_err(failed_query)
    }
}

fn failed_query(failure: Failure) -> SqlError {
    match failure {
        // It says so and hangs up: shutdown, crash, no resources, too many connections.
        Failure::Server { ref code, .. }
            if ["57P", "08", "53"].iter().any(|class| code.starts_with(class)) =>
        {
            SqlError::Connection(failure.to_string())
        }
        Failure::Server { .. } => SqlError::Query(failure.to_string()),
        Failure::Io(text) => SqlError::Connection(text),
    }
}

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{message}")]
    Server { code: String, message: String },
    #[error("{0}")]
    Io(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(stream::reason(&error))
    }
}

/// The number at the end of `UPDATE 3` or `INSERT 0 1`.
fn affected(tag: &str) -> u64 {
    let changes = ["INSERT ", "UPDATE ", "DELETE "].iter().any(|word| tag.starts_with(word));
    tag.rsplit(' ').next().and_then(|count| count.parse().ok()).filter(|_| changes).unwrap_or(0)
}

fn unexpected() -> Failure {
    Failure::Io("received invalid response from the server".into())
}

/// In libpq's words: `FATAL:  database "x" does not exist`.
fn failure(body: &ErrorResponseBody) -> Failure {
    let (mut severity, mut code, mut message) = (String::new(), String::new(), String::new());
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'S' => severity = text(),
            b'C' => code = text(),
            b'M' => message = text(),
            _ => {}
        }
    }
    Failure::Server { code, message: format!("{severity}:  {message}") }
}

fn values(body: &DataRowBody) -> Result<Vec<Option<String>>, Failure> {
    let buffer = body.buffer();
    let text = |range: std::ops::Range<usize>| {
        String::from_utf8_lossy(buffer.get(range).unwrap_or_default()).into_owned()
    };
    Ok(body.ranges().map(|range| Ok(range.map(text))).collect()?)
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
        check("host=/run/pg host = db2,db3 port=5433 sslmode=verify-full", Ok(&["/run/pg", "db2", "db3"]));
        check("dbname=x", Ok(&[SOCKET_DIR]));
        check("host", Err("missing \"=\" after \"host\" in connection info string"));
        check("host=a port=x", Err("invalid port number: \"x\""));
        check("host=a colour=red", Err("invalid connection option \"colour\""));
        check("host=a service=x", Err("connection option \"service\" is not supported"));
        check("password='a", Err("unterminated quoted string in connection info string"));
        let target = Target::parse(r"password='it\'s a \\' user=x").unwrap().0;
        assert_eq!(target.password, r"it's a \");
    }
}
