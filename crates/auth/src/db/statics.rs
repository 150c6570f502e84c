//! Databases that hold nothing: `static`, where every user has the same fields, and `prefetch`,
//! whose fields a passdb gave already.

use ipc::auth_worker::{PassdbResult, UserdbResult};

use crate::request::Request;
use crate::template::Template;
use crate::vars;

pub(super) struct StaticPassdb {
    template: Template,
    password: Option<String>,
}

impl StaticPassdb {
    pub(super) fn parse(args: &str) -> Result<Self, String> {
        let mut template = Template::parse(args)?;
        let password = template.take("password").flatten();
        Ok(Self { template, password })
    }

    pub(super) fn lookup(&self, request: &mut Request) -> PassdbResult {
        request.debug("lookup");
        if let Err(error) = self.template.apply_to_passdb(request) {
            request.error(format_args!("Failed to expand template: {error}"));
            return PassdbResult::InternalFailure;
        }
        let Some(password) = &self.password else {
            return match request.fields.has("nopassword") {
                true => PassdbResult::Ok,
                false => request.password_missing(),
            };
        };
        match vars::expand(password, request, vars::plain) {
            Ok(password) => {
                request.set_field("password", &password, "PLAIN");
                PassdbResult::Ok
            }
            Err(error) => {
                request.error(format_args!("Failed to expand password={password}: {error}"));
                PassdbResult::InternalFailure
            }
        }
    }
}

pub(super) fn userdb(request: &mut Request, template: &Template) -> UserdbResult {
    match template.apply_to_userdb(request) {
        Ok(()) => UserdbResult::Ok,
        Err(error) => {
            request.error(format_args!("Failed to expand template: {error}"));
            UserdbResult::InternalFailure
        }
    }
}

pub(super) fn prefetch(request: &Request, is_only: bool) -> UserdbResult {
    if request.progress.prefetched {
        request.debug("success");
        return UserdbResult::Ok;
    }
    if is_only {
        request.error("userdb lookup not possible with only userdb prefetch");
        return UserdbResult::InternalFailure;
    }
    request.debug("passdb didn't return userdb entries, trying the next userdb");
    UserdbResult::UserUnknown
}
