//! IMAP before login (RFC 3501 §6.1 and §6.2), in 2.3's words.

use std::borrow::Cow;

use base::Level;
use proto::imap::command::IdParams;
use proto::imap::login::{self, LoginCommand};
use proto::imap::{CommandKind, CommandReader, Event};
use zeroize::Zeroizing;

use super::auth::{self, Answer, Outcome};
use super::common::Common;
use super::{Action, Dialect, Step};
use crate::input::Input;
use crate::limits::{
    BAD_COMMANDS_MAX, CLIENT_ID_BYTES_MAX, FORWARD_BYTES_MAX, ID_KEY_BYTES_MAX, SESSION_ID_BYTES_MAX,
    TAG_BYTES_MAX,
};
use crate::log_line::sanitized;

/// The state of an IMAP client before login.
pub(super) struct Imap {
    reader: CommandReader,
    tag: String,
    asked_capability: bool,
    sent_id: bool,
    started_tls: bool,
}

impl Imap {
    pub(super) fn new() -> Self {
        Self {
            reader: CommandReader::before_login(),
            tag: String::new(),
            asked_capability: false,
            sent_id: false,
            started_tls: false,
        }
    }

    fn reply(&self, common: &mut Common, text: &str) {
        let tag = if self.tag.is_empty() { "*" } else { &self.tag };
        common.say(&[tag, " ", text, "\r\n"]);
    }

    fn set_tag(&mut self, tag: &str) {
        self.tag.clear();
        if tag.len() <= TAG_BYTES_MAX {
            self.tag.push_str(tag);
        }
    }

    fn bad_command(&mut self, common: &mut Common) -> Step {
        common.bad_commands += 1;
        if common.bad_commands >= BAD_COMMANDS_MAX {
            common.say(&["* BYE Too many invalid IMAP commands.\r\n"]);
            return Step::Act(Action::Disconnect("Too many invalid commands"));
        }
        if self.tag.eq_ignore_ascii_case("LOGIN") {
            common.bad_commands -= 1;
            self.reply(
                common,
                "BAD First parameter in line is IMAP's command tag, not the command name. \
                 Add that before the command, like: a login user pass",
            );
        } else {
            self.reply(common, "BAD Error in IMAP command received by server.");
        }
        Step::Again
    }

    fn execute(&mut self, common: &mut Common, command: LoginCommand, now: u64) -> Step {
        match command {
            LoginCommand::Capability => {
                // After STARTTLS a client has to ask again, which says nothing about its habits.
                self.asked_capability |= !self.started_tls;
                common.say(&["* CAPABILITY ", &capability(common), "\r\n"]);
                self.reply(common, "OK Pre-login capabilities listed, post-login capabilities have more.");
            }
            LoginCommand::Noop => self.reply(common, "OK NOOP completed."),
            LoginCommand::Enable => {
                common.say(&["* ENABLED\r\n"]);
                self.reply(common, "OK ENABLE ignored in non-authenticated state.");
            }
            LoginCommand::Logout => {
                common.say(&["* BYE Logging out\r\n"]);
                self.reply(common, "OK Logout completed.");
                return Step::Act(Action::Disconnect("Aborted login by logging out"));
            }
            LoginCommand::Id(params) if params.0.iter().any(|(key, _)| key.len() > ID_KEY_BYTES_MAX) => {
                self.reply(common, "BAD Invalid ID parameters");
            }
            LoginCommand::Id(params) => self.id(common, &params),
            LoginCommand::Starttls => return self.starttls(common),
            LoginCommand::Authenticate { mechanism, initial_response } => {
                let initial = initial_response.as_ref().map(|initial| String::from_utf8_lossy(initial));
                let initial = initial.as_deref().filter(|initial| !initial.is_empty());
                let initial = initial.map(|initial| if initial == "=" { "" } else { initial });
                return auth::begin(common, self, &mechanism, initial, false, now);
            }
            LoginCommand::Login { user, password } => return self.login(common, &user, &password, now),
        }
        Step::Again
    }

    fn starttls(&mut self, common: &mut Common) -> Step {
        if common.peer.has_tls() {
            self.reply(common, "BAD TLS is already active.");
        } else if !common.can_start_tls() {
            self.reply(common, "BAD TLS support isn't enabled.");
        } else {
            self.reply(common, "OK Begin TLS negotiation now.");
            return Step::Act(Action::StartTls);
        }
        Step::Again
    }

    fn login(&mut self, common: &mut Common, user: &[u8], password: &[u8], now: u64) -> Step {
        if !auth::check_plaintext(common, self, true) {
            common.names.user.get_or_insert_with(|| String::from_utf8_lossy(user).into_owned());
            return Step::Again;
        }
        let plain = Zeroizing::new([b"\0", user, b"\0", password].concat());
        let plain = Zeroizing::new(sasl::encoding::base64(&plain));
        auth::begin(common, self, "PLAIN", Some(&plain), false, now)
    }

    fn id(&mut self, common: &mut Common, params: &IdParams) {
        common.client_id.clear();
        let mut logged = Vec::new();
        let log = common.config.imap.id_log.clone();
        for (key, value) in &params.0 {
            let is_reserved = self.reserved(common, key, value.as_deref());
            if !is_reserved && common.config.imap.id_retain {
                retain(&mut common.client_id, key, value.as_deref());
            }
            let wanted = log == "*" || log.split(' ').any(|name| name.eq_ignore_ascii_case(key));
            if wanted && !log.is_empty() && !self.sent_id {
                let value = value.as_deref().map_or(Cow::Borrowed("NIL"), |value| sanitized(value, 80));
                logged.push(format!("{}={value}", sanitized(key, ID_KEY_BYTES_MAX)));
            }
        }
        let is_list = !params.0.is_empty();
        if is_list && !logged.is_empty() {
            common.log(Level::Info, &format!("ID sent: {}", logged.join(", ")));
        }
        self.sent_id = true;
        let answer = common.config.imap.id_send.clone();
        common.say(&["* ID ", &answer, "\r\n"]);
        self.reply(common, "OK ID completed.");
    }

    /// What a trusted proxy says about the real client. Others may say it, but it has no effect.
    fn reserved(&self, common: &mut Common, key: &str, value: Option<&str>) -> bool {
        let key = key.to_ascii_lowercase();
        let forward = key.strip_prefix("x-forward-");
        let known = [
            "x-originating-ip",
            "x-originating-port",
            "x-connected-ip",
            "x-connected-port",
            "x-proxy-ttl",
            "x-session-id",
            "x-session-ext-id",
        ];
        if forward.is_none() && !known.contains(&key.as_str()) {
            return false;
        }
        let Some(value) = value.filter(|_| common.peer.trusted && !self.sent_id) else { return true };
        let ends = &mut common.peer.ends;
        match (key.as_str(), forward) {
            (_, Some(name)) => add_forward(&mut common.forward_fields, name, value),
            ("x-originating-ip", _) => _ = value.parse().map(|ip| ends.set_remote_ip(ip)),
            ("x-originating-port", _) => _ = value.parse().map(|port| ends.set_remote_port(port)),
            ("x-connected-ip", _) => _ = value.parse().map(|ip| ends.set_local_ip(ip)),
            ("x-connected-port", _) => _ = value.parse().map(|port| ends.set_local_port(port)),
            ("x-session-id" | "x-session-ext-id", _) if value.len() <= SESSION_ID_BYTES_MAX => {
                common.session_id = value.to_owned();
            }
            ("x-proxy-ttl", _) => common.proxy_ttl = value.parse().unwrap_or(common.proxy_ttl),
            _ => {}
        }
        true
    }
}

impl Dialect for Imap {
    fn greet(&mut self, common: &mut Common) {
        let greeting = common.greeting();
        common.say(&["* OK [CAPABILITY ", &capability(common), "] ", &greeting, "\r\n"]);
    }

    fn next(&mut self, common: &mut Common, input: &mut Input, now: u64) -> Step {
        let mut rest = input.rest();
        let before = rest.len();
        let event = self.reader.read(&mut rest);
        let taken = before - rest.len();
        let step = match event {
            None => Step::More,
            // A client that asks first need not be told too late that its password was heard by others.
            Some(Event::SendContinuation)
                if self.reader.unfinished() == Some(CommandKind::Login) && !common.allows_plaintext() =>
            {
                let tag = self.reader.refuse_literal();
                self.set_tag(tag.as_ref().map_or("", |tag| tag.as_str()));
                auth::check_plaintext(common, self, false);
                Step::Again
            }
            Some(Event::SendContinuation) => {
                common.say(&["+ OK\r\n"]);
                Step::Again
            }
            Some(Event::Command(raw)) => {
                self.set_tag(raw.tag.as_str());
                match login::parse(&raw) {
                    _ if self.tag.is_empty() => self.bad_command(common),
                    Ok(command) => self.execute(common, command, now),
                    Err(login::LoginError::BadId) => {
                        self.reply(common, "BAD Invalid ID parameters");
                        Step::Again
                    }
                    Err(login::LoginError::BadCommand) => self.bad_command(common),
                }
            }
            Some(Event::Error(error)) => {
                self.set_tag(error.tag.as_ref().map_or("", |tag| tag.as_str()));
                match login::syntax_error_text(&error) {
                    text if error.is_fatal() => {
                        common.say(&["* BYE ", text, "\r\n"]);
                        Step::Act(Action::Disconnect(text))
                    }
                    login::BAD_COMMAND => self.bad_command(common),
                    text => {
                        self.reply(common, &format!("BAD {text}"));
                        Step::Again
                    }
                }
            }
            // Only APPEND, which does not exist before login, has messages.
            Some(_) => Step::Again,
        };
        input.take(taken);
        step
    }

    fn answer(&mut self, common: &mut Common, answer: &Answer<'_>) {
        let text = answer.text;
        let code = match answer.outcome {
            Outcome::Referral { host, port, user } => {
                let mechanism = common.mechanism.clone().unwrap_or_default();
                let port = port.filter(|&port| port != 143).map_or(String::new(), |port| format!(":{port}"));
                let user = url_escaped(user);
                let url = format!("imap://{user};AUTH={mechanism}@{host}{port}/");
                return self.reply(common, &format!("NO [REFERRAL {url}] {text}"));
            }
            Outcome::InvalidBase64 | Outcome::Aborted => return self.reply(common, &format!("BAD {text}")),
            Outcome::AuthFailedReason | Outcome::MechInvalid if text.starts_with('[') => {
                return self.reply(common, &format!("NO {text}"));
            }
            Outcome::AuthFailedReason | Outcome::MechInvalid => "ALERT",
            Outcome::AuthzFailed => "AUTHORIZATIONFAILED",
            Outcome::TempFail => "UNAVAILABLE",
            Outcome::LimitReached => "LIMIT",
            Outcome::Misconfigured => "SERVERBUG",
            Outcome::SslRequired | Outcome::MechSslRequired => "PRIVACYREQUIRED",
            Outcome::PassExpired => "EXPIRED",
            Outcome::LoginDisabled | Outcome::AnonymousDenied => "CONTACTADMIN",
            Outcome::AuthFailed => "AUTHENTICATIONFAILED",
        };
        self.reply(common, &format!("NO [{code}] {text}"));
    }

    fn status(&self, common: &mut Common, bad: bool, text: &str) {
        common.say(&[if bad { "* BAD [ALERT] " } else { "* OK " }, text, "\r\n"]);
    }

    fn goodbye(&self, common: &mut Common, text: &str) {
        common.say(&["* BYE ", text, "\r\n"]);
    }

    fn reset(&mut self) {
        self.reader = CommandReader::before_login();
        self.started_tls = true;
    }

    fn tag(&self) -> (&str, bool) {
        (&self.tag, self.asked_capability)
    }
}

const BANNER: &str = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE";

fn capability(common: &Common) -> String {
    let imap = &common.config.imap;
    let literal = if imap.literal_minus { " LITERAL-" } else { " LITERAL+" };
    let mut capability = match imap.capability.as_str() {
        "" => format!("{BANNER}{literal}"),
        more if more.starts_with('+') => format!("{BANNER} {}{literal}", more.trim_start_matches('+')),
        own => own.to_owned(),
    };
    if common.can_start_tls() {
        capability.push_str(" STARTTLS");
    }
    let login_works = match common.peer.secured {
        true => auth::has_mechanism(common, "PLAIN"),
        false => !common.config.disable_plaintext_auth && !common.config.ssl.is_required(),
    };
    if !login_works {
        capability.push_str(" LOGINDISABLED");
    }
    for mechanism in auth::advertised(common) {
        capability.push_str(" AUTH=");
        capability.push_str(mechanism);
    }
    capability
}

fn retain(client_id: &mut String, key: &str, value: Option<&str>) {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let pair = format!("{} {}", quoted(key), value.map_or_else(|| "NIL".to_owned(), quoted));
    if client_id.len() + 1 + pair.len() < CLIENT_ID_BYTES_MAX {
        if !client_id.is_empty() {
            client_id.push(' ');
        }
        client_id.push_str(&pair);
    }
}

fn add_forward(fields: &mut String, name: &str, value: &str) {
    if fields.len() + name.len() + value.len() + 2 > FORWARD_BYTES_MAX {
        return;
    }
    if !fields.is_empty() {
        fields.push('\t');
    }
    base::tab::push(fields, name);
    fields.push('=');
    base::tab::push(fields, value);
}

/// The user's name in an IMAP URL (RFC 5092 §11).
fn url_escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$'()*+,&=".contains(&byte);
    text.bytes().fold(String::new(), |mut url, byte| {
        match plain(byte) {
            true => url.push(char::from(byte)),
            false => url.push_str(&format!("%{byte:02X}")),
        }
        url
    })
}
