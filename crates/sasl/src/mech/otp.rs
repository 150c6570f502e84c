//! OTP (RFC 2444, RFC 2289): each login takes the password of the one before it, hashed once less, and
//! leaves it in the passdb as what the next one has to lead to.

mod words;

use super::{Answer, Identity, Mechanism, MechanismInfo, Need, Property, Refusal, Step};
use crate::encoding::from_hex;
use crate::scheme::otp::State as Stored;
use crate::secret::constant_time_eq;
use crate::{Secret, limits};

pub(super) const INFO: MechanismInfo = MechanismInfo {
    name: "OTP",
    properties: &[Property::Dictionary, Property::Active],
    need: Need::Store,
    begin: |_| Box::new(Otp::AwaitName),
};

/// The scheme of what passdbs have.
const SCHEME: &str = "OTP";

enum Otp {
    AwaitName,
    AwaitCredentials,
    /// What the client's answer has to lead to, with the number of that answer.
    AwaitResponse(Stored),
    AwaitStored,
    Done,
}

impl Otp {
    /// `[authzid] NUL authcid`
    fn identity(&mut self, data: &[u8]) -> Result<Step, Refusal> {
        if data.len() > limits::SASL_MESSAGE_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let mut parts = data.split(|&byte| byte == 0);
        let (Some(authzid), Some(authcid), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Refusal::InvalidInput);
        };
        let user = super::name(authcid)?;
        let login_user = Some(super::name(authzid)?).filter(|name| !name.is_empty());
        *self = Self::AwaitCredentials;
        Ok(Step::Lookup { identity: Identity { user, login_user, realm: None }, scheme: SCHEME })
    }

    fn challenge(&mut self, raw: &[u8]) -> Result<Step, Refusal> {
        let mut state =
            Stored::parse(raw).ok_or(Refusal::Credentials("invalid OTP data in passdb".into()))?;
        state.sequence = match state.sequence.checked_sub(1).filter(|sequence| *sequence > 0) {
            Some(sequence) => sequence,
            None => return Err(Refusal::Credentials("sequence number < 1".into())),
        };
        let text = format!("otp-{} {} {} ext", state.algorithm.name(), state.sequence, state.seed);
        *self = Self::AwaitResponse(state);
        Ok(Step::Challenge(text.into_bytes()))
    }

    fn response(&mut self, mut state: Stored, data: &[u8]) -> Result<Step, Refusal> {
        let text = super::text(data)?;
        let (kind, text) = text.split_once(':').ok_or(Refusal::of("unsupported response type"))?;
        let (given, next) = match kind {
            "hex" | "word" => {
                let given = hash(kind, text).ok_or(Refusal::of("invalid response"))?;
                (given, None)
            }
            "init-hex" | "init-word" => {
                let kind = kind.strip_prefix("init-").unwrap_or_default();
                let mut parts = text.split(':');
                let given = parts.next().and_then(|text| hash(kind, text));
                let given = given.ok_or(Refusal::of("invalid init response, invalid current OTP"))?;
                let parameters =
                    parts.next().and_then(|text| text.split_once(' ')).and_then(|(algorithm, rest)| {
                        let (sequence, seed) = rest.split_once(' ')?;
                        Some((algorithm.strip_prefix("otp-").unwrap_or(algorithm), sequence, seed))
                    });
                let next = parts.next().and_then(|text| hash(kind, text));
                let next = match (parameters, next, parts.next()) {
                    (Some((algorithm, sequence, seed)), Some(hash), None) => {
                        Stored::new(algorithm, sequence, seed, hash)
                    }
                    _ => None,
                };
                (given, Some(next.ok_or(Refusal::of("invalid init response, invalid OTP parameters"))?))
            }
            _ => return Err(Refusal::of("unsupported response type")),
        };
        if !constant_time_eq(&state.algorithm.step(&[&given]), &state.hash) {
            return Err(Refusal::Mismatch);
        }
        state.hash = given;
        *self = Self::AwaitStored;
        let value = Secret::new(next.unwrap_or(state).print());
        Ok(Step::Store { scheme: SCHEME, value })
    }
}

/// 64 bits, in hexadecimal digits or words.
fn hash(kind: &str, text: &str) -> Option<[u8; 8]> {
    if kind == "word" {
        return words::decode(text);
    }
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '\t')).collect();
    from_hex(digits.as_bytes())?.try_into().ok()
}

impl Mechanism for Otp {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match initial {
            Some(data) => self.respond(data),
            None => Step::Challenge(Vec::new()),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        let step = match std::mem::replace(self, Self::Done) {
            Self::AwaitName => self.identity(data),
            Self::AwaitResponse(state) => self.response(state, data),
            Self::AwaitCredentials | Self::AwaitStored | Self::Done => Err(Refusal::Unexpected),
        };
        step.unwrap_or_else(Step::Fail)
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        let step = match (std::mem::replace(self, Self::Done), answer) {
            (Self::AwaitCredentials, Answer::Credentials(Some(raw))) => self.challenge(raw),
            (Self::AwaitStored, Answer::Verified(true)) => Ok(Step::Success(Vec::new())),
            (
                Self::AwaitCredentials | Self::AwaitStored,
                Answer::Credentials(None) | Answer::Unavailable | Answer::Verified(false),
            ) => Err(Refusal::NotVerified),
            _ => Err(Refusal::Unexpected),
        };
        step.unwrap_or_else(Step::Fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mech::tests::begin;

    /// "This is a test." with the seed "TeSt", of RFC 2289 Appendix C: MD5, after 0, 1 and 99.
    const MD5_0: &str = "9E876134D90499DD";
    const MD5_1: &str = "7965E05436F5029F";

    fn challenged() -> Box<dyn Mechanism> {
        let mut mechanism = begin(&INFO);
        let identity = Identity { user: "joe".into(), ..Identity::default() };
        assert_eq!(mechanism.start(Some(b"\0joe")), Step::Lookup { identity, scheme: "OTP" });
        // The one before the last of this seed; the number is as the user counts.
        let stored = format!("md5 2 test {}", MD5_1.to_lowercase());
        let challenge = mechanism.answer(Answer::Credentials(Some(stored.as_bytes())));
        assert_eq!(challenge, Step::Challenge(b"otp-md5 1 test ext".to_vec()));
        mechanism
    }

    fn check(response: &str, stored: Result<&str, Refusal>) {
        let step = challenged().respond(response.as_bytes());
        match stored {
            Ok(stored) => {
                assert_eq!(step, Step::Store { scheme: "OTP", value: Secret::new(stored) }, "{response}")
            }
            Err(refusal) => assert_eq!(step, Step::Fail(refusal), "{response}"),
        }
    }

    #[test]
    fn responses() {
        let stored = "md5 1 test 9e876134d90499dd";
        check(&format!("hex:{MD5_0}"), Ok(stored));
        check("hex:9e87 6134 d904 99dd", Ok(stored));
        check("word:INCH SEA ANNE LONG AHEM TOUR", Ok(stored));
        check(
            &format!("init-hex:{MD5_0}:sha1 499 newSeed:0011223344556677"),
            Ok("sha1 499 newseed 0011223344556677"),
        );
        check(
            "init-word:INCH SEA ANNE LONG AHEM TOUR:md4 9 seed:MILT VARY MAST OK SEES WENT",
            Ok("md4 9 seed bb9e6ae1979d8ff4"),
        );
        check(&format!("hex:{MD5_1}"), Err(Refusal::Mismatch));
        check("hex:12", Err(Refusal::of("invalid response")));
        check("word:INCH", Err(Refusal::of("invalid response")));
        check("pin:1234", Err(Refusal::of("unsupported response type")));
        let parameters = || Refusal::of("invalid init response, invalid OTP parameters");
        for rest in [
            "",
            "crc 9 seed:0011223344556677",
            "md5 0 seed:0011223344556677",
            "md5 9 s!:0011223344556677",
            "md5 9 seed:00",
        ] {
            check(&format!("init-hex:{MD5_0}:{rest}"), Err(parameters()));
        }
        check(&format!("init-hex:{MD5_1}:md5 9 seed:0011223344556677"), Err(Refusal::Mismatch));
    }

    #[test]
    fn what_passdbs_say() {
        for (stored, refusal) in [
            (Some(&b"md5 1 test 9e876134d90499dd"[..]), Refusal::Credentials("sequence number < 1".into())),
            (Some(b"md5 x test 9e876134d90499dd"), Refusal::Credentials("invalid OTP data in passdb".into())),
            (None, Refusal::NotVerified),
        ] {
            let mut mechanism = begin(&INFO);
            mechanism.start(Some(b"\0joe"));
            assert_eq!(mechanism.answer(Answer::Credentials(stored)), Step::Fail(refusal));
        }
        let mut mechanism = challenged();
        mechanism.respond(format!("hex:{MD5_0}").as_bytes());
        assert_eq!(mechanism.answer(Answer::Verified(true)), Step::Success(Vec::new()));
        let mut mechanism = challenged();
        mechanism.respond(format!("hex:{MD5_0}").as_bytes());
        assert_eq!(mechanism.answer(Answer::Verified(false)), Step::Fail(Refusal::NotVerified));
        assert_eq!(begin(&INFO).start(None), Step::Challenge(Vec::new()));
        assert_eq!(begin(&INFO).start(Some(b"joe")), Step::Fail(Refusal::InvalidInput));
    }
}
