//! APOP (RFC 1939 §7) as the POP3 login process hands it on: `challenge NUL user NUL digest`, the
//! digest being `MD5(challenge password)`. The challenge was the login process's greeting, so it must
//! prove that it is fresh and ours.

use md5::{Digest, Md5};

use super::{Answer, Context, Identity, Issuer, Mechanism, MechanismInfo, Need, Property, Refusal, Step};
use crate::limits;
use crate::secret::constant_time_eq;

pub(super) const INFO: MechanismInfo = MechanismInfo {
    name: "APOP",
    properties: &[Property::Private, Property::Dictionary, Property::Active],
    need: Need::Lookup,
    begin,
};

const DIGEST_LEN: usize = 16;

fn begin(context: &mut Context<'_>) -> Box<dyn Mechanism> {
    Box::new(Apop::AwaitMessage(context.issuer))
}

enum Apop {
    AwaitMessage(Issuer),
    AwaitPassword { challenge: Vec<u8>, digest: Vec<u8> },
    Done,
}

impl Mechanism for Apop {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        let state = std::mem::replace(self, Self::Done);
        let data = match (initial, state) {
            (None | Some(b""), _) => return Step::Fail(Refusal::of("no initial response")),
            (Some(data), Self::AwaitMessage(issuer)) => parse(data, issuer),
            _ => return Step::Fail(Refusal::Unexpected),
        };
        match data {
            Ok((challenge, user, digest)) => {
                *self = Self::AwaitPassword { challenge, digest };
                Step::Lookup { identity: Identity { user, ..Identity::default() }, scheme: "PLAIN" }
            }
            Err(refusal) => Step::Fail(refusal),
        }
    }

    fn respond(&mut self, _data: &[u8]) -> Step {
        *self = Self::Done;
        Step::Fail(Refusal::Unexpected)
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        match (std::mem::replace(self, Self::Done), answer) {
            (Self::AwaitPassword { challenge, digest }, Answer::Credentials(Some(password))) => {
                let expected = Md5::new().chain_update(challenge).chain_update(password).finalize();
                match constant_time_eq(&expected, &digest) {
                    true => Step::Success(Vec::new()),
                    // 2.3 has no line for it.
                    false => Step::Fail(Refusal::NotVerified),
                }
            }
            (Self::AwaitPassword { .. }, _) => Step::Fail(Refusal::NotVerified),
            _ => Step::Fail(Refusal::Unexpected),
        }
    }
}

type Parts = (Vec<u8>, String, Vec<u8>);

fn parse(data: &[u8], issuer: Issuer) -> Result<Parts, Refusal> {
    if data.len() > limits::SASL_MESSAGE_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let malformed = || Refusal::of("malformed data");
    let mut parts = data.splitn(3, |&byte| byte == 0);
    let (Some(challenge), Some(user), Some(digest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(malformed());
    };
    if digest.len() != DIGEST_LEN {
        return Err(malformed());
    }
    if !is_issued(challenge, issuer) {
        return Err(Refusal::of("invalid challenge"));
    }
    Ok((challenge.to_vec(), super::name(user)?, digest.to_vec()))
}

/// `<pid.connection.time.…>`, in hexadecimal digits.
fn is_issued(challenge: &[u8], issuer: Issuer) -> bool {
    let numbers = || {
        let mut words = std::str::from_utf8(challenge).ok()?.strip_prefix('<')?.split('.');
        let mut number = || u64::from_str_radix(words.next()?, 16).ok();
        Some([number()?, number()?, number()?])
    };
    numbers().is_some_and(|[pid, connection, time]| {
        pid == u64::from(issuer.pid)
            && connection == u64::from(issuer.connection_id)
            && time >= issuer.started_s
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::from_hex;
    use crate::mech::tests::begin;

    /// The tests' auth process has pid 0x10, connection 0x20 and was started at 0x30.
    const CHALLENGE: &str = "<10.20.30.abc@host.example>";

    fn message(challenge: &str, user: &str) -> Vec<u8> {
        let digest = Md5::digest(format!("{challenge}tanstaaf"));
        [challenge.as_bytes(), b"\0", user.as_bytes(), b"\0", &digest].concat()
    }

    #[test]
    fn only_fresh_challenges_of_ours_count() {
        let invalid = Step::Fail(Refusal::of("invalid challenge"));
        for challenge in [
            "<11.20.30.abc@host>",
            "<10.21.30.abc@host>",
            "<10.20.2f.abc@host>",
            "<10.20.30",
            "10.20.30.a",
            "<10.20>",
            "",
            "<1896.697170952@dbc.mtview.ca.us>",
        ] {
            let step = begin(&INFO).start(Some(&message(challenge, "joe")));
            match challenge {
                "<10.20.30" => assert!(matches!(step, Step::Lookup { .. }), "{challenge}"),
                _ => assert_eq!(step, invalid, "{challenge}"),
            }
        }
    }

    #[test]
    fn digests() {
        for (password, expect) in [
            (Some(&b"tanstaaf"[..]), Step::Success(Vec::new())),
            (Some(b"wrong"), Step::Fail(Refusal::NotVerified)),
            (None, Step::Fail(Refusal::NotVerified)),
        ] {
            let mut apop = begin(&INFO);
            let identity = Identity { user: "joe".into(), ..Identity::default() };
            let step = apop.start(Some(&message(CHALLENGE, "joe")));
            assert_eq!(step, Step::Lookup { identity, scheme: "PLAIN" });
            assert_eq!(apop.answer(Answer::Credentials(password)), expect);
            assert_eq!(apop.answer(Answer::Credentials(password)), Step::Fail(Refusal::Unexpected));
        }
        // RFC 1939's example.
        let digest = Md5::digest("<1896.697170952@dbc.mtview.ca.us>tanstaaf");
        assert_eq!(Some(digest.to_vec()), from_hex(b"c4c9334bac560ecc979e58001b3e22fb"));
    }

    #[test]
    fn malformed() {
        let long = [CHALLENGE.as_bytes(), &[b'x'; 9000]].concat();
        for (message, text) in [
            (&b""[..], "no initial response"),
            (b"x", "malformed data"),
            (b"x\0y", "malformed data"),
            (b"x\0y\0z", "malformed data"),
            (&[b"x\0y\0".as_slice(), &[0; 17]].concat(), "malformed data"),
            (&long, "invalid input: too long"),
        ] {
            let Step::Fail(refusal) = begin(&INFO).start(Some(message)) else { panic!("{message:?}") };
            assert_eq!(refusal.to_string(), text);
        }
    }
}
