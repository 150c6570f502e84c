//! POP3 before login (RFC 1939 §4, RFC 2449, RFC 2595 §4, RFC 5034), in 2.3's words.

use base::Level;
use zeroize::Zeroizing;

use super::auth::{self, Answer, Outcome};
use super::common::Common;
use super::{Action, Dialect, Step};
use crate::input::Input;
use crate::limits::{
    AUTH_LINE_BYTES_MAX, BAD_COMMANDS_MAX, FORWARD_BYTES_MAX, POP3_LINE_BYTES_MAX, SESSION_ID_BYTES_MAX,
};

/// The state of a POP3 client before login.
#[derive(Default)]
pub(super) struct Pop3 {
    user: Option<String>,
    challenge: Option<ApopChallenge>,
}

/// What the greeting asked APOP to be computed with, and which auth process knows of it.
struct ApopChallenge {
    text: String,
    server_pid: u32,
    connection_id: u32,
}

impl Pop3 {
    fn command(&mut self, common: &mut Common, line: &str, now: u64) -> Step {
        let (name, args) = line.split_once(' ').unwrap_or((line, ""));
        let name = name.to_ascii_uppercase();
        let step = match name.as_str() {
            "CAPA" => self.capa(common),
            "USER" => self.user(common, args),
            "PASS" => self.pass(common, args, now),
            "APOP" => self.apop(common, args, now),
            "STLS" => self.stls(common),
            "AUTH" => self.auth(common, args, now),
            "XCLIENT" => self.xclient(common, args),
            // Zimbra's patched nginx.
            "XOIP" => self.xclient(common, &format!("ADDR={args}")),
            "QUIT" => {
                common.say(&["+OK Logging out\r\n"]);
                Step::Act(Action::Disconnect("Aborted login by logging out"))
            }
            _ => {
                common.say(&["-ERR Unknown command.\r\n"]);
                common.bad_commands += 1;
                if common.bad_commands >= BAD_COMMANDS_MAX {
                    common.say(&["-ERR Too many invalid bad commands.\r\n"]);
                    return Step::Act(Action::Disconnect("Disconnected: Too many bad commands"));
                }
                return Step::Again;
            }
        };
        common.bad_commands = 0;
        step
    }

    fn capa(&self, common: &mut Common) -> Step {
        common.say(&["+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\n"]);
        if common.can_start_tls() {
            common.say(&["STLS\r\n"]);
        }
        if common.peer.secured || !common.config.disable_plaintext_auth {
            common.say(&["USER\r\n"]);
        }
        let mechanisms: String = auth::advertised(common).map(|name| format!(" {name}")).collect();
        common.say(&["SASL", &mechanisms, "\r\n.\r\n"]);
        Step::Again
    }

    fn user(&mut self, common: &mut Common, user: &str) -> Step {
        if auth::check_plaintext(common, self, false) {
            self.user = Some(user.to_owned());
            common.say(&["+OK\r\n"]);
        } else {
            common.names.user.get_or_insert_with(|| user.to_owned());
        }
        Step::Again
    }

    fn pass(&mut self, common: &mut Common, password: &str, now: u64) -> Step {
        let Some(user) = self.user.take() else {
            if auth::check_plaintext(common, self, true) {
                common.say(&["-ERR No username given.\r\n"]);
            }
            return Step::Again;
        };
        let plain = Zeroizing::new(["\0", &user, "\0", password].concat());
        let plain = Zeroizing::new(sasl::encoding::base64(plain.as_bytes()));
        auth::begin(common, self, "PLAIN", Some(&plain), false, now)
    }

    fn auth(&mut self, common: &mut Common, args: &str, now: u64) -> Step {
        let (mechanism, initial) = args.split_once(' ').unwrap_or((args, ""));
        if mechanism.is_empty() {
            // Without a mechanism it asks for the list, as Outlook does.
            let names: String = auth::advertised(common).map(|name| format!("{name}\r\n")).collect();
            common.say(&["+OK\r\n", &names, ".\r\n"]);
            return Step::Again;
        }
        // The auth process knows that `=` is an empty response (RFC 5034 §4).
        let initial = Some(initial).filter(|initial| !initial.is_empty());
        auth::begin(common, self, mechanism, initial, false, now)
    }

    fn apop(&mut self, common: &mut Common, args: &str, now: u64) -> Step {
        let Some(challenge) = &self.challenge else {
            return apop_refused(common, "APOP not enabled");
        };
        let Some((user, digest)) = args.split_once(' ').filter(|(_, digest)| digest.len() == 32) else {
            return apop_refused(common, "Invalid parameters");
        };
        let Some(digest) = sasl::encoding::from_hex(digest.as_bytes()) else {
            return apop_refused(common, "Invalid characters in MD5 response");
        };
        let mechanisms = &common.mechanisms;
        if (challenge.server_pid, challenge.connection_id)
            != (mechanisms.server_pid, mechanisms.connection_id)
        {
            return Step::Act(Action::Disconnect("Reconnected to auth server, can't do APOP"));
        }
        let response = [challenge.text.as_bytes(), b"\0", user.as_bytes(), b"\0", &digest].concat();
        let response = Zeroizing::new(sasl::encoding::base64(&response));
        auth::begin(common, self, "APOP", Some(&response), true, now)
    }

    fn stls(&self, common: &mut Common) -> Step {
        if common.peer.has_tls() {
            common.say(&["-ERR TLS is already active.\r\n"]);
        } else if !common.can_start_tls() {
            common.say(&["-ERR TLS support isn't enabled.\r\n"]);
        } else {
            common.say(&["+OK Begin TLS negotiation now.\r\n"]);
            return Step::Act(Action::StartTls);
        }
        Step::Again
    }

    /// What a trusted proxy says about the real client.
    fn xclient(&self, common: &mut Common, args: &str) -> Step {
        if !common.peer.trusted {
            common.say(&["+OK You are not from trusted IP - ignoring\r\n"]);
            return Step::Again;
        }
        // A bad field does not keep those after it from counting.
        let bad = args.split(' ').filter(|arg| xclient_field(common, arg).is_none()).count();
        common.say(&[if bad == 0 { "+OK Updated\r\n" } else { "-ERR Invalid parameters\r\n" }]);
        Step::Again
    }
}

impl Dialect for Pop3 {
    fn greet(&mut self, common: &mut Common) {
        let mut greeting = common.greeting();
        if auth::has_mechanism(common, "APOP") {
            let challenge = ApopChallenge::new(common);
            greeting.push(' ');
            greeting.push_str(&challenge.text);
            self.challenge = Some(challenge);
        }
        // Saves a trusted proxy a round for CAPA.
        let xclient = if common.peer.trusted { "[XCLIENT] " } else { "" };
        common.say(&["+OK ", xclient, &greeting, "\r\n"]);
    }

    fn next(&mut self, common: &mut Common, input: &mut Input, now: u64) -> Step {
        let rest = input.rest();
        let is_auth = rest.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"AUTH "));
        let most = if is_auth { AUTH_LINE_BYTES_MAX } else { POP3_LINE_BYTES_MAX };
        let end = rest.iter().position(|&byte| byte == b'\n');
        if end.unwrap_or(rest.len()) > most {
            common.say(&["-ERR Input buffer full, aborting\r\n"]);
            let reason = if is_auth { "Authentication response too large" } else { "Input buffer full" };
            return Step::Act(Action::Disconnect(reason));
        }
        match input.line() {
            None => Step::More,
            Some(line) => {
                let line = Zeroizing::new(String::from_utf8_lossy(&line).into_owned());
                self.command(common, &line, now)
            }
        }
    }

    fn answer(&mut self, common: &mut Common, answer: &Answer<'_>) {
        let prefix = match answer.outcome {
            Outcome::TempFail => "-ERR [SYS/TEMP] ",
            Outcome::LimitReached => "-ERR [IN-USE] ",
            Outcome::Referral { .. }
            | Outcome::Aborted
            | Outcome::AnonymousDenied
            | Outcome::Misconfigured => "-ERR ",
            _ if answer.text.starts_with('[') => "-ERR ",
            _ => "-ERR [AUTH] ",
        };
        common.say(&[prefix, answer.text, "\r\n"]);
    }

    fn status(&self, _common: &mut Common, _bad: bool, _text: &str) {
        // POP3 has no place for lines that nobody asked for.
    }

    fn goodbye(&self, common: &mut Common, text: &str) {
        common.say(&["-ERR ", text, "\r\n"]);
    }

    fn reset(&mut self) {
        self.user = None;
    }

    fn tag(&self) -> (&str, bool) {
        ("", false)
    }
}

impl ApopChallenge {
    /// Names the connection to the auth process, so that it can tell its own challenges (RFC 1939
    /// §7). The random part comes from the session's owner.
    fn new(common: &Common) -> Self {
        let mechanisms = &common.mechanisms;
        let random = sasl::encoding::base64(&(common.config.here.random)());
        Self {
            text: format!(
                "<{:x}.{:x}.{:x}.{random}@{}>",
                mechanisms.server_pid, mechanisms.connection_id, common.created_s, common.config.here.host
            ),
            server_pid: mechanisms.server_pid,
            connection_id: mechanisms.connection_id,
        }
    }
}

fn apop_refused(common: &mut Common, reason: &str) -> Step {
    if common.config.auth_verbose {
        common.log(Level::Info, &format!("APOP failed: {reason}"));
    }
    common.say(&["-ERR ", reason, ".\r\n"]);
    Step::Again
}

fn xclient_field(common: &mut Common, field: &str) -> Option<()> {
    let (name, value) = field.split_once('=').unwrap_or((field, ""));
    let ends = &mut common.peer.ends;
    match name.to_ascii_uppercase().as_str() {
        "ADDR" => ends.set_remote_ip(value.parse().ok()?),
        "PORT" => ends.set_remote_port(value.parse().ok()?),
        "TTL" => common.proxy_ttl = value.parse().ok()?,
        "SESSION" if value.len() <= SESSION_ID_BYTES_MAX => common.session_id = value.to_owned(),
        "FORWARD" => {
            let fields = sasl::encoding::from_base64(value.as_bytes())?;
            common.forward_fields =
                String::from_utf8(fields).ok().filter(|f| f.len() <= FORWARD_BYTES_MAX)?;
        }
        _ => {}
    }
    Some(())
}
