//! `auth_rehash_scheme`: new hashes for old ones, in a file and in a database.

use std::process::Command;
use std::time::{Duration, Instant};

use super::bench::{Bench, local, plain};
use crate::client::Kind;

/// The hash of `secret`.
const SHA256: &str = "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=";

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "hung: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn hashes_in_a_passwd_file() {
    local(async {
        let users = format!("# mine\njoe:{SHA256}:1:2::/j::k=v\nann:{SHA256}\nplain:secret\n");
        let config = "auth_rehash_scheme = sha512-crypt\nauth_rehash_rounds = 1000\n\
                      auth_cache_size = 1M\n\
                      passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n";
        let bench = Bench::new(config, &[("users", &users)]);
        let text = || std::fs::read_to_string(bench.path("users")).unwrap();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        assert_eq!(client.ask(&plain(1, "joe", "wrong", "")).await, "FAIL\t1\tuser=joe");
        assert_eq!(client.ask(&plain(2, "joe", "secret", "")).await, "OK\t2\tuser=joe\tk=v");
        until("joe's new hash", || text().contains("joe:{SHA512-CRYPT}$6$rounds=1000$")).await;
        assert_eq!(client.ask(&plain(3, "plain", "secret", "")).await, "OK\t3\tuser=plain");
        until("a hash for plain", || text().contains("plain:{SHA512-CRYPT}$6$")).await;
        let now = text();
        assert!(
            now.starts_with("# mine\njoe:") && now.contains(&format!(":1:2::/j::k=v\nann:{SHA256}\n")),
            "{now}"
        );
        // It is good for the same password, and stays.
        tokio::time::sleep(crate::limits::PASSWD_FILE_CHECK).await;
        for (id, password, expect) in
            [(4, "secret", "OK\t4\tuser=joe\tk=v"), (5, "wrong", "FAIL\t5\tuser=joe")]
        {
            assert_eq!(client.ask(&plain(id, "joe", password, "")).await, expect);
        }
        assert_eq!(text(), now);
    })
    .await;
}

/// What cannot be written to must not be lost, and the login is as good as ever.
#[tokio::test(flavor = "current_thread")]
async fn an_old_hash_that_cannot_be_replaced_stays() {
    local(async {
        let users = format!("joe:{SHA256}\n");
        let config = "auth_rehash_scheme = SHA512-CRYPT\n\
                      passdb {\n driver = passwd-file\n args = DIR/users\n}\n";
        let bench = Bench::new(config, &[("users", &users)]);
        // Where the new file would be made there is a directory.
        std::fs::create_dir(bench.path("users.lock")).unwrap();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        for id in 1..=2 {
            assert_eq!(client.ask(&plain(id, "joe", "secret", "")).await, format!("OK\t{id}\tuser=joe"));
        }
        assert_eq!(std::fs::read_to_string(bench.path("users")).unwrap(), users);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn hashes_in_a_database() {
    if !harness::needs(&["sqlite3"]) {
        return;
    }
    local(async {
        let sql = "driver = sqlite\nconnect = DIR/db\n\
                   password_query = SELECT name AS user, password FROM users WHERE name = '%u'\n\
                   update_query = UPDATE users SET password = '%w' WHERE name = '%u' AND \
                   password = '%{old_password}'\n";
        let config = "auth_username_chars =\nauth_rehash_scheme = SHA512-CRYPT\nauth_rehash_rounds = 1000\n\
                      passdb {\n driver = sql\n args = DIR/sql\n}\n";
        let bench = Bench::new(config, &[("sql", sql)]);
        let sqlite = |text: &str| {
            let output = Command::new("sqlite3").args(["-cmd", ".timeout 10000"]).arg(bench.path("db")).arg(text).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        sqlite(&format!(
            "CREATE TABLE users (name TEXT, password TEXT); INSERT INTO users VALUES ('o''brien', '{SHA256}'); \
             INSERT INTO users VALUES ('ann', '{SHA256}');"
        ));
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        assert_eq!(client.ask(&plain(1, "o'brien", "secret", "")).await, "OK\t1\tuser=o'brien\t");
        let stored = || sqlite("SELECT password FROM users WHERE name = 'o''brien'");
        until("the new hash", || stored().starts_with("{SHA512-CRYPT}$6$rounds=1000$")).await;
        assert_eq!(sqlite("SELECT password FROM users WHERE name = 'ann'").trim(), SHA256);
        assert_eq!(client.ask(&plain(2, "o'brien", "secret", "")).await, "OK\t2\tuser=o'brien\t");
        assert_eq!(client.ask(&plain(3, "o'brien", "wrong", "")).await, "FAIL\t3\tuser=o'brien");
    })
    .await;
}

#[test]
fn a_scheme_that_does_not_exist_is_refused() {
    let config = "auth_rehash_scheme = ROT13\npassdb {\n driver = static\n}\n";
    let snapshot = settings::Snapshot::from_text(config).unwrap();
    let parts = crate::life::Parts::read(&snapshot, base::Logger::new("test: "));
    let parts = parts.map_err(|error| error.to_string()).unwrap();
    assert_eq!(parts.services(false).err().as_deref(), Some("auth_rehash_scheme: Unknown scheme ROT13"));
}
