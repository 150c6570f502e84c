//! memcached in its binary protocol, which 2.3 and we only read with.

use std::io;

use super::server::{Server, full_key, parameters};
use super::wire::{self, Wire, utf8};
use super::{Backend, DictError, PRIVATE};

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
    wire: Option<Wire>,
}

impl Memcached {
    pub(super) fn new(server: Server) -> Self {
        Self { server, wire: None }
    }
}

/// Whether memcached can have a key of that name; in lines others would be another command.
pub(super) fn is_possible(key: &str) -> bool {
    let is_odd = |byte: u8| byte <= b' ' || byte == 0x7f;
    !key.is_empty() && key.len() <= KEY_BYTES_MAX && !key.bytes().any(is_odd)
}

impl Backend for Memcached {
    fn lookup(&mut self, user: &str, key: &str) -> Result<Option<Vec<String>>, DictError> {
        if key.starts_with(PRIVATE) {
            return Err(DictError::Failed("memcached: Only shared keys supported currently".into()));
        }
        let key = full_key(&self.server.prefix, user, key);
        if !is_possible(&key) {
            return Ok(None);
        }
        let Server { address, timeout, .. } = &self.server;
        let found = wire::over(&mut self.wire, address, *timeout, |_| Ok(()), |wire| get(wire, &key));
        found.map(|value| value.map(|value| vec![value])).map_err(|error| {
            DictError::Failed(format!("memcached: {}", wire::reason(&error, "Lookup", *timeout)))
        })
    }
}

fn get(wire: &mut Wire, key: &str) -> io::Result<Option<String>> {
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
