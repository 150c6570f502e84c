//! Logging in, as far as IMAP and POP3 have it in common: which mechanisms may be used when, the
//! request to the auth process, and what its answer means.

use base::Level;
use net::tls::ClientCert;
use zeroize::Zeroizing;

use super::common::{Common, Names};
use super::{Action, Dialect, Fields, Step};
use crate::backend::{Destination, UNAVAILABLE};
use crate::facts::Tls;
use base::tab;

/// A SASL mechanism that the auth process offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mechanism {
    /// In upper case.
    pub(crate) name: String,
    /// It sends the password in the clear.
    pub(crate) plaintext: bool,
    /// It has a command of its own (APOP) and is not listed.
    pub(crate) private: bool,
    /// It needs a channel binding.
    pub(crate) bound: bool,
}

/// The mechanisms, and who offers them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mechanisms {
    /// In the auth process's order.
    pub(crate) list: Vec<Mechanism>,
    /// The auth process, `SPID`.
    pub(crate) server_pid: u32,
    /// Our connection's number there, `CUID`.
    pub(crate) connection_id: u32,
    /// Its cookie, which proves to it that a mail process speaks for one of its clients.
    pub(crate) cookie: String,
}

/// Everything after `AUTH <id>` of a request's line.
#[derive(Debug)]
pub(crate) struct AuthRequest(pub(crate) Zeroizing<String>);

/// Why a login failed, as the auth process codes it (`code=`), or we do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailCode {
    AuthzFailed,
    TempFail,
    UserDisabled,
    PassExpired,
    InvalidBase64,
    LoginDisabled,
    MechInvalid,
    MechSslRequired,
    AnonymousDenied,
}

impl FailCode {
    fn parse(code: &str) -> Option<Self> {
        Some(match code {
            "authz_fail" => Self::AuthzFailed,
            "temp_fail" => Self::TempFail,
            "user_disabled" => Self::UserDisabled,
            "pass_expired" => Self::PassExpired,
            "invalid_base64" => Self::InvalidBase64,
            "auth_mech_invalid" => Self::MechInvalid,
            "auth_mech_ssl_required" => Self::MechSslRequired,
            "anonymous_denied" => Self::AnonymousDenied,
            _ => return None,
        })
    }
}

/// How a login attempt ended without success; each protocol has its own response code for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// Another server is to be used.
    Referral {
        host: &'a str,
        port: Option<u16>,
        user: &'a str,
    },
    /// The client gave up.
    Aborted,
    /// Wrong name or password.
    AuthFailed,
    /// The same, with a reason for the user.
    AuthFailedReason,
    AuthzFailed,
    TempFail,
    LimitReached,
    PassExpired,
    SslRequired,
    InvalidBase64,
    LoginDisabled,
    MechInvalid,
    MechSslRequired,
    AnonymousDenied,
    /// Another server is set up so that nobody can log in there.
    Misconfigured,
}

/// An outcome and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) outcome: Outcome<'a>,
    pub(crate) text: &'a str,
}

const FAILED: &str = "Authentication failed.";

impl<'a> Answer<'a> {
    /// After `*`.
    pub(super) fn aborted() -> Self {
        Self { outcome: Outcome::Aborted, text: "Authentication aborted by client." }
    }

    /// Something here does not work now.
    pub(super) fn temporary(text: &'a str) -> Self {
        Self { outcome: Outcome::TempFail, text }
    }

    /// Another server can't be used as it is.
    pub(super) fn misconfigured(text: &'a str) -> Self {
        Self { outcome: Outcome::Misconfigured, text }
    }

    /// The user has enough connections already.
    pub(super) fn limit(text: &'a str) -> Self {
        Self { outcome: Outcome::LimitReached, text }
    }
}

/// Names of the mechanisms that this client may be offered now.
pub(super) fn advertised(common: &Common) -> impl Iterator<Item = &str> {
    let secured = common.peer.secured;
    let none = !secured && common.config.ssl.is_required();
    let plaintext = secured || !common.config.disable_plaintext_auth;
    let listed = move |mechanism: &&Mechanism| {
        !none && !mechanism.private && (plaintext || !mechanism.plaintext) && can_bind(common, mechanism)
    };
    common.mechanisms.list.iter().filter(listed).map(|mechanism| mechanism.name.as_str())
}

/// Whether the client's TLS session has what the mechanism needs, if it needs it.
fn can_bind(common: &Common, mechanism: &Mechanism) -> bool {
    !mechanism.bound || !common.peer.bindings.is_empty()
}

/// Whether a mechanism is there at all.
pub(super) fn has_mechanism(common: &Common, name: &str) -> bool {
    common.mechanisms.list.iter().any(|mechanism| mechanism.name.eq_ignore_ascii_case(name))
}

/// Begins a SASL exchange. `initial` is base64 as the client sent it, without the `=` that stands for
/// an empty one. `private` allows mechanisms that have a command of their own.
pub(super) fn begin(
    common: &mut Common,
    dialect: &mut dyn Dialect,
    mechanism: &str,
    initial: Option<&str>,
    private: bool,
    now: u64,
) -> Step {
    if !common.peer.secured && common.config.ssl.is_required() {
        if common.config.auth_verbose {
            common.log(Level::Info, "Login failed: SSL required for authentication");
        }
        common.attempts += 1;
        let text = "Authentication not allowed until SSL/TLS is enabled.";
        dialect.answer(common, &Answer { outcome: Outcome::SslRequired, text });
        return Step::Again;
    }
    common.attempts += 1;
    common.first_attempt_s.get_or_insert(now);
    common.mechanism = Some(mechanism.to_ascii_uppercase());
    common.in_authentication = true;
    let found = common.mechanisms.list.iter().find(|known| known.name.eq_ignore_ascii_case(mechanism));
    let (name, plaintext) = match found {
        Some(found) if (private || !found.private) && can_bind(common, found) => {
            (found.name.clone(), found.plaintext)
        }
        _ => {
            let text = "Unsupported authentication mechanism.";
            failed(common, dialect, text, Some(FailCode::MechInvalid));
            return Step::Again;
        }
    };
    if plaintext && !common.peer.secured && common.config.disable_plaintext_auth {
        failed(common, dialect, "Plaintext authentication disabled.", Some(FailCode::MechSslRequired));
        return Step::Again;
    }
    match request(common, &name, initial) {
        Some(request) => Step::Act(Action::Authenticate(Box::new(request))),
        None => {
            common.log(Level::Error, "Cannot get username from certificate: Missing username in certificate");
            failed(common, dialect, "Unable to validate certificate", Some(FailCode::AuthzFailed));
            Step::Again
        }
    }
}

/// Refuses a plain password over an insecure connection. `was_sent` if the password was on the wire
/// already. True if it may go on.
pub(super) fn check_plaintext(common: &mut Common, dialect: &mut dyn Dialect, was_sent: bool) -> bool {
    if common.allows_plaintext() {
        return true;
    }
    if common.config.auth_verbose {
        common.log(Level::Info, "Login failed: Plaintext authentication disabled");
    }
    if was_sent {
        let text = "Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. \
                    If anyone was listening, the password was exposed.";
        dialect.status(common, true, text);
    }
    let outcome = match common.config.ssl.is_required() {
        true => Outcome::SslRequired,
        false => Outcome::MechSslRequired,
    };
    let text = "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.";
    dialect.answer(common, &Answer { outcome, text });
    common.attempts += 1;
    false
}

/// A failure found here, before or in between the auth process's answers.
pub(super) fn failed(common: &mut Common, dialect: &mut dyn Dialect, reason: &str, code: Option<FailCode>) {
    if common.config.auth_verbose {
        let mechanism = common.mechanism.clone().unwrap_or_default();
        common.log(Level::Info, &format!("Authenticate {mechanism} failed: {reason}"));
    }
    common.in_authentication = false;
    common.last_failure = code;
    answer_failure(common, dialect, code, Some(reason), 0);
}

/// The auth process said no.
pub(super) fn refused(common: &mut Common, dialect: &mut dyn Dialect, fields: Fields, now: u64) {
    take_names(&mut common.names, &fields);
    common.in_authentication = false;
    let code = fields.value("code").and_then(FailCode::parse);
    let code = if fields.has("nologin") { Some(FailCode::LoginDisabled) } else { code };
    common.last_failure = code;
    if !refer(common, dialect, &fields) {
        answer_failure(common, dialect, code, fields.value("reason"), now);
    }
}

/// What becomes of a client that is who it says.
pub(super) enum Success {
    /// It is handed over to a mail process.
    HandOver,
    /// It is logged in to another server.
    Proxy(Box<Destination>),
    /// It may not log in, and was told so.
    Refused,
}

/// The auth process said yes.
pub(super) fn succeeded(common: &mut Common, dialect: &mut dyn Dialect, fields: Fields, now: u64) -> Success {
    common.successes += 1;
    take_names(&mut common.names, &fields);
    common.last_failure = None;
    let success = if fields.has("proxy") {
        common.in_authentication = false;
        proxied(common, dialect, &fields)
    } else if fields.has("nologin") {
        common.in_authentication = false;
        common.last_failure = Some(FailCode::LoginDisabled);
        if !refer(common, dialect, &fields) {
            answer_failure(common, dialect, common.last_failure, fields.value("reason"), now);
        }
        Success::Refused
    } else {
        Success::HandOver
    };
    common.postlogin_socket = fields.value("postlogin_socket").map(str::to_owned);
    common.passdb_fields = fields.into_vec();
    common.authenticated_s = now;
    success
}

fn proxied(common: &mut Common, dialect: &mut dyn Dialect, fields: &Fields) -> Success {
    let user = common.names.user.clone().unwrap_or_default();
    let mut errors = Vec::new();
    let destination = Destination::of(fields, &user, common.protocol, &mut errors);
    for error in errors {
        common.log(Level::Error, &error);
    }
    let destination = destination.and_then(|destination| {
        let own = &common.peer.ends;
        let is_own = own.local_ip() == Some(destination.ip.to_canonical())
            && own.local_port() == destination.port
            && destination.destuser == user;
        if is_own { Err("Proxying loops to itself".to_owned()) } else { Ok(destination) }
    });
    match destination {
        Ok(destination) => Success::Proxy(Box::new(destination)),
        Err(error) => {
            common.log(Level::Error, &format!("proxy({user}): {error}"));
            dialect.answer(common, &Answer::temporary(UNAVAILABLE));
            Success::Refused
        }
    }
}

/// The client's response in the form the auth process takes it, if it is base64 at all.
pub(super) fn checked_base64(line: &[u8]) -> Option<Zeroizing<String>> {
    sasl::encoding::from_base64(line).map(Zeroizing::new)?;
    std::str::from_utf8(line).ok().map(|line| Zeroizing::new(line.to_owned()))
}

/// Tells the client to go to another server, if the passdb names one (RFC 2221).
fn refer(common: &mut Common, dialect: &mut dyn Dialect, fields: &Fields) -> bool {
    let Some(host) = fields.value("host") else { return false };
    let user = common.names.user.clone().unwrap_or_default();
    let user = fields.value("destuser").unwrap_or(&user);
    let port = fields.value("port").and_then(|port| port.parse().ok());
    let text = fields.value("reason").unwrap_or("Try this server instead.");
    dialect.answer(common, &Answer { outcome: Outcome::Referral { host, port, user }, text });
    true
}

fn answer_failure(
    common: &mut Common,
    dialect: &mut dyn Dialect,
    code: Option<FailCode>,
    reason: Option<&str>,
    now: u64,
) {
    let outcome = match code {
        Some(FailCode::AuthzFailed) => Outcome::AuthzFailed,
        Some(FailCode::TempFail) => Outcome::TempFail,
        Some(FailCode::PassExpired) => Outcome::PassExpired,
        Some(FailCode::InvalidBase64) => Outcome::InvalidBase64,
        Some(FailCode::MechInvalid) => Outcome::MechInvalid,
        Some(FailCode::MechSslRequired) => Outcome::MechSslRequired,
        Some(FailCode::AnonymousDenied) => Outcome::AnonymousDenied,
        Some(FailCode::LoginDisabled) => Outcome::LoginDisabled,
        Some(FailCode::UserDisabled) | None => match reason {
            Some(_) => Outcome::AuthFailedReason,
            None => Outcome::AuthFailed,
        },
    };
    let when;
    let text = match (outcome, reason) {
        (Outcome::TempFail, _) => {
            when = format!(
                "Temporary authentication failure. [{}:{}]",
                common.config.here.host,
                common.config.here.local_time(now)
            );
            &when
        }
        (_, Some(reason)) => reason,
        (Outcome::AuthzFailed, None) => "Authorization failed",
        (Outcome::LoginDisabled, None) => "Login disabled for this user",
        (_, None) => FAILED,
    };
    dialect.answer(common, &Answer { outcome, text });
}

fn take_names(names: &mut Names, fields: &Fields) {
    if let Some(user) = fields.value("user") {
        *names = Names { user: Some(user.to_owned()), original: None, auth: None };
    }
    if let Some(original) = fields.value("original_user") {
        names.original = Some(original.to_owned());
    }
    if let Some(auth) = fields.value("auth_user") {
        names.auth = Some(auth.to_owned());
    }
}

/// The request's line, in the order 2.3 writes its parameters; `None` if the certificate was to
/// name the user and does not.
fn request(common: &Common, mechanism: &str, initial: Option<&str>) -> Option<AuthRequest> {
    let peer = &common.peer;
    let mut line = Zeroizing::new(String::with_capacity(256 + initial.map_or(0, str::len)));
    tab::push(&mut line, mechanism);
    line.push_str("\tservice=");
    line.push_str(common.protocol.name());
    if peer.secured {
        line.push_str(if peer.tls == Tls::Off { "\tsecured" } else { "\tsecured=tls" });
    }
    let cert_name = match &peer.cert {
        ClientCert::Valid { username, .. } => {
            line.push_str("\tvalid-client-cert");
            let username = username.as_deref().filter(|name| !name.is_empty());
            if username.is_none()
                && common.config.auth_ssl_username_from_cert
                && common.config.auth_ssl_require_client_cert
            {
                return None;
            }
            username
        }
        _ => peer.proxied_cert_name.as_deref(),
    };
    field(&mut line, "session", &common.session_id);
    if let Some(name) = cert_name {
        field(&mut line, "cert_username", name);
    }
    addresses(&mut line, common);
    if let Some(name) = peer.local_name.as_deref().filter(|name| !name.is_empty()) {
        field(&mut line, "local_name", name);
    }
    if !common.client_id.is_empty() {
        field(&mut line, "client_id", &common.client_id);
    }
    if !common.forward_fields.is_empty() {
        field(&mut line, "forward_fields", &common.forward_fields);
    }
    bindings(&mut line, common, mechanism);
    if let Some(initial) = initial {
        field(&mut line, "resp", initial);
    }
    Some(AuthRequest(line))
}

/// Channel bindings are for the mechanisms that use one, and for their siblings that do not, which must
/// find out whether the client was kept from seeing the offer (RFC 5802 §6).
fn bindings(line: &mut String, common: &Common, mechanism: &str) {
    let name = mechanism.strip_suffix("-PLUS").unwrap_or(mechanism);
    let mut known = common.mechanisms.list.iter().filter(|known| known.bound);
    if !known.any(|known| known.name.strip_suffix("-PLUS") == Some(name)) {
        return;
    }
    let bindings = &common.peer.bindings;
    for (key, binding) in [("cbind_exporter", &bindings.exporter), ("cbind_end_point", &bindings.end_point)] {
        if let Some(binding) = binding {
            field(line, key, &sasl::encoding::base64(binding));
        }
    }
}

fn addresses(line: &mut String, common: &Common) {
    let (ends, real) = (&common.peer.ends, &common.peer.real);
    let mut ip = |name: &str, ip: Option<std::net::IpAddr>| {
        if let Some(ip) = ip {
            field(line, name, &ip.to_string());
        }
    };
    ip("lip", ends.local_ip());
    ip("rip", ends.remote_ip());
    let mut port = |name: &str, port: u16| {
        if port != 0 {
            field(line, name, &port.to_string());
        }
    };
    port("lport", ends.local_port());
    port("rport", ends.remote_port());
    let mut ip = |name: &str, real: Option<std::net::IpAddr>, told| {
        if let Some(real) = real.filter(|_| real != told) {
            field(line, name, &real.to_string());
        }
    };
    ip("real_lip", real.local_ip(), ends.local_ip());
    ip("real_rip", real.remote_ip(), ends.remote_ip());
    let mut port = |name: &str, real: u16, told: u16| {
        if real != 0 && real != told {
            field(line, name, &real.to_string());
        }
    };
    port("real_lport", real.local_port(), ends.local_port());
    port("real_rport", real.remote_port(), ends.remote_port());
}

fn field(line: &mut String, name: &str, value: &str) {
    line.push('\t');
    line.push_str(name);
    line.push('=');
    tab::push(line, value);
}
