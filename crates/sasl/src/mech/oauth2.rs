//! OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's older form): the client shows a token in place of a
//! password, and the passdbs verify it as one.

use super::{Answer, Identity, Mechanism, MechanismInfo, Need, Property, Refusal, Step, text, unescape_name};
use crate::Secret;

pub(super) const OAUTHBEARER: MechanismInfo = MechanismInfo {
    name: "OAUTHBEARER",
    // The password does not cross the wire, but the token is as good as one.
    properties: &[Property::Plaintext],
    need: Need::Nothing,
    begin: |_| Box::new(OAuth2 { form: Form::Bearer, state: State::AwaitMessage }),
};

pub(super) const XOAUTH2: MechanismInfo = MechanismInfo {
    name: "XOAUTH2",
    properties: &[Property::Plaintext],
    need: Need::Nothing,
    begin: |_| Box::new(OAuth2 { form: Form::Google, state: State::AwaitMessage }),
};

/// Between the fields of a message.
const SEPARATOR: char = '\u{1}';

struct OAuth2 {
    form: Form,
    state: State,
}

#[derive(Clone, Copy)]
enum Form {
    Bearer,
    Google,
}

enum State {
    AwaitMessage,
    AwaitVerdict,
    /// The client was told what is wrong, and has to say that it has read it (RFC 7628 §3.2.3).
    AwaitReceipt,
    Done,
}

impl Form {
    fn parse(self, data: &[u8]) -> Result<(Identity, Secret), Refusal> {
        let message = text(data)?;
        let user = match self {
            Self::Bearer => user_of_header(message.split(SEPARATOR).next().unwrap_or_default())?,
            // There is nothing to escape.
            Self::Google => message
                .split(SEPARATOR)
                .rev()
                .find_map(|field| field.strip_prefix("user="))
                .map(str::to_owned),
        };
        let mut token = None;
        for value in message.split(SEPARATOR).filter_map(|field| field.strip_prefix("auth=")) {
            token = Some(bearer_token(value).ok_or(Refusal::of("Invalid continued data"))?);
        }
        let (Some(user), Some(token)) = (user, token) else {
            return Err(Refusal::of(match self {
                Self::Bearer => "Missing username or token",
                Self::Google => "Username or token missing",
            }));
        };
        let user = super::name(user.as_bytes())?;
        Ok((Identity { user, ..Identity::default() }, Secret::new(token)))
    }

    /// Why the token was refused, in JSON.
    fn error(self, configuration: &str) -> String {
        let mut error = match self {
            Self::Bearer => "{\"status\":\"invalid_token\"".to_owned(),
            Self::Google => "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"".to_owned(),
        };
        if !configuration.is_empty() {
            error.push_str(",\"openid-configuration\":\"");
            push_json(&mut error, configuration);
            error.push('"');
        }
        error.push('}');
        error
    }
}

/// The name in the GS2 header, `n,a=name,`.
fn user_of_header(header: &str) -> Result<Option<String>, Refusal> {
    if header.is_empty() {
        return Err(Refusal::of("Invalid continued data"));
    }
    let mut user = None;
    for field in header.split(',').filter(|field| !field.is_empty()) {
        match field.as_bytes().first() {
            Some(b'f') => return Err(Refusal::of("Client requested non-standard mechanism")),
            Some(b'p') => return Err(Refusal::of("Client requested and used channel-binding")),
            Some(b'n' | b'y') => {}
            Some(b'a') => {
                let name = field.strip_prefix("a=").and_then(unescape_name);
                user = Some(name.ok_or(Refusal::of("Invalid username escaping"))?);
            }
            _ => return Err(Refusal::of("Invalid gs2-header in request")),
        }
    }
    Ok(user)
}

/// The token after `Bearer `, if it is one by RFC 6750 §2.1.
fn bearer_token(value: &str) -> Option<&str> {
    let token = value.get(..7).filter(|word| word.eq_ignore_ascii_case("bearer ")).and(value.get(7..))?;
    let bare = token.trim_end_matches('=');
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    (!bare.is_empty() && bare.bytes().all(is_valid)).then_some(token)
}

fn push_json(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
}

impl Mechanism for OAuth2 {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match initial {
            Some(data) => self.respond(data),
            None => Step::Challenge(Vec::new()),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Done) {
            State::AwaitMessage => match self.form.parse(data) {
                Ok((identity, password)) => {
                    self.state = State::AwaitVerdict;
                    Step::Verify { identity, password }
                }
                Err(refusal) => Step::Fail(refusal),
            },
            State::AwaitReceipt => Step::Fail(Refusal::NotVerified),
            State::AwaitVerdict | State::Done => Step::Fail(Refusal::Unexpected),
        }
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        let awaited = matches!(std::mem::replace(&mut self.state, State::Done), State::AwaitVerdict);
        let configuration = match answer {
            Answer::Verified(false) if awaited => "",
            Answer::TokenRefused { configuration } if awaited => configuration,
            answer => return super::verdict(awaited, &answer),
        };
        self.state = State::AwaitReceipt;
        Step::Challenge(self.form.error(configuration).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mech::tests::begin;

    fn check(info: &MechanismInfo, message: &[u8], expect: Result<(&str, &str), &str>) {
        let step = begin(info).start(Some(message));
        match (step, expect) {
            (Step::Verify { identity, password }, Ok((user, token))) => {
                assert_eq!((identity.user.as_str(), &*password.expose_lossy()), (user, &token.to_owned()));
                assert_eq!(identity.login_user, None);
            }
            (Step::Fail(refusal), Err(text)) => assert_eq!(refusal.to_string(), text),
            (step, expect) => panic!("{message:?}: {step:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn bearer() {
        let check = |message: &[u8], expect| check(&OAUTHBEARER, message, expect);
        check(
            b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
              auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
            Ok(("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")),
        );
        check(b"y,a=a=2Cb=3D,\x01auth=bEARER x\x01\x01", Ok(("a,b=", "x")));
        check(b"n,,\x01auth=Bearer x\x01\x01", Err("Missing username or token"));
        check(b"n,a=joe,\x01\x01", Err("Missing username or token"));
        check(b"", Err("Invalid continued data"));
        check(b"\x01auth=Bearer x\x01\x01", Err("Invalid continued data"));
        check(b"n,a=joe,\x01auth=Basic x\x01\x01", Err("Invalid continued data"));
        check(b"n,a=joe,\x01auth=Bearer \x01\x01", Err("Invalid continued data"));
        check(b"n,a=joe,\x01auth=Bearer a b\x01\x01", Err("Invalid continued data"));
        check(b"n,a=joe,\x01auth=Bearer =\x01\x01", Err("Invalid continued data"));
        check(b"n,a=joe=,\x01auth=Bearer x\x01\x01", Err("Invalid username escaping"));
        check(
            b"p=tls-exporter,a=joe,\x01auth=Bearer x\x01\x01",
            Err("Client requested and used channel-binding"),
        );
        check(b"F,n,a=joe,\x01auth=Bearer x\x01\x01", Err("Invalid gs2-header in request"));
        check(b"f,n,a=joe,\x01auth=Bearer x\x01\x01", Err("Client requested non-standard mechanism"));
        check(b"n,a=joe\0,\x01auth=Bearer x\x01\x01", Err("invalid input"));
        check(&[b'n'; 9000], Err("invalid input: too long"));
    }

    #[test]
    fn google() {
        let check = |message: &[u8], expect| check(&XOAUTH2, message, expect);
        check(b"user=joe@example.com\x01auth=Bearer ya29.x-_~\x01\x01", Ok(("joe@example.com", "ya29.x-_~")));
        check(b"auth=Bearer x\x01user=a=b,\x01x=y\x01\x01", Ok(("a=b,", "x")));
        check(b"user=joe\x01\x01", Err("Username or token missing"));
        check(b"", Err("Username or token missing"));
        check(b"user=joe\x01auth=x\x01\x01", Err("Invalid continued data"));
    }

    #[test]
    fn refusals_are_told_first() {
        for (info, message, answer, error) in [
            (
                &OAUTHBEARER,
                &b"n,a=joe,\x01auth=Bearer x\x01\x01"[..],
                Answer::Verified(false),
                "{\"status\":\"invalid_token\"}",
            ),
            (
                &OAUTHBEARER,
                b"n,a=joe,\x01auth=Bearer x\x01\x01",
                Answer::TokenRefused { configuration: "https://id/\"\n" },
                "{\"status\":\"invalid_token\",\"openid-configuration\":\"https://id/\\\"\\u000a\"}",
            ),
            (
                &XOAUTH2,
                b"user=joe\x01auth=Bearer x\x01\x01",
                Answer::Verified(false),
                "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"}",
            ),
        ] {
            let mut oauth2 = begin(info);
            oauth2.start(Some(message));
            assert_eq!(oauth2.answer(answer), Step::Challenge(error.as_bytes().to_vec()));
            assert_eq!(oauth2.respond(b"\x01"), Step::Fail(Refusal::NotVerified));
            assert_eq!(oauth2.respond(message), Step::Fail(Refusal::Unexpected));
        }
        let mut oauth2 = begin(&XOAUTH2);
        oauth2.start(Some(b"user=joe\x01auth=Bearer x\x01\x01"));
        assert_eq!(oauth2.answer(Answer::Unavailable), Step::Fail(Refusal::NotVerified));
    }
}
