//! Every database that looks users up, asked the same: who is right, wrong, unknown, locked, empty, too
//! long and hostile; and what becomes of logins while its server is stopped, garbles or says nothing.

use std::any::Any;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::{MariaDb, Memcached, Postgres, Redis, Slapd, needs};

use super::bench::{Bench, Dialogue, local, plain};
use crate::client::Kind;
use crate::workers::Timeouts;

/// Names and passwords that are hard on quoting, escaping and patterns.
pub(super) const ACCOUNTS: [(&str, &str); 9] = [
    ("joe", "secret"),
    ("o'brien", "it's"),
    ("j\u{fc}rgen", "p\u{e4}ss"),
    ("per%cent%u", "a%b%w"),
    ("back\\slash", "x\\y\\"),
    ("quote\"d", "q\"q"),
    ("star*(x)&", "p*)(&|"),
    ("x@example.org", "two words"),
    // Nobody has this password.
    ("locked", LOCKED),
];

pub(super) const LOCKED: &str = "{CRYPT}!";

/// Whoever says these is nobody.
pub(super) const HOSTILE: [&str; 17] = [
    "' OR '1'='1",
    "'; DROP TABLE users; -- ",
    "joe' -- ",
    "joe'#",
    "\\' OR 1=1 #",
    "joe\\",
    "*",
    "jo*",
    "joe)(uid=*",
    "joe))(|(uid=*",
    "%",
    "%u",
    "%{user}",
    "../joe",
    "joe/../joe",
    "joe\u{1f4a9}",
    "_oe",
];

/// A database with all accounts.
pub(super) struct Database {
    /// Sections of the configuration.
    config: String,
    /// A file beside it.
    file: (&'static str, String),
    /// Whether all accounts are users as well.
    has_users: bool,
    /// Runs while this lives.
    server: Box<dyn Any>,
}

impl Database {
    pub(super) fn new(driver: &str, args: &str, file: (&'static str, String), server: impl Any) -> Self {
        let config = format!("passdb {{\n driver = {driver}\n args = {args}\n}}\n");
        Self { config, file, has_users: false, server: Box::new(server) }
    }

    /// The same is the userdb.
    pub(super) fn with_users(mut self) -> Self {
        let userdb = self.config.replacen("passdb", "userdb", 1);
        self.config.push_str(&userdb);
        self.has_users = true;
        self
    }
}

pub(super) const REST: &str = "auth_username_chars =\nauth_username_format =\n";

async fn client(bench: &Bench) -> Dialogue {
    let mut client = bench.client(Kind::Client).await;
    client.greeting().await;
    client
}

pub(super) fn check(database: Option<Database>) -> impl Future<Output = ()> {
    local(async {
        let Some(database) = database else { return };
        let (name, text) = &database.file;
        let bench = Bench::new(&format!("{REST}{}", database.config), &[(*name, text)]);
        let mut client = client(&bench).await;
        let long = "x".repeat(1000);
        for (user, password) in ACCOUNTS {
            assert_eq!(client.login(user, password).await, password != LOCKED, "{user}");
            for wrong in ["", "wrong", "%w", "!", "*", &format!("{password}x"), &long] {
                assert!(!client.login(user, wrong).await, "{user} with {wrong}");
            }
        }
        check_strangers(&mut client, &["", "secret", "' OR '1'='1"]).await;
        // None of that has done any harm.
        assert!(client.login("joe", "secret").await);
        if database.has_users {
            check_users(&bench).await;
        }
        drop(database.server);
    })
}

impl Dialogue {
    /// Whether these are good. Whoever is refused is refused for good, not for now.
    pub(super) async fn login(&mut self, user: &str, password: &str) -> bool {
        let answer = self.ask(&plain(1, user, password, "")).await;
        assert!(!answer.contains("temp_fail"), "{user}: {answer}");
        match answer.starts_with("OK\t1\t") {
            true => true,
            false if answer.starts_with("FAIL\t1") => false,
            false => panic!("{user}: {answer}"),
        }
    }
}

/// Each account is a user, and nobody else is.
async fn check_users(bench: &Bench) {
    let mut master = bench.master(None).await;
    let mut ask = async |user: &str| {
        let answer = master.ask(&format!("USER\t1\t{}\tservice=lda", base::tab::escape(user))).await;
        answer.split('\t').next().unwrap_or_default().to_owned()
    };
    for (user, _) in ACCOUNTS {
        assert_eq!(ask(user).await, "USER", "{user}");
    }
    for user in HOSTILE.into_iter().chain(["nobody", "nobody@example.org", &"y".repeat(3000)]) {
        assert_eq!(ask(user).await, "NOTFOUND", "{user}");
    }
    assert_eq!(ask("joe").await, "USER");
}

/// Nobody of these names gets in with one of these passwords, nor by NULs in a message.
pub(super) async fn check_strangers(client: &mut Dialogue, passwords: &[&str]) {
    for user in HOSTILE {
        for password in passwords {
            assert!(!client.login(user, password).await, "{user}");
        }
    }
    for user in ["", "nobody", "nobody@example.org", &"x".repeat(1000), &"y".repeat(3000)] {
        assert!(!client.login(user, "secret").await, "{user}");
    }
    for message in ["\0joe\0secret\0", "\0joe\0\0secret", "\0\0joe\0secret", "\0jo\0e\0secret", "joe\0secret"]
    {
        let resp = sasl::encoding::base64(message.as_bytes());
        let answer = client.ask(&format!("AUTH\t1\tPLAIN\tservice=imap\tresp={resp}")).await;
        assert!(answer.starts_with("FAIL\t1"), "{message:?}: {answer}");
    }
}

/// A fresh directory, as long as the test runs.
fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

const QUERY: &str = "default_pass_scheme = PLAIN\npassword_query = SELECT password FROM users WHERE name = '%u'\n\
     user_query = SELECT '/h' AS home, 1 AS uid, 1 AS gid FROM users WHERE name = '%u'\n";

/// The accounts as statements; `escape` is for what stands in quotes.
fn rows(escape: impl Fn(&str) -> String) -> String {
    let row = |(name, password)| {
        format!("INSERT INTO users VALUES ('{}', '{}');\n", escape(name), escape(password))
    };
    let rows: String = ACCOUNTS.into_iter().map(row).collect();
    format!("CREATE TABLE users (name VARCHAR(300), password VARCHAR(200));\n{rows}")
}

fn doubled(text: &str) -> String {
    text.replace('\'', "''")
}

#[tokio::test(flavor = "current_thread")]
async fn sqlite() {
    let dir = dir();
    if !needs(&["sqlite3"]) {
        return;
    }
    let path = dir.path().join("db");
    assert!(Command::new("sqlite3").arg(&path).arg(rows(doubled)).status().unwrap().success());
    let text = format!("driver = sqlite\nconnect = {}\n{QUERY}", path.display());
    check(Some(Database::new("sql", "DIR/sql", ("sql", text), dir).with_users())).await;
}

fn mariadb_file(dir: &Path) -> (&'static str, String) {
    let connect = format!("host={}/mysql user=dove password=pw dbname=mail", dir.display());
    ("sql", format!("driver = mysql\nconnect = {connect}\n{QUERY}"))
}

fn mariadb(dir: &Path) -> Option<MariaDb> {
    let server = MariaDb::start(dir)?;
    let rows = rows(|text| doubled(&text.replace('\\', "\\\\")));
    server.run(&format!(
        "CREATE DATABASE mail CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; USE mail; SET NAMES utf8mb4; {rows} \
         CREATE USER dove@localhost IDENTIFIED BY 'pw'; GRANT ALL ON mail.* TO dove@localhost;"
    ));
    Some(server)
}

#[tokio::test(flavor = "current_thread")]
async fn mysql() {
    let dir = dir();
    let server = mariadb(dir.path());
    check(
        server.map(|server| Database::new("sql", "DIR/sql", mariadb_file(dir.path()), server).with_users()),
    )
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn postgresql() {
    let dir = dir();
    let database = Postgres::start(dir.path()).map(|server| {
        server.run(&format!("{} CREATE USER dove PASSWORD 'pw'; GRANT ALL ON users TO dove;", rows(doubled)));
        let connect = format!("host=127.0.0.1 port={} user=dove password=pw dbname=postgres", server.port());
        let text = format!("driver = pgsql\nconnect = {connect}\n{QUERY}");
        Database::new("sql", "DIR/sql", ("sql", text), server).with_users()
    });
    check(database).await;
}

fn directory(dir: &Path) -> Option<Slapd> {
    let mut ldif =
        "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: x\n\n".to_owned();
    for (at, (name, password)) in ACCOUNTS.iter().enumerate() {
        let base64 = |text: &str| sasl::encoding::base64(text.as_bytes());
        ldif.push_str(&format!(
            "dn: cn=user{at},dc=example,dc=org\nobjectClass: inetOrgPerson\ncn: user{at}\nsn: x\n\
             uid:: {}\nuserPassword:: {}\n\n",
            base64(name),
            base64(password)
        ));
    }
    Slapd::start(dir, None, &ldif)
}

fn ldap_file(server: &Slapd, more: &str) -> (&'static str, String) {
    let text = format!(
        "uris = ldap://127.0.0.1:{}\nbase = dc=example,dc=org\ndn = cn=admin,dc=example,dc=org\n\
         dnpass = adminpw\ndefault_pass_scheme = PLAIN\npass_filter = (uid=%u)\n\
         user_filter = (uid=%u)\nuser_attrs = =home=/h,=uid=1,=gid=1\n{more}",
        server.port()
    );
    ("ldap", text)
}

#[tokio::test(flavor = "current_thread")]
async fn ldap() {
    let dir = dir();
    let database = directory(dir.path()).map(|server| {
        Database::new("ldap", "DIR/ldap", ldap_file(&server, "pass_attrs = userPassword=password\n"), server)
            .with_users()
    });
    check(database).await;
}

#[tokio::test(flavor = "current_thread")]
async fn ldap_that_verifies() {
    let dir = dir();
    let database = directory(dir.path()).map(|server| {
        let file = ldap_file(&server, "auth_bind = yes\npass_attrs = mail=mail\n");
        Database::new("ldap", "DIR/ldap", file, server).with_users()
    });
    check(database).await;
}

#[tokio::test(flavor = "current_thread")]
async fn passwd_file() {
    // `username_format` puts backslashes before quotes, as 2.3's does.
    let line = |(name, password): (&str, &str)| {
        let scheme = if password == LOCKED { "" } else { "{PLAIN}" };
        format!("{}:{scheme}{password}:1:1::/h::\n", crate::vars::quoted(name))
    };
    let text = ACCOUNTS.map(line).concat();
    let args = "username_format=%u DIR/users";
    check(Some(Database::new("passwd-file", args, ("users", text), ()).with_users())).await;
}

#[tokio::test(flavor = "current_thread")]
async fn lua() {
    let accounts = ACCOUNTS.map(|(name, password)| format!("[{name:?}] = {password:?},\n")).concat();
    let text = format!(
        "local users = {{\n{accounts}}}\nfunction auth_passdb_lookup(request)\n local password = users[request.user]\n \
         if password == nil then return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, 'no such user' end\n \
         if string.sub(password, 1, 1) ~= '{{' then password = '{{PLAIN}}' .. password end\n \
         return dovecot.auth.PASSDB_RESULT_OK, {{ password = password }}\nend\n\
         function auth_userdb_lookup(request)\n if users[request.user] == nil then\n \
         return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, 'no such user' end\n \
         return dovecot.auth.USERDB_RESULT_OK, {{ home = '/h', uid = 1, gid = 1 }}\nend\n"
    );
    check(Some(Database::new("lua", "file=DIR/script", ("script", text), ()).with_users())).await;
}

/// `uri` and one object for each user.
pub(super) fn dict_file(uri: &str) -> (&'static str, String) {
    let text = format!(
        "uri = {uri}\ndefault_pass_scheme = PLAIN\niterate_prefix = userdb/\n\
         key passdb {{\n key = passdb/%u\n format = json\n}}\npassdb_objects = passdb\n\
         key userdb {{\n key = userdb/%u\n format = json\n}}\nuserdb_objects = userdb\n\
         key quota {{\n key = userdb/%u/quota\n default_value = 100M\n}}\n\
         userdb_fields {{\n quota_rule = *:storage=%{{dict:quota}}\n mail = maildir:%{{dict:userdb.home}}/Maildir\n}}\n"
    );
    ("dict", text)
}

/// What `dict_file` wants to know of a user.
pub(super) const USER: &str = "{\"home\": \"/h\", \"uid\": 1, \"gid\": 1}";

pub(super) fn object(password: &str) -> String {
    format!("{{\"password\": {password:?}, \"note\": null}}")
}

#[tokio::test(flavor = "current_thread")]
async fn dict_in_a_file() {
    let dir = dir();
    let path = dir.path().join("values");
    let pair = |(name, password)| {
        format!("shared/passdb/{name}\n{}\nshared/userdb/{name}\n{USER}\n", object(password))
    };
    std::fs::write(&path, ACCOUNTS.map(pair).concat()).unwrap();
    let file = dict_file(&format!("file:{}", path.display()));
    check(Some(Database::new("dict", "DIR/dict", file, dir).with_users())).await;
}

#[tokio::test(flavor = "current_thread")]
async fn dict_in_redis() {
    let dir = dir();
    for password in ["", "hard word"] {
        let database = Redis::start(dir.path(), password).map(|server| {
            for (name, word) in ACCOUNTS {
                server.set(3, &format!("mail/passdb/{name}"), &object(word));
                server.set(3, &format!("mail/userdb/{name}"), USER);
            }
            let place = match password {
                "" => format!("path={}", server.socket().display()),
                _ => format!("port={}:password={password}", server.port()),
            };
            let file = dict_file(&format!("redis:{place}:db=3:prefix=mail/"));
            Database::new("dict", "DIR/dict", file, server).with_users()
        });
        check(database).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn dict_in_memcached() {
    for protocol in ["memcached", "memcached_ascii"] {
        let database = Memcached::start().map(|server| {
            for (name, word) in ACCOUNTS {
                server.set(&format!("passdb/{name}"), &object(word));
                server.set(&format!("userdb/{name}"), USER);
            }
            let file = dict_file(&format!("{protocol}:port={}", server.port()));
            Database::new("dict", "DIR/dict", file, server).with_users()
        });
        check(database).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn users_of_a_dict() {
    let dir = dir();
    let values = "shared/userdb/joe\n{\"home\": \"/home/joe\", \"uid\": 1000, \"gid\": \"1000\"}\n\
                  shared/userdb/joe/quota\n5G\n\
                  shared/userdb/jane\n{\"home\": \"/home/jane\", \"uid\": 1001, \"gid\": 1001}\n\
                  shared/userdb/mad\n{\"home\": {}}\n\
                  shared/userdb/text\nhello\n";
    std::fs::write(dir.path().join("values"), values).unwrap();
    local(async {
        let (name, text) = dict_file(&format!("file:{}", dir.path().join("values").display()));
        let (passdb, userdb) = ("passdb {\n driver = dict", "userdb {\n driver = dict");
        let config = format!("{passdb}\n args = DIR/dict\n}}\n{userdb}\n args = DIR/dict\n}}\n");
        let bench = Bench::new(&config, &[(name, &text)]);
        let mut master = bench.master(None).await;
        for (say, expect) in [
            (
                "USER\t1\tjoe\tservice=lda",
                "USER\t1\tjoe\tquota_rule=*:storage=5G\tmail=maildir:/home/joe/Maildir\thome=/home/joe\tuid=1000\tgid=1000",
            ),
            (
                "USER\t2\tjane\tservice=lda",
                "USER\t2\tjane\tquota_rule=*:storage=100M\tmail=maildir:/home/jane/Maildir\thome=/home/jane\tuid=1001\tgid=1001",
            ),
            ("USER\t3\tnobody\tservice=lda", "NOTFOUND\t3"),
            ("USER\t4\tmad\tservice=lda", "FAIL\t4"),
            ("USER\t5\ttext\tservice=lda", "FAIL\t5"),
        ] {
            assert_eq!(master.ask(say).await, expect, "{say}");
        }
        master.say("LIST\t6\tuser=*").await;
        for name in ["jane", "joe", "mad", "text"] {
            assert_eq!(master.line().await, format!("LIST\t6\t{name}"));
        }
        assert_eq!(master.line().await, "DONE\t6\t");
    })
    .await;
}

/// What a server does that does not do what it should.
const TROUBLES: [(&str, Option<&[u8]>); 4] = [
    ("closes", None),
    ("garbles", Some(b"\x16\x03\x01\x00\xff garbage \r\n$9999999999999\r\n-ERR\r\n\0\0\0")),
    ("shouts", Some(&[b'A'; 100_000])),
    ("is silent", Some(b"")),
];

/// A server of trouble, until the test ends.
pub(super) fn trouble<S: Read + Write + Send + 'static>(
    said: Option<&'static [u8]>,
    mut accept: impl FnMut() -> std::io::Result<S> + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok(mut stream) = accept() {
            let Some(said) = said else { continue };
            // The other side may leave whenever it wants.
            let _ = stream.write_all(said);
            if !said.is_empty() {
                let _ = stream.read(&mut [0; 1000]);
            }
            kept.push(stream);
        }
    });
}

/// The same on a port of loopback.
pub(super) fn trouble_on_port(said: Option<&'static [u8]>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    trouble(said, move || listener.accept().map(|(stream, _)| stream));
    port
}

/// Logins while the server is in trouble fail for now, and those of another database go through.
pub(super) async fn check_trouble(name: &str, database: impl Fn(Option<&'static [u8]>) -> Database) {
    let limit = Timeouts { request: Duration::from_secs(3), queue: Duration::from_secs(20) };
    for (what, said) in TROUBLES {
        let Database { config, file: (file, text), server, .. } = database(said);
        let config =
            format!("{REST}passdb {{\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}}\n{config}");
        let bench = Bench::with_timeouts(&config, &[("users", "local:pw\n"), (file, &text)], limit);
        let mut client = client(&bench).await;
        let answer = client.ask(&plain(1, "joe", "secret", "")).await;
        assert_eq!(answer, "FAIL\t1\tuser=joe\tcode=temp_fail", "{name} that {what}");
        assert_eq!(client.ask(&plain(2, "local", "pw", "")).await, "OK\t2\tuser=local");
        assert_eq!(
            client.ask(&plain(3, "local", "x", "")).await,
            answer.replace("\t1\tuser=joe", "\t3\tuser=local")
        );
        drop(server);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn servers_in_trouble() {
    local(async {
        for driver in ["mysql", "pgsql"] {
            check_trouble(driver, |said| {
                let port = trouble_on_port(said);
                let more = if driver == "mysql" { "read_timeout=2" } else { "sslmode=disable" };
                let text = format!(
                    "driver = {driver}\nconnect = host=127.0.0.1 port={port} user=u password=p dbname=d \
                     connect_timeout=2 {more}\n{QUERY}"
                );
                Database::new("sql", "DIR/sql", ("sql", text), ())
            })
            .await;
        }
        check_trouble("ldap", |said| {
            let port = trouble_on_port(said);
            let text =
                format!("uris = ldap://127.0.0.1:{port}\nbase = dc=x\npass_attrs = userPassword=password\n");
            Database::new("ldap", "DIR/ldap", ("ldap", text), ())
        })
        .await;
        for dictionary in ["redis", "memcached", "memcached_ascii"] {
            check_trouble(dictionary, |said| {
                let port = trouble_on_port(said);
                let file = dict_file(&format!("{dictionary}:port={port}:timeout_msecs=2000"));
                Database::new("dict", "DIR/dict", file, ())
            })
            .await;
        }
    })
    .await;
}

/// A login while the server is gone, and when it is back.
async fn check_restart(
    driver: &str,
    file: (&'static str, String),
    kill: impl FnOnce(),
    resume: impl FnOnce(),
) {
    let config = format!("{REST}passdb {{\n driver = {driver}\n args = DIR/{}\n}}\n", file.0);
    let bench = Bench::new(&config, &[(file.0, &file.1)]);
    let mut client = client(&bench).await;
    let answer = client.ask(&plain(1, "joe", "secret", "")).await;
    assert!(answer.starts_with("OK\t1\t"), "{answer}");
    kill();
    for id in 2..5 {
        let gone = client.ask(&plain(id, "joe", "secret", "")).await;
        assert_eq!(gone, format!("FAIL\t{id}\tuser=joe\tcode=temp_fail"), "{driver}");
    }
    resume();
    let mut id = 5;
    while !client.ask(&plain(id, "joe", "secret", "")).await.starts_with("OK\t") {
        id += 1;
        assert!(id < 600, "{driver} never comes back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn servers_that_come_back() {
    let dir = dir();
    local(async {
        if let Some(server) = Redis::start(dir.path(), "") {
            let fill = |server: &Redis| server.set(0, "passdb/joe", &object("secret"));
            fill(&server);
            let file = dict_file(&format!("redis:port={}", server.port()));
            let server = std::cell::RefCell::new(server);
            let resume = || {
                server.borrow_mut().resume();
                fill(&server.borrow());
            };
            check_restart("dict", file, || server.borrow_mut().kill(), resume).await;
        }
        if let Some(server) = Memcached::start() {
            let fill = |server: &Memcached| server.set("passdb/joe", &object("secret"));
            fill(&server);
            let file = dict_file(&format!("memcached:port={}", server.port()));
            let server = std::cell::RefCell::new(server);
            let resume = || {
                server.borrow_mut().resume();
                fill(&server.borrow());
            };
            check_restart("dict", file, || server.borrow_mut().kill(), resume).await;
        }
        if let Some(server) = directory(dir.path()) {
            let file = ldap_file(&server, "pass_attrs = userPassword=password\n");
            let server = std::cell::RefCell::new(server);
            check_restart("ldap", file, || server.borrow_mut().kill(), || server.borrow_mut().resume()).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn mariadb_that_comes_back() {
    let dir = dir();
    local(async {
        let Some(server) = mariadb(dir.path()) else { return };
        let server = std::cell::RefCell::new(server);
        let (kill, resume) = (|| server.borrow_mut().kill(), || server.borrow_mut().resume());
        check_restart("sql", mariadb_file(dir.path()), kill, resume).await;
    })
    .await;
}

/// What is in a file is nonsense, or there is something else in its place.
#[tokio::test(flavor = "current_thread")]
async fn files_in_trouble() {
    let dir = dir();
    let path = |name: &str| dir.path().join(name);
    local(async {
        if needs(&["sqlite3"]) {
            let db = path("db");
            assert!(Command::new("sqlite3").arg(&db).arg(rows(doubled)).status().unwrap().success());
            let good = std::fs::read(&db).unwrap();
            let text = format!("driver = sqlite\nconnect = {}\n{QUERY}", db.display());
            let (kill, resume) =
                (|| std::fs::write(&db, b"nonsense".repeat(1000)), || std::fs::write(&db, &good));
            check_restart("sql", ("sql", text), || kill().unwrap(), || resume().unwrap()).await;
        }
        let values = path("values");
        let text = format!("shared/passdb/joe\n{}\n", object("secret"));
        std::fs::write(&values, &text).unwrap();
        let kill = || {
            std::fs::remove_file(&values).unwrap();
            std::fs::create_dir(&values).unwrap();
        };
        let resume = || {
            std::fs::remove_dir(&values).unwrap();
            std::fs::write(&values, &text).unwrap();
        };
        check_restart("dict", dict_file(&format!("file:{}", values.display())), kill, resume).await;
    })
    .await;
}

#[test]
fn identities_that_there_are_not() {
    for (args, expect) in [
        ("uid=nosuchuser gid=0", Some("static userdb: Invalid uid: nosuchuser")),
        ("uid=root gid=nosuchgroup", Some("static userdb: Invalid gid: nosuchgroup")),
        ("uid=root gid=0 home=/home/%u", None),
        ("uid=%u gid=%{domain}", None),
    ] {
        let config =
            format!("passdb {{\n driver = static\n}}\nuserdb {{\n driver = static\n args = {args}\n}}\n");
        let snapshot = settings::Snapshot::from_text(&config).unwrap();
        let parts = crate::life::Parts::read(&snapshot, base::Logger::new("auth: "));
        let error = parts.map_err(|error| error.to_string()).unwrap().services(false).err();
        assert_eq!(error.as_deref(), expect, "{args}");
    }
}
