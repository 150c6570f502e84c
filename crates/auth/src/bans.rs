//! `auth_ban_*`: users and networks that fail to log in too often may not try for a while. anvil
//! counts; here it is known who is banned, and said so in lines that fail2ban's filter matches.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use ipc::anvil::{Ban, BanSubject, Failure};
use ipc::auth_worker::PassdbResult;

use crate::config::BanConfig;
use crate::request::Request;
use crate::request::fields::now_s;

/// The line to anvil, if there is one.
pub(crate) struct Bans {
    anvil: Option<service::Anvil>,
    /// Makes checksums that are of no use to anybody else.
    hasher: RandomState,
}

impl Bans {
    pub(crate) fn new(anvil: Option<service::Anvil>) -> Self {
        Self { anvil, hasher: RandomState::new() }
    }

    /// Whether the client's network is banned.
    pub(crate) fn has_net(&self, request: &mut Request) -> bool {
        let (Some(anvil), Some(ip)) = (&self.anvil, counted_ip(request)) else { return false };
        let ban = anvil.bans().of_ip(ip, now_s());
        note(request, ban)
    }

    /// Whether the user is banned.
    pub(crate) fn has_user(&self, request: &mut Request) -> bool {
        let (Some(anvil), Some(user)) = (&self.anvil, counted_user(request)) else { return false };
        let ban = anvil.bans().of_user(user, now_s());
        note(request, ban)
    }

    /// Counts a failed login, and says so if that makes a ban.
    pub(crate) async fn note_failure(&self, request: &Request) {
        let Some(anvil) = &self.anvil else { return };
        if request.progress.is_banned || request.progress.internal_failure {
            return;
        }
        let config = &request.config.ban;
        let net = counted_ip(request).map(|ip| net_of(config, ip));
        let user = counted_user(request).map(|name| BanSubject::User(name.to_owned()));
        let subjects = [(user, config.user_failures), (net, config.net_failures)];
        for (subject, failures_max) in subjects.into_iter().filter(|(_, failures_max)| *failures_max > 0) {
            let Some(subject) = subject else { continue };
            let checksum = self.checksum(request);
            let (interval_s, ban_s) = (config.interval.as_secs(), config.time.as_secs());
            let failure = Failure { subject, checksum, failures_max, interval_s, ban_s };
            if let Some(ban) = anvil.failed(failure).await {
                log_ban(request, &ban);
            }
        }
    }

    fn checksum(&self, request: &Request) -> u32 {
        let password = request.password.as_ref();
        // The same wrong password again and again is a client, not an attacker.
        password.map_or(0, |password| self.hasher.hash_one((password.expose(), request.user())) as u32)
    }
}

/// Says that a login has failed, unless `auth_verbose` has done so.
pub(crate) fn log_failure(request: &Request) {
    let config = &request.config;
    if !config.log_failures || config.verbose || request.progress.internal_failure {
        return;
    }
    let what = match request.progress.passdb_result {
        _ if request.progress.is_banned => "invalid credentials (banned)",
        _ if request.progress.policy_refused => "invalid credentials (refused by policy server)",
        Some(PassdbResult::UserUnknown) => "unknown user",
        Some(PassdbResult::PasswordMismatch) => "Password mismatch",
        Some(PassdbResult::UserDisabled) => "invalid credentials (user disabled)",
        Some(PassdbResult::PassExpired) => "invalid credentials (password expired)",
        _ => "invalid credentials",
    };
    request.info_as("login", what);
}

fn log_ban(request: &Request, ban: &Ban) {
    let kind = match ban.subject {
        BanSubject::User(_) => "user",
        BanSubject::Net(..) => "network",
    };
    let seconds = ban.until_s.saturating_sub(ban.since_s);
    request.info_as(
        "ban",
        format_args!("invalid credentials: {kind} {} banned for {seconds} secs: {}", ban.subject, ban.reason),
    );
}

fn note(request: &mut Request, ban: Option<Ban>) -> bool {
    let Some(ban) = ban else { return false };
    request.progress.is_banned = true;
    if request.config.verbose {
        let seconds = ban.until_s.saturating_sub(now_s());
        let (subject, reason) = (&ban.subject, &ban.reason);
        request.info_as(
            "ban",
            format_args!("invalid credentials: {subject} is banned for {seconds} more secs: {reason}"),
        );
    }
    true
}

/// The client's address, unless it is not to be counted.
fn counted_ip(request: &Request) -> Option<IpAddr> {
    let ip = request.facts.remote_ip.filter(|_| !request.facts.no_penalty)?;
    let is_exempt = request.config.ban.exempt.iter().any(|network| network.contains(ip.to_canonical()));
    (!is_exempt).then_some(ip)
}

/// The name before a database changed it, which is known before and after.
fn counted_user(request: &Request) -> Option<&str> {
    request.facts.translated_user.as_deref().filter(|name| !name.is_empty())
}

fn net_of(config: &BanConfig, ip: IpAddr) -> BanSubject {
    let bits = if ip.to_canonical().is_ipv4() { config.ipv4_bits } else { config.ipv6_bits };
    BanSubject::net(ip, bits)
}
