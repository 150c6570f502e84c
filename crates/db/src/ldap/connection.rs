//! A directory behind one or several servers: connected when first needed, connected anew when the
//! connection broke, and from another server when the first is gone. All of it blocks.

use std::time::Instant;

use base::Logger;

use super::config::SCOPE_BASE;
use super::wire::{Outcome, Search, Wire};
use super::{AttrMap, Entry, LdapConfig, filter};
use crate::limits::RETRY_DELAY_MIN;
use crate::stream::Said;

/// Result codes, RFC 4511 appendix A.
const SUCCESS: i32 = 0;
const NO_SUCH_OBJECT: i32 = 32;
const INVALID_DN_SYNTAX: i32 = 34;
const INVALID_CREDENTIALS: i32 = 49;
const BUSY: i32 = 51;
const UNAVAILABLE: i32 = 52;

/// What a bind as a user says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The password is right.
    Yes,
    /// It is not.
    No,
    /// There is no such entry.
    NoSuchObject,
}

/// Why the directory gave no answer. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LdapFailure {
    /// Nobody is there, or the connection broke.
    #[error("{0}")]
    Connection(String),
    /// The server does not like the request.
    #[error("{0}")]
    Refused(String),
}

/// A directory as one process uses it.
pub struct Directory {
    config: LdapConfig,
    log: Logger,
    connected: Option<Connected>,
    failed: Option<Instant>,
}

struct Connected {
    wire: Wire,
    /// Whether it is bound as `dn`, and not as one of the users.
    is_ours: bool,
}

impl Directory {
    /// Does not connect yet. Failed connections go to `log`.
    pub fn new(config: LdapConfig, log: Logger) -> Self {
        Self { config, log, connected: None, failed: None }
    }

    /// Finds entries below `base` and calls `each` with them, until it says false.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub fn search(
        &mut self,
        base: &str,
        filter: &str,
        attrs: &AttrMap,
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), LdapFailure> {
        self.find(base, self.config.scope, filter, &attrs.attributes, each)
    }

    /// Finds entries as [`Directory::search`] does, with a scope of their own.
    ///
    /// # Errors
    /// As [`Directory::search`].
    pub(crate) fn find(
        &mut self,
        base: &str,
        scope: i32,
        filter: &str,
        attributes: &[String],
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), LdapFailure> {
        let search = self.request(base, scope, filter, attributes)?;
        let mut seen = false;
        self.retried(true, |wire| {
            let mut each = |entry| {
                seen = true;
                each(entry)
            };
            match found(wire.search(&search, &mut each)?) {
                // What was told already must not be told twice.
                Err(LdapFailure::Connection(text)) if seen => Err(LdapFailure::Refused(text)),
                done => done,
            }
        })
    }

    /// Gives the connection back.
    pub(crate) fn disconnect(&mut self) {
        self.connected = None;
    }

    /// Reads one entry; `None` if there is none.
    ///
    /// # Errors
    /// As [`Directory::search`].
    pub fn read(&mut self, dn: &str, attributes: &[String]) -> Result<Option<Entry>, LdapFailure> {
        let search = self.request(dn, SCOPE_BASE, "(objectClass=*)", attributes)?;
        let mut last = None;
        self.retried(true, |wire| {
            found(wire.search(&search, &mut |entry| {
                last = Some(entry);
                true
            })?)
        })?;
        Ok(last)
    }

    fn request<'s>(
        &self,
        base: &'s str,
        scope: i32,
        filter: &str,
        attributes: &'s [String],
    ) -> Result<Search<'s>, LdapFailure> {
        let filter =
            filter::encode(filter).ok_or_else(|| LdapFailure::Refused("Bad search filter".into()))?;
        Ok(Search { base, scope, deref: self.config.deref, filter, attributes })
    }

    /// Whether `password` is that of `dn`. The caller does not ask with an empty one, which every
    /// server takes as a wish to be nobody (RFC 4513 §5.1.2).
    ///
    /// # Errors
    /// The server cannot be reached or refuses to say.
    pub fn bind(&mut self, dn: &str, password: &str) -> Result<Bound, LdapFailure> {
        self.retried(false, |wire| verdict(&wire.bind(dn, password)?))
    }

    /// Does something on a connection, on a new one if the old one broke. `as_ours` says that it is to be
    /// bound as `dn`, and stays so.
    fn retried<T>(
        &mut self,
        as_ours: bool,
        mut act: impl FnMut(&mut Wire) -> Result<T, LdapFailure>,
    ) -> Result<T, LdapFailure> {
        for is_last in [false, true] {
            let connected = self.connection(as_ours)?;
            connected.is_ours &= as_ours;
            match act(&mut connected.wire) {
                Err(LdapFailure::Connection(text)) => {
                    self.connected = None;
                    if is_last {
                        return Err(LdapFailure::Connection(text));
                    }
                }
                done => return done,
            }
        }
        Err(LdapFailure::Connection("Not connected".into()))
    }

    fn connection(&mut self, as_ours: bool) -> Result<&mut Connected, LdapFailure> {
        let rebound = match &mut self.connected {
            Some(connected) => {
                connected.wire.is_open()
                    && (!as_ours || connected.is_ours || bind_as_ours(&self.config, connected).is_ok())
            }
            None => false,
        };
        if !rebound {
            self.connected = None;
        }
        if self.connected.is_none() {
            self.connected = Some(self.connect()?);
        }
        self.connected.as_mut().ok_or_else(|| LdapFailure::Connection("Not connected".into()))
    }

    fn connect(&mut self) -> Result<Connected, LdapFailure> {
        let not_connected = || LdapFailure::Connection("Not connected to LDAP server".into());
        if self.failed.is_some_and(|failed| failed.elapsed() < RETRY_DELAY_MIN) {
            return Err(not_connected());
        }
        for uri in &self.config.uris {
            match open(&self.config, uri) {
                Ok(connected) => {
                    self.failed = None;
                    self.log.debug(format_args!("ldap({}): Connected to {uri}", self.config.path));
                    return Ok(connected);
                }
                Err(error) => self.log.error(format_args!("ldap({}): {error}", self.config.path)),
            }
        }
        self.failed = Some(Instant::now());
        Err(not_connected())
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("path", &self.config.path).finish_non_exhaustive()
    }
}

fn open(config: &LdapConfig, uri: &str) -> Result<Connected, LdapFailure> {
    let tls = |wanted: bool| wanted.then(|| config.tls.client_config()).transpose();
    let connect = |start_tls: bool| {
        let tls = tls(start_tls || uri.starts_with("ldaps:")).map_err(LdapFailure::Refused)?;
        Wire::connect(uri, tls, config.request_timeout)
            .map_err(|error| LdapFailure::Connection(format!("Can't connect to server: {uri}: {error}")))
    };
    let wire = match connect(config.start_tls) {
        Err(_) if config.tls_optional && config.start_tls => connect(false)?,
        connected => connected?,
    };
    let mut connected = Connected { wire, is_ours: false };
    bind_as_ours(config, &mut connected)?;
    Ok(connected)
}

fn bind_as_ours(config: &LdapConfig, connected: &mut Connected) -> Result<(), LdapFailure> {
    let result = match config.sasl_external {
        true => connected.wire.bind_external(),
        false => connected.wire.bind(&config.dn, &config.dnpass),
    };
    let dn = if config.dn.is_empty() { "(none)" } else { config.dn.as_str() };
    let failed =
        |error: &dyn std::fmt::Display| LdapFailure::Refused(format!("binding failed (dn {dn}): {error}"));
    match result {
        Ok(result) if result.code == SUCCESS => {
            connected.is_ours = true;
            Ok(())
        }
        Ok(result) => Err(failed(&describe(&result))),
        Err(error) => Err(failed(&error)),
    }
}

/// What becomes of a bind as `dn`, a search, and a bind as somebody else, at a server that says `said`
/// whatever it hears: what was found, up to the first failure, and what the server heard.
pub(crate) fn converse(
    config: &LdapConfig,
    said: &[u8],
    filter: &str,
    (dn, password): (&str, &str),
) -> (Vec<Entry>, Result<Bound, LdapFailure>, Vec<u8>) {
    let said = Said::new(said);
    let heard = said.heard.clone();
    let mut entries = Vec::new();
    let talk = |entries: &mut Vec<Entry>| {
        let mut wire = Wire::over(Box::new(said));
        if config.start_tls {
            wire = wire.start_tls("localhost", config.tls.client_config().map_err(LdapFailure::Refused)?)?;
        }
        let mut connected = Connected { wire, is_ours: false };
        bind_as_ours(config, &mut connected)?;
        let filter =
            filter::encode(filter).ok_or_else(|| LdapFailure::Refused("Bad search filter".into()))?;
        let (deref, attributes) = (config.deref, &config.pass_attrs.attributes);
        let search = Search { base: &config.base, scope: config.scope, deref, filter, attributes };
        let mut each = |entry| {
            entries.push(entry);
            entries.len() < 2
        };
        found(connected.wire.search(&search, &mut each)?)?;
        verdict(&connected.wire.bind(dn, password)?)
    };
    let bound = talk(&mut entries);
    let heard = heard.lock().map(|heard| heard.clone()).unwrap_or_default();
    (entries, bound, heard)
}

/// What a bind's result means.
fn verdict(result: &Outcome) -> Result<Bound, LdapFailure> {
    match result.code {
        SUCCESS => Ok(Bound::Yes),
        INVALID_CREDENTIALS => Ok(Bound::No),
        NO_SUCH_OBJECT | INVALID_DN_SYNTAX => Ok(Bound::NoSuchObject),
        BUSY | UNAVAILABLE => Err(LdapFailure::Connection(describe(result))),
        _ => Err(LdapFailure::Refused(describe(result))),
    }
}

/// What a search's result means.
fn found(result: Outcome) -> Result<(), LdapFailure> {
    match result.code {
        SUCCESS => Ok(()),
        // A base made of a user's name that is not there: nobody is found.
        NO_SUCH_OBJECT | INVALID_DN_SYNTAX => Ok(()),
        BUSY | UNAVAILABLE => Err(LdapFailure::Connection(describe(&result))),
        _ => Err(LdapFailure::Refused(describe(&result))),
    }
}

/// `Invalid credentials` and the like, with what the server adds.
fn describe(result: &Outcome) -> String {
    let name = match result.code {
        1 => "Operations error",
        3 => "Time limit exceeded",
        4 => "Size limit exceeded",
        8 => "Strong(er) authentication required",
        11 => "Administrative limit exceeded",
        13 => "Confidentiality required",
        18 => "Inappropriate matching",
        32 => "No such object",
        34 => "Invalid DN syntax",
        48 => "Inappropriate authentication",
        49 => "Invalid credentials",
        50 => "Insufficient access",
        51 => "Server is busy",
        52 => "Server is unavailable",
        53 => "Server is unwilling to perform",
        _ => return format!("error {}: {}", result.code, result.text),
    };
    match result.text.as_str() {
        "" => name.to_owned(),
        text => format!("{name}: {text}"),
    }
}
