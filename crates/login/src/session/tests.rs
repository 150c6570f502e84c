//! Transcripts, compared whole. `C:` is what the client sends, `A:` what the auth process answers,
//! `H:` what becomes of the hand-over, `X:` another event; everything else is what the session does:
//! `S:` a line to the client, `!` an action, `L:` a log line.

use base::Logger;
use settings::Snapshot;

use super::*;
use crate::config::{Client, Configs};
use crate::facts::Ends;
use crate::here::Here;
use base::tab;

struct Server {
    protocol: Protocol,
    settings: &'static str,
    remote: &'static str,
    tls: bool,
}

const IMAP: Server = Server { protocol: Protocol::Imap, settings: "", remote: "127.0.0.1:1000", tls: false };
const POP3: Server = Server { protocol: Protocol::Pop3, settings: "", remote: "127.0.0.1:1000", tls: false };
/// From another address: not secured.
const FAR: &str = "127.0.0.2:1000";

const GREETING: &str = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN AUTH=LOGIN] Dovecot (Debian) ready.";

fn session(server: &Server) -> Session {
    let text = format!("ssl = yes\nauth_verbose = yes\n{}\n", server.settings);
    let snapshot = Arc::new(Snapshot::from_text(&text).unwrap());
    let ends =
        Ends { remote: Some(server.remote.parse().unwrap()), local: Some("127.0.0.1:143".parse().unwrap()) };
    let here = Arc::new(Here::for_tests());
    let configs = Configs::new(server.protocol, here, snapshot.clone(), Logger::new("test: "));
    let client = Client { local_ip: ends.local_ip(), remote_ip: ends.remote_ip(), local_name: None };
    let config = configs.config(&snapshot, client);
    let mut peer = Peer::new(ends, "imap");
    peer.trusted = config.trusted.contains(ends.remote_ip().unwrap());
    peer.secured = peer.trusted || ends.remote_ip() == ends.local_ip();
    let mut session = Session::new(server.protocol, config, peer, "SESS".into(), 100);
    if server.tls {
        session.tls_starting();
        session.tls_started("TLSv1.3".into(), net::tls::ClientCert::None);
    }
    session
}

fn mechanisms() -> Arc<Mechanisms> {
    let mechanism =
        |name: &str| Mechanism { name: name.into(), plaintext: true, private: false, bound: false };
    Arc::new(Mechanisms {
        list: vec![mechanism("PLAIN"), mechanism("LOGIN")],
        server_pid: 5,
        connection_id: 1,
        cookie: "00".into(),
    })
}

fn show(session: &mut Session, out: &mut Vec<String>) {
    let output = String::from_utf8(session.take_output()).unwrap();
    assert!(output.is_empty() || output.ends_with("\r\n"), "{output:?}");
    out.extend(output.split_terminator("\r\n").map(|line| format!("S: {line}")));
    out.extend(session.take_lines().into_iter().map(|(_, line)| {
        let (text, _) = line.split_once(", rip=").unwrap();
        format!("L: {text}")
    }));
}

fn act(session: &mut Session, out: &mut Vec<String>) {
    loop {
        let action = session.advance(102);
        show(session, out);
        match action {
            Action::Read => return,
            Action::Flush => {}
            Action::Authenticate(request) => {
                let line = request.0.replace('\t', " ").replace(" session=SESS", "");
                let (line, rest) = line.split_once(" lip=").unwrap();
                let more = rest.split_once(" rport=1000").map_or("", |(_, rest)| rest);
                return out.push(format!("! AUTH {line}{more}"));
            }
            Action::Respond(line) => return out.push(format!("! CONT {}", *line)),
            Action::Cancel => out.push("! CANCEL".into()),
            Action::StartTls => {
                out.push(format!("! TLS with {} bytes", session.tls_starting().len()));
                session.tls_started("TLSv1.3".into(), net::tls::ClientCert::None);
            }
            Action::Disconnect(reason) => session.disconnect(reason, 102),
            Action::Close => return out.push("! CLOSE".into()),
            Action::HandOver | Action::Proxy(_) => unreachable!(),
        }
    }
}

fn replied(session: &mut Session, line: &str, out: &mut Vec<String>) {
    let mut words = tab::words(line);
    let reply = match words.next().unwrap().as_str() {
        "OK" => AuthReply::Ok { fields: Fields::new(words) },
        "FAIL" => AuthReply::Fail { fields: Fields::new(words) },
        "CONT" => AuthReply::Continue(words.next().unwrap_or_default()),
        _ => AuthReply::Lost,
    };
    match session.auth_replied(reply, 102) {
        Action::HandOver => {
            let it = session.hand_over();
            let input = String::from_utf8_lossy(&it.input).replace("\r\n", "|");
            out.push(format!("! HAND OVER {} {} <{input}>", it.tag, it.untagged_capability));
        }
        _ => {
            show(session, out);
            act(session, out);
        }
    }
}

fn check(server: &Server, script: &str) {
    let mut session = session(server);
    let mut out = Vec::new();
    session.auth_ready(mechanisms());
    show(&mut session, &mut out);
    for line in script.lines().map(str::trim_start) {
        let Some((who, what)) = line.split_once(": ").filter(|(who, _)| ["C", "A", "H", "X"].contains(who))
        else {
            continue;
        };
        out.push(line.to_owned());
        match (who, what) {
            ("C", what) => {
                session.push(what.replace("\\r\\n", "\r\n").as_bytes());
                session.push(b"\r\n");
                act(&mut session, &mut out);
            }
            ("A", what) => replied(&mut session, &what.replace("\\t", "\t"), &mut out),
            ("H", "ok") => session.handed_over(77),
            ("H", "internal") => session.hand_over_failed(1, 2, None),
            ("H", "internal 78") => session.hand_over_failed(1, 2, Some(78)),
            ("H", "denied") => session.refused("Not you", Some(78)),
            ("H", what) => session.refused(what, None),
            ("X", "timeout") => session.timed_out(280),
            ("X", "wait") => session.note_waiting(),
            (_, what) => session.disconnect(what, 102),
        }
        show(&mut session, &mut out);
    }
    let expected: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let out: Vec<&str> = out.iter().map(|line| line.trim_end()).collect();
    assert_eq!(out.join("\n"), expected.join("\n"));
}

#[test]
fn commands_without_login() {
    check(
        &IMAP,
        &format!(
            "{GREETING}
            C: a CAPABILITY
            S: * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN AUTH=LOGIN
            S: a OK Pre-login capabilities listed, post-login capabilities have more.
            C: b enable condstore\\r\\nc noop foo
            S: * ENABLED
            S: b OK ENABLE ignored in non-authenticated state.
            S: c OK NOOP completed.
            C: x ID (\"name\" \"lab\")
            S: * ID (\"name\" \"Dovecot\")
            S: x OK ID completed.
            C: c id foo
            S: c BAD Invalid ID parameters
            C: d id (\"a\")
            S: * ID (\"name\" \"Dovecot\")
            S: d OK ID completed.
            C: e id (a b)
            S: e BAD Invalid ID parameters
            C: login user pass
            S: login BAD First parameter in line is IMAP's command tag, not the command name. Add that before the command, like: a login user pass
            C: a logout
            S: * BYE Logging out
            S: a OK Logout completed.
            L: Disconnected: Aborted login by logging out (no auth attempts in 2 secs): user=<>
            ! CLOSE"
        ),
    );
}

#[test]
fn bad_commands() {
    check(
        &IMAP,
        &format!(
            "{GREETING}
            C: a
            S: a BAD Error in IMAP command received by server.
            C: a LOGIN
            S: a BAD Error in IMAP command received by server.
            C: a LOGIN user1@example.com
            S: * BYE Too many invalid IMAP commands.
            L: Disconnected: Too many invalid commands (no auth attempts in 2 secs): user=<>
            ! CLOSE"
        ),
    );
    check(
        &IMAP,
        &format!(
            "{GREETING}
            C: GET / HTTP/1.0\\r\\nHost: x\\r\\n
            S: GET BAD Error in IMAP command received by server.
            S: Host: BAD Error in IMAP command received by server.
            S: * BYE Too many invalid IMAP commands.
            L: Disconnected: Too many invalid commands (no auth attempts in 2 secs): user=<>
            ! CLOSE"
        ),
    );
    check(
        &IMAP,
        &format!(
            "{GREETING}
            C: a login \"foo
            S: a BAD Missing '\"'
            C: a login )
            S: a BAD Unexpected ')'
            C: b login {{x}}
            S: b BAD Invalid literal size
            C: d login a\u{e9} b
            S: d BAD 8bit data in atom
            C: e login (a b
            S: e BAD Missing ')'
            C: f login a(b c
            S: f BAD Invalid characters in atom
            C: a login {{9000}}
            S: * BYE Literal size too large
            L: Disconnected: Literal size too large (no auth attempts in 2 secs): user=<>
            ! CLOSE"
        ),
    );
    let long = "y".repeat(127);
    check(
        &IMAP,
        &format!(
            "{GREETING}
            C: {long} noop
            S: * BAD Error in IMAP command received by server.
            X: Connection closed
            L: Disconnected: Connection closed (no auth attempts in 2 secs): user=<>"
        ),
    );
}

#[test]
fn login_and_hand_over() {
    check(
        &IMAP,
        &format!(
            "{GREETING}
            C: b LOGIN u@x wrong
            ! AUTH PLAIN service=imap secured resp=AHVAeAB3cm9uZw==
            A: FAIL\\tuser=u@x
            S: b NO [AUTHENTICATIONFAILED] Authentication failed.
            C: c LOGIN {{3}}
            S: + OK
            C: u@x {{4+}}\\r\\npass\\r\\nd NOOP
            ! AUTH PLAIN service=imap secured resp=AHVAeABwYXNz
            A: OK\\tuser=U@x\\toriginal_user=u@x
            ! HAND OVER c false <d NOOP|>
            H: ok
            L: Login: user=<U@x>, method=PLAIN"
        ),
    );
    check(
        &Server { remote: FAR, ..IMAP },
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS LOGINDISABLED] Dovecot (Debian) ready.
        C: b LOGIN u pass
        S: * BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. If anyone was listening, the password was exposed.
        S: b NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        L: Login failed: Plaintext authentication disabled: user=<>
        C: b1 LOGIN {1}
        S: b1 NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        L: Login failed: Plaintext authentication disabled: user=<u>
        C: b1 LOGIN u {4}
        S: b1 NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        L: Login failed: Plaintext authentication disabled: user=<u>
        C: b2 AUTHENTICATE PLAIN
        S: b2 NO [PRIVACYREQUIRED] Plaintext authentication disabled.
        L: Authenticate PLAIN failed: Plaintext authentication disabled.: user=<u>, method=PLAIN
        C: a AUTHENTICATE foo
        S: a NO [ALERT] Unsupported authentication mechanism.
        L: Authenticate FOO failed: Unsupported authentication mechanism.: user=<u>, method=FOO
        C: c STARTTLS
        S: c OK Begin TLS negotiation now.
        ! TLS with 0 bytes
        C: d CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN
        S: d OK Pre-login capabilities listed, post-login capabilities have more.
        C: e STARTTLS
        S: e BAD TLS is already active.
        C: f AUTHENTICATE PLAIN AAA=
        ! AUTH PLAIN service=imap secured=tls resp=AAA=
        A: OK\\tuser=u
        ! HAND OVER f false <>
        H: ok
        L: Login: user=<u>, method=PLAIN",
    );
}

#[test]
fn sasl_exchanges() {
    check(
        &IMAP,
        &format!(
            "{GREETING}
            C: a authenticate login
            ! AUTH LOGIN service=imap secured
            A: CONT\\tVXNlcm5hbWU6
            S: + VXNlcm5hbWU6
            C: dXNlcg==
            ! CONT dXNlcg==
            A: CONT\\tUGFzc3dvcmQ6
            S: + UGFzc3dvcmQ6
            C: *
            S: a BAD Authentication aborted by client.
            ! CANCEL
            C: b authenticate plain =
            ! AUTH PLAIN service=imap secured resp=
            A: FAIL\\tcode=invalid_base64\\treason=Invalid base64 data in initial response
            S: b BAD Invalid base64 data in initial response
            C: c authenticate plain
            ! AUTH PLAIN service=imap secured
            A: CONT\\t
            S: +
            C: !!!
            S: c NO [ALERT] Invalid base64 in response
            L: Authenticate PLAIN failed: Invalid base64 in response: user=<>, method=PLAIN
            ! CANCEL
            X: Connection closed
            L: Disconnected: Connection closed (auth failed, 3 attempts in 0 secs): user=<>, method=PLAIN"
        ),
    );
}

#[test]
fn how_the_log_says_it_ended() {
    let cases = [
        ("X: Connection closed", "(no auth attempts in 2 secs): user=<>"),
        (
            "C: a authenticate plain\n! AUTH PLAIN service=imap secured\nX: Connection closed",
            "(disconnected while authenticating, waited 0 secs): user=<>, method=PLAIN",
        ),
        (
            "C: a login u p\n! AUTH PLAIN service=imap secured resp=AHUAcA==\nA: FAIL\\tuser=u\n\
             S: a NO [AUTHENTICATIONFAILED] Authentication failed.\nX: Connection closed",
            "(auth failed, 1 attempts in 0 secs): user=<u>, method=PLAIN",
        ),
        (
            "C: a login u p\n! AUTH PLAIN service=imap secured resp=AHUAcA==\nA: LOST\n\
             S: a NO [UNAVAILABLE] Temporary authentication failure. [host.example:1970-01-01 00:01:42]\nX: Connection closed",
            "(auth process communication failure): user=<>, method=PLAIN",
        ),
        (
            "C: a login u p\n! AUTH PLAIN service=imap secured resp=AHUAcA==\nA: OK\\tuser=u\\tnologin\\treason=Go away\n\
             S: a NO [CONTACTADMIN] Go away\nX: Connection closed",
            "(internal failure, 1 successful auths): user=<u>, method=PLAIN",
        ),
        (
            "C: a login u p\n! AUTH PLAIN service=imap secured resp=AHUAcA==\nA: OK\\tuser=u@x\\tnologin\\thost=other.org\\tport=1143\n\
             S: a NO [REFERRAL imap://u%40x;AUTH=PLAIN@other.org:1143/] Try this server instead.\nX: Connection closed",
            "(internal failure, 1 successful auths): user=<u@x>, method=PLAIN",
        ),
    ];
    for (script, expected) in cases {
        check(&IMAP, &format!("{GREETING}\n{script}\nL: Disconnected: Connection closed {expected}"));
    }
}

#[test]
fn failed_hand_overs_and_timeouts() {
    let login = "C: a login u p\n! AUTH PLAIN service=imap secured resp=AHUAcA==";
    let granted = format!("{GREETING}\n{login}\nA: OK\\tuser=u\n! HAND OVER a false <>");
    check(
        &IMAP,
        &format!(
            "{granted}
            H: Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)
            S: a NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)
            L: Disconnected: Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10): user=<u>, method=PLAIN"
        ),
    );
    check(
        &IMAP,
        &format!(
            "{granted}
            H: internal
            S: a NO [UNAVAILABLE] Internal error occurred. Refer to server log for more information.
            L: Disconnected: Internal login failure (pid=1 id=2): user=<u>, method=PLAIN"
        ),
    );
    // Where a mail process had a say, the line says which one, as in 2.3.
    let elements = "login_log_format_elements = user=<%u> method=%m mpid=%e rip=%r";
    let with_pid = Server { settings: elements, ..IMAP };
    check(
        &with_pid,
        &format!(
            "{granted}
            H: internal 78
            S: a NO [UNAVAILABLE] Internal error occurred. Refer to server log for more information.
            L: Disconnected: Internal login failure (pid=1 id=2): user=<u>, method=PLAIN, mpid=78"
        ),
    );
    check(
        &with_pid,
        &format!(
            "{granted}
            H: denied
            S: a NO [UNAVAILABLE] Not you
            L: Disconnected: Not you: user=<u>, method=PLAIN, mpid=78"
        ),
    );
    check(
        &IMAP,
        &format!(
            "{GREETING}
            X: timeout
            S: * BYE Disconnected for inactivity.
            L: Disconnected: Inactivity (no auth attempts in 180 secs): user=<>"
        ),
    );
    check(
        &IMAP,
        &format!(
            "{GREETING}\n{login}
            X: wait
            S: * OK Waiting for authentication process to respond..
            X: timeout
            S: * BYE Disconnected for inactivity during authentication.
            L: Disconnected: Inactivity during authentication (disconnected while authenticating, waited 178 secs): user=<>, method=PLAIN"
        ),
    );
}

#[test]
fn trusted_proxies_name_the_client() {
    let trusted =
        Server { settings: "login_trusted_networks = 127.0.0.2\nimap_id_log = *", remote: FAR, ..IMAP };
    check(
        &trusted,
        &format!(
            "{GREETING}
            C: a id (\"x-originating-ip\" \"9.9.9.9\" \"x-session-id\" \"foo\" \"x-forward-a\" \"b\")
            S: * ID (\"name\" \"Dovecot\")
            S: a OK ID completed.
            L: ID sent: x-originating-ip=9.9.9.9, x-session-id=foo, x-forward-a=b: user=<>
            C: b authenticate plain
            ! AUTH PLAIN service=imap secured session=foo real_rip=127.0.0.2 forward_fields=a=b"
        ),
    );
}

#[test]
fn pop3() {
    check(
        &POP3,
        "S: +OK Dovecot (Debian) ready.
        C: CAPA x
        S: +OK
        S: CAPA
        S: TOP
        S: UIDL
        S: RESP-CODES
        S: PIPELINING
        S: AUTH-RESP-CODE
        S: STLS
        S: USER
        S: SASL PLAIN LOGIN
        S: .
        C: PASS x
        S: -ERR No username given.
        C: AUTH
        S: +OK
        S: PLAIN
        S: LOGIN
        S: .
        C: AUTH FOO
        S: -ERR [AUTH] Unsupported authentication mechanism.
        L: Authenticate FOO failed: Unsupported authentication mechanism.: user=<>, method=FOO
        C: APOP a b
        S: -ERR APOP not enabled.
        L: APOP failed: APOP not enabled: user=<>, method=FOO
        C: auth plain
        ! AUTH PLAIN service=pop3 secured
        A: CONT\\tdGVzdA==
        S: + dGVzdA==
        C: *
        S: -ERR Authentication aborted by client.
        ! CANCEL
        C: xclient addr=1.2.3.4
        S: +OK You are not from trusted IP - ignoring
        C: USER u
        S: +OK
        C: PASS p w\\r\\nSTAT
        ! AUTH PLAIN service=pop3 secured resp=AHUAcCB3
        A: OK\\tuser=u
        ! HAND OVER  false <STAT|>
        H: ok
        L: Login: user=<u>, method=PLAIN",
    );
    check(
        &POP3,
        "S: +OK Dovecot (Debian) ready.
        C: 1
        S: -ERR Unknown command.
        C: 2\\r\\n3
        S: -ERR Unknown command.
        S: -ERR Unknown command.
        S: -ERR Too many invalid bad commands.
        L: Disconnected: Disconnected: Too many bad commands (no auth attempts in 2 secs): user=<>
        ! CLOSE",
    );
    let long = "x".repeat(2000);
    check(
        &POP3,
        &format!(
            "S: +OK Dovecot (Debian) ready.
            C: user {long}
            S: -ERR Input buffer full, aborting
            L: Disconnected: Input buffer full (no auth attempts in 2 secs): user=<>
            ! CLOSE"
        ),
    );
    check(
        &Server { remote: FAR, ..POP3 },
        "S: +OK Dovecot (Debian) ready.
        C: USER u
        S: -ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        L: Login failed: Plaintext authentication disabled: user=<>
        C: PASS p
        S: -ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.
        L: Login failed: Plaintext authentication disabled: user=<u>
        C: STLS\\r\\nCAPA
        S: +OK Begin TLS negotiation now.
        ! TLS with 6 bytes
        C: QUIT
        S: +OK Logging out
        L: Disconnected: Aborted login by logging out (auth failed, 2 attempts in 0 secs): user=<u>
        ! CLOSE",
    );
}

#[test]
fn ssl_required() {
    let server = Server { settings: "ssl = required\ndisable_plaintext_auth = no", remote: FAR, ..IMAP };
    check(
        &server,
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS LOGINDISABLED] Dovecot (Debian) ready.
        C: a authenticate plain
        S: a NO [PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.
        L: Login failed: SSL required for authentication: user=<>",
    );
}

/// Arbitrary bytes in arbitrary pieces end in an answer, a wait or a disconnect, never in a panic or
/// an endless loop.
#[test]
fn garbage() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let alphabet = b"a LOGIN{}()\"\\\r\n\0*+~ authenticate id plain starttls noop 1 9\xff\x80";
    for round in 0..400 {
        let mut session = session(if round % 2 == 0 { &IMAP } else { &POP3 });
        session.auth_ready(mechanisms());
        'client: for _ in 0..60 {
            let length = random() % 40;
            let piece: Vec<u8> =
                (0..length).map(|_| alphabet[(random() % alphabet.len() as u64) as usize]).collect();
            session.push(&piece);
            for _ in 0..1000 {
                match session.advance(1) {
                    Action::Read => break,
                    Action::StartTls => drop(session.tls_starting()),
                    Action::Authenticate(_) | Action::Respond(_) => {
                        session.auth_replied(AuthReply::Continue(String::new()), 1);
                    }
                    Action::Disconnect(_) => break 'client,
                    _ => {}
                }
            }
            assert!(session.take_output().len() < 64 * 1024);
        }
    }
}

/// Mechanisms with channel binding exist where there is one, and their siblings hear of it.
#[test]
fn channel_bindings() {
    let bound = Arc::new(Mechanisms {
        list: ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
            .map(|name| Mechanism { name: name.into(), bound: name.ends_with("-PLUS"), ..Default::default() })
            .into(),
        ..Mechanisms::clone(&mechanisms())
    });
    let check = |exporter: Option<Vec<u8>>, command: &str, expect: &str| {
        let mut session = session(&Server { tls: true, ..IMAP });
        session.set_bindings(net::tls::Bindings { exporter, end_point: None });
        session.auth_ready(bound.clone());
        let greeting = String::from_utf8(session.take_output()).unwrap();
        session.push(format!("a AUTHENTICATE {command} biws\r\n").as_bytes());
        let request = match session.advance(102) {
            Action::Authenticate(request) => request.0.to_string(),
            _ => String::from_utf8(session.take_output()).unwrap(),
        };
        let has_binding = request.contains("\tcbind_exporter=AQI=\tresp=biws");
        assert_eq!(has_binding, expect == "bound", "{request}");
        assert_eq!(request.starts_with("a NO"), expect == "refused", "{request}");
        greeting
    };
    let offer = check(Some(vec![1, 2]), "SCRAM-SHA-256-PLUS", "bound");
    assert!(offer.contains(" AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256]"), "{offer}");
    check(Some(vec![1, 2]), "SCRAM-SHA-256", "bound");
    check(Some(vec![1, 2]), "SCRAM-SHA-1", "unbound");
    let offer = check(None, "SCRAM-SHA-256-PLUS", "refused");
    assert!(offer.contains(" AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256]"), "{offer}");
    check(None, "SCRAM-SHA-256", "unbound");
}
