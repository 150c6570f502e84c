//! Programs that speak checkpassword's protocol, and some that do not.

use std::os::unix::fs::PermissionsExt;

use super::bench::{Bench, local, plain};
use crate::client::Kind;

/// Knows `joe` and his password, tells what it was given, and answers lookups.
const GOOD: &str = "#!/bin/sh\nIFS= read -r given <<X\n$(tr '\\000' '|' <&3)\nX\n\
    who=${given%%|*}\nif [ \"$AUTHORIZED\" = 1 ]; then\n\
    [ \"$who\" = joe ] || exit 3\nprintf 'user=joe\\tuserdb_home=/h/%s\\tuserdb_uid=5\\tuserdb_gid=6\\t' \"$SERVICE\" >&4\nexit 2\nfi\n\
    [ \"$given\" = 'joe|s e\\c|' ] || [ \"$given\" = 'joe|s e\\c||' ] || exit 1\n\
    printf 'user=joe\\tnote=%s-%s-%s\\t' \"$TCPREMOTEIP\" \"$SERVICE\" \"$AUTH_USER\" >&4\nexit 0\n";

fn bench(program: &str) -> Bench {
    let config = "auth_username_chars =\npassdb {\n driver = checkpassword\n args = DIR/program\n}\n\
        userdb {\n driver = checkpassword\n args = DIR/program\n}\n";
    let bench = Bench::new(config, &[("program", program)]);
    std::fs::set_permissions(bench.path("program"), PermissionsExt::from_mode(0o755)).unwrap();
    bench
}

#[tokio::test(flavor = "current_thread")]
async fn a_program_that_knows_one_user() {
    local(async {
        let bench = bench(GOOD);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let long = "x".repeat(600);
        for (id, (user, password, expect)) in (1..).zip([
            ("joe", "s e\\c", "OK\t1\tuser=joe\tnote=10.0.0.1-imap-joe"),
            ("joe", "wrong", "FAIL\t2\tuser=joe"),
            ("joe", "", "FAIL\t3\tuser=joe"),
            ("j'oe; true", "x", "FAIL\t4\tuser=j'oe; true"),
            ("joe", &long, "FAIL\t5\tuser=joe"),
        ]) {
            assert_eq!(client.ask(&plain(id, user, password, "\trip=10.0.0.1")).await, expect);
        }
        let mut master = bench.master(None).await;
        assert_eq!(master.ask("USER\t1\tjoe\tservice=lda").await, "USER\t1\tjoe\thome=/h/lda\tuid=5\tgid=6");
        assert_eq!(master.ask("USER\t2\tann\tservice=lda").await, "NOTFOUND\t2");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn programs_that_fail() {
    local(async {
        for program in [
            "#!/bin/sh\nexit 0\n",
            "#!/bin/sh\nexit 111\n",
            "#!/bin/sh\nexit 2\n",
            "#!/bin/sh\nkill -9 $$\n",
            "#!/bin/sh\nprintf 'user=joe\\n' >&4\nexit 0\n",
            "#!/bin/sh\nprintf 'user=joe\\0' >&4\nexit 0\n",
            "#!/no/such/interpreter\n",
            "#!/bin/sh\nhead -c 100000 /dev/zero | tr '\\000' x >&4\nexit 0\n",
        ] {
            let bench = bench(program);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            let answer = client.ask(&plain(1, "joe", "x", "")).await;
            assert_eq!(answer, "FAIL\t1\tuser=joe\tcode=temp_fail", "{program}");
        }
    })
    .await;
}
