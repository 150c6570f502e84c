//! memcached, in its binary protocol or in that of lines.

use std::io;

use super::wire::{self, Wire, unexpected, utf8};
use super::{DictError, PRIVATE, Server, full_key, parameters};

/// How to speak to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Binary,
    Text,
}

/// Memcached's own limit for keys.
const KEY_BYTES_MAX: usize = 250;
const HEADER_BYTES: usize = 24;
const REQUEST: u8 = 0x80;
const REPLY: u8 = 0x81;

pub(super) fn parse(text: &str) -> Result<Server, String> {
    let mut server = Server::on_port(11211);
    for parameter in parameters(text) {
        let (key, value) = parameter?;
        if !server.set(key, value)? {
            return Err(format!("Unknown parameter: {key}={value}"));
        }
    }
    Ok(server)
}

pub(super) struct Memcached {
    server: Server,
    protocol: Protocol,
    wire: Option<Wire>,
}

impl Memcached {
    pub(super) fn new(server: Server, protocol: Protocol) -> Self {
        Self { server, protocol, wire: None }
    }

    pub(super) fn lookup(&mut self, user: &str, key: &str) -> Result<Option<String>, DictError> {
        let driver = match self.protocol {
            Protocol::Binary => "memcached",
            Protocol::Text => "memcached_ascii",
        };
        if self.protocol == Protocol::Binary && key.starts_with(PRIVATE) {
            let reason = "Only shared keys supported currently".into();
            return Err(DictError::Failed { driver, reason });
        }
        let key = full_key(&self.server.prefix, user, key);
        // No such key can have been stored; in lines it would be another command.
        if key.len() > KEY_BYTES_MAX || key.is_empty() || key.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
        {
            return Ok(None);
        }
        let (protocol, timeout) = (self.protocol, self.server.timeout);
        let found = self.wire().and_then(|wire| match protocol {
            Protocol::Binary => binary(wire, &key),
            Protocol::Text => text(wire, &key),
        });
        found.map_err(|error| {
            // Nobody knows what comes next on it.
            self.wire = None;
            DictError::Failed { driver, reason: wire::reason(&error, timeout) }
        })
    }

    fn wire(&mut self) -> io::Result<&mut Wire> {
        let timeout = self.server.timeout;
        let wire = match self.wire.take().and_then(|mut wire| wire.is_idle().then_some(wire)) {
            Some(mut wire) => {
                wire.restart(timeout);
                wire
            }
            None => Wire::connect(&self.server.address, timeout)?,
        };
        Ok(self.wire.insert(wire))
    }
}

fn binary(wire: &mut Wire, key: &str) -> io::Result<Option<String>> {
    let length = u16::try_from(key.len()).map_err(io::Error::other)?;
    let mut request = vec![0; HEADER_BYTES];
    // Magic, the command 0 (get), the key's length; and the length of all that follows.
    request.splice(0..1, [REQUEST]);
    request.splice(2..4, length.to_be_bytes());
    request.splice(8..12, u32::from(length).to_be_bytes());
    request.extend_from_slice(key.as_bytes());
    wire.send(&request)?;
    let header = wire.take(HEADER_BYTES)?;
    let [magic, _, key_1, key_2, extras, kind, status_1, status_2, body @ ..] = &*header else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    if *magic != REPLY {
        return Err(io::Error::other(format!("Invalid reply magic: {magic} != {REPLY}")));
    }
    if *kind != 0 {
        return Err(io::Error::other(format!("Unsupported data type: {kind} != 0")));
    }
    let size = body.first_chunk().map_or(0, |size| u32::from_be_bytes(*size));
    let mut value = wire.take(usize::try_from(size).map_err(io::Error::other)?)?;
    let before = usize::from(*extras) + usize::from(u16::from_be_bytes([*key_1, *key_2]));
    match u16::from_be_bytes([*status_1, *status_2]) {
        0 if before > value.len() => Err(io::Error::other("Invalid key/extras lengths")),
        0 => utf8(value.split_off(before)).map(Some),
        1 => Ok(None),
        0x84 => Err(io::Error::other("Lookup failed: Internal error")),
        0x85 => Err(io::Error::other("Lookup failed: Busy")),
        0x86 => Err(io::Error::other("Lookup failed: Temporary failure")),
        status => Err(io::Error::other(format!("Lookup failed: Error code={status}"))),
    }
}

/// `VALUE <key> <flags> <bytes>`, the value, `END`; or `END` alone.
fn text(wire: &mut Wire, key: &str) -> io::Result<Option<String>> {
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
