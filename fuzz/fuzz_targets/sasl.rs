//! SASL exchanges of every mechanism: messages of the client, one a line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sasl::mech::{Answer, MECHANISMS, Step};

fuzz_target!(|data: &[u8]| {
    for info in MECHANISMS {
        let mut mechanism = (info.begin)();
        let mut messages = data.split(|&byte| byte == b'\n');
        let mut step = mechanism.start(messages.next());
        for _ in 0..20 {
            step = match step {
                Step::Challenge(_) => match messages.next() {
                    Some(message) => mechanism.respond(message),
                    None => break,
                },
                Step::Verify { .. } => mechanism.answer(Answer::Verified(data.len() % 2 == 0)),
                Step::Lookup { .. } => mechanism.answer(Answer::Credentials(Some(b"secret"))),
                Step::Success(_) | Step::Fail(_) => break,
            };
        }
    }
});
