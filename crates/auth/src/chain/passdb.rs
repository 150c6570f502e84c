//! The passdbs of a request.

use ipc::auth_worker::PassdbResult;
use sasl::Secret;
use sasl::scheme::{self, Params};

use crate::config::Rule;
use crate::db::{self, Check, Passdb};
use crate::limits::PASSDB_STEPS_MAX;
use crate::rehash::Outdated;
use crate::request::Request;
use crate::server::{Auth, Service};
use crate::{cache, tab, totp};

/// What is asked of the passdbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Is the given password right?
    Verify,
    /// The stored password in this scheme; any if empty.
    Credentials(&'static str),
}

/// What they say.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: PassdbResult,
    pub(crate) credentials: Secret,
}

/// Where in which list a request stands.
#[derive(Clone, Copy)]
struct Place {
    is_master: bool,
    at: usize,
}

impl Auth {
    /// Asks one passdb after the other, as their rules say.
    pub(crate) async fn ask_passdbs(&self, service: &Service, request: &mut Request, want: Want) -> Outcome {
        request.progress.user_changed = false;
        if let (Want::Verify, Some(password)) = (want, &request.password)
            && password.expose().iter().any(|byte| matches!(byte, 1 | b'\t' | b'\r' | b'\n'))
        {
            request.info("Attempted login with password having illegal chars");
            return Outcome { result: PassdbResult::UserUnknown, credentials: Secret::default() };
        }
        let mut place = Place { is_master: request.facts.login_user.is_some(), at: 0 };
        for _ in 0..PASSDB_STEPS_MAX {
            let Some(passdb) = service.next_passdb(request, &mut place) else {
                request.mechanism_error("All password databases were skipped");
                break;
            };
            request.label = Some(passdb.label.clone());
            request.database_id = passdb.id;
            request.stored = None;
            request.debug("Performing passdb lookup");
            let (result, credentials) = self.ask_passdb(request, passdb, want).await;
            let result = override_fields(request, passdb, result);
            let result = self.codes.check(request, want, result).await;
            if result == PassdbResult::Ok && want == Want::Verify {
                let outdated = Outdated::find(request, passdb);
                request.progress.outdated = outdated.or(request.progress.outdated.take());
            } else {
                request.join_code();
            }
            request.debug("Finished passdb lookup");
            request.label = None;
            if result != PassdbResult::Ok
                && let Some(address) = passdb.openid_configuration()
            {
                request.openid_configuration = Some(address.to_owned());
            }
            match service.follow(request, passdb, result, &mut place) {
                Some(result) => return finish(request, result, credentials),
                None if !credentials.is_empty() && request.facts.skip_password_check => {
                    request.progress.delayed_credentials.get_or_insert(credentials);
                }
                None => {}
            }
        }
        Outcome { result: PassdbResult::InternalFailure, credentials: Secret::default() }
    }

    /// Asks the cache, then the database itself, and should that fail the cache's old entries.
    async fn ask_passdb(&self, request: &mut Request, passdb: &Passdb, want: Want) -> (PassdbResult, Secret) {
        if let Some(done) = self.ask_passdb_cache(request, passdb, want, false).await {
            return done;
        }
        let (result, credentials) = self.ask_passdb_itself(request, passdb, want).await;
        if result == PassdbResult::InternalFailure {
            if let Some(done) = self.ask_passdb_cache(request, passdb, want, true).await {
                request.info("Falling back to expired data from cache");
                return done;
            }
        } else {
            self.save_passdb(request, passdb, result);
        }
        (result, credentials)
    }

    async fn ask_passdb_itself(
        &self,
        request: &mut Request,
        passdb: &Passdb,
        want: Want,
    ) -> (PassdbResult, Secret) {
        let result = if passdb.is_blocking {
            let result = self.workers.passdb(request, passdb.id, want == Want::Verify).await;
            // The worker has taken the code off, too.
            request.split_code();
            result
        } else {
            let result = lookup(request, passdb, want == Want::Verify);
            match (result, want) {
                (PassdbResult::Ok, Want::Verify) if !passdb.verifies() => self.verify(request, passdb).await,
                (result, _) => result,
            }
        };
        match (result, want) {
            (PassdbResult::Ok, _) if request.fields.has("noauthenticate") => {
                (PassdbResult::Next, Secret::default())
            }
            (PassdbResult::Ok, Want::Credentials(scheme)) => {
                match self.credentials(request, request.stored.as_ref(), scheme).await {
                    Ok(credentials) => (PassdbResult::Ok, credentials),
                    Err(result) => (result, Secret::default()),
                }
            }
            (result, _) => (result, Secret::default()),
        }
    }

    /// Whether the given password is the stored one.
    async fn verify(&self, request: &mut Request, passdb: &Passdb) -> PassdbResult {
        match db::check(request, passdb) {
            Check::Done(result) => result,
            Check::Slow(stored) => match self.hasher.verify(request, &stored).await {
                Some(verdict) => db::finish(request, verdict, &stored),
                None => PassdbResult::InternalFailure,
            },
        }
    }

    /// `None` if the cache does not know.
    async fn ask_passdb_cache(
        &self,
        request: &mut Request,
        passdb: &Passdb,
        want: Want,
        use_expired: bool,
    ) -> Option<(PassdbResult, Secret)> {
        let key = cache::key_for(request, passdb.cache_key.as_deref()?, false)?;
        let hit = self.cache.borrow_mut().as_mut()?.lookup(&key);
        let Some(hit) = hit.filter(|hit| !hit.expired || use_expired) else {
            request.debug("cache miss");
            return None;
        };
        let nobody = Secret::default();
        if hit.value.is_empty() {
            request.debug("cache hit: ");
            // Who only looks somebody up hears it anyway.
            if want == Want::Verify {
                request.log_unknown_user();
            }
            return Some((PassdbResult::UserUnknown, nobody));
        }
        let mut words = hit.value.split('\t');
        let stored = words.next().map(tab::unescape).filter(|stored| !stored.is_empty());
        request.debug(format_args!("cache hit: {}", shown(request, &hit.value)));
        let fields: Vec<String> = words.map(tab::unescape).collect();
        let set_fields = |request: &mut Request| {
            fields.iter().for_each(|word| request.set_field_word(word, &passdb.default_scheme));
        };
        if fields.iter().any(|field| tab::pair(field).0 == totp::FIELD) {
            request.split_last_digits();
        }
        let stored = stored.map(Secret::new);
        if let Want::Credentials(scheme) = want {
            set_fields(request);
            return Some(match self.credentials(request, stored.as_ref(), scheme).await {
                Ok(credentials) => (PassdbResult::Ok, credentials),
                Err(result) => (result, nobody),
            });
        }
        let Some(stored) = stored else {
            request.info("Cached NULL password access");
            set_fields(request);
            return Some((PassdbResult::Ok, nobody));
        };
        // A mismatch may come from a password that was changed: after a success, or when the
        // entry is old, the database itself is asked. That mismatch is not worth a line.
        let is_trusted = !hit.last_success && !hit.negative_expired;
        let verdict = self.verify_cached(request, &stored).await?;
        if verdict == Ok(false) && !is_trusted {
            self.remember(&key, false);
            request.join_code();
            return None;
        }
        self.remember(&key, verdict == Ok(true));
        set_fields(request);
        Some((db::finish(request, verdict, &stored), nobody))
    }

    async fn verify_cached(&self, request: &Request, stored: &Secret) -> Option<Result<bool, String>> {
        let text = stored.expose_lossy();
        let (scheme_name, hash) = scheme::split_prefix(&text);
        let scheme_name = scheme_name?;
        let is_slow = scheme::cost(scheme_name, hash.as_bytes()) == scheme::Cost::Slow;
        if request.config.cache_verify_with_worker {
            return self.workers.verify(request, stored).await;
        }
        if is_slow {
            return self.hasher.verify(request, stored).await;
        }
        let password = request.password.as_ref().map(Secret::expose).unwrap_or_default();
        let params = Params { user: request.facts.original_user.as_deref().unwrap_or_default(), rounds: 0 };
        let verdict = scheme::verify_stored(password, &params, scheme_name, &text);
        Some(verdict.map_err(|error| error.to_string()))
    }

    fn remember(&self, key: &str, last_success: bool) {
        if let Some(cache) = self.cache.borrow_mut().as_mut() {
            cache.remember_verdict(key, last_success);
        }
    }

    fn save_passdb(&self, request: &Request, passdb: &Passdb, result: PassdbResult) {
        let mut cache = self.cache.borrow_mut();
        let (Some(cache), Some(template)) = (cache.as_mut(), passdb.cache_key.as_deref()) else { return };
        let Some(key) = cache::key_for(request, template, false) else { return };
        let mut value = String::new();
        match result {
            PassdbResult::UserUnknown => return cache.insert(key, value, false),
            PassdbResult::Ok | PassdbResult::PasswordMismatch => {}
            _ => return,
        }
        match (&request.stored, &request.password) {
            (Some(stored), _) => tab::push(&mut value, &stored.expose_lossy()),
            (None, _) if request.fields.has("nopassword") => {}
            // The database verified the password without showing its own: remember this one.
            (None, Some(password)) if result == PassdbResult::Ok => {
                let params = Params::default();
                match scheme::generate(password.expose(), &params, "SHA1", &mut crate::random::fill) {
                    Ok(hash) => value.push_str(&format!("{{SHA1}}{hash}")),
                    Err(_) => return,
                }
            }
            _ => return,
        }
        value.push('\t');
        request.fields.append_changed(&mut value);
        cache.insert(key, value, result == PassdbResult::Ok);
    }
}

impl Service {
    fn list(&self, is_master: bool) -> &[Passdb] {
        if is_master { &self.databases.masters } else { &self.databases.passdbs }
    }

    /// The next passdb that is for this request.
    fn next_passdb(&self, request: &Request, place: &mut Place) -> Option<&Passdb> {
        let list = self.list(place.is_master);
        while list.get(place.at).is_some_and(|passdb| passdb.is_skipped(request)) {
            place.at += 1;
        }
        list.get(place.at)
    }

    /// What follows from a passdb's result: the final result, or `None` to go on at `place`.
    fn follow(
        &self,
        request: &mut Request,
        passdb: &Passdb,
        result: PassdbResult,
        place: &mut Place,
    ) -> Option<PassdbResult> {
        let config = &passdb.config;
        if config.deny && result != PassdbResult::UserUnknown {
            if result == PassdbResult::InternalFailure {
                return Some(result);
            }
            request.info("User found from deny passdb");
            return Some(PassdbResult::UserDisabled);
        }
        // Something beside the password failed; the next passdb may think otherwise.
        let failed = std::mem::take(&mut request.progress.failed);
        let result = if failed && result == PassdbResult::Ok { PassdbResult::UserUnknown } else { result };
        let rule = match result {
            PassdbResult::UserDisabled => return Some(result),
            PassdbResult::PassExpired => {
                request.fields.add("reason", Some("Password expired"));
                return Some(result);
            }
            PassdbResult::Ok => config.result_success,
            PassdbResult::InternalFailure => config.result_internalfail,
            PassdbResult::Next => {
                request.debug("Not performing authentication (noauthenticate set)");
                Rule::Continue
            }
            _ => config.result_failure,
        };
        let goes_on = apply(request, rule, result);
        // These hold for one passdb only.
        request.fields.remove("nopassword");
        request.fields.remove("noauthenticate");
        if request.facts.login_user.is_some() && result == PassdbResult::Ok {
            request.finish_master_login();
            // It goes on, if at all, with the passdbs of the user that it now is.
            *place = Place { is_master: false, at: 0 };
        } else {
            place.at += 1;
        }
        let reason = request.fields.find("reason").filter(|_| passdb.shows_failures()).map(str::to_owned);
        keep_or_forget(request, result);
        // Looked for in any case: debug lines tell of those that are skipped.
        let has_next = self.next_passdb(request, place).is_some();
        if goes_on && has_next {
            request.progress.saw_user_unknown |= result == PassdbResult::UserUnknown;
            request.progress.saw_internal_failure |= result == PassdbResult::InternalFailure;
            return None;
        }
        if result == PassdbResult::Next {
            let name = &passdb.label.name;
            request.error_as(name, "Last passdb had noauthenticate field, cannot authenticate user");
            return Some(PassdbResult::InternalFailure);
        }
        if let Some(reason) = reason.filter(|_| !request.progress.passdb_success) {
            request.fields.add("reason", Some(&reason));
        }
        Some(match &request.progress {
            progress if progress.passdb_success => PassdbResult::Ok,
            // The one that failed may have had the right password.
            progress if progress.saw_internal_failure => PassdbResult::InternalFailure,
            _ => result,
        })
    }
}

/// Looks up without looking at the password, unless it is to be verified and the database does that
/// itself. May block.
pub(crate) fn lookup(request: &mut Request, passdb: &Passdb, verify: bool) -> PassdbResult {
    if let Err(error) = passdb.default_fields.apply_to_passdb(request) {
        request.error(format_args!("Failed to expand default_fields: {error}"));
        return PassdbResult::InternalFailure;
    }
    // Known before or after the lookup, as the field comes.
    request.split_code();
    let result = if verify && passdb.verifies() { passdb.verify(request) } else { passdb.lookup(request) };
    request.split_code();
    result
}

/// Whether the rule leads on to the next passdb.
fn apply(request: &mut Request, rule: Rule, result: PassdbResult) -> bool {
    match rule {
        Rule::Return => {}
        Rule::ReturnOk => request.progress.passdb_success = true,
        Rule::ReturnFail => request.progress.passdb_success = false,
        Rule::Continue => {
            // The password is verified: the next ones need not do it again.
            request.facts.skip_password_check |= result == PassdbResult::Ok;
            return true;
        }
        Rule::ContinueOk => {
            request.progress.passdb_success = true;
            request.facts.skip_password_check = true;
            return true;
        }
        Rule::ContinueFail => {
            request.progress.passdb_success = false;
            return true;
        }
    }
    false
}

/// The fields of a passdb that succeeded stay, those of others go.
fn keep_or_forget(request: &mut Request, result: PassdbResult) {
    let keep = matches!(result, PassdbResult::Ok | PassdbResult::Next);
    for fields in [Some(&mut request.fields), request.userdb.as_mut()].into_iter().flatten() {
        if keep { fields.snapshot() } else { fields.rollback() }
    }
    if keep {
        request.progress.prefetched_before = request.progress.prefetched;
    } else {
        request.progress.prefetched = request.progress.prefetched_before;
    }
}

fn override_fields(request: &mut Request, passdb: &Passdb, result: PassdbResult) -> PassdbResult {
    match passdb.override_fields.apply_to_passdb(request) {
        Ok(()) => result,
        Err(error) => {
            request.error(format_args!("Failed to expand override_fields: {error}"));
            PassdbResult::InternalFailure
        }
    }
}

fn finish(request: &mut Request, result: PassdbResult, credentials: Secret) -> Outcome {
    let credentials = match request.progress.delayed_credentials.take() {
        // The last passdb only added fields.
        Some(earlier) if credentials.is_empty() => earlier,
        _ => credentials,
    };
    // One of the passdbs would have had the scheme, but not the user.
    let unknown = result == PassdbResult::SchemeNotAvailable && request.progress.saw_user_unknown;
    let result = if unknown { PassdbResult::UserUnknown } else { result };
    request.progress.passdb_result = Some(result);
    Outcome { result, credentials }
}

fn shown(request: &Request, value: &str) -> String {
    if request.config.debug_passwords {
        return value.to_owned();
    }
    let hide = |(at, word): (usize, &str)| match tab::pair(word).0 {
        _ if at == 0 => "<hidden>".to_owned(),
        totp::FIELD => format!("{}=<hidden>", totp::FIELD),
        _ => word.to_owned(),
    };
    value.split('\t').enumerate().map(hide).collect::<Vec<_>>().join("\t")
}
