//! PAM behind workers, with libpam-wrapper's own services and users. The wrapper works by preloading,
//! so the test runs itself again with it.

use std::process::Command;
use std::time::Duration;

use super::bench::{Bench, local, plain};
use super::databases::check_strangers;
use crate::client::Kind;
use crate::workers::Timeouts;

const WRAPPER: &str = "libpam_wrapper.so";
const INNER: &str = "PAM_WRAPPER_SERVICE_DIR";

#[test]
fn pam_behind_workers() {
    let directories = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let Some(found) = directories.iter().find(|dir| std::path::Path::new(dir).join(WRAPPER).exists()) else {
        assert!(std::env::var("REQUIRE").as_deref() != Ok("all"), "libpam-wrapper is not installed");
        return eprintln!("left out: libpam-wrapper is not installed");
    };
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    std::fs::write(&users, "joe:secret:dovecot\nj\u{fc}rgen:p%w:dovecot\n").unwrap();
    let matrix = format!("{found}/pam_wrapper/pam_matrix.so passdb={}", users.display());
    let service = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    service(
        "dovecot",
        &format!(
            "auth required {matrix}\naccount required {matrix}\n\
        session required {matrix}\npassword required {matrix}\n"
        ),
    );
    service(
        "imap",
        "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
    );
    service("pop3", "auth required pam_deny.so\naccount required pam_deny.so\n");
    service("slow", "auth required pam_exec.so quiet /bin/sleep 60\naccount required pam_permit.so\n");
    service("late", "auth required pam_permit.so\naccount required pam_deny.so\n");
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::pam::with_the_wrapper", "--nocapture"])
        .env("LD_PRELOAD", WRAPPER)
        .env("PAM_WRAPPER", "1")
        .env(INNER, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&inner.stdout);
    let errors = String::from_utf8_lossy(&inner.stderr);
    assert!(inner.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

#[tokio::test(flavor = "current_thread")]
async fn with_the_wrapper() {
    // Started by `pam_behind_workers`, which prepares for it.
    if std::env::var_os(INNER).is_none() {
        return;
    }
    local(async {
        let userdb = "userdb {\n driver = static\n args = uid=1 gid=1 home=/h\n}\nauth_username_chars =\n";
        let passdb = |args: &str| format!("passdb {{\n driver = pam\n args = {args}\n}}\n{userdb}");
        for (args, cases) in [
            (
                "setcred=yes session=yes dovecot",
                &[
                    ("joe", "secret", "", "OK\tuser=joe\t"),
                    ("joe", "wrong", "", "FAIL\tuser=joe"),
                    ("joe", "", "", "FAIL\tuser=joe"),
                    ("nobody", "x", "", "FAIL\tuser=nobody"),
                    ("j\u{fc}rgen", "p%w", "", "OK\tuser=j\u{fc}rgen\t"),
                    ("joe'; --", "x", "", "FAIL\tuser=joe'; --"),
                ][..],
            ),
            (
                "max_requests=1 failure_show_msg=yes",
                &[
                    ("joe", "wrong", "", "FAIL\tuser=joe\treason=Password: "),
                    ("joe", "secret", "", "OK\tuser=joe\t"),
                ],
            ),
            (
                "%Ls",
                &[
                    ("joe", "any", "\tservice=imap", "OK\tuser=joe\t"),
                    ("joe", "any", "\tservice=pop3", "FAIL\tuser=joe"),
                    ("joe", "any", "\tservice=../etc/x", "FAIL\tuser=joe\tcode=temp_fail"),
                ],
            ),
            ("late", &[("joe", "any", "", "FAIL\tuser=joe")]),
        ] {
            let bench = Bench::new(&passdb(args), &[]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            for (id, (user, password, more, expect)) in (1..).zip(cases) {
                let answer = client.ask(&plain(id, user, password, more)).await;
                assert_eq!(answer.replacen(&format!("\t{id}"), "", 1), *expect, "{args}: {user}");
            }
            if args.ends_with(" dovecot") {
                check_strangers(&mut client, &["", "secret", "' OR '1'='1"]).await;
                assert!(client.login("joe", "secret").await);
            }
            // Who only asks for the user gets no answer from PAM.
            let mut master = bench.master(None).await;
            let answer = master.ask("PASS\t1\tjoe\tservice=lda").await;
            assert_eq!(answer, "FAIL\t1\treason=Configured passdbs don't support credentials lookups");
        }
        // A module that takes its time holds up nobody else.
        let limit = Timeouts { request: Duration::from_secs(2), queue: Duration::from_secs(20) };
        let config = format!(
            "passdb {{\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}}\n{}",
            passdb("slow")
        );
        let bench = Bench::with_timeouts(&config, &[("users", "local:pw\n")], limit);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        client.say(&plain(1, "joe", "secret", "")).await;
        assert!(client.ask(&plain(2, "local", "pw", "")).await.starts_with("OK\t2\tuser=local"));
        assert_eq!(client.line().await, "FAIL\t1\tuser=joe\tcode=temp_fail");
    })
    .await;
}
