//! SQLite always, and a MariaDB and a PostgreSQL of the test's own where they are installed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use base::Logger;
use db::sql::{Database, Rows, SqlConfig, Statement};
use settings::StdFiles;

const TABLE: &str = "CREATE TABLE users (username varchar(64), domain varchar(64), password varchar(255), \
                     uid int, score double precision, born date, note varchar(20))";
const ROW: &str = "INSERT INTO users VALUES ('tim', 'x.org', '{PLAIN}s', 2000, 1.5, '2001-02-03', NULL)";
const QUERY: &str = "SELECT username, domain, password, uid, score, born, note FROM users \
                     WHERE username = '%n' AND domain = '%d'";

fn config(dir: &Path, driver: &str, connect: &str) -> SqlConfig {
    let path = dir.join("sql.conf.ext");
    std::fs::write(&path, format!("driver = {driver}\nconnect = {connect}\npassword_query = {QUERY}\n"))
        .unwrap();
    SqlConfig::read(&StdFiles, path.to_str().unwrap()).unwrap()
}

fn lookup(database: &mut Database, config: &SqlConfig, name: &str) -> Rows {
    let expand = |template: &str| Ok(template.replace("%n", name).replace("%d", "x.org"));
    let statement = config.password_query.template.bind(expand).unwrap();
    database.query(&statement, 2).unwrap()
}

/// The same answers whatever the database.
fn check(database: &mut Database, config: &SqlConfig) {
    for statement in [TABLE, ROW] {
        database.query(&Statement::plain(statement), 1).unwrap();
    }
    let found = lookup(database, config, "tim");
    let values: Vec<_> = found.fields(0).collect();
    assert_eq!(
        values,
        [
            ("username", Some("tim")),
            ("domain", Some("x.org")),
            ("password", Some("{PLAIN}s")),
            ("uid", Some("2000")),
            ("score", Some("1.5")),
            ("born", Some("2001-02-03")),
            ("note", None),
        ]
    );
    for hostile in ["' OR '1'='1", "\\' OR 1=1 -- ", "tim\0", "%", "ü"] {
        assert!(lookup(database, config, hostile).rows.is_empty(), "{hostile:?}");
    }
    let error = database.query(&Statement::plain("SELECT * FROM nothing"), 1).unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
    // The connection survives a bad query.
    assert_eq!(lookup(database, config, "tim").rows.len(), 1);
}

#[test]
fn sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let config = config(dir.path(), "sqlite", path.to_str().unwrap());
    let mut database = Database::new(&config, Logger::new("test: "));
    assert!(database.query(&Statement::plain("SELECT 1"), 1).is_err(), "the file must exist");
    std::fs::write(&path, "").unwrap();
    check(&mut Database::new(&config, Logger::new("test: ")), &config);
}

/// A server on a unix socket in `dir`, killed when dropped.
struct MariaDb(Child);

impl MariaDb {
    fn start(dir: &Path) -> Self {
        let data = dir.join("data");
        let quiet = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        };
        if !data.exists() {
            let mut install = Command::new("mariadb-install-db");
            install.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
            install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--user=root"]);
            quiet(&mut install);
            assert!(install.status().unwrap().success(), "mariadb-install-db");
        }
        let mut server = Command::new(harness::needs::find("mariadbd").unwrap());
        server.arg("--no-defaults").arg(format!("--datadir={}", data.display())).args([
            "--skip-networking",
            "--user=root",
            "--innodb-buffer-pool-size=8M",
            &format!("--socket={}", dir.join("sock").display()),
            &format!("--pid-file={}", dir.join("pid").display()),
        ]);
        quiet(&mut server);
        let server = Self(server.spawn().unwrap());
        harness::needs::wait_for("mariadbd", || {
            std::os::unix::net::UnixStream::connect(dir.join("sock")).ok()
        });
        server
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mariadb() {
    if !harness::needs::needs(&["mariadbd", "mariadb-install-db"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = MariaDb::start(dir.path());
    let socket = dir.path().join("sock");
    // The first host does not exist: the second is used.
    let connect = format!("host=/nonexistent/sock host={} user=root connect_timeout=2", socket.display());
    let setup = config(dir.path(), "mysql", &connect);
    Database::new(&setup, Logger::new("test: "))
        .query(&Statement::plain("CREATE DATABASE mails"), 1)
        .unwrap();
    let config = self::config(dir.path(), "mysql", &format!("{connect} dbname=mails"));
    let mut database = Database::new(&config, Logger::new("test: "));
    check(&mut database, &config);
    // Whoever the system says it is needs no password.
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    for via in ["unix_socket", "mysql_native_password USING 'invalid' OR unix_socket"] {
        let alter = format!("CREATE OR REPLACE USER {user}@localhost IDENTIFIED VIA {via}");
        database.query(&Statement::plain(alter), 1).unwrap();
        let grant = format!("GRANT ALL ON *.* TO {user}@localhost WITH GRANT OPTION");
        database.query(&Statement::plain(grant), 1).unwrap();
        let connect = format!("host={} user={user} dbname=mails", socket.display());
        let by_system = self::config(dir.path(), "mysql", &connect);
        let mut by_system_database = Database::new(&by_system, Logger::new("test: "));
        assert_eq!(lookup(&mut by_system_database, &by_system, "tim").rows.len(), 1, "{via}");
    }
    // The server goes away and comes back: the next query finds out and connects again.
    drop(server);
    assert!(database.query(&Statement::plain("SELECT 1"), 1).is_err());
    let _server = MariaDb::start(dir.path());
    harness::needs::wait_for("reconnect", || database.query(&Statement::plain("SELECT 1"), 1).ok());
    assert_eq!(lookup(&mut database, &config, "tim").rows.len(), 1);
}

#[test]
fn postgresql() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut server) = harness::Postgres::start(dir.path()) else { return };
    server.run("CREATE USER dove PASSWORD 'it''s \\ a'; GRANT ALL ON SCHEMA public TO dove;");
    // The first host does not exist: the second is used.
    let connect = format!(
        "host=/nonexistent host=127.0.0.1 port={} user=dove password='it\\'s \\\\ a' dbname=postgres",
        server.port()
    );
    let setup = config(dir.path(), "pgsql", &connect);
    let mut database = Database::new(&setup, Logger::new("test: "));
    check(&mut database, &setup);
    // Types and places that a literal may have.
    for (query, expect) in [
        ("SELECT '%n' AS a, true AS b, NULL AS c, 1.50::numeric AS d", ["tim", "t", "", "1.50"]),
        (
            "SELECT concat('%n', '@', '%d') AS a, lower('%n') AS b, '' AS c, E'a\\'%n' AS d",
            ["tim@x.org", "tim", "", "a'tim"],
        ),
        (
            "SELECT \"uid\", '%n' || '-x', upper('%n'), 7 FROM \"users\" WHERE uid = 2000",
            ["2000", "tim-x", "TIM", "7"],
        ),
    ] {
        let template = db::sql::QueryTemplate::parse(query, db::sql::Driver::Pgsql).unwrap();
        let expand = |text: &str| Ok(text.replace("%n", "tim").replace("%d", "x.org"));
        let rows = database.query(&template.bind(expand).unwrap(), 2).unwrap();
        let values: Vec<_> = rows.fields(0).map(|(_, value)| value.unwrap_or_default()).collect();
        assert_eq!(values, expect, "{query}");
    }
    // The server goes away and comes back: the next query finds out and connects again.
    server.kill();
    assert!(database.query(&Statement::plain("SELECT 1"), 1).is_err());
    server.resume();
    harness::needs::wait_for("reconnect", || database.query(&Statement::plain("SELECT 1"), 1).ok());
    assert_eq!(lookup(&mut database, &setup, "tim").rows.len(), 1);
}

/// Servers that answer something else are an error in time, and no panic.
#[test]
fn garbage_from_the_server() {
    use std::io::{Read, Write};
    for garbage in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"R\x7f\xff\xff\xff",
        b"R\0\0\0\x04",
        b"N",
        b"NR\0\0\0\x08\0\0\0\x63",
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                // Whoever has heard enough has gone.
                let _ = stream.read(&mut [0; 100]).and_then(|_| stream.write_all(garbage));
            }
        });
        let dir = tempfile::tempdir().unwrap();
        for driver in ["pgsql", "mysql"] {
            let config = config(
                dir.path(),
                driver,
                &format!("host=127.0.0.1 port={port} user=x read_timeout=2")
                    .replace(if driver == "pgsql" { " read_timeout=2" } else { "\n" }, ""),
            );
            let mut database = Database::new(&config, Logger::new("test: "));
            assert!(database.query(&Statement::plain("SELECT 1"), 1).is_err(), "{garbage:?}");
        }
    }
}

/// A server on a unix socket in `dir` that does the same to everybody.
fn serve(
    dir: &Path,
    act: impl Fn(&mut std::os::unix::net::UnixStream) -> std::io::Result<()> + Send + 'static,
) {
    let listener = std::os::unix::net::UnixListener::bind(dir.join("sock")).unwrap();
    std::thread::spawn(move || {
        // Whoever has heard enough goes.
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = act(&mut stream);
        }
    });
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..3], &[number], payload].concat()
}

/// Lets a client in as MariaDB does, and hears its first query.
fn let_in(stream: &mut std::os::unix::net::UnixStream) -> std::io::Result<()> {
    use std::io::{Read, Write};
    let mut greeting = b"\x0a10.11.14-MariaDB\0\x01\0\0\x0012345678\0\xfe\xf7\x2d\x02\0\xff\x81\x15".to_vec();
    greeting.extend(b"\0\0\0\0\0\0\x1d\0\0\0901234567890\0mysql_native_password\0");
    stream.write_all(&packet(0, &greeting))?;
    let _ = stream.read(&mut [0; 1000])?;
    stream.write_all(&packet(2, b"\0\0\0\x02\0\0\0"))?;
    stream.read(&mut [0; 1000]).map(drop)
}

const COLUMN: &[u8] = b"\x03def\0\0\0\x04name\0\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0";
const END: &[u8] = b"\xfe\0\0\x02\0";

/// What servers answer that have lost their mind. Nothing of it takes memory, or time, or the process.
#[test]
fn mysql_that_does_not_behave() {
    use std::io::Write;
    let row = packet(0, b"\x05value");
    for (answer, expect) in [
        (packet(1, b""), "The server sent something that is no MySQL"),
        (b"\xff\xff\xff\x01abc".to_vec(), "The server sent a packet that is too long"),
        (packet(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"), "The server sent something that is no MySQL"),
        (packet(1, b"\xfd\xff\xff\xff"), "The server sent something that is no MySQL"),
        (packet(1, b"\xfb/etc/passwd"), "The server asks for a file"),
        (packet(1, b"\xff\x48\x04#HY000gone mad"), "gone mad"),
        (
            [packet(1, b"\x01"), packet(2, COLUMN), row.clone()].concat(),
            "The server sent something that is no MySQL",
        ),
        ([packet(1, b"\x01"), packet(2, COLUMN)].concat(), "The server closed the connection"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let shown = answer.escape_ascii().to_string();
        serve(dir.path(), move |stream| {
            let_in(stream)?;
            stream.write_all(&answer)
        });
        let config = config(dir.path(), "mysql", &format!("host={}/sock", dir.path().display()));
        let mut database = Database::new(&config, Logger::new("test: "));
        let error = database.query(&Statement::plain("SELECT 1"), 2).unwrap_err();
        assert_eq!(error.to_string(), expect, "{shown}");
    }
}

/// More rows than one asked for: those that were asked for are the answer, and the next query has a new
/// connection.
#[test]
fn mysql_that_never_comes_to_an_end() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path(), |stream| {
        let_in(stream)?;
        stream.write_all(&[packet(1, b"\x01"), packet(2, COLUMN), packet(3, END)].concat())?;
        let mut number = 4u8;
        loop {
            stream.write_all(&packet(number, b"\x05value"))?;
            number = number.wrapping_add(1);
        }
    });
    let config = config(dir.path(), "mysql", &format!("host={}/sock", dir.path().display()));
    let mut database = Database::new(&config, Logger::new("test: "));
    for _ in 0..3 {
        let rows = database.query(&Statement::plain("SELECT 1"), 2).unwrap();
        assert_eq!(rows.columns, ["name"]);
        assert_eq!(rows.rows, [[Some("value".to_owned())], [Some("value".to_owned())]]);
    }
}

/// A byte now and then does not hold anybody up for longer than `read_timeout`.
#[test]
fn mysql_that_dawdles() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path(), |stream| {
        let_in(stream)?;
        stream.write_all(b"\xff\0\0\x01")?;
        loop {
            stream.write_all(b"x")?;
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    });
    let connect = format!("host={}/sock read_timeout=1", dir.path().display());
    let config = config(dir.path(), "mysql", &connect);
    let mut database = Database::new(&config, Logger::new("test: "));
    let began = std::time::Instant::now();
    let error = database.query(&Statement::plain("SELECT 1"), 2).unwrap_err();
    assert_eq!(error.to_string(), "Timed out");
    // Twice, as the query is tried once more. Byte by byte it would have taken longer than a minute.
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

#[test]
fn postgresql_that_never_comes_to_an_end() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream
                .write_all(b"T\0\0\0\x1d\0\x01name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
            while stream.write_all(b"D\0\0\0\x0b\0\x01\0\0\0\x01x").is_ok() {}
        }
    });
    let config = config(dir.path(), "pgsql", &format!("host={}", dir.path().display()));
    let mut database = Database::new(&config, Logger::new("test: "));
    for _ in 0..3 {
        let rows = database.query(&Statement::plain("SELECT 1"), 2).unwrap();
        assert_eq!((rows.columns, rows.rows.len()), (vec!["name".to_owned()], 2));
    }
}
