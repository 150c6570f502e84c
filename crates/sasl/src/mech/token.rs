//! DOVECOT-TOKEN: a mail process that `auth` gave a token to lets one of its own helpers (`imap-urlauth`)
//! speak for its user. Never offered to clients.

use hmac::{Hmac, KeyInit, Mac};

use super::{Answer, Mechanism, MechanismInfo, Need, Property, Refusal, Step};
use crate::encoding::hex;
use crate::secret::constant_time_eq;
use crate::{Secret, limits};

pub(super) const INFO: MechanismInfo = MechanismInfo {
    name: "DOVECOT-TOKEN",
    properties: &[Property::Private],
    need: Need::Nothing,
    begin: |_| Box::new(DovecotToken::AwaitMessage),
};

/// Who got a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The protocol that the user speaks there.
    pub service: String,
    /// The mail process's id.
    pub pid: String,
    /// The user, as the databases call it.
    pub user: String,
    /// The session's id; empty without one.
    pub session: String,
}

impl Holder {
    /// The token: an HMAC with SHA-1 whose key is the user's name, over all else and the server's
    /// secret, in hexadecimal.
    pub fn token(&self, secret: &[u8]) -> Secret {
        let Ok(mut mac) = Hmac::<sha1::Sha1>::new_from_slice(self.user.as_bytes()) else {
            // There is no key that it does not take.
            return Secret::default();
        };
        for part in [self.pid.as_bytes(), self.session.as_bytes(), self.service.as_bytes(), secret] {
            mac.update(part);
        }
        Secret::new(hex(&mac.finalize().into_bytes()))
    }

    /// Whether this is the holder's token.
    pub fn has(&self, token: &Secret, secret: &[u8]) -> bool {
        let right = self.token(secret);
        !right.is_empty() && constant_time_eq(right.expose(), token.expose())
    }
}

enum DovecotToken {
    AwaitMessage,
    AwaitVerdict,
    Done,
}

impl Mechanism for DovecotToken {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match initial {
            Some(data) => self.respond(data),
            None => Step::Challenge(Vec::new()),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        if !matches!(std::mem::replace(self, Self::Done), Self::AwaitMessage) {
            return Step::Fail(Refusal::Unexpected);
        }
        match parse(data) {
            Ok(step) => {
                *self = Self::AwaitVerdict;
                step
            }
            Err(refusal) => Step::Fail(refusal),
        }
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        let awaited = matches!(std::mem::replace(self, Self::Done), Self::AwaitVerdict);
        super::verdict(awaited, &answer)
    }
}

/// `service NUL pid NUL user NUL session NUL token`
fn parse(data: &[u8]) -> Result<Step, Refusal> {
    if data.len() > limits::SASL_MESSAGE_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let parts: Vec<&[u8]> = data.split(|&byte| byte == 0).collect();
    let [service, pid, user, session, token] = parts.as_slice() else { return Err(Refusal::InvalidInput) };
    let holder = Holder {
        service: super::name(service)?,
        pid: super::name(pid)?,
        user: super::name(user)?,
        session: super::name(session)?,
    };
    Ok(Step::Token { holder, token: Secret::new(*token) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mech::tests::begin;

    fn holder() -> Holder {
        Holder { service: "imap".into(), pid: "123".into(), user: "joe".into(), session: "abc".into() }
    }

    #[test]
    fn tokens() {
        let token = holder().token(b"secret");
        // printf '%s' 123abcimapsecret | openssl dgst -sha1 -hmac joe
        assert_eq!(token.expose_lossy().as_str(), "11041ca5603f640fa5cc3ff342def92b83d0d71d");
        assert!(holder().has(&token, b"secret"));
        assert!(!holder().has(&token, b"other"));
        assert!(!holder().has(&Secret::default(), b"secret"));
        assert!(!Holder { user: "jane".into(), ..holder() }.has(&token, b"secret"));
        assert!(!Holder { pid: "12".into(), ..holder() }.has(&token, b"secret"));
    }

    #[test]
    fn messages() {
        let step = begin(&INFO).start(Some(b"imap\x00123\0joe\0abc\0tok"));
        assert_eq!(step, Step::Token { holder: holder(), token: Secret::new("tok") });
        for bad in [&b"imap\x00123\0joe\0abc"[..], b"imap\x00123\0joe\0abc\0tok\0", b"", b"a\0b\0\xff\0c\0d"]
        {
            assert_eq!(begin(&INFO).start(Some(bad)), Step::Fail(Refusal::InvalidInput));
        }
        let mut mechanism = begin(&INFO);
        mechanism.start(Some(b"imap\x00123\0joe\0abc\0tok"));
        assert_eq!(mechanism.answer(Answer::Verified(true)), Step::Success(Vec::new()));
    }
}
