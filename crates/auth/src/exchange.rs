//! One authentication from `AUTH` to `OK` or `FAIL`: the mechanism talks with the client and the
//! passdbs, and the answer says what login processes want to know.

use std::rc::Rc;
use std::time::Duration;

use ipc::auth_worker::PassdbResult;
use sasl::Secret;
use sasl::encoding::base64;
use sasl::mech::token::Holder;
use sasl::mech::{Answer, Identity, Mechanism, Refusal, Step};
use zeroize::Zeroizing;

use crate::chain::{Outcome, Want};
use crate::client::{ClientConnection, Kind, Ticket};
use crate::hasher::Hasher;
use crate::request::Request;
use crate::request::fields::now_s;
use crate::server::Auth;
use crate::tab;

/// The scheme of passwords that are good for one login.
const ONE_TIME: &str = "OTP";

/// A mechanism at work.
pub(crate) struct Exchange {
    /// It is away while a thread has it.
    mechanism: Option<Box<dyn Mechanism>>,
    /// Its steps are for a thread of their own.
    blocks: bool,
}

impl Exchange {
    pub(crate) fn new(mechanism: Box<dyn Mechanism>, blocks: bool) -> Self {
        Self { mechanism: Some(mechanism), blocks }
    }

    /// Does a step of it, wherever it may be done.
    async fn turn(
        &mut self,
        threads: &Hasher,
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
                threads.run(request, work).await
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

    /// Tells it what a passdb said, which never blocks.
    fn answer(&mut self, answer: Answer<'_>) -> Step {
        match &mut self.mechanism {
            Some(mechanism) => mechanism.answer(answer),
            None => Step::Fail(Refusal::Unexpected),
        }
    }
}

/// Runs an authentication. A client that cancels it is not heard of again, but what a database was
/// asked is waited for.
pub(crate) async fn run(
    connection: Rc<ClientConnection>,
    ticket: Ticket,
    mut request: Request,
    mut mechanism: Exchange,
    initial: Option<Zeroizing<Vec<u8>>>,
) {
    let auth = connection.auth.clone();
    let threads = &auth.tickets;
    // Held until the end of this function.
    let mut locks = Vec::new();
    let (penalty, delay) = connection.auth.penalties.lookup(&request).await;
    request.last_penalty = penalty;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let begin = move |mechanism: &mut dyn Mechanism| mechanism.start(initial.as_deref().map(Vec::as_slice));
    let mut step = mechanism.turn(threads, &mut request, begin).await;
    loop {
        step = match step {
            Step::Challenge(data) => {
                let line = format!("CONT\t{}\t{}", ticket.id, base64(&data));
                let Some((next, answer)) = challenge(&connection, ticket, request, &line).await else {
                    return;
                };
                request = next;
                mechanism.turn(threads, &mut request, move |mechanism| mechanism.respond(&answer)).await
            }
            Step::Verify { identity, password } => {
                request.password = Some(password);
                let outcome = ask(&connection, &mut request, &identity, Want::Verify).await;
                let configuration = request.openid_configuration.take();
                mechanism.answer(match (outcome.result, &configuration) {
                    (PassdbResult::Ok, _) => Answer::Verified(true),
                    (PassdbResult::InternalFailure, _) => Answer::Unavailable,
                    (_, Some(configuration)) => Answer::TokenRefused { configuration },
                    (_, None) => Answer::Verified(false),
                })
            }
            Step::Lookup { identity, scheme } => {
                let want = Want::Credentials(scheme);
                let outcome = ask(&connection, &mut request, &identity, want).await;
                if want == Want::Credentials(ONE_TIME) && outcome.result == PassdbResult::Ok {
                    let Some(lock) = Lock::take(&connection.auth, request.user()) else {
                        request.mechanism_error("user is locked, race attack?");
                        return fail(connection, ticket, request).await;
                    };
                    locks.push(lock);
                }
                mechanism.answer(match outcome.result {
                    PassdbResult::Ok => Answer::Credentials(Some(outcome.credentials.expose())),
                    PassdbResult::InternalFailure => Answer::Unavailable,
                    _ => Answer::Credentials(None),
                })
            }
            Step::Anonymous { trace } => {
                admit_anonymous(&mut request, trace);
                mechanism.answer(Answer::Verified(true))
            }
            Step::Name { user } => match name(&connection, &mut request, &user) {
                Ok(()) => {
                    let named = |mechanism: &mut dyn Mechanism| mechanism.answer(Answer::Named);
                    mechanism.turn(threads, &mut request, named).await
                }
                Err(error) => Step::Fail(Refusal::Message(format!("authn_name: {error}").into())),
            },
            Step::Store { scheme, value } => {
                let stored = store(&connection, &mut request, scheme, &value).await;
                mechanism.answer(Answer::Verified(stored))
            }
            Step::Token { holder, token } => {
                let is_right = check_token(&connection, &mut request, holder, &token);
                mechanism.answer(Answer::Verified(is_right))
            }
            Step::Authorize { user } => match authorize(&connection, &mut request, &user).await {
                Ok((name, principals)) => {
                    let known = move |mechanism: &mut dyn Mechanism| {
                        mechanism.answer(Answer::User { name: &name, principals: principals.as_deref() })
                    };
                    mechanism.turn(threads, &mut request, known).await
                }
                Err(refusal) => Step::Fail(refusal),
            },
            Step::Success(data) if request.progress.passdb_success && !request.progress.failed => {
                return succeed(connection, ticket, request, data).await;
            }
            Step::Success(_) => return fail(connection, ticket, request).await,
            Step::Fail(refusal) => {
                match refusal {
                    Refusal::NotVerified => {}
                    Refusal::Said(lines) => lines.iter().for_each(|line| request.mechanism_info(line)),
                    Refusal::Unable(lines) => {
                        lines.iter().for_each(|line| request.mechanism_info(line));
                        request.progress.internal_failure = true;
                    }
                    Refusal::Credentials(text) => request.mechanism_error(text),
                    refusal => request.mechanism_info(refusal),
                }
                return fail(connection, ticket, request).await;
            }
        };
    }
}

/// Sends a challenge and waits for the answer; `None` if there is none. The request waits beside
/// it, where a log line may need it.
async fn challenge(
    connection: &ClientConnection,
    ticket: Ticket,
    request: Request,
    line: &str,
) -> Option<(Request, Zeroizing<Vec<u8>>)> {
    let again = request.twin();
    let answer = connection.challenge(ticket, Box::new(again), line).await.ok()?;
    Some((request, answer))
}

/// Lets the client in as `auth_anonymous_username`. What it says about itself stands in the place of
/// the name in the log line.
fn admit_anonymous(request: &mut Request, trace: String) {
    request.facts.user = Some(trace);
    request.mechanism_info("login");
    request.facts.user = Some(request.config.anonymous_username.clone());
    request.progress.passdb_success = true;
}

/// Gives the client this name. Nobody has said yet that there is such a user.
fn name(connection: &ClientConnection, request: &mut Request, user: &str) -> Result<(), String> {
    let service = connection.auth.services.find(&request.facts.service);
    let masters = service.databases.masters.first().map(|passdb| passdb.label.name.clone());
    request.set_username(user, masters.as_deref())
}

/// Lets the passdb that knew the user keep another password.
async fn store(connection: &ClientConnection, request: &mut Request, scheme: &str, value: &Secret) -> bool {
    let auth = &connection.auth;
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

/// Whether a token is the one that its holder was given. Says what the holder's process is for.
fn check_token(connection: &ClientConnection, request: &mut Request, holder: Holder, token: &Secret) -> bool {
    if let Err(error) = name(connection, request, &holder.user) {
        request.mechanism_info(error);
        return false;
    }
    let holder = Holder { user: request.user().to_owned(), ..holder };
    if !holder.has(token, connection.auth.services.token_secret.expose()) {
        return false;
    }
    request.progress.passdb_success = true;
    request.set_field("userdb_client_service", &holder.service, "");
    true
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

/// Asks the passdbs what they know about a user who needs no password: gives its name, and its
/// `k5principals`. They may know nothing.
async fn authorize(
    connection: &ClientConnection,
    request: &mut Request,
    user: &str,
) -> Result<(String, Option<String>), Refusal> {
    name(connection, request, user)
        .map_err(|error| Refusal::Message(format!("authz_name: {error}").into()))?;
    request.progress.passdb_success = true;
    let service = connection.auth.services.find(&request.facts.service);
    match connection.auth.ask_passdbs(service, request, Want::Credentials("")).await.result {
        PassdbResult::InternalFailure => {
            request.progress.internal_failure = true;
            Err(Refusal::NotVerified)
        }
        PassdbResult::UserDisabled | PassdbResult::PassExpired => Err(Refusal::NotVerified),
        _ => Ok((request.user().to_owned(), request.fields.find("k5principals").map(str::to_owned))),
    }
}

/// Asks the passdbs.
async fn ask(
    connection: &ClientConnection,
    request: &mut Request,
    identity: &Identity,
    want: Want,
) -> Outcome {
    let auth = &connection.auth;
    let service = auth.services.find(&request.facts.service.clone());
    let masters = service.databases.masters.first().map(|passdb| passdb.label.name.clone());
    request.digest_realm.clone_from(&identity.realm);
    let named = request.set_username(&identity.user, masters.as_deref());
    let named = named.and_then(|()| match &identity.login_user {
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
        return Outcome { result: PassdbResult::UserUnknown, credentials: Secret::default() };
    }
    let outcome = auth.ask_passdbs(service, request, want).await;
    request.progress.internal_failure |= outcome.result == PassdbResult::InternalFailure;
    outcome
}

async fn succeed(connection: Rc<ClientConnection>, ticket: Ticket, mut request: Request, data: Vec<u8>) {
    request.facts.successful = true;
    request.log_finished();
    let until = request.progress.delay_until_s;
    if let Some(seconds) = until.checked_sub(now_s()).filter(|seconds| *seconds > 0) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
    if !data.is_empty() {
        if request.final_response_ok {
            request.fields.add("resp", Some(&base64(&data)));
        } else {
            // One more round: the client cannot take the last data with the success.
            let line = format!("CONT\t{}\t{}", ticket.id, base64(&data));
            let Some((next, _)) = challenge(&connection, ticket, request, &line).await else { return };
            request = next;
        }
    }
    connection.auth.penalties.clear(&request);
    // Login processes look for the bare words.
    request.fields.make_boolean("nologin");
    request.fields.make_boolean("proxy");
    let mut line = format!("OK\t{}", ticket.id);
    tab::push_pair(&mut line, "user", request.user());
    append_fields(&mut line, &request, connection.kind);
    let is_over = !connection.kind.is_login() || request.fields.has("nologin") || request.fields.has("proxy");
    let is_wanted = match is_over {
        true => connection.finish(ticket),
        false => connection.keep(ticket, Box::new(request)),
    };
    if is_wanted {
        connection.reply(&line);
    }
}

async fn fail(connection: Rc<ClientConnection>, ticket: Ticket, mut request: Request) {
    let auth = connection.auth.clone();
    request.log_finished();
    // Nobody is sent on to another server.
    for field in ["nologin", "proxy", "proxy_maybe", "proxy_always", "host", "port", "destuser"] {
        request.fields.remove(field);
    }
    let mut line = format!("FAIL\t{}", ticket.id);
    let user = request.facts.user.as_ref().or(request.facts.original_user.as_ref());
    if let Some(user) = user {
        tab::push_pair(&mut line, "user", user);
    }
    if let Some(code) = code(&request) {
        tab::push_pair(&mut line, "code", code);
    }
    append_fields(&mut line, &request, connection.kind);
    // From now on its id may be used again.
    if !connection.finish(ticket) {
        return;
    }
    if !request.fields.has("nodelay") {
        auth.penalties.raise(&request);
        let delay = request.config.failure_delay;
        connection.delay_failure(delay).await;
    }
    connection.reply(&line);
}

fn code(request: &Request) -> Option<&'static str> {
    if request.progress.internal_failure {
        return Some("temp_fail");
    }
    if request.facts.master_user.is_some() {
        // Who he is has been proved, but he may not be whom he wants.
        return Some("authz_fail");
    }
    match request.progress.passdb_result {
        Some(PassdbResult::UserDisabled) => Some("user_disabled"),
        Some(PassdbResult::PassExpired) => Some("pass_expired"),
        _ => None,
    }
}

/// The fields for the client, and what it should know besides.
fn append_fields(line: &mut String, request: &Request, kind: Kind) {
    if !request.fields.is_empty() {
        // 2.3 sends the tab for hidden fields, too.
        line.push('\t');
        request.fields.append_visible(line);
    }
    let facts = &request.facts;
    if let Some(original) = &facts.original_user
        && facts.user.as_ref() != Some(original)
        && !request.fields.has("original_user")
    {
        tab::push_pair(line, "original_user", original);
    }
    if let Some(master) = facts.master_user.as_deref().filter(|_| !request.fields.has("auth_user")) {
        tab::push_pair(line, "auth_user", master);
    }
    if request.is_anonymous() {
        line.push_str("\tanonymous");
    }
    if kind.is_login() && request.fields.has("proxy") {
        // The other server is logged in to with what the client sent here.
        if let Some(password) = request.password.as_ref().filter(|_| !request.fields.has("pass")) {
            tab::push_pair(line, "pass", &password.expose_lossy());
        }
        let master = facts.master_user.as_deref().filter(|master| !master.is_empty());
        if let Some(master) = master.filter(|_| !request.fields.has("master")) {
            tab::push_pair(line, "master", master);
        }
    }
}
