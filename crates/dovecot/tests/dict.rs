//! Users in dictionaries, from an IMAP login down to a file or a real Redis, also by way of a `dict`
//! process, ours or the original's; and passwords that are good for one login, which a database keeps.

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
const NAMED: &str = "dict {\n users = file:@DIR@/values\n broken = sql:/nonexistent\n}\n";

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
        ("broken", "dict client: Failed to initialize dictionary 'broken': dict sql: not supported"),
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
    let (done, _, complaint) = ask(&["set", "shared/x", "y"]);
    assert!(!done && complaint.contains("Dictionaries can't be changed in this version"), "{complaint}");
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
    let sqlite = |statements: &str| {
        let done = Command::new("sqlite3").arg(&path).arg(statements).output().expect("sqlite3 runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    };
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
