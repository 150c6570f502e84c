//! What the mechanisms' tests share, and what holds for all mechanisms.

use super::*;
use crate::scheme::{self, Params};

fn count(bytes: &mut [u8]) {
    bytes.iter_mut().zip(1..).for_each(|(byte, at)| *byte = at);
}

/// Everything fixed: the auth process 16, the connection 32, started at 48, now 100.
pub(super) fn context<'a>() -> Context<'a> {
    Context {
        // A function without a state takes no memory to leak.
        random: Box::leak(Box::new(count)),
        host: "host.example",
        now_s: 100,
        realms: &[],
        issuer: Issuer { pid: 16, connection_id: 32, started_s: 48 },
        bindings: Bindings::default(),
        user_is_known: true,
        acceptor: None,
    }
}

pub(super) fn begin(info: &MechanismInfo) -> Box<dyn Mechanism> {
    begin_in(info, &mut context())
}

pub(super) fn begin_in(info: &MechanismInfo, context: &mut Context<'_>) -> Box<dyn Mechanism> {
    (info.begin)(context)
}

/// What a passdb with `password` gives for `scheme`.
pub(super) fn credentials(password: &str, scheme: &str) -> Secret {
    let params = Params { user: "joe@realm", rounds: 0 };
    let stored = scheme::generate(password.as_bytes(), &params, scheme, &mut count).unwrap();
    scheme::decode(&stored, scheme).unwrap()
}

#[test]
fn names() {
    assert_eq!(find("scram-sha-256-plus").map(|info| info.name), Some("SCRAM-SHA-256-PLUS"));
    assert!(find("NTLM").is_none());
    for info in MECHANISMS {
        assert_eq!(info.is_bound(), info.name.ends_with("-PLUS"), "{info:?}");
        assert_eq!(MECHANISMS.iter().filter(|other| other.name == info.name).count(), 1);
    }
}

/// Xorshift, so that a failure can be seen again.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below).unwrap()).unwrap()
    }
}

/// Messages that are right, to be made wrong.
const SEEDS: &[&[u8]] = &[
    b"\0joe\0secret",
    b"joe c1dd7678be8f19d35ea65b1faacd76bd",
    b"n,,n=joe,r=fyko+d2lbbFgONRv9qkxdawL",
    b"p=tls-exporter,a=jane,n=joe=2C,r=fyko",
    b"c=biws,r=fyko,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"username=\"joe\",realm=\"realm\",nonce=\"AQIDBAUGBwgJCgsMDQ4PEA==\",cnonce=\"x\",nc=00000001,qop=auth,\
      digest-uri=\"imap/host\",response=d388dad90d4bbd760a152321f2143af7,charset=utf-8,maxbuf=1,authzid=\"a\"",
    b"<10.20.30.abc@host>\0joe\x000123456789abcdef",
    b"n,a=joe@example.com,\x01host=h\x01port=143\x01auth=Bearer abc.def==\x01\x01",
    b"user=joe\x01auth=Bearer abc\x01\x01",
    b"trace@example.com",
];

fn mutated(dice: &mut Dice) -> Vec<u8> {
    let mut message = SEEDS[dice.next(SEEDS.len())].to_vec();
    for _ in 0..dice.next(6) {
        let at = dice.next(message.len() + 1);
        match dice.next(5) {
            0 => message.truncate(at),
            1 => message.insert(at, b"\0,=\"\\\x01 \xff\n"[dice.next(9)]),
            2 if at < message.len() => message[at] = u8::try_from(dice.next(256)).unwrap(),
            3 => message.extend_from_slice(SEEDS[dice.next(SEEDS.len())]),
            _ if at < message.len() => drop(message.remove(at)),
            _ => {}
        }
    }
    message
}

/// Whatever is sent and answered, in whatever order, a mechanism neither panics nor lets anybody in
/// whom nobody has vouched for.
#[test]
fn garbage() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..4000 {
        for info in MECHANISMS {
            let mut context = Context {
                bindings: Bindings { exporter: Some(vec![1; 32]), end_point: None },
                user_is_known: round % 2 == 0,
                ..context()
            };
            let mut mechanism = (info.begin)(&mut context);
            let message = mutated(&mut dice);
            let mut step = mechanism.start(Some(&message).filter(|_| dice.next(3) > 0).map(Vec::as_slice));
            for _ in 0..5 {
                step = match step {
                    Step::Success(_) => panic!("{info:?} let {message:?} in"),
                    Step::Fail(_) | Step::Challenge(_) if dice.next(8) == 0 => {
                        // No passdb was asked, so that no answer can be meant for it.
                        match mechanism.answer(Answer::Verified(true)) {
                            Step::Fail(_) => Step::Fail(Refusal::Unexpected),
                            step => panic!("{info:?}: {step:?}"),
                        }
                    }
                    Step::Fail(_) | Step::Challenge(_) => mechanism.respond(&mutated(&mut dice)),
                    Step::Verify { .. }
                    | Step::Anonymous { .. }
                    | Step::Store { .. }
                    | Step::Token { .. } => mechanism.answer(Answer::Verified(false)),
                    Step::Name { .. } | Step::Authorize { .. } => mechanism.answer(Answer::Verified(false)),
                    Step::Lookup { .. } => match dice.next(3) {
                        0 => mechanism.answer(Answer::Credentials(None)),
                        1 => mechanism.answer(Answer::Unavailable),
                        _ => mechanism.answer(Answer::Credentials(Some(&mutated(&mut dice)))),
                    },
                };
            }
        }
    }
}
