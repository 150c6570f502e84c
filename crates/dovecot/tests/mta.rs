//! Postfix and Exim let their users in by our auth sockets, and Postfix hands mail to `dovecot-lda`:
//! real ones, with clients that are nobody's here. The original plays the same role in the same test.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use harness::sasl_client::base64;
use harness::{Builder, Client, Exim, Host, Postfix, Under, cert, free_port, needs};
use nix::unistd::{User, chown};

/// Who Postfix runs `dovecot-lda` as: it is never root.
const DELIVERER: &str = "mail";

/// A user of the system who gets mail by `mailbox_command`.
const LOCAL_USER: &str = "games";

const MECHANISMS: &str = "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 oauthbearer xoauth2 \
                          external anonymous";

/// Names that could mean something to a shell, a format, a query or a filter.
const HOSTILE: [&str; 8] =
    ["' OR '1'='1", "a\"b", "%u%w", "*)(uid=*", "a\tb", "user1\\", "j\u{fc}rgen", "$(true)"];

/// Whether there is all that both kinds of tests need.
fn is_possible() -> bool {
    // The agents change users, and so does who delivers.
    nix::unistd::geteuid().is_root() && needs(&["swaks", "gsasl", "curl"])
}

/// Both servers, where the original is installed.
fn both() -> impl Iterator<Item = Under> {
    [Under::Ours, Under::Dovecot]
        .into_iter()
        .filter(|under| *under == Under::Ours || needs(&["dovecot", "doveadm"]))
}

struct Served {
    host: Host,
    inet: u16,
}

/// A server that knows `user1`, with a unix and an inet socket for mail transfer agents.
fn prepare(under: Under) -> Served {
    let inet = free_port();
    let host = Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .under(under)
        .without_users()
        .user("user1@example.org", "pass")
        .config(&format!(
            "auth_mechanisms = {MECHANISMS}\nauth_realms = example.org\nauth_failure_delay = 0\n\
             auth_verbose = yes\nfirst_valid_uid = 1\n\
             passdb {{\n  driver = passwd-file\n  args = username_format=%u @DIR@/users\n}}\n\
             userdb {{\n  driver = passwd-file\n  args = username_format=%u @DIR@/homes\n}}"
        ))
        .config(&format!(
            "service auth {{\n  unix_listener @DIR@/sasl {{\n    mode = 0666\n  }}\n  inet_listener {{\n    \
             address = 127.0.0.1\n    port = {inet}\n  }}\n  unix_listener auth-userdb {{\n    \
             mode = 0666\n  }}\n}}"
        ))
        .config("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
        .config("service stats {\n  unix_listener stats-writer {\n    mode = 0666\n  }\n}")
        .config("protocol lda {\n  log_path = @DIR@/lda.log\n}")
        .prepare();
    let mut homes = String::new();
    for (user, owner) in [("user1@example.org", DELIVERER), (LOCAL_USER, LOCAL_USER)] {
        let home = host.dir().join("homes-of").join(user);
        fs::create_dir_all(&home).expect("a home");
        let owner = User::from_name(owner).ok().flatten().expect("every system has this user");
        chown(&home, Some(owner.uid), Some(owner.gid)).expect("an owner");
        homes.push_str(&format!("{user}::{}:{}::{}::\n", owner.uid, owner.gid, home.display()));
    }
    fs::write(host.dir().join("homes"), homes).expect("the users");
    open_log(&host);
    Served { host, inet }
}

/// Whoever delivers writes to this log.
fn open_log(host: &Host) {
    let log = host.dir().join("lda.log");
    fs::write(&log, "").expect("the log");
    fs::set_permissions(&log, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("its mode");
}

/// swaks logs in and, unless `more` says otherwise, sends a mail to `to`.
fn swaks(port: u16, to: &str, more: &[&str]) -> Output {
    let mut command = Command::new("swaks");
    command.args(["--server", "127.0.0.1", "--port", &port.to_string(), "--helo", "client.example"]);
    command.args(["--from", "s@example.net", "--to", to, "--timeout", "60s"]).args(more);
    command.stdin(Stdio::null()).output().expect("swaks runs")
}

/// Logs in by swaks; whether it was let in, which must be told.
fn is_let_in(port: u16, mechanism: &str, user: &str, password: &str) -> bool {
    ask(port, mechanism, user, password).expect("a clear answer")
}

/// The same, or `None` when it was told to come again.
fn ask(port: u16, mechanism: &str, user: &str, password: &str) -> Option<bool> {
    let output = swaks(
        port,
        "user1@example.org",
        &["--auth", mechanism, "--au", user, "--ap", password, "--quit-after", "AUTH"],
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) if said.contains("<-  235 ") => Some(true),
        // Its status for a login that failed.
        Some(28) if said.contains("<** 535 ") => Some(false),
        Some(28) if said.contains("<** 4") => None,
        other => panic!("{mechanism} {user}: {other:?}: {said}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// The same by GNU SASL.
fn gsasl_is_let_in(port: u16, mechanism: &str, password: &str) -> bool {
    let mut command = Command::new("gsasl");
    command.args(["--client", "--smtp", "--no-client-first", "--authentication-id=user1@example.org"]);
    command.args(["--service=smtp", "--hostname=localhost", "--no-starttls"]);
    command.arg(format!("--mechanism={mechanism}")).arg(format!("--password={password}"));
    command.args(["--connect", &format!("127.0.0.1:{port}")]);
    let output = command.stdin(Stdio::null()).output().expect("gsasl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("\n235 ") || said.contains("\n535 "), "{mechanism}: {said}");
    said.contains("\n235 ")
}

/// The same by curl with a token, by the one mechanism for tokens that is offered.
fn curl_is_let_in(port: u16, token: &str) -> bool {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--verbose",
        "--url",
        &format!("smtp://127.0.0.1:{port}"),
        "--request",
        "NOOP",
    ]);
    command.args(["--user", "user1@example.org", "--oauth2-bearer", token]);
    let output = command.stdin(Stdio::null()).output().expect("curl runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // It goes at the challenge that says what is wrong, or waits for the last word.
    let is_refused = said.contains("< 535 ") || said.matches("< 334 ").count() == 2;
    assert!(said.contains("< 235 ") != is_refused, "{said}");
    !is_refused
}

/// Right, wrong and unknown by every mechanism that somebody's client speaks. `tokens` are ports where
/// one mechanism for tokens is offered each.
fn check_mechanisms(under: Under, port: u16, tokens: [u16; 2]) {
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"] {
        // DIGEST-MD5 adds the realm, which is the domain.
        let user = if mechanism == "DIGEST-MD5" { "user1" } else { "user1@example.org" };
        for (user, password, expect) in [(user, "pass", true), (user, "wrong", false), ("x", "y", false)] {
            let let_in = is_let_in(port, mechanism, user, password);
            assert_eq!(let_in, expect, "{under:?} {mechanism} {user} {password}");
        }
    }
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
        assert!(gsasl_is_let_in(port, mechanism, "pass"), "{under:?} {mechanism}");
        assert!(!gsasl_is_let_in(port, mechanism, "wrong"), "{under:?} {mechanism}");
    }
    for port in tokens {
        assert!(curl_is_let_in(port, "pass"), "{under:?}");
        assert!(!curl_is_let_in(port, "wrong"), "{under:?}");
    }
}

/// A connection to a mail transfer agent that has said hello.
fn smtp(port: u16) -> Client {
    let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    assert!(client.expect_line().starts_with("220 "));
    hello(&mut client);
    client
}

fn hello(client: &mut Client) {
    client.line("EHLO client.example");
    while !client.expect_line().starts_with("250 ") {}
}

fn say(client: &mut Client, line: &str) -> String {
    client.line(line);
    client.expect_line()
}

/// What no client sends by itself: each is refused, and does not harm whoever comes next.
fn check_hostile(under: Under, port: u16) {
    let mut client = smtp(port);
    for name in HOSTILE {
        assert!(say(&mut client, "AUTH LOGIN").starts_with("334 "));
        let mut answer = say(&mut client, &base64(name.as_bytes()));
        // The original does not even ask those for a password whose names have forbidden characters.
        if answer.starts_with("334 ") {
            answer = say(&mut client, &base64(b"pass"));
        }
        assert!(answer.starts_with("535 "), "{under:?} {name}: {answer}");
    }
    let long = "x".repeat(1400);
    let exchanges: [&[u8]; 8] = [
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\0user1@example.org\0pass\0pass",
        b"\0user1@example.org\0pa\tss",
        b"\0us\xffer\0pass",
        b"user2\0user1@example.org\0pass",
        &[b"\0", long.as_bytes(), b"\0pass"].concat(),
    ];
    for exchange in exchanges {
        let mut client = smtp(port);
        let answer = say(&mut client, &format!("AUTH PLAIN {}", base64(exchange)));
        assert!(answer.starts_with("5") || answer.starts_with("334 "), "{under:?} {exchange:?}: {answer}");
    }
    // What is no base64 is one client's own problem (CVE-2025-59028).
    let mut patient = smtp(port);
    assert!(say(&mut patient, "AUTH LOGIN").starts_with("334 "));
    for line in ["AUTH PLAIN !!!!", "AUTH CRAM-MD5 %", "AUTH NONSENSE", "AUTH PLAIN AAAA\tid=1"] {
        let answer = say(&mut smtp(port), line);
        assert!(answer.starts_with('5'), "{under:?} {line}: {answer}");
    }
    assert!(say(&mut patient, &base64(b"user1@example.org")).starts_with("334 "), "{under:?}");
    assert!(say(&mut patient, &base64(b"pass")).starts_with("235 "), "{under:?}");
    // Given up in the middle.
    for _ in 0..20 {
        assert!(say(&mut smtp(port), "AUTH CRAM-MD5").starts_with("334 "));
    }
    assert!(is_let_in(port, "PLAIN", "user1@example.org", "pass"), "{under:?}");
}

/// auth dies while a client is being asked: he is told to come again, and can at once.
fn check_auth_dies(under: Under, host: &Host, port: u16) {
    let mut client = harness::wait_for("a question", || {
        let mut client = smtp(port);
        say(&mut client, "AUTH LOGIN").starts_with("334 ").then_some(client)
    });
    kill_auth(host);
    let answer = say(&mut client, &base64(b"user1@example.org"));
    let refusals = ["454 4.7.0 Temporary authentication failure", "435 Unable to authenticate at present"];
    assert!(refusals.iter().any(|refusal| answer.starts_with(refusal)), "{under:?}: {answer}");
    // An agent that has a connection to it may learn of its death only by asking.
    let come_again =
        |mechanism| harness::wait_for("an answer", || ask(port, mechanism, "user1@example.org", "pass"));
    kill_auth(host);
    assert!(come_again("CRAM-MD5"), "{under:?}");
    host.doveadm(&["reload"]);
    for _ in 0..2 {
        assert!(come_again("PLAIN"), "{under:?}");
    }
}

fn kill_auth(host: &Host) {
    for pid in host.pids("auth") {
        // Between the look and the shot it may have ended.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// No word that an administrator would have to read, beyond those of the kills.
fn check_log(host: &Host) {
    let log = host.log();
    for bad in ["panic", "Panic", "BUG", "Internal error"] {
        assert!(!log.contains(bad), "{log}");
    }
    assert!(!log.contains("pa\tss"), "no password is in the log: {log}");
}

struct Ports {
    unix: u16,
    inet: u16,
    xoauth2: u16,
    open: u16,
}

/// Postfix with a listener for each of our sockets, and one that takes mail from anybody.
fn postfix(served: &Served, ports: &Ports) -> Option<Postfix> {
    let Served { host, inet } = served;
    let dir = host.dir().display();
    let (lda, conf) = (host.program("dovecot-lda"), host.conf());
    let (lda, conf) = (lda.display(), conf.display());
    let main = format!(
        "smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {dir}/sasl\nsmtpd_sasl_auth_enable = yes\n\
         smtpd_sasl_security_options = noanonymous\nmynetworks =\n\
         smtpd_relay_restrictions = permit_sasl_authenticated, reject\n\
         virtual_mailbox_domains = example.org\nvirtual_transport = dovecot\n\
         dovecot_destination_recipient_limit = 1\nmydestination = local.example\n\
         local_recipient_maps =\nmailbox_command = {lda} -c {conf} -d \"$USER\" -f \"$SENDER\"\n"
    );
    let Ports { unix, inet: by_inet, xoauth2, open } = ports;
    let master = format!(
        "{unix} inet n - n - - smtpd\n\
         {by_inet} inet n - n - - smtpd\n  -o smtpd_sasl_path=inet:127.0.0.1:{inet}\n\
         {xoauth2} inet n - n - - smtpd\n  -o smtpd_sasl_mechanism_filter=xoauth2\n\
         {open} inet n - n - - smtpd\n  -o smtpd_sasl_auth_enable=no\n  -o mynetworks=127.0.0.0/8\n  -o smtpd_relay_restrictions=permit_mynetworks,reject\n\
         dovecot unix - n n - - pipe\n  flags=DRhu user={DELIVERER} \
         argv={lda} -c {conf} -f ${{sender}} -d ${{recipient}}\n"
    );
    Postfix::start(host.dir(), *unix, &main, &master)
}

fn with_postfix(check: impl Fn(Under, &mut Served, &Postfix, &Ports)) {
    if !is_possible() {
        return;
    }
    for under in both() {
        let mut served = prepare(under);
        let ports = Ports { unix: free_port(), inet: free_port(), xoauth2: free_port(), open: free_port() };
        served.host.start();
        let Some(postfix) = postfix(&served, &ports) else { return };
        check(under, &mut served, &postfix, &ports);
        check_log(&served.host);
    }
}

#[test]
fn postfix_asks_who_it_is() {
    with_postfix(|under, served, postfix, ports| {
        check_mechanisms(under, ports.unix, [ports.inet, ports.xoauth2]);
        for (password, expect) in [("pass", true), ("wrong", false)] {
            assert_eq!(is_let_in(ports.inet, "CRAM-MD5", "user1@example.org", password), expect, "{under:?}");
        }
        for mechanism in ["PLAIN", "CRAM-MD5", "DIGEST-MD5"] {
            let user = if mechanism == "DIGEST-MD5" { "user1" } else { "user1@example.org" };
            let login = ["--auth", mechanism, "--au", user, "--ap", "pass"];
            let sent = swaks(ports.unix, "user1@example.org", &login);
            assert!(sent.status.success(), "{under:?} {}", String::from_utf8_lossy(&sent.stdout));
            postfix.wait_log(&[&format!("sasl_method={mechanism}, sasl_username=user1@example.org")]);
        }
        // Who has not logged in may not send.
        let refused = swaks(ports.unix, "user1@example.org", &[]);
        assert!(String::from_utf8_lossy(&refused.stdout).contains("554 5.7.1"), "{under:?}");
        check_hostile(under, ports.unix);
        check_hostile(under, ports.inet);
        check_auth_dies(under, &served.host, ports.unix);
        check_auth_dies(under, &served.host, ports.inet);
        let wrong = served.host.log().matches("127.0.0.1): Password mismatch").count();
        assert!(wrong >= 8, "{under:?}: the client's address is in {}", served.host.log());
    });
}

#[test]
fn postfix_delivers_by_dovecot_lda() {
    with_postfix(|under, served, postfix, ports| {
        let sent = |to: &str, subject: &str| {
            let output = swaks(ports.open, to, &["--h-Subject", subject]);
            assert!(output.status.success(), "{under:?} {}", String::from_utf8_lossy(&output.stdout));
        };
        sent("user1@example.org", "by pipe");
        postfix.wait_log(&["to=<user1@example.org>", "relay=dovecot", "dsn=2.0.0, status=sent"]);
        sent(&format!("{LOCAL_USER}@local.example"), "by mailbox_command");
        postfix.wait_log(&["relay=local", "dsn=2.0.0, status=sent (delivered to command: "]);
        for name in ["nobody@example.org", "\"a%u b\"@example.org", "o'brien@example.org"] {
            sent(name, "to nobody");
        }
        for name in ["nobody@", "a%u b", "o'brien@"] {
            postfix.wait_log(&[
                &format!("to=<{}", if name.contains(' ') { "\"a%u b\"@" } else { name }),
                "dsn=5.1.1, status=bounced (user unknown)",
            ]);
        }
        for (user, subject) in [("user1@example.org", "by pipe"), (LOCAL_USER, "by mailbox_command")] {
            let new = served.host.dir().join("homes-of").join(user).join("Maildir/new");
            let mails: Vec<_> = fs::read_dir(&new).expect("a Maildir").flatten().collect();
            assert_eq!(mails.len(), 1, "{under:?} {user}");
            let mail = fs::read_to_string(mails[0].path()).expect("a mail");
            assert!(mail.contains(&format!("\nSubject: {subject}\n")), "{under:?} {mail}");
        }
        // Without auth nobody is unknown: mail waits until it is back.
        served.host.stop();
        sent("user1@example.org", "later");
        postfix.wait_log(&["to=<user1@example.org>", "relay=dovecot", "dsn=4.3.0, status=deferred"]);
        served.host.start();
        postfix.flush();
        let new = served.host.dir().join("homes-of/user1@example.org/Maildir/new");
        harness::wait_for("the mail that waited", || (fs::read_dir(&new).ok()?.count() == 2).then_some(()));
    });
}

#[test]
fn exim_asks_who_it_is() {
    if !is_possible() {
        return;
    }
    let (authority, issued) = cert::authority(&["user1@example.org"]);
    for under in both() {
        let mut served = prepare(under);
        served.host.start();
        let ports = [free_port(), free_port()];
        let dir = served.host.dir().display().to_string();
        fs::write(served.host.dir().join("ca.pem"), &authority).expect("the authority");
        fs::set_permissions(
            served.host.dir().join("key.pem"),
            std::os::unix::fs::PermissionsExt::from_mode(0o644),
        )
        .expect("Exim may read it");
        let settings = format!(
            "tls_advertise_hosts = *\ntls_certificate = {dir}/cert.pem\ntls_privatekey = {dir}/key.pem\n\
             tls_try_verify_hosts = *\ntls_verify_certificates = {dir}/ca.pem"
        );
        let Some(exim) = Exim::start(served.host.dir(), ports, &settings, &authenticators(&dir, ports))
        else {
            return;
        };
        check_mechanisms(under, ports[0], ports);
        let login = ["--auth", "CRAM-MD5", "--au", "user1@example.org", "--ap", "pass"];
        let sent = swaks(ports[0], "somebody@example.net", &login);
        assert!(sent.status.success(), "{under:?} {}", String::from_utf8_lossy(&sent.stdout));
        assert!(exim.log().contains("A=cram_md5:user1@example.org"), "{under:?} {}", exim.log());
        assert!(
            say(&mut smtp(ports[0]), &format!("AUTH ANONYMOUS {}", base64(b"trace"))).starts_with("235 ")
        );
        // Exim says that there is a good certificate, but not whose.
        let mut client = smtp(ports[0]);
        assert!(say(&mut client, "STARTTLS").starts_with("220 "));
        let (certificate, key) = issued.first().expect("a certificate");
        client.start_tls_with("localhost", cert::client_with(certificate, key));
        hello(&mut client);
        let answer = say(&mut client, &format!("AUTH EXTERNAL {}", base64(b"user1@example.org")));
        assert!(answer.starts_with("535 "), "{under:?} {answer}");
        served.host.wait_log("external(?,127.0.0.1): username not known");
        check_hostile(under, ports[0]);
        check_auth_dies(under, &served.host, ports[0]);
        check_log(&served.host);
    }
}

/// All by our socket; of those for tokens one on each port.
fn authenticators(dir: &str, ports: [u16; 2]) -> String {
    let one = |mechanism: &str| {
        let port = match mechanism {
            "OAUTHBEARER" => Some(ports[0]),
            "XOAUTH2" => Some(ports[1]),
            _ => None,
        };
        let condition = port.map_or_else(String::new, |port| {
            format!("  server_advertise_condition = ${{if eq{{$received_port}}{{{port}}}}}\n")
        });
        let name = mechanism.to_ascii_lowercase().replace('-', "_");
        format!(
            "{name}:\n  driver = dovecot\n  public_name = {mechanism}\n  server_socket = {dir}/sasl\n  \
             server_set_id = $auth1\n{condition}"
        )
    };
    MECHANISMS.split_whitespace().map(|mechanism| one(&mechanism.to_ascii_uppercase())).collect()
}
