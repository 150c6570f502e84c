//! What a mechanism asks for on its way: who somebody is, whether a password is right, and the like.

use std::rc::Rc;

use ipc::auth_worker::PassdbResult;
use sasl::Secret;
use sasl::mech::token::Holder;
use sasl::mech::{Answer, Identity, Mechanism, Refusal, Step};

use crate::chain::{Outcome, Want};
use crate::policy::Moment;
use crate::request::Request;
use crate::server::Auth;

/// The scheme of passwords that are good for one login.
const ONE_TIME: &str = "OTP";

/// A mechanism at work.
pub(crate) struct Exchange {
    auth: Rc<Auth>,
    /// It is away while a thread has it.
    mechanism: Option<Box<dyn Mechanism>>,
    /// Its steps are for a thread of their own.
    blocks: bool,
    /// Nobody else may use the user's one-time password until the end.
    lock: Option<Lock>,
}

impl Exchange {
    pub(crate) fn new(auth: &Rc<Auth>, mechanism: Box<dyn Mechanism>, blocks: bool) -> Self {
        Self { auth: auth.clone(), mechanism: Some(mechanism), blocks, lock: None }
    }

    /// Lets the mechanism do a step, wherever it may be done.
    pub(super) async fn turn(
        &mut self,
        request: &mut Request,
        step: impl FnOnce(&mut dyn Mechanism) -> Step + Send + 'static,
    ) -> Step {
        let Some(mut mechanism) = self.mechanism.take() else { return Step::Fail(Refusal::Unexpected) };
        let done = match self.blocks {
            true => {
                let work = move || {
                    let step = step(&mut *mechanism);
                    (mechanism, step)
                };
                self.auth.tickets.run(request, work).await
            }
            false => {
                let step = step(&mut *mechanism);
                Some((mechanism, step))
            }
        };
        let Some((mechanism, step)) = done else {
            request.progress.internal_failure = true;
            return Step::Fail(Refusal::NotVerified);
        };
        self.mechanism = Some(mechanism);
        step
    }

    /// Finds out what the mechanism wants to know, and tells it.
    pub(super) async fn settle(&mut self, request: &mut Request, question: Step) -> Step {
        match question {
            Step::Verify { identity, password } => self.verify(request, &identity, password).await,
            Step::Lookup { identity, scheme } => self.look_up(request, &identity, scheme).await,
            Step::Anonymous { trace } => {
                admit_anonymous(request, trace);
                self.answer(Answer::Verified(true))
            }
            Step::Name { user } => match self.name(request, &user) {
                Ok(()) => self.turn(request, |mechanism| mechanism.answer(Answer::Named)).await,
                Err(error) => Step::Fail(Refusal::Message(format!("authn_name: {error}").into())),
            },
            Step::Store { scheme, value } => {
                let stored = self.store(request, scheme, &value).await;
                self.answer(Answer::Verified(stored))
            }
            Step::Token { holder, token } => {
                let is_right = self.check_token(request, holder, &token);
                self.answer(Answer::Verified(is_right))
            }
            Step::Authorize { user } => self.authorize(request, &user).await,
            // Those are for the client.
            step @ (Step::Challenge(_) | Step::Success(_) | Step::Fail(_)) => step,
        }
    }

    /// Tells it what a passdb said, which never blocks.
    fn answer(&mut self, answer: Answer<'_>) -> Step {
        match &mut self.mechanism {
            Some(mechanism) => mechanism.answer(answer),
            None => Step::Fail(Refusal::Unexpected),
        }
    }

    async fn verify(&mut self, request: &mut Request, identity: &Identity, password: Secret) -> Step {
        request.password = Some(password);
        let Some(outcome) = self.ask(request, identity, Want::Verify).await else {
            return Step::Fail(Refusal::NotVerified);
        };
        let configuration = request.openid_configuration.take();
        self.answer(match (outcome.result, &configuration) {
            (PassdbResult::Ok, _) => Answer::Verified(true),
            (PassdbResult::InternalFailure, _) => Answer::Unavailable,
            (_, Some(configuration)) => Answer::TokenRefused { configuration },
            (_, None) => Answer::Verified(false),
        })
    }

    async fn look_up(&mut self, request: &mut Request, identity: &Identity, scheme: &'static str) -> Step {
        let Some(outcome) = self.ask(request, identity, Want::Credentials(scheme)).await else {
            return Step::Fail(Refusal::NotVerified);
        };
        if scheme == ONE_TIME && outcome.result == PassdbResult::Ok {
            self.lock = Lock::take(&self.auth, request.user());
            if self.lock.is_none() {
                return Step::Fail(Refusal::Credentials("user is locked, race attack?".into()));
            }
        }
        self.answer(match outcome.result {
            PassdbResult::Ok => Answer::Credentials(Some(outcome.credentials.expose())),
            PassdbResult::InternalFailure => Answer::Unavailable,
            _ => Answer::Credentials(None),
        })
    }

    /// Gives the client this name. Nobody has said yet that there is such a user.
    fn name(&self, request: &mut Request, user: &str) -> Result<(), String> {
        let service = self.auth.services.find(&request.facts.service);
        let masters = service.databases.masters.first().map(|passdb| passdb.label.name.clone());
        request.set_username(user, masters.as_deref())
    }

    /// Asks the passdbs what they know about a user who needs no password, which may be nothing, and
    /// tells the mechanism the user's name and `k5principals`.
    async fn authorize(&mut self, request: &mut Request, user: &str) -> Step {
        if let Err(error) = self.name(request, user) {
            return Step::Fail(Refusal::Message(format!("authz_name: {error}").into()));
        }
        if !self.is_welcome(request).await {
            return Step::Fail(Refusal::NotVerified);
        }
        request.progress.passdb_success = true;
        let service = self.auth.services.find(&request.facts.service.clone());
        match self.auth.ask_passdbs(service, request, Want::Credentials("")).await.result {
            PassdbResult::InternalFailure => {
                request.progress.internal_failure = true;
                return Step::Fail(Refusal::NotVerified);
            }
            PassdbResult::UserDisabled | PassdbResult::PassExpired => {
                return Step::Fail(Refusal::NotVerified);
            }
            _ => {}
        }
        let name = request.user().to_owned();
        let principals = request.fields.find("k5principals").map(str::to_owned);
        let known = move |mechanism: &mut dyn Mechanism| {
            mechanism.answer(Answer::User { name: &name, principals: principals.as_deref() })
        };
        self.turn(request, known).await
    }

    /// Lets the passdb that knew the user keep another password.
    async fn store(&self, request: &mut Request, scheme: &str, value: &Secret) -> bool {
        let auth = &self.auth;
        let id = request.database_id;
        let passdb = u32::try_from(id).ok().and_then(|id| auth.services.passdb(id));
        let Some(passdb) = passdb.filter(|passdb| passdb.can_store()) else {
            request.mechanism_error("passdb doesn't support changing passwords");
            return false;
        };
        let stored = Secret::new(format!("{{{scheme}}}{}", value.expose_lossy().as_str()));
        // What the cache has is not right any more.
        if let Some(cache) = auth.cache.borrow_mut().as_mut() {
            cache.clear_users(&[request.user().to_owned()]);
        }
        match passdb.is_blocking {
            true => auth.workers.store(request, id, &stored).await,
            false => passdb.store(request, stored),
        }
    }

    /// Whether a token is the one that its holder was given. Notes what the holder's process is for.
    fn check_token(&self, request: &mut Request, holder: Holder, token: &Secret) -> bool {
        if let Err(error) = self.name(request, &holder.user) {
            request.mechanism_info(error);
            return false;
        }
        let holder = Holder { user: request.user().to_owned(), ..holder };
        if !holder.has(token, self.auth.services.token_secret.expose()) {
            return false;
        }
        request.progress.passdb_success = true;
        request.set_field("userdb_client_service", &holder.service, "");
        true
    }

    /// Asks the passdbs; `None` if the user is banned or the policy server refuses the login.
    async fn ask(&self, request: &mut Request, identity: &Identity, want: Want) -> Option<Outcome> {
        let auth = &self.auth;
        let service = auth.services.find(&request.facts.service.clone());
        let masters = service.databases.masters.first().map(|passdb| passdb.label.name.clone());
        request.digest_realm.clone_from(&identity.realm);
        let named = request.set_username(&identity.user, masters.as_deref());
        let named =
            named.and_then(|()| match &identity.login_user {
                Some(login) => request.set_login_username(login, masters.as_deref()).map_err(|error| {
                    match request.facts.mechanism.as_deref() {
                        Some("PLAIN" | "EXTERNAL") => format!("login user: {error}"),
                        _ => error,
                    }
                }),
                None => Ok(()),
            });
        if let Err(error) = named {
            request.mechanism_info(error);
            return Some(Outcome { result: PassdbResult::UserUnknown, credentials: Secret::default() });
        }
        if !self.is_welcome(request).await {
            return None;
        }
        let outcome = auth.ask_passdbs(service, request, want).await;
        request.progress.internal_failure |= outcome.result == PassdbResult::InternalFailure;
        Some(outcome)
    }

    /// Whether the user is not banned, and the policy server lets him try.
    async fn is_welcome(&self, request: &mut Request) -> bool {
        !self.auth.bans.has_user(request) && self.auth.policy_allows(request, Moment::Before).await
    }
}

/// Lets the client in as `auth_anonymous_username`. What it says about itself stands in the place of
/// the name in the log line.
fn admit_anonymous(request: &mut Request, trace: String) {
    request.facts.user = Some(trace);
    request.mechanism_info("login");
    request.facts.user = Some(request.config.anonymous_username.clone());
    request.progress.passdb_success = true;
}

/// The right to look at a user's one-time password.
struct Lock {
    auth: Rc<Auth>,
    user: String,
}

impl Lock {
    /// `None` if somebody else has it.
    fn take(auth: &Rc<Auth>, user: &str) -> Option<Self> {
        let is_free = auth.one_time.borrow_mut().insert(user.to_owned());
        is_free.then(|| Self { auth: auth.clone(), user: user.to_owned() })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.auth.one_time.borrow_mut().remove(&self.user);
    }
}
