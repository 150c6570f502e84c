//! `pam`: asked in workers only, since modules block and some wait on purpose.

use std::cell::Cell;
use std::path::Path;

use ipc::auth_worker::PassdbResult;
use sasl::Secret;
use sys::pam::{self, Answer, Question, Reason};

use crate::cache;
use crate::limits::PAM_REQUESTS_MAX;
use crate::request::Request;
use crate::vars;

/// What `args` say.
pub(crate) struct Pam {
    service: String,
    setcred: bool,
    session: bool,
    pub(super) failure_show_msg: bool,
    pub(super) cache_key: Option<String>,
    /// Before the process is replaced; modules are known to leak. 0 for no end.
    requests_left: Cell<u32>,
    has_complained: Cell<bool>,
}

impl Pam {
    pub(super) fn parse(args: &str) -> Result<Self, String> {
        let mut pam = Self {
            service: "dovecot".into(),
            setcred: false,
            session: false,
            failure_show_msg: false,
            cache_key: None,
            requests_left: Cell::new(PAM_REQUESTS_MAX),
            has_complained: Cell::new(false),
        };
        let words: Vec<&str> = args.split(' ').filter(|word| !word.is_empty()).collect();
        for (at, word) in words.iter().enumerate() {
            match *word {
                "-session" | "session=yes" => pam.session = true,
                "setcred=yes" => pam.setcred = true,
                "failure_show_msg=yes" => pam.failure_show_msg = true,
                "blocking=yes" => {}
                // The old way to say it.
                "*" => pam.service = "%Ls".into(),
                word => {
                    if let Some(key) = word.strip_prefix("cache_key=") {
                        pam.cache_key = Some(cache::key_of(key));
                    } else if let Some(count) = word.strip_prefix("max_requests=") {
                        let count = count.parse();
                        pam.requests_left
                            .set(count.map_err(|_| format!("pam: Invalid requests_left value: {word}"))?);
                    } else if at + 1 == words.len() {
                        pam.service = word.to_owned();
                    } else {
                        return Err(format!("pam: Unknown setting: {word}"));
                    }
                }
            }
        }
        Ok(pam)
    }

    /// Whether the process has asked often enough.
    pub(super) fn is_worn_out(&self) -> bool {
        self.requests_left.get() == 1
    }

    pub(super) fn verify(&self, request: &mut Request) -> PassdbResult {
        if self.requests_left.get() > 1 {
            self.requests_left.set(self.requests_left.get() - 1);
        }
        let service = match vars::expand(&self.service, request, vars::plain) {
            Ok(service) => service,
            Err(error) => {
                request.error(format_args!("Failed to expand service {}: {error}", self.service));
                return PassdbResult::InternalFailure;
            }
        };
        // The service may come from the client, and names a file.
        if service.contains(['/', '\0']) {
            request.error(format_args!("Invalid service name: {}", service.escape_debug()));
            return PassdbResult::InternalFailure;
        }
        request.debug(format_args!("lookup service={service}"));
        let password = request.password.clone().unwrap_or_default();
        let remote = request.facts.remote_ip.map(|ip| ip.to_string());
        let question = Question {
            service: &service,
            user: request.user(),
            password: password.expose(),
            remote_host: remote.as_deref(),
            setcred: self.setcred,
            session: self.session,
        };
        let conversation = match pam::ask(&question) {
            Ok(conversation) => conversation,
            // Nobody has such a name or password.
            Err(pam::PamError::Nul(_)) => {
                request.log_unknown_user();
                return PassdbResult::UserUnknown;
            }
            Err(error) => {
                request.error(error);
                return PassdbResult::InternalFailure;
            }
        };
        conversation.messages.iter().for_each(|line| request.debug(line));
        let result = match conversation.answer {
            Answer::Accepted(user) => {
                request.set_field("user", &user, "PLAIN");
                return PassdbResult::Ok;
            }
            Answer::Refused { step, reason, text } => {
                self.log(request, &service, &password, (step, reason, &text));
                result(reason)
            }
        };
        if let Some(prompt) = conversation.prompt.filter(|_| self.failure_show_msg) {
            request.set_field("reason", &prompt, "PLAIN");
        }
        result
    }

    fn log(&self, request: &Request, service: &str, password: &Secret, what: (&str, Reason, &str)) {
        let (step, reason, text) = what;
        if step != "pam_authenticate" {
            return request.error(format_args!("{step}() failed: {text}"));
        }
        let said = match reason {
            Reason::UnknownUser => "unknown user".to_owned(),
            _ => format!("pam_authenticate() failed: {text}"),
        };
        // A service without a file goes by `other`, which refuses everybody: that is a mistake
        // worth an error, once.
        if !self.has_complained.replace(true)
            && !Path::new("/etc/pam.d").join(service).exists()
            && Path::new("/etc/pam.d").exists()
        {
            return request.error(format_args!("{said} (/etc/pam.d/{service} missing?)"));
        }
        match reason {
            Reason::WrongPassword => {
                let given = match request.config.debug_passwords {
                    true => format!(" (given password: {})", password.expose_lossy().as_str()),
                    false => String::new(),
                };
                request.info(format_args!("{said} (Password mismatch?){given}"));
            }
            Reason::UnknownUser => request.log_unknown_user(),
            _ => request.info(said),
        }
    }
}

fn result(reason: Reason) -> PassdbResult {
    match reason {
        Reason::UnknownUser => PassdbResult::UserUnknown,
        Reason::Expired => PassdbResult::PassExpired,
        Reason::WrongPassword | Reason::Other => PassdbResult::PasswordMismatch,
    }
}
