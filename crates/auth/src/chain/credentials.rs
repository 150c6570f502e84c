//! The stored password in the scheme that a mechanism needs.

use ipc::auth_worker::PassdbResult;
use sasl::Secret;
use sasl::scheme::{self, Cost, Params};
use zeroize::Zeroizing;

use crate::request::Request;
use crate::server::Auth;

/// What there is.
pub(super) enum Found {
    /// Just what was wanted.
    Credentials(Secret),
    /// A plaintext password, of which anything can be made.
    Password(Secret),
}

impl Auth {
    /// `wanted` is empty when any scheme, or no password at all, will do.
    pub(super) async fn credentials(
        &self,
        request: &Request,
        stored: Option<&Secret>,
        wanted: &'static str,
    ) -> Result<Secret, PassdbResult> {
        let password = match find(request, stored, wanted)? {
            Found::Credentials(credentials) => return Ok(credentials),
            Found::Password(password) => password,
        };
        let user = digest_user(request);
        let make = move || {
            let params = Params { user: &user, rounds: 0 };
            scheme::generate(password.expose(), &params, wanted, &mut crate::random::fill)
                .map(Zeroizing::new)
                .and_then(|text| scheme::decode(&text, wanted))
        };
        // Those of SCRAM are iterated thousands of times.
        let made = match scheme::cost(wanted, b"") {
            Cost::Cheap => make(),
            Cost::Slow => self.hasher.run(request, make).await.ok_or(PassdbResult::InternalFailure)?,
        };
        made.map_err(|_| {
            request.error(format_args!("Requested unknown scheme {wanted}"));
            PassdbResult::SchemeNotAvailable
        })
    }
}

/// The name that a DIGEST-MD5 secret is made of: what stands behind the last `@` is the realm.
fn digest_user(request: &Request) -> String {
    let user = request.facts.original_user.clone().unwrap_or_default();
    match &request.digest_realm {
        Some(realm) if user.contains('@') => format!("{user}@{realm}"),
        _ => user,
    }
}

fn find(request: &Request, stored: Option<&Secret>, wanted: &str) -> Result<Found, PassdbResult> {
    if request.fields.has("noauthenticate") {
        return Err(PassdbResult::Next);
    }
    let Some(stored) = stored else {
        if wanted.is_empty() || request.progress.delayed_credentials.is_some() {
            return Ok(Found::Credentials(Secret::default()));
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
        return Ok(Found::Credentials(raw));
    }
    if !scheme::is_alias(scheme_name, "PLAIN") {
        request.info(format_args!("Requested {wanted} scheme, but we have only {scheme_name}"));
        return Err(PassdbResult::SchemeNotAvailable);
    }
    Ok(Found::Password(raw))
}
