//! One authentication from `AUTH` to `OK` or `FAIL`: the mechanism talks with the client and the
//! passdbs, and the answer says what login processes want to know.

mod steps;

use std::rc::Rc;
use std::time::Duration;

use ipc::auth_worker::PassdbResult;
use sasl::encoding::base64;
use sasl::mech::{Mechanism, Refusal, Step};
use zeroize::Zeroizing;

use crate::bans;
use crate::client::{ClientConnection, Kind, Ticket};
use crate::policy::Moment;
use crate::proxy;
use crate::request::Request;
use crate::request::fields::now_s;
use crate::tab;

pub(crate) use steps::Exchange;

/// Runs an authentication. A client that cancels it is not heard of again, but what a database was
/// asked is waited for.
pub(crate) async fn run(
    connection: Rc<ClientConnection>,
    ticket: Ticket,
    mut request: Request,
    mut exchange: Exchange,
    initial: Option<Zeroizing<Vec<u8>>>,
) {
    if !admit(&connection, &mut request).await {
        return fail(connection, ticket, request).await;
    }
    let begin = move |mechanism: &mut dyn Mechanism| mechanism.start(initial.as_deref().map(Vec::as_slice));
    let mut step = exchange.turn(&mut request, begin).await;
    loop {
        step = match step {
            Step::Challenge(data) => {
                let line = format!("CONT\t{}\t{}", ticket.id, base64(&data));
                let Some((next, answer)) = challenge(&connection, ticket, request, &line).await else {
                    return;
                };
                request = next;
                exchange.turn(&mut request, move |mechanism| mechanism.respond(&answer)).await
            }
            Step::Success(data) => {
                let is_allowed = connection.auth.policy_allows(&mut request, Moment::After).await;
                return match is_allowed && request.progress.passdb_success && !request.progress.failed {
                    true => succeed(connection, ticket, request, data).await,
                    false => fail(connection, ticket, request).await,
                };
            }
            Step::Fail(refusal) => {
                log_refusal(&mut request, refusal);
                return fail(connection, ticket, request).await;
            }
            question => exchange.settle(&mut request, question).await,
        };
    }
}

fn log_refusal(request: &mut Request, refusal: Refusal) {
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
}

/// Lets an address that failed before wait; one that is banned is not listened to.
async fn admit(connection: &ClientConnection, request: &mut Request) -> bool {
    if connection.auth.bans.has_net(request) {
        return false;
    }
    let (penalty, delay) = connection.auth.penalties.lookup(request).await;
    request.last_penalty = penalty;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    true
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
    if connection.kind == Kind::Login && proxy::settle(&mut request).await.is_err() {
        proxy::drop_fields(&mut request);
        request.progress.internal_failure = true;
        return fail(connection, ticket, request).await;
    }
    connection.auth.penalties.clear(&request);
    connection.auth.rehash(&mut request);
    // Login processes look for the bare words.
    request.fields.make_boolean("nologin");
    request.fields.make_boolean("proxy");
    let mut line = format!("OK\t{}", ticket.id);
    tab::push_pair(&mut line, "user", request.user());
    append_fields(&mut line, &request, connection.kind);
    connection.auth.report_policy(&request);
    let is_over = !connection.kind.is_login() || request.fields.has("nologin") || request.fields.has("proxy");
    let is_proxied = connection.kind == Kind::Login && request.fields.has("proxy");
    let destination = if is_proxied { proxy::destination(&request) } else { None };
    let is_wanted = match (is_over, destination) {
        (true, Some(destination)) => connection.grant(ticket, destination),
        (true, None) => connection.finish(ticket),
        (false, _) => connection.keep(ticket, Box::new(request)),
    };
    if is_wanted {
        connection.reply(&line);
    }
}

async fn fail(connection: Rc<ClientConnection>, ticket: Ticket, mut request: Request) {
    let auth = connection.auth.clone();
    request.log_finished();
    // Nobody is sent on to another server.
    proxy::drop_fields(&mut request);
    request.fields.remove("nologin");
    let mut line = format!("FAIL\t{}", ticket.id);
    let user = request.facts.user.as_ref().or(request.facts.original_user.as_ref());
    if let Some(user) = user {
        tab::push_pair(&mut line, "user", user);
    }
    if request.fields.has("nodelay") {
        // 2.3 says it twice, should it not be hidden.
        line.push_str("\tnodelay");
    }
    if let Some(code) = code(&request) {
        tab::push_pair(&mut line, "code", code);
    }
    append_fields(&mut line, &request, connection.kind);
    // From now on its id may be used again.
    let is_wanted = connection.finish(ticket);
    // Before the client may know it: it could be gone then, with nothing said.
    bans::log_failure(&request);
    auth.report_policy(&request);
    auth.bans.note_failure(&request).await;
    if !is_wanted {
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
