//! CRAM-MD5 (RFC 2195): the client shows that it knows the key of an HMAC over the server's challenge.

use super::{Answer, Context, Identity, Mechanism, MechanismInfo, Need, Property, Refusal, Step};
use crate::encoding::hex;
use crate::limits;
use crate::scheme::hmac_md5_from_context;
use crate::secret::constant_time_eq;

pub(super) const INFO: MechanismInfo = MechanismInfo {
    name: "CRAM-MD5",
    properties: &[Property::Dictionary, Property::Active],
    need: Need::Lookup,
    begin,
};

const CHALLENGE_DIGITS: usize = 16;

fn begin(context: &mut Context<'_>) -> Box<dyn Mechanism> {
    let mut random = [0; CHALLENGE_DIGITS];
    (context.random)(&mut random);
    let digits: String = random.iter().map(|byte| char::from(b'0' + byte % 10)).collect();
    let challenge = format!("<{digits}.{}@{}>", context.now_s, context.host);
    Box::new(CramMd5::AwaitResponse { challenge })
}

enum CramMd5 {
    AwaitResponse { challenge: String },
    AwaitPassword { challenge: String, digest: Vec<u8> },
    Done,
}

impl Mechanism for CramMd5 {
    /// There is no initial response in CRAM-MD5; 2.3 ignores one.
    fn start(&mut self, _initial: Option<&[u8]>) -> Step {
        match self {
            Self::AwaitResponse { challenge } => Step::Challenge(challenge.clone().into_bytes()),
            _ => Step::Fail(Refusal::Unexpected),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        match (std::mem::replace(self, Self::Done), parse(data)) {
            (Self::AwaitResponse { challenge }, Ok((user, digest))) => {
                *self = Self::AwaitPassword { challenge, digest };
                Step::Lookup { identity: Identity { user, ..Identity::default() }, scheme: "CRAM-MD5" }
            }
            (Self::AwaitResponse { .. }, Err(refusal)) => Step::Fail(refusal),
            _ => Step::Fail(Refusal::Unexpected),
        }
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        match (std::mem::replace(self, Self::Done), answer) {
            (Self::AwaitPassword { challenge, digest }, Answer::Credentials(Some(key))) => {
                match hmac_md5_from_context(key, challenge.as_bytes()) {
                    None => Step::Fail(Refusal::Credentials("invalid credentials length".into())),
                    Some(mac) if constant_time_eq(hex(&mac).as_bytes(), &digest) => Step::Success(Vec::new()),
                    Some(_) => Step::Fail(Refusal::Mismatch),
                }
            }
            (Self::AwaitPassword { .. }, _) => Step::Fail(Refusal::NotVerified),
            _ => Step::Fail(Refusal::Unexpected),
        }
    }
}

/// `user SP digest`; a name may have spaces, so the last one separates.
fn parse(data: &[u8]) -> Result<(String, Vec<u8>), Refusal> {
    if data.len() > limits::SASL_MESSAGE_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    if data.contains(&0) {
        return Err(Refusal::of("NULs in response"));
    }
    let space = data.iter().rposition(|&byte| byte == b' ').filter(|&at| at > 0);
    let (user, digest) =
        space.and_then(|at| data.split_at_checked(at)).ok_or(Refusal::of("missing digest"))?;
    Ok((super::name(user)?, digest.get(1..).unwrap_or_default().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mech::tests::{begin, credentials};

    fn check(response: &[u8], password: &str, expect: Step) {
        let mut cram = begin(&INFO);
        let Step::Challenge(challenge) = cram.start(Some(b"ignored")) else { panic!("no challenge") };
        assert_eq!(challenge, b"<1234567890123456.100@host.example>");
        let mut step = cram.respond(response);
        if let Step::Lookup { scheme, .. } = step {
            step = cram.answer(Answer::Credentials(Some(credentials(password, scheme).expose())));
        }
        assert_eq!(step, expect, "{}", String::from_utf8_lossy(response));
    }

    #[test]
    fn responses() {
        let mismatch = || Step::Fail(Refusal::Mismatch);
        // hmac.new(b"secret", b"<1234567890123456.100@host.example>", "md5").hexdigest()
        let right = "joe smith c1dd7678be8f19d35ea65b1faacd76bd";
        check(right.as_bytes(), "secret", Step::Success(Vec::new()));
        check(right.as_bytes(), "wrong", mismatch());
        check(right.to_ascii_uppercase().as_bytes(), "secret", mismatch());
        check(b"joe ", "secret", mismatch());
        check(b"joe x", "secret", mismatch());
        for (response, text) in [
            (&b""[..], "missing digest"),
            (b"joe", "missing digest"),
            (b" joe", "missing digest"),
            (b"joe\0 x", "NULs in response"),
            (b"\xff\xfe x", "invalid input"),
            (&[b'x'; 9000], "invalid input: too long"),
            (&[[b'x'; 2000].as_slice(), b" x"].concat(), "invalid input: too long"),
        ] {
            let mut cram = begin(&INFO);
            cram.start(None);
            let Step::Fail(refusal) = cram.respond(response) else { panic!("{response:?}") };
            assert_eq!(refusal.to_string(), text);
        }
    }

    #[test]
    fn unusable_credentials() {
        let mut cram = begin(&INFO);
        cram.start(None);
        cram.respond(b"joe x");
        let step = cram.answer(Answer::Credentials(Some(b"short")));
        assert_eq!(step, Step::Fail(Refusal::Credentials("invalid credentials length".into())));
        assert_eq!(cram.respond(b"joe x"), Step::Fail(Refusal::Unexpected));
    }
}
