//! A real PostgreSQL behind workers, started by the test.

use harness::Postgres;

use super::bench::{Bench, local, plain};
use super::workers::{QUERIES, SQL, TABLE, check_sql};
use crate::client::Kind;

#[tokio::test(flavor = "current_thread")]
async fn postgresql_behind_workers() {
    local(async {
        // The bench needs the file before the server's port is known.
        let sql = |port: u16| {
            format!(
                "driver = pgsql\nconnect = host=DIR/pg port={port} user=dove password='p w' dbname=postgres\n{QUERIES}"
            )
        };
        let dir = tempfile::tempdir().unwrap();
        let Some(mut server) = Postgres::start(dir.path()) else { return };
        server.run(&format!("{TABLE} CREATE USER dove PASSWORD 'p w'; GRANT ALL ON users TO dove;"));
        let sql = sql(server.port()).replace("DIR", dir.path().to_str().unwrap());
        let users = "passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n";
        let config = format!("auth_username_chars =\n{SQL}{users}");
        let bench = Bench::new(&config, &[("sql", &sql), ("users", "local:pw\n")]);
        check_sql(&bench).await;
        // Without the database nobody is told that his password is wrong, and those whom another
        // passdb knows get in.
        server.kill();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let gone = client.ask(&plain(1, "joe", "secret", "")).await;
        assert_eq!(gone, "FAIL\t1\tuser=joe\tcode=temp_fail");
        assert_eq!(client.ask(&plain(2, "local", "pw", "")).await, "OK\t2\tuser=local");
        server.resume();
        let mut id = 2;
        loop {
            id += 1;
            if client.ask(&plain(id, "joe", "secret", "")).await == format!("OK\t{id}\tuser=joe\t") {
                break;
            }
            assert!(id < 600, "it never comes back");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// The passwords are those for connections with TLS only.
const OVER_TLS: &str = "default_pass_scheme = PLAIN\npassword_query = SELECT password FROM users \
    WHERE name = '%u' AND (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())\n";

#[tokio::test(flavor = "current_thread")]
async fn postgresql_over_tls() {
    local(async {
        let dir = tempfile::tempdir().unwrap();
        let Some(server) = Postgres::start_with_tls(dir.path()) else { return };
        server.run(&format!("{TABLE} CREATE USER dove PASSWORD 'pw'; GRANT ALL ON users TO dove;"));
        harness::cert::write(dir.path(), &["localhost"]).unwrap();
        let (right, other) = (server.certificate(), dir.path().join("cert.pem"));
        let (right, other) = (right.display(), other.display());
        let (ok, unknown, failed) =
            ("OK\t1\tuser=joe", "FAIL\t1\tuser=joe", "FAIL\t1\tuser=joe\tcode=temp_fail");
        for (host, options, expect) in [
            ("127.0.0.1", "sslmode=disable".to_owned(), unknown),
            ("127.0.0.1", "sslmode=prefer".to_owned(), ok),
            ("127.0.0.1", "sslmode=require".to_owned(), ok),
            ("127.0.0.1", format!("sslmode=require sslrootcert={other}"), failed),
            ("127.0.0.1", format!("sslmode=verify-ca sslrootcert={right}"), ok),
            ("127.0.0.1", format!("sslmode=verify-ca sslrootcert={other}"), failed),
            // The certificate is for the name.
            ("127.0.0.1", format!("sslmode=verify-full sslrootcert={right}"), failed),
            ("localhost", format!("sslmode=verify-full sslrootcert={right}"), ok),
            ("localhost", format!("sslmode=verify-full sslrootcert={other}"), failed),
            ("localhost", format!("sslmode=verify-full sslrootcert={other}.none"), failed),
        ] {
            let port = server.port();
            let connect = format!("host={host} port={port} user=dove password=pw dbname=postgres {options}");
            let sql = format!("driver = pgsql\nconnect = {connect}\n{OVER_TLS}");
            let bench = Bench::new("passdb {\n driver = sql\n args = DIR/sql\n}\n", &[("sql", &sql)]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            let answer = client.ask(&plain(1, "joe", "secret", "")).await;
            assert_eq!(answer.split("\toriginal").next(), Some(expect), "{host} {options}");
        }
    })
    .await;
}
