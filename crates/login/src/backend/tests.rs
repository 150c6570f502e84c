//! Conversations. `S:` is what the other server says, `>` what it is sent, `C:` what the client gets,
//! `!` what comes of it.

use super::*;
use crate::session::Fields;

fn check(protocol: Protocol, fields: &str, ignores_codes: bool, script: &str) {
    let words = ["host=10.0.0.1", "pass=p w"].into_iter().chain(fields.split_whitespace()).map(String::from);
    let mut errors = Vec::new();
    let destination = Destination::of(&Fields::new(words), "joe", protocol, &mut errors).unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    let about = About {
        session_id: "SESS".into(),
        remote_ip: Some([1, 2, 3, 4].into()),
        remote_port: 99,
        local_ip: Some([5, 6, 7, 8].into()),
        local_port: 143,
        ttl: 5,
        client_id: String::new(),
        tag: "a1".into(),
        ignores_codes,
    };
    let mut backend = begin(protocol, Arc::new(destination), about);
    let mut out = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| line.starts_with("S:") || *line == "TLS") {
        out.push(line.to_owned());
        let mut output = Output::default();
        let next = match line.strip_prefix("S: ") {
            Some(line) => backend.line(line, &mut output),
            None => backend.tls_started(&mut output),
        };
        for (mark, bytes) in [("> ", &*output.server), ("C: ", &output.client)] {
            let text = String::from_utf8_lossy(bytes);
            assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
            out.extend(text.split_terminator("\r\n").map(|line| format!("{mark}{line}")));
        }
        out.extend(output.errors.iter().map(|error| format!("! error {error}")));
        match next {
            Next::Line => {}
            Next::StartTls => out.push("! starttls".into()),
            Next::LoggedIn => out.push("! logged in".into()),
            Next::Failed(Failure { kind, reason, reply }) => {
                out.push(format!("! {kind:?} in {}: {reason}", backend.state()));
                out.extend(reply.map(|reply| format!("! reply {}", reply.trim_end())));
            }
        }
    }
    let expected: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(out, expected);
}

#[test]
fn imap_with_id_and_login() {
    check(
        Protocol::Imap,
        "destuser=j\u{fc} forward_a=b=c master= user_x=y",
        false,
        r#"S: * OK [CAPABILITY IMAP4rev1 ID SASL-IR] ready
        > I ID ("x-session-id" "SESS" "x-originating-ip" "1.2.3.4" "x-originating-port" "99" "x-connected-ip" "5.6.7.8" "x-connected-port" "143" "x-proxy-ttl" "4" "x-forward-a" "b=c")
        > L LOGIN {3}
        > jü "p w"
        S: * ID NIL
        S: I OK done
        S: + go on
        S: * OK [ALERT] hello
        C: * OK [ALERT] hello
        S: x y
        ! error Unexpected input, ignoring: x y
        S: L OK [CAPABILITY IMAP4rev1 X] in
        C: a1 OK [CAPABILITY IMAP4rev1 X] in
        ! logged in"#,
    );
}

#[test]
fn imap_capabilities() {
    check(
        Protocol::Imap,
        "proxy_not_trusted",
        false,
        "S: * OK old server
        > C CAPABILITY
        > L LOGIN \"joe\" \"p w\"
        S: * CAPABILITY IMAP4 OLD
        S: C OK done
        S: L OK [X] in
        C: a1 OK [CAPABILITY IMAP4 OLD] in
        ! logged in",
    );
    check(
        Protocol::Imap,
        "proxy_not_trusted",
        true,
        "S: * OK [CAPABILITY IMAP4rev1 ID] hi
        > C CAPABILITY
        > L LOGIN \"joe\" \"p w\"
        S: C OK done
        S: * CAPABILITY IMAP4rev1 MORE
        S: L OK in
        C: * CAPABILITY IMAP4rev1 MORE
        C: a1 OK in
        ! logged in",
    );
}

#[test]
fn imap_starttls_and_master() {
    check(
        Protocol::Imap,
        "starttls=any-cert master=boss proxy_not_trusted",
        false,
        "S: * OK [CAPABILITY IMAP4rev1 SASL-IR STARTTLS] hi
        > S STARTTLS
        S: S OK begin
        ! starttls
        TLS
        > C CAPABILITY
        > L AUTHENTICATE PLAIN
        S: * CAPABILITY IMAP4rev1 SASL-IR
        S: C OK done
        S: +
        > am9lAGJvc3MAcCB3
        S: L OK in
        C: a1 OK [CAPABILITY IMAP4rev1 SASL-IR] in
        ! logged in",
    );
    check(
        Protocol::Imap,
        "starttls=yes",
        false,
        "S: * OK [CAPABILITY IMAP4rev1] hi
        ! RemoteConfig in /banner: STARTTLS not supported",
    );
    check(
        Protocol::Imap,
        "starttls=yes",
        false,
        "S: * OK hi
        > S STARTTLS
        S: S NO never
        ! Remote in /starttls: STARTTLS failed: never",
    );
}

/// Whoever is in between before TLS could otherwise have the password, or the client.
#[test]
fn imap_answers_to_what_was_not_said() {
    let odd = ["C OK x", "L OK in", "L NO no", "I OK x", "* OK [ALERT] call 555-1234", "* 1 EXISTS"]
        .map(|line| format!("S: {line}\n! error Unexpected input, ignoring: {line}\n"))
        .concat();
    check(
        Protocol::Imap,
        "starttls=yes proxy_not_trusted",
        false,
        &format!(
            "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] hi
            > S STARTTLS
            S: * CAPABILITY IMAP4rev1 STARTTLS SASL-IR X-EVIL
            {odd}S: S OK begin
            ! starttls
            TLS
            > C CAPABILITY
            > L LOGIN \"joe\" \"p w\"
            S: S OK again
            ! error Unexpected input, ignoring: S OK again
            S: * OK [ALERT] hello
            C: * OK [ALERT] hello
            S: * CAPABILITY IMAP4rev1
            S: C OK done
            S: L OK in
            C: a1 OK [CAPABILITY IMAP4rev1] in
            ! logged in"
        ),
    );
}

#[test]
fn imap_mechanism_without_initial_response() {
    check(
        Protocol::Imap,
        "proxy_mech=login proxy_nopipelining",
        false,
        "S: * OK [CAPABILITY IMAP4rev1 ID] hi
        > I ID (\"x-session-id\" \"SESS\" \"x-originating-ip\" \"1.2.3.4\" \"x-originating-port\" \"99\" \"x-connected-ip\" \"5.6.7.8\" \"x-connected-port\" \"143\" \"x-proxy-ttl\" \"4\")
        S: I OK done
        > L AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        > am9l
        S: + UGFzc3dvcmQ6
        > cCB3
        S: + AAAA
        ! Protocol in auth-continue/auth-continue: Invalid authentication data: Server didn't finish authentication",
    );
}

#[test]
fn imap_refusals() {
    let refused = |answer: &str, expected: &str| {
        let script =
            format!("S: * OK [CAPABILITY IMAP4rev1] hi\n> L LOGIN \"joe\" \"p w\"\nS: {answer}\n{expected}");
        check(Protocol::Imap, "", false, &script);
    };
    let ours = "! reply a1 NO [AUTHENTICATIONFAILED] Authentication failed.";
    refused(
        "L NO [AUTHENTICATIONFAILED] No such user",
        &format!("! Auth in /login: [AUTHENTICATIONFAILED] No such user\n{ours}"),
    );
    refused("L NO no such user", &format!("! Auth in /login: no such user\n{ours}"));
    refused("L BAD what", &format!("! Auth in /login: BAD what\n{ours}"));
    refused(
        "L NO [CONTACTADMIN] ask",
        "! Auth in /login: [CONTACTADMIN] ask\n! reply a1 NO [CONTACTADMIN] ask",
    );
    refused(
        "L NO [UNAVAILABLE] later",
        "! AuthTemporary in /login: [UNAVAILABLE] later\n! reply a1 NO [UNAVAILABLE] later",
    );
    check(Protocol::Imap, "", false, "S: * BYE go\n! Protocol in /banner: Invalid banner: * BYE go");
    check(
        Protocol::Imap,
        "",
        false,
        "S: * OK [CAPABILITY LOGINDISABLED] hi
        ! RemoteConfig in /banner: LOGINDISABLED advertised, but SSL/TLS not enabled",
    );
}

#[test]
fn pop3_logins() {
    check(
        Protocol::Pop3,
        "forward_a=b forward_c=d",
        false,
        "S: +OK [XCLIENT] ready
        > XCLIENT ADDR=1.2.3.4 PORT=99 SESSION=SESS TTL=4 FORWARD=YT1iCWM9ZA==
        > USER joe
        S: +OK
        S: +OK
        > PASS p w
        S: +OK Logged in.
        C: +OK Logged in.
        ! logged in",
    );
    check(
        Protocol::Pop3,
        "proxy_mech=PLAIN starttls=yes",
        false,
        "S: +OK hi
        > STLS
        S: +OK
        ! starttls
        TLS
        > AUTH PLAIN AGpvZQBwIHc=
        S: -ERR [SYS/TEMP] later
        ! AuthTemporary in login2: [SYS/TEMP] later
        ! reply -ERR [SYS/TEMP] later",
    );
    check(
        Protocol::Pop3,
        "",
        false,
        "S: +OK hi
        > USER joe
        S: -ERR [AUTH] no
        ! Auth in login1: [AUTH] no
        ! reply -ERR [AUTH] no",
    );
    check(Protocol::Pop3, "", false, "S: -ERR busy\n! Protocol in banner: Invalid banner: -ERR busy");
}

#[test]
fn destinations() {
    let of = |words: &str| {
        let mut errors = Vec::new();
        let fields = Fields::new(words.split_whitespace().map(String::from));
        let found = Destination::of(&fields, "joe", Protocol::Imap, &mut errors);
        let text = found.map(|it| format!("{}{:?} {:?}", it.log_prefix(), it.security, it.timeout));
        (text.unwrap_or_else(|error| error), errors.join(";"))
    };
    let check = |words: &str, expected: &str, errors: &str| {
        assert_eq!(of(words), (expected.to_owned(), errors.to_owned()), "{words}");
    };
    check("host=10.0.0.1", "password not given", "");
    check("pass=x", "host not given", "");
    check("pass=x host=", "host not given", "");
    check("pass=x host=a.b", "BUG: host a.b is not an IP (auth should have changed it)", "");
    check("pass=x host=a.b hostip=z", "Invalid hostip z", "");
    check("pass=x host=a.b hostip=::1 ssl", "proxy(joe,::1:993): Tls { any_cert: false } None", "");
    check(
        "pass=x host=1.1.1.1 starttls=any-cert port=1143 proxy_timeout=2",
        "proxy(joe,1.1.1.1:1143): StartTls { any_cert: true } Some(2s)",
        "",
    );
    check("pass=x host=1.1.1.1 proxy_mech=foo", "Unsupported SASL mechanism foo", "");
    check(
        "pass=x host=1.1.1.1 port=x proxy_timeout=1500ms",
        "proxy(joe,1.1.1.1:143): Plain Some(1.5s)",
        "Auth service returned invalid port number: x",
    );
    check(
        "pass=x host=1.1.1.1 proxy_refresh=1s",
        "proxy(joe,1.1.1.1:143): Plain None",
        "BUG: Auth service returned invalid proxy_refresh value: 1s",
    );
}
