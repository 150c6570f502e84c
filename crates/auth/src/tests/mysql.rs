//! A real MariaDB behind workers, started by the test.

use harness::MariaDb;

use super::bench::{Bench, local, plain};
use super::workers::{QUERIES, SQL, TABLE, check_sql};
use crate::client::Kind;

#[tokio::test(flavor = "current_thread")]
async fn mariadb_behind_workers() {
    local(async {
        let sql =
            format!("driver = mysql\nconnect = host=DIR/mysql user=dove password=pw dbname=mail\n{QUERIES}");
        let users = "passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n";
        let config = format!("auth_username_chars =\n{SQL}{users}");
        let bench = Bench::new(&config, &[("sql", &sql), ("users", "local:pw\n")]);
        let dir = bench.path("");
        let Some(mut server) = MariaDb::start(&dir) else { return };
        let grant = "CREATE USER dove@localhost IDENTIFIED BY 'pw'; GRANT ALL ON mail.* TO dove@localhost;";
        server.run(&format!("CREATE DATABASE mail; USE mail; {TABLE} {grant}"));
        check_sql(&bench).await;
        // Without the database nobody is told that his password is wrong, and those whom another
        // passdb knows get in.
        server.kill();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let gone = client.ask(&plain(1, "joe", "secret", "")).await;
        assert_eq!(gone, "FAIL\t1\tuser=joe\tcode=temp_fail");
        assert_eq!(client.ask(&plain(2, "local", "pw", "")).await, "OK\t2\tuser=local");
    })
    .await;
}

/// A database user that has to show a certificate, and one that has none to show.
#[tokio::test(flavor = "current_thread")]
async fn mariadb_asks_for_our_certificate() {
    local(async {
        let dir = tempfile::tempdir().unwrap();
        let Some(server) = MariaDb::start_with_tls(dir.path()) else { return };
        server.run(&format!(
            "CREATE DATABASE mail; USE mail; {TABLE} \
             CREATE USER dove@'%' REQUIRE SUBJECT '/CN=dove'; GRANT ALL ON mail.* TO dove@'%';"
        ));
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        let (_, issued) = harness::cert::authority(&["dove"]);
        let (certificate, key) = issued.first().unwrap();
        std::fs::write(other.join("cert.pem"), certificate).unwrap();
        std::fs::write(other.join("key.pem"), key).unwrap();
        let shown =
            |dir: &std::path::Path| format!("ssl_cert={0}/cert.pem ssl_key={0}/key.pem", dir.display());
        let (ok, failed) = ("OK\t1\tuser=joe\t", "FAIL\t1\tuser=joe\tcode=temp_fail");
        for (options, expect) in [
            (shown(&server.client_files()), ok),
            (String::new(), failed),
            // Of the same name, from an authority that the server does not know.
            (shown(&other), failed),
        ] {
            let connect = format!(
                "host=localhost port={} user=dove dbname=mail ssl_ca={} {options}",
                server.port(),
                server.certificate().display()
            );
            let sql = format!("driver = mysql\nconnect = {connect}\n{QUERIES}");
            let bench = Bench::new(&format!("auth_username_chars =\n{SQL}"), &[("sql", &sql)]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            assert_eq!(client.ask(&plain(1, "joe", "secret", "")).await, expect, "{options}");
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn mariadb_over_tls() {
    local(async {
        let dir = tempfile::tempdir().unwrap();
        let Some(mut server) = MariaDb::start_with_tls(dir.path()) else { return };
        server.run(&format!(
            "CREATE DATABASE mail; USE mail; {TABLE} \
             CREATE USER dove@'%' IDENTIFIED BY 'pw' REQUIRE SSL; GRANT ALL ON mail.* TO dove@'%';"
        ));
        harness::cert::write(dir.path(), &["localhost"]).unwrap();
        let (right, other) = (server.certificate(), dir.path().join("cert.pem"));
        let (right, other) = (right.display().to_string(), other.display().to_string());
        let (ok, failed) = ("OK\t1\tuser=joe\t", "FAIL\t1\tuser=joe\tcode=temp_fail");
        let connect = |host: &str, options: &str| {
            let port = server.port();
            let connect = format!("host={host} port={port} user=dove password=pw dbname=mail {options}");
            format!("driver = mysql\nconnect = {connect}\n{QUERIES}")
        };
        for (host, options, expect) in [
            ("localhost", String::new(), failed),
            ("localhost", format!("ssl_ca={right}"), ok),
            ("localhost", format!("ssl_ca={other}"), failed),
            ("localhost", format!("ssl_ca={other}.none"), failed),
            ("localhost", format!("ssl_ca_path={}/server", dir.path().display()), ok),
            // The certificate is for the name.
            ("127.0.0.1", format!("ssl_ca={right}"), failed),
            ("127.0.0.1", format!("ssl_ca={right} ssl_verify_server_cert=no"), ok),
            ("127.0.0.1", format!("ssl_ca={other} ssl_verify_server_cert=no"), failed),
            ("localhost", format!("ssl_ca={right} password=wrong"), failed),
        ] {
            let bench =
                Bench::new(&format!("auth_username_chars =\n{SQL}"), &[("sql", &connect(host, &options))]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            assert_eq!(client.ask(&plain(1, "joe", "secret", "")).await, expect, "{host} {options}");
        }
        let sql = connect("localhost", &format!("ssl_ca={right}"));
        let bench = Bench::new(&format!("auth_username_chars =\n{SQL}"), &[("sql", &sql)]);
        check_sql(&bench).await;
        // Values longer than a record of TLS.
        let long = "x".repeat(40_000);
        server
            .run(&format!("USE mail; ALTER TABLE users MODIFY home TEXT; UPDATE users SET home = '{long}';"));
        let mut master = bench.master(None).await;
        let answer = master.ask("USER\t1\tjoe\tservice=lda").await;
        assert_eq!(answer, format!("USER\t1\tjoe\thome={long}\tuid=1000\tgid=1000"));
        server.kill();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        assert_eq!(client.ask(&plain(1, "joe", "secret", "")).await, failed);
        server.resume();
        let mut id = 2;
        while client.ask(&plain(id, "joe", "secret", "")).await != format!("OK\t{id}\tuser=joe\t") {
            id += 1;
            assert!(id < 600, "it never comes back");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}
