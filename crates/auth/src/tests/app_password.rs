//! Application passwords beside the user's own one.

use base::Logger;
use credentials::app_password::{File, Wish};
use index::fs::Fs;

use super::bench::{Bench, local, plain};
use crate::client::Kind;

const CONFIG: &str = "auth_mechanisms = plain cram-md5\n\
    passdb {\n driver = app-password\n args = DIR/app/%d/%n\n}\n\
    passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n\
    userdb {\n driver = static\n args = uid=1 gid=1 home=/h\n}\n";

fn add(file: &File, name: &str, scopes: &[&str], expires_s: Option<u64>) -> String {
    let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
    let wish = Wish { name: name.to_owned(), scopes, expires_s };
    let password = file.add(&wish, 1, &mut crate::random::fill, &Logger::new("test: ")).unwrap();
    password.expose_lossy().to_string()
}

#[tokio::test(flavor = "current_thread")]
async fn several_passwords_of_one_user() {
    local(async {
        let users = "joe@example.org:own\nann@example.org:own\n";
        let bench = Bench::new(CONFIG, &[("users", users)]);
        let file = File::new(Fs::default(), bench.path("app/example.org/joe"));
        let all = add(&file, "all", &[], None);
        let mail = add(&file, "my phone", &["imap", "smtp"], None);
        let sieve = add(&file, "scripts", &["sieve"], None);
        let old = add(&file, "old", &[], Some(2));
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let mut id = 0;
        for (user, password, service, expect) in [
            ("joe@example.org", "own", "imap", "OK"),
            ("joe@example.org", &all, "imap", "OK all"),
            ("joe@example.org", &all, "doveadm", "OK all"),
            ("joe@example.org", &mail, "imap", "OK my phone"),
            ("joe@example.org", &mail, "smtp", "OK my phone"),
            ("joe@example.org", &mail, "pop3", "FAIL"),
            ("joe@example.org", &sieve, "sieve", "OK scripts"),
            ("joe@example.org", &sieve, "imap", "FAIL"),
            ("joe@example.org", &old, "imap", "FAIL"),
            ("joe@example.org", "", "imap", "FAIL"),
            ("ann@example.org", &all, "imap", "FAIL"),
            ("ann@example.org", "own", "imap", "OK"),
            ("../joe@example.org", &all, "imap", "FAIL"),
        ] {
            id += 1;
            let say = plain(id, user, password, "").replace("service=imap", &format!("service={service}"));
            let answer = client.ask(&say).await;
            let mut words = answer.split('\t');
            let word = words.next().unwrap();
            let name = words.find_map(|word| word.strip_prefix("app_password="));
            let shown = name.map_or(word.to_owned(), |name| format!("{word} {name}"));
            assert_eq!(shown, expect, "{user} {service}: {answer}");
        }
        let used = |name: &str| {
            let all = file.list().unwrap().unwrap();
            all.into_iter().find(|known| known.name == name).unwrap().used_s
        };
        assert!(used("my phone").is_some() && used("old").is_none());
        // What is revoked is so at once: nothing is cached.
        file.remove("all", &Logger::new("test: ")).unwrap();
        let answer = client.ask(&plain(90, "joe@example.org", &all, "")).await;
        assert!(answer.starts_with("FAIL\t90"), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_damaged_file_lets_nobody_in_by_it() {
    local(async {
        let bench = Bench::new(CONFIG, &[("users", "joe:own\n")]);
        std::fs::create_dir_all(bench.path("app")).unwrap();
        std::fs::write(bench.path("app/joe"), "joe:x:y\n").unwrap();
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        assert_eq!(client.ask(&plain(1, "joe", "own", "")).await, "OK\t1\tuser=joe");
        assert_eq!(client.ask(&plain(2, "joe", "bad", "")).await, "FAIL\t2\tuser=joe\tcode=temp_fail");
    })
    .await;
}

#[test]
fn arguments_without_a_user_are_refused() {
    let config = "passdb {\n driver = app-password\n args = /one/file\n}\n";
    let snapshot = settings::Snapshot::from_text(config).unwrap();
    let parts = crate::life::Parts::read(&snapshot, Logger::new("test: "));
    let parts = parts.map_err(|error| error.to_string()).unwrap();
    assert!(parts.services(false).is_err());
}
