//! The stored password in the scheme that a mechanism needs.

use ipc::auth_worker::PassdbResult;
use sasl::Secret;
use sasl::scheme::{self, Params};

use crate::request::Request;

/// `wanted` is empty when any scheme, or no password at all, will do.
pub(super) fn of(request: &Request, stored: Option<&Secret>, wanted: &str) -> Result<Secret, PassdbResult> {
    if request.fields.has("noauthenticate") {
        return Err(PassdbResult::Next);
    }
    let Some(stored) = stored else {
        if wanted.is_empty() || request.progress.delayed_credentials.is_some() {
            return Ok(Secret::default());
        }
        request.info(format_args!("Requested {wanted} scheme, but we have a NULL password"));
        return Err(PassdbResult::SchemeNotAvailable);
    };
    let text = stored.expose_lossy();
    let (scheme_name, hash) = scheme::split_prefix(&text);
    let scheme_name = scheme_name.unwrap_or("PLAIN");
    let raw = scheme::decode(hash, scheme_name).map_err(|error| {
        match error {
            scheme::SchemeError::UnknownScheme => request.error(format_args!("Unknown scheme {scheme_name}")),
            error => {
                request.error(format_args!("Password data is not valid for scheme {scheme_name}: {error}"));
            }
        }
        PassdbResult::SchemeNotAvailable
    })?;
    if wanted.is_empty() || scheme::is_alias(scheme_name, wanted) {
        return Ok(raw);
    }
    if !scheme::is_alias(scheme_name, "PLAIN") {
        request.info(format_args!("Requested {wanted} scheme, but we have only {scheme_name}"));
        return Err(PassdbResult::SchemeNotAvailable);
    }
    // Anything can be made of a plaintext password.
    let params = Params { user: request.facts.original_user.as_deref().unwrap_or_default(), rounds: 0 };
    scheme::generate(raw.expose(), &params, wanted, &mut crate::random::fill)
        .and_then(|text| scheme::decode(&text, wanted))
        .map_err(|_| {
            request.error(format_args!("Requested unknown scheme {wanted}"));
            PassdbResult::SchemeNotAvailable
        })
}
