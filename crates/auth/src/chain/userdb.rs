//! The userdbs of a request.

use ipc::auth_worker::{PassdbResult, UserdbResult};

use super::Want;
use crate::config::Rule;
use crate::db::Userdb;
use crate::fields::Fields;
use crate::request::Request;
use crate::server::{Auth, Service};
use crate::{cache, tab};

/// Stands in the cache for a user without fields, since an empty entry means "unknown".
const NO_FIELDS: &str = "@ignore";

impl Auth {
    /// Asks one userdb after the other, as their rules say. `is_login` is for the lookup after an
    /// authentication, where the user should be found.
    pub(crate) async fn ask_userdbs(
        &self,
        service: &Service,
        request: &mut Request,
        is_login: bool,
    ) -> UserdbResult {
        let userdbs = &service.databases.userdbs;
        let mut at = 0;
        let mut saw_internal_failure = false;
        request.userdb.get_or_insert_with(Fields::default).snapshot();
        loop {
            while userdbs.get(at).is_some_and(|userdb| userdb.is_skipped(request)) {
                at += 1;
            }
            let Some(userdb) = userdbs.get(at) else { break };
            request.label = Some(userdb.label.clone());
            request.database_id = userdb.id;
            request.progress.user_changed = false;
            request.debug("Performing userdb lookup");
            let result = self.ask_userdb(service, request, userdb).await;
            request.debug("Finished userdb lookup");
            let goes_on = apply(request, userdb, result);
            at += 1;
            let has_next = userdbs[at..].iter().any(|next| !next.is_skipped(request));
            if !goes_on || !has_next {
                let result = self.conclude(request, userdb, result, saw_internal_failure);
                if result == UserdbResult::UserUnknown && is_login {
                    log_missing(request, userdbs.len() == 1);
                }
                request.label = None;
                return result;
            }
            saw_internal_failure |= result == UserdbResult::InternalFailure;
            let fields = request.userdb.get_or_insert_with(Fields::default);
            match result {
                UserdbResult::Ok => fields.snapshot(),
                _ => fields.rollback(),
            }
            request.label = None;
        }
        request.label = None;
        UserdbResult::InternalFailure
    }

    async fn ask_userdb(&self, service: &Service, request: &mut Request, userdb: &Userdb) -> UserdbResult {
        if let Some(result) = self.ask_userdb_cache(request, userdb, false) {
            return result;
        }
        if let Err(error) = userdb.default_fields.apply_to_userdb(request) {
            request.error(format_args!("Failed to expand default_fields: {error}"));
            return UserdbResult::InternalFailure;
        }
        if userdb.needs_passdb(request) {
            match self.user_exists(service, request).await {
                UserdbResult::Ok => {}
                result => return result,
            }
        }
        let result = match userdb.is_blocking {
            true => self.workers.userdb(request, userdb.id).await,
            false => userdb.lookup(request),
        };
        if result == UserdbResult::InternalFailure {
            if let Some(result) = self.ask_userdb_cache(request, userdb, true) {
                request.info("Falling back to expired data from cache");
                return result;
            }
        } else {
            self.save_userdb(request, userdb, result);
        }
        result
    }

    /// A userdb that knows nobody lets the passdbs say whether there is such a user.
    async fn user_exists(&self, service: &Service, request: &mut Request) -> UserdbResult {
        let label = request.label.take();
        let id = request.database_id;
        let outcome = Box::pin(self.ask_passdbs(service, request, Want::Credentials(""))).await;
        request.label = label;
        request.database_id = id;
        match outcome.result {
            PassdbResult::Ok => UserdbResult::Ok,
            PassdbResult::UserUnknown | PassdbResult::UserDisabled | PassdbResult::PassExpired => {
                UserdbResult::UserUnknown
            }
            PassdbResult::SchemeNotAvailable => {
                request.error("passdb doesn't support lookups, can't verify user's existence");
                UserdbResult::InternalFailure
            }
            _ => UserdbResult::InternalFailure,
        }
    }

    fn conclude(
        &self,
        request: &mut Request,
        userdb: &Userdb,
        result: UserdbResult,
        saw_internal_failure: bool,
    ) -> UserdbResult {
        if request.progress.userdb_success {
            if let Err(error) = userdb.override_fields.apply_to_userdb(request) {
                request.error(format_args!("Failed to expand override_fields: {error}"));
                return UserdbResult::InternalFailure;
            }
            return UserdbResult::Ok;
        }
        // One that failed may know the user.
        if saw_internal_failure || result == UserdbResult::InternalFailure {
            return UserdbResult::InternalFailure;
        }
        UserdbResult::UserUnknown
    }

    fn ask_userdb_cache(
        &self,
        request: &mut Request,
        userdb: &Userdb,
        use_expired: bool,
    ) -> Option<UserdbResult> {
        let key = cache::key_for(request, userdb.cache_key.as_deref()?, true)?;
        let hit = self.cache.borrow_mut().as_mut()?.lookup(&key);
        let Some(hit) = hit.filter(|hit| !hit.expired || use_expired) else {
            request.debug("userdb cache miss");
            return None;
        };
        request.debug(format_args!("userdb cache hit: {}", hit.value.as_str()));
        if hit.value.is_empty() {
            return Some(UserdbResult::UserUnknown);
        }
        for word in hit.value.split('\t').filter(|word| *word != NO_FIELDS) {
            let word = tab::unescape(word);
            let (name, value) = tab::pair(&word);
            request.set_userdb_field(name, value);
        }
        Some(UserdbResult::Ok)
    }

    fn save_userdb(&self, request: &Request, userdb: &Userdb, result: UserdbResult) {
        let mut cache = self.cache.borrow_mut();
        let (Some(cache), Some(template)) = (cache.as_mut(), userdb.cache_key.as_deref()) else { return };
        if request.progress.tempfailed {
            return;
        }
        let Some(key) = cache::key_for(request, template, true) else { return };
        let mut value = String::new();
        if result == UserdbResult::Ok {
            if let Some(fields) = &request.userdb {
                fields.append_changed(&mut value);
            }
            if request.progress.user_changed {
                if !value.is_empty() {
                    value.push('\t');
                }
                value.push_str("user=");
                tab::push(&mut value, request.user());
            }
            if value.is_empty() {
                value.push_str(NO_FIELDS);
            }
        }
        cache.insert(key, value, false);
    }
}

/// Whether the rule leads on to the next userdb.
fn apply(request: &mut Request, userdb: &Userdb, result: UserdbResult) -> bool {
    let config = &userdb.config;
    let rule = match result {
        UserdbResult::Ok => config.result_success,
        UserdbResult::InternalFailure => config.result_internalfail,
        UserdbResult::UserUnknown => config.result_failure,
    };
    match rule {
        Rule::Return => return false,
        Rule::ReturnOk => request.progress.userdb_success = true,
        Rule::ReturnFail => request.progress.userdb_success = false,
        Rule::Continue => return true,
        Rule::ContinueOk => {
            request.progress.userdb_success = true;
            return true;
        }
        Rule::ContinueFail => {
            request.progress.userdb_success = false;
            return true;
        }
    }
    false
}

fn log_missing(request: &Request, is_only: bool) {
    if is_only {
        request.error("user not found from userdb");
    } else {
        request.mechanism_error("user not found from any userdbs");
    }
}
