//! EXTERNAL (RFC 4422 Appendix A): the client's certificate has told who it is; the message says, if
//! anything, who it wants to be.

use super::{Answer, Context, Identity, Mechanism, MechanismInfo, Need, Refusal, Step};
use crate::Secret;

pub(super) const INFO: MechanismInfo =
    MechanismInfo { name: "EXTERNAL", properties: &[], need: Need::Verify, begin };

fn begin(context: &mut Context<'_>) -> Box<dyn Mechanism> {
    Box::new(External::AwaitMessage { user_is_known: context.user_is_known })
}

enum External {
    AwaitMessage { user_is_known: bool },
    AwaitVerdict,
    Done,
}

impl Mechanism for External {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match initial {
            Some(data) => self.respond(data),
            None => Step::Challenge(Vec::new()),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        match std::mem::replace(self, Self::Done) {
            Self::AwaitMessage { user_is_known: false } => Step::Fail(Refusal::of("username not known")),
            Self::AwaitMessage { .. } => match super::name(data) {
                Ok(name) => {
                    *self = Self::AwaitVerdict;
                    let login_user = Some(name).filter(|name| !name.is_empty());
                    // The name is the certificate's, whatever stands here.
                    let identity = Identity { user: String::new(), login_user, realm: None };
                    Step::Verify { identity, password: Secret::default() }
                }
                Err(refusal) => Step::Fail(refusal),
            },
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
    use crate::mech::tests::{begin_in, context};

    fn check(user_is_known: bool, message: &[u8], expect: Result<Option<&str>, Refusal>) {
        let step = begin_in(&INFO, &mut Context { user_is_known, ..context() }).start(Some(message));
        let expect = match expect {
            Ok(login) => Step::Verify {
                identity: Identity { login_user: login.map(str::to_owned), ..Identity::default() },
                password: Secret::default(),
            },
            Err(refusal) => Step::Fail(refusal),
        };
        assert_eq!(step, expect);
    }

    #[test]
    fn the_certificate_says_who() {
        check(true, b"", Ok(None));
        check(true, b"other", Ok(Some("other")));
        check(false, b"joe", Err(Refusal::of("username not known")));
        check(true, b"a\0b", Err(Refusal::InvalidInput));
        check(true, b"\xff", Err(Refusal::InvalidInput));
        check(true, &[b'x'; 2000], Err(Refusal::TooLong));
    }
}
