//! A small OAuth 2.0 server behind workers: introspection (RFC 7662) in all its modes, token
//! information, password grants, and servers that answer something else.

use std::io::Write;
use std::net::TcpListener;

use harness::OAuth2;
use sasl::encoding::base64;

use super::bench::{Bench, local, plain};
use crate::client::Kind;

const PASSDB: &str = "auth_username_chars =\npassdb {\n driver = oauth2\n args = DIR/oauth2\n}\n\
    userdb {\n driver = static\n args = uid=1 gid=1 home=/h\n}\n";

async fn check(config: &str, cases: &[(&str, &str)]) {
    let bench = Bench::new(PASSDB, &[("oauth2", config)]);
    let mut client = bench.client(Kind::Client).await;
    client.greeting().await;
    for (id, (token, expect)) in (1..).zip(cases) {
        let answer = client.ask(&plain(id, "joe@example.org", token, "")).await;
        assert_eq!(answer.replacen(&format!("\t{id}"), "", 1), *expect, "{config}: {token}");
    }
    let mut master = bench.master(None).await;
    let answer = master.ask("PASS\t1\tjoe\tservice=lda").await;
    assert_eq!(answer, "FAIL\t1\treason=Configured passdbs don't support credentials lookups");
}

const FAIL: &str = "FAIL\tuser=joe@example.org";
const DISABLED: &str = "FAIL\tuser=joe@example.org\tcode=user_disabled";
const LATER: &str = "FAIL\tuser=joe@example.org\tcode=temp_fail";

#[tokio::test(flavor = "current_thread")]
async fn introspection() {
    local(async {
        let server = OAuth2::start();
        for (mode, request, authorization, body) in [
            ("auth", "GET /introspect?token= HTTP/1.1", "Bearer good", ""),
            ("get", "GET /introspect?token=good&client_id=me&client_secret=s%26 HTTP/1.1", "", ""),
            ("post", "POST /introspect?token= HTTP/1.1", "", "token=good&client_id=me&client_secret=s%26"),
        ] {
            let config = format!(
                "introspection_url = {}\nintrospection_mode = {mode}\nscope = mail admin\nclient_id = me\n\
                 client_secret = s&\npass_attrs = number=%{{oauth2:id}} none=%{{oauth2:nothing:x}}\n",
                server.url("/introspect?token=")
            );
            check(
                &config,
                &[
                    ("good", "OK\tuser=joe@example.org\tnumber=7\tnone=x\ttoken=good"),
                    ("inactive", FAIL),
                    ("scopeless", DISABLED),
                    ("other", FAIL),
                    ("nameless", LATER),
                    ("broken", LATER),
                    ("failing", LATER),
                    ("nobody", FAIL),
                    ("", FAIL),
                    ("go od", FAIL),
                ],
            )
            .await;
            assert_eq!(server.seen()[0], (request.to_owned(), authorization.to_owned(), body.to_owned()));
        }
    })
    .await;
}

/// RFC 7628 §3.2.2: a client whose token is refused learns where it gets another one.
#[tokio::test(flavor = "current_thread")]
async fn where_tokens_come_from() {
    local(async {
        let server = OAuth2::start();
        let config = format!(
            "introspection_url = {}\nopenid_configuration_url = https://id.example/conf\n",
            server.url("/introspect?token=")
        );
        let settings = format!("auth_mechanisms = oauthbearer\n{PASSDB}");
        let bench = Bench::new(&settings, &[("oauth2", &config)]);
        let mut client = bench.client(Kind::Client).await;
        client.greeting().await;
        let ask = |id: u32, token: &str| {
            let first = format!("n,a=joe@example.org,\u{1}auth=Bearer {token}\u{1}\u{1}");
            format!("AUTH\t{id}\tOAUTHBEARER\tservice=imap\tresp={}", base64(first.as_bytes()))
        };
        let told = r#"{"status":"invalid_token","openid-configuration":"https://id.example/conf"}"#;
        assert_eq!(client.ask(&ask(1, "nobody")).await, format!("CONT\t1\t{}", base64(told.as_bytes())));
        assert_eq!(client.ask(&ask(2, "good")).await, "OK\t2\tuser=joe@example.org\ttoken=good");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn token_information_and_grants() {
    local(async {
        let server = OAuth2::start();
        let info = format!("tokeninfo_url = {}\n", server.url("/info?t="));
        check(
            &info,
            &[
                ("good", "OK\tuser=joe@example.org\ttoken=good"),
                ("nobody", FAIL),
                ("inactive", FAIL),
                ("failing", LATER),
            ],
        )
        .await;
        let grant = format!(
            "grant_url = {}\nclient_id = me\nuse_grant_password = yes\nintrospection_url = {}\n\
             introspection_mode = post\n",
            server.url("/token"),
            server.url("/introspect")
        );
        check(&grant, &[("s e", "OK\tuser=joe@example.org\ttoken=good"), ("wrong", FAIL)]).await;
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn introspection_over_https() {
    local(async {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        harness::cert::write(other.path(), &["localhost"]).unwrap();
        let server = OAuth2::start_with_tls(dir.path());
        let introspection = |authority: &std::path::Path, more: &str| {
            format!(
                "introspection_url = {}\nintrospection_mode = post\ntls_ca_cert_file = {}/cert.pem\n{more}",
                server.url("/introspect"),
                authority.display()
            )
        };
        let good = ("good", "OK\tuser=joe@example.org\ttoken=good");
        check(&introspection(dir.path(), ""), &[good, ("nobody", FAIL)]).await;
        check(&introspection(other.path(), "tls_allow_invalid_cert = yes\n"), &[good]).await;
        server.seen();
        // No token for somebody else.
        check(&introspection(other.path(), ""), &[("good", LATER)]).await;
        assert_eq!(server.seen(), []);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn servers_that_are_not_there_or_mad() {
    local(async {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        check(&format!("introspection_url = http://127.0.0.1:{gone}/\n"), &[("good", LATER)]).await;
        let mad = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = mad.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for (stream, say) in
                mad.incoming().zip(["220 smtp\r\n", "HTTP/1.1 200 OK\r\n\r\n[1,2", ""].iter().cycle())
            {
                // Whoever has heard enough has gone.
                let _ = stream.and_then(|mut stream| stream.write_all(say.as_bytes()));
            }
        });
        let config = format!("introspection_url = http://127.0.0.1:{port}/\n");
        check(&config, &[("good", LATER), ("good", LATER), ("good", LATER)]).await;
        // A plain server is no TLS server.
        check(&format!("introspection_url = https://127.0.0.1:{port}/\n"), &[("good", LATER)]).await;
        // One that says nothing is given up.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let config = format!("introspection_url = http://127.0.0.1:{port}/\ntimeout_msecs = 200\n");
        check(&config, &[("good", LATER)]).await;
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn local_validation() {
    local(async {
        let config = "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix=DIR/keys/\n\
            username_attribute = sub\n";
        // Signed with the key below, valid until the year 2100.
        let head = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";
        let claims = sasl::encoding::base64(br#"{"sub":"joe@example.org","exp":4102444800}"#);
        let claims = claims.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let signed = format!("{head}.{claims}");
        let check = |token: String, expect: &'static str| async move {
            let bench = Bench::new(PASSDB, &[("oauth2", config)]);
            std::fs::create_dir_all(bench.path("keys/default/HS256")).unwrap();
            std::fs::write(bench.path("keys/default/HS256/default"), "c2VjcmV0\n").unwrap();
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            let answer = client.ask(&plain(1, "joe@example.org", &token, "")).await;
            assert_eq!(answer.split("\ttoken=").next().unwrap(), expect);
        };
        check(format!("{signed}.AAAA"), "FAIL\t1\tuser=joe@example.org").await;
        check("good".into(), "FAIL\t1\tuser=joe@example.org").await;
        check(format!("{signed}.{}", hs256(&signed)), "OK\t1\tuser=joe@example.org").await;
    })
    .await;
}

/// What `openssl dgst -sha256 -hmac secret` says, or nothing where it is not installed.
fn hs256(text: &str) -> String {
    let key = ["dgst", "-sha256", "-hmac", "secret", "-binary"];
    let mut command = std::process::Command::new("openssl");
    let mut child = command
        .args(key)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("openssl runs");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let bytes = child.wait_with_output().unwrap().stdout;
    let text = sasl::encoding::base64(&bytes);
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}
