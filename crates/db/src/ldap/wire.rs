//! One connection to a directory: requests and answers of RFC 4511.

use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::ber::{self, BOOLEAN, ENUMERATED, INTEGER, OCTETS, Parts, SEQUENCE, SET};
use super::{Entry, LdapFailure};
use crate::limits::{LDAP_CONNECT_TIMEOUT, LDAP_MESSAGE_BYTES_MAX, LDAP_REQUEST_TIMEOUT};
use crate::stream::{self, Stream};
use crate::tls;

const BIND: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const ABANDON: u8 = 0x50;
const EXTENDED: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
const INTERMEDIATE_RESPONSE: u8 = 0x79;

/// Ways to say who one is.
const SIMPLE: u8 = 0x80;
const SASL: u8 = 0xa3;

/// The name of an extended request.
const REQUEST_NAME: u8 = 0x80;
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// The version of the protocol.
const VERSION: i32 = 3;

/// Entries that have the time of one answer each time they are there.
const ENTRIES_PER_DEADLINE: usize = 1000;

/// How long saying goodbye may take.
const UNBIND_TIMEOUT: Duration = Duration::from_secs(1);

/// The port without TLS, and with TLS from the beginning.
const PORT: u16 = 389;
const TLS_PORT: u16 = 636;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) text: String,
}

impl Outcome {
    fn parse(content: &[u8]) -> Option<Self> {
        let mut parts = Parts(content);
        let code = parts.number(ENUMERATED)?;
        parts.take(OCTETS)?;
        Some(Self { code, text: parts.text(OCTETS)? })
    }
}

/// What is looked for.
pub(super) struct Search<'s> {
    pub(super) base: &'s str,
    /// `base`, `onelevel` and `subtree`, by their numbers.
    pub(super) scope: i32,
    /// `never`, `searching`, `finding` and `always`, by their numbers.
    pub(super) deref: i32,
    /// As the server reads it.
    pub(super) filter: Vec<u8>,
    pub(super) attributes: &'s [String],
}

/// A connection.
pub(super) struct Wire {
    /// `None` once it is of no use any more.
    reader: Option<BufReader<Box<dyn Stream>>>,
    last_id: i32,
    /// How long an answer may take.
    patience: Duration,
}

impl From<io::Error> for LdapFailure {
    fn from(error: io::Error) -> Self {
        Self::Connection(stream::reason(&error))
    }
}

fn unexpected() -> LdapFailure {
    LdapFailure::Connection("The server sent an answer that cannot be read".into())
}

/// Where a URI leads to.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: u16, is_tls: bool },
    Unix(PathBuf),
}

impl Place {
    /// Parses `ldap://host:port/…`, `ldaps://…` and `ldapi://%2Fpath/…`.
    fn parse(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let place = rest.split(['/', '?']).next().unwrap_or_default();
        if scheme == "ldapi" {
            let path = crate::http::unescape(place);
            return (!path.is_empty()).then(|| Self::Unix(path.into()));
        }
        let is_tls = scheme == "ldaps";
        let default = if is_tls { TLS_PORT } else { PORT };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.filter(|port| !port.is_empty()).map_or(Some(default), |port| port.parse().ok())?;
        // As in OpenLDAP's library.
        let host = if host.is_empty() { "localhost" } else { host };
        Some(Self::Tcp { host: host.to_owned(), port, is_tls })
    }
}

impl Wire {
    /// Connects; `tls` is there where it is to be used.
    pub(super) fn connect(
        uri: &str,
        tls: Option<Arc<ClientConfig>>,
        patience: Duration,
    ) -> Result<Self, LdapFailure> {
        let deadline = Instant::now() + patience;
        match Place::parse(uri).ok_or_else(|| LdapFailure::Connection("Invalid URI".into()))? {
            Place::Unix(path) => {
                Ok(Self::over_for(patience, Box::new(stream::connect_unix(&path, deadline)?)))
            }
            Place::Tcp { host, port, is_tls } => {
                let stream = stream::connect(&host, port, LDAP_CONNECT_TIMEOUT, deadline)?;
                let over = |stream| Self::over_for(patience, stream);
                match tls {
                    Some(tls) if is_tls => Ok(over(tls::connect(stream, &host, tls)?)),
                    Some(tls) => over(Box::new(stream)).start_tls(&host, tls),
                    None => Ok(over(Box::new(stream))),
                }
            }
        }
    }

    pub(super) fn over(stream: Box<dyn Stream>) -> Self {
        Self::over_for(LDAP_REQUEST_TIMEOUT, stream)
    }

    fn over_for(patience: Duration, stream: Box<dyn Stream>) -> Self {
        Self { reader: Some(BufReader::new(stream)), last_id: 0, patience }
    }

    pub(super) fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    /// RFC 4511 section 4.14.
    pub(super) fn start_tls(mut self, host: &str, config: Arc<ClientConfig>) -> Result<Self, LdapFailure> {
        let request = ber::value(EXTENDED, &ber::value(REQUEST_NAME, START_TLS));
        let outcome = self.ask(&request, EXTENDED_RESPONSE)?;
        if outcome.code != 0 {
            let (code, text) = (outcome.code, outcome.text);
            return Err(LdapFailure::Connection(format!("STARTTLS failed: error {code}: {text}")));
        }
        let reader = self.reader.take().ok_or_else(unexpected)?;
        // What came before TLS is not from whom it seems to be.
        if !reader.buffer().is_empty() {
            return Err(LdapFailure::Connection(
                "The server sent something behind its answer to STARTTLS".into(),
            ));
        }
        Ok(Self::over_for(self.patience, tls::connect(reader.into_inner(), host, config)?))
    }

    pub(super) fn bind(&mut self, dn: &str, password: &str) -> Result<Outcome, LdapFailure> {
        let password = Zeroizing::new(ber::value(SIMPLE, password.as_bytes()));
        let parts = [ber::number(INTEGER, VERSION), ber::value(OCTETS, dn.as_bytes()), password.to_vec()];
        let request = Zeroizing::new(ber::values(BIND, &parts));
        self.ask(&request, BIND_RESPONSE)
    }

    /// As whom the connection itself shows: a certificate, or the peer of a unix socket.
    pub(super) fn bind_external(&mut self) -> Result<Outcome, LdapFailure> {
        let sasl = ber::values(SASL, &[ber::value(OCTETS, b"EXTERNAL"), ber::value(OCTETS, b"")]);
        let parts = [ber::number(INTEGER, VERSION), ber::value(OCTETS, b""), sasl];
        self.ask(&ber::values(BIND, &parts), BIND_RESPONSE)
    }

    /// Calls `each` with what is found, until it says false.
    pub(super) fn search(
        &mut self,
        search: &Search<'_>,
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<Outcome, LdapFailure> {
        let id = self.send(&search.encode())?;
        let mut count = 0usize;
        loop {
            let message = self.receive()?;
            let (found, kind, content) = operation(&message).ok_or_else(unexpected)?;
            if found != id {
                self.check_notice(found, kind, content)?;
                continue;
            }
            match kind {
                SEARCH_ENTRY => {
                    let entry = entry(content).ok_or_else(|| {
                        LdapFailure::Connection("The server sent an entry that cannot be read".into())
                    })?;
                    if !each(entry) {
                        self.send(&ber::number(ABANDON, id))?;
                        return Ok(Outcome { code: 0, text: String::new() });
                    }
                    count += 1;
                    if count.is_multiple_of(ENTRIES_PER_DEADLINE) {
                        self.set_deadline();
                    }
                }
                // Referrals are not followed, like 2.3's.
                SEARCH_REFERENCE | INTERMEDIATE_RESPONSE => {}
                SEARCH_DONE => return Outcome::parse(content).ok_or_else(unexpected),
                _ => return Err(unexpected()),
            }
        }
    }

    /// Sends a request that has one answer, and waits for it.
    fn ask(&mut self, request: &[u8], answer: u8) -> Result<Outcome, LdapFailure> {
        let id = self.send(request)?;
        loop {
            let message = self.receive()?;
            let (found, kind, content) = operation(&message).ok_or_else(unexpected)?;
            match found == id && kind == answer {
                true => return Outcome::parse(content).ok_or_else(unexpected),
                false if found == id => return Err(unexpected()),
                false => self.check_notice(found, kind, content)?,
            }
        }
    }

    /// What is left of an abandoned search is passed over; a server that says goodbye is believed.
    fn check_notice(&mut self, id: i32, kind: u8, content: &[u8]) -> Result<(), LdapFailure> {
        if id != 0 || kind != EXTENDED_RESPONSE {
            return Ok(());
        }
        self.reader = None;
        let text = Outcome::parse(content).map(|outcome| outcome.text).unwrap_or_default();
        Err(LdapFailure::Connection(format!("The server closes the connection: {text}")))
    }

    fn set_deadline(&mut self) {
        if let Some(reader) = &mut self.reader {
            reader.get_mut().set_deadline(Instant::now() + self.patience);
        }
    }

    /// Sends a request, from which on its answer's time counts; gives its number.
    fn send(&mut self, request: &[u8]) -> Result<i32, LdapFailure> {
        self.set_deadline();
        self.last_id = self.last_id.checked_add(1).ok_or_else(unexpected)?;
        let id = ber::number(INTEGER, self.last_id);
        let message = Zeroizing::new(ber::value(SEQUENCE, &Zeroizing::new([&id, request].concat())));
        let stream = self.reader.as_mut().ok_or_else(unexpected)?.get_mut();
        let sent = stream.write_all(&message).and_then(|()| stream.flush());
        if sent.is_err() {
            self.reader = None;
        }
        sent?;
        Ok(self.last_id)
    }

    /// What is in the next message. After a failure there is no next one.
    fn receive(&mut self) -> Result<Vec<u8>, LdapFailure> {
        let reader = self.reader.as_mut().ok_or_else(unexpected)?;
        let message = message(reader);
        if message.is_err() {
            self.reader = None;
        }
        message
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(reader) = &mut self.reader {
            let id = ber::number(INTEGER, self.last_id.saturating_add(1));
            let message = ber::values(SEQUENCE, &[id, ber::value(UNBIND, b"")]);
            let stream = reader.get_mut();
            stream.set_deadline(Instant::now() + UNBIND_TIMEOUT);
            // Nothing is lost if the server does not hear it.
            let _ = stream.write_all(&message).and_then(|()| stream.flush());
        }
    }
}

fn message(reader: &mut impl Read) -> Result<Vec<u8>, LdapFailure> {
    let mut header = [0; 2];
    reader.read_exact(&mut header)?;
    let [tag, first] = header;
    let mut rest = [0; 4];
    let count = ber::length_bytes(first).filter(|_| tag == SEQUENCE).ok_or_else(unexpected)?;
    let rest = rest.get_mut(..count).unwrap_or_default();
    reader.read_exact(rest)?;
    let length = ber::length(first, rest);
    if length > LDAP_MESSAGE_BYTES_MAX {
        return Err(LdapFailure::Connection("The server sent a message that is too long".into()));
    }
    // Memory is taken for what is there, not for what is announced.
    let mut content = Vec::new();
    reader.take(length as u64).read_to_end(&mut content)?;
    match content.len() == length {
        true => Ok(content),
        false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

/// The number of a message, what it is, and what is in it. Controls behind it are of no interest.
fn operation(message: &[u8]) -> Option<(i32, u8, &[u8])> {
    let mut parts = Parts(message);
    let id = parts.number(INTEGER)?;
    let (kind, content) = parts.next()?;
    Some((id, kind, content))
}

impl Search<'_> {
    fn encode(&self) -> Vec<u8> {
        let attributes: Vec<Vec<u8>> =
            self.attributes.iter().map(|name| ber::value(OCTETS, name.as_bytes())).collect();
        ber::values(
            SEARCH,
            &[
                ber::value(OCTETS, self.base.as_bytes()),
                ber::number(ENUMERATED, self.scope),
                ber::number(ENUMERATED, self.deref),
                // No limits but the server's own, and values are wanted too.
                ber::number(INTEGER, 0),
                ber::number(INTEGER, 0),
                ber::value(BOOLEAN, &[0]),
                self.filter.clone(),
                ber::values(SEQUENCE, &attributes),
            ],
        )
    }
}

fn entry(content: &[u8]) -> Option<Entry> {
    let mut parts = Parts(content);
    let dn = parts.text(OCTETS)?;
    let mut list = Parts(parts.take(SEQUENCE)?);
    let mut attributes = Vec::new();
    while !list.0.is_empty() {
        let mut attribute = Parts(list.take(SEQUENCE)?);
        let name = attribute.text(OCTETS)?;
        let mut set = Parts(attribute.take(SET)?);
        let mut values = Vec::new();
        while !set.0.is_empty() {
            values.push(set.text(OCTETS)?);
        }
        attributes.push((name, values));
    }
    Some(Entry { dn, attributes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Said;

    #[test]
    fn uris() {
        let tcp = |host: &str, port, is_tls| Some(Place::Tcp { host: host.into(), port, is_tls });
        for (uri, expect) in [
            ("ldap://a", tcp("a", 389, false)),
            ("ldap://a:390/", tcp("a", 390, false)),
            ("ldaps://b/dc=x?uid", tcp("b", 636, true)),
            ("ldap://", tcp("localhost", 389, false)),
            ("ldap://[::1]:390", tcp("::1", 390, false)),
            ("ldap://[::1]", tcp("::1", 389, false)),
            ("ldap://a:x", None),
            ("ldapi://%2Frun%2Fldapi/", Some(Place::Unix("/run/ldapi".into()))),
            ("ldapi:///", None),
        ] {
            assert_eq!(Place::parse(uri), expect, "{uri}");
        }
    }

    const FILTER: &[u8] = b"\x87\x03uid";

    /// Searches at a server that says this; gives the names found.
    fn search(said: &[u8]) -> (Result<Outcome, LdapFailure>, Vec<String>, Vec<u8>) {
        let said = Said::new(said);
        let heard = said.heard.clone();
        let mut names = Vec::new();
        let mut each = |entry: Entry| {
            names.push(entry.dn);
            names.len() < 2
        };
        let what =
            Search { base: "o=x", scope: 2, deref: 0, filter: FILTER.to_vec(), attributes: &["uid".into()] };
        let done = Wire::over(Box::new(said)).search(&what, &mut each);
        let heard = heard.lock().unwrap().clone();
        (done, names, heard)
    }

    const ENTRY: &[u8] =
        b"\x30\x18\x02\x01\x01\x64\x13\x04\x03o=x\x30\x0c\x30\x0a\x04\x03uid\x31\x03\x04\x01j";
    const DONE: &[u8] = b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\0\x04\0\x04\0";
    const REFERENCE: &[u8] = b"\x30\x0a\x02\x01\x01\x73\x05\x04\x03l:x";

    #[test]
    fn searches() {
        let (done, names, heard) = search(&[REFERENCE, ENTRY, DONE].concat());
        assert_eq!((done.unwrap().code, names), (0, vec!["o=x".to_owned()]));
        let request = b"\x30\x25\x02\x01\x01\x63\x20\x04\x03o=x\x0a\x01\x02\x0a\x01\0\x02\x01\0\x02\x01\0\
            \x01\x01\0\x87\x03uid\x30\x05\x04\x03uid";
        let unbind = b"\x30\x05\x02\x01\x02\x42\0";
        assert_eq!(heard, [&request[..], unbind].concat());
        // Who has enough says so, and does not wait.
        let (done, names, heard) = search(&[ENTRY, ENTRY, ENTRY].concat());
        assert_eq!((done.unwrap().code, names.len()), (0, 2));
        assert!(heard.windows(8).any(|part| part == b"\x30\x06\x02\x01\x02\x50\x01\x01"));
    }

    #[test]
    fn servers_that_do_not_behave() {
        let deep = b"\x30\x84\x00\x00\xff\xff".repeat(20_000);
        let nested = [&b"\x30\x84\x00\x01\xd4\xc0\x02\x01\x01"[..], &deep].concat();
        for (said, expect) in [
            (&b""[..], "The server closed the connection"),
            (b"\x30\x84\x7f\xff\xff\xff\x02", "The server sent a message that is too long"),
            (b"\x30\x80\x02\x01\x01", "The server sent an answer that cannot be read"),
            (b"\x30\x85\0\0\0\0\x01\x02", "The server sent an answer that cannot be read"),
            (b"\x30\x00", "The server sent an answer that cannot be read"),
            (b"\x30\x05\x02\x01\x01\x65\x00", "The server sent an answer that cannot be read"),
            (b"\x30\x05\x02\x01\x01\x64\x00", "The server sent an entry that cannot be read"),
            (b"\x30\x05\x02\x01\x01\x61\x00", "The server sent an answer that cannot be read"),
            (b"HTTP/1.1 400 Bad\r\n\r\n", "The server sent an answer that cannot be read"),
            (
                b"\x30\x0f\x02\x01\x00\x78\x0a\x0a\x01\x34\x04\0\x04\x03bye",
                "The server closes the connection: bye",
            ),
            (&nested, "The server sent an answer that cannot be read"),
        ] {
            let (done, _, _) = search(said);
            assert_eq!(done.unwrap_err().to_string(), expect, "{:x?}", said.get(..20));
        }
    }

    /// No password for whoever says that TLS is not possible, or says more than that it is.
    #[test]
    fn tls_that_does_not_begin() {
        let config = crate::tls::TlsOptions { verify: crate::tls::Verify::Nothing, ..Default::default() };
        for (said, expect) in [
            (
                &b"\x30\x0e\x02\x01\x01\x78\x09\x0a\x01\x02\x04\0\x04\x02no"[..],
                "STARTTLS failed: error 2: no",
            ),
            (
                b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\0\x04\0\x04\0",
                "The server sent something behind its answer to STARTTLS",
            ),
        ] {
            let wire = Wire::over(Box::new(Said::new(said)));
            let error = wire.start_tls("localhost", config.client_config().unwrap()).err().unwrap();
            assert_eq!(error.to_string(), expect);
        }
    }
}
