//! GSSAPI (RFC 4752) and GSS-SPNEGO (MS-SPNG): tickets of Kerberos. What reads them is outside of this
//! crate, behind [`Acceptor`]; here is what is said when.
//!
//! Client and server exchange tokens until both know who the other is. Then the server offers its
//! security layers, of which we have none, and the client answers with its choice and whom it wants to
//! be.

use super::{Answer, Context, Mechanism, MechanismInfo, Need, Refusal, Step};

pub(super) const GSSAPI: MechanismInfo =
    MechanismInfo { name: "GSSAPI", properties: &[], need: Need::Acceptor, begin };

/// The library finds out by itself that a token is one of negotiation.
pub(super) const GSS_SPNEGO: MechanismInfo = MechanismInfo { name: "GSS-SPNEGO", ..GSSAPI };

/// No security layer; without one, the largest message means nothing (RFC 4752 §3.3).
const OFFER: [u8; 4] = [1, 0xff, 0xff, 0xff];

/// Reads tickets. All of it may block.
pub trait Acceptor: Send {
    /// Gets ready, before the client's first token.
    ///
    /// # Errors
    /// There is no key to read tickets with.
    fn open(&mut self) -> Result<(), Refusal>;

    /// Takes a token; gives the one for the client, and who it is once that is known.
    ///
    /// # Errors
    /// It is no good.
    fn accept(&mut self, token: &[u8]) -> Result<(Vec<u8>, Option<String>), Refusal>;

    /// Wraps a message for the client.
    ///
    /// # Errors
    /// That is not possible.
    fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal>;

    /// Unwraps a message of the client's.
    ///
    /// # Errors
    /// It is not the client's.
    fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal>;

    /// Whether the client may be whom it wants to be: `wanted` as it wrote it, or itself, which is the
    /// user `name`. `principals` is the passdb's list of who else may.
    ///
    /// # Errors
    /// It may not.
    fn authorize(
        &mut self,
        wanted: Option<&str>,
        name: &str,
        principals: Option<&str>,
    ) -> Result<(), Refusal>;
}

fn begin(context: &mut Context<'_>) -> Box<dyn Mechanism> {
    Box::new(Gssapi { state: State::AwaitToken, peer: String::new(), acceptor: context.acceptor.take() })
}

struct Gssapi {
    state: State,
    peer: String,
    acceptor: Option<Box<dyn Acceptor>>,
}

enum State {
    AwaitToken,
    /// The name's holder is still to be told this.
    AwaitName(Vec<u8>),
    AwaitEmpty,
    AwaitChoice,
    AwaitUser {
        wanted: Option<String>,
    },
    Done,
}

impl Gssapi {
    fn acceptor(&mut self) -> Result<&mut Box<dyn Acceptor>, Refusal> {
        self.acceptor.as_mut().ok_or(Refusal::Unexpected)
    }

    fn accept(&mut self, token: &[u8]) -> Result<Step, Refusal> {
        let (token, peer) = self.acceptor()?.accept(token)?;
        let Some(peer) = peer else {
            self.state = State::AwaitToken;
            return Ok(Step::Challenge(token));
        };
        self.state = State::AwaitName(token);
        self.peer.clone_from(&peer);
        Ok(Step::Name { user: peer })
    }

    fn offer(&mut self) -> Result<Step, Refusal> {
        let offer = self.acceptor()?.wrap(&OFFER)?;
        self.state = State::AwaitChoice;
        Ok(Step::Challenge(offer))
    }

    /// The choice of a layer, the largest message, and a name or none.
    fn choice(&mut self, data: &[u8]) -> Result<Step, Refusal> {
        let message = self.acceptor()?.unwrap(data)?;
        // Whatever it chose, there will be no layer, as nothing else was offered.
        let Some((_, wanted)) = message.split_at_checked(OFFER.len()) else {
            return Err(Refusal::Credentials("Invalid response length".into()));
        };
        // Some count the NUL at the end.
        let wanted = wanted.strip_suffix(b"\0").unwrap_or(wanted);
        if wanted.contains(&0) {
            return Err(Refusal::of("authz_name has NULs"));
        }
        let wanted = match wanted {
            b"" => None,
            name => Some(super::name(name)?),
        };
        let user = wanted.clone().unwrap_or_else(|| self.peer.clone());
        self.state = State::AwaitUser { wanted };
        Ok(Step::Authorize { user })
    }

    fn step(&mut self, data: &[u8]) -> Result<Step, Refusal> {
        if data.len() > crate::limits::TICKET_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::AwaitToken => self.accept(data),
            State::AwaitEmpty => self.offer(),
            State::AwaitChoice => self.choice(data),
            State::AwaitName(_) | State::AwaitUser { .. } | State::Done => Err(Refusal::Unexpected),
        }
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<Step, Refusal> {
        match (std::mem::replace(&mut self.state, State::Done), answer) {
            // Nothing more to say in tokens: the client awaits the offer.
            (State::AwaitName(token), Answer::Named) if token.is_empty() => self.offer(),
            (State::AwaitName(token), Answer::Named) => {
                self.state = State::AwaitEmpty;
                Ok(Step::Challenge(token))
            }
            (State::AwaitUser { wanted }, Answer::User { name, principals }) => {
                self.acceptor()?.authorize(wanted.as_deref(), name, *principals)?;
                Ok(Step::Success(Vec::new()))
            }
            (
                State::AwaitName(_) | State::AwaitUser { .. },
                Answer::Unavailable | Answer::Verified(false),
            ) => Err(Refusal::NotVerified),
            _ => Err(Refusal::Unexpected),
        }
    }
}

impl Mechanism for Gssapi {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        let opened = self.acceptor().and_then(|acceptor| acceptor.open());
        match (opened, initial) {
            (Err(refusal), _) => Step::Fail(refusal),
            (Ok(()), None | Some(b"")) => Step::Challenge(Vec::new()),
            (Ok(()), Some(data)) => self.respond(data),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        self.step(data).unwrap_or_else(Step::Fail)
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        self.answered(&answer).unwrap_or_else(Step::Fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mech::tests::{begin_in, context};

    /// Believes in `ticket:name`, after `half`, and wraps in brackets.
    struct Toy;

    impl Acceptor for Toy {
        fn open(&mut self) -> Result<(), Refusal> {
            Ok(())
        }

        fn accept(&mut self, token: &[u8]) -> Result<(Vec<u8>, Option<String>), Refusal> {
            match token.strip_prefix(b"ticket:") {
                Some(name) => Ok((b"reply".to_vec(), Some(String::from_utf8_lossy(name).into_owned()))),
                None if token == b"half" => Ok((b"go on".to_vec(), None)),
                None if token == b"quiet" => Ok((Vec::new(), Some("joe@R".into()))),
                None => Err(Refusal::Said(vec![
                    "While processing: bad".into(),
                    "While processing: so bad".into(),
                ])),
            }
        }

        fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
            Ok([b"[", message, b"]"].concat())
        }

        fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
            let inner = message.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
            inner.map(<[u8]>::to_vec).ok_or(Refusal::of("no wrapping"))
        }

        fn authorize(
            &mut self,
            wanted: Option<&str>,
            name: &str,
            principals: Option<&str>,
        ) -> Result<(), Refusal> {
            match (wanted, principals) {
                (None, _) | (Some("joe"), _) | (_, Some("joe@R")) => Ok(()),
                _ => Err(Refusal::Message(format!("not {name}").into())),
            }
        }
    }

    fn begin() -> Box<dyn Mechanism> {
        begin_in(&GSSAPI, &mut Context { acceptor: Some(Box::new(Toy)), ..context() })
    }

    fn challenge(data: &[u8]) -> Step {
        Step::Challenge(data.to_vec())
    }

    /// From a token to the choice.
    fn up_to_choice() -> Box<dyn Mechanism> {
        let mut mechanism = begin();
        assert_eq!(mechanism.start(Some(b"ticket:joe@R")), Step::Name { user: "joe@R".into() });
        assert_eq!(mechanism.answer(Answer::Named), challenge(b"reply"));
        assert_eq!(mechanism.respond(b""), challenge(b"[\x01\xff\xff\xff]"));
        mechanism
    }

    #[test]
    fn from_a_token_to_success() {
        for (choice, user, principals, expect) in [
            (&b"[\x01\0\0\0]"[..], "joe@R", None, Step::Success(Vec::new())),
            (b"[\x01\0\0\0joe]", "joe", None, Step::Success(Vec::new())),
            (b"[\x01\0\0\0jane]", "jane", Some("joe@R"), Step::Success(Vec::new())),
            (b"[\x01\0\0\0jane\0]", "jane", None, Step::Fail(Refusal::of("not jane"))),
        ] {
            let mut mechanism = up_to_choice();
            assert_eq!(mechanism.respond(choice), Step::Authorize { user: user.into() });
            assert_eq!(mechanism.answer(Answer::User { name: user, principals }), expect);
            assert_eq!(mechanism.respond(choice), Step::Fail(Refusal::Unexpected));
        }
    }

    #[test]
    fn tokens_go_to_and_fro() {
        let mut mechanism = begin();
        assert_eq!(mechanism.start(None), challenge(b""));
        assert_eq!(mechanism.respond(b"half"), challenge(b"go on"));
        assert_eq!(mechanism.respond(b"quiet"), Step::Name { user: "joe@R".into() });
        assert_eq!(mechanism.answer(Answer::Named), challenge(b"[\x01\xff\xff\xff]"));
        let mut mechanism = begin();
        let refusal = Refusal::Said(vec!["While processing: bad".into(), "While processing: so bad".into()]);
        assert_eq!(mechanism.start(Some(b"?")), Step::Fail(refusal));
        assert_eq!(begin().start(Some(&[0; 70_000])), Step::Fail(Refusal::TooLong));
    }

    #[test]
    fn choices_that_are_none() {
        for (choice, expect) in [
            (&b"\x01\0\0\0"[..], Refusal::of("no wrapping")),
            (b"[\x01\0\0]", Refusal::Credentials("Invalid response length".into())),
            (b"[\x01\0\0\0a\0b]", Refusal::of("authz_name has NULs")),
            (b"[\x01\0\0\0\xff]", Refusal::InvalidInput),
        ] {
            assert_eq!(up_to_choice().respond(choice), Step::Fail(expect));
        }
        let mut mechanism = up_to_choice();
        mechanism.respond(b"[\x01\0\0\0]");
        assert_eq!(mechanism.answer(Answer::Verified(false)), Step::Fail(Refusal::NotVerified));
    }

    #[test]
    fn without_a_library_nothing_works() {
        let mut mechanism = begin_in(&GSSAPI, &mut context());
        assert_eq!(mechanism.start(None), Step::Fail(Refusal::Unexpected));
    }
}
