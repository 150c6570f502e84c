//! `imap`: another server says whether a password is right. Asked in workers only.

use db::imap::{ImapServer, ImapTls, ImapVerdict};
use db::tls::{TlsOptions, Verify};
use ipc::auth_worker::PassdbResult;

use crate::limits::IMAP_LOGIN_TIMEOUT;
use crate::request::Request;
use crate::vars;

/// What `args` say.
pub(crate) struct ImapPassdb {
    host: String,
    port: u16,
    username: String,
    server: ImapServer,
}

impl ImapPassdb {
    pub(super) fn parse(args: &str) -> Result<Self, String> {
        let (mut host, mut port, mut username, mut mode) = (None, None, "%u".to_owned(), ImapTls::No);
        let mut tls = TlsOptions::default();
        let mut allow_invalid = false;
        for word in args.split(' ').filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "host" => host = Some(value.to_owned()),
                "port" => {
                    port = Some(value.parse().map_err(|_| format!("passdb imap: Invalid port: {value}"))?);
                }
                "username" => username = value.to_owned(),
                "ssl_ca_dir" => tls.ca_dir = Some(value.to_owned()),
                "ssl_ca_file" => tls.ca_file = Some(value.to_owned()),
                "rawlog_dir" => return Err("passdb imap: rawlog_dir is not supported".into()),
                "ssl" if value == "imaps" => mode = ImapTls::AtOnce,
                "ssl" if value == "starttls" => mode = ImapTls::StartTls,
                "ssl" => return Err(format!("passdb imap: Invalid ssl mode: {value}")),
                "allow_invalid_cert" if matches!(value, "yes" | "no") => allow_invalid = value == "yes",
                "allow_invalid_cert" => {
                    return Err(format!("passdb imap: Invalid allow_invalid_cert value: {value}"));
                }
                _ => return Err(format!("passdb imap: Unknown parameter: {key}")),
            }
        }
        if allow_invalid {
            tls.verify = Verify::Nothing;
        } else if mode != ImapTls::No && tls.ca_dir.is_none() && tls.ca_file.is_none() {
            return Err(
                "passdb imap: Cannot verify certificate without ssl_ca_dir or ssl_ca_file setting".into()
            );
        }
        let default_port = if mode == ImapTls::AtOnce { 993 } else { 143 };
        Ok(Self {
            host: host.ok_or("passdb imap: Missing host parameter")?,
            port: port.unwrap_or(default_port),
            username,
            server: ImapServer::new(mode, &tls).map_err(|error| format!("passdb imap: {error}"))?,
        })
    }

    pub(super) fn verify(&self, request: &Request) -> PassdbResult {
        let expand = |name: &str, template: &str| {
            vars::expand(template, request, vars::plain)
                .map_err(|error| request.error(format_args!("Failed to expand {name}={template}: {error}")))
        };
        let (Ok(user), Ok(host)) = (expand("username", &self.username), expand("host", &self.host)) else {
            return PassdbResult::InternalFailure;
        };
        request.debug(format_args!("lookup host={host} port={}", self.port));
        let password = request.password.clone().unwrap_or_default();
        if user.contains('\0') || password.expose().contains(&0) {
            // Neither can be sent, nor be right.
            request.log_unknown_user();
            return PassdbResult::UserUnknown;
        }
        match self.server.login(&host, self.port, (&user, password.expose()), IMAP_LOGIN_TIMEOUT) {
            Ok(ImapVerdict::Accepted) => PassdbResult::Ok,
            Ok(ImapVerdict::Refused(code, text)) => {
                request.info(text);
                match code.as_deref() {
                    None | Some("AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED") => {
                        PassdbResult::PasswordMismatch
                    }
                    Some("EXPIRED") => PassdbResult::PassExpired,
                    Some(_) => PassdbResult::InternalFailure,
                }
            }
            Err(error) => {
                request.error(format_args!("imap({host}:{}): {error}", self.port));
                PassdbResult::InternalFailure
            }
        }
    }
}
