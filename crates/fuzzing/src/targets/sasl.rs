//! SASL exchanges of every mechanism: messages of the client, one a line.

use sasl::mech::gssapi::Acceptor;
use sasl::mech::{Answer, Bindings, Context, Issuer, MECHANISMS, Refusal, Step};

/// Takes everything for a ticket.
struct Toy;

impl Acceptor for Toy {
    fn open(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    fn accept(&mut self, token: &[u8]) -> Result<(Vec<u8>, Option<String>), Refusal> {
        Ok((
            token.to_vec(),
            token.len().is_multiple_of(2).then(|| String::from_utf8_lossy(token).into_owned()),
        ))
    }

    fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        Ok(message.to_vec())
    }

    fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        Ok(message.to_vec())
    }

    fn authorize(&mut self, _: Option<&str>, name: &str, _: Option<&str>) -> Result<(), Refusal> {
        if name.len().is_multiple_of(2) { Ok(()) } else { Err(Refusal::NotVerified) }
    }
}

pub(crate) fn run(data: &[u8]) {
    for info in MECHANISMS {
        let mut zeros = |bytes: &mut [u8]| bytes.fill(0);
        let mut context = Context {
            random: &mut zeros,
            host: "host.example",
            now_s: 1_000_000_000,
            realms: &[],
            issuer: Issuer { pid: 1, connection_id: 2, started_s: 3 },
            bindings: Bindings::default(),
            user_is_known: data.len().is_multiple_of(3),
            acceptor: Some(Box::new(Toy)),
        };
        let mut mechanism = (info.begin)(&mut context);
        let mut messages = data.split(|&byte| byte == b'\n');
        let mut step = mechanism.start(messages.next());
        for _ in 0..20 {
            step = match step {
                Step::Challenge(_) => match messages.next() {
                    Some(message) => mechanism.respond(message),
                    None => break,
                },
                Step::Verify { .. } | Step::Anonymous { .. } | Step::Store { .. } | Step::Token { .. } => {
                    mechanism.answer(Answer::Verified(data.len().is_multiple_of(2)))
                }
                Step::Lookup { .. } => mechanism.answer(Answer::Credentials(Some(b"secret"))),
                Step::Name { .. } => mechanism.answer(Answer::Named),
                Step::Authorize { user } => mechanism.answer(Answer::User { name: &user, principals: None }),
                Step::Success(_) | Step::Fail(_) => break,
            };
        }
    }
}
