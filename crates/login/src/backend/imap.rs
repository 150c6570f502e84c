//! Logging in to another IMAP server.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::sasl_client::SaslClient;
use super::{About, Backend, Destination, Failure, FailureKind, Next, Output, Security, ip_text, shown};

/// Commands that wait for their answer, with the names that log lines have for them.
const SENT: [(u8, &str); 6] = [
    (ID, "id"),
    (STARTTLS, "starttls"),
    (CAPABILITY, "capability"),
    (AUTHENTICATE, "authenticate"),
    (AUTH_CONTINUE, "auth-continue"),
    (LOGIN, "login"),
];
const ID: u8 = 1;
const STARTTLS: u8 = 2;
const CAPABILITY: u8 = 4;
const AUTHENTICATE: u8 = 8;
const AUTH_CONTINUE: u8 = 16;
const LOGIN: u8 = 32;

const AUTH_FAILED: &str = "NO [AUTHENTICATIONFAILED] Authentication failed.";

pub(super) struct Imap {
    destination: Arc<Destination>,
    about: About,
    sent: u8,
    received: &'static str,
    is_greeted: bool,
    asked_capability: bool,
    capability: Option<String>,
    sasl: Option<SaslClient>,
    /// Until then whoever is in between may speak for the server.
    awaits_tls: bool,
}

impl Imap {
    pub(super) fn new(destination: Arc<Destination>, about: About) -> Self {
        Self {
            awaits_tls: matches!(destination.security, Security::StartTls { .. }),
            destination,
            about,
            sent: 0,
            received: "none",
            is_greeted: false,
            asked_capability: false,
            capability: None,
            sasl: None,
        }
    }

    fn has(&self, capability: &str) -> bool {
        let mut words = self.capability.iter().flat_map(|list| list.split(' '));
        words.any(|word| word.eq_ignore_ascii_case(capability))
    }

    /// Whether an answer to one of these commands may come. Nothing else that looks like one is: before
    /// TLS whoever is in between could have passwords sent to him, or take the client over.
    fn waits_for(&self, commands: u8) -> bool {
        self.sent & commands != 0
    }

    fn received(&mut self, command: u8, state: &'static str) {
        self.sent &= !command;
        self.received = state;
    }

    fn greeting(&mut self, line: &str, output: &mut Output) -> Next {
        self.is_greeted = true;
        self.received = "banner";
        let Some(text) = line.strip_prefix("* OK ") else {
            let reason = format!("Invalid banner: {}", shown(line));
            return Next::Failed(Failure::new(FailureKind::Protocol, reason));
        };
        if let Some(code) = text.strip_prefix("[CAPABILITY ") {
            self.capability = Some(code.split(']').next().unwrap_or_default().to_owned());
            if self.has("ID") && !self.destination.not_trusted {
                self.sent |= ID;
                self.write_id(output);
                if self.destination.no_pipelining {
                    return Next::Line;
                }
            }
        }
        self.write_starttls_or_login(output)
    }

    /// Who the client really is. The other server believes it if we are in its
    /// `login_trusted_networks`.
    fn write_id(&self, output: &mut Output) {
        let About { session_id, remote_ip, remote_port, local_ip, local_port, ttl, client_id, .. } =
            &self.about;
        let mut list = client_id.clone();
        let mut pair = |key: &str, value: &str| {
            if !list.is_empty() {
                list.push(' ');
            }
            list.push_str(&string(key));
            list.push(' ');
            list.push_str(&string(value));
        };
        pair("x-session-id", session_id);
        pair("x-originating-ip", &ip_text(*remote_ip));
        pair("x-originating-port", &remote_port.to_string());
        pair("x-connected-ip", &ip_text(*local_ip));
        pair("x-connected-port", &local_port.to_string());
        pair("x-proxy-ttl", &ttl.saturating_sub(1).to_string());
        for (name, value) in &self.destination.forward {
            pair(&format!("x-forward-{name}"), value);
        }
        output.server(&["I ID (", &list, ")\r\n"]);
    }

    fn write_starttls_or_login(&mut self, output: &mut Output) -> Next {
        match self.destination.security {
            Security::StartTls { .. } if self.capability.is_some() && !self.has("STARTTLS") => {
                Next::Failed(Failure::new(FailureKind::RemoteConfig, "STARTTLS not supported"))
            }
            Security::StartTls { .. } => {
                output.server(&["S STARTTLS\r\n"]);
                self.sent |= STARTTLS;
                Next::Line
            }
            Security::Plain | Security::Tls { .. } => self.write_login(output),
        }
    }

    fn write_login(&mut self, output: &mut Output) -> Next {
        // A client that asked for capabilities by command is told them in the same way.
        if !self.asked_capability && (self.capability.is_none() || self.about.ignores_codes) {
            self.asked_capability = true;
            self.sent |= CAPABILITY;
            output.server(&["C CAPABILITY\r\n"]);
            if self.destination.no_pipelining {
                return Next::Line;
            }
        }
        let destination = self.destination.clone();
        let Some(mechanism) = destination.mechanism else {
            if self.has("LOGINDISABLED") && destination.security == Security::Plain {
                let reason = "LOGINDISABLED advertised, but SSL/TLS not enabled";
                return Next::Failed(Failure::new(FailureKind::RemoteConfig, reason));
            }
            output.server(&[
                "L LOGIN ",
                &string(&destination.destuser),
                " ",
                &string(&destination.password),
                "\r\n",
            ]);
            self.sent |= LOGIN;
            return Next::Line;
        };
        let sasl = self.sasl.insert(SaslClient::new(mechanism));
        output.server(&["L AUTHENTICATE ", mechanism.name()]);
        if self
            .capability
            .iter()
            .flat_map(|list| list.split(' '))
            .any(|word| word.eq_ignore_ascii_case("SASL-IR"))
        {
            output.server(&[" ", &sasl.initial(&destination)]);
        }
        output.server(&["\r\n"]);
        self.sent |= AUTHENTICATE;
        Next::Line
    }

    fn challenge(&mut self, line: &str, output: &mut Output) -> Next {
        // Literals of a LOGIN were sent without waiting for this.
        let Some(sasl) = &mut self.sasl else { return Next::Line };
        self.sent &= !AUTHENTICATE;
        self.received = "auth-continue";
        let failed = |reason: String| Next::Failed(Failure::new(FailureKind::Protocol, reason));
        let text = line.strip_prefix("+ ").or((line == "+").then_some(""));
        let Some(challenge) = text.and_then(|text| sasl::encoding::from_base64(text.as_bytes())) else {
            return failed("Invalid base64 data in AUTHENTICATE response".to_owned());
        };
        match sasl.answer(&challenge, &self.destination) {
            Ok(answer) => {
                output.server(&[&answer, "\r\n"]);
                self.sent |= AUTH_CONTINUE;
                Next::Line
            }
            Err(error) => failed(format!("Invalid authentication data: {error}")),
        }
    }

    fn logged_in(&mut self, text: &str, output: &mut Output) -> Next {
        self.received(LOGIN | AUTHENTICATE | AUTH_CONTINUE, "login");
        let is_code = text.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("[CAPABILITY "));
        let code = text.get(12..).filter(|_| is_code).and_then(|rest| rest.split(']').next());
        let capability = code.or(self.capability.as_deref());
        let tag = self.about.tag.as_str();
        match capability {
            Some(capability) if self.about.ignores_codes => {
                output.client(&["* CAPABILITY ", capability, "\r\n", tag, " OK ", text, "\r\n"]);
            }
            Some(capability) if !is_code => {
                // It takes the place of another code.
                let rest = match text.strip_prefix('[') {
                    Some(rest) => rest.split_once(']').map_or("", |(_, rest)| rest.trim_start_matches(' ')),
                    None => text,
                };
                output.client(&[tag, " OK [CAPABILITY ", capability, "] ", rest, "\r\n"]);
            }
            _ => output.client(&[tag, " OK ", text, "\r\n"]),
        }
        Next::LoggedIn
    }

    /// What a refusal tells the client: never more than our own would of whether there is such a user.
    fn refused(&mut self, text: &str) -> Next {
        self.received(LOGIN | AUTHENTICATE | AUTH_CONTINUE, "login");
        let reason = match text.get(..3) {
            Some(no) if no.eq_ignore_ascii_case("NO ") => text.get(3..).unwrap_or_default(),
            _ => text,
        };
        let code = text.strip_prefix("NO [").map(|rest| rest.split(']').next().unwrap_or_default());
        let (kind, answer) = match code {
            Some("AUTHENTICATIONFAILED") | None => (FailureKind::Auth, AUTH_FAILED),
            Some(code) if code.eq_ignore_ascii_case("UNAVAILABLE") => (FailureKind::AuthTemporary, text),
            Some(_) => (FailureKind::Auth, text),
        };
        let reply = Some(format!("{} {answer}\r\n", self.about.tag));
        Next::Failed(Failure { kind, reason: reason.to_owned(), reply })
    }
}

impl Backend for Imap {
    fn line(&mut self, line: &str, output: &mut Output) -> Next {
        if !self.is_greeted {
            return self.greeting(line, output);
        }
        let (tag, text) = line.split_once(' ').unwrap_or((line, ""));
        let starts = |start: &str| line.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
        match tag {
            _ if line.starts_with('+') => self.challenge(line, output),
            "S" if self.waits_for(STARTTLS) => {
                self.received(STARTTLS, "starttls");
                if text.starts_with("OK ") {
                    return Next::StartTls;
                }
                let reason = text.split_once(' ').map_or("", |(_, reason)| reason);
                let reason = format!("STARTTLS failed: {}", shown(reason));
                Next::Failed(Failure::new(FailureKind::Remote, reason))
            }
            "L" if self.waits_for(LOGIN | AUTHENTICATE | AUTH_CONTINUE) => match text.strip_prefix("OK ") {
                Some(text) => self.logged_in(text, output),
                None => self.refused(text),
            },
            "C" if self.waits_for(CAPABILITY) => {
                self.received(CAPABILITY, "capability");
                if text.starts_with("OK ") && !self.waits_for(AUTHENTICATE | LOGIN) {
                    self.write_login(output)
                } else {
                    Next::Line
                }
            }
            "I" | "i" if self.waits_for(ID) => {
                self.received(ID, "id");
                match self.destination.no_pipelining {
                    true => self.write_starttls_or_login(output),
                    false => Next::Line,
                }
            }
            "*" if starts("* CAPABILITY ") => {
                self.capability = line.get(13..).map(str::to_owned);
                Next::Line
            }
            // A failure comes by its tag as well, and the client is not sent away for it.
            "*" if starts("* ID ") || line.starts_with("* BYE ") => Next::Line,
            "*" if !self.awaits_tls => {
                output.client(&[line, "\r\n"]);
                Next::Line
            }
            _ => {
                output.errors.push(format!("Unexpected input, ignoring: {}", shown(line)));
                Next::Line
            }
        }
    }

    fn tls_started(&mut self, output: &mut Output) -> Next {
        self.awaits_tls = false;
        // What was said before TLS is not to be believed (RFC 3501 §6.2.1).
        self.capability = None;
        self.write_login(output)
    }

    fn state(&self) -> String {
        let sent = SENT.iter().filter(|(bit, _)| self.sent & bit != 0).map(|(_, name)| *name);
        format!("{}/{}", sent.collect::<Vec<_>>().join("+"), self.received)
    }
}

/// A string: in quotes, or a literal where quotes can't hold it. Literals are not waited for: the server
/// reads what is there.
fn string(text: &str) -> Zeroizing<String> {
    let needs_literal = text.bytes().any(|byte| byte >= 0x80 || matches!(byte, b'\r' | b'\n'));
    Zeroizing::new(match needs_literal {
        true => format!("{{{}}}\r\n{text}", text.len()),
        false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    })
}
