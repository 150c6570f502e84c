//! Each SASL mechanism through the real login processes: right, wrong and unknown, given up, too long,
//! and with other people's clients.

use std::fs;
use std::process::{Command, Stdio};

use harness::sasl_client::{DigestUser, Scram, apop, base64, cram_md5, digest_md5, from_base64};
use harness::{Builder, Client, Host, Under, cert, needs};

const MECHANISMS: &str = "plain login cram-md5 digest-md5 apop scram-sha-1 scram-sha-256 anonymous external \
                          oauthbearer xoauth2";

fn is_ours() -> bool {
    Under::from_env() == Under::Ours
}

fn builder() -> Builder {
    // 2.3 knows nothing of channel bindings.
    let bound = if is_ours() { " scram-sha-1-plus scram-sha-256-plus" } else { "" };
    Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .config("auth_failure_delay = 0\nauth_verbose = yes")
        .config("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
        .config(&format!("auth_mechanisms = {MECHANISMS}{bound}"))
}

/// What a client says to a challenge.
type Answers<'a> = Box<dyn FnMut(&[u8]) -> Vec<u8> + 'a>;

/// A client's side of an exchange: its first message, and what it says to each challenge.
struct Exchange<'a> {
    mechanism: &'a str,
    first: Option<Vec<u8>>,
    answers: Answers<'a>,
}

impl<'a> Exchange<'a> {
    fn new(mechanism: &'a str, user: &'a str, password: &'a str) -> Self {
        let of = |first: Option<String>, answers| Self { mechanism, first: first.map(Into::into), answers };
        match mechanism {
            "PLAIN" => of(Some(format!("\0{user}\0{password}")), Box::new(|_| Vec::new())),
            "LOGIN" => of(
                None,
                Box::new(move |challenge| match challenge {
                    b"Username:" => user.into(),
                    _ => password.into(),
                }),
            ),
            "CRAM-MD5" => of(None, Box::new(move |challenge| cram_md5(challenge, user, password))),
            "DIGEST-MD5" => of(
                None,
                Box::new(move |challenge| match challenge.starts_with(b"rspauth=") {
                    true => Vec::new(),
                    false => digest_md5(challenge, &DigestUser { user, password, ..DigestUser::default() }).0,
                }),
            ),
            "OAUTHBEARER" => of(
                Some(format!("n,a={user},\u{1}auth=Bearer {password}\u{1}\u{1}")),
                Box::new(|_| b"\x01".to_vec()),
            ),
            "XOAUTH2" => of(
                Some(format!("user={user}\u{1}auth=Bearer {password}\u{1}\u{1}")),
                Box::new(|_| Vec::new()),
            ),
            _ => Self::scram(Scram::new(mechanism, user, password)),
        }
    }

    fn scram(scram: Scram<'a>) -> Self {
        let answer = {
            let scram = scram.clone();
            move |challenge: &[u8]| match challenge.starts_with(b"v=") {
                true => Vec::new(),
                false => scram.last(challenge).0,
            }
        };
        Self { mechanism: scram.mechanism, first: Some(scram.first()), answers: Box::new(answer) }
    }

    /// Talks IMAP; gives the tagged answer without its tag.
    fn imap(mut self, client: &mut Client, is_early: bool) -> String {
        let initial = self.first.take_if(|_| is_early);
        self.talk(client, "a AUTHENTICATE", initial, "a ")
    }

    /// The same in POP3.
    fn pop3(mut self, client: &mut Client, is_early: bool) -> String {
        let initial = self.first.take_if(|_| is_early);
        self.talk(client, "AUTH", initial, "")
    }

    fn talk(mut self, client: &mut Client, command: &str, initial: Option<Vec<u8>>, tag: &str) -> String {
        let initial = match initial.as_deref() {
            None => String::new(),
            Some(b"") => " =".to_owned(),
            Some(data) => format!(" {}", base64(data)),
        };
        client.line(&format!("{command} {}{initial}", self.mechanism));
        loop {
            let line = client.expect_line();
            if let Some(challenge) = line.strip_prefix("+ ") {
                let challenge = from_base64(challenge.as_bytes()).expect("base64");
                let answer = match self.first.take() {
                    Some(first) => first,
                    None => (self.answers)(&challenge),
                };
                client.line(&base64(&answer));
            } else if let Some(answer) = line.strip_prefix(tag).filter(|_| !line.starts_with("* ")) {
                return answer.to_owned();
            }
        }
    }
}

const WITH_PASSWORDS: [&str; 8] =
    ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"];

#[test]
fn right_wrong_and_unknown() {
    let host = builder().start();
    for mechanism in WITH_PASSWORDS {
        for is_early in [true, false] {
            let mut client = host.connect("imap");
            for (user, password) in [("user1", "wrong"), ("nobody", "pass")] {
                let answer = Exchange::new(mechanism, user, password).imap(&mut client, is_early);
                assert_eq!(answer, "NO [AUTHENTICATIONFAILED] Authentication failed.", "{mechanism} {user}");
            }
            let answer = Exchange::new(mechanism, "user1", "pass").imap(&mut client, is_early);
            assert!(answer.starts_with("OK ") && answer.ends_with("Logged in"), "{mechanism} {answer}");
        }
        host.wait_log(&format!("Login: user=<user1>, method={mechanism}, rip="));
    }
    for mechanism in ["CRAM-MD5", "SCRAM-SHA-256", "DIGEST-MD5"] {
        let mut client = host.connect("pop3");
        let answer = Exchange::new(mechanism, "user2", "wrong").pop3(&mut client, true);
        assert_eq!(answer, "-ERR [AUTH] Authentication failed.");
        let answer = Exchange::new(mechanism, "user2", "pass").pop3(&mut client, true);
        assert_eq!(answer, "+OK Logged in.", "{mechanism}");
    }
    let log = host.log();
    for line in ["cram-md5(user1,127.0.0.1,", "scram-sha-1(user1,127.0.0.1,", "digest-md5(user1,127.0.0.1,"] {
        let logged = log.lines().any(|known| known.contains(line) && known.ends_with("): Password mismatch"));
        assert!(logged, "{line} in {log}");
    }
    assert!(!log.contains("wrong"), "no password is in the log");
}

#[test]
fn given_up_and_malformed() {
    let host = builder().start();
    let mut client = host.connect("imap");
    for mechanism in WITH_PASSWORDS {
        client.line(&format!("a AUTHENTICATE {mechanism}"));
        assert!(client.expect_line().starts_with("+ "), "{mechanism}");
        client.line("*");
        assert_eq!(client.expect_line(), "a BAD Authentication aborted by client.", "{mechanism}");
        client.line(&format!("a AUTHENTICATE {mechanism}"));
        assert!(client.expect_line().starts_with("+ "), "{mechanism}");
        client.line("!");
        assert!(client.expect_line().starts_with("a NO [ALERT] Invalid base64 in response"), "{mechanism}");
        for message in [&b""[..], b"\0", b"\0\0\0\0\0\0\0\0", &[0xff; 100], &[b'x'; 6000]] {
            client.line(&format!("a AUTHENTICATE {mechanism}"));
            let mut answer = client.expect_line();
            while answer.starts_with("+ ") {
                client.line(&base64(message));
                answer = client.expect_line();
            }
            assert!(answer.starts_with("a NO [AUTHENTICATIONFAILED]"), "{mechanism}: {answer}");
        }
    }
    // Nothing is left of exchanges that were given up (CVE-2017-15132).
    for _ in 0..2000 {
        client.send("a AUTHENTICATE CRAM-MD5\r\n*\r\n");
        assert!(client.expect_line().starts_with("+ "));
        assert_eq!(client.expect_line(), "a BAD Authentication aborted by client.");
    }
    // Longer than any line may be.
    client.line("a AUTHENTICATE SCRAM-SHA-256");
    assert_eq!(client.expect_line(), "+ ");
    let _ = client.try_send(&[b'A'; 100_000]);
    assert!(client.read_line().is_none_or(|line| !line.contains(" OK")));
    assert!(
        Exchange::new("CRAM-MD5", "user1", "pass").imap(&mut host.connect("imap"), false).starts_with("OK")
    );
    assert!(!host.log().contains("panic"), "{}", host.log());
}

#[test]
fn apop_greets_with_its_challenge() {
    let host = builder().start();
    let challenged = || {
        let mut client = Client::connect(host.address("pop3"));
        let greeting = client.expect_line();
        assert!(greeting.contains(" <") && greeting.ends_with('>'), "{greeting}");
        (client, greeting)
    };
    let (mut client, greeting) = challenged();
    client.line(&format!("APOP user1 {}", apop(&greeting, "wrong")));
    assert_eq!(client.expect_line(), "-ERR [AUTH] Authentication failed.");
    client.line(&format!("APOP nobody {}", apop(&greeting, "pass")));
    assert_eq!(client.expect_line(), "-ERR [AUTH] Authentication failed.");
    client.line("APOP user1 x");
    assert_eq!(client.expect_line(), "-ERR Invalid parameters.");
    client.line(&format!("APOP user1 {}", apop(&greeting, "pass")));
    assert_eq!(client.expect_line(), "+OK Logged in.");
    host.wait_log("Login: user=<user1>, method=APOP, ");
    // Another connection's challenge is another one.
    assert_ne!(challenged().1, greeting);
    let (mut client, _) = challenged();
    client.line("CAPA");
    let mut capabilities = Vec::new();
    while capabilities.last().is_none_or(|line| line != ".") {
        capabilities.push(client.expect_line());
    }
    let sasl = capabilities.iter().find(|line| line.starts_with("SASL ")).expect("SASL");
    assert!(sasl.contains(" CRAM-MD5 ") && !sasl.contains("APOP"), "{sasl}");
    client.line("AUTH APOP AAAA");
    assert!(client.expect_line().starts_with("-ERR"));
    let host = Builder::new(env!("CARGO_BIN_EXE_dovecot")).start();
    let mut client = Client::connect(host.address("pop3"));
    let greeting = client.expect_line();
    assert!(!greeting.contains('<'), "{greeting}");
    client.line("APOP user1 0123456789abcdef0123456789abcdef");
    assert_eq!(client.expect_line(), "-ERR APOP not enabled.");
}

#[test]
fn anonymous() {
    let host = builder().user("anonymous", "x").start();
    let mut client = host.connect("imap");
    let exchange = Exchange {
        mechanism: "ANONYMOUS",
        first: Some(b"sirhc".to_vec()),
        answers: Box::new(|_| Vec::new()),
    };
    let answer = exchange.imap(&mut client, true);
    assert!(answer.starts_with("OK "), "{answer}");
    host.wait_log("Login: user=<anonymous>, method=ANONYMOUS, ");
    host.wait_log("anonymous(sirhc,127.0.0.1,");
}

#[test]
fn channel_bindings() {
    if !is_ours() {
        return;
    }
    let host = builder().start();
    let plus = |client: &Client, mechanism, binding: &[u8]| {
        let _ = client;
        Exchange::scram(Scram {
            header: "p=tls-exporter,,",
            binding: binding.to_vec(),
            ..Scram::new(mechanism, "user1", "pass")
        })
    };
    let mut client = host.connect("imap");
    let offer = client.imap("c", "CAPABILITY").concat();
    assert!(offer.contains("AUTH=SCRAM-SHA-256") && !offer.contains("-PLUS"), "{offer}");
    let exchange = plus(&client, "SCRAM-SHA-256-PLUS", b"");
    let answer = exchange.imap(&mut client, true);
    assert_eq!(answer, "NO [ALERT] Unsupported authentication mechanism.");
    for mechanism in ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"] {
        let mut client = host.connect("imaps");
        let offer = client.imap("c", "CAPABILITY").concat();
        assert!(offer.contains(&format!(" AUTH={mechanism}")), "{offer}");
        let exporter = client.exporter();
        // What somebody in between would have: the exporter of another session.
        let other = host.connect("imaps").exporter();
        let answer = plus(&client, mechanism, &other).imap(&mut client, true);
        assert_eq!(answer, "NO [AUTHENTICATIONFAILED] Authentication failed.");
        host.wait_log("Invalid channel binding data");
        let answer = plus(&client, mechanism, &exporter).imap(&mut client, true);
        assert!(answer.starts_with("OK "), "{answer}");
        host.wait_log(&format!("Login: user=<user1>, method={mechanism}, "));
    }
    let downgraded = Scram { header: "y,,", ..Scram::new("SCRAM-SHA-256", "user1", "pass") };
    let answer = Exchange::scram(downgraded).imap(&mut host.connect("imaps"), true);
    assert!(answer.starts_with("NO "), "{answer}");
}

#[test]
fn certificates_say_who() {
    let (authority, issued) = cert::authority(&["user1", "nobody@nowhere"]);
    let (_, strangers) = cert::authority(&["user1"]);
    let mut host = Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .without_users()
        .config("auth_failure_delay = 0\nauth_verbose = yes\nauth_mechanisms = external plain")
        .config("ssl_ca = <@DIR@/ca.pem\nssl_verify_client_cert = yes\nssl_require_crl = no")
        .config("auth_ssl_require_client_cert = yes\nauth_ssl_username_from_cert = yes")
        .config("passdb {\n  driver = passwd-file\n  args = @DIR@/certs\n  default_fields = nopassword=y\n}")
        .config("userdb {\n  driver = static\n  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u\n}")
        .prepare();
    fs::write(host.dir().join("ca.pem"), authority).expect("the authority");
    fs::write(host.dir().join("certs"), "user1:\nuser2:\n").expect("the users");
    host.start();
    let connect = |pair: Option<&(String, String)>| {
        let mut client = Client::connect(host.address("imaps"));
        let config = match pair {
            Some((certificate, key)) => cert::client_with(certificate, key),
            None => cert::believing_client(),
        };
        client.start_tls_with("localhost", config);
        client.read_line().map(|_| client)
    };
    let external = |client: &mut Client, identity: &str| {
        let first = Some(identity.as_bytes().to_vec());
        Exchange { mechanism: "EXTERNAL", first, answers: Box::new(|_| Vec::new()) }.imap(client, true)
    };
    for identity in ["", "user1"] {
        let answer = external(&mut connect(issued.first()).expect("a greeting"), identity);
        assert!(answer.starts_with("OK "), "{answer}");
    }
    host.wait_log("Login: user=<user1>, method=EXTERNAL, ");
    let mut client = connect(issued.first()).expect("a greeting");
    let answer = Exchange::new("PLAIN", "user2", "x").imap(&mut client, true);
    assert!(answer.starts_with("OK "), "{answer}");
    assert!(!host.log().contains("Login: user=<user2>"), "the certificate's name counts: {}", host.log());
    for (pair, identity) in [
        (issued.first(), "user2"),
        (issued.last(), ""),
        (strangers.first(), ""),
        (strangers.first(), "user1"),
        (None, "user1"),
    ] {
        // 2.3 ends the handshake where there is no good certificate, ours refuses the login.
        let Some(mut client) = connect(pair) else {
            assert!(!is_ours(), "{identity}");
            continue;
        };
        let answer = external(&mut client, identity);
        assert!(answer.starts_with("NO "), "{identity}: {answer}");
    }
    if is_ours() {
        host.wait_log("Client didn't present valid SSL certificate");
    }
}

/// GNU SASL's client is somebody else's reading of the RFCs.
#[test]
fn gsasl() {
    if !needs(&["gsasl"]) {
        return;
    }
    let host = builder().start();
    let mut mechanisms = vec!["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"];
    if is_ours() {
        mechanisms.extend(["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"]);
    }
    for mechanism in mechanisms {
        for (password, expect) in [("pass", true), ("wrong", false)] {
            let is_in = run_gsasl(&host, mechanism, password);
            assert_eq!(is_in, expect, "gsasl {mechanism} {password}");
        }
        host.wait_log(&format!("Login: user=<user1>, method={mechanism}, "));
    }
}

fn run_gsasl(host: &Host, mechanism: &str, password: &str) -> bool {
    let mut command = Command::new("gsasl");
    command.args(["--client", "--imap", "--no-client-first", "--authentication-id=user1", "--realm="]);
    command.args(["--service=imap", "--hostname=localhost", "--quality-of-protection=qop-auth"]);
    command.arg(format!("--mechanism={mechanism}")).arg(format!("--password={password}"));
    if mechanism.ends_with("-PLUS") {
        // The certificate is nobody's but its own.
        command.args(["--starttls", "--x509-ca-file="]);
    } else {
        command.arg("--no-starttls");
    }
    command.args(["--connect", &host.address("imap").to_string()]);
    let output = command.stdin(Stdio::null()).output().expect("gsasl runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    println!("gsasl {mechanism}: {text}");
    text.contains(" OK ") && text.contains("Logged in")
}
