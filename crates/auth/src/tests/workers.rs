//! Databases that block, behind workers: SQLite for real, and sockets that play dead.

use std::os::unix::net::UnixListener;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::bench::{Bench, local, plain};
use crate::client::Kind;
use crate::workers::Timeouts;

pub(super) const SQL: &str =
    "passdb {\n driver = sql\n args = DIR/sql\n}\nuserdb {\n driver = sql\n args = DIR/sql\n}\n";

/// Queries for the table of [`TABLE`].
pub(super) const QUERIES: &str = "default_pass_scheme = PLAIN\n\
    password_query = SELECT name AS user, password, quota AS userdb_quota_rule FROM users WHERE name = '%u'\n\
    user_query = SELECT home, uid, gid FROM users WHERE name = '%u'\n\
    iterate_query = SELECT name AS user FROM users ORDER BY name\n";

pub(super) const TABLE: &str = "CREATE TABLE users (name VARCHAR(64), password VARCHAR(200), quota VARCHAR(40), \
    home VARCHAR(100), uid INT, gid INT);\n\
    INSERT INTO users VALUES ('joe', 'secret', NULL, '/home/joe', 1000, 1000);\n\
    INSERT INTO users VALUES ('o''brien', 'it''s', '*:storage=1G', '/home/ob', 1001, 1001);\n\
    INSERT INTO users VALUES ('dup', 'a', NULL, '/d', 1, 1);\n\
    INSERT INTO users VALUES ('dup', 'b', NULL, '/d', 1, 1);\n";

/// What every SQL database is asked, and answers.
pub(super) async fn check_sql(bench: &Bench) {
    let mut client = bench.client(Kind::Client).await;
    client.greeting().await;
    for (id, (user, password, expect)) in (1..).zip([
        ("joe", "secret", "OK\t1\tuser=joe\t"),
        ("joe", "wrong", "FAIL\t2\tuser=joe"),
        ("o'brien", "it's", "OK\t3\tuser=o'brien\t"),
        ("x' OR 'a'='a", "a", "FAIL\t4\tuser=x' or 'a'='a"),
        ("dup", "a", "FAIL\t5\tuser=dup\tcode=temp_fail"),
    ]) {
        let answer = client.ask(&plain(id, user, password, "")).await;
        let answer = answer.split("\toriginal_user=").next().unwrap();
        assert_eq!(answer, expect, "{user}");
    }
    let mut master = bench.master(None).await;
    for (say, expect) in [
        ("USER\t1\to'brien\tservice=lda", "USER\t1\to'brien\thome=/home/ob\tuid=1001\tgid=1001"),
        ("USER\t2\tnobody\tservice=lda", "NOTFOUND\t2"),
        ("PASS\t3\tjoe\tservice=lda", "PASS\t3\tuser=joe\t"),
    ] {
        assert_eq!(master.ask(say).await, expect, "{say}");
    }
    master.say("LIST\t4\tuser=*").await;
    for name in ["dup", "dup", "joe", "o'brien"] {
        assert_eq!(master.line().await, format!("LIST\t4\t{name}"));
    }
    assert_eq!(master.line().await, "DONE\t4\t");
}

fn sqlite(config: &str) -> Option<Bench> {
    if !harness::needs(&["sqlite3"]) {
        return None;
    }
    let sql = format!("driver = sqlite\nconnect = DIR/db\n{QUERIES}");
    let config = format!("auth_username_chars =\n{SQL}{config}");
    let bench = Bench::new(&config, &[("sql", &sql)]);
    let made = std::process::Command::new("sqlite3").arg(bench.path("db")).arg(TABLE).status();
    assert!(made.unwrap().success());
    Some(bench)
}

#[tokio::test(flavor = "current_thread")]
async fn sqlite_behind_workers() {
    local(async {
        let Some(bench) = sqlite("") else { return };
        check_sql(&bench).await;
        assert_eq!(bench.workers.load(Ordering::SeqCst), 1, "one after the other needs one worker");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_cache_answers_instead() {
    local(async {
        let Some(bench) = sqlite("auth_cache_size = 1M\n") else { return };
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        assert_eq!(client.ask(&plain(1, "joe", "secret", "")).await, "OK\t1\tuser=joe\t");
        assert_eq!(client.ask(&plain(2, "nobody", "x", "")).await, "FAIL\t2\tuser=nobody");
        let change =
            "UPDATE users SET password = 'new'; INSERT INTO users (name, password) VALUES ('nobody', 'x')";
        let changed = std::process::Command::new("sqlite3").arg(bench.path("db")).arg(change).status();
        assert!(changed.unwrap().success());
        assert_eq!(client.ask(&plain(3, "joe", "secret", "")).await, "OK\t3\tuser=joe\t", "remembered");
        assert_eq!(client.ask(&plain(4, "nobody", "x", "")).await, "FAIL\t4\tuser=nobody", "remembered");
        assert_eq!(client.ask(&plain(5, "joe", "new", "")).await, "OK\t5\tuser=joe\t", "looked up again");
        let mut master = bench.master(None).await;
        assert_eq!(master.ask("CACHE-FLUSH\t1\tnobody").await, "OK\t1\t1");
        assert_eq!(client.ask(&plain(6, "nobody", "x", "")).await, "OK\t6\tuser=nobody\t");
        assert_eq!(master.ask("CACHE-FLUSH\t2").await, "OK\t2\t2");
    })
    .await;
}

/// A database that accepts and says nothing occupies its workers, and nobody else waits for it.
#[tokio::test(flavor = "current_thread")]
async fn a_dead_database_holds_up_nobody_else() {
    local(async {
        let config = "auth_worker_max_count = 4\n\
             passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n\
             passdb {\n driver = sql\n args = DIR/sql\n}\n\
             userdb {\n driver = passwd\n}\n";
        let sql = format!("driver = mysql\nconnect = host=DIR/mysql user=u password=p dbname=d\n{QUERIES}");
        let timeouts = Timeouts { request: Duration::from_secs(2), queue: Duration::from_secs(20) };
        let files = [("users", "joe:secret\n"), ("sql", sql.as_str())];
        let bench = Bench::with_timeouts(config, &files, timeouts);
        let silent = UnixListener::bind(bench.path("mysql")).unwrap();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let began = Instant::now();
        for id in 1..=10 {
            client.say(&plain(id, "stuck", "x", "")).await;
        }
        assert_eq!(client.ask(&plain(11, "joe", "secret", "")).await, "OK\t11\tuser=joe");
        let mut master = bench.master(None).await;
        let answer = master.ask("USER\t1\troot\tservice=lda").await;
        assert!(answer.starts_with("USER\t1\troot"), "{answer}");
        assert!(began.elapsed() < timeouts.request, "neither waited");
        for _ in 1..=10 {
            let answer = client.line().await;
            assert!(answer.ends_with("\tuser=stuck\tcode=temp_fail"), "{answer}");
        }
        drop(silent);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn without_workers_a_lookup_fails_for_now() {
    local(async {
        let sql = format!("driver = sqlite\nconnect = DIR/db\n{QUERIES}");
        let bench = Bench::new(SQL, &[("sql", &sql)]);
        std::fs::remove_file(bench.path("auth-worker")).unwrap();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        assert_eq!(client.ask(&plain(1, "joe", "x", "")).await, "FAIL\t1\tuser=joe\tcode=temp_fail");
        let mut master = bench.master(None).await;
        assert_eq!(master.ask("USER\t1\tjoe\tservice=lda").await, "FAIL\t1");
    })
    .await;
}
