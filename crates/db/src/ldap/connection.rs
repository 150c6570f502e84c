//! A directory behind one or several servers: connected when first needed, connected anew when the
//! connection broke, and from another server when the first is gone. All of it blocks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use base::Logger;
use ldap3::{LdapConn, LdapConnSettings, LdapError, LdapResult, ResultEntry, Scope, SearchOptions};

use super::{AttrMap, Entry, LdapConfig};
use crate::limits::{LDAP_CONNECT_TIMEOUT, RETRY_DELAY_MIN};

/// Result codes, RFC 4511 appendix A.
const SUCCESS: u32 = 0;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_DN_SYNTAX: u32 = 34;
const INVALID_CREDENTIALS: u32 = 49;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;

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
    connection: LdapConn,
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
        scope: Scope,
        filter: &str,
        attributes: &[String],
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), LdapFailure> {
        let mut seen = false;
        self.retried(true, |connection, deref| {
            let mut each = |entry| {
                seen = true;
                each(entry)
            };
            match search(connection, deref, base, scope, filter, attributes, &mut each) {
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
        let mut found = None;
        self.retried(true, |connection, deref| {
            search(connection, deref, dn, Scope::Base, "(objectClass=*)", attributes, &mut |entry| {
                found = Some(entry);
                true
            })
        })?;
        Ok(found)
    }

    /// Whether `password` is that of `dn`. The caller does not ask with an empty one, which every
    /// server takes as a wish to be nobody (RFC 4513 §5.1.2).
    ///
    /// # Errors
    /// The server cannot be reached or refuses to say.
    pub fn bind(&mut self, dn: &str, password: &str) -> Result<Bound, LdapFailure> {
        self.retried(false, |connection, _| {
            let result = guarded(|| connection.simple_bind(dn, password));
            result.and_then(|result| verdict(&result))
        })
    }

    /// Does something on a connection, on a new one if the old one broke. `as_ours` says that it is to be
    /// bound as `dn`, and stays so.
    fn retried<T>(
        &mut self,
        as_ours: bool,
        mut act: impl FnMut(&mut LdapConn, SearchOptions) -> Result<T, LdapFailure>,
    ) -> Result<T, LdapFailure> {
        for is_last in [false, true] {
            let deref = SearchOptions::new().deref(self.config.deref);
            let timeout = self.config.request_timeout;
            let connected = self.connection(as_ours)?;
            connected.is_ours &= as_ours;
            match act(connected.connection.with_timeout(timeout), deref) {
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
                !connected.connection.is_closed()
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
    let connect = |start_tls: bool| {
        let mut settings = LdapConnSettings::new().set_conn_timeout(LDAP_CONNECT_TIMEOUT);
        if start_tls || uri.starts_with("ldaps:") {
            let tls = config.tls.client_config().map_err(LdapFailure::Refused)?;
            settings = settings.set_config(tls).set_starttls(start_tls);
        }
        guarded(|| LdapConn::with_settings(settings, uri))
            .map_err(|error| LdapFailure::Connection(format!("Can't connect to server: {uri}: {error}")))
    };
    let connection = match connect(config.start_tls) {
        Err(_) if config.tls_optional && config.start_tls => connect(false)?,
        connected => connected?,
    };
    let mut connected = Connected { connection, is_ours: false };
    bind_as_ours(config, &mut connected)?;
    Ok(connected)
}

fn bind_as_ours(config: &LdapConfig, connected: &mut Connected) -> Result<(), LdapFailure> {
    let connection = connected.connection.with_timeout(config.request_timeout);
    let result = guarded(|| match config.sasl_external {
        true => connection.sasl_external_bind(),
        false => connection.simple_bind(&config.dn, &config.dnpass),
    });
    let dn = if config.dn.is_empty() { "(none)" } else { config.dn.as_str() };
    let failed =
        |error: &dyn std::fmt::Display| LdapFailure::Refused(format!("binding failed (dn {dn}): {error}"));
    match result {
        Ok(result) if result.rc == SUCCESS => {
            connected.is_ours = true;
            Ok(())
        }
        Ok(result) => Err(failed(&describe(&result))),
        Err(error) => Err(failed(&error)),
    }
}

/// What a bind's result means.
fn verdict(result: &LdapResult) -> Result<Bound, LdapFailure> {
    match result.rc {
        SUCCESS => Ok(Bound::Yes),
        INVALID_CREDENTIALS => Ok(Bound::No),
        NO_SUCH_OBJECT | INVALID_DN_SYNTAX => Ok(Bound::NoSuchObject),
        BUSY | UNAVAILABLE => Err(LdapFailure::Connection(describe(result))),
        _ => Err(LdapFailure::Refused(describe(result))),
    }
}

fn search(
    connection: &mut LdapConn,
    options: SearchOptions,
    base: &str,
    scope: Scope,
    filter: &str,
    attributes: &[String],
    each: &mut dyn FnMut(Entry) -> bool,
) -> Result<(), LdapFailure> {
    let connection = connection.with_search_options(options);
    let mut stream = guarded(|| connection.streaming_search(base, scope, filter, attributes.to_vec()))?;
    while let Some(found) = guarded(|| stream.next())? {
        // Referrals are not followed, like 2.3's.
        if found.is_ref() || found.is_intermediate() {
            continue;
        }
        let entry = entry(found)
            .ok_or_else(|| LdapFailure::Connection("The server sent an entry that cannot be read".into()))?;
        if !each(entry) {
            // It ends as one that was cancelled.
            return guarded(|| Ok(stream.result())).map(drop);
        }
    }
    let result = guarded(|| Ok(stream.result()))?;
    match result.rc {
        SUCCESS => Ok(()),
        // A base made of a user's name that is not there: nobody is found.
        NO_SUCH_OBJECT | INVALID_DN_SYNTAX => Ok(()),
        BUSY | UNAVAILABLE => Err(LdapFailure::Connection(describe(&result))),
        _ => Err(LdapFailure::Refused(describe(&result))),
    }
}

/// Reads what the server sent without believing that it is well-formed.
fn entry(found: ResultEntry) -> Option<Entry> {
    let mut parts = found.0.match_id(4)?.expect_constructed()?.into_iter();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let dn = text(parts.next()?.expect_primitive()?);
    let mut attributes = Vec::new();
    for attribute in parts.next()?.expect_constructed()? {
        let mut parts = attribute.expect_constructed()?.into_iter();
        let name = text(parts.next()?.expect_primitive()?);
        let values = parts.next()?.expect_constructed()?.into_iter();
        let values = values.map(|value| value.expect_primitive().map(text)).collect::<Option<_>>()?;
        attributes.push((name, values));
    }
    Some(Entry { dn, attributes })
}

/// The library panics at some answers that are no LDAP; that is the server's fault, not ours.
fn guarded<T>(act: impl FnOnce() -> Result<T, LdapError>) -> Result<T, LdapFailure> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error @ LdapError::FilterParsing)) => Err(LdapFailure::Refused(error.to_string())),
        Ok(Err(LdapError::Timeout { .. })) => Err(LdapFailure::Connection("Timed out".into())),
        Ok(Err(LdapError::Io { source })) => Err(LdapFailure::Connection(base::reason(&source))),
        Ok(Err(error)) => Err(LdapFailure::Connection(error.to_string())),
        Err(_) => Err(LdapFailure::Connection("The server sent an answer that cannot be read".into())),
    }
}

/// `Invalid credentials` and the like, with what the server adds.
fn describe(result: &LdapResult) -> String {
    let name = match result.rc {
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
        _ => return format!("error {}: {}", result.rc, result.text),
    };
    match result.text.as_str() {
        "" => name.to_owned(),
        text => format!("{name}: {text}"),
    }
}
