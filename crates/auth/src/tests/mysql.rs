//! A real MariaDB behind workers, started by the test.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::bench::{Bench, local, plain};
use super::workers::{QUERIES, SQL, TABLE, check_sql};
use crate::client::Kind;

struct Server {
    child: Child,
}

impl Server {
    fn start(dir: &Path) -> Self {
        let own = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
        let dir_text = dir.to_str().unwrap();
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={dir_text}/data"))
            .arg(format!("--user={own}"))
            .stdout(Stdio::null())
            .status();
        assert!(installed.unwrap().success());
        Self { child: Self::spawn(dir, &own) }
    }

    fn spawn(dir: &Path, user: &str) -> Child {
        let dir_text = dir.to_str().unwrap();
        let child = Command::new(harness::needs::find("mariadbd").unwrap())
            .args(["--no-defaults", "--skip-networking", "--skip-log-bin"])
            .arg(format!("--user={user}"))
            .arg(format!("--datadir={dir_text}/data"))
            .arg(format!("--socket={dir_text}/mysql"))
            .arg(format!("--pid-file={dir_text}/pid"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = || {
            let ping = Command::new("mariadb-admin")
                .args(["--no-defaults", "-uroot", "ping"])
                .arg(format!("--socket={dir_text}/mysql"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            ping.unwrap().success().then_some(())
        };
        harness::wait_for("MariaDB to start", answers);
        child
    }

    fn run(dir: &Path, statements: &str) {
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "-uroot"])
            .arg(format!("--socket={}/mysql", dir.to_str().unwrap()))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        client.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
        assert!(client.wait().unwrap().success());
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn mariadb_behind_workers() {
    if !harness::needs(&["mariadbd", "mariadb-install-db", "mariadb", "mariadb-admin"]) {
        return;
    }
    local(async {
        let sql =
            format!("driver = mysql\nconnect = host=DIR/mysql user=dove password=pw dbname=mail\n{QUERIES}");
        let users = "passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n";
        let config = format!("auth_username_chars =\n{SQL}{users}");
        let bench = Bench::new(&config, &[("sql", &sql), ("users", "local:pw\n")]);
        let dir = bench.path("");
        let mut server = Server::start(&dir);
        let grant = "CREATE USER dove@localhost IDENTIFIED BY 'pw'; GRANT ALL ON mail.* TO dove@localhost;";
        Server::run(&dir, &format!("CREATE DATABASE mail; USE mail; {TABLE} {grant}"));
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
