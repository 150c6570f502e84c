//! Weaknesses that Dovecot has had; `docs/cve.md` names these tests.

use super::bench::{Bench, local, plain};
use crate::client::Kind;

const USERS: &str = "joe:secret:1:1::/j::\nann:secret:1:1::/a::\n";

fn file(more: &str) -> String {
    format!("passdb {{\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n{more}}}\n")
}

/// CVE-2008-1218: a tab in the password became a field of the request.
#[tokio::test(flavor = "current_thread")]
async fn passwords_do_not_become_fields() {
    local(async {
        let bench = Bench::new(&file(""), &[("users", USERS)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        for (id, bad) in (1..).zip(["x\tnopassword=y", "x\nOK", "x\rOK", "\u{1}t", "\u{1}0nopassword"]) {
            let answer = client.ask(&plain(id, "joe", bad, "")).await;
            assert_eq!(answer, format!("FAIL\t{id}\tuser=joe"), "{bad:?}");
        }
        assert_eq!(client.ask(&plain(9, "joe", "secret", "")).await, "OK\t9\tuser=joe");
    })
    .await;
}

/// CVE-2017-2669: variables in a name were expanded once more.
#[tokio::test(flavor = "current_thread")]
async fn names_are_not_expanded() {
    local(async {
        let config = format!("auth_username_chars =\n{}", file(""));
        let users = format!("{USERS}%u:secret:1:1::/x::\n%{{home}}:secret:1:1::/x::\n");
        let bench = Bench::new(&config, &[("users", &users)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        for (id, name) in (1..).zip(["%u", "%{home}"]) {
            let answer = client.ask(&plain(id, name, "secret", "")).await;
            assert_eq!(answer, format!("OK\t{id}\tuser={name}"));
        }
        for (id, name) in (10..).zip(["%%%%", "%{", "%999999999u", "%{passdb:password}", "%Lu", "%-1u"]) {
            let answer = client.ask(&plain(id, name, "secret", "")).await;
            assert!(answer.starts_with(&format!("FAIL\t{id}")), "{name}: {answer}");
        }
    })
    .await;
}

/// CVE-2007-6598, CVE-2025-30189: the cache gave one user what it knew of another with the same password.
#[tokio::test(flavor = "current_thread")]
async fn the_cache_tells_users_apart() {
    local(async {
        let config = "auth_cache_size = 1M\nauth_username_chars =\n\
            passdb {\n driver = lua\n args = file=DIR/script cache_key=%s\n}\n";
        let script = "function auth_passdb_lookup(req)\n  \
            return dovecot.auth.PASSDB_RESULT_OK, \"password={PLAIN}secret who=\" .. req.user\nend\n";
        let bench = Bench::new(config, &[("script", script)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let mut id = 0;
        for _ in 0..2 {
            for user in ["joe", "ann", "joe@example.org", "jo"] {
                id += 2;
                let answer = client.ask(&plain(id, user, "secret", "")).await;
                assert_eq!(answer, format!("OK\t{id}\tuser={user}\twho={user}"));
                let answer = client.ask(&plain(id + 1, user, "wrong", "")).await;
                assert_eq!(answer, format!("FAIL\t{}\tuser={user}", id + 1));
            }
        }
    })
    .await;
}

/// CVE-2026-0394: a domain of two dots led out of the directory of a passwd-file for each domain.
#[tokio::test(flavor = "current_thread")]
async fn domains_are_no_way_to_other_files() {
    local(async {
        let config = "auth_username_chars =\npassdb {\n driver = passwd-file\n \
            args = scheme=PLAIN username_format=%n DIR/auth/%d/passwd\n}\n";
        let bench = Bench::new(config, &[("passwd", "joe:system\n")]);
        std::fs::create_dir_all(bench.path("auth/example.org")).unwrap();
        std::fs::write(bench.path("auth/example.org/passwd"), "joe:secret\n").unwrap();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        assert_eq!(
            client.ask(&plain(1, "joe@example.org", "secret", "")).await,
            "OK\t1\tuser=joe@example.org"
        );
        for (id, domain) in (2..).zip(["..", "../", "../..", ".", "./..", "example.org/../..", "/", ""]) {
            let answer = client.ask(&plain(id, &format!("joe@{domain}"), "system", "")).await;
            assert_eq!(answer, format!("FAIL\t{id}\tuser=joe@{domain}"));
        }
    })
    .await;
}

/// CVE-2016-8652: an exchange that ended before there was a name crashed auth.
#[tokio::test(flavor = "current_thread")]
async fn exchanges_without_a_name_end_well() {
    local(async {
        let mechanisms =
            "auth_mechanisms = plain login cram-md5 digest-md5 scram-sha-1 external oauthbearer\n";
        let bench = Bench::new(&format!("{mechanisms}{}", file("")), &[("users", USERS)]);
        let mut client = bench.client(Kind::Login).await;
        client.greeting().await;
        let all = ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "EXTERNAL", "OAUTHBEARER"];
        for (id, mechanism) in (1..).zip(all) {
            client.say(&format!("AUTH\t{}\t{mechanism}\tservice=imap", 2 * id)).await;
            client.say(&format!("CANCEL\t{}", 2 * id)).await;
            client.say(&format!("AUTH\t{}\t{mechanism}\tservice=imap\tresp=", 2 * id + 1)).await;
        }
        client.say(&plain(999, "joe", "secret", "")).await;
        let mut answer = client.line().await;
        while !answer.starts_with("OK\t") {
            assert!(!answer.is_empty(), "the connection lives");
            answer = client.line().await;
        }
        assert_eq!(answer, "OK\t999\tuser=joe");
    })
    .await;
}

/// CVE-2022-30550: two passdbs with the same driver and arguments shared their settings.
#[tokio::test(flavor = "current_thread")]
async fn passdbs_alike_are_two() {
    local(async {
        let config = format!(
            "auth_mechanisms = plain login\n{}{}",
            file(" username_filter = ann\n"),
            file(" mechanisms = LOGIN\n username_filter = joe\n")
        );
        let bench = Bench::new(&config, &[("users", USERS)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        assert_eq!(client.ask(&plain(1, "ann", "secret", "")).await, "OK\t1\tuser=ann");
        let answer = client.ask(&plain(2, "joe", "secret", "")).await;
        assert!(answer.starts_with("FAIL\t2\tuser=joe"), "PLAIN is not for joe: {answer}");
    })
    .await;
}

/// CVE-2025-59028: base64 that is none failed the requests of others on the same connection.
#[tokio::test(flavor = "current_thread")]
async fn bad_base64_is_one_clients_affair() {
    local(async {
        let bench =
            Bench::new(&format!("auth_mechanisms = plain cram-md5\n{}", file("")), &[("users", USERS)]);
        let mut client = bench.client(Kind::Login).await;
        client.greeting().await;
        assert_eq!(client.ask("AUTH\t1\tPLAIN\tservice=imap").await, "CONT\t1\t");
        let answer = client.ask("AUTH\t2\tPLAIN\tservice=imap\tresp=!!!!").await;
        assert!(answer.starts_with("FAIL\t2\tcode=invalid_base64"), "{answer}");
        assert!(client.ask("AUTH\t3\tCRAM-MD5\tservice=imap").await.starts_with("CONT\t3\t"));
        assert!(client.ask("CONT\t3\t=A=").await.starts_with("FAIL\t3\tcode=invalid_base64"));
        assert_eq!(client.ask("CONT\t1\tAGpvZQBzZWNyZXQ=").await, "OK\t1\tuser=joe");
    })
    .await;
}

/// CVE-2017-15132: exchanges that were given up were never forgotten.
#[tokio::test(flavor = "current_thread")]
async fn cancelled_exchanges_are_forgotten() {
    local(async {
        let bench =
            Bench::new(&format!("auth_mechanisms = plain cram-md5\n{}", file("")), &[("users", USERS)]);
        let mut client = bench.client(Kind::Login).await;
        client.greeting().await;
        for id in 1..2000 {
            let line = format!("AUTH\t{id}\tCRAM-MD5\tservice=imap");
            assert!(client.ask(&line).await.starts_with(&format!("CONT\t{id}\t")));
            client.say(&format!("CANCEL\t{id}")).await;
        }
        assert_eq!(client.ask(&plain(9999, "joe", "secret", "")).await, "OK\t9999\tuser=joe");
        assert_eq!(bench.auth.open_requests(), 1, "the one that a mail process may still ask for");
    })
    .await;
}
