//! Log lines of a request: `passwd-file(user,10.0.0.1,<session>): unknown user`.

use std::fmt::Display;
use std::rc::Rc;

use base::{Level, Logger};
use ipc::auth_worker::PassdbResult;
use sasl::encoding::hex;
use sha1::{Digest, Sha1};

use super::Request;
use crate::config::VerbosePasswords;
use crate::limits::LOG_USERNAME_CHARS;

/// Where log lines go and what stands before them.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) log: Logger,
    /// `conn unix:auth-worker (pid=1,uid=2): auth-worker<3>: ` in a worker, else empty.
    pub(crate) before: Rc<str>,
    /// The client asked for debug lines (`debug`), or the configuration does.
    pub(crate) debug: bool,
}

/// The database that is being asked.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) name: Rc<str>,
    pub(crate) verbose: Option<bool>,
    /// What comes behind it in the configuration: another `passdb` or `userdb`, or nothing.
    pub(crate) next: Option<&'static str>,
}

impl Request {
    /// `name(user,ip,master,<session>): `
    pub(crate) fn prefix(&self, name: &str) -> String {
        let mut text = format!("{}{name}(", self.scope.before);
        match &self.facts.user {
            None => text.push('?'),
            Some(user) => {
                text.extend(user.chars().take(LOG_USERNAME_CHARS));
                if user.chars().nth(LOG_USERNAME_CHARS).is_some() {
                    text.push_str("...");
                }
            }
        }
        if let Some(ip) = self.facts.remote_ip {
            text.push_str(&format!(",{ip}"));
        }
        if self.facts.login_user.is_some() {
            text.push_str(",master");
        }
        if let Some(session) = &self.facts.session {
            text.push_str(&format!(",<{session}>"));
        }
        text.push_str("): ");
        text
    }

    /// The prefix of the database that is being asked; none between databases, as in 2.3.
    fn database_prefix(&self) -> String {
        self.label.as_ref().map_or_else(|| self.scope.before.to_string(), |label| self.prefix(&label.name))
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.scope.debug || self.config.debug
    }

    fn write(&self, level: Level, prefix: &str, text: impl Display) {
        if level == Level::Debug {
            return self.scope.log.clone().with_debug(true).debug(format_args!("{prefix}{text}"));
        }
        self.scope.log.log(level, format_args!("{prefix}{text}"));
    }

    pub(crate) fn debug(&self, text: impl Display) {
        if self.is_debug() {
            self.write(Level::Debug, &self.database_prefix(), text);
        }
    }

    /// An info line of the database, for `auth_verbose`.
    pub(crate) fn info(&self, text: impl Display) {
        let verbose = match &self.label {
            Some(label) => label.verbose.unwrap_or(self.config.verbose),
            // Between databases 2.3 logs whatever `auth_verbose` says.
            None => true,
        };
        if verbose {
            self.write(Level::Info, &self.database_prefix(), text);
        }
    }

    /// The same between databases, for `auth_verbose` only.
    pub(crate) fn info_if_verbose(&self, text: impl Display) {
        if self.config.verbose {
            self.info(text);
        }
    }

    pub(crate) fn warning(&self, text: impl Display) {
        self.write(Level::Warning, &self.database_prefix(), text);
    }

    pub(crate) fn error(&self, text: impl Display) {
        self.write(Level::Error, &self.database_prefix(), text);
    }

    /// An error line under a name of its own.
    pub(crate) fn error_as(&self, name: &str, text: impl Display) {
        self.write(Level::Error, &self.prefix(name), text);
    }

    /// An info line under a name of its own.
    pub(crate) fn info_as(&self, name: &str, text: impl Display) {
        self.write(Level::Info, &self.prefix(name), text);
    }

    /// 2.3's debug line when an authentication is decided.
    pub(crate) fn log_finished(&self) {
        self.debug_as("auth", "Auth request finished");
    }

    /// An info line of the mechanism, for `auth_verbose`.
    pub(crate) fn mechanism_info(&self, text: impl Display) {
        if self.config.verbose {
            self.write(Level::Info, &self.prefix(&self.mechanism_name()), text);
        }
    }

    pub(crate) fn mechanism_error(&self, text: impl Display) {
        self.write(Level::Error, &self.prefix(&self.mechanism_name()), text);
    }

    /// A debug line under a name of its own.
    pub(crate) fn debug_as(&self, name: &str, text: impl Display) {
        if self.is_debug() {
            self.write(Level::Debug, &self.prefix(name), text);
        }
    }

    pub(crate) fn mechanism_name(&self) -> String {
        self.facts.mechanism.as_deref().map_or_else(|| "none".to_owned(), str::to_ascii_lowercase)
    }

    pub(crate) fn log_unknown_user(&self) {
        self.log_login_failure("unknown user");
    }

    pub(crate) fn log_password_mismatch(&self) {
        self.log_login_failure("Password mismatch");
    }

    /// The same where the directory said so.
    pub(crate) fn log_bind_mismatch(&self) {
        self.log_login_failure("Password mismatch (for LDAP bind)");
    }

    /// What a passdb says that gave neither a password nor `nopassword`: that is right only where
    /// another one has verified the password.
    pub(crate) fn password_missing(&self) -> PassdbResult {
        if self.facts.skip_password_check {
            return PassdbResult::Ok;
        }
        self.info("No password returned (and no nopassword)");
        PassdbResult::PasswordMismatch
    }

    /// With `auth_verbose_passwords` the line comes in any case, and says what was given.
    fn log_login_failure(&self, text: &str) {
        let Some(given) = self.given_password() else { return self.info(text) };
        let next = self.label.as_ref().and_then(|label| label.next);
        let next = next.map_or_else(String::new, |kind| format!(" - trying the next {kind}"));
        self.write(Level::Info, &self.database_prefix(), format_args!("{text} {given}{next}"));
    }

    fn given_password(&self) -> Option<String> {
        let shown = |text: &str, most| text.chars().take(most).collect::<String>();
        let password = || self.password.as_ref();
        match self.config.verbose_passwords {
            VerbosePasswords::No => None,
            VerbosePasswords::Plain(most) => Some(password().map_or_else(String::new, |password| {
                format!("(given password: {})", shown(&password.expose_lossy(), most))
            })),
            VerbosePasswords::Sha1(most) => Some(password().map_or_else(String::new, |password| {
                let digest = hex(&Sha1::digest(password.expose()));
                format!("(SHA1 of given password: {})", shown(&digest, most))
            })),
        }
    }
}
