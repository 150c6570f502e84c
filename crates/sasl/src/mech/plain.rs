//! PLAIN (RFC 4616): `[authzid] NUL authcid NUL password` in one message.

use super::{Answer, Identity, Mechanism, MechanismInfo, Need, Property, Refusal, Step};
use crate::{Secret, limits};

pub(super) const INFO: MechanismInfo = MechanismInfo {
    name: "PLAIN",
    properties: &[Property::Plaintext],
    need: Need::Verify,
    begin: |_| Box::new(Plain::AwaitMessage),
};

enum Plain {
    AwaitMessage,
    AwaitVerdict,
    Done,
}

impl Mechanism for Plain {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match initial {
            Some(data) => self.respond(data),
            None => Step::Challenge(Vec::new()),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        if !matches!(self, Self::AwaitMessage) {
            *self = Self::Done;
            return Step::Fail(Refusal::Unexpected);
        }
        match parse(data) {
            Ok((identity, password)) => {
                *self = Self::AwaitVerdict;
                Step::Verify { identity, password }
            }
            Err(refusal) => {
                *self = Self::Done;
                Step::Fail(refusal)
            }
        }
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        let awaited = matches!(std::mem::replace(self, Self::Done), Self::AwaitVerdict);
        super::verdict(awaited, &answer)
    }
}

fn parse(data: &[u8]) -> Result<(Identity, Secret), Refusal> {
    if data.len() > limits::SASL_MESSAGE_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let mut parts = data.split(|&byte| byte == 0);
    let (Some(authzid), Some(authcid), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::InvalidInput);
    };
    let user = super::name(authcid)?;
    // A client that repeats its own name wants to be nobody else.
    let login_user = match authzid {
        b"" => None,
        same if same == authcid => None,
        other => Some(super::name(other)?),
    };
    Ok((Identity { user, login_user, realm: None }, Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], expect: Result<(&str, Option<&str>, &str), Refusal>) {
        let step = crate::mech::tests::begin(&INFO).start(Some(message));
        let expect = match expect {
            Ok((user, login, password)) => Step::Verify {
                identity: Identity { user: user.into(), login_user: login.map(Into::into), realm: None },
                password: Secret::new(password),
            },
            Err(refusal) => Step::Fail(refusal),
        };
        assert_eq!(step, expect, "{}", message.escape_ascii());
    }

    #[test]
    fn messages() {
        check(b"\0tim\0tanstaaftanstaaf", Ok(("tim", None, "tanstaaftanstaaf")));
        check(b"Ursel\0Kurt\0xipj3plmq", Ok(("Kurt", Some("Ursel"), "xipj3plmq")));
        check(b"tim\0tim\0x", Ok(("tim", None, "x")));
        check(b"\0tim\0", Ok(("tim", None, "")));
        check(b"\0\0x", Ok(("", None, "x")));
        for bad in [&b""[..], b"tim", b"\0tim", b"\0tim\0a\0b", b"\0\xff\0x"] {
            check(bad, Err(Refusal::InvalidInput));
        }
        check(&[b"\0", &[b'a'; 2000][..], b"\0x"].concat(), Err(Refusal::TooLong));
        check(&[b'a'; 9000], Err(Refusal::TooLong));
    }

    #[test]
    fn without_initial_response_an_empty_challenge_comes_first() {
        let mut plain = crate::mech::tests::begin(&INFO);
        assert_eq!(plain.start(None), Step::Challenge(vec![]));
        assert!(matches!(plain.respond(b"\0a\0b"), Step::Verify { .. }));
        assert_eq!(plain.answer(Answer::Verified(true)), Step::Success(vec![]));
        assert_eq!(plain.answer(Answer::Verified(true)), Step::Fail(Refusal::Unexpected));
    }

    #[test]
    fn a_second_message_is_refused() {
        let mut plain = crate::mech::tests::begin(&INFO);
        assert!(matches!(plain.start(Some(b"\0a\0b")), Step::Verify { .. }));
        assert_eq!(plain.respond(b"\0a\0b"), Step::Fail(Refusal::Unexpected));
        assert_eq!(plain.answer(Answer::Verified(true)), Step::Fail(Refusal::Unexpected));
    }
}
