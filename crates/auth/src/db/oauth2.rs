//! `oauth2`: the password is a token, or is turned into one. Asked in workers only.

use std::net::SocketAddr;

use base::Logger;
use db::oauth2::{Fields, Introspection, Oauth2, Oauth2Config, Origin, Reply};
use ipc::auth_worker::PassdbResult;
use settings::vars::Expander;

use crate::request::Request;
use crate::request::fields::now_s;
use crate::template::Template;
use crate::vars;

/// A `dovecot-oauth2.conf.ext` and, in a worker, whom it asks.
pub(crate) struct Oauth2Passdb {
    config: Oauth2Config,
    template: Template,
    client: Option<Oauth2>,
}

/// Why a token is not accepted.
struct Refusal(PassdbResult, String);

impl Refusal {
    fn prefixed(self, prefix: &str) -> Self {
        Self(self.0, format!("{prefix}{}", self.1))
    }
}

impl Oauth2Passdb {
    pub(super) fn new(config: Oauth2Config, is_worker: bool, log: &Logger) -> Result<Self, String> {
        let client = is_worker.then(|| Oauth2::new(config.clone(), log)).transpose();
        Ok(Self {
            client: client.map_err(|error| format!("oauth2 {}: {error}", config.path))?,
            template: Template::parse(&config.pass_attrs)?,
            config,
        })
    }

    pub(super) fn cache_key(&self) -> &'static str {
        if self.config.use_grant_password { "%u" } else { "%u\t%w" }
    }

    pub(super) fn openid_configuration(&self) -> Option<&str> {
        Some(self.config.openid_configuration_url.as_str()).filter(|address| !address.is_empty())
    }

    pub(super) fn verify(&self, request: &mut Request) -> PassdbResult {
        let Some(client) = &self.client else {
            request.error("oauth2 failed: not in a worker");
            return PassdbResult::InternalFailure;
        };
        let password = request.password.clone().unwrap_or_default();
        let given = password.expose_lossy();
        match self.accept(request, client, &given) {
            Ok(token) => {
                request.set_field("token", &token, "PLAIN");
                PassdbResult::Ok
            }
            Err(Refusal(PassdbResult::InternalFailure, text)) => {
                request.error(format_args!("oauth2 failed: {text}"));
                PassdbResult::InternalFailure
            }
            Err(Refusal(result, text)) => {
                request.info(format_args!("oauth2 failed: {text}"));
                result
            }
        }
    }

    /// Gives the token.
    fn accept(&self, request: &mut Request, client: &Oauth2, given: &str) -> Result<String, Refusal> {
        let config = &self.config;
        let origin = origin(request);
        if config.use_grant_password {
            request.debug(format_args!("Making grant url request to {}", config.grant_url));
            let reply = client
                .grant(request.user(), given, &origin)
                .map_err(|text| failed("Password grant failed: ", text))?;
            let token = granted(&reply).map_err(|refusal| refusal.prefixed("Password grant failed: "))?;
            request.debug("Password grant succeeded");
            self.go_on(request, client, &token, reply.fields, "Password grant failed: ")?;
            return Ok(token);
        }
        // What cannot be in a token shall not get into a header (RFC 6750 §2.1).
        if given.is_empty() || !given.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refusal(PassdbResult::PasswordMismatch, "Invalid token".into()));
        }
        if config.introspection == Introspection::Local {
            self.validate(request, client, given, Fields::new())?;
        } else if config.tokeninfo_url.is_empty() {
            self.introspect(request, client, given, Fields::new())?;
        } else {
            const PREFIX: &str = "Token validation failed: ";
            request.debug(format_args!("Making token validation lookup to {}", config.tokeninfo_url));
            let reply = client.token_info(given, &origin).map_err(|text| failed(PREFIX, text))?;
            if !reply.is_valid {
                return Err(Refusal(PassdbResult::PasswordMismatch, format!("{PREFIX}Invalid token")));
            }
            request.debug("Token validation succeeded");
            self.go_on(request, client, given, reply.fields, PREFIX)?;
        }
        Ok(given.to_owned())
    }

    /// A token is good; if not all is known about it, more is asked for.
    fn go_on(
        &self,
        request: &mut Request,
        client: &Oauth2,
        token: &str,
        fields: Fields,
        prefix: &str,
    ) -> Result<(), Refusal> {
        let config = &self.config;
        if self.has_all(&fields) && !config.force_introspection {
            return self.process(request, &fields).map_err(|refusal| refusal.prefixed(prefix));
        }
        if config.introspection == Introspection::Local {
            return self.validate(request, client, token, fields);
        }
        self.check_active(&fields).map_err(|refusal| refusal.prefixed("Token is not valid: "))?;
        if config.introspection_url.is_empty() {
            return self.process(request, &fields).map_err(|refusal| refusal.prefixed(prefix));
        }
        self.introspect(request, client, token, fields)
    }

    fn introspect(
        &self,
        request: &mut Request,
        client: &Oauth2,
        token: &str,
        mut fields: Fields,
    ) -> Result<(), Refusal> {
        const PREFIX: &str = "Introspection failed: ";
        request.debug(format_args!("Making introspection request to {}", self.config.introspection_url));
        let reply = client.introspect(token, &origin(request)).map_err(|text| failed(PREFIX, text))?;
        if !reply.is_valid {
            let error = reply.find("error").unwrap_or("Invalid token").to_owned();
            return Err(Refusal(PassdbResult::PasswordMismatch, format!("{PREFIX}{error}")));
        }
        request.debug("Introspection succeeded");
        merge(&mut fields, reply.fields);
        self.process(request, &fields).map_err(|refusal| refusal.prefixed(PREFIX))
    }

    fn validate(
        &self,
        request: &mut Request,
        client: &Oauth2,
        token: &str,
        mut fields: Fields,
    ) -> Result<(), Refusal> {
        const PREFIX: &str = "Local validation failed: ";
        request.debug("Attempting to locally validate token");
        let now = i64::try_from(now_s()).unwrap_or(i64::MAX);
        let claims = client
            .validate(token, now)
            .map_err(|text| Refusal(PassdbResult::PasswordMismatch, format!("{PREFIX}{text}")))?;
        merge(&mut fields, claims);
        self.process(request, &fields).map_err(|refusal| refusal.prefixed(PREFIX))?;
        request.debug("Local validation succeeded");
        Ok(())
    }

    fn has_all(&self, fields: &Fields) -> bool {
        let config = &self.config;
        let mut named: Vec<&str> = config.pass_attrs.split("%{oauth2:").skip(1).collect();
        named.iter_mut().for_each(|rest| *rest = rest.split([':', '}']).next().unwrap_or_default());
        named.push(&config.username_attribute);
        named.extend(Some(config.active_attribute.as_str()).filter(|name| !name.is_empty()));
        named.iter().all(|name| find(fields, name).is_some())
    }

    fn process(&self, request: &mut Request, fields: &Fields) -> Result<(), Refusal> {
        self.check_active(fields)?;
        self.check_user(request, fields)?;
        self.check_scope(request, fields)?;
        let template = &self.template;
        template
            .apply_to_passdb_with(
                request,
                &|name| find(fields, name).map(str::to_owned),
                &|function, argument| {
                    let (name, default) = argument.split_once(':').unwrap_or((argument, ""));
                    (function == "oauth2").then(|| find(fields, name).unwrap_or(default).to_owned())
                },
            )
            .map_err(|error| Refusal(PassdbResult::InternalFailure, error))
    }

    /// A token whose state is not told is active.
    fn check_active(&self, fields: &Fields) -> Result<(), Refusal> {
        let config = &self.config;
        match find(fields, &config.active_attribute) {
            Some(value) if !config.active_attribute.is_empty() && value != config.active_value => {
                Err(Refusal(PassdbResult::PasswordMismatch, "Provided token is not valid".into()))
            }
            _ => Ok(()),
        }
    }

    /// The token must be the user's own.
    fn check_user(&self, request: &Request, fields: &Fields) -> Result<(), Refusal> {
        let format = &self.config.username_format;
        let invalid = |error: String| {
            Refusal(PassdbResult::InternalFailure, format!("var_expand({format}) failed: {error}"))
        };
        let user = find(fields, &self.config.username_attribute)
            .ok_or_else(|| Refusal(PassdbResult::InternalFailure, "No username returned".into()))?;
        let wanted = vars::expand(format, request, vars::plain).map_err(invalid)?;
        let local = user.split('@').next();
        let table = [
            ('u', "user", Some(user)),
            ('n', "username", local),
            ('d', "domain", Some(user.split_once('@').map_or("", |(_, domain)| domain))),
        ];
        let got = Expander::of(&table).expand(format).map_err(|error| invalid(error.to_string()))?;
        match wanted == got {
            true => Ok(()),
            false => {
                Err(Refusal(PassdbResult::UserUnknown, format!("Username '{wanted}' did not match '{got}'")))
            }
        }
    }

    fn check_scope(&self, request: &Request, fields: &Fields) -> Result<(), Refusal> {
        let wanted = &self.config.scope;
        if wanted.is_empty() {
            return Ok(());
        }
        let scopes = find(fields, "scope").or_else(|| find(fields, "aud")).unwrap_or_default();
        request.debug(format_args!("Token scope(s): {scopes}"));
        let has = |wanted: &str| scopes.split_whitespace().any(|scope| scope == wanted);
        match wanted.split_whitespace().any(has) {
            true => Ok(()),
            false => {
                Err(Refusal(PassdbResult::UserDisabled, format!("Token is not valid for scope '{wanted}'")))
            }
        }
    }
}

fn failed(prefix: &str, text: String) -> Refusal {
    Refusal(PassdbResult::InternalFailure, format!("{prefix}{text}"))
}

fn granted(reply: &Reply) -> Result<String, Refusal> {
    if reply.is_valid {
        return reply
            .find("access_token")
            .map(str::to_owned)
            .ok_or_else(|| Refusal(PassdbResult::InternalFailure, "OAuth2 token missing from reply".into()));
    }
    match reply.find("error") {
        Some("invalid_grant") => Err(Refusal(PassdbResult::PasswordMismatch, "invalid_grant".into())),
        Some(error) => Err(Refusal(PassdbResult::InternalFailure, error.to_owned())),
        None => Err(Refusal(
            PassdbResult::InternalFailure,
            "OAuth2 server returned failure without error field".into(),
        )),
    }
}

fn find<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The newer ones win.
fn merge(fields: &mut Fields, newer: Fields) {
    for (key, value) in newer {
        match fields.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => fields.push((key, value)),
        }
    }
}

fn origin(request: &Request) -> Origin {
    let facts = &request.facts;
    Origin {
        service: facts.service.clone(),
        local: facts.local_ip.map(|ip| SocketAddr::new(ip, facts.local_port)),
        remote: facts.remote_ip.map(|ip| SocketAddr::new(ip, facts.remote_port)),
    }
}
