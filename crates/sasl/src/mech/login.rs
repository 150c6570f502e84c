//! LOGIN (draft-murchison-sasl-login): the server asks for a name, then for a password. Obsolete,
//! and still what Outlook speaks.

use super::{Answer, Identity, Mechanism, MechanismInfo, Need, Property, Refusal, Step};
use crate::{Secret, limits};

pub(super) const INFO: MechanismInfo = MechanismInfo {
    name: "LOGIN",
    properties: &[Property::Plaintext],
    need: Need::Verify,
    begin: |_| Box::new(Login::AwaitName),
};

enum Login {
    AwaitName,
    AwaitPassword { user: String },
    AwaitVerdict,
    Done,
}

impl Mechanism for Login {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        // The draft knows no initial response, but some clients send the name as one.
        match initial {
            Some(data) if !data.is_empty() => self.respond(data),
            _ => Step::Challenge(b"Username:".to_vec()),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        let state = std::mem::replace(self, Self::Done);
        if data.len() > limits::SASL_MESSAGE_BYTES_MAX {
            return Step::Fail(Refusal::TooLong);
        }
        match state {
            Self::AwaitName => match super::name(data) {
                Ok(user) => {
                    *self = Self::AwaitPassword { user };
                    Step::Challenge(b"Password:".to_vec())
                }
                Err(refusal) => Step::Fail(refusal),
            },
            Self::AwaitPassword { .. } if data.contains(&0) => Step::Fail(Refusal::InvalidInput),
            Self::AwaitPassword { user } => {
                *self = Self::AwaitVerdict;
                Step::Verify {
                    identity: Identity { user, login_user: None, ..Identity::default() },
                    password: Secret::new(data),
                }
            }
            Self::AwaitVerdict | Self::Done => Step::Fail(Refusal::Unexpected),
        }
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        let awaited = matches!(std::mem::replace(self, Self::Done), Self::AwaitVerdict);
        super::verdict(awaited, &answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(initial: Option<&[u8]>, replies: &[&[u8]], expect: Step) {
        let mut login = crate::mech::tests::begin(&INFO);
        let mut step = login.start(initial);
        for reply in replies {
            assert!(matches!(step, Step::Challenge(_)), "{step:?}");
            step = login.respond(reply);
        }
        assert_eq!(step, expect);
    }

    fn verify(user: &str, password: &str) -> Step {
        let identity = Identity { user: user.into(), login_user: None, ..Identity::default() };
        Step::Verify { identity, password: Secret::new(password) }
    }

    #[test]
    fn dialogues() {
        check(None, &[], Step::Challenge(b"Username:".to_vec()));
        check(Some(b""), &[], Step::Challenge(b"Username:".to_vec()));
        check(None, &[b"tim"], Step::Challenge(b"Password:".to_vec()));
        check(None, &[b"tim", b"secret"], verify("tim", "secret"));
        check(Some(b"tim"), &[b"secret"], verify("tim", "secret"));
        check(None, &[b"t\0m"], Step::Fail(Refusal::InvalidInput));
        check(None, &[b"tim", b"a\0b"], Step::Fail(Refusal::InvalidInput));
        check(None, &[b"tim", &[b'a'; 9000]], Step::Fail(Refusal::TooLong));
    }

    #[test]
    fn only_an_awaited_verdict_counts() {
        let mut login = crate::mech::tests::begin(&INFO);
        login.start(Some(b"tim"));
        assert_eq!(login.answer(Answer::Verified(true)), Step::Fail(Refusal::Unexpected));
    }
}
