//! What clients and masters are answered.

use std::time::Duration;

use super::bench::{Bench, local, plain};
use crate::client::Kind;
use crate::master::SocketOwner;

const FILE: &str = "auth_mechanisms = plain login\npassdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n\
                    userdb {\n driver = passwd-file\n args = DIR/users\n}\n";
const USERS: &str = "joe:secret:1000:1000::/home/joe::userdb_quota_rule=*:bytes=1M\n\
                     ann:{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=:1001:1001::/home/ann::\n\
                     bob:{BLF-CRYPT}$2y$05$3R2B7ZfQB9KO6uRNtQrlWO7nrzcD5cMUbsgOFCvFBJstL2SMcG.AO:1:1::/b::\n\
                     net:x:1:1::/n::allow_nets=10.0.0.0/8,local nodelay=y\n\
                     off:x:1:1::/n::nologin=y reason=No\n";

async fn check_plain(config: &str, files: &[(&str, &str)], cases: &[(&str, &str, &str, &str)]) {
    let bench = Bench::new(config, files);
    let mut client = bench.client(Kind::Client).await;
    client.greeting().await;
    for (id, (user, password, more, expect)) in (1..).zip(cases) {
        let answer = client.ask(&plain(id, user, password, more)).await;
        // The id goes behind the first word.
        let (word, fields) = expect.split_once('|').unwrap_or((expect, ""));
        let separator = if fields.is_empty() { "" } else { "|" };
        let expect = format!("{word}|{id}{separator}{fields}").replace('|', "\t");
        assert_eq!(answer, expect, "{user} {password} {more}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_greeting_comes_in_the_order_of_2_3() {
    local(async {
        let bench = Bench::new(FILE, &[("users", USERS)]);
        let (lines, cookie) = bench.client(Kind::Login).await.greeting().await;
        let spid = format!("SPID\t{}", std::process::id());
        let expect = ["VERSION\t1\t2", "MECH\tPLAIN\tplaintext", "MECH\tLOGIN\tplaintext", &spid, "CUID\t1"];
        assert_eq!(lines[..5], expect);
        assert_eq!(cookie.len(), 32);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn passwords_of_all_kinds() {
    let cases = [
        ("joe", "secret", "", "OK|user=joe|"),
        ("joe", "wrong", "", "FAIL|user=joe"),
        ("JOE", "secret", "", "OK|user=joe||original_user=JOE"),
        ("ann", "secret", "", "OK|user=ann"),
        ("bob", "secret", "", "OK|user=bob"),
        ("bob", "wrong", "", "FAIL|user=bob"),
        ("nobody", "x", "", "FAIL|user=nobody"),
        ("", "x", "", "FAIL|user=|original_user="),
        ("a b", "x", "", "FAIL|user=a b|original_user=a b"),
        ("net", "x", "\trip=10.1.2.3", "OK|user=net|nodelay=y"),
        ("net", "x", "\trip=192.168.0.1", "FAIL|user=net"),
        ("net", "x", "", "OK|user=net|nodelay=y"),
        ("off", "x", "", "OK|user=off|nologin|reason=No"),
        ("zoe\0joe", "secret", "", "FAIL|user=joe"),
    ];
    local(check_plain(FILE, &[("users", USERS)], &cases)).await;
}

/// All answers are those of 2.3.19 to the same.
#[tokio::test(flavor = "current_thread")]
async fn several_passdbs() {
    let config = "passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/deny\n deny = yes\n}\n\
                  passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/first\n result_success = continue-ok\n}\n\
                  passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/second\n skip = authenticated\n}\n\
                  passdb {\n driver = static\n args = proxy_maybe=y\n skip = unauthenticated\n \
                  result_success = return\n}\n\
                  passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/masters\n master = yes\n \
                  result_success = continue\n}\n\
                  auth_master_user_separator = *\n";
    let files = [
        ("deny", "evil:\n"),
        ("first", "joe:one\nevil:x\nboth:a\n"),
        ("second", "ann:two\nboth:b\n"),
        ("masters", "boss:big\n"),
    ];
    let cases = [
        ("joe", "one", "", "OK|user=joe|proxy_maybe=y"),
        ("ann", "two", "", "OK|user=ann"),
        ("evil", "x", "", "FAIL|user=evil|code=user_disabled"),
        ("both", "b", "", "OK|user=both"),
        ("joe", "two", "", "FAIL|user=joe"),
        ("joe*boss", "big", "", "OK|user=joe|proxy_maybe=y|original_user=boss|auth_user=boss"),
        ("joe*boss", "bad", "", "FAIL|user=boss"),
        ("joe\0boss", "big", "", "OK|user=joe|proxy_maybe=y|original_user=boss|auth_user=boss"),
        ("ann*boss", "big", "", "FAIL|user=ann|code=authz_fail|original_user=boss|auth_user=boss"),
        ("evil*boss", "big", "", "FAIL|user=evil|code=authz_fail|original_user=boss|auth_user=boss"),
        ("*boss", "big", "", "FAIL|user=boss"),
        ("joe*", "one", "", "FAIL|user=|original_user="),
        ("none*boss", "big", "", "FAIL|user=none|code=authz_fail|original_user=boss|auth_user=boss"),
    ];
    local(check_plain(config, &files, &cases)).await;
}

/// All answers are those of 2.3.19 to the same.
#[tokio::test(flavor = "current_thread")]
async fn rules_for_failures_and_fields_for_all() {
    let files = [("first", "joe@x.org:one\nann:a::::::color=red\n"), ("second", "joe@x.org:two\nbob:b\n")];
    let both = |rules: &str| {
        format!(
            "auth_username_translation = %@\n\
             passdb {{\n driver = passwd-file\n args = scheme=PLAIN DIR/first\n {rules}\n}}\n\
             passdb {{\n driver = passwd-file\n args = scheme=PLAIN DIR/second\n}}\n"
        )
    };
    let config = both(
        "default_fields = color=blue size=1\n override_fields = shape=round\n result_failure = return-fail",
    );
    let cases = [
        ("joe%x.org", "one", "", "OK|user=joe@x.org|color=blue|size=1|shape=round|original_user=joe%x.org"),
        ("joe%x.org", "two", "", "FAIL|user=joe@x.org|original_user=joe%x.org"),
        ("ann", "a", "", "OK|user=ann|color=red|size=1|shape=round"),
        ("bob", "b", "", "FAIL|user=bob"),
    ];
    local(check_plain(&config, &files, &cases)).await;
    let cases = [
        ("joe%x.org", "two", "", "OK|user=joe@x.org|original_user=joe%x.org"),
        ("ann", "z", "", "OK|user=ann"),
        ("bob", "z", "", "OK|user=bob"),
    ];
    local(check_plain(&both("result_failure = continue-ok"), &files, &cases)).await;
    // A file that is not there. 2.3 says so the first time only, and then takes it for an empty one.
    let files = [("second", "bob:b\n")];
    let cases = [("bob", "b", "", "OK|user=bob"), ("bob", "z", "", "FAIL|user=bob|code=temp_fail")];
    local(check_plain(&both(""), &files, &cases)).await;
    let cases = [("bob", "b", "", "FAIL|user=bob|code=temp_fail")];
    local(check_plain(&both("result_internalfail = return-fail"), &files, &cases)).await;
}

/// 2.3.19 answers the first lookup as if the file were empty, and so lets `evil` in then.
#[tokio::test(flavor = "current_thread")]
async fn a_deny_file_that_is_missing_lets_nobody_in() {
    let config = "passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/deny\n deny = yes\n}\n\
                  passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/first\n}\n";
    let cases = [
        ("evil", "x", "", "FAIL|user=evil|code=temp_fail"),
        ("joe", "one", "", "FAIL|user=joe|code=temp_fail"),
    ];
    local(check_plain(config, &[("first", "joe:one\nevil:x\n")], &cases)).await;
}

#[tokio::test(flavor = "current_thread")]
async fn exchanges() {
    local(async {
        let bench = Bench::new(FILE, &[("users", USERS)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        for (say, expect) in [
            ("AUTH\t1\tLOGIN\tservice=imap", "CONT\t1\tVXNlcm5hbWU6"),
            ("CONT\t1\tam9l", "CONT\t1\tUGFzc3dvcmQ6"),
            ("CONT\t1\tc2VjcmV0", "OK\t1\tuser=joe\t"),
            ("CONT\t1\tAAAA", "FAIL\t1\treason=Authentication request timed out"),
            ("AUTH\t2\tPLAIN\tservice=imap", "CONT\t2\t"),
            ("CANCEL\t2\nCONT\t2\tAAAA", "FAIL\t2\treason=Authentication request timed out"),
            (
                "AUTH\t3\tPLAIN\tservice=imap\tresp=!!",
                "FAIL\t3\tcode=invalid_base64\treason=Invalid base64 data in initial response",
            ),
            ("AUTH\t4\tPLAIN\tservice=imap\tresp=", "FAIL\t4"),
            ("AUTH\t5\tPLAIN\tservice=imap", "CONT\t5\t"),
            ("CONT\t5\t?", "FAIL\t5\tcode=invalid_base64\treason=Invalid base64 data in continued response"),
            ("AUTH\t6\tPLAIN\tservice=imap\nAUTH\t6\tPLAIN\tservice=imap", "CONT\t6\t"),
        ] {
            assert_eq!(client.ask(say).await, expect, "{say}");
        }
        assert_eq!(client.line().await, "", "a duplicate id ends the connection");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_ends_a_connection() {
    local(async {
        let bench = Bench::new(FILE, &[("users", USERS)]);
        let long = "x".repeat(20_000);
        for bad in ["AUTH\t1\tPLAIN", "AUTH\tx\tPLAIN\tservice=a", "AUTH\t1\tNTLM\tservice=a", "HELLO", &long]
        {
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            client.say(bad).await;
            assert_eq!(client.line().await, "", "{bad}");
        }
        for bad in ["USER\tx\tjoe\tservice=a", "USER\t1\tjoe", "BLAH\t1", &long] {
            let mut master = bench.master(None).await;
            master.say(bad).await;
            assert_eq!(master.line().await, "", "{bad}");
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_mail_process_redeems_a_login_once() {
    local(async {
        let bench = Bench::new(FILE, &[("users", USERS)]);
        let mut login = bench.client(Kind::Login).await;
        let (_, cookie) = login.greeting().await;
        assert_eq!(login.ask(&plain(7, "joe", "secret", "\tsession=s")).await, "OK\t7\tuser=joe\t");
        assert_eq!(login.ask(&plain(8, "joe", "secret", "")).await, "OK\t8\tuser=joe\t");
        let mut master = bench.master(None).await;
        let pid = std::process::id();
        let request = |id: u32, login: u32, cookie: &str, session: u32| {
            format!("REQUEST\t{id}\t{pid}\t{login}\t{cookie}\tsession_pid={session}")
        };
        let wrong = "00".repeat(16);
        assert_eq!(master.ask(&request(1, 7, &wrong, pid)).await, "FAIL\t1");
        assert_eq!(
            master.ask(&request(2, 7, &cookie, pid)).await,
            "USER\t2\tjoe\tquota_rule=*:bytes=1M\tuid=1000\tgid=1000\thome=/home/joe\tauth_mech=PLAIN"
        );
        assert_eq!(master.ask(&request(3, 7, &cookie, pid)).await, "FAIL\t3", "only once");
        assert_eq!(master.ask(&request(4, 8, &cookie, pid + 1)).await, "FAIL\t4", "not who it says");
        assert_eq!(master.ask(&request(5, 9, &cookie, pid)).await, "FAIL\t5", "unknown");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn lookups() {
    local(async {
        let bench = Bench::new(FILE, &[("users", USERS)]);
        let mut master = bench.master(None).await;
        for (say, expect) in [
            (
                "USER\t1\tjoe\tservice=lda",
                "USER\t1\tjoe\tuid=1000\tgid=1000\thome=/home/joe\tquota_rule=*:bytes=1M",
            ),
            ("USER\t2\tnobody\tservice=lda", "NOTFOUND\t2"),
            ("PASS\t3\tjoe\tservice=lda", "PASS\t3\tuser=joe\t"),
            ("PASS\t4\tnobody\tservice=lda", "NOTFOUND\t4"),
            ("CACHE-FLUSH\t5", "OK\t5\t0"),
        ] {
            assert_eq!(master.ask(say).await, expect, "{say}");
        }
        master.say("LIST\t6\tservice=doveadm\tuser=*").await;
        for name in ["joe", "ann", "bob", "net", "off"] {
            assert_eq!(master.line().await, format!("LIST\t6\t{name}"));
        }
        assert_eq!(master.line().await, "DONE\t6\t");
        // A file that changes is read again.
        std::fs::write(bench.path("users"), "new:x:5:5::/new::\n").unwrap();
        tokio::time::sleep(crate::limits::PASSWD_FILE_CHECK).await;
        assert_eq!(master.ask("USER\t7\tnew\tservice=lda").await, "USER\t7\tnew\tuid=5\tgid=5\thome=/new");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn everybody_may_look_up_himself() {
    let own = nix::unistd::getuid().as_raw();
    if own == 0 {
        // Root may look up everybody.
        return;
    }
    local(async {
        let users = format!("me:x:{own}:1::/me::\nyou:x:{}:1::/you::\n", own + 1);
        let bench = Bench::new(FILE, &[("users", &users)]);
        let owner = SocketOwner { mode: 0o666, uid: own + 1, gid: u32::MAX };
        let mut master = bench.master(Some(owner)).await;
        assert!(master.ask("USER\t1\tme\tservice=lda").await.starts_with("USER\t1\tme"));
        assert_eq!(master.ask("USER\t2\tyou\tservice=lda").await, "FAIL\t2");
        assert_eq!(master.ask("PASS\t3\tme\tservice=lda").await, "FAIL\t3");
        assert_eq!(master.ask("LIST\t4\tuser=*").await, "DONE\t4\tfail");
    })
    .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn failures_wait_and_successes_do_not() {
    local(async {
        let config = format!("{FILE}auth_failure_delay = 2 secs\n");
        let bench = Bench::new(&config, &[("users", USERS)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let began = tokio::time::Instant::now();
        client.say(&plain(1, "joe", "wrong", "")).await;
        assert_eq!(client.ask(&plain(2, "joe", "secret", "")).await, "OK\t2\tuser=joe\t");
        assert!(began.elapsed() < Duration::from_secs(1));
        assert_eq!(client.line().await, "FAIL\t1\tuser=joe");
        assert!(began.elapsed() >= Duration::from_secs(2));
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn userdbs_in_a_row() {
    local(async {
        let config = "passdb {\n driver = static\n args = password=x userdb_mail=maildir:~/M\n}\n\
                      userdb {\n driver = prefetch\n result_success = continue-ok\n}\n\
                      userdb {\n driver = static\n args = uid=5 gid=6 home=/h/%n allow_all_users=yes\n}\n";
        let bench = Bench::new(config, &[]);
        let mut master = bench.master(None).await;
        let answer = master.ask("USER\t1\tjoe@x\tservice=lda").await;
        assert_eq!(answer, "USER\t1\tjoe@x\tuid=5\tgid=6\thome=/h/joe");
        let mut login = bench.client(Kind::Login).await;
        let (_, cookie) = login.greeting().await;
        assert_eq!(login.ask(&plain(1, "joe", "x", "")).await, "OK\t1\tuser=joe\t");
        let pid = std::process::id();
        assert_eq!(
            master.ask(&format!("REQUEST\t2\t{pid}\t1\t{cookie}")).await,
            "USER\t2\tjoe\tmail=maildir:~/M\tuid=5\tgid=6\thome=/h/joe\tauth_mech=PLAIN"
        );
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn users_of_the_system() {
    local(async {
        let config = "passdb {\n driver = static\n args = nopassword=y\n}\nuserdb {\n driver = passwd\n}\n";
        let bench = Bench::new(config, &[]);
        let mut master = bench.master(None).await;
        let answer = master.ask("USER\t1\troot\tservice=lda").await;
        assert_eq!(answer, "USER\t1\troot\tsystem_groups_user=root\tuid=0\tgid=0\thome=/root");
        assert_eq!(master.ask("USER\t2\tno-such-user\tservice=lda").await, "NOTFOUND\t2");
    })
    .await;
}
