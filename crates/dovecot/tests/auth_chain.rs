//! Several passdbs and userdbs with rules between them: what clients, logs and `doveadm` say of each user
//! is what the original says with the same configuration.

use std::process::Command;

use harness::{Builder, Host, Under, needs};

const CONFIG: &str = r"
auth_verbose = yes
auth_verbose_passwords = plain
auth_master_user_separator = *
auth_cache_size = 1M
auth_failure_delay = 0
auth_username_chars = abcdefghijklmnopqrstuvwxyz0123456789.-_@
passdb {
  driver = passwd-file
  deny = yes
  args = @DIR@/deny
}
passdb {
  driver = passwd-file
  master = yes
  result_success = continue
  args = scheme=PLAIN @DIR@/masters
}
passdb {
  driver = passwd-file
  name = first
  args = scheme=PLAIN username_format=%u @DIR@/known
  default_fields = userdb_home=@DIR@/mail/%u userdb_uid=@UID@ userdb_gid=@GID@
  override_fields = userdb_quota_rule=*:storage=5G
  result_success = return-ok
  result_failure = continue
}
passdb {
  driver = sql
  args = @DIR@/sql.conf
  result_success = continue-ok
  result_failure = continue
  result_internalfail = continue-fail
}
passdb {
  driver = passwd-file
  name = after
  args = scheme=PLAIN username_format=%n @DIR@/after
  skip = unauthenticated
  result_failure = return-fail
}
passdb {
  driver = static
  args = note=nothing
  username_filter = static*
}
userdb {
  driver = prefetch
}
userdb {
  driver = passwd-file
  name = listed
  args = username_format=%u @DIR@/homes
  default_fields = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u
  override_fields = mail=maildir:~/M
  result_success = continue-ok
}
userdb {
  driver = static
  name = last
  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u allow_all_users=yes
  skip = found
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
";

const FILES: [(&str, &str); 6] = [
    ("deny", "bad:\n"),
    ("masters", "boss:bp\nnear:np::::::allow_nets=10.0.0.0/8\nold:op:::::::maildir:/nowhere\n"),
    (
        "known",
        "joe:pw::::::note=x userdb_mail=maildir:~/Q\nlocked:pw::::::nologin\n\
         told:pw::::::nologin=y reason=Go_away\nfar:pw::::::allow_nets=10.0.0.0/8,192.0.2.1\n\
         local:pw::::::allow_nets=local,127.0.0.0/8\nany:::::::nopassword\nboth:x::::::nopassword=y\n\
         other:pw::::::user=renamed\nthere:pw::::::domain=example.org\nscheme:{NOSUCH}pw\n\
         failing:pw::::::fail=1 reason=Because\nlater:pw::::::userdb_tempfail=yes\n\
         dotted:pw::::::userdb_home=@DIR@/./mail/dotted\nnobodys:pw::::::userdb_uid=nosuchuser\n\
         without:pw::::::userdb_uid:remove\nbad:pw\n",
    ),
    ("after", "both:::::::note=after userdb_extra=1\nclosed::::::: nologin reason=No\n"),
    ("homes", "listed:::::@DIR@/mail/l::quota_rule=*:bytes=1\njoe:::::@DIR@/mail/other::\n"),
    (
        "sql.conf",
        "driver = sqlite\nconnect = @DIR@/db/users\ndefault_pass_scheme = PLAIN\n\
         password_query = SELECT name AS user, password, note, home AS userdb_home, 5000 AS userdb_uid, \
         5000 AS userdb_gid FROM users WHERE name = '%u'\n",
    ),
];

const TABLE: &str = "CREATE TABLE users (name, password, note, home);
    INSERT INTO users VALUES ('both', 'sql', NULL, '@DIR@/mail/both');
    INSERT INTO users VALUES ('only', 'pw', 'n', '@DIR@/mail/only');
    INSERT INTO users VALUES ('closed', 'pw', NULL, '@DIR@/mail/closed');
    INSERT INTO users VALUES ('null', NULL, NULL, '@DIR@/mail/null');
    INSERT INTO users VALUES ('twice', 'pw', NULL, '@DIR@/mail/twice');
    INSERT INTO users VALUES ('twice', 'pw', NULL, '@DIR@/mail/twice');";

const LOGINS: [(&str, &str); 38] = [
    ("joe", "pw"),
    ("joe", "wrong"),
    ("joe", ""),
    ("JOE", "pw"),
    ("nobody", "pw"),
    ("nobody", "pw"),
    ("locked", "pw"),
    ("locked", "wrong"),
    ("told", "pw"),
    ("far", "pw"),
    ("local", "pw"),
    ("any", "thing"),
    ("any", ""),
    ("other", "pw"),
    ("there", "pw"),
    ("scheme", "pw"),
    ("failing", "pw"),
    ("later", "pw"),
    ("dotted", "pw"),
    ("nobodys", "pw"),
    ("bad", "pw"),
    ("both", "sql"),
    ("both", "wrong"),
    ("only", "pw"),
    ("only", "wrong"),
    ("closed", "pw"),
    ("null", ""),
    ("null", "pw"),
    ("twice", "pw"),
    ("static1", "pw"),
    ("a$b", "pw"),
    ("joe*boss", "bp"),
    ("joe*boss", "wrong"),
    ("nobody*boss", "bp"),
    ("bad*boss", "bp"),
    ("joe*near", "np"),
    ("joe*old", "op"),
    ("joe*nobody", "bp"),
];

fn start(under: Under) -> Host {
    let mut host =
        Builder::new(env!("CARGO_BIN_EXE_dovecot")).under(under).without_users().config(CONFIG).prepare();
    let dir = host.dir().display().to_string();
    for (name, text) in FILES {
        std::fs::write(host.dir().join(name), text.replace("@DIR@", &dir)).expect("a file");
    }
    std::fs::create_dir(host.dir().join("db")).expect("the database's directory");
    let made =
        Command::new("sqlite3").arg(host.dir().join("db/users")).arg(TABLE.replace("@DIR@", &dir)).status();
    assert!(made.expect("sqlite3 runs").success());
    for (place, mode) in [("db/users", 0o666), ("db", 0o777)] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(host.dir().join(place), open).expect("the database is for all");
    }
    host.start();
    host
}

/// The answer to a login.
fn login(host: &Host, user: &str, password: &str) -> String {
    let mut client = host.connect("imap");
    let answer = client.imap("a", &format!("LOGIN \"{user}\" \"{password}\""));
    let answer = answer.last().map(String::as_str).unwrap_or_default();
    // Capabilities, and the time of an error.
    let answer = if answer.starts_with("a OK ") { "a OK" } else { answer };
    let answer = answer.split(" [").take(2).collect::<Vec<_>>().join(" [");
    client.line("b LOGOUT");
    while client.read_line().is_some() {}
    format!("{user} {password}: {answer}\n")
}

/// A line of a login or auth process, without what differs from run to run and, where it is a worker's,
/// without saying whose.
fn of_login(line: &str) -> Option<String> {
    let line = line.splitn(3, ' ').nth(2)?;
    let (who, text) = line.split_once(": ")?;
    match who {
        "auth" => Some(without_session(text)),
        "imap-login" => {
            let text = text.split(", rip=").next()?;
            Some(text.split(" attempts in ").next()?.to_owned())
        }
        _ if who.starts_with("auth-worker(") => {
            let (level, rest) = text.split_once(": ")?;
            let (_, rest) = rest.split_once("auth-worker<")?;
            Some(format!("{level}: {}", without_session(rest.split_once(">: ")?.1)))
        }
        _ => None,
    }
}

/// `name(user,ip): text` of `name(user,ip,<session>): text`.
fn without_session(text: &str) -> String {
    match text.split_once(",<").and_then(|(before, rest)| Some((before, rest.split_once(">)")?.1))) {
        Some((before, after)) => format!("{before}){after}"),
        None => text.to_owned(),
    }
}

/// Everything that is asked, and what is said to it.
fn everything(host: &Host) -> Vec<String> {
    let mut all = Vec::new();
    for (user, password) in LOGINS {
        // There is no session for them, which each server says in its own way.
        if !["later", "nobodys"].contains(&user) {
            all.push(login(host, user, password));
        }
        all.push(doveadm(host, &["auth", "test", user, password]));
        // Whom a master user wants to be is not looked up.
        if !user.contains('*') {
            all.push(doveadm(host, &["auth", "lookup", user]));
            all.push(doveadm(host, &["user", user]));
        }
    }
    for words in [
        &["auth", "test", "-x", "rip=10.0.0.1", "far", "pw"][..],
        &["auth", "test", "-M", "boss", "joe", "bp"],
        &["auth", "lookup", "-f", "userdb_home", "joe"],
        &["user", "listed"],
        &["user", "-f", "home", "joe", "listed"],
        &["user", "*"],
        &["user", "j*", "nobody?"],
        &["auth", "cache", "flush", "joe"],
        &["auth", "cache", "flush"],
    ] {
        all.push(doveadm(host, words));
    }
    all
}

fn doveadm(host: &Host, words: &[&str]) -> String {
    let output = host.run("doveadm", words);
    let dir = host.dir().display().to_string();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&dir, "DIR");
    // `doveadm(user)<pid><>: `
    let complaint = |line: &str| match line.split_once(")<") {
        Some((who, rest)) => format!("{who}): {}\n", rest.split_once(": ").map_or("", |(_, text)| text)),
        None => format!("{line}\n"),
    };
    let complaints: String = text(&output.stderr).lines().map(complaint).collect();
    let status = output.status.code().unwrap_or(-1);
    format!("{words:?}: {status}\n{}{complaints}", text(&output.stdout))
}

/// What is said, and all that is logged, in no particular order: several processes write.
fn heard(under: Under) -> (Vec<String>, Vec<String>) {
    let mut host = start(under);
    let said = everything(&host);
    host.stop();
    let dir = host.dir().display().to_string();
    let mut logged: Vec<_> = host.log().replace(&dir, "DIR").lines().filter_map(of_login).collect();
    logged.sort_unstable();
    (said, logged)
}

/// What `all` has and `others` has not, as often as it has it.
fn only<'a>(all: &'a [String], others: &[String]) -> Vec<&'a String> {
    let count = |list: &[String], line: &String| list.iter().filter(|other| *other == line).count();
    let is_only =
        |(at, line): (usize, &'a String)| (count(&all[..=at], line) > count(others, line)).then_some(line);
    all.iter().enumerate().filter_map(is_only).collect()
}

#[test]
fn as_the_original_says() {
    if !nix::unistd::geteuid().is_root() || !needs(&["sqlite3", "dovecot", "doveadm"]) {
        return;
    }
    let [(ours, our_log), (original, original_log)] = [Under::Ours, Under::Dovecot].map(heard);
    assert_eq!(only(&ours, &original), only(&original, &ours), "what is said");
    assert_eq!(only(&our_log, &original_log), only(&original_log, &our_log), "what is logged");
}
