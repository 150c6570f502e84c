//! Redis: strings by key, in the protocol RESP 2. A transaction is one of Redis (`MULTI`).

use std::io;

use super::server::{Address, Server, full_key, parameters};
use super::wire::{self, Wire, unexpected, utf8};
use super::{Backend, Change, Committed, DictError, Transaction};

#[derive(Clone)]
pub(super) struct Options {
    server: Server,
    password: String,
    database: u32,
    /// After so long a value that is not written again is gone.
    expire_secs: Option<u32>,
}

impl Options {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let server = Server::on_port(6379);
        let mut options = Self { server, password: String::new(), database: 0, expire_secs: None };
        for parameter in parameters(text) {
            let (key, value) = parameter?;
            match key {
                "path" => options.server.address = Address::Unix(value.to_owned()),
                "password" => options.password = value.to_owned(),
                "db" => {
                    options.database = value.parse().map_err(|_| format!("Invalid db number: {value}"))?;
                }
                "expire_secs" => {
                    let seconds = value.parse::<u32>().ok().filter(|seconds| *seconds > 0);
                    let seconds = seconds.ok_or_else(|| format!("Invalid expire_secs: {value}"))?;
                    options.expire_secs = Some(seconds);
                }
                _ if options.server.set(key, value)? => {}
                _ => return Err(format!("Unknown parameter: {key}={value}")),
            }
        }
        Ok(options)
    }
}

pub(super) struct Redis {
    options: Options,
    wire: Option<Wire>,
}

impl Redis {
    pub(super) fn new(options: Options) -> Self {
        Self { options, wire: None }
    }

    /// Does something over a connection that is logged in and has chosen its database.
    fn over<T>(&mut self, act: impl FnOnce(&mut Wire) -> io::Result<T>) -> io::Result<T> {
        let Options { server, password, database, .. } = &self.options;
        let greet = |wire: &mut Wire| {
            if !password.is_empty() {
                done(wire, &["AUTH", password])?;
            }
            match database {
                0 => Ok(()),
                number => done(wire, &["SELECT", &number.to_string()]),
            }
        };
        wire::over(&mut self.wire, &server.address, server.timeout, greet, act)
    }

    /// The commands of a change.
    fn commands(&self, user: &str, change: &Change) -> Vec<Vec<u8>> {
        let key = full_key(&self.options.server.prefix, user, change.key());
        let (made, expires) = match change {
            Change::Set { value, .. } => (command(&["SET", &key, value]), true),
            Change::Increase { diff, .. } => (command(&["INCRBY", &key, &diff.to_string()]), true),
            Change::Unset { .. } => (command(&["DEL", &key]), false),
        };
        let expire = self.options.expire_secs.filter(|_| expires);
        let expire = expire.map(|seconds| command(&["EXPIRE", &key, &seconds.to_string()]));
        [made].into_iter().chain(expire).collect()
    }
}

impl Backend for Redis {
    fn lookup(&mut self, user: &str, key: &str) -> Result<Option<Vec<String>>, DictError> {
        let timeout = self.options.server.timeout;
        let key = full_key(&self.options.server.prefix, user, key);
        let found = self.over(|wire| {
            wire.send(&command(&["GET", &key]))?;
            value(wire)
        });
        found
            .map(|value| value.map(|value| vec![value]))
            .map_err(|error| DictError::Failed(format!("redis: {}", wire::reason(&error, "Lookup", timeout))))
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<Committed, DictError> {
        let timeout = self.options.server.timeout;
        let changes = transaction.changes.iter();
        let commands: Vec<_> = changes.flat_map(|change| self.commands(&transaction.user, change)).collect();
        // Until this is sent, nothing is done.
        let mut is_sent = false;
        let made = self.over(|wire| {
            done(wire, &["MULTI"])?;
            for command in &commands {
                wire.send(command)?;
                good(wire, "+")?;
            }
            is_sent = true;
            wire.send(&command(&["EXEC"]))?;
            let line = wire.line()?;
            if line != format!("*{}", commands.len()) {
                return Err(unexpected(&line));
            }
            // All are read, whatever the first say.
            let answers: Vec<_> = commands.iter().map(|_| good(wire, "+:")).collect();
            answers.into_iter().collect::<io::Result<()>>()
        });
        made.map(|()| Committed::Done).map_err(|error| {
            let reason = format!("redis: {}", wire::reason(&error, "Commit", timeout));
            let answered = error.kind() == io::ErrorKind::Other;
            if is_sent && !answered { DictError::Uncertain(reason) } else { DictError::Failed(reason) }
        })
    }
}

/// Each word goes with its length, so that nothing in it means anything.
fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    bytes.into_bytes()
}

/// A command whose answer is only good or bad.
fn done(wire: &mut Wire, words: &[&str]) -> io::Result<()> {
    wire.send(&command(words))?;
    good(wire, "+")
}

/// A line that begins with one of some signs.
fn good(wire: &mut Wire, signs: &str) -> io::Result<()> {
    let line = wire.line()?;
    if line.starts_with(|sign| signs.contains(sign)) { Ok(()) } else { Err(unexpected(&line)) }
}

/// A bulk string, or none.
fn value(wire: &mut Wire) -> io::Result<Option<String>> {
    let line = wire.line()?;
    if line == "$-1" {
        return Ok(None);
    }
    let size: usize =
        line.strip_prefix('$').and_then(|size| size.parse().ok()).ok_or_else(|| unexpected(&line))?;
    let mut bytes = wire.take(size.saturating_add(2))?;
    if !bytes.ends_with(b"\r\n") {
        return Err(io::Error::other("a value of another size than announced"));
    }
    bytes.truncate(size);
    utf8(bytes).map(Some)
}
