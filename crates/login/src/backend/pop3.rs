//! Logging in to another POP3 server.

use std::sync::Arc;

use super::sasl_client::SaslClient;
use super::{About, Backend, Destination, Failure, FailureKind, Next, Output, Security, ip_text, shown};
use base::tab;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Banner,
    StartTls,
    Xclient,
    /// The answer to USER.
    Login1,
    /// The answer to PASS or AUTH.
    Login2,
}

pub(super) struct Pop3 {
    destination: Arc<Destination>,
    about: About,
    state: State,
    takes_xclient: bool,
    sasl: Option<SaslClient>,
}

impl Pop3 {
    pub(super) fn new(destination: Arc<Destination>, about: About) -> Self {
        Self { destination, about, state: State::Banner, takes_xclient: false, sasl: None }
    }

    fn greeting(&mut self, line: &str, output: &mut Output) -> Next {
        let Some(text) = line.strip_prefix("+OK") else {
            let reason = format!("Invalid banner: {}", shown(line));
            return Next::Failed(Failure::new(FailureKind::Protocol, reason));
        };
        self.takes_xclient = text.starts_with(" [XCLIENT]");
        match self.destination.security {
            Security::StartTls { .. } => {
                output.server(&["STLS\r\n"]);
                self.state = State::StartTls;
                Next::Line
            }
            Security::Plain | Security::Tls { .. } => self.write_login(output),
        }
    }

    fn write_login(&mut self, output: &mut Output) -> Next {
        let destination = self.destination.clone();
        let breaks_line = |text: &str| text.contains(['\r', '\n', '\0']);
        if breaks_line(&destination.destuser) || breaks_line(&destination.password) {
            let reason = "User name or password has a line break, which POP3 can't send";
            return Next::Failed(Failure::new(FailureKind::Internal, reason));
        }
        self.state = State::Login1;
        if self.takes_xclient && !destination.not_trusted {
            self.write_xclient(output);
            self.state = State::Xclient;
        }
        let Some(mechanism) = destination.mechanism else {
            output.server(&["USER ", &destination.destuser, "\r\n"]);
            return Next::Line;
        };
        let sasl = self.sasl.insert(SaslClient::new(mechanism));
        output.server(&["AUTH ", mechanism.name(), " ", &sasl.initial(&destination), "\r\n"]);
        if self.state == State::Login1 {
            self.state = State::Login2;
        }
        Next::Line
    }

    /// Who the client really is. The other server asks for it if it will believe us.
    fn write_xclient(&self, output: &mut Output) {
        let About { session_id, remote_ip, remote_port, ttl, .. } = &self.about;
        let (ip, port, ttl) =
            (ip_text(*remote_ip), remote_port.to_string(), ttl.saturating_sub(1).to_string());
        output.server(&["XCLIENT ADDR=", &ip, " PORT=", &port, " SESSION=", session_id, " TTL=", &ttl]);
        let mut forward = String::new();
        for (name, value) in &self.destination.forward {
            if !forward.is_empty() {
                forward.push('\t');
            }
            tab::push(&mut forward, name);
            forward.push('=');
            tab::push(&mut forward, value);
        }
        if !forward.is_empty() {
            output.server(&[" FORWARD=", &sasl::encoding::base64(forward.as_bytes())]);
        }
        output.server(&["\r\n"]);
    }

    fn challenge(&mut self, text: &str, output: &mut Output) -> Next {
        let failed = |reason: String| Next::Failed(Failure::new(FailureKind::Protocol, reason));
        let Some(sasl) = &mut self.sasl else { return refused(text) };
        let Some(challenge) = sasl::encoding::from_base64(text.as_bytes()) else {
            return failed("Invalid base64 data in AUTH response".to_owned());
        };
        match sasl.answer(&challenge, &self.destination) {
            Ok(answer) => {
                output.server(&[&answer, "\r\n"]);
                Next::Line
            }
            Err(error) => failed(format!("Invalid authentication data: {error}")),
        }
    }
}

/// The other server's words go on to the client.
fn refused(line: &str) -> Next {
    let (kind, reason, reply) = match line.strip_prefix("-ERR ") {
        None => (FailureKind::Auth, line, "-ERR [AUTH] Authentication failed.\r\n".to_owned()),
        Some(reason) if reason.starts_with("[SYS/TEMP]") => {
            (FailureKind::AuthTemporary, reason, format!("{line}\r\n"))
        }
        Some(reason) => (FailureKind::Auth, reason, format!("{line}\r\n")),
    };
    Next::Failed(Failure { kind, reason: reason.to_owned(), reply: Some(reply) })
}

impl Backend for Pop3 {
    fn line(&mut self, line: &str, output: &mut Output) -> Next {
        let is_ok = line.starts_with("+OK");
        let broken = |command: &str| {
            let reason = format!("{command} failed: {}", shown(line));
            Next::Failed(Failure::new(FailureKind::Remote, reason))
        };
        match self.state {
            State::Banner => self.greeting(line, output),
            State::StartTls if is_ok => Next::StartTls,
            State::StartTls => broken("STLS"),
            State::Xclient if is_ok => {
                self.state = if self.sasl.is_none() { State::Login1 } else { State::Login2 };
                Next::Line
            }
            State::Xclient => broken("XCLIENT"),
            State::Login1 if is_ok => {
                output.server(&["PASS ", &self.destination.password, "\r\n"]);
                self.state = State::Login2;
                Next::Line
            }
            State::Login2 if is_ok => {
                output.client(&[line, "\r\n"]);
                Next::LoggedIn
            }
            State::Login2 if line.starts_with("+ ") && self.sasl.is_some() => {
                self.challenge(line.get(2..).unwrap_or_default(), output)
            }
            State::Login1 | State::Login2 => refused(line),
        }
    }

    fn tls_started(&mut self, output: &mut Output) -> Next {
        self.write_login(output)
    }

    fn state(&self) -> String {
        match self.state {
            State::Banner => "banner",
            State::StartTls => "starttls",
            State::Xclient => "xclient",
            State::Login1 => "login1",
            State::Login2 => "login2",
        }
        .to_owned()
    }
}
