//! One-time codes behind the passwords of master users.

use sasl::totp::{STEP_S, Totp};

use super::bench::{Bench, Dialogue, local, plain};
use crate::client::Kind;
use crate::request::fields::now_s;

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

const CONFIG: &str = "auth_mechanisms = plain cram-md5\nauth_master_user_separator = *\nauth_cache_size = 1M\n\
    passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/masters\n master = yes\n}\n\
    passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n\
    userdb {\n driver = static\n args = uid=1 gid=1 home=/h\n}\n";

/// A code; `steps` after the present one.
fn code(steps: i64) -> String {
    let now = (now_s() / STEP_S).checked_add_signed(steps).unwrap();
    Totp::parse(SECRET).unwrap().code(now)
}

async fn start(masters: &str) -> (Bench, Dialogue) {
    let bench = Bench::new(CONFIG, &[("masters", masters), ("users", "joe:own\n")]);
    let mut client = bench.client(Kind::Client).await;
    client.greeting().await;
    (bench, client)
}

async fn is_in(client: &mut Dialogue, id: u32, user: &str, password: &str) -> bool {
    let answer = client.ask(&plain(id, user, password, "")).await;
    assert!(!answer.contains("totp") && !answer.contains(SECRET), "{answer}");
    answer.starts_with("OK")
}

#[tokio::test(flavor = "current_thread")]
async fn a_code_is_good_once() {
    local(async {
        let masters = format!("boss:big::::::totp_secret={SECRET}\nold:big\n");
        let (_bench, mut client) = start(&masters).await;
        // A step may end meanwhile: the codes are far enough from the edge of what is good.
        let (old, now) = (code(-5), code(0));
        for (id, (user, password, good)) in (1..).zip([
            ("joe*boss", "big".to_owned(), false),
            ("joe*boss", format!("big{old}"), false),
            ("joe*boss", format!("bad{now}"), false),
            ("joe*boss", now.clone(), false),
            ("joe*boss", format!("big{now}"), true),
            ("joe*boss", format!("big{now}"), false),
            ("joe*old", "big".to_owned(), true),
            ("joe*old", format!("big{now}"), false),
            ("joe", "own".to_owned(), true),
        ]) {
            assert_eq!(is_in(&mut client, id, user, &password).await, good, "{id}: {user} {password}");
        }
        // The next one is good, what came before it is void.
        assert!(is_in(&mut client, 20, "joe*boss", &format!("big{}", code(1))).await);
        assert!(!is_in(&mut client, 21, "joe*boss", &format!("big{}", code(0))).await);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_has_a_secret_must_give_a_code() {
    local(async {
        let masters = format!("boss:big::::::totp_secret={SECRET}\nodd:big::::::totp_secret=short\n");
        let (_bench, mut client) = start(&masters).await;
        assert!(!is_in(&mut client, 1, "joe*odd", "big123456").await, "a secret that is none");
        // CRAM-MD5 has no place for a code.
        let answer = client.ask("AUTH\t2\tCRAM-MD5\tservice=imap").await;
        let challenge = answer.split('\t').nth(2).unwrap();
        let challenge = sasl::encoding::from_base64(challenge.as_bytes()).unwrap();
        let response = harness::sasl_client::cram_md5(&challenge, "joe*boss", "big");
        let answer = client.ask(&format!("CONT\t2\t{}", sasl::encoding::base64(&response))).await;
        assert!(answer.starts_with("FAIL\t2"), "{answer}");
    })
    .await;
}
