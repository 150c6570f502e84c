//! The policy server: asked before and after a password is checked, and told how the login went.
//! Its client blocks, so it runs on threads of its own, a limited number of them.

use std::sync::Arc;
use std::time::Duration;

use db::http::HttpResponse;
use db::policy::{Attributes, Command, PolicyError, PolicyServer, Verdict};
use db::tls::{TlsOptions, Verify};
use ipc::auth_worker::Secured;
use sasl::Secret;
use sasl::encoding::hex;
use settings::digest::truncate;
use tokio::sync::Semaphore;

use crate::config::PolicyConfig;
use crate::limits::{POLICY_CONNECTIONS_MAX, REQUEST_TIMEOUT};
use crate::request::Request;
use crate::server::Auth;
use crate::vars;

/// The server and what it is told.
pub(crate) struct Policy {
    server: Arc<PolicyServer>,
    attributes: Attributes,
    permits: Arc<Semaphore>,
}

/// When the server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

impl Policy {
    /// `None` without `auth_policy_server_url`.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(crate) fn new(config: &PolicyConfig) -> Result<Option<Self>, String> {
        if config.url.is_empty() {
            return Ok(None);
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let tls = TlsOptions {
            ca_file: some(&config.ca_file),
            ca_dir: some(&config.ca_dir),
            verify: if config.needs_valid_cert { Verify::Full } else { Verify::Nothing },
            ..TlsOptions::default()
        };
        Ok(Some(Self {
            server: Arc::new(PolicyServer::new(&config.url, &config.api_header, config.timeout, &tls)?),
            attributes: Attributes::parse(&config.attributes)?,
            permits: Arc::new(Semaphore::new(POLICY_CONNECTIONS_MAX)),
        }))
    }

    /// Sends a command when its turn has come.
    async fn send(&self, command: Command, json: String) -> Result<HttpResponse, PolicyError> {
        let turn = self.permits.clone().acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(self.server.timeout(), turn).await else {
            return Err(PolicyError::Http("Request timed out in the queue".into()));
        };
        let server = self.server.clone();
        let sent = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            server.send(command, json)
        });
        sent.await.unwrap_or_else(|error| Err(PolicyError::Http(error.to_string())))
    }

    /// What the server is told of a request.
    fn json(&self, request: &Request, command: Command) -> String {
        let asked = request.facts.login_user.as_deref().unwrap_or(request.user());
        let hash = hashed_password(&request.config.policy, asked, request.password.as_ref());
        let variables = [('\0', "hashed_password", Some(&*hash)), ('\0', "requested_username", Some(asked))];
        let expand = |template: &str| {
            vars::expand_with(template, request, &variables).unwrap_or_else(|error| {
                let text = format!("Failed to expand auth policy template: {error}");
                request.error_as("policy", text);
                String::new()
            })
        };
        let progress = &request.progress;
        let success = !progress.failed && request.facts.successful && !progress.internal_failure;
        let tls = ("tls", request.facts.secured == Secured::Tls);
        match command {
            Command::Allow => self.attributes.json(&expand, &[tls]),
            Command::Report => {
                let refused = ("policy_reject", progress.policy_refused);
                self.attributes.json(&expand, &[("success", success), refused, tls])
            }
        }
    }

    fn prepare(&self, request: &Request, command: Command) -> String {
        let json = self.json(request, command);
        if request.is_debug() {
            let url = self.server.url(command);
            // A password may stand in it.
            let shown =
                url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?.1)));
            let url = shown.map_or(url.clone(), |(scheme, rest)| format!("{scheme}://<hidden>@{rest}"));
            request.debug_as("policy", format_args!("Policy request {url}"));
            request.debug_as("policy", format_args!("Policy server request JSON: {json}"));
        }
        json
    }
}

impl Auth {
    /// Asks the server whether a login may go on; waits as long as it says.
    pub(crate) async fn policy_allows(&self, request: &mut Request, moment: Moment) -> bool {
        let Some(policy) = &self.services.policy else { return true };
        let config = request.config.clone();
        let config = &config.policy;
        let is_wanted = match moment {
            Moment::Before => config.check_before_auth && !request.progress.policy_asked,
            Moment::After => config.check_after_auth,
        };
        if !is_wanted {
            return true;
        }
        request.progress.policy_asked = true;
        let json = policy.prepare(request, Command::Allow);
        let answer = policy.send(Command::Allow, json).await;
        let verdict = verdict(request, answer);
        log_action(request, verdict.status);
        match verdict.status {
            _ if config.log_only => true,
            ..0 => {
                if let Some(message) = &verdict.message {
                    request.fields.add("reason", Some(message));
                }
                false
            }
            0 => true,
            1.. if moment == Moment::Before && !request.facts.no_penalty => {
                let seconds = u64::from(verdict.status.unsigned_abs());
                // After that the client is gone.
                tokio::time::sleep(Duration::from_secs(seconds).min(REQUEST_TIMEOUT)).await;
                true
            }
            _ => true,
        }
    }

    /// Tells the server how a login went, and does not wait for it.
    pub(crate) fn report_policy(self: &std::rc::Rc<Self>, request: &Request) {
        let Some(policy) = &self.services.policy else { return };
        if !request.config.policy.report_after_auth {
            return;
        }
        let json = policy.prepare(request, Command::Report);
        let (auth, twin) = (self.clone(), request.twin());
        tokio::task::spawn_local(async move {
            let Some(policy) = &auth.services.policy else { return };
            match policy.send(Command::Report, json).await {
                Ok(_) => twin.debug_as("policy", "Policy report action finished"),
                Err(error) => twin.error_as("policy", error),
            }
        });
    }
}

/// What the server's answer means, or the lack of one.
fn verdict(request: &mut Request, answer: Result<HttpResponse, PolicyError>) -> Verdict {
    let was_answered = answer.is_ok();
    let verdict = match answer.and_then(|answer| Verdict::parse(&answer.body)) {
        Ok(verdict) => verdict,
        Err(error) => {
            request.error_as("policy", error);
            let status = if request.config.policy.reject_on_fail { -1 } else { 0 };
            Verdict { status, message: None }
        }
    };
    if !was_answered {
        return verdict;
    }
    let status = verdict.status;
    request.progress.policy_refused = status < 0;
    match verdict.message.as_ref().filter(|_| status < 0) {
        Some(message) => {
            request.debug_as("policy", format_args!("Policy response {status} with message: {message}"));
        }
        None => request.debug_as("policy", format_args!("Policy response {status}")),
    }
    if status < 0 && request.config.verbose {
        let reason = verdict.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        let text = format!("Authentication failure due to policy server refusal{reason}");
        request.info_as("policy", text);
    }
    verdict
}

fn log_action(request: &Request, status: i32) {
    let action = match status {
        ..0 => "drop connection".to_owned(),
        0 => "continue".to_owned(),
        1.. => format!("tarpit {status} second(s)"),
    };
    match status {
        0 => request.debug_as("policy", format_args!("Policy check action is {action}")),
        _ if request.config.policy.log_only => {
            request.info_as("policy", format_args!("Policy check action '{action}' ignored"));
        }
        _ => request.info_as("policy", format_args!("Policy check action is {action}")),
    }
}

/// So few bits of a hash that the server can tell passwords apart, but not find them out.
fn hashed_password(config: &PolicyConfig, user: &str, password: Option<&Secret>) -> String {
    let mut hash = config.hash.start();
    hash.update(config.hash_nonce.as_bytes());
    hash.update(user.as_bytes());
    hash.update(&[0]);
    hash.update(password.map(Secret::expose).unwrap_or_default());
    let mut digest = hash.finish();
    if config.hash_truncate > 0 {
        truncate(&mut digest, config.hash_truncate);
    }
    hex(&digest)
}
