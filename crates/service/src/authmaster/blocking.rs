//! The master protocol for programs without a runtime.

use base::tab;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{AuthError, Facts, Lookup, VERSION, check_handshake, parse_answer, user_line, whole_line};
use crate::limits::{AUTH_LINE_MAX, AUTH_TIMEOUT};

/// A connection with one request at a time.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
    path: PathBuf,
    next_id: u32,
}

impl Client {
    /// Connects to the socket at `path` and exchanges greetings.
    ///
    /// # Errors
    /// When the socket cannot be connected to or speaks another protocol.
    pub fn connect(path: &Path) -> Result<Self, AuthError> {
        let connect_error =
            |error| AuthError::Connect { path: path.display().to_string(), source: Arc::new(error) };
        let stream = UnixStream::connect(path).map_err(connect_error)?;
        stream.set_read_timeout(Some(AUTH_TIMEOUT)).map_err(connect_error)?;
        let mut client = Self { reader: BufReader::new(stream), path: path.to_owned(), next_id: 0 };
        client.write(VERSION)?;
        while check_handshake(&client.line()?, &client.path)?.is_none() {}
        Ok(client)
    }

    /// Who `name` is (`USER`).
    ///
    /// # Errors
    /// When auth does not answer, and for a name that cannot be asked for.
    pub fn user(&mut self, name: &str, facts: &Facts) -> Result<Lookup, AuthError> {
        let id = self.id();
        self.write(&user_line(id, name, facts)?)?;
        self.answer(id)
    }

    /// The passdb's fields of `name` (`PASS`). The name in the answer is empty: it is the field
    /// `user`.
    ///
    /// # Errors
    /// As [`Client::user`].
    pub fn pass(&mut self, name: &str, facts: &Facts) -> Result<Lookup, AuthError> {
        let id = self.id();
        let line = user_line(id, name, facts)?;
        self.write(&line.replacen("USER", "PASS", 1))?;
        self.answer(id)
    }

    /// All users whose names match `mask`, as far as the userdb can list them (`LIST`). The flag is
    /// false when auth could not list all of them.
    ///
    /// # Errors
    /// As [`Client::user`].
    pub fn list(&mut self, mask: &str, facts: &Facts) -> Result<(Vec<String>, bool), AuthError> {
        let id = self.id();
        let mut line = format!("LIST\t{id}");
        facts.append_to(&mut line);
        if !mask.is_empty() {
            line.push_str(&format!("\tuser={}", tab::escape(mask)));
        }
        line.push('\n');
        self.write(&line)?;
        let mut users = Vec::new();
        loop {
            let line = self.line()?;
            let mut words = line.split('\t');
            match (words.next(), words.next(), words.next()) {
                (Some("LIST"), Some(_), Some(user)) => users.push(tab::unescape(user)),
                (Some("DONE"), Some(_), outcome) => return Ok((users, outcome != Some("fail"))),
                _ => return Err(AuthError::Unexpected(line)),
            }
        }
    }

    /// Empties auth's cache, for all users or those named, and returns how many entries went.
    ///
    /// # Errors
    /// As [`Client::user`].
    pub fn cache_flush(&mut self, users: &[String]) -> Result<u32, AuthError> {
        let id = self.id();
        let users: String = users.iter().map(|user| format!("\t{}", tab::escape(user))).collect();
        self.write(&format!("CACHE-FLUSH\t{id}{users}\n"))?;
        let line = self.line()?;
        let mut words = line.split('\t');
        match (words.next(), words.next(), words.next().map(str::parse)) {
            (Some("OK"), Some(_), Some(Ok(count))) => Ok(count),
            _ => Err(AuthError::Unexpected(line)),
        }
    }

    fn id(&mut self) -> u32 {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.next_id
    }

    fn answer(&mut self, id: u32) -> Result<Lookup, AuthError> {
        let line = self.line()?;
        match parse_answer(&line) {
            Some((answered, lookup)) if answered == id => Ok(lookup),
            _ if line.starts_with("CUID\t") => Err(AuthError::ClientSocket(self.path.display().to_string())),
            _ => Err(AuthError::Unexpected(line)),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), AuthError> {
        self.reader.get_mut().write_all(text.as_bytes()).map_err(|_| AuthError::Disconnected)
    }

    fn line(&mut self) -> Result<String, AuthError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(AUTH_LINE_MAX as u64);
        match limited.read_until(b'\n', &mut line) {
            Ok(_) => whole_line(line)?.ok_or(AuthError::Disconnected),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {
                Err(AuthError::Timeout(AUTH_TIMEOUT.as_secs()))
            }
            Err(_) => Err(AuthError::Disconnected),
        }
    }
}
