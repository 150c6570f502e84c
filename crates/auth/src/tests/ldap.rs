//! A real slapd behind workers, started by the test, and what it does not do: garbage and silence.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Slapd, SlapdTls};

use super::bench::{Bench, Dialogue, local, plain};
use crate::client::Kind;
use crate::workers::Timeouts;

const LDAP: &str = "auth_username_chars =\nauth_username_format =\n\
    passdb {\n driver = ldap\n args = DIR/ldap\n}\nuserdb {\n driver = ldap\n args = DIR/ldap\n}\n";

/// A group of people, one of them with a hard name, one twice, and one who points to another.
const PEOPLE: &str = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: x\n\n\
    dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n\
    dn: uid=joe,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\n\
    uid: joe\ncn: Joe\nsn: Joe\nuidNumber: 1000\ngidNumber: 1000\nhomeDirectory: /home/joe\n\
    mail: joe@example.org\nuserPassword: secret\nmanager: uid=boss,ou=people,dc=example,dc=org\n\n\
    dn: uid=boss,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\n\
    uid: boss\ncn: Boss\nsn: Boss\nuidNumber: 1001\ngidNumber: 1001\nhomeDirectory: /home/boss\n\
    roomNumber: 7\nuserPassword: {SSHA}invalid\n\n\
    dn: cn=Hard,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\n\
    uid: a*)(uid=*\nuid:: asO8cmdlbg==\ncn: Hard\nsn: Hard\nuidNumber: 1002\ngidNumber: 1002\nhomeDirectory: /h\n\
    userPassword: p*w\n\n\
    dn: cn=Dup1,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\n\
    uid: dup\ncn: Dup1\nsn: D\nuidNumber: 1\ngidNumber: 1\nhomeDirectory: /d\nuserPassword: x\n\n\
    dn: cn=Dup2,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\n\
    uid: dup\ncn: Dup2\nsn: D\nuidNumber: 1\ngidNumber: 1\nhomeDirectory: /d\nuserPassword: x\n\n";

/// Everything but how to connect and to find passwords.
const REST: &str = "base = ou=people,dc=example,dc=org\ndn = cn=admin,dc=example,dc=org\ndnpass = adminpw\n\
    user_attrs = homeDirectory=home,uidNumber=uid,gidNumber=gid,@m=manager,\\\n\
    roomNumber@m=room=r%$,=mail=maildir:/m/%{ldap:mail:none}\niterate_attrs = uid=user\n";

fn bench(connect: &str, more: &str) -> Bench {
    Bench::new(LDAP, &[("ldap", &format!("{connect}\n{REST}{more}default_pass_scheme = PLAIN\n"))])
}

async fn client(bench: &Bench) -> Dialogue {
    let mut client = bench.client(Kind::Client).await;
    client.greeting().await;
    client
}

/// The same whoever verifies the password.
async fn check_logins(bench: &Bench) {
    let mut client = client(bench).await;
    let long = "x".repeat(4000);
    for (id, (user, password, expect)) in (1..).zip([
        ("joe", "secret", "OK"),
        ("joe", "wrong", "FAIL\tuser=joe"),
        ("joe", "", "FAIL\tuser=joe"),
        ("joe", "secret", "OK"),
        ("nobody", "x", "FAIL\tuser=nobody"),
        ("*", "secret", "FAIL\tuser=*"),
        ("joe)(uid=*", "secret", "FAIL\tuser=joe)(uid=*"),
        ("a*)(uid=*", "p*w", "OK"),
        ("j\u{fc}rgen", "p*w", "OK"),
        ("%u", "x", "FAIL\tuser=%u"),
        (long.as_str(), "x", "FAIL"),
        ("boss", "invalid", "FAIL\tuser=boss"),
        ("dup", "x", "FAIL\tuser=dup\tcode=temp_fail"),
    ]) {
        let answer = client.ask(&plain(id, user, password, "")).await;
        let answer = answer.replacen(&format!("\t{id}"), "", 1);
        let fits = if expect.contains('\t') { answer == expect } else { answer.starts_with(expect) };
        assert!(fits, "{user}: {answer}");
    }
}

async fn check_lookups(bench: &Bench) {
    let mut master = bench.master(None).await;
    for (say, expect) in [
        (
            "USER\t1\tjoe\tservice=lda",
            "USER\t1\tjoe\thome=/home/joe\tuid=1000\tgid=1000\troom=r7\tmail=maildir:/m/joe@example.org",
        ),
        (
            "USER\t2\tboss\tservice=lda",
            "USER\t2\tboss\thome=/home/boss\tuid=1001\tgid=1001\tmail=maildir:/m/none",
        ),
        ("USER\t3\tnobody\tservice=lda", "NOTFOUND\t3"),
        ("USER\t4\tdup\tservice=lda", "FAIL\t4"),
    ] {
        assert_eq!(master.ask(say).await, expect, "{say}");
    }
    master.say("LIST\t5\tuser=*").await;
    let mut names = Vec::new();
    loop {
        let line = master.line().await;
        match line.strip_prefix("LIST\t5\t") {
            Some(name) => names.push(name.to_owned()),
            None => break assert_eq!(line, "DONE\t5\t"),
        }
    }
    names.sort();
    assert_eq!(names, ["a*)(uid=*", "boss", "dup", "dup", "joe", "j\u{fc}rgen"]);
}

#[tokio::test(flavor = "current_thread")]
async fn slapd_behind_workers() {
    local(async {
        let dir = tempfile::tempdir().unwrap();
        harness::cert::write(dir.path(), &["localhost", "127.0.0.1"]).unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let tls = SlapdTls { cert: &cert, key: &key };
        let Some(mut server) = Slapd::start(dir.path(), Some(tls), PEOPLE) else { return };
        // The first server is not there.
        let plain_uris = format!("hosts = 127.0.0.1:1 127.0.0.1:{}", server.port());
        let by_password = bench(&plain_uris, "");
        check_logins(&by_password).await;
        check_lookups(&by_password).await;
        let by_bind = bench(&format!("uris = {}", server.socket_uri()), "auth_bind = yes\n");
        check_logins(&by_bind).await;
        check_lookups(&by_bind).await;
        check_template(&server).await;
        check_tls(&server, &cert).await;
        check_restart(&by_bind, &mut server).await;
    })
    .await;
}

/// `auth_bind_userdn`: no search at all.
async fn check_template(server: &Slapd) {
    let more = "auth_bind = yes\nauth_bind_userdn = uid=%u,ou=people,dc=example,dc=org\n";
    let bench = bench(&format!("uris = ldap://127.0.0.1:{}", server.port()), more);
    let mut client = client(&bench).await;
    assert_eq!(client.ask(&plain(1, "joe", "secret", "")).await, "OK\t1\tuser=joe");
    assert_eq!(client.ask(&plain(2, "joe", "wrong", "")).await, "FAIL\t2\tuser=joe");
    let hostile = "joe,ou=people,dc=example,dc=org";
    assert_eq!(client.ask(&plain(3, hostile, "secret", "")).await, format!("FAIL\t3\tuser={hostile}"));
    assert_eq!(client.ask(&plain(4, "joe", "", "")).await, "FAIL\t4\tuser=joe", "no password proves nothing");
}

async fn check_tls(server: &Slapd, cert: &Path) {
    let trusted = format!("tls_ca_cert_file = {}\n", cert.display());
    let (start, at_once) = (server.port(), server.tls_port());
    for (connect, more, works) in [
        (format!("hosts = localhost:{start}"), format!("tls = yes\n{trusted}"), true),
        (format!("uris = ldaps://localhost:{at_once}"), trusted.clone(), true),
        (format!("uris = ldaps://localhost:{at_once}"), String::new(), false),
        (format!("uris = ldaps://localhost:{at_once}"), "tls_require_cert = never\n".into(), true),
    ] {
        let bench = bench(&connect, &more);
        let expect = if works { "OK\t1\tuser=joe\t" } else { "FAIL\t1\tuser=joe\tcode=temp_fail" };
        assert_eq!(
            client(&bench).await.ask(&plain(1, "joe", "secret", "")).await,
            expect,
            "{connect} {more}"
        );
    }
}

async fn check_restart(bench: &Bench, server: &mut Slapd) {
    server.kill();
    let mut client = client(bench).await;
    let gone = client.ask(&plain(1, "joe", "secret", "")).await;
    assert_eq!(gone, "FAIL\t1\tuser=joe\tcode=temp_fail");
    server.resume();
    let began = Instant::now();
    for id in 2.. {
        if client.ask(&plain(id, "joe", "secret", "")).await == format!("OK\t{id}\tuser=joe\t") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never comes back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Servers that say nothing or nonsense: others log in meanwhile, and nobody is told that his
/// password is wrong.
#[tokio::test(flavor = "current_thread")]
async fn a_mad_directory_holds_up_nobody_else() {
    local(async {
        for garbage in [
            &b""[..],
            b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01",
            b"HTTP/1.1 400 Bad\r\n\r\n",
            &[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02],
            b"\x30\x05\x02\x01\x01\x61\x00",
        ] {
            let mad = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = mad.local_addr().unwrap().port();
            std::thread::spawn(move || {
                let mut held = Vec::new();
                while let Ok((mut stream, _)) = mad.accept() {
                    // Whoever is not interested has gone.
                    let _ = stream.write_all(garbage);
                    held.push(stream);
                }
            });
            let config = "auth_worker_max_count = 4\n\
                passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n\
                passdb {\n driver = ldap\n args = DIR/ldap\n}\nuserdb {\n driver = passwd\n}\n";
            let ldap = format!("hosts = 127.0.0.1:{port}\n{REST}");
            let timeouts = Timeouts { request: Duration::from_secs(2), queue: Duration::from_secs(20) };
            let files = [("users", "joe:secret\n"), ("ldap", ldap.as_str())];
            let bench = Bench::with_timeouts(config, &files, timeouts);
            let mut client = client(&bench).await;
            for id in 1..=4 {
                client.say(&plain(id, "stuck", "x", "")).await;
            }
            client.say(&plain(5, "joe", "secret", "")).await;
            let mut answers = Vec::new();
            for _ in 1..=5 {
                answers.push(client.line().await);
            }
            assert!(answers.contains(&"OK\t5\tuser=joe".to_owned()), "{answers:?}");
            let failed = answers.iter().filter(|line| line.ends_with("\tuser=stuck\tcode=temp_fail"));
            assert_eq!(failed.count(), 4, "{answers:?}");
        }
    })
    .await;
}
