//! From a stored password to a verdict. Cheap hashes are computed on the spot; what is slow by
//! design is left to the caller, which has workers.

use ipc::auth_worker::PassdbResult;
use sasl::Secret;
use sasl::scheme::{self, Cost, Params, SchemeError};

use super::Passdb;
use crate::request::Request;

/// What is to be done about a password.
pub(crate) enum Check {
    /// The verdict is there.
    Done(PassdbResult),
    /// A hash has to be computed, which takes long: the stored password with its `{SCHEME}`.
    Slow(Secret),
}

/// After a successful lookup: is the given password right?
pub(crate) fn check(request: &Request, passdb: &Passdb) -> Check {
    let done = |result| Check::Done(result);
    if request.facts.skip_password_check {
        return done(PassdbResult::Ok);
    }
    if passdb.config.deny {
        // The password does not matter: the user is found.
        return done(PassdbResult::PasswordMismatch);
    }
    if request.fields.has("nopassword") {
        request.debug("Allowing any password");
        return done(PassdbResult::Ok);
    }
    let Some(stored) = request.stored.clone() else {
        return done(request.password_missing());
    };
    let text = stored.expose_lossy();
    let (scheme_name, hash) = scheme::split_prefix(&text);
    let scheme_name = scheme_name.unwrap_or(&passdb.default_scheme);
    let raw = match scheme::decode(hash, scheme_name) {
        Ok(raw) => raw,
        Err(error) => {
            log_undecodable(request, scheme_name, &error);
            return done(PassdbResult::PasswordMismatch);
        }
    };
    if scheme::cost(scheme_name, raw.expose()) == Cost::Slow {
        return Check::Slow(stored);
    }
    let verdict = compute(request, scheme_name, raw.expose());
    done(finish(request, verdict, &stored))
}

fn compute(request: &Request, scheme_name: &str, raw: &[u8]) -> Result<bool, String> {
    let password = request.password.as_ref().map(Secret::expose).unwrap_or_default();
    let params = Params { user: request.facts.original_user.as_deref().unwrap_or_default(), rounds: 0 };
    scheme::verify(password, &params, scheme_name, raw).map_err(|error| error.to_string())
}

/// Logs a verdict and turns it into a result.
pub(crate) fn finish(request: &Request, verdict: Result<bool, String>, stored: &Secret) -> PassdbResult {
    let result = match verdict {
        Ok(true) => return PassdbResult::Ok,
        Ok(false) => {
            request.log_password_mismatch();
            PassdbResult::PasswordMismatch
        }
        Err(error) => {
            let shown = match request.config.debug_passwords {
                true => format!(" '{}'", scheme::split_prefix(&stored.expose_lossy()).1),
                false => String::new(),
            };
            request.error(format_args!("Invalid password{shown} in passdb: {error}"));
            PassdbResult::PasswordMismatch
        }
    };
    if request.config.debug_passwords {
        log_passwords(request, stored);
    }
    result
}

fn log_undecodable(request: &Request, scheme_name: &str, error: &SchemeError) {
    match error {
        SchemeError::UnknownScheme => request.error(format_args!("Unknown scheme {scheme_name}")),
        error => {
            request.error(format_args!("Password data is not valid for scheme {scheme_name}: {error}"));
        }
    }
}

/// For `auth_debug_passwords`: what was compared, and whether another scheme would have fitted.
fn log_passwords(request: &Request, stored: &Secret) {
    let text = stored.expose_lossy();
    let (scheme_name, hash) = scheme::split_prefix(&text);
    let given = request.password.as_ref().map(Secret::expose_lossy).unwrap_or_default();
    let params = Params { user: request.facts.original_user.as_deref().unwrap_or_default(), rounds: 0 };
    let other = scheme::detect(given.as_bytes(), &params, hash)
        .map(|name| format!(", try {name} scheme instead"))
        .unwrap_or_default();
    let scheme_name = scheme_name.unwrap_or_default();
    request.debug(format_args!("{scheme_name}({}) != '{hash}'{other}", given.as_str()));
}
