//! Redis: strings by key, in the protocol RESP 2.

use std::io;

use super::wire::{self, Wire, unexpected, utf8};
use super::{Address, DictError, Server, full_key, parameters};

#[derive(Clone)]
pub(super) struct Options {
    server: Server,
    password: String,
    database: u32,
}

impl Options {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut options = Self { server: Server::on_port(6379), password: String::new(), database: 0 };
        for parameter in parameters(text) {
            let (key, value) = parameter?;
            match key {
                "path" => options.server.address = Address::Unix(value.to_owned()),
                "password" => options.password = value.to_owned(),
                "db" => {
                    options.database = value.parse().map_err(|_| format!("Invalid db number: {value}"))?;
                }
                // For what is written.
                "expire_secs" => {
                    let seconds = value.parse::<u32>().ok().filter(|seconds| *seconds > 0);
                    seconds.ok_or_else(|| format!("Invalid expire_secs: {value}"))?;
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

    pub(super) fn lookup(&mut self, user: &str, key: &str) -> Result<Option<String>, DictError> {
        let timeout = self.options.server.timeout;
        let key = full_key(&self.options.server.prefix, user, key);
        let found = self.wire().and_then(|wire| {
            wire.send(&command(&["GET", &key]))?;
            value(wire)
        });
        found.map_err(|error| {
            // Nobody knows what comes next on it.
            self.wire = None;
            DictError::Failed { driver: "redis", reason: wire::reason(&error, timeout) }
        })
    }

    /// A connection that is ready for a command.
    fn wire(&mut self) -> io::Result<&mut Wire> {
        let Options { server, password, database } = &self.options;
        let wire = match self.wire.take().and_then(|mut wire| wire.is_idle().then_some(wire)) {
            Some(mut wire) => {
                wire.restart(server.timeout);
                wire
            }
            None => {
                let mut wire = Wire::connect(&server.address, server.timeout)?;
                if !password.is_empty() {
                    done(&mut wire, &["AUTH", password])?;
                }
                if *database != 0 {
                    done(&mut wire, &["SELECT", &database.to_string()])?;
                }
                wire
            }
        };
        Ok(self.wire.insert(wire))
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
    let line = wire.line()?;
    if line.starts_with('+') { Ok(()) } else { Err(unexpected(&line)) }
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
