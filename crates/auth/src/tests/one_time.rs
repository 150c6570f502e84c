//! Passwords that are good for one login, in a database that keeps the next one; and tokens, which the
//! process that has one may use as often as it likes.

use std::process::Command;

use sasl::encoding::{base64, from_base64};

use super::bench::{Bench, local, plain};
use super::workers::SQL;
use crate::client::Kind;

/// RFC 2289 Appendix C: MD5 of "This is a test." with the seed "TeSt", after 0, 1 and 99 rounds.
const AFTER_0: &str = "9e876134d90499dd";
const AFTER_1: &str = "7965e05436f5029f";
const AFTER_99: &str = "50fe1962c4965880";

const QUERIES: &str = "password_query = SELECT password FROM users WHERE name = '%u'\n\
    user_query = SELECT 1 AS uid, 1 AS gid FROM users WHERE name = '%u'\n\
    update_query = UPDATE users SET password = '%w' WHERE name = '%u'\n";

struct Passwords(Bench);

impl Passwords {
    fn sqlite(&self, statements: &str) -> String {
        let done = Command::new("sqlite3").arg(self.0.path("db")).arg(statements).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    fn of(&self, user: &str) -> String {
        self.sqlite(&format!("SELECT password FROM users WHERE name = '{user}'"))
    }
}

fn begin(id: u32, user: &str) -> String {
    format!("AUTH\t{id}\tOTP\tservice=imap\tresp={}", base64(format!("\0{user}").as_bytes()))
}

fn go_on(id: u32, response: &str) -> String {
    format!("CONT\t{id}\t{}", base64(response.as_bytes()))
}

fn challenge(id: u32, answer: &str) -> String {
    let data = answer.strip_prefix(&format!("CONT\t{id}\t")).unwrap_or_else(|| panic!("{answer}"));
    String::from_utf8(from_base64(data.as_bytes()).unwrap()).unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn a_password_is_good_once() {
    if !harness::needs(&["sqlite3"]) {
        return;
    }
    local(async {
        let sql = format!("driver = sqlite\nconnect = DIR/db\n{QUERIES}");
        // What the cache remembers of the last password is forgotten with it.
        let config = format!("auth_mechanisms = otp plain\nauth_cache_size = 1M\n{SQL}");
        let passwords = Passwords(Bench::new(&config, &[("sql", &sql)]));
        let stored = format!("{{OTP}}md5 2 test {AFTER_1}");
        passwords.sqlite(&format!(
            "CREATE TABLE users (name VARCHAR(64), password VARCHAR(200));\
             INSERT INTO users VALUES ('joe', '{stored}'), ('ann', '{stored}'), ('bob', '{{SHA1}}x');"
        ));
        let mut client = passwords.0.client(Kind::Client).await;
        client.greeting().await;

        assert_eq!(challenge(1, &client.ask(&begin(1, "joe")).await), "otp-md5 1 test ext");
        assert_eq!(client.ask(&go_on(1, &format!("hex:{AFTER_1}"))).await, "FAIL\t1\tuser=joe");
        assert_eq!(passwords.of("joe"), stored, "a wrong one changes nothing");

        client.ask(&begin(2, "joe")).await;
        // Who listens on the wire has no time to be faster.
        assert_eq!(client.ask(&begin(3, "joe")).await, "FAIL\t3\tuser=joe");
        assert_eq!(client.ask(&go_on(2, &format!("hex:{AFTER_0}"))).await, "OK\t2\tuser=joe");
        assert_eq!(passwords.of("joe"), format!("{{OTP}}md5 1 test {AFTER_0}"));
        // That was the last one.
        assert_eq!(client.ask(&begin(4, "joe")).await, "FAIL\t4\tuser=joe");

        client.ask(&begin(5, "ann")).await;
        let next = format!("init-word:INCH SEA ANNE LONG AHEM TOUR:md5 99 TeSt:{AFTER_99}");
        assert_eq!(client.ask(&go_on(5, &next)).await, "FAIL\t5\tuser=ann", "words, then digits");
        client.ask(&begin(6, "ann")).await;
        let next = format!("init-hex:{AFTER_0}:md5 99 TeSt:{AFTER_99}");
        assert_eq!(client.ask(&go_on(6, &next)).await, "OK\t6\tuser=ann");
        assert_eq!(passwords.of("ann"), format!("{{OTP}}md5 99 test {AFTER_99}"));
        assert_eq!(challenge(7, &client.ask(&begin(7, "ann")).await), "otp-md5 98 test ext");

        assert_eq!(client.ask(&begin(8, "bob")).await, "FAIL\t8\tuser=bob");
        assert_eq!(client.ask(&begin(9, "nobody")).await, "FAIL\t9\tuser=nobody");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_cannot_be_stored_lets_nobody_in() {
    if !harness::needs(&["sqlite3"]) {
        return;
    }
    local(async {
        let sql = format!(
            "driver = sqlite\nconnect = DIR/db\n{}",
            QUERIES.replace("UPDATE users", "UPDATE elsewhere")
        );
        let passwords = Passwords(Bench::new(&format!("auth_mechanisms = otp\n{SQL}"), &[("sql", &sql)]));
        passwords.sqlite(&format!(
            "CREATE TABLE users (name VARCHAR(64), password VARCHAR(200));\
             INSERT INTO users VALUES ('joe', '{{OTP}}md5 2 test {AFTER_1}');"
        ));
        let mut client = passwords.0.client(Kind::Client).await;
        client.greeting().await;
        client.ask(&begin(1, "joe")).await;
        assert_eq!(client.ask(&go_on(1, &format!("hex:{AFTER_0}"))).await, "FAIL\t1\tuser=joe");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn tokens_are_for_our_own() {
    local(async {
        let config = "passdb {\n driver = static\n args = password=pw\n}\n\
                      userdb {\n driver = static\n args = uid=1 gid=1 home=/h\n}\n";
        let bench = Bench::new(config, &[]);
        let mut login = bench.client(Kind::Login).await;
        let (greeting, cookie) = login.greeting().await;
        assert!(!greeting.iter().any(|line| line.contains("DOVECOT-TOKEN")), "{greeting:?}");
        assert_eq!(login.ask(&plain(1, "joe", "pw", "\tsession=sess")).await, "OK\t1\tuser=joe");
        let pid = std::process::id();
        let mut master = bench.master(None).await;
        let request = format!("REQUEST\t1\t{pid}\t1\t{cookie}\tsession_pid={pid}\trequest_auth_token");
        let answer = master.ask(&request).await;
        let token = answer.strip_prefix("USER\t1\tjoe\tuid=1\tgid=1\thome=/h\tauth_mech=PLAIN\tauth_token=");
        let token = token.unwrap_or_else(|| panic!("{answer}"));
        let mut client = bench.client(Kind::Token).await;
        let (greeting, _) = client.greeting().await;
        let offered: Vec<_> = greeting.iter().filter(|line| line.starts_with("MECH")).collect();
        assert_eq!(offered, ["MECH\tDOVECOT-TOKEN\tprivate"]);
        let wrong = token.replace(['0', '1', '2'], "f");
        for (id, (message, expect)) in (1..).zip([
            (format!("imap\0{pid}\0joe\0sess\0{token}"), "OK\tuser=joe\t"),
            (format!("imap\0{pid}\0joe\0sess\0{token}"), "OK\tuser=joe\t"),
            (format!("imap\0{pid}\0jane\0sess\0{token}"), "FAIL\tuser=jane"),
            (format!("imap\0{pid}\0joe\0other\0{token}"), "FAIL\tuser=joe"),
            (format!("pop3\0{pid}\0joe\0sess\0{token}"), "FAIL\tuser=joe"),
            (format!("imap\0{pid}\0joe\0sess\0{wrong}"), "FAIL\tuser=joe"),
            (format!("imap\0{pid}\0joe\0sess\0"), "FAIL\tuser=joe"),
        ]) {
            let message = base64(message.as_bytes());
            let answer =
                client.ask(&format!("AUTH\t{id}\tDOVECOT-TOKEN\tservice=urlauth\tresp={message}")).await;
            assert_eq!(answer.replacen(&format!("\t{id}"), "", 1), expect, "{id}");
        }
    })
    .await;
}
