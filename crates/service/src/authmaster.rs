//! Asks the auth process about users, over 2.3's master protocol 1.1 (`auth-master`,
//! `auth-userdb`): tab-separated lines, each request with an id.
//!
//! [`Client`] is for processes with a runtime and many requests at a time; [`blocking::Client`] for
//! tools that ask one thing after the other (`doveadm`, `dovecot-lda`).

use base::tab;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use crate::limits::{AUTH_LINE_MAX, AUTH_TIMEOUT};

pub mod blocking;

/// The version of the master protocol that we speak.
const VERSION: &str = "VERSION\t1\t1\n";

/// A user as the auth process describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, which a userdb may have changed.
    pub name: String,
    /// The extra fields in order (`uid`, `gid`, `home`, `mail`, `quota_rule`, …); the value of a
    /// field without `=` is empty.
    pub fields: Vec<(String, String)>,
}

impl User {
    /// The value of the field `name`, if it is there.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What came of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Here is the user.
    Found(User),
    /// There is no such user.
    NotFound,
    /// The database failed or said no.
    Failed {
        /// What the user may be told, if auth gave it (`reason=`).
        reason: Option<String>,
        /// `code=` of the reply: `temp_fail`, `user_disabled`, …
        code: Option<String>,
    },
}

/// What a lookup tells about the client, for `%` variables and policies. All of it is optional.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names are those of the protocol")]
pub struct Facts {
    pub service: String,
    pub session: String,
    pub local_name: String,
    pub lip: Option<IpAddr>,
    pub lport: u16,
    pub rip: Option<IpAddr>,
    pub rport: u16,
    pub debug: bool,
}

impl Facts {
    fn append_to(&self, line: &mut String) {
        let text = [("service", &self.service), ("session", &self.session), ("local_name", &self.local_name)];
        for (name, value) in text.into_iter().filter(|(_, value)| !value.is_empty()) {
            // Writing to a String cannot fail.
            let _ = write!(line, "\t{name}={}", tab::escape(value));
        }
        for (name, ip) in [("lip", self.lip), ("rip", self.rip)] {
            if let Some(ip) = ip {
                let _ = write!(line, "\t{name}={ip}");
            }
        }
        for (name, port) in [("lport", self.lport), ("rport", self.rport)] {
            if port != 0 {
                let _ = write!(line, "\t{name}={port}");
            }
        }
        if self.debug {
            line.push_str("\tdebug");
        }
    }
}

/// Why no answer could be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// The socket cannot be connected to.
    #[error("connect({path}) failed")]
    Connect {
        /// The socket.
        path: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The connection was lost before the answer came.
    #[error("Disconnected from auth server, aborting")]
    Disconnected,
    /// No answer within a minute.
    #[error("Auth server request timed out after {0}.000 secs")]
    Timeout(u64),
    /// The socket speaks another protocol.
    #[error("{0} is an auth client socket. It should be a master socket.")]
    ClientSocket(String),
    /// Something that is not the master protocol.
    #[error("Auth server sent unexpected input: {0}")]
    Unexpected(String),
    /// Characters that no user's name has.
    #[error("user name holds characters that are not allowed")]
    BadName,
}

/// A login that auth vouched for, to be looked up by its id.
#[derive(Debug, Clone)]
pub struct LoginId {
    /// Process id of the login process.
    pub client_pid: u32,
    /// The request's id there.
    pub auth_id: u32,
    /// The login process's cookie, 32 hexadecimal digits.
    pub cookie: String,
}

impl LoginId {
    fn line(&self, id: u32, token: bool) -> String {
        let token = if token { "\trequest_auth_token" } else { "" };
        let own_pid = std::process::id();
        let Self { client_pid, auth_id, cookie } = self;
        format!(
            "REQUEST\t{id}\t{client_pid}\t{auth_id}\t{}\tsession_pid={own_pid}{token}\n",
            tab::escape(cookie)
        )
    }
}

fn user_line(id: u32, name: &str, facts: &Facts) -> Result<String, AuthError> {
    if name.contains(['\t', '\n', '\r', '\0']) {
        return Err(AuthError::BadName);
    }
    let mut line = format!("USER\t{id}\t{name}");
    facts.append_to(&mut line);
    line.push('\n');
    Ok(line)
}

/// A connection with many requests under way. Made anew when it was lost. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
    connection: Arc<tokio::sync::Mutex<Option<Connection>>>,
}

#[derive(Debug)]
struct Connection {
    writer: OwnedWriteHalf,
    waiting: Waiting,
    next_id: u32,
    /// The auth process, `SPID`.
    server_pid: u32,
    opened: Instant,
}

/// Whom to give the answer with which id; `None` once the connection is lost.
type Waiting = Arc<Mutex<Option<HashMap<u32, oneshot::Sender<Lookup>>>>>;

impl Client {
    /// Will connect to the socket at `path` when first asked.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), connection: Arc::default() }
    }

    /// Connects now, while there may still be the rights to.
    ///
    /// # Errors
    /// When the socket cannot be connected to.
    pub async fn connect(&self) -> Result<(), AuthError> {
        let mut connection = self.connection.lock().await;
        if connection.as_ref().is_none_or(Connection::is_lost) {
            *connection = Some(Connection::open(&self.path).await?);
        }
        Ok(())
    }

    /// Whether the auth process that we talk with is `pid`, or becomes it by connecting anew.
    ///
    /// # Errors
    /// When auth cannot be reached.
    pub async fn is_with(&self, pid: u32) -> Result<bool, AuthError> {
        self.connect().await?;
        let mut connection = self.connection.lock().await;
        if connection.as_ref().is_some_and(|open| open.server_pid == pid) {
            return Ok(true);
        }
        let anew = Connection::open(&self.path).await?;
        let is_it = anew.server_pid == pid;
        *connection = Some(anew);
        Ok(is_it)
    }

    /// How long there has been a connection, for log lines; zero without one.
    pub async fn age(&self) -> Duration {
        let connection = self.connection.lock().await;
        connection.as_ref().map_or(Duration::ZERO, |connection| connection.opened.elapsed())
    }

    /// Who logged in under `login`.
    ///
    /// # Errors
    /// When auth cannot be reached or does not answer in time.
    pub async fn login(&self, login: &LoginId) -> Result<Lookup, AuthError> {
        self.ask(|id| Ok(login.line(id, false))).await
    }

    /// Who `name` is.
    ///
    /// # Errors
    /// As [`Client::login`], and for a name that cannot be asked for.
    pub async fn user(&self, name: &str, facts: &Facts) -> Result<Lookup, AuthError> {
        self.ask(|id| user_line(id, name, facts)).await
    }

    async fn ask(&self, line: impl FnOnce(u32) -> Result<String, AuthError>) -> Result<Lookup, AuthError> {
        self.connect().await?;
        let answer = {
            let mut connection = self.connection.lock().await;
            let connection = connection.as_mut().ok_or(AuthError::Disconnected)?;
            connection.next_id = connection.next_id.checked_add(1).unwrap_or(1);
            let id = connection.next_id;
            let line = line(id)?;
            let answer = connection.wait_for(id)?;
            connection.writer.write_all(line.as_bytes()).await.map_err(|_| AuthError::Disconnected)?;
            answer
        };
        match tokio::time::timeout(AUTH_TIMEOUT, answer).await {
            Ok(Ok(lookup)) => Ok(lookup),
            Ok(Err(_)) => Err(AuthError::Disconnected),
            Err(_) => Err(AuthError::Timeout(AUTH_TIMEOUT.as_secs())),
        }
    }
}

impl Connection {
    async fn open(path: &Path) -> Result<Self, AuthError> {
        let stream = UnixStream::connect(path).await.map_err(|error| AuthError::Connect {
            path: path.display().to_string(),
            source: Arc::new(error),
        })?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        writer.write_all(VERSION.as_bytes()).await.map_err(|_| AuthError::Disconnected)?;
        let server_pid = tokio::time::timeout(AUTH_TIMEOUT, handshake(&mut reader, path))
            .await
            .map_err(|_| AuthError::Timeout(AUTH_TIMEOUT.as_secs()))??;
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(distribute(reader, waiting.clone()));
        Ok(Self { writer, waiting, next_id: 0, server_pid, opened: Instant::now() })
    }

    fn is_lost(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn wait_for(&self, id: u32) -> Result<oneshot::Receiver<Lookup>, AuthError> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_mut().ok_or(AuthError::Disconnected)?.insert(id, sender);
        Ok(receiver)
    }
}

/// Reads `VERSION` and `SPID`, which end the server's handshake.
async fn handshake(reader: &mut BufReader<OwnedReadHalf>, path: &Path) -> Result<u32, AuthError> {
    loop {
        let line = read_line(reader).await?.ok_or(AuthError::Disconnected)?;
        if let Some(server_pid) = check_handshake(&line, path)? {
            return Ok(server_pid);
        }
    }
}

/// The auth process's id, which ends the handshake, if `line` is about that.
fn check_handshake(line: &str, path: &Path) -> Result<Option<u32>, AuthError> {
    let mut words = line.split('\t');
    match (words.next(), words.next()) {
        (Some("VERSION"), Some("1")) => Ok(None),
        (Some("VERSION"), _) => Err(AuthError::Unexpected(line.to_owned())),
        // 0 is nobody's id.
        (Some("SPID"), Some(pid)) => Ok(Some(pid.parse().unwrap_or(0))),
        (Some("CUID" | "MECH"), _) => Err(AuthError::ClientSocket(path.display().to_string())),
        _ => Ok(None),
    }
}

/// Gives each answer to whoever waits for it, until the connection ends.
async fn distribute(mut reader: BufReader<OwnedReadHalf>, waiting: Waiting) {
    while let Ok(Some(line)) = read_line(&mut reader).await {
        let Some((id, lookup)) = parse_answer(&line) else { break };
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asker) = waiting.as_mut().and_then(|waiting| waiting.remove(&id)) {
            // The asker may have given up in the meantime.
            let _ = asker.send(lookup);
        }
    }
    *waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> Result<Option<String>, AuthError> {
    let mut line = Vec::new();
    let mut limited = reader.take(AUTH_LINE_MAX as u64);
    limited.read_until(b'\n', &mut line).await.map_err(|_| AuthError::Disconnected)?;
    whole_line(line)
}

fn whole_line(mut line: Vec<u8>) -> Result<Option<String>, AuthError> {
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
        Some(_) if line.len() + 1 >= AUTH_LINE_MAX => Err(AuthError::Unexpected("a line too long".into())),
        // The connection ended in the middle of a line.
        Some(_) => Ok(None),
    }
}

/// An answer's id and meaning; `None` for lines that are no answer.
fn parse_answer(line: &str) -> Option<(u32, Lookup)> {
    let mut words = line.split('\t');
    let (command, id) = (words.next()?, words.next()?.parse().ok()?);
    let lookup = match command {
        "USER" | "PASS" => {
            let name = match command {
                "USER" => tab::unescape(words.next()?),
                _ => String::new(),
            };
            Lookup::Found(User { name, fields: words.map(parse_field).collect() })
        }
        "NOTFOUND" => Lookup::NotFound,
        "FAIL" => {
            let fields: Vec<_> = words.map(parse_field).collect();
            let find =
                |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            Lookup::Failed { reason: find("reason"), code: find("code") }
        }
        _ => return None,
    };
    Some((id, lookup))
}

fn parse_field(word: &str) -> (String, String) {
    let word = tab::unescape(word);
    match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (word, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(u32, Lookup)>) {
        assert_eq!(parse_answer(line), expected, "{line}");
    }

    #[test]
    fn answers() {
        let fields = vec![("uid".into(), "5000".into()), ("proxy".into(), String::new())];
        let user = User { name: "a@b".into(), fields };
        check("USER\t7\ta@b\tuid=5000\tproxy", Some((7, Lookup::Found(user))));
        check("NOTFOUND\t3", Some((3, Lookup::NotFound)));
        check("FAIL\t1", Some((1, Lookup::Failed { reason: None, code: None })));
        check(
            "FAIL\t1\treason=no\x01tway\tcode=temp_fail",
            Some((1, Lookup::Failed { reason: Some("no\tway".into()), code: Some("temp_fail".into()) })),
        );
        check("USER\tx", None);
        check("HELLO\t1", None);
    }

    #[test]
    fn requests() {
        let facts = Facts { service: "imap".into(), rip: "::1".parse().ok(), rport: 9, ..Facts::default() };
        assert_eq!(user_line(2, "joe", &facts).unwrap(), "USER\t2\tjoe\tservice=imap\trip=::1\trport=9\n");
        assert!(user_line(2, "j\toe", &facts).is_err());
    }
}
