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
