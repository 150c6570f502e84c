//! Each database of users behind the whole server: logins by IMAP and POP3 down to the mail, delivery by
//! `dovecot-lda`, and what clients hear while the database is gone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::host::MAIL_ID;
use harness::{Builder, Client, Host, MariaDb, OAuth2, Postgres, Slapd, needs, wait_for};

/// Who logs in.
struct Who {
    user: &'static str,
    password: &'static str,
    /// Whether anybody else is known. `static` knows all.
    knows_others: bool,
}

const JOE: Who = Who { user: "joe", password: "secret", knows_others: true };

/// A userdb for databases that only know passwords.
const ANYBODY: &str = "userdb {\n  driver = static\n  \
    args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%n allow_all_users=yes\n}";

fn id() -> u32 {
    if nix::unistd::geteuid().is_root() { MAIL_ID } else { nix::unistd::geteuid().as_raw() }
}

/// A host that is ready but for its database.
fn prepare(config: &str) -> Host {
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .without_users()
        .config("auth_failure_delay = 0\nauth_verbose = yes")
        .config("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
        .config(config)
        .prepare()
}

/// `passdb` and `userdb` with the same driver and arguments.
fn both(driver: &str, args: &str) -> String {
    ["passdb", "userdb"].map(|db| format!("{db} {{\n  driver = {driver}\n  args = {args}\n}}\n")).concat()
}

/// A file in the host's directory, which whoever looks up can read.
fn write(host: &Host, name: &str, text: &str, mode: u32) {
    let path = host.dir().join(name);
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("its mode");
}

fn imap(host: &Host, user: &str, password: &str) -> (Client, String) {
    let mut client = host.connect("imap");
    let answer = client.imap("l", &format!("LOGIN {user} {password}")).pop().expect("an answer");
    (client, answer)
}

fn pop3(host: &Host, user: &str, password: &str) -> (Client, String) {
    let mut client = host.connect("pop3");
    client.line(&format!("USER {user}"));
    assert!(client.expect_line().starts_with("+OK"));
    client.line(&format!("PASS {password}"));
    let answer = client.expect_line();
    (client, answer)
}

/// The exit status of a delivery.
fn deliver(host: &Host, user: &str) -> Option<i32> {
    let mut command = Command::new(host.program("dovecot-lda"));
    command.arg("-c").arg(host.conf()).args(["-d", user]).env_clear().stdin(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // One that ends early does not read.
    let _ = child.stdin.take().expect("a pipe").write_all(b"Subject: hi\n\nbody\n");
    child.wait().expect("the program ends").code()
}

/// Right, wrong and unknown, by both protocols, and the mail behind.
fn check_logins(host: &Host, who: &Who) {
    let Who { user, password, knows_others } = who;
    assert_eq!(deliver(host, user), Some(0), "{}", host.log());
    let (mut client, answer) = imap(host, user, password);
    assert!(answer.starts_with("l OK"), "{answer}\n{}", host.log());
    let selected = client.imap("s", "SELECT INBOX").concat();
    assert!(selected.contains("* 1 EXISTS"), "{selected}");
    let fetched = client.imap("f", "FETCH 1 BODY[TEXT]").concat();
    assert!(fetched.contains("body"), "{fetched}");
    drop(client);
    let (mut client, answer) = pop3(host, user, password);
    assert_eq!(answer, "+OK Logged in.");
    client.line("STAT");
    assert!(client.expect_line().starts_with("+OK 1 "));
    drop(client);
    let mut refused = vec![(*user, "wrong")];
    if *knows_others {
        refused.extend([("nobody", *password), ("\"j'oe*)(%u\"", *password)]);
    }
    for (user, password) in refused {
        let (_, answer) = imap(host, user, password);
        assert!(answer.starts_with("l NO [AUTHENTICATIONFAILED]"), "{user}: {answer}\n{}", host.log());
        let (_, answer) = pop3(host, user, password);
        assert!(answer.starts_with("-ERR [AUTH]"), "{user}: {answer}");
    }
}

/// While the database is away nobody is told that the password is wrong, and no mail comes back.
fn check_outage(host: &Host, who: &Who, stop: impl FnOnce(), start: impl FnOnce(), is_userdb: bool) {
    let Who { user, password, .. } = who;
    stop();
    // A file that has been looked at a moment ago is not looked at again.
    wait_for("the database is missed", || {
        imap(host, user, password).1.starts_with("l NO [UNAVAILABLE]").then_some(())
    });
    for password in [password, "wrong"] {
        let (_, answer) = imap(host, user, password);
        assert!(answer.starts_with("l NO [UNAVAILABLE] Temporary authentication failure."), "{answer}");
        let (_, answer) = pop3(host, user, password);
        assert!(answer.starts_with("-ERR [SYS/TEMP] Temporary authentication failure."), "{answer}");
    }
    if is_userdb {
        assert_eq!(deliver(host, user), Some(75), "{}", host.log());
    }
    start();
    wait_for("logins from the database", || imap(host, user, password).1.starts_with("l OK").then_some(()));
    assert!(pop3(host, user, password).1.starts_with("+OK"), "{}", host.log());
    if is_userdb {
        wait_for("deliveries", || (deliver(host, user) == Some(0)).then_some(()));
    }
}

/// No process has died of it.
fn check_processes(host: &Host) {
    let log = host.log();
    // A delivery that has to wait ends with one of these words.
    for line in log.lines().filter(|line| !line.contains(" lda(")) {
        for word in ["panic", "Panic", "Fatal", "killed with", "returned error"] {
            assert!(!line.contains(word), "{line}\n{log}");
        }
    }
}

fn passwd(host: &Host) -> String {
    format!("joe:{{PLAIN}}secret:{0}:{0}::{1}/mail/joe::\n", id(), host.dir().display())
}

#[test]
fn passwd_file() {
    let mut host = prepare(&both("passwd-file", "username_format=%u @DIR@/passwd"));
    write(&host, "passwd", &passwd(&host), 0o644);
    host.start();
    check_logins(&host, &JOE);
    let (file, away) = (host.dir().join("passwd"), host.dir().join("away"));
    let stop = || fs::rename(&file, &away).expect("it goes");
    check_outage(&host, &JOE, stop, || fs::rename(&away, &file).expect("it comes"), true);
    check_processes(&host);
}

/// Whoever has proved who he is gets an answer to his command all the same, as with Dovecot.
#[test]
fn only_the_userdb_is_away() {
    let userdb = "userdb {\n  driver = passwd-file\n  args = @DIR@/none\n}\n";
    let mut host = prepare(&format!("passdb {{\n  driver = static\n  args = password=secret\n}}\n{userdb}"));
    host.start();
    let (mut client, answer) = imap(&host, "joe", "secret");
    assert_eq!(
        answer,
        "l NO [UNAVAILABLE] Internal error occurred. Refer to server log for more information."
    );
    assert_eq!(client.read_line(), None);
    assert!(pop3(&host, "joe", "secret").1.starts_with("-ERR [SYS/TEMP] "));
    check_processes(&host);
}

#[test]
fn statics() {
    let mut host = prepare(&format!("passdb {{\n  driver = static\n  args = password=secret\n}}\n{ANYBODY}"));
    host.start();
    check_logins(&host, &Who { knows_others: false, ..JOE });
    check_processes(&host);
}

/// The table of users of all SQL databases.
fn rows(host: &Host) -> String {
    format!(
        "CREATE TABLE users (name VARCHAR(99), password VARCHAR(99), home VARCHAR(99), uid INT, gid INT);\n\
         INSERT INTO users VALUES ('joe', '{{PLAIN}}secret', '{}/mail/joe', {1}, {1});\n",
        host.dir().display(),
        id()
    )
}

fn write_sql(host: &Host, driver: &str, connect: &str) {
    let text = format!(
        "driver = {driver}\nconnect = {connect}\n\
         password_query = SELECT name AS user, password FROM users WHERE name = '%u'\n\
         user_query = SELECT home, uid, gid FROM users WHERE name = '%u'\n"
    );
    write(host, "sql", &text, 0o644);
}

#[test]
fn mariadb() {
    let mut host = prepare(&both("sql", "@DIR@/sql"));
    let Some(mut server) = MariaDb::start(host.dir()) else { return };
    server.run(&format!(
        "CREATE DATABASE mail; USE mail; {} CREATE USER dove@localhost IDENTIFIED BY 'pw'; \
         GRANT ALL ON mail.* TO dove@localhost;",
        rows(&host)
    ));
    write_sql(
        &host,
        "mysql",
        &format!("host={} user=dove password=pw dbname=mail", server.socket().display()),
    );
    host.start();
    check_logins(&host, &JOE);
    let server = std::cell::RefCell::new(&mut server);
    check_outage(&host, &JOE, || server.borrow_mut().kill(), || server.borrow_mut().resume(), true);
    check_processes(&host);
}

#[test]
fn postgresql() {
    let mut host = prepare(&both("sql", "@DIR@/sql"));
    let Some(mut server) = Postgres::start(host.dir()) else { return };
    server.run(&format!("{} CREATE USER dove PASSWORD 'p w'; GRANT ALL ON users TO dove;", rows(&host)));
    let connect = format!("host=127.0.0.1 port={} user=dove password='p w' dbname=postgres", server.port());
    write_sql(&host, "pgsql", &connect);
    host.start();
    check_logins(&host, &JOE);
    let server = std::cell::RefCell::new(&mut server);
    check_outage(&host, &JOE, || server.borrow_mut().kill(), || server.borrow_mut().resume(), true);
    check_processes(&host);
}

#[test]
fn sqlite() {
    if !needs(&["sqlite3"]) {
        return;
    }
    let mut host = prepare(&both("sql", "@DIR@/sql"));
    let file = host.dir().join("users.db");
    let made = Command::new("sqlite3").arg(&file).arg(rows(&host)).status();
    assert!(made.expect("sqlite3 runs").success());
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("its mode");
    write_sql(&host, "sqlite", &file.display().to_string());
    host.start();
    check_logins(&host, &JOE);
    let writer = std::cell::RefCell::new(None);
    let stop = || *writer.borrow_mut() = Some(Locked::take(&file));
    check_outage(&host, &JOE, stop, || drop(writer.take()), true);
    check_processes(&host);
}

/// Somebody who writes into an SQLite database and takes his time.
struct Locked(Child);

impl Locked {
    fn take(file: &Path) -> Self {
        let mut command = Command::new("sqlite3");
        command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("sqlite3 runs");
        child
            .stdin
            .as_mut()
            .expect("a pipe")
            .write_all(b"BEGIN EXCLUSIVE;\nSELECT 'held';\n")
            .expect("sqlite3 reads");
        let mut held = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut held).expect("it is held");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ldif(host: &Host) -> String {
    format!(
        "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: x\n\n\
         dn: uid=joe,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\n\
         uid: joe\ncn: Joe\nsn: Joe\nuidNumber: {0}\ngidNumber: {0}\nhomeDirectory: {1}/mail/joe\n\
         userPassword: secret\n\n",
        id(),
        host.dir().display()
    )
}

#[test]
fn ldap() {
    for more in ["default_pass_scheme = PLAIN\n", "auth_bind = yes\n"] {
        let mut host = prepare(&both("ldap", "@DIR@/ldap"));
        let Some(mut server) = Slapd::start(host.dir(), None, &ldif(&host)) else { return };
        let text = format!(
            "hosts = 127.0.0.1:{}\nbase = dc=example,dc=org\ndn = cn=admin,dc=example,dc=org\n\
             dnpass = adminpw\npass_filter = (uid=%u)\nuser_filter = (uid=%u)\n\
             user_attrs = homeDirectory=home,uidNumber=uid,gidNumber=gid\n{more}",
            server.port()
        );
        write(&host, "ldap", &text, 0o600);
        host.start();
        check_logins(&host, &JOE);
        let server = std::cell::RefCell::new(&mut server);
        check_outage(&host, &JOE, || server.borrow_mut().kill(), || server.borrow_mut().resume(), true);
        check_processes(&host);
    }
}

/// Checks a database that is a program of ours, in a file of this name.
fn check_program(host: &mut Host, name: &str, text: &str, mode: u32) {
    let dir = host.dir().display().to_string();
    write(host, name, &text.replace("DIR", &dir).replace("ID", &id().to_string()), mode);
    host.start();
    check_logins(host, &JOE);
    let down = host.dir().join("down");
    let stop = || fs::write(&down, "").expect("the file");
    check_outage(host, &JOE, stop, || fs::remove_file(&down).expect("the file"), true);
    check_processes(host);
}

/// A program in checkpassword's protocol that knows joe, and fails while a file is there.
const CHECKPASSWORD: &str = "#!/bin/sh\n[ -e DIR/down ] && exit 111\n\
    IFS= read -r given <<X\n$(tr '\\000' '|' <&3)\nX\nwho=${given%%|*}\n\
    facts='userdb_home=DIR/mail/joe\\tuserdb_uid=ID\\tuserdb_gid=ID\\t'\n\
    if [ \"$AUTHORIZED\" = 1 ]; then\n  [ \"$who\" = joe ] || exit 3\n  printf \"user=joe\\t$facts\" >&4\n  \
    exit 2\nfi\ncase \"$given\" in 'joe|secret|'*) ;; *) exit 1 ;; esac\nprintf \"user=joe\\t$facts\" >&4\n\
    exec \"$@\"\n";

#[test]
fn checkpassword() {
    let mut host = prepare(&both("checkpassword", "@DIR@/program"));
    check_program(&mut host, "program", CHECKPASSWORD, 0o755);
}

const LUA: &str = "local function up()\n  local down = io.open(\"DIR/down\")\n  \
    if down then down:close() error(\"the database is away\") end\nend\n\
    function auth_passdb_lookup(req)\n  up()\n  if req.user == \"joe\" then\n    \
    return dovecot.auth.PASSDB_RESULT_OK, \"password={PLAIN}secret\"\n  end\n  \
    return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, \"\"\nend\n\
    function auth_userdb_lookup(req)\n  up()\n  if req.user == \"joe\" then\n    \
    return dovecot.auth.USERDB_RESULT_OK, \"uid=ID gid=ID home=DIR/mail/joe\"\n  end\n  \
    return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, \"\"\nend\n";

#[test]
fn lua() {
    let mut host = prepare(&both("lua", "file=@DIR@/script"));
    check_program(&mut host, "script", LUA, 0o644);
}

/// Another server says whose password is right.
#[test]
fn another_imap_server() {
    let mut judge = prepare(&both("passwd-file", "username_format=%u @DIR@/passwd"));
    write(&judge, "passwd", &passwd(&judge), 0o644);
    judge.start();
    let port = judge.address("imap").port();
    let mut host =
        prepare(&format!("passdb {{\n  driver = imap\n  args = host=127.0.0.1 port={port}\n}}\n{ANYBODY}"));
    host.start();
    check_logins(&host, &JOE);
    let judge = std::cell::RefCell::new(&mut judge);
    check_outage(&host, &JOE, || judge.borrow_mut().stop(), || judge.borrow_mut().start(), false);
    check_processes(&host);
}

/// The password is a token that a server for them knows.
#[test]
fn oauth2() {
    let server = OAuth2::start();
    let mut host = prepare(&format!("passdb {{\n  driver = oauth2\n  args = @DIR@/oauth2\n}}\n{ANYBODY}"));
    let text = format!("introspection_url = {}\nintrospection_mode = post\n", server.url("/introspect"));
    write(&host, "oauth2", &text, 0o644);
    host.start();
    let who = Who { user: "joe@example.org", password: "good", knows_others: true };
    check_logins(&host, &who);
    check_outage(&host, &who, || server.set_down(true), || server.set_down(false), false);
    check_processes(&host);
}

/// PAM with a module that has its users in a file, in a mount namespace where the system's services are
/// replaced by the test's.
#[test]
fn pam() {
    let directories = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let module = directories
        .iter()
        .map(|dir| Path::new(dir).join("pam_wrapper/pam_matrix.so"))
        .find(|path| path.exists());
    let Some(module) = module else {
        assert!(std::env::var("REQUIRE").as_deref() != Ok("all"), "libpam-wrapper is not installed");
        return eprintln!("left out: libpam-wrapper is not installed");
    };
    if !nix::unistd::geteuid().is_root() || !needs(&["unshare"]) {
        return;
    }
    let mut host = prepare(&format!("passdb {{\n  driver = pam\n  args = culver\n}}\n{ANYBODY}"));
    let services = host.dir().join("pam.d");
    fs::create_dir(&services).expect("a directory");
    write(&host, "matrix", "joe:secret:culver\n", 0o644);
    let line =
        |kind| format!("{kind} required {} passdb={}/matrix\n", module.display(), host.dir().display());
    let text = ["auth", "account", "session", "password"].map(line).concat();
    write(&host, "pam.d/culver", &text, 0o644);
    let program = host.program("dovecot");
    let real = fs::read_link(&program).expect("a link");
    fs::remove_file(&program).expect("the link goes");
    let script = format!(
        "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {} /etc/pam.d && exec {} \"$@\"' dovecot \"$@\"\n",
        services.display(),
        real.display()
    );
    write(&host, "bin/dovecot", &script, 0o755);
    host.start();
    check_logins(&host, &JOE);
    let (file, away) = (services.join("culver"), services.join("away"));
    let stop = || fs::rename(&file, &away).expect("it goes");
    check_outage(&host, &JOE, stop, || fs::rename(&away, &file).expect("it comes"), false);
    check_processes(&host);
}
