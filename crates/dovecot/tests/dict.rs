//! Users in dictionaries, from an IMAP login down to a file, a directory, a table or a real Redis, also by way
//! of a `dict` process, ours or the original's; what both do with the same tables; and passwords that are good
//! for one login, which a database keeps.

use std::process::Command;

use harness::host::MAIL_ID;
use harness::sasl_client::{base64, from_base64};
use harness::{Builder, Client, Host, Redis, Under, needs};

const DICT: &str = "auth_username_chars =\nauth_username_format =\nauth_failure_delay = 0\nauth_verbose = yes\n\
    passdb {\n driver = dict\n args = @DIR@/dict.conf.ext\n}\n\
    userdb {\n driver = dict\n args = @DIR@/dict.conf.ext\n}\n";

/// Everything but `uri`: values as they are, objects, a default, and a field of an object.
const KEYS: &str = "default_pass_scheme = PLAIN\niterate_prefix = userdb/\n\
    key passdb {\n key = passdb/%u\n format = json\n}\npassdb_objects = passdb\n\
    key userdb {\n key = userdb/%u\n format = json\n}\nuserdb_objects = userdb\n\
    key quota {\n key = userdb/%u/quota\n default_value = 100M\n}\n\
    userdb_fields {\n quota_rule = *:storage=%{dict:quota}\n mail = maildir:%{dict:userdb.home}/Maildir\n}\n";

fn builder() -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .without_users()
        .config("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
}

fn own_id() -> u32 {
    if nix::unistd::geteuid().is_root() { MAIL_ID } else { nix::unistd::geteuid().as_raw() }
}

/// What the dictionary has: an ordinary user, a hard name, a hash, and two that are damaged.
fn values(host: &Host) -> Vec<(String, String)> {
    let id = own_id();
    let home = |name: &str| host.dir().join("mail").join(name).display().to_string();
    let user = |name: &str| format!("{{\"uid\": {id}, \"gid\": \"{id}\", \"home\": \"{}\"}}", home(name));
    [
        ("passdb/joe", "{\"password\": \"secret\"}".to_owned()),
        ("userdb/joe", user("joe")),
        ("userdb/joe/quota", "5G".to_owned()),
        ("passdb/o'brien\\", r#"{"password": "it's \"\\", "userdb_note": "\u00fc"}"#.to_owned()),
        ("userdb/o'brien\\", user("ob")),
        (
            "passdb/hash",
            "{\"password\": \"{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=\"}".to_owned(),
        ),
        ("userdb/hash", user("hash")),
        ("passdb/mad", "{\"password\": {}}".to_owned()),
        ("passdb/text", "hello".to_owned()),
        ("passdb/none", "{\"user\": \"none\"}".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn login(host: &Host, user: &str, password: &str) -> String {
    let mut client = host.connect("imap");
    let initial = base64(format!("\0{user}\0{password}").as_bytes());
    let answer = client.imap("a", &format!("AUTHENTICATE PLAIN {initial}"));
    let answer = answer.last().map(String::as_str).unwrap_or_default();
    let words: Vec<&str> = answer.split(' ').take(3).collect();
    match words.as_slice() {
        ["a", "OK", ..] => "OK".into(),
        ["a", "NO", code] => (*code).to_owned(),
        _ => panic!("{answer}"),
    }
}

fn check(host: &Host) {
    let (failed, unavailable) = ("[AUTHENTICATIONFAILED]", "[UNAVAILABLE]");
    for (user, password, expect) in [
        ("joe", "secret", "OK"),
        ("joe", "wrong", failed),
        ("joe", "", failed),
        ("o'brien\\", "it's \"\\", "OK"),
        ("hash", "secret", "OK"),
        ("nobody", "secret", failed),
        ("joe/quota", "secret", failed),
        ("mad", "secret", unavailable),
        ("text", "secret", unavailable),
        ("none", "", failed),
        ("joe", "secret", "OK"),
    ] {
        assert_eq!(login(host, user, password), expect, "{user}");
    }
    let fields = host.doveadm(&["user", "joe"]);
    for line in ["quota_rule\t*:storage=5G", &format!("uid\t{}", own_id()), "mail\tmaildir:/"] {
        assert!(fields.lines().any(|known| known.starts_with(line)), "{line} in {fields}");
    }
    let fields = host.doveadm(&["user", "-f", "quota_rule", "hash"]);
    assert_eq!(fields.trim_end(), "*:storage=100M");
}

#[test]
fn users_in_a_file() {
    let mut host = builder().config(DICT).prepare();
    write_values(&host);
    use_dict(&host, &format!("file:{}/values", host.dir().display()));
    host.start();
    check(&host);
    check_users(&host);
}

/// The dictionary `users`, in a file that the `dict` process may read.
const NAMED: &str = "dict {\n users = file:@DIR@/values\n broken = sqlite:/nonexistent\n}\n";

fn write_values(host: &Host) {
    let values: String = values(host).iter().map(|(key, value)| format!("shared/{key}\n{value}\n")).collect();
    std::fs::write(host.dir().join("values"), values).expect("the dictionary");
}

/// All users are listed.
fn check_users(host: &Host) {
    let listed = host.doveadm(&["user", "*"]);
    let mut names: Vec<&str> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["hash", "joe", "o'brien\\"]);
}

fn use_dict(host: &Host, uri: &str) {
    std::fs::write(host.dir().join("dict.conf.ext"), format!("uri = {uri}\n{KEYS}"))
        .expect("its configuration");
}

#[test]
fn users_behind_the_dict_process() {
    let mut host = builder().config(DICT).config(NAMED).prepare();
    write_values(&host);
    use_dict(&host, "proxy::users");
    host.start();
    check(&host);
    check_users(&host);
    assert_eq!(host.pids("dict").len(), 1, "one process for one worker");
    // It dies, and the next one answers.
    for pid in host.pids("dict") {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    }
    assert_eq!(
        harness::wait_for("the next one", || Some(login(&host, "joe", "secret")).filter(|said| said == "OK")),
        "OK"
    );
    for (name, complaint) in [
        ("nobody", "dict client: Unconfigured dictionary name 'nobody'"),
        ("broken", "dict client: Failed to initialize dictionary 'broken': dict sqlite: Can't open"),
    ] {
        host.stop();
        use_dict(&host, &format!("proxy::{name}"));
        host.start();
        assert_eq!(login(&host, "joe", "secret"), "[UNAVAILABLE]", "{name}");
        host.wait_log(complaint);
    }
}

#[test]
fn dict_processes_of_ours_and_the_original_understand_each_other() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    // The original's `doveadm dict` asks our process.
    let host = builder().config(NAMED).config("passdb {\n driver = static\n args = password=x\n}");
    let mut host = host.prepare();
    write_values(&host);
    host.start();
    let ask = |words: &[&str]| {
        let uri = format!("proxy:{}/run/dict:users", host.dir().display());
        let mut doveadm = Command::new("doveadm");
        doveadm.arg("-c").arg(host.conf()).arg("dict").args(&words[..1]).arg(uri).args(&words[1..]);
        let done = doveadm.output().expect("doveadm runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.success(), text(&done.stdout), text(&done.stderr))
    };
    let (done, said, complaint) = ask(&["get", "shared/passdb/joe"]);
    assert!(done && said.trim_end() == "{\"password\": \"secret\"}", "{said}{complaint}");
    let (done, said, complaint) = ask(&["get", "shared/passdb/nobody"]);
    assert!(!done, "{said}{complaint}");
    let (done, said, complaint) = ask(&["iter", "shared/userdb/"]);
    let mut keys: Vec<_> = said.lines().filter_map(|line| line.split_whitespace().next()).collect();
    keys.retain(|key| key.starts_with("shared/userdb/"));
    keys.sort_unstable();
    assert!(done, "{said}{complaint}");
    assert_eq!(keys, ["shared/userdb/hash", "shared/userdb/joe", "shared/userdb/o'brien\\"], "{said}");
    // Ours asks the original's.
    let mut original = builder()
        .under(Under::Dovecot)
        .config(NAMED)
        .config("passdb {\n driver = static\n args = password=x\n}")
        .prepare();
    let mut ours = builder().config(DICT).prepare();
    let values: String =
        values(&ours).iter().map(|(key, value)| format!("shared/{key}\n{value}\n")).collect();
    std::fs::write(original.dir().join("values"), values).expect("the dictionary");
    original.start();
    use_dict(&ours, &format!("proxy:{}/run/dict:users", original.dir().display()));
    ours.start();
    check(&ours);
}

/// A table of keys and values for whoever works as a user in it, and others.
const TABLES: &str = "CREATE TABLE users (name varchar(64) PRIMARY KEY, value varchar(200));\
    CREATE TABLE quota (username varchar(64) PRIMARY KEY, bytes bigint, messages bigint);\
    CREATE TABLE expires (user_name varchar(64), box varchar(64), stamp bigint, note varchar(20), PRIMARY KEY (user_name, box, note));\n";

const MAPS: &str = "map {\n pattern = shared/$name\n table = users\n value_field = value\n fields {\n name = $name\n }\n}\n\
    map {\n pattern = priv/quota/storage\n table = quota\n username_field = username\n value_field = bytes\n value_type = int\n}\n\
    map {\n pattern = priv/quota/messages\n table = quota\n username_field = username\n value_field = messages\n value_type = int\n}\n\
    map {\n pattern = priv/expire/$user/$box\n table = expires\n username_field = note\n value_field = stamp\n\
    \x20value_type = uint\n fields {\n user_name = $user\n box = $box\n }\n}\n";

fn sqlite(path: &std::path::Path, statements: &str) -> String {
    let done = Command::new("sqlite3").arg(path).arg(statements).output().expect("sqlite3 runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
}

/// A database with the tables in the host's directory, and the dictionary's file; everybody may write to it.
fn prepare_tables(host: &Host) -> std::path::PathBuf {
    let path = host.dir().join("db/users");
    std::fs::create_dir(host.dir().join("db")).expect("the database's directory");
    sqlite(&path, TABLES);
    for (place, mode) in [(path.clone(), 0o666), (host.dir().join("db"), 0o777)] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place, open).expect("the database is for all");
    }
    let text = format!("connect = {}\n{MAPS}", path.display());
    std::fs::write(host.dir().join("tables.conf.ext"), text).expect("its configuration");
    path
}

#[test]
fn users_in_a_table_and_in_a_directory() {
    if !needs(&["sqlite3"]) {
        return;
    }
    let mut host = builder().config(DICT).prepare();
    let path = prepare_tables(&host);
    let quoted = |text: &str| text.replace('\'', "''");
    for (key, value) in values(&host) {
        sqlite(&path, &format!("INSERT INTO users VALUES ('{}', '{}')", quoted(&key), quoted(&value)));
        let file = host.dir().join("files").join(key);
        // What is below another key cannot be a file.
        if std::fs::create_dir_all(file.parent().expect("a directory")).is_ok() {
            std::fs::write(file, value).expect("a file");
        }
    }
    use_dict(&host, &format!("sqlite:{}/tables.conf.ext", host.dir().display()));
    host.start();
    check(&host);
    assert!(sqlite(&path, "SELECT name FROM users").contains("o'brien"), "nobody has harmed it");
    host.stop();
    use_dict(&host, &format!("fs:posix:prefix={}/files/", host.dir().display()));
    host.start();
    assert_eq!(login(&host, "hash", "secret"), "OK");
    assert_eq!(login(&host, "o'brien\\", "it's \"\\"), "OK");
    assert_eq!(login(&host, "../passdb/hash", "secret"), "[AUTHENTICATIONFAILED]");
    assert_eq!(login(&host, "nobody", "secret"), "[AUTHENTICATIONFAILED]");
}

/// What is done to a dictionary with the tables, and to a file; in the end it is shown.
const SCRIPT: &[&str] = &[
    "set shared/a x'y\"\\%",
    "get shared/a",
    "set shared/a 2",
    "get shared/a",
    "set shared/b/c 3",
    "inc shared/a 40",
    "get shared/a",
    "get shared/none",
    "inc shared/none 1",
    "iter shared/",
    "iter -V shared/",
    "iter -1 shared/a",
    "unset shared/a",
    "unset shared/a",
    "get shared/a",
    "set -u joe priv/quota/storage 100",
    "set -u joe priv/quota/messages 7",
    "inc -u joe priv/quota/storage -30",
    "inc -u ann priv/quota/storage 5",
    "get -u joe priv/quota/storage",
    "get -u joe priv/quota/messages",
    "get -u ann priv/quota/messages",
];

/// What only tables do in the same way: a file has any key, and no types.
const TABLE_SCRIPT: &[&str] = &[
    "set -u joe priv/quota/storage many",
    "set -u joe priv/expire/u/INBOX 5",
    "set -u joe priv/expire/u/a 6",
    "set -u ann priv/expire/v/a 7",
    "iter -u joe priv/expire/u/",
    "iter -R -u ann priv/expire/",
    "iter -u joe priv/expire/",
    "iter -1 -u joe priv/expire/u/a",
    "iter -u joe priv/expire/u/a/",
    "get -u joe priv/other",
    "iter -u joe priv/other/",
    "unset -u joe priv/expire/u/a",
    "unset -u joe priv/other",
];

/// Lines of a listing come in no order.
fn outcome(output: &std::process::Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.sort_unstable();
    format!("{:?} {}", output.status.code(), lines.join(" "))
}

#[test]
fn dictionaries_are_changed_as_by_the_original() {
    if !needs(&["dovecot", "doveadm", "sqlite3"]) {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path(), open).expect("the way to the socket");
    let mariadb = harness::MariaDb::start(place.path());
    // Each run has a database of its own.
    let databases = std::cell::Cell::new(0);
    let ours = builder().prepare();
    let run = |server: Under, client: Under, name: &str, script: &[&str]| {
        let dicts = "dict {\n file = file:@DIR@/db/file\n fcntl = file:@DIR@/db/fcntl:lock=fcntl\n\
             table = sqlite:@DIR@/tables.conf.ext\n mysql = mysql:@DIR@/mysql.conf.ext\n}\npassdb {\n driver = static\n args = password=x\n}";
        let mut host = builder().under(server).config(dicts).prepare();
        let path = prepare_tables(&host);
        if let Some(mariadb) = &mariadb {
            databases.set(databases.get() + 1);
            let database = format!("d{}", databases.get());
            mariadb.run(&format!("CREATE DATABASE {database}; USE {database}; {TABLES}"));
            let connect = format!("host={} user=root dbname={database}", mariadb.socket().display());
            std::fs::write(host.dir().join("mysql.conf.ext"), format!("connect = {connect}\n{MAPS}"))
                .expect("its configuration");
        }
        host.start();
        let uri = format!("proxy:{}/run/dict:{name}", host.dir().display());
        let mut said = Vec::new();
        for line in script {
            let mut words: Vec<&str> = line.split(' ').collect();
            let at = words.iter().rposition(|word| word.starts_with("shared/") || word.starts_with("priv/"));
            words.insert(at.expect("a key"), &uri);
            if let Some(last) = words.iter().rposition(|word| word.starts_with("-3")) {
                words.insert(last, "--");
            }
            let program = match client {
                Under::Dovecot => std::path::PathBuf::from("doveadm"),
                Under::Ours => ours.program("doveadm"),
            };
            let mut doveadm = Command::new(program);
            doveadm.arg("-c").arg(host.conf()).arg("dict").args(words);
            let output = doveadm.output().expect("doveadm runs");
            said.push(format!("{line}: {}", outcome(&output)));
        }
        let mut left = sqlite(&path, "SELECT * FROM users; SELECT * FROM quota; SELECT * FROM expires");
        for file in ["file", "fcntl"] {
            let text = std::fs::read_to_string(host.dir().join("db").join(file)).unwrap_or_default();
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            left.push_str(&lines.join("\n"));
        }
        said.push(left);
        said
    };
    let whole = [SCRIPT, TABLE_SCRIPT].concat();
    let mut kinds = vec![("file", SCRIPT), ("fcntl", SCRIPT), ("table", &whole)];
    kinds.extend(mariadb.is_some().then_some(("mysql", &whole[..])));
    for (name, script) in kinds {
        let expected = run(Under::Dovecot, Under::Dovecot, name, script);
        for (server, client) in
            [(Under::Ours, Under::Dovecot), (Under::Dovecot, Under::Ours), (Under::Ours, Under::Ours)]
        {
            let found = run(server, client, name, script);
            assert_eq!(found, expected, "{name}: server {server:?}, client {client:?}");
        }
    }
}

#[test]
fn users_in_redis() {
    let mut host = builder().config(DICT).prepare();
    let Some(mut server) = Redis::start(host.dir(), "pw") else { return };
    values(&host).iter().for_each(|(key, value)| server.set(2, &format!("mail/{key}"), value));
    let text = format!("uri = redis:port={}:password=pw:db=2:prefix=mail/\n{KEYS}", server.port());
    std::fs::write(host.dir().join("dict.conf.ext"), text).expect("its configuration");
    host.start();
    check(&host);
    server.kill();
    assert_eq!(login(&host, "joe", "secret"), "[UNAVAILABLE]");
    host.wait_log("Failed to lookup key shared/passdb/joe: redis: Communication failure");
    server.resume();
    assert_eq!(login(&host, "joe", "secret"), "[AUTHENTICATIONFAILED]", "it has forgotten everything");
    values(&host).iter().for_each(|(key, value)| server.set(2, &format!("mail/{key}"), value));
    assert_eq!(login(&host, "joe", "secret"), "OK");
}

fn one_time(client: &mut Client, response: &str) -> (String, String) {
    client.line(&format!("a AUTHENTICATE OTP {}", base64(b"\0joe")));
    let challenge = client.expect_line();
    let Some(challenge) = challenge.strip_prefix("+ ") else { return (challenge, String::new()) };
    let challenge = from_base64(challenge.as_bytes()).expect("base64");
    client.line(&base64(response.as_bytes()));
    let answer = std::iter::repeat_with(|| client.expect_line()).find(|line| !line.starts_with('*'));
    (String::from_utf8(challenge).expect("text"), answer.unwrap_or_default())
}

/// RFC 2289 Appendix C: MD5 of "This is a test." with the seed "TeSt", after 0 and 1 rounds.
#[test]
fn a_password_is_good_once() {
    if !needs(&["sqlite3"]) {
        return;
    }
    let host = builder()
        .config("auth_mechanisms = plain otp\nauth_failure_delay = 0")
        .config("passdb {\n driver = sql\n args = @DIR@/sql.conf.ext\n}")
        .config("userdb {\n driver = static\n args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u\n}");
    let mut host = host.prepare();
    let path = host.dir().join("db/users");
    std::fs::create_dir(host.dir().join("db")).expect("the database's directory");
    let sqlite = |statements: &str| sqlite(&path, statements);
    sqlite(
        "CREATE TABLE users (name VARCHAR(64), password VARCHAR(200)); \
         INSERT INTO users VALUES ('joe', '{OTP}md5 2 test 7965e05436f5029f');",
    );
    for (place, mode) in [(path.clone(), 0o666), (host.dir().join("db"), 0o777)] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place, open).expect("the database is for all");
    }
    let text = format!(
        "driver = sqlite\nconnect = {}\npassword_query = SELECT password FROM users WHERE name = '%u'\n\
         update_query = UPDATE users SET password = '%w' WHERE name = '%u'\n",
        path.display()
    );
    std::fs::write(host.dir().join("sql.conf.ext"), text).expect("the SQL configuration");
    host.start();
    let mut client = host.connect("imap");
    let (challenge, answer) = one_time(&mut client, "hex:7965e05436f5029f");
    assert_eq!(challenge, "otp-md5 1 test ext");
    assert_eq!(answer, "a NO [AUTHENTICATIONFAILED] Authentication failed.");
    let (_, answer) = one_time(&mut client, "word:INCH SEA ANNE LONG AHEM TOUR");
    assert!(answer.starts_with("a OK ") && answer.ends_with("Logged in"), "{answer}");
    assert_eq!(sqlite("SELECT password FROM users"), "{OTP}md5 1 test 9e876134d90499dd");
    let (answer, _) = one_time(&mut host.connect("imap"), "hex:9e876134d90499dd");
    assert_eq!(answer, "a NO [AUTHENTICATIONFAILED] Authentication failed.");
    host.wait_log("sequence number < 1");
}
