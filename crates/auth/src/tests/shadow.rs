//! The shadow and user databases of the system, which are others where the test runs itself again: in a
//! namespace of its own.

use std::process::Command;

use super::bench::{Bench, local, plain};
use super::databases::{REST, check_strangers};
use crate::client::Kind;

const INNER: &str = "CULVER_TEST_SHADOW";

#[test]
fn shadow_behind_workers() {
    if !harness::needs(&["unshare"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shadow");
    // printf secret | openssl passwd -6 -salt abcd -stdin
    let hash =
        "$6$abcd$2xnokga/nDtRjwwaEJ4P2es2v4q8kfckDGncd4naCsE699Y0JnDNWStYgMPa.X.VcIxFM3oLKIRKkAYD33oqG.";
    let users =
        format!("joe:{hash}:1:0:99999:7:::\nlocked:!{hash}:1::::::\nnever:*:1::::::\nnone::1::::::\n");
    std::fs::write(&file, users).unwrap();
    // The same users where passwords stand in the user database itself.
    let accounts = dir.path().join("passwd");
    let line = |(name, password)| format!("{name}:{password}:1000:1000::/home/{name}:/bin/sh\n");
    let lines = [("root", "x"), ("joe", hash), ("locked", &format!("!{hash}")), ("never", "*"), ("none", "")]
        .map(line);
    std::fs::write(&accounts, lines.concat()).unwrap();
    let script = format!(
        "mount --bind {} /etc/shadow && mount --bind {} /etc/passwd && exec {} --exact tests::shadow::in_its_namespace --nocapture",
        file.display(),
        accounts.display(),
        std::env::current_exe().unwrap().display()
    );
    let is_root = nix::unistd::geteuid().is_root();
    let namespace = if is_root { "-m" } else { "-rm" };
    if !Command::new("unshare").args([namespace, "true"]).output().unwrap().status.success() {
        assert!(std::env::var("REQUIRE").as_deref() != Ok("all"), "no namespaces here");
        return eprintln!("left out: no namespaces here");
    }
    let inner =
        Command::new("unshare").args([namespace, "sh", "-c", &script]).env(INNER, "1").output().unwrap();
    let text = String::from_utf8_lossy(&inner.stdout);
    let errors = String::from_utf8_lossy(&inner.stderr);
    assert!(inner.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

#[tokio::test(flavor = "current_thread")]
async fn in_its_namespace() {
    // Started by `shadow_behind_workers`, which prepares for it.
    if std::env::var_os(INNER).is_none() {
        return;
    }
    local(async {
        for (driver, args) in
            [("shadow", ""), ("shadow", "blocking=no"), ("passwd", ""), ("passwd", "blocking=no")]
        {
            let passdb = format!("passdb {{\n driver = {driver}\n args = {args}\n}}\n");
            let bench = Bench::new(&format!("{REST}{passdb}"), &[]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            for (id, (user, password, expect)) in (1..).zip([
                ("joe", "secret", "OK\tuser=joe\t"),
                ("joe", "wrong", "FAIL\tuser=joe"),
                ("joe", "", "FAIL\tuser=joe"),
                ("locked", "secret", "FAIL\tuser=locked\tcode=user_disabled"),
                ("never", "*", "FAIL\tuser=never\tcode=user_disabled"),
                ("none", "", "FAIL\tuser=none\tcode=user_disabled"),
                ("stranger", "x", "FAIL\tuser=stranger"),
                ("joe:x", "secret", "FAIL\tuser=joe:x"),
            ]) {
                let answer = client.ask(&plain(id, user, password, "")).await;
                assert_eq!(answer.replacen(&format!("\t{id}"), "", 1), expect, "{driver}: {user}");
            }
            check_strangers(&mut client, &["", "secret", "' OR '1'='1"]).await;
            assert!(client.login("joe", "secret").await);
        }
    })
    .await;
}
