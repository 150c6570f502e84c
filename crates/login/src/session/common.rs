//! What both dialects share: the client's particulars, what it tried so far, and the words for
//! that in the log.

use std::sync::Arc;

use base::Level;
use net::tls::ClientCert;
use settings::vars::Expander;

use super::Protocol;
use super::auth::{FailCode, Mechanisms};
use crate::config::Config;
use crate::facts::{Peer, Tls};
use crate::log_line;

pub(super) struct Common {
    pub(super) protocol: Protocol,
    pub(super) config: Arc<Config>,
    pub(super) peer: Peer,
    pub(super) mechanisms: Arc<Mechanisms>,
    pub(super) session_id: String,
    pub(super) output: Vec<u8>,
    pub(super) lines: Vec<(Level, String)>,
    pub(super) created_s: u64,
    pub(super) authenticated_s: u64,
    pub(super) auth_is_ready: bool,
    pub(super) names: Names,
    pub(super) mechanism: Option<String>,
    pub(super) mail_pid: Option<u32>,
    pub(super) passdb_fields: Vec<String>,
    pub(super) postlogin_socket: Option<String>,
    pub(super) client_id: String,
    pub(super) forward_fields: String,
    /// How many more servers the login may be passed through.
    pub(super) proxy_ttl: u32,
    /// Another server has refused the login.
    pub(super) refused_elsewhere: bool,
    pub(super) bad_commands: u32,
    pub(super) attempts: u32,
    pub(super) successes: u32,
    pub(super) first_attempt_s: Option<u64>,
    /// A challenge was sent and no usable response came. As in 2.3 it stays set when the client
    /// gives up instead, and the log says "didn't finish SASL auth".
    pub(super) awaits_response: bool,
    pub(super) in_authentication: bool,
    pub(super) was_aborted: bool,
    pub(super) lost_auth: bool,
    pub(super) last_failure: Option<FailCode>,
}

/// The user's names, as far as they are known.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    /// `%u`.
    pub(crate) user: Option<String>,
    /// `%{orig_user}`: before the auth process changed it.
    pub(crate) original: Option<String>,
    /// `%{auth_user}`: whose password it was (a master user's).
    pub(crate) auth: Option<String>,
}

impl Common {
    pub(super) fn new(protocol: Protocol, config: Arc<Config>, peer: Peer, id: String, now: u64) -> Self {
        Self {
            protocol,
            config,
            peer,
            mechanisms: Arc::default(),
            session_id: id,
            output: Vec::new(),
            lines: Vec::new(),
            created_s: now,
            authenticated_s: 0,
            auth_is_ready: false,
            names: Names::default(),
            mechanism: None,
            mail_pid: None,
            passdb_fields: Vec::new(),
            postlogin_socket: None,
            client_id: String::new(),
            forward_fields: String::new(),
            proxy_ttl: crate::backend::TTL,
            refused_elsewhere: false,
            bad_commands: 0,
            attempts: 0,
            successes: 0,
            first_attempt_s: None,
            awaits_response: false,
            in_authentication: false,
            was_aborted: false,
            lost_auth: false,
            last_failure: None,
        }
    }

    /// Sends the parts one after the other.
    pub(super) fn say(&mut self, parts: &[&str]) {
        for part in parts {
            self.output.extend_from_slice(part.as_bytes());
        }
    }

    /// A line for the log with the client's particulars.
    pub(super) fn log(&mut self, level: Level, text: &str) {
        let line = log_line::format(&self.config.log, &self.facts(), text);
        self.lines.push((level, line));
    }

    /// The client's particulars as log lines show them.
    pub(super) fn facts(&self) -> log_line::Facts<'_> {
        log_line::Facts {
            protocol: self.protocol.name(),
            peer: &self.peer,
            names: &self.names,
            mechanism: self.mechanism.as_deref(),
            mail_pid: self.mail_pid,
            session_id: &self.session_id,
            passdb_fields: &self.passdb_fields,
        }
    }

    /// `login_greeting`, with its variables filled in.
    pub(super) fn greeting(&self) -> String {
        let template = &self.config.greeting;
        if !template.contains('%') {
            return template.clone();
        }
        let text = |ip: Option<std::net::IpAddr>| ip.map_or(String::new(), |ip| ip.to_string());
        let (local, remote) = (text(self.peer.ends.local_ip()), text(self.peer.ends.remote_ip()));
        let pid = std::process::id().to_string();
        let table = [
            ('l', "lip", Some(local.as_str())),
            ('r', "rip", Some(remote.as_str())),
            ('p', "pid", Some(pid.as_str())),
            ('s', "service", Some(self.protocol.name())),
            ('\0', "local_name", self.peer.local_name.as_deref()),
            ('\0', "local_ip", Some(local.as_str())),
            ('\0', "remote_ip", Some(remote.as_str())),
        ];
        let hostname = |name: &str, _: &str| (name == "hostname").then(|| self.config.here.host.clone());
        Expander { table: &table, env: &|_| None, dynamic: &hostname }.expand_all(template).0
    }

    /// Whether STARTTLS can be offered or used.
    pub(super) fn can_start_tls(&self) -> bool {
        self.config.ssl.is_on() && !self.peer.has_tls()
    }

    /// Whether a plain password may be sent now.
    pub(super) fn allows_plaintext(&self) -> bool {
        self.peer.secured || (!self.config.disable_plaintext_auth && !self.config.ssl.is_required())
    }

    /// How far the client had come when it went away, in brackets; empty if there is nothing to say.
    pub(super) fn how_far(&self, now: u64) -> String {
        let waited = now.saturating_sub(self.created_s);
        let auth_secs = self.first_attempt_s.map_or(0, |first| now.saturating_sub(first));
        let cert_required = self.config.auth_ssl_require_client_cert;
        if cert_required && matches!(self.peer.tls, Tls::On(_) | Tls::Handshaking(_)) {
            match self.peer.cert {
                ClientCert::Invalid(_) => return "(client sent an invalid cert)".into(),
                ClientCert::None => return "(client didn't send a cert)".into(),
                ClientCert::Valid { .. } => {}
            }
        }
        if !self.auth_is_ready {
            return format!("(disconnected before auth was ready, waited {waited} secs)");
        }
        if self.attempts == 0 {
            return format!("(no auth attempts in {waited} secs)");
        }
        if cert_required && self.peer.tls == Tls::Off {
            return "(cert required, client didn't start TLS)".into();
        }
        if self.attempts == 1 {
            if self.awaits_response {
                return format!("(client didn't finish SASL auth, waited {auth_secs} secs)");
            }
            if self.in_authentication {
                return match self.successes {
                    0 => format!("(disconnected while authenticating, waited {auth_secs} secs)"),
                    _ => format!("(disconnected while finishing login, waited {auth_secs} secs)"),
                };
            }
            if self.was_aborted {
                return "(aborted authentication)".into();
            }
        }
        if self.lost_auth {
            return "(auth process communication failure)".into();
        }
        if self.refused_elsewhere {
            return "(proxy dest auth failed)".into();
        }
        if self.successes > 0 {
            return format!("(internal failure, {} successful auths)", self.successes);
        }
        let attempts = self.attempts;
        match self.last_failure {
            Some(FailCode::AuthzFailed) => {
                format!("(authorization failed, {attempts} attempts in {auth_secs} secs)")
            }
            Some(FailCode::TempFail) => "(auth service reported temporary failure)".into(),
            Some(FailCode::UserDisabled) => "(user disabled)".into(),
            Some(FailCode::PassExpired) => "(password expired)".into(),
            Some(FailCode::InvalidBase64) => "(sent invalid base64 in response)".into(),
            Some(FailCode::LoginDisabled) => "(login disabled)".into(),
            Some(FailCode::MechInvalid) => "(tried to use unsupported auth mechanism)".into(),
            Some(FailCode::MechSslRequired) => "(tried to use disallowed plaintext auth)".into(),
            Some(FailCode::AnonymousDenied) | None => {
                format!("(auth failed, {attempts} attempts in {auth_secs} secs)")
            }
        }
    }
}
