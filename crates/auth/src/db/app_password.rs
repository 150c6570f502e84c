//! `app-password`: the passwords that a user has for single programs, in a file for each user, see
//! `docs/formats/app-passwords.md`. Asked in workers only: it reads files, and notes what was used.

use credentials::app_password::{File, Match};
use index::fs::Fs;
use ipc::auth_worker::PassdbResult;

use crate::request::Request;
use crate::request::fields::now_s;
use crate::vars;

/// The place of the files.
pub(super) struct AppPasswords {
    /// With `%` variables.
    path: String,
}

impl AppPasswords {
    pub(super) fn parse(args: &str) -> Result<Self, String> {
        if !args.starts_with('/') || !args.contains('%') {
            return Err(format!(
                "passdb app-password: args must be a path with the user's name in it: {args}"
            ));
        }
        Ok(Self { path: args.to_owned() })
    }

    pub(super) fn verify(&self, request: &mut Request) -> PassdbResult {
        if !is_part_of_path(request.user()) {
            request.log_unknown_user();
            return PassdbResult::UserUnknown;
        }
        let path = match vars::expand(&self.path, request, vars::plain) {
            Ok(path) => path,
            Err(error) => {
                request.error(format_args!("Failed to expand path {}: {error}", self.path));
                return PassdbResult::InternalFailure;
            }
        };
        let file = File::new(Fs::default(), path);
        let given = request.password.clone().unwrap_or_default();
        match file.find(&given, &request.facts.service, now_s()) {
            Ok(None) => {
                request.log_unknown_user();
                PassdbResult::UserUnknown
            }
            Ok(Some(Match::None)) => {
                request.log_password_mismatch();
                PassdbResult::PasswordMismatch
            }
            Ok(Some(Match::Expired(found))) => {
                request.info(format_args!("Password mismatch: app password '{}' has expired", found.name));
                PassdbResult::PasswordMismatch
            }
            Ok(Some(Match::OutOfScope(found))) => {
                let (name, service) = (&found.name, &request.facts.service);
                request.info(format_args!("Password mismatch: app password '{name}' is not for {service}"));
                PassdbResult::PasswordMismatch
            }
            Ok(Some(Match::Good(found))) => {
                request.debug(format_args!("app password '{}'", found.name));
                let log = request.scope.log.clone();
                if let Err(error) = file.note_use(&found, now_s(), &log) {
                    request.warning(format_args!("Can't note the use: {}", base::chain(&error)));
                }
                request.set_field("app_password", &found.name, "PLAIN");
                PassdbResult::Ok
            }
            Err(error) => {
                request.error(base::chain(&error));
                PassdbResult::InternalFailure
            }
        }
    }
}

/// Whether a user's name, or a part of it, leads to this user's file only.
fn is_part_of_path(user: &str) -> bool {
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    !user.contains(['/', '\0']) && !is_odd(user) && !user.splitn(2, '@').any(is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lead_elsewhere() {
        for (user, good) in [
            ("joe", true),
            ("joe@example.org", true),
            ("joe/x", false),
            ("..", false),
            ("..@x", false),
            ("x@..", false),
            ("@x", false),
            ("", false),
        ] {
            assert_eq!(is_part_of_path(user), good, "{user}");
        }
    }

    #[test]
    fn arguments() {
        assert!(AppPasswords::parse("/var/lib/dovecot/app-passwords/%u").is_ok());
        assert!(AppPasswords::parse("/var/lib/dovecot/app-passwords").is_err(), "one file for all");
        assert!(AppPasswords::parse("%u").is_err());
    }
}
