//! Whatever a client sends, in whatever pieces: the session answers or ends, and never panics.

mod support;

use proptest::prelude::*;
use support::{Client, Home};

fn line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("SELECT INBOX"),
        Just("EXAMINE INBOX"),
        Just("FETCH"),
        Just("UID FETCH"),
        Just("STORE"),
        Just("SEARCH"),
        Just("COPY"),
        Just("UID MOVE"),
        Just("EXPUNGE"),
        Just("APPEND INBOX"),
        Just("LIST \"\""),
        Just("STATUS"),
        Just("CREATE"),
        Just("DELETE"),
        Just("RENAME"),
        Just("IDLE\r\nDONE"),
        Just("CLOSE"),
        Just("1:*"),
        Just("2,5:3,*"),
        Just("INBOX"),
        Just("x"),
        Just("FLAGS"),
        Just("+FLAGS.SILENT (\\Seen kw)"),
        Just("(UID BODY[1.MIME]<1.2> ENVELOPE)"),
        Just("BODY[]"),
        Just("(MESSAGES SIZE)"),
        Just("*"),
        Just("NOT"),
        Just("OR"),
        Just("\"te xt\""),
        Just("{3+}\r\nabc"),
        Just("{3}\r\nabc"),
        Just("("),
        Just(")"),
    ];
    (proptest::collection::vec(word, 0..6), proptest::collection::vec(any::<u8>(), 0..4), 0..8u8).prop_map(
        |(words, junk, luck)| {
            let mut line = format!("a {}", words.join(" ")).into_bytes();
            if luck == 0 {
                line.extend(junk);
            }
            line.extend(b"\r\n");
            line
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn sessions_survive(lines in proptest::collection::vec(line(), 1..20), piece in 1usize..40) {
        let home = Home::new();
        let mut client = Client::new(&home);
        for bytes in lines.concat().chunks(piece) {
            if client.is_closed() {
                break;
            }
            client.send(bytes);
        }
    }
}
