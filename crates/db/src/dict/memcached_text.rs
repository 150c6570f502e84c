//! memcached in its protocol of lines (`memcached_ascii:`). It has no transactions: what came before a
//! failure is done.

use std::io;

use super::memcached::is_possible;
use super::server::{Server, full_key};
use super::wire::{self, Wire, unexpected, utf8};
use super::{Backend, Change, Committed, DictError, Transaction};

pub(super) struct MemcachedText {
    server: Server,
    wire: Option<Wire>,
}

impl MemcachedText {
    pub(super) fn new(server: Server) -> Self {
        Self { server, wire: None }
    }

    fn failed(&self, error: &io::Error, what: &str) -> String {
        format!("memcached_ascii: {}", wire::reason(error, what, self.server.timeout))
    }
}

impl Backend for MemcachedText {
    fn lookup(&mut self, user: &str, key: &str) -> Result<Option<Vec<String>>, DictError> {
        let key = full_key(&self.server.prefix, user, key);
        if !is_possible(&key) {
            return Ok(None);
        }
        let Server { address, timeout, .. } = &self.server;
        let found = wire::over(&mut self.wire, address, *timeout, |_| Ok(()), |wire| get(wire, &key));
        let found = found.map_err(|error| DictError::Failed(self.failed(&error, "Lookup")))?;
        Ok(found.map(|value| vec![value]))
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<Committed, DictError> {
        let key = |change: &Change| full_key(&self.server.prefix, &transaction.user, change.key());
        if let Some(key) = transaction.changes.iter().map(key).find(|key| !is_possible(key)) {
            return Err(DictError::Failed(format!("memcached_ascii: Invalid key: {key}")));
        }
        let Server { address, timeout, .. } = &self.server;
        let made = wire::over(
            &mut self.wire,
            address,
            *timeout,
            |_| Ok(()),
            |wire| transaction.changes.iter().try_for_each(|made| change(wire, &key(made), made)),
        );
        made.map_err(|error| match error.kind() {
            io::ErrorKind::Other => DictError::Failed(self.failed(&error, "Commit")),
            _ => DictError::Uncertain(self.failed(&error, "Commit")),
        })?;
        Ok(Committed::Done)
    }
}

/// `VALUE <key> <flags> <bytes>`, the value, `END`; or `END` alone.
fn get(wire: &mut Wire, key: &str) -> io::Result<Option<String>> {
    wire.send(format!("get {key}\r\n").as_bytes())?;
    let line = wire.line()?;
    if line == "END" {
        return Ok(None);
    }
    let size = line.strip_prefix("VALUE ").and_then(|rest| rest.rsplit(' ').next()?.parse::<usize>().ok());
    let Some(size) = size else { return Err(unexpected(&line)) };
    let mut value = wire.take(size.saturating_add(2))?;
    value.truncate(size);
    match wire.line()?.as_str() {
        "END" => utf8(value).map(Some),
        line => Err(unexpected(line)),
    }
}

fn change(wire: &mut Wire, key: &str, change: &Change) -> io::Result<()> {
    let store = |word: &str, value: &str| format!("{word} {key} 0 0 {}\r\n{value}\r\n", value.len());
    match change {
        Change::Set { value, .. } => expect(wire, &store("set", value), &["STORED"]).map(drop),
        Change::Unset { .. } => {
            expect(wire, &format!("delete {key}\r\n"), &["DELETED", "NOT_FOUND"]).map(drop)
        }
        Change::Increase { diff, .. } => {
            let (word, amount) = if *diff > 0 { ("incr", *diff) } else { ("decr", diff.saturating_neg()) };
            wire.send(format!("{word} {key} {amount}\r\n").as_bytes())?;
            let line = wire.line()?;
            match line.as_str() {
                // As in 2.3 what is not there begins with what was to be added.
                "NOT_FOUND" if *diff > 0 => {
                    expect(wire, &store("add", &diff.to_string()), &["STORED", "NOT_STORED"]).map(drop)
                }
                "NOT_FOUND" => Ok(()),
                number if number.trim_end().parse::<u64>().is_ok() => Ok(()),
                _ => Err(unexpected(&line)),
            }
        }
    }
}

fn expect(wire: &mut Wire, command: &str, answers: &[&str]) -> io::Result<String> {
    wire.send(command.as_bytes())?;
    let line = wire.line()?;
    if answers.contains(&line.as_str()) { Ok(line) } else { Err(unexpected(&line)) }
}
