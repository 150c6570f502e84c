//! Each mechanism over the client protocol. Unless it says otherwise, what is expected is what 2.3.19
//! answers to the same.

use harness::sasl_client::{DigestUser, Scram, apop, cram_md5, digest_md5};
use sasl::encoding::{base64, from_base64};

use super::bench::{Bench, Dialogue, local};
use crate::client::Kind;

const CONFIG: &str = "auth_mechanisms = plain cram-md5 digest-md5 apop scram-sha-1 scram-sha-256 \
                      scram-sha-256-plus anonymous external oauthbearer xoauth2\n\
                      auth_ssl_username_from_cert = yes\nauth_realms = a.example b.example\n\
                      passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n\
                      userdb {\n driver = passwd-file\n args = DIR/users\n}\n";
const USERS: &str = "joe:secret:1:1::/j::\n\
                     joe@a.example:secret:1:1::/j::\n\
                     bob:{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=:1:1::/b::\n\
                     cram:{CRAM-MD5}cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56:1:1::/c::\n\
                     scram:{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,\
                     wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=:1:1::/c::\n\
                     tok:tok.en:1:1::/t::\n";

/// A client of the auth process.
struct Talk {
    dialogue: Dialogue,
    greeting: Vec<String>,
    id: u32,
}

impl Talk {
    async fn new(bench: &Bench, kind: Kind) -> Self {
        let mut dialogue = bench.client(kind).await;
        let (greeting, _) = dialogue.greeting().await;
        Self { dialogue, greeting, id: 0 }
    }

    /// Begins with an initial response.
    async fn begin(&mut self, mechanism: &str, more: &str, initial: Option<&[u8]>) -> String {
        self.id += 1;
        let initial = initial.map_or(String::new(), |data| format!("\tresp={}", base64(data)));
        self.ask(&format!("AUTH\t{}\t{mechanism}\tservice=imap{more}{initial}", self.id)).await
    }

    async fn go_on(&mut self, data: &[u8]) -> String {
        self.ask(&format!("CONT\t{}\t{}", self.id, base64(data))).await
    }

    async fn ask(&mut self, line: &str) -> String {
        let answer = self.dialogue.ask(line).await;
        answer.replacen(&format!("\t{}", self.id), "", 1).replace('\t', "|")
    }

    async fn cram(&mut self, user: &str, password: &str) -> String {
        let challenge = self.begin("CRAM-MD5", "", None).await;
        self.go_on(&cram_md5(&challenged(&challenge), user, password)).await
    }

    async fn scram(&mut self, more: &str, client: &Scram<'_>) -> String {
        let answer = self.begin(client.mechanism, more, Some(&client.first())).await;
        if !answer.starts_with("CONT|") {
            return answer;
        }
        let (message, verifier) = client.last(&challenged(&answer));
        let answer = self.go_on(&message).await;
        self.last_word(answer, &verifier).await
    }

    async fn digest(&mut self, who: &DigestUser<'_>) -> String {
        let challenge = self.begin("DIGEST-MD5", "", None).await;
        let (message, verifier) = digest_md5(&challenged(&challenge), who);
        let answer = self.go_on(&message).await;
        self.last_word(answer, &verifier).await
    }

    /// The server proves itself before it says that all is well.
    async fn last_word(&mut self, answer: String, verifier: &str) -> String {
        if !answer.starts_with("CONT|") {
            return answer;
        }
        assert_eq!(String::from_utf8(challenged(&answer)).unwrap(), verifier);
        self.go_on(b"").await
    }

    /// What the greeting says after a word.
    fn greeted(&self, word: &str) -> u32 {
        let found = self.greeting.iter().find_map(|line| line.strip_prefix(word)?.strip_prefix('\t'));
        found.and_then(|number| number.parse().ok()).unwrap()
    }
}

fn challenged(answer: &str) -> Vec<u8> {
    let data = answer.strip_prefix("CONT|").unwrap_or_else(|| panic!("{answer}"));
    from_base64(data.as_bytes()).unwrap()
}

async fn talk(kind: Kind) -> (Bench, Talk) {
    let bench = Bench::new(CONFIG, &[("users", USERS)]);
    let talk = Talk::new(&bench, kind).await;
    (bench, talk)
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_offered() {
    local(async {
        let expect = [
            "PLAIN\tplaintext",
            "CRAM-MD5\tdictionary\tactive",
            "DIGEST-MD5\tdictionary\tactive\tmutual-auth",
            "APOP\tprivate\tdictionary\tactive",
            "SCRAM-SHA-1\tmutual-auth",
            "SCRAM-SHA-256\tmutual-auth",
            // Not in 2.3, and nothing for clients that have no TLS session to show.
            "SCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding",
            "ANONYMOUS\tanonymous",
            "EXTERNAL",
            "OAUTHBEARER\tplaintext",
            "XOAUTH2\tplaintext",
        ];
        for (kind, is_login) in [(Kind::Login, true), (Kind::Client, false)] {
            let (_bench, talk) = talk(kind).await;
            let offered: Vec<&str> =
                talk.greeting.iter().filter_map(|line| line.strip_prefix("MECH\t")).collect();
            let expect: Vec<&str> =
                expect.into_iter().filter(|line| is_login || !line.contains("-PLUS")).collect();
            assert_eq!(offered, expect);
        }
        let (_bench, mut talk) = talk(Kind::Client).await;
        let answer = talk.begin("SCRAM-SHA-256-PLUS", "\tcbind_exporter=AA==", None).await;
        assert_eq!(answer, "", "an unknown mechanism ends the connection");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn challenge_and_response() {
    local(async {
        let (_bench, mut talk) = talk(Kind::Client).await;
        for (user, password, expect) in [
            ("joe", "secret", "OK|user=joe"),
            ("joe", "wrong", "FAIL|user=joe"),
            ("nobody", "x", "FAIL|user=nobody"),
            ("cram", "secret", "OK|user=cram"),
            // The passdb has it in another scheme.
            ("bob", "secret", "FAIL|user=bob"),
            ("scram", "pencil", "FAIL|user=scram"),
        ] {
            assert_eq!(talk.cram(user, password).await, expect, "CRAM-MD5 {user} {password}");
        }
        for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
            for (user, password, expect) in [
                ("joe", "secret", "OK|user=joe"),
                ("joe", "wrong", "FAIL|user=joe"),
                ("nobody", "x", "FAIL|user=nobody"),
                ("bob", "secret", "FAIL|user=bob"),
                (",", "x", "FAIL|user=,|original_user=,"),
            ] {
                let client = Scram::new(mechanism, user, password);
                assert_eq!(talk.scram("", &client).await, expect, "{client:?}");
            }
        }
        let mut client = Scram::new("SCRAM-SHA-256", "scram", "pencil");
        assert_eq!(talk.scram("", &client).await, "OK|user=scram");
        client.mechanism = "SCRAM-SHA-1";
        assert_eq!(talk.scram("", &client).await, "FAIL|user=scram");
        for (header, expect) in [
            ("y,,", "OK|user=joe"),
            ("n,a=joe,", "OK|user=joe"),
            ("n,a=bob,", "FAIL|user=joe"),
            ("p=tls-unique,,", "FAIL"),
        ] {
            let client = Scram { header, ..Scram::new("SCRAM-SHA-1", "joe", "secret") };
            assert_eq!(talk.scram("", &client).await, expect, "{header}");
        }
    })
    .await;
}

/// Ours alone.
#[tokio::test(flavor = "current_thread")]
async fn channel_bindings() {
    local(async {
        let (_bench, mut talk) = talk(Kind::Login).await;
        let more = format!("\tsecured=tls\tcbind_exporter={}", base64(b"SESSION"));
        let plus = |binding: &[u8]| Scram {
            header: "p=tls-exporter,,",
            binding: binding.to_vec(),
            ..Scram::new("SCRAM-SHA-256-PLUS", "joe", "secret")
        };
        assert_eq!(talk.scram(&more, &plus(b"SESSION")).await, "OK|user=joe");
        assert_eq!(talk.scram(&more, &plus(b"ANOTHER")).await, "FAIL|user=joe");
        assert_eq!(talk.scram("", &plus(b"SESSION")).await, "FAIL");
        let downgraded = Scram { header: "y,,", ..Scram::new("SCRAM-SHA-256", "joe", "secret") };
        assert_eq!(talk.scram(&more, &downgraded).await, "FAIL");
        assert_eq!(talk.scram("", &downgraded).await, "OK|user=joe");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn digests() {
    local(async {
        let (_bench, mut talk) = talk(Kind::Client).await;
        let challenge = talk.begin("DIGEST-MD5", "", None).await;
        let challenge = String::from_utf8(challenged(&challenge)).unwrap();
        assert!(challenge.starts_with("realm=\"a.example\",realm=\"b.example\",nonce=\""), "{challenge}");
        let who = |user, password, realm| DigestUser { user, password, realm, authzid: None };
        for (who, expect) in [
            (who("joe", "secret", None), "OK|user=joe"),
            (who("joe", "wrong", None), "FAIL|user=joe"),
            (who("nobody", "x", None), "FAIL|user=nobody"),
            (who("bob", "secret", None), "FAIL|user=bob"),
            (who("joe", "secret", Some("a.example")), "OK|user=joe@a.example"),
            (who("joe@a.example", "secret", None), "OK|user=joe@a.example"),
            (who("joe@a.example", "secret", Some("a.example")), "OK|user=joe@a.example"),
            (who("joe", "secret", Some("c.example")), "FAIL|user=joe@c.example"),
            (DigestUser { authzid: Some("bob"), ..who("joe", "secret", Some("")) }, "FAIL|user=joe"),
            (DigestUser { authzid: Some("joe"), ..who("joe", "secret", Some("")) }, "OK|user=joe"),
        ] {
            assert_eq!(talk.digest(&who).await, expect, "{who:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn apop_needs_a_challenge_of_ours() {
    local(async {
        let (_bench, mut talk) = talk(Kind::Login).await;
        let (pid, connection) = (talk.greeted("SPID"), talk.greeted("CUID"));
        let now = crate::request::fields::now_s();
        for (challenge, user, password, expect) in [
            (format!("<{pid:x}.{connection:x}.{now:x}.r@h>"), "joe", "secret", "OK|user=joe"),
            (format!("<{pid:x}.{connection:x}.{now:x}.r@h>"), "joe", "wrong", "FAIL|user=joe"),
            (format!("<{pid:x}.{connection:x}.{now:x}.r@h>"), "nobody", "x", "FAIL|user=nobody"),
            (format!("<1.{connection:x}.{now:x}.r@h>"), "joe", "secret", "FAIL"),
            (format!("<{pid:x}.ffff.{now:x}.r@h>"), "joe", "secret", "FAIL"),
            (format!("<{pid:x}.{connection:x}.1.r@h>"), "joe", "secret", "FAIL"),
        ] {
            let digest = sasl::encoding::from_hex(apop(&challenge, password).as_bytes()).unwrap();
            let message = [challenge.as_bytes(), b"\0", user.as_bytes(), b"\0", &digest].concat();
            assert_eq!(talk.begin("APOP", "", Some(&message)).await, expect, "{challenge} {user}");
        }
        assert_eq!(talk.begin("APOP", "", None).await, "FAIL");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_password() {
    local(async {
        let (_bench, mut talk) = talk(Kind::Client).await;
        for initial in [&b"trace@x"[..], b""] {
            let answer = talk.begin("ANONYMOUS", "", Some(initial)).await;
            assert_eq!(answer, "OK|user=anonymous|anonymous");
        }
        assert_eq!(talk.begin("ANONYMOUS", "", None).await, "CONT|");
        assert_eq!(talk.go_on(b"hi").await, "OK|user=anonymous|anonymous");
        assert_eq!(talk.begin("EXTERNAL", "", Some(b"joe")).await, "FAIL");
        let cert = "\tvalid-client-cert\tcert_username=joe";
        for initial in [&b""[..], b"joe", b"bob"] {
            // This passdb wants a password.
            assert_eq!(talk.begin("EXTERNAL", cert, Some(initial)).await, "FAIL|user=joe|original_user=");
        }
        let answer = talk.begin("PLAIN", cert, Some(b"\0bob\0secret")).await;
        assert_eq!(answer, "OK|user=joe|original_user=bob", "the certificate's name goes first");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn tokens() {
    local(async {
        let (_bench, mut talk) = talk(Kind::Client).await;
        let bearer = |user, token| format!("n,a={user},\u{1}host=h\u{1}auth=Bearer {token}\u{1}\u{1}");
        let google = |user, token| format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}");
        for (mechanism, good, bad, error) in [
            ("OAUTHBEARER", bearer("tok", "tok.en"), bearer("tok", "bad"), "{\"status\":\"invalid_token\"}"),
            (
                "XOAUTH2",
                google("tok", "tok.en"),
                google("tok", "bad"),
                "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"}",
            ),
        ] {
            assert_eq!(talk.begin(mechanism, "", Some(good.as_bytes())).await, "OK|user=tok");
            let answer = talk.begin(mechanism, "", Some(bad.as_bytes())).await;
            assert_eq!(String::from_utf8(challenged(&answer)).unwrap(), error);
            assert_eq!(talk.go_on(b"\x01").await, "FAIL|user=tok");
            assert_eq!(talk.begin(mechanism, "", Some(b"x")).await, "FAIL");
        }
    })
    .await;
}

/// Nothing that is sent leaves an exchange open or ends more than that.
#[tokio::test(flavor = "current_thread")]
async fn hostile_messages() {
    local(async {
        let (_bench, mut talk) = talk(Kind::Login).await;
        let long = vec![b'a'; 9000];
        for mechanism in sasl::mech::MECHANISMS.iter().map(|info| info.name) {
            if !CONFIG.to_ascii_uppercase().contains(&format!(" {mechanism} ")) {
                continue;
            }
            for message in [&b""[..], b"\0", b"\0\0\0\0\0", b"\xff\xfe", b",,,,", b"=,=,", &long] {
                let mut answer = talk.begin(mechanism, "", Some(message)).await;
                for _ in 0..4 {
                    if !answer.starts_with("CONT|") {
                        break;
                    }
                    answer = talk.go_on(message).await;
                }
                let is_anonymous = mechanism == "ANONYMOUS" && message.len() < 9000;
                assert!(
                    answer.starts_with(if is_anonymous { "OK|" } else { "FAIL" }),
                    "{mechanism} {answer}"
                );
            }
        }
        assert_eq!(talk.cram("joe", "secret").await, "OK|user=joe");
    })
    .await;
}

#[test]
fn mechanisms_that_cannot_be() {
    let check = |config: &str, expect: &str| {
        let snapshot = settings::Snapshot::from_text(config).unwrap();
        let parts = crate::life::Parts::read(&snapshot, base::Logger::new("auth: "));
        let error = parts.map_err(|error| error.to_string()).unwrap().services(false).err();
        assert_eq!(error.as_deref(), Some(expect), "{config}");
    };
    check(
        "auth_mechanisms = cram-md5\n",
        "No passdbs specified in configuration file. CRAM-MD5 mechanism needs one",
    );
    check(
        "auth_mechanisms = anonymous\nauth_anonymous_username =\n",
        "ANONYMOUS listed in mechanisms, but anonymous_username not set",
    );
    check("auth_mechanisms = plane\n", "Unknown authentication mechanism 'PLANE'");
    check("auth_mechanisms = ntlm\n", "No authentication mechanisms configured");
    check(
        "auth_mechanisms = otp\npassdb {\n driver = static\n args = nopassword=y\n}\n",
        "OTP mechanism can't be supported with given passdbs",
    );
}
