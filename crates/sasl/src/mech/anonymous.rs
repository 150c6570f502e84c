//! ANONYMOUS (RFC 4505): one message, with anything in it that the client likes to say.

use super::{Answer, Mechanism, MechanismInfo, Need, Property, Refusal, Step};
use crate::limits;

pub(super) const INFO: MechanismInfo = MechanismInfo {
    name: "ANONYMOUS",
    properties: &[Property::Anonymous],
    need: Need::Nothing,
    begin: |_| Box::new(Anonymous::AwaitMessage),
};

enum Anonymous {
    AwaitMessage,
    AwaitVerdict,
    Done,
}

impl Mechanism for Anonymous {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match initial {
            Some(data) => self.respond(data),
            None => Step::Challenge(Vec::new()),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        match std::mem::replace(self, Self::Done) {
            Self::AwaitMessage if data.len() > limits::SASL_MESSAGE_BYTES_MAX => Step::Fail(Refusal::TooLong),
            Self::AwaitMessage => {
                *self = Self::AwaitVerdict;
                // What follows a NUL was never shown.
                let shown = data.split(|&byte| byte == 0).next().unwrap_or_default();
                Step::Anonymous { trace: String::from_utf8_lossy(shown).into_owned() }
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
    use crate::mech::tests::begin;

    #[test]
    fn anything_goes() {
        let mut anonymous = begin(&INFO);
        assert_eq!(anonymous.start(None), Step::Challenge(Vec::new()));
        assert_eq!(anonymous.respond(b"sirhc\0x"), Step::Anonymous { trace: "sirhc".into() });
        assert_eq!(anonymous.answer(Answer::Verified(true)), Step::Success(Vec::new()));
        assert_eq!(begin(&INFO).start(Some(b"")), Step::Anonymous { trace: String::new() });
        assert_eq!(begin(&INFO).start(Some(&[b'x'; 9000])), Step::Fail(Refusal::TooLong));
        assert_eq!(begin(&INFO).answer(Answer::Verified(true)), Step::Fail(Refusal::Unexpected));
    }
}
