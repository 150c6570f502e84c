//! `shadow`: the passwords of the system's users, which only root may read.

use ipc::auth_worker::PassdbResult;

use crate::request::Request;

pub(super) fn passdb(request: &mut Request) -> PassdbResult {
    request.debug("lookup");
    let (name, password) = match sys::accounts::shadow(request.user()) {
        Ok(Some(found)) => found,
        Ok(None) => {
            request.log_unknown_user();
            return PassdbResult::UserUnknown;
        }
        Err(error) => {
            request.error(format_args!("getspnam() failed: {}", base::reason(&error)));
            return PassdbResult::InternalFailure;
        }
    };
    if password.is_empty() || password.starts_with(['*', '!']) {
        request.info("invalid password field");
        return PassdbResult::UserDisabled;
    }
    request.set_field("password", &password, "CRYPT");
    // The name just as the database has it.
    request.set_field("user", &name, "CRYPT");
    PassdbResult::Ok
}
