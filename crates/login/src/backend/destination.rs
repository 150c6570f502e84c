//! Where a client is to be logged in to, and how: the passdb's fields.

use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::sasl_client::Mechanism;
use crate::notify::Refresh;
use crate::session::{Fields, Protocol};

/// How the connection to the other server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    /// Not at all.
    Plain,
    /// TLS from the first byte (`ssl`).
    Tls {
        /// Whatever its certificate.
        any_cert: bool,
    },
    /// TLS by command (`starttls`).
    StartTls {
        /// Whatever its certificate.
        any_cert: bool,
    },
}

/// What the passdb says.
pub(crate) struct Destination {
    /// `user`: who logged in here.
    pub(crate) user: String,
    /// `host`
    pub(crate) host: String,
    /// `hostip`, or the address that `host` is.
    pub(crate) ip: IpAddr,
    /// `port`
    pub(crate) port: u16,
    /// `destuser`: who that is over there.
    pub(crate) destuser: String,
    /// `master`: whose password it is.
    pub(crate) master: Option<String>,
    /// `pass`
    pub(crate) password: Zeroizing<String>,
    /// `source_ip`
    pub(crate) source_ip: Option<IpAddr>,
    /// `proxy_timeout`
    pub(crate) timeout: Option<Duration>,
    /// `proxy_host_immediate_failure_after`: a server that is down for longer is not waited for.
    pub(crate) down_after: Duration,
    /// `ssl` and `starttls`
    pub(crate) security: Security,
    /// `proxy_mech`; otherwise the protocol's own command.
    pub(super) mechanism: Option<Mechanism>,
    /// `proxy_nopipelining`: one command after the other.
    pub(crate) no_pipelining: bool,
    /// `proxy_not_trusted`: the other server is not told about the client.
    pub(crate) not_trusted: bool,
    /// `user_*`, for `doveadm proxy`.
    pub(crate) alt_usernames: Vec<(String, String)>,
    /// `proxy_refresh`: how often `login_proxy_notify_path` hears of the user; zero for never.
    refresh: Duration,
    /// `forward_*`, without the prefix.
    pub(crate) forward: Vec<(String, String)>,
}

/// 2.3's `LOGIN_PROXY_DEFAULT_HOST_IMMEDIATE_FAILURE_AFTER_SECS`.
const DOWN_AFTER: Duration = Duration::from_secs(30);

impl Destination {
    /// Reads the fields of a successful login of `user`. What is wrong but does not matter is added to
    /// `errors`.
    ///
    /// # Errors
    /// The line for the log.
    pub(crate) fn of(
        fields: &Fields,
        user: &str,
        protocol: Protocol,
        errors: &mut Vec<String>,
    ) -> Result<Self, String> {
        let field = |name: &str| fields.value(name).filter(|value| !value.is_empty());
        let password = fields.value("pass").ok_or("password not given")?;
        let host = field("host").ok_or("host not given")?;
        let ip = match field("hostip") {
            Some(hostip) => hostip.parse().map_err(|_| format!("Invalid hostip {hostip}"))?,
            None => host
                .parse()
                .map_err(|_| format!("BUG: host {host} is not an IP (auth should have changed it)"))?,
        };
        let master = field("master");
        let mechanism = match (fields.value("proxy_mech"), master) {
            (Some(name), _) => {
                Some(Mechanism::find(name).ok_or_else(|| format!("Unsupported SASL mechanism {name}"))?)
            }
            // Only PLAIN tells both names.
            (None, Some(_)) => Some(Mechanism::Plain),
            (None, None) => None,
        };
        Ok(Self {
            user: user.to_owned(),
            host: host.to_owned(),
            ip,
            port: port(fields, protocol, errors),
            destuser: fields.value("destuser").unwrap_or(user).to_owned(),
            master: master.map(str::to_owned),
            password: Zeroizing::new(password.to_owned()),
            source_ip: field("source_ip").and_then(|ip| ip.parse().ok()),
            timeout: timeout(fields, errors),
            down_after: down_after(fields, errors),
            security: security(fields),
            mechanism,
            no_pipelining: fields.has("proxy_nopipelining"),
            not_trusted: fields.has("proxy_not_trusted"),
            alt_usernames: fields
                .with_prefix("user_")
                .map(|(name, value)| (format!("user_{name}"), value))
                .collect(),
            refresh: refresh(fields, errors),
            forward: fields.with_prefix("forward_").collect(),
        })
    }

    /// Whether `login_proxy_notify_path` is to hear of the user.
    pub(crate) fn refresh(&self) -> Option<Refresh> {
        let refresh = Refresh { user: self.destuser.clone(), every: self.refresh };
        Some(refresh).filter(|refresh| !refresh.every.is_zero())
    }

    /// The first part of its log lines.
    pub(crate) fn log_prefix(&self) -> String {
        let Self { user, ip, port, .. } = self;
        format!("proxy({user},{ip}:{port}): ")
    }

    /// Who logs in over there and from where, where that is not obvious, for log lines. `source` is the
    /// address that is connected from, if one was chosen.
    pub(crate) fn details(&self, source: Option<IpAddr>) -> String {
        let mut text = String::new();
        if let Some(source) = source {
            text.push_str(&format!(" from {source}"));
        }
        if self.destuser != self.user {
            text.push_str(&format!(" as user {}", self.destuser));
        }
        if let Some(master) = &self.master {
            text.push_str(&format!(" (master {master})"));
        }
        text
    }
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destination")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

fn port(fields: &Fields, protocol: Protocol, errors: &mut Vec<String>) -> u16 {
    let given = fields.value("port").filter(|port| !port.is_empty());
    match given.map(|port| (port, port.parse())) {
        Some((_, Ok(port))) if port != 0 => return port,
        Some((port, _)) => errors.push(format!("Auth service returned invalid port number: {port}")),
        None => {}
    }
    ipc::connect::default_port(protocol.name(), fields.has("ssl"))
}

fn timeout(fields: &Fields, errors: &mut Vec<String>) -> Option<Duration> {
    let text = fields.value("proxy_timeout").filter(|text| !text.is_empty())?;
    // A number alone is in seconds, as it always was.
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds)).filter(|timeout| !timeout.is_zero());
    }
    match settings::value::duration(text) {
        Ok(timeout) => Some(timeout).filter(|timeout| !timeout.is_zero()),
        Err(error) => {
            errors.push(format!("BUG: Auth service returned invalid proxy_timeout value '{text}': {error}"));
            None
        }
    }
}

fn down_after(fields: &Fields, errors: &mut Vec<String>) -> Duration {
    let Some(text) = fields.value("proxy_host_immediate_failure_after") else { return DOWN_AFTER };
    settings::value::duration(text).unwrap_or_else(|error| {
        errors.push(format!(
            "BUG: Auth service returned invalid proxy_host_immediate_failure_after value '{text}': {error}"
        ));
        DOWN_AFTER
    })
}

fn refresh(fields: &Fields, errors: &mut Vec<String>) -> Duration {
    let seconds = fields.value("proxy_refresh").unwrap_or("0");
    Duration::from_secs(u64::from(seconds.parse::<u32>().unwrap_or_else(|_| {
        errors.push(format!("BUG: Auth service returned invalid proxy_refresh value: {seconds}"));
        0
    })))
}

fn security(fields: &Fields) -> Security {
    let any = |name: &str| fields.value(name) == Some("any-cert");
    let any_cert = any("ssl") || any("starttls");
    match (fields.has("starttls"), fields.has("ssl")) {
        (true, _) => Security::StartTls { any_cert },
        (false, true) => Security::Tls { any_cert },
        (false, false) => Security::Plain,
    }
}
