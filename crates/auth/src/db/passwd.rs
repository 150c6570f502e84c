//! `passwd`: the system's users, through the C library and its name service switch.

use ipc::auth_worker::{PassdbResult, UserdbResult};
use nix::unistd::User;

use crate::request::Request;
use crate::template::Template;

fn find(request: &Request) -> Result<Option<User>, ()> {
    // A name with a NUL in it is nobody's.
    if request.user().contains('\0') {
        return Ok(None);
    }
    User::from_name(request.user())
        .map_err(|error| request.error(format_args!("getpwnam() failed: {}", error.desc())))
}

pub(super) fn passdb(request: &mut Request) -> PassdbResult {
    request.debug("lookup");
    let user = match find(request) {
        Ok(Some(user)) => user,
        Ok(None) => {
            request.log_unknown_user();
            return PassdbResult::UserUnknown;
        }
        Err(()) => return PassdbResult::InternalFailure,
    };
    let password = user.passwd.to_string_lossy();
    if password.is_empty() || password.starts_with(['*', '!']) {
        request.info(format_args!("invalid password field '{password}'"));
        return PassdbResult::UserDisabled;
    }
    request.set_field("password", &password, "CRYPT");
    // The name just as the database has it.
    request.set_field("user", &user.name, "CRYPT");
    PassdbResult::Ok
}

pub(super) fn userdb(request: &mut Request, template: &Template) -> UserdbResult {
    request.debug("lookup");
    let user = match find(request) {
        Ok(Some(user)) => user,
        Ok(None) => {
            request.log_unknown_user();
            return UserdbResult::UserUnknown;
        }
        Err(()) => return UserdbResult::InternalFailure,
    };
    request.set_userdb_field("user", &user.name);
    request.set_userdb_field("system_groups_user", &user.name);
    request.set_userdb_field("uid", &user.uid.to_string());
    request.set_userdb_field("gid", &user.gid.to_string());
    request.set_userdb_field("home", &user.dir.to_string_lossy());
    if let Err(error) = template.apply_to_userdb(request) {
        request.error(format_args!("Failed to expand template: {error}"));
        return UserdbResult::InternalFailure;
    }
    UserdbResult::Ok
}

/// The users of `/etc/passwd` within `first_valid_uid` and its siblings. Users that only other
/// sources of the name service switch know are not listed.
pub(super) fn list(request: &Request, each: &mut dyn FnMut(&str)) -> bool {
    let text = match std::fs::read_to_string("/etc/passwd") {
        Ok(text) => text,
        Err(error) => {
            request.error(format_args!("open(/etc/passwd) failed: {}", base::reason(&error)));
            return false;
        }
    };
    let config = &request.config;
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(Ok(uid)), Some(Ok(gid))) =
            (fields.next(), fields.nth(1).map(str::parse::<u32>), fields.next().map(str::parse::<u32>))
        else {
            continue;
        };
        let within = |id: u32, first: u32, last: u32| id >= first && (last == 0 || id <= last);
        if within(uid, config.first_valid_uid, config.last_valid_uid)
            && within(gid, config.first_valid_gid, config.last_valid_gid)
        {
            each(name);
        }
    }
    true
}
