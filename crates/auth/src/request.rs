//! One authentication or lookup: what is known, what databases have said, and its log lines.

pub(crate) mod fields;
mod log;
mod name;

use std::rc::Rc;

use ipc::auth_worker::{Facts, PassdbResult, Secured, Subject};
use sasl::Secret;
use sasl::encoding::from_base64;
use sasl::mech::Bindings;

use crate::config::Config;
use crate::fields::Fields;
use crate::rehash::Outdated;

pub(crate) use log::{Label, Scope};

/// A request on its way through the databases.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) config: Rc<Config>,
    pub(crate) facts: Facts,
    /// Extra fields of passdbs, many of them for the client.
    pub(crate) fields: Fields,
    /// Fields of userdbs; `None` until one was asked or a passdb gave some.
    pub(crate) userdb: Option<Fields>,
    /// What the client gave as password.
    pub(crate) password: Option<Secret>,
    /// The one-time code that stood at its end.
    pub(crate) code: Option<Secret>,
    /// What the present passdb has stored, with its `{SCHEME}`.
    pub(crate) stored: Option<Secret>,
    /// The number of the present database, which is part of cache keys.
    pub(crate) database_id: usize,
    pub(crate) progress: Progress,
    /// Whose log lines these are, while a database is being asked.
    pub(crate) label: Option<Label>,
    pub(crate) scope: Scope,
    /// The mechanism can be told the last data together with the success.
    pub(crate) final_response_ok: bool,
    pub(crate) last_penalty: u32,
    /// The mail process asks for a token.
    pub(crate) wants_token: bool,
    /// What ties the client's TLS session to the exchange, as the login process says.
    pub(crate) bindings: Bindings,
    /// The realm of a DIGEST-MD5 secret, where it is not in the user's name.
    pub(crate) digest_realm: Option<String>,
    /// Where clients learn how to get a token, for the answer to one that is refused.
    pub(crate) openid_configuration: Option<String>,
}

/// How far a request has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// A check other than that of the password failed.
    pub(crate) failed: bool,
    pub(crate) passdb_success: bool,
    pub(crate) userdb_success: bool,
    pub(crate) internal_failure: bool,
    pub(crate) saw_user_unknown: bool,
    pub(crate) saw_internal_failure: bool,
    /// A userdb field said that the lookup failed for now.
    pub(crate) tempfailed: bool,
    pub(crate) prefetched: bool,
    pub(crate) prefetched_before: bool,
    pub(crate) user_changed: bool,
    pub(crate) delay_until_s: u64,
    pub(crate) passdb_result: Option<PassdbResult>,
    /// The policy server was asked.
    pub(crate) policy_asked: bool,
    /// It refused the login.
    pub(crate) policy_refused: bool,
    /// The user or its network is banned.
    pub(crate) is_banned: bool,
    /// So many `passdb_import` and `userdb_import` are being read, one within the other.
    pub(crate) imports: usize,
    /// The password's hash is to be replaced.
    pub(crate) outdated: Option<Outdated>,
    /// Credentials that an earlier passdb gave.
    pub(crate) delayed_credentials: Option<Secret>,
}

impl Request {
    pub(crate) fn new(config: Rc<Config>, scope: Scope) -> Self {
        Self {
            config,
            facts: Facts::default(),
            fields: Fields::default(),
            userdb: None,
            password: None,
            code: None,
            stored: None,
            database_id: 0,
            progress: Progress::default(),
            label: None,
            scope,
            final_response_ok: false,
            last_penalty: 0,
            wants_token: false,
            bindings: Bindings::default(),
            digest_realm: None,
            openid_configuration: None,
        }
    }

    /// Another one with the same facts, for log lines.
    pub(crate) fn twin(&self) -> Self {
        let mut twin = Self::new(self.config.clone(), self.scope.clone());
        twin.facts = self.facts.clone();
        twin
    }

    /// Whether this is `auth_anonymous_username`, however it was logged in.
    pub(crate) fn is_anonymous(&self) -> bool {
        let name = &self.config.anonymous_username;
        !name.is_empty() && self.facts.user.as_ref() == Some(name)
    }

    /// A request that another process began.
    pub(crate) fn from_subject(config: Rc<Config>, scope: Scope, subject: Subject) -> Self {
        let mut request = Self::new(config, scope);
        request.facts = subject.facts;
        request.fields = Fields::new(subject.fields);
        request.userdb = subject.userdb.map(Fields::new);
        request.progress.prefetched = subject.prefetched;
        request.progress.delay_until_s = subject.delay_until_s;
        request
    }

    /// What another process needs of it.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            facts: self.facts.clone(),
            fields: self.fields.list().to_vec(),
            userdb: self.userdb.as_ref().map(|fields| fields.list().to_vec()),
            prefetched: self.progress.prefetched,
            failed: self.progress.failed,
            tempfailed: self.progress.tempfailed,
            user_changed: self.progress.user_changed,
            delay_until_s: self.progress.delay_until_s,
        }
    }

    /// What another process made of it.
    pub(crate) fn absorb(&mut self, subject: Subject) {
        self.facts = subject.facts;
        self.fields.replace(subject.fields);
        match (&mut self.userdb, subject.userdb) {
            (Some(own), Some(list)) => own.replace(list),
            (own @ None, Some(list)) => *own = Some(Fields::new(list)),
            (_, None) => {}
        }
        self.progress.prefetched = subject.prefetched;
        self.progress.failed |= subject.failed;
        self.progress.tempfailed |= subject.tempfailed;
        self.progress.user_changed |= subject.user_changed;
        self.progress.delay_until_s = subject.delay_until_s;
    }

    /// The user's name, empty while nobody knows it.
    pub(crate) fn user(&self) -> &str {
        self.facts.user.as_deref().unwrap_or_default()
    }

    /// Takes a parameter that every client may set. Unknown ones are no mistake: newer clients
    /// have more.
    pub(crate) fn import_info(&mut self, key: &str, value: &str) -> bool {
        let facts = &mut self.facts;
        let text = || Some(value.to_owned());
        match key {
            "service" => facts.service = value.to_owned(),
            "lip" => {
                facts.local_ip = value.parse().ok().or(facts.local_ip);
                facts.real_local_ip = facts.real_local_ip.or(facts.local_ip);
            }
            "rip" => {
                facts.remote_ip = value.parse().ok().or(facts.remote_ip);
                facts.real_remote_ip = facts.real_remote_ip.or(facts.remote_ip);
            }
            "lport" => {
                facts.local_port = value.parse().unwrap_or(facts.local_port);
                if facts.real_local_port == 0 {
                    facts.real_local_port = facts.local_port;
                }
            }
            "rport" => {
                facts.remote_port = value.parse().unwrap_or(facts.remote_port);
                if facts.real_remote_port == 0 {
                    facts.real_remote_port = facts.remote_port;
                }
            }
            "real_lip" => facts.real_local_ip = value.parse().ok().or(facts.real_local_ip),
            "real_rip" => facts.real_remote_ip = value.parse().ok().or(facts.real_remote_ip),
            "real_lport" => facts.real_local_port = value.parse().unwrap_or(facts.real_local_port),
            "real_rport" => facts.real_remote_port = value.parse().unwrap_or(facts.real_remote_port),
            "local_name" => facts.local_name = text(),
            "session" => facts.session = text(),
            "client_id" => facts.client_id = text(),
            "debug" => self.scope.debug = true,
            "forward_fields" => {
                for word in crate::tab::words(value) {
                    let (key, value) = crate::tab::pair(&word);
                    self.fields.add(&format!("forward_{key}"), Some(value));
                }
                // They survive passdbs that fail.
                self.fields.snapshot();
            }
            _ => return false,
        }
        true
    }

    /// Takes a parameter of an `AUTH` line.
    pub(crate) fn import_auth(&mut self, key: &str, value: &str) -> bool {
        if self.import_info(key, value) {
            return true;
        }
        match key {
            "secured" if value == "tls" => self.facts.secured = Secured::Tls,
            "secured" => self.facts.secured = Secured::Trusted,
            "final-resp-ok" => self.final_response_ok = true,
            "no-penalty" => self.facts.no_penalty = true,
            "valid-client-cert" => self.facts.valid_client_cert = true,
            "cbind_exporter" => self.bindings.exporter = from_base64(value.as_bytes()),
            "cbind_end_point" => self.bindings.end_point = from_base64(value.as_bytes()),
            "cert_username" => {
                if self.config.ssl_username_from_cert && !value.is_empty() {
                    self.facts.user = Some(value.to_owned());
                    self.facts.cert_username = true;
                }
            }
            _ => return false,
        }
        true
    }
}
