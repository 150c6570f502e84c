//! Logins with tickets of a real Kerberos realm, by curl and by Python's gssapi, which is MIT's library:
//! who may come in as whom, and what the log says where somebody may not.

use std::process::Command;

use harness::{Builder, Exim, Host, Kdc, Postfix, Under, free_port, needs};

const PYTHON: &str = "/usr/bin/python3";

/// Somebody of the realm is another user of this system.
const REALM: &str = "  auth_to_local_names = {\n   postmaster = mail\n  }\n";

struct Realm {
    kdc: Kdc,
    /// Goes when the centre is gone.
    _dir: tempfile::TempDir,
}

impl Realm {
    fn start() -> Option<Self> {
        let has_module = Command::new(PYTHON).args(["-c", "import gssapi"]).output();
        if !has_module.is_ok_and(|done| done.status.success()) {
            needs(&["python3-gssapi"]);
            return None;
        }
        let dir = tempfile::Builder::new().prefix("culver-krb-").tempdir_in("/tmp").expect("a directory");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("the way to the keytab");
        let kdc = Kdc::start(dir.path(), REALM)?;
        ["imap/localhost", "pop/localhost", "smtp/localhost"]
            .iter()
            .for_each(|service| kdc.add_service(service));
        ["joe", "jane", "postmaster", "disabled"].iter().for_each(|name| kdc.add(name, "secret"));
        Some(Self { kdc, _dir: dir })
    }

    fn builder(&self, hostname: &str) -> Builder {
        let (config, keytab) = (self.kdc.config(), self.kdc.keytab());
        Builder::new(env!("CARGO_BIN_EXE_dovecot"))
            .without_users()
            .config(&format!(
                "import_environment = TZ KRB5_CONFIG={}\nauth_krb5_keytab = {}\nauth_gssapi_hostname = {hostname}",
                config.display(),
                keytab.display()
            ))
            .config("auth_failure_delay = 0\nauth_verbose = yes")
            .config("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
            .config("userdb {\n  driver = static\n  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u\n}")
    }

    /// A server with these lines in its passwd-file, or without a passdb.
    fn host(&self, hostname: &str, users: Option<&str>) -> Host {
        let mut builder = self.builder(hostname);
        if users.is_none() {
            builder = builder.config("auth_mechanisms = gssapi");
        } else {
            builder = builder
                .config("auth_mechanisms = gssapi gss-spnego plain")
                .config("passdb {\n  driver = passwd-file\n  args = username_format=%u @DIR@/known\n}");
        }
        let mut host = builder.prepare();
        std::fs::write(host.dir().join("known"), users.unwrap_or_default()).expect("the users");
        host.start();
        host
    }

    fn login(&self, host: &Host, who: &str, arguments: [&str; 3], authorize: Option<&str>) -> String {
        let [service, mechanism, when] = arguments;
        let listener = if service == "imap" { "imap" } else { "pop3" };
        let port = host.address(listener).port().to_string();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/kerberos.py");
        let mut client = Command::new(PYTHON);
        client.args([script, service, &port, mechanism, when]).args(authorize);
        self.environment(&mut client, who);
        let done = client.output().expect("python runs");
        let said = String::from_utf8_lossy(&done.stdout).trim_end().to_owned();
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        said
    }

    fn environment(&self, client: &mut Command, who: &str) {
        let ticket = self.kdc.ticket(who, "secret");
        client.env("KRB5_CONFIG", self.kdc.config()).env("KRB5CCNAME", ticket);
    }
}

const REFUSED: &str = "NO [AUTHENTICATIONFAILED] Authentication failed.";

#[test]
fn by_every_road() {
    let Some(realm) = Realm::start() else { return };
    for hostname in ["localhost", "\"$ALL\""] {
        let host = realm.host(hostname, Some(""));
        for mechanism in ["GSSAPI", "GSS-SPNEGO"] {
            for when in ["early", "late"] {
                let answer = realm.login(&host, "joe", ["imap", mechanism, when], None);
                assert!(answer.starts_with("OK ") && answer.ends_with("Logged in"), "{mechanism}: {answer}");
                let answer = realm.login(&host, "joe", ["pop", mechanism, when], None);
                assert_eq!(answer, "+OK Logged in.", "{mechanism}");
            }
            host.wait_log(&format!(
                "imap-login: Info: Login: user=<joe@example.org>, method={mechanism}, rip="
            ));
            host.wait_log(&format!(
                "pop3-login: Info: Login: user=<joe@example.org>, method={mechanism}, rip="
            ));
        }
    }
}

#[test]
fn who_may_be_whom() {
    let Some(realm) = Realm::start() else { return };
    let users = "jane:{PLAIN}x:::::: k5principals=joe@EXAMPLE.ORG,x@EXAMPLE.ORG\n\
                 disabled:{PLAIN}x:::::: nologin=yes\n\
                 elsewhere:{PLAIN}x:::::: allow_nets=10.0.0.0/8 k5principals=joe@EXAMPLE.ORG\n";
    let host = realm.host("localhost", Some(users));
    for (who, wanted, is_let_in) in [
        ("joe", None, true),
        // The same in another way of writing.
        ("joe", Some("joe"), true),
        ("joe", Some("joe@EXAMPLE.ORG"), true),
        // The passdb says so.
        ("joe", Some("jane"), true),
        // The realm says so: the user of this system that a principal is.
        ("postmaster", Some("mail"), true),
        ("postmaster", Some("jane"), false),
        ("joe", Some("mail"), false),
        ("joe", Some("nobody-here"), false),
        ("joe", Some("joe@OTHER.ORG"), false),
        ("joe", Some("elsewhere"), false),
    ] {
        let answer = realm.login(&host, who, ["imap", "GSSAPI", "early"], wanted);
        match is_let_in {
            true => assert!(answer.ends_with("Logged in"), "{who} as {wanted:?}: {answer}"),
            false => assert_eq!(answer, REFUSED, "{who} as {wanted:?}"),
        }
    }
    let answer = realm.login(&host, "joe", ["imap", "GSSAPI", "early"], Some("a b"));
    assert_eq!(answer, REFUSED);
    for line in [
        "auth: Info: gssapi(mail,127.0.0.1,",
        "): User not authorized to log in as mail",
        "): User not authorized to log in as joe@other.org",
        "): authz_name: Username character disallowed by auth_username_chars: 0x20 (username: a b)",
        "Login: user=<jane>, method=GSSAPI",
    ] {
        host.wait_log(line);
    }
}

#[test]
fn keys_that_are_not_there_and_tokens_that_are_none() {
    let Some(realm) = Realm::start() else { return };
    let host = realm.host("elsewhere.example.org", Some(""));
    let unavailable = |host: &Host| {
        let answer = realm.login(host, "joe", ["imap", "GSSAPI", "early"], None);
        assert!(answer.starts_with("NO [UNAVAILABLE] Temporary authentication failure."), "{answer}");
    };
    unavailable(&host);
    host.wait_log("While acquiring service credentials: No key table entry found matching imap/elsewhere");
    drop(host);
    // Tickets make no passdb superfluous, as in 2.3.
    let host = realm.host("localhost", None);
    unavailable(&host);
    host.wait_log("All password databases were skipped");
    drop(host);
    let host = realm.host("localhost", Some(""));
    for initial in ["YWJj", "=", ""] {
        let mut client = host.connect("imap");
        client.line(format!("a AUTHENTICATE GSSAPI {initial}").trim_end());
        if initial != "YWJj" {
            assert_eq!(client.expect_line(), "+ ");
            client.line("YWJj");
        }
        assert_eq!(client.expect_line(), format!("a {REFUSED}"));
        // Another try, with a password, goes through as ever.
        let answer = client.imap("b", "LOGIN nobody x");
        assert_eq!(answer.last().map(String::as_str), Some(&*format!("b {REFUSED}")));
    }
    let line = host.wait_log("While processing incoming data: ");
    assert!(line.contains("auth: Info: gssapi(?,127.0.0.1,"), "{line}");
}

#[test]
fn curl_logs_in() {
    let Some(realm) = Realm::start() else { return };
    if !needs(&["curl"]) {
        return;
    }
    let host = realm.host("localhost", Some(""));
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-u", "joe@EXAMPLE.ORG:", "--login-options", "AUTH=GSSAPI", "-X", "NOOP"]);
    curl.arg(format!("imap://localhost:{}/", host.address("imap").port()));
    realm.environment(&mut curl, "joe");
    let done = curl.output().expect("curl runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    host.wait_log("imap-login: Info: Login: user=<joe@example.org>, method=GSSAPI, rip=");
}

/// What the original needs for tickets.
const MODULE: &str = "/usr/lib/dovecot/modules/auth/libmech_gssapi.so";

/// Both servers, where the original and its module are installed.
fn both() -> impl Iterator<Item = Under> {
    let has_original = |under| under == Under::Ours || std::path::Path::new(MODULE).exists();
    [Under::Ours, Under::Dovecot].into_iter().filter(move |under| has_original(*under))
}

/// A server with a socket that everybody may ask who somebody is.
fn for_agents(realm: &Realm, under: Under) -> Host {
    realm
        .builder("localhost")
        .under(under)
        .config("auth_mechanisms = plain gssapi")
        .config("passdb {\n  driver = static\n  args = password=x\n}")
        .config("service auth {\n  unix_listener @DIR@/sasl {\n    mode = 0666\n  }\n}")
        .config("service stats {\n  unix_listener stats-writer {\n    mode = 0666\n  }\n}")
        .start()
}

/// curl sends a mail with the ticket of `who`, or with none; what came of it.
fn send(realm: &Realm, port: u16, who: Option<&str>) -> Result<(), String> {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-v", "-u", "joe@EXAMPLE.ORG:", "--login-options", "AUTH=GSSAPI", "-T", "-"]);
    curl.args(["--mail-from", "joe@example.org", "--mail-rcpt", "somebody@example.net"]);
    curl.arg(format!("smtp://localhost:{port}/client.example"));
    match who {
        Some(who) => realm.environment(&mut curl, who),
        None => {
            curl.env("KRB5_CONFIG", realm.kdc.config()).env("KRB5CCNAME", "/nonexistent/ticket");
        }
    }
    let done = curl.stdin(std::process::Stdio::null()).output().expect("curl runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    match (done.status.success(), said.contains("< 235 ")) {
        (true, true) => Ok(()),
        _ => Err(said),
    }
}

#[test]
fn postfix_and_exim_let_in_who_has_a_ticket() {
    let Some(realm) = Realm::start() else { return };
    if !nix::unistd::geteuid().is_root() || !needs(&["curl"]) {
        return;
    }
    for under in both() {
        let host = for_agents(&realm, under);
        let dir = host.dir().display();
        let [postfix_port, first, second] = [(); 3].map(|()| free_port());
        let main = format!(
            "smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {dir}/sasl\nsmtpd_sasl_auth_enable = yes\n\
             smtpd_sasl_security_options = noanonymous\nmynetworks =\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, reject\ndefault_transport = discard:\n\
             local_recipient_maps =\n"
        );
        let master = format!("{postfix_port} inet n - n - - smtpd\n");
        let Some(postfix) = Postfix::start(host.dir(), postfix_port, &main, &master) else { return };
        assert_eq!(send(&realm, postfix_port, Some("joe")), Ok(()), "{under:?}");
        postfix.wait_log(&["sasl_method=GSSAPI, sasl_username=joe@example.org"]);
        assert!(send(&realm, postfix_port, None).is_err(), "{under:?}");
        let authenticator = format!(
            "gssapi:\n  driver = dovecot\n  public_name = GSSAPI\n  server_socket = {dir}/sasl\n  \
             server_set_id = $auth1\n"
        );
        let Some(exim) = Exim::start(host.dir(), [first, second], "", &authenticator) else { return };
        assert_eq!(send(&realm, first, Some("joe")), Ok(()), "{under:?}");
        assert!(exim.log().contains("A=gssapi:joe@example.org"), "{under:?} {}", exim.log());
        assert!(send(&realm, first, None).is_err(), "{under:?}");
    }
}
